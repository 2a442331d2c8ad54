//! What `serve` can be told, and from where: flag > environment (`JANGADA_*`) > TOML file > default.
//!
//! One struct is all three: clap reads flags and environment into it, serde reads the file into another one of the
//! same type, and [`Options::or`] lays the first over the second. An unknown key in the file is an error with its line.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::failure::Failure;

/// Everything that may be said; what is not said is `None`. The file's keys are the flags' names without dashes in
/// front.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// This server's name, as in --peers [default: n1]
    #[arg(long, env = "JANGADA_NAME")]
    pub name: Option<String>,
    /// Where the log and the snapshots are kept [default: ./jangada.data]
    #[arg(long, env = "JANGADA_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where clients connect: RESP, plain words, HTTP; several, with commas [default: 127.0.0.1:2379]
    #[arg(long, env = "JANGADA_LISTEN_CLIENT", value_name = "HOST:PORT,…")]
    pub listen_client: Option<String>,
    /// Where /metrics and /health are served, and nothing else; several, with commas [default: on the client port alone]
    #[arg(long, env = "JANGADA_LISTEN_METRICS", value_name = "HOST:PORT,…")]
    pub listen_metrics: Option<String>,
    /// Where the other servers connect [default: this server's address in --peers, else the next port]
    #[arg(long, env = "JANGADA_LISTEN_PEER", value_name = "HOST:PORT")]
    pub listen_peer: Option<String>,
    /// The client address that is told to others [default: the first of --listen-client]
    #[arg(long, env = "JANGADA_ADVERTISE_CLIENT", value_name = "HOST:PORT")]
    pub advertise_client: Option<String>,
    /// The peer address that is told to others [default: this server's address in --peers, else --listen-peer]
    #[arg(long, env = "JANGADA_ADVERTISE_PEER", value_name = "HOST:PORT")]
    pub advertise_peer: Option<String>,
    /// All founding members and their peer addresses, the same text on all of them [default: this one alone]
    #[arg(long, env = "JANGADA_PEERS", value_name = "n1=HOST:PORT,…")]
    pub peers: Option<String>,
    /// Join a running cluster: --peers names its members, and a leader adds this server
    #[arg(long, env = "JANGADA_JOIN", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub join: Option<bool>,
    /// How often a leader says that it lives [default: 50]
    #[arg(long, env = "JANGADA_HEARTBEAT_MS", value_name = "MS")]
    pub heartbeat_ms: Option<u64>,
    /// Between which times an election timeout is drawn [default: 250-500]
    #[arg(long, env = "JANGADA_ELECTION_TIMEOUT_MS", value_name = "MIN-MAX")]
    pub election_timeout_ms: Option<String>,
    /// Which Raft [default: default]
    #[arg(long, env = "JANGADA_PROFILE", value_enum)]
    pub profile: Option<Profile>,
    /// How the log on stderr is written [default: text]
    #[arg(long, env = "JANGADA_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// How much the log tells [default: info]
    #[arg(long, env = "JANGADA_LOG_LEVEL", value_enum)]
    pub log_level: Option<LogLevel>,
    /// In whose words the log is written [default: events]
    #[arg(long, env = "JANGADA_LOG_STYLE", value_enum)]
    pub log_style: Option<LogStyle>,
    /// Listen beyond this machine although nothing is encrypted yet
    #[arg(long, env = "JANGADA_INSECURE", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub insecure: Option<bool>,
    /// Largest request of a client [default: 1572864]
    #[arg(long, env = "JANGADA_MAX_REQUEST_BYTES", value_name = "BYTES")]
    pub max_request_bytes: Option<u64>,
    /// Most client connections at once [default: 10000]
    #[arg(long, env = "JANGADA_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<u32>,
    /// Take a snapshot after this many bytes of log [default: 67108864]
    #[arg(long, env = "JANGADA_SNAPSHOT_LOG_BYTES", value_name = "BYTES")]
    pub snapshot_log_bytes: Option<u64>,
    /// Forget old revisions: older than a time (1h, 30s), or all but so many (1000) [default: what --history-revisions keeps]
    #[arg(long, env = "JANGADA_AUTO_COMPACTION", value_name = "TIME|COUNT")]
    pub auto_compaction: Option<String>,
    /// How many bytes of keys and values the store may hold; the leader's word holds for all [default: 2147483648]
    #[arg(long, env = "JANGADA_QUOTA_BACKEND_BYTES", value_name = "BYTES")]
    pub quota_backend_bytes: Option<u64>,
    /// How many of the latest revisions can be read; the leader's word holds for all [default: 10000, at most 1000000]
    #[arg(long, env = "JANGADA_HISTORY_REVISIONS", value_name = "COUNT")]
    pub history_revisions: Option<u64>,
    /// How many bytes of old values can be read; the leader's word holds for all [default: 33554432, at most 8589934592]
    #[arg(long, env = "JANGADA_HISTORY_BYTES", value_name = "BYTES")]
    pub history_bytes: Option<u64>,
    /// Write everything that happens to this file, or, if it is a folder, to NAME.jsonl there
    #[arg(long, env = "JANGADA_RECORD", value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Threads that serve client connections [default: half the cores]
    #[arg(long, env = "JANGADA_CONNECTION_THREADS", value_name = "COUNT")]
    pub connection_threads: Option<u32>,
}

/// Which safety features of later years are on.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// With PreVote and CheckQuorum.
    #[default]
    Default,
    /// The paper alone, for lessons.
    Classic,
}

impl From<Profile> for jangada_server::config::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Default => Self::Default,
            Profile::Classic => Self::Classic,
        }
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much the log tells. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// What is wrong, or may soon be.
    Warn,
    /// Elections, members, snapshots.
    #[default]
    Info,
    /// Single votes, repairs of logs, refusals.
    Debug,
    /// Each message, each entry, each timer.
    Trace,
}

impl From<LogLevel> for jangada_server::config::LogLevel {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

/// In whose words the log is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogStyle {
    /// Our own.
    #[default]
    Events,
    /// Those of the university lab.
    Lab,
}

impl Options {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// With the line that is wrong.
    pub fn from_file(path: &Path) -> Result<Options, Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read the configuration {shown}: {error}")))?;
        Options::from_text(&text).map_err(|why| Failure::usage(format!("{shown}: {why}")))
    }

    fn from_text(text: &str) -> Result<Options, String> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{line}{}", error.message())
        })
    }

    /// What is said here, and where nothing is said, what `other` says.
    #[must_use]
    pub fn or(self, other: Options) -> Options {
        Options {
            name: self.name.or(other.name),
            data_dir: self.data_dir.or(other.data_dir),
            listen_client: self.listen_client.or(other.listen_client),
            listen_metrics: self.listen_metrics.or(other.listen_metrics),
            listen_peer: self.listen_peer.or(other.listen_peer),
            advertise_client: self.advertise_client.or(other.advertise_client),
            advertise_peer: self.advertise_peer.or(other.advertise_peer),
            peers: self.peers.or(other.peers),
            join: self.join.or(other.join),
            heartbeat_ms: self.heartbeat_ms.or(other.heartbeat_ms),
            election_timeout_ms: self.election_timeout_ms.or(other.election_timeout_ms),
            profile: self.profile.or(other.profile),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
            log_style: self.log_style.or(other.log_style),
            insecure: self.insecure.or(other.insecure),
            max_request_bytes: self.max_request_bytes.or(other.max_request_bytes),
            max_connections: self.max_connections.or(other.max_connections),
            auto_compaction: self.auto_compaction.or(other.auto_compaction),
            snapshot_log_bytes: self.snapshot_log_bytes.or(other.snapshot_log_bytes),
            quota_backend_bytes: self.quota_backend_bytes.or(other.quota_backend_bytes),
            history_revisions: self.history_revisions.or(other.history_revisions),
            history_bytes: self.history_bytes.or(other.history_bytes),
            record: self.record.or(other.record),
            connection_threads: self.connection_threads.or(other.connection_threads),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_flags_names() {
        let text = "name = \"n2\"\nlisten-client = \"127.0.0.1:1\"\nheartbeat-ms = 20\nprofile = \"classic\"\njoin = true\n";
        let options = Options::from_text(text).unwrap();
        assert_eq!(options.name.as_deref(), Some("n2"));
        assert_eq!(options.heartbeat_ms, Some(20));
        assert_eq!(options.profile, Some(Profile::Classic));
        assert_eq!(options.join, Some(true));
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_its_line() {
        for (text, line, word) in [
            ("name = \"n1\"\n\nheartbeet-ms = 20\n", "line 3", "heartbeet-ms"),
            ("heartbeat-ms = \"fast\"\n", "line 1", "fast"),
            ("name = \"n1\"\nname = \"n2\"\n", "line 2", "duplicate"),
            ("name = \n", "line 1", ""),
        ] {
            let error = Options::from_text(text).unwrap_err();
            assert!(error.starts_with(line) && error.contains(word), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_said_first_wins() {
        let flags = Options { name: Some("a".into()), ..Options::default() };
        let file = Options { name: Some("b".into()), heartbeat_ms: Some(7), ..Options::default() };
        let both = flags.or(file);
        assert_eq!((both.name.as_deref(), both.heartbeat_ms), (Some("a"), Some(7)));
    }
}
