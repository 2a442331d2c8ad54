//! Membership, snapshots, transfers, leases: one short story for each thing that a person asks for.

use crate::cluster::{CLUSTER, World, ids, ms, n};
use jangada_raft::config::Config;
use jangada_raft::event::{Event, MembershipStage, RoleName};
use jangada_raft::face::Refusal;
use jangada_raft::message::{AppendEntries, AppendEntriesReply, Message, Rpc};
use jangada_raft::types::{Index, NodeId, Term};
use jangada_raft::{Answer, Input};

fn refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(why) => why,
        Answer::Done | Answer::Appended { .. } => panic!("it was not refused: {answer:?}"),
    }
}

fn has_voters(world: &World, voters: impl IntoIterator<Item = u64>) -> bool {
    let voters = ids(voters);
    voters.iter().all(|id| {
        let membership = world.raft(*id).committed_membership();
        membership.stage() == MembershipStage::Final && membership.voters == voters
    })
}

fn stages(world: &World, id: NodeId) -> Vec<MembershipStage> {
    let events = world.nodes[&id].events.iter();
    events
        .filter_map(|event| match event {
            Event::MembershipChanged { stage, .. } => Some(*stage),
            _ => None,
        })
        .collect()
}

// ---- Membership -------------------------------------------------------------------------------------------

#[test]
fn two_servers_join_in_one_change_after_they_have_caught_up() {
    let mut world = World::new(3, 11);
    let leader = world.elect();
    world.propose(leader, "before");
    world.add_joiner(4);
    world.add_joiner(5);
    assert!(matches!(world.change(leader, 1..=5, []), Answer::Appended { .. }));
    world.run_until(ms(2_000), |world| has_voters(world, 1..=5));
    use MembershipStage::{CatchUp, Final, Joint};
    assert_eq!(stages(&world, leader), [Final, CatchUp, Joint, Final], "the first one founds the cluster");
    assert!(world.nodes[&leader].events.iter().any(|event| matches!(event, Event::CaughtUp { .. })));
    assert_eq!(world.nodes[&n(5)].state, ["before"]);
}

/// A server that joins gets the log, and nothing but the log: a snapshot that it takes must know who belonged
/// to the cluster before it came.
#[test]
fn a_server_that_joined_knows_who_founded_the_cluster() {
    let mut world = World::new(3, 19);
    let leader = world.elect();
    world.propose(leader, "before");
    world.run_until(ms(500), World::is_in_step);
    world.add_joiner(4);
    world.change(leader, 1..=4, []);
    world.run_until(ms(2_000), |world| has_voters(world, 1..=4));
    for index in 1..=2 {
        let meta = world.raft(n(4)).snapshot_meta_at(Index(index)).expect("it is committed");
        assert_eq!(meta.membership.voters, ids(1..=3), "as of {index}");
    }
}

#[test]
fn a_server_joins_a_cluster_that_is_never_idle() {
    let mut world = World::with(3, 18, |config| Config { caught_up_entries: 0, ..config });
    let leader = world.elect();
    world.add_joiner(4);
    world.change(leader, 1..=4, []);
    for _ in 0..400 {
        for _ in 0..5 {
            world.propose(leader, "busy");
        }
        world.run_for(std::time::Duration::from_micros(100));
    }
    assert!(has_voters(&world, 1..=4));
}

#[test]
fn a_server_that_cannot_be_reached_never_becomes_a_voter_and_can_be_given_up() {
    let mut world = World::new(3, 12);
    let leader = world.elect();
    assert!(matches!(world.change(leader, 1..=4, []), Answer::Appended { .. }));
    world.run_for(ms(2_000));
    assert_eq!(world.raft(leader).membership().stage(), MembershipStage::CatchUp);
    assert_eq!(refusal(world.change(leader, 1..=5, [])), Refusal::ChangePending);
    // The cluster works on as before: nobody waits for the server that is not there.
    world.propose(leader, "meanwhile");
    world.run_until(ms(100), |world| world.is_in_step());
    assert!(matches!(world.change(leader, 1..=3, []), Answer::Appended { .. }));
    world.run_until(ms(500), |world| has_voters(world, 1..=3));
    assert!(world.raft(leader).membership().learners.is_empty());
}

#[test]
fn the_leader_takes_itself_out_and_another_one_leads_at_once() {
    let mut world = World::new(3, 13);
    let leader = world.elect();
    let others: Vec<u64> = [1, 2, 3].into_iter().filter(|id| n(*id) != leader).collect();
    world.change(leader, others.clone(), []);
    world.run_until(ms(1_000), |world| has_voters(world, others.clone()));
    // Well within an election timeout: it was told to.
    world.run_until(ms(100), |world| world.leader().is_some_and(|new| new != leader));
    let term = world.raft(world.leader().expect("just seen")).term();
    world.run_for(ms(5_000));
    let new = world.leader().expect("undisturbed");
    assert_eq!(world.raft(new).term(), term, "the removed server disturbs nobody");
    assert_eq!(world.raft(leader).role_name(), RoleName::Follower);
}

#[test]
fn a_new_leader_finishes_the_change_that_the_old_one_began() {
    for crash_after_us in [0, 100, 200, 300, 400, 600, 800, 1_000, 1_500] {
        let mut world = World::new(3, 14);
        let leader = world.elect();
        for id in 4..=5 {
            world.add_joiner(id);
        }
        let others: Vec<u64> = [1, 2, 3].into_iter().filter(|id| n(*id) != leader).collect();
        let target = [others[0], 4, 5];
        world.change(leader, target, []);
        world.run_for(std::time::Duration::from_micros(crash_after_us));
        world.crash(leader);
        let new = world.elect();
        if world.raft(new).membership().stage() == MembershipStage::Final
            && world.raft(new).membership().voters == ids(1..=3)
        {
            // The change was never seen by the others: it did not happen.
            continue;
        }
        world.run_until(ms(3_000), |world| has_voters(world, target));
    }
}

#[test]
fn changes_are_refused_when_they_must_be() {
    let mut world = World::new(3, 15);
    world.run_until(ms(2_000), |world| {
        world.nodes.values().any(|node| node.raft.as_ref().is_some_and(jangada_raft::Raft::is_leader))
    });
    let leader = world.nodes.keys().copied().find(|id| world.raft(*id).is_leader()).expect("one leads");
    let follower = world.nodes.keys().copied().find(|id| *id != leader).expect("another");
    assert_eq!(refusal(world.change(leader, 1..=4, [])), Refusal::TooEarly);
    world.elect();
    assert_eq!(refusal(world.change(leader, [], [])), Refusal::BadMembership);
    assert_eq!(refusal(world.change(leader, 1..=3, [3])), Refusal::BadMembership);
    assert_eq!(refusal(world.change(leader, 1..=3, [])), Refusal::NoChange);
    assert_eq!(refusal(world.change(follower, 1..=2, [])), Refusal::NotLeader { leader: Some(leader) });
    // Once all are heard the change leaves its first stage at once, and cannot be called off.
    world.run_until(ms(1_000), World::is_in_step);
    assert!(matches!(world.change(leader, 1..=2, [3]), Answer::Appended { .. }));
    assert_eq!(refusal(world.change(leader, 1..=3, [])), Refusal::ChangePending);
    world.run_until(ms(1_000), |world| has_voters(world, 1..=2));
}

#[test]
fn a_configuration_that_is_truncated_never_was() {
    let mut world = World::new(5, 16);
    let leader = world.elect();
    world.run_until(ms(1_000), World::is_in_step);
    world.partition([leader.0]);
    let without_one: Vec<u64> = (1..=5).filter(|id| n(*id) != leader).take(3).chain([leader.0]).collect();
    world.change(leader, without_one, []);
    assert_eq!(world.raft(leader).membership().stage(), MembershipStage::Joint);
    world.run_until(ms(3_000), |world| world.leader().is_some_and(|new| new != leader));
    let new = world.leader().expect("just seen");
    world.propose(new, "another entry there");
    world.heal();
    world.run_until(ms(2_000), World::is_in_step);
    assert_eq!(world.raft(leader).membership().voters, ids(1..=5));
    use MembershipStage::{Final, Joint};
    assert_eq!(stages(&world, leader), [Final, Joint, Final], "founded, changed, rolled back");
}

// ---- Snapshots --------------------------------------------------------------------------------------------

#[test]
fn a_follower_that_is_far_behind_gets_the_snapshot_in_chunks_while_others_go_on() {
    let small = |config| Config { snapshot_chunk_bytes: 50, keep_bytes_behind_snapshot: 0, ..config };
    let mut world = World::with(3, 21, small);
    world.snapshot_above_bytes = 2_000;
    let leader = world.elect();
    let late = world.nodes.keys().copied().find(|id| *id != leader).expect("another");
    world.crash(late);
    for number in 0..200_u32 {
        world.propose(leader, format!("command {number}"));
        world.run_for(ms(1));
    }
    world.start(late);
    world.keep_log = true;
    for number in 200..260_u32 {
        world.propose(leader, format!("command {number}"));
        world.run_for(ms(1));
    }
    world.run_until(ms(5_000), World::is_in_step);
    assert_eq!(world.nodes[&late].state.len(), 260);
    let chunks = world.log.iter().filter(|message| matches!(message.rpc, Rpc::InstallSnapshot(_))).count();
    assert!(chunks > 10, "in {chunks} chunks");
}

#[test]
fn a_transfer_that_is_cut_goes_on_where_it_was() {
    let small = |config| Config { snapshot_chunk_bytes: 20, keep_bytes_behind_snapshot: 0, ..config };
    let mut world = World::with(3, 22, small);
    world.snapshot_above_bytes = 2_000;
    let leader = world.elect();
    let late = world.nodes.keys().copied().find(|id| *id != leader).expect("another");
    world.crash(late);
    for number in 0..100_u32 {
        world.propose(leader, format!("command {number}"));
        world.run_for(ms(1));
    }
    world.start(late);
    world.keep_log = true;
    let offset_before = |world: &World| {
        let offsets = world.log.iter().filter_map(|message| match &message.rpc {
            Rpc::InstallSnapshotReply(reply) => Some(reply.next_offset),
            _ => None,
        });
        offsets.max().unwrap_or(0)
    };
    world.run_until(ms(1_000), |world| offset_before(world) > 400);
    let reached = offset_before(&world);
    // Shorter than an election timeout: the leader stays the same, and so does the transfer.
    world.partition([late.0]);
    world.run_for(ms(100));
    world.heal();
    world.log.clear();
    world.run_until(ms(5_000), World::is_in_step);
    // The answers that were under way when the link was cut are lost: at most a window of eight chunks.
    let reached = reached - 8 * 20;
    let from_the_start = world.log.iter().any(|message| match &message.rpc {
        Rpc::InstallSnapshot(chunk) => chunk.offset < reached,
        _ => false,
    });
    assert!(!from_the_start, "it went on at byte {reached}");
}

// ---- Transfer ---------------------------------------------------------------------------------------------

#[test]
fn leadership_is_handed_over_without_an_election_timeout() {
    let mut world = World::new(3, 31);
    let leader = world.elect();
    world.propose(leader, "one");
    let target = world.nodes.keys().copied().find(|id| *id != leader).expect("another");
    assert_eq!(world.handle(leader, Input::TransferTo(target)), Answer::Done);
    assert_eq!(refusal(world.propose(leader, "refused")), Refusal::Transferring);
    world.run_until(ms(100), |world| world.leader() == Some(target));
    assert!(matches!(world.propose(target, "two"), Answer::Appended { .. }));
    world.run_until(ms(500), World::is_in_step);
    assert_eq!(world.nodes[&leader].state, ["one", "two"]);
}

#[test]
fn a_transfer_to_a_server_that_is_down_is_given_up() {
    let mut world = World::new(3, 32);
    let leader = world.elect();
    let target = world.nodes.keys().copied().find(|id| *id != leader).expect("another");
    world.crash(target);
    world.handle(leader, Input::TransferTo(target));
    assert_eq!(refusal(world.propose(leader, "refused")), Refusal::Transferring);
    assert_eq!(refusal(world.handle(leader, Input::TransferTo(leader))), Refusal::Transferring);
    world.run_for(ms(600));
    assert!(matches!(world.propose(leader, "goes on"), Answer::Appended { .. }));
    world.run_until(ms(500), World::is_in_step);
    assert_eq!(refusal(world.handle(leader, Input::TransferTo(leader))), Refusal::BadTarget);
    assert_eq!(refusal(world.handle(leader, Input::TransferTo(n(9)))), Refusal::BadTarget);
}

// ---- Reads ------------------------------------------------------------------------------------------------

/// Whoever sent it may lead again by now, in our term: a round of its earlier leadership that came back would
/// be taken for one of this, and prove it a leader when it is not.
#[test]
fn the_refusal_of_an_old_message_repeats_nothing_of_it() {
    let mut world = World::new(3, 44);
    let old = world.elect();
    world.crash(old);
    let new = world.elect();
    let append = AppendEntries {
        prev_log_index: Index(1),
        prev_log_term: Term(1),
        entries: Vec::new(),
        leader_commit: Index(1),
        round: 9,
    };
    world.keep_log = true;
    let rpc = Rpc::AppendEntries(append);
    world.handle(
        new,
        Input::Receive(Message { cluster: CLUSTER, from: old, to: new, sequence: 1, term: Term(1), rpc }),
    );
    let refusal = world
        .log
        .iter()
        .find(|message| message.to == old && matches!(message.rpc, Rpc::AppendEntriesReply(_)));
    let refusal = refusal.expect("it learns the new term");
    assert!(refusal.term > Term(1));
    assert!(
        matches!(refusal.rpc, Rpc::AppendEntriesReply(AppendEntriesReply { round: 0, .. })),
        "{refusal:?}"
    );
}

#[test]
fn one_round_serves_many_reads() {
    let mut world = World::new(3, 41);
    let leader = world.elect();
    world.run_until(ms(500), World::is_in_step);
    world.keep_log = true;
    let reads: Vec<_> = (0..100).map(|_| world.read(leader)).collect();
    world.run_until(ms(40), |world| reads.iter().all(|read| world.nodes[&leader].reads.contains_key(read)));
    let heartbeats = world.log.iter().filter(|message| matches!(message.rpc, Rpc::AppendEntries(_))).count();
    assert!(heartbeats <= 6, "two rounds to two followers, and perhaps a heartbeat: {heartbeats}");
}

#[test]
fn a_lease_answers_without_a_message_and_ends_with_a_transfer() {
    let mut world = World::with(3, 42, |config| Config { lease_reads: true, ..config });
    let leader = world.elect();
    world.run_for(ms(200));
    let read = world.read(leader);
    assert!(matches!(world.nodes[&leader].reads.get(&read), Some(Ok(_))), "at once");
    // Cut off, the lease runs out before anybody else can lead.
    world.partition([leader.0]);
    world.run_for(ms(260));
    let read = world.read(leader);
    assert!(!world.nodes[&leader].reads.contains_key(&read), "no lease, no answer");
    world.heal();
    world.run_until(ms(2_000), World::is_in_step);
    let leader = world.elect();
    world.run_for(ms(200));
    let target = world.nodes.keys().copied().find(|id| *id != leader).expect("another");
    world.handle(leader, Input::TransferTo(target));
    let read = world.read(leader);
    assert!(!world.nodes[&leader].reads.contains_key(&read), "no lease during a transfer");
}

#[test]
fn a_server_without_a_leader_refuses_reads_in_time() {
    let mut world = World::new(3, 43);
    let leader = world.elect();
    world.run_for(ms(100));
    let follower = world.nodes.keys().copied().find(|id| *id != leader).expect("another");
    for id in world.nodes.keys().copied().collect::<Vec<_>>() {
        if id != follower {
            world.crash(id);
        }
    }
    let read = world.read(follower);
    world.run_until(ms(550), |world| matches!(world.nodes[&follower].reads.get(&read), Some(Err(_))));
}

// ---- The disk ---------------------------------------------------------------------------------------------

#[test]
fn a_leader_with_a_hanging_disk_commits_with_the_disks_of_the_others() {
    let mut world = World::new(3, 51);
    let leader = world.elect();
    world.nodes.get_mut(&leader).expect("a server").disk_hangs = true;
    world.propose(leader, "one");
    world.run_for(ms(30));
    assert_eq!(world.nodes[&leader].state, ["one"]);
    assert!(world.raft(leader).durable_index() < world.raft(leader).commit_index());
}

#[test]
fn a_single_server_commits_nothing_before_its_disk_says_so() {
    let mut world = World::new(1, 52);
    let leader = world.elect();
    world.nodes.get_mut(&leader).expect("a server").disk_hangs = true;
    world.propose(leader, "one");
    world.run_for(ms(1_000));
    assert!(world.nodes[&leader].state.is_empty());
    world.nodes.get_mut(&leader).expect("a server").disk_hangs = false;
    world.run_until(ms(10), |world| world.nodes[&leader].state.len() == 1);
}
