//! What becomes of operations, above all of those without an answer, before the search begins.
//!
//! An operation that nobody answered may take effect at any time after it was invoked, so it is a candidate at
//! each later step of the search: twenty of them would make a million subsets. Three rules, each of which changes
//! nothing in whether an order exists, keep them harmless:
//!
//! 1. **Seen.** If nobody else writes the value `v`, and somebody was shown `v`, then the write of `v` took effect,
//!    before the first answer that shows it had come. So that moment is its end, like that of any other operation.
//!    (Left out where values can arise from others: with `APPEND`, or a number with `INCR`.)
//! 2. **Never seen.** If nobody else writes `v`, nobody compares with `v` and nobody is shown `v`, then `v` could as
//!    well be any other such value: swap the two in an order that explains the history, and it still does. So all of
//!    these writes to a key are taken to write the same value. They are not simply dropped, although in most histories
//!    one could: a delete that found a key, or a version that was counted up, may be explained by nothing else.
//! 3. **Alike.** Of unanswered operations that ask for the same, the one that was invoked first can stand for
//!    each of the others, so the search uses them in this order only.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::{
    Command, CompareTarget, Error, KeyValue, Reply, Request, Response, SetCondition, SortTarget, Txn, TxnOp,
    TxnOpResponse,
};
use jangada_raft::types::Time;

use crate::history::{Operation, Outcome};
use crate::model_strings::number;

/// An operation as the search sees it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'h> {
    pub(crate) operation: &'h Operation,
    /// What it asks for, or something that comes to the same.
    pub(crate) request: &'h Request,
    /// When it has taken effect at the latest; `None`: it may never.
    pub(crate) until: Option<Time>,
    /// Given its answer it has changed nothing.
    pub(crate) is_pure: bool,
}

/// The candidates for a group of keys, by the moment of invocation. Those that certainly had no effect are left out,
/// and so are unanswered reads.
pub(crate) fn candidates<'h>(operations: &[&'h Operation]) -> Vec<Candidate<'h>> {
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
            Some(Candidate { operation, request: &operation.request, until, is_pure })
        })
        .collect();
    candidates.sort_by_key(|candidate| candidate.operation.invoked);
    if candidates.iter().any(|candidate| candidate.until.is_none()) {
        resolve(&mut candidates);
    }
    candidates
}

/// What is known of a value.
#[derive(Default)]
struct Fame {
    /// How often it is written, or asked about.
    mentions: u32,
    /// When the first answer that shows it had come.
    shown: Option<Time>,
}

fn resolve(candidates: &mut [Candidate<'_>]) {
    if candidates.iter().any(|candidate| makes_values(candidate.request)) {
        return;
    }
    let mut fame: BTreeMap<&Bytes, Fame> = BTreeMap::new();
    for candidate in candidates.iter() {
        mentioned(candidate.request, &mut |value| fame.entry(value).or_default().mentions += 1);
    }
    for candidate in candidates.iter() {
        if let Outcome::Returned { at, response, .. } = &candidate.operation.outcome {
            shown(response, &mut |value| {
                let fame = fame.entry(value).or_default();
                fame.shown = Some(fame.shown.map_or(*at, |shown| shown.min(*at)));
            });
        }
    }
    let mut unseen: BTreeMap<&Bytes, &Request> = BTreeMap::new();
    for candidate in candidates.iter_mut().filter(|candidate| candidate.until.is_none()) {
        let Some((key, value)) = plain_write(candidate.request) else { continue };
        let fame = &fame[value];
        // A number may also be the result of an INCR, and nothing is what a range shows without the values.
        if fame.mentions > 1 || number(value).is_some() || value.is_empty() {
            continue;
        }
        match fame.shown {
            // Shown before it was asked for: the search will say so.
            Some(shown) if shown < candidate.operation.invoked => {}
            Some(shown) => candidate.until = Some(shown),
            None => {
                let stand_in = unseen.entry(key).or_insert(candidate.request);
                if std::mem::discriminant(*stand_in) == std::mem::discriminant(candidate.request) {
                    candidate.request = stand_in;
                }
            }
        }
    }
}

/// The key and value of a request that writes the value whatever was there, and does nothing else.
fn plain_write(request: &Request) -> Option<(&Bytes, &Bytes)> {
    match request {
        Request::Command(Command::Set(set)) => {
            let is_plain =
                set.condition == SetCondition::Always && set.expiry == jangada_kv::Expiry::Clear && !set.get;
            is_plain.then_some((&set.key, &set.value))
        }
        Request::Put(put) => {
            let is_plain = !put.ignore_value && !put.ignore_lease && !put.prev_kv && put.lease.is_none();
            is_plain.then_some((&put.key, &put.value))
        }
        _ => None,
    }
}

/// Whether the request can make a value that is in no request, or shows values in a way that is hard to see.
pub(crate) fn makes_values(request: &Request) -> bool {
    let command = |command: &Command| matches!(command, Command::Append { .. } | Command::StrLen { .. });
    match request {
        Request::Command(one) => command(one),
        Request::Exec(exec) => exec.commands.iter().any(command),
        Request::Range(range) => range.sort_target == SortTarget::Value,
        Request::Txn(txn) => txn_makes_values(txn),
        _ => false,
    }
}

fn txn_makes_values(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Range(range) => range.sort_target == SortTarget::Value,
        TxnOp::Txn(nested) => txn_makes_values(nested),
        TxnOp::Put(_) | TxnOp::DeleteRange(_) => false,
    })
}

/// Tells each value that a request writes or compares with.
pub(crate) fn mentioned<'h>(request: &'h Request, tell: &mut impl FnMut(&'h Bytes)) {
    match request {
        Request::Command(command) => command_mentions(command, tell),
        Request::Exec(exec) => exec.commands.iter().for_each(|command| command_mentions(command, tell)),
        Request::Put(put) => tell(&put.value),
        Request::Txn(txn) => txn_mentions(txn, tell),
        Request::WatchRevision { .. }
        | Request::Range(_)
        | Request::DeleteRange(_)
        | Request::Compact { .. }
        | Request::ExpireKeys { .. }
        | Request::Tick
        | Request::SetRetention(_) => {}
    }
}

fn command_mentions<'h>(command: &'h Command, tell: &mut impl FnMut(&'h Bytes)) {
    match command {
        Command::Set(set) => tell(&set.value),
        Command::SetNx { value, .. } => tell(value),
        Command::MSet { pairs } => pairs.iter().for_each(|(_, value)| tell(value)),
        _ => {}
    }
}

fn txn_mentions<'h>(txn: &'h Txn, tell: &mut dyn FnMut(&'h Bytes)) {
    for compare in &txn.compare {
        if let CompareTarget::Value(value) = &compare.target {
            tell(value);
        }
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            TxnOp::Put(put) => tell(&put.value),
            TxnOp::Txn(nested) => txn_mentions(nested, tell),
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
