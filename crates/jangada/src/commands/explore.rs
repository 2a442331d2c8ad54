//! `jangada sim explore`: searches through everything that small clusters can do.

use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use jangada_sim::explore::{Config, Progress, Report, Story, run as search};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  $ jangada sim explore
  $ jangada sim explore figure-8
  $ jangada sim explore replace -o json

docs/explorer.md says what is in each world. Exit codes: 0 everything held, 1 something was broken: the shortest story of \
it is told.";

/// How often progress is told where nobody looks at a spinner.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Which worlds.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only this world
    #[arg(value_parser = parse_world, conflicts_with = "large")]
    pub world: Option<Config>,
    /// One that is too large for its end: ten million states of it, in a minute and 2 GB of memory
    #[arg(long)]
    pub large: bool,
}

/// A world by its name, with dashes for spaces.
fn parse_world(name: &str) -> Result<Config, String> {
    let all = Config::all();
    let names: Vec<String> = all.iter().map(name_of).collect();
    let known = all.into_iter().find(|config| name_of(config) == name);
    known.ok_or_else(|| format!("there is no world of this name, but {}", names.join(", ")))
}

fn name_of(config: &Config) -> String {
    config.name.replace(' ', "-")
}

#[derive(Serialize)]
struct World {
    name: String,
    states: usize,
    transitions: usize,
    depth: usize,
    core_steps: usize,
    complete: bool,
    seconds: f64,
    violation: Option<Violation>,
}

#[derive(Serialize)]
struct Violation {
    invariant: &'static str,
    sentence: String,
    steps: Vec<String>,
}

/// Searches them, one after the other.
///
/// # Errors
/// If something is broken in one of them.
pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let configs = match &arguments.world {
        Some(config) => vec![config.clone()],
        None if arguments.large => vec![Config::large()],
        None => Config::small(),
    };
    let mut worlds = Vec::new();
    for config in &configs {
        let begun = Instant::now();
        let report = watched(config);
        worlds.push(world(config, report, begun.elapsed()));
    }
    match format {
        Format::Json => output::json(&worlds)?,
        Format::Text => tell(&worlds)?,
    }
    let broken = worlds.iter().find_map(|world| Some((&world.name, world.violation.as_ref()?)));
    match broken {
        Some((name, violation)) => Err(Failure::new(
            Exit::No,
            format!("{name}: {} is broken: {}", violation.invariant, violation.sentence),
        )),
        None => Ok(()),
    }
}

fn watched(config: &Config) -> Report {
    let in_a_pipe = !stderr().is_terminal();
    let bar = if in_a_pipe { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let (begun, mut told) = (Instant::now(), Instant::now());
    let report = search(config, |progress| {
        let Progress { states, depth, waiting, .. } = progress;
        let rate = states as f64 / begun.elapsed().as_secs_f64();
        let line =
            format!("{}: {states} states, {depth} steps deep, {waiting} wait, {rate:.0}/s", config.name);
        if in_a_pipe && told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            output::note(&line);
        }
        bar.set_message(line);
        bar.tick();
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    report
}

fn world(config: &Config, report: Report, took: Duration) -> World {
    let violation = report.violation.map(|Story { invariant, sentence, steps }| Violation {
        invariant: invariant.name(),
        sentence,
        steps,
    });
    let Progress { states, transitions, depth, steps, .. } = report.progress;
    World {
        name: name_of(config),
        states,
        transitions,
        depth,
        core_steps: steps,
        complete: report.is_complete,
        seconds: took.as_secs_f64(),
        violation,
    }
}

fn tell(worlds: &[World]) -> Result<(), Failure> {
    let row = |world: &World| {
        let end = match (&world.violation, world.complete) {
            (Some(violation), _) => violation.invariant,
            (None, true) => "complete",
            (None, false) => "stopped",
        };
        vec![
            world.name.clone(),
            world.states.to_string(),
            world.transitions.to_string(),
            world.depth.to_string(),
            world.core_steps.to_string(),
            format!("{:.1}", world.seconds),
            end.to_owned(),
        ]
    };
    let header = ["WORLD", "STATES", "TRANSITIONS", "DEPTH", "CORE STEPS", "SECONDS", "END"];
    output::line(&output::table(&header, worlds.iter().map(row).collect()))?;
    for violation in worlds.iter().filter_map(|world| world.violation.as_ref()) {
        output::line("")?;
        for (step, number) in violation.steps.iter().zip(1..) {
            output::line(&format!("{number:3}. {step}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_have_names_without_spaces() {
        assert_eq!(parse_world("figure-8").expect("there is one").name, "figure 8");
        assert!(parse_world("figure 9").expect_err("there is none").contains("two-terms"));
    }
}
