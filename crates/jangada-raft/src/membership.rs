//! Membership: the configurations in the log, and the way from one to the next.
//!
//! Paper §6 (joint consensus); Thesis §4.2.1 (new servers catch up first), §4.2.2 (removing the leader),
//! §4.3. A change of voters takes three entries, and the whole state of the change stands in them, so that
//! the next leader carries on where this one fell:
//!
//! 1. **Catch up**: the new servers are learners; `target` says where this is to end. Left out if they are
//!    members already and hold the log, and if a majority of those who are to vote is there.
//! 2. **Joint**: C_old,new (`outgoing` = C_old, `voters` = C_new). Each decision needs both majorities.
//! 3. **Final**: C_new, once C_old,new is committed.
//!
//! From {1, 2, 3} to {3, 4, 5}, with a log that has entries of clients in between:
//!
//! ```text
//!   index   voters      outgoing    learners  target      what it takes to decide
//!     9     1 2 3                   4 5       3 4 5       2 of {1 2 3}; 4 and 5 only listen
//!    27     3 4 5       1 2 3                             2 of {1 2 3} and 2 of {3 4 5}
//!    31     3 4 5                                         2 of {3 4 5}; 1 and 2 may go
//! ```
//!
//! A configuration is in force as soon as it is in the log, committed or not; a truncated one never was. That
//! sounds rash and is what makes it safe: between C_old and C_new there is never a moment at which each could
//! decide alone, because C_old,new, which needs both, lies between them in every log (Paper §6, Figure 11).
//!
//! What lies between them can also stop everything: a joint configuration of which one half is not there cannot
//! be committed, nor taken back, and nothing else is committed behind it. So the second stage waits until a
//! majority of the new voters is heard. Till then the old ones decide as ever, and the change can be called off.
//!
//! Nothing else remembers the change. [`advance`] looks at the configuration in force and at what is
//! committed, and takes the step that follows; a leader that was just elected does the same as the one that
//! began.
//!
//! **Differs from the paper.** No change begins before the leader has committed an entry of its own term.
//! With changes of *one* server at a time that would be a matter of safety (the erratum to Thesis §4.1); with
//! joint consensus it is one thing less to think about: at most one configuration in the log is uncommitted.
//! One exception: a change that has not left its first stage is called off by a new entry with the old
//! voters. Both entries have the same majorities, so nothing depends on which one holds.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::event::{Event, MembershipStage};
use crate::face::{Answer, MembershipChange, Refusal};
use crate::progress::{Leaving, Progress};
use crate::quorum;
use crate::replication;
use crate::role::Leader;
use crate::server::Server;
use crate::types::{Entry, Index, Membership, NodeId, Payload, Target};

// ---- The configurations in the log ----------------------------------------------------------------------

/// The snapshot's configuration and all later ones in the log, each with the index of its entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Configurations {
    oldest: (Index, Membership),
    later: Vec<(Index, Membership)>,
}

impl Configurations {
    pub(crate) fn new(index: Index, membership: Membership) -> Configurations {
        Configurations { oldest: (index, membership), later: Vec::new() }
    }

    /// "A server always uses the latest configuration in its log, regardless of whether the entry is
    /// committed." (Paper §6)
    pub(crate) fn in_force(&self) -> &Membership {
        &self.latest().1
    }

    /// The entry that brought the configuration in force (or a snapshot's last one, if that stands for it).
    pub(crate) fn index(&self) -> Index {
        self.latest().0
    }

    /// The configuration as of an entry that is not compacted away.
    pub(crate) fn as_of(&self, index: Index) -> &Membership {
        &self.all().take_while(|(at, _)| *at <= index).last().unwrap_or(&self.oldest).1
    }

    /// Whether it is so in the committed configuration or in any later one: one of them holds.
    pub(crate) fn any_that_may_hold(&self, committed: Index, is_so: impl Fn(&Membership) -> bool) -> bool {
        let surely_overruled = self.all().filter(|(at, _)| *at <= committed).count().saturating_sub(1);
        self.all().skip(surely_overruled).any(|(_, membership)| is_so(membership))
    }

    pub(crate) fn on_appended(&mut self, entry: &Entry) {
        if let Payload::Membership(membership) = &entry.payload {
            assert!(entry.index > self.index(), "configurations come in the order of the log");
            self.later.push((entry.index, Membership::clone(membership)));
        }
    }

    /// Entries from `from` on are gone. Says whether the configuration in force is another one now.
    pub(crate) fn on_truncated(&mut self, from: Index) -> bool {
        let before = self.later.len();
        self.later.retain(|(index, _)| *index < from);
        self.later.len() < before
    }

    /// A snapshot up to here stands for the configurations before it, except the last of them.
    pub(crate) fn on_compacted(&mut self, index: Index) {
        while self.later.first().is_some_and(|(at, _)| *at <= index) {
            self.oldest = self.later.remove(0);
        }
    }

    /// The same for a snapshot that came from the leader: it knows.
    pub(crate) fn on_compacted_by(&mut self, index: Index, membership: Membership) {
        self.on_compacted(index);
        self.oldest.1 = membership;
    }

    /// A snapshot stands for the whole log.
    pub(crate) fn reset(&mut self, index: Index, membership: Membership) {
        *self = Configurations::new(index, membership);
    }

    fn latest(&self) -> &(Index, Membership) {
        self.later.last().unwrap_or(&self.oldest)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &(Index, Membership)> {
        core::iter::once(&self.oldest).chain(&self.later)
    }
}

impl Membership {
    /// How far a change is.
    #[must_use]
    pub fn stage(&self) -> MembershipStage {
        if self.outgoing.is_some() {
            MembershipStage::Joint
        } else if self.target.is_some() {
            MembershipStage::CatchUp
        } else {
            MembershipStage::Final
        }
    }
}

// ---- The change -----------------------------------------------------------------------------------------

/// Begins a change (leader only).
pub(crate) fn change(server: &mut Server, leader: &mut Leader, change: MembershipChange) -> Answer {
    match first_step(server, leader, change) {
        Ok(membership) => {
            let index = put_in_force(server, leader, membership);
            Answer::Appended { index, term: server.term() }
        }
        Err(why) => {
            server.event(Event::ProposalRefused { why });
            Answer::Refused(why)
        }
    }
}

/// The first configuration on the way to the one that is wished for.
fn first_step(server: &Server, leader: &Leader, change: MembershipChange) -> Result<Membership, Refusal> {
    let MembershipChange { voters, learners, context } = change;
    let present = server.membership();
    if leader.transfer.is_some() {
        return Err(Refusal::Transferring);
    }
    if server.commit_index() < leader.first_of_term {
        return Err(Refusal::TooEarly);
    }
    if voters.is_empty() || !voters.is_disjoint(&learners) {
        return Err(Refusal::BadMembership);
    }
    // One at a time: between two configurations that are both uncommitted, majorities need not meet.
    let same_voters = voters == present.voters;
    let is_pending = server.configurations.index() > server.commit_index();
    match present.stage() {
        MembershipStage::Final if is_pending => return Err(Refusal::ChangePending),
        MembershipStage::Joint => return Err(Refusal::ChangePending),
        MembershipStage::CatchUp if !same_voters => return Err(Refusal::ChangePending),
        MembershipStage::Final
            if same_voters && learners == present.learners && context == present.context =>
        {
            return Err(Refusal::NoChange);
        }
        // The same voters: a change of learners or of the context; or the end of a change that is given up.
        MembershipStage::Final | MembershipStage::CatchUp if same_voters => {
            return Ok(Membership { voters, learners, context, outgoing: None, target: None });
        }
        MembershipStage::Final | MembershipStage::CatchUp => {}
    }
    // Those that already hold the log need not catch up; nor is there anything to catch up with when servers
    // only leave.
    let target = Target { voters, learners };
    if is_ready(server, leader, &target) {
        return Ok(joint(present, target, context));
    }
    // Stage 1: all that will ever be needed receive the log; nobody's vote changes yet (Thesis §4.2.1).
    let mut learners = present.learners.clone();
    learners.extend(newcomers(present, &target));
    learners.extend(target.learners.difference(&present.voters));
    Ok(Membership { voters: present.voters.clone(), outgoing: None, learners, target: Some(target), context })
}

/// The servers that a change makes voters.
fn newcomers<'a>(present: &'a Membership, target: &'a Target) -> impl Iterator<Item = NodeId> + 'a {
    target.voters.difference(&present.voters).copied()
}

/// C_old,new.
fn joint(present: &Membership, target: Target, context: bytes::Bytes) -> Membership {
    Membership {
        voters: target.voters,
        outgoing: Some(present.voters.clone()),
        learners: target.learners,
        target: None,
        context,
    }
}

/// Whether C_old,new can be committed once it is begun: the new servers hold the log, and a majority of the new
/// voters is there. Whoever removes a server that works, while another one does not, would stop the cluster.
fn is_ready(server: &Server, leader: &Leader, target: &Target) -> bool {
    newcomers(server.membership(), target).all(|id| is_caught_up(server, leader, id))
        && quorum::agrees_half(&target.voters, |id| is_there(server, leader, id))
}

/// Whether a server takes entries now. That it was heard is not enough: a new leader supposes that of all for an
/// election timeout, lest it step down at once.
fn is_there(server: &Server, leader: &Leader, id: NodeId) -> bool {
    let takes_entries = leader.progress.get(&id).is_none_or(Progress::is_replicating);
    takes_entries && replication::hears(server, leader, id)
}

/// Whether a server follows so closely that its vote would not hold up the cluster (Thesis §4.2.1).
fn is_caught_up(server: &Server, leader: &Leader, id: NodeId) -> bool {
    if id == server.id() {
        return true;
    }
    let Some(progress) = leader.progress.get(&id) else { return false };
    let lag = server.log.last_index() - progress.match_index;
    let is_close = lag <= server.config.caught_up_entries
        || progress.catch_up.keeps_pace(server.now, server.config.election_timeout_max);
    is_there(server, leader, id) && is_close
}

/// Appends a configuration, which is in force from this moment on.
fn put_in_force(server: &mut Server, leader: &mut Leader, membership: Membership) -> Index {
    let index = replication::append(server, leader, Payload::Membership(Box::new(membership)));
    // Those who leave get this entry too, so that they know that they did (see `Leaving`). They count for
    // nothing any more: every majority is taken from the configuration itself.
    let until = server.now + server.config.election_timeout_max;
    let members = server.membership().members();
    for (id, progress) in &mut leader.progress {
        if !members.contains(id) && progress.leaving.is_none() {
            progress.leaving = Some(Leaving { index, until });
        }
    }
    // A server that comes back begins from nothing: what was known about its earlier life may be wrong.
    leader.progress.retain(|id, progress| !members.contains(id) || progress.leaving.is_none());
    for id in members.into_iter().filter(|id| *id != server.id()) {
        let now = server.now;
        leader.progress.entry(id).or_insert_with(|| Progress::new(index, now));
    }
    index
}

/// Servers that were removed and know it, or had time enough to, are forgotten.
pub(crate) fn say_farewell(server: &Server, leader: &mut Leader) {
    let (committed, now) = (server.commit_index(), server.now);
    leader.progress.retain(|_, progress| match progress.leaving {
        None => true,
        Some(leaving) => {
            let knows = progress.match_index >= leaving.index && progress.commit_told >= leaving.index;
            let is_settled = committed >= leaving.index;
            !(is_settled && (knows || now >= leaving.until || !progress.is_replicating()))
        }
    });
}

/// Takes the next step of a change, if it is time for one. Says whether the leader has no place in the
/// cluster any more: then it steps down (Paper §6, second issue).
///
/// What is done depends on the configuration in force and on nothing else that this leader remembers: a new
/// leader does the same.
pub(crate) fn advance(server: &mut Server, leader: &mut Leader) -> bool {
    report_caught_up(server, leader);
    if server.commit_index() < leader.first_of_term
        || server.commit_index() < server.configurations.index()
        || leader.transfer.is_some()
    {
        return false;
    }
    // What is in force is committed, so the next step may be taken.
    let present = server.membership();
    let next = match (present.stage(), &present.target) {
        (MembershipStage::Final, _) => return !present.voters.contains(&server.id()),
        (MembershipStage::Joint, _) => Membership { outgoing: None, target: None, ..present.clone() },
        (MembershipStage::CatchUp, Some(target)) if is_ready(server, leader, target) => {
            joint(present, target.clone(), present.context.clone())
        }
        (MembershipStage::CatchUp, _) => return false,
    };
    put_in_force(server, leader, next);
    false
}

/// Says once of each server on its way to be a voter that it has caught up.
fn report_caught_up(server: &mut Server, leader: &mut Leader) {
    let Some(target) = &server.membership().target else { return };
    let caught_up: Vec<NodeId> =
        newcomers(server.membership(), target).filter(|id| is_caught_up(server, leader, *id)).collect();
    for peer in caught_up {
        if let Some(progress) = leader.progress.get_mut(&peer).filter(|it| !it.catch_up.reported) {
            progress.catch_up.reported = true;
            let match_index = progress.match_index;
            server.event(Event::CaughtUp { peer, match_index });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Term;

    fn of(voters: &[u64]) -> Membership {
        Membership::of(voters.iter().copied().map(NodeId))
    }

    fn entry(index: u64, voters: &[u64]) -> Entry {
        let payload = Payload::Membership(Box::new(of(voters)));
        Entry { term: Term(1), index: Index(index), payload }
    }

    fn three() -> Configurations {
        let mut configurations = Configurations::new(Index(3), of(&[1]));
        configurations.on_appended(&entry(5, &[1, 2]));
        configurations.on_appended(&entry(8, &[1, 2, 3]));
        configurations
    }

    #[test]
    fn the_last_one_is_in_force_until_it_is_truncated() {
        let mut configurations = three();
        assert_eq!(configurations.in_force(), &of(&[1, 2, 3]));
        assert!(!configurations.on_truncated(Index(9)));
        assert!(configurations.on_truncated(Index(8)));
        assert_eq!((configurations.index(), configurations.in_force()), (Index(5), &of(&[1, 2])));
    }

    #[test]
    fn a_snapshot_keeps_the_one_as_of_its_last_entry() {
        let configurations = three();
        for (index, voters) in [(3, &[1][..]), (4, &[1]), (5, &[1, 2]), (7, &[1, 2]), (8, &[1, 2, 3])] {
            assert_eq!(configurations.as_of(Index(index)), &of(voters), "as of {index}");
            let mut compacted = configurations.clone();
            compacted.on_compacted(Index(index));
            assert_eq!(compacted.as_of(Index(index)), &of(voters), "compacted to {index}");
            assert_eq!(compacted.in_force(), &of(&[1, 2, 3]));
        }
    }

    #[test]
    fn only_what_is_surely_overruled_may_not_hold() {
        let configurations = three();
        let only_one = |membership: &Membership| membership.voters.len() == 1;
        assert!(configurations.any_that_may_hold(Index(4), only_one));
        assert!(!configurations.any_that_may_hold(Index(5), only_one));
        assert!(configurations.any_that_may_hold(Index(9), |membership| membership.voters.len() == 3));
    }
}
