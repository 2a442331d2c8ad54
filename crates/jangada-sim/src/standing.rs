//! Which disks a server believes in: the rules of the server's peer directory (decision 0004).
//!
//! A server that lost its disk does not remember its votes, and is another server under an old name. The address book
//! in the configuration says by which disk (incarnation) each member is known. In a server the two ends of a link
//! compare cards when it is opened; here the recipient looks at the card of each message.

use bytes::Bytes;
use jangada_node::book::{Book, BookEntry};
use jangada_raft::Raft;
use jangada_raft::types::{Index, NodeId, Term};

use crate::network::id_of;
use crate::queue::Place;

/// What a server says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Card {
    incarnation: u64,
    /// Where its log has the configuration in force, if that names it with the disk that it has.
    named_at: (Term, Index),
}

/// What a server knows of the others' disks.
pub(crate) struct Standing {
    /// Each member's disk; 0 for one that is not known.
    members: Vec<(NodeId, u64)>,
    position: (Term, Index),
    pub(crate) card: Card,
}

impl Standing {
    /// By the configuration in force.
    pub(crate) fn of(raft: &Raft, incarnation: u64) -> Standing {
        let membership = raft.membership();
        let book = Book::decode(&membership.context).unwrap_or_default();
        let disk = |id: NodeId| book.get(id).map_or(0, |entry| entry.incarnation);
        let members: Vec<(NodeId, u64)> = membership.members().iter().map(|id| (*id, disk(*id))).collect();
        let position = raft.membership_position();
        let named = members.contains(&(raft.id(), incarnation));
        let named_at = if named { position } else { (Term::ZERO, Index::ZERO) };
        Standing { members, position, card: Card { incarnation, named_at } }
    }

    /// Does this server refuse whoever shows this card?
    pub(crate) fn objects_to(&self, from: Place, card: &Card) -> bool {
        let id = id_of(from);
        card.named_at <= self.position
            && self
                .members
                .iter()
                .any(|(member, disk)| *member == id && *disk != 0 && *disk != card.incarnation)
    }
}

/// An address book of these servers with these disks.
pub(crate) fn book(servers: impl Iterator<Item = (NodeId, u64)>) -> Bytes {
    let entry = |(id, incarnation): (NodeId, u64)| BookEntry {
        id,
        name: id.to_string(),
        incarnation,
        peer_addr: String::new(),
        client_addr: String::new(),
    };
    Book::new(servers.map(entry).collect()).encode()
}
