//! What a transaction may cost: the keys that it visits are counted before anything is done.

use jangada_kv::{
    Command, Compare, CompareOperator, CompareTarget, DeleteRange, Error, Exec, KeyRange, MAX_EXTRA_VISITS,
    MAX_TXN_OPS_IN_ALL, Put, RangeRequest, Request, Response, Retention, Revision, Set, Txn, TxnOp,
};

use crate::support::{World, bytes, one, restore, snapshot};

const KEYS: u64 = 1_000;

/// So many ranges over all keys are just allowed.
const RANGES: u64 = 1 + MAX_EXTRA_VISITS / KEYS;

fn world() -> World {
    let mut world = World::new();
    for number in 0..KEYS {
        world.put(&format!("k{number:04}"), "v");
    }
    world
}

fn all() -> RangeRequest {
    RangeRequest { count_only: true, ..RangeRequest::new(KeyRange::all()) }
}

fn ranges(count: u64) -> Vec<TxnOp> {
    (0..count).map(|_| TxnOp::Range(all())).collect()
}

fn put(key: &str) -> TxnOp {
    TxnOp::Put(Put::new(bytes(key), bytes("")))
}

fn then(success: Vec<TxnOp>) -> Txn {
    Txn { success, ..Txn::default() }
}

/// Whether the store carries a txn out. If not, nothing has changed.
fn is_done(world: &mut World, txn: Txn) -> bool {
    let before = (world.store.revision(), world.store.state_hash());
    match world.apply(Request::Txn(txn)) {
        Response::Txn(_) => true,
        Response::Error(Error::TooManyKeys) => {
            assert_eq!((world.store.revision(), world.store.state_hash()), before);
            false
        }
        other => panic!("a txn got {other:?}"),
    }
}

#[test]
fn the_ranges_of_a_txn_may_visit_all_keys_and_some_more() {
    let mut world = world();
    assert!(is_done(&mut world, then(ranges(RANGES))));
    assert!(!is_done(&mut world, then([ranges(RANGES + 1), vec![put("new")]].concat())));
    let one_more = TxnOp::Range(RangeRequest::new(one("k0000")));
    assert!(!is_done(&mut world, then([ranges(RANGES), vec![one_more]].concat())), "a single key counts");
    assert!(
        is_done(&mut world, then([ranges(RANGES), vec![put("new")]].concat())),
        "a put looks at nothing else"
    );
    let Response::Error(error) = world.store.read(world.now, &Request::Txn(then(ranges(RANGES + 2)))) else {
        panic!("a txn that only reads has the same bound");
    };
    assert_eq!(error, Error::TooManyKeys);
}

#[test]
fn whatever_looks_at_keys_counts_and_what_is_not_done_does_not() {
    let mut world = world();
    let compare = Compare {
        range: KeyRange::all(),
        operator: CompareOperator::Greater,
        target: CompareTarget::Version(0),
    };
    let halves = |failure: u64| Txn {
        compare: vec![compare.clone(); 50],
        success: ranges(RANGES - 50),
        failure: ranges(failure),
    };
    assert!(is_done(&mut world, halves(100)), "the other branch costs nothing");
    assert!(!is_done(&mut world, Txn { success: ranges(RANGES - 49), ..halves(0) }));
    let nested = then(vec![TxnOp::Txn(then(ranges(60))), TxnOp::Txn(then(ranges(RANGES - 59)))]);
    assert!(!is_done(&mut world, nested), "what is nested counts together");
    let delete = || TxnOp::DeleteRange(DeleteRange { range: KeyRange::all(), prev_kv: false });
    assert!(!is_done(&mut world, then([ranges(RANGES), vec![delete()]].concat())));
    assert!(is_done(&mut world, then([ranges(RANGES - 1), vec![delete()]].concat())));
}

#[test]
fn the_versions_before_an_old_one_count() {
    let mut world = World::new();
    world.apply(Request::SetRetention(Retention { revisions: 10_000, bytes: u64::MAX }));
    let first = world.put("k", "v");
    for _ in 1..5_000 {
        world.put("k", "v");
    }
    let old = |count: usize| {
        let range = RangeRequest { revision: Some(first), ..RangeRequest::new(one("k")) };
        then(vec![TxnOp::Range(range); count])
    };
    assert!(is_done(&mut world, old(20)), "20 times 4,999 versions, and the one that is asked for");
    assert!(!is_done(&mut world, old(21)));
}

#[test]
fn a_single_range_may_be_as_large_as_it_likes_and_a_txn_may_hold_it() {
    let mut world = World::new();
    let keys = MAX_EXTRA_VISITS + 10_000;
    for number in 0..keys {
        world.put(&number.to_string(), "");
    }
    assert_eq!(world.range(all()).count, keys);
    assert!(is_done(&mut world, then(ranges(1))));
    assert!(!is_done(&mut world, then(ranges(2))));
}

/// What is forgotten here and not yet there makes no difference.
#[test]
fn replicas_that_have_collected_more_or_less_decide_alike() {
    let mut here = world();
    here.apply(Request::SetRetention(Retention { revisions: 5, bytes: u64::MAX }));
    // A snapshot that is being read holds the collection back.
    let cursor = here.store.begin_snapshot();
    let delete =
        |world: &mut World, range| world.apply(Request::DeleteRange(DeleteRange { range, prev_kv: false }));
    let old_half = KeyRange::Span { from: bytes("k0000"), to: bytes("k0400") };
    delete(&mut here, old_half);
    for _ in 0..10 {
        here.put("k0999", "w");
    }
    delete(&mut here, KeyRange::Span { from: bytes("k0400"), to: bytes("k0500") });
    // In one revision it comes and goes.
    let set = Command::Set(Set::new(bytes("brief"), bytes("")));
    let commands = vec![set, Command::Delete { keys: vec![bytes("brief")] }];
    here.apply(Request::Exec(Exec { watched: Vec::new(), commands }));
    let mut there = World { store: restore(&snapshot(&mut here.store, 4_096), 4_096), now: here.now };
    // 500 keys, 101 deletions that can still be read; of the 400 earlier ones nobody knows.
    let allowed = (500 + MAX_EXTRA_VISITS) / 601;
    for world in [&mut here, &mut there] {
        assert!(is_done(world, nested(allowed)));
        assert!(!is_done(world, nested(allowed + 1)));
    }
    here.store.end_snapshot(cursor);
}

/// So many ranges over all keys, more than one list may hold.
fn nested(count: u64) -> Txn {
    let (half, rest) = (count / 2, count - count / 2);
    then(vec![TxnOp::Txn(then(ranges(half))), TxnOp::Txn(then(ranges(rest)))])
}

#[test]
fn a_multi_is_bounded_as_well() {
    let mut world = world();
    let keys = |pattern: &str| Command::Keys { pattern: bytes(pattern) };
    let exec =
        |world: &mut World, commands| world.apply(Request::Exec(Exec { watched: Vec::new(), commands }));
    let mut many = vec![keys("*"); usize::try_from(RANGES).expect("few")];
    assert!(matches!(exec(&mut world, many.clone()), Response::Exec(Some(_))));
    let flushed = [many.clone(), vec![Command::FlushAll]].concat();
    assert_eq!(exec(&mut world, flushed), Response::Error(Error::TooManyKeys));
    assert_eq!(world.store.key_count(), KEYS, "nothing was done");
    many.push(Command::Set(Set::new(bytes("new"), bytes(""))));
    assert!(
        matches!(exec(&mut world, many), Response::Exec(Some(_))),
        "a single key costs nothing worth counting"
    );
    let few = vec![keys("k000?"); 5_000];
    assert!(matches!(exec(&mut world, few), Response::Exec(Some(_))), "a prefix is all that is looked at");
}

#[test]
fn a_txn_may_hold_so_many_operations_in_all() {
    let mut world = World::new();
    let one_key = || TxnOp::Range(RangeRequest::new(one("k")));
    let branch = |count: usize| TxnOp::Txn(then((0..count).map(|_| one_key()).collect()));
    let txn = |last: usize| then([(0..10).map(|_| branch(100)).collect(), vec![branch(last)]].concat());
    let outer = 11;
    let room = MAX_TXN_OPS_IN_ALL - 10 * 100 - outer;
    assert!(matches!(world.apply(Request::Txn(txn(room))), Response::Txn(_)));
    assert_eq!(world.apply(Request::Txn(txn(room + 1))), Response::Error(Error::TooManyOps));
    assert_eq!(world.store.revision(), Revision::FIRST);
}

#[test]
fn what_reads_have_visited_is_told_by_what_they_found() {
    let mut world = world();
    let visited = |world: &World, query: Request| {
        let response = world.store.read(world.now, &query);
        world.store.visited(&query, &response)
    };
    assert_eq!(visited(&world, Request::Range(Box::new(RangeRequest::new(one("k0000"))))), 2);
    assert_eq!(visited(&world, Request::Range(Box::new(all()))), 1 + KEYS);
    assert_eq!(visited(&world, Request::Command(Command::Keys { pattern: bytes("k0*") })), 1 + KEYS);
    let scan = |count| Request::Command(Command::Scan { cursor: 0, pattern: None, count });
    assert_eq!(visited(&world, scan(10)), 11);
    assert_eq!(visited(&world, scan(10 * KEYS)), 1 + KEYS);
    let two =
        vec![TxnOp::Range(RangeRequest::new(one("k0000"))), TxnOp::Range(RangeRequest::new(one("k0001")))];
    assert_eq!(visited(&world, Request::Txn(then(two))), 5, "not the whole store");
    let before = world.store.revision();
    for _ in 0..800 {
        world.put("k0000", "w");
    }
    let old = RangeRequest { revision: Some(before), ..RangeRequest::new(one("k0000")) };
    assert_eq!(visited(&world, Request::Range(Box::new(old))), 102, "800 versions are passed");
}
