//! A history as text: one JSON object on each line, so that one that failed can be kept, sent and judged again.
//!
//! `docs/checker.md` has the fields. Requests and answers are stored as the bytes that `jangada-kv` writes to its log, in
//! hexadecimal, since they must come back exactly; `asked` and `answered` say the same for people, and are not read.

use std::fmt::{self, Write};

use bytes::Bytes;
use jangada_kv::{DecodeError, Request, Response, Revision};
use jangada_raft::types::Time;

use crate::history::{History, Operation, Outcome};
use crate::json::Object;
use crate::json_read::{Value, object};
use crate::tell;

/// The format that is written, and the only one that is read.
const VERSION: u64 = 1;
/// Longest line that is read: a value of 16 MiB, in hexadecimal, with room for more.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Most operations that are read.
const MAX_OPERATIONS: usize = 10_000_000;

/// Why a text is no history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for LineError {}

impl History {
    /// The history as text, with a newline after each line.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut out = String::new();
        let mut first = Object::open(&mut out);
        first.number("jangada_history", VERSION);
        first.close();
        out.push('\n');
        for operation in self.operations() {
            write_line(&mut out, operation);
            out.push('\n');
        }
        out
    }

    /// Reads what [`History::to_lines`] has written. Empty lines are passed over.
    ///
    /// # Errors
    /// With the first line that is wrong.
    pub fn from_lines(text: &str) -> Result<History, LineError> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let bad = |line, why: String| LineError { line, why };
        let Some((number, first)) = lines.next() else {
            return Err(bad(1, "a history begins with a line that says so; this text is empty".to_string()));
        };
        match Fields::read(first).and_then(|fields| fields.number("jangada_history")) {
            Ok(VERSION) => {}
            Ok(other) => {
                return Err(bad(
                    number,
                    format!("a history of format {other}; only format {VERSION} is known"),
                ));
            }
            Err(why) => return Err(bad(number, format!("not the beginning of a history: {why}"))),
        }
        let mut history = History::new();
        for (number, line) in lines {
            if history.operations().len() == MAX_OPERATIONS {
                return Err(bad(number, format!("more than {MAX_OPERATIONS} operations")));
            }
            history.push(read_line(line).map_err(|why| bad(number, why))?);
        }
        Ok(history)
    }
}

fn write_line(out: &mut String, operation: &Operation) {
    let mut object = Object::open(out);
    object.number("client", operation.client).number("invoked_ns", operation.invoked.0);
    let mut bytes = Vec::new();
    operation.request.encode(&mut bytes);
    object.text("asked", &tell::request(&operation.request)).text("request", &hex(&bytes));
    match &operation.outcome {
        Outcome::Returned { at, response, revision } => {
            bytes.clear();
            response.encode(&mut bytes);
            object.text("outcome", "returned").number("at_ns", at.0);
            object.text("answered", &tell::response(response)).text("response", &hex(&bytes));
            if let Some(revision) = revision {
                object.number("revision", revision.0);
            }
        }
        Outcome::Refused { at } => {
            object.text("outcome", "refused").number("at_ns", at.0);
        }
        Outcome::Unknown => {
            object.text("outcome", "unknown");
        }
    }
    object.close();
}

fn read_line(line: &str) -> Result<Operation, String> {
    let fields = Fields::read(line)?;
    let client = fields.number("client")?;
    let invoked = Time(fields.number("invoked_ns")?);
    let request = fields.bytes("request")?;
    let request = Request::decode(request).map_err(|why| no_bytes("request", why))?;
    let outcome = match fields.text("outcome")?.as_str() {
        "returned" => {
            let response = fields.bytes("response")?;
            let response = Response::decode(response).map_err(|why| no_bytes("response", why))?;
            let revision = fields.find("revision").map(|_| fields.number("revision")).transpose()?;
            Outcome::Returned {
                at: Time(fields.number("at_ns")?),
                response,
                revision: revision.map(Revision),
            }
        }
        "refused" => Outcome::Refused { at: Time(fields.number("at_ns")?) },
        "unknown" => Outcome::Unknown,
        other => return Err(format!("`outcome` is \"{other}\", and none of returned, refused and unknown")),
    };
    match outcome.at() {
        Some(at) if at < invoked => Err("`at_ns` is before `invoked_ns`".to_string()),
        Some(_) | None => Ok(Operation { client, invoked, request, outcome }),
    }
}

fn no_bytes(name: &str, why: DecodeError) -> String {
    format!("`{name}` cannot be decoded: {why}")
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(out, "{byte:02x}").expect("writing to a string cannot fail");
    }
    out
}

fn from_hex(text: &str) -> Option<Bytes> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    let digit = |digit: u8| (digit as char).to_digit(16);
    pairs
        .map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
        .collect::<Option<Vec<u8>>>()
        .map(Bytes::from)
}

/// The fields of a line.
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn read(line: &str) -> Result<Fields, String> {
        if line.len() > MAX_LINE_BYTES {
            return Err(format!("the line is longer than {MAX_LINE_BYTES} bytes"));
        }
        object(line).map(Fields).map_err(|bad| bad.to_string())
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        match self.find(name) {
            Some(Value::Number(number)) => Ok(*number),
            Some(_) => Err(format!("`{name}` is not a number")),
            None => Err(format!("`{name}` is missing")),
        }
    }

    fn text(&self, name: &str) -> Result<String, String> {
        match self.find(name) {
            Some(Value::Text(text)) => Ok(text.clone()),
            Some(_) => Err(format!("`{name}` is not a text")),
            None => Err(format!("`{name}` is missing")),
        }
    }

    fn bytes(&self, name: &str) -> Result<Bytes, String> {
        from_hex(&self.text(name)?).ok_or_else(|| format!("`{name}` is not hexadecimal"))
    }
}
