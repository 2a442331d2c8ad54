//! What the client side counts, and the whole text of `GET /metrics` in Prometheus' format (0.0.4).
//!
//! Four sources, one page: these counters, the latest [`Status`], what the event stream was folded into
//! ([`jangada_trace::metrics::Metrics`]), and the [`Meters`](crate::meters::Meters). Behind our names stand etcd's (`etcd/names.rs`). Counting is a handful of relaxed additions; only a scrape formats.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jangada_etcd::CallCounts;

use crate::etcd::names;
use crate::handle::{Kind, RequestError};
use crate::meters::Histogram;
use crate::resp::commands::{SPECS, Spec};
use crate::status::{AlarmName, RoleName, Status, StatusBoard};

/// The counters of the client side. All begin at zero with the process.
#[derive(Debug)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections closed again.
    pub closed: AtomicU64,
    /// Connections turned away because there were too many.
    pub turned_away: AtomicU64,
    /// Connections closed because the client was silent, idle or did not read, for too long.
    pub timed_out: AtomicU64,
    /// Connections closed because what came was no protocol of ours.
    pub protocol_errors: AtomicU64,
    /// Lines of plain words.
    pub words: AtomicU64,
    /// HTTP requests.
    pub http_requests: AtomicU64,
    /// Calls of etcd's API.
    pub etcd_calls: AtomicU64,
    /// Those calls one by one.
    pub calls: Arc<CallCounts>,
    /// Commands by their place in the table.
    commands: [AtomicU64; SPECS.len()],
    /// Commands of no known name.
    pub unknown_commands: AtomicU64,
    /// Failed requests by [`REASONS`].
    failures: [AtomicU64; REASONS.len()],
    writes: Histogram,
    reads: Histogram,
}

/// Why requests fail, as labels.
const REASONS: [&str; 8] =
    ["no_leader", "busy", "too_large", "outcome_unknown", "deadline", "stopping", "bad", "no_room"];

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            accepted: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            protocol_errors: AtomicU64::new(0),
            words: AtomicU64::new(0),
            http_requests: AtomicU64::new(0),
            etcd_calls: AtomicU64::new(0),
            calls: Arc::default(),
            commands: [const { AtomicU64::new(0) }; SPECS.len()],
            unknown_commands: AtomicU64::new(0),
            failures: [const { AtomicU64::new(0) }; REASONS.len()],
            writes: Histogram::default(),
            reads: Histogram::default(),
        }
    }
}

impl Counters {
    /// Counts a command.
    pub fn command(&self, spec: &'static Spec) {
        if let Some(counter) = self.commands.get(spec.place()) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts a request without an answer from the store.
    pub fn failure(&self, error: &RequestError) {
        let reason = match error {
            RequestError::NoLeader { .. } | RequestError::Removed { .. } => 0,
            RequestError::Busy => 1,
            RequestError::TooLarge { .. } => 2,
            RequestError::OutcomeUnknown { .. } => 3,
            RequestError::Deadline => 4,
            RequestError::Stopping => 5,
            RequestError::Bad(_) => 6,
            RequestError::NoRoom => 7,
        };
        self.failures[reason].fetch_add(1, Relaxed);
    }

    /// Counts a batch that was answered after `time`.
    pub fn answered(&self, kind: Kind, time: Duration) {
        match kind {
            Kind::Write => self.writes.observe(time),
            Kind::Read | Kind::Local => self.reads.observe(time),
        }
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.accepted.load(Relaxed).saturating_sub(self.closed.load(Relaxed))
    }

    /// All commands and lines so far.
    #[must_use]
    pub fn all_commands(&self) -> u64 {
        self.commands.iter().map(|count| count.load(Relaxed)).sum::<u64>() + self.words.load(Relaxed)
    }

    /// The page for Prometheus.
    #[must_use]
    pub fn page(&self, board: &StatusBoard) -> String {
        let mut out = String::with_capacity(32 * 1024);
        let status = board.latest();
        if let Some(counted) = board.counted() {
            counted.write_prometheus(&mut out);
        } else {
            write_protocol_state(&mut out, &status);
        }
        write_server_state(&mut out, &status);
        write_members(&mut out, &status);
        self.write_connections(&mut out);
        self.write_requests(&mut out);
        names::write(&mut out, board, &self.calls);
        out
    }

    fn write_connections(&self, out: &mut String) {
        gauge(out, "jangada_connections_open", "Connections of clients.", self.open_connections());
        for (name, help, counter) in [
            ("jangada_connections_total", "Connections accepted.", &self.accepted),
            ("jangada_connections_refused_total", "Connections turned away: too many.", &self.turned_away),
            (
                "jangada_connections_timed_out_total",
                "Connections that stood still too long.",
                &self.timed_out,
            ),
            (
                "jangada_protocol_errors_total",
                "Connections that spoke no known protocol.",
                &self.protocol_errors,
            ),
            ("jangada_word_lines_total", "Lines of plain words.", &self.words),
            ("jangada_http_requests_total", "HTTP requests.", &self.http_requests),
            ("jangada_etcd_calls_total", "Calls of etcd's API that asked the store.", &self.etcd_calls),
            ("jangada_unknown_commands_total", "Commands of no known name.", &self.unknown_commands),
        ] {
            family(out, name, "counter", help);
            sample(out, name, "", counter.load(Relaxed));
        }
    }

    fn write_requests(&self, out: &mut String) {
        let name = "jangada_commands_total";
        family(out, name, "counter", "Commands of clients, by name.");
        for (spec, counter) in SPECS.iter().zip(&self.commands) {
            let count = counter.load(Relaxed);
            if count > 0 {
                sample(out, name, &format!("command=\"{}\"", spec.name), count);
            }
        }
        let name = "jangada_request_failures_total";
        family(out, name, "counter", "Requests that the store did not answer, by reason.");
        for (reason, counter) in REASONS.iter().zip(&self.failures) {
            sample(out, name, &format!("reason=\"{reason}\""), counter.load(Relaxed));
        }
        let name = "jangada_batch_seconds";
        family(out, name, "histogram", "From submitting a connection's batch to its answers.");
        self.writes.write(out, name, "kind=\"write\",");
        self.reads.write(out, name, "kind=\"read\",");
    }
}

/// What the event stream would tell, while nobody has folded it yet.
fn write_protocol_state(out: &mut String, status: &Status) {
    let leads = status.role == RoleName::Leader;
    gauge(out, "jangada_term", "The current term.", status.term);
    gauge(out, "jangada_is_leader", "1 while this server leads.", leads.into());
    let has_leader = leads || status.leader.is_some();
    gauge(out, "jangada_has_leader", "1 while this server leads or follows a leader.", has_leader.into());
    gauge(out, "jangada_commit_index", "The last committed entry.", status.commit_index);
    gauge(out, "jangada_last_index", "The last entry of the log.", status.last_index);
}

fn write_server_state(out: &mut String, status: &Status) {
    let name = "jangada_info";
    family(out, name, "gauge", "Who answers; always 1.");
    let labels =
        format!("name={:?},version={:?},cluster={:?}", status.name, status.version, status.cluster_id);
    sample(out, name, &labels, 1);
    gauge(out, "jangada_ready", "1 while the server can serve.", status.problem.is_none().into());
    gauge(out, "jangada_uptime_seconds", "Seconds since the start.", status.uptime_ms / 1_000);
    gauge(out, "jangada_applied_index", "The last applied entry.", status.applied_index);
    gauge(out, "jangada_snapshot_index", "The last entry that a snapshot covers.", status.snapshot_index);
    gauge(out, "jangada_log_bytes", "Bytes of entries since the last snapshot.", status.log_bytes);
    gauge(out, "jangada_revision", "The store's revision.", status.revision);
    gauge(out, "jangada_keys", "Keys in the store.", status.keys);
    gauge(out, "jangada_live_bytes", "About how many bytes are current.", status.live_bytes);
    gauge(out, "jangada_quota_bytes", "How many bytes may be current.", status.quota.bytes);
    let history = &status.history;
    let revisions = (status.revision + 1).saturating_sub(history.oldest_revision);
    gauge(out, "jangada_history_revisions", "Revisions that can be read.", revisions);
    gauge(out, "jangada_history_bytes", "Bytes of old values that can be read.", history.bytes);
    let name = "jangada_alarm";
    family(out, name, "gauge", "1 while an alarm of this kind stands, for whichever member.");
    for kind in AlarmName::ALL {
        let stands = status.alarms.iter().any(|alarm| alarm.alarm == kind);
        sample(out, name, &format!("alarm={:?}", kind.as_str()), stands.into());
    }
    let expected = status.membership.promised.len() as u64;
    gauge(out, "jangada_expected_members", "Members that were added and have not come yet.", expected);
    let tolerates = status.membership.tolerates;
    gauge(out, "jangada_failures_tolerated", "Voters that may fail while the cluster serves.", tolerates);
}

fn write_members(out: &mut String, status: &Status) {
    let members = &status.membership.members;
    let name = "jangada_member_reachable";
    family(out, name, "gauge", "1 while the member can be reached from this server.");
    for member in members {
        sample(out, name, &format!("member={:?}", member.name), member.reachable.into());
    }
    let name = "jangada_member_lag_entries";
    family(out, name, "gauge", "Entries that the member is behind; only the leader knows.");
    for member in members {
        if let Some(lag) = member.lag {
            sample(out, name, &format!("member={:?}", member.name), lag);
        }
    }
}

const STRING: &str = "writing to a string cannot fail";

pub(crate) fn gauge(out: &mut String, name: &str, help: &str, value: u64) {
    family(out, name, "gauge", help);
    sample(out, name, "", value);
}

pub(crate) fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(STRING);
}

pub(crate) fn sample(out: &mut String, name: &str, labels: &str, value: u64) {
    if labels.is_empty() {
        writeln!(out, "{name} {value}").expect(STRING);
    } else {
        writeln!(out, "{name}{{{labels}}} {value}").expect(STRING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_is_described_once_before_its_samples() {
        let counters = Counters::default();
        counters.command(Spec::find(b"get").unwrap());
        counters.answered(Kind::Write, Duration::from_micros(70));
        counters.answered(Kind::Write, Duration::from_secs(60));
        counters.failure(&RequestError::Busy);
        let page = counters.page(&StatusBoard::new(Status::starting("n1", 1)));
        let mut families = Vec::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap();
                assert!(!families.contains(&name), "{name} twice");
                families.push(name);
            } else if !line.starts_with('#') {
                assert!(line.starts_with(families.last().unwrap()), "{line}");
            }
        }
        assert!(page.contains("jangada_commands_total{command=\"get\"} 1\n"), "{page}");
        assert!(page.contains("jangada_request_failures_total{reason=\"busy\"} 1\n"), "{page}");
        assert!(page.contains("jangada_batch_seconds_bucket{kind=\"write\",le=\"0.0001\"} 1\n"), "{page}");
        assert!(page.contains("jangada_batch_seconds_count{kind=\"write\"} 2\n"), "{page}");
        assert!(page.contains("jangada_ready 0\n"), "{page}");
    }
}
