//! Targets for a fuzzer: what may come from outside as bytes, who takes it, and what must hold whatever they are.
//!
//! A target is a function of bytes that panics if something is wrong. `cargo test -p jangada-fuzz` plays the committed
//! corpus; `cargo run -p xtask -- fuzz` has libFuzzer look for more, which is led by the coverage of our crates. What
//! a target does not say holds all the same: nothing may panic, overflow, or go on for ever.
//! docs/fuzzing.md says how to use it.

mod targets;
mod virtual_time; // futures whose waits take no time

// What stands behind the doors: the stores of the crates' own tests.
#[path = "../../jangada-etcd/tests/it/bare.rs"]
#[allow(clippy::unwrap_used, dead_code)]
mod bare;
#[path = "../../jangada-server/tests/it/core.rs"]
#[allow(clippy::unwrap_used, dead_code)]
mod core;

// The naive store, and random requests.
#[path = "../../jangada-kv/tests/it/generate.rs"]
#[allow(clippy::unwrap_used, dead_code)]
mod generate;
#[path = "../../jangada-kv/tests/it/model.rs"]
#[allow(clippy::unwrap_used, dead_code)]
mod model;
#[path = "../../jangada-kv/tests/it/model_leases.rs"]
mod model_leases;
#[path = "../../jangada-kv/tests/it/model_space.rs"]
mod model_space;
#[path = "../../jangada-kv/tests/it/model_strings.rs"]
#[allow(clippy::unwrap_used, dead_code)]
mod model_strings;

/// Something that takes bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also that of its folder in the corpus.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// Takes an input.
    ///
    /// # Panics
    /// If something is wrong: that is what is looked for.
    pub run: fn(&[u8]),
}

/// All that there are. `planted` has a bug on purpose: whoever looks and does not find it, finds nothing.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "client-port",
        about: "a conversation on the client port: first bytes, RESP, plain words, HTTP, HTTP/2",
        run: targets::client_port::run,
    },
    Target { name: "calls", about: "calls of etcd's API as frames of gRPC", run: targets::calls::run },
    Target { name: "gateway", about: "calls of etcd's API as JSON", run: targets::gateway::run },
    Target { name: "frames", about: "what one server tells another", run: targets::frames::run },
    Target {
        name: "stored",
        about: "requests, answers and snapshots of the store; snapshots of etcd's",
        run: targets::stored::run,
    },
    Target {
        name: "store",
        about: "requests to the store, transactions above all, beside a naive one",
        run: targets::store::run,
    },
    Target { name: "planted", about: "a bug on purpose, which must be found", run: targets::planted::run },
];

/// The target of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
