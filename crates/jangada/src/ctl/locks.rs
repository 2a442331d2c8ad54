//! lock and elect: held as long as a lease is kept alive, or as long as a command runs.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::mvccpb::KeyValue;
use jangada_etcd::v3electionpb::election_client::ElectionClient;
use jangada_etcd::v3lockpb::lock_client::LockClient;
use jangada_etcd::{v3electionpb, v3lockpb};
use tokio::process::{Child, Command};

use super::Ctl;
use super::cluster::{Cluster, Effect, attended, words};
use super::grammar::{Elect, Lock};
use super::keys::kv;
use super::leases::{grant, keep_alive, pause, revoke};
use super::print::{Answer, add_line};
use super::stops::Stops;
use super::tree::{Tree, header, key_value, text};
use crate::failure::{Exit, Failure};
use crate::output;

/// How long a command that must end is asked to.
const FAREWELL: Duration = Duration::from_secs(5);
/// Back-off before somebody else is asked, or the lease is kept alive once more after that failed: no server says when it will
/// answer again.
const ANEW: Duration = Duration::from_millis(200);
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

/// Ends with the reason when a lease is lost, and not before.
type Lost = Pin<Box<dyn Future<Output = String>>>;

/// A lease that is kept alive as long as `lost` is asked.
struct Lease {
    id: i64,
    ttl: i64,
    lost: Lost,
}

/// Keeps a lease alive, which was granted or kept alive by something sent at `kept`. Ends when it is lost, at the latest when
/// nobody has said for `ttl` seconds that it is alive: from then on it may be another's turn.
async fn keep(mut cluster: Cluster, lease: i64, ttl: i64, mut kept: Instant) -> String {
    let whole = Duration::from_secs(ttl.unsigned_abs());
    let (mut rest, mut why) = (pause(ttl), "no answer".to_owned());
    loop {
        let once = async {
            tokio::time::sleep(rest).await;
            (Instant::now(), keep_alive(&mut cluster, lease).await)
        };
        match tokio::time::timeout_at((kept + whole).into(), once).await {
            Ok((sent, Ok(told))) if told.ttl > 0 => (kept, rest) = (sent, pause(ttl)),
            Ok((_, Ok(_))) => return "the lease has ended".to_owned(),
            Ok((_, Err(failure))) => (why, rest) = (failure.message, ANEW),
            Err(_late) => return format!("the lease could not be kept alive: {why}"),
        }
    }
}

impl Ctl {
    /// Waits with a lease of its own until it is its turn. A call that is lost has lost its place, and may still be at work:
    /// the next one is made with another lease, and so with another key, which the remains of the first cannot touch.
    async fn reach<T, F, Fut>(
        &mut self,
        ttl: i64,
        stops: &mut Stops,
        what: &str,
        ask: F,
    ) -> Result<(T, Lease), Failure>
    where
        F: Fn(Cluster, i64) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        loop {
            let begun = Instant::now();
            let granted = grant(&mut self.cluster, ttl).await?;
            let (id, ttl) = (granted.id, granted.ttl);
            let mut lost: Lost = Box::pin(keep(self.cluster.again(), id, ttl, begun));
            let reached = tokio::select! {
                reached = ask(self.cluster.waiting(FOR_EVER), id) => reached,
                why = &mut lost => Err(Failure::new(Exit::No, format!("{what} is lost: {why}"))),
                exit = stops.wait() => Err(Failure { exit, message: String::new() }),
            };
            let failure = match reached {
                Ok(reached) => return Ok((reached, Lease { id, ttl, lost })),
                Err(failure) => failure,
            };
            let _told = self.release(id, ttl).await;
            if failure.exit != Exit::Unreachable as u8 {
                return Err(failure);
            }
            output::note(&format!("{}; trying again with a new lease", failure.message));
            tokio::time::sleep(ANEW).await;
        }
    }

    /// Ends a lease: who waits behind us should not wait until it ends by itself. Says so if they have to.
    async fn release(&mut self, lease: i64, ttl: i64) -> Result<(), Failure> {
        match revoke(&mut self.cluster, lease).await {
            Ok(_gone) => Ok(()),
            Err(failure) => {
                output::note(&format!(
                    "not released ({}): whoever is next has to wait until the lease {lease:016x} ends by itself, in {ttl} \
                     s at most",
                    failure.message
                ));
                Err(Failure { message: String::new(), ..failure })
            }
        }
    }

    /// Holds a lock, until the command ends or somebody says stop.
    pub async fn lock(&mut self, asked: &Lock) -> Result<(), Failure> {
        let mut stops = Stops::new()?;
        let name = Bytes::copy_from_slice(asked.name.as_bytes());
        let ask = |cluster, lease| acquire(cluster, name.clone(), lease);
        let reached = self.reach(asked.ttl, &mut stops, "the place in the queue", ask).await?;
        let ((key, token), mut lease) = reached;
        let held = Held { lease: lease.id, ttl: lease.ttl, key, token };
        let ended = self.hold_lock(&held, asked, &mut lease.lost, &mut stops).await;
        let released = self.release(lease.id, lease.ttl).await;
        // A command's exit code is its own.
        if asked.command.is_empty() { ended.and(released) } else { ended }
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
            _ = stops.wait() => Ok(()),
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
        let ask = |cluster, lease| stand(cluster, name.clone(), value.clone(), lease);
        let reached = self.reach(ttl, &mut stops, "the candidacy", ask).await?;
        let ((from, leader), mut lease) = reached;
        let ended = match self.tell_leader(from, &leader) {
            Err(failure) => Err(failure),
            Ok(()) => tokio::select! {
                why = &mut lease.lost => Err(Failure::new(Exit::No, format!("the leadership is lost: {why}"))),
                _ = stops.wait() => Ok(()),
            },
        };
        let released = self.release(lease.id, lease.ttl).await;
        ended.and(released)
    }

    /// Tells each new leader, and each new word of one. Who does not answer greetings meanwhile is not listened to any longer.
    async fn observe(&mut self, name: Bytes) -> Result<(), Failure> {
        let mut last = None;
        let mut waiting = self.cluster.waiting(FOR_EVER);
        loop {
            let request = v3electionpb::LeaderRequest { name: name.to_vec() };
            let link = waiting.link().await?;
            let mut election = ElectionClient::new(link.channel);
            let told = election.observe(waiting.request(request));
            match attended(Effect::Read, &link.address, told).await {
                Some(Ok(told)) => {
                    let mut told = told.into_inner();
                    while let Some(Ok(Some(leader))) =
                        attended(Effect::Read, &link.address, told.message()).await
                    {
                        let kv = leader.kv.unwrap_or_default();
                        // Two may say the same: it is the key that tells them apart.
                        let this = Some((kv.key.clone(), kv.mod_revision));
                        if this != last {
                            last = this;
                            self.tell_leader(leader.header, &kv)?;
                        }
                    }
                }
                Some(Err(status)) if waiting.is_refusal(&status) => {
                    return Err(Failure::refused(format!("{} refused: {}", link.address, words(&status))));
                }
                Some(Err(_)) | None => {}
            }
            output::note(&format!("{}: connection lost; asking the next one", link.address));
            waiting.leave();
            tokio::time::sleep(ANEW).await;
        }
    }

    fn tell_leader(&self, from: Option<pb::ResponseHeader>, leader: &KeyValue) -> Result<(), Failure> {
        let tree =
            Tree::Object(vec![("header", header(&from)), ("kvs", Tree::List(vec![key_value(leader)]))]);
        let mut simple = Vec::new();
        add_line(&leader.key, &mut simple);
        add_line(&leader.value, &mut simple);
        self.format.print(&Answer { raw: Some(leader.value.to_vec()), ..Answer::lines(tree, simple) })
    }
}

/// Waits for the lock: its key, and the fencing token.
async fn acquire(mut cluster: Cluster, name: Bytes, lease: i64) -> Result<(Bytes, i64), Failure> {
    let request = v3lockpb::LockRequest { name: name.into(), lease };
    let locked = cluster.call(Effect::Wait, request, |channel, request| async move {
        LockClient::new(channel).lock(request).await
    });
    let key = Bytes::from(locked.await?.key);
    let token = read(&mut cluster, key.clone()).await?.create_revision;
    Ok((key, token))
}

/// Waits to be the leader: what was answered, and the key that says so.
async fn stand(
    mut cluster: Cluster,
    name: Bytes,
    value: Bytes,
    lease: i64,
) -> Result<(Option<pb::ResponseHeader>, KeyValue), Failure> {
    let request = v3electionpb::CampaignRequest { name: name.into(), lease, value: value.into() };
    let elected = cluster.call(Effect::Wait, request, |channel, request| async move {
        ElectionClient::new(channel).campaign(request).await
    });
    let elected = elected.await?;
    let leader = elected.leader.unwrap_or_default();
    Ok((elected.header, read(&mut cluster, leader.key.into()).await?))
}

async fn read(cluster: &mut Cluster, key: Bytes) -> Result<KeyValue, Failure> {
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
    tokio::select! {
        ended = child.wait() => return as_it_ended(ended?),
        _ = stops.wait() => {}
        why = &mut *lost => {
            output::note(&format!("the lock is lost: {why}; the command is asked to end"));
            end(&mut child).await?;
            return Err(Failure::silent(Exit::No));
        }
    }
    as_it_ended(end(&mut child).await?)
}

/// The exit code of a command as one of ours.
fn as_it_ended(status: ExitStatus) -> Result<(), Failure> {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let exit = u8::try_from(code).unwrap_or(1);
    if exit == 0 { Ok(()) } else { Err(Failure { exit, message: String::new() }) }
}

/// Asks a command to end, and ends it.
async fn end(child: &mut Child) -> Result<ExitStatus, Failure> {
    // One that has ended has no number any more.
    if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if let Ok(ended) = tokio::time::timeout(FAREWELL, child.wait()).await {
        return Ok(ended?);
    }
    child.start_kill()?;
    Ok(child.wait().await?)
}
