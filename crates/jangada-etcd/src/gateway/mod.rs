//! The JSON gateway: etcd's calls as `POST /v3/...` over plain HTTP, for programs without gRPC.
//!
//! It knows no service. A request of JSON becomes the message of a gRPC call, which the very [`Services`] answer that
//! answer clients of gRPC; what they say becomes JSON again. So whatever is served there is served here, with the same
//! checks. Fields are mapped by the messages' descriptors, as proto3's JSON mapping wants it: 64-bit numbers are
//! strings, bytes are base64, what is zero is left out.
//!
//! A call with one answer gives one object. A stream gives a line per message, `{"result": …}`, and if it fails a last
//! one, `{"error": …}`.

mod errors; // codes of gRPC as statuses of HTTP
mod requests; // JSON to messages
mod responses; // messages to JSON
mod routes; // which path is which call

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use prost_reflect::MethodDescriptor;
use tonic::body::Body;
use tonic::codegen::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::{Code, Status};

use crate::auth::ComesFrom;
use crate::backend::Backend;
use crate::router::Services;
pub use errors::http_status;
use requests::Requests;
use responses::{Lines, Messages};

/// Where all paths of the gateway begin.
pub const PREFIX: &str = "/v3/";

/// Where they began before; etcd 3.5 has both.
pub const OLD_PREFIX: &str = "/v3beta/";

/// How many times longer JSON may be than the message that it stands for: base64, quotes, and names of fields.
const JSON_EXPANSION: usize = 2;

/// Headers of this kind are handed to the call, without these letters.
const METADATA_PREFIX: &str = "grpc-metadata-";

/// Calls as JSON over services. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway<B> {
    services: Services<B>,
    request_time: Duration,
}

impl<B: Backend> Gateway<B> {
    /// The calls of `services`; a request must have arrived within `request_time`.
    #[must_use]
    pub fn new(services: Services<B>, request_time: Duration) -> Gateway<B> {
        Gateway { services, request_time }
    }

    /// Answers a request. What is wrong with it is told in the answer.
    pub async fn answer<T>(&self, request: Request<T>) -> Response<Body>
    where
        T: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        T::Error: Into<StdError> + Send,
    {
        let Some((path, method)) = routes::find(request.uri().path()) else {
            return plain(StatusCode::NOT_FOUND, "Not Found\n");
        };
        if request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        }
        let (head, body) = request.into_parts();
        let limit = self.services.message_bytes().saturating_mul(JSON_EXPANSION);
        let mut requests = Requests::new(body, method.clone(), limit);
        let first = match tokio::time::timeout(self.request_time, requests.first()).await {
            Ok(first) => first,
            Err(_) => Err(Status::deadline_exceeded("the request did not arrive in time")),
        };
        if let Err(status) = first {
            return errors::whole(&status);
        }
        let complaint = requests.complaint();
        let mut call = call(path, &head.headers, requests);
        if let Some(from) = head.extensions.get::<ComesFrom>() {
            call.extensions_mut().insert(*from);
        }
        let answer = match self.services.answer(call).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        if method.is_server_streaming() {
            lines(answer, &method, complaint).await
        } else {
            one(answer, &method).await
        }
    }
}

/// What was wrong with a later request of a stream, if anything was.
type Complaint = Arc<Mutex<Option<Status>>>;

/// A call of gRPC with these messages.
fn call<T>(path: &str, headers: &HeaderMap, requests: Requests<T>) -> Request<Requests<T>> {
    let mut call = Request::new(requests);
    *call.method_mut() = Method::POST;
    *call.uri_mut() = path.parse().expect("the paths of the table are paths");
    let carried = call.headers_mut();
    carried.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    for (name, value) in headers {
        if name == header::AUTHORIZATION {
            carried.append(name, value.clone());
        } else if let Some(name) = name.as_str().strip_prefix(METADATA_PREFIX)
            && let Ok(name) = HeaderName::try_from(name)
            // What belongs to gRPC itself is ours to say.
            && !name.as_str().starts_with("grpc-")
            && name != header::CONTENT_TYPE
        {
            carried.append(name, value.clone());
        }
    }
    call
}

/// The answer to a call that has one.
async fn one(answer: Response<Body>, method: &MethodDescriptor) -> Response<Body> {
    let mut messages = Messages::of(answer);
    let message = match messages.next().await {
        Ok(Some(message)) => message,
        Ok(None) => return errors::whole(&Status::internal("the call ended without an answer")),
        Err(status) => return errors::whole(&status),
    };
    // What comes behind the message may still say that the call has failed.
    if let Err(status) = messages.next().await {
        return errors::whole(&status);
    }
    match responses::json(&message, method, responses::Frame::Bare) {
        Ok(json) => with_json(StatusCode::OK, Body::new(http_body_util::Full::from(json))),
        Err(status) => errors::whole(&status),
    }
}

/// The answers to a call that has many. It is not known to have begun well before the first has come.
async fn lines(answer: Response<Body>, method: &MethodDescriptor, complaint: Complaint) -> Response<Body> {
    let mut messages = Messages::of(answer);
    match messages.next().await {
        Ok(first) => {
            let lines = Lines::new(first, messages, method.clone(), complaint);
            with_json(StatusCode::OK, Body::new(lines))
        }
        Err(status) => with_json(
            errors::http_status(status.code()),
            Body::new(http_body_util::Full::from(errors::line(&status))),
        ),
    }
}

fn with_json(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The status for JSON that is no message.
fn malformed(why: impl std::fmt::Display) -> Status {
    Status::new(Code::InvalidArgument, why.to_string())
}
