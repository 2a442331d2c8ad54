//! Two clusters of one or more members each, empty, on ports and in folders of their own, which end with this value.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jangada_etcd::client::Channel;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::cluster_client::ClusterClient;
use jangada_etcd::etcdserverpb::kv_client::KvClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use jangada_etcd::etcdserverpb::watch_client::WatchClient;
use tempfile::TempDir;
use tonic::Request;

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// From here on servers listen, at so many ports; systems give others to connections.
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 10_000;

/// What is started, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) etcd: PathBuf,
    pub(crate) jangada: PathBuf,
    pub(crate) members: usize,
}

/// A real etcd, and us.
pub(crate) struct Pair {
    pub(crate) etcd: Server,
    pub(crate) ours: Server,
}

/// Which of the two a cluster is of, and its program.
#[derive(Clone, Debug)]
enum Kind {
    Etcd(PathBuf),
    Ours(PathBuf),
}

/// A running cluster, and clients of the member whose turn it is.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) kv: KvClient<Channel>,
    pub(crate) cluster: ClusterClient<Channel>,
    pub(crate) watch: WatchClient<Channel>,
    /// The tokens of those who have logged in.
    pub(crate) tokens: BTreeMap<&'static str, String>,
    /// Who asks now.
    pub(crate) caller: Option<&'static str>,
    /// Of the founding members.
    channels: Vec<Channel>,
    /// Whose turn it is.
    turn: usize,
    /// Who came later.
    pub(crate) newcomer: Option<Newcomer>,
    kind: Kind,
    ports: Vec<Ports>,
    _processes: Vec<Process>,
    folder: TempDir,
}

/// A server that is to join, or has joined.
pub(crate) struct Newcomer {
    /// Its number, as soon as it is a member. It stays what it was when the member is gone.
    pub(crate) id: Option<u64>,
    ports: Ports,
    /// None before it is started.
    process: Option<Process>,
    channel: Option<Channel>,
}

/// A process that ends with this value.
struct Process(Child);

/// The ports of a member.
#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
}

impl Pair {
    /// Starts both.
    pub(crate) async fn start(programs: &Programs) -> Result<Pair> {
        let Programs { etcd, jangada, members } = programs;
        let etcd = Server::start("etcd", *members, Kind::Etcd(etcd.clone())).await?;
        let ours = Server::start("jangada", *members, Kind::Ours(jangada.clone())).await?;
        let mut pair = Pair { etcd, ours };
        pair.compact().await?;
        Ok(pair)
    }

    /// From now on this member of each is asked. What was answered before, it has seen.
    pub(crate) async fn turn_to(&mut self, member: usize) -> Result<()> {
        for server in [&mut self.etcd, &mut self.ours] {
            server.turn = member % server.channels.len();
            let channel = &server.channels[server.turn];
            (server.kv, server.cluster, server.watch) = clients(channel);
            if server.channels.len() > 1 {
                server.caller = server.tokens.contains_key("root").then_some("root");
                // While auth is on, it may be refused: then it was answered all the same.
                let _seen = server.kv.range(server.by(probe())).await;
                server.caller = None;
            }
        }
        Ok(())
    }

    /// Compacts for the first time: before, compaction of revision 0 is something else to etcd, and not to us.
    async fn compact(&mut self) -> Result<()> {
        for server in [&mut self.etcd, &mut self.ours] {
            let key = vec![0].into();
            let put = server.kv.put(pb::PutRequest { key, ..pb::PutRequest::default() }).await?;
            let revision = put.into_inner().header.context("a header")?.revision;
            server.kv.compact(pb::CompactionRequest { revision, physical: true }).await?;
        }
        Ok(())
    }

    /// Deletes every key on both, and returns the revision that both are at.
    pub(crate) async fn clear(&mut self) -> Result<i64> {
        let all = pb::DeleteRangeRequest { key: vec![0].into(), range_end: vec![0].into(), prev_kv: false };
        let mut revisions = Vec::new();
        for server in [&mut self.etcd, &mut self.ours] {
            let answer = server.kv.delete_range(all.clone()).await?.into_inner();
            revisions.push(answer.header.context("a header")?.revision);
        }
        let [etcd, ours] = revisions[..] else { bail!("two servers have two revisions") };
        anyhow::ensure!(
            etcd == ours,
            "etcd is at revision {etcd}, we at {ours}: something before made them part"
        );
        Ok(etcd)
    }
}

impl Server {
    /// The connection of the member whose turn it is.
    pub(crate) fn channel(&self) -> Channel {
        self.channels[self.turn].clone()
    }

    /// The connection of the member that leads, or of one that does not.
    pub(crate) async fn channel_of(&self, leader: bool) -> Result<Channel> {
        let newcomer = self.newcomer.as_ref().and_then(|newcomer| newcomer.channel.as_ref());
        for channel in self.channels.iter().chain(newcomer) {
            let status = MaintenanceClient::new(channel.clone()).status(pb::StatusRequest {}).await;
            let leads = |status: &pb::StatusResponse| {
                status.header.is_some_and(|header| header.member_id == status.leader)
            };
            // Who is no member any more may not answer any more.
            if status.is_ok_and(|status| leads(status.get_ref()) == leader) {
                return Ok(channel.clone());
            }
        }
        bail!("there is no member that {}", if leader { "leads" } else { "does not lead" })
    }

    /// The connections of all founding members.
    pub(crate) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// A message by whoever asks now, with the token of the last login.
    pub(crate) fn by<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.caller.and_then(|name| self.tokens.get(name));
        if let Some(token) = token.and_then(|token| token.parse().ok()) {
            request.metadata_mut().insert("token", token);
        }
        request
    }

    /// How many members there are.
    pub(crate) fn members(&self) -> usize {
        self.channels.len()
    }

    async fn start(name: &'static str, members: usize, kind: Kind) -> Result<Server> {
        let folder = folder_in_memory()?;
        let ports: Vec<Ports> = (0..members).map(|_| free_ports()).collect::<Result<_>>()?;
        let mut processes = Vec::new();
        for number in 0..members {
            processes.push(kind.start(number, &ports, folder.path(), Begin::Founding)?);
        }
        let mut channels = Vec::new();
        for (number, ports) in ports.iter().enumerate() {
            let process = &mut processes[number];
            let channel = up(process, ports.client).await;
            channels.push(channel.with_context(|| failed(name, number, folder.path()))?);
        }
        let (kv, cluster, watch) = clients(&channels[0]);
        Ok(Server {
            name,
            kv,
            cluster,
            watch,
            tokens: BTreeMap::new(),
            caller: None,
            channels,
            turn: 0,
            newcomer: None,
            kind,
            ports,
            _processes: processes,
            folder,
        })
    }
}

/// Servers that come later.
impl Server {
    /// Finds a place for one more server; whoever came before it is not there any more. Returns its peer URL.
    pub(crate) fn prepare_newcomer(&mut self) -> Result<String> {
        let ports = free_ports()?;
        self.newcomer = Some(Newcomer { id: None, ports, process: None, channel: None });
        Ok(format!("http://127.0.0.1:{}", ports.peer))
    }

    /// Starts the newcomer, if it does not run yet.
    pub(crate) fn start_newcomer(&mut self) -> Result<()> {
        let number = self.ports.len();
        let newcomer = self.newcomer.as_mut().context("there is no newcomer")?;
        if newcomer.process.is_none() {
            // Whoever had this name before has left its folder.
            let folder = self.folder.path();
            let _nothing_there = std::fs::remove_dir_all(folder.join(name_of(number)));
            let all: Vec<Ports> = self.ports.iter().copied().chain([newcomer.ports]).collect();
            newcomer.process = Some(self.kind.start(number, &all, folder, Begin::Joining)?);
        }
        Ok(())
    }

    /// Waits until the newcomer answers what every member answers, and has all that was written before.
    pub(crate) async fn newcomer_is_up(&mut self) -> Result<()> {
        let revision = |answer: pb::RangeResponse| answer.header.map_or(0, |header| header.revision);
        // Nobody leads two before the second is up.
        let wanted = loop {
            if let Ok(answer) = self.kv.range(self.by(probe())).await {
                break revision(answer.into_inner());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let number = self.ports.len();
        let newcomer = self.newcomer.as_mut().context("there is no newcomer")?;
        let process = newcomer.process.as_mut().context("the newcomer was not started")?;
        loop {
            if let Ok(channel) = Channel::connect(&format!("127.0.0.1:{}", newcomer.ports.client)).await {
                let request = pb::RangeRequest { serializable: true, ..probe() };
                let answer = clients(&channel).0.range(request).await;
                if answer.is_ok_and(|answer| revision(answer.into_inner()) >= wanted) {
                    newcomer.channel = Some(channel);
                    return Ok(());
                }
            }
            let ended = process.0.try_wait()?.is_some();
            anyhow::ensure!(!ended, "{}", failed(self.name, number, self.folder.path()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The newcomer stands still, or goes on.
    pub(crate) async fn signal_newcomer(&self, signal: &str) -> Result<()> {
        let newcomer = self.newcomer.as_ref().context("there is no newcomer")?;
        let process = newcomer.process.as_ref().context("the newcomer was not started")?;
        let line = format!("kill -{signal} {}", process.0.id());
        let status = Command::new("sh").args(["-c", &line]).status().context("cannot run sh")?;
        anyhow::ensure!(status.success(), "{line} has failed");
        Ok(())
    }

    /// What is asked next, until the end of `asking`, is asked of the newcomer. Returns whose turn it was.
    pub(crate) fn turn_to_newcomer(&mut self) -> Result<Channel> {
        let newcomer = self.newcomer.as_ref().and_then(|newcomer| newcomer.channel.clone());
        let channel = newcomer.context("the newcomer is not up")?;
        (self.kv, self.cluster, self.watch) = clients(&channel);
        Ok(std::mem::replace(&mut self.channels[self.turn], channel))
    }

    /// And now again whom it was asked of before.
    pub(crate) fn turn_back(&mut self, before: Channel) {
        (self.kv, self.cluster, self.watch) = clients(&before);
        self.channels[self.turn] = before;
    }
}

impl Newcomer {
    pub(crate) fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.peer)
    }
}

/// How a server begins.
#[derive(Clone, Copy)]
enum Begin {
    Founding,
    Joining,
}

impl Kind {
    fn start(&self, number: usize, all: &[Ports], folder: &Path, begin: Begin) -> Result<Process> {
        let log = std::fs::File::create(log_of(folder, number))?;
        let (mut command, name) = match self {
            Kind::Etcd(program) => (etcds_command(program, number, all, folder, begin), "etcd"),
            Kind::Ours(program) => (ours_command(program, number, all, folder, begin), "jangada"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(Process(command.spawn().with_context(|| format!("{name} does not start"))?))
    }
}

/// What a server said that did not come up.
fn failed(name: &str, number: usize, folder: &Path) -> String {
    let log = std::fs::read_to_string(log_of(folder, number)).unwrap_or_default();
    format!("{name} does not answer:\n{log}")
}

fn clients(channel: &Channel) -> (KvClient<Channel>, ClusterClient<Channel>, WatchClient<Channel>) {
    (
        KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
        ClusterClient::new(channel.clone()),
        WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
    )
}

/// Waits until the server there answers a linearizable read.
async fn up(process: &mut Process, port: u16) -> Result<Channel> {
    let begun = Instant::now();
    loop {
        if let Ok(channel) = Channel::connect(&format!("127.0.0.1:{port}")).await
            && clients(&channel).0.range(probe()).await.is_ok()
        {
            return Ok(channel);
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "it takes too long");
        anyhow::ensure!(process.0.try_wait()?.is_none(), "it has ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn probe() -> pb::RangeRequest {
    pb::RangeRequest { key: vec![0].into(), ..pb::RangeRequest::default() }
}

fn name_of(number: usize) -> String {
    format!("n{}", number + 1)
}

fn log_of(folder: &Path, number: usize) -> std::path::PathBuf {
    folder.join(format!("{}.log", name_of(number)))
}

/// All members' peer ports, by name, as both servers want to have them told.
fn peers(all: &[Ports], before: &str) -> String {
    let peers = all.iter().enumerate();
    let peers = peers.map(|(number, ports)| format!("{}={before}127.0.0.1:{}", name_of(number), ports.peer));
    peers.collect::<Vec<_>>().join(",")
}

fn etcds_command(etcd: &Path, number: usize, all: &[Ports], folder: &Path, begin: Begin) -> Command {
    let (client, peer) = (all[number].client, all[number].peer);
    let (client_url, peer_url) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(etcd);
    command.args(["--name", &name_of(number), "--log-level", "error"]);
    command.arg("--data-dir").arg(folder.join(name_of(number)));
    command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
    command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
    command.args(["--initial-cluster", &peers(all, "http://")]);
    if let Begin::Joining = begin {
        command.args(["--initial-cluster-state", "existing"]);
    }
    command
}

fn ours_command(jangada: &Path, number: usize, all: &[Ports], folder: &Path, begin: Begin) -> Command {
    let mut command = Command::new(jangada);
    command.args(["serve", "--name", &name_of(number)]);
    command.arg("--data-dir").arg(folder.join(name_of(number)));
    command.args(["--listen-client", &format!("127.0.0.1:{}", all[number].client)]);
    command.args(["--listen-peer", &format!("127.0.0.1:{}", all[number].peer)]);
    match begin {
        Begin::Founding if all.len() == 1 => {}
        Begin::Founding => {
            command.args(["--peers", &peers(all, "")]);
        }
        // Those who are there already.
        Begin::Joining => {
            command.args(["--join", "--peers", &peers(&all[..number], "")]);
        }
    }
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself: the answers have told.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder in memory, if there is such a thing: what is compared does not depend on a disk, and there are many writes.
fn folder_in_memory() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

/// Ports that nobody uses at the moment. Not those that the system gives to whoever asks for any: until a server listens
/// there, somebody's connection could have it.
fn free_ports() -> Result<Ports> {
    Ok(Ports { client: free_port()?, peer: free_port()? })
}

fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = FIRST_PORT + u16::try_from(std::process::id() % 100).unwrap_or(0) * 100;
    for _ in 0..PORTS {
        let place = NEXT.fetch_add(1, Relaxed) % PORTS;
        let port = FIRST_PORT + (first - FIRST_PORT + place) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free from {FIRST_PORT} on")
}
