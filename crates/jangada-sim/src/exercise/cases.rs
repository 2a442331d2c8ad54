//! Single situations, a few for each hole: what a server is, what it hears, and what the paper wants of it then.
//!
//! They stand here as a table, so that they can be read beside Figure 2. Server n1 of five hears something in term 3, of
//! which it is a follower, a candidate or the leader.

use std::collections::BTreeSet;

use jangada_raft::event::RoleName;
use jangada_raft::types::{NodeId, Term};

use super::message::{AppendEntries, AppendEntriesReply, RequestVote, RequestVoteReply, Rpc};
use super::server::Server;

/// The server that hears, and its term.
const ME: NodeId = NodeId(1);
const NOW: u64 = 3;

/// One situation.
pub(super) struct Case {
    pub(super) hole: u8,
    pub(super) given: Server,
    pub(super) heard: Rpc,
    pub(super) then: Then,
    /// The rule, in a sentence.
    pub(super) rule: &'static str,
    /// Where it stands.
    pub(super) source: &'static str,
}

/// What must be so afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Then {
    /// The answer; `None` where there is none.
    pub(super) yes: Option<bool>,
    pub(super) role: RoleName,
    pub(super) term: u64,
    pub(super) voted_for: Option<u64>,
    /// A candidate's votes.
    pub(super) votes: Option<usize>,
    /// Whether the election timeout begins anew; `None`: either is right.
    pub(super) reset: Option<bool>,
}

/// What each hole is for.
pub(super) fn about(hole: u8) -> &'static str {
    match hole {
        1 => "a follower is asked for its vote",
        2 => "a follower hears a leader",
        3 => "a candidate is asked for its vote",
        4 => "a candidate is answered",
        5 => "a candidate hears a leader",
        6 => "a leader is asked for its vote",
        7 => "a leader hears another leader",
        _ => "a leader is answered",
    }
}

/// Where the rules of a hole stand.
pub(super) fn section(hole: u8) -> &'static str {
    match hole {
        1 => "paper §5.2; Figure 2, RequestVote, rules 1 and 2",
        2 => "paper §5.2; Figure 2, AppendEntries, rule 1",
        3 | 6 => "paper §5.1, §5.2; Figure 2, all servers",
        4 => "paper §5.2; Figure 2, candidates",
        5 => "paper §5.2; Figure 2, candidates",
        _ => "paper §5.1; Figure 2, all servers",
    }
}

fn follower(voted_for: Option<u64>) -> Server {
    Server::new(ME, 5, Term(NOW), voted_for.map(NodeId))
}

fn candidate(votes: &[u64]) -> Server {
    let mut server = follower(Some(1));
    server.role = RoleName::Candidate;
    server.votes = votes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    server
}

fn leader() -> Server {
    Server { role: RoleName::Leader, ..candidate(&[1, 2, 3]) }
}

fn ask(from: u64, term: u64) -> Rpc {
    Rpc::RequestVote(RequestVote { term: Term(term), candidate: NodeId(from) })
}

fn vote(from: u64, term: u64, vote_granted: bool) -> Rpc {
    Rpc::RequestVoteReply(RequestVoteReply { term: Term(term), from: NodeId(from), vote_granted })
}

fn heartbeat(from: u64, term: u64) -> Rpc {
    Rpc::AppendEntries(AppendEntries { term: Term(term), leader: NodeId(from) })
}

fn answer(from: u64, term: u64, success: bool) -> Rpc {
    Rpc::AppendEntriesReply(AppendEntriesReply { term: Term(term), from: NodeId(from), success })
}

const FOLLOWS: RoleName = RoleName::Follower;
const CAMPAIGNS: RoleName = RoleName::Candidate;
const LEADS: RoleName = RoleName::Leader;

/// It answers, and is this afterwards; its timeout begins anew or does not.
fn says(yes: bool, role: RoleName, term: u64, voted_for: Option<u64>, reset: bool) -> Then {
    Then { yes: Some(yes), role, term, voted_for, votes: None, reset: Some(reset) }
}

/// The same where a timeout that begins anew makes no difference.
fn says_either(yes: bool, role: RoleName, term: u64, voted_for: Option<u64>) -> Then {
    Then { reset: None, ..says(yes, role, term, voted_for, false) }
}

/// It answers nothing.
fn becomes(role: RoleName, term: u64, voted_for: Option<u64>, votes: Option<usize>) -> Then {
    Then { yes: None, role, term, voted_for, votes, reset: None }
}

type Row = (u8, Server, Rpc, Then, &'static str, &'static str);

/// All of them, the holes in order.
pub(super) fn all() -> Vec<Case> {
    let rows =
        [followers(), candidates(), candidates_are_answered(), candidates_hear_leaders(), leaders()].concat();
    let case = |(hole, given, heard, then, rule, source)| Case { hole, given, heard, then, rule, source };
    rows.into_iter().map(case).collect()
}

fn followers() -> Vec<Row> {
    vec![
        (
            1,
            follower(None),
            ask(2, 3),
            says(true, FOLLOWS, 3, Some(2), true),
            "a vote that is free goes to whoever asks first",
            "paper §5.2; Figure 2, RequestVote, rule 2",
        ),
        (
            1,
            follower(Some(4)),
            ask(2, 3),
            says(false, FOLLOWS, 3, Some(4), false),
            "a server votes for one candidate in a term, and a refusal does not put its own campaign off",
            "paper §5.2",
        ),
        (
            1,
            follower(Some(2)),
            ask(2, 3),
            says_either(true, FOLLOWS, 3, Some(2)),
            "who asks again, because the answer was lost, is told the same",
            "Figure 2, RequestVote, rule 2",
        ),
        (
            1,
            follower(Some(4)),
            ask(2, 5),
            says(true, FOLLOWS, 5, Some(2), true),
            "a later term is entered, and brings a new vote",
            "paper §5.1; Figure 2, all servers",
        ),
        (
            1,
            follower(None),
            ask(2, 2),
            says(false, FOLLOWS, 3, None, false),
            "an old term is refused, and changes nothing",
            "Figure 2, RequestVote, rule 1",
        ),
        (
            2,
            follower(Some(4)),
            heartbeat(2, 3),
            says(true, FOLLOWS, 3, Some(4), true),
            "the leader of the term is believed, puts the campaign off, and leaves the vote alone",
            "paper §5.2",
        ),
        (
            2,
            follower(Some(4)),
            heartbeat(2, 5),
            says(true, FOLLOWS, 5, None, true),
            "a later term is entered, and nobody has its vote yet",
            "paper §5.1; Figure 2, all servers",
        ),
        (
            2,
            follower(None),
            heartbeat(2, 2),
            says(false, FOLLOWS, 3, None, false),
            "the leader of an old term is refused, and puts nothing off",
            "Figure 2, AppendEntries, rule 1",
        ),
    ]
}

fn candidates() -> Vec<Row> {
    vec![
        (
            3,
            candidate(&[1]),
            ask(2, 3),
            says(false, CAMPAIGNS, 3, Some(1), false),
            "its vote in this term is its own, and its campaign goes on as before",
            "paper §5.2",
        ),
        (
            3,
            candidate(&[1]),
            ask(2, 2),
            says(false, CAMPAIGNS, 3, Some(1), false),
            "an old term is refused, and changes nothing",
            "Figure 2, RequestVote, rule 1",
        ),
        (
            3,
            candidate(&[1]),
            ask(2, 5),
            says(true, FOLLOWS, 5, Some(2), true),
            "a later term makes it a follower, and brings a new vote",
            "paper §5.1; Figure 2, all servers",
        ),
    ]
}

fn candidates_are_answered() -> Vec<Row> {
    vec![
        (
            4,
            candidate(&[1]),
            vote(2, 3, true),
            becomes(CAMPAIGNS, 3, Some(1), Some(2)),
            "two of five are no majority",
            "paper §5.2; Figure 2, candidates",
        ),
        (
            4,
            candidate(&[1, 2]),
            vote(3, 3, true),
            becomes(LEADS, 3, Some(1), None),
            "three of five are a majority, and it leads",
            "paper §5.2; Figure 2, candidates",
        ),
        (
            4,
            candidate(&[1, 2]),
            vote(2, 3, true),
            becomes(CAMPAIGNS, 3, Some(1), Some(2)),
            "the same server twice is one vote",
            "paper §5.2",
        ),
        (
            4,
            candidate(&[1, 2]),
            vote(3, 3, false),
            becomes(CAMPAIGNS, 3, Some(1), Some(2)),
            "a refusal is no vote",
            "paper §5.2",
        ),
        (
            4,
            candidate(&[1, 2]),
            vote(3, 2, true),
            becomes(CAMPAIGNS, 3, Some(1), Some(2)),
            "a vote of an earlier campaign does not count in this one",
            "paper §5.1, §5.2",
        ),
        (
            4,
            candidate(&[1, 2]),
            vote(3, 5, false),
            becomes(FOLLOWS, 5, None, None),
            "whoever answers in a later term ends the campaign",
            "paper §5.1; Figure 2, all servers",
        ),
    ]
}

fn candidates_hear_leaders() -> Vec<Row> {
    vec![
        (
            5,
            candidate(&[1, 2]),
            heartbeat(2, 3),
            says(true, FOLLOWS, 3, Some(1), true),
            "the leader of the term has won: it follows, and its vote of the term stays given",
            "paper §5.2; Figure 2, candidates",
        ),
        (
            5,
            candidate(&[1, 2]),
            heartbeat(2, 5),
            says(true, FOLLOWS, 5, None, true),
            "a later term is entered, and nobody has its vote yet",
            "paper §5.1; Figure 2, all servers",
        ),
        (
            5,
            candidate(&[1, 2]),
            heartbeat(2, 2),
            says(false, CAMPAIGNS, 3, Some(1), false),
            "the leader of an old term is refused, and the campaign goes on",
            "paper §5.2",
        ),
    ]
}

fn leaders() -> Vec<Row> {
    vec![
        (
            6,
            leader(),
            ask(2, 3),
            says_either(false, LEADS, 3, Some(1)),
            "its vote in this term is its own, and it leads on",
            "paper §5.2",
        ),
        (
            6,
            leader(),
            ask(2, 2),
            says_either(false, LEADS, 3, Some(1)),
            "an old term is refused, and changes nothing",
            "Figure 2, RequestVote, rule 1",
        ),
        (
            6,
            leader(),
            ask(2, 5),
            says_either(true, FOLLOWS, 5, Some(2)),
            "a later term makes it a follower, and brings a new vote",
            "paper §5.1; Figure 2, all servers",
        ),
        (
            7,
            leader(),
            heartbeat(2, 2),
            says_either(false, LEADS, 3, Some(1)),
            "the leader of an old term is refused, and learns the newer term from that",
            "paper §5.1",
        ),
        (
            7,
            leader(),
            heartbeat(2, 5),
            says_either(true, FOLLOWS, 5, None),
            "the leader of a later term is followed",
            "paper §5.1; Figure 2, all servers",
        ),
        (
            8,
            leader(),
            answer(2, 3, true),
            becomes(LEADS, 3, Some(1), None),
            "a follower agrees, and it leads on",
            "paper §5.2",
        ),
        (
            8,
            leader(),
            answer(2, 5, false),
            becomes(FOLLOWS, 5, None, None),
            "a refusal from a later term ends its leadership",
            "paper §5.1; Figure 2, all servers",
        ),
        (
            8,
            leader(),
            answer(2, 2, false),
            becomes(LEADS, 3, Some(1), None),
            "a late refusal of an earlier term means nothing now",
            "paper §5.1",
        ),
    ]
}
