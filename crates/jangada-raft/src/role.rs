//! The four roles, each with what it alone knows.
//!
//! A role owns its data: a stale `next_index` cannot exist, because it ends with the leadership that it
//! belongs to. Only `raft.rs` changes the role.

use alloc::collections::BTreeMap;
use core::time::Duration;

use crate::event::{Event, RoleName};
use crate::progress::Progress;
use crate::read::{ForwardedReads, LeaderReads};
use crate::server::Server;
use crate::transfer::Transfer;
use crate::types::{Entry, Index, NodeId, Term, Time};

/// What a server is at present (Paper, Figure 4; the pre-candidate from Thesis §9.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Follows a leader, or waits for one.
    Follower(Follower),
    /// Asks whether an election could be won.
    PreCandidate(Campaign),
    /// Campaigns.
    Candidate(Campaign),
    /// Leads.
    Leader(Leader),
}

/// Follows a leader, or waits for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Follower {
    /// The leader of the present term, once it is known.
    pub(crate) leader: Option<NodeId>,
    pub(crate) timer: ElectionTimer,
    /// Our log agrees with the leader's up to here. What lies behind may be the relic of another leader, so
    /// neither an acknowledgement nor the commit index may pass it.
    pub(crate) verified: Index,
    /// The highest round of the leader's that has reached us.
    pub(crate) round: u64,
    /// The leader waits for word that our disk has caught up with `verified`.
    pub(crate) ack_owed: bool,
    pub(crate) reads: ForwardedReads,
}

/// A campaign, or the question whether one could be won.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Campaign {
    /// Only a question: the term is not entered yet.
    pub(crate) pre_vote: bool,
    /// The old leader asked for it.
    pub(crate) leadership_transfer: bool,
    /// The term that it is about.
    pub(crate) term: Term,
    /// The answers. Empty at the start of each campaign: a vote never counts in two, nor does a pre-vote
    /// count as a vote.
    pub(crate) votes: BTreeMap<NodeId, bool>,
    pub(crate) timer: ElectionTimer,
    /// When those who have not answered are asked again.
    pub(crate) ask_again: Time,
}

/// Leads. All of it begins anew with each leadership (Figure 2: "Reinitialized after election").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    /// `nextIndex[]`, `matchIndex[]` and more, for each other member.
    pub(crate) progress: BTreeMap<NodeId, Progress>,
    /// The first entry of this leadership, the no-op.
    pub(crate) first_of_term: Index,
    /// The present round: see `AppendEntries::round`.
    pub(crate) round: u64,
    pub(crate) heartbeat_at: Time,
    /// When whoever has not heard of the last commit by then is told of it.
    pub(crate) commit_notice_at: Option<Time>,
    /// Until when new entries would have carried the news of the last commit; none if there were some since.
    pub(crate) entries_expected_until: Option<Time>,
    /// The last ones that came after a commit came later than that.
    pub(crate) clients_pause: bool,
    /// What the entries that are not committed yet count for.
    pub(crate) uncommitted_bytes: usize,
    pub(crate) reads: LeaderReads,
    pub(crate) transfer: Option<Transfer>,
    /// Something was learnt that may move the commit index, a read, a transfer or a membership change.
    pub(crate) news: bool,
}

/// Rings when no leader was heard of for a while (Paper §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ElectionTimer {
    timeout: Duration,
    pub(crate) deadline: Time,
}

impl Role {
    pub(crate) fn name(&self) -> RoleName {
        match self {
            Role::Follower(_) => RoleName::Follower,
            Role::PreCandidate(_) => RoleName::PreCandidate,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }
}

impl Follower {
    /// Knows no leader yet. What is committed agrees with whoever leads (Paper §5.4.3: leader completeness),
    /// so this much is verified from the beginning.
    pub(crate) fn new(server: &Server, timer: ElectionTimer) -> Follower {
        Follower {
            leader: None,
            timer,
            verified: server.commit_index(),
            round: 0,
            ack_owed: false,
            reads: ForwardedReads::default(),
        }
    }

    /// A message of the present leader arrived: it keeps the server a follower (Paper §5.2). `false` if
    /// another server leads in this term already: then it is no correct server that sent it.
    pub(crate) fn heard_leader(&mut self, server: &mut Server, from: NodeId) -> bool {
        match self.leader {
            None => {
                self.leader = Some(from);
                server.event(Event::LeaderKnown { leader: from, term: server.term() });
            }
            Some(leader) if leader != from => return false,
            Some(_) => {}
        }
        server.leader_heard = Some((from, server.now));
        self.timer.extend(server.now);
        true
    }
}

impl Leader {
    /// Begins: of each follower nothing is known but that it may have the whole log (Figure 2: "nextIndex:
    /// initialized to leader last log index + 1; matchIndex: initialized to 0").
    pub(crate) fn new(server: &Server) -> Leader {
        let next = server.log.last_index().next();
        let others = server.membership().members().into_iter().filter(|id| *id != server.id());
        let uncommitted = server.log.tail(server.commit_index().next());
        Leader {
            progress: others.map(|id| (id, Progress::new(next, server.now))).collect(),
            first_of_term: next,
            round: 0,
            heartbeat_at: server.now + server.config.heartbeat_interval,
            commit_notice_at: None,
            entries_expected_until: None,
            clients_pause: false,
            uncommitted_bytes: uncommitted.map(Entry::size_bytes).sum(),
            reads: LeaderReads::default(),
            transfer: None,
            news: true,
        }
    }
}

impl ElectionTimer {
    /// Set anew with a timeout of its own: random, so that two servers rarely campaign at once (Paper §5.2).
    pub(crate) fn start(server: &mut Server) -> ElectionTimer {
        let (min, max) = (server.config.election_timeout_min, server.config.election_timeout_max);
        let timeout = server.rng.duration_between(min, max);
        let after_nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        server.event(Event::ElectionTimerReset { after_nanos });
        ElectionTimer { timeout, deadline: server.now + timeout }
    }

    /// Set to this timeout.
    pub(crate) fn set(now: Time, timeout: Duration) -> ElectionTimer {
        ElectionTimer { timeout, deadline: now + timeout }
    }

    /// The leader lives: the same timeout again from now on. Not an event and not drawn anew, since it
    /// happens with each message of the leader's.
    pub(crate) fn extend(&mut self, now: Time) {
        self.deadline = now + self.timeout;
    }
}
