//! What is counted while the clients ask.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// So many different errors are told apart; what comes after is "others".
const MAX_ERRORS: usize = 16;
/// The longest latency that is told exactly, in microseconds: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// Latencies, errors and gaps of one run.
#[derive(Debug)]
pub(super) struct Tally {
    /// Of what was answered, in microseconds.
    pub(super) latencies: Histogram<u64>,
    /// Since somebody last asked for [`Tally::window`].
    recent: Histogram<u64>,
    /// Reads of keys that are not there.
    pub(super) absent: u64,
    /// How often which error came.
    pub(super) errors: BTreeMap<String, u64>,
    /// The longest time in which nothing was answered.
    pub(super) longest_gap: Duration,
    last_answer: Instant,
}

impl Tally {
    /// Counts from now.
    pub(super) fn new(now: Instant) -> Tally {
        let empty =
            || Histogram::new_with_max(LONGEST_MICROS, 3).expect("the bounds are constants that it takes");
        Tally {
            latencies: empty(),
            recent: empty(),
            absent: 0,
            errors: BTreeMap::new(),
            longest_gap: Duration::ZERO,
            last_answer: now,
        }
    }

    /// Something was answered.
    pub(super) fn answered(&mut self, now: Instant, latency: Duration, found: bool) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_MICROS);
        self.latencies.saturating_record(micros);
        self.recent.saturating_record(micros);
        self.absent += u64::from(!found);
        self.close_gap(now);
    }

    /// Something went wrong.
    pub(super) fn failed(&mut self, why: &str) {
        let known = self.errors.len() < MAX_ERRORS || self.errors.contains_key(why);
        *self.errors.entry(if known { why } else { "others" }.to_owned()).or_default() += 1;
    }

    /// Ends the time since the last answer: at the next one, and when the run is over.
    pub(super) fn close_gap(&mut self, now: Instant) {
        self.longest_gap = self.longest_gap.max(now.saturating_duration_since(self.last_answer));
        self.last_answer = now;
    }

    /// How many were answered since the last call, and their 99th percentile in microseconds.
    pub(super) fn window(&mut self) -> (u64, u64) {
        let seen = (self.recent.len(), self.recent.value_at_quantile(0.99));
        self.recent.reset();
        seen
    }

    /// How many errors there were.
    pub(super) fn failures(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_those_between_answers_and_at_the_end() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut tally = Tally::new(begun);
        tally.answered(at(5), Duration::from_millis(5), true);
        tally.answered(at(405), Duration::from_millis(1), false);
        tally.failed("no leader");
        tally.close_gap(at(500));
        assert_eq!((tally.longest_gap, tally.absent, tally.failures()), (Duration::from_millis(400), 1, 1));
        tally.close_gap(at(1_500));
        assert_eq!(tally.longest_gap, Duration::from_secs(1), "nothing was answered until the end");
    }

    #[test]
    fn a_window_forgets_what_it_told_and_the_whole_does_not() {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        for micros in 1..=100 {
            tally.answered(begun, Duration::from_micros(micros), true);
        }
        assert_eq!(tally.window(), (100, 99));
        assert_eq!(tally.window(), (0, 0));
        assert_eq!(tally.latencies.len(), 100);
    }

    #[test]
    fn kinds_of_errors_are_bounded() {
        let mut tally = Tally::new(Instant::now());
        (0..1_000).for_each(|number| tally.failed(&format!("error {number}")));
        assert_eq!(tally.failures(), 1_000);
        assert_eq!(tally.errors.len(), MAX_ERRORS + 1);
        assert_eq!(tally.errors["others"], 1_000 - MAX_ERRORS as u64);
    }
}
