//! The servers of a simulated cluster: the server's own code on the simulator's disks, moved by hand and in virtual time.
//!
//! The simulator's world is driven by chance; this one by a script, which wants to say which single message
//! arrives. Both run the same replica, log writer, log and frames on the same disks, under the same checkers.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use jangada_node::effect::{Effect, Input, Token};
use jangada_node::event::{DiskEvent, Event, Record};
use jangada_node::frame::{self, Route};
use jangada_node::kv_machine::KvMachine;
use jangada_node::log_writer::{LogJob, LogWriter};
use jangada_node::replica::Replica;
use jangada_raft::Raft;
use jangada_raft::config::Config;
use jangada_raft::face::Recovered;
use jangada_raft::invariants::check_invariants;
use jangada_raft::types::{ClusterId, Membership, NodeId, SnapshotMeta, Time};
use jangada_wal::{Wal, WalConfig};

use crate::check::{Committed, Disks, Findings, Logs, Seen};
use crate::disk::synced::LogView;
use crate::disk::{Loss, SimDisk};
use crate::observed::Observed;
use crate::rng::stream;

use super::cluster::{Answer, MAX_SERVERS, Setup};
use super::network::{Network, Parcel};
use super::prepared;

pub(crate) type Machine = Observed<KvMachine>;

pub(crate) const CLUSTER: ClusterId = ClusterId(0x7363_7269_7074);
/// How long a disk takes for what it is given at once.
const DISK_TIME: Duration = Duration::from_micros(300);

/// One server: its disk stands in [`Rig::disks`].
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) life: Option<Life>,
    pub(crate) paused: bool,
    pub(crate) stalled: bool,
    starts: u64,
    /// What came while it stood still.
    missed: Vec<Parcel>,
}

/// A server that runs.
pub(crate) struct Life {
    pub(crate) replica: Replica<Machine>,
    writer: LogWriter<SimDisk>,
    /// What waits for the disk: the next group commit.
    jobs: Vec<LogJob>,
    /// What the disk is busy with; empty if it rests.
    in_flight: Vec<LogJob>,
    /// It is going to say so.
    disk_runs: bool,
    seen: Seen,
    /// When its alarm rings.
    wakes: Time,
    records: u64,
}

enum Happening {
    Arrives(Box<Parcel>),
    Wakes(NodeId, u64),
    DiskDone(NodeId, u64),
}

/// All servers, and what is between them.
pub(crate) struct Rig {
    pub(crate) now: Time,
    pub(crate) servers: BTreeMap<NodeId, Server>,
    pub(crate) network: Network,
    /// Since somebody last took them.
    pub(crate) records: Vec<Record>,
    pub(crate) answers: BTreeMap<Token, Answer>,
    asked: BTreeMap<Token, NodeId>,
    disks: Vec<SimDisk>,
    setup: Setup,
    queue: BTreeMap<(Time, u64), Happening>,
    queued: u64,
    logs: Logs,
    committed: Committed,
    pub(crate) findings: Findings,
}

impl Rig {
    pub(crate) fn new(setup: Setup) -> Rig {
        let mut cluster = Rig {
            now: Time::ZERO,
            servers: BTreeMap::new(),
            network: Network::new(setup.seed, setup.delay),
            records: Vec::new(),
            answers: BTreeMap::new(),
            asked: BTreeMap::new(),
            disks: (1..=MAX_SERVERS).map(|id| SimDisk::new(&format!("disk of n{id}"))).collect(),
            queue: BTreeMap::new(),
            queued: 0,
            logs: Logs::default(),
            committed: Committed::new(),
            findings: Findings::default(),
            setup,
        };
        for (id, log) in cluster.setup.logs.clone() {
            prepared::write_log(cluster.disk(id), wal_config(id), &log);
        }
        for id in 1..=cluster.setup.servers {
            cluster.start(NodeId(id));
        }
        cluster
    }

    pub(crate) fn disk(&self, id: NodeId) -> &SimDisk {
        &self.disks[usize::try_from(id.0 - 1).expect("servers have small numbers")]
    }

    /// Starts a server on what its disk holds; one with an empty disk is a founding member, or waits to be added.
    pub(crate) fn start(&mut self, id: NodeId) {
        let disk = self.disk(id).clone();
        let (wal, found) = Wal::open(disk.clone(), wal_config(id)).expect("the log opens");
        let founders = if id.0 <= self.setup.servers { self.setup.servers } else { 0 };
        let founding = SnapshotMeta {
            membership: Membership::of((1..=founders).map(NodeId)).into(),
            ..SnapshotMeta::default()
        };
        let recovered = Recovered {
            hard_state: found.hard_state,
            snapshot: found.snapshot.unwrap_or(founding),
            entries: found.entries,
        };
        disk.recovered(LogView::of(recovered.hard_state, &recovered.snapshot, &recovered.entries));
        let opened = DiskEvent::Opened {
            entries: recovered.entries.len() as u64,
            last: recovered.entries.last().map_or(recovered.snapshot.last_included_index, |last| last.index),
            snapshot: recovered.snapshot.last_included_index,
            torn_bytes: found.torn_bytes,
        };
        let server = self.servers.entry(id).or_default();
        server.starts += 1;
        let config = Config {
            id,
            cluster: CLUSTER,
            seed: stream(self.setup.seed, &format!("{id}, start {}", server.starts)).next_u64(),
            first_sequence: server.starts << 40 | 1,
            ..self.setup.raft.clone()
        };
        let machine = Observed::new(KvMachine::new, |machine| machine.store.state_hash());
        let replica = Replica::restore(self.now, config, self.setup.replica.clone(), recovered, machine);
        let raft = replica.raft();
        self.logs.appended(raft, raft.first_index(), raft.last_index(), &mut self.findings);
        let life = Life {
            seen: Seen::new(raft),
            writer: LogWriter::new(disk, identity(id), wal),
            replica,
            jobs: Vec::new(),
            in_flight: Vec::new(),
            disk_runs: false,
            wakes: Time::NEVER,
            records: 0,
        };
        server.life = Some(life);
        (server.paused, server.stalled) = (false, false);
        let (time, event) = (self.now, Event::Disk(opened));
        self.records.push(Record { time, node: id, seq: 0, event });
        self.act(id);
    }

    /// Power off: what was not synced is lost, and so are the answers that clients wait for.
    pub(crate) fn crash(&mut self, id: NodeId) {
        let mut rng = stream(self.setup.seed, "power");
        self.disk(id).power_loss(Loss::Everything, &mut rng);
        let server = self.servers.get_mut(&id).expect("a server that runs is known");
        server.life = None;
        server.missed.clear();
        let lost: Vec<Token> =
            self.asked.iter().filter(|(_, at)| **at == id).map(|(token, _)| *token).collect();
        for token in lost {
            self.asked.remove(&token);
            self.answers.insert(token, Answer::Unknown(format!("{id} went down")));
        }
    }

    pub(crate) fn pause(&mut self, id: NodeId) {
        self.servers.entry(id).or_default().paused = true;
    }

    /// It hears what came meanwhile before it judges anybody by the clock.
    pub(crate) fn resume(&mut self, id: NodeId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.paused = false;
        for parcel in std::mem::take(&mut server.missed) {
            self.hand_over(&parcel);
        }
        self.input(id, Input::TimePassed);
        self.start_disk(id);
    }

    pub(crate) fn stall(&mut self, id: NodeId, stalled: bool) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.stalled = stalled;
        self.start_disk(id);
    }

    // ---- Asking -------------------------------------------------------------------------------------------

    /// Gives a running server an input.
    pub(crate) fn input(&mut self, id: NodeId, input: Input<Machine>) {
        let now = self.now;
        if let Some(life) = self.life_mut(id) {
            life.replica.handle(now, input);
            self.act(id);
        }
    }

    /// The same, for an input whose answer somebody waits for.
    pub(crate) fn ask(&mut self, id: NodeId, token: Token, input: Input<Machine>) {
        self.asked.insert(token, id);
        self.input(id, input);
    }

    pub(crate) fn raft(&self, id: NodeId) -> Option<&Raft> {
        Some(self.replica(id)?.raft())
    }

    pub(crate) fn replica(&self, id: NodeId) -> Option<&Replica<Machine>> {
        Some(&self.servers.get(&id)?.life.as_ref()?.replica)
    }

    fn life_mut(&mut self, id: NodeId) -> Option<&mut Life> {
        self.servers.get_mut(&id)?.life.as_mut()
    }

    // ---- Time ---------------------------------------------------------------------------------------------

    pub(crate) fn next_time(&self) -> Option<Time> {
        self.queue.first_key_value().map(|((time, _), _)| *time)
    }

    /// The next thing happens.
    pub(crate) fn step(&mut self) {
        let Some(((time, _), happening)) = self.queue.pop_first() else { return };
        assert!(time >= self.now, "time never goes back");
        self.now = time;
        match happening {
            Happening::Arrives(parcel) => self.hand_over(&parcel),
            Happening::Wakes(id, start) => self.wake(id, start),
            Happening::DiskDone(id, start) => self.disk_done(id, start),
        }
    }

    fn push(&mut self, time: Time, happening: Happening) {
        self.queued += 1;
        self.queue.insert((time, self.queued), happening);
    }

    /// A message arrives now, if its link still works and somebody is there.
    pub(crate) fn hand_over(&mut self, parcel: &Parcel) {
        let Parcel { from, to, .. } = *parcel;
        if self.network.is_cut(from, to) {
            return;
        }
        let Some(server) = self.servers.get_mut(&to) else { return };
        if server.paused {
            return server.missed.push(parcel.clone());
        }
        // As on a real link: the recipient gets bytes, and looks at them before it believes them.
        let route = Route { cluster: CLUSTER, from, to };
        let mut bytes = Vec::new();
        frame::encode(&parcel.frame, route, &mut bytes);
        let mut bytes = BytesMut::from(&bytes[..]);
        let frame =
            frame::decode(&mut bytes, route, 64 << 20).expect("our own bytes").expect("a whole frame");
        self.input(to, Input::Peer(from, frame));
    }

    fn wake(&mut self, id: NodeId, start: u64) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(&id) else { return };
        let Some(life) = server.life.as_mut().filter(|life| server.starts == start && life.wakes == now)
        else {
            return;
        };
        life.wakes = Time::NEVER;
        if !server.paused {
            self.input(id, Input::TimePassed);
        }
    }

    fn disk_done(&mut self, id: NodeId, start: u64) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(&id) else { return };
        let ready = server.starts == start && !server.paused && !server.stalled;
        let Some(life) = server.life.as_mut().filter(|_| server.starts == start) else { return };
        life.disk_runs = false;
        if !ready {
            return;
        }
        let mut done = Vec::new();
        life.writer.run(std::mem::take(&mut life.in_flight), &mut done).expect("the disk works");
        life.writer.when_idle().expect("the disk works");
        for done in done {
            life.replica.handle(now, Input::Log(done));
        }
        self.act(id);
    }

    fn start_disk(&mut self, id: NodeId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let (start, free) = (server.starts, !server.paused && !server.stalled);
        let Some(life) = server.life.as_mut() else { return };
        if life.in_flight.is_empty() {
            life.in_flight = std::mem::take(&mut life.jobs);
        }
        if free && !life.disk_runs && !life.in_flight.is_empty() {
            life.disk_runs = true;
            self.push(self.now + DISK_TIME, Happening::DiskDone(id, start));
        }
    }

    /// Takes a server's effects, carries them out, and looks whether all is well.
    fn act(&mut self, id: NodeId) {
        let (now, mut effects, mut events) = (self.now, Vec::new(), Vec::new());
        let Some(life) = self.life_mut(id) else { return };
        life.replica.take_effects(now, &mut effects, &mut events);
        for effect in effects {
            self.carry_out(id, effect);
        }
        self.start_disk(id);
        self.check(id, &events);
        let server = self.servers.get_mut(&id).expect("it acts");
        let Some(life) = server.life.as_mut() else { return };
        for event in events {
            life.records += 1;
            self.records.push(Record { time: now, node: id, seq: life.records, event });
        }
        let deadline = life.replica.next_deadline().max(now);
        if deadline < life.wakes {
            life.wakes = deadline;
            let start = server.starts;
            self.push(deadline, Happening::Wakes(id, start));
        }
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect<Machine>) {
        match effect {
            Effect::Send(to, frame) => {
                if let Some((at, parcel)) = self.network.send(self.now, Parcel::new(id, to, frame)) {
                    self.push(at, Happening::Arrives(Box::new(parcel)));
                }
            }
            Effect::Log(job) => self.life_mut(id).expect("it acts").jobs.push(job),
            Effect::Reply(token, mut answers) => {
                let answer = answers.pop().expect("one request, one answer");
                self.answer(token, answer.map_or_else(Answer::Failed, Answer::Response));
            }
            Effect::AdminReply(token, outcome) => {
                self.answer(token, outcome.map_or_else(Answer::Failed, Answer::Done));
            }
            Effect::Halt(why) => panic!("{id} halts: {why}"),
        }
    }

    fn answer(&mut self, token: Token, answer: Answer) {
        self.asked.remove(&token);
        self.answers.insert(token, answer);
    }

    /// The simulator's invariants, after each step of a server.
    fn check(&mut self, id: NodeId, events: &[Event]) {
        let Rig { servers, logs, committed, disks, findings, .. } = self;
        let Some(life) = servers.get_mut(&id).and_then(|server| server.life.as_mut()) else { return };
        let (disks, raft) = (Disks { present: disks, lost: &[] }, life.replica.raft());
        findings.now = self.now;
        check_invariants(raft);
        for event in events {
            if let Event::Raft(event) = event {
                life.seen.event(raft, *event, logs, committed, &disks, findings);
            }
        }
        life.seen.check(&life.replica, logs, committed, &disks, findings);
    }
}

/// Small segments: the disk is in memory.
fn wal_config(id: NodeId) -> WalConfig {
    WalConfig { segment_bytes: 64 << 10, fill_ahead_bytes: 16 << 10, ..WalConfig::new(identity(id)) }
}

/// A server's identity on its disk.
fn identity(id: NodeId) -> [u8; 16] {
    [u8::try_from(id.0).expect("servers have small numbers"); 16]
}
