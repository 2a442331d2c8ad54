//! A failure is made small, stays the same failure, and is told as a story.

use jangada_raft::types::NodeId;
use jangada_sim::kv::Kv;
use jangada_sim::plan::{Death, Fault, Moment, Plan, Profile, Who};
use jangada_sim::shrink::{Size, shrink};
use jangada_sim::{Invariant, Violation, World, tell};

/// A rule that no world keeps for long: nobody dies while they lead.
fn leaders_die(plan: &Plan) -> Vec<Violation> {
    let mut world = World::of(plan.clone(), Kv::new());
    let mut led: Option<NodeId> = None;
    while u128::from(world.now().0) < plan.trouble.as_nanos() && world.step() {
        if let Some(leader) = led.filter(|leader| world.replica(*leader).is_none()) {
            return vec![Violation {
                invariant: Invariant::Halt,
                node: Some(leader),
                time: world.now(),
                sentence: format!("{leader} died while it led"),
            }];
        }
        led = world.leader();
    }
    Vec::new()
}

fn failing(seed: u64) -> Option<(Plan, Violation)> {
    let plan = World::new(seed).profile(Profile::Default).plan();
    let violation = leaders_die(&plan).pop()?;
    Some((plan, violation))
}

#[test]
fn a_failure_gets_small_and_stays_what_it_was() {
    let mut smallest = 0;
    for seed in 0..6 {
        let Some((plan, violation)) = failing(seed) else { continue };
        let shrunk = shrink(&plan, &violation, 400, leaders_die);
        let again = leaders_die(&shrunk.plan);
        assert_eq!(again, std::slice::from_ref(&shrunk.violation), "seed {seed}");
        let (before, after) = (Size::of(&plan), Size::of(&shrunk.plan));
        println!("seed {seed}: {before:?} to {after:?} in {} tries", shrunk.tries);
        assert!(after.faults <= 5 && after.operations <= 256, "seed {seed}: {after:?}");
        assert!(after.trouble < before.trouble, "seed {seed}");
        // One crash of one server is enough; a greedy search may end a little above that.
        smallest += u32::from((after.servers, after.faults, after.operations) == (1, 1, 0));
    }
    assert!(smallest >= 3, "only {smallest} seeds are as small as can be");
}

#[test]
fn the_same_failure_is_shrunk_to_the_same_plan() {
    let (plan, violation) = (0..).find_map(failing).expect("leaders die");
    let one = shrink(&plan, &violation, 60, leaders_die);
    let other = shrink(&plan, &violation, 60, leaders_die);
    assert_eq!(format!("{:?}", one.plan), format!("{:?}", other.plan));
    assert_eq!((one.tries, one.violation), (other.tries, other.violation));
}

#[test]
fn the_number_of_runs_is_bounded() {
    let (plan, violation) = (0..).find_map(failing).expect("leaders die");
    let mut runs = 0;
    let shrunk = shrink(&plan, &violation, 7, |plan| {
        runs += 1;
        leaders_die(plan)
    });
    assert_eq!((runs, shrunk.tries), (7, 7));
}

#[test]
fn a_timeline_says_who_did_what() {
    let mut plan = World::new(1).servers(3).quiet().plan();
    let ms = std::time::Duration::from_millis;
    plan.trouble = ms(2_000);
    plan.clients.clients = 1;
    plan.clients.operations = 3;
    let crash = Fault::Crash { who: Who::Leader, at: Moment::Now, death: Death::Killed, down: ms(50) };
    plan.faults = vec![(ms(1_000), crash)];
    let (verdict, lines) = tell(plan, Kv::new());
    assert_eq!(verdict.violations, []);
    let story = lines.join("\n");
    println!("{story}");
    for part in
        ["│ ▲    n2   starts", "LEADER of term", "is killed", "the leader n", "asks: SET", "everything heals"]
    {
        assert!(story.contains(part), "no `{part}` in\n{story}");
    }
}
