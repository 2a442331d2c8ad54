//! One server, as a hole sees it.

use std::collections::BTreeSet;

use jangada_raft::event::RoleName;
use jangada_raft::types::{NodeId, Term};

use super::Election;
use super::message::{AppendEntries, AppendEntriesReply, RequestVote, RequestVoteReply, Rpc};

/// How many holes there are.
pub const HOLES: u8 = 8;

/// What a server knows, and what a hole may do with it.
///
/// Terms are compared as numbers (`ask.term < me.current_term`); `Term` and `NodeId` are those of `jangada_raft`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Who this is.
    pub id: NodeId,
    /// How many servers there are, this one with them.
    pub servers: usize,
    /// "latest term server has seen" (Figure 2).
    pub current_term: Term,
    /// Whom it gave its vote in its present term, itself included (Figure 2).
    pub voted_for: Option<NodeId>,
    /// A candidate's: who gave it their votes in its present term, itself included.
    pub votes: BTreeSet<NodeId>,
    pub(super) role: RoleName,
    /// The election timeout shall begin anew.
    pub(super) was_reset: bool,
    /// The empty holes that were fallen into.
    pub(super) fell_into: BTreeSet<u8>,
}

impl Server {
    pub(super) fn new(id: NodeId, servers: usize, current_term: Term, voted_for: Option<NodeId>) -> Server {
        Server {
            id,
            servers,
            current_term,
            voted_for,
            votes: BTreeSet::new(),
            role: RoleName::Follower,
            was_reset: false,
            fell_into: BTreeSet::new(),
        }
    }

    /// Follower, candidate or leader.
    #[must_use]
    pub fn role(&self) -> RoleName {
        self.role
    }

    /// It follows from now on. Its term and its vote stay as they are.
    pub fn become_follower(&mut self) {
        self.role = RoleName::Follower;
    }

    /// It leads its term from now on; its heartbeats leave at once.
    pub fn become_leader(&mut self) {
        self.role = RoleName::Leader;
    }

    /// Its election timeout begins anew, with a duration that is drawn anew.
    pub fn reset_election_timeout(&mut self) {
        self.was_reset = true;
    }

    /// The answer to a [`RequestVote`], in its present term.
    #[must_use]
    pub fn vote(&self, vote_granted: bool) -> RequestVoteReply {
        RequestVoteReply { term: self.current_term, from: self.id, vote_granted }
    }

    /// The answer to an [`AppendEntries`], in its present term.
    #[must_use]
    pub fn answer(&self, success: bool) -> AppendEntriesReply {
        AppendEntriesReply { term: self.current_term, from: self.id, success }
    }

    /// Marks a hole that is empty yet, from 1 to 8: the check names it. Take the line out when you fill it in.
    pub fn hole(&mut self, number: u8) {
        assert!((1..=HOLES).contains(&number), "there are eight holes");
        self.fell_into.insert(number);
    }

    /// What is given: an election timeout has passed. A new term, its own vote, and a new timeout (Paper §5.2).
    pub(super) fn campaign(&mut self) -> RequestVote {
        self.current_term = self.current_term.next();
        self.role = RoleName::Candidate;
        self.voted_for = Some(self.id);
        self.votes = BTreeSet::from([self.id]);
        self.was_reset = true;
        RequestVote { term: self.current_term, candidate: self.id }
    }

    /// Takes a message to the hole that is meant for it; its answer, if it has one.
    pub(super) fn hear<E: Election>(&mut self, rpc: Rpc) -> Option<Rpc> {
        match (rpc, self.role) {
            (Rpc::RequestVote(ask), RoleName::Follower) => Some(vote(E::follower_on_request_vote(self, ask))),
            (Rpc::RequestVote(ask), RoleName::PreCandidate | RoleName::Candidate) => {
                Some(vote(E::candidate_on_request_vote(self, ask)))
            }
            (Rpc::RequestVote(ask), RoleName::Leader) => Some(vote(E::leader_on_request_vote(self, ask))),
            (Rpc::AppendEntries(ask), role) => {
                Some(Rpc::AppendEntriesReply(self.hear_leader::<E>(role, ask)))
            }
            (Rpc::RequestVoteReply(reply), RoleName::PreCandidate | RoleName::Candidate) => {
                E::candidate_on_request_vote_reply(self, reply);
                None
            }
            (Rpc::AppendEntriesReply(reply), RoleName::Leader) => {
                E::leader_on_append_entries_reply(self, reply);
                None
            }
            // Answers to what it was, and is no more: it has other business now.
            (Rpc::RequestVoteReply(_), RoleName::Follower | RoleName::Leader)
            | (
                Rpc::AppendEntriesReply(_),
                RoleName::Follower | RoleName::PreCandidate | RoleName::Candidate,
            ) => None,
        }
    }

    fn hear_leader<E: Election>(&mut self, role: RoleName, ask: AppendEntries) -> AppendEntriesReply {
        match role {
            RoleName::Follower => E::follower_on_append_entries(self, ask),
            RoleName::PreCandidate | RoleName::Candidate => E::candidate_on_append_entries(self, ask),
            RoleName::Leader => E::leader_on_append_entries(self, ask),
        }
    }
}

fn vote(reply: RequestVoteReply) -> Rpc {
    Rpc::RequestVoteReply(reply)
}
