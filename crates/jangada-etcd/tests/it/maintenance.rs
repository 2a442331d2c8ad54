//! Hashes of the store, copies of it, and who shall lead.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::downgrade_request::DowngradeAction;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use jangada_kv::{Request, Revision};
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::bare::{Bare, delete, told};

async fn hash(bare: &Bare, revision: i64) -> Result<pb::HashKvResponse, tonic::Status> {
    let mut maintenance = MaintenanceClient::new(bare.services());
    Ok(maintenance.hash_kv(pb::HashKvRequest { revision }).await?.into_inner())
}

#[tokio::test]
async fn stores_with_the_same_keys_have_the_same_hash_at_a_revision() {
    let (one, other) = (Bare::default(), Bare::default());
    for bare in [&one, &other] {
        for number in 0..30 {
            bare.put(&format!("k{number}"), "v").await;
        }
    }
    let same = hash(&one, 0).await.unwrap();
    assert_eq!(same, hash(&other, 0).await.unwrap());
    assert_eq!((same.header.unwrap().revision, same.compact_revision), (31, -1));

    // One goes on, and forgets; at the revision that both have they are still alike.
    one.put("k7", "w").await;
    one.kv().delete_range(delete("k8", "")).await.unwrap();
    assert_ne!(hash(&one, 0).await.unwrap().hash, same.hash);
    one.store.lock().unwrap().apply(jangada_kv::Millis(1), &Request::Compact { revision: Revision(30) });
    let earlier = hash(&one, 31).await.unwrap();
    assert_eq!((earlier.hash, earlier.compact_revision), (same.hash, 30));
    assert_eq!(earlier.header.unwrap().revision, 33, "where the store is, not what was hashed");
    other.put("k7", "x").await;
    assert_ne!(hash(&one, 32).await.unwrap().hash, hash(&other, 32).await.unwrap().hash);

    let compacted = (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted".to_owned());
    for revision in [29, 30] {
        assert_eq!(told(hash(&one, revision).await), compacted);
    }
    let future = (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision".to_owned());
    assert_eq!(told(hash(&one, 34).await), future);
}

#[tokio::test]
async fn a_snapshot_is_whole_pages_and_their_sha256_with_less_and_less_to_come() {
    for keys in [0, 1, 500] {
        let bare = Bare::default();
        for number in 0..keys {
            bare.put(&format!("k{number}"), &"v".repeat(number)).await;
        }
        let mut maintenance = MaintenanceClient::new(bare.services());
        let mut parts = maintenance.snapshot(pb::SnapshotRequest {}).await.unwrap().into_inner();
        let (mut file, mut remaining) = (Vec::new(), u64::MAX);
        let sum = loop {
            let part = parts.message().await.unwrap().unwrap();
            if remaining == 0 {
                break part.blob;
            }
            assert!(part.remaining_bytes < remaining);
            remaining = part.remaining_bytes;
            file.extend_from_slice(&part.blob);
        };
        assert!(parts.message().await.unwrap().is_none());
        assert_eq!(sum.as_ref(), Sha256::digest(&file).as_slice());
        assert_eq!(file.len() % 4096, 0);
        assert!(file.len() > (0..keys).sum::<usize>());
    }
}

#[tokio::test]
async fn the_leadership_moves_from_the_leader_to_a_voter_alone() {
    let mut bare = Bare::default();
    let mut maintenance = MaintenanceClient::new(bare.services());
    let moved = maintenance.move_leader(pb::MoveLeaderRequest { target_id: 1 }).await.unwrap();
    assert_eq!(moved.into_inner().header, None, "as etcd");
    let bad = maintenance.move_leader(pb::MoveLeaderRequest { target_id: 9 }).await;
    assert_eq!(told(bad), (Code::FailedPrecondition, "etcdserver: bad leader transferee".to_owned()));
    bare.leaderless = true;
    let mut maintenance = MaintenanceClient::new(bare.services());
    let elsewhere = maintenance.move_leader(pb::MoveLeaderRequest { target_id: 9 }).await;
    assert_eq!(told(elsewhere), (Code::FailedPrecondition, "etcdserver: not leader".to_owned()));
}

#[tokio::test]
async fn a_downgrade_is_judged_as_by_etcd_and_never_under_way() {
    let bare = Bare::default();
    let ask = async |action: i32, version: &str| {
        let request = pb::DowngradeRequest { action, version: version.to_owned() };
        MaintenanceClient::new(bare.services()).downgrade(request).await
    };
    let validate = DowngradeAction::Validate.into();
    assert_eq!(ask(validate, "3.4.0").await.unwrap().into_inner().version, "3.5.0");
    assert!(ask(validate, "3.4").await.is_ok());
    for (version, text) in [
        ("3.5.0", "etcdserver: invalid downgrade target version"),
        ("3.3", "etcdserver: invalid downgrade target version"),
        ("three", "etcdserver: wrong downgrade target version format"),
        ("3", "etcdserver: wrong downgrade target version format"),
        ("3.4.0.1", "etcdserver: wrong downgrade target version format"),
    ] {
        assert_eq!(told(ask(validate, version).await), (Code::InvalidArgument, text.to_owned()), "{version}");
    }
    let none = (Code::FailedPrecondition, "etcdserver: no inflight downgrade job".to_owned());
    assert_eq!(told(ask(DowngradeAction::Cancel.into(), "").await), none);
    assert_eq!(told(ask(DowngradeAction::Enable.into(), "3.4").await).0, Code::Unimplemented);
    assert_eq!(told(ask(9, "").await), (Code::Unknown, "etcdserver: unknown method".to_owned()));
}
