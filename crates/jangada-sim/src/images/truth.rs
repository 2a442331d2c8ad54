//! What the cluster itself has committed, and the state that this leads to.

use jangada_node::kv_machine::KvMachine;
use jangada_node::state_machine::{STAMP_BYTES, Stamp, StateMachine};
use jangada_raft::types::{Index, Payload, Term};

use crate::kv::Kv;
use crate::observed::{Observed, Witness};
use crate::workload::Workload;
use crate::world::World;

use super::ledger::Memory;

/// The committed log, entry by entry.
pub(crate) struct Truth {
    /// Each entry's term, and the state with it; the first stands before the log.
    marks: Vec<(Term, Witness, u64)>,
}

impl Truth {
    /// What a world has committed so far, applied anew on a state machine of its own.
    pub(crate) fn of(world: &World<Kv>) -> Truth {
        let mut state: Observed<KvMachine> = Observed::new(Kv::machine, Kv::state_hash);
        let mut marks = vec![(Term::ZERO, state.witness(), state.state_hash())];
        for index in (1..=world.committed.last().0).map(Index) {
            let term = world.committed.term(index).expect("it is committed");
            let entry = world.logs.entry(index, term).expect("somebody has appended it");
            if let Payload::Command(command) = &entry.payload {
                let stamp = command.first_chunk().map_or(0, |stamp| u64::from_le_bytes(*stamp));
                state.apply(Stamp(stamp), &command.slice(STAMP_BYTES.min(command.len())..));
            }
            marks.push((term, state.witness(), state.state_hash()));
        }
        Truth { marks }
    }

    /// The state with this entry, if it is committed.
    pub(crate) fn state(&self, index: Index) -> Option<(Witness, u64)> {
        let (_, witness, hash) = self.marks.get(usize::try_from(index.0).ok()?)?;
        Some((*witness, *hash))
    }

    /// How far a log is known to be committed: Log Matching makes one entry speak for all before it.
    pub(crate) fn agreed(&self, log: &Memory) -> Index {
        let term = |index: Index| self.marks.get(usize::try_from(index.0).ok()?).map(|mark| mark.0);
        let committed = log.entries.iter().rev().find(|entry| term(entry.index) == Some(entry.term));
        committed.map_or(log.snapshot.last_included_index, |entry| entry.index)
    }
}
