//! Snapshot files: the state machine at one index, which replaces the log up to there (Paper §7).
//!
//! A snapshot is written aside, in chunks that follow each other; [`SnapshotWriter::finish`] makes it durable
//! and only then gives it its name. So a file with a snapshot's name is whole. It counts, though, only from
//! the moment that the log has a marker for it: see `Wal::snapshot_taken`.
//!
//! Offsets are those of the *payload*, the bytes that the state machine wrote. The file's own framing, with a
//! checksum for each 64 KiB, is this module's affair: a leader sends payload, its follower frames it anew.

use bytes::Bytes;
use jangada_raft::types::{Index, SnapshotMeta, Term};

use crate::codec;
use crate::disk::Disk;
use crate::error::{Action, Damage, Error};
use crate::record::Position;

const MAGIC: [u8; 8] = *b"jangada\0";
const KIND: [u8; 4] = *b"snap";
const END: [u8; 4] = *b"end.";
const VERSION: u32 = 1;
/// Magic, kind, version, identity, length of the description.
const FIXED_BYTES: usize = 36;
/// Payload bytes under one checksum.
const CHUNK_BYTES: u64 = 64 << 10;
const CHECKSUM_BYTES: u64 = 4;
/// Kind, payload length, checksum.
const FOOTER_BYTES: u64 = 16;
/// After this many bytes the writer syncs, so that no sync, which the log's own has to wait for, takes long.
/// Measured: 5.6 ms for 1 MiB, 8.4 ms for 4 MiB; shorter steps only make the snapshot slower.
const SYNC_EVERY: u64 = 4 << 20;
/// A description is a few addresses; anything larger is damage.
const MAX_META_BYTES: u32 = 16 << 20;

const SUFFIX: &str = ".snapshot";

/// Where a snapshot comes from. Both kinds can be under way at once, without touching each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Our own state machine.
    Taken,
    /// The leader sends it.
    Received,
}

/// A snapshot that is being written.
pub struct SnapshotWriter<D: Disk> {
    disk: D,
    file: D::File,
    aside: String,
    meta: SnapshotMeta,
    /// Stands for "this snapshot" in each checksum.
    seed: u32,
    /// Payload bytes so far.
    next_offset: u64,
    /// The file's length without what is pending.
    written: u64,
    /// The part of the file that was synced.
    synced: u64,
    /// Framed bytes that are not yet written; behind them the beginning of a chunk.
    pending: Vec<u8>,
    /// Payload bytes at the end of `pending` that have no checksum yet.
    open_chunk: usize,
}

impl<D: Disk> SnapshotWriter<D> {
    /// Begins a snapshot. What an earlier attempt of the same origin left behind is dropped.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn begin(
        disk: &D,
        identity: &[u8; 16],
        meta: &SnapshotMeta,
        origin: Origin,
    ) -> Result<SnapshotWriter<D>, Error> {
        let aside = match origin {
            Origin::Taken => format!("{}.taken.tmp", name(position(meta))),
            Origin::Received => format!("{}.received.tmp", name(position(meta))),
        };
        if names(disk)?.contains(&aside) {
            disk.remove(&aside).map_err(Error::io(disk, Action::Remove, &aside, None))?;
        }
        let file = disk.create(&aside).map_err(Error::io(disk, Action::Create, &aside, None))?;
        let pending = encode_header(identity, meta);
        let seed = crc32c::crc32c(&pending);
        Ok(SnapshotWriter {
            disk: disk.clone(),
            file,
            aside,
            meta: meta.clone(),
            seed,
            next_offset: 0,
            written: 0,
            synced: 0,
            pending,
            open_chunk: 0,
        })
    }

    /// What the snapshot stands for.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// How much of the payload is here: where the next chunk begins.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// Adds the payload bytes at `offset`. What is here already is skipped, so that a chunk that comes twice
    /// does no harm.
    ///
    /// # Errors
    /// [`Error::SnapshotGap`], with no effect, if bytes before `offset` are missing; otherwise the disk's
    /// refusal, after which the snapshot must be begun anew.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Error> {
        if offset > self.next_offset {
            return Err(Error::SnapshotGap { expected: self.next_offset, found: offset });
        }
        let known = usize::try_from(self.next_offset - offset).unwrap_or(usize::MAX).min(data.len());
        let mut data = &data[known..];
        while !data.is_empty() {
            let room = CHUNK_BYTES as usize - self.open_chunk;
            let (now, later) = data.split_at(room.min(data.len()));
            self.pending.extend_from_slice(now);
            self.open_chunk += now.len();
            self.next_offset += now.len() as u64;
            if self.open_chunk == CHUNK_BYTES as usize {
                self.close_chunk();
            }
            data = later;
        }
        let whole = self.pending.len() - self.open_chunk;
        if whole as u64 >= CHUNK_BYTES {
            self.flush(whole)?;
        }
        if self.written - self.synced >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes the snapshot durable under its name. It counts once the log has a marker for it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn finish(mut self) -> Result<SnapshotMeta, Error> {
        if self.open_chunk > 0 {
            self.close_chunk();
        }
        let start = self.pending.len();
        self.pending.extend_from_slice(&END);
        self.pending.extend_from_slice(&self.next_offset.to_le_bytes());
        let checksum = crc32c::crc32c_append(self.seed, &self.pending[start..]);
        self.pending.extend_from_slice(&checksum.to_le_bytes());
        self.flush(self.pending.len())?;
        assert!(
            self.written == file_bytes(header_bytes(&self.meta), self.next_offset),
            "the file is as long as its reader will expect"
        );
        self.sync()?;
        let disk = &self.disk;
        let name = name(position(&self.meta));
        disk.rename(&self.aside, &name).map_err(Error::io(disk, Action::Rename, &name, None))?;
        disk.sync_dir().map_err(Error::io(disk, Action::SyncDir, &name, None))?;
        Ok(self.meta)
    }

    /// Drops the snapshot and what was written of it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn discard(self) -> Result<(), Error> {
        self.disk.remove(&self.aside).map_err(Error::io(&self.disk, Action::Remove, &self.aside, None))
    }

    fn close_chunk(&mut self) {
        let number = (self.next_offset - 1) / CHUNK_BYTES;
        let chunk = &self.pending[self.pending.len() - self.open_chunk..];
        let checksum = chunk_checksum(self.seed, number, chunk);
        self.pending.extend_from_slice(&checksum.to_le_bytes());
        self.open_chunk = 0;
    }

    fn flush(&mut self, count: usize) -> Result<(), Error> {
        let result = self.disk.write_at(&self.file, self.written, &self.pending[..count]);
        result.map_err(Error::io(&self.disk, Action::Write, &self.aside, Some(self.written)))?;
        self.written += count as u64;
        self.pending.drain(..count);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        let result = self.disk.sync_data(&self.file);
        result.map_err(Error::io(&self.disk, Action::Sync, &self.aside, None))?;
        self.synced = self.written;
        Ok(())
    }
}

/// A durable snapshot, open for reading. It stays readable while newer ones replace it.
pub struct SnapshotReader<D: Disk> {
    disk: D,
    file: D::File,
    name: String,
    meta: SnapshotMeta,
    seed: u32,
    header_bytes: u64,
    payload_bytes: u64,
}

impl<D: Disk> SnapshotReader<D> {
    /// Opens the snapshot that ends with this index.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none; if it is damaged, not ours, or the disk refuses.
    pub fn open(disk: &D, identity: &[u8; 16], last_included: Index) -> Result<SnapshotReader<D>, Error> {
        let names = names(disk)?;
        let found = names.iter().find(|name| parse_name(name).is_some_and(|at| at.index == last_included));
        let Some(name) = found else {
            let name = format!("{:020}-*{SUFFIX}", last_included.0);
            return Err(Error::Missing { path: disk.path(&name), needed_by: "whoever reads the snapshot" });
        };
        let file = disk.open(name).map_err(Error::io(disk, Action::Open, name, None))?;
        let mut reader = SnapshotReader {
            disk: disk.clone(),
            file,
            name: name.clone(),
            meta: SnapshotMeta::default(),
            seed: 0,
            header_bytes: 0,
            payload_bytes: 0,
        };
        reader.read_header(identity)?;
        reader.read_footer()?;
        if parse_name(&reader.name) != Some(position(&reader.meta)) {
            return Err(reader.corrupt(0, Damage::FileHeader));
        }
        Ok(reader)
    }

    /// What the snapshot stands for.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// The length of the payload.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Payload bytes from `offset` on, `max_bytes` at most, each verified; and whether the payload ends with
    /// them. Behind the payload's end there are none.
    ///
    /// # Errors
    /// If a chunk is damaged, or the disk refuses.
    pub fn read_at(&self, offset: u64, max_bytes: usize) -> Result<(Bytes, bool), Error> {
        let end = offset.saturating_add(max_bytes as u64).min(self.payload_bytes);
        if offset >= end {
            return Ok((Bytes::new(), offset >= self.payload_bytes));
        }
        let (first, last) = (offset / CHUNK_BYTES, (end - 1) / CHUNK_BYTES);
        let start = self.header_bytes + first * (CHUNK_BYTES + CHECKSUM_BYTES);
        let chunks_end = self.payload_bytes.min((last + 1) * CHUNK_BYTES);
        let count = (chunks_end - first * CHUNK_BYTES) + (last - first + 1) * CHECKSUM_BYTES;
        let framed = self.read(start, count)?;

        let mut payload = Vec::with_capacity(framed.len());
        for (number, chunk) in (first..).zip(framed.chunks((CHUNK_BYTES + CHECKSUM_BYTES) as usize)) {
            let (data, checksum) = chunk.split_at(chunk.len() - CHECKSUM_BYTES as usize);
            if chunk_checksum(self.seed, number, data).to_le_bytes() != *checksum {
                let damaged = self.header_bytes + number * (CHUNK_BYTES + CHECKSUM_BYTES);
                return Err(self.corrupt(damaged, Damage::Chunk));
            }
            payload.extend_from_slice(data);
        }
        let skip = (offset - first * CHUNK_BYTES) as usize;
        let data = Bytes::from(payload).slice(skip..skip + (end - offset) as usize);
        Ok((data, end == self.payload_bytes))
    }

    fn read_header(&mut self, identity: &[u8; 16]) -> Result<(), Error> {
        let fixed = self.read(0, FIXED_BYTES as u64)?;
        if fixed[..8] != MAGIC || fixed[8..12] != KIND {
            return Err(self.corrupt(0, Damage::FileHeader));
        }
        let u32_at = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let (version, meta_bytes) = (u32_at(12), u32_at(32));
        if version != VERSION {
            return Err(Error::UnknownVersion { path: self.disk.path(&self.name), version });
        }
        if fixed[16..32] != *identity {
            let found = <[u8; 16]>::try_from(&fixed[16..32]).expect("the slice has 16 bytes");
            return Err(Error::Foreign { path: self.disk.path(&self.name), found, expected: *identity });
        }
        if meta_bytes > MAX_META_BYTES {
            return Err(self.corrupt(32, Damage::FileHeader));
        }
        self.header_bytes = FIXED_BYTES as u64 + u64::from(meta_bytes) + CHECKSUM_BYTES;
        let header = Bytes::from(self.read(0, self.header_bytes)?);
        let (fields, checksum) = header.split_at(header.len() - CHECKSUM_BYTES as usize);
        if crc32c::crc32c(fields).to_le_bytes() != *checksum {
            return Err(self.corrupt(0, Damage::FileHeader));
        }
        self.seed = crc32c::crc32c(&header);
        let mut meta = header.slice(FIXED_BYTES..FIXED_BYTES + meta_bytes as usize);
        let decoded = codec::decode_snapshot_meta(&mut meta);
        self.meta = decoded.map_err(|error| self.corrupt(FIXED_BYTES as u64, Damage::Decode(error)))?;
        if meta.is_empty() { Ok(()) } else { Err(self.corrupt(FIXED_BYTES as u64, Damage::FileHeader)) }
    }

    fn read_footer(&mut self) -> Result<(), Error> {
        let length = self.disk.len(&self.file);
        let length = length.map_err(Error::io(&self.disk, Action::Read, &self.name, None))?;
        let Some(at) = length.checked_sub(FOOTER_BYTES).filter(|at| *at >= self.header_bytes) else {
            return Err(self.corrupt(0, Damage::Length));
        };
        let footer = self.read(at, FOOTER_BYTES)?;
        let (fields, checksum) = footer.split_at(12);
        if fields[..4] != END || crc32c::crc32c_append(self.seed, fields).to_le_bytes() != *checksum {
            return Err(self.corrupt(at, Damage::Length));
        }
        self.payload_bytes = u64::from_le_bytes(fields[4..].try_into().expect("8 of 12 bytes are left"));
        if length != file_bytes(self.header_bytes, self.payload_bytes) {
            return Err(self.corrupt(at, Damage::Length));
        }
        Ok(())
    }

    /// Exactly these bytes of the file.
    fn read(&self, offset: u64, count: u64) -> Result<Vec<u8>, Error> {
        let length = self.disk.len(&self.file);
        let length = length.map_err(Error::io(&self.disk, Action::Read, &self.name, None))?;
        if offset + count > length {
            return Err(self.corrupt(length, Damage::Length));
        }
        let mut buffer = vec![0; usize::try_from(count).expect("at most what the caller asked for")];
        let read = self.disk.read_at(&self.file, offset, &mut buffer);
        let read = read.map_err(Error::io(&self.disk, Action::Read, &self.name, Some(offset)))?;
        if read < buffer.len() { Err(self.corrupt(length, Damage::Length)) } else { Ok(buffer) }
    }

    fn corrupt(&self, offset: u64, damage: Damage) -> Error {
        Error::Corrupt { path: self.disk.path(&self.name), offset, index: None, damage }
    }
}

/// Which snapshots have a name: the last index of each, ascending. One that is newer than the log's marker
/// does not count (yet).
///
/// # Errors
/// If the disk refuses.
pub fn list_snapshots<D: Disk>(disk: &D) -> Result<Vec<Index>, Error> {
    let mut found: Vec<Index> =
        names(disk)?.iter().filter_map(|name| parse_name(name)).map(|at| at.index).collect();
    found.sort_unstable();
    Ok(found)
}

/// Removes the snapshots that the one at `newest` has replaced. A newer one may be there already, with its
/// marker on its way.
pub(crate) fn remove_older<D: Disk>(disk: &D, newest: Index) -> Result<(), Error> {
    remove_where(disk, |at| at < newest)
}

/// Removes the snapshots that have no marker in the log.
pub(crate) fn remove_all_but<D: Disk>(disk: &D, marked: Index) -> Result<(), Error> {
    remove_where(disk, |at| at != marked)
}

fn remove_where<D: Disk>(disk: &D, unwanted: impl Fn(Index) -> bool) -> Result<(), Error> {
    let mut removed = false;
    for name in names(disk)? {
        if parse_name(&name).is_some_and(|at| unwanted(at.index)) {
            disk.remove(&name).map_err(Error::io(disk, Action::Remove, &name, None))?;
            removed = true;
        }
    }
    if removed {
        disk.sync_dir().map_err(Error::io(disk, Action::SyncDir, "", None))?;
    }
    Ok(())
}

/// Removes what a crash left of snapshots that were never finished.
pub(crate) fn remove_unfinished<D: Disk>(disk: &D, names: &[String]) -> Result<(), Error> {
    for name in names.iter().filter(|name| name.contains(SUFFIX) && name.ends_with(".tmp")) {
        disk.remove(name).map_err(Error::io(disk, Action::Remove, name, None))?;
    }
    Ok(())
}

pub(crate) fn position(meta: &SnapshotMeta) -> Position {
    Position { index: meta.last_included_index, term: meta.last_included_term }
}

pub(crate) fn name(at: Position) -> String {
    format!("{:020}-{:020}{SUFFIX}", at.index.0, at.term.0)
}

/// The snapshot that has this name.
pub(crate) fn parse_name(name: &str) -> Option<Position> {
    let (index, term) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let number = |digits: &str| {
        let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    };
    Some(Position { index: Index(number(index)?), term: Term(number(term)?) })
}

fn names<D: Disk>(disk: &D) -> Result<Vec<String>, Error> {
    disk.list().map_err(Error::io(disk, Action::List, "", None))
}

fn encode_header(identity: &[u8; 16], meta: &SnapshotMeta) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&KIND);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(identity);
    header.extend_from_slice(&[0; 4]);
    codec::encode_snapshot_meta(meta, &mut header);
    let length = u32::try_from(header.len() - FIXED_BYTES).expect("a description is a few addresses");
    assert!(length <= MAX_META_BYTES, "the reader accepts what the writer writes");
    header[32..FIXED_BYTES].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&header);
    header.extend_from_slice(&checksum.to_le_bytes());
    header
}

fn header_bytes(meta: &SnapshotMeta) -> u64 {
    let meta_bytes = 16 + codec::encoded_membership_len(&meta.membership) as u64;
    FIXED_BYTES as u64 + meta_bytes + CHECKSUM_BYTES
}

fn file_bytes(header_bytes: u64, payload_bytes: u64) -> u64 {
    let chunks = payload_bytes.div_ceil(CHUNK_BYTES);
    header_bytes
        .saturating_add(payload_bytes)
        .saturating_add(chunks * CHECKSUM_BYTES)
        .saturating_add(FOOTER_BYTES)
}

fn chunk_checksum(seed: u32, number: u64, data: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &number.to_le_bytes()), data)
}
