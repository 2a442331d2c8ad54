//! A whole script, played from its beginning: on a simulated cluster, unless told otherwise.

use crate::check::Violation;

use super::cluster::Cluster;
use super::file::{Block, Script};
use super::simulated::Simulated;
use super::stage::Stage;

/// A script that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// The same commands, with what happened now.
    pub script: Script,
    /// Each command that was carried out, with what happened meanwhile.
    pub steps: Vec<Step>,
    /// The line that failed, and why: the rest was not carried out.
    pub failure: Option<String>,
    /// The simulator's invariants that did not hold.
    pub violations: Vec<Violation>,
}

/// One command that was carried out.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file, from 1 on.
    pub line: usize,
    /// As it was typed.
    pub command: String,
    /// What happened meanwhile.
    pub told: Vec<String>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Plays a script from its beginning, up to the first command that fails.
#[must_use]
pub fn play(script: &Script) -> Played {
    play_on(script, Simulated::new())
}

/// The same on a cluster of one's own.
#[must_use]
pub fn play_on(script: &Script, cluster: impl Cluster) -> Played {
    let mut stage = Stage::on(cluster);
    let mut steps: Vec<Step> = Vec::new();
    let mut played = Script { blocks: Vec::new() };
    let failed = |steps: &[Step]| steps.last().is_some_and(|step| step.failure.is_some());
    for block in &script.blocks {
        let first = steps.len();
        for line in &block.lines {
            let Some(command) = &line.command else { continue };
            let failure = stage.carry_out(command).err();
            let command = line.text.trim().to_owned();
            steps.push(Step { line: line.number, command, told: stage.take_told(), failure });
            if failed(&steps) {
                break;
            }
        }
        let output = steps[first..].iter().flat_map(|step| step.told.clone()).collect();
        played.blocks.push(Block { lines: block.lines.clone(), output });
        if failed(&steps) {
            break;
        }
    }
    let failure = steps.last().and_then(|step| {
        step.failure.as_ref().map(|why| format!("line {}, `{}`: {why}", step.line, step.command))
    });
    let violations = stage.as_cluster().violations().to_vec();
    Played { script: played, steps, failure, violations }
}
