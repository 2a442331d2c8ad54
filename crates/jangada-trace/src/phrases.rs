//! The phrases that sentences are made of: each depends on one value alone.

use std::fmt::Write;
use std::time::Duration;

use jangada_node::event::{DiskEvent, FrameRefusal, LinkLoss};
use jangada_raft::event::{IgnoreReason, MembershipStage, MessageKind};
use jangada_raft::types::Time;

pub(crate) fn say_disk(event: &DiskEvent) -> String {
    match *event {
        DiskEvent::Opened { entries, last, snapshot, torn_bytes } => {
            let mut out = format!("log opened: {} up to {last}", counted(entries, "entry", "entries"));
            if snapshot.0 > 0 {
                write!(out, " behind a snapshot of everything up to {snapshot}")
                    .expect("writing to a string cannot fail");
            }
            if torn_bytes > 0 {
                write!(out, "; {torn_bytes} bytes of an unfinished write cut off (nobody was promised them)")
                    .expect("writing to a string cannot fail");
            }
            out
        }
        DiskEvent::SnapshotStarted { index } => format!("takes a snapshot of everything up to {index}"),
        DiskEvent::SnapshotWritten { index, bytes } => {
            format!("snapshot of everything up to {index} on disk, {}", size(bytes))
        }
        DiskEvent::SnapshotLoaded { index, bytes } => {
            format!("snapshot of everything up to {index} loaded, {}", size(bytes))
        }
    }
}

pub(crate) fn say_membership(index: u64, stage: MembershipStage, voters: u32, learners: u32) -> String {
    let voters = plural(voters.into(), "voter");
    let learners = match learners {
        0 => String::new(),
        some => format!(" and {}", plural(some.into(), "learner")),
    };
    match stage {
        MembershipStage::CatchUp if learners.is_empty() => {
            format!(
                "{voters} (entry {index}): most of the new voters must be there before it is theirs to decide"
            )
        }
        MembershipStage::CatchUp => {
            format!("{voters}{learners} (entry {index}): new servers catch up before they vote")
        }
        MembershipStage::Joint => format!(
            "the cluster is to have {voters}{learners} (entry {index}): until then the old and the new majority \
             must both agree"
        ),
        MembershipStage::Final => format!("the cluster has {voters}{learners} (entry {index})"),
    }
}

pub(crate) fn why_ignored(why: IgnoreReason) -> &'static str {
    match why {
        IgnoreReason::WrongCluster => "it belongs to another cluster",
        IgnoreReason::WrongRecipient => "it is meant for another server",
        IgnoreReason::UnknownSender => "its sender is not a member",
        IgnoreReason::OldTerm => "its term is over",
        IgnoreReason::Stale => "it answers a question of the past",
        IgnoreReason::WrongRole => "its role has no use for it",
        IgnoreReason::Malformed => "no correct server sends that",
        IgnoreReason::CannotCampaign => "it may not campaign now",
    }
}

pub(crate) fn why_lost(why: LinkLoss) -> &'static str {
    match why {
        LinkLoss::Refused => "nobody listens there",
        LinkLoss::TimedOut => "no answer in time",
        LinkLoss::Broken => "the connection broke",
        LinkLoss::Unwelcome => "it does not want us (its log says why)",
    }
}

pub(crate) fn why_frame_refused(why: FrameRefusal) -> &'static str {
    match why {
        FrameRefusal::Version => "it does not speak this version of our protocol",
        FrameRefusal::TooLong => "a frame is longer than allowed",
        FrameRefusal::Checksum => "a checksum does not fit",
        FrameRefusal::Content => "a frame cannot be decoded",
        FrameRefusal::Cluster => "it belongs to another cluster",
        FrameRefusal::Recipient => "it looks for another server",
        FrameRefusal::Sender => "it speaks for another server than it said it was",
        FrameRefusal::Incarnation => {
            "it is not the server of that name that the cluster knows: its disk was lost or replaced"
        }
    }
}

/// The paper's name of a message.
pub(crate) fn message_name(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::PreVote => "PreVote",
        MessageKind::PreVoteReply => "PreVote reply",
        MessageKind::Vote => "RequestVote",
        MessageKind::VoteReply => "RequestVote reply",
        MessageKind::Append => "AppendEntries",
        MessageKind::Heartbeat => "heartbeat",
        MessageKind::AppendAccepted => "AppendEntries ok",
        MessageKind::AppendRefused => "AppendEntries refused",
        MessageKind::Snapshot => "InstallSnapshot",
        MessageKind::SnapshotReply => "InstallSnapshot reply",
        MessageKind::TimeoutNow => "TimeoutNow",
        MessageKind::ReadIndex => "ReadIndex",
        MessageKind::ReadIndexReply => "ReadIndex reply",
    }
}

/// The message with the numbers that explain it; what they mean stands at [`MessageKind`].
pub(crate) fn message(kind: MessageKind, index: u64, count: u32) -> String {
    let name = message_name(kind);
    match kind {
        MessageKind::PreVote | MessageKind::Vote => format!("{name} (last log index {index})"),
        MessageKind::PreVoteReply | MessageKind::VoteReply => {
            format!("{name}: {}", if count == 1 { "granted" } else { "refused" })
        }
        MessageKind::Append => {
            format!("{name}, {} after {index}", counted(count.into(), "entry", "entries"))
        }
        MessageKind::Heartbeat => format!("{name} after {index}"),
        MessageKind::AppendAccepted => format!("{name} up to {index}"),
        MessageKind::AppendRefused => format!("{name} at {index}"),
        MessageKind::Snapshot => format!("{name} up to {index}, {}", size(count.into())),
        MessageKind::SnapshotReply => {
            format!("{name} for {index}: {}", if count == 1 { "installed" } else { "go on" })
        }
        MessageKind::TimeoutNow | MessageKind::ReadIndex => name.into(),
        MessageKind::ReadIndexReply => {
            if count == 1 {
                format!("{name}: {index}")
            } else {
                format!("{name}: refused")
            }
        }
    }
}

pub(crate) fn entries(first: u64, last: u64) -> String {
    if first == last { format!("entry {first}") } else { format!("entries {first}-{last}") }
}

pub(crate) fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A length of data: `312 B`, `4.0 KiB`, `17.3 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    // Tenths, rounded down: 1,023.9 KiB never becomes 1024.0 KiB.
    let mut tenths = u128::from(bytes) * 10 / 1_024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1_024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

/// A span of time: `640 µs`, `2.9 ms`, `213 ms`, `12.4 s`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

/// `+0.213`: seconds since the start, to the millisecond.
#[must_use]
pub fn since_start(time: Time) -> String {
    let millis = time.0 / 1_000_000;
    format!("+{}.{:03}", millis / 1_000, millis % 1_000)
}
