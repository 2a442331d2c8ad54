//! What a call says beside its message: whether it wants a leader, and who asks.

use std::time::Duration;

use jangada_kv::Caller;
use tonic::metadata::MetadataMap;
use tonic::{Request as Call, Status};

use crate::backend::Backend;
use crate::{auth, error};

/// How often a stream that wants a leader looks for one: a clock of its own, as etcd has one, since an election that
/// succeeds meanwhile should end no stream.
const LEADER_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a call wants to be served only where a leader is known.
#[must_use]
pub fn wants_leader(metadata: &MetadataMap) -> bool {
    metadata.get("hasleader").is_some_and(|value| value.as_bytes() == b"true")
}

/// A call that says `hasleader: true` is refused at once by a member that knows no leader.
///
/// # Errors
/// etcd's refusal.
pub fn check_leader<B: Backend>(metadata: &MetadataMap, backend: &B) -> Result<(), Status> {
    match wants_leader(metadata) {
        true => leaderless(backend).map_or(Ok(()), Err),
        false => Ok(()),
    }
}

/// Waits until the member of a stream that wants a leader knows none; for ever, if the stream does not. The refusal with
/// which the stream ends, at most an interval late.
pub async fn leader_lost<B: Backend>(wanted: bool, backend: &B) -> Status {
    if !wanted {
        std::future::pending::<()>().await;
    }
    loop {
        tokio::time::sleep(LEADER_INTERVAL).await;
        if let Some(refusal) = leaderless(backend) {
            return refusal;
        }
    }
}

/// The refusal of a member that knows no leader.
fn leaderless<B: Backend>(backend: &B) -> Option<Status> {
    let situation = backend.situation();
    situation.leader.is_none().then(|| error::no_leader(situation.problem.as_deref()))
}

/// Who makes a call that may go on, and its message. Whether the token is right the store says.
///
/// # Errors
/// As for [`check_leader`].
pub fn admitted<B: Backend, T>(call: Call<T>, backend: &B) -> Result<(Caller, T), Status> {
    check_leader(call.metadata(), backend)?;
    let caller = auth::caller(call.metadata());
    Ok((caller, call.into_inner()))
}
