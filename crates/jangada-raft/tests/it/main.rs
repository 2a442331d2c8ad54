//! The core's integration tests: whole servers, talking over a network that lives in memory.

#[allow(dead_code, reason = "a world to build upon: not each test file uses all of it")]
mod cluster; // the world
mod sanity; // the shortest stories
mod stories; // membership, snapshots, transfer, reads, the disk
mod forged; // messages that no correct server sends
mod chaos; // everything at once

#[allow(dead_code, reason = "the words for scenarios, which follow")]
mod world; // a cluster in memory with a checker above it, more devious than the first
mod weather; // random worlds
#[allow(dead_code, reason = "the words for all tests of one server")]
mod solo; // one server whose peers the test plays
mod paper; // rule by rule
mod seeds; // what the three older systems showed, and got wrong
mod scenarios; // stories of whole clusters
mod hostile; // messages that no correct server sends, by proptest
mod arithmetic; // majorities against their definition
