//! What is cut off, and who still needs it: snapshots on their way, broken off, overtaken, refused.

use jangada_raft::config::Config;
use jangada_raft::message::Rpc;
use jangada_raft::types::{Index, NodeId};

use crate::world::{Until, World, ms};

const N1: NodeId = NodeId(1);

/// Small chunks, and nothing kept behind a snapshot.
fn small(config: &mut Config) {
    config.snapshot_chunk_bytes = 40;
    config.snapshot_window_chunks = 3;
    config.keep_bytes_behind_snapshot = 1;
    config.keep_bytes_during_transfer = 100_000;
}

/// A cluster in which one follower was cut off while 60 entries were written and cut off by a snapshot.
fn one_behind(seed: u64) -> (World, NodeId, NodeId) {
    let mut world = World::with(3, seed, small);
    let leader = world.elect();
    world.settle();
    let late = world.followers()[0];
    world.isolate(late);
    for number in 0..60 {
        world.write(&format!("{number}"));
    }
    world.take_snapshot(leader);
    world.run_for(ms(50));
    assert!(world.node(leader).raft().first_index() > Index(50));
    (world, leader, late)
}

#[test]
fn a_follower_behind_the_log_gets_the_snapshot_and_what_follows() {
    let (mut world, _, late) = one_behind(1);
    world.heal();
    world.write("behind the snapshot");
    world.settle();
    assert_eq!(world.checker.coverage.installs, 1);
    assert_eq!(world.node(late).machine.last_applied(), world.checker.committed());
}

#[test]
fn others_commit_while_a_snapshot_is_on_its_way() {
    let (mut world, _, late) = one_behind(2);
    world.heal();
    world.only(move |message| !(message.to == late && matches!(message.rpc, Rpc::InstallSnapshot(_))));
    let before = world.now;
    for number in 0..20 {
        world.write(&format!("meanwhile {number}"));
    }
    assert!(world.now.since(before) < ms(500));
}

#[test]
fn a_transfer_that_loses_chunks_comes_to_its_end() {
    for seed in 0..30 {
        let (mut world, _, _) = one_behind(seed);
        world.heal();
        world.network.lose = 300;
        world.network.repeat = 300;
        world.network.straggle = 100;
        world.settle();
        assert!(world.checker.coverage.installs >= 1);
    }
}

#[test]
fn a_transfer_that_is_cut_does_not_begin_anew() {
    let (mut world, _, late) = one_behind(3);
    world.record = Some(Vec::new());
    world.heal();
    // One chunk after the other gets through, then a cut.
    let received = |world: &World| {
        let chunks = world.record.as_ref().expect("recorded").iter().filter(|message| {
            message.from == late
                && matches!(&message.rpc, Rpc::InstallSnapshotReply(reply) if reply.next_offset >= 200)
        });
        chunks.count()
    };
    world.run_until(&Until("half of it is there"), |world| received(world) > 0);
    world.isolate(late);
    world.run_for(ms(150));
    world.heal();
    world.record = Some(Vec::new());
    world.settle();
    let sent = world.record.take().expect("recorded");
    let from_the_beginning = sent.iter().any(|message| {
        matches!(&message.rpc, Rpc::InstallSnapshot(chunk) if chunk.offset < 100 && message.to == late)
    });
    assert!(!from_the_beginning, "it goes on where it was");
}

#[test]
fn a_receiver_that_crashes_in_the_middle_begins_anew_and_ends() {
    for seed in 0..20 {
        let (mut world, _, late) = one_behind(seed);
        world.heal();
        for _ in 0..3 {
            let wait = world.rng.next_u64() % 30;
            world.run_for(ms(wait));
            world.crash(late);
            world.restart(late);
        }
        world.settle();
    }
}

#[test]
fn a_sender_that_crashes_in_the_middle_is_replaced_by_the_next_leader() {
    for seed in 0..20 {
        let (mut world, leader, _) = one_behind(seed);
        for follower in world.followers() {
            world.take_snapshot(follower);
        }
        world.heal();
        let wait = world.rng.next_u64() % 30;
        world.run_for(ms(wait));
        world.crash(leader);
        world.write("by the next one");
        world.restart(leader);
        world.settle();
    }
}

#[test]
fn a_newer_snapshot_in_the_middle_of_a_transfer_does_no_harm() {
    for seed in 0..20 {
        let (mut world, leader, _) = one_behind(seed);
        world.heal();
        for number in 0..5 {
            let wait = world.rng.next_u64() % 12;
            world.run_for(ms(wait));
            world.write(&format!("newer {number}"));
            world.take_snapshot(leader);
        }
        world.settle();
        assert!(world.checker.coverage.installs >= 1);
    }
}

#[test]
fn a_busy_leader_that_takes_snapshots_all_the_time_still_gets_one_across() {
    let (mut world, leader, late) = one_behind(4);
    world.heal();
    let goal = world.checker.committed();
    for number in 0..400 {
        world.propose(leader, &format!("busy {number}"));
        world.run_for(ms(3));
        if number % 5 == 0 {
            world.take_snapshot(leader);
        }
        if world.commit(late) > goal {
            return;
        }
    }
    panic!("it never catches up: {}", world.summary());
}

#[test]
fn a_stale_snapshot_that_arrives_late_changes_nothing() {
    let (mut world, _, late) = one_behind(5);
    world.record = Some(Vec::new());
    world.heal();
    world.settle();
    world.write("more");
    world.settle();
    let (commit, last) = (world.commit(late), world.node(late).raft().last_index());
    let chunks: Vec<_> = world
        .record
        .take()
        .expect("recorded")
        .into_iter()
        .filter(|message| message.to == late && matches!(message.rpc, Rpc::InstallSnapshot(_)))
        .collect();
    assert!(chunks.len() > 5);
    let installs = world.checker.coverage.installs;
    for message in chunks {
        world.input(late, jangada_raft::Input::Receive(message));
    }
    assert_eq!((world.commit(late), world.node(late).raft().last_index()), (commit, last));
    assert_eq!(world.checker.coverage.installs, installs);
}

#[test]
fn everybody_may_cut_its_log_and_all_restart_from_their_snapshots() {
    let mut world = World::with(3, 6, small);
    for round in 0..5 {
        for number in 0..10 {
            world.write(&format!("{round}.{number}"));
        }
        world.settle();
        for number in 1..=3 {
            world.take_snapshot(NodeId(number));
        }
        world.run_for(ms(10));
        for number in 1..=3 {
            world.crash(NodeId(number));
        }
        for number in 1..=3 {
            world.restart(NodeId(number));
        }
    }
    world.write("the end");
    world.settle();
    assert!(world.node(N1).raft().first_index() > Index(40));
}

#[test]
fn a_follower_that_is_only_a_little_late_is_spared_the_snapshot() {
    let mut world = World::with(3, 7, |config| config.keep_bytes_behind_snapshot = 10_000);
    let leader = world.elect();
    world.settle();
    let late = world.followers()[0];
    world.isolate(late);
    for number in 0..60 {
        world.write(&format!("{number}"));
    }
    world.take_snapshot(leader);
    world.run_for(ms(50));
    world.heal();
    world.settle();
    assert_eq!(world.checker.coverage.installs, 0, "the entries are still there");
}

#[test]
fn a_crash_at_any_moment_of_an_installation_leaves_a_sound_disk() {
    for moment in 0..80 {
        let (mut world, _, late) = one_behind(8);
        // Entries of another leader, which the snapshot contradicts.
        world.node_mut(late).disk_delay = (ms(2), ms(6));
        world.heal();
        for _ in 0..moment * 4 {
            world.step();
        }
        world.crash(late);
        world.restart(late);
        world.settle();
    }
}
