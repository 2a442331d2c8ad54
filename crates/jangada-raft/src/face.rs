//! The core's face: what goes in, what comes out.
//!
//! `Raft::handle` takes an [`Input`] and answers with an [`Answer`]; `Raft::take_output` gives back what must
//! now be done as an [`Output`]. There is no other way in or out: no callback, no channel, no storage trait.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use bytes::Bytes;

use crate::event::Event;
use crate::message::Message;
use crate::types::{Entry, HardState, Index, NodeId, PersistId, ReadId, SnapshotMeta, Term};

/// What a server can be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Time has passed; look at the deadlines.
    TimePassed,
    /// A message arrived.
    Receive(Message),
    /// A client's command, for the leader to append.
    Propose(Bytes),
    /// Change who belongs to the cluster (leader only).
    ChangeMembership(MembershipChange),
    /// A linearizable read: answered through [`Output::reads`].
    Read(ReadId),
    /// Hand leadership over (leader only; Thesis §3.10).
    TransferTo(NodeId),
    /// Campaign now, without waiting for the election timeout.
    Campaign,
    /// The [`Persist`] of this id, and all before it, are on the disk.
    Persisted(PersistId),
    /// The state machine has applied everything up to here.
    Applied(Index),
    /// A snapshot of the state machine, up to this index, is durable: the log may be cut behind it.
    SnapshotTaken(SnapshotMeta),
    /// A chunk of our own durable snapshot, as asked for by a [`SnapshotRequest`].
    SnapshotChunk {
        /// The follower that it is for.
        to: NodeId,
        /// The snapshot that was read.
        meta: SnapshotMeta,
        /// Where the chunk lies, in bytes.
        offset: u64,
        /// The chunk.
        data: Bytes,
        /// It is the last one.
        done: bool,
    },
}

/// A wish for another configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MembershipChange {
    /// The voters at the end.
    pub voters: BTreeSet<NodeId>,
    /// The learners at the end.
    pub learners: BTreeSet<NodeId>,
    /// Kept with the configuration from the change's first entry on.
    pub context: Bytes,
}

/// What `handle` says at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing to say: what there is to do comes out of `take_output`.
    Done,
    /// The command or the change became this entry. It is committed if and only if an entry with this index
    /// *and term* is.
    Appended {
        /// The entry's position.
        index: Index,
        /// The entry's term.
        term: Term,
    },
    /// Refused, with no effect.
    Refused(Refusal),
}

/// Why a request was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// This server does not lead; `leader` is whom it follows.
    NotLeader {
        /// The leader of this term, as far as known.
        leader: Option<NodeId>,
    },
    /// Too many bytes wait to be committed, or too many reads for their round.
    Busy,
    /// The command is larger than `Config::max_command_bytes`.
    TooLarge,
    /// Leadership is being handed over.
    Transferring,
    /// A membership change is under way.
    ChangePending,
    /// The leader has not committed an entry of its own term yet (the thesis' erratum of 2015).
    TooEarly,
    /// The change would leave no voters, or names a server as voter and learner at once.
    BadMembership,
    /// The configuration is already the one that is wished for.
    NoChange,
    /// The server is not a voter of the cluster, or it is this server itself.
    BadTarget,
}

/// What must now be done, in any order and in parallel: what may not overtake the disk is not in here yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// To be written; answer with [`Input::Persisted`] when it is durable. Keep the order of the ids.
    pub persist: Option<Persist>,
    /// To be sent, now. Losing, delaying or repeating a message is harmless.
    pub send: Vec<Message>,
    /// Newly committed entries, to be applied in order; fetch them with `Raft::entries`.
    pub committed: Option<RangeInclusive<Index>>,
    /// The state machine must be replaced by this snapshot, which is durable already. Entries of
    /// `committed` come after it.
    pub install: Option<SnapshotMeta>,
    /// Reads that may be answered, or cannot be.
    pub reads: Vec<ReadReady>,
    /// Chunks of our own snapshot that are to be read; answer with [`Input::SnapshotChunk`].
    pub snapshot_requests: Vec<SnapshotRequest>,
    /// What happened.
    pub events: Vec<Event>,
}

/// To be written, all of it or, after a crash, a prefix in the order of the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    /// Comes back in [`Input::Persisted`].
    pub id: PersistId,
    /// The new term and vote.
    pub hard_state: Option<HardState>,
    /// A chunk of a snapshot that a leader sends. With `done`, the snapshot file becomes durable under its
    /// name, then a snapshot marker is written to the log.
    pub snapshot_chunk: Option<SnapshotChunk>,
    /// Entries from here on are gone.
    pub truncate_from: Option<Index>,
    /// To be appended, in order, without a hole.
    pub entries: Vec<Entry>,
}

/// A chunk of a snapshot that is being received.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotChunk {
    /// What the snapshot stands for.
    pub meta: SnapshotMeta,
    /// Where the chunk lies, in bytes.
    pub offset: u64,
    /// The chunk.
    pub data: Bytes,
    /// It is the last one.
    pub done: bool,
}

/// A chunk of our own snapshot that is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotRequest {
    /// The follower that it is for.
    pub to: NodeId,
    /// Which snapshot.
    pub last_included_index: Index,
    /// Where the chunk begins, in bytes.
    pub offset: u64,
    /// Its length at most.
    pub max_bytes: usize,
}

/// A read that may be answered, or cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadReady {
    /// Which read.
    pub id: ReadId,
    /// To be answered once `last_applied` reaches this index; or why there is none. A refused read has had no
    /// effect and may be asked again.
    pub index: Result<Index, Refusal>,
}

/// What survives a restart: what the log and the snapshot on disk say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The term and the vote.
    pub hard_state: HardState,
    /// The latest durable snapshot. A server that starts for the first time gets one with index 0 whose
    /// membership is the cluster's first.
    pub snapshot: SnapshotMeta,
    /// The entries behind it, without a hole.
    pub entries: Vec<Entry>,
}
