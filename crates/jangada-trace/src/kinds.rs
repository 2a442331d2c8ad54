//! One stable name for each thing that an event can mention: JSON, metrics and documents share them.
//!
//! These names are a promise to everyone who reads our JSON or our metrics. A new variant needs a new name here
//! before anything compiles; an old name never changes its meaning.

use jangada_node::event::{Deed, FrameRefusal, LinkLoss};
use jangada_raft::event::{IgnoreReason, MembershipStage, MessageKind, RoleChange, RoleName, VoteRefusal};
use jangada_raft::face::Refusal;

/// The name of a role.
#[must_use]
pub fn role(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "follower",
        RoleName::PreCandidate => "pre_candidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "leader",
    }
}

/// The name of a reason to change the role.
#[must_use]
pub fn role_change(why: RoleChange) -> &'static str {
    match why {
        RoleChange::ElectionTimeout => "election_timeout",
        RoleChange::Asked => "asked",
        RoleChange::PreVoteWon => "pre_vote_won",
        RoleChange::ElectionWon => "election_won",
        RoleChange::HigherTerm => "higher_term",
        RoleChange::LeaderFound => "leader_found",
        RoleChange::QuorumLost => "quorum_lost",
        RoleChange::ElectionLost => "election_lost",
        RoleChange::Removed => "removed",
    }
}

/// The name of a reason to refuse a vote.
#[must_use]
pub fn vote_refusal(why: VoteRefusal) -> &'static str {
    match why {
        VoteRefusal::OldTerm => "old_term",
        VoteRefusal::AlreadyVoted { .. } => "already_voted",
        VoteRefusal::LogBehind => "log_behind",
        VoteRefusal::LeaderAlive { .. } => "leader_alive",
        VoteRefusal::IsLeader => "is_leader",
    }
}

/// The name of a reason to ignore a message.
#[must_use]
pub fn ignore_reason(why: IgnoreReason) -> &'static str {
    match why {
        IgnoreReason::WrongCluster => "wrong_cluster",
        IgnoreReason::WrongRecipient => "wrong_recipient",
        IgnoreReason::UnknownSender => "unknown_sender",
        IgnoreReason::OldTerm => "old_term",
        IgnoreReason::Stale => "stale",
        IgnoreReason::WrongRole => "wrong_role",
        IgnoreReason::Malformed => "malformed",
        IgnoreReason::CannotCampaign => "cannot_campaign",
    }
}

/// The name of a kind of message.
#[must_use]
pub fn message(kind: MessageKind) -> &'static str {
    MESSAGES[message_number(kind)]
}

/// All names of kinds of messages, in the order of [`message_number`].
pub const MESSAGES: [&str; 13] = [
    "pre_vote",
    "pre_vote_reply",
    "vote",
    "vote_reply",
    "append",
    "heartbeat",
    "append_accepted",
    "append_refused",
    "snapshot",
    "snapshot_reply",
    "timeout_now",
    "read_index",
    "read_index_reply",
];

/// The place of a kind of message in a table such as [`MESSAGES`].
#[must_use]
pub fn message_number(kind: MessageKind) -> usize {
    match kind {
        MessageKind::PreVote => 0,
        MessageKind::PreVoteReply => 1,
        MessageKind::Vote => 2,
        MessageKind::VoteReply => 3,
        MessageKind::Append => 4,
        MessageKind::Heartbeat => 5,
        MessageKind::AppendAccepted => 6,
        MessageKind::AppendRefused => 7,
        MessageKind::Snapshot => 8,
        MessageKind::SnapshotReply => 9,
        MessageKind::TimeoutNow => 10,
        MessageKind::ReadIndex => 11,
        MessageKind::ReadIndexReply => 12,
    }
}

/// The name of a stage of a membership change.
#[must_use]
pub fn stage(stage: MembershipStage) -> &'static str {
    match stage {
        MembershipStage::CatchUp => "catch_up",
        MembershipStage::Joint => "joint",
        MembershipStage::Final => "final",
    }
}

/// The name of a reason to refuse a request.
#[must_use]
pub fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::NotLeader { .. } => "not_leader",
        Refusal::Busy => "busy",
        Refusal::TooLarge => "too_large",
        Refusal::Transferring => "transferring",
        Refusal::ChangePending => "change_pending",
        Refusal::TooEarly => "too_early",
        Refusal::BadMembership => "bad_membership",
        Refusal::NoChange => "no_change",
        Refusal::BadTarget => "bad_target",
    }
}

/// The name of a reason why a link went down.
#[must_use]
pub fn link_loss(why: LinkLoss) -> &'static str {
    match why {
        LinkLoss::Refused => "refused",
        LinkLoss::TimedOut => "timed_out",
        LinkLoss::Broken => "broken",
        LinkLoss::Unwelcome => "unwelcome",
    }
}

/// The name of a reason to refuse a peer's bytes.
#[must_use]
pub fn frame_refusal(why: FrameRefusal) -> &'static str {
    match why {
        FrameRefusal::Version => "version",
        FrameRefusal::TooLong => "too_long",
        FrameRefusal::Checksum => "checksum",
        FrameRefusal::Content => "content",
        FrameRefusal::Cluster => "cluster",
        FrameRefusal::Recipient => "recipient",
        FrameRefusal::Sender => "sender",
        FrameRefusal::Incarnation => "incarnation",
    }
}

/// The name of a deed.
#[must_use]
pub fn deed(deed: Deed) -> &'static str {
    match deed {
        Deed::Crash => "crash",
        Deed::Start => "start",
        Deed::Pause => "pause",
        Deed::Resume => "resume",
        Deed::Stall => "stall",
        Deed::Unstall => "unstall",
        Deed::Cut { .. } => "cut",
        Deed::Mend { .. } => "mend",
        Deed::Lose { .. } => "lose",
        Deed::Slow { .. } => "slow",
    }
}
