//! Passwords that are typed: asked for on the terminal, and not shown.

use std::io::{self, BufRead, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::failure::Failure;
use crate::output;

/// The password of `user`.
///
/// # Errors
/// If nobody is there to be asked.
pub fn asked(user: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "nobody can be asked for the password of {user}: write {user}:PASSWORD, or set JANGADA_PASSWORD"
        )));
    }
    read(&format!("Password of {user}: "))
}

/// A new password, typed twice at a terminal; else the first line of stdin.
///
/// # Errors
/// If the two differ.
pub fn new(user: &str, interactive: bool) -> Result<String, Failure> {
    if !interactive || !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return match line.trim_end_matches(['\r', '\n']) {
            "" => Err(Failure::usage(format!(
                "a password for {user} is wanted, on stdin or as {user}:PASSWORD"
            ))),
            password => Ok(password.to_owned()),
        };
    }
    let first = read(&format!("Password of {user}: "))?;
    match read("Once more: ")? == first {
        true => Ok(first),
        false => Err(Failure::usage("the two passwords differ")),
    }
}

/// Reads a line that is not shown.
fn read(prompt: &str) -> Result<String, Failure> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).map_err(io::Error::from)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // First: what is typed as soon as the question stands there is not shown either.
    tcsetattr(&stdin, OptionalActions::Now, &silent).map_err(io::Error::from)?;
    output::note(prompt);
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Now, &before).map_err(io::Error::from)?;
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Fewer characters are soon guessed.
const ENOUGH: usize = 8;

/// Servers take any password, as etcd's do; whoever sets one should know what is too little.
pub fn warn_of_short(password: &str) {
    if password.chars().count() < ENOUGH {
        output::note(&format!("warning: a password of less than {ENOUGH} characters is soon guessed"));
    }
}
