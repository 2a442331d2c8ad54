//! Links between servers.

pub(crate) mod handshake; // the first words on a link
pub(crate) mod directory; // who is who, for all links to look at
pub(crate) mod founding; // how a cluster comes into being
pub(crate) mod link; // outgoing: one connection to each peer
pub(crate) mod accept; // incoming
pub(crate) mod echo; // a number goes there and comes back doubled
