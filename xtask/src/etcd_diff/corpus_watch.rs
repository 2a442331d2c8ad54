//! Watches that somebody thought of.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::request_op::Request as Op;

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
