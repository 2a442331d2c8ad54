//! What a solution gets right: each hole in its situations, one after the other.

use jangada_raft::event::RoleName;
use jangada_raft::types::NodeId;

use super::Election;
use super::cases::{Case, Then};
use super::message::Rpc;
use super::server::Server;

/// What is wrong in this situation.
pub(super) enum Wrong {
    /// A hole that is empty was fallen into: this one.
    Empty(u8),
    /// In a sentence.
    Otherwise(String),
}

/// Puts a solution into a situation.
pub(super) fn try_one<E: Election>(case: &Case) -> Result<(), Wrong> {
    let mut server = case.given.clone();
    let answer = server.hear::<E>(case.heard);
    if let Some(hole) = server.fell_into.first() {
        return Err(Wrong::Empty(*hole));
    }
    let differences = differences(case.then, &server, answer);
    if differences.is_empty() {
        return Ok(());
    }
    let (given, heard, wrong) = (situation(&case.given), told(case.heard), differences.join("; "));
    Err(Wrong::Otherwise(format!("{given} {heard}: {wrong}\n{} [{}]", case.rule, case.source)))
}

fn differences(then: Then, server: &Server, answer: Option<Rpc>) -> Vec<String> {
    let mut wrong = Vec::new();
    let (yes, in_term) = match answer {
        Some(Rpc::RequestVoteReply(reply)) => (Some(reply.vote_granted), Some(reply.term)),
        Some(Rpc::AppendEntriesReply(reply)) => (Some(reply.success), Some(reply.term)),
        _ => (None, None),
    };
    if let (Some(wanted), Some(yes)) = (then.yes, yes)
        && wanted != yes
    {
        wrong.push(format!("it answered {}", if yes { "yes" } else { "no" }));
    }
    if server.role() != then.role {
        wrong.push(format!("it was {} afterwards, not {}", role(server.role()), role(then.role)));
    }
    if server.current_term.0 != then.term {
        wrong.push(format!("its term was {} afterwards, not {}", server.current_term, then.term));
    }
    if let Some(in_term) = in_term.filter(|in_term| in_term.0 != then.term) {
        wrong.push(format!("its answer carried term {in_term}, not {}", then.term));
    }
    if server.voted_for != then.voted_for.map(NodeId) {
        let wanted = then.voted_for.map(NodeId);
        wrong.push(format!("its vote was {}, not {}", whose(server.voted_for), whose(wanted)));
    }
    if let Some(votes) = then.votes.filter(|votes| *votes != server.votes.len()) {
        wrong.push(format!("it counted {}, not {votes}", server.votes.len()));
    }
    if then.reset.is_some_and(|reset| reset != server.was_reset) {
        let is = if server.was_reset { "began anew" } else { "did not begin anew" };
        wrong.push(format!("its election timeout {is}"));
    }
    wrong
}

/// `a follower of term 3 that voted for n4`.
fn situation(server: &Server) -> String {
    let (role, term) = (role(server.role()), server.current_term);
    match server.role() {
        RoleName::Follower => match server.voted_for {
            None => format!("{role} of term {term} that has not voted"),
            Some(id) => format!("{role} of term {term} that voted for {id}"),
        },
        RoleName::PreCandidate | RoleName::Candidate => {
            format!("{role} of term {term} with {} of {} votes", server.votes.len(), server.servers)
        }
        RoleName::Leader => format!("{role} of term {term}"),
    }
}

fn told(heard: Rpc) -> String {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    match heard {
        Rpc::RequestVote(ask) => format!("is asked by {} for its vote in term {}", ask.candidate, ask.term),
        Rpc::RequestVoteReply(reply) => {
            format!("is answered {} by {} in term {}", yes(reply.vote_granted), reply.from, reply.term)
        }
        Rpc::AppendEntries(ask) => format!("hears {} lead in term {}", ask.leader, ask.term),
        Rpc::AppendEntriesReply(reply) => {
            format!("is answered {} by {} in term {}", yes(reply.success), reply.from, reply.term)
        }
    }
}

fn role(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "a follower",
        RoleName::PreCandidate | RoleName::Candidate => "a candidate",
        RoleName::Leader => "a leader",
    }
}

fn whose(vote: Option<NodeId>) -> String {
    vote.map_or("nobody's".to_owned(), |id| format!("{id}'s"))
}
