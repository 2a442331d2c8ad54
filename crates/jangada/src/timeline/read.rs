//! Recordings out of files: JSON lines, as `--record` and the flight recorder write them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use jangada_node::event::Record;
use jangada_trace::jsonl_read::read_learning;
use jangada_trace::language::Language;
use jangada_trace::merge::Source;
use jangada_trace::names::Names;
use jangada_trace::say;

use crate::failure::Failure;

/// Longest line that is kept: what is longer is no record.
const MAX_LINE_BYTES: u64 = 128 << 10;

/// Records as they came.
#[derive(Debug, Default)]
pub struct Given {
    /// One for each file.
    pub sources: Vec<Source>,
    /// The names that they speak of.
    pub names: Names,
    /// What cannot be read, one for each file that has something of the kind.
    pub damaged: Vec<Damage>,
}

/// Lines of a file that are no records. A server that was killed leaves half a line behind, and a disk may do worse: what
/// can be read is worth showing all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    file: String,
    lines: u64,
    /// The first of them, counted from 1, and what is wrong with it.
    first: (u64, String),
    /// It is the file's last line, and lacks its end.
    is_torn_end: bool,
}

impl Damage {
    /// How much is left out, and why.
    pub fn sentence(&self, language: Language) -> String {
        let Damage { file, lines, first: (number, why), .. } = self;
        match lines {
            1 if self.is_torn_end => say!(
                language,
                "{file}: line {number}, the last one, was cut off, and is left out",
                file,
                number
            ),
            1 => say!(
                language,
                "{file}: line {number} cannot be read, and is left out: {why}",
                file,
                number,
                why
            ),
            _ => say!(
                language,
                "{file}: {lines} lines cannot be read, and are left out; the first is line {number}: {why}",
                file,
                lines,
                number,
                why
            ),
        }
    }
}

/// Reads files; of a folder, all recordings in it. What cannot be read in a file that has records is told
/// ([`Given::damaged`]), and so is a file of a folder in which nothing can be read.
///
/// # Errors
/// A file that cannot be opened, or that was asked for and has no record, only other things: with the first of them.
pub fn from_files(paths: &[PathBuf]) -> Result<Given, Failure> {
    let mut given = Given::default();
    for path in paths {
        if path.is_dir() {
            let files = recordings_in(path)?;
            if files.is_empty() {
                return Err(Failure::usage(format!(
                    "{}: no recordings here (files that end in .jsonl)",
                    path.display()
                )));
            }
            for file in files {
                let damage = read_file(&file, &mut given)?;
                given.damaged.extend(damage);
            }
        } else {
            let damage = read_file(path, &mut given)?;
            let nothing = given.sources.last().is_none_or(|source| source.records.is_empty());
            if let Some(Damage { file, first: (number, why), .. }) = damage.as_ref().filter(|_| nothing) {
                return Err(Failure::usage(format!(
                    "{file} has no record that can be read; line {number}: {why}"
                )));
            }
            given.damaged.extend(damage);
        }
    }
    Ok(given)
}

/// The recordings in a folder, by name.
fn recordings_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| Failure::usage(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() && path.extension().is_some_and(|ending| ending == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path, given: &mut Given) -> Result<Option<Damage>, Failure> {
    let name = path.display();
    let unreadable = |error: std::io::Error| Failure::usage(format!("{name}: {error}"));
    let source: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(stdin()),
        false => Box::new(File::open(path).map_err(unreadable)?),
    };
    let (records, damage) =
        read_lines(&name.to_string(), BufReader::with_capacity(1 << 20, source), &mut given.names)
            .map_err(unreadable)?;
    given.sources.push(Source { records, shift_ns: None });
    Ok(damage)
}

/// The records of a file, and what else is in it.
pub(super) fn read_lines(
    file: &str,
    mut source: impl BufRead,
    names: &mut Names,
) -> io::Result<(Vec<Record>, Option<Damage>)> {
    let mut records = Vec::new();
    let mut damage: Option<Damage> = None;
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        if source.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let mut ended = bytes.ends_with(b"\n");
        if !ended && bytes.len() as u64 == MAX_LINE_BYTES {
            source.skip_until(b'\n')?;
            ended = true;
        }
        let line = match std::str::from_utf8(&bytes) {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => read_learning(text.trim(), names).map_err(|why| why.to_string()),
            Err(_) => Err("it is no text".to_owned()),
        };
        match line {
            Ok(record) => records.push(record),
            Err(why) => {
                let file = file.to_owned();
                let first = Damage { file, lines: 0, first: (number, why), is_torn_end: !ended };
                damage.get_or_insert(first).lines += 1;
            }
        }
    }
    Ok((records, damage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(time: u64) -> String {
        format!(
            "{{\"time_ns\":{time},\"node\":\"n1\",\"seq\":{time},\"event\":\"committed\",\"index\":{time},\"term\":1}}\n"
        )
    }

    fn read(text: &[u8]) -> (usize, Option<String>) {
        let (records, damage) = read_lines("run.jsonl", text, &mut Names::new()).unwrap();
        (records.len(), damage.map(|damage| damage.sentence(Language::English)))
    }

    #[test]
    fn what_cannot_be_read_is_told_and_the_rest_is_there() {
        let whole = format!("{}\n{}{}", beat(1), beat(2), beat(3));
        assert_eq!(read(whole.as_bytes()), (3, None));

        let torn = &whole[..whole.len() - 10];
        let (records, said) = read(torn.as_bytes());
        let cut_off = "run.jsonl: line 4, the last one, was cut off, and is left out";
        assert_eq!((records, said.as_deref()), (2, Some(cut_off)));

        // A server that was started again goes on after its half line.
        let (records, said) = read(format!("{}{{\"time_ns\":2,\"no{}", beat(1), beat(3)).as_bytes());
        assert_eq!(records, 1);
        assert!(said.unwrap().starts_with("run.jsonl: line 2 cannot be read, and is left out: "));

        let mut several = beat(1).into_bytes();
        several.extend(b"\xff\xfe\n\0\0\0\n");
        several.extend(vec![b'x'; 300 << 10]);
        several.extend(format!("\n{}", beat(2)).as_bytes());
        let (records, said) = read(&several);
        let three = "run.jsonl: 3 lines cannot be read, and are left out; the first is line 2: it is no text";
        assert_eq!((records, said.as_deref()), (2, Some(three)));
    }
}
