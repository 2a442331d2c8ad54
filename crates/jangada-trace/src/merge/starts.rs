//! Which records share a clock: those of one start of one server. And which messages lie between two clocks.

use std::collections::BTreeMap;

use jangada_node::event::{Event, Record};
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::{NodeId, Time};

use super::Source;

/// Times of a file are believed up to here (36 years), so that no sum of a few of them overflows.
const LATEST: u64 = 1 << 60;

/// The records of one start of one server, and what its clock is taken to be.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) node: NodeId,
    pub(super) records: Vec<Record>,
    /// A guess of the shift.
    pub(super) prior: Option<i64>,
    /// The start of the same server before this one, in the same source.
    pub(super) follows: Option<usize>,
    /// Added to the time of the first record.
    pub(super) shift: i64,
    /// How fast the time runs from then on.
    pub(super) rate: f64,
}

impl Start {
    /// A time of its own clock on the common one.
    pub(super) fn common(&self, time: Time) -> i64 {
        let (begin, time) = (self.begin(), nanos(time));
        let since = time - begin;
        // The part that differs is small: its rounding is far below a nanosecond's worth of drift.
        let gained = (since as f64 * (self.rate - 1.0)).round() as i64;
        begin + since + gained + self.shift
    }

    fn begin(&self) -> i64 {
        self.records.first().map_or(0, |record| nanos(record.time))
    }

    pub(super) fn first_time(&self) -> i64 {
        self.records.first().map_or(0, |record| self.common(record.time))
    }

    pub(super) fn last_time(&self) -> i64 {
        self.records.last().map_or(0, |record| self.common(record.time))
    }

    pub(super) fn rate_ppb(&self) -> i64 {
        ((self.rate - 1.0) * 1e9).round() as i64
    }
}

pub(super) fn nanos(time: Time) -> i64 {
    i64::try_from(time.0.min(LATEST)).expect("the bound is far below 2⁶³")
}

/// Splits sources into starts. A server's counter begins anew with each start; records that two sources both have are
/// taken once.
pub(super) fn split(sources: Vec<Source>) -> Vec<Start> {
    let mut starts: Vec<Start> = Vec::new();
    for source in sources {
        let mut open: BTreeMap<NodeId, usize> = BTreeMap::new();
        let first_of_source = starts.len();
        for record in source.records {
            let last = open.get(&record.node).copied();
            let goes_on = last.filter(|at| {
                let last = starts[*at].records.last().expect("a start begins with a record");
                last.seq < record.seq && last.time <= record.time
            });
            if let Some(at) = goes_on {
                starts[at].records.push(record);
                continue;
            }
            open.insert(record.node, starts.len());
            let (node, prior) = (record.node, source.shift_ns);
            starts.push(Start { node, records: vec![record], prior, follows: last, shift: 0, rate: 1.0 });
        }
        join_twins(&mut starts, first_of_source);
    }
    starts
}

/// A start that an older source has a part of, too, goes there: two copies of a recorder's ring overlap, and a recording
/// may be given twice.
fn join_twins(starts: &mut Vec<Start>, from: usize) {
    let mut places: Vec<usize> = Vec::new();
    for mut new in starts.split_off(from) {
        // It follows one of the same source, wherever that has come to stand.
        new.follows = new.follows.map(|at| places[at - from]);
        let twin = (0..from).find(|old| are_one(&starts[*old], &new));
        let Some(old) = twin else {
            places.push(starts.len());
            starts.push(new);
            continue;
        };
        let mine = std::mem::take(&mut starts[old].records);
        starts[old].records = united(mine, new.records);
        starts[old].prior = starts[old].prior.or(new.prior);
        starts[old].follows = starts[old].follows.or(new.follows.filter(|before| *before < old));
        places.push(old);
    }
}

/// Whether some record is in both.
fn are_one(a: &Start, b: &Start) -> bool {
    if a.node != b.node {
        return false;
    }
    let first = a.records[0].seq.max(b.records[0].seq);
    let at = |start: &Start| {
        let place = start.records.partition_point(|record| record.seq < first);
        start.records.get(place).copied()
    };
    at(a).is_some() && at(a) == at(b)
}

fn united(a: Vec<Record>, b: Vec<Record>) -> Vec<Record> {
    let mut all = a;
    all.extend(b);
    all.sort_by_key(|record| record.seq);
    all.dedup_by_key(|record| record.seq);
    all
}

/// A message that left by one clock and arrived by another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    /// The sender's start.
    pub(super) from: usize,
    /// On the sender's clock.
    pub(super) left: Time,
    /// The receiver's start.
    pub(super) to: usize,
    /// On the receiver's clock.
    pub(super) arrived: Time,
}

impl Passage {
    /// Whether it arrives after it has left.
    pub(super) fn fits(&self, starts: &[Start]) -> bool {
        starts[self.from].common(self.left) <= starts[self.to].common(self.arrived)
    }
}

/// All messages of which both ends are known.
pub(super) fn passages(starts: &[Start]) -> Vec<Passage> {
    let mut sent: Vec<(NodeId, u64, usize, Time)> = Vec::new();
    for (from, start) in starts.iter().enumerate() {
        for record in &start.records {
            if let Event::Raft(RaftEvent::Sent { sequence, .. }) = record.event {
                sent.push((record.node, sequence, from, record.time));
            }
        }
    }
    sent.sort_unstable_by_key(|(node, sequence, ..)| (*node, *sequence));
    let mut passages = Vec::new();
    for (to, start) in starts.iter().enumerate() {
        for record in &start.records {
            let Event::Raft(RaftEvent::Received { from, sequence, .. }) = record.event else { continue };
            let found =
                sent.binary_search_by_key(&(from, sequence), |(node, sequence, ..)| (*node, *sequence));
            if let Ok(at) = found {
                let (_, _, from, left) = sent[at];
                passages.push(Passage { from, left, to, arrived: record.time });
            }
        }
    }
    passages
}
