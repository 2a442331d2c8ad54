//! The files that hold the batches: their names, their header, and a reader for what follows it.
//!
//! A segment is one page of header, then batches, then zeros (or, in a recycled segment, what is left of its
//! former life, which no checksum of this segment fits). Segments are numbered without a gap.

use std::collections::VecDeque;

use bytes::Bytes;
use jangada_raft::types::Index;

use crate::disk::Disk;
use crate::error::{Action, Damage, Error};
use crate::record::{ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, PAGE_BYTES, SegmentKey, body_is_sound};

/// Where the first batch begins.
pub(crate) const FIRST_BATCH: u64 = PAGE_BYTES;

/// What a segment is called that waits to be used again.
const SPARE_SUFFIX: &str = ".spare";

const MAGIC: [u8; 8] = *b"jangada\0";
const VERSION: u32 = 1;
const KIND: u32 = u32::from_le_bytes(*b"segm");
const HEADER_BYTES: usize = 44;

/// The name of a segment.
pub(crate) fn segment_name(sequence: u64) -> String {
    format!("{sequence:020}.wal")
}

/// The number of the segment with this name, if it is one.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    if digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

/// The first page of a segment.
pub(crate) fn encode_header(identity: &[u8; 16], sequence: u64) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE_BYTES as usize);
    page.extend_from_slice(&MAGIC);
    page.extend_from_slice(&KIND.to_le_bytes());
    page.extend_from_slice(&VERSION.to_le_bytes());
    page.extend_from_slice(identity);
    page.extend_from_slice(&sequence.to_le_bytes());
    let checksum = crc32c::crc32c(&page);
    page.extend_from_slice(&checksum.to_le_bytes());
    assert!(page.len() == HEADER_BYTES, "the header is as long as the reader believes");
    page.resize(PAGE_BYTES as usize, 0);
    page
}

/// A segment that is written, or will be.
pub(crate) struct Tail<F> {
    pub(crate) file: F,
    pub(crate) sequence: u64,
    pub(crate) key: SegmentKey,
    /// Where the next batch goes.
    pub(crate) offset: u64,
    /// So much of the file is durable, and so is its length if it is no longer than this. A batch is written
    /// only where it fits in, with a free header behind it: no crash leaves a file that ends before one.
    pub(crate) length: u64,
    /// No entry in this segment has a higher index.
    pub(crate) last_index: Index,
}

/// Reads one segment from its start to its end.
pub(crate) struct SegmentReader<D: Disk> {
    disk: D,
    pub(crate) file: D::File,
    pub(crate) name: String,
    pub(crate) sequence: u64,
    pub(crate) key: SegmentKey,
    /// The file's length.
    pub(crate) length: u64,
    /// What was read last, and where it begins. Commands are slices of it: small chunks let the memory of old
    /// entries go when the log is cut.
    chunk: Bytes,
    chunk_offset: u64,
}

const CHUNK_BYTES: u64 = 1 << 20;

/// What stands at a place where a batch may begin.
pub(crate) enum Found {
    /// A sound batch.
    Batch {
        header: BatchHeader,
        /// Its records.
        body: Bytes,
    },
    /// Zeros.
    Nothing,
    /// The file's end, where there is room for a batch in every file that we wrote.
    Cut,
    /// Something else. With a sound header, the batch that it speaks of is damaged.
    Damaged(Option<BatchHeader>),
}

impl<D: Disk> SegmentReader<D> {
    /// Opens a segment and checks that it is this one, and ours.
    pub(crate) fn open(disk: &D, identity: &[u8; 16], sequence: u64) -> Result<SegmentReader<D>, Error> {
        let name = segment_name(sequence);
        let file = disk.open(&name).map_err(Error::io(disk, Action::Open, &name, None))?;
        let length = disk.len(&file).map_err(Error::io(disk, Action::Read, &name, None))?;
        let mut header = [0; HEADER_BYTES];
        let count =
            disk.read_at(&file, 0, &mut header).map_err(Error::io(disk, Action::Read, &name, Some(0)))?;
        let corrupt =
            || Error::Corrupt { path: disk.path(&name), offset: 0, index: None, damage: Damage::FileHeader };
        let (fields, checksum) = header.split_at(HEADER_BYTES - 4);
        if count < HEADER_BYTES
            || fields[..8] != MAGIC
            || fields[8..12] != KIND.to_le_bytes()
            || crc32c::crc32c(fields).to_le_bytes() != *checksum
        {
            return Err(corrupt());
        }
        let version = u32::from_le_bytes([fields[12], fields[13], fields[14], fields[15]]);
        if version != VERSION {
            return Err(Error::UnknownVersion { path: disk.path(&name), version });
        }
        if fields[16..32] != *identity {
            let found = <[u8; 16]>::try_from(&fields[16..32]).expect("the slice has 16 bytes");
            return Err(Error::Foreign { path: disk.path(&name), found, expected: *identity });
        }
        if fields[32..40] != sequence.to_le_bytes() {
            return Err(corrupt());
        }
        let key = SegmentKey::new(identity, sequence);
        let chunk = Bytes::new();
        Ok(SegmentReader { disk: disk.clone(), file, name, sequence, key, length, chunk, chunk_offset: 0 })
    }

    /// What stands at `offset`.
    pub(crate) fn at(&mut self, offset: u64) -> Result<Found, Error> {
        let header_bytes = self.bytes(offset, BATCH_HEADER_BYTES as u64)?;
        if header_bytes.len() < BATCH_HEADER_BYTES {
            return Ok(Found::Cut);
        }
        let Some(header) = BatchHeader::decode(self.key, offset, &header_bytes) else {
            let free = header_bytes.iter().all(|byte| *byte == 0);
            return Ok(if free { Found::Nothing } else { Found::Damaged(None) });
        };
        // The length comes from a sound header, yet nothing is allocated that the file does not hold.
        let body_offset = offset + BATCH_HEADER_BYTES as u64;
        let body = self.bytes(body_offset, u64::from(header.body_bytes))?;
        if body.len() < header.body_bytes as usize {
            return Ok(Found::Cut);
        }
        if !body_is_sound(self.key, body_offset, &body, header.records) {
            return Ok(Found::Damaged(Some(header)));
        }
        Ok(Found::Batch { header, body })
    }

    /// Whether a sound header of batch `number` or a later one stands anywhere at or behind `offset`. Those of
    /// a recycled segment's former life have lower numbers, so that not even a checksum that fits by chance
    /// (one in 2^32 for each of them) raises a false alarm.
    pub(crate) fn has_batch_from(&mut self, number: u64, offset: u64) -> Result<bool, Error> {
        let mut at = offset.next_multiple_of(ALIGNMENT);
        loop {
            let window = self.bytes(at, CHUNK_BYTES)?;
            if window.len() < BATCH_HEADER_BYTES {
                return Ok(false);
            }
            let mut within = 0;
            while within + BATCH_HEADER_BYTES <= window.len() {
                let slot = &window[within..within + BATCH_HEADER_BYTES];
                if BatchHeader::is_named(slot) {
                    let header = BatchHeader::decode(self.key, at + within as u64, slot);
                    if header.is_some_and(|header| header.number >= number) {
                        return Ok(true);
                    }
                }
                within += ALIGNMENT as usize;
            }
            at += within as u64;
        }
    }

    /// The bytes from `offset` on; fewer than `count` if the file ends.
    pub(crate) fn bytes(&mut self, offset: u64, count: u64) -> Result<Bytes, Error> {
        let count = count.min(self.length.saturating_sub(offset));
        let end = offset + count;
        let chunk_end = self.chunk_offset + self.chunk.len() as u64;
        if offset < self.chunk_offset || end > chunk_end {
            let wanted = count.max(CHUNK_BYTES).min(self.length.saturating_sub(offset));
            let wanted = usize::try_from(wanted).expect("a batch fits in memory");
            let mut buffer = vec![0; wanted];
            let read = self.disk.read_at(&self.file, offset, &mut buffer);
            let read = read.map_err(Error::io(&self.disk, Action::Read, &self.name, Some(offset)))?;
            buffer.truncate(read);
            self.chunk = Bytes::from(buffer);
            self.chunk_offset = offset;
        }
        let start = usize::try_from(offset - self.chunk_offset).expect("it lies within the chunk");
        let end = self.chunk.len().min(start + usize::try_from(count).expect("it lies within the chunk"));
        Ok(self.chunk.slice(start..end))
    }

    /// Says where the damage is. `index` is the first entry that may be lost with it.
    pub(crate) fn corrupt(&self, offset: u64, index: Option<Index>, damage: Damage) -> Error {
        Error::Corrupt { path: self.disk.path(&self.name), offset, index, damage }
    }
}

/// Segments that come and go: creation, recycling, removal. Each step is durable when it returns.
pub(crate) struct SegmentPool<D: Disk> {
    disk: D,
    identity: [u8; 16],
    /// Segments that a snapshot has replaced, oldest first, to be used again.
    spares: VecDeque<String>,
    spare_limit: usize,
}

/// A new segment under way; a crash leaves it behind without harm.
const ASIDE: &str = "segment.tmp";
/// How many zeros are written, and synced, at a time.
pub(crate) const FILL_SLICE: u64 = 1 << 20;
const ZEROS: &[u8] = &[0; FILL_SLICE as usize];

impl<D: Disk> SegmentPool<D> {
    /// Takes over what is left of earlier runs: `names` is the directory.
    pub(crate) fn open(
        disk: &D,
        identity: &[u8; 16],
        names: &[String],
        spare_limit: usize,
    ) -> Result<SegmentPool<D>, Error> {
        if names.iter().any(|name| name == ASIDE) {
            disk.remove(ASIDE).map_err(Error::io(disk, Action::Remove, ASIDE, None))?;
        }
        let mut spares: VecDeque<String> =
            names.iter().filter(|name| name.ends_with(SPARE_SUFFIX)).cloned().collect();
        spares.make_contiguous().sort();
        Ok(SegmentPool { disk: disk.clone(), identity: *identity, spares, spare_limit })
    }

    /// A segment, ready for its first batch. A new one has a first slice of zeros, `limit` bytes at most; a
    /// recycled one is as long as it was.
    pub(crate) fn begin(&mut self, sequence: u64, limit: u64) -> Result<Tail<D::File>, Error> {
        let disk = &self.disk;
        let name = segment_name(sequence);
        let (aside, file) = match self.spares.pop_front() {
            Some(spare) => {
                let file = disk.open(&spare).map_err(Error::io(disk, Action::Open, &spare, None))?;
                (spare, file)
            }
            None => {
                let file = disk.create(ASIDE).map_err(Error::io(disk, Action::Create, ASIDE, None))?;
                (ASIDE.to_owned(), file)
            }
        };
        let length = disk.len(&file).map_err(Error::io(disk, Action::Read, &aside, None))?;
        // A recycled segment needs a free header where its first batch will stand; the rest of its old
        // content fits no checksum of the new number.
        let mut first = encode_header(&self.identity, sequence);
        let wanted = if length == 0 { limit.min(FILL_SLICE) } else { FIRST_BATCH + PAGE_BYTES };
        first.resize(usize::try_from(wanted).expect("at most a slice"), 0);
        disk.write_at(&file, 0, &first).map_err(Error::io(disk, Action::Write, &aside, Some(0)))?;
        disk.sync_data(&file).map_err(Error::io(disk, Action::Sync, &aside, None))?;
        disk.rename(&aside, &name).map_err(Error::io(disk, Action::Rename, &name, None))?;
        disk.sync_dir().map_err(Error::io(disk, Action::SyncDir, &name, None))?;
        Ok(Tail {
            file,
            sequence,
            key: SegmentKey::new(&self.identity, sequence),
            offset: FIRST_BATCH,
            length: length.max(wanted),
            last_index: Index::ZERO,
        })
    }

    /// Takes a segment out of the log, for good.
    pub(crate) fn retire(&mut self, sequence: u64) -> Result<(), Error> {
        let disk = &self.disk;
        let name = segment_name(sequence);
        if self.spares.len() < self.spare_limit {
            let spare = format!("{sequence:020}{SPARE_SUFFIX}");
            disk.rename(&name, &spare).map_err(Error::io(disk, Action::Rename, &name, None))?;
            self.spares.push_back(spare);
        } else {
            disk.remove(&name).map_err(Error::io(disk, Action::Remove, &name, None))?;
        }
        // Before the next step: the header of a spare is overwritten only when it has lost its old name for
        // good, and no segment goes before an older one has gone.
        disk.sync_dir().map_err(Error::io(disk, Action::SyncDir, &name, None))
    }

    /// Makes room for a write that ends at `end`: zeros up to there at least, durably.
    pub(crate) fn reserve(&self, segment: &mut Tail<D::File>, end: u64, limit: u64) -> Result<(), Error> {
        while segment.length < end {
            self.fill(segment, limit.max(end))?;
        }
        Ok(())
    }

    /// Makes all of a segment that will not be written again durable: its length is relied upon when it is used
    /// again, and after a restart the end may be in the page cache alone.
    pub(crate) fn settle(&self, segment: &mut Tail<D::File>) -> Result<(), Error> {
        let disk = &self.disk;
        let length = disk.len(&segment.file);
        let name = segment_name(segment.sequence);
        let length = length.map_err(Error::io(disk, Action::Read, &name, None))?;
        self.reserve(segment, length, length)
    }

    /// Lengthens a segment by a slice of zeros, to `limit` bytes at most.
    pub(crate) fn fill(&self, segment: &mut Tail<D::File>, limit: u64) -> Result<(), Error> {
        let disk = &self.disk;
        let name = segment_name(segment.sequence);
        let offset = segment.length;
        let count = limit.saturating_sub(offset).min(FILL_SLICE);
        let zeros = &ZEROS[..usize::try_from(count).expect("at most a slice")];
        disk.write_at(&segment.file, offset, zeros).map_err(Error::io(
            disk,
            Action::Write,
            &name,
            Some(offset),
        ))?;
        disk.sync_data(&segment.file).map_err(Error::io(disk, Action::Sync, &name, None))?;
        segment.length += count;
        Ok(())
    }
}
