//! `/health` and `/version`, as etcd's clients, dashboards and test rigs know them.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jangada_etcd::{SPOKEN_CLUSTER_VERSION, SPOKEN_VERSION};
use jangada_kv::{AlarmRequest, Caller, KeyRange, RangeRequest, Request, Response as KvResponse};
use serde::Serialize;

use crate::front::Shared;
use crate::handle::{BatchItem, Kind};
use crate::status::{AlarmName, AlarmStatus};

/// The state of health; a truth value in quotation marks, as etcd writes it.
#[derive(Serialize)]
struct Health {
    health: &'static str,
    reason: String,
}

/// What etcd this is like.
#[derive(Serialize)]
struct Version {
    etcdserver: &'static str,
    etcdcluster: &'static str,
}

/// Healthy is who can answer a read, with `?serializable=true` by itself, else for the cluster, while no alarm stands but
/// those named by `?exclude=NOSPACE`.
pub(super) async fn health(State(shared): State<Arc<Shared>>, RawQuery(asked): RawQuery) -> Response {
    let asked = asked.unwrap_or_default();
    let alone = asked.split('&').any(|part| part == "serializable=true");
    let excluded: Vec<&str> = asked.split('&').filter_map(|part| part.strip_prefix("exclude=")).collect();
    if let Some(alarm) = alarm(&shared, &excluded).await {
        return sick(format!("ALARM {}", alarm.as_str()));
    }
    if !alone && shared.handle.status().leader.is_none() {
        return sick("RAFT NO LEADER".to_owned());
    }
    // By itself it is well: what its store lacks since it started, others have to tell it.
    if alone && !shared.handle.board().is_caught_up() {
        return well();
    }
    let nothing = RangeRequest { count_only: true, ..RangeRequest::new(KeyRange::One("health".into())) };
    // Whoever wants to know whether it is healthy need not be anybody.
    let read = BatchItem::Read(Caller::Server.asks(Request::Range(Box::new(nothing))));
    let kind = if alone { Kind::Local } else { Kind::Read };
    let answers = shared.handle.submit(kind, vec![read], shared.limits.request_time).await;
    match answers.into_iter().find_map(Result::err) {
        None => well(),
        Some(why) => sick(format!("QGET ERROR:{why}")),
    }
}

/// The first alarm that counts, as this member knows it.
async fn alarm(shared: &Shared, excluded: &[&str]) -> Option<AlarmName> {
    let list = BatchItem::Read(Request::Alarm(AlarmRequest::List));
    let answers = shared.handle.submit(Kind::Local, vec![list], shared.limits.request_time).await;
    let Some(Ok(KvResponse::Alarm(listed))) = answers.into_iter().next() else { return None };
    let names = listed.alarms.into_iter().map(|alarm| AlarmStatus::from(alarm).alarm);
    names.into_iter().find(|name| !excluded.contains(&name.as_str()))
}

pub(super) async fn version() -> Response {
    let version = Version { etcdserver: SPOKEN_VERSION, etcdcluster: SPOKEN_CLUSTER_VERSION };
    axum::Json(version).into_response()
}

fn well() -> Response {
    axum::Json(Health { health: "true", reason: String::new() }).into_response()
}

fn sick(reason: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(Health { health: "false", reason })).into_response()
}
