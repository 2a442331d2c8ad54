//! From the hash of a key to the slot of its entry, in the order of the hashes.
//!
//! Hashes are spread evenly, so in a sorted array one can tell about where each must stand. This is a sorted array cut
//! into pages: a look-up finds the page in a small table that stays in the cache, guesses the place in the page, and
//! walks the last few steps. With a million keys that is one or two cache misses where a B-tree has seven levels.
//!
//! Unlike a hash table it never stops to grow (a full page is cut in two), chosen hashes cannot make it slow, and it has
//! an order, which [`crate::scan`] needs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::slab::Slot;

/// How many cells a page has. A cut costs one page, a look-up walks about the root of it.
const PAGE: usize = 256;

/// A map from 32-bit hashes to slots.
pub(crate) struct HashIndex {
    /// What a look-up must know of the pages before it touches one.
    heads: Vec<Head>,
    #[allow(clippy::vec_box)] // A new page moves the pointers behind it, not the pages.
    pages: Vec<Box<Page>>,
}

#[derive(Clone, Copy)]
struct Head {
    /// The smallest hash that belongs to the page; for the first page that is 0.
    first: u32,
    /// How many cells are in use.
    length: u32,
}

/// Sorted by hash, those in use first.
type Page = [Cell; PAGE];

/// Hash and slot side by side, so that whoever finds the one has fetched the other.
#[derive(Clone, Copy)]
struct Cell {
    hash: u32,
    slot: Slot,
}

/// Where a hash stands or would stand.
struct Place {
    page: usize,
    at: usize,
    is_taken: bool,
}

impl HashIndex {
    pub(crate) fn new() -> HashIndex {
        let mut index = HashIndex { heads: Vec::new(), pages: Vec::new() };
        index.insert_page(0, 0, &[]);
        index
    }

    /// From pairs in the order of their hashes, each hash once.
    pub(crate) fn from_sorted(pairs: &[(u32, Slot)]) -> HashIndex {
        let cells: Vec<Cell> = pairs.iter().map(|(hash, slot)| Cell { hash: *hash, slot: *slot }).collect();
        if cells.is_empty() {
            return HashIndex::new();
        }
        let mut index = HashIndex { heads: Vec::new(), pages: Vec::new() };
        // Three quarters full, about what random insertion leads to.
        for (page, part) in cells.chunks(PAGE / 4 * 3).enumerate() {
            index.insert_page(page, if page == 0 { 0 } else { part[0].hash }, part);
        }
        index
    }

    pub(crate) fn get(&self, hash: u32) -> Option<Slot> {
        let place = self.place(hash);
        place.is_taken.then(|| self.pages[place.page][place.at].slot)
    }

    /// Sets the slot of a hash and returns the one it had.
    pub(crate) fn insert(&mut self, hash: u32, slot: Slot) -> Option<Slot> {
        let mut place = self.place(hash);
        if place.is_taken {
            let cell = &mut self.pages[place.page][place.at];
            return Some(core::mem::replace(&mut cell.slot, slot));
        }
        if self.length(place.page) == PAGE {
            self.cut(place.page);
            place = self.place(hash);
        }
        let length = self.length(place.page);
        let page = &mut self.pages[place.page];
        page.copy_within(place.at..length, place.at + 1);
        page[place.at] = Cell { hash, slot };
        self.heads[place.page].length += 1;
        None
    }

    pub(crate) fn remove(&mut self, hash: u32) {
        let place = self.place(hash);
        if !place.is_taken {
            return;
        }
        let length = self.length(place.page);
        self.pages[place.page].copy_within(place.at + 1..length, place.at);
        self.heads[place.page].length -= 1;
        // The page before takes over what belonged to an empty one; the first page has none before it.
        if length == 1 && place.page > 0 {
            self.heads.remove(place.page);
            self.pages.remove(place.page);
        }
    }

    /// All pairs from `hash` on, in order.
    pub(crate) fn range_from(&self, hash: u32) -> impl Iterator<Item = (u32, Slot)> {
        let place = self.place(hash);
        let cells = (place.page..self.pages.len()).flat_map(|page| self.used(page));
        cells.skip(place.at).map(|cell| (cell.hash, cell.slot))
    }

    fn place(&self, hash: u32) -> Place {
        let page = self.heads.partition_point(|head| head.first <= hash) - 1;
        let first = u64::from(self.heads[page].first);
        let end = self.heads.get(page + 1).map_or(1 << 32, |next| u64::from(next.first));
        let cells = self.used(page);
        let guess = (u64::from(hash) - first) * cells.len() as u64 / (end - first);
        let mut at = (guess as usize).min(cells.len());
        while at > 0 && cells[at - 1].hash >= hash {
            at -= 1;
        }
        while at < cells.len() && cells[at].hash < hash {
            at += 1;
        }
        Place { page, at, is_taken: cells.get(at).is_some_and(|cell| cell.hash == hash) }
    }

    fn length(&self, page: usize) -> usize {
        self.heads[page].length as usize
    }

    fn used(&self, page: usize) -> &[Cell] {
        &self.pages[page][..self.length(page)]
    }

    /// Moves the upper half of a full page into a new one.
    fn cut(&mut self, page: usize) {
        let mut upper = [UNUSED; PAGE / 2];
        upper.copy_from_slice(&self.pages[page][PAGE / 2..]);
        self.heads[page].length = PAGE as u32 / 2;
        self.insert_page(page + 1, upper[0].hash, &upper);
    }

    fn insert_page(&mut self, page: usize, first: u32, cells: &[Cell]) {
        let mut new = Box::new([UNUSED; PAGE]);
        new[..cells.len()].copy_from_slice(cells);
        self.heads.insert(page, Head { first, length: cells.len() as u32 });
        self.pages.insert(page, new);
    }
}

const UNUSED: Cell = Cell { hash: 0, slot: Slot(0) };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash;
    use alloc::collections::BTreeMap;

    /// Even hashes, and ones that all lie close together.
    #[test]
    fn is_a_sorted_map() {
        for (seed, mask) in [(1, u32::MAX), (2, 0xfff), (3, 0xffff)] {
            let mut index = HashIndex::new();
            let mut model = BTreeMap::new();
            for i in 0..60_000_u64 {
                let random = hash(&(i * seed).to_le_bytes());
                let key = random as u32 & mask;
                if random >> 62 == 0 {
                    index.remove(key);
                    model.remove(&key);
                } else {
                    let slot = Slot(i as u32);
                    assert_eq!(index.insert(key, slot), model.insert(key, slot));
                }
                assert_eq!(index.get(key ^ 1), model.get(&(key ^ 1)).copied());
                if i % 1_000 == 0 {
                    assert!(index.range_from(key).eq(model.range(key..).map(|(hash, slot)| (*hash, *slot))));
                }
            }
            let pairs: Vec<(u32, Slot)> = model.clone().into_iter().collect();
            assert!(HashIndex::from_sorted(&pairs).range_from(0).eq(pairs.iter().copied()));
            for hash in model.into_keys() {
                index.remove(hash);
            }
            assert_eq!((index.pages.len(), index.range_from(0).count()), (1, 0));
        }
    }
}
