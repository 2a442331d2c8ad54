//! One Jangada server: the only crate with threads and sockets.
//!
//! Data flows one way: socket → connection → [`handle::Handle`] → replica thread → Raft → effects → disk,
//! peers, client. Everything that decides lives in the pure crates below; here bytes are moved and time is
//! asked for.

pub mod handle; // the door between the connections and the replica thread
pub mod status; // what a server says about itself
pub mod store_face; // the store's requests and responses, until the store itself has them
