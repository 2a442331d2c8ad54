//! `jangada demo`.

use clap::Args;

use crate::demo;
use crate::failure::Failure;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  $ jangada demo";

/// Nothing to choose, except what is kept.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Keep the servers' directory
    #[arg(long)]
    pub keep: bool,
}

/// Tells the story.
///
/// # Errors
/// 1 when a claim did not hold.
pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    demo::tell(arguments.keep, format)
}
