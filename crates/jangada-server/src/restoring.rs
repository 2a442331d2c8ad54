//! A data directory out of a snapshot: how a cluster begins anew with the keys of another.
//!
//! All that a founding would find out follows from what is said here, the cluster's number and each member's incarnation
//! too, so that the directories can be made on different machines without any word between them. The log begins behind
//! a snapshot of its own, at index 1; a member whose directory was made of something else belongs to another cluster, and
//! is refused as such.

use std::path::{Path, PathBuf};

use jangada_kv::Store;
use jangada_node::book::node_id;
use jangada_raft::types::{HardState, Index, SnapshotMeta, Term};
use jangada_wal::snapshot::Origin;
use jangada_wal::{FileDisk, SnapshotWriter, Wal, WalConfig};

use crate::error::ServerError;
use crate::identity::Identity;
use crate::peer::handshake::{FoundingRecord, Member};
use crate::run::{first_snapshot, log_token};

/// How much of the snapshot is written at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// What a data directory is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoring {
    /// Whose it is.
    pub name: String,
    /// Where it will be; nothing may be there yet.
    pub data_dir: PathBuf,
    /// The members of the new cluster, name and peer address.
    pub peers: Vec<(String, String)>,
    /// The number of the new cluster: the same for all members, and that of no other cluster.
    pub cluster: u64,
}

/// Makes a data directory with this store.
///
/// # Errors
/// If something is there already, or the disk refuses.
pub fn restore(restoring: &Restoring, mut store: Store) -> Result<(), ServerError> {
    refuse_existing(&restoring.data_dir)?;
    let disk = FileDisk::open(&restoring.data_dir)?;
    let member = |(name, addr): &(String, String)| Member {
        id: node_id(name).0,
        name: name.clone(),
        incarnation: incarnation(restoring.cluster, name),
        peer_addr: addr.clone(),
        client_addr: String::new(),
    };
    let members = restoring.peers.iter().map(member).collect();
    let founding = FoundingRecord { cluster: restoring.cluster, members };
    let mut identity = Identity {
        name: restoring.name.clone(),
        id: node_id(&restoring.name).0,
        incarnation: incarnation(restoring.cluster, &restoring.name),
        cluster: Some(restoring.cluster),
        founding: Some(founding),
        log_begun: false,
        starts: 0,
    };
    let token = log_token(restoring.cluster, identity.id);
    let (mut wal, _) = Wal::open(disk.clone(), WalConfig { create: true, ..WalConfig::new(token) })?;
    let meta = SnapshotMeta {
        last_included_index: Index(1),
        last_included_term: Term(1),
        ..first_snapshot(identity.founding.as_ref())
    };
    let mut writer = SnapshotWriter::begin(&disk, &token, &meta, Origin::Taken)?;
    let mut cursor = store.begin_snapshot();
    while let Some(chunk) = store.next_chunk(&mut cursor, CHUNK_BYTES) {
        writer.write(writer.next_offset(), &chunk)?;
    }
    store.end_snapshot(cursor);
    let meta = writer.finish()?;
    wal.append_hard_state(HardState { term: Term(1), voted_for: None })?;
    wal.snapshot_taken(&meta)?;
    wal.sync()?;
    wal.seal()?;
    // Last: without its identity a directory is refused, whatever else is there.
    identity.log_begun = true;
    identity.write(&disk)
}

/// A member's incarnation in this cluster. Any number but 0 will do, if all come to the same. Since it does, a directory
/// that is made again is not told from the first one: a disk that is lost later is to be replaced, not restored
/// (`docs/operations.md`).
fn incarnation(cluster: u64, name: &str) -> u64 {
    let hash = name.bytes().fold(cluster ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.max(1)
}

fn refuse_existing(dir: &Path) -> Result<(), ServerError> {
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(ServerError::Environment(format!("{}: {why}", dir.display()))),
        Ok(true) => Ok(()),
        Ok(false) => Err(ServerError::Refused(format!(
            "{} is not empty: a snapshot is restored into a new directory",
            dir.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_members_come_to_the_same_numbers() {
        assert_eq!(incarnation(7, "n1"), incarnation(7, "n1"));
        assert_ne!(incarnation(7, "n1"), incarnation(7, "n2"));
        assert_ne!(incarnation(7, "n1"), incarnation(8, "n1"));
    }
}
