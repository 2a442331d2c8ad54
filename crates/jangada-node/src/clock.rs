//! Replicated time: how keys can expire by the log alone.
//!
//! Each command carries a [`Stamp`] from its leader. A leader's stamps go on from the last stamp that it has
//! applied, plus the time since it applied it on its own monotonic clock. That sum is never ahead of what the
//! earlier leader's clock would say now, as an entry is applied after it was stamped: a change of leader may
//! let a key live a little longer, never shorter. Wall clocks play no part, and a pause of the process does no
//! harm.

use jangada_raft::types::Time;

use crate::state_machine::Stamp;

/// This server's estimate of replicated time.
#[derive(Clone, Debug, Default)]
pub struct ReplicatedClock {
    /// The latest stamp that moved the estimate, and when it was applied here.
    base: Stamp,
    base_time: Time,
    /// The highest stamp that was given or seen: stamps never go back.
    highest: Stamp,
}

impl ReplicatedClock {
    /// A clock that goes on from `stamp`.
    #[must_use]
    pub fn starting_at(stamp: Stamp, now: Time) -> ReplicatedClock {
        ReplicatedClock { base: stamp, base_time: now, highest: stamp }
    }

    /// What replicated time is now, as far as this server can tell.
    #[must_use]
    pub fn estimate(&self, now: Time) -> Stamp {
        let elapsed = now.since(self.base_time).as_millis();
        let estimate = self.base.0.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX));
        Stamp(estimate.max(self.highest.0))
    }

    /// A stamp for a new command.
    pub fn stamp(&mut self, now: Time) -> Stamp {
        self.highest = self.estimate(now);
        self.highest
    }

    /// A command with this stamp is being applied.
    pub fn applied(&mut self, stamp: Stamp, now: Time) {
        if stamp > self.estimate(now) {
            *self = ReplicatedClock::starting_at(stamp, now);
        }
    }

    /// When, on the local clock, the estimate will reach `stamp`.
    #[must_use]
    pub fn time_of(&self, stamp: Stamp) -> Time {
        let wait = stamp.0.saturating_sub(self.base.0);
        self.base_time + core::time::Duration::from_millis(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn a_new_leader_is_never_ahead_of_the_old_one() {
        let mut old = ReplicatedClock::starting_at(Stamp(0), at(0));
        let stamp = old.stamp(at(1_000));
        // The follower applies the entry 30 ms after it was stamped, on a clock that began later.
        let mut new = ReplicatedClock::starting_at(Stamp(0), at(900));
        new.applied(stamp, at(1_030));
        assert_eq!(new.estimate(at(1_030)), Stamp(1_000));
        assert!(new.estimate(at(5_000)) <= old.estimate(at(5_000)));
    }

    #[test]
    fn stamps_never_go_back() {
        let mut clock = ReplicatedClock::starting_at(Stamp(500), at(0));
        let first = clock.stamp(at(100));
        clock.applied(Stamp(550), at(101));
        assert!(clock.stamp(at(101)) >= first);
    }

    #[test]
    fn the_estimate_reaches_a_stamp_when_it_says() {
        let clock = ReplicatedClock::starting_at(Stamp(500), at(10));
        let when = clock.time_of(Stamp(750));
        assert_eq!(when, at(10) + Duration::from_millis(250));
        assert_eq!(clock.estimate(when), Stamp(750));
    }
}
