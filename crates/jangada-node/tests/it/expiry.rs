//! Keys expire by the log alone: by the leader's decision, never early, and the same on every server.

use bytes::Bytes;
use jangada_kv::Request;
use jangada_kv::command::{Command, Expiry, Set};
use jangada_node::effect::Input;
use jangada_node::replica::ReplicaConfig;
use jangada_raft::types::{NodeId, Payload, Time};
use std::time::Duration;

use crate::snapshots::snapshot;
use crate::world::World;

fn set_for(key: &str, ms: u64) -> Request {
    let set = Set::new(Bytes::from(key.to_owned()), Bytes::from_static(b"v"));
    Request::Command(Command::Set(Set { expiry: Expiry::After(ms), ..set }))
}

fn keys(world: &World, id: u64) -> u64 {
    world.nodes[&id].replica.state().store.key_count()
}

#[test]
fn a_key_is_gone_from_all_servers_soon_after_its_time() {
    let mut world = World::new(3);
    let leader = world.agree();
    let token = world.write(leader, &[set_for("k", 1_000)]);
    let _ = world.wait(token);
    let written = world.now;
    world.run_ms(900);
    assert_eq!(world.get(leader, "k").as_deref(), Some("v"));
    world.until("gone everywhere", |world| world.nodes.keys().all(|id| keys(world, *id) == 0));
    let lived = world.now.since(written);
    assert!(lived >= Duration::from_millis(990) && lived < Duration::from_millis(1_200), "lived {lived:?}");
    world.assert_equal_states();
}

#[test]
fn a_change_of_leader_never_expires_a_key_early() {
    let mut world = World::new(3);
    let leader = world.agree();
    let token = world.write(leader, &[set_for("k", 3_000)]);
    let _ = world.wait(token);
    let written = world.now;
    // The leader changes twice; the second time its successor has only just come back from its disk.
    world.crash(leader);
    let second = world.agree();
    world.start(leader);
    world.agree();
    world.crash(second);
    world.until("gone everywhere", |world| world.nodes.keys().all(|id| keys(world, *id) == 0));
    let lived = world.now.since(written);
    assert!(lived >= Duration::from_millis(3_000), "lived only {lived:?}");
    // Each change may add the time that no leader wrote down; ticks bound it.
    assert!(lived < Duration::from_millis(6_000), "lived {lived:?}");
}

/// A server that has just started may lead before it has read its snapshot, and with it how late it is.
#[test]
fn a_leader_that_does_not_know_how_late_it_is_stamps_nothing() {
    let config = ReplicaConfig { snapshot_part_bytes: 1, ..ReplicaConfig::default() };
    let mut world = World::with(1, config);
    let leader = world.agree();
    world.run_ms(60_000);
    world.set(leader, "a", "1");
    snapshot(&mut world, leader);
    world.crash(leader);
    world.start(leader);
    let now = world.now;
    world.nodes.get_mut(&leader).expect("it runs").replica.handle(now, Input::Campaign);
    world.agree();
    assert!(world.nodes[&leader].replica.is_restoring());
    let token = world.write(leader, &[set_for("k", 1_000)]);
    assert!(world.wait(token)[0].is_ok());
    let raft = world.nodes[&leader].replica.raft();
    let entries = raft.entries(raft.snapshot_meta().last_included_index.next()..=raft.last_index());
    let commands = entries.filter_map(|entry| match &entry.payload {
        Payload::Command(command) => command.first_chunk().copied(),
        Payload::Noop | Payload::Membership(_) => None,
    });
    let stamps: Vec<u64> = commands.map(u64::from_le_bytes).collect();
    assert!(!stamps.is_empty() && stamps.iter().all(|stamp| *stamp >= 60_000), "{stamps:?}");
}

#[test]
fn a_leader_that_slept_does_not_let_others_expire_its_keys_early() {
    let mut world = World::new(3);
    let leader = world.agree();
    world.set(leader, "a", "1");
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let (awake, asleep) = (others[0], others[1]);
    world.run_ms(200);
    // One server's estimate of replicated time goes on for three seconds; another's begins again from the log.
    world.crash(leader);
    world.crash(asleep);
    world.run_ms(3_000);
    world.start(asleep);
    hand_over(&mut world, asleep);
    let token = world.write(asleep, &[set_for("k", 2_000)]);
    let _ = world.wait(token);
    let written = world.now;
    world.until("written at both", |world| keys(world, awake) == 2);
    hand_over(&mut world, awake);
    world.until("gone", |world| keys(world, awake) == 1);
    let lived = world.now.since(written);
    assert!(lived >= Duration::from_millis(2_000), "lived only {lived:?}");
}

/// Makes a server the leader, if it does not lead already.
fn hand_over(world: &mut World, to: u64) {
    let leader = world.agree();
    if leader != to {
        let token = world.token();
        let node = world.nodes.get_mut(&leader).expect("the leader runs");
        node.replica.handle(world.now, Input::Transfer { token, to: NodeId(to) });
        world.until("the transfer", |world| world.leader() == Some(to));
    }
    world.agree();
}

#[test]
fn the_remaining_time_survives_an_idle_cluster_and_a_restart_of_all() {
    let mut world = World::new(3);
    let leader = world.agree();
    let token = world.write(leader, &[set_for("k", 30_000)]);
    let _ = world.wait(token);
    let written = world.now;
    world.run_ms(20_000);
    for id in 1..=3 {
        world.crash(id);
        world.start(id);
    }
    let leader = world.agree();
    assert_eq!(world.get(leader, "k").as_deref(), Some("v"));
    world.until("gone everywhere", |world| world.nodes.keys().all(|id| keys(world, *id) == 0));
    let lived = world.now.since(written);
    assert!(lived >= Duration::from_millis(30_000), "lived only {lived:?}");
    assert!(
        lived < Duration::from_millis(37_000),
        "ticks every 5 s keep most of the time that passed: {lived:?}"
    );
}

/// A key is to live for 2 s, and one of three servers is alone for 5 s; then another is back. When the key was written,
/// and who was alone.
fn a_silence(world: &mut World) -> (Time, u64) {
    let leader = world.agree();
    let token = world.write(leader, &[set_for("k", 2_000)]);
    let _ = world.wait(token);
    let written = world.now;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let (survivor, down) = (others[0], others[1]);
    world.until("written everywhere", |world| keys(world, survivor) == 1);
    world.crash(leader);
    world.crash(down);
    world.run_ms(5_000);
    world.start(down);
    (written, survivor)
}

#[test]
fn a_time_in_which_nobody_leads_does_not_count() {
    let mut world = World::new(3);
    // The survivor waits for the others for longer than the key was to live; then it leads them, sooner or later.
    let (written, survivor) = a_silence(&mut world);
    hand_over(&mut world, survivor);
    world.run_ms(1_000);
    assert_eq!(keys(&world, survivor), 1, "it has most of its time left");
    world.until("gone", |world| keys(world, survivor) == 0);
    let lived = world.now.since(written);
    assert!(lived < Duration::from_millis(9_000), "lived {lived:?}");
}

#[test]
fn the_first_stamp_after_a_silence_leaves_it_out_too() {
    let mut world = World::new(3);
    let (_, survivor) = a_silence(&mut world);
    let node = world.nodes.get_mut(&survivor).expect("it runs");
    node.replica.handle(world.now, Input::Campaign);
    world.act();
    // A client's write comes with the last vote, before anything follows from that.
    for _ in 0..100 {
        world.deliver();
        if world.nodes[&survivor].replica.raft().is_leader() {
            break;
        }
        world.act();
    }
    assert!(world.nodes[&survivor].replica.raft().is_leader(), "else nothing is seen here");
    let token = world.write(survivor, &[set_for("x", 60_000)]);
    world.act();
    let _ = world.wait(token);
    world.run_ms(1_000);
    assert_eq!(keys(&world, survivor), 2, "k has most of its time left");
}

#[test]
fn a_leader_that_may_not_propose_what_is_due_asks_for_no_time_in_the_past() {
    let mut world = World::new(3);
    let leader = world.agree();
    let token = world.write(leader, &[set_for("k", 100)]);
    let _ = world.wait(token);
    let heir = world.follower();
    world.isolate(heir);
    world.run_ms(80);
    let token = world.token();
    let node = world.nodes.get_mut(&leader).expect("the leader runs");
    node.replica.handle(world.now, Input::Transfer { token, to: NodeId(heir) });
    let mut waited = 0;
    for _ in 0..100 {
        world.tick();
        let now = world.now;
        let node = world.nodes.get_mut(&leader).expect("the leader runs");
        // What is lost here, Raft sends again.
        node.replica.take_effects(now, &mut Vec::new(), &mut Vec::new());
        assert!(node.replica.next_deadline() > now, "the leader's thread would spin");
        let due = node.replica.state().store.key_count() == 1;
        waited += u32::from(due && node.replica.raft().transferring_to().is_some());
    }
    assert!(waited > 50, "the transfer was under way while the key's time ran out, for {waited} ms");
    world.heal();
    world.until("gone everywhere", |world| world.nodes.keys().all(|id| keys(world, *id) == 0));
}
