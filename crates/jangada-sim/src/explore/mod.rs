//! Everything that a small cluster can do: a search that leaves nothing out.
//!
//! The simulator tries some of the ways that things can go, in large worlds. This looks at *all* of them, in
//! small ones: three servers, two elections, a command, a crash. What is searched is the core itself, the same
//! `Raft` that serves clients, not a model of it: it is a value that can be cloned, compared and hashed, so a
//! state of the cluster is a value too. Nearest states come first, so the first story that ends badly is one
//! of the shortest, and it is told in words, step by step.
//!
//! ```
//! use std::ops::ControlFlow;
//! use jangada_sim::explore::{Config, run};
//!
//! let report = run(&Config::figure_8(), |_progress| ControlFlow::Continue(()));
//! assert!(report.is_complete && report.violation.is_none());
//! ```
//!
//! # What can happen
//! At any moment: a message that was ever sent arrives; an election timer rings; a leader sends heartbeats; a
//! client proposes; somebody asks for other voters; a disk has written what it was given; a server crashes, with
//! any part of what its disk was writing done, and starts again. [`Config`] bounds terms, commands, crashes,
//! heartbeats and changes; within these bounds every order of events is looked at.
//!
//! **Loss, duplication, reordering** need no bounds and no steps of their own: the network is the *set* of all
//! messages that were sent. Each may arrive never, now or later, once or often. A crash and the start after it
//! are one step: a server that is down is one to which nothing happens for a while.
//!
//! # Why it ends
//! - **Time** is not a number here. A timer may ring whenever it is set; a server is told of the time only for
//!   that. After each step [`Raft::canonicalise`](jangada_raft::Raft::canonicalise) takes from a server what has
//!   no bearing on what it will do: the time, the random numbers drawn, the numbers of messages and orders. What
//!   is left of a time is whether it is long ago, the one question that a rule asks of it. Without pre-vote and
//!   CheckQuorum, no rule but the timers' asks even that. The price: a leader that hears one of two followers is
//!   taken for one that hears both; neither steps down.
//! - **Equal servers are one.** Each state of a single server is kept once and has a number (`table.rs`), and
//!   the core works out each step of a single server once. A state of the cluster is a row of these numbers,
//!   and millions of steps of the cluster rest on thousands of steps of the core.
//! - **Richer states speak for poorer ones** (`seen.rs`). Of two states that differ only in what was sent and in
//!   the budgets left, the richer one can do all that the other can, since nobody has to get a message. For the
//!   same reason, what only adds messages (an answer that is given again) happens at once and is no step.
//! - **Messages that can do nothing any more** are forgotten (`fate.rs`): votes that are counted, requests that
//!   will be refused whatever happens, entries that the recipient has on its disk, acknowledgements of less than
//!   the leader knows. Each rule names the promise of the protocol that makes it so, and is used only if the core
//!   shows that the message has no effect now. A test keeps all of them in eight worlds and reaches the very same
//!   servers.
//! - **Commands are opaque**: which of two the client gave first is a matter of their names.
//! - **Equal servers have no names** at the beginning: the first one to which something happens is n1, the
//!   next one n2.
//!
//! States are compared, not their hashes, so none is taken for another. What is not searched: reads, snapshots,
//! transfers, inputs that come in batches (one [`take_output`](jangada_raft::Raft::take_output) for several of
//! them), and the state machine: what is committed counts as applied.
//!
//! # What must hold
//! `invariant.rs`: in each state election safety, log matching, leader completeness, committed entries immutable
//! and on the disks of a majority (of both halves of a joint configuration); at each step votes and terms
//! monotonic in memory and on the disk, the core's own
//! [`check_invariants`](jangada_raft::check_invariants), and no panic.

mod config; // how large the world is
mod worlds; // the worlds that are searched
mod search; // nearest states first
mod world; // a state as a row of numbers, and what can happen in it
mod local; // one server and its disk: the only place that calls the core
mod fate; // what a message that is under way can still do
mod seen; // which states need not be looked at
mod invariant; // what must hold
mod story; // a way through the states, in words
mod table; // values by number

pub use config::{Config, Relic};
pub use search::{Progress, Report, run};
pub use story::Story;
