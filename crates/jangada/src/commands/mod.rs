//! The commands, one file each: `Arguments` (the grammar) and `run`.

pub mod client;
pub mod cluster;
pub mod completions;
pub mod demo;
pub mod explore;
pub mod failing;
pub mod lab;
pub mod load;
pub mod members;
pub mod mutant;
pub mod node;
pub mod ping;
pub mod script;
pub mod serve;
pub mod sim;
pub mod timeline;
pub mod verify;

use crate::cli::{Cli, Command};
use crate::ctl;
use crate::etcd;
use crate::failure::Failure;

/// Does what was asked.
///
/// # Errors
/// With the exit code of the program.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let output = cli.output.format();
    match cli.command {
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Cluster(arguments) => cluster::run(arguments, output),
        Command::Client(arguments) => client::run(arguments, output),
        Command::Ping(arguments) => ping::run(&arguments, output),
        Command::Lab(arguments) => lab::run(&arguments, output),
        Command::Node(arguments) => node::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments, output),
        Command::Sim(arguments) => sim::run(&arguments, output),
        Command::Load(arguments) => load::run(*arguments, output),
        Command::Ctl(arguments) => ctl::run(*arguments),
        Command::Etcd { flags } => etcd::run(flags),
        Command::Timeline(arguments) => timeline::run(&arguments, output),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}
