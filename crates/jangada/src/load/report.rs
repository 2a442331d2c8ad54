//! What a run has shown, for a person and for a script.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::killer::Kill;
use super::plan::{Plan, Work};
use super::tally::Tally;

/// How long answers took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latencies {
    /// The median.
    pub p50: f64,
    /// Nine of ten were faster.
    pub p90: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// 999 of 1,000 were faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
}

/// What a run has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What the clients did.
    pub work: Work,
    /// Where.
    pub servers: Vec<String>,
    /// How many asked at the same time.
    pub clients: usize,
    /// How many connections they shared.
    pub connections: usize,
    /// How many different keys there were.
    pub keys: u64,
    /// How long a value was.
    pub value_bytes: usize,
    /// How long it took.
    pub seconds: f64,
    /// How many operations were answered; of watches, how many events were delivered.
    pub answered: u64,
    /// How many puts the watches were told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub puts: Option<u64>,
    /// Reads of keys that were not there.
    pub absent: u64,
    /// Answers a second.
    pub rate: f64,
    /// How long they took.
    pub latency_ms: Latencies,
    /// How often which error came.
    pub errors: BTreeMap<String, u64>,
    /// The longest time in which nobody got an answer.
    pub longest_gap_ms: f64,
    /// CPU of all servers together, if they are processes of this machine, in microseconds for each answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_us: Option<f64>,
    /// CPU of these clients, in microseconds for each answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cpu_us: Option<f64>,
    /// Leaders that were killed meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kills: Vec<Kill>,
}

impl Report {
    /// What was counted in this time.
    pub(super) fn of(plan: &Plan, servers: &[String], span: Duration, tally: &Tally) -> Report {
        let all = &tally.latencies;
        let at = |quantile| all.value_at_quantile(quantile) as f64 / 1_000.0;
        Report {
            work: plan.work,
            servers: servers.to_vec(),
            clients: plan.clients,
            connections: plan.connections.min(plan.clients),
            keys: plan.keys,
            value_bytes: plan.value_bytes,
            seconds: span.as_secs_f64(),
            answered: all.len(),
            puts: None,
            absent: tally.absent,
            rate: all.len() as f64 / span.as_secs_f64(),
            latency_ms: Latencies {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: all.max() as f64 / 1_000.0,
                mean: all.mean() / 1_000.0,
            },
            errors: tally.errors.clone(),
            longest_gap_ms: tally.longest_gap.as_secs_f64() * 1_000.0,
            server_cpu_us: None,
            client_cpu_us: None,
            kills: Vec::new(),
        }
    }

    /// Puts a time of CPU, in seconds, on each answer.
    pub fn each(&self, cpu_seconds: f64) -> Option<f64> {
        (self.answered > 0).then(|| cpu_seconds * 1e6 / self.answered as f64)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural =
            |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        writeln!(
            f,
            "{}: {} on {} to {}, {} of {} B, {:.1} s",
            self.work.name(),
            plural(self.clients, "client"),
            plural(self.connections, "connection"),
            plural(self.servers.len(), "server"),
            plural(usize::try_from(self.keys).unwrap_or(usize::MAX), "key"),
            self.value_bytes,
            self.seconds
        )?;
        let Latencies { p50, p90, p99, p999, max, .. } = self.latency_ms;
        match self.puts {
            None => writeln!(f, "  {} answers, {:.0}/s", self.answered, self.rate)?,
            Some(puts) => {
                writeln!(f, "  {puts} puts, {} events delivered, {:.0}/s", self.answered, self.rate)?
            }
        }
        writeln!(
            f,
            "  p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, worst {max:.2} ms"
        )?;
        writeln!(f, "  longest time without an answer: {:.0} ms", self.longest_gap_ms)?;
        if self.absent > 0 {
            writeln!(f, "  {} of them: no such key (--fill writes all keys first)", self.absent)?;
        }
        if let Some(cpu) = self.server_cpu_us {
            writeln!(f, "  CPU for each answer: {cpu:.1} µs, all servers together")?;
        }
        for kill in &self.kills {
            writeln!(f, "  {kill}")?;
        }
        match self.errors.is_empty() {
            true => write!(f, "  no errors"),
            false => {
                write!(f, "  errors: {}", named(&self.errors))
            }
        }
    }
}

/// What went wrong, and how often.
pub(super) fn named(errors: &BTreeMap<String, u64>) -> String {
    let errors: Vec<String> = errors.iter().map(|(why, count)| format!("{count} {why}")).collect();
    errors.join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::load::plan::{End, Protocol};
    use std::time::Instant;

    fn tally(answers: u64) -> Tally {
        let begun = Instant::now();
        let mut tally = Tally::new(begun);
        for _ in 0..answers {
            tally.answered(begun, Duration::from_millis(2), true);
        }
        tally
    }

    fn report(tally: &Tally) -> Report {
        let plan = Plan {
            work: Work::Put,
            protocol: Protocol::Resp,
            serializable: false,
            clients: 1,
            connections: 8,
            keys: 100,
            value_bytes: 256,
            reads: 0,
            rate: None,
            end: End::Operations(1),
            seed: 0,
            patience: Duration::from_secs(1),
            login: None,
        };
        Report::of(&plan, &["127.0.0.1:2379".to_owned()], Duration::from_secs(2), tally)
    }

    pub(in crate::load) fn any() -> Report {
        report(&tally(100))
    }

    #[test]
    fn a_report_says_what_was_counted() {
        let mut counted = tally(1_000);
        counted.failed("CLUSTERDOWN");
        let mut report = report(&counted);
        report.server_cpu_us = report.each(0.05);
        assert_eq!(
            report.to_string(),
            "put: 1 client on 1 connection to 1 server, 100 keys of 256 B, 2.0 s\n  1000 answers, 500/s\n  \
             p50 2.00 ms, p90 2.00 ms, p99 2.00 ms, p99.9 2.00 ms, worst 2.00 ms\n  \
             longest time without an answer: 0 ms\n  CPU for each answer: 50.0 µs, all servers together\n  \
             errors: 1 CLUSTERDOWN"
        );
    }

    #[test]
    fn nothing_answered_is_no_number_and_no_panic() {
        let report = report(&tally(0));
        assert_eq!((report.answered, report.each(1.0)), (0, None));
        assert!(serde_json::to_string(&report).unwrap().contains("\"rate\":0.0"));
    }
}
