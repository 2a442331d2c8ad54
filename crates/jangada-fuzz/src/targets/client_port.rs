//! A conversation on the client port: a client sends these bytes, says that no more will come, and reads. What is told
//! apart by the first bytes is told apart here.
//!
//! Where the bytes are cut on their way must not matter: they are sent at once, and to another server in pieces.

use std::sync::Arc;
use std::time::Duration;

use jangada_server::front::{Door, Stop};
use jangada_server::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::store::restored;
use crate::core::{self, lock};
use crate::virtual_time;

/// How long the answers are read. No limit is longer.
const LISTENS: Duration = Duration::from_secs(600);

/// Sends these bytes.
pub(crate) fn run(input: &[u8]) {
    let at_once = virtual_time::run(conversation(input, input.len().max(1)));
    let in_pieces = virtual_time::run(conversation(input, 1 + input.len() % 7));
    // HTTP says the time, and hangs up on what it does not understand.
    if !at_once.starts_with(b"HTTP/") && !input.starts_with(b"PRI ") && !varies(input) {
        assert!(
            at_once == in_pieces,
            "cut in pieces, it is answered differently:\n{}\n{}",
            at_once.escape_ascii(),
            in_pieces.escape_ascii()
        );
    }
}

/// Whether something in there is answered by chance, or by the clock of this machine.
fn varies(input: &[u8]) -> bool {
    let input = input.to_ascii_lowercase();
    ["randomkey", "time", "info", "status", "expire", "ex", "px"]
        .iter()
        .any(|word| input.windows(word.len()).any(|window| window == word.as_bytes()))
}

/// The answer to bytes that come in pieces of this length.
async fn conversation(input: &[u8], piece: usize) -> Vec<u8> {
    let (shared, core) = core::start(limits());
    let (stream, theirs) = tokio::io::duplex(64 << 10);
    // It must live as long as the conversation: without it the server stops.
    let (_stop, stopped) = watch::channel(false);
    let door = Door::new(Arc::clone(&shared));
    let serving = tokio::spawn(async move { door.serve(theirs, Stop::new(stopped)).await });
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = async {
        for piece in input.chunks(piece) {
            // The server may have hung up.
            if writer.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let mut answer = Vec::new();
    let reading = timeout(LISTENS, reader.read_to_end(&mut answer));
    // Some answers never end: a watch, as long as somebody may read it.
    if let (_, Ok(read)) = tokio::join!(sending, reading) {
        read.expect("a pipe of this process");
    }
    drop((reader, writer));
    // An error ends the connection, and there is nobody else to tell.
    let _ = virtual_time::outcome(serving).await;
    restored(&mut lock(&core).store, 1 << 16);
    answer
}

/// Bounds that short inputs meet.
fn limits() -> Limits {
    Limits {
        line_bytes: 200,
        bulk_bytes: 300,
        array_elements: 24,
        command_bytes: 700,
        request_bytes: 400,
        queued_commands: 6,
        batch_requests: 4,
        batch_bytes: 500,
        pipeline_commands: 8,
        pipeline_bytes: 900,
        output_bytes: 600,
        reply_bytes: 2_000,
        shown_keys: 3,
        http_head_bytes: 8_192,
        http_body_bytes: 400,
        http2_streams: 3,
        idle_time: Duration::from_secs(300),
        ..Limits::default()
    }
}
