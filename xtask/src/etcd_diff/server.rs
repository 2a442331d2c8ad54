//! Two clusters of one or more members each, empty, on ports and in folders of their own, which end with this value.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
    channels: Vec<Channel>,
    /// Whose turn it is.
    turn: usize,
    _processes: Vec<Process>,
    _folder: TempDir,
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
        let members = *members;
        let theirs = |number, all: &[Ports], folder: &Path| etcds_command(etcd, number, all, folder);
        let etcd = Server::start("etcd", members, theirs).await?;
        let ours = |number, all: &[Ports], folder: &Path| ours_command(jangada, number, all, folder);
        let ours = Server::start("jangada", members, ours).await?;
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

    /// The connection of the member that leads.
    pub(crate) async fn leaders_channel(&self) -> Result<Channel> {
        for channel in &self.channels {
            let status =
                MaintenanceClient::new(channel.clone()).status(pb::StatusRequest {}).await?.into_inner();
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                return Ok(channel.clone());
            }
        }
        bail!("nobody leads")
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

    async fn start(
        name: &'static str,
        members: usize,
        command: impl Fn(usize, &[Ports], &Path) -> Command,
    ) -> Result<Server> {
        let folder = folder_in_memory()?;
        let ports: Vec<Ports> = (0..members).map(|_| free_ports()).collect::<Result<_>>()?;
        let mut processes = Vec::new();
        for number in 0..members {
            let log = std::fs::File::create(log_of(folder.path(), number))?;
            let mut command = command(number, &ports, folder.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            processes.push(Process(command.spawn().with_context(|| format!("{name} does not start"))?));
        }
        let mut channels = Vec::new();
        for (number, ports) in ports.iter().enumerate() {
            let process = &mut processes[number].0;
            let channel = up(process, ports.client).await.with_context(|| {
                let log = std::fs::read_to_string(log_of(folder.path(), number)).unwrap_or_default();
                format!("{name} does not answer:\n{log}")
            })?;
            channels.push(channel);
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
            _processes: processes,
            _folder: folder,
        })
    }
}

fn clients(channel: &Channel) -> (KvClient<Channel>, ClusterClient<Channel>, WatchClient<Channel>) {
    (
        KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
        ClusterClient::new(channel.clone()),
        WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
    )
}

/// Waits until the server there answers a linearizable read.
async fn up(process: &mut Child, port: u16) -> Result<Channel> {
    let begun = Instant::now();
    loop {
        if let Ok(channel) = Channel::connect(&format!("127.0.0.1:{port}")).await
            && clients(&channel).0.range(probe()).await.is_ok()
        {
            return Ok(channel);
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "it takes too long");
        anyhow::ensure!(process.try_wait()?.is_none(), "it has ended");
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

fn etcds_command(etcd: &Path, number: usize, all: &[Ports], folder: &Path) -> Command {
    let (client, peer) = (all[number].client, all[number].peer);
    let (client_url, peer_url) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(etcd);
    command.args(["--name", &name_of(number), "--log-level", "error"]);
    command.arg("--data-dir").arg(folder.join(name_of(number)));
    command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
    command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
    command.args(["--initial-cluster", &peers(all, "http://")]);
    command
}

fn ours_command(jangada: &Path, number: usize, all: &[Ports], folder: &Path) -> Command {
    let mut command = Command::new(jangada);
    command.args(["serve", "--name", &name_of(number)]);
    command.arg("--data-dir").arg(folder.join(name_of(number)));
    command.args(["--listen-client", &format!("127.0.0.1:{}", all[number].client)]);
    command.args(["--listen-peer", &format!("127.0.0.1:{}", all[number].peer)]);
    if all.len() > 1 {
        command.args(["--peers", &peers(all, "")]);
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

/// Ports that nobody uses at the moment.
fn free_ports() -> Result<Ports> {
    let (client, peer) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok(Ports { client: client.local_addr()?.port(), peer: peer.local_addr()?.port() })
}
