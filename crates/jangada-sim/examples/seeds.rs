//! Runs a range of seeds on one thread: `cargo run --release -p jangada-sim --example seeds -- 0 100 [servers]
//! [profile]`.

use jangada_sim::coverage::{Counter, Coverage};
use jangada_sim::kv::Kv;
use jangada_sim::plan::Profile;
use jangada_sim::{World, run};

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let named = |profile: &Profile| std::env::args().any(|word| word == profile.name());
    let profile = Profile::ALL.into_iter().find(named).unwrap_or_default();
    let (from, to, servers) = (numbers[0], numbers[1], numbers.get(2).copied());
    let (mut coverage, mut events, mut steps, mut nanos, mut bad) = (Coverage::default(), 0, 0, 0, 0);
    for seed in from..to {
        let builder = World::new(seed).profile(profile);
        let builder = servers.into_iter().fold(builder, |builder, servers| builder.servers(servers));
        let verdict = run(builder.plan(), Kv::new());
        for violation in &verdict.violations {
            println!("seed {seed}: {violation}");
        }
        bad += u64::from(!verdict.is_good());
        coverage += &verdict.coverage;
        events += verdict.events;
        steps += verdict.steps;
        nanos += verdict.time.0;
    }
    println!("{bad} bad; {events} events, {steps} steps, {} s simulated", nanos / 1_000_000_000);
    for counter in Counter::ALL {
        println!("{:>10}  {}", coverage.of(*counter), counter.name());
    }
}
