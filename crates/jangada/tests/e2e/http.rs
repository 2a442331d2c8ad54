//! curl against a cluster: keys as they are, and etcd's calls as JSON.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::{Cluster, Guarded, installed, ports, wait};

/// What curl says to a path of a member, and to what follows.
fn curl(cluster: &Cluster, member: u16, path: &str, arguments: &[&str]) -> String {
    curl_to(&cluster.address(member), path, arguments)
}

fn curl_to(address: &str, path: &str, arguments: &[&str]) -> String {
    let url = format!("http://{address}{path}");
    let output =
        Command::new("curl").args(["--silent", "--max-time", "20", &url]).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A curl that listens on; ended with the test.
struct Listening(Child);

impl Listening {
    fn start(
        cluster: &Cluster,
        member: u16,
        path: &str,
        arguments: &[&str],
    ) -> (Listening, impl Iterator<Item = String> + use<>) {
        let url = format!("http://{}{path}", cluster.address(member));
        let mut command = Command::new("curl");
        command.args(["--silent", "--no-buffer", "--max-time", "60", &url]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        (Listening(child), lines.filter(|line| !line.is_empty()))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn curl_puts_gets_and_deletes_keys() {
    if !installed("curl") {
        return;
    }
    let cluster = Cluster::up(3);
    assert_eq!(curl(&cluster, 1, "/kv/app/colour", &["-X", "PUT", "--data-binary", "red"]), "2\n");
    for member in 1..=3 {
        assert_eq!(curl(&cluster, member, "/kv/app/colour", &[]), "red", "through each member");
    }
    assert_eq!(
        curl(&cluster, 2, "/kv/app/size", &["-X", "PUT", "-H", "If-None-Match: *", "--data-binary", "8"]),
        "3\n"
    );
    let late =
        curl(&cluster, 3, "/kv/app/size", &["-X", "PUT", "-H", "If-Match: \"2\"", "--data-binary", "9"]);
    assert_eq!(late, "revision 3 wrote this key last\n");
    assert_eq!(curl(&cluster, 1, "/kv/app/?prefix", &[]), "app/colour\napp/size\n");
    // A file as it is, whatever its bytes.
    let file = cluster.data().join("bytes");
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    std::fs::write(&file, &bytes).unwrap();
    curl(&cluster, 2, "/kv/bytes", &["-X", "PUT", "--data-binary", &format!("@{}", file.display())]);
    let back = cluster.data().join("back");
    curl(&cluster, 3, "/kv/bytes", &["--output", back.to_str().unwrap()]);
    assert_eq!(std::fs::read(back).unwrap(), bytes);
    assert_eq!(curl(&cluster, 3, "/kv/app/?prefix", &["-X", "DELETE"]), "2\n");
    assert_eq!(curl(&cluster, 1, "/kv/app/colour", &[]), "no such key\n");
}

#[test]
fn curl_is_told_what_happens() {
    if !installed("curl") {
        return;
    }
    let cluster = Cluster::up(3);
    let put = |key: &str, value: &str| curl(&cluster, 1, key, &["-X", "PUT", "--data-binary", value]);
    assert_eq!(put("/kv/app/a", "1"), "2\n");
    let (_listening, mut told) = Listening::start(&cluster, 2, "/kv/app/?watch&prefix&revision=2", &[]);
    assert_eq!(put("/kv/beside", "x"), "3\n");
    assert_eq!(curl(&cluster, 3, "/kv/app/a", &["-X", "DELETE"]), "1\n");
    let lines: Vec<String> = told.by_ref().take(6).collect();
    assert_eq!(
        lines,
        [
            "event: put",
            r#"data: {"key":"app/a","mod_revision":2,"value":"1"}"#,
            "id: 2",
            "event: delete",
            r#"data: {"key":"app/a","mod_revision":4}"#,
            "id: 4"
        ]
    );
    // Whoever comes back goes on behind what they saw last.
    let (_listening, mut again) =
        Listening::start(&cluster, 3, "/kv/app/?watch&prefix", &["-H", "Last-Event-ID: 2"]);
    assert_eq!(again.next().as_deref(), Some("event: delete"));
}

#[test]
fn etcds_calls_are_answered_as_json() {
    if !installed("curl") {
        return;
    }
    let cluster = Cluster::up(3);
    let put = curl(&cluster, 1, "/v3/kv/put", &["-d", r#"{"key":"Zm9v","value":"YmFy"}"#]);
    assert!(put.starts_with(r#"{"header":{"cluster_id":""#) && put.contains(r#""revision":"2""#), "{put}");
    let range = curl(&cluster, 2, "/v3/kv/range", &["-d", r#"{"key":"Zm9v"}"#]);
    let kv = r#""kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}],"count":"1"}"#;
    assert!(range.ends_with(kv), "{range}");
    let error = curl(&cluster, 3, "/v3/kv/range", &["-d", "{}"]);
    assert_eq!(
        error,
        r#"{"error":"etcdserver: key is not provided","message":"etcdserver: key is not provided","code":3}"#
    );
    let foreign = curl(&cluster, 1, "/v3/kv/range", &["-d", "{}", "-H", "Origin: http://evil.example"]);
    assert!(foreign.contains("a page of another origin"), "{foreign}");
    let asked = r#"{"create_request":{"key":"Zm9v","start_revision":"2"}}"#;
    let (_listening, mut told) = Listening::start(&cluster, 3, "/v3/watch", &["-d", asked]);
    assert!(told.next().unwrap().ends_with(r#""created":true}}"#));
    assert!(told.next().unwrap().contains(r#""value":"YmFy"}}]}}"#));
    curl(&cluster, 1, "/v3/kv/deleterange", &["-d", r#"{"key":"Zm9v"}"#]);
    assert!(
        told.next()
            .unwrap()
            .contains(r#""events":[{"type":"DELETE","kv":{"key":"Zm9v","mod_revision":"3"}}]"#)
    );
    // A server that stops ends what it tells, with the reason.
    cluster.ok(&["down"]);
    let last = told.last().unwrap();
    assert!(last.contains(r#""grpc_code":14"#), "{last}");
}

#[test]
fn old_revisions_go_by_the_clock() {
    if !installed("curl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let base = ports(2);
    let server = Guarded::serve(dir.path(), base, &["--auto-compaction", "200ms"]);
    server.wait_said("ready: ");
    let ask = |path: &str, arguments: &[&str]| curl_to(&format!("127.0.0.1:{base}"), path, arguments);
    for revision in 2..=4 {
        assert_eq!(ask("/kv/a", &["-X", "PUT", "-d", &revision.to_string()]), format!("{revision}\n"));
    }
    let old = || ask("/kv/a?revision=3", &[]);
    wait("the compaction of old revisions", || old().contains("has been compacted").then_some(()));
    assert_eq!(ask("/kv/a?revision=4", &[]), "4", "the last one is kept");
}

#[test]
fn a_lock_goes_from_one_member_to_the_next() {
    if !installed("curl") {
        return;
    }
    let cluster = Cluster::up(3);
    let call = |member, path: &str, body: &str| curl(&cluster, member, path, &["-d", body]);
    for lease in ["255", "1"] {
        let granted = call(1, "/v3/lease/grant", &format!(r#"{{"ID":"{lease}","TTL":"60"}}"#));
        assert!(granted.contains(r#""TTL":"60""#), "{granted}");
    }
    // The lock L, whose keys are L/ff and L/1.
    let held = call(1, "/v3/lock/lock", r#"{"name":"TA==","lease":"255"}"#);
    assert!(held.contains(r#""revision":"2""#) && held.contains(r#""key":"TC9mZg==""#), "{held}");
    let (_waiting, mut next) =
        Listening::start(&cluster, 3, "/v3/lock/lock", &["-d", r#"{"name":"TA==","lease":"1"}"#]);
    wait("the second to stand in line", || {
        call(2, "/v3/kv/range", r#"{"key":"TC8x"}"#).contains(r#""count":"1""#).then_some(())
    });
    // Its holder ends its lease instead of giving the lock back.
    call(2, "/v3/lease/revoke", r#"{"ID":"255"}"#);
    let held = next.next().unwrap();
    assert!(held.contains(r#""revision":"3""#) && held.contains(r#""key":"TC8x""#), "{held}");
    let nobody = call(3, "/v3/election/leader", r#"{"name":"TA=="}"#);
    assert!(nobody.contains(r#""key":"TC8x""#), "a lock and an election of one name are one queue: {nobody}");
}

#[test]
fn a_server_that_starts_tells_nothing_of_its_own_before_a_leader_has_told_it_what_holds() {
    if !installed("curl") {
        return;
    }
    let cluster = Cluster::up(3);
    assert_eq!(curl(&cluster, 1, "/kv/k", &["-X", "PUT", "--data-binary", "v"]), "2\n");
    for name in ["n1", "n2", "n3"] {
        cluster.wait_caught_up(name);
    }
    cluster.ok(&["down"]);
    cluster.ok(&["restart", "n1"]);
    let own = || curl(&cluster, 1, "/kv/k?serializable", &[]);
    let alone = own();
    assert!(alone.contains("no leader"), "{alone}");
    assert_eq!(curl(&cluster, 1, "/health?serializable=true", &[]), r#"{"health":"true","reason":""}"#);
    // A watch waits: what was there before it is no news to it.
    let asked = r#"{"create_request":{"key":"aw=="}}"#;
    let (_listening, mut told) = Listening::start(&cluster, 1, "/v3/watch", &["-d", asked]);
    cluster.ok(&["restart", "n2"]);
    wait("the key of before", || match own().as_str() {
        "v" => Some(()),
        refusal => {
            assert!(refusal.contains("no leader"), "{refusal}");
            None
        }
    });
    let created = told.next().unwrap();
    assert!(created.contains(r#""revision":"2""#) && created.contains(r#""created":true"#), "{created}");
    assert_eq!(curl(&cluster, 2, "/kv/k", &["-X", "PUT", "--data-binary", "w"]), "3\n");
    let first = told.next().unwrap();
    assert!(first.contains(r#""mod_revision":"3""#) && !first.contains(r#""mod_revision":"2""#), "{first}");
}
