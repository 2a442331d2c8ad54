//! What a run of libFuzzer has come to, and how it is told to people.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How much of an input is shown.
const SHOWN_BYTES: usize = 4_096;

/// How many lines of what led there are shown.
const SHOWN_LINES: usize = 40;

/// What a run has said.
#[derive(Debug, Default)]
pub(crate) struct Told {
    lines: Vec<String>,
    went_well: bool,
}

/// Runs it and keeps what it says.
pub(crate) fn run(command: Command) -> Result<Told> {
    listen(command, false)
}

/// The same, and shows it meanwhile.
pub(crate) fn run_aloud(command: Command) -> Result<Told> {
    listen(command, true)
}

fn listen(mut command: Command, aloud: bool) -> Result<Told> {
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("it does not start")?;
    let said = child.stderr.take().context("its stderr was asked for")?;
    let mut told = Told::default();
    for line in BufReader::new(said).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if aloud {
            eprintln!("{line}");
        }
        told.lines.push(line);
    }
    told.went_well = child.wait()?.success();
    Ok(told)
}

impl Told {
    /// Whether an input was found that breaks something.
    pub(crate) fn is_finding(&self) -> bool {
        !self.went_well && self.input().is_some()
    }

    /// The file with that input.
    fn input(&self) -> Option<PathBuf> {
        let line = self.lines.iter().find_map(|line| line.split_once("Test unit written to "))?;
        Some(PathBuf::from(line.1.trim()))
    }

    /// How many inputs were tried, and how much of our code they have met.
    pub(crate) fn summary(&self) -> String {
        let stat = |name: &str| {
            let line = self.lines.iter().rev().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().last()).unwrap_or("?").to_owned()
        };
        let coverage = self.lines.iter().rev().find_map(|line| {
            let (_, rest) = line.split_once(" cov: ")?;
            rest.split_whitespace().next()
        });
        let inputs = stat("stat::number_of_executed_units:");
        let inputs =
            if inputs == "?" { "inputs until it was found".to_owned() } else { format!("{inputs} inputs") };
        format!("{inputs}, {} edges", coverage.unwrap_or("?"))
    }

    /// What was found, and what can be done about it.
    pub(crate) fn explained(&self, target: &str) -> String {
        let from = self.lines.len().saturating_sub(SHOWN_LINES);
        let panic = self
            .lines
            .iter()
            .position(|line| line.contains("panicked at") || line.contains("ERROR: libFuzzer"));
        let from = panic.unwrap_or(from);
        let mut text: String =
            self.lines[from..].iter().take(SHOWN_LINES).fold(String::new(), |text, line| text + line + "\n");
        let Some(file) = self.input() else { return text };
        let name = file.display();
        text.push_str(&format!("\nfuzz: {target}: an input breaks it:\n{}\n", shown(&file)));
        text.push_str(&format!("replay:  cargo run -p xtask -- fuzz {target} {name}\n"));
        text.push_str(&format!("shrink:  cargo run -p xtask -- fuzz {target} --shrink {name}\n"));
        text.push_str(&format!("keep it: cp {name} crates/jangada-fuzz/corpus/{target}/WHAT-IT-SHOWS"));
        text
    }
}

fn shown(file: &Path) -> String {
    match std::fs::read(file) {
        Ok(bytes) => {
            let more = if bytes.len() > SHOWN_BYTES { "…" } else { "" };
            format!("{}{more}", bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii())
        }
        Err(error) => format!("{}: {error}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str], went_well: bool) -> Told {
        Told { lines: lines.iter().map(|line| (*line).to_owned()).collect(), went_well }
    }

    #[test]
    fn what_was_found_can_be_played_again() {
        let found = told(
            &[
                "thread 'main' panicked at src/x.rs:7:9:",
                "artifact_prefix='./'; Test unit written to ./crash-1",
            ],
            false,
        );
        assert!(found.is_finding());
        let text = found.explained("frames");
        assert!(text.contains("panicked at src/x.rs:7:9"), "{text}");
        assert!(text.contains("cargo run -p xtask -- fuzz frames ./crash-1"), "{text}");
        assert!(text.contains("--shrink ./crash-1"), "{text}");
    }

    #[test]
    fn a_run_that_ends_well_has_found_nothing() {
        let well = told(
            &["#1000 DONE   cov: 123 ft: 150 corp: 9/10b", "stat::number_of_executed_units: 1000"],
            true,
        );
        assert!(!well.is_finding());
        assert_eq!(well.summary(), "1000 inputs, 123 edges");
        // It could not even begin: that is no finding, and no success of the planted bug's.
        assert!(!told(&["cannot open shared object"], false).is_finding());
    }
}
