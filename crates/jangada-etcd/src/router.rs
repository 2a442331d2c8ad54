//! From the path of a call to the service that answers it. No router of a framework: there are a few prefixes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http::{Request, Response, header};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::{Code, Status};

use crate::backend::Backend;
use crate::calls::CallCounts;
use crate::etcdserverpb::auth_server::AuthServer;
use crate::etcdserverpb::cluster_server::ClusterServer;
use crate::etcdserverpb::kv_server::KvServer;
use crate::etcdserverpb::lease_server::LeaseServer;
use crate::etcdserverpb::maintenance_server::MaintenanceServer;
use crate::etcdserverpb::watch_server::WatchServer;
use crate::services::{
    AuthService, ClusterService, ElectionService, KvService, LeaseService, LockService, MaintenanceService,
};
use crate::v3electionpb::election_server::ElectionServer;
use crate::v3lockpb::lock_server::LockServer;
use crate::watch::{WatchLimits, WatchService};

/// What a message may be longer than a request: its framing, and whatever the limit of requests does not count.
const MESSAGE_OVERHEAD: usize = 512 << 10;

/// All services over one backend. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services<B> {
    kv: KvServer<KvService<B>>,
    auth: AuthServer<AuthService<B>>,
    lease: LeaseServer<LeaseService<B>>,
    cluster: ClusterServer<ClusterService<B>>,
    maintenance: MaintenanceServer<MaintenanceService<B>>,
    watch: WatchServer<WatchService<B>>,
    lock: LockServer<LockService<B>>,
    election: ElectionServer<ElectionService<B>>,
    message_bytes: usize,
    counts: Arc<CallCounts>,
}

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<B: Backend> Services<B> {
    /// The services of `backend`, for requests of up to `request_bytes`, answers of up to `answer_bytes`, and so many
    /// watches.
    #[must_use]
    pub fn new(backend: B, request_bytes: usize, answer_bytes: usize, watches: WatchLimits) -> Services<B> {
        let message_bytes = request_bytes.saturating_add(MESSAGE_OVERHEAD);
        let kv = KvServer::new(KvService(backend.clone()));
        let auth = AuthServer::new(AuthService(backend.clone()));
        let lease = LeaseServer::new(LeaseService(backend.clone()));
        let cluster = ClusterServer::new(ClusterService(backend.clone()));
        let maintenance = MaintenanceServer::new(MaintenanceService::new(backend.clone()));
        let watch = WatchService::new(backend, request_bytes, watches);
        let lock = LockServer::new(LockService::new(Arc::clone(watch.hub())));
        let election = ElectionServer::new(ElectionService::new(Arc::clone(watch.hub())));
        let watch = WatchServer::new(watch);
        Services {
            kv: kv.max_decoding_message_size(message_bytes).max_encoding_message_size(answer_bytes),
            auth: auth.max_decoding_message_size(message_bytes),
            lease: lease.max_decoding_message_size(message_bytes),
            cluster: cluster.max_decoding_message_size(message_bytes),
            maintenance: maintenance.max_decoding_message_size(message_bytes),
            watch: watch.max_decoding_message_size(message_bytes),
            lock: lock.max_decoding_message_size(message_bytes),
            election: election.max_decoding_message_size(message_bytes),
            message_bytes,
            counts: Arc::default(),
        }
    }

    /// The same, counted here.
    #[must_use]
    pub fn counted(self, counts: Arc<CallCounts>) -> Services<B> {
        Services { counts, ..self }
    }

    /// How long a message may be.
    pub(crate) fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// Whether this is a call of gRPC, and not some other request over HTTP/2.
    #[must_use]
    pub fn is_call<T>(request: &Request<T>) -> bool {
        let kind = request.headers().get(header::CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
    }

    /// Answers a call.
    pub fn answer<T>(&self, request: Request<T>) -> Answering
    where
        T: HttpBody<Data = Bytes> + Send + 'static,
        T::Error: Into<StdError> + Send,
    {
        let path = request.uri().path();
        let underway = self.counts.begin(path);
        let answering = if path.starts_with("/etcdserverpb.KV/") {
            self.kv.clone().call(request)
        } else if path.starts_with("/etcdserverpb.Watch/") {
            self.watch.clone().call(request)
        } else if path.starts_with("/etcdserverpb.Lease/") {
            self.lease.clone().call(request)
        } else if path.starts_with("/v3lockpb.Lock/") {
            self.lock.clone().call(request)
        } else if path.starts_with("/v3electionpb.Election/") {
            self.election.clone().call(request)
        } else if path.starts_with("/etcdserverpb.Maintenance/") {
            self.maintenance.clone().call(request)
        } else if path.starts_with("/etcdserverpb.Cluster/") {
            self.cluster.clone().call(request)
        } else if path.starts_with("/etcdserverpb.Auth/") {
            self.auth.clone().call(request)
        } else {
            let refusal = refusal(path).into_http();
            return Box::pin(async move { Ok(refusal) });
        };
        let limit = self.message_bytes;
        Box::pin(async move {
            let response = answering.await.map(|response| in_etcds_words(response, limit))?;
            Ok(match underway {
                Some(underway) => underway.answered(response),
                None => response,
            })
        })
    }
}

/// The answer to a path that no service has.
fn refusal(path: &str) -> Status {
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let service = parts.next().unwrap_or_default();
    Status::unimplemented(format!("unknown service {service}"))
}

/// tonic refuses what is too long in words of its own.
fn in_etcds_words(response: Response<Body>, limit: usize) -> Response<Body> {
    let Some(status) = response.extensions().get::<Status>() else { return response };
    let too_long = status.code() == Code::OutOfRange
        && status.message().starts_with("Error, decoded message length too large");
    if !too_long {
        return response;
    }
    let found: String = (status.message().chars())
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {limit})"))
        .into_http()
}

/// For those who need a `Service`.
impl<B, T> Service<Request<T>> for Services<B>
where
    B: Backend,
    T: HttpBody<Data = Bytes> + Send + 'static,
    T::Error: Into<StdError> + Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<T>) -> Answering {
        self.answer(request)
    }
}
