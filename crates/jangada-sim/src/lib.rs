//! A deterministic world for the server's own code.
//!
//! The replica, the log writer, the log and the frames between peers run here as they run in a server; the
//! network, the disks, the clock and the people are made up, from one seed. What can go wrong does, often, and
//! checkers look on after every event.

pub mod rng; // one stream of chance for each concern
pub mod script; // scenarios as text
