//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`.

use jangada_server::handle::{Kind, RequestError};
use jangada_server::limits::Limits;

use crate::client::{Client, command};
use crate::core::lock;

#[tokio::test(start_paused = true)]
async fn a_transaction_is_one_request() {
    let mut client = Client::new();
    client
        .check(&[
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("INCR a", "+QUEUED"),
            ("PING", "+QUEUED"),
            ("SET a b BAD", "+QUEUED"),
            ("APPEND a x", "+QUEUED"),
            ("INCR a", "+QUEUED"),
            ("GET a", "+QUEUED"),
            (
                "EXEC",
                "*7 +OK :2 +PONG -ERR_syntax_error :2 -ERR_value_is_not_an_integer_or_out_of_range $2 2x",
            ),
            ("GET a", "$2 2x"),
        ])
        .await;
    assert_eq!(lock(&client.core).seen, [(Kind::Write, 1), (Kind::Read, 1)]);
}

#[tokio::test(start_paused = true)]
async fn transactions_that_only_read_or_only_talk() {
    let mut client = Client::new();
    client
        .check(&[
            ("MULTI", "+OK"),
            ("GET a", "+QUEUED"),
            ("EXEC", "*1 $-1"),
            ("MULTI", "+OK"),
            ("ECHO hi", "+QUEUED"),
            ("EXEC", "*1 $2 hi"),
            ("MULTI", "+OK"),
            ("EXEC", "*0"),
        ])
        .await;
    assert_eq!(lock(&client.core).seen, [(Kind::Read, 1)]);
}

#[tokio::test(start_paused = true)]
async fn brackets_must_fit() {
    let mut client = Client::new();
    client
        .check(&[
            ("EXEC", "-ERR_EXEC_without_MULTI"),
            ("DISCARD", "-ERR_DISCARD_without_MULTI"),
            ("MULTI", "+OK"),
            ("MULTI", "-ERR_MULTI_calls_can_not_be_nested"),
            ("WATCH a", "-ERR_WATCH_inside_MULTI_is_not_allowed"),
            ("SET a 1", "+QUEUED"),
            ("DISCARD", "+OK"),
            ("GET a", "$-1"),
        ])
        .await;
    for mistake in ["NOSUCH", "GET", "CLIENT NOSUCH"] {
        client.check(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED")]).await;
        client.send(command(mistake)).await;
        client.expect("-ERR ").await;
        rest_of_line(&mut client).await;
        let told = "-EXECABORT_Transaction_discarded_because_of_previous_errors.";
        client.check(&[("EXEC", told), ("GET a", "$-1")]).await;
    }
}

/// Reads to the end of a line.
async fn rest_of_line(client: &mut Client) {
    while client.byte().await != b'\n' {}
}

#[tokio::test(start_paused = true)]
async fn a_watched_key_that_changes_calls_the_transaction_off() {
    let mut client = Client::new();
    let mut other = client.another();
    let transaction = [("MULTI", "+OK"), ("SET done 1", "+QUEUED")];
    // Changed by another, to the same value, by the watcher itself: each counts.
    for (watcher, change) in [(false, "SET k 1"), (false, "SET k 1"), (true, "APPEND k x"), (false, "DEL k")]
    {
        client.check(&[("WATCH j k", "+OK")]).await;
        let by = if watcher { &mut client } else { &mut other };
        by.send(command(change)).await;
        rest_of_line(by).await;
        client.check(&transaction).await;
        client.check(&[("EXEC", "*-1"), ("GET done", "$-1")]).await;
    }
    // Unchanged, forgotten, or changed only after EXEC has forgotten it: all is well.
    client.check(&[("WATCH k", "+OK")]).await;
    client.check(&transaction).await;
    client.check(&[("EXEC", "*1 +OK"), ("DEL done", ":1"), ("WATCH k", "+OK"), ("UNWATCH", "+OK")]).await;
    other.check(&[("SET k 2", "+OK")]).await;
    client.check(&transaction).await;
    client.check(&[("EXEC", "*1 +OK")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_whole_optimistic_update_in_one_write() {
    let mut client = Client::new();
    let words =
        ["WATCH k", "GET k", "MULTI", "SET k 1", "EXEC", "WATCH k", "SET k 2", "MULTI", "GET k", "EXEC"];
    let stream: Vec<u8> = words.iter().flat_map(|words| command(words)).collect();
    client.send(stream).await;
    client
        .expect("+OK\r\n$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_watch_does_not_let_the_transaction_through() {
    let mut client = Client::new();
    let why = "no quorum: 1 of 3 voters reachable; writes wait until one returns";
    lock(&client.core).fail = Some(RequestError::NoLeader { why: why.to_owned() });
    client.send(command("WATCH k")).await;
    client.expect(format!("-CLUSTERDOWN {why}\r\n")).await;
    lock(&client.core).fail = None;
    client
        .check(&[
            ("MULTI", "+OK"),
            ("SET k 1", "+QUEUED"),
            ("EXEC", "-EXECABORT_Transaction_discarded_because_of_a_WATCH_that_failed."),
            ("MULTI", "+OK"),
            ("SET k 1", "+QUEUED"),
            ("EXEC", "*1 +OK"),
        ])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_transaction_has_a_largest_size() {
    let mut client = Client::with(Limits { queued_commands: 2, ..Limits::default() });
    client
        .check(&[
            ("MULTI", "+OK"),
            ("SET a 1", "+QUEUED"),
            ("SET a 2", "+QUEUED"),
            ("SET a 3", "-ERR_the_transaction_is_too_large;_nothing_of_it_will_be_done"),
            ("EXEC", "-EXECABORT_Transaction_discarded_because_of_previous_errors."),
        ])
        .await;
}
