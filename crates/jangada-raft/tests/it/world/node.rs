//! One server of the world: the core, its disk, its state machine.

use core::time::Duration;
use std::collections::VecDeque;

use jangada_raft::config::Config;
use jangada_raft::event::RoleName;
use jangada_raft::types::{Index, NodeId, Term, Time};
use jangada_raft::{Raft, check_invariants};

use super::disk::{Disk, Job, Snapshot};
use super::machine::Machine;

/// A server, running or not.
pub(crate) struct Node {
    pub(crate) config: Config,
    /// `None` while it is down.
    pub(crate) raft: Option<Raft>,
    /// Which start this is: what an earlier one ordered comes to nothing.
    pub(crate) life: u64,
    /// What a crash leaves.
    pub(crate) disk: Disk,
    /// What the disk will hold when everything that was handed out is written.
    pub(crate) ahead: Disk,
    /// With the number of each job.
    pub(crate) writing: VecDeque<(u64, Job)>,
    pub(crate) jobs: u64,
    /// How long a write takes.
    pub(crate) disk_delay: (Duration, Duration),
    /// Writes wait until a script lets them go.
    pub(crate) disk_stalls: bool,
    pub(crate) disk_is_busy: bool,
    /// The snapshot that is being read for a follower: it stays readable when a newer one takes its place.
    pub(crate) reading: Option<Snapshot>,
    pub(crate) machine: Machine,
    /// What was handed out to be applied.
    pub(crate) committed: Index,
    /// Nothing happens here until then (a stopped process).
    pub(crate) paused_until: Time,
    /// Applying waits until a script lets it go.
    pub(crate) apply_stalls: bool,
    pub(crate) seen: Seen,
}

/// What was last seen of a running server: it only rises.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) term: Term,
    pub(crate) commit: Index,
}

impl Node {
    pub(crate) fn new(config: Config, disk: Disk) -> Node {
        Node {
            config,
            raft: None,
            life: 0,
            ahead: disk.clone(),
            disk,
            writing: VecDeque::new(),
            jobs: 0,
            disk_delay: (Duration::from_micros(100), Duration::from_millis(1)),
            disk_stalls: false,
            disk_is_busy: false,
            reading: None,
            machine: Machine::default(),
            committed: Index::ZERO,
            paused_until: Time::ZERO,
            apply_stalls: false,
            seen: Seen::default(),
        }
    }

    /// Begins a life with what the disk holds.
    pub(crate) fn start(&mut self, now: Time) {
        self.life += 1;
        let config = Config {
            first_sequence: self.life * 1_000_000,
            seed: self.config.seed.wrapping_add(self.life),
            ..self.config.clone()
        };
        let raft = Raft::restore(now, config, self.disk.recover());
        self.seen = Seen { term: raft.term(), commit: raft.commit_index() };
        assert_eq!(raft.term(), self.disk.hard_state.term, "a server remembers its term");
        assert_eq!(raft.role_name(), RoleName::Follower, "a server begins as a follower");
        assert_eq!(raft.last_index(), self.disk.last_index(), "a server remembers its log");
        self.machine = Machine::restore(&self.disk.snapshot);
        self.committed = self.disk.base();
        self.disk_is_busy = false;
        self.raft = Some(raft);
    }

    /// Ends it; what was under way to the disk is lost.
    pub(crate) fn stop(&mut self) {
        self.raft = None;
        self.reading = None;
        self.writing.clear();
        self.disk.forget_partial();
        self.ahead = self.disk.clone();
        self.paused_until = Time::ZERO;
    }

    /// While it is down, its disk is replaced by that of a founder.
    pub(crate) fn lose_all(&mut self) {
        self.disk = Disk::founding(self.disk.membership().clone());
        self.ahead = self.disk.clone();
    }

    /// When its timer rings.
    pub(crate) fn wakes_at(&self) -> Option<Time> {
        let deadline = self.raft.as_ref()?.next_deadline();
        (deadline < Time::NEVER).then(|| deadline.max(self.paused_until))
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.id
    }

    pub(crate) fn is_up(&self) -> bool {
        self.raft.is_some()
    }

    /// The core of a server that runs.
    pub(crate) fn raft(&self) -> &Raft {
        self.raft.as_ref().expect("the server runs")
    }

    pub(crate) fn leads(&self) -> bool {
        self.raft.as_ref().is_some_and(|raft| raft.role_name() == RoleName::Leader)
    }

    pub(crate) fn term(&self) -> Term {
        self.raft.as_ref().map_or(self.disk.hard_state.term, Raft::term)
    }

    pub(crate) fn commit_index(&self) -> Index {
        self.raft.as_ref().map_or(Index::ZERO, Raft::commit_index)
    }

    /// The core and what it has ordered from its disk agree, and nothing goes back.
    pub(crate) fn check(&mut self) {
        let Some(raft) = &self.raft else { return };
        check_invariants(raft);
        let (term, commit) = (raft.term(), raft.commit_index());
        assert!(term >= self.seen.term, "a term never falls");
        assert!(commit >= self.seen.commit, "a commit index never falls");
        assert_eq!(term, self.ahead.hard_state.term, "each new term is handed to the disk");
        assert!(self.machine.last_applied() <= commit, "only what is committed is applied");
        // While a whole snapshot is being written, the log in memory stands still.
        if !self.is_installing() {
            assert_eq!(raft.last_index(), self.ahead.last_index(), "the whole log is handed to the disk");
            assert_eq!(
                raft.membership(),
                self.ahead.membership(),
                "the last configuration in the log is in force"
            );
        }
        self.seen = Seen { term, commit };
    }

    fn is_installing(&self) -> bool {
        self.writing.iter().any(|(_, job)| job.installs())
    }

    /// The log in memory, entry for entry, is the one on the disk.
    pub(crate) fn check_log(&self) {
        let Some(raft) = self.raft.as_ref().filter(|_| !self.is_installing()) else { return };
        let from = self.ahead.base().next();
        let entries = raft.entries(from..=self.ahead.last_index());
        assert!(entries.eq(&self.ahead.entries), "{}: memory and disk hold one log", self.id());
    }
}
