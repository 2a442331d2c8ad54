//! What a student is told: hole by hole, then scene by scene.

use std::fmt;

use jangada_raft::types::NodeId;
use jangada_trace::lab::{Lab, dated};
use jangada_trace::names::Names;

use crate::script::cluster::{Cluster, Setup};
use crate::script::{Script, play_on};

use super::Election;
use super::cases::{self, Case};
use super::judge::{Wrong, try_one};
use super::peers::Peers;
use super::scenes::{SCENES, SEEDS};
use super::server::HOLES;

/// How a hole is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoleState {
    /// Nothing is in it yet.
    Empty,
    /// In this situation it does what the paper does not: two lines.
    Wrong(String),
    /// It depends on another hole, which is empty.
    Waits(u8),
    /// In all of its situations it does what the paper wants.
    Right,
}

/// How a solution is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The holes, from 1 to 8.
    pub holes: Vec<HoleState>,
    /// For each of the [`SCENES`] the seeds with which it went well, and how the first other one went.
    pub scenes: Vec<(u64, Option<(u64, String)>)>,
}

/// Looks at a solution: each hole alone, then five servers of it.
#[must_use]
pub fn check<E: Election>() -> Report {
    let cases = cases::all();
    let holes = (1..=HOLES).map(|hole| state::<E>(hole, &cases)).collect();
    let scenes = SCENES.iter().map(|scene| {
        let failed = |seed| scene.play::<E>(seed).err().map(|why| (seed, why));
        let first = (1..=SEEDS).find_map(failed);
        (first.as_ref().map_or(SEEDS, |(seed, _)| seed - 1), first)
    });
    Report { holes, scenes: scenes.collect() }
}

fn state<E: Election>(hole: u8, cases: &[Case]) -> HoleState {
    let mut state = HoleState::Right;
    for case in cases.iter().filter(|case| case.hole == hole) {
        match try_one::<E>(case) {
            Ok(()) => {}
            // An empty hole says more than one that is wrong somewhere; so we look at all situations.
            Err(Wrong::Empty(empty)) if empty == hole => return HoleState::Empty,
            Err(Wrong::Empty(empty)) if state == HoleState::Right => state = HoleState::Waits(empty),
            Err(Wrong::Otherwise(why)) if !matches!(state, HoleState::Wrong(_)) => {
                state = HoleState::Wrong(why)
            }
            Err(Wrong::Empty(_) | Wrong::Otherwise(_)) => {}
        }
    }
    state
}

impl Report {
    /// All holes are right, and all scenes went well.
    #[must_use]
    pub fn is_solved(&self) -> bool {
        self.holes.iter().all(|hole| *hole == HoleState::Right)
            && self.scenes.iter().all(|(_, failed)| failed.is_none())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (state, hole) in self.holes.iter().zip(1..) {
            let (about, section) = (cases::about(hole), cases::section(hole));
            write!(f, "hole {hole}  {about:<34}")?;
            match state {
                HoleState::Empty => writeln!(f, "empty   [{section}]")?,
                HoleState::Waits(other) => writeln!(f, "hands over to hole {other}, which is empty")?,
                HoleState::Right => writeln!(f, "right")?,
                HoleState::Wrong(why) => writeln!(f, "wrong\n    {}", why.replace('\n', "\n    "))?,
            }
        }
        writeln!(f)?;
        for (scene, (_, failed)) in SCENES.iter().zip(&self.scenes) {
            match failed {
                None => writeln!(f, "yes  {}   ({SEEDS} seeds)", scene.shows)?,
                Some((seed, why)) => {
                    writeln!(f, "no   {}   [{}]", scene.shows, scene.source)?;
                    // Behind the servers' roles stand their logs and members: there is nothing to see.
                    let lines: Vec<&str> = why.lines().take(2 + 5).collect();
                    writeln!(f, "     seed {seed}, {}", lines.join("\n     "))?;
                    // One is enough to think about; the others build on it.
                    return writeln!(f, "\nThe scenes behind this one wait for it.");
                }
            }
        }
        writeln!(f, "\nFive servers of yours elect one leader, and keep it.")
    }
}

/// What five servers of a solution say in their first seconds, in the words of the university lab; `seconds` of them.
#[must_use]
pub fn log<E: Election>(seed: u64, seconds: u64) -> String {
    let mut peers = Peers::<E>::new();
    let founded = peers.found(&Setup { seed, ..Setup::new(5) });
    assert_eq!(founded, Ok(()), "five servers without logs can be founded");
    let hosts = |id: u64| (NodeId(id), format!("localhost:{}", 3000 + id));
    let names: Names = (1..=5).map(hosts).collect();
    let mut labs: Vec<Lab> = (0..5).map(|_| Lab::new(names.clone())).collect();
    let mut out = String::new();
    let until = jangada_raft::types::Time(seconds * 1_000_000_000);
    while peers.pass(until) == Ok(true) {
        for record in peers.take_records() {
            let lab = &mut labs[usize::try_from(record.node.0 - 1).expect("five servers")];
            for line in lab.lines(&record.event) {
                // The lab's clock showed seconds; they begin with the world here.
                let second = i64::try_from(record.time.0 / 1_000_000_000).unwrap_or(0);
                let line = dated(second, &line);
                out.push_str(&format!("{}  {line}\n", record.node));
            }
        }
    }
    out
}

/// Plays somebody's own script on five servers of a solution: what was told, and why it failed, if it did.
///
/// # Errors
/// The script cannot be read.
pub fn play<E: Election>(script: &str) -> Result<(String, Option<String>), String> {
    let played = play_on(&Script::read(script)?, Peers::<E>::new());
    let told = played.steps.iter().flat_map(|step| &step.told).map(|line| format!("{line}\n")).collect();
    Ok((told, played.failure))
}
