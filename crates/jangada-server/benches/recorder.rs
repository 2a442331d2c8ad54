//! What the flight recorder costs by itself: the core of three servers in memory, one thread, whose events are made
//! records after each step, once kept in the recorders' rings and once not, in turns.
//!
//! `cargo bench -p jangada-server --bench recorder`. Prints the time that one record takes, how many there are for each
//! entry, and the ratio of the rates. Nothing else of a server runs, neither disk nor network nor clients: the share of
//! the whole is smaller by as much as these take. A plain program: what is measured is a loop, not a function.

#[path = "../../jangada-raft/benches/memory/mod.rs"]
mod memory; // three servers on one thread

use std::hint::black_box;

use jangada_node::event::{Event, Record};
use jangada_raft::types::{NodeId, Time};
use jangada_server::recorder::Recorder;

use memory::{ENTRY_BYTES, Listener, Memory, processor_nanos};

const SERVERS: usize = 3;
const ENTRIES: usize = 200_000;
const ROUNDS: usize = 9;

/// Makes records of the events, and keeps them or lets them go.
struct Kept {
    recorders: Vec<Recorder>,
    /// What happened in the step that each server is in.
    steps: Vec<Vec<Record>>,
    records: u64,
    keeps: bool,
}

impl Kept {
    fn new(keeps: bool) -> Kept {
        let recorders = (0..SERVERS).map(|_| Recorder::default()).collect();
        Kept { recorders, steps: vec![Vec::new(); SERVERS], records: 0, keeps }
    }
}

impl Listener for Kept {
    fn heard(&mut self, now: Time, at: usize, node: NodeId, event: jangada_raft::event::Event) {
        self.records += 1;
        let event = Event::Raft(event);
        self.steps[at].push(Record { time: now, node, seq: self.records, event });
    }

    fn step_is_over(&mut self, at: usize) {
        if self.keeps {
            self.recorders[at].keep(&self.steps[at]);
        }
        black_box(&mut self.steps[at]).clear();
    }
}

/// Writes the entries, and says how many nanoseconds of processor time each took, and how many records.
fn write(memory: &mut Memory<Kept>, in_flight: usize) -> (f64, f64) {
    let payload = vec![7_u8; ENTRY_BYTES];
    let (before, records) = (processor_nanos(), memory.listener.records);
    for _ in 0..ENTRIES / in_flight {
        (0..in_flight).for_each(|_| memory.propose(&payload));
        memory.settle();
        memory.pass(in_flight);
    }
    let entries = (ENTRIES / in_flight * in_flight) as f64;
    ((processor_nanos() - before) / entries, (memory.listener.records - records) as f64 / entries)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn main() {
    for in_flight in [1, 64, 1_024] {
        let (mut with, mut without) =
            (Memory::new(SERVERS as u64, Kept::new(true)), Memory::new(SERVERS as u64, Kept::new(false)));
        // The rings are full, and all memory is there.
        let _warm = (write(&mut with, in_flight), write(&mut without, in_flight));
        let (mut costs, mut ratios, mut bare, mut each) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
        for round in 0..ROUNDS {
            let ((kept, records), (plain, _)) = if round % 2 == 0 {
                let kept = write(&mut with, in_flight);
                (kept, write(&mut without, in_flight))
            } else {
                let plain = write(&mut without, in_flight);
                (write(&mut with, in_flight), plain)
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
