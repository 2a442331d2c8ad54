//! etcd's operations, where it is easy to get them wrong.

use jangada_kv::{
    Compare, CompareOperator, CompareTarget, DeleteRange, Error, KeyRange, LeaseId, Put, RangeRequest,
    Request, Response, Revision, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse, TxnResponse,
};

use crate::support::{World, bytes, one, restore, snapshot, value};

fn put(key: &str, value: &str) -> TxnOp {
    TxnOp::Put(Put::new(bytes(key), bytes(value)))
}

fn delete(range: KeyRange) -> TxnOp {
    TxnOp::DeleteRange(DeleteRange { range, prev_kv: false })
}

fn txn(world: &mut World, txn: Txn) -> Result<TxnResponse, Error> {
    match world.apply(Request::Txn(txn)) {
        Response::Txn(response) => Ok(response),
        Response::Error(error) => Err(error),
        other => panic!("a txn got {other:?}"),
    }
}

fn then(success: Vec<TxnOp>) -> Txn {
    Txn { success, ..Txn::default() }
}

fn span(from: &str, to: &str) -> KeyRange {
    KeyRange::Span { from: bytes(from), to: bytes(to) }
}

#[test]
fn a_fresh_store_is_at_revision_1_and_each_change_makes_one() {
    let mut world = World::new();
    assert_eq!(world.store.revision(), Revision(1));
    assert_eq!(world.put("a", "1"), Revision(2));
    let nothing = Request::DeleteRange(DeleteRange { range: one("missing"), prev_kv: false });
    world.apply(nothing);
    txn(&mut world, Txn::default()).unwrap();
    assert_eq!(world.store.revision(), Revision(2), "a request that changes nothing makes no revision");
    txn(&mut world, then(vec![put("b", "1"), put("c", "1"), TxnOp::Txn(then(vec![put("d", "1")]))])).unwrap();
    assert_eq!(world.store.revision(), Revision(3), "a whole txn makes one");
    let all = world.range(RangeRequest::new(KeyRange::all()));
    assert_eq!(all.kvs.iter().map(|kv| kv.mod_revision.0).collect::<Vec<_>>(), [2, 3, 3, 3]);
}

#[test]
fn a_deleted_key_starts_again() {
    let mut world = World::new();
    world.put("a", "1");
    world.put("a", "2");
    world.apply(Request::DeleteRange(DeleteRange { range: one("a"), prev_kv: false }));
    world.put("a", "3");
    let kv = world.range(RangeRequest::new(one("a"))).kvs.remove(0);
    assert_eq!((kv.create_revision.0, kv.mod_revision.0, kv.version), (5, 5, 1));
    assert_eq!(world.at(3, "a").as_deref(), Some("2"));
    assert_eq!(world.at(4, "a"), None);
}

#[test]
fn count_and_more_follow_etcd() {
    let mut world = World::new();
    for key in ["a", "b", "c", "d"] {
        world.put(key, "x");
    }
    let limited = world.range(RangeRequest { limit: 2, ..RangeRequest::new(KeyRange::all()) });
    assert_eq!((limited.count, limited.more, limited.kvs.len()), (4, true, 2));
    let filtered =
        RangeRequest { limit: 2, min_mod_revision: Some(Revision(4)), ..RangeRequest::new(KeyRange::all()) };
    let filtered = world.range(filtered);
    assert_eq!((filtered.count, filtered.more, filtered.kvs.len()), (4, false, 2));
    let counted =
        world.range(RangeRequest { limit: 2, count_only: true, ..RangeRequest::new(KeyRange::all()) });
    assert_eq!((counted.count, counted.more, counted.kvs.len()), (4, false, 0));
    assert_eq!(world.range(RangeRequest::new(span("c", "b"))).count, 0, "a reversed range is empty");
    assert_eq!(world.range(RangeRequest::new(span("b", "d"))).count, 2);
}

#[test]
fn sorts_before_the_limit() {
    let mut world = World::new();
    for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("b", "1")] {
        world.put(key, value);
    }
    let keys = |sort_target, sort_order, limit| {
        let request = RangeRequest { sort_target, sort_order, limit, ..RangeRequest::new(KeyRange::all()) };
        world.range(request).kvs.iter().map(|kv| kv.key[0] as char).collect::<String>()
    };
    assert_eq!(keys(SortTarget::Key, SortOrder::Descend, 2), "cb");
    assert_eq!(keys(SortTarget::Value, SortOrder::None, 0), "bca");
    assert_eq!(keys(SortTarget::Mod, SortOrder::Descend, 1), "b");
    assert_eq!(keys(SortTarget::Create, SortOrder::Ascend, 0), "abc");
    assert_eq!(keys(SortTarget::Version, SortOrder::Descend, 0), "bac");
}

#[test]
fn the_future_and_the_forgotten_past_cannot_be_read() {
    let mut world = World::new();
    for i in 0..5 {
        world.put("a", &i.to_string());
    }
    let read = |world: &World, revision| {
        let request = RangeRequest { revision: Some(Revision(revision)), ..RangeRequest::new(one("a")) };
        world.store.read(world.now, &Request::Range(Box::new(request)))
    };
    let future = Response::Error(Error::FutureRevision { current: Revision(6) });
    assert_eq!(read(&world, 7), future);
    assert_eq!(world.apply(Request::Compact { revision: Revision(7) }), future);
    assert_eq!(
        world.apply(Request::Compact { revision: Revision(4) }),
        Response::Compact { revision: Revision(6) }
    );
    let gone = Response::Error(Error::Compacted { floor: Revision(4) });
    assert_eq!(read(&world, 3), gone);
    assert_eq!(world.at(4, "a").as_deref(), Some("2"), "the compacted revision itself can be read");
    for revision in [0, 3, 4] {
        assert_eq!(world.apply(Request::Compact { revision: Revision(revision) }), gone);
    }
}

#[test]
fn compaction_keeps_the_delete_at_its_revision() {
    let mut world = World::new();
    world.put("a", "1");
    world.apply(Request::DeleteRange(DeleteRange { range: one("a"), prev_kv: false }));
    world.apply(Request::Compact { revision: Revision(3) });
    while world.store.collect_garbage(100) {}
    let seen: Vec<_> = world.store.changes(Revision(3)).unwrap().collect();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].is_delete && seen[0].kv.mod_revision == Revision(3));
    let copy = restore(&snapshot(&mut world.store, 7), 5);
    assert_eq!(copy.changes(Revision(3)).unwrap().collect::<Vec<_>>(), seen);
}

#[test]
fn what_is_compacted_cannot_be_read_however_much_of_it_a_replica_still_has() {
    let (mut one_world, mut other) = (World::new(), World::new());
    let past = RangeRequest { revision: Some(Revision(2)), ..RangeRequest::new(one("a")) };
    let txn = Txn { success: vec![TxnOp::Range(past), put("b", "1")], ..Txn::default() };
    let mut answers = Vec::new();
    // One of them is writing a snapshot, which holds its history back.
    let cursor = one_world.store.begin_snapshot();
    for world in [&mut one_world, &mut other] {
        for value in ["1", "2", "3"] {
            world.put("a", value);
        }
        world.apply(Request::Compact { revision: Revision(4) });
        while world.store.collect_garbage(100) {}
        answers.push(world.apply(Request::Txn(txn.clone())));
    }
    assert_eq!(answers, vec![Response::Error(Error::Compacted { floor: Revision(4) }); 2]);
    assert_eq!(one_world.store.state_hash(), other.store.state_hash());
    one_world.store.end_snapshot(cursor);
}

#[test]
fn no_slice_of_the_history_splits_a_revision() {
    let mut world = World::new();
    world.put("a", "1");
    let three = ["a", "b", "c"].map(|key| put(key, "2")).to_vec();
    world.apply(Request::Txn(Txn { success: three, ..Txn::default() }));
    for enough in 1..5 {
        let mut from = Revision(2);
        let mut slices = Vec::new();
        // A slice that splits a revision could begin there again, and again.
        while from <= world.store.revision() && slices.len() < 5 {
            let slice = world.store.some_changes(from, enough, usize::MAX).unwrap();
            slices.push(slice.events.iter().map(|event| event.kv.mod_revision.0).collect::<Vec<_>>());
            from = slice.through.next();
        }
        let together = vec![vec![2, 3, 3, 3]];
        assert_eq!(slices, if enough == 1 { vec![vec![2], vec![3, 3, 3]] } else { together }, "{enough}");
    }
}

#[test]
fn a_txn_does_all_or_nothing() {
    let mut world = World::new();
    world.put("a", "1");
    let hash = world.store.state_hash();
    let future = RangeRequest { revision: Some(Revision(3)), ..RangeRequest::new(one("a")) };
    let keeps = Put { ignore_value: true, ..Put::new(bytes("missing"), bytes("")) };
    for (bad, error) in [
        (TxnOp::Range(future), Error::FutureRevision { current: Revision(2) }),
        (TxnOp::Put(keeps), Error::KeyNotFound),
        (put("", "x"), Error::EmptyKey),
        (put("b", "again"), Error::DuplicateKey),
        (delete(span("a", "c")), Error::DuplicateKey),
        (TxnOp::Txn(then(vec![delete(one("b"))])), Error::DuplicateKey),
    ] {
        assert_eq!(txn(&mut world, then(vec![put("b", "1"), bad])), Err(error));
        assert_eq!(world.store.state_hash(), hash, "nothing was applied");
    }
}

#[test]
fn of_several_faults_that_one_is_named_that_etcd_names() {
    let mut world = World::new();
    let future = RangeRequest { revision: Some(Revision(9)), ..RangeRequest::new(one("a")) };
    let keeps = Put { ignore_value: true, ..Put::new(bytes("missing"), bytes("")) };
    let nested = TxnOp::Txn(then(vec![TxnOp::Put(keeps.clone())]));
    assert_eq!(txn(&mut world, then(vec![TxnOp::Range(future), nested])), Err(Error::KeyNotFound));
    let leased = Put { lease: Some(LeaseId(5)), ..keeps };
    assert_eq!(txn(&mut world, then(vec![TxnOp::Put(leased.clone())])), Err(Error::KeyNotFound));
    assert_eq!(world.apply(Request::Put(leased)), Response::Error(Error::LeaseNotFound));
}

#[test]
fn branches_exclude_each_other() {
    let mut world = World::new();
    let either =
        Txn { compare: vec![], success: vec![put("a", "1")], failure: vec![delete(one("a")), put("b", "2")] };
    txn(&mut world, then(vec![TxnOp::Txn(either.clone())])).unwrap();
    assert_eq!(
        txn(&mut world, then(vec![TxnOp::Txn(either.clone()), put("b", "3")])),
        Err(Error::DuplicateKey)
    );
    let deletes = vec![delete(span("a", "m")), delete(span("b", "z")), delete(one("b"))];
    assert!(txn(&mut world, then(deletes)).is_ok(), "deletes may overlap");
}

#[test]
fn txns_are_bounded() {
    let mut world = World::new();
    let puts = |n: usize| (0..n).map(|i| put(&format!("k{i}"), "")).collect::<Vec<_>>();
    assert!(txn(&mut world, then(puts(128))).is_ok());
    assert_eq!(txn(&mut world, then(puts(129))), Err(Error::TooManyOps));
    let mut nested = puts(27);
    nested.push(TxnOp::Txn(then((0..101).map(|i| put(&format!("n{i}"), "")).collect())));
    assert_eq!(txn(&mut world, then(nested.clone())), Err(Error::TooManyOps), "28 + 101");
    nested.pop();
    nested.push(TxnOp::Txn(then((0..100).map(|i| put(&format!("n{i}"), "")).collect())));
    assert!(txn(&mut world, then(nested)).is_ok(), "28 + 100");
}

#[test]
fn comparisons_follow_etcd() {
    let mut world = World::new();
    world.put("a", "5");
    world.put("a", "6");
    world.put("b", "6");
    let mut holds = |range: KeyRange, operator, target| {
        txn(&mut world, Txn { compare: vec![Compare { range, operator, target }], ..Txn::default() })
            .unwrap()
            .succeeded
    };
    use CompareOperator::{Equal, Greater, Less, NotEqual};
    assert!(holds(one("a"), Equal, CompareTarget::Version(2)));
    assert!(holds(one("a"), Less, CompareTarget::Create(3)));
    assert!(holds(one("a"), Equal, CompareTarget::Mod(3)));
    assert!(holds(one("a"), Equal, CompareTarget::Value(bytes("6"))));
    assert!(holds(span("a", "z"), Equal, CompareTarget::Value(bytes("6"))));
    assert!(!holds(span("a", "z"), Equal, CompareTarget::Version(2)), "all keys must match");
    for target in [CompareTarget::Version(0), CompareTarget::Create(0), CompareTarget::Mod(0)] {
        assert!(holds(one("missing"), Equal, target.clone()));
        assert!(holds(span("x", "z"), Equal, target), "an empty range is like one missing key");
    }
    assert!(holds(one("missing"), Greater, CompareTarget::Version(-1)));
    for operator in [Equal, NotEqual, Greater, Less] {
        assert!(!holds(one("missing"), operator, CompareTarget::Value(bytes(""))));
    }
}

#[test]
fn reads_in_a_txn_see_its_writes_and_nested_comparisons_do_not() {
    let mut world = World::new();
    world.put("a", "1");
    let get = || TxnOp::Range(RangeRequest::new(one("a")));
    let nested = Txn {
        compare: vec![Compare {
            range: one("a"),
            operator: CompareOperator::Equal,
            target: CompareTarget::Value(bytes("1")),
        }],
        success: vec![put("b", "it was 1")],
        failure: vec![],
    };
    let response = txn(&mut world, then(vec![get(), put("a", "2"), get(), TxnOp::Txn(nested)])).unwrap();
    let ranges: Vec<_> = response
        .responses
        .iter()
        .filter_map(|response| match response {
            TxnOpResponse::Range(range) => Some((range.revision.0, value(&range.kvs[0]))),
            _ => None,
        })
        .collect();
    assert_eq!(ranges, [(2, "1".to_owned()), (3, "2".to_owned())]);
    assert_eq!(world.at(3, "b").as_deref(), Some("it was 1"));
}

#[test]
fn put_keeps_what_it_is_told_to_keep() {
    let mut world = World::new();
    world.put("a", "1");
    let refused = |world: &mut World, put: Put| match world.apply(Request::Put(put)) {
        Response::Error(error) => error,
        other => panic!("{other:?}"),
    };
    let keep = Put { ignore_value: true, ..Put::new(bytes("a"), bytes("")) };
    assert_eq!(refused(&mut world, Put { value: bytes("x"), ..keep.clone() }), Error::ValueProvided);
    assert_eq!(refused(&mut world, Put { key: bytes("b"), ..keep.clone() }), Error::KeyNotFound);
    assert_eq!(
        refused(&mut world, Put { lease: Some(jangada_kv::LeaseId(7)), ..Put::new(bytes("a"), bytes("")) }),
        Error::LeaseNotFound
    );
    let Response::Put(response) = world.apply(Request::Put(Put { prev_kv: true, ..keep })) else {
        panic!("a put gets a put response")
    };
    assert_eq!(value(&response.prev_kv.unwrap()), "1");
    let kv = world.range(RangeRequest::new(one("a"))).kvs.remove(0);
    assert_eq!((value(&kv), kv.version, kv.mod_revision.0), ("1".to_owned(), 2, 3));
}
