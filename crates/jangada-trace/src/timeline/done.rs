//! Bands as they were made: who was down, stood still or was cut off, and what the network did, by the records of deeds.
//! Where nobody recorded any, `bands.rs` concludes it from what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::types::{NodeId, Time};

use super::bands::{Absence, Quiet};
use super::scene::Lane;
use crate::deeds::{Standing, cut_off};
use crate::language::Language;
use crate::phrases::span;
use crate::say;

/// A time in which the network lost messages or held them up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// From here.
    pub begin: Time,
    /// To here.
    pub end: Time,
    /// So many messages in a hundred are lost.
    pub loss: u8,
    /// The most that messages are held up.
    pub delay: Duration,
}

impl Weather {
    /// How it was: `30 % lost, 200 ms slower`.
    #[must_use]
    pub fn words(&self, language: Language) -> String {
        let loss = (self.loss > 0).then(|| say!(language, "{percent} % lost", percent = self.loss));
        let delay = (!self.delay.is_zero()).then(|| say!(language, "{by} slower", by = span(self.delay)));
        let both: Vec<String> = loss.into_iter().chain(delay).collect();
        both.join(", ")
    }
}

/// Whether anybody recorded what was done.
pub(super) fn is_known(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.event, Event::Deed(_)))
}

/// Adds to the lanes when each server was away, and gives back how the network was.
pub(super) fn bands(records: &[Record], lanes: &mut [Lane], (begin, end): (Time, Time)) -> Vec<Weather> {
    let nodes: Vec<NodeId> = lanes.iter().map(|lane| lane.node).collect();
    unborn(records, lanes, begin);
    let deeds: Vec<&Record> =
        records.iter().filter(|record| matches!(record.event, Event::Deed(_))).collect();
    let mut standing = Standing::default();
    let mut open: BTreeMap<(usize, u8), (Time, Absence)> = BTreeMap::new();
    let mut weather: Vec<Weather> = Vec::new();
    // What is done at one moment is done at once: an isolated server loses its links one after the other.
    for together in deeds.chunk_by(|a, b| a.time == b.time) {
        let now = together[0].time;
        together.iter().for_each(|record| standing.see_record(record));
        let away = away(&standing, &nodes);
        let over: Vec<(usize, u8)> = open.keys().copied().filter(|key| !away.contains_key(key)).collect();
        for key in over {
            if let Some((begin, why)) = open.remove(&key) {
                lanes[key.0].quiet.push(Quiet { begin, end: now, why });
            }
        }
        for (key, why) in away {
            open.entry(key).or_insert((now, why));
        }
        turn(&mut weather, (standing.loss(), standing.delay()), now);
    }
    for ((place, _), (begin, why)) in open {
        lanes[place].quiet.push(Quiet { begin, end, why });
    }
    lanes.iter_mut().for_each(|lane| lane.quiet.sort_by_key(|quiet| (quiet.begin, quiet.end)));
    weather.iter_mut().for_each(|weather| weather.end = weather.end.min(end));
    weather
}

/// A server that starts later than the picture was not there before.
fn unborn(records: &[Record], lanes: &mut [Lane], begin: Time) {
    let mut seen: BTreeSet<NodeId> = BTreeSet::new();
    for record in records.iter().filter(|record| !matches!(record.event, Event::Deed(_))) {
        let is_first = seen.insert(record.node);
        let starts = matches!(record.event, Event::Disk(DiskEvent::Opened { .. }));
        if is_first
            && starts
            && record.time > begin
            && let Some(lane) = lanes.iter_mut().find(|lane| lane.node == record.node)
        {
            lane.quiet.push(Quiet { begin, end: record.time, why: Absence::Down });
        }
    }
}

/// Who is away, and why; each lane has at most one band of each kind.
fn away(standing: &Standing, nodes: &[NodeId]) -> BTreeMap<(usize, u8), Absence> {
    let cut_off = cut_off(nodes, standing.cut());
    let mut away = BTreeMap::new();
    for (place, node) in nodes.iter().enumerate() {
        if standing.is_down(*node) {
            away.insert((place, 0), Absence::Down);
        } else if standing.is_paused(*node) {
            away.insert((place, 1), Absence::Paused);
        }
        if cut_off.contains(node) {
            away.insert((place, 2), Absence::CutOff);
        }
    }
    away
}

/// The network is like this from now on.
fn turn(weather: &mut Vec<Weather>, (loss, delay): (u8, Duration), now: Time) {
    if let Some(last) = weather.last_mut().filter(|last| last.end == Time::NEVER) {
        if (last.loss, last.delay) == (loss, delay) {
            return;
        }
        last.end = now;
    }
    if loss > 0 || !delay.is_zero() {
        weather.push(Weather { begin: now, end: Time::NEVER, loss, delay });
    }
}
