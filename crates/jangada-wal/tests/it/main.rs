//! The log from outside: what it promises, on a disk that crashes and refuses.
#![allow(clippy::unwrap_used)]

mod log;
mod support;
