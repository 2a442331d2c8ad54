//! Runs seeds of the simulator and says, for each that fails, which checker fired first.
//!
//! Which mutant is planted, the environment says (`planted.rs`). A process for itself, so that a mutant that never
//! returns can be ended, and small, so that the build of all mutants needs neither the server nor the command line.
//!
//! `mutant-runner PROFILE FROM TO [CHECKER,CHECKER]`: with checkers, it stops at the first seed at which one of
//! them is the first to fire. `mutant-runner script FILE` plays a script; what is not as the script expects, its own
//! name stands for. `mutant-runner explore WORLD CHECKER,CHECKER LIMIT` searches so many states of one of the
//! explorer's worlds, or all with `-`, and overlooks what these checkers would see. `mutant-runner worlds` names those
//! that are searched to their end.

use std::ops::ControlFlow;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;

use jangada_sim::check::Invariant;
use jangada_sim::explore::{self, Config};
use jangada_sim::kv::Kv;
use jangada_sim::plan::Profile;
use jangada_sim::script::{Script, play};
use jangada_sim::{World, run};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [word, file] if word == "script" => return play_one(Path::new(file)),
        [word] if word == "worlds" => return tell_worlds(),
        [word, name, overlook, limit] if word == "explore" => {
            return explore_one(name, overlook, limit.parse().ok());
        }
        _ => {}
    }
    let number = |place: usize| words.get(place).and_then(|word| word.parse::<u64>().ok());
    let profile =
        Profile::ALL.into_iter().find(|profile| words.first().is_some_and(|word| word == profile.name()));
    let (Some(profile), Some(from), Some(to)) = (profile, number(1), number(2)) else {
        eprintln!("usage: mutant-runner PROFILE FROM TO [CHECKER,CHECKER] | script FILE | explore WORLD CHECKER,CHECKER LIMIT | worlds");
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

/// Plays a script: one line, as for a seed, if an invariant does not hold or something is not as it expects.
fn play_one(file: &Path) -> ExitCode {
    let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
    let script = match read.and_then(|text| Script::read(&text)) {
        Ok(script) => script,
        Err(why) => {
            eprintln!("{}: {why}", file.display());
            return ExitCode::from(2);
        }
    };
    let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    std::panic::set_hook(Box::new(|_| {}));
    let played = match catch_unwind(|| play(&script)) {
        Ok(played) => played,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let words = text.or_else(|| panic.downcast_ref::<&str>().copied());
            println!(
                "seed 0 no_panic panics: {}",
                words.unwrap_or("without words").lines().next().unwrap_or_default()
            );
            return ExitCode::FAILURE;
        }
    };
    if let Some(first) = played.violations.first() {
        println!("seed 0 {} {}", first.invariant.name(), first.sentence.lines().next().unwrap_or_default());
    } else if let Some(failure) = played.failure {
        println!("seed 0 {name} {}", failure.lines().next().unwrap_or_default());
    } else if played.script.write() != script.write() {
        println!("seed 0 {name} went otherwise than it is written");
    } else {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn tell_worlds() -> ExitCode {
    for world in Config::small() {
        println!("{}", world.name);
    }
    ExitCode::SUCCESS
}

/// Searches one of the explorer's worlds.
fn explore_one(name: &str, overlook: &str, limit: Option<usize>) -> ExitCode {
    let Some(mut world) = Config::all().into_iter().find(|world| world.name == name) else {
        eprintln!("the explorer has no world called {name}");
        return ExitCode::from(2);
    };
    for checker in overlook.split(',').filter(|checker| !checker.is_empty()) {
        let Some(invariant) = Invariant::ALL.iter().find(|invariant| invariant.name() == checker) else {
            eprintln!("there is no checker called {checker}");
            return ExitCode::from(2);
        };
        world.overlook.push(*invariant);
    }
    world.max_states = limit.unwrap_or(world.max_states);
    std::panic::set_hook(Box::new(|_| {}));
    let report = explore::run(&world, |_| ControlFlow::Continue(()));
    let states = report.progress.states;
    match report.violation {
        Some(story) => {
            let sentence = story.sentence.lines().next().unwrap_or_default();
            println!("seed 0 {} {sentence}", story.invariant.name());
            println!("found after {states} states, in a story of {} steps", story.steps.len());
            ExitCode::FAILURE
        }
        None => {
            println!("nothing in {states} states");
            ExitCode::SUCCESS
        }
    }
}
