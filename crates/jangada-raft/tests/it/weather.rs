//! Random worlds: each seed draws which things go wrong and how badly, then lets them go wrong for a while.
//! Safety is checked after each step; at the end everything heals, and the cluster has to work again.
//!
//! One seed decides everything. A failing one is replayed by
//! `JANGADA_SEED=17 cargo test -p jangada-raft --test it weather`, and told step by step with `JANGADA_TRACE=1`.
//! `JANGADA_SLOW=1` runs many more.

use core::ops::Range;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use jangada_raft::config::Config;
use jangada_raft::event::MembershipStage;
use jangada_raft::face::{Answer, Input};
use jangada_raft::rng::Rng;
use jangada_raft::types::{Membership, NodeId, Time};

use crate::world::{CLUSTER, Coverage, Disk, Until, World, chance, ms};

/// Which things go wrong in one world, each off, mild or harsh (parts of a thousand, by step).
#[derive(Debug)]
struct Weather {
    servers: u64,
    steps: u32,
    classic: bool,
    lease_reads: bool,
    small_windows: bool,
    lose: u64,
    repeat: u64,
    straggle: u64,
    lazy: u64,
    slow_disk: Duration,
    propose: u64,
    read: u64,
    crash: u64,
    crash_after_send: u64,
    part: u64,
    pause: u64,
    snapshot: u64,
    change: u64,
    transfer: u64,
    campaign: u64,
}

impl Weather {
    fn draw(rng: &mut Rng) -> Weather {
        let mut pick = |choices: &[u64]| choices[(rng.next_u64() % choices.len() as u64) as usize];
        let classic = pick(&[0, 0, 0, 1]) == 1;
        Weather {
            servers: pick(&[1, 2, 3, 3, 3, 4, 5, 5, 7]),
            steps: 2_500,
            classic,
            lease_reads: !classic && pick(&[0, 0, 1]) == 1,
            small_windows: pick(&[0, 1]) == 1,
            lose: pick(&[0, 20, 150]),
            repeat: pick(&[0, 20, 200]),
            straggle: pick(&[0, 20, 200]),
            lazy: pick(&[0, 300]),
            slow_disk: ms(pick(&[1, 1, 20, 200])),
            propose: pick(&[10, 60, 200]),
            read: pick(&[0, 20, 100]),
            crash: pick(&[0, 0, 2, 8]),
            crash_after_send: pick(&[0, 0, 5, 30]),
            part: pick(&[0, 2, 8]),
            pause: pick(&[0, 0, 3]),
            snapshot: pick(&[0, 5, 30]),
            // Without PreVote and CheckQuorum, a removed server may disturb the others for ever.
            change: if classic { 0 } else { pick(&[0, 5, 20]) },
            transfer: pick(&[0, 0, 5]),
            campaign: pick(&[0, 0, 3]),
        }
    }

    fn config(&self, id: NodeId, seed: u64) -> Config {
        let mut config = Config::new(id, CLUSTER, seed);
        if self.classic {
            config = Config::classic(id, CLUSTER, seed);
        }
        config.lease_reads = self.lease_reads;
        config.heartbeat_interval = ms(20);
        config.election_timeout_min = ms(60);
        config.election_timeout_max = ms(140);
        config.snapshot_chunk_bytes = 64;
        config.snapshot_window_chunks = 3;
        config.keep_bytes_behind_snapshot = 200;
        config.caught_up_entries = 4;
        if self.small_windows {
            config.max_append_entries = 3;
            config.max_append_bytes = 150;
            config.max_inflight_messages = 3;
            config.max_inflight_bytes = 400;
            config.max_uncommitted_bytes = 2_000;
            config.max_pending_reads = 3;
        }
        config
    }
}

/// A world under weather.
struct Chaos {
    world: World,
    weather: Weather,
    seed: u64,
    rng: Rng,
    /// Who is to be started again, and when.
    down: BTreeMap<NodeId, Time>,
    /// When the network heals.
    parted_until: Option<Time>,
    commands: u64,
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let mut rng = Rng::new(seed);
        let weather = Weather::draw(&mut rng);
        let voters: Vec<NodeId> = (1..=weather.servers).map(NodeId).collect();
        let membership = Membership::of(voters.iter().copied());
        let disks = voters.iter().map(|id| (*id, Disk::founding(membership.clone()))).collect();
        let mut world = World::of(rng.next_u64(), disks, |id| weather.config(id, seed));
        world.network.lose = weather.lose;
        world.network.repeat = weather.repeat;
        world.network.straggle = weather.straggle;
        world.lazy = weather.lazy;
        for node in world.nodes.values_mut() {
            node.disk_delay.1 = weather.slow_disk;
        }
        Chaos { world, weather, seed, rng, down: BTreeMap::new(), parted_until: None, commands: 0 }
    }

    fn run(&mut self) -> Coverage {
        for _ in 0..self.weather.steps {
            self.world.step();
            self.misbehave();
        }
        self.heal();
        self.recover();
        self.world.checker.coverage
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        chance(&mut self.rng, per_mille)
    }

    fn pick(&mut self, from: &[NodeId]) -> Option<NodeId> {
        let position = self.rng.next_u64().checked_rem(from.len() as u64)?;
        Some(from[usize::try_from(position).expect("small")])
    }

    fn pick_running(&mut self) -> Option<NodeId> {
        let running: Vec<NodeId> =
            self.world.nodes.values().filter(|node| node.is_up()).map(|node| node.config.id).collect();
        self.pick(&running)
    }

    fn pick_leader(&mut self) -> Option<NodeId> {
        let leaders: Vec<NodeId> =
            self.world.nodes.values().filter(|node| node.leads()).map(|node| node.config.id).collect();
        self.pick(&leaders)
    }

    /// What clients, operators and the world do between two steps.
    fn misbehave(&mut self) {
        self.end_troubles();
        if self.chance(self.weather.propose) {
            self.propose();
        }
        if self.chance(self.weather.read)
            && let Some(id) = self.pick_running()
        {
            self.world.read(id);
        }
        if self.chance(self.weather.snapshot)
            && let Some(id) = self.pick_running()
        {
            self.world.take_snapshot(id);
        }
        if self.chance(self.weather.change) {
            self.change_membership();
        }
        if self.chance(self.weather.transfer)
            && let (Some(leader), Some(to)) = (self.pick_leader(), self.pick_running())
        {
            self.world.input(leader, Input::TransferTo(to));
        }
        if self.chance(self.weather.campaign)
            && let Some(id) = self.pick_running()
        {
            self.world.input(id, Input::Campaign);
        }
        self.trouble();
    }

    fn trouble(&mut self) {
        if self.chance(self.weather.part) {
            self.part();
        }
        if self.chance(self.weather.pause)
            && let Some(id) = self.pick_running()
        {
            let pause = self.rng.duration_between(ms(10), ms(500));
            self.world.node_mut(id).paused_until = self.world.now + pause;
        }
        if self.chance(self.weather.crash)
            && let Some(id) = self.pick_running()
        {
            self.crash(id);
        }
        if let Some(id) = self.world.has_spoken.filter(|id| self.world.node(*id).is_up())
            && self.chance(self.weather.crash_after_send)
        {
            self.crash(id);
        }
    }

    fn crash(&mut self, id: NodeId) {
        self.world.crash(id);
        let most = if self.chance(500) { ms(5) } else { ms(400) };
        let back_at = self.world.now + self.rng.duration_between(Duration::ZERO, most);
        self.down.insert(id, back_at);
    }

    fn end_troubles(&mut self) {
        let now = self.world.now;
        let back: Vec<NodeId> = self.down.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in back {
            self.down.remove(&id);
            self.world.restart(id);
        }
        if self.parted_until.is_some_and(|until| until <= now) {
            self.parted_until = None;
            self.world.heal();
        }
    }

    fn propose(&mut self) {
        self.commands += 1;
        let text = format!("{:->width$}", self.commands, width = (self.commands % 60) as usize);
        let id = if self.chance(900) { self.pick_leader() } else { self.pick_running() };
        if let Some(id) = id {
            self.world.propose(id, &text);
        }
    }

    /// One of the shapes in which networks fall apart.
    fn part(&mut self) {
        let ids: Vec<NodeId> = self.world.nodes.keys().copied().collect();
        let until = self.world.now + self.rng.duration_between(ms(20), ms(600));
        self.parted_until = Some(until);
        match self.rng.next_u64() % 5 {
            0 => {
                if let Some(leader) = self.pick_leader() {
                    self.world.isolate(leader);
                }
            }
            1 => {
                let (one, other): (Vec<NodeId>, Vec<NodeId>) =
                    ids.iter().partition(|_| chance(&mut self.rng, 500));
                self.world.network.part(&one, &other);
            }
            2 => {
                // One way only.
                let (Some(from), Some(to)) = (self.pick(&ids), self.pick(&ids)) else { return };
                self.world.network.cut.insert((from, to));
            }
            3 => {
                // A bridge: two groups that share one server.
                let Some(bridge) = self.pick(&ids) else { return };
                let rest: Vec<NodeId> = ids.iter().copied().filter(|id| *id != bridge).collect();
                let (one, other) = rest.split_at(rest.len() / 2);
                self.world.network.part(one, other);
            }
            _ => {
                // A ring: each hears only its neighbours.
                let count = ids.len();
                for (position, id) in ids.iter().enumerate() {
                    for other in ids.iter().skip(position + 2) {
                        if !(position == 0 && *other == ids[count - 1]) {
                            self.world.network.part(&[*id], &[*other]);
                        }
                    }
                }
            }
        }
    }

    /// A wish for a random configuration; sometimes of servers that do not exist yet.
    fn change_membership(&mut self) {
        let Some(leader) = self.pick_leader() else { return };
        let pool = self.weather.servers + 3;
        let mut voters = BTreeSet::new();
        let mut learners = BTreeSet::new();
        let present = self.world.node(leader).raft().membership().voters.clone();
        for number in 1..=pool {
            let is_voter = present.contains(&NodeId(number));
            let stays = if is_voter { 800 } else { 250 };
            if self.chance(stays) {
                voters.insert(number);
            } else if self.chance(200) {
                learners.insert(number);
            }
        }
        if let Answer::Appended { .. } = self.world.change_to(leader, voters.clone(), learners.clone()) {
            for number in voters.into_iter().chain(learners) {
                if !self.world.nodes.contains_key(&NodeId(number)) {
                    let id = NodeId(number);
                    self.world.add_node(self.weather.config(id, self.seed), Disk::default());
                    self.world.node_mut(id).disk_delay.1 = self.weather.slow_disk;
                }
            }
        }
    }

    // ---- The end ------------------------------------------------------------------------------------------

    fn heal(&mut self) {
        self.world.heal();
        self.world.network.lose = 0;
        self.world.network.repeat = 0;
        self.world.network.straggle = 0;
        let now = self.world.now;
        for node in self.world.nodes.values_mut() {
            node.paused_until = now;
            node.disk_delay.1 = ms(1);
        }
        for (id, _) in core::mem::take(&mut self.down) {
            self.world.restart(id);
        }
        self.world.drain_all();
        for node in self.world.nodes.values() {
            node.check_log();
        }
    }

    /// In a world without faults: somebody leads, changes come to their end, everybody catches up, and
    /// a new command and a read at each member are answered. Messages of the bad times may still be on their
    /// way, so that it can take more than one try.
    fn recover(&mut self) {
        let deadline = self.world.now + Duration::from_secs(10);
        loop {
            self.world.run_until(&Until("a leader has ended all changes"), is_calm);
            let leader = self.world.leader().expect("it leads");
            let term = self.world.term(leader);
            let Answer::Appended { index, .. } = self.world.propose(leader, "the last one") else {
                panic!("{leader} takes a command");
            };
            let members = self.world.node(leader).raft().membership().members();
            for id in &members {
                self.world.read(*id);
            }
            self.world.run_until(&Until("all members are in step and all reads answered"), |world| {
                let in_step = |id: &NodeId| world.node(*id).machine.last_applied() >= index;
                let is_done = world.checker.committed() >= index && members.iter().all(in_step);
                (is_done && world.unanswered_reads() == 0) || !world.leads_in(leader, term)
            });
            if self.world.leads_in(leader, term) {
                break;
            }
            assert!(self.world.now < deadline, "a leader stays: {}", self.world.summary());
        }
        for node in self.world.nodes.values() {
            node.check_log();
        }
    }
}

/// Somebody leads, everything is committed, and no change is under way.
fn is_calm(world: &World) -> bool {
    world.leader().is_some_and(|leader| {
        let raft = world.node(leader).raft();
        raft.has_committed_own_term()
            && raft.membership().stage() == MembershipStage::Final
            && raft.commit_index() == raft.last_index()
            && raft.transferring_to().is_none()
    })
}

/// One world from beginning to end.
fn run(seed: u64) -> Result<Coverage, ()> {
    let mut chaos = Chaos::new(seed);
    catch_unwind(AssertUnwindSafe(|| chaos.run())).map_err(|_| {
        println!("{:?}\n{}", chaos.weather, chaos.world.summary());
        println!("seed {seed}: JANGADA_SEED={seed} cargo test -p jangada-raft --test it weather\n");
    })
}

/// `JANGADA_SEED` is one seed (`17`) or a range of them (`1000..2000`).
fn seeds() -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a seed is a number");
    match std::env::var("JANGADA_SEED") {
        Ok(range) if range.contains("..") => {
            let (from, to) = range.split_once("..").expect("it contains two dots");
            number(from)..number(to)
        }
        Ok(seed) => number(&seed)..number(&seed) + 1,
        Err(_) if std::env::var("JANGADA_SLOW").is_ok() => 0..20_000,
        Err(_) => 0..600,
    }
}

#[test]
fn whatever_goes_wrong_the_cluster_stays_safe_and_recovers() {
    let seeds = seeds();
    let mut coverage = Coverage::default();
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        match run(seed) {
            Ok(more) => coverage.add(&more),
            Err(()) => failed.push(seed),
        }
        assert!(failed.len() < 10, "these seeds failed: {failed:?}");
    }
    println!("{coverage:?}");
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
    if seeds.end - seeds.start >= 100 {
        for (what, count) in coverage.counters() {
            assert!(count > 0, "in all these worlds there were no {what}: they prove nothing about them");
        }
    }
}
