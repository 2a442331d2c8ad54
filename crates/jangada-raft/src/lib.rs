//! Raft as plain data: deterministic, free of I/O, in the paper's words.
//!
//! Paper: D. Ongaro, J. Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended Version)*,
//! 2014. Thesis: D. Ongaro, *Consensus: Bridging Theory and Practice*, 2014.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod types; // numbers, entries, configurations
pub mod config; // the knobs
pub mod message; // the RPCs
pub mod event; // what happened
pub mod face; // what goes in, what comes out
pub mod raft; // the server as a whole: dispatch, and every change of the role
mod admission; // who may say what to us
mod server; // what all roles share
mod role; // what each role has for itself
mod election; // RequestVote and the pre-vote
mod replication; // AppendEntries and the commit rule
mod snapshot; // InstallSnapshot, and the cutting of the log
mod membership; // joint consensus
mod read; // linearizable reads
mod transfer; // leadership transfer
mod log; // the entries in memory
mod disk; // what is durable
mod progress; // what a leader knows about a follower
pub mod quorum; // majorities, joint ones too
pub mod rng; // SplitMix64
pub mod status; // questions that change nothing
pub mod invariants; // facts that hold after each input

pub use crate::face::{Answer, Input, Output, Recovered};
pub use crate::invariants::check_invariants;
pub use crate::raft::Raft;
