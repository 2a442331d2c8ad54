//! The few words of HTTP/1.1 that `/status`, `/readyz`, `/members` and `/transfer` need: one request, one connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::wire::{connect, time_left};

/// Largest answer: the status of a cluster with thousands of members is far below.
const MAX_BODY_BYTES: u64 = 16 << 20;
/// Most headers of an answer.
const MAX_HEADERS: usize = 64;
/// Longest header line.
const MAX_LINE_BYTES: u64 = 64 << 10;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, 409, 503 …
    pub status: u16,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, for a person.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum HttpError {
    /// The request was certainly not sent.
    NotSent(io::Error),
    /// It may have been.
    Lost(io::Error),
}

impl HttpError {
    /// The error itself.
    pub fn into_io(self) -> io::Error {
        match self {
            HttpError::NotSent(error) | HttpError::Lost(error) => error,
        }
    }
}

/// `GET path`.
///
/// # Errors
/// When there is no complete answer before the deadline.
pub fn get(address: &str, path: &str, deadline: Instant) -> io::Result<Answer> {
    request(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
        deadline,
    )
    .map_err(HttpError::into_io)
}

/// `POST path` with a JSON body, and a token, if servers want to know who asks.
///
/// # Errors
/// When there is no complete answer before the deadline.
pub fn post_json(
    address: &str,
    path: &str,
    body: &str,
    token: Option<&str>,
    deadline: Instant,
) -> Result<Answer, HttpError> {
    let length = body.len();
    let token = token.map_or(String::new(), |token| format!("Authorization: {token}\r\n"));
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n{token}\
         Content-Length: {length}\r\n\r\n{body}"
    );
    request(address, &text, deadline)
}

fn request(address: &str, text: &str, deadline: Instant) -> Result<Answer, HttpError> {
    let mut stream = connect(address, deadline).map_err(HttpError::NotSent)?;
    send(&mut stream, text, deadline).map_err(HttpError::Lost)?;
    read_answer(&mut BufReader::new(stream)).map_err(HttpError::Lost)
}

fn send(stream: &mut TcpStream, text: &str, deadline: Instant) -> io::Result<()> {
    let left = time_left(deadline)?;
    stream.set_write_timeout(Some(left))?;
    stream.write_all(text.as_bytes())?;
    stream.set_read_timeout(Some(time_left(deadline)?))
}

fn read_answer(input: &mut impl BufRead) -> io::Result<Answer> {
    let status_line = read_line(input)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let Some(status) = status.filter(|_| status_line.starts_with("HTTP/1.")) else {
        return Err(malformed("not an HTTP answer"));
    };
    let mut headers = Vec::new();
    let mut length = None;
    let mut chunked = false;
    loop {
        let line = read_line(input)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(malformed("a header without a colon"));
        };
        if headers.len() == MAX_HEADERS {
            return Err(malformed("too many headers"));
        }
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(
                value.trim().parse::<u64>().map_err(|_| malformed("a content-length that is no number"))?,
            );
        }
        chunked |=
            name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked");
    }
    let body = if chunked { read_chunks(input)? } else { read_body(input, length)? };
    Ok(Answer { status, headers, body })
}

fn read_body(input: &mut impl BufRead, length: Option<u64>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let most = length.unwrap_or(MAX_BODY_BYTES);
    if most > MAX_BODY_BYTES {
        return Err(malformed("an answer that is too large"));
    }
    input.take(most).read_to_end(&mut body)?;
    if length.is_some_and(|length| (body.len() as u64) < length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

fn read_chunks(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(input)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| malformed("a chunk without its size"))?;
        if size == 0 {
            return Ok(body);
        }
        if body.len() as u64 + size > MAX_BODY_BYTES {
            return Err(malformed("an answer that is too large"));
        }
        let before = body.len() as u64;
        input.take(size).read_to_end(&mut body)?;
        if body.len() as u64 != before + size || !read_line(input)?.is_empty() {
            return Err(malformed("a chunk that is cut"));
        }
    }
}

fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> io::Result<(u16, String)> {
        read_answer(&mut text.as_bytes()).map(|answer| (answer.status, answer.text()))
    }

    #[test]
    fn a_body_ends_by_length_by_chunks_or_by_the_end() {
        let expected = (200, "ok".to_owned());
        assert_eq!(parse("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\nrest").unwrap(), expected);
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), expected);
        assert_eq!(parse("HTTP/1.0 200 OK\r\n\r\nok").unwrap(), expected);
    }

    #[test]
    fn a_cut_or_foreign_answer_is_an_error() {
        for wrong in
            ["", "HTTP/1.1 200 OK\r\n", "-ERR no\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
