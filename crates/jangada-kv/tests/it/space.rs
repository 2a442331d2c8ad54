//! How much the store may hold, and the alarms.

use jangada_kv::{
    Alarm, AlarmKind, AlarmRequest, AlarmResponse, Command, DeleteRange, Error, Exec, KeyRange, LeaseId,
    LeaseRequest, Millis, Put, Quota, Request, Response, Revision, Set, Txn, TxnOp,
};

use crate::support::{World, bytes, one, restore, snapshot};

const NO_SPACE: Response = Response::Error(Error::NoSpace);

/// A store that has room for ten keys of 200 bytes each.
fn small() -> World {
    let mut world = World::new();
    world.apply(Request::SetQuota(Quota { bytes: 2_000, member: 7 }));
    world
}

fn put(key: &str, length: usize) -> Request {
    Request::Put(Put::new(bytes(key), bytes(&"v".repeat(length))))
}

/// A key of 200 bytes in all.
fn fill(world: &mut World, key: char) -> Response {
    world.apply(put(&key.to_string(), 23))
}

fn delete(key: &str) -> Request {
    Request::DeleteRange(DeleteRange { range: one(key), prev_kv: false })
}

fn alarms(world: &mut World) -> Vec<(AlarmKind, u64)> {
    let listed = world.store.read(world.now, &Request::Alarm(AlarmRequest::List));
    let Response::Alarm(AlarmResponse { alarms, .. }) = listed else { panic!("{listed:?}") };
    alarms.into_iter().map(|alarm| (alarm.kind, alarm.member)).collect()
}

fn full() -> World {
    let mut world = small();
    for key in 'a'..='j' {
        assert!(matches!(fill(&mut world, key), Response::Put(_)));
    }
    assert_eq!((world.store.live_bytes(), alarms(&mut world)), (2_000, vec![]), "full is not too full");
    world
}

#[test]
fn a_write_that_would_exceed_the_quota_is_refused_and_raises_the_alarm() {
    let mut world = full();
    let revision = world.store.revision();
    assert_eq!(world.apply(put("k", 0)), NO_SPACE);
    assert_eq!(alarms(&mut world), [(AlarmKind::NoSpace, 7)]);
    assert_eq!((world.store.revision(), world.store.live_bytes()), (revision, 2_000));
    assert_eq!(Error::NoSpace.to_string().split(':').next(), Some("the store is full"));
}

#[test]
fn what_does_not_make_the_store_larger_passes_while_there_is_no_alarm() {
    let mut world = full();
    assert!(matches!(world.apply(put("a", 23)), Response::Put(_)), "as large as before");
    let kept = Put { ignore_value: true, ..Put::new(bytes("b"), bytes("")) };
    assert!(matches!(world.apply(Request::Put(kept)), Response::Put(_)));
    assert!(matches!(world.apply(put("c", 0)), Response::Put(_)), "smaller");
    assert_eq!(world.apply(put("d", 47)), NO_SPACE, "24 more where 23 are free");
    world.apply(Request::SetQuota(Quota { bytes: 100, member: 7 }));
    assert_eq!(alarms(&mut world), [(AlarmKind::NoSpace, 7)]);
}

#[test]
fn under_the_alarm_nothing_grows_and_everything_may_shrink() {
    let mut world = full();
    world.apply(Request::Lease(LeaseRequest::Grant { lease: LeaseId(3), ttl_seconds: 60 }));
    assert_eq!(alarms(&mut world), [(AlarmKind::NoSpace, 7)], "a lease takes space, too");
    let set = |key: &str| Command::Set(Set::new(bytes(key), bytes("")));
    let nested = Txn { success: vec![TxnOp::Put(Put::new(bytes("a"), bytes("")))], ..Txn::default() };
    for refused in [
        put("a", 0),
        Request::Command(set("a")),
        Request::Command(Command::SetNx { key: bytes("a"), value: bytes("") }),
        Request::Command(Command::MSet { pairs: vec![(bytes("a"), bytes(""))] }),
        Request::Command(Command::Increment { key: bytes("n"), by: 1 }),
        Request::Command(Command::Append { key: bytes("a"), value: bytes("") }),
        Request::Exec(Exec { watched: vec![], commands: vec![Command::DbSize, set("a")] }),
        Request::Txn(Txn { failure: vec![TxnOp::Put(Put::new(bytes("a"), bytes("")))], ..Txn::default() }),
        Request::Txn(Txn { success: vec![TxnOp::Txn(nested)], ..Txn::default() }),
        Request::Lease(LeaseRequest::Grant { lease: LeaseId(3), ttl_seconds: 60 }),
    ] {
        assert_eq!(world.apply(refused.clone()), NO_SPACE, "{refused:?}");
    }
    let current = world.store.revision();
    let deletion = DeleteRange { range: one("z"), prev_kv: false };
    for allowed in [
        Request::Command(Command::Get { key: bytes("a") }),
        Request::Command(Command::Persist { key: bytes("a") }),
        Request::Compact { revision: current },
        Request::Txn(Txn { success: vec![TxnOp::DeleteRange(deletion)], ..Txn::default() }),
        delete("a"),
    ] {
        let answer = world.apply(allowed.clone());
        assert!(!matches!(answer, Response::Error(_)), "{allowed:?}: {answer:?}");
    }
}

#[test]
fn the_alarm_falls_when_a_tenth_is_free() {
    let mut world = full();
    assert_eq!(world.apply(put("k", 0)), NO_SPACE);
    assert!(matches!(world.apply(delete("nobody")), Response::DeleteRange(_)));
    assert_eq!(alarms(&mut world).len(), 1, "nothing was removed");
    world.apply(delete("a"));
    assert_eq!(alarms(&mut world), [], "200 of 2,000 bytes are free");
    assert!(matches!(fill(&mut world, 'k'), Response::Put(_)));

    assert_eq!(fill(&mut world, 'l'), NO_SPACE);
    world.apply(Request::SetQuota(Quota { bytes: 3_000, member: 8 }));
    assert_eq!(alarms(&mut world), [], "a larger quota is space, too");
}

#[test]
fn one_write_that_is_too_large_raises_the_alarm_until_something_goes() {
    let mut world = small();
    fill(&mut world, 'a');
    assert_eq!(world.apply(put("large", 5_000)), NO_SPACE);
    assert_eq!(fill(&mut world, 'b'), NO_SPACE, "as etcd has it");
    world.apply(delete("a"));
    assert!(matches!(fill(&mut world, 'b'), Response::Put(_)));
}

#[test]
fn an_alarm_by_hand_falls_by_hand() {
    let mut world = small();
    let alarm = |kind, member| Alarm { kind, member };
    let mine = alarm(AlarmKind::NoSpace, 1);
    let answer = |alarms| Response::Alarm(AlarmResponse { revision: Revision(1), alarms });
    assert_eq!(world.apply(Request::Alarm(AlarmRequest::Raise(mine))), answer(vec![mine]));
    assert_eq!(world.apply(Request::Alarm(AlarmRequest::Raise(mine))), answer(vec![mine]));
    assert_eq!(fill(&mut world, 'a'), NO_SPACE, "there is space, but somebody says no");
    world.apply(Request::Command(Command::FlushAll));
    assert_eq!(alarms(&mut world), [(AlarmKind::NoSpace, 1)]);
    let other = alarm(AlarmKind::NoSpace, 2);
    assert_eq!(world.apply(Request::Alarm(AlarmRequest::Clear(other))), answer(vec![]));
    assert_eq!(world.apply(Request::Alarm(AlarmRequest::Clear(mine))), answer(vec![mine]));
    assert!(matches!(fill(&mut world, 'a'), Response::Put(_)));
}

#[test]
fn under_the_alarm_of_corruption_clients_change_nothing_and_time_goes_on() {
    let mut world = World::new();
    let mortal = Set { expiry: jangada_kv::Expiry::After(500), ..Set::new(bytes("m"), bytes("")) };
    world.run(Command::Set(mortal));
    world.apply(Request::Lease(LeaseRequest::Grant { lease: LeaseId(3), ttl_seconds: 2 }));
    let alarm = Alarm { kind: AlarmKind::Corrupt, member: 0 };
    world.apply(Request::Alarm(AlarmRequest::Raise(alarm)));
    for refused in [
        put("a", 1),
        delete("m"),
        Request::Command(Command::FlushAll),
        Request::Compact { revision: Revision(1) },
        Request::Lease(LeaseRequest::Revoke { lease: LeaseId(3) }),
    ] {
        assert_eq!(world.apply(refused.clone()), Response::Error(Error::Corrupt), "{refused:?}");
    }
    world.now = world.now + 2_000;
    let now = world.now;
    while let Some(due) = world.store.due(now, 10) {
        assert!(!matches!(world.apply(due), Response::Error(_)));
    }
    assert_eq!((world.store.key_count(), world.store.lease_count()), (0, 0));
    world.apply(Request::Alarm(AlarmRequest::Clear(alarm)));
    assert!(matches!(world.apply(put("a", 1)), Response::Put(_)));
}

#[test]
fn the_end_of_a_lease_makes_space() {
    let mut world = small();
    world.apply(Request::Lease(LeaseRequest::Grant { lease: LeaseId(3), ttl_seconds: 2 }));
    for key in 0..8 {
        let key = Put { lease: Some(LeaseId(3)), ..Put::new(bytes(&key.to_string()), bytes("")) };
        world.apply(Request::Put(key));
    }
    assert_eq!(world.apply(put("large", 900)), NO_SPACE);
    world.now = world.now + 2_000;
    let due = world.store.due(world.now, 100).unwrap();
    world.apply(due);
    assert_eq!(alarms(&mut world), []);
    assert!(matches!(world.apply(put("large", 900)), Response::Put(_)));
}

#[test]
fn a_snapshot_has_the_quota_and_the_alarms() {
    let mut world = full();
    let corrupt = Alarm { kind: AlarmKind::Corrupt, member: 5 };
    assert_eq!(world.apply(put("k", 0)), NO_SPACE);
    let without = world.store.state_hash();
    world.apply(Request::Alarm(AlarmRequest::Raise(corrupt)));
    assert_ne!(world.store.state_hash(), without, "members that differ in it differ");
    let read = snapshot(&mut world.store, 50);
    let mut restored = World { store: restore(&read, 7), now: Millis(0) };
    assert_eq!(restored.store.quota(), Quota { bytes: 2_000, member: 7 });
    assert_eq!(alarms(&mut restored), [(AlarmKind::NoSpace, 7), (AlarmKind::Corrupt, 5)]);
    assert_eq!(restored.store.state_hash(), world.store.state_hash());
    restored.apply(Request::Alarm(AlarmRequest::Clear(corrupt)));
    restored.apply(Request::DeleteRange(DeleteRange { range: KeyRange::all(), prev_kv: false }));
    assert_eq!(alarms(&mut restored), [], "it still knows who has raised it");
}
