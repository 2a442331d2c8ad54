//! HTTP/1.1 on the client port: health, metrics, status, keys, etcd's calls as JSON, and what changes the cluster.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 `ok`: the process serves |
//! | `GET /readyz` | 200 `ok`, or 503 and why this server cannot answer requests now |
//! | `GET /metrics` | Prometheus' text format |
//! | `GET /health` | etcd's: 200 `{"health":"true","reason":""}` once a read went through, or 503 and why not |
//! | `GET /version` | etcd's: the version of etcd whose API this is |
//! | `GET /status` | [`Status`](crate::status::Status) as JSON |
//! | `GET /console/` | a page that shows the same in a browser, and changes nothing |
//! | `GET /console/of/{name}` | what the page asks of each member: this server's own [`news`], or those that the member gives |
//! | `GET /debug/news?start=…&after=41` | [`news`]: the status, and the records that follow the 41st of this start |
//! | `GET /debug/records?last_ms=5000` | what happened last, as JSON lines (docs/events.md); the header `jangada-time-ns` has the server's time |
//! | `GET`, `PUT`, `DELETE /kv/KEY` | a key's value as it is ([`keys`]) |
//! | `POST /v3/…` | etcd's calls as JSON ([`gateway`]) |
//! | `POST /members` | change the voters: [`ChangeMembers`](crate::handle::ChangeMembers) |
//! | `POST /members/change` | change one member: [`ChangeMember`](crate::handle::ChangeMember) |
//! | `POST /transfer` | move the leadership: [`Transfer`](crate::handle::Transfer) |
//!
//! A web page in somebody's browser must not be able to change a cluster. `/members`, `/transfer`, `/v3/` and `/kv/`
//! accept an `Origin` only from this very server under an address that no foreign name server can claim (`origin`);
//! `/members` and `/transfer` want `Content-Type: application/json`, too, which no plain form sends. `/kv/` shows a
//! browser nothing for another site's page.

pub(crate) mod admin; // the requests that change the cluster
mod gateway; // etcd's calls as JSON
mod console; // the page for a browser
mod keys; // keys without base64
pub(crate) mod asking; // asking other members
mod news; // what the page shows of each member
mod health; // what etcd's clients look at first
mod origin; // which pages may send them

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jangada_etcd::Services;
use jangada_etcd::auth::ComesFrom;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service as _;

use crate::etcd::Seam;
use crate::front::weighed::{Weighed, weighed};
use crate::front::{Shared, Stop};
use crate::limits::Limits;
use crate::metrics::gauge;
use crate::room::Account;

/// The pages of a server.
pub(crate) fn router(shared: Arc<Shared>, services: Services<Seam>) -> Router {
    let calls = gateway::router(Arc::clone(&shared), services.clone());
    let keys = keys::router(Arc::clone(&shared), services);
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/health", get(health::health))
        .route("/version", get(health::version))
        .route("/status", get(status))
        .route("/console", get(|| async { Redirect::permanent("/console/") }))
        .route("/console/", get(console::index))
        .route("/console/{file}", get(console::file))
        .route("/console/of/{name}", get(news::of_member))
        .route("/debug/news", get(news::own))
        .route("/debug/records", get(records))
        .route("/members", post(admin::change_members))
        .route("/members/change", post(admin::change_member))
        .route("/transfer", post(admin::transfer))
        .fallback(unknown)
        .with_state(Arc::clone(&shared))
        .merge(calls)
        .merge(keys)
        .layer(middleware::from_fn_with_state(shared, count))
}

/// The pages of a port that has figures only.
pub(crate) fn figures(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health::health))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there are /metrics and /health here\n") })
        .with_state(Arc::clone(&shared))
        .layer(middleware::from_fn_with_state(shared, count))
}

/// The pages, as one connection is given them.
#[derive(Clone)]
pub(crate) struct Pages {
    router: Router,
    address: Option<IpAddr>,
    account: Arc<Account>,
}

impl Pages {
    /// Of a client at this address, whose answers are counted there.
    pub(crate) fn new(router: Router, address: Option<IpAddr>, account: Arc<Account>) -> Pages {
        Pages { router, address, account }
    }

    /// Where the connection's answers are counted.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Notes where a request comes from.
    pub(crate) fn mark(&self, request: &mut hyper::Request<Incoming>) {
        if let Some(address) = self.address {
            request.extensions_mut().insert(ComesFrom(address));
        }
    }

    /// The answer to a request.
    pub(crate) async fn answer(
        self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Weighed<Body>>, Infallible> {
        let mut router = self.router;
        let answer = router.call(request).await?;
        Ok(weighed(answer, self.account).await)
    }
}

/// Serves one connection until it ends.
pub(crate) async fn serve<S>(stream: S, pages: Pages, limits: &Limits, mut stop: Stop)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = service_fn(move |mut request: hyper::Request<Incoming>| {
        pages.mark(&mut request);
        pages.clone().answer(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.http_head_time)
        .max_buf_size(limits.http_head_bytes)
        .serve_connection(TokioIo::new(stream), router);
    let mut connection = std::pin::pin!(connection);
    // Errors of a connection concern the client alone, who has seen them.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.wait() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    shared.counters.http_requests.fetch_add(1, Relaxed);
    next.run(request).await
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    match &shared.handle.status().problem {
        None => "ok\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let mut page = shared.counters.page(shared.handle.board());
    let waiting = shared.handle.room().taken() as u64;
    gauge(&mut page, "jangada_answer_bytes", "Bytes of answers that wait for clients to read them.", waiting);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    axum::Json(&*shared.handle.status()).into_response()
}

/// How much of the recorder is given if nobody says.
const USUAL_SPAN_MS: u64 = 5_000;

async fn records(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = request.uri().query().unwrap_or_default();
    let millis = match asked.strip_prefix("last_ms=") {
        Some(number) => number.parse::<u64>().ok(),
        None => asked.is_empty().then_some(USUAL_SPAN_MS),
    };
    let Some(millis) = millis else {
        return (StatusCode::BAD_REQUEST, "?last_ms=N is all that can be asked\n").into_response();
    };
    match shared.handle.board().recorder().last(Duration::from_millis(millis)) {
        Some(excerpt) => {
            let headers = [
                ("content-type", "application/x-ndjson".to_owned()),
                ("jangada-time-ns", excerpt.now.0.to_string()),
            ];
            (headers, excerpt.lines).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "somebody else is being given them\n").into_response(),
    }
}

async fn unknown() -> Response {
    let pages = "no such page; there are /livez, /readyz, /health, /version, /metrics, /status, /debug/records, \
                 /debug/news, /console/, /kv/KEY, and POST /members, /transfer, /v3/…\n";
    (StatusCode::NOT_FOUND, pages).into_response()
}
