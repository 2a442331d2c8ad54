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

/// A place that waits for a server which has not come yet (decision 0020). Raft knows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The number that Raft will know it by.
    pub id: NodeId,
    /// Where it will be, `host:port`.
    pub peer_addr: String,
    /// It will have no vote until it is promoted.
    pub is_learner: bool,
}

/// The address book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// In the order of their numbers.
    pub entries: Vec<BookEntry>,
    /// Those who may come, in the order of their numbers.
    pub promises: Vec<Promise>,
}

/// The smallest encoding of an entry.
const MIN_ENTRY_BYTES: usize = 28;
/// The smallest encoding of a promise.
const MIN_PROMISE_BYTES: usize = 13;

impl Book {
    /// A book of these servers.
    #[must_use]
    pub fn new(mut entries: Vec<BookEntry>) -> Book {
        entries.sort_by_key(|entry| entry.id);
        Book { entries, promises: Vec::new() }
    }

    /// The same book with this server in it. Whatever was promised to it has come true.
    #[must_use]
    pub fn with(mut self, entry: BookEntry) -> Book {
        self.promises.retain(|promise| promise.id != entry.id && promise.peer_addr != entry.peer_addr);
        self.entries.retain(|known| known.id != entry.id);
        self.entries.push(entry);
        self.entries.sort_by_key(|entry| entry.id);
        self
    }

    /// The same book with this promise.
    #[must_use]
    pub fn promising(mut self, promise: Promise) -> Book {
        self.promises.push(promise);
        self.promises.sort_by_key(|promise| promise.id);
        self
    }

    /// What was promised to whoever comes from this peer address.
    #[must_use]
    pub fn promised_at(&self, peer_addr: &str) -> Option<&Promise> {
        self.promises.iter().find(|promise| promise.peer_addr == peer_addr)
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
        // A book without promises is what it was before there were any.
        if !self.promises.is_empty() {
            put_count(self.promises.len(), &mut out);
        }
        for promise in &self.promises {
            put_u64(promise.id.0, &mut out);
            out.push(u8::from(promise.is_learner));
            put_bytes(promise.peer_addr.as_bytes(), &mut out);
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
        let mut book = Book::new(entries);
        if !reader.is_empty() {
            let count = reader.count(MIN_PROMISE_BYTES)?;
            book.promises = (0..count).map(|_| promise(&mut reader)).collect::<Option<_>>()?;
            book.promises.sort_by_key(|promise| promise.id);
        }
        reader.is_empty().then_some(book)
    }
}

fn promise(reader: &mut Reader) -> Option<Promise> {
    let id = NodeId(reader.u64()?);
    let is_learner = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(Promise { id, peer_addr: text(reader)?, is_learner })
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

/// A number for a server whose name nobody knows yet, out of a random one. Bit 62 is set and the top bit is not: no name
/// gives such a number.
#[must_use]
pub fn promised_id(random: u64) -> NodeId {
    NodeId(random >> 2 | 1 << 62)
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
        let plain = Book::new(vec![entry("west"), entry("n2"), entry("n1")]);
        assert_eq!(Book::decode(&plain.encode()), Some(plain.clone()));
        let promise = |id, is_learner| Promise { id, peer_addr: format!("h:{id}"), is_learner };
        let [first, second] = [promised_id(0), promised_id(u64::MAX)];
        let book = plain.clone().promising(promise(second, true)).promising(promise(first, false));
        assert_eq!(Book::decode(&book.encode()), Some(book.clone()));
        assert_eq!(book.promised_at(&format!("h:{first}")), Some(&promise(first, false)));
        assert!(book.encode().starts_with(&plain.encode()), "promises come last");
        assert_eq!(book.name(NodeId(2)), "n2");
        assert_eq!(book.name(NodeId(9)), "n9");
        let bytes = book.encode();
        let without_promises = plain.encode().len();
        for cut in (1..bytes.len()).filter(|cut| *cut != without_promises) {
            assert_eq!(Book::decode(&bytes.slice(..cut)), None);
        }
    }

    #[test]
    fn who_comes_takes_the_place_that_waited_for_it() {
        let promise = |id, peer_addr: &str| Promise {
            id: promised_id(id),
            peer_addr: peer_addr.into(),
            is_learner: false,
        };
        let book = Book::default().promising(promise(4, "a:1")).promising(promise(8, "b:1"));
        let entry = |id, peer_addr: &str| BookEntry {
            id,
            name: "n4".into(),
            incarnation: 1,
            peer_addr: peer_addr.into(),
            client_addr: String::new(),
        };
        let [first, second] = [book.promises[0].clone(), book.promises[1].clone()];
        assert_eq!(book.clone().with(entry(first.id, "a:1")).promises, std::slice::from_ref(&second));
        assert_eq!(book.clone().with(entry(NodeId(4), "a:1")).promises, [second], "by its address");
        let named = book.with(entry(first.id, "c:1")).with(entry(first.id, "b:1"));
        assert!(named.promises.is_empty() && named.entries.len() == 1);
    }

    #[test]
    fn names_become_numbers() {
        assert_eq!(node_id("n7"), NodeId(7));
        assert_ne!(node_id("n07"), NodeId(7));
        assert!(node_id("west").0 >= 1 << 63);
        assert_ne!(node_id("west"), node_id("east"));
        for random in [0, 1, u64::MAX] {
            assert!((1 << 62..1 << 63).contains(&promised_id(random).0), "no name has it");
        }
    }
}
