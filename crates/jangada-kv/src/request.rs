//! What can be asked of the store: etcd's operations, Redis's string commands and the store's own upkeep.
//!
//! The two families work on the same keys and see each other's writes. They differ in one thing, how a deadline
//! that has passed counts: see [`crate::expiry`]. The string commands are in [`crate::command`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::auth::{AuthRequest, OnBehalf};
use crate::command::{Command, Exec};
use crate::lease::LeaseRequest;
use crate::space::{AlarmRequest, Quota};
use crate::types::{KeyRange, LeaseId, Retention, Revision};

/// One request. Its effect depends on nothing but the store's state, itself and the stamp that it is applied with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// A string command on its own.
    Command(Command),
    /// String commands as one step: MULTI … EXEC.
    Exec(Exec),
    /// The modification revision of a key, for a later [`Exec::watched`].
    WatchRevision {
        /// The key.
        key: Bytes,
    },
    /// Read a range of keys.
    Range(Box<RangeRequest>),
    /// Write one key.
    Put(Put),
    /// Delete a range of keys.
    DeleteRange(DeleteRange),
    /// Compare, then do one of two lists of operations, as one step.
    Txn(Txn),
    /// Forget the history before a revision. That revision itself can still be read.
    Compact {
        /// The oldest revision that can be read afterwards.
        revision: Revision,
    },
    /// Delete those of these keys whose deadline the stamp has reached. The leader gets it from
    /// [`Store::due`](crate::Store::due); a key that was renewed in the meantime stays.
    ExpireKeys {
        /// The candidates.
        keys: Vec<Bytes>,
    },
    /// Advance the store's clock and do nothing else, so that the time that has passed survives restarts.
    Tick,
    /// Change how much history is kept, from now on.
    SetRetention(Retention),
    /// Something about leases.
    Lease(LeaseRequest),
    /// Something about users and roles.
    Auth(AuthRequest),
    /// Any of the others, and who asks for it.
    OnBehalf(Box<OnBehalf>),
    /// Change how much the store may hold, from now on.
    SetQuota(Quota),
    /// Something about alarms.
    Alarm(AlarmRequest),
}

/// Read a range of keys (etcd's `Range`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// As of which revision; the current one if `None`.
    pub revision: Option<Revision>,
    /// Most keys in the answer; 0 means no limit. Sorting and filtering come first.
    pub limit: u64,
    /// What to sort by.
    pub sort_target: SortTarget,
    /// In which direction.
    pub sort_order: SortOrder,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Only keys whose latest change is not older than this.
    pub min_mod_revision: Option<Revision>,
    /// Only keys whose latest change is not newer than this.
    pub max_mod_revision: Option<Revision>,
    /// Only keys that were not created before this.
    pub min_create_revision: Option<Revision>,
    /// Only keys that were not created after this.
    pub max_create_revision: Option<Revision>,
}

impl RangeRequest {
    /// The whole of `range`, now, in key order.
    #[must_use]
    pub fn new(range: KeyRange) -> RangeRequest {
        RangeRequest {
            range,
            revision: None,
            limit: 0,
            sort_target: SortTarget::Key,
            sort_order: SortOrder::None,
            keys_only: false,
            count_only: false,
            min_mod_revision: None,
            max_mod_revision: None,
            min_create_revision: None,
            max_create_revision: None,
        }
    }
}

/// What a range is sorted by. Equal ones stay in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortTarget {
    /// The key.
    Key,
    /// How often the key was changed since it was created.
    Version,
    /// The revision of its creation.
    Create,
    /// The revision of its latest change.
    Mod,
    /// The value, as bytes.
    Value,
}

/// The direction of sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortOrder {
    /// Key order for [`SortTarget::Key`], else ascending.
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// Write one key (etcd's `Put`). Takes the key's deadline away, and the key out of its lease, unless `ignore_lease` is set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Put {
    /// The key; not empty.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// Puts the key under this lease.
    pub lease: Option<LeaseId>,
    /// Return what was there before.
    pub prev_kv: bool,
    /// Keep the value that is there; `value` must be empty and the key must exist.
    pub ignore_value: bool,
    /// Keep the lease or deadline that is there; `lease` must be `None` and the key must exist.
    pub ignore_lease: bool,
}

impl Put {
    /// A plain write.
    #[must_use]
    pub fn new(key: Bytes, value: Bytes) -> Put {
        Put { key, value, lease: None, prev_kv: false, ignore_value: false, ignore_lease: false }
    }
}

/// Delete a range of keys (etcd's `DeleteRange`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeleteRange {
    /// Which keys.
    pub range: KeyRange,
    /// Return what was there before.
    pub prev_kv: bool,
}

/// If all comparisons hold, do `success`, else `failure`. If one operation cannot be done, none is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Txn {
    /// The comparisons; with none of them the txn succeeds.
    pub compare: Vec<Compare>,
    /// What to do when all hold.
    pub success: Vec<TxnOp>,
    /// What to do otherwise.
    pub failure: Vec<TxnOp>,
}

/// One operation of a txn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TxnOp {
    /// Read.
    Range(RangeRequest),
    /// Write.
    Put(Put),
    /// Delete.
    DeleteRange(DeleteRange),
    /// A txn inside the txn. Its comparisons see the state before the outermost txn.
    Txn(Txn),
}

/// One comparison. It holds if it does for each key of the range; a range without keys, like a missing key, counts
/// as one key with all numbers zero and no value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// Which keys.
    pub range: KeyRange,
    /// `key's own <operator> target`.
    pub operator: CompareOperator,
    /// What is compared, and with what.
    pub target: CompareTarget,
}

/// The relation that a comparison asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOperator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
}

/// What a comparison looks at. Numbers are signed, as in etcd's messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompareTarget {
    /// The version.
    Version(i64),
    /// The revision of the creation.
    Create(i64),
    /// The revision of the latest change.
    Mod(i64),
    /// The value. False for a missing key, whatever the operator.
    Value(Bytes),
    /// The id of the lease; 0 if there is none.
    Lease(i64),
}

/// From this count on a SCAN is as large as others that may visit all keys.
const LARGE_SCAN: u64 = 1_000;

impl Request {
    /// What is asked, without who asks.
    #[must_use]
    pub fn asked(&self) -> &Request {
        match self {
            Request::OnBehalf(asked) => &asked.request,
            other => other,
        }
    }

    /// Whether the request can be answered without the log, by [`Store::read`](crate::Store::read).
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self {
            Request::Command(command) => command.is_read_only(),
            Request::Exec(exec) => exec.commands.iter().all(Command::is_read_only),
            Request::WatchRevision { .. } | Request::Range(_) => true,
            Request::Txn(txn) => txn.is_read_only(),
            Request::Lease(lease) => lease.is_read_only(),
            Request::Auth(auth) => auth.is_read_only(),
            Request::OnBehalf(asked) => asked.request.is_read_only(),
            Request::Alarm(alarm) => *alarm == AlarmRequest::List,
            Request::Put(_)
            | Request::DeleteRange(_)
            | Request::Compact { .. }
            | Request::ExpireKeys { .. }
            | Request::Tick
            | Request::SetRetention(_)
            | Request::SetQuota(_) => false,
        }
    }

    /// Whether the request alone may visit all keys there are, or very many, and have an answer that is as long.
    #[must_use]
    pub fn may_visit_all(&self) -> bool {
        let is_large = |command: &Command| match command {
            Command::Keys { .. } => true,
            Command::Scan { count, .. } => *count > LARGE_SCAN,
            _ => false,
        };
        match self {
            Request::Command(command) => is_large(command),
            Request::Exec(exec) => exec.commands.iter().any(is_large),
            Request::Range(range) => !matches!(range.range, KeyRange::One(_)),
            Request::Txn(_) | Request::DeleteRange(_) => true,
            Request::OnBehalf(asked) => asked.request.may_visit_all(),
            Request::WatchRevision { .. }
            | Request::Put(_)
            | Request::Compact { .. }
            | Request::ExpireKeys { .. }
            | Request::Tick
            | Request::SetRetention(_)
            | Request::Lease(_)
            | Request::Auth(_)
            | Request::SetQuota(_)
            | Request::Alarm(_) => false,
        }
    }
}

impl Txn {
    /// Whether neither branch can change anything.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| match op {
            TxnOp::Range(_) => true,
            TxnOp::Put(_) | TxnOp::DeleteRange(_) => false,
            TxnOp::Txn(nested) => nested.is_read_only(),
        })
    }
}
