//! A replica's face: what goes in, what comes out.

use bytes::Bytes;
use jangada_raft::face::{MembershipChange, Refusal};
use jangada_raft::types::{NodeId, SnapshotMeta, Term};

use crate::frame::Frame;
use crate::log_writer::{LogDone, LogJob};
use crate::state_machine::StateMachine;

/// Names one request of a driver; chosen by the driver, returned with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What a replica can be told.
pub enum Input<S: StateMachine> {
    /// Time has passed.
    TimePassed,
    /// A frame arrived from a peer.
    Peer(NodeId, Frame),
    /// Commands of one client, in order, each behind [`crate::state_machine::STAMP_BYTES`] free bytes.
    Writes {
        /// Comes back in [`Effect::Reply`].
        token: Token,
        /// The commands.
        commands: Vec<Vec<u8>>,
    },
    /// Reads of one client: all of them see at least what was committed when they came.
    Reads {
        /// Comes back in [`Effect::Reply`].
        token: Token,
        /// The reads.
        queries: Vec<S::Query>,
    },
    /// The log thread has done something.
    Log(LogDone),
    /// Somebody wants other members.
    ChangeMembership {
        /// Comes back in [`Effect::AdminReply`].
        token: Token,
        /// The wish.
        change: MembershipChange,
    },
    /// Somebody wants another leader.
    Transfer {
        /// Comes back in [`Effect::AdminReply`].
        token: Token,
        /// The wish.
        to: NodeId,
    },
    /// Whoever asked for the change or the transfer waits no longer.
    GiveUp(Token),
    /// Begin a snapshot now, however short the log is.
    TakeSnapshot,
    /// Campaign now.
    Campaign,
}

/// What must be done for a replica.
pub enum Effect<S: StateMachine> {
    /// Send a frame; it may be lost, late or doubled.
    Send(NodeId, Frame),
    /// Hand this to the log writer, in order.
    Log(LogJob),
    /// Answer a client: one answer for each command or query, in their order.
    Reply(Token, Vec<Result<S::Response, Failure>>),
    /// Answer an administrator.
    AdminReply(Token, Result<AdminDone, Failure>),
    /// Something happened that this server cannot survive: stop, and say the sentence.
    Halt(String),
}

/// What an administrator asked for has come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminDone {
    /// The wished-for configuration is committed.
    MembershipChanged,
    /// The wished-for server leads.
    Transferred {
        /// In this term.
        term: Term,
    },
}

/// Why a request has no proper answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no leader for an election timeout. No effect.
    NoLeader,
    /// Too much is waiting. No effect.
    Busy,
    /// The command is too large. No effect.
    TooLarge,
    /// Refused by the core. No effect.
    Refused(Refusal),
    /// The command was handed to a leader that lost its leadership, or could not be reached, before it
    /// could say what became of it: it may or may not take effect.
    OutcomeUnknown,
    /// The transfer of leadership came to nothing; the old leader goes on.
    TransferFailed,
    /// The command took effect, but the answers of its batch are too long to travel from the leader to us.
    AnswerTooLarge,
    /// The command, or the answer from the leader, could not be read.
    BadAnswer,
}

/// Bytes of answers that a leader sends to a follower for one batch of forwarded commands.
pub const MAX_FORWARDED_ANSWERS_BYTES: usize = 16 << 20;

impl Failure {
    /// As one byte in a frame.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Failure::NoLeader | Failure::Refused(_) | Failure::TransferFailed => 1,
            Failure::Busy => 2,
            Failure::TooLarge => 3,
            Failure::OutcomeUnknown => 4,
            Failure::BadAnswer => 5,
            Failure::AnswerTooLarge => 6,
        }
    }

    /// The reverse.
    #[must_use]
    pub fn from_code(code: u8) -> Failure {
        match code {
            1 => Failure::NoLeader,
            2 => Failure::Busy,
            3 => Failure::TooLarge,
            4 => Failure::OutcomeUnknown,
            6 => Failure::AnswerTooLarge,
            _ => Failure::BadAnswer,
        }
    }
}

/// The position of one stream of snapshot bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Which snapshot.
    pub meta: SnapshotMeta,
    /// Where the bytes lie.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
    /// They are the last.
    pub done: bool,
}
