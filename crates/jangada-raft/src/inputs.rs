//! What the host tells a server, messages apart: requests, the time, the disk, its own snapshots.
//!
//! Each function here picks the role that the input concerns and passes it on; the answers and the rules
//! stand with the conversations. What follows for the role is decided in `raft.rs`: the `become_…` functions
//! are called from here, but nothing here assigns the role.

use bytes::Bytes;

use crate::event::{Event, RoleChange};
use crate::face::{Answer, MembershipChange, Refusal, SnapshotChunk};
use crate::message::Rpc;
use crate::raft::Raft;
use crate::role::Role;
use crate::types::{NodeId, PersistId, ReadId, SnapshotMeta};
use crate::{election, membership, read, replication, snapshot, transfer};

impl Raft {
    // ---- Requests -----------------------------------------------------------------------------------------

    /// A client's command: only the leader may order commands, so only it takes one (Paper §8: "if the
    /// client's first choice is not the leader, that server will reject the client's request and supply
    /// information about the most recent leader it has heard from").
    pub(crate) fn propose(&mut self, command: Bytes) -> Answer {
        match &mut self.role {
            Role::Leader(leader) => replication::propose(&mut self.server, leader, command),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => self.refuse_not_leader(),
        }
    }

    /// Another set of servers: an entry in the log like any other, so a matter for the leader.
    pub(crate) fn change_membership(&mut self, change: MembershipChange) -> Answer {
        match &mut self.role {
            Role::Leader(leader) => {
                leader.news = true;
                membership::change(&mut self.server, leader, change)
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => self.refuse_not_leader(),
        }
    }

    /// Another leader, by the wish of this one.
    pub(crate) fn transfer_to(&mut self, target: NodeId) -> Answer {
        match &mut self.role {
            Role::Leader(leader) => transfer::begin(&mut self.server, leader, target),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => self.refuse_not_leader(),
        }
    }

    /// Only the leader can do it; the answer says who that is, as far as this server knows.
    fn refuse_not_leader(&mut self) -> Answer {
        let why = Refusal::NotLeader { leader: self.leader() };
        self.server.event(Event::ProposalRefused { why });
        Answer::Refused(why)
    }

    /// A read, which any server takes: a follower asks its leader how far it must have applied first. Whoever
    /// has no leader says so at once, since it cannot know when there will be one.
    pub(crate) fn read(&mut self, id: ReadId) {
        match &mut self.role {
            Role::Leader(leader) => read::on_read(&mut self.server, leader, id),
            Role::Follower(follower) => read::forward(&mut self.server, follower, id),
            Role::PreCandidate(_) | Role::Candidate(_) => {
                self.server.refuse_read(id, Refusal::NotLeader { leader: None });
            }
        }
    }

    /// As if the election timeout had just passed, so with a pre-vote first where pre-votes are on: a wish
    /// from outside does not depose a leader that others hear. For the founder of a fresh cluster, which need
    /// not wait, and for lessons. A leader, and whoever must not campaign, does nothing.
    pub(crate) fn campaign(&mut self) {
        // A lease rests on this server's promise not to take part in an election; its own is no exception.
        let promised = self.server.config.lease_reads && self.server.living_leader().is_some();
        if !matches!(self.role, Role::Leader(_)) && election::can_campaign(&self.server) && !promised {
            self.start_election(RoleChange::Asked);
        }
    }

    // ---- Time and disk ------------------------------------------------------------------------------------

    /// Looks at the deadlines of the present role. Called too early, it does nothing; called late, it does
    /// once what was due: no missed heartbeat is made up for.
    pub(crate) fn on_time_passed(&mut self) {
        let now = self.server.now;
        match &mut self.role {
            Role::Follower(follower) => {
                read::on_time_passed(&mut self.server, follower);
                if now >= follower.timer.deadline {
                    self.on_election_timeout();
                }
            }
            Role::PreCandidate(campaign) | Role::Candidate(campaign) => {
                if now >= campaign.timer.deadline {
                    self.on_election_timeout();
                } else if now >= campaign.ask_again {
                    election::ask_again(&mut self.server, campaign);
                }
            }
            Role::Leader(leader) => {
                transfer::abort_if_late(&mut self.server, leader);
                replication::notice_of_commit(&self.server, leader);
                if now >= leader.heartbeat_at {
                    self.on_heartbeat_due();
                }
            }
        }
    }

    /// "If election timeout elapses without receiving AppendEntries RPC from current leader or granting vote
    /// to candidate: convert to candidate" (Figure 2); "if election timeout elapses: start new election".
    fn on_election_timeout(&mut self) {
        if election::can_campaign(&self.server) {
            self.start_election(RoleChange::ElectionTimeout);
        } else {
            // Not a voter, or not now. The leader is lost for it as well.
            self.become_follower(RoleChange::ElectionTimeout);
        }
    }

    /// The leader says that it lives (Paper §5.2), and looks whether anybody hears it.
    fn on_heartbeat_due(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        // A leader that nobody hears keeps its clients waiting for nothing, while the others may have elected
        // another one long ago.
        let server = &mut self.server;
        if server.config.check_quorum && !replication::hears_quorum(server, leader) {
            return self.become_follower(RoleChange::QuorumLost);
        }
        leader.heartbeat_at = server.now + server.config.heartbeat_interval;
        // Each heartbeat prolongs the lease, so each one is a round of its own.
        if server.config.lease_reads {
            read::begin_round(server, leader);
        }
        // All that can be lost on the way is repeated here, at the latest.
        read::give_up_old(server, leader);
        transfer::tell_again(leader);
        for progress in leader.progress.values_mut() {
            snapshot::revive(server, progress);
        }
        replication::heartbeat(leader);
        leader.news = true;
    }

    /// The disk has come further. This is the moment at which promises may be kept in the open: first what
    /// waited for the term and the vote, then a whole snapshot, then what each role has to say about its
    /// entries.
    pub(crate) fn on_persisted(&mut self, id: PersistId) {
        let server = &mut self.server;
        let before = server.disk.durable();
        let chunk = server.disk.on_persisted(id);
        let last = server.disk.durable();
        if last > before {
            server.event(Event::Durable { last });
        }
        server.release_waiting();
        if let Some(chunk) = chunk {
            snapshot::on_chunk_written(server, chunk);
        }
        match &mut self.role {
            Role::Follower(follower) => {
                if let Some(chunk) = chunk {
                    snapshot::acknowledge_chunk(server, follower, chunk);
                }
                replication::on_persisted(server, follower);
            }
            // A pre-vote promises nothing.
            Role::PreCandidate(_) => {}
            Role::Candidate(campaign) => {
                let tally = election::on_own_vote_durable(server, campaign);
                self.on_tally(tally);
            }
            // Its own disk counts as one of the majority.
            Role::Leader(leader) => leader.news = true,
        }
    }

    /// The host has a durable snapshot of the state machine.
    pub(crate) fn on_snapshot_taken(&mut self, meta: SnapshotMeta) {
        let in_transfer = match &self.role {
            Role::Leader(leader) => snapshot::oldest_in_transfer(leader),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        };
        snapshot::on_snapshot_taken(&mut self.server, in_transfer, meta);
    }

    /// The host has read a piece of our snapshot for a follower.
    pub(crate) fn on_chunk_read(&mut self, to: NodeId, chunk: SnapshotChunk) {
        // Whoever leads no more has no use for a chunk that it asked for.
        if let Role::Leader(leader) = &mut self.role {
            snapshot::on_chunk_read(&mut self.server, leader, to, chunk);
        }
    }

    /// What a leader concludes from all that it has learnt, in this order: a commit lets reads and membership
    /// changes go on. Called after each input, so nothing that matters is forgotten in one of the many places
    /// where something is learnt; `news` keeps it cheap when nothing was.
    pub(crate) fn digest_news(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        while core::mem::take(&mut leader.news) {
            let committed = self.server.commit_index();
            replication::advance_commit(&mut self.server, leader);
            read::advance(&mut self.server, leader);
            transfer::advance(&mut self.server, leader);
            if membership::advance(&mut self.server, leader) {
                return self.leave_office();
            }
            leader.news |= self.server.commit_index() > committed;
        }
    }

    /// The leader is not part of the cluster that it leads, and that is committed: it steps down (Paper §6).
    /// A last message tells the others what is committed, and the one that is furthest to go on at once.
    fn leave_office(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        replication::heartbeat(leader);
        replication::flush(&mut self.server, leader);
        let voters = &self.server.membership().voters;
        let successor = leader.progress.iter().filter(|(id, _)| voters.contains(id));
        if let Some((to, _)) = successor.max_by_key(|(_, progress)| progress.match_index) {
            self.server.send(*to, Rpc::TimeoutNow);
        }
        self.become_follower(RoleChange::Removed);
    }
}
