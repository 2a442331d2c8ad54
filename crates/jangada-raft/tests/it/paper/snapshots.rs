//! Paper §7; Figure 13, "InstallSnapshot RPC", receiver rules 1 to 8; and the sender's side of it.

use bytes::Bytes;
use jangada_raft::event::RoleName;
use jangada_raft::face::{Input, Persist, Recovered, SnapshotChunk, SnapshotRequest};
use jangada_raft::message::{InstallSnapshot, InstallSnapshotReply, Message, Rpc};
use jangada_raft::types::{HardState, Index, Membership, NodeId, SnapshotMeta, Term};

use crate::solo::{
    Solo, accepted, acknowledged, append, append_of, appends, conflict, install, installed, membership_entry,
    snapshot_meta,
};
use crate::world::{command, entries, ids, ms};

fn replies(messages: &[Message]) -> Vec<InstallSnapshotReply> {
    let reply = |message: &Message| match &message.rpc {
        Rpc::InstallSnapshotReply(reply) => Some(reply.clone()),
        _ => None,
    };
    messages.iter().filter_map(reply).collect()
}

/// What the one reply among these messages says: the next byte it needs, and whether it has all.
fn reply(messages: &[Message]) -> (u64, bool) {
    let replies = replies(messages);
    assert_eq!(replies.len(), 1, "one answer: {messages:?}");
    (replies[0].next_offset, replies[0].installed)
}

fn chunks(messages: &[Message]) -> Vec<InstallSnapshot> {
    let chunk = |message: &Message| match &message.rpc {
        Rpc::InstallSnapshot(chunk) => Some(chunk.clone()),
        _ => None,
    };
    messages.iter().filter_map(chunk).collect()
}

fn written_chunks(written: &[Persist]) -> Vec<SnapshotChunk> {
    written.iter().filter_map(|persist| persist.snapshot_chunk.clone()).collect()
}

// ---- The follower: rules 1 to 8 ---------------------------------------------------------------------------

#[test]
fn rule_1_a_snapshot_of_an_old_term_is_refused_at_once() {
    let mut solo = Solo::with_log(3, 7, &[1]);
    let sent = solo.receive(2, 6, install(&snapshot_meta(5, 2, 3), 0, b"abc", true));
    assert_eq!((reply(&sent), sent[0].term), ((0, false), Term(7)));
    assert!(written_chunks(&solo.written).is_empty());
}

#[test]
fn rules_2_to_4_chunks_are_written_in_order_and_each_is_answered() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    let meta = snapshot_meta(5, 2, 3);
    assert_eq!(reply(&solo.receive(2, 3, install(&meta, 0, b"abc", false))), (3, false));
    assert_eq!(reply(&solo.receive(2, 3, install(&meta, 3, b"de", false))), (5, false));
    assert_eq!(reply(&solo.receive(2, 3, install(&meta, 5, b"f", true))), (6, true));
    let written = written_chunks(&solo.written);
    let bytes: Vec<_> = written.iter().map(|chunk| (chunk.offset, &chunk.data[..], chunk.done)).collect();
    assert_eq!(bytes, [(0, &b"abc"[..], false), (3, b"de", false), (5, b"f", true)]);
    assert!(written.iter().all(|chunk| chunk.meta == meta));
}

#[test]
fn a_chunk_out_of_place_is_answered_with_the_byte_that_is_needed() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    let meta = snapshot_meta(5, 2, 3);
    assert_eq!(reply(&solo.receive(2, 3, install(&meta, 6, b"xyz", true))), (0, false));
    solo.receive(2, 3, install(&meta, 0, b"abc", false));
    assert_eq!(reply(&solo.receive(2, 3, install(&meta, 6, b"xyz", true))), (3, false), "a chunk was lost");
    assert_eq!(reply(&solo.receive(2, 3, install(&meta, 0, b"abc", false))), (3, false), "one came twice");
    assert_eq!(written_chunks(&solo.written).len(), 1, "neither is written");
    assert!(solo.installs.is_empty());
}

#[test]
fn a_transfer_goes_on_after_a_campaign_for_nothing() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    let meta = snapshot_meta(5, 2, 3);
    solo.receive(2, 3, install(&meta, 0, b"abc", false));
    solo.ring();
    assert_eq!(solo.role(), RoleName::PreCandidate, "it heard nothing for a while");
    // The others hear the leader; and it is heard again.
    assert_eq!(reply(&solo.receive(2, 3, install(&meta, 0, b"abc", false))), (3, false));
    assert_eq!(reply(&solo.receive(2, 3, install(&meta, 3, b"def", true))), (6, true));
    assert_eq!(solo.installs, [meta]);
    assert_eq!(written_chunks(&solo.written).len(), 2, "no byte was written twice");
}

#[test]
fn a_transfer_begins_anew_with_another_leader() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    // The same entries, other bytes.
    let meta = snapshot_meta(5, 2, 3);
    solo.receive(2, 3, install(&meta, 0, b"abc", false));
    assert_eq!(reply(&solo.receive(3, 4, install(&meta, 3, b"xyz", true))), (0, false));
    assert_eq!(reply(&solo.receive(3, 4, install(&meta, 0, b"uvw", false))), (3, false));
    assert_eq!(reply(&solo.receive(3, 4, install(&meta, 3, b"xyz", true))), (6, true));
    // An older snapshot than the one before it will do as well: whoever sent that one may be gone.
    let mut solo = Solo::with_log(3, 3, &[1]);
    solo.receive(2, 3, install(&meta, 0, b"abc", false));
    assert_eq!(reply(&solo.receive(3, 4, install(&snapshot_meta(4, 2, 3), 0, b"uvw", true))), (3, true));
}

#[test]
fn rule_5_a_snapshot_counts_only_when_it_is_on_the_disk() {
    let mut solo = Solo::with_log(3, 3, &[1, 1]);
    solo.has_quick_disk = false;
    let sent = solo.receive(2, 3, install(&snapshot_meta(5, 2, 3), 0, b"abc", true));
    assert!(replies(&sent).iter().all(|reply| !reply.installed));
    assert!(solo.installs.is_empty());
    assert_eq!((solo.commit(), solo.last_index()), (0, 2));
    let sent = solo.persist_all();
    assert!(reply(&sent).1);
    assert_eq!((solo.installs.len(), solo.commit(), solo.last_index()), (1, 5, 5));
}

#[test]
fn rule_5_a_newer_snapshot_replaces_one_that_is_arriving() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    let (older, newer) = (snapshot_meta(5, 2, 3), snapshot_meta(9, 3, 3));
    solo.receive(2, 3, install(&older, 0, b"abc", false));
    assert_eq!(reply(&solo.receive(2, 3, install(&newer, 0, b"uvw", false))), (3, false));
    let sent = solo.receive(2, 3, install(&older, 3, b"def", true));
    assert!(replies(&sent).iter().all(|reply| !reply.installed), "the older one is not wanted any more");
    assert_eq!(reply(&solo.receive(2, 3, install(&newer, 3, b"xyz", true))), (6, true));
    assert_eq!(solo.installs, [newer]);
}

#[test]
fn rule_6_entries_behind_the_snapshot_stay_if_the_log_agrees_with_it() {
    let mut solo = Solo::with_log(3, 3, &[1, 1, 2, 2, 2, 3, 3]);
    let sent = solo.receive(2, 3, install(&snapshot_meta(5, 2, 3), 0, b"abc", true));
    assert!(reply(&sent).1);
    assert_eq!((solo.last_index(), solo.commit()), (7, 5));
    assert_eq!(solo.raft.term_at(Index(6)), Some(Term(3)));
    assert!(
        solo.written.iter().all(|persist| persist.truncate_from.is_none()),
        "nor does the disk lose them"
    );
    // But they are not verified by it: they may differ from the leader's.
    assert_eq!(acknowledged(&solo.receive(2, 3, append((5, 2), &[], 9))), Some(5));
    assert_eq!(solo.commit(), 5);
}

#[test]
fn rule_7_a_log_that_disagrees_with_the_snapshot_is_discarded() {
    for log in [vec![1, 1, 1, 1, 1, 1, 1], vec![1, 1], vec![], vec![1, 1, 1, 1, 3, 3]] {
        let mut solo = Solo::with_log(3, 3, &log);
        let sent = solo.receive(2, 3, install(&snapshot_meta(5, 2, 3), 0, b"abc", true));
        assert!(reply(&sent).1, "{log:?}");
        assert_eq!((solo.last_index(), solo.raft.last_term()), (5, Term(2)), "{log:?}");
        assert_eq!(solo.raft.entries(Index(1)..=Index(9)).len(), 0);
        // The log goes on behind the snapshot.
        assert_eq!(acknowledged(&solo.receive(2, 3, append((5, 2), &[3], 6))), Some(6));
        assert_eq!(solo.committed, [6]);
    }
}

#[test]
fn rule_8_the_state_machine_and_the_configuration_become_the_snapshots() {
    let mut solo = Solo::with_log(3, 3, &[1, 1]);
    solo.receive(2, 3, append((2, 1), &[], 1));
    let meta = SnapshotMeta {
        membership: Membership { learners: ids([7]), ..Membership::of(ids([1, 2, 4, 5])) }.into(),
        ..snapshot_meta(5, 2, 3)
    };
    solo.receive(2, 3, install(&meta, 0, b"abc", true));
    assert_eq!(solo.installs, core::slice::from_ref(&meta));
    assert_eq!(*solo.raft.membership(), *meta.membership);
    assert_eq!(*solo.raft.snapshot_meta(), meta);
    assert_eq!((solo.commit(), solo.raft.last_applied()), (5, Index(5)));
    assert_eq!(solo.committed, [1], "what the snapshot stands for is not applied once more");
}

#[test]
fn a_configuration_of_the_discarded_log_goes_with_it() {
    let mut solo = Solo::with_log(3, 3, &[]);
    let wrong = Membership::of(ids([1, 2, 3, 9]));
    solo.receive(2, 3, append_of((0, 0), vec![membership_entry(1, 1, wrong)], 0, 0));
    solo.receive(3, 4, install(&snapshot_meta(5, 4, 3), 0, b"abc", true));
    assert_eq!(*solo.raft.membership(), Membership::of(ids([1, 2, 3])));
}

#[test]
fn a_configuration_behind_the_snapshot_stays_in_force() {
    let mut solo = Solo::with_log(3, 3, &[1, 1, 1]);
    let four = Membership::of(ids([1, 2, 3, 4]));
    solo.receive(2, 3, append_of((3, 1), vec![membership_entry(4, 1, four.clone())], 0, 0));
    solo.receive(2, 3, install(&snapshot_meta(2, 1, 3), 0, b"abc", true));
    assert_eq!((solo.last_index(), solo.raft.membership()), (4, &four));
}

#[test]
fn a_snapshot_of_what_is_committed_already_is_not_installed() {
    let mut solo = Solo::with_log(3, 3, &[1, 1, 2, 2, 2]);
    solo.receive(2, 3, append((5, 2), &[], 5));
    for index in 3..=5 {
        let sent = solo.receive(2, 3, install(&snapshot_meta(index, 2, 3), 0, b"abc", true));
        assert!(reply(&sent).1, "the leader need not go on with it");
    }
    assert!(solo.installs.is_empty(), "the state never goes back in time");
    assert_eq!((solo.last_index(), solo.commit()), (5, 5));
}

#[test]
fn the_chunks_of_two_leaders_do_not_mix() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    let meta = snapshot_meta(5, 2, 3);
    solo.receive(2, 3, install(&meta, 0, b"abc", false));
    let sent = solo.receive(3, 4, install(&meta, 3, b"def", true));
    assert_eq!(reply(&sent), (0, false), "another server's file may have other bytes");
    assert!(solo.installs.is_empty());
}

#[test]
fn entries_that_come_while_a_snapshot_is_written_are_not_lost() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    solo.has_quick_disk = false;
    solo.receive(2, 3, install(&snapshot_meta(5, 2, 3), 0, b"abc", true));
    solo.receive(2, 3, append((5, 2), &[3], 5));
    solo.persist_all();
    let sent = solo.receive(2, 3, append((5, 2), &[3], 5));
    let sent = [sent, solo.persist_all()].concat();
    assert_eq!(acknowledged(&sent), Some(6));
    assert_eq!(solo.last_index(), 6);
}

#[test]
fn no_campaign_begins_while_a_snapshot_is_written() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    solo.has_quick_disk = false;
    solo.receive(2, 3, install(&snapshot_meta(5, 2, 3), 0, b"abc", true));
    solo.pass(ms(5_000));
    assert_eq!(solo.role(), RoleName::Follower);
    solo.persist_all();
    solo.pass(ms(5_000));
    assert_ne!(solo.role(), RoleName::Follower, "and then it may");
}

// ---- Our own snapshots ------------------------------------------------------------------------------------

/// A leader of three, in term 2, whose log of eight entries and a no-op is committed and, but for `keep` bytes,
/// cut off up to entry 6.
fn leader_with_snapshot(keep: usize) -> Solo {
    let mut solo = Solo::leader_with(3, 1, &[1; 8], |config| {
        config.keep_bytes_behind_snapshot = keep;
        config.snapshot_chunk_bytes = 4;
        config.snapshot_window_chunks = 2;
    });
    solo.receive(2, 2, accepted(0, 9));
    assert_eq!(solo.commit(), 9);
    solo.input(Input::SnapshotTaken(snapshot_meta(6, 1, 3)));
    solo.sent.clear();
    solo
}

#[test]
fn a_snapshot_cuts_the_log_and_its_last_term_is_remembered() {
    let solo = leader_with_snapshot(1);
    assert_eq!((solo.raft.first_index(), solo.raft.last_index()), (Index(7), Index(9)));
    assert_eq!(solo.raft.term_at(Index(6)), Some(Term(1)), "for the consistency check of entry 7");
    assert_eq!(solo.raft.snapshot_meta().last_included_index, Index(6));
}

#[test]
fn some_entries_stay_behind_a_snapshot_for_those_who_are_a_little_late() {
    let mut solo = leader_with_snapshot(90);
    let first = solo.raft.first_index().0;
    assert!((4..=6).contains(&first), "about 90 bytes of 37 each: {first}");
    let sent = solo.receive(3, 2, conflict(0, 8, None, first));
    assert!(solo.requests.is_empty());
    assert_eq!(appends(&sent)[0].1.prev_log_index, Index(first - 1));
}

#[test]
fn a_follower_that_needs_what_is_cut_off_gets_the_snapshot_chunk_by_chunk() {
    let mut solo = leader_with_snapshot(1);
    solo.receive(3, 2, conflict(0, 8, None, 3));
    let request = SnapshotRequest { to: NodeId(3), last_included_index: Index(6), offset: 0, max_bytes: 4 };
    assert_eq!(solo.requests, [request]);
    let sent = answer(&mut solo, 0, b"abcd", false);
    assert_eq!((sent[0].offset, &sent[0].data[..], sent[0].done), (0, &b"abcd"[..], false));
    assert_eq!(sent[0].meta, snapshot_meta(6, 1, 3));
    // The window is two chunks.
    answer(&mut solo, 4, b"efgh", false);
    assert_eq!(solo.requests.last().expect("asked").offset, 4, "not a third one");
    solo.receive(3, 2, installed(0, 6, 4, false));
    assert_eq!(solo.requests.last().expect("asked").offset, 8);
    assert!(answer(&mut solo, 8, b"i", true)[0].done);
    solo.receive(3, 2, installed(0, 6, 8, false));
    solo.sent.clear();
    solo.receive(3, 2, installed(0, 6, 9, true));
    let sent = appends(&solo.sent);
    assert_eq!(sent[0].1.prev_log_index, Index(6), "and the log goes on behind it");
    assert_eq!(solo.match_index(3), 6);
}

/// The host reads a chunk for n3; what the leader sends of it.
fn answer(solo: &mut Solo, offset: u64, data: &'static [u8], done: bool) -> Vec<InstallSnapshot> {
    let before = solo.sent.len();
    let meta = snapshot_meta(6, 1, 3);
    let data = Bytes::from_static(data);
    solo.input(Input::SnapshotChunk { to: NodeId(3), meta, offset, data, done });
    chunks(&solo.sent[before..])
}

#[test]
fn a_transfer_goes_on_from_the_byte_that_the_follower_names() {
    let mut solo = leader_with_snapshot(1);
    solo.receive(3, 2, conflict(0, 8, None, 3));
    answer(&mut solo, 0, b"abcd", false);
    answer(&mut solo, 4, b"efgh", false);
    // The first chunk was lost; the follower says so when the second arrives.
    solo.receive(3, 2, installed(0, 6, 0, false));
    assert_eq!(solo.requests.last().expect("asked").offset, 0);
}

/// A late answer must not set a transfer back so far that the follower's next, honest answer looks impossible.
#[test]
fn a_late_answer_does_not_stop_a_transfer() {
    let mut solo = leader_with_snapshot(1);
    solo.receive(3, 2, conflict(0, 8, None, 3));
    for (offset, data) in [(0, b"aaaa"), (4, b"bbbb"), (8, b"cccc"), (12, b"dddd"), (16, b"eeee")] {
        answer(&mut solo, offset, data, false);
        solo.receive(3, 2, installed(0, 6, offset + 4, false));
    }
    // An answer from the beginning of the transfer comes once more, long after.
    solo.pass(ms(60));
    solo.receive(3, 2, installed(0, 6, 4, false));
    // The leader may repeat itself; the follower answers what it needs.
    for _ in 0..20 {
        let Some(request) = solo.requests.last().copied() else { break };
        if request.offset == 20 {
            return;
        }
        answer(&mut solo, request.offset, b"xxxx", false);
        solo.receive(3, 2, installed(0, 6, 20, false));
        solo.pass(ms(60));
    }
    panic!("the transfer never goes on from byte 20: {:?}", solo.requests);
}

#[test]
fn entries_for_others_are_not_held_up_by_a_snapshot() {
    let mut solo = leader_with_snapshot(1);
    solo.receive(3, 2, conflict(0, 8, None, 3));
    solo.input(Input::Propose(command("x")));
    let to: Vec<u64> = appends(&solo.sent)
        .iter()
        .filter(|(_, append)| !append.entries.is_empty())
        .map(|(to, _)| to.0)
        .collect();
    assert_eq!(to, [2]);
    solo.receive(2, 2, accepted(0, 10));
    assert_eq!(solo.commit(), 10);
}

#[test]
fn the_chunk_of_a_snapshot_that_nobody_asked_for_is_not_sent() {
    let mut solo = leader_with_snapshot(1);
    assert!(answer(&mut solo, 0, b"abcd", false).is_empty());
    solo.receive(3, 2, conflict(0, 8, None, 3));
    assert!(answer(&mut solo, 4, b"efgh", false).is_empty(), "nor one from another place");
}

#[test]
fn a_newer_snapshot_takes_the_place_of_the_one_under_way() {
    let mut solo = leader_with_snapshot(1);
    solo.receive(3, 2, conflict(0, 8, None, 3));
    answer(&mut solo, 0, b"abcd", false);
    solo.input(Input::SnapshotTaken(snapshot_meta(9, 2, 3)));
    // The host has only the newer one now.
    let meta = snapshot_meta(9, 2, 3);
    let data = Bytes::from_static(b"efgh");
    solo.input(Input::SnapshotChunk { to: NodeId(3), meta, offset: 4, data, done: true });
    solo.pass(ms(600));
    let last = solo.requests.last().expect("asked");
    assert_eq!((last.last_included_index, last.offset), (Index(9), 0), "from its beginning");
}

#[test]
fn a_server_restarts_from_its_snapshot_and_the_entries_behind_it() {
    let mut behind = entries(&[1, 1, 1, 1, 1, 1, 2, 2]);
    behind.drain(..6);
    let recovered = Recovered {
        hard_state: HardState { term: Term(2), voted_for: None },
        snapshot: SnapshotMeta {
            membership: Membership::of(ids([1, 2, 5])).into(),
            ..snapshot_meta(6, 1, 3)
        },
        entries: behind,
    };
    let solo = Solo::restore(recovered, |_| {});
    assert_eq!((solo.commit(), solo.raft.last_applied(), solo.last_index()), (6, Index(6), 8));
    assert_eq!(*solo.raft.membership(), Membership::of(ids([1, 2, 5])));
    assert!(solo.installs.is_empty());
}
