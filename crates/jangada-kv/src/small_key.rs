//! A key as the store keeps it: short ones without a heap allocation, long ones shared.
//!
//! Each key stands twice in memory, in its entry and in the ordered index. Keys of up to 22 bytes, nearly all keys in
//! practice, lie inside these 24 bytes, so that a search in the ordered index compares bytes that are already in
//! the cache line; longer ones are one reference-counted allocation.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::cmp::Ordering;

use bytes::Bytes;

const INLINE: usize = 22;

/// A key. Equality and order are those of its bytes.
#[derive(Clone)]
pub(crate) enum SmallKey {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Arc<[u8]>),
}

impl SmallKey {
    pub(crate) fn new(key: &[u8]) -> SmallKey {
        if key.len() > INLINE {
            return SmallKey::Shared(key.into());
        }
        let mut bytes = [0; INLINE];
        bytes[..key.len()].copy_from_slice(key);
        SmallKey::Inline { length: key.len() as u8, bytes }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            SmallKey::Inline { length, bytes } => &bytes[..usize::from(*length)],
            SmallKey::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_slice())
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }
}

impl PartialEq for SmallKey {
    fn eq(&self, other: &SmallKey) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for SmallKey {}

impl PartialOrd for SmallKey {
    fn partial_cmp(&self, other: &SmallKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SmallKey {
    fn cmp(&self, other: &SmallKey) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl Borrow<[u8]> for SmallKey {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_bytes_and_their_order_at_all_lengths() {
        assert_eq!(core::mem::size_of::<SmallKey>(), 24);
        let long = [7u8; 40];
        for a in 0..long.len() {
            let key = SmallKey::new(&long[..a]);
            assert_eq!(key.as_slice(), &long[..a]);
            assert_eq!(key.len(), a);
            for b in 0..long.len() {
                assert_eq!(key.cmp(&SmallKey::new(&long[..b])), long[..a].cmp(&long[..b]));
            }
        }
    }
}
