//! Facts about one whole server that hold after each input.
//!
//! What they are for: a bug rarely breaks what a test looks at. It breaks one of these, some steps earlier,
//! and the step at which it happens is the one to look at.
//!
//! Too slow to be checked in production, where each function asserts what it can see; called after each input
//! by the tests and by the simulator. What must hold *between* servers (one leader in a term, logs that
//! match) is checked there.

use alloc::collections::BTreeSet;

use crate::membership::Configurations;
use crate::progress::{Mode, Progress};
use crate::raft::Raft;
use crate::role::{Leader, Role};
use crate::server::Server;
use crate::types::{Entry, Index, NodeId};

/// Checks all of them.
///
/// # Panics
/// If one does not hold, with a sentence that says which.
pub fn check_invariants(raft: &Raft) {
    let server = &raft.server;
    check_order(server);
    check_log(server);
    check_configurations(server);
    match &raft.role {
        Role::Follower(follower) => {
            assert!(follower.verified <= server.log.last_index(), "only what is here can be verified");
            assert!(follower.verified >= server.commit_index(), "what is committed is verified");
        }
        Role::PreCandidate(campaign) => {
            assert!(campaign.pre_vote, "a pre-candidate only asks");
            assert!(campaign.term == server.term().next(), "a pre-vote is about the next term");
        }
        Role::Candidate(campaign) => {
            assert!(!campaign.pre_vote, "a candidate means it");
            assert!(campaign.term == server.term(), "a candidate campaigns in its own term");
            assert!(server.voted_for() == Some(server.id()), "a candidate votes for itself");
        }
        Role::Leader(leader) => check_leader(server, leader),
    }
}

/// The marks along the log stand in order: base ≤ snapshot ≤ commit ≤ last, and durable ≤ handed ≤ last.
/// Durable and commit are *not* ordered: a majority without us may have committed what our disk still writes.
fn check_order(server: &Server) {
    let snapshot = server.snapshot.last_included_index;
    let (base, last) = (server.log.base_index(), server.log.last_index());
    assert!(base <= snapshot, "no entry behind the snapshot is missing");
    assert!(snapshot <= server.commit_index(), "a snapshot is of committed entries");
    assert!(server.last_applied() <= server.commit_index(), "only what is committed is applied");
    assert!(server.commit_index() <= last, "only what is here is committed");
    assert!(server.disk.durable() <= server.disk.handed(), "only what was handed out is durable");
    assert!(server.disk.handed() <= last, "only what is here was handed out");
    assert!(server.disk.handed() >= base, "nothing is forgotten before it was handed out");
    assert!(server.log.last_term() <= server.term(), "no entry comes from a later term");
}

/// The log is one piece, its terms rise, and its size is what it is said to be.
fn check_log(server: &Server) {
    let log = &server.log;
    let mut index = log.base_index();
    let mut term = log.term_at(index).expect("the term of the base is known");
    for entry in log.tail(log.first_index()) {
        assert!(entry.index == index.next(), "the log has no hole");
        assert!(entry.term >= term, "terms never fall along the log");
        (index, term) = (entry.index, entry.term);
    }
    let size: usize = log.tail(log.first_index()).map(Entry::size_bytes).sum();
    assert!(size == log.size_bytes(), "the log's size is that of its entries");
}

/// The configuration in force is a function of the snapshot and the log, however it came about.
fn check_configurations(server: &Server) {
    let snapshot = &server.snapshot;
    let mut computed = Configurations::new(snapshot.last_included_index, (*snapshot.membership).clone());
    for entry in server.log.tail(snapshot.last_included_index.next()) {
        computed.on_appended(entry);
    }
    assert!(computed.in_force() == server.configurations.in_force(), "the last configuration is in force");
    let (kept, recomputed) = (server.configurations.all(), computed.all());
    assert!(kept.skip(1).eq(recomputed.skip(1)), "the configurations are those in the log");
}

/// A leader looks after each other member and after nobody else, and has its bookkeeping right.
fn check_leader(server: &Server, leader: &Leader) {
    let me = server.id();
    assert!(server.voted_for() == Some(me), "a leader was elected, by itself too");
    assert!(server.installing.is_none(), "a leader's log never stands still");
    let first = server.log.term_at(leader.first_of_term);
    let is_own = first.is_none_or(|term| term == server.term());
    assert!(is_own, "a leader's first entry is of its term");
    let mut members: BTreeSet<NodeId> = server.membership().members();
    members.remove(&me);
    let present = leader.progress.iter().filter(|(_, progress)| progress.leaving.is_none());
    assert!(present.map(|(id, _)| *id).eq(members), "a leader looks after each member");
    for progress in leader.progress.values() {
        check_progress(server, leader, progress);
    }
    let uncommitted = server.log.tail(server.commit_index().next());
    let size: usize = uncommitted.map(Entry::size_bytes).sum();
    assert!(size == leader.uncommitted_bytes, "what is not committed is counted");
}

/// What a leader believes about a follower can be true.
fn check_progress(server: &Server, leader: &Leader, progress: &Progress) {
    let last = server.log.last_index();
    assert!(progress.match_index < progress.next_index, "what matches is not sent again");
    assert!(progress.match_index <= last, "only what is here can match");
    assert!(progress.acked_round <= leader.round, "only rounds that began are answered");
    assert!(progress.commit_told <= server.commit_index(), "only what is committed was told");
    match &progress.mode {
        Mode::Replicate(window) => {
            assert!(progress.next_index <= last.next(), "only what is here was sent");
            assert!(window.is_consistent(), "a window's size is that of its messages");
            assert!(window.messages() <= server.config.max_inflight_messages, "the window is bounded");
            let last_sent = window.last_sent().unwrap_or(Index::ZERO);
            assert!(last_sent < progress.next_index, "what is under way comes before what is next");
        }
        Mode::Probe { .. } => assert!(progress.next_index <= last.next(), "a probe is about what is here"),
        Mode::Snapshot(transmission) => {
            let ours = server.snapshot.last_included_index;
            assert!(transmission.last_included_index() <= ours, "only a snapshot that exists is sent");
        }
    }
}
