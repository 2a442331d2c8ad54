//! `jangada sim --record` and `jangada sim verify`: what the servers said of themselves, kept as JSON lines and judged by a
//! reader that sees nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use jangada_node::event::{Event, Record};
use jangada_raft::types::NodeId;
use jangada_sim::Verdict;
use jangada_sim::kv::Kv;
use jangada_sim::plan::Plan;
use jangada_sim::setup::record;
use jangada_trace::names::Names;
use jangada_trace::safety::{Safety, Violation};
use jangada_trace::{jsonl, jsonl_read};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  $ jangada sim --seed 17 --record run.jsonl
  $ jangada sim verify run.jsonl

docs/events.md has the fields, docs/checker.md what is judged. Exit codes: 0 nothing is violated, 1 something is, 2 the file \
cannot be read.";

/// Which stream.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A file of events, one JSON object on each line; `-` reads from stdin
    pub file: PathBuf,
}

#[derive(Serialize)]
struct Report {
    records: u64,
    servers: Vec<String>,
    starts: u64,
    gaps: u64,
    last_time_seconds: f64,
    violation: Option<Found>,
}

#[derive(Serialize)]
struct Found {
    line: u64,
    property: String,
    explanation: String,
}

/// Runs a plan and keeps what its servers say of themselves.
///
/// # Errors
/// If the file cannot be written.
pub fn keep(plan: Plan, path: &Path) -> Result<Verdict, Failure> {
    let (verdict, records) = record(plan, Kv::new());
    write(&records, path)?;
    Ok(verdict)
}

fn write(records: &[Record], path: &Path) -> Result<(), Failure> {
    let names = Names::new();
    let mut line = String::new();
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        for record in records {
            line.clear();
            jsonl::write(&mut line, record, &names);
            line.push('\n');
            file.write_all(line.as_bytes())?;
        }
        file.flush()
    });
    written.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Judges a stream that was kept.
///
/// # Errors
/// If the file cannot be read, or shows a violation.
pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let name = arguments.file.display();
    let unreadable = |error: std::io::Error| Failure::usage(format!("{name}: {error}"));
    let source: Box<dyn Read> = match arguments.file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(&arguments.file).map_err(unreadable)?),
    };
    let mut judge = Judge::new();
    let mut violation = None;
    for (number, line) in (1_u64..).zip(BufReader::new(source).lines()) {
        let line = line.map_err(unreadable)?;
        let record = jsonl_read::read(&line, &Names::new())
            .map_err(|why| Failure::usage(format!("{name}, line {number}: {why}")))?;
        if let Err(found) = judge.read(&record) {
            violation = Some((number, found));
            break;
        }
    }
    let report = judge.report(violation.as_ref());
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => tell(&report)?,
    }
    match violation {
        Some((line, found)) => Err(Failure::new(Exit::No, format!("{name}, line {line}: {found}"))),
        None => Ok(()),
    }
}

fn tell(report: &Report) -> Result<(), Failure> {
    let (records, servers) = (report.records, report.servers.join(" "));
    output::line(&format!(
        "{records} records of {servers} ({} starts, {} gaps), until {:.3} s",
        report.starts, report.gaps, report.last_time_seconds
    ))?;
    match &report.violation {
        Some(_) => Ok(()),
        None => output::line("nothing in them violates a property of the paper's Figure 3"),
    }
}

/// The safety reader, and what it was given.
struct Judge {
    safety: Safety,
    last_seqs: BTreeMap<NodeId, u64>,
    records: u64,
    starts: u64,
    gaps: u64,
    last_time: u64,
}

impl Judge {
    fn new() -> Judge {
        let last_seqs = BTreeMap::new();
        Judge { safety: Safety::new(), last_seqs, records: 0, starts: 0, gaps: 0, last_time: 0 }
    }

    fn read(&mut self, record: &Record) -> Result<(), Box<Violation>> {
        self.records += 1;
        self.last_time = self.last_time.max(record.time.0);
        // Deeds are no words of the server's own: they are not counted among them.
        if !matches!(record.event, Event::Deed(_)) {
            match self.last_seqs.insert(record.node, record.seq) {
                Some(last) if record.seq > last => self.gaps += u64::from(record.seq > last + 1),
                Some(_) | None => self.starts += 1,
            }
        }
        self.safety.read(record)
    }

    fn report(&self, violation: Option<&(u64, Box<Violation>)>) -> Report {
        Report {
            records: self.records,
            servers: self.last_seqs.keys().map(NodeId::to_string).collect(),
            starts: self.starts,
            gaps: self.gaps,
            last_time_seconds: self.last_time as f64 / 1e9,
            violation: violation.map(|(line, found)| Found {
                line: *line,
                property: found.property.to_string(),
                explanation: found.explanation.clone(),
            }),
        }
    }
}
