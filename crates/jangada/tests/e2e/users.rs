//! Users and roles on a cluster of three, as etcdctl and a client of the JSON gateway meet them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use crate::support::{Cluster, ask, expect_exit, installed, jangada, netcat, stderr, stdout, wait};

const DENIED: &str = "etcdserver: permission denied";
const EMPTY: &str = "etcdserver: user name is empty";

fn etcdctl(endpoints: &[String], user: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &endpoints.join(",")]);
    if !user.is_empty() {
        command.args(["--user", user]);
    }
    command.args(arguments).stdin(std::process::Stdio::piped());
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn said(cluster: &Cluster, user: &str, arguments: &[&str]) -> String {
    let output = etcdctl(&cluster.addresses(3), user, arguments, "");
    expect_exit(&output, 0);
    stdout(&output)
}

#[track_caller]
fn refused(cluster: &Cluster, user: &str, arguments: &[&str], why: &str) {
    let output = etcdctl(&cluster.addresses(3), user, arguments, "");
    assert_ne!(output.status.code(), Some(0), "{arguments:?}");
    assert!(stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
}

const ROOT: &str = "root:secret";
const ANA: &str = "ana:hers";

/// Root, and ana, who may read and write what begins with `app/`.
fn with_users(cluster: &Cluster) {
    assert_eq!(said(cluster, "", &["user", "add", ROOT]), "User root created\n");
    assert_eq!(said(cluster, "", &["auth", "enable"]), "Authentication Enabled\n");
    assert_eq!(said(cluster, ROOT, &["role", "add", "app"]), "Role app created\n");
    let grant = ["role", "grant-permission", "app", "readwrite", "app/", "--prefix"];
    assert_eq!(said(cluster, ROOT, &grant), "Role app updated\n");
    assert_eq!(said(cluster, ROOT, &["user", "add", ANA]), "User ana created\n");
    let grant = said(cluster, ROOT, &["user", "grant-role", "ana", "app"]);
    assert_eq!(grant, "Role app is granted to user ana\n");
}

#[test]
fn etcdctl_manages_users_and_is_held_to_them() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    let nobody = etcdctl(&cluster.addresses(3), "", &["auth", "enable"], "");
    assert!(stderr(&nobody).contains("root user does not exist"), "{}", stderr(&nobody));
    with_users(&cluster);
    assert_eq!(said(&cluster, ROOT, &["user", "list"]), "ana\nroot\n");
    assert_eq!(said(&cluster, ROOT, &["role", "list"]), "app\nroot\n");
    assert_eq!(said(&cluster, ANA, &["user", "get", "ana"]), "User: ana\nRoles: app\n");
    refused(&cluster, ANA, &["user", "list"], DENIED);
    refused(&cluster, ANA, &["user", "add", "eva:x"], DENIED);
    refused(&cluster, "", &["put", "app/a", "1"], EMPTY);
    refused(&cluster, "ana:wrong", &["get", "app/a"], "authentication failed, invalid user ID or password");

    // Each member by itself.
    for endpoint in cluster.addresses(3) {
        let one = [endpoint];
        let by_ana = |arguments: &[&str]| etcdctl(&one, ANA, arguments, "");
        assert_eq!(stdout(&by_ana(&["put", "app/a", "1"])), "OK\n");
        assert_eq!(stdout(&by_ana(&["get", "app/a"])), "app/a\n1\n");
        for arguments in [["put", "secret", "1"].as_slice(), &["get", "secret"], &["get", "--prefix", ""]] {
            let output = by_ana(arguments);
            assert!(stderr(&output).contains(DENIED), "{arguments:?}: {}", stderr(&output));
        }
        let status = etcdctl(&one, "", &["endpoint", "status", "-w", "simple"], "");
        assert_eq!(status.status.code(), Some(0), "how a member is, anybody may know");
    }
    assert_eq!(said(&cluster, ANA, &["lock", "app/lock", "echo", "held"]), "held\n");
    refused(&cluster, ANA, &["move-leader", "1"], DENIED);
    refused(&cluster, ANA, &["defrag"], "auth: permission denied");
    assert_eq!(said(&cluster, ROOT, &["user", "revoke-role", "ana", "app"]).lines().count(), 1);
    refused(&cluster, ANA, &["get", "app/a"], DENIED);
    assert_eq!(said(&cluster, ROOT, &["auth", "disable"]), "Authentication Disabled\n");
    assert_eq!(said(&cluster, "", &["get", "app/a"]), "app/a\n1\n");
}

#[test]
fn a_txn_that_is_refused_leaves_no_trace_on_any_member() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    with_users(&cluster);
    let txn = "\nput app/b 1\nget secret\n\n\n";
    for endpoint in cluster.addresses(3) {
        let output = etcdctl(&[endpoint], ANA, &["txn"], txn);
        assert!(stderr(&output).contains(DENIED), "{}", stderr(&output));
    }
    assert_eq!(said(&cluster, ROOT, &["put", "last", "1"]), "OK\n");
    for endpoint in cluster.addresses(3) {
        let one = [endpoint];
        wait("the last write on each member", || {
            let last = etcdctl(&one, ROOT, &["get", "last", "--consistency=s"], "");
            (stdout(&last) == "last\n1\n").then_some(())
        });
        let all = etcdctl(&one, ROOT, &["get", "--prefix", "app/", "--consistency=s"], "");
        assert_eq!((all.status.code(), stdout(&all)), (Some(0), String::new()));
    }
    let hashes = said(&cluster, ROOT, &["endpoint", "hashkv", "-w", "simple"]);
    let hashes: Vec<&str> = hashes.lines().filter_map(|line| line.rsplit(", ").next()).collect();
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

/// The status and the body of a request over HTTP.
pub fn http(address: &str, request: &str, token: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let token = if token.is_empty() { String::new() } else { format!("Authorization: {token}\r\n") };
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\n{token}Content-Type: application/json\r\n");
    let length = body.len();
    write!(stream, "{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn token(address: &str, name: &str, password: &str) -> String {
    let body = format!(r#"{{"name":"{name}","password":"{password}"}}"#);
    let (code, said) = http(address, "POST /v3/auth/authenticate", "", &body);
    assert_eq!(code, 200, "{said}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    said["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_is_good_at_every_member_and_after_a_restart() {
    let cluster = Cluster::up(3);
    let address = |number| cluster.address(number);
    let post = |path: &str, body: &str| {
        let (code, said) = http(&address(2), &format!("POST {path}"), "", body);
        assert_eq!(code, 200, "{path}: {said}");
    };
    post("/v3/auth/user/add", r#"{"name":"root","password":"secret"}"#);
    post("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#);
    post("/v3/auth/role/add", r#"{"name":"app"}"#);
    post(
        "/v3/auth/role/grant",
        r#"{"name":"app","perm":{"permType":"READWRITE","key":"YQ==","range_end":"Yg=="}}"#,
    );
    post("/v3/auth/user/add", r#"{"name":"ana","password":"hers"}"#);
    post("/v3/auth/user/grant", r#"{"user":"ana","role":"app"}"#);
    post("/v3/auth/enable", "{}");
    let ana = token(&address(1), "ana", "hers");
    // A member that has not heard of the token yet asks before it calls it wrong.
    for number in 1..=3 {
        let own = http(&address(number), "GET /kv/a1?serializable", &ana, "");
        assert_eq!(own.0, 404, "{own:?}");
    }
    assert_eq!(http(&address(3), "PUT /kv/a1", &ana, "1").0, 200);
    assert_eq!(http(&address(2), "GET /kv/a1", &ana, ""), (200, "1".to_owned()));
    assert_eq!(http(&address(2), "GET /kv/x1", &ana, "").0, 403);
    assert_eq!(http(&address(2), "PUT /kv/a1", "", "2").0, 401);
    assert_eq!(http(&address(2), "POST /transfer", &ana, r#"{"to":"n1"}"#).0, 403);

    cluster.ok(&["kill", "all"]);
    cluster.ok(&["restart", "all"]);
    let again = wait("a cluster that answers", || {
        let said = http(&address(1), "GET /kv/a1", &ana, "");
        (said.0 < 500).then_some(said)
    });
    assert_eq!(again, (200, "1".to_owned()), "a restart ends no token");
    assert_eq!(http(&address(3), "PUT /kv/a1", "", "2").0, 401, "and opens no door");

    // Our own commands say who asks if the environment does.
    let servers = cluster.addresses(3).join(",");
    let client = |user: &str, words: &[&str]| {
        let mut command = jangada();
        command.env("JANGADA_USER", user).args(["client", "--servers", &servers]).args(words);
        let output = command.output().unwrap();
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    assert_eq!(client("ana:hers", &["get", "a1"]), (Some(0), "1\n".to_owned()));
    for (user, why) in [("", "NOAUTH"), ("ana:wrong", "WRONGPASS"), ("ana:hers", "NOPERM")] {
        let (code, said) = client(user, &["get", "x1"]);
        assert!(code == Some(4) && said.contains(why), "{user}: {said}");
    }
    let transfer = |user: &str| {
        let mut command = jangada();
        command.env("JANGADA_USER", user).arg("cluster").arg("--dir").arg(cluster.data());
        command.args(["transfer", &cluster.follower()]).output().unwrap()
    };
    let (denied, refused) = (transfer("ana:hers"), transfer(""));
    assert!(stderr(&denied).contains("only a user with the role root"), "{}", stderr(&denied));
    assert!(stderr(&refused).contains("auth is on"), "{}", stderr(&refused));
    expect_exit(&transfer("root:secret"), 0);

    // The same users, at the same port, in Redis's words and in plain ones.
    let refused = ask(&address(3), &["GET", "a1"], std::time::Duration::from_secs(5)).unwrap();
    assert!(format!("{refused:?}").contains("NOAUTH"), "{refused:?}");
    let lines = netcat(&address(2), "get a1\nauth ana hers\nget a1\nget x1\n", 4);
    assert_eq!(
        lines,
        [
            "error: nobody has said who asks: log in first (AUTH user password)",
            "+OK",
            "1",
            "error: this user may not do that"
        ]
    );
}
