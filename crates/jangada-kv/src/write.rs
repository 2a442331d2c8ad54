//! The one way in which a key changes. Everything that writes or deletes comes through here.
//!
//! All changes of one request make one revision together; the first of them opens it. A key that one request changes
//! twice has changed once: nobody can ever see the state between.

use bytes::Bytes;

use crate::entry::{Entry, Life, Version};
use crate::expiry::Due;
use crate::slab::Slot;
use crate::small_key::SmallKey;
use crate::store::Store;
use crate::types::Revision;

impl Store {
    /// Writes `value`. It must be the store's own copy, so that the buffer the request came in can go.
    ///
    /// `slot` is the key's entry, if it has one. The key lives on with `continues`, else it is created now.
    pub(crate) fn write(
        &mut self,
        key: &[u8],
        slot: Option<Slot>,
        continues: bool,
        life: Life,
        value: Bytes,
    ) {
        let revision = self.open_revision();
        let newest = slot.map(|slot| self.newest(slot)).filter(|_| continues);
        let (create_revision, version) = newest.map_or((revision, 1), |newest| {
            assert!(!newest.is_tombstone(), "a deleted key cannot live on");
            let counted_already = newest.mod_revision == revision;
            (newest.create_revision, newest.version + u64::from(!counted_already))
        });
        let version = Version { mod_revision: revision, create_revision, version, life, value: Some(value) };
        self.install(key, slot, version);
    }

    /// Deletes a key that is not deleted yet.
    pub(crate) fn delete(&mut self, slot: Slot) {
        assert!(!self.newest(slot).is_tombstone(), "a key is deleted once");
        let tombstone = Version::tombstone(self.open_revision());
        self.replace(slot, tombstone);
    }

    /// Makes `version` the newest one of `key`.
    pub(crate) fn install(&mut self, key: &[u8], slot: Option<Slot>, version: Version) {
        match slot {
            Some(slot) => self.replace(slot, version),
            None => {
                let change = self.history.next();
                let entry = Entry { key: SmallKey::new(key), newest: version, newest_change: change };
                let slot = self.index.insert(entry);
                self.count_in(slot);
                self.history.push(slot, &self.index.entry(slot).newest, None);
            }
        }
    }

    /// The revision of the request that is being applied; it begins with the request's first change.
    fn open_revision(&mut self) -> Revision {
        if !self.revision_is_open {
            self.revision_is_open = true;
            self.revision = self.revision.next();
        }
        self.revision
    }

    fn replace(&mut self, slot: Slot, version: Version) {
        self.count_out(slot);
        let entry = self.index.entry_mut(slot);
        let previous = core::mem::replace(&mut entry.newest, version);
        if previous.mod_revision == entry.newest.mod_revision {
            self.history.remake(entry.newest_change, &entry.newest);
        } else {
            let made_by = core::mem::replace(&mut entry.newest_change, self.history.next());
            self.history.push(slot, &entry.newest, Some((previous, made_by)));
        }
        self.count_in(slot);
    }

    /// Adds a newest version to the totals, and to the deadlines or to its lease.
    pub(crate) fn count_in(&mut self, slot: Slot) {
        let entry = self.index.entry(slot);
        if !entry.newest.is_tombstone() {
            self.key_count += 1;
            self.live_bytes += entry.bytes();
        }
        match entry.newest.life {
            Life::Endless => {}
            Life::Until(deadline) => {
                self.deadlines.insert((deadline, Due::Key(slot)));
            }
            Life::Lease(lease) => self.leases.attach(lease, slot),
        }
    }

    fn count_out(&mut self, slot: Slot) {
        let entry = self.index.entry(slot);
        if !entry.newest.is_tombstone() {
            self.key_count -= 1;
            self.live_bytes -= entry.bytes();
        }
        match entry.newest.life {
            Life::Endless => {}
            Life::Until(deadline) => {
                self.deadlines.remove(&(deadline, Due::Key(slot)));
            }
            Life::Lease(lease) => self.leases.detach(lease, slot),
        }
    }
}
