//! The records of several servers as one stream, though each server has a clock of its own.
//!
//! A record's time counts from the start of its server's process, so that the times of two servers say nothing about
//! each other. Messages do: each is known by its sender and its number, and none arrives before it has left. Every
//! message from A to B so says how far A's clock may be ahead of B's at most, and every one from B to A how far at least
//! (Lamport 1978; the same thought as in NTP). Where all these bounds can be met, they leave a narrow choice, and the
//! middle of it is taken. Where they cannot, clocks may run at different speeds (`drift.rs`); and where even that explains
//! nothing, the result says so, and puts arrivals right behind their departures.
//!
//! What it is *not*: a proof that two things without a message between them happened in this order.

mod drift; // clocks that run at different speeds
mod offsets; // how far clocks are apart, from bounds
mod order; // one stream out of many
mod starts; // which records have one clock

use std::collections::BTreeMap;

use jangada_node::event::{Event, Record};
use jangada_raft::types::{NodeId, Time};

use starts::{Passage, Start};

/// What one file or one server gave.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Its records; those of one server in the order in which they happened.
    pub records: Vec<Record>,
    /// What must be added to its times, in nanoseconds, as far as somebody knows: a guess that messages may correct.
    pub shift_ns: Option<i64>,
}

/// Whether the clocks could be brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// They agree as they are.
    Given,
    /// They agree once they are set: no message arrives before it has left.
    Corrected,
    /// No setting explains all messages: so many arrive before they have left, and are shown right behind that.
    Impossible {
        /// How many.
        backwards: u64,
    },
}

/// One clock: that of one start of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Whose.
    pub node: NodeId,
    /// How many records bear its time.
    pub records: u64,
    /// What was added to the time of its first record, in nanoseconds.
    pub shift_ns: i64,
    /// How much faster than its own its time was taken to run, in parts of 10⁹.
    pub rate_ppb: i64,
    /// How far the shift can be wrong at most in either direction, in nanoseconds, if messages say so.
    pub slack_ns: Option<u64>,
}

/// One stream.
#[derive(Clone, Debug)]
pub struct Merged {
    /// In an order in which they can have happened, with times on one clock.
    pub records: Vec<Record>,
    /// The clocks that they came with; empty if all of them agreed as they were.
    pub clocks: Vec<Clock>,
    /// Whether that could be done.
    pub agreement: Agreement,
}

/// Makes one stream of all records.
#[must_use]
pub fn merge(mut sources: Vec<Source>) -> Merged {
    sources.retain(|source| !source.records.is_empty());
    if let [only] = sources.as_slice()
        && order::is_in_order(&only.records)
    {
        let records = sources.pop().map(|source| source.records).unwrap_or_default();
        return Merged { records, clocks: Vec::new(), agreement: Agreement::Given };
    }
    let deeds = take_deeds(&mut sources);
    let mut starts = starts::split(sources);
    let passages = starts::passages(&starts);
    let as_they_are = |start: &Start| start.prior.unwrap_or(0);
    let agrees = |starts: &[Start]| passages.iter().all(|passage| passage.fits(starts));
    for start in &mut starts {
        start.shift = as_they_are(start);
    }
    let given = starts.iter().all(|start| start.prior.is_none()) && agrees(&starts) && in_turn(&starts);
    let mut slack = vec![None; starts.len()];
    if !given {
        slack = set_clocks(&mut starts, &passages);
    }
    let backwards = passages.iter().filter(|passage| !passage.fits(&starts)).count() as u64;
    let agreement = match (given, backwards) {
        (true, _) => Agreement::Given,
        (false, 0) => Agreement::Corrected,
        (false, backwards) => Agreement::Impossible { backwards },
    };
    let earliest = starts.iter().map(Start::first_time).min().unwrap_or(0);
    if earliest < 0 {
        starts.iter_mut().for_each(|start| start.shift -= earliest);
    }
    let clock = |(start, slack): (&Start, Option<u64>)| Clock {
        node: start.node,
        records: start.records.len() as u64,
        shift_ns: start.shift,
        rate_ppb: start.rate_ppb(),
        slack_ns: slack,
    };
    let clocks = if given { Vec::new() } else { starts.iter().zip(slack).map(clock).collect() };
    let deeds = placed(deeds, &starts, given);
    Merged { records: order::with_deeds(order::weave(starts), deeds), clocks, agreement }
}

/// A deed, and the server whose records begin its source, if any do.
type Found = (Record, Option<NodeId>);

/// Takes the deeds out of all sources.
fn take_deeds(sources: &mut Vec<Source>) -> Vec<Found> {
    let mut deeds: Vec<Found> = Vec::new();
    let is_deed = |record: &Record| matches!(record.event, Event::Deed(_));
    for source in sources.iter_mut() {
        let anchor = source.records.iter().find(|record| !is_deed(record)).map(|record| record.node);
        deeds.extend(source.records.iter().filter(|record| is_deed(record)).map(|record| (*record, anchor)));
        source.records.retain(|record| !is_deed(record));
    }
    sources.retain(|source| !source.records.is_empty());
    // A recording that is given twice tells of each deed twice.
    let mut seen: BTreeMap<(Time, NodeId), Vec<Record>> = BTreeMap::new();
    deeds.retain(|(deed, _)| {
        let same_moment = seen.entry((deed.time, deed.node)).or_default();
        let is_new = !same_moment.contains(deed);
        same_moment.push(*deed);
        is_new
    });
    deeds
}

/// Deeds have the one clock that all servers of a laboratory share. Where clocks had to be set, that of the servers in the
/// same source is theirs; those that stand alone are left out then, as two laboratories may have recorded into one folder.
fn placed(deeds: Vec<Found>, starts: &[Start], given: bool) -> Vec<Record> {
    let mut placed: Vec<Record> = Vec::new();
    for (deed, anchor) in deeds {
        let start = starts.iter().find(|start| Some(start.node) == anchor);
        match start {
            Some(start) => {
                let time = Time(start.common(deed.time).max(0).unsigned_abs());
                placed.push(Record { time, ..deed });
            }
            None if given => placed.push(deed),
            None => {}
        }
    }
    placed.sort_by_key(|record| record.time);
    placed
}

/// Whether each server's starts follow each other in time.
fn in_turn(starts: &[Start]) -> bool {
    starts
        .iter()
        .all(|start| start.follows.is_none_or(|before| starts[before].last_time() <= start.first_time()))
}

/// Sets the clocks so that every message arrives after it has left, if that can be. Gives back how far each may be off.
fn set_clocks(starts: &mut [Start], passages: &[Passage]) -> Vec<Option<u64>> {
    for start in starts.iter_mut() {
        start.shift = 0;
    }
    if let Some(setting) = offsets::settle(starts, passages) {
        return setting.apply(starts);
    }
    drift::set_rates(starts, passages);
    if let Some(setting) = offsets::settle(starts, passages) {
        return setting.apply(starts);
    }
    starts.iter_mut().for_each(|start| start.rate = 1.0);
    offsets::guess(starts, passages).apply(starts)
}
