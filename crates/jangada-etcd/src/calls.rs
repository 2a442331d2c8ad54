//! Which calls there are, how often each has begun and ended, with which code, and how long it took: what
//! `grpc_server_started_total`, `grpc_server_handled_total` and `grpc_server_handling_seconds` say.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Instant;

use http_body::Frame;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Response};
use tonic::codegen::{Body as HttpBody, Bytes};

use crate::histogram::Histogram;

/// How many messages go each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One and one.
    Unary,
    /// One, and many answers.
    ServerStream,
    /// Many and many.
    BidiStream,
}

impl Shape {
    /// The word of the label `grpc_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Shape::Unary => "unary",
            Shape::ServerStream => "server_stream",
            Shape::BidiStream => "bidi_stream",
        }
    }
}

/// All services with their calls.
const SERVICES: [(&str, &[(&str, Shape)]); 8] = {
    use Shape::{BidiStream, ServerStream, Unary};
    [
        (
            "etcdserverpb.KV",
            &[("Range", Unary), ("Put", Unary), ("DeleteRange", Unary), ("Txn", Unary), ("Compact", Unary)],
        ),
        ("etcdserverpb.Watch", &[("Watch", BidiStream)]),
        (
            "etcdserverpb.Lease",
            &[
                ("LeaseGrant", Unary),
                ("LeaseRevoke", Unary),
                ("LeaseKeepAlive", BidiStream),
                ("LeaseTimeToLive", Unary),
                ("LeaseLeases", Unary),
            ],
        ),
        (
            "etcdserverpb.Cluster",
            &[
                ("MemberAdd", Unary),
                ("MemberRemove", Unary),
                ("MemberUpdate", Unary),
                ("MemberList", Unary),
                ("MemberPromote", Unary),
            ],
        ),
        (
            "etcdserverpb.Maintenance",
            &[
                ("Alarm", Unary),
                ("Status", Unary),
                ("Defragment", Unary),
                ("Hash", Unary),
                ("HashKV", Unary),
                ("Snapshot", ServerStream),
                ("MoveLeader", Unary),
                ("Downgrade", Unary),
            ],
        ),
        (
            "etcdserverpb.Auth",
            &[
                ("AuthEnable", Unary),
                ("AuthDisable", Unary),
                ("AuthStatus", Unary),
                ("Authenticate", Unary),
                ("UserAdd", Unary),
                ("UserGet", Unary),
                ("UserList", Unary),
                ("UserDelete", Unary),
                ("UserChangePassword", Unary),
                ("UserGrantRole", Unary),
                ("UserRevokeRole", Unary),
                ("RoleAdd", Unary),
                ("RoleGet", Unary),
                ("RoleList", Unary),
                ("RoleDelete", Unary),
                ("RoleGrantPermission", Unary),
                ("RoleRevokePermission", Unary),
            ],
        ),
        ("v3lockpb.Lock", &[("Lock", Unary), ("Unlock", Unary)]),
        (
            "v3electionpb.Election",
            &[
                ("Campaign", Unary),
                ("Proclaim", Unary),
                ("Leader", Unary),
                ("Observe", ServerStream),
                ("Resign", Unary),
            ],
        ),
    ]
};

/// How many calls there are.
const CALLS: usize = 48;
/// How many codes there are.
const CODES: usize = 17;
/// What the codes are called in labels, by their numbers.
const CODE_NAMES: [&str; CODES] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// How often each call has begun and ended.
#[derive(Debug)]
pub struct CallCounts([Count; CALLS]);

#[derive(Debug)]
struct Count {
    started: AtomicU64,
    handled: [AtomicU64; CODES],
    times: Histogram,
}

/// What is known of one call.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Its service.
    pub service: &'static str,
    /// Its name.
    pub method: &'static str,
    /// How many messages go each way.
    pub shape: Shape,
    /// How often it has begun.
    pub started: u64,
    /// How often it has ended, by code: those that were met, and OK.
    handled: [u64; CODES],
    /// How long it took from its beginning to its end, a stream's included.
    pub times: &'a Histogram,
}

impl Default for CallCounts {
    fn default() -> CallCounts {
        let count = || Count {
            started: AtomicU64::new(0),
            handled: [const { AtomicU64::new(0) }; CODES],
            times: Histogram::default(),
        };
        CallCounts(std::array::from_fn(|_| count()))
    }
}

impl CallCounts {
    /// A call has come.
    pub(crate) fn begin(self: &Arc<Self>, path: &str) -> Option<Underway> {
        let (place, shape) = find(path)?;
        self.0[place].started.fetch_add(1, Relaxed);
        Some(Underway {
            counts: Arc::clone(self),
            place,
            shape,
            code: Code::Cancelled,
            begun: Instant::now(),
        })
    }

    /// All calls, in the order of their services.
    pub fn all(&self) -> impl Iterator<Item = Told<'_>> {
        let calls =
            SERVICES.iter().flat_map(|(service, calls)| calls.iter().map(move |call| (*service, *call)));
        calls.zip(&self.0).map(|((service, (method, shape)), count)| Told {
            service,
            method,
            shape,
            started: count.started.load(Relaxed),
            handled: std::array::from_fn(|code| count.handled[code].load(Relaxed)),
            times: &count.times,
        })
    }
}

impl Told<'_> {
    /// The codes with which it has ended, by name, and how often. OK is always there.
    pub fn handled(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CODE_NAMES.into_iter().zip(self.handled).filter(|&(name, count)| count > 0 || name == "OK")
    }
}

/// The place of a call in the table, by its path.
fn find(path: &str) -> Option<(usize, Shape)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let mut first = 0;
    for (name, calls) in SERVICES {
        if name == service {
            let at = calls.iter().position(|(name, _)| *name == method)?;
            return Some((first + at, calls[at].1));
        }
        first += calls.len();
    }
    None
}

/// A call under way. When it is dropped it has ended; if nobody has said how, its client has gone away.
#[derive(Debug)]
pub(crate) struct Underway {
    counts: Arc<CallCounts>,
    place: usize,
    shape: Shape,
    code: Code,
    begun: Instant,
}

impl Underway {
    /// Notes how a call went that has been answered. A stream goes on: it is followed to its end.
    pub(crate) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        match (code(response.headers()), self.shape) {
            (Some(code), _) => self.code = code,
            (None, Shape::Unary) => self.code = Code::Ok,
            (None, Shape::ServerStream | Shape::BidiStream) => {
                return response.map(|inner| Body::new(Followed { inner, call: self }));
            }
        }
        response
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let code = usize::try_from(i32::from(self.code)).unwrap_or_default();
        let count = &self.counts.0[self.place];
        if let Some(handled) = count.handled.get(code) {
            handled.fetch_add(1, Relaxed);
        }
        count.times.observe(self.begun.elapsed());
    }
}

/// The code that headers or trailers say.
fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// The answers of a stream.
struct Followed {
    inner: Body,
    call: Underway,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(code) = frame.trailers_ref().and_then(code)
        {
            self.call.code = code;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_a_place_of_its_own() {
        let counts = Arc::new(CallCounts::default());
        assert_eq!(counts.all().count(), CALLS);
        for told in counts.all() {
            assert!(told.times.is_empty());
            drop(counts.begin(&format!("/{}/{}", told.service, told.method)).unwrap());
        }
        for told in counts.all() {
            assert_eq!(told.started, 1, "{told:?}");
            let handled: Vec<_> = told.handled().collect();
            assert_eq!(handled, [("OK", 0), ("Canceled", 1)], "nobody has said how it went");
            assert!(!told.times.is_empty());
        }
        assert!(counts.begin("/etcdserverpb.KV/Nothing").is_none());
        assert!(counts.begin("/nobody").is_none());
    }
}
