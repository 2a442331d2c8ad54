//! What the compiler and clippy cannot check: lengths, headers, purity, words, maps, links, mutants.
//!
//! Each check takes text and gives complaints; this file alone reads the disk and runs other programs.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::mutants::catalogue;
use crate::source::Source;

pub mod links; // do the documents' links lead somewhere
pub mod maps; // do the documents' functions and tests exist
pub mod purity; // what a pure crate must not depend on
pub mod shape; // lengths and headers
pub mod words; // what must not stand in any file

/// Something that is not in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// The file, from the top folder on.
    pub path: PathBuf,
    /// The line, counted from 1; 0 if it is about the whole file.
    pub line: usize,
    /// What is wrong, why it matters if that is not plain, what would do.
    pub what: String,
}

impl Complaint {
    /// A complaint about a line of a file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, line: usize, what: impl Into<String>) -> Complaint {
        Complaint { path: path.into(), line, what: what.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path.display(), self.what),
            line => write!(f, "{}:{line}: {}", self.path.display(), self.what),
        }
    }
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many files were read.
    pub files: usize,
    /// What is not in order, by file and line.
    pub complaints: Vec<Complaint>,
}

/// The text files of the project.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Every path, from the top folder on, files that are not text among them.
    pub paths: BTreeSet<PathBuf>,
    /// Rust.
    pub rust: Vec<Source>,
    /// Everything else that is text: documents, scripts, configuration.
    pub other: Vec<(PathBuf, String)>,
}

impl Tree {
    /// Reads all files that belong to the project: those that git knows, and new ones that it would take.
    ///
    /// # Errors
    /// If git cannot be asked or a file cannot be read.
    pub fn read(root: &Path) -> Result<Tree> {
        let listed = output(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let mut tree = Tree::default();
        for name in listed.split('\0').filter(|name| !name.is_empty()) {
            let path = PathBuf::from(name);
            let full = root.join(&path);
            // A file that was deleted but not committed yet is still listed.
            if !full.is_file() {
                continue;
            }
            let bytes = std::fs::read(&full).with_context(|| format!("cannot read {name}"))?;
            tree.paths.insert(path.clone());
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if path.extension().is_some_and(|extension| extension == "rs") {
                tree.rust.push(Source::new(path, text));
            } else {
                tree.other.push((path, text));
            }
        }
        Ok(tree)
    }

    /// The text of a file that is not Rust.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.other.iter().find(|(other, _)| other == Path::new(path)).map(|(_, text)| text.as_str())
    }
}

/// Runs every check on the work tree.
///
/// # Errors
/// If the tree cannot be read or cargo cannot be asked.
pub fn run(root: &Path) -> Result<Report> {
    let tree = Tree::read(root)?;
    let mut complaints = shape::check(&tree);
    complaints.extend(words::check(&tree));
    complaints.extend(links::check(&tree));
    complaints.extend(maps::check(&tree));
    complaints.extend(catalogue::read(&tree).1);
    for name in purity::PURE {
        let arguments =
            ["tree", "--package", name, "--edges", "normal,build", "--prefix", "none", "--locked"];
        let listed = output(root, "cargo", &arguments)?;
        complaints.extend(purity::check(name, &listed));
    }
    complaints.sort();
    Ok(Report { files: tree.rust.len() + tree.other.len(), complaints })
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} did not answer in UTF-8"))
}
