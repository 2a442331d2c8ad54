//! Looking at the servers: `show` and `why`.

use std::collections::BTreeSet;

use jangada_raft::event::RoleName;
use jangada_raft::types::NodeId;
use jangada_trace::phrases::span;

use super::cluster::{Cluster, Filter, Held, View as Seen};
use super::command::{Message, View};
use super::help;

/// One line for each server, link or message.
pub(crate) fn view<C: Cluster>(cluster: &C, view: View) -> Vec<String> {
    match view {
        View::Roles => each(cluster, role),
        View::Log => each(cluster, |view| log(cluster, view)),
        View::Terms => each(cluster, term),
        View::Members => each(cluster, members),
        View::Network => network(cluster),
    }
}

/// Most lines of each view below a failure.
const MAX_SHOWN: usize = 12;

/// What somebody wants to see whose expectation has failed.
pub(crate) fn failure<C: Cluster>(cluster: &C) -> Vec<String> {
    let mut lines = vec![format!("at {}:", jangada_trace::phrases::since_start(cluster.now()))];
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

fn each<C: Cluster>(cluster: &C, tell: impl Fn(&Seen<'_>) -> String) -> Vec<String> {
    let line = |id: NodeId| match cluster.view(id) {
        Some(_) if cluster.is_paused(id) => format!("{id}  paused"),
        Some(view) => format!("{id}  {}", tell(&view)).trim_end().to_owned(),
        None => format!("{id}  down"),
    };
    cluster.servers().into_iter().map(line).collect()
}

fn role_word(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "follower",
        RoleName::PreCandidate => "precandidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "LEADER",
    }
}

fn role(view: &Seen<'_>) -> String {
    let follows = match view.leader {
        Some(leader) if leader != view.id => format!("  follows {leader}"),
        _ => String::new(),
    };
    format!(
        "{:<12} term {}  last {}  committed {}{follows}",
        role_word(view.role),
        view.term,
        view.last_index,
        view.commit_index
    )
}

/// The terms of the entries; `|` stands behind what is committed, `[1-3]` for a snapshot.
fn log<C: Cluster>(cluster: &C, view: &Seen<'_>) -> String {
    let mut words = Vec::new();
    let mut index = view.first_index.previous();
    if index.0 > 0 {
        words.push(format!("[1-{index}]"));
    }
    let bar = |words: &mut Vec<String>, at| {
        if at == view.commit_index {
            words.push("|".into());
        }
    };
    bar(&mut words, index);
    for term in cluster.log_terms(view.id) {
        index = index.next();
        words.push(term.to_string());
        bar(&mut words, index);
    }
    words.join(" ")
}

fn term(view: &Seen<'_>) -> String {
    let vote = view.voted_for.map_or_else(|| "no vote".into(), |id| format!("vote for {id}"));
    format!("term {}, {vote}", view.term)
}

fn set(servers: &BTreeSet<NodeId>) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn members(view: &Seen<'_>) -> String {
    let membership = &view.membership;
    let mut out = match &membership.outgoing {
        Some(outgoing) => format!("joint: {} → {}", set(outgoing), set(&membership.voters)),
        None => set(&membership.voters),
    };
    if !membership.learners.is_empty() {
        out = format!("{out}, learners {}", set(&membership.learners));
    }
    let committed = if view.membership_is_committed { "" } else { ", not committed" };
    format!("{out} (entry {}{committed})", view.membership_index)
}

fn network<C: Cluster>(cluster: &C) -> Vec<String> {
    let servers = cluster.servers();
    let links = servers.iter().flat_map(|from| servers.iter().map(move |to| (*from, *to)));
    let cuts = links.filter(|(from, to)| from != to && cluster.is_cut(*from, *to));
    let cuts = cuts.map(|(from, to)| format!("cut   {from} -> {to}"));
    let held = cluster.held(&Filter::default());
    cuts.chain(held.iter().map(|held| format!("held  {}", held_words(held)))).collect()
}

fn held_words(held: &Held) -> String {
    let Held { from, to, message, gist, .. } = held;
    let word = help::MESSAGES[place(*message)];
    let comma = if gist.is_empty() { "" } else { ", " };
    format!("{from} -> {to} {word}{comma}{gist}")
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
pub(crate) fn why<C: Cluster>(cluster: &C, id: NodeId) -> String {
    let Some(view) = cluster.view(id) else { return format!("{id} is down: `restart {}`", id.0) };
    if cluster.is_paused(id) {
        return format!("{id} stands still: `resume {}`", id.0);
    }
    let voters = view.membership.all_voters();
    let hears =
        |other: &&NodeId| **other != id && cluster.view(**other).is_some() && !cluster.is_cut(**other, id);
    let heard: Vec<String> = voters.iter().filter(hears).map(ToString::to_string).collect();
    let hears = if heard.is_empty() { "nobody".into() } else { heard.join(" ") };
    let (needs, of) = (voters.len() / 2 + 1, voters.len());
    match view.role {
        RoleName::Leader if view.rules => {
            format!(
                "{id} leads term {}: it hears {hears}, and needs {needs} of {of}, itself counted",
                view.term
            )
        }
        RoleName::Leader => format!(
            "{id} leads term {} and has committed nothing of it yet: it needs {needs} of {of} disks, and hears \
             {hears} [paper §8]",
            view.term
        ),
        role @ (RoleName::PreCandidate | RoleName::Candidate) => format!(
            "{id} is {}: it needs {needs} of {of} votes and hears {hears} [paper §5.2; thesis §9.6]",
            role_word(role)
        ),
        RoleName::Follower => match (view.leader, view.leader_last_heard) {
            (Some(leader), Some(heard)) => {
                format!("{id} follows {leader}, heard {} ago", span(cluster.now().since(heard)))
            }
            _ if !view.membership.is_voter(id) => {
                format!("{id} has no vote in its configuration: it waits to be added")
            }
            _ => format!("{id} knows no leader, and campaigns when its election timeout is over"),
        },
    }
}
