//! The phrases that sentences are made of: each depends on one value alone.

use std::time::Duration;

use jangada_node::event::{DiskEvent, FrameRefusal, LinkLoss};
use jangada_raft::event::{IgnoreReason, MembershipStage, MessageKind};
use jangada_raft::types::Time;

use crate::language::Language;
use crate::{said, say};

pub(crate) fn say_disk(language: Language, event: &DiskEvent) -> String {
    match *event {
        DiskEvent::Opened { entries, last, snapshot, torn_bytes } => {
            let mut out = say!(
                language,
                "log opened: {entries} up to {last}",
                entries = counted(language, entries, said!("1 entry"), said!("{count} entries")),
                last
            );
            if snapshot.0 > 0 {
                out.push_str(&say!(language, " behind a snapshot of everything up to {snapshot}", snapshot));
            }
            if torn_bytes > 0 {
                out.push_str(&say!(
                    language,
                    "; {torn_bytes} bytes of an unfinished write cut off (nobody was promised them)",
                    torn_bytes
                ));
            }
            out
        }
        DiskEvent::SnapshotStarted { index } => {
            say!(language, "takes a snapshot of everything up to {index}", index)
        }
        DiskEvent::SnapshotWritten { index, bytes } => {
            say!(
                language,
                "snapshot of everything up to {index} on disk, {bytes}",
                index,
                bytes = size(bytes)
            )
        }
        DiskEvent::SnapshotLoaded { index, bytes } => {
            say!(language, "snapshot of everything up to {index} loaded, {bytes}", index, bytes = size(bytes))
        }
    }
}

pub(crate) fn say_membership(
    language: Language,
    index: u64,
    stage: MembershipStage,
    voters: u32,
    learners: u32,
) -> String {
    let voters = counted(language, voters.into(), said!("1 voter"), said!("{count} voters"));
    let learners = match learners {
        0 => String::new(),
        some => say!(
            language,
            " and {some}",
            some = counted(language, some.into(), said!("1 learner"), said!("{count} learners"))
        ),
    };
    match stage {
        MembershipStage::CatchUp if learners.is_empty() => {
            say!(
                language,
                "{voters} (entry {index}): most of the new voters must be there before it is theirs to decide",
                voters,
                index
            )
        }
        MembershipStage::CatchUp => {
            say!(
                language,
                "{voters}{learners} (entry {index}): new servers catch up before they vote",
                voters,
                learners,
                index
            )
        }
        MembershipStage::Joint => say!(
            language,
            "the cluster is to have {voters}{learners} (entry {index}): until then the old and the new majority \
             must both agree",
            voters,
            learners,
            index
        ),
        MembershipStage::Final => {
            say!(language, "the cluster has {voters}{learners} (entry {index})", voters, learners, index)
        }
    }
}

pub(crate) fn why_ignored(why: IgnoreReason) -> &'static str {
    match why {
        IgnoreReason::WrongCluster => said!("it belongs to another cluster"),
        IgnoreReason::WrongRecipient => said!("it is meant for another server"),
        IgnoreReason::UnknownSender => said!("its sender is not a member"),
        IgnoreReason::OldTerm => said!("its term is over"),
        IgnoreReason::Stale => said!("it answers a question of the past"),
        IgnoreReason::WrongRole => said!("its role has no use for it"),
        IgnoreReason::Malformed => said!("no correct server sends that"),
        IgnoreReason::CannotCampaign => said!("it may not campaign now"),
    }
}

pub(crate) fn why_lost(why: LinkLoss) -> &'static str {
    match why {
        LinkLoss::Refused => said!("nobody listens there"),
        LinkLoss::TimedOut => said!("no answer in time"),
        LinkLoss::Broken => said!("the connection broke"),
        LinkLoss::Unwelcome => said!("it does not want us (its log says why)"),
    }
}

pub(crate) fn why_frame_refused(why: FrameRefusal) -> &'static str {
    match why {
        FrameRefusal::Version => said!("it does not speak this version of our protocol"),
        FrameRefusal::TooLong => said!("a frame is longer than allowed"),
        FrameRefusal::Checksum => said!("a checksum does not fit"),
        FrameRefusal::Content => said!("a frame cannot be decoded"),
        FrameRefusal::Cluster => said!("it belongs to another cluster"),
        FrameRefusal::Recipient => said!("it looks for another server"),
        FrameRefusal::Sender => said!("it speaks for another server than it said it was"),
        FrameRefusal::Incarnation => {
            said!("it is not the server of that name that the cluster knows: its disk was lost or replaced")
        }
    }
}

/// The number of a message as people read it. A server that runs for the N-th time on its disk begins to count at N·2⁴⁰,
/// so that no number comes twice: who looks on knows its life by the time.
#[must_use]
pub fn of_this_life(sequence: u64) -> u64 {
    sequence & ((1 << 40) - 1)
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
pub fn message(language: Language, kind: MessageKind, index: u64, count: u32) -> String {
    let (name, is_yes) = (message_name(kind), count == 1);
    match kind {
        MessageKind::PreVote | MessageKind::Vote => {
            say!(language, "{name} (last log index {index})", name, index)
        }
        MessageKind::PreVoteReply | MessageKind::VoteReply if is_yes => {
            say!(language, "{name}: granted", name)
        }
        MessageKind::PreVoteReply | MessageKind::VoteReply => say!(language, "{name}: refused", name),
        MessageKind::Append => {
            let entries = counted(language, count.into(), said!("1 entry"), said!("{count} entries"));
            say!(language, "{name}, {entries} after {index}", name, entries, index)
        }
        MessageKind::Heartbeat => say!(language, "{name} after {index}", name, index),
        MessageKind::AppendAccepted => say!(language, "{name} up to {index}", name, index),
        MessageKind::AppendRefused => say!(language, "{name} at {index}", name, index),
        MessageKind::Snapshot => {
            say!(language, "{name} up to {index}, {size}", name, index, size = size(count.into()))
        }
        MessageKind::SnapshotReply if is_yes => say!(language, "{name} for {index}: installed", name, index),
        MessageKind::SnapshotReply => say!(language, "{name} for {index}: go on", name, index),
        MessageKind::TimeoutNow | MessageKind::ReadIndex => name.into(),
        MessageKind::ReadIndexReply if is_yes => format!("{name}: {index}"),
        MessageKind::ReadIndexReply => say!(language, "{name}: refused", name),
    }
}

pub(crate) fn entries(language: Language, first: u64, last: u64) -> String {
    if first == last {
        say!(language, "entry {first}", first)
    } else {
        say!(language, "entries {first}-{last}", first, last)
    }
}

/// `1 entry`, `7 entries`: one of these two, in its language.
pub(crate) fn counted(language: Language, count: u64, one: &str, many: &str) -> String {
    if count == 1 { language.of(one).to_owned() } else { language.render(many, &[("count", &count)]) }
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
