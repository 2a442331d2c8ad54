//! The numbers, key ranges and key-value pairs that requests and answers are made of.

use core::fmt;
use core::ops::Add;

use bytes::Bytes;

/// Replicated time in milliseconds: the stamp that the leader put on a log entry.
///
/// The store never looks at a clock. Its own clock is the largest stamp that it has applied, so it is a function
/// of the log alone and equal on all replicas. Leaders should stamp with milliseconds of the Unix epoch, because
/// absolute deadlines (`SET … EXAT`) are given on that scale by clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The beginning; a deadline at it has always passed.
    pub const ZERO: Millis = Millis(0);

    /// The milliseconds from `earlier` until this point; zero if `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Millis {
    type Output = Millis;
    fn add(self, milliseconds: u64) -> Millis {
        Millis(self.0.saturating_add(milliseconds))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// One state of the store. An empty store is at revision 1, and each request that changes something makes the
/// next one, however many keys it touches.
///
/// This is the *main* part of a revision. The *sub* part, the order of the changes inside it, is their order in
/// [`Store::changes`](crate::Store::changes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// Before everything. Never the revision of a state or of a change.
    pub const ZERO: Revision = Revision(0);
    /// The empty store.
    pub const FIRST: Revision = Revision(1);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The name of a lease: a deadline that several keys share (see [`crate::lease`]). Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// The keys that a request means. Keys are any bytes and are ordered as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyRange {
    /// One key.
    One(Bytes),
    /// `from <= key < to`; no key at all when `to <= from`.
    Span {
        /// The first key.
        from: Bytes,
        /// The first key that does not belong to it.
        to: Bytes,
    },
    /// `from <= key`. With an empty `from`: all keys.
    From(Bytes),
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub fn all() -> KeyRange {
        KeyRange::From(Bytes::new())
    }

    /// The range that etcd writes as `key` and `range_end`: an empty end means one key, an end of one zero byte
    /// means "to the last key", and both of them one zero byte mean all keys.
    #[must_use]
    pub fn from_etcd(key: Bytes, range_end: Bytes) -> KeyRange {
        match (key.as_ref(), range_end.as_ref()) {
            (_, []) => KeyRange::One(key),
            ([0], [0]) => KeyRange::all(),
            (_, [0]) if !key.is_empty() => KeyRange::From(key),
            _ => KeyRange::Span { from: key, to: range_end },
        }
    }

    /// Whether `key` belongs to the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            KeyRange::One(one) => one == key,
            KeyRange::Span { from, to } => from.as_ref() <= key && key < to.as_ref(),
            KeyRange::From(from) => from.as_ref() <= key,
        }
    }
}

/// A key with its value and history, as range answers carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty when only keys were asked for.
    pub value: Bytes,
    /// The revision in which the key came into being (again).
    pub create_revision: Revision,
    /// The revision of its latest change.
    pub mod_revision: Revision,
    /// How many changes it has seen since it was created; 1 right after that.
    pub version: u64,
    /// The lease that it is under.
    pub lease: Option<LeaseId>,
    /// When it expires, by a deadline of its own.
    pub deadline: Option<Millis>,
}

/// How much history the store keeps by itself. Both bounds hold at once.
///
/// It is part of the replicated state: what may still be read at an old revision is the same on each replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retention {
    /// How many of the latest revisions can be read; at least 1 (the current one) is always kept.
    pub revisions: u64,
    /// Most bytes of values that are no longer current.
    pub bytes: u64,
}

impl Retention {
    /// Keep everything until somebody compacts, as etcd does.
    pub const FOREVER: Retention = Retention { revisions: u64::MAX, bytes: u64::MAX };
    /// The most that a server may be told to keep. A read at an old revision passes all newer versions of a key, in one step.
    pub const MOST: Retention = Retention { revisions: 1_000_000, bytes: 8 << 30 };
}

/// The last 10,000 revisions, at most 32 MiB of old values.
impl Default for Retention {
    fn default() -> Retention {
        Retention { revisions: 10_000, bytes: 32 << 20 }
    }
}
