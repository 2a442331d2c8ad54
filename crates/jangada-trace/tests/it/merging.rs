//! Records of servers whose clocks do not agree: merged, no arrow points back in time.

use std::collections::BTreeMap;

use jangada_node::event::{Event, Record};
use jangada_raft::event::{Event as RaftEvent, MessageKind};
use jangada_raft::types::{Index, NodeId, Term, Time};
use jangada_trace::merge::{Agreement, Merged, Source, merge};

use crate::generate::Chance;

const MILLI: u64 = 1_000_000;
const HOUR: i64 = 3_600_000_000_000;

fn sent(to: u64, sequence: u64) -> RaftEvent {
    let kind = MessageKind::Append;
    RaftEvent::Sent { to: NodeId(to), sequence, term: Term(1), kind, index: Index(0), count: 1 }
}

fn received(from: u64, sequence: u64) -> RaftEvent {
    let kind = MessageKind::Append;
    RaftEvent::Received { from: NodeId(from), sequence, term: Term(1), kind, index: Index(0), count: 1 }
}

/// What happened in truth: servers that talk, some of whose messages get lost. In the order of time.
fn truth(chance: &mut Chance, servers: u64, messages: u64, span_ns: u64) -> Vec<Record> {
    let mut happened: Vec<(u64, u64, RaftEvent)> = Vec::new();
    let mut sequences = vec![0; servers as usize + 1];
    for _ in 0..messages {
        let from = 1 + chance.below(servers);
        let to = 1 + (from + chance.below(servers - 1)) % servers;
        let left = chance.below(span_ns);
        sequences[from as usize] += 1;
        let sequence = sequences[from as usize];
        happened.push((left, from, sent(to, sequence)));
        if !chance.percent(10) {
            let latency = 50_000 + chance.below(3 * MILLI);
            happened.push((left + latency, to, received(from, sequence)));
        }
    }
    happened.sort_by_key(|(at, ..)| *at);
    let mut seqs: BTreeMap<u64, u64> = BTreeMap::new();
    let record = |(at, node, event): (u64, u64, RaftEvent)| {
        let seq = seqs.entry(node).or_default();
        *seq += 1;
        Record { time: Time(at), node: NodeId(node), seq: *seq, event: Event::Raft(event) }
    };
    happened.into_iter().map(record).collect()
}

/// What each server's own clock made of it.
fn by_own_clocks(chance: &mut Chance, truth: &[Record], drift_ppm: u64) -> Vec<Source> {
    let mut sources: BTreeMap<NodeId, Source> = BTreeMap::new();
    let mut clocks: BTreeMap<NodeId, (i64, f64)> = BTreeMap::new();
    for record in truth {
        let (offset, rate) = *clocks.entry(record.node).or_insert_with(|| {
            let offset = HOUR + chance.below(HOUR.unsigned_abs()) as i64;
            let ppm = chance.below(2 * drift_ppm + 1) as f64 - drift_ppm as f64;
            (offset, 1.0 + ppm / 1e6)
        });
        let time = Time((record.time.0 as f64 * rate) as u64 + offset.unsigned_abs());
        sources.entry(record.node).or_default().records.push(Record { time, ..*record });
    }
    sources.into_values().collect()
}

/// How many arrivals stand before their departure, by place or by time.
fn backwards(records: &[Record]) -> usize {
    let mut left: BTreeMap<(NodeId, u64), (usize, Time)> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        if let Event::Raft(RaftEvent::Sent { sequence, .. }) = record.event {
            left.insert((record.node, sequence), (place, record.time));
        }
    }
    let arrives_too_early = |(place, record): &(usize, &Record)| match record.event {
        Event::Raft(RaftEvent::Received { from, sequence, .. }) => {
            left.get(&(from, sequence)).is_some_and(|(at, time)| at > place || *time > record.time)
        }
        _ => false,
    };
    records.iter().enumerate().filter(arrives_too_early).count()
}

/// Every record is there, each server's in its order, and time never goes back.
fn check_whole(seed: u64, sources: &[Source], merged: &Merged) {
    assert!(
        merged.records.windows(2).all(|pair| pair[0].time <= pair[1].time),
        "seed {seed}: time goes back"
    );
    let mut of: BTreeMap<NodeId, Vec<(u64, Event)>> = BTreeMap::new();
    for record in &merged.records {
        of.entry(record.node).or_default().push((record.seq, record.event));
    }
    for source in sources {
        let expected: Vec<(u64, Event)> =
            source.records.iter().map(|record| (record.seq, record.event)).collect();
        assert_eq!(of[&source.records[0].node], expected, "seed {seed}: not the records of that server");
    }
}

#[test]
fn no_arrow_points_back_whatever_the_clocks_say() {
    for seed in 0..60 {
        let mut chance = Chance::new(seed);
        let servers = 2 + chance.below(6);
        let happened = truth(&mut chance, servers, 400, 2_000 * MILLI);
        let sources = by_own_clocks(&mut chance, &happened, 0);
        let merged = merge(sources.clone());
        assert_eq!(merged.agreement, Agreement::Corrected, "seed {seed}");
        assert_eq!(backwards(&merged.records), 0, "seed {seed}");
        check_whole(seed, &sources, &merged);
        // The shifts are those of the truth, up to what the messages leave open.
        let first = merged.clocks[0];
        let real = |node: NodeId| {
            let record = happened.iter().find(|record| record.node == node).unwrap();
            let own = sources.iter().find(|source| source.records[0].node == node).unwrap();
            record.time.0 as i64 - own.records[0].time.0 as i64
        };
        for clock in &merged.clocks {
            let wrong = (clock.shift_ns - real(clock.node)) - (first.shift_ns - real(first.node));
            assert!(wrong.unsigned_abs() < 2 * MILLI, "seed {seed}: {} is off by {wrong} ns", clock.node);
        }
    }
}

#[test]
fn clocks_that_drift_apart_are_followed() {
    for seed in 0..30 {
        let mut chance = Chance::new(seed);
        let happened = truth(&mut chance, 3, 20_000, 60_000 * MILLI);
        let sources = by_own_clocks(&mut chance, &happened, 200);
        let merged = merge(sources.clone());
        assert_eq!(merged.agreement, Agreement::Corrected, "seed {seed}: {:?}", merged.clocks);
        assert_eq!(backwards(&merged.records), 0, "seed {seed}");
        check_whole(seed, &sources, &merged);
    }
}

#[test]
fn clocks_that_agree_are_left_alone() {
    let happened = truth(&mut Chance::new(1), 5, 300, 1_000 * MILLI);
    let merged = merge(vec![Source { records: happened.clone(), shift_ns: None }]);
    assert_eq!(merged.agreement, Agreement::Given);
    assert!(merged.records == happened && merged.clocks.is_empty());
    // One file for each server of one laboratory.
    let mut files: BTreeMap<NodeId, Source> = BTreeMap::new();
    for record in &happened {
        files.entry(record.node).or_default().records.push(*record);
    }
    let merged = merge(files.into_values().collect());
    assert_eq!(merged.agreement, Agreement::Given);
    assert!(merged.records.iter().map(|record| record.time).eq(happened.iter().map(|record| record.time)));
}

#[test]
fn what_no_clock_explains_is_said_and_arrives_right_behind() {
    // Each has the other's message before it sends its own.
    let at = |time, node, seq, event| Record {
        time: Time(time),
        node: NodeId(node),
        seq,
        event: Event::Raft(event),
    };
    let one = vec![at(10, 1, 1, received(2, 1)), at(20, 1, 2, sent(2, 1))];
    let two = vec![at(10, 2, 1, received(1, 1)), at(20, 2, 2, sent(1, 1))];
    let source = |records| Source { records, shift_ns: None };
    let merged = merge(vec![source(one), source(two)]);
    assert!(matches!(merged.agreement, Agreement::Impossible { backwards: 1.. }), "{:?}", merged.agreement);
    assert_eq!(merged.records.len(), 4);
    // Times that no clock has are no reason to fall over.
    let far = vec![at(u64::MAX, 1, 1, sent(2, 1)), at(u64::MAX, 1, 2, received(2, 2))];
    let near = vec![at(0, 2, 1, received(1, 1)), at(0, 2, 2, sent(1, 2))];
    assert_eq!(merge(vec![source(far), source(near)]).records.len(), 4);
    assert!(merge(Vec::new()).records.is_empty());
}

#[test]
fn a_server_that_starts_again_has_a_new_clock() {
    let at = |millis, node, seq, event| Record {
        time: Time(millis * MILLI),
        node: NodeId(node),
        seq,
        event: Event::Raft(event),
    };
    let steady = vec![
        at(1_000, 1, 1, sent(2, 1)),
        at(1_002, 1, 2, received(2, 1)),
        at(9_000, 1, 3, sent(2, 2)),
        at(9_002, 1, 4, received(2, 1 << 40)),
    ];
    let restarted = vec![
        at(50, 2, 1, received(1, 1)),
        at(51, 2, 2, sent(1, 1)),
        at(5, 2, 1, received(1, 2)),
        at(6, 2, 2, sent(1, 1 << 40)),
    ];
    let merged = merge(vec![
        Source { records: steady, shift_ns: None },
        Source { records: restarted, shift_ns: None },
    ]);
    assert_eq!(merged.agreement, Agreement::Corrected);
    assert_eq!(merged.clocks.len(), 3);
    assert_eq!(backwards(&merged.records), 0);
    let order: Vec<(u64, u64)> = merged.records.iter().map(|record| (record.node.0, record.seq)).collect();
    assert_eq!(order, [(1, 1), (2, 1), (2, 2), (1, 2), (1, 3), (2, 1), (2, 2), (1, 4)]);
}

#[test]
fn two_copies_of_one_ring_are_one() {
    let happened = truth(&mut Chance::new(4), 2, 100, 100 * MILLI);
    let of = |node: u64| happened.iter().filter(move |record| record.node.0 == node).copied();
    let one: Vec<Record> = of(1).collect();
    let (early, late) = (one[..30].to_vec(), one[20..].to_vec());
    let source = |records| Source { records, shift_ns: None };
    let merged = merge(vec![source(early), source(late), source(of(2).collect())]);
    assert_eq!(merged.records.len(), happened.len());
    assert_eq!(backwards(&merged.records), 0);
}

#[test]
fn a_recording_that_is_given_twice_says_the_same_as_once() {
    let mut chance = Chance::new(6);
    let life = truth(&mut chance, 3, 400, 900 * MILLI);
    // All servers start again, with clocks and counters that begin anew; then the same in one file for all.
    let mut sources = by_own_clocks(&mut chance, &life, 0);
    for source in &mut sources {
        let again = source.records.iter().map(|record| match record.event {
            Event::Raft(RaftEvent::Sent { to, sequence, .. }) => {
                Record { event: Event::Raft(sent(to.0, sequence + 10_000)), ..*record }
            }
            Event::Raft(RaftEvent::Received { from, sequence, .. }) => {
                Record { event: Event::Raft(received(from.0, sequence + 10_000)), ..*record }
            }
            _ => *record,
        });
        let again: Vec<Record> = again.collect();
        source.records.extend(again);
    }
    let one_file: Vec<Record> = [life.clone(), life].concat();
    for sources in [sources, vec![Source { records: one_file, shift_ns: None }]] {
        let once = merge(sources.clone());
        let twice = merge([sources.clone(), sources.clone()].concat());
        assert_eq!((&twice.records, twice.agreement), (&once.records, once.agreement));
        let (first, all) = (sources[0].clone(), sources);
        let and_one_more = merge([all, vec![first]].concat());
        assert_eq!(and_one_more.records, once.records);
    }
}

#[test]
fn deeds_stand_where_they_were_done_and_only_where_that_is_known() {
    let mut chance = Chance::new(41);
    let all = truth(&mut chance, 3, 200, 50 * MILLI);
    let deed = jangada_trace::deeds::record(Time(20 * MILLI), NodeId(2), jangada_node::event::Deed::Crash);
    let of = |node: u64| all.iter().copied().filter(|record| record.node == NodeId(node)).collect::<Vec<_>>();
    let source = |records| Source { records, shift_ns: None };
    let Merged { records, agreement, .. } =
        merge(vec![source(of(1)), source(of(2)), source(vec![deed]), source(of(3))]);
    assert_eq!(agreement, Agreement::Given);
    assert_eq!(records.len(), all.len() + 1);
    let place = records.iter().position(|record| *record == deed).expect("it is among them");
    assert!(records[..place].iter().all(|record| record.time < deed.time));
    assert!(records[place..].iter().all(|record| record.time >= deed.time));
    // Another clock: nobody knows when that was.
    let late = of(3).into_iter().map(|record| Record { time: Time(record.time.0 + 9_000 * MILLI), ..record });
    let merged = merge(vec![source(of(1)), source(of(2)), source(vec![deed]), source(late.collect())]);
    assert_eq!(merged.agreement, Agreement::Corrected);
    assert_eq!(merged.records.len(), all.len());
}
