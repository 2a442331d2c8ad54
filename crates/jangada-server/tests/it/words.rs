//! A person with netcat.

use jangada_server::handle::RequestError;
use jangada_server::limits::Limits;

use crate::client::Client;
use crate::core::lock;

/// What a whole conversation printed.
async fn said(lines: &str) -> String {
    let mut client = Client::new();
    client.send(lines).await;
    client.finish().await;
    client.rest().await
}

#[tokio::test(start_paused = true)]
async fn words_are_answered_in_words() {
    assert_eq!(said("set d 8\nget d\ndelete d\nget d\ndelete d\n").await, "OK\n8\nOK\n(nil)\n(nil)\n");
    assert_eq!(said("SET d hello  wide world\r\nGET d\r\nDEL d\r\n").await, "OK\nhello  wide world\nOK\n");
    assert_eq!(said("set empty \nget empty\nset e2 \"\"\nget e2\n").await, "OK\n\"\"\nOK\n\"\"\n");
    assert_eq!(said("set at a@b-c\nget at\nset ü größe\nget ü\n").await, "OK\na@b-c\nOK\ngröße\n");
    assert_eq!(said("show\nset b 2\nset a 1\nset ab x\nshow a\nshow\n").await, {
        "(0 keys)\nOK\nOK\nOK\na = 1\nab = x\n(2 keys)\na = 1\nab = x\nb = 2\n(3 keys)\n"
    });
    assert_eq!(said("set\nget\n").await, {
        "error: set needs a key and a value: set KEY VALUE\nerror: get needs one key: get KEY\n"
    });
    assert_eq!(said("set show 1\nget show\nquit\nget show\n").await, "OK\n1\n");
}

#[tokio::test(start_paused = true)]
async fn redis_commands_are_answered_as_redis_does() {
    assert_eq!(said("PING\r\n").await, "+PONG\r\n");
    assert_eq!(said("set n 1\nINCR n\nincr n\nget n\n").await, "OK\n:2\r\n:3\r\n3\n");
    assert_eq!(said("MULTI\nset n 1\nget n\nEXEC\nget n\n").await, {
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\n1\r\n1\n"
    });
    // A program's connection stays one: a line on it is Redis's inline command.
    assert_eq!(said("*1\r\n$4\r\nPING\r\nSET d \"8 9\"\r\nGET d\r\n").await, "+PONG\r\n+OK\r\n$3\r\n8 9\r\n");
}

#[tokio::test(start_paused = true)]
async fn long_lines_are_not_cut() {
    let long = "x".repeat(60_000);
    assert_eq!(said(&format!("set big {long}\nget big\n")).await, format!("OK\n{long}\n"));
    let endless = "y".repeat(70_000);
    let mut client = Client::new();
    let mut reader = client.split();
    let said = tokio::spawn(async move { reader.take(100).await });
    client.try_send(format!("set big {endless}").as_bytes()).await;
    assert_eq!(said.await.unwrap(), b"-ERR Protocol error: too big inline request\r\n");
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_shown_in_part() {
    let mut client = Client::with(Limits { shown_keys: 2, ..Limits::default() });
    client.send("set a 1\nset b 2\nset c 3\nshow\n").await;
    client.expect("OK\nOK\nOK\na = 1\nb = 2\n(the first 2 of 3 keys; show PREFIX narrows it)\n").await;
}

#[tokio::test(start_paused = true)]
async fn help_and_status_and_errors() {
    let mut client = Client::new();
    lock(&client.core).fail = Some(RequestError::NoLeader { why: "no quorum: 1 of 3".to_owned() });
    client.send("get d\n").await;
    client.expect("error: no quorum: 1 of 3\n").await;
    let text = said("help\nstatus\n").await;
    assert!(text.contains("set KEY VALUE"), "{text}");
    assert!(text.contains("n1 follows n1 in term 0\n"), "{text}");
}
