//! Whether the operations of a txn get in each other's way: no key may be written twice, or written and deleted.
//!
//! Both branches of a nested txn are looked at, since which one will be taken is not known yet; but they exclude each
//! other, so what one does cannot get in the way of the other.

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Bound;

use crate::request::TxnOp;
use crate::response::Error;
use crate::types::KeyRange;

pub(crate) fn check_duplicates(ops: &[TxnOp]) -> Result<(), Error> {
    touched_by(ops).map(|_| ())
}

/// What some operations may write and delete.
#[derive(Default)]
struct Touched<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Intervals<'a>,
}

fn touched_by(ops: &[TxnOp]) -> Result<Touched<'_>, Error> {
    let mut all = Touched::default();
    for op in ops {
        match op {
            TxnOp::Range(_) => {}
            TxnOp::Put(put) => all.add_put(&put.key)?,
            TxnOp::DeleteRange(delete) => all.add_delete(Interval::of(&delete.range))?,
            TxnOp::Txn(nested) => {
                let mut either = touched_by(&nested.success)?;
                let failure = touched_by(&nested.failure)?;
                either.puts.extend(failure.puts);
                failure.deletes.iter().for_each(|interval| either.deletes.add(interval));
                // First look at everything, then add: within `either`, a put may lie in a delete of the other branch.
                either.puts.iter().try_for_each(|key| all.refuse_put(key))?;
                either.deletes.iter().try_for_each(|interval| all.refuse_delete(interval))?;
                all.puts.extend(either.puts);
                either.deletes.iter().for_each(|interval| all.deletes.add(interval));
            }
        }
    }
    Ok(all)
}

impl<'a> Touched<'a> {
    fn add_put(&mut self, key: &'a [u8]) -> Result<(), Error> {
        self.refuse_put(key)?;
        self.puts.insert(key);
        Ok(())
    }

    fn add_delete(&mut self, interval: Interval<'a>) -> Result<(), Error> {
        self.refuse_delete(interval)?;
        self.deletes.add(interval);
        Ok(())
    }

    fn refuse_put(&self, key: &[u8]) -> Result<(), Error> {
        let clash = self.puts.contains(key) || self.deletes.contain(key);
        if clash { Err(Error::DuplicateKey) } else { Ok(()) }
    }

    fn refuse_delete(&self, interval: Interval<'_>) -> Result<(), Error> {
        let next = self.puts.range::<[u8], _>((Bound::Included(interval.from), Bound::Unbounded)).next();
        let clash = next.is_some_and(|key| interval.end.reaches(key));
        if clash { Err(Error::DuplicateKey) } else { Ok(()) }
    }
}

/// The keys from `from` up to the end.
#[derive(Clone, Copy)]
struct Interval<'a> {
    from: &'a [u8],
    end: End<'a>,
}

/// Where an interval ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End<'a> {
    Before(&'a [u8]),
    After(&'a [u8]),
    Never,
}

impl<'a> End<'a> {
    /// Whether a key that is not before the interval belongs to it.
    fn reaches(self, key: &[u8]) -> bool {
        match self {
            End::Before(to) => key < to,
            End::After(last) => key <= last,
            End::Never => true,
        }
    }

    fn later(self, other: End<'a>) -> End<'a> {
        match (self, other) {
            (End::Never, _) | (_, End::Never) => End::Never,
            (End::Before(a), End::Before(b)) => End::Before(a.max(b)),
            (End::After(a), End::After(b)) => End::After(a.max(b)),
            (End::Before(to), End::After(last)) | (End::After(last), End::Before(to)) => {
                if last < to {
                    End::Before(to)
                } else {
                    End::After(last)
                }
            }
        }
    }
}

impl<'a> Interval<'a> {
    fn of(range: &'a KeyRange) -> Interval<'a> {
        match range {
            KeyRange::One(key) => Interval { from: key, end: End::After(key) },
            KeyRange::Span { from, to } => Interval { from, end: End::Before(to) },
            KeyRange::From(from) => Interval { from, end: End::Never },
        }
    }
}

/// A set of keys as intervals that do not overlap, by their first key.
#[derive(Default)]
struct Intervals<'a>(BTreeMap<&'a [u8], End<'a>>);

impl<'a> Intervals<'a> {
    fn iter(&self) -> impl Iterator<Item = Interval<'a>> {
        self.0.iter().map(|(from, end)| Interval { from, end: *end })
    }

    fn contain(&self, key: &[u8]) -> bool {
        self.at_or_before(key).is_some_and(|interval| interval.end.reaches(key))
    }

    fn add(&mut self, interval: Interval<'a>) {
        if !interval.end.reaches(interval.from) {
            return; // There is no key in it.
        }
        let mut merged = interval;
        if let Some(before) = self.at_or_before(interval.from).filter(|old| old.end.reaches(interval.from)) {
            merged = Interval { from: before.from, end: before.end.later(interval.end) };
        }
        // Each interval is swallowed at most once, so all additions together take n log n.
        while let Some(inside) = self.first_from(merged.from).filter(|old| merged.end.reaches(old.from)) {
            merged.end = merged.end.later(inside.end);
            self.0.remove(inside.from);
        }
        self.0.insert(merged.from, merged.end);
    }

    fn at_or_before(&self, key: &[u8]) -> Option<Interval<'a>> {
        let mut before = self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        before.next_back().map(|(from, end)| Interval { from, end: *end })
    }

    fn first_from(&self, key: &[u8]) -> Option<Interval<'a>> {
        let mut after = self.0.range::<[u8], _>((Bound::Included(key), Bound::Unbounded));
        after.next().map(|(from, end)| Interval { from, end: *end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, Strategy, prop_oneof, proptest};

    /// `a`, `aa`, `b`, `bb` … `j`, `jj`.
    fn all_keys() -> Vec<Bytes> {
        (b'a'..=b'j').flat_map(|byte| [1, 2].map(|length| Bytes::from(alloc::vec![byte; length]))).collect()
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        let key = || (0..20_usize).prop_map(|at| all_keys()[at].clone());
        prop_oneof![
            4 => key().prop_map(KeyRange::One),
            8 => (key(), key()).prop_map(|(from, to)| KeyRange::Span { from, to }),
            1 => key().prop_map(KeyRange::From),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn a_set_of_intervals_holds_the_keys_of_each(ranges in vec(range(), 0..8)) {
            let mut intervals = Intervals::default();
            for range in &ranges {
                intervals.add(Interval::of(range));
            }
            for key in all_keys() {
                assert_eq!(intervals.contain(&key), ranges.iter().any(|range| range.contains(&key)), "{key:?}");
            }
            let parts: Vec<Interval<'_>> = intervals.iter().collect();
            assert!(parts.windows(2).all(|pair| !pair[0].end.reaches(pair[1].from)), "they do not overlap");
        }
    }
}
