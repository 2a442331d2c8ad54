//! A scripted life of a log, and the model of what it must remember at each step.

use jangada_raft::types::{Entry, HardState, Index, SnapshotMeta};
use jangada_wal::{Disk, Error, Recovered, Wal};

use crate::support::{entries, entry, meta, small, snapshot, vote};

/// What the disk must remember.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: Option<SnapshotMeta>,
    pub(crate) entries: Vec<Entry>,
}

impl Memory {
    pub(crate) fn of(recovered: Recovered) -> Memory {
        let Recovered { hard_state, snapshot, entries, .. } = recovered;
        Memory { hard_state, snapshot, entries }
    }

    /// What a step adds.
    pub(crate) fn expect(&mut self, step: &Step) {
        match step {
            Step::Write { hard_state, truncate_from, entries } => {
                self.hard_state = hard_state.unwrap_or(self.hard_state);
                self.truncate(truncate_from.unwrap_or(u64::MAX));
                self.entries.extend_from_slice(entries);
            }
            Step::Snapshot { index, term } => self.install(&meta(*index, *term)),
            Step::Maintain | Step::Seal | Step::Reopen => {}
        }
    }

    fn truncate(&mut self, from: u64) {
        self.entries.retain(|entry| entry.index < Index(from));
    }

    fn install(&mut self, meta: &SnapshotMeta) {
        let last = (meta.last_included_index, meta.last_included_term);
        let holds = self.entries.iter().any(|entry| (entry.index, entry.term) == last);
        self.entries.retain(|entry| holds && entry.index > last.0);
        self.snapshot = Some(meta.clone());
    }
}

/// One step: what is promised before it, and what it asks for.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A vote, perhaps a truncation, then entries; one sync.
    Write { hard_state: Option<HardState>, truncate_from: Option<u64>, entries: Vec<Entry> },
    /// A snapshot is written and marked, older ones removed.
    Snapshot { index: u64, term: u64 },
    /// All work ahead.
    Maintain,
    /// The log rests.
    Seal,
    /// A clean restart.
    Reopen,
}

/// A short life with a bit of everything: elections, conflicts, rotation, recycling, snapshots of our own
/// history and of another.
pub(crate) fn life() -> Vec<Step> {
    use Step::{Maintain, Reopen, Seal, Snapshot};
    let write = |entries| Step::Write { hard_state: None, truncate_from: None, entries };
    // Two to a segment. Zeros in the middle: where the disk holds zeros already, a prefix that ends among them
    // is no new case.
    let text = ["long ".repeat(120), "\0".repeat(2800), " long".repeat(120)].concat();
    let long = |index, term| entry(index, term, &text);
    vec![
        Step::Write { hard_state: Some(vote(1, 1)), truncate_from: None, entries: entries(1..=1, 1) },
        write(entries(2..=4, 1)),
        Maintain,
        Step::Write { hard_state: Some(vote(2, 3)), truncate_from: None, entries: vec![] },
        Step::Write { hard_state: Some(vote(3, 2)), truncate_from: Some(3), entries: entries(3..=3, 3) },
        Seal,
        write(vec![long(4, 3)]),
        write(vec![long(5, 3)]),
        write(entries(6..=7, 3)),
        Maintain,
        Seal,
        Snapshot { index: 5, term: 3 },
        write(vec![long(8, 3)]),
        write(vec![long(9, 3)]),
        Reopen,
        Snapshot { index: 8, term: 3 },
        Step::Write { hard_state: Some(vote(4, 1)), truncate_from: Some(9), entries: vec![long(9, 4)] },
        write(vec![long(10, 4)]),
        write(vec![long(11, 4)]),
        // The leader's snapshot of a history that is not ours.
        Snapshot { index: 10, term: 5 },
        Step::Write { hard_state: Some(vote(5, 2)), truncate_from: None, entries: entries(11..=12, 5) },
        Maintain,
        write(vec![long(13, 5)]),
        write(vec![long(14, 5)]),
        Snapshot { index: 13, term: 5 },
        write(entries(15..=15, 5)),
    ]
}

/// How far a script came.
pub(crate) struct Run {
    /// What is promised.
    pub(crate) promised: Memory,
    /// What is promised, and what was under way.
    pub(crate) attempted: Memory,
    /// Why it stopped, if it did.
    pub(crate) error: Option<Error>,
}

/// Runs a script on an empty disk until its end or the disk's first refusal.
pub(crate) fn run<D: Disk>(disk: &D, steps: &[Step]) -> Run {
    go_on(disk, Memory::default(), steps)
}

/// Runs a script on a disk that remembers this.
pub(crate) fn go_on<D: Disk>(disk: &D, mut promised: Memory, steps: &[Step]) -> Run {
    let mut wal = match Wal::open(disk.clone(), small()) {
        Ok((wal, _)) => wal,
        Err(error) => return Run { attempted: promised.clone(), promised, error: Some(error) },
    };
    for step in steps {
        let mut attempted = promised.clone();
        attempted.expect(step);
        if let Err(error) = take(&mut wal, disk, step, &attempted) {
            return Run { promised, attempted, error: Some(error) };
        }
        promised = attempted;
    }
    Run { attempted: promised.clone(), promised, error: None }
}

fn take<D: Disk>(wal: &mut Wal<D>, disk: &D, step: &Step, memory: &Memory) -> Result<(), Error> {
    match step {
        Step::Write { hard_state, truncate_from, entries } => {
            if let Some(hard_state) = hard_state {
                wal.append_hard_state(*hard_state)?;
            }
            if let Some(from) = truncate_from {
                wal.append_truncation(Index(*from))?;
            }
            wal.append_entries(entries)?;
            wal.sync()
        }
        Step::Snapshot { index, term } => {
            let meta = snapshot(disk, *index, *term)?;
            wal.snapshot_taken(&meta)
        }
        Step::Maintain => {
            while wal.maintain()? {}
            Ok(())
        }
        Step::Seal => wal.seal(),
        Step::Reopen => {
            let (opened, recovered) = Wal::open(disk.clone(), small())?;
            assert_eq!(recovered.torn_bytes, 0, "nothing was cut off");
            assert_eq!(Memory::of(recovered), *memory);
            *wal = opened;
            Ok(())
        }
    }
}
