//! What happened in a world, as a timeline for people: one line for each event, one lane for each server.
//!
//! Worlds do not tell stories while they search; a seed that has failed is run once more, with somebody who
//! writes down.

use jangada_node::event::{Event, Record};
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::Time;
use jangada_trace::names::Names;
use jangada_trace::words::{Level, Words, level};

use crate::network::{id_of, place_of};
use crate::queue::Place;
use crate::workload::Call;

/// More lines than this are cut, at the beginning.
const MAX_LINES: usize = 400;
/// So many lines at the end are told in detail: what led to the failure is seldom further away.
const DETAILED: usize = 80;
/// A sentence that stands so few lines above is not said again: candidates that ask and ask would fill the page.
const FOLD_WITHIN: usize = 8;

/// What the signs in the lanes mean.
pub(crate) const LEGEND: &str =
    "      time  a lane for each server: ▲ starts, ✗ dies, ● does something, ○ is asked by a client, │ runs";

/// A timeline in the making.
pub(crate) struct Story {
    words: Words,
    /// What stands in each server's lane.
    lanes: Vec<Lane>,
    lines: Vec<Line>,
    left_out: usize,
}

struct Line {
    time: Time,
    lanes: String,
    /// Who, and what.
    words: String,
    /// When the same was to be said again.
    again: Vec<Time>,
    /// Told at the end only: entries, commits, messages that are ignored.
    detail: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Down,
    Up,
}

impl Story {
    pub(crate) fn new(servers: usize) -> Story {
        let lanes = vec![Lane::Down; servers];
        Story { words: Words::new(Names::new()), lanes, lines: Vec::new(), left_out: 0 }
    }

    /// A server has recorded something.
    pub(crate) fn record(&mut self, record: &Record) {
        let Record { time, node, event, .. } = *record;
        let place = place_of(node);
        let Some(sentence) = self.words.sentence(record, Level::Trace) else { return };
        let detail = matches!(
            event,
            Event::Raft(RaftEvent::Appended { .. } | RaftEvent::Committed { .. } | RaftEvent::Ignored { .. })
        );
        if !detail && level(&event) == Level::Trace {
            return;
        }
        // Each candidate votes for itself: that it asks says so.
        let own_vote = matches!(event, Event::Raft(RaftEvent::VoteReceived { from, .. }) if from == node);
        if own_vote {
            return;
        }
        let words = by(place, &sentence);
        let near = self.lines.len().saturating_sub(FOLD_WITHIN);
        match self.lines[near..].iter_mut().find(|line| line.words == words) {
            Some(line) => line.again.push(time),
            None => {
                self.at(time, place, '●', &sentence);
                self.lines.last_mut().expect("it was just written").detail = detail;
            }
        }
    }

    pub(crate) fn starts(&mut self, time: Time, place: Place) {
        self.lanes[place] = Lane::Up;
        self.at(time, place, '▲', "starts");
    }

    pub(crate) fn dies(&mut self, time: Time, place: Place, how: &str) {
        self.lanes[place] = Lane::Down;
        self.at(time, place, '✗', how);
    }

    /// A client, and the server that it has asked.
    pub(crate) fn client(&mut self, time: Time, call: Call, what: &str) {
        let (place, client, id) = (place_of(call.server), call.client, call.id.0);
        self.at(time, place, '○', &format!("client {client}, no. {id}: {what}"));
    }

    /// Nobody in particular.
    pub(crate) fn world(&mut self, time: Time, what: &str) {
        self.push(time, self.lanes(None), format!("{:<4} {what}", ""));
    }

    fn at(&mut self, time: Time, place: Place, sign: char, what: &str) {
        self.push(time, self.lanes(Some((place, sign))), by(place, what));
    }

    fn lanes(&self, act: Option<(Place, char)>) -> String {
        let sign = |(place, lane): (Place, &Lane)| match act {
            Some((actor, sign)) if actor == place => sign,
            _ if *lane == Lane::Up => '│',
            _ => ' ',
        };
        let signs: Vec<String> = self.lanes.iter().enumerate().map(|lane| sign(lane).to_string()).collect();
        signs.join(" ")
    }

    fn push(&mut self, time: Time, lanes: String, words: String) {
        self.lines.push(Line { time, lanes, words, again: Vec::new(), detail: false });
        // Half at a time, so that this costs nothing.
        if self.lines.len() >= 2 * MAX_LINES {
            self.left_out += MAX_LINES;
            self.lines.drain(..MAX_LINES);
        }
    }

    /// All lines until then, or the last of them.
    pub(crate) fn until(self, end: Time) -> Vec<String> {
        let told: Vec<&Line> = self.lines.iter().filter(|line| line.time <= end).collect();
        let in_detail = told.len().saturating_sub(DETAILED);
        let told = told.iter().enumerate().filter(|(at, line)| !line.detail || *at >= in_detail);
        let mut lines: Vec<String> = told.map(|(_, line)| line.tell(end)).collect();
        let much = lines.len().saturating_sub(MAX_LINES);
        lines.drain(..much);
        let left_out = self.left_out + much;
        if left_out > 0 {
            lines.insert(0, format!("… {left_out} lines before"));
        }
        lines
    }
}

impl Line {
    fn tell(&self, end: Time) -> String {
        let again: Vec<&Time> = self.again.iter().filter(|time| **time <= end).collect();
        let more = match (again.len(), again.last()) {
            (1, Some(last)) => format!(" (again at {})", clock(**last)),
            (times, Some(last)) => format!(" ({times} times more, until {})", clock(**last)),
            (_, None) => String::new(),
        };
        let line = format!("{:>10}  {}  {}{more}", clock(self.time), self.lanes, self.words);
        line.trim_end().to_owned()
    }
}

fn by(place: Place, what: &str) -> String {
    format!("{:<4} {what}", id_of(place).to_string())
}

/// `+3.117204`: seconds since the beginning, to the microsecond.
pub(crate) fn clock(time: Time) -> String {
    format!("+{}.{:06}", time.0 / 1_000_000_000, time.0 / 1_000 % 1_000_000)
}
