//! One sentence per event, for people: names first, relative times, and why.
//!
//! [`Words`] remembers a little about each server (who voted for it, since when it hears no leader), because a good
//! sentence says more than one event knows. It has to be shown *all* records to be right; how much of it is
//! told is up to the [`Level`].

use std::collections::BTreeMap;
use std::time::Duration;

use jangada_node::event::{ClientEvent, DiskEvent, Event, LinkLoss, NetEvent, Record};
use jangada_raft::event::{
    Event as RaftEvent, MembershipStage, MessageKind, RoleChange, RoleName, VoteRefusal,
};
use jangada_raft::face::Refusal;
use jangada_raft::types::{NodeId, Term, Time};

use crate::deeds::say_deed;
use crate::language::Language;
use crate::names::Names;
use crate::phrases::{
    counted, entries, message, message_name, of_this_life, say_disk, say_membership, since_start, span,
    why_frame_refused, why_ignored, why_lost,
};
use crate::{said, say};

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
    language: Language,
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
        Words { names, ..Words::default() }
    }

    /// The same teller in this language.
    #[must_use]
    pub fn in_language(self, language: Language) -> Words {
        Words { language, ..self }
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
            Event::Disk(event) => say_disk(self.language, event),
            Event::Net(event) => self.say_net(event),
            Event::Client(event) => self.say_client(event),
            Event::Deed(deed) => say_deed(self.language, *deed, &self.names),
        }
    }

    // tidy: flat table
    fn say_raft(&self, record: &Record, event: &RaftEvent) -> String {
        match *event {
            RaftEvent::TermChanged { old, new, from: Some(from) } => {
                say!(
                    self.language,
                    "term {old} → {new}, told by {from}",
                    old,
                    new,
                    from = self.names.of(from)
                )
            }
            RaftEvent::TermChanged { old, new, from: None } => {
                say!(self.language, "term {old} → {new}, its own campaign", old, new)
            }
            RaftEvent::RoleChanged { role, term, why } => self.say_role(record, role, term, why),
            RaftEvent::LeaderKnown { leader, term } => {
                say!(
                    self.language,
                    "follows {leader}, the leader of term {term}",
                    leader = self.names.of(leader),
                    term
                )
            }
            RaftEvent::ElectionTimerReset { after_nanos } => {
                say!(
                    self.language,
                    "election timer set to {span}",
                    span = span(Duration::from_nanos(after_nanos))
                )
            }
            RaftEvent::VoteGranted { to, term, pre_vote } => {
                let verb = if pre_vote { said!("would vote") } else { said!("votes") };
                say!(
                    self.language,
                    "{verb} for {to} in term {term}",
                    verb = self.language.of(verb),
                    to = self.names.of(to),
                    term
                )
            }
            RaftEvent::VoteRefused { to, term, pre_vote, why } => {
                let verb = if pre_vote { said!("would not vote") } else { said!("does not vote") };
                say!(
                    self.language,
                    "{verb} for {to} in term {term}: {why}",
                    verb = self.language.of(verb),
                    to = self.names.of(to),
                    term,
                    why = self.why_no_vote(why)
                )
            }
            RaftEvent::VoteReceived { from, term, pre_vote, granted, votes } => {
                let verb = match (pre_vote, granted) {
                    (true, true) => said!("would vote"),
                    (true, false) => said!("would not vote"),
                    (false, true) => said!("votes"),
                    (false, false) => said!("does not vote"),
                };
                let have = if votes == 1 {
                    say!(self.language, "1 vote")
                } else {
                    say!(self.language, "{votes} votes", votes)
                };
                say!(
                    self.language,
                    "{from} {verb} for it in term {term} ({have})",
                    from = self.names.of(from),
                    verb = self.language.of(verb),
                    term,
                    have
                )
            }
            RaftEvent::Sent { to, sequence, term, kind, index, count } => {
                let what = message(self.language, kind, index.0, count);
                say!(
                    self.language,
                    "→ {to} #{sequence} {what}, term {term}",
                    to = self.names.of(to),
                    sequence = of_this_life(sequence),
                    what,
                    term
                )
            }
            RaftEvent::Received { from, sequence, term, kind, index, count } => {
                let what = message(self.language, kind, index.0, count);
                say!(
                    self.language,
                    "← {from} #{sequence} {what}, term {term}",
                    from = self.names.of(from),
                    sequence = of_this_life(sequence),
                    what,
                    term
                )
            }
            RaftEvent::Ignored { from, sequence, kind, why } => {
                let from = self.names.of(from);
                say!(
                    self.language,
                    "ignores {kind} #{sequence} from {from}: {why}",
                    kind = message_name(kind),
                    sequence = of_this_life(sequence),
                    from,
                    why = self.language.of(why_ignored(why))
                )
            }
            RaftEvent::Appended { first, last, term } => {
                say!(
                    self.language,
                    "{entries} appended, term {term}",
                    entries = entries(self.language, first.0, last.0),
                    term
                )
            }
            RaftEvent::Durable { last } => say!(self.language, "log on disk up to {last}", last),
            RaftEvent::Truncated { from, last } => {
                say!(
                    self.language,
                    "{entries} removed: the leader has others there",
                    entries = entries(self.language, from.0, last.0)
                )
            }
            RaftEvent::LogConflict { peer, prev_log_index, next_index } => say!(
                self.language,
                "its log and that of {peer} differ at {prev_log_index}; next try from {next_index}",
                peer = self.names.of(peer),
                prev_log_index,
                next_index
            ),
            RaftEvent::Committed { index, term } => {
                say!(self.language, "committed up to {index}, term {term}", index, term)
            }
            RaftEvent::SnapshotTaken { index, term } => {
                say!(
                    self.language,
                    "log cut: the snapshot stands for everything up to {index} (term {term})",
                    index,
                    term
                )
            }
            RaftEvent::SnapshotInstalled { index, term, from } => {
                let from = self.names.of(from);
                say!(
                    self.language,
                    "snapshot from {from} takes the place of everything up to {index} (term {term})",
                    from,
                    index,
                    term
                )
            }
            RaftEvent::MembershipChanged { index, stage, voters, learners } => {
                say_membership(self.language, index.0, stage, voters, learners)
            }
            RaftEvent::CaughtUp { peer, match_index } => {
                say!(
                    self.language,
                    "{peer} has caught up (it holds the log up to {match_index})",
                    peer = self.names.of(peer),
                    match_index
                )
            }
            RaftEvent::TransferStarted { to } => {
                say!(self.language, "hands leadership over to {to}", to = self.names.of(to))
            }
            RaftEvent::TransferAborted { to } => {
                say!(
                    self.language,
                    "did not manage to hand over to {to} in time; goes on leading",
                    to = self.names.of(to)
                )
            }
            RaftEvent::ReadConfirmed { round: 0, index, reads } => {
                say!(
                    self.language,
                    "{reads} confirmed at {index} by its lease",
                    reads = counted(self.language, reads.into(), said!("1 read"), said!("{count} reads")),
                    index
                )
            }
            RaftEvent::ReadConfirmed { round, index, reads } => {
                let reads = counted(self.language, reads.into(), said!("1 read"), said!("{count} reads"));
                say!(
                    self.language,
                    "{reads} confirmed at {index}: still leader (round {round})",
                    reads,
                    index,
                    round
                )
            }
            RaftEvent::ReadRefused { id } => {
                say!(self.language, "read {id} refused: no leadership to prove", id = id.0)
            }
            RaftEvent::ProposalRefused { why } => {
                say!(self.language, "command refused: {why}", why = self.why_refused(why))
            }
        }
    }

    fn say_role(&self, record: &Record, role: RoleName, term: Term, why: RoleChange) -> String {
        let unknown = Story::default();
        let story = self.servers.get(&record.node).unwrap_or(&unknown);
        let because = match why {
            RoleChange::ElectionTimeout => match story.no_leader_since {
                Some(since) => {
                    say!(
                        self.language,
                        "election timeout ({span} without a leader)",
                        span = span(record.time.since(since))
                    )
                }
                None => say!(self.language, "election timeout"),
            },
            RoleChange::Asked => say!(self.language, "asked to campaign"),
            RoleChange::PreVoteWon => self.tally(story, true),
            RoleChange::ElectionWon => self.tally(story, false),
            RoleChange::HigherTerm => say!(self.language, "term {term} is newer", term),
            RoleChange::LeaderFound => say!(self.language, "term {term} has a leader", term),
            RoleChange::QuorumLost => {
                say!(self.language, "heard no majority for an election timeout: writes wait")
            }
            RoleChange::ElectionLost => say!(self.language, "a majority refused"),
            RoleChange::Removed => say!(self.language, "no longer a voter"),
        };
        let now = match role {
            RoleName::Follower => say!(self.language, "Follower"),
            RoleName::PreCandidate => say!(self.language, "PreCandidate, asks who would vote for it"),
            RoleName::Candidate => say!(self.language, "Candidate, term {term}", term),
            RoleName::Leader => say!(self.language, "LEADER of term {term}", term),
        };
        format!("{because} → {now}")
    }

    /// "n1 n3 voted (with its own 3 of 5: enough)".
    fn tally(&self, story: &Story, pre_vote: bool) -> String {
        let language = self.language;
        if story.voters_for_it.is_empty() {
            return if pre_vote { say!(language, "would be elected") } else { say!(language, "elected") };
        }
        let voters: Vec<_> = story.voters_for_it.iter().map(|id| self.names.of(*id)).collect();
        let (voters, votes) = (voters.join(" "), story.votes);
        let of = match (story.joint, story.cluster) {
            (true, _) => say!(language, "a majority of the old and of the new servers"),
            (false, 0) => say!(language, "{votes}: enough", votes),
            (false, cluster) => say!(language, "{votes} of {cluster}: enough", votes, cluster),
        };
        if pre_vote {
            say!(language, "{voters} would vote (with its own {of})", voters, of)
        } else {
            say!(language, "{voters} voted (with its own {of})", voters, of)
        }
    }

    fn why_no_vote(&self, why: VoteRefusal) -> String {
        match why {
            VoteRefusal::OldTerm => say!(self.language, "that term is over"),
            VoteRefusal::AlreadyVoted { voted_for } => {
                say!(self.language, "its vote went to {voted_for}", voted_for = self.names.of(voted_for))
            }
            VoteRefusal::LogBehind => say!(self.language, "its own log is more up-to-date"),
            VoteRefusal::LeaderAlive { leader } => {
                say!(self.language, "it hears its leader {leader}", leader = self.names.of(leader))
            }
            VoteRefusal::IsLeader => say!(self.language, "it leads itself"),
        }
    }

    /// Why the core refused a request.
    #[must_use]
    pub fn why_refused(&self, why: Refusal) -> String {
        match why {
            Refusal::NotLeader { leader: Some(leader) } => {
                say!(self.language, "not the leader, {leader} is", leader = self.names.of(leader))
            }
            Refusal::NotLeader { leader: None } => say!(self.language, "not the leader, and none is known"),
            Refusal::Busy => say!(self.language, "too much waits already"),
            Refusal::TooLarge => say!(self.language, "too large"),
            Refusal::Transferring => say!(self.language, "leadership is being handed over"),
            Refusal::ChangePending => say!(self.language, "a membership change is under way"),
            Refusal::TooEarly => say!(self.language, "a new leader first commits an entry of its own term"),
            Refusal::BadMembership => {
                say!(self.language, "the change leaves no voters, or names a server twice")
            }
            Refusal::NoChange => say!(self.language, "that is the configuration already"),
            Refusal::BadTarget => say!(self.language, "that server is not another voter"),
        }
    }

    fn say_net(&self, event: &NetEvent) -> String {
        match *event {
            NetEvent::Connected { peer } => say!(self.language, "reaches {peer}", peer = self.names.of(peer)),
            NetEvent::Lost { peer, why } => {
                say!(
                    self.language,
                    "lost its link to {peer}: {why}",
                    peer = self.names.of(peer),
                    why = self.language.of(why_lost(why))
                )
            }
            NetEvent::Accepted { peer } => {
                say!(self.language, "is reached by {peer}", peer = self.names.of(peer))
            }
            NetEvent::FrameRefused { peer, why } => {
                let peer = peer.map_or_else(
                    || say!(self.language, "an unknown peer").into(),
                    |peer| self.names.of(peer),
                );
                say!(
                    self.language,
                    "closed the link from {peer}: {why}",
                    peer,
                    why = self.language.of(why_frame_refused(why))
                )
            }
            NetEvent::Dropped { peer, messages } => {
                let messages =
                    counted(self.language, messages.into(), said!("1 message"), said!("{count} messages"));
                say!(
                    self.language,
                    "dropped {messages} to {peer}: its queue is full (they are sent again)",
                    messages,
                    peer = self.names.of(peer)
                )
            }
        }
    }

    fn say_client(&self, event: &ClientEvent) -> String {
        match *event {
            ClientEvent::Forwarded { to, requests } => {
                say!(
                    self.language,
                    "{requests} sent on to {to}, the leader",
                    requests = counted(
                        self.language,
                        requests.into(),
                        said!("1 request"),
                        said!("{count} requests")
                    ),
                    to = self.names.of(to)
                )
            }
            ClientEvent::Refused { requests } => {
                say!(
                    self.language,
                    "{requests} refused, without effect",
                    requests = counted(
                        self.language,
                        requests.into(),
                        said!("1 request"),
                        said!("{count} requests")
                    )
                )
            }
            ClientEvent::OutcomeUnknown { requests } => {
                let requests =
                    counted(self.language, requests.into(), said!("1 request"), said!("{count} requests"));
                say!(
                    self.language,
                    "{requests} answered \"outcome unknown\": leadership changed on the way",
                    requests
                )
            }
            ClientEvent::ExpiryProposed { index } => {
                say!(self.language, "keys that outlived their time go with entry {index}", index)
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
        Event::Deed(_) => Level::Info,
    }
}
