//! check perf, check datascale: whether a cluster can take what is wanted of it. Simple ones: `jangada load` measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::Ctl;
use super::cluster::{Cluster, Effect, PAUSE, Verdict};
use super::grammar::{CheckWord, Load};
use super::keys::{end_of_prefix, kv};
use super::print::{Answer, add_text};
use super::status::view;
use super::stops::Stops;
use super::tree::{Tree, text};
use crate::failure::{Exit, Failure};
use crate::output;

/// How long `perf` writes.
const PERF_TIME: Duration = Duration::from_secs(10);
/// A put may take as long, at most.
const SLOWEST: Duration = Duration::from_millis(500);
/// What a value of `perf` has.
const VALUE_BYTES: usize = 1_024;
/// So many clients share a connection.
const CLIENTS_OF_CONNECTION: usize = 50;
/// So much of the wanted rate will do.
const ENOUGH: f64 = 0.9;

impl Load {
    /// Clients, puts a second, and keys of `datascale`.
    fn wants(self) -> (usize, f64, usize) {
        match self {
            Load::S => (50, 150.0, 10_000),
            Load::M => (200, 1_000.0, 100_000),
            Load::L => (500, 8_000.0, 1_000_000),
            Load::Xl => (1_000, 15_000.0, 3_000_000),
        }
    }
}

/// How a load was borne.
#[derive(Debug, Default)]
struct Borne {
    /// How long each put took that was done.
    times: Vec<Duration>,
    /// The same of each that was not, or of which nobody knows.
    failed: Vec<Duration>,
    /// Why the first of them failed.
    why: Option<String>,
}

impl Borne {
    fn add(&mut self, other: Borne) {
        self.times.extend(other.times);
        self.failed.extend(other.failed);
        self.why = self.why.take().or(other.why);
    }

    /// How long whoever waited longest did, whatever came of it.
    fn slowest(&self) -> Duration {
        self.times.iter().chain(&self.failed).max().copied().unwrap_or_default()
    }

    fn failures(&self) -> String {
        match (&self.why, self.failed.len()) {
            (Some(why), count) => format!("{count} requests failed, the first so: {why}"),
            (None, count) => format!("{count} requests failed"),
        }
    }
}

/// What is to be written.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    prefix: &'a [u8],
    clients: usize,
    /// All together no faster than so many a second.
    rate: Option<f64>,
    /// No put begins later.
    until: Option<Instant>,
    /// No more than so many.
    keys: usize,
}

/// A connection that many clients share. Who finds it broken has another one made, for all of them.
#[derive(Debug)]
struct Shared {
    cluster: Mutex<(u64, Cluster)>,
}

impl Shared {
    /// The connection in use, and its number.
    async fn now(&self) -> (u64, Cluster) {
        self.cluster.lock().await.clone()
    }

    /// The same, once the one with this number is not in use any more.
    async fn other_than(&self, number: u64) -> (u64, Cluster) {
        let mut cluster = self.cluster.lock().await;
        if cluster.0 == number {
            cluster.0 += 1;
            cluster.1.leave();
            tokio::time::sleep(PAUSE).await;
            // If nobody answers, the next put says so.
            let _link = cluster.1.link().await;
        }
        cluster.clone()
    }
}

impl Ctl {
    /// Puts a load on the cluster, and says whether it was borne. It leaves nothing behind.
    pub async fn check(&mut self, word: &CheckWord) -> Result<(), Failure> {
        match word {
            CheckWord::Perf { load, prefix } => self.perf(*load, prefix.as_bytes()).await,
            CheckWord::Datascale { load, prefix } => self.datascale(*load, prefix.as_bytes()).await,
        }
    }

    async fn perf(&mut self, load: Load, prefix: &[u8]) -> Result<(), Failure> {
        self.must_be_unused(prefix).await?;
        let mut stops = Stops::new()?;
        let (clients, rate, _) = load.wants();
        let begun = Instant::now();
        let until = Some(begun + PERF_TIME);
        let wanted = Wanted { prefix, clients, rate: Some(rate), until, keys: usize::MAX };
        let borne = self.written(&mut stops, wanted).await?;
        let seconds = begun.elapsed().as_secs_f64();
        self.put_away(&mut stops, prefix).await?;
        let (done, slowest) = (borne.times.len() as f64 / seconds, borne.slowest());
        let checks = [
            (
                done >= rate * ENOUGH,
                format!("Throughput is {done:.0} writes/s; at least {:.0} were wanted", rate * ENOUGH),
            ),
            (
                slowest <= SLOWEST,
                format!(
                    "Slowest request took {:.3} s, failed ones counted; at most {} s was wanted",
                    slowest.as_secs_f64(),
                    SLOWEST.as_secs_f64()
                ),
            ),
            (borne.failed.is_empty(), borne.failures()),
        ];
        self.verdict(&checks, done)
    }

    async fn datascale(&mut self, load: Load, prefix: &[u8]) -> Result<(), Failure> {
        self.must_be_unused(prefix).await?;
        let mut stops = Stops::new()?;
        let (clients, _, keys) = load.wants();
        let size = |view: super::status::View| {
            let said = view.seen.into_iter().filter_map(|one| one.answer.ok());
            said.map(|said| said.status.db_size_in_use).max().unwrap_or(0)
        };
        let before = size(view(self.cluster.endpoints()).await);
        let begun = Instant::now();
        let wanted = Wanted { prefix, clients, rate: None, until: None, keys };
        let borne = self.written(&mut stops, wanted).await?;
        let after = size(view(self.cluster.endpoints()).await);
        let rate = borne.times.len() as f64 / begun.elapsed().as_secs_f64();
        self.put_away(&mut stops, prefix).await?;
        let used = super::status::size(after - before);
        let written = format!("{} of {keys} keys were written, {}", borne.times.len(), borne.failures());
        let checks = [(borne.failed.is_empty(), written), (true, format!("They take up {used}"))];
        self.verdict(&checks, rate)
    }

    /// Writes what is wanted. Whoever says stop meanwhile finds what was written deleted.
    async fn written(&mut self, stops: &mut Stops, wanted: Wanted<'_>) -> Result<Borne, Failure> {
        let (stop, stopped) = watch::channel(false);
        let mut writing = std::pin::pin!(write(self.cluster.again(), wanted, stopped));
        let exit = tokio::select! {
            borne = &mut writing => return Ok(borne),
            exit = stops.wait() => exit,
        };
        output::note("stopped: what was written is deleted; once more, and it stays");
        stop.send_replace(true);
        let putting_away = async {
            // What is under way may still be written: it is waited for.
            let _borne = writing.await;
            self.clean_up(wanted.prefix).await
        };
        unless_stopped(stops, wanted.prefix, putting_away)
            .await
            .and(Err(Failure { exit, message: String::new() }))
    }

    /// Deletes what was written. Whoever says stop meanwhile is told of it, and obeyed when he says so again.
    async fn put_away(&mut self, stops: &mut Stops, prefix: &[u8]) -> Result<(), Failure> {
        let mut deleting = std::pin::pin!(self.clean_up(prefix));
        let exit = tokio::select! {
            deleted = &mut deleting => return deleted,
            exit = stops.wait() => exit,
        };
        output::note("what was written is being deleted; stop once more, and it stays");
        unless_stopped(stops, prefix, deleting).await.and(Err(Failure { exit, message: String::new() }))
    }

    fn verdict(&self, checks: &[(bool, String)], rate: f64) -> Result<(), Failure> {
        let mut simple = Vec::new();
        let word = |passed| if passed { "PASS" } else { "FAIL" };
        for (passed, what) in checks {
            add_text(&format!("{}: {what}", word(*passed)), &mut simple);
        }
        let passed = checks.iter().all(|(passed, _)| *passed);
        add_text(word(passed), &mut simple);
        let told = checks
            .iter()
            .map(|(passed, what)| Tree::Object(vec![("passed", Tree::Flag(*passed)), ("what", text(what))]));
        let tree = Tree::Object(vec![
            ("passed", Tree::Flag(passed)),
            ("writesPerSecond", (rate as u64).into()),
            ("checks", Tree::List(told.collect())),
        ]);
        self.format.print(&Answer::lines(tree, simple))?;
        if passed { Ok(()) } else { Err(Failure::silent(Exit::No)) }
    }

    async fn must_be_unused(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let request = pb::RangeRequest {
            key: Bytes::copy_from_slice(prefix),
            range_end: end_of_prefix(prefix),
            count_only: true,
            ..pb::RangeRequest::default()
        };
        let found = self
            .cluster
            .call(Effect::Read, request, |channel, request| async move { kv(channel).range(request).await });
        match found.await?.count {
            0 => Ok(()),
            count => Err(Failure::refused(format!(
                "{count} keys begin with {}: a check deletes what begins so; choose another --prefix",
                output::printable(prefix)
            ))),
        }
    }

    async fn clean_up(&mut self, prefix: &[u8]) -> Result<(), Failure> {
        let (key, range_end) = (Bytes::copy_from_slice(prefix), end_of_prefix(prefix));
        let request = pb::DeleteRangeRequest { key, range_end, prev_kv: false };
        // What only this program has written may be deleted twice.
        let deleted = self.cluster.call(Effect::Idempotent, request, |channel, request| async move {
            kv(channel).delete_range(request).await
        });
        deleted.await.map(drop).map_err(|failure| failure.because_of(&left(prefix)))
    }
}

/// Clients write until all is written, the time is over, or it is stopped.
async fn write(cluster: Cluster, wanted: Wanted<'_>, stopped: watch::Receiver<bool>) -> Borne {
    let next = Arc::new(AtomicUsize::new(0));
    let mut links: Vec<Arc<Shared>> = Vec::new();
    for _ in 0..wanted.clients.div_ceil(CLIENTS_OF_CONNECTION) {
        let mut link = cluster.again();
        let _first = link.link().await;
        links.push(Arc::new(Shared { cluster: Mutex::new((0, link)) }));
    }
    let begun = Instant::now();
    let mut writing = JoinSet::new();
    for client in 0..wanted.clients {
        let (next, prefix) = (Arc::clone(&next), wanted.prefix.to_vec());
        let (shared, mut stopped) = (Arc::clone(&links[client % links.len()]), stopped.clone());
        let Wanted { rate, until, keys, .. } = wanted;
        writing.spawn(async move {
            let mut borne = Borne::default();
            let mut client = Client::of(shared).await;
            loop {
                let place = next.fetch_add(1, Relaxed);
                let turn = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(place as f64 / rate));
                tokio::select! {
                    biased;
                    _ = stopped.wait_for(|stopped| *stopped) => return borne,
                    () = tokio::time::sleep_until((begun + turn).into()) => {}
                }
                if place >= keys || until.is_some_and(|until| Instant::now() >= until) {
                    return borne;
                }
                let sent = Instant::now();
                let put = client.put(&prefix, place).await;
                let Err((why, verdict)) = put else {
                    borne.times.push(sent.elapsed());
                    continue;
                };
                borne.add(Borne { failed: vec![sent.elapsed()], why: Some(why), ..Borne::default() });
                if verdict == Verdict::No {
                    // It would be no again.
                    return borne;
                }
            }
        });
    }
    let mut all = Borne::default();
    for borne in writing.join_all().await {
        all.add(borne);
    }
    all
}

/// One of the clients: over a connection that it shares.
struct Client {
    shared: Arc<Shared>,
    number: u64,
    cluster: Cluster,
}

impl Client {
    async fn of(shared: Arc<Shared>) -> Client {
        let (number, cluster) = shared.now().await;
        Client { shared, number, cluster }
    }

    /// Puts a key; again, over another connection, as long as it certainly was not done.
    async fn put(&mut self, prefix: &[u8], place: usize) -> Result<(), (String, Verdict)> {
        let key = [prefix, format!("{place:09}").as_bytes()].concat().into();
        let request = pb::PutRequest { key, value: vec![b'v'; VALUE_BYTES].into(), ..Default::default() };
        let until = Instant::now() + self.cluster.deadline();
        let carry = |channel, request| async move { kv(channel).put(request).await };
        loop {
            let put = match self.cluster.link().await {
                Ok(link) => self.cluster.once(link, Effect::Write, request.clone(), &carry, until).await,
                Err(failure) => Err((failure.message, Verdict::NotDone)),
            };
            let Err((why, verdict)) = put else { return Ok(()) };
            if verdict != Verdict::No {
                (self.number, self.cluster) = self.shared.other_than(self.number).await;
            }
            if verdict != Verdict::NotDone || Instant::now() >= until {
                return Err((why, verdict));
            }
        }
    }
}

/// Deletes what begins with this, unless somebody says stop.
async fn unless_stopped(
    stops: &mut Stops,
    prefix: &[u8],
    deleting: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::select! {
        deleted = deleting => deleted,
        exit = stops.wait() => Err(Failure { exit, message: left(prefix) }),
    }
}

/// What is to be done by hand if keys stay.
fn left(prefix: &[u8]) -> String {
    let prefix = output::printable(prefix);
    format!("keys that begin with {prefix} are left; delete them with `jangada ctl del --prefix {prefix}`")
}
