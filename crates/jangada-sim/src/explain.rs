//! A seed that fails, explained: what broke, what little is needed for it, and the story.

use core::fmt;

use crate::check::Violation;
use crate::kv::Kv;
use crate::setup::{Builder, run, tell};
use crate::shrink::{Shrunk, Size, shrink};

/// Why a seed fails.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The first thing that did not hold.
    pub violation: Violation,
    /// How large its plan was.
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
    let plan = builder.plan();
    let violation = run(plan.clone(), Kv::new()).violations.into_iter().next()?;
    let shrunk = shrink(&plan, &violation, tries, |plan| run(plan.clone(), Kv::new()).violations);
    let (_, story) = tell(shrunk.plan.clone(), Kv::new());
    Some(Explanation { violation, before: Size::of(&plan), shrunk, story })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (&self.before, Size::of(&self.shrunk.plan));
        writeln!(f, "{}", self.violation)?;
        writeln!(f)?;
        let operations = |count: u64| match count {
            u64::MAX => "any number of".to_owned(),
            count => count.to_string(),
        };
        writeln!(
            f,
            "After {} more runs this is left: {} of {} servers, {} of {} faults, {} operations of {}, {:?} of {:?}.",
            self.shrunk.tries,
            after.servers,
            before.servers,
            after.faults,
            before.faults,
            operations(after.operations),
            operations(before.operations),
            after.trouble,
            before.trouble
        )?;
        for (at, fault) in &self.shrunk.plan.faults {
            writeln!(f, "  {at:?}: {fault:?}")?;
        }
        writeln!(f)?;
        for line in &self.story {
            writeln!(f, "{line}")?;
        }
        write!(f, "\nThen {}", self.shrunk.violation)
    }
}
