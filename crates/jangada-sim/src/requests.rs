//! What clients of the key-value store ask for.

use bytes::Bytes;
use jangada_kv::Request;
use jangada_kv::command::{Command, Expiry, Set, SetCondition};
use jangada_kv::request::{
    Compare, CompareOperator, CompareTarget, DeleteRange, Put, RangeRequest, Txn, TxnOp,
};
use jangada_kv::space::Quota;
use jangada_kv::types::{KeyRange, Retention};

use crate::rng::{Dice, Rng};
use crate::workload::Call;

/// How many keys there are.
const KEYS: u64 = 6;
/// How many revisions the store keeps: few, so that compaction happens.
const REVISIONS: u64 = 100;
/// How long keys live that are to expire.
pub(crate) const TTLS_MS: [u64; 3] = [500, 2_000, 2_000];

pub(crate) fn value(call: Call) -> Bytes {
    Bytes::from(format!("c{}.{}", call.client, call.id.0))
}

/// The key that a read is about, if it is about one that expires.
pub(crate) fn mortal_read(request: &Request) -> Option<&Bytes> {
    let key = match request {
        Request::Command(Command::Get { key }) => key,
        Request::Range(range) => match &range.range {
            KeyRange::One(key) => key,
            KeyRange::Span { .. } | KeyRange::From(_) => return None,
        },
        _ => return None,
    };
    key.starts_with(b"t").then_some(key)
}

/// It is about a key that expires.
pub(crate) fn is_mortal(request: &Request) -> bool {
    match request {
        Request::Command(Command::Set(set)) => set.key.starts_with(b"t"),
        Request::ExpireKeys { .. } => true,
        other => mortal_read(other).is_some(),
    }
}

/// The key of a client that expires.
pub(crate) fn mortal(client: usize) -> Bytes {
    Bytes::from(format!("t{client}"))
}

/// All keys without a time to live. Those with one vanish by themselves, which the checkers leave open.
fn immortals() -> KeyRange {
    KeyRange::Span { from: Bytes::from_static(b"k"), to: Bytes::from_static(b"o") }
}

pub(crate) fn key(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("k{}", rng.below(KEYS)))
}

fn counter(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("n{}", rng.below(2)))
}

/// The first request of all.
pub(crate) fn retention() -> Request {
    Request::SetRetention(Retention { revisions: REVISIONS, ..Retention::default() })
}

/// How much the store may hold from now on: a key takes up some two hundred bytes, so not all of them fit.
pub(crate) fn quota(rng: &mut Rng) -> Request {
    Request::SetQuota(Quota { bytes: rng.pick(&[600, 1_000, 1_400]), member: 1 })
}

pub(crate) fn draw(call: Call, rng: &mut Rng, mortals: bool) -> Request {
    match rng.below(if mortals { 25 } else { 21 }) {
        0..5 => Request::Put(Put::new(key(rng), value(call))),
        5 => Request::Put(Put { prev_kv: true, ..Put::new(key(rng), value(call)) }),
        6..8 => Request::Command(Command::Set(Set {
            condition: rng.pick(&[SetCondition::IfMissing, SetCondition::IfPresent]),
            get: rng.chance(500),
            ..Set::new(key(rng), value(call))
        })),
        8 => delete(rng),
        9..11 => Request::Command(Command::Increment { key: counter(rng), by: 1 }),
        11 => compare_and_swap(call, rng),
        12..16 => Request::Range(Box::new(RangeRequest::new(KeyRange::One(key(rng))))),
        16 => Request::Range(Box::new(RangeRequest::new(immortals()))),
        17 => Request::Command(Command::Get { key: counter(rng) }),
        18..21 => Request::Command(Command::Get { key: key(rng) }),
        21 => Request::Command(Command::Set(Set {
            expiry: Expiry::After(rng.pick(&TTLS_MS)),
            ..Set::new(mortal(call.client), value(call))
        })),
        // Such a read sees a key until it is removed, and no clock of the server that answers helps.
        22 => Request::Range(Box::new(RangeRequest::new(KeyRange::One(mortal(call.client))))),
        _ => Request::Command(Command::Get { key: mortal(call.client) }),
    }
}

pub(crate) fn delete(rng: &mut Rng) -> Request {
    Request::DeleteRange(DeleteRange { range: KeyRange::One(key(rng)), prev_kv: true })
}

/// If a key is missing: write it; else: read it and write another, or itself. The others are always the same pair,
/// so that few keys have to be judged together.
fn compare_and_swap(call: Call, rng: &mut Rng) -> Request {
    let pair = (Bytes::from_static(b"k0"), Bytes::from_static(b"k1"));
    let one = key(rng);
    let (first, second) = if rng.chance(300) { pair } else { (one.clone(), one) };
    let range = KeyRange::One(first.clone());
    let put = |key: Bytes| TxnOp::Put(Put::new(key, value(call)));
    Request::Txn(Txn {
        compare: vec![Compare {
            range: range.clone(),
            operator: CompareOperator::Equal,
            target: CompareTarget::Create(0),
        }],
        success: vec![put(first)],
        failure: vec![TxnOp::Range(RangeRequest::new(range)), put(second)],
    })
}
