//! How many keys a transaction may visit.
//!
//! A transaction is carried out in one step, and a small one can ask for much: each of its ranges, comparisons and
//! deletions may mean the whole store. So before anything else is done the keys that it will visit are counted, and
//! beyond a bound it is refused. What counts is the same on each replica, whatever it has forgotten by now, or the
//! replicas would differ: nothing but keys that exist, deletions that can still be read, and the newer versions that
//! lie before an old one.

use crate::command::{Command, Exec};
use crate::request::{RangeRequest, Request, Txn, TxnOp};
use crate::response::{Error, Response, TxnOpResponse, TxnResponse};
use crate::slab::Slot;
use crate::store::Store;
use crate::types::{KeyRange, Revision};

/// A txn, or the commands of a MULTI, may visit as many keys as there are, and so many more. With the first it can do once
/// what a single range can do; with the second it can look at small parts of a large store more than once.
pub const MAX_EXTRA_VISITS: u64 = 100_000;

/// So many versions of a key are passed while another key is found, about.
const VERSIONS_IN_A_VISIT: u64 = 8;

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

    /// About how many keys and versions had to be looked at for an answer to a read, at least 1: so that whoever
    /// answers many can stop in between.
    #[must_use]
    pub fn visited(&self, query: &Request, response: &Response) -> u64 {
        1 + match (query.asked(), response) {
            (_, Response::Error(_)) => 0,
            (Request::Range(range), Response::Range(found)) => found.count + self.passed(range),
            (Request::Txn(txn), Response::Txn(found)) => self.visited_by_txn(txn) + found_by(found),
            (Request::Command(command), _) => self.visited_by(command),
            (Request::Exec(exec), _) => exec.commands.iter().map(|command| self.visited_by(command)).sum(),
            _ => 0,
        }
    }

    fn visited_by(&self, command: &Command) -> u64 {
        match command {
            Command::Keys { .. } => self.key_count,
            Command::Scan { count, .. } => self.key_count.min(*count),
            _ => 0,
        }
    }

    /// Beside what it has found: what it has compared, and the versions before old ones.
    fn visited_by_txn(&self, txn: &Txn) -> u64 {
        let compared = txn.compare.iter().map(|compare| match compare.range {
            KeyRange::One(_) => 1,
            KeyRange::Span { .. } | KeyRange::From(_) => self.key_count,
        });
        let passed = txn.success.iter().chain(&txn.failure).map(|operation| match operation {
            TxnOp::Range(range) => self.passed(range),
            TxnOp::Txn(nested) => self.visited_by_txn(nested),
            TxnOp::Put(_) | TxnOp::DeleteRange(_) => 0,
        });
        compared.chain(passed).sum()
    }

    /// What is passed on the way to an old revision: at most all versions since, each in a fraction of what a key takes.
    fn passed(&self, range: &RangeRequest) -> u64 {
        range.revision.map_or(0, |revision| self.revision.0.saturating_sub(revision.0) / VERSIONS_IN_A_VISIT)
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

fn found_by(txn: &TxnResponse) -> u64 {
    let found = txn.responses.iter().map(|response| match response {
        TxnOpResponse::Range(range) => 1 + range.count,
        TxnOpResponse::Txn(nested) => found_by(nested),
        TxnOpResponse::Put(_) | TxnOpResponse::DeleteRange(_) => 1,
    });
    found.sum()
}
