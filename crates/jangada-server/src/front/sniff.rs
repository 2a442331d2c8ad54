//! Which protocol a connection speaks, told by its first bytes.

/// The protocols of the client port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Redis's, as programs speak it: the first command is an array.
    Resp,
    /// Lines: plain words, or Redis's inline commands.
    Lines,
    /// HTTP/1.
    Http1,
    /// HTTP/2, as clients of etcd speak it.
    Http2,
}

/// What HTTP/2 begins with.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The methods with which an HTTP request can begin.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"TRACE "];

/// Tells the protocol by the beginning of a stream. `None`: more bytes are needed.
///
/// `GET /livez HTTP/1.1` is HTTP, `GET /livez` asks for a key: only the end of the first line tells, so a line that
/// begins with an HTTP method is awaited, up to `line_bytes`.
pub(crate) fn sniff(first: &[u8], line_bytes: usize) -> Option<Protocol> {
    match first.first()? {
        b'*' => return Some(Protocol::Resp),
        b'A'..=b'Z' => {}
        _ => return Some(Protocol::Lines),
    }
    let may_begin = |word: &[u8]| {
        let length = word.len().min(first.len());
        first[..length] == word[..length]
    };
    if may_begin(HTTP2_PREFACE) {
        return (first.len() >= HTTP2_PREFACE.len()).then_some(Protocol::Http2);
    }
    if !METHODS.iter().any(|method| may_begin(method)) {
        return Some(Protocol::Lines);
    }
    match first.iter().position(|&byte| byte == b'\n') {
        Some(end) => {
            let line = first[..end].trim_ascii_end();
            let http = line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
            Some(if http { Protocol::Http1 } else { Protocol::Lines })
        }
        None if first.len() > line_bytes => Some(Protocol::Lines),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        for (first, protocol) in [
            ("", None),
            ("*", Some(Protocol::Resp)),
            ("*1\r\n$4\r\nPING\r\n", Some(Protocol::Resp)),
            ("s", Some(Protocol::Lines)),
            ("set d 8\n", Some(Protocol::Lines)),
            ("PING\r\n", Some(Protocol::Lines)),
            ("\n", Some(Protocol::Lines)),
            ("P", None),
            ("PR", None),
            ("PRINT x\n", Some(Protocol::Lines)),
            ("PRI * HTTP/2.0\r\n", Some(Protocol::Http2)),
            ("G", None),
            ("GET /livez HT", None),
            ("GET /livez HTTP/1.1\r\n", Some(Protocol::Http1)),
            ("GET /livez\n", Some(Protocol::Lines)),
            ("GET k\r\n", Some(Protocol::Lines)),
            ("GETDEL k\r\n", Some(Protocol::Lines)),
            ("HEAD / HTTP/1.0\n", Some(Protocol::Http1)),
            ("POST /members HTTP/1.1\r\n", Some(Protocol::Http1)),
            ("DELETE d\n", Some(Protocol::Lines)),
        ] {
            assert_eq!(sniff(first.as_bytes(), 64), protocol, "{first:?}");
        }
        assert_eq!(sniff(&[b'G'; 100], 64), Some(Protocol::Lines));
        assert_eq!(sniff(&[b"GET ", &[b'x'; 100][..]].concat(), 64), Some(Protocol::Lines));
    }
}
