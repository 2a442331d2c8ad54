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
pub mod rng; // SplitMix64
pub mod quorum; // majorities, joint ones too
