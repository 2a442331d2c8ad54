//! Recordings out of files: JSON lines, as `--record` and the flight recorder write them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use jangada_trace::jsonl_read::read_learning;
use jangada_trace::merge::Source;
use jangada_trace::names::Names;

use crate::failure::Failure;

/// Records as they came.
#[derive(Debug, Default)]
pub struct Given {
    /// One for each file.
    pub sources: Vec<Source>,
    /// The names that they speak of.
    pub names: Names,
    /// Lines that are no records: a server that was killed leaves half a line behind.
    pub unfinished: u64,
}

/// Reads files; of a folder, all recordings in it.
///
/// # Errors
/// A file that cannot be read, or that has something else than records in it: with its line.
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
                read_file(&file, &mut given)?;
            }
        } else {
            read_file(path, &mut given)?;
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

fn read_file(path: &Path, given: &mut Given) -> Result<(), Failure> {
    let name = path.display();
    let unreadable = |error: std::io::Error| Failure::usage(format!("{name}: {error}"));
    let source: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(stdin()),
        false => Box::new(File::open(path).map_err(unreadable)?),
    };
    let mut records = Vec::new();
    let mut lines = BufReader::with_capacity(1 << 20, source);
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        if lines.read_line(&mut line).map_err(unreadable)? == 0 {
            break;
        }
        let text = line.trim();
        match read_learning(text, &mut given.names) {
            Ok(record) => records.push(record),
            Err(_) if text.is_empty() => {}
            // A server that was killed left half a line behind, and may have gone on after it.
            Err(_) if text.starts_with('{') && !text.ends_with('}') => given.unfinished += 1,
            Err(why) => return Err(Failure::usage(format!("{name}, line {number}: {why}"))),
        }
    }
    given.sources.push(Source { records, shift_ns: None });
    Ok(())
}
