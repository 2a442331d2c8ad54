//! The numbers, entries and configurations that everything else is made of.
//!
//! Term and index are newtypes because all of Raft is about not mixing them up: a server that compares the
//! length of two logs before the term of their last entries loses committed data (Paper §5.4.1). Nothing here
//! decides anything; read `message.rs` and `face.rs` next.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use bytes::Bytes;

/// A term: the logical clock of Raft. Each term has at most one leader (Paper §5.1). Whoever meets a later
/// term enters it; whoever is met with an earlier one can ignore what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

impl Term {
    /// The term of a server that has never taken part in an election.
    pub const ZERO: Term = Term(0);

    /// The term after this one.
    #[must_use]
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A position in the log. The first entry has index 1; index 0 stands before the log (Paper, Figure 2), a
/// place about which all servers always agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

impl Index {
    /// The position before the first entry.
    pub const ZERO: Index = Index(0);

    /// The index after this one.
    #[must_use]
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The index before this one; the position before the log stays where it is.
    #[must_use]
    pub fn previous(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

impl Add<u64> for Index {
    type Output = Index;
    fn add(self, count: u64) -> Index {
        Index(self.0 + count)
    }
}

/// How many entries lie between two positions.
impl Sub for Index {
    type Output = u64;
    fn sub(self, other: Index) -> u64 {
        debug_assert!(self >= other, "an index distance is counted from the smaller one");
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A server. A name such as `n3` belongs to it outside of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A cluster. Messages of another cluster have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// A point in time: nanoseconds since the start of the program or of the simulated world. Monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The beginning.
    pub const ZERO: Time = Time(0);
    /// A deadline that never comes.
    pub const NEVER: Time = Time(u64::MAX);

    /// The time from `earlier` until this one; zero if `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Names one request to write to disk; they are handed out in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistId(pub u64);

/// Names one read; chosen by whoever asks, returned with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// One entry of the replicated log. Index and term together name it for ever: two entries that share both are
/// the same, and so is everything before them (Log Matching, Paper §5.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The term of the leader that created it.
    pub term: Term,
    /// Its position.
    pub index: Index,
    /// What it carries.
    pub payload: Payload,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// The entry that a new leader appends at once, so that it learns what is committed (Paper §8). The first
    /// leader of a cluster appends the founding configuration instead.
    Noop,
    /// A command for the state machine; the core never looks into it.
    Command(Bytes),
    /// A configuration; in force from the moment it is appended (Paper §6). Boxed: rare and large, and every
    /// entry would otherwise take three times the room.
    Membership(Box<Membership>),
}

impl Entry {
    /// What every entry counts for besides its payload in the bounds on bytes.
    pub const OVERHEAD_BYTES: usize = 32;

    /// What the entry counts for in every bound on bytes: its payload and a fixed overhead.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        Entry::OVERHEAD_BYTES
            + match &self.payload {
                Payload::Noop => 0,
                Payload::Command(command) => command.len(),
                Payload::Membership(membership) => membership.context.len() + 8 * membership.members().len(),
            }
    }
}

/// Who belongs to the cluster.
///
/// While `outgoing` is `Some`, this is C_old,new of the paper: `outgoing` is C_old, `voters` is C_new, and
/// each decision needs a majority of both (Paper §6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    /// The servers whose votes count; C_new in a joint configuration.
    pub voters: BTreeSet<NodeId>,
    /// C_old in a joint configuration.
    pub outgoing: Option<BTreeSet<NodeId>>,
    /// Servers that receive the log but whose votes do not count.
    pub learners: BTreeSet<NodeId>,
    /// A change that waits until its new servers, for now learners, have caught up. It is part of the entry
    /// so that the next leader carries it on.
    pub target: Option<Target>,
    /// Whatever the application keeps with the configuration (an address book, say). Opaque to the core.
    pub context: Bytes,
}

impl Membership {
    /// A single configuration of these voters, without learners.
    #[must_use]
    pub fn of(voters: impl IntoIterator<Item = NodeId>) -> Membership {
        Membership { voters: voters.into_iter().collect(), ..Membership::default() }
    }

    /// Both halves of a joint configuration have a say: it is C_old,new.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        self.outgoing.is_some()
    }

    /// The server's vote counts, in either half of a joint configuration.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.contains(&id) || self.outgoing.as_ref().is_some_and(|outgoing| outgoing.contains(&id))
    }

    /// The server receives the log.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        self.is_voter(id) || self.learners.contains(&id)
    }

    /// Somebody can decide something: no half of it, nor its target, is empty. Others never enter a log.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        !self.voters.is_empty()
            && self.outgoing.as_ref().is_none_or(|outgoing| !outgoing.is_empty())
            && self.target.as_ref().is_none_or(|target| !target.voters.is_empty())
    }

    /// All servers that receive the log.
    #[must_use]
    pub fn members(&self) -> BTreeSet<NodeId> {
        let mut members = self.all_voters();
        members.extend(&self.learners);
        members
    }

    /// All servers whose votes count, of both halves.
    #[must_use]
    pub fn all_voters(&self) -> BTreeSet<NodeId> {
        let mut voters = self.voters.clone();
        voters.extend(self.outgoing.iter().flatten());
        voters
    }
}

/// Where a membership change is to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// The voters at the end of the change.
    pub voters: BTreeSet<NodeId>,
    /// The learners at the end of the change.
    pub learners: BTreeSet<NodeId>,
}

/// `currentTerm` and `votedFor`: always written together (Paper, Figure 2: persistent state).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The latest term that this server has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub voted_for: Option<NodeId>,
}

/// What a snapshot stands for (Paper §7, Figure 13).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SnapshotMeta {
    /// The last entry that the snapshot replaces.
    pub last_included_index: Index,
    /// The term of that entry.
    pub last_included_term: Term,
    /// The latest configuration as of that entry. Boxed: it is large, and messages and outputs, which rarely carry
    /// a snapshot, are moved all the time.
    pub membership: Box<Membership>,
}
