//! What is refused, with etcd's codes and texts.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use jangada_etcd::etcdserverpb::request_op::Request as Op;
use jangada_etcd::{Freshness, Refusal, error};
use tonic::{Code, Request};

use crate::bare::{Bare, REQUEST_BYTES, delete, op, put, range, told};

#[tokio::test]
async fn faulty_ranges_puts_and_deletes() {
    let bare = Bare::default();
    bare.put("a", "1").await;
    let mut kv = bare.kv();
    let no_key = (Code::InvalidArgument, "etcdserver: key is not provided".to_owned());
    assert_eq!(told(kv.range(range("", "z")).await), no_key);
    assert_eq!(told(kv.put(put("", "1")).await), no_key);
    assert_eq!(told(kv.delete_range(delete("", "\0")).await), no_key);
    let cases = [
        (pb::PutRequest { ignore_value: true, ..put("a", "1") }, "etcdserver: value is provided"),
        (pb::PutRequest { ignore_lease: true, lease: 1, ..put("a", "1") }, "etcdserver: lease is provided"),
        (pb::PutRequest { ignore_value: true, ..put("b", "") }, "etcdserver: key not found"),
        (pb::PutRequest { ignore_lease: true, ..put("b", "1") }, "etcdserver: key not found"),
    ];
    for (request, text) in cases {
        assert_eq!(told(kv.put(request).await), (Code::InvalidArgument, text.to_owned()));
    }
    let leased = pb::PutRequest { lease: 7, ..put("a", "1") };
    let no_lease = (Code::NotFound, "etcdserver: requested lease not found".to_owned());
    assert_eq!(told(kv.put(leased).await), no_lease);
    for (order, target) in [(9, 0), (0, 9), (-1, 0)] {
        let request = pb::RangeRequest { sort_order: order, sort_target: target, ..range("a", "") };
        let refused = (Code::InvalidArgument, "etcdserver: invalid sort option".to_owned());
        assert_eq!(told(kv.range(request).await), refused);
    }
    let future = pb::RangeRequest { revision: 3, ..range("a", "") };
    let text = "etcdserver: mvcc: required revision is a future revision";
    assert_eq!(told(kv.range(future).await), (Code::OutOfRange, text.to_owned()));
    assert_eq!(bare.store.lock().unwrap().revision().0, 2, "nothing of this has changed anything");
}

#[tokio::test]
async fn faulty_compactions() {
    let bare = Bare::default();
    bare.put("a", "1").await;
    let mut kv = bare.kv();
    let gone = (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted".to_owned());
    let future = (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision".to_owned());
    let compact = |revision| pb::CompactionRequest { revision, physical: false };
    assert_eq!(told(kv.compact(compact(3)).await), future);
    for revision in [0, -1, i64::MIN] {
        assert_eq!(told(kv.compact(compact(revision)).await), gone);
    }
    kv.compact(compact(2)).await.unwrap();
    assert_eq!(told(kv.compact(compact(2)).await), gone);
    assert_eq!(told(kv.range(pb::RangeRequest { revision: 1, ..range("a", "") }).await), gone);
}

#[tokio::test]
async fn faulty_transactions_change_nothing() {
    let bare = Bare::default();
    let txn = |success: Vec<pb::RequestOp>| pb::TxnRequest { success, ..pb::TxnRequest::default() };
    let nested = |success| op(Op::RequestTxn(txn(success)));
    let puts = |count: usize| (0..count).map(|i| op(Op::RequestPut(put(&format!("k{i:03}"), "1")))).collect();
    let too_many = "etcdserver: too many operations in txn request";
    let duplicate = "etcdserver: duplicate key given in txn request";
    let first = || op(Op::RequestPut(put("first", "1")));
    let cases = [
        (txn(puts(129)), too_many),
        (txn(vec![first(), nested(puts(128))]), too_many),
        (txn(vec![pb::RequestOp { request: None }]), "etcdserver: key not found"),
        (txn(vec![first(), first()]), duplicate),
        (txn(vec![first(), op(Op::RequestDeleteRange(delete("f", "g")))]), duplicate),
        (txn(vec![first(), nested(vec![first()])]), duplicate),
        (txn(vec![first(), op(Op::RequestRange(range("", "")))]), "etcdserver: key is not provided"),
    ];
    for (request, text) in cases {
        assert_eq!(told(bare.kv().txn(request).await), (Code::InvalidArgument, text.to_owned()));
    }
    // What depends on the store is found before the first write.
    let future = op(Op::RequestRange(pb::RangeRequest { revision: 9, ..range("a", "") }));
    assert_eq!(told(bare.kv().txn(txn(vec![first(), future])).await).0, Code::OutOfRange);
    let unknown_lease = op(Op::RequestPut(pb::PutRequest { lease: 1, ..put("b", "1") }));
    assert_eq!(told(bare.kv().txn(txn(vec![first(), unknown_lease])).await).0, Code::NotFound);
    let compare = pb::Compare { result: 9, key: "a".into(), ..pb::Compare::default() };
    let odd = pb::TxnRequest { compare: vec![compare], ..pb::TxnRequest::default() };
    assert_eq!(told(bare.kv().txn(odd).await).0, Code::InvalidArgument);
    assert_eq!(bare.store.lock().unwrap().revision().0, 1);
    bare.kv().txn(txn(puts(128))).await.unwrap();
}

#[tokio::test]
async fn what_is_too_large() {
    let bare = Bare::default();
    let long = "x".repeat(REQUEST_BYTES);
    let refused = (Code::InvalidArgument, "etcdserver: request is too large".to_owned());
    assert_eq!(told(bare.kv().put(put("a", &long)).await), refused);
    let longer = "x".repeat(REQUEST_BYTES + (600 << 10));
    let (code, text) = told(bare.kv().put(put("a", &longer)).await);
    assert_eq!(code, Code::ResourceExhausted);
    let limit = REQUEST_BYTES + (512 << 10);
    assert!(text.starts_with("grpc: received message larger than max (6"), "{text}");
    assert!(text.ends_with(&format!(" vs. {limit})")), "{text}");
}

#[tokio::test]
async fn a_server_that_cannot_answer_says_so_in_etcds_words() {
    let why = || "n2 réfuse".to_owned();
    for (refusal, code, text) in [
        (Refusal::NoLeader { why: why() }, Code::Unavailable, "etcdserver: no leader"),
        (Refusal::Removed { why: why() }, Code::Unavailable, "etcdserver: server stopped"),
        (Refusal::TimedOut, Code::Unavailable, "etcdserver: request timed out"),
        (Refusal::Stopping, Code::Unavailable, "etcdserver: server stopped"),
        (Refusal::Busy, Code::ResourceExhausted, "etcdserver: too many requests"),
        (
            Refusal::NoRoom,
            Code::ResourceExhausted,
            "etcdserver: request is carried out, but its answer was dropped: too many wait to be read",
        ),
        (Refusal::Other("a sentence".to_owned()), Code::Unknown, "a sentence"),
    ] {
        let bare = Bare { refusal: Some(refusal), ..Bare::default() };
        assert_eq!(told(bare.kv().put(put("a", "1")).await), (code, text.to_owned()));
        assert_eq!(told(bare.kv().range(range("a", "")).await), (code, text.to_owned()));
        let own = pb::RangeRequest { serializable: true, ..range("a", "") };
        bare.kv().range(own).await.unwrap();
        // Beside the text, which clients compare, stands why.
        let status = bare.kv().put(put("a", "1")).await.unwrap_err();
        let is_told = matches!(bare.refusal, Some(Refusal::NoLeader { .. } | Refusal::Removed { .. }));
        assert_eq!(error::why(&status), is_told.then_some("n2 r?fuse"));
    }
}

#[tokio::test]
async fn who_wants_a_leader_is_refused_where_there_is_none() {
    let bare = Bare { leaderless: true, ..Bare::default() };
    let mut own = Request::new(pb::RangeRequest { serializable: true, ..range("a", "") });
    bare.kv().range(Request::new(own.get_ref().clone())).await.unwrap();
    own.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let refused = (Code::Unavailable, "etcdserver: no leader".to_owned());
    assert_eq!(told(bare.kv().range(own).await), refused);
    assert_eq!(*bare.reads.lock().unwrap(), [Freshness::Serializable]);
}

#[tokio::test]
async fn a_token_that_nobody_issued_is_refused() {
    let bare = Bare::default();
    for name in ["token", "authorization"] {
        let mut request = Request::new(put("a", "1"));
        request.metadata_mut().insert(name, "nonsense".parse().unwrap());
        let refused = (Code::Unauthenticated, "etcdserver: invalid auth token".to_owned());
        assert_eq!(told(bare.kv().put(request).await), refused);
    }
}

#[tokio::test]
async fn what_is_not_there_yet_is_named() {
    let bare = Bare::default();
    let text = "jangada does not serve etcdserverpb.Maintenance/Downgrade with the action ENABLE yet \
                (docs/etcd.md says what it serves)";
    let mut maintenance = MaintenanceClient::new(bare.services());
    let action = pb::downgrade_request::DowngradeAction::Enable.into();
    let downgrade = maintenance.downgrade(pb::DowngradeRequest { action, version: "3.4.0".to_owned() }).await;
    assert_eq!(told(downgrade), (Code::Unimplemented, text.to_owned()));
}
