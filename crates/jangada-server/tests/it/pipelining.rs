//! Many commands at once: their order, their batches, and what bounds them.

use std::time::Duration;

use jangada_server::handle::{Kind, RequestError};
use jangada_server::limits::Limits;

use crate::client::{Client, command};
use crate::core::lock;

fn stream(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|words| command(words)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_read_sees_the_writes_before_it_and_none_after_it() {
    let mut client = Client::new();
    let lines = ["GET k", "SET k 1", "SET k 2", "GET k", "PING", "SET k 3", "GET k", "INCR k", "GET k"];
    client.send(stream(&lines)).await;
    client.expect("$-1\r\n+OK\r\n+OK\r\n$1\r\n2\r\n+PONG\r\n+OK\r\n$1\r\n3\r\n:4\r\n$1\r\n4\r\n").await;
    use Kind::{Read, Write};
    let batches = [(Read, 1), (Write, 2), (Read, 1), (Write, 1), (Read, 1), (Write, 1), (Read, 1)];
    assert_eq!(lock(&client.core).seen, batches);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_commands_in_one_write() {
    let mut client = Client::new();
    let count = 10_000;
    let mut bytes = Vec::new();
    for number in 0..count {
        bytes.extend(command(&format!("SET key:{number} value")));
    }
    let mut reader = client.split();
    let replies = tokio::spawn(async move { reader.take(count * 5).await });
    client.send(bytes).await;
    assert_eq!(replies.await.unwrap(), "+OK\r\n".repeat(count).into_bytes());
    let core = lock(&client.core);
    assert_eq!(core.store.key_count(), count as u64);
    assert!(core.seen.len() < count / 20, "one batch holds many commands, not {}", core.seen.len());
}

#[tokio::test(start_paused = true)]
async fn runs_of_one_kind_are_under_way_together_and_the_other_kind_waits() {
    let mut client = Client::new();
    lock(&client.core).hold = true;
    client.send(stream(&["SET a 1"])).await;
    client.settle().await;
    client.send(stream(&["SET b 1", "PING", "GET a", "SET c 1"])).await;
    client.settle().await;
    assert_eq!(lock(&client.core).seen, [(Kind::Write, 1), (Kind::Write, 1)]);
    lock(&client.core).release();
    client.expect("+OK\r\n+OK\r\n+PONG\r\n$1\r\n1\r\n+OK\r\n").await;
    assert_eq!(lock(&client.core).seen.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_not_read_while_too_much_is_under_way() {
    let limits = Limits { pipeline_commands: 50, batch_requests: 10, ..Limits::default() };
    let mut client = Client::with(limits);
    lock(&client.core).hold = true;
    let bytes = command("SET key value").repeat(100_000);
    let sent = client.try_send(&bytes).await;
    assert!(sent < 1024 * 1024, "{sent} bytes were taken although nothing is answered");
    assert_eq!(lock(&client.core).seen, [(Kind::Write, 10); 5]);
    lock(&client.core).release();
    client.expect("+OK\r\n".repeat(1_000)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_left_alone_and_then_cut_off() {
    let limits = Limits { output_bytes: 16 * 1024, stall_time: Duration::from_secs(60), ..Limits::default() };
    let mut client = Client::with(limits);
    client.check(&[(&format!("SET big {}", "x".repeat(1_000)), "+OK")]).await;
    let bytes = command("GET big").repeat(100_000);
    let sent = client.try_send(&bytes).await;
    assert!(sent < 1024 * 1024, "{sent} bytes were taken although no reply is read");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(client.is_over());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_silence() {
    let limits = Limits { idle_time: Duration::from_secs(300), ..Limits::default() };
    let mut client = Client::with(limits);
    client.check(&[("PING", "+PONG")]).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    client.check(&[("PING", "+PONG")]).await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert!(!client.is_over());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(client.is_over());

    let mut patient = Client::with(Limits { idle_time: Duration::ZERO, ..Limits::default() });
    patient.check(&[("PING", "+PONG")]).await;
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    patient.check(&[("PING", "+PONG")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_speaks_is_closed() {
    let client = Client::new();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(client.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_answer_is_not_waited_for() {
    let mut client = Client::new();
    lock(&client.core).hold = true;
    client.send(stream(&["SET a 1", "GET a"])).await;
    client.settle().await;
    client.expect("-UNKNOWNOUTCOME ").await;
    while client.byte().await != b'\n' {}
    client.expect("-TIMEOUT ").await;
}

#[tokio::test(start_paused = true)]
async fn the_codes_of_a_cluster_that_cannot_answer() {
    let mut client = Client::new();
    let why = "the leader was lost".to_owned();
    for (error, code) in [
        (RequestError::NoLeader { why: why.clone() }, "-CLUSTERDOWN the leader was lost\r\n"),
        (RequestError::OutcomeUnknown { why }, "-UNKNOWNOUTCOME the leader was lost\r\n"),
        (RequestError::Busy, "-TRYAGAIN "),
        (RequestError::NoRoom, "-NOROOM "),
        (RequestError::Deadline, "-TIMEOUT "),
        (RequestError::Stopping, "-STOPPING "),
        (RequestError::Bad("no".to_owned()), "-ERR no\r\n"),
    ] {
        lock(&client.core).fail = Some(error);
        client.send(command("SET a 1")).await;
        client.expect(code).await;
        if !code.ends_with('\n') {
            while client.byte().await != b'\n' {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_an_entry_is_refused_alone() {
    let mut client = Client::with(Limits { request_bytes: 100, ..Limits::default() });
    let long = format!("SET k {}", "x".repeat(200));
    client.send(stream(&["SET a 1", &long, "SET b 1"])).await;
    client
        .expect("+OK\r\n-ERR the request is too large (limit 100 bytes); nothing was done\r\n+OK\r\n")
        .await;
    assert_eq!(lock(&client.core).seen, [(Kind::Write, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_stops_sending_gets_all_its_replies() {
    let mut client = Client::new();
    client.send(stream(&["SET a 1", "GET a", "SET a 2", "GET a"])).await;
    client.send("*1\r\n$4\r\nPI").await;
    client.finish().await;
    assert_eq!(client.rest().await, "+OK\r\n$1\r\n1\r\n+OK\r\n$1\r\n2\r\n");
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_is_under_way() {
    let mut client = Client::new();
    lock(&client.core).hold = true;
    client.send(stream(&["SET a 1", "GET a"])).await;
    client.settle().await;
    client.stop();
    client.settle().await;
    assert!(!client.is_over());
    lock(&client.core).release();
    assert_eq!(client.rest().await, "+OK\r\n$1\r\n1\r\n");
}

#[tokio::test(start_paused = true)]
async fn large_values_go_in_and_come_out() {
    let mut client = Client::new();
    let value = "v".repeat(1_400_000);
    let expected = format!("+OK\r\n${}\r\n{value}\r\n", value.len()).into_bytes();
    let refused = b"-ERR Protocol error: invalid bulk length\r\n";
    let mut reader = client.split();
    let length = expected.len() + refused.len() + 1;
    let replies = tokio::spawn(async move { reader.take(length).await });
    client.send(stream(&[&format!("SET big {value}"), "GET big"])).await;
    client.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1572865\r\n").await;
    assert!(replies.await.unwrap() == [&expected[..], refused].concat());
}

#[tokio::test(start_paused = true)]
async fn the_longest_bulk_string_is_the_longest_request_that_was_configured() {
    for (limit, length) in [(1 << 10, 900), (24 << 20, 20 << 20)] {
        let mut client = Client::with(Limits::for_requests(limit));
        client.send(stream(&[&format!("SET big {}", "v".repeat(length)), "STRLEN big"])).await;
        client.expect(format!("+OK\r\n:{length}\r\n")).await;
        client.send(format!("*2\r\n$3\r\nGET\r\n${}\r\n", limit + 1)).await;
        client.expect("-ERR Protocol error: invalid bulk length\r\n").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_command_cannot_ask_for_a_reply_without_bound() {
    let mut client = Client::with(Limits { reply_bytes: 1_000, ..Limits::default() });
    let value = "v".repeat(400);
    client.check(&[(&format!("SET k {value}"), "+OK")]).await;
    let refusal = "-ERR_the_command_was_carried_out,_but_its_reply_would_be_longer_than_1000_bytes:_ask_for_less_at_\
                   once";
    client
        .check(&[
            ("MGET k k", &format!("*2 $400 {value} $400 {value}")),
            ("MGET k k k", refusal),
            ("MULTI", "+OK"),
            ("GET k", "+QUEUED"),
            ("GET k", "+QUEUED"),
            ("INCR n", "+QUEUED"),
            ("GET k", "+QUEUED"),
            ("EXEC", refusal),
            ("GET n", "$1 1"),
        ])
        .await;
}
