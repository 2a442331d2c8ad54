//! The shortest stories: an election, a write, a crash.

use crate::cluster::{World, ms, n};
use jangada_raft::Answer;
use jangada_raft::event::RoleName;
use jangada_raft::types::Index;

#[test]
fn clusters_of_each_size_elect_and_commit() {
    for count in [1, 2, 3, 5, 7] {
        let mut world = World::new(count, 40 + count);
        let leader = world.elect();
        for command in 0..10_u8 {
            assert!(matches!(world.propose(leader, vec![command]), Answer::Appended { .. }));
        }
        world.run_until(ms(1_000), |world| world.committed.len() == 11 && world.is_in_step());
        assert!(world.nodes.values().all(|node| node.state.len() == 10));
    }
}

#[test]
fn a_new_leader_goes_on_after_a_crash() {
    let mut world = World::new(3, 1);
    let old = world.elect();
    world.propose(old, "one");
    world.run_until(ms(1_000), World::is_in_step);
    world.crash(old);
    let new = world.elect();
    assert_ne!(old, new);
    world.propose(new, "two");
    world.run_until(ms(1_000), World::is_in_step);
    world.start(old);
    world.run_until(ms(2_000), World::is_in_step);
    assert_eq!(world.nodes[&old].state, ["one", "two"]);
}

#[test]
fn reads_are_answered_by_leader_and_followers() {
    let mut world = World::new(3, 2);
    let leader = world.elect();
    world.propose(leader, "one");
    world.run_until(ms(1_000), World::is_in_step);
    let reads: Vec<_> = (1..=3).map(|id| (n(id), world.read(n(id)))).collect();
    world.run_until(ms(100), |world| {
        reads.iter().all(
            |(id, read)| matches!(world.nodes[id].reads.get(read), Some(Ok(index)) if *index >= Index(2)),
        )
    });
}

#[test]
fn a_leader_that_is_cut_off_steps_down() {
    let mut world = World::new(5, 3);
    let leader = world.elect();
    world.partition([leader.0]);
    let read = world.read(leader);
    world.run_until(ms(600), |world| world.raft(leader).role_name() != RoleName::Leader);
    assert!(matches!(world.nodes[&leader].reads.get(&read), Some(Err(_))));
    world.run_until(ms(2_000), |world| world.leader().is_some_and(|new| new != leader));
    world.heal();
    world.run_until(ms(2_000), World::is_in_step);
}
