//! A server starts on an image: the server's own code, all the way to a state machine that has applied what is
//! committed.

use jangada_node::effect::{Effect, Input};
use jangada_node::frame::Frame;
use jangada_node::kv_machine::KvMachine;
use jangada_raft::message::{AppendEntries, Message, Rpc};
use jangada_raft::types::{Index, NodeId, Term, Time};

use crate::disk::SimDisk;
use crate::disk::tape::Note;
use crate::kv::Kv;
use crate::observed::Observed;
use crate::plan::Plan;
use crate::server::{CLUSTER, Process, Server, Setup};
use crate::workload::Workload;

use super::ledger::Memory;
use super::truth::Truth;

/// Whose disk it is.
pub(crate) struct Patient<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) id: NodeId,
    pub(crate) truth: &'a Truth,
}

/// What came of a start.
pub(crate) struct Booted {
    pub(crate) found: Memory,
    pub(crate) torn_bytes: u64,
    pub(crate) snapshot: bool,
    process: Box<Process<KvMachine>>,
}

/// The server's own number of starts is over by then.
const LATER_START: u64 = 1 << 20;
const NOW: Time = Time(1_000_000);

impl Patient<'_> {
    /// Starts on a disk: the log is read and repaired, nothing else is done yet.
    ///
    /// # Errors
    /// It does not start, and why.
    pub(crate) fn start(&self, disk: &SimDisk, begun: bool) -> Result<Booted, String> {
        let mut server = Server::<KvMachine>::new(self.id);
        (server.log_begun, server.starts) = (begun, LATER_START);
        let setup = Setup { plan: self.plan, now: Time::ZERO, fast: 0 };
        let state = Observed::new(Kv::machine, Kv::state_hash);
        let opened = server.start(&setup, disk, state).map_err(|why| format!("it does not start: {why}"))?;
        let process = server.process.expect("it has started");
        let found = Memory::of(process.replica.raft());
        disk.note(|| Note::Opened(Box::new(found.clone())));
        Ok(Booted { found, torn_bytes: opened.torn_bytes, snapshot: opened.snapshot, process })
    }

    /// Loads the snapshot, hears a leader of a later term, and applies what is known to be committed. Says
    /// whether that could be compared with what the cluster's own servers had.
    ///
    /// # Errors
    /// It stops, or its state is not the one that belongs to its log.
    pub(crate) fn go_on(&self, booted: &mut Booted, disk: &SimDisk) -> Result<bool, String> {
        let process = &mut *booted.process;
        settle(process, disk)?;
        if process.replica.is_restoring() {
            return Err("its snapshot is never loaded".to_owned());
        }
        self.compare(process)?;
        let commit = self.truth.agreed(&booted.found);
        let (last, last_term) = booted.found.last();
        let heartbeat = Message {
            cluster: CLUSTER,
            from: NodeId(if self.id.0 == 1 { 2 } else { 1 }),
            to: self.id,
            sequence: u64::MAX,
            term: Term(process.replica.raft().term().0 + 1),
            rpc: Rpc::AppendEntries(AppendEntries {
                prev_log_index: last,
                prev_log_term: last_term,
                entries: Vec::new(),
                leader_commit: commit,
                round: 1,
            }),
        };
        process.replica.handle(NOW, Input::Peer(heartbeat.from, Frame::Raft(heartbeat)));
        settle(process, disk)?;
        let applied = process.replica.last_applied();
        if applied < commit {
            return Err(format!("it applies up to entry {applied}, and {commit} is committed"));
        }
        self.compare(process)?;
        Ok(commit > Index::ZERO)
    }

    /// The state is the one that the committed log leads to.
    fn compare(&self, process: &Process<KvMachine>) -> Result<(), String> {
        let (applied, state) = (process.replica.last_applied(), process.replica.state());
        match self.truth.state(applied) {
            Some(right) if right == (state.witness(), state.state_hash()) => Ok(()),
            Some(_) => Err(format!("with entry {applied} its state is not the one that the log leads to")),
            None => Err(format!("it has applied entry {applied}, which was never committed")),
        }
    }
}

/// The disk does all that the replica wants.
fn settle(process: &mut Process<KvMachine>, disk: &SimDisk) -> Result<(), String> {
    let (mut effects, mut events) = (Vec::<Effect<Observed<KvMachine>>>::new(), Vec::new());
    loop {
        process.replica.take_effects(NOW, &mut effects, &mut events);
        let mut jobs = Vec::new();
        for effect in effects.drain(..) {
            match effect {
                Effect::Log(job) => jobs.push(job),
                Effect::Send(_, Frame::Raft(message)) => {
                    disk.note(|| Note::said(&message, process.replica.raft()));
                }
                Effect::Halt(why) => return Err(format!("it stops: {why}")),
                Effect::Send(..) | Effect::Reply(..) | Effect::AdminReply(..) => {}
            }
        }
        if jobs.is_empty() {
            return Ok(());
        }
        let mut done = Vec::new();
        disk.note(|| Note::Jobs(jobs.clone()));
        process.writer.run(jobs, &mut done).map_err(|why| format!("its disk works, and it says: {why}"))?;
        disk.note(|| Note::Done);
        process.writer.when_idle().map_err(|why| format!("its disk works, and it says: {why}"))?;
        for done in done {
            process.replica.handle(NOW, Input::<Observed<KvMachine>>::Log(done));
        }
    }
}
