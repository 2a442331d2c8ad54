//! A leader whose disk hangs: it hands over to somebody whose disk does not, and to nobody else.

use std::time::Duration;

use jangada_node::event::Event;
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::Term;

use crate::world::{World, set};

const FOR_EVER: Duration = Duration::from_secs(3_600);

/// When a leader that is elected now and whose disk hangs since then would hand over: ten election timeouts.
const PATIENCE_MS: u64 = 5_000;

fn term(world: &World, id: u64) -> Term {
    world.nodes[&id].replica.raft().term()
}

fn transfers(world: &World) -> usize {
    let begins = |event: &Event| matches!(event, Event::Raft(RaftEvent::TransferStarted { .. }));
    world.events.iter().filter(|(_, event)| begins(event)).count()
}

#[test]
fn it_hands_over_once_and_follows() {
    let mut world = World::new(3);
    let old = world.agree();
    let first_term = term(&world, old);
    world.set(old, "d", "7");
    world.slow_disk(old, FOR_EVER);
    world.set(old, "d", "8");
    let since = world.now;
    world.until("another leads", |world| world.leader().is_some_and(|leader| leader != old));
    let took = world.now.since(since);
    assert!((4_900..5_200).contains(&took.as_millis()), "{took:?}");
    assert!(world.nodes[&old].replica.disk_hangs_since().is_some_and(|hangs| hangs <= since));
    let new = world.agree();
    assert_eq!(world.get(old, "d").as_deref(), Some("8"), "it asks its leader, and has what was committed");
    for value in 0..40 {
        world.set(old, "d", &value.to_string());
        world.run_ms(500);
    }
    assert_eq!((world.agree(), term(&world, new), transfers(&world)), (new, Term(first_term.0 + 1), 1));
    world.slow_disk(old, Duration::ZERO);
    world.assert_equal_states();
    assert_eq!(world.nodes[&old].replica.disk_hangs_since(), None);
}

/// Lets a leader whose disk hangs, or does what `prepare` says, live for long, and demands that nobody takes its place.
fn stays(servers: u64, prepare: impl Fn(&mut World, u64)) -> (World, u64) {
    let mut world = World::new(servers);
    let leader = world.agree();
    let term_before = term(&world, leader);
    world.set(leader, "d", "7");
    prepare(&mut world, leader);
    world.run_ms(4 * PATIENCE_MS);
    assert_eq!((world.leader(), term(&world, leader), transfers(&world)), (Some(leader), term_before, 0));
    (world, leader)
}

#[test]
fn alone_it_stays() {
    let (world, leader) = stays(1, |world, leader| {
        world.slow_disk(leader, FOR_EVER);
        world.write(leader, &[set("d", "8")]);
    });
    assert!(world.nodes[&leader].replica.disk_hangs_since().is_some(), "but says so");
}

#[test]
fn where_its_disk_is_needed_it_stays_and_answers_reads() {
    let (mut world, leader) = stays(3, |world, leader| {
        world.slow_disk(leader, FOR_EVER);
        world.crash(if leader == 1 { 2 } else { 1 });
        world.write(leader, &[set("d", "8")]);
    });
    assert_eq!(world.get(leader, "d").as_deref(), Some("7"));
}

#[test]
fn where_nobody_could_be_elected_without_its_vote_it_stays_and_answers_reads() {
    let (mut world, leader) = stays(3, |world, leader| {
        world.slow_disk(leader, FOR_EVER);
        world.set(leader, "d", "8");
        world.crash(if leader == 1 { 2 } else { 1 });
    });
    assert_eq!(world.get(leader, "d").as_deref(), Some("8"));
}

#[test]
fn where_all_disks_are_slow_it_stays() {
    let (world, leader) = stays(3, |world, leader| {
        for id in 1..=3 {
            // The others commit when its own disk is still busy, and has been for long enough.
            world.slow_disk(id, Duration::from_millis(if id == leader { 6_200 } else { 5_900 }));
        }
        world.write(leader, &[set("d", "8")]);
    });
    assert_eq!(
        world.nodes[&leader].replica.raft().commit_index(),
        world.nodes[&leader].replica.raft().last_index()
    );
}

#[test]
fn where_the_others_have_become_slow_too_it_stays() {
    stays(3, |world, leader| {
        world.slow_disk(leader, FOR_EVER);
        world.set(leader, "d", "8");
        for id in (1..=3).filter(|id| *id != leader) {
            world.slow_disk(id, Duration::from_secs(8));
        }
        world.write(leader, &[set("d", "9")]);
    });
}

#[test]
fn a_disk_that_is_slow_and_goes_on_is_no_reason() {
    stays(3, |world, leader| {
        // What comes while it works waits for what comes then, too.
        world.slow_disk(leader, Duration::from_millis(2_400));
        for _ in 0..10 {
            world.set(leader, "d", "8");
            world.run_ms(1_000);
        }
    });
}
