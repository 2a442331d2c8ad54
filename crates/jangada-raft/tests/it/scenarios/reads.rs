//! What a client may see: reads on leaders and followers, in clusters that fall apart. The world checks that
//! each answered read sees all that was committed anywhere when it was asked.

use core::time::Duration;

use jangada_raft::face::Refusal;
use jangada_raft::message::{Message, Rpc};
use jangada_raft::types::{NodeId, ReadId};

use crate::world::{Until, World, chance, ms};

fn answered(world: &mut World, read: ReadId) -> Result<u64, Refusal> {
    world.run_until(&Until("the read is answered"), |world| world.answer(read).is_some());
    world.answer(read).expect("it was answered").index.map(|index| index.0)
}

#[test]
fn everybody_answers_and_sees_the_last_write() {
    let mut world = World::new(3, 1);
    world.elect();
    for number in 0..10 {
        let index = world.write(&format!("{number}"));
        for id in [NodeId(1), NodeId(2), NodeId(3)] {
            let read = world.read(id);
            assert!(answered(&mut world, read).expect("there is a leader") >= index.0);
        }
    }
}

#[test]
fn a_leader_that_was_replaced_without_knowing_it_answers_nothing() {
    for check_quorum in [true, false] {
        let mut world = World::with(3, 2, |config| {
            config.check_quorum = check_quorum;
            config.pre_vote = check_quorum;
        });
        let old = world.elect();
        world.settle();
        world.isolate(old);
        let early = world.read(old);
        world.run_until(&Until("another one leads"), |world| world.leader().is_some_and(|id| id != old));
        world.write_with(|world| world.leader().filter(|id| *id != old), "new");
        let late = world.read(old);
        for read in [early, late] {
            assert!(answered(&mut world, read).is_err());
        }
    }
}

#[test]
fn a_new_leader_answers_only_after_a_commit_of_its_own() {
    for seed in 0..20 {
        let mut world = World::new(3, seed);
        let old = world.elect();
        // Committed on the old leader, not yet known as committed to the others.
        world.only(
            |message| !matches!(&message.rpc, Rpc::AppendEntries(append) if append.leader_commit.0 > 1),
        );
        world.propose(old, "x");
        world.run_until(&Until("it is committed"), |world| world.checker.committed().0 >= 2);
        world.crash(old);
        world.only(|message| !matches!(message.rpc, Rpc::AppendEntriesReply(_)));
        world.run_until(&Until("somebody leads"), |world| world.leader().is_some());
        let new = world.leader().expect("it leads");
        let read = world.read(new);
        world.run_for(ms(100));
        assert!(
            world.answer(read).is_none_or(|ready| ready.index.is_err()),
            "it does not know of entry 2 yet"
        );
        world.heal();
        world.elect();
    }
}

#[test]
fn many_reads_share_few_messages() {
    let mut world = World::new(3, 3);
    let leader = world.elect();
    world.settle();
    world.record = Some(Vec::new());
    let reads: Vec<ReadId> = (0..1_000).map(|_| world.read(leader)).collect();
    world.run_until(&Until("all are answered"), |world| {
        reads.iter().all(|read| world.answer(*read).is_some())
    });
    let sent = world.record.take().expect("recorded").len();
    assert!(sent <= 24, "two rounds, with a heartbeat in between perhaps: {sent}");
    let follower = world.followers()[0];
    world.record = Some(Vec::new());
    let reads: Vec<ReadId> = (0..1_000).map(|_| world.read(follower)).collect();
    world.run_until(&Until("all are answered"), |world| {
        reads.iter().all(|read| world.answer(*read).is_some())
    });
    let sent = world.record.take().expect("recorded").len();
    assert!(sent <= 40, "{sent}");
}

#[test]
fn answers_that_come_twice_and_late_confirm_nothing_new() {
    let mut world = World::new(3, 4);
    let leader = world.elect();
    world.settle();
    world.record = Some(Vec::new());
    let read = world.read(leader);
    assert!(answered(&mut world, read).is_ok());
    world.run_for(ms(200));
    let is_answer =
        |message: &Message| message.to == leader && matches!(message.rpc, Rpc::AppendEntriesReply(_));
    let old: Vec<Message> = world.record.take().expect("recorded").into_iter().filter(is_answer).collect();
    world.isolate(leader);
    let read = world.read(leader);
    for _ in 0..3 {
        for message in &old {
            if world.node(leader).leads() {
                world.input(leader, jangada_raft::Input::Receive(message.clone()));
            }
        }
    }
    assert!(world.answer(read).is_none(), "they were sent before the read came");
    assert!(answered(&mut world, read).is_err());
}

#[test]
fn reads_that_nobody_can_answer_are_refused_in_time() {
    let mut world = World::new(3, 5);
    let leader = world.elect();
    for follower in world.followers() {
        world.crash(follower);
    }
    let before = world.now;
    let read = world.read(leader);
    assert!(answered(&mut world, read).is_err());
    assert!(world.now.since(before) <= ms(1_100), "{:?}", world.now.since(before));
    world.run_for(Duration::from_secs(1));
    let read = world.read(leader);
    assert!(answered(&mut world, read).is_err(), "and at once when there is no leader");
}

#[test]
fn a_follower_that_lost_its_leader_refuses() {
    let mut world = World::new(3, 6);
    let leader = world.elect();
    world.settle();
    let follower = world.followers()[0];
    world.isolate(follower);
    let before = world.now;
    let read = world.read(follower);
    assert!(answered(&mut world, read).is_err());
    assert!(world.now.since(before) <= ms(600), "{:?}", world.now.since(before));
    assert!(world.node(leader).leads());
}

#[test]
fn reads_go_on_while_disks_hang() {
    let mut world = World::new(3, 7);
    let leader = world.elect();
    world.settle();
    for number in 1..=3 {
        world.stall_disk(NodeId(number));
    }
    world.propose(leader, "waits for a disk");
    let read = world.read(leader);
    let before = world.now;
    assert!(answered(&mut world, read).is_ok(), "leadership needs no disk");
    assert!(world.now.since(before) < ms(50));
}

/// Leases are safe as long as clocks run at the same pace: whoever promised a lease keeps its promise,
/// through crashes and restarts.
#[test]
fn leases_never_show_the_past() {
    let (mut reads, mut by_lease) = (0, 0);
    for seed in 0..40 {
        let mut world = World::with(3, seed, |config| config.lease_reads = true);
        for _ in 0..150 {
            world.run_for(ms(10));
            if let Some(leader) = world.leader() {
                world.propose(leader, "x");
            }
            for number in 1..=3 {
                if world.node(NodeId(number)).is_up() {
                    world.read(NodeId(number));
                }
            }
            let id = NodeId(world.rng.next_u64() % 3 + 1);
            if chance(&mut world.rng, 15) {
                world.crash(id);
                world.restart(id);
            } else if chance(&mut world.rng, 20) {
                world.isolate(id);
            } else if chance(&mut world.rng, 60) {
                world.heal();
            } else if chance(&mut world.rng, 10) {
                let pause = world.now + ms(700);
                world.node_mut(id).paused_until = pause;
            }
        }
        reads += world.checker.coverage.reads;
        by_lease += world.checker.coverage.lease_reads;
    }
    assert!(reads > 4_000 && by_lease > 1_000, "{reads} reads were answered, {by_lease} by a lease");
}
