//! The driver loop of a simulated server: what the replica thread and the log thread do between them.
//!
//! All that waits is handled, then the effects are taken once; messages leave before the disk begins, and the disk
//! answers after a drawn time. A death can come between two messages, or in the middle of a disk operation.

use bytes::BytesMut;
use jangada_node::effect::{Effect, Failure, Input};
use jangada_node::event::{ClientEvent, Deed, DiskEvent, Event, FrameRefusal};
use jangada_node::frame::{self, Frame, Route};
use jangada_node::log_writer::LogDone;
use jangada_raft::event::{Event as RaftEvent, MembershipStage, RoleChange, RoleName};
use jangada_raft::invariants::check_invariants;
use jangada_raft::types::{ClusterId, Index, Time};

use crate::check::{Disks, Invariant, check_bounds, check_halt};
use crate::coverage::{Counter, Coverage};
use crate::disk::tape::Note;
use crate::network::{Letter, id_of, place_of};
use crate::plan::{Death, Moment};
use crate::queue::{Happening, Place};
use crate::rng::{Dice, nanos};
use crate::server::{CLUSTER, Doom, REST_AFTER};
use crate::workload::Workload;
use crate::world::World;

/// Another cluster.
const OTHER_CLUSTER: ClusterId = ClusterId(CLUSTER.0 + 1);
/// Where a frame says its version.
const VERSION_AT: usize = 8;
/// The longest frame that a server accepts.
pub(crate) const MAX_FRAME: usize = 64 << 20;
/// The core's own invariants are checked at every step, along what it can have changed; at every so-manieth, the whole server
/// is walked through all the same.
const WALK_EVERY: u64 = 512;
/// A deadline that has passed already is served this much later, so that time goes on.
const SOON: u64 = 1_000;

impl<W: Workload> World<W> {
    /// Bytes arrive.
    pub(crate) fn deliver(&mut self, from: Place, card: u32, to: Place, mut bytes: BytesMut) {
        let Some(process) = &self.servers[to].process else { return };
        if process.standing.objects_to(from, &self.cards[card as usize]) {
            return self.coverage.count(Counter::StrangersRefused);
        }
        let route = Route { cluster: CLUSTER, from: id_of(from), to: id_of(to) };
        match frame::decode(&mut bytes, route, MAX_FRAME) {
            Ok(Some(frame)) => self.give(to, Input::Peer(id_of(from), frame)),
            // The link is closed, now or when the rest of a frame does not come: what is in flight on it is lost.
            Ok(None) | Err(_) => {
                self.coverage.count(Counter::FramesRefused);
                self.network.reset(&[(from, to)]);
            }
        }
    }

    /// Bytes arrive that no server must take.
    pub(crate) fn deliver_foreign(&mut self, from: Place, to: Place, why: FrameRefusal, mut bytes: BytesMut) {
        if self.servers[to].process.is_none() {
            return;
        }
        let route = Route { cluster: CLUSTER, from: id_of(from), to: id_of(to) };
        let outcome = frame::decode(&mut bytes, route, MAX_FRAME);
        match (&outcome, why) {
            (Err(FrameRefusal::Cluster), FrameRefusal::Cluster) => {
                self.coverage.count(Counter::ForeignersRefused);
            }
            (Err(FrameRefusal::Version), FrameRefusal::Version) => {
                self.coverage.count(Counter::VersionsRefused);
            }
            _ => self.findings.report(Invariant::ForeignersRefused, Some(id_of(to)), || {
                format!("a frame is to be refused ({why:?}), and {outcome:?} comes of it")
            }),
        }
    }

    /// Gives a server something to do.
    pub(crate) fn give(&mut self, place: Place, input: Input<crate::observed::Observed<W::Machine>>) {
        let Some(process) = &mut self.servers[place].process else { return };
        process.inbox.push(input);
        if process.paused_until > self.now {
            return;
        }
        let delay = self.plan.settings.step_delay;
        if delay.is_zero() {
            self.act(place);
        } else {
            self.set_alarm(place, self.now + delay);
        }
    }

    /// A server's alarm rings.
    pub(crate) fn wake(&mut self, place: Place, start: u64) {
        let now = self.now;
        let server = &mut self.servers[place];
        let Some(process) = server.process.as_mut().filter(|_| server.starts == start) else { return };
        if process.wake_at == now {
            process.wake_at = Time::NEVER;
        }
        if process.paused_until > now {
            return;
        }
        self.records.note(now, place, Deed::Resume);
        let deadline = process.clock.global(process.replica.next_deadline());
        if process.inbox.is_empty() && deadline > now {
            self.set_alarm(place, deadline);
        } else {
            self.act(place);
        }
    }

    fn set_alarm(&mut self, place: Place, at: Time) {
        let server = &mut self.servers[place];
        let Some(process) = &mut server.process else { return };
        if at < process.wake_at {
            process.wake_at = at;
            self.queue.push(at, Happening::Wake { server: place, start: server.starts });
        }
    }

    /// One turn of the loop: everything that waits, then what follows from it.
    pub(crate) fn act(&mut self, place: Place) {
        let now = self.now;
        let Some(process) = &mut self.servers[place].process else { return };
        self.acting = Some(place);
        if let Some(since) = process.clock_stands_since.take() {
            process.clock.stood_still(now.since(since));
        }
        let local = process.clock.local(now);
        for input in process.inbox.drain(..) {
            process.replica.handle(local, input);
        }
        process.replica.handle(local, Input::TimePassed);
        process.replica.take_effects(local, &mut self.effects, &mut self.events);
        self.steps += 1;
        self.look(place);
        if !self.carry_out(place, local) {
            self.acting = None;
            return;
        }
        self.begin_disk(place);
        let Some(process) = &self.servers[place].process else { return };
        let deadline = process.clock.global(process.replica.next_deadline());
        self.set_alarm(place, deadline.max(Time(now.0 + SOON)));
        self.acting = None;
    }

    /// A server says something of itself outside its turn.
    pub(crate) fn record(&mut self, place: Place, event: Event) {
        let record = self.records.take(self.now, place, event, &mut self.findings);
        count(&event, &mut self.coverage);
        if let Some(story) = &mut self.story
            && self.findings.violations.is_empty()
        {
            story.record(&record);
        }
    }

    /// The checkers look at the server.
    fn look(&mut self, place: Place) {
        let World { servers, disks, lost_disks, logs, committed, findings, coverage, events, story, .. } =
            self;
        let Some(process) = &mut servers[place].process else { return };
        let (raft, disks) = (process.replica.raft(), Disks { present: disks, lost: lost_disks });
        process.watcher.check(raft);
        if self.steps.is_multiple_of(WALK_EVERY) {
            check_invariants(raft);
        }
        check_bounds(&process.replica, &self.plan.settings, findings);
        let mut members_changed = false;
        for event in events.drain(..) {
            let record = self.records.take(self.now, place, event, findings);
            count(&event, coverage);
            if let Some(story) = story
                && findings.violations.is_empty()
            {
                story.record(&record);
            }
            if let Event::Raft(event) = event {
                if matches!(
                    event,
                    RaftEvent::RoleChanged { role: RoleName::Leader, .. }
                        | RaftEvent::MembershipChanged { .. }
                        | RaftEvent::TransferStarted { .. }
                ) {
                    self.calm.disturb(self.now);
                }
                members_changed |= matches!(
                    event,
                    RaftEvent::MembershipChanged { .. }
                        | RaftEvent::SnapshotInstalled { .. }
                        | RaftEvent::Truncated { .. }
                );
                process.seen.event(raft, event, logs, committed, &disks, findings);
            }
        }
        let before = committed.last();
        process.seen.check(&process.replica, logs, committed, &disks, findings);
        coverage.add(Counter::Commits, committed.last() - before);
        if let Some((commands, hash)) = process.replica.state().sample() {
            self.samples.check(id_of(place), commands, hash, findings);
        }
        if members_changed {
            self.hand_out_card(place);
        }
    }

    /// Carries the effects out. `false` if the server died on the way.
    fn carry_out(&mut self, place: Place, local: Time) -> bool {
        let mut effects = std::mem::take(&mut self.effects);
        let mut alive = true;
        for effect in effects.drain(..) {
            if !alive {
                continue;
            }
            match effect {
                Effect::Send(to, frame) => alive = self.post(place, place_of(to), frame, local),
                Effect::Log(job) => {
                    if let Some(process) = &mut self.servers[place].process {
                        process.jobs.push(job);
                    }
                }
                Effect::Reply(token, answers) => self.answer(token, answers),
                Effect::AdminReply(token, outcome) => self.answer_administrator(token, outcome),
                Effect::Halt(why) => {
                    alive = false;
                    self.halt(place, &why);
                }
            }
        }
        self.effects = effects;
        alive
    }

    /// Sends a frame. `false` if the server dies right after it.
    fn post(&mut self, from: Place, to: Place, frame: Frame, local: Time) -> bool {
        if to >= self.servers.len() || from == to {
            return true;
        }
        let down = self.servers[to].process.is_none();
        if down && let Frame::Forward { id, commands } = &frame {
            // Nobody listens there, and the link knows it: the commands never left.
            let answers = vec![Err(Failure::NoLeader); commands.len()];
            let reply = Input::Peer(id_of(to), Frame::ForwardReply { id: *id, answers });
            if let Some(process) = &mut self.servers[from].process {
                process.replica.handle(local, reply);
            }
            return true;
        }
        self.messages += 1;
        if let Frame::Raft(message) = &frame
            && let Some(process) = &self.servers[from].process
        {
            self.disks[from].note(|| Note::said(message, process.replica.raft()));
        }
        if !down && !self.network.is_cut(from, to) {
            let route = Route { cluster: CLUSTER, from: id_of(from), to: id_of(to) };
            self.scratch.clear();
            frame::encode(&frame, route, &mut self.scratch);
            self.message_bytes += self.scratch.len() as u64;
            let card = self.servers[from].process.as_ref().map_or(0, |process| process.card);
            let may_repeat = matches!(frame, Frame::Raft(_));
            let letter = Letter { from, card, to, bytes: &self.scratch, may_repeat };
            self.network.send(self.now, &letter, &mut self.queue, &mut self.coverage);
            self.post_foreign(&frame, route, from, to);
        }
        self.doomed_by_send(from)
    }

    /// Now and then somebody who has nothing to do with this cluster, or is older or younger, says the same.
    fn post_foreign(&mut self, frame: &Frame, route: Route, from: Place, to: Place) {
        if self.network.brings_a_foreigner() {
            self.scratch.clear();
            frame::encode(frame, Route { cluster: OTHER_CLUSTER, ..route }, &mut self.scratch);
            self.push_foreign(from, to, FrameRefusal::Cluster);
        }
        if self.network.brings_another_version() {
            self.scratch.clear();
            frame::encode(frame, route, &mut self.scratch);
            self.scratch[VERSION_AT] = frame::VERSION + 1;
            self.push_foreign(from, to, FrameRefusal::Version);
        }
    }

    fn push_foreign(&mut self, from: Place, to: Place, why: FrameRefusal) {
        let bytes = BytesMut::from(&self.scratch[..]);
        let at = self.now + self.network.plan.delay_max;
        self.queue.push(at, Happening::DeliverForeign { from, to, why, bytes });
    }

    fn doomed_by_send(&mut self, place: Place) -> bool {
        let Some(Doom { at: Moment::AfterSends(left), death, down }) = &mut self.servers[place].doom else {
            return true;
        };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return true;
        }
        let (death, down) = (*death, *down);
        self.coverage.count(Counter::CrashesAfterSend);
        self.die(place, death);
        self.start_after(place, down);
        false
    }

    /// The disk begins with what waits, if it is idle.
    fn begin_disk(&mut self, place: Place) {
        let now = self.now;
        let server = &mut self.servers[place];
        let Some(process) = &mut server.process else { return };
        if process.in_flight.is_some() || process.jobs.is_empty() {
            return;
        }
        process.in_flight = Some(std::mem::take(&mut process.jobs));
        let plan = &self.plan.disk;
        let mut takes = self.disk_rng.duration(plan.sync_min, plan.sync_max);
        if self.disk_rng.chance(plan.stall) {
            takes += self.disk_rng.duration(plan.sync_max, plan.stall_by);
            self.calm.disturb(now + takes);
        }
        self.queue.push(now + takes, Happening::DiskDone { server: place, start: server.starts });
    }

    /// The disk has done what it was given: this is where it does it.
    pub(crate) fn disk_done(&mut self, place: Place, start: u64) {
        let server = &mut self.servers[place];
        if server.starts != start || server.process.is_none() {
            return;
        }
        let mut done = Vec::new();
        if let Err(why) = self.run_disk(place, &mut done) {
            return self.disk_failed(place, &why);
        }
        let Some(process) = &mut self.servers[place].process else { return };
        process.inbox.extend(done.into_iter().map(Input::Log));
        process.idle_since = self.now;
        if process.paused_until <= self.now {
            self.act(place);
        }
        self.begin_disk(place);
    }

    /// Does the jobs in flight, as `log_thread::serve` does.
    pub(crate) fn run_disk(&mut self, place: Place, done: &mut Vec<LogDone>) -> Result<(), String> {
        let Some(process) = &mut self.servers[place].process else { return Ok(()) };
        let rested = self.now.since(process.idle_since) >= REST_AFTER;
        let jobs = process.in_flight.take().unwrap_or_default();
        let disk = &self.disks[place];
        disk.note(|| Note::Jobs(jobs.clone()));
        let outcome = (if rested { process.writer.rest() } else { Ok(()) })
            .and_then(|()| process.writer.run(jobs, done))
            .inspect(|()| disk.note(|| Note::Done))
            .and_then(|()| process.writer.when_idle());
        outcome.map_err(|why| why.to_string())
    }

    /// An operation of the disk has failed: by a doom, by a fault, or by a bug.
    fn disk_failed(&mut self, place: Place, why: &str) {
        match self.servers[place].doom {
            Some(Doom { at: Moment::AtDiskOperation(_), death, down }) => {
                self.coverage.count(Counter::CrashesInDisk);
                self.die(place, death);
                self.start_after(place, down);
            }
            _ => self.halt(place, why),
        }
    }

    /// The server stops by itself: its process ends, and somebody starts it again.
    fn halt(&mut self, place: Place, why: &str) {
        if self.disks[place].is_damaged() {
            self.die(place, Death::Killed);
            return self.refuse_damage(place);
        }
        check_halt(id_of(place), &self.disks[place], why, &mut self.findings);
        self.coverage.count(Counter::DiskErrors);
        let down = self.disk_fault_down[place];
        self.die(place, Death::Killed);
        self.start_after(place, down);
    }
}

fn count(event: &Event, coverage: &mut Coverage) {
    let counter = match event {
        Event::Raft(RaftEvent::RoleChanged { role: RoleName::Leader, .. }) => Counter::Elections,
        Event::Raft(RaftEvent::RoleChanged { why: RoleChange::QuorumLost, .. }) => Counter::QuorumLost,
        Event::Raft(RaftEvent::RoleChanged { why: RoleChange::ElectionLost, .. }) => Counter::FailedCampaigns,
        Event::Raft(RaftEvent::Truncated { .. }) => Counter::Truncations,
        Event::Raft(RaftEvent::LogConflict { .. }) => Counter::LogConflicts,
        Event::Raft(RaftEvent::SnapshotInstalled { .. }) => Counter::SnapshotsInstalled,
        Event::Raft(RaftEvent::TransferStarted { .. }) => Counter::Transfers,
        Event::Raft(RaftEvent::ReadConfirmed { .. }) => Counter::ReadsConfirmed,
        Event::Raft(RaftEvent::MembershipChanged { stage, .. }) => match stage {
            MembershipStage::Joint => Counter::JointConfigurations,
            MembershipStage::Final | MembershipStage::CatchUp => Counter::FinalConfigurations,
        },
        Event::Disk(DiskEvent::SnapshotWritten { .. }) => Counter::SnapshotsTaken,
        Event::Disk(DiskEvent::Opened { snapshot, torn_bytes, .. }) => {
            coverage.add(Counter::TornTails, u64::from(*torn_bytes > 0));
            coverage.add(Counter::SnapshotsLoaded, u64::from(*snapshot > Index::ZERO));
            return;
        }
        Event::Client(ClientEvent::Forwarded { .. }) => Counter::Forwards,
        _ => return,
    };
    coverage.count(counter);
}

/// How long something lasts, as a point in time from now.
pub(crate) fn after(now: Time, nanos_later: core::time::Duration) -> Time {
    Time(now.0.saturating_add(nanos(nanos_later)))
}
