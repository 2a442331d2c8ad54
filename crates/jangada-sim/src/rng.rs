//! One root seed, split into one stream of chance for each concern.
//!
//! The network draws from its own stream, the disks from theirs: a change in how many numbers one of them takes
//! does not change what the others draw, and a shrunk run stays close to the run that it came from.

pub use jangada_raft::rng::Rng;

/// The stream that belongs to a seed and a concern: equal for equal arguments, unrelated otherwise.
///
/// The concern is a short name (`"network"`, `"disk of n2"`); it is part of what a seed means, so names stay.
#[must_use]
pub fn stream(seed: u64, concern: &str) -> Rng {
    // FNV-1a of the name; `Rng::new` mixes what remains alike.
    let name = concern.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = Rng::new(seed).next_u64() ^ name;
    Rng::new(Rng::new(mixed).next_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_and_by_concern() {
        let first = |seed, concern| stream(seed, concern).next_u64();
        assert_eq!(first(1, "network"), first(1, "network"));
        assert_ne!(first(1, "network"), first(2, "network"));
        assert_ne!(first(1, "network"), first(1, "disk"));
    }
}
