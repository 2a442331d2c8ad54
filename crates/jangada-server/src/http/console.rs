//! The page under `/console/`: files that the binary brings along. It reads what `news.rs` gives, and can change nothing.
//!
//! A name that somebody points at this machine does not get it: what it shows would then be readable by that name's
//! owner.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::origin;
use crate::config::ConsoleFile;
use crate::front::Shared;

/// The page may load its own files, ask its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, in the language that the address names (`?lang=pt`), or else in the first of those that the browser asks for
/// that there is one in.
pub(super) async fn index(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response {
    let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let wanted = named(uri.query().unwrap_or_default()).or(wanted).unwrap_or_default();
    let mut page = answer(&shared, &headers, in_language(shared.console, wanted));
    page.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-language"));
    page
}

/// What an address says of languages.
fn named(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("lang="))
}

/// The page in the first of these languages that is there: `pt.html` is that in Portuguese, the first file of all the one
/// in English, which is also for those who ask for neither.
fn in_language<'a>(files: &'a [ConsoleFile], wanted: &str) -> Option<&'a ConsoleFile> {
    let languages = wanted.split(',').filter_map(|language| language.split([';', '-', '_']).next());
    let mut pages = languages.map(str::trim).filter_map(|language| match language {
        "en" => files.first(),
        other => files.iter().find(|file| file.name.strip_suffix(".html") == Some(other)),
    });
    pages.next().or(files.first())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_speaks_what_is_wanted_first_of_what_there_is() {
        let file = |name| ConsoleFile { name, content_type: "text/html", text: "" };
        let files = [file("console.html"), file("pt.html"), file("pt.console.js")];
        for (wanted, page) in [
            ("", "console.html"),
            ("pt", "pt.html"),
            ("pt-BR,pt;q=0.9,en;q=0.8", "pt.html"),
            ("en-US,en;q=0.9,pt;q=0.8", "console.html"),
            ("de-DE, de;q=0.9, pt;q=0.5", "pt.html"),
            ("de", "console.html"),
            ("console", "console.html"),
            ("pt.console", "console.html"),
        ] {
            assert_eq!(in_language(&files, wanted).unwrap().name, page, "{wanted}");
        }
        assert_eq!(named("a=b&lang=pt"), Some("pt"));
        assert_eq!(named("language=pt"), None);
        assert!(in_language(&[], "pt").is_none());
    }
}
