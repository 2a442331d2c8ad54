//! Keys over plain HTTP.

use std::time::Duration;

use crate::client::Client;

/// One exchange: the code, the head in small letters, and the body.
async fn ask(
    client: &Client,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &str,
) -> (u16, String, String) {
    let mut connection = client.another();
    let mut request = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n");
    for header in headers {
        request += &format!("{header}\r\n");
    }
    request += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    connection.send(request).await;
    let answer = connection.rest().await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, head.to_ascii_lowercase(), body.to_owned())
}

/// The same, as `code body`.
async fn says(client: &Client, method: &str, target: &str, headers: &[&str], body: &str) -> String {
    let (code, _, body) = ask(client, method, target, headers, body).await;
    format!("{code} {}", body.trim_end())
}

#[tokio::test(start_paused = true)]
async fn a_value_is_put_got_and_deleted_as_it_is() {
    let client = Client::new();
    assert_eq!(says(&client, "GET", "/kv/colour", &[], "").await, "404 no such key");
    assert_eq!(says(&client, "PUT", "/kv/colour", &[], "red\n\"green\"").await, "200 2");
    let (code, head, value) = ask(&client, "GET", "/kv/colour", &[], "").await;
    assert_eq!((code, value.as_str()), (200, "red\n\"green\""));
    assert!(head.contains("etag: \"2\"") && head.contains("application/octet-stream"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "a value is no page: {head}");
    // The same store as everybody's.
    client.another().check(&[("GET colour", "$11 red\n\"green\"")]).await;
    assert_eq!(says(&client, "DELETE", "/kv/colour", &[], "").await, "200 1");
    assert_eq!(says(&client, "DELETE", "/kv/colour", &[], "").await, "404 0");
    assert_eq!(says(&client, "PUT", "/kv/empty", &[], "").await, "200 4");
    assert_eq!(says(&client, "GET", "/kv/empty", &[], "").await, "200 ");
}

#[tokio::test(start_paused = true)]
async fn writes_can_depend_on_the_revision_that_wrote_last() {
    let client = Client::new();
    let put = async |header: &str| says(&client, "PUT", "/kv/a", &[header], "x").await;
    assert_eq!(put("If-Match: \"2\"").await, "412 this key is not there");
    assert_eq!(put("If-Match: *").await, "412 this key is not there");
    assert_eq!(put("If-None-Match: *").await, "200 2");
    assert_eq!(put("If-None-Match: *").await, "412 revision 2 wrote this key last");
    assert_eq!(put("If-Match: \"2\"").await, "200 3");
    assert_eq!(put("If-Match: \"2\"").await, "412 revision 3 wrote this key last");
    assert_eq!(put("If-Match: soon").await.get(..3), Some("400"));
    let delete = async |header: &str| says(&client, "DELETE", "/kv/a", &[header], "").await;
    assert_eq!(delete("If-Match: \"2\"").await, "412 revision 3 wrote this key last");
    assert_eq!(says(&client, "GET", "/kv/a", &["If-None-Match: \"3\""], "").await, "304 ");
    assert_eq!(says(&client, "GET", "/kv/a", &["If-None-Match: \"2\""], "").await, "200 x");
    assert_eq!(delete("If-Match: \"3\"").await, "200 1");
    assert_eq!(delete("If-None-Match: *").await, "200 0".replace("200", "404"));
}

#[tokio::test(start_paused = true)]
async fn keys_that_begin_alike_are_listed_and_deleted_together() {
    let client = Client::new();
    for (key, value) in [("app/b", "2"), ("app/a%20b", "1"), ("app/%FF", "3"), ("apple", "4")] {
        assert_eq!(says(&client, "PUT", &format!("/kv/{key}"), &[], value).await.get(..3), Some("200"));
    }
    // Each line can be asked for again.
    assert_eq!(says(&client, "GET", "/kv/app/?prefix", &[], "").await, "200 app/a%20b\napp/b\napp/%FF");
    assert_eq!(says(&client, "GET", "/kv/?prefix&limit=1", &[], "").await, "200 app/a%20b");
    let (_, head, _) = ask(&client, "GET", "/kv/?prefix&limit=1", &[], "").await;
    assert!(head.contains("jangada-more: true"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "a listing is no page: {head}");
    let (_, _, json) = ask(&client, "GET", "/kv/app/?prefix", &["Accept: application/json"], "").await;
    let entries: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&entries[0]["key"], &entries[0]["value"]), (&"app/a b".into(), &"1".into()), "{json}");
    assert_eq!((&entries[2]["key_base64"], &entries[2]["mod_revision"]), (&"YXBwL/8=".into(), &4.into()));
    assert_eq!(says(&client, "GET", "/kv/apple?revision=4", &[], "").await, "404 no such key");
    assert_eq!(says(&client, "DELETE", "/kv/app/?prefix", &[], "").await, "200 3");
    assert_eq!(says(&client, "GET", "/kv/?prefix", &[], "").await, "200 apple");
    assert_eq!(says(&client, "DELETE", "/kv/?prefix", &[], "").await, "200 1");
    assert_eq!(says(&client, "DELETE", "/kv/?prefix", &[], "").await, "200 0");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_comes_too_late_is_told_so_and_ends() {
    let client = Client::new();
    for value in ["1", "2", "3"] {
        says(&client, "PUT", "/kv/a", &[], value).await;
    }
    let compaction = r#"{"revision":"3"}"#;
    assert_eq!(ask(&client, "POST", "/v3/kv/compaction", &[], compaction).await.0, 200);
    let watch = ask(&client, "GET", "/kv/a?watch&revision=1", &[], "");
    let ended = tokio::time::timeout(Duration::from_secs(60), watch).await;
    let (code, _, body) = ended.expect("the connection ends with the error");
    assert_eq!(code, 200);
    assert!(body.contains("event: error") && body.contains("before revision 3 is compacted"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_told() {
    let client = Client::new();
    let limit = client.shared.limits.request_bytes;
    let too_long = "x".repeat(limit + 1);
    for (method, target, headers, body, answer) in [
        ("GET", "/kv/", &[][..], "", "400 which key? /kv/KEY, or /kv/?prefix for all of them"),
        (
            "GET",
            "/kv/a?recursive",
            &[],
            "",
            "400 ?recursive is not known; there are ?prefix, ?watch, ?serializable, ?revision=N, ?limit=N, ?lease=ID",
        ),
        ("GET", "/kv/a?revision=99", &[], "", "400 etcdserver: mvcc: required revision is a future revision"),
        ("PUT", "/kv/a%20b%zz", &[], "x", "400 two hexadecimal digits belong behind %, which itself is %25"),
        ("GET", "/kv/a%4", &[], "", "400 two hexadecimal digits belong behind %, which itself is %25"),
        ("PUT", "/kv/a?prefix", &[], "x", "400 a value is put to one key, not to all that begin so"),
        (
            "DELETE",
            "/kv/a?prefix",
            &["If-Match: *"],
            "",
            "400 If-Match is about one key, not about all that begin so",
        ),
        ("PUT", "/kv/a?limit=1", &[], "x", "400 PUT knows no ?limit, but ?lease=ID alone: nothing was put"),
        (
            "DELETE",
            "/kv/a?prefix&limit=1",
            &[],
            "",
            "400 DELETE knows no ?limit, but ?prefix alone: nothing was deleted",
        ),
        (
            "DELETE",
            "/kv/a?revision=1",
            &[],
            "",
            "400 DELETE knows no ?revision, but ?prefix alone: nothing was deleted",
        ),
        ("GET", "/kv/a", &["Sec-Fetch-Site: cross-site"], "", "403 a page of another site may not read keys"),
        ("POST", "/kv/a", &[], "x", "405 GET, PUT or DELETE"),
        ("GET", "/kv/a", &["Authorization: somebody"], "", "401 etcdserver: invalid auth token"),
        ("GET", "/kv/a?watch", &["Last-Event-ID: x"], "", "400 Last-Event-ID is no revision"),
        (
            "PUT",
            "/kv/a",
            &["Origin: http://evil.example"],
            "x",
            "403 a page of another origin may not change this cluster",
        ),
    ] {
        assert_eq!(says(&client, method, target, headers, body).await, answer, "{method} {target}");
    }
    assert_eq!(
        says(&client, "PUT", "/kv/a", &[], &too_long).await,
        format!("413 a value may have {limit} bytes")
    );
    assert_eq!(says(&client, "GET", "/kv/a", &[], "").await, "404 no such key", "nothing of it happened");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_put_under_a_lease() {
    let client = Client::new();
    let refused = "404 etcdserver: requested lease not found";
    assert_eq!(says(&client, "PUT", "/kv/here?lease=1f", &[], "x").await, refused);
    let granted = says(&client, "POST", "/v3/lease/grant", &[], r#"{"ID":"31","TTL":"60"}"#).await;
    assert!(granted.starts_with("200 ") && granted.contains(r#""ID":"31""#), "{granted}");
    assert_eq!(says(&client, "PUT", "/kv/here?lease=1f", &[], "x").await, "200 2");
    assert_eq!(says(&client, "PUT", "/kv/there?lease=1f", &["If-None-Match: *"], "x").await, "200 3");
    let (_, _, json) = ask(&client, "GET", "/kv/?prefix", &["Accept: application/json"], "").await;
    assert_eq!(json.matches(r#""lease":"1f""#).count(), 2, "{json}");
    for method in ["GET", "DELETE"] {
        let told = says(&client, method, "/kv/here?lease=1f", &[], "").await;
        assert!(told.starts_with(&format!("400 {method} knows no ?lease")), "{told}");
    }
    assert_eq!(says(&client, "POST", "/v3/lease/revoke", &[], r#"{"ID":"31"}"#).await.get(..3), Some("200"));
    assert_eq!(says(&client, "GET", "/kv/here", &[], "").await, "404 no such key");
}
