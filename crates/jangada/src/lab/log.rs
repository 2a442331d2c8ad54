//! A server's log, for people: one line for each entry.

use jangada_kv::Request;
use jangada_raft::Raft;
use jangada_raft::types::{Entry, Index, Membership, Payload};
use jangada_server::handle::STAMP_BYTES;
use jangada_trace::language::Language;
use jangada_trace::{said, say, tell};

/// Entries that are shown; there may be millions.
const SHOWN: u64 = 30;

/// The end of a server's log: `3  term 2  committed  SET d 8`.
pub fn lines(language: Language, raft: &Raft) -> Vec<String> {
    let last = raft.last_index();
    let first = Index(raft.first_index().0.max(last.0.saturating_sub(SHOWN - 1)));
    let mut lines = Vec::new();
    let snapshot = raft.snapshot_meta();
    if snapshot.last_included_index.0 > 0 {
        let (index, term) = (snapshot.last_included_index, snapshot.last_included_term);
        lines.push(say!(
            language,
            "  a snapshot stands for everything up to {index} (term {term})",
            index,
            term
        ));
    }
    if first > raft.first_index() {
        lines.push(say!(
            language,
            "  … {count} entries before these",
            count = first.0 - raft.first_index().0
        ));
    }
    for entry in raft.entries(first..=last) {
        let state = if entry.index <= raft.commit_index() {
            language.of(said!("committed"))
        } else if entry.index <= raft.durable_index() {
            language.of(said!("on disk"))
        } else {
            language.of(said!("not on disk yet"))
        };
        let (index, term) = (entry.index.0, entry.term.0);
        lines.push(format!(
            "  {index:<5} {:<11} {state:<16} {}",
            say!(language, "term {term}", term),
            payload(language, entry)
        ));
    }
    if lines.is_empty() {
        lines.push(say!(language, "  its log is empty"));
    }
    lines
}

/// What is in an entry.
pub(super) fn payload(language: Language, entry: &Entry) -> String {
    match &entry.payload {
        Payload::Noop => say!(language, "no-op: a new leader's first entry [paper §8]"),
        Payload::Membership(membership) => members(language, membership),
        Payload::Command(bytes) if bytes.len() < STAMP_BYTES => {
            say!(language, "{count} bytes", count = bytes.len())
        }
        Payload::Command(bytes) => match Request::decode(bytes.slice(STAMP_BYTES..)) {
            Ok(request) => tell::request(&request),
            Err(_) => say!(language, "{count} bytes", count = bytes.len()),
        },
    }
}

fn members(language: Language, membership: &Membership) -> String {
    let names = |ids: &std::collections::BTreeSet<jangada_raft::types::NodeId>| {
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let voters = names(&membership.voters);
    match &membership.outgoing {
        Some(outgoing) => say!(
            language,
            "members: from {outgoing} to {voters}, jointly [paper §6]",
            outgoing = names(outgoing),
            voters
        ),
        None if membership.learners.is_empty() => say!(language, "members: {voters}", voters),
        None => say!(
            language,
            "members: {voters}; {learners} learn",
            voters,
            learners = names(&membership.learners)
        ),
    }
}
