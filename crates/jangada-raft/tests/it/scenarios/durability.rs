//! Crashes at bad moments: what was promised is kept, what was not may be gone.

use jangada_raft::face::{Answer, Input};
use jangada_raft::message::{AppendOutcome, Rpc};
use jangada_raft::types::{Index, NodeId, Term};

use crate::world::{Until, World, ms};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

fn has_granted(world: &World, by: NodeId, to: NodeId) -> bool {
    world.record.as_ref().expect("recorded").iter().any(|message| {
        let Rpc::RequestVoteReply(reply) = &message.rpc else { return false };
        (message.from, message.to) == (by, to) && reply.vote_granted && !reply.pre_vote
    })
}

fn has_acknowledged(world: &World, by: NodeId, index: Index) -> bool {
    world.record.as_ref().expect("recorded").iter().any(|message| {
        let Rpc::AppendEntriesReply(reply) = &message.rpc else { return false };
        message.from == by
            && matches!(reply.outcome, AppendOutcome::Accepted { match_index } if match_index >= index)
    })
}

#[test]
fn a_vote_that_a_crash_can_undo_is_never_heard_of() {
    let mut world = World::classic(3, 1);
    world.record = Some(Vec::new());
    world.stall_disk(N2);
    world.only(|message| message.to != N3);
    world.input(N1, Input::Campaign);
    world.run_for(ms(100));
    assert_eq!(world.term(N2), Term(1), "it has decided");
    assert!(!has_granted(&world, N2, N1), "and said nothing");
    world.crash_before_writing(N2);
    world.restart(N2);
    world.node_mut(N2).disk_stalls = false;
    assert_eq!(world.term(N2), Term(0), "it remembers nothing");
    // Free to vote for n3 in the same term, without harm: n1 never had its vote.
    world.heal();
    world.only(|message| message.from != N1 && message.to != N1);
    world.input(N3, Input::Campaign);
    world.run_until(&Until("n2 and n3 have a leader"), |world| world.leader().is_some());
    assert!(!world.node(N1).leads());
    world.heal();
    world.write("x");
    world.settle();
}

#[test]
fn a_follower_without_memory_gets_everything_again_in_the_classic_profile_alone() {
    for (mut world, is_classic) in [(World::classic(3, 9), true), (World::new(3, 9), false)] {
        world.write("a");
        world.write("b");
        world.settle();
        let (leader, follower) = (world.elect(), world.followers()[0]);
        let term = world.term(leader);
        world.crash(follower);
        world.node_mut(follower).lose_all();
        world.restart(follower);
        world.run_for(ms(400));
        assert!(world.leads_in(leader, term), "the others have noticed nothing");
        let has_all = world.commands(follower) == ["a", "b"];
        assert_eq!(has_all, is_classic, "else its refusals are taken for late messages");
    }
}

#[test]
fn a_vote_that_was_heard_of_is_remembered() {
    for seed in 0..20 {
        let mut world = World::classic(3, seed);
        world.record = Some(Vec::new());
        world.only(|message| message.to != N3);
        world.input(N1, Input::Campaign);
        world.run_until(&Until("n2 votes"), |world| has_granted(world, N2, N1));
        world.crash(N2);
        world.restart(N2);
        assert_eq!(world.term(N2), Term(1));
        assert_eq!(world.node(N2).raft().voted_for(), Some(N1));
    }
}

#[test]
fn an_acknowledgement_that_was_heard_of_is_kept() {
    for seed in 0..20 {
        let mut world = World::new(3, seed);
        world.record = Some(Vec::new());
        let leader = world.elect();
        world.settle();
        let follower = world.followers()[0];
        let Answer::Appended { index, .. } = world.propose(leader, "x") else { panic!("it leads") };
        world.run_until(&Until("it is acknowledged"), |world| has_acknowledged(world, follower, index));
        world.crash(follower);
        world.restart(follower);
        assert!(world.node(follower).raft().last_index() >= index);
    }
}

#[test]
fn entries_that_were_not_written_were_not_acknowledged() {
    let mut world = World::new(3, 2);
    let leader = world.elect();
    world.settle();
    let follower = world.followers()[0];
    world.record = Some(Vec::new());
    world.stall_disk(follower);
    let Answer::Appended { index, .. } = world.propose(leader, "x") else { panic!("it leads") };
    world.run_for(ms(200));
    assert_eq!(world.node(follower).raft().last_index(), index);
    assert!(!has_acknowledged(&world, follower, index));
    world.crash_before_writing(follower);
    world.node_mut(follower).disk_stalls = false;
    world.restart(follower);
    assert!(world.node(follower).raft().last_index() < index);
    world.settle();
}

#[test]
fn a_single_server_loses_only_what_it_never_called_committed() {
    let mut world = World::new(1, 3);
    world.elect();
    let kept = world.write("kept");
    world.stall_disk(N1);
    for _ in 0..3 {
        world.propose(N1, "lost");
    }
    world.run_for(ms(500));
    assert_eq!(world.checker.committed(), kept, "nothing is committed before it is on the disk");
    world.crash_before_writing(N1);
    world.node_mut(N1).disk_stalls = false;
    world.restart(N1);
    world.elect();
    assert_eq!(world.commands(N1), ["kept"]);
}

#[test]
fn a_leader_that_dies_before_its_own_disk_has_the_entry_loses_nothing_committed() {
    for seed in 0..10 {
        let mut world = World::new(3, seed);
        let leader = world.elect();
        world.settle();
        world.stall_disk(leader);
        world.write("on the others' disks");
        world.crash_before_writing(leader);
        world.node_mut(leader).disk_stalls = false;
        world.write("after");
        world.restart(leader);
        world.settle();
        assert_eq!(world.commands(leader), ["on the others' disks", "after"]);
    }
}

/// The ABA problem in a whole cluster: a slow disk reports an entry that has been replaced meanwhile.
#[test]
fn a_disk_that_is_a_leader_behind_confirms_nothing_for_the_present_one() {
    let mut world = World::classic(3, 4);
    world.elect_node(N1);
    world.settle();
    world.stall_disk(N3);
    // n1's entry reaches n3 alone, whose disk hangs.
    world.only(|message| message.to != N2 && message.from != N2);
    world.propose(N1, "of the first leader");
    world.run_until(&Until("n3 has it in memory"), |world| world.node(N3).writing.len() == 1);
    // n2 leads, and replaces it.
    world.crash(N1);
    world.heal();
    world.record = Some(Vec::new());
    world.stall_disk(N2);
    world.input(N2, Input::Campaign);
    world.run_until(&Until("n2 has something to write"), |world| !world.node(N2).writing.is_empty());
    // n3 has one more entry, so n2 cannot win before n3 has lost it: a crash of n3 decides.
    world.run_for(ms(50));
    assert!(!world.node(N2).leads(), "n3's log is longer");
    world.node_mut(N2).disk_stalls = false;
    world.free_disk(N2);
    world.write_one(N3);
    world.node_mut(N3).disk_stalls = false;
    world.free_disk(N3);
    world.restart(N1);
    world.write("after");
    world.settle();
}

#[test]
fn everybody_crashes_in_the_middle_of_many_writes_again_and_again() {
    for seed in 0..10 {
        let mut world = World::new(3, seed);
        for round in 0..6 {
            let leader = world.elect();
            for number in 0..20 {
                world.propose(leader, &format!("{round}.{number}"));
            }
            let wait = world.rng.next_u64() % 8;
            world.run_for(ms(wait));
            for id in [N1, N2, N3] {
                world.crash(id);
            }
            for id in [N1, N2, N3] {
                world.restart(id);
            }
        }
        world.write("the end");
        world.settle();
    }
}

#[test]
fn a_server_that_wakes_up_after_long_believes_nothing_of_the_past() {
    for seed in 0..10 {
        let mut world = World::new(3, seed);
        let sleeper = world.elect();
        let until = world.now + ms(5_000);
        world.node_mut(sleeper).paused_until = until;
        world.run_until(&Until("another one leads"), |world| {
            world.leader().is_some_and(|id| id != sleeper)
                && world.nodes.values().filter(|node| node.leads()).count() == 2
        });
        world.write_with(
            |world| {
                world
                    .nodes
                    .values()
                    .filter(|node| node.leads())
                    .map(|node| node.id())
                    .find(|id| *id != sleeper)
            },
            "new",
        );
        // It wakes, and a client asks it at once.
        world.run_until(&Until("it wakes"), |world| world.now >= until);
        let read = world.read(sleeper);
        world.run_until(&Until("the read is answered"), |world| world.answer(read).is_some());
        world.settle();
    }
}
