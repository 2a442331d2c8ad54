//! The command line: which words there are. What they do stands in `commands`, one file each.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::commands::{client, cluster, completions, demo, lab, load, node, ping, serve, sim, timeline};
use crate::ctl::grammar as ctl;
use crate::output::Shape;

const EXAMPLES: &str = "\
Examples:
  $ jangada demo
  $ jangada cluster up 3
  $ jangada client set hello world
  $ jangada client get hello
  $ jangada cluster kill leader
  $ jangada cluster status
  $ jangada cluster down

Exit codes: 0 ok, 1 no or not found, 2 usage or configuration, 3 unreachable, no quorum or outcome \
unknown, 4 refused, 5 data corrupt, 6 disk failed, 124 deadline, 130/143 signals.";

/// A replicated, linearizable key-value store: Raft in one binary.
#[derive(Debug, Parser)]
#[command(name = "jangada", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// How answers are printed.
    #[arg(short, long, global = true, value_parser = Shape::common(), default_value = "text", value_name = "FORMAT")]
    pub output: Shape,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one server in the foreground
    Serve(Box<serve::Arguments>),
    /// Start, look at, hurt and change a cluster of real processes on this machine
    Cluster(cluster::Arguments),
    /// Talk to a cluster: a prompt, or one word for scripts
    Client(client::Arguments),
    /// Try the way to servers' peer ports: a number goes there, and comes back doubled
    Ping(ping::Arguments),
    /// Start servers in this process, and hurt them by hand: see Raft happen
    Lab(lab::Arguments),
    /// Run one of the five servers of the university lab
    Node(node::Arguments),
    /// Watch three real servers survive kill -9, with every claim checked
    Demo(demo::Arguments),
    /// Run simulated clusters in which everything goes wrong, from seeds
    Sim(Box<sim::Arguments>),
    /// See what happened: servers as lanes, messages as arrows
    Timeline(Box<timeline::Arguments>),
    /// Put servers under load, and measure what they do: rates, latencies, errors
    Load(Box<load::Arguments>),
    /// Talk to a cluster in etcdctl's words; a real etcd will do, too
    Ctl(Box<ctl::Arguments>),
    /// Run a server with etcd's flags and environment, for whatever starts etcd today
    #[command(disable_help_flag = true)]
    Etcd {
        /// etcd's flags: `jangada etcd --help` says what becomes of each
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
        flags: Vec<OsString>,
    },
    /// Print the completions for a shell
    Completions(completions::Arguments),
}

/// The lab's own spelling is `-id 1` and `-seed abc`, with one dash; clap wants two.
pub fn two_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut for_node = false;
    let respell = |argument: OsString| -> OsString {
        for_node |= argument == "node";
        match argument.to_str() {
            Some(text) if for_node => {
                let word = text.split('=').next().unwrap_or_default();
                if ["-id", "-seed"].contains(&word) { format!("-{text}").into() } else { argument }
            }
            _ => argument,
        }
    };
    arguments.map(respell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_lab_may_be_started_with_one_dash() {
        let line = |text: &str| two_dashes(text.split(' ').map(OsString::from));
        assert_eq!(line("jangada node -id 3 -seed=x"), line("jangada node --id 3 --seed=x"));
        assert_eq!(line("jangada client get -id"), ["jangada", "client", "get", "-id"].map(OsString::from));
    }
}
