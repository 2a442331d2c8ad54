//! `cargo run -p xtask --features etcd-diff -- etcd-diff`: the same requests to a real etcd and to us, the answers
//! compared field by field, error texts included.
//!
//! Sequences are written by hand (`corpus`) or generated from a seed (`generate`). Both servers begin empty and are
//! asked the same, so that even revisions must agree. A generated sequence that shows a difference is made small
//! before it is told. docs/etcd-differences.md has the differences that are meant; a sequence must not show them.

mod corpus; // sequences written by hand
mod corpus_alarms; // alarms written by hand
mod corpus_leases; // leases, locks and elections written by hand
mod corpus_members; // members that come and go, written by hand
mod corpus_upkeep; // the cluster itself, written by hand
mod corpus_users; // users and permissions written by hand
mod corpus_watch; // watches written by hand
mod generate; // sequences made of a seed
mod generate_leases; // sequences of leases made of a seed
mod joining; // a server that becomes a member
mod leases; // what is asked of leases
mod queues; // what is asked of locks and elections
mod server; // the two servers
mod upkeep; // what is asked of the cluster itself
mod generate_users; // sequences of users and permissions made of a seed
mod step; // requests, and what is compared of their answers
mod users; // what is asked of users, and who asks
mod watching; // a stream of watches

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use server::{Pair, Programs};
use step::Step;

/// How many generated sequences are played if nobody says.
const USUAL_SEEDS: Range<u64> = 1..501;

/// So many sequences are played at a time.
const LANES: usize = 3;

/// A sequence that takes longer is named.
const SLOW: Duration = Duration::from_secs(10);

/// Of a line that differs so many characters are shown.
const LONGEST_LINE: usize = 400;

/// What is typed after `etcd-diff`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The seeds of the generated sequences.
    pub seeds: Range<u64>,
    /// How many members each cluster has. Each step goes to the next one.
    pub members: usize,
    /// The etcd that is asked.
    pub etcd: PathBuf,
    /// Only the sequences with this in their names.
    pub only: String,
}

impl Arguments {
    /// Reads the words.
    ///
    /// # Errors
    /// Names the word that is not understood.
    pub fn parse(words: &[&str]) -> Result<Arguments> {
        let mut arguments =
            Arguments { seeds: USUAL_SEEDS, members: 1, etcd: PathBuf::from("etcd"), only: String::new() };
        for pair in words.chunks(2) {
            match pair {
                ["--seeds", seeds] => {
                    let (from, to) = seeds.split_once("..").context("--seeds wants FROM..TO")?;
                    arguments.seeds = from.parse()?..to.parse()?;
                }
                ["--members", members] => arguments.members = members.parse()?,
                ["--etcd", program] => arguments.etcd = PathBuf::from(program),
                ["--only", name] => arguments.only = (*name).to_owned(),
                _ => bail!(
                    "{pair:?}: etcd-diff knows --seeds FROM..TO, --members NUMBER, --etcd FILE, --only NAME"
                ),
            }
        }
        anyhow::ensure!((1..=9).contains(&arguments.members), "--members wants a number from 1 to 9");
        Ok(arguments)
    }
}

/// A sequence: what is asked one after the other, when the store is at a revision.
type Sequence = Box<dyn Fn(i64) -> Vec<Step>>;

/// The first answer that differs.
struct Difference {
    step: Step,
    etcd: String,
    ours: String,
}

/// All that is to be played, by name.
fn sequences(arguments: &Arguments, version: &str) -> Vec<(String, Sequence)> {
    let is_old = version.contains(" 3.4.");
    let since_3_5 = [corpus_upkeep::since_3_5(), corpus_users::since_3_5()].concat();
    let of_version = if is_old { corpus_users::of_3_4() } else { since_3_5 };
    let by_hand = corpus::all()
        .into_iter()
        .chain(corpus_alarms::all())
        .chain(corpus_watch::all())
        .chain(corpus_leases::all())
        .chain(corpus_upkeep::all())
        .chain(of_version)
        .chain(corpus_users::all())
        .chain(corpus_members::all(arguments.members))
        .map(|(name, steps)| (name.to_owned(), Box::new(steps) as Sequence));
    let generated = arguments.seeds.clone().map(|seed| {
        let steps = move |base| generate::sequence(seed, base);
        (format!("seed {seed}"), Box::new(steps) as Sequence)
    });
    let of_leases = generate_leases::seeds(&arguments.seeds).map(|seed| {
        let steps = move |_| generate_leases::sequence(seed);
        (format!("seed {seed} of leases"), Box::new(steps) as Sequence)
    });
    let of_users = generate_users::seeds(&arguments.seeds).map(|seed| {
        let steps = move |_| generate_users::sequence(seed);
        (format!("seed {seed} of users"), Box::new(steps) as Sequence)
    });
    by_hand
        .chain(generated)
        .chain(of_leases)
        .chain(of_users)
        .filter(|(name, _)| name.contains(&arguments.only))
        .collect()
}

/// Plays everything. True: no difference, or etcd is not installed, which is said.
///
/// # Errors
/// If a server does not start, or does not answer at all.
pub fn run(root: &Path, arguments: &Arguments) -> Result<bool> {
    let Ok(version) = Command::new(&arguments.etcd).arg("--version").output() else {
        println!("etcd-diff: skipped: etcd is not installed (Debian: etcd-server)");
        println!("{}", totals(0, 0, sequences(arguments, "").len()));
        return Ok(true);
    };
    let version = String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned();
    let programs =
        Programs { etcd: arguments.etcd.clone(), jangada: built(root)?, members: arguments.members };
    let sequences = sequences(arguments, &version);
    let played = sequences.len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let differences = runtime.block_on(play_all(&programs, sequences))?;
    println!(
        "etcd-diff: {played} sequences against {version}, {} members: {differences} differ",
        programs.members
    );
    println!("{}", totals(played - differences, differences, 0));
    Ok(differences == 0)
}

/// Plays them in lanes, each with clusters of its own: much of it is waiting for what might still come. Which sequence
/// follows which does not depend on how fast they are. Returns how many differed.
async fn play_all(programs: &Programs, sequences: Vec<(String, Sequence)>) -> Result<usize> {
    let mut lanes: Vec<Vec<(String, Sequence)>> = (0..LANES).map(|_| Vec::new()).collect();
    for (place, sequence) in sequences.into_iter().enumerate() {
        lanes[place % LANES].push(sequence);
    }
    let local = tokio::task::LocalSet::new();
    let mut playing = tokio::task::JoinSet::new();
    for lane in lanes.into_iter().filter(|lane| !lane.is_empty()) {
        let programs = programs.clone();
        playing.spawn_local_on(async move { play_lane(&programs, lane).await }, &local);
    }
    local
        .run_until(async {
            let mut differences = 0;
            while let Some(lane) = playing.join_next().await {
                differences += lane??;
            }
            Ok(differences)
        })
        .await
}

/// Plays them one after the other, tells of those that differ, and returns how many did.
async fn play_lane(programs: &Programs, sequences: Vec<(String, Sequence)>) -> Result<usize> {
    let mut pair = Pair::start(programs).await?;
    let mut differences = 0;
    let mut is_changed = false;
    for (name, sequence) in sequences {
        let begun = Instant::now();
        // What changes clusters has some of its own, so that nobody notices how far the others' logs have come.
        let changes = sequence(1).iter().any(Step::changes_cluster);
        if std::mem::replace(&mut is_changed, changes) || changes {
            pair = Pair::start(programs).await?;
        }
        let first = play(&mut pair, &sequence, &|_| true).await.with_context(|| name.clone())?;
        if begun.elapsed() > SLOW {
            println!("etcd-diff: {name} took {} ms", begun.elapsed().as_millis());
        }
        let Some(first) = first else { continue };
        differences += 1;
        // What was written by hand is small enough.
        let shown = match name.starts_with("seed") {
            true => smaller(&mut pair, programs, &sequence, first).await?,
            false => first.told(),
        };
        println!("etcd-diff: {name}: they differ\n{shown}");
        pair = Pair::start(programs).await?;
    }
    Ok(differences)
}

/// In the words of test runners, so that these are counted with them.
fn totals(passed: usize, failed: usize, skipped: usize) -> String {
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    format!("test result: {verdict}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured")
}

/// Plays the steps that `keep` names by their place, until the answers differ.
async fn play(
    pair: &mut Pair,
    sequence: &Sequence,
    keep: &dyn Fn(usize) -> bool,
) -> Result<Option<Difference>> {
    let base = pair.clear().await?;
    for (place, step) in sequence(base).into_iter().enumerate().filter(|(place, _)| keep(*place)) {
        // What makes etcd's own members part cannot be compared through several of them.
        if pair.etcd.members() > 1 && step.makes_etcds_members_part() {
            continue;
        }
        pair.turn_to(place).await?;
        let (etcd, ours) = tokio::join!(step.ask(&mut pair.etcd), step.ask(&mut pair.ours));
        let (etcd, ours) = (etcd?, ours?);
        if etcd != ours {
            return Ok(Some(Difference { step, etcd, ours }));
        }
    }
    Ok(None)
}

/// Leaves out what the difference does not need, and tells what is left.
async fn smaller(
    pair: &mut Pair,
    programs: &Programs,
    sequence: &Sequence,
    first: Difference,
) -> Result<String> {
    let count = sequence(1).len();
    let mut gone: Vec<usize> = Vec::new();
    let mut last = first;
    for place in (0..count).rev() {
        let without = |other: usize| other != place && !gone.contains(&other);
        *pair = Pair::start(programs).await?;
        if let Some(difference) = play(pair, sequence, &without).await? {
            gone.push(place);
            last = difference;
        }
    }
    let base = Pair::start(programs).await?.clear().await?;
    let mut told = String::new();
    for (_, step) in sequence(base).into_iter().enumerate().filter(|(place, _)| !gone.contains(place)) {
        told.push_str(&format!("  {step:?}\n"));
    }
    Ok(told + &last.told())
}

impl Difference {
    fn told(&self) -> String {
        format!("at {:?}\n{}", self.step, side_by_side(&self.etcd, &self.ours))
    }
}

/// Two answers, with only the lines that differ marked.
fn side_by_side(etcd: &str, ours: &str) -> String {
    let (etcd, ours): (Vec<&str>, Vec<&str>) = (etcd.lines().collect(), ours.lines().collect());
    let mut text = String::new();
    for at in 0..etcd.len().max(ours.len()) {
        match (etcd.get(at), ours.get(at)) {
            (Some(theirs), Some(our)) if theirs == our => text.push_str(&format!("       {}\n", cut(theirs))),
            (theirs, our) => {
                theirs.into_iter().for_each(|line| text.push_str(&format!("  etcd {}\n", cut(line))));
                our.into_iter().for_each(|line| text.push_str(&format!("  ours {}\n", cut(line))));
            }
        }
    }
    text
}

/// As much of a line as somebody will look at: values may be large.
fn cut(line: &str) -> &str {
    line.char_indices().nth(LONGEST_LINE).map_or(line, |(at, _)| &line[..at])
}

/// Builds the binary, and says where it is: beside this program.
fn built(root: &Path) -> Result<std::path::PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--locked", "--quiet", "-p", "jangada"];
    let status =
        Command::new(cargo).args(arguments).current_dir(root).status().context("cannot run cargo")?;
    anyhow::ensure!(status.success(), "jangada does not build");
    Ok(std::env::current_exe()?.with_file_name("jangada"))
}
