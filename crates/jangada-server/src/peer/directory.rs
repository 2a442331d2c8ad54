//! What this server knows of itself and of the others, for all links to look at.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use jangada_node::book::{Book, BookEntry};
use jangada_node::frame::Route;
use jangada_raft::types::{ClusterId, NodeId};
use tokio::sync::Notify;

use crate::meters::Meters;
use crate::peer::handshake::{Card, FoundingRecord, Hello, Position, Purpose, Refusal, Welcome};

/// Shared by the links of one server, all on the replica thread.
#[derive(Clone)]
pub(crate) struct Directory(Rc<RefCell<Inner>>);

struct Inner {
    me: Card,
    founding: Option<FoundingRecord>,
    /// Those whom the configuration in force names, and for a while those whom it has let go.
    book: Book,
    /// Whom it names.
    members: BTreeSet<NodeId>,
    /// Where their clients connect, by their own word when a link to them came up. The table that `jangada node` is
    /// founded with has no such addresses.
    client_addrs: BTreeMap<NodeId, String>,
    /// Where in the log that configuration is.
    position: Position,
    /// Where the bytes of all links are counted.
    meters: Arc<Meters>,
    /// Whom a link of ours wakes when that peer calls.
    awaited: BTreeMap<NodeId, Weak<Notify>>,
}

impl Directory {
    pub(crate) fn new(me: Card, founding: Option<FoundingRecord>) -> Directory {
        Directory(Rc::new(RefCell::new(Inner {
            me,
            founding,
            book: Book::default(),
            members: BTreeSet::new(),
            client_addrs: BTreeMap::new(),
            position: Position::default(),
            meters: Arc::default(),
            awaited: BTreeMap::new(),
        })))
    }

    /// Where the bytes of all links are counted.
    pub(crate) fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.0.borrow().meters)
    }

    /// What our link to a peer is woken by when that peer opens one to us.
    pub(crate) fn await_call(&self, peer: NodeId) -> Rc<Notify> {
        let awaited = &mut self.0.borrow_mut().awaited;
        awaited.retain(|_, call| call.strong_count() > 0);
        let call = awaited.get(&peer).and_then(Weak::upgrade).unwrap_or_default();
        awaited.insert(peer, Rc::downgrade(&call));
        call
    }

    /// A peer has opened a link to us.
    pub(crate) fn called(&self, peer: NodeId) {
        if let Some(call) = self.0.borrow().awaited.get(&peer).and_then(Weak::upgrade) {
            call.notify_one();
        }
    }

    pub(crate) fn me(&self) -> Card {
        self.0.borrow().me.clone()
    }

    pub(crate) fn my_id(&self) -> NodeId {
        NodeId(self.0.borrow().me.id)
    }

    /// The cluster exists now.
    pub(crate) fn found(&self, cluster: u64, founding: Option<FoundingRecord>) {
        let mut inner = self.0.borrow_mut();
        inner.me.cluster = Some(cluster);
        inner.founding = founding;
    }

    /// The configuration in force is another one now.
    pub(crate) fn set_members(&self, book: Book, members: BTreeSet<NodeId>, position: Position) {
        let mut inner = self.0.borrow_mut();
        inner.client_addrs.retain(|id, _| book.get(*id).is_some());
        inner.book = book;
        inner.members = members;
        inner.position = position;
        inner.me.named_at = if inner.knows_my_disk() { position } else { Position::default() };
    }

    /// Does the configuration in force name this server, with the disk that it has?
    pub(crate) fn knows_my_disk(&self) -> bool {
        self.0.borrow().knows_my_disk()
    }

    /// The address book of the configuration in force. Where it does not say where a server's clients connect, it has
    /// what that server said itself, if it did; and of this server, what is so: it may have moved since it was founded.
    pub(crate) fn book(&self) -> Book {
        let inner = self.0.borrow();
        let mut book = inner.book.clone();
        if let Some(me) = book.entries.iter_mut().find(|entry| entry.id.0 == inner.me.id) {
            me.client_addr.clone_from(&inner.me.client_addr);
        }
        for entry in book.entries.iter_mut().filter(|entry| entry.client_addr.is_empty()) {
            if let Some(said) = inner.client_addrs.get(&entry.id) {
                entry.client_addr.clone_from(said);
            }
        }
        book
    }

    /// This server of the book has said who it is.
    pub(crate) fn met(&self, card: &Card) {
        let mut inner = self.0.borrow_mut();
        let id = NodeId(card.id);
        if inner.book.get(id).is_some() {
            inner.client_addrs.insert(id, card.client_addr.clone());
        }
    }

    /// Whether somebody who was added has not come yet.
    pub(crate) fn has_promises(&self) -> bool {
        !self.0.borrow().book.promises.is_empty()
    }

    /// Does the configuration in force name this server?
    pub(crate) fn is_member(&self, id: NodeId) -> bool {
        self.0.borrow().members.contains(&id)
    }

    /// Does it name one that is called so?
    pub(crate) fn has_member_called(&self, name: &str) -> bool {
        let inner = self.0.borrow();
        inner.book.entries.iter().any(|known| known.name == name && inner.members.contains(&known.id))
    }

    /// The cluster knows this server by another number than that of its name. Nobody else knows it yet.
    pub(crate) fn be_known_as(&self, id: u64) {
        self.0.borrow_mut().me.id = id;
    }

    pub(crate) fn name(&self, id: NodeId) -> String {
        self.0.borrow().book.name(id)
    }

    /// The header of what we send to `to`.
    pub(crate) fn route_to(&self, to: NodeId) -> Route {
        Route { cluster: self.cluster(), from: self.my_id(), to }
    }

    /// The header of what we accept from `from`.
    pub(crate) fn route_from(&self, from: NodeId) -> Route {
        Route { cluster: self.cluster(), from, to: self.my_id() }
    }

    fn cluster(&self) -> ClusterId {
        ClusterId(self.0.borrow().me.cluster.unwrap_or(0))
    }

    pub(crate) fn hello(&self, to: Option<NodeId>, purpose: Purpose) -> Hello {
        Hello { me: self.me(), to: to.map(|id| id.0), purpose }
    }

    /// Our answer to whoever knocks.
    pub(crate) fn answer(&self, hello: &Hello) -> Welcome {
        let inner = self.0.borrow();
        match inner.objection(hello) {
            Some((refusal, why)) => Welcome::No { refusal, why },
            None => Welcome::Yes {
                me: inner.me.clone(),
                founding: inner.founding.clone(),
                promised: inner.promised_to(&hello.me),
            },
        }
    }
}

impl Inner {
    fn knows_my_disk(&self) -> bool {
        let me = self.book.get(NodeId(self.me.id)).filter(|me| self.members.contains(&me.id));
        me.is_some_and(|me| me.incarnation == self.me.incarnation)
    }

    /// The number that waits for a server which looks for its cluster.
    fn promised_to(&self, you: &Card) -> Option<u64> {
        let promise = self.book.promised_at(&you.peer_addr).filter(|_| you.cluster.is_none())?;
        Some(promise.id.0)
    }

    /// The member that has the name of a newcomer, which cannot be the same server: that one knows its cluster.
    fn namesake(&self, you: &Card) -> Option<&BookEntry> {
        let known = self.book.by_name(&you.name).filter(|_| you.cluster.is_none())?;
        (known.id.0 != you.id && self.members.contains(&known.id)).then_some(known)
    }

    fn objection(&self, hello: &Hello) -> Option<(Refusal, String)> {
        let (me, you) = (&self.me, &hello.me);
        if hello.to.is_some_and(|to| to != me.id) {
            let why = format!("this is {}, not the server that was meant: check --peers", me.name);
            return Some((Refusal::OtherServer, why));
        }
        if let (Some(mine), Some(yours)) = (me.cluster, you.cluster)
            && mine != yours
        {
            let why = format!(
                "{} belongs to cluster {mine:016x}, {} to cluster {yours:016x}: one of the two has another \
                 cluster's data directory",
                me.name, you.name
            );
            return Some((Refusal::OtherCluster, why));
        }
        // Nobody counts any more on what the old disk of a server held that is no member: it may come back empty,
        // as a newcomer. We may have slept through that (decision 0004 says why its word is enough).
        let you_are_member = self.members.contains(&NodeId(you.id)) && you.named_at <= self.position;
        if let Some(known) = self.book.get(NodeId(you.id)).filter(|known| known.incarnation != 0)
            && known.incarnation != you.incarnation
            && you_are_member
        {
            let why = format!(
                "the cluster knows {} by the disk {:016x}, but it comes with {:016x}: its data directory was \
                 lost or replaced, and with it votes and entries that the others count on. Bring the old \
                 directory back, or remove {} from the cluster and add it again",
                you.name, known.incarnation, you.incarnation, you.name
            );
            return Some((Refusal::DiskLost, why));
        }
        if let Some(known) = self.namesake(you) {
            let why = format!(
                "a member at {} is called {} already: give this server another --name. If it is that member, its data \
                 directory was lost or replaced, and with it votes and entries that the others count on: bring the old \
                 directory back, or remove {} from the cluster and add it again",
                known.peer_addr, you.name, you.name
            );
            return Some((Refusal::DiskLost, why));
        }
        if hello.purpose == Purpose::Link && (me.cluster.is_none() || you.cluster.is_none()) {
            return Some((Refusal::NotFounded, "the cluster is not founded yet".to_owned()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::handshake::Member;
    use jangada_node::book::Promise;

    fn card(id: u64, incarnation: u64) -> Card {
        Card {
            id,
            name: format!("n{id}"),
            incarnation,
            cluster: Some(7),
            peer_addr: String::new(),
            client_addr: String::new(),
            named_at: Position::default(),
        }
    }

    /// n`id` with this incarnation, whose configuration in force, at (`term`, `index`), names n2 by `disk_of_n2`.
    fn server(id: u64, incarnation: u64, disk_of_n2: u64, (term, index): (u64, u64)) -> Directory {
        let entry = |id, incarnation| BookEntry {
            id: NodeId(id),
            name: format!("n{id}"),
            incarnation,
            peer_addr: String::new(),
            client_addr: String::new(),
        };
        let directory = Directory::new(card(id, incarnation), None);
        let book = Book::new(vec![entry(1, 11), entry(2, disk_of_n2)]);
        let members = book.entries.iter().map(|entry| entry.id).collect();
        directory.set_members(book, members, Position { term, index });
        directory
    }

    fn is_refused(by: &Directory, caller: &Directory) -> bool {
        let hello = caller.hello(Some(by.my_id()), Purpose::Link);
        matches!(by.answer(&hello), Welcome::No { refusal: Refusal::DiskLost, .. })
    }

    const OLD: u64 = 21;
    const NEW: u64 = 22;

    #[test]
    fn who_slept_through_a_change_of_disks_believes_the_newer_configuration() {
        let sleeper = server(1, 11, OLD, (3, 10));
        assert!(!is_refused(&sleeper, &server(2, NEW, NEW, (3, 14))), "a later entry of the same term");
        assert!(!is_refused(&sleeper, &server(2, NEW, NEW, (4, 9))), "an entry of a later term");
        assert!(!is_refused(&sleeper, &server(2, OLD, OLD, (3, 10))));
    }

    #[test]
    fn an_emptied_server_is_refused_whatever_its_log_has_become() {
        let member = server(1, 11, OLD, (3, 10));
        let emptied = Directory::new(card(2, NEW), None);
        assert!(is_refused(&member, &emptied), "it knows no configuration");
        assert!(is_refused(&member, &server(2, NEW, OLD, (9, 90))), "what it was sent names its old disk");
        assert!(is_refused(&member, &server(2, NEW, NEW, (3, 10))), "not newer");
        assert!(is_refused(&member, &server(2, NEW, NEW, (2, 99))), "older: it never held");
    }

    #[test]
    fn where_the_book_has_no_client_address_the_servers_own_word_counts() {
        let directory = server(1, 11, OLD, (3, 10));
        let said = |id| directory.book().get(NodeId(id)).map(|entry| entry.client_addr.clone());
        assert_eq!(said(2).as_deref(), Some(""));
        let at = |id, client_addr: &str| Card { client_addr: client_addr.to_owned(), ..card(id, OLD) };
        directory.met(&at(2, "localhost:4002"));
        assert_eq!(said(2).as_deref(), Some("localhost:4002"));
        directory.met(&at(2, "localhost:4012"));
        assert_eq!(said(2).as_deref(), Some("localhost:4012"), "it came back elsewhere");
        directory.met(&at(9, "localhost:4009"));
        assert_eq!(said(9), None, "no member");

        let mut book = directory.book();
        book.entries.retain(|entry| entry.id == NodeId(1));
        directory.set_members(book, [NodeId(1)].into(), Position { term: 3, index: 11 });
        assert_eq!(directory.0.borrow().client_addrs.len(), 0, "who has left is forgotten");
    }

    #[test]
    fn who_is_expected_is_told_its_number_while_it_looks_for_its_cluster() {
        let directory = server(1, 11, OLD, (3, 10));
        assert!(!directory.has_promises());
        let promise = Promise { id: NodeId(99), peer_addr: "h:4".to_owned(), is_learner: false };
        directory.set_members(directory.book().promising(promise), [NodeId(1)].into(), Position::default());
        assert!(directory.has_promises());
        let told = |peer_addr: &str, cluster| {
            let newcomer = Card { cluster, peer_addr: peer_addr.to_owned(), ..card(4, 41) };
            match directory.answer(&Hello { me: newcomer, to: None, purpose: Purpose::Ask }) {
                Welcome::Yes { promised, .. } => promised,
                Welcome::No { why, .. } => panic!("{why}"),
            }
        };
        assert_eq!((told("h:4", None), told("h:5", None)), (Some(99), None));
        assert_eq!(told("h:4", Some(7)), None, "it has a number already");
    }

    #[test]
    fn a_newcomer_has_a_name_of_its_own() {
        let entry = BookEntry {
            id: NodeId(99),
            name: "n4".to_owned(),
            ..BookEntry::from(&Member::from(&card(4, 41)))
        };
        let asks = |directory: &Directory, cluster| {
            let newcomer = Card { cluster, ..card(4, 42) };
            directory.answer(&Hello { me: newcomer, to: None, purpose: Purpose::Ask })
        };
        let directory = Directory::new(card(1, 11), None);
        directory.set_members(Book::new(vec![entry.clone()]), [NodeId(99)].into(), Position::default());
        assert!(matches!(asks(&directory, None), Welcome::No { refusal: Refusal::DiskLost, .. }));
        assert!(matches!(asks(&directory, Some(7)), Welcome::Yes { .. }), "it is no member, and knows it");
        directory.set_members(Book::new(vec![entry]), [NodeId(1)].into(), Position::default());
        assert!(matches!(asks(&directory, None), Welcome::Yes { .. }), "the other one has left");
    }

    #[test]
    fn a_card_without_the_place_is_that_of_an_earlier_version() {
        let card: Card = serde_json::from_str(
            r#"{"id":2,"name":"n2","incarnation":5,"cluster":null,"peer_addr":"","client_addr":""}"#,
        )
        .unwrap();
        assert_eq!(card.named_at, Position::default());
    }
}
