//! The university lab's lines, word for word (S4-S8, S10, S19-S31, S34 of `docs/seeds-map.md`).

use jangada_node::event::Event;
use jangada_raft::event::{Event as RaftEvent, IgnoreReason, MessageKind, RoleChange, RoleName, VoteRefusal};
use jangada_raft::types::{Index, NodeId, Term};
use jangada_trace::{lab, lab::Lab, names::Names};

use crate::samples;

fn lab() -> Lab {
    Lab::new((1..=5).map(|id| (NodeId(id), format!("localhost:300{id}"))).collect::<Names>())
}

fn lines(lab: &mut Lab, events: &[RaftEvent]) -> Vec<String> {
    events.iter().flat_map(|event| lab.lines(&Event::Raft(*event))).collect()
}

fn append(from: u64, term: u64) -> RaftEvent {
    let (from, term) = (NodeId(from), Term(term));
    RaftEvent::Received { from, sequence: 9, term, kind: MessageKind::Heartbeat, index: Index(0), count: 0 }
}

fn role(role: RoleName, term: u64, why: RoleChange) -> RaftEvent {
    RaftEvent::RoleChanged { role, term: Term(term), why }
}

#[test]
fn start_and_end() {
    assert_eq!(
        lab().started("localhost:3001"),
        [
            "[SERVER] Listening on 'localhost:3001'",
            "[SERVER] Accepting connections.",
            "[FOLLOWER] Run Logic."
        ]
    );
    assert_eq!(lab().ended("closed"), "[SERVER] Ended accepting connections. Err: closed");
    assert_eq!(lab::INVALID_ID, "[MAIN] Invalid instance id.");
    assert_eq!(lab::RESERVED_ID, "Reserved instanceID('0')");
}

#[test]
fn each_line_begins_with_the_date() {
    assert_eq!(lab::dated(1_795_251_600, "[LEADER] Run Logic."), "2026/11/21 09:00:00 [LEADER] Run Logic.");
}

#[test]
fn a_campaign_from_timeout_to_leadership() {
    let vote = |from, granted, votes| RaftEvent::VoteReceived {
        from: NodeId(from),
        term: Term(2),
        pre_vote: false,
        granted,
        votes,
    };
    let mut lab = lab();
    let seen = lines(
        &mut lab,
        &[
            RaftEvent::TermChanged { old: Term(0), new: Term(1), from: None },
            role(RoleName::Candidate, 1, RoleChange::ElectionTimeout),
            RaftEvent::TermChanged { old: Term(1), new: Term(2), from: None },
            role(RoleName::Candidate, 2, RoleChange::ElectionTimeout),
            vote(3, false, 1),
            vote(1, true, 2),
            vote(4, true, 3),
            role(RoleName::Leader, 2, RoleChange::ElectionWon),
            RaftEvent::VoteRefused {
                to: NodeId(5),
                term: Term(2),
                pre_vote: false,
                why: VoteRefusal::IsLeader,
            },
            RaftEvent::TermChanged { old: Term(2), new: Term(3), from: Some(NodeId(5)) },
            role(RoleName::Follower, 3, RoleChange::HigherTerm),
        ],
    );
    assert_eq!(
        seen,
        [
            "[FOLLOWER] Election timeout.",
            "[CANDIDATE] Run Logic.",
            "[CANDIDATE] Running for term '1'.",
            "[CANDIDATE] Election timeout.",
            "[CANDIDATE] Run Logic.",
            "[CANDIDATE] Running for term '2'.",
            "[CANDIDATE] Vote denied by 'localhost:3003'.",
            "[CANDIDATE] Vote granted by 'localhost:3001'.",
            "[CANDIDATE] VoteCount:  2",
            "[CANDIDATE] Vote granted by 'localhost:3004'.",
            "[CANDIDATE] VoteCount:  3",
            "[CANDIDATE] Becoming leader.",
            "[LEADER] Run Logic.",
            "[LEADER] Vote denied to 'localhost:3005' for term '2'.",
            "[LEADER] Update old term '2' to new term '3' from 'localhost:3005'.",
            "[LEADER] Stepping down.",
            "[FOLLOWER] Run Logic.",
        ]
    );
}

fn accepted(to: u64) -> RaftEvent {
    let (to, term) = (NodeId(to), Term(4));
    RaftEvent::Sent { to, sequence: 3, term, kind: MessageKind::AppendAccepted, index: Index(0), count: 0 }
}

#[test]
fn a_follower_hears_its_leader_and_refuses_an_old_one() {
    let mut lab = lab();
    let ignored = RaftEvent::Ignored {
        from: NodeId(1),
        sequence: 9,
        kind: MessageKind::Heartbeat,
        why: IgnoreReason::OldTerm,
    };
    let granted = RaftEvent::VoteGranted { to: NodeId(4), term: Term(5), pre_vote: false };
    let seen = lines(
        &mut lab,
        &[append(2, 4), accepted(2), append(1, 3), ignored, accepted(1), granted, append(4, 5), accepted(4)],
    );
    assert_eq!(
        seen,
        [
            "[FOLLOWER] Reseting election timeout.",
            "[FOLLOWER] Accept AppendEntry from 'localhost:3002'.",
            "[FOLLOWER] Denied AppendEntry from 'localhost:3001'.",
            "[FOLLOWER] Reseting election timeout.",
            "[FOLLOWER] Vote accepted to 'localhost:3004' for term '5'.",
            "[FOLLOWER] Reseting election timeout.",
            "[FOLLOWER] Accept AppendEntry from 'localhost:3004'.",
        ]
    );
}

/// The role changes before the message counts: the original processed it again in the new role.
#[test]
fn a_candidate_that_meets_the_leader_steps_down_first() {
    let mut lab = lab();
    let seen = lines(
        &mut lab,
        &[
            role(RoleName::Candidate, 3, RoleChange::ElectionTimeout),
            append(2, 3),
            RaftEvent::ElectionTimerReset { after_nanos: 1 },
            role(RoleName::Follower, 3, RoleChange::LeaderFound),
            RaftEvent::LeaderKnown { leader: NodeId(2), term: Term(3) },
            accepted(2),
        ],
    );
    assert_eq!(
        seen[3..],
        [
            "[CANDIDATE] Stepping down.",
            "[FOLLOWER] Run Logic.",
            "[FOLLOWER] Reseting election timeout.",
            "[FOLLOWER] Accept AppendEntry from 'localhost:3002'.",
        ]
    );
}

#[test]
fn what_the_lab_does_not_know_gives_no_line() {
    let mut lab = lab();
    for event in samples::every_event() {
        for line in lab.lines(&event) {
            assert!(
                ["[FOLLOWER] ", "[PRECANDIDATE] ", "[CANDIDATE] ", "[LEADER] "]
                    .iter()
                    .any(|t| line.starts_with(t)),
                "{line}"
            );
        }
        if !matches!(event, Event::Raft(_)) {
            assert!(lab.lines(&event).is_empty());
        }
    }
}
