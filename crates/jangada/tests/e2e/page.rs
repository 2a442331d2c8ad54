//! The laboratory's page and a server's console, without a browser: who may come in, and what is sent. What is to be
//! seen there is tested in a real browser (`crates/jangada/web/tests`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Cluster, Guarded, PATIENCE, jangada, ports, wait};

/// The answer to a request, head and body; an endless one is read up to the first `until`.
fn ask(port: u16, request: &str, until: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut part = [0; 4_096];
    loop {
        let read = stream.read(&mut part).unwrap();
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes);
        if read == 0 || (!until.is_empty() && text.contains(until)) {
            return text.into_owned();
        }
    }
}

fn get(port: u16, host: &str, path: &str) -> String {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"), "")
}

fn post(port: u16, origin: &str, path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{origin}Content-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    ask(port, &head, "")
}

/// A laboratory with a page, its port and its token.
fn open(dir: &std::path::Path, more: &[&str]) -> (Guarded, u16, String) {
    let mut command = jangada();
    command.current_dir(dir).args(["lab", "--page", "--ports", &ports(40).to_string()]).args(more);
    let lab = Guarded::spawn(command.stdin(Stdio::piped()));
    let (port, token) = wait("the page's address", || {
        let said = lab.said();
        let url = said.split("browser http://127.0.0.1:").nth(1)?.split_whitespace().next()?.to_owned();
        let (port, token) = url.split_once("/?token=")?;
        (token.len() == 32).then(|| (port.parse().unwrap(), token.to_owned()))
    });
    (lab, port, token)
}

#[test]
fn only_who_has_the_token_comes_in_and_only_the_page_itself_does_something() {
    let dir = tempfile::tempdir().unwrap();
    let (_lab, port, token) = open(dir.path(), &["--sim", "--seed", "7"]);
    let ours = format!("127.0.0.1:{port}");
    let page = get(port, &ours, &format!("/?token={token}"));
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for header in ["content-security-policy: default-src 'none'", "nosniff", "no-referrer"] {
        assert!(page.to_lowercase().contains(header), "{header}: {page}");
    }
    for (host, path) in [
        (ours.as_str(), "/"),
        (&ours, "/?token=00000000000000000000000000000000"),
        (&ours, "/events"),
        (&ours, "/picture.svg"),
        ("evil.example", &format!("/?token={token}")),
        (&format!("evil.example:{port}"), &format!("/events?token={token}")),
    ] {
        let refused = get(port, host, path);
        assert!(refused.starts_with("HTTP/1.1 403"), "{host}{path}: {refused}");
    }
    let (line, body) = (format!("/line?token={token}"), r#"{"line":"crash 1"}"#);
    let origin = format!("Origin: http://{ours}\r\n");
    assert!(post(port, "", &line, body).starts_with("HTTP/1.1 403"), "no Origin");
    assert!(post(port, "Origin: http://evil.example\r\n", &line, body).starts_with("HTTP/1.1 403"));
    assert!(post(port, &origin, "/line?token=0", body).starts_with("HTTP/1.1 403"));
    assert!(post(port, &origin, &line, "{}").starts_with("HTTP/1.1 400"));
    assert!(post(port, &origin, &line, body).ends_with(r#"{"outcome":"done"}"#));
    assert!(post(port, &origin, &line, body).ends_with(r#"{"outcome":"refused"}"#), "it is down already");
    assert!(post(port, &origin, &line, r#"{"line":"save /tmp/x"}"#).ends_with(r#"{"outcome":"refused"}"#));
}

#[test]
fn events_go_on_where_they_were_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let (_lab, port, token) = open(dir.path(), &["--sim", "--seed", "7"]);
    let origin = format!("Origin: http://127.0.0.1:{port}\r\n");
    let line = |line: &str| {
        let done = post(port, &origin, &format!("/line?token={token}"), &format!("{{\"line\":\"{line}\"}}"));
        assert!(done.ends_with(r#"{"outcome":"done"}"#), "{done}");
    };
    let events = |last: &str, until: &str| {
        let request = format!(
            "GET /events?token={token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nLast-Event-ID: {last}\r\n\r\n"
        );
        ask(port, &request, until)
    };
    line("wait leader");
    let first = events("", "n1 leads term 1");
    assert!(first.contains(r#""restarts":true"#) && first.contains(r#""event":"log_opened""#), "{first}");
    let id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().trim().to_owned();
    line("crash 1");
    let second = events(&id, r#""what":"crash""#);
    assert!(
        second.contains(r#""restarts":false"#) && !second.contains(r#""event":"log_opened""#),
        "{second}"
    );
    // What is handed in: all of it, and nothing that was not.
    let ours = format!("127.0.0.1:{port}");
    let picture = || get(port, &ours, &format!("/picture.svg?token={token}"));
    let saved = picture();
    assert!(
        saved.contains("attachment; filename=\"jangada.svg\"") && saved.contains("image/svg+xml"),
        "{saved}"
    );
    assert!(saved.contains(">leader · term 1<") && saved.contains("down for"), "{saved}");
    // Another world: nothing of what was seen belongs to it.
    line("back");
    assert!(!picture().contains("down for"));
    let third = events(&id, "n1 leads term 1");
    assert!(third.contains(r#""restarts":true"#) && !third.contains(r#""what":"crash""#), "{third}");
}

#[test]
fn a_server_shows_its_console_under_its_own_address_alone() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(2);
    let server = Guarded::serve(dir.path(), base, &[]);
    server.wait_said("ready");
    let ours = format!("127.0.0.1:{base}");
    let page = get(base, &ours, "/console/");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("console.js"), "{page}");
    assert!(get(base, &ours, "/console").starts_with("HTTP/1.1 308"));
    assert!(get(base, &ours, "/console/console.js").contains("text/javascript"));
    assert!(get(base, &ours, "/console/nothing").starts_with("HTTP/1.1 404"));
    assert!(get(base, "evil.example", "/console/").starts_with("HTTP/1.1 403"));
    assert!(post(base, &format!("Origin: http://{ours}\r\n"), "/console/", "{}").starts_with("HTTP/1.1 405"));
}

/// What the console of n1 says of a member, from a record on: the first line, and the records.
fn news(cluster: &Cluster, of: &str, query: &str) -> (Value, Vec<Value>) {
    let ours = cluster.address(1);
    let answer = get(cluster.base, &ours, &format!("/console/of/{of}?{query}"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // What comes in chunks has their lengths between the lines.
    let lines = answer.lines().filter(|line| line.starts_with('{'));
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let first = lines.next().unwrap();
    (first, lines.collect())
}

#[test]
fn a_console_gives_the_news_of_every_member_and_a_dead_one_delays_nobody() {
    let cluster = Cluster::up(3);
    let leader = cluster.leader();
    let (first, records) = news(&cluster, "n2", "");
    assert_eq!(first["status"]["name"], "n2");
    assert_eq!(records[0]["event"], "log_opened", "from the beginning: {:?}", records[0]);
    let terms = first["status"]["log"]["terms"].as_array().unwrap();
    assert_eq!(terms.len() as u64, first["status"]["last_index"].as_u64().unwrap());
    let (start, last) = (first["start"].as_str().unwrap().to_owned(), records.last().unwrap()["seq"].clone());
    let since = format!("start={start}&after={last}");
    let (_, newer) =
        wait("heartbeats", || Some(news(&cluster, "n2", &since)).filter(|(_, new)| !new.is_empty()));
    assert_eq!(
        newer[0]["seq"].as_u64(),
        last.as_u64().map(|last| last + 1),
        "what is known is not told again"
    );
    let (_, all) = news(&cluster, "n2", &format!("start=00&after={last}"));
    assert_eq!(all[0]["seq"], 1, "another start counts anew");

    let other = if leader == "n3" { "n2" } else { "n3" };
    cluster.ok(&["kill", other]);
    let silent = wait("the dead one", || news(&cluster, other, "").0["silent"].as_str().map(str::to_owned));
    assert!(silent.contains("nobody listens") || silent.contains("connection"), "{silent}");
    assert_eq!(news(&cluster, "n1", "").0["status"]["name"], "n1");
    let ours = cluster.address(1);
    assert!(get(cluster.base, &ours, "/console/of/n9").starts_with("HTTP/1.1 404"));
    assert!(get(cluster.base, "evil.example", "/console/of/n2").starts_with("HTTP/1.1 403"));
}
