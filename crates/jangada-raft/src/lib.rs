//! Raft as plain data: deterministic, free of I/O, in the paper's words.
//!
//! Paper: D. Ongaro, J. Ousterhout, *In Search of an Understandable Consensus Algorithm (Extended Version)*,
//! 2014. Thesis: D. Ongaro, *Consensus: Bridging Theory and Practice*, 2014. Comments cite both by section;
//!    `docs/paper-map.md` maps each rule of the paper's figures to its function and its test. Where the code
//!    leaves the paper, a paragraph headed **Differs from the paper** says so and why.
//!
//! A server is a [`Raft`]: a value that can be cloned, compared and hashed. It takes an [`Input`] and the
//! time, and gives back an [`Output`]: what is to be written, sent and applied. It never asks for the time, a
//! random number, the disk or the network. **What it promises to others, it keeps inside until the disk has
//! it**: a host that writes `persist` and reports it cannot send a vote or an acknowledgement too early.
//!
//! ```
//! use bytes::Bytes;
//! use jangada_raft::config::Config;
//! use jangada_raft::types::{ClusterId, Index, Membership, NodeId, Time};
//! use jangada_raft::{Input, Output, Raft, Recovered};
//!
//! // The only server of its cluster, at its first start.
//! let mut recovered = Recovered::default();
//! recovered.snapshot.membership = Membership::of([NodeId(1)]).into();
//! let mut raft = Raft::restore(Time::ZERO, Config::new(NodeId(1), ClusterId(7), 42), recovered);
//!
//! raft.handle(Time::ZERO, Input::Campaign);
//! let mut out = Output::default();
//! raft.take_output(&mut out);
//! let vote = out.persist.take().expect("its vote for itself, to be written");
//! assert!(!raft.is_leader(), "a vote counts when it is on the disk");
//!
//! raft.handle(Time::ZERO, Input::Persisted(vote.id));
//! assert!(raft.is_leader());
//! raft.handle(Time::ZERO, Input::Propose(Bytes::from_static(b"hello")));
//! raft.take_output(&mut out);
//! let entries = out.persist.take().expect("its no-op, and the command");
//! raft.handle(Time::ZERO, Input::Persisted(entries.id));
//! raft.take_output(&mut out);
//! assert_eq!(out.committed, Some(Index(1)..=Index(2)), "to be applied");
//! ```
//!
//! `examples/counter.rs` shows three servers.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod types; // numbers, entries, configurations
pub mod incarnation; // which disk a server has
pub mod config; // the knobs
pub mod message; // the RPCs
pub mod event; // what happened
pub mod face; // what goes in, what comes out
pub mod raft; // the server as a whole: dispatch, and every change of the role
mod inputs; // what the host tells a server, messages apart
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
mod canonical; // one value for all servers that will do the same

pub use crate::face::{Answer, Input, Output, Recovered};
pub use crate::invariants::{Watcher, check_invariants};
pub use crate::raft::Raft;
