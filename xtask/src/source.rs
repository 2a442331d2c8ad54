//! Rust text, read without a compiler: which functions it has, where they begin and end.
//!
//! This is a lexer for comments, texts and characters, not a parser: once those are blanked out, braces match and
//! the word `fn` means a function. That is enough for tidy, and it compiles in no time.

use std::path::PathBuf;

/// One file of Rust.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it lies, from the top folder on.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The same with comments, texts and characters blanked out: same lines, same columns in bytes.
    code: String,
    /// Its functions: looked for once, as the maps ask for each of their names.
    functions: Vec<Function>,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`, counted from 1.
    pub first_line: usize,
    /// The line of its closing brace.
    pub last_line: usize,
    /// It carries a `#[test]` attribute.
    pub is_test: bool,
    /// It says `// tidy: flat table` above.
    pub is_flat_table: bool,
}

impl Source {
    /// Takes a file's text in.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Source {
        let text = text.into();
        let code = blank_out(&text);
        let mut source = Source { path: path.into(), text, code, functions: Vec::new() };
        source.functions = source.find_functions();
        source
    }

    /// How many lines there are before the tests inside the file.
    #[must_use]
    pub fn lines_before_tests(&self) -> usize {
        let lines = self.code.lines();
        lines.clone().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(lines.count())
    }

    /// All functions that have a body, in the order of their beginnings; those inside others too.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    fn find_functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        let mut from = 0;
        while let Some(at) = find_word(&self.code, "fn", from) {
            from = at + 2;
            let name = first_word(&self.code[from..]);
            // `fn(u64) -> u64` is a type and has no name.
            if name.is_empty() {
                continue;
            }
            if let Some(end) = body_end(&self.code[from..]) {
                let first_line = self.line_of(at);
                let above = self.lines_above(first_line);
                functions.push(Function {
                    name: name.into(),
                    first_line,
                    last_line: self.line_of(from + end),
                    is_test: above.iter().any(|line| {
                        let attribute = line.split_whitespace().collect::<String>();
                        attribute.starts_with("#[test]") || attribute.starts_with("#[tokio::test")
                    }),
                    is_flat_table: above.iter().any(|line| line.contains("// tidy: flat table")),
                });
            }
        }
        functions
    }

    /// Whether a type, trait, constant or module of this name is declared or implemented here.
    #[must_use]
    pub fn declares(&self, name: &str) -> bool {
        let keywords =
            ["struct", "enum", "trait", "mod", "type", "const", "static", "impl", "for", "macro_rules"];
        let mut from = 0;
        while let Some(at) = find_word(&self.code, name, from) {
            let before = self.code[..at].trim_end().trim_end_matches('!');
            // `impl<S> Replica<S>`: the word before the name is hidden behind a list of parameters.
            let generic_impl = self.line_at(at).trim_start().starts_with("impl<");
            if generic_impl || keywords.iter().any(|keyword| before.ends_with(keyword)) {
                return true;
            }
            from = at + name.len();
        }
        false
    }

    fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    fn line_at(&self, offset: usize) -> &str {
        let start = self.code[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        self.code[start..].lines().next().unwrap_or_default()
    }

    /// The attributes and comments directly above a line.
    fn lines_above(&self, line: usize) -> Vec<&str> {
        let lines: Vec<&str> = self.text.lines().take(line - 1).map(str::trim).collect();
        let belongs = |line: &&&str| line.starts_with("#[") || line.starts_with("//") || line.ends_with(")]");
        lines.iter().rev().take_while(belongs).copied().collect()
    }
}

/// The offset of a whole word, looked for from an offset on.
fn find_word(text: &str, word: &str, from: usize) -> Option<usize> {
    let mut start = from;
    while let Some(found) = text[start..].find(word) {
        let at = start + found;
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        if !before.is_some_and(is_word) && !after.is_some_and(is_word) {
            return Some(at);
        }
        start = at + word.len();
    }
    None
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the body of a function ends, from behind its `fn` on; `None` if it has none.
fn body_end(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Blanks out comments, texts and characters, byte by byte, so that offsets and lines stay.
fn blank_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let behind_word = out.chars().next_back().is_some_and(is_word);
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest, 1),
            'r' | 'b' | 'c' if !behind_word => prefixed_text(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..length].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// The length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a quoted text whose content begins at `start`.
fn quoted(text: &str, start: usize) -> usize {
    let mut escaped = false;
    for (at, c) in text[start..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return start + at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `b"…"`, `b'…'`, `br#"…"#` and the like; 0 if it is an ordinary word.
fn prefixed_text(text: &str) -> usize {
    let letters = text.find(|c| !matches!(c, 'r' | 'b' | 'c')).unwrap_or(text.len());
    let prefix = &text[..letters];
    let hashes = text[letters..].bytes().take_while(|byte| *byte == b'#').count();
    let after = &text[letters + hashes..];
    if prefix.contains('r') && prefix.len() <= 2 && after.starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let content = letters + hashes + 1;
        return text[content..].find(&end).map_or(text.len(), |found| content + found + end.len());
    }
    if prefix.len() == 1 && hashes == 0 && after.starts_with('"') {
        return quoted(text, letters + 1);
    }
    if prefix == "b" && hashes == 0 && after.starts_with('\'') {
        return letters + character(after);
    }
    0
}

/// The length of a character such as `'a'` or `'\u{1f}'`; 0 for a lifetime.
fn character(text: &str) -> usize {
    let content = &text[1..];
    if let Some(escape) = content.strip_prefix('\\') {
        // Behind the escaped character itself, which may be a quote.
        let skip = escape.chars().next().map_or(0, char::len_utf8);
        return escape[skip..].find('\'').map_or(0, |end| 2 + skip + end + 1);
    }
    let length = content.chars().next().map_or(0, char::len_utf8);
    if length > 0 && content[length..].starts_with('\'') { length + 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, usize, usize)> {
        let source = Source::new("a.rs", text);
        let functions = source.functions();
        functions.iter().map(|f| (f.name.clone(), f.first_line, f.last_line)).collect()
    }

    #[test]
    fn texts_comments_and_characters_hide_braces() {
        let text = r###"
fn a<'x>(s: &'x str) -> char { // }
    let _ = ("}", '}', '\'', '\u{7d}', b'}', b"}", r#"}"}"#, /* } /* } */ } */ 1);
    '{'
}
fn b() {}
"###;
        assert_eq!(names(text), [("a".into(), 2, 5), ("b".into(), 6, 6)]);
    }

    #[test]
    fn types_and_declarations_are_no_functions() {
        let text = "trait T { fn a(&self, x: [u8; 4]); fn b() -> u8 { 1 } }\ntype F = fn(u8);\nstruct Info;";
        assert_eq!(names(text), [("b".into(), 1, 1)]);
    }

    #[test]
    fn attributes_and_markers_are_seen() {
        let text =
            "#[test]\n// why\nfn a() {}\n\n/// Doc.\n// tidy: flat table\n#[must_use]\nfn b() {}\nfn c() {}";
        let source = Source::new("a.rs", text);
        let functions = source.functions();
        let seen: Vec<_> = functions.iter().map(|f| (f.is_test, f.is_flat_table)).collect();
        assert_eq!(seen, [(true, false), (false, true), (false, false)]);
    }

    #[test]
    fn declarations_are_found() {
        let source = Source::new("a.rs", "pub struct A;\nimpl<S: B> C<S> {}\nimpl E for F {}\n// struct D");
        for (name, expected) in [("A", true), ("C", true), ("F", true), ("D", false), ("X", false)] {
            assert_eq!(source.declares(name), expected, "{name}");
        }
    }
}
