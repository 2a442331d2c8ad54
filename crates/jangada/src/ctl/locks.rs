//! lock and elect: held as long as a lease is kept alive, or as long as a command runs.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::v3electionpb::election_client::ElectionClient;
use jangada_etcd::v3lockpb::lock_client::LockClient;
use jangada_etcd::{v3electionpb, v3lockpb};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Ctl;
use super::cluster::{Cluster, Effect};
use super::grammar::{Elect, Lock};
use super::keys::kv;
use super::leases::{grant, keep_alive, pause, revoke};
use super::print::{Answer, add_line};
use super::tree::{Tree, header, key_value, text};
use crate::failure::{Exit, Failure};
use crate::output;

/// How often somebody looks whether the command has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long a command that must end is asked to.
const FAREWELL: Duration = Duration::from_secs(5);
/// A place in the queue is waited for as long as it takes.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is held, and until when that is certain.
struct Held {
    lease: i64,
    ttl: i64,
    /// The key that stands for it.
    key: Bytes,
    /// Its creation revision: the fencing token.
    token: i64,
}

/// SIGINT and SIGTERM.
struct Stops(Signal, Signal);

impl Stops {
    fn new() -> Result<Stops, Failure> {
        Ok(Stops(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// Keeps a lease alive until that fails for as long as it lives. Never ends otherwise.
async fn keep(mut cluster: Cluster, lease: i64, ttl: i64) -> String {
    let mut kept = Instant::now();
    loop {
        tokio::time::sleep(pause(ttl)).await;
        let sent = Instant::now();
        match keep_alive(&mut cluster, lease).await {
            Ok(told) if told.ttl > 0 => kept = sent,
            Ok(_) => return "the lease has ended".to_owned(),
            Err(failure) if kept.elapsed() >= Duration::from_secs(ttl.unsigned_abs()) => {
                return format!("the lease could not be kept alive: {failure}");
            }
            Err(_later) => {}
        }
    }
}

impl Ctl {
    /// Holds a lock, until the command ends or somebody says stop.
    pub async fn lock(&mut self, asked: &Lock) -> Result<(), Failure> {
        let mut stops = Stops::new()?;
        let granted = grant(&mut self.cluster, asked.ttl).await?;
        let (lease, ttl) = (granted.id, granted.ttl);
        let mut lost = Box::pin(keep(self.cluster.again(), lease, ttl));
        let name = Bytes::copy_from_slice(asked.name.as_bytes());
        let mut waiting = self.cluster.waiting(FOR_EVER);
        let held = tokio::select! {
            held = acquire(&mut waiting, name, lease) => held,
            why = &mut lost => Err(Failure::new(Exit::No, format!("the place in the queue is lost: {why}"))),
            () = stops.wait() => Err(Failure::silent(Exit::Interrupted)),
        };
        let ended = match held {
            Err(failure) => Err(failure),
            Ok((key, token)) => {
                let held = Held { lease, ttl, key, token };
                self.hold_lock(&held, asked, &mut lost, &mut stops).await
            }
        };
        // Whatever happened: who waits behind us should not wait for the lease to end by itself.
        let _ended = revoke(&mut self.cluster, lease).await;
        ended
    }

    async fn hold_lock(
        &mut self,
        held: &Held,
        asked: &Lock,
        lost: &mut (impl Future<Output = String> + Unpin),
        stops: &mut Stops,
    ) -> Result<(), Failure> {
        if let Some((program, arguments)) = asked.command.split_first() {
            return run(program, arguments, held, lost, stops).await;
        }
        let mut simple = Vec::new();
        add_line(&held.key, &mut simple);
        let tree = Tree::Object(vec![
            ("key", Tree::Bytes(held.key.clone())),
            ("fencing_token", held.token.into()),
            ("lease", text(format!("{:016x}", held.lease))),
            ("ttl", held.ttl.into()),
        ]);
        self.format.print(&Answer::lines(tree, simple))?;
        tokio::select! {
            why = lost => Err(Failure::new(Exit::No, format!("the lock is lost: {why}"))),
            () = stops.wait() => Ok(()),
        }
    }

    /// Stands for election and leads until somebody says stop; or tells who leads.
    pub async fn elect(&mut self, asked: &Elect) -> Result<(), Failure> {
        let name = Bytes::copy_from_slice(asked.name.as_bytes());
        match &asked.proposal {
            Some(proposal) if !asked.listen => {
                self.campaign(name, Bytes::copy_from_slice(proposal.as_bytes()), asked.ttl).await
            }
            Some(_) => Err(Failure::usage("--listen tells who leads; leave the proposal out")),
            None if asked.listen => self.observe(name).await,
            None => Err(Failure::usage("elect wants a proposal, or --listen to hear who leads")),
        }
    }

    async fn campaign(&mut self, name: Bytes, value: Bytes, ttl: i64) -> Result<(), Failure> {
        let mut stops = Stops::new()?;
        let granted = grant(&mut self.cluster, ttl).await?;
        let (lease, ttl) = (granted.id, granted.ttl);
        let mut lost = Box::pin(keep(self.cluster.again(), lease, ttl));
        let mut waiting = self.cluster.waiting(FOR_EVER);
        let request = v3electionpb::CampaignRequest { name: name.into(), lease, value: value.into() };
        let elected = waiting.call(Effect::Idempotent, request, |channel, request| async move {
            ElectionClient::new(channel).campaign(request).await
        });
        let elected = tokio::select! {
            elected = elected => elected,
            why = &mut lost => Err(Failure::new(Exit::No, format!("the candidacy is lost: {why}"))),
            () = stops.wait() => Err(Failure::silent(Exit::Interrupted)),
        };
        let ended = match elected {
            Err(failure) => Err(failure),
            Ok(elected) => {
                let leader = elected.leader.unwrap_or_default();
                let kv = read(&mut self.cluster, leader.key.into()).await?;
                self.tell_leader(elected.header, &kv)?;
                tokio::select! {
                    why = &mut lost => Err(Failure::new(Exit::No, format!("the leadership is lost: {why}"))),
                    () = stops.wait() => Ok(()),
                }
            }
        };
        let _ended = revoke(&mut self.cluster, lease).await;
        ended
    }

    /// Tells each new leader. A key that was first is the leader until it goes.
    async fn observe(&mut self, name: Bytes) -> Result<(), Failure> {
        let mut last = Bytes::new();
        let mut waiting = self.cluster.waiting(FOR_EVER);
        loop {
            let request = v3electionpb::LeaderRequest { name: name.to_vec() };
            let link = waiting.link().await?;
            let mut election = ElectionClient::new(link.channel);
            let told = election.observe(waiting.request(request)).await;
            let mut told = match told {
                Ok(told) => told.into_inner(),
                Err(status) => return Err(Failure::refused(super::cluster::words(&status))),
            };
            while let Ok(Some(leader)) = told.message().await {
                let kv = leader.kv.unwrap_or_default();
                if kv.value != last || last.is_empty() {
                    last = kv.value.clone();
                    self.tell_leader(leader.header, &kv)?;
                }
            }
            output::note(&format!("{}: connection lost; asking the next one", link.address));
            waiting.leave();
            tokio::time::sleep(LOOK).await;
        }
    }

    fn tell_leader(
        &self,
        from: Option<pb::ResponseHeader>,
        leader: &jangada_etcd::mvccpb::KeyValue,
    ) -> Result<(), Failure> {
        let tree =
            Tree::Object(vec![("header", header(&from)), ("kvs", Tree::List(vec![key_value(leader)]))]);
        let mut simple = Vec::new();
        add_line(&leader.key, &mut simple);
        add_line(&leader.value, &mut simple);
        self.format.print(&Answer { raw: Some(leader.value.to_vec()), ..Answer::lines(tree, simple) })
    }
}

/// Waits for the lock. The same lease finds the place that it has, so that asking again does no harm.
async fn acquire(cluster: &mut Cluster, name: Bytes, lease: i64) -> Result<(Bytes, i64), Failure> {
    let request = v3lockpb::LockRequest { name: name.into(), lease };
    let locked = cluster.call(Effect::Idempotent, request, |channel, request| async move {
        LockClient::new(channel).lock(request).await
    });
    let key = Bytes::from(locked.await?.key);
    let token = read(cluster, key.clone()).await?.create_revision;
    Ok((key, token))
}

async fn read(cluster: &mut Cluster, key: Bytes) -> Result<jangada_etcd::mvccpb::KeyValue, Failure> {
    let request = pb::RangeRequest { key, ..pb::RangeRequest::default() };
    let read = cluster
        .call(Effect::Read, request, |channel, request| async move { kv(channel).range(request).await });
    let found = read.await?.kvs.into_iter().next();
    found.ok_or_else(|| Failure::new(Exit::No, "it was lost as soon as it was won: the lease has ended"))
}

/// Runs the command while the lock is held, with its fencing token in the environment; ends as it ends.
async fn run(
    program: &OsString,
    arguments: &[OsString],
    held: &Held,
    lost: &mut (impl Future<Output = String> + Unpin),
    stops: &mut Stops,
) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.args(arguments);
    let key = std::ffi::OsStr::from_bytes(&held.key);
    for (name, value) in [("JANGADA_LOCK_KEY", key), ("ETCD_LOCK_KEY", key)] {
        command.env(name, value);
    }
    for name in ["JANGADA_FENCING_TOKEN", "ETCD_LOCK_REV"] {
        command.env(name, held.token.to_string());
    }
    command.env("JANGADA_LOCK_LEASE", format!("{:016x}", held.lease));
    let spawned = command.spawn();
    let mut child = spawned.map_err(|error| Failure::usage(format!("{}: {error}", program.display())))?;
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            let exit = u8::try_from(code).unwrap_or(1);
            return if exit == 0 { Ok(()) } else { Err(Failure { exit, message: String::new() }) };
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stops.wait() => end(&mut child).await?,
            why = &mut *lost => {
                output::note(&format!("the lock is lost: {why}; the command is asked to end"));
                end(&mut child).await?;
                return Err(Failure::silent(Exit::No));
            }
        }
    }
}

/// Asks a command to end, and ends it.
async fn end(child: &mut Child) -> Result<(), Failure> {
    let pid = rustix::process::Pid::from_child(child);
    let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let until = Instant::now() + FAREWELL;
    while child.try_wait()?.is_none() {
        if Instant::now() >= until {
            child.kill()?;
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    child.wait()?;
    Ok(())
}
