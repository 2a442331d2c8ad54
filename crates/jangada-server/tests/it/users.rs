//! Users at the doors that are not etcd's: RESP, plain words, keys over HTTP, and what changes the members.

use std::net::IpAddr;

use bytes::Bytes;
use jangada_etcd::Passwords;
use jangada_etcd::auth::digest;
use jangada_kv::auth::{Permission, PermissionKind};
use jangada_kv::{AuthChange, AuthQuestion, AuthRequest, Caller, Put, Request, Response};
use jangada_server::handle::{AdminAnswer, Kind};
use jangada_server::resp::commands::{Command, SPECS};

use crate::client::{Client, command};
use crate::core::lock;

const NOAUTH: &str = "-NOAUTH Authentication required.\r\n";
const NOPERM: &str = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

fn apply(client: &Client, request: AuthRequest) {
    let mut core = lock(&client.core);
    let now = core.now;
    let answer = core.store.apply(now, &Caller::Server.asks(Request::Auth(request)));
    assert!(matches!(answer, Response::Auth(_)), "{answer:?}");
}

/// A server with root and ana, whose passwords are `secret`; ana may read and write what begins with m. Auth is on.
async fn server() -> Client {
    let client = Client::new();
    let password = Passwords::default().hash(Bytes::from("secret"), [1; 16]).await.unwrap();
    apply(&client, AuthRequest::Change(AuthChange::RoleAdd { name: "m".into() }));
    let permission = Permission { kind: PermissionKind::ReadWrite, key: "m".into(), range_end: "n".into() };
    apply(&client, AuthRequest::Change(AuthChange::RoleGrantPermission { role: "m".into(), permission }));
    for (name, role) in [("root", "root"), ("ana", "m"), ("default", "m")] {
        apply(
            &client,
            AuthRequest::Change(AuthChange::UserAdd { name: name.into(), password: Some(password.clone()) }),
        );
        apply(
            &client,
            AuthRequest::Change(AuthChange::UserGrantRole { user: name.into(), role: role.into() }),
        );
    }
    {
        let mut core = lock(&client.core);
        let now = core.now;
        core.store.apply(now, &Request::Put(Put::new("x".into(), "1".into())));
    }
    apply(&client, AuthRequest::Change(AuthChange::Enable));
    client.shared.handle.board().publish_auth(true);
    client
}

/// Gives a token to a user; it is the user's name.
fn log_in(client: &Client, name: &'static str) {
    let asked =
        Caller::Server.asks(Request::Auth(AuthRequest::Ask(AuthQuestion::Credentials { name: name.into() })));
    let since = {
        let core = lock(&client.core);
        match core.store.read(core.now, &asked) {
            Response::Auth(jangada_kv::AuthResponse::Credentials(credentials)) => credentials.since,
            other => panic!("{other:?}"),
        }
    };
    let token = digest(name.as_bytes());
    apply(
        client,
        AuthRequest::Change(AuthChange::Login { name: name.into(), since, token, ttl_seconds: 300 }),
    );
}

async fn say(client: &mut Client, words: &str, reply: &str) {
    client.send(command(words)).await;
    client.expect(reply).await;
}

/// Every command that may stand at the beginning, with as many arguments as it needs.
fn every_command() -> impl Iterator<Item = (String, &'static jangada_server::resp::commands::Spec)> {
    SPECS.iter().map(|spec| {
        let words = match spec.name {
            "client" => "client id".to_owned(),
            "config" => "config get x".to_owned(),
            name => {
                [name].into_iter().chain((1..spec.arity.abs()).map(|_| "1")).collect::<Vec<_>>().join(" ")
            }
        };
        (words, spec)
    })
}

#[tokio::test]
async fn whoever_has_not_logged_in_gets_nothing() {
    let mut client = server().await;
    let before = lock(&client.core).store.state_hash();
    for (words, spec) in every_command().filter(|(_, spec)| !spec.flags.contains("no_auth")) {
        let refused = match spec.name {
            "exec" => "-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n",
            _ => NOAUTH,
        };
        say(&mut client, &words, refused).await;
    }
    assert_eq!(lock(&client.core).store.state_hash(), before);
    assert!(lock(&client.core).seen.is_empty(), "the store was not even asked");
}

#[tokio::test]
async fn the_store_refuses_what_the_connection_did_not() {
    // The connection has not heard yet that auth is on.
    let mut client = server().await;
    client.shared.handle.board().publish_auth(false);
    let before = lock(&client.core).store.state_hash();
    for (words, _) in every_command().filter(|(_, spec)| matches!(spec.command, Command::Store(_))) {
        say(&mut client, &words, NOAUTH).await;
    }
    say(&mut client, "WATCH x", NOAUTH).await;
    assert_eq!(lock(&client.core).store.state_hash(), before);
}

#[tokio::test]
async fn no_command_does_what_its_user_may_not() {
    let mut client = server().await;
    say(&mut client, "AUTH ana secret", "+OK\r\n").await;
    let before = lock(&client.core).store.state_hash();
    for (words, _) in every_command().filter(|(_, spec)| matches!(spec.command, Command::Store(_))) {
        say(&mut client, &words, NOPERM).await;
        say(&mut client, "MULTI", "+OK\r\n").await;
        for queued in ["GET m1", &words] {
            say(&mut client, queued, "+QUEUED\r\n").await;
        }
        say(&mut client, "EXEC", NOPERM).await;
    }
    say(&mut client, "WATCH x", NOPERM).await;
    assert_eq!(lock(&client.core).store.state_hash(), before);
}

#[tokio::test]
async fn a_user_does_what_it_may() {
    let mut client = server().await;
    for wrong in ["AUTH ana wrong", "AUTH nobody secret", "AUTH wrong", "HELLO 3 AUTH ana wrong"] {
        say(&mut client, wrong, WRONGPASS).await;
    }
    say(&mut client, "AUTH a b c", "-ERR syntax error\r\n").await;
    // What is sent right behind waits for the login.
    client.send([command("AUTH ana secret"), command("SET m1 1"), command("GET m1")].concat()).await;
    client.expect("+OK\r\n+OK\r\n$1\r\n1\r\n").await;
    say(&mut client, "KEYS m*", "*1\r\n$2\r\nm1\r\n").await;
    say(&mut client, "GET x", NOPERM).await;
    say(&mut client, "MULTI", "+OK\r\n").await;
    say(&mut client, "AUTH root secret", "+QUEUED\r\n").await;
    say(&mut client, "EXEC", "*1\r\n-ERR AUTH inside MULTI is not allowed\r\n").await;
    // A login that fails leaves things as they are.
    say(&mut client, "AUTH root wrong", WRONGPASS).await;
    say(&mut client, "GET m1", "$1\r\n1\r\n").await;
    say(&mut client, "AUTH root secret", "+OK\r\n").await;
    say(&mut client, "GET x", "$1\r\n1\r\n").await;
    say(&mut client, "RESET", "+RESET\r\n").await;
    say(&mut client, "GET m1", NOAUTH).await;
    say(&mut client, "AUTH secret", "+OK\r\n").await;
    say(&mut client, "GET m1", "$1\r\n1\r\n").await;
}

#[tokio::test]
async fn hello_logs_in_and_agrees() {
    let mut client = server().await;
    let without = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH \
                   <user> <pass> option can be used to authenticate the client and select the RESP protocol version \
                   at the same time\r\n";
    say(&mut client, "HELLO 3", without).await;
    say(&mut client, "HELLO 3 AUTH ana secret SETNAME me", "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n").await;
    client.send(command("GET m1")).await;
    client.send(command("QUIT")).await;
    assert!(client.rest().await.ends_with("*0\r\n_\r\n+OK\r\n"));
}

#[tokio::test]
async fn wrong_passwords_count_at_every_door_together() {
    let server = server().await;
    // From here on time passes only where the test says so: the wait after the fifth is short.
    tokio::time::pause();
    let (here, elsewhere) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let mut client = server.another_from(here);
    for wrong in ["AUTH ana wrong", "HELLO 3 AUTH ana wrong", "AUTH ana wrong"] {
        say(&mut client, wrong, WRONGPASS).await;
    }
    let gateway = "POST /v3/auth/authenticate";
    let (wrong, right) = (r#"{"name":"ana","password":"wrong"}"#, r#"{"name":"ana","password":"secret"}"#);
    for _ in 0..2 {
        let said = exchange(server.another_from(here), gateway, None, wrong).await;
        assert!(said.0 == 400 && said.1.contains("invalid user ID or password"), "{said:?}");
    }
    let tryagain =
        "-TRYAGAIN too many log in at once, or too many passwords were wrong; try again a little later\r\n";
    say(&mut client, "AUTH ana secret", tryagain).await;
    let said = exchange(server.another_from(here), gateway, None, right).await;
    assert!(said.0 == 429 && said.1.contains("etcdserver: too many requests"), "{said:?}");
    say(&mut client, "AUTH root secret", "+OK\r\n").await;
    say(&mut server.another_from(elsewhere), "AUTH ana secret", "+OK\r\n").await;
    assert_eq!(exchange(server.another_from(elsewhere), gateway, None, right).await.0, 200);
}

#[tokio::test]
async fn a_connection_has_to_log_in_again_when_users_are_asked_again() {
    let mut client = server().await;
    say(&mut client, "AUTH root secret", "+OK\r\n").await;
    apply(&client, AuthRequest::Change(AuthChange::Disable));
    client.shared.handle.board().publish_auth(false);
    say(&mut client, "GET x", "$1\r\n1\r\n").await;
    apply(&client, AuthRequest::Change(AuthChange::Enable));
    client.shared.handle.board().publish_auth(true);
    say(&mut client, "GET x", NOAUTH).await;
}

#[tokio::test]
async fn another_password_ends_what_a_connection_may() {
    let mut client = server().await;
    say(&mut client, "AUTH ana secret", "+OK\r\n").await;
    say(&mut client, "SET m1 1", "+OK\r\n").await;
    let password = Passwords::default().hash(Bytes::from("new"), [2; 16]).await.unwrap();
    apply(&client, AuthRequest::Change(AuthChange::UserChangePassword { name: "ana".into(), password }));
    say(&mut client, "GET m1", NOAUTH).await;
    say(&mut client, "AUTH ana new", "+OK\r\n").await;
    apply(&client, AuthRequest::Change(AuthChange::UserDelete { name: "ana".into() }));
    say(&mut client, "SET m1 2", NOAUTH).await;
    let seen = lock(&client.core).seen.len();
    say(&mut client, "SET m1 2", NOAUTH).await;
    assert_eq!(lock(&client.core).seen.len(), seen, "what would only be refused again is not asked");
}

#[tokio::test]
async fn plain_words_are_asked_for_whoever_has_logged_in() {
    let mut client = server().await;
    let nobody = "error: nobody has said who asks: log in first (AUTH user password)\n";
    for line in ["get m1\n", "set m1 1\n", "delete m1\n", "show\n"] {
        client.send(line).await;
        client.expect(nobody).await;
    }
    assert!(lock(&client.core).seen.is_empty(), "the store was not even asked");
    client.send("auth ana secret\n").await;
    client.expect("+OK\r\n").await;
    client.send("set m1 1\nget m1\nshow m\nget x\nshow\n").await;
    client.expect("OK\n1\nm1 = 1\n(1 key)\n").await;
    client.expect("error: this user may not do that\nerror: this user may not do that\n").await;
}

/// The status and the body of one exchange.
async fn ask(client: &Client, request: &str, token: Option<&str>, body: &str) -> (u16, String) {
    exchange(client.another(), request, token, body).await
}

/// The same over a connection of its own.
async fn exchange(mut client: Client, request: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let token = token.map_or(String::new(), |token| format!("Authorization: {token}\r\n"));
    let kind = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    client
        .send(format!(
            "{request} HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n{token}{kind}Connection: close\r\n\r\n{body}"
        ))
        .await;
    let answer = client.rest().await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn keys_over_http_want_a_token() {
    let client = server().await;
    log_in(&client, "ana");
    for request in ["GET /kv/m1", "GET /kv/m?prefix", "GET /kv/m1?watch", "PUT /kv/m1", "DELETE /kv/m1"] {
        let said = ask(&client, request, None, "").await;
        assert_eq!(said, (401, "etcdserver: user name is empty\n".to_owned()), "{request}");
        let said = ask(&client, request, Some("nonsense"), "").await;
        assert_eq!(said, (401, "etcdserver: invalid auth token\n".to_owned()), "{request}");
    }
    let wrote = lock(&client.core).seen.iter().any(|(kind, _)| *kind == Kind::Write);
    assert!(!wrote, "what nobody asks for does not even enter the log");
    for request in ["GET /kv/x", "GET /kv/?prefix", "GET /kv/?prefix&watch", "PUT /kv/x", "DELETE /kv/x"] {
        let said = ask(&client, request, Some("ana"), "").await;
        assert_eq!(said, (403, "etcdserver: permission denied\n".to_owned()), "{request}");
    }
    assert_eq!(ask(&client, "PUT /kv/m1", Some("ana"), "1").await.0, 200);
    assert_eq!(ask(&client, "GET /kv/m1", Some("ana"), "").await, (200, "1".to_owned()));
    apply(&client, AuthRequest::Change(AuthChange::UserDelete { name: "ana".into() }));
    let writes = || lock(&client.core).seen.iter().filter(|(kind, _)| *kind == Kind::Write).count();
    let before = writes();
    for _ in 0..3 {
        assert_eq!(ask(&client, "PUT /kv/m1", Some("ana"), "2").await.0, 401);
    }
    assert_eq!(writes(), before + 1, "after one refusal the token is looked at before anything is written");
    let (_, health) = ask(&client, "GET /health", None, "").await;
    assert_eq!(health, r#"{"health":"true","reason":""}"#, "that is nobody's secret");
}

#[tokio::test]
async fn only_root_changes_the_cluster() {
    let client = server().await;
    log_in(&client, "ana");
    log_in(&client, "root");
    lock(&client.core).admin = Some(Ok(AdminAnswer::Transferred { leader: "n2".to_owned(), term: 4 }));
    let requests = [
        ("POST /members", r#"{"voters":["n1"]}"#),
        ("POST /members/change", r#"{"change":{"remove":{"id":2}}}"#),
        ("POST /transfer", r#"{"to":"n2"}"#),
    ];
    for (request, body) in requests {
        for (token, code) in [(None, 401), (Some("nonsense"), 401), (Some("ana"), 403)] {
            let (status, said) = ask(&client, request, token, body).await;
            assert_eq!(status, code, "{request}: {said}");
        }
        assert!(lock(&client.core).asked.is_empty(), "{request}");
        assert_eq!(ask(&client, request, Some("root"), body).await.0, 200, "{request}");
        assert_eq!(std::mem::take(&mut lock(&client.core).asked).len(), 1, "{request}");
    }
}
