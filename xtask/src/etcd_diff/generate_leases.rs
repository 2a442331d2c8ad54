//! Sequences of leases and their keys made of a seed. None lives shorter than a minute, so that none ends by itself.

use std::ops::Range;

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::generate::Draw;
use super::leases::Leases;
use super::queues::Queues;
use super::step::{Step, delete, put, range};

const IDS: u64 = 4;
const KEYS: [&str; 5] = ["a", "b", "c", "l/1", "l/2"];
const STEPS: u64 = 30;

/// The seeds of these sequences: some of those that were asked for.
pub(crate) fn seeds(of: &Range<u64>) -> impl Iterator<Item = u64> + Clone + use<> {
    of.clone().step_by(10)
}

/// The sequence of a seed. It begins without leases and gives back those that it has granted.
pub(crate) fn sequence(seed: u64) -> Vec<Step> {
    let mut draw = Draw::of_seed(seed ^ 0x1ea5e);
    let mut steps: Vec<Step> = (0..STEPS).map(|_| step(&mut draw)).collect();
    steps.extend((1..=IDS).map(|id| Step::Leases(Leases::Revoke(id.cast_signed()))));
    steps.push(Step::Leases(Leases::List));
    steps
}

fn step(draw: &mut Draw) -> Step {
    let id = (1 + draw.below(IDS)).cast_signed();
    match draw.below(16) {
        0..3 => Step::Leases(Leases::Grant { id, ttl: 60 + draw.below(9).cast_signed() }),
        3 => Step::Leases(Leases::Revoke(id)),
        4..6 => Step::Leases(Leases::TimeToLive { id, keys: draw.one_in(2) }),
        6 => Step::Leases(Leases::KeepAlive(vec![id, (1 + draw.below(IDS)).cast_signed()])),
        7 => Step::Leases(Leases::List),
        8..11 => Step::Put(leased(draw, id)),
        11 => Step::Put(pb::PutRequest { ignore_lease: true, ..put(draw.of(&KEYS), "kept") }),
        12 => Step::Delete(delete(draw.of(&KEYS), if draw.one_in(3) { "z" } else { "" })),
        13 => Step::Range(range("a", "z")),
        14 => {
            let ops = (0..1 + draw.below(2)).map(|nth| {
                let mut put = leased(draw, id);
                // Twice the same key is refused, and looked at elsewhere.
                put.key = [b"t", nth.to_string().as_bytes()].concat().into();
                pb::RequestOp { request: Some(Op::RequestPut(put)) }
            });
            Step::Txn(pb::TxnRequest { success: ops.collect(), ..pb::TxnRequest::default() })
        }
        // Of a name of its own for each lease: nobody waits for anybody.
        _ => Step::Queues(Queues::Lock(["w", "x", "y", "z"][usize::try_from(id - 1).unwrap_or(0)], id)),
    }
}

fn leased(draw: &mut Draw, id: i64) -> pb::PutRequest {
    let lease = if draw.one_in(4) { 0 } else { id };
    pb::PutRequest { lease, prev_kv: draw.one_in(2), ..put(draw.of(&KEYS), "v") }
}
