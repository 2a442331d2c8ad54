//! Hunts: which seed shows a mutant, by the checker that it names?
//!
//! Worlds are gone through in an order: the simulator's profiles, then the core's own random worlds, which are quicker
//! but know neither the log on the disk nor the store.

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::mutants::catalogue::{self, Mutant};
use crate::mutants::copy::Copy;
use crate::mutants::kill::{self, Run};
use crate::mutants::verdict::Finding;
use crate::mutants::{Arguments, Row};

/// Seeds that are looked through if nobody says which.
const USUAL_SEEDS: Range<u64> = 0..1_000;
/// Seeds for one process.
const SLICE: u64 = 50;
/// How long a slice may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many findings by other checkers say enough about a world.
const ENOUGH: usize = 60;

const WEATHER: &str = "weather";

/// Looks for seeds and says which; stores nothing.
///
/// # Errors
/// If a world cannot be run.
pub fn hunt(copy: &Copy, mutants: &[&Mutant], arguments: &Arguments) -> Result<ExitCode> {
    let mut missed = 0;
    for mutant in mutants {
        missed += u32::from(seek(copy, mutant, arguments)?.is_none());
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// So many states of each of the explorer's worlds are enough to look at.
const STATES: u64 = 300_000;

/// Looks for the mutants in each of the explorer's worlds, and prints where they are found and by which checker.
///
/// # Errors
/// If a world cannot be run.
pub fn explore(copy: &Copy, mutants: &[&Mutant]) -> Result<ExitCode> {
    let worlds = kill::worlds(copy)?;
    let mut missed = 0;
    println!("\n| mutant | world | states | broken |\n|---|---|---|---|");
    for mutant in mutants {
        let mut found = false;
        for world in &worlds {
            let run = kill::explore(copy, world, &[], mutant.number(), Some(STATES))?;
            if let (Some(finding), Some(states)) = (run.findings.first(), run.states) {
                let checker = finding.checker.replace('_', " ");
                println!("| {} {} | {world} | {states} | {checker} |", mutant.id, mutant.title);
                found = true;
            }
        }
        if !found {
            println!("| {} {} | - | - | not found |", mutant.id, mutant.title);
            missed += 1;
        }
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks for new seeds for those whose stored kill does not kill any more, and stores them.
///
/// # Errors
/// If a world cannot be run, or a mutant's file not be written.
pub fn rehunt(root: &Path, copy: &Copy, rows: &[Row], arguments: &Arguments) -> Result<ExitCode> {
    let mut missed = 0;
    for row in rows.iter().filter(|row| !row.verdict.is_good()) {
        let mutant = row.mutant;
        let is_staged =
            |kill: &catalogue::Kill| kill.test.is_some() || kill.script.is_some() || kill.explore.is_some();
        if mutant.kill.as_ref().is_some_and(is_staged) {
            println!("{}: is not found by a seed; mend it by hand", mutant.id);
            missed += 1;
            continue;
        }
        let Some(kill) = seek(copy, mutant, arguments)? else {
            missed += 1;
            continue;
        };
        let path = root.join(mutant.path());
        std::fs::write(&path, catalogue::with_kill(&std::fs::read_to_string(&path)?, &kill))?;
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The lines of `[kill]` for this mutant, if one of the worlds shows it; says what was found on the way.
fn seek(copy: &Copy, mutant: &Mutant, arguments: &Arguments) -> Result<Option<String>> {
    let usual = ["default", "classic", WEATHER].map(str::to_owned);
    let worlds = if arguments.worlds.is_empty() { &usual[..] } else { &arguments.worlds[..] };
    let seeds = arguments.seeds.clone().unwrap_or(USUAL_SEEDS);
    for world in worlds {
        let mut others = Vec::new();
        let found = seed_of(copy, mutant, world, seeds.clone(), &mut others)?;
        match found {
            Some(seed) => println!("{}: {world} {seed}", mutant.id),
            None => {
                println!("{}: {world}: not in {seeds:?} by {}", mutant.id, mutant.checker.join(" or "));
            }
        }
        for other in others.iter().take(8) {
            println!("        {other}");
        }
        if let Some(seed) = found {
            let tried = seed + 1 - seeds.start;
            return Ok(Some(match world.as_str() {
                WEATHER => format!("weather = {seed}\ntried = {tried}"),
                kill::USUAL_PROFILE => format!("sim = {seed}\ntried = {tried}"),
                profile => format!("sim = {seed}\nprofile = \"{profile}\"\ntried = {tried}"),
            }));
        }
    }
    Ok(None)
}

/// The first seed of this world at which a checker fires first that the mutant names.
fn seed_of(
    copy: &Copy,
    mutant: &Mutant,
    world: &str,
    seeds: Range<u64>,
    others: &mut Vec<String>,
) -> Result<Option<u64>> {
    let mut from = seeds.start;
    while from < seeds.end && others.len() < ENOUGH {
        let to = (from + SLICE).min(seeds.end);
        let run = slice(copy, mutant, world, from..to)?;
        for Finding { checker, what, seed } in &run.findings {
            if let (true, Some(seed)) = (mutant.checker.contains(checker), seed) {
                return Ok(Some(*seed));
            }
            others.push(format!("{checker} at {seed:?}: {what}"));
        }
        if run.hung {
            others.push(format!("{from}..{to}: not done after {PATIENCE:?}"));
        }
        // The core's worlds stop after ten failures: on behind the last one.
        let last = run.findings.iter().filter_map(|finding| finding.seed).max();
        let stopped = world == WEATHER && run.findings.len() >= 10;
        from = if stopped { last.map_or(to, |seed| seed + 1) } else { to };
    }
    Ok(None)
}

fn slice(copy: &Copy, mutant: &Mutant, world: &str, seeds: Range<u64>) -> Result<Run> {
    match world {
        WEATHER => kill::weather(copy, seeds, mutant.number(), PATIENCE),
        profile => kill::sim(copy, profile, seeds, &mutant.checker, mutant.number(), PATIENCE),
    }
}
