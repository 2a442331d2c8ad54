//! From the store's answers to bytes: the mirror of `translate.rs`.
//!
//! # When the cluster cannot answer
//! The first word of an error is its code, and codes are stable: programs may compare them.
//!
//! | code | meaning | may it have taken effect? |
//! |---|---|---|
//! | `CLUSTERDOWN` | nobody leads, or the leader has lost its quorum | no |
//! | `TRYAGAIN` | too many requests are under way | no |
//! | `TIMEOUT` | no answer within the deadline | no |
//! | `STOPPING` | this server is shutting down: ask another one | no |
//! | `NOROOM` | too many answers wait for clients to read them: this one, which is large, was dropped | **yes**, if it writes |
//! | `UNKNOWNOUTCOME` | the leader was lost while the write was under way | **perhaps**: read before repeating |
//! | `ERR` | the request itself is at fault (too large, wrong type of value, Redis's own errors) | no |
//!
//! Redis's own codes `EXECABORT`, `NOPROTO`, `WRONGPASS`, `NOAUTH` and `NOPERM` mean what they mean there.

use jangada_kv::{AuthError, Error, KeyType, Reply as StoreReply, Response};

use super::reply::{Reply, Version};
use super::translate::{Shape, unix_millis};
use crate::handle::RequestError;

/// The answer to one request.
pub(crate) type Answer = Result<Response, RequestError>;

/// One command of a transaction, as `EXEC` will answer it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExecPart {
    /// The answer is known: it needed no store.
    Written(Vec<u8>),
    /// The store's next reply, in this shape.
    Reply(Shape),
}

/// The answer, or why it is not written: its reply would be longer than `limit` bytes.
pub(crate) fn bounded(answer: Answer, limit: usize) -> Answer {
    match answer {
        Ok(response) if response_bytes(&response) > limit => Err(RequestError::Bad(format!(
            "the command was carried out, but its reply would be longer than {limit} bytes: ask for less at once"
        ))),
        other => other,
    }
}

/// About how long the reply to a command will be.
fn response_bytes(response: &Response) -> usize {
    match response {
        Response::Reply(reply) => reply_bytes(reply),
        Response::Exec(replies) => replies.iter().flatten().map(reply_bytes).sum(),
        Response::Range(range) => range.kvs.iter().map(|pair| pair.key.len() + pair.value.len()).sum(),
        Response::WatchRevision(_)
        | Response::Put(_)
        | Response::DeleteRange(_)
        | Response::Txn(_)
        | Response::Compact { .. }
        | Response::Expired { .. }
        | Response::Done
        | Response::Lease(_)
        | Response::Auth(_)
        | Response::Alarm(_)
        | Response::Error(_) => 0,
    }
}

fn reply_bytes(reply: &StoreReply) -> usize {
    const FRAMING: usize = 8;
    match reply {
        StoreReply::Value(value) => FRAMING + value.len(),
        StoreReply::Values(values) => {
            values.iter().map(|value| FRAMING + value.as_ref().map_or(0, bytes::Bytes::len)).sum()
        }
        StoreReply::Keys(keys) | StoreReply::Scan { keys, .. } => {
            keys.iter().map(|key| FRAMING + key.len()).sum()
        }
        StoreReply::Ok
        | StoreReply::Nil
        | StoreReply::Integer(_)
        | StoreReply::Type(_)
        | StoreReply::Error(_) => FRAMING,
    }
}

/// Writes the answer to a command.
pub(crate) fn write_answer(out: &mut Vec<u8>, version: Version, shape: Shape, answer: &Answer) {
    match answer {
        Ok(Response::Reply(reply)) => write_reply(out, version, shape, reply),
        Ok(other) => write_unexpected(out, other),
        Err(error) => write_error(out, error),
    }
}

/// Writes the answer to `EXEC`.
pub(crate) fn write_exec(out: &mut Vec<u8>, version: Version, parts: &[ExecPart], answer: &Answer) {
    match answer {
        Ok(Response::Exec(None)) => Reply::new(out, version).null_array(),
        Ok(Response::Exec(Some(replies))) => write_parts(out, version, parts, replies),
        Ok(other) => write_unexpected(out, other),
        Err(error) => write_error(out, error),
    }
}

/// Writes the array of a transaction's replies: those of the store, and between them what was known before.
pub(crate) fn write_parts(out: &mut Vec<u8>, version: Version, parts: &[ExecPart], replies: &[StoreReply]) {
    let asked = parts.iter().filter(|part| matches!(part, ExecPart::Reply(_))).count();
    assert_eq!(asked, replies.len(), "the store replies to each command of a transaction");
    Reply::new(out, version).array(parts.len());
    let mut replies = replies.iter();
    for part in parts {
        match part {
            ExecPart::Written(bytes) => out.extend_from_slice(bytes),
            ExecPart::Reply(shape) => {
                let reply = replies.next().expect("counted above");
                write_reply(out, version, *shape, reply);
            }
        }
    }
}

/// Writes why there is no answer.
pub(crate) fn write_error(out: &mut Vec<u8>, error: &RequestError) {
    Reply::new(out, Version::Two).error(format!("{} {error}", code(error)));
}

/// The stable first word of an error: the table above.
pub(crate) fn code(error: &RequestError) -> &'static str {
    match error {
        RequestError::NoLeader { .. } | RequestError::Removed { .. } => "CLUSTERDOWN",
        RequestError::Busy => "TRYAGAIN",
        RequestError::NoRoom => "NOROOM",
        RequestError::Deadline => "TIMEOUT",
        RequestError::Stopping => "STOPPING",
        RequestError::OutcomeUnknown { .. } => "UNKNOWNOUTCOME",
        RequestError::TooLarge { .. } | RequestError::Bad(_) => "ERR",
    }
}

fn write_reply(out: &mut Vec<u8>, version: Version, shape: Shape, reply: &StoreReply) {
    let mut writer = Reply::new(out, version);
    match reply {
        StoreReply::Ok => writer.ok(),
        StoreReply::Nil => match shape {
            Shape::Slice(..) => writer.bulk(b""),
            Shape::Plain | Shape::Seconds | Shape::UnixSeconds | Shape::UnixMillis => writer.null(),
        },
        StoreReply::Integer(number) => writer.integer(shaped(shape, *number)),
        StoreReply::Value(value) => match shape {
            Shape::Slice(first, last) => writer.bulk(slice(value, first, last)),
            Shape::Plain | Shape::Seconds | Shape::UnixSeconds | Shape::UnixMillis => writer.bulk(value),
        },
        StoreReply::Values(values) => {
            writer.array(values.len());
            for value in values {
                match value {
                    Some(value) => writer.bulk(value),
                    None => writer.null(),
                }
            }
        }
        StoreReply::Keys(keys) => {
            writer.array(keys.len());
            keys.iter().for_each(|key| writer.bulk(key));
        }
        StoreReply::Scan { cursor, keys } => {
            writer.array(2);
            writer.bulk(cursor.to_string().as_bytes());
            writer.array(keys.len());
            keys.iter().for_each(|key| writer.bulk(key));
        }
        StoreReply::Type(KeyType::String) => writer.simple("string"),
        StoreReply::Type(KeyType::Missing) => writer.simple("none"),
        StoreReply::Error(error) => writer.error(format!("ERR {error}")),
    }
}

/// A number in its shape. The negative answers (no deadline, no key) stay what they are.
fn shaped(shape: Shape, number: i64) -> i64 {
    if number < 0 {
        return number;
    }
    match shape {
        Shape::Plain | Shape::Slice(..) => number,
        Shape::Seconds => to_seconds(number),
        Shape::UnixSeconds => to_seconds(number.saturating_add(unix_millis())),
        Shape::UnixMillis => number.saturating_add(unix_millis()),
    }
}

/// Rounded, as Redis does.
fn to_seconds(milliseconds: i64) -> i64 {
    milliseconds.saturating_add(500) / 1_000
}

/// The bytes from `first` to `last`, both counted from the end when negative, and both included.
fn slice(value: &[u8], first: i64, last: i64) -> &[u8] {
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let from_start = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    if first < 0 && last < 0 && first > last {
        return &[];
    }
    let first = from_start(first).max(0);
    let last = from_start(last).max(0).min(length - 1);
    if first > last { &[] } else { &value[first as usize..=last as usize] }
}

/// The store answered another kind of request. It cannot be the client's fault, and need not be the end of it.
fn write_unexpected(out: &mut Vec<u8>, response: &Response) {
    match response {
        Response::Error(error) => write_refusal(out, *error),
        other => {
            debug_assert!(false, "an answer of another kind: {other:?}");
            let mut writer = Reply::new(out, Version::Two);
            writer.error("ERR internal error: the store answered another request");
        }
    }
}

/// The refusal of whoever has not logged in.
pub(crate) const NOAUTH: &str = "NOAUTH Authentication required.";
/// The refusal of whoever has, and may not do that. Redis's text for keys; what it calls commands are keys here, too.
const NOPERM: &str = "NOPERM this user has no permissions to access one of the keys used as arguments";

/// Writes why the store refused a request.
pub(crate) fn write_refusal(out: &mut Vec<u8>, error: Error) {
    let mut writer = Reply::new(out, Version::Two);
    match error {
        Error::Auth(AuthError::NoUser | AuthError::InvalidToken) => writer.error(NOAUTH),
        Error::Auth(AuthError::Denied) => writer.error(NOPERM),
        // In Redis's words, so that clients know it.
        Error::NoSpace => {
            writer.error("OOM command not allowed when used memory > 'maxmemory': the store has reached --quota-backend-bytes");
        }
        error => writer.error(format!("ERR {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn shown(shape: Shape, reply: StoreReply) -> String {
        let mut out = Vec::new();
        write_answer(&mut out, Version::Two, shape, &Ok(Response::Reply(reply)));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_in_their_shapes() {
        assert_eq!(shown(Shape::Plain, StoreReply::Ok), "+OK\r\n");
        assert_eq!(shown(Shape::Plain, StoreReply::Nil), "$-1\r\n");
        assert_eq!(shown(Shape::Slice(0, 1), StoreReply::Nil), "$0\r\n\r\n");
        assert_eq!(shown(Shape::Seconds, StoreReply::Integer(1_499)), ":1\r\n");
        assert_eq!(shown(Shape::Seconds, StoreReply::Integer(1_500)), ":2\r\n");
        assert_eq!(shown(Shape::UnixMillis, StoreReply::Integer(-2)), ":-2\r\n");
        let keys = vec![Bytes::from_static(b"a")];
        let page = StoreReply::Scan { cursor: 12, keys };
        assert_eq!(shown(Shape::Plain, page), "*2\r\n$2\r\n12\r\n*1\r\n$1\r\na\r\n");
        assert_eq!(shown(Shape::Plain, StoreReply::Type(KeyType::String)), "+string\r\n");
    }

    #[test]
    fn slices_count_from_both_ends() {
        for (first, last, part) in [
            (0, -1, "hello"),
            (1, 3, "ell"),
            (-3, -2, "ll"),
            (-2, -3, ""),
            (3, 1, ""),
            (0, 99, "hello"),
            (5, 9, ""),
            (-99, 1, "he"),
            (-99, -99, "h"),
            (i64::MIN, i64::MAX, "hello"),
        ] {
            assert_eq!(slice(b"hello", first, last), part.as_bytes(), "{first} {last}");
        }
        assert_eq!(slice(b"", 0, -1), b"");
    }

    #[test]
    fn errors_begin_with_their_code() {
        let mut out = Vec::new();
        write_error(&mut out, &RequestError::NoLeader { why: "no quorum: 1 of 3".to_owned() });
        assert_eq!(out, b"-CLUSTERDOWN no quorum: 1 of 3\r\n");
    }
}
