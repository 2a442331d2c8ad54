//! Sequences about users made of a seed: a few users, roles, keys and ranges, permissions that come and go, and what
//! everybody then may. Passwords are slow to look at, so that one such sequence is played for some of the others.

use std::ops::Range;

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::corpus_users::{KINDS, beginning, ending};
use super::generate::Draw;
use super::step::{Step, delete, put, range};
use super::users::Users;

/// One for so many of the others.
const ONE_IN: u64 = 10;
const STEPS: u64 = 40;

const KEYS: [&str; 6] = ["l", "m", "m1", "n", "x", "\0"];
const ENDS: [&str; 8] = ["", "", "", "m2", "n", "o", "y", "\0"];
/// What is permitted: of each first key one range. A second one of the same key etcd may add where it should replace it.
const PERMITTED: [(&str, &str); 6] =
    [("l", "m2"), ("m", "n"), ("m1", ""), ("n", "y"), ("x", "\0"), ("\0", "\0")];
const NAMES: [&str; 4] = ["root", "ana", "ana", "bia"];

/// Those for which there is a sequence about users.
pub(crate) fn seeds(all: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    all.clone().filter(|seed| seed % ONE_IN == 1)
}

/// The sequence of a seed.
pub(crate) fn sequence(seed: u64) -> Vec<Step> {
    let mut draw = Draw::of_seed(seed ^ 0x7573_6572);
    let mut steps = beginning();
    steps.extend((0..STEPS).map(|_| step(&mut draw)));
    steps.extend(ending());
    steps
}

fn step(draw: &mut Draw) -> Step {
    if draw.below(3) == 0 {
        return Step::By("root", Box::new(Step::Users(change(draw))));
    }
    let asked = ask(draw);
    if draw.one_in(12) { asked } else { Step::By(draw.of(&NAMES), Box::new(asked)) }
}

fn change(draw: &mut Draw) -> Users {
    let (user, role) = (draw.of(&["ana", "bia", "ana", "nobody"]), draw.of(&["r", "s"]));
    let (key, end) = PERMITTED[usize::try_from(draw.below(PERMITTED.len() as u64)).unwrap_or(0)];
    match draw.below(16) {
        0..6 => {
            let kind = KINDS[usize::try_from(draw.below(3)).unwrap_or(0)];
            Users::Permit(role, kind, key, end)
        }
        6..8 => Users::Forbid(role, key, end),
        8..10 => Users::Grant(user, role),
        10 => Users::Revoke(user, role),
        11 => Users::AddRole("s"),
        12 => Users::DeleteRole("s"),
        13 => Users::GetRole(role),
        14 => Users::Get(user),
        _ => Users::Roles,
    }
}

fn ask(draw: &mut Draw) -> Step {
    let (key, end) = span(draw);
    match draw.below(8) {
        0..3 => Step::Range(pb::RangeRequest { serializable: draw.one_in(3), ..range(key, end) }),
        3..5 => Step::Put(pb::PutRequest { prev_kv: draw.one_in(3), ..put(key, "1") }),
        5 => Step::Delete(pb::DeleteRangeRequest { prev_kv: draw.one_in(3), ..delete(key, end) }),
        6 => Step::Users(Users::Get(draw.of(&["ana", "bia"]))),
        _ => Step::Txn(txn(draw)),
    }
}

/// A key and where a range ends; not before it begins, which etcd permits or not by how its permissions lie.
fn span(draw: &mut Draw) -> (&'static str, &'static str) {
    let (key, end) = (draw.of(&KEYS), draw.of(&ENDS));
    if end > key || end == "\0" { (key, end) } else { (key, "") }
}

/// Of what etcd forgets to look at (what is nested, `prev_kv` and leases of puts) there is nothing in it.
fn txn(draw: &mut Draw) -> pb::TxnRequest {
    let compare = (0..draw.below(2)).map(|_| {
        let (key, range_end) = span(draw);
        pb::Compare { key: key.into(), range_end: range_end.into(), ..pb::Compare::default() }
    });
    let compare = compare.collect();
    let success = (0..draw.below(3)).map(|_| op(draw)).collect();
    let failure = (0..draw.below(3)).map(|_| op(draw)).collect();
    pb::TxnRequest { compare, success, failure }
}

fn op(draw: &mut Draw) -> pb::RequestOp {
    let request = match draw.below(3) {
        0 => Op::RequestPut(put(draw.of(&KEYS), "2")),
        // What a delete and a put have in common is compared elsewhere.
        1 => Op::RequestDeleteRange(pb::DeleteRangeRequest { prev_kv: draw.one_in(2), ..delete("zz", "") }),
        _ => {
            let (key, end) = span(draw);
            Op::RequestRange(range(key, end))
        }
    };
    pb::RequestOp { request: Some(request) }
}
