//! The cluster that scripts are played on: everything in it is made up but the servers.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use jangada_kv::command::{Command, Reply};
use jangada_kv::{Request, Response};
use jangada_node::effect::{Input, Token};
use jangada_node::event::{self, Record};
use jangada_node::frame::Frame;
use jangada_node::state_machine::STAMP_BYTES;
use jangada_raft::Raft;
use jangada_raft::face::MembershipChange;
use jangada_raft::types::{Index, NodeId, Term, Time};
use jangada_trace::deeds::{self, Standing};
use jangada_trace::say;

use crate::check::Violation;

use super::cluster::{
    Answer, Ask, Cluster, Deed, Filter, Held, HeldNumber, MAX_SERVERS, Setup, View, inherited, slow,
};
use super::command::Message;
use super::network::Parcel;
use super::rig::Rig;

/// So many records are kept for who looks back, at least.
const MAX_TAKEN: usize = 1 << 17;

/// The simulator's world, moved by hand.
#[derive(Default)]
pub struct Simulated {
    rig: Option<Rig>,
    /// Records that were taken, for who looks back; the oldest go first.
    taken: Vec<Record>,
    /// What had been done when the first of them was written.
    before: Standing,
    /// Operations of each disk until the mark.
    marked: [u64; MAX_SERVERS as usize],
    /// Whether somebody wants the command that is under way to end.
    brake: Option<Brake>,
}

/// Says whether somebody wants what is under way to end; asking may forget it.
pub type Brake = Box<dyn Fn() -> bool + Send>;

impl Simulated {
    /// Without servers, until it is founded.
    #[must_use]
    pub fn new() -> Simulated {
        Simulated::default()
    }

    /// Asked each time something happens: a command that lets time pass ends, with an error, when it says yes.
    pub fn set_brake(&mut self, brake: Brake) {
        self.brake = Some(brake);
    }

    /// Messages lost of a hundred, and how much longer each takes.
    #[must_use]
    pub fn weather(&self) -> (u8, Duration) {
        let network = self.rig.as_ref().map(|rig| &rig.network);
        network.map_or((0, Duration::ZERO), |network| (network.loss, network.slow))
    }

    /// What happened last, the latest at the end.
    #[must_use]
    pub fn recorded(&self) -> Vec<Record> {
        let waiting = self.rig.as_ref().map_or(&[][..], |rig| &rig.records);
        let first = self.taken.first().or(waiting.first()).map_or(Time::ZERO, |record| record.time);
        [&self.before.records(first), &self.taken[..], waiting].concat()
    }

    /// Somebody did this.
    fn note(&mut self, node: NodeId, deed: event::Deed) {
        let rig = self.rig_mut();
        rig.records.push(deeds::record(rig.now, node, deed));
    }

    fn rig(&self) -> &Rig {
        self.rig.as_ref().expect("a cluster is founded before anything else")
    }

    fn rig_mut(&mut self) -> &mut Rig {
        self.rig.as_mut().expect("a cluster is founded before anything else")
    }

    /// A server's core, to be looked at; `None` if it is down.
    #[must_use]
    pub fn raft(&self, id: NodeId) -> Option<&Raft> {
        self.rig.as_ref()?.raft(id)
    }

    /// What the state shows; `None` while a snapshot is being loaded into it.
    fn applied(&self, id: NodeId) -> Option<Index> {
        let replica = self.rig().replica(id)?;
        (!replica.is_restoring()).then(|| replica.last_applied())
    }
}

impl Cluster for Simulated {
    fn found(&mut self, setup: &Setup) -> Result<(), String> {
        self.rig = Some(Rig::new(setup.clone()));
        self.taken.clear();
        self.before = Standing::default();
        self.marked = Default::default();
        Ok(())
    }

    fn now(&self) -> Time {
        self.rig.as_ref().map_or(Time::ZERO, |rig| rig.now)
    }

    fn pass(&mut self, until: Time) -> Result<bool, String> {
        if self.brake.as_ref().is_some_and(|pulled| pulled()) {
            return Err(say!(self.language(), "interrupted"));
        }
        let rig = self.rig_mut();
        let something = rig.next_time().is_some_and(|next| next <= until);
        if something {
            rig.step()
        } else {
            rig.now = until
        }
        Ok(something)
    }

    fn take_records(&mut self) -> Vec<Record> {
        let records = self.rig.as_mut().map(|rig| std::mem::take(&mut rig.records)).unwrap_or_default();
        if self.taken.len() >= 2 * MAX_TAKEN {
            let before = &mut self.before;
            self.taken.drain(..MAX_TAKEN).for_each(|record| before.see_record(&record));
        }
        self.taken.extend_from_slice(&records);
        records
    }

    fn take_answers(&mut self) -> Vec<(Token, Answer)> {
        let answers = self.rig.as_mut().map(|rig| std::mem::take(&mut rig.answers));
        answers.into_iter().flatten().collect()
    }

    fn violations(&self) -> &[Violation] {
        self.rig.as_ref().map_or(&[], |rig| &rig.findings.violations)
    }

    fn servers(&self) -> Vec<NodeId> {
        self.rig().servers.keys().copied().collect()
    }

    fn is_paused(&self, id: NodeId) -> bool {
        self.rig().servers.get(&id).is_some_and(|server| server.paused)
    }

    fn view(&self, id: NodeId) -> Option<View<'_>> {
        let raft = self.raft(id)?;
        Some(View {
            id,
            role: raft.role_name(),
            term: raft.term(),
            voted_for: raft.voted_for(),
            leader: raft.leader(),
            leader_last_heard: raft.leader_last_heard(),
            rules: raft.is_leader() && raft.has_committed_own_term(),
            first_index: raft.first_index(),
            last_index: raft.last_index(),
            last_term: raft.last_term(),
            commit_index: raft.commit_index(),
            applied: self.applied(id),
            snapshot: raft.snapshot_meta().last_included_index,
            membership: Cow::Borrowed(raft.membership()),
            membership_index: raft.membership_index(),
            membership_is_committed: raft.committed_membership() == raft.membership(),
        })
    }

    fn log_terms(&self, id: NodeId) -> Vec<Term> {
        let Some(raft) = self.raft(id) else { return Vec::new() };
        raft.entries(raft.first_index()..=raft.last_index()).map(|entry| entry.term).collect()
    }

    fn value(&self, id: NodeId, key: &str) -> Option<Vec<u8>> {
        let store = &self.rig().replica(id)?.state().inner().store;
        let get = Request::Command(Command::Get { key: Bytes::copy_from_slice(key.as_bytes()) });
        match store.read(store.clock(), &get) {
            Response::Reply(Reply::Value(value)) => Some(value.to_vec()),
            _ => None,
        }
    }

    fn befall(&mut self, id: NodeId, deed: Deed) -> Result<(), String> {
        let is_new = !self.rig().servers.contains_key(&id);
        deed.recorded().into_iter().for_each(|deed| self.note(id, deed));
        let rig = self.rig_mut();
        match deed {
            Deed::Start => rig.start(id),
            Deed::Crash => rig.crash(id),
            Deed::Pause => rig.pause(id),
            Deed::Resume => rig.resume(id),
            Deed::Campaign => rig.input(id, Input::Campaign),
            Deed::Snapshot => rig.input(id, Input::TakeSnapshot),
            Deed::Stall => rig.stall(id, true),
            Deed::Unstall => rig.stall(id, false),
        }
        if is_new {
            let inherited = inherited(self, id, self.weather());
            inherited.into_iter().for_each(|(node, deed)| self.note(node, deed));
        }
        Ok(())
    }

    fn ask(&mut self, at: NodeId, token: Token, ask: Ask) -> Result<(), String> {
        let context = self.raft(at).map(|raft| raft.membership().context.clone()).unwrap_or_default();
        let input = match ask {
            Ask::Client(query) if query.is_read_only() => Input::Reads { token, queries: vec![query] },
            Ask::Client(query) => {
                let mut command = vec![0; STAMP_BYTES];
                query.encode(&mut command);
                Input::Writes { token, commands: vec![command] }
            }
            Ask::Members { voters, learners } => {
                let change = MembershipChange { voters, learners, context };
                Input::ChangeMembership { token, change }
            }
            Ask::Transfer(to) => Input::Transfer { token, to },
        };
        self.rig_mut().ask(at, token, input);
        Ok(())
    }

    fn set_link(&mut self, from: NodeId, to: NodeId, works: bool) -> Result<(), String> {
        let there = |id| self.rig().servers.contains_key(&id);
        if from != to && there(from) && there(to) && self.is_cut(from, to) == works {
            let deed = if works { event::Deed::Mend { to } } else { event::Deed::Cut { to } };
            self.note(from, deed);
        }
        let network = &mut self.rig_mut().network;
        if works {
            network.heal(from, to)
        } else {
            network.cut(from, to)
        }
        Ok(())
    }

    fn set_loss(&mut self, percent: u8) -> Result<(), String> {
        if self.rig().network.loss != percent {
            self.servers().into_iter().for_each(|id| self.note(id, event::Deed::Lose { percent }));
        }
        self.rig_mut().network.loss = percent;
        Ok(())
    }

    fn set_delay(&mut self, delay: Duration) -> Result<(), String> {
        if self.rig().network.slow != delay {
            self.servers().into_iter().for_each(|id| self.note(id, slow(delay)));
        }
        self.rig_mut().network.slow = delay;
        Ok(())
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.rig().network.is_cut(from, to)
    }

    fn mark(&mut self) {
        let rig = self.rig.as_mut().expect("a cluster is founded before anything else");
        rig.network.sent.clear();
        self.marked = std::array::from_fn(|place| rig.disk(NodeId(place as u64 + 1)).operations());
    }

    fn sent(&self, filter: &Filter) -> Result<u64, String> {
        let sent = self.rig().network.sent.iter();
        Ok(sent
            .filter(|((from, to, message), _)| filter.fits(*from, *to, *message))
            .map(|(_, count)| count)
            .sum())
    }

    fn wrote(&self, id: NodeId) -> Result<u64, String> {
        let before = self.marked[usize::try_from(id.0 - 1).expect("few servers")];
        Ok(self.rig().disk(id).operations() - before)
    }

    fn hold(&mut self, filter: Filter) -> Result<(), String> {
        self.rig_mut().network.hold(filter);
        Ok(())
    }

    fn held(&self, filter: &Filter) -> Vec<Held> {
        let held = |(number, parcel): (HeldNumber, &Parcel)| Held {
            number,
            from: parcel.from,
            to: parcel.to,
            message: parcel.message,
            gist: gist(parcel),
        };
        self.rig().network.held(filter).map(held).collect()
    }

    fn deliver(&mut self, number: HeldNumber, again: bool) {
        let rig = self.rig_mut();
        let network = &mut rig.network;
        let parcel = if again { network.held_parcel(number).cloned() } else { network.take_held(number) };
        if let Some(parcel) = parcel {
            rig.hand_over(&parcel);
        }
    }

    fn lose(&mut self, number: HeldNumber) {
        let _lost = self.rig_mut().network.take_held(number);
    }

    fn release(&mut self) {
        let rig = self.rig_mut();
        for parcel in rig.network.release() {
            rig.hand_over(&parcel);
        }
    }
}

/// What is in a message, for whoever wonders whether to deliver it.
fn gist(parcel: &Parcel) -> String {
    let Frame::Raft(raft) = &parcel.frame else { return String::new() };
    let (_, index, count) = raft.rpc.gist();
    let term = raft.term;
    match parcel.message {
        Message::Append => format!("term {term}, {count} after {index}"),
        Message::VoteReply | Message::PreVoteReply if count == 1 => format!("term {term}: granted"),
        Message::VoteReply | Message::PreVoteReply => format!("term {term}: refused"),
        _ => format!("term {term}"),
    }
}
