//! What clients are told, and when.

use jangada_kv::command::{Command, Exec, Reply};
use jangada_kv::{Request, Response};
use jangada_node::effect::{Failure, Input};
use jangada_raft::types::NodeId;
use std::time::Duration;

use crate::world::{World, get, set};

/// The longest election timeout of the worlds here.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(500);

#[test]
fn a_write_is_answered_once_a_majority_has_it_on_disk() {
    let mut world = World::new(3);
    let leader = world.agree();
    world.set(leader, "d", "8");
    // Power fails everywhere at that very moment: what was answered is there again.
    for id in 1..=3 {
        world.crash(id);
    }
    for id in 1..=3 {
        world.start(id);
    }
    let leader = world.agree();
    assert_eq!(world.get(leader, "d").as_deref(), Some("8"));
    world.assert_equal_states();
}

#[test]
fn keys_may_be_called_like_the_servers_own_state() {
    let keys = ["currentTerm", "votedFor", "log", "commitIndex", "1", ""];
    let mut world = World::new(3);
    let leader = world.agree();
    for key in keys {
        world.set(leader, key, "5");
    }
    for id in 1..=3 {
        world.crash(id);
    }
    for id in 1..=3 {
        world.start(id);
    }
    let leader = world.agree();
    for key in keys {
        assert_eq!(world.get(leader, key).as_deref(), Some("5"), "{key}");
    }
}

#[test]
fn a_single_server_answers_by_itself() {
    let mut world = World::new(1);
    world.agree();
    world.set(1, "d", "8");
    world.crash(1);
    world.start(1);
    world.agree();
    assert_eq!(world.get(1, "d").as_deref(), Some("8"));
}

#[test]
fn a_follower_forwards_writes_and_reads_its_own_state() {
    let mut world = World::new(3);
    let follower = world.follower();
    world.set(follower, "d", "8");
    assert_eq!(world.get(follower, "d").as_deref(), Some("8"));
    let token = world.write(follower, &[set("a", "1"), set("b", "2"), set("c", "3")]);
    assert_eq!(world.wait(token).len(), 3);
    let token = world.read(follower, vec![get("a"), get("nothing"), get("c")]);
    let value = |text: &'static str| Ok(Response::Reply(Reply::Value(text.as_bytes().into())));
    assert_eq!(world.wait(token), vec![value("1"), Ok(Response::Reply(Reply::Nil)), value("3")]);
}

#[test]
fn a_read_sees_every_write_that_was_answered_before_it() {
    let mut world = World::new(3);
    let leader = world.agree();
    let follower = world.follower();
    for round in 0..50 {
        let value = round.to_string();
        world.set(leader, "d", &value);
        assert_eq!(world.get(follower, "d"), Some(value));
    }
}

#[test]
fn without_a_leader_requests_are_refused_within_an_election_timeout() {
    let mut world = World::new(3);
    let leader = world.agree();
    world.set(leader, "d", "8");
    let alone = world.follower();
    for id in (1..=3).filter(|id| *id != alone) {
        world.crash(id);
    }
    world.until("it knows that it has no leader", |world| {
        world.nodes[&alone].replica.raft().leader().is_none()
    });
    let (write, read) = (world.write(alone, &[set("d", "9")]), world.read(alone, vec![get("d")]));
    let asked = world.now;
    assert_eq!(world.wait(write), vec![Err(Failure::NoLeader)]);
    assert_eq!(world.wait(read), vec![Err(Failure::NoLeader)]);
    assert!(world.now.since(asked) <= ELECTION_TIMEOUT + Duration::from_millis(50));
}

#[test]
fn requests_wait_for_the_next_leader_instead_of_failing() {
    let mut world = World::new(3);
    let leader = world.agree();
    let follower = world.follower();
    world.crash(leader);
    world.until("it knows that it has no leader", |world| {
        world.nodes[&follower].replica.raft().leader().is_none()
    });
    world.set(follower, "d", "8");
    assert_eq!(world.get(follower, "d").as_deref(), Some("8"));
}

#[test]
fn what_waited_for_a_leader_goes_before_what_comes_when_there_is_one() {
    let mut world = World::new(3);
    let leader = world.agree();
    let follower = world.follower();
    world.crash(leader);
    let knows_a_leader = |world: &World| world.nodes[&follower].replica.raft().leader().is_some();
    world.until("it knows that it has no leader", |world| !knows_a_leader(world));
    let first = world.write(follower, &[set("d", "1")]);
    // The second comes in the very moment in which the follower leads, or hears of who does.
    world.deliver();
    while !knows_a_leader(&world) {
        world.act();
        world.deliver();
    }
    let second = world.write(follower, &[set("d", "2")]);
    world.act();
    assert_eq!(world.wait(first), vec![Ok(Response::Reply(Reply::Ok))]);
    assert_eq!(world.wait(second), vec![Ok(Response::Reply(Reply::Ok))]);
    assert_eq!(world.get(follower, "d").as_deref(), Some("2"));
}

/// A forwarded write comes back from a leader that is handing over. The next, already on its way, finds that the
/// hand-over has been called off.
#[test]
fn writes_keep_their_order_when_a_transfer_is_called_off() {
    let mut world = World::new(3);
    let leader = world.agree();
    let follower = world.follower();
    let target = (1..=3).find(|id| *id != leader && *id != follower).expect("one of three");
    world.set(follower, "d", "");
    // The target is cut off, so that it cannot take over.
    world.isolate(target);
    let token = world.token();
    let transfer = Input::Transfer { token, to: NodeId(target) };
    world.nodes.get_mut(&leader).expect("it runs").replica.handle(world.now, transfer);
    let mut writes = vec![];
    for number in 0..800 {
        let append = Command::Append { key: "d".into(), value: format!("{number} ").into() };
        writes.push(world.write(follower, &[Request::Command(append)]));
        // Other clients' reads wait among the writes.
        world.read(follower, vec![get("d")]);
        world.tick();
    }
    let answers: Vec<_> = writes.into_iter().map(|write| world.wait(write)).collect();
    let written = world.get(follower, "d").expect("it was set");
    let written: Vec<usize> = written.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(written.is_sorted(), "the later ones overtook: {written:?}");
    for (number, answer) in answers.iter().enumerate() {
        match &answer[0] {
            Ok(_) => assert!(written.contains(&number), "{number} was lost"),
            Err(Failure::NoLeader) => assert!(!written.contains(&number), "{number} was refused"),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert!(written.len() > 750, "most of them need only wait: {}", written.len());
}

#[test]
fn a_read_whose_entries_never_come_is_refused() {
    // In one of these moments all that gets through is the word that the follower should have the entry.
    for moment in 1..8 {
        let mut world = World::new(3);
        let leader = world.agree();
        let follower = world.follower();
        world.cut_one_way(leader, follower);
        world.set(leader, "d", "8");
        let read = world.read(follower, vec![get("d")]);
        world.run_ms(moment);
        world.heal();
        world.tick();
        for id in (1..=3).filter(|id| *id != follower) {
            world.stop_after_sending(id);
        }
        let asked = world.now;
        assert_eq!(world.wait(read), vec![Err(Failure::NoLeader)], "healed after {moment} ms");
        let patience = 2 * ELECTION_TIMEOUT + Duration::from_millis(50);
        assert!(world.now.since(asked) <= patience, "healed after {moment} ms");
    }
}

#[test]
fn an_isolated_leader_neither_acknowledges_nor_answers_from_the_past() {
    let mut world = World::new(3);
    let old = world.agree();
    world.set(old, "x", "1");
    world.isolate(old);
    let write = world.write(old, &[set("y", "lost")]);
    let read = world.read(old, vec![get("x")]);
    assert_eq!(world.wait(write), vec![Err(Failure::OutcomeUnknown)]);
    assert_eq!(world.wait(read), vec![Err(Failure::NoLeader)]);
    world.until("another leads", |world| world.leader().is_some_and(|leader| leader != old));
    let new = world.leader().expect("it was there just now");
    world.set(new, "x", "2");
    world.heal();
    world.agree();
    assert_eq!(world.get(old, "x").as_deref(), Some("2"));
    assert_eq!(world.get(old, "y"), None);
    world.assert_equal_states();
}

#[test]
fn a_command_that_the_log_has_replaced_had_certainly_no_effect() {
    let mut world = World::new(3);
    let old = world.agree();
    world.isolate(old);
    let write = world.write(old, &[set("y", "lost")]);
    // The others elect a leader and fill the same place of the log, before the old one steps down.
    world.until("another leads", |world| world.leader().is_some_and(|leader| leader != old));
    let answered = world.answers.contains_key(&write);
    world.heal();
    let answer = world.wait(write);
    assert!(
        answered || answer == vec![Err(Failure::NoLeader)] || answer == vec![Err(Failure::OutcomeUnknown)]
    );
    world.agree();
    assert_eq!(world.get(old, "y"), None);
}

#[test]
fn a_forwarded_write_whose_leader_dies_has_an_unknown_outcome() {
    let mut world = World::new(3);
    let leader = world.agree();
    let follower = world.follower();
    let write = world.write(follower, &[set("d", "8")]);
    world.tick();
    world.crash(leader);
    assert_eq!(world.wait(write), vec![Err(Failure::OutcomeUnknown)]);
    world.agree();
    world.set(follower, "e", "9");
    world.assert_equal_states();
}

#[test]
fn an_answer_to_an_earlier_life_is_not_taken_for_one_to_this() {
    let mut world = World::new(3);
    let leader = world.agree();
    let follower = world.follower();
    let third = (1..=3).find(|id| *id != leader && *id != follower).expect("one of three");
    // The leader takes a forwarded write, and can commit it only with the follower that dies.
    world.crash(third);
    world.write(follower, &[set("early", "1")]);
    world.until("the leader has the write", |world| {
        let last = |id: u64| world.nodes[&id].replica.raft().last_index();
        last(leader) > last(follower)
    });
    world.crash(follower);
    world.start(follower);
    // The new life hands a write over, too, which never arrives.
    world.until("it follows again", |world| {
        world.nodes[&follower].replica.raft().leader() == Some(NodeId(leader))
    });
    let late = world.write(follower, &[set("late", "1")]);
    world.cut_one_way(follower, leader);
    world.tick();
    world.heal();
    world.until("the early write is answered", |world| {
        world.nodes[&leader].replica.last_applied() == world.nodes[&leader].replica.raft().last_index()
    });
    world.run_ms(5);
    assert_eq!(world.answers.get(&late), None, "nobody has seen the late write");
}

#[test]
fn a_command_that_is_too_large_is_refused_before_it_enters_the_log() {
    let mut world = World::new(3);
    let leader = world.agree();
    let before = world.nodes[&leader].replica.raft().last_index();
    let write = world.write(leader, &[set("d", &"x".repeat(3 << 20))]);
    assert_eq!(world.wait(write), vec![Err(Failure::TooLarge)]);
    assert_eq!(world.nodes[&leader].replica.raft().last_index(), before);
    world.set(leader, "d", "8");
}

#[test]
fn an_answer_too_long_for_a_frame_is_named_instead_of_breaking_the_link() {
    let mut world = World::new(3);
    let follower = world.follower();
    let big = "x".repeat(1 << 20);
    world.set(follower, "big", &big);
    let key = bytes::Bytes::from_static(b"big");
    let reads = (0..20).map(|_| Command::Get { key: key.clone() });
    let touch = Command::Increment { key: bytes::Bytes::from_static(b"n"), by: 1 };
    let exec = Exec { watched: vec![], commands: reads.chain([touch]).collect() };
    let token = world.write(follower, &[Request::Exec(exec), set("after", "1")]);
    let answers = world.wait(token);
    assert_eq!(answers, vec![Err(Failure::AnswerTooLarge), Ok(Response::Reply(Reply::Ok))]);
    assert_eq!(world.get(follower, "n").as_deref(), Some("1"));
}
