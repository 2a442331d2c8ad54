//! What goes to stdout: tables for a person, JSON for a script. Everything else goes to stderr.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use clap::builder::{EnumValueParser, TypedValueParser};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::Failure;

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// What `-o` may say: what all commands understand, or what `ctl` does beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Of all commands.
    Common(Format),
    /// Of `ctl`.
    Ctl(crate::ctl::print::Format),
}

impl Shape {
    /// The parser of what all commands understand.
    pub fn common() -> impl TypedValueParser<Value = Shape> {
        EnumValueParser::<Format>::new().map(Shape::Common)
    }

    /// For whoever does not know what `ctl` does.
    pub fn format(self) -> Format {
        match self {
            Shape::Common(format) => format,
            Shape::Ctl(crate::ctl::print::Format::Json) => Format::Json,
            Shape::Ctl(_) => Format::Text,
        }
    }
}

/// Writes one line to stdout.
///
/// # Errors
/// When stdout is closed.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes bytes to stdout, as they are.
///
/// # Errors
/// When stdout is closed.
pub fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// Writes one JSON document and a line end.
///
/// # Errors
/// When stdout is closed.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&serde_json::to_string(value).expect("our own types have string keys and no failing serializers"))
}

/// A plain table: no lines, no colours, columns as wide as needed.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    let lines: Vec<&str> =
        text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n")
}

/// Says something to the person, beside the data.
pub fn note(text: &str) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a person reads stdout.
pub fn to_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Bytes as a person reads them: text as it is, anything else escaped.
pub fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\t') => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_aligned_columns_and_no_frame() {
        let text = table(
            &["NAME", "ROLE"],
            vec![vec!["n1".into(), "leader".into()], vec!["n10".into(), "x".into()]],
        );
        assert_eq!(text, "NAME  ROLE\nn1    leader\nn10   x");
    }

    #[test]
    fn control_bytes_are_escaped() {
        assert_eq!(printable("ação".as_bytes()), "ação");
        assert_eq!(printable(b"a\x1b[31m"), "a\\x1b[31m");
        assert_eq!(printable(&[0xff, b'a']), "\\xffa");
    }
}
