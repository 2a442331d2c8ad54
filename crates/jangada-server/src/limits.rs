//! Every bound on what a client may ask for, in one place.
//!
//! A client is never trusted with memory or time: each buffer, queue, line, list and wait has its maximum
//! here, and whoever exceeds one is told so and, where the stream cannot be followed any more, cut off.

use std::time::Duration;

/// The most keys that one `SCAN` looks at, whatever its COUNT says.
pub const SCANNED_KEYS: u64 = 10_000;

/// The bounds of one server. `Default` is what production uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest line: an inline command, plain words, or the header of an array or a bulk string.
    pub line_bytes: usize,
    /// The longest bulk string of a RESP command.
    pub bulk_bytes: usize,
    /// The most elements of a RESP array. Memory is taken as they arrive, not as they are announced.
    pub array_elements: usize,
    /// The longest RESP command, all its elements and their framing together.
    pub command_bytes: usize,
    /// The longest request to the store in its encoded form: one entry of the log.
    pub request_bytes: usize,
    /// The most commands that `MULTI` may queue.
    pub queued_commands: usize,
    /// The most requests that one connection puts into one batch.
    pub batch_requests: usize,
    /// The most bytes of encoded requests that one connection puts into one batch (one request may exceed it).
    pub batch_bytes: usize,
    /// The most commands of one connection that wait for their answers; then its socket is not read.
    pub pipeline_commands: usize,
    /// The most bytes of one connection's commands that wait for their answers.
    pub pipeline_bytes: usize,
    /// The most bytes of replies that wait for a client to read them; then its socket is not read.
    pub output_bytes: usize,
    /// The longest reply to one command: a short one can name a long value very often. Replies are written whole,
    /// so this is also what one connection can cost beyond `output_bytes`.
    pub reply_bytes: usize,
    /// The most bytes of answers that are made and not yet sent, all connections together; then large ones are dropped.
    pub answer_bytes: usize,
    /// The most keys that one `SHOW` prints; the rest is counted and the next page named.
    pub shown_keys: usize,
    /// The most open connections.
    pub connections: usize,
    /// The most open connections of one address.
    pub connections_per_address: usize,
    /// How long a request may wait for its answer.
    pub request_time: Duration,
    /// How long a connection may stay silent after it was accepted.
    pub first_byte_time: Duration,
    /// How long a connection may stay idle between commands; zero: for ever.
    pub idle_time: Duration,
    /// How long a client may refuse to read what waits for it.
    pub stall_time: Duration,
    /// How long the head of an HTTP request may take.
    pub http_head_time: Duration,
    /// The longest head of an HTTP request.
    pub http_head_bytes: usize,
    /// The longest body of an HTTP request.
    pub http_body_bytes: usize,
    /// The most questions that this server puts to other members at the same time, on behalf of its console.
    pub console_questions: usize,
    /// How long a member may take to answer such a question.
    pub console_time: Duration,
    /// The longest such answer.
    pub console_bytes: usize,
    /// The most records in one answer to a console.
    pub console_records: usize,
    /// The most calls of one HTTP/2 connection that are under way at once.
    pub http2_streams: usize,
    /// After so many events, one answer to a watch takes no further revision.
    pub watch_events: usize,
    /// After so many bytes of keys and values neither.
    pub watch_bytes: usize,
    /// The most watches of one stream.
    pub stream_watches: usize,
    /// The most watches of all connections of a thread.
    pub watches: usize,
    /// The most bytes of the keys of their ranges.
    pub watch_key_bytes: usize,
    /// After so many keys, one step of a copy or hash of the whole store ends.
    pub page_keys: usize,
    /// After so many bytes of keys and values it ends, too.
    pub page_bytes: usize,
    /// How long a client of HTTP/2 may be silent before it is asked whether it is there.
    pub http2_ping_time: Duration,
    /// How long it may take to say so.
    pub http2_ping_wait: Duration,
    /// How long connections may finish what they began when the server stops.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line_bytes: 64 * 1024,
            bulk_bytes: 1536 * 1024,
            array_elements: 1024 * 1024,
            command_bytes: 16 * 1024 * 1024,
            request_bytes: 1536 * 1024,
            queued_commands: 10_000,
            batch_requests: 1024,
            batch_bytes: 1024 * 1024,
            pipeline_commands: 16_384,
            pipeline_bytes: 8 * 1024 * 1024,
            output_bytes: 4 * 1024 * 1024,
            reply_bytes: 256 * 1024 * 1024,
            answer_bytes: 512 * 1024 * 1024,
            shown_keys: 1_000,
            connections: 10_000,
            connections_per_address: 1_000,
            request_time: Duration::from_secs(5),
            first_byte_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(300),
            stall_time: Duration::from_secs(30),
            http_head_time: Duration::from_secs(5),
            http_head_bytes: 16 * 1024,
            http_body_bytes: 64 * 1024,
            console_questions: 32,
            console_time: Duration::from_secs(1),
            console_bytes: 4 * 1024 * 1024,
            console_records: 4_096,
            http2_streams: 1_000,
            watch_events: 1_000,
            watch_bytes: 1024 * 1024,
            stream_watches: 20_000,
            watches: 200_000,
            watch_key_bytes: 64 * 1024 * 1024,
            page_keys: 2_000,
            page_bytes: 4 * 1024 * 1024,
            http2_ping_time: Duration::from_secs(60),
            http2_ping_wait: Duration::from_secs(20),
            drain_time: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// The usual bounds, but for requests of up to `bytes`.
    #[must_use]
    pub fn for_requests(bytes: usize) -> Limits {
        let usual = Limits::default();
        Limits {
            bulk_bytes: bytes,
            request_bytes: bytes,
            command_bytes: usual.command_bytes.max(bytes.saturating_mul(2)),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_documented() {
        let document = include_str!("../../../SECURITY.md");
        let shown = format!("{:#?}", Limits::default());
        let fields: Vec<&str> = shown
            .lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(": "))
            .map(|(name, _)| name)
            .collect();
        assert!(fields.len() > 20, "{shown}");
        for field in fields {
            assert!(document.contains(&format!("`{field}`")), "{field} is not in SECURITY.md");
        }
    }
}
