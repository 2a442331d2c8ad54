//! The committed corpus, without a fuzzer: whatever was found once stays found.
#![allow(clippy::unwrap_used)] // Everything here is a test.

mod corpus;
