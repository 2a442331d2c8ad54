//! Logs that differ and come together again: Figures 7 and 8, losses, slow followers, cut-off leaders.

use core::time::Duration;

use jangada_raft::event::{Event, RoleName};
use jangada_raft::face::{Answer, Input};
use jangada_raft::message::{AppendOutcome, Rpc};
use jangada_raft::types::{Index, NodeId};

use crate::world::{Until, World, ms};

const N1: NodeId = NodeId(1);

/// Figure 7: the leader's log, and those of the six followers (a) to (f).
const FIGURE_7: [&[u64]; 7] = [
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6],
    &[1, 1, 1, 4],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    &[1, 1, 1, 4, 4, 4, 4],
    &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
];

#[test]
fn the_six_logs_of_figure_7_become_the_leaders() {
    for seed in 0..10 {
        let logs = FIGURE_7.iter().zip(1..).map(|(log, number)| (number, log.to_vec()));
        let mut world = World::with_logs(logs, 7, seed, |_| {});
        world.elect_node(N1);
        world.settle();
        let expected = [FIGURE_7[0], &[8]].concat();
        for number in 1..=7 {
            assert_eq!(world.log(NodeId(number)), expected, "n{number}, seed {seed}");
        }
    }
}

#[test]
fn each_log_of_figure_7_is_repaired_with_few_questions() {
    for (follower, most) in [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2)] {
        let log = |position: usize| FIGURE_7[position].to_vec();
        let logs = [(1, log(0)), (2, log(0)), (3, log(follower))];
        let mut world = World::with_logs(logs, 7, 3, |_| {});
        world.record = Some(Vec::new());
        world.elect_node(N1);
        world.settle();
        let refusals = world.record.take().expect("recorded").into_iter().filter(|message| {
            let Rpc::AppendEntriesReply(reply) = &message.rpc else { return false };
            message.from == NodeId(3) && matches!(reply.outcome, AppendOutcome::Conflict { .. })
        });
        let refusals = refusals.count();
        assert!(
            refusals <= most,
            "log {follower}: {refusals} refusals, one for each term that differs at most"
        );
    }
}

/// Figure 8, (a) to (c): entry 2 of term 2 is on a majority, and must not be committed by counting.
#[test]
fn figure_8_an_old_entry_on_a_majority_is_not_committed_and_may_be_overwritten() {
    let mut world = figure_8_c();
    assert_eq!(world.log(N1)[..2], [1, 2]);
    let holders = (1..=5)
        .filter(|number| world.node(NodeId(*number)).disk.entries.get(1).is_some_and(|it| it.term.0 == 2));
    assert_eq!(holders.count(), 3, "entry 2 of term 2 is on three of five disks");
    assert!(world.checker.committed() < Index(2), "and nobody calls it committed");
    // (d): S1 crashes, S5 leads with the votes of S2, S3 and S4, and overwrites it.
    world.crash(N1);
    world.heal();
    world.elect_node(NodeId(5));
    for number in 2..=5 {
        let id = NodeId(number);
        world.run_until(&Until("it is overwritten"), |world| world.log(id).get(1) == Some(&3));
    }
    world.restart(N1);
    world.write("the end");
    world.settle();
    assert_eq!(world.log(N1)[1], 3);
}

/// (e): if S1 commits an entry of its own term before it crashes, entry 2 is committed with it, and S5 can
/// never win.
#[test]
fn figure_8_an_entry_of_the_leaders_own_term_takes_the_old_one_with_it() {
    let mut world = figure_8_c();
    world.only(|message| message.to != NodeId(4) && message.to != NodeId(5));
    world.run_until(&Until("S1 commits"), |world| world.checker.committed() >= Index(3));
    world.crash(N1);
    world.heal();
    for _ in 0..5 {
        world.input(NodeId(5), Input::Campaign);
        world.run_for(ms(200));
        // Its log ends with term 3, the majority's with a later one: it can win only once it has that too.
        let has_it = world.log(NodeId(5))[..2] == [1, 2];
        assert!(has_it || !world.node(NodeId(5)).leads());
    }
    world.write("the end");
    world.settle();
    assert_eq!(world.log(NodeId(5))[..2], [1, 2]);
}

/// (c): S1, leader of a later term, has sent entry 2 of term 2 to S2 and S3, but none of its own term.
fn figure_8_c() -> World {
    let logs = [(1, vec![1, 2]), (2, vec![1, 2]), (3, vec![1]), (4, vec![1]), (5, vec![1, 3])];
    let mut world = World::with_logs(logs, 3, 4, |config| {
        config.pre_vote = false;
        config.check_quorum = false;
        // One entry in a message, so that entry 2 travels without the no-op.
        config.max_append_entries = 1;
    });
    world.only(|message| {
        let own_term_entry = matches!(&message.rpc, Rpc::AppendEntries(append)
            if append.entries.iter().any(|entry| entry.term >= message.term));
        let to_the_others =
            message.from == NodeId(1) && message.to.0 >= 4 && !matches!(message.rpc, Rpc::RequestVote(_));
        !own_term_entry && !to_the_others && message.from != NodeId(5)
    });
    world.input(N1, Input::Campaign);
    world.run_until(&Until("S3 has entry 2"), |world| world.log(NodeId(3)) == [1, 2]);
    world.run_for(ms(100));
    assert!(world.node(N1).leads());
    world
}

#[test]
fn commands_are_committed_in_order_on_all() {
    let mut world = World::new(3, 1);
    for text in ["42", "55", "81"] {
        world.write(text);
    }
    world.settle();
    for number in 1..=3 {
        assert_eq!(world.commands(NodeId(number)), ["42", "55", "81"]);
    }
}

#[test]
fn a_majority_goes_on_without_the_rest_and_the_rest_catches_up() {
    let mut world = World::new(5, 2);
    world.elect();
    let away = world.followers()[..2].to_vec();
    for id in &away {
        world.isolate(*id);
    }
    for number in 0..50 {
        world.write(&format!("{number}"));
    }
    assert!(away.iter().all(|id| world.commands(*id).is_empty()));
    world.heal();
    world.settle();
    assert!(away.iter().all(|id| world.commands(*id).len() == 50));
}

#[test]
fn a_leader_without_a_majority_commits_nothing_and_later_forgets_it() {
    let mut world = World::new(5, 3);
    let old = world.elect();
    world.settle();
    world.isolate(old);
    for number in 0..3 {
        assert!(matches!(world.propose(old, &format!("never {number}")), Answer::Appended { .. }));
    }
    world.run_until(&Until("another one leads"), |world| world.leader().is_some_and(|id| id != old));
    world.write("7");
    world.write("8");
    assert_eq!(world.log(old).len(), 4);
    world.heal();
    world.settle();
    for number in 1..=5 {
        assert_eq!(world.commands(NodeId(number)), ["7", "8"]);
    }
}

#[test]
fn a_short_cut_delays_and_loses_nothing() {
    let mut world = World::new(5, 4);
    let leader = world.elect();
    let term = world.term(leader);
    let index = match world.propose(leader, "x") {
        Answer::Appended { index, .. } => index,
        other => panic!("{other:?}"),
    };
    world.isolate(leader);
    world.run_for(ms(10));
    world.heal();
    world.run_until(&Until("it is committed"), |world| world.checker.committed() >= index);
    assert!(world.leads_in(leader, term));
}

#[test]
fn the_last_write_of_a_quiet_cluster_is_repaired_too() {
    for seed in 0..20 {
        let mut world = World::new(3, seed);
        let leader = world.elect();
        world.settle();
        let late = world.followers()[0];
        // The entry itself is lost on its way to one follower; nothing else is ever proposed.
        world.only(move |message| {
            !(message.to == late
                && matches!(&message.rpc, Rpc::AppendEntries(append) if !append.entries.is_empty()))
        });
        world.propose(leader, "the last one");
        world.run_for(ms(20));
        world.heal();
        let before = world.now;
        world.settle();
        assert!(world.now.since(before) < ms(200), "within a few heartbeats");
    }
}

#[test]
fn a_lossy_network_that_repeats_and_reorders_changes_nothing_but_the_pace() {
    for seed in 0..10 {
        let mut world = World::with(3, seed, |config| {
            config.max_append_entries = 4;
            config.max_inflight_messages = 3;
        });
        world.network.lose = 200;
        world.network.repeat = 200;
        world.network.straggle = 200;
        for number in 0..40 {
            if let Some(leader) = world.leader() {
                world.propose(leader, &format!("{number}"));
            }
            world.run_for(ms(20));
        }
        world.heal();
        world.network.lose = 0;
        world.network.repeat = 0;
        world.network.straggle = 0;
        world.write("the end");
        world.settle();
        assert_eq!(world.commands(N1), world.commands(NodeId(2)));
        assert!(world.commands(N1).len() > 10);
    }
}

#[test]
fn a_follower_far_behind_catches_up_in_bounded_messages() {
    let mut world = World::with(3, 5, |config| {
        config.max_append_entries = 8;
        config.max_append_bytes = 400;
        config.max_inflight_messages = 4;
        config.max_inflight_bytes = 1_000;
    });
    // As over one connection: nothing overtakes anything.
    world.network.delay = (ms(2), ms(2));
    let leader = world.elect();
    let late = world.followers()[0];
    world.isolate(late);
    for number in 0..300 {
        world.propose(leader, &format!("{number}"));
    }
    world.run_until(&Until("it is committed"), |world| world.checker.committed() >= Index(301));
    world.record = Some(Vec::new());
    world.heal();
    world.settle();
    let sent = world.record.take().expect("recorded");
    let entries = |message: &jangada_raft::message::Message| match &message.rpc {
        Rpc::AppendEntries(append) => append.entries.len(),
        _ => 0,
    };
    let total: usize = sent.iter().map(entries).sum();
    assert!(sent.iter().all(|message| entries(message) <= 8));
    assert!((300..=330).contains(&total), "each entry travels about once: {total}");
}

#[test]
fn a_way_that_reorders_is_not_flooded() {
    for seed in 0..10 {
        let mut world = World::with(3, seed, |config| {
            config.max_append_entries = 1;
            config.max_inflight_messages = 64;
        });
        let leader = world.elect();
        let late = world.followers()[0];
        world.isolate(late);
        for number in 0..100 {
            world.propose(leader, &format!("{number}"));
        }
        world.run_until(&Until("it is committed"), |world| world.checker.committed() >= Index(101));
        world.record = Some(Vec::new());
        // Most messages overtake some others, and each that comes behind a gap is refused.
        world.network.delay = (ms(2), ms(20));
        world.heal();
        world.settle();
        let sent = world.record.take().expect("recorded");
        let carries = |message: &&jangada_raft::message::Message| {
            message.to == late
                && matches!(&message.rpc, Rpc::AppendEntries(append) if !append.entries.is_empty())
        };
        let total = sent.iter().filter(carries).count();
        assert!(total <= 100 * 4, "seed {seed}: {total} messages for 100 entries");
    }
}

#[test]
fn the_messages_for_one_entry_are_bounded() {
    let mut world = World::new(5, 6);
    world.elect();
    world.settle();
    world.record = Some(Vec::new());
    let before = world.now;
    for number in 0..100 {
        world.write(&format!("{number}"));
    }
    world.settle();
    let sent = world.record.take().expect("recorded").len();
    let beats = (world.now.since(before).as_millis() / 50 + 1) * 8;
    // To each of four: the entry, its answer; the commit index and its answer.
    assert!(sent as u128 <= 100 * 16 + beats, "{sent} messages for 100 entries");
}

#[test]
fn followers_learn_soon_what_is_committed() {
    let mut world = World::new(3, 7);
    world.elect();
    let index = world.write("x");
    let before = world.now;
    world.run_until(&Until("all know"), |world| (1..=3).all(|number| world.commit(NodeId(number)) >= index));
    assert!(world.now.since(before) < ms(110), "with the next heartbeat at the latest");
}

#[test]
fn a_leader_with_a_hanging_disk_leads_on_with_the_disks_of_the_others() {
    let mut world = World::new(3, 8);
    let leader = world.elect();
    let term = world.term(leader);
    world.stall_disk(leader);
    let index = world.write("x");
    assert!(world.node(leader).disk.last_index() < index, "it is on the others' disks alone");
    world.run_while(Duration::from_secs(2), "it leads", |world| world.leads_in(leader, term));
    world.free_disk(leader);
    world.settle();
}

#[test]
fn a_follower_with_a_hanging_disk_holds_up_nobody_and_acknowledges_nothing() {
    let mut world = World::new(3, 9);
    let leader = world.elect();
    world.settle();
    let slow = world.followers()[0];
    world.stall_disk(slow);
    let index = world.write("x");
    world.run_for(ms(300));
    assert_eq!(world.node(slow).commit_index(), index, "it knows what is committed");
    let progress = world.node(leader).raft().progress().find(|progress| progress.id == slow).expect("a peer");
    assert!(progress.match_index < index, "but it does not hold it");
    world.free_disk(slow);
    world.settle();
}

#[test]
fn an_old_leaders_entries_that_a_majority_holds_survive_it() {
    for seed in 0..20 {
        let mut world = World::new(3, seed);
        let old = world.elect();
        world.settle();
        // The entry reaches both disks, but no answer returns.
        world.only(move |message| message.to != old);
        world.propose(old, "survives");
        world.run_until(&Until("both hold it"), |world| {
            world
                .followers()
                .iter()
                .all(|id| world.node(*id).disk.last_index() == world.node(old).disk.last_index())
        });
        world.crash(old);
        world.heal();
        world.write("after");
        world.restart(old);
        world.settle();
        assert_eq!(world.commands(old), ["survives", "after"]);
    }
}

#[test]
fn a_deposed_leader_tells_of_its_fall_and_of_what_it_lost() {
    let mut world = World::classic(3, 10);
    world.events = Some(Vec::new());
    let old = world.elect();
    world.settle();
    world.isolate(old);
    let Answer::Appended { index, .. } = world.propose(old, "lost") else { panic!("it leads") };
    world.run_until(&Until("another one leads"), |world| world.leader().is_some_and(|id| id != old));
    world.write("kept");
    world.heal();
    world.settle();
    let events: Vec<Event> = world.events_of(old).collect();
    assert!(events.iter().any(|event| matches!(event, Event::Truncated { from, .. } if *from == index)));
    assert!(events.iter().any(|event| matches!(event, Event::RoleChanged { role: RoleName::Follower, .. })));
    assert_eq!(world.commands(old), ["kept"]);
}
