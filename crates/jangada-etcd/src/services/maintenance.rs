//! Maintenance: how a member stands, what its store hashes to, a copy of it, and who shall lead.

use std::sync::Arc;

use jangada_kv::Revision;
use tokio::sync::Semaphore;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request as Call, Response as Answer, Status};

use crate::backend::{Backend, Freshness, NoMove};
use crate::etcdserverpb as pb;
use crate::etcdserverpb::downgrade_request::DowngradeAction;
use crate::etcdserverpb::maintenance_server::Maintenance;
use crate::services::{alarms, not_yet, pages};
use crate::{SPOKEN_CLUSTER_VERSION, SPOKEN_VERSION, auth, error, metadata, response, snapshot};

/// Maintenance over a backend.
#[derive(Clone, Debug)]
pub struct MaintenanceService<B> {
    backend: B,
    /// Who holds its one permit may send a snapshot: the keys that it has collected take up memory.
    snapshots: Arc<Semaphore>,
}

impl<B: Backend> MaintenanceService<B> {
    /// Only who may manage the cluster goes on.
    async fn managed<T>(&self, call: &Call<T>) -> Result<(), Status> {
        auth::may_manage(&self.backend, &auth::caller(call.metadata())).await
    }

    /// The same for what tells of all keys: who may not any more does not find it at a member that has not heard of that.
    async fn managed_now<T>(&self, call: &Call<T>) -> Result<(), Status> {
        let asked = auth::may_manage_now(&self.backend, &auth::caller(call.metadata())).await;
        asked.map_err(as_of_the_store)
    }
}

/// Where etcd guards these calls, it passes on what its store of users says as it is, without a code of its own.
fn as_of_the_store(status: Status) -> Status {
    match status.message().strip_prefix("etcdserver: ") {
        Some(text) if is_of_users(status.code()) => Status::unknown(format!("auth: {text}")),
        Some(_) | None => status,
    }
}

fn is_of_users(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument)
}

impl<B> MaintenanceService<B> {
    /// Over this backend. Clones share what is bounded.
    #[must_use]
    pub fn new(backend: B) -> MaintenanceService<B> {
        MaintenanceService { backend, snapshots: Arc::new(Semaphore::new(1)) }
    }
}

#[tonic::async_trait]
impl<B: Backend> Maintenance for MaintenanceService<B> {
    type SnapshotStream = ReceiverStream<Result<pb::SnapshotResponse, Status>>;

    async fn status(&self, call: Call<pb::StatusRequest>) -> Result<Answer<pb::StatusResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.backend)?;
        let listed = alarms::read(&self.backend, Freshness::Serializable).await?;
        let situation = self.backend.situation_now().await;
        let mut errors = Vec::new();
        if situation.leader.is_none() {
            errors.push(error::NO_LEADER.text.to_owned());
            errors.extend(situation.problem);
        }
        errors.extend(listed.alarms.iter().map(|alarm| alarms::in_words(*alarm)));
        Ok(Answer::new(pb::StatusResponse {
            header: response::header(&self.backend, listed.revision),
            version: SPOKEN_VERSION.to_owned(),
            db_size: response::signed(situation.store_bytes),
            leader: situation.leader.unwrap_or(0),
            raft_index: situation.commit_index,
            raft_term: self.backend.answerer().term,
            raft_applied_index: situation.applied_index,
            errors,
            db_size_in_use: response::signed(situation.live_bytes),
            is_learner: situation.is_learner,
        }))
    }

    /// The store lives in memory, and what is compacted is freed as it goes: there is nothing to do.
    async fn defragment(
        &self,
        call: Call<pb::DefragmentRequest>,
    ) -> Result<Answer<pb::DefragmentResponse>, Status> {
        self.managed(&call).await.map_err(as_of_the_store)?;
        Ok(Answer::new(pb::DefragmentResponse::default()))
    }

    async fn alarm(&self, call: Call<pb::AlarmRequest>) -> Result<Answer<pb::AlarmResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.backend)?;
        let caller = auth::caller(call.metadata());
        let answered = alarms::answer(&self.backend, &caller, call.get_ref()).await?;
        Ok(Answer::new(pb::AlarmResponse {
            header: response::header(&self.backend, answered.revision),
            alarms: answered.alarms.into_iter().map(alarms::told).collect(),
        }))
    }

    async fn hash(&self, call: Call<pb::HashRequest>) -> Result<Answer<pb::HashResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.backend)?;
        self.managed_now(&call).await?;
        let hashed = pages::hash(&self.backend, 0).await?;
        let header = response::header(&self.backend, hashed.now);
        Ok(Answer::new(pb::HashResponse { header, hash: hashed.hash }))
    }

    async fn hash_kv(&self, call: Call<pb::HashKvRequest>) -> Result<Answer<pb::HashKvResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.backend)?;
        self.managed_now(&call).await?;
        let hashed = pages::hash(&self.backend, call.get_ref().revision).await?;
        let compacted = hashed.floor > Revision::ZERO;
        Ok(Answer::new(pb::HashKvResponse {
            header: response::header(&self.backend, hashed.now),
            hash: hashed.hash,
            compact_revision: if compacted { response::signed(hashed.floor.0) } else { -1 },
        }))
    }

    async fn snapshot(
        &self,
        call: Call<pb::SnapshotRequest>,
    ) -> Result<Answer<Self::SnapshotStream>, Status> {
        metadata::check_leader(call.metadata(), &self.backend)?;
        self.managed_now(&call).await?;
        let turn = Arc::clone(&self.snapshots).try_acquire_owned();
        let turn = turn.map_err(|_taken| Status::from(error::TOO_MANY_REQUESTS))?;
        let parts = snapshot::start(&self.backend, turn).await?;
        Ok(Answer::new(ReceiverStream::new(parts)))
    }

    async fn move_leader(
        &self,
        call: Call<pb::MoveLeaderRequest>,
    ) -> Result<Answer<pb::MoveLeaderResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.backend)?;
        self.managed(&call).await?;
        self.backend.move_leader(call.get_ref().target_id).await.map_err(|why| match why {
            NoMove::NotLeader => Status::from(error::NOT_LEADER),
            // As etcd: who does not lead says so, whoever else may.
            NoMove::NoLeader => error::NOT_LEADER.into(),
            NoMove::BadTarget => error::BAD_TRANSFEREE.into(),
            NoMove::TimedOut => error::TRANSFER_TIMED_OUT.into(),
            NoMove::Other(why) => Status::unknown(why),
        })?;
        // As etcd: without a header.
        Ok(Answer::new(pb::MoveLeaderResponse::default()))
    }

    /// As etcd 3.5 says what could be; there is nothing older of us to go back to, so that none is ever under way.
    async fn downgrade(
        &self,
        call: Call<pb::DowngradeRequest>,
    ) -> Result<Answer<pb::DowngradeResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.backend)?;
        self.managed(&call).await?;
        let revision = super::revision(&self.backend, Freshness::Linearizable).await?;
        let version = &call.get_ref().version;
        match DowngradeAction::try_from(call.get_ref().action) {
            Ok(DowngradeAction::Validate) => check_downgrade(version)?,
            Ok(DowngradeAction::Enable) => {
                check_downgrade(version)?;
                return Err(not_yet("etcdserverpb.Maintenance/Downgrade with the action ENABLE"));
            }
            Ok(DowngradeAction::Cancel) => return Err(error::NO_DOWNGRADE.into()),
            Err(_) => return Err(error::UNKNOWN_METHOD.into()),
        }
        Ok(Answer::new(pb::DowngradeResponse {
            header: response::header(&self.backend, revision),
            version: SPOKEN_CLUSTER_VERSION.to_owned(),
        }))
    }
}

/// One can go back to the minor version before, and to no other.
fn check_downgrade(target: &str) -> Result<(), Status> {
    let target = minor(target).ok_or_else(|| Status::from(error::BAD_VERSION))?;
    let spoken = minor(SPOKEN_CLUSTER_VERSION).expect("it is a version");
    if (target.0, target.1 + 1) == spoken { Ok(()) } else { Err(error::BAD_DOWNGRADE.into()) }
}

/// The first two numbers of a version, which may leave out the third.
fn minor(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    match (numbers.next(), numbers.next()) {
        (None | Some(Some(_)), None) => Some((major, minor)),
        _ => None,
    }
}
