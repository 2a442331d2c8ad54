//! Calls of etcd's API, frames of gRPC in, over a bare store. An input is calls one after the other, on the same store:
//! which one, how, a length, and so many bytes of a message.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use jangada_etcd::GrpcBody;
use tokio::time::timeout;
use tonic::codegen::http::{HeaderMap, Request, Response};

use super::store::restored;
use crate::bare::Bare;
use crate::virtual_time;

/// How long an answer is listened to. Some never end: a watch, a lock that somebody holds.
const LISTENS: Duration = Duration::from_secs(60);

/// Whoever does not wait for a password to be hashed tries many more inputs: those calls are left out.
const CALLS: [&str; 45] = [
    "etcdserverpb.KV/Range",
    "etcdserverpb.KV/Put",
    "etcdserverpb.KV/DeleteRange",
    "etcdserverpb.KV/Txn",
    "etcdserverpb.KV/Compact",
    "etcdserverpb.Watch/Watch",
    "etcdserverpb.Lease/LeaseGrant",
    "etcdserverpb.Lease/LeaseRevoke",
    "etcdserverpb.Lease/LeaseKeepAlive",
    "etcdserverpb.Lease/LeaseTimeToLive",
    "etcdserverpb.Lease/LeaseLeases",
    "etcdserverpb.Cluster/MemberAdd",
    "etcdserverpb.Cluster/MemberRemove",
    "etcdserverpb.Cluster/MemberUpdate",
    "etcdserverpb.Cluster/MemberList",
    "etcdserverpb.Cluster/MemberPromote",
    "etcdserverpb.Maintenance/Alarm",
    "etcdserverpb.Maintenance/Status",
    "etcdserverpb.Maintenance/Defragment",
    "etcdserverpb.Maintenance/Hash",
    "etcdserverpb.Maintenance/HashKV",
    "etcdserverpb.Maintenance/Snapshot",
    "etcdserverpb.Maintenance/MoveLeader",
    "etcdserverpb.Maintenance/Downgrade",
    "etcdserverpb.Auth/AuthEnable",
    "etcdserverpb.Auth/AuthDisable",
    "etcdserverpb.Auth/AuthStatus",
    "etcdserverpb.Auth/UserGet",
    "etcdserverpb.Auth/UserList",
    "etcdserverpb.Auth/UserDelete",
    "etcdserverpb.Auth/UserGrantRole",
    "etcdserverpb.Auth/UserRevokeRole",
    "etcdserverpb.Auth/RoleAdd",
    "etcdserverpb.Auth/RoleGet",
    "etcdserverpb.Auth/RoleList",
    "etcdserverpb.Auth/RoleDelete",
    "etcdserverpb.Auth/RoleGrantPermission",
    "etcdserverpb.Auth/RoleRevokePermission",
    "v3lockpb.Lock/Lock",
    "v3lockpb.Lock/Unlock",
    "v3electionpb.Election/Campaign",
    "v3electionpb.Election/Proclaim",
    "v3electionpb.Election/Leader",
    "v3electionpb.Election/Observe",
    "v3electionpb.Election/Resign",
];

/// How a call is made: bits of its second byte.
const WITH_TOKEN: u8 = 1;
const WANTS_LEADER: u8 = 2;
const SAYS_COMPRESSED: u8 = 4;
const SAYS_LONGER: u8 = 8;
/// The message belongs to the stream of the one before.
const CONTINUES: u8 = 128;

/// One call, ready to be made.
struct Call {
    path: &'static str,
    how: u8,
    body: Vec<u8>,
}

/// Makes the calls, and looks at the store they leave.
pub(crate) fn run(input: &[u8]) {
    virtual_time::run(async {
        let bare = Bare::default();
        for call in calls(input) {
            let answer = timeout(LISTENS, bare.services().answer(call.request())).await;
            // Whoever waits for a lock hears nothing before.
            if let Ok(answer) = answer {
                ends_as_a_call_does(answer.unwrap_or_else(|never| match never {})).await;
            }
        }
        // What the calls have made of the store can be written down and read back.
        restored(&mut bare.store.lock().expect("nobody has panicked"), 1 << 16);
    });
}

fn calls(mut input: &[u8]) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    while let [which, how, length, rest @ ..] = input {
        let (message, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        input = rest;
        let path = CALLS[usize::from(*which) % CALLS.len()];
        match calls.last_mut() {
            Some(last) if how & CONTINUES != 0 => frame(*how, message, &mut last.body),
            _ => {
                let mut call = Call { path, how: *how, body: Vec::new() };
                frame(*how, message, &mut call.body);
                calls.push(call);
            }
        }
    }
    calls
}

fn frame(how: u8, message: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(message.len()).expect("a length of one byte");
    let said = if how & SAYS_LONGER != 0 { length.wrapping_mul(0x0101_0101) } else { length };
    out.push(u8::from(how & SAYS_COMPRESSED != 0));
    out.extend_from_slice(&said.to_be_bytes());
    out.extend_from_slice(message);
}

impl Call {
    fn request(self) -> Request<Full<Bytes>> {
        let mut request = Request::post(format!("/{}", self.path)).header("content-type", "application/grpc");
        if self.how & WITH_TOKEN != 0 {
            request = request.header("token", "somebody");
        }
        if self.how & WANTS_LEADER != 0 {
            request = request.header("hasleader", "true");
        }
        request.body(Full::from(self.body)).expect("paths of the table are paths")
    }
}

/// Whatever was asked: whoever asks hears how it went, if it ends.
async fn ends_as_a_call_does(answer: Response<GrpcBody>) {
    assert_eq!(answer.status().as_u16(), 200, "the status of HTTP says nothing in gRPC");
    let (head, body) = answer.into_parts();
    let Ok(body) = timeout(LISTENS, body.collect()).await else { return };
    let body = body.expect("the answer does not break off");
    let told = |headers: &HeaderMap| headers.contains_key("grpc-status");
    assert!(told(&head.headers) || body.trailers().is_some_and(told), "nobody says how it went");
}
