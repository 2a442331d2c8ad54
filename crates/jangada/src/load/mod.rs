//! A load on servers, and what they make of it: rates and latencies, with the errors beside them.
//!
//! `plan` says what is asked, `link` carries it (`resp` for servers that speak Redis' protocol, `grpc` for
//! those that speak etcd's API), `run` has the clients, `bell` rings when they are due, `watching` those who are told what one of them writes, `leasing` those who
//! keep a lease alive, `tally` counts, `servers` knows the processes behind the addresses, `killer` kills their leader meanwhile, `compare`
//! runs two targets in turns, `report` prints. All clients run on one thread: they share the machine with the servers
//! that they measure, and what they take is taken from them.

mod bell;
pub mod compare;
mod grpc;
pub mod killer;
pub mod leasing;
pub mod link;
pub mod plan;
pub mod report;
mod resp;
pub mod run;
pub mod servers;
mod tally;
pub mod watching;
