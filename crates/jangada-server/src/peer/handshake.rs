//! The first words on a link between peers.
//!
//! Whoever connects says [`Hello`]; whoever accepts answers [`Welcome`] or a refusal, and from then on only
//! the one who connected sends, in frames. Both are JSON behind a fixed header, as they are rare and must
//! stay readable for every later version. `docs/wire-format.md` draws the header.

use std::io;

use jangada_node::book::BookEntry;
use jangada_raft::types::NodeId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAGIC: &[u8; 4] = b"JNGD";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 13;
/// Longest first word.
const MAX_BYTES: usize = 256 << 10;

/// Who connects, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) me: Card,
    /// Whom it means to reach.
    pub(crate) to: Option<u64>,
    pub(crate) purpose: Purpose,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    /// `None` before the founding.
    pub(crate) cluster: Option<u64>,
    pub(crate) peer_addr: String,
    pub(crate) client_addr: String,
    /// Where its log has the configuration in force, if that names this server with this incarnation: what
    /// "newer" means between two servers that know different incarnations of one of them.
    #[serde(default)]
    pub(crate) named_at: Position,
}

/// A place in the log: first by term, then by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// Frames follow.
    Link,
    /// Only the answer is wanted.
    Ask,
    /// Numbers follow, each of which is answered with its double: to test the way (`echo.rs`).
    Echo,
}

/// The answer to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Welcome {
    /// Come in.
    Yes {
        me: Card,
        /// The founding record, once there is one.
        founding: Option<FoundingRecord>,
        /// The number that was promised to whoever comes from this address (decision 0020).
        #[serde(default)]
        promised: Option<u64>,
    },
    /// No.
    No { refusal: Refusal, why: String },
}

/// Why a peer is not welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refusal {
    /// It belongs to another cluster.
    OtherCluster,
    /// It means somebody else.
    OtherServer,
    /// It is known under another incarnation: its disk was lost.
    DiskLost,
    /// Frames before the founding are no use.
    NotFounded,
}

/// With whom a cluster began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundingRecord {
    pub(crate) cluster: u64,
    pub(crate) members: Vec<Member>,
}

/// A founding member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    pub(crate) peer_addr: String,
    pub(crate) client_addr: String,
}

impl From<&Member> for BookEntry {
    fn from(member: &Member) -> BookEntry {
        BookEntry {
            id: NodeId(member.id),
            name: member.name.clone(),
            incarnation: member.incarnation,
            peer_addr: member.peer_addr.clone(),
            client_addr: member.client_addr.clone(),
        }
    }
}

impl From<&Card> for Member {
    fn from(card: &Card) -> Member {
        Member {
            id: card.id,
            name: card.name.clone(),
            incarnation: card.incarnation,
            peer_addr: card.peer_addr.clone(),
            client_addr: card.client_addr.clone(),
        }
    }
}

/// Sends one first word.
pub(crate) async fn send<T: Serialize>(stream: &mut TcpStream, word: &T) -> io::Result<()> {
    let body = serde_json::to_vec(word).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    stream.write_all(&bytes).await
}

/// Receives one first word.
pub(crate) async fn receive<T: DeserializeOwned>(stream: &mut TcpStream) -> io::Result<T> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    if header[0..4] != *MAGIC || header[4] != VERSION {
        return Err(io::Error::other("it does not speak this version of the peer protocol"));
    }
    let length = u32::from_le_bytes([header[5], header[6], header[7], header[8]]) as usize;
    if length > MAX_BYTES {
        return Err(io::Error::other("its greeting is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let checksum = u32::from_le_bytes([header[9], header[10], header[11], header[12]]);
    if crc32c::crc32c(&body) != checksum {
        return Err(io::Error::other("its greeting is damaged"));
    }
    serde_json::from_slice(&body).map_err(io::Error::other)
}
