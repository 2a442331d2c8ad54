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
//! Leases can join by giving a version the name of a lease in place of a deadline, and the lease a deadline in the same
//! ordered index.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::command::Expiry;
use crate::entry::Version;
use crate::request::Request;
use crate::response::Response;
use crate::slab::Slot;
use crate::store::Store;
use crate::types::{Millis, Revision};

/// Most bytes of keys in one `ExpireKeys`, beyond the first key.
const MAX_DUE_BYTES: usize = 256 << 10;

/// What a command wants a key's deadline to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewDeadline {
    /// Nothing is changed.
    Unchanged,
    /// From now on this one, or none.
    Set(Option<Millis>),
    /// The key must go: the deadline has passed already.
    Past,
}

impl Store {
    /// The request that a leader proposes to remove keys whose deadline has come at `now`, at most `max_keys` of
    /// them; `None` if there are none.
    #[must_use]
    pub fn due(&self, now: Millis, max_keys: usize) -> Option<Request> {
        let mut bytes = 0;
        let keys: Vec<Bytes> = self
            .deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= now)
            .map(|(_, slot)| &self.index.entry(*slot).key)
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

    /// What `expiry` means now.
    pub(crate) fn new_deadline(&self, expiry: Expiry) -> NewDeadline {
        let deadline = match expiry {
            Expiry::Keep => return NewDeadline::Unchanged,
            Expiry::Clear => return NewDeadline::Set(None),
            Expiry::At(deadline) => deadline,
            Expiry::After(milliseconds) => self.clock + milliseconds,
        };
        if deadline <= self.clock { NewDeadline::Past } else { NewDeadline::Set(Some(deadline)) }
    }
}
