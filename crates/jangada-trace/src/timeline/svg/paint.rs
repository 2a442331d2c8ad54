//! Colours, dashes and words of the picture for reports.

use jangada_raft::event::{MessageKind, RoleName};

use crate::said;
use crate::timeline::bands::Absence;
use crate::timeline::scene::Arrow;
use crate::timeline::topic::Topic;

/// Hatchings for servers that are not there.
pub(super) const PATTERNS: &str = r##"<defs>
<pattern id="down" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="#f1f1f2"/><path d="M0 0V7" stroke="#d5d6d8" stroke-width="3"/></pattern>
<pattern id="silent" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="#f3f2ef"/><circle cx="3" cy="3" r="1" fill="#cfc8bb"/></pattern>
<pattern id="cut" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect width="8" height="8" fill="#fdf1ef"/><path d="M0 0V8" stroke="#f3d3cd" stroke-width="2"/></pattern>
</defs>
"##;

/// The hatching of an absence, and its word in English.
pub(super) fn absence(why: Absence) -> (&'static str, &'static str) {
    match why {
        Absence::Down => ("down", said!("down")),
        Absence::Silent => ("silent", said!("silent")),
        Absence::Refused => ("down", said!("refuses connections")),
        Absence::Paused => ("silent", said!("stands still")),
        Absence::CutOff => ("cut", said!("cut off")),
    }
}

/// Fill, ink and name of a role, that in English.
pub(super) fn role_paint(role: RoleName) -> (&'static str, &'static str, &'static str) {
    match role {
        RoleName::Follower => ("#e3e9f0", "#4a5866", said!("follower")),
        RoleName::PreCandidate => ("#fdf0cc", "#7a5b00", said!("pre-candidate")),
        RoleName::Candidate => ("#fbd46d", "#6b4a00", said!("candidate")),
        RoleName::Leader => ("#7fd0ad", "#0b3d2a", said!("leader")),
    }
}

/// Messages that look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stroke {
    PreVote,
    Vote,
    Append,
    Accepted,
    Refused,
    Heartbeat,
    Snapshot,
    Read,
    Timeout,
}

pub(super) fn stroke(arrow: &Arrow) -> Stroke {
    match arrow.kind {
        MessageKind::AppendAccepted if arrow.is_routine => Stroke::Heartbeat,
        MessageKind::PreVote | MessageKind::PreVoteReply => Stroke::PreVote,
        MessageKind::Vote | MessageKind::VoteReply => Stroke::Vote,
        MessageKind::Append => Stroke::Append,
        MessageKind::Heartbeat => Stroke::Heartbeat,
        MessageKind::AppendAccepted => Stroke::Accepted,
        MessageKind::AppendRefused => Stroke::Refused,
        MessageKind::Snapshot | MessageKind::SnapshotReply => Stroke::Snapshot,
        MessageKind::ReadIndex | MessageKind::ReadIndexReply => Stroke::Read,
        MessageKind::TimeoutNow => Stroke::Timeout,
    }
}

/// Colour and dashes. The colours differ for those, too, who do not see all of them; what an arrow ends in, or begins with,
/// says the same once more ([`Tip`]).
pub(super) fn stroke_paint(stroke: Stroke) -> (&'static str, &'static str) {
    match stroke {
        Stroke::PreVote => ("#9a0f90", "stroke-dasharray=\"6 2\""),
        Stroke::Vote => ("#9a0f90", ""),
        Stroke::Append => ("#0b6be0", ""),
        Stroke::Accepted => ("#3f8fa8", ""),
        Stroke::Refused => ("#8f5200", ""),
        Stroke::Heartbeat => ("#98a3ae", ""),
        Stroke::Snapshot => ("#3d0cc4", "stroke-dasharray=\"8 2\""),
        Stroke::Read => ("#12603f", ""),
        Stroke::Timeout => ("#9a0f90", "stroke-dasharray=\"10 2 2 2\""),
    }
}

/// What an arrow that arrives ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tip {
    /// It is to have an effect.
    Head,
    /// It refuses.
    Bar,
}

pub(super) fn tip(arrow: &Arrow) -> Tip {
    match arrow.kind {
        MessageKind::AppendRefused => Tip::Bar,
        MessageKind::PreVoteReply | MessageKind::VoteReply if arrow.count == 0 => Tip::Bar,
        MessageKind::PreVote
        | MessageKind::PreVoteReply
        | MessageKind::Vote
        | MessageKind::VoteReply
        | MessageKind::Append
        | MessageKind::Heartbeat
        | MessageKind::AppendAccepted
        | MessageKind::Snapshot
        | MessageKind::SnapshotReply
        | MessageKind::TimeoutNow
        | MessageKind::ReadIndex
        | MessageKind::ReadIndexReply => Tip::Head,
    }
}

/// Whether arrows of this look begin with a dot: all of an election.
pub(super) fn has_dot(stroke: Stroke) -> bool {
    match stroke {
        Stroke::PreVote | Stroke::Vote | Stroke::Timeout => true,
        Stroke::Append
        | Stroke::Accepted
        | Stroke::Refused
        | Stroke::Heartbeat
        | Stroke::Snapshot
        | Stroke::Read => false,
    }
}

/// A campaign that goes on and on: unlike any arrow.
pub(super) const AGAIN: &str = "stroke-dasharray=\"2 4\"";

/// What is lost ends in a cross of this colour, whatever it was.
pub(super) const LOST: &str = "#18222c";

/// What the legend calls them in English.
pub(super) fn stroke_name(stroke: Stroke) -> &'static str {
    match stroke {
        Stroke::PreVote => said!("PreVote and its answers"),
        Stroke::Vote => said!("RequestVote and its answers"),
        Stroke::Append => said!("AppendEntries"),
        Stroke::Accepted => said!("accepted"),
        Stroke::Refused => said!("refused"),
        Stroke::Heartbeat => said!("heartbeats"),
        Stroke::Snapshot => said!("InstallSnapshot"),
        Stroke::Read => said!("ReadIndex"),
        Stroke::Timeout => said!("TimeoutNow"),
    }
}

/// What a mark says of which nothing more is to be told.
// tidy: flat table
pub(super) fn topic_word(topic: Topic) -> &'static str {
    match topic {
        Topic::Elections => said!("elections"),
        Topic::Terms => said!("terms"),
        Topic::Votes => said!("votes"),
        Topic::Messages => said!("messages"),
        Topic::Heartbeats => said!("heartbeats"),
        Topic::Log => said!("log"),
        Topic::Commits => said!("commits"),
        Topic::Snapshots => said!("snapshots"),
        Topic::Members => said!("members"),
        Topic::Reads => said!("reads"),
        Topic::Clients => said!("clients"),
        Topic::Links => said!("links"),
        Topic::Starts => said!("starts"),
        Topic::Timers => said!("timers"),
        Topic::Deeds => said!("deeds"),
    }
}

/// A text as XML has it. Control characters, which it cannot have, become spaces.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
