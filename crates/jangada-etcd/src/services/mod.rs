//! The services. Each method translates, asks the [`Backend`], translates back, and decides nothing.

mod alarms; // what Maintenance and its status say of alarms
mod auth; // Auth
mod cluster; // Cluster
mod election; // Election
mod kv; // KV
mod lease; // Lease
mod lock; // Lock
mod maintenance; // Maintenance
pub(crate) mod pages; // the whole store, and its hash
mod queue; // what locks and elections have in common

pub use auth::AuthService;
pub use cluster::ClusterService;
pub use election::ElectionService;
pub use kv::KvService;
pub use lease::LeaseService;
pub use lock::LockService;
pub use maintenance::MaintenanceService;

use jangada_kv::{Caller, KeyRange, RangeRequest, Request, Response, Revision};
use tonic::Status;

use crate::backend::{Backend, Freshness};
use crate::error;

/// The refusal of a call that is not served yet. It names the call, so that nobody has to guess.
pub(crate) fn not_yet(call: &str) -> Status {
    Status::unimplemented(format!("jangada does not serve {call} yet (docs/etcd.md says what it serves)"))
}

/// The revision that the store is at; nobody need be permitted to know that.
async fn revision<B: Backend>(backend: &B, freshness: Freshness) -> Result<Revision, Status> {
    let nothing = RangeRequest { count_only: true, ..RangeRequest::new(KeyRange::One(vec![0].into())) };
    let asked = Caller::Server.asks(Request::Range(Box::new(nothing)));
    let read = backend.read(asked, freshness).await;
    match read.map_err(error::of_refusal)? {
        Response::Range(range) => Ok(range.revision),
        other => Err(error::of_mismatch(other)),
    }
}
