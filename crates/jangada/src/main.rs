//! Jangada: a replicated key-value store and a Raft laboratory in one binary.
//!
//! Only the command line lives here. `cli` lists the words, `commands` does them, `cluster` runs real processes, `lab`
//! servers in this one, `client` talks to servers, `demo` tells the story, `timeline` paints
//! pictures, `load` measures, `config_file` reads what `serve` is told.

#![allow(unreachable_pub, reason = "a binary exports nothing; `pub` says: for the other modules")]

mod cli;
mod client;
mod cluster;
mod commands;
mod config_file;
mod demo;
mod failure;
mod lab;
mod load;
mod output;
mod timeline;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse_from(cli::two_dashes(std::env::args_os()));
    let format = cli.output;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                match format {
                    output::Format::Text => output::note(&format!("jangada: {failure}")),
                    output::Format::Json => output::note(
                        &serde_json::json!({"error": failure.message, "exit": failure.exit}).to_string(),
                    ),
                }
            }
            ExitCode::from(failure.exit)
        }
    }
}
