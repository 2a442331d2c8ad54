//! The Redis serialization protocol, seen from the server: replies out.
//!
//! One writer for both versions of the protocol: version 3 has types of its own for null, maps and texts,
//! version 2 spells them with what it has.

/// Which version of the protocol the client speaks. `HELLO` changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Version {
    /// RESP2, what every connection begins with.
    #[default]
    Two,
    /// RESP3.
    Three,
}

/// Appends replies to a buffer.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    version: Version,
}

impl<'a> Reply<'a> {
    /// A writer of `version` at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, version: Version) -> Reply<'a> {
        Reply { out, version }
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status word such as `PONG`. It must hold no line end.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']), "a simple string is one line");
        self.line(b'+', text.as_bytes());
    }

    /// An error: its first word is its code. Line ends, which would end the reply, become spaces.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let one_line = |&byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
        self.out.push(b'-');
        self.out.extend(text.as_ref().iter().map(one_line));
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.number(b':', value);
    }

    /// A string of any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.number(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A text for people, which RESP3 marks as such.
    pub fn text(&mut self, text: &str) {
        match self.version {
            Version::Two => self.bulk(text.as_bytes()),
            Version::Three => {
                self.number(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// No value.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.version {
            Version::Two => b"$-1\r\n",
            Version::Three => b"_\r\n",
        });
    }

    /// No array: what `EXEC` answers when it was called off.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.version {
            Version::Two => b"*-1\r\n",
            Version::Three => b"_\r\n",
        });
    }

    /// The head of an array; `length` replies follow.
    pub fn array(&mut self, length: usize) {
        self.number(b'*', length as i64);
    }

    /// The head of a map; `pairs` times two replies follow.
    pub fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Two => self.number(b'*', 2 * pairs as i64),
            Version::Three => self.number(b'%', pairs as i64),
        }
    }

    /// The head of a set; `length` replies follow.
    pub fn set(&mut self, length: usize) {
        match self.version {
            Version::Two => self.number(b'*', length as i64),
            Version::Three => self.number(b'~', length as i64),
        }
    }

    fn line(&mut self, mark: u8, text: &[u8]) {
        self.out.push(mark);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    fn number(&mut self, mark: u8, value: i64) {
        let mut text = [0_u8; 24];
        let text = decimal(value, &mut text);
        self.line(mark, text);
    }
}

/// `value` in decimal digits at the end of `text`: replies are mostly numbers, and `write!` costs several
/// times as much.
fn decimal(value: i64, text: &mut [u8; 24]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        text[at] = b'-';
    }
    &text[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, version));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_versions() {
        for (two, three, write) in [
            ("$-1\r\n", "_\r\n", (|r| r.null()) as fn(&mut Reply<'_>)),
            ("*-1\r\n", "_\r\n", |r| r.null_array()),
            ("*4\r\n", "%2\r\n", |r| r.map(2)),
            ("*3\r\n", "~3\r\n", |r| r.set(3)),
            ("$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n", |r| r.text("hi")),
            (":-12\r\n", ":-12\r\n", |r| r.integer(-12)),
            ("$0\r\n\r\n", "$0\r\n\r\n", |r| r.bulk(b"")),
            ("-ERR a b\r\n", "-ERR a b\r\n", |r| r.error("ERR a\nb")),
            ("+PONG\r\n", "+PONG\r\n", |r| r.simple("PONG")),
        ] {
            assert_eq!(written(Version::Two, write), two);
            assert_eq!(written(Version::Three, write), three);
        }
    }

    #[test]
    fn every_integer_has_its_digits() {
        for value in [0, 1, 9, 10, -1, -10, i64::MAX, i64::MIN] {
            assert_eq!(written(Version::Two, |r| r.integer(value)), format!(":{value}\r\n"));
        }
    }
}
