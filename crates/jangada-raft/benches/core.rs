//! How fast the bare core is: three servers in memory, one thread, no disk and no network.
//!
//! `cargo bench -p jangada-raft --bench core`. Prints entries per second and allocations per entry, the
//! client's own allocation of its 256 bytes included. On Linux also entries per second of processor time, which
//! says more on a machine that has other things to do. `-- 'in flight, batched'` measures only what has this in
//! its name. A plain program: what is measured is a loop, not a function, and the number of interest is a rate.

mod memory; // three servers on one thread

use std::alloc::System;
use std::time::Instant;

use jangada_raft::event::Event;
use jangada_raft::types::{NodeId, Time};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use memory::{ENTRY_BYTES, Listener, Memory, processor_nanos};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts the events.
#[derive(Default)]
struct Counted(u64);

impl Listener for Counted {
    fn heard(&mut self, _now: Time, _at: usize, _node: NodeId, _event: Event) {
        self.0 += 1;
    }

    fn step_is_over(&mut self, _at: usize) {}
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn measure(name: &str, servers: u64, in_flight: usize, batched: bool, entries: usize) {
    let mut memory = Memory::new(servers, Counted::default());
    let payload = vec![7_u8; ENTRY_BYTES];
    let region = Region::new(GLOBAL);
    let (begin, before, processor) = (Instant::now(), memory.applied, processor_nanos());
    let mut proposed = 0;
    while proposed < entries {
        for _ in 0..in_flight {
            memory.propose(&payload);
            if !batched {
                memory.serve(0);
            }
        }
        proposed += in_flight;
        memory.settle();
        memory.pass(in_flight);
    }
    let (seconds, processor) = (begin.elapsed().as_secs_f64(), (processor_nanos() - processor) / 1e9);
    let change = region.change();
    // The last round's commit reaches the followers only with the next message.
    let missing = (in_flight * (servers as usize - 1)) as u64;
    assert!(memory.applied - before >= proposed as u64 * servers - missing, "all are applied by all");
    println!(
        "{name:<44} {:>10.0} entries/s {:>10.0} by processor time {:>6.2} allocations/entry {:>6.2} events/entry",
        proposed as f64 / seconds,
        proposed as f64 / processor,
        change.allocations as f64 / proposed as f64,
        memory.listener.0 as f64 / proposed as f64,
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
