//! Members that are added before they run, as etcd's operators do it (decision 0020).
//!
//! Such a member is a promise in the address book: a number, an address, and whether it is to vote. Raft knows nothing of
//! it, so it counts in no majority. Whoever leads knocks at the addresses that were promised; when somebody opens, the
//! promise becomes a change of members like any other. A server that asks a member about its cluster is told the number
//! that waits for it (`peer/founding.rs`), and keeps it.

use std::time::{Duration, Instant};

use jangada_node::book::{Book, BookEntry, Promise, promised_id};
use jangada_node::effect::Input;
use jangada_raft::event::MembershipStage;
use jangada_raft::face::MembershipChange;
use jangada_raft::types::{Membership, NodeId};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::core::Core;
use crate::handle::{AdminError, MemberRefusal};
use crate::peer::directory::Directory;
use crate::peer::handshake::{Purpose, Welcome};
use crate::peer::link::knock;

/// Most members that may be expected at a time.
pub(crate) const MAX_PROMISES: usize = 16;
/// How long a leader waits before it knocks again.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(300);

/// Who has come and is not heard for so long, before it has caught up, is expected again.
const MOST_SILENCE: Duration = Duration::from_secs(5);

/// A leader's look at the doors of those who are expected.
#[derive(Default)]
pub(crate) struct Lookout {
    /// The round under way: it tells who has come, or ends.
    round: Option<oneshot::Receiver<Comer>>,
    next: Option<Instant>,
    /// Since when nobody is heard of those who catch up.
    silent_since: Option<Instant>,
}

/// Somebody who has come.
struct Comer {
    /// The place that was promised to it.
    promise: NodeId,
    /// Its page in the book.
    entry: BookEntry,
}

impl Core {
    /// Looks for those who are expected, if this server leads, and lets in who has come.
    pub(crate) fn look_out(&mut self) {
        let now = Instant::now();
        let raft = self.replica.raft();
        let stage = raft.membership().stage();
        if raft.is_leader() && stage == MembershipStage::CatchUp {
            return self.let_go();
        }
        self.lookout.silent_since = None;
        if !raft.is_leader() || stage != MembershipStage::Final || !self.directory.has_promises() {
            self.lookout = Lookout::default();
            return;
        }
        if let Some(round) = &mut self.lookout.round {
            let told = match round.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return,
                Err(oneshot::error::TryRecvError::Closed) => None,
                Ok(comer) => Some(comer),
            };
            self.lookout = Lookout { next: Some(now + BETWEEN_ROUNDS), ..Lookout::default() };
            if let Some(comer) = told {
                self.let_in(comer);
            }
        } else if self.lookout.next.is_none_or(|next| next <= now) {
            let (tell, round) = oneshot::channel();
            self.lookout.round = Some(round);
            tokio::task::spawn_local(knock_at_all(self.directory.clone(), tell));
        }
    }

    /// The promise becomes a change of members. One that cannot begin now is tried again with the next round.
    fn let_in(&mut self, comer: Comer) {
        let Comer { promise, entry } = comer;
        let (membership, book) = (self.replica.raft().membership(), self.members_book());
        let Some(promise) = book.promises.iter().find(|known| known.id == promise).cloned() else { return };
        if membership.contains(entry.id) {
            return;
        }
        let (mut voters, mut learners) = (membership.voters.clone(), membership.learners.clone());
        let id = entry.id;
        match promise.is_learner {
            true => learners.insert(id),
            false => voters.insert(id),
        };
        let book = book.with(entry);
        if voters != membership.voters && self.would_live(&voters, &[id].into(), &book).is_err() {
            return;
        }
        let token = self.token();
        let change = MembershipChange { voters, learners, context: book.encode() };
        self.handle(Input::ChangeMembership { token, change });
    }

    /// Who came and went before it had caught up holds up all other changes: it is expected again.
    fn let_go(&mut self) {
        let membership = self.replica.raft().membership();
        let Some(target) = &membership.target else { return };
        let coming: Vec<NodeId> = target.voters.difference(&membership.voters).copied().collect();
        let is_heard = coming.iter().any(|id| self.reachable(*id));
        // Whoever asked for a change decides how long it may take. One that lets voters go, too, is no promise.
        if is_heard || self.desk.awaits_members() || !membership.voters.is_subset(&target.voters) {
            self.lookout.silent_since = None;
            return;
        }
        let since = *self.lookout.silent_since.get_or_insert_with(Instant::now);
        if since.elapsed() < MOST_SILENCE {
            return;
        }
        let (voters, mut learners) = (membership.voters.clone(), membership.learners.clone());
        learners.retain(|learner| !coming.contains(learner));
        let mut book = self.members_book();
        for id in coming {
            let Some(entry) = book.get(id).cloned() else { continue };
            book.entries.retain(|known| known.id != id);
            book = book.promising(Promise { id, peer_addr: entry.peer_addr, is_learner: false });
        }
        self.lookout.silent_since = None;
        let token = self.token();
        let change = MembershipChange { voters, learners, context: book.encode() };
        self.handle(Input::ChangeMembership { token, change });
    }
}

/// Tells of the first who has come and can be let in; of nobody, if there is none.
async fn knock_at_all(directory: Directory, tell: oneshot::Sender<Comer>) {
    let mut doors = JoinSet::new();
    for promise in directory.book().promises {
        let directory = directory.clone();
        doors.spawn_local(async move { at_the_door(&directory, promise).await });
    }
    while let Some(opened) = doors.join_next().await {
        if let Ok(Some(comer)) = opened {
            // Whoever leads no more does not listen.
            let _gone = tell.send(comer);
            return;
        }
    }
}

async fn at_the_door(directory: &Directory, promise: Promise) -> Option<Comer> {
    let hello = directory.hello(None, Purpose::Ask);
    let Ok((_, Welcome::Yes { me: card, .. })) = knock(&promise.peer_addr, &hello).await else { return None };
    // One that has no cluster yet is about to be told of ours, or founds its own.
    let is_ours = card.cluster.is_some() && card.cluster == directory.me().cluster;
    let entry = BookEntry {
        id: NodeId(card.id),
        name: card.name,
        incarnation: card.incarnation,
        peer_addr: promise.peer_addr,
        client_addr: card.client_addr,
    };
    let is_member = directory.is_member(entry.id) || directory.has_member_called(&entry.name);
    (is_ours && !is_member).then_some(Comer { promise: promise.id, entry })
}

/// The number of one more who is expected.
pub(crate) fn new_number(
    membership: &Membership,
    book: &Book,
    is_learner: bool,
) -> Result<NodeId, AdminError> {
    if book.promises.len() >= MAX_PROMISES {
        return Err(AdminError::Refused(format!(
            "{MAX_PROMISES} members were added that have not come yet: start them first, or remove them"
        )));
    }
    if !is_learner && !enough_are_started(membership, book) {
        return Err(AdminError::Member(MemberRefusal::TooFewStarted));
    }
    let mut id = promised_id(crate::random::u64());
    while membership.contains(id) || book.promises.iter().any(|promise| promise.id == id) {
        id = promised_id(crate::random::u64());
    }
    Ok(id)
}

/// etcd's rule for one more voter: those who run would be a majority, if all who are expected counted. Here they do not
/// count, but a cluster that waits for more voters than it has was hardly meant.
fn enough_are_started(membership: &Membership, book: &Book) -> bool {
    let started = membership.voters.len();
    let after = started + book.promises.iter().filter(|promise| !promise.is_learner).count() + 1;
    started > after / 2 || (started == 1 && after == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(promises: &[(u64, bool)]) -> Book {
        let promise = |(id, is_learner): &(u64, bool)| Promise {
            id: promised_id(id << 2),
            peer_addr: format!("h:{id}"),
            is_learner: *is_learner,
        };
        promises.iter().map(promise).fold(Book::default(), Book::promising)
    }

    #[test]
    fn so_many_voters_are_expected_as_etcd_allows() {
        for (voters, most) in [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4)] {
            let membership = Membership::of((1..=voters).map(NodeId));
            let mut expected: Vec<(u64, bool)> = (20..30).map(|id| (id, true)).collect();
            while new_number(&membership, &book(&expected), false).is_ok() {
                expected.push((expected.len() as u64, false));
            }
            assert_eq!(expected.len() - 10, most, "{voters} voters run");
            let refused = new_number(&membership, &book(&expected), false);
            assert_eq!(refused, Err(AdminError::Member(MemberRefusal::TooFewStarted)));
        }
    }

    #[test]
    fn no_more_are_expected_than_can_be_looked_for() {
        let membership = Membership::of([NodeId(1)]);
        let all: Vec<(u64, bool)> = (0..MAX_PROMISES as u64).map(|id| (id, true)).collect();
        assert!(new_number(&membership, &book(&all[1..]), true).is_ok());
        assert!(matches!(new_number(&membership, &book(&all), true), Err(AdminError::Refused(_))));
    }
}
