//! The Go prototype's table: a column for the time and one for each server, a row for each thing that happened.
//!
//! One table for each recording, with a line above it that says how it ended, which servers were up at the end and how many
//! rows there are; and a last line for all of them together. Where the prototype put log lines into the cells, these are
//! events in words; and what it could not show, a message that got lost, has a row of its own.

use std::collections::BTreeMap;
use std::fmt::Write;

use jangada_raft::types::Time;

use super::bands::Absence;
use super::scene::{Fate, Scene};
use super::text::{in_ascii, millis};
use super::view::View;
use crate::names::Names;
use crate::phrases::message_name;
use crate::words::{Level, Words};
use crate::{said, say};

/// Text is wrapped at so many characters, as in the prototype.
const CELL: usize = 30;

/// One recording.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its name; parts of one name are numbered.
    pub title: &'a str,
    /// What happened.
    pub scene: &'a Scene,
    /// What its servers are called.
    pub names: &'a Names,
    /// What of it is shown.
    pub view: View,
    /// Whether all was as it should be, or what was not.
    pub verdict: Result<(), &'a str>,
}

/// Tables of all recordings, and a last line for all of them.
#[must_use]
pub fn paint(parts: &[Part<'_>], ascii: bool) -> String {
    let mut out = String::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for part in parts {
        let times = seen.entry(part.title).or_insert(0_usize);
        let title = match *times {
            0 => part.title.to_owned(),
            times => format!("{}_{times}", part.title),
        };
        *times += 1;
        table(part, &title, ascii, &mut out);
        out.push('\n');
    }
    let failed = parts.iter().filter(|part| part.verdict.is_err()).count();
    match failed {
        0 => out.push_str("PASS\n"),
        failed => {
            writeln!(out, "FAIL: {failed} of {}", parts.len()).expect("writing to a string cannot fail")
        }
    }
    out
}

/// A row: when, whose column, and what.
type Row = (Time, usize, String);

fn table(part: &Part<'_>, title: &str, ascii: bool, out: &mut String) {
    let rows = rows(part);
    let verdict = if part.verdict.is_ok() { "PASS" } else { "FAIL" };
    let up = part.scene.lanes.iter().map(|lane| {
        let over = lane.quiet.iter().any(|quiet| quiet.end >= part.scene.end && quiet.why != Absence::CutOff);
        let is_up = lane.first.is_some() && !over;
        format!(
            "{}:{}",
            part.names.of(lane.node),
            part.view.language.of(if is_up { said!("up") } else { said!("down") })
        )
    });
    let up: Vec<String> = up.collect();
    let (up, entries) = (up.join(" "), rows.len());
    let mut lines = vec![say!(
        part.view.language,
        "{verdict} {title}  {up} ; entries: {entries}",
        verdict,
        title,
        up,
        entries
    )];
    if let Err(why) = part.verdict {
        lines.push(format!("  {why}"));
    }
    let bar = if ascii { '|' } else { '│' };
    let rule = if ascii { "-" } else { "─" };
    let crossing = if ascii { '+' } else { '┼' };
    let time_width = rows.last().map_or(0, |row| millis(row.0).len()).max(9);
    let mut heading = format!("{:>time_width$}", part.view.language.of(said!("Time (ms)")));
    let mut line = rule.repeat(time_width + 1);
    for lane in &part.scene.lanes {
        write!(heading, " {bar} {:<CELL$}", part.names.of(lane.node))
            .expect("writing to a string cannot fail");
        line.push(crossing);
        line.push_str(&rule.repeat(CELL + 2));
    }
    lines.extend([heading, line]);
    for (time, place, text) in &rows {
        for (number, piece) in wrapped(text, CELL).iter().enumerate() {
            let time = if number == 0 { millis(*time) } else { String::new() };
            let mut line = format!("{time:>time_width$}");
            for column in 0..part.scene.lanes.len() {
                let cell = if column == *place { piece.as_str() } else { "" };
                write!(line, " {bar} {cell:<CELL$}").expect("writing to a string cannot fail");
            }
            lines.push(line);
        }
    }
    for line in lines {
        let line = if ascii { in_ascii(&line) } else { line };
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn rows(part: &Part<'_>) -> Vec<Row> {
    let language = part.view.language;
    let mut words = Words::new(part.names.clone()).in_language(language);
    let mut rows: Vec<(usize, Row)> = Vec::new();
    for (at, record) in part.scene.records.iter().enumerate() {
        if record.time > part.view.to {
            break;
        }
        if !part.view.shows_record(record) || part.view.folds(part.scene, at) {
            words.sentence(record, Level::Warn);
            continue;
        }
        let place = part.scene.place(record.node);
        if let (Some(place), Some(sentence)) = (place, words.sentence(record, Level::Trace)) {
            rows.push((at, (record.time, place, sentence)));
        }
    }
    for repeats in part.scene.repeats.iter().filter(|repeats| part.view.tells(repeats)) {
        let name = part.names.of(part.scene.lanes[repeats.lane].node);
        let time = repeats.begin.max(part.view.from);
        rows.push((repeats.record, (time, repeats.lane, repeats.sentence(language, &name))));
    }
    let lost = part.scene.arrows.iter().filter(|arrow| arrow.fate == Fate::Lost && !arrow.is_duplicate);
    for arrow in lost.filter(|arrow| part.view.shows(arrow)) {
        let to = part.names.of(part.scene.lanes[arrow.to].node);
        let what = say!(language, "{name} to {to} is lost", name = message_name(arrow.kind), to);
        rows.push((arrow.record, (arrow.first(), arrow.from, what)));
    }
    rows.sort_by_key(|(at, row)| (row.0, *at));
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Words in lines of at most so many characters; a word that is longer is cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + rest.len() <= width {
            lines.last_mut().expect("there is always a line").push(' ');
            used += 1;
        } else if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        while rest.len() > width {
            let tail = rest.split_off(width);
            lines.last_mut().expect("there is always a line").extend(rest);
            lines.push(String::new());
            rest = tail;
        }
        used += rest.len();
        lines.last_mut().expect("there is always a line").extend(rest);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a verylongword b", 5), ["a", "veryl", "ongwo", "rd b"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
