//! What the flight recorder costs by itself: the core of three servers in memory, one thread, whose events are made
//! records after each step, once kept in the recorders' rings and once not, in turns.
//!
//! `cargo bench -p jangada-server --bench recorder`. Prints the time that one record takes, how many there are for each
//! entry, and the ratio of the rates. Nothing else of a server runs, neither disk nor network nor clients: the share of
//! the whole is smaller by as much as these take. A plain program: what is measured is a loop, not a function.

use std::hint::black_box;

use bytes::Bytes;
use jangada_node::event::{Event, Record};
use jangada_raft::config::Config;
use jangada_raft::message::Message;
use jangada_raft::types::{ClusterId, Membership, NodeId, Time};
use jangada_raft::{Answer, Input, Output, Raft, Recovered};
use jangada_server::recorder::Recorder;

const SERVERS: u64 = 3;
const ENTRY_BYTES: usize = 256;
const SNAPSHOT_AFTER_BYTES: usize = 64 << 20;
const ENTRIES: usize = 200_000;
const ROUNDS: usize = 9;

struct Memory {
    now: Time,
    servers: Vec<Raft>,
    since_snapshot: Vec<usize>,
    out: Output,
    wire: Vec<Message>,
    /// What each server records, and what happened in its step.
    recorders: Vec<Recorder>,
    steps: Vec<Vec<Record>>,
    records: u64,
    keeps: bool,
}

impl Memory {
    fn new(keeps: bool) -> Memory {
        let members: Vec<NodeId> = (1..=SERVERS).map(NodeId).collect();
        let restore = |id: &NodeId| {
            let mut recovered = Recovered::default();
            recovered.snapshot.membership = Membership::of(members.iter().copied()).into();
            Raft::restore(Time::ZERO, Config::new(*id, ClusterId(1), 7), recovered)
        };
        let mut memory = Memory {
            now: Time::ZERO,
            servers: members.iter().map(restore).collect(),
            since_snapshot: vec![0; members.len()],
            out: Output::default(),
            wire: Vec::new(),
            recorders: members.iter().map(|_| Recorder::default()).collect(),
            steps: vec![Vec::new(); members.len()],
            records: 0,
            keeps,
        };
        memory.servers[0].handle(Time::ZERO, Input::Campaign);
        memory.settle();
        assert!(memory.servers[0].has_committed_own_term(), "the first server leads");
        memory
    }

    /// Does what a server wants done, at once; then its step ends.
    fn serve(&mut self, at: usize) {
        loop {
            let server = &mut self.servers[at];
            server.take_output(&mut self.out);
            self.wire.append(&mut self.out.send);
            for event in self.out.events.drain(..) {
                self.records += 1;
                let record = Record {
                    time: self.now,
                    node: server.id(),
                    seq: self.records,
                    event: Event::Raft(event),
                };
                self.steps[at].push(record);
            }
            if let Some(range) = self.out.committed.take() {
                for entry in server.entries(range.clone()) {
                    self.since_snapshot[at] += black_box(entry).size_bytes();
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
        if self.keeps {
            self.recorders[at].keep(&self.steps[at]);
        }
        black_box(&mut self.steps[at]).clear();
    }

    /// Until nothing is on the way any more.
    fn settle(&mut self) {
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

    /// Writes so many entries, and says how many nanoseconds of processor time each took, and how many records.
    fn write(&mut self, in_flight: usize) -> (f64, f64) {
        let payload = vec![7_u8; ENTRY_BYTES];
        let (before, records) = (processor_nanos(), self.records);
        for _ in 0..ENTRIES / in_flight {
            for _ in 0..in_flight {
                let answer = self.servers[0].handle(self.now, Input::Propose(Bytes::from(payload.clone())));
                assert!(matches!(answer, Answer::Appended { .. }), "the leader takes it");
            }
            self.settle();
            self.now.0 += in_flight as u64 * 1_000;
            self.servers[0].handle(self.now, Input::TimePassed);
        }
        let entries = (ENTRIES / in_flight * in_flight) as f64;
        ((processor_nanos() - before) / entries, (self.records - records) as f64 / entries)
    }
}

/// The processor time that this thread has had.
fn processor_nanos() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(f64::NAN)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() {
    for in_flight in [1, 64, 1_024] {
        let (mut with, mut without) = (Memory::new(true), Memory::new(false));
        // The rings are full, and all memory is there.
        let _warm = (with.write(in_flight), without.write(in_flight));
        let (mut costs, mut ratios, mut bare, mut each) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
        for round in 0..ROUNDS {
            let ((kept, records), (plain, _)) = if round % 2 == 0 {
                let kept = with.write(in_flight);
                (kept, without.write(in_flight))
            } else {
                let plain = without.write(in_flight);
                (with.write(in_flight), plain)
            };
            costs.push(kept - plain);
            ratios.push(plain / kept);
            bare.push(plain);
            each = records;
        }
        let cost = median(costs);
        println!(
            "{in_flight:>5} in flight: {:>6.0} ns an entry without, {cost:>5.1} ns more with the recorder (three servers \
             together); {each:.2} records an entry, {:.1} ns each; rate {:.3}",
            median(bare),
            cost / each,
            median(ratios),
        );
    }
}
