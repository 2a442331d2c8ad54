//! The durable log and the snapshot files of one Raft server.
//!
//! [`Wal`] keeps what Raft must not forget: the term and the vote, the entries, and which snapshot replaces
//! their beginning. What the bytes look like is drawn in `docs/wal-format.md`.
//!
//! The promises, each with its test in `tests/it`:
//! - What [`Wal::sync`] has acknowledged is there after a crash at any instant, torn sectors included; what
//!   was never appended is never there.
//! - Open tells a torn tail (a write that the crash cut off: repaired and counted) from damage in the middle
//!   (refused with segment, offset and index: nothing is touched).
//! - A failed write or fsync is final: the log is poisoned and never tries again.
//!
//! ```
//! use bytes::Bytes;
//! use jangada_raft::types::{Entry, HardState, Index, NodeId, Payload, Term};
//! use jangada_wal::{MemDisk, Wal, WalConfig};
//!
//! let disk = MemDisk::new(); // or FileDisk::open(path)?
//! let config = WalConfig::new(*b"cluster 1 node 1");
//! let (mut wal, recovered) = Wal::open(disk.clone(), config.clone())?;
//! assert!(recovered.fresh);
//!
//! let command = Payload::Command(Bytes::from_static(b"set d 8"));
//! let entry = Entry { term: Term(1), index: Index(1), payload: command };
//! wal.append_hard_state(HardState { term: Term(1), voted_for: Some(NodeId(1)) })?;
//! wal.append_entries(&[entry.clone()])?;
//! wal.sync()?; // one write, one fdatasync: now both may be promised
//!
//! drop(wal); // a crash
//! let (_, recovered) = Wal::open(disk, config)?;
//! assert_eq!(recovered.entries, [entry]);
//! # Ok::<(), jangada_wal::Error>(())
//! ```
//!
//! Nothing here asks for the clock, for randomness or for threads, and only `file_disk.rs` touches the
//! operating system: everything else goes through [`Disk`], so that a simulator can be the disk.

// What the log stands on.
pub mod disk; // what we ask of a disk: the trait
pub mod error; // what can go wrong

pub mod codec; // entries, memberships and snapshot descriptions as bytes

// The log, from the inside out.
mod record; // what stands in it: records, and the batch that one sync writes

mod segment; // the files that hold the batches

mod recovery; // reading it back

pub mod wal; // append, sync, go on, forget

// The other files.
pub mod checked_file; // small ones, written whole or not at all
pub mod snapshot; // those that replace the log's beginning

// Two disks.
pub mod file_disk; // a directory of the operating system
pub mod mem_disk; // a disk in memory that can crash

pub use disk::Disk;
pub use error::Error;
pub use file_disk::FileDisk;
pub use mem_disk::MemDisk;
pub use recovery::Recovered;
pub use snapshot::{SnapshotReader, SnapshotWriter};
pub use wal::{Wal, WalConfig};
