//! A change of one member: what etcd's clients ask for.
//!
//! Each becomes a change of the whole configuration, by the way of joint consensus. A learner may be added beside
//! others; a vote is given only to a learner that has caught up, and no change may leave a cluster that could not go on.

use jangada_node::book::{Book, BookEntry};
use jangada_raft::event::MembershipStage;
use jangada_raft::face::MembershipChange;
use jangada_raft::types::NodeId;

use crate::core::Core;
use crate::handle::{AdminError, MemberChange, MemberRefusal};
use crate::peer::directory::Directory;
use crate::peer::handshake::{Purpose, Welcome};
use crate::peer::link::knock;

/// A learner has caught up when it has so much of the leader's log, in hundredths, as etcd wants it.
const IN_STEP_PERCENT: u64 = 90;

impl Core {
    /// Whether there is anything against a change already, before anybody is asked.
    pub(crate) fn may_change(&self, change: &MemberChange) -> Result<(), AdminError> {
        let raft = self.replica.raft();
        let membership = raft.membership();
        let book = self.members_book();
        let refuse = |why| Err(AdminError::Member(why));
        match change {
            MemberChange::Add { peer_addr, .. } => {
                if book.entries.iter().any(|entry| entry.peer_addr == *peer_addr) {
                    return refuse(MemberRefusal::AddressTaken);
                }
            }
            MemberChange::Remove { id } | MemberChange::Update { id, .. } | MemberChange::Promote { id }
                if !membership.contains(NodeId(*id)) =>
            {
                return refuse(MemberRefusal::NotFound);
            }
            MemberChange::Update { id, peer_addr } => {
                let taken = |entry: &BookEntry| entry.id.0 != *id && entry.peer_addr == *peer_addr;
                if book.entries.iter().any(taken) {
                    return refuse(MemberRefusal::AddressTaken);
                }
            }
            MemberChange::Promote { id } => {
                if !membership.learners.contains(&NodeId(*id)) {
                    return refuse(MemberRefusal::NotLearner);
                }
                let last = raft.last_index().0;
                let progress = raft.progress().find(|progress| progress.id.0 == *id);
                let held = progress.map_or(0, |progress| progress.match_index.0);
                if held.saturating_mul(100) < last.saturating_mul(IN_STEP_PERCENT) {
                    return refuse(MemberRefusal::NotInStep);
                }
            }
            MemberChange::Remove { .. } => {}
        }
        if membership.stage() == MembershipStage::Final {
            return Ok(());
        }
        // A change of learners would call off one of voters that is under way.
        let why = "another membership change is under way: wait until it is done (jangada cluster status)";
        Err(AdminError::Refused(why.to_owned()))
    }

    /// The configuration that a change leads to, and whom it is about.
    pub(crate) fn plan_one(
        &self,
        change: &MemberChange,
        newcomers: Vec<BookEntry>,
    ) -> Result<(MembershipChange, NodeId), AdminError> {
        // Things may have changed while the newcomer was asked.
        self.may_change(change)?;
        let membership = self.replica.raft().membership();
        let (mut voters, mut learners) = (membership.voters.clone(), membership.learners.clone());
        let mut entries = self.members_book().entries;
        let newcomer = newcomers.into_iter().next();
        let mut alive = std::collections::BTreeSet::new();
        let id = match (change, newcomer) {
            (MemberChange::Add { learner, .. }, Some(newcomer)) => {
                let id = newcomer.id;
                if membership.contains(id) {
                    let why = format!("{} is a member already, at another address", newcomer.name);
                    return Err(AdminError::Refused(why));
                }
                if *learner {
                    learners.insert(id)
                } else {
                    voters.insert(id)
                };
                alive.insert(id);
                entries.push(newcomer);
                id
            }
            (MemberChange::Add { peer_addr, .. }, None) => {
                return Err(AdminError::Refused(format!("nobody answers at {peer_addr}")));
            }
            (MemberChange::Remove { id }, _) => {
                voters.remove(&NodeId(*id));
                learners.remove(&NodeId(*id));
                NodeId(*id)
            }
            (MemberChange::Promote { id }, _) => {
                learners.remove(&NodeId(*id));
                voters.insert(NodeId(*id));
                NodeId(*id)
            }
            (MemberChange::Update { id, peer_addr }, _) => {
                let entry = entries.iter_mut().find(|entry| entry.id.0 == *id);
                entry.expect("`may_change` has found it").peer_addr.clone_from(peer_addr);
                NodeId(*id)
            }
        };
        let book = Book::new(entries);
        if voters.is_empty()
            || (voters != membership.voters && self.would_live(&voters, &alive, &book).is_err())
        {
            return Err(AdminError::Member(MemberRefusal::Unhealthy));
        }
        Ok((MembershipChange { voters, learners, context: book.encode() }, id))
    }
}

/// Asks a new server who it is; nobody, if no server is new.
pub(crate) async fn probe(directory: &Directory, change: &MemberChange) -> Result<Vec<BookEntry>, String> {
    let MemberChange::Add { peer_addr, .. } = change else { return Ok(Vec::new()) };
    match knock(peer_addr, &directory.hello(None, Purpose::Ask)).await {
        Ok((_, Welcome::Yes { me, .. })) => Ok(vec![BookEntry {
            id: NodeId(me.id),
            name: me.name,
            incarnation: me.incarnation,
            peer_addr: peer_addr.clone(),
            client_addr: me.client_addr,
        }]),
        Ok((_, Welcome::No { why, .. })) => Err(format!("the server at {peer_addr} does not want to: {why}")),
        Err(why) => Err(format!(
            "nobody can be reached at {peer_addr} ({why}): start the new member first, with --join or \
             --initial-cluster-state existing; nothing was changed"
        )),
    }
}
