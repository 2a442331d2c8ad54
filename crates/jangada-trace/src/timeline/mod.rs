//! What happened as a space-time diagram: time in one direction, a lane for each server, messages as arrows.
//!
//! [`Scene::of`] finds out, from records on one clock ([`crate::merge`]), what became of every message that was sent, who
//! played which role when, and when a server was down, stood still or was cut off. Painters show a part of it:
//! [`text`] for a terminal, [`table`] as the Go prototype's table, [`svg`] for reports, [`perfetto`] for the trace viewer of
//! that name. Nothing here is a guess but what is called one: a message is known by its sender and number.

mod bands; // roles, and when a server was not there
mod done; // the same by what was done
pub mod perfetto; // for a trace viewer
mod repeats; // campaigns in vain
pub mod scale; // where a time is drawn
mod scene; // what became of each message
pub mod svg; // for reports
pub mod table; // the Go prototype's table
pub mod text; // for a terminal
pub mod topic; // what an event is about
mod view; // which part of it is shown

pub use bands::{Absence, Quiet, RoleSpan};
pub use done::Weather;
pub use repeats::Repeats;
pub use scene::{Arrow, Fate, Lane, Scene, Tally};
pub use topic::{Topic, Topics};
pub use view::View;
