//! Maintenance: how a member stands.

use tonic::{Request as Call, Response as Answer, Status};

use crate::backend::{Backend, Freshness};
use crate::etcdserverpb as pb;
use crate::etcdserverpb::maintenance_server::Maintenance;
use crate::services::not_yet;
use crate::{SPOKEN_VERSION, error, metadata, response};

/// Maintenance over a backend.
#[derive(Clone, Debug)]
pub struct MaintenanceService<B>(pub B);

#[tonic::async_trait]
impl<B: Backend> Maintenance for MaintenanceService<B> {
    type SnapshotStream = tonic::codegen::BoxStream<pb::SnapshotResponse>;

    async fn status(&self, call: Call<pb::StatusRequest>) -> Result<Answer<pb::StatusResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.0)?;
        let revision = super::revision(&self.0, Freshness::Serializable).await?;
        let situation = self.0.situation();
        let mut errors = Vec::new();
        if situation.leader.is_none() {
            errors.push(error::NO_LEADER.text.to_owned());
        }
        Ok(Answer::new(pb::StatusResponse {
            header: response::header(&self.0, revision),
            version: SPOKEN_VERSION.to_owned(),
            db_size: response::signed(situation.store_bytes),
            leader: situation.leader.unwrap_or(0),
            raft_index: situation.commit_index,
            raft_term: self.0.answerer().term,
            raft_applied_index: situation.applied_index,
            errors,
            db_size_in_use: response::signed(situation.live_bytes),
            is_learner: situation.is_learner,
        }))
    }

    /// The store lives in memory, and what is compacted is freed as it goes: there is nothing to do.
    async fn defragment(
        &self,
        _: Call<pb::DefragmentRequest>,
    ) -> Result<Answer<pb::DefragmentResponse>, Status> {
        Ok(Answer::new(pb::DefragmentResponse::default()))
    }

    /// There are no alarms yet, so the list of them is empty; to raise or clear one is refused.
    async fn alarm(&self, call: Call<pb::AlarmRequest>) -> Result<Answer<pb::AlarmResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.0)?;
        if call.get_ref().action() != pb::alarm_request::AlarmAction::Get {
            return Err(not_yet("etcdserverpb.Maintenance/Alarm with another action than GET"));
        }
        let revision = super::revision(&self.0, Freshness::Serializable).await?;
        Ok(Answer::new(pb::AlarmResponse { header: response::header(&self.0, revision), alarms: Vec::new() }))
    }

    async fn hash(&self, _: Call<pb::HashRequest>) -> Result<Answer<pb::HashResponse>, Status> {
        Err(not_yet("etcdserverpb.Maintenance/Hash"))
    }

    async fn hash_kv(&self, _: Call<pb::HashKvRequest>) -> Result<Answer<pb::HashKvResponse>, Status> {
        Err(not_yet("etcdserverpb.Maintenance/HashKV"))
    }

    async fn snapshot(&self, _: Call<pb::SnapshotRequest>) -> Result<Answer<Self::SnapshotStream>, Status> {
        Err(not_yet("etcdserverpb.Maintenance/Snapshot"))
    }

    async fn move_leader(
        &self,
        _: Call<pb::MoveLeaderRequest>,
    ) -> Result<Answer<pb::MoveLeaderResponse>, Status> {
        Err(not_yet("etcdserverpb.Maintenance/MoveLeader"))
    }

    async fn downgrade(
        &self,
        _: Call<pb::DowngradeRequest>,
    ) -> Result<Answer<pb::DowngradeResponse>, Status> {
        Err(not_yet("etcdserverpb.Maintenance/Downgrade"))
    }
}
