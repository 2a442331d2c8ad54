//! What becomes of operations, above all of those without an answer, before the search begins.
//!
//! An operation that nobody answered may take effect at any time after it was invoked, so it is a candidate at
//! each later step of the search: twenty of them would make a million subsets. Three rules, each of which changes
//! nothing in whether an order exists, keep them harmless:
//!
//! 1. **Seen.** If nobody else writes the value `v`, and somebody was shown `v`, then the write of `v` took effect,
//!    before the first answer that shows it had come. So that moment is its end, like that of any other operation.
//!    What was shown may have been appended to: if `v` is the only beginning from which it can have come by what
//!    anybody appends, that is as good.
//! 2. **Never seen.** If a value is written once, never shown and never compared with, then no answer depends on
//!    which value it was: a delete may have found it, a version may have counted it, but nobody could tell it from any
//!    other such value. So all of them are taken to be the same value, and the states that differed in them alone
//!    are one. The writes are not simply dropped, although in most histories one could: the delete that found a
//!    key may be explained by nothing else.
//! 3. **Alike.** Of unanswered operations that ask for the same, the one that was invoked first can stand for
//!    each of the others, so the search uses them in this order only. Rule 2 makes many of them alike.
//!
//! A value that could also arise in another way (a number, by `INCR`; one that ends like something appended) is
//! exempt, and where lengths are told, only values of one length are the same.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jangada_kv::{
    Command, CompareOperator, CompareTarget, DeleteRange, Error, KeyValue, Put, Reply, Request, Response,
    Set, SetCondition, SortTarget, Txn, TxnOp, TxnOpResponse,
};
use jangada_raft::types::Time;

use crate::history::{Operation, Outcome};
use crate::model_strings::number;

/// An operation as the search sees it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'h> {
    pub(crate) operation: &'h Operation,
    /// What it asks for, or something that comes to the same.
    pub(crate) request: Cow<'h, Request>,
    /// When it has taken effect at the latest; `None`: it may never.
    pub(crate) until: Option<Time>,
    /// Given its answer it has changed nothing.
    pub(crate) is_pure: bool,
}

/// What the search has to work with.
pub(crate) struct Resolved<'h> {
    /// By the moment of invocation.
    pub(crate) candidates: Vec<Candidate<'h>>,
    /// Values that stand for all that nobody was shown.
    pub(crate) stand_ins: Vec<Bytes>,
}

/// The candidates for a group of keys. Those that certainly had no effect are left out, and so are unanswered reads.
pub(crate) fn candidates<'h>(operations: &[&'h Operation]) -> Resolved<'h> {
    let mut candidates: Vec<Candidate<'h>> = operations
        .iter()
        .filter_map(|operation| {
            let (until, is_pure) = match &operation.outcome {
                Outcome::Refused { .. } => return None,
                Outcome::Unknown if operation.request.is_read_only() => return None,
                Outcome::Unknown => (None, false),
                // Refused for what it is, whatever the state. A missing key is the exception: the state decides.
                Outcome::Returned { response: Response::Error(error), .. }
                    if *error != Error::KeyNotFound =>
                {
                    return None;
                }
                Outcome::Returned { at, response, .. } => {
                    (Some(*at), changes_nothing(&operation.request, response))
                }
            };
            Some(Candidate { operation, request: Cow::Borrowed(&operation.request), until, is_pure })
        })
        .collect();
    candidates.sort_by_key(|candidate| candidate.operation.invoked);
    let is_resolvable = !candidates.iter().any(|candidate| sorts_by_value(&candidate.request));
    let stand_ins = match candidates.iter().any(|candidate| candidate.until.is_none()) && is_resolvable {
        true => resolve(&mut candidates),
        false => Vec::new(),
    };
    Resolved { candidates, stand_ins }
}

/// What is known of a value.
#[derive(Default)]
struct Fame {
    /// By how many operations it is written.
    writes: u32,
    is_compared: bool,
    /// When the first answer that shows it had come.
    shown: Option<Time>,
}

fn resolve(candidates: &mut [Candidate<'_>]) -> Vec<Bytes> {
    let fame = fame(candidates);
    let mut additions: BTreeSet<&[u8]> = BTreeSet::new();
    let mut tells_lengths = false;
    let mut orders_values = false;
    for candidate in candidates.iter() {
        visit(&candidate.operation.request, &mut |what| match what {
            What::Appended(addition) => {
                additions.insert(addition);
                tells_lengths = true;
            }
            What::Length => tells_lengths = true,
            What::Compared(_, operator) => {
                orders_values |= matches!(operator, CompareOperator::Greater | CompareOperator::Less);
            }
            What::Written(_) => {}
        });
    }
    additions.remove(b"".as_slice());
    let is_singular = |value: &Bytes| is_singular(value, &fame, &additions);
    let sightings = Sightings::of(&fame, &additions);
    let is_shown = |value: &Bytes| sightings.possible.contains(value);
    let is_unseen = |value: &Bytes| is_singular(value) && !fame[value].is_compared && !is_shown(value);
    let mut stand_ins: BTreeMap<usize, Bytes> = BTreeMap::new();
    for candidate in candidates.iter_mut() {
        let mut renames = false;
        visit(&candidate.operation.request, &mut |what| {
            let What::Written(value) = what else { return };
            let is_open = candidate.until.is_none() && is_singular(value);
            let shown = sightings.certain.get(value).copied().filter(|_| is_open);
            // If it was shown before it was asked for, the search will say so.
            if let Some(shown) = shown.filter(|shown| *shown >= candidate.operation.invoked) {
                candidate.until = Some(candidate.until.map_or(shown, |until| until.min(shown)));
            }
            renames |= !orders_values && is_unseen(value);
        });
        if candidate.operation.response().is_none() {
            candidate.request = Cow::Owned(without_answer(&candidate.operation.request));
        }
        if renames {
            rewrite(candidate.request.to_mut(), &mut |value| {
                if is_unseen(value) {
                    let length = if tells_lengths { value.len() } else { 0 };
                    *value = stand_ins.entry(length).or_insert_with(|| value.clone()).clone();
                }
            });
        }
    }
    stand_ins.into_values().collect()
}

/// For each value that was shown the one from which alone it can have come, as it is or with something appended; only if
/// one operation alone writes that, and nothing else makes it.
pub(crate) fn certain_origins<'h>(candidates: &[Candidate<'h>]) -> BTreeMap<&'h Bytes, &'h Bytes> {
    let fame = fame(candidates);
    let mut additions: BTreeSet<&[u8]> = BTreeSet::new();
    for candidate in candidates {
        visit(&candidate.operation.request, &mut |what| {
            if let What::Appended(addition) = what {
                additions.insert(addition);
            }
        });
    }
    additions.remove(b"".as_slice());
    let is_singular = |value: &Bytes| is_singular(value, &fame, &additions);
    let shown = fame.iter().filter(|(_, fame)| fame.shown.is_some());
    let certain = shown.filter_map(|(value, _)| Some((*value, origins(value, &fame, &additions).certain()?)));
    certain.filter(|(_, origin)| is_singular(origin)).collect()
}

/// One operation alone writes this value, and nothing that counts or appends makes it.
fn is_singular(value: &Bytes, fame: &BTreeMap<&Bytes, Fame>, additions: &BTreeSet<&[u8]>) -> bool {
    let may_be_made = number(value).is_some() || additions.iter().any(|addition| value.ends_with(addition));
    // Nothing at all is what a range shows without the values. And a sign may become a number by what is appended.
    fame[value].writes == 1 && !may_be_made && !value.is_empty() && value[..] != *b"-"
}

/// Where a value can have come from.
struct Origins<'h> {
    /// Written values that are its beginning, with nothing but additions behind it.
    written: Vec<&'h Bytes>,
    /// Appended to nothing, or to what was counted.
    may_be_made: bool,
}

impl<'h> Origins<'h> {
    fn certain(&self) -> Option<&'h Bytes> {
        match (&self.written[..], self.may_be_made) {
            ([origin], false) => Some(origin),
            _ => None,
        }
    }
}

fn origins<'h>(value: &Bytes, fame: &BTreeMap<&'h Bytes, Fame>, additions: &BTreeSet<&[u8]>) -> Origins<'h> {
    let mut origins = Origins { written: Vec::new(), may_be_made: false };
    for end in beginnings(value, additions) {
        let written = fame.get_key_value(&value.slice(..end)).filter(|(_, fame)| fame.writes > 0);
        origins.written.extend(written.map(|(written, _)| *written));
        origins.may_be_made |= end == 0 || number(&value[..end]).is_some();
    }
    origins
}

/// Which written values answers have shown, with what was appended to them.
struct Sightings<'h> {
    /// It may be what an answer has shown, or the beginning of that.
    possible: BTreeSet<&'h Bytes>,
    /// When an answer had come that nothing else explains.
    certain: BTreeMap<&'h Bytes, Time>,
}

impl<'h> Sightings<'h> {
    fn of(fame: &BTreeMap<&'h Bytes, Fame>, additions: &BTreeSet<&[u8]>) -> Sightings<'h> {
        let mut sightings = Sightings { possible: BTreeSet::new(), certain: BTreeMap::new() };
        for (value, shown) in fame.iter().filter_map(|(value, fame)| Some((*value, fame.shown?))) {
            let origins = origins(value, fame, additions);
            sightings.possible.extend(&origins.written);
            if let Some(origin) = origins.certain() {
                let certain = sightings.certain.entry(origin).or_insert(shown);
                *certain = shown.min(*certain);
            }
        }
        sightings
    }
}

/// Where the beginnings of a value end behind which there is nothing but additions.
fn beginnings(value: &[u8], additions: &BTreeSet<&[u8]>) -> Vec<usize> {
    let lengths: BTreeSet<usize> = additions.iter().map(|addition| addition.len()).collect();
    let mut is_added = vec![false; value.len() + 1];
    is_added[value.len()] = true;
    for from in (0..value.len()).rev() {
        is_added[from] = lengths
            .iter()
            .map(|length| from + length)
            .any(|to| is_added.get(to).is_some_and(|rest| *rest) && additions.contains(&value[from..to]));
    }
    (0..=value.len()).filter(|end| is_added[*end]).collect()
}

fn fame<'h>(candidates: &[Candidate<'h>]) -> BTreeMap<&'h Bytes, Fame> {
    let mut fame: BTreeMap<&'h Bytes, Fame> = BTreeMap::new();
    for candidate in candidates {
        // One request may write it in several places, or in one case or the other.
        let mut written = BTreeSet::new();
        visit(&candidate.operation.request, &mut |what| match what {
            What::Written(value) => {
                let is_first = written.insert(value);
                fame.entry(value).or_default().writes += u32::from(is_first);
            }
            What::Compared(value, _) => fame.entry(value).or_default().is_compared = true,
            What::Appended(_) | What::Length => {}
        });
        if let Outcome::Returned { at, response, .. } = &candidate.operation.outcome {
            shown(response, &mut |value| {
                let fame = fame.entry(value).or_default();
                fame.shown = Some(fame.shown.map_or(*at, |shown| shown.min(*at)));
            });
        }
    }
    fame
}

/// The same request for somebody who does not look at the answer.
pub(crate) fn without_answer(request: &Request) -> Request {
    match request {
        Request::Put(put) => Request::Put(Put { prev_kv: false, ..put.clone() }),
        Request::DeleteRange(delete) => {
            Request::DeleteRange(DeleteRange { prev_kv: false, ..delete.clone() })
        }
        Request::Command(Command::Set(set)) => {
            Request::Command(Command::Set(Set { get: false, ..set.clone() }))
        }
        Request::Command(Command::GetDelete { key }) => {
            Request::Command(Command::Delete { keys: vec![key.clone()] })
        }
        Request::Command(Command::SetNx { key, value }) => Request::Command(Command::Set(Set {
            condition: SetCondition::IfMissing,
            ..Set::new(key.clone(), value.clone())
        })),
        Request::Command(Command::MSet { pairs }) => match &pairs[..] {
            [(key, _), .., (last, value)] if pairs.iter().all(|(other, _)| other == key) => {
                Request::Command(Command::Set(Set::new(last.clone(), value.clone())))
            }
            [(key, value)] => Request::Command(Command::Set(Set::new(key.clone(), value.clone()))),
            _ => request.clone(),
        },
        Request::Exec(exec) if exec.watched.is_empty() => {
            let is_read = |command: &&Command| Request::Command((*command).clone()).is_read_only();
            let mut writes = exec.commands.iter().filter(|command| !is_read(command));
            match (writes.next(), writes.next()) {
                (Some(one), None) => without_answer(&Request::Command(one.clone())),
                _ => request.clone(),
            }
        }
        other => other.clone(),
    }
}

fn sorts_by_value(request: &Request) -> bool {
    match request {
        Request::Range(range) => range.sort_target == SortTarget::Value,
        Request::Txn(txn) => txn_sorts_by_value(txn),
        _ => false,
    }
}

fn txn_sorts_by_value(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Range(range) => range.sort_target == SortTarget::Value,
        TxnOp::Txn(nested) => txn_sorts_by_value(nested),
        TxnOp::Put(_) | TxnOp::DeleteRange(_) => false,
    })
}

/// What a request has to do with values.
pub(crate) enum What<'h> {
    Written(&'h Bytes),
    Compared(&'h Bytes, CompareOperator),
    Appended(&'h Bytes),
    /// It asks for the length.
    Length,
}

/// Tells all that a request has to do with values.
pub(crate) fn visit<'h>(request: &'h Request, tell: &mut dyn FnMut(What<'h>)) {
    match request {
        Request::Command(command) => visit_command(command, tell),
        Request::Exec(exec) => exec.commands.iter().for_each(|command| visit_command(command, tell)),
        Request::Put(put) => tell(What::Written(&put.value)),
        Request::Txn(txn) => visit_txn(txn, tell),
        Request::WatchRevision { .. }
        | Request::Range(_)
        | Request::DeleteRange(_)
        | Request::Compact { .. }
        | Request::ExpireKeys { .. }
        | Request::Tick
        | Request::SetRetention(_)
        | Request::SetQuota(_)
        | Request::Alarm(_)
        | Request::Lease(_)
        | Request::Auth(_) => {}
        Request::OnBehalf(asked) => visit(&asked.request, tell),
    }
}

fn visit_command<'h>(command: &'h Command, tell: &mut dyn FnMut(What<'h>)) {
    match command {
        Command::Set(set) => tell(What::Written(&set.value)),
        Command::SetNx { value, .. } => tell(What::Written(value)),
        Command::MSet { pairs } => pairs.iter().for_each(|(_, value)| tell(What::Written(value))),
        Command::Append { value, .. } => tell(What::Appended(value)),
        Command::StrLen { .. } => tell(What::Length),
        _ => {}
    }
}

fn visit_txn<'h>(txn: &'h Txn, tell: &mut dyn FnMut(What<'h>)) {
    for compare in &txn.compare {
        if let CompareTarget::Value(value) = &compare.target {
            tell(What::Compared(value, compare.operator));
        }
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            TxnOp::Put(put) => tell(What::Written(&put.value)),
            TxnOp::Txn(nested) => visit_txn(nested, tell),
            TxnOp::Range(_) | TxnOp::DeleteRange(_) => {}
        }
    }
}

/// Changes the values that a request writes.
fn rewrite(request: &mut Request, change: &mut dyn FnMut(&mut Bytes)) {
    match request {
        Request::Command(command) => rewrite_command(command, change),
        Request::Exec(exec) => {
            exec.commands.iter_mut().for_each(|command| rewrite_command(command, change));
        }
        Request::Put(put) => change(&mut put.value),
        Request::Txn(txn) => rewrite_txn(txn, change),
        _ => {}
    }
}

fn rewrite_command(command: &mut Command, change: &mut dyn FnMut(&mut Bytes)) {
    match command {
        Command::Set(set) => change(&mut set.value),
        Command::SetNx { value, .. } => change(value),
        Command::MSet { pairs } => pairs.iter_mut().for_each(|(_, value)| change(value)),
        _ => {}
    }
}

fn rewrite_txn(txn: &mut Txn, change: &mut dyn FnMut(&mut Bytes)) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match op {
            TxnOp::Put(put) => change(&mut put.value),
            TxnOp::Txn(nested) => rewrite_txn(nested, change),
            TxnOp::Range(_) | TxnOp::DeleteRange(_) => {}
        }
    }
}

/// Tells each value that an answer shows.
pub(crate) fn shown<'h>(response: &'h Response, tell: &mut dyn FnMut(&'h Bytes)) {
    let mut kvs = |kvs: &'h [KeyValue]| kvs.iter().for_each(|kv| tell(&kv.value));
    match response {
        Response::Reply(reply) => reply_shows(reply, tell),
        Response::Exec(Some(replies)) => replies.iter().for_each(|reply| reply_shows(reply, tell)),
        Response::Range(range) => kvs(&range.kvs),
        Response::Put(put) => put.prev_kv.iter().for_each(|kv| tell(&kv.value)),
        Response::DeleteRange(delete) => kvs(&delete.prev_kvs),
        Response::Txn(txn) => txn.responses.iter().for_each(|response| op_shows(response, tell)),
        Response::Exec(None)
        | Response::WatchRevision(_)
        | Response::Compact { .. }
        | Response::Expired { .. }
        | Response::Lease(_)
        | Response::Auth(_)
        | Response::Alarm(_)
        | Response::Done
        | Response::Error(_) => {}
    }
}

fn op_shows<'h>(response: &'h TxnOpResponse, tell: &mut dyn FnMut(&'h Bytes)) {
    match response {
        TxnOpResponse::Range(range) => range.kvs.iter().for_each(|kv| tell(&kv.value)),
        TxnOpResponse::Put(put) => put.prev_kv.iter().for_each(|kv| tell(&kv.value)),
        TxnOpResponse::DeleteRange(delete) => delete.prev_kvs.iter().for_each(|kv| tell(&kv.value)),
        TxnOpResponse::Txn(txn) => txn.responses.iter().for_each(|response| op_shows(response, tell)),
    }
}

fn reply_shows<'h>(reply: &'h Reply, tell: &mut dyn FnMut(&'h Bytes)) {
    match reply {
        Reply::Value(value) => tell(value),
        Reply::Values(values) => values.iter().flatten().for_each(tell),
        Reply::Ok
        | Reply::Nil
        | Reply::Integer(_)
        | Reply::Keys(_)
        | Reply::Scan { .. }
        | Reply::Type(_)
        | Reply::Error(_) => {}
    }
}

/// Whether an operation with this answer changes nothing in any state in which the answer is right. The search may
/// then put it wherever it first fits: moving it forward to there changes nothing for the others.
pub(crate) fn changes_nothing(request: &Request, response: &Response) -> bool {
    match (request, response) {
        (_, Response::Error(_) | Response::Exec(None)) => true,
        (Request::Command(Command::Set(set)), Response::Reply(Reply::Nil)) => !set.get,
        (
            Request::Command(Command::SetNx { .. } | Command::Delete { .. } | Command::Expire { .. }),
            Response::Reply(Reply::Integer(0)),
        )
        | (Request::Command(Command::GetDelete { .. }), Response::Reply(Reply::Nil))
        | (Request::Command(_), Response::Reply(Reply::Error(_))) => true,
        (Request::DeleteRange(_), Response::DeleteRange(delete)) => delete.deleted == 0,
        (Request::Txn(txn), Response::Txn(response)) => {
            let taken = if response.succeeded { &txn.success } else { &txn.failure };
            taken.iter().all(|op| matches!(op, TxnOp::Range(_)))
        }
        _ => request.is_read_only(),
    }
}
