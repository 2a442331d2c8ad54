//! Kills: a mutant is run in its world, in a process of its own, and what its checkers say is heard.

use std::io::Read;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::mutants::catalogue::{Kill, Mutant};
use crate::mutants::copy::{Copy, RUNNER};
use crate::mutants::verdict::{Finding, TEST, findings, runner_findings};

/// How long one run may take before it is ended: most take less than a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// The simulator's profile where a kill names none.
pub const USUAL_PROFILE: &str = "default";

const WEATHER: &str = "weather::whatever_goes_wrong_the_cluster_stays_safe_and_recovers";

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the checkers said; nothing if all went well.
    pub findings: Vec<Finding>,
    /// The process did not end by itself.
    pub hung: bool,
    /// How long it took.
    pub took: Duration,
    /// States that the explorer had seen by then.
    pub states: Option<u64>,
}

/// How a mutant fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A checker that it names fired.
    Killed(Finding),
    /// Another one did.
    WrongChecker(Finding),
    /// None did.
    Survived,
    /// The same run fails without it.
    FailsWithout(Finding),
    /// Nobody knows how to find it.
    NoKill,
}

impl Verdict {
    /// The mutant was found as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Verdict::Killed(_))
    }
}

/// Runs a mutant's stored kill, with it and without it.
///
/// # Errors
/// If the program cannot be run.
pub fn judge(copy: &Copy, mutant: &Mutant) -> Result<(Verdict, Option<Run>)> {
    let Some(kill) = &mutant.kill else { return Ok((Verdict::NoKill, None)) };
    let run = once(copy, kill, mutant.number(), None)?;
    let verdict = verdict_of(mutant, &run);
    if verdict.is_good() {
        // The worlds of the explorer are searched to their ends in the tests; here, somewhat further than was
        // needed with it.
        let without = once(copy, kill, 0, run.states.map(|states| 2 * states))?;
        if let Some(finding) = without.findings.into_iter().next() {
            return Ok((Verdict::FailsWithout(finding), Some(run)));
        }
    }
    Ok((verdict, Some(run)))
}

fn verdict_of(mutant: &Mutant, run: &Run) -> Verdict {
    match run.findings.first() {
        Some(finding) if mutant.checker.contains(&finding.checker) => Verdict::Killed(finding.clone()),
        Some(finding) => Verdict::WrongChecker(finding.clone()),
        None if run.hung => Verdict::WrongChecker(Finding {
            checker: "none: it hung".to_owned(),
            what: format!("not done after {PATIENCE:?}"),
            seed: None,
        }),
        None => Verdict::Survived,
    }
}

/// Runs a kill with the mutant of this number; 0 for none. The explorer gives up after so many states.
///
/// # Errors
/// If the program cannot be run.
pub fn once(copy: &Copy, kill: &Kill, number: u32, limit: Option<u64>) -> Result<Run> {
    if let Some(seed) = kill.weather {
        return weather(copy, seed..seed + 1, number, PATIENCE);
    }
    if let Some(seed) = kill.sim {
        let profile = kill.profile.as_deref().unwrap_or(USUAL_PROFILE);
        return sim(copy, profile, seed..seed + 1, &[], number, PATIENCE);
    }
    if let Some(script) = &kill.script {
        let mut command = Command::new(copy.program(RUNNER)?);
        command.arg("script").arg(copy.root.join(script));
        return run(command, number, PATIENCE, runner_findings);
    }
    if let Some(world) = &kill.explore {
        return explore(copy, world, &kill.overlook, number, limit);
    }
    if let Some(test) = &kill.test {
        let (package, name) = test.split_once(' ').with_context(|| format!("`{test}`: package and test"))?;
        let mut command = Command::new(copy.program(package)?);
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
        command.current_dir(copy.root.join("crates").join(package.trim_end_matches("/lib")));
        let mut run = run(command, number, PATIENCE, findings)?;
        let own = name.rsplit("::").next().unwrap_or(name);
        // A unit test stands in a file of production code.
        let is_own = |finding: &Finding| finding.checker == TEST || package.ends_with("/lib");
        for finding in run.findings.iter_mut().filter(|finding| is_own(finding)) {
            own.clone_into(&mut finding.checker);
        }
        return Ok(run);
    }
    bail!("[kill] names no world");
}

/// The names of the explorer's worlds.
///
/// # Errors
/// If the program cannot be run.
pub fn worlds(copy: &Copy) -> Result<Vec<String>> {
    let said = Command::new(copy.program(RUNNER)?).arg("worlds").output()?;
    Ok(String::from_utf8(said.stdout)?.lines().map(str::to_owned).collect())
}

/// One of the explorer's worlds, as far as it goes or so many states.
///
/// # Errors
/// If the program cannot be run.
pub fn explore(
    copy: &Copy,
    world: &str,
    overlook: &[String],
    number: u32,
    limit: Option<u64>,
) -> Result<Run> {
    let mut command = Command::new(copy.program(RUNNER)?);
    let limit = limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
    command.args(["explore", world, &overlook.join(","), &limit]);
    run(command, number, PATIENCE, runner_findings)
}

/// The core's random worlds of these seeds.
///
/// # Errors
/// If the program cannot be run.
pub fn weather(copy: &Copy, seeds: Range<u64>, number: u32, patience: Duration) -> Result<Run> {
    let mut command = Command::new(copy.program("jangada-raft")?);
    command.args([WEATHER, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("JANGADA_SEED", format!("{}..{}", seeds.start, seeds.end));
    command.current_dir(copy.root.join("crates/jangada-raft"));
    run(command, number, patience, findings)
}

/// The simulator's worlds of these seeds, up to the first at which a wanted checker fires first.
///
/// # Errors
/// If the program cannot be run.
pub fn sim(
    copy: &Copy,
    profile: &str,
    seeds: Range<u64>,
    wanted: &[String],
    number: u32,
    patience: Duration,
) -> Result<Run> {
    let mut command = Command::new(copy.program(RUNNER)?);
    command.args([profile, &seeds.start.to_string(), &seeds.end.to_string(), &wanted.join(",")]);
    run(command, number, patience, runner_findings)
}

fn run(
    mut command: Command,
    number: u32,
    patience: Duration,
    heard: fn(&str) -> Vec<Finding>,
) -> Result<Run> {
    let (mut reader, writer) = std::io::pipe()?;
    let begun = Instant::now();
    command.env("JANGADA_PLANTED", number.to_string()).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot run a program of the copy")?;
    // The command holds the writing ends; they must be gone for the reader to see the end.
    drop(command);
    let listener = std::thread::spawn(move || {
        let mut said = Vec::new();
        reader.read_to_end(&mut said).map(|_| String::from_utf8_lossy(&said).into_owned())
    });
    let mut hung = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > patience {
            hung = true;
            child.kill()?;
            break child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let took = begun.elapsed();
    let said = listener.join().expect("reading does not panic")?;
    let mut found = heard(&said);
    if found.is_empty() && !status.success() && !hung {
        let what = said.lines().last().unwrap_or_default().to_owned();
        found.push(Finding { checker: format!("none: {status}"), what, seed: None });
    }
    let states =
        said.lines().find_map(|line| line.strip_prefix("found after ")?.split(' ').next()?.parse().ok());
    Ok(Run { findings: found, hung, took, states })
}
