//! The log from outside: what it promises, on a disk that crashes and refuses.
#![allow(clippy::unwrap_used)]

mod crash_points;
mod damage;
mod format;
mod log;
mod props;
mod script;
mod snapshots;
mod support;
