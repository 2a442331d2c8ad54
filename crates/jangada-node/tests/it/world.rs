//! A small world: replicas, log writers and disks in memory, a network that a test can cut, and virtual time.
//!
//! Everything but the sockets is the server's own code. Frames travel as bytes, and take a millisecond.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jangada_kv::command::{Command, Reply, Set};
use jangada_kv::{Request, Response};
use jangada_node::effect::{AdminDone, Effect, Failure, Input, Token};
use jangada_node::event::Event;
use jangada_node::frame::{self, Frame, Route};
use jangada_node::kv_machine::KvMachine;
use jangada_node::log_writer::{LogJob, LogWriter};
use jangada_node::replica::{Replica, ReplicaConfig};
use jangada_node::state_machine::STAMP_BYTES;
use jangada_raft::config::Config;
use jangada_raft::face::{MembershipChange, Recovered};
use jangada_raft::message::Rpc;
use jangada_raft::types::{ClusterId, Membership, NodeId, SnapshotMeta, Time};
use jangada_wal::{MemDisk, Wal, WalConfig};

const CLUSTER: ClusterId = ClusterId(7);
const TICK: Duration = Duration::from_millis(1);
/// Longer than anything here should take.
const PATIENCE_MS: u64 = 20_000;

pub(crate) type Answers = Vec<Result<Response, Failure>>;

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: BTreeMap<u64, Node>,
    /// Disks of servers that are down.
    pub(crate) disks: BTreeMap<u64, MemDisk>,
    cut: BTreeSet<(u64, u64)>,
    wire: VecDeque<(Time, u64, u64, Vec<u8>)>,
    pub(crate) answers: BTreeMap<Token, Answers>,
    pub(crate) admin: BTreeMap<Token, Result<AdminDone, Failure>>,
    pub(crate) events: Vec<(u64, Event)>,
    next_token: u64,
    starts: u64,
    members: Vec<u64>,
    config: ReplicaConfig,
}

pub(crate) struct Node {
    pub(crate) replica: Replica<KvMachine>,
    writer: LogWriter<MemDisk>,
    disk: MemDisk,
    /// How long the disk takes for what it is given at a time.
    disk_takes: Duration,
    under_way: Vec<LogJob>,
    done_at: Time,
    waiting: Vec<LogJob>,
}

impl Node {
    /// The disk goes on: it does all that waited when it began, together.
    fn work(&mut self, now: Time) {
        if self.under_way.is_empty() && !self.waiting.is_empty() {
            self.under_way = std::mem::take(&mut self.waiting);
            self.done_at = now + self.disk_takes;
        }
        if now < self.done_at {
            return;
        }
        let mut done = Vec::new();
        self.writer.run(std::mem::take(&mut self.under_way), &mut done).expect("the disk works");
        self.writer.when_idle().expect("the disk works");
        for done in done {
            self.replica.handle(now, Input::Log(done));
        }
    }
}

impl World {
    pub(crate) fn new(servers: u64) -> World {
        let config = ReplicaConfig { snapshot_part_bytes: 4 << 10, ..ReplicaConfig::default() };
        World::with(servers, config)
    }

    pub(crate) fn with(servers: u64, config: ReplicaConfig) -> World {
        let mut world = World {
            now: Time::ZERO,
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            cut: BTreeSet::new(),
            wire: VecDeque::new(),
            answers: BTreeMap::new(),
            admin: BTreeMap::new(),
            events: Vec::new(),
            next_token: 1,
            starts: 0,
            members: (1..=servers).collect(),
            config,
        };
        for id in 1..=servers {
            world.disks.insert(id, MemDisk::new());
            world.start(id);
        }
        world
    }

    /// Starts a server on the disk that it left.
    pub(crate) fn start(&mut self, id: u64) {
        let disk = self.disks.remove(&id).expect("the server is down");
        let identity = [u8::try_from(id).expect("few servers"); 16];
        let (wal, found) = Wal::open(disk.clone(), WalConfig::new(identity)).expect("the log opens");
        let founding = || {
            let voters = if self.members.contains(&id) { &self.members[..] } else { &[] };
            let voters = voters.iter().map(|id| NodeId(*id)).collect();
            SnapshotMeta {
                membership: Membership { voters, ..Membership::default() }.into(),
                ..SnapshotMeta::default()
            }
        };
        let recovered = Recovered {
            hard_state: found.hard_state,
            snapshot: found.snapshot.unwrap_or_else(founding),
            entries: found.entries,
        };
        self.starts += 1;
        let config = Config {
            first_sequence: self.starts << 40 | 1,
            keep_bytes_behind_snapshot: 1 << 10,
            snapshot_chunk_bytes: 4 << 10,
            ..Config::new(NodeId(id), CLUSTER, id)
        };
        let replica = Replica::restore(self.now, config, self.config.clone(), recovered, KvMachine::new());
        let writer = LogWriter::new(disk.clone(), identity, wal);
        let (disk_takes, done_at) = (Duration::ZERO, self.now);
        let (under_way, waiting) = (Vec::new(), Vec::new());
        self.nodes.insert(id, Node { replica, writer, disk, disk_takes, under_way, done_at, waiting });
    }

    /// A server that is not a member yet.
    pub(crate) fn start_new(&mut self, id: u64) {
        self.disks.insert(id, MemDisk::new());
        self.start(id);
    }

    /// Power off: only what was synced is left.
    pub(crate) fn crash(&mut self, id: u64) {
        let node = self.nodes.remove(&id).expect("the server runs");
        self.disks.insert(id, node.disk.power_loss(|_, _| Vec::new()));
        self.wire.retain(|(_, from, to, _)| *from != id && *to != id);
    }

    /// Power off, but what it has sent still arrives.
    pub(crate) fn stop_after_sending(&mut self, id: u64) {
        let sent: Vec<_> = self.wire.iter().filter(|(_, from, ..)| *from == id).cloned().collect();
        self.crash(id);
        self.wire.extend(sent);
        self.wire.make_contiguous().sort_by_key(|(at, ..)| *at);
    }

    /// From now on a disk takes so long for what it is given; what it has is done by then, too.
    pub(crate) fn slow_disk(&mut self, id: u64, takes: Duration) {
        let node = self.nodes.get_mut(&id).expect("the server runs");
        (node.disk_takes, node.done_at) = (takes, self.now + takes);
    }

    /// Cuts a server off from all others, both ways.
    pub(crate) fn isolate(&mut self, id: u64) {
        for other in 1..=9 {
            self.cut.insert((id, other));
            self.cut.insert((other, id));
        }
    }

    /// What `from` sends to `to` is lost.
    pub(crate) fn cut_one_way(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// A copy of a message that is on its way to a server.
    pub(crate) fn on_its_way(&self, to: u64, wanted: impl Fn(&Rpc) -> bool) -> Option<(u64, Frame)> {
        let theirs = self.wire.iter().filter(|(_, _, receiver, _)| *receiver == to);
        theirs
            .map(|(_, from, _, bytes)| (*from, decode(*from, to, bytes)))
            .find(|(_, frame)| matches!(frame, Frame::Raft(message) if wanted(&message.rpc)))
    }

    /// A message arrives, now and once more than it was sent.
    pub(crate) fn arrives(&mut self, to: u64, (from, frame): (u64, Frame)) {
        let node = self.nodes.get_mut(&to).expect("the server runs");
        node.replica.handle(self.now, Input::Peer(NodeId(from), frame));
    }

    /// One millisecond passes.
    pub(crate) fn tick(&mut self) {
        self.deliver();
        self.act();
    }

    /// The first half of a tick: what arrives.
    pub(crate) fn deliver(&mut self) {
        self.now = self.now + TICK;
        while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
            let Some((_, from, to, bytes)) = self.wire.pop_front() else { break };
            let Some(node) = self.nodes.get_mut(&to) else { continue };
            node.replica.handle(self.now, Input::Peer(NodeId(from), decode(from, to, &bytes)));
        }
    }

    /// The second half: what follows from it.
    pub(crate) fn act(&mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for id in ids {
            self.step(id);
        }
    }

    fn step(&mut self, id: u64) {
        let now = self.now;
        let (mut effects, mut events) = (Vec::new(), Vec::new());
        let node = self.nodes.get_mut(&id).expect("it runs");
        node.replica.handle(now, Input::TimePassed);
        node.replica.take_effects(now, &mut effects, &mut events);
        for effect in effects {
            match effect {
                Effect::Send(to, frame) => {
                    if !self.cut.contains(&(id, to.0)) {
                        let mut bytes = Vec::new();
                        frame::encode(&frame, Route { cluster: CLUSTER, from: NodeId(id), to }, &mut bytes);
                        self.wire.push_back((now + TICK, id, to.0, bytes));
                    }
                }
                Effect::Log(job) => node.waiting.push(job),
                Effect::Reply(token, answers) => assert!(self.answers.insert(token, answers).is_none()),
                Effect::AdminReply(token, outcome) => assert!(self.admin.insert(token, outcome).is_none()),
                Effect::Halt(why) => panic!("n{id} halts: {why}"),
            }
        }
        node.work(now);
        self.events.extend(events.into_iter().map(|event| (id, event)));
    }

    /// Lets time pass until the condition holds.
    pub(crate) fn until(&mut self, what: &str, condition: impl Fn(&World) -> bool) {
        let deadline = self.now + Duration::from_millis(PATIENCE_MS);
        while !condition(self) {
            assert!(self.now < deadline, "still not so after {PATIENCE_MS} ms: {what}");
            self.tick();
        }
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.tick();
        }
    }

    /// The leader of the highest term.
    pub(crate) fn leader(&self) -> Option<u64> {
        let leaders = self.nodes.iter().filter(|(_, node)| node.replica.raft().is_leader());
        leaders.max_by_key(|(_, node)| node.replica.raft().term()).map(|(id, _)| *id)
    }

    /// Waits until all running voters follow one leader, and returns it.
    pub(crate) fn agree(&mut self) -> u64 {
        self.until("one leader for all", |world| {
            let Some(leader) = world.leader() else { return false };
            let voters = &world.nodes[&leader].replica.raft().membership().voters;
            let running = world.nodes.iter().filter(|(id, _)| voters.contains(&NodeId(**id)));
            running.into_iter().all(|(_, node)| node.replica.raft().leader() == Some(NodeId(leader)))
        });
        self.leader().expect("it was there just now")
    }

    pub(crate) fn follower(&mut self) -> u64 {
        let leader = self.agree();
        *self.nodes.keys().find(|id| **id != leader).expect("more than one server")
    }

    pub(crate) fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    pub(crate) fn write(&mut self, at: u64, requests: &[Request]) -> Token {
        let encode = |request: &Request| {
            let mut command = vec![0; STAMP_BYTES];
            request.encode(&mut command);
            command
        };
        let (token, commands) = (self.token(), requests.iter().map(encode).collect());
        let node = self.nodes.get_mut(&at).expect("the server runs");
        node.replica.handle(self.now, Input::Writes { token, commands });
        token
    }

    pub(crate) fn read(&mut self, at: u64, queries: Vec<Request>) -> Token {
        let token = self.token();
        let node = self.nodes.get_mut(&at).expect("the server runs");
        node.replica.handle(self.now, Input::Reads { token, queries });
        token
    }

    pub(crate) fn wait(&mut self, token: Token) -> Answers {
        self.until("an answer", |world| world.answers.contains_key(&token));
        self.answers.remove(&token).expect("it was there just now")
    }

    /// Writes at a server and demands success.
    pub(crate) fn set(&mut self, at: u64, key: &str, value: &str) {
        let token = self.write(at, &[set(key, value)]);
        assert_eq!(self.wait(token), vec![Ok(Response::Reply(Reply::Ok))]);
    }

    /// Reads at a server and demands an answer.
    pub(crate) fn get(&mut self, at: u64, key: &str) -> Option<String> {
        let token = self.read(at, vec![get(key)]);
        match self.wait(token).pop().expect("one answer") {
            Ok(Response::Reply(Reply::Nil)) => None,
            Ok(Response::Reply(Reply::Value(value))) => {
                Some(String::from_utf8(value.to_vec()).expect("text"))
            }
            other => panic!("no answer to a read: {other:?}"),
        }
    }

    pub(crate) fn change_members(&mut self, voters: &[u64]) -> Result<AdminDone, Failure> {
        let leader = self.agree();
        let token = self.token();
        let voters = voters.iter().map(|id| NodeId(*id)).collect();
        let change = MembershipChange { voters, learners: BTreeSet::new(), context: Bytes::new() };
        let node = self.nodes.get_mut(&leader).expect("the leader runs");
        node.replica.handle(self.now, Input::ChangeMembership { token, change });
        self.until("the membership change", |world| world.admin.contains_key(&token));
        self.admin.remove(&token).expect("it was there just now")
    }

    /// Waits until all running servers have applied the same, and compares their states.
    pub(crate) fn assert_equal_states(&mut self) {
        self.until("everything applied everywhere", |world| {
            let mut applied = world.nodes.values().map(|node| node.replica.last_applied());
            let first = applied.next();
            let last = world.nodes.values().map(|node| node.replica.raft().last_index()).max();
            first == last && applied.all(|index| Some(index) == first)
        });
        let hashes: BTreeSet<u64> =
            self.nodes.values().map(|node| node.replica.state().store.state_hash()).collect();
        assert_eq!(hashes.len(), 1, "equal logs give equal states");
    }
}

fn decode(from: u64, to: u64, bytes: &[u8]) -> Frame {
    let route = Route { cluster: CLUSTER, from: NodeId(from), to: NodeId(to) };
    let mut bytes = BytesMut::from(bytes);
    frame::decode(&mut bytes, route, 64 << 20).expect("our own bytes").expect("a whole frame")
}

pub(crate) fn set(key: &str, value: &str) -> Request {
    Request::Command(Command::Set(Set::new(Bytes::from(key.to_owned()), Bytes::from(value.to_owned()))))
}

pub(crate) fn get(key: &str) -> Request {
    Request::Command(Command::Get { key: Bytes::from(key.to_owned()) })
}
