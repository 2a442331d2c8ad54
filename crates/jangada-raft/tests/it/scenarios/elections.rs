//! Who leads, and who must not disturb: split votes, cuts of all shapes, servers that come back.
//!
//! Some stories are told twice, side by side: in the paper's own profile, where a server that returns raises
//! the term and topples the leader, and with PreVote and CheckQuorum, which exist to prevent exactly that.

use core::time::Duration;

use jangada_raft::event::RoleName;
use jangada_raft::face::Input;
use jangada_raft::message::Rpc;
use jangada_raft::types::{NodeId, Term};

use crate::world::{Until, World, ms};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// Both profiles.
fn profiles() -> [(bool, World); 2] {
    [(true, World::classic(3, 5)), (false, World::new(3, 5))]
}

#[test]
fn a_cluster_of_any_size_elects_one_leader_and_keeps_it() {
    for count in 1..=7 {
        let mut world = World::new(count, count);
        let leader = world.elect();
        let term = world.term(leader);
        world.run_while(Duration::from_secs(10), "it leads", |world| world.leads_in(leader, term));
        assert!(world.nodes.values().all(|node| node.term() == term));
    }
}

#[test]
fn a_split_vote_is_followed_by_an_election_that_succeeds() {
    // Timeouts that hardly differ: all campaign at once, and nobody wins at first.
    let mut splits = 0;
    for seed in 0..20 {
        let mut world = World::with(4, seed, |config| {
            config.pre_vote = false;
            config.check_quorum = false;
            config.election_timeout_max = config.election_timeout_min + ms(8);
        });
        let leader = world.elect();
        splits += u64::from(world.term(leader) > Term(1));
    }
    assert!(splits > 5, "votes were split: {splits} of 20 times");
}

#[test]
fn a_leader_that_dies_is_replaced_within_a_few_election_timeouts() {
    for seed in 0..20 {
        let mut world = World::new(3, seed);
        let old = world.elect();
        let (term, died) = (world.term(old), world.now);
        world.crash(old);
        let new = world.elect();
        assert_ne!(new, old);
        assert!(world.term(new) > term);
        let without = world.now.since(died);
        assert!(without < ms(1_500), "seed {seed}: no leader for {without:?}");
    }
}

#[test]
fn one_of_three_elects_nobody_until_another_returns() {
    for classic in [true, false] {
        let mut world = if classic { World::classic(3, 6) } else { World::new(3, 6) };
        let leader = world.elect();
        let other = world.followers()[0];
        world.crash(leader);
        world.crash(other);
        let last = world.followers()[0];
        let term = world.term(last);
        world.run_for(Duration::from_secs(5));
        assert_ne!(world.node(last).raft().role_name(), RoleName::Leader);
        assert_eq!(world.term(last) > term, classic, "with PreVote it only asks, and its term stays");
        world.restart(other);
        world.elect();
    }
}

#[test]
fn without_a_majority_nobody_leads_and_when_all_are_back_one_does() {
    let mut world = World::new(5, 7);
    world.elect();
    for id in [N1, N2, N3] {
        world.crash(id);
    }
    world.run_for(ms(600));
    world.run_while(Duration::from_secs(5), "nobody leads", |world| world.leader().is_none());
    for id in [N1, N2, N3] {
        world.restart(id);
    }
    world.elect();
}

#[test]
fn everybody_cut_off_from_everybody_elects_nobody_and_heals() {
    for (_, mut world) in profiles() {
        world.elect();
        for id in [N1, N2, N3] {
            world.isolate(id);
        }
        world.run_for(Duration::from_secs(2));
        if world.node(N1).raft().config().check_quorum {
            assert_eq!(world.leader(), None, "a leader that hears nobody steps down");
        }
        world.heal();
        world.write("x");
        world.settle();
    }
}

#[test]
fn an_old_leader_that_returns_follows_the_new_one() {
    for count in [3, 5] {
        let mut world = World::new(count, 8);
        let old = world.elect();
        world.isolate(old);
        world.run_until(&Until("another one leads"), |world| world.leader().is_some_and(|id| id != old));
        let new = world.elect();
        let term = world.term(new);
        world.heal();
        world.run_for(Duration::from_secs(2));
        assert!(world.leads_in(new, term), "leader and term stay");
        assert_eq!(world.term(old), term);
        assert_eq!(world.node(old).raft().leader(), Some(new));
    }
}

/// Cuts off a follower for so long, lets it return, and says what became of the term and the leader.
fn cut_off_and_return(world: &mut World, away: Duration, write: bool) -> (bool, bool, bool) {
    let leader = world.elect();
    world.settle();
    let lost = world.followers()[0];
    let term = world.term(leader);
    world.isolate(lost);
    world.run_for(away / 2);
    if write {
        world.write("meanwhile");
    }
    world.run_for(away / 2);
    world.heal();
    world.run_for(Duration::from_secs(3));
    let now = world.elect();
    (world.term(now) > term, now == leader, now == lost)
}

#[test]
fn a_follower_that_returns_raises_the_term_in_the_classic_profile_alone() {
    for seed in 0..10 {
        let mut world = World::classic(3, seed);
        let (term_rose, _, _) = cut_off_and_return(&mut world, ms(1_500), false);
        assert!(term_rose, "it campaigned alone, and its term wins");
        let mut world = World::new(3, seed);
        let (term_rose, same_leader, _) = cut_off_and_return(&mut world, ms(1_500), false);
        assert!(!term_rose && same_leader, "it only asked, and nobody would have voted for it");
    }
}

#[test]
fn a_follower_that_returns_after_long_may_even_lead_in_the_classic_profile() {
    let mut took_over = 0;
    for seed in 0..30 {
        let (term_rose, _, now_leads) = cut_off_and_return(&mut World::classic(3, seed), ms(4_000), false);
        assert!(term_rose);
        took_over += u64::from(now_leads);
        let (term_rose, same_leader, _) = cut_off_and_return(&mut World::new(3, seed), ms(4_000), false);
        assert!(!term_rose && same_leader);
    }
    assert!(took_over > 0, "its log is as good as any");
}

#[test]
fn a_follower_that_missed_a_write_never_leads_but_may_raise_the_term() {
    for seed in 0..30 {
        let (term_rose, _, now_leads) = cut_off_and_return(&mut World::classic(3, seed), ms(4_000), true);
        assert!(term_rose && !now_leads, "its log is behind: it may disturb, and must not win");
        let (term_rose, same_leader, _) = cut_off_and_return(&mut World::new(3, seed), ms(4_000), true);
        assert!(!term_rose && same_leader);
    }
}

#[test]
fn a_leader_that_is_heard_but_hears_nobody_gives_up() {
    let mut world = World::new(3, 9);
    let old = world.elect();
    for follower in world.followers() {
        world.network.cut.insert((follower, old));
    }
    world.run_until(&Until("it steps down"), |world| !world.node(old).leads());
    world.run_until(&Until("another one leads"), |world| world.leader().is_some_and(|id| id != old));
    let new = world.elect();
    let term = world.term(new);
    world.run_while(Duration::from_secs(5), "the old one disturbs nobody", |world| world.leads_in(new, term));
}

#[test]
fn a_server_that_is_not_heard_disturbs_nobody() {
    // It hears nothing, but what it says arrives.
    let mut world = World::new(3, 10);
    let leader = world.elect();
    let term = world.term(leader);
    let deaf = world.followers()[0];
    world.only(move |message| message.to != deaf);
    world.run_while(Duration::from_secs(5), "the leader stays", |world| world.leads_in(leader, term));
}

#[test]
fn two_servers_that_hear_each_other_only_through_a_third_do_not_fight() {
    for seed in 0..10 {
        let mut world = World::new(3, seed);
        world.elect();
        world.cut(N1, N3);
        world.run_for(Duration::from_secs(3));
        let leader = world.elect();
        let term = world.term(leader);
        world.run_while(Duration::from_secs(5), "there is peace", |world| world.highest_term() == term);
        world.write("x");
    }
}

#[test]
fn the_one_with_the_newest_log_leads_even_from_a_lower_term() {
    for seed in 0..10 {
        // n3 alone has entry 3; the others are terms ahead.
        let logs = [(1, vec![1, 1]), (2, vec![1, 1]), (3, vec![1, 1, 2])];
        let mut world = World::with_logs(logs, 2, seed, |_| {});
        for id in [N1, N2] {
            let node = world.node_mut(id);
            node.stop();
            node.disk.hard_state.term = Term(9);
            node.ahead = node.disk.clone();
            world.restart(id);
        }
        world.crash(N2);
        let leader = world.elect();
        assert_eq!(leader, N3, "n1 lacks entry 3");
        assert!(world.term(leader) > Term(9));
    }
}

#[test]
fn a_server_that_comes_back_with_an_old_term_learns_the_new_one() {
    let mut world = World::new(5, 11);
    world.elect();
    world.crash(N5);
    for _ in 0..4 {
        let leader = world.elect();
        world.crash(leader);
        world.elect();
        world.restart(leader);
        world.run_for(ms(500));
    }
    let old = world.term(N5);
    world.restart(N5);
    // Only three are up, and n5 is needed.
    let leader = world.elect();
    let others: Vec<NodeId> = world.followers().into_iter().filter(|id| *id != N5).take(2).collect();
    for id in others {
        world.crash(id);
    }
    world.write("with n5");
    assert!(world.term(N5) > old);
    assert!(world.node(leader).is_up());
}

const N5: NodeId = NodeId(5);

#[test]
fn no_vote_is_given_while_the_leader_is_heard() {
    let mut world = World::new(3, 12);
    let leader = world.elect();
    let term = world.term(leader);
    let rival = world.followers()[0];
    for _ in 0..20 {
        world.input(rival, Input::Campaign);
        world.run_for(ms(100));
    }
    assert!(world.leads_in(leader, term), "a wish to campaign does not topple it");
}

#[test]
fn all_restart_at_once_and_one_leads() {
    let mut world = World::new(5, 13);
    for round in 0..5 {
        world.write(&format!("{round}"));
        for number in 1..=5 {
            world.crash(NodeId(number));
        }
        for number in 1..=5 {
            world.restart(NodeId(number));
        }
    }
    world.write("the end");
    world.settle();
    assert_eq!(world.commands(N1).len(), 6);
}

#[test]
fn a_quiet_cluster_sends_heartbeats_and_nothing_else() {
    let mut world = World::new(5, 14);
    world.elect();
    world.run_for(ms(500));
    world.record = Some(Vec::new());
    world.run_for(Duration::from_secs(1));
    let sent = world.record.take().expect("recorded");
    let beats = sent.iter().filter(|message| matches!(message.rpc, Rpc::AppendEntries(_))).count();
    assert!((76..=84).contains(&beats), "20 a second to each of four: {beats}");
    assert_eq!(sent.len(), 2 * beats, "each is answered once");
}
