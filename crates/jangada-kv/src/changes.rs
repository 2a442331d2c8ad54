//! What happened, in order: the material for watches.

use alloc::vec::Vec;

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
    /// The key as it was before. `None` if it was not there, or if the revision before the change cannot be read any
    /// more: so that all replicas tell the same, however much of it one of them still has.
    pub previous: Option<KeyValue>,
}

/// The changes of some revisions, all of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order in which they happened.
    pub events: Vec<ChangeEvent>,
    /// Everything up to this revision is there.
    pub through: Revision,
    /// Where the store is.
    pub revision: Revision,
    /// [`Store::auth_stamp`] of this moment: who was permitted to be told may not be any more when it grows.
    pub auth: u64,
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
            let shown = change
                .previous
                .as_ref()
                .filter(|previous| !previous.is_tombstone() && change.revision > self.floor);
            let previous = shown.map(|previous| previous.key_value(&entry.key, false));
            ChangeEvent { sub: last.1, kv, is_delete: version.is_tombstone(), previous }
        }))
    }

    /// The changes from revision `from` on, whole revisions, until there are `enough` events or `enough_bytes` of keys
    /// and values.
    ///
    /// # Errors
    /// As for [`Store::changes`].
    pub fn some_changes(&self, from: Revision, enough: usize, enough_bytes: usize) -> Result<Changes, Error> {
        let mut taken = Changes {
            events: Vec::new(),
            through: self.revision,
            revision: self.revision,
            auth: self.auth_stamp(),
        };
        let mut bytes = 0;
        for event in self.changes(from)? {
            let begins = event.sub == 0;
            if begins && (taken.events.len() >= enough || bytes >= enough_bytes) {
                taken.through = Revision(event.kv.mod_revision.0 - 1);
                break;
            }
            bytes += event.kv.key.len() + event.kv.value.len();
            bytes += event.previous.as_ref().map_or(0, |previous| previous.value.len());
            taken.events.push(event);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use bytes::Bytes;

    use crate::request::{Put, Request, Txn, TxnOp};
    use crate::store::Store;
    use crate::types::{Millis, Revision};

    fn put(key: u64, value: &'static str) -> Put {
        Put::new(Bytes::from(key.to_string()), Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn a_slice_of_changes_never_splits_a_revision() {
        let mut store = Store::new();
        for value in ["one", "two", "three"] {
            let success: Vec<TxnOp> = (0..10).map(|key| TxnOp::Put(put(key, value))).collect();
            store.apply(Millis(1), &Request::Txn(Txn { success, ..Txn::default() }));
        }
        let all = store.some_changes(Revision(1), 1_000, usize::MAX).unwrap();
        assert_eq!((all.events.len(), all.through.0, all.revision.0), (30, 4, 4));
        for (enough, bytes) in [(1, usize::MAX), (10, usize::MAX), (1_000, 1)] {
            let first = store.some_changes(Revision(2), enough, bytes).unwrap();
            assert_eq!((first.events.len(), first.through.0, first.revision.0), (10, 2, 4));
        }
        let two = store.some_changes(Revision(2), 11, usize::MAX).unwrap();
        assert_eq!((two.events.len(), two.through.0), (20, 3));
        let none = store.some_changes(Revision(9), 11, usize::MAX).unwrap();
        assert_eq!((none.events.len(), none.through.0), (0, 4));
    }

    #[test]
    fn what_was_before_is_told_as_far_back_as_it_can_be_read() {
        let mut store = Store::new();
        for value in ["one", "two", "three"] {
            store.apply(Millis(1), &Request::Put(put(1, value)));
        }
        let before = |store: &Store, from| -> Vec<Option<Bytes>> {
            let changes = store.changes(Revision(from)).unwrap();
            changes.map(|event| event.previous.map(|previous| previous.value)).collect()
        };
        assert_eq!(before(&store, 2), [None, Some("one".into()), Some("two".into())]);
        store.apply(Millis(1), &Request::Compact { revision: Revision(3) });
        assert_eq!(before(&store, 3), [None, Some("two".into())], "revision 2 cannot be read");
    }
}
