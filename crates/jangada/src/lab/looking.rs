//! What somebody sees who looks at the servers: who leads, how each of them is, what is wrong with the links.

use std::collections::BTreeMap;

use jangada_raft::event::RoleName;
use jangada_raft::types::{Membership, NodeId, Term, Time};
use jangada_sim::script::cluster::{Cluster, View};
use jangada_sim::script::command::Server;
use jangada_trace::language::Language;
use jangada_trace::say;

use super::backend::Backend;
use super::help::there_are;
use super::session::Session;

impl<B: Backend> Session<B> {
    fn views(&self) -> BTreeMap<NodeId, Option<View<'_>>> {
        views(self.stage.as_cluster())
    }

    /// Without a teller, who leads is seen by looking.
    pub(super) fn stand(&self) {
        if !self.stage.has_started() {
            let mut standing = self.known.standing();
            (standing.term, standing.leader, standing.now) = (Term(0), None, Some(Time::ZERO));
            return;
        }
        let cluster = self.stage.as_cluster();
        let views: Vec<View<'_>> = cluster.servers().into_iter().filter_map(|id| cluster.view(id)).collect();
        let mut standing = self.known.standing();
        standing.term = views.iter().map(|view| view.term).max().unwrap_or_default();
        let leaders = views.iter().filter(|view| view.is_leader());
        standing.leader = leaders.max_by_key(|view| view.term).map(|view| (view.id, view.term));
        standing.now = Some(cluster.now());
    }

    pub(super) fn leader(&self) -> String {
        leader(self.language(), self.stage.as_cluster())
    }

    pub(super) fn status(&self) -> Vec<String> {
        let live = self.stage.as_cluster();
        let mut lines = vec![self.leader()];
        let views = self.views();
        let leaders = views.values().flatten().filter(|view| view.is_leader() && !live.is_paused(view.id));
        let in_force = leaders.max_by_key(|view| view.term).map(|view| view.membership.as_ref());
        for (&id, view) in &views {
            let address = live.address(id).unwrap_or_default();
            let state = match &view {
                None => say!(self.language(), "down"),
                Some(_) if live.is_paused(id) => say!(self.language(), "stands still"),
                Some(view) if is_outside(view, in_force) => say!(self.language(), "no member"),
                Some(view) => role(self.language(), view),
            };
            let numbers = view.as_ref().filter(|_| !live.is_paused(id)).map_or_else(String::new, |view| {
                let (term, log, committed) =
                    (view.term.to_string(), view.last_index.to_string(), view.commit_index.to_string());
                say!(
                    self.language(),
                    "term {term} log {log} committed {committed}",
                    term = format!("{term:<4}"),
                    log = format!("{log:<6}"),
                    committed = format!("{committed:<6}")
                )
            });
            lines.push(format!("  {id}  {state:<22} {numbers:<38} {address}").trim_end().to_owned());
        }
        lines.extend(self.weather());
        lines
    }

    fn weather(&self) -> Vec<String> {
        let live = self.stage.as_cluster();
        let servers = live.servers();
        let cut = servers.iter().flat_map(|from| servers.iter().map(move |to| (*from, *to)));
        let cut: Vec<String> = cut
            .filter(|(from, to)| from != to && live.is_cut(*from, *to))
            .map(|(from, to)| format!("{from}→{to}"))
            .collect();
        let (loss, delay) = live.weather();
        let mut lines = Vec::new();
        if !cut.is_empty() {
            lines.push(say!(self.language(), "  cut: {links} (`heal` mends all)", links = cut.join(" ")));
        }
        if loss > 0 {
            lines.push(say!(
                self.language(),
                "  {loss} % of all messages are lost (`lose 0%` ends it)",
                loss
            ));
        }
        if !delay.is_zero() {
            lines.push(say!(
                self.language(),
                "  every message takes {delay} longer (`slow 0s` ends it)",
                delay = format!("{delay:?}")
            ));
        }
        lines
    }

    pub(super) fn log(&mut self, server: &Server) -> Result<Vec<String>, String> {
        let views = self.views();
        let id = match server {
            Server::Number(number) => NodeId(*number),
            Server::Leader => {
                let leaders = views.values().flatten().filter(|view| view.is_leader());
                leaders
                    .max_by_key(|view| view.term)
                    .map(|view| view.id)
                    .ok_or_else(|| say!(self.language(), "nobody leads"))?
            }
            Server::Follower(_) | Server::Named(_) | Server::All => {
                return Err(say!(self.language(), "say which one: `log 2`, `log leader`, or `log` for all"));
            }
        };
        let known: Vec<NodeId> = views.keys().copied().collect();
        match views.get(&id) {
            None => Err(say!(
                self.language(),
                "there is no {id}: {known}",
                id,
                known = there_are(self.language(), &known)
            )),
            Some(None) => Err(say!(
                self.language(),
                "{id} is down, and its log with it: `restart {number}`",
                id,
                number = id.0
            )),
            Some(Some(_)) => Ok(self.stage.as_cluster().log_lines(self.language(), id)),
        }
    }
}

/// Whether the leader's configuration, which is the one in force, does not name this follower; it may not know that yet.
fn is_outside(view: &View<'_>, in_force: Option<&Membership>) -> bool {
    view.role == RoleName::Follower && in_force.is_some_and(|members| !members.contains(view.id))
}

fn role(language: Language, view: &View<'_>) -> String {
    match (view.role, view.leader) {
        (RoleName::Leader, _) => say!(language, "★ LEADER"),
        (RoleName::Candidate, _) => say!(language, "Candidate"),
        (RoleName::PreCandidate, _) => say!(language, "PreCandidate"),
        (RoleName::Follower, Some(leader)) => say!(language, "follower of {leader}", leader),
        (RoleName::Follower, None) if !view.membership.is_voter(view.id) => say!(language, "no member"),
        (RoleName::Follower, None) => say!(language, "follower, no leader"),
    }
}

fn views<B: Cluster>(cluster: &B) -> BTreeMap<NodeId, Option<View<'_>>> {
    cluster.servers().into_iter().map(|id| (id, cluster.view(id))).collect()
}

/// Who leads, or why nobody does.
pub(super) fn leader<B: Cluster>(language: Language, cluster: &B) -> String {
    let views = views(cluster);
    let leaders = views.values().flatten().filter(|view| view.is_leader());
    match leaders.max_by_key(|view| view.term) {
        Some(view) if cluster.is_paused(view.id) => {
            say!(language, "{id} led term {term} before it stood still", id = view.id, term = view.term)
        }
        Some(view) => say!(language, "{id} leads term {term}", id = view.id, term = view.term),
        None => say!(language, "nobody leads: {why}", why = why_nobody(language, cluster, &views)),
    }
}

fn why_nobody<B: Cluster>(
    language: Language,
    cluster: &B,
    views: &BTreeMap<NodeId, Option<View<'_>>>,
) -> String {
    let Some(view) = views.values().flatten().max_by_key(|view| view.term) else {
        return say!(language, "no server runs; `restart all` starts them");
    };
    let voters = view.membership.all_voters();
    let needs = voters.len() / 2 + 1;
    let there = voters
        .iter()
        .filter(|id| views.get(id).is_some_and(Option::is_some) && !cluster.is_paused(**id))
        .count();
    if there < needs {
        return say!(
            language,
            "{there} of {voters} voters run, and {needs} must agree [paper §5.2]",
            there,
            voters = voters.len(),
            needs
        );
    }
    if cluster.now() == Time::ZERO {
        return say!(language, "no time has passed: `run 1s`, `step` or `wait leader`");
    }
    say!(
        language,
        "an election is under way, or the links do not let a majority hear one another (`show network`)"
    )
}
