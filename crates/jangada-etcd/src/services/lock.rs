//! Lock: one holder at a time, in the order of their coming.
//!
//! An answer's header carries the revision that created the holder's key, as a fencing token: it grows from holder to
//! holder, and a transaction can ask whether it still is the key's (docs/etcd.md has an example).

use std::sync::Arc;

use bytes::Bytes;
use jangada_kv::{Caller, DeleteRange, KeyRange, Request, Response};
use tonic::{Request as Call, Response as Answer, Status};

use crate::backend::Backend;
use crate::services::queue::{Queue, as_of_a_client, lease_or_new};
use crate::v3lockpb as pb;
use crate::v3lockpb::lock_server::Lock;
use crate::watch::hub::Hub;
use crate::{auth, error, metadata, response};

/// Lock over a backend.
#[derive(Clone, Debug)]
pub struct LockService<B> {
    hub: Arc<Hub<B>>,
}

impl<B> LockService<B> {
    pub(crate) fn new(hub: Arc<Hub<B>>) -> LockService<B> {
        LockService { hub }
    }
}

#[tonic::async_trait]
impl<B: Backend> Lock for LockService<B> {
    async fn lock(&self, call: Call<pb::LockRequest>) -> Result<Answer<pb::LockResponse>, Status> {
        let (caller, wanted) = metadata::admitted(call, self.hub.backend())?;
        self.held(caller, wanted).await.map(Answer::new).map_err(as_of_a_client)
    }

    async fn unlock(&self, call: Call<pb::UnlockRequest>) -> Result<Answer<pb::UnlockResponse>, Status> {
        let (caller, message) = metadata::admitted(call, self.hub.backend())?;
        self.free(&caller, message.key.into()).await.map(Answer::new).map_err(as_of_a_client)
    }
}

impl<B: Backend> LockService<B> {
    async fn held(&self, caller: Caller, wanted: pb::LockRequest) -> Result<pb::LockResponse, Status> {
        let backend = self.hub.backend();
        // It may wait for longer than a token lasts.
        let caller = auth::user(backend, caller).await?;
        let lease = lease_or_new(backend, &caller, wanted.lease).await?;
        let joined = Queue::of(&self.hub, &caller, &wanted.name).join(lease, Bytes::new()).await?;
        match joined.held.wait().await? {
            Some(place) => {
                let header = response::header(backend, place.created);
                Ok(pb::LockResponse { header, key: place.key.into() })
            }
            None => Err(Status::unknown("mutex: session is expired")),
        }
    }

    async fn free(&self, caller: &Caller, key: Bytes) -> Result<pb::UnlockResponse, Status> {
        if key.is_empty() {
            return Err(error::EMPTY_KEY.into());
        }
        let delete = DeleteRange { range: KeyRange::One(key), prev_kv: false };
        let deleted = self.hub.backend().write(caller.asks(Request::DeleteRange(delete))).await;
        match deleted.map_err(error::of_refusal)? {
            Response::DeleteRange(deleted) => {
                Ok(pb::UnlockResponse { header: response::header(self.hub.backend(), deleted.revision) })
            }
            other => Err(error::of_mismatch(other)),
        }
    }
}
