//! One replica of a replicated state machine: Raft, its log writer, the frames between peers and the state
//! machine, put together, and still free of clock, threads, disk and sockets.
//!
//! The server and the simulator drive the same [`replica::Replica`] and the same [`log_writer`].

pub mod state_machine; // what is replicated
pub mod effect; // what goes in, what comes out
pub mod replica; // Raft + state machine + requests
mod requests; // clients' requests: proposed, forwarded, waiting
mod pending; // batches and proposals that wait for their answers
mod snapshots; // taking and loading snapshots
mod admin; // membership changes and transfers that are under way
mod slow_disk; // a leader whose disk hangs hands over
pub mod clock; // replicated time
pub mod kv_machine; // the key-value store as a state machine
pub mod log_writer; // everything that touches the disk
pub mod frame; // what travels between peers
mod message_codec; // Raft's messages inside a frame
pub mod book; // names, addresses, incarnations
pub mod event; // what happened on a server
