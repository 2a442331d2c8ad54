//! A way through the states, in words.

use std::fmt;

use jangada_raft::event::RoleName;
use jangada_raft::message::{AppendOutcome, Message, Rpc};
use jangada_raft::types::{Entry, Payload};

use super::invariant::Broken;
use super::local::Local;
use super::world::{Action, Kind, World};
use crate::check::Invariant;

/// How it came to a state that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// What is broken in the end.
    pub invariant: Invariant,
    /// By whom, and how.
    pub sentence: String,
    /// One step a line, from the beginning.
    pub steps: Vec<String>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is broken: {}", self.invariant, self.sentence)?;
        for (step, number) in self.steps.iter().zip(1..) {
            writeln!(f, "{number:3}. {step}")?;
        }
        Ok(())
    }
}

/// Goes the way again, and says what happens.
pub(super) fn tell(world: &mut World<'_>, way: &[Action], broken: &Broken) -> Story {
    let mut words = world.first();
    let mut next = Vec::new();
    let mut steps = Vec::new();
    for action in way {
        let mut line = what(world, &words, *action);
        // The last step may be the one that cannot be taken.
        if world.apply(&words, *action, &mut next).is_ok() {
            let server = action.server();
            let news = news(world.local_at(&words, server), world.local_at(&next, server));
            if !news.is_empty() {
                line = format!("{line}: {}", news.join(", "));
            }
            std::mem::swap(&mut words, &mut next);
        }
        steps.push(line);
    }
    Story { invariant: broken.invariant, sentence: broken.sentence.clone(), steps }
}

fn what(world: &World<'_>, words: &[u32], action: Action) -> String {
    let local = world.local_at(words, action.server());
    let id = local.id();
    match action.kind() {
        Kind::Deliver => format!("{id} gets {}", in_words(world.message(action.argument()))),
        Kind::Heartbeat if local.raft.is_leader() => format!("{id} sends heartbeats"),
        Kind::Heartbeat => format!("{id} asks again"),
        Kind::Protection => format!("{id} has not heard of a leader for a while"),
        Kind::Election if local.raft.is_leader() => format!("{id} hears no majority"),
        Kind::Election => format!("the election timer of {id} rings"),
        Kind::Propose => format!("a client proposes a command to {id}"),
        Kind::Change => {
            let (_, wish) = &world.config.wishes[action.argument() as usize];
            let wish: Vec<String> = wish.iter().map(|id| format!("n{id}")).collect();
            format!("{id} is asked to make [{}] the voters", wish.join(" "))
        }
        Kind::Written => format!("the disk of {id} has written what it was given first"),
        Kind::Crash => match (local.writes(), action.argument()) {
            (0, _) => format!("{id} crashes and starts again"),
            (all, done) => format!("{id} crashes, with {done} of {all} writes done, and starts again"),
        },
    }
}

/// What is different at a server.
fn news(before: &Local, after: &Local) -> Vec<String> {
    let (old, new) = (&before.raft, &after.raft);
    let mut news = Vec::new();
    if (old.role_name(), old.term()) != (new.role_name(), new.term()) {
        let role = match new.role_name() {
            RoleName::Follower => "follower",
            RoleName::PreCandidate => "pre-candidate",
            RoleName::Candidate => "candidate",
            RoleName::Leader => "leader",
        };
        news.push(format!("{role} in term {}", new.term()));
    }
    let own = matches!(new.role_name(), RoleName::Candidate | RoleName::Leader);
    if (old.term(), old.voted_for()) != (new.term(), new.voted_for()) && !own {
        match new.voted_for() {
            Some(candidate) => news.push(format!("votes for {candidate}")),
            None if old.term() == new.term() => news.push("its vote is gone".to_owned()),
            None => {}
        }
    }
    if old.last_index() != new.last_index() || old.last_term() != new.last_term() {
        let log: Vec<String> = after.log().map(entry).collect();
        news.push(format!("its log is now [{}]", log.join(" ")));
    }
    if old.commit_index() != new.commit_index() {
        news.push(format!("committed up to {}", new.commit_index()));
    }
    news
}

fn entry(entry: &Entry) -> String {
    let place = format!("{}@{}", entry.index, entry.term);
    match &entry.payload {
        Payload::Noop | Payload::Command(_) => place,
        Payload::Membership(membership) => {
            let names = |ids: &std::collections::BTreeSet<_>| {
                ids.iter().map(ToString::to_string).collect::<Vec<String>>().join("+")
            };
            match &membership.outgoing {
                Some(outgoing) => format!("{place}:{}→{}", names(outgoing), names(&membership.voters)),
                None => format!("{place}:{}", names(&membership.voters)),
            }
        }
    }
}

fn in_words(message: &Message) -> String {
    let Message { from, term, rpc, .. } = message;
    let what = match rpc {
        Rpc::RequestVote(ask) => {
            let name = if ask.pre_vote { "the question for a pre-vote" } else { "the request for a vote" };
            format!("{name} (log up to {}@{})", ask.last_log_index, ask.last_log_term)
        }
        Rpc::RequestVoteReply(reply) => {
            let name = if reply.pre_vote { "pre-vote" } else { "vote" };
            format!("{} {name}", if reply.vote_granted { "the" } else { "no" })
        }
        Rpc::AppendEntries(append) => {
            let entries: Vec<String> = append.entries.iter().map(entry).collect();
            let (prev, prev_term) = (append.prev_log_index, append.prev_log_term);
            let commit = append.leader_commit;
            match entries.as_slice() {
                [] => format!("a heartbeat (behind {prev}@{prev_term}, commit {commit})"),
                _ => format!("[{}] behind {prev}@{prev_term} (commit {commit})", entries.join(" ")),
            }
        }
        Rpc::AppendEntriesReply(reply) => match reply.outcome {
            AppendOutcome::Accepted { match_index } => {
                format!("the word that it holds all up to {match_index}")
            }
            AppendOutcome::Conflict { prev_log_index, .. } => {
                format!("the word that {prev_log_index} does not fit")
            }
        },
        Rpc::InstallSnapshot(_) => "a piece of a snapshot".to_owned(),
        Rpc::InstallSnapshotReply(_) => "word of a snapshot".to_owned(),
        Rpc::TimeoutNow => "the word to campaign now".to_owned(),
        Rpc::ReadIndex(_) => "a question for a read index".to_owned(),
        Rpc::ReadIndexReply(_) => "a read index".to_owned(),
    };
    format!("{what} of {from}, term {term}")
}
