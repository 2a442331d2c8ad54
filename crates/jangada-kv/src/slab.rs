//! Storage for entries: fixed places with small numbers, handed out and taken back.
//!
//! Grows by chunks, so that no growth ever moves what is there already: with a million keys, doubling one array
//! would stop the store for tens of milliseconds.

use alloc::vec::Vec;

/// The place of an entry. Places are used again after the entry has gone; they differ between replicas and never
/// leave the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

const CHUNK_BITS: u32 = 10;
const CHUNK: usize = 1 << CHUNK_BITS;

pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<Slot>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Slab<T> {
        Slab { chunks: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> Slot {
        if let Some(slot) = self.free.pop() {
            *self.place(slot) = Some(value);
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let index = self.chunks.len() - 1;
        let chunk = &mut self.chunks[index];
        let slot = u32::try_from(index * CHUNK + chunk.len()).expect("memory ends before 4 billion keys do");
        chunk.push(Some(value));
        Slot(slot)
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> T {
        let value = self.place(slot).take().expect("a slot is removed once");
        self.free.push(slot);
        value
    }

    pub(crate) fn get(&self, slot: Slot) -> &T {
        let (chunk, at) = split(slot);
        self.chunks[chunk][at].as_ref().expect("a slot is used only while it is taken")
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut T {
        self.place(slot).as_mut().expect("a slot is used only while it is taken")
    }

    fn place(&mut self, slot: Slot) -> &mut Option<T> {
        let (chunk, at) = split(slot);
        &mut self.chunks[chunk][at]
    }
}

fn split(slot: Slot) -> (usize, usize) {
    ((slot.0 >> CHUNK_BITS) as usize, slot.0 as usize & (CHUNK - 1))
}
