//! The servers' own stream of records: it can be kept and read back, and a reader that sees nothing else finds in it what
//! is wrong.

use std::time::Duration;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, RoleName};
use jangada_raft::types::{Index, NodeId, Term};
use jangada_sim::World;
use jangada_sim::kv::Kv;
use jangada_sim::plan::Plan;
use jangada_sim::setup::record;
use jangada_trace::names::Names;
use jangada_trace::safety::{Property, Safety};
use jangada_trace::{jsonl, jsonl_read};

fn records(seed: u64) -> Vec<Record> {
    let plan = World::new(seed).servers(3).plan();
    let (verdict, records) = record(Plan { trouble: Duration::from_secs(8), ..plan }, Kv::new());
    assert_eq!(verdict.violations, [], "seed {seed}");
    // What the plan did to them stands between what the servers say.
    let said = records.iter().filter(|record| !matches!(record.event, Event::Deed(_)));
    assert_eq!(said.count() as u64, verdict.records, "seed {seed}");
    records
}

/// What the safety reader finds, and at which record.
fn judge(records: &[Record]) -> Option<(usize, Property)> {
    let mut safety = Safety::new();
    let found =
        |(at, record): (usize, &Record)| safety.read(record).err().map(|violation| (at, violation.property));
    records.iter().enumerate().find_map(found)
}

fn raft(record: &mut Record) -> Option<&mut RaftEvent> {
    match &mut record.event {
        Event::Raft(event) => Some(event),
        Event::Disk(_) | Event::Net(_) | Event::Client(_) | Event::Deed(_) => None,
    }
}

/// Changes the last record that can be changed like this.
fn forge(records: &[Record], change: impl Fn(&mut Record) -> bool) -> (usize, Vec<Record>) {
    let mut forged = records.to_vec();
    let at = (0..forged.len()).rev().find(|at| change(&mut forged[*at])).expect("there is one");
    (at, forged)
}

#[test]
fn records_come_back_from_json_lines_as_they_were() {
    let names = Names::new();
    for seed in [3, 11] {
        let kept = records(seed);
        let read = |record: &Record| jsonl_read::read(&jsonl::line(record, &names), &names);
        let read: Vec<Record> = kept.iter().map(|record| read(record).expect("we wrote it")).collect();
        assert!(kept == read, "seed {seed}: what was read is not what was written");
    }
}

#[test]
fn the_second_opinion_has_nothing_against_good_runs() {
    for seed in 0..12 {
        let kept = records(seed);
        let starts =
            kept.iter().filter(|record| matches!(record.event, Event::Disk(DiskEvent::Opened { .. })));
        assert!(starts.count() >= 3, "seed {seed}: each start is told");
        assert_eq!(judge(&kept), None, "seed {seed}");
    }
}

#[test]
fn the_second_opinion_finds_what_is_forged() {
    let kept = records(3);
    // A term with two leaders: the last one leads in the term of the one before it.
    let leaders = kept.iter().filter_map(|record| match record.event {
        Event::Raft(RaftEvent::RoleChanged { role: RoleName::Leader, term, .. }) => Some((record.node, term)),
        _ => None,
    });
    let mut leaders: Vec<(NodeId, Term)> = leaders.collect();
    let (last, _) = leaders.pop().expect("there was a leader");
    let (_, shared) = *leaders.iter().rev().find(|(node, _)| *node != last).expect("and another one");
    let (at, forged) = forge(&kept, |record| match raft(record) {
        Some(RaftEvent::RoleChanged { role: RoleName::Leader, term, .. }) => {
            *term = shared;
            true
        }
        _ => false,
    });
    // Of that server nothing else is told, so that nothing but the election shows it.
    let told = forged.iter().enumerate().filter(|(place, record)| record.node != last || *place == at);
    let forged: Vec<Record> = told.map(|(_, record)| *record).collect();
    assert_eq!(judge(&forged).map(|(_, property)| property), Some(Property::ElectionSafety));

    // A commit index that goes back.
    let (at, forged) = forge(&kept, |record| match raft(record) {
        Some(RaftEvent::Committed { index, .. }) => {
            *index = Index(1);
            true
        }
        _ => false,
    });
    assert_eq!(judge(&forged), Some((at, Property::MonotonicCommit)));

    // A term that goes back.
    let (at, forged) = forge(&kept, |record| match raft(record) {
        Some(RaftEvent::TermChanged { new, .. }) => {
            *new = Term(0);
            true
        }
        _ => false,
    });
    assert_eq!(judge(&forged), Some((at, Property::MonotonicTerm)));

    // Committed entries that are removed.
    let (at, forged) = forge(&kept, |record| match raft(record) {
        Some(event @ RaftEvent::Durable { .. }) => {
            *event = RaftEvent::Truncated { from: Index(1), last: Index(9) };
            true
        }
        _ => false,
    });
    let (found, property) = judge(&forged).expect("it is found");
    assert_eq!(found, at);
    assert!(matches!(property, Property::StateMachineSafety | Property::LeaderAppendOnly), "{property}");
}
