//! Memory for answers that clients do not read.

use std::time::Duration;

use jangada_server::handle::Kind;
use jangada_server::limits::Limits;

use crate::client::{Client, command};
use crate::core::lock;

const LENGTH: usize = 10_000;

/// A client of a server with so many values, and room for `answer_bytes` of unread answers.
async fn with_values(count: usize, answer_bytes: usize) -> Client {
    let mut client = Client::with(Limits { answer_bytes, ..Limits::default() });
    for key in 0..count {
        client.check(&[(&format!("SET k{key} {}", "v".repeat(LENGTH)), "+OK")]).await;
    }
    client
}

/// Asks for all values, over Redis's protocol.
fn all_values(count: usize) -> Vec<u8> {
    let keys: Vec<String> = (0..count).map(|key| format!("k{key}")).collect();
    command(&format!("MGET {}", keys.join(" ")))
}

/// The same over HTTP.
fn list() -> Vec<u8> {
    let head = "GET /kv/k?prefix HTTP/1.1\r\nHost: 127.0.0.1:2379\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    head.into()
}

/// The same as a call of gRPC, on a new connection: RFC 9113 and, for the head, RFC 7541 without its tables.
fn range() -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
        [&head, payload].concat()
    };
    let mut head = vec![0x83, 0x86];
    for (name, value) in [
        (":path", "/etcdserverpb.KV/Range"),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        head.push(0);
        for text in [name, value] {
            head.push(u8::try_from(text.len()).unwrap());
            head.extend_from_slice(text.as_bytes());
        }
    }
    let message = [0, 0, 0, 0, 6, 0x0a, 1, b'k', 0x12, 1, b'l'];
    let frames = [frame(4, 0, 0, &[]), frame(1, 4, 1, &head), frame(0, 1, 1, &message)].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frames].concat()
}

#[tokio::test(start_paused = true)]
async fn while_much_is_unread_large_answers_are_dropped_and_small_ones_pass() {
    let mut client = with_values(20, 300_000).await;
    let mut reader = client.another();
    reader.send(list()).await;
    client.settle().await;
    assert!(client.shared.handle.room().taken() > 20 * LENGTH, "its answer waits");

    client.send(all_values(20)).await;
    client.expect("-NOROOM the answer was dropped: ").await;
    while client.byte().await != b'\n' {}
    client
        .check(&[
            ("STRLEN k0", &format!(":{LENGTH}")),
            ("MGET k1", &format!("*1 ${LENGTH} {}", "v".repeat(LENGTH))),
        ])
        .await;
    let mut other = client.another();
    other.send(list()).await;
    let refusal = other.rest().await;
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
    assert!(refusal.ends_with("etcdserver: too many requests\n"), "{refusal}");

    assert!(reader.rest().await.len() > 20 * LENGTH);
    client.settle().await;
    assert_eq!(client.shared.handle.room().taken(), 0, "all is read");
    client.send(all_values(20)).await;
    client.expect("*20\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_much_is_cut_off_whatever_the_protocol() {
    let client = with_values(40, usize::MAX).await;
    for question in [all_values(40), list(), range()] {
        let mut silent = client.another();
        silent.send(&question).await;
        client.settle().await;
        assert!(client.shared.handle.room().taken() > 30 * LENGTH, "{}", question.escape_ascii());
        tokio::time::sleep(Duration::from_secs(25)).await;
        assert!(!silent.is_over(), "{}", question.escape_ascii());
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(silent.is_over(), "{}", question.escape_ascii());
        assert_eq!(client.shared.handle.room().taken(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn of_questions_for_all_keys_one_is_under_way_at_a_time() {
    let mut client = with_values(1, usize::MAX).await;
    let before = lock(&client.core).seen.len();
    lock(&client.core).hold = true;
    client.send([command("KEYS *").repeat(3), command("GET nothing").repeat(2)].concat()).await;
    client.settle().await;
    assert_eq!(lock(&client.core).seen[before..], [(Kind::Read, 1)]);
    lock(&client.core).release();
    client.expect("*1\r\n$2\r\nk0\r\n".repeat(3) + &"$-1\r\n".repeat(2)).await;
    assert_eq!(lock(&client.core).seen[before..], [(Kind::Read, 1), (Kind::Read, 1), (Kind::Read, 3)]);
}
