//! A few seeds, so that `cargo test` notices at once when something is wrong; `jangada sim` runs the many.

use std::time::Duration;

use jangada_sim::kv::Kv;
use jangada_sim::plan::{Plan, Profile};
use jangada_sim::{World, run};

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
        assert_eq!((once.record_hash, once.events), (again.record_hash, again.events), "seed {seed}");
        assert_eq!(once.coverage, again.coverage, "seed {seed}");
    }
}
