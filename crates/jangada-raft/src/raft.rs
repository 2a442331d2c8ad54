//! The server as a whole: what comes in is dispatched here, and only here does the role change.
//!
//! Paper, Figure 4 and "Rules for Servers" in Figure 2. What a message *means* stands in the file of its
//! conversation; this file knows what a term means for it, which role it concerns, and what follows for the
//! role. Start reading at [`Raft::handle`].
//!
//! A message passes three gates. Is it meant for us, and may its sender say this (`admission.rs`)? Does its
//! term make us fall in line, or is it out of date? Then the one table in `dispatch`, which pairs every RPC
//! with every role: a new RPC or a new role does not compile until each pair has an answer.
//!
//! The roles are the paper's three, and the pre-candidate of the thesis between the first two:
//!
//! ```text
//!               election timeout           a majority would          a majority votes
//!   Follower ────────────────────▶ PreCandidate ─────────▶ Candidate ───────────────▶ Leader
//!      ▲                                │                      │                        │
//!      └────────────────────────────────┴──────────────────────┴────────────────────────┘
//!            a leader is found, a later term is seen, the campaign is lost, no majority is heard
//! ```

use alloc::boxed::Box;

use crate::config::Config;
use crate::election::{self, Leadership};
use crate::event::{Event, IgnoreReason, RoleChange};
use crate::face::{Answer, Input, Output, Recovered, SnapshotChunk};
use crate::message::{Message, Rpc};
use crate::quorum::Tally;
use crate::role::{ElectionTimer, Follower, Leader, Role};
use crate::server::{Envelope, NUMBER_LIMIT, Server};
use crate::types::{Index, NodeId, Payload, Term, Time};
use crate::{admission, membership, read, replication, snapshot, transfer};

/// One server: plain data that takes an [`Input`] and the time, and gives back what must be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    pub(crate) server: Server,
    pub(crate) role: Role,
}

impl Raft {
    /// A server as its disk remembers it; a server that starts for the first time remembers the cluster's
    /// first configuration, or nothing if it is to join one that exists. It begins as a follower, whatever it
    /// was (Paper §5.2).
    ///
    /// # Panics
    /// If `recovered` contradicts itself: a log with a hole, or with terms that fall.
    #[must_use]
    pub fn restore(now: Time, config: Config, recovered: Recovered) -> Raft {
        let mut server = Server::restore(now, config, recovered);
        let timer = ElectionTimer::start(&mut server);
        let follower = Follower::new(&server, timer);
        Raft { server, role: Role::Follower(follower) }
    }

    /// Takes one input. `now` never goes back; if it does, it is taken to stand still.
    ///
    /// What there is to do comes out of [`Raft::take_output`], which is to be called after each input, or
    /// after each batch of them: what was proposed in between travels together.
    ///
    /// # Panics
    /// If the host contradicts itself: reports as durable or applied what it was never given. No message from
    /// outside can make it panic.
    pub fn handle(&mut self, now: Time, input: Input) -> Answer {
        self.server.now = self.server.now.max(now);
        let mut answer = Answer::Done;
        match input {
            Input::TimePassed => self.on_time_passed(),
            Input::Receive(message) => self.receive(message),
            Input::Propose(command) => answer = self.propose(command),
            Input::ChangeMembership(change) => answer = self.change_membership(change),
            Input::Read(id) => self.read(id),
            Input::TransferTo(target) => answer = self.transfer_to(target),
            Input::Campaign => self.campaign(),
            Input::Persisted(id) => self.on_persisted(id),
            Input::Applied(index) => self.server.on_applied(index),
            Input::SnapshotTaken(meta) => self.on_snapshot_taken(meta),
            Input::SnapshotChunk { to, meta, offset, data, done } => {
                self.on_chunk_read(to, SnapshotChunk { meta, offset, data, done });
            }
        }
        self.digest_news();
        answer
    }

    /// What must now be done. `out` is emptied first; its vectors are used again.
    ///
    /// Messages with entries are made here and not when a command is proposed: however many came in since the
    /// last call, each follower gets one message for all of them.
    pub fn take_output(&mut self, out: &mut Output) {
        match &mut self.role {
            Role::Leader(leader) => {
                replication::flush(&mut self.server, leader);
                membership::say_farewell(&self.server, leader);
            }
            Role::Follower(follower) => read::flush(&mut self.server, follower),
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
        let server = &mut self.server;
        snapshot::forget_some(server);
        // What the disk is to do and what the network is to do leave together and run in parallel. Whatever
        // must not overtake the disk is not in `send` yet.
        out.persist = server.next_persist();
        let (applied, committed) = (server.outbox.committed, server.commit_index());
        server.outbox.committed = committed;
        out.committed = (applied < committed).then(|| applied.next()..=committed);
        out.install = server.outbox.install.take();
        out.send.clear();
        out.reads.clear();
        out.snapshot_requests.clear();
        out.events.clear();
        core::mem::swap(&mut out.send, &mut server.outbox.send);
        core::mem::swap(&mut out.reads, &mut server.outbox.reads);
        core::mem::swap(&mut out.snapshot_requests, &mut server.outbox.snapshot_requests);
        core::mem::swap(&mut out.events, &mut server.outbox.events);
    }

    /// When [`Input::TimePassed`] is due, unless something else comes in before.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        match &self.role {
            Role::Follower(follower) => {
                follower.timer.deadline.min(read::next_deadline(&self.server, follower))
            }
            Role::PreCandidate(campaign) | Role::Candidate(campaign) => {
                campaign.timer.deadline.min(campaign.ask_again)
            }
            Role::Leader(leader) => {
                let others = [leader.transfer.map(|transfer| transfer.until), leader.commit_notice_at];
                others.into_iter().flatten().fold(leader.heartbeat_at, Time::min)
            }
        }
    }

    // ---- Messages -----------------------------------------------------------------------------------------

    /// A message, from anywhere and with anything in it: nothing below may trust a number in it before it has
    /// been compared with what is known here.
    fn receive(&mut self, message: Message) {
        let envelope = Envelope::of(&message);
        if let Some(why) = admission::misdirected(&self.server, &message) {
            return self.server.ignore(envelope, why);
        }
        let (from, sequence, term) = (message.from, message.sequence, message.term);
        let (kind, index, count) = message.rpc.gist();
        self.server.event(Event::Received { from, sequence, term, kind, index, count });
        if term.0 >= NUMBER_LIMIT {
            return self.server.ignore(envelope, IgnoreReason::Malformed);
        }
        if !admission::may_hear(&self.server, &self.role, from, &message.rpc) {
            return self.server.ignore(envelope, IgnoreReason::UnknownSender);
        }
        if term > self.server.term() {
            self.on_later_term(envelope, message.rpc);
        } else if term < self.server.term() {
            self.on_earlier_term(envelope, message.rpc);
        } else {
            self.dispatch(envelope, message.rpc);
        }
    }

    /// "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to follower"
    /// (Figure 2, rules for all servers).
    ///
    /// **Differs from the paper** in two cases, both of Thesis §4.2.3 and §9.6: a pre-vote only *asks* about
    /// a term that nobody has entered yet, and a server that hears its leader does not follow a candidate
    /// into a new one. Otherwise a server that was cut off for a while, and campaigned alone, would depose
    /// the leader by its mere return.
    fn on_later_term(&mut self, envelope: Envelope, rpc: Rpc) {
        if let Rpc::RequestVote(ask) = &rpc {
            let leadership = self.leadership();
            if ask.pre_vote || election::protects(&self.server, leadership, ask).is_some() {
                election::on_request_vote(&mut self.server, leadership, envelope, ask);
                return;
            }
        }
        self.enter_term(envelope.term, envelope.from);
        self.dispatch(envelope, rpc);
    }

    /// A request of an earlier term is answered with ours, so that the sender learns of it; never with
    /// silence, which would leave a server that fell behind alone for ever. An answer of an earlier term has
    /// nothing to say, but for a vote that was refused by a server that would not enter our term.
    fn on_earlier_term(&mut self, envelope: Envelope, rpc: Rpc) {
        match rpc {
            Rpc::RequestVote(ask) => {
                let leadership = self.leadership();
                election::on_request_vote(&mut self.server, leadership, envelope, &ask);
            }
            Rpc::AppendEntries(_) => replication::refuse_old_term(&mut self.server, envelope),
            Rpc::InstallSnapshot(_) => snapshot::refuse_old_term(&mut self.server, envelope),
            Rpc::RequestVoteReply(reply) if !reply.vote_granted || reply.pre_vote => {
                self.dispatch(envelope, Rpc::RequestVoteReply(reply));
            }
            Rpc::RequestVoteReply(_)
            | Rpc::AppendEntriesReply(_)
            | Rpc::InstallSnapshotReply(_)
            | Rpc::TimeoutNow
            | Rpc::ReadIndex(_)
            | Rpc::ReadIndexReply(_) => self.server.ignore(envelope, IgnoreReason::OldTerm),
        }
    }

    /// Who does what on which message, every pair written out. The terms have been compared: apart from the
    /// votes, whose terms are their own matter, the message is of the present term.
    // tidy: flat table
    fn dispatch(&mut self, envelope: Envelope, rpc: Rpc) {
        let leadership = self.leadership();
        let server = &mut self.server;
        match (rpc, &mut self.role) {
            (Rpc::RequestVote(ask), Role::Follower(follower)) => {
                if election::on_request_vote(server, leadership, envelope, &ask) {
                    follower.timer = ElectionTimer::start(server);
                }
            }
            (Rpc::RequestVote(ask), Role::PreCandidate(_)) => {
                if election::on_request_vote(server, leadership, envelope, &ask) {
                    // It was only asking itself; another one campaigns already.
                    self.become_follower(RoleChange::ElectionLost);
                }
            }
            (Rpc::RequestVote(ask), Role::Candidate(_) | Role::Leader(_)) => {
                let voted = election::on_request_vote(server, leadership, envelope, &ask);
                assert!(!voted, "whoever campaigned in this term has voted for itself");
            }

            (Rpc::RequestVoteReply(reply), Role::PreCandidate(campaign) | Role::Candidate(campaign)) => {
                let tally = election::on_request_vote_reply(server, campaign, envelope, &reply);
                self.on_tally(tally);
            }
            // The campaign is over: it was won without this vote, or given up.
            (Rpc::RequestVoteReply(_), Role::Follower(_) | Role::Leader(_)) => {
                server.ignore(envelope, IgnoreReason::Stale);
            }

            (Rpc::AppendEntries(append), Role::Follower(follower)) => {
                replication::on_append_entries(server, follower, envelope, append);
            }
            (Rpc::InstallSnapshot(install), Role::Follower(follower)) => {
                snapshot::on_install_snapshot(server, follower, envelope, install);
            }
            (
                rpc @ (Rpc::AppendEntries(_) | Rpc::InstallSnapshot(_)),
                Role::PreCandidate(_) | Role::Candidate(_),
            ) => {
                // "If AppendEntries RPC received from new leader: convert to follower" (Figure 2), and then
                // do as a follower does.
                self.become_follower(RoleChange::LeaderFound);
                self.dispatch(envelope, rpc);
            }
            (Rpc::AppendEntries(_) | Rpc::InstallSnapshot(_), Role::Leader(_)) => {
                // Two leaders in one term: election safety rules it out (Paper §5.2).
                server.ignore(envelope, IgnoreReason::Malformed);
            }

            (Rpc::AppendEntriesReply(reply), Role::Leader(leader)) => {
                replication::on_append_entries_reply(server, leader, envelope, &reply);
            }
            (Rpc::InstallSnapshotReply(reply), Role::Leader(leader)) => {
                snapshot::on_install_snapshot_reply(server, leader, envelope, &reply);
            }
            // We led in this term, and stepped down in it.
            (
                Rpc::AppendEntriesReply(_) | Rpc::InstallSnapshotReply(_),
                Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_),
            ) => server.ignore(envelope, IgnoreReason::WrongRole),

            (Rpc::TimeoutNow, Role::Follower(follower)) => {
                if transfer::on_timeout_now(server, follower, envelope) {
                    self.on_timeout_now(envelope);
                }
            }
            // It would have campaigned anyway; now it need not ask first.
            (Rpc::TimeoutNow, Role::PreCandidate(_)) => self.on_timeout_now(envelope),
            (Rpc::TimeoutNow, Role::Candidate(_) | Role::Leader(_)) => {
                server.ignore(envelope, IgnoreReason::WrongRole);
            }

            (Rpc::ReadIndex(question), Role::Leader(leader)) => {
                read::on_read_index(server, leader, envelope, &question);
            }
            (Rpc::ReadIndex(question), Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_)) => {
                server.ignore(envelope, IgnoreReason::WrongRole);
                read::refuse_question(server, envelope.from, &question);
            }
            (Rpc::ReadIndexReply(reply), Role::Follower(follower)) => {
                read::on_read_index_reply(server, follower, envelope, &reply);
            }
            // Whoever asked was told already that there is no answer, when the leader was lost.
            (Rpc::ReadIndexReply(_), Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_)) => {
                server.ignore(envelope, IgnoreReason::Stale);
            }
        }
    }

    /// The leader wants this server to take over (Thesis §3.10, step 3): no waiting, no pre-vote.
    fn on_timeout_now(&mut self, envelope: Envelope) {
        if election::can_campaign(&self.server) {
            self.become_candidate(RoleChange::Asked, true);
        } else {
            self.server.ignore(envelope, IgnoreReason::CannotCampaign);
        }
    }

    /// What a voter has to know about leaders before it gives its vote away.
    pub(crate) fn leadership(&self) -> Leadership {
        let me = self.server.id();
        match &self.role {
            Role::Leader(_) => Leadership { of_term: Some(me), alive: Some(me) },
            Role::Follower(follower) => {
                Leadership { of_term: follower.leader, alive: self.server.living_leader() }
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {
                Leadership { of_term: None, alive: self.server.living_leader() }
            }
        }
    }

    // ---- Transitions --------------------------------------------------------------------------------------

    /// Asks first whether an election could be won, if the pre-vote is on; campaigns at once otherwise.
    pub(crate) fn start_election(&mut self, why: RoleChange) {
        if self.server.config.pre_vote {
            self.become_pre_candidate(why);
        } else {
            self.become_candidate(why, false);
        }
    }

    /// What follows from the votes so far. A candidate that has lost does not wait for its timer: as a
    /// follower it can vote and follow at once, and it will campaign again by itself.
    pub(crate) fn on_tally(&mut self, tally: Tally) {
        match (tally, &self.role) {
            (Tally::Open, _) => {}
            (Tally::Won, Role::PreCandidate(_)) => self.become_candidate(RoleChange::PreVoteWon, false),
            (Tally::Won, Role::Candidate(_)) => self.become_leader(),
            (Tally::Lost, Role::PreCandidate(_) | Role::Candidate(_)) => {
                self.become_follower(RoleChange::ElectionLost);
            }
            (Tally::Won | Tally::Lost, Role::Follower(_) | Role::Leader(_)) => {
                unreachable!("only who campaigns counts votes")
            }
        }
    }

    /// Another server is in a later term. A follower stays one, and keeps its election timer: that somebody
    /// campaigns is no sign of a leader, and a candidate that can never win (its log is too old) must not be
    /// able to keep those that could from trying.
    fn enter_term(&mut self, term: Term, from: NodeId) {
        let timer = match &self.role {
            Role::Follower(follower) => Some(follower.timer),
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => None,
        };
        self.end_role();
        self.server.enter_term(term, Some(from));
        let timer_now = timer.unwrap_or_else(|| ElectionTimer::start(&mut self.server));
        self.role = Role::Follower(Follower::new(&self.server, timer_now));
        if timer.is_none() {
            self.report_role(RoleChange::HigherTerm);
        }
    }

    /// Follows, or waits, in the present term.
    pub(crate) fn become_follower(&mut self, why: RoleChange) {
        let was_follower = matches!(self.role, Role::Follower(_));
        self.end_role();
        let timer = ElectionTimer::start(&mut self.server);
        self.role = Role::Follower(Follower::new(&self.server, timer));
        if !was_follower {
            self.report_role(why);
        }
    }

    /// Neither the term nor the vote changes: a question costs nobody anything (Thesis §9.6).
    fn become_pre_candidate(&mut self, why: RoleChange) {
        self.end_role();
        self.role = Role::PreCandidate(election::prepare(&mut self.server, true, false));
        self.open_campaign(why);
    }

    /// "On conversion to candidate, start election: increment currentTerm, vote for self, reset election
    /// timer, send RequestVote RPCs to all other servers" (Figure 2).
    fn become_candidate(&mut self, why: RoleChange, leadership_transfer: bool) {
        self.end_role();
        let me = self.server.id();
        self.server.enter_term(self.server.term().next(), None);
        self.server.vote_for(me);
        self.role = Role::Candidate(election::prepare(&mut self.server, false, leadership_transfer));
        self.open_campaign(why);
    }

    /// In a cluster of one, the pre-vote is its own answer.
    fn open_campaign(&mut self, why: RoleChange) {
        self.report_role(why);
        if let Role::PreCandidate(campaign) | Role::Candidate(campaign) = &mut self.role {
            let tally = election::start(&mut self.server, campaign);
            self.on_tally(tally);
        }
    }

    /// "Upon election: send initial empty AppendEntries RPCs to each server" (Figure 2). Ours carry the no-op
    /// of Paper §8 at the same time: until an entry of its own term is committed, a leader cannot know what
    /// is committed at all, since it must not count entries of earlier terms (§5.4.2).
    ///
    /// The very first entry of a cluster is its founding configuration instead. The founders know it without
    /// the log, but a server that joins later knows nothing but the log, and could not say in a snapshot who
    /// belonged to the cluster before it came.
    fn become_leader(&mut self) {
        let leader = Leader::new(&self.server);
        self.role = Role::Leader(leader);
        self.report_role(RoleChange::ElectionWon);
        if let Role::Leader(leader) = &mut self.role {
            let payload = match self.server.log.last_index() {
                Index::ZERO => Payload::Membership(Box::new(self.server.membership().clone())),
                _ => Payload::Noop,
            };
            let index = replication::append(&mut self.server, leader, payload);
            assert!(index == leader.first_of_term, "a leader begins with an entry of its own");
        }
    }

    /// What a role leaves behind when it ends: reads that nobody can confirm any more.
    fn end_role(&mut self) {
        match &mut self.role {
            Role::Follower(follower) => read::abandon_forwarded(&mut self.server, &mut follower.reads),
            Role::PreCandidate(_) | Role::Candidate(_) => {}
            Role::Leader(leader) => read::abandon(&mut self.server, leader),
        }
    }

    fn report_role(&mut self, why: RoleChange) {
        let (role, term) = (self.role.name(), self.server.term());
        self.server.event(Event::RoleChanged { role, term, why });
    }
}
