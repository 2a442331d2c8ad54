//! etcd's calls as JSON: `POST /v3/...`.
//!
//! etcd lets the pages of any origin call it. Here a page may only if this server itself has served it: while
//! nobody has to log in, whoever visits a web page would otherwise lend it their cluster.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use jangada_etcd::{Gateway, gateway};
use serde_json::json;

use super::origin;
use crate::etcd::Seam;
use crate::front::Shared;

/// What a call needs.
#[derive(Clone)]
struct Door {
    shared: Arc<Shared>,
    gateway: Gateway<Seam>,
}

/// The paths of the gateway.
pub(super) fn router(shared: Arc<Shared>, services: jangada_etcd::Services<Seam>) -> Router {
    let gateway = Gateway::new(services, shared.limits.http_head_time);
    Router::new()
        .route(&format!("{}{{*call}}", gateway::PREFIX), any(call))
        .route(&format!("{}{{*call}}", gateway::OLD_PREFIX), any(call))
        .with_state(Door { shared, gateway })
}

async fn call(State(door): State<Door>, request: Request) -> Response {
    if let Err(why) = origin::check(request.headers(), &door.shared.client_addr) {
        // etcd's shape of an error, with gRPC's number for a permission denied.
        return (StatusCode::FORBIDDEN, Json(json!({ "error": why, "message": why, "code": 7 })))
            .into_response();
    }
    door.gateway.answer(request).await.map(Body::new)
}
