//! What the log on a disk says, told from its synced bytes alone.
//!
//! A second reader of docs/wal-format.md, written apart from the first: it is told each write that a sync made
//! durable, and keeps the term, the vote and the terms of the entries. The checkers ask it, and not the server,
//! what is durable. It believes checksums; whether they are right is found at the next start, when the log's own
//! reader must find what this one has found.

use jangada_raft::types::{Entry, HardState, Index, NodeId, SnapshotMeta, Term};

/// The positions of one log: which entry of which term stands where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// The snapshot's last entry.
    pub snapshot: (Index, Term),
    /// The last entry; the snapshot's if there is none behind it.
    pub last: Index,
    /// The first index of each term, ascending.
    runs: Vec<(Index, Term)>,
}

impl Positions {
    /// The term of an entry; `None` if it is covered by the snapshot, or not there.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.snapshot.0 {
            return Some(self.snapshot.1);
        }
        if index < self.snapshot.0 || index > self.last {
            return None;
        }
        let run = self.runs.iter().rev().find(|(first, _)| *first <= index)?;
        Some(run.1)
    }

    /// The entry is here, as such or inside the snapshot.
    #[must_use]
    pub fn holds(&self, index: Index, term: Term) -> bool {
        index < self.snapshot.0 || self.term_at(index) == Some(term)
    }

    pub(crate) fn append(&mut self, index: Index, term: Term) {
        if self.runs.last().is_none_or(|run| run.1 != term) {
            self.runs.push((index, term));
        }
        self.last = index;
    }

    pub(crate) fn truncate(&mut self, from: Index) {
        while self.runs.last().is_some_and(|run| run.0 >= from) {
            self.runs.pop();
        }
        self.last = self.last.min(from.previous()).max(self.snapshot.0);
    }

    /// A snapshot covers the log up to its last entry; what follows it stays, or nothing does.
    pub(crate) fn cover(&mut self, snapshot: (Index, Term), keep: bool) {
        if keep {
            let behind = self.term_at(snapshot.0.next());
            self.runs.retain(|run| run.0 > snapshot.0.next());
            if let Some(term) = behind.filter(|_| self.last > snapshot.0) {
                self.runs.insert(0, (snapshot.0.next(), term));
            }
        } else {
            self.runs.clear();
            self.last = snapshot.0;
        }
        self.snapshot = snapshot;
    }

    /// What a disk gave back.
    #[must_use]
    pub fn of(snapshot: &SnapshotMeta, entries: &[Entry]) -> Positions {
        let at = (snapshot.last_included_index, snapshot.last_included_term);
        let mut positions = Positions { snapshot: at, last: at.0, runs: Vec::new() };
        for entry in entries {
            positions.append(entry.index, entry.term);
        }
        positions
    }
}

/// What a log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogView {
    /// The term and the vote.
    pub hard_state: HardState,
    /// The entries.
    pub positions: Positions,
    /// The number of its last batch.
    batch: u64,
}

impl LogView {
    /// What a disk gave back.
    #[must_use]
    pub fn of(hard_state: HardState, snapshot: &SnapshotMeta, entries: &[Entry]) -> LogView {
        LogView { hard_state, positions: Positions::of(snapshot, entries), batch: 0 }
    }

    /// Both say the same.
    #[must_use]
    pub fn same(&self, other: &LogView) -> bool {
        self.hard_state == other.hard_state && self.positions == other.positions
    }

    /// The number of its last batch.
    #[must_use]
    pub fn batch(&self) -> u64 {
        self.batch
    }

    pub(crate) fn set_batch(&mut self, batch: u64) {
        self.batch = batch;
    }
}

const MAGIC: [u8; 4] = *b"jwal";
const HEADER: usize = 32;

/// Reads a write. `true` if it was a batch of the log that comes after those that the view knows.
pub(crate) fn apply_batch(view: &mut LogView, bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..HEADER).filter(|header| header[4..8] == MAGIC) else { return false };
    let (body_bytes, records, number) = (u32_at(header, 8), u32_at(header, 12), u64_at(header, 16));
    if records == 0 || number <= view.batch {
        return false;
    }
    // An earlier write at this place was shorter than the batch that now stands there.
    let Some(mut body) = bytes.get(HEADER..HEADER + body_bytes as usize) else { return false };
    view.batch = number;
    while body.len() > 8 {
        let length = u32_at(body, 4) as usize;
        let Some(record) = body.get(8..8 + length).filter(|record| !record.is_empty()) else { break };
        apply_record(view, record[0], &record[1..]);
        body = &body[8 + length..];
    }
    true
}

fn apply_record(view: &mut LogView, kind: u8, fields: &[u8]) {
    let positions = &mut view.positions;
    let position = |at: usize| (Index(u64_at(fields, at)), Term(u64_at(fields, at + 8)));
    match kind {
        1 => {
            let voted_for = (fields[8] != 0).then(|| NodeId(u64_at(fields, 9)));
            view.hard_state = HardState { term: Term(u64_at(fields, 0)), voted_for };
        }
        2 => positions.append(Index(u64_at(fields, 8)), Term(u64_at(fields, 0))),
        3 => positions.truncate(Index(u64_at(fields, 0))),
        4 => {
            let (snapshot, last) = (position(0), position(16));
            positions.cover(snapshot, last != snapshot || positions.last == snapshot.0);
        }
        // A checkpoint repeats what is known, the end of a segment says nothing about the log.
        _ => {}
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_le_bytes(*eight))
}
