//! A seed that fails, explained: what broke, what little is needed for it, and the story.

use core::fmt;

use jangada_raft::types::Time;
use jangada_trace::phrases::span;

use crate::check::Violation;
use crate::kv::Kv;
use crate::plan::Plan;
use crate::rng::nanos;
use crate::setup::{Builder, run, tell};
use crate::shrink::{Shrunk, Size, shrink};
use crate::story::{LEGEND, clock};
use crate::telling;

/// Why a plan fails.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The first thing that did not hold.
    pub violation: Violation,
    /// How large the plan was.
    pub before: Size,
    /// What is left of it.
    pub shrunk: Shrunk,
    /// What happens in what is left.
    pub story: Vec<String>,
}

/// Runs a seed with clients of the key-value store; if it fails, its plan is made small in `tries` runs at most, and
/// told as a timeline. `None` if everything holds.
#[must_use]
pub fn explain(builder: &Builder, tries: u32) -> Option<Explanation> {
    explain_plan(&builder.plan(), tries)
}

/// The same for a plan; with no tries it is told as it is.
#[must_use]
pub fn explain_plan(plan: &Plan, tries: u32) -> Option<Explanation> {
    let violation = run(plan.clone(), Kv::new()).violations.into_iter().next()?;
    let shrunk = shrink(plan, &violation, tries, |plan| run(plan.clone(), Kv::new()).violations);
    let (_, story) = tell(shrunk.plan.clone(), Kv::new());
    Some(Explanation { violation, before: Size::of(plan), shrunk, story })
}

impl Explanation {
    /// How much is left of the plan, as a sentence.
    #[must_use]
    pub fn left(&self) -> String {
        let (before, after) = (&self.before, Size::of(&self.shrunk.plan));
        if self.shrunk.tries == 0 {
            return format!(
                "The plan has {}, {}, {} and {} of trouble.",
                counted(after.servers, "server"),
                counted(after.faults as u64, "planned fault"),
                operations(after.operations),
                span(after.trouble)
            );
        }
        let of = match before.operations {
            u64::MAX => "any number".to_owned(),
            count => count.to_string(),
        };
        format!(
            "This is left after {}: {} (of {}), {} (of {}), {} (of {of}), {} of trouble (of {}).",
            counted(self.shrunk.tries.into(), "run"),
            counted(after.servers, "server"),
            before.servers,
            counted(after.faults as u64, "planned fault"),
            before.faults,
            operations(after.operations),
            span(after.trouble),
            span(before.trouble)
        )
    }

    /// What goes wrong in what is left: planned faults with their times, and what goes wrong by itself.
    #[must_use]
    pub fn needs(&self) -> Vec<String> {
        let plan = &self.shrunk.plan;
        let planned = plan.faults.iter().map(|(at, fault)| {
            format!("{:>10}  {}", clock(Time(nanos(*at))), telling::fault(fault, plan.places(), None))
        });
        let weather = telling::weather(plan).into_iter().map(|what| format!("{:>10}  {what}", "always"));
        planned.chain(weather).collect()
    }
}

fn operations(count: u64) -> String {
    match count {
        u64::MAX => "any number of operations".to_owned(),
        count => counted(count, "operation"),
    }
}

fn counted(count: u64, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n{}", self.violation, self.left())?;
        for line in self.needs() {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "\n{LEGEND}")?;
        for line in &self.story {
            writeln!(f, "{line}")?;
        }
        write!(f, "\n{}", self.shrunk.violation)
    }
}
