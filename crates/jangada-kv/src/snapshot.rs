//! Snapshots: the whole state at one revision as a stream of bytes, written while the store goes on changing.
//!
//! Beginning one copies nothing. It notes the revision and the floor of this moment and pins the floor, so that the
//! history from there on is not collected. All that a key is, its deadline included, belongs to its versions; so each
//! key can be written as it was, however late its turn comes and whatever has happened to it since. Leases have no history:
//! their names and deadlines are noted too, 24 bytes of each; so are users, roles and tokens.
//!
//! The stream is what the store knows of its past, and nothing that depends on how it came to know it, so equal states
//! give equal bytes on all replicas:
//!
//! ```text
//! header   clock, revision, floor, retention
//! quota    how much there may be; with each alarm behind it. Not there while nobody has set or raised one
//! lease …  each lease, by name, with its time to live and its deadline
//! auth …   who may do what, if anybody was ever told: the state, each role, user, token
//! key …    each key that existed just before the floor, in key order, with its version of then
//! change … each change from the floor on, in order, with the version that it made
//! end      how many keys and changes there were; a hash of everything before
//! ```
//! Each of these is a record: its length, then its bytes (in the alphabet of [`crate::wire`]). Reading it back is
//! laying down the keys and doing the changes again: [`crate::restore`].

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::auth::AuthRecord;
use crate::entry::{ChangeId, Life, Version};
use crate::hash::Hasher;
use crate::lease::LeaseRecord;
use crate::small_key::SmallKey;
use crate::space::{AlarmRecord, Quota};
use crate::store::Store;
use crate::types::{LeaseId, Millis, Retention, Revision};
use crate::wire::{DecodeError, Reader, Wire, encode_bytes, wire_enum, wire_struct};

/// The version of the stream's format. It became 2 with leases and 3 with users, the quota and alarms; what is written in an
/// older format is read as ever.
pub(crate) const FORMAT: u64 = 3;

/// A snapshot that is being read keeps the history from `floor` on.
pub(crate) struct Pin {
    id: u64,
    pub(crate) floor: Revision,
}

/// A snapshot that is being read. Give it back with [`Store::end_snapshot`], or the store will keep its history for
/// ever.
#[must_use = "a snapshot keeps history until it is ended"]
pub struct SnapshotCursor {
    pin: Option<u64>,
    header: Header,
    /// If there is anything to say of space.
    quota: Option<Quota>,
    alarms: Vec<AlarmRecord>,
    leases: Vec<LeaseRecord>,
    auth: Vec<AuthRecord>,
    position: Position,
    /// The first change that is not part of it.
    end: ChangeId,
    keys: u64,
    changes: u64,
    hasher: Hasher,
    /// Bytes of records that did not fit into the last chunk.
    ready: BytesMut,
    /// Space to build a record in.
    record: Vec<u8>,
}

impl SnapshotCursor {
    /// The revision of the state that is written.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.header.revision
    }
}

enum Position {
    Header,
    /// Next is the quota, with all alarms: there are few.
    Space,
    /// Next is the lease with this number.
    Leases(usize),
    /// Next is the part of users and roles with this number.
    Auth(usize),
    /// Next are the keys after this one.
    Keys(Option<SmallKey>),
    /// Next is this change.
    Changes(ChangeId),
    Ended,
}

/// One record of the stream.
pub(crate) enum Record {
    Header(Header),
    Key(KeyRecord),
    Change(KeyRecord),
    End(End),
    Lease(LeaseRecord),
    /// A key with a version that is under a lease.
    LeasedKey(LeasedRecord),
    /// A change that put a key under a lease.
    LeasedChange(LeasedRecord),
    Auth(AuthRecord),
    Quota(Quota),
    Alarm(AlarmRecord),
}
wire_enum!(Record, "a record of a snapshot" {
    1 => Header(header), 2 => Key(key), 3 => Change(change), 4 => End(end),
    5 => Lease(lease), 6 => LeasedKey(key), 7 => LeasedChange(change), 8 => Auth(auth),
    9 => Quota(quota), 10 => Alarm(alarm),
});

/// What the state is beside its keys.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) format: u64,
    pub(crate) clock: Millis,
    pub(crate) revision: Revision,
    pub(crate) floor: Revision,
    pub(crate) retention: Retention,
}

/// A key and one version of it.
pub(crate) struct KeyRecord {
    pub(crate) key: Bytes,
    pub(crate) version: Version,
}

/// A key and one version of it that is under a lease.
pub(crate) struct LeasedRecord {
    pub(crate) lease: LeaseId,
    pub(crate) record: KeyRecord,
}

/// The proof that nothing is missing.
#[derive(Clone, Copy)]
pub(crate) struct End {
    pub(crate) keys: u64,
    pub(crate) changes: u64,
    pub(crate) hash: u64,
}

wire_struct! {
    Header { format, clock, revision, floor, retention }
    KeyRecord { key, version }
    LeasedRecord { lease, record }
    LeaseRecord { lease, ttl_seconds, deadline }
    AlarmRecord { alarm, is_own }
    End { keys, changes, hash }
}

/// Without its lease, which stands in front of the whole record.
impl Wire for Version {
    fn encode(&self, into: &mut Vec<u8>) {
        self.mod_revision.encode(into);
        self.create_revision.encode(into);
        self.version.encode(into);
        self.deadline().unwrap_or(Millis::ZERO).encode(into);
        self.value.encode(into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
        let mod_revision = Wire::decode(reader)?;
        let create_revision = Wire::decode(reader)?;
        let version = Wire::decode(reader)?;
        let life = match Wire::decode(reader)? {
            Millis::ZERO => Life::Endless,
            deadline => Life::Until(deadline),
        };
        let value = Wire::decode(reader)?;
        Ok(Version { mod_revision, create_revision, version, life, value })
    }
}

impl Store {
    /// Begins a snapshot of the current state. Costs nothing; from now on no history is collected that it needs.
    pub fn begin_snapshot(&mut self) -> SnapshotCursor {
        let id = self.pins.iter().map(|pin| pin.id).max().unwrap_or(0) + 1;
        self.pins.push(Pin { id, floor: self.floor });
        SnapshotCursor { pin: Some(id), ..self.cursor() }
    }

    /// The next bytes of a snapshot, at least one and at most `max_bytes`; `None` at the end. Requests may be applied
    /// between the calls.
    ///
    /// # Panics
    /// If `max_bytes` is 0.
    pub fn next_chunk(&self, cursor: &mut SnapshotCursor, max_bytes: usize) -> Option<Bytes> {
        assert!(max_bytes > 0, "a chunk holds at least one byte");
        self.fill(cursor, max_bytes);
        let length = cursor.ready.len().min(max_bytes);
        (length > 0).then(|| cursor.ready.split_to(length).freeze())
    }

    /// Ends a snapshot, read to its end or not.
    pub fn end_snapshot(&mut self, cursor: SnapshotCursor) {
        self.pins.retain(|pin| Some(pin.id) != cursor.pin);
    }

    /// A hash of everything that replicas must agree on: that of a snapshot taken now. Walks through all keys.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        const STEP: usize = 64 << 10;
        let mut cursor = self.cursor();
        while self.next_chunk(&mut cursor, STEP).is_some() {}
        cursor.hasher.finish()
    }

    fn cursor(&self) -> SnapshotCursor {
        let (clock, revision, floor) = (self.clock, self.revision, self.floor);
        let quota = (!self.space.is_default()).then_some(self.space.quota);
        SnapshotCursor {
            pin: None,
            header: Header { format: FORMAT, clock, revision, floor, retention: self.retention },
            quota,
            alarms: self.space.records(),
            leases: self.leases.records().collect(),
            auth: self.auth.records(),
            position: Position::Header,
            end: self.history.next(),
            keys: 0,
            changes: 0,
            hasher: Hasher::new(),
            ready: BytesMut::new(),
            record: Vec::new(),
        }
    }

    /// Makes records until there are `enough` bytes or nothing is left.
    fn fill(&self, cursor: &mut SnapshotCursor, enough: usize) {
        while cursor.ready.len() < enough {
            match &cursor.position {
                Position::Header => {
                    cursor.push(&Record::Header(cursor.header));
                    cursor.position = Position::Space;
                }
                Position::Space => {
                    if let Some(quota) = cursor.quota {
                        cursor.push(&Record::Quota(quota));
                    }
                    for alarm in core::mem::take(&mut cursor.alarms) {
                        cursor.push(&Record::Alarm(alarm));
                    }
                    cursor.position = Position::Leases(0);
                }
                Position::Leases(next) => match cursor.leases.get(*next).copied() {
                    Some(lease) => {
                        cursor.position = Position::Leases(next + 1);
                        cursor.push(&Record::Lease(lease));
                    }
                    None => cursor.position = Position::Auth(0),
                },
                Position::Auth(next) => match cursor.auth.get(*next).cloned() {
                    Some(auth) => {
                        cursor.position = Position::Auth(next + 1);
                        cursor.push(&Record::Auth(auth));
                    }
                    None => cursor.position = Position::Keys(None),
                },
                Position::Keys(_) => self.fill_keys(cursor, enough),
                Position::Changes(_) => self.fill_changes(cursor, enough),
                Position::Ended => return,
            }
        }
    }

    fn fill_keys(&self, cursor: &mut SnapshotCursor, enough: usize) {
        let Position::Keys(after) = &cursor.position else { return };
        let before_floor = Revision(cursor.header.floor.0.saturating_sub(1));
        for slot in self.index.after(after.clone().as_ref()) {
            let entry = self.index.entry(slot);
            let version = self.history.version_at(&entry.newest, entry.newest_change, before_floor);
            let Some(version) = version.filter(|version| !version.is_tombstone()) else { continue };
            cursor.push_version([KEY_TAG, LEASED_KEY_TAG], &entry.key, version);
            cursor.keys += 1;
            if cursor.ready.len() >= enough {
                cursor.position = Position::Keys(Some(entry.key.clone()));
                return;
            }
        }
        cursor.position = Position::Changes(self.history.first_after(before_floor, self.history.first()));
    }

    fn fill_changes(&self, cursor: &mut SnapshotCursor, enough: usize) {
        let Position::Changes(mut id) = cursor.position else { return };
        while id < cursor.end {
            let change = self.history.get(id).expect("the changes of a snapshot are pinned");
            let entry = self.index.entry(change.slot);
            let made = self.history.made_by(change, &entry.newest);
            cursor.push_version([CHANGE_TAG, LEASED_CHANGE_TAG], &entry.key, made);
            cursor.changes += 1;
            id = ChangeId(id.0 + 1);
            if cursor.ready.len() >= enough {
                cursor.position = Position::Changes(id);
                return;
            }
        }
        let (keys, changes, hash) = (cursor.keys, cursor.changes, cursor.hasher.finish());
        cursor.push(&Record::End(End { keys, changes, hash }));
        cursor.position = Position::Ended;
    }
}

const KEY_TAG: u8 = 2;
const CHANGE_TAG: u8 = 3;
const LEASED_KEY_TAG: u8 = 6;
const LEASED_CHANGE_TAG: u8 = 7;

impl SnapshotCursor {
    fn push(&mut self, record: &Record) {
        self.record.clear();
        record.encode(&mut self.record);
        self.push_record();
    }

    /// Like `push` of a key's or a change's record, without copying key and version first. Of the tags the second is for
    /// versions under a lease.
    fn push_version(&mut self, [tag, leased_tag]: [u8; 2], key: &SmallKey, version: &Version) {
        self.record.clear();
        match version.lease() {
            None => self.record.push(tag),
            Some(lease) => {
                self.record.push(leased_tag);
                lease.encode(&mut self.record);
            }
        }
        encode_bytes(key.as_slice(), &mut self.record);
        version.encode(&mut self.record);
        self.push_record();
    }

    fn push_record(&mut self) {
        self.hasher.bytes(&self.record);
        let length = self.record.len();
        // The length stands in front, but is built behind: no second buffer.
        (length as u64).encode(&mut self.record);
        self.ready.extend_from_slice(&self.record[length..]);
        self.ready.extend_from_slice(&self.record[..length]);
    }
}
