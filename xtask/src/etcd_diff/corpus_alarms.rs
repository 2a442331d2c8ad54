//! Alarms, and what they forbid, raised by hand: how full a file of etcd's is cannot be compared.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::alarm_request::AlarmAction::{self, Activate, Deactivate, Get};
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::step::{Step, delete, put, range};

type Written = fn(i64) -> Vec<Step>;

/// All of them.
pub(crate) fn all() -> Vec<(&'static str, Written)> {
    vec![("alarms", alarms), ("no space", no_space), ("corrupt", corrupt)]
}

fn alarm(action: AlarmAction, member_id: u64, alarm: pb::AlarmType) -> Step {
    Step::Alarm(pb::AlarmRequest { action: action.into(), member_id, alarm: alarm.into() })
}

fn alarms(_: i64) -> Vec<Step> {
    let kinds = [pb::AlarmType::None, pb::AlarmType::Nospace, pb::AlarmType::Corrupt];
    let list = || kinds.map(|kind| alarm(Get, 0, kind));
    let mut steps = list().to_vec();
    // To raise or clear NONE is left out: 3.4 stores it.
    for action in [Activate, Activate, Deactivate, Deactivate] {
        for kind in &kinds[1..] {
            for member in [7, 0] {
                steps.push(alarm(action, member, *kind));
                steps.extend(list());
            }
        }
    }
    steps
}

fn txn(success: Vec<Op>, failure: Vec<Op>) -> Step {
    let ops = |ops: Vec<Op>| ops.into_iter().map(|op| pb::RequestOp { request: Some(op) }).collect();
    Step::Txn(pb::TxnRequest { success: ops(success), failure: ops(failure), ..pb::TxnRequest::default() })
}

/// What is asked under an alarm.
fn everything() -> Vec<Step> {
    let (get, set, remove) = (
        Op::RequestRange(range("a", "")),
        Op::RequestPut(put("a", "2")),
        Op::RequestDeleteRange(delete("a", "")),
    );
    vec![
        Step::Range(range("a", "z")),
        Step::Range(pb::RangeRequest { serializable: true, ..range("a", "z") }),
        Step::Put(put("", "1")),
        Step::Put(put("a", "1")),
        Step::Put(pb::PutRequest { lease: 77, ..put("a", "1") }),
        Step::Put(pb::PutRequest { ignore_value: true, ..put("nobody", "") }),
        txn(vec![], vec![]),
        txn(vec![get.clone()], vec![]),
        txn(vec![set.clone()], vec![]),
        txn(vec![get.clone()], vec![set.clone()]),
        txn(vec![set.clone(), set], vec![]),
        txn(vec![get, remove], vec![]),
        Step::Grant(pb::LeaseGrantRequest { ttl: 60, id: 8 }),
        Step::Revoke(pb::LeaseRevokeRequest { id: 7 }),
        Step::Revoke(pb::LeaseRevokeRequest { id: 9 }),
        Step::Delete(delete("b", "")),
        Step::Delete(delete("nobody", "")),
        Step::Range(range("a", "z")),
    ]
}

fn under(kind: pb::AlarmType) -> Vec<Step> {
    let mut steps = vec![
        Step::Put(put("a", "1")),
        Step::Put(put("b", "1")),
        Step::Grant(pb::LeaseGrantRequest { ttl: 60, id: 7 }),
        alarm(Activate, 7, kind),
    ];
    steps.extend(everything());
    // Somebody else's does not end it.
    steps.extend([alarm(Deactivate, 8, kind), Step::Put(put("a", "3"))]);
    steps.extend([alarm(Deactivate, 7, kind), Step::Put(put("a", "3"))]);
    steps.extend([7, 8].map(|id| Step::Revoke(pb::LeaseRevokeRequest { id })));
    steps
}

fn no_space(_: i64) -> Vec<Step> {
    under(pb::AlarmType::Nospace)
}

fn corrupt(base: i64) -> Vec<Step> {
    let mut steps = under(pb::AlarmType::Corrupt);
    steps.push(alarm(Activate, 7, pb::AlarmType::Corrupt));
    steps.push(Step::Compact(pb::CompactionRequest { revision: base, physical: false }));
    steps.push(alarm(Deactivate, 7, pb::AlarmType::Corrupt));
    steps
}
