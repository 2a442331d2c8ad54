//! What the store promises, seen from outside.
#![allow(clippy::unwrap_used)] // Everything here is a test.

mod auth; // users, roles, permissions
mod auth_matrix; // every leaf, every place, every user
mod etcd; // etcd's operations
mod format; // bytes that never change
mod generate; // random requests
mod import; // beginning with given keys
mod leases; // deadlines that keys share
mod model; // the store as naive as can be
mod model_leases; // its leases
mod model_space; // its quota and alarms
mod model_strings; // its string commands
mod props; // the two compared
mod space; // how much there may be, and alarms
mod strings; // Redis's commands
mod support; // short ways to say things
mod visits; // what a transaction may cost
