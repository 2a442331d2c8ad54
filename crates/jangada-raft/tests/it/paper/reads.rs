//! Paper §8; Thesis §6.4: reads without entries in the log, on the leader and on followers; leases.

use jangada_raft::config::Config;
use jangada_raft::event::RoleName;
use jangada_raft::face::{Input, ReadReady, Refusal};
use jangada_raft::message::{Message, ReadIndex, ReadIndexReply, Rpc};
use jangada_raft::types::{Index, NodeId, ReadId};

use crate::solo::{Solo, accepted, append, append_in_round, appends, conflict, pre_vote, verdict, vote};
use crate::world::{command, ms};

fn read(solo: &mut Solo, id: u64) {
    solo.input(Input::Read(ReadId(id)));
}

/// The reads that were answered, each with its index; none may have been refused.
fn answered(solo: &mut Solo) -> Vec<(u64, u64)> {
    let ready = solo.reads.drain(..);
    ready.map(|read| (read.id.0, read.index.expect("it was not refused").0)).collect()
}

fn refused(solo: &mut Solo) -> Vec<u64> {
    let refused = |read: ReadReady| {
        assert!(read.index.is_err(), "{read:?}");
        read.id.0
    };
    solo.reads.drain(..).map(refused).collect()
}

/// The round that the last AppendEntries named.
fn last_round(solo: &Solo) -> u64 {
    appends(&solo.sent).last().expect("something was sent").1.round
}

/// A leader of so many servers whose no-op is committed.
fn ready_leader(count: u64, tweak: impl Fn(&mut Config)) -> Solo {
    let mut solo = Solo::leader_with(count, 0, &[], tweak);
    for peer in 2..=count {
        solo.receive(peer, 1, accepted(0, 1));
    }
    assert_eq!(solo.commit(), 1);
    solo
}

fn leases(config: &mut Config) {
    config.lease_reads = true;
}

// ---- ReadIndex on the leader ------------------------------------------------------------------------------

#[test]
fn a_read_is_answered_when_a_majority_has_heard_the_leader_since() {
    let mut solo = ready_leader(5, |_| {});
    let old = solo.round();
    solo.sent.clear();
    read(&mut solo, 1);
    let round = last_round(&solo);
    assert!(round > old, "a new round begins at once");
    let mut to: Vec<u64> = appends(&solo.sent).iter().map(|(to, _)| to.0).collect();
    to.dedup();
    assert_eq!(to, [2, 3, 4, 5], "everybody is asked");
    solo.receive(2, 1, accepted(round, 1));
    assert_eq!(answered(&mut solo), [], "two of five");
    solo.receive(2, 1, accepted(round, 1));
    assert_eq!(answered(&mut solo), []);
    solo.receive(3, 1, accepted(round, 1));
    assert_eq!(answered(&mut solo), [(1, 1)]);
}

#[test]
fn answers_to_earlier_rounds_prove_nothing() {
    let mut solo = ready_leader(3, |_| {});
    read(&mut solo, 1);
    let first = last_round(&solo);
    solo.receive(2, 1, accepted(first, 1));
    assert_eq!(answered(&mut solo), [(1, 1)]);
    read(&mut solo, 2);
    for _ in 0..5 {
        solo.receive(2, 1, accepted(first, 1));
        solo.receive(3, 1, accepted(first, 1));
        solo.receive(3, 1, accepted(0, 1));
    }
    assert_eq!(answered(&mut solo), [], "they were sent before the second read came");
    let round = last_round(&solo);
    solo.receive(3, 1, accepted(round, 1));
    assert_eq!(answered(&mut solo), [(2, 1)]);
}

#[test]
fn a_refusal_proves_leadership_as_well_as_an_acknowledgement() {
    let mut solo = ready_leader(3, |_| {});
    read(&mut solo, 1);
    let round = last_round(&solo);
    solo.receive(3, 1, conflict(round, 1, None, 1));
    assert_eq!(answered(&mut solo), [(1, 1)], "it says: you lead, and my log is short");
}

#[test]
fn an_answer_of_a_later_term_is_the_end_of_all_reads() {
    let mut solo = ready_leader(3, |_| {});
    read(&mut solo, 1);
    let round = last_round(&solo);
    solo.receive(2, 2, accepted(round, 1));
    assert_eq!(solo.role(), RoleName::Follower);
    assert_eq!(refused(&mut solo), [1]);
}

#[test]
fn one_round_serves_all_reads_that_came_before_it() {
    let mut solo = ready_leader(3, |_| {});
    read(&mut solo, 1);
    solo.sent.clear();
    for id in 2..=100 {
        read(&mut solo, id);
    }
    assert!(appends(&solo.sent).is_empty(), "they wait for the open round to end");
    let round = solo.round();
    solo.sent.clear();
    solo.receive(2, 1, accepted(round, 1));
    assert_eq!(answered(&mut solo), [(1, 1)], "the later ones came after the round had begun");
    let next = last_round(&solo);
    assert!(next > round);
    assert_eq!(appends(&solo.sent).len(), 2, "one message to each for the 99 others");
    solo.receive(2, 1, accepted(next, 1));
    assert_eq!(answered(&mut solo).len(), 99);
}

#[test]
fn a_read_sees_everything_that_was_committed_when_it_came() {
    let mut solo = ready_leader(3, |_| {});
    solo.input(Input::Propose(command("x")));
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(solo.commit(), 2);
    read(&mut solo, 1);
    let round = last_round(&solo);
    solo.receive(2, 1, accepted(round, 2));
    assert_eq!(answered(&mut solo), [(1, 2)]);
}

#[test]
fn no_read_is_answered_before_the_leader_has_committed_in_its_term() {
    let mut solo = Solo::leader(3, 1, &[1, 1]);
    read(&mut solo, 1);
    let round = solo.round();
    solo.receive(2, 2, accepted(round, 2));
    solo.receive(3, 2, accepted(round, 2));
    assert_eq!(answered(&mut solo), [], "it does not know yet what is committed");
    solo.receive(2, 2, accepted(round, 3));
    let round = last_round(&solo);
    solo.receive(2, 2, accepted(round, 3));
    assert_eq!(answered(&mut solo), [(1, 3)]);
}

#[test]
fn a_cluster_of_one_answers_by_itself() {
    let mut solo = Solo::leader(1, 0, &[]);
    read(&mut solo, 1);
    assert_eq!(answered(&mut solo), [(1, 1)]);
}

#[test]
fn a_leader_that_hears_nobody_refuses_its_reads_in_time() {
    for check_quorum in [true, false] {
        let mut solo = ready_leader(3, |config| config.check_quorum = check_quorum);
        read(&mut solo, 1);
        read(&mut solo, 2);
        solo.pass(solo.raft.config().election_timeout_max * 2);
        assert_eq!(refused(&mut solo), [1, 2], "check_quorum {check_quorum}");
    }
}

#[test]
fn the_number_of_waiting_reads_is_bounded() {
    let mut solo = ready_leader(3, |config| config.max_pending_reads = 4);
    for id in 1..=20 {
        read(&mut solo, id);
    }
    assert!(solo.reads.iter().all(|read| read.index == Err(Refusal::Busy)));
    assert!((15..=17).contains(&solo.reads.len()), "{}", solo.reads.len());
}

#[test]
fn a_stranger_proves_nothing() {
    let mut solo = ready_leader(3, |_| {});
    read(&mut solo, 1);
    let round = last_round(&solo);
    solo.receive(8, 1, accepted(round, 1));
    solo.receive(9, 1, accepted(round, 1));
    assert_eq!(answered(&mut solo), []);
}

#[test]
fn a_round_that_never_began_proves_nothing() {
    let mut solo = ready_leader(3, |_| {});
    read(&mut solo, 1);
    let round = last_round(&solo);
    solo.receive(2, 1, accepted(round + 1, 1));
    solo.receive(3, 1, accepted(u64::MAX, 1));
    read(&mut solo, 2);
    assert!(
        answered(&mut solo).iter().all(|(id, _)| *id == 1),
        "an answer from the future counts for no later read"
    );
}

// ---- On a follower ----------------------------------------------------------------------------------------

fn questions(messages: &[Message]) -> Vec<(NodeId, ReadIndex)> {
    let question = |message: &Message| match &message.rpc {
        Rpc::ReadIndex(question) => Some((message.to, question.clone())),
        _ => None,
    };
    messages.iter().filter_map(question).collect()
}

fn reply(context: ReadId, index: Option<u64>) -> Rpc {
    Rpc::ReadIndexReply(ReadIndexReply { context, read_index: index.map(Index) })
}

#[test]
fn a_follower_asks_its_leader_for_the_index() {
    let mut solo = Solo::new(3);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    solo.sent.clear();
    read(&mut solo, 1);
    let asked = questions(&solo.sent);
    assert_eq!((asked.len(), asked[0].0), (1, NodeId(2)));
    assert_eq!(answered(&mut solo), []);
    solo.receive(2, 1, reply(asked[0].1.context, Some(7)));
    assert_eq!(answered(&mut solo), [(1, 7)], "to be answered once entry 7 is applied");
}

#[test]
fn an_answer_to_another_question_answers_nothing() {
    let mut solo = Solo::new(3);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    read(&mut solo, 1);
    let first = questions(&solo.sent)[0].1.context;
    solo.receive(2, 1, reply(first, Some(1)));
    assert_eq!(answered(&mut solo), [(1, 1)]);
    solo.sent.clear();
    read(&mut solo, 2);
    let second = questions(&solo.sent)[0].1.context;
    assert_ne!(first, second);
    solo.receive(2, 1, reply(first, Some(1)));
    solo.receive(3, 1, reply(second, Some(1)));
    assert_eq!(answered(&mut solo), [], "neither a late answer nor one of another server");
    solo.receive(2, 1, reply(second, Some(4)));
    assert_eq!(answered(&mut solo), [(2, 4)]);
}

#[test]
fn a_read_that_comes_while_a_question_is_under_way_waits_for_the_next() {
    let mut solo = Solo::new(3);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    read(&mut solo, 1);
    read(&mut solo, 2);
    read(&mut solo, 3);
    let asked = questions(&solo.sent);
    assert_eq!(asked.len(), 1);
    solo.receive(2, 1, reply(asked[0].1.context, Some(1)));
    assert_eq!(answered(&mut solo), [(1, 1)], "the answer may be older than the later reads");
    let asked = questions(&solo.sent);
    assert_eq!(asked.len(), 2);
    solo.receive(2, 1, reply(asked[1].1.context, Some(5)));
    assert_eq!(answered(&mut solo), [(2, 5), (3, 5)]);
}

#[test]
fn a_question_that_was_lost_is_asked_again_and_in_the_end_given_up() {
    let mut solo = Solo::new(3);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    read(&mut solo, 1);
    for _ in 0..40 {
        solo.pass(ms(25));
        solo.receive(2, 1, append((1, 1), &[], 1));
    }
    assert!(questions(&solo.sent).len() > 1);
    assert_eq!(refused(&mut solo), [1]);
}

#[test]
fn reads_are_refused_when_there_is_no_leader_to_ask() {
    let mut solo = Solo::new(3);
    read(&mut solo, 1);
    assert_eq!(refused(&mut solo), [1]);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    read(&mut solo, 2);
    solo.receive(3, 2, append((0, 0), &[], 0));
    assert_eq!(refused(&mut solo), [2], "the leader that was asked is not the leader any more");
    read(&mut solo, 3);
    solo.time_out();
    assert_eq!(refused(&mut solo), [3]);
    read(&mut solo, 4);
    assert_eq!(refused(&mut solo), [4], "a candidate has no leader to ask");
}

#[test]
fn a_leader_answers_a_follower_when_its_round_is_confirmed() {
    let mut solo = ready_leader(3, |_| {});
    let context = ReadId(77);
    solo.sent.clear();
    solo.receive(3, 1, Rpc::ReadIndex(ReadIndex { context }));
    let answers = |solo: &Solo| {
        solo.sent
            .iter()
            .filter(|message| matches!(message.rpc, Rpc::ReadIndexReply(_)))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert!(answers(&solo).is_empty(), "not from its own belief");
    let round = last_round(&solo);
    solo.receive(2, 1, accepted(round, 1));
    let sent = answers(&solo);
    assert_eq!((sent.len(), sent[0].to), (1, NodeId(3)));
    assert_eq!(sent[0].rpc, reply(context, Some(1)));
}

#[test]
fn whoever_does_not_lead_says_so() {
    let mut solo = Solo::new(3);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    let sent = solo.receive(3, 1, Rpc::ReadIndex(ReadIndex { context: ReadId(5) }));
    assert_eq!(sent[0].rpc, reply(ReadId(5), None));
}

#[test]
fn a_follower_repeats_the_highest_round_it_has_heard() {
    let mut solo = Solo::new(3);
    solo.has_quick_disk = false;
    solo.receive(2, 1, append_in_round((0, 0), &[1], 0, 4));
    solo.receive(2, 1, append_in_round((1, 1), &[], 0, 6));
    let sent = solo.persist_all();
    let rounds: Vec<u64> = sent
        .iter()
        .filter_map(|message| match &message.rpc {
            Rpc::AppendEntriesReply(reply) => Some(reply.round),
            _ => None,
        })
        .collect();
    assert!(!rounds.is_empty() && rounds.iter().all(|round| *round <= 6), "{rounds:?}");
}

// ---- Leases -----------------------------------------------------------------------------------------------

/// Lets a round of heartbeats be answered by everybody.
fn confirm(solo: &mut Solo) {
    let round = solo.round();
    for peer in [2, 3] {
        solo.receive(peer, 1, accepted(round, 1));
    }
}

#[test]
fn a_lease_answers_without_a_message_until_it_ends() {
    let mut solo = ready_leader(3, leases);
    confirm(&mut solo);
    solo.sent.clear();
    read(&mut solo, 1);
    assert_eq!(answered(&mut solo), [(1, 1)]);
    assert!(solo.sent.is_empty());
    let lease = solo.raft.config().election_timeout_min;
    solo.pass(lease);
    read(&mut solo, 2);
    assert!(solo.reads.iter().all(|read| read.index.is_err()), "nobody has confirmed it for so long");
}

#[test]
fn a_lease_counts_from_the_sending_of_the_round() {
    let mut solo = ready_leader(3, leases);
    let round = solo.round();
    let lease = solo.raft.config().election_timeout_min;
    // The answers arrive just before the shortest election timeout since the round was sent has passed.
    solo.now = solo.now + (lease - ms(1));
    solo.receive(2, 1, accepted(round, 1));
    solo.receive(3, 1, accepted(round, 1));
    solo.now = solo.now + ms(2);
    read(&mut solo, 1);
    assert_eq!(answered(&mut solo), [], "counted from their arrival it would still be valid");
}

#[test]
fn a_transfer_ends_the_lease() {
    let mut solo = ready_leader(3, leases);
    confirm(&mut solo);
    solo.input(Input::TransferTo(NodeId(2)));
    read(&mut solo, 1);
    assert_eq!(answered(&mut solo), [], "the target may lead already");
    while solo.raft.transferring_to().is_some() {
        confirm(&mut solo);
    }
    confirm(&mut solo);
    solo.reads.clear();
    read(&mut solo, 2);
    assert_eq!(answered(&mut solo), [], "and the TimeoutNow may arrive at any later time");
}

#[test]
fn whoever_has_promised_a_lease_gives_no_vote_even_after_a_restart() {
    let mut solo = Solo::with(3, 1, &[1], leases);
    // As if it had just started: it may have promised something in its last life.
    let mut fresh = jangada_raft::Raft::restore(
        solo.now,
        solo.raft.config().clone(),
        jangada_raft::face::Recovered {
            hard_state: jangada_raft::types::HardState {
                term: jangada_raft::types::Term(1),
                voted_for: None,
            },
            snapshot: crate::solo::snapshot_meta(0, 0, 3),
            entries: crate::world::entries(&[1]),
        },
    );
    core::mem::swap(&mut solo.raft, &mut fresh);
    assert!(!verdict(&solo.receive(2, 5, pre_vote(9, 4))));
    assert!(!verdict(&solo.receive(2, 5, vote(9, 4))));
    solo.now = solo.now + solo.raft.config().election_timeout_max;
    assert!(verdict(&solo.receive(2, 5, vote(9, 4))), "in the end it does");
}
