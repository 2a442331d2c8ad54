//! For the trace viewer Perfetto (<https://ui.perfetto.dev>) and for `chrome://tracing`: the Trace Event Format, as JSON.
//!
//! Each server is a process with three threads: its role as slices, its messages as short slices that arrows (flow events)
//! connect, and everything else as instants. Times are microseconds.

use std::fmt::Write;

use jangada_raft::types::Time;

use super::scene::{Arrow, Fate, Scene};
use super::view::View;
use crate::json::quote;
use crate::kinds;
use crate::language::Language;
use crate::names::Names;
use crate::phrases::message;
use crate::words::{Level, Words};

/// The threads of each server.
const ROLE: u32 = 1;
const MESSAGES: u32 = 2;
const EVENTS: u32 = 3;
/// A message is a slice of this length, in microseconds: arrows need something to hang on.
const SLICE: &str = "10";

/// Writes a part of a scene.
#[must_use]
pub fn paint(scene: &Scene, names: &Names, view: &View) -> String {
    let mut trace =
        Trace { out: String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"), first: true };
    for (place, lane) in scene.lanes.iter().enumerate() {
        trace.name("process_name", place, 0, &names.of(lane.node));
        for (thread, name) in [(ROLE, "role"), (MESSAGES, "messages"), (EVENTS, "events")] {
            trace.name("thread_name", place, thread, name);
        }
        for span in &lane.roles {
            let name = format!("{} (term {})", kinds::role(span.role), span.term);
            trace.slice(&name, "role", (place, ROLE), (span.begin, span.end), view);
        }
        for quiet in &lane.quiet {
            trace.slice(quiet.why.name(), "absence", (place, EVENTS), (quiet.begin, quiet.end), view);
        }
    }
    for (number, arrow) in scene.arrows.iter().enumerate().filter(|(_, arrow)| view.shows(arrow)) {
        trace.arrow(number, arrow, scene, names);
    }
    let mut words = Words::new(names.clone());
    for record in &scene.records {
        if !view.shows_record(record) {
            words.sentence(record, Level::Warn);
            continue;
        }
        if let (Some(place), Some(sentence)) =
            (scene.place(record.node), words.sentence(record, Level::Trace))
        {
            let mut event = trace.event(&sentence, "event", "i", (place, EVENTS), record.time);
            event.push_str(",\"s\":\"t\"");
            trace.push(&event);
        }
    }
    trace.out.push_str("\n]}\n");
    trace.out
}

struct Trace {
    out: String,
    first: bool,
}

impl Trace {
    /// Adds an event, which still lacks its last brace.
    fn push(&mut self, event: &str) {
        if !self.first {
            self.out.push_str(",\n");
        }
        self.first = false;
        self.out.push_str(event);
        self.out.push('}');
    }

    /// What all events have.
    fn event(&self, name: &str, category: &str, phase: &str, at: (usize, u32), time: Time) -> String {
        let mut event = String::from("{\"name\":");
        quote(&mut event, name);
        let (process, thread) = (at.0 + 1, at.1);
        write!(
            event,
            ",\"cat\":\"{category}\",\"ph\":\"{phase}\",\"pid\":{process},\"tid\":{thread},\"ts\":{}",
            micros(time)
        )
        .expect("writing to a string cannot fail");
        event
    }

    /// The name of a process or thread.
    fn name(&mut self, what: &str, place: usize, thread: u32, name: &str) {
        let mut event = self.event(what, "__metadata", "M", (place, thread), Time::ZERO);
        event.push_str(",\"args\":{\"name\":");
        quote(&mut event, name);
        event.push('}');
        self.push(&event);
    }

    fn slice(&mut self, name: &str, category: &str, at: (usize, u32), span: (Time, Time), view: &View) {
        let (begin, end) = (span.0.max(view.from), span.1.min(view.to));
        if begin > end {
            return;
        }
        let mut event = self.event(name, category, "X", at, begin);
        write!(event, ",\"dur\":{}", micros(Time(end.0 - begin.0))).expect("writing to a string cannot fail");
        self.push(&event);
    }

    /// Both ends of a message, and the arrow between them.
    fn arrow(&mut self, number: usize, arrow: &Arrow, scene: &Scene, names: &Names) {
        let name = message(Language::English, arrow.kind, arrow.index.0, arrow.count);
        let (from, to) = (names.of(scene.lanes[arrow.from].node), names.of(scene.lanes[arrow.to].node));
        let fate = match arrow.fate {
            Fate::Received => String::new(),
            other => format!(" ({})", other.name().replace('_', " ")),
        };
        let mut end = |place: usize, time: Time, name: String, flow: &str| {
            let at = (place, MESSAGES);
            let mut slice = self.event(&name, "message", "X", at, time);
            write!(
                slice,
                ",\"dur\":{SLICE},\"args\":{{\"sequence\":{},\"term\":{}",
                arrow.sequence, arrow.term.0
            )
            .expect("writing to a string cannot fail");
            write!(slice, ",\"fate\":\"{}\"}}", arrow.fate.name()).expect("writing to a string cannot fail");
            self.push(&slice);
            if arrow.left.is_some() && arrow.arrived.is_some() {
                let mut event = self.event("message", "message", flow, at, time);
                let binding = if flow == "f" { ",\"bp\":\"e\"" } else { "" };
                write!(event, ",\"id\":{number}{binding}").expect("writing to a string cannot fail");
                self.push(&event);
            }
        };
        if let Some(left) = arrow.left {
            end(arrow.from, left, format!("→ {to} {name}{fate}"), "s");
        }
        if let Some(arrived) = arrow.arrived {
            end(arrow.to, arrived, format!("← {from} {name}"), "f");
        }
    }
}

/// Microseconds, to the nanosecond.
fn micros(time: Time) -> String {
    format!("{}.{:03}", time.0 / 1_000, time.0 % 1_000)
}
