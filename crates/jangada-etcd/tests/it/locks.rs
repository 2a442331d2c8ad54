//! Locks and elections, as services.

use std::sync::atomic::Ordering::Relaxed;

use jangada_etcd::Services;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use jangada_etcd::etcdserverpb::lease_client::LeaseClient;
use jangada_etcd::etcdserverpb::request_op::Request as Op;
use jangada_etcd::v3electionpb::election_client::ElectionClient;
use jangada_etcd::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ResignRequest,
};
use jangada_etcd::v3lockpb::lock_client::LockClient;
use jangada_etcd::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use tokio::task::JoinHandle;
use tonic::{Code, Status, Streaming};

use crate::bare::{Bare, op, put, range, told};

async fn lease(bare: &Bare, id: i64) {
    let granted = pb::LeaseGrantRequest { id, ttl: 60 };
    LeaseClient::new(bare.services()).lease_grant(granted).await.unwrap();
}

async fn revoke(bare: &Bare, id: i64) {
    LeaseClient::new(bare.services()).lease_revoke(pb::LeaseRevokeRequest { id }).await.unwrap();
}

async fn lock(bare: &Bare, lease: i64) -> Result<LockResponse, Status> {
    let wanted = LockRequest { name: b"L".into(), lease };
    LockClient::new(bare.services()).lock(wanted).await.map(tonic::Response::into_inner)
}

async fn unlock(bare: &Bare, key: &str) -> i64 {
    let answer = LockClient::new(bare.services()).unlock(UnlockRequest { key: key.into() }).await.unwrap();
    answer.into_inner().header.unwrap().revision
}

/// A client that waits for the lock; it is in the queue.
async fn waiting(bare: &Bare, id: i64) -> JoinHandle<Result<LockResponse, Status>> {
    lease(bare, id).await;
    let its = bare.clone();
    let waiting = tokio::spawn(async move { lock(&its, id).await });
    until(bare, &format!("L/{id:x}"), true).await;
    waiting
}

/// Waits until a key is there, or is not.
async fn until(bare: &Bare, key: &str, there: bool) {
    while bare.shown(range(key, "")).await.is_empty() == there {
        tokio::task::yield_now().await;
    }
}

fn held(answer: LockResponse) -> (String, i64) {
    (String::from_utf8(answer.key).unwrap(), answer.header.unwrap().revision)
}

#[tokio::test]
async fn a_lock_is_held_by_one_after_the_other_in_the_order_of_their_coming() {
    let bare = Bare::default();
    lease(&bare, 255).await;
    assert_eq!(held(lock(&bare, 255).await.unwrap()), ("L/ff".to_owned(), 2));
    bare.put("x", "1").await;
    assert_eq!(held(lock(&bare, 255).await.unwrap()), ("L/ff".to_owned(), 2), "the holder has it already");
    let second = waiting(&bare, 1).await;
    let third = waiting(&bare, 2).await;
    bare.put("y", "1").await;
    assert!(!second.is_finished() && !third.is_finished());
    assert_eq!(unlock(&bare, "L/ff").await, 7);
    assert_eq!(held(second.await.unwrap().unwrap()), ("L/1".to_owned(), 4));
    assert!(!third.is_finished());
    revoke(&bare, 1).await;
    assert_eq!(held(third.await.unwrap().unwrap()), ("L/2".to_owned(), 5));
    assert_eq!(unlock(&bare, "L/2").await, 9);
    assert_eq!(unlock(&bare, "L/2").await, 9);
}

#[tokio::test]
async fn whoever_stops_waiting_leaves_the_queue() {
    let bare = Bare::default();
    lease(&bare, 255).await;
    lock(&bare, 255).await.unwrap();
    let impatient = waiting(&bare, 1).await;
    let patient = waiting(&bare, 2).await;
    impatient.abort();
    until(&bare, "L/1", false).await;
    unlock(&bare, "L/ff").await;
    assert_eq!(held(patient.await.unwrap().unwrap()).0, "L/2");
}

#[tokio::test]
async fn whoever_goes_away_while_it_joins_leaves_the_queue() {
    let bare = Bare::default();
    lease(&bare, 1).await;
    let unanswered = bare.answers.lock().await;
    let its = bare.clone();
    let joining = tokio::spawn(async move { lock(&its, 1).await });
    until(&bare, "L/1", true).await;
    joining.abort();
    assert!(joining.await.unwrap_err().is_cancelled());
    drop(unanswered);
    until(&bare, "L/1", false).await;
}

#[tokio::test]
async fn a_place_that_a_call_found_stays_whatever_becomes_of_the_call() {
    let bare = Bare::default();
    lease(&bare, 255).await;
    lease(&bare, 254).await;
    let first = held(lock(&bare, 255).await.unwrap());
    let leader = campaign(&bare, 254, "a").await.leader;
    let second = waiting(&bare, 1).await;

    bare.reads_refused.store(true, Relaxed);
    // The log says that they are at the front.
    assert_eq!(held(lock(&bare, 255).await.unwrap()), first);
    assert_eq!(campaign(&bare, 254, "b").await.leader, leader);
    assert_eq!(told(lock(&bare, 1).await).0, Code::Unavailable);
    bare.reads_refused.store(false, Relaxed);

    let its = bare.clone();
    let reads = bare.reads.lock().unwrap().len();
    let again = tokio::spawn(async move { lock(&its, 1).await });
    while bare.reads.lock().unwrap().len() == reads {
        tokio::task::yield_now().await;
    }
    again.abort();
    assert!(again.await.unwrap_err().is_cancelled());

    assert_eq!(bare.shown(range("L/", "L0")).await, ["L/1=", "L/ff="]);
    unlock(&bare, "L/ff").await;
    assert_eq!(held(second.await.unwrap().unwrap()).0, "L/1");
    assert_eq!(bare.shown(range("E/", "L0")).await, ["E/fe=b", "L/1="]);
}

#[tokio::test]
async fn who_waits_longer_than_its_lease_does_not_get_the_lock() {
    let bare = Bare::default();
    lease(&bare, 255).await;
    lock(&bare, 255).await.unwrap();
    let waiting = waiting(&bare, 1).await;
    revoke(&bare, 1).await;
    assert_eq!(told(waiting.await.unwrap()), (Code::Unknown, "mutex: session is expired".to_owned()));
}

#[tokio::test]
async fn waiting_goes_on_when_the_history_is_forgotten() {
    let bare = Bare::default();
    lease(&bare, 255).await;
    lock(&bare, 255).await.unwrap();
    let waiting = waiting(&bare, 1).await;
    unlock(&bare, "L/ff").await;
    let revision = bare.put("x", "1").await;
    let compact = pb::CompactionRequest { revision, physical: true };
    bare.kv().compact(compact).await.unwrap();
    assert_eq!(held(waiting.await.unwrap().unwrap()).0, "L/1");
}

#[tokio::test]
async fn a_put_guarded_by_an_old_token_is_refused() {
    let bare = Bare::default();
    lease(&bare, 1).await;
    let (key, token) = held(lock(&bare, 1).await.unwrap());
    let guarded = |key: &str, token: i64| pb::TxnRequest {
        compare: vec![pb::Compare {
            key: key.to_owned().into(),
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            target_union: Some(TargetUnion::CreateRevision(token)),
            ..pb::Compare::default()
        }],
        success: vec![op(Op::RequestPut(put("protected", "1")))],
        failure: vec![],
    };
    assert!(bare.kv().txn(guarded(&key, token)).await.unwrap().into_inner().succeeded);
    revoke(&bare, 1).await;
    // The same client comes again, with the same lease and the same key: another hold, another token.
    lease(&bare, 1).await;
    let (again, newer) = held(lock(&bare, 1).await.unwrap());
    assert!(again == key && newer > token);
    assert!(!bare.kv().txn(guarded(&key, token)).await.unwrap().into_inner().succeeded);
    assert!(bare.kv().txn(guarded(&key, newer)).await.unwrap().into_inner().succeeded);
}

#[tokio::test]
async fn leases_that_are_none_and_those_of_the_server() {
    let bare = Bare::default();
    let unknown = (Code::Unknown, "etcdserver: requested lease not found".to_owned());
    assert_eq!(told(lock(&bare, 77).await), unknown);
    let campaign = CampaignRequest { name: b"E".into(), lease: 77, value: b"v".into() };
    assert_eq!(told(ElectionClient::new(bare.services()).campaign(campaign).await), unknown);
    let no_key = LockClient::new(bare.services()).unlock(UnlockRequest::default()).await;
    assert_eq!(told(no_key), (Code::Unknown, "etcdserver: key is not provided".to_owned()));
    lease(&bare, -255).await;
    assert_eq!(held(lock(&bare, -255).await.unwrap()).0, "L/-ff");
    unlock(&bare, "L/-ff").await;
    bare.numbers.store(0x3e, Relaxed);
    assert_eq!(held(lock(&bare, 0).await.unwrap()).0, "L/1f");
    let asked = pb::LeaseTimeToLiveRequest { id: 0x1f, keys: true };
    let life = LeaseClient::new(bare.services()).lease_time_to_live(asked).await.unwrap().into_inner();
    assert_eq!((life.granted_ttl, life.keys.len()), (60, 1));
}

fn election(bare: &Bare) -> ElectionClient<Services<Bare>> {
    ElectionClient::new(bare.services())
}

async fn campaign(bare: &Bare, lease: i64, value: &str) -> CampaignResponse {
    let wanted = CampaignRequest { name: b"E".into(), lease, value: value.into() };
    election(bare).campaign(wanted).await.unwrap().into_inner()
}

async fn proclaim(bare: &Bare, leader: Option<LeaderKey>, value: &str) -> Result<i64, Status> {
    let wanted = ProclaimRequest { leader, value: value.into() };
    election(bare).proclaim(wanted).await.map(|answer| answer.into_inner().header.unwrap().revision)
}

fn seen(answer: LeaderResponse) -> (i64, String) {
    let said = String::from_utf8(answer.kv.unwrap().value.to_vec()).unwrap();
    (answer.header.unwrap().revision, said)
}

async fn next(observing: &mut Streaming<LeaderResponse>) -> (i64, String) {
    seen(observing.message().await.unwrap().unwrap())
}

#[tokio::test]
async fn a_leader_says_what_it_wants_until_it_resigns() {
    let bare = Bare::default();
    lease(&bare, 255).await;
    let name = || LeaderRequest { name: b"E".into() };
    let nobody = (Code::Unknown, "election: no leader".to_owned());
    assert_eq!(told(election(&bare).leader(name()).await), nobody);
    let elected = campaign(&bare, 255, "a").await;
    assert_eq!(elected.header.unwrap().revision, 2);
    let leader = elected.leader.unwrap();
    assert_eq!((leader.key.as_slice(), leader.rev, leader.lease), (&b"E/ff"[..], 2, 255));
    // Whoever campaigns again says something else by it.
    assert_eq!(campaign(&bare, 255, "b").await.leader.unwrap(), leader);
    assert_eq!(proclaim(&bare, Some(leader.clone()), "c").await.unwrap(), 4);
    let answer = election(&bare).leader(name()).await.unwrap().into_inner();
    let kv = answer.kv.clone().unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version, kv.lease), (2, 4, 3, 255));
    assert_eq!(seen(answer), (4, "c".to_owned()));

    let not_leader = (Code::Unknown, "election: not leader".to_owned());
    for rev in [1, -1] {
        let old = LeaderKey { rev, ..leader.clone() };
        assert_eq!(told(proclaim(&bare, Some(old.clone()), "x").await), not_leader);
        let resign = ResignRequest { leader: Some(old) };
        let answer = election(&bare).resign(resign).await.unwrap().into_inner();
        assert_eq!(answer.header.unwrap().revision, 4, "nothing happens to the leader of now");
    }
    let missing = (Code::Unknown, "\"leader\" field must be provided".to_owned());
    assert_eq!(told(proclaim(&bare, None, "x").await), missing);
    assert_eq!(told(election(&bare).resign(ResignRequest::default()).await), missing);
    let resign = ResignRequest { leader: Some(leader.clone()) };
    let answer = election(&bare).resign(resign).await.unwrap().into_inner();
    assert_eq!(answer.header.unwrap().revision, 5);
    assert_eq!(told(election(&bare).leader(name()).await), nobody);
    assert_eq!(told(proclaim(&bare, Some(leader), "x").await), not_leader);
}

#[tokio::test]
async fn an_observer_sees_each_leader_and_all_that_it_says() {
    let bare = Bare::default();
    let name = LeaderRequest { name: b"E".into() };
    let mut early = election(&bare).observe(name.clone()).await.unwrap().into_inner();
    for id in [1, 2] {
        lease(&bare, id).await;
    }
    bare.put("Ex", "no candidate").await;
    let first = campaign(&bare, 1, "a").await.leader.unwrap();
    assert_eq!(next(&mut early).await, (3, "a".to_owned()));
    let its = bare.clone();
    let second = tokio::spawn(async move { campaign(&its, 2, "b").await });
    until(&bare, "E/2", true).await;
    assert_eq!(proclaim(&bare, Some(first), "c").await.unwrap(), 5);
    assert_eq!(next(&mut early).await.1, "c");
    let mut late = election(&bare).observe(name).await.unwrap().into_inner();
    assert_eq!(next(&mut late).await, (5, "c".to_owned()));
    revoke(&bare, 1).await;
    assert_eq!(second.await.unwrap().leader.unwrap().rev, 4);
    assert_eq!(next(&mut early).await, (6, "b".to_owned()));
    assert_eq!(next(&mut late).await, (6, "b".to_owned()));
}
