//! Forgetting the past: by request, and by itself as [`Retention`](crate::Retention) says.
//!
//! Two things are kept apart.
//! - **The floor** is the oldest revision that can be read. It is part of the replicated state: it moves at the same
//!   log entry on each replica, in a step that costs next to nothing.
//! - **Collecting** frees memory that lies behind the floor. It happens later, a few changes with each write, and
//!   waits for snapshots that are being read. No answer depends on how far it has come.
//!
//! Kept are the changes of the floor itself and of all revisions above it, deletions included, and for each key the
//! version that it had just before the floor. So reading *at* the floor works, and somebody who follows the changes
//! from the floor on misses none of them.

use crate::response::{Error, Response};
use crate::store::Store;
use crate::types::Revision;

/// How many changes a request collects at least. Most requests add one change, so this catches up.
const COLLECT_AT_LEAST: u64 = 4;

/// How many changes a request collects at most: some tens of microseconds.
const COLLECT_AT_MOST: u64 = 512;

impl Store {
    pub(crate) fn compact(&mut self, revision: Revision) -> Response {
        if revision <= self.floor {
            return Response::Error(Error::Compacted { floor: self.floor });
        }
        if revision > self.revision {
            return Response::Error(Error::FutureRevision { current: self.revision });
        }
        self.raise_floor(revision);
        Response::Compact { revision: self.revision }
    }

    /// Frees up to `at_most` changes that nothing needs any more, and tells whether some are left.
    ///
    /// Each request does some of this by itself; an idle replica may call it to finish the rest. It changes no
    /// answer, so it need not happen at the same time on each replica.
    pub fn collect_garbage(&mut self, at_most: u64) -> bool {
        let bound = self.collectable();
        for _ in 0..at_most {
            if self.history.get(self.history.first()).is_none_or(|change| change.revision >= bound) {
                return false;
            }
            let change = self.history.pop().expect("it was just looked at");
            if change.was_the_end() {
                self.index.remove(change.slot);
            }
        }
        self.history.get(self.history.first()).is_some_and(|change| change.revision < bound)
    }

    /// Moves the floor as far as the retention asks for, and collects a little.
    pub(crate) fn retain(&mut self) {
        let oldest_kept = self.revision.0.saturating_sub(self.retention.revisions.max(1) - 1);
        if oldest_kept > self.floor.0 {
            self.raise_floor(Revision(oldest_kept));
        }
        while self.history_bytes() > self.retention.bytes {
            let change = self.history.get(self.first_above_floor).expect("bytes come from changes");
            self.raise_floor(change.revision);
        }
        let waiting = self.first_above_floor.0.saturating_sub(self.history.first().0);
        self.collect_garbage((waiting / 256).clamp(COLLECT_AT_LEAST, COLLECT_AT_MOST));
    }

    /// The bytes of versions that are not current but can be read.
    #[must_use]
    pub fn history_bytes(&self) -> u64 {
        self.history.replaced_since(self.first_above_floor)
    }

    fn raise_floor(&mut self, revision: Revision) {
        assert!(revision > self.floor, "the floor only rises");
        assert!(revision <= self.revision, "the current revision can always be read");
        self.floor = revision;
        self.first_above_floor = self.history.first_after(revision, self.first_above_floor);
    }

    /// Changes below this revision are needed by nobody.
    fn collectable(&self) -> Revision {
        self.pins.iter().map(|pin| pin.floor).fold(self.floor, Revision::min)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use bytes::Bytes;

    use crate::command::{Command, Exec, Set};
    use crate::request::Request;
    use crate::store::Store;
    use crate::types::{KeyRange, Millis, Retention};

    fn run(store: &mut Store, command: Command) {
        store.apply(Millis(1), &Request::Command(command));
    }

    fn set(store: &mut Store, number: u64) {
        let key = Bytes::from(number.to_string());
        run(store, Command::Set(Set::new(key, Bytes::from_static(&[0; 100]))));
    }

    fn kept(store: &Store) -> u64 {
        store.history.next().0 - store.history.first().0
    }

    #[test]
    fn writes_pay_for_what_they_make_obsolete() {
        let mut store = Store::new();
        store.apply(Millis(1), &Request::SetRetention(Retention { revisions: 100, bytes: u64::MAX }));
        for i in 0..10_000 {
            set(&mut store, i % 50);
            assert!(kept(&store) <= 100);
        }
        store.apply(Millis(1), &Request::SetRetention(Retention { revisions: 100, bytes: 2_000 }));
        for i in 0..10_000 {
            set(&mut store, i % 50);
            assert!(store.bytes() < 50 * 400 + 2_000);
        }
        assert!(kept(&store) <= 10);
    }

    #[test]
    fn what_one_request_changes_twice_is_collected_as_it_was_left() {
        let mut store = Store::new();
        store.apply(Millis(1), &Request::SetRetention(Retention { revisions: 1, bytes: u64::MAX }));
        set(&mut store, 1);
        let set =
            |number: u64| Command::Set(Set::new(Bytes::from(number.to_string()), Bytes::from_static(b"new")));
        let delete = |number: u64| Command::Delete { keys: Vec::from([Bytes::from(number.to_string())]) };
        let commands = Vec::from([delete(1), set(1), set(2), delete(2)]);
        store.apply(Millis(1), &Request::Exec(Exec { watched: Vec::new(), commands }));
        run(&mut store, set(3));
        run(&mut store, set(4));
        let slots: Vec<_> = store.index.range(&KeyRange::all()).collect();
        let keys: Vec<_> = slots.iter().map(|slot| store.index.entry(*slot).key.to_bytes()).collect();
        assert_eq!(keys, ["1", "3", "4"], "1 is there again, 2 has gone for good");
    }

    #[test]
    fn a_flush_leaves_nothing_behind() {
        let mut store = Store::new();
        store.apply(Millis(1), &Request::SetRetention(Retention { revisions: 1, bytes: u64::MAX }));
        for i in 0..10_000 {
            set(&mut store, i);
        }
        run(&mut store, Command::FlushAll);
        assert_eq!((store.key_count(), store.bytes()), (0, 0));
        let mut writes = 0_u64;
        while kept(&store) > 1 {
            set(&mut store, 7);
            writes += 1;
        }
        assert!(writes < 2_500, "each write took its part: {writes}");
        assert_eq!(store.index.range(&KeyRange::all()).collect::<Vec<_>>().len(), 1);
    }

    #[test]
    fn a_snapshot_holds_back_the_collection_and_not_the_floor() {
        let mut store = Store::new();
        store.apply(Millis(1), &Request::SetRetention(Retention { revisions: 10, bytes: u64::MAX }));
        let cursor = store.begin_snapshot();
        for i in 0..1_000 {
            set(&mut store, i % 50);
        }
        assert_eq!(store.floor().0, 1_001 - 9);
        assert_eq!(kept(&store), 1_000);
        store.end_snapshot(cursor);
        while store.collect_garbage(100) {}
        assert_eq!(kept(&store), 10);
    }
}
