//! The space-time diagram.

use jangada_node::event::{Event, Record};
use jangada_raft::event::{Event as RaftEvent, MessageKind, RoleChange, RoleName};
use jangada_raft::types::{Index, NodeId, Term, Time};
use jangada_trace::names::Names;
use jangada_trace::timeline::{Style, draw};

fn at(micros: u64, node: u64, seq: u64, event: RaftEvent) -> Record {
    Record { time: Time(micros * 1_000), node: NodeId(node), seq, event: Event::Raft(event) }
}

fn sent(to: u64, sequence: u64, kind: MessageKind) -> RaftEvent {
    RaftEvent::Sent { to: NodeId(to), sequence, term: Term(1), kind, index: Index(0), count: 1 }
}

fn received(from: u64, sequence: u64, kind: MessageKind) -> RaftEvent {
    RaftEvent::Received { from: NodeId(from), sequence, term: Term(1), kind, index: Index(0), count: 1 }
}

/// n2 asks for votes; n1's answer arrives, n3's does not.
fn election() -> Vec<Record> {
    use MessageKind::{Heartbeat, Vote, VoteReply};
    let role = |role, why| RaftEvent::RoleChanged { role, term: Term(1), why };
    vec![
        at(213_000, 2, 1, role(RoleName::Candidate, RoleChange::PreVoteWon)),
        at(213_000, 2, 2, sent(1, 7, Vote)),
        at(213_000, 2, 3, sent(3, 8, Vote)),
        at(213_500, 1, 1, received(2, 7, Vote)),
        at(213_600, 3, 1, received(2, 8, Vote)),
        at(214_000, 1, 2, sent(2, 1, VoteReply)),
        at(214_100, 3, 2, sent(1, 1, VoteReply)),
        at(214_200, 1, 3, received(3, 1, VoteReply)),
        at(214_500, 3, 3, sent(2, 2, VoteReply)),
        at(214_700, 2, 4, received(1, 1, VoteReply)),
        at(214_700, 2, 5, role(RoleName::Leader, RoleChange::ElectionWon)),
        at(214_800, 2, 6, sent(1, 9, Heartbeat)),
        at(215_000, 2, 7, RaftEvent::Committed { index: Index(3), term: Term(1) }),
    ]
}

#[test]
fn an_election_in_two_alphabets() {
    let drawn = draw(&election(), &Names::new(), Style::default());
    let expected = [
        " t (ms)      n1            n2            n3",
        "  213.000    │             C             │   n2 candidate in term 1: pre_vote_won",
        "  213.000    │◀────vote────●────vote────▶│",
        "  214.000    ●─vote_reply─▶│             │",
        "  214.100    │◀─vote_reply───────────────●",
        "  214.500    │             │✕┄┄┄┄┄┄┄┄┄┄┄┄●   vote_reply to n2 lost",
        "  214.700    │             L             │   n2 leader in term 1: election_won",
        "  215.000    │             +             │   n2 committed 3",
        "",
    ];
    let expected = expected.join("\n");
    assert_eq!(drawn, expected, "\n{drawn}");
    let ascii = draw(&election(), &Names::new(), Style { ascii: true, heartbeats: true });
    assert!(ascii.is_ascii(), "{ascii}");
    assert!(ascii.contains("heartbeat to n1 lost"), "{ascii}");
    assert_eq!(draw(&[], &Names::new(), Style::default()), " t (ms)\n");
}
