//! What happened as a space-time diagram in text: time goes down, each server has a lane, messages are arrows.
//!
//! ```text
//!  t (ms)      n1            n2            n3
//!   213.000    │             C             │   n2 candidate in term 1: pre_vote_won
//!   213.000    │◀────vote────●────vote────▶│
//!   214.000    ●─vote_reply─▶│             │
//!   214.500    │             │✕┄┄┄┄┄┄┄┄┄┄┄┄●   vote_reply to n2 lost
//!   214.700    │             L             │   n2 leader in term 1: election_won
//! ```
//!
//! An arrow is drawn where the message left. It is a fact, not a guess: a message is known by its sender and number, so
//! one that nobody received is drawn as lost, dashed and with a cross. Heartbeats and their answers are left out, unless
//! they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, MessageKind, RoleName};
use jangada_raft::types::{NodeId, Time};

use crate::kinds;
use crate::names::Names;

/// From one lane to the next.
const LANE: usize = 14;
/// Where the first lane stands.
const MARGIN: usize = 14;

/// How to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Only ASCII.
    pub ascii: bool,
    /// Draw heartbeats and their answers too.
    pub heartbeats: bool,
}

struct Signs {
    lane: char,
    line: char,
    lost: char,
    cross: char,
    left: char,
    right: char,
    dot: char,
}

const UNICODE: Signs =
    Signs { lane: '│', line: '─', lost: '┄', cross: '✕', left: '◀', right: '▶', dot: '●' };
const ASCII: Signs = Signs { lane: '|', line: '-', lost: '.', cross: 'x', left: '<', right: '>', dot: '*' };

/// Draws records of all servers. They are sorted by time here; the clocks of servers are taken to agree.
#[must_use]
pub fn draw(records: &[Record], names: &Names, style: Style) -> String {
    let mut records: Vec<&Record> = records.iter().collect();
    records.sort_by_key(|record| record.time);
    let picture = Picture::new(&records, names, style);
    let mut out = picture.heading();
    let mut rest = records.as_slice();
    while let Some((first, others)) = rest.split_first() {
        // What a server sends at one moment is one row.
        let same = |record: &&&Record| {
            (record.node, record.time) == (first.node, first.time) && picture.arrow(record).is_some()
        };
        let together =
            if picture.arrow(first).is_some() { others.iter().take_while(same).count() } else { 0 };
        let (row, after) = rest.split_at(1 + together);
        picture.row(row, &mut out);
        rest = after;
    }
    out
}

struct Picture<'a> {
    lanes: Vec<NodeId>,
    names: &'a Names,
    style: Style,
    signs: &'static Signs,
    /// Sender, number and receiver.
    received: BTreeSet<(NodeId, u64, NodeId)>,
    first_seq: BTreeMap<NodeId, u64>,
}

struct Arrow {
    from: usize,
    to: usize,
    kind: MessageKind,
    is_lost: bool,
}

impl<'a> Picture<'a> {
    fn new(records: &[&Record], names: &'a Names, style: Style) -> Picture<'a> {
        let mut lanes = BTreeSet::new();
        let mut received = BTreeSet::new();
        let mut first_seq = BTreeMap::new();
        for record in records {
            lanes.insert(record.node);
            first_seq.entry(record.node).or_insert(record.seq);
            match record.event {
                Event::Raft(RaftEvent::Sent { to, .. }) => {
                    lanes.insert(to);
                }
                Event::Raft(
                    RaftEvent::Received { from, sequence, .. } | RaftEvent::Ignored { from, sequence, .. },
                ) => {
                    received.insert((from, sequence, record.node));
                }
                _ => {}
            }
        }
        let signs = if style.ascii { &ASCII } else { &UNICODE };
        Picture { lanes: lanes.into_iter().collect(), names, style, signs, received, first_seq }
    }

    fn heading(&self) -> String {
        let mut out = format!("{:<width$}", " t (ms)", width = MARGIN - 1);
        for lane in &self.lanes {
            write!(out, "{:<LANE$}", self.names.of(*lane)).expect("writing to a string cannot fail");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    fn place(&self, node: NodeId) -> Option<usize> {
        self.lanes.binary_search(&node).ok()
    }

    fn arrow(&self, record: &Record) -> Option<Arrow> {
        let Event::Raft(RaftEvent::Sent { to, sequence, kind, index: _, count, .. }) = record.event else {
            return None;
        };
        let is_heartbeat =
            kind == MessageKind::Heartbeat || kind == MessageKind::AppendAccepted && count == 0;
        if is_heartbeat && !self.style.heartbeats {
            return None;
        }
        let is_lost = !self.received.contains(&(record.node, sequence, to));
        Some(Arrow { from: self.place(record.node)?, to: self.place(to)?, kind, is_lost })
    }

    /// One row: messages that left together, or one thing that happened to a server.
    fn row(&self, records: &[&Record], out: &mut String) {
        let record = records[0];
        let Some(lane) = self.place(record.node) else { return };
        let mut cells = vec![' '; column(self.lanes.len() - 1) + 4];
        for place in 0..self.lanes.len() {
            cells[column(place)] = self.signs.lane;
        }
        let arrows: Vec<Arrow> = records.iter().filter_map(|record| self.arrow(record)).collect();
        let text = if arrows.is_empty() {
            let Some((sign, text)) = self.mark(record) else { return };
            cells[column(lane)] = sign;
            text
        } else {
            // The long ones first, so that the short ones are seen whole.
            let mut by_length: Vec<&Arrow> = arrows.iter().collect();
            by_length.sort_by_key(|arrow| std::cmp::Reverse(arrow.from.abs_diff(arrow.to)));
            by_length.into_iter().for_each(|arrow| self.draw_arrow(arrow, &mut cells));
            cells[column(lane)] = self.signs.dot;
            let lost = arrows.iter().filter(|arrow| arrow.is_lost);
            let lost: Vec<String> = lost
                .map(|arrow| {
                    format!("{} to {} lost", kinds::message(arrow.kind), self.names.of(self.lanes[arrow.to]))
                })
                .collect();
            lost.join(", ")
        };
        let cells: String = cells.into_iter().collect();
        let line = format!("{:>9}{}{text}", millis(record.time), &cells[9..]);
        out.push_str(line.trim_end());
        out.push('\n');
    }

    fn draw_arrow(&self, arrow: &Arrow, cells: &mut [char]) {
        let (from, to) = (column(arrow.from), column(arrow.to));
        let goes_right = to > from;
        let (first, last) = (from.min(to) + 1, from.max(to) - 1);
        cells[first..=last].fill(if arrow.is_lost { self.signs.lost } else { self.signs.line });
        let head = if goes_right { last } else { first };
        cells[head] = match (arrow.is_lost, goes_right) {
            (true, _) => self.signs.cross,
            (false, true) => self.signs.right,
            (false, false) => self.signs.left,
        };
        // The name, next to the end where there is most room: the last lane before the head.
        let name: Vec<char> = kinds::message(arrow.kind).chars().collect();
        let room = LANE - 2;
        let name = &name[..name.len().min(room)];
        let before = (room - name.len()) / 2;
        let start = if goes_right { last - room + before } else { first + 1 + before };
        if !arrow.is_lost {
            cells[start..start + name.len()].copy_from_slice(name);
        }
    }

    /// What else is worth a row.
    fn mark(&self, record: &Record) -> Option<(char, String)> {
        let name = self.names.of(record.node);
        Some(match record.event {
            Event::Raft(RaftEvent::RoleChanged { role, term, why }) => {
                let sign = match role {
                    RoleName::Follower => 'F',
                    RoleName::PreCandidate => 'P',
                    RoleName::Candidate => 'C',
                    RoleName::Leader => 'L',
                };
                let (role, why) = (kinds::role(role), kinds::role_change(why));
                (sign, format!("{name} {role} in term {term}: {why}"))
            }
            Event::Raft(RaftEvent::Committed { index, .. }) => ('+', format!("{name} committed {index}")),
            Event::Raft(RaftEvent::Truncated { from, last }) => {
                ('-', format!("{name} removed {from} to {last}"))
            }
            Event::Raft(RaftEvent::SnapshotInstalled { index, .. }) => {
                ('S', format!("{name} installed a snapshot up to {index}"))
            }
            Event::Disk(DiskEvent::Opened { last, .. }) => {
                let again = self.first_seq.get(&record.node).is_some_and(|first| *first < record.seq);
                let how = if again { "starts again" } else { "starts" };
                ('^', format!("{name} {how}, its log ends at {last}"))
            }
            _ => return None,
        })
    }
}

fn column(place: usize) -> usize {
    MARGIN - 1 + LANE * place
}

fn millis(time: Time) -> String {
    format!("{}.{:03}", time.0 / 1_000_000, time.0 / 1_000 % 1_000)
}
