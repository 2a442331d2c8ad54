//! What a durable batch costs, and how long a log of a million entries takes to open.
//!
//! `cargo bench -p jangada-wal` · writes to a directory below `JANGADA_BENCH_DIR`, or the system's temporary
//! directory: it must lie on the disk in question, not in memory.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jangada_raft::types::{Entry, Index, Payload, Term};
use jangada_wal::{FileDisk, Wal, WalConfig};

const IDENTITY: [u8; 16] = *b"bench bench bech";

fn main() {
    // `cargo test --benches` runs benches too; it asks for nothing to be measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let base = std::env::var_os("JANGADA_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(base).unwrap();
    fresh(directory.path().join("fresh"));
    for batch in [1, 16, 64] {
        resting(directory.path().join(format!("resting-{batch}")), batch);
    }
    for batch in [1, 16, 64, 1000] {
        steady(directory.path().join(format!("steady-{batch}")), batch);
    }
    open_million(directory.path().join("million"));
}

fn open(path: &Path) -> (Wal<FileDisk>, jangada_wal::Recovered) {
    Wal::open(FileDisk::open(path).unwrap(), WalConfig::new(IDENTITY)).unwrap()
}

fn fresh(path: PathBuf) {
    let start = Instant::now();
    let (mut wal, _) = open(&path);
    let opened = start.elapsed();
    let mut steps = 0;
    while wal.maintain().unwrap() {
        steps += 1;
    }
    println!("fresh log: open {opened:.1?}, then {steps} steps ahead in {:.1?}", start.elapsed() - opened);
}

/// The log thread has time between the batches: all work ahead is done.
fn resting(path: PathBuf, batch: u64) {
    let (mut wal, _) = open(&path);
    let mut next = 1;
    let mut times = Vec::new();
    let mut cpu = Duration::ZERO;
    for _ in 0..2000 {
        while wal.maintain().unwrap() {}
        let entries = entries(next, batch);
        next += batch;
        let (start, cpu_start) = (Instant::now(), on_cpu());
        wal.append_entries(&entries).unwrap();
        wal.sync().unwrap();
        cpu += on_cpu() - cpu_start;
        times.push(start.elapsed());
    }
    times.sort();
    println!(
        "resting, {batch:4} x 256 B: p50 {:.1?}  p99 {:.1?}  CPU {:.1?}",
        times[1000],
        times[1980],
        cpu / 2000
    );
}

/// Batch after batch, work ahead only when it is due; from a fresh log on.
fn steady(path: PathBuf, batch: u64) {
    let (mut wal, _) = open(&path);
    let rounds = (400_000 / batch).clamp(1, 20_000);
    let mut times = Vec::new();
    let (start, cpu) = (Instant::now(), on_cpu());
    for round in 0..rounds {
        let entries = entries(1 + round * batch, batch);
        let start = Instant::now();
        wal.append_entries(&entries).unwrap();
        wal.sync().unwrap();
        times.push(start.elapsed());
        while wal.maintenance_due() && wal.maintain().unwrap() {}
    }
    let (elapsed, cpu) = (start.elapsed(), on_cpu() - cpu);
    times.sort();
    println!(
        "steady,  {batch:4} x 256 B: p50 {:.1?}  p99 {:.1?}  {:.0} entries/s  CPU a batch {:.1?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        (rounds * batch) as f64 / elapsed.as_secs_f64(),
        cpu / u32::try_from(rounds).unwrap(),
    );
}

fn open_million(path: PathBuf) {
    let (mut wal, _) = open(&path);
    for round in 0..1000 {
        wal.append_entries(&entries(1 + round * 1000, 1000)).unwrap();
        wal.sync().unwrap();
    }
    drop(wal);
    for _ in 0..3 {
        let start = Instant::now();
        let (_, recovered) = open(&path);
        println!("open of {} entries x 256 B: {:.1?}", recovered.entries.len(), start.elapsed());
    }
}

fn entries(first: u64, count: u64) -> Vec<Entry> {
    let payload = Bytes::from(vec![7; 256]);
    let entry =
        |index| Entry { term: Term(1), index: Index(index), payload: Payload::Command(payload.clone()) };
    (first..first + count).map(entry).collect()
}

/// The processor time of this thread so far, where the system tells.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
