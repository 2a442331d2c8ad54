//! The core's own random numbers: SplitMix64 (Steele, Lea, Flood, 2014).
//!
//! Written out here because a seed must mean the same run for ever, on each platform and with each compiler.
//! Good enough to spread election timeouts; not for secrets.

use core::time::Duration;

/// A source of random numbers that is plain data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The source that belongs to this seed.
    #[must_use]
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    /// The next number; each of the 2^64 is equally likely.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A duration between the two, ends included.
    pub fn duration_between(&mut self, min: Duration, max: Duration) -> Duration {
        assert!(min <= max, "a range has its smaller end first");
        let span = u64::try_from((max - min).as_nanos()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1);
        // The high half of a 128-bit product maps 64 random bits onto the span without a division; the bias
        // is below one in 2^32 for any span that a timeout has.
        let offset = (u128::from(self.next_u64()) * (u128::from(span) + 1)) >> 64;
        min + Duration::from_nanos(u64::try_from(offset).expect("the high half of the product fits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_numbers_for_ever() {
        // The reference values of the algorithm for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(rng.next_u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn durations_stay_inside_their_range_and_reach_both_ends() {
        let (min, max) = (Duration::from_nanos(10), Duration::from_nanos(13));
        let mut rng = Rng::new(7);
        let mut seen = [false; 4];
        for _ in 0..200 {
            let drawn = rng.duration_between(min, max);
            assert!(drawn >= min && drawn <= max);
            seen[(drawn - min).as_nanos() as usize] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(rng.duration_between(min, min), min);
    }
}
