//! The two questions of an election, and their answers (Figure 2 of the paper, without what is about logs).

use jangada_raft::event::MessageKind;
use jangada_raft::types::{NodeId, Term};

/// "Give me your vote."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestVote {
    /// The candidate's term.
    pub term: Term,
    /// Who asks.
    pub candidate: NodeId,
}

/// The answer to a [`RequestVote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestVoteReply {
    /// The term of the one that answers, by which the candidate may learn of a later one.
    pub term: Term,
    /// Who answers.
    pub from: NodeId,
    /// Yes.
    pub vote_granted: bool,
}

/// "I lead": a heartbeat. There are no entries here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendEntries {
    /// The leader's term.
    pub term: Term,
    /// Who says so.
    pub leader: NodeId,
}

/// The answer to an [`AppendEntries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendEntriesReply {
    /// The term of the one that answers, by which the leader may learn of a later one.
    pub term: Term,
    /// Who answers.
    pub from: NodeId,
    /// Yes: the one that answers follows this leader.
    pub success: bool,
}

/// What travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rpc {
    RequestVote(RequestVote),
    RequestVoteReply(RequestVoteReply),
    AppendEntries(AppendEntries),
    AppendEntriesReply(AppendEntriesReply),
}

impl Rpc {
    /// The sender's term.
    pub(super) fn term(self) -> Term {
        match self {
            Rpc::RequestVote(ask) => ask.term,
            Rpc::RequestVoteReply(reply) => reply.term,
            Rpc::AppendEntries(ask) => ask.term,
            Rpc::AppendEntriesReply(reply) => reply.term,
        }
    }

    /// What it is in events, and their `count`.
    pub(super) fn gist(self) -> (MessageKind, u32) {
        match self {
            Rpc::RequestVote(_) => (MessageKind::Vote, 0),
            Rpc::RequestVoteReply(reply) => (MessageKind::VoteReply, u32::from(reply.vote_granted)),
            Rpc::AppendEntries(_) => (MessageKind::Heartbeat, 0),
            Rpc::AppendEntriesReply(reply) if reply.success => (MessageKind::AppendAccepted, 0),
            Rpc::AppendEntriesReply(_) => (MessageKind::AppendRefused, 0),
        }
    }
}
