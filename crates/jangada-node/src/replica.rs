//! One replica: Raft, its state machine, and the requests of clients, put together.
//!
//! Like the core it is a value: `handle` takes an input and the time, `take_effects` gives back what must be
//! done. A driver (the server's replica thread, the simulator's world) calls `handle` for all that waits and
//! then `take_effects` once: that is where batching happens.
//!
//! Requests are in `requests.rs`, snapshots in `snapshots.rs`, membership and transfer in `admin.rs`; `slow_disk.rs` has
//! a leader that should not be one any longer.

use core::time::Duration;

use bytes::Bytes;
use jangada_raft::Raft;
use jangada_raft::config::Config;
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::face::{Answer, Input as RaftInput, Output, Recovered};
use jangada_raft::types::{Index, NodeId, Payload, Time};

use crate::admin::Wish;
use crate::clock::ReplicatedClock;
use crate::effect::{Effect, Input};
use crate::event::{ClientEvent, Event};
use crate::frame::Frame;
use crate::log_writer::{LogJob, ReadPurpose};
use crate::pending::Pending;
use crate::requests::{self, Requests};
use crate::slow_disk::DiskWatch;
use crate::snapshots::{Restoring, Taking};
use crate::state_machine::{STAMP_BYTES, Stamp, StateMachine};

/// The knobs of a replica around its core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// A snapshot is begun when entries of this many bytes were applied since the last one.
    pub snapshot_after_bytes: usize,
    /// Most bytes of log entries in memory: beyond it new commands are refused as busy, until the snapshot that
    /// is being taken is durable and the log is cut.
    pub max_log_bytes: usize,
    /// About how many bytes of a snapshot are handed to the disk at a time.
    pub snapshot_part_bytes: usize,
    /// How long a request may wait for its answer.
    pub request_timeout: Duration,
    /// Most bytes of commands that wait for a leader.
    pub max_waiting_bytes: usize,
    /// Most batches that wait for a leader.
    pub max_waiting_batches: usize,
    /// Most entries applied in one step, so that messages do not wait too long for it.
    pub max_apply_entries: u64,
    /// After so many keys visited by reads, the other reads wait for the next step, so that messages do not wait too long.
    pub max_read_visits: u64,
    /// The disk hangs when what it was given is not durable after so many election timeouts: a leader then hands
    /// leadership over to somebody whose disk does better.
    pub slow_disk_after_elections: u32,
}

impl Default for ReplicaConfig {
    fn default() -> ReplicaConfig {
        ReplicaConfig {
            snapshot_after_bytes: 64 << 20,
            max_log_bytes: 512 << 20,
            snapshot_part_bytes: 256 << 10,
            request_timeout: Duration::from_secs(5),
            max_waiting_bytes: 32 << 20,
            max_waiting_batches: 16_384,
            max_apply_entries: 4_096,
            max_read_visits: 100_000,
            slow_disk_after_elections: 10,
        }
    }
}

/// How often requests are looked over for those that have waited long enough.
const SWEEP_INTERVAL: Duration = Duration::from_millis(25);

/// One replica.
pub struct Replica<S: StateMachine> {
    pub(crate) raft: Raft,
    pub(crate) state: S,
    pub(crate) config: ReplicaConfig,
    election_timeout_max: Duration,
    /// `lastApplied` of the paper.
    pub(crate) applied: Index,
    pub(crate) clock: ReplicatedClock,
    /// When somebody last led, as far as this server knows: it heard of its leader, or led itself.
    led_until: Time,
    pub(crate) pending: Pending<S::Response>,
    pub(crate) requests: Requests<S::Query>,
    pub(crate) taking: Option<Taking<S>>,
    pub(crate) restoring: Option<Restoring<S>>,
    pub(crate) snapshot_asked: bool,
    /// Bytes of the entries applied since a snapshot was last begun, or loaded. The log's own size would not do:
    /// it holds entries behind the last snapshot too, for late followers.
    pub(crate) bytes_since_snapshot: usize,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) disk: DiskWatch,
    /// The entry with which we last proposed what was due; one at a time.
    due_proposed: Index,
    /// What was due and could not be proposed is not tried again before this.
    due_again: Time,
    next_sweep: Time,
    pub(crate) now: Time,
    pub(crate) effects: Vec<Effect<S>>,
    pub(crate) events: Vec<Event>,
    output: Output,
}

impl<S: StateMachine> Replica<S> {
    /// A replica as it comes back from its disk. `state` is empty: a durable snapshot is loaded into it by
    /// effects, before anything is applied.
    #[must_use]
    pub fn restore(
        now: Time,
        raft: Config,
        config: ReplicaConfig,
        recovered: Recovered,
        state: S,
    ) -> Replica<S> {
        let election_timeout_max = raft.election_timeout_max;
        let snapshot = recovered.snapshot.clone();
        let first_forward = requests::first_forward(&raft);
        let mut replica = Replica {
            raft: Raft::restore(now, raft, recovered),
            state,
            config,
            election_timeout_max,
            applied: Index::ZERO,
            clock: ReplicatedClock::starting_at(Stamp(0), now),
            led_until: now,
            pending: Pending::new(),
            requests: Requests::new(first_forward),
            taking: None,
            restoring: None,
            snapshot_asked: false,
            bytes_since_snapshot: 0,
            wishes: Vec::new(),
            disk: DiskWatch::new(now),
            due_proposed: Index::ZERO,
            due_again: now,
            next_sweep: now,
            now,
            effects: Vec::new(),
            events: Vec::new(),
            output: Output::default(),
        };
        if snapshot.last_included_index > Index::ZERO {
            replica.begin_restore(snapshot);
        }
        replica
    }

    /// Takes one input. What there is to do comes out of [`Replica::take_effects`].
    pub fn handle(&mut self, now: Time, input: Input<S>) {
        self.now = now;
        match input {
            Input::TimePassed => {
                self.raft.handle(now, RaftInput::TimePassed);
            }
            Input::Peer(_, Frame::Raft(message)) => {
                self.raft.handle(now, RaftInput::Receive(message));
            }
            Input::Peer(from, Frame::Forward { id, commands }) => self.on_forward(from, id, commands),
            Input::Peer(from, Frame::ForwardReply { id, answers }) => {
                self.on_forward_reply(from, id, answers)
            }
            Input::Writes { token, commands } => self.on_writes(token, commands),
            Input::Reads { token, queries } => self.on_reads(token, queries),
            Input::Log(done) => self.on_log_done(done),
            Input::ChangeMembership { token, change } => self.on_change_membership(token, change),
            Input::Transfer { token, to } => self.on_transfer(token, to),
            Input::GiveUp(token) => self.on_give_up(token),
            Input::TakeSnapshot => self.snapshot_asked = true,
            Input::Campaign => {
                self.raft.handle(now, RaftInput::Campaign);
            }
        }
    }

    /// Moves everything on as far as it goes now, and appends what must be done to `effects` and what
    /// happened to `events`.
    pub fn take_effects(&mut self, now: Time, effects: &mut Vec<Effect<S>>, events: &mut Vec<Event>) {
        self.now = now;
        self.begin_reading();
        self.take_output();
        self.watch_leadership();
        self.watch_disk();
        self.apply_committed();
        self.follow_leader();
        self.propose_due();
        self.take_snapshot();
        // What was proposed or asked just now has things to send and to persist.
        self.take_output();
        self.answer_ready_reads();
        self.answer_wishes();
        if self.now >= self.next_sweep {
            self.sweep_requests();
            self.next_sweep = self.now + SWEEP_INTERVAL;
        }
        self.send_finished();
        effects.append(&mut self.effects);
        events.append(&mut self.events);
    }

    /// When `handle(TimePassed)` and `take_effects` are wanted at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        let mut deadline = self.raft.next_deadline();
        if self.may_propose_due()
            && let Some(due) = self.state.next_due()
        {
            deadline = deadline.min(self.clock.time_of(due).max(self.due_again));
        }
        if self.pending.open_batches() > 0 || !self.requests.is_idle() {
            deadline = deadline.min(self.next_sweep);
        }
        let has_more_to_apply = self.restoring.is_none() && self.applied < self.raft.commit_index();
        if has_more_to_apply || self.has_more_to_read() {
            return Time::ZERO;
        }
        deadline
    }

    fn take_output(&mut self) {
        let mut output = core::mem::take(&mut self.output);
        self.raft.take_output(&mut output);
        for message in output.send.drain(..) {
            self.effects.push(Effect::Send(message.to, Frame::Raft(message)));
        }
        if let Some(persist) = output.persist.take() {
            self.disk.handed(persist.id, persist.entries.last().map(|entry| entry.index), self.now);
            self.effects.push(Effect::Log(LogJob::Persist(persist)));
        }
        for request in output.snapshot_requests.drain(..) {
            self.effects.push(Effect::Log(LogJob::ReadSnapshot {
                purpose: ReadPurpose::Send(request.to),
                last_included_index: request.last_included_index,
                offset: request.offset,
                max_bytes: request.max_bytes,
            }));
        }
        if let Some(meta) = output.install.take() {
            self.begin_restore(meta);
        }
        for read in output.reads.drain(..) {
            self.on_read_ready(read.id, read.index);
        }
        for event in output.events.drain(..) {
            if let RaftEvent::Truncated { from, .. } = event {
                self.pending.truncated(from);
                if self.due_proposed >= from {
                    // It is gone: as a later leader we do not wait for it.
                    self.due_proposed = Index::ZERO;
                }
            }
            self.events.push(Event::Raft(event));
        }
        self.output = output;
    }

    /// Tells the clock of a silence between leaders. One that is shorter than any server waits for its leader is none: it is
    /// what lies between two heartbeats, or an election.
    fn watch_leadership(&mut self) {
        let now = self.now;
        if self.raft.is_leader() && self.clock.leads(self.raft.term()) {
            self.led_until = now;
            return;
        }
        if self.raft.leader().is_none() {
            return;
        }
        let led = self.raft.leader_last_heard().unwrap_or(now).max(self.led_until);
        let silence = led.since(self.led_until);
        if silence > self.election_timeout() {
            self.clock.stood_still(silence, now);
        }
        self.led_until = led;
    }

    fn apply_committed(&mut self) {
        if self.restoring.is_some() {
            return;
        }
        let last = self.raft.commit_index().min(self.applied + self.config.max_apply_entries);
        if last <= self.applied {
            return;
        }
        for entry in self.raft.entries(self.applied.next()..=last) {
            self.bytes_since_snapshot += entry.size_bytes();
            let response = match &entry.payload {
                Payload::Command(command) => {
                    let (stamp, command) = split_stamp(command);
                    self.clock.saw(stamp, entry.term, self.now);
                    Some(self.state.apply(stamp, &command))
                }
                Payload::Noop | Payload::Membership(_) => None,
            };
            self.pending.applied(entry.index, entry.term, response);
        }
        self.set_applied(last);
    }

    pub(crate) fn set_applied(&mut self, index: Index) {
        assert!(index >= self.applied, "lastApplied never goes back");
        self.applied = index;
        self.raft.handle(self.now, RaftInput::Applied(index));
    }

    /// Leader: proposes what the state machine wants by now (keys whose time is over), one entry at a time.
    fn propose_due(&mut self) {
        if !self.may_propose_due() || self.now < self.due_again {
            return;
        }
        self.lead_clock();
        let estimate = self.clock.estimate(self.now);
        if self.state.next_due().is_none_or(|due| due > estimate) {
            return;
        }
        let Some(mut command) = self.state.due(estimate) else { return };
        let stamp = self.stamp();
        command[..STAMP_BYTES].copy_from_slice(&stamp.0.to_le_bytes());
        if let Answer::Appended { index, .. } = self.raft.handle(self.now, RaftInput::Propose(command.into()))
        {
            self.due_proposed = index;
            self.events.push(Event::Client(ClientEvent::ExpiryProposed { index }));
        } else {
            // Leadership is being handed over, or the log is full: that does not pass at once.
            self.due_again = self.now + SWEEP_INTERVAL;
        }
    }

    /// Whether it is up to this server, and its turn, to propose what is due.
    fn may_propose_due(&self) -> bool {
        self.raft.has_committed_own_term() && self.due_proposed <= self.applied && self.restoring.is_none()
    }

    /// Leader: what a command that is proposed now is stamped with.
    pub(crate) fn stamp(&mut self) -> Stamp {
        self.lead_clock();
        self.clock.stamp(self.now)
    }

    /// Leader: before its first stamp its clock must have seen all stamps of its log, those too that are not
    /// applied yet. An earlier leader gave them, and keys may count by its clock.
    fn lead_clock(&mut self) {
        let term = self.raft.term();
        if self.clock.leads(term) {
            return;
        }
        // A request may come with the last vote: the silence before it must not get into the first stamp.
        self.watch_leadership();
        let seen = self.applied.max(self.raft.snapshot_meta().last_included_index);
        if seen < self.raft.last_index() {
            for entry in self.raft.entries(seen.next()..=self.raft.last_index()) {
                if let Payload::Command(command) = &entry.payload {
                    self.clock.saw(split_stamp(command).0, entry.term, self.now);
                }
            }
        }
        self.clock.lead(term);
    }

    /// The longest election timeout: how long a request looks for a leader.
    pub(crate) fn election_timeout(&self) -> Duration {
        self.election_timeout_max
    }

    /// The core, to be looked at.
    #[must_use]
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// What has happened since the effects were last taken: all that is left to be told if a host panics.
    pub fn untold(&self) -> impl Iterator<Item = Event> {
        let of_raft = self.raft.untold().iter().copied().map(Event::Raft);
        self.events.iter().copied().chain(of_raft)
    }

    /// The state machine, to be looked at.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// `lastApplied` of the paper.
    #[must_use]
    pub fn last_applied(&self) -> Index {
        self.applied
    }

    /// This server.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.raft.id()
    }
}

/// A command's stamp and the rest of it.
fn split_stamp(command: &Bytes) -> (Stamp, Bytes) {
    let Some((stamp, _)) = command.split_first_chunk::<STAMP_BYTES>() else {
        return (Stamp::default(), Bytes::new());
    };
    (Stamp(u64::from_le_bytes(*stamp)), command.slice(STAMP_BYTES..))
}
