//! Counters.

use jangada_node::event::{ClientEvent, DiskEvent, Event, NetEvent};
use jangada_raft::event::{Event as RaftEvent, MessageKind, RoleChange, RoleName};
use jangada_raft::types::{Index, NodeId, Term};
use jangada_trace::metrics::Metrics;

use crate::{golden, samples};

fn folded(events: &[Event]) -> Metrics {
    let mut metrics = Metrics::new();
    for (seq, event) in events.iter().enumerate() {
        metrics.fold(&samples::record(0, 1, seq as u64, *event));
    }
    metrics
}

fn role(role: RoleName, term: u64, why: RoleChange) -> Event {
    Event::Raft(RaftEvent::RoleChanged { role, term: Term(term), why })
}

#[test]
fn a_leaders_life() {
    let term = Term(1);
    let metrics = folded(&[
        Event::Disk(DiskEvent::Opened { entries: 4, last: Index(14), snapshot: Index(10), torn_bytes: 3 }),
        role(RoleName::PreCandidate, 0, RoleChange::ElectionTimeout),
        role(RoleName::Candidate, 1, RoleChange::PreVoteWon),
        role(RoleName::Leader, 1, RoleChange::ElectionWon),
        Event::Raft(RaftEvent::Appended { first: Index(15), last: Index(20), term }),
        Event::Raft(RaftEvent::Committed { index: Index(18), term }),
        Event::Raft(RaftEvent::Committed { index: Index(20), term }),
        Event::Net(NetEvent::Dropped { peer: NodeId(2), messages: 5 }),
        Event::Client(ClientEvent::Refused { requests: 3 }),
    ]);
    assert!(metrics.leads && metrics.has_leader);
    assert_eq!((metrics.pre_elections, metrics.elections, metrics.elections_won), (1, 1, 1));
    assert_eq!((metrics.appended, metrics.last_index), (6, 20));
    assert_eq!((metrics.committed, metrics.commit_index), (10, 20), "what the snapshot holds is not new");
    assert_eq!((metrics.torn_bytes, metrics.messages_dropped, metrics.requests_refused), (3, 5, 3));

    let deposed = [
        role(RoleName::Leader, 1, RoleChange::ElectionWon),
        role(RoleName::Follower, 2, RoleChange::HigherTerm),
    ];
    let metrics = folded(&deposed);
    assert_eq!((metrics.step_downs, metrics.leads, metrics.has_leader, metrics.term), (1, false, false, 2));
}

#[test]
fn a_truncation_takes_the_last_index_back() {
    let term = Term(2);
    let metrics = folded(&[
        Event::Raft(RaftEvent::Appended { first: Index(1), last: Index(9), term }),
        Event::Raft(RaftEvent::Truncated { from: Index(4), last: Index(9) }),
    ]);
    assert_eq!((metrics.truncated, metrics.last_index), (6, 3));
}

#[test]
fn prometheus_text() {
    let metrics = folded(&samples::every_event());
    assert_eq!(metrics.sent(MessageKind::Vote), 1);
    assert_eq!(metrics.received(MessageKind::Heartbeat), 1);
    let mut out = String::new();
    metrics.write_prometheus(&mut out);
    golden::check("metrics.txt", &out);
    // Each sample belongs to a family that was announced just before it, and no family comes twice.
    let mut families = Vec::new();
    for line in out.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(!families.contains(&name), "{name} twice");
            families.push(name);
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(families.last(), Some(&name), "{line}");
        }
    }
}
