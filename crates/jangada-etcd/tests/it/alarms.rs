//! Alarms, and a store that is full.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::alarm_request::AlarmAction;
use jangada_etcd::etcdserverpb::lease_client::LeaseClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use jangada_kv::{Quota, Request};
use tonic::{Code, Status};

use crate::bare::{Bare, delete, put, told};

const NOSPACE: pb::AlarmType = pb::AlarmType::Nospace;
const CORRUPT: pb::AlarmType = pb::AlarmType::Corrupt;

async fn ask(
    bare: &Bare,
    action: AlarmAction,
    member_id: u64,
    alarm: pb::AlarmType,
) -> Vec<(u64, pb::AlarmType)> {
    let mut maintenance = MaintenanceClient::new(bare.services());
    let request = pb::AlarmRequest { action: action.into(), member_id, alarm: alarm.into() };
    let answer = maintenance.alarm(request).await.unwrap().into_inner();
    assert!(answer.header.is_some());
    answer.alarms.iter().map(|alarm| (alarm.member_id, alarm.alarm())).collect()
}

async fn errors(bare: &Bare) -> Vec<String> {
    let mut maintenance = MaintenanceClient::new(bare.services());
    maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner().errors
}

fn no_space() -> (Code, String) {
    (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded".to_owned())
}

#[tokio::test]
async fn alarms_are_raised_listed_and_cleared() {
    let bare = Bare::default();
    let none = pb::AlarmType::None;
    assert_eq!(ask(&bare, AlarmAction::Get, 0, none).await, []);
    assert_eq!(ask(&bare, AlarmAction::Activate, 7, none).await, [], "none is no alarm");
    assert_eq!(ask(&bare, AlarmAction::Activate, 7, NOSPACE).await, [(7, NOSPACE)]);
    assert_eq!(ask(&bare, AlarmAction::Activate, 7, NOSPACE).await, [(7, NOSPACE)], "it stands already");
    assert_eq!(ask(&bare, AlarmAction::Activate, 0, CORRUPT).await, [(0, CORRUPT)]);
    assert_eq!(ask(&bare, AlarmAction::Get, 0, none).await, [(7, NOSPACE), (0, CORRUPT)]);
    assert_eq!(ask(&bare, AlarmAction::Get, 0, CORRUPT).await, [(0, CORRUPT)]);
    assert_eq!(errors(&bare).await, ["memberID:7 alarm:NOSPACE ", "alarm:CORRUPT "]);
    assert_eq!(ask(&bare, AlarmAction::Deactivate, 8, NOSPACE).await, [], "another member's");
    assert_eq!(ask(&bare, AlarmAction::Deactivate, 0, CORRUPT).await, [(0, CORRUPT)]);
    assert_eq!(ask(&bare, AlarmAction::Deactivate, 7, NOSPACE).await, [(7, NOSPACE)]);
    assert_eq!(errors(&bare).await, Vec::<String>::new());
    let mut maintenance = MaintenanceClient::new(bare.services());
    for (action, alarm) in [(9, 1), (1, 9)] {
        let refused = maintenance.alarm(pb::AlarmRequest { action, alarm, member_id: 0 }).await;
        assert_eq!(told(refused).0, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_full_store_refuses_in_etcds_words_what_would_fill_it_further() {
    let bare = Bare::default();
    let quota = Quota { bytes: 1_000, member: 7 };
    bare.store.lock().unwrap().apply(jangada_kv::Millis(1), &Request::SetQuota(quota));
    let large = "v".repeat(900);
    bare.put("a", "1").await;
    assert_eq!(told(bare.kv().put(put("b", &large)).await), no_space());
    assert_eq!(errors(&bare).await, ["memberID:7 alarm:NOSPACE "]);
    assert_eq!(told(bare.kv().put(put("b", "")).await), no_space());
    let mut leases = LeaseClient::new(bare.services());
    assert_eq!(told(leases.lease_grant(pb::LeaseGrantRequest { ttl: 60, id: 0 }).await), no_space());
    bare.kv().delete_range(delete("a", "")).await.unwrap();
    assert_eq!(errors(&bare).await, Vec::<String>::new());
    bare.put("b", "2").await;
}

#[tokio::test]
async fn a_cluster_that_is_said_to_be_corrupt_is_read_only() {
    let bare = Bare::default();
    bare.put("a", "1").await;
    ask(&bare, AlarmAction::Activate, 0, CORRUPT).await;
    let refused = || (Code::DataLoss, "etcdserver: corrupt cluster".to_owned());
    let refusal = |answer: Result<(), Status>| told(answer.map(tonic::Response::new));
    assert_eq!(refusal(bare.kv().put(put("b", "")).await.map(drop)), refused());
    assert_eq!(refusal(bare.kv().delete_range(delete("a", "")).await.map(drop)), refused());
    assert!(bare.kv().range(pb::RangeRequest { key: "a".into(), ..Default::default() }).await.is_ok());
    ask(&bare, AlarmAction::Deactivate, 0, CORRUPT).await;
    bare.put("b", "").await;
}
