//! What the store keeps of a key: its newest version, and where its older ones begin.

use bytes::Bytes;

use crate::small_key::SmallKey;
use crate::types::{KeyValue, LeaseId, Millis, Revision};

/// Accounting: what a key costs beside its key and value bytes. About right, and the same everywhere.
pub(crate) const KEY_OVERHEAD_BYTES: u64 = 176;

/// Accounting: what an old version costs beside its value.
pub(crate) const VERSION_OVERHEAD_BYTES: u64 = 112;

/// A key that exists, or that existed within the kept history.
///
/// Most keys have a single version that is worth keeping, so that one lies right here; the older ones lie in the
/// [`crate::history`], chained from the newest to the oldest.
pub(crate) struct Entry {
    pub(crate) key: SmallKey,
    pub(crate) newest: Version,
    /// The change in the history that made `newest`. It may have been dropped from there since.
    pub(crate) newest_change: ChangeId,
}

/// Names a change for ever: they are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChangeId(pub(crate) u64);

impl ChangeId {
    /// Of a change that is in no history.
    pub(crate) const BEFORE_ALL: ChangeId = ChangeId(0);
}

/// What a change made of a key.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) mod_revision: Revision,
    /// Zero in a tombstone.
    pub(crate) create_revision: Revision,
    /// How many changes since the creation; zero in a tombstone.
    pub(crate) version: u64,
    pub(crate) life: Life,
    /// `None` is a tombstone: the key was deleted.
    pub(crate) value: Option<Bytes>,
}

/// How long a version lasts, if nobody replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// For ever.
    Endless,
    /// Until a deadline of its own.
    Until(Millis),
    /// As long as a lease.
    Lease(LeaseId),
}

impl Version {
    pub(crate) fn tombstone(mod_revision: Revision) -> Version {
        Version {
            mod_revision,
            create_revision: Revision::ZERO,
            version: 0,
            life: Life::Endless,
            value: None,
        }
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// The deadline of its own.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        match self.life {
            Life::Until(deadline) => Some(deadline),
            Life::Endless | Life::Lease(_) => None,
        }
    }

    pub(crate) fn lease(&self) -> Option<LeaseId> {
        match self.life {
            Life::Lease(lease) => Some(lease),
            Life::Endless | Life::Until(_) => None,
        }
    }

    /// Whether its own deadline has come. Never true for a tombstone.
    pub(crate) fn has_expired(&self, clock: Millis) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= clock)
    }

    pub(crate) fn value_bytes(&self) -> u64 {
        self.value.as_ref().map_or(0, |value| value.len() as u64)
    }

    /// As an answer carries it. A tombstone has only key and modification revision, as in etcd's delete events.
    pub(crate) fn key_value(&self, key: &SmallKey, keys_only: bool) -> KeyValue {
        let value = if keys_only { None } else { self.value.clone() };
        KeyValue {
            key: key.to_bytes(),
            value: value.unwrap_or_default(),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            lease: self.lease(),
            deadline: self.deadline(),
        }
    }
}

impl Entry {
    /// The key with its newest version.
    pub(crate) fn key_value(&self) -> KeyValue {
        self.newest.key_value(&self.key, false)
    }

    /// What it adds to [`Store::bytes`](crate::Store::bytes).
    pub(crate) fn bytes(&self) -> u64 {
        KEY_OVERHEAD_BYTES + self.key.len() as u64 + self.newest.value_bytes()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_entry_stays_small() {
        assert_eq!(core::mem::size_of::<super::Entry>(), 104);
    }
}
