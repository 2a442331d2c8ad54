//! How fast the bare core is: three servers in memory, one thread, no disk and no network.
//!
//! `cargo bench -p jangada-raft --bench core`. Prints entries per second and allocations per entry, the
//! client's own allocation of its 256 bytes included. On Linux also entries per second of processor time, which
//! says more on a machine that has other things to do. `-- 'in flight, batched'` measures only what has this in
//! its name. A plain program: what is measured is a loop, not a function, and the number of interest is a rate.

use std::alloc::System;
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use jangada_raft::config::Config;
use jangada_raft::message::Message;
use jangada_raft::types::{ClusterId, Membership, NodeId, Time};
use jangada_raft::{Answer, Input, Output, Raft, Recovered};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ENTRY_BYTES: usize = 256;
const SNAPSHOT_AFTER_BYTES: usize = 64 << 20;

struct Memory {
    now: Time,
    servers: Vec<Raft>,
    /// What each server has applied since its last snapshot.
    since_snapshot: Vec<usize>,
    out: Output,
    wire: Vec<Message>,
    applied: u64,
    events: u64,
}

impl Memory {
    fn new(count: u64) -> Memory {
        let members: Vec<NodeId> = (1..=count).map(NodeId).collect();
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
            applied: 0,
            events: 0,
        };
        memory.servers[0].handle(Time::ZERO, Input::Campaign);
        memory.settle();
        assert!(memory.servers[0].has_committed_own_term(), "the first server leads");
        memory
    }

    /// Does what a server wants done, at once.
    fn serve(&mut self, at: usize) {
        loop {
            let server = &mut self.servers[at];
            server.take_output(&mut self.out);
            self.wire.append(&mut self.out.send);
            self.events += self.out.events.len() as u64;
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
            let Some(persist) = self.out.persist.take() else { return };
            server.handle(self.now, Input::Persisted(black_box(persist).id));
        }
    }

    /// Until nothing is on the way any more.
    fn settle(&mut self) {
        for at in 0..self.servers.len() {
            self.serve(at);
        }
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
}

/// The processor time that this thread has had, in seconds; where the system does not tell, none.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).map_or(f64::NAN, |nanos: f64| nanos / 1e9)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn measure(name: &str, servers: u64, in_flight: usize, batched: bool, entries: usize) {
    let mut memory = Memory::new(servers);
    let payload = vec![7_u8; ENTRY_BYTES];
    let region = Region::new(GLOBAL);
    let (begin, before, processor) = (Instant::now(), memory.applied, processor_seconds());
    let mut proposed = 0;
    while proposed < entries {
        for _ in 0..in_flight {
            let answer = memory.servers[0].handle(memory.now, Input::Propose(Bytes::from(payload.clone())));
            assert!(matches!(answer, Answer::Appended { .. }), "the leader takes it");
            if !batched {
                memory.serve(0);
            }
        }
        proposed += in_flight;
        memory.settle();
        // A microsecond for each entry: heartbeats and the like take their share.
        memory.now.0 += in_flight as u64 * 1_000;
        memory.servers[0].handle(memory.now, Input::TimePassed);
    }
    let (seconds, processor) = (begin.elapsed().as_secs_f64(), processor_seconds() - processor);
    let change = region.change();
    // The last round's commit reaches the followers only with the next message.
    let missing = (in_flight * (servers as usize - 1)) as u64;
    assert!(memory.applied - before >= proposed as u64 * servers - missing, "all are applied by all");
    println!(
        "{name:<44} {:>10.0} entries/s {:>10.0} by processor time {:>6.2} allocations/entry {:>6.2} events/entry",
        proposed as f64 / seconds,
        proposed as f64 / processor,
        change.allocations as f64 / proposed as f64,
        memory.events as f64 / proposed as f64,
    );
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    for (name, servers, in_flight, batched, entries) in [
        ("3 servers, 256 B, 64 in flight, batched", 3, 64, true, 2_000_000),
        ("3 servers, 256 B, 64 in flight, one by one", 3, 64, false, 1_000_000),
        ("3 servers, 256 B, 1 in flight", 3, 1, true, 500_000),
        ("3 servers, 256 B, 1024 in flight, batched", 3, 1_024, true, 2_000_000),
        ("5 servers, 256 B, 64 in flight, batched", 5, 64, true, 1_000_000),
        ("1 server, 256 B, 64 in flight, batched", 1, 64, true, 2_000_000),
    ] {
        if name.contains(&wanted) {
            measure(name, servers, in_flight, batched, entries);
        }
    }
}
