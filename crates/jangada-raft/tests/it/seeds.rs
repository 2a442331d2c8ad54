//! The scenarios that the three older systems told with clocks and sleeps, told here in virtual time.
//!
//! Where the original asserted a disruption that PreVote and CheckQuorum exist to prevent, both are told: the
//! classic profile does what it did, the default one does not. `docs/seeds-map.md` says which is which.

use core::time::Duration;

use jangada_raft::event::{Event, MembershipStage, RoleName};
use jangada_raft::face::{Answer, Input, Refusal};
use jangada_raft::message::Message;
use jangada_raft::types::{Index, NodeId, Term};

use crate::solo::{Solo, append, verdict, vote};
use crate::world::{CLUSTER, Until, World, ms};

/// Longer than any election timeout.
const LONG: Duration = ms(3_000);

/// Makes a world of so many servers from a seed.
type MakeWorld = fn(u64, u64) -> World;

/// Both profiles, by name.
const PROFILES: [(&str, MakeWorld); 2] = [("default", World::new), ("classic", World::classic)];

fn leaders(world: &World) -> usize {
    world.nodes.values().filter(|node| node.leads()).count()
}

/// How many servers have applied this command.
fn copies(world: &World, text: &str) -> usize {
    let has = |id: &&NodeId| world.commands(**id).iter().any(|command| command == text);
    world.nodes.keys().filter(has).count()
}

fn until_copies(world: &mut World, text: &str, count: usize) {
    world.run_until(&Until("so many servers have applied it"), |world| copies(world, text) == count);
}

fn until_another_leads(world: &mut World, than: NodeId) -> NodeId {
    world.run_until(&Until("another one leads"), |world| {
        world.leader().is_some_and(|id| id != than && world.node(id).raft().has_committed_own_term())
    });
    world.leader().expect("just seen")
}

fn nobody_leads_for_long(world: &mut World) {
    world.run_until(&Until("nobody leads"), |world| leaders(world) == 0);
    world.run_while(LONG, "nobody leads", |world| leaders(world) == 0);
}

fn index(answer: Answer) -> Index {
    match answer {
        Answer::Appended { index, .. } => index,
        Answer::Done | Answer::Refused(_) => panic!("it was not appended: {answer:?}"),
    }
}

// ---- Elections of the university lab ----------------------------------------------------------------------

#[test]
fn a_split_vote_ends_in_the_next_term_and_late_starters_adopt_it() {
    // S35. Three of five are up; two of them campaign at the same moment, so that nobody gets three votes.
    let mut world = World::classic(5, 35);
    world.events = Some(Vec::new());
    let late = [NodeId(4), NodeId(5)];
    for id in late {
        world.crash(id);
    }
    world.input(NodeId(1), Input::Campaign);
    world.input(NodeId(2), Input::Campaign);
    let leader = world.elect();
    assert!(world.term(leader) >= Term(2), "term 1 was split");
    assert!(!world.events_of(leader).any(
        |event| matches!(event, Event::RoleChanged { role: RoleName::Leader, term, .. } if term == Term(1))
    ));
    for id in late {
        world.restart(id);
    }
    world.run_until(&Until("the late ones follow"), |world| {
        late.iter().all(|id| world.node(*id).raft().leader() == Some(leader))
    });
    assert!(late.iter().all(|id| world.term(*id) == world.term(leader)));
    assert!(
        late.iter().all(|id| !world.events_of(*id).any(|event| matches!(event, Event::VoteGranted { .. })))
    );
}

#[test]
fn a_killed_leader_is_replaced_and_returns_as_a_follower() {
    // S36.
    for (profile, new) in PROFILES {
        let mut world = new(5, 36);
        let old = world.elect();
        let old_term = world.term(old);
        world.crash(old);
        let leader = world.elect();
        assert_ne!(leader, old, "{profile}");
        assert!(world.term(leader) > old_term, "{profile}");
        world.restart(old);
        world.run_until(&Until("the old leader follows"), |world| {
            let raft = world.node(old).raft();
            raft.role_name() == RoleName::Follower && raft.leader() == world.leader()
        });
    }
}

#[test]
fn four_of_five_elect_three_of_five_elect_two_do_not() {
    // S37, S38, S39.
    for (profile, new) in PROFILES {
        let mut world = new(5, 39);
        for _ in 0..2 {
            let leader = world.elect();
            world.crash(leader);
        }
        let last = world.elect();
        world.write("three are enough");
        world.crash(last);
        let term = world.highest_term();
        nobody_leads_for_long(&mut world);
        let rose = world.highest_term() > Term(term.0 + 2);
        // Without pre-votes each vain campaign costs a term; with them, none.
        assert_eq!(rose, profile == "classic", "{profile}: from {term} to {}", world.highest_term());
    }
}

#[test]
fn a_candidate_that_denies_a_vote_goes_on_as_before() {
    // Sx1: the original began a new election at once.
    let mut solo = Solo::with(3, 0, &[], |config| config.pre_vote = false);
    solo.time_out();
    let deadline = solo.raft.next_deadline();
    let sent = solo.receive(2, 1, vote(0, 0));
    assert_eq!((sent.len(), verdict(&sent)), (1, false));
    assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 1));
    assert_eq!(solo.raft.next_deadline(), deadline);
}

#[test]
fn a_leader_that_denies_a_vote_says_nothing_to_the_others() {
    // Sx3: the original broadcast anew.
    let mut solo = Solo::with(5, 0, &[], |config| config.pre_vote = false);
    solo.win();
    solo.sent.clear();
    let deadline = solo.raft.next_deadline();
    let sent = solo.receive(2, 1, vote(9, 1));
    assert_eq!((sent.len(), verdict(&sent), sent[0].to), (1, false, NodeId(2)));
    assert_eq!(solo.raft.next_deadline(), deadline, "the next heartbeat comes when it would have come");
}

#[test]
fn a_candidate_answers_the_leader_of_its_term_once() {
    // Sx4: the original answered twice and then stood still for ever.
    let mut solo = Solo::with(3, 0, &[], |config| config.pre_vote = false);
    solo.time_out();
    for _ in 0..3 {
        assert_eq!(solo.receive(2, 1, append((0, 0), &[], 0)).len(), 1);
    }
    assert_eq!(solo.role(), RoleName::Follower);
}

#[test]
fn a_vote_is_remembered_across_a_crash() {
    // Sx5, Gx4: the originals forgot it and could vote twice in a term.
    let mut world = World::classic(3, 5);
    let (voter, other) = (NodeId(2), NodeId(3));
    world.crash(other);
    world.elect_node(NodeId(1));
    let term = world.term(voter);
    world.crash(voter);
    world.restart(voter);
    let rpc = vote(99, term.0);
    let ask = Message { cluster: CLUSTER, from: other, to: voter, sequence: 1, term, rpc };
    world.record = Some(Vec::new());
    world.input(voter, Input::Receive(ask));
    world.run_until(&Until("it has answered"), |world| !world.record.as_ref().expect("recorded").is_empty());
    assert!(!verdict(&world.record.expect("recorded")[..1]), "it has voted for n1 in this term");
}

// ---- Elections of the Go prototype ------------------------------------------------------------------------

#[test]
fn exactly_one_leads_and_without_it_another_in_a_higher_term() {
    // G66, G67.
    for (profile, new) in PROFILES {
        let mut world = new(3, 66);
        let old = world.elect();
        assert_eq!(leaders(&world), 1, "{profile}");
        let term = world.term(old);
        world.isolate(old);
        let leader = until_another_leads(&mut world, old);
        assert!(world.term(leader) > term, "{profile}");
    }
}

#[test]
fn one_of_three_is_not_enough_and_two_are() {
    // G68, G71, G73: six rounds of it.
    let mut world = World::new(3, 68);
    for _ in 0..6 {
        let leader = world.elect();
        let other = world.followers()[0];
        world.isolate(leader);
        world.isolate(other);
        nobody_leads_for_long(&mut world);
        world.heal();
        world.elect();
        world.run_until(&Until("exactly one leads"), |world| leaders(world) == 1);
    }
}

#[test]
fn a_leader_that_returns_changes_neither_leader_nor_term() {
    // G69, G70.
    for (profile, new) in PROFILES {
        for count in [3, 5] {
            let mut world = new(count, 69);
            let old = world.elect();
            world.isolate(old);
            let leader = until_another_leads(&mut world, old);
            world.run_for(ms(100));
            let term = world.term(leader);
            world.heal();
            world.run_until(&Until("the old leader follows"), |world| {
                world.node(old).raft().leader() == Some(leader)
            });
            world.run_while(LONG, "the leader and its term stay", |world| {
                world.leader() == Some(leader) && world.highest_term() == term
            });
            assert_eq!(leaders(&world), 1, "{profile}, {count} servers");
        }
    }
}

/// What became of a cluster of three after the return of a follower.
struct Return {
    term_rose: bool,
    same_leader: bool,
    it_leads: bool,
}

/// A follower of three is cut off for 1.2 s, as in the original, and returns. If the others write meanwhile, its log
/// is too short then.
fn follower_returns(mut world: World, they_write: bool) -> Return {
    let leader = world.elect();
    world.settle();
    let lost = world.followers()[0];
    world.isolate(lost);
    world.run_for(ms(1_200));
    if they_write {
        // The lost one's term may be the highest by now: ask the leader of the others.
        world.propose(leader, "meanwhile");
        until_copies(&mut world, "meanwhile", 2);
    }
    let term = world.term(leader);
    world.heal();
    world.run_for(LONG);
    let now = world.elect();
    world.settle();
    Return { term_rose: world.highest_term() > term, same_leader: now == leader, it_leads: now == lost }
}

#[test]
fn a_follower_that_returns_disturbs_the_classic_cluster_only() {
    // G72, G74: the original asserts that the term rises, and that the one that returns becomes the leader.
    let mut won = 0;
    for seed in 0..20 {
        let classic = follower_returns(World::classic(3, seed), false);
        assert!(classic.term_rose, "seed {seed}: it comes with a higher term, which all must take");
        won += u64::from(classic.it_leads);
        let default = follower_returns(World::new(3, seed), false);
        assert!(!default.term_rose && default.same_leader, "seed {seed}: its pre-votes are refused");
    }
    assert!(won > 0, "in the classic profile it sometimes wins");
}

#[test]
fn a_follower_that_missed_a_write_never_wins() {
    // G75: the term rises all the same.
    for seed in 0..20 {
        let classic = follower_returns(World::classic(3, seed), true);
        assert!(classic.term_rose && !classic.it_leads, "seed {seed}: its log is too short");
        let default = follower_returns(World::new(3, seed), true);
        assert!(!default.term_rose && default.same_leader, "seed {seed}");
    }
}

// ---- Commands ---------------------------------------------------------------------------------------------

#[test]
fn commands_are_committed_in_order_on_all_and_followers_refuse_them() {
    // G76, G77, G79. The entry at index 1 is the leader's own, so commands begin at 2.
    let mut world = World::new(3, 76);
    let leader = world.elect();
    for (command, at) in [("42", 2), ("55", 3), ("81", 4)] {
        assert_eq!(world.write(command), Index(at));
    }
    world.settle();
    for id in [1, 2, 3].map(NodeId) {
        assert_eq!(world.commands(id), ["42", "55", "81"]);
    }
    let follower = world.followers()[0];
    let refused = world.propose(follower, "7");
    assert_eq!(refused, Answer::Refused(Refusal::NotLeader { leader: Some(leader) }));
}

#[test]
fn what_is_committed_stays_when_the_leader_goes() {
    // G78.
    let mut world = World::new(3, 78);
    let leader = world.elect();
    world.write("42");
    world.isolate(leader);
    let next = until_another_leads(&mut world, leader);
    let rest: Vec<NodeId> = world.nodes.keys().copied().filter(|id| *id != leader).collect();
    world.run_until(&Until("both that are left have it"), |world| {
        rest.iter().all(|id| world.commands(*id) == ["42"])
    });
    assert!(world.node(next).leads());
}

#[test]
fn a_server_that_was_away_gets_what_it_missed() {
    // G80.
    let mut world = World::new(3, 80);
    world.elect();
    let lost = world.followers()[0];
    world.isolate(lost);
    world.write("42");
    until_copies(&mut world, "42", 2);
    world.heal();
    until_copies(&mut world, "42", 3);
}

#[test]
fn one_of_three_commits_nothing_and_later_all_three_do() {
    // G81.
    let mut world = World::new(3, 81);
    let leader = world.elect();
    world.settle();
    for follower in world.followers() {
        world.isolate(follower);
    }
    let lonely = index(world.propose(leader, "lonely"));
    world.run_while(LONG, "it is not committed", |world| world.commit(leader) < lonely);
    world.heal();
    world.write("together");
    until_copies(&mut world, "together", 3);
}

#[test]
fn the_command_of_an_isolated_leader_is_replaced() {
    // G82: 6 on the isolated leader of five never commits, 7 and 8 do.
    for (profile, new) in PROFILES {
        let mut world = new(5, 82);
        let old = world.elect();
        world.settle();
        world.isolate(old);
        world.propose(old, "6");
        let leader = until_another_leads(&mut world, old);
        for command in ["7", "8"] {
            world.propose(leader, command);
            until_copies(&mut world, command, 4);
        }
        world.heal();
        until_copies(&mut world, "8", 5);
        assert_eq!(copies(&world, "6"), 0, "{profile}");
        assert_eq!(world.commands(old), ["7", "8"], "{profile}");
    }
}

#[test]
fn a_short_cut_costs_nothing() {
    // G83: the leader of five is cut off for 10 ms right after the command.
    for (profile, new) in PROFILES {
        let mut world = new(5, 83);
        let leader = world.elect();
        world.settle();
        let term = world.term(leader);
        world.propose(leader, "42");
        world.isolate(leader);
        world.run_for(ms(10));
        world.heal();
        until_copies(&mut world, "42", 5);
        assert_eq!((world.leader(), world.highest_term()), (Some(leader), term), "{profile}");
    }
}

#[test]
fn three_of_five_commit_after_crashes_of_followers_and_leader() {
    // G84: two followers crash, one restarts, the leader crashes.
    let mut world = World::new(5, 84);
    let leader = world.elect();
    let crashed = [world.followers()[0], world.followers()[1]];
    for id in crashed {
        world.crash(id);
    }
    world.write("before");
    world.restart(crashed[0]);
    world.crash(leader);
    world.write("after");
    world.settle();
    let up: Vec<NodeId> = world.nodes.values().filter(|node| node.is_up()).map(|node| node.id()).collect();
    assert_eq!(up.len(), 3);
    assert!(up.iter().all(|id| world.commands(*id) == ["before", "after"]));
}

#[test]
fn indexes_are_numbers_and_not_texts() {
    // Px2: the original compared '9' with '10' as texts, and replication stopped for good.
    let mut world = World::new(3, 102);
    for command in 0..120 {
        world.write(&command.to_string());
    }
    world.settle();
    let expected: Vec<String> = (0..120).map(|command| command.to_string()).collect();
    assert!([1, 2, 3].map(NodeId).iter().all(|id| world.commands(*id) == expected));
}

#[test]
fn a_read_leaves_no_trace_in_the_log() {
    // Px9: the original gave each read an index of its log.
    let mut world = World::new(3, 109);
    let leader = world.elect();
    world.write("42");
    world.settle();
    let last = world.node(leader).raft().last_index();
    let reads = [1, 2, 3].map(|id| world.read(NodeId(id)));
    world.run_until(&Until("the reads are answered"), |world| world.unanswered_reads() == 0);
    assert!(reads.iter().all(|read| world.answer(*read).is_some_and(|answer| answer.index.is_ok())));
    assert_eq!(world.node(leader).raft().last_index(), last);
}

// ---- Members ----------------------------------------------------------------------------------------------

#[test]
fn five_become_seven_and_seven_become_five_in_one_change_each() {
    // G85, G86.
    let mut world = World::new(5, 85);
    let leader = world.elect();
    world.write("before");
    world.add_blank(6);
    world.add_blank(7);
    index(world.change(leader, 1..=7));
    world.run_until_members(1..=7);
    world.write("with seven");
    until_copies(&mut world, "with seven", 7);
    let leader = world.elect();
    let stay: Vec<u64> = (1..=7).filter(|id| NodeId(*id) == leader || *id > 3).take(5).collect();
    assert_eq!(stay.len(), 5);
    index(world.change(leader, stay.clone()));
    world.run_until_members(stay.clone());
    world.write("with five");
    until_copies(&mut world, "with five", 5);
}

#[test]
fn five_become_three_in_one_change() {
    // G86.
    let mut world = World::new(5, 86);
    let leader = world.elect();
    let stay: Vec<u64> =
        [leader.0].into_iter().chain(world.followers().iter().map(|id| id.0)).take(3).collect();
    index(world.change(leader, stay.clone()));
    world.run_until_members(stay);
    let gone: Vec<NodeId> = world.nodes.keys().copied().filter(|id| !has_vote(&world, *id)).collect();
    assert_eq!(gone.len(), 2);
    for id in gone {
        world.crash(id);
    }
    world.write("three are the whole cluster");
    until_copies(&mut world, "three are the whole cluster", 3);
}

fn has_vote(world: &World, id: NodeId) -> bool {
    let leader = world.leader().expect("one leads");
    world.node(leader).raft().membership().voters.contains(&id)
}

#[test]
fn a_removed_leader_does_not_count_itself() {
    // G86, Gx15: of the two that stay one is silent. The leader's own disk must not take its place.
    let mut world = World::new(3, 15);
    let leader = world.elect();
    world.settle();
    let stay = world.followers();
    let silent = stay[1];
    world.isolate(silent);
    index(world.change(leader, stay.iter().map(|id| id.0)));
    world.run_while(ms(200), "the change is not complete", |world| {
        world.node(leader).raft().committed_membership().stage() != MembershipStage::Final
            || world.node(leader).raft().committed_membership().voters.len() == 3
    });
    world.heal();
    world.run_until_members(stay.iter().map(|id| id.0));
    let next = until_another_leads(&mut world, leader);
    assert!(stay.contains(&next));
    world.write("without the old leader");
}

#[test]
fn a_minority_cannot_make_itself_a_majority() {
    // Gx5: the original's leader, cut off with three new servers, added them in one step; two leaders then
    // committed different entries at once.
    let mut world = World::new(3, 55);
    let leader = world.elect();
    world.settle();
    for id in 4..=6 {
        world.add_blank(id);
    }
    world.split([leader.0, 4, 5, 6]);
    index(world.change(leader, 1..=6));
    let here = index(world.propose(leader, "here"));
    let next = until_another_leads(&mut world, leader);
    world.propose(next, "there");
    until_copies(&mut world, "there", 2);
    world.run_while(LONG, "the minority commits nothing", |world| world.commit(leader) < here);
    world.heal();
    until_copies(&mut world, "there", 3);
    assert_eq!(copies(&world, "here"), 0);
    assert_eq!(world.node(leader).raft().membership().voters.len(), 3, "and the change never was");
}
