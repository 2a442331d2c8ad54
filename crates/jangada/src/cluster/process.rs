//! Server processes: started apart from the terminal, found again by their pid file, and never signalled unless
//! `/proc` confirms that the pid still is that very server (a pid is used again after a while).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::layout::{Layout, Server};
use crate::failure::Failure;

/// How often a condition of another process is looked at: it is not our child after `up` has ended, and tells nobody when it is
/// ready or gone.
pub const POLL: Duration = Duration::from_millis(5);
/// Bytes of a log that are shown when a server did not start.
const TAIL_BYTES: u64 = 4 << 10;

/// What a server's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, under this pid.
    Running(u32),
    /// It is stopped by a signal (SIGSTOP), under this pid.
    Paused(u32),
    /// There is none.
    Gone,
}

impl State {
    /// Its pid, if it lives.
    pub fn pid(self) -> Option<u32> {
        match self {
            State::Running(pid) | State::Paused(pid) => Some(pid),
            State::Gone => None,
        }
    }
}

/// Looks for the server's process.
pub fn state(layout: &Layout, server: &Server) -> State {
    let Ok(text) = fs::read_to_string(layout.pid_file(&server.name)) else { return State::Gone };
    let Ok(pid) = text.trim().parse::<u32>() else { return State::Gone };
    if !is_that_server(pid, layout, server) {
        return State::Gone;
    }
    match process_letter(pid) {
        Some('T' | 't') => State::Paused(pid),
        // A zombie has ended; it only waits for its parent to notice.
        Some('Z' | 'X') | None => State::Gone,
        Some(_) => State::Running(pid),
    }
}

/// Whether the process is `jangada serve` with this server's data directory.
fn is_that_server(pid: u32, layout: &Layout, server: &Server) -> bool {
    let Ok(command_line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let data_dir = layout.data_dir(&server.name);
    let arguments: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    let has_dir = arguments.windows(2).any(|pair| {
        pair[0] == b"--data-dir" && pair[1] == std::os::unix::ffi::OsStrExt::as_bytes(data_dir.as_os_str())
    });
    has_dir && arguments.get(1) == Some(&&b"serve"[..])
}

/// The third word of `/proc/PID/stat`: R, S, D, T, Z …
fn process_letter(pid: u32) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second word is the program's name in brackets, which may itself contain anything.
    text.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Starts the server in the background, in a process group of its own, with its output in its log file.
///
/// # Errors
/// When the program or its files cannot be opened.
pub fn spawn(layout: &Layout, server: &Server, more: &[&str]) -> Result<Child, Failure> {
    let home = layout.home(&server.name);
    let start = || -> io::Result<Child> {
        fs::create_dir_all(&home)?;
        let log = File::options().create(true).append(true).open(layout.log_file(&server.name))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(layout.arguments(server)).args(more);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        // The file in D says how it is started, not the environment of whoever happens to restart it.
        for (name, _) in std::env::vars_os() {
            if is_ours(&name) {
                command.env_remove(name);
            }
        }
        let child = command.spawn()?;
        fs::write(layout.pid_file(&server.name), format!("{}\n", child.id()))?;
        Ok(child)
    };
    start().map_err(|error| {
        Failure::usage(format!("cannot start {} in {}: {error}", server.name, home.display()))
    })
}

fn is_ours(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("JANGADA_")
}

/// A server's process, held so that its pid cannot come to mean another one.
#[derive(Debug)]
pub struct Held {
    /// What it did when it was taken hold of.
    pub state: State,
    descriptor: OwnedFd,
}

/// Takes hold of a server's process; `None` if there is none.
pub fn hold(layout: &Layout, server: &Server) -> Option<Held> {
    let pid = state(layout, server).pid()?;
    let descriptor = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
    // Only now is it certain that the descriptor is that server: before, the pid could have changed hands.
    match state(layout, server) {
        State::Gone => None,
        state => Some(Held { state, descriptor }),
    }
}

impl Held {
    /// Sends it a signal. One that has ended takes it no ill.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        match pidfd_send_signal(&self.descriptor, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(Failure::refused(format!("cannot signal pid {:?}: {error}", self.state.pid()))),
        }
    }

    /// Waits until all of it has ended: its last thread too, and with it its ports and its lock.
    pub fn wait_end(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut wanted = [PollFd::new(&self.descriptor, PollFlags::IN)];
            match poll(&mut wanted, timeout.as_ref()) {
                Ok(count) => return count > 0,
                Err(_) if left.is_zero() => return false,
                Err(_) => {}
            }
        }
    }
}

/// Sends a signal to a server's process, if it still is that server, and gives back how it was before.
///
/// # Errors
/// When the system refuses.
pub fn signal(layout: &Layout, server: &Server, signal: Signal) -> Result<State, Failure> {
    let Some(held) = hold(layout, server) else { return Ok(State::Gone) };
    held.signal(signal)?;
    Ok(held.state)
}

/// Waits until the server's process looks as wanted.
pub fn wait_until(
    layout: &Layout,
    server: &Server,
    deadline: Instant,
    wanted: impl Fn(State) -> bool,
) -> bool {
    loop {
        if wanted(state(layout, server)) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// Bytes in a server's log, to read later only what is new.
pub fn log_length(layout: &Layout, server: &Server) -> u64 {
    fs::metadata(layout.log_file(&server.name)).map_or(0, |metadata| metadata.len())
}

/// The last lines that a server wrote to its log after `from`.
pub fn log_tail(layout: &Layout, server: &Server, from: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(layout.log_file(&server.name))?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_of_somebody_else_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::plan(dir.path(), 1, 2379, &[]).unwrap();
        let server = &layout.servers[0];
        assert_eq!(state(&layout, server), State::Gone);
        fs::create_dir_all(layout.home("n1")).unwrap();
        fs::write(layout.pid_file("n1"), format!("{}\n", std::process::id())).unwrap();
        assert_eq!(state(&layout, server), State::Gone, "this test is not a server");
        assert_eq!(signal(&layout, server, Signal::KILL).unwrap(), State::Gone, "and survives");
    }

    #[test]
    fn the_letter_of_a_living_process_is_found() {
        let letter = process_letter(std::process::id()).unwrap();
        assert!("RSD".contains(letter), "{letter}");
        assert_eq!(process_letter(u32::MAX), None);
    }

    #[test]
    fn the_tail_of_a_log_begins_where_asked() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::plan(dir.path(), 1, 2379, &[]).unwrap();
        let server = &layout.servers[0];
        assert_eq!(log_tail(&layout, server, 0), "");
        fs::create_dir_all(layout.home("n1")).unwrap();
        fs::write(layout.log_file("n1"), "old\n").unwrap();
        let from = log_length(&layout, server);
        fs::write(layout.log_file("n1"), "old\nnew\n").unwrap();
        assert_eq!(log_tail(&layout, server, from), "new");
    }
}
