//! The Redis serialization protocol, seen from the server: bytes in, one command at a time out.
//!
//! The parser is incremental and copies nothing: it remembers how far it came and where the arguments lie,
//! and the caller keeps the bytes until the command is complete. Cutting the stream at other places never
//! changes what is read. What it refuses, it refuses in Redis's words, and after a refusal nothing that
//! follows can be trusted: the connection ends.
//!
//! A command is an array of bulk strings, or a line ([`super::inline`] cuts it into arguments).

use std::fmt;
use std::ops::Index;

use crate::limits::Limits;

/// Reads commands from a growing buffer.
#[derive(Debug)]
pub struct Parser {
    line_bytes: usize,
    bulk_bytes: usize,
    array_elements: usize,
    command_bytes: usize,
    state: State,
    arguments: Vec<Span>,
}

/// Where the parser stands inside the command under way. Positions count from the command's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of the command was understood yet.
    Start,
    /// A line, and so many of its bytes hold no line end.
    Line { searched: usize },
    /// Inside an array: so many elements are to come, the next header begins at `at`.
    Header { remaining: usize, at: usize },
    /// Inside an array: a bulk string lies at `at`, and perhaps not all of it is there yet.
    Bulk { remaining: usize, at: usize, length: usize },
}

/// Where an argument lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) start: u32,
    /// The byte after the last.
    pub(crate) end: u32,
}

/// What the next bytes of a stream are, and how many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An array: its elements are [`Parser::arguments`] of the same bytes.
    Array {
        /// The bytes that it takes.
        consumed: usize,
    },
    /// A line of `length` bytes, its line end not counted.
    Line {
        /// The bytes of the line's content, from the first on.
        length: usize,
        /// The bytes that it takes, with the line end.
        consumed: usize,
    },
    /// An empty array or a null array: Redis passes over it in silence.
    Nothing {
        /// The bytes that it takes.
        consumed: usize,
    },
}

/// The arguments of one command; the first is its name.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

/// What they say is shown nowhere: it may be a password, or a value.
impl std::fmt::Debug for Arguments<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} arguments", self.spans.len())
    }
}

/// Why a stream cannot be followed any further. Its text is Redis's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line does not end in time.
    LineTooLong,
    /// The header of an array does not end in time.
    ArrayHeaderTooLong,
    /// The header of an array is no number, or too large a number.
    ArrayLength,
    /// The header of a bulk string does not end in time.
    BulkHeaderTooLong,
    /// An element of an array is no bulk string.
    NotABulk(u8),
    /// The header of a bulk string is no number, or too large a number.
    BulkLength,
    /// A quotation in a line does not end, or does not end a word.
    Quotes,
    /// One command is larger than any may be.
    CommandTooLong,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            ProtocolError::LineTooLong => f.write_str("too big inline request"),
            ProtocolError::ArrayHeaderTooLong => f.write_str("too big mbulk count string"),
            ProtocolError::ArrayLength => f.write_str("invalid multibulk length"),
            ProtocolError::BulkHeaderTooLong => f.write_str("too big bulk count string"),
            // A line end here would end the error reply itself.
            ProtocolError::NotABulk(b'\r' | b'\n') => f.write_str("expected '$', got ' '"),
            ProtocolError::NotABulk(byte) => write!(f, "expected '$', got '{}'", char::from(*byte)),
            ProtocolError::BulkLength => f.write_str("invalid bulk length"),
            ProtocolError::Quotes => f.write_str("unbalanced quotes in request"),
            ProtocolError::CommandTooLong => f.write_str("too big command"),
        }
    }
}

impl std::error::Error for ProtocolError {}

impl Parser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new(limits: &Limits) -> Parser {
        assert!(
            u32::try_from(limits.command_bytes).is_ok_and(|bytes| bytes < u32::MAX / 2),
            "positions in a command fit in 32 bits"
        );
        Parser {
            line_bytes: limits.line_bytes,
            bulk_bytes: limits.bulk_bytes,
            array_elements: limits.array_elements,
            command_bytes: limits.command_bytes,
            state: State::Start,
            arguments: Vec::new(),
        }
    }

    /// Looks at `input`, whose first byte is the first of a command. `None`: the command is not complete;
    /// come back with the same bytes and more behind them. After a step, drop the bytes that it consumed.
    ///
    /// # Errors
    /// The stream is not what the protocol says; the parser must not be used again.
    pub fn step(&mut self, input: &[u8]) -> Result<Option<Step>, ProtocolError> {
        loop {
            match self.state {
                State::Start => match input.first() {
                    None => return Ok(None),
                    Some(b'*') => {
                        let Some((count, at)) = self.array_header(input)? else { return Ok(None) };
                        if count == 0 {
                            return Ok(Some(Step::Nothing { consumed: at }));
                        }
                        self.forget_arguments();
                        self.state = State::Header { remaining: count, at };
                    }
                    Some(_) => self.state = State::Line { searched: 0 },
                },
                State::Line { searched } => return self.line(input, searched),
                State::Header { remaining, at } => {
                    let Some((length, at)) = self.bulk_header(input, at)? else { return Ok(None) };
                    self.state = State::Bulk { remaining, at, length };
                }
                State::Bulk { remaining, at, length } => {
                    // As in Redis, the two bytes behind the string are passed over, not looked at.
                    let next = at + length + 2;
                    if input.len() < next {
                        return Ok(None);
                    }
                    self.arguments.push(Span { start: at as u32, end: (at + length) as u32 });
                    if remaining == 1 {
                        self.state = State::Start;
                        return Ok(Some(Step::Array { consumed: next }));
                    }
                    self.state = State::Header { remaining: remaining - 1, at: next };
                }
            }
        }
    }

    /// The arguments of the array that the last step found in `input`.
    #[must_use]
    pub fn arguments<'a>(&'a self, input: &'a [u8]) -> Arguments<'a> {
        Arguments { bytes: input, spans: &self.arguments }
    }

    /// How many bytes the command under way needs at least, as far as that is known: what to make room for.
    #[must_use]
    pub fn wanted(&self) -> usize {
        match self.state {
            State::Start | State::Line { .. } | State::Header { .. } => 0,
            State::Bulk { at, length, .. } => at + length + 2,
        }
    }

    /// A whole line, which ends with `\n` or `\r\n`.
    fn line(&mut self, input: &[u8], searched: usize) -> Result<Option<Step>, ProtocolError> {
        let window = &input[..input.len().min(self.line_bytes + 1)];
        let Some(end) = window[searched..].iter().position(|&byte| byte == b'\n') else {
            if input.len() > self.line_bytes {
                return Err(ProtocolError::LineTooLong);
            }
            self.state = State::Line { searched: input.len() };
            return Ok(None);
        };
        self.state = State::Start;
        let end = searched + end;
        let length = if end > 0 && input[end - 1] == b'\r' { end - 1 } else { end };
        Ok(Some(Step::Line { length, consumed: end + 1 }))
    }

    /// `*COUNT\r\n` at the start: the count, and where the first element begins.
    fn array_header(&self, input: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some(end) = self.header_end(input, 0, ProtocolError::ArrayHeaderTooLong)? else {
            return Ok(None);
        };
        let count = integer(&input[1..end]).ok_or(ProtocolError::ArrayLength)?;
        // `*0` and `*-1` (and any other negative count) are no command at all.
        let count = usize::try_from(count).unwrap_or(0);
        if count > self.array_elements {
            return Err(ProtocolError::ArrayLength);
        }
        Ok(Some((count, end + 2)))
    }

    /// `$LENGTH\r\n` at `at`: the length, and where the string begins.
    fn bulk_header(&self, input: &[u8], at: usize) -> Result<Option<(usize, usize)>, ProtocolError> {
        if at > self.command_bytes {
            return Err(ProtocolError::CommandTooLong);
        }
        if let Some((length, start)) = short_header(input, at)
            && length <= self.bulk_bytes
            && start + length <= self.command_bytes
        {
            return Ok(Some((length, start)));
        }
        let Some(end) = self.header_end(input, at, ProtocolError::BulkHeaderTooLong)? else {
            return Ok(None);
        };
        if input[at] != b'$' {
            return Err(ProtocolError::NotABulk(input[at]));
        }
        let length = integer(&input[at + 1..end])
            .and_then(|length| usize::try_from(length).ok())
            .filter(|&length| length <= self.bulk_bytes)
            .ok_or(ProtocolError::BulkLength)?;
        if end + 2 + length > self.command_bytes {
            return Err(ProtocolError::CommandTooLong);
        }
        Ok(Some((length, end + 2)))
    }

    /// Where the `\r\n` of the header that begins at `at` stands. As in Redis, the byte after `\r` is passed
    /// over, not looked at.
    fn header_end(
        &self,
        input: &[u8],
        at: usize,
        too_long: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let rest = &input[at.min(input.len())..];
        let window = &rest[..rest.len().min(self.line_bytes + 1)];
        match window.iter().position(|&byte| byte == b'\r') {
            Some(end) if at + end + 1 < input.len() => Ok(Some(at + end)),
            Some(_) => Ok(None),
            None if rest.len() > self.line_bytes => Err(too_long),
            None => Ok(None),
        }
    }

    /// Makes room for the next command's arguments, without keeping what a giant command took.
    fn forget_arguments(&mut self) {
        const KEPT: usize = 1024;
        self.arguments.clear();
        self.arguments.shrink_to(KEPT);
    }
}

/// The header of almost every bulk string, `$` and a few digits: its length, and where the string begins. Whatever
/// else stands there is left to the long way, which finds out what is wrong, or whether more bytes are needed.
fn short_header(input: &[u8], at: usize) -> Option<(usize, usize)> {
    const MOST_DIGITS: usize = 7;
    let header = input.get(at..at + MOST_DIGITS + 3)?;
    if header[0] != b'$' || (header[1] == b'0' && header[2] != b'\r') {
        return None;
    }
    let mut length = 0;
    for (digits, &byte) in header[1..=MOST_DIGITS + 1].iter().enumerate() {
        match byte {
            b'0'..=b'9' => length = length * 10 + usize::from(byte - b'0'),
            b'\r' if digits > 0 => return Some((length, at + digits + 3)),
            _ => return None,
        }
    }
    None
}

impl<'a> Arguments<'a> {
    /// Arguments that lie in `bytes` at `spans`.
    pub(crate) fn new(bytes: &'a [u8], spans: &'a [Span]) -> Arguments<'a> {
        Arguments { bytes, spans }
    }

    /// How many there are, the command's name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`, if there is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| &self.bytes[span.start as usize..span.end as usize])
    }

    /// All arguments from `first` on.
    pub fn from(&self, first: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        let spans = self.spans.get(first..).unwrap_or_default();
        spans.iter().map(move |span| &bytes[span.start as usize..span.end as usize])
    }
}

impl Index<usize> for Arguments<'_> {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        let span = self.spans[index];
        &self.bytes[span.start as usize..span.end as usize]
    }
}

/// An integer as Redis reads it: decimal, an optional minus, no plus, no leading zero, no space.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Counted downwards, because the smallest integer has no positive counterpart.
    let mut value: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the whole stream and shows what came out.
    fn read(stream: &[u8]) -> String {
        let mut parser = Parser::new(&Limits::default());
        let mut rest = stream;
        let mut shown = String::new();
        loop {
            match parser.step(rest) {
                Ok(None) => return shown + if rest.is_empty() { "." } else { "…" },
                Ok(Some(Step::Array { consumed })) => {
                    let words: Vec<String> =
                        parser.arguments(rest).from(0).map(|word| word.escape_ascii().to_string()).collect();
                    shown += &format!("[{}]", words.join("|"));
                    rest = &rest[consumed..];
                }
                Ok(Some(Step::Line { length, consumed })) => {
                    shown += &format!("({})", rest[..length].escape_ascii());
                    rest = &rest[consumed..];
                }
                Ok(Some(Step::Nothing { consumed })) => {
                    shown += "0";
                    rest = &rest[consumed..];
                }
                Err(error) => return format!("{shown}!{error}"),
            }
        }
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(read(b"*3\r\n$3\r\nSET\r\n$1\r\nd\r\n$1\r\n8\r\n"), "[SET|d|8].");
        assert_eq!(read(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n"), "[PING][PING].");
        assert_eq!(read(b"*2\r\n$0\r\n\r\n$2\r\n\r\n\r\n"), "[|\\r\\n].");
        assert_eq!(read(b"set d 8\nget d\r\n\r\n"), "(set d 8)(get d)().");
        assert_eq!(read(b"*0\r\n*-1\r\nPING\r\n"), "00(PING).");
        assert_eq!(read(b"*2\r\n$4\r\nECHO\r\n$5\r\nab"), "…");
    }

    #[test]
    fn what_is_refused_is_refused_in_the_words_of_redis() {
        assert_eq!(read(b"*x\r\n"), "!Protocol error: invalid multibulk length");
        assert_eq!(read(b"*01\r\n"), "!Protocol error: invalid multibulk length");
        assert_eq!(read(b"*1048577\r\n"), "!Protocol error: invalid multibulk length");
        assert_eq!(read(b"*\r\n"), "!Protocol error: invalid multibulk length");
        assert_eq!(read(b"*1\r\nfoo\r\n"), "!Protocol error: expected '$', got 'f'");
        assert_eq!(read(b"*1\r\n\r\n"), "!Protocol error: expected '$', got ' '");
        assert_eq!(read(b"*1\r\n$-1\r\n"), "!Protocol error: invalid bulk length");
        assert_eq!(read(b"*1\r\n$9999999999\r\n"), "!Protocol error: invalid bulk length");
        let digits = [b'1'; 70_000];
        assert_eq!(read(&[b"*", &digits[..]].concat()), "!Protocol error: too big mbulk count string");
        assert_eq!(read(&[b"*1\r\n$", &digits[..]].concat()), "!Protocol error: too big bulk count string");
        assert_eq!(read(&digits), "!Protocol error: too big inline request");
    }

    #[test]
    fn a_command_is_bounded_as_a_whole() {
        let limits = Limits { command_bytes: 100, ..Limits::default() };
        let mut parser = Parser::new(&limits);
        let error =
            parser.step(b"*2\r\n$50\r\n01234567890123456789012345678901234567890123456789\r\n$50\r\n");
        assert_eq!(error, Err(ProtocolError::CommandTooLong));
    }

    #[test]
    fn integers_are_strict() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("00", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1x", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
        }
    }
}
