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

    /// Whose name this is. A server that the book does not name is called `n` and its number.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<NodeId> {
        if let Some((id, _)) = self.known.iter().find(|(_, known)| *known == name) {
            return Some(*id);
        }
        let digits = name.strip_prefix('n').filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
        let id = NodeId(digits.parse().ok()?);
        // A server that has a name of its own is not known by its number too.
        (!self.known.contains_key(&id)).then_some(id)
    }
}

impl<N: Into<String>> FromIterator<(NodeId, N)> for Names {
    fn from_iter<I: IntoIterator<Item = (NodeId, N)>>(pairs: I) -> Names {
        Names { known: pairs.into_iter().map(|(id, name)| (id, name.into())).collect() }
    }
}
