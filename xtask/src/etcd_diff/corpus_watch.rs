//! Watches that somebody thought of.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::leases::Leases;
use super::step::{Step, bytes, delete, put};
use super::watching::Moment;

type Written = fn(i64) -> Vec<Step>;

/// All of them.
pub(crate) fn all() -> Vec<(&'static str, Written)> {
    vec![
        ("watch: as it happens", as_it_happens),
        ("watch: from the past", from_the_past),
        ("watch: numbers", numbers),
        ("watch: ranges", ranges),
        ("watch: compacted", compacted),
        ("watch: odd requests", odd_requests),
        ("watch: what was before", what_was_before),
        ("watch: filters", filters),
        ("watch: the future", the_future),
        ("watch: many", many),
        ("watch: ends of leases", ends_of_leases),
        ("watch: large changes", large_changes),
        ("watch: fragments", fragments),
    ]
}

fn create(key: &str, end: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: bytes(key), range_end: bytes(end), ..pb::WatchCreateRequest::default() }
}

fn do_put(key: &str, value: &str) -> Moment {
    Moment::Do(Step::Put(put(key, value)))
}

fn do_delete(key: &str, end: &str) -> Moment {
    Moment::Do(Step::Delete(delete(key, end)))
}

fn do_txn() -> Moment {
    let ops = [
        Op::RequestPut(put("t1", "1")),
        Op::RequestPut(put("t0", "1")),
        Op::RequestDeleteRange(delete("a", "b")),
        Op::RequestPut(put("t2", "1")),
    ];
    let success = ops.map(|op| pb::RequestOp { request: Some(op) }).into();
    Moment::Do(Step::Txn(pb::TxnRequest { success, ..pb::TxnRequest::default() }))
}

fn as_it_happens(_: i64) -> Vec<Step> {
    vec![Step::Watch(vec![
        Moment::Create(create("a", "z")),
        do_put("a", "1"),
        do_put("a", "2"),
        do_put("zz", "no"),
        Moment::Create(pb::WatchCreateRequest { prev_kv: true, ..create("a", "") }),
        do_put("a", "3"),
        do_txn(),
        do_put("a", "again"),
        do_delete("a", "z"),
        Moment::Create(pb::WatchCreateRequest { filters: vec![0], ..create("a", "z") }),
        Moment::Create(pb::WatchCreateRequest { filters: vec![1, 7], ..create("a", "z") }),
        do_put("b", "1"),
        do_delete("b", ""),
        Moment::Progress,
    ])]
}

fn from_the_past(base: i64) -> Vec<Step> {
    let from = |start_revision| pb::WatchCreateRequest { start_revision, prev_kv: true, ..create("a", "z") };
    vec![
        Step::Put(put("a", "1")),
        Step::Put(put("b", "1")),
        Step::Put(put("a", "2")),
        Step::Delete(delete("a", "c")),
        Step::Put(put("a", "3")),
        Step::Watch(vec![
            Moment::Create(from(base + 1)),
            Moment::Create(from(base + 4)),
            Moment::Create(from(base + 5)),
            Moment::Create(from(base + 6)),
            Moment::Create(from(base + 8)),
            do_put("a", "4"),
            do_put("a", "5"),
            do_put("a", "6"),
        ]),
    ]
}

fn numbers(_: i64) -> Vec<Step> {
    let chosen = |watch_id| Moment::Create(pb::WatchCreateRequest { watch_id, ..create("a", "") });
    vec![Step::Watch(vec![
        chosen(0),
        chosen(0),
        chosen(7),
        chosen(7),
        chosen(3),
        chosen(0),
        chosen(0),
        chosen(-5),
        Moment::Cancel(1),
        Moment::Cancel(1),
        Moment::Cancel(99),
        chosen(1),
        chosen(0),
        do_put("a", "1"),
    ])]
}

fn ranges(_: i64) -> Vec<Step> {
    vec![Step::Watch(vec![
        Moment::Create(create("b", "a")),
        Moment::Create(create("b", "b")),
        Moment::Create(create("", "")),
        Moment::Create(create("", "\0")),
        Moment::Create(create("\0", "\0")),
        Moment::Create(create("b", "\0")),
        Moment::Create(create("a", "b")),
        do_put("\0", "1"),
        do_put("a", "1"),
        do_put("b", "1"),
        do_put("aa", "1"),
        do_delete("\0", "\0"),
    ])]
}

fn compacted(base: i64) -> Vec<Step> {
    let from = |start_revision| Moment::Create(pb::WatchCreateRequest { start_revision, ..create("a", "z") });
    vec![
        Step::Put(put("a", "1")),
        Step::Put(put("a", "2")),
        Step::Put(put("a", "3")),
        Step::Compact(pb::CompactionRequest { revision: base + 2, physical: true }),
        Step::Watch(vec![
            from(base + 1),
            from(base + 2),
            from(base + 3),
            from(1),
            from(-1),
            Moment::Create(pb::WatchCreateRequest {
                start_revision: base + 2,
                prev_kv: true,
                ..create("a", "")
            }),
            do_put("a", "4"),
        ]),
    ]
}

fn odd_requests(_: i64) -> Vec<Step> {
    vec![Step::Watch(vec![
        Moment::Progress,
        Moment::Nothing,
        Moment::Cancel(0),
        Moment::Create(pb::WatchCreateRequest { progress_notify: true, ..create("a", "") }),
        Moment::Progress,
        do_put("a", "1"),
        Moment::Progress,
        Moment::Cancel(0),
        do_put("a", "2"),
        Moment::Progress,
    ])]
}

/// Values that were overwritten are told as long as they are not compacted.
fn what_was_before(base: i64) -> Vec<Step> {
    let from = |start_revision| pb::WatchCreateRequest { start_revision, prev_kv: true, ..create("a", "z") };
    vec![
        Step::Put(put("a", "1")),
        Step::Put(put("a", "2")),
        Step::Put(put("b", "1")),
        Step::Delete(delete("a", "z")),
        Step::Put(put("a", "3")),
        Step::Put(put("a", "4")),
        Step::Watch(vec![Moment::Create(from(base + 1)), Moment::Create(from(base + 4))]),
        Step::Compact(pb::CompactionRequest { revision: base + 4, physical: true }),
        Step::Watch(vec![
            // Of the compacted revision itself etcd has forgotten what was deleted; newer ones have not, nor have we.
            Moment::Create(from(base + 5)),
            Moment::Create(from(base + 6)),
            do_txn(),
            do_delete("t", "u"),
            do_delete("t", "u"),
        ]),
    ]
}

fn filters(base: i64) -> Vec<Step> {
    let filtered = |filters: &[i32], start_revision| {
        Moment::Create(pb::WatchCreateRequest {
            filters: filters.to_vec(),
            start_revision,
            prev_kv: true,
            ..create("a", "z")
        })
    };
    let mut steps = vec![Step::Put(put("a", "1")), Step::Delete(delete("a", "")), Step::Put(put("a", "2"))];
    let kinds: [&[i32]; 6] = [&[], &[0], &[1], &[0, 1], &[0, 0], &[-1, 2]];
    for start in [0, base + 1, base + 100] {
        let mut moments: Vec<Moment> = kinds.iter().map(|kinds| filtered(kinds, start)).collect();
        moments.extend([do_put("b", "1"), do_txn(), do_delete("a", "z"), Moment::Progress]);
        steps.push(Step::Watch(moments));
        steps.push(Step::Put(put("a", "again")));
    }
    steps
}

/// A watch from a revision that is not there yet is silent until then.
fn the_future(base: i64) -> Vec<Step> {
    let from = |start_revision| Moment::Create(pb::WatchCreateRequest { start_revision, ..create("a", "z") });
    vec![Step::Watch(vec![
        from(base + 3),
        from(base + 4),
        from(i64::MAX),
        from(i64::MIN),
        do_put("a", "1"),
        do_put("zz", "2"),
        Moment::Progress,
        do_put("a", "3"),
        do_put("a", "4"),
        Moment::Cancel(2),
        do_delete("a", ""),
        Moment::Progress,
    ])]
}

fn many(_: i64) -> Vec<Step> {
    let mut moments: Vec<Moment> = Vec::new();
    for nth in 0..12 {
        let (key, end) = [("a", ""), ("a", "z"), ("b", "\0"), ("a", "b")][nth % 4];
        moments.push(Moment::Create(pb::WatchCreateRequest { prev_kv: nth % 3 == 0, ..create(key, end) }));
    }
    moments.extend([do_put("a", "1"), do_put("b", "1"), Moment::Progress]);
    moments.extend([3, 0, 7, 3].map(Moment::Cancel));
    moments.extend([do_put("a", "2"), do_delete("a", "z"), Moment::Progress]);
    vec![Step::Watch(moments)]
}

/// What goes with a lease goes in one revision.
fn ends_of_leases(_: i64) -> Vec<Step> {
    let leased = |key| Moment::Do(Step::Put(pb::PutRequest { lease: 7, ..put(key, "v") }));
    let lease = |leases| Moment::Do(Step::Leases(leases));
    vec![Step::Watch(vec![
        Moment::Create(pb::WatchCreateRequest { prev_kv: true, ..create("a", "z") }),
        lease(Leases::Grant { id: 7, ttl: 60 }),
        leased("b"),
        leased("a"),
        do_put("c", "free"),
        lease(Leases::Revoke(7)),
        lease(Leases::Grant { id: 7, ttl: 2 }),
        leased("a"),
        leased("b"),
        lease(Leases::UntilGone("a")),
        do_delete("c", ""),
    ])]
}

/// Three values that are no answer together, and a txn of small ones.
fn large(fragment: bool, base: i64) -> Vec<Step> {
    let value = "x".repeat(1 << 20);
    let create = |key, start_revision| {
        Moment::Create(pb::WatchCreateRequest { start_revision, fragment, prev_kv: true, ..create(key, "z") })
    };
    let mut steps: Vec<Step> = ["a", "b", "a"].map(|key| Step::Put(put(key, &value))).to_vec();
    let ops = (0..100).map(|nth| Op::RequestPut(put(&format!("t{nth:03}"), &value[..10_000])));
    let success = ops.map(|op| pb::RequestOp { request: Some(op) }).collect();
    steps.push(Step::Txn(pb::TxnRequest { success, ..pb::TxnRequest::default() }));
    steps.push(Step::Watch(vec![
        Moment::Joined,
        create("a", base + 1),
        create("t", base + 1),
        do_put("a", &value),
        do_put("t", "small"),
        do_delete("t", "z"),
        // With what was there before it is more than fits into one response, if there may be fragments.
        do_delete("a", "z"),
    ]));
    steps
}

fn large_changes(base: i64) -> Vec<Step> {
    large(false, base)
}

fn fragments(base: i64) -> Vec<Step> {
    large(true, base)
}
