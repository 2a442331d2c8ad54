//! HTTP on the client port.

use std::time::Duration;

use jangada_server::handle::{AdminAnswer, AdminError, AdminRequest, Tolerance};

use crate::client::Client;
use crate::core::lock;

/// The status line's code, the head, and the body of one exchange.
async fn ask(client: &mut Client, head: &str, body: &str) -> (u16, String, String) {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let request = format!("{head}\r\nHost: 127.0.0.1:2379\r\n{length}Connection: close\r\n\r\n{body}");
    client.send(request).await;
    let answer = client.rest().await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, head.to_ascii_lowercase(), body.to_owned())
}

async fn get(path: &str) -> (u16, String, String) {
    ask(&mut Client::new(), &format!("GET {path} HTTP/1.1"), "").await
}

/// Posts to a server that answers administration so.
async fn post(
    path: &str,
    headers: &str,
    body: &str,
    answer: Result<AdminAnswer, AdminError>,
) -> (u16, serde_json::Value, Vec<AdminRequest>) {
    let mut client = Client::new();
    lock(&client.core).admin = Some(answer);
    let (code, _, text) = ask(&mut client, &format!("POST {path} HTTP/1.1\r\n{headers}"), body).await;
    let asked = std::mem::take(&mut lock(&client.core).asked);
    (code, serde_json::from_str(&text).expect(&text), asked)
}

const JSON: &str = "Content-Type: application/json";
const TRANSFER: &str = r#"{"to":"n2"}"#;

fn transferred() -> Result<AdminAnswer, AdminError> {
    Ok(AdminAnswer::Transferred { leader: "n2".to_owned(), term: 4 })
}

#[tokio::test(start_paused = true)]
async fn health() {
    assert_eq!(get("/livez").await.0, 200);
    let (code, _, body) = get("/readyz").await;
    assert_eq!((code, body.as_str()), (200, "ok\n"));
    let mut client = Client::new();
    let status = jangada_server::status::Status::starting("n1", 1);
    client.shared.handle.board().publish(status);
    let (code, _, body) = ask(&mut client, "GET /readyz HTTP/1.1", "").await;
    assert_eq!((code, body.as_str()), (503, "starting: no leader is known yet\n"));
    let (code, _, body) = ask(&mut client.another(), "GET /health HTTP/1.1", "").await;
    assert_eq!((code, body.as_str()), (503, r#"{"health":"false","reason":"RAFT NO LEADER"}"#));
    let (code, _, body) = ask(&mut client.another(), "GET /health?serializable=true HTTP/1.1", "").await;
    assert_eq!((code, body.as_str()), (200, r#"{"health":"true","reason":""}"#));
    let (code, _, body) = get("/health").await;
    assert_eq!((code, body.as_str()), (200, r#"{"health":"true","reason":""}"#));
    let (code, _, body) = get("/version").await;
    assert_eq!((code, body.as_str()), (200, r#"{"etcdserver":"3.5.17","etcdcluster":"3.5.0"}"#));
    assert_eq!(get("/nosuch").await.0, 404);
    assert_eq!(get("/members").await.0, 405);
}

#[tokio::test(start_paused = true)]
async fn status_and_metrics() {
    let (code, head, body) = get("/status").await;
    assert_eq!(code, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["name"], "n1");
    assert_eq!(status["role"], "follower");
    assert_eq!(status["problem"], serde_json::Value::Null);

    let mut client = Client::new();
    let mut other = client.another();
    other.check(&[("SET a 1", "+OK"), ("GET a", "$1 1")]).await;
    let (code, head, body) = ask(&mut client, "GET /metrics HTTP/1.1", "").await;
    assert_eq!(code, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    for line in [
        "jangada_commands_total{command=\"set\"} 1",
        "jangada_batch_seconds_count{kind=\"read\"} 1",
        "jangada_http_requests_total 1",
        "jangada_ready 1",
    ] {
        assert!(body.contains(&format!("\n{line}\n")), "{line} in {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_members() {
    let tolerance = |voters: &[&str], tolerates| Tolerance {
        voters: voters.iter().map(|name| (*name).to_owned()).collect(),
        tolerates,
    };
    let answer =
        AdminAnswer::Members { before: tolerance(&["n1"], 0), after: tolerance(&["n1", "n2", "n3"], 1) };
    let body = r#"{"voters":["n1","n2"],"new":[{"name":"n2","peer_addr":"a:1","client_addr":"a:2"}]}"#;
    let (code, json, asked) = post("/members", JSON, body, Ok(answer)).await;
    assert_eq!(code, 200);
    assert_eq!(json["after"]["tolerates"], 1);
    assert_eq!(json["before"]["voters"], serde_json::json!(["n1"]));
    let [AdminRequest::ChangeMembers(change)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(
        (change.voters.len(), change.new[0].peer_addr.as_str(), change.timeout_ms),
        (2, "a:1", 10_000)
    );
}

#[tokio::test(start_paused = true)]
async fn a_transfer_and_its_failures() {
    let (code, json, asked) = post("/transfer", JSON, TRANSFER, transferred()).await;
    assert_eq!((code, json["leader"].as_str(), json["term"].as_u64()), (200, Some("n2"), Some(4)));
    assert_eq!(asked.len(), 1);
    let leader_client_addr = Some("127.0.0.1:2381".to_owned());
    for (error, code, kind) in [
        (AdminError::Refused("no".to_owned()), 409, "refused"),
        (AdminError::NotLeader { why: "no".to_owned(), leader_client_addr }, 421, "not_leader"),
        (AdminError::NoQuorum("no".to_owned()), 503, "no_quorum"),
        (AdminError::OutcomeUnknown("no".to_owned()), 504, "unknown_outcome"),
        (AdminError::Deadline("no".to_owned()), 504, "deadline"),
    ] {
        let is_leader_told = matches!(error, AdminError::NotLeader { .. });
        let (got, json, _) = post("/transfer", JSON, TRANSFER, Err(error)).await;
        assert_eq!((got, json["kind"].as_str(), json["error"].as_str()), (code, Some(kind), Some("no")));
        assert_eq!(json["leader_client_addr"].is_string(), is_leader_told);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_foreign_page_can_send_changes_nothing() {
    for (headers, body, code) in [
        ("Content-Type: text/plain", TRANSFER, 415),
        ("Content-Type: application/x-www-form-urlencoded", TRANSFER, 415),
        ("Origin: http://evil.example\r\nContent-Type: application/json", TRANSFER, 403),
        ("Origin: null\r\nContent-Type: application/json", TRANSFER, 403),
        (JSON, "{\"to\":", 400),
        (JSON, r#"{"to":"n2","tO":1}"#, 400),
    ] {
        let (got, json, asked) = post("/transfer", headers, body, transferred()).await;
        assert_eq!((got, json["kind"].as_str()), (code, Some("refused")), "{headers} {body}");
        assert!(asked.is_empty());
    }
    let own = "Origin: http://127.0.0.1:2379\r\nContent-Type: application/json; charset=utf-8";
    assert_eq!(post("/transfer", own, TRANSFER, transferred()).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_silent_replica_and_a_slow_client_are_not_waited_for() {
    let mut client = Client::new();
    let (code, _, body) = {
        let head = format!("POST /transfer HTTP/1.1\r\n{JSON}");
        ask(&mut client, &head, r#"{"to":"n2","timeout_ms":100}"#).await
    };
    assert_eq!(code, 504, "{body}");

    let mut slow = Client::new();
    slow.send("GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow:").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(slow.is_over());

    let mut large = Client::new();
    large.send(format!("GET /livez HTTP/1.1\r\nX-Large: {}", "x".repeat(40_000))).await;
    assert!(large.rest().await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_only_looks_like_http_is_a_line() {
    let mut client = Client::new();
    client.send("SET /livez up\nGET /livez\n").await;
    client.expect("OK\nup\n").await;
    let mut client = client.another();
    client.send("GET /livez\n").await;
    client.expect("up\n").await;
}

#[tokio::test(start_paused = true)]
async fn the_flight_recorder_is_read_as_json_lines() {
    let (code, head, body) = get("/debug/records?last_ms=60000").await;
    assert_eq!((code, body.as_str()), (200, ""), "nothing has happened yet");
    assert!(
        head.contains("content-type: application/x-ndjson") && head.contains("jangada-time-ns: "),
        "{head}"
    );
    assert_eq!(get("/debug/records").await.0, 200);
    for wrong in ["last_ms=soon", "first_ms=5", "last_ms=-1"] {
        assert_eq!(get(&format!("/debug/records?{wrong}")).await.0, 400, "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_members_news_are_its_status_and_its_records() {
    let mut client = Client::new();
    client.shared.handle.board().publish(jangada_server::status::Status::starting("n1", 1));
    let (code, head, body) = ask(&mut client, "GET /debug/news?start=0&after=3 HTTP/1.1", "").await;
    assert!(code == 200 && head.contains("content-type: application/x-ndjson"), "{head}");
    let first: serde_json::Value = serde_json::from_str(body.lines().next().unwrap()).unwrap();
    assert_eq!(first["status"]["name"], "n1");
    assert!(first["now_ns"].is_u64() && first["start"].is_string(), "{first}");
    for wrong in ["after=soon", "last_ms=5", "start"] {
        assert_eq!(get(&format!("/debug/news?{wrong}")).await.0, 400, "{wrong}");
    }
}
