//! Figure 3: the five properties that hold at all times, looked at from outside, in small storms.
//!
//! The world's checker asserts them at each step by its own books. Here they are computed anew from what
//! servers say and hold, so that the checker is checked as well.

use std::collections::BTreeMap;

use jangada_raft::event::{Event, RoleName};
use jangada_raft::types::{Index, NodeId, Term};

use crate::world::{World, chance, ms};

/// Five servers that are crashed, cut off and written to for a while; then they come to rest.
fn storm(seed: u64, look: &mut dyn FnMut(&World)) -> World {
    let mut world = World::with(5, seed, |config| {
        config.pre_vote = seed.is_multiple_of(2);
        config.check_quorum = seed.is_multiple_of(2);
    });
    world.events = Some(Vec::new());
    world.network.lose = 50;
    world.network.repeat = 100;
    for round in 0..600 {
        world.run_for(ms(5));
        if let Some(leader) = world.leader() {
            world.propose(leader, &format!("{round}"));
        }
        let id = NodeId(world.rng.next_u64() % 5 + 1);
        if chance(&mut world.rng, 15) && world.node(id).is_up() {
            world.crash(id);
        } else if chance(&mut world.rng, 30) && !world.node(id).is_up() {
            world.restart(id);
        }
        if chance(&mut world.rng, 10) {
            world.isolate(id);
        } else if chance(&mut world.rng, 20) {
            world.heal();
        }
        look(&world);
    }
    world.heal();
    world.network.lose = 0;
    let down: Vec<NodeId> = world.nodes.values().filter(|node| !node.is_up()).map(|node| node.id()).collect();
    for id in down {
        world.restart(id);
    }
    world.write("the end");
    world.settle();
    world
}

const SEEDS: core::ops::Range<u64> = 0..6;

#[test]
fn election_safety_at_most_one_leader_can_be_elected_in_a_term() {
    let mut elections = 0;
    for seed in SEEDS {
        let world = storm(seed, &mut |_| {});
        let mut leaders: BTreeMap<Term, NodeId> = BTreeMap::new();
        for (id, event) in world.events.as_ref().expect("recorded") {
            if let Event::RoleChanged { role: RoleName::Leader, term, .. } = event {
                assert_eq!(*leaders.entry(*term).or_insert(*id), *id, "seed {seed}, term {term}");
            }
        }
        elections += leaders.len();
    }
    assert!(elections > 12, "in all: {elections}");
}

#[test]
fn leader_append_only_a_leader_never_overwrites_or_deletes_its_entries() {
    for seed in SEEDS {
        let mut logs: BTreeMap<(NodeId, Term), Vec<u64>> = BTreeMap::new();
        storm(seed, &mut |world| {
            for node in world.nodes.values().filter(|node| node.leads()) {
                let log = world.log(node.id());
                let before = logs.insert((node.id(), node.term()), log.clone()).unwrap_or_default();
                assert!(log.starts_with(&before), "seed {seed}: {before:?} became {log:?}");
            }
        });
        assert!(!logs.is_empty());
    }
}

#[test]
fn log_matching_the_same_index_and_term_mean_the_same_log_up_to_there() {
    for seed in SEEDS {
        storm(seed, &mut |world| {
            let logs: Vec<_> = world.nodes.values().map(|node| &node.disk.entries).collect();
            for (position, one) in logs.iter().enumerate() {
                for other in &logs[position + 1..] {
                    let same = one.iter().zip(other.iter()).rposition(|(a, b)| a.term == b.term);
                    if let Some(last) = same {
                        assert!(one[..=last] == other[..=last], "seed {seed}");
                    }
                }
            }
        });
    }
}

#[test]
fn leader_completeness_what_is_committed_is_in_the_logs_of_all_later_leaders() {
    for seed in SEEDS {
        // What was committed, and in which term at the latest.
        let mut committed: BTreeMap<Index, (Term, Term)> = BTreeMap::new();
        storm(seed, &mut |world| {
            for node in world.nodes.values().filter(|node| node.is_up()) {
                for index in 1..=node.commit_index().0 {
                    let term = node.raft().term_at(Index(index)).expect("nothing is compacted here");
                    let known = committed.entry(Index(index)).or_insert((term, node.term()));
                    assert_eq!(known.0, term, "seed {seed}: one entry is committed at {index}");
                    known.1 = known.1.min(node.term());
                }
            }
            for leader in world.nodes.values().filter(|node| node.leads()) {
                for (index, (term, in_term)) in &committed {
                    if *in_term < leader.term() {
                        assert_eq!(leader.raft().term_at(*index), Some(*term), "seed {seed}");
                    }
                }
            }
        });
    }
}

#[test]
fn state_machine_safety_nobody_ever_applies_another_entry_at_an_index() {
    for seed in SEEDS {
        let mut longest: Vec<u64> = Vec::new();
        storm(seed, &mut |world| {
            for node in world.nodes.values() {
                let applied = node.machine.fingerprints();
                let common = applied.len().min(longest.len());
                assert_eq!(applied[..common], longest[..common], "seed {seed}");
                if applied.len() > longest.len() {
                    longest = applied.to_vec();
                }
            }
        });
        assert!(longest.len() > 50, "seed {seed}: much was applied");
    }
}
