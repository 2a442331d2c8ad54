//! Snapshots: taken while writes go on, loaded at a start, sent to a follower that is far behind.

use jangada_node::effect::Input;
use jangada_node::event::{DiskEvent, Event};
use jangada_node::replica::ReplicaConfig;
use jangada_raft::event::Event as RaftEvent;

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

#[test]
fn a_snapshot_can_be_asked_for_at_any_time() {
    let mut world = World::new(3);
    let leader = world.agree();
    fill(&mut world, leader, "a", 50);
    let now = world.now;
    world.nodes.get_mut(&leader).expect("it runs").replica.handle(now, Input::TakeSnapshot);
    world.until("a snapshot", |world| taken(world, leader) == 1);
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
