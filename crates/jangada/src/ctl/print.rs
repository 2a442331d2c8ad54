//! One answer in five formats.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{Table, presets};

use super::tree::Tree;
use crate::failure::Failure;
use crate::output;

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As etcdctl does: lines
    #[default]
    Simple,
    /// One JSON document; bytes are base64
    Json,
    /// A line for each field
    Fields,
    /// A table, where there is one
    Table,
    /// Values as they are, and nothing else
    Raw,
}

/// What a command has to say.
#[derive(Clone, Debug)]
pub struct Answer {
    /// All of it.
    pub tree: Tree,
    /// In lines.
    pub simple: Vec<u8>,
    /// As a table, if it is one: the header, and rows.
    pub table: Option<(Vec<&'static str>, Vec<Vec<String>>)>,
    /// The values alone, if there are any.
    pub raw: Option<Vec<u8>>,
}

impl Answer {
    /// Something that is neither a table nor has values.
    pub fn lines(tree: Tree, simple: impl Into<Vec<u8>>) -> Answer {
        Answer { tree, simple: simple.into(), table: None, raw: None }
    }
}

impl Format {
    /// Prints it on stdout.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn print(self, answer: &Answer) -> Result<(), Failure> {
        match (self, &answer.table, &answer.raw) {
            (Format::Json, _, _) => output::json(&answer.tree.json()),
            (Format::Fields, _, _) => output::raw(answer.tree.fields().as_bytes()),
            (Format::Table, Some((header, rows)), _) => output::line(&framed(header, rows)),
            (Format::Raw, _, Some(raw)) => output::raw(raw),
            (Format::Simple | Format::Table | Format::Raw, _, _) => output::raw(&answer.simple),
        }
    }
}

/// A table with a frame, as etcdctl draws it.
fn framed(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}

/// Bytes as they are, or escaped where a terminal would take them for orders; and the end of the line.
pub fn add_line(bytes: &[u8], lines: &mut Vec<u8>) {
    match output::to_terminal() {
        true => lines.extend_from_slice(output::printable(bytes).as_bytes()),
        false => lines.extend_from_slice(bytes),
    }
    lines.push(b'\n');
}

/// A line of text.
pub fn add_text(text: &str, lines: &mut Vec<u8>) {
    writeln!(lines, "{text}").expect("writing into memory cannot fail");
}
