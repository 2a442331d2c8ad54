//! Disks that are lost or damaged, and what people do about it: take the server out, and add it again.
//!
//! This is where the fault atlas is (`plan::Atlas`): in a recoverable world one server at a time may be without a good
//! disk, and only while the others are enough without it; beyond that any may. A server that finds damage must say so
//! and stop; then it gets a new disk.

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::Bytes;
use jangada_node::book::Book;
use jangada_node::effect::Input;
use jangada_raft::types::{Membership, NodeId};

use crate::coverage::Counter;
use crate::disk::{Damage, Loss, SimDisk};
use crate::network::{id_of, place_of};
use crate::plan::{Atlas, Death, Fault, Who};
use crate::queue::{Happening, Place};
use crate::rng::Rng;
use crate::server::Process;
use crate::standing::{Standing, book};
use crate::workload::Workload;
use crate::world::World;

/// For so long a connection that outlives its server takes down what it says.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// How often somebody looks after a server without a good disk.
const LOOK_EVERY: Duration = Duration::from_millis(1_000);
/// So often somebody looks in at a server that has not read its damaged disk, before it is started anew.
const LOOKS_BEFORE_READING: u32 = 5;
const A_MOMENT: Duration = Duration::from_millis(1);

impl<W: Workload> World<W> {
    /// The server says from now on what it has become.
    pub(crate) fn hand_out_card(&mut self, place: Place) {
        let server = &mut self.servers[place];
        let Some(process) = &mut server.process else { return };
        process.standing = Standing::of(process.replica.raft(), server.incarnation);
        let card = process.standing.card;
        if self.cards.get(process.card as usize) != Some(&card) {
            process.card = u32::try_from(self.cards.len()).expect("configurations are few");
            self.cards.push(card);
        }
    }

    /// The address book for these members: those who are members keep the disk that they are known by, as an
    /// administrator asks only newcomers who they are.
    pub(crate) fn book_for(
        &self,
        leader: NodeId,
        voters: &BTreeSet<NodeId>,
        learners: &BTreeSet<NodeId>,
    ) -> Bytes {
        let membership = self.replica(leader).map(|leader| leader.raft().membership().clone());
        let known = membership.unwrap_or_default();
        let old = Book::decode(&known.context).unwrap_or_default();
        let kept = |id: NodeId| old.get(id).filter(|_| known.contains(id)).map(|entry| entry.incarnation);
        let all: BTreeSet<NodeId> = voters.iter().chain(learners).copied().chain(known.members()).collect();
        book(
            all.into_iter()
                .filter(|id| place_of(*id) < self.servers.len())
                .map(|id| (id, kept(id).unwrap_or_else(|| self.servers[place_of(id)].incarnation))),
        )
    }

    /// Members that this configuration knows by a disk that they have no longer.
    pub(crate) fn strangers(&self, membership: &Membership) -> BTreeSet<NodeId> {
        let book = Book::decode(&membership.context).unwrap_or_default();
        let is_stranger = |id: &NodeId| {
            let disk = self.servers.get(place_of(*id)).map(|server| server.incarnation);
            book.get(*id).is_some_and(|entry| Some(entry.incarnation) != disk)
        };
        membership.members().into_iter().filter(is_stranger).collect()
    }

    /// One disk at a time is lost, and everybody takes care.
    pub(crate) fn is_recoverable(&self) -> bool {
        self.plan.profile.atlas() == Atlas::Recoverable
    }

    /// The others are enough: one configuration, known to all, with three voters or more, and nobody about to change
    /// it. Or nobody asks for that.
    fn can_do_without(&self, place: Place) -> bool {
        !self.is_recoverable() || self.others_are_enough(place)
    }

    /// Somebody who sleeps may wake with a change that was asked for meanwhile, and lead.
    pub(crate) fn a_change_waits(&self) -> bool {
        let is_asked = |process: &Process<W::Machine>| {
            process.inbox.iter().any(|it| matches!(it, Input::ChangeMembership { .. }))
        };
        self.servers.iter().filter_map(|it| it.process.as_deref()).any(is_asked)
    }

    fn others_are_enough(&self, place: Place) -> bool {
        let Some(leader) = self.leader().and_then(|id| self.replica(id)) else { return false };
        let membership = leader.raft().membership();
        let settled = membership.outgoing.is_none() && membership.target.is_none();
        let known = self.running().count() == self.servers.len()
            && self.running().all(|replica| {
                let raft = replica.raft();
                raft.membership() == membership || !membership.contains(raft.id())
            });
        self.fragile.is_empty()
            && settled
            && !self.a_change_waits()
            && known
            && leader.raft().membership_index() <= leader.raft().commit_index()
            && membership.voters.len() >= 3
            && membership.voters.contains(&id_of(place))
    }

    pub(crate) fn lose_disk_of(&mut self, who: Who, down: Duration, stale: bool) {
        let Some(place) = self.place(who).filter(|place| self.can_do_without(*place)) else { return };
        if stale {
            self.network.overhear(place);
            let who = Who::Server(id_of(place));
            return self.strike_later(LAST_WORDS, Fault::LoseDisk { who, down, stale: false });
        }
        self.network.stop_overhearing();
        self.die(place, Death::Power(Loss::Everything));
        self.replace_disk(place, down);
    }

    fn replace_disk(&mut self, place: Place, down: Duration) {
        let server = &mut self.servers[place];
        server.incarnation += 1;
        server.log_begun = false;
        server.possible.clear();
        self.unread.remove(&place);
        let new = SimDisk::new(&server.id.to_string());
        self.keep_past_of(&new);
        self.lost_disks[place].push(std::mem::replace(&mut self.disks[place], new));
        self.coverage.count(Counter::DisksLost);
        self.count_lost_majority();
        self.start_after(place, down);
        self.watch(place);
    }

    /// Of those who vote in somebody's eyes a majority has no disk any more.
    fn count_lost_majority(&mut self) {
        let lost = self.running().any(|replica| {
            let membership = replica.raft().membership();
            let strangers = self.strangers(membership);
            membership.voters.difference(&strangers).count() <= membership.voters.len() / 2
        });
        self.coverage.add(Counter::MajoritiesLost, u64::from(lost));
    }

    fn watch(&mut self, place: Place) {
        if self.fragile.is_empty() {
            self.queue.push(self.now + LOOK_EVERY, Happening::Repair);
        }
        self.fragile.insert(place);
    }

    /// A disk is damaged while its server is dead for a moment; or, `in_use`, while it runs: then nobody knows before
    /// that place is read again.
    pub(crate) fn damage_disk_of(&mut self, who: Who, damage: Damage, dice: u64, in_use: bool) {
        let Some(place) = self.place(who).filter(|place| self.can_do_without(*place)) else { return };
        let in_use = in_use && self.servers[place].process.is_some();
        if in_use && self.disks[place].unsynced_changes() > 0 {
            // What is not durable yet is no prey for this; soon it will be.
            let who = Who::Server(id_of(place));
            return self.strike_later(A_MOMENT * 10, Fault::Damage { who, damage, dice, in_use });
        }
        if !in_use {
            self.die(place, Death::Power(Loss::Nothing));
        }
        if self.disks[place].damage(damage, &mut Rng::new(dice)) {
            self.coverage.count(match damage {
                Damage::Bit => Counter::DisksRotten,
                Damage::LostSector => Counter::SectorsLost,
                Damage::StaleSector => Counter::SectorsStale,
                Damage::Misdirected => Counter::WritesMisdirected,
                Damage::ZeroedTail => Counter::TailsZeroed,
                Damage::FileGone => Counter::FilesGone,
            });
            if in_use {
                self.coverage.count(Counter::DamagedInUse);
                self.unread.insert(place, LOOKS_BEFORE_READING);
            }
            self.watch(place);
        }
        if !in_use {
            self.start_after(place, A_MOMENT);
        }
    }

    /// Disks keep what is overwritten on them, if the plan is to bring it back.
    pub(crate) fn keep_past_of(&self, disk: &SimDisk) {
        let needs = |fault: &Fault| matches!(fault, Fault::Damage { damage, .. } if damage.needs_past());
        if self.plan.faults.iter().any(|(_, fault)| needs(fault)) {
            disk.keep_past();
        }
    }

    /// A server has found that its disk is damaged, and does not go on with it.
    pub(crate) fn refuse_damage(&mut self, place: Place) {
        self.coverage.count(Counter::DamageRefused);
        self.replace_disk(place, Duration::from_millis(200));
    }

    /// Somebody looks after the servers without a good disk.
    pub(crate) fn repair(&mut self) {
        if self.fragile.is_empty() {
            return;
        }
        self.queue.push(self.now + LOOK_EVERY, Happening::Repair);
        for place in self.fragile.clone() {
            self.look_after(place);
        }
    }

    fn look_after(&mut self, place: Place) {
        if let Some(looks) = self.unread.get_mut(&place) {
            // As long as it runs there is nothing to be seen; and any other start reads its disk, too.
            *looks = looks.saturating_sub(1);
            if (*looks == 0 || self.healed) && self.servers[place].process.is_some() {
                self.coverage.count(Counter::ReadBack);
                self.die(place, Death::Killed);
                self.start_after(place, A_MOMENT);
            }
            return;
        }
        let Some(leader) = self.leader().and_then(|id| self.replica(id)) else { return };
        let membership = leader.raft().membership().clone();
        let id = id_of(place);
        let (mut voters, mut learners) = match &membership.target {
            Some(target) => (target.voters.clone(), target.learners.clone()),
            None => (membership.voters.clone(), membership.learners.clone()),
        };
        let is_stranger = self.strangers(&membership).contains(&id);
        if is_stranger {
            if voters.remove(&id) | learners.remove(&id) && !voters.is_empty() {
                self.ask_for_members(voters, learners);
            }
        } else if !self.disks[place].is_damaged() {
            if membership.contains(id) && membership.outgoing.is_none() && membership.target.is_none() {
                self.coverage.count(Counter::DisksReplaced);
                self.lost_disks[place].clear();
                self.fragile.remove(&place);
                for kept in self.network.take_kept(place) {
                    self.coverage.count(Counter::StaleConnections);
                    self.network.send_kept(self.now, kept, &mut self.queue);
                }
            } else if voters.insert(id) {
                learners.remove(&id);
                self.ask_for_members(voters, learners);
            }
        } else if self.servers[place].process.as_ref().is_some_and(|process| !process.replica.is_restoring())
        {
            // It has read all of its log and its snapshot: what is damaged stands where nobody reads.
            self.disks[place].trust();
            self.fragile.remove(&place);
        }
    }
}
