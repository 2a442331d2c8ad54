//! What the synced images of the disks say about commits, elections and restarts.

use std::collections::BTreeSet;

use jangada_raft::types::{HardState, Index, Membership, NodeId, Term};

use crate::disk::SimDisk;
use crate::disk::synced::LogView;

use super::{Findings, Invariant};

/// All disks, in the order of their servers' ids, from 1 on.
pub(crate) struct Disks<'a> {
    pub(crate) present: &'a [SimDisk],
    /// Disks that were lost. What they had acknowledged may still be counted: losing one is no fault of the protocol.
    pub(crate) lost: &'a [Vec<SimDisk>],
}

impl Disks<'_> {
    /// In each half of the configuration, a majority's disk says so.
    fn quorum(&self, membership: &Membership, says: impl Fn(&LogView) -> bool) -> bool {
        let majority = |voters: &BTreeSet<NodeId>| {
            let agreeing = voters.iter().filter(|id| {
                let place = usize::try_from(id.0 - 1).unwrap_or(usize::MAX);
                self.present.get(place).is_some_and(|disk| says(&disk.synced()))
                    || self.lost.get(place).into_iter().flatten().any(|disk| says(&disk.synced()))
            });
            agreeing.count() > voters.len() / 2
        };
        majority(&membership.voters) && membership.outgoing.as_ref().is_none_or(majority)
    }

    /// An entry is committed for the first time. `memberships` has the configuration in force before the step,
    /// and those that came into force in it.
    pub(crate) fn check_commit(
        &self,
        node: NodeId,
        (index, term): (Index, Term),
        memberships: &[&Membership],
        findings: &mut Findings,
    ) {
        let durable =
            |membership: &&Membership| self.quorum(membership, |view| view.positions.holds(index, term));
        if !memberships.iter().any(durable) {
            findings.report(Invariant::CommittedDurableOnQuorum, Some(node), || {
                let holders = (1_u64..).zip(self.present);
                let holders: Vec<String> = holders
                    .filter(|(_, disk)| disk.synced().positions.holds(index, term))
                    .map(|(id, _)| format!("n{id}"))
                    .collect();
                format!(
                    "{node} committed entry {index} of term {term}, which only [{}] hold on disk",
                    holders.join(" ")
                )
            });
        }
    }

    /// A server leads: a quorum's votes for it are on disk, or overtaken by later terms.
    pub(crate) fn check_election(
        &self,
        node: NodeId,
        term: Term,
        membership: &Membership,
        findings: &mut Findings,
    ) {
        let voted = |view: &LogView| {
            let HardState { term: durable, voted_for } = view.hard_state;
            durable > term || (durable == term && voted_for == Some(node))
        };
        if !self.quorum(membership, voted) {
            findings.report(Invariant::Quorum, Some(node), || {
                let voters = (1_u64..).zip(self.present).filter(|(_, disk)| voted(&disk.synced()));
                let voters: Vec<String> = voters.map(|(id, _)| format!("n{id}")).collect();
                let voters = if voters.is_empty() { "nobody".to_owned() } else { voters.join(" ") };
                format!("{node} leads in term {term}, and only these votes for it are on disks: {voters}")
            });
        }
    }
}

/// What a log says after a crash must be what was synced, or that with further whole batches that were written.
/// Returns the number of the last batch that is there.
pub(crate) fn recovered_is_possible(
    node: NodeId,
    found: &LogView,
    possible: &[LogView],
    findings: &mut Findings,
) -> u64 {
    // Of views that say the same the first: whether the batches without an effect behind it are there, is not known.
    if let Some(view) = possible.iter().find(|view| view.same(found)) {
        return view.batch();
    }
    findings.report(Invariant::SyncedSurvives, Some(node), || {
        let say = |view: &LogView| {
            let HardState { term, voted_for } = view.hard_state;
            let voted_for = voted_for.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
            let (snapshot, last) = (view.positions.snapshot.0, view.positions.last);
            format!("term {term}, vote for {voted_for}, snapshot {snapshot}, last entry {last}")
        };
        let synced = possible.first().map_or_else(String::new, say);
        format!("{node} finds {} where {synced} was synced ({} views)", say(found), possible.len())
    });
    possible.iter().map(LogView::batch).max().unwrap_or(0)
}
