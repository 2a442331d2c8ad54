//! The invariants: what must hold after every event, by name.
//!
//! Each is looked at only where the event can have changed it, and costs next to nothing when it holds. `log.rs`
//! has what the paper's Figure 3 says about logs and commits, `server.rs` what must hold of one server, and
//! `disks.rs` asks the disks, never the server, what is durable.

mod disks;
mod log;
mod samples;
mod server;

use std::fmt;

use jangada_raft::types::{NodeId, Time};

pub(crate) use disks::{Disks, recovered_is_possible};
pub(crate) use log::{Committed, Logs};
pub(crate) use samples::Samples;
pub(crate) use server::{Seen, check_bounds, check_halt};

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// At most one leader in a term, ever (Figure 3).
    ElectionSafety,
    /// Entries with one index and one term are the same, and so is all before them (Figure 3).
    LogMatching,
    /// A new leader has every entry that was committed in earlier terms (Figure 3).
    LeaderCompleteness,
    /// A committed entry never changes (Figure 3: State Machine Safety).
    CommittedImmutable,
    /// What is committed stands on the synced disks of a quorum of the configuration in force.
    CommittedDurableOnQuorum,
    /// A leader was elected by a quorum of durable votes, of both halves in a joint configuration.
    Quorum,
    /// Terms, votes, commit and applied indexes never go back.
    Monotonic,
    /// snapshot ≤ applied ≤ commit ≤ last, and no hole between snapshot and log.
    OrderOfIndexes,
    /// The configuration in force is the last one in the log.
    ConfigurationIsLastInLog,
    /// Equal logs give equal states.
    EqualStateHashes,
    /// Each committed command is applied once, and in order.
    ExactlyOnceApply,
    /// Logs, queues and windows stay within their bounds.
    ResourceBounds,
    /// Messages and bytes for each committed entry stay within a bound.
    AmplificationBound,
    /// Nothing panics.
    NoPanic,
    /// No server stops itself while its disk works.
    Halt,
    /// What a disk has synced is there at the next start, and nothing else that was not written.
    SyncedSurvives,
    /// A server starts from any disk that a crash can leave.
    Boots,
    /// What clients saw has one order that respects time.
    Linearizable,
    /// A key lives at least as long as it was told to.
    Ttl,
    /// After everything has healed the cluster works again, soon.
    LivenessAfterHeal,
    /// What another cluster says, or another version of the protocol, is not taken.
    ForeignersRefused,
    /// The same seed gives the same run.
    Deterministic,
    /// What the servers say of themselves fits the paper's Figure 3, for a reader that sees nothing else.
    SecondOpinion,
    /// A watch is told changes in their order, and none twice.
    WatchOrdered,
    /// A watch is told all changes from where it began, or that they are forgotten.
    WatchReliable,
    /// All changes of a revision are told together.
    WatchAtomic,
    /// Progress is told only when everything up to it was told.
    WatchBookmarkable,
    /// What was there before a change is told as it was.
    WatchPrevKv,
    /// A watch is told of nothing that it is not about.
    WatchFilters,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 29] = [
        Invariant::ElectionSafety,
        Invariant::LogMatching,
        Invariant::LeaderCompleteness,
        Invariant::CommittedImmutable,
        Invariant::CommittedDurableOnQuorum,
        Invariant::Quorum,
        Invariant::Monotonic,
        Invariant::OrderOfIndexes,
        Invariant::ConfigurationIsLastInLog,
        Invariant::EqualStateHashes,
        Invariant::ExactlyOnceApply,
        Invariant::ResourceBounds,
        Invariant::AmplificationBound,
        Invariant::NoPanic,
        Invariant::Halt,
        Invariant::SyncedSurvives,
        Invariant::Boots,
        Invariant::Linearizable,
        Invariant::Ttl,
        Invariant::LivenessAfterHeal,
        Invariant::ForeignersRefused,
        Invariant::Deterministic,
        Invariant::SecondOpinion,
        Invariant::WatchOrdered,
        Invariant::WatchReliable,
        Invariant::WatchAtomic,
        Invariant::WatchBookmarkable,
        Invariant::WatchPrevKv,
        Invariant::WatchFilters,
    ];

    /// Its name in reports, mutants and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Invariant::ElectionSafety => "election_safety",
            Invariant::LogMatching => "log_matching",
            Invariant::LeaderCompleteness => "leader_completeness",
            Invariant::CommittedImmutable => "committed_immutable",
            Invariant::CommittedDurableOnQuorum => "committed_durable_on_quorum",
            Invariant::Quorum => "quorum",
            Invariant::Monotonic => "monotonic",
            Invariant::OrderOfIndexes => "order_of_indexes",
            Invariant::ConfigurationIsLastInLog => "configuration_is_last_in_log",
            Invariant::EqualStateHashes => "equal_state_hashes",
            Invariant::ExactlyOnceApply => "exactly_once_apply",
            Invariant::ResourceBounds => "resource_bounds",
            Invariant::AmplificationBound => "amplification_bound",
            Invariant::NoPanic => "no_panic",
            Invariant::Halt => "halt",
            Invariant::SyncedSurvives => "synced_survives",
            Invariant::Boots => "boots",
            Invariant::Linearizable => "linearizable",
            Invariant::Ttl => "ttl",
            Invariant::LivenessAfterHeal => "liveness_after_heal",
            Invariant::ForeignersRefused => "foreigners_refused",
            Invariant::Deterministic => "deterministic",
            Invariant::SecondOpinion => "second_opinion",
            Invariant::WatchOrdered => "watch_ordered",
            Invariant::WatchReliable => "watch_reliable",
            Invariant::WatchAtomic => "watch_atomic",
            Invariant::WatchBookmarkable => "watch_bookmarkable",
            Invariant::WatchPrevKv => "watch_prev_kv",
            Invariant::WatchFilters => "watch_filters",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// At which server, if at one.
    pub node: Option<NodeId>,
    /// When, in virtual time.
    pub time: Time,
    /// What was seen.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.0 / 1_000_000_000;
        let micros = self.time.0 % 1_000_000_000 / 1_000;
        write!(f, "{} at {seconds}.{micros:06} s", self.invariant)?;
        if let Some(node) = self.node {
            write!(f, ", {node}")?;
        }
        write!(f, ": {}", self.sentence)
    }
}

/// Collects what did not hold: each invariant's first case.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) now: Time,
    pub(crate) violations: Vec<Violation>,
}

impl Findings {
    /// Notes a violation. The sentence is made only for the first one of its kind.
    pub(crate) fn report(
        &mut self,
        invariant: Invariant,
        node: Option<NodeId>,
        sentence: impl FnOnce() -> String,
    ) {
        if self.violations.iter().all(|known| known.invariant != invariant) {
            self.violations.push(Violation { invariant, node, time: self.now, sentence: sentence() });
        }
    }
}
