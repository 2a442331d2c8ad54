//! Tests of the replica from outside.

mod frames; // what travels between peers survives, and nothing else gets in
mod world; // replicas, disks and a network in virtual time
mod requests; // what clients are told, and when
mod snapshots; // taken, loaded and sent while writes go on
mod expiry; // keys expire by the log alone
mod disks; // a leader whose disk hangs
mod members; // changes that an administrator asks for
