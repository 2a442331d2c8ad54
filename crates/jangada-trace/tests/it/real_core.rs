//! The safety reader over the events of the real core, on a network that loses and reorders, with servers that crash.

use bytes::Bytes;
use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::config::Config;
use jangada_raft::event::{Event as RaftEvent, RoleName};
use jangada_raft::message::Message;
use jangada_raft::types::{ClusterId, Entry, HardState, Index, Membership, NodeId, Time};
use jangada_raft::{Input, Output, Raft, Recovered};
use jangada_trace::safety::{Property, Safety};

use crate::generate::Chance;

struct Host {
    id: NodeId,
    raft: Raft,
    hard_state: HardState,
    entries: Vec<Entry>,
    seq: u64,
}

fn members() -> [NodeId; 3] {
    [NodeId(1), NodeId(2), NodeId(3)]
}

fn restore(now: Time, id: NodeId, starts: u64, hard_state: HardState, entries: Vec<Entry>) -> Raft {
    let mut recovered = Recovered { hard_state, entries, ..Recovered::default() };
    recovered.snapshot.membership = Membership::of(members()).into();
    let mut config = Config::new(id, ClusterId(1), id.0);
    config.first_sequence = starts << 40 | 1;
    Raft::restore(now, config, recovered)
}

/// All that three servers said, in the order in which they said it.
fn records(seed: u64) -> Vec<Record> {
    let mut chance = Chance::new(seed);
    let mut now = Time::ZERO;
    let mut hosts = members().map(|id| {
        let raft = restore(now, id, 0, HardState::default(), Vec::new());
        Host { id, raft, hard_state: HardState::default(), entries: Vec::new(), seq: 0 }
    });
    let mut network: Vec<Message> = Vec::new();
    // Nobody hears from this one.
    let mut cut = None;
    let mut records = Vec::new();
    for step in 1..3_000 {
        if !network.is_empty() && !chance.percent(10) {
            let message = network.swap_remove(chance.below(network.len().min(4) as u64) as usize);
            if !chance.percent(10) && Some(message.from) != cut {
                let host = hosts.iter_mut().find(|host| host.id == message.to).expect("one of the three");
                host.raft.handle(now, Input::Receive(message));
            }
        } else {
            now = hosts.iter().map(|host| host.raft.next_deadline()).min().expect("three servers").max(now);
            for host in &mut hosts {
                host.raft.handle(now, Input::TimePassed);
            }
        }
        for host in &mut hosts {
            if host.raft.is_leader() && chance.percent(10) {
                host.raft.handle(now, Input::Propose(Bytes::from_static(b"x")));
            }
        }
        if step % 150 == 0 {
            let leads = hosts.iter().find(|host| host.raft.is_leader()).map(|host| host.id);
            cut = leads.filter(|_| chance.percent(50));
        }
        if chance.below(400) == 0 {
            let host = &mut hosts[chance.below(3) as usize];
            host.raft = restore(now, host.id, step, host.hard_state, host.entries.clone());
            host.seq = 1;
            let last = Index(host.entries.len() as u64);
            let opened = DiskEvent::Opened { entries: last.0, last, snapshot: Index::ZERO, torn_bytes: 0 };
            records.push(Record { time: now, node: host.id, seq: 1, event: Event::Disk(opened) });
        }
        for host in &mut hosts {
            serve(host, now, &mut network, &mut records);
        }
    }
    records
}

fn serve(host: &mut Host, now: Time, network: &mut Vec<Message>, records: &mut Vec<Record>) {
    let mut out = Output::default();
    loop {
        host.raft.take_output(&mut out);
        for event in out.events.drain(..) {
            host.seq += 1;
            records.push(Record { time: now, node: host.id, seq: host.seq, event: Event::Raft(event) });
        }
        network.append(&mut out.send);
        if let Some(range) = out.committed.take() {
            host.raft.handle(now, Input::Applied(*range.end()));
        }
        let Some(persist) = out.persist.take() else { return };
        host.hard_state = persist.hard_state.unwrap_or(host.hard_state);
        if let Some(from) = persist.truncate_from {
            host.entries.truncate(from.0 as usize - 1);
        }
        host.entries.extend(persist.entries);
        host.raft.handle(now, Input::Persisted(persist.id));
    }
}

fn first_violation(records: &[Record]) -> Option<Property> {
    let mut safety = Safety::new();
    records.iter().find_map(|record| safety.read(record).err()).map(|violation| violation.property)
}

#[test]
fn the_core_is_safe_and_a_forged_record_is_not() {
    let (mut elections, mut truncations, mut commits) = (0, 0, 0);
    for seed in 0..30 {
        let records = records(seed);
        assert_eq!(first_violation(&records), None, "seed {seed}");
        for (place, record) in records.iter().enumerate() {
            let Event::Raft(event) = record.event else { continue };
            let (forged, property) = match event {
                RaftEvent::RoleChanged { role: RoleName::Leader, term, why } => {
                    elections += 1;
                    // Somebody else says the same.
                    let other = NodeId(record.node.0 % 3 + 1);
                    let event = Event::Raft(RaftEvent::RoleChanged { role: RoleName::Leader, term, why });
                    (Record { node: other, seq: u64::MAX, event, ..*record }, Property::ElectionSafety)
                }
                RaftEvent::Truncated { .. } => {
                    truncations += 1;
                    continue;
                }
                RaftEvent::Committed { .. } => {
                    commits += 1;
                    // Twice.
                    (Record { seq: record.seq + 1, ..*record }, Property::MonotonicCommit)
                }
                _ => continue,
            };
            if commits % 50 == 0 || property == Property::ElectionSafety {
                let mut story = records[..=place].to_vec();
                story.push(forged);
                let found = first_violation(&story);
                let is_found = found == Some(property) || found == Some(Property::MonotonicTerm);
                assert!(is_found, "seed {seed}: {found:?} after {forged:?}");
            }
        }
    }
    let all = [elections, truncations, commits];
    assert!(elections > 60 && truncations > 10 && commits > 1_000, "{all:?}: the test has lost its point");
}
