//! Metrics under the names that dashboards and alarms for etcd ask for, beside our own. Nothing is measured here; a name
//! says what etcd's says, or it is not there (docs/etcd.md has the list).

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use jangada_etcd::{CallCounts, SPOKEN_CLUSTER_VERSION, SPOKEN_VERSION};
use jangada_trace::metrics::Metrics as Counted;

use crate::meters::{Histogram, Meters};
use crate::metrics::{family, gauge, sample};
use crate::status::{MemberRole, RoleName, Status, StatusBoard};

/// Appends all of them.
pub(crate) fn write(out: &mut String, board: &StatusBoard, calls: &CallCounts) {
    let status = board.latest();
    let counted = board.counted().unwrap_or_default();
    write_server(out, &status, &counted);
    write_store(out, &status);
    write_traffic(out, board.meters(), &status, &counted);
    write_calls(out, calls);
    write_process(out, &status);
}

fn write_server(out: &mut String, status: &Status, counted: &Counted) {
    let leads = status.role == RoleName::Leader;
    let is_learner = status
        .membership
        .members
        .iter()
        .any(|member| member.name == status.name && matches!(member.role, MemberRole::Learner));
    gauge(
        out,
        "etcd_server_has_leader",
        "1 while there is a leader.",
        (leads || status.leader.is_some()).into(),
    );
    gauge(out, "etcd_server_is_leader", "1 while this server leads.", leads.into());
    gauge(out, "etcd_server_is_learner", "1 while this server has no vote.", is_learner.into());
    counter(out, "etcd_server_leader_changes_seen_total", "Leaders that came.", counted.leaders_seen);
    // Gauges there, too, whatever their names end with.
    gauge(out, "etcd_server_proposals_committed_total", "The last committed entry.", status.commit_index);
    gauge(out, "etcd_server_proposals_applied_total", "The last applied entry.", status.applied_index);
    let pending = if leads { status.last_index.saturating_sub(status.commit_index) } else { 0 };
    gauge(out, "etcd_server_proposals_pending", "A leader's entries that are not committed.", pending);
    let failed = counted.proposals_refused + counted.requests_refused + counted.requests_unknown;
    counter(out, "etcd_server_proposals_failed_total", "Requests that were refused, or got lost.", failed);
    counter(out, "etcd_server_read_indexes_failed_total", "Reads without an answer.", counted.reads_refused);
    let dropped = counted.messages_dropped;
    counter(out, "etcd_server_heartbeat_send_failures_total", "Messages that a full queue dropped.", dropped);
    gauge(out, "etcd_server_quota_backend_bytes", "How much the store may hold.", status.quota.bytes);
    for (name, help, label) in [
        (
            "etcd_server_version",
            "The etcd whose API this is; always 1.",
            format!("server_version={SPOKEN_VERSION:?}"),
        ),
        (
            "etcd_cluster_version",
            "That of all members; always 1.",
            format!("cluster_version={SPOKEN_CLUSTER_VERSION:?}"),
        ),
        ("etcd_server_id", "Who answers; always 1.", format!("server_id=\"{:x}\"", status.id)),
    ] {
        family(out, name, "gauge", help);
        sample(out, name, &label, 1);
    }
}

fn write_store(out: &mut String, status: &Status) {
    let whole = "About how many bytes the store takes up, history included.";
    gauge(out, "etcd_mvcc_db_total_size_in_bytes", whole, status.store_bytes);
    gauge(out, "etcd_debugging_mvcc_db_total_size_in_bytes", whole, status.store_bytes);
    let live = "About how many of them are current.";
    gauge(out, "etcd_mvcc_db_total_size_in_use_in_bytes", live, status.live_bytes);
    gauge(out, "etcd_debugging_mvcc_keys_total", "Keys in the store.", status.keys);
    gauge(out, "etcd_debugging_mvcc_current_revision", "The store's revision.", status.revision);
}

fn write_traffic(out: &mut String, meters: &Meters, status: &Status, counted: &Counted) {
    let name = "etcd_disk_wal_fsync_duration_seconds";
    family(out, name, "histogram", "A write to the log, with its sync.");
    meters.log_writes.write(out, name, "");
    let name = "etcd_disk_backend_commit_duration_seconds";
    family(out, name, "histogram", "Never: the store is in memory.");
    Histogram::default().write(out, name, "");
    for (name, help, count) in [
        (
            "etcd_network_client_grpc_received_bytes_total",
            "Bytes from clients over HTTP/2.",
            &meters.grpc_received,
        ),
        ("etcd_network_client_grpc_sent_bytes_total", "Bytes to them.", &meters.grpc_sent),
    ] {
        counter(out, name, help, count.load(Relaxed));
    }
    write_peers(out, meters);
    let lost = counted.links_lost;
    counter(out, "etcd_network_peer_sent_failures_total", "Links to members that went down.", lost);
    let others = status.membership.members.iter().filter(|member| member.name != status.name);
    let name = "etcd_network_active_peers";
    family(out, name, "gauge", "1 while the member can be reached.");
    for member in others {
        sample(
            out,
            name,
            &format!("Local={:?},Remote={:?}", status.name, member.name),
            member.reachable.into(),
        );
    }
}

fn write_peers(out: &mut String, meters: &Meters) {
    let peers = meters.peers();
    let name = "etcd_network_peer_received_bytes_total";
    family(out, name, "counter", "Bytes from another member.");
    for (id, meters) in &peers {
        sample(out, name, &format!("From=\"{id:x}\""), meters.received.load(Relaxed));
    }
    let name = "etcd_network_peer_sent_bytes_total";
    family(out, name, "counter", "Bytes to another member.");
    for (id, meters) in &peers {
        sample(out, name, &format!("To=\"{id:x}\""), meters.sent.load(Relaxed));
    }
    let name = "etcd_network_peer_round_trip_time_seconds";
    family(out, name, "histogram", "A leader's heartbeat that reads ask for, until its answer is looked at.");
    for (id, meters) in &peers {
        meters.round_trips.write(out, name, &format!("To=\"{id:x}\","));
    }
}

fn write_calls(out: &mut String, calls: &CallCounts) {
    let name = "grpc_server_started_total";
    family(out, name, "counter", "Calls that have begun.");
    for call in calls.all() {
        sample(out, name, &labels(&call), call.started);
    }
    let name = "grpc_server_handled_total";
    family(out, name, "counter", "Calls that have ended, by code.");
    for call in calls.all() {
        for (code, count) in call.handled() {
            sample(out, name, &format!("{},grpc_code={code:?}", labels(&call)), count);
        }
    }
    let name = "grpc_server_handling_seconds";
    family(out, name, "histogram", "How long calls took that have ended.");
    for call in calls.all().filter(|call| !call.times.is_empty()) {
        call.times.write(out, name, &format!("{},", labels(&call)));
    }
}

fn labels(call: &jangada_etcd::calls::Told<'_>) -> String {
    let (service, method, shape) = (call.service, call.method, call.shape.as_str());
    format!("grpc_service={service:?},grpc_method={method:?},grpc_type={shape:?}")
}

/// What every program with a Prometheus client says of its process, as far as the system tells.
fn write_process(out: &mut String, status: &Status) {
    let field = |file: &str, name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    if let Some(kib) = field("/proc/self/status", "VmRSS:") {
        gauge(out, "process_resident_memory_bytes", "Memory that the process has.", kib * 1_024);
    }
    if let Some(most) = field("/proc/self/limits", "Max open files") {
        gauge(out, "process_max_fds", "Most files that it may have open.", most);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge(out, "process_open_fds", "Files and sockets that it has open.", open.count() as u64);
    }
    if let Some(seconds) = cpu_seconds() {
        let name = "process_cpu_seconds_total";
        family(out, name, "counter", "Time on processors, of all threads.");
        writeln!(out, "{name} {seconds}").expect("writing to a string cannot fail");
    }
    if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
        let started = now.as_secs().saturating_sub(status.uptime_ms / 1_000);
        gauge(out, "process_start_time_seconds", "When it started, in seconds since 1970.", started);
    }
}

/// From the scheduler's own account, which counts in nanoseconds.
fn cpu_seconds() -> Option<f64> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanos += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(nanos as f64 / 1e9)
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    family(out, name, "counter", help);
    sample(out, name, "", value);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the panels of etcd's dashboard and the alarms for it ask, in other words.
    const EXPRESSIONS: [&str; 31] = [
        "sum(etcd_server_has_leader)",
        "max(etcd_server_is_leader)",
        "etcd_server_is_learner",
        "changes(etcd_server_leader_changes_seen_total[1d])",
        "increase(etcd_server_leader_changes_seen_total[15m])",
        "sum(rate(etcd_server_proposals_committed_total[5m]))",
        "sum(rate(etcd_server_proposals_applied_total[5m]))",
        "sum(etcd_server_proposals_pending)",
        "sum(rate(etcd_server_proposals_failed_total[5m]))",
        "sum(rate(grpc_server_started_total{grpc_type=\"unary\"}[5m]))",
        "sum(rate(grpc_server_handled_total{grpc_type=\"unary\",grpc_code=\"OK\"}[5m]))",
        "sum(grpc_server_started_total{grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"})",
        "sum(grpc_server_handled_total{grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"})",
        "sum(grpc_server_started_total{grpc_service=\"etcdserverpb.Lease\",grpc_type=\"bidi_stream\"})",
        "sum(grpc_server_handled_total{grpc_service=\"etcdserverpb.Lease\",grpc_type=\"bidi_stream\"})",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_debugging_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes / etcd_server_quota_backend_bytes",
        "histogram_quantile(0.99, sum(rate(etcd_disk_wal_fsync_duration_seconds_bucket[5m])) by (instance, le))",
        "histogram_quantile(0.99, sum(rate(etcd_disk_backend_commit_duration_seconds_bucket[5m])) by (instance, le))",
        "rate(etcd_network_client_grpc_received_bytes_total[5m])",
        "rate(etcd_network_client_grpc_sent_bytes_total[5m])",
        "sum(rate(etcd_network_peer_received_bytes_total[5m])) by (instance)",
        "sum(rate(etcd_network_peer_sent_bytes_total[5m])) by (instance)",
        "rate(etcd_network_peer_sent_bytes_total{To=\"2f\"}[5m])",
        "rate(etcd_network_peer_received_bytes_total{From=\"2f\"}[5m])",
        "histogram_quantile(0.99, sum(rate(etcd_network_peer_round_trip_time_seconds_bucket[5m])) by (To, le))",
        "process_resident_memory_bytes",
        "process_open_fds / process_max_fds",
        "rate(process_cpu_seconds_total[5m])",
        "process_start_time_seconds",
    ];

    fn page() -> String {
        let mut out = String::new();
        let board = StatusBoard::new(Status::starting("n1", 1));
        let _met = board.meters().of_peer(0x2f);
        write(&mut out, &board, &CallCounts::default());
        out
    }

    /// The names in an expression, each with the labels that it wants.
    fn selectors(expression: &str) -> Vec<(&str, Vec<&str>)> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut found = Vec::new();
        let mut rest = expression;
        while let Some(begin) = rest.find(|c: char| c.is_ascii_alphabetic()) {
            let word = &rest[begin..];
            let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
            let (name, after) = word.split_at(end);
            rest = after;
            let mut labels = Vec::new();
            if let Some(inner) = after.strip_prefix('{') {
                let (inside, behind) = inner.split_once('}').unwrap();
                labels = inside.split(',').collect();
                rest = behind;
            }
            if name.contains('_') && !rest.starts_with('(') {
                found.push((name, labels));
            }
        }
        found
    }

    #[test]
    fn a_dashboard_for_etcd_finds_each_name() {
        let page = page();
        let mut asked = 0;
        for expression in EXPRESSIONS {
            for (name, labels) in selectors(expression) {
                asked += 1;
                let fits = |line: &&str| {
                    let at = line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
                    at && labels.iter().all(|label| line.contains(label))
                };
                assert!(
                    page.lines().any(|line| fits(&line)),
                    "{expression}: nothing is called {name} {labels:?}"
                );
            }
        }
        assert_eq!(asked, EXPRESSIONS.len() + 2, "{:?}", selectors(EXPRESSIONS[10]));
    }

    #[test]
    fn every_name_is_in_the_documents() {
        let document = include_str!("../../../../docs/etcd.md");
        let page = page();
        let names: BTreeSet<&str> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        for name in names {
            assert!(document.contains(&format!("`{name}`")), "{name} is not in docs/etcd.md");
        }
    }
}
