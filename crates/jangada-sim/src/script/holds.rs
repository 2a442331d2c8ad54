//! Whether a condition holds.

use std::collections::BTreeSet;

use jangada_raft::event::RoleName;
use jangada_raft::types::{Index, NodeId, Term};

use jangada_trace::language::Language;
use jangada_trace::say;

use super::cluster::{Cluster, View};
use super::command::{Compare, Condition, Place, Role, Server};
use super::stage::{Mark, Stage};
use super::who::{highest_term, leader, one_server, running};

impl<C: Cluster> Stage<C> {
    /// Whether it is so now. A server that is nobody now (`leader` when nobody leads) makes it false.
    pub(super) fn holds(&mut self, condition: &Condition) -> Result<bool, String> {
        // Those that need more than a look at the servers.
        match condition {
            Condition::Not(inner) => return self.holds(inner).map(|holds| !holds),
            Condition::Answer(text) => {
                let heard =
                    self.heard.as_ref().ok_or_else(|| say!(self.language, "nothing was asked yet"))?;
                return Ok(heard.text.starts_with(text.as_str()));
            }
            Condition::Refused => {
                return Ok(self
                    .heard
                    .as_ref()
                    .ok_or_else(|| say!(self.language, "nothing was asked yet"))?
                    .refused);
            }
            Condition::AllAnswered => return Ok(self.asked.is_empty()),
            Condition::Held(pick, count) => {
                let filter = self.filter(pick)?;
                return Ok(self.cluster()?.held(&filter).len() as u64 == *count);
            }
            Condition::Wrote { server, compare, count } => {
                let id = self.server(server)?;
                return Ok(compare.holds(self.cluster()?.wrote(id)?, *count));
            }
            Condition::Sent { pick, compare, count } => {
                let filter = self.filter(pick)?;
                return Ok(compare.holds(self.cluster()?.sent(&filter)?, *count));
            }
            _ => {}
        }
        self.cluster()?;
        let (cluster, names, language) = (&self.cluster, &self.names, self.language);
        let one = |server: &Server| {
            let known = cluster.servers();
            match server {
                Server::Number(number) if !known.contains(&NodeId(*number)) => Err(say!(
                    language,
                    "there is no n{number}, there are {names}",
                    number,
                    names = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
                )),
                _ => one_server(language, cluster, names, server),
            }
        };
        let look = Look { cluster, language, one: &one };
        look.holds(condition, self.mark)
    }
}

impl Compare {
    fn holds(self, is: u64, wanted: u64) -> bool {
        match self {
            Compare::AtMost => is <= wanted,
            Compare::AtLeast => is >= wanted,
            Compare::Exactly => is == wanted,
        }
    }
}

/// A look at the servers.
struct Look<'a, C> {
    language: Language,
    cluster: &'a C,
    one: &'a dyn Fn(&Server) -> Result<Option<NodeId>, String>,
}

impl<C: Cluster> Look<'_, C> {
    // tidy: flat table
    fn holds(&self, condition: &Condition, mark: Mark) -> Result<bool, String> {
        let cluster = self.cluster;
        Ok(match condition {
            Condition::SomeLeader => self.ruler().is_some(),
            Condition::Leader(server) => {
                let wanted = (self.one)(server)?;
                wanted.is_some() && self.ruler() == wanted
            }
            Condition::LeaderSame => self.ruler().is_some() && self.ruler() == mark.leader,
            Condition::LeaderChanged => self.ruler().is_some() && self.ruler() != mark.leader,
            Condition::Leaders(count) => running(cluster).filter(View::is_leader).count() as u64 == *count,
            Condition::Role(server, role) => self.at(server, |view| view.role == name_of(*role))?,
            Condition::TermSame => highest_term(cluster) == mark.term,
            Condition::TermRises => highest_term(cluster) > mark.term,
            Condition::Term(term, None) => highest_term(cluster) == Term(*term),
            Condition::Term(term, Some(server)) => self.at(server, |view| view.term == Term(*term))?,
            Condition::Vote(server, candidate) => {
                let candidate = candidate.as_ref().map(|candidate| (self.one)(candidate)).transpose()?;
                self.at(server, |view| view.voted_for == candidate.flatten())?
            }
            Condition::Value { key, value, place } => self.place(place, |view| {
                cluster.value(view.id, key).is_some_and(|found| found == value.as_bytes())
            })?,
            Condition::Absent { key, place } => {
                self.place(place, |view| cluster.value(view.id, key).is_none())?
            }
            Condition::Committed(index, place) => {
                self.place(place, |view| view.commit_index >= Index(*index))?
            }
            Condition::Applied(index, place) => {
                self.place(place, |view| view.applied >= Some(Index(*index)))?
            }
            Condition::Snapshot(index, place) => self.place(place, |view| view.snapshot >= Index(*index))?,
            Condition::Last(index, place) => self.place(place, |view| view.last_index == Index(*index))?,
            Condition::LogTerms(server, terms) => {
                let is_so = |view: &View<'_>| {
                    cluster.log_terms(view.id).iter().map(|term| term.0).eq(terms.iter().copied())
                };
                self.at(server, is_so)?
            }
            Condition::EqualLogs => self.equal_logs(),
            Condition::Settled => {
                self.equal_logs() && running(cluster).all(|view| view.applied == Some(view.last_index))
            }
            Condition::Members(servers, at) => self.members(servers, at.as_ref())?,
            Condition::Joint(at) => {
                let at = at.as_ref().unwrap_or(&Server::Leader);
                self.at(at, |view| view.membership.is_joint())?
            }
            Condition::Learner(server) => {
                let learner = (self.one)(server)?;
                self.at(&Server::Leader, |view| {
                    learner.is_some_and(|id| view.membership.learners.contains(&id))
                })?
            }
            Condition::Up(server, up) => {
                (self.one)(server)?.is_some_and(|id| cluster.view(id).is_some() == *up)
            }
            Condition::Not(_)
            | Condition::Answer(_)
            | Condition::Refused
            | Condition::AllAnswered
            | Condition::Held(..)
            | Condition::Wrote { .. }
            | Condition::Sent { .. } => {
                return Err(say!(self.language, "this condition is looked at elsewhere"));
            }
        })
    }

    /// Who leads in the highest term of all leaders, has committed an entry of it, and is above no later term.
    fn ruler(&self) -> Option<NodeId> {
        let leader = leader(self.cluster)?;
        self.cluster.view(leader)?.rules.then_some(leader)
    }

    /// This is so of it. Of a server that is down nothing is so, and nothing is not so: to ask is a mistake.
    fn at(&self, server: &Server, is_so: impl FnOnce(&View<'_>) -> bool) -> Result<bool, String> {
        let Some(id) = (self.one)(server)? else { return Ok(false) };
        let view = self.cluster.view(id).ok_or_else(|| say!(self.language, "{id} does not run", id))?;
        Ok(is_so(&view))
    }

    fn place(&self, place: &Place, is_so: impl Fn(&View<'_>) -> bool) -> Result<bool, String> {
        if running(self.cluster).next().is_none() {
            return Err(say!(self.language, "no server runs"));
        }
        Ok(match place {
            Place::At(server) => self.at(server, is_so)?,
            Place::On(count) => running(self.cluster).filter(|view| is_so(view)).count() as u64 == *count,
            Place::Everywhere => running(self.cluster).all(|view| is_so(&view)),
        })
    }

    /// By Log Matching, which the checkers watch, logs with one last entry are equal as far as they overlap.
    fn equal_logs(&self) -> bool {
        let ends: BTreeSet<_> = running(self.cluster).map(|view| (view.last_index, view.last_term)).collect();
        ends.len() == 1
    }

    fn members(&self, servers: &[Server], at: Option<&Server>) -> Result<bool, String> {
        let mut wanted = BTreeSet::new();
        for server in servers {
            wanted.extend((self.one)(server)?);
        }
        self.at(at.unwrap_or(&Server::Leader), |view| {
            let membership = &view.membership;
            membership.voters == wanted
                && !membership.is_joint()
                && membership.target.is_none()
                && view.membership_is_committed
        })
    }
}

fn name_of(role: Role) -> RoleName {
    match role {
        Role::Follower => RoleName::Follower,
        Role::PreCandidate => RoleName::PreCandidate,
        Role::Candidate => RoleName::Candidate,
        Role::Leader => RoleName::Leader,
    }
}
