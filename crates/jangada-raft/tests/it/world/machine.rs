//! A state machine that only remembers: a fingerprint of each entry that it has applied, in order.
//!
//! Two machines are equal exactly if they have applied the same entries; its snapshot is that list, so a wrong
//! or misplaced chunk cannot go unnoticed.

use bytes::{Bytes, BytesMut};
use jangada_raft::types::{Entry, Index, Membership, Payload, SnapshotMeta, Term};

use super::disk::Snapshot;

/// What was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    applied: Vec<u64>,
    last_term: Term,
    membership: Membership,
}

impl Machine {
    /// The machine that a snapshot stands for.
    pub(crate) fn restore(snapshot: &Snapshot) -> Machine {
        let words = snapshot.data.chunks_exact(8);
        let applied: Vec<u64> =
            words.map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect();
        assert_eq!(applied.len() as u64 * 8, snapshot.data.len() as u64, "a snapshot is whole");
        let meta = &snapshot.meta;
        assert_eq!(applied.len() as u64, meta.last_included_index.0, "a snapshot has one word an entry");
        Machine { applied, last_term: meta.last_included_term, membership: (*meta.membership).clone() }
    }

    pub(crate) fn last_applied(&self) -> Index {
        Index(self.applied.len() as u64)
    }

    pub(crate) fn fingerprints(&self) -> &[u64] {
        &self.applied
    }

    pub(crate) fn apply(&mut self, entry: &Entry) {
        assert_eq!(entry.index, self.last_applied().next(), "entries are applied in order, each once");
        self.applied.push(fingerprint(entry));
        self.last_term = entry.term;
        if let Payload::Membership(membership) = &entry.payload {
            self.membership = Membership::clone(membership);
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut data = BytesMut::new();
        for word in &self.applied {
            data.extend_from_slice(&word.to_le_bytes());
        }
        let meta = SnapshotMeta {
            last_included_index: self.last_applied(),
            last_included_term: self.last_term,
            membership: self.membership.clone().into(),
        };
        Snapshot { meta, data: data.freeze() }
    }
}

/// A number for an entry, by all that it says (FNV-1a).
pub(crate) fn fingerprint(entry: &Entry) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    eat(&entry.term.0.to_le_bytes());
    eat(&entry.index.0.to_le_bytes());
    match &entry.payload {
        Payload::Noop => eat(b"noop"),
        Payload::Command(command) => eat(command),
        Payload::Membership(membership) => {
            let ids = membership.voters.iter().chain(membership.outgoing.iter().flatten());
            for id in ids.chain(&membership.learners) {
                eat(&id.0.to_le_bytes());
            }
            eat(&[u8::from(membership.is_joint()), u8::from(membership.target.is_some())]);
            eat(&membership.context);
        }
    }
    hash
}

/// The part of a snapshot that a request asks for, and whether it is the last.
pub(crate) fn chunk(data: &Bytes, offset: u64, max_bytes: usize) -> Option<(Bytes, bool)> {
    let from = usize::try_from(offset).ok().filter(|from| *from <= data.len())?;
    let to = data.len().min(from.saturating_add(max_bytes));
    Some((data.slice(from..to), to == data.len()))
}
