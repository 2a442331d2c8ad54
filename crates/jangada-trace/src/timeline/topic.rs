//! What an event is about: by this a person chooses what a picture shows.

use jangada_node::event::{DiskEvent, Event};
use jangada_raft::event::{Event as RaftEvent, MessageKind};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Changes of role, leadership handed over.
    Elections,
    /// Terms that rise, leaders that become known.
    Terms,
    /// Votes given, refused and counted.
    Votes,
    /// Messages, but for heartbeats.
    Messages,
    /// Heartbeats, answers that say nothing new, and what is asked again in vain.
    Heartbeats,
    /// Entries appended, durable, removed, in conflict.
    Log,
    /// Commit indexes that rise.
    Commits,
    /// Snapshots.
    Snapshots,
    /// Configurations.
    Members,
    /// Reads.
    Reads,
    /// What became of clients' requests.
    Clients,
    /// Links to peers.
    Links,
    /// Servers that start.
    Starts,
    /// Election timers.
    Timers,
    /// What was done to servers and links by hand.
    Deeds,
}

impl Topic {
    /// All of them.
    pub const ALL: [Topic; 15] = [
        Topic::Elections,
        Topic::Terms,
        Topic::Votes,
        Topic::Messages,
        Topic::Heartbeats,
        Topic::Log,
        Topic::Commits,
        Topic::Snapshots,
        Topic::Members,
        Topic::Reads,
        Topic::Clients,
        Topic::Links,
        Topic::Starts,
        Topic::Timers,
        Topic::Deeds,
    ];

    /// Its name, which never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Topic::Elections => "elections",
            Topic::Terms => "terms",
            Topic::Votes => "votes",
            Topic::Messages => "messages",
            Topic::Heartbeats => "heartbeats",
            Topic::Log => "log",
            Topic::Commits => "commits",
            Topic::Snapshots => "snapshots",
            Topic::Members => "members",
            Topic::Reads => "reads",
            Topic::Clients => "clients",
            Topic::Links => "links",
            Topic::Starts => "starts",
            Topic::Timers => "timers",
            Topic::Deeds => "deeds",
        }
    }

    /// What an event is about. A heartbeat's answer cannot be told from another one by itself: [`super::Arrow`] can.
    // tidy: flat table
    #[must_use]
    pub fn of(event: &Event) -> Topic {
        match event {
            Event::Raft(event) => match event {
                RaftEvent::RoleChanged { .. }
                | RaftEvent::TransferStarted { .. }
                | RaftEvent::TransferAborted { .. } => Topic::Elections,
                RaftEvent::TermChanged { .. } | RaftEvent::LeaderKnown { .. } => Topic::Terms,
                RaftEvent::VoteGranted { .. }
                | RaftEvent::VoteRefused { .. }
                | RaftEvent::VoteReceived { .. } => Topic::Votes,
                RaftEvent::Sent { kind: MessageKind::Heartbeat, .. }
                | RaftEvent::Received { kind: MessageKind::Heartbeat, .. } => Topic::Heartbeats,
                RaftEvent::Sent { .. } | RaftEvent::Received { .. } | RaftEvent::Ignored { .. } => {
                    Topic::Messages
                }
                RaftEvent::Appended { .. }
                | RaftEvent::Durable { .. }
                | RaftEvent::Truncated { .. }
                | RaftEvent::LogConflict { .. } => Topic::Log,
                RaftEvent::Committed { .. } => Topic::Commits,
                RaftEvent::SnapshotTaken { .. } | RaftEvent::SnapshotInstalled { .. } => Topic::Snapshots,
                RaftEvent::MembershipChanged { .. } | RaftEvent::CaughtUp { .. } => Topic::Members,
                RaftEvent::ReadConfirmed { .. } | RaftEvent::ReadRefused { .. } => Topic::Reads,
                RaftEvent::ProposalRefused { .. } => Topic::Clients,
                RaftEvent::ElectionTimerReset { .. } => Topic::Timers,
            },
            Event::Disk(DiskEvent::Opened { .. }) => Topic::Starts,
            Event::Disk(
                DiskEvent::SnapshotStarted { .. }
                | DiskEvent::SnapshotWritten { .. }
                | DiskEvent::SnapshotLoaded { .. },
            ) => Topic::Snapshots,
            Event::Net(_) => Topic::Links,
            Event::Client(_) => Topic::Clients,
            Event::Deed(_) => Topic::Deeds,
        }
    }
}

/// A set of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topics(u32);

impl Topics {
    /// No topic.
    pub const NONE: Topics = Topics(0);

    /// All topics.
    #[must_use]
    pub fn all() -> Topics {
        Topic::ALL.into_iter().collect()
    }

    /// With one more.
    #[must_use]
    pub fn and(self, topic: Topic) -> Topics {
        Topics(self.0 | 1 << topic as u32)
    }

    /// Whether it is among them.
    #[must_use]
    pub fn has(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u32 != 0
    }

    /// A list as a person writes it: names between commas; `all`; and a `+` or `-` before the first one means: what is
    /// shown anyway, with these or without these.
    ///
    /// # Errors
    /// The word that is no topic.
    pub fn parse(text: &str) -> Result<Topics, String> {
        let (mut topics, text, add) = match text.chars().next() {
            Some('+') => (Topics::default(), &text[1..], true),
            Some('-') => (Topics::default(), &text[1..], false),
            _ => (Topics::NONE, text, true),
        };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let named = Topic::ALL.into_iter().filter(|topic| word == "all" || topic.name() == word);
            let before = topics;
            let mut known = false;
            for topic in named {
                known = true;
                topics = if add { topics.and(topic) } else { Topics(topics.0 & !(1 << topic as u32)) };
            }
            if !known && before == topics {
                return Err(word.to_owned());
            }
        }
        Ok(topics)
    }
}

impl Default for Topics {
    /// What a picture shows if nobody says otherwise: what changes something. Heartbeats are folded away.
    fn default() -> Topics {
        use Topic::{Commits, Elections, Members, Messages, Snapshots, Starts};
        [Elections, Messages, Commits, Snapshots, Members, Starts].into_iter().collect()
    }
}

impl FromIterator<Topic> for Topics {
    fn from_iter<I: IntoIterator<Item = Topic>>(topics: I) -> Topics {
        topics.into_iter().fold(Topics::NONE, Topics::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_topics() {
        let only = |topics: &[Topic]| Ok(topics.iter().copied().collect());
        assert_eq!(Topics::parse("votes, log"), only(&[Topic::Votes, Topic::Log]));
        assert_eq!(Topics::parse("all"), Ok(Topics::all()));
        assert_eq!(Topics::parse("+heartbeats"), Ok(Topics::default().and(Topic::Heartbeats)));
        assert!(!Topics::parse("-messages").unwrap().has(Topic::Messages));
        assert!(Topics::parse("-messages").unwrap().has(Topic::Commits));
        assert_eq!(Topics::parse("votes,moods"), Err("moods".to_owned()));
    }
}
