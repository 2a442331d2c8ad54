//! What the tests share: short ways to say what goes into the log and what must come out.

use bytes::Bytes;
use jangada_raft::types::{Entry, HardState, Index, NodeId, Payload, SnapshotMeta, Term};
use jangada_wal::snapshot::Origin;
use jangada_wal::{Disk, Error, Recovered, SnapshotWriter, Wal, WalConfig};

pub(crate) const IDENTITY: [u8; 16] = *b"cluster-1,node-1";

/// Segments so small that a few entries fill one.
pub(crate) fn small() -> WalConfig {
    WalConfig { segment_bytes: 12 << 10, fill_ahead_bytes: 8 << 10, ..WalConfig::new(IDENTITY) }
}

pub(crate) fn open<D: Disk>(disk: &D) -> (Wal<D>, Recovered) {
    Wal::open(disk.clone(), small()).expect("the log opens")
}

pub(crate) fn entry(index: u64, term: u64, text: &str) -> Entry {
    let payload = Payload::Command(Bytes::copy_from_slice(text.as_bytes()));
    Entry { term: Term(term), index: Index(index), payload }
}

pub(crate) fn entries(indices: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
    indices.map(|index| entry(index, term, &format!("value {index} of term {term}"))).collect()
}

pub(crate) fn vote(term: u64, candidate: u64) -> HardState {
    HardState { term: Term(term), voted_for: Some(NodeId(candidate)) }
}

pub(crate) fn meta(index: u64, term: u64) -> SnapshotMeta {
    SnapshotMeta {
        last_included_index: Index(index),
        last_included_term: Term(term),
        ..SnapshotMeta::default()
    }
}

/// Writes a snapshot file with some payload.
pub(crate) fn snapshot<D: Disk>(disk: &D, index: u64, term: u64) -> Result<SnapshotMeta, Error> {
    let mut writer = SnapshotWriter::begin(disk, &IDENTITY, &meta(index, term), Origin::Taken)?;
    writer.write(0, format!("state at {index}").as_bytes())?;
    writer.finish()
}
