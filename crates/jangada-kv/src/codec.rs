//! Requests and responses as bytes: what the log holds, and what a leader sends back to a follower that forwarded.
//!
//! The tables below are the format; [`crate::wire`] says how each kind of value is written. Tags and the order of
//! fields never change, because old logs must stay readable: new things get new tags.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::command::{
    Command, CommandError, Exec, ExpireCondition, Expiry, KeyType, Reply, Set, SetCondition,
};
use crate::lease::{LeaseLife, LeaseRequest, LeaseResponse};
use crate::request::{
    Compare, CompareOperator, CompareTarget, DeleteRange, Put, RangeRequest, Request, SortOrder, SortTarget,
    Txn, TxnOp,
};
use crate::response::{
    DeleteRangeResponse, Error, PutResponse, RangeResponse, Response, TxnOpResponse, TxnResponse,
};
use crate::space::{Alarm, AlarmKind, AlarmRequest, AlarmResponse, Quota};
use crate::types::{KeyRange, KeyValue, Retention};
use crate::wire::{DecodeError, Reader, Wire, decode_all, wire_enum, wire_struct};

impl Request {
    /// Appends the request's bytes to `into`.
    pub fn encode(&self, into: &mut Vec<u8>) {
        Wire::encode(self, into);
    }

    /// Reads a request that fills `bytes`. Keys and values are slices of `bytes`, not copies.
    ///
    /// # Errors
    /// If `bytes` is anything but one encoded request.
    pub fn decode(bytes: Bytes) -> Result<Request, DecodeError> {
        decode_all(bytes)
    }
}

impl Response {
    /// Appends the response's bytes to `into`.
    pub fn encode(&self, into: &mut Vec<u8>) {
        Wire::encode(self, into);
    }

    /// Reads a response that fills `bytes`. Keys and values are slices of `bytes`, not copies.
    ///
    /// # Errors
    /// If `bytes` is anything but one encoded response.
    pub fn decode(bytes: Bytes) -> Result<Response, DecodeError> {
        decode_all(bytes)
    }
}

wire_enum!(Request, "a request" {
    1 => Command(command),
    2 => Exec(exec),
    3 => WatchRevision { key },
    4 => Range(range),
    5 => Put(put),
    6 => DeleteRange(delete),
    7 => Txn(txn),
    8 => Compact { revision },
    9 => ExpireKeys { keys },
    10 => Tick,
    11 => SetRetention(retention),
    12 => Lease(lease),
    13 => Auth(auth),
    14 => OnBehalf(asked),
    15 => SetQuota(quota),
    16 => Alarm(alarm),
});

wire_enum!(Command, "a command" {
    1 => Get { key },
    2 => Set(set),
    3 => SetNx { key, value },
    4 => MSet { pairs },
    5 => MGet { keys },
    6 => Delete { keys },
    7 => Exists { keys },
    8 => Increment { key, by },
    9 => Append { key, value },
    10 => StrLen { key },
    11 => GetDelete { key },
    12 => GetEx { key, expiry },
    13 => Expire { key, expiry, condition },
    14 => Persist { key },
    15 => Ttl { key },
    16 => Deadline { key },
    17 => Keys { pattern },
    18 => Scan { cursor, pattern, count },
    19 => DbSize,
    20 => FlushAll,
    21 => Type { key },
});

wire_enum!(SetCondition, "a set condition" { 0 => Always, 1 => IfMissing, 2 => IfPresent });
wire_enum!(Expiry, "an expiry" { 0 => Clear, 1 => Keep, 2 => At(deadline), 3 => After(milliseconds) });
wire_enum!(ExpireCondition, "an expire condition" {
    0 => Always, 1 => IfNone, 2 => IfSome, 3 => IfLater, 4 => IfEarlier,
});
wire_enum!(KeyRange, "a key range" { 1 => One(key), 2 => Span { from, to }, 3 => From(from) });
wire_enum!(SortTarget, "a sort target" { 0 => Key, 1 => Version, 2 => Create, 3 => Mod, 4 => Value });
wire_enum!(SortOrder, "a sort order" { 0 => None, 1 => Ascend, 2 => Descend });
wire_enum!(TxnOp, "a txn operation" { 1 => Range(range), 2 => Put(put), 3 => DeleteRange(delete), 4 => Txn(txn) });
wire_enum!(CompareOperator, "a comparison" { 0 => Equal, 1 => NotEqual, 2 => Greater, 3 => Less });
wire_enum!(CompareTarget, "a comparison's target" {
    1 => Version(number), 2 => Create(number), 3 => Mod(number), 4 => Value(value), 5 => Lease(number),
});

wire_struct! {
    Set { key, value, condition, get, expiry }
    Exec { watched, commands }
    RangeRequest {
        range, revision, limit, sort_target, sort_order, keys_only, count_only,
        min_mod_revision, max_mod_revision, min_create_revision, max_create_revision,
    }
    Put { key, value, lease, prev_kv, ignore_value, ignore_lease }
    DeleteRange { range, prev_kv }
    Compare { range, operator, target }
    Retention { revisions, bytes }
    Quota { bytes, member }
    Alarm { kind, member }
    AlarmResponse { revision, alarms }
}

/// Not by the macro: a txn may contain txns.
impl Wire for Txn {
    fn encode(&self, into: &mut Vec<u8>) {
        self.compare.encode(into);
        self.success.encode(into);
        self.failure.encode(into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Txn, DecodeError> {
        reader.nested(|reader| {
            let compare = Wire::decode(reader)?;
            let success = Wire::decode(reader)?;
            let failure = Wire::decode(reader)?;
            Ok(Txn { compare, success, failure })
        })
    }
}

wire_enum!(Response, "a response" {
    1 => Reply(reply),
    2 => Exec(replies),
    3 => WatchRevision(revision),
    4 => Range(range),
    5 => Put(put),
    6 => DeleteRange(delete),
    7 => Txn(txn),
    8 => Compact { revision },
    9 => Expired { keys },
    10 => Done,
    11 => Error(error),
    12 => Lease(lease),
    13 => Auth(auth),
    14 => Alarm(alarm),
});

wire_enum!(Reply, "a reply" {
    1 => Ok,
    2 => Nil,
    3 => Integer(number),
    4 => Value(value),
    5 => Values(values),
    6 => Keys(keys),
    7 => Scan { cursor, keys },
    8 => Type(key_type),
    9 => Error(error),
});

wire_enum!(KeyType, "a key type" { 0 => Missing, 1 => String });
wire_enum!(CommandError, "a command error" { 1 => NotAnInteger, 2 => Overflow, 3 => TooLong });
wire_enum!(Error, "an error" {
    1 => EmptyKey,
    2 => Compacted { floor },
    3 => FutureRevision { current },
    4 => KeyNotFound,
    5 => ValueProvided,
    6 => LeaseProvided,
    7 => LeaseNotFound,
    8 => TooManyOps,
    9 => DuplicateKey,
    10 => NotReadOnly,
    11 => Malformed,
    12 => LeaseExists,
    13 => TtlTooLong,
    14 => Auth(error),
    15 => NoSpace,
    16 => Corrupt,
    17 => TooManyKeys,
});
wire_enum!(AlarmKind, "an alarm" { 1 => NoSpace, 2 => Corrupt });
wire_enum!(AlarmRequest, "a request about alarms" { 1 => List, 2 => Raise(alarm), 3 => Clear(alarm) });
wire_enum!(LeaseRequest, "a request about leases" {
    1 => Grant { lease, ttl_seconds },
    2 => Revoke { lease },
    3 => KeepAlive { lease },
    4 => Expire { leases },
    5 => List,
    6 => TimeToLive { lease, keys },
});
wire_enum!(LeaseResponse, "a response about leases" {
    1 => Granted { revision, lease, ttl_seconds },
    2 => Revoked { revision },
    3 => KeptAlive { revision, lease, ttl_seconds },
    4 => Expired { leases },
    5 => List { revision, leases },
    6 => TimeToLive { revision, lease, life },
});
wire_enum!(TxnOpResponse, "a txn operation's response" {
    1 => Range(range), 2 => Put(put), 3 => DeleteRange(delete), 4 => Txn(txn),
});

wire_struct! {
    KeyValue { key, value, create_revision, mod_revision, version, lease, deadline }
    RangeResponse { revision, kvs, more, count }
    PutResponse { revision, prev_kv }
    DeleteRangeResponse { revision, deleted, prev_kvs }
    LeaseLife { ttl_seconds, remaining_ms, keys }
}

/// Not by the macro: a txn's response may contain those of nested txns.
impl Wire for TxnResponse {
    fn encode(&self, into: &mut Vec<u8>) {
        self.revision.encode(into);
        self.succeeded.encode(into);
        self.responses.encode(into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<TxnResponse, DecodeError> {
        reader.nested(|reader| {
            let revision = Wire::decode(reader)?;
            let succeeded = Wire::decode(reader)?;
            let responses = Wire::decode(reader)?;
            Ok(TxnResponse { revision, succeeded, responses })
        })
    }
}
