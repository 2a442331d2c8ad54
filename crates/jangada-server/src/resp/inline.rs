//! A line cut into words, as a person types them: `SET greeting "hello world"`.
//!
//! Words are separated by white space. Inside double quotes `\n \r \t \b \a \\ \"` and `\xHH` mean what they
//! mean in C; inside single quotes only `\'` means anything. A closing quote must end its word.

use super::parser::{Arguments, ProtocolError, Span};

/// The words of a line. Kept and used again for the next line, so that it allocates once.
#[derive(Debug, Default)]
pub struct Words {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Words {
    /// Cuts `line` into words, forgetting those of the line before.
    ///
    /// # Errors
    /// [`ProtocolError::Quotes`] if a quotation does not end, or does not end a word.
    pub fn cut(&mut self, line: &[u8]) -> Result<(), ProtocolError> {
        self.bytes.clear();
        self.spans.clear();
        let mut rest = skip_space(line);
        while !rest.is_empty() {
            let start = self.bytes.len();
            rest = self.word(rest)?;
            self.spans.push(Span { start: start as u32, end: self.bytes.len() as u32 });
            rest = skip_space(rest);
        }
        Ok(())
    }

    /// The words of the last line.
    #[must_use]
    pub fn arguments(&self) -> Arguments<'_> {
        Arguments::new(&self.bytes, &self.spans)
    }

    /// Takes one word from the front of `rest` and returns what follows it.
    fn word<'a>(&mut self, mut rest: &'a [u8]) -> Result<&'a [u8], ProtocolError> {
        loop {
            match rest {
                [b'"', quoted @ ..] => return ended(double_quoted(quoted, &mut self.bytes)),
                [b'\'', quoted @ ..] => return ended(single_quoted(quoted, &mut self.bytes)),
                [] => return Ok(rest),
                [byte, ..] if is_space(*byte) => return Ok(rest),
                [byte, tail @ ..] => {
                    self.bytes.push(*byte);
                    rest = tail;
                }
            }
        }
    }
}

/// Appends what stands before the closing double quote to `word` and returns what stands after it.
pub(crate) fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
            [] => return None,
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
            [] => return None,
        }
    }
}

/// A closing quote must be followed by white space or by nothing.
fn ended(rest: Option<&[u8]>) -> Result<&[u8], ProtocolError> {
    match rest {
        Some([]) => Ok(&[]),
        Some(rest @ [byte, ..]) if is_space(*byte) => Ok(rest),
        Some(_) | None => Err(ProtocolError::Quotes),
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// White space as C's `isspace` knows it.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn skip_space(text: &[u8]) -> &[u8] {
    let first = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    &text[first..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &str) -> Option<Vec<Vec<u8>>> {
        let mut words = Words::default();
        words.cut(line.as_bytes()).ok()?;
        Some(words.arguments().from(0).map(<[u8]>::to_vec).collect())
    }

    fn check(line: &str, words: &[&str]) {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(cut(line), Some(words), "{line}");
    }

    #[test]
    fn words_and_quotations() {
        check("", &[]);
        check("  \t ", &[]);
        check(" SET  a b ", &["SET", "a", "b"]);
        check(r#"SET a "hello world""#, &["SET", "a", "hello world"]);
        check(r#"SET a 'it\'s "so"'"#, &["SET", "a", "it's \"so\""]);
        check(r#"SET a "\x41\n\t\\\"""#, &["SET", "a", "A\n\t\\\""]);
        check(r#"SET a "" ''"#, &["SET", "a", "", ""]);
        check(r#"ab"cd""#, &["abcd"]);
        check(r#""\xzz""#, &["xzz"]);
        assert_eq!(cut(r#""\xff""#), Some(vec![vec![0xff]]));
    }

    #[test]
    fn unbalanced_quotations_are_refused() {
        for line in [r#"SET a "b"#, "SET a 'b", r#"SET a "b"c"#, "SET a 'b'c", r#""\"#] {
            assert_eq!(cut(line), None, "{line}");
        }
    }
}
