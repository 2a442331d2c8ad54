//! Which of the operations on their way are done: one bit for the place of each.

/// A set of places below `WORDS * 64`. Two words are enough for nearly every history and quick to compare; more are for
/// those where much comes at once, as when a server wakes up in front of all that was asked meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Places<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Places<WORDS> {
    /// How many there can be.
    pub(crate) const COUNT: usize = WORDS * 64;
    pub(crate) const NONE: Places<WORDS> = Places([0; WORDS]);

    pub(crate) fn has(self, place: u16) -> bool {
        self.0[usize::from(place) / 64] >> (place % 64) & 1 == 1
    }

    pub(crate) fn with(mut self, place: u16) -> Places<WORDS> {
        self.0[usize::from(place) / 64] |= 1 << (place % 64);
        self
    }

    pub(crate) fn without(mut self, place: u16) -> Places<WORDS> {
        self.0[usize::from(place) / 64] &= !(1 << (place % 64));
        self
    }

    /// The lowest place that is not in it.
    pub(crate) fn first_free(self) -> Option<u16> {
        (0..Self::COUNT as u16).find(|place| !self.has(*place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_all_words_are_put_in_and_taken_out() {
        let mut places = Places::<3>::NONE;
        for place in 0..192 {
            assert_eq!(places.first_free(), Some(place));
            places = places.with(place);
        }
        assert_eq!(places.first_free(), None);
        let places = places.without(130).without(64);
        assert!(places.has(129) && !places.has(130) && places.has(191) && !places.has(64));
        assert_eq!(places.first_free(), Some(64));
    }
}
