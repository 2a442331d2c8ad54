//! Reading the log back: what it says, where it ends, and whether that end can be trusted.
//!
//! One batch is in flight at a time, and its successor is written only after it was synced. So when the place
//! where the next batch should stand holds none:
//! - if any later batch exists, in this segment or the next, what is missing here was durable once: damage,
//!   and nothing is touched;
//! - if the file ends there, it was cut short later: a batch is written only into a file that is, durably,
//!   long enough for it and a free header behind it;
//! - otherwise what is missing, if anything, was still in flight: a torn tail. It is cut, and zeros are made
//!   durable in its place before anything new is written there.

use jangada_raft::types::{Entry, HardState, Index, SnapshotMeta, Term};

use crate::disk::Disk;
use crate::error::{Action, Damage, Error};
use crate::record::{
    ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, LogState, PAGE_BYTES, Position, Record, take_record,
};
use crate::segment::{FIRST_BATCH, Found, SegmentReader, Tail, segment_name};

/// What the disk remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The term and the vote.
    pub hard_state: HardState,
    /// The newest durable snapshot, if there is one.
    pub snapshot: Option<SnapshotMeta>,
    /// The entries behind it (from index 1 on if there is none), without a hole.
    pub entries: Vec<Entry>,
    /// How many bytes of a write that a crash cut off were removed from the log's end. An estimate if not
    /// even the write's first bytes survived.
    pub torn_bytes: u64,
    /// There was no log: this node starts for the first time.
    pub fresh: bool,
}

/// A segment that will not be written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClosedSegment {
    pub(crate) sequence: u64,
    /// No entry in it has a higher index.
    pub(crate) last_index: Index,
}

/// The log, read back and repaired.
pub(crate) struct Replayed<F> {
    pub(crate) state: LogState,
    pub(crate) entries: Vec<Entry>,
    pub(crate) torn_bytes: u64,
    pub(crate) next_batch: u64,
    pub(crate) closed: Vec<ClosedSegment>,
    pub(crate) tail: Tail<F>,
    /// A segment that was prepared but not begun.
    pub(crate) prepared: Option<Tail<F>>,
}

/// Reads the segments with these numbers, oldest first, and repairs the tail. What is returned is durable.
pub(crate) fn replay<D: Disk>(
    disk: &D,
    identity: &[u8; 16],
    sequences: &[u64],
) -> Result<Replayed<D::File>, Error> {
    assert!(!sequences.is_empty(), "a log has at least one segment");
    // A name that we see may be no more than a promise of the page cache; from here on it is durable.
    disk.sync_dir().map_err(Error::io(disk, Action::SyncDir, "", None))?;
    let mut log = Replay::new(sequences[0]);
    let mut closed = Vec::new();
    let mut sequences = sequences.iter().copied();
    loop {
        let expected = log.sequence;
        match sequences.next() {
            Some(sequence) if sequence == expected => {}
            _ => {
                let path = disk.path(&segment_name(expected));
                return Err(Error::Missing { path, needed_by: "the log" });
            }
        }
        let mut reader = SegmentReader::open(disk, identity, expected)?;
        log.begin_segment();
        let end = log.read_segment(&mut reader)?;
        if let End::Continues = end {
            closed.push(ClosedSegment { sequence: expected, last_index: log.highest_index });
            continue;
        }
        let prepared = prove_end(disk, identity, &log, &mut reader, sequences)?;
        let torn_bytes = repair(disk, &log, &mut reader, &end)?;
        log.check_no_hole(&reader)?;
        return Ok(Replayed {
            state: log.state,
            entries: log.entries,
            torn_bytes,
            next_batch: log.next_batch,
            closed,
            tail: Tail {
                offset: log.offset,
                length: durable_length(&reader, log.offset, &end),
                last_index: log.highest_index,
                ..tail_at_start(reader)
            },
            prepared: prepared.map(tail_at_start),
        });
    }
}

fn tail_at_start<D: Disk>(reader: SegmentReader<D>) -> Tail<D::File> {
    let length = durable_length(&reader, FIRST_BATCH, &End::Clean);
    Tail {
        file: reader.file,
        sequence: reader.sequence,
        key: reader.key,
        offset: FIRST_BATCH,
        length,
        last_index: Index::ZERO,
    }
}

/// How much of a file is durable. Zeros further ahead that are only in the page cache look like any others (a
/// sync of them may have failed), so they are written again; a repair has just done that.
fn durable_length<D: Disk>(reader: &SegmentReader<D>, end_of_log: u64, end: &End) -> u64 {
    match end {
        End::Torn(_) => reader.length,
        End::Continues | End::Clean | End::Synced => {
            (end_of_log + BATCH_HEADER_BYTES as u64).next_multiple_of(PAGE_BYTES)
        }
    }
}

/// How a segment's batches end.
enum End {
    /// With the word that the next segment goes on.
    Continues,
    /// With free space.
    Clean,
    /// With the mark that the last batch was synced.
    Synced,
    /// With bytes that are no batch.
    Torn(Option<BatchHeader>),
}

/// The log so far.
struct Replay {
    /// The segment that is being read.
    sequence: u64,
    /// Where its next batch is expected.
    offset: u64,
    /// The last batch's place and length, in the segment of this number.
    last_batch: Option<(u64, u64, u64)>,
    next_batch: u64,
    /// Nothing was read yet, and batches before the first that is still there are no concern of ours.
    first: bool,
    state: LogState,
    /// The entry before `entries`. Its term is unknown (0) if only a removed segment told it.
    base: Position,
    entries: Vec<Entry>,
    /// The highest index of an entry in this segment.
    highest_index: Index,
}

impl Replay {
    fn new(sequence: u64) -> Replay {
        Replay {
            sequence,
            offset: FIRST_BATCH,
            last_batch: None,
            next_batch: 1,
            first: true,
            state: LogState::default(),
            base: Position::default(),
            entries: Vec::new(),
            highest_index: Index::ZERO,
        }
    }

    fn begin_segment(&mut self) {
        self.offset = FIRST_BATCH;
        self.highest_index = Index::ZERO;
    }

    fn next_index(&self) -> Index {
        self.state.last.index.next()
    }

    /// Applies the segment's batches, up to the first place without one.
    fn read_segment<D: Disk>(&mut self, reader: &mut SegmentReader<D>) -> Result<End, Error> {
        loop {
            let (header, mut body) = match reader.at(self.offset)? {
                Found::Batch { header, body } => (header, body),
                Found::Nothing => return Ok(End::Clean),
                Found::Damaged(header) => return Ok(End::Torn(header)),
                Found::Cut => {
                    return Err(reader.corrupt(reader.length, Some(self.next_index()), Damage::Cut));
                }
            };
            let index = Some(header.next_index);
            let out_of_order =
                |reader: &SegmentReader<D>, offset| Err(reader.corrupt(offset, index, Damage::Order));
            if self.first && self.offset == FIRST_BATCH {
                self.next_batch = header.number;
            }
            if header.number != self.next_batch {
                return out_of_order(reader, self.offset);
            }
            if header.records == 0 {
                return Ok(End::Synced);
            }
            let mut continues = false;
            let mut checkpoint_due = self.offset == FIRST_BATCH;
            for _ in 0..header.records {
                let record = take_record(&mut body)
                    .map_err(|error| reader.corrupt(self.offset, index, Damage::Decode(error)))?;
                let is_checkpoint = matches!(record, Record::Checkpoint(_));
                if continues || is_checkpoint != checkpoint_due {
                    return out_of_order(reader, self.offset);
                }
                checkpoint_due = false;
                continues = matches!(record, Record::SegmentEnd(_));
                if !self.apply(record) {
                    return out_of_order(reader, self.offset);
                }
            }
            self.last_batch = Some((reader.sequence, self.offset, header.batch_bytes()));
            self.next_batch += 1;
            self.offset += header.batch_bytes();
            if continues {
                self.sequence += 1;
                return Ok(End::Continues);
            }
        }
    }

    /// Applies one record; `false` if it cannot follow from the ones before it.
    fn apply(&mut self, record: Record) -> bool {
        match record {
            Record::HardState(hard_state) => {
                let follows = hard_state.term >= self.state.hard_state.term;
                self.state.hard_state = hard_state;
                follows
            }
            Record::Entry(entry) => {
                let follows = entry.index == self.next_index() && entry.term >= self.state.last.term;
                self.state.last = Position { index: entry.index, term: entry.term };
                self.highest_index = self.highest_index.max(entry.index);
                self.entries.push(entry);
                follows
            }
            Record::Truncate(from) => self.truncate(from),
            Record::Snapshot { snapshot, last } => self.mark_snapshot(snapshot, last),
            Record::Checkpoint(state) if self.first => {
                self.first = false;
                self.state = state;
                self.base = state.last;
                true
            }
            Record::Checkpoint(state) => {
                let known = self.state.last.term != Term::ZERO;
                let follows = state.hard_state == self.state.hard_state
                    && state.snapshot == self.state.snapshot
                    && state.last.index == self.state.last.index
                    && (!known || state.last.term == self.state.last.term);
                self.state = state;
                follows
            }
            Record::SegmentEnd(next) => next == self.sequence + 1,
        }
    }

    fn truncate(&mut self, from: Index) -> bool {
        if from > self.state.last.index || from <= self.state.snapshot.index {
            return false;
        }
        let last = from.previous();
        if last < self.base.index {
            // These entries stood in a segment that was removed: a later marker covers them, or there is a
            // hole, which `check_no_hole` finds.
            self.entries.clear();
            self.base = Position { index: last, term: Term::ZERO };
        } else {
            let keep = usize::try_from(last - self.base.index).expect("as many as are in memory");
            self.entries.truncate(keep);
        }
        let term = self.entries.last().map_or(self.base.term, |entry| entry.term);
        self.state.last = Position { index: last, term };
        true
    }

    fn mark_snapshot(&mut self, snapshot: Position, last: Position) -> bool {
        let follows = snapshot.index > self.state.snapshot.index && last.index >= snapshot.index;
        self.state.snapshot = snapshot;
        if last == snapshot {
            self.entries.clear();
            self.base = snapshot;
            self.state.last = last;
            return follows;
        }
        if self.base.index < snapshot.index {
            let covered = usize::try_from(snapshot.index - self.base.index).unwrap_or(usize::MAX);
            self.entries.drain(..covered.min(self.entries.len()));
            self.base = snapshot;
        }
        follows && last.index == self.state.last.index
    }

    /// The entries must begin where the snapshot ends.
    fn check_no_hole<D: Disk>(&self, reader: &SegmentReader<D>) -> Result<(), Error> {
        if self.base.index == self.state.snapshot.index {
            return Ok(());
        }
        Err(reader.corrupt(FIRST_BATCH, Some(self.state.snapshot.index.next()), Damage::Hole))
    }
}

/// Proves that nothing was written behind the log's end, or says what was lost there. Returns the segment
/// that was prepared to follow, if there is one.
fn prove_end<D: Disk>(
    disk: &D,
    identity: &[u8; 16],
    log: &Replay,
    reader: &mut SegmentReader<D>,
    mut following: impl Iterator<Item = u64>,
) -> Result<Option<SegmentReader<D>>, Error> {
    let damage = match reader.at(log.offset)? {
        Found::Damaged(Some(_)) => Damage::Record,
        Found::Damaged(None) | Found::Nothing | Found::Cut | Found::Batch { .. } => Damage::Batch,
    };
    let lost_here =
        |reader: &SegmentReader<D>| Err(reader.corrupt(log.offset, Some(log.next_index()), damage));
    // A segment is begun only after the one before was closed, and segment 1 is where a log begins.
    if log.first && reader.sequence != 1 {
        return lost_here(reader);
    }
    if reader.has_batch_from(log.next_batch, log.offset + ALIGNMENT)? {
        return lost_here(reader);
    }
    // One segment at most is prepared ahead: of two, the first was written.
    let next = match (following.next(), following.next()) {
        (None, _) => return Ok(None),
        (Some(next), None) if next == reader.sequence + 1 => next,
        (Some(_), _) => return lost_here(reader),
    };
    let mut prepared = SegmentReader::open(disk, identity, next)?;
    if let Found::Cut = prepared.at(FIRST_BATCH)? {
        return Err(prepared.corrupt(prepared.length, Some(log.next_index()), Damage::Cut));
    }
    if prepared.has_batch_from(log.next_batch, FIRST_BATCH)? {
        return lost_here(reader);
    }
    Ok(Some(prepared))
}

/// Makes the log's end durable: cuts a torn tail, or writes the last batch once more. Returns the number of
/// bytes cut.
fn repair<D: Disk>(disk: &D, log: &Replay, reader: &mut SegmentReader<D>, end: &End) -> Result<u64, Error> {
    match end {
        End::Torn(header) => {
            let torn = match header {
                Some(header) => header.batch_bytes().min(reader.length - log.offset),
                None => visible_bytes(reader, log.offset)?,
            };
            cut(disk, reader, log.offset)?;
            Ok(torn)
        }
        End::Synced => Ok(0),
        End::Clean => {
            rewrite_last_batch(disk, log, reader)?;
            Ok(0)
        }
        End::Continues => unreachable!("a segment that continues is not the last"),
    }
}

/// How far something stands at `offset`: up to the first free header.
fn visible_bytes<D: Disk>(reader: &mut SegmentReader<D>, offset: u64) -> Result<u64, Error> {
    let mut end = offset;
    while end < reader.length {
        let slot = reader.bytes(end, BATCH_HEADER_BYTES as u64)?;
        if slot.is_empty() || slot.iter().all(|byte| *byte == 0) {
            break;
        }
        end += slot.len() as u64;
    }
    Ok(end - offset)
}

const ZEROS: &[u8] = &[0; 1 << 20];

/// Zeros from `offset` to the segment's end, durably: what a later write covers only in part must not come
/// back.
fn cut<D: Disk>(disk: &D, reader: &SegmentReader<D>, offset: u64) -> Result<(), Error> {
    let mut at = offset;
    while at < reader.length {
        let count = (reader.length - at).min(ZEROS.len() as u64);
        let zeros = &ZEROS[..usize::try_from(count).expect("at most ZEROS.len()")];
        let written = disk.write_at(&reader.file, at, zeros);
        written.map_err(Error::io(disk, Action::Write, &reader.name, Some(at)))?;
        at += count;
    }
    disk.sync_data(&reader.file).map_err(Error::io(disk, Action::Sync, &reader.name, None))
}

/// Whether the last batch is on the disk or only in the page cache cannot be seen: perhaps the process was
/// killed before its sync, or, worse, the sync failed, after which the kernel believes that there is nothing
/// left to write. Writing the same bytes again makes it so, and all before it were synced in their time.
fn rewrite_last_batch<D: Disk>(disk: &D, log: &Replay, reader: &mut SegmentReader<D>) -> Result<(), Error> {
    let Some((sequence, offset, length)) = log.last_batch else { return Ok(()) };
    let name = segment_name(sequence);
    let other;
    let file = if sequence == reader.sequence {
        &reader.file
    } else {
        other = disk.open(&name).map_err(Error::io(disk, Action::Open, &name, None))?;
        &other
    };
    let mut batch = vec![0; usize::try_from(length).expect("it was in memory before")];
    let read = disk.read_at(file, offset, &mut batch);
    let read = read.map_err(Error::io(disk, Action::Read, &name, Some(offset)))?;
    assert!(read == batch.len(), "the batch was read a moment ago");
    disk.write_at(file, offset, &batch).map_err(Error::io(disk, Action::Write, &name, Some(offset)))?;
    disk.sync_data(file).map_err(Error::io(disk, Action::Sync, &name, None))
}
