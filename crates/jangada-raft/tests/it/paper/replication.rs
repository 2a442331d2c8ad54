//! Paper §5.3 and §5.4.2; Figure 2, "AppendEntries RPC" and "Rules for Servers"; Thesis §10.2.

use core::time::Duration;

use bytes::Bytes;
use jangada_raft::event::{Event, RoleName};
use jangada_raft::face::{Answer, Input, Recovered, Refusal};
use jangada_raft::message::{AppendOutcome, Message, Rpc};
use jangada_raft::types::{HardState, Index, Membership, NodeId, Payload, SnapshotMeta, Term};

use crate::solo::{
    ME, Solo, accepted, acknowledged, append, append_in_round, append_of, appends, conflict,
    membership_entry, outcomes, snapshot_meta,
};
use crate::world::{command, entries, entry, ids, ms};

fn propose(solo: &mut Solo, text: &str) -> Answer {
    solo.input(Input::Propose(command(text)))
}

fn refusal(prev: u64, conflict_term: Option<u64>, first_index: u64) -> AppendOutcome {
    AppendOutcome::Conflict {
        prev_log_index: Index(prev),
        conflict_term: conflict_term.map(Term),
        first_index: Index(first_index),
    }
}

// ---- The follower -----------------------------------------------------------------------------------------

#[test]
fn a_leader_of_an_earlier_term_is_refused() {
    let mut solo = Solo::with_log(3, 5, &[1, 5]);
    let sent = solo.receive(2, 4, append((1, 1), &[4], 2));
    assert!(matches!(outcomes(&sent)[..], [AppendOutcome::Conflict { .. }]));
    assert_eq!(sent[0].term, Term(5));
    assert_eq!((solo.log(), solo.commit(), solo.raft.leader()), (vec![1, 5], 0, None));
}

#[test]
fn entries_that_do_not_follow_our_log_are_refused_with_a_hint() {
    // Our log; what the leader believes to precede; what it is told.
    let cases = [
        (vec![1, 1], (3, 1), refusal(3, None, 3)),
        (vec![], (7, 2), refusal(7, None, 1)),
        (vec![1, 1, 2, 2, 2], (4, 3), refusal(4, Some(2), 3)),
        (vec![1, 1, 2, 2, 2], (5, 3), refusal(5, Some(2), 3)),
        (vec![1, 1, 1], (3, 3), refusal(3, Some(1), 1)),
    ];
    for (log, prev, expected) in cases {
        let mut solo = Solo::with_log(3, 3, &log);
        let sent = solo.receive(2, 4, append(prev, &[4], prev.0));
        assert_eq!(outcomes(&sent), [expected], "log {log:?}, prev {prev:?}");
        assert_eq!((solo.log(), solo.commit()), (log, 0), "and nothing changes");
    }
}

#[test]
fn entries_that_contradict_the_leaders_are_removed_with_all_behind_them() {
    let mut solo = Solo::with_log(3, 3, &[1, 1, 2, 2, 3]);
    let sent = solo.receive(2, 5, append((2, 1), &[2, 4], 0));
    assert_eq!(solo.log(), [1, 1, 2, 4]);
    assert_eq!(acknowledged(&sent), Some(4));
    let truncated = solo.written.iter().filter_map(|persist| persist.truncate_from).collect::<Vec<_>>();
    assert_eq!(truncated, [Index(4)], "the disk forgets what contradicts, and keeps what agrees");
}

#[test]
fn a_late_duplicate_removes_nothing() {
    let mut solo = Solo::with_log(3, 1, &[]);
    assert_eq!(acknowledged(&solo.receive(2, 1, append((0, 0), &[1, 1, 1, 1, 1], 0))), Some(5));
    let sent = solo.receive(2, 1, append((0, 0), &[1, 1], 0));
    assert_eq!((solo.log().len(), acknowledged(&sent)), (5, Some(5)), "what was acknowledged stays");
    solo.receive(2, 1, append((1, 1), &[], 0));
    solo.receive(2, 1, append((0, 0), &[], 0));
    assert_eq!(solo.log().len(), 5, "nor does an old heartbeat");
    assert!(solo.written.iter().all(|persist| persist.truncate_from.is_none()));
}

#[test]
fn entries_are_compared_with_entries_and_not_with_the_messages_term() {
    let mut solo = Solo::with_log(3, 1, &[1, 1, 1]);
    solo.receive(2, 9, append((0, 0), &[1, 1], 0));
    assert_eq!(solo.log(), [1, 1, 1], "old entries from a new leader contradict nothing");
}

#[test]
fn new_entries_are_appended_behind_those_that_are_held() {
    let mut solo = Solo::with_log(3, 1, &[1, 1]);
    let sent = solo.receive(2, 2, append((1, 1), &[1, 2, 2], 0));
    assert_eq!(solo.log(), [1, 1, 2, 2]);
    assert_eq!(acknowledged(&sent), Some(4));
    let written: Vec<u64> =
        solo.written.iter().flat_map(|persist| &persist.entries).map(|entry| entry.index.0).collect();
    assert_eq!(written, [3, 4], "what is on the disk is not written again");
}

#[test]
fn the_commit_index_follows_the_leaders_up_to_the_last_verified_entry() {
    // Our log ends with three entries of which the leader has said nothing.
    let follower = || Solo::with_log(3, 2, &[1, 1, 2, 2, 2]);
    let mut solo = follower();
    solo.receive(2, 3, append((2, 1), &[], 5));
    assert_eq!(solo.commit(), 2, "the entries behind may be the relics of another leader");
    let mut solo = follower();
    solo.receive(2, 3, append((2, 1), &[3], 9));
    assert_eq!(solo.commit(), 3, "the index of the last new entry");
    solo.receive(2, 3, append((3, 3), &[3, 3, 3], 4));
    assert_eq!(solo.commit(), 4, "the leader's commit index");
    solo.receive(2, 3, append((6, 3), &[], 1));
    assert_eq!(solo.commit(), 4, "it never falls");
    solo.receive(2, 3, append((6, 3), &[], 99));
    assert_eq!(solo.commit(), 6);
    assert_eq!(solo.committed, [1, 2, 3, 4, 5, 6], "each is handed out once, in order");
}

#[test]
fn a_refused_heartbeat_commits_nothing() {
    let mut solo = Solo::with_log(3, 2, &[1, 1, 2]);
    solo.receive(2, 3, append((3, 3), &[], 3));
    assert_eq!(solo.commit(), 0);
}

#[test]
fn an_acknowledgement_names_what_was_verified_and_not_the_last_entry() {
    let mut solo = Solo::with_log(3, 2, &[1, 1, 2, 2, 2]);
    assert_eq!(acknowledged(&solo.receive(2, 3, append((1, 1), &[], 0))), Some(1));
    assert_eq!(acknowledged(&solo.receive(2, 3, append((1, 1), &[1], 0))), Some(2));
}

#[test]
fn what_was_verified_in_an_earlier_term_is_verified_anew() {
    let mut solo = Solo::with_log(3, 2, &[]);
    solo.receive(2, 2, append((0, 0), &[1, 1, 2, 2], 1));
    let sent = solo.receive(3, 3, append((2, 1), &[], 4));
    assert_eq!(acknowledged(&sent), Some(2), "the new leader may have other entries behind it");
    assert_eq!(solo.commit(), 2);
}

#[test]
fn an_acknowledgement_leaves_only_when_the_entries_are_on_the_disk() {
    let mut solo = Solo::with_log(3, 1, &[1]);
    solo.has_quick_disk = false;
    assert_eq!(outcomes(&solo.receive(2, 1, append((1, 1), &[1, 1], 0))), []);
    assert_eq!(outcomes(&solo.receive(2, 1, append((3, 1), &[1], 0))), []);
    solo.persist_one();
    let acks: Vec<_> = outcomes(&solo.sent);
    assert_eq!(acks.last(), Some(&AppendOutcome::Accepted { match_index: Index(3) }));
    assert_eq!(acknowledged(&solo.persist_all()), Some(4));
}

#[test]
fn a_heartbeat_is_answered_at_once_with_what_the_disk_has() {
    let mut solo = Solo::with_log(3, 1, &[1]);
    solo.has_quick_disk = false;
    solo.receive(2, 1, append((1, 1), &[1, 1], 0));
    let sent = solo.receive(2, 1, append((3, 1), &[], 0));
    assert_eq!(acknowledged(&sent), Some(1), "reads do not wait for a disk, and promises do");
    assert_eq!(acknowledged(&solo.persist_all()), Some(3));
}

#[test]
fn an_acknowledgement_waits_for_the_term_too() {
    let mut solo = Solo::with_log(3, 1, &[1]);
    solo.has_quick_disk = false;
    assert_eq!(outcomes(&solo.receive(2, 5, append((1, 1), &[], 0))), [], "term 5 is not on the disk yet");
    assert_eq!(acknowledged(&solo.persist_all()), Some(1));
}

/// The ABA problem of a slow disk: entry 2 is ordered, replaced by another entry 2, and then the disk reports
/// the *first* write.
#[test]
fn a_late_word_of_the_disk_about_a_replaced_entry_acknowledges_nothing() {
    let mut solo = Solo::with_log(3, 1, &[1]);
    solo.has_quick_disk = false;
    solo.receive(2, 1, append((1, 1), &[1, 1], 0));
    solo.receive(3, 2, append((1, 1), &[2, 2], 0));
    assert_eq!(solo.writing.len(), 2);
    let before = solo.sent.len();
    solo.persist_one();
    let promised = outcomes(&solo.sent[before..])
        .into_iter()
        .any(|outcome| matches!(outcome, AppendOutcome::Accepted { match_index } if match_index > Index(1)));
    assert!(!promised, "the entries of term 2 are not on the disk yet");
    assert_eq!(solo.raft.durable_index(), Index(1));
    assert_eq!(acknowledged(&solo.persist_all()), Some(3));
}

#[test]
fn entries_from_behind_our_snapshot_contradict_nothing() {
    let recovered = Recovered {
        hard_state: HardState { term: Term(3), voted_for: None },
        snapshot: snapshot_meta(10, 2, 3),
        entries: (11..=12).map(|index| entry(index, 3)).collect(),
    };
    let mut solo = Solo::restore(recovered, |_| {});
    let sent = solo.receive(2, 3, append((5, 1), &[1, 1, 2, 2, 2, 3, 3, 3], 0));
    assert_eq!(acknowledged(&sent), Some(13));
    assert_eq!((solo.raft.last_index(), solo.commit()), (Index(13), 10));
    let sent = solo.receive(2, 3, append((4, 1), &[], 0));
    assert!(acknowledged(&sent).is_some_and(|index| index >= 10), "it lies in the snapshot: committed");
    assert_eq!(solo.raft.last_index(), Index(13), "and nothing is thrown away");
}

#[test]
fn a_leader_that_contradicts_what_is_committed_is_ignored() {
    let mut solo = Solo::with_log(3, 1, &[1, 1, 1]);
    solo.receive(2, 1, append((3, 1), &[], 2));
    solo.receive(3, 2, append((0, 0), &[2, 2], 0));
    assert_eq!(solo.log(), [1, 1, 1], "a committed entry never changes");
    solo.receive(3, 2, append((2, 2), &[2], 0));
    assert_eq!(solo.log(), [1, 1, 1]);
}

// ---- The leader: sending ----------------------------------------------------------------------------------

#[test]
fn a_new_leader_makes_itself_known_at_once_with_an_entry_of_its_term() {
    let mut solo = Solo::with_log(3, 3, &[1, 3]);
    solo.time_out();
    solo.receive(2, 3, crate::solo::granted(4, true));
    let sent = solo.receive(2, 4, crate::solo::granted(4, false));
    assert_eq!(solo.role(), RoleName::Leader);
    assert_eq!(solo.log(), [1, 3, 4]);
    let last = solo.raft.entries(Index(3)..=Index(3)).next().expect("it was appended");
    assert_eq!(last.payload, Payload::Noop, "Paper §8: so that it learns what is committed");
    let mut to: Vec<u64> = Vec::new();
    for (peer, append) in appends(&sent) {
        to.push(peer.0);
        assert!(append.prev_log_index <= Index(3), "nextIndex begins behind the last entry");
        assert!(append.prev_log_index >= Index(2));
    }
    to.dedup();
    assert_eq!(to, [2, 3]);
    assert_eq!((solo.match_index(2), solo.match_index(3)), (0, 0), "nothing is known to match");
}

#[test]
fn a_leader_says_that_it_lives_in_every_heartbeat_interval() {
    let mut solo = Solo::leader(3, 0, &[]);
    let interval = solo.raft.config().heartbeat_interval;
    solo.sent.clear();
    let before = solo.now;
    solo.pass(interval * 4);
    for peer in [2, 3] {
        let count = appends(&solo.sent).iter().filter(|(to, _)| to.0 == peer).count();
        assert_eq!(count, 4, "in {:?}", solo.now.since(before));
    }
}

#[test]
fn whoever_hears_nothing_else_is_told_of_a_commit_before_the_next_heartbeat() {
    let after = Duration::from_millis(1);
    let mut solo = Solo::leader_with(3, 0, &[], |config| config.commit_notice_after = Some(after));
    let told = |sent: &[Message]| -> Vec<(u64, usize, u64)> {
        appends(sent).iter().map(|(to, it)| (to.0, it.entries.len(), it.leader_commit.0)).collect()
    };
    solo.receive(2, 1, accepted(0, 1));
    solo.receive(3, 1, accepted(0, 1));
    propose(&mut solo, "one");
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(solo.commit(), 2);
    solo.sent.clear();
    propose(&mut solo, "two");
    assert_eq!(told(&solo.sent), [(2, 1, 2), (3, 1, 2)], "the next entries tell of it");
    solo.sent.clear();
    solo.pass(after);
    assert_eq!(told(&solo.sent), [], "so that nothing is left to tell");
    solo.receive(3, 1, accepted(0, 3));
    assert_eq!((solo.commit(), told(&solo.sent)), (3, vec![]), "there may be entries soon");
    solo.pass(after);
    assert_eq!(told(&solo.sent), [(2, 0, 3), (3, 0, 3)], "there are none");
    solo.sent.clear();
    solo.pass(after * 3);
    assert_eq!(told(&solo.sent), [], "once");
}

#[test]
fn news_of_a_commit_waits_for_entries_only_where_the_last_ones_came_soon() {
    let after = Duration::from_millis(1);
    let mut solo = Solo::leader_with(3, 0, &[], |config| config.commit_notice_after = Some(after));
    solo.receive(2, 1, accepted(0, 1));
    solo.receive(3, 1, accepted(0, 1));
    // How long after the commit before an entry comes, and whether its own commit is told at once.
    let pauses =
        [(Duration::ZERO, false), (after * 2, true), (after * 2, true), (after, false), (after / 2, false)];
    for (last, (pause, is_told)) in (2..).zip(pauses) {
        solo.pass(pause);
        propose(&mut solo, "one");
        propose(&mut solo, "another of the same batch");
        let last = last * 2 - 1;
        solo.receive(2, 1, accepted(0, last));
        solo.receive(3, 1, accepted(0, last));
        assert_eq!(solo.commit(), last);
        solo.sent.clear();
        solo.pass(Duration::ZERO);
        let told: Vec<_> = appends(&solo.sent).iter().map(|(to, it)| (to.0, it.leader_commit.0)).collect();
        assert_eq!(told, if is_told { vec![(2, last), (3, last)] } else { vec![] }, "after {pause:?}");
    }
}

#[test]
fn whoever_is_silent_gets_no_message_for_each_commit() {
    let after = Duration::from_millis(1);
    let mut solo = Solo::leader_with(3, 0, &[], |config| config.commit_notice_after = Some(after));
    solo.receive(2, 1, accepted(0, 1));
    solo.receive(3, 1, accepted(0, 1));
    let silent_for = solo.raft.config().election_timeout_min;
    solo.pass(silent_for / 2);
    let round = solo.round();
    solo.receive(2, 1, accepted(round, 1));
    solo.pass(silent_for / 2);
    propose(&mut solo, "one");
    let round = solo.round();
    solo.receive(2, 1, accepted(round, 2));
    assert_eq!(solo.commit(), 2);
    solo.sent.clear();
    solo.pass(after);
    let told: Vec<u64> = appends(&solo.sent).iter().map(|(to, _)| to.0).collect();
    assert_eq!(told, [2], "n3 was not heard of for long");
}

#[test]
fn a_command_is_appended_and_sent_at_once() {
    let mut solo = Solo::leader(3, 0, &[]);
    solo.receive(2, 1, accepted(0, 1));
    solo.sent.clear();
    let answer = propose(&mut solo, "one");
    assert_eq!(answer, Answer::Appended { index: Index(2), term: Term(1) });
    let sent = appends(&solo.sent);
    assert_eq!(sent.len(), 1, "to n2, whose log is known to agree");
    assert_eq!((sent[0].0, sent[0].1.prev_log_index, sent[0].1.entries.len()), (NodeId(2), Index(1), 1));
    propose(&mut solo, "two");
    let sent = appends(&solo.sent);
    assert_eq!(sent[1].1.prev_log_index, Index(2), "without waiting for the answer (Thesis §10.2.2)");
}

#[test]
fn a_command_is_handed_out_to_be_applied_when_it_is_committed() {
    let mut solo = Solo::leader(3, 0, &[]);
    propose(&mut solo, "one");
    assert_eq!(solo.committed, [] as [u64; 0]);
    solo.receive(3, 1, accepted(0, 2));
    assert_eq!(solo.committed, [1, 2]);
}

#[test]
fn only_a_leader_takes_commands() {
    let mut solo = Solo::with_log(3, 1, &[]);
    assert_eq!(propose(&mut solo, "x"), Answer::Refused(Refusal::NotLeader { leader: None }));
    solo.receive(2, 1, append((0, 0), &[], 0));
    assert_eq!(propose(&mut solo, "x"), Answer::Refused(Refusal::NotLeader { leader: Some(NodeId(2)) }));
    solo.time_out();
    assert_eq!(propose(&mut solo, "x"), Answer::Refused(Refusal::NotLeader { leader: None }));
    assert_eq!(solo.log(), [] as [u64; 0], "refused means: no effect");
}

#[test]
fn what_waits_to_be_committed_is_bounded() {
    let mut solo = Solo::leader_with(3, 0, &[], |config| {
        config.max_command_bytes = 100;
        config.max_uncommitted_bytes = 300;
    });
    let big = "x".repeat(101);
    assert_eq!(propose(&mut solo, &big), Answer::Refused(Refusal::TooLarge));
    let mut taken = 0;
    while let Answer::Appended { .. } = propose(&mut solo, &big[..60]) {
        taken += 1;
        assert!(taken < 10, "there is a bound");
    }
    assert_eq!(propose(&mut solo, &big[..60]), Answer::Refused(Refusal::Busy));
    let last = solo.last_index();
    solo.receive(2, 1, accepted(0, last));
    assert!(
        matches!(propose(&mut solo, &big[..60]), Answer::Appended { .. }),
        "until something is committed"
    );
}

#[test]
fn what_is_under_way_to_a_follower_is_bounded() {
    let mut solo = Solo::leader_with(3, 0, &[], |config| {
        config.max_append_entries = 2;
        config.max_inflight_messages = 3;
    });
    solo.receive(2, 1, accepted(0, 1));
    solo.sent.clear();
    for _ in 0..20 {
        propose(&mut solo, "x");
    }
    let sent = appends(&solo.sent);
    assert_eq!(sent.len(), 3, "three messages, then it waits");
    solo.sent.clear();
    solo.receive(2, 1, accepted(0, 3));
    let sent = appends(&solo.sent);
    assert_eq!(sent.len(), 2, "two were answered, two may follow");
    assert!(sent.iter().all(|(_, append)| append.entries.len() == 2), "as full as they may be");
}

#[test]
fn an_entry_larger_than_every_bound_still_travels() {
    let mut solo = Solo::leader_with(3, 0, &[], |config| {
        config.max_append_bytes = 64;
        config.max_inflight_bytes = 64;
    });
    solo.receive(2, 1, accepted(0, 1));
    solo.sent.clear();
    propose(&mut solo, &"x".repeat(1_000));
    assert_eq!(appends(&solo.sent).len(), 1);
    propose(&mut solo, "y");
    assert_eq!(appends(&solo.sent).len(), 1, "and then nothing more until it is answered");
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(appends(&solo.sent).len(), 2);
}

// ---- The leader: answers ----------------------------------------------------------------------------------

#[test]
fn an_acknowledgement_moves_next_and_match_index() {
    let mut solo = Solo::leader(3, 1, &[1, 1]);
    solo.receive(2, 2, accepted(0, 3));
    assert_eq!((solo.match_index(2), solo.next_index(2)), (3, 4));
}

#[test]
fn a_late_answer_moves_nothing_back() {
    let mut solo = Solo::leader(3, 1, &[1, 1, 1, 1]);
    solo.receive(2, 2, accepted(0, 5));
    solo.receive(2, 2, accepted(0, 2));
    assert_eq!((solo.match_index(2), solo.next_index(2)), (5, 6), "not a late acknowledgement");
    for refused in 0..=5 {
        solo.receive(2, 2, conflict(0, refused, None, 1));
        assert_eq!((solo.match_index(2), solo.next_index(2)), (5, 6), "not a late refusal of {refused}");
    }
}

#[test]
fn where_followers_may_forget_a_refusal_takes_back_what_was_acknowledged() {
    let mut solo = Solo::leader_with(3, 1, &[1, 1, 1, 1], |config| config.followers_may_forget = true);
    solo.receive(2, 2, accepted(0, 5));
    assert_eq!(solo.commit(), 5);
    // n2 has started anew with an empty disk.
    let sent = appends(&solo.receive(2, 2, conflict(0, 5, None, 1)));
    assert_eq!((solo.match_index(2), solo.next_index(2)), (0, 1), "what is gone does not count");
    assert_eq!((sent[0].1.prev_log_index, sent[0].1.entries.len()), (Index(0), 5), "it gets all again");
    assert_eq!(solo.commit(), 5, "what is committed stays so");
    solo.receive(2, 2, accepted(0, 5));
    assert_eq!((solo.match_index(2), solo.next_index(2)), (5, 6));
    // The place before the log cannot be refused. Such an answer only tells a term.
    solo.receive(2, 2, conflict(0, 0, None, 0));
    assert_eq!((solo.match_index(2), solo.next_index(2)), (5, 6));
}

#[test]
fn an_answer_about_entries_that_do_not_exist_is_ignored() {
    let mut solo = Solo::leader(3, 1, &[1]);
    solo.receive(2, 2, accepted(0, 99));
    solo.receive(3, 2, accepted(0, 3));
    assert_eq!((solo.match_index(2), solo.match_index(3), solo.commit()), (0, 0, 0));
    solo.receive(2, 2, conflict(0, 99, Some(7), 98));
    solo.receive(2, 2, conflict(0, 0, None, 0));
    assert!(solo.next_index(2) >= 1);
}

#[test]
fn a_refusal_makes_the_leader_try_earlier_in_steps_of_terms() {
    // The leader's log; what the follower says; from where the leader tries next.
    let log = [1, 1, 1, 4, 4, 5, 5, 6];
    let cases = [
        // Its log is too short: from its end.
        (conflict(0, 8, None, 5), 5),
        (conflict(0, 8, None, 1), 1),
        // It has term 4 there, and so have we: from behind the last of ours.
        (conflict(0, 8, Some(4), 4), 6),
        // It has a term that we never had: from the first of them.
        (conflict(0, 8, Some(3), 4), 4),
        (conflict(0, 8, Some(2), 3), 3),
    ];
    for (message, expected) in cases {
        let mut solo = Solo::leader(3, 6, &log);
        // The first question is whether the logs agree up to the entry before the no-op.
        assert_eq!(solo.next_index(2), 9);
        let sent = appends(&solo.receive(2, 7, message.clone()));
        assert_eq!(sent[0].1.prev_log_index, Index(expected - 1), "{message:?}");
        assert_eq!(solo.log()[..8], log, "a leader's own log stays as it is");
    }
}

#[test]
fn entries_that_were_lost_are_asked_for_by_the_next_heartbeat() {
    let mut leader = Solo::leader(3, 0, &[]);
    leader.receive(2, 1, accepted(0, 1));
    leader.sent.clear();
    propose(&mut leader, "the last one of a quiet cluster");
    leader.sent.clear(); // lost
    let beat = appends(&leader.ring());
    let (_, heartbeat) = beat.iter().find(|(to, _)| to.0 == 2).expect("a heartbeat for n2");
    assert!(heartbeat.entries.is_empty());
    assert_eq!(heartbeat.prev_log_index, Index(2), "it names the last entry that was sent");
    // The follower does not have it, and says so.
    let sent = appends(&leader.receive(2, 1, conflict(heartbeat.round, 2, None, 2)));
    assert_eq!((sent[0].1.prev_log_index, sent[0].1.entries.len()), (Index(1), 1), "it is sent again");
}

// ---- The commit rule --------------------------------------------------------------------------------------

#[test]
fn an_entry_is_committed_when_a_majority_holds_it() {
    let mut solo = Solo::leader(5, 0, &[]);
    propose(&mut solo, "x");
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(solo.commit(), 0);
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(solo.commit(), 0, "an answer that comes twice is one answer");
    solo.receive(3, 1, accepted(0, 1));
    assert_eq!(solo.commit(), 1, "n1, n2 and n3 hold entry 1");
    solo.receive(4, 1, accepted(0, 2));
    assert_eq!(solo.commit(), 2);
}

#[test]
fn entries_of_earlier_terms_are_not_committed_by_counting() {
    let mut solo = Solo::leader(3, 2, &[1, 2, 2]);
    solo.receive(2, 3, accepted(0, 3));
    solo.receive(3, 3, accepted(0, 3));
    assert_eq!(solo.commit(), 0, "all three hold entry 3, of term 2");
    solo.receive(2, 3, accepted(0, 4));
    assert_eq!(solo.commit(), 4, "they are committed with an entry of the leader's own term");
}

#[test]
fn a_leader_counts_itself_only_as_far_as_its_disk_has_come() {
    let mut solo = Solo::leader(3, 0, &[]);
    solo.receive(2, 1, accepted(0, 1));
    solo.has_quick_disk = false;
    propose(&mut solo, "x");
    assert_eq!(appends(&solo.sent).last().expect("sent before it is written").1.entries.len(), 1);
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(solo.commit(), 1, "one disk of three");
    solo.persist_all();
    assert_eq!(solo.commit(), 2);
    propose(&mut solo, "y");
    solo.receive(2, 1, accepted(0, 3));
    solo.receive(3, 1, accepted(0, 3));
    assert_eq!(solo.commit(), 3, "two others are a majority without it");
}

#[test]
fn a_cluster_of_one_commits_what_is_on_its_disk() {
    let mut solo = Solo::with_log(1, 0, &[]);
    solo.win();
    solo.has_quick_disk = false;
    propose(&mut solo, "x");
    propose(&mut solo, "y");
    assert_eq!(solo.commit(), 1);
    solo.persist_one();
    assert_eq!(solo.commit(), 2);
    solo.persist_all();
    assert_eq!(solo.commit(), 3);
}

#[test]
fn the_disk_word_about_an_earlier_leaderships_entry_commits_nothing() {
    // As a leader, n1 orders entry 2; as a follower it replaces it; as a leader again it orders another one.
    let mut solo = Solo::leader(3, 0, &[]);
    solo.has_quick_disk = false;
    propose(&mut solo, "mine");
    solo.receive(2, 2, append((1, 1), &[2], 0));
    assert_eq!(solo.log(), [1, 2]);
    solo.persist_one();
    assert_eq!(solo.raft.durable_index(), Index(1), "entry 2 of term 1 is not entry 2 of term 2");
}

#[test]
fn a_learner_does_not_count() {
    let membership = Membership { learners: ids([4, 5]), ..Membership::of(ids([1, 2, 3])) };
    let snapshot = SnapshotMeta { membership: membership.into(), ..SnapshotMeta::default() };
    let mut solo = Solo::restore(Recovered { snapshot, ..Recovered::default() }, |_| {});
    solo.win();
    solo.receive(4, 1, accepted(0, 1));
    solo.receive(5, 1, accepted(0, 1));
    assert_eq!(solo.commit(), 0);
    solo.receive(3, 1, accepted(0, 1));
    assert_eq!(solo.commit(), 1);
}

#[test]
fn an_answer_of_a_stranger_does_not_count() {
    let mut solo = Solo::leader(3, 0, &[]);
    solo.receive(8, 1, accepted(0, 1));
    solo.receive(9, 1, accepted(0, 1));
    assert_eq!(solo.commit(), 0);
}

// ---- The leader's own log ---------------------------------------------------------------------------------

#[test]
fn a_leader_never_overwrites_or_deletes_its_own_entries() {
    let mut solo = Solo::leader(3, 2, &[1, 2]);
    propose(&mut solo, "x");
    let before = solo.log();
    solo.receive(2, 3, append((0, 0), &[3, 3, 3, 3], 4));
    solo.receive(2, 2, append((0, 0), &[2], 1));
    solo.receive(2, 3, conflict(0, 3, Some(1), 1));
    assert_eq!((solo.role(), solo.log()), (RoleName::Leader, before));
}

#[test]
fn an_entry_keeps_its_term_when_a_later_leader_sends_it() {
    let mut solo = Solo::leader(3, 5, &[1, 2, 5]);
    let sent = appends(&solo.receive(2, 6, conflict(0, 3, None, 1)));
    let terms: Vec<u64> = sent[0].1.entries.iter().map(|entry| entry.term.0).collect();
    assert_eq!(terms, [1, 2, 5, 6]);
}

#[test]
fn a_configuration_is_sent_like_any_entry() {
    let mut solo = Solo::with_log(3, 1, &[]);
    let four = Membership::of(ids([1, 2, 3, 4]));
    solo.receive(2, 1, append_of((0, 0), vec![membership_entry(1, 1, four.clone())], 0, 0));
    assert_eq!(*solo.raft.membership(), four);
}

#[test]
fn an_answer_repeats_the_round_of_its_question() {
    let mut solo = Solo::with_log(3, 1, &[]);
    for round in [3, 7, 7, 9] {
        let sent = solo.receive(2, 1, append_in_round((0, 0), &[1], 0, round));
        let Rpc::AppendEntriesReply(reply) = &sent[0].rpc else { panic!("an answer") };
        assert_eq!(reply.round, round);
    }
}

#[test]
fn a_server_remembers_its_log_and_applies_it_again_only_when_told() {
    let recovered = Recovered {
        hard_state: HardState { term: Term(3), voted_for: Some(ME) },
        snapshot: SnapshotMeta {
            membership: Membership::of(ids([1, 2, 3])).into(),
            ..SnapshotMeta::default()
        },
        entries: entries(&[1, 3, 3]),
    };
    let mut solo = Solo::restore(recovered, |_| {});
    assert_eq!(
        (solo.log(), solo.commit(), solo.committed.len()),
        (vec![1, 3, 3], 0, 0),
        "commitIndex is volatile"
    );
    solo.pass(ms(10));
    solo.receive(2, 4, append((3, 3), &[4], 2));
    assert_eq!(solo.committed, [1, 2]);
}

#[test]
fn an_empty_command_is_a_command() {
    let mut solo = Solo::leader(1, 0, &[]);
    assert!(matches!(solo.input(Input::Propose(Bytes::new())), Answer::Appended { .. }));
    assert!(solo.pass_events().iter().any(|event| matches!(event, Event::Committed { index: Index(2), .. })));
    solo.pass(Duration::from_millis(1));
}
