//! Paper §6; Thesis §4: configurations in force when appended, joint consensus, catching up, removal.

use bytes::Bytes;
use jangada_raft::event::{Event, IgnoreReason, MembershipStage, RoleName};
use jangada_raft::face::{Answer, Input, MembershipChange, Recovered, Refusal};
use jangada_raft::incarnation::Incarnation;
use jangada_raft::message::Rpc;
use jangada_raft::types::{HardState, Membership, NodeId, SnapshotMeta, Target, Term};

use crate::solo::{
    Solo, accepted, append, append_of, appends, granted, membership_entry, verdict, vote, vote_requests,
};
use crate::world::{command, ids, ms};

fn change(solo: &mut Solo, voters: &[u64], learners: &[u64]) -> Answer {
    let change = MembershipChange {
        voters: ids(voters.iter().copied()),
        learners: ids(learners.iter().copied()),
        context: Bytes::new(),
    };
    solo.input(Input::ChangeMembership(change))
}

/// A leader of three that has committed its no-op.
fn ready_leader(count: u64) -> Solo {
    let mut solo = Solo::leader(count, 0, &[]);
    for peer in 2..=count {
        solo.receive(peer, 1, accepted(0, 1));
    }
    assert_eq!(solo.commit(), 1);
    solo
}

fn joint(outgoing: &[u64], voters: &[u64]) -> Membership {
    let outgoing = Some(ids(outgoing.iter().copied()));
    Membership { outgoing, ..Membership::of(ids(voters.iter().copied())) }
}

fn stage(solo: &Solo) -> MembershipStage {
    solo.raft.membership().stage()
}

/// n1 with a log of these configurations, all of term 1, of which `committed` are known to be committed.
fn follower_with(first: Membership, configurations: &[Membership], committed: u64) -> Solo {
    let snapshot = SnapshotMeta { membership: first.into(), ..SnapshotMeta::default() };
    let mut solo = Solo::restore(Recovered { snapshot, ..Recovered::default() }, |_| {});
    let entries = configurations.iter().zip(1..).map(|(it, index)| membership_entry(index, 1, it.clone()));
    solo.receive(2, 1, append_of((0, 0), entries.collect(), committed, 0));
    assert_eq!((solo.last_index(), solo.commit()), (configurations.len() as u64, committed));
    solo
}

// ---- In force when appended -------------------------------------------------------------------------------

#[test]
fn a_configuration_is_in_force_as_soon_as_it_is_in_the_log() {
    let mut solo = Solo::new(3);
    let five = Membership::of(ids([1, 2, 3, 4, 5]));
    solo.receive(2, 1, append_of((0, 0), vec![membership_entry(1, 1, five.clone())], 0, 0));
    assert_eq!((solo.commit(), solo.raft.membership()), (0, &five));
    let asked = vote_requests(&solo.time_out());
    assert_eq!(asked.len(), 4, "it asks for the votes of the new ones too");
    assert_eq!(*solo.raft.committed_membership(), Membership::of(ids([1, 2, 3])));
}

#[test]
fn a_truncated_configuration_never_was() {
    let mut solo = Solo::new(3);
    let configurations = [joint(&[1, 2, 3], &[1, 4, 5]), Membership::of(ids([1, 4, 5]))];
    let entries = configurations.iter().zip(1..).map(|(it, index)| membership_entry(index, 1, it.clone()));
    solo.receive(2, 1, append_of((0, 0), entries.collect(), 0, 0));
    assert_eq!(*solo.raft.membership(), configurations[1]);
    solo.receive(3, 2, append((1, 1), &[2], 0));
    assert_eq!(*solo.raft.membership(), configurations[0], "the one before it");
    solo.receive(3, 3, append((0, 0), &[3], 0));
    assert_eq!(*solo.raft.membership(), Membership::of(ids([1, 2, 3])), "and at last the first");
}

#[test]
fn a_restarted_server_uses_the_last_configuration_of_its_log() {
    let joint = joint(&[1, 2, 3], &[3, 4, 5]);
    let recovered = Recovered {
        hard_state: HardState { term: Term(2), voted_for: None },
        snapshot: SnapshotMeta {
            membership: Membership::of(ids([1, 2, 3])).into(),
            ..SnapshotMeta::default()
        },
        entries: vec![membership_entry(1, 1, joint.clone())],
    };
    assert_eq!(*Solo::restore(recovered, |_| {}).raft.membership(), joint);
}

// ---- Both majorities --------------------------------------------------------------------------------------

#[test]
fn in_a_joint_configuration_a_candidate_needs_both_majorities() {
    let log = [joint(&[1, 2, 3], &[1, 4, 5])];
    for (votes, wins) in [
        (vec![2, 3], false),
        (vec![4, 5], false),
        (vec![2, 4], true),
        (vec![3, 5], true),
        (vec![], false),
        (vec![2], false),
    ] {
        let mut solo = follower_with(Membership::of(ids([1, 2, 3])), &log, 0);
        solo.pass(ms(400));
        solo.time_out();
        assert_eq!((solo.role(), solo.term()), (RoleName::PreCandidate, 1));
        for voter in &votes {
            solo.receive(*voter, 1, granted(2, true));
        }
        assert_eq!(solo.role() == RoleName::Candidate, wins, "the pre-votes of {votes:?}");
        for voter in [2, 4] {
            solo.receive(voter, 1, granted(2, true));
        }
        assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 2));
        for voter in &votes {
            solo.receive(*voter, 2, granted(2, false));
        }
        assert_eq!(solo.role() == RoleName::Leader, wins, "the votes of {votes:?}");
    }
}

#[test]
fn in_a_joint_configuration_an_entry_needs_both_majorities() {
    let mut solo = ready_leader(3);
    // n4 and n5 are learners that have caught up.
    change(&mut solo, &[1, 2, 3], &[4, 5]);
    for peer in [2, 4, 5] {
        solo.receive(peer, 1, accepted(0, 2));
    }
    assert_eq!(solo.commit(), 2);
    change(&mut solo, &[1, 4, 5], &[]);
    assert_eq!(stage(&solo), MembershipStage::Joint);
    assert_eq!(*solo.raft.membership(), joint(&[1, 2, 3], &[1, 4, 5]));
    solo.receive(4, 1, accepted(0, 3));
    solo.receive(5, 1, accepted(0, 3));
    assert_eq!(solo.commit(), 2, "all of the new servers, one of the old ones");
    solo.receive(2, 1, accepted(0, 3));
    assert_eq!(solo.commit(), 3);
    assert_eq!(stage(&solo), MembershipStage::Final, "and then the leader ends the change by itself");
    assert_eq!(*solo.raft.membership(), Membership::of(ids([1, 4, 5])));
    solo.receive(2, 1, accepted(0, 4));
    solo.receive(3, 1, accepted(0, 4));
    assert_eq!(solo.commit(), 3, "the old servers have no say about the last entry");
    solo.receive(5, 1, accepted(0, 4));
    assert_eq!(solo.commit(), 4);
}

#[test]
fn the_old_majority_alone_commits_nothing_in_a_joint_configuration() {
    let mut solo = ready_leader(3);
    change(&mut solo, &[1, 2, 3], &[4, 5]);
    for peer in [2, 3, 4, 5] {
        solo.receive(peer, 1, accepted(0, 2));
    }
    change(&mut solo, &[1, 4, 5], &[]);
    solo.receive(2, 1, accepted(0, 3));
    solo.receive(3, 1, accepted(0, 3));
    assert_eq!(solo.commit(), 2);
    assert_eq!(stage(&solo), MembershipStage::Joint, "nor does the leader leave it");
}

#[test]
fn a_new_leader_leaves_the_joint_configuration_only_when_it_is_committed() {
    let mut solo = follower_with(Membership::of(ids([1, 2, 3])), &[joint(&[1, 2, 3], &[1, 4, 5])], 0);
    solo.pass(ms(400));
    solo.win();
    assert_eq!(stage(&solo), MembershipStage::Joint);
    assert_eq!(solo.last_index(), 2, "its no-op and nothing else");
    let term = solo.term();
    solo.receive(4, term, accepted(0, 2));
    solo.receive(5, term, accepted(0, 2));
    assert_eq!((stage(&solo), solo.last_index()), (MembershipStage::Joint, 2));
    solo.receive(3, term, accepted(0, 2));
    assert_eq!(
        (solo.commit(), stage(&solo)),
        (2, MembershipStage::Final),
        "it goes on where the last one fell"
    );
}

// ---- Catching up ------------------------------------------------------------------------------------------

#[test]
fn new_servers_catch_up_as_learners_before_their_votes_count() {
    let mut solo = ready_leader(3);
    assert!(matches!(change(&mut solo, &[1, 2, 3, 4, 5], &[]), Answer::Appended { .. }));
    let membership = solo.raft.membership().clone();
    assert_eq!((&membership.voters, &membership.learners), (&ids([1, 2, 3]), &ids([4, 5])));
    assert_eq!(membership.target, Some(Target { voters: ids([1, 2, 3, 4, 5]), learners: ids([]) }));
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!((solo.commit(), stage(&solo)), (2, MembershipStage::CatchUp));
    solo.receive(4, 1, accepted(0, 2));
    assert_eq!(stage(&solo), MembershipStage::CatchUp, "until all of them are there");
    solo.receive(5, 1, accepted(0, 2));
    assert_eq!(*solo.raft.membership(), joint(&[1, 2, 3], &[1, 2, 3, 4, 5]));
}

#[test]
fn a_server_that_never_answers_never_becomes_a_voter() {
    let mut solo = ready_leader(3);
    change(&mut solo, &[1, 2, 3, 4], &[]);
    for _ in 0..50 {
        let round = solo.round();
        let last = solo.last_index();
        solo.receive(2, 1, accepted(round, last));
    }
    assert_eq!((solo.role(), stage(&solo)), (RoleName::Leader, MembershipStage::CatchUp));
    solo.input(Input::Propose(command("x")));
    let last = solo.last_index();
    solo.receive(2, 1, accepted(0, last));
    assert_eq!(solo.commit(), last, "and the others go on without it");
}

#[test]
fn a_change_that_does_not_come_off_can_be_given_up() {
    let mut solo = ready_leader(3);
    change(&mut solo, &[1, 2, 3, 4], &[]);
    solo.receive(2, 1, accepted(0, 2));
    assert!(matches!(change(&mut solo, &[1, 2, 3], &[]), Answer::Appended { .. }));
    assert_eq!(*solo.raft.membership(), Membership::of(ids([1, 2, 3])));
}

#[test]
fn a_new_leader_carries_on_a_change_that_is_still_catching_up() {
    let pending = Membership {
        learners: ids([4]),
        target: Some(Target { voters: ids([1, 2, 3, 4]), learners: ids([]) }),
        ..Membership::of(ids([1, 2, 3]))
    };
    let mut solo = follower_with(Membership::of(ids([1, 2, 3])), &[pending], 1);
    solo.pass(ms(400));
    solo.win();
    let term = solo.term();
    solo.receive(4, term, accepted(0, 2));
    assert_eq!(stage(&solo), MembershipStage::CatchUp, "not before an entry of its own term is committed");
    solo.receive(2, term, accepted(0, 2));
    assert_eq!(*solo.raft.membership(), joint(&[1, 2, 3], &[1, 2, 3, 4]));
}

#[test]
fn a_change_of_learners_alone_is_one_entry() {
    let mut solo = ready_leader(3);
    change(&mut solo, &[1, 2, 3], &[7]);
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!((stage(&solo), solo.last_index()), (MembershipStage::Final, 2));
    let sent = appends(&solo.ring());
    assert!(sent.iter().any(|(to, _)| to.0 == 7), "it receives the log");
}

// ---- Refusals ---------------------------------------------------------------------------------------------

#[test]
fn no_change_begins_before_the_leader_has_committed_in_its_term() {
    let mut solo = Solo::leader(3, 1, &[1]);
    assert_eq!(change(&mut solo, &[1, 2, 3, 4], &[]), Answer::Refused(Refusal::TooEarly));
    solo.receive(2, 2, accepted(0, 1));
    assert_eq!(change(&mut solo, &[1, 2], &[]), Answer::Refused(Refusal::TooEarly));
    solo.receive(2, 2, accepted(0, 2));
    assert!(matches!(change(&mut solo, &[1, 2], &[]), Answer::Appended { .. }));
}

#[test]
fn no_second_change_begins_while_one_is_under_way() {
    let mut solo = ready_leader(5);
    assert!(matches!(change(&mut solo, &[1, 2, 3], &[]), Answer::Appended { .. }));
    assert_eq!(change(&mut solo, &[1, 2], &[]), Answer::Refused(Refusal::ChangePending), "joint");
    for peer in [2, 3, 4, 5] {
        solo.receive(peer, 1, accepted(0, 2));
    }
    assert_eq!(stage(&solo), MembershipStage::Final);
    assert_eq!(change(&mut solo, &[1, 2], &[]), Answer::Refused(Refusal::ChangePending), "not committed yet");
    solo.receive(2, 1, accepted(0, 3));
    assert!(matches!(change(&mut solo, &[1, 2], &[]), Answer::Appended { .. }));
    let mut solo = ready_leader(3);
    change(&mut solo, &[1, 2, 3, 4], &[]);
    assert_eq!(change(&mut solo, &[1, 2, 3, 5], &[]), Answer::Refused(Refusal::ChangePending), "catching up");
}

#[test]
fn a_change_that_makes_no_sense_is_refused() {
    let mut solo = ready_leader(3);
    assert_eq!(change(&mut solo, &[], &[]), Answer::Refused(Refusal::BadMembership));
    assert_eq!(change(&mut solo, &[], &[1, 2, 3]), Answer::Refused(Refusal::BadMembership));
    assert_eq!(change(&mut solo, &[1, 2], &[2]), Answer::Refused(Refusal::BadMembership));
    assert_eq!(change(&mut solo, &[1, 2, 3], &[]), Answer::Refused(Refusal::NoChange));
    assert_eq!(solo.last_index(), 1, "refused means: no effect");
    let mut follower = Solo::new(3);
    assert_eq!(change(&mut follower, &[1], &[]), Answer::Refused(Refusal::NotLeader { leader: None }));
    solo.input(Input::TransferTo(NodeId(2)));
    assert_eq!(change(&mut solo, &[1, 2], &[]), Answer::Refused(Refusal::Transferring));
}

// ---- Removal ----------------------------------------------------------------------------------------------

#[test]
fn a_leader_that_is_removed_leads_until_that_is_committed_and_does_not_count_itself() {
    let mut solo = ready_leader(3);
    change(&mut solo, &[2, 3], &[]);
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(solo.commit(), 1, "n1 and n2 of the old ones, but only n2 of the new ones");
    solo.receive(3, 1, accepted(0, 2));
    assert_eq!((solo.commit(), solo.last_index()), (2, 3));
    assert_eq!(*solo.raft.membership(), Membership::of(ids([2, 3])));
    solo.receive(2, 1, accepted(0, 3));
    assert_eq!((solo.role(), solo.commit()), (RoleName::Leader, 2), "it manages a cluster without itself");
    solo.receive(3, 1, accepted(0, 3));
    assert_eq!((solo.role(), solo.commit()), (RoleName::Follower, 3), "and steps down");
}

#[test]
fn a_server_that_is_no_voter_does_not_campaign() {
    let cases = [
        ("removed", Membership::of(ids([2, 3]))),
        ("learner", Membership { learners: ids([1]), ..Membership::of(ids([2, 3])) }),
        ("unknown", Membership::default()),
    ];
    for (what, membership) in cases {
        let snapshot = SnapshotMeta { membership: membership.into(), ..SnapshotMeta::default() };
        let mut solo = Solo::restore(Recovered { snapshot, ..Recovered::default() }, |_| {});
        solo.pass(ms(5_000));
        solo.input(Input::Campaign);
        assert_eq!((solo.role(), solo.term()), (RoleName::Follower, 0), "{what}");
        assert!(solo.sent.is_empty(), "{what}");
    }
}

#[test]
fn a_server_whose_removal_is_not_committed_may_still_be_needed() {
    // n1 alone may have the newest entries: if it did not campaign, nobody could ever lead.
    let mut solo = follower_with(
        Membership::of(ids([1, 2, 3])),
        &[joint(&[1, 2, 3], &[2, 3]), Membership::of(ids([2, 3]))],
        1,
    );
    solo.pass(ms(400));
    solo.win();
    assert_eq!(solo.role(), RoleName::Leader);
    solo.receive(2, solo.term(), accepted(0, 3));
    assert_eq!(solo.commit(), 1, "it does not count itself");
    solo.receive(3, solo.term(), accepted(0, 3));
    assert_eq!(solo.role(), RoleName::Follower);
}

#[test]
fn a_learner_that_was_promoted_without_knowing_it_gives_its_vote() {
    let membership = Membership { learners: ids([1]), ..Membership::of(ids([2, 3])) };
    let snapshot = SnapshotMeta { membership: membership.into(), ..SnapshotMeta::default() };
    let mut solo = Solo::restore(Recovered { snapshot, ..Recovered::default() }, |_| {});
    assert!(verdict(&solo.receive(2, 3, vote(5, 2))));
    let mut blank = Solo::restore(Recovered::default(), |_| {});
    assert!(verdict(&blank.receive(2, 3, vote(5, 2))), "a server that knows no members yet too");
}

#[test]
fn a_server_without_members_hears_its_first_leader() {
    let mut blank = Solo::restore(Recovered::default(), |_| {});
    let members = Membership { learners: ids([1]), ..Membership::of(ids([2, 3])) };
    let sent = blank.receive(2, 4, append_of((0, 0), vec![membership_entry(1, 4, members.clone())], 1, 0));
    assert_eq!(sent.len(), 1);
    assert_eq!((blank.raft.membership(), blank.commit()), (&members, 1));
}

#[test]
fn a_removed_server_is_told_of_its_removal() {
    let mut solo = ready_leader(3);
    change(&mut solo, &[1, 2], &[]);
    solo.receive(2, 1, accepted(0, 2));
    assert_eq!(*solo.raft.membership(), Membership::of(ids([1, 2])));
    solo.receive(3, 1, accepted(0, 2));
    let told = |solo: &Solo| {
        solo.sent.iter().any(|message| {
            let Rpc::AppendEntries(append) = &message.rpc else { return false };
            message.to == NodeId(3) && append.entries.iter().any(|entry| entry.index.0 == 3)
        })
    };
    assert!(told(&solo), "so that it need not campaign to find out");
}

#[test]
fn a_server_that_comes_back_is_met_as_a_stranger() {
    let mut solo = ready_leader(3);
    change(&mut solo, &[1, 2], &[]);
    solo.receive(2, 1, accepted(0, 2));
    solo.receive(2, 1, accepted(0, 3));
    assert_eq!(solo.commit(), 3);
    solo.receive(3, 1, accepted(0, 3));
    change(&mut solo, &[1, 2, 3], &[]);
    assert_eq!(solo.match_index(3), 0, "what it held in its earlier life proves nothing");
}

// ---- Whose disk a configuration means ---------------------------------------------------------------------

/// A configuration whose context says which disk it means by n1.
fn by_disk(disk: u8, voters: &[u64]) -> Membership {
    let context = Bytes::copy_from_slice(&[disk]);
    Membership { context, ..Membership::of(ids(voters.iter().copied())) }
}

/// n1 on its second disk, with a log of these configurations, of term 1.
fn on_the_second_disk(configurations: &[Membership], committed: u64) -> Solo {
    let meant = |context: &Bytes, _| context.first().map(|disk| u64::from(*disk));
    let mut solo = Solo::restore(Recovered::default(), |config| {
        config.incarnation = Incarnation { number: 2, meant };
    });
    let entries = configurations.iter().zip(1..).map(|(it, index)| membership_entry(index, 1, it.clone()));
    solo.receive(2, 1, append_of((0, 0), entries.collect(), committed, 0));
    solo
}

#[test]
fn a_configuration_that_means_an_earlier_disk_gives_no_right_to_campaign() {
    let founder_alone = by_disk(1, &[1]);
    let mut solo = on_the_second_disk(std::slice::from_ref(&founder_alone), 1);
    solo.sent.clear();
    solo.pass(ms(10_000));
    solo.input(Input::Campaign);
    solo.receive(2, 1, Rpc::TimeoutNow);
    assert_eq!((solo.role(), solo.term(), solo.sent.len()), (RoleName::Follower, 1, 0));
    assert!(
        solo.pass_events()
            .iter()
            .any(|event| { matches!(event, Event::Ignored { why: IgnoreReason::CannotCampaign, .. }) })
    );
    // Once it was added again it is a voter like any other.
    let added_again = membership_entry(2, 1, by_disk(2, &[1, 2, 3]));
    solo.receive(2, 1, append_of((1, 1), vec![added_again], 1, 0));
    assert_eq!(vote_requests(&solo.time_out()).len(), 2);
}

#[test]
fn a_server_does_not_count_its_vote_where_another_disk_is_meant() {
    // It may campaign, as the configuration that means it may still hold; but by the one in force.
    let mut solo = on_the_second_disk(&[by_disk(2, &[1, 2, 3]), by_disk(3, &[1, 2, 3])], 0);
    solo.input(Input::Campaign);
    solo.receive(2, 1, granted(2, true));
    assert_eq!(solo.role(), RoleName::PreCandidate, "one of three");
    solo.receive(3, 1, granted(2, true));
    solo.receive(2, 2, granted(2, false));
    assert_eq!(solo.role(), RoleName::Candidate, "one of three");
    solo.receive(3, 2, granted(2, false));
    assert_eq!(solo.role(), RoleName::Leader);
}
