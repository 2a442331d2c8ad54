//! `jangada lab`: real servers in this process, to be hurt by hand while one watches.
//!
//! Lines are read in `prompt.rs` or from a pipe, `words.rs` knows those of the laboratory alone, `session.rs` carries
//! them out: through the scripts' stage, on `live.rs`, which is the scripts' cluster made of real servers.

mod house; // ports and folder
mod server; // one server on threads of this process
mod deeds; // what is done to them, for who keeps records
mod live; // the servers as a cluster of the scripts
mod backend; // real servers, or the simulator's world
mod asking; // one request, and what can be said about its answer
mod log; // a log, for people
mod known; // what events have told
mod teller; // tells what happens while it happens
mod voice; // where lines go
mod words; // the laboratory's own words
mod saving;
mod scenarios; // texts that it plays
mod help; // what there is
mod session; // lines carried out
mod looking; // what somebody sees who looks at the servers
mod timeline; // what has just happened, as a picture
mod pace; // slow motion
mod rewind; // a made-up world, through whose time one can travel
mod lessons; // tasks that end in something checked
mod menu; // the Go prototype's numbered menu
mod carrier; // whoever carries lines out
mod classroom; // lines, and lessons among them
mod prompt; // the line editor
mod page; // the same in a browser
mod conversation; // who reads lines, who carries them out, and what signals do

#[cfg(test)]
mod catalogue; // no sentence is missing in any language

pub use conversation::{Plan, Source, run};
pub use page::assets::{self, console};
