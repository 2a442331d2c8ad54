//! `jangada serve`: one server in the foreground. Everything is checked before anything starts.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jangada_kv::Retention;
use jangada_server::config::{AutoCompaction, Founding, LogStyle as ServerLog, ServerConfig};
use jangada_server::{Ready, StopHandle};

use crate::config_file::{LogFormat, LogLevel, LogStyle, Options, Profile};
use crate::failure::Failure;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  $ jangada serve
  $ jangada serve --name n1 --data-dir n1.data \\
      --listen-client 127.0.0.1:2379 --listen-peer 127.0.0.1:2380 \\
      --peers n1=127.0.0.1:2380,n2=127.0.0.1:2382,n3=127.0.0.1:2384

Each setting may also stand in the environment (--data-dir is JANGADA_DATA_DIR) or in the --config \
file (data-dir = \"…\"): flag > environment > file > default.";

/// Flags, and a file for what they do not say.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A TOML file with any of the settings below
    #[arg(long, env = "JANGADA_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// End with the process that started this one.
    #[arg(long, hide = true)]
    pub die_with_parent: bool,
    /// The settings.
    #[command(flatten)]
    pub options: Options,
}

/// What a server is started with: everything said, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub data_dir: PathBuf,
    /// Where clients connect.
    pub listen_client: SocketAddr,
    /// Where else.
    pub also_listen_client: Vec<SocketAddr>,
    /// Where there are figures only.
    pub listen_metrics: Vec<SocketAddr>,
    /// Where peers connect.
    pub listen_peer: SocketAddr,
    /// What others are told.
    pub advertise_client: String,
    /// What other servers are told about its peer port; `None`: what `peers` says, or where it listens.
    pub advertise_peer: Option<String>,
    /// The founding members, or, with `join`, the members to ask; by name.
    pub peers: BTreeMap<String, String>,
    /// Whether a leader has yet to add it.
    pub join: bool,
    /// The heartbeat.
    pub heartbeat_ms: u64,
    /// The election timeout, from and to.
    pub election_timeout_ms: (u64, u64),
    /// Classic or not.
    pub profile: Profile,
    /// The log's form.
    pub log_format: LogFormat,
    /// How much the log tells.
    pub log_level: LogLevel,
    /// The log's words.
    pub log_style: LogStyle,
    /// Largest request.
    pub max_request_bytes: Option<u64>,
    /// Most connections.
    pub max_connections: Option<u32>,
    /// When a snapshot is taken.
    pub snapshot_log_bytes: Option<u64>,
    /// How much history is kept.
    pub auto_compaction: Option<AutoCompaction>,
    /// How much the store may hold.
    pub quota_bytes: Option<u64>,
    /// How much of the past it keeps.
    pub history: Option<Retention>,
    /// Where everything is recorded.
    pub record: Option<PathBuf>,
    /// Connection threads.
    pub connection_threads: Option<u32>,
}

/// Runs the server until it is stopped.
///
/// # Errors
/// 2 for a configuration that cannot work; the server's own exit codes after that.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.die_with_parent {
        die_with_parent()?;
    }
    let file = match &arguments.config {
        Some(path) => Options::from_file(path)?,
        None => Options::default(),
    };
    let options = arguments.options.or(file);
    let settings = check(options)?;
    warn_of_strangers(&settings);
    let log_format = settings.log_format;
    serve(settings, Founding::Handshake, None, |ready| say_ready(ready, log_format))
}

/// Says so if others than this machine can reach the server: it was allowed, or `check` had refused.
pub fn warn_of_strangers(settings: &Settings) {
    let others = settings.also_listen_client.iter().map(|address| ("clients", *address));
    let ports = [("clients", settings.listen_client), ("peers", settings.listen_peer)];
    for (port, address) in ports.into_iter().chain(others) {
        if !address.ip().is_loopback() {
            output::note(&format!(
                "warning: {address} for {port}: nothing is encrypted or authenticated; whoever reaches this port \
                 reads and writes everything"
            ));
        }
    }
}

/// Runs a server with settings that were checked; `seed` fixes its random timeouts. `ready` is called once it has come
/// up.
///
/// # Errors
/// The server's own, with its exit code.
pub fn serve(
    settings: Settings,
    founding: Founding,
    seed: Option<u64>,
    ready: impl FnOnce(&Ready),
) -> Result<(), Failure> {
    let config = server_config(settings, founding, seed);
    let ended = jangada_server::run(config, &StopHandle::new(), ready);
    ended.map_err(|error| Failure { exit: error.exit_code(), message: error.to_string() })
}

fn server_config(settings: Settings, founding: Founding, seed: Option<u64>) -> ServerConfig {
    let defaults = ServerConfig::single(&settings.name, settings.data_dir.clone());
    let count = |value: Option<u32>, default: usize| value.map_or(default, |value| value as usize);
    let bytes = |value: Option<u64>, default: usize| {
        value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX))
    };
    let half_the_cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    // A lone server founds its cluster without asking anybody.
    let alone = !settings.join && settings.peers.len() == 1;
    ServerConfig {
        listen_client: settings.listen_client,
        also_listen_client: settings.also_listen_client,
        listen_metrics: settings.listen_metrics,
        listen_peer: settings.listen_peer,
        advertise_client: Some(settings.advertise_client),
        advertise_peer: settings.advertise_peer,
        peers: if alone { Vec::new() } else { settings.peers.into_iter().collect() },
        founding,
        profile: settings.profile.into(),
        heartbeat: Duration::from_millis(settings.heartbeat_ms),
        election_timeout_min: Duration::from_millis(settings.election_timeout_ms.0),
        election_timeout_max: Duration::from_millis(settings.election_timeout_ms.1),
        seed,
        record: settings.record,
        connection_threads: count(settings.connection_threads, half_the_cores),
        max_request_bytes: bytes(settings.max_request_bytes, defaults.max_request_bytes),
        max_connections: count(settings.max_connections, defaults.max_connections),
        auto_compaction: settings.auto_compaction,
        quota_bytes: settings.quota_bytes,
        history: settings.history,
        snapshot_after_bytes: bytes(settings.snapshot_log_bytes, defaults.snapshot_after_bytes),
        log: match (settings.log_style, settings.log_format) {
            (LogStyle::Lab, _) => ServerLog::Lab,
            (LogStyle::Events, LogFormat::Text) => ServerLog::Text,
            (LogStyle::Events, LogFormat::Json) => ServerLog::Json,
        },
        log_level: settings.log_level.into(),
        console: crate::lab::console(),
        ..defaults
    }
}

/// The last line of a start: where to connect, and something to paste.
pub fn say_ready(ready: &Ready, format: LogFormat) {
    let (name, client, peer) = (&ready.name, ready.client, ready.peer);
    let paste = format!("jangada client --servers {client} set hello world");
    output::note(&match format {
        LogFormat::Text => format!(
            "{name} ready: clients on {client}, peers on {peer}, data in {}; try: {paste}",
            ready.data_dir.display()
        ),
        LogFormat::Json => serde_json::json!({
            "event": "ready", "node": name, "client_addr": client.to_string(), "peer_addr": peer.to_string(),
            "data_dir": ready.data_dir, "try": paste,
        })
        .to_string(),
    });
}

/// A server that belongs to a demonstration or a test must not outlive it, however that ends.
fn die_with_parent() -> Result<(), Failure> {
    let parent = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| Failure::usage(format!("--die-with-parent does not work here: {error}")))?;
    // The parent may have ended before the line above.
    match rustix::process::getppid() == parent {
        true => Ok(()),
        false => Err(Failure::usage("--die-with-parent: the parent has ended")),
    }
}

/// Checks what was said and fills in the rest.
///
/// # Errors
/// What is wrong, why, and what would do.
pub fn check(options: Options) -> Result<Settings, Failure> {
    let name = options.name.unwrap_or_else(|| "n1".to_owned());
    check_name(&name)?;
    let join = options.join.unwrap_or(false);
    let listed = options.listen_client.unwrap_or_else(|| "127.0.0.1:2379".to_owned());
    let said = listed.split(',').next().unwrap_or_default().trim().to_owned();
    let listen_client = resolve("--listen-client", &said)?;
    let mut also_listen_client = addresses("--listen-client", &listed)?;
    also_listen_client.retain(|address| *address != listen_client);
    let listen_metrics = addresses("--listen-metrics", &options.listen_metrics.unwrap_or_default())?;
    let mut peers = match &options.peers {
        Some(text) => parse_peers(text)?,
        None => BTreeMap::new(),
    };
    let said_peer = match (options.listen_peer, peers.get(&name)) {
        (Some(said), _) => said,
        (None, Some(own)) => own.clone(),
        (None, None) => next_port(&said, listen_client)?,
    };
    let listen_peer = resolve("--listen-peer", &said_peer)?;
    if peers.is_empty() && options.peers.is_none() && !join {
        peers.insert(name.clone(), said_peer);
    }
    check_membership(&name, &peers, join)?;
    let mut ports = vec![("--listen-client", listen_client)];
    ports.extend(also_listen_client.iter().map(|address| ("--listen-client", *address)));
    ports.extend(listen_metrics.iter().map(|address| ("--listen-metrics", *address)));
    check_peer_port(&ports, listen_peer)?;
    ports.push(("--listen-peer", listen_peer));
    refuse_strangers(options.insecure.unwrap_or(false), &ports)?;
    let advertise_client = advertised("client", options.advertise_client, listen_client)?.unwrap_or(said);
    let named = options.advertise_peer.or_else(|| peers.get(&name).cloned());
    let advertise_peer = advertised("peer", named, listen_peer)?;
    let heartbeat_ms = options.heartbeat_ms.unwrap_or(50);
    let election_timeout_ms = election_timeout(options.election_timeout_ms.as_deref(), heartbeat_ms)?;
    check_bounds(&[
        ("--max-request-bytes", options.max_request_bytes),
        ("--max-connections", options.max_connections.map(u64::from)),
        ("--snapshot-log-bytes", options.snapshot_log_bytes),
        ("--connection-threads", options.connection_threads.map(u64::from)),
    ])?;
    Ok(Settings {
        name,
        data_dir: options.data_dir.unwrap_or_else(|| PathBuf::from("jangada.data")),
        listen_client,
        also_listen_client,
        listen_metrics,
        listen_peer,
        advertise_client,
        advertise_peer,
        peers,
        join,
        heartbeat_ms,
        election_timeout_ms,
        profile: options.profile.unwrap_or_default(),
        log_format: options.log_format.unwrap_or_default(),
        log_level: options.log_level.unwrap_or_default(),
        log_style: options.log_style.unwrap_or_default(),
        max_request_bytes: options.max_request_bytes,
        max_connections: options.max_connections,
        snapshot_log_bytes: options.snapshot_log_bytes,
        auto_compaction: options.auto_compaction.as_deref().map(auto_compaction).transpose()?,
        // Nobody wants a store that holds nothing: 0 is the default, as in etcd.
        quota_bytes: options.quota_backend_bytes.filter(|bytes| *bytes > 0),
        history: history(options.history_revisions, options.history_bytes)?,
        record: options.record,
        connection_threads: options.connection_threads,
    })
}

/// Refuses ports for clients of which one is that for peers.
fn check_peer_port(ports: &[(&str, SocketAddr)], peer: SocketAddr) -> Result<(), Failure> {
    match ports.iter().find(|(_, address)| *address == peer && peer.port() != 0) {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::usage(format!(
            "{flag} and --listen-peer are both {peer}: clients and peers need a port each"
        ))),
    }
}

/// Refuses ports that other machines can reach, unless that is wanted.
fn refuse_strangers(insecure: bool, ports: &[(&str, SocketAddr)]) -> Result<(), Failure> {
    match ports.iter().find(|(_, address)| !address.ip().is_loopback() && !insecure) {
        None => Ok(()),
        Some((flag, address)) => Err(Failure::usage(format!(
            "{flag} {address} can be reached from other machines, and nothing is encrypted or authenticated yet; \
             listen on 127.0.0.1, or say --insecure if the network is yours alone"
        ))),
    }
}

/// What others are told: an address that they can connect to.
fn advertised(port: &str, said: Option<String>, listen: SocketAddr) -> Result<Option<String>, Failure> {
    let flag = format!("--advertise-{port}");
    if let Some(address) = &said {
        let address = resolve(&flag, address)?;
        if !address.ip().is_unspecified() {
            return Ok(said);
        }
    }
    match listen.ip().is_unspecified() {
        true => Err(Failure::usage(format!(
            "{listen} is no address that others can connect to; say with {flag} HOST:PORT which one they should use"
        ))),
        false => Ok(None),
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let shape = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !shape {
        return Err(Failure::usage(format!(
            "{name:?} is no name for a server: a letter, then letters, digits, '.', '_' or '-', at most 64"
        )));
    }
    match name {
        "leader" | "all" => {
            Err(Failure::usage(format!("{name:?} is no name for a server: it already means something else")))
        }
        _ => Ok(()),
    }
}

fn parse_peers(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut peers: BTreeMap<String, String> = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, address)) = part.split_once('=') else {
            return Err(Failure::usage(format!("--peers: {part:?} should be NAME=HOST:PORT")));
        };
        check_name(name).map_err(|failure| failure.because_of("--peers"))?;
        resolve("--peers", address)?;
        if let Some((other, _)) = peers.iter().find(|(_, taken)| *taken == address) {
            return Err(Failure::usage(format!(
                "--peers: {other} and {name} have the same address {address}"
            )));
        }
        if peers.insert(name.to_owned(), address.to_owned()).is_some() {
            return Err(Failure::usage(format!(
                "--peers names {name} twice; each server needs a name of its own"
            )));
        }
    }
    Ok(peers)
}

fn check_membership(name: &str, peers: &BTreeMap<String, String>, join: bool) -> Result<(), Failure> {
    let names: Vec<&str> = peers.keys().map(String::as_str).collect();
    match (join, peers.contains_key(name)) {
        (true, _) if peers.is_empty() => Err(Failure::usage(
            "--join needs --peers with the members of the running cluster, such as n1=127.0.0.1:2380",
        )),
        (true, true) => Err(Failure::usage(format!(
            "--join, but --peers names {name} itself as a member; leave --join out, or leave {name} out of --peers"
        ))),
        (false, false) => Err(Failure::usage(format!(
            "--name {name} is not among --peers ({}); correct one of them, or say --join if a running cluster shall \
             add this server",
            names.join(", ")
        ))),
        (true, false) | (false, true) => Ok(()),
    }
}

fn election_timeout(text: Option<&str>, heartbeat_ms: u64) -> Result<(u64, u64), Failure> {
    if heartbeat_ms == 0 {
        return Err(Failure::usage("--heartbeat-ms 0: a leader could never rest; use 50 or so"));
    }
    let text = text.unwrap_or("250-500");
    let parts = text.split_once('-').unwrap_or((text, text));
    let (Ok(from), Ok(to)) = (parts.0.trim().parse::<u64>(), parts.1.trim().parse::<u64>()) else {
        return Err(Failure::usage(format!(
            "--election-timeout-ms {text:?} should be MIN-MAX, such as 250-500"
        )));
    };
    if from > to {
        return Err(Failure::usage(format!(
            "--election-timeout-ms {text}: the first number is the smaller one"
        )));
    }
    if from < heartbeat_ms.saturating_mul(2) {
        return Err(Failure::usage(format!(
            "--election-timeout-ms {text} is less than two heartbeats ({heartbeat_ms} ms): one that is lost would \
             start an election; use five heartbeats or more"
        )));
    }
    Ok((from, to))
}

fn auto_compaction(text: &str) -> Result<AutoCompaction, Failure> {
    let kept = match text.parse() {
        Ok(revisions) => Some(AutoCompaction::Revisions(revisions)),
        Err(_) => humantime::parse_duration(text).ok().map(AutoCompaction::Age),
    };
    let nothing = [AutoCompaction::Revisions(0), AutoCompaction::Age(Duration::ZERO)];
    kept.filter(|kept| !nothing.contains(kept)).ok_or_else(|| {
        Failure::usage(format!(
            "--auto-compaction {text}: write how old revisions may be (1h, 30s), or how many are kept (1000)"
        ))
    })
}

/// How much of the past is kept, if anything was said of it.
fn history(revisions: Option<u64>, bytes: Option<u64>) -> Result<Option<Retention>, Failure> {
    let (usual, most) = (Retention::default(), Retention::MOST);
    let within = |flag: &str, said: Option<u64>, usual: u64, most: u64| match said.unwrap_or(usual) {
        0 => Err(Failure::usage(format!("{flag} 0: it is 1 at least, and {most} at most"))),
        said if said > most => Err(Failure::usage(format!("{flag} {said}: it is {most} at most"))),
        said => Ok(said),
    };
    let kept = Retention {
        revisions: within("--history-revisions", revisions, usual.revisions, most.revisions)?,
        bytes: within("--history-bytes", bytes, usual.bytes, most.bytes)?,
    };
    Ok(revisions.or(bytes).map(|_| kept))
}

fn check_bounds(bounds: &[(&str, Option<u64>)]) -> Result<(), Failure> {
    match bounds.iter().find(|(_, value)| *value == Some(0)) {
        Some((flag, _)) => {
            Err(Failure::usage(format!("{flag} 0: nobody could ever be served; leave it out")))
        }
        None => Ok(()),
    }
}

/// All addresses of a list, each once: a name and a number may mean the same.
fn addresses(flag: &str, listed: &str) -> Result<Vec<SocketAddr>, Failure> {
    let mut found = Vec::new();
    for part in listed.split(',').filter(|_| !listed.is_empty()) {
        let address = resolve(flag, part.trim())?;
        if !found.contains(&address) {
            found.push(address);
        }
    }
    Ok(found)
}

fn resolve(flag: &str, address: &str) -> Result<SocketAddr, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("{flag}: {address:?}: {why}; write HOST:PORT, such as 127.0.0.1:2379"))
    };
    let mut found = address.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}

/// The peer port beside a client port, as the local clusters have it.
fn next_port(said: &str, client: SocketAddr) -> Result<String, Failure> {
    let host = said.rsplit_once(':').map_or(said, |(host, _)| host);
    match client.port() {
        0 => Ok(format!("{host}:0")),
        port => match port.checked_add(1) {
            Some(next) => Ok(format!("{host}:{next}")),
            None => Err(Failure::usage("--listen-client has the last port; say --listen-peer HOST:PORT too")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        let mut text = String::new();
        for (key, value) in pairs {
            text.push_str(&format!("{key} = {value}\n"));
        }
        toml::from_str(&text).unwrap()
    }

    fn error(pairs: &[(&str, &str)]) -> String {
        let failure = check(options(pairs)).unwrap_err();
        assert_eq!(failure.exit, 2);
        failure.message
    }

    #[test]
    fn without_flags_it_is_a_single_server_on_loopback() {
        let settings = check(Options::default()).unwrap();
        assert_eq!((settings.name.as_str(), settings.join), ("n1", false));
        assert_eq!(settings.listen_client.to_string(), "127.0.0.1:2379");
        assert_eq!(settings.listen_peer.to_string(), "127.0.0.1:2380");
        assert_eq!(settings.peers, BTreeMap::from([("n1".to_owned(), "127.0.0.1:2380".to_owned())]));
        assert_eq!((settings.heartbeat_ms, settings.election_timeout_ms), (50, (250, 500)));
    }

    #[test]
    fn the_peer_address_comes_from_the_list_of_peers() {
        let peers = "\"n1=127.0.0.1:7001, n2=127.0.0.1:7002\"";
        let settings = check(options(&[("name", "\"n2\""), ("peers", peers)])).unwrap();
        assert_eq!(settings.listen_peer.to_string(), "127.0.0.1:7002");
    }

    #[test]
    fn the_timers_of_the_older_systems_can_be_set() {
        for (election, heartbeat, range) in [
            ("\"150-300\"", "50", (150, 300)),
            ("\"500-5000\"", "50", (500, 5_000)),
            ("\"10000-18000\"", "2000", (10_000, 18_000)),
        ] {
            let said = [("election-timeout-ms", election), ("heartbeat-ms", heartbeat)];
            assert_eq!(check(options(&said)).unwrap().election_timeout_ms, range);
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        let two = "\"n1=127.0.0.1:7001,n2=127.0.0.1:7002\"";
        for (pairs, words) in [
            (&[("peers", "\"n1=127.0.0.1:1,n1=127.0.0.1:2\"")][..], "n1 twice"),
            (&[("peers", "\"n1=127.0.0.1:1,n2=127.0.0.1:1\"")], "same address"),
            (&[("peers", "\"n1\"")], "NAME=HOST:PORT"),
            (&[("peers", "\"n1=127.0.0.1\"")], "HOST:PORT"),
            (&[("peers", two), ("name", "\"n3\"")], "n3 is not among --peers (n1, n2)"),
            (&[("peers", two), ("join", "true")], "names n1 itself"),
            (&[("join", "true")], "--join needs --peers"),
            (&[("name", "\"1st\"")], "a letter"),
            (&[("name", "\"leader\"")], "something else"),
            (&[("listen-client", "\"0.0.0.0:2379\"")], "--insecure"),
            (&[("listen-client", "\"0.0.0.0:2379\""), ("insecure", "true")], "--advertise-client"),
            (&[("peers", "\"n1=0.0.0.0:2380\""), ("insecure", "true")], "--advertise-peer"),
            (&[("listen-client", "\"127.0.0.1:99999\"")], "--listen-client"),
            (&[("listen-client", "\"127.0.0.1:1,0.0.0.0:2\"")], "--listen-client 0.0.0.0:2 can be reached"),
            (&[("listen-metrics", "\"0.0.0.0:2\"")], "--listen-metrics 0.0.0.0:2 can be reached"),
            (&[("listen-client", "\"127.0.0.1:1,\"")], "write HOST:PORT"),
            (&[("listen-peer", "\"127.0.0.1:2379\"")], "a port each"),
            (&[("election-timeout-ms", "\"500-250\"")], "smaller"),
            (&[("election-timeout-ms", "\"60-90\"")], "two heartbeats"),
            (&[("election-timeout-ms", "\"soon\"")], "MIN-MAX"),
            (&[("heartbeat-ms", "0")], "rest"),
            (&[("max-connections", "0")], "--max-connections 0"),
            (&[("history-revisions", "0")], "--history-revisions 0: it is 1 at least, and 1000000 at most"),
            (&[("history-bytes", "8589934593")], "--history-bytes 8589934593: it is 8589934592 at most"),
        ] {
            let error = error(pairs);
            assert!(error.contains(words), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn clients_may_come_to_several_addresses_of_which_the_first_is_told() {
        let said = [
            ("listen-client", "\"127.0.0.1:1, 127.0.0.2:1,127.0.0.1:1\""),
            ("listen-metrics", "\"127.0.0.1:3,127.0.0.1:4\""),
        ];
        let settings = check(options(&said)).unwrap();
        assert_eq!(
            (settings.listen_client.to_string().as_str(), settings.listen_peer.port()),
            ("127.0.0.1:1", 2)
        );
        assert_eq!(settings.advertise_client, "127.0.0.1:1");
        assert_eq!(settings.also_listen_client, ["127.0.0.2:1".parse().unwrap()]);
        assert_eq!(settings.listen_metrics.len(), 2);
    }

    #[test]
    fn insecure_allows_other_addresses() {
        let said = [
            ("listen-client", "\"0.0.0.0:2379\""),
            ("insecure", "true"),
            ("advertise-client", "\"127.0.0.1:2379\""),
            ("listen-peer", "\"127.0.0.1:2380\""),
        ];
        let settings = check(options(&said)).unwrap();
        assert_eq!(settings.advertise_client, "127.0.0.1:2379");
        assert_eq!(settings.advertise_peer.as_deref(), Some("127.0.0.1:2380"));
    }
}
