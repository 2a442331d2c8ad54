//! A network that delays, loses, repeats, reorders and cuts.

use core::time::Duration;
use std::collections::BTreeSet;

use jangada_raft::message::Message;
use jangada_raft::rng::Rng;
use jangada_raft::types::NodeId;

/// Chances are per thousand messages.
pub(crate) struct Network {
    /// Pairs (from, to) whose messages are lost.
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    pub(crate) delay: (Duration, Duration),
    pub(crate) lose: u64,
    pub(crate) repeat: u64,
    /// Messages that take up to ten times `linger`.
    pub(crate) straggle: u64,
    pub(crate) linger: Duration,
    /// A script's own wish: messages for which it says `false` are lost.
    pub(crate) lets_through: Box<dyn Fn(&Message) -> bool>,
}

impl Network {
    pub(crate) fn new() -> Network {
        Network {
            cut: BTreeSet::new(),
            delay: (Duration::from_millis(1), Duration::from_millis(3)),
            lose: 0,
            repeat: 0,
            straggle: 0,
            linger: Duration::from_millis(300),
            lets_through: Box::new(|_| true),
        }
    }

    /// When a message arrives: never, once, or twice.
    pub(crate) fn delays(&self, rng: &mut Rng, message: &Message) -> Vec<Duration> {
        if self.cut.contains(&(message.from, message.to)) || !(self.lets_through)(message) {
            return Vec::new();
        }
        let mut delays = Vec::new();
        if !chance(rng, self.lose) {
            delays.push(self.delay(rng));
        }
        if chance(rng, self.repeat) {
            delays.push(self.delay(rng) + rng.duration_between(Duration::ZERO, self.linger));
        }
        delays
    }

    fn delay(&self, rng: &mut Rng) -> Duration {
        let base = rng.duration_between(self.delay.0, self.delay.1);
        if chance(rng, self.straggle) {
            return base + rng.duration_between(Duration::ZERO, self.linger);
        }
        base
    }

    /// Nothing between the two groups passes any more, either way.
    pub(crate) fn part(&mut self, one: &[NodeId], other: &[NodeId]) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            self.cut.insert((a, b));
            self.cut.insert((b, a));
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.lets_through = Box::new(|_| true);
    }
}

/// True so many times in a thousand.
pub(crate) fn chance(rng: &mut Rng, per_mille: u64) -> bool {
    per_mille > 0 && rng.next_u64() % 1_000 < per_mille
}
