//! The address book: who is who, kept with the configuration.
//!
//! Raft knows servers by number. Their names, addresses and incarnations travel as the opaque context of the
//! configuration, so that they change with it, by the log.

use bytes::Bytes;
use jangada_raft::types::NodeId;

use crate::message_codec::{Reader, put_bytes, put_count, put_u64};

/// One server in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookEntry {
    /// The number that Raft knows it by.
    pub id: NodeId,
    /// The name that people know it by.
    pub name: String,
    /// Drawn when its data directory was made: a server that lost its disk comes back with another one, and
    /// is refused. 0 means "not checked" (the lab).
    pub incarnation: u64,
    /// Where its peers reach it, `host:port`.
    pub peer_addr: String,
    /// Where clients reach it, `host:port`.
    pub client_addr: String,
}

/// The address book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// In the order of their numbers.
    pub entries: Vec<BookEntry>,
}

/// The smallest encoding of an entry.
const MIN_ENTRY_BYTES: usize = 28;

impl Book {
    /// A book of these servers.
    #[must_use]
    pub fn new(mut entries: Vec<BookEntry>) -> Book {
        entries.sort_by_key(|entry| entry.id);
        Book { entries }
    }

    /// The server with this number.
    #[must_use]
    pub fn get(&self, id: NodeId) -> Option<&BookEntry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The server with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&BookEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The name of a server, or its number where the book has none.
    #[must_use]
    pub fn name(&self, id: NodeId) -> String {
        self.get(id).map_or_else(|| id.to_string(), |entry| entry.name.clone())
    }

    /// Which disk a configuration with this context means by a server; `None` if it does not say.
    #[must_use]
    pub fn incarnation_meant(context: &Bytes, id: NodeId) -> Option<u64> {
        let book = Book::decode(context)?;
        book.get(id).map(|entry| entry.incarnation).filter(|incarnation| *incarnation != 0)
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        put_count(self.entries.len(), &mut out);
        for entry in &self.entries {
            put_u64(entry.id.0, &mut out);
            put_u64(entry.incarnation, &mut out);
            put_bytes(entry.name.as_bytes(), &mut out);
            put_bytes(entry.peer_addr.as_bytes(), &mut out);
            put_bytes(entry.client_addr.as_bytes(), &mut out);
        }
        Bytes::from(out)
    }

    /// The reverse; `None` if the bytes are no book. No bytes at all are an empty book.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Option<Book> {
        if bytes.is_empty() {
            return Some(Book::default());
        }
        let mut reader = Reader::new(bytes.clone());
        let count = reader.count(MIN_ENTRY_BYTES)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(BookEntry {
                id: NodeId(reader.u64()?),
                incarnation: reader.u64()?,
                name: text(&mut reader)?,
                peer_addr: text(&mut reader)?,
                client_addr: text(&mut reader)?,
            });
        }
        reader.is_empty().then(|| Book::new(entries))
    }
}

fn text(reader: &mut Reader) -> Option<String> {
    String::from_utf8(reader.bytes()?.to_vec()).ok()
}

/// The number of a server by its name: `n7` is 7; any other name gets its FNV-1a hash with the top bit set, so
/// that the two kinds never meet.
#[must_use]
pub fn node_id(name: &str) -> NodeId {
    let digits = name.strip_prefix('n').filter(|digits| !digits.is_empty() && !digits.starts_with('0'));
    if let Some(number) = digits.and_then(|digits| digits.parse::<u32>().ok()) {
        return NodeId(u64::from(number));
    }
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    NodeId(hash | 1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_survives_its_bytes() {
        let entry = |name: &str| BookEntry {
            id: node_id(name),
            name: name.into(),
            incarnation: 42,
            peer_addr: "127.0.0.1:2380".into(),
            client_addr: "127.0.0.1:2379".into(),
        };
        let book = Book::new(vec![entry("west"), entry("n2"), entry("n1")]);
        assert_eq!(Book::decode(&book.encode()), Some(book.clone()));
        assert_eq!(book.name(NodeId(2)), "n2");
        assert_eq!(book.name(NodeId(9)), "n9");
        let bytes = book.encode();
        for cut in 1..bytes.len() {
            assert_eq!(Book::decode(&bytes.slice(..cut)), None);
        }
    }

    #[test]
    fn names_become_numbers() {
        assert_eq!(node_id("n7"), NodeId(7));
        assert_ne!(node_id("n07"), NodeId(7));
        assert!(node_id("west").0 >= 1 << 63);
        assert_ne!(node_id("west"), node_id("east"));
    }
}
