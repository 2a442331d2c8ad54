//! Who this server is, on its own disk: a small checked file in the data directory.
//!
//! The incarnation is drawn when the directory is made. An empty server that takes an old name has another
//! one, so its peers can tell that its votes and entries are gone.

use jangada_raft::types::NodeId;
use jangada_wal::Disk;
use jangada_wal::checked_file::{read_checked_file, write_file_atomically};
use serde::{Deserialize, Serialize};

use crate::config::ServerConfig;
use crate::error::ServerError;
use crate::peer::handshake::FoundingRecord;

const FILE: &str = "identity";

/// Who this server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) incarnation: u64,
    /// Known since the founding, or since this server joined.
    pub(crate) cluster: Option<u64>,
    /// With whom the cluster began; `None` for a server that joined later.
    pub(crate) founding: Option<FoundingRecord>,
    /// The log exists: from now on a missing one is a loss, not a beginning.
    pub(crate) log_begun: bool,
    /// How often the server has started: message numbers begin anew with each start.
    pub(crate) starts: u64,
}

impl Identity {
    /// Reads who we are, or makes a new identity, and counts the start.
    pub(crate) fn open<D: Disk>(disk: &D, config: &ServerConfig) -> Result<Identity, ServerError> {
        let mut identity = match read_checked_file(disk, FILE)? {
            Some(bytes) => Identity::parse(&bytes, config)?,
            None => Identity::begin(disk, config)?,
        };
        identity.starts += 1;
        identity.write(disk)?;
        Ok(identity)
    }

    /// A new identity. It is the first file of a data directory: one that holds a log already has lost its own.
    fn begin<D: Disk>(disk: &D, config: &ServerConfig) -> Result<Identity, ServerError> {
        let names = disk.list().map_err(|why| {
            ServerError::Environment(format!("cannot list {}: {why}", config.data_dir.display()))
        })?;
        if let Some(file) = names.iter().find(|name| name.ends_with(".wal") || name.ends_with(".snapshot")) {
            return Err(ServerError::Corrupt(format!(
                "{dir}/{FILE} is missing, though {dir} holds a log ({file}): nobody can tell whose it is. Bring \
                 the file back, or give an empty --data-dir",
                dir = config.data_dir.display()
            )));
        }
        Ok(Identity {
            name: config.name.clone(),
            id: config.id().0,
            incarnation: crate::random::u64().max(1),
            cluster: None,
            founding: None,
            log_begun: false,
            starts: 0,
        })
    }

    fn parse(bytes: &[u8], config: &ServerConfig) -> Result<Identity, ServerError> {
        let dir = config.data_dir.display();
        let identity: Identity = serde_json::from_slice(bytes)
            .map_err(|why| ServerError::Corrupt(format!("{dir}/{FILE} cannot be read: {why}")))?;
        if identity.name != config.name {
            return Err(ServerError::Refused(format!(
                "{dir} is the data directory of {}, not of {}: give --name {} or another --data-dir",
                identity.name, config.name, identity.name
            )));
        }
        Ok(identity)
    }

    /// Makes the identity durable.
    pub(crate) fn write<D: Disk>(&self, disk: &D) -> Result<(), ServerError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|why| ServerError::Disk(why.to_string()))?;
        Ok(write_file_atomically(disk, FILE, &bytes)?)
    }

    pub(crate) fn node_id(&self) -> NodeId {
        NodeId(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_wal::{MemDisk, Wal, WalConfig};
    use std::path::PathBuf;

    #[test]
    fn a_log_without_an_identity_is_not_taken_for_a_new_directory() {
        let disk = MemDisk::new();
        let config = ServerConfig::single("n1", PathBuf::from("d"));
        Wal::open(disk.clone(), WalConfig::new([7; 16])).unwrap();
        let error = Identity::open(&disk, &config).unwrap_err();
        assert_eq!(error.exit_code(), 5, "{error}");
        assert!(read_checked_file(&disk, FILE).unwrap().is_none(), "nothing was written");
    }

    #[test]
    fn an_identity_stays_and_counts_its_starts() {
        let disk = MemDisk::new();
        let config = ServerConfig::single("n1", PathBuf::from("d"));
        let first = Identity::open(&disk, &config).unwrap();
        let second = Identity::open(&disk, &config).unwrap();
        assert_eq!((second.incarnation, second.starts), (first.incarnation, 2));
        let other = ServerConfig::single("n2", PathBuf::from("d"));
        assert_eq!(Identity::open(&disk, &other).unwrap_err().exit_code(), 4);
    }
}
