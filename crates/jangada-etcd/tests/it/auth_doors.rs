//! Every call of etcd's API, by every kind of user: none gets in by a door that is closed to it, and what is refused
//! leaves no trace. They are called as JSON, by their paths: a call that is not in the table fails the test.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use jangada_etcd::Gateway;
use jangada_etcd::auth::digest;
use jangada_kv::auth::{Permission, PermissionKind};
use jangada_kv::{
    AuthChange, AuthQuestion, AuthRequest, Caller, LeaseId, LeaseRequest, Millis, Put, Request, Response,
    Store,
};
use prost_reflect::DescriptorPool;
use serde_json::Value;
use tonic::codegen::http;

use crate::bare::Bare;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Nothing, not even a token that is right.
    Nothing,
    /// Nothing; but a token that is shown must be right.
    Anybody,
    /// To be somebody.
    Somebody,
    Read,
    Write,
    Both,
    /// To be the user `reader` or root.
    Reader,
    Manage,
}

use Needs::{Anybody, Both, Manage, Nothing, Read, Reader, Somebody, Write};

/// A user by name, which is its token, too; what it may do with the keys that begin with m.
const USERS: [(&str, bool, bool); 6] = [
    ("root", true, true),
    ("both", true, true),
    ("reader", true, false),
    ("writer", false, true),
    ("other", false, false),
    ("none", false, false),
];

/// Each call, where it is, what is asked, and what that needs. In base64 bTE= is m1, bTI= m2, bQ== m, bg== n, eDE= x1.
const CALLS: [(&str, &str, &str, Needs); 61] = [
    ("KV/Range", "/v3/kv/range", r#"{"key":"bTE="}"#, Read),
    ("KV/Range", "/v3/kv/range", r#"{"key":"bQ==","range_end":"bg==","serializable":true}"#, Read),
    ("KV/Range", "/v3/kv/range", r#"{"key":"bQ==","range_end":"bg==","count_only":true}"#, Read),
    ("KV/Range", "/v3/kv/range", r#"{"key":"AA==","range_end":"AA=="}"#, Manage),
    ("KV/Put", "/v3/kv/put", r#"{"key":"bTE=","value":"bTE="}"#, Write),
    ("KV/Put", "/v3/kv/put", r#"{"key":"bTE=","prev_kv":true}"#, Both),
    ("KV/Put", "/v3/kv/put", r#"{"key":"bTE=","lease":7}"#, Write),
    ("KV/DeleteRange", "/v3/kv/deleterange", r#"{"key":"bTE="}"#, Write),
    ("KV/DeleteRange", "/v3/kv/deleterange", r#"{"key":"bQ==","range_end":"bg==","prev_kv":true}"#, Both),
    ("KV/Txn", "/v3/kv/txn", r#"{"compare":[{"target":"VERSION","key":"bTE=","version":"0"}]}"#, Read),
    ("KV/Txn", "/v3/kv/txn", r#"{"failure":[{"request_range":{"key":"bTE="}}]}"#, Read),
    ("KV/Txn", "/v3/kv/txn", r#"{"failure":[{"request_put":{"key":"bTE="}}]}"#, Write),
    (
        "KV/Txn",
        "/v3/kv/txn",
        r#"{"success":[{"request_txn":{"failure":[{"request_delete_range":{"key":"bTE="}}]}}]}"#,
        Write,
    ),
    (
        "KV/Txn",
        "/v3/kv/txn",
        r#"{"failure":[{"request_txn":{"success":[{"request_txn":{"success":[{"request_put":{"key":"bTE=","prev_kv":true}}]}}]}}]}"#,
        Both,
    ),
    (
        "KV/Txn",
        "/v3/kv/txn",
        r#"{"success":[{"request_txn":{"compare":[{"target":"MOD","key":"bQ==","range_end":"bg=="}]}}]}"#,
        Read,
    ),
    ("KV/Compact", "/v3/kv/compaction", r#"{"revision":2}"#, Somebody),
    ("Watch/Watch", "/v3/watch", r#"{"create_request":{"key":"bQ==","range_end":"bg=="}}"#, Read),
    ("Watch/Watch", "/v3/watch", r#"{"create_request":{"key":"bTE=","start_revision":1}}"#, Read),
    ("Lease/LeaseGrant", "/v3/lease/grant", r#"{"ID":9,"TTL":60}"#, Somebody),
    ("Lease/LeaseRevoke", "/v3/lease/revoke", r#"{"ID":7}"#, Write),
    ("Lease/LeaseKeepAlive", "/v3/lease/keepalive", r#"{"ID":7}"#, Somebody),
    ("Lease/LeaseTimeToLive", "/v3/lease/timetolive", r#"{"ID":7,"keys":true}"#, Read),
    ("Lease/LeaseTimeToLive", "/v3/lease/timetolive", r#"{"ID":7}"#, Somebody),
    ("Lease/LeaseLeases", "/v3/lease/leases", "{}", Somebody),
    ("Cluster/MemberAdd", "/v3/cluster/member/add", r#"{"peerURLs":["http://127.0.0.1:1"]}"#, Manage),
    ("Cluster/MemberRemove", "/v3/cluster/member/remove", r#"{"ID":2}"#, Manage),
    (
        "Cluster/MemberUpdate",
        "/v3/cluster/member/update",
        r#"{"ID":2,"peerURLs":["http://127.0.0.1:1"]}"#,
        Manage,
    ),
    ("Cluster/MemberList", "/v3/cluster/member/list", "{}", Nothing),
    ("Cluster/MemberPromote", "/v3/cluster/member/promote", r#"{"ID":2}"#, Manage),
    ("Maintenance/Alarm", "/v3/maintenance/alarm", "{}", Anybody),
    ("Maintenance/Alarm", "/v3/maintenance/alarm", r#"{"action":"ACTIVATE","alarm":"NOSPACE"}"#, Manage),
    ("Maintenance/Status", "/v3/maintenance/status", "{}", Nothing),
    ("Maintenance/Defragment", "/v3/maintenance/defragment", "{}", Manage),
    ("Maintenance/Hash", "/v3/maintenance/hash", "{}", Manage),
    ("Maintenance/HashKV", "/v3/maintenance/hashkv", "{}", Manage),
    ("Maintenance/Snapshot", "/v3/maintenance/snapshot", "{}", Manage),
    ("Maintenance/MoveLeader", "/v3/maintenance/transfer-leadership", r#"{"targetID":1}"#, Manage),
    ("Maintenance/Downgrade", "/v3/maintenance/downgrade", r#"{"version":"3.4.0"}"#, Manage),
    ("Auth/AuthEnable", "/v3/auth/enable", "{}", Manage),
    ("Auth/AuthDisable", "/v3/auth/disable", "{}", Manage),
    ("Auth/AuthStatus", "/v3/auth/status", "{}", Manage),
    ("Auth/Authenticate", "/v3/auth/authenticate", r#"{"name":"none","password":"none"}"#, Nothing),
    ("Auth/UserAdd", "/v3/auth/user/add", r#"{"name":"new","options":{"no_password":true}}"#, Manage),
    ("Auth/UserGet", "/v3/auth/user/get", r#"{"name":"reader"}"#, Reader),
    ("Auth/UserList", "/v3/auth/user/list", "{}", Manage),
    ("Auth/UserDelete", "/v3/auth/user/delete", r#"{"name":"none"}"#, Manage),
    ("Auth/UserChangePassword", "/v3/auth/user/changepw", r#"{"name":"none","password":"x"}"#, Manage),
    ("Auth/UserGrantRole", "/v3/auth/user/grant", r#"{"user":"none","role":"root"}"#, Manage),
    ("Auth/UserRevokeRole", "/v3/auth/user/revoke", r#"{"name":"reader","role":"reads"}"#, Manage),
    ("Auth/RoleAdd", "/v3/auth/role/add", r#"{"name":"new"}"#, Manage),
    ("Auth/RoleGet", "/v3/auth/role/get", r#"{"role":"reads"}"#, Reader),
    ("Auth/RoleList", "/v3/auth/role/list", "{}", Manage),
    ("Auth/RoleDelete", "/v3/auth/role/delete", r#"{"role":"reads"}"#, Manage),
    (
        "Auth/RoleGrantPermission",
        "/v3/auth/role/grant",
        r#"{"name":"reads","perm":{"permType":"WRITE","key":"bTE="}}"#,
        Manage,
    ),
    (
        "Auth/RoleRevokePermission",
        "/v3/auth/role/revoke",
        r#"{"role":"reads","key":"bQ==","range_end":"bg=="}"#,
        Manage,
    ),
    ("Lock/Lock", "/v3/lock/lock", r#"{"name":"bTE=","lease":8}"#, Both),
    ("Lock/Unlock", "/v3/lock/unlock", r#"{"key":"bTE="}"#, Write),
    ("Election/Campaign", "/v3/election/campaign", r#"{"name":"bTI=","lease":8,"value":"bTE="}"#, Both),
    (
        "Election/Proclaim",
        "/v3/election/proclaim",
        r#"{"leader":{"name":"bQ==","key":"bS83","rev":4,"lease":7},"value":"bTE="}"#,
        Both,
    ),
    ("Election/Leader", "/v3/election/leader", r#"{"name":"bQ=="}"#, Read),
    ("Election/Observe", "/v3/election/observe", r#"{"name":"bQ=="}"#, Read),
];

/// The call that is left, to stay within the table: who leads says so itself.
const RESIGN: (&str, &str, &str, Needs) = (
    "Election/Resign",
    "/v3/election/resign",
    r#"{"leader":{"name":"bQ==","key":"bS83","rev":4,"lease":7}}"#,
    Both,
);

fn store() -> Store {
    let mut store = Store::new();
    let mut done = |request| {
        let answer = store.apply(Millis(0), &Caller::Server.asks(request));
        assert!(!matches!(answer, Response::Error(_)), "{answer:?}");
    };
    let put = |key: &'static str| Put::new(Bytes::from(key), Bytes::from("v"));
    for key in ["m1", "x1"] {
        done(Request::Put(put(key)));
    }
    for lease in [7, 8] {
        done(Request::Lease(LeaseRequest::Grant { lease: LeaseId(lease), ttl_seconds: 1_000 }));
    }
    // Who leads the election m.
    done(Request::Put(Put { lease: Some(LeaseId(7)), ..put("m/7") }));
    let auth = Request::Auth;
    let roles = [
        ("reads", PermissionKind::Read, "m", "n"),
        ("writes", PermissionKind::Write, "m", "n"),
        ("others", PermissionKind::ReadWrite, "x", "y"),
    ];
    for (role, kind, key, range_end) in roles {
        done(auth(AuthRequest::Change(AuthChange::RoleAdd { name: role.into() })));
        let permission = Permission { kind, key: key.into(), range_end: range_end.into() };
        done(auth(AuthRequest::Change(AuthChange::RoleGrantPermission { role: role.into(), permission })));
    }
    for (name, read, write) in USERS {
        done(auth(AuthRequest::Change(AuthChange::UserAdd { name: name.into(), password: Some(hash()) })));
        let roles =
            [("root", name == "root"), ("reads", read), ("writes", write), ("others", name == "other")];
        for (role, _) in roles.into_iter().filter(|(_, has)| *has) {
            done(auth(AuthRequest::Change(AuthChange::UserGrantRole {
                user: name.into(),
                role: role.into(),
            })));
        }
    }
    done(auth(AuthRequest::Change(AuthChange::Enable)));
    for (name, ..) in USERS {
        let asked =
            Caller::Server.asks(auth(AuthRequest::Ask(AuthQuestion::Credentials { name: name.into() })));
        let since = match store.read(Millis(0), &asked) {
            Response::Auth(jangada_kv::AuthResponse::Credentials(credentials)) => credentials.since,
            other => panic!("{other:?}"),
        };
        let token = digest(name.as_bytes());
        let login =
            AuthRequest::Change(AuthChange::Login { name: name.into(), since, token, ttl_seconds: 300 });
        store.apply(Millis(0), &Caller::Server.asks(auth(login)));
    }
    store
}

/// No password has it.
fn hash() -> jangada_kv::auth::PasswordHash {
    jangada_kv::auth::PasswordHash(Bytes::from("none"))
}

/// What a call says, a stream with its first message.
async fn say(bare: &Bare, path: &str, body: &str, token: Option<&str>) -> Value {
    let mut request = http::Request::post(path);
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let request = request.body(Full::from(body.to_owned())).unwrap();
    let answer = Gateway::new(bare.services(), Duration::from_secs(5)).answer(request).await;
    let first = answer.into_body().frame().await.expect("something is said").unwrap();
    serde_json::from_slice(&first.into_data().unwrap()).unwrap()
}

/// Why a call was refused, if it was for its user.
fn refusal(said: &Value) -> Option<String> {
    let told = [&said["message"], &said["error"]["message"], &said["result"]["cancel_reason"]];
    let text = told.into_iter().find_map(Value::as_str)?;
    let refusals = ["permission denied", "user name is empty", "invalid auth token"];
    refusals.iter().find(|refusal| text.ends_with(**refusal)).map(|refusal| (*refusal).to_owned())
}

async fn check(path: &str, body: &str, who: &str, token: Option<&str>, expected: Option<&str>) {
    let bare = Bare { store: Arc::new(Mutex::new(store())), ..Bare::default() };
    let before = bare.store.lock().unwrap().state_hash();
    let said = say(&bare, path, body, token).await;
    assert_eq!(refusal(&said).as_deref(), expected, "{who} asks {path} {body}: {said}");
    if expected.is_some() {
        assert_eq!(bare.store.lock().unwrap().state_hash(), before, "{who} asks {path} {body}");
        assert!(bare.changes.lock().unwrap().is_empty(), "{who} changed members");
    }
}

#[tokio::test]
async fn each_call_is_open_to_those_who_may() {
    for (_, path, body, needs) in CALLS.into_iter().chain([RESIGN]) {
        for (name, read, write) in USERS {
            let may = match needs {
                Nothing | Anybody | Somebody => true,
                Read => read,
                Write => write,
                Both => read && write,
                Reader => ["root", "reader"].contains(&name) || (name == "both" && path.contains("role")),
                Manage => name == "root",
            };
            check(path, body, name, Some(name), (!may).then_some("permission denied")).await;
        }
        let closed = !matches!(needs, Nothing | Anybody);
        check(path, body, "nobody", None, closed.then_some("user name is empty")).await;
        let is_looked_at = needs != Nothing;
        check(path, body, "somebody", Some("nonsense"), is_looked_at.then_some("invalid auth token")).await;
    }
}

#[test]
fn each_call_is_in_the_table() {
    let pool =
        DescriptorPool::decode(include_bytes!("../../src/generated/descriptors.bin").as_slice()).unwrap();
    let all: BTreeSet<String> = pool
        .services()
        .flat_map(|service| {
            let name = service.name().to_owned();
            service.methods().map(move |method| format!("{name}/{}", method.name())).collect::<Vec<_>>()
        })
        .collect();
    let asked: BTreeSet<String> =
        CALLS.iter().chain([&RESIGN]).map(|(call, ..)| (*call).to_owned()).collect();
    assert_eq!(asked, all);
}
