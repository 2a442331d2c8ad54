//! Snapshots: our own, which cut the log, and InstallSnapshot, sent and received.
//!
//! Paper §7; Figure 13. The core never sees a snapshot as a whole: the leader asks its host for one chunk
//! after the other (`Output::snapshot_requests`), the follower passes each chunk on to its disk
//! (`Persist::snapshot_chunk`). Heartbeats and the entries for others go on meanwhile.
//!
//! ```text
//!   L   what F needs next is compacted away: begin
//!   L ──SnapshotRequest──▶ host     "read our snapshot from byte 0 on"
//!   L ◀──SnapshotChunk─── host      on_chunk_read
//!   L ──InstallSnapshot──▶ F        on_install_snapshot: in order? then to F's disk
//!   L ◀──next_offset───── F         acknowledge_chunk, once the disk has it; and so on, chunk by chunk
//!   L ──InstallSnapshot──▶ F        the last one: from here on F's log stands still
//!                          F        on_chunk_written: the log begins behind the snapshot, the host is told
//!                                   to replace the state machine (`Output::install`)
//!   L ◀────installed───── F         entries follow as usual
//! ```
//!
//! **Differs from the paper.**
//! - Several chunks are under way at once, within a window, and a transfer that was broken off goes on at the
//!   byte that the follower names, as long as the leader stays the same.
//! - A snapshot that is not ahead of the commit index is answered and not installed (the paper would install
//!   it and keep the entries behind it; the state machine must not go back in time for that).
//! - The log is not replaced when the last chunk arrives but when it is *durable*. Until then it stands
//!   still: no entries are taken and no campaign is begun, so nothing can come between the decision and the
//!   deed.

use bytes::Bytes;

use crate::disk::ChunkWritten;
use crate::event::{Event, IgnoreReason};
use crate::face::{SnapshotChunk, SnapshotRequest};
use crate::message::{InstallSnapshot, InstallSnapshotReply, Rpc};
use crate::progress::{Mode, Progress};
use crate::role::{Follower, Leader};
use crate::server::{Envelope, NUMBER_LIMIT, Server};
use crate::types::{Index, NodeId, SnapshotMeta, Term, Time};

/// Entries that are forgotten with one output.
const FORGOTTEN_AT_A_TIME: u64 = 2_048;

/// A snapshot on its way to a follower. The leader does not hold the bytes: it asks the host for one piece
/// after the other, sends it, and forgets it. What was lost is read again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transmission {
    /// Which snapshot: its last index.
    last_included_index: Index,
    /// The follower has everything before this byte.
    acked: u64,
    /// The next byte to send.
    next: u64,
    /// The last chunk was sent.
    sent_all: bool,
    /// A chunk was asked for and not read yet, since then. One at a time: the length of the file is not
    /// known.
    requested: Option<Time>,
    /// When the transfer last made progress, or began again at `acked`.
    moved_at: Time,
    /// The follower has said where it stands, since there was progress or we began again by ourselves.
    corrected: bool,
}

/// A snapshot that arrives, as far as it was handed to the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Receiving {
    meta: SnapshotMeta,
    next_offset: u64,
}

/// A snapshot that has arrived completely and is being made durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Installing {
    pub(crate) meta: SnapshotMeta,
    from: NodeId,
}

// ---- Our own snapshots ----------------------------------------------------------------------------------

/// A snapshot of our state machine is durable: the log before it is not needed any more, but for a few
/// entries that spare a slow follower the whole snapshot. `in_transfer` is the oldest snapshot that a
/// follower is receiving: it needs what follows *that* one.
///
/// # Panics
/// If the snapshot is not one of our committed state.
pub(crate) fn on_snapshot_taken(server: &mut Server, in_transfer: Option<Index>, meta: SnapshotMeta) {
    let (index, term) = (meta.last_included_index, meta.last_included_term);
    // One that was installed in the meantime is the better one.
    if index <= server.snapshot.last_included_index {
        return;
    }
    assert!(index <= server.commit_index(), "only what is committed is part of a snapshot");
    assert!(server.log.term_at(index) == Some(term), "a snapshot knows the term of its last entry");
    let membership = server.configurations.as_of(index);
    assert!(*membership == *meta.membership, "a snapshot knows the configuration as of its last entry");
    server.snapshot = meta;
    server.event(Event::SnapshotTaken { index, term });
    let mut cut = server.log.index_to_keep_bytes(index, server.config.keep_bytes_behind_snapshot);
    if let Some(needed) = in_transfer {
        let bound = server.log.index_to_keep_bytes(index, server.config.keep_bytes_during_transfer);
        cut = cut.min(needed.max(bound));
    }
    server.cut_goal = server.cut_goal.max(cut);
    server.configurations.on_compacted(index);
}

/// Cuts the log a little further towards its goal: to free hundreds of thousands of entries in one go would
/// keep heartbeats waiting.
pub(crate) fn forget_some(server: &mut Server) {
    let base = server.log.base_index();
    // What was not yet handed to the disk must not be forgotten: it would leave a hole there.
    let cut = server.cut_goal.min(base + FORGOTTEN_AT_A_TIME).min(server.disk.handed());
    if cut > base {
        server.log.cut_to(cut);
    }
}

/// The oldest snapshot that is on its way to a follower.
pub(crate) fn oldest_in_transfer(leader: &Leader) -> Option<Index> {
    let transmissions = leader.progress.values().filter_map(|progress| match &progress.mode {
        Mode::Snapshot(transmission) => Some(transmission.last_included_index),
        Mode::Probe { .. } | Mode::Replicate(_) => None,
    });
    transmissions.min()
}

// ---- The leader -----------------------------------------------------------------------------------------

/// The entries that the follower needs are gone: it gets the snapshot (Paper §7).
pub(crate) fn begin(server: &Server, progress: &mut Progress) {
    let last_included_index = server.snapshot.last_included_index;
    progress.mode = Mode::Snapshot(Transmission {
        last_included_index,
        acked: 0,
        next: 0,
        sent_all: false,
        requested: None,
        moved_at: server.now,
        corrected: false,
    });
}

/// Asks the host for the next chunk, if the follower's window has room for it.
pub(crate) fn request_chunk(server: &mut Server, to: NodeId, progress: &mut Progress) {
    let chunk_bytes = server.config.snapshot_chunk_bytes;
    let window = chunk_bytes as u64 * server.config.snapshot_window_chunks as u64;
    let Mode::Snapshot(transmission) = &mut progress.mode else { return };
    // The follower acknowledges what its disk has taken, so the window also keeps a slow disk from drowning.
    let has_room = transmission.next - transmission.acked < window;
    if transmission.sent_all || transmission.requested.is_some() || !has_room {
        return;
    }
    transmission.requested = Some(server.now);
    server.outbox.snapshot_requests.push(SnapshotRequest {
        to,
        last_included_index: transmission.last_included_index,
        offset: transmission.next,
        max_bytes: chunk_bytes,
    });
}

/// Called with each heartbeat: what has not moved for an election timeout is begun again: a chunk that was
/// lost, or a request that the host could not serve.
pub(crate) fn revive(server: &Server, progress: &mut Progress) {
    let patience = server.config.election_timeout_min;
    let Mode::Snapshot(transmission) = &mut progress.mode else { return };
    let since = transmission.requested.unwrap_or(transmission.moved_at);
    if server.now.since(since) < patience {
        return;
    }
    if transmission.requested.is_some()
        && transmission.last_included_index < server.snapshot.last_included_index
    {
        // The host has thrown the older snapshot away.
        return begin(server, progress);
    }
    transmission.rewind(server.now);
}

/// The host has read a chunk of our snapshot.
pub(crate) fn on_chunk_read(server: &mut Server, leader: &mut Leader, to: NodeId, chunk: SnapshotChunk) {
    let SnapshotChunk { meta, offset, data, done } = chunk;
    let round = leader.round;
    // Reading takes time. The follower may be gone by now, or have caught up, or be further.
    let Some(progress) = leader.progress.get_mut(&to) else { return };
    let Mode::Snapshot(transmission) = &mut progress.mode else { return };
    if meta.last_included_index > transmission.last_included_index
        && meta.last_included_index == server.snapshot.last_included_index
    {
        // There is a newer one now; the follower begins again with it.
        return begin(server, progress);
    }
    let is_asked_for = meta.last_included_index == transmission.last_included_index
        && transmission.requested.is_some()
        && transmission.next == offset;
    if !is_asked_for || (data.is_empty() && !done) {
        return;
    }
    transmission.requested = None;
    transmission.next = offset + data.len() as u64;
    transmission.sent_all = done;
    server.send(to, Rpc::InstallSnapshot(InstallSnapshot { meta, offset, data, done, round }));
}

/// A follower's answer: how far it has come, or that it is done. Once done, the entries behind the snapshot
/// follow in the ordinary way.
pub(crate) fn on_install_snapshot_reply(
    server: &mut Server,
    leader: &mut Leader,
    envelope: Envelope,
    reply: &InstallSnapshotReply,
) {
    let Some(progress) = leader.progress.get_mut(&envelope.from) else {
        return server.ignore(envelope, IgnoreReason::UnknownSender);
    };
    if reply.round > leader.round
        || reply.last_included_index > server.snapshot.last_included_index
        || reply.next_offset >= NUMBER_LIMIT
    {
        return server.ignore(envelope, IgnoreReason::Malformed);
    }
    progress.last_heard = server.now;
    progress.acked_round = progress.acked_round.max(reply.round);
    leader.news = true;
    if reply.installed {
        progress.matched(reply.last_included_index);
        if matches!(progress.mode, Mode::Snapshot(_)) && progress.match_index >= server.log.base_index() {
            progress.next_index = progress.match_index.next();
            progress.replicate();
        }
    }
    let Mode::Snapshot(transmission) = &mut progress.mode else { return };
    if transmission.last_included_index != reply.last_included_index {
        return server.ignore(envelope, IgnoreReason::Stale);
    }
    if reply.installed {
        // Our log begins behind it by now: on to the newer snapshot.
        begin(server, progress);
    } else if reply.next_offset > transmission.acked {
        // It may be ahead of what we think to have sent, if a late answer has taken us back.
        transmission.acked = reply.next_offset;
        if transmission.next < reply.next_offset {
            transmission.rewind(server.now);
        }
        transmission.moved_at = server.now;
        transmission.corrected = false;
    } else if !transmission.corrected {
        // A chunk was lost, or the follower has started anew and wants it all again. Once, until there is
        // progress: each of the chunks behind a hole brings such an answer.
        transmission.acked = reply.next_offset;
        transmission.rewind(server.now);
        transmission.corrected = true;
    }
}

impl Transmission {
    /// Begins again where the follower stands. What was read for a later place is of no use any more.
    fn rewind(&mut self, now: Time) {
        self.next = self.acked;
        self.sent_all = false;
        self.requested = None;
        self.moved_at = now;
        self.corrected = false;
    }

    pub(crate) fn last_included_index(&self) -> Index {
        self.last_included_index
    }
}

// ---- The follower ---------------------------------------------------------------------------------------

/// InstallSnapshot, receiver rules 2 to 5 (Figure 13). The rest happens in [`on_chunk_written`].
///
/// Chunks are taken only in order. One that comes too early is answered with the byte that is missing, and is
/// sent again: to keep it would need room without a bound.
pub(crate) fn on_install_snapshot(
    server: &mut Server,
    follower: &mut Follower,
    envelope: Envelope,
    install: InstallSnapshot,
) {
    let Some(end) = well_formed_end(&install, server.term()) else {
        return server.ignore(envelope, IgnoreReason::Malformed);
    };
    if !follower.heard_leader(server, envelope.from) {
        return server.ignore(envelope, IgnoreReason::Malformed);
    }
    follower.round = follower.round.max(install.round);
    let index = install.meta.last_included_index;
    let contradicts = |term: Term| term != install.meta.last_included_term;
    if index <= follower.verified && server.log.term_at(index).is_some_and(contradicts) {
        // Not what the same leader said before.
        return server.ignore(envelope, IgnoreReason::Malformed);
    }
    if index <= server.commit_index() {
        return answer_needless(server, follower, envelope, index);
    }
    let InstallSnapshot { meta, offset, data, done, round: _ } = install;
    if server.installing.is_some() {
        // The answer follows when it is durable.
        return server.ignore(envelope, IgnoreReason::Stale);
    }
    // One transfer at a time, from one leader: the bytes of two snapshots do not mix. With a new term it
    // begins anew.
    match &server.receiving {
        Some(receiving) if receiving.meta == meta => {}
        Some(receiving) if receiving.meta.last_included_index >= index => {
            return server.ignore(envelope, IgnoreReason::Stale);
        }
        Some(_) | None => {
            server.disk.drop_chunks();
            server.receiving = Some(Receiving { meta: meta.clone(), next_offset: 0 });
        }
    }
    let receiving = server.receiving.as_mut().expect("it was set just now");
    if offset != receiving.next_offset {
        let next_offset = receiving.next_offset;
        return reply(server, follower, envelope.from, index, next_offset, false);
    }
    receiving.next_offset = end;
    // From here until the disk has it all, the log stands still: see the top of this file.
    if done {
        server.installing = Some(Installing { meta: meta.clone(), from: envelope.from });
        server.receiving = None;
    }
    server.disk.add_chunk(SnapshotChunk { meta, offset, data, done });
}

/// We have it all already: in the log or in a snapshot of our own. To install it would take the state machine
/// back in time; to say nothing would make the leader send it again and again.
fn answer_needless(server: &mut Server, follower: &mut Follower, envelope: Envelope, index: Index) {
    follower.verified = follower.verified.max(server.commit_index());
    if index <= server.disk.durable() {
        reply(server, follower, envelope.from, index, 0, true);
    } else {
        // Committed, but our own disk is still writing it: an acknowledgement follows.
        server.ignore(envelope, IgnoreReason::Stale);
        follower.ack_owed = true;
    }
}

/// A chunk is on the disk. With the last one, the snapshot replaces the log (Figure 13, rules 6 to 8).
pub(crate) fn on_chunk_written(server: &mut Server, chunk: ChunkWritten) {
    if !chunk.done {
        return;
    }
    // Whatever has become of the leader that sent it: the snapshot is of committed entries, and remains
    // right.
    let Installing { meta, from } = server.installing.take().expect("the last chunk was being written");
    let (index, term) = (meta.last_included_index, meta.last_included_term);
    assert!(index == chunk.last_included_index, "one snapshot at a time is installed");
    // Rule 6: "If existing log entry has same index and term as snapshot's last included entry, retain log
    // entries following it". Rule 7: "Discard the entire log."
    if server.log.term_at(index) == Some(term) {
        server.log.cut_to(index);
        server.configurations.on_compacted_by(index, (*meta.membership).clone());
    } else {
        let last = server.log.last_index();
        server.log.reset(index, term);
        if last > index {
            server.event(Event::Truncated { from: index.next(), last });
        }
        server.configurations.reset(index, (*meta.membership).clone());
    }
    server.disk.on_installed(index, &server.log);
    server.jump_to(index);
    server.snapshot = meta.clone();
    server.outbox.install = Some(meta);
    server.event(Event::SnapshotInstalled { index, term, from });
    server.report_membership();
}

/// Tells the leader that a chunk has arrived for good.
pub(crate) fn acknowledge_chunk(server: &mut Server, follower: &mut Follower, chunk: ChunkWritten) {
    follower.verified = follower.verified.max(server.commit_index()).min(server.log.last_index());
    // Not a chunk of an earlier leader's transfer: this leader would believe that we have *its* bytes.
    let is_present = server.receiving.as_ref().is_some_and(|receiving| {
        receiving.meta.last_included_index == chunk.last_included_index
            && chunk.next_offset <= receiving.next_offset
    });
    if let (true, Some(leader)) = (is_present || chunk.done, follower.leader) {
        reply(server, follower, leader, chunk.last_included_index, chunk.next_offset, chunk.done);
    }
}

/// Answers with what is on our disk (`installed`), or with the byte that is needed next.
fn reply(
    server: &mut Server,
    follower: &Follower,
    to: NodeId,
    last_included_index: Index,
    next_offset: u64,
    installed: bool,
) {
    let reply = InstallSnapshotReply { round: follower.round, last_included_index, next_offset, installed };
    server.send_when_term_is_durable(to, Rpc::InstallSnapshotReply(reply));
}

/// A leader of an earlier term: told our term, it will step down. As with AppendEntries, nothing of the old
/// message is repeated.
pub(crate) fn refuse_old_term(server: &mut Server, envelope: Envelope) {
    server.ignore(envelope, IgnoreReason::OldTerm);
    let last_included_index = Index::ZERO;
    let reply = InstallSnapshotReply { round: 0, last_included_index, next_offset: 0, installed: false };
    server.send_when_term_is_durable(envelope.from, Rpc::InstallSnapshotReply(reply));
}

/// Where the chunk ends, if the message makes sense. An empty chunk that is not the last one would bring
/// nobody further.
fn well_formed_end(install: &InstallSnapshot, term: Term) -> Option<u64> {
    let InstallSnapshot { meta, offset, data, done, .. } = install;
    let is_sound = meta.last_included_index > Index::ZERO
        && meta.last_included_index.0 < NUMBER_LIMIT
        && meta.last_included_term > Term::ZERO
        && meta.last_included_term <= term
        && meta.membership.is_well_formed()
        && (*done || !Bytes::is_empty(data));
    let end = offset.checked_add(data.len() as u64)?;
    (is_sound && end < NUMBER_LIMIT).then_some(end)
}
