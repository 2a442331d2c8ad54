//! One Jangada server: the only crate with threads and sockets.
//!
//! Data flows one way: socket → connection → [`handle::Handle`] → replica thread → Raft → effects → disk,
//! peers, client. Everything that decides lives in the pure crates below; here bytes are moved and time is
//! asked for.

pub mod config; // what a server is told at its start
pub mod error; // why it did not start, or stopped
pub mod run; // a server from its first breath to its last
pub mod restoring; // a data directory out of a snapshot
mod identity; // who this server is, on its own disk
mod random; // the only source of randomness
mod replica_thread; // the loop: wait, take all that waits, carry out what follows
mod core; // the replica with what surrounds it on its thread
mod caught_up; // from when on a started server's own store may be asked
mod descriptors; // how many connections there is room for
mod auto_compaction; // old revisions go by the clock
mod store_settings; // how much the store may hold, and how much history it keeps
mod member_change; // one member, as etcd's clients ask for it
mod promises; // members that are added before they run
mod admin; // membership and transfer, checked against what is alive
mod report; // status, and why there is no leader
mod log_thread; // the thread that owns the disk
mod peer; // links between servers
mod round_trips; // how long heartbeats take there and back
mod event_log; // the readers of the event stream: metrics, stderr
pub mod recorder; // what happened last, in a ring
mod flight; // what it held when a leader was lost
mod record_file; // everything, in a file
pub mod rig; // what a laboratory holds its servers by
pub mod handle; // the door between the connections and the replica thread
pub mod post; // how answers come back to the threads of the connections
pub mod status; // what a server says about itself
pub mod revisions; // how far the store is
pub mod limits; // every bound on what a client may ask for
pub mod room; // memory for answers that nobody has read yet
pub mod front; // the client port
pub mod resp; // Redis's protocol
mod words; // plain words for netcat
pub(crate) mod http; // health, metrics, status, administration
pub(crate) mod etcd; // etcd's API over HTTP/2
pub mod meters; // what is measured on sockets and disk
pub mod metrics; // counters, and the page for Prometheus

pub use config::{Founding, LogStyle, Profile, ServerConfig};
pub use error::ServerError;
pub use peer::echo::{Echo, NoEcho, echo};
pub use rig::{Rig, Weather};
pub use run::{Ready, StopHandle, run};
