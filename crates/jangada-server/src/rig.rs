//! What a laboratory holds its servers by: one clock, a look at all events, and a hand on the network.
//!
//! A server in production has none of this. The servers of `jangada lab` run in one process and share it, so that
//! their events can be laid side by side, and so that links can be cut, lossy or slow on real sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jangada_node::event::Record;
use jangada_node::kv_machine::KvMachine;
use jangada_node::replica::Replica;
use jangada_raft::config::Config;
use jangada_raft::types::NodeId;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Sees every record of a server, on its replica thread: it must return at once.
pub type Tap = Arc<dyn Fn(&Record) + Send + Sync>;

/// What the servers of one laboratory share.
#[derive(Clone)]
pub struct Rig {
    /// All of them count their time from here.
    pub epoch: Instant,
    /// Sees everything that happens.
    pub tap: Tap,
    /// What befalls the messages between them.
    pub weather: Weather,
    /// The core's settings, where they are not the server's own; who it is stays the server's business.
    pub raft: Option<Config>,
}

impl fmt::Debug for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rig").field("weather", &self.weather).finish_non_exhaustive()
    }
}

/// What only a laboratory asks of a server, from within its process.
#[derive(Debug)]
pub enum RigRequest {
    /// Shows the replica to somebody.
    Look(Look),
    /// The server stands for election now, without waiting for its timeout.
    Campaign,
    /// It takes a snapshot, however short its log is.
    TakeSnapshot,
}

/// Somebody who wants to see a replica, on its own thread.
pub struct Look(pub(crate) Box<Sight>);

/// What is done with the replica that is seen.
pub(crate) type Sight = dyn FnOnce(&Replica<KvMachine>) + Send;

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

/// The network between the servers of a laboratory: which links are cut, lossy or slow.
#[derive(Clone, Debug, Default)]
pub struct Weather(Arc<Sky>);

#[derive(Debug, Default)]
struct Sky {
    climate: Mutex<Climate>,
    /// Whoever waits for a link to be mended is told of each change.
    changed: Notify,
}

/// From one server to another.
pub type OneWay = (NodeId, NodeId);

#[derive(Debug, Default)]
struct Climate {
    cut: BTreeSet<OneWay>,
    /// Messages lost of a hundred; where a link has no figure of its own, that of all links counts.
    loss: Gauge<u8>,
    delay: Gauge<Duration>,
}

/// A figure for all links, and others for some.
#[derive(Debug, Default)]
struct Gauge<T> {
    everywhere: T,
    links: BTreeMap<OneWay, T>,
}

impl<T: Copy + Default> Gauge<T> {
    fn of(&self, link: OneWay) -> T {
        self.links.get(&link).copied().unwrap_or(self.everywhere)
    }

    fn set(&mut self, link: Option<OneWay>, value: T) {
        match link {
            Some(link) => {
                self.links.insert(link, value);
            }
            None => *self = Gauge { everywhere: value, links: BTreeMap::new() },
        }
    }
}

impl Weather {
    /// Fair: nothing is lost, nothing is held up.
    #[must_use]
    pub fn fair() -> Weather {
        Weather::default()
    }

    fn climate(&self) -> MutexGuard<'_, Climate> {
        // Each change is one assignment: a thread that panicked left nothing half done.
        self.0.climate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing arrives on this link.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        if from != to {
            self.climate().cut.insert((from, to));
        }
    }

    /// This link is as new.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        let mut climate = self.climate();
        climate.cut.remove(&(from, to));
        climate.loss.links.remove(&(from, to));
        climate.delay.links.remove(&(from, to));
        drop(climate);
        self.0.changed.notify_waiters();
    }

    /// All links are as new.
    pub fn heal_all(&self) {
        *self.climate() = Climate::default();
        self.0.changed.notify_waiters();
    }

    /// Something is mended after this was called.
    pub(crate) fn mended(&self) -> Notified<'_> {
        // It hears of everything that happens from its making on, not only once somebody waits for it.
        self.0.changed.notified()
    }

    /// So many of a hundred messages are lost, on this link or on all.
    pub fn lose(&self, link: Option<OneWay>, percent: u8) {
        self.climate().loss.set(link, percent.min(100));
    }

    /// Messages take so much longer, on this link or on all.
    pub fn slow(&self, link: Option<OneWay>, delay: Duration) {
        self.climate().delay.set(link, delay);
    }

    /// Whether nothing arrives on this link.
    #[must_use]
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.climate().cut.contains(&(from, to))
    }

    /// The links that are cut, in order.
    #[must_use]
    pub fn cuts(&self) -> Vec<OneWay> {
        self.climate().cut.iter().copied().collect()
    }

    /// What all links have that have no figures of their own: messages lost of a hundred, and how much longer each takes.
    #[must_use]
    pub fn everywhere(&self) -> (u8, Duration) {
        let climate = self.climate();
        (climate.loss.everywhere, climate.delay.everywhere)
    }

    /// Messages lost of a hundred on this link, if it is not cut.
    #[must_use]
    pub fn loss(&self, link: OneWay) -> u8 {
        self.climate().loss.of(link)
    }

    /// How much longer messages take on this link.
    #[must_use]
    pub fn delay(&self, link: OneWay) -> Duration {
        self.climate().delay.of(link)
    }

    /// Whether a message that is sent now gets lost.
    pub(crate) fn loses(&self, from: NodeId, to: NodeId) -> bool {
        let loss = {
            let climate = self.climate();
            if climate.cut.contains(&(from, to)) {
                return true;
            }
            climate.loss.of((from, to))
        };
        loss > 0 && crate::random::u64() % 100 < u64::from(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn a_link_has_its_own_weather_or_that_of_all() {
        let weather = Weather::fair();
        assert!(!weather.loses(A, B));
        weather.lose(None, 100);
        weather.lose(Some((A, B)), 0);
        assert!(!weather.loses(A, B));
        assert!(weather.loses(B, A));
        weather.slow(None, Duration::from_millis(5));
        assert_eq!(weather.delay((A, B)), Duration::from_millis(5));
        weather.heal_all();
        assert_eq!((weather.loss((B, A)), weather.delay((A, B))), (0, Duration::ZERO));
    }

    #[test]
    fn a_cut_has_a_direction() {
        let weather = Weather::fair();
        weather.cut(A, B);
        weather.cut(A, A);
        assert!(weather.loses(A, B) && !weather.loses(B, A) && !weather.loses(A, A));
        assert_eq!(weather.cuts(), [(A, B)]);
        weather.heal(A, B);
        assert!(!weather.is_cut(A, B));
    }
}
