//! What people call the servers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jangada_raft::types::NodeId;

/// An address book from ids to names. A server that it does not know is called `n` and its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    known: BTreeMap<NodeId, String>,
}

impl Names {
    /// An empty book: everybody is called `n` and the number.
    #[must_use]
    pub fn new() -> Names {
        Names::default()
    }

    /// Writes a name down, over an older one.
    pub fn insert(&mut self, id: NodeId, name: impl Into<String>) {
        self.known.insert(id, name.into());
    }

    /// The name of a server.
    #[must_use]
    pub fn of(&self, id: NodeId) -> Cow<'_, str> {
        match self.known.get(&id) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(id.to_string()),
        }
    }
}

impl<N: Into<String>> FromIterator<(NodeId, N)> for Names {
    fn from_iter<I: IntoIterator<Item = (NodeId, N)>>(pairs: I) -> Names {
        Names { known: pairs.into_iter().map(|(id, name)| (id, name.into())).collect() }
    }
}
