//! The changes of the kept past, oldest first, each with the version that it replaced.
//!
//! ```text
//! entry a ── newest: "3" @9, change 7          history   5: @7 a, replaced nothing    earlier –   later 6
//!                          │                             6: @8 a, replaced "1" @7     earlier 5   later 7
//!                          └──────────────────────────▶  7: @9 a, replaced "2" @8     earlier 6   later –
//! ```
//! The value at an old revision is found by following the chain from the newest version back. The chain forward
//! gives what a change wrote: it is what the next change of the same key replaced, or the newest version.
//!
//! Because old versions lie here and not with their keys, forgetting is popping the front: there is nothing to
//! search for, a write allocates no list, and each write can pay for the forgetting that it causes.

use alloc::collections::VecDeque;

use crate::entry::{ChangeId, VERSION_OVERHEAD_BYTES, Version};
use crate::slab::Slot;
use crate::types::Revision;

/// One key became something else in one revision. Within a revision each key changes at most once.
pub(crate) struct Change {
    pub(crate) revision: Revision,
    pub(crate) slot: Slot,
    /// What it replaced: `None` if the key had no entry.
    pub(crate) previous: Option<Version>,
    /// The change that made `previous`.
    earlier: Option<ChangeId>,
    /// The change that replaced what this one made.
    later: Option<ChangeId>,
    /// Whether what it made is a tombstone. Known here so that collecting need not look at the key.
    made_tombstone: bool,
    /// Bytes replaced by all changes before this one, since the store began.
    replaced_before: u64,
}

const SEGMENT: usize = 512;

/// The queue of changes. Their revisions never fall from front to back.
pub(crate) struct History {
    /// Segments of up to `SEGMENT` changes, so that growth moves nothing. Only the last one may not be full; the
    /// first one may have lost changes at its front.
    segments: VecDeque<VecDeque<Change>>,
    /// The id of the front, or of the next change if there is none.
    first: ChangeId,
    /// The id of the next change.
    next: ChangeId,
    /// Bytes replaced by all changes so far.
    replaced: u64,
}

impl History {
    pub(crate) fn new() -> History {
        History { segments: VecDeque::new(), first: ChangeId(1), next: ChangeId(1), replaced: 0 }
    }

    /// The id of the oldest kept change.
    pub(crate) fn first(&self) -> ChangeId {
        self.first
    }

    /// The id that the next change will get.
    pub(crate) fn next(&self) -> ChangeId {
        self.next
    }

    /// The newest change.
    pub(crate) fn last(&self) -> Option<&Change> {
        self.get(ChangeId(self.next.0 - 1))
    }

    pub(crate) fn get(&self, id: ChangeId) -> Option<&Change> {
        let (segment, at) = self.position(id)?;
        self.segments[segment].get(at)
    }

    /// Adds the change that makes `made`; `previous` comes with the id of the change that made it.
    pub(crate) fn push(&mut self, slot: Slot, made: &Version, previous: Option<(Version, ChangeId)>) {
        let id = self.next;
        let (previous, earlier) = previous.unzip();
        if let Some(change) = earlier.and_then(|earlier| self.get_mut(earlier)) {
            change.later = Some(id);
        }
        let replaced_before = self.replaced;
        self.replaced += previous.as_ref().map_or(0, replaced_bytes);
        let (revision, made_tombstone) = (made.mod_revision, made.is_tombstone());
        let change =
            Change { revision, slot, previous, earlier, later: None, made_tombstone, replaced_before };
        // An empty segment is always the only one, and serves for the next change wherever that falls.
        let starts_segment = id.0.is_multiple_of(SEGMENT as u64);
        if self.segments.back().is_none_or(|segment| starts_segment && !segment.is_empty()) {
            self.segments.push_back(VecDeque::with_capacity(SEGMENT));
        }
        self.segments.back_mut().expect("a segment was just made sure of").push_back(change);
        self.next = ChangeId(id.0 + 1);
    }

    /// Notes that a change makes something else after all: its request has changed the key again.
    pub(crate) fn remake(&mut self, id: ChangeId, made: &Version) {
        if let Some(change) = self.get_mut(id) {
            change.made_tombstone = made.is_tombstone();
        }
    }

    /// Takes the oldest change away.
    pub(crate) fn pop(&mut self) -> Option<Change> {
        let segment = self.segments.front_mut()?;
        let change = segment.pop_front()?;
        if segment.is_empty() && self.segments.len() > 1 {
            self.segments.pop_front();
        }
        self.first = ChangeId(self.first.0 + 1);
        Some(change)
    }

    /// What a kept change made of its key: `newest` is the newest version of that key.
    pub(crate) fn made_by<'a>(&'a self, change: &'a Change, newest: &'a Version) -> &'a Version {
        match change.later {
            None => newest,
            Some(later) => {
                let later = self.get(later).expect("what follows a kept change is kept");
                later.previous.as_ref().expect("it replaced what the earlier change made")
            }
        }
    }

    /// The version, tombstones included, that a key had at `revision`, given its newest one.
    pub(crate) fn version_at<'a>(
        &'a self,
        newest: &'a Version,
        newest_change: ChangeId,
        revision: Revision,
    ) -> Option<&'a Version> {
        let mut version = newest;
        let mut made_by = Some(newest_change);
        while version.mod_revision > revision {
            let change = self.get(made_by?)?;
            version = change.previous.as_ref()?;
            made_by = change.earlier;
        }
        Some(version)
    }

    /// How many versions [`History::version_at`] passes before it finds the one of `revision`.
    pub(crate) fn newer_than(&self, newest: &Version, newest_change: ChangeId, revision: Revision) -> u64 {
        let mut passed = 0;
        let (mut version, mut made_by) = (Some(newest), Some(newest_change));
        while version.is_some_and(|version| version.mod_revision > revision) {
            passed += 1;
            let change = made_by.and_then(|id| self.get(id));
            version = change.and_then(|change| change.previous.as_ref());
            made_by = change.and_then(|change| change.earlier);
        }
        passed
    }

    /// The first change at or behind `from` whose revision is larger than `revision`; `next()` if there is none.
    pub(crate) fn first_after(&self, revision: Revision, from: ChangeId) -> ChangeId {
        let is_after = |id: u64| self.get(ChangeId(id)).is_none_or(|change| change.revision > revision);
        let mut low = from.0.max(self.first.0);
        if is_after(low) {
            return ChangeId(low);
        }
        // Mostly it is very near, after a large compaction far away: double the step, then halve the interval.
        // `low` is never after, `high` always is.
        let mut step = 1;
        while !is_after(low + step) {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(self.next.0);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if is_after(middle) { high = middle } else { low = middle }
        }
        ChangeId(high)
    }

    /// The bytes that the changes from `id` on have replaced.
    pub(crate) fn replaced_since(&self, id: ChangeId) -> u64 {
        self.get(id).map_or(0, |change| self.replaced - change.replaced_before)
    }

    fn get_mut(&mut self, id: ChangeId) -> Option<&mut Change> {
        let (segment, at) = self.position(id)?;
        self.segments[segment].get_mut(at)
    }

    fn position(&self, id: ChangeId) -> Option<(usize, usize)> {
        if id < self.first || id >= self.next {
            return None;
        }
        let segment = (id.0 / SEGMENT as u64 - self.first.0 / SEGMENT as u64) as usize;
        let at = id.0 as usize % SEGMENT;
        // The first segment has lost the changes before `first`.
        Some((segment, if segment == 0 { at - self.first.0 as usize % SEGMENT } else { at }))
    }
}

impl Change {
    /// Whether the change deleted its key, and nothing has happened to the key since.
    pub(crate) fn was_the_end(&self) -> bool {
        self.made_tombstone && self.later.is_none()
    }
}

/// What keeping a replaced version costs. A tombstone counts nothing, so that it makes no difference whether it has
/// been swept up already.
fn replaced_bytes(version: &Version) -> u64 {
    if version.is_tombstone() { 0 } else { VERSION_OVERHEAD_BYTES + version.value_bytes() }
}
