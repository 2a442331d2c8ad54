//! What all connections of a server share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::handle::Handle;
use crate::limits::Limits;
use crate::metrics::Counters;

/// One server's client side. Connections hold a reference to it.
#[derive(Debug)]
pub struct Shared {
    /// The door to the replica.
    pub handle: Handle,
    /// What a client may ask for.
    pub limits: Limits,
    /// What has happened so far.
    pub counters: Counters,
    /// Where clients connect, for `INFO`.
    pub client_addr: String,
    next_client: AtomicU64,
}

impl Shared {
    /// The shared part of a server that `handle` leads to.
    #[must_use]
    pub fn new(handle: Handle, limits: Limits, client_addr: String) -> Shared {
        Shared { handle, limits, counters: Counters::default(), client_addr, next_client: AtomicU64::new(1) }
    }

    /// A number for a new connection, never given twice.
    pub(crate) fn next_client(&self) -> u64 {
        self.next_client.fetch_add(1, Relaxed)
    }
}
