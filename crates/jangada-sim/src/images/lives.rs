//! Scripted lives: elections, truncations, rotation and recycling, snapshots taken and received, members that come
//! and go, crashes of all kinds, in small segments, so that everything happens often.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use jangada_kv::Request;
use jangada_kv::command::{Command, Set};
use jangada_node::effect::Input;
use jangada_raft::types::NodeId;

use crate::disk::Loss;
use crate::kv::{Kv, as_operation};
use crate::plan::{Cut, Death, Plan, Profile, Who};
use crate::world::World;

use super::Life;
use super::truth::Truth;

const PATIENCE: Duration = Duration::from_secs(10);
/// Four of these nearly fill a segment.
const LONG: usize = 3_500;
const SHORT: usize = 20;

/// What happens to a cluster of this seed.
type Live = fn(u64) -> Script;

pub(super) fn all(seed: u64) -> impl Iterator<Item = Life> {
    let lives: [(&'static str, Live); 4] =
        [("alone", alone), ("truncated", truncated), ("far behind", far_behind), ("members", members)];
    lives.into_iter().map(move |(name, live)| live(seed).end(name))
}

/// A cluster that is told what to do.
struct Script {
    world: World<Kv>,
    writes: u64,
}

/// One server: all that it answers is on its own disk.
fn alone(seed: u64) -> Script {
    let mut script = Script::begin(seed, 1, 0, Profile::Default);
    let n1 = NodeId(1);
    for round in 0..4 {
        script.write(n1, &[SHORT, LONG, SHORT, LONG, LONG]);
        script.write(n1, &[LONG, LONG, SHORT]);
        script.rest();
        script.world.tell(n1, Input::TakeSnapshot);
        script.write(n1, &[SHORT, LONG]);
        script.submit(n1, SHORT);
        script.world.crash(n1, [Death::Power(Loss::AnyBytes), Death::Killed][round % 2]);
        script.world.restart(n1);
        script.leader();
    }
    script
}

/// Leaders that are cut off, and what becomes of what they alone have.
fn truncated(seed: u64) -> Script {
    let mut script = Script::begin(seed, 3, 0, Profile::Classic);
    for round in 0..3 {
        let old = script.leader();
        script.write(old, &[SHORT, LONG, SHORT]);
        let cut = script.world.part(&Cut::Isolate(Who::Server(old)));
        script.begin_writes(old, &[SHORT, LONG, LONG, SHORT]);
        let new = script.leader_without(old);
        script.write(new, &[LONG, SHORT]);
        script.world.rejoin(cut);
        script.caught_up();
        script
            .world
            .crash(new, [Death::Power(Loss::AnySectors), Death::Killed, Death::Power(Loss::Latest)][round]);
        let other = script.leader_without(new);
        script.write(other, &[SHORT, LONG]);
        script.world.restart(new);
        script.caught_up();
    }
    script
}

/// A follower that has to be sent a snapshot, twice; the second time it dies on the way.
fn far_behind(seed: u64) -> Script {
    let mut script = Script::begin(seed, 3, 0, Profile::Default);
    for round in 0..2 {
        let leader = script.leader();
        let late = NodeId(1 + leader.0 % 3);
        let cut = script.world.part(&Cut::Isolate(Who::Server(late)));
        script.write(leader, &[LONG, LONG, SHORT, LONG, LONG, LONG]);
        for id in (1..=3).map(NodeId).filter(|id| *id != late) {
            script.world.tell(id, Input::TakeSnapshot);
        }
        script.rest();
        script.write(leader, &[LONG, SHORT]);
        script.world.rejoin(cut);
        if round == 1 {
            script.world.run_until(PATIENCE, |world| world.disk(late).unsynced_changes() > 2);
            script.world.crash(late, Death::Power(Loss::AnyChanges));
            script.world.restart(late);
        }
        script.caught_up();
        let leader = script.leader();
        script.write(leader, &[LONG, LONG, LONG, SHORT]);
        script.world.tell(late, Input::TakeSnapshot);
        script.rest();
    }
    script
}

/// New members, old members, and a leader that leaves.
fn members(seed: u64) -> Script {
    let mut script = Script::begin(seed, 3, 2, Profile::Default);
    let leader = script.leader();
    script.write(leader, &[SHORT, LONG, LONG]);
    script.world.tell(leader, Input::TakeSnapshot);
    script.rest();
    for voters in [[1, 2, 4], [4, 5, 1], [5, 3, 2]] {
        let leader = script.leader();
        let voters: BTreeSet<NodeId> = voters.map(NodeId).into();
        let wish = script.world.change_members(leader, voters, BTreeSet::new());
        script.until("the change is made", |world| world.administrator_answer(wish).is_some());
        let leader = script.leader();
        script.write(leader, &[SHORT, LONG, SHORT]);
    }
    for id in (1..=5).map(NodeId) {
        script.world.crash(id, Death::Power(Loss::AnyBytes));
    }
    for id in (1..=5).map(NodeId) {
        script.world.restart(id);
    }
    let leader = script.leader();
    script.write(leader, &[SHORT, SHORT]);
    script
}

impl Script {
    fn begin(seed: u64, servers: u64, spares: u64, profile: Profile) -> Script {
        let mut plan = Plan::quiet(seed, servers);
        (plan.profile, plan.spares, plan.record_disks) = (profile, spares, true);
        plan.settings.segment_bytes = 16 << 10;
        plan.settings.snapshot_part_bytes = 1 << 10;
        plan.settings.keep_bytes_behind_snapshot = 1 << 10;
        let mut script = Script { world: World::of(plan, Kv::new()), writes: 0 };
        script.leader();
        script
    }

    /// Lets time pass until the condition holds.
    fn until(&mut self, what: &str, condition: impl Fn(&World<Kv>) -> bool) {
        let holds = self.world.run_until(PATIENCE, condition);
        assert!(holds, "{what}, within {PATIENCE:?}; violations: {:?}", self.world.violations());
    }

    fn leader(&mut self) -> NodeId {
        self.until("somebody leads", |world| world.leader().is_some());
        self.world.leader().expect("it leads")
    }

    fn leader_without(&mut self, dead: NodeId) -> NodeId {
        self.until("somebody else leads", |world| world.leader().is_some_and(|leader| leader != dead));
        self.world.leader().expect("it leads")
    }

    /// Values of these lengths, one after the other, each answered before the next.
    fn write(&mut self, at: NodeId, lengths: &[usize]) {
        for length in lengths {
            let request = self.request(*length);
            let id = self.world.submit(at, |_| as_operation(request));
            self.until("it is answered", |world| world.has_ended(id));
        }
    }

    /// Values that nobody waits for.
    fn begin_writes(&mut self, at: NodeId, lengths: &[usize]) {
        for length in lengths {
            self.submit(at, *length);
            self.world.run_for(Duration::from_millis(2));
        }
    }

    fn submit(&mut self, at: NodeId, length: usize) {
        let request = self.request(length);
        self.world.submit(at, |_| as_operation(request));
    }

    /// Few keys, so that the state stays small; values that are never the same.
    fn request(&mut self, length: usize) -> Request {
        self.writes += 1;
        let key = Bytes::from(format!("k{}", self.writes % 3));
        let value = Bytes::from(format!("{:>length$}", self.writes));
        Request::Command(Command::Set(Set::new(key, value)))
    }

    fn rest(&mut self) {
        self.world.run_for(Duration::from_millis(400));
    }

    fn caught_up(&mut self) {
        let done = |world: &World<Kv>| {
            let commit = world.commit_index();
            world.running().all(|replica| replica.last_applied() == commit)
        };
        self.until("all catch up", done);
        self.rest();
    }

    fn end(mut self, name: &'static str) -> Life {
        self.rest();
        let violation = self.world.violations().first().map(ToString::to_string);
        assert_eq!(violation, None, "the life itself is sound");
        let plan = self.world.plan().clone();
        let tapes = (1..=plan.places() as u64).map(|id| self.world.disk(NodeId(id)).take_tape()).collect();
        Life { name, truth: Truth::of(&self.world), plan, tapes }
    }
}
