//! Your own state machine in a world where everything goes wrong.
//!
//! `cargo run --release -p jangada-sim --example tally -- 100` runs a hundred seeds of it. What is needed: the state
//! machine (`StateMachine`, as for a server), and a `Workload` that says what its clients ask for and judges what
//! they were told. Here a tally counts votes, and no vote that was answered may be missing from a later count.

use bytes::Bytes;
use jangada_node::state_machine::{STAMP_BYTES, Stamp, StateMachine};
use jangada_raft::types::Time;
use jangada_sim::rng::{Dice, Rng};
use jangada_sim::workload::{Call, CommittedCommand, Operation, Outcome};
use jangada_sim::{Invariant, Workload, World};

/// A number that only grows.
#[derive(Default)]
struct Tally {
    votes: u64,
    stamp: Stamp,
}

impl StateMachine for Tally {
    type Query = ();
    type Response = u64;
    type Snapshot = Option<u64>;
    type Restore = Vec<u8>;

    fn apply(&mut self, stamp: Stamp, _vote: &Bytes) -> u64 {
        self.stamp = self.stamp.max(stamp);
        self.votes += 1;
        self.votes
    }

    fn read(&self, _now: Stamp, _query: &()) -> u64 {
        self.votes
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn next_due(&self) -> Option<Stamp> {
        None
    }

    fn due(&self, _now: Stamp) -> Option<Vec<u8>> {
        None
    }

    fn encode_response(response: &u64, into: &mut Vec<u8>) {
        into.extend_from_slice(&response.to_le_bytes());
    }

    fn decode_response(bytes: Bytes) -> Option<u64> {
        Some(u64::from_le_bytes(bytes.as_ref().try_into().ok()?))
    }

    fn begin_snapshot(&mut self) -> Option<u64> {
        Some(self.votes)
    }

    fn next_chunk(&mut self, snapshot: &mut Option<u64>, _max_bytes: usize) -> Option<Bytes> {
        snapshot.take().map(|votes| Bytes::copy_from_slice(&votes.to_le_bytes()))
    }

    fn end_snapshot(&mut self, _snapshot: Option<u64>) {}

    fn begin_restore() -> Vec<u8> {
        Vec::new()
    }

    fn restore_chunk(restore: &mut Vec<u8>, chunk: Bytes) -> Result<(), String> {
        restore.extend_from_slice(&chunk);
        Ok(())
    }

    fn finish_restore(&mut self, restore: Vec<u8>) -> Result<(), String> {
        let bytes = restore.as_slice().try_into().map_err(|_| "a snapshot has eight bytes".to_owned())?;
        self.votes = u64::from_le_bytes(bytes);
        Ok(())
    }
}

/// Voters, and people who count.
#[derive(Default)]
struct Voters {
    /// The highest count that anybody was told, and when.
    told: Vec<(Time, u64)>,
    lost: Option<String>,
}

impl Workload for Voters {
    type Machine = Tally;

    fn machine() -> Tally {
        Tally::default()
    }

    fn state_hash(machine: &Tally) -> u64 {
        machine.votes
    }

    fn next(&mut self, _call: Call, rng: &mut Rng) -> Operation<()> {
        if rng.chance(500) { Operation::Read(()) } else { Operation::Write(vec![0; STAMP_BYTES + 1]) }
    }

    fn probe(&mut self, _call: Call, read: bool) -> Operation<()> {
        if read { Operation::Read(()) } else { Operation::Write(vec![0; STAMP_BYTES + 1]) }
    }

    fn ended(&mut self, call: Call, at: Time, outcome: Outcome<u64>) {
        let Outcome::Answered(votes) = outcome else { return };
        let before = self.told.iter().filter(|(told, _)| *told < call.at).map(|(_, votes)| *votes).max();
        if before.is_some_and(|before| votes < before) {
            self.lost.get_or_insert_with(|| format!("{votes} votes, after somebody was told of {before:?}"));
        }
        self.told.push((at, votes));
    }

    fn judge(&mut self, _committed: &[CommittedCommand]) -> Result<(), (Invariant, String)> {
        self.lost.take().map_or(Ok(()), |why| Err((Invariant::Linearizable, why)))
    }
}

fn main() {
    let seeds = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(20);
    for seed in 0..seeds {
        let verdict = World::new(seed).servers(3).run(Voters::default());
        if let Some(violation) = verdict.violations.first() {
            println!("seed {seed}: {violation}");
            std::process::exit(1);
        }
    }
    println!("{seeds} seeds, and no vote was lost");
}
