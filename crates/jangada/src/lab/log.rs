//! A server's log, for people: one line for each entry.

use jangada_kv::Request;
use jangada_node::kv_machine::KvMachine;
use jangada_node::replica::Replica;
use jangada_raft::types::{Entry, Index, Membership, Payload};
use jangada_server::handle::STAMP_BYTES;
use jangada_trace::tell;

/// Entries that are shown; there may be millions.
const SHOWN: u64 = 30;

/// The end of a server's log: `3  term 2  committed  SET d 8`.
pub fn lines(replica: &Replica<KvMachine>) -> Vec<String> {
    let raft = replica.raft();
    let last = raft.last_index();
    let first = Index(raft.first_index().0.max(last.0.saturating_sub(SHOWN - 1)));
    let mut lines = Vec::new();
    let snapshot = raft.snapshot_meta();
    if snapshot.last_included_index.0 > 0 {
        let (index, term) = (snapshot.last_included_index, snapshot.last_included_term);
        lines.push(format!("  a snapshot stands for everything up to {index} (term {term})"));
    }
    if first > raft.first_index() {
        lines.push(format!("  … {} entries before these", first.0 - raft.first_index().0));
    }
    for entry in raft.entries(first..=last) {
        let state = if entry.index <= raft.commit_index() {
            "committed"
        } else if entry.index <= raft.durable_index() {
            "on disk"
        } else {
            "not on disk yet"
        };
        let (index, term) = (entry.index.0, entry.term.0);
        lines.push(format!("  {index:<5} term {term:<4} {state:<16} {}", payload(entry)));
    }
    if lines.is_empty() {
        lines.push("  its log is empty".into());
    }
    lines
}

/// What is in an entry.
pub(super) fn payload(entry: &Entry) -> String {
    match &entry.payload {
        Payload::Noop => "no-op: a new leader's first entry [paper §8]".into(),
        Payload::Membership(membership) => members(membership),
        Payload::Command(bytes) if bytes.len() < STAMP_BYTES => format!("{} bytes", bytes.len()),
        Payload::Command(bytes) => match Request::decode(bytes.slice(STAMP_BYTES..)) {
            Ok(request) => tell::request(&request),
            Err(_) => format!("{} bytes", bytes.len()),
        },
    }
}

fn members(membership: &Membership) -> String {
    let names = |ids: &std::collections::BTreeSet<jangada_raft::types::NodeId>| {
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let voters = names(&membership.voters);
    match &membership.outgoing {
        Some(outgoing) => format!("members: from {} to {voters}, jointly [paper §6]", names(outgoing)),
        None if membership.learners.is_empty() => format!("members: {voters}"),
        None => format!("members: {voters}; {} learn", names(&membership.learners)),
    }
}
