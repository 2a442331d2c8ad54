//! Keys with a deadline.
//!
//! A deadline is a point of replicated time and part of a key's version, so that setting it makes a revision like any
//! other write. Time passes only in the log: no replica ever removes a key because of its own clock.
//!
//! - The leader asks [`Store::due`] now and then, or at [`Store::next_deadline`], and proposes the request it gets.
//!   When that comes out of the log, each key is looked at again; one that was renewed in the meantime stays.
//! - Between the deadline and that removal the two families of requests see different things. To a string command the
//!   key is gone as soon as the store's clock has reached the deadline, on each replica at the same log entry. To
//!   etcd's operations a key exists until a revision deletes it, because what a revision holds must never change.
//! - `Request::Tick` carries the time on when nothing else is written. Without it the time between the last write
//!   and a restart would not have passed for the deadlines.
//!
//! Leases ([`crate::lease`]) stand in the same index of deadlines, and are ended in the same way.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::command::Expiry;
use crate::entry::{Life, Version};
use crate::lease::LeaseRequest;
use crate::request::Request;
use crate::response::Response;
use crate::slab::Slot;
use crate::store::Store;
use crate::types::{LeaseId, Millis, Revision};

/// Most bytes of keys in one `ExpireKeys`, beyond the first key.
const MAX_DUE_BYTES: usize = 256 << 10;

/// What has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The newest version of a key.
    Key(Slot),
    /// A lease.
    Lease(LeaseId),
}

/// What a command wants a key's deadline to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewDeadline {
    /// Nothing is changed.
    Unchanged,
    /// From now on this one, or none.
    Set(Life),
    /// The key must go: the deadline has passed already.
    Past,
}

impl Store {
    /// The request that a leader proposes to remove what must go at `now`, at most `max_keys` keys, or the keys under one
    /// lease; `None` if there are none. Keys and leases take turns: whichever of them is due first.
    #[must_use]
    pub fn due(&self, now: Millis, max_keys: usize) -> Option<Request> {
        let (_, first) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        match first {
            Due::Key(_) => self.due_keys(now, max_keys),
            Due::Lease(_) => self.due_leases(now, max_keys),
        }
    }

    /// What is due, soonest first; not all, if it is much.
    fn all_due(&self, now: Millis, about: usize) -> impl Iterator<Item = Due> {
        let due = self.deadlines.iter().take_while(move |(deadline, _)| *deadline <= now);
        // Those of the other kind are passed over, but not for long.
        due.map(|(_, due)| *due).take(about.saturating_mul(4))
    }

    fn due_leases(&self, now: Millis, max_keys: usize) -> Option<Request> {
        let mut keys = 0;
        let leases: Vec<LeaseId> = self
            .all_due(now, max_keys)
            .filter_map(|due| match due {
                Due::Lease(lease) => Some(lease),
                Due::Key(_) => None,
            })
            .take_while(|lease| {
                let more = self.leases.key_count(*lease).max(1);
                let fits = keys == 0 || keys + more <= max_keys;
                keys += more;
                fits
            })
            .collect();
        (!leases.is_empty()).then_some(Request::Lease(LeaseRequest::Expire { leases }))
    }

    fn due_keys(&self, now: Millis, max_keys: usize) -> Option<Request> {
        let mut bytes = 0;
        let keys: Vec<Bytes> = self
            .all_due(now, max_keys)
            .filter_map(|due| match due {
                Due::Key(slot) => Some(&self.index.entry(slot).key),
                Due::Lease(_) => None,
            })
            .take_while(|key| {
                let fits = bytes == 0 || bytes + key.len() <= MAX_DUE_BYTES;
                bytes += key.len();
                fits
            })
            .take(max_keys)
            .map(|key| key.to_bytes())
            .collect();
        (!keys.is_empty()).then_some(Request::ExpireKeys { keys })
    }

    /// The soonest deadline of all.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(crate) fn expire_keys(&mut self, keys: &[Bytes]) -> Response {
        let mut expired = 0;
        for key in keys {
            let slot = self.index.find(key);
            if let Some(slot) = slot.filter(|slot| self.newest(*slot).has_expired(self.clock)) {
                self.delete(slot);
                expired += 1;
            }
        }
        Response::Expired { keys: expired }
    }

    /// The newest version, tombstones included.
    pub(crate) fn newest(&self, slot: Slot) -> &Version {
        &self.index.entry(slot).newest
    }

    /// The newest version, if to string commands the key exists.
    pub(crate) fn live(&self, slot: Slot) -> Option<&Version> {
        let newest = self.newest(slot);
        (!newest.is_tombstone() && !newest.has_expired(self.clock)).then_some(newest)
    }

    /// The modification revision of a key that exists to string commands.
    pub(crate) fn live_revision(&self, key: &[u8]) -> Option<Revision> {
        self.live(self.index.find(key)?).map(|version| version.mod_revision)
    }

    /// When a key will be gone, by its own deadline or that of its lease.
    pub(crate) fn end_of(&self, version: &Version) -> Option<Millis> {
        match version.life {
            Life::Endless => None,
            Life::Until(deadline) => Some(deadline),
            Life::Lease(lease) => self.leases.deadline(lease),
        }
    }

    /// What `expiry` means now.
    pub(crate) fn new_deadline(&self, expiry: Expiry) -> NewDeadline {
        let deadline = match expiry {
            Expiry::Keep => return NewDeadline::Unchanged,
            Expiry::Clear => return NewDeadline::Set(Life::Endless),
            Expiry::At(deadline) => deadline,
            Expiry::After(milliseconds) => self.clock + milliseconds,
        };
        if deadline <= self.clock { NewDeadline::Past } else { NewDeadline::Set(Life::Until(deadline)) }
    }
}
