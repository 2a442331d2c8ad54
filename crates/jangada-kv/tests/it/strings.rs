//! Redis's string commands, where it is easy to get them wrong.

use bytes::Bytes;
use jangada_kv::{
    Command, CommandError, Exec, ExpireCondition, Expiry, KeyType, Millis, Reply, Request, Response,
    Revision, Set, SetCondition,
};

use crate::support::{World, bytes};

fn ok(text: &str) -> Reply {
    Reply::Value(bytes(text))
}

fn list(keys: &[&str]) -> Vec<Bytes> {
    keys.iter().map(|key| bytes(key)).collect()
}

fn set(key: &str, value: &str) -> Set {
    Set::new(bytes(key), bytes(value))
}

fn watch(world: &World, key: &str) -> Option<Revision> {
    match world.store.read(world.now, &Request::WatchRevision { key: bytes(key) }) {
        Response::WatchRevision(revision) => revision,
        other => panic!("{other:?}"),
    }
}

fn exec(
    world: &mut World,
    watched: &[(&str, Option<Revision>)],
    commands: Vec<Command>,
) -> Option<Vec<Reply>> {
    let watched = watched.iter().map(|(key, revision)| (bytes(key), *revision)).collect();
    match world.apply(Request::Exec(Exec { watched, commands })) {
        Response::Exec(replies) => replies,
        other => panic!("{other:?}"),
    }
}

#[test]
fn set_heeds_its_conditions() {
    let mut world = World::new();
    let conditional = |value: &str, condition, get| Command::Set(Set { condition, get, ..set("a", value) });
    assert_eq!(world.run(conditional("0", SetCondition::IfPresent, false)), Reply::Nil);
    assert_eq!(
        world.run(conditional("1", SetCondition::IfMissing, true)),
        Reply::Nil,
        "NX GET on a missing key"
    );
    assert_eq!(world.get("a"), ok("1"), "did write it");
    assert_eq!(world.run(conditional("2", SetCondition::IfMissing, true)), ok("1"));
    assert_eq!(world.run(conditional("3", SetCondition::IfMissing, false)), Reply::Nil);
    assert_eq!(world.get("a"), ok("1"));
    assert_eq!(world.run(conditional("4", SetCondition::IfPresent, true)), ok("1"));
    assert_eq!(world.run(Command::SetNx { key: bytes("a"), value: bytes("5") }), Reply::Integer(0));
    assert_eq!(world.run(Command::SetNx { key: bytes("b"), value: bytes("") }), Reply::Integer(1));
    assert_eq!(world.query(Command::MGet { keys: list(&["a", "b", "c"]) }), {
        Reply::Values(vec![Some(bytes("4")), Some(bytes("")), None])
    });
}

#[test]
fn several_keys_at_once() {
    let mut world = World::new();
    let pairs = [("a", "1"), ("b", "2"), ("a", "3")].map(|(key, value)| (bytes(key), bytes(value))).to_vec();
    assert_eq!(world.run(Command::MSet { pairs }), Reply::Ok);
    assert_eq!(world.get("a"), ok("3"));
    assert_eq!(world.store.revision(), Revision(2));
    assert_eq!(world.query(Command::Exists { keys: list(&["a", "a", "c"]) }), Reply::Integer(2));
    assert_eq!(world.run(Command::Delete { keys: list(&["a", "a", "b", "c"]) }), Reply::Integer(2));
    assert_eq!(world.query(Command::DbSize), Reply::Integer(0));
    assert_eq!(world.run(Command::FlushAll), Reply::Ok);
    assert_eq!(world.store.revision(), Revision(3), "to flush an empty store changes nothing");
}

#[test]
fn numbers_and_lengths() {
    let mut world = World::new();
    let increment = |by| Command::Increment { key: bytes("n"), by };
    assert_eq!(world.run(increment(5)), Reply::Integer(5));
    assert_eq!(world.run(increment(-7)), Reply::Integer(-2));
    assert_eq!(world.get("n"), ok("-2"));
    world.set("n", &i64::MAX.to_string());
    let revision = world.store.revision();
    assert_eq!(world.run(increment(1)), Reply::Error(CommandError::Overflow));
    assert_eq!(world.run(Command::Append { key: bytes("n"), value: bytes(" ") }), Reply::Integer(20));
    assert_eq!(world.run(increment(1)), Reply::Error(CommandError::NotAnInteger));
    assert_eq!(world.store.revision(), revision.next());
    assert_eq!(world.query(Command::StrLen { key: bytes("n") }), Reply::Integer(20));
    assert_eq!(world.query(Command::StrLen { key: bytes("x") }), Reply::Integer(0));
    assert_eq!(world.query(Command::Type { key: bytes("n") }), Reply::Type(KeyType::String));
    assert_eq!(world.query(Command::Type { key: bytes("x") }), Reply::Type(KeyType::Missing));
    let big = Bytes::from(vec![0; jangada_kv::MAX_VALUE_BYTES]);
    world.run(Command::Set(Set::new(bytes("big"), big)));
    let append = Command::Append { key: bytes("big"), value: bytes("x") };
    assert_eq!(world.run(append), Reply::Error(CommandError::TooLong));
}

#[test]
fn deadlines_are_set_kept_and_cleared() {
    let mut world = World::new();
    let ttl = |world: &World| world.query(Command::Ttl { key: bytes("a") });
    assert_eq!(ttl(&world), Reply::Integer(-2));
    world.run(Command::Set(Set { expiry: Expiry::After(500), ..set("a", "1") }));
    assert_eq!(ttl(&world), Reply::Integer(500));
    world.now = Millis(world.now.0 + 100);
    assert_eq!(ttl(&world), Reply::Integer(400), "a read's estimate tells how long is left");
    world.run(Command::Set(Set { expiry: Expiry::Keep, ..set("a", "2") }));
    assert_eq!(world.query(Command::Deadline { key: bytes("a") }), Reply::Integer(1_000_500));
    world.run(Command::Append { key: bytes("a"), value: bytes("3") });
    world.run(Command::Increment { key: bytes("a"), by: 1 });
    assert_eq!(ttl(&world), Reply::Integer(400), "append and increment keep it");
    world.set("a", "4");
    assert_eq!(ttl(&world), Reply::Integer(-1), "a plain set clears it");
    let get_ex = |expiry| Command::GetEx { key: bytes("a"), expiry };
    assert_eq!(world.run(get_ex(Expiry::At(Millis(2_000_000)))), ok("4"));
    assert_eq!(ttl(&world), Reply::Integer(2_000_000 - 1_000_100));
    assert_eq!(world.run(get_ex(Expiry::Clear)), ok("4"));
    assert_eq!(ttl(&world), Reply::Integer(-1));
    assert_eq!(world.run(Command::Persist { key: bytes("a") }), Reply::Integer(0));
    assert_eq!(world.store.next_deadline(), None);
    assert_eq!(world.run(get_ex(Expiry::After(0))), ok("4"));
    assert_eq!(world.get("a"), Reply::Nil, "a deadline that is past deletes");
    assert_eq!(world.run(Command::Set(Set { expiry: Expiry::At(Millis(5)), ..set("a", "5") })), Reply::Ok);
    assert_eq!(world.get("a"), Reply::Nil);
    assert_eq!(world.run(Command::GetDelete { key: bytes("a") }), Reply::Nil);
}

#[test]
fn expire_heeds_its_conditions() {
    use ExpireCondition::{Always, IfEarlier, IfLater, IfNone, IfSome};
    let mut world = World::new();
    world.set("a", "1");
    let cases = [
        (500, IfSome, 0),
        (500, IfLater, 0), // No deadline is never.
        (500, IfNone, 1),
        (600, IfNone, 0),
        (400, IfLater, 0),
        (600, IfLater, 1),
        (700, IfEarlier, 0),
        (300, IfEarlier, 1),
        (900, IfSome, 1),
        (100, Always, 1),
        (0, IfLater, 0),
        (0, IfEarlier, 1), // Deletes it.
        (100, Always, 0),
    ];
    for (milliseconds, condition, expected) in cases {
        let expire = Command::Expire { key: bytes("a"), expiry: Expiry::After(milliseconds), condition };
        assert_eq!(world.run(expire.clone()), Reply::Integer(expected), "{expire:?}");
    }
    assert_eq!(world.store.key_count(), 0);
}

#[test]
fn a_key_expires_by_the_log_alone() {
    let mut world = World::new();
    world.run(Command::Set(Set { expiry: Expiry::After(100), ..set("a", "1") }));
    assert_eq!(world.store.next_deadline(), Some(Millis(1_000_100)));
    world.now = Millis(1_000_100);
    assert_eq!(world.get("a"), ok("1"), "the estimate of a read hides nothing");
    assert_eq!(world.query(Command::Ttl { key: bytes("a") }), Reply::Integer(0));
    assert_eq!(world.store.due(Millis(1_000_099), 10), None);
    let due = world.store.due(world.now, 10).unwrap();
    assert_eq!(due, Request::ExpireKeys { keys: list(&["a"]) });

    // The key is renewed before the request comes out of the log: it stays.
    world.now = Millis(1_000_050);
    let renew =
        Command::Expire { key: bytes("a"), expiry: Expiry::After(100), condition: ExpireCondition::Always };
    world.run(renew);
    world.now = Millis(1_000_100);
    assert_eq!(world.apply(due.clone()), Response::Expired { keys: 0 });
    assert_eq!(world.get("a"), ok("1"));

    // The clock of the log reaches the deadline: gone to string commands, removed by the request.
    world.now = Millis(1_000_150);
    let revision = world.store.revision();
    assert_eq!(world.apply(Request::Tick), Response::Done);
    assert_eq!(world.get("a"), Reply::Nil);
    assert_eq!(world.at(revision.0, "a").as_deref(), Some("1"), "a revision never changes");
    assert_eq!(world.query(Command::Keys { pattern: bytes("*") }), Reply::Keys(vec![]));
    assert_eq!(world.apply(due), Response::Expired { keys: 1 });
    assert_eq!(world.store.revision(), revision.next());
    assert_eq!((world.store.key_count(), world.store.next_deadline()), (0, None));
}

#[test]
fn a_write_treats_an_expired_key_as_missing() {
    let mut world = World::new();
    world.run(Command::Set(Set { expiry: Expiry::After(100), ..set("a", "7") }));
    world.now = Millis(1_000_100);
    assert_eq!(world.run(Command::Delete { keys: list(&["a"]) }), Reply::Integer(0));
    assert_eq!(world.run(Command::SetNx { key: bytes("a"), value: bytes("new") }), Reply::Integer(1));
    assert_eq!(world.query(Command::Ttl { key: bytes("a") }), Reply::Integer(-1));
    let kv = world.range(jangada_kv::RangeRequest::new(crate::support::one("a"))).kvs.remove(0);
    assert_eq!((kv.version, kv.create_revision), (1, kv.mod_revision), "it was created anew");
    assert_eq!(world.store.due(Millis(u64::MAX), 10), None);
}

#[test]
fn exec_is_one_revision_and_errors_stay_inside() {
    let mut world = World::new();
    world.set("text", "x");
    let commands = vec![
        Command::Increment { key: bytes("n"), by: 1 },
        Command::Increment { key: bytes("text"), by: 1 },
        Command::Increment { key: bytes("n"), by: 1 },
        Command::Get { key: bytes("n") },
    ];
    let replies = exec(&mut world, &[], commands).unwrap();
    let error = Reply::Error(CommandError::NotAnInteger);
    assert_eq!(replies, [Reply::Integer(1), error, Reply::Integer(2), ok("2")]);
    assert_eq!(world.store.revision(), Revision(3));
    let changes: Vec<_> = world.store.changes(Revision(3)).unwrap().collect();
    assert_eq!(changes.len(), 1, "a key changes once in a revision");
    assert_eq!((changes[0].kv.value.clone(), changes[0].kv.version), (bytes("2"), 1));
}

#[test]
fn exec_is_aborted_when_a_watched_key_changed() {
    let mut world = World::new();
    world.run(Command::Set(Set { expiry: Expiry::After(100), ..set("a", "1") }));
    let seen = watch(&world, "a");
    assert_eq!((seen, watch(&world, "b")), (Some(Revision(2)), None));
    let work = || vec![Command::Set(set("c", "done"))];
    assert!(exec(&mut world, &[("a", seen), ("b", None)], work()).is_some());
    let touches = [
        Command::Set(Set { expiry: Expiry::Keep, ..set("a", "1") }), // The same value again.
        Command::Expire { key: bytes("a"), expiry: Expiry::After(100), condition: ExpireCondition::Always },
    ];
    for touch in touches {
        let seen = watch(&world, "a");
        world.run(touch);
        assert_eq!(exec(&mut world, &[("a", seen)], work()), None);
    }
    let seen = watch(&world, "a");
    world.now = Millis(1_000_100);
    assert_eq!(
        exec(&mut world, &[("a", seen)], work()),
        None,
        "it has expired, though it is not removed yet"
    );
    world.set("b", "appeared");
    assert_eq!(exec(&mut world, &[("b", None)], work()), None);
    let query = vec![Command::Get { key: bytes("b") }];
    let request = Request::Exec(Exec { watched: vec![(bytes("b"), watch(&world, "b"))], commands: query });
    assert!(request.is_read_only());
    assert_eq!(world.store.read(world.now, &request), Response::Exec(Some(vec![ok("appeared")])));
}

#[test]
fn scan_returns_each_lasting_key_exactly_once() {
    let mut world = World::new();
    for i in 0..500 {
        world.set(&format!("key:{i}"), "x");
    }
    let mut cursor = 0;
    let mut seen = Vec::new();
    for step in 0.. {
        let scan = Command::Scan { cursor, pattern: Some(bytes("key:*")), count: 7 };
        let Reply::Scan { cursor: next, keys } = world.query(scan) else { panic!("a scan gets a scan") };
        assert!(next < 1 << 32, "cursors fit into any kind of number");
        seen.extend(keys);
        // Keys with odd numbers come and go all the time.
        world.run(Command::Delete { keys: vec![bytes(&format!("key:{}", step * 2 + 1))] });
        world.set(&format!("key:new:{step}"), "x");
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let lasting = |key: &Bytes| {
        let number =
            key.strip_prefix(b"key:").and_then(|rest| std::str::from_utf8(rest).ok()?.parse::<u32>().ok());
        number.is_some_and(|number| number % 2 == 0)
    };
    let mut lasting: Vec<Bytes> = seen.into_iter().filter(lasting).collect();
    lasting.sort();
    let count = lasting.len();
    lasting.dedup();
    assert_eq!((count, lasting.len()), (250, 250));
}

#[test]
fn keys_come_in_order_and_by_pattern() {
    let mut world = World::new();
    for key in ["user:2", "user:1", "group:1", "", "user"] {
        world.set(key, "x");
    }
    let keys = |pattern: &str| match world.query(Command::Keys { pattern: bytes(pattern) }) {
        Reply::Keys(keys) => keys,
        other => panic!("{other:?}"),
    };
    assert_eq!(keys("user:*"), list(&["user:1", "user:2"]));
    assert_eq!(keys("*:1"), list(&["group:1", "user:1"]));
    assert_eq!(keys("*"), list(&["", "group:1", "user", "user:1", "user:2"]));
    assert_eq!(keys("user"), list(&["user"]));
}
