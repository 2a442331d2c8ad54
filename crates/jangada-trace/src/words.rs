//! One sentence per event, for people: names first, relative times, and why.
//!
//! [`Words`] remembers a little about each server (who voted for it, since when it hears no leader), because a good
//! sentence says more than one event knows. It has to be shown *all* records to be right; how much of it is
//! told is up to the [`Level`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jangada_node::event::{ClientEvent, DiskEvent, Event, LinkLoss, NetEvent, Record};
use jangada_raft::event::{
    Event as RaftEvent, MembershipStage, MessageKind, RoleChange, RoleName, VoteRefusal,
};
use jangada_raft::face::Refusal;
use jangada_raft::types::{NodeId, Term, Time};

use crate::names::Names;
use crate::phrases::{
    entries, message, message_name, plural, say_disk, say_membership, since_start, span, why_frame_refused,
    why_ignored, why_lost,
};

/// How much an event matters to someone who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something is wrong, or may soon be.
    Warn,
    /// What somebody who runs a cluster wants to know: elections, members, snapshots.
    Info,
    /// What somebody who looks for a fault wants to know: single votes, repairs of logs, refusals.
    Debug,
    /// Everything: each message, each entry, each timer.
    Trace,
}

/// Puts events into words.
#[derive(Clone, Debug, Default)]
pub struct Words {
    names: Names,
    servers: BTreeMap<NodeId, Story>,
}

/// What is remembered of one server.
#[derive(Clone, Debug, Default)]
struct Story {
    /// Since when it has heard no leader.
    no_leader_since: Option<Time>,
    /// It leads.
    leads: bool,
    /// Who voted (or would vote) for it in the present campaign, itself not counted.
    voters_for_it: Vec<NodeId>,
    /// Votes in the present campaign, its own with them.
    votes: u32,
    /// Voters in its configuration; 0 until it is known.
    cluster: u32,
    /// Decisions need two majorities now.
    joint: bool,
}

impl Words {
    /// A teller who calls the servers by these names.
    #[must_use]
    pub fn new(names: Names) -> Words {
        Words { names, servers: BTreeMap::new() }
    }

    /// The names, to add a server that joined.
    pub fn names_mut(&mut self) -> &mut Names {
        &mut self.names
    }

    /// `+0.217  n2     sentence`, if the event matters as much as `level`. The time is counted from
    /// [`Time::ZERO`].
    pub fn line(&mut self, record: &Record, level: Level) -> Option<String> {
        let sentence = self.sentence(record, level)?;
        Some(format!("{:<7} {:<6} {sentence}", since_start(record.time), self.names.of(record.node)))
    }

    /// The sentence alone, if the event matters as much as `level`.
    pub fn sentence(&mut self, record: &Record, level: Level) -> Option<String> {
        let told = crate::words::level(&record.event) <= level;
        let sentence = told.then(|| self.say(record));
        self.remember(record);
        sentence
    }

    fn say(&self, record: &Record) -> String {
        match &record.event {
            Event::Raft(event) => self.say_raft(record, event),
            Event::Disk(event) => say_disk(event),
            Event::Net(event) => self.say_net(event),
            Event::Client(event) => self.say_client(event),
        }
    }

    // tidy: flat table
    fn say_raft(&self, record: &Record, event: &RaftEvent) -> String {
        match *event {
            RaftEvent::TermChanged { old, new, from: Some(from) } => {
                format!("term {old} → {new}, told by {}", self.names.of(from))
            }
            RaftEvent::TermChanged { old, new, from: None } => {
                format!("term {old} → {new}, its own campaign")
            }
            RaftEvent::RoleChanged { role, term, why } => self.say_role(record, role, term, why),
            RaftEvent::LeaderKnown { leader, term } => {
                format!("follows {}, the leader of term {term}", self.names.of(leader))
            }
            RaftEvent::ElectionTimerReset { after_nanos } => {
                format!("election timer set to {}", span(Duration::from_nanos(after_nanos)))
            }
            RaftEvent::VoteGranted { to, term, pre_vote } => {
                let verb = if pre_vote { "would vote" } else { "votes" };
                format!("{verb} for {} in term {term}", self.names.of(to))
            }
            RaftEvent::VoteRefused { to, term, pre_vote, why } => {
                let verb = if pre_vote { "would not vote" } else { "does not vote" };
                format!("{verb} for {} in term {term}: {}", self.names.of(to), self.why_no_vote(why))
            }
            RaftEvent::VoteReceived { from, term, pre_vote, granted, votes } => {
                let verb = match (pre_vote, granted) {
                    (true, true) => "would vote",
                    (true, false) => "would not vote",
                    (false, true) => "votes",
                    (false, false) => "does not vote",
                };
                let have = if votes == 1 { "1 vote".into() } else { format!("{votes} votes") };
                format!("{} {verb} for it in term {term} ({have})", self.names.of(from))
            }
            RaftEvent::Sent { to, sequence, term, kind, index, count } => {
                let what = message(kind, index.0, count);
                format!("→ {} #{sequence} {what}, term {term}", self.names.of(to))
            }
            RaftEvent::Received { from, sequence, term, kind, index, count } => {
                let what = message(kind, index.0, count);
                format!("← {} #{sequence} {what}, term {term}", self.names.of(from))
            }
            RaftEvent::Ignored { from, sequence, kind, why } => {
                let from = self.names.of(from);
                format!("ignores {} #{sequence} from {from}: {}", message_name(kind), why_ignored(why))
            }
            RaftEvent::Appended { first, last, term } => {
                format!("{} appended, term {term}", entries(first.0, last.0))
            }
            RaftEvent::Durable { last } => format!("log on disk up to {last}"),
            RaftEvent::Truncated { from, last } => {
                format!("{} removed: the leader has others there", entries(from.0, last.0))
            }
            RaftEvent::LogConflict { peer, prev_log_index, next_index } => format!(
                "its log and that of {} differ at {prev_log_index}; next try from {next_index}",
                self.names.of(peer)
            ),
            RaftEvent::Committed { index, term } => format!("committed up to {index}, term {term}"),
            RaftEvent::SnapshotTaken { index, term } => {
                format!("log cut: the snapshot stands for everything up to {index} (term {term})")
            }
            RaftEvent::SnapshotInstalled { index, term, from } => {
                let from = self.names.of(from);
                format!("snapshot from {from} takes the place of everything up to {index} (term {term})")
            }
            RaftEvent::MembershipChanged { index, stage, voters, learners } => {
                say_membership(index.0, stage, voters, learners)
            }
            RaftEvent::CaughtUp { peer, match_index } => {
                format!("{} has caught up (it holds the log up to {match_index})", self.names.of(peer))
            }
            RaftEvent::TransferStarted { to } => format!("hands leadership over to {}", self.names.of(to)),
            RaftEvent::TransferAborted { to } => {
                format!("did not manage to hand over to {} in time; goes on leading", self.names.of(to))
            }
            RaftEvent::ReadConfirmed { round: 0, index, reads } => {
                format!("{} confirmed at {index} by its lease", plural(reads.into(), "read"))
            }
            RaftEvent::ReadConfirmed { round, index, reads } => {
                let reads = plural(reads.into(), "read");
                format!("{reads} confirmed at {index}: still leader (round {round})")
            }
            RaftEvent::ReadRefused { id } => format!("read {} refused: no leadership to prove", id.0),
            RaftEvent::ProposalRefused { why } => format!("command refused: {}", self.why_refused(why)),
        }
    }

    fn say_role(&self, record: &Record, role: RoleName, term: Term, why: RoleChange) -> String {
        let unknown = Story::default();
        let story = self.servers.get(&record.node).unwrap_or(&unknown);
        let because = match why {
            RoleChange::ElectionTimeout => match story.no_leader_since {
                Some(since) => {
                    format!("election timeout ({} without a leader)", span(record.time.since(since)))
                }
                None => "election timeout".into(),
            },
            RoleChange::Asked => "asked to campaign".into(),
            RoleChange::PreVoteWon => story.tally(&self.names, "would vote"),
            RoleChange::ElectionWon => story.tally(&self.names, "voted"),
            RoleChange::HigherTerm => format!("term {term} is newer"),
            RoleChange::LeaderFound => format!("term {term} has a leader"),
            RoleChange::QuorumLost => "heard no majority for an election timeout: writes wait".into(),
            RoleChange::ElectionLost => "a majority refused".into(),
            RoleChange::Removed => "no longer a voter".into(),
        };
        let now = match role {
            RoleName::Follower => "Follower".into(),
            RoleName::PreCandidate => "PreCandidate, asks who would vote for it".into(),
            RoleName::Candidate => format!("Candidate, term {term}"),
            RoleName::Leader => format!("LEADER of term {term}"),
        };
        format!("{because} → {now}")
    }

    fn why_no_vote(&self, why: VoteRefusal) -> String {
        match why {
            VoteRefusal::OldTerm => "that term is over".into(),
            VoteRefusal::AlreadyVoted { voted_for } => {
                format!("its vote went to {}", self.names.of(voted_for))
            }
            VoteRefusal::LogBehind => "its own log is more up-to-date".into(),
            VoteRefusal::LeaderAlive { leader } => format!("it hears its leader {}", self.names.of(leader)),
            VoteRefusal::IsLeader => "it leads itself".into(),
        }
    }

    /// Why the core refused a request.
    #[must_use]
    pub fn why_refused(&self, why: Refusal) -> String {
        match why {
            Refusal::NotLeader { leader: Some(leader) } => {
                format!("not the leader, {} is", self.names.of(leader))
            }
            Refusal::NotLeader { leader: None } => "not the leader, and none is known".into(),
            Refusal::Busy => "too much waits already".into(),
            Refusal::TooLarge => "too large".into(),
            Refusal::Transferring => "leadership is being handed over".into(),
            Refusal::ChangePending => "a membership change is under way".into(),
            Refusal::TooEarly => "a new leader first commits an entry of its own term".into(),
            Refusal::BadMembership => "the change leaves no voters, or names a server twice".into(),
            Refusal::NoChange => "that is the configuration already".into(),
            Refusal::BadTarget => "that server is not another voter".into(),
        }
    }

    fn say_net(&self, event: &NetEvent) -> String {
        match *event {
            NetEvent::Connected { peer } => format!("reaches {}", self.names.of(peer)),
            NetEvent::Lost { peer, why } => {
                format!("lost its link to {}: {}", self.names.of(peer), why_lost(why))
            }
            NetEvent::Accepted { peer } => format!("is reached by {}", self.names.of(peer)),
            NetEvent::FrameRefused { peer, why } => {
                let peer = peer.map_or("an unknown peer".into(), |peer| self.names.of(peer));
                format!("closed the link from {peer}: {}", why_frame_refused(why))
            }
            NetEvent::Dropped { peer, messages } => {
                let messages = plural(messages.into(), "message");
                format!(
                    "dropped {messages} to {}: its queue is full (they are sent again)",
                    self.names.of(peer)
                )
            }
        }
    }

    fn say_client(&self, event: &ClientEvent) -> String {
        match *event {
            ClientEvent::Forwarded { to, requests } => {
                format!("{} sent on to {}, the leader", plural(requests.into(), "request"), self.names.of(to))
            }
            ClientEvent::Refused { requests } => {
                format!("{} refused, without effect", plural(requests.into(), "request"))
            }
            ClientEvent::OutcomeUnknown { requests } => {
                let requests = plural(requests.into(), "request");
                format!("{requests} answered \"outcome unknown\": leadership changed on the way")
            }
            ClientEvent::ExpiryProposed { index } => {
                format!("keys that outlived their time go with entry {index}")
            }
        }
    }

    fn remember(&mut self, record: &Record) {
        if matches!(record.event, Event::Disk(DiskEvent::Opened { .. })) {
            // It has just started, and remembers nothing of its campaigns.
            self.servers.remove(&record.node);
        }
        let Event::Raft(event) = &record.event else { return };
        let story = self.servers.entry(record.node).or_default();
        // Not a dispatch: the few events that a later sentence looks back at.
        match *event {
            RaftEvent::ElectionTimerReset { .. } => {
                story.no_leader_since = story.no_leader_since.or(Some(record.time));
            }
            RaftEvent::Received {
                kind: MessageKind::Append | MessageKind::Heartbeat | MessageKind::Snapshot,
                ..
            } => story.no_leader_since = Some(record.time),
            RaftEvent::VoteReceived { from, granted: true, votes, .. } => {
                if from != record.node {
                    story.voters_for_it.push(from);
                }
                story.votes = votes;
            }
            RaftEvent::RoleChanged { role, .. } => {
                story.voters_for_it.clear();
                story.votes = 0;
                if story.leads {
                    story.no_leader_since = Some(record.time);
                }
                story.leads = role == RoleName::Leader;
            }
            RaftEvent::MembershipChanged { voters, stage, .. } => {
                story.cluster = voters;
                story.joint = matches!(stage, MembershipStage::Joint);
            }
            _ => {}
        }
    }
}

impl Story {
    /// "n1 n3 voted (with its own 3 of 5: enough)".
    fn tally(&self, names: &Names, verb: &str) -> String {
        if self.voters_for_it.is_empty() {
            return if verb == "voted" { "elected".into() } else { "would be elected".into() };
        }
        let mut out = String::new();
        for voter in &self.voters_for_it {
            write!(out, "{} ", names.of(*voter)).expect("writing to a string cannot fail");
        }
        let of = match (self.joint, self.cluster) {
            (true, _) => "a majority of the old and of the new servers".into(),
            (false, 0) => format!("{}: enough", self.votes),
            (false, cluster) => format!("{} of {cluster}: enough", self.votes),
        };
        write!(out, "{verb} (with its own {of})").expect("writing to a string cannot fail");
        out
    }
}

/// How much an event matters.
// tidy: flat table
#[must_use]
pub fn level(event: &Event) -> Level {
    match event {
        Event::Raft(event) => match event {
            RaftEvent::RoleChanged { why: RoleChange::QuorumLost, .. } => Level::Warn,
            RaftEvent::RoleChanged { .. }
            | RaftEvent::LeaderKnown { .. }
            | RaftEvent::VoteGranted { pre_vote: false, .. }
            | RaftEvent::VoteRefused { pre_vote: false, .. }
            | RaftEvent::Truncated { .. }
            | RaftEvent::SnapshotTaken { .. }
            | RaftEvent::SnapshotInstalled { .. }
            | RaftEvent::MembershipChanged { .. }
            | RaftEvent::CaughtUp { .. }
            | RaftEvent::TransferStarted { .. }
            | RaftEvent::TransferAborted { .. } => Level::Info,
            RaftEvent::TermChanged { .. }
            | RaftEvent::VoteGranted { pre_vote: true, .. }
            | RaftEvent::VoteRefused { pre_vote: true, .. }
            | RaftEvent::VoteReceived { .. }
            | RaftEvent::Ignored { .. }
            | RaftEvent::LogConflict { .. }
            | RaftEvent::ReadRefused { .. }
            | RaftEvent::ProposalRefused { .. } => Level::Debug,
            RaftEvent::ElectionTimerReset { .. }
            | RaftEvent::Sent { .. }
            | RaftEvent::Received { .. }
            | RaftEvent::Appended { .. }
            | RaftEvent::Durable { .. }
            | RaftEvent::Committed { .. }
            | RaftEvent::ReadConfirmed { .. } => Level::Trace,
        },
        Event::Disk(DiskEvent::Opened { torn_bytes: 1.., .. }) => Level::Warn,
        Event::Disk(_) => Level::Info,
        Event::Net(NetEvent::FrameRefused { .. } | NetEvent::Lost { why: LinkLoss::Unwelcome, .. }) => {
            Level::Warn
        }
        Event::Net(NetEvent::Connected { .. } | NetEvent::Lost { .. }) => Level::Info,
        Event::Net(NetEvent::Accepted { .. } | NetEvent::Dropped { .. }) => Level::Debug,
        Event::Client(ClientEvent::OutcomeUnknown { .. }) => Level::Warn,
        Event::Client(ClientEvent::Refused { .. }) => Level::Debug,
        Event::Client(ClientEvent::Forwarded { .. } | ClientEvent::ExpiryProposed { .. }) => Level::Trace,
    }
}
