//! What a server is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jangada_kv::Retention;
use jangada_node::book::node_id;
use jangada_raft::types::NodeId;
pub use jangada_trace::words::Level as LogLevel;

pub use crate::auto_compaction::AutoCompaction;
use crate::error::ServerError;
use crate::rig::Rig;

/// What [`ServerConfig::max_request_bytes`] may be at most: 8 MiB. An entry travels in one frame, and heartbeats
/// wait behind it: to two followers that takes 134 ms of a gigabit link, half the shortest election timeout. With
/// twice as much, leaders are taken for dead again and again.
pub const LARGEST_REQUEST_BYTES: usize = 8 << 20;

/// How a server is set up. The binary fills it from flags, environment and file.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The server's name; its number follows from it.
    pub name: String,
    /// Where its disk is.
    pub data_dir: PathBuf,
    /// Where clients connect.
    pub listen_client: SocketAddr,
    /// Where else they may.
    pub also_listen_client: Vec<SocketAddr>,
    /// Where `/metrics` and `/health` are served, and nothing else.
    pub listen_metrics: Vec<SocketAddr>,
    /// Where peers connect.
    pub listen_peer: SocketAddr,
    /// What the other servers are told about where clients connect; `listen_client` if `None`.
    pub advertise_client: Option<String>,
    /// What the other servers are told about where peers connect. If `None`, what `peers` says of this
    /// server, else `listen_peer`.
    pub advertise_peer: Option<String>,
    /// The founding members, name and peer address; empty for a cluster of this server alone. If this server
    /// is not among them, it joins theirs: it waits until it is added.
    pub peers: Vec<(String, String)>,
    /// How the cluster comes into being.
    pub founding: Founding,
    /// PreVote and CheckQuorum, or the paper alone.
    pub profile: Profile,
    /// How often a leader says that it lives.
    pub heartbeat: Duration,
    /// The shortest election timeout.
    pub election_timeout_min: Duration,
    /// The longest.
    pub election_timeout_max: Duration,
    /// Seeds the election timeouts; drawn if `None`.
    pub seed: Option<u64>,
    /// Threads that serve clients' connections.
    pub connection_threads: usize,
    /// Largest request in bytes.
    pub max_request_bytes: usize,
    /// Most client connections.
    pub max_connections: usize,
    /// Bytes of log in memory at which a snapshot is taken.
    pub snapshot_after_bytes: usize,
    /// How much history is kept, beyond which old revisions are compacted by the leader; `None`: what the store keeps by
    /// itself.
    pub auto_compaction: Option<AutoCompaction>,
    /// How many live bytes the store may have, if this server leads; `None`: etcd's default, 2 GiB.
    pub quota_bytes: Option<u64>,
    /// How much history the store keeps by itself, if this server leads; `None`: as much as it was told before.
    pub history: Option<Retention>,
    /// How long a request may wait for its answer.
    pub request_timeout: Duration,
    /// What the log on stderr looks like.
    pub log: LogStyle,
    /// How much of what happens it tells; the lab's lines are not asked.
    pub log_level: LogLevel,
    /// Everything that happens is written to this file, or to a file of this server's own in this folder.
    pub record: Option<PathBuf>,
    /// What a laboratory holds it by; `None` in production.
    pub rig: Option<Rig>,
    /// The files under `/console`; none, and there is no such page.
    pub console: &'static [ConsoleFile],
}

/// A file of the page that shows this server in a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleFile {
    /// Its name under `/console/`; the first file of all is the page itself.
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// How the cluster comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Founding {
    /// All founding members meet once, then the first election begins.
    Handshake,
    /// The configuration is taken as given and incarnations are not checked: the lab.
    Static,
}

/// Which Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// With PreVote and CheckQuorum.
    Default,
    /// The paper alone, for lessons.
    Classic,
}

/// What the log on stderr looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStyle {
    /// Sentences.
    Text,
    /// One JSON object a line.
    Json,
    /// The university lab's own lines.
    Lab,
    /// Nothing.
    Quiet,
}

impl ServerConfig {
    /// A single server with its data in `data_dir`, on free ports of the loopback interface.
    #[must_use]
    pub fn single(name: &str, data_dir: PathBuf) -> ServerConfig {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        ServerConfig {
            name: name.to_owned(),
            data_dir,
            listen_client: loopback,
            also_listen_client: Vec::new(),
            listen_metrics: Vec::new(),
            listen_peer: loopback,
            advertise_client: None,
            advertise_peer: None,
            peers: Vec::new(),
            founding: Founding::Handshake,
            profile: Profile::Default,
            heartbeat: Duration::from_millis(50),
            election_timeout_min: Duration::from_millis(250),
            election_timeout_max: Duration::from_millis(500),
            seed: None,
            connection_threads: 1,
            max_request_bytes: 3 << 19,
            max_connections: 10_000,
            snapshot_after_bytes: 64 << 20,
            auto_compaction: None,
            quota_bytes: None,
            history: None,
            request_timeout: Duration::from_secs(5),
            log: LogStyle::Text,
            log_level: LogLevel::Info,
            record: None,
            rig: None,
            console: &[],
        }
    }

    /// This server's number.
    #[must_use]
    pub fn id(&self) -> NodeId {
        node_id(&self.name)
    }

    /// Where clients are told to connect: under this name a browser may call, too.
    #[must_use]
    pub fn known_client_addr(&self) -> String {
        reachable_at(self.advertise_client.clone(), self.listen_client)
    }

    /// Does this server wait to be added to the cluster of `peers`?
    #[must_use]
    pub fn joins(&self) -> bool {
        !self.peers.is_empty() && self.peers.iter().all(|(name, _)| *name != self.name)
    }

    /// Refuses what cannot work, before anything is touched.
    ///
    /// # Errors
    /// [`ServerError::Config`] with a sentence.
    pub fn validate(&self) -> Result<(), ServerError> {
        let refuse = |why: String| Err(ServerError::Config(why));
        if self.name.is_empty() || self.name.len() > 64 || self.name.contains(|c: char| !is_name_char(c)) {
            return refuse(format!(
                "'{}' is no server name: use 1 to 64 letters, digits, '-', '_' or '.', such as n1",
                self.name
            ));
        }
        for (position, (name, addr)) in self.peers.iter().enumerate() {
            for (other_name, other_addr) in &self.peers[..position] {
                if node_id(name) == node_id(other_name) {
                    return refuse(format!(
                        "the name {name} stands twice in --peers: each server has its own"
                    ));
                }
                if addr == other_addr {
                    return refuse(format!(
                        "{other_name} and {name} have the same address {addr} in --peers: each needs its own"
                    ));
                }
            }
        }
        if !(1..=LARGEST_REQUEST_BYTES).contains(&self.max_request_bytes) {
            return refuse(format!(
                "--max-request-bytes {}: choose 1 to {LARGEST_REQUEST_BYTES}; while a larger one travels between \
                 servers, nobody would hear the leader. Split large values over several keys",
                self.max_request_bytes
            ));
        }
        if self.connection_threads == 0 {
            return refuse("connection_threads is 0: nobody would serve clients; use 1".to_owned());
        }
        Ok(())
    }
}

/// What others are told: what was said, or else where the port is open. Port 0 stands for the one that the system gave.
pub(crate) fn reachable_at(said: Option<String>, bound: SocketAddr) -> String {
    let said = said.unwrap_or_else(|| bound.to_string());
    match said.rsplit_once(':') {
        Some((host, "0")) => format!("{host}:{}", bound.port()),
        Some(_) | None => said,
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_the_port_that_is_open() {
        let bound = SocketAddr::from(([127, 0, 0, 1], 43_210));
        for (said, told) in [
            (None, "127.0.0.1:43210"),
            (Some("localhost:0"), "localhost:43210"),
            (Some("[::1]:0"), "[::1]:43210"),
            (Some("a.example:2379"), "a.example:2379"),
            (Some("a.example:10"), "a.example:10"),
        ] {
            assert_eq!(reachable_at(said.map(str::to_owned), bound), told);
        }
    }

    #[test]
    fn clients_are_told_what_is_advertised() {
        let alone = ServerConfig::single("n1", PathBuf::from("d"));
        assert_eq!(alone.known_client_addr(), "127.0.0.1:0");
        let named = ServerConfig { advertise_client: Some("db1.example:2379".to_owned()), ..alone };
        assert_eq!(named.known_client_addr(), "db1.example:2379");
    }

    #[test]
    fn a_request_that_would_silence_the_leader_is_refused_at_the_start() {
        let with = |max_request_bytes| ServerConfig {
            max_request_bytes,
            ..ServerConfig::single("n1", PathBuf::from("d"))
        };
        with(LARGEST_REQUEST_BYTES).validate().unwrap();
        let why = with(LARGEST_REQUEST_BYTES + 1).validate().unwrap_err().to_string();
        assert!(why.starts_with("--max-request-bytes 8388609: choose 1 to 8388608; "), "{why}");
        assert!(with(0).validate().is_err());
    }
}
