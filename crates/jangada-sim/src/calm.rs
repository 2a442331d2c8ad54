//! Times in which nothing goes wrong, and how much a cluster may do then.
//!
//! A fault lasts for a while, and what it has set off (elections, repairs of logs, snapshots for those who are late) takes
//! some time more. Between such times there are windows in which a cluster has nothing to do but its work. In each of
//! them its messages, their bytes and the operations of its disks are counted, and must be in proportion to what was
//! committed and read: a storm of messages that hurts nobody's safety shows here.

use core::time::Duration;

use jangada_raft::types::{Index, Time};

use crate::check::Invariant;
use crate::coverage::Counter;
use crate::workload::Workload;
use crate::world::World;

/// How long it takes, beside an election timeout, until nothing is left of a fault.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);
/// How long a cluster is watched at a time.
const WINDOW: Duration = Duration::from_secs(2);
/// How often somebody looks whether a window can be opened.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Entries that a server may lack and not be late.
const NOT_LATE: u64 = 64;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Frames that were sent.
    pub(crate) messages: u64,
    /// Their bytes.
    pub(crate) message_bytes: u64,
    /// Operations of clients that began.
    pub(crate) operations: u64,
    /// Operations of all disks.
    pub(crate) disk_operations: u64,
    /// Bytes that were written to them.
    pub(crate) disk_bytes: u64,
    /// Snapshots that were written.
    pub(crate) snapshots: u64,
}

impl Work {
    fn since(self, before: Work) -> Work {
        Work {
            messages: self.messages - before.messages,
            message_bytes: self.message_bytes - before.message_bytes,
            operations: self.operations - before.operations,
            disk_operations: self.disk_operations.saturating_sub(before.disk_operations),
            disk_bytes: self.disk_bytes.saturating_sub(before.disk_bytes),
            snapshots: self.snapshots - before.snapshots,
        }
    }
}

/// Whether, and since when, nothing goes wrong.
#[derive(Debug)]
pub(crate) struct Calm {
    /// When something last went wrong or was put right; in the future if it is to last until then.
    disturbed_at: Time,
    window: Option<Window>,
    look_at: Time,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    opened: Time,
    committed: Index,
    late: Late,
    work: Work,
}

/// What servers are yet to be sent of what is committed already: of all of them together.
#[derive(Clone, Copy, Debug, Default)]
struct Late {
    entries: u64,
    bytes: u64,
}

impl Calm {
    /// A world begins.
    pub(crate) fn new() -> Calm {
        Calm { disturbed_at: Time::ZERO, window: None, look_at: Time::ZERO + LOOK_EVERY }
    }

    /// Something goes wrong until then.
    pub(crate) fn disturb(&mut self, until: Time) {
        self.disturbed_at = self.disturbed_at.max(until);
        self.window = None;
    }

    pub(crate) fn is_due(&self, now: Time) -> bool {
        now >= self.look_at
    }
}

impl<W: Workload> World<W> {
    /// Something goes wrong, or is put right, now and for so long.
    pub(crate) fn disturb(&mut self, lasts: Duration) {
        self.calm.disturb(self.now + lasts);
    }

    /// Since when nothing has gone wrong and one leader has led; `None` while something does.
    pub(crate) fn calm_since(&self) -> Option<Time> {
        let since = self.calm.disturbed_at;
        (since <= self.now && self.is_whole()).then_some(since)
    }

    /// Everybody is up and hears everybody, nothing bad is in store, and somebody leads one configuration.
    fn is_whole(&self) -> bool {
        // Who stays dead for good is missed by nobody any more.
        let doomed = self
            .servers
            .iter()
            .any(|server| (server.process.is_none() && !server.retired) || server.doom.is_some());
        let whole = !doomed && self.fragile.is_empty() && self.network.is_whole();
        let Some(leader) = self.leader().filter(|_| whole).and_then(|id| self.replica(id)) else {
            return false;
        };
        let raft = leader.raft();
        let settled = raft.membership().outgoing.is_none() && raft.membership().target.is_none();
        settled && raft.has_committed_own_term() && self.disks.iter().all(|disk| !disk.fault_is_pending())
    }

    /// Nobody is late, so that nobody is sent more than is new.
    fn nobody_is_late(&self) -> bool {
        let last = self.committed.last().0;
        self.running().all(|replica| {
            let raft = replica.raft();
            // Who is no member is told nothing.
            !raft.membership().contains(raft.id()) || replica.last_applied().0 + NOT_LATE >= last
        })
    }

    fn late(&self) -> Late {
        let sizes =
            self.running().map(|replica| self.committed.size_behind(replica.last_applied(), &self.logs));
        sizes.fold(Late::default(), |late, (entries, bytes)| Late {
            entries: late.entries + entries,
            bytes: late.bytes + bytes,
        })
    }

    fn work(&self) -> Work {
        Work {
            messages: self.messages,
            message_bytes: self.message_bytes,
            operations: self.operations,
            disk_operations: self.disks.iter().map(crate::disk::SimDisk::operations).sum(),
            disk_bytes: self.disks.iter().map(crate::disk::SimDisk::written_bytes).sum(),
            snapshots: self.coverage.of(Counter::SnapshotsTaken),
        }
    }

    /// Closes the window that is open, and opens one if nothing goes wrong.
    pub(crate) fn look_around(&mut self) {
        self.calm.look_at = self.now + LOOK_EVERY;
        match self.calm.window {
            Some(window) if self.now >= window.opened + WINDOW => {
                self.calm.window = None;
                self.check_amplification(window);
            }
            Some(_) => return,
            None => {}
        }
        let settled = self.plan.settings.election_timeout_max + SETTLES_WITHIN;
        if self.calm_since().is_some_and(|since| since + settled <= self.now) && self.nobody_is_late() {
            let (committed, late) = (self.committed.last(), self.late());
            self.calm.window = Some(Window { opened: self.now, committed, late, work: self.work() });
        }
    }

    fn check_amplification(&mut self, window: Window) {
        self.coverage.count(Counter::CalmWindows);
        let lasted = self.now.since(window.opened);
        let done = self.work().since(window.work);
        let (entries, bytes) = self.committed.size_behind(window.committed, &self.logs);
        let heartbeats = lasted.as_nanos() / self.plan.settings.heartbeat.as_nanos().max(1);
        let task = Task {
            servers: self.servers.len() as u64,
            heartbeats: u64::try_from(heartbeats).unwrap_or(u64::MAX),
            operations: done.operations,
            entries,
            bytes,
            late: window.late,
            snapshots: done.snapshots,
            largest: self.plan.settings.max_command_bytes.unwrap_or(0) as u64,
        };
        if let Some(what) = task.excess(done) {
            self.findings.report(Invariant::AmplificationBound, None, || {
                format!("{what} in {lasted:?} in which nothing went wrong, for {entries} entries of {bytes} bytes and {} \
                         operations of clients", done.operations)
            });
        }
    }
}

/// What a cluster had to do in a window.
#[derive(Clone, Copy, Debug)]
struct Task {
    servers: u64,
    heartbeats: u64,
    operations: u64,
    entries: u64,
    bytes: u64,
    late: Late,
    snapshots: u64,
    /// An answer that is passed on may hold a value of so many bytes that was written long before.
    largest: u64,
}

/// A log is written in pages of so many bytes.
const PAGE_BYTES: u64 = 4_096;

/// How much more than its share of the work a window may hold: twice what was ever seen of a cluster that does its work.
const ROOM: u64 = 2;

impl Task {
    /// The most that it takes. To each other server, there and back: each heartbeat, each entry, each operation (a read
    /// asks for a round, a write may be forwarded); whatever waits is sent together, so that most take less. Each entry
    /// is written and synced on each server, in whole pages, over zeros that were written before. What was committed
    /// before is sent to those alone who lack it.
    fn due(self) -> Work {
        let others = self.servers - 1;
        let messages =
            2 * others * (self.heartbeats + self.entries + self.operations) + 2 * self.operations + 8;
        let late = self.late;
        let messages = messages + 2 * late.entries;
        let logged = |entries: u64, bytes: u64| 2 * bytes + PAGE_BYTES * entries;
        let answers = self.largest * 4;
        Work {
            messages: ROOM * messages,
            message_bytes: ROOM * (160 * messages + 2 * (self.servers * self.bytes + late.bytes) + answers),
            operations: self.operations,
            disk_operations: ROOM
                * (self.servers * (2 * self.entries + self.operations + 2)
                    + 2 * late.entries
                    + 16 * self.snapshots
                    + 16),
            disk_bytes: ROOM
                * (self.servers * (logged(self.entries, self.bytes) + (64 << 10))
                    + logged(late.entries, late.bytes)
                    + self.snapshots * ((64 << 10) + 128 * self.largest)),
            snapshots: self.snapshots,
        }
    }

    /// What is more than that, in words.
    fn excess(self, done: Work) -> Option<String> {
        let due = self.due();
        let counts = [
            (done.messages, due.messages, "messages"),
            (done.message_bytes, due.message_bytes, "bytes of messages"),
            (done.disk_operations, due.disk_operations, "operations of disks"),
            (done.disk_bytes, due.disk_bytes, "bytes written to disks"),
        ];
        let (done, due, what) = counts.into_iter().find(|(done, due, _)| done > due)?;
        Some(format!("{done} {what}, at most {due} are due,"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Cut;
    use crate::plan::Who;

    const TASK: Task = Task {
        servers: 3,
        heartbeats: 40,
        operations: 50,
        entries: 30,
        bytes: 2_000,
        late: Late { entries: 0, bytes: 0 },
        snapshots: 0,
        largest: 0,
    };

    #[test]
    fn more_than_is_due_is_told_by_name() {
        let due = TASK.due();
        assert_eq!(TASK.excess(due), None);
        for (work, name) in [
            (Work { messages: due.messages + 1, ..due }, "messages"),
            (Work { message_bytes: due.message_bytes + 1, ..due }, "bytes of messages"),
            (Work { disk_operations: due.disk_operations + 1, ..due }, "operations of disks"),
            (Work { disk_bytes: due.disk_bytes + 1, ..due }, "bytes written to disks"),
        ] {
            assert!(TASK.excess(work).is_some_and(|what| what.contains(name)), "{name}");
        }
    }

    #[test]
    fn what_is_due_grows_with_what_is_committed() {
        let twice = Task { entries: 2 * TASK.entries, bytes: 2 * TASK.bytes, ..TASK };
        assert!(twice.due().messages > TASK.due().messages);
        assert!(twice.due().disk_bytes > TASK.due().disk_bytes);
    }

    #[test]
    fn what_one_server_lacks_is_due_once() {
        let task = Task { late: Late { entries: 10, bytes: 500 }, ..TASK };
        let (due, before) = (task.due(), TASK.due());
        assert_eq!(due.messages, before.messages + ROOM * 20);
        assert_eq!(due.disk_operations, before.disk_operations + ROOM * 20);
        assert_eq!(due.disk_bytes, before.disk_bytes + ROOM * (2 * 500 + 10 * PAGE_BYTES));
    }

    #[test]
    fn a_log_is_written_in_whole_pages_over_zeros() {
        // What five servers did for entries that came one by one, some of them larger than a segment.
        let task = Task { servers: 5, heartbeats: 40, operations: 51, entries: 35, bytes: 63_388, ..TASK };
        assert_eq!(task.excess(Work { disk_bytes: 1_695_136, ..Work::default() }), None);
        assert!(task.excess(Work { disk_bytes: 2 * 1_695_136, ..Work::default() }).is_some());
    }

    #[test]
    fn a_storm_in_calm_weather_is_noticed_and_one_in_a_fault_is_not() {
        let storm = |world: &mut World<crate::kv::Kv>| {
            world.run_for(Duration::from_millis(500));
            world.messages += 10_000;
            world.run_for(WINDOW);
            world.violations().first().map(|violation| violation.invariant)
        };
        let mut world = World::new(1).servers(3).quiet().build();
        world.run_for(Duration::from_secs(10));
        assert!(world.coverage().of(Counter::CalmWindows) >= 2, "nothing has gone wrong");
        assert_eq!(storm(&mut world), Some(Invariant::AmplificationBound));

        let mut world = World::new(1).servers(3).quiet().build();
        world.run_for(Duration::from_secs(10));
        let alone = Who::Server(jangada_raft::types::NodeId(3));
        let partition = world.part(&Cut::Isolate(alone));
        assert_eq!(storm(&mut world), None, "a fault is there");
        world.rejoin(partition);
        let windows = world.coverage().of(Counter::CalmWindows);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.coverage().of(Counter::CalmWindows), windows, "and has not died down");
    }
}
