//! A disk: what the log and the snapshot file of one server hold, byte for byte as the server ordered it.
//!
//! Writes reach it one step at a time, in the order of the fields of `Persist`, so that a crash can come
//! between any two of them. The disk checks what it is asked to do: no hole, no lost term, no second vote in a
//! term, no chunk out of place.

use bytes::{Bytes, BytesMut};
use jangada_raft::face::{Persist, Recovered, SnapshotChunk};
use jangada_raft::rng::Rng;
use jangada_raft::types::{Entry, HardState, Index, Membership, Payload, SnapshotMeta, Term};

/// A durable snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) data: Bytes,
}

/// Something that a disk is to write; it writes one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// What the core ordered.
    Persist(Persist),
    /// A snapshot of our own state machine.
    Snapshot(Snapshot),
}

impl Job {
    /// How many steps it takes.
    fn steps(&self) -> usize {
        match self {
            Job::Persist(persist) => {
                usize::from(persist.hard_state.is_some())
                    + usize::from(persist.snapshot_chunk.is_some())
                    + usize::from(persist.truncate_from.is_some())
                    + persist.entries.len()
            }
            Job::Snapshot(_) => 1,
        }
    }

    /// After it, a snapshot from the leader replaces the log.
    pub(crate) fn installs(&self) -> bool {
        match self {
            Job::Persist(persist) => persist.snapshot_chunk.as_ref().is_some_and(|chunk| chunk.done),
            Job::Snapshot(_) => false,
        }
    }
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: Snapshot,
    /// The entries behind the snapshot, without a hole.
    pub(crate) entries: Vec<Entry>,
    /// The chunks of a snapshot that is arriving; a crash loses them.
    pub(crate) partial: Option<(SnapshotMeta, BytesMut)>,
}

impl Disk {
    /// The disk of a server of a new cluster.
    pub(crate) fn founding(membership: Membership) -> Disk {
        let meta = SnapshotMeta { membership: membership.into(), ..SnapshotMeta::default() };
        Disk { snapshot: Snapshot { meta, data: Bytes::new() }, ..Disk::default() }
    }

    /// What a server finds when it starts.
    pub(crate) fn recover(&self) -> Recovered {
        Recovered {
            hard_state: self.hard_state,
            snapshot: self.snapshot.meta.clone(),
            entries: self.entries.clone(),
        }
    }

    pub(crate) fn base(&self) -> Index {
        self.snapshot.meta.last_included_index
    }

    pub(crate) fn last_index(&self) -> Index {
        self.base() + self.entries.len() as u64
    }

    pub(crate) fn last_term(&self) -> Term {
        self.entries.last().map_or(self.snapshot.meta.last_included_term, |entry| entry.term)
    }

    /// The entry at `index`, if it is here and not part of the snapshot.
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry> {
        let position = index.0.checked_sub(self.base().0 + 1)?;
        self.entries.get(usize::try_from(position).expect("a small log"))
    }

    /// The term at `index`, also at the end of the snapshot.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base() {
            return Some(self.snapshot.meta.last_included_term);
        }
        self.entry(index).map(|entry| entry.term)
    }

    /// Whether the entry of this index and term is here, as itself or as part of the snapshot (which holds
    /// only what is committed).
    pub(crate) fn holds(&self, index: Index, term: Term) -> bool {
        index < self.base() || self.term_at(index) == Some(term)
    }

    /// The last configuration in the snapshot and the log: the one that must be in force.
    pub(crate) fn membership(&self) -> &Membership {
        self.entries
            .iter()
            .rev()
            .find_map(|entry| match &entry.payload {
                Payload::Membership(membership) => Some(membership.as_ref()),
                Payload::Noop | Payload::Command(_) => None,
            })
            .unwrap_or(&self.snapshot.meta.membership)
    }

    /// Writes all of it.
    pub(crate) fn write(&mut self, job: &Job) {
        match job {
            Job::Persist(persist) => self.write_steps(persist, usize::MAX),
            Job::Snapshot(snapshot) => self.store(snapshot.clone()),
        }
    }

    /// Begins to write it when the power fails. Says whether a part of it is there.
    pub(crate) fn tear(&mut self, job: &Job, rng: &mut Rng) -> bool {
        let steps = usize::try_from(rng.next_u64() % (job.steps() as u64 + 1)).expect("a small job");
        match job {
            Job::Persist(persist) => self.write_steps(persist, steps),
            Job::Snapshot(snapshot) if steps > 0 => self.store(snapshot.clone()),
            Job::Snapshot(_) => {}
        }
        steps > 0 && steps < job.steps()
    }

    fn write_steps(&mut self, persist: &Persist, mut steps: usize) {
        let mut step = || {
            let goes_on = steps > 0;
            steps = steps.saturating_sub(1);
            goes_on
        };
        if let Some(hard_state) = persist.hard_state {
            if !step() {
                return;
            }
            self.write_hard_state(hard_state);
        }
        if let Some(chunk) = &persist.snapshot_chunk {
            if !step() {
                return;
            }
            self.write_chunk(chunk);
        }
        if let Some(from) = persist.truncate_from {
            if !step() {
                return;
            }
            assert!(from > self.base(), "what a snapshot stands for is never cut off");
            // A snapshot that our log contradicts has cut off everything already.
            let is_cut = persist.snapshot_chunk.as_ref().is_some_and(|chunk| chunk.done);
            assert!(is_cut || from <= self.last_index(), "only what is on the disk can be cut off");
            self.entries.retain(|entry| entry.index < from);
        }
        for entry in &persist.entries {
            if !step() {
                return;
            }
            self.append(entry);
        }
    }

    fn write_hard_state(&mut self, hard_state: HardState) {
        let before = self.hard_state;
        assert!(hard_state.term >= before.term, "a term on the disk never falls");
        if hard_state.term == before.term {
            assert!(
                before.voted_for.is_none() || before.voted_for == hard_state.voted_for,
                "a vote on the disk is never taken back: {before:?} {hard_state:?}"
            );
        }
        self.hard_state = hard_state;
    }

    fn append(&mut self, entry: &Entry) {
        if entry.index <= self.base() {
            return;
        }
        assert_eq!(entry.index, self.last_index().next(), "the log on the disk has no hole");
        assert!(entry.term >= self.last_term(), "terms on the disk never fall");
        self.entries.push(entry.clone());
    }

    fn write_chunk(&mut self, chunk: &SnapshotChunk) {
        if chunk.offset == 0 {
            self.partial = Some((chunk.meta.clone(), BytesMut::new()));
        }
        let (meta, data) = self.partial.as_mut().expect("a snapshot begins with its first chunk");
        assert_eq!(*meta, chunk.meta, "chunks of two snapshots do not mix");
        assert_eq!(data.len() as u64, chunk.offset, "chunks come without a gap");
        data.extend_from_slice(&chunk.data);
        if chunk.done {
            let (meta, data) = self.partial.take().expect("it was here just now");
            self.store(Snapshot { meta, data: data.freeze() });
        }
    }

    pub(crate) fn forget_partial(&mut self) {
        self.partial = None;
    }

    /// A whole snapshot is durable: the log up to it goes. What follows it stays if it follows it indeed.
    fn store(&mut self, snapshot: Snapshot) {
        let (index, term) = (snapshot.meta.last_included_index, snapshot.meta.last_included_term);
        if index <= self.base() {
            return;
        }
        // The log writer keeps what lies behind only if the log agrees with the snapshot.
        let agrees = self.term_at(index) == Some(term);
        self.entries.retain(|entry| agrees && entry.index > index);
        self.snapshot = snapshot;
    }
}
