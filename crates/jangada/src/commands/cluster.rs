//! `jangada cluster`: real processes on this machine, in the background.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use rustix::process::Signal;

use super::{members, ping};
use crate::cluster::admin;
use crate::cluster::layout::{Layout, Server};
use crate::cluster::process::{self, State};
use crate::cluster::run::{self, START_PATIENCE, STOP_PATIENCE, Stage};
use crate::cluster::status::{self, Overview};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  $ jangada cluster up 3
  $ jangada cluster status
  $ jangada cluster ping
  $ jangada cluster kill leader
  $ jangada cluster restart all
  $ jangada cluster add
  $ jangada cluster transfer n2
  $ jangada cluster remove n4
  $ jangada cluster down

NAME is n1, n2 …, or `leader`, or `all`. n1 serves clients on --base-port and peers on the next one, \
n2 on the next two, and so on.";

/// Most servers of a cluster on one machine.
const MAX_COUNT: u32 = 25;

/// Which cluster, and what to do with it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Where the cluster's data, logs and pids are
    #[arg(
        short,
        long,
        global = true,
        env = "JANGADA_DIR",
        default_value = "jangada.cluster",
        value_name = "DIR"
    )]
    pub dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with a cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a cluster of N servers, or again one that was stopped
    Up {
        /// How many servers, 25 at most
        #[arg(default_value_t = 3, value_name = "N")]
        count: u32,
        /// The client port of n1; each server takes two ports
        #[arg(long, env = "JANGADA_BASE_PORT", default_value_t = 2379, value_name = "PORT")]
        base_port: u16,
        /// Each server writes everything that happens to NAME.jsonl in this folder
        #[arg(long, value_name = "DIR")]
        record: Option<PathBuf>,
        /// Give up after this many seconds
        #[arg(long, default_value_t = 10, value_name = "SECONDS")]
        timeout: u64,
        /// More flags for each `jangada serve`
        #[arg(last = true, value_name = "SERVE FLAGS")]
        more: Vec<String>,
    },
    /// How each server is, and how many more may fail
    Status,
    /// Try the way to the servers' peer ports, without Raft (see `jangada ping`)
    Ping {
        /// n1, n2 …, `leader` or `all`; without any, all
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// How many numbers go to each
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
        count: u32,
    },
    /// Kill servers (SIGKILL): they get no chance to do anything
    Kill(Names),
    /// Freeze servers (SIGSTOP): they keep their connections and answer nothing
    Pause(Names),
    /// Wake paused servers (SIGCONT)
    Resume(Names),
    /// Start servers again, after stopping them if they run
    Restart(Names),
    /// Start new servers and make them members, in one change
    Add {
        /// Their names; without any, the next number
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Give up after this many seconds
        #[arg(long, default_value_t = 30, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Take members out, in one change, and stop them
    Remove {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Give up after this many seconds
        #[arg(long, default_value_t = 30, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Change to exactly these members, in one change
    Members(members::Arguments),
    /// Hand the lead to another server
    Transfer {
        /// The next leader
        name: String,
    },
    /// Stop all servers in good order (SIGTERM); their data stays
    Down,
}

/// Some servers.
#[derive(Args, Debug)]
pub struct Names {
    /// n1, n2 …, `leader` or `all`
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// Does it.
///
/// # Errors
/// Says what, why and what now.
pub fn run(arguments: Arguments, format: Format) -> Result<(), Failure> {
    let dir = arguments.dir;
    if let Command::Up { count, base_port, record, timeout, mut more } = arguments.command {
        may_be(count)?;
        if let Some(folder) = record {
            more.extend(recording_in(&folder)?);
        }
        return up(dir, count, base_port, Duration::from_secs(timeout), more, format);
    }
    let changes = !matches!(arguments.command, Command::Status | Command::Ping { .. });
    let layout = Layout::load(&dir)?;
    let lock = if changes { Some(Layout::lock(&dir)?) } else { None };
    let done = match arguments.command {
        Command::Up { .. } => unreachable!("it was handled above"),
        Command::Status => status(&layout, format),
        Command::Ping { names, count } => ping(&layout, names, count, format),
        Command::Kill(names) => each(&layout, &names.names, format, "killed", run::kill),
        Command::Pause(names) => each(&layout, &names.names, format, "paused", pause),
        Command::Resume(names) => each(&layout, &names.names, format, "resumed", resume),
        Command::Restart(names) => restart(&layout, &names.names, format),
        Command::Add { names, timeout } => members::add(layout, &names, Duration::from_secs(timeout), format),
        Command::Remove { names, timeout } => {
            members::remove(layout, &names, Duration::from_secs(timeout), format)
        }
        Command::Members(arguments) => members::run(layout, arguments, format),
        Command::Transfer { name } => transfer(&layout, &name, format),
        Command::Down => down(&layout, format),
    };
    drop(lock);
    done
}

/// The flags that make a server record in this folder, wherever it is started from.
fn recording_in(folder: &std::path::Path) -> Result<[String; 2], Failure> {
    let unusable = |error: std::io::Error| Failure::usage(format!("--record {}: {error}", folder.display()));
    let whole = std::path::absolute(folder).map_err(unusable)?;
    std::fs::create_dir_all(&whole).map_err(unusable)?;
    Ok(["--record".to_owned(), whole.display().to_string()])
}

/// Whether a cluster of so many servers makes sense on one machine.
fn may_be(count: u32) -> Result<(), Failure> {
    match count {
        0 => {
            Err(Failure::usage("a cluster of 0 servers holds nothing; 3 survive one failure, 5 survive two"))
        }
        1..=MAX_COUNT => Ok(()),
        _ => Err(Failure::usage(format!(
            "{count} servers are too many for one machine: {MAX_COUNT} at most. 3 survive one failure, 5 survive two; \
             more only let every write wait for more disks"
        ))),
    }
}

fn up(
    dir: PathBuf,
    count: u32,
    base_port: u16,
    patience: Duration,
    more: Vec<String>,
    format: Format,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let _lock = Layout::lock(&dir)?;
    let layout = match Layout::exists(&dir) {
        true => again(Layout::load(&dir)?, count)?,
        false => Layout::plan(&dir, count, base_port, &more)?,
    };
    let known = Layout::exists(&dir);
    let members: Vec<Server> = layout.members().cloned().collect();
    // Whoever was never ready has nothing that anybody could miss.
    let ours = |server: &&Server| !known && !layout.data_dir(&server.name).exists();
    let ours: Vec<Server> = members.iter().filter(ours).cloned().collect();
    if !known {
        layout.save()?;
    }
    let started = run::start(&layout, &members, &[]).and_then(|mut started| {
        let ready = run::wait_for(&layout, &mut started, Stage::Ready, Instant::now() + patience);
        ready.map_err(|failure| given_up(failure, &layout, &mut started, known))
    });
    if let Err(failure) = started {
        let nobody_runs = members.iter().all(|server| process::state(&layout, server) == State::Gone);
        if !known && nobody_runs {
            // As if it had never been asked for; the logs stay, to be read.
            let _ = std::fs::remove_file(layout.dir.join("cluster.toml"));
            for server in ours {
                let _ = std::fs::remove_dir_all(layout.data_dir(&server.name));
            }
        }
        return Err(failure);
    }
    let seconds = begun.elapsed().as_secs_f64();
    report(&layout, format)?;
    if format == Format::Text {
        let shown = arguments_for(&dir);
        output::note(&format!(
            "ready in {seconds:.2} s: {} server{} in {}\n  jangada client --servers {} set hello world\n  \
             jangada cluster{shown} kill leader\n  jangada cluster{shown} down",
            members.len(),
            if members.len() == 1 { "" } else { "s" },
            layout.dir.display(),
            layout.client_addresses().join(","),
        ));
    }
    Ok(())
}

/// What becomes of servers that were not ready in time, and what now. New ones are stopped; those with a log to read may
/// only be slow, and go on; but one that ended takes the others with it.
fn given_up(failure: Failure, layout: &Layout, started: &mut Vec<run::Started>, known: bool) -> Failure {
    let dir = layout.dir.display();
    let ended = started.iter_mut().any(|one| matches!(one.child.try_wait(), Ok(Some(_))));
    let now = if ended || !known {
        run::abandon(started);
        format!("none of them is left running; their logs are {dir}/NAME/jangada.log")
    } else {
        let shown = arguments_for(&layout.dir);
        format!(
            "they go on starting: `jangada cluster{shown} status` tells how far they are, `jangada cluster{shown} down` \
             stops them"
        )
    };
    Failure { message: format!("{}; {now}", failure.message.trim_end()), ..failure }
}

/// The flag that names this directory in a command to paste.
fn arguments_for(dir: &std::path::Path) -> String {
    match dir == std::path::Path::new("jangada.cluster") {
        true => String::new(),
        false => format!(" --dir {}", dir.display()),
    }
}

/// A cluster that was here before, to be started once more.
fn again(layout: Layout, count: u32) -> Result<Layout, Failure> {
    let dir = layout.dir.display();
    let running: Vec<&str> = layout
        .servers
        .iter()
        .filter(|server| process::state(&layout, server) != State::Gone)
        .map(|server| server.name.as_str())
        .collect();
    if !running.is_empty() {
        return Err(Failure::refused(format!(
            "{dir} already holds a running cluster ({}); see `jangada cluster status`, or stop it with `jangada \
             cluster down`",
            running.join(", ")
        )));
    }
    let members = layout.members().count();
    if members != count as usize {
        return Err(Failure::refused(format!(
            "{dir} already holds a cluster of {members}, stopped; start it again with `up {members}`, or choose \
             another --dir"
        )));
    }
    Ok(layout)
}

fn status(layout: &Layout, format: Format) -> Result<(), Failure> {
    report(layout, format)
}

fn ping(layout: &Layout, mut names: Vec<String>, count: u32, format: Format) -> Result<(), Failure> {
    if names.is_empty() {
        names.push("all".to_owned());
    }
    let servers = run::resolve(layout, &names)?;
    let targets = servers.into_iter().map(|server| (server.name, server.peer)).collect();
    ping::try_all(targets, count, format)
}

/// Prints all servers: their processes and what they say.
fn report(layout: &Layout, format: Format) -> Result<(), Failure> {
    let shown = |server: &Server| !server.removed || process::state(layout, server) != State::Gone;
    let overview = run::overview(layout, shown);
    let states = overview.views.iter().map(|view| {
        let server = layout.find(&view.target.name).expect("the targets came from this layout");
        process::state(layout, server)
    });
    let states: Vec<State> = states.collect();
    match format {
        Format::Json => output::json(&report_json(layout, &overview, &states)),
        Format::Text => {
            let mut columns = status::COLUMNS.to_vec();
            columns.push("PID");
            let rows = overview.views.iter().zip(&states).map(|(view, state)| {
                let mut row = status::row(view, &overview);
                match state {
                    State::Gone => "down".clone_into(&mut row[1]),
                    State::Paused(_) => "paused".clone_into(&mut row[1]),
                    State::Running(_) => {}
                }
                if layout.find(&view.target.name).is_ok_and(|server| server.removed) {
                    row[1].push_str(", removed");
                }
                row.push(state.pid().map_or("-".to_owned(), |pid| pid.to_string()));
                row
            });
            output::line(&output::table(&columns, rows.collect()))?;
            status::print_sentences(&overview)
        }
    }
}

fn report_json(layout: &Layout, overview: &Overview, states: &[State]) -> serde_json::Value {
    let servers = overview.views.iter().zip(states).map(|(view, state)| {
        let server = layout.find(&view.target.name).expect("the targets came from this layout");
        let word = match state {
            State::Running(_) => "running",
            State::Paused(_) => "paused",
            State::Gone => "down",
        };
        serde_json::json!({
            "name": server.name, "process": word, "pid": state.pid(), "client_addr": server.client,
            "peer_addr": server.peer, "removed": server.removed,
            "data_dir": layout.data_dir(&server.name), "log": layout.log_file(&server.name),
            "status": view.answer.as_ref().ok(), "error": view.answer.as_ref().err(),
        })
    });
    serde_json::json!({
        "dir": layout.dir, "leader": overview.leader().map(|status| status.name.clone()),
        "tolerance": overview.tolerance(), "servers": servers.collect::<Vec<_>>(),
    })
}

/// Does the same to each of the named servers and says what was done.
fn each(
    layout: &Layout,
    names: &[String],
    format: Format,
    done: &str,
    action: impl Fn(&Layout, &[Server]) -> Result<Vec<State>, Failure>,
) -> Result<(), Failure> {
    let servers = run::resolve(layout, names)?;
    let mut absent = Vec::new();
    let mut acted = Vec::new();
    for (server, before) in servers.iter().zip(action(layout, &servers)?) {
        match before.pid() {
            Some(pid) => acted.push((server.name.clone(), pid)),
            None => absent.push(server.name.clone()),
        }
    }
    match format {
        Format::Json => {
            let acted: Vec<_> =
                acted.iter().map(|(name, pid)| serde_json::json!({"name": name, "pid": pid})).collect();
            output::json(&serde_json::json!({ "done": done, "servers": acted, "not_running": absent }))?;
        }
        Format::Text => {
            for (name, pid) in &acted {
                output::line(&format!("{name} {done} (pid {pid})"))?;
            }
        }
    }
    match absent.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::No,
            format!("{} not running; `jangada cluster restart` starts it again", absent.join(", ")),
        )),
    }
}

fn pause(layout: &Layout, servers: &[Server]) -> Result<Vec<State>, Failure> {
    signal_and_see(layout, servers, Signal::STOP, |state| matches!(state, State::Paused(_) | State::Gone))
}

fn resume(layout: &Layout, servers: &[Server]) -> Result<Vec<State>, Failure> {
    signal_and_see(layout, servers, Signal::CONT, |state| matches!(state, State::Running(_) | State::Gone))
}

/// Signals all of them, waits until it shows, and gives back how they were before.
fn signal_and_see(
    layout: &Layout,
    servers: &[Server],
    signal: Signal,
    shows: impl Fn(State) -> bool,
) -> Result<Vec<State>, Failure> {
    let before: Result<Vec<State>, Failure> =
        servers.iter().map(|server| process::signal(layout, server, signal)).collect();
    let deadline = Instant::now() + STOP_PATIENCE;
    for server in servers {
        process::wait_until(layout, server, deadline, &shows);
    }
    before
}

fn restart(layout: &Layout, names: &[String], format: Format) -> Result<(), Failure> {
    let servers = run::resolve(layout, names)?;
    let stubborn = run::stop(layout, &servers, STOP_PATIENCE)?;
    if let Some(server) = stubborn.first() {
        return Err(Failure::refused(format!(
            "{0} did not stop in {1} s; `jangada cluster kill {0}` leaves it no choice",
            server.name,
            STOP_PATIENCE.as_secs()
        )));
    }
    let mut started = run::start(layout, &servers, &[])?;
    run::wait_for(layout, &mut started, Stage::Answering, Instant::now() + START_PATIENCE)?;
    match format {
        Format::Json => {
            let started: Vec<_> = started
                .iter()
                .map(|one| serde_json::json!({"name": one.server.name, "pid": one.child.id()}))
                .collect();
            output::json(&serde_json::json!({"done": "started", "servers": started}))
        }
        Format::Text => {
            for one in &started {
                output::line(&format!("{} started (pid {})", one.server.name, one.child.id()))?;
            }
            Ok(())
        }
    }
}

fn transfer(layout: &Layout, name: &str, format: Format) -> Result<(), Failure> {
    if name == "leader" {
        return Err(Failure::usage("the leader leads already; name another server"));
    }
    let to = layout.find(name)?;
    if process::state(layout, to) == State::Gone {
        return Err(Failure::refused(format!(
            "{name} is not running; start it with `jangada cluster restart {name}`"
        )));
    }
    let answer = admin::transfer(&layout.client_addresses(), name, Duration::from_secs(5));
    let answer = answer.map_err(|(failure, _)| failure)?;
    match format {
        Format::Json => output::json(&answer),
        Format::Text => output::line(&format!("{} leads in term {}", answer.leader, answer.term)),
    }
}

fn down(layout: &Layout, format: Format) -> Result<(), Failure> {
    let running = layout.servers.iter().filter(|server| process::state(layout, server) != State::Gone);
    let running: Vec<Server> = running.cloned().collect();
    let stubborn = run::stop(layout, &running, STOP_PATIENCE)?;
    let names = |servers: &[Server]| servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>();
    let stopped: Vec<String> =
        names(&running).into_iter().filter(|name| !names(&stubborn).contains(name)).collect();
    match format {
        Format::Json => {
            output::json(&serde_json::json!({"stopped": stopped, "still_running": names(&stubborn)}))?;
        }
        Format::Text if running.is_empty() => output::line("nothing was running")?,
        Format::Text => {
            output::line(&format!(
                "stopped {}; the data stays in {}",
                stopped.join(", "),
                layout.dir.display()
            ))?;
        }
    }
    match stubborn.is_empty() {
        true => Ok(()),
        false => Err(Failure::refused(format!(
            "{} did not stop in {} s; `jangada cluster kill` leaves no choice",
            names(&stubborn).join(", "),
            STOP_PATIENCE.as_secs()
        ))),
    }
}
