//! `jangada load`: servers under load, and what they make of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::login::Login;
use crate::client::password;
use crate::cluster::layout::Layout;
use crate::cluster::status;
use crate::commands::client::check_address;
use crate::failure::{Exit, Failure};
use crate::load::compare::{Comparison, Side};
use crate::load::killer::Killer;
use crate::load::plan::{End, Plan, Protocol, Work};
use crate::load::report::Report;
use crate::load::run::{self, Glance};
use crate::load::{leasing, servers, watching};
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  $ jangada cluster up 3 --dir try
  $ jangada load put --dir try --clients 64 --connections 8 --operations 2000
  $ jangada load get --dir try --fill --keys 1000 --operations 5000
  $ jangada load mixed --dir try --reads 90 --rate 500 --duration 1s
  $ jangada load put --dir try --leader --value-size 1000 --duration 500ms
  $ jangada load put --dir try --kill-leader-every 1s --duration 3s
  $ jangada load get --dir try --protocol etcd --serializable --duration 500ms
  $ jangada load txn --dir try --operations 2000
  $ jangada load lease --dir try --clients 100 --duration 500ms
  $ jangada load watch --dir try --clients 100 --connections 16 --rate 200 --duration 1s
  $ jangada load compare put --servers 127.0.0.1:2379 --against 127.0.0.1:2381 --rounds 2 -n 500

It speaks RESP or, with --protocol etcd, etcd's API, so that it can be pointed at any server that does; \
transactions, watches and leases are etcd's. Without --rate each client asks again as soon as it is \
answered; with it, operations are due at fixed times, and what a server that stands still keeps waiting is counted from \
when it was due. Exit codes: 0 ok, 1 nothing was answered, 2 usage, 3 nobody could be reached.";

/// What the clients are to do.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What they do.
    #[command(subcommand)]
    pub what: What,
}

/// What the clients do.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Write random keys
    Put(Options),
    /// Read random keys, linearizably
    Get(Options),
    /// Read and write random keys
    Mixed(Options),
    /// Look at random keys and write them, each in one transaction (etcd's API)
    Txn(Options),
    /// Keep leases alive, each client its own, on streams that are open (etcd's API)
    Lease(Options),
    /// One writes random keys, the clients watch them all: how long until each has heard (etcd's API)
    Watch(Options),
    /// Run two targets in turns, and print what one is to the other
    Compare {
        /// What the clients do with both
        work: Work,
        /// Client addresses of the second target, comma separated
        #[arg(long, value_delimiter = ',', required = true, value_name = "HOST:PORT,…")]
        against: Vec<String>,
        /// How often each is run
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        rounds: u16,
        /// How.
        #[command(flatten)]
        options: Options,
    },
}

/// How they do it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Client addresses, comma separated; connections are spread over them
    #[arg(
        short,
        long,
        env = "JANGADA_SERVERS",
        value_delimiter = ',',
        default_value = "127.0.0.1:2379",
        value_name = "HOST:PORT,…"
    )]
    pub servers: Vec<String>,
    /// A cluster that `jangada cluster` keeps there, in place of --servers
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// All connections to the leader alone (asks Jangada's servers who it is)
    #[arg(long)]
    pub leader: bool,
    /// How servers are spoken to
    #[arg(long, value_enum, default_value_t = Protocol::Resp)]
    pub protocol: Protocol,
    /// Servers may answer reads with what they know, which may be old (with --protocol etcd)
    #[arg(long)]
    pub serializable: bool,
    /// How many clients ask at the same time, or watch
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: u32,
    /// How many connections they share
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// How many different keys there are
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub keys: u64,
    /// How long values are, in bytes
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub value_size: u32,
    /// How many of a hundred operations read, in `mixed`
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub reads: u8,
    /// Operations a second, all clients together; without it, as many as there can be
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    pub rate: Option<f64>,
    /// How long it takes: 10s, 500ms
    #[arg(short, long, default_value = "10s", value_name = "TIME", value_parser = super::timeline::time)]
    pub duration: Duration,
    /// End after so many operations in place of a time
    #[arg(short = 'n', long, value_name = "NUMBER", conflicts_with = "duration")]
    pub operations: Option<u64>,
    /// Write all keys before
    #[arg(long)]
    pub fill: bool,
    /// How long an answer is waited for
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = super::timeline::time)]
    pub timeout: Duration,
    /// Who asks, where servers want to know; without a password it is asked for
    #[arg(long, env = "JANGADA_USER", hide_env_values = true, value_name = "NAME[:PASSWORD]")]
    pub user: Option<String>,
    /// The password, if --user has none
    #[arg(long, env = "JANGADA_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Kill the leader of --dir each time this has passed, and start it again a second later
    #[arg(long, value_name = "TIME", value_parser = super::timeline::time, requires = "dir")]
    pub kill_leader_every: Option<Duration>,
    /// Where the dice begin: the same number asks the same things
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && (0.001..=1e9).contains(rate));
    number.ok_or_else(|| format!("{text} is no number of operations a second; write 1000"))
}

/// Runs it and prints what was seen.
///
/// # Errors
/// 1 when nothing was answered, 2 for what cannot be, 3 when nobody is there.
pub fn run(arguments: Arguments, format: Format) -> Result<(), Failure> {
    let (work, options) = match arguments.what {
        What::Put(options) => (Work::Put, options),
        What::Get(options) => (Work::Get, options),
        What::Mixed(options) => (Work::Mixed, options),
        What::Txn(options) => (Work::Txn, options),
        What::Lease(options) => (Work::Lease, options),
        What::Watch(options) => (Work::Watch, options),
        What::Compare { work, against, rounds, options } => {
            return compare(work, &against, usize::from(rounds), &options, format);
        }
    };
    let plan = options.plan(work)?;
    let servers = options.addresses()?;
    let report = measured(&plan, &servers, &options)?;
    print(&report, report.answered > 0, format)
}

fn compare(
    work: Work,
    against: &[String],
    rounds: usize,
    options: &Options,
    format: Format,
) -> Result<(), Failure> {
    if options.kill_leader_every.is_some() {
        return Err(Failure::usage(
            "--kill-leader-every does not go with `compare`: two runs with it are not alike",
        ));
    }
    let plan = options.plan(work)?;
    let (a, b) = (options.addresses()?, checked(against)?);
    let b = if options.leader { vec![leader_of(&b)?] } else { b };
    let comparison = Comparison::of([a.join(","), b.join(",")], rounds, |side| match side {
        Side::A => measured(&plan, &a, options),
        Side::B => measured(&plan, &b, options),
    })?;
    let answered = comparison.a.iter().chain(&comparison.b).all(|report| report.answered > 0);
    print(&comparison, answered, format)
}

fn print<T: serde::Serialize + std::fmt::Display>(
    seen: &T,
    answered: bool,
    format: Format,
) -> Result<(), Failure> {
    match format {
        Format::Text => output::line(&seen.to_string())?,
        Format::Json => output::json(seen)?,
    }
    match answered {
        true => Ok(()),
        false => Err(Failure::new(Exit::No, "nothing was answered: the errors above say why")),
    }
}

/// One run, with the CPU that it took and the leaders that it cost.
fn measured(plan: &Plan, addresses: &[String], options: &Options) -> Result<Report, Failure> {
    for address in addresses {
        reachable(address, plan.patience)?;
    }
    if options.fill {
        let bar = live_line();
        let progress = |count| bar.set_message(format!("writes all keys first: {count} of {}", plan.keys));
        let filled = run::fill(plan, addresses, progress);
        bar.finish_and_clear();
        filled.map_err(|why| Failure::unreachable(format!("cannot write the keys: {why}")))?;
    }
    let pids = servers::processes_at(addresses);
    let killer = match (&options.dir, options.kill_leader_every) {
        (Some(dir), Some(every)) => Some(Killer::start(dir, every)?),
        _ => None,
    };
    let before = (servers::cpu_seconds(&pids), servers::own_cpu_seconds());
    let bar = live_line();
    let glance = |glance: Glance| bar.set_message(told(glance));
    let report = match plan.work {
        Work::Watch => watching::run(plan, addresses, glance),
        Work::Lease => leasing::run(plan, addresses, glance),
        Work::Put | Work::Get | Work::Mixed | Work::Txn => run::run(plan, addresses, glance),
    };
    bar.finish_and_clear();
    let mut report = report.map_err(|error| Failure::refused(format!("cannot run the clients: {error}")))?;
    report.client_cpu_us = report.each(servers::own_cpu_seconds() - before.1);
    match killer {
        // Whoever was killed took the count of its CPU along.
        Some(killer) => report.kills = killer.stop()?,
        None if !pids.is_empty() => report.server_cpu_us = report.each(cpu_since(&pids, before.0)),
        None => {}
    }
    Ok(report)
}

fn cpu_since(pids: &BTreeSet<u32>, before: f64) -> f64 {
    (servers::cpu_seconds(pids) - before).max(0.0)
}

fn told(glance: Glance) -> String {
    format!(
        "{:.0} s  {:.0}/s  p99 {:.1} ms  {} errors",
        glance.elapsed.as_secs_f64(),
        glance.rate,
        glance.p99.as_secs_f64() * 1_000.0,
        glance.failures
    )
}

/// A line on stderr that changes; nothing if nobody looks.
fn live_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is a constant");
    ProgressBar::new_spinner().with_style(style)
}

/// Somebody listens there.
fn reachable(address: &str, patience: Duration) -> Result<(), Failure> {
    let deadline = std::time::Instant::now() + patience;
    crate::client::wire::connect(address, deadline).map(drop).map_err(|error| {
        Failure::unreachable(format!(
            "{address}: {}; start a server there",
            crate::client::wire::reason(&error)
        ))
    })
}

fn checked(servers: &[String]) -> Result<Vec<String>, Failure> {
    let servers: Vec<String> = servers.iter().map(|server| server.trim().to_owned()).collect();
    servers.iter().try_for_each(|server| check_address(server))?;
    Ok(servers)
}

fn leader_of(servers: &[String]) -> Result<String, Failure> {
    let overview = status::ask_cluster(servers);
    let leader = overview.leader().ok_or_else(|| {
        Failure::unreachable("--leader: nobody at these addresses leads, or they are no servers of Jangada")
    })?;
    let own = |member: &&jangada_server::status::MemberStatus| member.name == leader.name;
    let address = leader.membership.members.iter().find(own).map(|member| member.client_addr.clone());
    address.ok_or_else(|| {
        Failure::unreachable(format!("--leader: {} does not say where its clients go", leader.name))
    })
}

impl Options {
    fn plan(&self, work: Work) -> Result<Plan, Failure> {
        // Redis's protocol has nothing of the kind.
        let protocol = if work.is_etcds() { Protocol::Etcd } else { self.protocol };
        if self.serializable && protocol == Protocol::Resp {
            return Err(Failure::usage(
                "--serializable needs --protocol etcd: RESP's reads are linearizable",
            ));
        }
        Ok(Plan {
            work,
            protocol,
            serializable: self.serializable,
            clients: self.clients as usize,
            connections: self.connections as usize,
            keys: self.keys,
            value_bytes: self.value_size as usize,
            reads: self.reads,
            rate: self.rate,
            end: self.operations.map_or(End::After(self.duration), End::Operations),
            seed: self.seed,
            patience: self.timeout,
            login: self.login()?,
        })
    }

    fn login(&self) -> Result<Option<Login>, Failure> {
        let Some(user) = self.user.as_deref().filter(|user| !user.is_empty()) else { return Ok(None) };
        let typed = match (user.contains(':'), &self.password) {
            (false, None) => Some(password::asked(user)?),
            (true, _) | (_, Some(_)) => self.password.clone(),
        };
        Ok(Some(Login::of(user, typed)))
    }

    fn addresses(&self) -> Result<Vec<String>, Failure> {
        let servers = match &self.dir {
            Some(dir) => Layout::load(dir)?.client_addresses(),
            None => checked(&self.servers)?,
        };
        match self.leader {
            true => Ok(vec![leader_of(&servers)?]),
            false => Ok(servers),
        }
    }
}
