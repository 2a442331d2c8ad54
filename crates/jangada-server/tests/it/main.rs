//! The client side against a store that answers at once: no Raft, no disk, no sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

mod core; // the store behind the door
mod client; // the other end of a connection
mod resp_parser_props; // the parser under random cuts and garbage
mod redis; // commands and their replies
mod transactions; // MULTI, EXEC, WATCH
mod keys; // keys over plain HTTP
mod pipelining; // order, batches and bounds
mod users; // who may what, at doors that are not etcd's
mod words; // a person with netcat
mod http; // health, status, administration
mod room; // memory for answers that clients do not read
mod port; // threads, places, and an orderly end
mod flight; // what a panic leaves behind
