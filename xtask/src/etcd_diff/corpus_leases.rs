//! Leases, locks and elections written by hand. Every sequence gives its leases up, so that the next begins without any.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::{CompareTarget, TargetUnion};
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::leases::Leases;
use super::leases::Leases::{Grant, KeepAlive, List, Revoke, TimeToLive, UntilGone};
use super::queues::Queues::{Campaign, Leader as Leads, Lock, Observe, Proclaim, Resign, Unlock};
use super::queues::{Leader, Queues};
use super::step::{Step, bytes, delete, put, range};

type Written = fn(i64) -> Vec<Step>;

/// All of them.
pub(crate) fn all() -> Vec<(&'static str, Written)> {
    vec![
        ("leases granted", granted),
        ("keys of leases", keys_of_leases),
        ("leases in txns", in_txns),
        ("leases compared", compared),
        ("leases kept alive", kept_alive),
        ("leases that end", that_end),
        ("locks", locks),
        ("locks of others", locks_of_others),
        ("elections", elections),
        ("elections of others", elections_of_others),
    ]
}

fn lease(leases: Leases) -> Step {
    Step::Leases(leases)
}

fn queue(queues: Queues) -> Step {
    Step::Queues(queues)
}

fn leased(key: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest { lease, ..put(key, "v") }
}

fn look(id: i64) -> [Step; 2] {
    [lease(TimeToLive { id, keys: true }), lease(TimeToLive { id, keys: false })]
}

fn granted(_: i64) -> Vec<Step> {
    let mut steps = vec![lease(List), lease(Grant { id: 0, ttl: 60 }), lease(List)];
    for ttl in [i64::MIN, -1, 0, 1, 2, 3, 60, 8_999_999_999, 9_000_000_000, 9_000_000_001, i64::MAX] {
        steps.push(lease(Grant { id: 7, ttl }));
        steps.extend(look(7));
        steps.push(lease(Revoke(7)));
    }
    for id in [1, -1, i64::MIN, i64::MAX] {
        steps.push(lease(Grant { id, ttl: 60 }));
        steps.push(lease(Grant { id, ttl: 70 }));
        steps.push(lease(List));
        steps.extend(look(id));
    }
    steps.extend([1, -1, i64::MIN, i64::MAX, 1, 0, 99].map(|id| lease(Revoke(id))));
    steps.extend([0, 99, -99].into_iter().flat_map(look));
    steps.push(lease(List));
    steps
}

fn keys_of_leases(_: i64) -> Vec<Step> {
    let mut steps = vec![lease(Grant { id: 7, ttl: 60 }), lease(Grant { id: 8, ttl: 60 })];
    steps.extend(["b", "a", "c"].map(|key| Step::Put(leased(key, 7))));
    steps.extend(look(7));
    steps.extend([
        // To another lease, to none, kept, deleted, and made again.
        Step::Put(leased("a", 8)),
        Step::Put(put("b", "free")),
        Step::Put(pb::PutRequest { ignore_lease: true, ..put("c", "kept") }),
        Step::Put(pb::PutRequest { ignore_value: true, ..leased("c", 8) }),
        Step::Put(leased("d", 8)),
        Step::Delete(delete("d", "")),
    ]);
    steps.extend(look(7));
    steps.extend(look(8));
    steps.extend([
        lease(Revoke(7)),
        Step::Range(range("a", "z")),
        lease(Revoke(8)),
        Step::Range(range("a", "z")),
    ]);
    steps.extend([Step::Put(leased("a", 8)), lease(List)]);
    steps
}

fn in_txns(_: i64) -> Vec<Step> {
    let op = |request| pb::RequestOp { request: Some(request) };
    let put_op = |key, id| op(Op::RequestPut(leased(key, id)));
    let txn = |success| Step::Txn(pb::TxnRequest { success, ..pb::TxnRequest::default() });
    let nested = pb::TxnRequest { success: vec![put_op("n", 9)], ..pb::TxnRequest::default() };
    let mut steps = vec![lease(Grant { id: 7, ttl: 60 })];
    steps.push(txn(vec![put_op("a", 7), put_op("b", 7), op(Op::RequestRange(range("a", "z")))]));
    steps.extend(look(7));
    // One lease of them is not there: nothing is done.
    steps.push(txn(vec![put_op("c", 7), put_op("d", 9)]));
    steps.push(txn(vec![op(Op::RequestTxn(nested))]));
    steps.push(Step::Range(range("a", "z")));
    steps.extend(look(7));
    steps.push(txn(vec![op(Op::RequestDeleteRange(delete("a", "b"))), put_op("c", 7)]));
    steps.extend(look(7));
    steps.push(lease(Revoke(7)));
    steps.push(Step::Range(range("a", "z")));
    steps
}

/// Whose lease a key has, as a comparison: of one key, of ranges, of keys that are not there.
fn compared(_: i64) -> Vec<Step> {
    let mut steps = vec![lease(Grant { id: 7, ttl: 60 }), lease(Grant { id: 8, ttl: 60 })];
    steps.extend([Step::Put(leased("a", 7)), Step::Put(leased("b", 7)), Step::Put(leased("c", 8))]);
    steps.push(Step::Put(put("d", "free")));
    for (key, end) in [
        ("a", ""),
        ("c", ""),
        ("d", ""),
        ("missing", ""),
        ("a", "c"),
        ("a", "d"),
        ("b", "\0"),
        ("x", "y"),
        ("c", "a"),
    ] {
        for result in 0..4 {
            for with in [None, Some(0), Some(7), Some(8), Some(9), Some(-1)] {
                let compare = pb::Compare {
                    result,
                    target: CompareTarget::Lease.into(),
                    key: bytes(key),
                    range_end: bytes(end),
                    target_union: with.map(TargetUnion::Lease),
                };
                steps.push(Step::Txn(pb::TxnRequest { compare: vec![compare], ..pb::TxnRequest::default() }));
            }
        }
    }
    steps.extend([lease(Revoke(7)), lease(Revoke(8))]);
    steps
}

fn kept_alive(_: i64) -> Vec<Step> {
    vec![
        lease(KeepAlive(vec![])),
        lease(KeepAlive(vec![99])),
        lease(KeepAlive(vec![0, -1])),
        lease(Grant { id: 7, ttl: 60 }),
        lease(Grant { id: 8, ttl: 1 }),
        lease(KeepAlive(vec![7, 8, 7, 99, 7])),
        lease(Revoke(7)),
        lease(KeepAlive(vec![7, 8])),
        lease(Revoke(8)),
    ]
}

fn that_end(_: i64) -> Vec<Step> {
    let mut steps = vec![
        lease(Grant { id: 7, ttl: 2 }),
        Step::Put(leased("a", 7)),
        Step::Put(leased("b", 7)),
        Step::Put(put("c", "stays")),
        lease(UntilGone("a")),
        Step::Range(range("a", "z")),
    ];
    steps.extend(look(7));
    steps.extend([lease(KeepAlive(vec![7])), lease(Revoke(7)), Step::Put(leased("a", 7)), lease(List)]);
    steps
}

fn locks(_: i64) -> Vec<Step> {
    vec![
        lease(Grant { id: 0x1f, ttl: 60 }),
        queue(Lock("l", 0x1f)),
        // Whose it is already.
        queue(Lock("l", 0x1f)),
        Step::Range(range("l", "m")),
        lease(TimeToLive { id: 0x1f, keys: true }),
        queue(Lock("other", 0x1f)),
        queue(Lock("", 0x1f)),
        Step::Range(range("\0", "\0")),
        queue(Unlock("l/1f")),
        queue(Unlock("l/1f")),
        queue(Unlock("nobody's")),
        queue(Unlock("")),
        queue(Lock("l", 0x1f)),
        lease(Revoke(0x1f)),
        Step::Range(range("\0", "\0")),
        queue(Lock("l", 0x1f)),
        queue(Lock("l", -5)),
        Step::Range(range("\0", "\0")),
    ]
}

fn locks_of_others(_: i64) -> Vec<Step> {
    vec![
        lease(Grant { id: 7, ttl: 60 }),
        lease(Grant { id: -8, ttl: 60 }),
        queue(Lock("l", 7)),
        queue(Unlock("l/7")),
        queue(Lock("l", -8)),
        Step::Range(range("l", "m")),
        // A key that somebody else has put there does not stand in the queue of another name.
        Step::Put(put("ll/1", "x")),
        queue(Lock("l", -8)),
        lease(Revoke(-8)),
        queue(Lock("l", 7)),
        lease(Revoke(7)),
        Step::Range(range("l", "m")),
    ]
}

fn elections(base: i64) -> Vec<Step> {
    let leader = Leader { name: "e", key: "e/7", rev: base + 1, lease: 7 };
    vec![
        queue(Leads("e")),
        queue(Campaign("e", 7, "nobody")),
        lease(Grant { id: 7, ttl: 60 }),
        queue(Campaign("e", 7, "first")),
        queue(Leads("e")),
        queue(Observe("e")),
        queue(Campaign("e", 7, "first")),
        queue(Campaign("e", 7, "second")),
        queue(Leads("e")),
        queue(Proclaim(leader, "third")),
        queue(Observe("e")),
        queue(Proclaim(Leader { rev: base, ..leader }, "wrong")),
        queue(Proclaim(Leader { key: "e/8", ..leader }, "wrong")),
        queue(Proclaim(Leader { lease: 8, ..leader }, "wrong")),
        queue(Leads("e")),
        queue(Resign(Some(Leader { rev: base, ..leader }))),
        queue(Leads("e")),
        queue(Resign(Some(leader))),
        queue(Resign(Some(leader))),
        queue(Leads("e")),
        queue(Proclaim(leader, "too late")),
        Step::Range(range("\0", "\0")),
        lease(Revoke(7)),
    ]
}

fn elections_of_others(_: i64) -> Vec<Step> {
    vec![
        lease(Grant { id: 7, ttl: 60 }),
        queue(Campaign("e", 7, "")),
        queue(Leads("e")),
        queue(Campaign("", 7, "no name")),
        queue(Leads("")),
        queue(Leads("e/")),
        Step::Put(put("e/x", "by hand")),
        queue(Leads("e")),
        lease(Revoke(7)),
        queue(Leads("e")),
        Step::Delete(delete("e/x", "")),
        queue(Leads("e")),
        queue(Campaign("e", 7, "gone")),
    ]
}
