//! Looking at the servers: `show` and `why`.

use std::collections::BTreeSet;

use jangada_raft::event::RoleName;
use jangada_raft::types::NodeId;
use jangada_trace::language::Language;
use jangada_trace::phrases::span;
use jangada_trace::{said, say};

use super::cluster::{Cluster, Filter, Held, View as Seen};
use super::command::{Message, View};
use super::help;

/// One line for each server, link or message.
pub(crate) fn view<C: Cluster>(language: Language, cluster: &C, view: View) -> Vec<String> {
    match view {
        View::Roles => each(language, cluster, |view| role(language, view)),
        View::Log => each(language, cluster, |view| log(cluster, view)),
        View::Terms => each(language, cluster, |view| term(language, view)),
        View::Members => each(language, cluster, |view| members(language, view)),
        View::Network => network(language, cluster),
    }
}

/// Most lines of each view below a failure.
const MAX_SHOWN: usize = 12;

/// What somebody wants to see whose expectation has failed.
pub(crate) fn failure<C: Cluster>(language: Language, cluster: &C) -> Vec<String> {
    let mut lines =
        vec![say!(language, "at {now}:", now = jangada_trace::phrases::since_start(cluster.now()))];
    for what in [View::Roles, View::Log, View::Members, View::Network] {
        let seen = view(language, cluster, what);
        let more = seen.len().saturating_sub(MAX_SHOWN);
        lines.extend(seen.into_iter().take(MAX_SHOWN));
        if more > 0 {
            lines.push(say!(language, "and {more} more", more));
        }
    }
    lines
}

fn each<C: Cluster>(language: Language, cluster: &C, tell: impl Fn(&Seen<'_>) -> String) -> Vec<String> {
    let line = |id: NodeId| match cluster.view(id) {
        Some(_) if cluster.is_paused(id) => say!(language, "{id}  paused", id),
        Some(view) => format!("{id}  {}", tell(&view)).trim_end().to_owned(),
        None => say!(language, "{id}  down", id),
    };
    cluster.servers().into_iter().map(line).collect()
}

fn role_word(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => said!("follower"),
        RoleName::PreCandidate => said!("precandidate"),
        RoleName::Candidate => said!("candidate"),
        RoleName::Leader => said!("LEADER"),
    }
}

fn role(language: Language, view: &Seen<'_>) -> String {
    let follows = match view.leader {
        Some(leader) if leader != view.id => say!(language, "  follows {leader}", leader),
        _ => String::new(),
    };
    let numbers = say!(
        language,
        "term {term}  last {last}  committed {committed}",
        term = view.term,
        last = view.last_index,
        committed = view.commit_index
    );
    format!("{:<12} {numbers}{follows}", language.of(role_word(view.role)))
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

fn term(language: Language, view: &Seen<'_>) -> String {
    let vote =
        view.voted_for.map_or_else(|| say!(language, "no vote"), |id| say!(language, "vote for {id}", id));
    say!(language, "term {term}, {vote}", term = view.term, vote)
}

fn set(servers: &BTreeSet<NodeId>) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn members(language: Language, view: &Seen<'_>) -> String {
    let membership = &view.membership;
    let mut out = match &membership.outgoing {
        Some(outgoing) => say!(
            language,
            "joint: {outgoing} → {voters}",
            outgoing = set(outgoing),
            voters = set(&membership.voters)
        ),
        None => set(&membership.voters),
    };
    if !membership.learners.is_empty() {
        out = say!(language, "{out}, learners {learners}", out, learners = set(&membership.learners));
    }
    let committed =
        if view.membership_is_committed { String::new() } else { say!(language, ", not committed") };
    say!(
        language,
        "{out} (entry {membership_index}{committed})",
        out,
        membership_index = view.membership_index,
        committed
    )
}

fn network<C: Cluster>(language: Language, cluster: &C) -> Vec<String> {
    let servers = cluster.servers();
    let links = servers.iter().flat_map(|from| servers.iter().map(move |to| (*from, *to)));
    let cuts = links.filter(|(from, to)| from != to && cluster.is_cut(*from, *to));
    let cuts = cuts.map(|(from, to)| say!(language, "cut   {from} -> {to}", from, to));
    let held = cluster.held(&Filter::default());
    cuts.chain(held.iter().map(|held| say!(language, "held  {held}", held = held_words(held)))).collect()
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
pub(crate) fn why<C: Cluster>(language: Language, cluster: &C, id: NodeId) -> String {
    let Some(view) = cluster.view(id) else {
        return say!(language, "{id} is down: `restart {number}`", id, number = id.0);
    };
    if cluster.is_paused(id) {
        return say!(language, "{id} stands still: `resume {number}`", id, number = id.0);
    }
    let voters = view.membership.all_voters();
    let hears =
        |other: &&NodeId| **other != id && cluster.view(**other).is_some() && !cluster.is_cut(**other, id);
    let heard: Vec<String> = voters.iter().filter(hears).map(ToString::to_string).collect();
    let hears = if heard.is_empty() { say!(language, "nobody") } else { heard.join(" ") };
    let (needs, of) = (voters.len() / 2 + 1, voters.len());
    match view.role {
        RoleName::Leader if view.rules => {
            say!(
                language,
                "{id} leads term {term}: it hears {hears}, and needs {needs} of {of}, itself counted",
                id,
                term = view.term,
                hears,
                needs,
                of
            )
        }
        RoleName::Leader => say!(
            language,
            "{id} leads term {term} and has committed nothing of it yet: it needs {needs} of {of} disks, and hears \
             {hears} [paper §8]",
            id,
            term = view.term,
            needs,
            of,
            hears
        ),
        role @ (RoleName::PreCandidate | RoleName::Candidate) => say!(
            language,
            "{id} is {role}: it needs {needs} of {of} votes and hears {hears} [paper §5.2; thesis §9.6]",
            id,
            role = language.of(role_word(role)),
            needs,
            of,
            hears
        ),
        RoleName::Follower => match (view.leader, view.leader_last_heard) {
            (Some(leader), Some(heard)) => {
                say!(
                    language,
                    "{id} follows {leader}, heard {heard} ago",
                    id,
                    leader,
                    heard = span(cluster.now().since(heard))
                )
            }
            _ if !view.membership.is_voter(id) => {
                say!(language, "{id} has no vote in its configuration: it waits to be added", id)
            }
            _ => say!(language, "{id} knows no leader, and campaigns when its election timeout is over", id),
        },
    }
}
