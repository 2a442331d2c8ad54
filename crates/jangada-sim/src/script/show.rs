//! Looking at the servers: `show` and `why`.

use std::collections::BTreeSet;

use jangada_node::frame::Frame;
use jangada_raft::Raft;
use jangada_raft::event::RoleName;
use jangada_raft::types::NodeId;
use jangada_trace::phrases::span;

use super::cluster::Cluster;
use super::command::{Message, View};
use super::help;
use super::network::{Filter, Parcel};

/// One line for each server, link or message.
pub(crate) fn view(cluster: &Cluster, view: View) -> Vec<String> {
    match view {
        View::Roles => each(cluster, role),
        View::Log => each(cluster, log),
        View::Terms => each(cluster, term),
        View::Members => each(cluster, members),
        View::Network => network(cluster),
    }
}

/// Most lines of each view below a failure.
const MAX_SHOWN: usize = 12;

/// What somebody wants to see whose expectation has failed.
pub(crate) fn failure(cluster: &Cluster) -> Vec<String> {
    let mut lines = vec![format!("at {}:", jangada_trace::phrases::since_start(cluster.now))];
    for what in [View::Roles, View::Log, View::Members, View::Network] {
        let seen = view(cluster, what);
        let more = seen.len().saturating_sub(MAX_SHOWN);
        lines.extend(seen.into_iter().take(MAX_SHOWN));
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
    }
    lines
}

fn each(cluster: &Cluster, tell: impl Fn(&Raft) -> String) -> Vec<String> {
    let line = |id: &NodeId| match cluster.raft(*id) {
        Some(_) if cluster.servers[id].paused => format!("{id}  paused"),
        Some(raft) => format!("{id}  {}", tell(raft)).trim_end().to_owned(),
        None => format!("{id}  down"),
    };
    cluster.servers.keys().map(line).collect()
}

fn role_word(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "follower",
        RoleName::PreCandidate => "precandidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "LEADER",
    }
}

fn role(raft: &Raft) -> String {
    let follows = match raft.leader() {
        Some(leader) if leader != raft.id() => format!("  follows {leader}"),
        _ => String::new(),
    };
    format!(
        "{:<12} term {}  last {}  committed {}{follows}",
        role_word(raft.role_name()),
        raft.term(),
        raft.last_index(),
        raft.commit_index()
    )
}

/// The terms of the entries; `|` stands behind what is committed, `[1-3]` for a snapshot.
fn log(raft: &Raft) -> String {
    let mut words = Vec::new();
    let first = raft.first_index();
    if first.0 > 1 {
        words.push(format!("[1-{}]", first.previous()));
    }
    let bar = |words: &mut Vec<String>, at| {
        if at == raft.commit_index() {
            words.push("|".into());
        }
    };
    bar(&mut words, first.previous());
    for entry in raft.entries(first..=raft.last_index()) {
        words.push(entry.term.to_string());
        bar(&mut words, entry.index);
    }
    words.join(" ")
}

fn term(raft: &Raft) -> String {
    let vote = raft.voted_for().map_or_else(|| "no vote".into(), |id| format!("vote for {id}"));
    format!("term {}, {vote}", raft.term())
}

fn set(servers: &BTreeSet<NodeId>) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn members(raft: &Raft) -> String {
    let membership = raft.membership();
    let mut out = match &membership.outgoing {
        Some(outgoing) => format!("joint: {} → {}", set(outgoing), set(&membership.voters)),
        None => set(&membership.voters),
    };
    if !membership.learners.is_empty() {
        out = format!("{out}, learners {}", set(&membership.learners));
    }
    let committed = if raft.committed_membership() == membership { "" } else { ", not committed" };
    format!("{out} (entry {}{committed})", raft.membership_index())
}

fn network(cluster: &Cluster) -> Vec<String> {
    let known = |(from, to): &(NodeId, NodeId)| {
        cluster.servers.contains_key(from) && cluster.servers.contains_key(to)
    };
    let cuts = cluster.network.cuts().filter(known).map(|(from, to)| format!("cut   {from} -> {to}"));
    let all = Filter::default();
    let held = cluster.network.held(&all).map(|parcel| format!("held  {}", parcel_words(parcel)));
    cuts.chain(held).collect()
}

fn parcel_words(parcel: &Parcel) -> String {
    let Parcel { from, to, message, frame } = parcel;
    let word = help::MESSAGES[place(*message)];
    match frame {
        Frame::Raft(raft) => {
            let (_, index, count) = raft.rpc.gist();
            match message {
                Message::Append => {
                    format!("{from} -> {to} {word}, term {}, {count} after {index}", raft.term)
                }
                Message::VoteReply | Message::PreVoteReply => {
                    let what = if count == 1 { "granted" } else { "refused" };
                    format!("{from} -> {to} {word}, term {}: {what}", raft.term)
                }
                _ => format!("{from} -> {to} {word}, term {}", raft.term),
            }
        }
        Frame::Forward { .. } | Frame::ForwardReply { .. } => format!("{from} -> {to} {word}"),
    }
}

/// Where a kind stands in [`help::MESSAGES`].
fn place(message: Message) -> usize {
    match message {
        Message::PreVote => 0,
        Message::PreVoteReply => 1,
        Message::Vote => 2,
        Message::VoteReply => 3,
        Message::Append => 4,
        Message::Heartbeat => 5,
        Message::AppendReply => 6,
        Message::Snapshot => 7,
        Message::SnapshotReply => 8,
        Message::TimeoutNow => 9,
        Message::ReadIndex => 10,
        Message::ReadIndexReply => 11,
        Message::Forward => 12,
    }
}

/// What a server does, and what it waits for.
pub(crate) fn why(cluster: &Cluster, id: NodeId) -> String {
    let Some(raft) = cluster.raft(id) else { return format!("{id} is down: `restart {}`", id.0) };
    if cluster.servers[&id].paused {
        return format!("{id} stands still: `resume {}`", id.0);
    }
    let voters = raft.membership().all_voters();
    let hears = |other: &&NodeId| {
        **other != id && cluster.raft(**other).is_some() && !cluster.network.is_cut(**other, id)
    };
    let heard: Vec<String> = voters.iter().filter(hears).map(ToString::to_string).collect();
    let hears = if heard.is_empty() { "nobody".into() } else { heard.join(" ") };
    let (needs, of) = (voters.len() / 2 + 1, voters.len());
    match raft.role_name() {
        RoleName::Leader if raft.has_committed_own_term() => {
            format!(
                "{id} leads term {}: it hears {hears}, and needs {needs} of {of}, itself counted",
                raft.term()
            )
        }
        RoleName::Leader => format!(
            "{id} leads term {} and has committed nothing of it yet: it needs {needs} of {of} disks, and hears \
             {hears} [paper §8]",
            raft.term()
        ),
        role @ (RoleName::PreCandidate | RoleName::Candidate) => format!(
            "{id} is {}: it needs {needs} of {of} votes and hears {hears} [paper §5.2; thesis §9.6]",
            role_word(role)
        ),
        RoleName::Follower => match (raft.leader(), raft.leader_last_heard()) {
            (Some(leader), Some(heard)) => {
                format!("{id} follows {leader}, heard {} ago", span(cluster.now.since(heard)))
            }
            _ if !raft.membership().is_voter(id) => {
                format!("{id} has no vote in its configuration: it waits to be added")
            }
            _ => format!("{id} knows no leader, and campaigns when its election timeout is over"),
        },
    }
}
