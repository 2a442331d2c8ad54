//! Lease: deadlines that keys share.
//!
//! To keep a lease alive is a write like any other: it is answered once it is in the log of a majority, so that no leader
//! that has been deposed prolongs a lease, and the next one knows that it was prolonged. The calls of one stream are
//! under way together, and answered in their order.

use std::collections::VecDeque;

use jangada_kv::{Caller, LeaseId, LeaseRequest, LeaseResponse, Request, Response};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request as Call, Response as Answer, Status, Streaming};

use crate::backend::{Backend, Freshness, Refusal};
use crate::etcdserverpb as pb;
use crate::etcdserverpb::lease_server::Lease;
use crate::{auth, error, metadata, response};

/// So many keep-alives of one stream are under way at most; then the next ones wait.
const UNDER_WAY: usize = 128;
/// Answers of a stream that its client has not taken yet; then the stream waits.
const WAITING_RESPONSES: usize = 16;
/// How often another name is tried for a lease, if a name that the server has chosen is taken.
const NAMES: usize = 8;

/// What etcd says of a lease that is not there when it is asked how long it has left.
const NO_SUCH_LEASE: i64 = -1;

/// Lease over a backend.
#[derive(Clone, Debug)]
pub struct LeaseService<B>(pub B);

#[tonic::async_trait]
impl<B: Backend> Lease for LeaseService<B> {
    type LeaseKeepAliveStream = ReceiverStream<Result<pb::LeaseKeepAliveResponse, Status>>;

    async fn lease_grant(
        &self,
        call: Call<pb::LeaseGrantRequest>,
    ) -> Result<Answer<pb::LeaseGrantResponse>, Status> {
        let (caller, wanted) = metadata::admitted(call, &self.0)?;
        let granted = grant(&self.0, &caller, wanted.id, wanted.ttl).await?;
        Ok(Answer::new(granted))
    }

    async fn lease_revoke(
        &self,
        call: Call<pb::LeaseRevokeRequest>,
    ) -> Result<Answer<pb::LeaseRevokeResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let revoke = LeaseRequest::Revoke { lease: LeaseId(message.id) };
        match write(&self.0, &caller, revoke).await? {
            Response::Lease(LeaseResponse::Revoked { revision }) => {
                Ok(Answer::new(pb::LeaseRevokeResponse { header: response::header(&self.0, revision) }))
            }
            other => Err(error::of_mismatch(other)),
        }
    }

    async fn lease_keep_alive(
        &self,
        call: Call<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Answer<Self::LeaseKeepAliveStream>, Status> {
        let wants_leader = metadata::wants_leader(call.metadata());
        let (caller, requests) = metadata::admitted(call, &self.0)?;
        let caller = auth::user(&self.0, caller).await?;
        let (responses, arriving) = mpsc::channel(WAITING_RESPONSES);
        let backend = self.0.clone();
        tokio::spawn(async move {
            let status = tokio::select! {
                () = keep_alive_stream(backend.clone(), caller, requests, responses.clone()) => return,
                status = metadata::leader_lost(wants_leader, &backend) => status,
            };
            let _gone = responses.send(Err(status)).await;
        });
        Ok(Answer::new(ReceiverStream::new(arriving)))
    }

    async fn lease_time_to_live(
        &self,
        call: Call<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Answer<pb::LeaseTimeToLiveResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let pb::LeaseTimeToLiveRequest { id, keys } = message;
        match read(&self.0, &caller, LeaseRequest::TimeToLive { lease: LeaseId(id), keys }).await? {
            Response::Lease(LeaseResponse::TimeToLive { revision, life, .. }) => {
                let header = response::header(&self.0, revision);
                let (ttl, granted_ttl, keys) = match life {
                    Some(life) => (
                        response::signed(life.remaining_ms / 1_000),
                        response::signed(life.ttl_seconds),
                        life.keys,
                    ),
                    None => (NO_SUCH_LEASE, 0, Vec::new()),
                };
                Ok(Answer::new(pb::LeaseTimeToLiveResponse { header, id, ttl, granted_ttl, keys }))
            }
            other => Err(error::of_mismatch(other)),
        }
    }

    async fn lease_leases(
        &self,
        call: Call<pb::LeaseLeasesRequest>,
    ) -> Result<Answer<pb::LeaseLeasesResponse>, Status> {
        let (caller, _) = metadata::admitted(call, &self.0)?;
        // Without a leader as this member knows it, as from etcd: it is a list of names.
        let read = match read(&self.0, &caller, LeaseRequest::List).await {
            Err(status) if auth::nobody_leads(&self.0, &status) => {
                let list = Request::Lease(LeaseRequest::List);
                auth::read(&self.0, &caller, list, Freshness::Serializable).await
            }
            read => read,
        };
        match read? {
            Response::Lease(LeaseResponse::List { revision, leases }) => {
                let header = response::header(&self.0, revision);
                let leases = leases.into_iter().map(|lease| pb::LeaseStatus { id: lease.0 }).collect();
                Ok(Answer::new(pb::LeaseLeasesResponse { header, leases }))
            }
            other => Err(error::of_mismatch(other)),
        }
    }
}

/// Makes a lease of `ttl` seconds. If `id` is 0, its name is chosen here: a positive number.
///
/// # Errors
/// etcd's refusals.
pub(crate) async fn grant<B: Backend>(
    backend: &B,
    caller: &Caller,
    id: i64,
    ttl: i64,
) -> Result<pb::LeaseGrantResponse, Status> {
    let ttl_seconds = u64::try_from(ttl).unwrap_or(0);
    let mut names = NAMES;
    loop {
        names -= 1;
        let name = if id == 0 { (backend.random() >> 1).cast_signed().max(1) } else { id };
        match write(backend, caller, LeaseRequest::Grant { lease: LeaseId(name), ttl_seconds }).await? {
            Response::Lease(LeaseResponse::Granted { revision, lease, ttl_seconds }) => {
                return Ok(pb::LeaseGrantResponse {
                    header: response::header(backend, revision),
                    id: lease.0,
                    ttl: response::signed(ttl_seconds),
                    error: String::new(),
                });
            }
            Response::Error(jangada_kv::Error::LeaseExists) if id == 0 && names > 0 => {}
            other => return Err(error::of_mismatch(other)),
        }
    }
}

async fn write<B: Backend>(backend: &B, caller: &Caller, request: LeaseRequest) -> Result<Response, Status> {
    backend.write(caller.asks(Request::Lease(request))).await.map_err(error::of_refusal)
}

async fn read<B: Backend>(backend: &B, caller: &Caller, request: LeaseRequest) -> Result<Response, Status> {
    auth::read(backend, caller, Request::Lease(request), Freshness::Linearizable).await
}

/// A keep-alive that is under way, and the lease that it is of.
struct UnderWay {
    id: i64,
    answer: JoinHandle<Result<Response, Refusal>>,
}

/// Serves one stream, until its client has gone or has said all, or until something else than an answer comes of a
/// keep-alive.
async fn keep_alive_stream<B: Backend>(
    backend: B,
    caller: Caller,
    mut requests: Streaming<pb::LeaseKeepAliveRequest>,
    responses: mpsc::Sender<Result<pb::LeaseKeepAliveResponse, Status>>,
) {
    let mut under_way: VecDeque<UnderWay> = VecDeque::new();
    let mut open = true;
    while open || !under_way.is_empty() {
        let answered = tokio::select! {
            request = requests.message(), if open && under_way.len() < UNDER_WAY => {
                match request {
                    Ok(Some(request)) => under_way.push_back(begin(&backend, &caller, request.id)),
                    Ok(None) => open = false,
                    // A client that breaks off is gone.
                    Err(_) => return,
                }
                continue;
            }
            answered = first(&mut under_way) => answered,
            () = responses.closed() => return,
        };
        let told = answered.and_then(|(id, answer)| kept_alive(&backend, id, answer));
        let ends = told.is_err();
        if responses.send(told).await.is_err() || ends {
            return;
        }
    }
}

fn begin<B: Backend>(backend: &B, caller: &Caller, id: i64) -> UnderWay {
    let backend = backend.clone();
    let keep_alive = caller.asks(Request::Lease(LeaseRequest::KeepAlive { lease: LeaseId(id) }));
    UnderWay { id, answer: tokio::spawn(async move { backend.write(keep_alive).await }) }
}

/// The answer to the first keep-alive that is under way; never, if there is none.
async fn first(under_way: &mut VecDeque<UnderWay>) -> Result<(i64, Result<Response, Refusal>), Status> {
    let Some(keep_alive) = under_way.front_mut() else { return std::future::pending().await };
    let answer = (&mut keep_alive.answer).await;
    let id = keep_alive.id;
    under_way.pop_front();
    answer.map(|answer| (id, answer)).map_err(|_| Status::internal("a keep-alive was given up"))
}

fn kept_alive<B: Backend>(
    backend: &B,
    id: i64,
    answer: Result<Response, Refusal>,
) -> Result<pb::LeaseKeepAliveResponse, Status> {
    match answer.map_err(error::of_refusal)? {
        Response::Lease(LeaseResponse::KeptAlive { revision, ttl_seconds, .. }) => {
            let header = response::header(backend, revision);
            // etcd says so that there is no such lease.
            let ttl = response::signed(ttl_seconds.unwrap_or(0));
            Ok(pb::LeaseKeepAliveResponse { header, id, ttl })
        }
        other => Err(error::of_mismatch(other)),
    }
}
