//! Runs seeds of the simulator and says, for each that fails, which checker fired first.
//!
//! Which mutant is planted, the environment says (`planted.rs`). A process for itself, so that a mutant that never
//! returns can be ended, and small, so that the build of all mutants needs neither the server nor the command line.
//!
//! `mutant-runner PROFILE FROM TO [CHECKER,CHECKER]`: with checkers, it stops at the first seed at which one of
//! them is the first to fire.

use std::process::ExitCode;

use jangada_sim::kv::Kv;
use jangada_sim::plan::Profile;
use jangada_sim::{World, run};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok());
    let profile = Profile::ALL.into_iter().find(|profile| words.first().is_some_and(|word| word == profile.name()));
    let (Some(profile), Some(from), Some(to)) = (profile, number(1), number(2)) else {
        eprintln!("usage: mutant-runner PROFILE FROM TO [CHECKER,CHECKER]");
        return ExitCode::from(2);
    };
    let wanted: Vec<&str> = words.get(3).map_or(Vec::new(), |checkers| checkers.split(',').collect());
    // A panic in a world is a finding like others, and the world says where it was.
    std::panic::set_hook(Box::new(|_| {}));
    let mut all_good = true;
    for seed in from..to {
        let verdict = run(World::new(seed).profile(profile).plan(), Kv::new());
        let Some(first) = verdict.violations.first() else { continue };
        all_good = false;
        let checker = first.invariant.name();
        println!("seed {seed} {checker} {}", first.sentence.lines().next().unwrap_or_default());
        for other in &verdict.violations[1..] {
            println!("then {}", other.invariant.name());
        }
        if wanted.contains(&checker) {
            break;
        }
    }
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
