//! Sentences for people.

use std::time::Duration;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, MembershipStage, MessageKind, RoleChange, RoleName};
use jangada_raft::types::{Index, NodeId, Term, Time};
use jangada_trace::{
    names::Names,
    phrases,
    words::{Level, Words, level},
};

use crate::{golden, samples};

/// The heart of the matter: an election reads as a story that says why each step was taken.
#[test]
fn an_election_reads_as_a_story() {
    let vote = |from, pre_vote, granted, votes| RaftEvent::VoteReceived {
        from: NodeId(from),
        term: Term(1),
        pre_vote,
        granted,
        votes,
    };
    let heartbeat = |from, term| RaftEvent::Received {
        from: NodeId(from),
        sequence: 1,
        term: Term(term),
        kind: MessageKind::Heartbeat,
        index: Index(0),
        count: 0,
    };
    let role = |role, term, why| RaftEvent::RoleChanged { role, term: Term(term), why };
    let story = [
        (
            0,
            RaftEvent::MembershipChanged {
                index: Index(0),
                stage: MembershipStage::Final,
                voters: 5,
                learners: 0,
            },
        ),
        (0, RaftEvent::ElectionTimerReset { after_nanos: 213_000_000 }),
        (213, role(RoleName::PreCandidate, 0, RoleChange::ElectionTimeout)),
        (213, vote(1, true, true, 2)),
        (214, vote(3, true, true, 3)),
        (214, role(RoleName::Candidate, 1, RoleChange::PreVoteWon)),
        // Its own vote is one of the three, and has no name of its own in the sentence.
        (215, vote(2, false, true, 1)),
        (215, vote(4, false, false, 1)),
        (216, vote(1, false, true, 2)),
        (217, vote(3, false, true, 3)),
        (217, role(RoleName::Leader, 1, RoleChange::ElectionWon)),
        (900, role(RoleName::Follower, 1, RoleChange::QuorumLost)),
        (901, RaftEvent::TermChanged { old: Term(1), new: Term(2), from: Some(NodeId(4)) }),
        (901, RaftEvent::LeaderKnown { leader: NodeId(4), term: Term(2) }),
        (950, heartbeat(4, 2)),
        (1_400, role(RoleName::PreCandidate, 2, RoleChange::ElectionTimeout)),
    ];
    let mut words = Words::new(Names::new());
    let mut lines = Vec::new();
    for (seq, (millis, event)) in story.into_iter().enumerate() {
        lines.extend(words.line(&samples::record(millis, 2, seq as u64, event), Level::Info));
    }
    assert_eq!(
        lines,
        [
            "+0.000  n2     the cluster has 5 voters (entry 0)",
            "+0.213  n2     election timeout (213 ms without a leader) → PreCandidate, asks who would vote for it",
            "+0.214  n2     n1 n3 would vote (with its own 3 of 5: enough) → Candidate, term 1",
            "+0.217  n2     n1 n3 voted (with its own 3 of 5: enough) → LEADER of term 1",
            "+0.900  n2     heard no majority for an election timeout: writes wait → Follower",
            "+0.901  n2     follows n4, the leader of term 2",
            "+1.400  n2     election timeout (450 ms without a leader) → PreCandidate, asks who would vote for it",
        ]
    );
}

/// A server that has started anew is told of as one that nobody knew: what its last life did is over.
#[test]
fn a_start_begins_a_new_story() {
    let opened =
        Event::Disk(DiskEvent::Opened { entries: 2, last: Index(2), snapshot: Index(0), torn_bytes: 0 });
    let role = |role, why| Event::Raft(RaftEvent::RoleChanged { role, term: Term(1), why });
    let story = [
        (100, role(RoleName::Leader, RoleChange::ElectionWon)),
        (900, opened),
        (900, Event::Raft(RaftEvent::ElectionTimerReset { after_nanos: 250_000_000 })),
        (1_150, role(RoleName::PreCandidate, RoleChange::ElectionTimeout)),
    ];
    let mut words = Words::new(Names::new());
    let mut last = None;
    for (millis, event) in story {
        let time = Time(millis * 1_000_000);
        last = words.line(&Record { time, node: NodeId(2), seq: 1, event }, Level::Info);
    }
    assert_eq!(
        last.as_deref(),
        Some(
            "+1.150  n2     election timeout (250 ms without a leader) → PreCandidate, asks who would vote for it"
        )
    );
}

#[test]
fn every_event_has_its_sentence() {
    let mut words = Words::new(Names::from_iter([(NodeId(5), "porto")]));
    let mut out = String::new();
    for (i, event) in samples::every_event().into_iter().enumerate() {
        let level = level(&event);
        let record = samples::record(i as u64, 2, i as u64 + 1, event);
        let line = words.line(&record, Level::Trace).expect("everything is told at the last level");
        let quieter = [Level::Warn, Level::Info, Level::Debug].into_iter().filter(|l| *l < level);
        for quieter in quieter {
            assert_eq!(words.sentence(&record, quieter), None, "{line}");
        }
        out.push_str(&format!("{:<5} {line}\n", format!("{level:?}")));
    }
    golden::check("words.txt", &out);
}

#[test]
fn sizes_and_spans() {
    for (bytes, expected) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.0 KiB"),
        (1_048_575, "1023.9 KiB"),
        (1_048_576, "1.0 MiB"),
        (u64::MAX, "16777215.9 TiB"),
    ] {
        assert_eq!(phrases::size(bytes), expected);
    }
    for (micros, expected) in [
        (0, "0 µs"),
        (999, "999 µs"),
        (2_950, "2.9 ms"),
        (213_456, "213 ms"),
        (999_999, "999 ms"),
        (12_449_000, "12.4 s"),
    ] {
        assert_eq!(phrases::span(Duration::from_micros(micros)), expected);
    }
}
