//! Reads the lines that [`crate::jsonl`] writes: records come back as they were.
//!
//! A stream that was kept can so be judged again, by another program, on another day: [`crate::safety`] reads it from
//! a file as it does while it happens. Fields that are not known are skipped, as they may be newer than this reader;
//! events that are not known are an error, as nobody can say what follows from leaving them out.

use std::fmt;

use jangada_node::book::node_id;
use jangada_node::event::{ClientEvent, Deed, DiskEvent, Event, FrameRefusal, LinkLoss, NetEvent, Record};
use jangada_raft::event::{
    Event as RaftEvent, IgnoreReason, MembershipStage, MessageKind, RoleChange, RoleName, VoteRefusal,
};
use jangada_raft::face::Refusal;
use jangada_raft::types::{Index, NodeId, ReadId, Term, Time};

use crate::json_read::{Value, object};
use crate::kinds;
use crate::names::Names;

/// Longest line that is read: the longest that is written has a few hundred bytes and three names.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Longest name of a server that is learnt.
const MAX_NAME_BYTES: usize = 64;

/// The fields that hold names of servers.
const NODE_FIELDS: [&str; 6] = ["node", "from", "to", "peer", "leader", "voted_for"];

/// Why a line is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for BadLine {}

type Read<T> = Result<T, BadLine>;

fn bad<T>(why: impl Into<String>) -> Read<T> {
    Err(BadLine { why: why.into() })
}

/// The record of one line. A server that the book does not name is known by its number if it is called `n` and a
/// number.
///
/// # Errors
/// If the line is no record.
pub fn read(line: &str, names: &Names) -> Result<Record, BadLine> {
    record(&fields_of(line)?, names)
}

/// The record of one line. Names that the book does not have are written into it, with the numbers that servers have by
/// their names.
///
/// # Errors
/// If the line is no record, or names a server as no server can be called.
pub fn read_learning(line: &str, names: &mut Names) -> Result<Record, BadLine> {
    let fields = fields_of(line)?;
    for (field, value) in &fields {
        if let Value::Text(name) = value
            && NODE_FIELDS.contains(&field.as_str())
            && names.id(name).is_none()
        {
            if name.len() > MAX_NAME_BYTES
                || name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_graphic())
            {
                return bad(format!("{field:?} is {name:?}, and no server can be called so"));
            }
            names.insert(node_id(name), name.clone());
        }
    }
    record(&fields, names)
}

fn fields_of(line: &str) -> Read<Vec<(String, Value)>> {
    if line.len() > MAX_LINE_BYTES {
        return bad(format!("a line of {} bytes, at most {MAX_LINE_BYTES} are read", line.len()));
    }
    object(line).map_err(|why| BadLine { why: why.to_string() })
}

fn record(fields: &[(String, Value)], names: &Names) -> Read<Record> {
    let fields = Fields { fields, names };
    let event = match event(&fields)? {
        Some(event) => event,
        None => return bad(format!("an unknown event {:?}", fields.text("event")?)),
    };
    Ok(Record {
        time: Time(fields.number("time_ns")?),
        node: fields.node("node")?,
        seq: fields.number("seq")?,
        event,
    })
}

/// The fields of a line.
struct Fields<'a> {
    fields: &'a [(String, Value)],
    names: &'a Names,
}

impl Fields<'_> {
    fn value(&self, name: &str) -> Read<&Value> {
        match self.fields.iter().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value),
            None => bad(format!("{name:?} is missing")),
        }
    }

    fn number(&self, name: &str) -> Read<u64> {
        match self.value(name)? {
            Value::Number(number) => Ok(*number),
            Value::Text(_) | Value::Truth(_) | Value::Null => bad(format!("{name:?} is no number")),
        }
    }

    fn count(&self, name: &str) -> Read<u32> {
        let number = self.number(name)?;
        number.try_into().map_err(|_| BadLine { why: format!("{name:?} does not fit") })
    }

    fn index(&self, name: &str) -> Read<Index> {
        self.number(name).map(Index)
    }

    fn term(&self) -> Read<Term> {
        self.number("term").map(Term)
    }

    fn text(&self, name: &str) -> Read<&str> {
        match self.value(name)? {
            Value::Text(text) => Ok(text),
            Value::Number(_) | Value::Truth(_) | Value::Null => bad(format!("{name:?} is no text")),
        }
    }

    fn truth(&self, name: &str) -> Read<bool> {
        match self.value(name)? {
            Value::Truth(truth) => Ok(*truth),
            Value::Number(_) | Value::Text(_) | Value::Null => {
                bad(format!("{name:?} is neither true nor false"))
            }
        }
    }

    fn node(&self, name: &str) -> Read<NodeId> {
        let text = self.text(name)?;
        match self.names.id(text) {
            Some(id) => Ok(id),
            None => bad(format!("{name:?} is {text:?}, and no server is called so")),
        }
    }

    fn maybe_node(&self, name: &str) -> Read<Option<NodeId>> {
        if *self.value(name)? == Value::Null { Ok(None) } else { self.node(name).map(Some) }
    }

    /// One of these, by its name in [`kinds`].
    fn one_of<T: Copy>(&self, field: &str, all: &[T], name: fn(T) -> &'static str) -> Read<T> {
        let text = self.text(field)?;
        match all.iter().find(|one| name(**one) == text) {
            Some(one) => Ok(*one),
            None => bad(format!("{field:?} is {text:?}, which is not known")),
        }
    }

    fn kind(&self) -> Read<MessageKind> {
        self.one_of("kind", &MESSAGE_KINDS, kinds::message)
    }
}

fn event(fields: &Fields<'_>) -> Read<Option<Event>> {
    let name = fields.text("event")?;
    if let Some(event) = campaign_event(name, fields)? {
        return Ok(Some(Event::Raft(event)));
    }
    if let Some(event) = log_event(name, fields)? {
        return Ok(Some(Event::Raft(event)));
    }
    if let Some(event) = disk_event(name, fields)? {
        return Ok(Some(Event::Disk(event)));
    }
    if let Some(event) = net_event(name, fields)? {
        return Ok(Some(Event::Net(event)));
    }
    if let Some(event) = client_event(name, fields)? {
        return Ok(Some(Event::Client(event)));
    }
    if name == "deed" { deed(fields).map(|deed| Some(Event::Deed(deed))) } else { Ok(None) }
}

/// Terms, roles, votes, messages.
fn campaign_event(name: &str, fields: &Fields<'_>) -> Read<Option<RaftEvent>> {
    Ok(Some(match name {
        "term_changed" => RaftEvent::TermChanged {
            old: Term(fields.number("old")?),
            new: Term(fields.number("new")?),
            from: fields.maybe_node("from")?,
        },
        "role_changed" => RaftEvent::RoleChanged {
            role: fields.one_of("role", &ROLES, kinds::role)?,
            term: fields.term()?,
            why: fields.one_of("why", &ROLE_CHANGES, kinds::role_change)?,
        },
        "leader_known" => RaftEvent::LeaderKnown { leader: fields.node("leader")?, term: fields.term()? },
        "election_timer_reset" => RaftEvent::ElectionTimerReset { after_nanos: fields.number("after_ns")? },
        "vote_granted" => RaftEvent::VoteGranted {
            to: fields.node("to")?,
            term: fields.term()?,
            pre_vote: fields.truth("pre_vote")?,
        },
        "vote_refused" => RaftEvent::VoteRefused {
            to: fields.node("to")?,
            term: fields.term()?,
            pre_vote: fields.truth("pre_vote")?,
            why: vote_refusal(fields)?,
        },
        "vote_received" => RaftEvent::VoteReceived {
            from: fields.node("from")?,
            term: fields.term()?,
            pre_vote: fields.truth("pre_vote")?,
            granted: fields.truth("granted")?,
            votes: fields.count("votes")?,
        },
        "sent" => RaftEvent::Sent {
            to: fields.node("to")?,
            sequence: fields.number("sequence")?,
            term: fields.term()?,
            kind: fields.kind()?,
            index: fields.index("index")?,
            count: fields.count("count")?,
        },
        "received" => RaftEvent::Received {
            from: fields.node("from")?,
            sequence: fields.number("sequence")?,
            term: fields.term()?,
            kind: fields.kind()?,
            index: fields.index("index")?,
            count: fields.count("count")?,
        },
        "ignored" => RaftEvent::Ignored {
            from: fields.node("from")?,
            sequence: fields.number("sequence")?,
            kind: fields.kind()?,
            why: fields.one_of("why", &IGNORE_REASONS, kinds::ignore_reason)?,
        },
        _ => return Ok(None),
    }))
}

/// The log, members, transfers, reads, proposals.
fn log_event(name: &str, fields: &Fields<'_>) -> Read<Option<RaftEvent>> {
    let (index, number) = (|name| fields.index(name), |name| fields.number(name));
    Ok(Some(match name {
        "appended" => {
            RaftEvent::Appended { first: index("first")?, last: index("last")?, term: fields.term()? }
        }
        "durable" => RaftEvent::Durable { last: index("last")? },
        "truncated" => RaftEvent::Truncated { from: index("first")?, last: index("last")? },
        "log_conflict" => RaftEvent::LogConflict {
            peer: fields.node("peer")?,
            prev_log_index: index("prev_log_index")?,
            next_index: index("next_index")?,
        },
        "committed" => RaftEvent::Committed { index: index("index")?, term: fields.term()? },
        "snapshot_taken" => RaftEvent::SnapshotTaken { index: index("index")?, term: fields.term()? },
        "snapshot_installed" => RaftEvent::SnapshotInstalled {
            index: index("index")?,
            term: fields.term()?,
            from: fields.node("from")?,
        },
        "membership_changed" => RaftEvent::MembershipChanged {
            index: index("index")?,
            stage: fields.one_of("stage", &STAGES, kinds::stage)?,
            voters: fields.count("voters")?,
            learners: fields.count("learners")?,
        },
        "caught_up" => RaftEvent::CaughtUp { peer: fields.node("peer")?, match_index: index("match_index")? },
        "transfer_started" => RaftEvent::TransferStarted { to: fields.node("to")? },
        "transfer_aborted" => RaftEvent::TransferAborted { to: fields.node("to")? },
        "read_confirmed" => RaftEvent::ReadConfirmed {
            round: number("round")?,
            index: index("index")?,
            reads: fields.count("reads")?,
        },
        "read_refused" => RaftEvent::ReadRefused { id: ReadId(number("read")?) },
        "proposal_refused" => RaftEvent::ProposalRefused { why: refusal(fields)? },
        _ => return Ok(None),
    }))
}

fn disk_event(name: &str, fields: &Fields<'_>) -> Read<Option<DiskEvent>> {
    let (index, number) = (|| fields.index("index"), |name| fields.number(name));
    Ok(Some(match name {
        "log_opened" => DiskEvent::Opened {
            entries: number("entries")?,
            last: fields.index("last")?,
            snapshot: fields.index("snapshot")?,
            torn_bytes: number("torn_bytes")?,
        },
        "snapshot_started" => DiskEvent::SnapshotStarted { index: index()? },
        "snapshot_written" => DiskEvent::SnapshotWritten { index: index()?, bytes: number("bytes")? },
        "snapshot_loaded" => DiskEvent::SnapshotLoaded { index: index()?, bytes: number("bytes")? },
        _ => return Ok(None),
    }))
}

fn net_event(name: &str, fields: &Fields<'_>) -> Read<Option<NetEvent>> {
    Ok(Some(match name {
        "link_up" => NetEvent::Connected { peer: fields.node("peer")? },
        "link_lost" => NetEvent::Lost {
            peer: fields.node("peer")?,
            why: fields.one_of("why", &LINK_LOSSES, kinds::link_loss)?,
        },
        "link_accepted" => NetEvent::Accepted { peer: fields.node("peer")? },
        "frame_refused" => NetEvent::FrameRefused {
            peer: fields.maybe_node("peer")?,
            why: fields.one_of("why", &FRAME_REFUSALS, kinds::frame_refusal)?,
        },
        "messages_dropped" => {
            NetEvent::Dropped { peer: fields.node("peer")?, messages: fields.count("messages")? }
        }
        _ => return Ok(None),
    }))
}

fn client_event(name: &str, fields: &Fields<'_>) -> Read<Option<ClientEvent>> {
    let requests = || fields.count("requests");
    Ok(Some(match name {
        "requests_forwarded" => ClientEvent::Forwarded { to: fields.node("to")?, requests: requests()? },
        "requests_refused" => ClientEvent::Refused { requests: requests()? },
        "outcome_unknown" => ClientEvent::OutcomeUnknown { requests: requests()? },
        "expiry_proposed" => ClientEvent::ExpiryProposed { index: fields.index("index")? },
        _ => return Ok(None),
    }))
}

/// What was done, and what belongs to it.
fn deed(fields: &Fields<'_>) -> Read<Deed> {
    let to = NodeId(0);
    let all = [
        Deed::Crash,
        Deed::Start,
        Deed::Pause,
        Deed::Resume,
        Deed::Stall,
        Deed::Unstall,
        Deed::Cut { to },
        Deed::Mend { to },
        Deed::Lose { percent: 0 },
        Deed::Slow { by_nanos: 0 },
    ];
    Ok(match fields.one_of("what", &all, kinds::deed)? {
        Deed::Cut { .. } => Deed::Cut { to: fields.node("to")? },
        Deed::Mend { .. } => Deed::Mend { to: fields.node("to")? },
        Deed::Lose { .. } => match u8::try_from(fields.number("percent")?) {
            Ok(percent @ 0..=100) => Deed::Lose { percent },
            Ok(_) | Err(_) => return bad("\"percent\" is more than 100"),
        },
        Deed::Slow { .. } => Deed::Slow { by_nanos: fields.number("delay_ns")? },
        known @ (Deed::Crash | Deed::Start | Deed::Pause | Deed::Resume | Deed::Stall | Deed::Unstall) => {
            known
        }
    })
}

/// The reason, and what belongs to it.
fn vote_refusal(fields: &Fields<'_>) -> Read<VoteRefusal> {
    let nobody = NodeId(0);
    let all = [
        VoteRefusal::OldTerm,
        VoteRefusal::AlreadyVoted { voted_for: nobody },
        VoteRefusal::LogBehind,
        VoteRefusal::LeaderAlive { leader: nobody },
        VoteRefusal::IsLeader,
    ];
    Ok(match fields.one_of("why", &all, kinds::vote_refusal)? {
        VoteRefusal::AlreadyVoted { .. } => {
            VoteRefusal::AlreadyVoted { voted_for: fields.node("voted_for")? }
        }
        VoteRefusal::LeaderAlive { .. } => VoteRefusal::LeaderAlive { leader: fields.node("leader")? },
        why @ (VoteRefusal::OldTerm | VoteRefusal::LogBehind | VoteRefusal::IsLeader) => why,
    })
}

fn refusal(fields: &Fields<'_>) -> Read<Refusal> {
    let all = [
        Refusal::NotLeader { leader: None },
        Refusal::Busy,
        Refusal::TooLarge,
        Refusal::Transferring,
        Refusal::ChangePending,
        Refusal::TooEarly,
        Refusal::BadMembership,
        Refusal::NoChange,
        Refusal::BadTarget,
    ];
    let why = fields.one_of("why", &all, kinds::refusal)?;
    Ok(match why {
        Refusal::NotLeader { .. } => Refusal::NotLeader { leader: fields.maybe_node("leader")? },
        why => why,
    })
}

const ROLES: [RoleName; 4] =
    [RoleName::Follower, RoleName::PreCandidate, RoleName::Candidate, RoleName::Leader];

const ROLE_CHANGES: [RoleChange; 9] = [
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

const MESSAGE_KINDS: [MessageKind; 13] = [
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

const IGNORE_REASONS: [IgnoreReason; 8] = [
    IgnoreReason::WrongCluster,
    IgnoreReason::WrongRecipient,
    IgnoreReason::UnknownSender,
    IgnoreReason::OldTerm,
    IgnoreReason::Stale,
    IgnoreReason::WrongRole,
    IgnoreReason::Malformed,
    IgnoreReason::CannotCampaign,
];

const STAGES: [MembershipStage; 3] =
    [MembershipStage::CatchUp, MembershipStage::Joint, MembershipStage::Final];

const LINK_LOSSES: [LinkLoss; 4] =
    [LinkLoss::Refused, LinkLoss::TimedOut, LinkLoss::Broken, LinkLoss::Unwelcome];

const FRAME_REFUSALS: [FrameRefusal; 8] = [
    FrameRefusal::Version,
    FrameRefusal::TooLong,
    FrameRefusal::Checksum,
    FrameRefusal::Content,
    FrameRefusal::Cluster,
    FrameRefusal::Recipient,
    FrameRefusal::Sender,
    FrameRefusal::Incarnation,
];
