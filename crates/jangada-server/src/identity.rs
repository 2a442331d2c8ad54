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
        let mut identity = match read_checked_file(disk, FILE).map_err(corrupt)? {
            Some(bytes) => Identity::parse(&bytes, config)?,
            None => Identity {
                name: config.name.clone(),
                id: config.id().0,
                incarnation: crate::random::u64().max(1),
                cluster: None,
                founding: None,
                log_begun: false,
                starts: 0,
            },
        };
        identity.starts += 1;
        identity.write(disk)?;
        Ok(identity)
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
        write_file_atomically(disk, FILE, &bytes).map_err(|why| ServerError::Disk(why.to_string()))
    }

    pub(crate) fn node_id(&self) -> NodeId {
        NodeId(self.id)
    }
}

fn corrupt(why: jangada_wal::Error) -> ServerError {
    ServerError::Corrupt(why.to_string())
}
