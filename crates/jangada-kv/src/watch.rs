//! Watches: which changes to tell whom, in which order, without a network and without a clock.
//!
//! Whoever carries watches to clients asks in turn: is something *due*, reads that from a store, has it *told*, and sends
//! what comes out, in its order. The watches of a client are in two groups. Those *at the head* have been told all up to
//! [`Watches::head`], and go on together. Those *behind* began in the past, and catch up in slices, all of them with each
//! slice, without holding the others up.
//!
//! What a watch is told is what [the guarantees](https://etcd.io/docs/v3.5/learning/api_guarantees/) of etcd promise, if
//! the carrier loses nothing: in order, nothing twice, nothing left out, a revision never in two parts, and progress only
//! up to where everything has been told.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::changes::{ChangeEvent, Changes};
use crate::types::{KeyRange, Revision};

/// Most slices that are kept for watches that are a little behind.
const KEPT_SLICES: usize = 64;
/// Most events in all of them together, but for those of the newest.
const KEPT_EVENTS: usize = 10_000;

/// Which changes a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Of these keys.
    pub range: KeyRange,
    /// Not when a value is put.
    pub no_puts: bool,
    /// Not when a key is deleted.
    pub no_deletes: bool,
}

impl Interest {
    /// Whether this is one of them.
    #[must_use]
    pub fn covers(&self, event: &ChangeEvent) -> bool {
        let silenced = if event.is_delete { self.no_deletes } else { self.no_puts };
        !silenced && self.range.contains(&event.kv.key)
    }
}

/// A watch, with whatever its carrier keeps beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch<T> {
    /// What it is about.
    pub interest: Interest,
    /// The carrier's.
    pub beside: T,
    /// The first revision that it has not been told of.
    next: Revision,
    /// Whether it was told something since it was last asked for as idle.
    was_told: bool,
}

/// What one watch is to be told: some revisions, all of each.
#[derive(Debug)]
pub struct Told<'a> {
    /// The watch.
    pub id: i64,
    /// In the order in which they happened; never none.
    pub events: Vec<&'a ChangeEvent>,
}

/// The watches of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watches<T> {
    by_id: BTreeMap<i64, Watch<T>>,
    head: Revision,
}

impl<T> Watches<T> {
    /// No watches yet, of a store that is at `now`.
    #[must_use]
    pub fn new(now: Revision) -> Watches<T> {
        Watches { by_id: BTreeMap::new(), head: now }
    }

    /// Up to here everything was told to those at the head.
    #[must_use]
    pub fn head(&self) -> Revision {
        self.head
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&Watch<T>> {
        self.by_id.get(&id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Watch<T>)> {
        self.by_id.iter().map(|(id, watch)| (*id, watch))
    }

    /// Begins a watch that is to be told of revision `from` and all later ones, of a store that is at `now`. `from` may
    /// lie in the past, or in the future.
    pub fn begin(&mut self, id: i64, interest: Interest, from: Revision, now: Revision, beside: T) {
        if self.by_id.is_empty() {
            // Nobody was there to be told of what came before.
            self.head = now;
        }
        self.by_id.insert(id, Watch { interest, beside, next: from, was_told: false });
    }

    /// Ends a watch. `None`: there is none of this id.
    pub fn end(&mut self, id: i64) -> Option<Watch<T>> {
        self.by_id.remove(&id)
    }

    /// From where on the changes are due for those at the head, if the store is at `now`: to be read, and given to
    /// [`Watches::tell_head`].
    pub fn head_due(&mut self, now: Revision) -> Option<Revision> {
        if self.by_id.is_empty() {
            self.head = self.head.max(now);
        }
        (now > self.head).then(|| self.head.next())
    }

    /// Those at the head are told a slice, which may begin earlier than it was due.
    pub fn tell_head<'a>(&mut self, slice: &'a Slice) -> Vec<Told<'a>> {
        let head = self.head;
        self.head = slice.through;
        self.tell(slice, |watch| watch.next > head)
    }

    /// What was due for those at the head is forgotten, and the store is at `now`: they were too slow, and are behind.
    pub fn fall_behind(&mut self, now: Revision) {
        self.head = now;
    }

    /// From where on the changes are due for those behind: to be read, and given to [`Watches::tell_behind`]. None: nobody
    /// is behind.
    #[must_use]
    pub fn behind_due(&self) -> Option<Revision> {
        self.by_id.values().map(|watch| watch.next).filter(|next| *next <= self.head).min()
    }

    /// Whoever has not been told a slice, and is not beyond it, is told.
    pub fn tell_behind<'a>(&mut self, slice: &'a Slice) -> Vec<Told<'a>> {
        self.tell(slice, |watch| watch.next <= slice.through)
    }

    /// What was due for those behind is forgotten up to `floor`: the watches that want to be told of it. They are to end.
    #[must_use]
    pub fn forgotten(&self, floor: Revision) -> Vec<i64> {
        self.iter().filter(|(_, watch)| watch.next < floor).map(|(id, _)| id).collect()
    }

    /// Up to where all of them have been told everything; none while somebody is behind.
    #[must_use]
    pub fn progress(&self) -> Option<Revision> {
        self.behind_due().is_none().then_some(self.head)
    }

    /// Those that `wants` holds for, are not behind, and were told nothing since they were last asked for here.
    pub fn idle(&mut self, wants: impl Fn(&T) -> bool) -> Vec<i64> {
        let mut idle = Vec::new();
        for (id, watch) in self.by_id.iter_mut().filter(|(_, watch)| wants(&watch.beside)) {
            if watch.next > self.head && !core::mem::take(&mut watch.was_told) {
                idle.push(*id);
            }
        }
        idle
    }

    fn tell<'a>(&mut self, slice: &'a Slice, is_for: impl Fn(&Watch<T>) -> bool) -> Vec<Told<'a>> {
        let mut told = Vec::new();
        for (id, watch) in self.by_id.iter_mut().filter(|(_, watch)| is_for(watch)) {
            let new = slice.events.partition_point(|event| event.kv.mod_revision < watch.next);
            let events: Vec<_> =
                slice.events[new..].iter().filter(|event| watch.interest.covers(event)).collect();
            watch.next = watch.next.max(slice.through.next());
            if !events.is_empty() {
                watch.was_told = true;
                told.push(Told { id: *id, events });
            }
        }
        told
    }
}

/// Some revisions, with all that happened in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The first revision that it covers.
    pub first: Revision,
    /// The last one.
    pub through: Revision,
    /// In the order in which they happened.
    pub events: Vec<ChangeEvent>,
    /// See [`Changes::auth`].
    pub auth: u64,
}

impl Slice {
    /// What a store has told from `first` on.
    #[must_use]
    pub fn new(first: Revision, changes: Changes) -> Slice {
        let Changes { events, through, auth, .. } = changes;
        Slice { first, through, events, auth }
    }
}

/// The slices that were read last, so that many clients who follow a store read it once.
#[derive(Debug, Default)]
pub struct Recent {
    /// Each begins where the one before it ends.
    slices: VecDeque<Arc<Slice>>,
    /// Events in all of them.
    events: usize,
}

impl Recent {
    /// A slice in which revision `from` is. It may begin earlier.
    #[must_use]
    pub fn from(&self, from: Revision) -> Option<Arc<Slice>> {
        let found = self.slices.iter().rev().find(|slice| slice.first <= from)?;
        (from <= found.through).then(|| Arc::clone(found))
    }

    /// Up to where it reaches.
    #[must_use]
    pub fn end(&self) -> Option<Revision> {
        self.slices.back().map(|slice| slice.through)
    }

    /// Keeps a slice, and forgets the oldest if there are many.
    pub fn keep(&mut self, slice: &Arc<Slice>) {
        if self.end().is_some_and(|end| slice.first != end.next()) {
            *self = Recent::default();
        }
        self.slices.push_back(Arc::clone(slice));
        self.events += slice.events.len();
        while self.slices.len() > 1 && (self.slices.len() > KEPT_SLICES || self.events > KEPT_EVENTS) {
            self.events -= self.slices.pop_front().map_or(0, |oldest| oldest.events.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    use bytes::Bytes;

    use super::{Interest, Recent, Slice, Told, Watches};
    use crate::request::{DeleteRange, Put, Request};
    use crate::store::Store;
    use crate::types::{KeyRange, Millis, Revision};

    fn everything() -> Interest {
        Interest { range: KeyRange::all(), no_puts: false, no_deletes: false }
    }

    fn put(store: &mut Store, key: &'static str) {
        store.apply(Millis(1), &Request::Put(Put::new(Bytes::from(key), Bytes::from("v"))));
    }

    /// From revision `from` on, `enough` events.
    fn slice(store: &Store, from: Revision, enough: usize) -> Slice {
        Slice::new(from, store.some_changes(from, enough, usize::MAX).unwrap())
    }

    fn revisions(told: &[Told<'_>]) -> Vec<(i64, Vec<u64>)> {
        told.iter()
            .map(|told| (told.id, told.events.iter().map(|event| event.kv.mod_revision.0).collect()))
            .collect()
    }

    #[test]
    fn those_behind_catch_up_in_slices_and_hold_nobody_up() {
        let mut store = Store::new();
        for key in ["a", "b", "c", "d"] {
            put(&mut store, key);
        }
        let mut watches = Watches::new(store.revision());
        watches.begin(0, everything(), Revision(6), store.revision(), ());
        watches.begin(1, everything(), Revision(2), store.revision(), ());
        put(&mut store, "e");
        let due = watches.head_due(store.revision()).unwrap();
        assert_eq!(revisions(&watches.tell_head(&slice(&store, due, 9))), [(0, vec![6])]);
        assert_eq!(watches.progress(), None, "somebody is behind");
        for expected in [[2, 3], [4, 5]] {
            let due = watches.behind_due().unwrap();
            assert_eq!(revisions(&watches.tell_behind(&slice(&store, due, 2))), [(1, expected.to_vec())]);
        }
        let due = watches.behind_due().unwrap();
        assert_eq!(revisions(&watches.tell_behind(&slice(&store, due, 2))), [(1, vec![6])]);
        assert_eq!((watches.behind_due(), watches.progress()), (None, Some(Revision(6))));
    }

    #[test]
    fn a_slice_that_begins_earlier_tells_nothing_twice() {
        let mut store = Store::new();
        put(&mut store, "a");
        let mut watches = Watches::new(store.revision());
        watches.begin(0, everything(), Revision(3), store.revision(), ());
        put(&mut store, "b");
        assert_eq!(watches.head_due(store.revision()), Some(Revision(3)));
        let early = slice(&store, Revision(2), 9);
        assert_eq!(revisions(&watches.tell_head(&early)), [(0, vec![3])]);
        assert_eq!(revisions(&watches.tell_head(&early)), [], "nor does one that comes again");
    }

    #[test]
    fn a_watch_of_the_future_hears_nothing_of_the_present() {
        let mut store = Store::new();
        let mut watches = Watches::new(store.revision());
        watches.begin(0, everything(), Revision(3), store.revision(), ());
        put(&mut store, "a");
        put(&mut store, "b");
        let due = watches.head_due(store.revision()).unwrap();
        assert_eq!(revisions(&watches.tell_head(&slice(&store, due, 9))), [(0, vec![3])]);
    }

    #[test]
    fn whoever_was_too_slow_is_told_from_the_history_or_that_it_is_gone() {
        let mut store = Store::new();
        let mut watches = Watches::new(store.revision());
        watches.begin(0, everything(), Revision(2), store.revision(), ());
        watches.begin(1, everything(), Revision(5), store.revision(), ());
        for key in ["a", "b", "a"] {
            put(&mut store, key);
        }
        store.apply(Millis(1), &Request::Compact { revision: Revision(4) });
        let due = watches.head_due(store.revision()).unwrap();
        assert!(store.some_changes(due, 9, usize::MAX).is_err());
        watches.fall_behind(store.revision());
        assert_eq!(watches.forgotten(store.floor()), [0]);
        assert!(watches.end(0).is_some());
        put(&mut store, "c");
        let due = watches.head_due(store.revision()).unwrap();
        assert_eq!(revisions(&watches.tell_head(&slice(&store, due, 9))), [(1, vec![5])]);
    }

    #[test]
    fn only_what_a_watch_is_about_is_told_and_whoever_hears_nothing_is_idle() {
        let mut store = Store::new();
        let mut watches = Watches::new(store.revision());
        let range = KeyRange::One(Bytes::from("a"));
        let puts = Interest { range: range.clone(), no_puts: false, no_deletes: true };
        let deletes = Interest { range, no_puts: true, no_deletes: false };
        watches.begin(0, puts, Revision(2), store.revision(), true);
        watches.begin(1, deletes, Revision(2), store.revision(), true);
        watches.begin(2, everything(), Revision(2), store.revision(), false);
        put(&mut store, "a");
        put(&mut store, "b");
        let due = watches.head_due(store.revision()).unwrap();
        let told = slice(&store, due, 9);
        assert_eq!(revisions(&watches.tell_head(&told)), [(0, vec![2]), (2, vec![2, 3])]);
        assert_eq!(watches.idle(|wants| *wants), [1]);
        assert_eq!(watches.idle(|wants| *wants), [0, 1], "since then nobody was told anything");
        store.apply(Millis(1), &Request::DeleteRange(DeleteRange { range: KeyRange::all(), prev_kv: false }));
        let due = watches.head_due(store.revision()).unwrap();
        let told = slice(&store, due, 9);
        assert_eq!(revisions(&watches.tell_head(&told)), [(1, vec![4]), (2, vec![4, 4])]);
    }

    #[test]
    fn recent_slices_are_found_as_far_as_they_reach_without_a_gap() {
        let mut store = Store::new();
        let mut recent = Recent::default();
        assert!(recent.from(Revision(2)).is_none() && recent.end().is_none());
        for _ in 0..100 {
            put(&mut store, "a");
            let first = store.revision();
            recent.keep(&Arc::new(slice(&store, first, 9)));
        }
        assert!(recent.from(Revision(101)).is_some_and(|slice| slice.first == Revision(101)));
        assert!(recent.from(Revision(102)).is_none(), "not yet");
        assert!(recent.from(Revision(37)).is_none() && recent.from(Revision(38)).is_some(), "64 are kept");
        put(&mut store, "a");
        put(&mut store, "a");
        let late = store.revision();
        recent.keep(&Arc::new(slice(&store, late, 9)));
        assert!(recent.from(Revision(101)).is_none(), "between them is one that nobody has read");
        assert!(recent.from(late).is_some());
    }
}
