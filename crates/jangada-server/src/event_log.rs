//! The readers of the event stream inside the server: metrics, and the log on stderr.
//!
//! Lines are written by a thread of their own: a terminal that stands still must not hold up Raft. Lines that
//! do not fit into its queue are dropped, and counted in the next line.

use std::io::Write;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jangada_node::event::{Event, Record};
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::{NodeId, Time};
use jangada_trace::lab::{self, Lab};
use jangada_trace::metrics::Metrics;
use jangada_trace::names::Names;
use jangada_trace::words::{self, Words};
use jangada_trace::{clock, jsonl};

use crate::config::{LogLevel, LogStyle};
use crate::flight::Flight;
use crate::record_file::RecordFile;
use crate::recorder::Recorder;
use crate::rig::Tap;

/// Lines that may wait for the terminal.
const MAX_WAITING_LINES: usize = 4_096;

/// Of the messages that arrive, the words see one in so long a time.
const TELL_OF_MESSAGES: Duration = Duration::from_millis(10);

/// The readers of one server's events.
pub(crate) struct EventLog {
    style: LogStyle,
    level: LogLevel,
    words: Words,
    names: Names,
    lab: Lab,
    metrics: Metrics,
    told_of_message: Time,
    writer: Option<LineWriter>,
    tap: Option<Tap>,
    /// What happened in this step, until it ends.
    step: Vec<Record>,
    recorder: Recorder,
    flight: Option<Flight>,
    file: Option<RecordFile>,
}

struct LineWriter {
    lines: Option<SyncSender<String>>,
    dropped: u64,
    thread: Option<JoinHandle<()>>,
}

impl EventLog {
    /// `hosts` are the lab's names for the servers.
    pub(crate) fn new(style: LogStyle, level: LogLevel, hosts: Names) -> std::io::Result<EventLog> {
        let writer = if style == LogStyle::Quiet { None } else { Some(LineWriter::start()?) };
        Ok(EventLog {
            style,
            level,
            words: Words::default(),
            names: Names::default(),
            lab: Lab::new(hosts),
            metrics: Metrics::new(),
            told_of_message: Time::ZERO,
            writer,
            tap: None,
            step: Vec::new(),
            recorder: Recorder::default(),
            flight: None,
            file: None,
        })
    }

    /// Shows every record to a laboratory, too.
    pub(crate) fn tapped_by(self, tap: Option<Tap>) -> EventLog {
        EventLog { tap, ..self }
    }

    /// Keeps everything in the ring, and perhaps in a file; `flight` writes the ring when it matters.
    pub(crate) fn kept_by(
        self,
        recorder: Recorder,
        flight: Option<Flight>,
        file: Option<RecordFile>,
    ) -> EventLog {
        EventLog { recorder, flight, file, ..self }
    }

    /// A step of the server has ended: what happened in it is kept.
    pub(crate) fn step_ends(&mut self) {
        if !self.step.is_empty() {
            self.recorder.keep(&self.step);
            if let Some(file) = &mut self.file {
                file.take(&self.step);
            }
            self.step.clear();
        }
        if let Some(flight) = &mut self.flight {
            flight.look();
        }
    }

    /// The server panics in the middle of a step: what happened in it is kept as well. Nothing is put into words, as that
    /// might be what panics.
    pub(crate) fn keep_unfinished(&mut self, records: impl Iterator<Item = Record>) {
        self.step.extend(records);
        self.recorder.keep(&self.step);
        if let Some(file) = &mut self.file {
            file.take(&self.step);
        }
        self.step.clear();
    }

    /// The server is about to end by this error.
    pub(crate) fn ends_by(&mut self, why: &str) {
        self.step_ends();
        if let Some(flight) = &self.flight {
            flight.write_last(why);
        }
    }

    pub(crate) fn set_names(&mut self, names: impl Iterator<Item = (NodeId, String)>) {
        for (id, name) in names {
            self.words.names_mut().insert(id, name.clone());
            self.recorder.name(id, &name);
            self.names.insert(id, name);
        }
        if let Some(file) = &mut self.file {
            file.set_names(&self.names);
        }
    }

    /// What the events were folded into.
    pub(crate) fn counted(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The lab's first lines.
    pub(crate) fn lab_started(&mut self, host: &str) {
        if self.style == LogStyle::Lab {
            for line in self.lab.started(host) {
                self.write(lab::dated(unix_millis() / 1_000, &line));
            }
        }
    }

    /// The lab's last line.
    pub(crate) fn lab_ended(&mut self, why: &str) {
        if self.style == LogStyle::Lab {
            let line = self.lab.ended(why);
            self.write(lab::dated(unix_millis() / 1_000, &line));
        }
    }

    /// Shows one record to all readers.
    pub(crate) fn record(&mut self, record: &Record) {
        self.metrics.fold(record);
        self.step.push(*record);
        if let Some(flight) = &mut self.flight {
            flight.see(record);
        }
        if let Some(tap) = &self.tap {
            tap(record);
        }
        match self.style {
            LogStyle::Text => {
                if self.matters_to_words(record)
                    && let Some(line) = self.words.line(record, self.level)
                {
                    self.write(format!("{} {line}", clock::rfc3339(unix_millis())));
                }
            }
            LogStyle::Json => {
                if words::level(&record.event) <= self.level {
                    self.write(jsonl::line(record, &self.names));
                }
            }
            LogStyle::Lab => {
                for line in self.lab.lines(&record.event) {
                    self.write(lab::dated(unix_millis() / 1_000, &line));
                }
            }
            LogStyle::Quiet => {}
        }
    }

    /// The words need to know of the election timer and of the leader's last sign of life. Every single message
    /// and entry would only cost time, unless they are to be told.
    fn matters_to_words(&mut self, record: &Record) -> bool {
        if self.level == LogLevel::Trace {
            return true;
        }
        match record.event {
            Event::Raft(RaftEvent::Received { .. }) => {
                let due = record.time.since(self.told_of_message) >= TELL_OF_MESSAGES;
                if due {
                    self.told_of_message = record.time;
                }
                due
            }
            Event::Raft(RaftEvent::ElectionTimerReset { .. }) => true,
            event => words::level(&event) < LogLevel::Trace,
        }
    }

    fn write(&mut self, line: String) {
        if let Some(writer) = &mut self.writer {
            writer.write(line);
        }
    }
}

impl LineWriter {
    fn start() -> std::io::Result<LineWriter> {
        let (lines, inbox) = sync_channel::<String>(MAX_WAITING_LINES);
        let write = move || {
            for mut line in inbox {
                line.push('\n');
                // A log that nobody can read any more is no reason to stop serving.
                let _closed = std::io::stderr().write_all(line.as_bytes());
            }
        };
        let thread = std::thread::Builder::new().name("lines".to_owned()).spawn(write)?;
        Ok(LineWriter { lines: Some(lines), dropped: 0, thread: Some(thread) })
    }

    fn write(&mut self, line: String) {
        let Some(lines) = &self.lines else { return };
        if self.dropped > 0 && lines.try_send(format!("({} lines were dropped)", self.dropped)).is_ok() {
            self.dropped = 0;
        }
        if let Err(TrySendError::Full(_)) = lines.try_send(line) {
            self.dropped += 1;
        }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn unix_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
