//! What is measured where bytes are moved: on the sockets and at the disk. One set per server; a scrape reads it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

pub use jangada_etcd::Histogram;

/// The counters. All begin at zero with the server.
#[derive(Debug, Default)]
pub struct Meters {
    /// Bytes from clients that speak HTTP/2.
    pub grpc_received: AtomicU64,
    /// Bytes to them.
    pub grpc_sent: AtomicU64,
    /// What is measured of each other server. Whoever counts keeps what it counts in: nobody waits for the lock.
    peers: Mutex<BTreeMap<u64, Arc<PeerMeters>>>,
    /// Writes to the log, each with its sync.
    pub log_writes: Histogram,
}

/// What is measured of one other server.
#[derive(Debug, Default)]
pub struct PeerMeters {
    /// Bytes from it.
    pub received: AtomicU64,
    /// Bytes to it.
    pub sent: AtomicU64,
    /// How long it took to answer a heartbeat, the way there and back included.
    pub round_trips: Histogram,
}

/// So many are told apart; a cluster of more would be none.
const MOST_PEERS: usize = 64;

impl Meters {
    /// What is measured of the server with this number.
    #[must_use]
    pub fn of_peer(&self, id: u64) -> Arc<PeerMeters> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        match peers.len() < MOST_PEERS || peers.contains_key(&id) {
            true => Arc::clone(peers.entry(id).or_default()),
            false => Arc::default(),
        }
    }

    /// All other servers that were met, by number.
    pub(crate) fn peers(&self) -> Vec<(u64, Arc<PeerMeters>)> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.iter().map(|(id, meters)| (*id, Arc::clone(meters))).collect()
    }
}
