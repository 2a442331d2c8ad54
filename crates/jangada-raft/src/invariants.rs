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
use crate::types::{Entry, Index, NodeId, Payload, Term};

/// Checks all of them.
///
/// # Panics
/// If one does not hold, with a sentence that says which.
pub fn check_invariants(raft: &Raft) {
    let server = &raft.server;
    check_log(server);
    check_configurations(server);
    check_what_moves(raft);
    if let Role::Leader(leader) = &raft.role {
        check_members(server, leader);
    }
}

/// Checks them after each input, and walks only along what the input can have changed: the whole log and all
/// configurations once, then what was appended, and everything again after entries were removed.
///
/// One watcher looks at one server, from its start on.
#[derive(Clone, Debug, Default)]
pub struct Watcher {
    seen: Option<Seen>,
}

/// What the log was when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    base: Index,
    last: Index,
    last_term: Term,
    size_bytes: usize,
    snapshot: Index,
    /// Where the configuration in force stands, and in which term who led by it.
    membership: Index,
    leads: Option<Term>,
    followers: usize,
}

impl Seen {
    fn of(raft: &Raft) -> Seen {
        let server = &raft.server;
        let (leads, followers) = match &raft.role {
            Role::Leader(leader) => (Some(server.term()), leader.progress.len()),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => (None, 0),
        };
        Seen {
            base: server.log.base_index(),
            last: server.log.last_index(),
            last_term: server.log.last_term(),
            size_bytes: server.log.size_bytes(),
            snapshot: server.snapshot.last_included_index,
            membership: server.configurations.index(),
            leads,
            followers,
        }
    }
}

impl Watcher {
    /// Checks what can have changed since the last call.
    ///
    /// # Panics
    /// If something does not hold, with a sentence that says what.
    pub fn check(&mut self, raft: &Raft) {
        let now = Seen::of(raft);
        let Some(before) = self.seen.replace(now) else { return check_invariants(raft) };
        check_what_moves(raft);
        if before == now {
            return;
        }
        let server = &raft.server;
        let same_log = before.base == now.base && before.snapshot == now.snapshot;
        if !same_log || !continues(server, &before) {
            check_log(server);
            check_configurations(server);
        }
        if let Role::Leader(leader) = &raft.role {
            check_members(server, leader);
        }
    }
}

/// Whether the log is what it was, with entries behind it that are in order and change no configuration.
fn continues(server: &Server, before: &Seen) -> bool {
    let (mut index, mut term, mut size) = (before.last, before.last_term, before.size_bytes);
    if server.log.term_at(index) != Some(term) || server.configurations.index() != before.membership {
        return false;
    }
    for entry in server.log.tail(index.next()) {
        if entry.index != index.next() || entry.term < term || matches!(entry.payload, Payload::Membership(_))
        {
            return false;
        }
        (index, term, size) = (entry.index, entry.term, size + entry.size_bytes());
    }
    size == server.log.size_bytes()
}

/// What can change without the log: the marks along it, the role, what a leader believes.
fn check_what_moves(raft: &Raft) {
    let server = &raft.server;
    check_order(server);
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

/// A leader has its bookkeeping right.
fn check_leader(server: &Server, leader: &Leader) {
    let me = server.id();
    assert!(server.voted_for() == Some(me), "a leader was elected, by itself too");
    assert!(server.installing.is_none(), "a leader's log never stands still");
    let first = server.log.term_at(leader.first_of_term);
    let is_own = first.is_none_or(|term| term == server.term());
    assert!(is_own, "a leader's first entry is of its term");
    for progress in leader.progress.values() {
        check_progress(server, leader, progress);
    }
    let uncommitted = server.log.tail(server.commit_index().next());
    let size: usize = uncommitted.map(Entry::size_bytes).sum();
    assert!(size == leader.uncommitted_bytes, "what is not committed is counted");
}

/// A leader looks after each other member and after nobody else.
fn check_members(server: &Server, leader: &Leader) {
    let mut members: BTreeSet<NodeId> = server.membership().members();
    members.remove(&server.id());
    let present = leader.progress.iter().filter(|(_, progress)| progress.leaving.is_none());
    assert!(present.map(|(id, _)| *id).eq(members), "a leader looks after each member");
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

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    use bytes::Bytes;

    use super::*;
    use crate::config::Config;
    use crate::face::{Input, Output, Recovered};
    use crate::types::{ClusterId, HardState, Membership, SnapshotMeta, Time};

    /// A server that leads alone, with some entries, and its watcher.
    fn led() -> (Raft, Watcher) {
        let membership = Membership::of([NodeId(1)]);
        let snapshot = SnapshotMeta { membership: Box::new(membership), ..SnapshotMeta::default() };
        let recovered = Recovered { hard_state: HardState::default(), snapshot, entries: Vec::new() };
        let config = Config::new(NodeId(1), ClusterId(1), 1);
        let mut raft = Raft::restore(Time::ZERO, config, recovered);
        let mut watcher = Watcher::default();
        let mut output = Output::default();
        for input in [Input::Campaign, propose("a"), propose("b")] {
            step(&mut raft, input, &mut output);
            watcher.check(&raft);
        }
        (raft, watcher)
    }

    fn propose(command: &'static str) -> Input {
        Input::Propose(Bytes::from_static(command.as_bytes()))
    }

    /// An input, with a disk that is at once done.
    fn step(raft: &mut Raft, input: Input, output: &mut Output) {
        raft.handle(Time::ZERO, input);
        loop {
            *output = Output::default();
            raft.take_output(output);
            let Some(persist) = output.persist.take() else { return };
            raft.handle(Time::ZERO, Input::Persisted(persist.id));
        }
    }

    /// What the watcher says of a server that was changed like this behind its back.
    fn finds(change: impl FnOnce(&mut Raft)) -> bool {
        let (mut raft, watcher) = led();
        change(&mut raft);
        let look = move || {
            let mut watcher = watcher;
            watcher.check(&raft);
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(look)).is_err()
    }

    fn entry(raft: &Raft, payload: Payload) -> Entry {
        Entry { index: raft.last_index().next(), term: raft.term(), payload }
    }

    #[test]
    fn a_server_at_work_passes() {
        let (mut raft, mut watcher) = led();
        assert!(raft.is_leader());
        let mut output = Output::default();
        for command in ["c", "d", "e"] {
            step(&mut raft, propose(command), &mut output);
            watcher.check(&raft);
            check_invariants(&raft);
        }
    }

    #[test]
    fn the_watcher_finds_what_breaks_between_two_looks() {
        assert!(!finds(|_| ()));
        // The bookkeeping of a leader, without any change in the log.
        assert!(finds(|raft| match &mut raft.role {
            Role::Leader(leader) => leader.uncommitted_bytes += 1,
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => panic!("it leads"),
        }));
        // An entry that nobody counted.
        assert!(finds(|raft| {
            let entry = entry(raft, Payload::Noop);
            raft.server.log.append(entry);
        }));
        // A configuration in the log that is not in force.
        assert!(finds(|raft| {
            let entry = entry(raft, Payload::Membership(Box::new(Membership::of([NodeId(1), NodeId(2)]))));
            if let Role::Leader(leader) = &mut raft.role {
                leader.uncommitted_bytes += entry.size_bytes();
            }
            raft.server.log.append(entry);
        }));
        // A configuration in force that is not in the log.
        assert!(finds(|raft| {
            let entry = entry(raft, Payload::Membership(Box::new(Membership::of([NodeId(1), NodeId(2)]))));
            raft.server.configurations.on_appended(&entry);
        }));
        // Committed entries that are gone.
        assert!(finds(|raft| raft.server.log.truncate_from(Index(2))));
    }
}
