//! The log lines of the university lab: the exact words that its handout and its reports show.
//!
//! The lab knows three roles, elections and heartbeats, and nothing else; events of which it knows nothing give no
//! line. One event can give several lines, and their tag is the role at that moment: so [`Lab`] follows one
//! server's records from the first one on. Misspellings ("Reseting") are the lab's own.

use jangada_node::event::Event;
use jangada_raft::event::{Event as RaftEvent, IgnoreReason, MessageKind, RoleChange, RoleName};
use jangada_raft::types::NodeId;

use crate::clock;
use crate::names::Names;

/// What a server with an id outside of the table says before it ends.
pub const INVALID_ID: &str = "[MAIN] Invalid instance id.";

/// What a server says that was given the id 0, which stands for "no vote" in the lab.
pub const RESERVED_ID: &str = "Reserved instanceID('0')";

/// Puts the events of one server into the lab's lines.
#[derive(Clone, Debug)]
pub struct Lab {
    hosts: Names,
    role: RoleName,
    /// An AppendEntry that has arrived and of which it is not known yet whether it will be accepted.
    arrived: Option<NodeId>,
}

impl Lab {
    /// A translator that calls the servers by these names: `localhost:3001` and so on.
    #[must_use]
    pub fn new(hosts: Names) -> Lab {
        Lab { hosts, role: RoleName::Follower, arrived: None }
    }

    /// The lines of a server whose port is bound and which now begins as a follower.
    #[must_use]
    pub fn started(&self, host: &str) -> Vec<String> {
        vec![
            format!("[SERVER] Listening on '{host}'"),
            "[SERVER] Accepting connections.".into(),
            "[FOLLOWER] Run Logic.".into(),
        ]
    }

    /// The last line of a server whose listener is closed.
    #[must_use]
    pub fn ended(&self, why: &str) -> String {
        format!("[SERVER] Ended accepting connections. Err: {why}")
    }

    /// The lines of one event, none for most. Show it every event, in order.
    pub fn lines(&mut self, event: &Event) -> Vec<String> {
        let Event::Raft(event) = event else { return Vec::new() };
        let mut lines = self.accept_what_arrived(event);
        lines.extend(self.lines_of(event));
        lines
    }

    /// An AppendEntry is accepted unless the very next event, changes of term and role aside, says otherwise.
    fn accept_what_arrived(&mut self, next: &RaftEvent) -> Vec<String> {
        let undecided = matches!(
            next,
            RaftEvent::TermChanged { .. }
                | RaftEvent::RoleChanged { .. }
                | RaftEvent::ElectionTimerReset { .. }
        );
        if undecided {
            return Vec::new();
        }
        match (self.arrived.take(), next) {
            (Some(_), RaftEvent::Ignored { .. }) | (None, _) => Vec::new(),
            (Some(from), _) => vec![
                self.tagged("Reseting election timeout."),
                self.tagged(&format!("Accept AppendEntry from '{}'.", self.hosts.of(from))),
            ],
        }
    }

    fn lines_of(&mut self, event: &RaftEvent) -> Vec<String> {
        // What the lab's vocabulary has no word for stays unsaid: hence the last arm.
        match *event {
            RaftEvent::TermChanged { old, new, from: Some(from) } => {
                let from = self.hosts.of(from);
                vec![self.tagged(&format!("Update old term '{old}' to new term '{new}' from '{from}'."))]
            }
            RaftEvent::RoleChanged { role, term, why } => self.role_changed(role, term.0, why),
            RaftEvent::VoteGranted { to, term, pre_vote: false } => vec![
                self.tagged("Reseting election timeout."),
                self.tagged(&format!("Vote accepted to '{}' for term '{term}'.", self.hosts.of(to))),
            ],
            RaftEvent::VoteRefused { to, term, pre_vote: false, .. } => {
                vec![self.tagged(&format!("Vote denied to '{}' for term '{term}'.", self.hosts.of(to)))]
            }
            RaftEvent::VoteReceived { from, pre_vote: false, granted: true, votes, .. } => vec![
                self.tagged(&format!("Vote granted by '{}'.", self.hosts.of(from))),
                // Two blanks: the lab's logger puts one between its arguments, and its text ends with one.
                self.tagged(&format!("VoteCount:  {votes}")),
            ],
            RaftEvent::VoteReceived { from, pre_vote: false, granted: false, .. } => {
                vec![self.tagged(&format!("Vote denied by '{}'.", self.hosts.of(from)))]
            }
            RaftEvent::Received { from, kind: MessageKind::Append | MessageKind::Heartbeat, .. } => {
                self.arrived = Some(from);
                Vec::new()
            }
            RaftEvent::Ignored {
                from,
                kind: MessageKind::Append | MessageKind::Heartbeat,
                why: IgnoreReason::OldTerm,
                ..
            } => vec![self.tagged(&format!("Denied AppendEntry from '{}'.", self.hosts.of(from)))],
            _ => Vec::new(),
        }
    }

    fn role_changed(&mut self, role: RoleName, term: u64, why: RoleChange) -> Vec<String> {
        let mut lines = Vec::new();
        match (role, why) {
            (RoleName::Candidate | RoleName::PreCandidate, RoleChange::ElectionTimeout) => {
                lines.push(self.tagged("Election timeout."));
            }
            (RoleName::Leader, _) => lines.push(format!("{} Becoming leader.", tag(RoleName::Candidate))),
            (RoleName::Follower, _) if self.role != RoleName::Follower => {
                lines.push(self.tagged("Stepping down."));
            }
            (RoleName::Candidate | RoleName::PreCandidate | RoleName::Follower, _) => {}
        }
        self.role = role;
        lines.push(self.tagged("Run Logic."));
        if role == RoleName::Candidate {
            lines.push(self.tagged(&format!("Running for term '{term}'.")));
        }
        lines
    }

    fn tagged(&self, text: &str) -> String {
        format!("{} {text}", tag(self.role))
    }
}

/// `2026/11/21 09:08:07 line`, as the lab's logger begins its lines. The lab showed the local time: pass seconds
/// that are moved by the offset to UTC.
#[must_use]
pub fn dated(unix_seconds: i64, line: &str) -> String {
    format!("{} {line}", clock::slashes(unix_seconds))
}

fn tag(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "[FOLLOWER]",
        // The lab has no pre-votes; in the classic profile nobody is ever a PreCandidate.
        RoleName::PreCandidate => "[PRECANDIDATE]",
        RoleName::Candidate => "[CANDIDATE]",
        RoleName::Leader => "[LEADER]",
    }
}
