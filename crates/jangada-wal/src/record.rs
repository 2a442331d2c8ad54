//! What stands in the log: records, and the batch that one sync writes.
//!
//! A batch is a header and the records behind it. Its checksums cover what cannot be seen in the bytes: whose
//! log it is, which segment, and which byte of it. A block that the disk wrote to the wrong place, or that a
//! recycled segment still holds from its former life, is therefore not a batch.
//!
//! Batches are numbered without a gap, and batch *k+1* is written only after batch *k* was synced. So whoever
//! finds batch *k+1* knows that batch *k* was durable: this is how a torn tail is told from later damage.
//! Drawn byte by byte in `docs/wal-format.md`.

use bytes::{Buf, Bytes};
use jangada_raft::types::{Entry, HardState, Index, NodeId, Term};

use crate::codec::{self, need, take_flag};

/// Batches begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// A batch's header.
pub(crate) const BATCH_HEADER_BYTES: usize = 32;
/// A record's header: checksum and length.
const RECORD_HEADER_BYTES: usize = 8;
/// The disk's and the page cache's unit. A write that fills its last page spares the kernel from reading the
/// page's old content first, and leaves zeros behind the batch: the mark of a clean end.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// The record that begins each segment: header, kind, hard state, snapshot and last entry.
const CHECKPOINT_BYTES: usize = RECORD_HEADER_BYTES + 1 + 17 + 16 + 16;
/// A batch that says that the log goes on in the next segment, with the free header behind it.
pub(crate) const SEGMENT_END_BYTES: u64 =
    (BATCH_HEADER_BYTES + (RECORD_HEADER_BYTES + 9).next_multiple_of(8) + BATCH_HEADER_BYTES) as u64;

const MAGIC: u32 = u32::from_le_bytes(*b"jwal");

const HARD_STATE: u8 = 1;
const ENTRY: u8 = 2;
const TRUNCATE: u8 = 3;
const SNAPSHOT: u8 = 4;
const CHECKPOINT: u8 = 5;
const SEGMENT_END: u8 = 6;

/// An entry's place: what two logs compare (Paper §5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) index: Index,
    pub(crate) term: Term,
}

/// What a reader must know before the first record of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    pub(crate) hard_state: HardState,
    /// The newest snapshot that has a marker.
    pub(crate) snapshot: Position,
    /// The last entry; the snapshot's if there is none behind it.
    pub(crate) last: Position,
}

/// One thing that the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The term and the vote.
    HardState(HardState),
    /// The next entry.
    Entry(Entry),
    /// Entries from here on are gone.
    Truncate(Index),
    /// A snapshot is durable under its name. `last` is the log's last entry now: beyond the snapshot if the
    /// log went on from it, otherwise the snapshot itself, and no entry is left (Paper, Figure 13).
    Snapshot { snapshot: Position, last: Position },
    /// The state before this segment.
    Checkpoint(LogState),
    /// The log goes on in this segment.
    SegmentEnd(u64),
}

/// Stands for "this log, this segment" in each checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentKey(u32);

impl SegmentKey {
    pub(crate) fn new(identity: &[u8; 16], sequence: u64) -> SegmentKey {
        SegmentKey(crc32c::crc32c_append(crc32c::crc32c(identity), &sequence.to_le_bytes()))
    }

    fn checksum(self, offset: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &offset.to_le_bytes()), bytes)
    }
}

/// The header of a batch, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// The length of the records behind it.
    pub(crate) body_bytes: u32,
    /// How many records these are. None at all: the mark that the batch before it was synced.
    pub(crate) records: u32,
    /// Which batch of this log.
    pub(crate) number: u64,
    /// The index that the next entry would have had before this batch.
    pub(crate) next_index: Index,
}

impl BatchHeader {
    /// Cheap: these bytes may be a header.
    pub(crate) fn is_named(bytes: &[u8]) -> bool {
        u32_at(bytes, 4) == MAGIC
    }

    /// The sound header at `offset`, if there is one.
    pub(crate) fn decode(key: SegmentKey, offset: u64, bytes: &[u8]) -> Option<BatchHeader> {
        let mut fields: &[u8] = bytes.get(..BATCH_HEADER_BYTES)?;
        if !BatchHeader::is_named(bytes) {
            return None;
        }
        if key.checksum(offset, &bytes[4..BATCH_HEADER_BYTES]) != fields.get_u32_le() {
            return None;
        }
        fields.advance(4);
        Some(BatchHeader {
            body_bytes: fields.get_u32_le(),
            records: fields.get_u32_le(),
            number: fields.get_u64_le(),
            next_index: Index(fields.get_u64_le()),
        })
    }

    fn encode(&self, key: SegmentKey, offset: u64, bytes: &mut [u8]) {
        bytes[4..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.next_index.0.to_le_bytes());
        let checksum = key.checksum(offset, &bytes[4..BATCH_HEADER_BYTES]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The whole batch's length, header and padding included.
    pub(crate) fn batch_bytes(&self) -> u64 {
        (BATCH_HEADER_BYTES as u64 + u64::from(self.body_bytes)).next_multiple_of(ALIGNMENT)
    }
}

/// Checks each record of a batch; `offset` is the body's place. `false` if any of them is not sound.
pub(crate) fn body_is_sound(key: SegmentKey, offset: u64, body: &[u8], records: u32) -> bool {
    let mut start = 0;
    for _ in 0..records {
        let Some(end) = record_end(body, start) else { return false };
        let stored = u32_at(body, start);
        if stored != key.checksum(offset + start as u64, &body[start + 4..end]) {
            return false;
        }
        start = end;
    }
    start == body.len()
}

/// Where the record at `start` ends, if it lies within `body`.
fn record_end(body: &[u8], start: usize) -> Option<usize> {
    if body.len() - start < RECORD_HEADER_BYTES {
        return None;
    }
    let length = u32_at(body, start + 4) as usize;
    let end = start.checked_add(RECORD_HEADER_BYTES)?.checked_add(length)?;
    (length > 0 && end <= body.len()).then_some(end)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Takes the next record from the front of a sound body. An entry's command is a slice of it.
pub(crate) fn take_record(body: &mut Bytes) -> Result<Record, codec::Error> {
    need(body, RECORD_HEADER_BYTES)?;
    body.advance(4);
    let length = body.get_u32_le() as usize;
    need(body, length)?;
    let mut record = body.split_to(length);
    need(&record, 1)?;
    let decoded = match record.get_u8() {
        HARD_STATE => Record::HardState(take_hard_state(&mut record)?),
        ENTRY => Record::Entry(codec::decode_entry(&mut record)?),
        TRUNCATE => Record::Truncate(Index(take_u64(&mut record)?)),
        SNAPSHOT => {
            Record::Snapshot { snapshot: take_position(&mut record)?, last: take_position(&mut record)? }
        }
        CHECKPOINT => Record::Checkpoint(LogState {
            hard_state: take_hard_state(&mut record)?,
            snapshot: take_position(&mut record)?,
            last: take_position(&mut record)?,
        }),
        SEGMENT_END => Record::SegmentEnd(take_u64(&mut record)?),
        unknown => return Err(codec::Error::UnknownKind(unknown)),
    };
    if record.is_empty() { Ok(decoded) } else { Err(codec::Error::TooLong) }
}

fn take_u64(record: &mut Bytes) -> Result<u64, codec::Error> {
    need(record, 8)?;
    Ok(record.get_u64_le())
}

fn take_position(record: &mut Bytes) -> Result<Position, codec::Error> {
    Ok(Position { index: Index(take_u64(record)?), term: Term(take_u64(record)?) })
}

fn take_hard_state(record: &mut Bytes) -> Result<HardState, codec::Error> {
    let term = Term(take_u64(record)?);
    let voted = take_flag(record)?;
    let candidate = NodeId(take_u64(record)?);
    Ok(HardState { term, voted_for: voted.then_some(candidate) })
}

/// Where a batch goes, for its header and its checksums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchPlace {
    pub(crate) key: SegmentKey,
    pub(crate) offset: u64,
    pub(crate) number: u64,
    pub(crate) next_index: Index,
}

/// The records that wait for the next sync, already encoded, in one buffer that is used again and again.
///
/// Which segment they will go to, and whether a checkpoint must come before them, is known only at the sync:
/// so room for both stands in front, and the checksums are filled in last.
///
/// ```text
/// |<- CHECKPOINT_BYTES ->|<- header ->| records …
/// |<- header ->|<- CHECKPOINT_BYTES ->| records …     the first batch of a segment
/// ```
#[derive(Debug)]
pub(crate) struct BatchBuffer {
    bytes: Vec<u8>,
    records: u32,
}

const FRONT: usize = CHECKPOINT_BYTES + BATCH_HEADER_BYTES;
/// What the buffer keeps for the next batch; one huge entry must not pin its memory for ever.
const KEPT_CAPACITY: usize = 4 << 20;

impl BatchBuffer {
    pub(crate) fn new() -> BatchBuffer {
        BatchBuffer { bytes: vec![0; FRONT], records: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The bytes that the batch will take in a segment, checkpoint included.
    pub(crate) fn largest_batch_bytes(&self) -> u64 {
        (self.bytes.len() as u64).next_multiple_of(ALIGNMENT)
    }

    /// Queues a record.
    pub(crate) fn push(&mut self, record: &Record) {
        match record {
            Record::HardState(hard_state) => {
                self.with(HARD_STATE, |out| put_hard_state(*hard_state, out));
            }
            Record::Entry(entry) => self.push_entry(entry),
            Record::Truncate(from) => self.with(TRUNCATE, |out| put_u64(from.0, out)),
            Record::Snapshot { snapshot, last } => self.with(SNAPSHOT, |out| {
                put_position(*snapshot, out);
                put_position(*last, out);
            }),
            Record::Checkpoint(state) => self.with(CHECKPOINT, |out| put_state(state, out)),
            Record::SegmentEnd(next) => self.with(SEGMENT_END, |out| put_u64(*next, out)),
        }
    }

    /// Queues an entry, without cloning it into a `Record` first.
    pub(crate) fn push_entry(&mut self, entry: &Entry) {
        self.with(ENTRY, |out| codec::encode_entry(entry, out));
    }

    fn with(&mut self, kind: u8, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        self.bytes.push(kind);
        encode(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start - RECORD_HEADER_BYTES)
            .expect("an entry is bounded far below 4 GiB by the core's Config");
        self.bytes[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
    }

    /// Finishes the batch for its place. Returns what is to be written there, zeros up to a page's end
    /// included, and the length of the batch itself.
    ///
    /// # Panics
    /// If 4 GiB or more were queued.
    pub(crate) fn finish(&mut self, place: BatchPlace, checkpoint: Option<&LogState>) -> (&[u8], u64) {
        let start = if checkpoint.is_some() { 0 } else { CHECKPOINT_BYTES };
        let body = start + BATCH_HEADER_BYTES;
        if let Some(state) = checkpoint {
            self.put_checkpoint(state);
        }
        let end = self.bytes.len();
        let header = BatchHeader {
            body_bytes: u32::try_from(end - body).expect("whoever queues must sync before 4 GiB"),
            records: self.records,
            number: place.number,
            next_index: place.next_index,
        };
        header.encode(place.key, place.offset, &mut self.bytes[start..body]);
        self.put_checksums(place, start, body, end);
        let batch = header.batch_bytes();
        // At least one free header behind the batch, and then to the end of the page.
        let write = place.offset + batch + BATCH_HEADER_BYTES as u64;
        let write = usize::try_from(write.next_multiple_of(PAGE_BYTES) - place.offset)
            .expect("a batch fits in memory");
        self.bytes.resize(start + write, 0);
        (&self.bytes[start..], batch)
    }

    fn put_checkpoint(&mut self, state: &LogState) {
        let mut record = Vec::with_capacity(CHECKPOINT_BYTES);
        record.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
        record.push(CHECKPOINT);
        put_state(state, &mut record);
        assert!(record.len() == CHECKPOINT_BYTES, "the room kept for the checkpoint is exact");
        let length = (CHECKPOINT_BYTES - RECORD_HEADER_BYTES) as u32;
        record[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[BATCH_HEADER_BYTES..FRONT].copy_from_slice(&record);
        self.records += 1;
    }

    fn put_checksums(&mut self, place: BatchPlace, start: usize, body: usize, end: usize) {
        let mut at = body;
        while at < end {
            let length = u32_at(&self.bytes, at + 4) as usize;
            let next = at + RECORD_HEADER_BYTES + length;
            let offset = place.offset + (at - start) as u64;
            let checksum = place.key.checksum(offset, &self.bytes[at + 4..next]);
            self.bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
            at = next;
        }
        assert!(at == end, "the records fill the body exactly");
    }

    /// Forgets the batch, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(FRONT);
        self.bytes.shrink_to(KEPT_CAPACITY);
        self.records = 0;
    }
}

fn put_u64(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_position(position: Position, out: &mut Vec<u8>) {
    put_u64(position.index.0, out);
    put_u64(position.term.0, out);
}

fn put_hard_state(hard_state: HardState, out: &mut Vec<u8>) {
    put_u64(hard_state.term.0, out);
    out.push(u8::from(hard_state.voted_for.is_some()));
    put_u64(hard_state.voted_for.map_or(0, |candidate| candidate.0), out);
}

fn put_state(state: &LogState, out: &mut Vec<u8>) {
    put_hard_state(state.hard_state, out);
    put_position(state.snapshot, out);
    put_position(state.last, out);
}
