//! A writer of one flat JSON object: all that a line of JSON needs.

use std::fmt::Write;

/// One JSON object that grows field by field at the end of a string.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub(crate) fn open(out: &'a mut String) -> Object<'a> {
        out.push('{');
        Object { out, first: true }
    }

    /// Closes it.
    pub(crate) fn close(self) {
        self.out.push('}');
    }

    /// A field that is a number.
    pub(crate) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.key(name);
        write!(self.out, "{value}").expect("writing to a string cannot fail");
        self
    }

    /// A field that is a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.key(name);
        quote(self.out, value);
        self
    }

    /// A field that is true or false.
    pub(crate) fn truth(&mut self, name: &str, value: bool) -> &mut Self {
        self.key(name);
        self.out.push_str(if value { "true" } else { "false" });
        self
    }

    /// A field that is a text or null.
    pub(crate) fn maybe(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => {
                self.key(name);
                self.out.push_str("null");
                self
            }
        }
    }

    fn key(&mut self, name: &str) {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        quote(self.out, name);
        self.out.push(':');
    }
}

/// A text as JSON (RFC 8259 §7): quote, backslash and control characters are escaped, all else stays.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_escapes() {
        let mut out = String::from("before ");
        let mut object = Object::open(&mut out);
        object.text("a\"b", "tab\t quote\" back\\ nul\0 é").number("n", 7).truth("t", true).maybe("m", None);
        object.close();
        assert_eq!(out, r#"before {"a\"b":"tab\t quote\" back\\ nul\u0000 é","n":7,"t":true,"m":null}"#);
    }
}
