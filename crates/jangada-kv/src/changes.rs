//! What happened, in order: the material for watches.

use crate::entry::ChangeId;
use crate::response::Error;
use crate::store::Store;
use crate::types::{KeyValue, Revision};

/// One key became something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeEvent {
    /// Its place among the changes of the same revision, counted from 0: the *sub* part of the revision.
    pub sub: u64,
    /// The key as it was right after, with `mod_revision` as the revision of the change. Of a deleted key only `key`
    /// and `mod_revision` are set.
    pub kv: KeyValue,
    /// Whether the key was deleted.
    pub is_delete: bool,
}

impl Store {
    /// All changes from revision `from` on, in the order in which they happened.
    ///
    /// # Errors
    /// [`Error::Compacted`] if some of them are forgotten. Those of the [`Store::floor`] itself are still there.
    pub fn changes(&self, from: Revision) -> Result<impl Iterator<Item = ChangeEvent>, Error> {
        if from < self.floor {
            return Err(Error::Compacted { floor: self.floor });
        }
        let before = Revision(from.0.saturating_sub(1));
        let first = self.history.first_after(before, self.history.first());
        let mut last = (Revision::ZERO, 0);
        Ok((first.0..self.history.next().0).map(move |id| {
            let change = self.history.get(ChangeId(id)).expect("changes are numbered without gaps");
            let entry = self.index.entry(change.slot);
            let version = self.history.made_by(change, &entry.newest);
            last = (change.revision, if last.0 == change.revision { last.1 + 1 } else { 0 });
            let kv = version.key_value(&entry.key, false);
            ChangeEvent { sub: last.1, kv, is_delete: version.is_tombstone() }
        }))
    }
}
