//! check perf, check datascale: whether a cluster can take what is wanted of it. Simple ones: `jangada load` measures.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;

use super::Ctl;
use super::cluster::{Cluster, Effect};
use super::grammar::{CheckWord, Load};
use super::keys::{end_of_prefix, kv};
use super::print::{Answer, add_text};
use super::status::view;
use super::tree::{Tree, text};
use crate::failure::{Exit, Failure};

/// How long `perf` writes.
const PERF_TIME: Duration = Duration::from_secs(10);
/// A put may take as long, at most.
const SLOWEST: Duration = Duration::from_millis(500);
/// What a value of `perf` has.
const VALUE_BYTES: usize = 1_024;
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
    times: Vec<Duration>,
    failed: u64,
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
        let (clients, wanted, _) = load.wants();
        let begun = Instant::now();
        let borne = self.write(prefix, clients, Some(wanted), begun + PERF_TIME, usize::MAX).await;
        let seconds = begun.elapsed().as_secs_f64();
        self.clean_up(prefix).await?;
        let Borne { mut times, failed } = borne;
        times.sort_unstable();
        let rate = times.len() as f64 / seconds;
        let slowest = times.last().copied().unwrap_or_default();
        let checks = [
            (rate >= wanted * ENOUGH, format!("Throughput is {rate:.0} writes/s, {wanted} were wanted")),
            (slowest <= SLOWEST, format!("Slowest request took {:.3} s", slowest.as_secs_f64())),
            (failed == 0, format!("{failed} requests failed")),
        ];
        self.verdict(&checks, rate)
    }

    async fn datascale(&mut self, load: Load, prefix: &[u8]) -> Result<(), Failure> {
        self.must_be_unused(prefix).await?;
        let (clients, _, keys) = load.wants();
        let size = |view: super::status::View| {
            let said = view.seen.into_iter().filter_map(|one| one.answer.ok());
            said.map(|said| said.status.db_size_in_use).max().unwrap_or(0)
        };
        let before = size(view(self.cluster.endpoints()).await);
        let begun = Instant::now();
        let far = begun + Duration::from_secs(24 * 3600);
        let borne = self.write(prefix, clients, None, far, keys).await;
        let after = size(view(self.cluster.endpoints()).await);
        let rate = borne.times.len() as f64 / begun.elapsed().as_secs_f64();
        self.clean_up(prefix).await?;
        let used = super::status::size(after - before);
        let checks = [
            (
                borne.failed == 0,
                format!("{} of {keys} keys were written, {} failed", borne.times.len(), borne.failed),
            ),
            (true, format!("They take up {used}")),
        ];
        self.verdict(&checks, rate)
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
                crate::output::printable(prefix)
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
        deleted.await.map(drop)
    }

    /// So many clients write until the time is over or so many keys are written, all together no faster than `rate`.
    async fn write(
        &self,
        prefix: &[u8],
        clients: usize,
        rate: Option<f64>,
        until: Instant,
        keys: usize,
    ) -> Borne {
        let begun = Instant::now();
        let next = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let mut writing = tokio::task::JoinSet::new();
        // A connection carries many clients.
        let mut links: Vec<Cluster> = (0..clients.div_ceil(50)).map(|_| self.cluster.again()).collect();
        for link in &mut links {
            let _first = link.link().await;
        }
        for client in 0..clients {
            let mut cluster = links[client % links.len()].clone();
            let (next, prefix) = (next.clone(), prefix.to_vec());
            writing.spawn(async move {
                let mut borne = Borne::default();
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if let Some(rate) = rate {
                        let at = begun + Duration::from_secs_f64(number as f64 / rate);
                        tokio::time::sleep_until(at.into()).await;
                    }
                    if number >= keys || Instant::now() >= until {
                        return borne;
                    }
                    let key = [&prefix[..], format!("{number:09}").as_bytes()].concat();
                    let request = pb::PutRequest {
                        key: key.into(),
                        value: vec![b'v'; VALUE_BYTES].into(),
                        ..Default::default()
                    };
                    let sent = Instant::now();
                    let put = cluster.call(Effect::Write, request, |channel, request| async move {
                        kv(channel).put(request).await
                    });
                    match put.await {
                        Ok(_) => borne.times.push(sent.elapsed()),
                        Err(_) => borne.failed += 1,
                    }
                }
            });
        }
        let mut all = Borne::default();
        for borne in writing.join_all().await {
            all.times.extend(borne.times);
            all.failed += borne.failed;
        }
        all
    }
}
