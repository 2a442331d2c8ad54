//! Leases, as etcd's clients see them.

use std::sync::atomic::Ordering::Relaxed;

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use jangada_etcd::etcdserverpb::lease_client::LeaseClient;
use jangada_etcd::v3electionpb::LeaderRequest;
use jangada_etcd::v3electionpb::election_client::ElectionClient;
use jangada_etcd::{Freshness, Refusal, Services};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use crate::bare::{Bare, put, range, told};

fn client(bare: &Bare) -> LeaseClient<Services<Bare>> {
    LeaseClient::new(bare.services())
}

async fn grant(bare: &Bare, id: i64, ttl: i64) -> pb::LeaseGrantResponse {
    client(bare).lease_grant(pb::LeaseGrantRequest { id, ttl }).await.unwrap().into_inner()
}

async fn time_to_live(bare: &Bare, id: i64) -> pb::LeaseTimeToLiveResponse {
    let asked = pb::LeaseTimeToLiveRequest { id, keys: true };
    client(bare).lease_time_to_live(asked).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_lease_has_the_name_and_the_time_that_etcd_would_give_it() {
    let bare = Bare::default();
    let granted = grant(&bare, 0, 60).await;
    assert!(granted.id > 0, "the server chooses a positive number: {}", granted.id);
    assert_eq!((granted.ttl, granted.error.as_str()), (60, ""));
    assert_eq!(granted.header.unwrap().revision, 1);
    for (id, ttl, lives) in [(7, 5, 5), (-7, 1, 2), (8, 0, 2), (9, -1, 2), (10, 9_000_000_000, 9_000_000_000)]
    {
        let granted = grant(&bare, id, ttl).await;
        assert_eq!((granted.id, granted.ttl), (id, lives));
    }
    let mut client = client(&bare);
    let too_long = client.lease_grant(pb::LeaseGrantRequest { id: 11, ttl: 9_000_000_001 }).await;
    assert_eq!(told(too_long), (Code::OutOfRange, "etcdserver: too large lease TTL".to_owned()));
    let again = client.lease_grant(pb::LeaseGrantRequest { id: 7, ttl: 5 }).await;
    assert_eq!(told(again), (Code::FailedPrecondition, "etcdserver: lease already exists".to_owned()));
    let all = client.lease_leases(pb::LeaseLeasesRequest {}).await.unwrap().into_inner();
    let mut ids: Vec<i64> = all.leases.iter().map(|lease| lease.id).collect();
    assert_eq!(ids.len(), 6);
    assert_eq!(ids.pop(), Some(10), "what ends last comes last");
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_chosen() {
    let bare = Bare::default();
    // What the bare store calls random is counted; its half is the name.
    bare.numbers.store(14, Relaxed);
    grant(&bare, 7, 60).await;
    assert_eq!(grant(&bare, 0, 60).await.id, 8);
}

#[tokio::test]
async fn what_is_put_under_a_lease_ends_with_it() {
    let bare = Bare::default();
    grant(&bare, 7, 60).await;
    for key in ["b", "a"] {
        bare.kv().put(pb::PutRequest { lease: 7, ..put(key, "1") }).await.unwrap();
    }
    bare.clock.store(12_345, Relaxed);
    let life = time_to_live(&bare, 7).await;
    assert_eq!((life.id, life.ttl, life.granted_ttl), (7, 47, 60));
    assert_eq!(life.keys, ["a", "b"]);
    let kept = pb::PutRequest { ignore_lease: true, ..put("a", "2") };
    bare.kv().put(kept).await.unwrap();
    let answer = bare.kv().range(range("a", "")).await.unwrap().into_inner();
    assert_eq!((answer.kvs[0].lease, answer.kvs[0].version), (7, 2));
    bare.put("b", "free").await;
    let is_under = |lease| pb::Compare {
        key: "a".into(),
        result: CompareResult::Equal.into(),
        target: CompareTarget::Lease.into(),
        target_union: Some(TargetUnion::Lease(lease)),
        ..pb::Compare::default()
    };
    for (lease, holds) in [(7, true), (0, false)] {
        let txn = pb::TxnRequest { compare: vec![is_under(lease)], ..pb::TxnRequest::default() };
        assert_eq!(bare.kv().txn(txn).await.unwrap().into_inner().succeeded, holds);
    }
    let mut client = client(&bare);
    let revoked = client.lease_revoke(pb::LeaseRevokeRequest { id: 7 }).await.unwrap().into_inner();
    assert_eq!(revoked.header.unwrap().revision, 6);
    assert_eq!(bare.shown(range("a", "z")).await, ["b=free"]);
    let gone = time_to_live(&bare, 7).await;
    assert_eq!((gone.id, gone.ttl, gone.granted_ttl, gone.keys.len()), (7, -1, 0, 0));
    let again = client.lease_revoke(pb::LeaseRevokeRequest { id: 7 }).await;
    assert_eq!(told(again), (Code::NotFound, "etcdserver: requested lease not found".to_owned()));
}

/// Keeps these leases alive on one stream, and says what was answered and how the stream ended.
async fn kept_alive(bare: &Bare, ids: &[i64]) -> Result<Vec<(i64, i64)>, (Code, String)> {
    let (requests, arriving) = mpsc::channel(ids.len().max(1));
    for id in ids {
        requests.send(pb::LeaseKeepAliveRequest { id: *id }).await.unwrap();
    }
    drop(requests);
    let answered = client(bare).lease_keep_alive(ReceiverStream::new(arriving)).await;
    let mut answers = answered.map_err(|status| (status.code(), status.message().to_owned()))?.into_inner();
    let mut all = Vec::new();
    loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                assert!(answer.header.unwrap().revision >= 1);
                all.push((answer.id, answer.ttl));
            }
            Ok(None) => return Ok(all),
            Err(status) => return Err((status.code(), status.message().to_owned())),
        }
    }
}

#[tokio::test]
async fn keep_alives_of_a_stream_are_answered_in_order() {
    let bare = Bare::default();
    grant(&bare, 7, 60).await;
    grant(&bare, 8, 5).await;
    bare.clock.store(4_000, Relaxed);
    let many: Vec<i64> = std::iter::repeat_n([7, 9, 8], 200).flatten().collect();
    let expected = std::iter::repeat_n([(7, 60), (9, 0), (8, 5)], 200).flatten();
    assert_eq!(kept_alive(&bare, &many).await, Ok(expected.collect()));
    assert_eq!(time_to_live(&bare, 7).await.ttl, 60);
    assert_eq!(time_to_live(&bare, 8).await.ttl, 5);
}

/// Its time is made up.
#[tokio::test(start_paused = true)]
async fn a_stream_that_wants_a_leader_ends_with_it_though_nobody_says_anything() {
    let bare = Bare::default();
    let (_requests, arriving) = mpsc::channel::<pb::LeaseKeepAliveRequest>(1);
    let mut call = Request::new(ReceiverStream::new(arriving));
    call.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let mut kept = client(&bare).lease_keep_alive(call).await.unwrap().into_inner();
    let mut observe = Request::new(LeaderRequest { name: b"e".to_vec() });
    observe.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let mut observed = ElectionClient::new(bare.services()).observe(observe).await.unwrap().into_inner();
    bare.leader_lost.store(true, Relaxed);
    for ended in [kept.message().await.unwrap_err(), observed.message().await.unwrap_err()] {
        assert_eq!((ended.code(), ended.message()), (Code::Unavailable, "etcdserver: no leader"));
    }
}

#[tokio::test]
async fn leases_are_listed_as_this_member_knows_them_where_nobody_leads() {
    let bare = Bare::default();
    client(&bare).lease_grant(pb::LeaseGrantRequest { id: 7, ttl: 5 }).await.unwrap();
    bare.reads_refused.store(true, Relaxed);
    let late = client(&bare).lease_leases(pb::LeaseLeasesRequest {}).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable, "somebody leads, and may know of more");
    bare.leader_lost.store(true, Relaxed);
    let listed = client(&bare).lease_leases(pb::LeaseLeasesRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.leases, [pb::LeaseStatus { id: 7 }]);
}

#[tokio::test]
async fn who_cannot_write_keeps_nothing_alive() {
    let bare =
        Bare { refusal: Some(Refusal::NoLeader { why: "nobody leads".to_owned() }), ..Bare::default() };
    let no_leader = (Code::Unavailable, "etcdserver: no leader".to_owned());
    assert_eq!(kept_alive(&bare, &[7]).await, Err(no_leader.clone()));
    assert_eq!(told(client(&bare).lease_grant(pb::LeaseGrantRequest { id: 7, ttl: 5 }).await), no_leader);
    let asked = pb::LeaseTimeToLiveRequest { id: 7, keys: false };
    assert_eq!(told(client(&bare).lease_time_to_live(asked).await), no_leader);
    assert_eq!(*bare.reads.lock().unwrap(), [Freshness::Linearizable]);
    let bare = Bare { leaderless: true, ..Bare::default() };
    let mut grant = Request::new(pb::LeaseGrantRequest { id: 7, ttl: 5 });
    grant.metadata_mut().insert("hasleader", "true".parse().unwrap());
    assert_eq!(told(client(&bare).lease_grant(grant).await), no_leader);
}
