//! KV: ranges, puts, deletes, transactions, compaction.

use jangada_kv::{Request, Response};
use tonic::{Request as Call, Response as Answer, Status};

use crate::backend::{Backend, Freshness};
use crate::etcdserverpb as pb;
use crate::etcdserverpb::kv_server::Kv;
use crate::{auth, error, metadata, request, response};

/// KV over a backend.
#[derive(Clone, Debug)]
pub struct KvService<B>(pub B);

#[tonic::async_trait]
impl<B: Backend> Kv for KvService<B> {
    async fn range(&self, call: Call<pb::RangeRequest>) -> Result<Answer<pb::RangeResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let freshness = freshness(message.serializable);
        let request = Request::Range(Box::new(request::range(message)?));
        match auth::read(&self.0, &caller, request, freshness).await? {
            Response::Range(range) => {
                let header = response::header(&self.0, range.revision);
                Ok(Answer::new(pb::RangeResponse { header, ..response::range(range) }))
            }
            other => Err(error::of_mismatch(other)),
        }
    }

    async fn put(&self, call: Call<pb::PutRequest>) -> Result<Answer<pb::PutResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let request = Request::Put(request::put(message)?);
        match self.0.write(caller.asks(request)).await.map_err(error::of_refusal)? {
            Response::Put(put) => {
                let header = response::header(&self.0, put.revision);
                Ok(Answer::new(pb::PutResponse { header, ..response::put(put) }))
            }
            other => Err(error::of_mismatch(other)),
        }
    }

    async fn delete_range(
        &self,
        call: Call<pb::DeleteRangeRequest>,
    ) -> Result<Answer<pb::DeleteRangeResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let request = Request::DeleteRange(request::delete_range(message)?);
        match self.0.write(caller.asks(request)).await.map_err(error::of_refusal)? {
            Response::DeleteRange(delete) => {
                let header = response::header(&self.0, delete.revision);
                Ok(Answer::new(pb::DeleteRangeResponse { header, ..response::delete_range(delete) }))
            }
            other => Err(error::of_mismatch(other)),
        }
    }

    async fn txn(&self, call: Call<pb::TxnRequest>) -> Result<Answer<pb::TxnResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let freshness = freshness(request::is_serializable(&message));
        let request = Request::Txn(request::txn(message)?);
        let answer = match request.is_read_only() {
            true => auth::read(&self.0, &caller, request, freshness).await,
            false => self.0.write(caller.asks(request)).await.map_err(error::of_refusal),
        };
        match answer? {
            Response::Txn(txn) => {
                let header = response::header(&self.0, txn.revision);
                Ok(Answer::new(pb::TxnResponse { header, ..response::txn(txn) }))
            }
            other => Err(error::of_mismatch(other)),
        }
    }

    async fn compact(
        &self,
        call: Call<pb::CompactionRequest>,
    ) -> Result<Answer<pb::CompactionResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let request = request::compact(&message);
        match self.0.write(caller.asks(request)).await.map_err(error::of_refusal)? {
            Response::Compact { revision } => {
                Ok(Answer::new(pb::CompactionResponse { header: response::header(&self.0, revision) }))
            }
            other => Err(error::of_mismatch(other)),
        }
    }
}

fn freshness(serializable: bool) -> Freshness {
    if serializable { Freshness::Serializable } else { Freshness::Linearizable }
}
