//! What this server knows of itself and of the others, for all links to look at.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use jangada_node::book::Book;
use jangada_node::frame::Route;
use jangada_raft::types::{ClusterId, NodeId};

use crate::peer::handshake::{Card, FoundingRecord, Hello, Purpose, Refusal, Welcome};

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
}

impl Directory {
    pub(crate) fn new(me: Card, founding: Option<FoundingRecord>) -> Directory {
        Directory(Rc::new(RefCell::new(Inner {
            me,
            founding,
            book: Book::default(),
            members: BTreeSet::new(),
        })))
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

    pub(crate) fn set_members(&self, book: Book, members: BTreeSet<NodeId>) {
        let mut inner = self.0.borrow_mut();
        inner.book = book;
        inner.members = members;
    }

    /// Does the configuration in force name this server, with the disk that it has?
    pub(crate) fn knows_my_disk(&self) -> bool {
        let inner = self.0.borrow();
        let me = inner.book.get(NodeId(inner.me.id)).filter(|me| inner.members.contains(&me.id));
        me.is_some_and(|me| me.incarnation == inner.me.incarnation)
    }

    pub(crate) fn book(&self) -> Book {
        self.0.borrow().book.clone()
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
            None => Welcome::Yes { me: inner.me.clone(), founding: inner.founding.clone() },
        }
    }
}

impl Inner {
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
        // as a newcomer.
        let you_are_member = self.members.contains(&NodeId(you.id));
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
        if hello.purpose == Purpose::Link && (me.cluster.is_none() || you.cluster.is_none()) {
            return Some((Refusal::NotFounded, "the cluster is not founded yet".to_owned()));
        }
        None
    }
}
