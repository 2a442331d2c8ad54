//! `jangada lab`: real servers in this process, to be hurt by hand.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use jangada_trace::language::Language;

use crate::failure::Failure;
use crate::lab::{self, Plan, Source};
use crate::output::Format;
use crate::tongue;

const EXAMPLES: &str = "\
Examples:
  $ jangada lab
  $ jangada lab --servers 3 --keep
  $ jangada lab --script session.txt
  $ jangada lab --sim --seed 7

At the prompt: `set d 8`, `crash leader`, `get d`, `isolate 1 3`, `why 5`, `heal`, `help`. From a pipe or a script the same \
commands are read; exit code 1 says that something was not as an `expect` says, 2 that a line could not be read. \
docs/scripts.md has the language.";

/// How the laboratory is to be.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Servers at the beginning, 1 to 9 [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=9), value_name = "N")]
    pub servers: Option<u64>,
    /// In a made-up world instead, whose time stands still until it is told to pass, and can be travelled through
    #[arg(long)]
    pub sim: bool,
    /// Decides all that chance decides in a made-up world (`--sim`) [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Plays this script, and ends; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// The first of twenty ports: nK's clients connect to the K-th behind it [default: 3000]
    #[arg(long, env = "JANGADA_LAB_PORTS", value_name = "PORT")]
    pub ports: Option<u16>,
    /// Where the servers have their disks
    #[arg(long, default_value = "./lab-data", value_name = "DIR", conflicts_with = "sim")]
    pub data_dir: PathBuf,
    /// Each server writes everything that happens to NAME.jsonl in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "sim")]
    pub record: Option<PathBuf>,
    /// The disks stay behind, and the next `--keep` goes on with them
    #[arg(long, conflicts_with = "sim")]
    pub keep: bool,
    /// Serves the page for the browser, even if lines come from a pipe or a script
    #[arg(long)]
    pub page: bool,
    /// Serves no page
    #[arg(long, conflicts_with = "page")]
    pub no_page: bool,
    /// What you are spoken to in, `en` or `pt`; commands stay English words
    #[arg(long, env = "JANGADA_LANG", value_parser = tongue::named, value_name = "LANG")]
    pub lang: Option<Language>,
}

/// Opens the laboratory, and stays until it is over.
///
/// # Errors
/// 1 if something is not as a script expects, 2 if a line cannot be read, 4 if it cannot be opened.
pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return Err(Failure::usage(
            "a laboratory speaks to people; for programs there are --record DIR, `timeline to FILE.jsonl` at its prompt, \
             and `jangada client -o json`",
        ));
    }
    if let (Some(seed), false) = (arguments.seed, arguments.sim) {
        return Err(Failure::usage(format!(
            "real servers have no seed, only a made-up world has: `jangada lab --sim --seed {seed}`"
        )));
    }
    let source = match &arguments.script {
        Some(file) if file.as_os_str() == "-" => {
            Source::Script { name: "stdin".to_owned(), file: None, text: read(file)? }
        }
        Some(file) => {
            Source::Script { name: file.display().to_string(), file: Some(file.clone()), text: read(file)? }
        }
        None if std::io::stdin().is_terminal() => Source::Prompt,
        None => Source::Pipe,
    };
    lab::run(Plan {
        seed: arguments.sim.then(|| arguments.seed.unwrap_or(1)),
        servers: arguments.servers,
        ports: arguments.ports,
        folder: arguments.data_dir.clone(),
        record: arguments.record.clone(),
        keep: arguments.keep,
        page: arguments.page || (!arguments.no_page && matches!(source, Source::Prompt)),
        source,
        language: tongue::spoken(arguments.lang),
    })
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let read = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|why| Failure::usage(format!("{}: {why}", file.display())))
}
