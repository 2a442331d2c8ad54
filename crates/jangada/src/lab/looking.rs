//! What somebody sees who looks at the servers: who leads, how each of them is, what is wrong with the links.

use std::collections::BTreeMap;

use jangada_raft::event::RoleName;
use jangada_raft::types::NodeId;
use jangada_sim::script::cluster::{Cluster, View};
use jangada_sim::script::command::Server;

use super::backend::Backend;
use super::session::{Session, there_are};

impl<B: Backend> Session<B> {
    fn views(&self) -> BTreeMap<NodeId, Option<View<'_>>> {
        views(self.stage.as_cluster())
    }

    pub(super) fn leader(&self) -> String {
        leader(self.stage.as_cluster())
    }

    pub(super) fn status(&self) -> Vec<String> {
        let live = self.stage.as_cluster();
        let mut lines = vec![self.leader()];
        for (id, view) in self.views() {
            let address = live.address(id).unwrap_or_default();
            let state = match &view {
                None => "down".to_owned(),
                Some(_) if live.is_paused(id) => "stands still".to_owned(),
                Some(view) => role(view),
            };
            let numbers = view.filter(|_| !live.is_paused(id)).map_or_else(String::new, |view| {
                format!(
                    "term {:<4} log {:<6} committed {:<6}",
                    view.term.0, view.last_index.0, view.commit_index.0
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
            lines.push(format!("  cut: {} (`heal` mends all)", cut.join(" ")));
        }
        if loss > 0 {
            lines.push(format!("  {loss} % of all messages are lost (`lose 0%` ends it)"));
        }
        if !delay.is_zero() {
            lines.push(format!("  every message takes {delay:?} longer (`slow 0s` ends it)"));
        }
        lines
    }

    pub(super) fn log(&mut self, server: &Server) -> Result<Vec<String>, String> {
        let views = self.views();
        let id = match server {
            Server::Number(number) => NodeId(*number),
            Server::Leader => {
                let leaders = views.values().flatten().filter(|view| view.is_leader());
                leaders.max_by_key(|view| view.term).map(|view| view.id).ok_or("nobody leads")?
            }
            Server::Follower(_) | Server::Named(_) | Server::All => {
                return Err("say which one: `log 2`, `log leader`, or `log` for all".into());
            }
        };
        let known: Vec<NodeId> = views.keys().copied().collect();
        match views.get(&id) {
            None => Err(format!("there is no {id}: {}", there_are(&known))),
            Some(None) => Err(format!("{id} is down, and its log with it: `restart {}`", id.0)),
            Some(Some(_)) => Ok(self.stage.as_cluster().log_lines(id)),
        }
    }
}

fn role(view: &View<'_>) -> String {
    match (view.role, view.leader) {
        (RoleName::Leader, _) => "★ LEADER".into(),
        (RoleName::Candidate, _) => "Candidate".into(),
        (RoleName::PreCandidate, _) => "PreCandidate".into(),
        (RoleName::Follower, Some(leader)) => format!("follower of {leader}"),
        (RoleName::Follower, None) if !view.membership.is_voter(view.id) => "no member".into(),
        (RoleName::Follower, None) => "follower, no leader".into(),
    }
}

fn views<B: Cluster>(cluster: &B) -> BTreeMap<NodeId, Option<View<'_>>> {
    cluster.servers().into_iter().map(|id| (id, cluster.view(id))).collect()
}

/// Who leads, or why nobody does.
pub(super) fn leader<B: Cluster>(cluster: &B) -> String {
    let views = views(cluster);
    let leaders = views.values().flatten().filter(|view| view.is_leader());
    match leaders.max_by_key(|view| view.term) {
        Some(view) if cluster.is_paused(view.id) => {
            format!("{} led term {} before it stood still", view.id, view.term)
        }
        Some(view) => format!("{} leads term {}", view.id, view.term),
        None => format!("nobody leads: {}", why_nobody(cluster, &views)),
    }
}

fn why_nobody<B: Cluster>(cluster: &B, views: &BTreeMap<NodeId, Option<View<'_>>>) -> String {
    let Some(view) = views.values().flatten().max_by_key(|view| view.term) else {
        return "no server runs; `restart all` starts them".into();
    };
    let voters = view.membership.all_voters();
    let needs = voters.len() / 2 + 1;
    let there = voters
        .iter()
        .filter(|id| views.get(id).is_some_and(Option::is_some) && !cluster.is_paused(**id))
        .count();
    if there < needs {
        return format!("{there} of {} voters run, and {needs} must agree [paper §5.2]", voters.len());
    }
    "an election is under way, or the links do not let a majority hear one another (`show network`)".into()
}
