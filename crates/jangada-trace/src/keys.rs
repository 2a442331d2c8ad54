//! Which keys a request is about.

use bytes::Bytes;
use jangada_kv::{Command, KeyRange, RangeRequest, Request, SortTarget, Txn, TxnOp};

/// What of a request can be judged by the values of keys alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It is about these keys; the first one stands for it in what is told.
    Ranges(Vec<KeyRange>),
    /// It has nothing to do with values.
    Nothing,
    /// Its answer depends on revisions, or on more than can be said: only the witness can judge it. It changes
    /// nothing.
    BeyondValues,
}

/// The reach of a request.
pub(crate) fn reach(request: &Request) -> Reach {
    let mut ranges = Vec::new();
    match request {
        Request::Command(command) => return command_reach(command),
        Request::Exec(exec) => {
            ranges.extend(exec.watched.iter().map(|(key, _)| KeyRange::One(key.clone())));
            for command in &exec.commands {
                if let Reach::Ranges(more) = command_reach(command) {
                    ranges.extend(more);
                }
            }
        }
        Request::WatchRevision { key } => ranges.push(KeyRange::One(key.clone())),
        Request::Range(range) if needs_revisions(range) => return Reach::BeyondValues,
        Request::Range(range) => ranges.push(range.range.clone()),
        Request::Put(put) => ranges.push(KeyRange::One(put.key.clone())),
        Request::DeleteRange(delete) => ranges.push(delete.range.clone()),
        Request::Txn(txn) => txn_reach(txn, &mut ranges),
        Request::ExpireKeys { keys } => ranges.extend(keys.iter().cloned().map(KeyRange::One)),
        Request::Compact { .. }
        | Request::Tick
        | Request::SetRetention(_)
        | Request::Lease(_)
        | Request::SetQuota(_)
        | Request::Alarm(_)
        | Request::Auth(_) => return Reach::Nothing,
        Request::OnBehalf(asked) => return reach(&asked.request),
    }
    if ranges.is_empty() { Reach::Nothing } else { Reach::Ranges(ranges) }
}

/// Whether the answer cannot be told without the revisions of changes: those of the past, filters and sorting.
pub(crate) fn needs_revisions(range: &RangeRequest) -> bool {
    let is_filtered = [
        range.revision,
        range.min_mod_revision,
        range.max_mod_revision,
        range.min_create_revision,
        range.max_create_revision,
    ]
    .iter()
    .any(Option::is_some);
    is_filtered || matches!(range.sort_target, SortTarget::Create | SortTarget::Mod)
}

fn txn_reach(txn: &Txn, ranges: &mut Vec<KeyRange>) {
    ranges.extend(txn.compare.iter().map(|compare| compare.range.clone()));
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            TxnOp::Range(range) if needs_revisions(range) => {}
            TxnOp::Range(range) => ranges.push(range.range.clone()),
            TxnOp::Put(put) => ranges.push(KeyRange::One(put.key.clone())),
            TxnOp::DeleteRange(delete) => ranges.push(delete.range.clone()),
            TxnOp::Txn(nested) => txn_reach(nested, ranges),
        }
    }
}

fn command_reach(command: &Command) -> Reach {
    let one = |key: &Bytes| vec![KeyRange::One(key.clone())];
    let each = |keys: &[Bytes]| keys.iter().cloned().map(KeyRange::One).collect();
    Reach::Ranges(match command {
        Command::Get { key }
        | Command::SetNx { key, .. }
        | Command::Increment { key, .. }
        | Command::Append { key, .. }
        | Command::StrLen { key }
        | Command::GetDelete { key }
        | Command::GetEx { key, .. }
        | Command::Expire { key, .. }
        | Command::Persist { key }
        | Command::Ttl { key }
        | Command::Deadline { key }
        | Command::Type { key } => one(key),
        Command::Set(set) => one(&set.key),
        Command::MSet { pairs } => pairs.iter().map(|(key, _)| KeyRange::One(key.clone())).collect(),
        Command::MGet { keys } | Command::Delete { keys } | Command::Exists { keys } => each(keys),
        Command::FlushAll => vec![KeyRange::all()],
        Command::Keys { .. } | Command::Scan { .. } | Command::DbSize => return Reach::BeyondValues,
    })
}
