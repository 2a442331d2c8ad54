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

impl From<jangada_wal::Error> for ServerError {
    /// What the local disk said, sorted by who can help: whoever started us in the wrong place, whoever has a
    /// copy of what is damaged, or whoever repairs the disk.
    fn from(why: jangada_wal::Error) -> ServerError {
        use jangada_wal::Error;
        let sentence = why.to_string();
        match why {
            Error::Io { .. } | Error::Poisoned => ServerError::Disk(sentence),
            Error::Corrupt { .. } | Error::Missing { .. } | Error::SnapshotGap { .. } => {
                ServerError::Corrupt(sentence)
            }
            Error::NoLog { .. } | Error::Foreign { .. } | Error::UnknownVersion { .. } => {
                ServerError::Refused(sentence)
            }
            Error::Locked { .. } | Error::Exposed { .. } => ServerError::Environment(sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_wal::Error;

    #[test]
    fn what_is_damaged_is_told_from_what_cannot_be_written() {
        let code = |why: Error| ServerError::from(why).exit_code();
        assert_eq!(code(Error::Poisoned), 6);
        assert_eq!(code(Error::Missing { path: "d/5.snapshot".into(), needed_by: "the log" }), 5);
        assert_eq!(code(Error::NoLog { path: "d".into() }), 4);
        assert_eq!(code(Error::Foreign { path: "d/1.wal".into(), found: [1; 16], expected: [2; 16] }), 4);
    }
}
