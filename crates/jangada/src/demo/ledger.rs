//! What the clients were told: which writes were acknowledged, which have an unknown outcome, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::session::{Effect, Session};
use crate::client::wire::Reply;
use crate::failure::Failure;

/// Keys asked for at once.
const BATCH: usize = 500;
/// How long one server may take to answer one batch of reads.
const PATIENCE: Duration = Duration::from_secs(10);

/// The account of all clients together.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    acknowledged: BTreeMap<String, String>,
    unknown: BTreeSet<String>,
    times: Vec<Instant>,
}

impl Ledger {
    /// A write was acknowledged.
    pub fn acknowledged(&self, key: String, value: String) {
        let mut entries = self.entries();
        entries.acknowledged.insert(key, value);
        entries.times.push(Instant::now());
    }

    /// A write may have happened or not.
    pub fn unknown(&self, key: String) {
        self.entries().unknown.insert(key);
    }

    /// How many writes were acknowledged.
    pub fn count(&self) -> usize {
        self.entries().acknowledged.len()
    }

    /// How many outcomes are unknown.
    pub fn unknown_count(&self) -> usize {
        self.entries().unknown.len()
    }

    /// Acknowledgements since `moment`.
    pub fn count_since(&self, moment: Instant) -> usize {
        self.entries().times.iter().rev().take_while(|time| **time > moment).count()
    }

    /// The longest time without any acknowledgement that ended after `moment`.
    pub fn longest_gap_after(&self, moment: Instant) -> Duration {
        let mut times = self.entries().times.clone();
        times.sort();
        let pairs = times.windows(2).filter(|pair| pair[1] > moment);
        pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Reads every acknowledged key through one server, and gives back those that are not as acknowledged.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn missing_at(&self, address: &str) -> Result<Vec<String>, Failure> {
        let expected: Vec<(String, String)> =
            self.entries().acknowledged.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut session = Session::new(vec![address.to_owned()], PATIENCE).quiet();
        let mut missing = Vec::new();
        for batch in expected.chunks(BATCH) {
            let mut command: Vec<&[u8]> = vec![b"MGET"];
            command.extend(batch.iter().map(|(key, _)| key.as_bytes()));
            let Reply::Array(Some(values)) = session.call(&command, Effect::Read)? else {
                return Err(Failure::refused(format!("{address} answered MGET with something else")));
            };
            for (index, (key, value)) in batch.iter().enumerate() {
                match values.get(index) {
                    Some(Reply::Bulk(Some(found))) if found == value.as_bytes() => {}
                    _ => missing.push(key.clone()),
                }
            }
        }
        Ok(missing)
    }

    /// A client that panicked leaves whole entries behind.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_that_ended_later() {
        let ledger = Ledger::default();
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        ledger.entries().times = [0, 500, 510, 700, 720].map(at).to_vec();
        assert_eq!(ledger.longest_gap_after(at(505)), Duration::from_millis(190));
        assert_eq!(ledger.longest_gap_after(at(400)), Duration::from_millis(500));
        assert_eq!(ledger.longest_gap_after(at(720)), Duration::ZERO);
        assert_eq!(ledger.count_since(at(505)), 3);
    }
}
