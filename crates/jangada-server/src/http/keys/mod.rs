//! Keys over plain HTTP, without base64: `curl host:2379/kv/colour`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /kv/KEY` | the value as it is; its `ETag` is the revision that wrote it |
//! | `GET /kv/START?prefix` | the keys that begin so, a line each; as `application/json` whole entries |
//! | `GET /kv/KEY?watch` | server-sent events: what happens to it from now on, or after `Last-Event-ID` ([`watch`]) |
//! | `PUT /kv/KEY` | the body becomes its value, under a lease with `?lease=ID`; the answer is the revision |
//! | `DELETE /kv/KEY` | the key goes; the answer is how many went |
//!
//! `If-Match: "7"` and `If-None-Match: *` make a write depend on the revision that wrote the key last. A key is what
//! stands in the path, percent-encoded where it must be. All this goes through etcd's services, so their checks hold.

mod entry; // a key and its value as JSON or text
mod options; // what stands behind the question mark
mod precondition; // If-Match and If-None-Match
mod watch; // events as they happen

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::kv_client::KvClient;
use jangada_etcd::{Services, error, gateway};
use tonic::{Request as Call, Status};

use super::origin;
use crate::etcd::Seam;
use crate::front::Shared;
use options::Options;
use precondition::Precondition;

/// Where all keys are.
const PREFIX: &str = "/kv/";

/// What a request that reads knows.
const BESIDE_LEASES: [&str; 5] = ["prefix", "watch", "serializable", "revision", "limit"];

/// No browser may take what somebody wrote for a page.
const NO_PAGE: [(&str, &str); 1] = [("x-content-type-options", "nosniff")];

/// What a request needs.
#[derive(Clone)]
struct Door {
    shared: Arc<Shared>,
    services: Services<Seam>,
}

/// The pages of all keys.
pub(super) fn router(shared: Arc<Shared>, services: Services<Seam>) -> Router {
    Router::new()
        .route(PREFIX, any(answer))
        .route("/kv/{*key}", any(answer))
        .with_state(Door { shared, services })
}

async fn answer(State(door): State<Door>, request: Request) -> Response {
    let client_addr = &door.shared.client_addr;
    if let Err(why) = origin::check(request.headers(), client_addr)
        .and(origin::check_reader(request.headers(), client_addr))
    {
        return text(StatusCode::FORBIDDEN, why);
    }
    let asked = match Asked::of(&request) {
        Ok(asked) => asked,
        Err(why) => return text(StatusCode::BAD_REQUEST, &why),
    };
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if let Some(option) = asked.options.beyond(&BESIDE_LEASES).filter(|_| reads) {
        return text(StatusCode::BAD_REQUEST, &format!("GET knows no ?{option}"));
    }
    let done = match *request.method() {
        Method::GET | Method::HEAD if asked.options.watch => {
            watch::start(&door, asked, request.headers()).await
        }
        Method::GET | Method::HEAD if asked.options.prefix => door.list(asked, request.headers()).await,
        Method::GET | Method::HEAD => door.get(asked, request.headers()).await,
        Method::PUT => door.put(asked, request).await,
        Method::DELETE => door.delete(asked, request.headers()).await,
        _ => {
            let allowed = [(header::ALLOW, "GET, HEAD, PUT, DELETE")];
            return (StatusCode::METHOD_NOT_ALLOWED, allowed, "GET, PUT or DELETE\n").into_response();
        }
    };
    done.unwrap_or_else(|status| refused(&status))
}

/// What a request is about.
struct Asked {
    key: Bytes,
    options: Options,
}

impl Asked {
    fn of(request: &Request) -> Result<Asked, String> {
        let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
        let key = Bytes::from_owner(percent_encoding::percent_decode_str(path).collect::<Vec<u8>>());
        if has_broken_escape(path.as_bytes()) {
            return Err("two hexadecimal digits belong behind %, which itself is %25".to_owned());
        }
        let options = Options::parse(request.uri().query().unwrap_or_default())?;
        if key.is_empty() && !options.prefix {
            return Err("which key? /kv/KEY, or /kv/?prefix for all of them".to_owned());
        }
        Ok(Asked { key, options })
    }

    /// The end of the range that is meant; empty for the key alone.
    fn range_end(&self) -> Bytes {
        match self.options.prefix {
            false => Bytes::new(),
            true => end_of_prefix(&self.key),
        }
    }

    /// The range that is meant, of which etcd calls the one with all keys `\0` to `\0`.
    fn range(&self) -> pb::RangeRequest {
        pb::RangeRequest {
            key: if self.key.is_empty() { Bytes::from_static(b"\0") } else { self.key.clone() },
            range_end: self.range_end(),
            limit: self.options.limit,
            revision: self.options.revision,
            serializable: self.options.serializable,
            ..pb::RangeRequest::default()
        }
    }
}

impl Door {
    fn kv(&self) -> KvClient<Services<Seam>> {
        // How long an answer may be, the services see to.
        KvClient::new(self.services.clone()).max_decoding_message_size(usize::MAX)
    }

    async fn get(&self, asked: Asked, headers: &HeaderMap) -> Result<Response, Status> {
        let answer = self.kv().range(call(headers, asked.range())).await?.into_inner();
        let Some(kv) = answer.kvs.into_iter().next() else {
            return Ok(text(StatusCode::NOT_FOUND, "no such key"));
        };
        let etag = etag(kv.mod_revision);
        let status = match Precondition::of(headers) {
            Ok(None) => StatusCode::OK,
            Ok(Some(precondition)) if precondition.is_met_by(kv.mod_revision) => StatusCode::OK,
            Ok(Some(Precondition::Absent | Precondition::Not(_))) => StatusCode::NOT_MODIFIED,
            Ok(Some(Precondition::Present | Precondition::Is(_))) => StatusCode::PRECONDITION_FAILED,
            Err(why) => return Ok(text(StatusCode::BAD_REQUEST, why)),
        };
        let head = [(header::ETAG, etag), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
        let value = if status == StatusCode::OK { kv.value } else { Bytes::new() };
        let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
        Ok((status, head, kind, NO_PAGE, value).into_response())
    }

    async fn list(&self, asked: Asked, headers: &HeaderMap) -> Result<Response, Status> {
        let as_json = headers.get(header::ACCEPT).is_some_and(|kind| kind.as_bytes() == b"application/json");
        let range = pb::RangeRequest { keys_only: !as_json, ..asked.range() };
        let answer = self.kv().range(call(headers, range)).await?.into_inner();
        let more = [("jangada-more", if answer.more { "true" } else { "false" })];
        if as_json {
            let entries: Vec<_> = answer.kvs.iter().map(entry::json).collect();
            return Ok((more, NO_PAGE, axum::Json(entries)).into_response());
        }
        let lines: String = answer.kvs.iter().map(|kv| entry::path(&kv.key) + "\n").collect();
        Ok((more, NO_PAGE, lines).into_response())
    }

    async fn put(&self, asked: Asked, request: Request) -> Result<Response, Status> {
        if asked.options.prefix {
            return Ok(text(StatusCode::BAD_REQUEST, "a value is put to one key, not to all that begin so"));
        }
        if let Some(option) = asked.options.beyond(&["lease"]) {
            let why = format!("PUT knows no ?{option}, but ?lease=ID alone: nothing was put");
            return Ok(text(StatusCode::BAD_REQUEST, &why));
        }
        let (head, body) = request.into_parts();
        let value = match self.body(body).await {
            Ok(value) => value,
            Err((status, why)) => return Ok(text(status, &why)),
        };
        let lease = asked.options.lease;
        let put = pb::PutRequest { key: asked.key.clone(), value, lease, ..pb::PutRequest::default() };
        let revision = match Precondition::of(&head.headers) {
            Err(why) => return Ok(text(StatusCode::BAD_REQUEST, why)),
            Ok(None) => self.kv().put(call(&head.headers, put)).await?.into_inner().header,
            Ok(Some(precondition)) => {
                let txn = precondition.before(asked.key, pb::request_op::Request::RequestPut(put));
                let answer = self.kv().txn(call(&head.headers, txn)).await?.into_inner();
                if !answer.succeeded {
                    return Ok(precondition::failed(answer));
                }
                answer.header
            }
        };
        let revision = revision.map_or(0, |header| header.revision);
        Ok(([(header::ETAG, etag(revision))], format!("{revision}\n")).into_response())
    }

    async fn delete(&self, asked: Asked, headers: &HeaderMap) -> Result<Response, Status> {
        if let Some(option) = asked.options.beyond(&["prefix"]) {
            let why = format!("DELETE knows no ?{option}, but ?prefix alone: nothing was deleted");
            return Ok(text(StatusCode::BAD_REQUEST, &why));
        }
        let range = asked.range();
        let delete = pb::DeleteRangeRequest { key: range.key, range_end: range.range_end, prev_kv: false };
        let deleted = match Precondition::of(headers) {
            Err(why) => return Ok(text(StatusCode::BAD_REQUEST, why)),
            Ok(Some(_)) if asked.options.prefix => {
                return Ok(text(
                    StatusCode::BAD_REQUEST,
                    "If-Match is about one key, not about all that begin so",
                ));
            }
            Ok(None) => self.kv().delete_range(call(headers, delete)).await?.into_inner().deleted,
            Ok(Some(precondition)) => {
                let delete = pb::request_op::Request::RequestDeleteRange(delete);
                let txn = precondition.before(asked.key, delete);
                let answer = self.kv().txn(call(headers, txn)).await?.into_inner();
                if !answer.succeeded {
                    return Ok(precondition::failed(answer));
                }
                precondition::deleted(&answer)
            }
        };
        let status =
            if deleted == 0 && !asked.options.prefix { StatusCode::NOT_FOUND } else { StatusCode::OK };
        Ok((status, format!("{deleted}\n")).into_response())
    }

    /// The body of a request, as long as a value may be.
    async fn body(&self, body: Body) -> Result<Bytes, (StatusCode, String)> {
        let limits = &self.shared.limits;
        let reading = to_bytes(body, limits.request_bytes);
        match tokio::time::timeout(limits.http_head_time, reading).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if std::error::Error::source(&error).is_some_and(is_too_long) => {
                let why = format!("a value may have {} bytes", limits.request_bytes);
                Err((StatusCode::PAYLOAD_TOO_LARGE, why))
            }
            Ok(Err(error)) => Err((StatusCode::BAD_REQUEST, format!("no body: {error}"))),
            Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".to_owned())),
        }
    }
}

fn is_too_long(source: &(dyn std::error::Error + 'static)) -> bool {
    source.is::<http_body_util::LengthLimitError>()
}

/// Whether a `%` stands somewhere that names no byte.
fn has_broken_escape(path: &[u8]) -> bool {
    let names_byte = |rest: &[u8]| rest.iter().take(2).filter(|digit| digit.is_ascii_hexdigit()).count() == 2;
    path.iter().enumerate().any(|(at, byte)| *byte == b'%' && !names_byte(&path[at + 1..]))
}

/// The first key behind all that begin with this one; `\0`, which is behind all keys, if there is none.
fn end_of_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

/// A call of etcd's API by whoever sent the request.
fn call<T>(headers: &HeaderMap, message: T) -> Call<T> {
    let mut call = Call::new(message);
    let token = headers.get(header::AUTHORIZATION).and_then(|token| token.to_str().ok());
    if let Some(token) = token.and_then(|token| token.parse().ok()) {
        call.metadata_mut().insert("authorization", token);
    }
    call
}

fn etag(revision: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).expect("digits between quotes")
}

/// A sentence as a line.
fn text(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

fn refused(status: &Status) -> Response {
    if status.message() == error::NO_SPACE.text {
        // The text is for programs that know etcd; the code is HTTP's own for it.
        let why = format!("{}; delete something, or raise --quota-backend-bytes", status.message());
        return text(StatusCode::INSUFFICIENT_STORAGE, &why);
    }
    if status.message() == error::TOO_MANY_REQUESTS.text {
        // It is the server who has too much to do, not this client who asks too often.
        return text(StatusCode::SERVICE_UNAVAILABLE, status.message());
    }
    if status.message() == error::USER_EMPTY.text {
        // Of etcd's gateway this is a wrong argument. Here it is HTTP: who asks is to say who it is.
        return text(StatusCode::UNAUTHORIZED, status.message());
    }
    text(gateway::http_status(status.code()), status.message())
}
