//! How a run ends: everything heals, a minority stays dead, and the cluster has to work again, soon.

use core::time::Duration;
use std::collections::BTreeSet;

use jangada_node::event::Deed;
use jangada_node::replica::Replica;
use jangada_raft::Raft;
use jangada_raft::types::{Membership, NodeId, Payload};
use jangada_trace::phrases::span;

use crate::check::Invariant;
use crate::network::{id_of, place_of};
use crate::plan::{Atlas, Death, Profile};
use crate::queue::Happening;
use crate::rng::Dice;
use crate::telling;
use crate::workload::{OperationId, Workload};
use crate::world::World;

/// Election timeouts until there is a leader.
const LEADER_WITHIN: u32 = 10;
/// For a change of members that is under way, and for those who are late.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// Until a server whose disk was lost is a member again: it gets all of the log, if need be in several attempts.
const REPAIRED_WITHIN: Duration = Duration::from_secs(60);
/// How long clients go on when nothing goes wrong any more.
const WORKS_IN_CALM: Duration = Duration::from_secs(9);
/// Until nothing is left to do.
const COMES_TO_REST: Duration = Duration::from_secs(5);
/// Heartbeats that the cluster is watched for at rest.
const RESTS_FOR: u32 = 20;
/// Bytes of a message at rest, on average.
const BYTES_AT_REST: u64 = 400;
/// For an answer to each probe.
const PROBED_WITHIN: Duration = Duration::from_secs(10);

impl<W: Workload> World<W> {
    /// Lets the whole plan happen: trouble, healing, and the judgement.
    pub fn run_plan(&mut self) {
        self.queue.push(self.now, Happening::Look);
        let trouble = crate::driver::after(jangada_raft::types::Time::ZERO, self.plan.trouble);
        while self.queue.next_time().is_some_and(|next| next <= trouble) {
            self.step();
        }
        self.now = self.now.max(trouble);
        self.finale();
    }

    /// Everything heals; liveness is demanded, then the history is judged.
    pub fn finale(&mut self) {
        self.findings.now = self.now;
        self.heal_all();
        match self.plan.profile.atlas() {
            Atlas::Recoverable => {
                if self.check_liveness() {
                    self.check_equal_states();
                }
            }
            Atlas::Beyond => self.ask_who_is_left(),
        }
        self.followers_look_last();
        self.workload.cover(&mut self.coverage);
        if let Err((invariant, why)) = self.workload.judge(&self.committed.commands(&self.logs)) {
            self.findings.report(invariant, None, || why);
        }
    }

    fn heal_all(&mut self) {
        self.narrate(|story, now| story.world(now, "everything heals, a minority may stay dead"));
        self.heal();
        self.healed = true;
        let now = self.now;
        for place in 0..self.servers.len() {
            self.servers[place].doom = None;
            self.disks[place].calm();
            if let Some(process) = &mut self.servers[place].process
                && process.paused_until > now
            {
                process.paused_until = now;
                self.records.note(now, place, Deed::Resume);
                self.act(place);
            }
        }
        let dead = self.who_stays_dead();
        for place in 0..self.servers.len() {
            if dead.contains(&id_of(place)) {
                self.die(place, Death::Killed);
                self.servers[place].retired = true;
                // Nobody adds a server that will not come back.
                self.fragile.remove(&place);
            } else {
                self.start_now(place);
            }
        }
    }

    /// A minority of each half of every configuration that anybody knows; nobody who is being brought in.
    fn who_stays_dead(&mut self) -> BTreeSet<NodeId> {
        let mut dead = BTreeSet::new();
        if !self.fault_rng.chance(500) {
            return dead;
        }
        if self.running().count() < self.servers.len() || self.a_change_waits() || !self.unread.is_empty() {
            // Somebody who is down may know a configuration that we do not, one is yet to come, or a disk that looks
            // good is not.
            return dead;
        }
        let mut known: Vec<Membership> = self.running().flat_map(|it| that_may_hold(it.raft())).collect();
        known.extend(self.memberships_in_flight());
        let candidates: Vec<bool> = (0..self.servers.len()).map(|_| self.fault_rng.chance(500)).collect();
        let lives = |dead: &BTreeSet<NodeId>, voters: &BTreeSet<NodeId>| {
            voters.is_empty() || voters.difference(dead).count() > voters.len() / 2
        };
        let works = |dead: &BTreeSet<NodeId>, membership: &Membership| {
            // Whoever came back without its disk is as good as dead.
            let dead = &dead.union(&self.strangers(membership)).copied().collect();
            let target = membership.target.as_ref();
            lives(dead, &membership.voters)
                && membership.outgoing.as_ref().is_none_or(|outgoing| lives(dead, outgoing))
                && target.is_none_or(|target| target.voters.is_disjoint(dead))
        };
        for (place, candidate) in candidates.into_iter().enumerate() {
            if candidate {
                dead.insert(id_of(place));
                if !known.iter().all(|membership| works(&dead, membership)) {
                    dead.remove(&id_of(place));
                }
            }
        }
        dead
    }

    /// A leader, then all disks repaired, then one configuration, then everybody caught up, then everybody answers.
    fn check_liveness(&mut self) -> bool {
        // Slow disks, stragglers and clogged links of the troubled time may still be at work, and depose a leader.
        let timeout = self.plan.settings.election_timeout_max;
        let in_line = self.network.drained().since(self.now);
        self.run_for(in_line + self.plan.network.straggle_by + self.plan.disk.stall_by + timeout);
        let patience = timeout * LEADER_WITHIN + self.backlog_takes();
        let leads = |world: &World<W>| {
            let leader = world.leader().and_then(|id| world.replica(id));
            leader.is_some_and(|leader| leader.raft().has_committed_own_term())
        };
        if !self.run_until(patience, leads) {
            return self.not_live("there is no leader that has committed an entry of its term", patience);
        }
        if !self.run_until(REPAIRED_WITHIN, |world| world.fragile.is_empty()) {
            return self.not_live("a server that lost its disk is not a member again", REPAIRED_WITHIN);
        }
        if self.plan.profile == Profile::Classic {
            // They may depose each leader before it has brought those who come up to date.
            self.switch_off_who_was_removed();
        }
        // A newcomer votes once it has caught up.
        let settles_within = SETTLED_WITHIN + self.backlog_takes();
        if !self.run_until(settles_within, World::is_settled) {
            return self.not_live("a change of members does not come to its end", settles_within);
        }
        if self.plan.profile == Profile::Classic {
            self.switch_off_who_was_removed();
            // Their last words may depose a leader once more.
            self.run_for(self.plan.network.delay_max + timeout);
            if !self.run_until(patience, leads) {
                return self.not_live("there is no leader although who was removed is off", patience);
            }
        }
        let catches_up_within = SETTLED_WITHIN + self.backlog_takes();
        if !self.run_until(catches_up_within, World::is_caught_up) {
            return self.not_live("not all members are caught up", catches_up_within);
        }
        self.work_in_calm();
        let members: Vec<NodeId> = self.live_members().collect();
        for read in [false, true] {
            let before = self.answered;
            let probes: Vec<(NodeId, OperationId)> =
                members.iter().map(|id| (*id, self.probe(place_of(*id), read))).collect();
            let all = |world: &World<W>| probes.iter().all(|(_, probe)| world.has_ended(*probe));
            let ended = self.run_until(PROBED_WITHIN, all);
            if !ended || self.answered < before + probes.len() as u64 {
                let silent = probes.iter().find(|(_, probe)| !self.has_ended(*probe));
                let whom = silent.map_or_else(|| "one of them".to_owned(), |(id, _)| id.to_string());
                let kind = if read { "read" } else { "write" };
                return self.not_live(&format!("a probe {kind} at {whom} is not answered"), PROBED_WITHIN);
            }
        }
        if !self.run_until(SETTLED_WITHIN, World::is_caught_up) {
            return self.not_live("not all members have applied the probes", SETTLED_WITHIN);
        }
        self.check_rest();
        true
    }

    /// How long whoever is furthest behind may take to get what the others have: where many are dead, nobody commits
    /// anything before. Of a stream on links that reorder at least one message arrives in order in a round trip; the
    /// disk syncs what it brings.
    fn backlog_takes(&self) -> Duration {
        let longest =
            self.running().map(Replica::raft).max_by_key(|raft| (raft.last_term(), raft.last_index()));
        let Some(longest) = longest else { return Duration::ZERO };
        let members = longest.membership().members();
        let last = longest.last_index().0;
        let lasts = self.running().filter(|it| members.contains(&it.id())).map(|it| it.raft().last_index().0);
        let behind = last.saturating_sub(lasts.min().unwrap_or(last));
        let messages = behind.div_ceil(self.plan.settings.max_append_entries as u64);
        let each = self.plan.network.delay_max * 2 + self.plan.disk.sync_max;
        each * u32::try_from(messages).unwrap_or(u32::MAX)
    }

    /// Whoever was removed and has not heard of it campaigns for ever, with ever later terms; what keeps it from
    /// deposing leaders is CheckQuorum (Paper §6, third issue), which classic servers do without. There, people switch
    /// off what they have removed.
    fn switch_off_who_was_removed(&mut self) {
        let Some(leader) = self.leader().and_then(|id| self.replica(id)) else { return };
        if !leader.raft().has_committed_own_term() || self.a_change_waits() {
            return;
        }
        let members: BTreeSet<NodeId> =
            that_may_hold(leader.raft()).iter().flat_map(Membership::members).collect();
        for place in (0..self.servers.len()).filter(|place| !members.contains(&id_of(*place))) {
            if !self.servers[place].retired {
                self.die(place, Death::Killed);
                self.servers[place].retired = true;
            }
        }
    }

    /// Nobody has to answer. Whoever does is judged like everybody before.
    fn ask_who_is_left(&mut self) {
        self.run_for(PROBED_WITHIN);
        for read in [false, true] {
            for place in 0..self.servers.len() {
                if self.servers[place].process.is_some() {
                    self.probe(place, read);
                }
            }
            self.run_for(PROBED_WITHIN);
        }
        let running: Vec<NodeId> = self.running().map(Replica::id).collect();
        self.check_states_of(&running);
    }

    /// A healthy cluster without clients says no more than its heartbeats.
    fn check_rest(&mut self) {
        // What had a time to live is gone by then.
        self.run_for(COMES_TO_REST);
        self.check_states_at_rest();
        let (messages, bytes) = (self.messages, self.message_bytes);
        let lasts = self.plan.settings.heartbeat * RESTS_FOR;
        self.run_for(lasts);
        let (messages, bytes) = (self.messages - messages, self.message_bytes - bytes);
        // There and back, to everybody; some more for expiring keys and for those who are no members any more.
        let bound = u64::from(RESTS_FOR) * 3 * self.servers.len() as u64 + 40;
        if messages > bound || bytes > bound * BYTES_AT_REST {
            self.findings.report(Invariant::AmplificationBound, None, || {
                format!(
                    "{messages} messages of {bytes} bytes in {} of rest, at most {bound} are due",
                    span(lasts)
                )
            });
        }
    }

    /// Clients work for a while in which nothing goes wrong: what a cluster may do then is bounded, and so is how long
    /// keys outlive their time.
    fn work_in_calm(&mut self) {
        self.narrate(|story, now| story.world(now, "clients go on, and nothing goes wrong any more"));
        self.epilogue = true;
        self.wake_clients();
        self.run_for(WORKS_IN_CALM);
        self.epilogue = false;
        let patience = self.plan.clients.patience;
        self.run_until(patience, World::clients_rest);
    }

    fn check_states_at_rest(&mut self) {
        for id in self.live_members().collect::<Vec<NodeId>>() {
            let Some(replica) = self.replica(id) else { continue };
            if let Err((invariant, why)) = W::at_rest(replica.state().inner()) {
                self.findings.report(invariant, Some(id), || why);
            }
        }
    }

    fn not_live(&mut self, what: &str, within: Duration) -> bool {
        let standing: Vec<String> = self.running().map(telling::standing).collect();
        let speaker = self.leader().and_then(|id| self.replica(id)).or_else(|| {
            self.running().max_by_key(|replica| (replica.raft().last_term(), replica.raft().last_index()))
        });
        let members = speaker.map(|speaker| {
            format!(
                "; by {} the members are {}",
                speaker.id(),
                telling::membership(speaker.raft().membership())
            )
        });
        self.findings.report(Invariant::LivenessAfterHeal, None, || {
            let (within, standing) = (span(within), standing.join("; "));
            let members = members.unwrap_or_default();
            format!("{what} within {within} after everything healed: {standing}{members}")
        });
        false
    }

    fn live_members(&self) -> impl Iterator<Item = NodeId> {
        let leader = self.leader().and_then(|id| self.replica(id));
        let members = leader.map(|leader| leader.raft().membership().members()).unwrap_or_default();
        let strangers = leader.map(|leader| self.strangers(leader.raft().membership())).unwrap_or_default();
        members.into_iter().filter(move |id| self.replica(*id).is_some() && !strangers.contains(id))
    }

    /// One configuration is in force, and committed.
    fn is_settled(world: &World<W>) -> bool {
        let Some(leader) = world.leader().and_then(|id| world.replica(id)) else { return false };
        let (raft, membership) = (leader.raft(), leader.raft().membership());
        membership.outgoing.is_none()
            && membership.target.is_none()
            && raft.membership_index() <= raft.commit_index()
    }

    /// All members that live have applied all that the leader has.
    fn is_caught_up(world: &World<W>) -> bool {
        let Some(leader) = world.leader().and_then(|id| world.replica(id)) else { return false };
        let last = leader.raft().last_index();
        leader.last_applied() == last
            && world.live_members().all(|id| {
                world.replica(id).is_some_and(|replica| {
                    replica.last_applied() == last && replica.raft().term() == leader.raft().term()
                })
            })
    }

    fn check_equal_states(&mut self) {
        let members: Vec<NodeId> = self.live_members().collect();
        self.check_states_of(&members);
    }

    fn check_states_of(&mut self, members: &[NodeId]) {
        for id in members.iter().copied() {
            let Some(replica) = self.replica(id) else { continue };
            let (commands, hash) = (replica.state().witness().commands, replica.state().state_hash());
            self.samples.check(id, commands, hash, &mut self.findings);
        }
    }
}

/// The committed configuration and all in the log behind it. One that was called off is among them: a message may have
/// it without what called it off, and whoever receives that may lead.
fn that_may_hold(raft: &Raft) -> Vec<Membership> {
    let behind = raft.commit_index().next()..=raft.last_index();
    let uncommitted = raft.entries(behind).filter_map(|entry| match &entry.payload {
        Payload::Membership(membership) => Some(Membership::clone(membership)),
        Payload::Noop | Payload::Command(_) => None,
    });
    std::iter::once(raft.committed_membership().clone()).chain(uncommitted).collect()
}
