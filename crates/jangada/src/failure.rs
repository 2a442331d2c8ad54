//! How a command ends when it does not end well: a sentence (what, why, what now) and an exit code.

use std::fmt;
use std::io;

/// The exit codes of the binary. A script may rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// "No": not found, a check failed.
    No = 1,
    /// The command line or the configuration cannot be used.
    Usage = 2,
    /// No server could be reached, no quorum, or the outcome is unknown.
    Unreachable = 3,
    /// A server, or this program, refused to do it.
    Refused = 4,
    /// Data is corrupt.
    Corrupt = 5,
    /// The deadline passed.
    Deadline = 124,
    /// Ctrl+C.
    Interrupted = 130,
}

/// An error for a person, with the exit code for a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why the program ends.
    pub exit: u8,
    /// What, why, what now. Empty when everything has been said already.
    pub message: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit: exit as u8, message: message.into() }
    }

    /// The command line or the configuration cannot be used.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// Nobody answered, or there is no quorum.
    pub fn unreachable(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Unreachable, message)
    }

    /// Somebody said no.
    pub fn refused(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Refused, message)
    }

    /// Ends with `exit` without another word.
    pub fn silent(exit: Exit) -> Failure {
        Failure::new(exit, "")
    }

    /// Puts a sentence in front.
    #[must_use]
    pub fn because_of(mut self, what: &str) -> Failure {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A reader that went away (`jangada client show | head`) is no error worth a word.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(Exit::No),
            _ => Failure::new(Exit::No, error.to_string()),
        }
    }
}
