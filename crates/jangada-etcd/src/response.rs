//! The store's answers as etcd's messages.

use jangada_kv::{
    DeleteRangeResponse, KeyValue, PutResponse, RangeResponse, Revision, TxnOpResponse, TxnResponse,
};

use crate::backend::Backend;
use crate::etcdserverpb as pb;
use crate::etcdserverpb::response_op::Response as Op;
use crate::mvccpb;

/// The header of an answer that shows the store at `revision`.
pub fn header<B: Backend>(backend: &B, revision: Revision) -> Option<pb::ResponseHeader> {
    let who = backend.answerer();
    Some(pb::ResponseHeader {
        cluster_id: who.cluster_id,
        member_id: who.member_id,
        revision: signed(revision.0),
        raft_term: who.term,
    })
}

/// The header of an answer inside the answer to a txn.
fn inner_header(revision: Revision) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision: signed(revision.0), ..pb::ResponseHeader::default() })
}

/// A range's answer, without its header.
#[must_use]
pub fn range(response: RangeResponse) -> pb::RangeResponse {
    pb::RangeResponse {
        header: None,
        kvs: response.kvs.into_iter().map(key_value).collect(),
        more: response.more,
        count: signed(response.count),
    }
}

/// A put's answer, without its header.
#[must_use]
pub fn put(response: PutResponse) -> pb::PutResponse {
    pb::PutResponse { header: None, prev_kv: response.prev_kv.map(|kv| key_value(*kv)) }
}

/// A delete's answer, without its header.
#[must_use]
pub fn delete_range(response: DeleteRangeResponse) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: None,
        deleted: signed(response.deleted),
        prev_kvs: response.prev_kvs.into_iter().map(key_value).collect(),
    }
}

/// A txn's answer, without its own header. The answers inside it say the revision and nothing else of themselves;
/// a txn inside it, not even that.
#[must_use]
pub fn txn(response: TxnResponse) -> pb::TxnResponse {
    let responses = response.responses.into_iter().map(|response| {
        let response = match response {
            TxnOpResponse::Range(response) => {
                let header = inner_header(response.revision);
                Op::ResponseRange(pb::RangeResponse { header, ..range(response) })
            }
            TxnOpResponse::Put(response) => {
                let header = inner_header(response.revision);
                Op::ResponsePut(pb::PutResponse { header, ..put(response) })
            }
            TxnOpResponse::DeleteRange(response) => {
                let header = inner_header(response.revision);
                Op::ResponseDeleteRange(pb::DeleteRangeResponse { header, ..delete_range(response) })
            }
            TxnOpResponse::Txn(response) => {
                let header = Some(pb::ResponseHeader::default());
                Op::ResponseTxn(pb::TxnResponse { header, ..txn(response) })
            }
        };
        pb::ResponseOp { response: Some(response) }
    });
    pb::TxnResponse { header: None, succeeded: response.succeeded, responses: responses.collect() }
}

/// A key with its value and history.
#[must_use]
pub fn key_value(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        value: kv.value,
        create_revision: signed(kv.create_revision.0),
        mod_revision: signed(kv.mod_revision.0),
        version: signed(kv.version),
        lease: kv.lease.map_or(0, |lease| lease.0),
    }
}

/// etcd's counts and revisions are signed; ours never come near the difference.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
