//! Whether a condition holds.

use std::collections::BTreeSet;

use bytes::Bytes;
use jangada_kv::command::{Command as KvCommand, Reply};
use jangada_kv::{Request, Response};
use jangada_raft::Raft;
use jangada_raft::event::RoleName;
use jangada_raft::types::{Index, NodeId, Term};

use super::cluster::Cluster;
use super::command::{Compare, Condition, Place, Role, Server};
use super::stage::{Stage, one_server};

impl Stage {
    /// Whether it is so now. A server that is nobody now (`leader` when nobody leads) makes it false.
    pub(super) fn holds(&mut self, condition: &Condition) -> Result<bool, String> {
        // Those that need more than a look at the servers.
        match condition {
            Condition::Not(inner) => return self.holds(inner).map(|holds| !holds),
            Condition::Answer(text) => {
                let heard = self.heard.as_ref().ok_or("nothing was asked yet")?;
                return Ok(heard.text.starts_with(text.as_str()));
            }
            Condition::Refused => {
                return Ok(self.heard.as_ref().ok_or("nothing was asked yet")?.refused);
            }
            Condition::AllAnswered => return Ok(self.asked.is_empty()),
            Condition::Held(pick, count) => {
                let filter = self.filter(pick)?;
                return Ok(self.cluster()?.network.held(&filter).count() as u64 == *count);
            }
            Condition::Wrote { server, compare, count } => {
                let id = self.server(server)?;
                let before = self.mark.operations[usize::try_from(id.0 - 1).expect("few servers")];
                let wrote = self.cluster()?.disk(id).operations() - before;
                return Ok(compare.holds(wrote, *count));
            }
            Condition::Sent { pick, compare, count } => {
                let filter = self.filter(pick)?;
                let sent = self.cluster()?.network.sent.iter();
                let sent =
                    sent.filter(|(from, to, message)| filter.fits(*from, *to, *message)).count() as u64;
                return Ok(compare.holds(sent, *count));
            }
            _ => {}
        }
        let (mark, names) = (self.mark, self.names.clone());
        let cluster = self.cluster()?;
        let look = Look { cluster, one: &|server| one_server(cluster, &names, server) };
        look.holds(condition, mark.leader, mark.term)
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
struct Look<'a> {
    cluster: &'a Cluster,
    one: &'a dyn Fn(&Server) -> Result<Option<NodeId>, String>,
}

impl Look<'_> {
    // tidy: flat table
    fn holds(
        &self,
        condition: &Condition,
        marked_leader: Option<NodeId>,
        marked_term: Term,
    ) -> Result<bool, String> {
        let cluster = self.cluster;
        Ok(match condition {
            Condition::SomeLeader => self.ruler().is_some(),
            Condition::Leader(server) => {
                let wanted = (self.one)(server)?;
                wanted.is_some() && self.ruler() == wanted
            }
            Condition::LeaderSame => self.ruler().is_some() && self.ruler() == marked_leader,
            Condition::LeaderChanged => self.ruler().is_some() && self.ruler() != marked_leader,
            Condition::Leaders(count) => {
                cluster.running().filter(|(_, raft)| raft.is_leader()).count() as u64 == *count
            }
            Condition::Role(server, role) => self.at(server, |raft| raft.role_name() == name_of(*role))?,
            Condition::TermSame => cluster.highest_term() == marked_term,
            Condition::TermRises => cluster.highest_term() > marked_term,
            Condition::Term(term, None) => cluster.highest_term() == Term(*term),
            Condition::Term(term, Some(server)) => self.at(server, |raft| raft.term() == Term(*term))?,
            Condition::Vote(server, candidate) => {
                let candidate = candidate.as_ref().map(|candidate| (self.one)(candidate)).transpose()?;
                self.at(server, |raft| raft.voted_for() == candidate.flatten())?
            }
            Condition::Value { key, value, place } => {
                self.place(place, |id| self.value(id, key).is_some_and(|found| found == value.as_bytes()))?
            }
            Condition::Absent { key, place } => self.place(place, |id| self.value(id, key).is_none())?,
            Condition::Committed(index, place) => {
                self.place(place, |id| self.raft(id).commit_index() >= Index(*index))?
            }
            Condition::Applied(index, place) => {
                self.place(place, |id| self.applied(id) >= Some(Index(*index)))?
            }
            Condition::Snapshot(index, place) => {
                let covers = |id| self.raft(id).snapshot_meta().last_included_index >= Index(*index);
                self.place(place, covers)?
            }
            Condition::Last(index, place) => {
                self.place(place, |id| self.raft(id).last_index() == Index(*index))?
            }
            Condition::LogTerms(server, terms) => self.at(server, |raft| log_terms(raft) == *terms)?,
            Condition::EqualLogs => self.equal_logs(),
            Condition::Settled => {
                let has_applied = |(id, raft): (NodeId, &Raft)| self.applied(id) == Some(raft.last_index());
                self.equal_logs() && cluster.running().all(has_applied)
            }
            Condition::Members(servers, at) => self.members(servers, at.as_ref())?,
            Condition::Joint(at) => {
                let at = at.as_ref().unwrap_or(&Server::Leader);
                self.at(at, |raft| raft.membership().is_joint())?
            }
            Condition::Learner(server) => {
                let learner = (self.one)(server)?;
                self.at(&Server::Leader, |raft| {
                    learner.is_some_and(|id| raft.membership().learners.contains(&id))
                })?
            }
            Condition::Up(server, up) => {
                (self.one)(server)?.is_some_and(|id| cluster.raft(id).is_some() == *up)
            }
            Condition::Not(_)
            | Condition::Answer(_)
            | Condition::Refused
            | Condition::AllAnswered
            | Condition::Held(..)
            | Condition::Wrote { .. }
            | Condition::Sent { .. } => return Err("this condition is looked at elsewhere".into()),
        })
    }

    /// Who leads in the highest term of all leaders, has committed an entry of it, and is above no later term.
    fn ruler(&self) -> Option<NodeId> {
        let leader = self.cluster.leader()?;
        self.raft(leader).has_committed_own_term().then_some(leader)
    }

    fn raft(&self, id: NodeId) -> &Raft {
        self.cluster.raft(id).expect("only servers that run are looked at")
    }

    /// It runs, and this is so of it.
    fn at(&self, server: &Server, is_so: impl FnOnce(&Raft) -> bool) -> Result<bool, String> {
        Ok((self.one)(server)?.and_then(|id| self.cluster.raft(id)).is_some_and(is_so))
    }

    fn place(&self, place: &Place, is_so: impl Fn(NodeId) -> bool) -> Result<bool, String> {
        let mut running = self.cluster.running().map(|(id, _)| id);
        Ok(match place {
            Place::At(server) => {
                let id = (self.one)(server)?;
                id.is_some_and(|id| self.cluster.raft(id).is_some() && is_so(id))
            }
            Place::On(count) => running.filter(|id| is_so(*id)).count() as u64 == *count,
            Place::Everywhere => running.all(is_so),
        })
    }

    /// What the state shows; `None` while a snapshot is being loaded into it.
    fn applied(&self, id: NodeId) -> Option<Index> {
        let replica = self.cluster.replica(id)?;
        (!replica.is_restoring()).then(|| replica.last_applied())
    }

    fn value(&self, id: NodeId, key: &str) -> Option<Vec<u8>> {
        let store = &self.cluster.replica(id)?.state().inner().store;
        let get = Request::Command(KvCommand::Get { key: Bytes::copy_from_slice(key.as_bytes()) });
        match store.read(store.clock(), &get) {
            Response::Reply(Reply::Value(value)) => Some(value.to_vec()),
            _ => None,
        }
    }

    /// By Log Matching, which the checkers watch, logs with one last entry are equal as far as they overlap.
    fn equal_logs(&self) -> bool {
        let ends: BTreeSet<_> =
            self.cluster.running().map(|(_, raft)| (raft.last_index(), raft.last_term())).collect();
        ends.len() == 1
    }

    fn members(&self, servers: &[Server], at: Option<&Server>) -> Result<bool, String> {
        let mut wanted = BTreeSet::new();
        for server in servers {
            wanted.extend((self.one)(server)?);
        }
        self.at(at.unwrap_or(&Server::Leader), |raft| {
            let membership = raft.membership();
            membership.voters == wanted
                && !membership.is_joint()
                && membership.target.is_none()
                && raft.committed_membership() == membership
        })
    }
}

pub(super) fn log_terms(raft: &Raft) -> Vec<u64> {
    raft.entries(raft.first_index()..=raft.last_index()).map(|entry| entry.term.0).collect()
}

fn name_of(role: Role) -> RoleName {
    match role {
        Role::Follower => RoleName::Follower,
        Role::PreCandidate => RoleName::PreCandidate,
        Role::Candidate => RoleName::Candidate,
        Role::Leader => RoleName::Leader,
    }
}
