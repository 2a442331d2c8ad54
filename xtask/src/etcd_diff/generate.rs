//! Sequences made of a seed: few keys, so that requests meet; odd numbers, so that bounds are met too.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::TargetUnion;
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::step::{Step, bytes};

const KEYS: [&str; 10] = ["a", "b", "c", "d", "aa", "ab", "b\0", "\0", "z", ""];
const VALUES: [&str; 5] = ["", "1", "2", "10", "x"];
const STEPS: u64 = 40;

/// The sequence of a seed, from revision `base` on.
pub(crate) fn sequence(seed: u64, base: i64) -> Vec<Step> {
    let mut draw = Draw { state: seed, base, done: 0 };
    (0..STEPS)
        .map(|done| {
            draw.done = i64::try_from(done).unwrap_or(i64::MAX);
            draw.step()
        })
        .collect()
}

/// SplitMix64, and where the sequence is.
pub(crate) struct Draw {
    state: u64,
    base: i64,
    done: i64,
}

impl Draw {
    /// For sequences of another kind.
    pub(crate) fn of_seed(seed: u64) -> Draw {
        Draw { state: seed, base: 1, done: 0 }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.below(words.len() as u64)).unwrap_or(0)]
    }

    /// A key; the empty one rarely.
    fn key(&mut self) -> &'static str {
        match self.of(&KEYS) {
            "" if !self.one_in(4) => "a",
            key => key,
        }
    }

    fn end(&mut self) -> &'static str {
        if self.one_in(2) { "" } else { self.of(&KEYS) }
    }

    /// A revision about where the store may be.
    fn revision(&mut self) -> i64 {
        let span = u64::try_from(self.done + 3).unwrap_or(1);
        self.base + i64::try_from(self.below(span)).unwrap_or(0) - 1
    }

    /// A number for comparisons and bounds.
    fn number(&mut self) -> i64 {
        match self.below(4) {
            0 => self.revision(),
            1 => -1,
            _ => i64::try_from(self.below(4)).unwrap_or(0),
        }
    }

    fn step(&mut self) -> Step {
        match self.below(20) {
            0..7 => Step::Put(self.put()),
            7..10 => Step::Delete(self.delete()),
            10..14 => Step::Range(self.range()),
            14..19 => Step::Txn(self.txn(0)),
            _ if self.one_in(3) => Step::Compact(pb::CompactionRequest {
                revision: self.revision() - 3,
                physical: self.one_in(2),
            }),
            _ => Step::Put(self.put()),
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        let ignore_value = self.one_in(8);
        let value = if ignore_value && !self.one_in(4) { "" } else { self.of(&VALUES) };
        pb::PutRequest {
            key: bytes(self.key()),
            value: bytes(value),
            lease: if self.one_in(15) { self.number() } else { 0 },
            prev_kv: self.one_in(3),
            ignore_value,
            ignore_lease: self.one_in(8),
        }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        pb::DeleteRangeRequest {
            key: bytes(self.key()),
            range_end: bytes(self.end()),
            prev_kv: self.one_in(2),
        }
    }

    fn range(&mut self) -> pb::RangeRequest {
        let bound = |draw: &mut Draw| if draw.one_in(8) { draw.number() } else { 0 };
        let sort_order = i32::try_from(self.below(3)).unwrap_or(0);
        // Without an order etcd cuts first and sorts then; we do not, on purpose.
        let targets = if sort_order == 0 { 1 } else { 5 };
        pb::RangeRequest {
            key: bytes(self.key()),
            range_end: bytes(self.end()),
            limit: if self.one_in(3) { self.number() } else { 0 },
            revision: if self.one_in(3) { self.revision() } else { 0 },
            sort_order,
            sort_target: i32::try_from(self.below(targets)).unwrap_or(0),
            serializable: self.one_in(4),
            keys_only: self.one_in(4),
            count_only: self.one_in(6),
            min_mod_revision: bound(self),
            max_mod_revision: bound(self),
            min_create_revision: bound(self),
            max_create_revision: bound(self),
        }
    }

    fn txn(&mut self, depth: u64) -> pb::TxnRequest {
        let compare = (0..self.below(3)).map(|_| self.compare()).collect();
        let success = (0..self.below(4)).map(|_| self.op(depth)).collect();
        let failure = (0..self.below(4)).map(|_| self.op(depth)).collect();
        pb::TxnRequest { compare, success, failure }
    }

    fn op(&mut self, depth: u64) -> pb::RequestOp {
        let request = match self.below(12) {
            0..4 => Op::RequestPut(self.put()),
            4..6 => {
                let mut delete = self.delete();
                // Of a put in a range up to the end, or in what a later txn deletes, etcd sees nothing; we do, on
                // purpose.
                if delete.range_end.as_ref() == [0] {
                    delete.range_end = bytes("z");
                }
                if depth > 0 {
                    (delete.key, delete.range_end) = (bytes("n"), bytes("o"));
                }
                Op::RequestDeleteRange(delete)
            }
            10 if self.one_in(10) => return pb::RequestOp { request: None },
            11 if depth < 3 => Op::RequestTxn(self.txn(depth + 1)),
            // In what order etcd puts what is equal is left to chance.
            _ => Op::RequestRange(pb::RangeRequest { sort_target: 0, ..self.range() }),
        };
        pb::RequestOp { request: Some(request) }
    }

    fn compare(&mut self) -> pb::Compare {
        let target = self.below(5);
        let number = self.number();
        let named = if self.one_in(12) { self.below(5) } else { target };
        let with = match named {
            0 => TargetUnion::Version(number),
            1 => TargetUnion::CreateRevision(number),
            2 => TargetUnion::ModRevision(number),
            3 => TargetUnion::Value(bytes(self.of(&VALUES))),
            _ => TargetUnion::Lease(number),
        };
        pb::Compare {
            result: i32::try_from(self.below(4)).unwrap_or(0),
            target: i32::try_from(target).unwrap_or(0),
            key: bytes(self.key()),
            range_end: bytes(self.end()),
            target_union: (!self.one_in(12)).then_some(with),
        }
    }
}
