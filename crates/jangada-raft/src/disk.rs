//! What the disk knows: the one place that decides what is durable.
//!
//! Raft's promises (a vote, an acknowledgement) hold only if they survive a crash, so they may leave a server
//! only after the facts behind them are on its disk (Paper, Figure 2: "persistent state … updated on stable
//! storage before responding to RPCs"). The core hands out one [`Persist`] after the other and is told by
//! `Input::Persisted` how far the disk has come. What was handed out is written in order, so "everything up
//! to this id" is all that needs to be said. This file keeps the books; who waits for what stands with the
//! conversations: votes in `server.rs` (`waiting`), acknowledgements in `replication.rs`.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::face::{Persist, SnapshotChunk};
use crate::log::Log;
use crate::types::{HardState, Index, PersistId};

/// The books.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    /// The term or the vote has changed since it was last handed out.
    hard_state_is_new: bool,
    /// The Persist that carries the present term and vote, unless they are new.
    pub(crate) hard_state_id: PersistId,
    /// Entries from here on were handed out and then removed; the disk must be told.
    truncate_from: Option<Index>,
    /// The last entry of the present log that was handed out. Lowered by a truncation: what replaces the
    /// entries must be handed out again.
    handed: Index,
    /// The last entry of the present log that is on the disk.
    durable: Index,
    pub(crate) last_id: PersistId,
    pub(crate) durable_id: PersistId,
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Chunks of a snapshot from the leader that wait to be handed out, one at a time.
    chunks: VecDeque<SnapshotChunk>,
}

/// A Persist that was handed out and is not durable yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InFlight {
    pub(crate) id: PersistId,
    /// With it, entries up to here are on the disk. Lowered when entries are removed afterwards: the disk
    /// will hold *an* entry with that index, but not ours. Without this a late confirmation for an
    /// overwritten entry would count for its successor.
    last: Index,
    chunk: Option<ChunkWritten>,
}

/// A chunk that has reached the disk. Only then is it acknowledged, so the leader sends no faster than the
/// disk takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChunkWritten {
    pub(crate) last_included_index: Index,
    /// The byte behind the chunk.
    pub(crate) next_offset: u64,
    /// It was the last one: the whole snapshot is durable.
    pub(crate) done: bool,
}

impl Disk {
    /// After a start: all that was recovered is durable, for it was read from the disk.
    pub(crate) fn new(last: Index) -> Disk {
        Disk {
            hard_state_is_new: false,
            hard_state_id: PersistId(0),
            truncate_from: None,
            handed: last,
            durable: last,
            last_id: PersistId(0),
            durable_id: PersistId(0),
            in_flight: VecDeque::new(),
            chunks: VecDeque::new(),
        }
    }

    /// The last entry of the present log that is on the disk.
    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    /// The last entry of the present log that was handed out to be written.
    pub(crate) fn handed(&self) -> Index {
        self.handed
    }

    /// The present term and vote are on the disk.
    pub(crate) fn hard_state_is_durable(&self) -> bool {
        !self.hard_state_is_new && self.hard_state_id <= self.durable_id
    }

    /// The term or the vote is another one now, and not durable until the next Persist is.
    pub(crate) fn on_hard_state_changed(&mut self) {
        self.hard_state_is_new = true;
    }

    /// Entries from `from` on are gone from the log.
    pub(crate) fn on_truncated(&mut self, from: Index) {
        let last = from.previous();
        if self.handed >= from {
            self.truncate_from = Some(self.truncate_from.map_or(from, |earlier| earlier.min(from)));
            self.handed = last;
        }
        self.clip(last);
    }

    /// The log now begins behind a snapshot at `index`, which is durable.
    pub(crate) fn on_installed(&mut self, index: Index, log: &Log) {
        self.clip(log.last_index());
        self.handed = self.handed.max(index).min(log.last_index());
        self.durable = self.durable.max(index);
        assert!(self.truncate_from.is_none(), "the log stands still while a snapshot is installed");
    }

    /// No entry behind `last` that the disk has, or is about to have, is one of ours.
    fn clip(&mut self, last: Index) {
        self.durable = self.durable.min(last);
        for persist in &mut self.in_flight {
            persist.last = persist.last.min(last);
        }
    }

    /// A chunk arrived in order. Bounded by the leader's window.
    pub(crate) fn add_chunk(&mut self, chunk: SnapshotChunk) {
        self.chunks.push_back(chunk);
    }

    /// The transfer was broken off: chunks that were not handed out yet are of no use.
    pub(crate) fn drop_chunks(&mut self) {
        self.chunks.clear();
    }

    /// The next thing to write, if there is one: everything that has changed since the last one.
    ///
    /// The fields are written in their order. So an entry is never durable without the term that it belongs
    /// to, and a crash between them leaves a log that is shorter, but not one that lies.
    pub(crate) fn next_persist(&mut self, hard_state: HardState, log: &Log) -> Option<Persist> {
        let log_is_new = self.truncate_from.is_some() || self.handed < log.last_index();
        // The last chunk travels alone: the snapshot marker that it stands for must not come before entries
        // that lie in front of it.
        let chunk = match self.chunks.front() {
            Some(chunk) if chunk.done && log_is_new => None,
            _ => self.chunks.pop_front(),
        };
        if !self.hard_state_is_new && !log_is_new && chunk.is_none() {
            return None;
        }
        self.last_id.0 += 1;
        let hard_state = self.hard_state_is_new.then_some(hard_state);
        if hard_state.is_some() {
            self.hard_state_id = self.last_id;
            self.hard_state_is_new = false;
        }
        let truncate_from = match &chunk {
            Some(chunk) if chunk.done => contradicted(chunk, log),
            _ => self.truncate_from.take(),
        };
        let mut entries = Vec::new();
        if self.handed < log.last_index() {
            entries.extend(log.tail(self.handed.next()).cloned());
            self.handed = log.last_index();
        }
        self.in_flight.push_back(InFlight {
            id: self.last_id,
            last: self.handed,
            chunk: chunk.as_ref().map(|chunk| ChunkWritten {
                last_included_index: chunk.meta.last_included_index,
                next_offset: chunk.offset + chunk.data.len() as u64,
                done: chunk.done,
            }),
        });
        Some(Persist { id: self.last_id, hard_state, snapshot_chunk: chunk, truncate_from, entries })
    }

    /// Everything up to `id` is on the disk. Gives back the last chunk of a snapshot among it.
    ///
    /// # Panics
    /// If `id` was never handed out.
    pub(crate) fn on_persisted(&mut self, id: PersistId) -> Option<ChunkWritten> {
        assert!(id <= self.last_id, "only what was handed out can be durable");
        let mut chunk = None;
        while let Some(persist) = self.in_flight.pop_front_if(|persist| persist.id <= id) {
            self.durable = self.durable.max(persist.last);
            chunk = persist.chunk.or(chunk);
        }
        self.durable_id = self.durable_id.max(id);
        assert!(self.durable <= self.handed, "what is durable was handed out");
        chunk
    }
}

/// Where the disk's log must be cut off when this last chunk is written: if our entry at the snapshot's
/// position is another one, all behind it is wrong too (Figure 13, rules 6 and 7).
fn contradicted(chunk: &SnapshotChunk, log: &Log) -> Option<Index> {
    let at = chunk.meta.last_included_index;
    let differs = log.term_at(at).is_some_and(|term| term != chunk.meta.last_included_term);
    (differs && at < log.last_index()).then(|| at.next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Entry, Payload, SnapshotMeta, Term};
    use bytes::Bytes;
    use std::vec::Vec;

    fn append(log: &mut Log, count: u64, term: u64) {
        for _ in 0..count {
            let index = log.last_index().next();
            log.append(Entry { term: Term(term), index, payload: Payload::Noop });
        }
    }

    fn truncate(disk: &mut Disk, log: &mut Log, from: u64) {
        log.truncate_from(Index(from));
        disk.on_truncated(Index(from));
    }

    fn indexes(persist: &Persist) -> Vec<u64> {
        persist.entries.iter().map(|entry| entry.index.0).collect()
    }

    #[test]
    fn nothing_new_is_nothing_to_write() {
        let mut disk = Disk::new(Index::ZERO);
        let log = Log::new(Index::ZERO, Term::ZERO, Vec::new());
        assert_eq!(disk.next_persist(HardState::default(), &log), None);
        assert!(disk.hard_state_is_durable());
    }

    #[test]
    fn a_vote_is_durable_only_with_the_persist_that_carries_it() {
        let mut disk = Disk::new(Index::ZERO);
        let mut log = Log::new(Index::ZERO, Term::ZERO, Vec::new());
        append(&mut log, 1, 1);
        let entries = disk.next_persist(HardState::default(), &log).expect("an entry");
        disk.on_hard_state_changed();
        assert!(!disk.hard_state_is_durable());
        let vote = disk.next_persist(HardState::default(), &log).expect("a vote");
        assert!(vote.hard_state.is_some() && vote.entries.is_empty() && entries.hard_state.is_none());
        disk.on_persisted(entries.id);
        assert!(!disk.hard_state_is_durable());
        disk.on_persisted(vote.id);
        assert!(disk.hard_state_is_durable());
    }

    #[test]
    fn a_late_confirmation_does_not_count_for_an_overwritten_entry() {
        let mut disk = Disk::new(Index::ZERO);
        let mut log = Log::new(Index::ZERO, Term::ZERO, Vec::new());
        append(&mut log, 3, 1);
        let first = disk.next_persist(HardState::default(), &log).expect("1..=3 of term 1");
        truncate(&mut disk, &mut log, 2);
        append(&mut log, 2, 2);
        let second = disk.next_persist(HardState::default(), &log).expect("2..=3 of term 2");
        assert_eq!((second.truncate_from, indexes(&second)), (Some(Index(2)), std::vec![2, 3]));
        disk.on_persisted(first.id);
        assert_eq!(disk.durable(), Index(1), "the disk has 2 and 3, but those of term 1");
        disk.on_persisted(second.id);
        assert_eq!(disk.durable(), Index(3));
    }

    #[test]
    fn what_the_disk_never_saw_need_not_be_truncated_there() {
        let mut disk = Disk::new(Index::ZERO);
        let mut log = Log::new(Index::ZERO, Term::ZERO, Vec::new());
        append(&mut log, 3, 1);
        truncate(&mut disk, &mut log, 2);
        append(&mut log, 1, 2);
        let persist = disk.next_persist(HardState::default(), &log).expect("1 and 2");
        assert_eq!((persist.truncate_from, indexes(&persist)), (None, std::vec![1, 2]));
    }

    #[test]
    fn the_last_chunk_waits_for_the_entries_before_it_and_cuts_what_it_contradicts() {
        let mut disk = Disk::new(Index::ZERO);
        let mut log = Log::new(Index::ZERO, Term::ZERO, Vec::new());
        append(&mut log, 5, 1);
        let meta = SnapshotMeta {
            last_included_index: Index(3),
            last_included_term: Term(2),
            ..SnapshotMeta::default()
        };
        disk.add_chunk(SnapshotChunk { meta, offset: 7, data: Bytes::from_static(b"abc"), done: true });
        let entries = disk.next_persist(HardState::default(), &log).expect("the entries first");
        assert!(entries.snapshot_chunk.is_none());
        let chunk = disk.next_persist(HardState::default(), &log).expect("then the chunk");
        assert_eq!((chunk.truncate_from, chunk.entries.len()), (Some(Index(4)), 0));
        let written = disk.on_persisted(chunk.id).expect("a chunk");
        assert_eq!((written.next_offset, written.done), (10, true));
        log.reset(Index(3), Term(2));
        disk.on_installed(Index(3), &log);
        assert_eq!((disk.durable(), disk.handed()), (Index(3), Index(3)));
    }
}
