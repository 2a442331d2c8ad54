//! Where things are found again: values by number, and what was worked out before.
//!
//! Hash tables, which this crate forbids where somebody could walk through them in an order that changes from
//! run to run. Nobody can here: what is in them is only looked up.
#![expect(clippy::disallowed_types, reason = "looked up, never iterated over")]

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

/// A hash that is the same in each run, quick for small numbers.
#[derive(Clone, Copy, Default)]
pub(super) struct Mixer(u64);

/// An odd number without a pattern (the golden ratio's fraction).
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Mixer {
    /// Adds a number: the two halves of a 128-bit product, folded, so that each bit of the input reaches all.
    pub(super) fn mix(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number ^ ODD) * u128::from(0xd6e8_feb8_6659_fd93_u64);
        let (low, high) = (product & u128::from(u64::MAX), product >> 64);
        self.0 = u64::try_from(low ^ high).expect("both halves fit").rotate_left(23) ^ number;
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        let mut last = *self;
        last.mix(ODD);
        last.mix(self.0);
        last.0
    }
}

/// The hash of one value.
pub(super) fn hash_of(value: &impl Hash) -> u64 {
    let mut mixer = Mixer::default();
    value.hash(&mut mixer);
    mixer.finish()
}

/// Each value once, under a number: equal numbers mean equal values, and no doubt is left, since values are
/// compared and not only their hashes.
pub(super) struct Interner<T> {
    numbers: HashMap<Rc<T>, u32, BuildHasherDefault<Mixer>>,
    values: Vec<Rc<T>>,
}

impl<T: Eq + Hash> Interner<T> {
    pub(super) fn new() -> Interner<T> {
        Interner { numbers: HashMap::default(), values: Vec::new() }
    }

    /// The value's number, and whether it is a new one.
    pub(super) fn number(&mut self, value: T) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&value) {
            return (*number, false);
        }
        let number = u32::try_from(self.values.len()).expect("fewer values than memory has room for");
        let value = Rc::new(value);
        self.values.push(Rc::clone(&value));
        self.numbers.insert(value, number);
        (number, true)
    }

    pub(super) fn value(&self, number: u32) -> &Rc<T> {
        &self.values[number as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// What was worked out before: two numbers → one.
pub(super) type Memo = HashMap<(u32, u32), u32, BuildHasherDefault<Mixer>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_number() {
        let mut interner = Interner::new();
        assert_eq!(interner.number("a"), (0, true));
        assert_eq!(interner.number("b"), (1, true));
        assert_eq!(interner.number("a"), (0, false));
        assert_eq!((*interner.value(1).as_ref(), interner.len()), ("b", 2));
    }
}
