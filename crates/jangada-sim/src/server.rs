//! One simulated server: a disk, and now and then a process on it.
//!
//! The process is the server's own code: `Replica`, `LogWriter`, `Wal` and the snapshot files. What stands here
//! and in `driver.rs` takes the place of two loops, the replica thread's and the log thread's, and decides as
//! little as they do.

use core::time::Duration;

use jangada_node::book::Book;
use jangada_node::effect::Input;
use jangada_node::event::DiskEvent;
use jangada_node::log_writer::{LogJob, LogWriter};
use jangada_node::replica::{Replica, ReplicaConfig};
use jangada_node::state_machine::StateMachine;
use jangada_raft::Watcher;
use jangada_raft::config::Config;
use jangada_raft::face::Recovered;
use jangada_raft::incarnation::Incarnation;
use jangada_raft::types::{ClusterId, Index, Membership, NodeId, SnapshotMeta, Time};
use jangada_wal::{Error, Wal, WalConfig};

use crate::check::Seen;
use crate::disk::SimDisk;
use crate::disk::synced::LogView;
use crate::observed::Observed;
use crate::plan::{Death, Moment, Plan, Profile};
use crate::standing::{Standing, book};

/// The cluster that all worlds simulate.
pub(crate) const CLUSTER: ClusterId = ClusterId(7);
/// After so long without a job the log comes to rest, as in the server's log thread.
pub(crate) const REST_AFTER: Duration = Duration::from_millis(250);

/// Bytes of the log that are kept while a follower receives a snapshot.
pub(crate) const KEEP_BYTES_DURING_TRANSFER: usize = 256 << 10;

/// A death that waits for its moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doom {
    pub(crate) at: Moment,
    pub(crate) death: Death,
    pub(crate) down: Duration,
}

/// A server, running or not.
pub(crate) struct Server<S: StateMachine> {
    pub(crate) id: NodeId,
    /// How often it has started.
    pub(crate) starts: u64,
    /// Which disk this is: a new one is another server under the same name.
    pub(crate) incarnation: u64,
    /// It has had a log: a missing one is an error from now on.
    pub(crate) log_begun: bool,
    pub(crate) process: Option<Box<Process<S>>>,
    /// What the log may say when it is read next; empty for anything.
    pub(crate) possible: Vec<LogView>,
    pub(crate) doom: Option<Doom>,
    /// Nobody starts it again.
    pub(crate) retired: bool,
}

/// The server's code at work.
pub(crate) struct Process<S: StateMachine> {
    pub(crate) replica: Replica<Observed<S>>,
    pub(crate) writer: LogWriter<SimDisk>,
    pub(crate) clock: Clock,
    pub(crate) inbox: Vec<Input<Observed<S>>>,
    /// Jobs that wait for the disk: the next group commit.
    pub(crate) jobs: Vec<LogJob>,
    /// Jobs that the disk is busy with.
    pub(crate) in_flight: Option<Vec<LogJob>>,
    pub(crate) idle_since: Time,
    /// The earliest alarm that is set.
    pub(crate) wake_at: Time,
    pub(crate) paused_until: Time,
    /// Since when its clock stands still.
    pub(crate) clock_stands_since: Option<Time>,
    pub(crate) seen: Seen,
    pub(crate) watcher: Watcher,
    pub(crate) standing: Standing,
    /// The number of what it says of itself.
    pub(crate) card: u32,
}

/// A process's own clock: it begins with the process, and may run fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) started: Time,
    /// How much too fast, in millionths.
    pub(crate) fast: u64,
}

const MILLION: u64 = 1_000_000;

impl Clock {
    /// It stood still for so long: as if the process had begun later.
    pub(crate) fn stood_still(&mut self, lasted: Duration) {
        self.started = self.started + lasted;
    }

    pub(crate) fn local(self, now: Time) -> Time {
        let elapsed = now.0 - self.started.0;
        Time(elapsed + elapsed / MILLION * self.fast + elapsed % MILLION * self.fast / MILLION)
    }

    /// When the clock will have reached `local`, at the earliest.
    pub(crate) fn global(self, local: Time) -> Time {
        if self.fast == 0 || local == Time::NEVER {
            return Time(local.0.saturating_add(self.started.0));
        }
        let elapsed = u128::from(local.0) * u128::from(MILLION) / u128::from(MILLION + self.fast) + 1;
        Time(u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(self.started.0))
    }
}

/// What a start needs to know.
pub(crate) struct Setup<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) now: Time,
    pub(crate) fast: u64,
}

/// What was found on the disk at a start.
pub(crate) struct Opened {
    pub(crate) view: LogView,
    pub(crate) torn_bytes: u64,
    pub(crate) snapshot: bool,
    /// The server's own record of it.
    pub(crate) event: DiskEvent,
}

impl<S: StateMachine> Server<S> {
    pub(crate) fn new(id: NodeId) -> Server<S> {
        Server {
            id,
            starts: 0,
            incarnation: 1,
            log_begun: false,
            process: None,
            possible: Vec::new(),
            doom: None,
            retired: false,
        }
    }

    /// Starts the process: reads the disk, and goes on from there (`run::open` of the server).
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(crate) fn start(
        &mut self,
        setup: &Setup<'_>,
        disk: &SimDisk,
        state: Observed<S>,
    ) -> Result<Opened, Error> {
        let plan = setup.plan;
        self.starts += 1;
        let identity = identity(self.id, self.incarnation);
        let config = WalConfig {
            create: !self.log_begun,
            segment_bytes: plan.settings.segment_bytes,
            fill_ahead_bytes: plan.settings.segment_bytes / 2,
            ..WalConfig::new(identity)
        };
        let (wal, found) = Wal::open(disk.clone(), config)?;
        self.log_begun = true;
        let snapshot = found.snapshot.clone().unwrap_or_else(|| founding(plan, self.id, self.incarnation));
        let event = DiskEvent::Opened {
            entries: found.entries.len() as u64,
            last: found.entries.last().map_or(snapshot.last_included_index, |entry| entry.index),
            snapshot: snapshot.last_included_index,
            torn_bytes: found.torn_bytes,
        };
        let view = LogView::of(found.hard_state, &found.snapshot.unwrap_or_default(), &found.entries);
        let has_snapshot = snapshot.last_included_index > Index::ZERO;
        let opened = Opened { view, torn_bytes: found.torn_bytes, snapshot: has_snapshot, event };
        let recovered = Recovered { hard_state: found.hard_state, snapshot, entries: found.entries };
        let raft = raft_config(plan, self.id, self.incarnation, self.starts);
        raft.validate().expect("plans draw sound settings");
        let replica = Replica::restore(Time::ZERO, raft, replica_config(plan), recovered, state);
        let clock = Clock { started: setup.now, fast: setup.fast };
        let seen = Seen::new(replica.raft());
        let standing = Standing::of(replica.raft(), self.incarnation);
        self.process = Some(Box::new(Process {
            replica,
            writer: LogWriter::new(disk.clone(), identity, wal),
            clock,
            inbox: Vec::new(),
            jobs: Vec::new(),
            in_flight: None,
            idle_since: setup.now,
            wake_at: Time::NEVER,
            paused_until: Time::ZERO,
            clock_stands_since: None,
            seen,
            watcher: Watcher::default(),
            standing,
            card: 0,
        }));
        Ok(opened)
    }
}

fn identity(id: NodeId, incarnation: u64) -> [u8; 16] {
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&id.0.to_le_bytes());
    identity[8..].copy_from_slice(&incarnation.to_le_bytes());
    identity
}

/// Before the first entry stands the configuration that the cluster was founded with; a server that joins later,
/// or comes back with a new disk, has none.
fn founding(plan: &Plan, id: NodeId, incarnation: u64) -> SnapshotMeta {
    if id.0 > plan.servers || incarnation > 1 {
        return SnapshotMeta::default();
    }
    let voters = || (1..=plan.servers).map(NodeId);
    let context = book(voters().map(|id| (id, 1)));
    let membership = Membership { context, ..Membership::of(voters()) };
    SnapshotMeta { membership: membership.into(), ..SnapshotMeta::default() }
}

/// A server's settings. `starts` counts the starts under its number, whatever the disk.
pub(crate) fn raft_config(plan: &Plan, id: NodeId, incarnation: u64, starts: u64) -> Config {
    let seed = plan.seed.wrapping_mul(31).wrapping_add(id.0 << 32 | starts);
    let base = match plan.profile {
        Profile::Default | Profile::Beyond => Config::new(id, CLUSTER, seed),
        Profile::Classic => Config::classic(id, CLUSTER, seed),
    };
    let settings = &plan.settings;
    Config {
        incarnation: Incarnation { number: incarnation, meant: Book::incarnation_meant },
        first_sequence: starts << 40 | 1,
        heartbeat_interval: settings.heartbeat,
        election_timeout_min: settings.election_timeout_min,
        election_timeout_max: settings.election_timeout_max,
        lease_reads: settings.lease_reads,
        commit_notice_after: Some(settings.commit_notice_after).filter(|after| !after.is_zero()),
        max_append_entries: settings.max_append_entries,
        max_inflight_messages: settings.max_inflight_messages,
        snapshot_chunk_bytes: settings.snapshot_part_bytes,
        keep_bytes_behind_snapshot: settings.keep_bytes_behind_snapshot,
        keep_bytes_during_transfer: KEEP_BYTES_DURING_TRANSFER,
        caught_up_entries: 8,
        max_command_bytes: settings.max_command_bytes.unwrap_or(base.max_command_bytes),
        ..base
    }
}

fn replica_config(plan: &Plan) -> ReplicaConfig {
    ReplicaConfig {
        snapshot_after_bytes: plan.settings.snapshot_after_bytes,
        snapshot_part_bytes: plan.settings.snapshot_part_bytes,
        ..ReplicaConfig::default()
    }
}
