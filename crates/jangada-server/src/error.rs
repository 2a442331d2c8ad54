//! Why a server did not start, or stopped.

use std::fmt;

/// Why a server did not start, or stopped by itself. Each sentence says what, why, and what now.
#[derive(Debug)]
pub enum ServerError {
    /// A flag, a variable or a line of the file cannot work.
    Config(String),
    /// A port is taken, a directory cannot be made.
    Environment(String),
    /// The directory or the cluster does not want this server: another cluster's data, a lost disk.
    Refused(String),
    /// What is on the disk contradicts itself.
    Corrupt(String),
    /// A write or a sync failed: what is on the disk can only be known by reading it at the next start.
    Disk(String),
}

impl ServerError {
    /// The exit code of a process that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ServerError::Config(_) | ServerError::Environment(_) => 2,
            ServerError::Refused(_) => 4,
            ServerError::Corrupt(_) => 5,
            ServerError::Disk(_) => 6,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Config(why)
            | ServerError::Environment(why)
            | ServerError::Refused(why)
            | ServerError::Corrupt(why)
            | ServerError::Disk(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ServerError {}
