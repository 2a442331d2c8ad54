//! A 64-bit hash of bytes: for finding keys, for the order of SCAN, and for comparing replicas.
//!
//! The result is the same on every machine and in every version. It is not secret: whoever chooses keys can make
//! them collide, which costs the index a little speed and nothing else (see [`crate::key_index`]).

/// Odd, and with bits well spread: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Absorbs bytes and numbers, in order.
#[derive(Clone, Copy)]
pub(crate) struct Hasher(u64);

impl Hasher {
    pub(crate) fn new() -> Hasher {
        Hasher(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn number(&mut self, number: u64) {
        // The 128-bit product mixes each bit of the input into the middle bits; folding brings both halves back.
        let product = u128::from(self.0 ^ number) * u128::from(MULTIPLIER);
        self.0 = (product as u64 ^ (product >> 64) as u64).rotate_left(23).wrapping_add(number);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.number(u64::from_le_bytes(word.try_into().expect("chunks have 8 bytes")));
        }
        let rest = words.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.number(u64::from_le_bytes(last));
        }
        self.number(bytes.len() as u64);
    }

    /// The finalizer of MurmurHash3 (A. Appleby, public domain): every input bit reaches every output bit.
    pub(crate) fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}

/// The hash of one byte string.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Hasher::new();
    hasher.bytes(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::format;

    #[test]
    fn similar_keys_spread_over_the_whole_range() {
        let hashes: BTreeSet<u64> = (0..100_000).map(|i| hash(format!("key:{i:012}").as_bytes())).collect();
        assert_eq!(hashes.len(), 100_000);
        let mut buckets = [0u32; 256];
        for hash in hashes {
            buckets[(hash >> 56) as usize] += 1;
        }
        // 390 expected, standard deviation 20.
        assert!(buckets.iter().all(|count| (290..490).contains(count)), "{buckets:?}");
    }
}
