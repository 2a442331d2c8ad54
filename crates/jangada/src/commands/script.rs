//! `jangada sim script`: plays one scenario, and prints it with what happens.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use jangada_sim::script::{Played, Script, file, play};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  $ jangada sim script figure-8.txt
  $ jangada sim script figure-8.txt -o json

docs/scripts.md has the language. Exit codes: 0 everything is as the script expects, 1 something is not, 2 the file cannot \
be read.";

/// Which scenario.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A file of commands; `-` reads from stdin
    pub file: PathBuf,
}

/// One command and what happened meanwhile.
#[derive(Serialize)]
struct Step<'a> {
    line: usize,
    command: &'a str,
    happened: &'a [String],
    failure: Option<&'a str>,
}

#[derive(Serialize)]
struct Report<'a> {
    steps: Vec<Step<'a>>,
    failure: Option<&'a str>,
    /// What the file says happens is what happened.
    as_written: bool,
}

/// Plays the script.
///
/// # Errors
/// If the file cannot be read, or something is not as it expects.
pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let text = read(arguments)?;
    let script =
        Script::read(&text).map_err(|why| Failure::usage(format!("{}: {why}", arguments.file.display())))?;
    let played = play(&script);
    let now = played.script.write();
    match format {
        Format::Json => output::json(&report(&played, now == text))?,
        Format::Text => output::line(now.trim_end())?,
    }
    if let Some(failure) = played.failure {
        return Err(Failure::new(Exit::No, failure));
    }
    let says_something = script.blocks.iter().any(|block| !block.output.is_empty());
    if says_something && now != text {
        output::note(&format!("it went otherwise than the file says:\n{}", file::difference(&text, &now)));
    }
    Ok(())
}

fn read(arguments: &Arguments) -> Result<String, Failure> {
    let read = if arguments.file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&arguments.file)
    };
    read.map_err(|error| Failure::usage(format!("{}: {error}", arguments.file.display())))
}

fn report(played: &Played, as_written: bool) -> Report<'_> {
    let steps = played.steps.iter().map(|step| Step {
        line: step.line,
        command: &step.command,
        happened: &step.told,
        failure: step.failure.as_deref(),
    });
    Report { steps: steps.collect(), failure: played.failure.as_deref(), as_written }
}
