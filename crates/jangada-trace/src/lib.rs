//! Readers of the event stream. What happened is said once, as a [`Record`](jangada_node::event::Record);
//! everything that a person or a program reads about it is made here.
//!
//! Every reader is pure: it takes records and gives back text or numbers. None of them asks for the time, writes
//! a file or knows a socket; whoever wants the date in front of a line passes it in.
//!
//! ```
//! use jangada_node::event::{Event, Record};
//! use jangada_raft::event::{Event as RaftEvent, RoleChange, RoleName};
//! use jangada_raft::types::{NodeId, Term, Time};
//! use jangada_trace::{jsonl, names::Names, words::{Level, Words}};
//!
//! let record = Record {
//!     time: Time(217_000_000),
//!     node: NodeId(2),
//!     seq: 41,
//!     event: Event::Raft(RaftEvent::RoleChanged {
//!         role: RoleName::Leader,
//!         term: Term(1),
//!         why: RoleChange::ElectionWon,
//!     }),
//! };
//! let mut words = Words::new(Names::new());
//! assert_eq!(
//!     words.line(&record, Level::Info).as_deref(),
//!     Some("+0.217  n2     elected → LEADER of term 1")
//! );
//! assert_eq!(
//!     jsonl::line(&record, &Names::new()),
//!     r#"{"time_ns":217000000,"node":"n2","seq":41,"event":"role_changed","role":"leader","term":1,"why":"election_won"}"#
//! );
//! ```

pub mod names; // what people call the servers
pub mod language; // the languages that they are spoken to in
pub mod kinds; // one stable name for each thing
pub mod words; // sentences for people
pub mod phrases; // what they are made of
pub mod deeds; // what was done by hand, as it stands
pub mod jsonl; // objects for programs
pub mod jsonl_read; // and back
pub mod lab; // the university lab's own lines
pub mod metrics; // counters
pub mod clock; // dates out of numbers
mod json; // a writer of one flat object
mod json_read; // and a reader
pub mod merge; // records of several clocks as one stream
pub mod timeline; // a space-time diagram in text
pub mod safety; // the paper's Figure 3, by name, over the events
mod runs; // the terms of a log's entries, as far as they are known

// What clients saw, and whether a correct store could have shown them that.
pub mod history; // operations with their times, requests and answers
pub mod history_lines; // a history as text
pub mod linearizable; // is there an order of all operations that explains every answer
pub mod witness; // the same by the revisions that answers carry
mod evidence; // who made a revision that no answer claims
mod resolve; // what becomes of operations without an answer
mod held; // wrong histories that need no search
mod search; // the search for that order, in one group of keys
mod places; // which operations on their way are done
mod states; // the states that the search has met
mod model; // what a request does to the values of keys
mod model_strings; // the string commands among them
mod answers; // whether an answer fits
mod keys; // which keys a request is about
pub mod tell; // requests and answers in a few words
