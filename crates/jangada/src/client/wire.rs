//! One connection to one server: RESP2, blocking, each call with a deadline.
//!
//! It knows nothing of leaders or retries (see `session.rs`), but it tells apart what a retry must know: a request
//! that was certainly never sent, and one that may have been.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Arrays inside arrays deeper than this are no answer of ours.
const MAX_DEPTH: usize = 16;
/// Largest bulk string accepted, as in Redis.
const MAX_BULK_BYTES: usize = 512 << 20;
/// Most elements of one array.
const MAX_ELEMENTS: usize = 64 << 20;
/// Longest line: a status, an error, a length.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Status(String),
    /// `-ERR …`.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// `$3 abc`, or `$-1` for nothing.
    Bulk(Option<Vec<u8>>),
    /// `*2 …`, or `*-1` for nothing.
    Array(Option<Vec<Reply>>),
}

/// Why there is no answer.
#[derive(Debug)]
pub enum WireError {
    /// The request was certainly not sent.
    NotSent(io::Error),
    /// The connection broke, or the deadline passed, after a part of the request may have been sent.
    Lost(io::Error),
    /// Bytes that are not RESP.
    Protocol(String),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::NotSent(error) | WireError::Lost(error) => f.write_str(&reason(error)),
            WireError::Protocol(what) => write!(f, "not an answer of a Jangada server ({what})"),
        }
    }
}

/// An I/O error in a person's words.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection lost".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
    last_used: Instant,
}

impl Connection {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// What the last of the host's addresses said.
    pub fn open(address: &str, deadline: Instant) -> io::Result<Connection> {
        let stream = connect(address, deadline)?;
        Ok(Connection {
            address: address.to_owned(),
            stream: BufReader::new(stream),
            last_used: Instant::now(),
        })
    }

    /// Where it leads.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How long nothing was asked.
    pub fn idle(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Sends one command and waits for its answer. After an error the connection is of no more use.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn call(&mut self, arguments: &[&[u8]], deadline: Instant) -> Result<Reply, WireError> {
        let mut bytes = Vec::new();
        encode(arguments, &mut bytes);
        self.send(&bytes, deadline)?;
        self.receive(deadline)
    }

    fn send(&mut self, bytes: &[u8], deadline: Instant) -> Result<(), WireError> {
        let left = time_left(deadline).map_err(WireError::NotSent)?;
        let socket = self.stream.get_mut();
        socket.set_write_timeout(Some(left)).map_err(WireError::NotSent)?;
        socket.write_all(bytes).map_err(WireError::Lost)
    }

    fn receive(&mut self, deadline: Instant) -> Result<Reply, WireError> {
        let left = time_left(deadline).map_err(WireError::Lost)?;
        self.stream.get_mut().set_read_timeout(Some(left)).map_err(WireError::Lost)?;
        let reply = read_reply(&mut self.stream, 0)?;
        self.last_used = Instant::now();
        Ok(reply)
    }
}

/// Opens a socket to any of the addresses of `HOST:PORT`.
pub(crate) fn connect(address: &str, deadline: Instant) -> io::Result<TcpStream> {
    let candidates: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in candidates {
        let attempt = time_left(deadline).and_then(|left| TcpStream::connect_timeout(&candidate, left));
        match attempt {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The time until the deadline, never zero (a socket takes zero for "for ever").
pub(crate) fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Puts a command behind what is there.
pub(crate) fn encode(arguments: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// The first answer in `bytes` and its length; `None` while its end is missing.
///
/// # Errors
/// [`WireError::Protocol`] if it is no answer.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, WireError> {
    let mut rest = bytes;
    match read_reply(&mut rest, 0) {
        Ok(reply) => Ok(Some((reply, bytes.len() - rest.len()))),
        Err(WireError::Lost(_)) => Ok(None),
        Err(error @ (WireError::NotSent(_) | WireError::Protocol(_))) => Err(error),
    }
}

fn read_reply(input: &mut impl BufRead, depth: usize) -> Result<Reply, WireError> {
    if depth > MAX_DEPTH {
        return Err(WireError::Protocol("arrays nested too deep".to_owned()));
    }
    let line = read_line(input)?;
    let (kind, rest) =
        line.split_at_checked(1).ok_or_else(|| WireError::Protocol("an empty line".to_owned()))?;
    match kind {
        "+" => Ok(Reply::Status(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        ":" => Ok(Reply::Integer(number(rest)?)),
        "$" => match length(rest, MAX_BULK_BYTES)? {
            None => Ok(Reply::Bulk(None)),
            Some(length) => Ok(Reply::Bulk(Some(read_bulk(input, length)?))),
        },
        "*" => match length(rest, MAX_ELEMENTS)? {
            None => Ok(Reply::Array(None)),
            Some(count) => {
                let elements: Result<Vec<Reply>, WireError> =
                    (0..count).map(|_| read_reply(input, depth + 1)).collect();
                Ok(Reply::Array(Some(elements?)))
            }
        },
        _ => Err(WireError::Protocol(format!("a line that starts with {kind:?}"))),
    }
}

fn read_line(input: &mut impl BufRead) -> Result<String, WireError> {
    let mut line = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(WireError::Lost)?;
    let cut = !line.ends_with(b"\n") && (line.len() as u64) < MAX_LINE_BYTES;
    if cut {
        return Err(WireError::Lost(io::ErrorKind::UnexpectedEof.into()));
    }
    let Some(text) = line.strip_suffix(b"\r\n") else {
        return Err(WireError::Protocol("a line without its end".to_owned()));
    };
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn read_bulk(input: &mut impl BufRead, length: usize) -> Result<Vec<u8>, WireError> {
    // Grows with what really arrives: a length alone reserves nothing.
    let mut bytes = Vec::new();
    input.take(length as u64 + 2).read_to_end(&mut bytes).map_err(WireError::Lost)?;
    if bytes.len() < length + 2 {
        return Err(WireError::Lost(io::ErrorKind::UnexpectedEof.into()));
    }
    if !bytes.ends_with(b"\r\n") {
        return Err(WireError::Protocol("a bulk string without its end".to_owned()));
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn number(text: &str) -> Result<i64, WireError> {
    text.parse().map_err(|_| WireError::Protocol(format!("{text:?} where a number should be")))
}

fn length(text: &str, most: usize) -> Result<Option<usize>, WireError> {
    match number(text)? {
        -1 => Ok(None),
        n => match usize::try_from(n) {
            Ok(n) if n <= most => Ok(Some(n)),
            _ => Err(WireError::Protocol(format!("a length of {n}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Reply, WireError> {
        read_reply(&mut &bytes[..], 0)
    }

    #[test]
    fn every_kind_of_answer_is_understood() {
        assert_eq!(parse(b"+OK\r\n").unwrap(), Reply::Status("OK".into()));
        assert_eq!(parse(b"-ERR no\r\n").unwrap(), Reply::Error("ERR no".into()));
        assert_eq!(parse(b":-7\r\n").unwrap(), Reply::Integer(-7));
        assert_eq!(parse(b"$5\r\na\r\nb\0\r\n").unwrap(), Reply::Bulk(Some(b"a\r\nb\0".to_vec())));
        assert_eq!(parse(b"$0\r\n\r\n").unwrap(), Reply::Bulk(Some(Vec::new())));
        assert_eq!(parse(b"$-1\r\n").unwrap(), Reply::Bulk(None));
        assert_eq!(parse(b"*-1\r\n").unwrap(), Reply::Array(None));
        let nested = Reply::Array(Some(vec![Reply::Integer(1), Reply::Array(Some(Vec::new()))]));
        assert_eq!(parse(b"*2\r\n:1\r\n*0\r\n").unwrap(), nested);
    }

    #[test]
    fn answers_are_taken_off_as_soon_as_they_are_complete() {
        let bytes = b"*2\r\n$1\r\na\r\n:1\r\n+OK\r\n";
        for cut in 0..15 {
            assert!(matches!(super::parse(&bytes[..cut]), Ok(None)), "{cut} bytes are no answer yet");
        }
        let (reply, length) = super::parse(bytes).unwrap().unwrap();
        assert_eq!(reply, Reply::Array(Some(vec![Reply::Bulk(Some(b"a".to_vec())), Reply::Integer(1)])));
        assert_eq!(super::parse(&bytes[length..]).unwrap(), Some((Reply::Status("OK".into()), 5)));
        assert!(matches!(super::parse(b"HTTP/1.1 400\r\n"), Err(WireError::Protocol(_))));
    }

    #[test]
    fn a_cut_answer_is_lost_and_a_wrong_one_is_named() {
        for cut in [&b""[..], b"$5\r\nab", b"*2\r\n:1\r\n"] {
            assert!(matches!(parse(cut), Err(WireError::Lost(_))), "{cut:?}");
        }
        for wrong in [&b"HTTP/1.1 400\r\n"[..], b"$-2\r\n", b"$x\r\n", b"$1\r\nabc", b"\r\n", b"+OK\n"] {
            assert!(matches!(parse(wrong), Err(WireError::Protocol(_))), "{wrong:?}");
        }
        let deep = b"*1\r\n".repeat(MAX_DEPTH + 2);
        assert!(matches!(parse(&deep), Err(WireError::Protocol(_))));
    }

    #[test]
    fn commands_are_arrays_of_bulk_strings() {
        let mut bytes = Vec::new();
        encode(&[b"SET", b"k", b"a b"], &mut bytes);
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na b\r\n");
    }

    #[test]
    fn a_refused_connection_is_told_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = Connection::open(&address, Instant::now() + Duration::from_secs(5)).unwrap_err();
        assert_eq!(reason(&error), "connection refused");
    }
}
