//! Scenarios as text: the language of `sim/scripts/**.txt`, and of a prompt in front of a live cluster.
//!
//! A line is a command: `servers 5`, `crash leader`, `wait leader`, `expect value d 8 at 3`. [`parse()`] turns it into
//! a [`Command`], which is plain data; [`Stage`] carries commands out on a [`Cluster`]: the simulator's world, in virtual
//! time, with the world's checkers on, or real servers; [`Script`] reads and rewrites the files, in which what happened stands below the
//! commands. docs/scripts.md is the language's reference.

pub mod command; // what can be said
pub mod help; // the commands, with a line of help each
pub(crate) mod tokens; // words, quotes, numbers, durations
mod parse; // lines into commands
mod condition; // conditions, as `expect`, `wait` and `always` take them
pub mod file; // blocks of commands and what happened, and their difference
pub mod cluster; // what commands are carried out on
pub mod stage; // carries commands out
mod play; // a whole script
mod who; // whom a word means
mod answers; // requests, and what came of them
mod holds; // whether a condition holds
mod show; // looking
mod settings; // what is set before the servers start
pub mod simulated; // the cluster that scripts are played on
mod rig; // its servers, moved by hand
mod network; // its links: cut, held messages
mod prepared; // logs that servers start with
pub mod watch; // which events are told

pub use cluster::Cluster;
pub use command::Command;
pub use file::Script;
pub use parse::{parse, parse_in};
pub use play::{Played, Step, play, play_on};
pub use simulated::Simulated;
pub use stage::Stage;
pub use tokens::duration;
