//! Jangada: a replicated key-value store and a Raft laboratory in one binary.
//!
//! Only the command line lives here. `cli` lists the words, `commands` does them, `cluster` runs real processes, `lab`
//! servers in this one, `client` talks to servers, `demo` tells the story, `timeline` paints
//! pictures, `load` measures, `etcd` is a server in etcd's words, `ctl` a client in etcdctl's, `config_file` reads what `serve` is told, `tongue` knows
//! what people are spoken to in.

#![allow(unreachable_pub, reason = "a binary exports nothing; `pub` says: for the other modules")]

mod cli;
mod client;
mod cluster;
mod commands;
mod config_file;
mod ctl;
mod demo;
mod etcd;
mod failure;
mod lab;
mod load;
mod output;
mod timeline;
mod tolerance;
mod tongue;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if called_etcd(std::env::args_os().next()) {
        arguments.next();
        return ended(etcd::run(arguments), output::Format::Text);
    }
    let cli = cli::Cli::parse_from(cli::two_dashes(arguments));
    let format = cli.output.format();
    ended(commands::run(cli), format)
}

/// Whether the program was started under the name `etcd`.
fn called_etcd(program: Option<OsString>) -> bool {
    program.is_some_and(|program| Path::new(&program).file_name().is_some_and(|name| name == "etcd"))
}

fn ended(outcome: Result<(), failure::Failure>, format: output::Format) -> ExitCode {
    match outcome {
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
