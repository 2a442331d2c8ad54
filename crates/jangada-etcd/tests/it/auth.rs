//! Users, roles and tokens, through the generated clients.

use jangada_etcd::authpb;
use jangada_etcd::authpb::permission::Type;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::auth_client::AuthClient;
use jangada_etcd::etcdserverpb::lease_client::LeaseClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use jangada_etcd::etcdserverpb::watch_client::WatchClient;
use jangada_etcd::etcdserverpb::watch_request::RequestUnion;
use jangada_etcd::v3electionpb as election;
use jangada_etcd::v3electionpb::election_client::ElectionClient;
use jangada_etcd::v3lockpb::LockRequest;
use jangada_etcd::v3lockpb::lock_client::LockClient;
use jangada_etcd::{Freshness, Services};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use crate::bare::{Bare, put, range, told};

fn client(bare: &Bare) -> AuthClient<Services<Bare>> {
    AuthClient::new(bare.services())
}

/// A message by whoever has a token.
fn by<T>(token: &str, message: T) -> Request<T> {
    let mut call = Request::new(message);
    call.metadata_mut().insert("token", token.parse().unwrap());
    call
}

async fn add_user(bare: &Bare, name: &str, role: &str) {
    let (name, password) = (name.to_owned(), format!("{name}'s"));
    let add = pb::AuthUserAddRequest { name: name.clone(), password, ..pb::AuthUserAddRequest::default() };
    client(bare).user_add(add).await.unwrap();
    let role = role.to_owned();
    client(bare).user_grant_role(pb::AuthUserGrantRoleRequest { user: name, role }).await.unwrap();
}

/// A user without a password, which changes what users there are.
async fn add_user_as(bare: &Bare, token: &str, name: &str) {
    let options = Some(authpb::UserAddOptions { no_password: true });
    let add = pb::AuthUserAddRequest { name: name.to_owned(), options, ..pb::AuthUserAddRequest::default() };
    client(bare).user_add(by(token, add)).await.unwrap();
    let role = pb::AuthUserGrantRoleRequest { user: name.to_owned(), role: "m".to_owned() };
    client(bare).user_grant_role(by(token, role)).await.unwrap();
}

/// Root, and ana, who may read and write what begins with m.
async fn with_users() -> Bare {
    let bare = Bare::default();
    client(&bare).role_add(pb::AuthRoleAddRequest { name: "m".to_owned() }).await.unwrap();
    let perm =
        authpb::Permission { perm_type: Type::Readwrite.into(), key: "m".into(), range_end: "n".into() };
    let grant = pb::AuthRoleGrantPermissionRequest { name: "m".to_owned(), perm: Some(perm) };
    client(&bare).role_grant_permission(grant).await.unwrap();
    add_user(&bare, "root", "root").await;
    add_user(&bare, "ana", "m").await;
    client(&bare).auth_enable(pb::AuthEnableRequest {}).await.unwrap();
    bare
}

async fn token(bare: &Bare, name: &str) -> String {
    let (name, password) = (name.to_owned(), format!("{name}'s"));
    let answer = client(bare).authenticate(pb::AuthenticateRequest { name, password }).await.unwrap();
    answer.into_inner().token
}

fn failed() -> (Code, String) {
    let text = "etcdserver: authentication failed, invalid user ID or password";
    (Code::InvalidArgument, text.to_owned())
}

#[tokio::test]
async fn whoever_shows_the_password_gets_a_token() {
    let bare = with_users().await;
    let ana = token(&bare, "ana").await;
    assert_ne!(token(&bare, "ana").await, ana, "each login has a token of its own");
    bare.kv().put(by(&ana, put("m1", "1"))).await.unwrap();
    let denied = (Code::PermissionDenied, "etcdserver: permission denied".to_owned());
    assert_eq!(told(bare.kv().put(by(&ana, put("x1", "1"))).await), denied);
    let empty = (Code::InvalidArgument, "etcdserver: user name is empty".to_owned());
    assert_eq!(told(bare.kv().put(put("m1", "1")).await), empty);
    let mut call = Request::new(range("m1", ""));
    call.metadata_mut().insert("authorization", ana.parse().unwrap());
    assert_eq!(bare.kv().range(call).await.unwrap().into_inner().count, 1);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_alike() {
    let bare = with_users().await;
    let no_password = Some(authpb::UserAddOptions { no_password: true });
    let add = pb::AuthUserAddRequest {
        name: "cert".to_owned(),
        options: no_password,
        ..pb::AuthUserAddRequest::default()
    };
    let root = token(&bare, "root").await;
    client(&bare).user_add(by(&root, add)).await.unwrap();
    for (name, password) in [("ana", "wrong"), ("ana", ""), ("nobody", "ana's"), ("", ""), ("cert", "")] {
        let (name, password) = (name.to_owned(), password.to_owned());
        assert_eq!(
            told(client(&bare).authenticate(pb::AuthenticateRequest { name, password }).await),
            failed()
        );
    }
}

#[tokio::test]
async fn a_password_that_would_never_be_looked_at_is_refused() {
    let bare = Bare::default();
    for (length, code) in [(1_024, Code::Ok), (1_025, Code::InvalidArgument)] {
        let (name, password) = (length.to_string(), "x".repeat(length));
        let add = pb::AuthUserAddRequest { name, password, ..pb::AuthUserAddRequest::default() };
        let added = client(&bare).user_add(add).await;
        assert_eq!(added.err().map_or(Code::Ok, |status| status.code()), code, "{length}");
    }
}

#[tokio::test]
async fn a_root_without_a_password_locks_nobody_out() {
    let bare = Bare::default();
    let no_password = Some(authpb::UserAddOptions { no_password: true });
    let add = pb::AuthUserAddRequest {
        name: "root".to_owned(),
        options: no_password,
        ..pb::AuthUserAddRequest::default()
    };
    client(&bare).user_add(add).await.unwrap();
    let grant = pb::AuthUserGrantRoleRequest { user: "root".to_owned(), role: "root".to_owned() };
    client(&bare).user_grant_role(grant).await.unwrap();
    let refused = told(client(&bare).auth_enable(pb::AuthEnableRequest {}).await);
    assert_eq!(refused.0, Code::FailedPrecondition);
    assert!(refused.1.contains("root user has no password"), "{}", refused.1);
    client(&bare).user_delete(pb::AuthUserDeleteRequest { name: "root".to_owned() }).await.unwrap();
    add_user(&bare, "root", "root").await;
    client(&bare).auth_enable(pb::AuthEnableRequest {}).await.unwrap();
    token(&bare, "root").await;
}

#[tokio::test]
async fn nobody_logs_in_where_nobody_has_to() {
    let bare = Bare::default();
    let login = pb::AuthenticateRequest { name: "root".to_owned(), password: "root's".to_owned() };
    let off = (Code::FailedPrecondition, "etcdserver: authentication is not enabled".to_owned());
    assert_eq!(told(client(&bare).authenticate(login).await), off);
}

#[tokio::test]
async fn the_log_never_has_a_password_or_a_token() {
    let bare = with_users().await;
    let token = token(&bare, "ana").await;
    let mut store = bare.store.lock().unwrap();
    let mut cursor = store.begin_snapshot();
    let all = store.next_chunk(&mut cursor, 1 << 20).unwrap();
    store.end_snapshot(cursor);
    let has = |text: &[u8]| all.windows(text.len()).any(|part| part == text);
    assert!(has(b"$argon2id$v=19$m=19456,t=2,p=1$"), "the hash is there");
    assert!(!has(b"ana's") && !has(b"root's") && !has(token.as_bytes()));
}

#[tokio::test]
async fn a_password_that_is_changed_ends_the_tokens_of_the_old_one() {
    let bare = with_users().await;
    let (root, ana) = (token(&bare, "root").await, token(&bare, "ana").await);
    let change = pb::AuthUserChangePasswordRequest {
        name: "ana".to_owned(),
        password: "another".to_owned(),
        ..pb::AuthUserChangePasswordRequest::default()
    };
    client(&bare).user_change_password(by(&root, change)).await.unwrap();
    let invalid = (Code::Unauthenticated, "etcdserver: invalid auth token".to_owned());
    assert_eq!(told(bare.kv().put(by(&ana, put("m1", "1"))).await), invalid);
    let old = pb::AuthenticateRequest { name: "ana".to_owned(), password: "ana's".to_owned() };
    assert_eq!(told(client(&bare).authenticate(old).await), failed());
    let new = pb::AuthenticateRequest { name: "ana".to_owned(), password: "another".to_owned() };
    client(&bare).authenticate(new).await.unwrap();
}

#[tokio::test]
async fn roles_and_users_are_told_as_etcd_tells_them() {
    let bare = with_users().await;
    let root = token(&bare, "root").await;
    let users = client(&bare).user_list(by(&root, pb::AuthUserListRequest {})).await.unwrap().into_inner();
    assert_eq!(users.users, ["ana", "root"]);
    let roles = client(&bare).role_list(by(&root, pb::AuthRoleListRequest {})).await.unwrap().into_inner();
    assert_eq!(roles.roles, ["m"], "the role root is nobody's to make");
    let user = pb::AuthUserGetRequest { name: "root".to_owned() };
    assert_eq!(client(&bare).user_get(by(&root, user)).await.unwrap().into_inner().roles, ["root"]);
    let role = pb::AuthRoleGetRequest { role: "m".to_owned() };
    let told = client(&bare).role_get(by(&root, role)).await.unwrap().into_inner();
    let perm = &told.perm[0];
    assert_eq!(
        (perm.perm_type(), &perm.key[..], &perm.range_end[..]),
        (Type::Readwrite, &b"m"[..], &b"n"[..])
    );
    assert_eq!(told.header.unwrap().revision, 1, "keys are another matter");
    let status = client(&bare).auth_status(by(&root, pb::AuthStatusRequest {})).await.unwrap().into_inner();
    assert_eq!((status.enabled, status.auth_revision), (true, 7));
}

/// A watch of one key by whoever has the token, once it is there. It ends with the sender.
async fn watching(
    bare: &Bare,
    token: &str,
    key: &str,
) -> (mpsc::Sender<pb::WatchRequest>, tonic::Streaming<pb::WatchResponse>) {
    let (requests, arriving) = mpsc::channel(4);
    let create = pb::WatchCreateRequest { key: key.to_owned().into(), ..pb::WatchCreateRequest::default() };
    let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    requests.send(create).await.unwrap();
    let call = by(token, ReceiverStream::new(arriving));
    let mut responses = WatchClient::new(bare.services()).watch(call).await.unwrap().into_inner();
    assert!(responses.message().await.unwrap().unwrap().created);
    (requests, responses)
}

#[tokio::test]
async fn a_watch_ends_when_its_user_may_not_read_any_more() {
    let bare = with_users().await;
    let (root, ana) = (token(&bare, "root").await, token(&bare, "ana").await);
    let (_requests, mut responses) = watching(&bare, &ana, "m1").await;
    bare.kv().put(by(&root, put("m1", "1"))).await.unwrap();
    assert_eq!(responses.message().await.unwrap().unwrap().events.len(), 1);
    let revoke = pb::AuthUserRevokeRoleRequest { name: "ana".to_owned(), role: "m".to_owned() };
    client(&bare).user_revoke_role(by(&root, revoke)).await.unwrap();
    bare.kv().put(by(&root, put("m1", "secret"))).await.unwrap();
    let last = responses.message().await.unwrap().unwrap();
    assert!(last.canceled && last.events.is_empty(), "{last:?}");
    let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    assert_eq!(last.cancel_reason, reason);
}

#[tokio::test]
async fn a_watch_whose_user_may_not_read_any_more_ends_though_nothing_happens_to_any_key() {
    let bare = with_users().await;
    let (root, ana) = (token(&bare, "root").await, token(&bare, "ana").await);
    let (requests, arriving) = mpsc::channel(4);
    let create = pb::WatchCreateRequest { key: "m1".into(), ..pb::WatchCreateRequest::default() };
    let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    requests.send(create).await.unwrap();
    let call = by(&ana, ReceiverStream::new(arriving));
    let mut responses = WatchClient::new(bare.services()).watch(call).await.unwrap().into_inner();
    assert!(responses.message().await.unwrap().unwrap().created);
    let mut election = ElectionClient::new(bare.services());
    let observe = election::LeaderRequest { name: b"m".to_vec() };
    let mut observed = election.observe(by(&ana, observe)).await.unwrap().into_inner();
    let revoke = pb::AuthUserRevokeRoleRequest { name: "ana".to_owned(), role: "m".to_owned() };
    client(&bare).user_revoke_role(by(&root, revoke)).await.unwrap();
    let last = responses.message().await.unwrap().unwrap();
    assert!(last.canceled && last.cancel_reason.ends_with("permission denied"), "{last:?}");
    let ended = observed.message().await.unwrap_err();
    assert_eq!(ended.message(), "etcdserver: permission denied");
}

#[tokio::test]
async fn a_place_in_a_queue_is_given_up_though_its_user_may_not_any_more() {
    let bare = with_users().await;
    let (root, ana) = (token(&bare, "root").await, token(&bare, "ana").await);
    let first = LockRequest { name: b"m".to_vec(), lease: 0 };
    LockClient::new(bare.services()).lock(by(&root, first.clone())).await.unwrap();
    let mut queue = LockClient::new(bare.services());
    let second = by(&ana, first);
    let waiting = tokio::spawn(async move { queue.lock(second).await });
    let places = async || {
        let count = pb::RangeRequest { count_only: true, ..range("m/", "m0") };
        bare.kv().range(by(&root, count)).await.unwrap().into_inner().count
    };
    while places().await < 2 {
        tokio::task::yield_now().await;
    }
    let revoke = pb::AuthUserRevokeRoleRequest { name: "ana".to_owned(), role: "m".to_owned() };
    client(&bare).user_revoke_role(by(&root, revoke)).await.unwrap();
    assert_eq!(told(waiting.await.unwrap()).1, "etcdserver: permission denied");
    while places().await > 1 {
        tokio::task::yield_now().await;
    }
}

/// Its time is made up.
#[tokio::test(start_paused = true)]
async fn after_many_wrong_passwords_the_next_one_is_not_looked_at_for_a_while() {
    let bare = with_users().await;
    let log_in = async |password: &str| {
        let request = pb::AuthenticateRequest { name: "ana".to_owned(), password: password.to_owned() };
        client(&bare).authenticate(request).await
    };
    for _ in 0..5 {
        assert_eq!(told(log_in("wrong").await), failed());
    }
    let refused = (Code::ResourceExhausted, "etcdserver: too many requests".to_owned());
    assert_eq!(told(log_in("wrong").await), refused);
    assert_eq!(told(log_in("ana's").await), refused, "nobody is told by it that this one is right");
    token(&bare, "root").await;
    tokio::time::advance(Duration::from_secs(1)).await;
    log_in("ana's").await.unwrap();
}

#[tokio::test]
async fn a_member_that_is_busy_ends_no_watch() {
    let bare = with_users().await;
    let (root, ana) = (token(&bare, "root").await, token(&bare, "ana").await);
    let (_requests, mut responses) = watching(&bare, &ana, "m1").await;
    add_user_as(&bare, &root, "bia").await;
    bare.busy.store(2, Relaxed);
    bare.kv().put(by(&root, put("m1", "1"))).await.unwrap();
    let told = responses.message().await.unwrap().unwrap();
    assert!(!told.canceled && told.events.len() == 1, "{told:?}");
    assert_eq!(bare.busy.load(Relaxed), 0, "it was asked while it was busy");
    add_user_as(&bare, &root, "caio").await;
    bare.busy.store(1_000, Relaxed);
    bare.kv().put(by(&root, put("m1", "2"))).await.unwrap();
    let ended = responses.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "the client may try again: {ended}");
}

#[tokio::test]
async fn a_watch_that_begins_while_a_member_is_busy_is_refused_as_a_whole() {
    let bare = with_users().await;
    let ana = token(&bare, "ana").await;
    bare.busy.store(1, Relaxed);
    let (_requests, arriving) = mpsc::channel(4);
    let call = by(&ana, ReceiverStream::new(arriving));
    let refused = WatchClient::new(bare.services()).watch(call).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn what_tells_of_all_keys_asks_the_others_whether_its_user_still_may_if_there_are_any() {
    let bare = with_users().await;
    let (root, ana) = (token(&bare, "root").await, token(&bare, "ana").await);
    let hash = || by(&root, pb::HashKvRequest { revision: 0 });
    let mut client_of = MaintenanceClient::new(bare.services());
    bare.reads.lock().unwrap().clear();
    client_of.hash_kv(hash()).await.unwrap();
    assert!(
        bare.reads.lock().unwrap().contains(&Freshness::Linearizable),
        "the others know of what was revoked"
    );
    // A copy is needed most when the others are lost: as from etcd, who was root when they were may have it.
    bare.reads_refused.store(true, Relaxed);
    let late = client_of.hash_kv(hash()).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable, "somebody leads: no answer is no permission");
    bare.leader_lost.store(true, Relaxed);
    client_of.hash_kv(hash()).await.unwrap();
    let mut parts = client_of.snapshot(by(&root, pb::SnapshotRequest {})).await.unwrap().into_inner();
    assert!(!parts.message().await.unwrap().unwrap().blob.is_empty());
    let denied = client_of.snapshot(by(&ana, pb::SnapshotRequest {})).await.unwrap_err();
    assert_eq!((denied.code(), denied.message()), (Code::Unknown, "auth: permission denied"));
    let names = client(&bare).user_list(by(&root, pb::AuthUserListRequest {})).await;
    assert_eq!(told(names), (Code::Unknown, "context deadline exceeded".to_owned()), "as etcd, but at once");
    client(&bare).auth_disable(by(&root, pb::AuthDisableRequest {})).await.unwrap();
    client_of.hash_kv(pb::HashKvRequest { revision: 0 }).await.unwrap();
}

#[tokio::test]
async fn what_lasts_longer_than_a_token_goes_on() {
    let bare = with_users().await;
    let root = token(&bare, "root").await;
    let grant = pb::LeaseGrantRequest { id: 7, ttl: 9_000 };
    LeaseClient::new(bare.services()).lease_grant(by(&root, grant)).await.unwrap();
    let (requests, arriving) = mpsc::channel(4);
    let call = by(&root, ReceiverStream::new(arriving));
    let mut kept = LeaseClient::new(bare.services()).lease_keep_alive(call).await.unwrap().into_inner();
    for seconds in [0, 1_000, 2_000] {
        bare.clock.store(seconds * 1_000, Relaxed);
        requests.send(pb::LeaseKeepAliveRequest { id: 7 }).await.unwrap();
        assert_eq!(kept.message().await.unwrap().unwrap().ttl, 9_000);
    }
    let ended = told(bare.kv().put(by(&root, put("m1", "1"))).await);
    assert_eq!(ended.0, Code::Unauthenticated, "the token itself has ended");
}

#[tokio::test]
async fn an_observer_is_told_nothing_that_it_may_not_read_any_more() {
    let bare = with_users().await;
    let (root, ana) = (token(&bare, "root").await, token(&bare, "ana").await);
    let mut election = ElectionClient::new(bare.services());
    let campaign = election::CampaignRequest { name: b"m".to_vec(), value: b"one".to_vec(), lease: 0 };
    let leader = election.campaign(by(&root, campaign)).await.unwrap().into_inner().leader;
    let observe = election::LeaderRequest { name: b"m".to_vec() };
    let mut observed = election.observe(by(&ana, observe)).await.unwrap().into_inner();
    assert_eq!(&observed.message().await.unwrap().unwrap().kv.unwrap().value[..], b"one");
    let revoke = pb::AuthUserRevokeRoleRequest { name: "ana".to_owned(), role: "m".to_owned() };
    client(&bare).user_revoke_role(by(&root, revoke)).await.unwrap();
    let secret = election::ProclaimRequest { leader, value: b"secret".to_vec() };
    election.proclaim(by(&root, secret)).await.unwrap();
    let ended = observed.message().await.unwrap_err();
    assert_eq!(ended.message(), "etcdserver: permission denied");
}
