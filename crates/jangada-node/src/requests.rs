//! Clients' requests on their way: proposed by the leader, forwarded by a follower, or waiting for a leader.
//!
//! A request never waits for a leader longer than one election timeout, and never for its answer longer than
//! `ReplicaConfig::request_timeout`. What certainly had no effect is refused in other words than what may
//! have had one.
//!
//! Writes of this server's clients take effect in the order in which they came, or not at all: clients send the
//! next before the last is answered. A forwarded batch may come back unseen while a later one is still on its
//! way, and that one may find a leader again. So what came back waits for what was sent behind it, and is
//! refused if it was overtaken.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use jangada_raft::config::Config;
use jangada_raft::face::{Answer, Input as RaftInput, Refusal};
use jangada_raft::types::{Index, NodeId, ReadId, Term, Time};

use crate::effect::{Effect, Failure, MAX_FORWARDED_ANSWERS_BYTES, Token};
use crate::event::{ClientEvent, Event};
use crate::frame::Frame;
use crate::pending::{Finished, Origin};
use crate::replica::Replica;
use crate::state_machine::{STAMP_BYTES, StateMachine};

/// Requests that are on their way.
pub(crate) struct Requests<Q> {
    /// Without a leader to turn to; writes in the order in which they came.
    waiting: VecDeque<Waiting<Q>>,
    waiting_bytes: usize,
    /// Handed to a leader, by our number for the batch. No start of this server uses a number of an earlier one:
    /// the leader may still owe that one an answer, and it must not be taken for the answer to another batch.
    forwarded: BTreeMap<u64, Forwarded>,
    next_forward: u64,
    next_order: u64,
    /// The latest batch that may have had an effect: it is too late for those before it.
    overtaken: u64,
    /// Reads whose index is not known yet.
    asked: BTreeMap<ReadId, ReadBatch<Q>>,
    next_read: u64,
    /// Reads that wait until so much is applied.
    ready: VecDeque<(Index, ReadBatch<Q>)>,
    /// What the reads of this step have visited.
    visited: u64,
    /// Some of those that wait could be answered, but for that.
    has_more: bool,
    /// Whom we followed when we last looked.
    followed: (Term, Option<NodeId>),
    leaderless_since: Time,
}

/// A request without a leader.
struct Waiting<Q> {
    give_up: Time,
    bytes: usize,
    work: Work<Q>,
}

enum Work<Q> {
    Writes(WriteBatch),
    Reads(ReadBatch<Q>),
}

/// The commands of a batch, from one slot on.
struct WriteBatch {
    /// When it came, among the batches of this server's clients. 0 for another server's, which never wait here.
    order: u64,
    batch: usize,
    first_slot: u32,
    commands: Vec<Bytes>,
}

struct Forwarded {
    to: NodeId,
    term: Term,
    give_up: Time,
    work: WriteBatch,
}

pub(crate) struct ReadBatch<Q> {
    token: Token,
    queries: Vec<Q>,
    give_up: Time,
    deadline: Time,
}

/// The first number of a batch that this start forwards. The leader's answer to an earlier start, on this disk or one
/// that was lost, may still be on its way; it must not be taken for the answer to a batch of ours.
pub(crate) fn first_forward(raft: &Config) -> u64 {
    // Spread over the high bits (by 2^64 over the golden ratio): disks that are merely counted shall not meet there.
    let disk = raft.incarnation.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    raft.first_sequence ^ disk >> 40 << 40
}

impl<Q> Requests<Q> {
    pub(crate) fn new(first_forward: u64) -> Requests<Q> {
        Requests {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            forwarded: BTreeMap::new(),
            next_forward: first_forward,
            next_order: 1,
            overtaken: 0,
            asked: BTreeMap::new(),
            next_read: 1,
            ready: VecDeque::new(),
            visited: 0,
            has_more: false,
            followed: (Term::ZERO, None),
            leaderless_since: Time::ZERO,
        }
    }

    /// Nothing waits here.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.forwarded.is_empty() && self.asked.is_empty() && self.ready.is_empty()
    }
}

impl<S: StateMachine> Replica<S> {
    /// Commands of a client of this server.
    pub(crate) fn on_writes(&mut self, token: Token, commands: Vec<Vec<u8>>) {
        let commands: Vec<Bytes> = commands.into_iter().map(Bytes::from).collect();
        let batch = self.pending.open(Origin::Local(token), commands.len(), self.request_deadline());
        let order = self.requests.next_order;
        self.requests.next_order += 1;
        let work = WriteBatch { order, batch, first_slot: 0, commands };
        match self.requests.waiting.is_empty() {
            true => self.route(work, self.leader_patience()),
            // A leader is there by now, maybe. What came earlier, perhaps from the same client, goes first.
            false => self.wait_for_leader(Work::Writes(work), self.leader_patience()),
        }
    }

    /// Commands that a follower forwards. We do not pass them on again: it will find the leader by itself.
    pub(crate) fn on_forward(&mut self, from: NodeId, id: u64, commands: Vec<Bytes>) {
        if !self.raft.is_leader() {
            let answers = commands.iter().map(|_| Err(Failure::NoLeader)).collect();
            self.effects.push(Effect::Send(from, Frame::ForwardReply { id, answers }));
            return;
        }
        let batch = self.pending.open(Origin::Peer(from, id), commands.len(), self.request_deadline());
        self.propose(WriteBatch { order: 0, batch, first_slot: 0, commands }, self.now);
    }

    /// The leader's answer to what we forwarded.
    pub(crate) fn on_forward_reply(&mut self, from: NodeId, id: u64, answers: Vec<Result<Bytes, Failure>>) {
        let Some(forwarded) = self.requests.forwarded.get(&id) else { return };
        if forwarded.to != from || answers.len() != forwarded.work.commands.len() {
            return;
        }
        let Some(Forwarded { work, give_up, .. }) = self.requests.forwarded.remove(&id) else { return };
        let nothing_happened = answers.iter().all(|answer| *answer == Err(Failure::NoLeader));
        if nothing_happened && self.now < give_up {
            // The leader that we knew no longer leads. Another look does no harm, as nothing had an effect.
            self.wait_for_leader(Work::Writes(work), give_up);
            return;
        }
        self.overtake(work.order);
        for (slot, answer) in (work.first_slot..).zip(answers) {
            let answer = answer.and_then(|bytes| S::decode_response(bytes).ok_or(Failure::BadAnswer));
            self.pending.answer(work.batch, slot, answer);
        }
    }

    /// Reads of a client of this server.
    pub(crate) fn on_reads(&mut self, token: Token, queries: Vec<S::Query>) {
        let (give_up, deadline) = (self.leader_patience(), self.request_deadline());
        let batch = ReadBatch { token, queries, give_up, deadline };
        match self.requests.waiting.is_empty() {
            true => self.ask(batch),
            false => self.wait_for_leader(Work::Reads(batch), give_up),
        }
    }

    fn route(&mut self, work: WriteBatch, give_up: Time) {
        if self.raft.is_leader() {
            return self.propose(work, give_up);
        }
        let Some(leader) = self.raft.leader() else {
            return self.wait_for_leader(Work::Writes(work), give_up);
        };
        let id = self.requests.next_forward;
        self.requests.next_forward += 1;
        let commands = work.commands.clone();
        let requests = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        self.events.push(Event::Client(ClientEvent::Forwarded { to: leader, requests }));
        self.effects.push(Effect::Send(leader, Frame::Forward { id, commands }));
        self.requests.forwarded.insert(id, Forwarded { to: leader, term: self.raft.term(), give_up, work });
    }

    /// Leader: each command becomes an entry, with our stamp.
    fn propose(&mut self, work: WriteBatch, give_up: Time) {
        if !self.takes_commands() && give_up > self.now {
            return self.wait_for_leader(Work::Writes(work), give_up);
        }
        if !self.knows_replicated_time() {
            return self.refuse(Work::Writes(work), Failure::NoLeader);
        }
        if self.raft.log_bytes() > self.config.max_log_bytes {
            return self.refuse(Work::Writes(work), Failure::Busy);
        }
        let stamp = self.stamp().0.to_le_bytes();
        let WriteBatch { order, batch, first_slot, commands } = work;
        self.overtake(order);
        for (slot, command) in (first_slot..).zip(commands) {
            let Some(command) = stamped(command, stamp) else {
                self.pending.answer(batch, slot, Err(Failure::BadAnswer));
                continue;
            };
            match self.raft.handle(self.now, RaftInput::Propose(command)) {
                Answer::Appended { index, term } => self.pending.proposed(batch, slot, index, term),
                Answer::Refused(refusal) => self.pending.answer(batch, slot, Err(failure(refusal))),
                Answer::Done => unreachable!("a proposal is appended or refused"),
            }
        }
    }

    /// Leader: whether it can propose now, rather than in a moment.
    fn takes_commands(&self) -> bool {
        self.raft.transferring_to().is_none() && self.knows_replicated_time()
    }

    fn ask(&mut self, batch: ReadBatch<S::Query>) {
        if self.raft.leader().is_none() {
            let give_up = batch.give_up;
            return self.wait_for_leader(Work::Reads(batch), give_up);
        }
        if self.requests.asked.len() + self.requests.ready.len() >= self.config.max_waiting_batches {
            return self.refuse_reads(batch, Failure::Busy);
        }
        let id = ReadId(self.requests.next_read);
        self.requests.next_read += 1;
        match self.raft.handle(self.now, RaftInput::Read(id)) {
            Answer::Refused(refusal) => self.refuse_reads(batch, failure(refusal)),
            Answer::Done | Answer::Appended { .. } => {
                self.requests.asked.insert(id, batch);
            }
        }
    }

    /// The core has found the index of a read, or has given it up.
    pub(crate) fn on_read_ready(&mut self, id: ReadId, index: Result<Index, Refusal>) {
        let Some(batch) = self.requests.asked.remove(&id) else { return };
        match index {
            Ok(index) => self.requests.ready.push_back((index, batch)),
            Err(Refusal::NotLeader { .. } | Refusal::Transferring) if batch.give_up > self.now => {
                let give_up = batch.give_up;
                self.wait_for_leader(Work::Reads(batch), give_up);
            }
            Err(refusal) => self.refuse_reads(batch, failure(refusal)),
        }
    }

    /// Answers the reads that wait for nothing more, in the order in which they became ready, until they have visited
    /// enough for one step.
    pub(crate) fn answer_ready_reads(&mut self) {
        let mut early = VecDeque::new();
        while self.may_read()
            && let Some((index, batch)) = self.requests.ready.pop_front()
        {
            let is_ready = index <= self.applied;
            if is_ready {
                self.answer_reads(batch);
            } else {
                early.push_back((index, batch));
            }
        }
        self.requests.has_more = self.requests.ready.iter().any(|(index, _)| *index <= self.applied);
        early.append(&mut self.requests.ready);
        self.requests.ready = early;
    }

    /// A new step.
    pub(crate) fn begin_reading(&mut self) {
        self.requests.visited = 0;
    }

    /// Whether reads wait for nothing but the next step.
    pub(crate) fn has_more_to_read(&self) -> bool {
        self.requests.has_more
    }

    /// Whether the reads of this step have not visited enough.
    fn may_read(&self) -> bool {
        self.requests.visited < self.config.max_read_visits
    }

    fn answer_reads(&mut self, batch: ReadBatch<S::Query>) {
        let now = self.clock.estimate(self.now);
        let mut visited = 0;
        let mut read = |query| {
            let response = self.state.read(now, query);
            visited += self.state.visited(query, &response);
            Ok(response)
        };
        let answers = batch.queries.iter().map(&mut read).collect();
        self.requests.visited += visited;
        self.effects.push(Effect::Reply(batch.token, answers));
    }

    fn refuse_reads(&mut self, batch: ReadBatch<S::Query>, failure: Failure) {
        // A read has no effect: whatever became of it, it is not unknown.
        let requests = u32::try_from(batch.queries.len()).unwrap_or(u32::MAX);
        self.events.push(Event::Client(ClientEvent::Refused { requests }));
        let answers = batch.queries.iter().map(|_| Err(failure)).collect();
        self.effects.push(Effect::Reply(batch.token, answers));
    }

    fn wait_for_leader(&mut self, work: Work<S::Query>, give_up: Time) {
        let bytes = match &work {
            Work::Writes(writes) => writes.commands.iter().map(Bytes::len).sum(),
            Work::Reads(_) => 0,
        };
        if let Work::Writes(WriteBatch { order, .. }) = work
            && order < self.requests.overtaken
        {
            return self.refuse(work, Failure::NoLeader);
        }
        let full = self.requests.waiting_bytes + bytes > self.config.max_waiting_bytes
            || self.requests.waiting.len() >= self.config.max_waiting_batches;
        if full {
            return self.refuse(work, Failure::Busy);
        }
        self.requests.waiting_bytes += bytes;
        // A write that comes back takes its place behind the last one that came earlier, whatever reads wait among
        // them: where a read stands is of no matter, for no connection asks before its own writes are answered.
        let goes_before = |other: &Waiting<S::Query>| match (&other.work, &work) {
            (Work::Writes(other), Work::Writes(this)) => other.order < this.order,
            (Work::Reads(_), Work::Writes(_)) => false,
            (_, Work::Reads(_)) => true,
        };
        let place = self.requests.waiting.iter().rposition(goes_before).map_or(0, |last| last + 1);
        self.requests.waiting.insert(place, Waiting { give_up, bytes, work });
    }

    /// A batch of our clients may have its effect from now on: those before it that still wait come too late.
    fn overtake(&mut self, order: u64) {
        self.requests.overtaken = self.requests.overtaken.max(order);
        let overtaken = self.requests.overtaken;
        for waiting in core::mem::take(&mut self.requests.waiting) {
            match waiting.work {
                Work::Writes(WriteBatch { order, .. }) if order < overtaken => {
                    self.requests.waiting_bytes = self.requests.waiting_bytes.saturating_sub(waiting.bytes);
                    self.refuse(waiting.work, Failure::NoLeader);
                }
                Work::Writes(_) | Work::Reads(_) => self.requests.waiting.push_back(waiting),
            }
        }
    }

    fn refuse(&mut self, work: Work<S::Query>, failure: Failure) {
        match work {
            Work::Writes(WriteBatch { batch, first_slot, commands, .. }) => {
                for (slot, _) in (first_slot..).zip(commands) {
                    self.pending.answer(batch, slot, Err(failure));
                }
            }
            Work::Reads(batch) => self.refuse_reads(batch, failure),
        }
    }

    /// Looks whom we follow now, and lets the requests follow.
    pub(crate) fn follow_leader(&mut self) {
        let followed = (self.raft.term(), self.raft.leader());
        if followed != self.requests.followed {
            if self.requests.followed.1.is_some() && followed.1.is_none() {
                self.requests.leaderless_since = self.now;
            }
            self.requests.followed = followed;
            if followed.1.is_some() {
                self.forget_old_leader(followed);
            }
        }
        // In the middle of a transfer the leader refuses: what waits goes to the new leader, or back to it.
        let is_ready = if self.raft.is_leader() { self.takes_commands() } else { followed.1.is_some() };
        if is_ready && !self.requests.waiting.is_empty() {
            self.let_go();
        }
    }

    /// What waits turns to the leader. Writes that came back do so once all that was sent behind them has come
    /// back too.
    fn let_go(&mut self) {
        self.requests.waiting_bytes = 0;
        let under_way = self.requests.forwarded.values().map(|forwarded| forwarded.work.order).max();
        let mut held = VecDeque::new();
        for Waiting { give_up, bytes, work } in core::mem::take(&mut self.requests.waiting) {
            match work {
                Work::Writes(writes) if !held.is_empty() || Some(writes.order) < under_way => {
                    held.push_back(Waiting { give_up, bytes, work: Work::Writes(writes) });
                }
                Work::Writes(writes) => self.route(writes, give_up),
                Work::Reads(batch) => self.ask(batch),
            }
        }
        for Waiting { give_up, work, .. } in held {
            self.wait_for_leader(work, give_up);
        }
    }

    /// What an older leader still owes us, it will hardly pay.
    fn forget_old_leader(&mut self, (term, leader): (Term, Option<NodeId>)) {
        let old = |forwarded: &Forwarded| forwarded.term != term || Some(forwarded.to) != leader;
        self.abandon_forwarded(old);
    }

    fn abandon_forwarded(&mut self, which: impl Fn(&Forwarded) -> bool) {
        let ids: Vec<u64> = (self.requests.forwarded.iter())
            .filter(|(_, forwarded)| which(forwarded))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            if let Some(forwarded) = self.requests.forwarded.remove(&id) {
                self.overtake(forwarded.work.order);
                self.refuse(Work::Writes(forwarded.work), Failure::OutcomeUnknown);
            }
        }
    }

    /// Answers what has waited long enough.
    pub(crate) fn sweep_requests(&mut self) {
        for waiting in core::mem::take(&mut self.requests.waiting) {
            if waiting.give_up > self.now {
                self.requests.waiting.push_back(waiting);
                continue;
            }
            self.requests.waiting_bytes = self.requests.waiting_bytes.saturating_sub(waiting.bytes);
            self.refuse(waiting.work, Failure::NoLeader);
        }
        let leaderless = self.raft.leader().is_none()
            && self.now >= self.requests.leaderless_since + self.election_timeout();
        if leaderless {
            self.abandon_forwarded(|_| true);
            self.pending.abandon_all();
            // What they wait for comes by a leader.
            self.refuse_ready_reads(Failure::NoLeader, |_| true);
        }
        self.pending.expire(self.now);
        let now = self.now;
        let (open, mut unknown) = (&self.pending, 0);
        self.requests.forwarded.retain(|_, forwarded| {
            let stays = open.is_open(forwarded.work.batch, forwarded.work.first_slot);
            unknown = if stays { unknown } else { unknown.max(forwarded.work.order) };
            stays
        });
        self.overtake(unknown);
        let late: Vec<ReadId> = (self.requests.asked.iter())
            .filter(|(_, batch)| batch.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(batch) = self.requests.asked.remove(&id) {
                self.refuse_reads(batch, Failure::NoLeader);
            }
        }
        // There is a leader, but what it has committed does not arrive here.
        self.refuse_ready_reads(Failure::OutcomeUnknown, |batch| batch.deadline <= now);
    }

    /// Gives up reads whose index is known, but not applied yet.
    fn refuse_ready_reads(&mut self, failure: Failure, which: impl Fn(&ReadBatch<S::Query>) -> bool) {
        let ready = core::mem::take(&mut self.requests.ready);
        let (refused, stay): (VecDeque<_>, _) = ready.into_iter().partition(|(_, batch)| which(batch));
        self.requests.ready = stay;
        for (_, batch) in refused {
            self.refuse_reads(batch, failure);
        }
    }

    /// Sends out the write batches that are complete.
    pub(crate) fn send_finished(&mut self) {
        for Finished { origin, answers } in self.pending.take_finished() {
            for failure in answers.iter().filter_map(|answer| answer.as_ref().err()) {
                self.note_failure(*failure);
            }
            match origin {
                Origin::Local(token) => self.effects.push(Effect::Reply(token, answers)),
                Origin::Peer(to, id) => {
                    let answers = encode_answers::<S>(answers);
                    self.effects.push(Effect::Send(to, Frame::ForwardReply { id, answers }));
                }
            }
        }
    }

    fn note_failure(&mut self, failure: Failure) {
        let requests = 1;
        self.events.push(Event::Client(match failure {
            Failure::OutcomeUnknown => ClientEvent::OutcomeUnknown { requests },
            Failure::NoLeader
            | Failure::Busy
            | Failure::TooLarge
            | Failure::Refused(_)
            | Failure::TransferFailed
            | Failure::AnswerTooLarge
            | Failure::BadAnswer => ClientEvent::Refused { requests },
        }));
    }

    /// Until when a request that comes now may look for a leader.
    fn leader_patience(&self) -> Time {
        self.now + self.election_timeout()
    }

    fn request_deadline(&self) -> Time {
        self.now + self.config.request_timeout
    }
}

/// The answers as they travel to the follower; what does not fit into a frame is only named.
fn encode_answers<S: StateMachine>(
    answers: Vec<Result<S::Response, Failure>>,
) -> Vec<Result<Bytes, Failure>> {
    let mut room = MAX_FORWARDED_ANSWERS_BYTES;
    let mut encode = |response: S::Response| {
        let mut bytes = Vec::new();
        S::encode_response(&response, &mut bytes);
        room = room.checked_sub(bytes.len()).ok_or(Failure::AnswerTooLarge)?;
        Ok(Bytes::from(bytes))
    };
    answers.into_iter().map(|answer| answer.and_then(&mut encode)).collect()
}

/// Writes the stamp into a command's free bytes; `None` if it has not even these.
fn stamped(command: Bytes, stamp: [u8; STAMP_BYTES]) -> Option<Bytes> {
    if command.len() < STAMP_BYTES {
        return None;
    }
    // Nobody else holds the bytes of a command that has just come from a client: no copy is made then.
    let mut command: Vec<u8> = command.into();
    command[..STAMP_BYTES].copy_from_slice(&stamp);
    Some(Bytes::from(command))
}

fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::NotLeader { .. } | Refusal::Transferring => Failure::NoLeader,
        Refusal::Busy => Failure::Busy,
        Refusal::TooLarge => Failure::TooLarge,
        Refusal::ChangePending
        | Refusal::TooEarly
        | Refusal::BadMembership
        | Refusal::NoChange
        | Refusal::BadTarget => Failure::Refused(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Input;
    use crate::kv_machine::KvMachine;
    use crate::replica::ReplicaConfig;
    use jangada_kv::command::Command;
    use jangada_kv::{Request, Response};
    use jangada_raft::face::Recovered;
    use jangada_raft::incarnation::Incarnation;
    use jangada_raft::types::{ClusterId, Membership, SnapshotMeta};

    const fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    /// A follower of three with an empty log.
    fn follower(config: ReplicaConfig) -> Replica<KvMachine> {
        let voters = [1, 2, 3].map(NodeId).into();
        let snapshot = SnapshotMeta {
            membership: Membership { voters, ..Membership::default() }.into(),
            ..Default::default()
        };
        let recovered = Recovered { snapshot, ..Recovered::default() };
        let raft = Config::new(NodeId(1), ClusterId(7), 1);
        Replica::restore(Time::ZERO, raft, config, recovered, KvMachine::new())
    }

    fn one_read(deadline: Time) -> ReadBatch<Request> {
        let queries = vec![Request::Command(Command::Get { key: Bytes::from_static(b"k") })];
        ReadBatch { token: Token(9), queries, give_up: deadline, deadline }
    }

    /// A follower that has been told to read at index 5 and never gets that far: what it answers, when.
    fn answers(deadline: Time, times: &[Time]) -> Vec<Option<Vec<Result<Response, Failure>>>> {
        let mut replica = follower(ReplicaConfig::default());
        replica.requests.ready.push_back((Index(5), one_read(deadline)));
        let answer = |time: &Time| {
            let (mut effects, mut events) = (Vec::new(), Vec::new());
            replica.handle(*time, Input::TimePassed);
            replica.take_effects(*time, &mut effects, &mut events);
            effects.into_iter().find_map(|effect| match effect {
                Effect::Reply(Token(9), answers) => Some(answers),
                _ => None,
            })
        };
        times.iter().map(answer).collect()
    }

    #[test]
    fn no_start_on_any_disk_numbers_its_batches_as_another_did() {
        let first = |disk: u64, start: u64| {
            let incarnation = Incarnation { number: disk, ..Incarnation::UNCHECKED };
            let raft = Config::new(NodeId(1), ClusterId(7), 1);
            first_forward(&Config { incarnation, first_sequence: start << 40 | 1, ..raft })
        };
        // Disks whose numbers were drawn, and some that were counted.
        let disks = [0x9d3f_a7c1_5e02_4b86, 0x40b2_6c9e_f718_d353, 1, 2, 3, 4];
        let starts = disks.into_iter().flat_map(|disk| (1..=100).map(move |start| first(disk, start) >> 40));
        let firsts: std::collections::BTreeSet<u64> = starts.collect();
        assert_eq!(firsts.len(), 600, "a start has 2^40 numbers of its own");
    }

    #[test]
    fn reads_that_visit_much_are_answered_in_several_steps() {
        let mut replica = follower(ReplicaConfig { max_read_visits: 2, ..ReplicaConfig::default() });
        replica.requests.ready.extend([0, 0, 0, 5, 0].map(|index| (Index(index), one_read(at(5_000)))));
        let mut step = || {
            let (mut effects, mut events) = (Vec::new(), Vec::new());
            replica.handle(at(1), Input::TimePassed);
            replica.take_effects(at(1), &mut effects, &mut events);
            let replies = effects.iter().filter(|effect| matches!(effect, Effect::Reply(..))).count();
            (replies, replica.next_deadline() == Time::ZERO)
        };
        assert_eq!([step(), step(), step()], [(2, true), (2, false), (0, false)]);
    }

    #[test]
    fn reads_that_came_first_are_answered_first_whatever_becomes_ready_meanwhile() {
        let mut replica = follower(ReplicaConfig { max_read_visits: 1, ..ReplicaConfig::default() });
        let read = |token| ReadBatch { token: Token(token), ..one_read(at(5_000)) };
        let mut answered = Vec::new();
        for token in 1..=4 {
            // Two arrive for each one that a step has time for.
            for token in [token, 10 + token] {
                replica.requests.asked.insert(ReadId(token), read(token));
                replica.on_read_ready(ReadId(token), Ok(Index(0)));
            }
            let (mut effects, mut events) = (Vec::new(), Vec::new());
            replica.take_effects(at(1), &mut effects, &mut events);
            answered.extend(effects.iter().filter_map(|effect| match effect {
                Effect::Reply(token, _) => Some(token.0),
                _ => None,
            }));
        }
        assert_eq!(answered, [1, 11, 2, 12]);
    }

    #[test]
    fn a_read_that_waits_for_what_never_arrives_is_given_up_at_its_deadline() {
        let late = Some(vec![Err(Failure::OutcomeUnknown)]);
        assert_eq!(answers(at(200), &[at(100), at(250), at(300)]), [None, late, None]);
    }

    #[test]
    fn without_a_leader_it_is_given_up_within_an_election_timeout() {
        let refused = Some(vec![Err(Failure::NoLeader)]);
        assert_eq!(answers(at(5_000), &[at(400), at(530), at(560)]), [None, refused, None]);
    }
}
