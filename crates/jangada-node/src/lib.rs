//! One replica of a replicated state machine: Raft, its log writer, the frames between peers and the state
//! machine, put together, and still free of clock, threads, disk and sockets.
//!
//! The server and the simulator drive the same [`replica::Replica`] and the same log writer.

pub mod event; // what happened on a server
