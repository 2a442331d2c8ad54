//! Sets of keys: what the permissions of a user's roles come to together.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::types::KeyRange;

/// Keys from the first one up to, and without, the second; all that follow, if there is none.
type Interval = (Bytes, Option<Bytes>);

/// Keys, as intervals in order that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet(Vec<Interval>);

impl KeySet {
    /// All keys of these ranges.
    pub(crate) fn of(ranges: impl Iterator<Item = KeyRange>) -> KeySet {
        let mut intervals: Vec<Interval> = ranges.map(|range| interval(&range)).filter(is_some).collect();
        intervals.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
        for (from, to) in intervals {
            match merged.last_mut() {
                // The last one has no end: whatever comes after it is part of it.
                Some((_, None)) => break,
                Some((_, Some(end))) if *end >= from => match to {
                    Some(to) if to <= *end => {}
                    to => *merged.last_mut().map(|(_, end)| end).expect("it is just being looked at") = to,
                },
                Some(_) | None => merged.push((from, to)),
            }
        }
        KeySet(merged)
    }

    /// Whether each key of the range is in the set. A range that ends before it begins has no keys; but who asks for it
    /// must be allowed its first one, so that nobody learns anything without a permission.
    pub(crate) fn covers(&self, range: &KeyRange) -> bool {
        let mut wanted = interval(range);
        if !is_some(&wanted) {
            wanted = interval(&KeyRange::One(wanted.0));
        }
        let (from, to) = wanted;
        // The only one that can hold the first key.
        let at = self.0.partition_point(|(start, _)| *start <= from);
        let Some((_, end)) = at.checked_sub(1).map(|at| &self.0[at]) else { return false };
        match (end, to) {
            (None, _) => true,
            (Some(end), Some(to)) => to <= *end,
            (Some(_), None) => false,
        }
    }
}

fn interval(range: &KeyRange) -> Interval {
    match range {
        KeyRange::One(key) => (key.clone(), Some(after(key))),
        KeyRange::Span { from, to } => (from.clone(), Some(to.clone())),
        KeyRange::From(from) => (from.clone(), None),
    }
}

fn is_some((from, to): &Interval) -> bool {
    to.as_ref().is_none_or(|to| from < to)
}

/// The key right behind a key.
fn after(key: &Bytes) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &'static str) -> KeyRange {
        KeyRange::One(Bytes::from_static(key.as_bytes()))
    }

    fn span(from: &'static str, to: &'static str) -> KeyRange {
        KeyRange::Span { from: from.into(), to: to.into() }
    }

    fn from(key: &'static str) -> KeyRange {
        KeyRange::From(key.into())
    }

    fn set(ranges: &[KeyRange]) -> KeySet {
        KeySet::of(ranges.iter().cloned())
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let keys = set(&[span("d", "f"), span("a", "c"), span("c", "d"), one("f"), span("b", "c")]);
        assert_eq!(keys.0.len(), 1);
        assert!(keys.covers(&span("a", "f")) && keys.covers(&one("f")) && keys.covers(&span("b", "f\0")));
        assert!(!keys.covers(&span("a", "g")) && !keys.covers(&one("fa")) && !keys.covers(&from("a")));
    }

    #[test]
    fn a_gap_is_not_covered() {
        let keys = set(&[span("a", "c"), span("d", "f")]);
        assert!(!keys.covers(&span("b", "e")) && !keys.covers(&one("c")) && keys.covers(&one("bz")));
        assert!(!keys.covers(&one("")) && !set(&[]).covers(&one("a")));
    }

    #[test]
    fn what_has_no_end_covers_all_that_follows() {
        let keys = set(&[from("m"), span("x", "z"), one("a")]);
        assert!(keys.covers(&from("m")) && keys.covers(&from("n")) && keys.covers(&span("x", "zz")));
        assert!(!keys.covers(&from("l")) && keys.covers(&one("a")) && !keys.covers(&one("b")));
        assert!(set(&[KeyRange::all()]).covers(&KeyRange::all()));
    }

    #[test]
    fn a_range_without_keys_permits_nothing_and_is_not_free() {
        assert!(!set(&[span("b", "a")]).covers(&one("a")));
        let keys = set(&[span("a", "c")]);
        assert!(keys.covers(&span("b", "a")) && !keys.covers(&span("x", "a")));
    }
}
