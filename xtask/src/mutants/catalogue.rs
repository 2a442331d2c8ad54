//! The catalogue: one file for each mutant, `mutants/M27.toml`, read and checked.
//!
//! What a mutant file says is drawn in `docs/mutants.md`. Nothing here builds or runs anything.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::mutants::edit::{self, Edit};
use crate::tidy::{Complaint, Tree};

/// The folder of the catalogue.
pub const FOLDER: &str = "mutants";

/// A bug that is planted on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// `M27`; `canary` for the one that shows that the harness itself would notice.
    pub id: String,
    /// What the wrong code does.
    pub title: String,
    /// Where it was reported or shipped.
    pub source: String,
    /// The checkers that may find it; another one is a failure.
    pub checker: Vec<String>,
    /// Why these, where there are several, and what the mutant looks like here.
    #[serde(default)]
    pub note: String,
    /// How it is found again in less than a second.
    pub kill: Option<Kill>,
    /// What is changed.
    #[serde(rename = "edit")]
    pub edits: Vec<Edit>,
}

/// How a mutant is found again: exactly one of the worlds is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// A seed of the simulator.
    pub sim: Option<u64>,
    /// The simulator's profile for that seed.
    pub profile: Option<String>,
    /// A script of the simulator, from the top folder on.
    pub script: Option<String>,
    /// A configuration of the explorer.
    pub explore: Option<String>,
    /// Checkers that the explorer does without, so that the named one has to find it.
    #[serde(default)]
    pub overlook: Vec<String>,
    /// A seed of the core's random worlds (`crates/jangada-raft/tests/it/weather.rs`).
    pub weather: Option<u64>,
    /// A test: `jangada-wal crash_points::every_crash_point_boots`.
    pub test: Option<String>,
    /// Seeds that were tried until this one.
    pub tried: Option<u64>,
}

impl Mutant {
    /// The number that switches it on in the build that has them all; 0 stands for none.
    #[must_use]
    pub fn number(&self) -> u32 {
        match self.id.as_str() {
            "canary" => u32::MAX - 1,
            id => id.strip_prefix('M').and_then(|digits| digits.parse().ok()).unwrap_or(0),
        }
    }

    /// Its file, from the top folder on.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(format!("{}.toml", self.id))
    }
}

impl Kill {
    fn ways(&self) -> usize {
        usize::from(self.sim.is_some())
            + usize::from(self.script.is_some())
            + usize::from(self.explore.is_some())
            + usize::from(self.weather.is_some())
            + usize::from(self.test.is_some())
    }
}

/// Reads the catalogue out of the tree, by number, and says what is wrong with it: a file that cannot be read,
/// a number twice, an edit that does not fit its source any more.
#[must_use]
pub fn read(tree: &Tree) -> (Vec<Mutant>, Vec<Complaint>) {
    let mut mutants: Vec<Mutant> = Vec::new();
    let mut complaints = Vec::new();
    for (path, text) in &tree.other {
        let in_folder = path.parent() == Some(Path::new(FOLDER));
        if !in_folder || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        match toml::from_str::<Mutant>(text) {
            Ok(mutant) => {
                let whole = |what: String| Complaint::new(path, 0, what);
                complaints.extend(flaws(&mutant, path).into_iter().map(whole));
                mutants.push(mutant);
            }
            Err(error) => complaints.push(Complaint::new(path, 0, format!("cannot be read: {error}"))),
        }
    }
    mutants.sort_by_key(Mutant::number);
    complaints.extend(edit::misfits(tree, &mutants));
    (mutants, complaints)
}

fn flaws(mutant: &Mutant, path: &Path) -> Vec<String> {
    let mut flaws = Vec::new();
    if mutant.number() == 0 {
        flaws.push(format!("`{}` is no id: M and a number, or `canary`", mutant.id));
    }
    if path != mutant.path() {
        flaws.push(format!("holds {}, so it should be called {}", mutant.id, mutant.path().display()));
    }
    if mutant.checker.is_empty() {
        flaws.push("names no checker: any failure would count".to_owned());
    }
    if mutant.checker.len() > 1 && mutant.note.is_empty() {
        flaws.push("names several checkers without a note that says why".to_owned());
    }
    if mutant.edits.is_empty() {
        flaws.push("changes nothing".to_owned());
    }
    if mutant.kill.as_ref().is_some_and(|kill| kill.explore.is_none() && !kill.overlook.is_empty()) {
        flaws.push("[kill] overlooks checkers, but only the explorer can".to_owned());
    }
    if mutant.kill.as_ref().is_some_and(|kill| kill.ways() != 1) {
        flaws.push("[kill] names not exactly one of sim, script, explore, weather, test".to_owned());
    }
    flaws
}

/// A mutant's file with another `[kill]`, which stands between the head and the first edit.
#[must_use]
pub fn with_kill(text: &str, kill: &str) -> String {
    let mut out = String::new();
    let mut in_kill = false;
    let mut written = false;
    for line in text.lines() {
        if line.starts_with('[') {
            in_kill = line.trim() == "[kill]";
            if line.trim() == "[[edit]]" && !written {
                out.push_str(&format!("[kill]\n{kill}\n\n"));
                written = true;
            }
        }
        if !in_kill {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "id = \"M27\"\ntitle = \"t\"\nsource = \"s\"\nchecker = [\"c\"]\n\n[kill]\nsim = 5\n\n\
                        [[edit]]\nfile = \"a.rs\"\ninstead_of = \"x\"\nwrite = \"y\"\n";

    #[test]
    fn a_mutant_is_read_and_its_kill_replaced() {
        let mutant: Mutant = toml::from_str(TEXT).unwrap();
        assert_eq!((mutant.number(), mutant.kill.unwrap().sim), (27, Some(5)));
        let text = with_kill(TEXT, "weather = 9\ntried = 10");
        let mutant: Mutant = toml::from_str(&text).unwrap();
        let kill = mutant.kill.unwrap();
        assert_eq!((kill.sim, kill.weather, kill.tried), (None, Some(9), Some(10)));
        assert_eq!(with_kill(&text, "sim = 5"), TEXT);
    }

    #[test]
    fn what_is_wrong_with_a_mutant_is_said() {
        let mutant: Mutant = toml::from_str(TEXT).unwrap();
        assert!(flaws(&mutant, Path::new("mutants/M27.toml")).is_empty());
        assert_eq!(flaws(&mutant, Path::new("mutants/M28.toml")).len(), 1);
        let nameless = Mutant { id: "27".to_owned(), checker: Vec::new(), ..mutant };
        assert_eq!(flaws(&nameless, Path::new("mutants/27.toml")).len(), 2);
    }
}
