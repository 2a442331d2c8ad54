//! The page under `/console/`: files that the binary brings along. It reads what `news.rs` gives, and can change nothing.
//!
//! A name that somebody points at this machine does not get it: what it shows would then be readable by that name's
//! owner.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::origin;
use crate::config::ConsoleFile;
use crate::front::Shared;

/// The page may load its own files, ask its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn index(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    answer(&shared, &headers, shared.console.first())
}

pub(super) async fn file(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    answer(&shared, &headers, shared.console.iter().find(|file| file.name == name))
}

fn answer(shared: &Shared, headers: &HeaderMap, file: Option<&ConsoleFile>) -> Response {
    if let Some(refusal) = refusal(shared, headers) {
        return refusal;
    }
    let Some(file) = file else { return (StatusCode::NOT_FOUND, "there is no such file\n").into_response() };
    let guards = [
        (header::CONTENT_TYPE, file.content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (guards, file.text).into_response()
}

/// What the page shows is for who asks for this server, not for a name that somebody else owns.
pub(super) fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    if origin::names_us(headers, &shared.client_addr) {
        return None;
    }
    let why = "this page is shown under the server's own address alone\n";
    Some((StatusCode::FORBIDDEN, why).into_response())
}
