//! A small deterministic world for whole servers: a network, disks, a clock, and a watchful eye.
//!
//! Nothing here is random but what the seed says. The world jumps from one event to the next; after each of
//! them it checks what must hold in each server and between them: one leader in a term, one entry at each
//! committed index, committed entries on the disks of a majority, reads that see what was committed before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use jangada_raft::config::Config;
use jangada_raft::event::{Event, RoleName};
use jangada_raft::face::{MembershipChange, Persist, SnapshotRequest};
use jangada_raft::message::Message;
use jangada_raft::rng::Rng;
use jangada_raft::types::{
    ClusterId, Entry, HardState, Index, Membership, NodeId, Payload, PersistId, ReadId, SnapshotMeta, Term,
    Time,
};
use jangada_raft::{Answer, Input, Output, Raft, Recovered, check_invariants, quorum};

pub(crate) const CLUSTER: ClusterId = ClusterId(7);

/// What the network and the disks do wrong. Parts of a thousand.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) drop: u64,
    pub(crate) duplicate: u64,
    pub(crate) min_delay: Duration,
    pub(crate) max_delay: Duration,
    pub(crate) min_disk: Duration,
    pub(crate) max_disk: Duration,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            drop: 0,
            duplicate: 0,
            min_delay: Duration::from_micros(100),
            max_delay: Duration::from_micros(200),
            min_disk: Duration::from_micros(80),
            max_disk: Duration::from_micros(120),
        }
    }
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) recovered: Recovered,
    /// The state machine as of the snapshot.
    pub(crate) snapshot_state: Vec<Bytes>,
    partial: Vec<u8>,
}

/// One server with its disk and its state machine.
pub(crate) struct Node {
    /// `None` while it is crashed.
    pub(crate) raft: Option<Raft>,
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    /// Handed out and not yet durable, with the time when each will be. `None`: the disk hangs.
    writing: VecDeque<(Time, Persist)>,
    pub(crate) disk_hangs: bool,
    /// The commands that were applied, in order.
    pub(crate) state: Vec<Bytes>,
    pub(crate) applied: Index,
    pub(crate) events: Vec<Event>,
    pub(crate) reads: BTreeMap<ReadId, Result<Index, jangada_raft::face::Refusal>>,
    starts: u64,
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) faults: Faults,
    /// Pairs (from, to) that no message passes.
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    /// Take a snapshot when the log counts for more than this.
    pub(crate) snapshot_above_bytes: usize,
    pub(crate) rng: Rng,
    pub(crate) seed: u64,
    on_the_way: BTreeMap<(Time, u64), Message>,
    sent: u64,
    /// Messages seen, by kind, for tests that count.
    pub(crate) log: Vec<Message>,
    pub(crate) keep_log: bool,
    leaders: BTreeMap<Term, NodeId>,
    pub(crate) committed: BTreeMap<Index, Entry>,
    reads: BTreeMap<ReadId, Index>,
    next_read: u64,
    /// The configuration of the server that is at work, before its present input.
    in_force_before: Membership,
    out: Output,
}

pub(crate) fn n(id: u64) -> NodeId {
    NodeId(id)
}

pub(crate) fn ids(ids: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    /// A fresh cluster of `n1` to `n<count>`.
    pub(crate) fn new(count: u64, seed: u64) -> World {
        World::with(count, seed, |config| config)
    }

    /// The same, each server set up by `set_up`.
    pub(crate) fn with(count: u64, seed: u64, set_up: impl Fn(Config) -> Config) -> World {
        let mut world = World {
            now: Time::ZERO,
            nodes: BTreeMap::new(),
            faults: Faults::default(),
            cut: BTreeSet::new(),
            snapshot_above_bytes: usize::MAX,
            rng: Rng::new(seed),
            seed,
            on_the_way: BTreeMap::new(),
            sent: 0,
            log: Vec::new(),
            keep_log: false,
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            reads: BTreeMap::new(),
            next_read: 1,
            in_force_before: Membership::default(),
            out: Output::default(),
        };
        let membership = Membership::of(ids(1..=count));
        for id in 1..=count {
            world.add(set_up(Config::new(n(id), CLUSTER, seed)), membership.clone());
        }
        world
    }

    /// A server that starts for the first time; with the empty membership, one that waits to be added.
    pub(crate) fn add(&mut self, config: Config, membership: Membership) {
        config.validate().expect("a config that works");
        let mut disk = Disk::default();
        disk.recovered.snapshot.membership = membership.into();
        let node = Node {
            raft: None,
            disk,
            writing: VecDeque::new(),
            disk_hangs: false,
            state: Vec::new(),
            applied: Index::ZERO,
            events: Vec::new(),
            reads: BTreeMap::new(),
            starts: 0,
            config,
        };
        let id = node.config.id;
        self.nodes.insert(id, node);
        self.start(id);
    }

    /// A server that is to be added later: it knows nobody.
    pub(crate) fn add_joiner(&mut self, id: u64) {
        let config =
            Config { id: n(id), ..self.nodes.values().next().expect("a first server").config.clone() };
        self.add(config, Membership::default());
    }

    // ---- Crashes --------------------------------------------------------------------------------------

    /// The server stops at once. What its disk had not confirmed is lost, or in part there all the same.
    pub(crate) fn crash(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("a server");
        node.raft = None;
        let mut kept = self.rng.next_u64() % 4;
        for (_, persist) in std::mem::take(&mut node.writing) {
            if kept == 0 {
                node.disk.write_part(&persist, self.rng.next_u64());
                break;
            }
            kept -= 1;
            node.disk.write(&persist);
        }
        node.disk.partial.clear();
    }

    pub(crate) fn start(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a server");
        assert!(node.raft.is_none(), "it runs already");
        node.starts += 1;
        let first_sequence = node.starts << 32;
        let config = Config { first_sequence, ..node.config.clone() };
        node.state = node.disk.snapshot_state.clone();
        node.applied = node.disk.recovered.snapshot.last_included_index;
        node.raft = Some(Raft::restore(now, config, node.disk.recovered.clone()));
        self.after(id);
    }

    pub(crate) fn restart(&mut self, id: NodeId) {
        self.crash(id);
        self.start(id);
    }

    /// Nothing passes between the two groups, in either direction.
    pub(crate) fn partition(&mut self, one: impl IntoIterator<Item = u64> + Clone) {
        let one = ids(one);
        for a in self.nodes.keys() {
            for b in self.nodes.keys() {
                if one.contains(a) != one.contains(b) {
                    self.cut.insert((*a, *b));
                }
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    // ---- Inputs ---------------------------------------------------------------------------------------

    pub(crate) fn raft(&self, id: NodeId) -> &Raft {
        self.nodes[&id].raft.as_ref().expect("it runs")
    }

    pub(crate) fn is_up(&self, id: NodeId) -> bool {
        self.nodes[&id].raft.is_some()
    }

    /// Gives a server one input, and does what comes out.
    pub(crate) fn handle(&mut self, id: NodeId, input: Input) -> Answer {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a server");
        let raft = node.raft.as_mut().expect("it runs");
        self.in_force_before = raft.membership().clone();
        let answer = raft.handle(now, input);
        check_invariants(raft);
        self.after(id);
        answer
    }

    pub(crate) fn propose(&mut self, id: NodeId, command: impl Into<Vec<u8>>) -> Answer {
        self.handle(id, Input::Propose(Bytes::from(command.into())))
    }

    pub(crate) fn change(
        &mut self,
        id: NodeId,
        voters: impl IntoIterator<Item = u64>,
        learners: impl IntoIterator<Item = u64>,
    ) -> Answer {
        let change = MembershipChange { voters: ids(voters), learners: ids(learners), context: Bytes::new() };
        self.handle(id, Input::ChangeMembership(change))
    }

    /// Begins a read; whatever is committed anywhere by now must be seen by it.
    pub(crate) fn read(&mut self, id: NodeId) -> ReadId {
        let read = ReadId(self.next_read);
        self.next_read += 1;
        let committed = self.committed.keys().next_back().copied().unwrap_or_default();
        self.reads.insert(read, committed);
        self.handle(id, Input::Read(read));
        read
    }

    // ---- The course of events -------------------------------------------------------------------------

    /// The next thing happens. `false` if nothing ever will.
    pub(crate) fn step(&mut self) -> bool {
        let message = self.on_the_way.keys().next().copied();
        let disk = self
            .nodes
            .iter()
            .filter(|(_, node)| !node.disk_hangs)
            .filter_map(|(id, node)| node.writing.front().map(|(at, _)| (*at, *id)))
            .min();
        let timer = self
            .nodes
            .iter()
            .filter_map(|(id, node)| node.raft.as_ref().map(|raft| (raft.next_deadline(), *id)))
            .filter(|(at, _)| *at < Time::NEVER)
            .min();
        let at = [message.map(|(at, _)| at), disk.map(|(at, _)| at), timer.map(|(at, _)| at)];
        let Some(next) = at.into_iter().flatten().min() else { return false };
        self.now = self.now.max(next);
        if let Some(key) = message.filter(|(at, _)| *at == next) {
            let message = self.on_the_way.remove(&key).expect("it is on the way");
            let (from, to) = (message.from, message.to);
            let passes = !self.cut.contains(&(from, to));
            if passes && self.nodes.get(&to).is_some_and(|node| node.raft.is_some()) {
                self.handle(to, Input::Receive(message));
            }
        } else if let Some((_, id)) = disk.filter(|(at, _)| *at == next) {
            self.finish_write(id);
        } else if let Some((_, id)) = timer {
            self.handle(id, Input::TimePassed);
        }
        true
    }

    /// The oldest write of a server becomes durable.
    pub(crate) fn finish_write(&mut self, id: NodeId) -> Option<PersistId> {
        let node = self.nodes.get_mut(&id).expect("a server");
        let (_, persist) = node.writing.pop_front()?;
        node.disk.write(&persist);
        self.handle(id, Input::Persisted(persist.id));
        Some(persist.id)
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let next = self.next_event();
            if next > until || !self.step() {
                break;
            }
        }
        self.now = until;
    }

    /// Runs until it is so; panics if it is not within the time.
    #[track_caller]
    pub(crate) fn run_until(&mut self, limit: Duration, is_so: impl Fn(&World) -> bool) {
        let until = self.now + limit;
        while !is_so(self) {
            assert!(self.now <= until, "seed {}: not within {limit:?}\n{}", self.seed, self.picture());
            assert!(self.step(), "seed {}: nothing happens any more", self.seed);
        }
    }

    fn next_event(&self) -> Time {
        let message = self.on_the_way.keys().next().map(|(at, _)| *at);
        let disk = self.nodes.values().filter(|node| !node.disk_hangs);
        let disk = disk.filter_map(|node| node.writing.front().map(|(at, _)| *at)).min();
        let timer = self.nodes.values().filter_map(|node| node.raft.as_ref().map(Raft::next_deadline)).min();
        [message, disk, timer].into_iter().flatten().min().unwrap_or(Time::NEVER)
    }

    /// Runs until somebody leads whom a majority hears, and has committed an entry of its own.
    #[track_caller]
    pub(crate) fn elect(&mut self) -> NodeId {
        self.run_until(ms(20_000), |world| world.leader().is_some());
        self.leader().expect("just elected")
    }

    /// The leader of the highest term, once it has committed in it.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let up = self.nodes.values().filter_map(|node| node.raft.as_ref());
        let leads = up.filter(|raft| raft.role_name() == RoleName::Leader);
        let highest = leads.max_by_key(|raft| raft.term())?;
        highest.has_committed_own_term().then(|| highest.id())
    }

    /// There is a leader, and all that run have applied its whole log.
    pub(crate) fn is_in_step(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let last = self.raft(leader).last_index();
        let mut up = self.nodes.values().filter(|node| node.raft.is_some());
        up.all(|node| node.applied == last)
    }

    pub(crate) fn picture(&self) -> String {
        let mut picture = String::new();
        for (id, node) in &self.nodes {
            match &node.raft {
                None => picture += &format!("{id}: crashed\n"),
                Some(raft) => {
                    picture += &format!(
                        "{id}: {:?} term {} leader {:?} log {}..={} commit {} durable {} members {:?} reads {:?}\n",
                        raft.role_name(),
                        raft.term(),
                        raft.leader(),
                        raft.first_index(),
                        raft.last_index(),
                        raft.commit_index(),
                        raft.durable_index(),
                        raft.membership(),
                        node.reads,
                    );
                }
            }
        }
        picture
    }

    // ---- What comes out -------------------------------------------------------------------------------

    fn after(&mut self, id: NodeId) {
        let mut out = std::mem::take(&mut self.out);
        let node = self.nodes.get_mut(&id).expect("a server");
        let raft = node.raft.as_mut().expect("it runs");
        raft.take_output(&mut out);
        check_invariants(raft);
        if raft.role_name() == RoleName::Leader {
            let leads = *self.leaders.entry(raft.term()).or_insert(id);
            assert_eq!(leads, id, "seed {}: election safety in term {}", self.seed, raft.term());
        }
        node.events.append(&mut out.events);
        if let Some(persist) = out.persist.take() {
            let span = self.rng.duration_between(self.faults.min_disk, self.faults.max_disk);
            let previous = node.writing.back().map_or(Time::ZERO, |(at, _)| *at);
            node.writing.push_back(((self.now + span).max(previous), persist));
        }
        if let Some(meta) = out.install.take() {
            assert!(meta.last_included_index > node.applied, "the state never goes back in time");
            assert_eq!(meta, node.disk.recovered.snapshot, "what is installed is durable");
            node.state = node.disk.snapshot_state.clone();
            node.applied = meta.last_included_index;
        }
        let requests = std::mem::take(&mut out.snapshot_requests);
        let send = std::mem::take(&mut out.send);
        let reads = std::mem::take(&mut out.reads);
        let committed = out.committed.clone();
        self.out = out;
        for message in send {
            self.post(message);
        }
        for ready in reads {
            let needed = self.reads[&ready.id];
            if let Ok(index) = ready.index {
                assert!(index >= needed, "seed {}: a stale read: {index} instead of {needed}", self.seed);
            }
            let before = self.nodes.get_mut(&id).expect("a server").reads.insert(ready.id, ready.index);
            assert!(before.is_none(), "a read is answered once");
        }
        if let Some(range) = committed {
            self.apply(id, *range.start(), *range.end());
        }
        for request in requests {
            self.serve(id, request);
        }
    }

    fn post(&mut self, message: Message) {
        if self.keep_log {
            self.log.push(message.clone());
        }
        let copies = if self.rng.next_u64() % 1_000 < self.faults.duplicate { 2 } else { 1 };
        for _ in 0..copies {
            if self.rng.next_u64() % 1_000 >= self.faults.drop {
                let delay = self.rng.duration_between(self.faults.min_delay, self.faults.max_delay);
                self.sent += 1;
                self.on_the_way.insert((self.now + delay, self.sent), message.clone());
            }
        }
    }

    fn apply(&mut self, id: NodeId, first: Index, last: Index) {
        let node = self.nodes.get_mut(&id).expect("a server");
        let raft = node.raft.as_ref().expect("it runs");
        assert_eq!(first, node.applied.next(), "entries are applied in order");
        let entries: Vec<Entry> = raft.entries(first..=last).cloned().collect();
        assert_eq!(entries.len() as u64, last - first + 1, "what is committed is here");
        for entry in entries {
            self.check_committed(id, &entry);
            let node = self.nodes.get_mut(&id).expect("a server");
            node.applied = entry.index;
            if let Payload::Command(command) = entry.payload {
                node.state.push(command);
            }
        }
        self.handle(id, Input::Applied(last));
        let node = self.nodes.get_mut(&id).expect("a server");
        let raft = node.raft.as_ref().expect("it runs");
        if raft.log_bytes() > self.snapshot_above_bytes
            && let Some(meta) = raft.snapshot_meta_at(node.applied)
        {
            node.disk.recovered.entries.retain(|entry| entry.index > meta.last_included_index);
            node.disk.recovered.snapshot = meta.clone();
            node.disk.snapshot_state = node.state.clone();
            self.handle(id, Input::SnapshotTaken(meta));
        }
    }

    /// State machine safety, and: what is committed is on the disks of a majority.
    fn check_committed(&mut self, id: NodeId, entry: &Entry) {
        if let Some(known) = self.committed.get(&entry.index) {
            assert_eq!(known, entry, "seed {}: another entry at a committed index", self.seed);
            return;
        }
        let holds = |id: NodeId| {
            self.nodes.get(&id).is_some_and(|node| {
                let recovered = &node.disk.recovered;
                recovered.snapshot.last_included_index >= entry.index
                    || recovered.entries.iter().any(|it| it.index == entry.index && it.term == entry.term)
            })
        };
        // Whoever applies an entry first is the leader that committed it just now, under the configuration
        // that was in force before this input, or one that came into force with it.
        let durable =
            quorum::agrees(self.raft(id).membership(), holds) || quorum::agrees(&self.in_force_before, holds);
        assert!(
            durable,
            "seed {}: {} is committed, but not durable\n{}",
            self.seed,
            entry.index,
            self.picture()
        );
        self.committed.insert(entry.index, entry.clone());
    }

    /// The state as bytes, chunk by chunk.
    fn serve(&mut self, id: NodeId, request: SnapshotRequest) {
        let disk = &self.nodes[&id].disk;
        let meta = disk.recovered.snapshot.clone();
        let bytes = encode(&disk.snapshot_state);
        let from = usize::try_from(request.offset).expect("small").min(bytes.len());
        let to = (from + request.max_bytes).min(bytes.len());
        let data = Bytes::copy_from_slice(&bytes[from..to]);
        let (offset, done) = (from as u64, to == bytes.len());
        self.handle(id, Input::SnapshotChunk { to: request.to, meta, offset, data, done });
    }
}

impl Disk {
    /// Writes all of it.
    fn write(&mut self, persist: &Persist) {
        for part in 0..4 {
            self.write_field(persist, part, usize::MAX);
        }
    }

    /// A crash in the middle: the first fields, and perhaps some of the entries.
    fn write_part(&mut self, persist: &Persist, random: u64) {
        let fields = random % 5;
        for part in 0..fields {
            let entries = if part == 3 { (random >> 8) as usize % (persist.entries.len() + 1) } else { 0 };
            self.write_field(persist, part, entries);
        }
    }

    fn write_field(&mut self, persist: &Persist, part: u64, max_entries: usize) {
        let recovered = &mut self.recovered;
        match part {
            0 => {
                let written: HardState = persist.hard_state.unwrap_or(recovered.hard_state);
                assert!(written.term >= recovered.hard_state.term, "the term never falls");
                recovered.hard_state = written;
            }
            1 => {
                let Some(chunk) = &persist.snapshot_chunk else { return };
                self.partial.truncate(usize::try_from(chunk.offset).expect("small"));
                assert_eq!(self.partial.len() as u64, chunk.offset, "chunks come in order");
                self.partial.extend_from_slice(&chunk.data);
                if chunk.done {
                    self.snapshot_state = decode(&self.partial);
                    recovered.snapshot = chunk.meta.clone();
                    recovered.entries.retain(|entry| entry.index > chunk.meta.last_included_index);
                }
            }
            2 => {
                // A snapshot of our own may have overtaken this write: then `from` lies before its end, and
                // all that is left behind it is wrong.
                if let Some(from) = persist.truncate_from {
                    recovered.entries.retain(|entry| entry.index < from);
                }
            }
            _ => {
                for entry in persist.entries.iter().take(max_entries) {
                    let base = recovered.snapshot.last_included_index;
                    if entry.index <= base {
                        continue;
                    }
                    let last = recovered.entries.last().map_or(base, |entry| entry.index);
                    assert_eq!(entry.index, last.next(), "entries come without a hole");
                    recovered.entries.push(entry.clone());
                }
            }
        }
    }
}

fn encode(state: &[Bytes]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in state {
        bytes.extend_from_slice(&(command.len() as u32).to_le_bytes());
        bytes.extend_from_slice(command);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut state = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (command, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        state.push(Bytes::copy_from_slice(command));
        bytes = rest;
    }
    state
}

/// A snapshot that nobody took, for tests that begin behind one.
pub(crate) fn meta(index: u64, term: u64, voters: impl IntoIterator<Item = u64>) -> SnapshotMeta {
    SnapshotMeta {
        last_included_index: Index(index),
        last_included_term: Term(term),
        membership: Membership::of(ids(voters)).into(),
    }
}
