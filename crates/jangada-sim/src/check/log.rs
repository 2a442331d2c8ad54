//! All logs together: the entries that ever were, and those that are committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_node::state_machine::{STAMP_BYTES, Stamp};
use jangada_raft::Raft;
use jangada_raft::types::{Entry, Index, Membership, NodeId, Payload, Term, Time};

use crate::observed::Witness;
use crate::workload::CommittedCommand;

use super::{Findings, Invariant};

/// Every entry that was ever appended anywhere, by index and term, with the term of the one before.
#[derive(Default)]
pub(crate) struct Logs {
    entries: Vec<Vec<(Term, Entry)>>,
    leaders: BTreeMap<Term, NodeId>,
}

impl Logs {
    /// A server has appended these entries. Log Matching: an entry is the same wherever it stands, and so is
    /// the one before it; by induction, so is all before it.
    pub(crate) fn appended(&mut self, raft: &Raft, first: Index, last: Index, findings: &mut Findings) {
        let mut before = raft.term_at(first.previous());
        for entry in raft.entries(first..=last) {
            let Some(previous) = before.replace(entry.term) else { continue };
            let place = usize::try_from(entry.index.0).expect("a run has few entries");
            if self.entries.len() <= place {
                self.entries.resize_with(place + 1, Vec::new);
            }
            match self.entries[place].iter().find(|(_, known)| known.term == entry.term) {
                None => self.entries[place].push((previous, entry.clone())),
                Some((known_previous, known)) if *known_previous == previous && known == entry => {}
                Some((known_previous, known)) => {
                    findings.report(Invariant::LogMatching, Some(raft.id()), || {
                        let what = if known == entry { "follows another entry" } else { "is another entry" };
                        format!(
                            "entry {} of term {} {what} than elsewhere (behind terms {previous} and \
                             {known_previous})",
                            entry.index, entry.term
                        )
                    });
                }
            }
        }
    }

    /// The configuration that stands at this place, if the entry is one.
    pub(crate) fn membership(&self, index: Index, term: Term) -> Option<&Membership> {
        let place = usize::try_from(index.0).ok()?;
        let (_, entry) = self.entries.get(place)?.iter().find(|(_, entry)| entry.term == term)?;
        match &entry.payload {
            Payload::Membership(membership) => Some(membership),
            Payload::Noop | Payload::Command(_) => None,
        }
    }

    pub(crate) fn entry(&self, index: Index, term: Term) -> Option<&Entry> {
        let place = usize::try_from(index.0).ok()?;
        self.entries.get(place)?.iter().map(|(_, entry)| entry).find(|entry| entry.term == term)
    }

    /// A server leads. Election Safety: nobody else ever leads in that term.
    pub(crate) fn leads(&mut self, node: NodeId, term: Term, findings: &mut Findings) {
        let known = *self.leaders.entry(term).or_insert(node);
        if known != node {
            findings.report(Invariant::ElectionSafety, Some(node), || {
                format!("{node} leads in term {term}, and so did {known}")
            });
        }
    }
}

/// A committed entry.
#[derive(Clone, Copy, Debug)]
struct Mark {
    term: Term,
    /// The term of the server that committed it first.
    by: Term,
    /// When that was.
    at: Time,
    /// All commands up to here.
    witness: Witness,
}

fn split(command: &Bytes) -> (Stamp, Bytes) {
    let at = command.len().min(STAMP_BYTES);
    let stamp = command.first_chunk().map_or(0, |stamp| u64::from_le_bytes(*stamp));
    (Stamp(stamp), command.slice(at..))
}

/// What is committed, for ever.
pub(crate) struct Committed {
    marks: Vec<Mark>,
}

impl Committed {
    pub(crate) fn new() -> Committed {
        // Index 0 stands before the log, a place about which all agree.
        Committed {
            marks: vec![Mark {
                term: Term::ZERO,
                by: Term::ZERO,
                at: Time::ZERO,
                witness: Witness::default(),
            }],
        }
    }

    pub(crate) fn last(&self) -> Index {
        Index(self.marks.len() as u64 - 1)
    }

    pub(crate) fn term(&self, index: Index) -> Option<Term> {
        self.mark(index).map(|mark| mark.term)
    }

    /// What a state machine must have seen that has applied everything up to here.
    pub(crate) fn witness(&self, index: Index) -> Option<Witness> {
        self.mark(index).map(|mark| mark.witness)
    }

    fn mark(&self, index: Index) -> Option<&Mark> {
        self.marks.get(usize::try_from(index.0).ok()?)
    }

    /// A server's commit index went from `before` to where it is. Returns the last entry that nobody had
    /// committed before, if there is one.
    pub(crate) fn advanced(
        &mut self,
        raft: &Raft,
        before: Index,
        logs: &Logs,
        findings: &mut Findings,
    ) -> Option<(Index, Term)> {
        let (first, last, known) = (before.next(), raft.commit_index(), self.last());
        let mut index = first.max(raft.snapshot_meta().last_included_index);
        while index <= last {
            let Some(term) = raft.term_at(index) else { break };
            if index <= known {
                let committed = self.marks[usize::try_from(index.0).expect("it is in memory")].term;
                if committed != term {
                    findings.report(Invariant::CommittedImmutable, Some(raft.id()), || {
                        format!("entry {index} was committed with term {committed}, and now with term {term}")
                    });
                    return None;
                }
            } else {
                self.push(index, term, raft.term(), logs, findings, raft.id());
            }
            index = index.next();
        }
        (last > known && self.last() == last).then(|| (last, self.term(last).unwrap_or_default()))
    }

    fn push(
        &mut self,
        index: Index,
        term: Term,
        by: Term,
        logs: &Logs,
        findings: &mut Findings,
        node: NodeId,
    ) {
        let Some(entry) = logs.entry(index, term).filter(|_| index == self.last().next()) else {
            findings.report(Invariant::CommittedImmutable, Some(node), || {
                format!("entry {index} of term {term} is committed, and nobody has seen it appended")
            });
            return;
        };
        let mut witness = self.marks.last().map(|mark| mark.witness).unwrap_or_default();
        if let Payload::Command(command) = &entry.payload {
            let (stamp, command) = split(command);
            witness.saw(stamp, &command);
        }
        self.marks.push(Mark { term, by, at: findings.now, witness });
    }

    /// How many entries are committed behind this one, and their bytes.
    pub(crate) fn size_behind(&self, index: Index, logs: &Logs) -> (u64, u64) {
        let first = usize::try_from(index.0 + 1).unwrap_or(usize::MAX);
        let behind = (index.0 + 1..).zip(self.marks.iter().skip(first));
        behind.fold((0, 0), |(entries, bytes), (index, mark)| {
            let size = logs.entry(Index(index), mark.term).map_or(0, Entry::size_bytes);
            (entries + 1, bytes + size as u64)
        })
    }

    /// All commands that are committed, in their order.
    pub(crate) fn commands(&self, logs: &Logs) -> Vec<CommittedCommand> {
        let mut commands = Vec::new();
        for (index, mark) in (0..).zip(&self.marks) {
            let payload = logs.entry(Index(index), mark.term).map(|entry| &entry.payload);
            if let Some(Payload::Command(command)) = payload {
                let (stamp, command) = split(command);
                commands.push(CommittedCommand { at: mark.at, stamp, command });
            }
        }
        commands
    }

    /// Leader Completeness: whoever leads in a term holds all that was committed in earlier ones.
    pub(crate) fn check_new_leader(&self, raft: &Raft, findings: &mut Findings) {
        let in_earlier_terms = |mark: &Mark| mark.by < raft.term();
        let Some(last) = self.marks.iter().rposition(in_earlier_terms) else { return };
        let (index, mark) = (Index(last as u64), self.marks[last]);
        let covered = index <= raft.snapshot_meta().last_included_index;
        if !covered && raft.term_at(index) != Some(mark.term) {
            findings.report(Invariant::LeaderCompleteness, Some(raft.id()), || {
                format!(
                    "{} leads in term {} without entry {index} of term {}, which was committed in term {}",
                    raft.id(),
                    raft.term(),
                    mark.term,
                    mark.by
                )
            });
        }
    }

    /// A server that is in `now` removes its entries from `from` on; the first of them had this term.
    ///
    /// What is committed is removed by no leader of the term in which it was committed, or of a later one. A leader of
    /// an earlier term may do so outside of the majority, at a server that hears of it late: it has led without the
    /// entry before that was committed, and whoever committed it will bring it back.
    pub(crate) fn check_truncation(
        &self,
        node: NodeId,
        now: Term,
        (from, term): (Index, Option<Term>),
        findings: &mut Findings,
    ) {
        let Some(mark) = self.mark(from).filter(|mark| Some(mark.term) == term && mark.by <= now) else {
            return;
        };
        findings.report(Invariant::CommittedImmutable, Some(node), || {
            let Mark { term, by, .. } = mark;
            format!(
                "{node} removes entry {from} of term {term} in term {now}, which was committed in term {by}"
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_removed_by_leaders_of_earlier_terms_only() {
        // Entry 1 of term 2 was committed by the leader of term 4.
        let mut committed = Committed::new();
        let (term, by) = (Term(2), Term(4));
        committed.marks.push(Mark { term, by, at: Time::ZERO, witness: Witness::default() });
        let removal_is_found = |now: u64, term: u64| {
            let mut findings = Findings::default();
            committed.check_truncation(NodeId(1), Term(now), (Index(1), Some(Term(term))), &mut findings);
            !findings.violations.is_empty()
        };
        assert!(!removal_is_found(3, 2), "the leader of term 3 was elected before that");
        assert!(removal_is_found(4, 2));
        assert!(removal_is_found(5, 2));
        assert!(!removal_is_found(5, 3), "another entry stood there");
    }
}
