//! One server with its disk, and what one thing that happens to it makes of both.
//!
//! This is the only place that calls the core, and it calls the core that runs in production: nothing of it is
//! modelled. A server's next state depends on nothing but its state and what happens, so each pair of the two
//! is worked out once, however many states of the whole world it occurs in.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use jangada_raft::config::Config as RaftConfig;
use jangada_raft::event::Event;
use jangada_raft::face::{MembershipChange, Persist};
use jangada_raft::message::Message;
use jangada_raft::types::{
    ClusterId, Entry, HardState, Index, Membership, NodeId, Payload, PersistId, Term, Time,
};
use jangada_raft::{Answer, Input, Output, Raft, Recovered, check_invariants};

use super::config::Config;
use super::invariant::{Broken, Quorum};
use crate::check::Invariant;
use crate::panics::catch;

/// A server and its disk.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Local {
    pub(super) raft: Raft,
    /// What a crash leaves.
    pub(super) disk: Image,
    /// What is being written, the oldest order first.
    pub(super) orders: VecDeque<Order>,
}

/// What is on a disk.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Image {
    pub(super) hard_state: HardState,
    pub(super) log: Vec<Entry>,
}

/// A [`Persist`] without its number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Order {
    pub(super) hard_state: Option<HardState>,
    pub(super) truncate_from: Option<Index>,
    pub(super) entries: Vec<Entry>,
}

/// What happens to a server.
pub(super) enum Stimulus {
    /// A message arrives.
    Receive(Rc<Message>),
    /// So much time has passed.
    Wait(Patience),
    /// A client's command.
    Propose(u32),
    /// A wish for other voters.
    Change(BTreeSet<NodeId>),
    /// The oldest order to the disk is done.
    Written,
    /// A crash, with so many single writes done of those that were under way; and a restart.
    Crash(usize),
}

/// The three spans of time that make a difference to a server.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Patience {
    /// A heartbeat is due, or time to ask again.
    Heartbeat,
    /// A leader that was not heard of for so long is protected no more.
    Protection,
    /// The election timer rings; a leader that nobody answered for so long steps down.
    Election,
}

/// What came of it.
pub(super) struct Step {
    pub(super) next: Local,
    pub(super) sends: Vec<Message>,
    /// By whose majority something was committed, if it was.
    pub(super) quorum: Option<Quorum>,
}

/// What the core wants done.
#[derive(Default)]
struct Wishes {
    sends: Vec<Message>,
    quorum: Option<Quorum>,
}

impl Local {
    /// A server as it is at the beginning.
    pub(super) fn new(config: &Config, id: NodeId) -> Local {
        let position = usize::try_from(id.0 - 1).expect("a small number");
        let relic = config.relics.get(position).cloned().unwrap_or_default();
        let entry = |(index, term): (Index, Term)| {
            let is_last = index.0 == relic.log.len() as u64;
            let payload = match (&relic.voters, index) {
                (Some(ids), _) if is_last => Payload::Membership(Box::new(voters(ids))),
                (_, Index(1)) => Payload::Membership(Box::new(voters(&config.founders))),
                _ => Payload::Command(format!("{index}@{term}").into()),
            };
            Entry { term, index, payload }
        };
        let hard_state =
            HardState { term: Term(relic.term), voted_for: relic.voted_for.map(|id| NodeId(id.into())) };
        let disk = Image { hard_state, log: relic.entries().map(entry).collect() };
        Local { raft: start(config, id, &disk), disk, orders: VecDeque::new() }
    }

    /// The whole log: what is in memory, behind what a snapshot stands for there.
    pub(super) fn log(&self) -> impl Iterator<Item = &Entry> {
        let first = self.raft.first_index();
        let old = self.disk.log.iter().take_while(move |entry| entry.index < first);
        old.chain(self.raft.entries(first..=self.raft.last_index()))
    }

    pub(super) fn id(&self) -> NodeId {
        self.raft.id()
    }

    /// How many single writes are under way.
    pub(super) fn writes(&self) -> usize {
        self.orders.iter().map(Order::writes).sum()
    }

    /// What happens, and what comes of it; or what it breaks.
    pub(super) fn step(&self, config: &Config, stimulus: &Stimulus) -> Result<Step, Broken> {
        catch(|| self.attempt(config, stimulus))
            .unwrap_or_else(|said| Err(Broken::new(Invariant::NoPanic, format!("{}: {said}", self.id()))))
    }

    fn attempt(&self, config: &Config, stimulus: &Stimulus) -> Result<Step, Broken> {
        let mut next = self.clone();
        let mut wishes = Wishes::default();
        let now = next.raft.canonical_now();
        match stimulus {
            Stimulus::Receive(message) => {
                next.tell(now, Input::Receive(Message::clone(message)), &mut wishes);
            }
            Stimulus::Wait(patience) => {
                let patience = patience.of(next.raft.config());
                next.tell(now + patience, Input::TimePassed, &mut wishes);
            }
            Stimulus::Propose(number) => {
                next.tell(now, Input::Propose(format!("command {number}").into()), &mut wishes);
            }
            Stimulus::Change(voters) => {
                let (voters, learners) = (voters.clone(), BTreeSet::new());
                let change = MembershipChange { voters, learners, context: bytes::Bytes::new() };
                next.tell(now, Input::ChangeMembership(change), &mut wishes);
            }
            Stimulus::Written => next.written(config, &mut wishes)?,
            Stimulus::Crash(writes) => next.crash(config, *writes)?,
        }
        while !config.slow_disks && !next.orders.is_empty() {
            next.written(config, &mut wishes)?;
        }
        if !config.overlook.contains(&Invariant::NoPanic) {
            check_invariants(&next.raft);
        }
        if !matches!(stimulus, Stimulus::Crash(_)) {
            let (before, after) = (&self.raft, &next.raft);
            let vote = |raft: &Raft| HardState { term: raft.term(), voted_for: raft.voted_for() };
            check_vote(config, self.id(), "", vote(before), vote(after))?;
            if after.commit_index() < before.commit_index() {
                let sentence =
                    format!("{} takes back that {} is committed", self.id(), before.commit_index());
                return Err(Broken::new(Invariant::CommittedImmutable, sentence));
            }
        }
        let Wishes { sends, quorum } = wishes;
        Ok(Step { next, sends, quorum })
    }

    /// One input, and all that the core wants done at once.
    fn tell(&mut self, now: Time, input: Input, wishes: &mut Wishes) -> Answer {
        thread_local! {
            static OUTPUT: RefCell<Output> = RefCell::default();
        }
        let mut in_force = Quorum::of(self.raft.membership());
        let answer = self.raft.handle(now, input);
        OUTPUT.with_borrow_mut(|out| {
            self.raft.take_output(out);
            for mut message in out.send.drain(..) {
                message.sequence = 0;
                wishes.sends.push(message);
            }
            // A leader that commits a configuration appends the next one at once: which one was in force when
            // it committed, the order of the events tells.
            for event in &out.events {
                match event {
                    Event::MembershipChanged { index, .. } => in_force = quorum_at(&self.raft, *index),
                    Event::Committed { .. } => wishes.quorum = Some(in_force),
                    _ => {}
                }
            }
            if let Some(Persist { id: _, hard_state, snapshot_chunk, truncate_from, entries }) =
                out.persist.take()
            {
                assert!(snapshot_chunk.is_none(), "nobody takes snapshots here");
                self.orders.push_back(Order { hard_state, truncate_from, entries });
            }
        });
        self.raft.canonicalise();
        answer
    }

    /// The oldest order is done: the disk holds it, and the core hears so.
    fn written(&mut self, config: &Config, wishes: &mut Wishes) -> Result<(), Broken> {
        let order = self.orders.pop_front().expect("an order is under way");
        let writes = order.writes();
        self.write(config, &order, writes)?;
        self.tell(self.raft.canonical_now(), Input::Persisted(PersistId(1)), wishes);
        Ok(())
    }

    /// The process ends, and begins anew with what the disk holds.
    fn crash(&mut self, config: &Config, mut writes: usize) -> Result<(), Broken> {
        for order in std::mem::take(&mut self.orders) {
            let done = order.writes().min(writes);
            self.write(config, &order, done)?;
            writes -= done;
        }
        self.raft = start(config, self.id(), &self.disk);
        Ok(())
    }

    /// The first so many writes of an order.
    fn write(&mut self, config: &Config, order: &Order, mut count: usize) -> Result<(), Broken> {
        let mut may_write = || {
            let may = count > 0;
            count = count.saturating_sub(1);
            may
        };
        if let Some(hard_state) = order.hard_state
            && may_write()
        {
            check_vote(config, self.id(), "'s disk", self.disk.hard_state, hard_state)?;
            self.disk.hard_state = hard_state;
        }
        if let Some(from) = order.truncate_from
            && may_write()
        {
            self.disk.log.retain(|entry| entry.index < from);
        }
        for entry in &order.entries {
            if may_write() {
                assert!(
                    entry.index.0 == self.disk.log.len() as u64 + 1,
                    "the disk gets a log without a hole"
                );
                self.disk.log.push(entry.clone());
            }
        }
        Ok(())
    }
}

impl Order {
    /// How many single writes it is made of. A crash can come between any two.
    fn writes(&self) -> usize {
        usize::from(self.hard_state.is_some())
            + usize::from(self.truncate_from.is_some())
            + self.entries.len()
    }
}

impl Patience {
    fn of(self, config: &RaftConfig) -> Duration {
        match self {
            Patience::Heartbeat => config.heartbeat_interval,
            Patience::Protection => config.election_timeout_min,
            Patience::Election => config.election_timeout_max,
        }
    }
}

/// "Vote monotonic": a term never falls, and a vote that was given in it stays.
fn check_vote(
    config: &Config,
    id: NodeId,
    whose: &str,
    before: HardState,
    after: HardState,
) -> Result<(), Broken> {
    let keeps = before.voted_for.is_none() || before.voted_for == after.voted_for;
    let is_fine = after.term > before.term || (after.term == before.term && keeps);
    if is_fine || config.overlook.contains(&Invariant::Monotonic) {
        return Ok(());
    }
    let sentence = format!("{id}{whose} forgets its vote: {} becomes {}", Vote(before), Vote(after));
    Err(Broken::new(Invariant::Monotonic, sentence))
}

/// By whose majorities is decided once this entry is in the log.
fn quorum_at(raft: &Raft, index: Index) -> Quorum {
    match raft.entries(index..=index).next().map(|entry| &entry.payload) {
        Some(Payload::Membership(membership)) => Quorum::of(membership),
        Some(Payload::Noop | Payload::Command(_)) | None => Quorum::of(raft.membership()),
    }
}

/// In words.
struct Vote(HardState);

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.voted_for {
            Some(voted_for) => write!(f, "{voted_for} in term {}", self.0.term),
            None => write!(f, "nobody in term {}", self.0.term),
        }
    }
}

fn voters(ids: &[u8]) -> Membership {
    Membership::of(ids.iter().map(|id| NodeId((*id).into())))
}

/// A server as its disk remembers it, without a past.
fn start(config: &Config, id: NodeId, disk: &Image) -> Raft {
    let mut recovered = Recovered { hard_state: disk.hard_state, ..Recovered::default() };
    let founders = voters(&config.founders);
    if founders.voters.contains(&id) {
        recovered.snapshot.membership = founders.into();
    }
    let (old, entries) =
        disk.log.split_at(usize::try_from(config.snapshot).expect("a short log").min(disk.log.len()));
    if let Some(last) = old.last() {
        (recovered.snapshot.last_included_index, recovered.snapshot.last_included_term) =
            (last.index, last.term);
    }
    recovered.entries = entries.to_vec();
    let mut raft = Raft::restore(Time::ZERO, raft_config(config, id), recovered);
    let mut out = Output::default();
    raft.take_output(&mut out);
    assert!(out.persist.is_none() && out.send.is_empty(), "whoever starts waits");
    raft.canonicalise();
    raft
}

fn raft_config(config: &Config, id: NodeId) -> RaftConfig {
    let cluster = ClusterId(1);
    let classic = RaftConfig {
        // Nobody is protected, so it makes no difference when a leader was heard of.
        election_timeout_min: Duration::ZERO,
        // Disks forget nothing here that they have written.
        followers_may_forget: false,
        ..RaftConfig::classic(id, cluster, 0)
    };
    let profile = if config.modern { RaftConfig::new(id, cluster, 0) } else { classic };
    RaftConfig { max_append_entries: config.entries_per_message, ..profile }
}
