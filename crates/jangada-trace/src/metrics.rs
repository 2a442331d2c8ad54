//! Counters and gauges, folded from the events of one server, and their Prometheus text.
//!
//! The stream is the only source: what is not an event cannot be counted here. Counters begin at zero with each
//! start of the server, as Prometheus expects.

use std::fmt::Write;

use jangada_node::event::{ClientEvent, DiskEvent, Event, FrameRefusal, NetEvent, Record};
use jangada_raft::event::{Event as RaftEvent, IgnoreReason, MessageKind, RoleName};
use jangada_raft::types::Index;

use crate::kinds;

/// What has been counted. Plain numbers; add them up as you like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The current term (gauge).
    pub term: u64,
    /// Whether the server leads now (gauge).
    pub leads: bool,
    /// Whether it follows a leader, or leads, in the current term (gauge).
    pub has_leader: bool,
    /// The commit index (gauge).
    pub commit_index: u64,
    /// The last entry of the log (gauge).
    pub last_index: u64,
    /// Voters of the configuration in force (gauge).
    pub voters: u64,
    /// Learners of the configuration in force (gauge).
    pub learners: u64,

    /// Campaigns that only asked who would vote.
    pub pre_elections: u64,
    /// Campaigns for a term.
    pub elections: u64,
    /// Campaigns that made this server the leader.
    pub elections_won: u64,
    /// Leaders that it learnt of, itself among them: one for each term that had any.
    pub leaders_seen: u64,
    /// How often it went from leader to follower.
    pub step_downs: u64,
    /// Votes given, pre-votes not counted.
    pub votes_granted: u64,
    /// Votes refused, pre-votes not counted.
    pub votes_refused: u64,

    /// Messages sent, by kind: see [`kinds::MESSAGES`].
    pub sent: [u64; kinds::MESSAGES.len()],
    /// Messages received, by kind.
    pub received: [u64; kinds::MESSAGES.len()],
    /// Messages that had no effect.
    pub ignored: u64,
    /// Those among them that no correct server sends.
    pub malformed: u64,

    /// Entries appended to the log.
    pub appended: u64,
    /// Entries committed.
    pub committed: u64,
    /// Entries removed because the leader had others.
    pub truncated: u64,
    /// Times a follower's log and the leader's did not fit.
    pub log_conflicts: u64,
    /// Own snapshots for which the log was cut.
    pub snapshots_taken: u64,
    /// Snapshots of a leader that replaced the state.
    pub snapshots_installed: u64,
    /// Bytes of own snapshots written.
    pub snapshot_bytes: u64,
    /// Bytes of an unfinished write that were cut off at the start.
    pub torn_bytes: u64,
    /// Configurations that came into force.
    pub membership_changes: u64,
    /// Leadership hand-overs begun.
    pub transfers: u64,
    /// Leadership hand-overs that came to nothing.
    pub transfers_aborted: u64,
    /// Rounds that proved leadership for reads.
    pub read_rounds: u64,
    /// Reads that such rounds confirmed.
    pub reads_confirmed: u64,
    /// Reads that could not be answered.
    pub reads_refused: u64,
    /// Commands that the core refused.
    pub proposals_refused: u64,

    /// Links to peers that came up.
    pub links_up: u64,
    /// Links to peers that broke.
    pub links_lost: u64,
    /// Links from peers that were accepted.
    pub links_accepted: u64,
    /// Frames of peers that were refused.
    pub frames_refused: u64,
    /// Those among them that came from a wrong cluster or incarnation.
    pub strangers_refused: u64,
    /// Messages dropped because a queue was full.
    pub messages_dropped: u64,
    /// Requests sent on to the leader.
    pub requests_forwarded: u64,
    /// Requests refused without effect.
    pub requests_refused: u64,
    /// Requests whose outcome stayed unknown.
    pub requests_unknown: u64,
    /// Entries that remove keys whose time is over.
    pub expiries: u64,
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// Counts one more record.
    pub fn fold(&mut self, record: &Record) {
        match &record.event {
            Event::Raft(event) => self.fold_raft(event),
            Event::Disk(event) => self.fold_disk(event),
            Event::Net(event) => self.fold_net(event),
            Event::Client(event) => self.fold_client(event),
            Event::Deed(_) => {}
        }
    }

    // tidy: flat table
    fn fold_raft(&mut self, event: &RaftEvent) {
        match *event {
            RaftEvent::TermChanged { new, .. } => {
                self.term = new.0;
                self.has_leader = false;
            }
            RaftEvent::RoleChanged { role, term, .. } => self.fold_role(role, term.0),
            RaftEvent::LeaderKnown { term, .. } => {
                self.term = term.0;
                self.has_leader = true;
                self.leaders_seen += 1;
            }
            RaftEvent::ElectionTimerReset { .. } => {}
            RaftEvent::VoteGranted { pre_vote, .. } => self.votes_granted += u64::from(!pre_vote),
            RaftEvent::VoteRefused { pre_vote, .. } => self.votes_refused += u64::from(!pre_vote),
            RaftEvent::VoteReceived { .. } => {}
            RaftEvent::Sent { kind, .. } => self.sent[kinds::message_number(kind)] += 1,
            RaftEvent::Received { kind, .. } => self.received[kinds::message_number(kind)] += 1,
            RaftEvent::Ignored { why, .. } => {
                self.ignored += 1;
                self.malformed += u64::from(why == IgnoreReason::Malformed);
            }
            RaftEvent::Appended { first, last, .. } => {
                self.appended += distance(first, last) + 1;
                self.last_index = last.0;
            }
            RaftEvent::Durable { .. } => {}
            RaftEvent::Truncated { from, last } => {
                self.truncated += distance(from, last) + 1;
                self.last_index = from.previous().0;
            }
            RaftEvent::LogConflict { .. } => self.log_conflicts += 1,
            RaftEvent::Committed { index, .. } => {
                self.committed += distance(Index(self.commit_index), index);
                self.commit_index = index.0;
            }
            RaftEvent::SnapshotTaken { .. } => self.snapshots_taken += 1,
            RaftEvent::SnapshotInstalled { index, .. } => {
                self.snapshots_installed += 1;
                self.commit_index = self.commit_index.max(index.0);
                self.last_index = self.last_index.max(index.0);
            }
            RaftEvent::MembershipChanged { voters, learners, .. } => {
                self.membership_changes += 1;
                self.voters = voters.into();
                self.learners = learners.into();
            }
            RaftEvent::CaughtUp { .. } => {}
            RaftEvent::TransferStarted { .. } => self.transfers += 1,
            RaftEvent::TransferAborted { .. } => self.transfers_aborted += 1,
            RaftEvent::ReadConfirmed { reads, .. } => {
                self.read_rounds += 1;
                self.reads_confirmed += u64::from(reads);
            }
            RaftEvent::ReadRefused { .. } => self.reads_refused += 1,
            RaftEvent::ProposalRefused { .. } => self.proposals_refused += 1,
        }
    }

    fn fold_role(&mut self, role: RoleName, term: u64) {
        self.term = self.term.max(term);
        match role {
            RoleName::Follower => self.step_downs += u64::from(self.leads),
            RoleName::PreCandidate => self.pre_elections += 1,
            RoleName::Candidate => self.elections += 1,
            RoleName::Leader => {
                self.elections_won += 1;
                self.leaders_seen += 1;
            }
        }
        self.leads = role == RoleName::Leader;
        self.has_leader = self.leads;
    }

    fn fold_disk(&mut self, event: &DiskEvent) {
        match *event {
            DiskEvent::Opened { last, snapshot, torn_bytes, .. } => {
                self.last_index = last.0;
                // What the snapshot stands for was committed in an earlier life.
                self.commit_index = snapshot.0;
                self.torn_bytes += torn_bytes;
            }
            DiskEvent::SnapshotWritten { bytes, .. } => self.snapshot_bytes += bytes,
            DiskEvent::SnapshotStarted { .. } | DiskEvent::SnapshotLoaded { .. } => {}
        }
    }

    fn fold_net(&mut self, event: &NetEvent) {
        match *event {
            NetEvent::Connected { .. } => self.links_up += 1,
            NetEvent::Lost { .. } => self.links_lost += 1,
            NetEvent::Accepted { .. } => self.links_accepted += 1,
            NetEvent::FrameRefused { why, .. } => {
                self.frames_refused += 1;
                let stranger = matches!(why, FrameRefusal::Cluster | FrameRefusal::Incarnation);
                self.strangers_refused += u64::from(stranger);
            }
            NetEvent::Dropped { messages, .. } => self.messages_dropped += u64::from(messages),
        }
    }

    fn fold_client(&mut self, event: &ClientEvent) {
        match *event {
            ClientEvent::Forwarded { requests, .. } => self.requests_forwarded += u64::from(requests),
            ClientEvent::Refused { requests } => self.requests_refused += u64::from(requests),
            ClientEvent::OutcomeUnknown { requests } => self.requests_unknown += u64::from(requests),
            ClientEvent::ExpiryProposed { .. } => self.expiries += 1,
        }
    }

    /// How many messages of a kind were sent.
    #[must_use]
    pub fn sent(&self, kind: MessageKind) -> u64 {
        self.sent[kinds::message_number(kind)]
    }

    /// How many messages of a kind were received.
    #[must_use]
    pub fn received(&self, kind: MessageKind) -> u64 {
        self.received[kinds::message_number(kind)]
    }

    /// Adds everything in Prometheus' text format (0.0.4) to the end of `out`.
    pub fn write_prometheus(&self, out: &mut String) {
        for (name, help, value) in self.gauges() {
            family(out, name, "gauge", help);
            sample(out, name, value);
        }
        for (name, help, value) in self.counters() {
            family(out, name, "counter", help);
            sample(out, name, value);
        }
        for (name, help, values) in [
            ("jangada_messages_sent_total", "Messages sent to peers, by kind.", &self.sent),
            ("jangada_messages_received_total", "Messages received from peers, by kind.", &self.received),
        ] {
            family(out, name, "counter", help);
            for (kind, value) in kinds::MESSAGES.iter().zip(values) {
                writeln!(out, "{name}{{kind=\"{kind}\"}} {value}").expect(STRING);
            }
        }
    }

    fn gauges(&self) -> [(&'static str, &'static str, u64); 7] {
        [
            ("jangada_term", "The current term.", self.term),
            ("jangada_is_leader", "1 while this server leads.", self.leads.into()),
            ("jangada_has_leader", "1 while this server leads or follows a leader.", self.has_leader.into()),
            ("jangada_commit_index", "The last committed entry.", self.commit_index),
            ("jangada_last_index", "The last entry of the log.", self.last_index),
            ("jangada_voters", "Voters of the configuration in force.", self.voters),
            ("jangada_learners", "Learners of the configuration in force.", self.learners),
        ]
    }

    // tidy: flat table
    fn counters(&self) -> [(&'static str, &'static str, u64); 34] {
        [
            ("jangada_pre_elections_total", "Campaigns that asked who would vote.", self.pre_elections),
            ("jangada_elections_total", "Campaigns for a term.", self.elections),
            ("jangada_elections_won_total", "Campaigns that were won.", self.elections_won),
            ("jangada_leaders_seen_total", "Terms whose leader became known.", self.leaders_seen),
            ("jangada_step_downs_total", "Times the leader became a follower.", self.step_downs),
            ("jangada_votes_granted_total", "Votes given.", self.votes_granted),
            ("jangada_votes_refused_total", "Votes refused.", self.votes_refused),
            ("jangada_messages_ignored_total", "Messages of peers without effect.", self.ignored),
            ("jangada_messages_malformed_total", "Messages that no correct peer sends.", self.malformed),
            ("jangada_entries_appended_total", "Entries appended to the log.", self.appended),
            ("jangada_entries_committed_total", "Entries committed.", self.committed),
            ("jangada_entries_truncated_total", "Entries replaced by the leader's.", self.truncated),
            ("jangada_log_conflicts_total", "Times two logs did not fit.", self.log_conflicts),
            ("jangada_snapshots_taken_total", "Own snapshots the log was cut for.", self.snapshots_taken),
            ("jangada_snapshots_installed_total", "Snapshots of a leader.", self.snapshots_installed),
            ("jangada_snapshot_written_bytes_total", "Bytes of own snapshots.", self.snapshot_bytes),
            ("jangada_log_torn_bytes_total", "Bytes of unfinished writes cut off.", self.torn_bytes),
            ("jangada_membership_changes_total", "Configurations put in force.", self.membership_changes),
            ("jangada_transfers_total", "Leadership hand-overs begun.", self.transfers),
            ("jangada_transfers_aborted_total", "Hand-overs that came to nothing.", self.transfers_aborted),
            ("jangada_read_rounds_total", "Rounds that proved leadership.", self.read_rounds),
            ("jangada_reads_confirmed_total", "Reads those rounds confirmed.", self.reads_confirmed),
            ("jangada_reads_refused_total", "Reads without an answer.", self.reads_refused),
            ("jangada_proposals_refused_total", "Commands the core refused.", self.proposals_refused),
            ("jangada_links_up_total", "Links to peers that came up.", self.links_up),
            ("jangada_links_lost_total", "Links to peers that went down.", self.links_lost),
            ("jangada_links_accepted_total", "Links of peers to this server.", self.links_accepted),
            ("jangada_frames_refused_total", "Frames of peers refused.", self.frames_refused),
            ("jangada_strangers_refused_total", "Peers of a wrong cluster or life.", self.strangers_refused),
            ("jangada_messages_dropped_total", "Messages a full queue dropped.", self.messages_dropped),
            ("jangada_requests_forwarded_total", "Requests sent to the leader.", self.requests_forwarded),
            ("jangada_requests_refused_total", "Requests refused, no effect.", self.requests_refused),
            ("jangada_requests_unknown_total", "Requests of unknown outcome.", self.requests_unknown),
            ("jangada_expiries_total", "Entries that remove expired keys.", self.expiries),
        ]
    }
}

const STRING: &str = "writing to a string cannot fail";

/// From `first` to `last`; zero if they stand the other way round.
fn distance(first: Index, last: Index) -> u64 {
    last.0.saturating_sub(first.0)
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(STRING);
}

fn sample(out: &mut String, name: &str, value: u64) {
    writeln!(out, "{name} {value}").expect(STRING);
}
