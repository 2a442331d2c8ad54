//! What the store promises, seen from outside.
#![allow(clippy::unwrap_used)] // Everything here is a test.

mod etcd; // etcd's operations
mod strings; // Redis's commands
mod support; // short ways to say things
