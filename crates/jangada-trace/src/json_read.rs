//! A reader of one flat JSON object: the counterpart of [`crate::json`].
//!
//! Flat means: the values are texts, whole numbers, true, false and null. Anything else is refused, so there is nothing
//! that could nest too deeply.

use std::fmt;

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(u64),
    Truth(bool),
    Null,
}

/// Why a line is no flat JSON object, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

/// The fields of an object, in their order.
pub(crate) fn object(line: &str) -> Result<Vec<(String, Value)>, Bad> {
    let mut reader = Reader { text: line, at: 0 };
    let mut fields = Vec::new();
    reader.expect('{', "an object was expected")?;
    if !reader.takes('}') {
        loop {
            let name = reader.text()?;
            reader.expect(':', "a colon was expected")?;
            fields.push((name, reader.value()?));
            if reader.takes('}') {
                break;
            }
            reader.expect(',', "a comma or the end of the object was expected")?;
        }
    }
    reader.skip_spaces();
    if reader.at < line.len() { Err(reader.bad("nothing more was expected")) } else { Ok(fields) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn bad(&self, what: &'static str) -> Bad {
        Bad { at: self.at, what }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.at += 1;
        }
    }

    fn takes(&mut self, wanted: char) -> bool {
        self.skip_spaces();
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.at += wanted.len_utf8();
        }
        is_there
    }

    fn expect(&mut self, wanted: char, what: &'static str) -> Result<(), Bad> {
        if self.takes(wanted) { Ok(()) } else { Err(self.bad(what)) }
    }

    fn value(&mut self) -> Result<Value, Bad> {
        self.skip_spaces();
        for (word, value) in
            [("true", Value::Truth(true)), ("false", Value::Truth(false)), ("null", Value::Null)]
        {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some('"') => self.text().map(Value::Text),
            Some('0'..='9') => {
                let rest = &self.text[self.at..];
                let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let number = rest[..digits].parse().map_err(|_| self.bad("the number does not fit"))?;
                self.at += digits;
                Ok(Value::Number(number))
            }
            _ => Err(self.bad("a text, a whole number, true, false or null was expected")),
        }
    }

    fn text(&mut self) -> Result<String, Bad> {
        self.expect('"', "a text in quotes was expected")?;
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(self.bad("the text does not end")),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(c) if c < ' ' => return Err(self.bad("a control character in a text")),
                Some(c) => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Bad> {
        Ok(match self.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let digits =
                    self.text.get(self.at..self.at + 4).ok_or(self.bad("four digits were expected"))?;
                let number =
                    u32::from_str_radix(digits, 16).map_err(|_| self.bad("four digits were expected"))?;
                self.at += 4;
                // Nothing that we write needs a pair of surrogates.
                char::from_u32(number).ok_or(self.bad("half of a character"))?
            }
            _ => return Err(self.bad("an unknown escape")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_object_is_read() {
        let fields = object(r#" {"a" : 7, "b":"q\" \\ \u0000 é", "c":null,"d":true } "#).unwrap();
        let expected = [
            ("a".to_string(), Value::Number(7)),
            ("b".to_string(), Value::Text("q\" \\ \0 é".to_string())),
            ("c".to_string(), Value::Null),
            ("d".to_string(), Value::Truth(true)),
        ];
        assert_eq!(fields, expected);
        assert_eq!(object("{}"), Ok(vec![]));
    }

    #[test]
    fn everything_else_is_refused_with_its_place() {
        for (line, at, what) in [
            ("", 0, "an object"),
            ("[1]", 0, "an object"),
            (r#"{"a":[1]}"#, 5, "a text, a whole number"),
            (r#"{"a":-1}"#, 5, "a text, a whole number"),
            (r#"{"a":99999999999999999999}"#, 5, "does not fit"),
            (r#"{"a":1"#, 6, "a comma or the end"),
            (r#"{"a":1} x"#, 8, "nothing more"),
            (r#"{"a":"x"#, 7, "does not end"),
            (r#"{"a":"\ud800"}"#, 12, "half of a character"),
            (r#"{"a":"\q"}"#, 8, "unknown escape"),
            ("{\"a\":\"\u{1}\"}", 7, "control character"),
        ] {
            let bad = object(line).unwrap_err();
            assert_eq!(bad.at, at, "{line}: {bad}");
            assert!(bad.what.contains(what), "{line}: {bad}");
        }
    }
}
