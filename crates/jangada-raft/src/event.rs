//! What happened, said once.
//!
//! Logs, metrics, the lab, the timeline and the simulator's checkers all read this one stream. Plain `Copy`
//! data without strings; words are put to it in `jangada-trace`.

use crate::types::{Index, NodeId, ReadId, Term};

/// One thing that happened inside a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The term rose; `from` is who told us, `None` if we began the term ourselves.
    TermChanged {
        /// The term before.
        old: Term,
        /// The term now.
        new: Term,
        /// The message that carried it.
        from: Option<NodeId>,
    },
    /// The role changed.
    RoleChanged {
        /// The role now.
        role: RoleName,
        /// In this term.
        term: Term,
        /// Because of this.
        why: RoleChange,
    },
    /// A follower learnt who leads.
    LeaderKnown {
        /// The leader.
        leader: NodeId,
        /// Of this term.
        term: Term,
    },
    /// The election timer was set anew and will ring after so many nanoseconds.
    ElectionTimerReset {
        /// Nanoseconds from now.
        after_nanos: u64,
    },
    /// This server gave its vote (or its word, in a pre-vote).
    VoteGranted {
        /// To whom.
        to: NodeId,
        /// For this term.
        term: Term,
        /// Only a pre-vote.
        pre_vote: bool,
    },
    /// This server refused its vote.
    VoteRefused {
        /// To whom.
        to: NodeId,
        /// For this term.
        term: Term,
        /// Only a pre-vote.
        pre_vote: bool,
        /// Because of this.
        why: VoteRefusal,
    },
    /// This server's campaign got a vote or a refusal.
    VoteReceived {
        /// From whom.
        from: NodeId,
        /// For this term.
        term: Term,
        /// Only a pre-vote.
        pre_vote: bool,
        /// A vote, not a refusal.
        granted: bool,
        /// How many votes there are now, the server's own with them.
        votes: u32,
    },
    /// A message left (or waits in its queue to leave).
    Sent {
        /// To whom.
        to: NodeId,
        /// With `from` = this server, the message's identity.
        sequence: u64,
        /// In this term.
        term: Term,
        /// What it was.
        kind: MessageKind,
        /// A number that explains it: see [`MessageKind`].
        index: Index,
        /// A second one: how many entries or bytes.
        count: u32,
    },
    /// A message arrived and was meant for us.
    Received {
        /// From whom.
        from: NodeId,
        /// The message's identity, with `from`.
        sequence: u64,
        /// The sender's term.
        term: Term,
        /// What it was.
        kind: MessageKind,
        /// A number that explains it.
        index: Index,
        /// How many entries or bytes.
        count: u32,
    },
    /// A message had no effect.
    Ignored {
        /// From whom.
        from: NodeId,
        /// The message's identity, with `from`.
        sequence: u64,
        /// What it was.
        kind: MessageKind,
        /// Because of this.
        why: IgnoreReason,
    },
    /// Entries were appended to this server's log.
    Appended {
        /// The first.
        first: Index,
        /// The last.
        last: Index,
        /// The term of the last.
        term: Term,
    },
    /// The log is durable up to here.
    Durable {
        /// The last durable entry.
        last: Index,
    },
    /// Entries that contradict the leader's were removed (Paper §5.3).
    Truncated {
        /// The first that is gone.
        from: Index,
        /// The last that is gone.
        last: Index,
    },
    /// A follower's log does not fit the leader's `prev_log_index`.
    LogConflict {
        /// The leader or the follower at the other end.
        peer: NodeId,
        /// The index that did not fit.
        prev_log_index: Index,
        /// Where the leader shall try next.
        next_index: Index,
    },
    /// The commit index rose.
    Committed {
        /// To here.
        index: Index,
        /// In this term.
        term: Term,
    },
    /// A snapshot of our own became durable and the log was cut.
    SnapshotTaken {
        /// Up to here.
        index: Index,
        /// Its term.
        term: Term,
    },
    /// A snapshot from the leader replaced our state.
    SnapshotInstalled {
        /// Up to here.
        index: Index,
        /// Its term.
        term: Term,
        /// Who sent it.
        from: NodeId,
    },
    /// A configuration came into force.
    MembershipChanged {
        /// With this entry.
        index: Index,
        /// How far the change is.
        stage: MembershipStage,
        /// How many voters (C_new).
        voters: u32,
        /// How many learners.
        learners: u32,
    },
    /// A learner has caught up and can become a voter.
    CaughtUp {
        /// The learner.
        peer: NodeId,
        /// It holds the log up to here.
        match_index: Index,
    },
    /// Leadership is being handed over.
    TransferStarted {
        /// To this server.
        to: NodeId,
    },
    /// The handing over came to nothing; the leader goes on.
    TransferAborted {
        /// The intended leader.
        to: NodeId,
    },
    /// The leadership was proved for the reads that waited.
    ReadConfirmed {
        /// The round that proved it; 0 for a lease.
        round: u64,
        /// The read index.
        index: Index,
        /// How many reads.
        reads: u32,
    },
    /// A read cannot be answered.
    ReadRefused {
        /// Which.
        id: ReadId,
    },
    /// A client's command was refused.
    ProposalRefused {
        /// Because of this.
        why: crate::face::Refusal,
    },
}

/// The name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether an election could be won.
    PreCandidate,
    /// Campaigns.
    Candidate,
    /// Leads.
    Leader,
}

/// Why a role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleChange {
    /// No leader was heard of for an election timeout.
    ElectionTimeout,
    /// The campaign was asked for, by a person or by the old leader's TimeoutNow.
    Asked,
    /// A majority would vote for this server.
    PreVoteWon,
    /// A majority voted for this server.
    ElectionWon,
    /// A message carried a higher term.
    HigherTerm,
    /// The leader of this term made itself known.
    LeaderFound,
    /// No majority was heard for an election timeout (CheckQuorum).
    QuorumLost,
    /// The campaign was lost: a majority refused.
    ElectionLost,
    /// This server is no longer a voter.
    Removed,
}

/// Why a vote was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoteRefusal {
    /// The candidate's term is behind ours.
    OldTerm,
    /// We voted for another candidate in this term.
    AlreadyVoted {
        /// For this one.
        voted_for: NodeId,
    },
    /// Our log is more up-to-date (Paper §5.4.1).
    LogBehind,
    /// We hear a leader (Thesis §4.2.3).
    LeaderAlive {
        /// This one.
        leader: NodeId,
    },
    /// We lead in that term ourselves.
    IsLeader,
}

/// Why a message had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IgnoreReason {
    /// It belongs to another cluster.
    WrongCluster,
    /// It is meant for another server.
    WrongRecipient,
    /// Its sender is not part of our configuration.
    UnknownSender,
    /// Its term is behind ours.
    OldTerm,
    /// It answers a question that we no longer ask.
    Stale,
    /// Our role has no use for it.
    WrongRole,
    /// It contradicts itself or what is committed: no correct server sends it.
    Malformed,
    /// We cannot campaign: no voter, or not allowed to now.
    CannotCampaign,
}

/// What a message was. In brackets: what `index` and `count` say in `Sent` and `Received`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Pre-vote asked (last log index).
    PreVote,
    /// Pre-vote answered (count 1: granted).
    PreVoteReply,
    /// Vote asked (last log index).
    Vote,
    /// Vote answered (count 1: granted).
    VoteReply,
    /// Entries (`prev_log_index`; number of entries).
    Append,
    /// AppendEntries without entries (`prev_log_index`).
    Heartbeat,
    /// AppendEntries accepted (`match_index`).
    AppendAccepted,
    /// AppendEntries refused (`prev_log_index`).
    AppendRefused,
    /// A chunk of a snapshot (`last_included_index`; bytes).
    Snapshot,
    /// Its answer (`last_included_index`; count 1: installed).
    SnapshotReply,
    /// TimeoutNow.
    TimeoutNow,
    /// A follower asks for a read index.
    ReadIndex,
    /// Its answer (the read index; count 1: there is one).
    ReadIndexReply,
}

/// How far a membership change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MembershipStage {
    /// New servers catch up as learners.
    CatchUp,
    /// C_old,new is in force.
    Joint,
    /// One configuration is in force.
    Final,
}
