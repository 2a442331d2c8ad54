//! A change of one member: what etcd's clients ask for.
//!
//! Each becomes a change of the whole configuration, by the way of joint consensus. A learner may be added beside
//! others; a vote is given only to a learner that has caught up, and no change may leave a cluster that could not go on.
//! Who does not run yet is promised a place (`promises.rs`).

use std::collections::BTreeSet;

use jangada_node::book::{Book, BookEntry, Promise};
use jangada_raft::event::MembershipStage;
use jangada_raft::face::MembershipChange;
use jangada_raft::types::NodeId;

use crate::core::Core;
use crate::handle::{AdminError, MemberChange, MemberRefusal};
use crate::peer::directory::Directory;
use crate::peer::handshake::{Purpose, Welcome};
use crate::peer::link::knock;
use crate::promises;

/// A learner has caught up when it has so much of the leader's log, in hundredths, as etcd wants it.
const IN_STEP_PERCENT: u64 = 90;

impl Core {
    /// Whether another change is under way that has to end before this one can begin.
    pub(crate) fn must_wait(&self, change: &MemberChange) -> bool {
        let raft = self.replica.raft();
        // A newcomer that is not to come after all may go before it has caught up: that is how such a change is called off.
        let calls_off = matches!(change, MemberChange::Remove { id } if self.is_coming(NodeId(*id)));
        let is_done = match raft.membership().stage() {
            MembershipStage::Final => raft.membership_index() <= raft.commit_index(),
            MembershipStage::CatchUp => calls_off,
            MembershipStage::Joint => false,
        };
        !is_done
    }

    /// Whether there is anything against a change already, before anybody is asked: is there such a member, and can that
    /// become of it?
    pub(crate) fn may_change(&self, change: &MemberChange) -> Result<(), MemberRefusal> {
        let membership = self.replica.raft().membership();
        let book = self.members_book();
        let promise = |id: u64| book.promises.iter().find(|promise| promise.id.0 == id);
        let is_free = |whose: Option<u64>, addr: &str| {
            let others = book.entries.iter().map(|entry| (entry.id, &entry.peer_addr));
            let mut others =
                others.chain(book.promises.iter().map(|promise| (promise.id, &promise.peer_addr)));
            match others.any(|(id, known)| Some(id.0) != whose && known == addr) {
                true => Err(MemberRefusal::AddressTaken),
                false => Ok(()),
            }
        };
        match change {
            MemberChange::Add { peer_addr, .. } => is_free(None, peer_addr),
            MemberChange::Remove { id } | MemberChange::Update { id, .. } | MemberChange::Promote { id }
                if !membership.contains(NodeId(*id)) && promise(*id).is_none() =>
            {
                Err(MemberRefusal::NotFound)
            }
            MemberChange::Remove { .. } => Ok(()),
            MemberChange::Update { id, peer_addr } => is_free(Some(*id), peer_addr),
            MemberChange::Promote { id } => match promise(*id) {
                // etcd looks at its log before it looks whether it is a learner.
                Some(_) => Err(MemberRefusal::NotInStep),
                None => self.is_in_step(NodeId(*id)),
            },
        }
    }

    /// Whether a learner holds so much of the log that it may vote.
    fn is_in_step(&self, id: NodeId) -> Result<(), MemberRefusal> {
        let raft = self.replica.raft();
        if !raft.membership().learners.contains(&id) || self.is_coming(id) {
            return Err(MemberRefusal::NotLearner);
        }
        let last = raft.last_index().0;
        let progress = raft.progress().find(|progress| progress.id == id);
        let held = progress.map_or(0, |progress| progress.match_index.0);
        match held.saturating_mul(100) < last.saturating_mul(IN_STEP_PERCENT) {
            true => Err(MemberRefusal::NotInStep),
            false => Ok(()),
        }
    }

    /// Whether it is on its way to be a voter, and none yet.
    pub(crate) fn is_coming(&self, id: NodeId) -> bool {
        let membership = self.replica.raft().membership();
        match (&membership.outgoing, &membership.target) {
            (Some(outgoing), _) => membership.voters.contains(&id) && !outgoing.contains(&id),
            (None, Some(target)) => target.voters.contains(&id) && !membership.voters.contains(&id),
            (None, None) => false,
        }
    }

    /// The configuration that a change leads to, and whom it is about.
    pub(crate) fn plan_one(
        &self,
        change: &MemberChange,
        newcomers: Vec<BookEntry>,
    ) -> Result<(MembershipChange, NodeId), AdminError> {
        // Things may have changed while the newcomer was asked.
        self.may_change(change).map_err(AdminError::Member)?;
        if self.must_wait(change) {
            let why =
                "another membership change is under way: wait until it is done (jangada cluster status)";
            return Err(AdminError::Refused(why.to_owned()));
        }
        let membership = self.replica.raft().membership();
        let (mut voters, mut learners) = (membership.voters.clone(), membership.learners.clone());
        let mut book = self.members_book();
        let newcomer = newcomers.into_iter().next();
        let mut alive = BTreeSet::new();
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
                book = book.with(newcomer);
                id
            }
            (MemberChange::Add { peer_addr, learner }, None) => {
                let id = promises::new_number(membership, &book, *learner)?;
                let promise = Promise { id, peer_addr: peer_addr.clone(), is_learner: *learner };
                book = book.promising(promise);
                id
            }
            (MemberChange::Remove { id }, _) => {
                if let Some(target) = &membership.target {
                    // All that this change would have made voters go with it.
                    learners.retain(|learner| !target.voters.contains(learner));
                }
                voters.remove(&NodeId(*id));
                learners.remove(&NodeId(*id));
                book.promises.retain(|promise| promise.id.0 != *id);
                NodeId(*id)
            }
            (MemberChange::Promote { id }, _) => {
                learners.remove(&NodeId(*id));
                voters.insert(NodeId(*id));
                NodeId(*id)
            }
            (MemberChange::Update { id, peer_addr }, _) => {
                move_to(&mut book, NodeId(*id), peer_addr);
                NodeId(*id)
            }
        };
        if voters.is_empty()
            || (voters != membership.voters && self.would_live(&voters, &alive, &book).is_err())
        {
            return Err(AdminError::Member(MemberRefusal::Unhealthy));
        }
        Ok((MembershipChange { voters, learners, context: book.encode() }, id))
    }
}

/// Others shall reach it elsewhere, whether it has come or not.
fn move_to(book: &mut Book, id: NodeId, peer_addr: &str) {
    let of_entries = book.entries.iter_mut().map(|entry| (entry.id, &mut entry.peer_addr));
    let of_promises = book.promises.iter_mut().map(|promise| (promise.id, &mut promise.peer_addr));
    let (_, known) =
        of_entries.chain(of_promises).find(|(known, _)| *known == id).expect("`may_change` has found it");
    peer_addr.clone_into(known);
}

/// Asks a new server who it is; nobody, if no server is new. One that does not answer may come later (`promises.rs`).
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
        Err(_nobody_yet) => Ok(Vec::new()),
    }
}
