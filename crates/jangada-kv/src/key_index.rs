//! Where the entries lie, and the two ways to find them: by key order and by hash.
//!
//! - `by_key` answers ranges, and gives snapshots their order.
//! - `by_hash` answers look-ups of single keys, several times faster than a search by key, and gives SCAN an order
//!   that fits into a number (see [`crate::scan`]).
//!
//! Neither ever stops to grow, and chosen keys cannot make them slow.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use crate::entry::Entry;
use crate::hash::hash as hash_bytes;
use crate::hash_index::HashIndex;
use crate::slab::{Slab, Slot};
use crate::small_key::SmallKey;
use crate::types::KeyRange;

/// In `by_hash`: several keys have this hash; look into `crowded` or `by_key` instead.
const CROWDED: Slot = Slot(u32::MAX);

pub(crate) struct KeyIndex {
    entries: Slab<Entry>,
    by_key: BTreeMap<SmallKey, Slot>,
    by_hash: HashIndex,
    crowded: BTreeSet<(u32, Slot)>,
}

/// The hash of a key. With 32 bits, of a million keys about two hundred share theirs with another.
fn hash(key: &[u8]) -> u32 {
    (hash_bytes(key) >> 32) as u32
}

/// Keys in order, on their way into the index.
pub(crate) struct SortedEntries(Vec<(SmallKey, Slot)>);

impl SortedEntries {
    pub(crate) fn new() -> SortedEntries {
        SortedEntries(Vec::new())
    }
}

impl KeyIndex {
    pub(crate) fn new() -> KeyIndex {
        KeyIndex {
            entries: Slab::new(),
            by_key: BTreeMap::new(),
            by_hash: HashIndex::new(),
            crowded: BTreeSet::new(),
        }
    }

    pub(crate) fn entry(&self, slot: Slot) -> &Entry {
        self.entries.get(slot)
    }

    pub(crate) fn entry_mut(&mut self, slot: Slot) -> &mut Entry {
        self.entries.get_mut(slot)
    }

    /// The entry of `key`, tombstones included.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Slot> {
        match self.by_hash.get(hash(key))? {
            CROWDED => self.by_key.get(key).copied(),
            slot => (self.entries.get(slot).key.as_slice() == key).then_some(slot),
        }
    }

    /// Adds an entry whose key is not there yet.
    pub(crate) fn insert(&mut self, entry: Entry) -> Slot {
        let hash = hash(entry.key.as_slice());
        let key = entry.key.clone();
        let slot = self.entries.insert(entry);
        let replaced = self.by_key.insert(key, slot);
        assert!(replaced.is_none(), "a key has one entry");
        if let Some(other) = self.by_hash.insert(hash, slot) {
            self.by_hash.insert(hash, CROWDED);
            self.crowded.insert((hash, slot));
            if other != CROWDED {
                self.crowded.insert((hash, other));
            }
        }
        slot
    }

    /// Takes an entry in and keeps its key for [`KeyIndex::add_sorted`]; until then it cannot be found. `None` if its
    /// key does not follow the one before.
    pub(crate) fn push_sorted(&mut self, sorted: &mut SortedEntries, entry: Entry) -> Option<Slot> {
        if sorted.0.last().is_some_and(|(last, _)| *last >= entry.key) {
            return None;
        }
        let key = entry.key.clone();
        let slot = self.entries.insert(entry);
        sorted.0.push((key, slot));
        Some(slot)
    }

    /// Fills the empty index all at once: faster than one by one, and more compact.
    pub(crate) fn add_sorted(&mut self, sorted: SortedEntries) {
        assert!(self.by_key.is_empty(), "only an empty index can be filled at once");
        let mut hashes: Vec<(u32, Slot)> =
            sorted.0.iter().map(|(key, slot)| (hash(key.as_slice()), *slot)).collect();
        hashes.sort_unstable();
        for pair in hashes.windows(2) {
            if pair[0].0 == pair[1].0 {
                self.crowded.extend(pair.iter().copied());
            }
        }
        // Of each run of equal hashes one stays, marked.
        hashes.dedup_by(|later, kept| {
            let is_equal = later.0 == kept.0;
            if is_equal {
                kept.1 = CROWDED;
            }
            is_equal
        });
        self.by_hash = HashIndex::from_sorted(&hashes);
        self.by_key = sorted.0.into_iter().collect();
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Entry {
        let entry = self.entries.remove(slot);
        let hash = hash(entry.key.as_slice());
        self.by_key.remove(entry.key.as_slice());
        // Once crowded, a hash stays so until its last key has gone: rare, and still right.
        if self.crowded.remove(&(hash, slot)) {
            if self.crowded.range((hash, Slot(0))..=(hash, CROWDED)).next().is_none() {
                self.by_hash.remove(hash);
            }
        } else {
            self.by_hash.remove(hash);
        }
        if self.by_key.is_empty() {
            self.entries = Slab::new(); // After a flush the places of a million keys should not stay.
        }
        entry
    }

    /// The entries of a range in key order, tombstones included.
    pub(crate) fn range<'a>(&'a self, range: &'a KeyRange) -> impl Iterator<Item = Slot> + 'a {
        let (from, to): (&[u8], Bound<&[u8]>) = match range {
            KeyRange::One(key) => (key, Bound::Included(key)),
            // An empty span must not reach the map: it panics when the end lies before the start.
            KeyRange::Span { from, to } if from < to => (from, Bound::Excluded(to)),
            KeyRange::Span { from, to: _ } => (from, Bound::Excluded(from)),
            KeyRange::From(from) => (from, Bound::Unbounded),
        };
        self.by_key.range::<[u8], _>((Bound::Included(from), to)).map(|(_, slot)| *slot)
    }

    /// The entries from `first` on in key order, tombstones included.
    pub(crate) fn from(&self, first: &[u8]) -> impl Iterator<Item = Slot> {
        self.by_key.range::<[u8], _>((Bound::Included(first), Bound::Unbounded)).map(|(_, slot)| *slot)
    }

    /// The entries that follow `key` in key order, or all of them.
    pub(crate) fn after(&self, key: Option<&SmallKey>) -> impl Iterator<Item = Slot> {
        let start = key.map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_slice()));
        self.by_key.range::<[u8], _>((start, Bound::Unbounded)).map(|(_, slot)| *slot)
    }

    /// The entries from hash `from` on in hash order, and by key where hashes are equal.
    pub(crate) fn in_hash_order(&self, from: u32) -> impl Iterator<Item = (u32, Slot)> {
        self.by_hash.range_from(from).flat_map(|(hash, slot)| {
            let crowded = self.crowded.range((hash, Slot(0))..=(hash, CROWDED));
            let alone = (slot != CROWDED).then_some((hash, slot));
            crowded.copied().chain(alone)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{ChangeId, Version};
    use crate::types::Revision;
    use alloc::format;
    use alloc::string::String;

    /// Pairs of keys whose hashes are equal, found by trying.
    fn colliding_pairs() -> Vec<[String; 2]> {
        let mut seen = BTreeMap::new();
        let mut pairs = Vec::new();
        for i in 0..200_000 {
            let key = format!("k{i}");
            if let Some(other) = seen.insert(hash(key.as_bytes()), key.clone()) {
                pairs.push([other, key]);
            }
        }
        assert!(pairs.len() > 1, "among so many there are some");
        pairs
    }

    fn entry(key: &str) -> Entry {
        let newest = Version::tombstone(Revision::FIRST);
        Entry { key: SmallKey::new(key.as_bytes()), newest, newest_change: ChangeId::BEFORE_ALL }
    }

    fn check(index: &KeyIndex, there: &[&String], gone: &[&String]) {
        for key in there {
            let slot = index.find(key.as_bytes()).expect("it is there");
            assert_eq!(index.entry(slot).key.as_slice(), key.as_bytes());
        }
        for key in gone {
            assert_eq!(index.find(key.as_bytes()), None);
        }
        let in_hash_order: Vec<_> = index.in_hash_order(0).collect();
        assert_eq!(in_hash_order.len(), there.len(), "each once");
        for (hash_there, slot) in in_hash_order {
            assert_eq!(hash_there, hash(index.entry(slot).key.as_slice()));
        }
    }

    #[test]
    fn keys_with_equal_hashes_are_told_apart() {
        for [a, b] in colliding_pairs() {
            let mut index = KeyIndex::new();
            let slot_a = index.insert(entry(&a));
            check(&index, &[&a], &[&b]);
            let slot_b = index.insert(entry(&b));
            check(&index, &[&a, &b], &[]);
            index.remove(slot_a);
            check(&index, &[&b], &[&a]);
            let slot_a = index.insert(entry(&a));
            index.remove(slot_b);
            index.remove(slot_a);
            check(&index, &[], &[&a, &b]);
            index.insert(entry(&b));
            check(&index, &[&b], &[&a]);

            let mut sorted = SortedEntries::new();
            let mut index = KeyIndex::new();
            let (first, second) = (a.as_str().min(&b), a.as_str().max(&b));
            assert!(index.push_sorted(&mut sorted, entry(first)).is_some());
            assert!(index.push_sorted(&mut sorted, entry(first)).is_none());
            assert!(index.push_sorted(&mut sorted, entry(second)).is_some());
            index.add_sorted(sorted);
            check(&index, &[&a, &b], &[]);
        }
    }
}
