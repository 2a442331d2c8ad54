//! Leases, and what is put under them.

use jangada_kv::{
    Command, Error, Expiry, LeaseId, LeaseLife, LeaseRequest, LeaseResponse, Millis, Put, Reply, Request,
    Response, Revision, Set,
};

use crate::support::{World, bytes, restore, snapshot};

fn ask(world: &mut World, request: LeaseRequest) -> Result<LeaseResponse, Error> {
    match world.apply(Request::Lease(request)) {
        Response::Lease(response) => Ok(response),
        Response::Error(error) => Err(error),
        other => panic!("a lease got {other:?}"),
    }
}

fn grant(world: &mut World, lease: i64, ttl_seconds: u64) {
    ask(world, LeaseRequest::Grant { lease: LeaseId(lease), ttl_seconds }).unwrap();
}

fn keep_alive(world: &mut World, lease: i64) -> Option<u64> {
    match ask(world, LeaseRequest::KeepAlive { lease: LeaseId(lease) }) {
        Ok(LeaseResponse::KeptAlive { ttl_seconds, .. }) => ttl_seconds,
        other => panic!("{other:?}"),
    }
}

fn put_under(world: &mut World, lease: i64, key: &str) {
    let put = Put { lease: Some(LeaseId(lease)), ..Put::new(bytes(key), bytes("v")) };
    assert!(matches!(world.apply(Request::Put(put)), Response::Put(_)));
}

/// What a leader would propose now, done.
fn expire(world: &mut World) -> Option<Response> {
    let request = world.store.due(world.now, 1_000)?;
    Some(world.apply(request))
}

fn life(world: &World, lease: i64) -> Option<LeaseLife> {
    let request = LeaseRequest::TimeToLive { lease: LeaseId(lease), keys: true };
    match world.store.read(world.now, &Request::Lease(request)) {
        Response::Lease(LeaseResponse::TimeToLive { life, .. }) => life,
        other => panic!("{other:?}"),
    }
}

/// The keys that were deleted, revision by revision.
fn deleted(world: &World, from: Revision) -> Vec<(u64, String)> {
    let events = world.store.changes(from).unwrap().filter(|event| event.is_delete);
    events
        .map(|event| (event.kv.mod_revision.0, String::from_utf8_lossy(&event.kv.key).into_owned()))
        .collect()
}

#[test]
fn what_is_under_a_lease_goes_with_it_in_one_revision_in_key_order() {
    let mut world = World::new();
    grant(&mut world, 7, 60);
    for key in ["c", "a", "b"] {
        put_under(&mut world, 7, key);
    }
    world.put("d", "stays");
    let before = world.store.revision();
    let revoked = ask(&mut world, LeaseRequest::Revoke { lease: LeaseId(7) });
    assert_eq!(revoked, Ok(LeaseResponse::Revoked { revision: before.next() }));
    let all = ["a", "b", "c"].map(|key| (before.next().0, key.to_owned()));
    assert_eq!(deleted(&world, before.next()), all);
    assert_eq!(world.store.next_deadline(), None);
    let again = ask(&mut world, LeaseRequest::Revoke { lease: LeaseId(7) });
    assert_eq!(again, Err(Error::LeaseNotFound));
    // A lease with nothing under it goes without a revision.
    grant(&mut world, 8, 60);
    let revoked = ask(&mut world, LeaseRequest::Revoke { lease: LeaseId(8) });
    assert_eq!(revoked, Ok(LeaseResponse::Revoked { revision: before.next() }));
}

#[test]
fn leases_that_end_together_are_a_revision_each() {
    let mut world = World::new();
    for (lease, key) in [(1, "a"), (2, "b"), (3, "c")] {
        grant(&mut world, lease, 2);
        put_under(&mut world, lease, key);
    }
    let before = world.store.revision().0;
    world.now = world.now + 2_000;
    assert_eq!(expire(&mut world), Some(Response::Lease(LeaseResponse::Expired { leases: 3 })));
    let each = [(1, "a"), (2, "b"), (3, "c")].map(|(after, key)| (before + after, key.to_owned()));
    assert_eq!(deleted(&world, Revision(before + 1)), each);
}

#[test]
fn a_lease_that_was_kept_alive_in_the_meantime_stays() {
    let mut world = World::new();
    grant(&mut world, 7, 10);
    put_under(&mut world, 7, "a");
    world.now = world.now + 10_000;
    let due = world.store.due(world.now, 1_000).expect("its time is over");
    assert_eq!(keep_alive(&mut world, 7), Some(10));
    assert_eq!(world.apply(due), Response::Lease(LeaseResponse::Expired { leases: 0 }));
    assert_eq!(world.get("a"), Reply::Value(bytes("v")));
    assert_eq!(life(&world, 7).unwrap().remaining_ms, 10_000);
}

#[test]
fn nothing_ends_before_its_time() {
    let mut world = World::new();
    grant(&mut world, 7, 10);
    put_under(&mut world, 7, "a");
    world.now = world.now + 9_999;
    assert_eq!(expire(&mut world), None);
    assert_eq!(life(&world, 7).unwrap().remaining_ms, 1);
    // A leader whose clock is ahead proposes; what counts is the stamp.
    let early = Request::Lease(LeaseRequest::Expire { leases: vec![LeaseId(7)] });
    assert_eq!(world.apply(early), Response::Lease(LeaseResponse::Expired { leases: 0 }));
    assert_eq!(keep_alive(&mut world, 7), Some(10));
    assert_eq!(keep_alive(&mut world, 8), None);
}

#[test]
fn whoever_writes_a_key_decides_what_ends_it() {
    let mut world = World::new();
    grant(&mut world, 7, 10);
    grant(&mut world, 8, 20);
    put_under(&mut world, 7, "a");
    // Redis's commands see the lease as a deadline.
    assert_eq!(world.query(Command::Ttl { key: bytes("a") }), Reply::Integer(10_000));
    put_under(&mut world, 8, "a");
    assert_eq!(life(&world, 7).unwrap().keys, Vec::<bytes::Bytes>::new());
    assert_eq!(life(&world, 8).unwrap().keys, ["a"]);
    world.run(Command::Append { key: bytes("a"), value: bytes("+") });
    world.run(Command::Set(Set { expiry: Expiry::Keep, ..Set::new(bytes("a"), bytes("w")) }));
    assert_eq!(life(&world, 8).unwrap().keys, ["a"]);
    assert_eq!(world.run(Command::Persist { key: bytes("a") }), Reply::Integer(1));
    assert_eq!(world.query(Command::Ttl { key: bytes("a") }), Reply::Integer(-1));
    put_under(&mut world, 8, "a");
    world.set("a", "x");
    assert_eq!(life(&world, 8).unwrap().keys, Vec::<bytes::Bytes>::new());
    ask(&mut world, LeaseRequest::Revoke { lease: LeaseId(8) }).unwrap();
    assert_eq!(world.get("a"), Reply::Value(bytes("x")));
    // A deadline of its own takes a key out of its lease.
    put_under(&mut world, 7, "a");
    world.run(Command::Set(Set { expiry: Expiry::After(500), ..Set::new(bytes("a"), bytes("y")) }));
    world.now = world.now + 500;
    assert_eq!(expire(&mut world), Some(Response::Expired { keys: 1 }));
    assert_eq!(life(&world, 7).unwrap().keys, Vec::<bytes::Bytes>::new());
}

#[test]
fn a_granted_time_to_live_is_within_limits() {
    let mut world = World::new();
    let mut granted = |lease, ttl_seconds| match ask(
        &mut world,
        LeaseRequest::Grant { lease: LeaseId(lease), ttl_seconds },
    ) {
        Ok(LeaseResponse::Granted { ttl_seconds, .. }) => Ok(ttl_seconds),
        Err(error) => Err(error),
        other => panic!("{other:?}"),
    };
    assert_eq!(granted(1, 0), Ok(2));
    assert_eq!(granted(-1, 3), Ok(3));
    assert_eq!(granted(2, 9_000_000_000), Ok(9_000_000_000));
    assert_eq!(granted(3, 9_000_000_001), Err(Error::TtlTooLong));
    assert_eq!(granted(1, 5), Err(Error::LeaseExists));
    assert_eq!(granted(0, 5), Err(Error::LeaseNotFound));
}

#[test]
fn a_snapshot_has_the_leases_of_its_beginning_and_what_is_left_of_them() {
    let mut world = World::new();
    grant(&mut world, 7, 60);
    put_under(&mut world, 7, "a");
    world.now = world.now + 45_000;
    grant(&mut world, -3, 5);
    let expected = snapshot(&mut world.store, 1 << 20);
    let mut cursor = world.store.begin_snapshot();
    // All that happens now is not in it.
    keep_alive(&mut world, 7);
    ask(&mut world, LeaseRequest::Revoke { lease: LeaseId(-3) }).unwrap();
    put_under(&mut world, 7, "b");
    let mut read = Vec::new();
    while let Some(chunk) = world.store.next_chunk(&mut cursor, 10) {
        read.extend_from_slice(&chunk);
    }
    world.store.end_snapshot(cursor);
    assert!(read == expected);
    let mut restored = World { store: restore(&read, 13), now: world.now };
    assert_eq!(life(&restored, 7).unwrap().remaining_ms, 15_000);
    assert_eq!(restored.store.next_deadline(), Some(Millis(1_000_000 + 50_000)));
    restored.now = restored.now + 15_000;
    assert_eq!(expire(&mut restored), Some(Response::Lease(LeaseResponse::Expired { leases: 2 })));
    assert_eq!((restored.store.key_count(), restored.store.bytes() - restored.store.live_bytes()), (0, 113));
}

#[test]
fn many_that_are_due_go_in_batches() {
    let mut world = World::new();
    for lease in 1..=30 {
        grant(&mut world, lease, 2);
        put_under(&mut world, lease, &format!("{lease}-a"));
        put_under(&mut world, lease, &format!("{lease}-b"));
    }
    grant(&mut world, 99, 2);
    for key in 0..50 {
        put_under(&mut world, 99, &format!("99-{key}"));
    }
    world.now = world.now + 2_000;
    let batches = std::iter::from_fn(|| {
        let request = world.store.due(world.now, 20)?;
        match world.apply(request) {
            Response::Lease(LeaseResponse::Expired { leases }) => Some(leases),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(batches.collect::<Vec<_>>(), [10, 10, 10, 1]);
    assert_eq!(world.store.key_count(), 0);
}
