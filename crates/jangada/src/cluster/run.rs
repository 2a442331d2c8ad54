//! Starting servers (all or none), waiting until they answer, stopping them, and finding the one that is meant.

use std::net::TcpListener;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::layout::{Layout, Server};
use super::occupied;
use super::process::{self, Held, POLL, State};
use super::status::{self, Overview};
use crate::client::http;
use crate::client::wire::reason;
use crate::failure::{Exit, Failure};

/// How long a server may take to start: it may have a long log to read.
pub const START_PATIENCE: Duration = Duration::from_secs(30);
/// So many servers that are not ready are named, each with its reason; of the others there are only more.
const MAX_NAMED: usize = 3;
/// How long a server may take to stop after SIGTERM.
pub const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How long a port may still belong to a process that is ending.
const PORT_GRACE: Duration = Duration::from_millis(500);
/// One look at `/readyz`.
const LOOK: Duration = Duration::from_millis(500);

/// A server that was started just now.
#[derive(Debug)]
pub struct Started {
    /// Which one.
    pub server: Server,
    /// Its process. Dropping it leaves the process alone.
    pub child: Child,
    /// Where its log began.
    log_from: u64,
}

/// How far a server should have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It answers.
    Answering,
    /// It serves: it knows a leader and takes requests.
    Ready,
}

/// Starts all of `servers`, or, if one cannot be started, none.
///
/// # Errors
/// Says which port is taken, or what a server said before it ended.
pub fn start(layout: &Layout, servers: &[Server], more: &[&str]) -> Result<Vec<Started>, Failure> {
    for server in servers {
        ports_are_free(server)?;
    }
    let mut started = Vec::new();
    for server in servers {
        let log_from = process::log_length(layout, server);
        match process::spawn(layout, server, more) {
            Ok(child) => started.push(Started { server: server.clone(), child, log_from }),
            Err(failure) => {
                abandon(&mut started);
                return Err(failure);
            }
        }
    }
    Ok(started)
}

/// Kills what was started.
pub fn abandon(started: &mut Vec<Started>) {
    for mut one in started.drain(..) {
        // An error means that it has ended already.
        let _ = one.child.kill();
        let _ = one.child.wait();
    }
}

fn ports_are_free(server: &Server) -> Result<(), Failure> {
    // The last threads of a process that was killed a moment ago may still hold them.
    let deadline = Instant::now() + PORT_GRACE;
    for (what, address) in [("client", &server.client), ("peer", &server.peer)] {
        while let Err(error) = TcpListener::bind(address) {
            if Instant::now() >= deadline {
                let (who, do_that) = occupied::by_whom(address)
                    .unwrap_or_else(|| (error.to_string(), "stop what uses it".to_owned()));
                return Err(Failure::refused(format!(
                    "{}'s {what} port is not free: {address}: {who}; {do_that}, or choose another --base-port",
                    server.name
                )));
            }
            thread::sleep(POLL);
        }
    }
    Ok(())
}

/// Waits until each of `started` has come as far as `stage`.
///
/// # Errors
/// What a server said before it ended (with its exit code), or why one is not ready.
pub fn wait_for(
    layout: &Layout,
    started: &mut [Started],
    stage: Stage,
    deadline: Instant,
) -> Result<(), Failure> {
    let path = match stage {
        Stage::Answering => "/livez",
        Stage::Ready => "/readyz",
    };
    let mut why = vec![String::new(); started.len()];
    let mut ready = vec![false; started.len()];
    loop {
        for (index, one) in started.iter_mut().enumerate() {
            if let Ok(Some(status)) = one.child.try_wait() {
                let said = process::log_tail(layout, &one.server, one.log_from);
                let exit = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::No as u8);
                let message = format!("{} ended at once ({status}); its log says:\n{said}", one.server.name);
                return Err(Failure { exit, message });
            }
            if !ready[index] {
                match look(&one.server, path) {
                    Ok(()) => ready[index] = true,
                    Err(text) => why[index] = text,
                }
            }
        }
        if ready.iter().all(|ready| *ready) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let waiting = started.iter().zip(&why).zip(&ready).filter(|(_, ready)| !**ready);
            let waiting: Vec<String> =
                waiting.map(|((one, why), _)| format!("{}: {why}", one.server.name)).collect();
            let more = match waiting.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            let named = waiting[..waiting.len().min(MAX_NAMED)].join("; ");
            return Err(Failure::unreachable(format!("not ready in time: {named}{more}")));
        }
        thread::sleep(POLL);
    }
}

/// Asks `/livez` or `/readyz` once.
///
/// # Errors
/// What it said.
pub fn look(server: &Server, path: &str) -> Result<(), String> {
    match http::get(&server.client, path, Instant::now() + LOOK) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(answer.text()),
        Err(error) => Err(reason(&error)),
    }
}

/// Asks all chosen servers how they are.
pub fn overview(layout: &Layout, of: impl Fn(&Server) -> bool) -> Overview {
    Overview::of(status::ask_all(&layout.targets(of)))
}

/// The servers that `names` mean: names, `leader`, or `all` (the members).
///
/// # Errors
/// Unknown names; no leader.
pub fn resolve(layout: &Layout, names: &[String]) -> Result<Vec<Server>, Failure> {
    let mut found: Vec<Server> = Vec::new();
    for name in names {
        let meant: Vec<Server> = match name.as_str() {
            "all" => layout.members().cloned().collect(),
            "leader" => vec![leader(layout, Instant::now() + Duration::from_secs(3))?],
            name => vec![layout.find(name)?.clone()],
        };
        for server in meant {
            if found.iter().all(|other| other.name != server.name) {
                found.push(server);
            }
        }
    }
    Ok(found)
}

/// The leader; waits for one until the deadline.
///
/// # Errors
/// 3 when there is none.
pub fn leader(layout: &Layout, deadline: Instant) -> Result<Server, Failure> {
    loop {
        let overview = overview(layout, |server| !server.removed);
        if let Some(leader) = overview.leader() {
            return layout.find(&leader.name).cloned();
        }
        if Instant::now() >= deadline {
            let why =
                overview.tolerance().map_or("no server answers".to_owned(), |tolerance| tolerance.sentence());
            return Err(Failure::unreachable(format!("there is no leader: {why}")));
        }
        thread::sleep(POLL * 4);
    }
}

/// Asks servers to stop (a paused one is woken for it) and waits. Gives back those that did not.
///
/// # Errors
/// When a signal is refused.
pub fn stop(layout: &Layout, servers: &[Server], patience: Duration) -> Result<Vec<Server>, Failure> {
    let held = servers.iter().filter_map(|server| Some((server, process::hold(layout, server)?)));
    let held: Vec<(&Server, Held)> = held.collect();
    for (_, process) in &held {
        process.signal(Signal::TERM)?;
        if matches!(process.state, State::Paused(_)) {
            process.signal(Signal::CONT)?;
        }
    }
    let deadline = Instant::now() + patience;
    let stubborn = held.iter().filter(|(_, process)| !process.wait_end(deadline));
    Ok(stubborn.map(|(server, _)| (*server).clone()).collect())
}

/// Kills servers (SIGKILL), all at once, and waits until they are gone. Gives back how they were before.
///
/// # Errors
/// When a signal is refused.
pub fn kill(layout: &Layout, servers: &[Server]) -> Result<Vec<State>, Failure> {
    let held: Vec<Option<Held>> = servers.iter().map(|server| process::hold(layout, server)).collect();
    for process in held.iter().flatten() {
        process.signal(Signal::KILL)?;
    }
    let deadline = Instant::now() + STOP_PATIENCE;
    for (server, process) in servers.iter().zip(&held) {
        if process.as_ref().is_some_and(|process| !process.wait_end(deadline)) {
            let name = &server.name;
            return Err(Failure::refused(format!("{name} did not end after SIGKILL (a hanging disk?)")));
        }
    }
    Ok(held.iter().map(|process| process.as_ref().map_or(State::Gone, |process| process.state)).collect())
}
