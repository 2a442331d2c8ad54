//! Events to try readers on: one of each kind, and the story of an election.

use jangada_node::event::{ClientEvent, Deed, DiskEvent, Event, FrameRefusal, LinkLoss, NetEvent, Record};
use jangada_raft::event::{
    Event as RaftEvent, IgnoreReason, MembershipStage, MessageKind, RoleChange, RoleName, VoteRefusal,
};
use jangada_raft::face::Refusal;
use jangada_raft::types::{Index, NodeId, ReadId, Term, Time};

pub(crate) fn record(millis: u64, node: u64, seq: u64, event: impl Into<Sample>) -> Record {
    Record { time: Time(millis * 1_000_000), node: NodeId(node), seq, event: event.into().0 }
}

/// An event of either level, so that tests need not wrap it.
pub(crate) struct Sample(Event);

impl From<RaftEvent> for Sample {
    fn from(event: RaftEvent) -> Sample {
        Sample(Event::Raft(event))
    }
}
impl From<Event> for Sample {
    fn from(event: Event) -> Sample {
        Sample(event)
    }
}

pub(crate) const ROLE_CHANGES: [RoleChange; 9] = [
    RoleChange::ElectionTimeout,
    RoleChange::Asked,
    RoleChange::PreVoteWon,
    RoleChange::ElectionWon,
    RoleChange::HigherTerm,
    RoleChange::LeaderFound,
    RoleChange::QuorumLost,
    RoleChange::ElectionLost,
    RoleChange::Removed,
];

pub(crate) const KINDS: [MessageKind; 13] = [
    MessageKind::PreVote,
    MessageKind::PreVoteReply,
    MessageKind::Vote,
    MessageKind::VoteReply,
    MessageKind::Append,
    MessageKind::Heartbeat,
    MessageKind::AppendAccepted,
    MessageKind::AppendRefused,
    MessageKind::Snapshot,
    MessageKind::SnapshotReply,
    MessageKind::TimeoutNow,
    MessageKind::ReadIndex,
    MessageKind::ReadIndexReply,
];

/// One event of each kind and, where a kind has reasons, one of each reason.
pub(crate) fn every_event() -> Vec<Event> {
    let mut events: Vec<Event> = every_raft_event().into_iter().map(Event::Raft).collect();
    let index = Index(90);
    let bytes = 5_300_000;
    events.extend([
        Event::Disk(DiskEvent::Opened { entries: 12, last: Index(102), snapshot: index, torn_bytes: 37 }),
        Event::Disk(DiskEvent::Opened { entries: 1, last: Index(1), snapshot: Index::ZERO, torn_bytes: 0 }),
        Event::Disk(DiskEvent::SnapshotStarted { index }),
        Event::Disk(DiskEvent::SnapshotWritten { index, bytes }),
        Event::Disk(DiskEvent::SnapshotLoaded { index, bytes: 312 }),
    ]);
    let peer = NodeId(3);
    events.push(Event::Net(NetEvent::Connected { peer }));
    for why in [LinkLoss::Refused, LinkLoss::TimedOut, LinkLoss::Broken, LinkLoss::Unwelcome] {
        events.push(Event::Net(NetEvent::Lost { peer, why }));
    }
    events.push(Event::Net(NetEvent::Accepted { peer }));
    for why in [
        FrameRefusal::Version,
        FrameRefusal::TooLong,
        FrameRefusal::Checksum,
        FrameRefusal::Content,
        FrameRefusal::Cluster,
        FrameRefusal::Recipient,
        FrameRefusal::Sender,
        FrameRefusal::Incarnation,
    ] {
        events.push(Event::Net(NetEvent::FrameRefused { peer: Some(peer), why }));
    }
    events.push(Event::Net(NetEvent::FrameRefused { peer: None, why: FrameRefusal::Version }));
    events.push(Event::Net(NetEvent::Dropped { peer, messages: 14 }));
    events.extend([
        Event::Client(ClientEvent::Forwarded { to: peer, requests: 1 }),
        Event::Client(ClientEvent::Refused { requests: 20 }),
        Event::Client(ClientEvent::OutcomeUnknown { requests: 2 }),
        Event::Client(ClientEvent::ExpiryProposed { index }),
    ]);
    let deeds = [
        Deed::Crash,
        Deed::Start,
        Deed::Pause,
        Deed::Resume,
        Deed::Stall,
        Deed::Unstall,
        Deed::Cut { to: peer },
        Deed::Mend { to: peer },
        Deed::Lose { percent: 30 },
        Deed::Slow { by_nanos: 200_000_000 },
    ];
    events.extend(deeds.map(Event::Deed));
    events
}

fn every_raft_event() -> Vec<RaftEvent> {
    let (n3, term, index) = (NodeId(3), Term(7), Index(42));
    let mut events = vec![
        RaftEvent::TermChanged { old: Term(6), new: term, from: Some(n3) },
        RaftEvent::TermChanged { old: Term(6), new: term, from: None },
        RaftEvent::LeaderKnown { leader: n3, term },
        RaftEvent::ElectionTimerReset { after_nanos: 213_456_789 },
    ];
    for why in ROLE_CHANGES {
        let role = match why {
            RoleChange::ElectionTimeout | RoleChange::Asked => RoleName::PreCandidate,
            RoleChange::PreVoteWon => RoleName::Candidate,
            RoleChange::ElectionWon => RoleName::Leader,
            RoleChange::HigherTerm
            | RoleChange::LeaderFound
            | RoleChange::QuorumLost
            | RoleChange::ElectionLost
            | RoleChange::Removed => RoleName::Follower,
        };
        events.push(RaftEvent::RoleChanged { role, term, why });
    }
    for pre_vote in [true, false] {
        events.push(RaftEvent::VoteGranted { to: n3, term, pre_vote });
        for granted in [true, false] {
            events.push(RaftEvent::VoteReceived {
                from: n3,
                term,
                pre_vote,
                granted,
                votes: 1 + u32::from(granted),
            });
        }
        for why in [
            VoteRefusal::OldTerm,
            VoteRefusal::AlreadyVoted { voted_for: NodeId(5) },
            VoteRefusal::LogBehind,
            VoteRefusal::LeaderAlive { leader: NodeId(5) },
            VoteRefusal::IsLeader,
        ] {
            events.push(RaftEvent::VoteRefused { to: n3, term, pre_vote, why });
        }
    }
    for kind in KINDS {
        events.push(RaftEvent::Sent { to: n3, sequence: 1_001, term, kind, index, count: 3 });
        events.push(RaftEvent::Received { from: n3, sequence: 2_002, term, kind, index, count: 1 });
    }
    for why in [
        IgnoreReason::WrongCluster,
        IgnoreReason::WrongRecipient,
        IgnoreReason::UnknownSender,
        IgnoreReason::OldTerm,
        IgnoreReason::Stale,
        IgnoreReason::WrongRole,
        IgnoreReason::Malformed,
        IgnoreReason::CannotCampaign,
    ] {
        events.push(RaftEvent::Ignored { from: n3, sequence: 2_003, kind: MessageKind::Vote, why });
    }
    events.extend([
        RaftEvent::Appended { first: Index(40), last: index, term },
        RaftEvent::Appended { first: index, last: index, term },
        RaftEvent::Durable { last: index },
        RaftEvent::Truncated { from: Index(40), last: index },
        RaftEvent::LogConflict { peer: n3, prev_log_index: index, next_index: Index(40) },
        RaftEvent::Committed { index, term },
        RaftEvent::SnapshotTaken { index, term },
        RaftEvent::SnapshotInstalled { index, term, from: n3 },
    ]);
    for stage in [MembershipStage::CatchUp, MembershipStage::Joint, MembershipStage::Final] {
        let learners = if stage == MembershipStage::CatchUp { 2 } else { 0 };
        events.push(RaftEvent::MembershipChanged { index, stage, voters: 5, learners });
    }
    events.extend([
        RaftEvent::CaughtUp { peer: n3, match_index: index },
        RaftEvent::TransferStarted { to: n3 },
        RaftEvent::TransferAborted { to: n3 },
        RaftEvent::ReadConfirmed { round: 12, index, reads: 1 },
        RaftEvent::ReadConfirmed { round: 0, index, reads: 64 },
        RaftEvent::ReadRefused { id: ReadId(8) },
    ]);
    for why in [
        Refusal::NotLeader { leader: Some(n3) },
        Refusal::NotLeader { leader: None },
        Refusal::Busy,
        Refusal::TooLarge,
        Refusal::Transferring,
        Refusal::ChangePending,
        Refusal::TooEarly,
        Refusal::BadMembership,
        Refusal::NoChange,
        Refusal::BadTarget,
    ] {
        events.push(RaftEvent::ProposalRefused { why });
    }
    events
}
