//! The requests that change the cluster: `POST /members`, `POST /members/change` and `POST /transfer`.
//!
//! An error is JSON, too: `{"error": sentence, "kind": word, "leader_client_addr": address or null}`; where a program
//! may want to know the reason of a refusal it has a `reason`, too ([`MemberRefusal`](crate::handle::MemberRefusal)).
//!
//! | status | kind | meaning |
//! |---|---|---|
//! | 400 | `refused` | the request cannot be understood |
//! | 401 | `refused` | auth is on, and no token was shown, or one that is not valid |
//! | 403 | `refused` | a page of another origin sent it, or a user who may not manage the cluster |
//! | 409 | `refused` | impossible or dangerous; nothing changed |
//! | 415 | `refused` | it is not declared as `application/json` |
//! | 421 | `not_leader` | ask the leader |
//! | 503 | `no_quorum` | no majority can be reached; nothing changed |
//! | 504 | `deadline`, `unknown_outcome` | not done in time; it may still come true: ask for the status |

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jangada_etcd::auth;
use jangada_kv::Caller;
use serde::de::DeserializeOwned;
use serde_json::json;
use tonic::Code;

use super::origin;
use crate::etcd::Seam;
use crate::front::Shared;
use crate::handle::{AdminAnswer, AdminError, AdminRequest};

/// The longest that a request may ask us to wait.
const MAX_TIMEOUT_MS: u64 = 60_000;

/// How much later than asked we stop waiting for the replica, which should have given up by itself.
const GRACE: Duration = Duration::from_secs(2);

pub(super) async fn change_members(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match body(&shared, request).await {
        Ok(change) => ask(&shared, AdminRequest::ChangeMembers(change)).await,
        Err(response) => response,
    }
}

pub(super) async fn change_member(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match body(&shared, request).await {
        Ok(change) => ask(&shared, AdminRequest::ChangeMember(change)).await,
        Err(response) => response,
    }
}

pub(super) async fn transfer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match body(&shared, request).await {
        Ok(transfer) => ask(&shared, AdminRequest::Transfer(transfer)).await,
        Err(response) => response,
    }
}

/// The request's body, if it may be sent and can be understood.
async fn body<T: DeserializeOwned>(shared: &Arc<Shared>, request: Request) -> Result<T, Response> {
    if let Err(why) = origin::check(request.headers(), &shared.client_addr) {
        return Err(refused(StatusCode::FORBIDDEN, why));
    }
    check_user(shared, request.headers()).await?;
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = declared.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let why = "the body must be declared as Content-Type: application/json";
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let reading = to_bytes(request.into_body(), shared.limits.http_body_bytes);
    let bytes = match tokio::time::timeout(shared.limits.http_head_time, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(refused(StatusCode::BAD_REQUEST, &format!("no body: {error}"))),
        Err(_) => return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, &format!("the body cannot be understood: {error}")))
}

/// While auth is on, whoever changes the cluster must have the role root, and shows a token, as to etcd's JSON calls.
async fn check_user(shared: &Arc<Shared>, headers: &HeaderMap) -> Result<(), Response> {
    let token = headers.get(header::AUTHORIZATION);
    let caller = token.map_or(Caller::Nobody, |token| Caller::Token(auth::digest(token.as_bytes())));
    let Err(status) = auth::may_manage(&Seam::new(Arc::clone(shared)), &caller).await else { return Ok(()) };
    let why = match status.code() {
        Code::PermissionDenied => "only a user with the role root may change the cluster",
        Code::InvalidArgument | Code::Unauthenticated => {
            "auth is on: show a token of a user with the role root as Authorization"
        }
        _ => status.message(),
    };
    let http = match status.code() {
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::InvalidArgument | Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Err(refused(http, why))
}

async fn ask(shared: &Shared, request: AdminRequest) -> Response {
    match in_time(shared, request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => failed(error),
    }
}

/// Asks the replica, which should give up by itself if it takes too long.
pub(crate) async fn in_time(shared: &Shared, mut request: AdminRequest) -> Result<AdminAnswer, AdminError> {
    let timeout_ms = match &mut request {
        AdminRequest::ChangeMembers(change) => Some(&mut change.timeout_ms),
        AdminRequest::Transfer(transfer) => Some(&mut transfer.timeout_ms),
        AdminRequest::ChangeMember(change) => Some(&mut change.timeout_ms),
        AdminRequest::ListMembers => None,
    };
    let asked = timeout_ms.map(|timeout_ms| {
        *timeout_ms = (*timeout_ms).min(MAX_TIMEOUT_MS);
        Duration::from_millis(*timeout_ms)
    });
    let patience = asked.unwrap_or_default() + GRACE;
    tokio::time::timeout(patience, shared.handle.admin(request)).await.unwrap_or_else(|_| {
        Err(AdminError::Deadline(
            "this server did not answer in time; the change may still come true: ask for the status"
                .to_owned(),
        ))
    })
}

fn failed(error: AdminError) -> Response {
    if let AdminError::Member(refusal) = error {
        let why = refusal.to_string();
        let told = json!({ "error": why, "kind": "refused", "reason": refusal, "leader_client_addr": null });
        return (StatusCode::CONFLICT, Json(told)).into_response();
    }
    let (status, kind, why, leader) = match error {
        AdminError::Refused(why) => (StatusCode::CONFLICT, "refused", why, None),
        AdminError::Member(refusal) => (StatusCode::CONFLICT, "refused", refusal.to_string(), None),
        AdminError::NotLeader { why, leader_client_addr } => {
            (StatusCode::MISDIRECTED_REQUEST, "not_leader", why, leader_client_addr)
        }
        AdminError::NoQuorum(why) => (StatusCode::SERVICE_UNAVAILABLE, "no_quorum", why, None),
        AdminError::OutcomeUnknown(why) => (StatusCode::GATEWAY_TIMEOUT, "unknown_outcome", why, None),
        AdminError::Deadline(why) => (StatusCode::GATEWAY_TIMEOUT, "deadline", why, None),
    };
    (status, Json(json!({ "error": why, "kind": kind, "leader_client_addr": leader }))).into_response()
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why, "kind": "refused", "leader_client_addr": null }))).into_response()
}
