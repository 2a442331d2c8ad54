//! Reading a snapshot back. Bytes that are not a snapshot give an error, never a panic and never half a store.

use alloc::vec::Vec;
use core::fmt;

use crate::auth::AuthRecord;
use crate::entry::{ChangeId, Entry, Life};
use crate::hash::Hasher;
use crate::key_index::SortedEntries;
use crate::lease::{LeaseRecord, MAX_LEASE_SECONDS, MIN_LEASE_SECONDS};
use crate::small_key::SmallKey;
use crate::snapshot::{End, FORMAT, Header, KeyRecord, LeasedRecord, Record};
use crate::space::{AlarmRecord, Quota};
use crate::store::Store;
use crate::types::{LeaseId, Millis, Revision};
use crate::wire::{DecodeError, Reader, Wire};

/// Longest record that is accepted, in bytes. Bounds what is collected on the word of a damaged length.
const MAX_RECORD_BYTES: u64 = 1 << 30;

/// Revisions and counts beyond this are damage: no store can have reached them.
const MAX_COUNT: u64 = 1 << 62;

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// A record cannot be decoded.
    Decode {
        /// Its number, counted from 0.
        record: u64,
        /// Why not.
        error: DecodeError,
    },
    /// A record contradicts the ones before it.
    Contradiction {
        /// Its number, counted from 0.
        record: u64,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The snapshot is of a format that this version does not know.
    UnknownFormat {
        /// Its number.
        format: u64,
    },
    /// The bytes ended before the snapshot did.
    Incomplete,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Decode { record, error } => write!(f, "record {record} of the snapshot: {error}"),
            RestoreError::Contradiction { record, rule } => {
                write!(f, "record {record} of the snapshot breaks a rule: {rule}")
            }
            RestoreError::UnknownFormat { format } => {
                write!(f, "the snapshot has format {format}, which this version does not know")
            }
            RestoreError::Incomplete => f.write_str("the snapshot is not complete"),
        }
    }
}

impl core::error::Error for RestoreError {}

/// A store that is being built from the chunks of a snapshot.
pub struct Restore {
    store: Store,
    stage: Stage,
    /// Bytes of a record that has not come whole yet.
    pending: Vec<u8>,
    records: u64,
    quota_is_there: bool,
    last_lease: Option<LeaseId>,
    keys: u64,
    changes: u64,
    hasher: Hasher,
}

enum Stage {
    Header,
    Keys(SortedEntries),
    Changes,
    Ended,
    /// It was an error; nothing can follow.
    Failed(RestoreError),
}

impl Default for Restore {
    fn default() -> Restore {
        Restore::new()
    }
}

impl Restore {
    /// Waits for the first chunk.
    #[must_use]
    pub fn new() -> Restore {
        Restore {
            store: Store::new(),
            stage: Stage::Header,
            pending: Vec::new(),
            records: 0,
            quota_is_there: false,
            last_lease: None,
            keys: 0,
            changes: 0,
            hasher: Hasher::new(),
        }
    }

    /// A store of keys as they were before its floor, and of the changes from there on, each in the order of a snapshot.
    pub(crate) fn import(
        header: Header,
        keys: impl Iterator<Item = KeyRecord>,
        changes: impl Iterator<Item = KeyRecord>,
    ) -> Result<Store, RestoreError> {
        let mut restore = Restore::new();
        restore.take_header(header)?;
        for key in keys {
            restore.take_key(key)?;
            restore.records += 1;
        }
        for change in changes {
            restore.take_change(change)?;
            restore.records += 1;
        }
        let end = End { keys: restore.keys, changes: restore.changes, hash: 0 };
        restore.take_end(end, 0)?;
        restore.finish()
    }

    /// Takes the next bytes of the stream. They may be cut anywhere.
    ///
    /// # Errors
    /// If the bytes so far are not the beginning of a snapshot. It stays like that from then on.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        if let Stage::Failed(error) = self.stage {
            return Err(error);
        }
        self.take_records(bytes).inspect_err(|error| self.stage = Stage::Failed(*error))
    }

    /// Replicated time as of the snapshot, once its header has come.
    #[must_use]
    pub fn clock(&self) -> Option<Millis> {
        (!matches!(self.stage, Stage::Header | Stage::Failed(_))).then_some(self.store.clock)
    }

    /// The store, if the snapshot has come whole.
    ///
    /// # Errors
    /// The error of an earlier chunk, or [`RestoreError::Incomplete`].
    pub fn finish(self) -> Result<Store, RestoreError> {
        match self.stage {
            Stage::Ended => Ok(self.store),
            Stage::Failed(error) => Err(error),
            Stage::Header | Stage::Keys(_) | Stage::Changes => Err(RestoreError::Incomplete),
        }
    }

    fn take_records(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.pending.extend_from_slice(bytes);
        let pending = core::mem::take(&mut self.pending);
        let mut at = 0;
        while let Some(length) = self.record_length(&pending[at..])? {
            let Some(record) = pending.get(at + length.prefix..at + length.prefix + length.body) else {
                break;
            };
            at += length.prefix + length.body;
            self.take_record(record)?;
            self.records += 1;
        }
        self.pending = pending;
        self.pending.drain(..at);
        Ok(())
    }

    /// `None` if not even the length has come whole.
    fn record_length(&self, bytes: &[u8]) -> Result<Option<Length>, RestoreError> {
        let mut reader = Reader::borrowed(bytes);
        match u64::decode(&mut reader) {
            Ok(body) if body <= MAX_RECORD_BYTES => {
                Ok(Some(Length { prefix: reader.position(), body: body as usize }))
            }
            Ok(_) => Err(self.contradiction("a record has less than a gibibyte")),
            Err(DecodeError::Truncated) => Ok(None),
            Err(error) => Err(RestoreError::Decode { record: self.records, error }),
        }
    }

    fn take_record(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut reader = Reader::borrowed(bytes);
        let record = Record::decode(&mut reader).and_then(|record| reader.finish().map(|()| record));
        let record = record.map_err(|error| RestoreError::Decode { record: self.records, error })?;
        let hash_before = self.hasher.finish();
        self.hasher.bytes(bytes);
        match record {
            Record::Header(header) => self.take_header(header),
            Record::Key(key) => self.take_key(key),
            Record::Change(change) => self.take_change(change),
            Record::End(end) => self.take_end(end, hash_before),
            Record::Lease(lease) => self.take_lease(lease),
            Record::Auth(auth) => self.take_auth(auth),
            Record::Quota(quota) => self.take_quota(quota),
            Record::Alarm(alarm) => self.take_alarm(alarm),
            Record::LeasedKey(leased) => {
                let key = self.unpacked(leased)?;
                self.take_key(key)
            }
            Record::LeasedChange(leased) => {
                let change = self.unpacked(leased)?;
                self.take_change(change)
            }
        }
    }

    fn take_header(&mut self, header: Header) -> Result<(), RestoreError> {
        if !(1..=FORMAT).contains(&header.format) {
            return Err(RestoreError::UnknownFormat { format: header.format });
        }
        self.require(matches!(self.stage, Stage::Header), "the header comes first, and once")?;
        self.require(header.revision >= Revision::FIRST, "the first revision is 1")?;
        self.require(header.revision.0 <= MAX_COUNT, "a revision is a number that can be reached")?;
        self.require(header.floor <= header.revision, "the floor is not above the revision")?;
        self.store.clock = header.clock;
        self.store.revision = header.revision;
        self.store.floor = header.floor;
        self.store.retention = header.retention;
        self.stage = Stage::Keys(SortedEntries::new());
        Ok(())
    }

    fn take_quota(&mut self, quota: Quota) -> Result<(), RestoreError> {
        let is_in_place = self.is_before_keys() && self.last_lease.is_none() && !self.quota_is_there;
        self.require(is_in_place, "the quota comes right behind the header, once")?;
        self.store.space.quota = quota;
        self.quota_is_there = true;
        Ok(())
    }

    fn take_alarm(&mut self, record: AlarmRecord) -> Result<(), RestoreError> {
        let last = self.store.space.alarms.last_key_value().map(|(alarm, _)| *alarm);
        let is_in_place = self.is_before_keys() && self.last_lease.is_none() && self.quota_is_there;
        let is_next = last.is_none_or(|last| last < record.alarm);
        self.require(is_in_place && is_next, "alarms stand in order behind the quota, each once")?;
        self.store.space.alarms.insert(record.alarm, record.is_own);
        Ok(())
    }

    fn is_before_keys(&self) -> bool {
        matches!(self.stage, Stage::Keys(_)) && self.keys == 0
    }

    fn take_lease(&mut self, lease: LeaseRecord) -> Result<(), RestoreError> {
        self.require(self.is_before_keys(), "leases stand between the header and the keys")?;
        let is_next = self.last_lease.is_none_or(|last| last < lease.lease) && lease.lease.0 != 0;
        self.require(is_next, "leases come in the order of their names, each once")?;
        let is_sound = (MIN_LEASE_SECONDS..=MAX_LEASE_SECONDS).contains(&lease.ttl_seconds);
        self.require(is_sound, "a lease's time to live is within the limits")?;
        self.last_lease = Some(lease.lease);
        self.store.add_lease(lease);
        Ok(())
    }

    fn take_auth(&mut self, auth: AuthRecord) -> Result<(), RestoreError> {
        let is_in_place = matches!(self.stage, Stage::Keys(_)) && self.keys == 0;
        self.require(is_in_place, "users stand between the header and the keys")?;
        self.store.take_auth(auth).map_err(|rule| self.contradiction(rule))
    }

    /// A record that says of its version which lease it is under.
    fn unpacked(&self, leased: LeasedRecord) -> Result<KeyRecord, RestoreError> {
        let LeasedRecord { lease, record: KeyRecord { key, mut version } } = leased;
        let is_sound = version.life == Life::Endless && !version.is_tombstone() && lease.0 != 0;
        self.require(is_sound, "a version is under a lease, or has a deadline, or neither")?;
        version.life = Life::Lease(lease);
        Ok(KeyRecord { key, version })
    }

    fn take_key(&mut self, KeyRecord { key, version }: KeyRecord) -> Result<(), RestoreError> {
        self.require(!version.is_tombstone(), "a key that did not exist is not written")?;
        self.require(version.mod_revision < self.store.floor, "a key is as it was before the floor")?;
        self.require_sound(&version)?;
        let Stage::Keys(entries) = &mut self.stage else {
            return Err(self.contradiction("keys stand between the header and the changes"));
        };
        let entry = Entry { key: SmallKey::new(&key), newest: version, newest_change: ChangeId::BEFORE_ALL };
        let Some(slot) = self.store.index.push_sorted(entries, entry) else {
            return Err(self.contradiction("keys come in order, each once"));
        };
        self.store.count_in(slot);
        self.keys += 1;
        Ok(())
    }

    fn take_change(&mut self, KeyRecord { key, version }: KeyRecord) -> Result<(), RestoreError> {
        self.end_keys()?;
        let last = self.store.history.last().map_or(self.store.floor, |change| change.revision);
        self.require(version.mod_revision >= last, "changes come in the order of their revisions")?;
        self.require(version.mod_revision <= self.store.revision, "no change is newer than the revision")?;
        self.require_sound(&version)?;
        let slot = self.store.index.find(&key);
        let is_new = slot.is_none_or(|slot| self.store.newest(slot).mod_revision < version.mod_revision);
        self.require(is_new, "a key changes once in a revision")?;
        self.store.install(&key, slot, version);
        self.changes += 1;
        Ok(())
    }

    fn take_end(&mut self, end: End, hash: u64) -> Result<(), RestoreError> {
        self.end_keys()?;
        self.require(end.keys == self.keys, "the end knows how many keys there were")?;
        self.require(end.changes == self.changes, "the end knows how many changes there were")?;
        self.require(end.hash == hash, "the hash at the end is that of all before")?;
        self.require(self.store.leases.are_whole(), "a key is under a lease that exists")?;
        let first = self.store.history.first();
        self.store.first_above_floor = self.store.history.first_after(self.store.floor, first);
        self.stage = Stage::Ended;
        Ok(())
    }

    /// After the last key, before the first change.
    fn end_keys(&mut self) -> Result<(), RestoreError> {
        match core::mem::replace(&mut self.stage, Stage::Changes) {
            Stage::Keys(entries) => {
                self.store.index.add_sorted(entries);
                Ok(())
            }
            Stage::Changes => Ok(()),
            Stage::Header | Stage::Ended | Stage::Failed(_) => {
                Err(self
                    .contradiction("changes and the end stand between the keys and the end of the stream"))
            }
        }
    }

    fn require_sound(&self, version: &crate::entry::Version) -> Result<(), RestoreError> {
        let is_sound = if version.is_tombstone() {
            version.version == 0 && version.create_revision == Revision::ZERO && version.life == Life::Endless
        } else {
            (1..=MAX_COUNT).contains(&version.version)
                && version.create_revision > Revision::ZERO
                && version.create_revision <= version.mod_revision
        };
        self.require(is_sound, "a version's numbers fit together")?;
        self.require(version.mod_revision > Revision::FIRST, "the first change makes revision 2")
    }

    fn require(&self, holds: bool, rule: &'static str) -> Result<(), RestoreError> {
        if holds { Ok(()) } else { Err(self.contradiction(rule)) }
    }

    fn contradiction(&self, rule: &'static str) -> RestoreError {
        RestoreError::Contradiction { record: self.records, rule }
    }
}

struct Length {
    prefix: usize,
    body: usize,
}
