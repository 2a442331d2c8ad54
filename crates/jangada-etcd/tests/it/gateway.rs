//! The JSON gateway over a bare store.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Channel, Full, channel::Sender};
use jangada_etcd::{Gateway, GrpcBody, Refusal};
use serde_json::{Value, json};
use tonic::codegen::http::{Request, Response};

use crate::bare::{Bare, REQUEST_BYTES};

type Answer = Response<GrpcBody>;

async fn ask(bare: &Bare, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from(body.to_owned())).unwrap();
    Gateway::new(bare.services(), Duration::from_secs(5)).answer(request).await
}

async fn text(answer: Answer) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The status and the JSON of an answer to a POST.
async fn post(bare: &Bare, path: &str, body: &str) -> (u16, Value) {
    let (status, text) = text(ask(bare, "POST", path, &[], body).await).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The next line of a stream.
async fn line(body: &mut GrpcBody) -> Value {
    let frame = body.frame().await.expect("a line").unwrap().into_data().unwrap();
    assert_eq!(frame.last(), Some(&b'\n'));
    serde_json::from_slice(&frame).unwrap()
}

/// A request of which more is said later, and the way to say it.
async fn open(bare: &Bare, path: &str, begin: &str) -> (Answer, Sender<Bytes, Infallible>) {
    let (mut sender, body) = Channel::new(4);
    sender.send_data(Bytes::copy_from_slice(begin.as_bytes())).await.unwrap();
    let request = Request::post(path).body(body).unwrap();
    (Gateway::new(bare.services(), Duration::from_secs(5)).answer(request).await, sender)
}

#[tokio::test]
async fn fields_are_written_as_etcd_writes_them() {
    let bare = Bare::default();
    let header = |revision: &str| json!({ "cluster_id": "7", "member_id": "1", "revision": revision, "raft_term": "3" });
    let put = post(&bare, "/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#).await;
    assert_eq!(put, (200, json!({ "header": header("2") })), "numbers of 64 bits are strings");
    let kv = json!({ "key": "Zm9v", "create_revision": "2", "mod_revision": "2", "version": "1", "value": "YmFy" });
    // Names as in the .proto files or in camel case; numbers as numbers or strings; what is unknown is left aside.
    for range in [
        r#"{"key":"Zm9v"}"#,
        r#"{"key":"Zm9v","rangeEnd":"Zm9w","sort_order":"DESCEND","limit":5}"#,
        r#"{"key":"Zm9v","range_end":"Zm9w","sortOrder":2,"limit":"5","nobody_knows":[1]}"#,
        " {\"key\":\"Zm9v\"} and more that nobody reads",
    ] {
        let answer = post(&bare, "/v3/kv/range", range).await;
        assert_eq!(answer, (200, json!({ "header": header("2"), "kvs": [kv], "count": "1" })), "{range}");
    }
    let txn = r#"{"compare":[{"target":"VERSION","key":"Zm9v","version":"0"}],
        "success":[{"request_put":{"key":"Zm9v"}}], "failure":[{"requestRange":{"key":"Zm9v"}}]}"#;
    let (status, answer) = post(&bare, "/v3/kv/txn", txn).await;
    assert_eq!(status, 200);
    let range = &answer["responses"][0]["response_range"];
    assert_eq!((&answer["succeeded"], &range["kvs"]), (&Value::Null, &json!([kv])), "{answer}");
}

#[tokio::test]
async fn errors_are_told_in_etcds_shape() {
    let bare = Bare::default();
    let told = |code: i32, message: &str| json!({ "error": message, "message": message, "code": code });
    for empty in ["", "  ", "{}"] {
        let answer = post(&bare, "/v3/kv/range", empty).await;
        assert_eq!(answer, (400, told(3, "etcdserver: key is not provided")));
    }
    let future = post(&bare, "/v3/kv/range", r#"{"key":"YQ==","revision":"99"}"#).await;
    assert_eq!(future, (400, told(11, "etcdserver: mvcc: required revision is a future revision")));
    let headers = [("authorization", "somebody")];
    let (status, answer) =
        text(ask(&bare, "POST", "/v3/kv/range", &headers, r#"{"key":"YQ=="}"#).await).await;
    assert_eq!((status, answer.contains("invalid auth token")), (401, true), "{answer}");
    for (body, why) in [
        ("xx", "a request is a JSON object: '{', not 'x'"),
        (r#"{"key":"#, "the JSON ends in the middle"),
        (r#"{"key":"!!"}"#, "invalid base64"),
        (r#"{"key":5}"#, "base64"),
        (r#"{"key":"YQ==","limit":1.5}"#, "expected integer value"),
        (r#"{"key":"YQ==","sort_order":"SIDEWAYS"}"#, "SIDEWAYS"),
    ] {
        let (status, answer) = post(&bare, "/v3/kv/range", body).await;
        assert_eq!((status, &answer["code"]), (400, &json!(3)), "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(why), "{body}: {answer}");
    }
    assert_eq!(
        text(ask(&bare, "GET", "/v3/kv/range", &[], "").await).await,
        (405, "Method Not Allowed\n".to_owned())
    );
    assert_eq!(
        text(ask(&bare, "POST", "/v3/kv/nope", &[], "{}").await).await,
        (404, "Not Found\n".to_owned())
    );
    let refused = Bare { refusal: Some(Refusal::Busy), ..Bare::default() };
    let (status, answer) = post(&refused, "/v3/kv/put", r#"{"key":"YQ=="}"#).await;
    assert_eq!((status, answer), (429, told(8, "etcdserver: too many requests")));
}

#[tokio::test]
async fn a_wish_for_a_leader_is_handed_on() {
    let bare = Bare { leaderless: true, ..Bare::default() };
    let headers = [("grpc-metadata-hasleader", "true")];
    let (status, answer) =
        text(ask(&bare, "POST", "/v3/kv/range", &headers, r#"{"key":"YQ=="}"#).await).await;
    assert_eq!((status, answer.contains("etcdserver: no leader")), (503, true), "{answer}");
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_is_read_whole() {
    let bare = Bare::default();
    let long = format!(r#"{{"key":"YQ==","value":"{}"}}"#, "A".repeat(4 * REQUEST_BYTES + (2 << 20)));
    let (status, answer) = post(&bare, "/v3/kv/put", &long).await;
    assert_eq!((status, &answer["code"]), (429, &json!(8)), "{answer}");
    let above = format!(r#"{{"key":"YQ==","value":"{}"}}"#, "A".repeat(2 * REQUEST_BYTES));
    let (status, answer) = post(&bare, "/v3/kv/put", &above).await;
    assert_eq!((status, &answer["message"]), (400, &json!("etcdserver: request is too large")));
}

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() {
    let bare = Bare::default();
    let (_sender, body) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post("/v3/kv/range").body(body).unwrap();
    let answer = Gateway::new(bare.services(), Duration::from_millis(1)).answer(request).await;
    assert_eq!(answer.status().as_u16(), 504);
}

#[tokio::test]
async fn a_watch_is_a_line_for_each_message() {
    let bare = Bare::default();
    bare.put("foo", "bar").await;
    // The body has ended: the client says no more, but listens on.
    let asked = r#"{"create_request":{"key":"Zm9v","start_revision":"1"}}"#;
    let answer = ask(&bare, "POST", "/v3/watch", &[], asked).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let mut body = answer.into_body();
    assert_eq!(line(&mut body).await["result"]["created"], json!(true));
    let event = line(&mut body).await;
    assert_eq!(event["result"]["events"][0]["kv"]["value"], json!("YmFy"), "{event}");
    bare.put("foo", "2").await;
    assert_eq!(line(&mut body).await["result"]["events"][0]["kv"]["version"], json!("2"));
}

#[tokio::test]
async fn a_stream_takes_more_requests_as_they_come() {
    let bare = Bare::default();
    bare.put("a", "1").await;
    let (answer, mut sender) = open(&bare, "/v3/watch", r#"{"create_request":{"key":"YQ=="}}{"progr"#).await;
    let mut body = answer.into_body();
    assert_eq!(line(&mut body).await["result"]["created"], json!(true));
    sender.send(Frame::data(Bytes::from_static(b"ess_request\":{}}"))).await.unwrap();
    assert_eq!(line(&mut body).await["result"]["watch_id"], json!("-1"));
    // What cannot be understood ends the stream, and the last line says why.
    sender.send(Frame::data(Bytes::from_static(b"?"))).await.unwrap();
    let last = line(&mut body).await;
    let error = &last["error"];
    assert_eq!((&error["grpc_code"], &error["http_status"]), (&json!(3), &json!("Bad Request")), "{last}");
    assert!(error["message"].as_str().unwrap().contains("not '?'"), "{last}");
    assert!(body.frame().await.is_none());
}
