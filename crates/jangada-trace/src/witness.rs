//! The revisions that answers carry, taken at their word: they name an order of all operations, and in that order
//! everything must fit.
//!
//! Each change of the store makes the next revision, and each answer names the revision that it made or saw. So an
//! order need not be searched for: it is the writes by revision, each followed by the reads at its revision. That
//! order is checked against what must hold:
//!
//! - **Dense.** Each revision was made by exactly one operation.
//! - **Replay.** Each write, done on the state that the writes before it have made, gives the answer that was given.
//! - **Reads.** Each read, range and txn gives what the state at its revision holds; a read of an old revision,
//!   what that one held.
//! - **Not backwards.** No operation has a lower revision than one that was answered before it was invoked.
//! - **Not ahead.** None has a revision that was made by an operation, or after one, that was invoked only after its
//!   answer had come.
//!
//! The last two say that the order agrees with real time, so together they prove strict serializability: of all keys
//! at once, in O(n log n). The state is kept by a naive model, not by the store under test.
//!
//! **Gaps.** A write that was not answered has no revision. If it took effect it has left a gap, and is found by
//! what is known of that revision: somebody was shown its value with that revision, or the caller knows the changes of
//! each revision ([`Changes`]: from the log in a simulator, from a watch of all keys at a real cluster). If more than
//! one could have filled a gap, the verdict is [`Verdict::Undecided`].
//!
//! **Not judged** are operations without a revision (string commands, unless it was noted beside the answer), `KEYS`
//! and `SCAN`, reads of old revisions inside a txn, refusals, and when keys with a deadline vanish.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::{KeyRange, Request, Response, Revision};
use jangada_raft::types::Time;

use crate::answers::fits;
use crate::evidence::Gaps;
use crate::history::{History, Operation};
use crate::model::{Cell, Cells, Choices, Life, Step, Touched};
use crate::resolve::{changes_nothing, without_answer};
use crate::tell;

/// What each revision changed, if the caller knows it: the keys with their new values, `None` for a deletion.
pub type Changes = BTreeMap<Revision, BTreeMap<Bytes, Option<Bytes>>>;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All fits.
    Consistent,
    /// Something does not.
    Violated {
        /// What must hold and does not.
        rule: Rule,
        /// How it shows.
        explanation: String,
    },
    /// Nobody can tell who made a revision. A caller should treat this as a failure: give the [`Changes`].
    Undecided {
        /// Which one, and who could have.
        why: String,
    },
}

/// What must hold. See [the module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Each revision was made by exactly one operation.
    Dense,
    /// Each write is answered as the state before it demands.
    Replay,
    /// Each read is answered as the state at its revision demands.
    Reads,
    /// Revisions do not fall behind what was answered before.
    NotBackwards,
    /// Revisions do not come from the future.
    NotAhead,
}

/// The verdict, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The verdict on all that was judged.
    pub verdict: Verdict,
    /// Operations that were judged, each against the state at its revision.
    pub judged: usize,
    /// Answered operations without a revision, which were not.
    pub without_revision: usize,
    /// The last revision that anybody saw.
    pub last_revision: Revision,
}

/// Checks a history that begins with an empty store at revision 1.
#[must_use]
pub fn check(history: &History, changes: Option<&Changes>) -> Report {
    let mut placed: BTreeMap<Revision, Vec<&Operation>> = BTreeMap::new();
    let mut without_revision = 0;
    for operation in history.operations() {
        match (operation.revision(), operation.response()) {
            (_, None) | (None, Some(Response::Error(_) | Response::Done)) => {}
            (None | Some(Revision::ZERO), Some(_)) => without_revision += 1,
            (Some(revision), Some(_)) => placed.entry(revision).or_default().push(operation),
        }
    }
    let judged = placed.values().map(Vec::len).sum();
    let last_known = placed.keys().chain(changes.iter().flat_map(|changes| changes.keys())).max();
    let last_revision = last_known.copied().unwrap_or(Revision::FIRST);
    let verdict = not_backwards(history)
        .and_then(|()| Replay::new(history, changes).run(&placed, last_revision))
        .map_or_else(|verdict| verdict, |()| Verdict::Consistent);
    Report { verdict, judged, without_revision, last_revision }
}

fn violated(rule: Rule, explanation: String) -> Verdict {
    Verdict::Violated { rule, explanation }
}

fn not_backwards(history: &History) -> Result<(), Verdict> {
    let with_revision =
        || history.operations().iter().filter_map(|operation| Some((operation, operation.revision()?)));
    let mut by_invocation: Vec<(&Operation, Revision)> = with_revision().collect();
    by_invocation.sort_by_key(|(operation, _)| operation.invoked);
    let mut by_answer: Vec<(&Operation, Revision)> = with_revision().collect();
    by_answer.sort_by_key(|(operation, _)| operation.outcome.at());
    let mut answered = by_answer.into_iter().peekable();
    let mut highest: Option<(&Operation, Revision)> = None;
    for (operation, revision) in by_invocation {
        while let Some(earlier) =
            answered.next_if(|(earlier, _)| earlier.outcome.at() < Some(operation.invoked))
        {
            if highest.is_none_or(|(_, highest)| earlier.1 > highest) {
                highest = Some(earlier);
            }
        }
        if let Some((earlier, seen)) = highest.filter(|(_, seen)| *seen > revision) {
            let what = format!(
                "{} is at revision {revision}, although {} had revision {seen} before it was invoked",
                tell::operation(operation),
                tell::operation(earlier)
            );
            return Err(violated(Rule::NotBackwards, what));
        }
    }
    Ok(())
}

/// The state, revision by revision, with all older ones.
struct Replay<'h> {
    /// For each key its changes, oldest first.
    versions: BTreeMap<Bytes, Vec<(Revision, Option<Cell>)>>,
    now: BTreeMap<Bytes, Cell>,
    revision: Revision,
    /// The write that was invoked last of all those so far.
    latest: Option<(Time, Revision)>,
    gaps: Gaps<'h>,
    changes: Option<&'h Changes>,
}

/// What an operation does in the present state, if its answer is right.
struct Done {
    touched: Vec<Touched>,
    has_written: bool,
}

impl<'h> Replay<'h> {
    fn new(history: &'h History, changes: Option<&'h Changes>) -> Replay<'h> {
        Replay {
            versions: BTreeMap::new(),
            now: BTreeMap::new(),
            revision: Revision::FIRST,
            latest: None,
            gaps: Gaps::new(history),
            changes,
        }
    }

    fn run(
        &mut self,
        placed: &BTreeMap<Revision, Vec<&'h Operation>>,
        last: Revision,
    ) -> Result<(), Verdict> {
        let nobody = Vec::new();
        let mut maker: Option<&Operation> = None;
        loop {
            for operation in placed.get(&self.revision).unwrap_or(&nobody) {
                self.check_not_ahead(operation)?;
                if !maker.is_some_and(|maker| std::ptr::eq(maker, *operation)) {
                    self.check_read(operation)?;
                }
            }
            if self.revision >= last {
                return Ok(());
            }
            let next = self.revision.next();
            maker = self.make(next, placed.get(&next).unwrap_or(&nobody))?;
        }
    }

    /// Makes the next revision, and says which operation did it; `None` if no client did.
    fn make(&mut self, next: Revision, here: &[&'h Operation]) -> Result<Option<&'h Operation>, Verdict> {
        let writes: Vec<&Operation> =
            here.iter().filter(|operation| certainly_wrote(operation)).copied().collect();
        if let [one, other, ..] = writes.as_slice() {
            let (one, other) = (tell::operation(one), tell::operation(other));
            return Err(violated(
                Rule::Dense,
                format!("revision {next} was made twice, by {one} and by {other}"),
            ));
        }
        let maker = match writes.first() {
            Some(write) => Some((*write, self.replay(write, next)?)),
            // Some answers do not tell whether anything was changed.
            None => here.iter().find_map(|operation| {
                let done = self.attempt(operation, Some(self.revision), Some(next));
                Some((*operation, done.filter(|done| done.has_written)?))
            }),
        };
        let (maker, touched) = match maker {
            Some((maker, done)) => (Some(maker), done.touched),
            None => self.fill(next)?,
        };
        self.check_changes(next, maker, &touched)?;
        if let Some(maker) =
            maker.filter(|maker| self.latest.is_none_or(|(latest, _)| maker.invoked > latest))
        {
            self.latest = Some((maker.invoked, next));
        }
        for Touched { key, cell, .. } in touched {
            self.versions.entry(key.clone()).or_default().push((next, cell.clone()));
            match cell {
                Some(cell) => self.now.insert(key, cell),
                None => self.now.remove(&key),
            };
        }
        self.revision = next;
        Ok(maker)
    }

    fn replay(&self, write: &Operation, next: Revision) -> Result<Done, Verdict> {
        match self.attempt(write, Some(self.revision), Some(next)) {
            Some(done) if done.has_written => Ok(done),
            Some(_) => {
                let what = format!("{} made revision {next} and changed nothing", tell::operation(write));
                Err(violated(Rule::Replay, what))
            }
            None => {
                let what = format!(
                    "{} made revision {next}, but that is no right answer in the state of revision {}: {}",
                    tell::operation(write),
                    self.revision,
                    self.told(&write.request)
                );
                Err(violated(Rule::Replay, what))
            }
        }
    }

    /// Finds who made a revision that no answer claims.
    fn fill(&mut self, next: Revision) -> Result<(Option<&'h Operation>, Vec<Touched>), Verdict> {
        let known = self.changes.and_then(|changes| changes.get(&next));
        let mut found: Vec<(usize, &'h Operation, Vec<Touched>)> = Vec::new();
        for place in self.gaps.candidates(next, known) {
            let operation = self.gaps.operation(place);
            let Some(done) = self.attempt(operation, Some(self.revision), Some(next)) else { continue };
            // Of those that ask for the same, the one that was invoked first can stand for each of the others.
            let asked = without_answer(&operation.request);
            let is_alike = |(_, other, _): &(usize, &Operation, _)| without_answer(&other.request) == asked;
            if done.has_written
                && self.gaps.explains(next, known, &done.touched)
                && !found.iter().any(is_alike)
            {
                found.push((place, operation, done.touched));
            }
        }
        match found.len() {
            1 => {
                let (place, operation, touched) = found.remove(0);
                self.gaps.fill(place);
                Ok((Some(operation), touched))
            }
            0 => match known.map(|known| self.expired(known)) {
                Some(Some(touched)) => Ok((None, touched)),
                Some(None) | None => Err(violated(
                    Rule::Dense,
                    format!("revision {next} was made by no operation of this history"),
                )),
            },
            several => {
                let some: Vec<String> = found.iter().take(3).map(|found| tell::operation(found.1)).collect();
                let why = format!(
                    "revision {next} may have been made by {several} operations: {}. Give the changes of each revision",
                    some.join("; ")
                );
                Err(Verdict::Undecided { why })
            }
        }
    }

    /// The deletion of keys that all had a deadline: the store removes them by itself.
    fn expired(&self, known: &BTreeMap<Bytes, Option<Bytes>>) -> Option<Vec<Touched>> {
        let is_mortal = |key: &Bytes| self.now.get(key).is_some_and(|cell| cell.life != Life::Endless);
        let all_expired = known.iter().all(|(key, value)| value.is_none() && is_mortal(key));
        all_expired.then(|| known.keys().map(|key| Touched::removed(key.clone())).collect())
    }

    fn check_changes(
        &self,
        next: Revision,
        maker: Option<&Operation>,
        touched: &[Touched],
    ) -> Result<(), Verdict> {
        let Some(changes) = self.changes else { return Ok(()) };
        let made: BTreeMap<Bytes, Option<Bytes>> = touched
            .iter()
            .map(|touched| (touched.key.clone(), touched.cell.as_ref().map(|cell| cell.value.clone())))
            .collect();
        if changes.get(&next) == Some(&made) {
            return Ok(());
        }
        let who = maker.map_or_else(|| "the store".to_string(), tell::operation);
        let what = format!(
            "{who} made revision {next}, which should have changed {}, but it changed {}",
            told_changes(&made),
            changes.get(&next).map_or_else(|| "nothing".to_string(), told_changes)
        );
        Err(violated(Rule::Replay, what))
    }

    fn check_read(&self, operation: &Operation) -> Result<(), Verdict> {
        let past = match &operation.request {
            Request::Range(range) => range.revision.filter(|past| *past < self.revision),
            _ => None,
        };
        // Refused, because the past is gone: nobody can tell.
        if matches!(operation.response(), Some(Response::Error(_))) {
            return Ok(());
        }
        let done = match past {
            Some(past) => {
                let view = View { replay: self, past: Some(past) };
                attempt(&view, operation, Some(self.revision), None)
            }
            None => self.attempt(operation, Some(self.revision), None),
        };
        match done {
            Some(done) if !done.has_written => Ok(()),
            Some(_) | None => {
                let what = format!(
                    "{} was answered at revision {}, where that is not right: {}",
                    tell::operation(operation),
                    self.revision,
                    self.told(&operation.request)
                );
                Err(violated(Rule::Reads, what))
            }
        }
    }

    fn check_not_ahead(&self, operation: &Operation) -> Result<(), Verdict> {
        let Some((invoked, made)) = self.latest else { return Ok(()) };
        if operation.outcome.at() >= Some(invoked) {
            return Ok(());
        }
        let what = format!(
            "{} is at revision {}, but revision {made} was made by an operation that was invoked only at {}",
            tell::operation(operation),
            self.revision,
            tell::time(invoked)
        );
        Err(violated(Rule::NotAhead, what))
    }

    fn attempt(
        &self,
        operation: &Operation,
        before: Option<Revision>,
        makes: Option<Revision>,
    ) -> Option<Done> {
        attempt(&View { replay: self, past: None }, operation, before, makes)
    }

    /// The keys that a request is about, as they are now.
    fn told(&self, request: &Request) -> String {
        let crate::keys::Reach::Ranges(ranges) = crate::keys::reach(request) else {
            return format!("{} keys exist", self.now.len());
        };
        let inside = |(key, _): &(&Bytes, &Cell)| ranges.iter().any(|range| range.contains(key));
        let told: Vec<String> = self
            .now
            .iter()
            .filter(inside)
            .take(4)
            .map(|(key, cell)| {
                let modified =
                    cell.modified.map_or_else(String::new, |modified| format!(" of revision {modified}"));
                format!("{} is {}{modified}", tell::text(key), tell::text(&cell.value))
            })
            .collect();
        if told.is_empty() { "there is no such key".to_string() } else { told.join(", ") }
    }
}

fn told_changes(changes: &BTreeMap<Bytes, Option<Bytes>>) -> String {
    let told: Vec<String> = changes
        .iter()
        .take(4)
        .map(|(key, value)| match value {
            Some(value) => format!("{} to {}", tell::text(key), tell::text(value)),
            None => format!("{} to nothing", tell::text(key)),
        })
        .collect();
    if told.is_empty() { "nothing".to_string() } else { told.join(", ") }
}

/// Whether the answer alone says that something was changed.
fn certainly_wrote(operation: &Operation) -> bool {
    match operation.response() {
        Some(Response::Put(_)) => true,
        Some(Response::DeleteRange(delete)) => delete.deleted > 0,
        _ => false,
    }
}

/// Does an operation, and says what it has done if its answer is right.
fn attempt(
    view: &View<'_, '_>,
    operation: &Operation,
    before: Option<Revision>,
    makes: Option<Revision>,
) -> Option<Done> {
    if operation
        .response()
        .is_some_and(|response| makes.is_some() && changes_nothing(&operation.request, response))
    {
        return None;
    }
    let mut choices = Choices::default();
    loop {
        let mut step = Step::new(view, before, makes, &mut choices);
        let expected = step.run(&operation.request);
        let done = Done { has_written: step.has_written, touched: step.written() };
        if operation.response().is_none_or(|given| fits(&operation.request, &expected, given)) {
            return Some(done);
        }
        if !choices.next_path() {
            return None;
        }
    }
}

/// The state now, or as of an older revision.
struct View<'a, 'h> {
    replay: &'a Replay<'h>,
    past: Option<Revision>,
}

impl Cells for View<'_, '_> {
    fn cell(&self, key: &[u8]) -> Option<&Cell> {
        let Some(past) = self.past else { return self.replay.now.get(key) };
        let versions = self.replay.versions.get(key)?;
        let count = versions.partition_point(|(revision, _)| *revision <= past);
        versions[..count].last()?.1.as_ref()
    }

    fn keys_in(&self, range: &KeyRange) -> Vec<Bytes> {
        let from = match range {
            KeyRange::One(from) | KeyRange::Span { from, .. } | KeyRange::From(from) => from,
        };
        let keys = self.replay.versions.range::<Bytes, _>(from..).map(|(key, _)| key);
        keys.take_while(|key| range.contains(key)).filter(|key| self.cell(key).is_some()).cloned().collect()
    }

    fn keys_vanish(&self) -> bool {
        false
    }
}
