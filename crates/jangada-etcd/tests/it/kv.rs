//! What KV answers when all is well.

use jangada_etcd::Freshness;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use jangada_etcd::etcdserverpb::request_op::Request as Op;
use jangada_etcd::etcdserverpb::response_op::Response as OpAnswer;

use crate::bare::{Bare, delete, op, put, range};

#[tokio::test]
async fn a_put_makes_a_revision_and_returns_what_was_there() {
    let bare = Bare::default();
    assert_eq!(bare.put("a", "1").await, 2);
    let answer = bare.kv().put(pb::PutRequest { prev_kv: true, ..put("a", "2") }).await.unwrap().into_inner();
    let header = answer.header.unwrap();
    assert_eq!((header.cluster_id, header.member_id, header.revision, header.raft_term), (7, 1, 3, 3));
    let before = answer.prev_kv.unwrap();
    assert_eq!((before.value.as_ref(), before.create_revision, before.mod_revision), (&b"1"[..], 2, 2));
    let kept = pb::PutRequest { ignore_value: true, ..put("a", "") };
    bare.kv().put(kept).await.unwrap();
    let answer = bare.kv().range(range("a", "")).await.unwrap().into_inner();
    let kv = &answer.kvs[0];
    assert_eq!((kv.value.as_ref(), kv.create_revision, kv.mod_revision, kv.version), (&b"2"[..], 2, 4, 3));
}

#[tokio::test]
async fn a_range_is_filtered_sorted_and_cut_in_this_order() {
    let bare = Bare::default();
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("b", "4")] {
        bare.put(key, value).await;
    }
    let by_value = pb::RangeRequest {
        sort_order: pb::range_request::SortOrder::Descend.into(),
        sort_target: pb::range_request::SortTarget::Value.into(),
        limit: 2,
        ..range("a", "z")
    };
    let answer = bare.kv().range(by_value.clone()).await.unwrap().into_inner();
    assert_eq!((answer.more, answer.count), (true, 3));
    assert_eq!(bare.shown(by_value.clone()).await, ["b=4", "a=3"]);
    let filtered = pb::RangeRequest { max_mod_revision: 4, ..by_value.clone() };
    assert_eq!(bare.shown(filtered.clone()).await, ["a=3", "c=2"]);
    let answer = bare.kv().range(filtered).await.unwrap().into_inner();
    assert_eq!((answer.more, answer.count), (false, 3));
    assert_eq!(bare.shown(pb::RangeRequest { revision: 3, ..range("a", "z") }).await, ["a=3", "b=1"]);
    assert_eq!(bare.shown(pb::RangeRequest { revision: -3, limit: -1, ..range("b", "\0") }).await.len(), 2);
    assert_eq!(bare.shown(range("\0", "\0")).await.len(), 3);
    assert_eq!(bare.shown(range("z", "a")).await.len(), 0);
    let counted = pb::RangeRequest { count_only: true, limit: 1, ..range("a", "z") };
    let answer = bare.kv().range(counted).await.unwrap().into_inner();
    assert_eq!((answer.kvs.len(), answer.more, answer.count), (0, false, 3));
    // Negative bounds: the lower one bounds nothing, the upper one leaves nothing.
    assert_eq!(bare.shown(pb::RangeRequest { min_mod_revision: -1, ..range("a", "z") }).await.len(), 3);
    assert_eq!(bare.shown(pb::RangeRequest { max_create_revision: -1, ..range("a", "z") }).await.len(), 0);
}

#[tokio::test]
async fn a_delete_says_how_many_and_makes_no_revision_of_nothing() {
    let bare = Bare::default();
    bare.put("a", "1").await;
    bare.put("b", "2").await;
    let request = pb::DeleteRangeRequest { prev_kv: true, ..delete("a", "z") };
    let answer = bare.kv().delete_range(request.clone()).await.unwrap().into_inner();
    assert_eq!((answer.deleted, answer.prev_kvs.len(), answer.header.unwrap().revision), (2, 2, 4));
    let answer = bare.kv().delete_range(request).await.unwrap().into_inner();
    assert_eq!((answer.deleted, answer.prev_kvs.len(), answer.header.unwrap().revision), (0, 0, 4));
}

#[tokio::test]
async fn a_txn_takes_one_branch_in_one_revision() {
    let bare = Bare::default();
    bare.put("a", "1").await;
    let is_one = pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Value.into(),
        key: "a".into(),
        target_union: Some(TargetUnion::Value("1".into())),
        ..pb::Compare::default()
    };
    let nested =
        pb::TxnRequest { success: vec![op(Op::RequestPut(put("c", "3")))], ..pb::TxnRequest::default() };
    let txn = pb::TxnRequest {
        compare: vec![is_one],
        success: vec![
            op(Op::RequestRange(range("a", ""))),
            op(Op::RequestPut(put("a", "2"))),
            op(Op::RequestTxn(nested)),
            op(Op::RequestRange(range("a", "z"))),
        ],
        failure: vec![op(Op::RequestDeleteRange(delete("a", "z")))],
    };
    let answer = bare.kv().txn(txn.clone()).await.unwrap().into_inner();
    assert!(answer.succeeded);
    assert_eq!(answer.header.unwrap().revision, 3);
    let revisions: Vec<(i64, u64)> = answer
        .responses
        .iter()
        .map(|response| match response.response.as_ref().unwrap() {
            OpAnswer::ResponseRange(range) => range.header,
            OpAnswer::ResponsePut(put) => put.header,
            OpAnswer::ResponseDeleteRange(delete) => delete.header,
            OpAnswer::ResponseTxn(txn) => txn.header,
        })
        .map(|header| header.unwrap())
        .map(|header| (header.revision, header.cluster_id))
        .collect();
    assert_eq!(revisions, [(2, 0), (3, 0), (0, 0), (3, 0)], "before the first write the old revision");
    let answer = bare.kv().txn(txn).await.unwrap().into_inner();
    assert!(!answer.succeeded);
    assert_eq!(bare.shown(range("\0", "\0")).await, Vec::<String>::new());
}

#[tokio::test]
async fn reads_are_as_fresh_as_they_ask_to_be() {
    let bare = Bare::default();
    let own = pb::RangeRequest { serializable: true, ..range("a", "") };
    bare.kv().range(range("a", "")).await.unwrap();
    bare.kv().range(own.clone()).await.unwrap();
    let txn = |reads: Vec<pb::RangeRequest>| pb::TxnRequest {
        success: reads.into_iter().map(|read| op(Op::RequestRange(read))).collect(),
        ..pb::TxnRequest::default()
    };
    bare.kv().txn(txn(vec![own.clone()])).await.unwrap();
    bare.kv().txn(txn(vec![own, range("a", "")])).await.unwrap();
    use Freshness::{Linearizable, Serializable};
    assert_eq!(*bare.reads.lock().unwrap(), [Linearizable, Serializable, Serializable, Linearizable]);
}

#[tokio::test]
async fn what_is_compacted_is_gone_but_for_the_revision_itself() {
    let bare = Bare::default();
    for value in ["1", "2", "3"] {
        bare.put("a", value).await;
    }
    let compact = pb::CompactionRequest { revision: 3, physical: true };
    let answer = bare.kv().compact(compact).await.unwrap().into_inner();
    assert_eq!(answer.header.unwrap().revision, 4);
    assert_eq!(bare.shown(pb::RangeRequest { revision: 3, ..range("a", "") }).await, ["a=2"]);
    assert!(bare.kv().range(pb::RangeRequest { revision: 2, ..range("a", "") }).await.is_err());
}
