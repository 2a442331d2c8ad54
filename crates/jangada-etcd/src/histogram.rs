//! How long something takes, counted in buckets for Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of a histogram's buckets, in microseconds.
const BOUNDS: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000,
];

/// How long something took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts something that took so long.
    pub fn observe(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    /// Whether anything was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.load(Relaxed) == 0)
    }

    /// Appends the samples in Prometheus' format. `labels` is empty, or ends with a comma.
    pub fn write(&self, out: &mut String, name: &str, labels: &str) {
        const STRING: &str = "writing to a string cannot fail";
        let mut below = 0;
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            below += bucket.load(Relaxed);
            let bound = *bound as f64 / 1e6;
            writeln!(out, "{name}_bucket{{{labels}le=\"{bound}\"}} {below}").expect(STRING);
        }
        below += self.buckets[BOUNDS.len()].load(Relaxed);
        let sum = self.sum_micros.load(Relaxed) as f64 / 1e6;
        let own = labels.trim_end_matches(',');
        let own = if own.is_empty() { String::new() } else { format!("{{{own}}}") };
        writeln!(out, "{name}_bucket{{{labels}le=\"+Inf\"}} {below}").expect(STRING);
        writeln!(out, "{name}_sum{own} {sum}").expect(STRING);
        writeln!(out, "{name}_count{own} {below}").expect(STRING);
    }
}
