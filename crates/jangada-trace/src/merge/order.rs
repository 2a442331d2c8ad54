//! One stream out of many: by time, and where times are equal, departures before arrivals.

use jangada_node::event::{Event, Record};
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::{NodeId, Time};

use super::starts::Start;

/// Whether a stream of several servers is one already: its time never goes back, and no message arrives before it has
/// left.
pub(super) fn is_in_order(records: &[Record]) -> bool {
    if !records.windows(2).all(|pair| pair[0].time <= pair[1].time) {
        return false;
    }
    let mut sent: Vec<(NodeId, u64, usize)> = Vec::new();
    for (place, record) in records.iter().enumerate() {
        if let Event::Raft(RaftEvent::Sent { sequence, .. }) = record.event {
            sent.push((record.node, sequence, place));
        }
    }
    sent.sort_unstable();
    records.iter().enumerate().all(|(place, record)| match departure(record) {
        Some(message) => departed(&sent, message).is_none_or(|left| left < place),
        None => true,
    })
}

/// The message that arrived with this record.
fn departure(record: &Record) -> Option<(NodeId, u64)> {
    match record.event {
        Event::Raft(RaftEvent::Received { from, sequence, .. }) => Some((from, sequence)),
        _ => None,
    }
}

/// Where a message is known to have left.
fn departed(sent: &[(NodeId, u64, usize)], message: (NodeId, u64)) -> Option<usize> {
    let at = sent.partition_point(|(node, sequence, _)| (*node, *sequence) < message);
    sent.get(at).filter(|(node, sequence, _)| (*node, *sequence) == message).map(|(.., place)| *place)
}

/// One of the streams that are woven together.
struct Thread {
    start: Start,
    next: usize,
    /// The next record is an arrival of what left here, in this thread at this place.
    waits_for: Option<(usize, usize)>,
}

/// One stream, on the common clock.
pub(super) fn weave(starts: Vec<Start>) -> Vec<Record> {
    let mut sent: Vec<(NodeId, u64, usize, usize)> = Vec::new();
    for (thread, start) in starts.iter().enumerate() {
        for (place, record) in start.records.iter().enumerate() {
            if let Event::Raft(RaftEvent::Sent { sequence, .. }) = record.event {
                sent.push((record.node, sequence, thread, place));
            }
        }
    }
    sent.sort_unstable();
    let origin = |record: &Record| {
        let message = departure(record)?;
        let at = sent.partition_point(|(node, sequence, ..)| (*node, *sequence) < message);
        let found = sent.get(at).filter(|(node, sequence, ..)| (*node, *sequence) == message)?;
        Some((found.2, found.3))
    };
    let total = starts.iter().map(|start| start.records.len()).sum();
    let mut woven: Vec<Record> = Vec::with_capacity(total);
    let mut threads: Vec<Thread> = starts
        .into_iter()
        .map(|start| Thread { waits_for: start.records.first().and_then(origin), start, next: 0 })
        .collect();
    let mut now = 0;
    while let Some(at) = earliest(&threads) {
        let thread = &mut threads[at];
        let record = thread.start.records[thread.next];
        // What cannot be explained is put right behind its cause; rounding is healed by the same stroke.
        now = thread.start.common(record.time).max(now);
        woven.push(Record { time: Time(now.max(0).unsigned_abs()), ..record });
        thread.next += 1;
        thread.waits_for = thread.start.records.get(thread.next).and_then(origin);
    }
    woven
}

/// The same with deeds, each before what happened at that time.
pub(super) fn with_deeds(records: Vec<Record>, deeds: Vec<Record>) -> Vec<Record> {
    let mut all = deeds;
    all.extend(records);
    // It keeps the order of what is equal.
    all.sort_by_key(|record| record.time);
    all
}

/// The thread whose next record comes first. An arrival waits for its departure, unless they wait for each other in a circle.
fn earliest(threads: &[Thread]) -> Option<usize> {
    let is_ripe = |thread: &Thread| match thread.waits_for {
        Some((origin, place)) => threads[origin].next > place,
        None => true,
    };
    let mut best: Option<(bool, i64, usize)> = None;
    for (at, thread) in threads.iter().enumerate() {
        let Some(record) = thread.start.records.get(thread.next) else { continue };
        let candidate = (!is_ripe(thread), thread.start.common(record.time), at);
        if best.is_none_or(|best| candidate < best) {
            best = Some(candidate);
        }
    }
    best.map(|(_, _, at)| at)
}
