//! A world without faults of its own does what it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use jangada_kv::Request;
use jangada_kv::command::{Command, Expiry, Set};
use jangada_node::effect::AdminDone;
use jangada_raft::types::NodeId;
use jangada_sim::coverage::Counter;
use jangada_sim::disk::Loss;
use jangada_sim::kv::{Kv, as_operation};
use jangada_sim::plan::{Cut, Death, Fault, Who};
use jangada_sim::{World, run};

const PATIENCE: Duration = Duration::from_secs(5);

fn set(world: &mut World<Kv>, at: NodeId, value: &'static str) -> bool {
    let set = Set::new(Bytes::from_static(b"d"), Bytes::from_static(value.as_bytes()));
    let id = world.submit(at, |_| as_operation(Request::Command(Command::Set(set))));
    world.run_until(PATIENCE, |world| world.has_ended(id))
}

#[test]
fn a_leader_dies_and_another_goes_on() {
    let mut world = World::new(1).servers(3).quiet().build();
    assert!(world.run_until(PATIENCE, |world| world.leader().is_some()));
    let first = world.leader().expect("it was there just now");
    assert!(set(&mut world, first, "8"));
    world.crash(first, Death::Power(Loss::Everything));
    assert!(world.run_until(PATIENCE, |world| world.leader().is_some_and(|leader| leader != first)));
    let second = world.leader().expect("it was there just now");
    assert!(set(&mut world, second, "9"));
    world.restart(first);
    let caught_up = |world: &World<Kv>| {
        world.running().count() == 3 && world.running().all(|it| it.last_applied() == world.commit_index())
    };
    assert!(world.run_until(PATIENCE, caught_up));
    world.finale();
    assert_eq!(world.violations(), []);
}

#[test]
fn a_leader_without_its_followers_commits_nothing() {
    let mut world = World::new(2).servers(5).quiet().build();
    assert!(world.run_until(PATIENCE, |world| world.leader().is_some()));
    let old = world.leader().expect("it was there just now");
    let partition = world.part(&Cut::Isolate(Who::Leader));
    let before = world.replica(old).expect("it runs").raft().commit_index();
    world.submit(old, |_| as_operation(Request::Tick));
    assert!(world.run_until(PATIENCE, |world| world.leader().is_some_and(|leader| leader != old)));
    assert!(world.replica(old).expect("it runs").raft().commit_index() <= before.next());
    world.rejoin(partition);
    world.run_for(PATIENCE);
    world.finale();
    assert_eq!(world.violations(), []);
}

#[test]
fn members_come_and_go() {
    let mut plan = World::new(3).servers(3).quiet().plan();
    plan.spares = 2;
    let mut world = World::of(plan, Kv::new());
    assert!(world.run_until(PATIENCE, |world| world.leader().is_some()));
    let leader = world.leader().expect("it was there just now");
    let voters: BTreeSet<NodeId> = [1, 4, 5].map(NodeId).into();
    assert!(set(&mut world, leader, "1"));
    let wish = world.change_members(leader, voters.clone(), BTreeSet::new());
    assert!(world.run_until(PATIENCE, |world| world.administrator_answer(wish).is_some()));
    assert_eq!(world.administrator_answer(wish), Some(Ok(AdminDone::MembershipChanged)));
    assert_eq!(world.replica(NodeId(5)).expect("it runs").raft().membership().voters, voters);
    world.finale();
    assert_eq!(world.violations(), []);
}

#[test]
fn a_cluster_is_judged_when_a_lost_disk_is_made_up_for() {
    let mut plan = World::new(4).servers(3).quiet().plan();
    // A server that lost its disk at the end of the troubles gets the log in some ten seconds: entry by entry, over
    // links on which most of them come out of order.
    plan.trouble = Duration::from_secs(10);
    plan.clients.clients = 8;
    plan.clients.think = Duration::from_millis(50);
    plan.settings.max_append_entries = 1;
    plan.network.delay_min = Duration::from_millis(10);
    plan.network.delay_max = Duration::from_millis(80);
    let lost = Fault::LoseDisk { who: Who::Leader, down: Duration::from_millis(1), stale: false };
    plan.faults = vec![(Duration::from_millis(9_900), lost)];
    let verdict = run(plan, Kv::new());
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.coverage.of(Counter::DisksReplaced), 1);
}

#[test]
fn no_disk_is_lost_while_a_change_of_members_waits_for_a_sleeping_leader() {
    let mut plan = World::new(5).servers(4).quiet().plan();
    plan.trouble = Duration::from_secs(5);
    let at = |millis| Duration::from_millis(millis);
    let lost = Fault::LoseDisk { who: Who::Server(NodeId(4)), down: at(100), stale: false };
    plan.faults = vec![
        (at(2_000), Fault::Pause { who: Who::Leader, lasts: at(100), clock: false }),
        (at(2_010), Fault::ChangeMembers { voters: [3, 4].map(NodeId).into(), learners: BTreeSet::new() }),
        (at(2_020), lost),
    ];
    let verdict = run(plan, Kv::new());
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.coverage.of(Counter::DisksLost), 0);
}

#[test]
fn whoever_stays_dead_is_missed_by_no_change_that_was_called_off_too_late() {
    let at = |millis| Duration::from_millis(millis);
    let change = |voters: &[u64]| Fault::ChangeMembers {
        voters: voters.iter().copied().map(NodeId).collect(),
        learners: BTreeSet::new(),
    };
    // A leader that sleeps is asked for n1 and n3, and then for what there is already. It wakes when all heals, sends the
    // one, and dies before it has sent the other.
    let mut dead = 0;
    for seed in 0..64 {
        let mut plan = World::new(seed).servers(5).quiet().plan();
        plan.trouble = at(4_100);
        (plan.settings.max_append_entries, plan.settings.max_inflight_messages) = (1, 1);
        plan.network.delay_min = at(2);
        plan.network.delay_max = at(4);
        plan.faults = vec![
            (at(1_000), change(&[3, 4, 5])),
            (at(4_000), Fault::Pause { who: Who::Leader, lasts: at(60_000), clock: false }),
            (at(4_010), change(&[1, 3])),
            (at(4_020), change(&[3, 4, 5])),
        ];
        let mut world = World::of(plan, Kv::new());
        world.run_for(at(4_100));
        world.finale();
        assert_eq!(world.violations(), [], "seed {seed}");
        dead += 5 - world.running().count();
    }
    assert!(dead > 0, "some stay dead");
}

#[test]
fn a_long_term_of_office_with_unequal_clocks_shortens_no_keys_life() {
    for seed in 0..6 {
        let mut plan = World::new(seed).servers(3).quiet().plan();
        plan.settings.drift_per_mille = 10;
        let mut world = World::of(plan, Kv::new());
        assert!(world.run_until(PATIENCE, |world| world.leader().is_some()));
        let leader = world.leader().expect("it was there just now");
        // A clock that is one hundredth faster gains a second meanwhile. Time is written down all along.
        for _ in 0..20 {
            assert!(set(&mut world, leader, "8"));
            world.run_for(PATIENCE);
        }
        let mortal = Set::new(Bytes::from_static(b"t"), Bytes::from_static(b"1"));
        let mortal = Set { expiry: Expiry::After(2_000), ..mortal };
        let written = world.now();
        let id = world.submit(leader, |_| as_operation(Request::Command(Command::Set(mortal))));
        assert!(world.run_until(PATIENCE, |world| world.has_ended(id)));
        let everybody_has = |world: &World<Kv>, keys: u64| {
            world.running().all(|server| server.state().inner().store.key_count() == keys)
        };
        assert!(world.run_until(PATIENCE, |world| everybody_has(world, 2)));
        let heir = NodeId(leader.0 % 3 + 1);
        world.transfer(leader, heir);
        assert!(world.run_until(PATIENCE, |world| world.leader() == Some(heir)));
        assert!(world.run_until(PATIENCE, |world| everybody_has(world, 1)));
        let lived = world.now().since(written);
        assert!(lived >= Duration::from_millis(1_970), "seed {seed}: lived only {lived:?}");
        world.finale();
        assert_eq!(world.violations(), []);
    }
}
