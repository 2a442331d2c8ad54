//! What a call says beside its message: whether it wants a leader, and who asks.

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::backend::Backend;
use crate::error;

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

/// Nobody can have a token yet, and a token that nobody issued is refused even where none is needed.
///
/// # Errors
/// etcd's refusal.
pub fn check_token(metadata: &MetadataMap) -> Result<(), Status> {
    if metadata.contains_key("token") || metadata.contains_key("authorization") {
        return Err(error::INVALID_AUTH_TOKEN.into());
    }
    Ok(())
}
