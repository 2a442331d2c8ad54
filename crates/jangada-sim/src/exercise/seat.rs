//! One server of the exercise: its disk, and, while it runs, what a hole sees, with the events that follow from it.

use jangada_node::event::{Event, Record};
use jangada_raft::event::{Event as RaftEvent, IgnoreReason, RoleChange, RoleName, VoteRefusal};
use jangada_raft::types::{Index, NodeId, Term, Time};

use super::Election;
use super::message::Rpc;
use super::server::Server;

/// A server, running or not.
#[derive(Default)]
pub(super) struct Seat {
    /// What is on its disk: its term and its vote, as after the last message.
    disk: (Term, Option<NodeId>),
    pub(super) life: Option<Server>,
    pub(super) paused: bool,
    /// What came while it stood still.
    pub(super) missed: Vec<(NodeId, u64, Rpc)>,
    /// The leader of its term, as far as it was told, and when it last heard of it.
    pub(super) leader: Option<(Term, NodeId, Time)>,
    /// Timers with an earlier number are void.
    pub(super) timer: u64,
    /// Records of this start.
    told: u64,
}

impl Seat {
    pub(super) fn start(&mut self, id: NodeId, servers: usize) {
        let (term, voted_for) = self.disk;
        self.life = Some(Server::new(id, servers, term, voted_for));
        self.told = 0;
        self.leader = None;
    }

    /// Power off. What it had written when it last answered is what it finds again.
    pub(super) fn stop(&mut self) {
        self.life = None;
        self.paused = false;
        self.missed.clear();
        self.timer += 1;
    }

    pub(super) fn record(&mut self, node: NodeId, time: Time, event: RaftEvent) -> Record {
        self.told += 1;
        Record { time, node, seq: self.told, event: Event::Raft(event) }
    }

    /// It campaigns; what happened, and what it asks everybody.
    pub(super) fn campaign(&mut self) -> Option<(Vec<RaftEvent>, Rpc)> {
        let server = self.life.as_mut().filter(|server| server.role() != RoleName::Leader)?;
        let old = server.current_term;
        let ask = server.campaign();
        let term = server.current_term;
        self.disk = (term, server.voted_for);
        let me = server.id;
        let events = vec![
            RaftEvent::TermChanged { old, new: term, from: None },
            RaftEvent::RoleChanged { role: RoleName::Candidate, term, why: RoleChange::ElectionTimeout },
            RaftEvent::VoteReceived { from: me, term, pre_vote: false, granted: true, votes: 1 },
        ];
        Some((events, Rpc::RequestVote(ask)))
    }

    /// It hears a message. What happened, and its answer; what it did is on its disk.
    pub(super) fn hear<E: Election>(
        &mut self,
        now: Time,
        from: NodeId,
        rpc: Rpc,
    ) -> (Vec<RaftEvent>, Option<Rpc>) {
        let Some(server) = self.life.as_mut() else { return (Vec::new(), None) };
        let before = server.clone();
        let answer = server.hear::<E>(rpc);
        self.disk = (server.current_term, server.voted_for);
        if let (Rpc::AppendEntries(ask), Some(Rpc::AppendEntriesReply(reply))) = (rpc, answer)
            && reply.success
        {
            self.leader = Some((ask.term, ask.leader, now));
        }
        (events(&before, server, from, rpc, answer), answer)
    }
}

/// What happened to a server that heard a message, in the order in which the core would tell it.
fn events(before: &Server, after: &Server, from: NodeId, rpc: Rpc, answer: Option<Rpc>) -> Vec<RaftEvent> {
    let mut events = Vec::new();
    let term = after.current_term;
    if let (Rpc::RequestVoteReply(reply), RoleName::Candidate) = (rpc, before.role())
        && reply.term == before.current_term
    {
        let votes = u32::try_from(after.votes.len()).unwrap_or(u32::MAX);
        let granted = reply.vote_granted;
        events.push(RaftEvent::VoteReceived { from, term: reply.term, pre_vote: false, granted, votes });
    }
    if term != before.current_term {
        events.push(RaftEvent::TermChanged { old: before.current_term, new: term, from: Some(from) });
    }
    if after.role() != before.role() {
        let why = match after.role() {
            RoleName::Leader => RoleChange::ElectionWon,
            _ if term != before.current_term => RoleChange::HigherTerm,
            _ => RoleChange::LeaderFound,
        };
        events.push(RaftEvent::RoleChanged { role: after.role(), term, why });
    }
    match (rpc, answer) {
        (Rpc::RequestVote(ask), Some(Rpc::RequestVoteReply(reply))) if reply.vote_granted => {
            events.push(RaftEvent::VoteGranted { to: from, term: ask.term, pre_vote: false });
        }
        (Rpc::RequestVote(ask), Some(Rpc::RequestVoteReply(_))) => {
            // An empty hole refuses for no reason; then there is none to tell.
            if let Some(why) = why_refused(after, ask.term, from) {
                events.push(RaftEvent::VoteRefused { to: from, term: ask.term, pre_vote: false, why });
            }
        }
        (Rpc::AppendEntries(ask), Some(Rpc::AppendEntriesReply(reply))) if !reply.success => {
            let old = ask.term < after.current_term;
            let why = if old { IgnoreReason::OldTerm } else { IgnoreReason::WrongRole };
            let (kind, _) = rpc.gist();
            events.push(RaftEvent::Ignored { from, sequence: 0, kind, why });
        }
        (Rpc::AppendEntries(ask), Some(_)) => {
            events.push(RaftEvent::LeaderKnown { leader: ask.leader, term: ask.term });
        }
        _ => {}
    }
    events
}

fn why_refused(server: &Server, asked_in: Term, candidate: NodeId) -> Option<VoteRefusal> {
    if asked_in < server.current_term {
        return Some(VoteRefusal::OldTerm);
    }
    let voted_for = server.voted_for.filter(|voted_for| *voted_for != candidate);
    voted_for.map(|voted_for| VoteRefusal::AlreadyVoted { voted_for })
}

/// What a message is in the event that tells of it.
pub(super) fn sent(to: NodeId, sequence: u64, rpc: Rpc) -> RaftEvent {
    let (kind, count) = rpc.gist();
    RaftEvent::Sent { to, sequence, term: rpc.term(), kind, index: Index::ZERO, count }
}

/// The same where it arrives.
pub(super) fn received(from: NodeId, sequence: u64, rpc: Rpc) -> RaftEvent {
    let (kind, count) = rpc.gist();
    RaftEvent::Received { from, sequence, term: rpc.term(), kind, index: Index::ZERO, count }
}
