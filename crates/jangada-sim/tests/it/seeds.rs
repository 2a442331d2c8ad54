//! A few seeds, so that `cargo test` notices at once when something is wrong; `jangada sim` runs the many.

use std::time::Duration;

use jangada_raft::types::NodeId;
use jangada_sim::coverage::{Counter, Coverage};
use jangada_sim::disk::Damage;
use jangada_sim::kv::Kv;
use jangada_sim::plan::{Fault, Plan, Profile, Who};
use jangada_sim::setup::differs;
use jangada_sim::{Invariant, World, run};

fn plan(seed: u64, profile: Profile) -> Plan {
    let mut plan = World::new(seed).profile(profile).plan();
    plan.trouble = Duration::from_secs(8);
    plan
}

#[test]
fn whatever_goes_wrong_the_invariants_hold() {
    for profile in Profile::ALL {
        for seed in 0..8 {
            let verdict = run(plan(seed, profile), Kv::new());
            let first = verdict.violations.first().map(ToString::to_string);
            assert_eq!(first, None, "seed {seed}, profile {}", profile.name());
        }
    }
}

#[test]
fn a_seed_means_the_same_run_for_ever() {
    for seed in [3, 11] {
        let once = run(plan(seed, Profile::Default), Kv::new());
        let again = run(plan(seed, Profile::Default), Kv::new());
        assert_eq!(differs(&once, &again), None, "seed {seed}");
    }
}

#[test]
fn without_a_majority_of_its_disks_a_cluster_says_nothing() {
    let mut plan = World::new(5).servers(3).profile(Profile::Beyond).quiet().plan();
    let second = Duration::from_secs(1);
    (plan.trouble, plan.clients.clients) = (second * 30, 4);
    for server in [1, 2] {
        let who = Who::Server(NodeId(server));
        plan.faults.push((second * 5, Fault::LoseDisk { who, down: second, stale: false }));
    }
    let mut world = World::of(plan, Kv::new());
    let answers = |world: &World<Kv>| {
        [Counter::WritesAnswered, Counter::ReadsAnswered].map(|it| world.coverage().of(it))
    };
    world.run_for(second * 5);
    let before = answers(&world);
    assert!(before.iter().all(|count| *count > 10), "while it has its disks it answers: {before:?}");
    world.run_for(second * 25);
    assert_eq!(answers(&world), before);
    assert_eq!(world.coverage().of(Counter::MajoritiesLost), 1);
    assert_eq!(world.coverage().of(Counter::DisksReplaced), 0);
    world.finale();
    assert_eq!(world.violations(), []);
}

/// A server whose disk is damaged under its hands goes on; when it reads that place again it refuses its disk, or the damage
/// has done no harm. Until then no other disk is harmed, and in the end all are there again.
#[test]
fn a_disk_that_is_damaged_in_use_is_read_back_and_refused_or_does_no_harm() {
    let second = Duration::from_secs(1);
    let mut coverage = Coverage::default();
    for (seed, damage) in (0..).zip(Damage::ALL.into_iter().cycle().take(12)) {
        let mut plan = World::new(seed).servers(3).profile(Profile::Default).quiet().plan();
        (plan.trouble, plan.clients.clients) = (second * 12, 4);
        (plan.settings.segment_bytes, plan.settings.snapshot_after_bytes) = (16 << 10, 24 << 10);
        let who = Who::Server(NodeId(1 + seed % 3));
        plan.faults.push((second * 4, Fault::Damage { who, damage, dice: seed, in_use: true }));
        // Meanwhile nobody else's disk is touched: the others are needed.
        let other = Who::Server(NodeId(1 + (seed + 1) % 3));
        plan.faults.push((second * 5, Fault::LoseDisk { who: other, down: second, stale: false }));
        let verdict = run(plan, Kv::new());
        let first = verdict.violations.first().map(ToString::to_string);
        assert_eq!(first, None, "seed {seed}, {damage:?}");
        let struck = verdict.coverage.of(Counter::DamagedInUse);
        let replaced = verdict.coverage.of(Counter::DisksLost);
        assert!(
            struck == 0 || replaced <= verdict.coverage.of(Counter::DamageRefused),
            "seed {seed}, {damage:?}"
        );
        coverage += &verdict.coverage;
    }
    for counter in [Counter::DamagedInUse, Counter::ReadBack, Counter::DamageRefused, Counter::DisksReplaced]
    {
        assert!(coverage.of(counter) > 0, "no {}", counter.name());
    }
}

/// Two runs whose servers do the same in the same order, but for one message that takes a microsecond longer.
#[test]
fn a_run_that_goes_otherwise_is_noticed() {
    let plan = Plan { trouble: Duration::from_secs(1), ..Plan::quiet(1, 3) };
    let slower = |by: u64| {
        let mut plan = plan.clone();
        plan.network.delay_min = Duration::from_millis(1) + Duration::from_micros(by);
        plan.network.delay_max = plan.network.delay_min;
        run(plan, Kv::new())
    };
    let (once, again) = (slower(0), slower(1));
    assert_eq!((once.steps, once.records), (again.steps, again.records), "the counts alone do not tell");
    let violation = differs(&once, &again).expect("the records differ in their times");
    assert_eq!(violation.invariant, Invariant::Deterministic);
}

/// A follower that needs a snapshot holds up a cluster that needs the follower: hundreds of parts take too long.
#[test]
fn the_largest_value_travels_in_one_part_of_a_snapshot() {
    let large = |plan: &Plan| plan.settings.max_command_bytes.is_some();
    let plans = || Profile::ALL.into_iter().flat_map(|profile| (0..200).map(move |seed| plan(seed, profile)));
    assert!(plans().filter(large).count() > 50);
    for plan in plans().filter(large) {
        let largest = plan.settings.max_command_bytes.unwrap_or_default();
        assert!(plan.settings.snapshot_part_bytes >= largest, "seed {}", plan.seed);
    }
}

/// Clients that ask for one thing at a time, once, and wait, would try little.
#[test]
fn clients_do_all_that_clients_do() {
    let mut coverage = Coverage::default();
    for seed in 0..10 {
        let mut plan = plan(seed, Profile::Default);
        plan.settings.max_command_bytes = Some(4 << 10);
        plan.settings.snapshot_after_bytes = 32 << 10;
        coverage += &run(plan, Kv::new()).coverage;
    }
    for counter in [
        Counter::FollowerReads,
        Counter::Batches,
        Counter::Hedges,
        Counter::Repeats,
        Counter::ClientCrashes,
        Counter::AtTheLimit,
        Counter::TooLarge,
        Counter::TxnsSucceeded,
        Counter::TxnsFailed,
        Counter::Ranges,
        Counter::KeysAlive,
        Counter::KeysExpired,
        Counter::KeysDue,
        Counter::CalmWindows,
        Counter::Unknown,
    ] {
        assert!(coverage.of(counter) > 0, "no {}", counter.name());
    }
}
