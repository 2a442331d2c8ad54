//! The log: append, sync, go on in the next segment, forget what a snapshot has replaced.

use std::collections::VecDeque;

use jangada_raft::types::{Entry, HardState, Index, SnapshotMeta, Term};

use crate::disk::Disk;
use crate::error::{Action, Error};
use crate::record::{BatchBuffer, BatchPlace, LogState, PAGE_BYTES, Position, Record, SEGMENT_END_BYTES};
use crate::recovery::{ClosedSegment, Recovered, replay};
use crate::segment::{FILL_SLICE, FIRST_BATCH, SegmentPool, Tail, parse_segment_name, segment_name};
use crate::snapshot::{self, SnapshotReader, list_snapshots};

/// The knobs of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalConfig {
    /// Whose log this is: cluster and node, for instance. Opaque here; part of every checksum.
    pub identity: [u8; 16],
    /// If there is no log, begin one. A node that knows that it had one says `false`: then a lost log is an
    /// error, not a new beginning.
    pub create: bool,
    /// A segment is closed before it grows beyond this (unless a single batch does).
    pub segment_bytes: u64,
    /// How far zeros are written ahead of the log's end, and how large a new segment begins. Writing over
    /// zeros costs half of what growing a file costs.
    pub fill_ahead_bytes: u64,
    /// How many old segments are kept to be used again instead of being removed.
    pub spare_segments: usize,
}

impl WalConfig {
    /// The usual values.
    #[must_use]
    pub fn new(identity: [u8; 16]) -> WalConfig {
        WalConfig {
            identity,
            create: true,
            segment_bytes: 64 << 20,
            fill_ahead_bytes: 8 << 20,
            spare_segments: 2,
        }
    }
}

/// The durable log of one server.
///
/// What is queued by `append_…` becomes durable, all together, by one [`Wal::sync`]. An error of the disk is
/// final: after it, each call returns [`Error::Poisoned`].
pub struct Wal<D: Disk> {
    disk: D,
    config: WalConfig,
    poisoned: bool,
    /// Records that wait for the next sync.
    queue: BatchBuffer,
    /// The highest index of an entry in the queue.
    queue_highest: Index,
    /// What the log says up to the last sync, and with the queue.
    durable: LogState,
    queued: LogState,
    terms: TermRuns,
    next_batch: u64,
    /// The mark that the last batch was synced stands behind it.
    sealed: bool,
    closed: VecDeque<ClosedSegment>,
    current: Tail<D::File>,
    prepared: Option<Tail<D::File>>,
    pool: SegmentPool<D>,
}

impl<D: Disk> Wal<D> {
    /// Reads the log back, or begins a new one. What is returned is durable.
    ///
    /// # Errors
    /// If the disk refuses, if something that was durable is damaged or gone (nothing is changed then), or if
    /// the log is not ours.
    ///
    /// # Panics
    /// If `config.segment_bytes` is no multiple of 4,096 or less than three times that.
    pub fn open(disk: D, config: WalConfig) -> Result<(Wal<D>, Recovered), Error> {
        assert!(config.segment_bytes.is_multiple_of(PAGE_BYTES), "segments consist of whole pages");
        assert!(config.segment_bytes >= 3 * PAGE_BYTES, "a segment has room for more than its header");
        let names = disk.list().map_err(Error::io(&disk, Action::List, "", None))?;
        let mut sequences: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
        sequences.sort_unstable();
        let fresh = sequences.is_empty();
        if fresh && !config.create {
            return Err(Error::NoLog { path: disk.path("") });
        }
        if fresh && names.iter().any(|name| snapshot::parse_name(name).is_some()) {
            let path = disk.path(&segment_name(1));
            return Err(Error::Missing { path, needed_by: "the snapshot beside it" });
        }
        let mut pool = SegmentPool::open(&disk, &config.identity, &names, config.spare_segments)?;
        if fresh {
            pool.begin(1, config.segment_bytes)?;
            sequences.push(1);
        }
        let log = replay(&disk, &config.identity, &sequences)?;
        let snapshot = marked_snapshot(&disk, &config.identity, log.state.snapshot)?;
        snapshot::remove_unfinished(&disk, &names)?;
        snapshot::remove_all_but(&disk, log.state.snapshot.index)?;
        let recovered = Recovered {
            hard_state: log.state.hard_state,
            snapshot,
            entries: log.entries,
            torn_bytes: log.torn_bytes,
            fresh,
        };
        let mut terms = TermRuns::default();
        for entry in &recovered.entries {
            terms.append(entry.index, entry.term);
        }
        let wal = Wal {
            disk,
            config,
            poisoned: false,
            queue: BatchBuffer::new(),
            queue_highest: Index::ZERO,
            durable: log.state,
            queued: log.state,
            terms,
            next_batch: log.next_batch,
            sealed: false,
            closed: log.closed.into(),
            current: log.tail,
            prepared: log.prepared,
            pool,
        };
        Ok((wal, recovered))
    }

    /// The last entry's index, queued entries included; the snapshot's if there is none behind it.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.queued.last.index
    }

    /// How many bytes wait for the next [`Wal::sync`].
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        if self.queue.is_empty() { 0 } else { self.queue.largest_batch_bytes() as usize }
    }

    /// Queues the term and the vote.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after an earlier error.
    ///
    /// # Panics
    /// If the term goes down.
    pub fn append_hard_state(&mut self, hard_state: HardState) -> Result<(), Error> {
        self.check()?;
        assert!(hard_state.term >= self.queued.hard_state.term, "the current term never goes down");
        self.queue.push(&Record::HardState(hard_state));
        self.queued.hard_state = hard_state;
        Ok(())
    }

    /// Queues that the entries from `from` on are gone. Nothing happens if there are none.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after an earlier error.
    ///
    /// # Panics
    /// If `from` lies within the snapshot.
    pub fn append_truncation(&mut self, from: Index) -> Result<(), Error> {
        self.check()?;
        assert!(from > self.queued.snapshot.index, "what a snapshot covers is committed, and stays");
        if from > self.queued.last.index {
            return Ok(());
        }
        self.queue.push(&Record::Truncate(from));
        let index = from.previous();
        let term = self.term_at(index).expect("every entry behind the snapshot has a known term");
        self.terms.truncate(from);
        self.queued.last = Position { index, term };
        Ok(())
    }

    /// Queues entries.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after an earlier error.
    ///
    /// # Panics
    /// If they do not follow the last entry without a gap.
    pub fn append_entries(&mut self, entries: &[Entry]) -> Result<(), Error> {
        self.check()?;
        for entry in entries {
            assert!(entry.index == self.queued.last.index.next(), "entries follow each other without a gap");
            assert!(entry.term >= self.queued.last.term, "terms never go down along the log");
            self.queue.push_entry(entry);
            self.terms.append(entry.index, entry.term);
            self.queued.last = Position { index: entry.index, term: entry.term };
        }
        self.queue_highest = self.queue_highest.max(entries.last().map_or(Index::ZERO, |entry| entry.index));
        Ok(())
    }

    /// Makes everything that is queued durable, with one write and one `fdatasync`. After a crash in here,
    /// either all of it is there or nothing.
    ///
    /// # Errors
    /// If the disk refuses: then nobody knows what is on it, and the log is poisoned.
    ///
    /// # Panics
    /// If 4 GiB or more are queued.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.guarded(Wal::write_queue)
    }

    /// Notes that a snapshot, which is durable under its name (`SnapshotWriter::finish`), replaces the log's
    /// beginning; syncs, with everything that is queued; then lets go of the segments and of the older
    /// snapshots that are not needed any more. Whoever has one of these open can go on reading it.
    ///
    /// If the log holds the snapshot's last entry, with the same term, what follows it stays. Otherwise no
    /// entry stays (Paper, Figure 13). A snapshot that is not newer than the log's newest changes nothing.
    ///
    /// # Errors
    /// If there is no such snapshot on the disk, or it refuses; the log is poisoned then.
    pub fn snapshot_taken(&mut self, meta: &SnapshotMeta) -> Result<(), Error> {
        self.guarded(|wal| {
            if meta.last_included_index <= wal.queued.snapshot.index {
                return Ok(());
            }
            // The log is never cut for a snapshot that is not there.
            SnapshotReader::open(&wal.disk, &wal.config.identity, meta.last_included_index)?;
            wal.queue_snapshot(snapshot::position(meta));
            wal.write_queue()?;
            while wal.closed.front().is_some_and(|old| old.last_index <= wal.durable.snapshot.index) {
                let old = wal.closed.pop_front().expect("it was looked at a line before");
                wal.pool.retire(old.sequence)?;
            }
            snapshot::remove_older(&wal.disk, wal.durable.snapshot.index)
        })
    }

    /// One step of work ahead: zeros in front of the log's end, the next segment. Takes one to three
    /// milliseconds; to be called while nothing waits, and whenever [`Wal::maintenance_due`] says so. Returns
    /// whether there was something to do.
    ///
    /// # Errors
    /// If the disk refuses; the log is poisoned then.
    pub fn maintain(&mut self) -> Result<bool, Error> {
        self.guarded(Wal::work_ahead)
    }

    /// Under steady load, too little is left of what [`Wal::maintain`] does ahead.
    #[must_use]
    pub fn maintenance_due(&self) -> bool {
        let reserve = self.config.fill_ahead_bytes / 2;
        let room = self.config.segment_bytes.saturating_sub(self.current.offset);
        let filled = self.current.length.saturating_sub(self.current.offset);
        if filled < room.min(reserve) {
            return true;
        }
        let beyond = reserve.saturating_sub(room);
        beyond > 0 && self.prepared.as_ref().is_none_or(|next| next.length < beyond)
    }

    /// Notes behind the last batch that it was synced. Until then, damage to the last batch looks like a torn
    /// tail. To be called when the log has rested for a while, and before a clean stop. Costs one write, no
    /// sync, and its place is used again by the next batch.
    ///
    /// # Errors
    /// If the disk refuses; the log is poisoned then.
    pub fn seal(&mut self) -> Result<(), Error> {
        self.guarded(Wal::write_seal)
    }

    fn check(&self) -> Result<(), Error> {
        if self.poisoned { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Runs a step whose failure is final.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.check()?;
        let result = step(self);
        self.poisoned = result.is_err();
        result
    }

    fn write_queue(&mut self) -> Result<(), Error> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let needed = self.queue.largest_batch_bytes() + SEGMENT_END_BYTES;
        let begun = self.current.offset > FIRST_BATCH;
        if begun && self.current.offset + needed > self.config.segment_bytes {
            self.close_segment()?;
        }
        let checkpoint = (self.current.offset == FIRST_BATCH).then_some(&self.durable);
        let place = place(&self.current, self.next_batch, &self.durable);
        let (bytes, batch) = self.queue.finish(place, checkpoint);
        write(&self.disk, &self.pool, &mut self.current, bytes, self.config.segment_bytes)?;
        sync(&self.disk, &self.current)?;
        self.advance(batch);
        self.current.last_index = self.current.last_index.max(self.queue_highest);
        self.queue_highest = Index::ZERO;
        self.durable = self.queued;
        self.queue.clear();
        Ok(())
    }

    fn queue_snapshot(&mut self, snapshot: Position) {
        let kept = self.term_at(snapshot.index) == Some(snapshot.term);
        let last = if kept { self.queued.last } else { snapshot };
        self.queue.push(&Record::Snapshot { snapshot, last });
        if kept {
            self.terms.forget_through(snapshot.index);
        } else {
            self.terms = TermRuns::default();
        }
        self.queued.snapshot = snapshot;
        self.queued.last = last;
    }

    /// Says in the current segment that the log goes on in the next one, and goes there.
    fn close_segment(&mut self) -> Result<(), Error> {
        let next = match self.prepared.take() {
            Some(next) => next,
            None => self.begin_segment()?,
        };
        self.pool.settle(&mut self.current)?;
        let mut end = BatchBuffer::new();
        end.push(&Record::SegmentEnd(next.sequence));
        let (bytes, batch) = end.finish(place(&self.current, self.next_batch, &self.durable), None);
        write(&self.disk, &self.pool, &mut self.current, bytes, self.config.segment_bytes)?;
        sync(&self.disk, &self.current)?;
        self.advance(batch);
        let closed = std::mem::replace(&mut self.current, next);
        self.closed.push_back(ClosedSegment { sequence: closed.sequence, last_index: closed.last_index });
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<Tail<D::File>, Error> {
        self.pool.begin(self.current.sequence + 1, self.config.segment_bytes)
    }

    fn advance(&mut self, batch: u64) {
        self.current.offset += batch;
        self.next_batch += 1;
        self.sealed = false;
    }

    fn work_ahead(&mut self) -> Result<bool, Error> {
        let (segment, ahead) = (self.config.segment_bytes, self.config.fill_ahead_bytes);
        let end = self.current.offset.saturating_add(ahead);
        // A slice at a time: topping up after each batch would cost a sync each.
        let slack = FILL_SLICE.min(ahead / 2);
        let current = &mut self.current;
        if current.length < segment && current.length + slack <= end {
            self.pool.fill(current, segment)?;
            return Ok(true);
        }
        if end <= segment {
            return Ok(false);
        }
        match &mut self.prepared {
            None => self.prepared = Some(self.begin_segment()?),
            Some(next) if next.length < ahead.min(segment) => self.pool.fill(next, segment)?,
            Some(_) => return Ok(false),
        }
        Ok(true)
    }

    fn write_seal(&mut self) -> Result<(), Error> {
        if self.sealed || !self.queue.is_empty() || self.current.offset == FIRST_BATCH {
            return Ok(());
        }
        let mut seal = BatchBuffer::new();
        let (bytes, _) = seal.finish(place(&self.current, self.next_batch, &self.durable), None);
        write(&self.disk, &self.pool, &mut self.current, bytes, self.config.segment_bytes)?;
        self.sealed = true;
        Ok(())
    }

    /// The term of an entry, if the log holds it or the snapshot ends with it.
    fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.queued.snapshot.index {
            return Some(self.queued.snapshot.term);
        }
        let held = index > self.queued.snapshot.index && index <= self.queued.last.index;
        if held { self.terms.at(index) } else { None }
    }
}

/// The snapshot that the log's newest marker names.
fn marked_snapshot<D: Disk>(
    disk: &D,
    identity: &[u8; 16],
    marked: Position,
) -> Result<Option<SnapshotMeta>, Error> {
    if marked.index == Index::ZERO {
        return Ok(None);
    }
    let missing = || Error::Missing { path: disk.path(&snapshot::name(marked)), needed_by: "the log" };
    if !list_snapshots(disk)?.contains(&marked.index) {
        return Err(missing());
    }
    let reader = SnapshotReader::open(disk, identity, marked.index)?;
    if snapshot::position(reader.meta()) != marked {
        return Err(missing());
    }
    Ok(Some(reader.meta().clone()))
}

fn place<F>(segment: &Tail<F>, number: u64, state: &LogState) -> BatchPlace {
    BatchPlace { key: segment.key, offset: segment.offset, number, next_index: state.last.index.next() }
}

/// Writes at the segment's end, into room that is durable.
fn write<D: Disk>(
    disk: &D,
    pool: &SegmentPool<D>,
    segment: &mut Tail<D::File>,
    bytes: &[u8],
    limit: u64,
) -> Result<(), Error> {
    pool.reserve(segment, segment.offset + bytes.len() as u64, limit)?;
    let written = disk.write_at(&segment.file, segment.offset, bytes);
    written.map_err(|source| {
        let name = segment_name(segment.sequence);
        Error::io(disk, Action::Write, &name, Some(segment.offset))(source)
    })
}

fn sync<D: Disk>(disk: &D, segment: &Tail<D::File>) -> Result<(), Error> {
    disk.sync_data(&segment.file).map_err(|source| {
        Error::io(disk, Action::Sync, &segment_name(segment.sequence), Some(segment.offset))(source)
    })
}

/// The term of each entry, as runs: the first index of each term.
#[derive(Debug, Default)]
struct TermRuns {
    runs: VecDeque<Position>,
}

impl TermRuns {
    fn append(&mut self, index: Index, term: Term) {
        if self.runs.back().is_none_or(|run| run.term != term) {
            self.runs.push_back(Position { index, term });
        }
    }

    fn truncate(&mut self, from: Index) {
        while self.runs.back().is_some_and(|run| run.index >= from) {
            self.runs.pop_back();
        }
    }

    /// Drops the runs that end at or before `index`.
    fn forget_through(&mut self, index: Index) {
        while self.runs.get(1).is_some_and(|next| next.index <= index.next()) {
            self.runs.pop_front();
        }
    }

    fn at(&self, index: Index) -> Option<Term> {
        let behind = self.runs.partition_point(|run| run.index <= index);
        behind.checked_sub(1).map(|run| self.runs[run].term)
    }
}
