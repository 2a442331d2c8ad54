//! Two servers of one member each, empty, on ports and in folders of their own, which end with this value.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jangada_etcd::client::Channel;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::cluster_client::ClusterClient;
use jangada_etcd::etcdserverpb::kv_client::KvClient;
use jangada_etcd::etcdserverpb::watch_client::WatchClient;
use tempfile::TempDir;

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A real etcd, and us.
pub(crate) struct Pair {
    pub(crate) etcd: Server,
    pub(crate) ours: Server,
}

/// A running server, and clients of it.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) kv: KvClient<Channel>,
    pub(crate) cluster: ClusterClient<Channel>,
    pub(crate) watch: WatchClient<Channel>,
    process: Child,
    _folder: TempDir,
}

impl Pair {
    /// Starts both.
    pub(crate) async fn start(jangada: &Path) -> Result<Pair> {
        let folder = folder_in_memory()?;
        let (client, peer) = (free_port()?, free_port()?);
        let (client_url, peer_url) =
            (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new("etcd");
        command.args(["--name", "n1", "--log-level", "error", "--data-dir"]).arg(folder.path().join("data"));
        command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
        command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
        command.args(["--initial-cluster", &format!("n1={peer_url}")]);
        let etcd = Server::start("etcd", command, client, folder).await?;

        let folder = folder_in_memory()?;
        let (client, peer) = (free_port()?, free_port()?);
        let mut command = Command::new(jangada);
        command.args(["serve", "--name", "n1", "--data-dir"]).arg(folder.path().join("data"));
        command.args(["--listen-client", &format!("127.0.0.1:{client}")]);
        command.args(["--listen-peer", &format!("127.0.0.1:{peer}")]);
        let ours = Server::start("jangada", command, client, folder).await?;
        let mut pair = Pair { etcd, ours };
        pair.compact().await?;
        Ok(pair)
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
    async fn start(name: &'static str, mut command: Command, port: u16, folder: TempDir) -> Result<Server> {
        let log = std::fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut process = command.spawn().with_context(|| format!("{name} does not start"))?;
        let begun = Instant::now();
        loop {
            if let Ok(channel) = Channel::connect(&format!("127.0.0.1:{port}")).await {
                let mut kv = KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
                let probe = pb::RangeRequest { key: vec![0].into(), ..pb::RangeRequest::default() };
                if kv.range(probe).await.is_ok() {
                    let cluster = ClusterClient::new(channel.clone());
                    let watch = WatchClient::new(channel).max_decoding_message_size(usize::MAX);
                    return Ok(Server { name, kv, cluster, watch, process, _folder: folder });
                }
            }
            if begun.elapsed() > PATIENCE || process.try_wait()?.is_some() {
                let _ = process.kill();
                let _ = process.wait();
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                bail!("{name} does not answer:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself: the answers have told.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder in memory, if there is such a thing: what is compared does not depend on a disk, and there are many writes.
fn folder_in_memory() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

/// A port that nobody uses at the moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
