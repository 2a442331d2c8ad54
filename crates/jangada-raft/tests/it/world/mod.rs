//! A world in memory: servers, a network, disks, time. One seed decides everything.
//!
//! Nothing here is part of Raft. The world hands the core its inputs, does what the core says must be done,
//! and after each step lets the checker look at all servers from above.

mod checker; // what must hold for all servers together
mod disk; // what survives a crash
mod machine; // the state machine
mod network; // delays, losses, partitions
mod node; // one server
mod script; // what scenarios say

use core::time::Duration;
use std::collections::BTreeMap;

use jangada_raft::Raft;
use jangada_raft::config::Config;
use jangada_raft::event::{Event, RoleName};
use jangada_raft::face::{Answer, Input, Output, Persist, ReadReady, SnapshotRequest};
use jangada_raft::message::{Message, Rpc};
use jangada_raft::rng::Rng;
use jangada_raft::types::{Entry, Index, NodeId, Payload, ReadId, Time};

pub(crate) use checker::Coverage;
use checker::{Checker, Committer};
use disk::Job;
pub(crate) use disk::{Disk, Snapshot};
use machine::Machine;
pub(crate) use network::{Network, chance};
pub(crate) use node::Node;
pub(crate) use script::{Until, command, entries, entry, ids, ms, refused};

/// The cluster that all servers of a world belong to.
pub(crate) const CLUSTER: jangada_raft::types::ClusterId = jangada_raft::types::ClusterId(7);

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) network: Network,
    pub(crate) checker: Checker,
    pub(crate) rng: Rng,
    /// How many inputs in a thousand wait a little, so that several share one output.
    pub(crate) lazy: u64,
    /// Who has just sent something that is not a heartbeat: a good moment for a crash.
    pub(crate) has_spoken: Option<NodeId>,
    /// Everything that was sent, if a script wants to know.
    pub(crate) record: Option<Vec<Message>>,
    /// Everything that happened, if a script wants to know.
    pub(crate) events: Option<Vec<(NodeId, Event)>>,
    agenda: BTreeMap<(Time, u64), Deed>,
    deeds: u64,
    next_read: u64,
    reads: BTreeMap<ReadId, Asked>,
    answers: BTreeMap<ReadId, ReadReady>,
    steps_at_now: u32,
    is_traced: bool,
}

/// Something that is going to happen.
#[derive(Debug)]
enum Deed {
    Deliver(Box<Message>),
    Drain(NodeId, u64),
    Written(NodeId, u64, u64),
    ReadChunk(NodeId, u64, SnapshotRequest),
}

impl Deed {
    /// Where, and in which life; a message arrives in any.
    fn place(&self) -> (NodeId, Option<u64>) {
        match self {
            Deed::Deliver(message) => (message.to, None),
            Deed::Drain(id, life) | Deed::Written(id, life, _) | Deed::ReadChunk(id, life, _) => {
                (*id, Some(*life))
            }
        }
    }
}

/// A read that has no answer yet.
struct Asked {
    node: NodeId,
    /// What was committed anywhere when it was asked: it must see at least that.
    floor: Index,
}

impl World {
    /// Servers that run from now on, with these disks.
    pub(crate) fn of(seed: u64, disks: BTreeMap<NodeId, Disk>, config: impl Fn(NodeId) -> Config) -> World {
        let mut world = World {
            now: Time::ZERO,
            nodes: BTreeMap::new(),
            network: Network::new(),
            checker: Checker::default(),
            rng: Rng::new(seed),
            lazy: 0,
            has_spoken: None,
            record: None,
            events: None,
            agenda: BTreeMap::new(),
            deeds: 0,
            next_read: 0,
            reads: BTreeMap::new(),
            answers: BTreeMap::new(),
            steps_at_now: 0,
            is_traced: std::env::var("JANGADA_TRACE").is_ok(),
        };
        for (id, disk) in disks {
            world.add_node(config(id), disk);
        }
        world
    }

    /// One more server, which starts at once.
    pub(crate) fn add_node(&mut self, config: Config, disk: Disk) {
        config.validate().expect("a sound configuration");
        let id = config.id;
        self.checker.on_log(&disk);
        self.nodes.insert(id, Node::new(config, disk));
        self.restart(id);
    }

    // ---- Time ---------------------------------------------------------------------------------------------

    /// The next thing happens. `false` if nothing will ever happen again.
    pub(crate) fn step(&mut self) -> bool {
        let timer = self.nodes.values().filter_map(Node::wakes_at).min();
        let deed = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = timer.into_iter().chain(deed).min() else { return false };
        self.has_spoken = None;
        self.steps_at_now = if at > self.now { 0 } else { self.steps_at_now + 1 };
        assert!(self.steps_at_now < 100_000, "time goes on");
        self.now = self.now.max(at);
        if deed.is_some_and(|deed| deed <= at) {
            let (_, deed) = self.agenda.pop_first().expect("it was there just now");
            self.perform(deed);
        } else {
            let due = |node: &&Node| node.wakes_at().is_some_and(|wakes_at| wakes_at <= self.now);
            let due: Vec<NodeId> = self.nodes.values().filter(due).map(Node::id).collect();
            for id in due {
                self.input(id, Input::TimePassed);
            }
        }
        true
    }

    fn schedule(&mut self, after: Duration, deed: Deed) {
        self.deeds += 1;
        self.agenda.insert((self.now + after, self.deeds), deed);
    }

    fn perform(&mut self, deed: Deed) {
        let (id, life) = deed.place();
        let Some(node) = self.nodes.get(&id).filter(|node| node.is_up()) else { return };
        if life.is_some_and(|life| life != node.life) {
            return;
        }
        if node.paused_until > self.now {
            let wait = node.paused_until.since(self.now);
            return self.schedule(wait, deed);
        }
        match deed {
            Deed::Deliver(message) => {
                self.trace(|| {
                    format!("  {} <- {} {:?} {:?}", message.to, message.from, message.term, message.rpc)
                });
                self.input(id, Input::Receive(*message));
            }
            Deed::Drain(..) => self.drain(id),
            Deed::Written(_, _, number) => self.end_sync(id, number),
            Deed::ReadChunk(_, _, request) => self.read_chunk(id, request),
        }
    }

    // ---- A server -----------------------------------------------------------------------------------------

    /// Tells a running server something, and does what it then wants to be done.
    pub(crate) fn input(&mut self, id: NodeId, input: Input) -> Answer {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a server of this world");
        let answer = node.raft.as_mut().expect("the server runs").handle(now, input);
        let life = node.life;
        if chance(&mut self.rng, self.lazy) {
            let wait = self.rng.duration_between(Duration::ZERO, ms(2));
            self.schedule(wait, Deed::Drain(id, life));
        } else {
            self.drain(id);
        }
        answer
    }

    /// Takes what the core wants to be done, until it wants nothing any more.
    fn drain(&mut self, id: NodeId) {
        for _ in 0..1_000 {
            let mut output = Output::default();
            self.core(id).take_output(&mut output);
            if output == Output::default() {
                self.nodes.get_mut(&id).expect("it runs").check();
                return;
            }
            self.follow(id, output);
        }
        panic!("{id} always wants something more");
    }

    /// From now on, nobody is lazy any more.
    pub(crate) fn drain_all(&mut self) {
        self.lazy = 0;
        let running: Vec<NodeId> = self.nodes.values().filter(|node| node.is_up()).map(Node::id).collect();
        for id in running {
            self.drain(id);
        }
    }

    fn core(&mut self, id: NodeId) -> &mut Raft {
        self.nodes.get_mut(&id).and_then(|node| node.raft.as_mut()).expect("the server runs")
    }

    fn follow(&mut self, id: NodeId, output: Output) {
        let Output { persist, send, committed, install, reads, snapshot_requests, events } = output;
        let membership = self.nodes[&id].ahead.membership().clone();
        self.checker.on_truncations(&self.nodes[&id], &events);
        if let Some(persist) = persist {
            self.persist(id, persist);
        }
        if let Some(meta) = install {
            let node = self.nodes.get_mut(&id).expect("it runs");
            assert_eq!(node.disk.snapshot.meta, meta, "a snapshot is durable before it is installed");
            node.machine = Machine::restore(&node.disk.snapshot);
            self.checker.coverage.installs += 1;
            self.checker.on_applied(id, &node.machine, Index::ZERO);
        }
        self.witness(Committer { id, term: self.nodes[&id].seen.term, membership }, &events);
        if let Some(range) = committed {
            assert_eq!(*range.end(), self.nodes[&id].commit_index(), "all that is committed is handed out");
            self.nodes.get_mut(&id).expect("it runs").committed = *range.end();
            self.apply(id);
        }
        for read in reads {
            self.on_read_ready(read);
        }
        for request in snapshot_requests {
            let (life, wait) = (self.nodes[&id].life, self.rng.duration_between(Duration::ZERO, ms(1)));
            self.schedule(wait, Deed::ReadChunk(id, life, request));
        }
        for message in send {
            self.send(id, message);
        }
    }

    /// Looks at what happened, in its order.
    fn witness(&mut self, mut by: Committer, events: &[Event]) {
        let id = by.id;
        for event in events {
            self.trace(|| format!("{id} {event:?}"));
            if let Some(record) = &mut self.events {
                record.push((id, *event));
            }
            match *event {
                Event::RoleChanged { role: RoleName::Leader, term, .. } => {
                    let node = &self.nodes[&id];
                    self.checker.on_leader(id, term, &node.disk, &node.ahead);
                }
                Event::RoleChanged { why: jangada_raft::event::RoleChange::Removed, .. } => {
                    self.checker.coverage.removed_leaders += 1;
                }
                Event::MembershipChanged { index, .. } => {
                    let ahead = &self.nodes[&id].ahead;
                    by.membership = match ahead.entry(index).map(|entry| &entry.payload) {
                        Some(Payload::Membership(membership)) => membership.as_ref().clone(),
                        _ => ahead.membership().clone(),
                    };
                }
                Event::Committed { index, term } => {
                    by.term = term;
                    self.on_committed(&by, index);
                }
                Event::ReadConfirmed { round: 0, .. } => self.checker.coverage.lease_reads += 1,
                Event::TransferStarted { .. } => self.checker.coverage.transfers += 1,
                Event::TransferAborted { .. } => self.checker.coverage.aborted_transfers += 1,
                _ => {}
            }
        }
    }

    fn on_committed(&mut self, by: &Committer, index: Index) {
        let node = &self.nodes[&by.id];
        self.checker.on_commit_index(
            by,
            index,
            node.raft().entries(index..=index).next().map(|entry| entry.term),
        );
        let from = node.seen.commit.next();
        let entries: Vec<Entry> = node.raft().entries(from..=index).cloned().collect();
        for entry in entries {
            self.checker.on_committed(by, &entry, &self.nodes);
        }
    }

    fn apply(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("it runs");
        if node.apply_stalls || node.machine.last_applied() >= node.committed {
            return;
        }
        let raft = node.raft.as_mut().expect("it runs");
        let before = node.machine.last_applied();
        for entry in raft.entries(before.next()..=node.committed) {
            node.machine.apply(entry);
        }
        assert_eq!(node.machine.last_applied(), node.committed, "what is not applied yet is still there");
        raft.handle(self.now, Input::Applied(node.committed));
        self.checker.on_applied(id, &node.machine, before);
    }

    // ---- Disk ---------------------------------------------------------------------------------------------

    fn persist(&mut self, id: NodeId, persist: Persist) {
        let node = &self.nodes[&id];
        // A whole snapshot cuts off what contradicts it here, and says so when it is durable.
        if let (Some(from), Some(_)) = (persist.truncate_from, &persist.snapshot_chunk) {
            self.checker.on_truncation(node, node.term(), from..=node.ahead.last_index());
        }
        let cut = persist.truncate_from.map_or(node.ahead.last_index(), Index::previous);
        let mut previous = node.ahead.term_at(cut);
        for entry in &persist.entries {
            self.checker.on_entry(entry, previous.expect("entries follow the log's last one"));
            previous = Some(entry.term);
        }
        self.order(id, Job::Persist(persist));
    }

    /// The disk writes one thing after the other, and all that waits with one sync.
    fn order(&mut self, id: NodeId, job: Job) {
        let node = self.nodes.get_mut(&id).expect("it runs");
        node.ahead.write(&job);
        node.jobs += 1;
        node.writing.push_back((node.jobs, job));
        if !node.disk_stalls && !node.disk_is_busy {
            self.begin_sync(id);
        }
    }

    fn begin_sync(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("it runs");
        let (least, most) = node.disk_delay;
        let (life, number) = (node.life, node.jobs);
        node.disk_is_busy = true;
        let wait = self.rng.duration_between(least, most);
        self.schedule(wait, Deed::Written(id, life, number));
    }

    fn end_sync(&mut self, id: NodeId, number: u64) {
        self.disk_done(id, number);
        let node = self.nodes.get_mut(&id).expect("it runs");
        node.disk_is_busy = false;
        if !node.disk_stalls && !node.writing.is_empty() {
            self.begin_sync(id);
        }
    }

    /// The disk has written everything up to this job.
    pub(crate) fn disk_done(&mut self, id: NodeId, number: u64) {
        let node = self.nodes.get_mut(&id).expect("a server of this world");
        let (mut persisted, mut taken) = (None, None);
        while let Some((_, job)) = node.writing.pop_front_if(|(of_job, _)| *of_job <= number) {
            node.disk.write(&job);
            match job {
                Job::Persist(persist) => persisted = Some(persist.id),
                Job::Snapshot(snapshot) => taken = Some(snapshot.meta),
            }
        }
        if let Some(persist) = persisted {
            self.input(id, Input::Persisted(persist));
        }
        if let Some(meta) = taken {
            self.input(id, Input::SnapshotTaken(meta));
        }
    }

    /// Orders a snapshot of the state machine as it is now.
    pub(crate) fn take_snapshot(&mut self, id: NodeId) {
        let node = &self.nodes[&id];
        let snapshot = node.machine.snapshot();
        if node.is_up() && snapshot.meta.last_included_index > node.ahead.base() {
            self.order(id, Job::Snapshot(snapshot));
        }
    }

    fn read_chunk(&mut self, id: NodeId, request: SnapshotRequest) {
        let SnapshotRequest { to, last_included_index, offset, max_bytes } = request;
        let node = self.nodes.get_mut(&id).expect("it runs");
        let is_wanted = |snapshot: &Snapshot| snapshot.meta.last_included_index == last_included_index;
        if !node.reading.as_ref().is_some_and(is_wanted) {
            node.reading = Some(node.disk.snapshot.clone());
        }
        let Snapshot { meta, data } = node.reading.clone().expect("it was set just now");
        // The snapshot that was asked for may be gone; then the answer is a part of the newer one, or none.
        if meta.last_included_index != last_included_index && chance(&mut self.rng, 500) {
            return;
        }
        let Some((data, done)) = machine::chunk(&data, offset, max_bytes) else { return };
        self.input(id, Input::SnapshotChunk { to, meta, offset, data, done });
    }

    // ---- Network and reads --------------------------------------------------------------------------------

    fn send(&mut self, id: NodeId, message: Message) {
        assert_eq!(message.from, id, "nobody speaks in another's name");
        self.checker.on_send(&self.nodes[&id], &message);
        let is_heartbeat = matches!(&message.rpc, Rpc::AppendEntries(append) if append.entries.is_empty());
        if !is_heartbeat {
            self.has_spoken = Some(id);
        }
        if let Some(record) = &mut self.record {
            record.push(message.clone());
        }
        for delay in self.network.delays(&mut self.rng, &message) {
            self.schedule(delay, Deed::Deliver(Box::new(message.clone())));
        }
    }

    /// A client asks this server for a linearizable read.
    pub(crate) fn read(&mut self, id: NodeId) -> ReadId {
        self.next_read += 1;
        let read = ReadId(self.next_read);
        self.reads.insert(read, Asked { node: id, floor: self.checker.committed() });
        self.input(id, Input::Read(read));
        read
    }

    fn on_read_ready(&mut self, ready: ReadReady) {
        let asked = self.reads.remove(&ready.id).expect("a read is answered once");
        match ready.index {
            Ok(index) => {
                self.checker.coverage.reads += 1;
                self.checker.coverage.forwarded_reads += u64::from(!self.nodes[&asked.node].leads());
                assert!(index >= asked.floor, "a read sees all that was committed when it was asked");
                assert!(index <= self.checker.committed(), "a read sees only what is committed");
            }
            Err(_) => self.checker.coverage.refused_reads += 1,
        }
        self.answers.insert(ready.id, ready);
    }

    // ---- Crashes ------------------------------------------------------------------------------------------

    /// The power fails. Of what the disk was writing, some may have reached it and some not.
    pub(crate) fn crash(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("a server of this world");
        let whole = usize::try_from(self.rng.next_u64() % (node.writing.len() as u64 + 1)).expect("small");
        for (_, job) in node.writing.drain(..whole) {
            node.disk.write(&job);
        }
        if let Some((_, job)) = node.writing.pop_front() {
            let is_torn = node.disk.tear(&job, &mut self.rng);
            self.checker.coverage.torn_writes += u64::from(is_torn);
        }
        self.stop(id);
    }

    /// The power fails, and nothing of what the disk was writing has reached it.
    pub(crate) fn crash_before_writing(&mut self, id: NodeId) {
        self.stop(id);
    }

    fn stop(&mut self, id: NodeId) {
        self.trace(|| format!("{id} crashes"));
        self.checker.coverage.crashes += 1;
        self.reads.retain(|_, asked| asked.node != id);
        self.nodes.get_mut(&id).expect("a server of this world").stop();
    }

    /// A server starts with what its disk holds.
    pub(crate) fn restart(&mut self, id: NodeId) {
        self.trace(|| format!("{id} starts"));
        let node = self.nodes.get_mut(&id).expect("a server of this world");
        assert!(!node.is_up(), "a server runs once");
        node.start(self.now);
        let node = &self.nodes[&id];
        self.checker.on_log(&node.disk);
        self.checker.on_applied(id, &node.machine, Index::ZERO);
        self.drain(id);
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:>12.6} {}", self.now.0 as f64 / 1e9, line());
        }
    }
}
