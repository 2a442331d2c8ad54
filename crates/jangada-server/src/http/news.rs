//! What the console shows of each member: its status, and what has happened there since it was last asked.
//!
//! The page asks its own server for each member by itself, so that one that is dead delays nobody; its own server asks the
//! member. A browser need not reach the others, nor be allowed to, and no page of one server reads another one's answers.
//! All of it is bounded: questions under way, their time, the bytes and the records of an answer (`limits.rs`).
//!
//! An answer is JSON lines. The first one is `{"start": …, "now_ns": …, "status": …}`: which start of the server this is,
//! what its clock shows, and its status. Then come records (docs/events.md): those after the one that the page has, of
//! which only the latest are given if there are many; the numbers that are missing show it. Of a member that cannot be asked
//! the page gets one line, `{"silent": why}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::timeout;

use super::{asking, console};
use crate::front::Shared;

/// This server's own.
pub(super) async fn own(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let recorder = shared.handle.board().recorder();
    let (mut start, mut after) = ("", 0);
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').map(|(name, value)| (name, value, value.parse())) {
            Some(("start", value, _)) => start = value,
            Some(("after", _, Ok(number))) => after = number,
            _ => return misunderstood(),
        }
    }
    // Another start has counted anew: all that this one has recorded is news.
    if start != recorder.start() {
        after = 0;
    }
    let excerpt = recorder.after(after, shared.limits.console_records);
    let status = shared.handle.status();
    let first = json!({"start": recorder.start(), "now_ns": excerpt.now.0, "status": &*status});
    lines(format!("{first}\n{}", excerpt.lines))
}

/// A member's, whoever it is.
pub(super) async fn of_member(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = console::refusal(&shared, &headers) {
        return refusal;
    }
    let status = shared.handle.status();
    if name == status.name {
        return own(State(shared), uri).await;
    }
    let Some(member) = status.membership.members.iter().find(|member| member.name == name) else {
        return (StatusCode::NOT_FOUND, "there is no such member\n").into_response();
    };
    if member.client_addr.is_empty() {
        return silent("it has not said yet where its clients connect");
    }
    let Ok(_question) = Arc::clone(&shared.questions).try_acquire_owned() else {
        return silent("too many ask for other members already");
    };
    let query = uri.query().unwrap_or_default();
    let asked =
        timeout(shared.limits.console_time, ask(&member.client_addr, query, shared.limits.console_bytes));
    match asked.await {
        Ok(Ok(text)) => lines(text),
        Ok(Err(why)) => silent(&why),
        Err(_) => silent("it does not answer"),
    }
}

/// Asks a member for its news.
async fn ask(address: &str, query: &str, most_bytes: usize) -> Result<String, String> {
    let request = Request::get(format!("/debug/news?{query}")).header(header::HOST, address);
    let request = request.body(Body::empty()).map_err(|why| why.to_string())?;
    match asking::send(address, request, most_bytes).await? {
        (StatusCode::OK, text) => Ok(text),
        (status, _) => Err(format!("it answers {status}")),
    }
}

fn lines(text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    (headers, text).into_response()
}

/// The page is told in words: an error of HTTP would stand in the browser's console as one of the page.
fn silent(why: &str) -> Response {
    lines(json!({"silent": why}).to_string())
}

fn misunderstood() -> Response {
    (StatusCode::BAD_REQUEST, "?start=START&after=N is all that can be asked\n").into_response()
}
