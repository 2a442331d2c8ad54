//! The picture for a terminal: time goes down, each server has a lane, messages are arrows.
//!
//! ```text
//!   t (ms)     n1            n2            n3
//!  213.000     │             C             │   n2: would be elected → Candidate, term 1
//!  213.000     │◀────vote────●────vote────▶│   RequestVote (last log index 0), term 1
//!  214.000     ●─────yes────▶│             │
//!  214.500     │             │✕┄┄┄┄┄┄┄┄┄┄┄┄●   RequestVote reply: granted, to n2: lost
//!  214.700     │             L             │   n2: n1 voted (with its own 2 of 3: enough) → LEADER of term 1
//! ```
//!
//! An arrow is drawn where the message left. What was lost is dashed and has a cross; what has no known end, a question
//! mark. Messages that say nothing new are folded into one line.

use std::fmt::Write;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, IgnoreReason, MessageKind, RoleName};
use jangada_raft::types::Time;

use super::bands::{Absence, Quiet};
use super::done::Weather;
use super::repeats::Repeats;
use super::scene::{Arrow, Fate, Scene};
use super::view::View;
use crate::language::Language;
use crate::names::Names;
use crate::phrases::{counted, message, message_name, span, why_ignored};
use crate::words::{Level, Words};
use crate::{said, say};

/// The widest lane, and the narrowest: two arrow heads and a name.
const LANES: (usize, usize) = (14, 9);
/// The notes get so much of the width, if they can.
const NOTE: usize = 40;
/// What was folded away is told where nothing else happened for so long.
const PAUSE_NANOS: u64 = 100_000_000;
/// A message that needs longer than this is worth a word.
const SLOW_NANOS: u64 = 50_000_000;

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Only ASCII.
    pub ascii: bool,
    /// So many columns, if that is possible; notes are cut.
    pub width: Option<usize>,
    /// At most so many rows.
    pub max_rows: usize,
}

impl Default for Style {
    fn default() -> Style {
        Style { ascii: false, width: None, max_rows: usize::MAX }
    }
}

/// A picture, and whether there was more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Painted {
    /// Lines.
    pub text: String,
    /// Rows that are missing at the end.
    pub left_out: usize,
}

struct Signs {
    lane: char,
    silent: char,
    cut_off: char,
    line: char,
    lost: char,
    cross: char,
    left: char,
    right: char,
    dot: char,
    fold: char,
    crossing: char,
}

const UNICODE: Signs = Signs {
    lane: '│',
    silent: '┊',
    cut_off: '╎',
    line: '─',
    lost: '┄',
    cross: '✕',
    left: '◀',
    right: '▶',
    dot: '●',
    fold: '⋮',
    crossing: '┼',
};
const ASCII: Signs = Signs {
    lane: '|',
    silent: ':',
    cut_off: '!',
    line: '-',
    lost: '.',
    cross: 'x',
    left: '<',
    right: '>',
    dot: '*',
    fold: ':',
    crossing: '+',
};

/// Draws a part of a scene.
#[must_use]
pub fn paint(scene: &Scene, names: &Names, view: &View, style: Style) -> Painted {
    let mut painter = Painter::new(scene, names, view, style);
    painter.heading();
    let items = items(scene, view);
    let mut rest = items.as_slice();
    while let Some(first) = rest.first() {
        let together = painter.together(rest);
        if painter.rows == style.max_rows {
            return Painted { text: painter.finish(), left_out: rest.len() };
        }
        painter.row(first, &rest[..together]);
        rest = &rest[together..];
    }
    let text = painter.finish();
    Painted { text, left_out: 0 }
}

/// What gets a row.
#[derive(Clone, Copy)]
enum What<'a> {
    Arrow(&'a Arrow),
    Record(&'a Record),
    Quiet(usize, &'a Quiet),
    Weather(&'a Weather),
    Repeats(&'a Repeats),
    Folded,
}

struct Item<'a> {
    time: Time,
    record: usize,
    what: What<'a>,
}

fn items<'a>(scene: &'a Scene, view: &View) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    for arrow in &scene.arrows {
        if !view.has(arrow.first()) {
            continue;
        }
        let what = if view.shows(arrow) { What::Arrow(arrow) } else { What::Folded };
        if view.shows(arrow) || is_beat(arrow) {
            items.push(Item { time: arrow.first(), record: arrow.record, what });
        }
    }
    let first = scene.records.partition_point(|record| record.time < view.from);
    for (at, record) in scene.records.iter().enumerate().skip(first) {
        if record.time > view.to {
            break;
        }
        if view.shows_record(record) && !view.folds(scene, at) {
            items.push(Item { time: record.time, record: at, what: What::Record(record) });
        }
    }
    for (lane, quiet) in
        scene.lanes.iter().enumerate().flat_map(|(at, lane)| lane.quiet.iter().map(move |q| (at, q)))
    {
        // A server that is not there yet when the picture begins needs no word.
        if view.has(quiet.begin) && quiet.begin > scene.begin {
            let record = scene.records.partition_point(|record| record.time <= quiet.begin);
            items.push(Item { time: quiet.begin, record, what: What::Quiet(lane, quiet) });
        }
    }
    for repeats in scene.repeats.iter().filter(|repeats| view.tells(repeats)) {
        let time = repeats.begin.max(view.from);
        items.push(Item { time, record: repeats.record, what: What::Repeats(repeats) });
    }
    for weather in scene.weather.iter().filter(|weather| view.has(weather.begin)) {
        let record = scene.records.partition_point(|record| record.time <= weather.begin);
        items.push(Item { time: weather.begin, record, what: What::Weather(weather) });
    }
    items.sort_by_key(|item| {
        (item.time, item.record, matches!(item.what, What::Quiet(..) | What::Weather(_)))
    });
    items
}

struct Painter<'a> {
    scene: &'a Scene,
    names: &'a Names,
    words: Words,
    language: Language,
    /// Records up to here were shown to the words.
    told: usize,
    signs: &'static Signs,
    width: Option<usize>,
    margin: usize,
    lane: usize,
    out: String,
    rows: usize,
    folded: u64,
    folded_since: Time,
}

impl<'a> Painter<'a> {
    fn new(scene: &'a Scene, names: &'a Names, view: &View, style: Style) -> Painter<'a> {
        let margin = millis(view.to).len().max(9) + 4;
        let lanes = scene.lanes.len().max(1);
        let longest = scene.lanes.iter().map(|lane| names.of(lane.node).chars().count()).max().unwrap_or(0);
        let lane = match style.width {
            Some(width) => (width.saturating_sub(margin + NOTE) / lanes).clamp(LANES.1, LANES.0),
            None => LANES.0,
        };
        Painter {
            scene,
            names,
            words: Words::new(names.clone()).in_language(view.language),
            language: view.language,
            told: 0,
            signs: if style.ascii { &ASCII } else { &UNICODE },
            width: style.width,
            margin,
            lane: lane.max(longest + 1),
            out: String::new(),
            rows: 0,
            folded: 0,
            folded_since: view.from,
        }
    }

    fn finish(self) -> String {
        self.out
    }

    fn heading(&mut self) {
        let mut line = format!("{:>width$}    ", "t (ms)", width = self.margin - 4);
        for lane in &self.scene.lanes {
            let (name, lane) = (self.names.of(lane.node), self.lane);
            write!(line, "{name:<lane$}").expect("writing to a string cannot fail");
        }
        self.push(line.trim_end());
    }

    fn push(&mut self, line: &str) {
        let line = line.trim_end();
        match self.width {
            Some(width) if line.chars().count() > width => {
                let dots = if self.signs.lane == ASCII.lane { "..." } else { "…" };
                let keep = width.saturating_sub(dots.chars().count());
                self.out.extend(line.chars().take(keep));
                self.out.push_str(dots);
            }
            Some(_) | None => self.out.push_str(line),
        }
        self.out.push('\n');
    }

    fn column(&self, place: usize) -> usize {
        self.margin + self.lane * place
    }

    /// How many items make one row: what a server sends at one moment to different servers.
    fn together(&self, items: &[Item<'_>]) -> usize {
        let What::Arrow(first) = items[0].what else { return 1 };
        let mut seen = vec![first.to];
        for item in &items[1..] {
            match item.what {
                What::Arrow(arrow)
                    if arrow.from == first.from
                        && item.time == items[0].time
                        && arrow.left.is_some() == first.left.is_some()
                        && !seen.contains(&arrow.to) =>
                {
                    seen.push(arrow.to);
                }
                What::Arrow(_)
                | What::Record(_)
                | What::Quiet(..)
                | What::Weather(_)
                | What::Repeats(_)
                | What::Folded => break,
            }
        }
        seen.len()
    }

    fn row(&mut self, first: &Item<'_>, items: &[Item<'_>]) {
        if let What::Folded = first.what {
            self.folded += 1;
            return;
        }
        self.tell_folded(first.time);
        self.rows += 1;
        let mut cells = self.lanes(first.time);
        let note = match first.what {
            What::Arrow(_) => {
                let arrows: Vec<&Arrow> = items.iter().filter_map(arrow_of).collect();
                self.arrows(&arrows, &mut cells)
            }
            What::Record(record) => self.mark(first.record, record, &mut cells),
            What::Quiet(lane, quiet) => self.absence(lane, quiet, &mut cells),
            What::Repeats(repeats) => {
                cells[self.column(repeats.lane) + 2 - self.margin] = self.signs.fold;
                repeats.sentence(self.language, &self.names.of(self.scene.lanes[repeats.lane].node))
            }
            What::Weather(weather) => self.weather(weather),
            What::Folded => String::new(),
        };
        let cells: String = cells.into_iter().collect();
        let is_told = matches!(first.what, What::Repeats(_));
        let time = if is_told { self.signs.fold.to_string() } else { millis(first.time) };
        let line = format!("{time:>width$}  {cells}  {note}", width = self.margin - 4);
        self.push(&line);
    }

    fn weather(&self, weather: &Weather) -> String {
        let words = weather.words(self.language);
        match weather.end < self.scene.end {
            true => {
                let long = span(weather.end.since(weather.begin));
                say!(self.language, "for {long}: messages {words}", long, words)
            }
            false => say!(self.language, "from here on: messages {words}", words),
        }
    }

    /// One line for all that was folded away, if nothing else happened for long.
    fn tell_folded(&mut self, now: Time) {
        let pause = now.since(self.folded_since);
        if self.folded > 0 && pause.as_nanos() >= u128::from(PAUSE_NANOS) {
            let cells: String = self.lanes(now).into_iter().collect();
            let beats = counted(
                self.language,
                self.folded,
                said!("1 heartbeat or its answer"),
                said!("{count} heartbeats and answers"),
            );
            let told = say!(self.language, "({beats} in {span})", beats, span = span(pause));
            let line = format!("{:>width$}  {cells}  {told}", self.signs.fold, width = self.margin - 4);
            self.push(&line);
        }
        (self.folded, self.folded_since) = (0, now);
    }

    /// The lanes at a moment, as far as something is known of them.
    fn lanes(&self, now: Time) -> Vec<char> {
        let before = self.margin - 2;
        let mut cells = vec![' '; self.column(self.scene.lanes.len().max(1) - 1) - before + 1];
        for (place, lane) in self.scene.lanes.iter().enumerate() {
            // Who is away when the recording ends does not come back in its last moment.
            let lasts = |quiet: &&Quiet| now < quiet.end || quiet.end >= self.scene.end;
            let quiet = lane.quiet.iter().filter(|quiet| quiet.begin <= now).filter(lasts);
            let quiet = quiet.map(|quiet| quiet.why).min_by_key(|why| match why {
                Absence::Down | Absence::Refused => 0,
                Absence::Silent | Absence::Paused => 1,
                Absence::CutOff => 2,
            });
            cells[self.column(place) - before] = match quiet {
                None => self.signs.lane,
                Some(Absence::Down | Absence::Refused) => ' ',
                Some(Absence::Silent | Absence::Paused) => self.signs.silent,
                Some(Absence::CutOff) => self.signs.cut_off,
            };
        }
        cells
    }

    fn arrows(&self, arrows: &[&Arrow], cells: &mut [char]) -> String {
        // The long ones first, so that the short ones are seen whole.
        let mut by_length: Vec<&&Arrow> = arrows.iter().collect();
        by_length.sort_by_key(|arrow| std::cmp::Reverse(arrow.from.abs_diff(arrow.to)));
        by_length.into_iter().for_each(|arrow| self.arrow(arrow, cells));
        let first = arrows[0];
        let departs = first.left.is_some() && !first.is_duplicate;
        let at = if departs { first.from } else { first.to };
        cells[self.column(at) + 2 - self.margin] = self.signs.dot;
        let mut notes: Vec<String> = Vec::new();
        let gist = |arrow: &Arrow| message(self.language, arrow.kind, arrow.index.0, arrow.count);
        let same = arrows.iter().all(|arrow| gist(arrow) == gist(first));
        if same {
            notes.push(say!(self.language, "{gist}, term {term}", gist = gist(first), term = first.term));
        }
        for arrow in arrows {
            let Some(end) = self.ending(arrow) else { continue };
            let to = self.names.of(self.scene.lanes[arrow.to].node);
            notes.push(match same {
                true => say!(self.language, "to {to}: {end}", to, end),
                false => {
                    say!(self.language, "{name} to {to}: {end}", name = message_name(arrow.kind), to, end)
                }
            });
        }
        notes.join("; ")
    }

    /// What is remarkable about the way that a message took.
    fn ending(&self, arrow: &Arrow) -> Option<String> {
        if arrow.is_duplicate {
            return Some(say!(self.language, "arrives once more"));
        }
        let Some(left) = arrow.left else {
            return Some(say!(self.language, "its departure is not recorded"));
        };
        match arrow.fate {
            Fate::Received | Fate::Ignored(_) => {
                let took = arrow.arrived.unwrap_or(left).since(left);
                let late = took.as_nanos() > u128::from(SLOW_NANOS);
                let late = late.then(|| say!(self.language, "arrives {span} later", span = span(took)));
                let ignored = match arrow.fate {
                    Fate::Ignored(why) => Some(ignored(self.language, why)),
                    Fate::Received | Fate::Lost | Fate::OnTheWay | Fate::Unrecorded => None,
                };
                let both: Vec<String> = late.into_iter().chain(ignored).collect();
                (!both.is_empty()).then(|| both.join(", "))
            }
            Fate::Lost => Some(say!(self.language, "lost")),
            Fate::OnTheWay => Some(say!(self.language, "on its way when the recording ends")),
            Fate::Unrecorded => Some(say!(self.language, "its arrival is not recorded")),
        }
    }

    fn arrow(&self, arrow: &Arrow, cells: &mut [char]) {
        let at = |place: usize| self.column(place) + 2 - self.margin;
        let (from, to) = (at(arrow.from), at(arrow.to));
        if from == to {
            return;
        }
        let goes_right = to > from;
        let (first, last) = (from.min(to) + 1, from.max(to) - 1);
        let arrives = matches!(arrow.fate, Fate::Received | Fate::Ignored(_));
        let is_whole = arrives && arrow.left.is_some();
        cells[first..=last].fill(if is_whole { self.signs.line } else { self.signs.lost });
        for place in arrow.from.min(arrow.to) + 1..arrow.from.max(arrow.to) {
            cells[at(place)] = self.signs.crossing;
        }
        let head = if goes_right { last } else { first };
        cells[head] = match (arrow.fate, goes_right) {
            (Fate::Lost, _) => self.signs.cross,
            (Fate::OnTheWay | Fate::Unrecorded, _) => '?',
            (Fate::Received | Fate::Ignored(_), true) => self.signs.right,
            (Fate::Received | Fate::Ignored(_), false) => self.signs.left,
        };
        // The name stands in the last lane before the head.
        let room = self.lane - 2;
        let name: Vec<char> = self.language.of(label(arrow)).chars().take(room).collect();
        let before = (room - name.len()) / 2;
        let start = if goes_right { last - room + before } else { first + 1 + before };
        if is_whole {
            cells[start..start + name.len()].copy_from_slice(&name);
        }
    }

    /// A thing that happened on one server.
    fn mark(&mut self, at: usize, record: &Record, cells: &mut [char]) -> String {
        for record in &self.scene.records[self.told..at] {
            self.words.sentence(record, Level::Warn);
        }
        self.told = at + 1;
        let sentence = self.words.sentence(record, Level::Trace).unwrap_or_default();
        if let Some(place) = self.scene.place(record.node) {
            cells[self.column(place) + 2 - self.margin] = sign(&record.event);
        }
        let sentence = if self.signs.lane == ASCII.lane { in_ascii(&sentence) } else { sentence };
        format!("{}: {sentence}", self.names.of(record.node))
    }

    fn absence(&self, lane: usize, quiet: &Quiet, cells: &mut [char]) -> String {
        cells[self.column(lane) + 2 - self.margin] = self.signs.cross;
        let name = self.names.of(self.scene.lanes[lane].node);
        let long = span(quiet.end.since(quiet.begin));
        let to_the_end = quiet.end >= self.scene.end;
        match (quiet.why, to_the_end) {
            (Absence::Down, false) => say!(self.language, "{name} is down for {long}", name, long),
            (Absence::Refused, _) => {
                say!(self.language, "nothing more is heard of {name}, which refuses connections", name)
            }
            (Absence::Down, true) => say!(self.language, "{name} is down", name),
            (Absence::Paused, true) => say!(self.language, "{name} stands still", name),
            (Absence::Silent | Absence::Paused, false) => {
                say!(self.language, "{name} stands still for {long}", name, long)
            }
            (Absence::Silent, true) => say!(self.language, "nothing more is heard of {name}", name),
            (Absence::CutOff, false) => {
                say!(
                    self.language,
                    "{name} is cut off for {long}: messages to it or from it are lost",
                    name,
                    long
                )
            }
            (Absence::CutOff, true) => {
                say!(self.language, "{name} is cut off: messages to it or from it are lost", name)
            }
        }
    }
}

/// A heartbeat, or an answer that says nothing new.
fn is_beat(arrow: &Arrow) -> bool {
    arrow.is_routine && matches!(arrow.kind, MessageKind::Heartbeat | MessageKind::AppendAccepted)
}

fn arrow_of<'a>(item: &Item<'a>) -> Option<&'a Arrow> {
    match item.what {
        What::Arrow(arrow) => Some(arrow),
        What::Record(_) | What::Quiet(..) | What::Weather(_) | What::Repeats(_) | What::Folded => None,
    }
}

pub(super) fn ignored(language: Language, why: IgnoreReason) -> String {
    say!(language, "ignored: {why}", why = language.of(why_ignored(why)))
}

/// A name that fits on an arrow, in English.
pub(super) fn label(arrow: &Arrow) -> &'static str {
    match arrow.kind {
        MessageKind::PreVote => said!("prevote"),
        MessageKind::Vote => said!("vote"),
        MessageKind::PreVoteReply | MessageKind::VoteReply if arrow.count == 1 => said!("yes"),
        MessageKind::PreVoteReply | MessageKind::VoteReply => said!("no"),
        MessageKind::Append => said!("append"),
        MessageKind::Heartbeat => said!("beat"),
        MessageKind::AppendAccepted => said!("ok"),
        MessageKind::AppendRefused => said!("no"),
        MessageKind::Snapshot => said!("snapshot"),
        MessageKind::SnapshotReply => said!("ok"),
        MessageKind::TimeoutNow => said!("timeout"),
        MessageKind::ReadIndex => said!("read?"),
        MessageKind::ReadIndexReply => said!("read"),
    }
}

/// One letter for what happened.
// tidy: flat table
fn sign(event: &Event) -> char {
    match event {
        Event::Raft(event) => match event {
            RaftEvent::RoleChanged { role: RoleName::Follower, .. } => 'F',
            RaftEvent::RoleChanged { role: RoleName::PreCandidate, .. } => 'P',
            RaftEvent::RoleChanged { role: RoleName::Candidate, .. } => 'C',
            RaftEvent::RoleChanged { role: RoleName::Leader, .. } => 'L',
            RaftEvent::Committed { .. } => '+',
            RaftEvent::Truncated { .. } | RaftEvent::LogConflict { .. } => '-',
            RaftEvent::SnapshotTaken { .. } | RaftEvent::SnapshotInstalled { .. } => 'S',
            RaftEvent::MembershipChanged { .. } | RaftEvent::CaughtUp { .. } => 'M',
            RaftEvent::TransferStarted { .. } | RaftEvent::TransferAborted { .. } => 'T',
            RaftEvent::VoteGranted { .. }
            | RaftEvent::VoteRefused { .. }
            | RaftEvent::VoteReceived { .. }
            | RaftEvent::TermChanged { .. }
            | RaftEvent::LeaderKnown { .. }
            | RaftEvent::ElectionTimerReset { .. }
            | RaftEvent::Sent { .. }
            | RaftEvent::Received { .. }
            | RaftEvent::Ignored { .. }
            | RaftEvent::Appended { .. }
            | RaftEvent::Durable { .. }
            | RaftEvent::ReadConfirmed { .. }
            | RaftEvent::ReadRefused { .. }
            | RaftEvent::ProposalRefused { .. } => 'o',
        },
        Event::Disk(DiskEvent::Opened { .. }) => '^',
        Event::Disk(_) => 'S',
        Event::Net(_) | Event::Client(_) | Event::Deed(_) => 'o',
    }
}

/// A sentence for terminals that know no better.
#[must_use]
pub fn in_ascii(sentence: &str) -> String {
    let mut out = String::with_capacity(sentence.len());
    for c in sentence.chars() {
        match c {
            '→' => out.push_str("->"),
            '←' => out.push_str("<-"),
            'µ' => out.push('u'),
            '…' => out.push_str("..."),
            '·' => out.push('-'),
            c if c.is_ascii() => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

/// `213.004`: milliseconds, to the microsecond.
pub(super) fn millis(time: Time) -> String {
    format!("{}.{:03}", time.0 / 1_000_000, time.0 / 1_000 % 1_000)
}
