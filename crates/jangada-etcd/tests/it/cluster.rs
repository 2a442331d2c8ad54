//! Who the members are, and how this one stands.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::cluster_client::ClusterClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use jangada_etcd::{Freshness, MemberChange, MemberRefusal, Refusal};

use tonic::Code;

use crate::bare::{Bare, told};

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
async fn changes_of_members_are_handed_on_and_answered_with_all_of_them() {
    let bare = Bare::default();
    let mut cluster = ClusterClient::new(bare.services());
    let urls = |url: &str| vec![url.to_owned()];
    let add = pb::MemberAddRequest { peer_ur_ls: urls("http://127.0.0.1:2382/"), is_learner: true };
    let added = cluster.member_add(add).await.unwrap().into_inner();
    assert_eq!((added.member.unwrap().id, added.members.len(), added.header.unwrap().revision), (2, 2, 0));
    let update = pb::MemberUpdateRequest { id: 2, peer_ur_ls: urls("http://n2.example:2380") };
    cluster.member_update(update).await.unwrap();
    cluster.member_promote(pb::MemberPromoteRequest { id: 2 }).await.unwrap();
    let left = cluster.member_remove(pb::MemberRemoveRequest { id: 1 }).await.unwrap().into_inner();
    assert_eq!(left.members.len(), 2);
    let (added, moved) = ("127.0.0.1:2382".to_owned(), "n2.example:2380".to_owned());
    let expected = [
        MemberChange::Add { peer_addr: added, is_learner: true },
        MemberChange::Update { id: 2, peer_addr: moved },
        MemberChange::Promote { id: 2 },
        MemberChange::Remove { id: 1 },
    ];
    assert_eq!(*bare.changes.lock().unwrap(), expected);
    // Who stays a member knows of the change before it answers.
    let learnt = bare.reads.lock().unwrap().iter().filter(|read| **read == Freshness::Linearizable).count();
    assert_eq!(learnt, 3);
    for wrong in
        ["", "127.0.0.1:1", "https://127.0.0.1:1", "http://127.0.0.1", "http://:1", "http://a:1/path"]
    {
        let add = pb::MemberAddRequest { peer_ur_ls: urls(wrong), is_learner: false };
        let refused = (Code::InvalidArgument, "etcdserver: given member URLs are invalid".to_owned());
        assert_eq!(told(cluster.member_add(add).await), refused, "{wrong:?}");
    }
}

#[tokio::test]
async fn refused_changes_of_members_have_etcds_texts() {
    let learner = "etcdserver: can only promote a learner member";
    for (refusal, code, text) in [
        (MemberRefusal::AddressTaken, Code::FailedPrecondition, "etcdserver: Peer URLs already exists"),
        (MemberRefusal::NotFound, Code::NotFound, "etcdserver: member not found"),
        (MemberRefusal::NotLearner, Code::FailedPrecondition, learner),
        (
            MemberRefusal::NotInStep,
            Code::FailedPrecondition,
            &format!("{learner} which is in sync with leader"),
        ),
        (
            MemberRefusal::TooFewStarted,
            Code::FailedPrecondition,
            "etcdserver: re-configuration failed due to not enough started members",
        ),
        (MemberRefusal::Unhealthy, Code::Unavailable, "etcdserver: unhealthy cluster"),
        (MemberRefusal::Impossible("so".to_owned()), Code::FailedPrecondition, "etcdserver: so"),
        (MemberRefusal::NoAnswer(Refusal::Busy), Code::ResourceExhausted, "etcdserver: too many requests"),
    ] {
        let bare = Bare { member_refusal: Some(refusal), ..Bare::default() };
        let mut cluster = ClusterClient::new(bare.services());
        let answer = cluster.member_promote(pb::MemberPromoteRequest { id: 2 }).await;
        assert_eq!(told(answer), (code, text.to_owned()));
    }
}

#[tokio::test]
async fn status_tells_of_the_spoken_version_and_of_a_lost_leader() {
    let mut bare = Bare::default();
    bare.put("a", "1").await;
    let mut maintenance = MaintenanceClient::new(bare.services());
    let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.version, jangada_etcd::SPOKEN_VERSION);
    assert_eq!(status.header.unwrap().revision, 2);
    assert_eq!((status.leader, status.raft_index, status.raft_applied_index), (1, 11, 10));
    assert!(status.errors.is_empty());
    bare.leaderless = true;
    let mut maintenance = MaintenanceClient::new(bare.services());
    let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));
}
