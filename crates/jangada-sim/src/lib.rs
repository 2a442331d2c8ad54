//! A deterministic world for the server's own code.
//!
//! The replica, the log writer, the log and the frames between peers run here as they run in a server; the
//! network, the disks, the clock and the people are made up, from one seed. What can go wrong does, often, and
//! checkers look on after every event.

pub mod rng; // one stream of chance for each concern

// What is made up.
pub mod plan; // what will be done to a world, as data
pub mod swarm; // drawing plans from seeds
mod written; // plans as files
mod queue; // what will happen, and when
mod network; // who hears whom
pub mod disk; // disks that lose, tear and refuse

// What is real, and who looks on.
pub mod observed; // a state machine with a witness
mod server; // a disk, and now and then a process on it
mod standing; // which disks a server believes in
mod driver; // the server's loop
mod records; // what servers say of themselves
pub mod check; // the invariants
mod named; // enums of what is counted
mod panics; // what they say, and where
pub mod coverage; // what has happened

// The people.
mod watched; // what watches promise
mod watches; // clients that watch
pub mod workload; // what clients do
mod client; // who they ask, and how long they wait
pub mod kv; // clients of the key-value store
mod requests; // what they ask for
mod leases; // their leases
mod users; // who they say they are
mod permitted; // what they may read
mod resolve; // what became of what nobody answered

// The whole.
pub mod world; // one step after another
mod strike; // planned faults
mod repair; // disks that are lost or damaged, and what people do about it
mod calm; // times in which nothing goes wrong
mod follow; // who looks at the state of servers
mod in_flight; // configurations that only messages know
mod finale; // how a run ends
pub mod setup; // building and running
mod story; // what happened, for people
pub mod telling; // faults and deaths in words
pub mod shrink; // making a failure small
pub mod explain; // telling it
pub mod script; // scenarios as text
pub mod exercise; // an election with eight holes, for students
pub mod images; // every disk that a crash can leave

// Beside it: all that can happen, instead of some of it.
pub mod explore; // everything that a small cluster can do

pub use check::{Invariant, Violation};
pub use panics::quietly;
pub use plan::Plan;
pub use setup::{Verdict, examine, run, tell};
pub use workload::Workload;
pub use world::World;
pub use written::PlanFile;
