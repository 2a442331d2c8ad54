//! Leadership on wish.

use core::time::Duration;

use jangada_raft::face::{Answer, Input, Refusal};
use jangada_raft::message::Rpc;
use jangada_raft::types::NodeId;

use crate::world::{Until, World, ms, refused};

#[test]
fn leadership_goes_to_whom_it_was_given_without_a_gap() {
    for seed in 0..20 {
        for lease_reads in [false, true] {
            let mut world = World::with(5, seed, |config| config.lease_reads = lease_reads);
            let old = world.elect();
            world.settle();
            let target = world.followers()[1];
            let (term, before) = (world.term(old), world.now);
            assert_eq!(world.input(old, Input::TransferTo(target)), Answer::Done);
            world.run_until(&Until("the target leads"), |world| {
                world.leads_in(target, jangada_raft::types::Term(term.0 + 1))
            });
            assert!(
                world.now.since(before) < ms(50),
                "no election timeout passes: {:?}",
                world.now.since(before)
            );
            world.write("by the new one");
            world.settle();
        }
    }
}

#[test]
fn a_target_that_is_behind_is_waited_for() {
    let mut world = World::new(3, 1);
    let old = world.elect();
    world.settle();
    let target = world.followers()[0];
    world.stall_disk(target);
    world.write("x");
    world.input(old, Input::TransferTo(target));
    world.run_for(ms(100));
    assert!(world.node(old).leads(), "the target does not hold entry x yet");
    assert_eq!(world.propose(old, "y"), refused(Refusal::Transferring));
    world.free_disk(target);
    world.run_until(&Until("the target leads"), |world| world.node(target).leads());
}

#[test]
fn a_target_that_is_dead_costs_an_election_timeout_and_nothing_more() {
    let mut world = World::new(3, 2);
    let old = world.elect();
    world.settle();
    let (target, term) = (world.followers()[0], world.term(old));
    world.crash(target);
    world.input(old, Input::TransferTo(target));
    let before = world.now;
    world.run_until(&Until("the transfer is given up"), |world| {
        world.node(old).raft().transferring_to().is_none()
    });
    assert!(world.now.since(before) <= ms(550), "{:?}", world.now.since(before));
    assert!(world.leads_in(old, term));
    world.write("goes on");
}

#[test]
fn a_word_that_is_lost_is_said_again() {
    for seed in 0..10 {
        let mut world = World::new(3, seed);
        let old = world.elect();
        world.settle();
        let target = world.followers()[0];
        world.only(|message| message.rpc != Rpc::TimeoutNow);
        world.input(old, Input::TransferTo(target));
        world.run_for(ms(60));
        assert!(world.node(old).leads());
        world.heal();
        world.run_until(&Until("the target leads"), |world| world.node(target).leads());
    }
}

#[test]
fn a_word_that_comes_late_does_no_harm() {
    for seed in 0..10 {
        let mut world = World::new(3, seed);
        let old = world.elect();
        world.settle();
        let target = world.followers()[0];
        world.record = Some(Vec::new());
        world.input(old, Input::TransferTo(target));
        let word =
            world.record.take().expect("recorded").into_iter().find(|message| message.rpc == Rpc::TimeoutNow);
        world.run_until(&Until("the target leads"), |world| world.node(target).leads());
        let next = world.elect();
        let term = world.term(next);
        for number in 1..=3 {
            let mut word = word.clone().expect("it was said");
            word.to = NodeId(number);
            world.input(NodeId(number), Input::Receive(word));
        }
        world.run_while(Duration::from_secs(1), "nothing happens", |world| world.leads_in(next, term));
    }
}

#[test]
fn leadership_goes_round_and_round_under_load() {
    let mut world = World::new(3, 3);
    let mut written = 0;
    for round in 0..60 {
        let leader = world.elect();
        for number in 0..5 {
            if let Answer::Appended { .. } = world.propose(leader, &format!("{round}.{number}")) {
                written += 1;
            }
        }
        let target = world.followers()[round % 2];
        world.input(leader, Input::TransferTo(target));
        world.run_until(&Until("the target leads"), |world| world.node(target).leads());
    }
    world.settle();
    assert_eq!(world.commands(NodeId(1)).len(), written, "nothing that was taken is lost");
    assert_eq!(written, 300);
}
