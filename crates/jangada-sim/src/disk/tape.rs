//! A tape of all that was done to a disk, in order, and of what its server said meanwhile.
//!
//! `images/` winds it forward to each operation and asks what a crash at that point can leave. Worlds do not
//! record: it costs a copy of everything that is written.

use jangada_node::log_writer::LogJob;
use jangada_raft::message::Message;
use jangada_raft::types::Term;

use crate::images::ledger::Memory;

/// One thing on a tape.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Bytes went into the page cache.
    Write {
        /// Files are numbered in the order of their creation.
        file: usize,
        offset: usize,
        data: Vec<u8>,
    },
    /// A file lost a name, got one, or both at once.
    Name { from: Option<String>, to: Option<(String, usize)> },
    /// A file is on the disk.
    Sync(usize),
    /// The names are on the disk.
    SyncNames,
    /// The power failed: this is what was left of each file that has changed, and of the names.
    PowerLoss { names: Vec<(String, usize)>, contents: Vec<(usize, Vec<u8>)> },
    /// No operation, but something that the server did.
    Note(Note),
}

/// What a server did between two operations of its disk.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// It read its log, and goes on from this.
    Opened(Box<Memory>),
    /// The log writer begins with these.
    Jobs(Vec<LogJob>),
    /// It has done them all.
    Done,
    /// A message left, when the entry that it acknowledges, if it does, had this term in the server's log.
    Said { message: Box<Message>, term: Option<Term> },
}
