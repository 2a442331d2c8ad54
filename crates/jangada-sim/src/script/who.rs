//! Whom a word of a command means at the moment.

use std::collections::BTreeMap;

use jangada_raft::types::{NodeId, Term};
use jangada_trace::language::Language;
use jangada_trace::say;

use super::cluster::{Cluster, MAX_SERVERS, View};
use super::command::Server;

/// The servers that run.
pub(super) fn running<C: Cluster>(cluster: &C) -> impl Iterator<Item = View<'_>> {
    cluster.servers().into_iter().filter_map(|id| cluster.view(id))
}

/// Whoever leads in the highest term.
pub(super) fn leader<C: Cluster>(cluster: &C) -> Option<NodeId> {
    running(cluster).filter(View::is_leader).max_by_key(|view| view.term).map(|view| view.id)
}

pub(super) fn highest_term<C: Cluster>(cluster: &C) -> Term {
    running(cluster).map(|view| view.term).max().unwrap_or_default()
}

/// The server that a word means; `None` if there is none now.
pub(super) fn one_server<C: Cluster>(
    language: Language,
    cluster: &C,
    names: &BTreeMap<String, NodeId>,
    server: &Server,
) -> Result<Option<NodeId>, String> {
    match server {
        Server::Number(number) if *number <= MAX_SERVERS => Ok(Some(NodeId(*number))),
        Server::Number(number) => Err(say!(
            language,
            "there are at most {max} servers, and no n{number}",
            max = MAX_SERVERS,
            number
        )),
        Server::Leader => Ok(leader(cluster)),
        Server::Follower(rank) => {
            let leader = leader(cluster).and_then(|id| cluster.view(id));
            // Whoever was removed follows nobody, though it runs.
            let is_member = |id: NodeId| leader.as_ref().is_none_or(|view| view.membership.contains(id));
            let is_leader = |id: NodeId| leader.as_ref().is_some_and(|view| view.id == id);
            let mut followers =
                running(cluster).map(|view| view.id).filter(|id| is_member(*id) && !is_leader(*id));
            Ok(followers.nth(rank - 1))
        }
        Server::Named(name) => match names.get(name) {
            Some(id) => Ok(Some(*id)),
            None => {
                let near = super::tokens::meant(language, name, names.keys().map(String::as_str));
                Err(say!(language, "nobody is called `{name}`{near}", name, near))
            }
        },
        Server::All => Err(say!(language, "`all` are too many here")),
    }
}
