//! Sequences that somebody thought of. Each is named after what it looks at, and begins without keys at revision `base`.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::step::{Step, bytes, delete, put, range};

type Written = fn(i64) -> Vec<Step>;

/// All of them.
pub(crate) fn all() -> Vec<(&'static str, Written)> {
    vec![
        ("puts", puts),
        ("put options", put_options),
        ("ranges", ranges),
        ("range filters", range_filters),
        ("range at revisions", range_at_revisions),
        ("sorting", sorting),
        ("deletes", deletes),
        ("a life again", a_life_again),
        ("txn branches", txn_branches),
        ("txn comparisons", txn_comparisons),
        ("txn range comparisons", txn_range_comparisons),
        ("txn odd comparisons", txn_odd_comparisons),
        ("txn duplicates", txn_duplicates),
        ("txn lengths", txn_lengths),
        ("txn refusals", txn_refusals),
        ("nested txns", nested_txns),
        ("compaction", compaction),
        ("large requests", large_requests),
        ("tokens", tokens),
        ("members", |_| vec![Step::Members]),
    ]
}

fn puts(_: i64) -> Vec<Step> {
    vec![
        Step::Put(put("a", "1")),
        Step::Put(put("a", "")),
        Step::Put(put("", "1")),
        Step::Put(put("\0", "zero")),
        Step::Put(put("\u{ff}", "last")),
        Step::Range(range("\0", "\0")),
        Step::Put(pb::PutRequest { prev_kv: true, ..put("a", "2") }),
        Step::Put(pb::PutRequest { prev_kv: true, ..put("new", "2") }),
        Step::Put(pb::PutRequest { lease: 77, ..put("a", "3") }),
        Step::Put(pb::PutRequest { lease: -77, ..put("a", "3") }),
        Step::Range(range("a", "")),
    ]
}

fn put_options(_: i64) -> Vec<Step> {
    let keep_value = |key, value| pb::PutRequest { ignore_value: true, ..put(key, value) };
    let keep_lease = |key, value| pb::PutRequest { ignore_lease: true, ..put(key, value) };
    vec![
        Step::Put(keep_value("a", "")),
        Step::Put(keep_lease("a", "1")),
        Step::Put(put("a", "1")),
        Step::Put(keep_value("a", "2")),
        Step::Put(keep_value("", "2")),
        Step::Put(pb::PutRequest { prev_kv: true, ..keep_value("a", "") }),
        Step::Put(pb::PutRequest { prev_kv: true, ..keep_lease("a", "3") }),
        Step::Put(pb::PutRequest { ignore_value: true, ..keep_lease("a", "") }),
        Step::Put(pb::PutRequest { lease: 5, ..keep_lease("a", "3") }),
        Step::Put(pb::PutRequest { lease: 5, ..keep_value("a", "") }),
        Step::Put(pb::PutRequest { lease: 5, ..keep_value("missing", "") }),
        Step::Put(pb::PutRequest { lease: 5, ..keep_value("missing", "x") }),
        Step::Delete(delete("a", "")),
        Step::Put(keep_value("a", "")),
        Step::Range(range("a", "")),
    ]
}

fn some_keys() -> Vec<Step> {
    let pairs =
        [("a", "3"), ("b", "1"), ("c", "2"), ("ab", "2"), ("b", "9"), ("d", ""), ("b", "4"), ("a", "0")];
    pairs.iter().map(|(key, value)| Step::Put(put(key, value))).collect()
}

fn ranges(_: i64) -> Vec<Step> {
    let mut steps = some_keys();
    let pairs = [
        ("a", ""),
        ("zz", ""),
        ("a", "z"),
        ("a", "b"),
        ("b", "b"),
        ("c", "a"),
        ("a", "\0"),
        ("\0", "\0"),
        ("\0", ""),
        ("\0", "b"),
        ("", ""),
        ("", "\0"),
        ("", "z"),
        ("a", "a\0"),
    ];
    steps.extend(pairs.iter().map(|(key, end)| Step::Range(range(key, end))));
    for limit in [-1, 0, 1, 2, 4, 5, 6, i64::MAX, i64::MIN] {
        let limited = pb::RangeRequest { limit, ..range("a", "z") };
        steps.push(Step::Range(limited.clone()));
        steps.push(Step::Range(pb::RangeRequest { keys_only: true, ..limited.clone() }));
        steps.push(Step::Range(pb::RangeRequest { count_only: true, ..limited.clone() }));
        steps.push(Step::Range(pb::RangeRequest { serializable: true, ..limited }));
    }
    steps
}

fn range_filters(base: i64) -> Vec<Step> {
    let mut steps = some_keys();
    for revision in [-1, 0, 1, base + 1, base + 2, base + 4, base + 7, base + 8, base + 100] {
        for limit in [0, 1, 2] {
            let limited = || pb::RangeRequest { limit, ..range("a", "z") };
            steps.push(Step::Range(pb::RangeRequest { min_mod_revision: revision, ..limited() }));
            steps.push(Step::Range(pb::RangeRequest { max_mod_revision: revision, ..limited() }));
            steps.push(Step::Range(pb::RangeRequest { min_create_revision: revision, ..limited() }));
            steps.push(Step::Range(pb::RangeRequest { max_create_revision: revision, ..limited() }));
            let both =
                pb::RangeRequest { min_create_revision: base + 1, max_mod_revision: revision, ..limited() };
            steps.push(Step::Range(both.clone()));
            steps.push(Step::Range(pb::RangeRequest { count_only: true, ..both }));
        }
    }
    steps
}

fn range_at_revisions(base: i64) -> Vec<Step> {
    let mut steps = some_keys();
    steps.push(Step::Delete(delete("a", "b")));
    steps.push(Step::Put(put("a", "again")));
    for revision in
        [-5, 0, base, base + 1, base + 3, base + 8, base + 9, base + 10, base + 11, i64::MAX, i64::MIN]
    {
        let at = pb::RangeRequest { revision, ..range("a", "z") };
        steps.push(Step::Range(at.clone()));
        steps.push(Step::Range(pb::RangeRequest { limit: 1, ..at.clone() }));
        steps.push(Step::Range(pb::RangeRequest { count_only: true, ..at.clone() }));
        steps.push(Step::Range(pb::RangeRequest { revision, ..range("a", "") }));
        steps.push(Step::Range(pb::RangeRequest { revision, ..range("b", "a") }));
    }
    steps
}

/// Every target in every order, with every bound of a range.
fn sorting(base: i64) -> Vec<Step> {
    let mut steps = some_keys();
    steps.extend([Step::Delete(delete("c", "")), Step::Put(put("c", "2")), Step::Put(put("e", "10"))]);
    for target in 0..5 {
        for order in 0..3 {
            for limit in [0, 2] {
                // Without an order etcd cuts first and sorts then; we do not, on purpose.
                let limit = if order == 0 && target != 0 { 0 } else { limit };
                let sorted =
                    pb::RangeRequest { sort_target: target, sort_order: order, limit, ..range("a", "z") };
                steps.push(Step::Range(sorted.clone()));
                steps.push(Step::Range(pb::RangeRequest { keys_only: true, ..sorted.clone() }));
                steps.push(Step::Range(pb::RangeRequest { count_only: true, ..sorted.clone() }));
                steps.push(Step::Range(pb::RangeRequest { serializable: true, ..sorted.clone() }));
                steps.push(Step::Range(pb::RangeRequest { revision: base + 4, ..sorted.clone() }));
                steps.push(Step::Range(pb::RangeRequest { min_mod_revision: base + 5, ..sorted.clone() }));
                steps.push(Step::Range(pb::RangeRequest { max_mod_revision: base + 8, ..sorted.clone() }));
                steps.push(Step::Range(pb::RangeRequest { min_create_revision: base + 2, ..sorted.clone() }));
                steps.push(Step::Range(pb::RangeRequest { max_create_revision: base + 5, ..sorted.clone() }));
                steps.push(Step::Range(pb::RangeRequest {
                    revision: base + 8,
                    min_create_revision: base + 1,
                    max_mod_revision: base + 7,
                    ..sorted
                }));
            }
        }
    }
    steps
}

fn deletes(_: i64) -> Vec<Step> {
    let mut steps = vec![Step::Delete(delete("a", "")), Step::Delete(delete("\0", "\0"))];
    steps.extend(some_keys());
    for (key, end) in
        [("", ""), ("", "z"), ("z", "a"), ("b", "b"), ("b", ""), ("b", ""), ("a", "b"), ("c", "\0")]
    {
        steps.push(Step::Delete(pb::DeleteRangeRequest { prev_kv: true, ..delete(key, end) }));
        steps.push(Step::Range(range("\0", "\0")));
    }
    steps
}

fn a_life_again(base: i64) -> Vec<Step> {
    vec![
        Step::Put(put("a", "1")),
        Step::Put(put("a", "2")),
        Step::Delete(delete("a", "")),
        Step::Put(put("a", "3")),
        Step::Range(range("a", "")),
        Step::Range(pb::RangeRequest { revision: base + 2, ..range("a", "") }),
        Step::Range(pb::RangeRequest { revision: base + 3, ..range("a", "") }),
        Step::Txn(txn(vec![], vec![p("a", "4"), r("a", "")], vec![])),
        Step::Txn(txn(vec![], vec![d("a", ""), r("a", "")], vec![])),
        Step::Range(range("a", "")),
    ]
}

fn txn(
    compare: Vec<pb::Compare>,
    success: Vec<pb::RequestOp>,
    failure: Vec<pb::RequestOp>,
) -> pb::TxnRequest {
    pb::TxnRequest { compare, success, failure }
}

fn op(request: Op) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn p(key: &str, value: &str) -> pb::RequestOp {
    op(Op::RequestPut(put(key, value)))
}

fn d(key: &str, end: &str) -> pb::RequestOp {
    op(Op::RequestDeleteRange(delete(key, end)))
}

fn r(key: &str, end: &str) -> pb::RequestOp {
    op(Op::RequestRange(range(key, end)))
}

fn t(nested: pb::TxnRequest) -> pb::RequestOp {
    op(Op::RequestTxn(nested))
}

fn compare(
    key: &str,
    end: &str,
    target: CompareTarget,
    result: CompareResult,
    with: Option<TargetUnion>,
) -> pb::Compare {
    pb::Compare {
        result: result.into(),
        target: target.into(),
        key: bytes(key),
        range_end: bytes(end),
        target_union: with,
    }
}

const RESULTS: [CompareResult; 4] =
    [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];

fn version(key: &str, number: i64) -> pb::Compare {
    compare(key, "", CompareTarget::Version, CompareResult::Equal, Some(TargetUnion::Version(number)))
}

fn txn_branches(_: i64) -> Vec<Step> {
    vec![
        Step::Txn(txn(vec![], vec![], vec![])),
        Step::Txn(txn(vec![], vec![p("a", "1"), p("b", "1"), d("c", "d"), r("a", "z")], vec![])),
        Step::Txn(txn(vec![version("a", 1)], vec![r("a", ""), p("a", "2"), r("a", "")], vec![d("a", "z")])),
        Step::Txn(txn(vec![version("a", 1)], vec![r("a", ""), p("a", "2"), r("a", "")], vec![d("a", "z")])),
        Step::Txn(txn(vec![version("a", 0), version("b", 0)], vec![], vec![r("a", "")])),
        Step::Txn(txn(vec![], vec![d("x", "y")], vec![])),
        Step::Txn(txn(vec![], vec![d("x", "y"), r("x", "")], vec![])),
        Step::Txn(txn(vec![], vec![p("x", "1"), d("y", ""), r("x", "z")], vec![])),
        Step::Txn(txn(vec![version("a", 5)], vec![p("q", "1")], vec![])),
    ]
}

fn txn_comparisons(base: i64) -> Vec<Step> {
    let mut steps = vec![Step::Put(put("a", "m")), Step::Put(put("a", "m"))];
    for key in ["a", "missing"] {
        for result in RESULTS {
            for number in [-1, 0, 1, 2, 3, base + 1, base + 2] {
                let with = [
                    (CompareTarget::Version, TargetUnion::Version(number)),
                    (CompareTarget::Create, TargetUnion::CreateRevision(number)),
                    (CompareTarget::Mod, TargetUnion::ModRevision(number)),
                    (CompareTarget::Lease, TargetUnion::Lease(number)),
                ];
                for (target, with) in with {
                    let compare = compare(key, "", target, result, Some(with));
                    steps.push(Step::Txn(txn(vec![compare], vec![], vec![])));
                }
            }
            for value in ["", "l", "m", "mm", "n"] {
                let with = Some(TargetUnion::Value(bytes(value)));
                let compare = compare(key, "", CompareTarget::Value, result, with);
                steps.push(Step::Txn(txn(vec![compare], vec![], vec![])));
            }
        }
    }
    steps
}

fn txn_range_comparisons(base: i64) -> Vec<Step> {
    let mut steps = some_keys();
    for (key, end) in [("a", "z"), ("a", "b"), ("b", "\0"), ("\0", "\0"), ("x", "z"), ("z", "a"), ("b", "b")]
    {
        for result in RESULTS {
            for number in [0, 1, 2, base + 4] {
                let with = Some(TargetUnion::Version(number));
                let versions = compare(key, end, CompareTarget::Version, result, with);
                let with = Some(TargetUnion::ModRevision(number));
                let mods = compare(key, end, CompareTarget::Mod, result, with);
                steps.push(Step::Txn(txn(vec![versions], vec![], vec![])));
                steps.push(Step::Txn(txn(vec![mods], vec![], vec![])));
            }
            let with = Some(TargetUnion::Value(bytes("2")));
            let values = compare(key, end, CompareTarget::Value, result, with);
            steps.push(Step::Txn(txn(vec![values], vec![], vec![])));
        }
    }
    steps
}

fn txn_odd_comparisons(_: i64) -> Vec<Step> {
    let mut steps = vec![Step::Put(put("a", "m"))];
    let none = |target| compare("a", "", target, CompareResult::Equal, None);
    let wrong = |target| compare("a", "", target, CompareResult::Equal, Some(TargetUnion::Lease(1)));
    for target in [CompareTarget::Version, CompareTarget::Create, CompareTarget::Mod, CompareTarget::Value] {
        steps.push(Step::Txn(txn(vec![none(target)], vec![], vec![])));
        steps.push(Step::Txn(txn(vec![wrong(target)], vec![], vec![])));
    }
    steps.push(Step::Txn(txn(vec![version("", 0)], vec![], vec![])));
    steps.push(Step::Txn(txn(
        vec![compare("", "\0", CompareTarget::Mod, CompareResult::Equal, None)],
        vec![],
        vec![],
    )));
    steps
}

fn txn_duplicates(_: i64) -> Vec<Step> {
    let only = |ops| Step::Txn(txn(vec![], ops, vec![]));
    let either = |success, failure| t(txn(vec![version("a", 0)], success, failure));
    vec![
        only(vec![p("a", "1"), p("a", "2")]),
        only(vec![p("a", "1"), d("a", "")]),
        only(vec![d("a", ""), p("a", "1")]),
        only(vec![d("a", "c"), p("b", "1")]),
        only(vec![p("b", "1"), d("a", "c")]),
        only(vec![d("a", "c"), d("b", "d")]),
        only(vec![d("a", ""), d("a", "")]),
        only(vec![d("c", "a"), p("b", "1")]),
        Step::Txn(txn(vec![], vec![p("a", "1")], vec![p("a", "2")])),
        Step::Txn(txn(vec![], vec![], vec![p("a", "1"), p("a", "2")])),
        only(vec![p("a", "1"), either(vec![p("a", "2")], vec![])]),
        only(vec![p("a", "1"), either(vec![], vec![p("a", "2")])]),
        only(vec![p("a", "1"), either(vec![], vec![d("a", "b")])]),
        only(vec![d("a", "b"), either(vec![], vec![p("a", "b")])]),
        only(vec![either(vec![p("a", "2")], vec![p("a", "3")])]),
        only(vec![either(vec![p("x", "2")], vec![p("x", "3")]), p("x", "1")]),
        only(vec![either(vec![p("x", "2")], vec![d("x", "")])]),
        only(vec![either(vec![p("x", "2")], vec![]), either(vec![], vec![p("x", "3")])]),
        only(vec![either(vec![d("x", "z")], vec![]), either(vec![], vec![p("y", "3")])]),
        only(vec![t(txn(vec![], vec![either(vec![p("w", "1")], vec![])], vec![])), p("w", "2")]),
        only(vec![p("w", "1"), r("w", ""), r("w", "")]),
    ]
}

fn txn_lengths(_: i64) -> Vec<Step> {
    let many =
        |count: usize| -> Vec<pb::RequestOp> { (0..count).map(|i| p(&format!("k{i:03}"), "")).collect() };
    let gets =
        |count: usize| -> Vec<pb::RequestOp> { (0..count).map(|i| r(&format!("k{i:03}"), "")).collect() };
    let compares = |count: usize| -> Vec<pb::Compare> { (0..count).map(|_| version("a", 0)).collect() };
    vec![
        Step::Txn(txn(vec![], many(128), vec![])),
        Step::Txn(txn(vec![], many(129), vec![])),
        Step::Txn(txn(vec![], vec![], gets(129))),
        Step::Txn(txn(compares(128), gets(128), gets(128))),
        Step::Txn(txn(compares(129), vec![], vec![])),
        Step::Txn(txn(vec![], vec![t(txn(vec![], gets(127), vec![]))], vec![])),
        Step::Txn(txn(vec![], vec![t(txn(vec![], gets(128), vec![]))], vec![])),
        Step::Txn(txn(vec![], vec![t(txn(compares(128), vec![], vec![]))], vec![])),
        Step::Txn(txn(compares(100), vec![t(txn(vec![], gets(28), vec![]))], vec![])),
        Step::Txn(txn(compares(100), vec![t(txn(vec![], gets(29), vec![]))], vec![])),
        Step::Txn(txn(
            vec![],
            vec![t(txn(vec![], gets(64), vec![])), t(txn(vec![], gets(64), vec![]))],
            vec![],
        )),
    ]
}

fn txn_refusals(base: i64) -> Vec<Step> {
    let at = |revision| op(Op::RequestRange(pb::RangeRequest { revision, ..range("a", "") }));
    let leased = |lease| op(Op::RequestPut(pb::PutRequest { lease, ..put("l", "1") }));
    let keeping = |key| op(Op::RequestPut(pb::PutRequest { ignore_value: true, ..put(key, "") }));
    let nothing = || pb::RequestOp { request: None };
    let only = |ops| Step::Txn(txn(vec![], ops, vec![]));
    vec![
        Step::Put(put("a", "1")),
        only(vec![nothing()]),
        only(vec![p("", "1")]),
        only(vec![r("", "z")]),
        only(vec![d("", "z")]),
        only(vec![t(txn(vec![version("", 1)], vec![], vec![]))]),
        Step::Txn(txn(vec![], vec![], vec![nothing()])),
        only(vec![p("b", "1"), at(base + 100)]),
        only(vec![at(base + 100)]),
        only(vec![p("b", "1"), leased(5)]),
        only(vec![p("b", "1"), keeping("missing")]),
        only(vec![p("b", "1"), keeping("b")]),
        only(vec![keeping("a"), r("a", "")]),
        only(vec![op(Op::RequestPut(pb::PutRequest { ignore_value: true, ..put("a", "x") }))]),
        Step::Txn(txn(vec![version("a", 99)], vec![at(base + 100)], vec![p("c", "1")])),
        Step::Txn(txn(vec![version("a", 99)], vec![leased(5)], vec![p("c", "1")])),
        // Of several faults, that of the put is named.
        only(vec![at(base + 100), keeping("missing")]),
        only(vec![at(base + 100), t(txn(vec![], vec![leased(5)], vec![]))]),
        only(vec![leased(5), keeping("missing")]),
        only(vec![op(Op::RequestPut(pb::PutRequest { lease: 5, ignore_value: true, ..put("missing", "") }))]),
        Step::Range(range("\0", "\0")),
    ]
}

fn nested_txns(_: i64) -> Vec<Step> {
    let inner =
        |key| txn(vec![version(key, 0)], vec![p(key, "new"), r(key, "")], vec![r(key, ""), d(key, "")]);
    let outer = |key| txn(vec![], vec![t(inner(key)), r(key, "")], vec![]);
    let deep = txn(vec![], vec![t(outer("x")), t(txn(vec![], vec![t(inner("y"))], vec![]))], vec![]);
    vec![
        Step::Txn(outer("a")),
        Step::Txn(outer("a")),
        Step::Txn(outer("a")),
        Step::Txn(deep.clone()),
        Step::Txn(deep),
        // What is written before a nested txn is not seen by its comparisons.
        Step::Txn(txn(
            vec![],
            vec![p("s", "1"), t(txn(vec![version("s", 0)], vec![p("s0", "")], vec![p("s1", "")]))],
            vec![],
        )),
        Step::Txn(txn(vec![], vec![t(txn(vec![], vec![], vec![]))], vec![])),
        Step::Range(range("\0", "\0")),
    ]
}

fn compaction(base: i64) -> Vec<Step> {
    let compact = |revision| Step::Compact(pb::CompactionRequest { revision, physical: false });
    let at = |revision| Step::Range(pb::RangeRequest { revision, ..range("a", "z") });
    let mut steps = vec![compact(-1), compact(base + 100)];
    steps.extend(some_keys());
    steps.extend([
        compact(base + 3),
        at(base + 2),
        at(base + 3),
        at(base + 4),
        compact(base + 3),
        compact(base),
    ]);
    steps.extend([Step::Delete(delete("a", "")), compact(base + 9), at(base + 8), at(base + 9), at(0)]);
    steps.push(Step::Txn(txn(
        vec![],
        vec![op(Op::RequestRange(pb::RangeRequest { revision: base + 1, ..range("a", "") }))],
        vec![],
    )));
    steps.push(Step::Compact(pb::CompactionRequest { revision: base + 9, physical: true }));
    steps.extend([
        Step::Put(put("a", "1")),
        Step::Compact(pb::CompactionRequest { revision: base + 10, physical: true }),
    ]);
    steps.extend([at(base + 10), compact(i64::MAX), compact(i64::MIN)]);
    steps
}

fn large_requests(_: i64) -> Vec<Step> {
    let long = |bytes: usize| "x".repeat(bytes);
    vec![
        Step::Put(put("a", &long(1_000_000))),
        Step::Range(range("a", "")),
        Step::Put(put("a", &long(1_572_864))),
        Step::Put(put("a", &long(2_097_152))),
        Step::Put(put("a", &long(3_000_000))),
        Step::Put(put(&long(10_000), "long key")),
        Step::Range(range(&long(10_000), "")),
    ]
}

fn tokens(_: i64) -> Vec<Step> {
    vec![Step::PutWithToken(put("a", "1")), Step::Range(range("a", ""))]
}
