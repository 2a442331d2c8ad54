//! A store that begins with given keys: restoring from another system's snapshot.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::entry::{Life, Version};
use crate::restore::{Restore, RestoreError};
use crate::snapshot::{FORMAT, Header, KeyRecord};
use crate::store::Store;
use crate::types::{Millis, Retention, Revision};

/// A key as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedKey {
    /// The key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// The revision of its creation.
    pub create_revision: Revision,
    /// The revision of its latest change.
    pub mod_revision: Revision,
    /// How many changes it had seen since it was created.
    pub version: u64,
}

impl Store {
    /// A store at `revision` with these keys, of which everything older is forgotten. Nobody has a lease in it, and nothing
    /// a deadline.
    ///
    /// # Errors
    /// If the keys cannot have come to be like that: a key stands there twice, or its numbers do not fit together.
    pub fn import(revision: Revision, mut keys: Vec<ImportedKey>) -> Result<Store, RestoreError> {
        keys.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        // What the revision itself has done is told behind the rest, as in a snapshot.
        let (last, before): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.mod_revision == revision);
        let header = Header {
            format: FORMAT,
            clock: Millis::ZERO,
            revision,
            floor: revision,
            retention: Retention::default(),
        };
        Restore::import(header, before.into_iter().map(record), last.into_iter().map(record))
    }
}

fn record(key: ImportedKey) -> KeyRecord {
    let ImportedKey { key, value, create_revision, mod_revision, version } = key;
    // The store's own copy, so that the file that it came from can go.
    let value = Some(Bytes::copy_from_slice(&value));
    KeyRecord { key, version: Version { mod_revision, create_revision, version, life: Life::Endless, value } }
}
