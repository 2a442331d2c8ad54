//! One Jangada server: the only crate with threads and sockets.
//!
//! Data flows one way: socket → connection → [`handle::Handle`] → replica thread → Raft → effects → disk,
//! peers, client. Everything that decides lives in the pure crates below; here bytes are moved and time is
//! asked for.

pub mod handle; // the door between the connections and the replica thread
pub mod status; // what a server says about itself
pub mod limits; // every bound on what a client may ask for
pub mod front; // the client port
pub mod resp; // Redis's protocol
mod words; // plain words for netcat
pub(crate) mod http; // health, metrics, status, administration
pub mod metrics; // counters, and the page for Prometheus
