//! Changes that an administrator asks for.

use jangada_node::effect::{AdminDone, Failure, Input};
use jangada_raft::face::Refusal;
use jangada_raft::types::NodeId;

use crate::world::{World, set};

#[test]
fn two_servers_join_in_one_change_and_hold_everything() {
    let mut world = World::new(3);
    let leader = world.agree();
    world.set(leader, "d", "8");
    world.start_new(4);
    world.start_new(5);
    assert_eq!(world.change_members(&[1, 2, 3, 4, 5]), Ok(AdminDone::MembershipChanged));
    world.assert_equal_states();
    assert_eq!(world.get(5, "d").as_deref(), Some("8"));
    // Five voters now: two may fail.
    world.crash(1);
    world.crash(2);
    let leader = world.agree();
    world.set(leader, "d", "9");
}

#[test]
fn the_leader_itself_can_be_removed() {
    let mut world = World::new(3);
    let leader = world.agree();
    world.set(leader, "d", "8");
    let rest: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    assert_eq!(world.change_members(&rest), Ok(AdminDone::MembershipChanged));
    world.until("another leads", |world| world.leader().is_some_and(|now| now != leader));
    let new = world.leader().expect("it was there just now");
    world.set(new, "d", "9");
}

#[test]
fn a_new_server_that_never_catches_up_can_be_let_go() {
    let mut world = World::new(3);
    let leader = world.agree();
    world.set(leader, "d", "7");
    let token = world.token();
    let change = jangada_raft::face::MembershipChange {
        voters: [1, 2, 3, 4].map(NodeId).into(),
        learners: std::collections::BTreeSet::new(),
        context: bytes::Bytes::new(),
    };
    let now = world.now;
    let replica = &mut world.nodes.get_mut(&leader).expect("it runs").replica;
    replica.handle(now, Input::ChangeMembership { token, change });
    world.run_ms(500);
    assert!(!world.admin.contains_key(&token));
    let now = world.now;
    world.nodes.get_mut(&leader).expect("it runs").replica.handle(now, Input::GiveUp(token));
    world.until("the old configuration is back", |world| {
        let membership = world.nodes[&leader].replica.raft().membership();
        membership.target.is_none() && membership.learners.is_empty() && membership.voters.len() == 3
    });
    world.set(leader, "d", "8");
}

#[test]
fn leadership_moves_to_the_wished_for_server_and_no_write_is_lost() {
    let mut world = World::new(3);
    let (leader, follower) = (world.agree(), world.follower());
    let before = world.write(leader, &[set("a", "1")]);
    let token = world.token();
    let now = world.now;
    let to = NodeId(follower);
    world.nodes.get_mut(&leader).expect("it runs").replica.handle(now, Input::Transfer { token, to });
    let during = world.write(leader, &[set("b", "2")]);
    assert!(world.wait(before)[0].is_ok());
    assert!(world.wait(during)[0].is_ok(), "it waits for the new leader");
    world.until("the answer", |world| world.admin.contains_key(&token));
    assert!(matches!(world.admin[&token], Ok(AdminDone::Transferred { .. })));
    assert_eq!(world.agree(), follower);
    assert_eq!(world.get(leader, "b").as_deref(), Some("2"));
}

#[test]
fn a_transfer_to_a_stranger_is_refused() {
    let mut world = World::new(3);
    let leader = world.agree();
    let token = world.token();
    let now = world.now;
    let to = NodeId(9);
    world.nodes.get_mut(&leader).expect("it runs").replica.handle(now, Input::Transfer { token, to });
    world.until("the answer", |world| world.admin.contains_key(&token));
    assert_eq!(world.admin[&token], Err(Failure::Refused(Refusal::BadTarget)));
}
