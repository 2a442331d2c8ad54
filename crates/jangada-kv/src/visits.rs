//! How many keys a transaction may visit.
//!
//! A transaction is carried out in one step, and a small one can ask for much: each of its ranges, comparisons and
//! deletions may mean the whole store. So before anything else is done the keys that it will visit are counted, and
//! beyond a bound it is refused. What counts is the same on each replica, whatever it has forgotten by now, or the
//! replicas would differ: nothing but keys that exist, deletions that can still be read, and the newer versions that
//! lie before an old one.

use crate::command::{Command, Exec};
use crate::response::Error;
use crate::slab::Slot;
use crate::store::Store;
use crate::types::{KeyRange, Revision};

/// A txn, or the commands of a MULTI, may visit as many keys as there are, and so many more. With the first it can do once
/// what a single range can do; with the second it can look at small parts of a large store more than once.
pub const MAX_EXTRA_VISITS: u64 = 100_000;

/// What a transaction may still visit.
pub(crate) struct Visits {
    left: u64,
}

impl Visits {
    pub(crate) fn spend(&mut self, visits: u64) -> Result<(), Error> {
        self.left = self.left.checked_sub(visits).ok_or(Error::TooManyKeys)?;
        Ok(())
    }
}

impl Store {
    pub(crate) fn allowed_visits(&self) -> Visits {
        Visits { left: self.key_count + MAX_EXTRA_VISITS }
    }

    /// Counts the keys of a range as they were at `revision`, which can be read, or are now. It takes no longer than what
    /// is left allows, but for what waits to be collected.
    pub(crate) fn visit(
        &self,
        range: &KeyRange,
        revision: Option<Revision>,
        visits: &mut Visits,
    ) -> Result<(), Error> {
        match range {
            KeyRange::One(key) => {
                // For most there is nothing to look up.
                let slot = revision.and_then(|_| self.index.find(key));
                visits.spend(1 + slot.map_or(0, |slot| self.newer_than(slot, revision)))
            }
            KeyRange::Span { .. } | KeyRange::From(_) => {
                self.index.range(range).try_for_each(|slot| self.visit_slot(slot, revision, visits))
            }
        }
    }

    fn visit_slot(&self, slot: Slot, revision: Option<Revision>, visits: &mut Visits) -> Result<(), Error> {
        if self.is_known_everywhere(slot) {
            visits.spend(1 + self.newer_than(slot, revision))
        } else {
            Ok(())
        }
    }

    /// Refuses a MULTI whose commands would visit too many keys.
    pub(crate) fn check_visits(&self, exec: &Exec) -> Result<(), Error> {
        let mut visits = self.allowed_visits();
        exec.commands.iter().try_for_each(|command| match command {
            Command::Keys { pattern } => {
                self.named_like(pattern).try_for_each(|slot| self.visit_slot(slot, None, &mut visits))
            }
            Command::FlushAll => visits.spend(self.key_count),
            Command::Scan { count, .. } => visits.spend(self.key_count.min(*count)),
            Command::Get { .. }
            | Command::Set(_)
            | Command::SetNx { .. }
            | Command::MSet { .. }
            | Command::MGet { .. }
            | Command::Delete { .. }
            | Command::Exists { .. }
            | Command::Increment { .. }
            | Command::Append { .. }
            | Command::StrLen { .. }
            | Command::GetDelete { .. }
            | Command::GetEx { .. }
            | Command::Type { .. }
            | Command::Ttl { .. }
            | Command::Deadline { .. }
            | Command::Expire { .. }
            | Command::Persist { .. }
            | Command::DbSize => Ok(()),
        })
    }

    /// A deletion below the floor is collected sooner here and later there.
    fn is_known_everywhere(&self, slot: Slot) -> bool {
        let newest = self.newest(slot);
        !newest.is_tombstone() || newest.mod_revision >= self.floor
    }

    /// The versions that are passed on the way from the newest one to that of `revision`.
    fn newer_than(&self, slot: Slot, revision: Option<Revision>) -> u64 {
        let Some(revision) = revision else { return 0 };
        let entry = self.index.entry(slot);
        self.history.newer_than(&entry.newest, entry.newest_change, revision)
    }
}
