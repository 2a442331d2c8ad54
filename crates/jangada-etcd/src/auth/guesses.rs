//! Wrong passwords: counted for each user and address, so that guessing is slow wherever it comes in.
//!
//! A few cost nothing, since people mistype. After each further one that user's passwords are not looked at for a while if
//! they come from that address, and each time for longer. Not of a user wherever passwords come from: who knows a name could
//! keep its user out. Who shares an address with somebody who guesses may have to wait as long as that lasts; tokens and
//! connections that are logged in already are not concerned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::password::Whose;

/// So many wrong passwords cost nothing.
pub(super) const FREE: u32 = 5;
/// The wait after these; each further wrong password doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest wait: whoever has the right password, and shares an address with a program that has an old one, should get in
/// within the time that clients take.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// After so long without a wrong password all is forgiven.
const FORGIVEN: Duration = Duration::from_secs(60);
/// Most users and addresses whose wrong passwords are counted; beyond that the oldest count is dropped. To reach it takes
/// longer than to be forgiven: about a hundred passwords are looked at in a second.
const MOST: usize = 10_000;

/// The wrong passwords of late.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    counts: BTreeMap<Whose, Count>,
    by_age: BTreeSet<(Instant, Whose)>,
    /// How many are looked at just now. A count of none is not kept.
    pub(super) under_way: BTreeMap<Whose, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    last: Instant,
}

impl Count {
    fn wait(self) -> Duration {
        match self.wrong.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(further) => FIRST_WAIT.saturating_mul(1 << further.min(16)).min(LONGEST_WAIT),
        }
    }
}

impl Guesses {
    /// Whether a password may be looked at now.
    pub(super) fn admits(&self, whose: &Whose, now: Instant) -> bool {
        self.counts.get(whose).is_none_or(|count| now >= count.last + count.wait())
    }

    /// The same, and it is looked at from now on until it [ends](Self::ends). Those under way are taken for wrong ones: once
    /// no more are free, one is looked at after the other, so that nobody gains by asking at once.
    pub(super) fn begins(&mut self, whose: &Whose, now: Instant) -> bool {
        let wrong = self.counts.get(whose).map_or(0, |count| count.wrong);
        let under_way = self.under_way.get(whose).copied().unwrap_or(0);
        if !self.admits(whose, now) || (under_way > 0 && wrong.saturating_add(under_way) >= FREE) {
            return false;
        }
        self.under_way.insert(whose.clone(), under_way + 1);
        true
    }

    /// It has been looked at.
    pub(super) fn ends(&mut self, whose: Whose, is_right: bool, now: Instant) {
        if let Some(under_way) = self.under_way.get_mut(&whose) {
            *under_way -= 1;
            if *under_way == 0 {
                self.under_way.remove(&whose);
            }
        }
        if !is_right {
            self.add(whose, now);
        }
    }

    /// One was wrong.
    fn add(&mut self, whose: Whose, now: Instant) {
        while let Some((last, _)) = self.by_age.first()
            && (now.saturating_duration_since(*last) >= FORGIVEN || self.counts.len() >= MOST)
        {
            let (_, oldest) = self.by_age.pop_first().expect("it is there");
            self.counts.remove(&oldest);
        }
        let before = self.counts.get(&whose).copied();
        if let Some(before) = before {
            self.by_age.remove(&(before.last, whose.clone()));
        }
        let wrong = before.map_or(0, |before| before.wrong).saturating_add(1);
        self.by_age.insert((now, whose.clone()));
        self.counts.insert(whose, Count { wrong, last: now });
        debug_assert_eq!(self.counts.len(), self.by_age.len());
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn whose(user: &str, address: [u8; 4]) -> Whose {
        Whose::new(user.as_bytes(), Some(IpAddr::from(address)))
    }

    #[tokio::test]
    async fn guessing_becomes_slow_for_that_user_at_that_address_alone() {
        let (mut guesses, begun) = (Guesses::default(), Instant::now());
        let ana = whose("ana", [10, 0, 0, 1]);
        // A program that asks a hundred times a second for an hour.
        let mut looked_at = 0;
        for hundredth in 0..360_000 {
            let now = begun + Duration::from_millis(10 * hundredth);
            if guesses.admits(&ana, now) {
                looked_at += 1;
                guesses.add(ana.clone(), now);
            }
        }
        assert!((1_200..1_210).contains(&looked_at), "one in three seconds: {looked_at}");
        let then = begun + Duration::from_secs(3_600);
        for other in [whose("bia", [10, 0, 0, 1]), whose("ana", [10, 0, 0, 2])] {
            assert!(guesses.admits(&other, then), "{other:?}");
        }
        assert!(guesses.admits(&ana, then + LONGEST_WAIT), "its user is in soon after it has stopped");
        guesses.add(whose("bia", [10, 0, 0, 1]), then + FORGIVEN);
        assert_eq!(guesses.counts.len(), 1, "and all is forgiven then");
    }

    #[tokio::test]
    async fn there_is_a_bound_to_what_is_remembered() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for number in 0..2 * MOST {
            guesses.add(whose(&number.to_string(), [10, 0, 0, 1]), now + Duration::from_nanos(number as u64));
        }
        assert_eq!((guesses.counts.len(), guesses.by_age.len()), (MOST, MOST));
    }
}
