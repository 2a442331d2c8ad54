//! Values that a key must have held for some time, and what cannot have happened meanwhile: wrong histories that need no
//! search.
//!
//! To reject a history the search has to try everything that might be an order, and operations without an answer make that
//! too much. Most wrong answers are wrong for a reason of a few operations, though: a read shows a value that was
//! replaced long ago. If one operation alone writes `v`, and `v` cannot come about in another way, then the key holds `v`
//! (with what was appended to it) once, without a break. So it holds it from the first moment at which one of those that
//! show or write it had come to its end, up to the last one at which another one of them had not yet begun (Gibbons and
//! Korach 1997 call that a zone). Whatever lies in between as a whole, and replaces or removes the value, or is told
//! something else, contradicts that; so does another value with such a time that overlaps.
//!
//! What is found here is certain. What is not found may still be wrong: the search alone can tell.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::{Command, KeyRange, Reply, Request, Response, SetCondition};
use jangada_raft::types::Time;

use crate::history::{Operation, Outcome};
use crate::resolve::{Candidate, What, certain_origins, shown, visit};
use crate::tell;

/// Two things that cannot both be so.
pub(crate) struct Contradiction {
    /// Where.
    pub(crate) key: Bytes,
    /// In a sentence.
    pub(crate) explanation: String,
}

/// The time in which a key held a value.
struct Held<'h> {
    value: &'h Bytes,
    /// It holds it since then at the latest, by this one.
    since: (Time, &'h Operation),
    /// And until then at least, by this one.
    until: (Time, &'h Operation),
}

impl<'h> Held<'h> {
    fn spans(&self) -> bool {
        self.since.0 < self.until.0
    }

    fn told(&self, against: &str) -> String {
        format!(
            "nothing explains {}: {} was there already when {} had come to its end, and {against}",
            tell::operation(self.until.1),
            tell::text(self.value),
            tell::operation(self.since.1),
        )
    }
}

/// A reason why no order of these operations explains all their answers, if one is near at hand. `keys` are all that they
/// are about.
pub(crate) fn contradiction<'h>(candidates: &[Candidate<'h>], keys: &'h [Bytes]) -> Option<Contradiction> {
    let mut held = held(candidates, keys);
    held.retain(|_, times| {
        times.retain(Held::spans);
        times.sort_by_key(|held| held.since.0);
        !times.is_empty()
    });
    for (key, times) in &held {
        let found = overlap(times).or_else(|| {
            let about = |candidate: &Candidate<'_>| only_key(&candidate.operation.request, keys) == Some(key);
            let operations = candidates.iter().filter(|it| about(it)).map(|it| it.operation);
            operations.filter_map(|operation| between(times, operation)).next()
        });
        if let Some(explanation) = found {
            return Some(Contradiction { key: Bytes::clone(key), explanation });
        }
    }
    None
}

/// The times of all values that only one operation can have brought about, by key.
fn held<'h>(candidates: &[Candidate<'h>], keys: &'h [Bytes]) -> BTreeMap<&'h Bytes, Vec<Held<'h>>> {
    let origins = certain_origins(candidates);
    let mut writers: BTreeMap<&Bytes, &'h Operation> = BTreeMap::new();
    for candidate in candidates {
        visit(&candidate.operation.request, &mut |what| {
            if let What::Written(value) = what {
                writers.insert(value, candidate.operation);
            }
        });
    }
    let mut all: BTreeMap<(&'h Bytes, &'h Bytes), Held<'h>> = BTreeMap::new();
    for candidate in candidates {
        let operation = candidate.operation;
        let Outcome::Returned { response, .. } = &operation.outcome else { continue };
        let Some(key) = only_key(&operation.request, keys) else { continue };
        shown(response, &mut |value| {
            let Some(origin) = origins.get(value).copied() else { return };
            let of_writer = writers.get(origin).copied().map(|writer| (writer, end(writer)));
            let held = all.entry((key, origin)).or_insert_with(|| {
                // It is written before anybody is shown it, answered or not.
                let (writer, written) = of_writer.unwrap_or((operation, None));
                let since = written.map_or((Time(u64::MAX), writer), |end| (end, writer));
                Held { value: origin, since, until: (writer.invoked, writer) }
            });
            let end = end(operation).unwrap_or(Time(u64::MAX));
            if end < held.since.0 {
                held.since = (end, operation);
            }
            if operation.invoked > held.until.0 {
                held.until = (operation.invoked, operation);
            }
        });
    }
    let mut by_key: BTreeMap<&Bytes, Vec<Held<'h>>> = BTreeMap::new();
    for ((key, _), held) in all {
        by_key.entry(key).or_default().push(held);
    }
    by_key
}

/// Two values at the same time. They are in the order in which they begin.
fn overlap(times: &[Held<'_>]) -> Option<String> {
    let mut longest = times.first()?;
    for held in &times[1..] {
        if held.since.0 < longest.until.0 {
            let value = tell::text(held.value);
            let (since, until) = (tell::operation(held.since.1), tell::operation(held.until.1));
            return Some(longest.told(&format!("{value} was there from the end of {since} to {until}")));
        }
        if held.until.0 > longest.until.0 {
            longest = held;
        }
    }
    None
}

/// An operation that lies within such a time, and cannot.
fn between(times: &[Held<'_>], operation: &Operation) -> Option<String> {
    let at = end(operation)?;
    // They do not overlap: only the last one that begins before it can hold it.
    let place = times.partition_point(|held| held.since.0 < operation.invoked).checked_sub(1)?;
    let held = &times[place];
    let lies_within = held.since.0 < operation.invoked && at < held.until.0;
    (lies_within && denies(operation, held.value))
        .then(|| held.told(&format!("in between came {}", tell::operation(operation))))
}

/// Its answer says that the key's value did not begin so, or did not any more afterwards.
fn denies(operation: &Operation, value: &Bytes) -> bool {
    let Some(response) = operation.response() else { return false };
    if let Response::Reply(Reply::Error(_)) = response
        && !matches!(operation.request, Request::Command(Command::Increment { .. }))
    {
        return false;
    }
    // Nothing at all is what a range shows without the values.
    let mut is_shown_another = false;
    shown(response, &mut |other| is_shown_another |= !other.is_empty() && !other.starts_with(value));
    let is_nothing =
        |response: &Response| matches!(response, Response::Reply(Reply::Nil | Reply::Integer(0)));
    is_shown_another
        || match (&operation.request, response) {
            // Refused, as there was nothing.
            (_, Response::Error(_)) => true,
            (Request::Put(put), _) => !put.ignore_value,
            (Request::DeleteRange(_), _) => true,
            (Request::Range(_), Response::Range(range)) => range.count == 0,
            (Request::Command(command), _) => match command {
                Command::Get { .. } | Command::Exists { .. } => is_nothing(response),
                Command::Delete { .. } | Command::GetDelete { .. } => true,
                Command::SetNx { .. } => !is_nothing(response),
                Command::Set(set) => match set.condition {
                    SetCondition::Always => true,
                    // It was missing; with the old value as the answer nothing else is told.
                    SetCondition::IfMissing => is_nothing(response) == set.get,
                    // It was replaced, or was missing.
                    SetCondition::IfPresent => true,
                },
                // Neither a number, nor missing.
                Command::Increment { .. } => matches!(response, Response::Reply(Reply::Integer(_))),
                _ => false,
            },
            _ => false,
        }
}

fn end(operation: &Operation) -> Option<Time> {
    match &operation.outcome {
        Outcome::Returned { at, .. } => Some(*at),
        Outcome::Refused { .. } | Outcome::Unknown => None,
    }
}

/// The one key that a simple request is about: what it shows was there before it, and what it writes is there after it.
fn only_key<'a>(request: &'a Request, keys: &'a [Bytes]) -> Option<&'a Bytes> {
    match request {
        Request::Put(put) => Some(&put.key),
        Request::DeleteRange(delete) => one(&delete.range, keys),
        Request::Range(range) => one(&range.range, keys),
        Request::Command(command) => match command {
            Command::Get { key }
            | Command::SetNx { key, .. }
            | Command::Increment { key, .. }
            | Command::Append { key, .. }
            | Command::GetDelete { key } => Some(key),
            Command::Set(set) => Some(&set.key),
            Command::Delete { keys } | Command::Exists { keys } => match &keys[..] {
                [key] => Some(key),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn one<'a>(range: &'a KeyRange, keys: &'a [Bytes]) -> Option<&'a Bytes> {
    match range {
        KeyRange::One(key) => Some(key),
        KeyRange::Span { .. } | KeyRange::From(_) => {
            let mut within = keys.iter().filter(|key| range.contains(key));
            within.next().filter(|_| within.next().is_none())
        }
    }
}
