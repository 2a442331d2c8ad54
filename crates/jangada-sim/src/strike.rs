//! Planned faults strike.

use core::time::Duration;
use std::collections::BTreeSet;

use jangada_node::effect::Input;
use jangada_node::event::Deed;
use jangada_raft::face::MembershipChange;
use jangada_raft::types::NodeId;

use crate::coverage::Counter;
use crate::network::place_of;
use crate::plan::{Cut, Death, Drip, Fault, Moment, Who};
use crate::queue::{Happening, Place};
use crate::rng::Dice;
use crate::server::Doom;
use crate::telling;
use crate::workload::Workload;
use crate::world::World;

/// So long somebody waits for a change of members.
const CHANGE_PATIENCE: Duration = Duration::from_secs(4);

impl<W: Workload> World<W> {
    pub(crate) fn place(&self, who: Who) -> Option<Place> {
        let place = match who {
            Who::Leader => place_of(self.leader()?),
            Who::Server(id) => place_of(id),
        };
        (place < self.servers.len()).then_some(place)
    }

    /// The fault of this number begins.
    pub(crate) fn strike(&mut self, number: usize) {
        let fault = self.plan.faults.get(number).map(|(_, fault)| fault.clone());
        if let Some(fault) = fault {
            self.strike_with(fault);
        }
    }

    /// A fault begins.
    pub(crate) fn strike_with(&mut self, fault: Fault) {
        if self.healed {
            return;
        }
        let (places, leader) = (self.servers.len(), self.leader());
        self.narrate(|story, now| story.world(now, &telling::fault(&fault, places, leader)));
        self.disturb(Duration::ZERO);
        match fault {
            Fault::Crash { who, at, death, down } => {
                if let Some(place) = self.place(who) {
                    self.doom(place, Doom { at, death, down });
                }
            }
            Fault::CrashAll { death, down } => self.crash_all(death, down),
            Fault::Partition { cut, lasts } => {
                let partition = self.part(&cut);
                self.queue.push(self.now + lasts, Happening::Rejoin(partition));
            }
            Fault::Clog { cut, drip, lasts } => {
                let clog = self.network.clog(self.links(&cut), drip);
                self.queue.push(self.now + lasts, Happening::Release(clog));
            }
            Fault::Swizzle { clogged, released, drip, step } => {
                self.swizzle(&clogged, &released, drip, step);
            }
            Fault::Flap { cut, down, up, times } => {
                self.coverage.count(Counter::Flaps);
                for time in 0..times {
                    let part = Fault::Partition { cut: cut.clone(), lasts: down };
                    self.strike_later((down + up) * time, part);
                }
            }
            Fault::Reset { cut } => {
                let links = self.links(&cut);
                self.coverage.count(Counter::Resets);
                self.network.reset(&links);
            }
            Fault::Pause { who, lasts, clock } => self.pause(who, lasts, clock),
            Fault::Disk { who, after, fault, down } => {
                if let Some(place) = self.place(who) {
                    self.disk_fault_down[place] = down;
                    self.disks[place].fail_after(u64::from(after), fault);
                }
            }
            // Nobody in their senses changes anything else while a disk is lost.
            Fault::ChangeMembers { .. } if self.is_recoverable() && !self.fragile.is_empty() => {}
            Fault::ChangeMembers { voters, learners } => self.ask_for_members(voters, learners),
            Fault::LoseDisk { who, down, stale } => self.lose_disk_of(who, down, stale),
            Fault::Damage { who, damage, dice, in_use } => self.damage_disk_of(who, damage, dice, in_use),
            Fault::Transfer { to } => {
                if let Some(leader) = self.leader() {
                    self.transfer(leader, to);
                }
            }
            Fault::Snapshot { who } => {
                if let Some(place) = self.place(who) {
                    self.give(place, Input::TakeSnapshot);
                }
            }
            Fault::Campaign { who } => {
                if let Some(place) = self.place(Who::Server(who)) {
                    self.give(place, Input::Campaign);
                }
            }
        }
    }

    /// A part of a fault comes later.
    pub(crate) fn strike_later(&mut self, after: Duration, part: Fault) {
        self.queue.push(self.now + after, Happening::PartOfFault(Box::new(part)));
    }

    fn crash_all(&mut self, death: Death, down: Duration) {
        for place in 0..self.servers.len() {
            self.die(place, death);
            let down = self.fault_rng.duration(Duration::ZERO, down);
            self.start_after(place, down);
        }
    }

    /// Each server's links are clogged, one server after the other; when all are, they are released one by one.
    fn swizzle(&mut self, clogged: &[NodeId], released: &[NodeId], drip: Drip, step: Duration) {
        let steps = |count: usize| step * u32::try_from(count).unwrap_or(u32::MAX);
        self.coverage.count(Counter::Swizzles);
        for (begins, id) in clogged.iter().enumerate() {
            let ends = released.iter().position(|other| other == id).unwrap_or(0) + clogged.len();
            let cut = Cut::Isolate(Who::Server(*id));
            self.strike_later(steps(begins), Fault::Clog { cut, drip, lasts: steps(ends - begins) });
        }
    }

    fn doom(&mut self, place: Place, doom: Doom) {
        if self.servers[place].process.is_none() {
            return;
        }
        match doom.at {
            Moment::Now => {
                self.die(place, doom.death);
                self.start_after(place, doom.down);
            }
            Moment::AfterSends(_) => self.servers[place].doom = Some(doom),
            Moment::AtDiskOperation(after) => {
                self.servers[place].doom = Some(doom);
                self.disks[place].fail_after(u64::from(after), crate::disk::DiskFault::Stop);
            }
        }
    }

    fn pause(&mut self, who: Who, lasts: Duration, clock: bool) {
        let Some(place) = self.place(who) else { return };
        let start = self.servers[place].starts;
        let Some(process) = &mut self.servers[place].process else { return };
        let until = self.now + lasts;
        if process.paused_until < until {
            process.paused_until = until;
            process.wake_at = until;
            self.coverage.count(Counter::Pauses);
            self.records.note(self.now, place, Deed::Pause);
            if clock {
                self.coverage.count(Counter::ClocksStopped);
                process.clock_stands_since.get_or_insert(self.now);
            }
            self.calm.disturb(until);
            self.queue.push(until, Happening::Wake { server: place, start });
        }
    }

    /// Somebody asks the leader for these members, and waits for a while.
    pub(crate) fn ask_for_members(&mut self, voters: BTreeSet<NodeId>, learners: BTreeSet<NodeId>) {
        let Some(leader) = self.leader() else { return };
        let (server, token) = (place_of(leader), self.administrator_token());
        let start = self.servers[server].starts;
        self.queue.push(self.now + CHANGE_PATIENCE, Happening::GiveUp { server, start, token });
        let change =
            MembershipChange { context: self.book_for(leader, &voters, &learners), voters, learners };
        self.give(server, Input::ChangeMembership { token, change });
    }
}
