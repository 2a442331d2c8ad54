//! `jangada lab` at a terminal: a pseudo-terminal whose other end types and reads.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::laboratory::Place;
use crate::support::{Cluster, expect_exit, jangada, stderr, wait};

/// A laboratory, or another program, at a terminal of its own.
struct Terminal {
    child: Child,
    hand: File,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn open(place: &Place, columns: u16, more: &[&str]) -> Terminal {
        let mut command = place.lab(more);
        command.env("XDG_STATE_HOME", place.dir.path()).env("TERM", "xterm").env_remove("NO_COLOR");
        Terminal::of(command, columns)
    }

    fn of(mut command: Command, columns: u16) -> Terminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        resize(&ours, columns);
        let stdio = || Stdio::from(theirs.try_clone().unwrap());
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        drop(theirs);
        let mut eye = File::from(ours.try_clone().unwrap());
        let seen = Arc::new(Mutex::new(String::new()));
        let sees = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // The end of the laboratory is an error here.
            while let Ok(count @ 1..) = eye.read(&mut bytes) {
                sees.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Terminal { child, hand: File::from(ours), seen }
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    fn types(&mut self, keys: &str) {
        self.hand.write_all(keys.as_bytes()).unwrap();
    }

    /// What is typed, and Enter.
    fn says(&mut self, line: &str) {
        self.types(&format!("{line}\r"));
    }

    /// Waits until this was shown so often; gives back where the last time ended.
    fn shows(&self, text: &str, times: usize) {
        let shown = || (self.seen().matches(text).count() >= times).then_some(());
        // The screen is shown when this waits in vain.
        let deadline = std::time::Instant::now() + crate::support::PATIENCE;
        while shown().is_none() {
            assert!(std::time::Instant::now() < deadline, "{text} × {times} in vain:\n{}", self.seen());
            std::thread::yield_now();
        }
    }

    /// Waits until a line can be typed for so many times: what is typed before is for the terminal to keep.
    fn is_ready(&self, times: usize) {
        // Each line begins with the terminal being told to mark what is pasted.
        self.shows("\x1b[?2004h", times);
    }

    fn ends(mut self) -> Option<i32> {
        let code = wait("the laboratory to end", || self.child.try_wait().unwrap());
        code.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &OwnedFd, columns: u16) {
    let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

const READY: &str = "Ctrl+D leaves";

#[test]
fn lines_are_edited_completed_and_remembered() {
    let place = Place::new();
    let mut terminal = Terminal::open(&place, 120, &["--sim", "--seed", "7"]);
    terminal.shows(READY, 1);
    // A whole line in one write is read to its end.
    terminal.says("wait leader");
    terminal.shows("LEADER of term 1", 1);
    // Tab completes, and the arrow brings back what was typed before.
    terminal.types("crash lea\t");
    terminal.shows("crash leader", 1);
    terminal.types("\x15set d 8\r");
    terminal.shows("set d 8: OK", 1);
    terminal.types("\x1b[A\r");
    terminal.shows("set d 8: OK", 2);
    // Ctrl+D on an empty line leaves; the next laboratory remembers the lines.
    terminal.is_ready(4);
    terminal.types("\x04");
    assert_eq!(terminal.ends(), Some(0));
    let mut terminal = Terminal::open(&place, 120, &["--sim", "--seed", "7"]);
    terminal.is_ready(1);
    terminal.types("\x1b[A\r");
    terminal.shows("set d 8: OK", 1);
    terminal.is_ready(2);
    // Ctrl+C at the prompt leaves, too.
    terminal.types("\x03");
    assert_eq!(terminal.ends(), Some(0));
}

#[test]
fn an_event_is_told_above_a_line_that_is_half_typed() {
    let place = Place::new();
    let mut terminal = Terminal::open(&place, 120, &["--servers", "3"]);
    terminal.shows("LEADER of term 1", 1);
    terminal.says("begin transfer follower");
    terminal.types("set greeting hel");
    terminal.shows("LEADER of term 2", 1);
    // Whatever was told meanwhile, the line stands there as it was.
    terminal.types("lo\r");
    terminal.shows("set greeting hello: OK", 1);
    terminal.says("exit");
    assert_eq!(terminal.ends(), Some(0));
}

#[test]
fn what_is_typed_while_a_command_runs_is_done_when_it_ends() {
    let place = Place::new();
    let mut terminal = Terminal::open(&place, 120, &["--servers", "1"]);
    terminal.shows("LEADER of term 1", 1);
    terminal.says("run 1s");
    // Typed ahead: two lines at once, and half a third one.
    terminal.types("set a 1\rset b 2\rset c ");
    terminal.shows("set b 2: OK", 1);
    terminal.types("3\r");
    terminal.shows("set c 3: OK", 1);
    terminal.says("shutdown");
    assert_eq!(terminal.ends(), Some(0));
}

#[test]
fn what_is_typed_ahead_outlives_the_interrupt_of_the_command_before_it() {
    let place = Place::new();
    let mut terminal = Terminal::open(&place, 120, &["--servers", "1"]);
    terminal.shows("LEADER of term 1", 1);
    terminal.is_ready(1);
    terminal.says("save begun.txt");
    terminal.is_ready(2);
    terminal.says("run 600s");
    // The terminal was given back before the command runs.
    terminal.shows("\x1b[?2004l", 2);
    terminal.types("set a 1\rset b 2\r");
    // A terminal throws away what was typed when it sees Ctrl+C; the signal is for whom it controls, which is nobody here.
    terminal.types("\x03");
    let pid = Pid::from_child(&terminal.child);
    // One that comes before the command is there does nothing; one too many would interrupt the next.
    let interrupted = || terminal.seen().contains("interrupted");
    wait("the interrupt", || {
        kill_process(pid, Signal::INT).unwrap();
        let sent = std::time::Instant::now();
        while !interrupted() && sent.elapsed() < Duration::from_secs(1) {
            std::thread::yield_now();
        }
        interrupted().then_some(())
    });
    terminal.shows("set a 1: OK", 1);
    terminal.shows("set b 2: OK", 1);
    terminal.says("exit");
    assert_eq!(terminal.ends(), Some(0));
}

#[test]
fn the_terminal_may_change_its_size_while_a_line_is_typed() {
    let place = Place::new();
    let mut terminal = Terminal::open(&place, 120, &["--sim", "--seed", "7"]);
    terminal.shows(READY, 1);
    terminal.types("set d \"a long value that does not fit into thirty columns\"");
    terminal.shows("thirty columns\"", 1);
    resize(&OwnedFd::from(terminal.hand.try_clone().unwrap()), 30);
    let pid = Pid::from_child(&terminal.child);
    kill_process(pid, Signal::WINCH).unwrap();
    terminal.types(" \r");
    terminal.shows("columns: OK", 1);
    terminal.is_ready(2);
    terminal.types("\x04");
    assert_eq!(terminal.ends(), Some(0));
}

#[test]
fn a_load_asks_for_the_password_and_does_not_show_it() {
    let cluster = Cluster::up(1);
    let address = cluster.address(1);
    for arguments in [["user", "add", "root:very secret"], ["auth", "enable", ""]] {
        let arguments = arguments.into_iter().filter(|word| !word.is_empty());
        expect_exit(&jangada().args(["ctl", "--endpoints", &address]).args(arguments).output().unwrap(), 0);
    }
    let put = ["load", "put", "--servers", &address, "--user", "root", "--operations", "50"];
    let mut command = jangada();
    command.args(put);
    let mut terminal = Terminal::of(command, 120);
    terminal.shows("Password of root: ", 1);
    terminal.says("very secret");
    terminal.shows("50 answers, ", 1);
    assert!(
        !terminal.seen().contains("very secret") && !terminal.seen().contains("NOAUTH"),
        "{}",
        terminal.seen()
    );
    assert_eq!(terminal.ends(), Some(0));

    let nobody = jangada().args(put).stdin(Stdio::null()).output().unwrap();
    expect_exit(&nobody, 2);
    assert!(stderr(&nobody).contains("nobody can be asked for the password of root"), "{}", stderr(&nobody));
}
