//! `jangada sim`: simulated clusters, thousands of hours of them, from seeds.
//!
//! The worlds themselves know neither threads nor clocks; here each core runs one after the other, and what came of
//! them is put together.

use std::io::{IsTerminal, stderr};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jangada_sim::coverage::{Counter, Coverage};
use jangada_sim::explain::Explanation;
use jangada_sim::kv::Kv;
use jangada_sim::plan::Plan;
use jangada_sim::setup::Builder;
use jangada_sim::{Verdict, World, examine};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::commands::failing::{self, Broken, Story};
use crate::commands::{explore, mutant, script, verify};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  $ jangada sim
  $ jangada sim --seed 17
  $ jangada sim --seeds 1000..2000 --profile classic
  $ jangada sim --profile beyond
  $ jangada sim --minutes 5 --nodes 3
  $ jangada sim --seed 17 --save-plan failing.json
  $ jangada sim --plan failing.json
  $ jangada sim --seed 17 --record run.jsonl

Exit codes: 0 everything held, 1 a seed failed, or something that should happen in so many seeds never did.";

/// So many seeds, if nothing else is said.
const SEEDS: u64 = 200;
/// In so many seeds everything must have happened that the coverage table counts.
const ENOUGH_SEEDS: u64 = 200;
/// How often progress is told where nobody looks at a bar.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Failing seeds that are told in full.
const MAX_TOLD: usize = 20;

/// Which worlds.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Something else than seeds.
    #[command(subcommand)]
    pub what: Option<What>,
    /// One seed: the same world, always
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "minutes"])]
    pub seed: Option<u64>,
    /// From A up to, and without, B
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    pub seeds: Option<Range<u64>>,
    /// Go on for so long, from the first seed on
    #[arg(long, value_name = "M")]
    pub minutes: Option<f64>,
    /// How the servers are set up, and what they have to bear
    #[arg(long, value_enum, default_value = "default")]
    pub profile: Profile,
    /// How many servers found each cluster; otherwise the seed decides
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=7))]
    pub nodes: Option<u64>,
    /// How many worlds run at once; otherwise as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub threads: Option<u64>,
    /// Run a plan that was saved: the same run, as long as the program is the same
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seeds", "minutes", "profile", "nodes", "threads"])]
    pub plan: Option<PathBuf>,
    /// Save the plan of a seed, made small if it fails; or make the one of --plan smaller
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "minutes"])]
    pub save_plan: Option<PathBuf>,
    /// Keep what the servers of a seed or a plan say of themselves in this file, one JSON object on each line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "minutes"])]
    pub record: Option<PathBuf>,
    /// Plant a known bug (docs/mutants.md); only in a build that has them
    #[arg(long, value_name = "ID")]
    pub mutant: Option<String>,
}

/// What can be played besides seeds.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Play a scenario that is written down, step by step
    Script(script::Arguments),
    /// Look at everything that small clusters can do
    Explore(explore::Arguments),
    /// Judge what servers said of themselves, as `--record` keeps it
    Verify(verify::Arguments),
}

/// How the servers are set up, and what they have to bear.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Profile {
    /// As in production
    Default,
    /// As in the paper alone: no PreVote, no CheckQuorum
    Classic,
    /// As in production, on disks that are lost and damaged beyond repair: servers may stop, not lie
    Beyond,
}

impl From<Profile> for jangada_sim::plan::Profile {
    fn from(profile: Profile) -> jangada_sim::plan::Profile {
        match profile {
            Profile::Default => jangada_sim::plan::Profile::Default,
            Profile::Classic => jangada_sim::plan::Profile::Classic,
            Profile::Beyond => jangada_sim::plan::Profile::Beyond,
        }
    }
}

impl Arguments {
    /// One world, whose failure is told in full.
    fn is_one(&self) -> bool {
        self.seed.is_some() || self.plan.is_some()
    }

    fn world(&self, seed: u64) -> Builder {
        let builder = World::new(seed).profile(self.profile.into());
        match self.nodes {
            Some(nodes) => builder.servers(nodes),
            None => builder,
        }
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text} is no range of seeds: 0..1000 are the first thousand");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let from = from.parse().map_err(|_| wrong())?;
    let to = if to.is_empty() { u64::MAX } else { to.parse().map_err(|_| wrong())? };
    if from < to { Ok(from..to) } else { Err(wrong()) }
}

/// What came of all worlds.
#[derive(Serialize)]
struct Report {
    seeds: u64,
    failed: Vec<FailedSeed>,
    /// Of the first seed that failed.
    story: Option<Story>,
    events: u64,
    records: u64,
    simulated_seconds: f64,
    wall_seconds: f64,
    cpu_seconds: f64,
    seeds_per_second: f64,
    events_per_cpu_second: f64,
    records_per_cpu_second: f64,
    cluster_hours_per_cpu_hour: f64,
    never_happened: Vec<&'static str>,
    coverage: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct FailedSeed {
    seed: u64,
    #[serde(flatten)]
    broken: Broken,
    replay: String,
}

/// Runs the worlds and tells what came of them.
///
/// # Errors
/// If a seed failed, or if a large batch left something untried.
pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    match &arguments.what {
        Some(What::Script(script)) => return script::run(script, format),
        Some(What::Explore(explore)) => return explore::run(explore, format),
        Some(What::Verify(verify)) => return verify::run(verify, format),
        None => {}
    }
    if let Some(id) = &arguments.mutant {
        mutant::plant(id)?;
    }
    if arguments.save_plan.is_some() && !arguments.is_one() {
        return Err(Failure::usage("--save-plan saves one plan: say which, by --seed or --plan"));
    }
    let plan = arguments.plan.as_deref().map(failing::read_plan).transpose()?;
    let seeds = match (arguments.seed, &arguments.seeds) {
        _ if plan.is_some() => 0..1,
        (Some(seed), _) => seed..seed.saturating_add(1),
        (None, Some(seeds)) => seeds.clone(),
        (None, None) if arguments.minutes.is_some() => 0..u64::MAX,
        (None, None) => 0..SEEDS,
    };
    let begun = Instant::now();
    let cpu_before = cpu_time();
    let mut batch = Batch::new(arguments, &seeds);
    match (&plan, &arguments.record) {
        (None, Some(_)) if arguments.seed.is_none() => {
            return Err(Failure::usage("--record goes with --seed or --plan".to_owned()));
        }
        (plan, Some(path)) => {
            let plan = plan.clone().unwrap_or_else(|| arguments.world(seeds.start).plan());
            batch.take(&verify::keep(plan, path)?);
        }
        (Some(plan), None) => batch.take(&jangada_sim::run(plan.clone(), Kv::new())),
        (None, None) => run_all(arguments, seeds, begun, &mut batch),
    }
    let mut report = batch.report(begun.elapsed(), cpu_time().saturating_sub(cpu_before));
    let explained = explain_first(arguments, plan.as_ref(), &report);
    report.story = explained.as_ref().map(Story::of);
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => tell(&report, &batch.coverage)?,
    }
    if let (Some(explained), Format::Text) = (&explained, format) {
        output::line(&format!("\n{explained}"))?;
    }
    if let Some(path) = &arguments.save_plan {
        let whole = plan.unwrap_or_else(|| arguments.world(arguments.seed.unwrap_or_default()).plan());
        failing::save_plan(path, explained.as_ref(), whole)?;
    }
    if let Some(first) = report.failed.first() {
        let count = report.failed.len();
        return Err(Failure::new(
            Exit::No,
            format!("{count} of {} seeds failed; replay the first with\n  {}", report.seeds, first.replay),
        ));
    }
    if !report.never_happened.is_empty() {
        return Err(Failure::new(
            Exit::No,
            format!(
                "in {} seeds this never happened, so that nothing is proved about it: {}",
                report.seeds,
                report.never_happened.join(", ")
            ),
        ));
    }
    Ok(())
}

/// The first seed that failed, explained. A plan is told as it is, unless a smaller one shall be saved.
fn explain_first(arguments: &Arguments, plan: Option<&Plan>, report: &Report) -> Option<Explanation> {
    let first = report.failed.first()?;
    match plan {
        Some(plan) => failing::explain(plan, arguments.save_plan.is_some()),
        None => failing::explain(&arguments.world(first.seed).plan(), true),
    }
}

/// Hands seeds to the cores until there are no more, or the time is over.
fn run_all(arguments: &Arguments, seeds: Range<u64>, begun: Instant, batch: &mut Batch<'_>) {
    let until = arguments.minutes.map(|minutes| begun + Duration::from_secs_f64(minutes.max(0.0) * 60.0));
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let threads = arguments.threads.unwrap_or(cores).min(seeds.end - seeds.start);
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let (verdicts, inbox) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let verdicts = verdicts.clone();
            let (next, stop, seeds) = (&next, &stop, &seeds);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) || until.is_some_and(|until| Instant::now() >= until) {
                        return;
                    }
                    if verdicts.send(examine(&arguments.world(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(verdicts);
        for verdict in inbox {
            batch.take(&verdict);
            if batch.failed.len() >= MAX_TOLD {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    batch.bar.finish_and_clear();
}

/// What has come in so far.
struct Batch<'a> {
    arguments: &'a Arguments,
    bar: ProgressBar,
    in_a_pipe: bool,
    told: Instant,
    begun: Instant,
    seeds: u64,
    failed: Vec<FailedSeed>,
    events: u64,
    records: u64,
    simulated: Duration,
    coverage: Coverage,
}

impl<'a> Batch<'a> {
    fn new(arguments: &'a Arguments, seeds: &Range<u64>) -> Batch<'a> {
        let style = "{bar:30} {pos}/{len} seeds, {per_sec}, {eta} left {msg}";
        let bar = match seeds.end {
            _ if !stderr().is_terminal() => ProgressBar::hidden(),
            u64::MAX => ProgressBar::new_spinner(),
            _ => ProgressBar::new(seeds.end - seeds.start)
                .with_style(ProgressStyle::with_template(style).expect("the template is ours")),
        };
        Batch {
            arguments,
            bar,
            in_a_pipe: !stderr().is_terminal(),
            told: Instant::now(),
            begun: Instant::now(),
            seeds: 0,
            failed: Vec::new(),
            events: 0,
            records: 0,
            simulated: Duration::ZERO,
            coverage: Coverage::default(),
        }
    }

    fn take(&mut self, verdict: &Verdict) {
        self.seeds += 1;
        self.events += verdict.events;
        self.records += verdict.records;
        self.simulated += Duration::from_nanos(verdict.time.0);
        self.coverage += &verdict.coverage;
        self.bar.inc(1);
        if let Some(first) = verdict.violations.first() {
            let replay = self.replay(verdict.seed);
            self.bar.suspend(|| {
                for violation in &verdict.violations {
                    output::note(&format!("seed {}: {violation}", verdict.seed));
                }
            });
            self.failed.push(FailedSeed { seed: verdict.seed, broken: Broken::of(first), replay });
        }
        if self.in_a_pipe && self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            let rate = self.seeds as f64 / self.begun.elapsed().as_secs_f64();
            output::note(&format!("{} seeds, {rate:.1}/s, {} failed", self.seeds, self.failed.len()));
        }
    }

    fn replay(&self, seed: u64) -> String {
        let mut command = match &self.arguments.plan {
            Some(plan) => format!("jangada sim --plan {}", plan.display()),
            None => format!("jangada sim --seed {seed}"),
        };
        match jangada_sim::plan::Profile::from(self.arguments.profile) {
            jangada_sim::plan::Profile::Default => {}
            other => command += &format!(" --profile {}", other.name()),
        }
        if let Some(nodes) = self.arguments.nodes {
            command += &format!(" --nodes {nodes}");
        }
        if let Some(mutant) = &self.arguments.mutant {
            command += &format!(" --mutant {mutant}");
        }
        command
    }

    fn report(&mut self, wall: Duration, cpu: Duration) -> Report {
        let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64().max(1e-9));
        let simulated = self.simulated.as_secs_f64();
        let demanded = self.seeds >= ENOUGH_SEEDS && self.arguments.nodes.is_none();
        let profile = self.arguments.profile.into();
        let missing = self.coverage.missing(profile);
        Report {
            seeds: self.seeds,
            failed: std::mem::take(&mut self.failed),
            story: None,
            events: self.events,
            records: self.records,
            simulated_seconds: simulated,
            wall_seconds: wall,
            cpu_seconds: cpu,
            seeds_per_second: self.seeds as f64 / wall.max(1e-9),
            events_per_cpu_second: self.events as f64 / cpu,
            records_per_cpu_second: self.records as f64 / cpu,
            cluster_hours_per_cpu_hour: simulated / cpu,
            never_happened: if demanded {
                missing.iter().map(|counter| counter.name()).collect()
            } else {
                vec![]
            },
            coverage: Counter::ALL
                .iter()
                .map(|counter| (counter.name().to_owned(), self.coverage.of(*counter).into()))
                .collect(),
        }
    }
}

fn tell(report: &Report, coverage: &Coverage) -> Result<(), Failure> {
    let rows =
        Counter::ALL.iter().map(|counter| vec![counter.name().to_owned(), coverage.of(*counter).to_string()]);
    output::line(&output::table(&["HAPPENED", "TIMES"], rows.collect()))?;
    output::line(&format!(
        "\n{} seeds, {} failed; {:.0} s simulated in {:.1} s ({:.1} seeds/s)\n{:.0} cluster-hours per CPU-hour, {:.2} million events and {:.2} million records per CPU-second",
        report.seeds,
        report.failed.len(),
        report.simulated_seconds,
        report.wall_seconds,
        report.seeds_per_second,
        report.cluster_hours_per_cpu_hour,
        report.events_per_cpu_second / 1e6,
        report.records_per_cpu_second / 1e6
    ))
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges() {
        assert_eq!(parse_seeds("0..10"), Ok(0..10));
        assert_eq!(parse_seeds("5.."), Ok(5..u64::MAX));
        assert!(parse_seeds("10..10").is_err());
        assert!(parse_seeds("ten").is_err());
    }
}
