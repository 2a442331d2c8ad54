//! The targets.

pub(crate) mod calls; // gRPC
pub(crate) mod client_port; // whatever a client may say
pub(crate) mod frames; // between servers
pub(crate) mod gateway; // JSON
pub(crate) mod planted; // a bug on purpose
pub(crate) mod store; // beside a naive one
pub(crate) mod stored; // encodings of the store
