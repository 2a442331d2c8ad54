//! The rules of the paper's Figures 2, 3 and 13, and of the thesis where the core follows it: one test each.
//!
//! One server, n1, and peers that the test plays. `docs/paper-map.md` says which rule is shown where.

mod elections; // RequestVote, terms, timers; pre-votes
mod replication; // AppendEntries and the commit rule, from both ends
mod snapshots; // InstallSnapshot
mod membership; // joint consensus, step by step
mod reads; // ReadIndex and leases
mod transfer; // TimeoutNow
mod properties; // Figure 3, on whole clusters
