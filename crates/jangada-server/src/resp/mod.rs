//! Redis's protocol: RESP2 and RESP3.

pub mod parser; // bytes → commands
pub mod inline; // a line → words
pub mod commands; // the table of commands
pub(crate) mod translate; // a command → a request of the store
pub(crate) mod login; // AUTH
pub(crate) mod session; // one connection's conversation: MULTI, WATCH, HELLO
pub(crate) mod describe; // the commands that need no store
pub(crate) mod answer; // an answer of the store → a reply
pub mod reply; // replies → bytes
