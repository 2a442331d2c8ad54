//! A server from its first breath to its last.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jangada_node::book::{Book, BookEntry};
use jangada_node::effect::MAX_FORWARDED_ANSWERS_BYTES;
use jangada_node::event::{DiskEvent, Event};
use jangada_node::kv_machine::KvMachine;
use jangada_node::log_writer::LogWriter;
use jangada_node::replica::{Replica, ReplicaConfig};
use jangada_raft::config::Config;
use jangada_raft::face::Recovered;
use jangada_raft::incarnation::Incarnation;
use jangada_raft::types::{ClusterId, Membership, NodeId, SnapshotMeta, Time};
use jangada_trace::names::Names;
use jangada_wal::{FileDisk, Wal, WalConfig};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::auto_compaction;
use crate::config::{LogStyle, Profile, ServerConfig, reachable_at};
use crate::core::{Core, Parts};
use crate::descriptors;
use crate::error::ServerError;
use crate::event_log::EventLog;
use crate::flight::Flight;
use crate::front::{Front, Serves, Shared};
use crate::handle::Handle;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::log_thread::LogThread;
use crate::peer::accept;
use crate::peer::directory::Directory;
use crate::peer::founding::{Founded, found};
use crate::peer::handshake::{Card, FoundingRecord, Position};
use crate::peer::link::Links;
use crate::record_file::RecordFile;
use crate::recorder::Recorder;
use crate::replica_thread::{self, Ended, Inboxes};
use crate::status::{Status, StatusBoard};
use crate::store_settings;

/// Submissions that may wait for the replica thread.
const SUBMISSION_QUEUE: usize = 4_096;
/// A single busy client's next write comes sooner, and tells followers of the commit before.
const COMMIT_NOTICE_AFTER: Duration = Duration::from_micros(500);
/// Reads from peers that may wait for the replica thread.
const PEER_QUEUE: usize = 256;
/// What a frame may be longer than one request: the answers to a forwarded batch are the longest.
const FRAME_OVERHEAD: usize = MAX_FORWARDED_ANSWERS_BYTES + (1 << 20);

/// What a server that has come up says of itself.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its name.
    pub name: String,
    /// Where clients connect.
    pub client: SocketAddr,
    /// Where peers connect.
    pub peer: SocketAddr,
    /// Where its disk is.
    pub data_dir: PathBuf,
    /// The door to it, for those in the same process.
    pub handle: Handle,
}

/// Stops a running server.
#[derive(Clone, Debug)]
pub struct StopHandle(Arc<watch::Sender<Wish>>);

/// What a server has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To go on.
    Run,
    /// To leave properly.
    Stop,
    /// Nothing: its power fails.
    Crash,
}

impl StopHandle {
    /// A handle, not yet given to a server.
    #[must_use]
    pub fn new() -> StopHandle {
        StopHandle(Arc::new(watch::channel(Wish::Run).0))
    }

    /// Asks the server to stop: leadership is handed over, the disk is written, `run` returns.
    pub fn stop(&self) {
        self.0.send_if_modified(|wish| {
            let runs = *wish == Wish::Run;
            if runs {
                *wish = Wish::Stop;
            }
            runs
        });
    }

    /// Ends the server as if its power failed: it says good-bye to nobody, and what it has not written yet is lost.
    pub fn crash(&self) {
        self.0.send_replace(Wish::Crash);
    }
}

impl Default for StopHandle {
    fn default() -> StopHandle {
        StopHandle::new()
    }
}

/// Runs a server on this thread (and a few of its own) until SIGTERM, SIGINT or `stop`. The signals are a
/// laboratory's own business, if there is one ([`ServerConfig::rig`]).
///
/// `ready` is called once its ports are open and its disk is read.
///
/// # Errors
/// Why it did not start, or could not go on; [`ServerError::exit_code`] has the process's exit code.
pub fn run(config: ServerConfig, stop: &StopHandle, ready: impl FnOnce(&Ready)) -> Result<(), ServerError> {
    config.validate()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| ServerError::Environment(format!("no runtime: {why}")))?;
    let local = LocalSet::new();
    let outcome = runtime.block_on(local.run_until(serve(config, stop, ready)));
    // Links and connections end here, before the runtime does.
    drop(local);
    outcome
}

async fn serve(
    mut config: ServerConfig,
    stop: &StopHandle,
    ready: impl FnOnce(&Ready),
) -> Result<(), ServerError> {
    let started = Instant::now();
    let disk = FileDisk::open(&config.data_dir).map_err(|why| ServerError::Environment(why.to_string()))?;
    let mut identity = Identity::open(&disk, &config)?;
    // Before anybody can connect: whoever sees that the server listens may tell it to stop.
    if config.rig.is_none() {
        signals(stop)?;
    }
    let client_ports = client_ports(&config)?;
    let peer_listener = bind(config.listen_peer, "peers")?;
    config.listen_client = client_ports[0].0.local_addr().map_err(environment)?;
    config.listen_peer = peer_listener.local_addr().map_err(environment)?;

    let directory = Directory::new(card(&config, &identity), identity.founding.clone());
    let (news, links_inbox) = mpsc::unbounded_channel();
    let (peers_out, peers) = mpsc::channel(PEER_QUEUE);
    let max_frame = config.max_request_bytes + FRAME_OVERHEAD;
    let door =
        accept::serve(tokio_listener(peer_listener)?, directory.clone(), max_frame, peers_out, news.clone());
    tokio::task::spawn_local(door);
    let event_log = begin_log(&config)?;
    let mut stopped = stop.0.subscribe();
    let by_me = tokio::select! {
        by_me = settle(&config, &directory, &mut identity, &disk) => by_me?,
        _ = stopped.wait_for(|wish| *wish != Wish::Run) => return Ok(()),
    };

    let board = StatusBoard::of_a_start(Status::starting(&config.name, identity.id), directory.meters());
    let (handle, submissions) = Handle::new(SUBMISSION_QUEUE, board.clone());
    let (reports, log) = mpsc::unbounded_channel();
    let epoch = config.rig.as_ref().map_or(started, |rig| rig.epoch);
    let event_log = keep_records(event_log, &config, identity.node_id(), board.recorder(), epoch)?;
    let (replica, opened, writer) = open(&config, &mut identity, disk, epoch)?;
    let mut core = Core::new(Parts {
        replica,
        links: Links::new(directory.clone(), news, config.rig.as_ref().map(|rig| rig.weather.clone())),
        directory,
        log: LogThread::start(writer, reports, Arc::clone(board.meters())).map_err(environment)?,
        event_log,
        board,
        epoch,
        started,
        max_request_bytes: config.max_request_bytes,
        // In a laboratory everybody may see how the first leader is found.
        founder: by_me && config.rig.is_none(),
    });
    core.tell(opened);
    let (probes, probed) = mpsc::unbounded_channel();
    let mut inboxes = Inboxes { submissions, peers, log, links: links_inbox, probed, probes, stop: stopped };
    core.step()?;
    core.publish();
    if let Some(warning) = core.moved() {
        eprintln!("{}: {warning}", config.name);
    }
    begin_upkeep(&handle, &config);
    let front = open_to_clients(&config, client_ports, handle.clone())?;
    ready(&Ready {
        name: config.name.clone(),
        client: config.listen_client,
        peer: config.listen_peer,
        data_dir: config.data_dir.clone(),
        handle,
    });
    let outcome = replica_thread::run(&mut core, &mut inboxes).await;
    close(&mut core, &mut inboxes, front, outcome)
}

/// What this server does for the store while it leads.
fn begin_upkeep(handle: &Handle, config: &ServerConfig) {
    auto_compaction::start(handle, config.auto_compaction);
    store_settings::start(handle, config.quota_bytes, config.history);
}

/// The end, after which nobody waits for anything any more.
fn close(
    core: &mut Core,
    inboxes: &mut Inboxes,
    front: Front,
    outcome: Result<Ended, ServerError>,
) -> Result<(), ServerError> {
    // Requests that came too late: their connections see that nobody will answer, and end.
    inboxes.submissions.close();
    while inboxes.submissions.try_recv().is_ok() {}
    match &outcome {
        Ok(Ended::PowerFailed) => core.lose_power(),
        Ok(Ended::Stopped) => core.finish(None),
        Err(why) => core.finish(Some(why)),
    }
    front.stop();
    outcome.map(|_| ())
}

fn begin_log(config: &ServerConfig) -> Result<EventLog, ServerError> {
    let mut event_log =
        EventLog::new(config.log, config.log_level, lab_hosts(config)).map_err(environment)?;
    event_log = event_log.tapped_by(config.rig.as_ref().map(|rig| rig.tap.clone()));
    if config.log == LogStyle::Lab {
        event_log.lab_started(&format!("localhost:{}", config.listen_peer.port()));
    }
    Ok(event_log)
}

/// Everything that happens is kept in the ring, and in a file if that is wanted. A laboratory looks for itself.
fn keep_records(
    mut event_log: EventLog,
    config: &ServerConfig,
    id: NodeId,
    recorder: &Recorder,
    epoch: Instant,
) -> Result<EventLog, ServerError> {
    // Before the address book does.
    event_log.set_names([(id, config.name.clone())].into_iter());
    recorder.begins(epoch);
    let speaks = matches!(config.log, LogStyle::Text | LogStyle::Json);
    let flight = (config.rig.is_none() && speaks)
        .then(|| Flight::new(recorder.clone(), &config.data_dir, &config.name));
    let file = match &config.record {
        Some(path) => Some(RecordFile::open(path, &config.name).map_err(|why| {
            ServerError::Environment(format!("{}: {why}: nothing can be recorded there", path.display()))
        })?),
        None => None,
    };
    Ok(event_log.kept_by(recorder.clone(), flight, file))
}

/// Lets clients in.
fn open_to_clients(
    config: &ServerConfig,
    ports: Vec<(std::net::TcpListener, Serves)>,
    handle: Handle,
) -> Result<Front, ServerError> {
    let (connections, fewer) = descriptors::room_for(config.max_connections);
    if let Some(why) = fewer {
        eprintln!("{}: {why}", config.name);
    }
    let limits = Limits { connections, ..Limits::for_requests(config.max_request_bytes) };
    let shared = Shared::new(handle, limits, config.known_client_addr());
    let shared = Arc::new(shared.with_console(config.console));
    Front::start(ports, config.connection_threads, &shared).map_err(environment)
}

/// Finds out which cluster this server belongs to, and makes it durable. True: founded by this server now.
async fn settle(
    config: &ServerConfig,
    directory: &Directory,
    identity: &mut Identity,
    disk: &FileDisk,
) -> Result<bool, ServerError> {
    if identity.cluster.is_some() {
        same_cluster(config, identity)?;
        return Ok(false);
    }
    let name = config.name.clone();
    let notice = |text: &str| eprintln!("{name}: {text}");
    let Founded { cluster, record, by_me, promised } = found(config, directory, notice).await?;
    identity.cluster = Some(cluster);
    identity.id = promised.unwrap_or(identity.id);
    identity.founding.clone_from(&record);
    identity.write(disk)?;
    // Only what is durable is told to others.
    directory.be_known_as(identity.id);
    directory.found(cluster, record);
    Ok(by_me)
}

/// The data directory must belong to the cluster that the flags speak of.
fn same_cluster(config: &ServerConfig, identity: &Identity) -> Result<(), ServerError> {
    let Some(founding) = &identity.founding else { return Ok(()) };
    if config.peers.is_empty() || config.joins() {
        return Ok(());
    }
    let known = |name: &str, addr: &str| {
        founding.members.iter().any(|member| member.name == name && member.peer_addr == addr)
    };
    let others = config.peers.iter().filter(|(name, _)| *name != config.name);
    if others.clone().count() > 0
        && !others.clone().any(|(name, addr)| known(name, addr))
        && founding.members.len() > 1
    {
        let members: Vec<String> =
            founding.members.iter().map(|member| format!("{}={}", member.name, member.peer_addr)).collect();
        return Err(ServerError::Refused(format!(
            "{} holds data of another cluster (founded with {}), not of the one that --peers names: check \
             --data-dir and --peers",
            config.data_dir.display(),
            members.join(",")
        )));
    }
    Ok(())
}

/// Reads the disk.
fn open(
    config: &ServerConfig,
    identity: &mut Identity,
    disk: FileDisk,
    epoch: Instant,
) -> Result<(Replica<KvMachine>, Event, LogWriter<FileDisk>), ServerError> {
    let cluster = identity.cluster.expect("a server settles before it opens its log");
    let token = log_token(cluster, identity.id);
    let wal_config = WalConfig { create: !identity.log_begun, ..WalConfig::new(token) };
    let (wal, found) = Wal::open(disk.clone(), wal_config)?;
    if !identity.log_begun {
        identity.log_begun = true;
        identity.write(&disk)?;
    }
    let snapshot = found.snapshot.clone().unwrap_or_else(|| first_snapshot(identity.founding.as_ref()));
    let opened = Event::Disk(DiskEvent::Opened {
        entries: found.entries.len() as u64,
        last: found.entries.last().map_or(snapshot.last_included_index, |entry| entry.index),
        snapshot: snapshot.last_included_index,
        torn_bytes: found.torn_bytes,
    });
    let recovered = Recovered { hard_state: found.hard_state, snapshot, entries: found.entries };
    let raft = raft_config(config, identity, cluster);
    raft.validate().map_err(ServerError::Config)?;
    let replica_config = ReplicaConfig {
        snapshot_after_bytes: config.snapshot_after_bytes,
        max_log_bytes: config
            .snapshot_after_bytes
            .saturating_mul(4)
            .max(ReplicaConfig::default().max_log_bytes),
        request_timeout: config.request_timeout.max(config.election_timeout_max * 2),
        ..ReplicaConfig::default()
    };
    let now = Time(u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let replica = Replica::restore(now, raft, replica_config, recovered, KvMachine::new());
    Ok((replica, opened, LogWriter::new(disk, token, wal)))
}

/// Whose log it is: part of every checksum, so that a file of another server is never taken for ours.
pub(crate) fn log_token(cluster: u64, id: u64) -> [u8; 16] {
    let mut token = [0; 16];
    token[..8].copy_from_slice(&cluster.to_le_bytes());
    token[8..].copy_from_slice(&id.to_le_bytes());
    token
}

/// Before the first entry stands the configuration that the cluster was founded with.
pub(crate) fn first_snapshot(founding: Option<&FoundingRecord>) -> SnapshotMeta {
    let Some(founding) = founding else { return SnapshotMeta::default() };
    let book = Book::new(founding.members.iter().map(BookEntry::from).collect());
    let voters = book.entries.iter().map(|entry| entry.id).collect();
    let membership = Membership { voters, context: book.encode(), ..Membership::default() };
    SnapshotMeta { membership: membership.into(), ..SnapshotMeta::default() }
}

fn raft_config(config: &ServerConfig, identity: &Identity, cluster: u64) -> Config {
    let seed = config.seed.unwrap_or_else(crate::random::u64);
    let (id, cluster) = (identity.node_id(), ClusterId(cluster));
    let base = match (config.rig.as_ref().and_then(|rig| rig.raft.clone()), config.profile) {
        (Some(rigged), _) => Config { id, cluster, seed, ..rigged },
        (None, Profile::Default) => {
            Config { commit_notice_after: Some(COMMIT_NOTICE_AFTER), ..Config::new(id, cluster, seed) }
        }
        (None, Profile::Classic) => Config::classic(id, cluster, seed),
    };
    Config {
        incarnation: Incarnation { number: identity.incarnation, meant: Book::incarnation_meant },
        first_sequence: identity.starts << 40 | 1,
        heartbeat_interval: config.heartbeat,
        election_timeout_min: config.election_timeout_min,
        election_timeout_max: config.election_timeout_max,
        max_command_bytes: config.max_request_bytes,
        ..base
    }
}

fn card(config: &ServerConfig, identity: &Identity) -> Card {
    let named = config.peers.iter().find(|(name, _)| *name == config.name).map(|(_, addr)| addr.clone());
    let peer_addr = reachable_at(config.advertise_peer.clone().or(named), config.listen_peer);
    Card {
        id: identity.id,
        name: identity.name.clone(),
        incarnation: identity.incarnation,
        cluster: identity.cluster,
        peer_addr,
        client_addr: config.known_client_addr(),
        named_at: Position::default(),
    }
}

fn lab_hosts(config: &ServerConfig) -> Names {
    let mut hosts = Names::default();
    let table: BTreeMap<_, _> =
        config.peers.iter().map(|(name, addr)| (jangada_node::book::node_id(name), addr)).collect();
    for (id, addr) in table {
        hosts.insert(id, addr.clone());
    }
    hosts
}

/// The ports for clients, the first of which others are told of, and those for figures.
fn client_ports(config: &ServerConfig) -> Result<Vec<(std::net::TcpListener, Serves)>, ServerError> {
    let clients = std::iter::once(&config.listen_client).chain(&config.also_listen_client);
    let clients = clients.map(|addr| Ok((bind(*addr, "clients")?, Serves::Everything)));
    let figures = config.listen_metrics.iter().map(|addr| Ok((bind(*addr, "metrics")?, Serves::Figures)));
    clients.chain(figures).collect()
}

fn bind(addr: SocketAddr, whom: &str) -> Result<std::net::TcpListener, ServerError> {
    let listener = std::net::TcpListener::bind(addr).map_err(|why| {
        let hint = if why.kind() == std::io::ErrorKind::AddrInUse {
            ": another program listens there; stop it, or choose another port"
        } else {
            ""
        };
        ServerError::Environment(format!("cannot listen for {whom} on {addr} ({why}){hint}"))
    })?;
    listener.set_nonblocking(true).map_err(environment)?;
    Ok(listener)
}

fn tokio_listener(listener: std::net::TcpListener) -> Result<TcpListener, ServerError> {
    TcpListener::from_std(listener).map_err(environment)
}

fn environment(why: std::io::Error) -> ServerError {
    ServerError::Environment(why.to_string())
}

/// SIGTERM and SIGINT are a request to stop.
fn signals(stop: &StopHandle) -> Result<(), ServerError> {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind).map_err(environment)?;
        let stop = stop.clone();
        tokio::task::spawn_local(async move {
            signal.recv().await;
            stop.stop();
        });
    }
    Ok(())
}
