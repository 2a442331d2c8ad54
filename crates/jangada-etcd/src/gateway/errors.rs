//! What gRPC calls an error, in HTTP's numbers and as JSON.

use serde::Serialize;
use tonic::body::Body;
use tonic::codegen::http::{Response, StatusCode};
use tonic::{Code, Status};

use super::with_json;

/// The error of a call with one answer.
#[derive(Serialize)]
struct Whole<'a> {
    error: &'a str,
    message: &'a str,
    code: i32,
}

/// The last line of a stream that failed.
#[derive(Serialize)]
struct Line<'a> {
    error: LineError<'a>,
}

#[derive(Serialize)]
struct LineError<'a> {
    grpc_code: i32,
    http_code: u16,
    message: &'a str,
    http_status: &'a str,
}

/// The answer that tells of an error.
pub(super) fn whole(status: &Status) -> Response<Body> {
    let message = status.message();
    let json = Whole { error: message, message, code: status.code().into() };
    let json = serde_json::to_vec(&json).expect("strings and numbers can be written");
    with_json(http_status(status.code()), Body::new(http_body_util::Full::from(json)))
}

/// The line that tells of an error.
pub(super) fn line(status: &Status) -> Vec<u8> {
    let http = http_status(status.code());
    let error = LineError {
        grpc_code: status.code().into(),
        http_code: http.as_u16(),
        message: status.message(),
        http_status: http.canonical_reason().unwrap_or_default(),
    };
    let mut line = serde_json::to_vec(&Line { error }).expect("strings and numbers can be written");
    line.push(b'\n');
    line
}

/// What a code is among the statuses of HTTP, as etcd 3.5 maps them.
#[must_use]
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
