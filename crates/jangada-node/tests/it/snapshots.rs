//! Snapshots: taken while writes go on, loaded at a start, sent to a follower that is far behind.

use std::time::Duration;

use jangada_node::effect::Input;
use jangada_node::event::{DiskEvent, Event};
use jangada_node::replica::ReplicaConfig;
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::message::Rpc;
use jangada_raft::types::Index;

use crate::world::{World, set};

fn small() -> World {
    World::with(
        3,
        ReplicaConfig {
            snapshot_after_bytes: 64 << 10,
            snapshot_part_bytes: 4 << 10,
            ..ReplicaConfig::default()
        },
    )
}

fn fill(world: &mut World, at: u64, name: &str, count: usize) {
    for batch in 0..count / 10 {
        let requests: Vec<_> =
            (0..10).map(|i| set(&format!("{name}-{batch}-{i}"), &"v".repeat(200))).collect();
        let token = world.write(at, &requests);
        assert!(world.wait(token).iter().all(Result::is_ok));
    }
}

fn taken(world: &World, id: u64) -> usize {
    let written = |event: &&(u64, Event)| {
        event.0 == id && matches!(event.1, Event::Disk(DiskEvent::SnapshotWritten { .. }))
    };
    world.events.iter().filter(written).count()
}

#[test]
fn the_log_is_cut_behind_a_snapshot_and_a_restart_loads_it() {
    let mut world = small();
    let leader = world.agree();
    fill(&mut world, leader, "a", 1_000);
    assert!(taken(&world, leader) > 0);
    let raft = world.nodes[&leader].replica.raft();
    assert!(raft.snapshot_meta().last_included_index.0 > 0);
    assert!(raft.log_bytes() < 128 << 10);
    for id in 1..=3 {
        world.crash(id);
        world.start(id);
    }
    let leader = world.agree();
    assert_eq!(world.get(leader, "a-0-0").map(|value| value.len()), Some(200));
    assert_eq!(world.get(leader, "a-99-9").map(|value| value.len()), Some(200));
    world.assert_equal_states();
}

#[test]
fn a_follower_far_behind_is_caught_up_by_a_snapshot_while_writes_go_on() {
    let mut world = small();
    let leader = world.agree();
    let late = world.follower();
    fill(&mut world, leader, "a", 100);
    world.crash(late);
    fill(&mut world, leader, "b", 1_000);
    world.start(late);
    fill(&mut world, leader, "c", 300);
    world.assert_equal_states();
    let installed = |event: &(u64, Event)| {
        event.0 == late && matches!(event.1, Event::Raft(RaftEvent::SnapshotInstalled { .. }))
    };
    assert!(world.events.iter().any(installed));
    assert_eq!(world.get(late, "b-50-5").map(|value| value.len()), Some(200));
}

#[test]
fn a_follower_that_crashes_in_the_middle_of_a_snapshot_gets_it_again() {
    let mut world = small();
    let leader = world.agree();
    let late = world.follower();
    world.crash(late);
    fill(&mut world, leader, "b", 1_000);
    for pause in 5..25 {
        world.start(late);
        world.run_ms(pause);
        world.crash(late);
    }
    world.start(late);
    world.assert_equal_states();
}

/// Has a server take a snapshot.
pub(crate) fn snapshot(world: &mut World, id: u64) {
    let before = taken(world, id);
    let now = world.now;
    world.nodes.get_mut(&id).expect("it runs").replica.handle(now, Input::TakeSnapshot);
    world.until("a snapshot", |world| taken(world, id) > before);
}

/// A server whose disk was slow has a leader's snapshot on it, and that moment the next leader's arrives: it takes
/// the first one's place before the first one has been loaded.
#[test]
fn a_snapshot_that_another_replaces_before_it_is_loaded_is_no_loss() {
    let mut world = World::new(3);
    let first = world.agree();
    let late = world.follower();
    world.crash(late);
    // More than the log keeps behind a snapshot; and both snapshots are of one part.
    world.set(first, "d", &"7".repeat(1_500));
    snapshot(&mut world, first);
    world.start(late);
    world.slow_disk(late, Duration::from_secs(3_600));
    world.until("a snapshot is being installed", |world| {
        let raft = world.nodes[&late].replica.raft();
        raft.newest_snapshot_index() > raft.snapshot_meta().last_included_index
    });
    world.crash(first);
    world.start(first);
    let second = world.agree();
    world.set(second, "d", &"8".repeat(1_500));
    snapshot(&mut world, second);
    let is_newer = |world: &World, rpc: &Rpc| {
        let installing = world.nodes[&late].replica.raft().newest_snapshot_index();
        matches!(rpc, Rpc::InstallSnapshot(install) if install.done && install.meta.last_included_index > installing)
    };
    let newer = |world: &World| world.on_its_way(late, |rpc| is_newer(world, rpc));
    world.until("the newer one is on its way", |world| newer(world).is_some());
    let newer = newer(&world).expect("it was there just now");

    world.slow_disk(late, Duration::ZERO);
    world.until("the first is on the disk", |world| {
        world.nodes[&late].replica.raft().snapshot_meta().last_included_index > Index(0)
    });
    assert!(!world.nodes[&late].replica.is_restoring(), "and not yet asked for");
    world.arrives(late, newer);
    world.assert_equal_states();
    let loaded = |event: &&(u64, Event)| {
        event.0 == late && matches!(event.1, Event::Disk(DiskEvent::SnapshotLoaded { .. }))
    };
    assert_eq!(world.events.iter().filter(loaded).count(), 1, "the newer one only");
}

#[test]
fn a_snapshot_can_be_asked_for_at_any_time() {
    let mut world = World::new(3);
    let leader = world.agree();
    fill(&mut world, leader, "a", 50);
    snapshot(&mut world, leader);
    fill(&mut world, leader, "b", 50);
    world.assert_equal_states();
}

#[test]
fn what_the_log_keeps_for_late_followers_is_no_reason_for_another_snapshot() {
    // The world's servers keep 1 KiB of entries behind a snapshot: alone more than a snapshot waits for here.
    let mut world = World::with(1, ReplicaConfig { snapshot_after_bytes: 900, ..ReplicaConfig::default() });
    let leader = world.agree();
    for i in 0..40 {
        let token = world.write(leader, &[set(&format!("a-{i}"), &"v".repeat(200))]);
        assert!(world.wait(token)[0].is_ok());
    }
    let taken = taken(&world, leader);
    assert!((5..=20).contains(&taken), "{taken} snapshots for 40 entries, four of which make one due");
}

#[test]
fn a_log_that_is_full_refuses_writes_until_it_is_cut() {
    let config =
        ReplicaConfig { snapshot_after_bytes: 1 << 30, max_log_bytes: 8 << 10, ..ReplicaConfig::default() };
    let mut world = World::with(3, config);
    let leader = world.agree();
    fill(&mut world, leader, "a", 20);
    let full = (0..200).find_map(|i| {
        let token = world.write(leader, &[set(&format!("b-{i}"), &"v".repeat(200))]);
        let answer = world.wait(token);
        answer[0].is_err().then_some(answer)
    });
    assert_eq!(full, Some(vec![Err(jangada_node::effect::Failure::Busy)]));
    let now = world.now;
    world.nodes.get_mut(&leader).expect("it runs").replica.handle(now, Input::TakeSnapshot);
    world.until("the log is cut", |world| world.nodes[&leader].replica.raft().log_bytes() < 8 << 10);
    fill(&mut world, leader, "c", 10);
}
