//! Redis's string commands as values, and their replies. What they do is in [`crate::strings`]; how they look on
//! the wire is not the store's business.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::types::{Millis, Revision};

/// Longest value that [`Command::Append`] may produce, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 << 20;

/// A string command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// The value of a key: [`Reply::Value`] or [`Reply::Nil`].
    Get {
        /// The key.
        key: Bytes,
    },
    /// Write a value: [`Reply::Ok`]; [`Reply::Nil`] if the condition does not hold; with `get` the old value or nil.
    Set(Set),
    /// Write a value if the key is missing: 1 or 0.
    SetNx {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// Write several values: [`Reply::Ok`]. Of a key named twice the last value counts.
    MSet {
        /// Keys and values.
        pairs: Vec<(Bytes, Bytes)>,
    },
    /// The values of several keys: [`Reply::Values`].
    MGet {
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// Delete keys: how many there were.
    Delete {
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// How many of these keys exist; a key named twice counts twice.
    Exists {
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// Add to a decimal number, 0 if the key is missing: the new number. Keeps the deadline.
    Increment {
        /// The key.
        key: Bytes,
        /// What to add.
        by: i64,
    },
    /// Add to the end of a value: the new length. Keeps the deadline.
    Append {
        /// The key.
        key: Bytes,
        /// The addition.
        value: Bytes,
    },
    /// The length of the value, 0 if the key is missing.
    StrLen {
        /// The key.
        key: Bytes,
    },
    /// Return a value and delete the key.
    GetDelete {
        /// The key.
        key: Bytes,
    },
    /// Return a value and change its deadline.
    GetEx {
        /// The key.
        key: Bytes,
        /// The change; [`Expiry::Keep`] makes this a plain read.
        expiry: Expiry,
    },
    /// Set a deadline: 1, or 0 if the key is missing or the condition does not hold. One that is already past
    /// deletes the key. [`Expiry::Clear`] acts like `Persist`; [`Expiry::Keep`] changes nothing and gives 0.
    Expire {
        /// The key.
        key: Bytes,
        /// The deadline.
        expiry: Expiry,
        /// When to do it.
        condition: ExpireCondition,
    },
    /// Take the deadline away: 1, or 0 if there was none.
    Persist {
        /// The key.
        key: Bytes,
    },
    /// The milliseconds a key has left: at least 0; −1 without a deadline, −2 if the key is missing.
    Ttl {
        /// The key.
        key: Bytes,
    },
    /// The deadline itself, in milliseconds of replicated time; −1 and −2 as for `Ttl`.
    Deadline {
        /// The key.
        key: Bytes,
    },
    /// All keys that match a pattern, in key order: [`Reply::Keys`].
    Keys {
        /// The glob pattern.
        pattern: Bytes,
    },
    /// A page of keys: [`Reply::Scan`]. See [`crate::scan`] for what the cursor promises.
    Scan {
        /// 0 to begin, then the cursor of the last reply.
        cursor: u64,
        /// Return only keys that match this glob pattern.
        pattern: Option<Bytes>,
        /// About how many keys to look at, at least 1.
        count: u64,
    },
    /// How many keys there are, those included whose deadline has passed but which are not removed yet.
    DbSize,
    /// Delete all keys: [`Reply::Ok`].
    FlushAll,
    /// The kind of a key's value: [`Reply::Type`].
    Type {
        /// The key.
        key: Bytes,
    },
}

/// `SET` with its options.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// When to write.
    pub condition: SetCondition,
    /// Return the old value, whether written or not.
    pub get: bool,
    /// What becomes of the deadline. One that is already past means: the key is gone afterwards.
    pub expiry: Expiry,
}

impl Set {
    /// A plain write: no condition, no deadline.
    #[must_use]
    pub fn new(key: Bytes, value: Bytes) -> Set {
        Set { key, value, condition: SetCondition::Always, get: false, expiry: Expiry::Clear }
    }
}

/// When a `SET` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetCondition {
    /// In any case.
    Always,
    /// NX: only if the key is missing.
    IfMissing,
    /// XX: only if the key is there.
    IfPresent,
}

/// What becomes of a key's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// The key has none afterwards.
    Clear,
    /// It stays as it is.
    Keep,
    /// The key expires at this point of replicated time (Unix milliseconds: see [`Millis`]).
    At(Millis),
    /// The key expires this many milliseconds after the stamp of the entry.
    After(u64),
}

/// When an `EXPIRE` takes effect. A key without a deadline counts as one that expires never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpireCondition {
    /// In any case.
    Always,
    /// NX: only if the key has no deadline.
    IfNone,
    /// XX: only if it has one.
    IfSome,
    /// GT: only if the new deadline is later.
    IfLater,
    /// LT: only if the new deadline is earlier.
    IfEarlier,
}

/// `MULTI … EXEC`: the commands run as one step with one revision. A command that fails leaves the others alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exec {
    /// Keys with their modification revision as [`Request::WatchRevision`](crate::Request::WatchRevision) told it;
    /// if one of them differs now, nothing is done. A key that was missing and is missing again has not changed,
    /// whatever it was in between.
    pub watched: Vec<(Bytes, Option<Revision>)>,
    /// The commands.
    pub commands: Vec<Command>,
}

/// The reply to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// Done.
    Ok,
    /// Nothing is there, or nothing was done.
    Nil,
    /// A number.
    Integer(i64),
    /// A value.
    Value(Bytes),
    /// A value or nil for each key that was asked for.
    Values(Vec<Option<Bytes>>),
    /// Keys.
    Keys(Vec<Bytes>),
    /// A page of keys.
    Scan {
        /// Where to go on; 0: that was the last page.
        cursor: u64,
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// The kind of a value.
    Type(KeyType),
    /// The command failed and changed nothing.
    Error(CommandError),
}

impl Reply {
    /// About how many bytes of memory the reply takes once it is copied out of the store.
    pub(crate) fn bytes(&self) -> usize {
        let strings =
            |strings: &[Bytes]| strings.iter().map(|string| size_of::<Bytes>() + string.len()).sum();
        match self {
            Reply::Value(value) => value.len(),
            Reply::Values(values) => {
                let value = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
                values.iter().map(|string| size_of::<Bytes>() + value(string)).sum()
            }
            Reply::Keys(keys) | Reply::Scan { keys, .. } => strings(keys),
            Reply::Ok | Reply::Nil | Reply::Integer(_) | Reply::Type(_) | Reply::Error(_) => 0,
        }
    }
}

/// The kind of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// There is no such key.
    Missing,
    /// A string.
    String,
}

/// Why a command failed. `Display` gives Redis's own words, without the `ERR` in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandError {
    /// The value is not a decimal 64-bit number.
    NotAnInteger,
    /// The sum does not fit into 64 bits.
    Overflow,
    /// The value would become longer than [`MAX_VALUE_BYTES`].
    TooLong,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::NotAnInteger => "value is not an integer or out of range",
            CommandError::Overflow => "increment or decrement would overflow",
            CommandError::TooLong => "string exceeds maximum allowed size (proto-max-bulk-len)",
        })
    }
}

impl core::error::Error for CommandError {}

impl Command {
    /// Whether the command can change nothing.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self {
            Command::Get { .. }
            | Command::MGet { .. }
            | Command::Exists { .. }
            | Command::StrLen { .. }
            | Command::Ttl { .. }
            | Command::Deadline { .. }
            | Command::Keys { .. }
            | Command::Scan { .. }
            | Command::DbSize
            | Command::Type { .. } => true,
            Command::GetEx { expiry, .. } => *expiry == Expiry::Keep,
            Command::Set(_)
            | Command::SetNx { .. }
            | Command::MSet { .. }
            | Command::Delete { .. }
            | Command::Increment { .. }
            | Command::Append { .. }
            | Command::GetDelete { .. }
            | Command::Expire { .. }
            | Command::Persist { .. }
            | Command::FlushAll => false,
        }
    }
}
