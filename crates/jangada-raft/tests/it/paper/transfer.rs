//! Thesis §3.10: leadership transfer.

use jangada_raft::event::{Event, RoleName};
use jangada_raft::face::{Answer, Input, Recovered, Refusal};
use jangada_raft::message::{RequestVote, Rpc};
use jangada_raft::types::{Index, Membership, NodeId, SnapshotMeta, Term};

use crate::solo::{ME, Solo, accepted, append, append_of, membership_entry, verdict, vote_requests};
use crate::world::{command, ids, ms};

fn ready_leader() -> Solo {
    let mut solo = Solo::leader(3, 0, &[]);
    solo.receive(2, 1, accepted(0, 1));
    solo.receive(3, 1, accepted(0, 1));
    solo.sent.clear();
    solo
}

fn told(solo: &Solo) -> Vec<u64> {
    solo.sent.iter().filter(|message| message.rpc == Rpc::TimeoutNow).map(|message| message.to.0).collect()
}

fn transfer(solo: &mut Solo, to: u64) -> Answer {
    solo.input(Input::TransferTo(NodeId(to)))
}

#[test]
fn a_target_that_holds_the_whole_log_is_told_at_once() {
    let mut solo = ready_leader();
    assert_eq!(transfer(&mut solo, 2), Answer::Done);
    assert_eq!(told(&solo), [2]);
    assert_eq!(solo.raft.transferring_to(), Some(NodeId(2)));
}

#[test]
fn a_target_that_is_behind_is_brought_up_to_date_first() {
    let mut solo = ready_leader();
    solo.input(Input::Propose(command("x")));
    transfer(&mut solo, 2);
    assert!(told(&solo).is_empty());
    solo.receive(3, 1, accepted(0, 2));
    assert!(told(&solo).is_empty(), "another one's log is of no use");
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(told(&solo), [2]);
}

#[test]
fn no_command_is_taken_meanwhile() {
    let mut solo = ready_leader();
    transfer(&mut solo, 2);
    assert_eq!(solo.input(Input::Propose(command("x"))), Answer::Refused(Refusal::Transferring));
    assert_eq!(transfer(&mut solo, 3), Answer::Refused(Refusal::Transferring), "nor another transfer");
    assert_eq!(solo.last_index(), 1);
}

#[test]
fn a_transfer_that_comes_to_nothing_is_given_up_after_an_election_timeout() {
    let mut solo = ready_leader();
    transfer(&mut solo, 2);
    let deadline = solo.now + solo.raft.config().election_timeout_max;
    while solo.now < deadline {
        assert_eq!(solo.raft.transferring_to(), Some(NodeId(2)));
        let round = solo.round();
        solo.receive(2, 1, accepted(round, 1));
        solo.receive(3, 1, accepted(round, 1));
    }
    assert_eq!((solo.role(), solo.raft.transferring_to()), (RoleName::Leader, None));
    assert!(solo.pass_events().contains(&Event::TransferAborted { to: NodeId(2) }));
    assert!(told(&solo).len() > 1, "and was told again before: the first word may have been lost");
    assert!(matches!(solo.input(Input::Propose(command("x"))), Answer::Appended { .. }));
}

#[test]
fn only_another_voter_can_take_over() {
    let membership = Membership { learners: ids([4]), ..Membership::of(ids([1, 2, 3])) };
    let snapshot = SnapshotMeta { membership: membership.into(), ..SnapshotMeta::default() };
    let mut solo = Solo::restore(Recovered { snapshot, ..Recovered::default() }, |_| {});
    solo.win();
    for target in [1, 4, 9] {
        assert_eq!(transfer(&mut solo, target), Answer::Refused(Refusal::BadTarget), "n{target}");
    }
    let mut follower = Solo::new(3);
    assert_eq!(transfer(&mut follower, 2), Answer::Refused(Refusal::NotLeader { leader: None }));
}

#[test]
fn whoever_is_told_campaigns_at_once_without_a_pre_vote() {
    let mut solo = Solo::new(3);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    let sent = solo.receive(2, 1, Rpc::TimeoutNow);
    assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 2));
    let asked = vote_requests(&sent);
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|(_, ask)| !ask.pre_vote && ask.leadership_transfer));
}

#[test]
fn the_voters_do_not_protect_a_leader_that_wants_to_go() {
    let ask = Rpc::RequestVote(RequestVote {
        pre_vote: false,
        leadership_transfer: true,
        last_log_index: Index(1),
        last_log_term: Term(1),
    });
    let mut solo = Solo::new(3);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    assert!(verdict(&solo.receive(3, 2, ask.clone())));
    // The old leader gives its vote too.
    let mut leader = ready_leader();
    transfer(&mut leader, 3);
    assert!(verdict(&leader.receive(3, 2, ask)));
    assert_eq!((leader.role(), leader.raft.voted_for()), (RoleName::Follower, Some(NodeId(3))));
}

#[test]
fn the_flag_of_a_transfer_does_not_make_an_old_log_new() {
    let ask = Rpc::RequestVote(RequestVote {
        pre_vote: false,
        leadership_transfer: true,
        last_log_index: Index(0),
        last_log_term: Term(0),
    });
    let mut solo = Solo::with_log(3, 1, &[1]);
    assert!(!verdict(&solo.receive(3, 2, ask)));
}

#[test]
fn a_word_that_does_not_come_from_the_leader_is_ignored() {
    let mut solo = Solo::new(3);
    solo.receive(2, 1, append((0, 0), &[1], 1));
    solo.receive(3, 1, Rpc::TimeoutNow);
    assert_eq!((solo.role(), solo.term()), (RoleName::Follower, 1));
    solo.receive(2, 0, Rpc::TimeoutNow);
    assert_eq!((solo.role(), solo.term()), (RoleName::Follower, 1), "nor one of an earlier term");
}

#[test]
fn a_learner_that_is_told_does_not_campaign() {
    let mut solo = Solo::restore(Recovered::default(), |_| {});
    let members = Membership { learners: ids([1]), ..Membership::of(ids([2, 3])) };
    solo.receive(2, 1, append_of((0, 0), vec![membership_entry(1, 1, members)], 1, 0));
    solo.receive(2, 1, Rpc::TimeoutNow);
    assert_eq!((solo.role(), solo.term()), (RoleName::Follower, 1));
}

#[test]
fn a_transfer_ends_with_the_leadership() {
    let mut solo = ready_leader();
    transfer(&mut solo, 2);
    solo.receive(2, 2, append((1, 1), &[2], 1));
    assert_eq!(solo.role(), RoleName::Follower);
    solo.pass(ms(600));
    solo.win();
    assert_eq!(solo.raft.transferring_to(), None);
    assert!(
        matches!(solo.input(Input::Propose(command("x"))), Answer::Appended { .. }),
        "elected again, it serves"
    );
    assert_eq!(solo.raft.voted_for(), Some(ME));
}
