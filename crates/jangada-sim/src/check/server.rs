//! One server: what may only grow, what must stand in order, which configuration is in force.

use jangada_node::replica::Replica;
use jangada_node::state_machine::StateMachine;
use jangada_raft::Raft;
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::event::{MembershipStage, RoleName};
use jangada_raft::types::{Index, Membership, NodeId, Payload, Term};

use crate::disk::SimDisk;
use crate::disk::synced::Positions;
use crate::observed::Observed;
use crate::plan::Settings;
use crate::server::KEEP_BYTES_DURING_TRANSFER;

use super::{Committed, Disks, Findings, Invariant, Logs};

/// What was last seen of a running server.
pub(crate) struct Seen {
    term: Term,
    /// The same, as far as the events of this step have been read: a server that has slept hears of several terms at
    /// once.
    term_so_far: Term,
    voted_for: Option<NodeId>,
    commit: Index,
    applied: Index,
    snapshot: Index,
    /// The entries in its memory.
    log: Positions,
    /// Where configurations stand in its log, ascending.
    configurations: Vec<Index>,
    membership: Membership,
    /// Where that stands. Its term, too: a snapshot may take the place of an entry that nobody committed.
    membership_at: (Term, Index),
    /// Configurations that came into force since the last step and may be gone already: a server that has slept can
    /// leave a joint one, commit by the new one, and be told by the next leader that it is joint again.
    passed: Vec<Membership>,
}

impl Seen {
    /// A server that has just started.
    pub(crate) fn new(raft: &Raft) -> Seen {
        let entries: Vec<_> = raft.entries(raft.first_index()..=raft.last_index()).cloned().collect();
        let configurations = entries.iter().filter(|entry| matches!(entry.payload, Payload::Membership(_)));
        Seen {
            term: raft.term(),
            term_so_far: raft.term(),
            voted_for: raft.voted_for(),
            commit: raft.commit_index(),
            applied: Index::ZERO,
            snapshot: raft.snapshot_meta().last_included_index,
            log: Positions::of(raft.snapshot_meta(), &entries),
            configurations: configurations.map(|entry| entry.index).collect(),
            membership: raft.membership().clone(),
            membership_at: raft.membership_position(),
            passed: Vec::new(),
        }
    }

    /// Everything that the core says happened in this step, in order.
    pub(crate) fn event(
        &mut self,
        raft: &Raft,
        event: RaftEvent,
        logs: &mut Logs,
        committed: &Committed,
        disks: &Disks<'_>,
        findings: &mut Findings,
    ) {
        match event {
            RaftEvent::TermChanged { new, .. } => self.term_so_far = new,
            RaftEvent::MembershipChanged { stage: MembershipStage::Final, .. } => {
                self.passed.extend(without_outgoing(&self.membership));
            }
            RaftEvent::RoleChanged { role: RoleName::Leader, term, .. } => {
                logs.leads(raft.id(), term, findings);
                if raft.term() == term && raft.is_leader() {
                    committed.check_new_leader(raft, findings);
                    disks.check_election(raft.id(), term, &self.membership, findings);
                }
            }
            RaftEvent::Truncated { from, .. } => {
                let removed = (from, self.log.term_at(from));
                committed.check_truncation(raft.id(), self.term_so_far, removed, findings);
                self.log.truncate(from);
                self.configurations.retain(|index| *index < from);
            }
            RaftEvent::SnapshotInstalled { index, term, .. } | RaftEvent::SnapshotTaken { index, term } => {
                if committed.term(index) != Some(term) {
                    findings.report(Invariant::CommittedImmutable, Some(raft.id()), || {
                        format!("a snapshot ends with entry {index} of term {term}, which is not committed")
                    });
                }
                let keep = self.log.holds(index, term);
                self.log.cover((index, term), keep);
                if !keep {
                    self.configurations.clear();
                }
            }
            _ => {}
        }
    }

    /// What holds after the step.
    pub(crate) fn check<S: StateMachine>(
        &mut self,
        replica: &Replica<Observed<S>>,
        logs: &mut Logs,
        committed: &mut Committed,
        disks: &Disks<'_>,
        findings: &mut Findings,
    ) {
        let raft = replica.raft();
        let commit = raft.commit_index();
        self.read_on(raft, logs, findings);
        let changed = raft.membership_position() != self.membership_at;
        if changed {
            self.check_configuration(raft, logs, findings);
        }
        if commit != self.commit {
            if commit < self.commit {
                self.goes_back(raft, "its commit index", self.commit.0, commit.0, findings);
            } else if let Some(newest) = committed.advanced(raft, self.commit, logs, findings) {
                let ends = [&self.membership, raft.membership()];
                let in_force: Vec<_> =
                    ends[..1 + usize::from(changed)].iter().copied().chain(&self.passed).collect();
                disks.check_commit(raft.id(), newest, &in_force, findings);
            }
            self.commit = commit;
        }
        if changed {
            self.membership.clone_from(raft.membership());
            self.membership_at = raft.membership_position();
        }
        self.passed.clear();
        self.check_hard_state(raft, findings);
        self.check_applied(replica, committed, findings);
    }

    /// Takes over the entries that are new. Within one step entries can be appended, removed and appended: what
    /// counts is what stands there at its end, as nothing else can have left the server.
    fn read_on(&mut self, raft: &Raft, logs: &mut Logs, findings: &mut Findings) {
        let (first, last) = (self.log.last.next(), raft.last_index());
        if first > last {
            return;
        }
        logs.appended(raft, first, last, findings);
        for entry in raft.entries(first..=last) {
            self.log.append(entry.index, entry.term);
            if matches!(entry.payload, Payload::Membership(_)) {
                self.configurations.push(entry.index);
            }
        }
    }

    fn goes_back(&self, raft: &Raft, what: &str, from: u64, to: u64, findings: &mut Findings) {
        let id = raft.id();
        findings.report(Invariant::Monotonic, Some(id), || format!("{what} goes back from {from} to {to}"));
    }

    fn check_hard_state(&mut self, raft: &Raft, findings: &mut Findings) {
        let (term, voted_for) = (raft.term(), raft.voted_for());
        if term < self.term {
            self.goes_back(raft, "its term", self.term.0, term.0, findings);
        }
        if term == self.term && self.voted_for.is_some() && voted_for != self.voted_for {
            findings.report(Invariant::Monotonic, Some(raft.id()), || {
                let whom =
                    |vote: Option<NodeId>| vote.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
                format!(
                    "its vote of term {term} changes from {} to {}",
                    whom(self.voted_for),
                    whom(voted_for)
                )
            });
        }
        (self.term, self.term_so_far, self.voted_for) = (term, term, voted_for);
    }

    fn check_applied<S: StateMachine>(
        &mut self,
        replica: &Replica<Observed<S>>,
        committed: &Committed,
        findings: &mut Findings,
    ) {
        let (raft, applied) = (replica.raft(), replica.last_applied());
        let snapshot = raft.snapshot_meta().last_included_index;
        if applied == self.applied && snapshot == self.snapshot {
            return;
        }
        let ordered = (replica.is_restoring() || snapshot <= applied)
            && applied <= raft.commit_index()
            && raft.commit_index() <= raft.last_index()
            && raft.first_index() <= snapshot.next();
        if !ordered {
            findings.report(Invariant::OrderOfIndexes, Some(raft.id()), || {
                format!(
                    "snapshot {snapshot}, first {}, applied {applied}, commit {}, last {}",
                    raft.first_index(),
                    raft.commit_index(),
                    raft.last_index()
                )
            });
        }
        if applied < self.applied {
            self.goes_back(raft, "its last applied index", self.applied.0, applied.0, findings);
        }
        if snapshot < self.snapshot {
            self.goes_back(raft, "its snapshot", self.snapshot.0, snapshot.0, findings);
        }
        (self.applied, self.snapshot) = (applied, snapshot);
        let witness = replica.state().witness();
        if applied > Index::ZERO && committed.witness(applied).is_some_and(|right| right != witness) {
            findings.report(Invariant::ExactlyOnceApply, Some(raft.id()), || {
                let right = committed.witness(applied).unwrap_or_default();
                format!(
                    "with entry {applied} its state has seen {} commands (chain {:x}), and {} are committed \
                     (chain {:x})",
                    witness.commands, witness.chain, right.commands, right.chain
                )
            });
        }
    }

    fn check_configuration(&mut self, raft: &Raft, logs: &Logs, findings: &mut Findings) {
        let snapshot = raft.snapshot_meta();
        let at = snapshot.last_included_index;
        let last = self.configurations.last().copied().filter(|index| *index > at);
        let expected = match last {
            Some(index) => logs.membership(index, raft.term_at(index).unwrap_or_default()),
            None => Some(&*snapshot.membership),
        };
        if expected.is_some_and(|expected| expected != raft.membership()) {
            findings.report(Invariant::ConfigurationIsLastInLog, Some(raft.id()), || {
                format!(
                    "the configuration of entry {} is in force, and the last one in the log is that of entry {}",
                    raft.membership_index(),
                    last.unwrap_or(at)
                )
            });
        }
    }
}

/// What a joint configuration becomes; nothing if it is not joint (Paper §6).
fn without_outgoing(membership: &Membership) -> Option<Membership> {
    membership.outgoing.as_ref()?;
    Some(Membership { outgoing: None, ..membership.clone() })
}

/// Bytes that clients can bring in while a snapshot is being taken, and then some.
const SLACK_BYTES: usize = 256 << 10;

/// The log in memory is what the settings allow, and what came while it was being cut.
pub(crate) fn check_bounds<S: StateMachine>(
    replica: &Replica<Observed<S>>,
    settings: &Settings,
    findings: &mut Findings,
) {
    let kept = settings.keep_bytes_behind_snapshot.max(KEEP_BYTES_DURING_TRANSFER);
    let bound = kept + 2 * settings.snapshot_after_bytes + SLACK_BYTES;
    let bytes = replica.raft().log_bytes();
    if bytes > bound {
        findings.report(Invariant::ResourceBounds, Some(replica.id()), || {
            format!("its log takes {bytes} bytes in memory, {bound} at most are due")
        });
    }
}

/// The disk of a server that has stopped by itself explains why, or nothing does.
pub(crate) fn check_halt(node: NodeId, disk: &SimDisk, why: &str, findings: &mut Findings) {
    if !disk.was_faulted() {
        findings.report(Invariant::Halt, Some(node), || why.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_joint_configuration_is_left() {
        let new = Membership::of([1, 2, 3].map(NodeId));
        assert_eq!(without_outgoing(&new), None);
        let joint = Membership { outgoing: Some([3, 4, 5].map(NodeId).into()), ..new.clone() };
        assert_eq!(without_outgoing(&joint), Some(new));
    }
}
