//! What the store promises, seen from outside.
#![allow(clippy::unwrap_used)] // Everything here is a test.

mod etcd; // etcd's operations
mod support; // short ways to say things
