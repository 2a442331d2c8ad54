//! The store of Jangada: keys and values with their history, in memory.
//!
//! It has etcd's meaning (revisions, ranges at old revisions, transactions, compaction) and Redis's string commands on
//! the same keys. It is a deterministic machine: [`Store::apply`] takes a request and the stamp of its log entry, and
//! depends on nothing else. It knows nothing of Raft, and as a `no_std` crate it cannot reach a clock, a disk or a
//! network.
//!
//! ```
//! use bytes::Bytes;
//! use jangada_kv::{Command, Millis, Reply, Request, Response, Set, Store};
//!
//! let mut store = Store::new();
//! let set = Set::new(Bytes::from("d"), Bytes::from("8"));
//! let response = store.apply(Millis(1_000), &Request::Command(Command::Set(set)));
//! assert_eq!(response, Response::Reply(Reply::Ok));
//!
//! let get = Request::Command(Command::Get { key: Bytes::from("d") });
//! assert!(get.is_read_only());
//! assert_eq!(store.read(Millis(1_001), &get), Response::Reply(Reply::Value(Bytes::from("8"))));
//! assert_eq!(store.revision().0, 2);
//! ```
#![no_std]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(test)]
extern crate std;

// What goes in and out.
pub mod command; // Redis's string commands and their replies
pub mod request; // etcd's operations and the store's upkeep
pub mod response; // the answers
pub mod types; // numbers, key ranges, key-value pairs

// The state.
mod entry; // a key and its newest version
mod hash;
mod hash_index; // from a hash to a slot
mod history; // all older versions
mod key_index; // finding entries
mod slab; // where entries lie
mod small_key;
pub mod space; // how much there may be, and alarms
mod store; // the whole, and its two doors

// What requests do.
mod changes; // reading the history
mod compaction; // forgetting it
pub mod expiry; // deadlines
mod glob;
pub mod lease; // deadlines that keys share
mod intervals; // which operations of a txn collide
mod page; // all keys, a page at a time
mod put; // put and delete range
mod range;
pub mod scan; // KEYS and SCAN
pub mod string_writes; // Redis's commands that write
pub mod strings; // Redis's commands that read
mod txn;
mod visits; // how much one may cost
pub mod watch; // which changes to tell whom
mod write; // the one way in which a key changes

// Who may.
pub mod auth; // users, roles, permissions

// Bytes.
mod codec; // requests and responses
mod import; // beginning with given keys
mod restore; // reading a snapshot
mod snapshot; // writing one
pub mod wire; // the alphabet of all encodings

pub use auth::{AuthChange, AuthError, AuthQuestion, AuthRequest, AuthResponse, Caller};
pub use changes::{ChangeEvent, Changes};
pub use command::{
    Command, CommandError, Exec, ExpireCondition, Expiry, KeyType, MAX_VALUE_BYTES, Reply, Set, SetCondition,
};
pub use import::ImportedKey;
pub use lease::{LeaseLife, LeaseRequest, LeaseResponse};
pub use page::Page;
pub use request::{
    Compare, CompareOperator, CompareTarget, DeleteRange, Put, RangeRequest, Request, SortOrder, SortTarget,
    Txn, TxnOp,
};
pub use response::{
    DeleteRangeResponse, Error, PutResponse, RangeResponse, Response, TxnOpResponse, TxnResponse,
};
pub use restore::{Restore, RestoreError};
pub use snapshot::SnapshotCursor;
pub use space::{Alarm, AlarmKind, AlarmRequest, AlarmResponse, Quota};
pub use store::Store;
pub use txn::{MAX_TXN_OPS, MAX_TXN_OPS_IN_ALL};
pub use types::{KeyRange, KeyValue, LeaseId, Millis, Retention, Revision};
pub use visits::MAX_EXTRA_VISITS;
pub use wire::DecodeError;
