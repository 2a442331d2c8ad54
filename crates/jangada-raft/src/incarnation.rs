//! Which disk a server has.
//!
//! Raft takes a server and what it remembers for one: "persistent state on all servers" (Paper, Figure 2). A server
//! that lost its disk does not remember its votes, nor what it acknowledged; whatever its name, it is another
//! server. It may come back under its old number once it was removed and added again, and then it gets the log from
//! its beginning, in which older configurations mean the disk that is lost:
//!
//! ```text
//!   index   voters     who n1 is
//!     1     1          the first disk's n1, which founded the cluster
//!     4     1 2 3      the same
//!     9     2 3        nobody: its disk was lost, it was removed
//!    12     1 2 3      the second disk's n1
//! ```
//!
//! Cut off when it has no more than the first entry, the new n1 would be a majority by itself, and lead in the same
//! term as n2 or n3. So a configuration gives rights to a server only if it means that server's disk.
//!
//! **Differs from the paper**, which leaves lost disks out. Numbers that are never used again would do as well,
//! but people, peers and clients know a server by its name, and the number is the name's.

use bytes::Bytes;
use core::fmt;
use core::hash::{Hash, Hasher};

use crate::types::{Membership, NodeId};

/// This server's disk, and how to see which disk a configuration means.
#[derive(Clone, Copy)]
pub struct Incarnation {
    /// This disk's number.
    pub number: u64,
    /// The number of the disk that a configuration's context means by a server; `None` if it does not say, and then
    /// any disk will do.
    pub meant: fn(context: &Bytes, id: NodeId) -> Option<u64>,
}

impl Incarnation {
    /// No configuration says which disk it means: for hosts whose servers never come back without their disks.
    pub const UNCHECKED: Incarnation = Incarnation { number: 0, meant: |_, _| None };

    /// Whether a server of this number, on this disk, is meant where the configuration names that number.
    #[must_use]
    pub fn is_meant(&self, membership: &Membership, id: NodeId) -> bool {
        (self.meant)(&membership.context, id).is_none_or(|number| number == self.number)
    }
}

// A host has one way to read its contexts: the number is what tells one from another.

impl PartialEq for Incarnation {
    fn eq(&self, other: &Incarnation) -> bool {
        self.number == other.number
    }
}

impl Eq for Incarnation {}

impl Hash for Incarnation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({})", self.number)
    }
}
