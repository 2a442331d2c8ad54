//! etcd's messages as requests of the store.
//!
//! What depends on the message alone is checked here, in etcd's order, so that of several faults the one is named
//! that etcd names. The store checks again what concerns it: it trusts no log.

use bytes::Bytes;
use jangada_kv::{
    Compare, CompareOperator, CompareTarget, DeleteRange, KeyRange, LeaseId, MAX_TXN_OPS, Put, RangeRequest,
    Request, Revision, SortOrder, SortTarget, Txn, TxnOp,
};
use tonic::Status;

use crate::error;
use crate::etcdserverpb as pb;
use crate::etcdserverpb::compare::TargetUnion;
use crate::etcdserverpb::request_op::Request as Op;

/// A range request.
///
/// # Errors
/// etcd's refusal of a message without a key or with an unknown sort option.
pub fn range(message: pb::RangeRequest) -> Result<RangeRequest, Status> {
    let sort_order = match pb::range_request::SortOrder::try_from(message.sort_order) {
        Ok(pb::range_request::SortOrder::None) => Some(SortOrder::None),
        Ok(pb::range_request::SortOrder::Ascend) => Some(SortOrder::Ascend),
        Ok(pb::range_request::SortOrder::Descend) => Some(SortOrder::Descend),
        Err(_) => None,
    };
    let sort_target = match pb::range_request::SortTarget::try_from(message.sort_target) {
        Ok(pb::range_request::SortTarget::Key) => Some(SortTarget::Key),
        Ok(pb::range_request::SortTarget::Version) => Some(SortTarget::Version),
        Ok(pb::range_request::SortTarget::Create) => Some(SortTarget::Create),
        Ok(pb::range_request::SortTarget::Mod) => Some(SortTarget::Mod),
        Ok(pb::range_request::SortTarget::Value) => Some(SortTarget::Value),
        Err(_) => None,
    };
    let range = keys(message.key, message.range_end)?;
    let (Some(sort_order), Some(sort_target)) = (sort_order, sort_target) else {
        return Err(error::INVALID_SORT_OPTION.into());
    };
    Ok(RangeRequest {
        range,
        revision: above_zero(message.revision),
        limit: u64::try_from(message.limit).unwrap_or(0),
        sort_target,
        sort_order,
        keys_only: message.keys_only,
        count_only: message.count_only,
        min_mod_revision: above_zero(message.min_mod_revision),
        max_mod_revision: upper_bound(message.max_mod_revision),
        min_create_revision: above_zero(message.min_create_revision),
        max_create_revision: upper_bound(message.max_create_revision),
    })
}

/// A put.
///
/// # Errors
/// etcd's refusal of a message without a key, or with what it says to ignore.
pub fn put(message: pb::PutRequest) -> Result<Put, Status> {
    if message.key.is_empty() {
        return Err(error::EMPTY_KEY.into());
    }
    if message.ignore_value && !message.value.is_empty() {
        return Err(error::VALUE_PROVIDED.into());
    }
    if message.ignore_lease && message.lease != 0 {
        return Err(error::LEASE_PROVIDED.into());
    }
    Ok(Put {
        key: message.key,
        value: message.value,
        lease: (message.lease != 0).then_some(LeaseId(message.lease)),
        prev_kv: message.prev_kv,
        ignore_value: message.ignore_value,
        ignore_lease: message.ignore_lease,
    })
}

/// A delete.
///
/// # Errors
/// etcd's refusal of a message without a key.
pub fn delete_range(message: pb::DeleteRangeRequest) -> Result<DeleteRange, Status> {
    Ok(DeleteRange { range: keys(message.key, message.range_end)?, prev_kv: message.prev_kv })
}

/// A txn.
///
/// # Errors
/// etcd's refusal of one that is too long, has a faulty part, or writes a key twice.
pub fn txn(message: pb::TxnRequest) -> Result<Txn, Status> {
    let txn = part_of_txn(message, MAX_TXN_OPS)?;
    txn.check().map_err(error::of_store)?;
    Ok(txn)
}

/// A compaction.
#[must_use]
pub fn compact(message: &pb::CompactionRequest) -> Request {
    // Revision 0 is compacted from the beginning, as are negative ones.
    Request::Compact { revision: Revision(u64::try_from(message.revision).unwrap_or(0)) }
}

/// Whether a txn may be answered from what this member knows: each operation is a read that allows it.
#[must_use]
pub fn is_serializable(message: &pb::TxnRequest) -> bool {
    message
        .success
        .iter()
        .chain(&message.failure)
        .all(|op| matches!(&op.request, Some(Op::RequestRange(range)) if range.serializable))
}

/// A txn or one inside another, whose lists may have `allowed` elements: those of the txns around it are counted.
fn part_of_txn(message: pb::TxnRequest, allowed: usize) -> Result<Txn, Status> {
    let longest = message.compare.len().max(message.success.len()).max(message.failure.len());
    let Some(left) = allowed.checked_sub(longest) else {
        return Err(error::TOO_MANY_OPS.into());
    };
    Ok(Txn {
        compare: message.compare.into_iter().map(compare).collect::<Result<_, _>>()?,
        success: message.success.into_iter().map(|op| operation(op, left)).collect::<Result<_, _>>()?,
        failure: message.failure.into_iter().map(|op| operation(op, left)).collect::<Result<_, _>>()?,
    })
}

fn operation(message: pb::RequestOp, allowed: usize) -> Result<TxnOp, Status> {
    match message.request {
        Some(Op::RequestRange(message)) => range(message).map(TxnOp::Range),
        Some(Op::RequestPut(message)) => put(message).map(TxnOp::Put),
        Some(Op::RequestDeleteRange(message)) => delete_range(message).map(TxnOp::DeleteRange),
        Some(Op::RequestTxn(message)) => part_of_txn(message, allowed).map(TxnOp::Txn),
        None => Err(error::KEY_NOT_FOUND.into()),
    }
}

/// What is compared is named by `target`; a value of another kind counts as none at all.
fn compare(message: pb::Compare) -> Result<Compare, Status> {
    let range = keys(message.key, message.range_end)?;
    let operator = match pb::compare::CompareResult::try_from(message.result) {
        Ok(pb::compare::CompareResult::Equal) => CompareOperator::Equal,
        Ok(pb::compare::CompareResult::Greater) => CompareOperator::Greater,
        Ok(pb::compare::CompareResult::Less) => CompareOperator::Less,
        Ok(pb::compare::CompareResult::NotEqual) => CompareOperator::NotEqual,
        Err(_) => return Err(error::INVALID_COMPARE.into()),
    };
    let with = message.target_union;
    let target = match pb::compare::CompareTarget::try_from(message.target) {
        Ok(pb::compare::CompareTarget::Version) => CompareTarget::Version(match with {
            Some(TargetUnion::Version(number)) => number,
            _ => 0,
        }),
        Ok(pb::compare::CompareTarget::Create) => CompareTarget::Create(match with {
            Some(TargetUnion::CreateRevision(number)) => number,
            _ => 0,
        }),
        Ok(pb::compare::CompareTarget::Mod) => CompareTarget::Mod(match with {
            Some(TargetUnion::ModRevision(number)) => number,
            _ => 0,
        }),
        Ok(pb::compare::CompareTarget::Value) => CompareTarget::Value(match with {
            Some(TargetUnion::Value(value)) => value,
            _ => Bytes::new(),
        }),
        Ok(pb::compare::CompareTarget::Lease) => CompareTarget::Lease(match with {
            Some(TargetUnion::Lease(number)) => number,
            _ => 0,
        }),
        Err(_) => return Err(error::INVALID_COMPARE.into()),
    };
    Ok(Compare { range, operator, target })
}

/// The empty key is refused even at the front of a range.
fn keys(key: Bytes, range_end: Bytes) -> Result<KeyRange, Status> {
    if key.is_empty() {
        return Err(error::EMPTY_KEY.into());
    }
    Ok(KeyRange::from_etcd(key, range_end))
}

/// 0 stands for none, and a negative lower bound bounds nothing.
fn above_zero(number: i64) -> Option<Revision> {
    u64::try_from(number).ok().filter(|number| *number > 0).map(Revision)
}

/// 0 stands for none; a negative upper bound leaves nothing over.
fn upper_bound(number: i64) -> Option<Revision> {
    (number != 0).then(|| Revision(u64::try_from(number).unwrap_or(0)))
}
