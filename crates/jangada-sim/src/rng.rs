//! One root seed, split into one stream of chance for each concern.
//!
//! The network draws from its own stream, the disks from theirs: a change in how many numbers one of them takes
//! does not change what the others draw, and a shrunk run stays close to the run that it came from.

use core::time::Duration;

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

/// What the world asks of chance.
pub trait Dice {
    /// A number below `bound`; 0 if the bound is 0.
    fn below(&mut self, bound: u64) -> u64;

    /// True in so many of a thousand cases.
    fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1_000) < u64::from(per_mille)
    }

    /// One of these.
    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap_or(0)]
    }

    /// A duration from `min` to `max`.
    fn duration(&mut self, min: Duration, max: Duration) -> Duration {
        let (min, max) = (nanos(min), nanos(max));
        Duration::from_nanos(min + self.below(max.saturating_sub(min) + 1))
    }
}

impl Dice for Rng {
    fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product maps 64 random bits onto the bound without a division.
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }
}

/// A duration as the number that [`jangada_raft::types::Time`] counts in.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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

    #[test]
    fn dice_stay_inside_their_bounds() {
        let mut rng = stream(1, "dice");
        assert!((0..1_000).all(|_| rng.below(3) < 3));
        assert!((0..1_000).all(|_| !rng.chance(0)));
        assert!((0..1_000).all(|_| rng.chance(1_000)));
        let (min, max) = (Duration::from_millis(1), Duration::from_millis(2));
        assert!((0..1_000).all(|_| (min..=max).contains(&rng.duration(min, max))));
    }
}
