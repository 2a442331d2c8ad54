//! One server as the page shows it.

use std::collections::BTreeMap;

use jangada_raft::Raft;
use jangada_raft::types::{Index, NodeId};
use jangada_trace::kinds;
use jangada_trace::language::Language;
use serde::Serialize;
use serde_json::Value;

use super::super::log;

/// Entries that are shown of each log.
const SHOWN: u64 = 48;
/// Characters of an entry that are shown.
const LONGEST_TEXT: usize = 200;

/// What a running server shows of itself; the fields are called as in `GET /status`.
#[derive(Clone, Debug, Serialize)]
pub struct Portrait {
    role: &'static str,
    term: u64,
    voted_for: Option<String>,
    leader: Option<String>,
    first_index: u64,
    last_index: u64,
    durable_index: u64,
    pub(super) commit_index: u64,
    applied_index: Option<u64>,
    snapshot_index: u64,
    voters: Vec<String>,
    /// What a leader knows of the others.
    match_index: BTreeMap<String, u64>,
    /// From here on the entries are shown.
    shown_from: u64,
    /// Their terms.
    terms: Vec<u64>,
    /// What is in them, by index and term.
    #[serde(skip)]
    entries: Entries,
}

/// What is in entries, by index and term: most are the same at all servers.
pub type Entries = BTreeMap<(u64, u64), String>;

impl Portrait {
    /// Of this server, which has applied so much; `None` while a snapshot is being loaded.
    pub fn of(language: Language, raft: &Raft, applied: Option<Index>) -> Portrait {
        let name = |id: NodeId| id.to_string();
        let last = raft.last_index();
        let from = Index(raft.first_index().0.max(last.0.saturating_sub(SHOWN - 1)));
        let (mut terms, mut entries) = (Vec::new(), Entries::new());
        for entry in raft.entries(from..=last) {
            terms.push(entry.term.0);
            let text = log::payload(language, entry).chars().take(LONGEST_TEXT).collect();
            entries.insert((entry.index.0, entry.term.0), text);
        }
        Portrait {
            role: kinds::role(raft.role_name()),
            term: raft.term().0,
            voted_for: raft.voted_for().map(name),
            leader: raft.leader().map(name),
            first_index: raft.first_index().0,
            last_index: last.0,
            durable_index: raft.durable_index().0,
            commit_index: raft.commit_index().0,
            applied_index: applied.map(|index| index.0),
            snapshot_index: raft.snapshot_meta().last_included_index.0,
            voters: raft.membership().all_voters().into_iter().map(name).collect(),
            match_index: raft.progress().map(|peer| (name(peer.id), peer.match_index.0)).collect(),
            shown_from: from.0,
            terms,
            entries,
        }
    }

    /// Adds what is in its entries to what is in those of others.
    pub fn add_entries(&self, all: &mut Entries) {
        for (key, text) in &self.entries {
            all.entry(*key).or_insert_with(|| text.clone());
        }
    }
}

/// `[[index, term, text], …]`.
pub fn written(entries: Entries) -> Vec<Value> {
    entries.into_iter().map(|((index, term), text)| serde_json::json!([index, term, text])).collect()
}
