//! etcd's v3 API: the messages and stubs, what they mean to the store, the services, and etcd's codes and texts.
//!
//! What stands behind the services is a [`Backend`]: this crate opens no socket and starts no thread. The server
//! carries [`Services`] on its client port (`jangada-server`); the tests of this crate put a bare store behind them.
//! docs/etcd.md says what is there and what is not.

pub mod generated; // messages and stubs, made of proto/ by `xtask codegen`
pub mod backend; // what the services ask of a server
pub mod error; // etcd's codes and texts
pub mod request; // messages to requests of the store
pub mod response; // answers of the store to messages
pub mod metadata; // what a call says beside its message
pub mod auth; // who asks: tokens and passwords
pub mod services; // KV, Cluster, Maintenance
pub mod snapshot; // the file of Maintenance/Snapshot
pub mod watch; // Watch
mod histogram; // how long something takes
pub mod calls; // how often each call was made, and how long it took
pub mod router; // from a path to a service
pub mod gateway; // the same calls as JSON over HTTP
#[cfg(feature = "client")]
pub mod client; // a connection for the generated clients

pub use auth::Passwords;
pub use backend::{
    Answerer, Backend, Freshness, Member, MemberChange, MemberRefusal, NoMove, Refusal, Situation,
};
pub use calls::CallCounts;
pub use gateway::Gateway;
pub use generated::{authpb, etcdserverpb, mvccpb, v3electionpb, v3lockpb};
pub use histogram::Histogram;
pub use router::Services;
pub use tonic::body::Body as GrpcBody;
pub use watch::WatchLimits;

/// The version of etcd whose API this is. Programs read it and refuse what they do not know.
pub const SPOKEN_VERSION: &str = "3.5.17";
/// The first two numbers of it, as `/version` tells of a whole cluster.
pub const SPOKEN_CLUSTER_VERSION: &str = "3.5.0";
