//! etcd's API on the client port: HTTP/2, and this server as what stands behind `jangada_etcd`'s services.
//!
//! A connection and all calls on it run on the thread that the connection was dealt to. What is no call of gRPC gets
//! the pages of HTTP/1.1 (`http`).

mod members; // changes of a member, carried to the leader
pub(crate) mod names; // metrics as etcd calls them
mod seam; // this server as a backend
mod tokens; // which of them are in use

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jangada_etcd::{GrpcBody, Services, WatchLimits};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use seam::Seam;
pub(crate) use tokens::TokensInUse;

use crate::front::weighed::weighed;
use crate::front::{Shared, Stop};
use crate::http::Pages;
use crate::limits::Limits;

/// The services of a server.
pub(crate) fn services(shared: Arc<Shared>) -> Services<Seam> {
    let (request_bytes, answer_bytes) = (shared.limits.request_bytes, shared.limits.reply_bytes);
    let watches = WatchLimits {
        of_a_stream: shared.limits.stream_watches,
        of_a_thread: shared.limits.watches,
        key_bytes: shared.limits.watch_key_bytes,
    };
    let calls = Arc::clone(&shared.counters.calls);
    Services::new(Seam::new(shared), request_bytes, answer_bytes, watches).counted(calls)
}

/// Serves one connection until it ends.
pub(crate) async fn serve<S>(stream: S, calls: Calls, limits: &Limits, mut stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(limits.http2_streams).unwrap_or(u32::MAX))
        .max_header_list_size(u32::try_from(limits.http_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Some(limits.http2_ping_time))
        .keep_alive_timeout(limits.http2_ping_wait)
        .serve_connection(TokioIo::new(stream), calls);
    let mut connection = std::pin::pin!(connection);
    // Errors of a connection concern the client alone, who has seen them.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.wait() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// What answers the requests of one connection.
pub(crate) struct Calls {
    services: Services<Seam>,
    pages: Pages,
}

impl Calls {
    /// These, and pages for what is no call.
    pub(crate) fn new(services: Services<Seam>, pages: Pages) -> Calls {
        Calls { services, pages }
    }
}

impl Service<Request<Incoming>> for Calls {
    type Response = Response<GrpcBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<GrpcBody>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.pages.mark(&mut request);
        let pages = self.pages.clone();
        if Services::<Seam>::is_call(&request) {
            let (answering, account) = (self.services.answer(request), Arc::clone(pages.account()));
            return Box::pin(async move {
                let answer = answering.await?;
                Ok(weighed(answer, account).await.map(GrpcBody::new))
            });
        }
        Box::pin(async move { pages.answer(request).await.map(|answer| answer.map(GrpcBody::new)) })
    }
}
