//! The files: blocks of commands, `---`, and what happened.
//!
//! A block is some lines of commands, a line `---`, and lines of what happened, up to the next empty line. The first
//! block begins with comments that say what the file shows, and where it comes from.

use std::fmt::Write;

use super::command::Command;
use super::parse::parse;

/// A file of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The blocks, in order.
    pub blocks: Vec<Block>,
}

/// Some commands, and what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The lines above `---`, comments and empty lines with them.
    pub lines: Vec<Line>,
    /// The lines below.
    pub output: Vec<String>,
}

/// One line above `---`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which of the file, from 1 on.
    pub number: usize,
    /// As it was typed.
    pub text: String,
    /// What it says; `None` for comments and empty lines.
    pub command: Option<Command>,
}

impl Script {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that cannot be read, and why.
    pub fn read(text: &str) -> Result<Script, String> {
        let mut blocks = Vec::new();
        let mut lines = Vec::new();
        let mut below: Option<Vec<String>> = None;
        for (text, number) in text.lines().map(str::trim_end).zip(1..) {
            match &mut below {
                Some(output) if !text.is_empty() => output.push(text.to_owned()),
                Some(output) => {
                    let output = std::mem::take(output);
                    blocks.push(Block { lines: std::mem::take(&mut lines), output });
                    below = None;
                }
                None if text == "---" => below = Some(Vec::new()),
                None => {
                    let command = parse(text).map_err(|why| format!("line {number}: {why}"))?;
                    lines.push(Line { number, text: text.to_owned(), command });
                }
            }
        }
        if below.is_some() || lines.iter().any(|line| line.command.is_some()) {
            blocks.push(Block { lines, output: below.unwrap_or_default() });
        }
        Ok(Script { blocks })
    }

    /// The file again.
    #[must_use]
    pub fn write(&self) -> String {
        let mut out = String::new();
        for (block, number) in self.blocks.iter().zip(0..) {
            if number > 0 {
                out.push('\n');
            }
            for line in &block.lines {
                writeln!(out, "{}", line.text).expect("writing to a string cannot fail");
            }
            out.push_str("---\n");
            for line in &block.output {
                writeln!(out, "{line}").expect("writing to a string cannot fail");
            }
        }
        out
    }

    /// What the file shows: the comments at its beginning.
    #[must_use]
    pub fn heading(&self) -> Vec<&str> {
        let lines = self.blocks.first().map_or(&[][..], |block| &block.lines);
        lines.iter().map_while(|line| line.text.strip_prefix('#')).map(str::trim).collect()
    }

    /// Whether any line demands something: `expect`, `wait` or `always`.
    #[must_use]
    pub fn asserts(&self) -> bool {
        let lines = self.blocks.iter().flat_map(|block| &block.lines);
        lines
            .filter_map(|line| line.command.as_ref())
            .any(|command| matches!(command, Command::Expect(_) | Command::Always(..)))
    }
}

/// How two texts differ, line by line, with `-` for what the file says and `+` for what happened; empty if they do
/// not.
#[must_use]
pub fn difference(file: &str, happened: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (file.lines().collect(), happened.lines().collect());
    if old == new {
        return String::new();
    }
    // The longest common subsequence, from the end; scripts are short.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut told) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            told.push((' ', old[i], i + 1));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            told.push(('-', old[i], i + 1));
            i += 1;
        } else {
            told.push(('+', new[j], i + 1));
            j += 1;
        }
    }
    near_changes(&told)
}

/// Lines of context around a change.
const CONTEXT: usize = 2;

fn near_changes(told: &[(char, &str, usize)]) -> String {
    let changed: Vec<bool> = told.iter().map(|(sign, ..)| *sign != ' ').collect();
    let mut out = String::new();
    let mut last = None;
    for (at, (sign, line, number)) in told.iter().enumerate() {
        let near = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(told.len());
        if !changed[near].contains(&true) {
            continue;
        }
        if last.is_some_and(|last| last + 1 < at) {
            out.push_str("  …\n");
        }
        writeln!(out, "{number:>4} {sign} {line}").expect("writing to a string cannot fail");
        last = Some(at);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "# Shows it.\n# Source: S35.\nservers 3\n\nwait leader\n---\n+0.213 n2 leads\n\nset d 8\n---\nOK\n";

    #[test]
    fn a_file_is_read_and_written_as_it_was() {
        let script = Script::read(FILE).expect("a good file");
        assert_eq!(script.blocks.len(), 2);
        assert_eq!(script.write(), FILE);
        assert_eq!(script.heading(), ["Shows it.", "Source: S35."]);
        assert!(!script.asserts());
    }

    #[test]
    fn a_file_without_what_happened_is_a_block_too() {
        let script = Script::read("servers 3\nwait leader\n").expect("a good file");
        assert_eq!(script.blocks.len(), 1);
        assert_eq!(script.write(), "servers 3\nwait leader\n---\n");
    }

    #[test]
    fn a_wrong_line_is_told_with_its_number() {
        let why = Script::read("servers 3\n\ncrsh 2\n").expect_err("a typo");
        assert!(why.starts_with("line 3: `crsh` is no command; did you mean `crash`?"), "{why}");
    }

    #[test]
    fn a_difference_shows_what_changed() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), "");
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "   1   a\n   2 - b\n   3 + x\n   3   c\n");
    }
}
