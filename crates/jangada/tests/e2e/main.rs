//! End to end: the real binary, real processes, real sockets, kill -9. Conditions are waited for with a deadline,
//! never for a fixed time. No test leaves a process behind.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test may stop at once, and exports nothing")]

mod bad_input; // every command with arguments that cannot be meant, in both languages
mod chaos; // servers die, sleep and wake in a random order
mod cli; // the command line itself: help, exit codes, configuration errors
mod client; // redis-cli, plain words through a socket, `jangada client` in a terminal-less world
mod cluster; // `jangada cluster`: life, changes of members, wrong names
mod ctl; // `jangada ctl`: etcdctl's words
mod ctl_edges; // and where things do not go well
mod demo; // the demonstration
mod etcd; // etcdctl against a cluster
mod etcd_flags; // servers that are started in etcd's words
mod disk; // data directories: wrong, in use, full
mod examples; // every example in every help text
mod explore; // `jangada sim explore`: everything that small clusters can do
mod hand_in; // what a student takes home of a laboratory
mod http; // curl: keys as they are, etcd's calls as JSON
mod kill; // kill -9, SIGSTOP, restart of all, no quorum: no acknowledged write is lost
mod lab; // `jangada node`: the university lab
mod laboratory; // `jangada lab`: servers in one process, hurt by hand
mod lessons; // its lessons, played rightly and wrongly
mod load; // `jangada load`: servers under load, and what is said of them
mod page; // the laboratory in a browser, without one
mod ping; // `jangada ping`: the way between servers by itself
mod promises; // members that are added before they are started
mod quota; // a store that is full
mod history; // how much of the past can be read
mod script; // `jangada sim script`: scenarios as text
mod sim; // `jangada sim`: plans that are saved and run again, failures that are told
mod terminal; // the laboratory at a pseudo-terminal
mod support; // clusters in temporary directories, clients that keep account
mod timeline;
mod transcripts; // the documents' transcripts, played again
mod users; // users and roles, on a cluster of three
mod verify; // `jangada sim verify`: runs that are kept and judged
#[path = "../../src/client/wire.rs"]
#[allow(dead_code, reason = "the tests need less of it than the client")]
mod wire; // the client's own connection
