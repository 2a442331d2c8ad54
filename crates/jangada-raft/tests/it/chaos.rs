//! Everything at once: crashes, cuts, losses, changes of membership, snapshots, transfers and reads, as the
//! seed says; then peace, in which the cluster must come to rest.
//!
//! Each seed draws how harsh each fault is, some of them not at all: an always-on mixture hides what only
//! shows when most things work. One seed again: `JANGADA_SEED=17 cargo test -p jangada-raft --test it chaos`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::{World, ms, n};
use jangada_raft::config::Config;
use jangada_raft::event::{Event, MembershipStage};
use jangada_raft::rng::Rng;
use jangada_raft::types::{NodeId, Time};
use jangada_raft::{Answer, Input};

#[test]
fn whatever_happens_nothing_committed_is_lost_and_peace_heals_everything() {
    let seeds = seeds();
    let mut coverage = Coverage::default();
    let many = seeds.end - seeds.start > 1;
    for seed in seeds {
        let result = std::panic::catch_unwind(|| run(seed));
        match result {
            Ok(covered) => coverage.add(&covered),
            Err(panic) => {
                eprintln!("again: JANGADA_SEED={seed} cargo test -p jangada-raft --test it chaos");
                std::panic::resume_unwind(panic);
            }
        }
    }
    if many {
        coverage.check();
    }
}

/// `JANGADA_SEED=17`, `JANGADA_SEED=0..5000`, or a few.
fn seeds() -> std::ops::Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("JANGADA_SEED is a number or a range");
    match std::env::var("JANGADA_SEED") {
        Ok(text) => match text.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => number(&text)..number(&text) + 1,
        },
        Err(_) if std::env::var("JANGADA_SLOW").is_ok() => 0..5_000,
        Err(_) => 0..100,
    }
}

#[derive(Default)]
struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    const WANTED: [&str; 9] = [
        "elections",
        "truncations",
        "conflicts",
        "installs",
        "joint",
        "transfers",
        "reads",
        "refused reads",
        "lease reads",
    ];

    fn count(&mut self, what: &'static str, number: u64) {
        *self.0.entry(what).or_default() += number;
    }

    fn add(&mut self, other: &Coverage) {
        for (what, number) in &other.0 {
            self.count(what, *number);
        }
    }

    /// A batch in which something never happened proves nothing about it.
    fn check(&self) {
        for what in Coverage::WANTED {
            assert!(self.0.get(what).is_some_and(|number| *number > 0), "no {what}: {:?}", self.0);
        }
        eprintln!("{:?}", self.0);
    }

    fn of(world: &World) -> Coverage {
        let mut coverage = Coverage::default();
        for event in world.nodes.values().flat_map(|node| &node.events) {
            match event {
                Event::RoleChanged { role: jangada_raft::event::RoleName::Leader, .. } => {
                    coverage.count("elections", 1);
                }
                Event::Truncated { .. } => coverage.count("truncations", 1),
                Event::LogConflict { .. } => coverage.count("conflicts", 1),
                Event::SnapshotInstalled { .. } => coverage.count("installs", 1),
                Event::MembershipChanged { stage: MembershipStage::Joint, .. } => coverage.count("joint", 1),
                Event::TransferStarted { .. } => coverage.count("transfers", 1),
                Event::ReadConfirmed { round: 0, .. } => coverage.count("lease reads", 1),
                Event::ReadConfirmed { .. } => coverage.count("reads", 1),
                Event::ReadRefused { .. } => coverage.count("refused reads", 1),
                _ => {}
            }
        }
        coverage
    }
}

fn run(seed: u64) -> Coverage {
    let mut rng = Rng::new(seed.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 99);
    let count = [1, 2, 3, 3, 3, 5, 5, 7][pick(&mut rng, 8)];
    let profile = pick(&mut rng, 4);
    let small = pick(&mut rng, 2) == 0;
    let set_up = |config: Config| {
        let mut config = match profile {
            0 => Config::classic(config.id, config.cluster, config.seed),
            1 => Config { lease_reads: true, ..config },
            _ => config,
        };
        config.max_append_entries = if small { 3 } else { 100 };
        config.max_inflight_messages = if small { 2 } else { 64 };
        config.snapshot_chunk_bytes = if small { 16 } else { 200 };
        config.snapshot_window_chunks = if small { 2 } else { 8 };
        config.keep_bytes_behind_snapshot = if small { 0 } else { 300 };
        config.caught_up_entries = 5;
        config
    };
    let mut world = World::with(count, seed, set_up);
    world.faults.drop = [0, 0, 20, 200][pick(&mut rng, 4)];
    world.faults.duplicate = [0, 0, 50, 300][pick(&mut rng, 4)];
    world.faults.max_delay = [ms(1), ms(5), ms(40), ms(150)][pick(&mut rng, 4)];
    world.faults.max_disk = [ms(1), ms(1), ms(20), ms(150)][pick(&mut rng, 4)];
    world.snapshot_above_bytes = [usize::MAX, 2_000, 600][pick(&mut rng, 3)];
    let odds = Odds {
        crash: [0, 0, 10, 40][pick(&mut rng, 4)],
        cut: [0, 0, 10, 40][pick(&mut rng, 4)],
        change: [0, 20, 60][pick(&mut rng, 3)],
        transfer: [0, 0, 20][pick(&mut rng, 3)],
    };
    let mut joiners = count;
    for _ in 0..300 {
        mischief(&mut world, &mut rng, &odds, &mut joiners);
        let pause = rng.duration_between(Duration::ZERO, ms(30));
        world.run_for(pause);
    }
    make_peace(&mut world);
    Coverage::of(&world)
}

struct Odds {
    crash: u64,
    cut: u64,
    change: u64,
    transfer: u64,
}

fn pick(rng: &mut Rng, among: u64) -> usize {
    usize::try_from(rng.next_u64() % among).expect("small")
}

fn mischief(world: &mut World, rng: &mut Rng, odds: &Odds, joiners: &mut u64) {
    let all: Vec<NodeId> = world.nodes.keys().copied().collect();
    let one = all[pick(rng, all.len() as u64)];
    let up = world.is_up(one);
    let happens = |rng: &mut Rng, odds: u64| rng.next_u64() % 1_000 < odds;
    if happens(rng, odds.crash) {
        if up {
            world.crash(one)
        } else {
            world.start(one)
        }
        return;
    }
    if !up {
        if happens(rng, 200) {
            world.start(one);
        }
        return;
    }
    if happens(rng, odds.cut) {
        if world.cut.is_empty() {
            for _ in 0..=pick(rng, 6) {
                let (from, to) = (all[pick(rng, all.len() as u64)], all[pick(rng, all.len() as u64)]);
                world.cut.insert((from, to));
            }
        } else {
            world.heal();
        }
    }
    if happens(rng, 100) {
        world.heal();
    }
    if happens(rng, odds.change) {
        change(world, rng, joiners);
    }
    if happens(rng, odds.transfer) {
        world.handle(one, Input::TransferTo(all[pick(rng, all.len() as u64)]));
    }
    if happens(rng, 5) {
        world.handle(one, Input::Campaign);
    }
    if happens(rng, 300) {
        world.read(one);
    }
    // Proposals go where somebody believes to lead: an old leader too.
    let command = rng.next_u64().to_le_bytes();
    if world.raft(one).is_leader() || happens(rng, 20) {
        for _ in 0..=pick(rng, 6) {
            world.propose(one, command);
        }
    }
}

fn change(world: &mut World, rng: &mut Rng, joiners: &mut u64) {
    let Some(leader) = world.nodes.keys().copied().find(|id| world.is_up(*id) && world.raft(*id).is_leader())
    else {
        return;
    };
    if *joiners < 9 && pick(rng, 2) == 0 {
        *joiners += 1;
        world.add_joiner(*joiners);
    }
    // Among those that run, so that the cluster can always get a quorum back when all start again.
    let mut voters = world.raft(leader).membership().voters.clone();
    let mut learners = world.raft(leader).membership().learners.clone();
    for _ in 0..=pick(rng, 3) {
        let id = n(1 + rng.next_u64() % *joiners);
        if !world.nodes.contains_key(&id) {
            continue;
        }
        match pick(rng, 3) {
            0 => {
                learners.remove(&id);
                voters.insert(id);
            }
            1 => {
                voters.remove(&id);
                learners.insert(id);
            }
            _ => {
                voters.remove(&id);
                learners.remove(&id);
            }
        }
    }
    let numbers = |ids: &std::collections::BTreeSet<NodeId>| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    world.change(leader, numbers(&voters), numbers(&learners));
}

/// All faults end, all servers run: a leader must come, take a write and a read, finish any change of the
/// membership, and bring all members into step.
fn make_peace(world: &mut World) {
    world.heal();
    world.faults = crate::cluster::Faults::default();
    let crashed: Vec<NodeId> = world.nodes.keys().copied().filter(|id| !world.is_up(*id)).collect();
    for id in crashed {
        world.start(id);
    }
    let begin = world.now;
    let limit = ms(30_000);
    loop {
        let leader = world.elect();
        let answer = world.propose(leader, "peace");
        let read = world.read(leader);
        let until = world.now + ms(3_000);
        while world.now < until && !(is_at_rest(world) && world.nodes[&leader].reads.contains_key(&read)) {
            world.step();
        }
        if matches!(answer, Answer::Appended { .. })
            && matches!(world.nodes[&leader].reads.get(&read), Some(Ok(_)))
            && is_at_rest(world)
        {
            break;
        }
        let waited = world.now.since(begin);
        assert!(waited < limit, "seed {}: no peace after {waited:?}\n{}", world.seed, world.picture());
    }
    let leader = world.leader().expect("at rest");
    let reference = world.nodes[&leader].state.clone();
    for id in world.raft(leader).membership().members() {
        assert_eq!(world.nodes[&id].state, reference, "equal states at equal indexes");
    }
    // Peace is quiet: no election for a while, also from servers that were removed.
    let (term, quiet_from): (_, Time) = (world.raft(leader).term(), world.now);
    world.run_for(ms(3_000));
    if world.nodes[&leader].config.check_quorum {
        assert_eq!(
            world.raft(leader).term(),
            term,
            "seed {} since {quiet_from:?}\n{}",
            world.seed,
            world.picture()
        );
        assert_eq!(world.leader(), Some(leader));
    }
}

fn is_at_rest(world: &World) -> bool {
    let Some(leader) = world.leader() else { return false };
    let raft = world.raft(leader);
    let last = raft.last_index();
    raft.membership().stage() == MembershipStage::Final
        && raft.commit_index() == last
        && raft.membership().members().iter().all(|id| world.nodes[id].applied == last)
}
