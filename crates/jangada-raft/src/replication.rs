//! Replication: AppendEntries, sent and answered, and the rule that commits.
//!
//! Paper §5.3, §5.4.2; Figure 2, "AppendEntries RPC" and "Rules for Servers". First the leader's side, then
//! the follower's.
//!
//! The life of an entry, with followers F and G:
//!
//! ```text
//!   client ──command──▶ L   propose: appended, gets its index and the present term
//!                       L   flush: AppendEntries to F and G; at the same time to its own disk
//!   L ──AppendEntries─▶ F   on_append_entries: does it follow what F has? appended, to F's disk
//!                       F   on_persisted, acknowledge: "I hold everything up to here"
//!   F ────Accepted────▶ L   on_accepted: match_index rises
//!                       L   advance_commit: a majority holds it, and it is of this term: committed
//!   L ──AppendEntries─▶ G   the next one, or a heartbeat, tells the followers so
//! ```
//!
//! If F has something else there, it refuses, the leader looks for the last place where both agree, and F's
//! entries behind it are replaced (Figure 7). The leader's own entries never change.
//!
//! **Differs from the paper.**
//! - The leader sends entries before they are on its own disk, and then counts for the majority only as far
//!   as its disk has come (Thesis §10.2.1).
//! - It does not wait for an answer before it sends the next entries, within a window for each follower
//!   (Thesis §10.2.2). `next_index` therefore moves when something is *sent*. After a refusal the window
//!   grows from one message on: a way that reorders would otherwise be flooded (`Progress::pace`).
//! - Nothing has a timer of its own. Each heartbeat names, as `prev_log_index`, the last entry that the
//!   leader has sent: a follower that missed something refuses the heartbeat, and the leader begins again
//!   from there. So the last write of a quiet cluster is repaired as well.
//! - What a follower has acknowledged it cannot refuse: such a refusal is a message that comes late, and moves
//!   nothing (in the paper it costs a needless retry). Where followers may forget what was on their disks
//!   (`Config::followers_may_forget`: lessons only) it is believed, and takes `matchIndex` back as well, which
//!   the paper never does: what is gone must not count for a majority. One that really comes late then costs
//!   a retry, as in the paper.
//! - A heartbeat is answered at once, with what is verified *and* durable by then; if more is verified than
//!   durable, a second answer follows when the disk has caught up. Reads and the check of the quorum so never
//!   wait for a disk.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::event::{Event, IgnoreReason};
use crate::face::{Answer, Refusal};
use crate::log::Fit;
use crate::message::{AppendEntries, AppendEntriesReply, AppendOutcome, Rpc};
use crate::progress::{Mode, Progress};
use crate::quorum;
use crate::role::{Follower, Leader};
use crate::server::{Envelope, NUMBER_LIMIT, Server};
use crate::snapshot;
use crate::types::{Entry, Index, NodeId, Payload, Term};

// ---- The leader: appending and sending ------------------------------------------------------------------

/// Appends a client's command (Figure 2, rules for leaders: "append entry to local log, respond after entry
/// applied"). It leaves with the next output, together with all others that came in between.
pub(crate) fn propose(server: &mut Server, leader: &mut Leader, command: Bytes) -> Answer {
    let size = command.len() + Entry::OVERHEAD_BYTES;
    let full = leader.uncommitted_bytes + size > server.config.max_uncommitted_bytes;
    let refusal = if command.len() > server.config.max_command_bytes {
        Some(Refusal::TooLarge)
    } else if leader.transfer.is_some() {
        // The next leader must not have to catch up with a target that keeps moving (Thesis §3.10, step 1).
        Some(Refusal::Transferring)
    } else if full && leader.uncommitted_bytes > 0 {
        Some(Refusal::Busy)
    } else {
        None
    };
    if let Some(why) = refusal {
        server.event(Event::ProposalRefused { why });
        return Answer::Refused(why);
    }
    let index = append(server, leader, Payload::Command(command));
    Answer::Appended { index, term: server.term() }
}

/// Appends an entry of the leader's own term.
pub(crate) fn append(server: &mut Server, leader: &mut Leader, payload: Payload) -> Index {
    let (term, index) = (server.term(), server.log.last_index().next());
    let entry = Entry { term, index, payload };
    leader.uncommitted_bytes += entry.size_bytes();
    if let Some(until) = leader.entries_expected_until.take() {
        leader.clients_pause = until < server.now;
    }
    server.append(core::iter::once(entry));
    index
}

/// Everybody gets a message with the next output, entries or not.
pub(crate) fn heartbeat(leader: &mut Leader) {
    for progress in leader.progress.values_mut() {
        progress.heartbeat_due = true;
    }
}

/// Sends to each follower what it may get now. Called once for each output, so that all that was proposed
/// since the last one goes into one message.
///
/// A heartbeat goes out beside the entries, not instead of them: its answer does not wait for the follower's
/// disk, so a disk that stalls neither delays reads nor makes the leader believe that nobody hears it.
pub(crate) fn flush(server: &mut Server, leader: &mut Leader) {
    let mut all_know = true;
    for (peer, progress) in &mut leader.progress {
        send_entries(server, leader.round, *peer, progress);
        if core::mem::take(&mut progress.heartbeat_due) {
            send_heartbeat(server, leader.round, *peer, progress);
        }
        all_know &= progress.commit_told == server.commit_index() || !keeps_up(server, progress);
    }
    if all_know {
        leader.commit_notice_at = None;
    }
}

/// Entries, as far as the follower's window allows ("If last log index ≥ nextIndex for a follower: send
/// AppendEntries RPC with log entries starting at nextIndex", Figure 2).
fn send_entries(server: &mut Server, round: u64, to: NodeId, progress: &mut Progress) {
    let config = &server.config;
    let (max_messages, max_inflight) = (config.max_inflight_messages, config.max_inflight_bytes);
    let (max_entries, max_bytes) = (config.max_append_entries, config.max_append_bytes);
    loop {
        if progress.next_index < server.log.first_index() && !matches!(progress.mode, Mode::Snapshot(_)) {
            snapshot::begin(server, progress);
        }
        // In a probe one message at a time, in a stream as many as the window takes.
        let pace = progress.pace.min(max_messages);
        let has_news = progress.next_index <= server.log.last_index();
        match &mut progress.mode {
            Mode::Snapshot(_) => return snapshot::request_chunk(server, to, progress),
            Mode::Probe { asked } if has_news && !*asked => *asked = true,
            Mode::Replicate(window) if has_news && window.has_room(pace, max_inflight) => {}
            Mode::Probe { .. } | Mode::Replicate(_) => return,
        }
        let (entries, bytes) = server.log.batch(progress.next_index, max_entries, max_bytes);
        let last = entries.last().expect("there is news").index;
        let prev_log_index = progress.next_index.previous();
        send_append(server, round, to, progress, prev_log_index, entries);
        // A stream counts on success, and moves on at once. A probe stays where it is until the answer.
        if let Mode::Replicate(window) = &mut progress.mode {
            window.add(last, bytes);
            progress.next_index = last.next();
        }
    }
}

/// An AppendEntries without entries: "I lead", and the question whether everything has arrived.
///
/// It passes by the windows: a follower that answers nothing any more must still hear of its leader, and this
/// is what finds out how much of a full window was lost.
fn send_heartbeat(server: &mut Server, round: u64, to: NodeId, progress: &mut Progress) {
    let prev_log_index = match progress.mode {
        // The entries before `next_index` are compacted away. Everybody agrees about the place before the
        // log.
        Mode::Snapshot(_) => Index::ZERO,
        Mode::Probe { .. } | Mode::Replicate(_) => progress.next_index.previous(),
    };
    send_append(server, round, to, progress, prev_log_index, Vec::new());
}

fn send_append(
    server: &mut Server,
    round: u64,
    to: NodeId,
    progress: &mut Progress,
    prev_log_index: Index,
    entries: Vec<Entry>,
) {
    let prev_log_term = match prev_log_index {
        Index::ZERO => Term::ZERO,
        index => server.log.term_at(index).expect("what precedes the entries is in the log"),
    };
    // Not capped by what the follower holds: it caps by what it has verified, which it knows better.
    let leader_commit = server.commit_index();
    progress.commit_told = leader_commit;
    let append = AppendEntries { prev_log_index, prev_log_term, entries, leader_commit, round };
    server.send(to, Rpc::AppendEntries(append));
}

// ---- The leader: answers --------------------------------------------------------------------------------

/// An answer from a follower (Figure 2, rules for leaders).
pub(crate) fn on_append_entries_reply(
    server: &mut Server,
    leader: &mut Leader,
    envelope: Envelope,
    reply: &AppendEntriesReply,
) {
    let Some(progress) = leader.progress.get_mut(&envelope.from) else {
        return server.ignore(envelope, IgnoreReason::UnknownSender);
    };
    if reply.round > leader.round {
        return server.ignore(envelope, IgnoreReason::Malformed);
    }
    // Even a refusal says: the follower is there, and it takes us for its leader.
    progress.last_heard = server.now;
    progress.acked_round = progress.acked_round.max(reply.round);
    leader.news = true;
    match reply.outcome {
        AppendOutcome::Accepted { match_index } => on_accepted(server, progress, envelope, match_index),
        AppendOutcome::Conflict { prev_log_index, conflict_term, first_index } => {
            let next = next_try(server, prev_log_index, conflict_term, first_index);
            on_conflict(server, progress, envelope, prev_log_index, next);
        }
    }
}

/// "If successful: update nextIndex and matchIndex for follower." Answers come late, twice and out of order,
/// so nothing here is assigned: it only grows.
fn on_accepted(server: &mut Server, progress: &mut Progress, envelope: Envelope, match_index: Index) {
    if match_index > server.log.last_index() {
        return server.ignore(envelope, IgnoreReason::Malformed);
    }
    progress.matched(match_index);
    let (last, short) = (server.log.last_index(), server.config.election_timeout_min);
    progress.catch_up.on_match(progress.match_index, last, server.now, short);
    // Whether this settles the question where the logs agree, if that was still open.
    let agrees = match &progress.mode {
        Mode::Replicate(_) => false,
        Mode::Probe { .. } => match_index >= progress.next_index.previous(),
        // It has caught up by other means: with the help of the leader before us, say.
        Mode::Snapshot(_) => match_index >= server.log.base_index(),
    };
    if agrees {
        progress.next_index = progress.match_index.next();
        progress.replicate();
    }
}

/// "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry", in larger steps.
fn on_conflict(
    server: &mut Server,
    progress: &mut Progress,
    envelope: Envelope,
    refused: Index,
    next_index: Index,
) {
    let is_fresh = match &progress.mode {
        // Only the answer to the present question counts.
        Mode::Probe { .. } => refused == progress.next_index.previous(),
        Mode::Replicate(_) => refused < progress.next_index,
        Mode::Snapshot(_) => false,
    };
    // What matches cannot be refused: such an answer is older than the one that said so. Or the follower lost
    // its disk. Then nothing that it says may count, unless this is a lesson. (Before the log all agree.)
    let may_be =
        refused > progress.match_index || (server.config.followers_may_forget && refused > Index::ZERO);
    if !is_fresh || !may_be {
        return server.ignore(envelope, IgnoreReason::Stale);
    }
    // Always at least one step back, whatever the follower wishes: the search comes to an end.
    let next_index = next_index.min(refused);
    if refused <= progress.match_index {
        progress.forgot(next_index);
    }
    progress.probe(next_index);
    let (peer, next_index) = (envelope.from, progress.next_index);
    server.event(Event::LogConflict { peer, prev_log_index: refused, next_index });
}

/// Where the logs may agree, given what the follower has at the place that did not fit. "The leader can skip
/// all entries of that term": one question for each term that differs, not for each entry (Paper §5.3).
fn next_try(server: &Server, refused: Index, conflict_term: Option<Term>, first_index: Index) -> Index {
    let shared = conflict_term.and_then(|term| server.log.last_index_of_term(term));
    match shared {
        // We have entries of that term too: the logs may agree up to the last of ours.
        Some(last) if last < refused => last.next(),
        Some(_) | None => first_index.min(refused),
    }
}

/// "If there exists an N such that N > commitIndex, a majority of matchIndex\[i\] ≥ N, and log\[N\].term ==
/// currentTerm: set commitIndex = N." Entries of earlier terms are committed with it, never by counting
/// (Paper §5.4.2, Figure 8).
///
/// The leader itself counts as far as its disk has come, and only if it is a voter (Paper §6: "it manages a
/// cluster that does not include itself").
pub(crate) fn advance_commit(server: &mut Server, leader: &mut Leader) {
    let (me, own) = (server.id(), server.disk.durable());
    let match_index = |id: NodeId| match leader.progress.get(&id) {
        Some(progress) => progress.match_index,
        None if id == me => own,
        None => Index::ZERO,
    };
    // The highest entry that a majority holds is enough to look at: terms never fall along the log, so if
    // that one is not of our term, none before it is.
    let Some(reached) = quorum::reached(server.membership(), match_index) else { return };
    let before = server.commit_index();
    if reached <= before || server.log.term_at(reached) != Some(server.term()) {
        return;
    }
    let committed: usize = server.log.range(before.next()..=reached).map(Entry::size_bytes).sum();
    leader.uncommitted_bytes -= committed;
    server.commit_to(reached);
    if let Some(after) = server.config.commit_notice_after {
        // As last time, so this time: clients that write on at once carry the news, for others nobody waits.
        let expected_until = server.now + after;
        leader.entries_expected_until = Some(expected_until);
        let notice_at = if leader.clients_pause { server.now } else { expected_until };
        leader.commit_notice_at = leader.commit_notice_at.or(Some(notice_at));
    }
}

/// Whoever does not know of the last commit gets a message with the next output, if it is time for that.
///
/// **Differs from the paper**, where followers learn of it with the next entries or heartbeat: the message is a
/// heartbeat that comes early.
pub(crate) fn notice_of_commit(server: &Server, leader: &mut Leader) {
    if leader.commit_notice_at.is_some_and(|at| at <= server.now) {
        for progress in leader.progress.values_mut() {
            let is_news = progress.commit_told < server.commit_index();
            progress.heartbeat_due |= is_news && keeps_up(server, progress);
        }
    }
}

/// Whether entries would go to a follower if there were any, and it was heard of lately. To whoever is dead or far behind
/// news of a commit is of no use, and it would get a message for each.
fn keeps_up(server: &Server, progress: &Progress) -> bool {
    let config = &server.config;
    let pace = progress.pace.min(config.max_inflight_messages);
    let has_room = match &progress.mode {
        Mode::Replicate(window) => window.has_room(pace, config.max_inflight_bytes),
        Mode::Probe { .. } | Mode::Snapshot(_) => false,
    };
    has_room && server.now.since(progress.last_heard) < config.election_timeout_min
}

/// Whether a majority, of both halves if the configuration is joint, was heard within an election timeout
/// (CheckQuorum, Thesis §6.2: "a leader in Raft steps down if an election timeout elapses without a
/// successful round of heartbeats to a majority of its cluster").
pub(crate) fn hears_quorum(server: &Server, leader: &Leader) -> bool {
    quorum::agrees(server.membership(), |id| hears(server, leader, id))
}

/// Whether this server was heard within an election timeout; a leader hears itself.
pub(crate) fn hears(server: &Server, leader: &Leader, id: NodeId) -> bool {
    let patience = server.config.election_timeout_max;
    match leader.progress.get(&id) {
        Some(progress) => server.now.since(progress.last_heard) < patience,
        None => id == server.id(),
    }
}

// ---- The follower ---------------------------------------------------------------------------------------

/// AppendEntries, receiver rules 2 to 5 (Figure 2). Rule 1, the term, and the change of the role have been
/// seen to by `raft.rs`.
pub(crate) fn on_append_entries(
    server: &mut Server,
    follower: &mut Follower,
    envelope: Envelope,
    append: AppendEntries,
) {
    if !is_well_formed(&append, server.term()) || !follower.heard_leader(server, envelope.from) {
        return server.ignore(envelope, IgnoreReason::Malformed);
    }
    follower.round = follower.round.max(append.round);
    // The consistency check (Paper §5.3): by induction, if the entry before the new ones is the leader's, all
    // before it are.
    let prev = append.prev_log_index;
    let ours = server.log.term_at(prev);
    if prev >= server.log.base_index() && ours != Some(append.prev_log_term) {
        return refuse(server, follower, envelope, &append, ours);
    }
    // What lies before `base` is committed, here and at the leader: there is nothing to compare (and nothing
    // left to compare with).
    let is_heartbeat = append.entries.is_empty();
    let verified = prev + append.entries.len() as u64;
    if !is_heartbeat && server.installing.is_some() {
        // The log stands still until the snapshot is on the disk. The leader will ask again.
        return acknowledge(server, follower, envelope.from);
    }
    if !is_heartbeat && !take_entries(server, follower.verified, append.entries) {
        return server.ignore(envelope, IgnoreReason::Malformed);
    }
    follower.verified = follower.verified.max(verified).max(server.commit_index());
    // "Set commitIndex = min(leaderCommit, index of last new entry)": of the last *verified* one. Behind it
    // may lie the leftovers of another leader.
    if server.installing.is_none() {
        let commit = append.leader_commit.min(follower.verified).min(server.log.last_index());
        server.commit_to(commit.max(server.commit_index()));
    }
    follower.ack_owed = true;
    if is_heartbeat || follower.verified <= server.disk.durable() {
        acknowledge(server, follower, envelope.from);
    }
}

/// Rule 2: "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm",
/// with what the leader needs to find the right place quickly.
fn refuse(
    server: &mut Server,
    follower: &mut Follower,
    envelope: Envelope,
    append: &AppendEntries,
    ours: Option<Term>,
) {
    let prev_log_index = append.prev_log_index;
    if prev_log_index <= server.commit_index() {
        // It contradicts what is committed: no correct leader does.
        return server.ignore(envelope, IgnoreReason::Malformed);
    }
    let first_index = match ours {
        // Our log ends earlier: the leader can go on right behind it.
        None => server.log.last_index().next(),
        // The whole term is in doubt, but never what is committed.
        Some(_) => server.log.first_index_of_term_at(prev_log_index).max(server.commit_index().next()),
    };
    let peer = envelope.from;
    server.event(Event::LogConflict { peer, prev_log_index, next_index: first_index });
    let outcome = AppendOutcome::Conflict { prev_log_index, conflict_term: ours, first_index };
    let reply = AppendEntriesReply { round: follower.round, outcome };
    server.send_when_term_is_durable(peer, Rpc::AppendEntriesReply(reply));
}

/// Rules 3 and 4: "If an existing entry conflicts with a new one (same index but different terms), delete the
/// existing entry and all that follow it. Append any new entries not already in the log."
///
/// Only a *contradiction* removes entries. A message that merely ends before our log does is an old one that
/// arrived late, and what lies behind it may be acknowledged already. `false` if it contradicts what is
/// committed, or what the same leader said before: no correct leader does.
fn take_entries(server: &mut Server, verified: Index, mut entries: Vec<Entry>) -> bool {
    // Entries that a snapshot stands for are committed. There is nothing left to compare them with, but the
    // last one: its term is remembered.
    let base = server.log.base_index();
    let compacted = entries.partition_point(|entry| entry.index <= base);
    let at_base = entries[..compacted].last().filter(|entry| entry.index == base);
    if at_base.is_some_and(|entry| server.log.term_at(base) != Some(entry.term)) {
        return false;
    }
    let fresh_from = match server.log.fit(&entries[compacted..]) {
        Fit::Held => return true,
        Fit::Extends(position) => compacted + position,
        Fit::Contradicts(position) => {
            let from = entries[compacted + position].index;
            if from <= verified.max(server.commit_index()) {
                return false;
            }
            server.truncate_from(from);
            compacted + position
        }
    };
    server.append(entries.drain(fresh_from..));
    true
}

/// Tells the leader how far we agree with it *and* our disk has come. Called again when the disk has made
/// progress, as long as it lags behind.
///
/// Both limits matter. Behind `verified` may lie entries of an earlier leader, that this one never had;
/// beyond the durable ones, entries that a crash would take back after the leader has counted them. One
/// answer stands for all messages up to it, so many messages cost one answer when the disk is the bottleneck.
pub(crate) fn acknowledge(server: &mut Server, follower: &mut Follower, leader: NodeId) {
    if !server.disk.hard_state_is_durable() {
        follower.ack_owed = true;
        return;
    }
    let durable = server.disk.durable();
    let match_index = follower.verified.min(durable);
    follower.ack_owed = follower.verified > durable;
    let reply =
        AppendEntriesReply { round: follower.round, outcome: AppendOutcome::Accepted { match_index } };
    server.send(leader, Rpc::AppendEntriesReply(reply));
}

/// The disk has made progress.
pub(crate) fn on_persisted(server: &mut Server, follower: &mut Follower) {
    if let (true, Some(leader)) = (follower.ack_owed, follower.leader) {
        acknowledge(server, follower, leader);
    }
}

/// A leader of an earlier term: told our term, it will step down (Figure 2, rule 1: "Reply false if term <
/// currentTerm"). Never silence: a server that is behind must be able to learn of it.
///
/// Nothing of the old message is repeated. The sender may lead again by now, in our term: to it, this is an
/// answer of the present, and a round or an index of its earlier leadership would be taken for one of this.
pub(crate) fn refuse_old_term(server: &mut Server, envelope: Envelope) {
    server.ignore(envelope, IgnoreReason::OldTerm);
    let (prev_log_index, first_index) = (Index::ZERO, Index::ZERO);
    let outcome = AppendOutcome::Conflict { prev_log_index, conflict_term: None, first_index };
    let reply = AppendEntriesReply { round: 0, outcome };
    server.send_when_term_is_durable(envelope.from, Rpc::AppendEntriesReply(reply));
}

/// The entries follow `prev_log_index` without a hole, and no term falls or comes from the future.
fn is_well_formed(append: &AppendEntries, term: Term) -> bool {
    let mut index = append.prev_log_index;
    let mut entry_term = append.prev_log_term;
    if (index == Index::ZERO) != (entry_term == Term::ZERO) || index.0 >= NUMBER_LIMIT {
        return false;
    }
    for entry in &append.entries {
        if let Payload::Membership(membership) = &entry.payload
            && !membership.is_well_formed()
        {
            return false;
        }
        if entry.index != index.next() || entry.term < entry_term || entry.term == Term::ZERO {
            return false;
        }
        (index, entry_term) = (entry.index, entry.term);
    }
    entry_term <= term
}
