//! `xtask mutants`: bugs that are planted on purpose, and whether our checkers find each of them.
//!
//! `catalogue.rs` reads what there is to plant, `edit.rs` puts it beside the right code, `copy.rs` builds all of it
//! at once, `kill.rs` runs one mutant after the other, and `verdict.rs` hears which checker has fired. Nothing of
//! this touches the sources: see `docs/mutants.md` and decision 0013.

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::mutants::catalogue::Mutant;
use crate::mutants::copy::Copy;
use crate::mutants::kill::{Run, Verdict};
use crate::tidy::Tree;

pub mod catalogue; // what there is to plant
pub mod copy; // the sources with all mutants in them, built
pub mod edit; // the wrong code beside the right one
pub mod hunt; // looking for seeds
pub mod kill; // one mutant in its world
pub mod verdict; // which checker has fired

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// Only these.
    pub only: Vec<String>,
    /// Look for a seed that kills, instead of running the stored one.
    pub hunt: bool,
    /// Look for new seeds for those whose stored kill fails, and write them into the catalogue.
    pub rehunt: bool,
    /// Look for them in each of the explorer's worlds.
    pub explore: bool,
    /// Which seeds to look through.
    pub seeds: Option<Range<u64>>,
    /// In which worlds to look: `weather`, or a profile of the simulator.
    pub worlds: Vec<String>,
    /// Only build the binary with all mutants in it.
    pub binary: bool,
    /// Run the copy's unit tests as well.
    pub unit_tests: bool,
}

impl Arguments {
    /// Reads what stands behind `mutants`.
    ///
    /// # Errors
    /// If a word makes no sense.
    pub fn parse(words: &[&str]) -> Result<Arguments> {
        let mut arguments = Arguments::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--hunt" => arguments.hunt = true,
                "--rehunt" => arguments.rehunt = true,
                "--explore" => arguments.explore = true,
                "--binary" => arguments.binary = true,
                "--unit-tests" => arguments.unit_tests = true,
                "--world" => {
                    let world = words.next().context("--world wants a name: weather, default, classic")?;
                    arguments.worlds.push((*world).to_owned());
                }
                "--seeds" => {
                    let range = words.next().and_then(|range| range.split_once(".."));
                    let (from, to) = range.context("--seeds wants a range: --seeds 0..5000")?;
                    arguments.seeds = Some(from.parse()?..to.parse()?);
                }
                id if !id.starts_with('-') => arguments.only.push(id.to_owned()),
                unknown => bail!("`{unknown}` is unknown here"),
            }
        }
        Ok(arguments)
    }
}

/// Builds all mutants and runs those that are asked for; says how each fared.
///
/// # Errors
/// If the catalogue does not fit the sources, or the copy does not build.
pub fn run(root: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let tree = Tree::read(root)?;
    let (mutants, complaints) = catalogue::read(&tree);
    for complaint in &complaints {
        println!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!("the catalogue does not fit the sources: {} complaints", complaints.len());
    }
    let begun = Instant::now();
    let mut copy = Copy::make(root, &tree, &mutants)?;
    if arguments.binary {
        println!("{}", copy.build_binary()?.display());
        return Ok(ExitCode::SUCCESS);
    }
    build(&mut copy, &mutants, arguments)?;
    println!("{} mutants in one build, after {:.0} s", mutants.len(), begun.elapsed().as_secs_f64());
    let asked_for = |mutant: &&Mutant| arguments.only.is_empty() || arguments.only.contains(&mutant.id);
    let chosen: Vec<&Mutant> = mutants.iter().filter(asked_for).collect();
    if arguments.hunt {
        return hunt::hunt(&copy, &chosen, arguments);
    }
    if arguments.explore {
        return hunt::explore(&copy, &chosen);
    }
    let rows = judge_all(&copy, &chosen)?;
    let bad = print(&rows);
    if arguments.rehunt {
        return hunt::rehunt(root, &copy, &rows, arguments);
    }
    println!("\n{} killed of {}, in {:.0} s", rows.len() - bad, rows.len(), begun.elapsed().as_secs_f64());
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the stored kills need, and nothing else; a hunt needs the worlds.
fn build(copy: &mut Copy, mutants: &[Mutant], arguments: &Arguments) -> Result<()> {
    let kills = || mutants.iter().filter_map(|mutant| mutant.kill.as_ref());
    if arguments.explore {
        return copy.build_runner();
    }
    let looks = arguments.hunt || arguments.rehunt;
    let mut packages: Vec<&str> =
        kills().filter_map(|kill| kill.test.as_deref()?.split(' ').next()).collect();
    if looks || kills().any(|kill| kill.weather.is_none() && kill.test.is_none()) {
        copy.build_runner()?;
    }
    if looks || kills().any(|kill| kill.weather.is_some()) {
        packages.push("jangada-raft");
    }
    packages.sort_unstable();
    packages.dedup();
    for package in packages {
        copy.build_tests(package)?;
    }
    if arguments.unit_tests {
        copy.run_unit_tests(&["jangada-raft", "jangada-wal", "jangada-node"])?;
    }
    Ok(())
}

/// A mutant and how it fared.
pub struct Row<'a> {
    /// Which.
    pub mutant: &'a Mutant,
    /// How.
    pub verdict: Verdict,
    run: Option<Run>,
}

impl Row<'_> {
    /// How much chance it took: seeds that were tried until one showed it, states of the explorer; or how it is
    /// staged.
    fn found_after(&self) -> String {
        let Some(kill) = &self.mutant.kill else { return String::new() };
        match (kill.tried, self.run.as_ref().and_then(|run| run.states)) {
            (Some(1), _) => "1 seed".to_owned(),
            (Some(tried), _) => format!("{tried} seeds"),
            (None, Some(states)) => format!("{states} states"),
            (None, None) if kill.script.is_some() => "its script".to_owned(),
            (None, None) if kill.test.is_some() => "its test".to_owned(),
            (None, None) => "-".to_owned(),
        }
    }
}

/// Runs the stored kills, as many at a time as there are cores.
fn judge_all<'a>(copy: &Copy, mutants: &[&'a Mutant]) -> Result<Vec<Row<'a>>> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (verdict, run) =
                kill::judge(copy, mutant).with_context(|| format!("while {} ran", mutant.id))?;
            rows.lock().expect("nobody panics with it").push(Row { mutant, verdict, run });
        }
        Ok(())
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let mut rows = rows.into_inner().expect("nobody panics with it");
    rows.sort_by_key(|row| row.mutant.number());
    Ok(rows)
}

/// The table. Says how many are not as they should be.
fn print(rows: &[Row]) -> usize {
    let head = ("mutant", "found by", "after", "s", "what the wrong code does");
    println!("\n{:7} {:28} {:>14} {:>6}  {}", head.0, head.1, head.2, head.3, head.4);
    for row in rows {
        let (found_by, remark) = match &row.verdict {
            Verdict::Killed(finding) => (finding.checker.clone(), String::new()),
            Verdict::WrongChecker(finding) => {
                let wanted = row.mutant.checker.join(" or ");
                (format!("! {}", finding.checker), format!("\n        not by {wanted}: {}", finding.what))
            }
            Verdict::Survived => ("! SURVIVED".to_owned(), String::new()),
            Verdict::FailsWithout(finding) => {
                let what = format!("\n        {}: {}", finding.checker, finding.what);
                ("! fails without it too".to_owned(), what)
            }
            Verdict::NoKill => ("! no kill is stored".to_owned(), String::new()),
        };
        let took = row.run.as_ref().map_or(0.0, |run| run.took.as_secs_f64());
        let (id, title) = (&row.mutant.id, &row.mutant.title);
        println!("{id:7} {found_by:28} {:>14} {took:>6.2}  {title}{remark}", row.found_after());
    }
    rows.iter().filter(|row| !row.verdict.is_good()).count()
}
