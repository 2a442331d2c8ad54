//! The services over a bare store, called through the generated clients, without a socket.

#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod alarms; // alarms, and a store that is full
mod auth; // users, roles, tokens
mod auth_doors; // every call by every kind of user
mod bare; // the store behind the services
mod calls;
mod cluster; // members and status
mod gateway; // the JSON gateway
mod kv; // ranges, puts, deletes, transactions, compaction
mod lease; // leases
mod locks; // locks and elections
mod maintenance; // hashes, snapshots, who leads
mod refusals; // etcd's codes and texts
mod watch; // watches
