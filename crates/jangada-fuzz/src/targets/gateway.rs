//! Calls of etcd's API as JSON, over a bare store. An input is text: each line a path behind `/v3/`, a space, and a body.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use jangada_etcd::{Gateway, GrpcBody};
use serde_json::Value;
use tokio::time::timeout;
use tonic::codegen::http::{Request, Response};

use crate::bare::Bare;
use crate::virtual_time;

/// How long an answer is listened to. Some never end.
const LISTENS: Duration = Duration::from_secs(60);

/// Whoever does not wait for a password to be hashed tries many more inputs.
const SLOW: [&str; 3] = ["auth/authenticate", "auth/user/add", "auth/user/changepw"];

/// Asks line by line.
pub(crate) fn run(input: &[u8]) {
    virtual_time::run(async {
        let bare = Bare::default();
        for line in input.split(|&byte| byte == b'\n') {
            let space = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
            let (path, body) = line.split_at(space);
            let Ok(path) = std::str::from_utf8(path) else { continue };
            if SLOW.contains(&path) {
                continue;
            }
            let Ok(request) = Request::post(format!("/v3/{path}")).body(Full::from(body.to_vec())) else {
                continue;
            };
            let gateway = Gateway::new(bare.services(), Duration::from_secs(5));
            // Whoever waits for a lock, or for a leader, hears nothing before.
            if let Ok(answer) = timeout(LISTENS, gateway.answer(request)).await {
                understood(answer).await;
            }
        }
    });
}

/// Every answer is JSON of the shape that its status promises.
async fn understood(answer: Response<GrpcBody>) {
    let status = answer.status();
    if status.as_u16() == 404
        && answer.headers().get("content-type").is_some_and(|kind| kind != "application/json")
    {
        // No such path.
        return;
    }
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Ok(Some(frame)) = timeout(LISTENS, body.frame()).await {
        let frame = frame.expect("the answer does not break off");
        text.extend_from_slice(&frame.into_data().expect("JSON has no trailers"));
    }
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let value: Value = serde_json::from_slice(line).expect("an answer is JSON");
        let error = value.get("error");
        assert!(value.is_object(), "{value}");
        assert!(status.is_success() || error.is_some(), "{status}: {value}");
        assert!(!status.is_success() || error.is_none_or(Value::is_object), "{status}: {value}");
    }
}
