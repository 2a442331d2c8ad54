//! Who the members are, and how this one stands.

use jangada_etcd::Freshness;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::cluster_client::ClusterClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;

use crate::bare::Bare;

#[tokio::test]
async fn members_are_listed_without_a_revision_and_with_urls() {
    let bare = Bare::default();
    bare.put("a", "1").await;
    let mut cluster = ClusterClient::new(bare.services());
    let request = pb::MemberListRequest { linearizable: true };
    let answer = cluster.member_list(request).await.unwrap().into_inner();
    let header = answer.header.unwrap();
    assert_eq!((header.cluster_id, header.member_id, header.revision, header.raft_term), (7, 1, 0, 3));
    assert_eq!(answer.members[0].peer_ur_ls, ["http://127.0.0.1:2380"]);
    assert_eq!(answer.members[0].client_ur_ls, ["http://127.0.0.1:2379"]);
    assert!(answer.members[1].client_ur_ls.is_empty() && answer.members[1].is_learner);
    assert_eq!(*bare.reads.lock().unwrap(), [Freshness::Linearizable]);
}

#[tokio::test]
async fn status_tells_of_the_spoken_version_and_of_a_lost_leader() {
    let mut bare = Bare::default();
    bare.put("a", "1").await;
    let mut maintenance = MaintenanceClient::new(bare.services());
    let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.version, jangada_etcd::SPOKEN_VERSION);
    assert_eq!(status.header.unwrap().revision, 2);
    assert_eq!((status.leader, status.raft_index, status.raft_applied_index), (1, 9, 8));
    assert!(status.errors.is_empty());
    bare.leaderless = true;
    let mut maintenance = MaintenanceClient::new(bare.services());
    let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));
}
