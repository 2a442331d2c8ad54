//! Administrators' requests: checked here against what is alive, before anything changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jangada_node::book::{Book, BookEntry, node_id};
use jangada_node::effect::{AdminDone, Failure, Input, Token};
use jangada_raft::event::RoleName;
use jangada_raft::face::{MembershipChange, Refusal};
use jangada_raft::types::NodeId;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::core::Core;
use crate::handle::{
    AdminAnswer, AdminError, AdminRequest, ChangeMember, ChangeMembers, NewMember, Tolerance, Transfer,
};
use crate::member_change;
use crate::peer::directory::Directory;
use crate::peer::handshake::{Card, Purpose, Welcome};
use crate::peer::link::knock;
use crate::status::MembershipStatus;

/// Longest time that an administrator waits.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// How long a change of one member waits at most for one that is under way.
const LONGEST_UNDER_WAY: Duration = Duration::from_secs(3);
/// And between two looks at it.
const PAUSE_UNDER_WAY: Duration = Duration::from_millis(20);

pub(crate) type AdminReply = oneshot::Sender<Result<AdminAnswer, AdminError>>;

/// Requests under way.
#[derive(Default)]
pub(crate) struct AdminDesk {
    open: BTreeMap<u64, Open>,
}

impl AdminDesk {
    /// Whether somebody waits for a change of members.
    pub(crate) fn awaits_members(&self) -> bool {
        self.open.values().any(|open| matches!(open.goal, Goal::Members(_) | Goal::Member(_)))
    }
}

struct Open {
    reply: AdminReply,
    deadline: Instant,
    goal: Goal,
}

/// What an administrator is told of, once it is so.
enum Goal {
    Leader,
    /// The voters that there were before.
    Members(Tolerance),
    Member(u64),
}

/// A membership change whose new servers have been asked.
pub(crate) struct Probed {
    wish: Wish,
    reply: AdminReply,
    /// One for each new server: its page in the book, or why it cannot join.
    newcomers: Result<Vec<BookEntry>, String>,
    /// How long the change may wait for another one.
    until: Instant,
}

enum Wish {
    All(ChangeMembers),
    One(ChangeMember),
}

impl Core {
    pub(crate) fn on_admin(
        &mut self,
        request: AdminRequest,
        reply: AdminReply,
        probed: &UnboundedSender<Probed>,
    ) {
        if request == AdminRequest::ListMembers {
            let MembershipStatus { members, promised, .. } = self.members();
            let _gone = reply.send(Ok(AdminAnswer::List { members, promised }));
            return;
        }
        if let Err(error) = self.must_lead() {
            let _gone = reply.send(Err(error));
            return;
        }
        match request {
            AdminRequest::ListMembers => {}
            AdminRequest::ChangeMember(request) => {
                if let Err(refusal) = self.may_change(&request.change) {
                    let _gone = reply.send(Err(AdminError::Member(refusal)));
                    return;
                }
                let (directory, probed) = (self.directory.clone(), probed.clone());
                let until = Instant::now() + Duration::from_millis(request.timeout_ms).min(LONGEST_UNDER_WAY);
                tokio::task::spawn_local(async move {
                    let newcomers = member_change::probe(&directory, &request.change).await;
                    let _stopping = probed.send(Probed { wish: Wish::One(request), reply, newcomers, until });
                });
            }
            AdminRequest::Transfer(transfer) => self.transfer(&transfer, reply),
            AdminRequest::ChangeMembers(request) => {
                let (directory, probed) = (self.directory.clone(), probed.clone());
                tokio::task::spawn_local(async move {
                    let newcomers = probe(&directory, &request.new).await;
                    let until = Instant::now();
                    let _stopping = probed.send(Probed { wish: Wish::All(request), reply, newcomers, until });
                });
            }
        }
    }

    fn must_lead(&self) -> Result<(), AdminError> {
        let raft = self.replica.raft();
        if raft.role_name() == RoleName::Leader {
            return Ok(());
        }
        let Some(leader) = raft.leader() else { return Err(AdminError::NoQuorum(self.no_leader_sentence())) };
        let book = self.directory.book();
        let address = book.get(leader).map(|entry| entry.client_addr.clone()).filter(|addr| !addr.is_empty());
        Err(AdminError::NotLeader {
            why: format!("{} leads, not this server: ask it", book.name(leader)),
            leader_client_addr: address,
        })
    }

    fn transfer(&mut self, request: &Transfer, reply: AdminReply) {
        let book = self.directory.book();
        let Some(to) = book.by_name(&request.to).map(|entry| entry.id) else {
            let known: Vec<&str> = book.entries.iter().map(|entry| entry.name.as_str()).collect();
            let why =
                format!("there is no server {} in the cluster; its members: {}", request.to, known.join(" "));
            let _gone = reply.send(Err(AdminError::Refused(why)));
            return;
        };
        let token = self.open(reply, request.timeout_ms, Goal::Leader);
        self.handle(Input::Transfer { token, to });
    }

    /// The new servers have been asked: go on, or refuse.
    pub(crate) fn on_probed(&mut self, probed: Probed, probes: &UnboundedSender<Probed>) {
        if let Wish::One(request) = &probed.wish
            && Instant::now() < probed.until
            && self.replica.raft().is_leader()
            && self.must_wait(&request.change)
        {
            // Who grows a cluster step by step asks for the next step while the leader completes the one before.
            let probes = probes.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(PAUSE_UNDER_WAY).await;
                let _stopping = probes.send(probed);
            });
            return;
        }
        let Probed { wish, reply, newcomers, .. } = probed;
        let change = self.must_lead().and_then(|()| {
            let newcomers = newcomers.map_err(AdminError::Refused)?;
            match &wish {
                Wish::All(request) => {
                    let change = self.plan(request, newcomers).map_err(AdminError::Refused)?;
                    Ok((change, request.timeout_ms, Goal::Members(self.tolerance())))
                }
                Wish::One(request) => {
                    let (change, id) = self.plan_one(&request.change, newcomers)?;
                    Ok((change, request.timeout_ms, Goal::Member(id.0)))
                }
            }
        });
        match change {
            Err(error) => {
                let _gone = reply.send(Err(error));
            }
            Ok((change, timeout_ms, goal)) => {
                let token = self.open(reply, timeout_ms, goal);
                self.handle(Input::ChangeMembership { token, change });
            }
        }
    }

    /// The change that is asked for, or why it is impossible or dangerous.
    fn plan(&self, request: &ChangeMembers, newcomers: Vec<BookEntry>) -> Result<MembershipChange, String> {
        let membership = self.replica.raft().membership();
        let book = self.members_book();
        for newcomer in &newcomers {
            if book.get(newcomer.id).is_some() || book.by_name(&newcomer.name).is_some() {
                return Err(format!("{} is a member already: nothing to add", newcomer.name));
            }
            if let Some(other) = book.entries.iter().find(|entry| entry.peer_addr == newcomer.peer_addr) {
                return Err(format!(
                    "{} and {} have the same address {}",
                    other.name, newcomer.name, other.peer_addr
                ));
            }
        }
        let alive_newcomers: BTreeSet<NodeId> = newcomers.iter().map(|entry| entry.id).collect();
        let book = newcomers.into_iter().fold(book, Book::with);
        let mut voters = BTreeSet::new();
        for name in &request.voters {
            let Some(entry) = book.by_name(name) else {
                let known: Vec<&str> = book.entries.iter().map(|entry| entry.name.as_str()).collect();
                return Err(format!(
                    "there is no server {name} in the cluster (members: {}): add it first, or check the name",
                    known.join(" ")
                ));
            };
            if !voters.insert(entry.id) {
                return Err(format!("{name} stands twice in the list of voters"));
            }
        }
        if voters.is_empty() {
            return Err("no voters would be left: a cluster needs at least one".to_owned());
        }
        self.would_live(&voters, &alive_newcomers, &book)?;
        let mut learners = membership.learners.clone();
        learners.retain(|learner| !voters.contains(learner));
        if let Some(target) = &membership.target {
            learners.retain(|learner| target.learners.contains(learner));
        }
        Ok(MembershipChange { voters, learners, context: book.encode() })
    }

    /// Who the members are, without those that have left.
    pub(crate) fn members_book(&self) -> Book {
        let membership = self.replica.raft().membership();
        let mut book = self.directory.book();
        book.entries.retain(|entry| membership.contains(entry.id));
        follow_own_move(&mut book, self.directory.me());
        book
    }

    pub(crate) fn would_live(
        &self,
        voters: &BTreeSet<NodeId>,
        newcomers: &BTreeSet<NodeId>,
        book: &Book,
    ) -> Result<(), String> {
        let me = self.replica.id();
        let (alive, away): (Vec<NodeId>, Vec<NodeId>) =
            voters.iter().partition(|id| **id == me || newcomers.contains(id) || self.reachable(**id));
        if alive.len() > voters.len() / 2 {
            return Ok(());
        }
        let away: Vec<String> = away.iter().map(|id| book.name(*id)).collect();
        Err(format!(
            "only {} of the {} voters after the change would be alive ({} cannot be reached now): the cluster \
             could not go on. Bring them back first",
            alive.len(),
            voters.len(),
            away.join(", ")
        ))
    }

    fn open(&mut self, reply: AdminReply, timeout_ms: u64, goal: Goal) -> Token {
        let token = self.token();
        let deadline = Instant::now() + Duration::from_millis(timeout_ms).min(LONGEST_WAIT);
        self.desk.open.insert(token.0, Open { reply, deadline, goal });
        token
    }

    pub(crate) fn answer_admin(&mut self, token: Token, outcome: Result<AdminDone, Failure>) {
        let Some(Open { reply, goal, .. }) = self.desk.open.remove(&token.0) else { return };
        // The answer tells of the configuration that is now in force: links and names must follow first.
        self.follow_membership();
        let answer = match outcome {
            Ok(AdminDone::Transferred { term }) => {
                let leader = self.replica.raft().leader();
                let leader = leader.map_or_else(String::new, |leader| self.directory.name(leader));
                Ok(AdminAnswer::Transferred { leader, term: term.0 })
            }
            Ok(AdminDone::MembershipChanged) => {
                let after = self.tolerance();
                let MembershipStatus { members, promised, .. } = self.members();
                Ok(match goal {
                    Goal::Member(changed) => AdminAnswer::Member { changed, members, promised },
                    Goal::Members(before) => AdminAnswer::Members { before, after },
                    Goal::Leader => AdminAnswer::Members { before: after.clone(), after },
                })
            }
            Err(failure) => Err(self.admin_error(failure)),
        };
        let _gone = reply.send(answer);
    }

    fn admin_error(&self, failure: Failure) -> AdminError {
        let refused = |why: &str| AdminError::Refused(why.to_owned());
        match failure {
            Failure::Refused(Refusal::ChangePending) => refused(
                "another membership change is under way: wait until it is done (jangada cluster status)",
            ),
            Failure::Refused(Refusal::NoChange) => {
                refused("that is the configuration already: nothing to change")
            }
            Failure::Refused(Refusal::TooEarly) => {
                refused("the leader is new and has committed nothing yet: try again in a moment")
            }
            Failure::Refused(Refusal::BadMembership) => {
                refused("these voters make no cluster: check the names")
            }
            Failure::Refused(Refusal::BadTarget) => {
                refused("that server is no voter of the cluster: only a voter can lead")
            }
            Failure::Refused(Refusal::Transferring) => {
                refused("leadership is being handed over already: try again in a moment")
            }
            Failure::Refused(_)
            | Failure::NoLeader
            | Failure::Busy
            | Failure::TooLarge
            | Failure::AnswerTooLarge
            | Failure::BadAnswer => AdminError::NoQuorum(self.no_leader_sentence()),
            Failure::TransferFailed => {
                refused("the other server did not take over within an election timeout; the leader goes on")
            }
            Failure::OutcomeUnknown => AdminError::OutcomeUnknown(
                "the leader changed in between: the next one completes the change or drops it; look with \
                 jangada cluster status"
                    .to_owned(),
            ),
        }
    }

    /// Tells those who have waited long enough.
    pub(crate) fn expire_admins(&mut self) {
        let now = Instant::now();
        let late = self.desk.open.iter().find(|(_, open)| open.deadline <= now).map(|(token, _)| *token);
        let Some(token) = late else { return };
        if let Some(open) = self.desk.open.remove(&token) {
            self.handle(Input::GiveUp(Token(token)));
            let why = "it was not done in time. New servers that had not caught up were let go again; a change \
                       that had gone further will be completed: look with jangada cluster status";
            let _gone = open.reply.send(Err(AdminError::Deadline(why.to_owned())));
        }
    }

    fn tolerance(&self) -> Tolerance {
        let membership = self.replica.raft().membership();
        let book = self.directory.book();
        let voters: Vec<String> = membership.voters.iter().map(|id| book.name(*id)).collect();
        let me = self.replica.id();
        let away = membership.voters.iter().filter(|id| **id != me && !self.reachable(**id)).count();
        let tolerates = (voters.len().saturating_sub(1) / 2).saturating_sub(away) as u64;
        Tolerance { voters, tolerates }
    }
}

/// A server that is alone may have moved since its cluster was founded; those who join must find it. Among others it is
/// where the book says, which an administrator may have changed.
fn follow_own_move(book: &mut Book, me: Card) {
    if let [only] = book.entries.as_mut_slice()
        && only.id == NodeId(me.id)
    {
        (only.peer_addr, only.client_addr) = (me.peer_addr, me.client_addr);
    }
}

/// Asks each new server who it is.
async fn probe(directory: &Directory, new: &[NewMember]) -> Result<Vec<BookEntry>, String> {
    let mut questions = JoinSet::new();
    for member in new.iter().cloned() {
        let hello = directory.hello(Some(node_id(&member.name)), Purpose::Ask);
        questions.spawn_local(async move {
            let NewMember { name, peer_addr, client_addr } = member;
            match knock(&peer_addr, &hello).await {
                Ok((_, Welcome::Yes { me, .. })) => Ok(BookEntry {
                    id: NodeId(me.id),
                    name,
                    incarnation: me.incarnation,
                    peer_addr,
                    client_addr,
                }),
                Ok((_, Welcome::No { why, .. })) => {
                    Err(format!("{name} at {peer_addr} does not want to: {why}"))
                }
                Err(why) => Err(format!(
                    "{name} cannot be reached at {peer_addr} ({why}): start it first; nothing was changed"
                )),
            }
        });
    }
    questions.join_all().await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_among_others_stays_where_the_book_says() {
        let entry = |id: u64| BookEntry {
            id: NodeId(id),
            name: format!("n{id}"),
            incarnation: 1,
            peer_addr: format!("book:{id}"),
            client_addr: String::new(),
        };
        let me = Card {
            id: 1,
            name: "n1".to_owned(),
            incarnation: 1,
            cluster: Some(7),
            peer_addr: "moved:1".to_owned(),
            client_addr: String::new(),
            named_at: Default::default(),
        };
        for (members, expected) in [(vec![entry(1)], "moved:1"), (vec![entry(1), entry(2)], "book:1")] {
            let mut book = Book::new(members);
            follow_own_move(&mut book, me.clone());
            assert_eq!(book.get(NodeId(1)).unwrap().peer_addr, expected);
        }
    }
}
