//! Replicated time: how keys can expire by the log alone.
//!
//! Each command carries a [`Stamp`] from its leader. A leader's stamps go on from the last stamp in its log, plus
//! the time since it saw that one, on its own monotonic clock. That sum is never ahead of what the clock of the
//! leader that gave the stamp would say now, as an entry is seen after it was stamped: a change of leader may
//! let a key live a little longer, never shorter. Wall clocks play no part, and a pause of the process does no
//! harm.
//!
//! Never ahead of *the latest* leader's clock, that is: a key's time to live begins by the clock of the leader
//! that wrote it. A server that saw an earlier leader's entries sooner than the present leader did has an
//! estimate ahead of the leader's. It gives it up with the first stamp of that leader that it sees.
//!
//! Time in which nobody leads does not count: nobody can put a deadline off then, so none may come nearer. Whoever hears
//! of a leader again, or becomes one, after a silence takes the silence out of its estimate.
//!
//! Two monotonic clocks do not run equally fast either. So whoever follows begins again at each stamp that it sees,
//! back as well as forth: what it adds by its own clock is the time since the last one, never that of a whole term of
//! office. By the time that a key is gone, all servers together have been too fast by no more than the fastest of
//! them was during that key's life.

use core::time::Duration;

use jangada_raft::types::{Term, Time};

use crate::state_machine::Stamp;

/// This server's estimate of replicated time.
#[derive(Clone, Debug, Default)]
pub struct ReplicatedClock {
    /// The latest stamp that moved the estimate, and when it was seen here.
    base: Stamp,
    base_time: Time,
    /// The highest stamp that was given or seen: stamps never go back.
    highest: Stamp,
    /// Whose clock this is an estimate of: the term of the leader that gave `base`, or our own while we lead.
    term: Term,
    /// That leader is this server: its clock is no estimate, and its own entries tell it nothing.
    own: bool,
}

impl ReplicatedClock {
    /// A clock that goes on from `stamp`, whoever gave it.
    #[must_use]
    pub fn starting_at(stamp: Stamp, now: Time) -> ReplicatedClock {
        ReplicatedClock { base: stamp, base_time: now, highest: stamp, term: Term::ZERO, own: false }
    }

    /// What replicated time is now, as far as this server can tell.
    #[must_use]
    pub fn estimate(&self, now: Time) -> Stamp {
        let elapsed = now.since(self.base_time).as_millis();
        let estimate = self.base.0.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX));
        Stamp(estimate.max(self.highest.0))
    }

    /// A stamp for a new command.
    ///
    /// # Panics
    /// Unless this server's clock is the one that counts: see [`ReplicatedClock::lead`].
    pub fn stamp(&mut self, now: Time) -> Stamp {
        assert!(self.own, "only a leader stamps");
        self.highest = self.estimate(now);
        self.highest
    }

    /// A command that the leader of `term` stamped is in our log.
    pub fn saw(&mut self, stamp: Stamp, term: Term, now: Time) {
        let by_whom_we_follow = term > self.term || (term == self.term && !self.own);
        if by_whom_we_follow || stamp > self.estimate(now) {
            let own = self.own && term <= self.term;
            let term = term.max(self.term);
            *self = ReplicatedClock { base: stamp, base_time: now, highest: stamp, term, own };
        }
    }

    /// The state was replaced by one whose last stamp is this one. Who gave it is not known, so that the next
    /// leader's stamp counts; but what we stamped ourselves since we lead does not go back.
    pub fn jumped_to(&mut self, stamp: Stamp, leads: Term, now: Time) {
        if self.leads(leads) {
            self.saw(stamp, Term::ZERO, now);
        } else {
            *self = ReplicatedClock::starting_at(stamp, now);
        }
    }

    /// Is this the clock by which this server leads in `term`?
    #[must_use]
    pub fn leads(&self, term: Term) -> bool {
        self.own && self.term == term
    }

    /// From here on this server is the leader of `term`, and its clock the one that counts. It has seen all
    /// stamps of its log.
    pub fn lead(&mut self, term: Term) {
        assert!(self.term <= term, "a leader's log knows of no later term");
        (self.term, self.own) = (term, true);
    }

    /// Nobody has led for so long until now: replicated time has stood still.
    pub fn stood_still(&mut self, silence: Duration, now: Time) {
        self.base_time = (self.base_time + silence).min(now);
        let elapsed = u64::try_from(now.since(self.base_time).as_millis()).unwrap_or(u64::MAX);
        if self.base.0.saturating_add(elapsed) < self.highest.0 {
            // Whoever slept while it led, and stamped once more before it knew, goes on from there, not up to there.
            (self.base, self.base_time) = (self.highest, now);
        }
    }

    /// When, on the local clock, the estimate will reach `stamp`.
    #[must_use]
    pub fn time_of(&self, stamp: Stamp) -> Time {
        let wait = stamp.0.saturating_sub(self.base.0);
        self.base_time + Duration::from_millis(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn a_new_leader_is_never_ahead_of_the_old_one() {
        let mut old = ReplicatedClock::starting_at(Stamp(0), at(0));
        old.lead(Term(1));
        let stamp = old.stamp(at(1_000));
        // The follower applies the entry 30 ms after it was stamped, on a clock that began later.
        let mut new = ReplicatedClock::starting_at(Stamp(0), at(900));
        new.saw(stamp, Term(1), at(1_030));
        assert_eq!(new.estimate(at(1_030)), Stamp(1_000));
        assert!(new.estimate(at(5_000)) <= old.estimate(at(5_000)));
    }

    #[test]
    fn who_saw_the_old_leader_sooner_than_the_new_one_did_gives_its_lead_up() {
        let (mut quick, mut slow) = (ReplicatedClock::default(), ReplicatedClock::default());
        quick.saw(Stamp(1_000), Term(1), at(1_000));
        // The next leader was asleep: it sees the same entry two seconds later.
        slow.saw(Stamp(1_000), Term(1), at(3_000));
        slow.lead(Term(2));
        let stamp = slow.stamp(at(3_010));
        assert!(quick.estimate(at(3_010)) > stamp);
        quick.saw(stamp, Term(2), at(3_011));
        assert!(quick.estimate(at(9_000)) <= slow.estimate(at(9_000)));
    }

    #[test]
    fn who_follows_for_long_with_a_fast_clock_is_not_ahead_of_its_leader() {
        // An hour in one term; the follower's clock runs one hundredth faster than the leader's.
        let fast = |ms: u64| at(ms + ms / 100);
        let (mut leader, mut follower) = (ReplicatedClock::default(), ReplicatedClock::default());
        leader.lead(Term(1));
        for ms in (0..=3_600_000).step_by(5_000) {
            follower.saw(leader.stamp(at(ms)), Term(1), fast(ms + 2));
        }
        follower.lead(Term(2));
        // A key that was written last, for five seconds, is there for 4,950 ms.
        let deadline = Stamp(3_600_000 + 5_000);
        assert!(follower.estimate(fast(3_600_000 + 4_949)) < deadline);
    }

    #[test]
    fn the_last_entries_of_a_dead_leader_count_too() {
        // Nothing was written for an hour, then something that this server holds and has not applied.
        let mut clock = ReplicatedClock::default();
        clock.saw(Stamp(1_000), Term(1), at(1_000));
        let fast = |ms: u64| at(ms + ms / 100);
        clock.saw(Stamp(3_600_000), Term(1), fast(3_600_500));
        clock.lead(Term(2));
        assert_eq!(clock.estimate(fast(3_600_500)), Stamp(3_600_000));
    }

    #[test]
    fn a_leader_that_is_deposed_believes_its_successor() {
        let mut clock = ReplicatedClock::default();
        clock.lead(Term(3));
        clock.stamp(at(9_000));
        clock.saw(Stamp(5_000), Term(4), at(9_100));
        assert!(!clock.leads(Term(4)));
        assert_eq!(clock.estimate(at(9_200)), Stamp(5_100));
        clock.saw(Stamp(5_050), Term(4), at(9_200));
        assert_eq!(clock.estimate(at(9_200)), Stamp(5_050));
    }

    #[test]
    fn a_leaders_clock_does_not_wait_for_its_own_entries() {
        let mut clock = ReplicatedClock::default();
        clock.lead(Term(3));
        let stamp = clock.stamp(at(1_000));
        clock.saw(stamp, Term(3), at(1_500));
        assert_eq!(clock.estimate(at(2_000)), Stamp(2_000));
    }

    #[test]
    fn a_leader_that_loads_its_state_late_does_not_go_back() {
        let mut leader = ReplicatedClock::default();
        leader.lead(Term(3));
        let stamp = leader.stamp(at(1_000));
        leader.jumped_to(Stamp(5), Term(3), at(1_100));
        assert!(leader.stamp(at(1_100)) > stamp);
        leader.jumped_to(Stamp(9_000), Term(3), at(1_200));
        assert!(leader.leads(Term(3)));
        assert_eq!(leader.stamp(at(1_200)), Stamp(9_000));
    }

    #[test]
    fn a_time_in_which_nobody_leads_does_not_count() {
        let mut clock = ReplicatedClock::default();
        clock.saw(Stamp(1_000), Term(1), at(1_000));
        clock.stood_still(Duration::from_secs(5), at(7_000));
        assert_eq!(clock.estimate(at(7_000)), Stamp(2_000));
        // What was seen in the middle of the silence is as if seen at its end.
        clock.saw(Stamp(2_500), Term(1), at(9_000));
        clock.stood_still(Duration::from_secs(5), at(10_000));
        assert_eq!(clock.estimate(at(10_000)), Stamp(2_500));
    }

    #[test]
    fn after_a_silence_time_goes_on_from_the_last_stamp() {
        let mut clock = ReplicatedClock::default();
        clock.lead(Term(1));
        // It stamps after a sleep of nine seconds, then hears that somebody else has led since then.
        let stamp = clock.stamp(at(10_000));
        clock.stood_still(Duration::from_secs(9), at(10_001));
        assert_eq!(clock.estimate(at(11_001)), Stamp(stamp.0 + 1_000));
    }

    #[test]
    fn stamps_never_go_back() {
        let mut clock = ReplicatedClock::starting_at(Stamp(500), at(0));
        clock.lead(Term(1));
        let first = clock.stamp(at(100));
        clock.saw(Stamp(550), Term::ZERO, at(101));
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
