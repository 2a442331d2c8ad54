//! What can go wrong with the local disk, said so that a person can act on it.
//!
//! None of these is ever handled by going on: the node refuses to start, or stops. A torn tail is not an
//! error; it is counted in `Recovered::torn_bytes`.

use std::fmt;
use std::io;

use jangada_raft::types::Index;

use crate::codec;
use crate::disk::Disk;

/// Why the log or a snapshot cannot be used.
#[derive(Debug)]
pub enum Error {
    /// The disk refused an operation: full, broken, not ours.
    Io {
        /// What was being done.
        action: Action,
        /// To which file.
        path: String,
        /// Where in the file, if that means anything for the action.
        offset: Option<u64>,
        /// The operating system's answer.
        source: io::Error,
    },
    /// An earlier write or sync failed, so that nobody knows what is on the disk. Only a restart, which
    /// reads it back, can tell.
    Poisoned,
    /// Bytes that were durable once are damaged. Nothing was changed.
    Corrupt {
        /// The file.
        path: String,
        /// Where the damage begins.
        offset: u64,
        /// The first log entry that may be lost with it, if known.
        index: Option<Index>,
        /// What is wrong.
        damage: Damage,
    },
    /// A file that the log needs is gone.
    Missing {
        /// The file.
        path: String,
        /// Who needs it.
        needed_by: &'static str,
    },
    /// The directory holds no log, and a new one was not asked for.
    NoLog {
        /// The directory.
        path: String,
    },
    /// The file belongs to another cluster or another node.
    Foreign {
        /// The file.
        path: String,
        /// Whose it is.
        found: [u8; 16],
        /// Whose it should be.
        expected: [u8; 16],
    },
    /// The file was written by a later version of the format.
    UnknownVersion {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
    },
    /// Another process uses the directory.
    Locked {
        /// The lock file.
        path: String,
        /// The other process, as far as the lock file says.
        holder: Option<u32>,
    },
    /// Other users of this machine may change the directory: its log could be replaced under our hands.
    Exposed {
        /// The directory.
        path: String,
        /// Its permissions, such as 0o775.
        mode: u32,
    },
    /// A chunk of a snapshot that does not follow the ones before.
    SnapshotGap {
        /// The offset that would follow.
        expected: u64,
        /// The offset of the chunk.
        found: u64,
    },
}

/// What was being done when the disk refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Lock,
    List,
    Open,
    Create,
    Rename,
    Remove,
    Read,
    Write,
    Sync,
    SyncDir,
}

/// What is wrong with bytes that should be sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file's header is not what was written.
    FileHeader,
    /// Neither a batch nor free space, though later batches prove that something was written and synced here.
    Batch,
    /// The file ends before the room that every segment has behind its last batch: it was cut short.
    Cut,
    /// A record's checksum does not fit its content, place or generation, and a later batch proves that it
    /// was synced once.
    Record,
    /// A sound record says what cannot follow from the ones before it.
    Order,
    /// A sound record cannot be decoded.
    Decode(codec::Error),
    /// A chunk of a file does not fit its checksum.
    Chunk,
    /// The file's length is not what its footer says.
    Length,
    /// The log begins behind the end of the newest snapshot: entries between the two are missing.
    Hole,
}

impl Error {
    /// Says where the disk refused.
    pub(crate) fn io<D: Disk>(
        disk: &D,
        action: Action,
        name: &str,
        offset: Option<u64>,
    ) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: disk.path(name), offset, source }
    }

    /// The disk is full (as opposed to broken): freeing space and starting again is enough.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Error::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Bytes on the disk are damaged or missing: an operator must bring them back or replace the node.
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        matches!(self, Error::Corrupt { .. } | Error::Missing { .. })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Poisoned
            | Error::Corrupt { .. }
            | Error::Missing { .. }
            | Error::NoLog { .. }
            | Error::Foreign { .. }
            | Error::UnknownVersion { .. }
            | Error::Locked { .. }
            | Error::Exposed { .. }
            | Error::SnapshotGap { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { action, path, offset: Some(offset), source } => {
                write!(f, "cannot {action} {path} at byte {offset}: {source}")
            }
            Error::Io { action, path, offset: None, source } => write!(f, "cannot {action} {path}: {source}"),
            Error::Poisoned => {
                write!(f, "an earlier write failed: what is on the disk is unknown until the node restarts")
            }
            Error::Corrupt { path, offset, index, damage } => {
                write!(f, "{path} is damaged at byte {offset}: {damage}")?;
                if let Some(index) = index {
                    write!(f, "; entries from index {index} on are affected")?;
                }
                write!(f, "; nothing was changed, restore the file or replace this node")
            }
            Error::Missing { path, needed_by } => {
                write!(
                    f,
                    "{path} is missing, but {needed_by} needs it; restore the file or replace this node"
                )
            }
            Error::NoLog { path } => {
                write!(
                    f,
                    "{path} holds no log; a node that has lost its disk must be replaced, not restarted"
                )
            }
            Error::Foreign { path, found, expected } => {
                write!(f, "{path} belongs to another node or cluster (")?;
                hex(f, found)?;
                write!(f, ", not ")?;
                hex(f, expected)?;
                write!(f, ")")
            }
            Error::UnknownVersion { path, version } => {
                write!(f, "{path} has format version {version}, which this program is too old to read")
            }
            Error::Locked { path, holder: Some(pid) } => {
                write!(f, "process {pid} uses this directory already ({path})")
            }
            Error::Locked { path, holder: None } => {
                write!(f, "another process uses this directory already ({path})")
            }
            Error::Exposed { path, mode } => {
                write!(
                    f,
                    "other users may write to {path} (mode {mode:o}), and so replace what it remembers; take \
                     that away: chmod go-w {path}"
                )
            }
            Error::SnapshotGap { expected, found } => {
                write!(f, "a snapshot chunk begins at byte {found}, but byte {expected} comes next")
            }
        }
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Lock => "lock",
            Action::List => "list",
            Action::Open => "open",
            Action::Create => "create",
            Action::Rename => "rename",
            Action::Remove => "remove",
            Action::Read => "read",
            Action::Write => "write",
            Action::Sync => "sync",
            Action::SyncDir => "sync the directory of",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::FileHeader => f.write_str("the file's header is not sound"),
            Damage::Batch => f.write_str("a batch is gone, though later ones are there"),
            Damage::Cut => f.write_str("the file ends here, though it was longer once"),
            Damage::Record => f.write_str("a record's checksum is wrong, though later batches are there"),
            Damage::Order => f.write_str("a record cannot follow the ones before it"),
            Damage::Decode(error) => write!(f, "a record cannot be decoded: {error}"),
            Damage::Chunk => f.write_str("a chunk's checksum is wrong"),
            Damage::Length => f.write_str("the length is wrong"),
            Damage::Hole => f.write_str("entries between the snapshot and the log are missing"),
        }
    }
}
