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
    if wants_leader(metadata) && backend.situation().leader.is_none() {
        return Err(error::NO_LEADER.into());
    }
    Ok(())
}

/// Waits until the member of a stream that wants a leader knows none; for ever, if the stream does not. The refusal with
/// which the stream ends, at most an interval late.
pub async fn leader_lost<B: Backend>(wanted: bool, backend: &B) -> Status {
    if !wanted {
        std::future::pending::<()>().await;
    }
    loop {
        tokio::time::sleep(LEADER_INTERVAL).await;
        if backend.situation().leader.is_none() {
            return error::NO_LEADER.into();
        }
    }
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
