//! A run of the simulator that failed: told, and written down so that it can be run again.

use std::path::Path;

use jangada_sim::explain::{Explanation, explain_plan};
use jangada_sim::plan::Plan;
use jangada_sim::shrink::Size;
use jangada_sim::{PlanFile, Violation, quietly};
use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// Runs in which a failure is made small.
const SHRINKING_RUNS: u32 = 600;

/// What did not hold, as `-o json` has it.
#[derive(Serialize)]
pub struct Broken {
    invariant: &'static str,
    node: Option<String>,
    time_seconds: f64,
    sentence: String,
}

/// Why a run failed, as `-o json` has it; docs/simulator.md says what each field means.
#[derive(Serialize)]
pub struct Story {
    violation: Broken,
    before: Measures,
    after: Measures,
    runs: u32,
    needs: Vec<String>,
    timeline: Vec<String>,
    plan: PlanFile,
}

/// How large a plan is.
#[derive(Serialize)]
struct Measures {
    servers: u64,
    faults: usize,
    /// None: any number.
    operations: Option<u64>,
    trouble_seconds: f64,
}

impl Measures {
    fn of(size: Size) -> Measures {
        Measures {
            servers: size.servers,
            faults: size.faults,
            operations: (size.operations < u64::MAX).then_some(size.operations),
            trouble_seconds: size.trouble.as_secs_f64(),
        }
    }
}

impl Broken {
    /// This one.
    pub fn of(violation: &Violation) -> Broken {
        Broken {
            invariant: violation.invariant.name(),
            node: violation.node.map(|id| id.to_string()),
            time_seconds: violation.time.0 as f64 / 1e9,
            sentence: violation.sentence.clone(),
        }
    }
}

impl Story {
    /// What is told in text.
    pub fn of(explanation: &Explanation) -> Story {
        Story {
            violation: Broken::of(&explanation.shrunk.violation),
            before: Measures::of(explanation.before),
            after: Measures::of(Size::of(&explanation.shrunk.plan)),
            runs: explanation.shrunk.tries,
            needs: explanation.needs(),
            timeline: explanation.story.clone(),
            plan: on_paper(explanation),
        }
    }
}

fn on_paper(explanation: &Explanation) -> PlanFile {
    PlanFile::of(explanation.shrunk.plan.clone(), explanation.shrunk.violation.to_string())
}

/// Runs a plan again, makes it small if `smaller`, and tells what happens. `None` if it does not fail any more.
pub fn explain(plan: &Plan, smaller: bool) -> Option<Explanation> {
    if smaller {
        output::note("making the failure small...");
    }
    // A failure that panics does so in each of these runs; once was enough.
    quietly(|| explain_plan(plan, if smaller { SHRINKING_RUNS } else { 0 }))
}

/// Reads a plan that somebody has saved.
///
/// # Errors
/// The file cannot be read, or is no plan.
pub fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|why| wrong(why.to_string()))?;
    Ok(PlanFile::read(&text).map_err(wrong)?.plan)
}

/// Saves what is left of a plan that failed, or the whole of one that did not.
///
/// # Errors
/// The file cannot be written.
pub fn save_plan(path: &Path, explanation: Option<&Explanation>, whole: Plan) -> Result<(), Failure> {
    let file = match explanation {
        Some(explanation) => on_paper(explanation),
        None => PlanFile::of(whole, "everything holds".into()),
    };
    std::fs::write(path, file.write()).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
    output::note(&format!("saved; run it with\n  jangada sim --plan {}", path.display()));
    Ok(())
}
