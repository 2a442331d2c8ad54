//! Words one after the other: from a person at a prompt (history, completion, hints), or from a pipe.

use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Context, Editor, Helper, Validator};

use super::session::Session;
use super::words::{self, WORDS, Word};
use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

/// Longest line of a pipe; no server takes a value of that size.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Reads line by line until the end; a line that fails is reported and the next one is read all the same.
///
/// # Errors
/// With the exit code of the last line that failed.
pub fn piped(session: &mut Session, input: &mut impl BufRead, format: Format) -> Result<(), Failure> {
    let mut worst = None;
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 == MAX_LINE_BYTES {
            return Err(Failure::usage(format!("line {number} is longer than {MAX_LINE_BYTES} bytes")));
        }
        match words::parse(&line) {
            Ok(None) => {}
            Ok(Some(Word::Quit)) => break,
            Ok(Some(word)) => match words::carry_out(session, &word, format) {
                Ok(true) => {}
                Ok(false) => worst = Some(Exit::No as u8),
                Err(failure) if failure.message.is_empty() => return Err(failure),
                Err(failure) => {
                    output::note(&format!("line {number}: {failure}"));
                    worst = Some(failure.exit);
                }
            },
            Err(why) => {
                output::note(&format!("line {number}: {why}"));
                worst = Some(Exit::Usage as u8);
            }
        }
    }
    match worst {
        None => Ok(()),
        Some(exit) => Err(Failure { exit, message: String::new() }),
    }
}

/// The prompt.
///
/// # Errors
/// 130 after Ctrl+C, or when the terminal cannot be read.
pub fn interactive(session: &mut Session, format: Format) -> Result<(), Failure> {
    let config = Config::builder().history_ignore_space(true).auto_add_history(true).build();
    let mut editor: Editor<Assistant, DefaultHistory> = Editor::with_config(config).map_err(terminal)?;
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    editor.set_helper(Some(Assistant { color }));
    let history = history_file();
    if let Some(path) = &history {
        // Absent at the first start.
        let _ = editor.load_history(path);
    }
    output::note("jangada client · help shows the words, Tab completes them, Ctrl+D leaves");
    let end = read_words(&mut editor, session, format);
    if let Some(path) = &history {
        // A history that cannot be kept is no reason to fail.
        let _ = path.parent().map(std::fs::create_dir_all);
        let _ = editor.save_history(path);
    }
    end
}

fn read_words(
    editor: &mut Editor<Assistant, DefaultHistory>,
    session: &mut Session,
    format: Format,
) -> Result<(), Failure> {
    loop {
        let line = match editor.readline(&format!("jangada[{}]> ", session.address())) {
            Ok(line) => line,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Interrupted) => return Err(Failure::silent(Exit::Interrupted)),
            Err(error) => return Err(terminal(error)),
        };
        // Several lines that are pasted at once arrive as one.
        for line in line.split(['\n', '\r']) {
            match words::parse(line.as_bytes()) {
                Ok(None) => {}
                Ok(Some(Word::Quit)) => return Ok(()),
                Ok(Some(word)) => {
                    if let Err(failure) = words::carry_out(session, &word, format) {
                        output::note(&failure.message);
                    }
                }
                Err(why) => output::note(&why),
            }
        }
    }
}

fn terminal(error: ReadlineError) -> Failure {
    Failure::usage(format!("cannot read from the terminal: {error}"))
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".local/state"));
    Some(state.filter(|path| path.is_absolute()).or_else(home)?.join("jangada/client_history"))
}

/// Completes the first word and shows what follows it.
#[derive(Helper, Validator)]
struct Assistant {
    /// Hints are dim, unless `NO_COLOR` asks for plain text; then there are none, as they would look typed.
    color: bool,
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok((0, completions(&line[..position])))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<String> {
        hint(line, position).filter(|_| self.color).map(str::to_owned)
    }
}

fn completions(typed: &str) -> Vec<Pair> {
    let verbs = WORDS.iter().map(|(word, _)| {
        let (verb, rest) = word.split_once(' ').unwrap_or((word, ""));
        (*word, if rest.is_empty() { verb.to_owned() } else { format!("{verb} ") })
    });
    verbs
        .filter(|(_, verb)| verb.starts_with(typed))
        .map(|(word, verb)| Pair { display: word.to_owned(), replacement: verb })
        .collect()
}

fn hint(line: &str, position: usize) -> Option<&'static str> {
    if line.is_empty() || position < line.len() {
        return None;
    }
    let mut fitting = WORDS.iter().filter(|(word, _)| word.starts_with(line));
    match (fitting.next(), fitting.next()) {
        (Some((word, _)), None) => Some(&word[line.len()..]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_completed_and_its_argument_hinted() {
        let words: Vec<String> = completions("s").into_iter().map(|pair| pair.replacement).collect();
        assert_eq!(words, ["set ", "show", "status"]);
        assert!(completions("set k").is_empty());
        assert_eq!(hint("get", 3), Some(" KEY"));
        assert_eq!(hint("get ", 4), Some("KEY"));
        assert_eq!(hint("get x", 5), None);
        assert_eq!(hint("", 0), None);
    }
}
