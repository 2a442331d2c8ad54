//! Servers come and go, several at once, while the cluster works and while things go wrong.

use core::time::Duration;

use jangada_raft::config::Config;
use jangada_raft::event::{Event, MembershipStage};
use jangada_raft::face::{Answer, Input, Refusal};
use jangada_raft::message::Rpc;
use jangada_raft::types::{Index, Membership, NodeId};

use super::in_turn;
use crate::world::{Until, World, chance, ids, ms, refused};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

fn appended(answer: Answer) -> Index {
    match answer {
        Answer::Appended { index, .. } => index,
        other => panic!("it was taken: {other:?}"),
    }
}

/// n1 leads a settled cluster of so many; `blank` more servers are there and know nothing.
fn led_by_n1(count: u64, blank: u64, seed: u64, tweak: impl Fn(&mut Config)) -> World {
    let mut world = World::with(count, seed, tweak);
    world.elect_node(N1);
    for number in 0..20 {
        world.write(&format!("{number}"));
    }
    world.settle();
    for number in count + 1..=count + blank {
        world.add_blank(number);
    }
    world
}

#[test]
fn from_three_to_seven_in_one_change() {
    let mut world = led_by_n1(3, 4, 1, |_| {});
    appended(world.change(N1, 1..=7));
    world.run_until_members(1..=7);
    world.settle();
    assert_eq!(world.commands(NodeId(7)).len(), 20);
    // The new ones count: three of the old may go.
    for id in [N1, N2, N3] {
        world.crash(id);
    }
    world.write("by the new ones");
}

#[test]
fn from_five_to_two_in_one_change() {
    let mut world = led_by_n1(5, 0, 2, |_| {});
    appended(world.change(N1, [1, 2]));
    world.run_until_members([1, 2]);
    for id in [N3, NodeId(4), NodeId(5)] {
        world.crash(id);
    }
    world.write("two of two");
}

#[test]
fn every_server_is_replaced_in_one_change() {
    let mut world = led_by_n1(3, 3, 3, |_| {});
    appended(world.change(N1, 4..=6));
    world.run_until(&Until("one of the new ones leads"), |world| world.leader().is_some_and(|id| id.0 > 3));
    world.run_until_members(4..=6);
    for id in [N1, N2, N3] {
        world.crash(id);
    }
    world.write("without the old ones");
    world.settle();
    assert_eq!(world.commands(NodeId(4)).len(), 21);
}

#[test]
fn one_becomes_three_and_three_become_one() {
    let mut world = led_by_n1(1, 2, 4, |_| {});
    appended(world.change(N1, 1..=3));
    world.run_until_members(1..=3);
    let leader = world.elect();
    appended(world.change(leader, [2]));
    world.run_until_members([2]);
    for id in [N1, N3] {
        world.crash(id);
    }
    world.write("alone");
}

#[test]
fn the_leader_is_removed_and_another_one_follows_soon() {
    for seed in 0..10 {
        let mut world = led_by_n1(4, 0, seed, |_| {});
        appended(world.change(N1, 2..=4));
        world.run_until(&Until("it steps down"), |world| !world.node(N1).leads());
        let before = world.now;
        world.run_until_members(2..=4);
        world.elect();
        assert!(world.now.since(before) < ms(700), "seed {seed}: {:?}", world.now.since(before));
        world.write("without n1");
    }
}

#[test]
fn new_servers_do_not_hold_up_the_old_ones_while_they_catch_up() {
    let mut world = led_by_n1(3, 2, 5, |_| {});
    for id in [NodeId(4), NodeId(5)] {
        world.stall_disk(id);
    }
    appended(world.change(N1, 1..=5));
    for number in 0..20 {
        world.write(&format!("meanwhile {number}"));
    }
    assert_eq!(world.node(N1).raft().membership().voters, ids(1..=3), "they have no votes yet");
    for id in [NodeId(4), NodeId(5)] {
        world.free_disk(id);
    }
    world.run_until_members(1..=5);
}

#[test]
fn a_change_with_a_server_that_is_not_there_harms_nobody_and_can_be_taken_back() {
    let mut world = led_by_n1(3, 1, 6, |_| {});
    world.crash(NodeId(4));
    let term = world.term(N1);
    appended(world.change(N1, 1..=4));
    world.run_while(Duration::from_secs(3), "n1 leads on", |world| world.leads_in(N1, term));
    world.write("meanwhile");
    assert_eq!(world.node(N1).raft().membership().stage(), MembershipStage::CatchUp);
    assert_eq!(world.change(N1, 1..=5), refused(Refusal::ChangePending), "one at a time");
    appended(world.change(N1, 1..=3));
    world.run_until_members(1..=3);
}

/// Somebody removes a server that works while another one does not: {1, 3} cannot decide without n3.
#[test]
fn a_change_to_voters_that_are_not_there_stops_nobody_and_can_be_taken_back() {
    let mut world = led_by_n1(3, 0, 6, |_| {});
    world.crash(NodeId(3));
    let term = world.term(N1);
    world.run_while(Duration::from_secs(1), "n1 leads on", |world| world.leads_in(N1, term));
    appended(world.change(N1, [1, 3]));
    world.run_while(Duration::from_secs(3), "n1 leads on", |world| world.leads_in(N1, term));
    world.write("meanwhile");
    assert_eq!(world.node(N1).raft().membership().stage(), MembershipStage::CatchUp);
    appended(world.change(N1, 1..=3));
    world.write("as before");
    appended(world.change(N1, [1, 3]));
    world.restart(NodeId(3));
    world.run_until_members([1, 3]);
}

/// A leader that was just elected has heard nobody yet, and does not take them to be there for that.
#[test]
fn a_new_leader_waits_too_for_voters_that_are_not_there() {
    let mut world = led_by_n1(5, 0, 6, |_| {});
    for id in [NodeId(4), NodeId(5)] {
        world.crash(id);
    }
    let term = world.term(N1);
    world.run_while(Duration::from_secs(1), "n1 leads on", |world| world.leads_in(N1, term));
    appended(world.change(N1, [1, 4, 5]));
    world.write("in the log of all");
    world.input(N1, Input::TransferTo(N2));
    world.run_until(&Until("n2 leads"), |world| world.leader() == Some(N2));
    let term = world.term(N2);
    world.run_while(Duration::from_secs(3), "n2 leads on", |world| world.leads_in(N2, term));
    world.write("meanwhile");
    assert_eq!(world.node(N2).raft().membership().stage(), MembershipStage::CatchUp);
}

#[test]
fn a_new_server_far_behind_gets_the_snapshot_and_then_its_vote() {
    let mut world = led_by_n1(3, 1, 7, |config| {
        config.keep_bytes_behind_snapshot = 1;
        config.snapshot_chunk_bytes = 32;
    });
    world.take_snapshot(N1);
    world.run_for(ms(20));
    appended(world.change(N1, 1..=4));
    world.run_until_members(1..=4);
    assert!(world.checker.coverage.installs >= 1);
    world.settle();
}

/// The leader dies at each moment of a change: the next one ends what it finds, one way or the other.
#[test]
fn a_change_survives_its_leader_at_every_moment() {
    let mut ended_in_the_new = 0;
    for moment in 0..120 {
        let mut world = led_by_n1(3, 3, 8 + moment, |_| {});
        world.network.lose = 300;
        appended(world.change(N1, [2, 3, 4, 5, 6]));
        for _ in 0..moment * 2 {
            world.step();
        }
        world.crash(N1);
        world.network.lose = 0;
        world.run_until(&Until("the others have ended the change"), |world| {
            world.leader().is_some_and(|id| {
                let raft = world.node(id).raft();
                raft.has_committed_own_term()
                    && raft.membership().stage() == MembershipStage::Final
                    && raft.commit_index() >= raft.membership_index()
            })
        });
        let leader = world.leader().expect("it leads");
        let members = world.node(leader).raft().membership().clone();
        let (old, new) = (Membership::of(ids(1..=3)), Membership::of(ids(2..=6)));
        assert!(members == old || members == new, "moment {moment}: {members:?}");
        ended_in_the_new += u64::from(members == new);
        world.write("after");
        world.restart(N1);
        world.write("with n1 back");
        let there: Vec<NodeId> = members.voters.iter().copied().collect();
        world.run_until(&Until("the members agree"), |world| {
            there.iter().all(|id| world.node(*id).machine.last_applied() == world.checker.committed())
        });
    }
    assert!(
        (20..120).contains(&ended_in_the_new),
        "some changes were over, some had not begun: {ended_in_the_new}"
    );
}

/// The trap of changes that use one majority only: the old servers elect one leader, the new ones another.
#[test]
fn old_and_new_majorities_never_decide_apart() {
    for moment in 0..60 {
        let mut world = led_by_n1(3, 2, 9, |_| {});
        appended(world.change(N1, [1, 4, 5]));
        for _ in 0..moment * 3 {
            world.step();
        }
        // n2 and n3 are a majority of the old, n4 and n5 (with n1) of the new.
        world.split([2, 3]);
        world.run_for(Duration::from_secs(2));
        let (mut apart, mut leaders) = (Vec::new(), 0);
        for node in world.nodes.values().filter(|node| node.leads()) {
            apart.push(node.commit_index());
            leaders += 1;
        }
        assert!(leaders <= 1, "moment {moment}: {}", world.summary());
        world.heal();
        world.write("after");
    }
}

#[test]
fn a_configuration_that_only_a_cut_off_leader_holds_is_rolled_back() {
    let mut world = led_by_n1(3, 2, 10, |_| {});
    world.isolate(N1);
    appended(world.change(N1, 1..=5));
    assert_eq!(world.node(N1).raft().membership().learners, ids([4, 5]), "in force there");
    world.run_until(&Until("another one leads"), |world| world.leader().is_some_and(|id| id != N1));
    world.write("elsewhere");
    world.heal();
    world.run_until(&Until("n1 agrees"), |world| {
        world.node(N1).machine.last_applied() == world.checker.committed()
    });
    assert_eq!(*world.node(N1).raft().membership(), Membership::of(ids(1..=3)));
}

#[test]
fn a_removed_server_that_comes_back_disturbs_nobody() {
    for seed in 0..10 {
        let mut world = led_by_n1(4, 0, seed, |_| {});
        let away = NodeId(4);
        world.crash(away);
        appended(world.change(N1, 1..=3));
        world.run_until_members(1..=3);
        let term = world.term(N1);
        world.restart(away);
        world.run_while(Duration::from_secs(5), "n1 leads", |world| world.leads_in(N1, term));
        for _ in 0..10 {
            world.input(away, Input::Campaign);
            world.run_for(ms(100));
        }
        assert!(world.leads_in(N1, term), "not even when it is told to campaign");
    }
}

#[test]
fn a_removed_server_disturbs_nobody_even_when_the_leader_dies() {
    for seed in 0..10 {
        let mut world = led_by_n1(5, 0, seed, |_| {});
        // n4 and n5 never learn of their removal.
        for id in [NodeId(4), NodeId(5)] {
            world.isolate(id);
        }
        appended(world.change(N1, 1..=3));
        world.run_until_members(1..=3);
        world.heal();
        world.crash(N1);
        world.run_until(&Until("n2 or n3 leads"), |world| {
            world.leader().is_some_and(|id| world.node(id).raft().has_committed_own_term())
        });
        let leader = world.leader().expect("it leads");
        assert!([N2, N3].contains(&leader));
        let term = world.term(leader);
        world.run_while(Duration::from_secs(5), "it leads on", |world| world.leads_in(leader, term));
    }
}

#[test]
fn a_server_that_was_removed_can_be_added_again() {
    let mut world = led_by_n1(3, 0, 11, |_| {});
    for round in 0..5 {
        let leader = world.elect();
        let others: Vec<u64> = (1..=3).filter(|number| *number != round % 3 + 1).collect();
        appended(world.change(leader, others.clone()));
        world.run_until_members(others);
        world.write(&format!("two {round}"));
        let leader = world.elect();
        appended(world.change(leader, 1..=3));
        world.run_until_members(1..=3);
    }
    world.settle();
}

#[test]
fn learners_follow_and_are_promoted_and_demoted() {
    let mut world = led_by_n1(3, 2, 12, |_| {});
    appended(world.change_to(N1, 1..=3, [4, 5]));
    world.settle();
    assert_eq!(world.commands(NodeId(4)).len(), 20);
    appended(world.change_to(N1, [1, 2, 4], [3, 5]));
    let expected = Membership { learners: ids([3, 5]), ..Membership::of(ids([1, 2, 4])) };
    world.run_until(&Until("n4 votes and n3 follows"), |world| {
        (1..=5).all(|number| *world.node(NodeId(number)).raft().committed_membership() == expected)
    });
    for id in [N3, NodeId(5)] {
        world.crash(id);
    }
    world.write("the learners are not needed");
    world.crash(NodeId(4));
    world.write("one voter may be missing");
    world.restart(N3);
    world.crash(N2);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.leader(), None, "a learner makes no majority");
}

#[test]
fn a_change_is_refused_before_the_leaders_first_commit() {
    let mut world = World::new(3, 13);
    let old = world.elect();
    world.settle();
    world.crash(old);
    world.only(|message| !matches!(message.rpc, Rpc::AppendEntriesReply(_)));
    world.run_until(&Until("somebody leads"), |world| world.leader().is_some());
    let leader = world.leader().expect("it leads");
    assert_eq!(world.change(leader, [2, 3]), refused(Refusal::TooEarly));
}

#[test]
fn changes_follow_each_other_while_everything_goes_wrong() {
    for seed in 0..8 {
        let mut world = led_by_n1(3, 4, seed, |config| config.caught_up_entries = 4);
        world.network.lose = 100;
        world.network.repeat = 100;
        let mut changes = 0;
        for round in 0..200 {
            world.run_for(ms(20));
            let id = NodeId(world.rng.next_u64() % 7 + 1);
            if chance(&mut world.rng, 30) && world.node(id).is_up() {
                world.crash(id);
                world.restart(id);
            }
            let Some(leader) = world.leader() else { continue };
            world.propose(leader, &format!("{round}"));
            let wish = world.rng.next_u64() % 127 + 1;
            let voters: Vec<u64> = in_turn(wish).collect();
            changes += u64::from(matches!(world.change(leader, voters), Answer::Appended { .. }));
        }
        assert!(changes > 5, "seed {seed}: {changes} changes");
        world.network.lose = 0;
        world.network.repeat = 0;
        world.write("the end");
    }
}

#[test]
fn the_stages_of_a_change_are_told() {
    let mut world = led_by_n1(3, 1, 14, |_| {});
    world.events = Some(Vec::new());
    appended(world.change(N1, 1..=4));
    world.run_until_members(1..=4);
    let stages: Vec<MembershipStage> = world
        .events_of(N1)
        .filter_map(|event| match event {
            Event::MembershipChanged { stage, .. } => Some(stage),
            _ => None,
        })
        .collect();
    assert_eq!(stages, [MembershipStage::CatchUp, MembershipStage::Joint, MembershipStage::Final]);
    assert!(world.events_of(N1).any(|event| matches!(event, Event::CaughtUp { peer: NodeId(4), .. })));
}
