//! The messages between servers: the RPCs of the paper's Figures 2 and 13, and what the thesis adds.
//!
//! An RPC is two one-way messages here; a reply that comes late, twice or never is an ordinary event.
//! What is done on receipt stands in the file of each conversation: `election.rs`, `replication.rs`,
//! `snapshot.rs`, `read.rs`, `transfer.rs`.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::event::MessageKind;
use crate::types::{ClusterId, Entry, Index, NodeId, ReadId, SnapshotMeta, Term};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The cluster that the sender belongs to.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// The recipient.
    pub to: NodeId,
    /// Together with `from`, the identity of this message: a duplicate or a loss is a fact, never a guess.
    pub sequence: u64,
    /// The sender's current term; in a pre-vote, the term that it *would* campaign for.
    pub term: Term,
    /// What it says.
    pub rpc: Rpc,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// Asks for a vote (Paper §5.2).
    RequestVote(RequestVote),
    /// Answers it.
    RequestVoteReply(RequestVoteReply),
    /// Replicates entries; without any, a heartbeat (Paper §5.3).
    AppendEntries(AppendEntries),
    /// Answers it.
    AppendEntriesReply(AppendEntriesReply),
    /// One chunk of a snapshot (Paper §7).
    InstallSnapshot(InstallSnapshot),
    /// Answers it.
    InstallSnapshotReply(InstallSnapshotReply),
    /// Tells the recipient to campaign at once (Thesis §3.10).
    TimeoutNow,
    /// A follower asks its leader for a read index (Thesis §6.4).
    ReadIndex(ReadIndex),
    /// Answers it.
    ReadIndexReply(ReadIndexReply),
}

/// Asks for a vote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestVote {
    /// A pre-vote: "would you vote for me?" Nobody's term changes (Thesis §9.6).
    pub pre_vote: bool,
    /// The campaign was asked for by the leader itself: the recipient need not protect it (Thesis §4.2.3).
    pub leadership_transfer: bool,
    /// Index of the candidate's last log entry.
    pub last_log_index: Index,
    /// Term of the candidate's last log entry.
    pub last_log_term: Term,
}

/// Answers `RequestVote`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestVoteReply {
    /// Answers a pre-vote.
    pub pre_vote: bool,
    /// The term that was campaigned for: a late answer to an older campaign is recognised by it.
    pub campaign_term: Term,
    /// The vote is granted.
    pub vote_granted: bool,
}

/// Replicates entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendEntries {
    /// Index of the entry just before the new ones.
    pub prev_log_index: Index,
    /// Term of that entry.
    pub prev_log_term: Term,
    /// The new entries; empty in a heartbeat.
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    pub leader_commit: Index,
    /// The leader's present round: an answer that repeats it was sent after the round had begun. Proves
    /// leadership for reads and for the check of the quorum.
    pub round: u64,
}

/// Answers `AppendEntries`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendEntriesReply {
    /// The round of the message that is answered.
    pub round: u64,
    /// What became of it.
    pub outcome: AppendOutcome,
}

/// What became of an `AppendEntries`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AppendOutcome {
    /// The follower's log agrees with the leader's up to here, **and is on its disk**.
    Accepted {
        /// The last index that is both verified against this leader and durable.
        match_index: Index,
    },
    /// The follower has no entry with that index and term (Paper §5.3, the last paragraphs).
    Conflict {
        /// The `prev_log_index` that was refused: tells a late answer from a fresh one.
        prev_log_index: Index,
        /// The term of the follower's entry there; `None` if its log is too short.
        conflict_term: Option<Term>,
        /// The first index of that term in its log, or the index after its last entry.
        first_index: Index,
    },
}

/// One chunk of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstallSnapshot {
    /// What the snapshot stands for.
    pub meta: SnapshotMeta,
    /// Where the chunk lies in the snapshot file, in bytes.
    pub offset: u64,
    /// The chunk.
    pub data: Bytes,
    /// It is the last one.
    pub done: bool,
    /// As in `AppendEntries`.
    pub round: u64,
}

/// Answers `InstallSnapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstallSnapshotReply {
    /// The round of the message that is answered.
    pub round: u64,
    /// Which snapshot.
    pub last_included_index: Index,
    /// The next byte that the follower needs: a transfer that was broken off goes on from here.
    pub next_offset: u64,
    /// The whole snapshot is durable (or the follower's log already reaches beyond it).
    pub installed: bool,
}

/// A follower asks its leader for a read index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadIndex {
    /// The follower's own name for the question; never used twice by one start of a server.
    pub context: ReadId,
}

/// Answers `ReadIndex`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadIndexReply {
    /// The follower's name for the question.
    pub context: ReadId,
    /// Reads may be answered once this much is applied; `None` if the recipient could not prove that it
    /// leads.
    pub read_index: Option<Index>,
}

impl Rpc {
    /// What an event says about the message: its kind, and the two numbers that [`MessageKind`] names.
    #[must_use]
    pub fn gist(&self) -> (MessageKind, Index, u32) {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        match self {
            Rpc::RequestVote(ask) => {
                let kind = if ask.pre_vote { MessageKind::PreVote } else { MessageKind::Vote };
                (kind, ask.last_log_index, 0)
            }
            Rpc::RequestVoteReply(reply) => {
                let kind = if reply.pre_vote { MessageKind::PreVoteReply } else { MessageKind::VoteReply };
                (kind, Index::ZERO, u32::from(reply.vote_granted))
            }
            Rpc::AppendEntries(append) if append.entries.is_empty() => {
                (MessageKind::Heartbeat, append.prev_log_index, 0)
            }
            Rpc::AppendEntries(append) => {
                (MessageKind::Append, append.prev_log_index, count(append.entries.len()))
            }
            Rpc::AppendEntriesReply(reply) => match reply.outcome {
                AppendOutcome::Accepted { match_index } => (MessageKind::AppendAccepted, match_index, 0),
                AppendOutcome::Conflict { prev_log_index, .. } => {
                    (MessageKind::AppendRefused, prev_log_index, 0)
                }
            },
            Rpc::InstallSnapshot(chunk) => {
                (MessageKind::Snapshot, chunk.meta.last_included_index, count(chunk.data.len()))
            }
            Rpc::InstallSnapshotReply(reply) => {
                (MessageKind::SnapshotReply, reply.last_included_index, u32::from(reply.installed))
            }
            Rpc::TimeoutNow => (MessageKind::TimeoutNow, Index::ZERO, 0),
            Rpc::ReadIndex(_) => (MessageKind::ReadIndex, Index::ZERO, 0),
            Rpc::ReadIndexReply(reply) => (
                MessageKind::ReadIndexReply,
                reply.read_index.unwrap_or(Index::ZERO),
                u32::from(reply.read_index.is_some()),
            ),
        }
    }
}
