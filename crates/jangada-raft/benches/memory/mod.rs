//! A cluster in memory for the benches of this crate and of those above it: all servers on one thread, without disk and
//! network. What is to be persisted is so at once, and messages arrive in the order in which they are sent.

use std::hint::black_box;

use bytes::Bytes;
use jangada_raft::config::Config;
use jangada_raft::event::Event;
use jangada_raft::message::Message;
use jangada_raft::types::{ClusterId, Membership, NodeId, Time};
use jangada_raft::{Answer, Input, Output, Raft, Recovered};

pub(crate) const ENTRY_BYTES: usize = 256;
const SNAPSHOT_AFTER_BYTES: usize = 64 << 20;

/// What a bench does with the events of the servers.
pub(crate) trait Listener {
    /// Something happened at the server `at` of the list, whose id is `node`.
    fn heard(&mut self, now: Time, at: usize, node: NodeId, event: Event);
    /// The server has done what there was to do.
    fn step_is_over(&mut self, at: usize);
}

pub(crate) struct Memory<L> {
    pub(crate) now: Time,
    pub(crate) servers: Vec<Raft>,
    /// Entries that were applied, each counted at each server.
    pub(crate) applied: u64,
    pub(crate) listener: L,
    /// What each server has applied since its last snapshot.
    since_snapshot: Vec<usize>,
    out: Output,
    wire: Vec<Message>,
}

impl<L: Listener> Memory<L> {
    /// Servers of which the first leads.
    pub(crate) fn new(count: u64, listener: L) -> Memory<L> {
        let members: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let restore = |id: &NodeId| {
            let mut recovered = Recovered::default();
            recovered.snapshot.membership = Membership::of(members.iter().copied()).into();
            Raft::restore(Time::ZERO, Config::new(*id, ClusterId(1), 7), recovered)
        };
        let mut memory = Memory {
            now: Time::ZERO,
            servers: members.iter().map(restore).collect(),
            applied: 0,
            listener,
            since_snapshot: vec![0; members.len()],
            out: Output::default(),
            wire: Vec::new(),
        };
        memory.servers[0].handle(Time::ZERO, Input::Campaign);
        memory.settle();
        assert!(memory.servers[0].has_committed_own_term(), "the first server leads");
        memory
    }

    /// Hands the leader one entry.
    pub(crate) fn propose(&mut self, payload: &[u8]) {
        let answer = self.servers[0].handle(self.now, Input::Propose(Bytes::copy_from_slice(payload)));
        assert!(matches!(answer, Answer::Appended { .. }), "the leader takes it");
    }

    /// Does what a server wants done, at once; then its step ends.
    pub(crate) fn serve(&mut self, at: usize) {
        loop {
            let server = &mut self.servers[at];
            server.take_output(&mut self.out);
            self.wire.append(&mut self.out.send);
            for event in self.out.events.drain(..) {
                self.listener.heard(self.now, at, server.id(), event);
            }
            if let Some(range) = self.out.committed.take() {
                for entry in server.entries(range.clone()) {
                    self.since_snapshot[at] += black_box(entry).size_bytes();
                    self.applied += 1;
                }
                server.handle(self.now, Input::Applied(*range.end()));
                if self.since_snapshot[at] > SNAPSHOT_AFTER_BYTES
                    && let Some(meta) = server.snapshot_meta_at(server.last_applied())
                {
                    server.handle(self.now, Input::SnapshotTaken(meta));
                    self.since_snapshot[at] = 0;
                }
            }
            let Some(persist) = self.out.persist.take() else { break };
            server.handle(self.now, Input::Persisted(black_box(persist).id));
        }
        self.listener.step_is_over(at);
    }

    /// Until nothing is on the way any more.
    pub(crate) fn settle(&mut self) {
        (0..self.servers.len()).for_each(|at| self.serve(at));
        let mut wire = Vec::new();
        while !self.wire.is_empty() {
            core::mem::swap(&mut wire, &mut self.wire);
            for message in wire.drain(..) {
                let at = usize::try_from(message.to.0 - 1).expect("small");
                self.servers[at].handle(self.now, Input::Receive(message));
                self.serve(at);
            }
        }
    }

    /// Lets a microsecond pass for each of so many entries: heartbeats and the like take their share.
    pub(crate) fn pass(&mut self, entries: usize) {
        self.now.0 += entries as u64 * 1_000;
        self.servers[0].handle(self.now, Input::TimePassed);
    }
}

/// The processor time that this thread has had, in nanoseconds; where the system does not tell, none.
pub(crate) fn processor_nanos() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(f64::NAN)
}
