//! What the store answers.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::auth::{AuthError, AuthResponse};
use crate::command::Reply;
use crate::lease::LeaseResponse;
use crate::space::AlarmResponse;
use crate::types::{KeyValue, Revision};
use crate::visits::MAX_EXTRA_VISITS;

/// The answer to a [`Request`](crate::Request).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// To `Command`.
    Reply(Reply),
    /// To `Exec`: one reply per command; `None`: a watched key has changed and nothing was done.
    Exec(Option<Vec<Reply>>),
    /// To `WatchRevision`: `None` if there is no such key.
    WatchRevision(Option<Revision>),
    /// To `Range`.
    Range(RangeResponse),
    /// To `Put`.
    Put(PutResponse),
    /// To `DeleteRange`.
    DeleteRange(DeleteRangeResponse),
    /// To `Txn`.
    Txn(TxnResponse),
    /// To `Compact`.
    Compact {
        /// The current revision.
        revision: Revision,
    },
    /// To `ExpireKeys`.
    Expired {
        /// How many keys were deleted.
        keys: u64,
    },
    /// To `Tick`, `SetRetention` and `SetQuota`.
    Done,
    /// The request was refused and changed nothing.
    Error(Error),
    /// To `Lease`.
    Lease(LeaseResponse),
    /// To `Auth`.
    Auth(AuthResponse),
    /// To `Alarm`.
    Alarm(AlarmResponse),
}

impl Response {
    /// The revision of the state that was made or seen, if this kind of answer tells it.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Response::Put(put) => Some(put.revision),
            Response::DeleteRange(delete) => Some(delete.revision),
            Response::Range(range) => Some(range.revision),
            Response::Txn(txn) => Some(txn.revision),
            Response::Compact { revision } => Some(*revision),
            Response::Lease(lease) => lease.revision(),
            Response::Auth(auth) => auth.revision(),
            Response::Alarm(alarm) => Some(alarm.revision),
            Response::Reply(_)
            | Response::Exec(_)
            | Response::WatchRevision(_)
            | Response::Expired { .. }
            | Response::Done
            | Response::Error(_) => None,
        }
    }

    /// About how many bytes of memory the answer takes once it is copied out of the store, if it can be large.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Response::Reply(reply) => reply.bytes(),
            Response::Exec(replies) => replies.iter().flatten().map(Reply::bytes).sum(),
            Response::Range(range) => pairs_bytes(&range.kvs),
            Response::Put(put) => put.prev_kv.as_deref().map_or(0, pair_bytes),
            Response::DeleteRange(delete) => pairs_bytes(&delete.prev_kvs),
            Response::Txn(txn) => txn.bytes(),
            Response::WatchRevision(_)
            | Response::Compact { .. }
            | Response::Expired { .. }
            | Response::Done
            | Response::Error(_)
            | Response::Lease(_)
            | Response::Auth(_)
            | Response::Alarm(_) => 0,
        }
    }
}

impl TxnResponse {
    fn bytes(&self) -> usize {
        let bytes = |response: &TxnOpResponse| match response {
            TxnOpResponse::Range(range) => pairs_bytes(&range.kvs),
            TxnOpResponse::Put(put) => put.prev_kv.as_deref().map_or(0, pair_bytes),
            TxnOpResponse::DeleteRange(delete) => pairs_bytes(&delete.prev_kvs),
            TxnOpResponse::Txn(txn) => txn.bytes(),
        };
        self.responses.iter().map(bytes).sum()
    }
}

fn pairs_bytes(pairs: &[KeyValue]) -> usize {
    pairs.iter().map(pair_bytes).sum()
}

fn pair_bytes(pair: &KeyValue) -> usize {
    size_of::<KeyValue>() + pair.key.len() + pair.value.len()
}

/// The answer to a range request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RangeResponse {
    /// The current revision (not the one that was read).
    pub revision: Revision,
    /// The keys, after sorting, filtering and limiting.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut something off.
    pub more: bool,
    /// How many keys the range holds, whatever the filters and the limit.
    pub count: u64,
}

/// The answer to a put.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PutResponse {
    /// The revision of this put.
    pub revision: Revision,
    /// What was there before, if asked for.
    pub prev_kv: Option<Box<KeyValue>>,
}

/// The answer to a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeleteRangeResponse {
    /// The current revision; that of this delete if it deleted anything.
    pub revision: Revision,
    /// How many keys were deleted.
    pub deleted: u64,
    /// What was there before, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// The answer to a txn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxnResponse {
    /// The current revision; that of this txn if it changed anything.
    pub revision: Revision,
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// One for each operation of the branch that was taken.
    pub responses: Vec<TxnOpResponse>,
}

/// The answer to one operation of a txn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TxnOpResponse {
    /// To a range.
    Range(RangeResponse),
    /// To a put.
    Put(PutResponse),
    /// To a delete.
    DeleteRange(DeleteRangeResponse),
    /// To a nested txn.
    Txn(TxnResponse),
}

/// Why a request was refused. Refused requests change nothing, on any replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The key is empty; etcd's operations need one.
    EmptyKey,
    /// The history before `floor` is gone.
    Compacted {
        /// The oldest revision that can be read.
        floor: Revision,
    },
    /// The store has not reached that revision.
    FutureRevision {
        /// Where it is.
        current: Revision,
    },
    /// `ignore_value` or `ignore_lease` on a key that does not exist.
    KeyNotFound,
    /// `ignore_value` together with a value.
    ValueProvided,
    /// `ignore_lease` together with a lease.
    LeaseProvided,
    /// There is no such lease.
    LeaseNotFound,
    /// More than [`MAX_TXN_OPS`](crate::MAX_TXN_OPS) comparisons or operations in a txn, or more than
    /// [`MAX_TXN_OPS_IN_ALL`](crate::MAX_TXN_OPS_IN_ALL) with what is nested.
    TooManyOps,
    /// A txn, or a MULTI, would visit more keys than there are and [`MAX_EXTRA_VISITS`].
    TooManyKeys,
    /// A txn writes a key twice, or writes and deletes it.
    DuplicateKey,
    /// The request changes the store and must go through the log.
    NotReadOnly,
    /// The bytes in the log are no request of this version. Nothing changed, on any server.
    Malformed,
    /// There is such a lease already.
    LeaseExists,
    /// A lease's time to live is longer than [`MAX_LEASE_SECONDS`](crate::lease::MAX_LEASE_SECONDS).
    TtlTooLong,
    /// Something about users, or about who asks.
    Auth(AuthError),
    /// The store would exceed its [`Quota`](crate::Quota), or has and the alarm stands.
    NoSpace,
    /// An alarm says that the members' stores differ: clients change nothing.
    Corrupt,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::EmptyKey => f.write_str("the key is empty"),
            Error::Compacted { floor } => {
                write!(f, "the history before revision {floor} has been compacted; read at a later one")
            }
            Error::FutureRevision { current } => {
                write!(f, "the store is at revision {current} and has not reached the one asked for")
            }
            Error::KeyNotFound => f.write_str("there is no such key to keep the value or the lease of"),
            Error::ValueProvided => f.write_str("a value is given although the old one is to be kept"),
            Error::LeaseProvided => f.write_str("a lease is given although the old one is to be kept"),
            Error::LeaseNotFound => f.write_str("there is no such lease"),
            Error::LeaseExists => f.write_str("there is such a lease already"),
            Error::TtlTooLong => f.write_str("the lease's time to live is too long"),
            Error::Auth(error) => error.fmt(f),
            Error::NoSpace => {
                f.write_str("the store is full: delete something, or raise the quota (--quota-backend-bytes)")
            }
            Error::Corrupt => f.write_str(
                "an alarm says that the members' stores differ; nothing is written until it is cleared",
            ),
            Error::TooManyOps => f.write_str("the txn has too many comparisons or operations"),
            Error::TooManyKeys => write!(
                f,
                "the transaction would visit more than all keys once and {MAX_EXTRA_VISITS} more: ask for less at a time"
            ),
            Error::DuplicateKey => f.write_str("the txn writes a key twice"),
            Error::NotReadOnly => f.write_str("the request changes the store and must go through the log"),
            Error::Malformed => f.write_str("the request is none that this version of the store understands"),
        }
    }
}

impl core::error::Error for Error {}
