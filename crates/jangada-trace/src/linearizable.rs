//! Linearizability: is there an order of all operations that explains every answer and in which whatever was
//! answered before another operation was invoked also comes before it? (Herlihy and Wing, 1990)
//!
//! The question is answered without any trust in revisions: those that answers carry serve only to tell changes
//! apart (a compare on `mod_revision`), and as a hint to which order to try first. That makes it a second opinion
//! beside the witness, which believes them and checks that all fits.
//!
//! **Groups of keys.** A history is linearizable if it is so for each object alone, so keys are judged apart. A
//! request that writes several keys, or that reads or compares some to write others, makes one object of them:
//! their keys are joined into a group and searched together, which is exact, but the search sees more at once.
//! A request that only reads joins its keys too, as long as the group has at most [`Limits::max_joined_keys`];
//! otherwise it is counted in [`Report::left_to_witness`] and not judged here. So are reads whose answer depends on
//! revisions (old ones, filters, sorting by them) and `KEYS`, `SCAN` and `DBSIZE`.
//!
//! **Versions.** How often a key was changed is judged only in groups in which every operation was answered.
//!
//! **Time.** Operations whose windows only touch count as concurrent. Keys with a deadline may vanish at any time:
//! whether they do so too early or too late is not judged here.

use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

use bytes::Bytes;
use jangada_kv::{KeyRange, Request};

use crate::held::{Contradiction, contradiction};
use crate::history::{History, Operation, Outcome};
use crate::keys::{Reach, reach};
use crate::places::Places;
use crate::resolve::{Candidate, Resolved, What, candidates, changes_nothing, shown, visit};
use crate::search::{Found, Search, TooMany};
use crate::states::{StateId, States};
use crate::tell;

/// What a check may cost. A search that is stopped by a limit says so; it never guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most steps for a group of keys.
    pub max_steps: u64,
    /// Most bytes for a group of keys, about.
    pub max_bytes: usize,
    /// Most keys in a group that are joined only because somebody reads them together.
    pub max_joined_keys: usize,
}

/// 20 million steps, 512 MiB, 64 keys.
impl Default for Limits {
    fn default() -> Limits {
        Limits { max_steps: 20_000_000, max_bytes: 512 << 20, max_joined_keys: 64 }
    }
}

/// The answer to the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none.
    NotLinearizable {
        /// The key that it fails at, the first of a group.
        key: Bytes,
        /// The first answer that nothing explains, and what could have been there instead.
        explanation: String,
    },
    /// The search was stopped by a limit. A caller should treat it as a failure: the history is too hard, and the next
    /// one should have fewer clients or fewer operations for a key.
    Undecided {
        /// The key that it is about, the first of a group.
        key: Bytes,
        /// Which limit.
        why: String,
    },
}

/// The verdict, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The verdict on all that was judged.
    pub verdict: Verdict,
    /// Operations that were judged.
    pub judged: usize,
    /// Operations that were not: only the witness can judge them, see [the module](self).
    pub left_to_witness: usize,
    /// Groups of keys.
    pub groups: usize,
    /// Steps of all searches.
    pub steps: u64,
}

/// Checks a history that begins with an empty store.
#[must_use]
pub fn check(history: &History, limits: &Limits) -> Report {
    let (groups, left_to_witness) = group(history, limits);
    let mut report = Report {
        verdict: Verdict::Linearizable,
        judged: groups.iter().map(|group| group.operations.len()).sum(),
        left_to_witness,
        groups: groups.len(),
        steps: 0,
    };
    for group in &groups {
        let (verdict, steps) = check_group(group, limits);
        report.steps += steps;
        match verdict {
            Verdict::Linearizable => {}
            Verdict::NotLinearizable { .. } => {
                report.verdict = verdict;
                return report;
            }
            // Another group may still have a clear answer.
            Verdict::Undecided { .. } if report.verdict == Verdict::Linearizable => report.verdict = verdict,
            Verdict::Undecided { .. } => {}
        }
    }
    report
}

/// Keys that must be judged together, and the operations on them.
struct Group<'h> {
    /// In order.
    keys: Vec<Bytes>,
    operations: Vec<&'h Operation>,
}

fn group<'h>(history: &'h History, limits: &Limits) -> (Vec<Group<'h>>, usize) {
    // What was refused had no effect, so it binds no keys together either.
    let had_no_effect = |operation: &&Operation| matches!(operation.outcome, Outcome::Refused { .. });
    let operations = history.operations().iter().filter(|operation| !had_no_effect(operation));
    let reaches: Vec<(&Operation, Reach)> =
        operations.map(|operation| (operation, reach(&operation.request))).collect();
    let mut keys: BTreeMap<&Bytes, usize> = BTreeMap::new();
    for (_, reach) in &reaches {
        for key in ranges(reach).iter().filter_map(only_key) {
            keys.insert(key, 0);
        }
    }
    (0..).zip(keys.values_mut()).for_each(|(number, slot)| *slot = number);
    let members = |reach: &Reach| -> Vec<usize> {
        let mut members = Vec::new();
        let within =
            |bounds: (Bound<&Bytes>, Bound<&Bytes>)| keys.range::<Bytes, _>(bounds).map(|(_, number)| number);
        for range in ranges(reach) {
            match range {
                KeyRange::One(key) => members.extend(keys.get(key)),
                KeyRange::Span { from, to } if from < to => {
                    members.extend(within((Included(from), Excluded(to))));
                }
                KeyRange::Span { .. } => {}
                KeyRange::From(from) => members.extend(within((Included(from), Unbounded))),
            }
        }
        members
    };
    let mut joined = Joined::new(keys.len());
    for (_, reach) in reaches.iter().filter(|(operation, _)| !only_reads(operation)) {
        joined.join(&members(reach));
    }
    let mut left_to_witness = reaches.iter().filter(|(_, reach)| *reach == Reach::BeyondValues).count();
    let mut groups: BTreeMap<Option<usize>, Vec<&Operation>> = BTreeMap::new();
    let mut judged = Vec::new();
    for (operation, reach) in reaches.iter().filter(|(_, reach)| matches!(reach, Reach::Ranges(_))) {
        let members = members(reach);
        if only_reads(operation) && members.len() > 1 {
            if joined.size_of_all(&members) > limits.max_joined_keys {
                left_to_witness += 1;
                continue;
            }
            joined.join(&members);
        }
        judged.push((*operation, members.first().copied()));
    }
    for (operation, member) in judged {
        groups.entry(member.map(|member| joined.root(member))).or_default().push(operation);
    }
    let mut keys_of: BTreeMap<usize, Vec<Bytes>> = BTreeMap::new();
    for (key, number) in &keys {
        keys_of.entry(joined.root(*number)).or_default().push(Bytes::clone(key));
    }
    let groups = groups
        .into_iter()
        .map(|(root, operations)| Group {
            keys: root.and_then(|root| keys_of.remove(&root)).unwrap_or_default(),
            operations,
        })
        .collect();
    (groups, left_to_witness)
}

fn ranges(reach: &Reach) -> &[KeyRange] {
    match reach {
        Reach::Ranges(ranges) => ranges,
        Reach::Nothing | Reach::BeyondValues => &[],
    }
}

fn only_key(range: &KeyRange) -> Option<&Bytes> {
    match range {
        KeyRange::One(key) => Some(key),
        KeyRange::Span { .. } | KeyRange::From(_) => None,
    }
}

/// Whether the operation changes nothing, by its nature or by its answer.
fn only_reads(operation: &Operation) -> bool {
    operation.request.is_read_only()
        || operation.response().is_some_and(|response| changes_nothing(&operation.request, response))
}

/// Sets of keys that only grow together.
struct Joined {
    parents: Vec<usize>,
    sizes: Vec<usize>,
}

impl Joined {
    fn new(keys: usize) -> Joined {
        Joined { parents: (0..keys).collect(), sizes: vec![1; keys] }
    }

    fn root(&mut self, mut member: usize) -> usize {
        while self.parents[member] != member {
            self.parents[member] = self.parents[self.parents[member]];
            member = self.parents[member];
        }
        member
    }

    fn join(&mut self, members: &[usize]) {
        for pair in members.windows(2) {
            let (a, b) = (self.root(pair[0]), self.root(pair[1]));
            if a != b {
                // The smaller root stays, so that groups come in the order of their first keys.
                let (a, b) = (a.min(b), a.max(b));
                self.parents[b] = a;
                self.sizes[a] += self.sizes[b];
            }
        }
    }

    fn size_of_all(&mut self, members: &[usize]) -> usize {
        let mut roots: Vec<usize> = members.iter().map(|member| self.root(*member)).collect();
        roots.sort_unstable();
        roots.dedup();
        roots.iter().map(|root| self.sizes[*root]).sum()
    }
}

/// Words of places for the operations that are on their way at the same time: tried first, and if they are too few.
const FEW: usize = 2;
const MANY: usize = 16;

fn check_group(group: &Group<'_>, limits: &Limits) -> (Verdict, u64) {
    let key = group.keys.first().cloned().unwrap_or_default();
    let resolved = candidates(&group.operations);
    let shows_versions = group.operations.iter().any(|operation| {
        matches!(
            operation.request,
            Request::Range(_) | Request::Put(_) | Request::DeleteRange(_) | Request::Txn(_)
        )
    });
    // An unanswered write may or may not have counted: what it leaves to be known of versions is not worth the search.
    let tracks_versions = shows_versions
        && resolved.candidates.iter().all(|candidate| candidate.operation.response().is_some());
    let versions = tracks_versions;
    search::<FEW>(group, &resolved, versions, limits)
        .or_else(|TooMany| search::<MANY>(group, &resolved, versions, limits))
        .unwrap_or_else(|TooMany| {
            let why = format!("more than {} operations at the same time", Places::<MANY>::COUNT);
            (wrong_at_sight(group, &resolved).unwrap_or(Verdict::Undecided { key, why }), 0)
        })
}

/// Looks for an order, with room for `WORDS * 64` operations at the same time.
fn search<const WORDS: usize>(
    group: &Group<'_>,
    resolved: &Resolved<'_>,
    tracks_versions: bool,
    limits: &Limits,
) -> Result<(Verdict, u64), TooMany> {
    let key = group.keys.first().cloned().unwrap_or_default();
    let states = States::new(group.keys.clone(), tracks_versions);
    let mut search = Search::<WORDS>::new(&resolved.candidates, states)?;
    let mut found = search.deep_first(limits);
    if let Found::Undecided { .. } = found {
        if let Some(verdict) = wrong_at_sight(group, resolved) {
            return Ok((verdict, search.steps));
        }
        found = search.layer_by_layer(limits, found);
    }
    let verdict = match found {
        Found::Order => Verdict::Linearizable,
        Found::Undecided { why } => Verdict::Undecided { key, why },
        Found::Stuck { candidate, states } => {
            explain(group, resolved, &resolved.candidates[candidate], &states, &search.states)
        }
    };
    Ok((verdict, search.steps))
}

/// Most wrong answers are wrong for a reason that needs no search.
fn wrong_at_sight(group: &Group<'_>, resolved: &Resolved<'_>) -> Option<Verdict> {
    let Contradiction { key, explanation } = contradiction(&resolved.candidates, &group.keys)?;
    Some(Verdict::NotLinearizable { key, explanation })
}

/// Says which answer nothing explains, and what was there instead, whatever the order.
fn explain(
    group: &Group<'_>,
    resolved: &Resolved<'_>,
    stuck: &Candidate<'_>,
    reached: &[StateId],
    states: &States,
) -> Verdict {
    let of_the_stuck = reach(&stuck.operation.request);
    let touched: Vec<&Bytes> = group
        .keys
        .iter()
        .filter(|key| ranges(&of_the_stuck).iter().any(|range| range.contains(key)))
        .collect();
    let mut could_be: Vec<String> = reached
        .iter()
        .map(|state| {
            let told = touched.iter().take(4).map(|key| match states.cell(*state, key) {
                Some(cell) => format!("{} = {}", tell::text(key), written(resolved, &cell.value)),
                None => format!("{} missing", tell::text(key)),
            });
            told.collect::<Vec<String>>().join(", ")
        })
        .collect();
    could_be.sort();
    could_be.dedup();
    let candidates = &resolved.candidates;
    let before = candidates.iter().filter(|other| other.until.is_some() && other.until < stuck.until).count();
    let mut explanation = format!(
        "nothing explains {}: in each order of the {before} operations that were answered before, and of those on \
         their way, it meets {}",
        tell::operation(stuck.operation),
        could_be.join(", or ")
    );
    if stuck.operation.response().is_none() {
        explanation.push_str(" (it was not answered, but somebody was shown its value by then)");
    }
    if let Some(ghost) = ghost(candidates, stuck) {
        explanation.push_str(&format!("; nobody had asked to write {} by then", tell::text(ghost)));
    }
    let key = touched.first().map_or_else(Bytes::new, |key| Bytes::clone(key));
    Verdict::NotLinearizable { key, explanation }
}

/// A value with who wrote it.
fn written(resolved: &Resolved<'_>, value: &Bytes) -> String {
    if resolved.stand_ins.contains(value) {
        return "a value that nobody was ever shown".to_string();
    }
    let mut writers =
        resolved.candidates.iter().filter(|candidate| writes(&candidate.operation.request, value));
    match (writers.next(), writers.next()) {
        (Some(one), None) => format!(
            "{} (by client {} at {})",
            tell::text(value),
            one.operation.client,
            tell::time(one.operation.invoked)
        ),
        _ => tell::text(value),
    }
}

fn writes(request: &Request, value: &Bytes) -> bool {
    let mut found = false;
    visit(request, &mut |what| found |= matches!(what, What::Written(own) if own == value));
    found
}

/// A value in the answer that nobody had asked to write by then.
fn ghost<'h>(candidates: &[Candidate<'h>], stuck: &Candidate<'h>) -> Option<&'h Bytes> {
    let mut appends = false;
    for candidate in candidates {
        visit(&candidate.operation.request, &mut |what| appends |= matches!(what, What::Appended(_)));
    }
    let mut ghost = None;
    shown(stuck.operation.response()?, &mut |value| {
        let is_known = candidates.iter().any(|candidate| {
            Some(candidate.operation.invoked) <= stuck.until && writes(&candidate.operation.request, value)
        });
        if !is_known && crate::model_strings::number(value).is_none() && !value.is_empty() {
            ghost = Some(value);
        }
    });
    ghost.filter(|_| !appends)
}
