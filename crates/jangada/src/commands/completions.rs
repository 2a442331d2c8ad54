//! `jangada completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  $ jangada completions bash";

/// Which shell.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The shell that will read them.
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When stdout is closed.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "jangada", &mut script);
    output::raw(&script)
}
