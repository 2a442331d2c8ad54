//! The terms of a log's entries, as far as they are known: runs of entries of one term.

use std::collections::BTreeMap;

use jangada_raft::types::{Index, Term};

/// Known terms of entries. A log has few runs: a new one begins with a new term, or behind a part that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    /// From the first entry of a run to its last one and their term.
    runs: BTreeMap<Index, (Index, Term)>,
}

/// Two logs have entries of different terms at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) index: Index,
    pub(crate) own: Term,
    pub(crate) other: Term,
}

impl Runs {
    /// Entries were appended of which only the last one's term is known. If the entry before them has the same
    /// term, so have all: terms never fall along a log.
    pub(crate) fn append(&mut self, first: Index, last: Index, term: Term) {
        let continues = self.term_at(first.previous()) == Some(term);
        self.append_all(if continues { first } else { last }, last, term);
    }

    /// Entries were appended that all have this term.
    pub(crate) fn append_all(&mut self, first: Index, last: Index, term: Term) {
        self.truncate(first);
        match self.runs.last_entry() {
            Some(mut run) if run.get().0.next() == first && run.get().1 == term => run.get_mut().0 = last,
            _ => {
                self.runs.insert(first, (last, term));
            }
        }
    }

    /// The entries from here on are gone.
    pub(crate) fn truncate(&mut self, from: Index) {
        self.runs.split_off(&from);
        if let Some(mut run) = self.runs.last_entry()
            && run.get().0 >= from
        {
            run.get_mut().0 = from.previous();
        }
    }

    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        let (_, (last, term)) = self.runs.range(..=index).next_back()?;
        (*last >= index).then_some(*term)
    }

    /// The last entry before this one whose term is known.
    pub(crate) fn known_before(&self, index: Index) -> Option<(Index, Term)> {
        let (_, (last, term)) = self.runs.range(..index).next_back()?;
        Some(((*last).min(index.previous()), *term))
    }

    /// The known parts of `first..=last`.
    fn parts(&self, first: Index, last: Index) -> impl Iterator<Item = (Index, Index, Term)> {
        let reaching_in = self.runs.range(..first).next_back();
        let inside = (first <= last).then(|| self.runs.range(first..=last));
        reaching_in
            .into_iter()
            .chain(inside.into_iter().flatten())
            .map(move |(from, (to, term))| ((*from).max(first), (*to).min(last), *term))
            .filter(|(from, to, _)| from <= to)
    }

    /// The first place in `first..=last` of which both know the term, and not the same one.
    pub(crate) fn conflict(&self, other: &Runs, first: Index, last: Index) -> Option<Conflict> {
        self.parts(first, last).find_map(|(from, to, own)| {
            let differs = other.parts(from, to).find(|(_, _, theirs)| *theirs != own);
            differs.map(|(index, _, other)| Conflict { index, own, other })
        })
    }

    /// Takes over what another one knows of `first..=last`. There is no conflict between the two.
    pub(crate) fn learn(&mut self, other: &Runs, first: Index, last: Index) {
        for (from, to, term) in other.parts(first, last) {
            let mut whole = (from, to);
            // Swallow what overlaps or touches: it has the same term, or only touches.
            let near: Vec<(Index, Index, Term)> = self.parts_around(from, to).collect();
            for (near_from, near_to, near_term) in near {
                if near_term == term {
                    self.runs.remove(&near_from);
                    whole = (whole.0.min(near_from), whole.1.max(near_to));
                }
            }
            self.runs.insert(whole.0, (whole.1, term));
        }
    }

    /// The runs that overlap or touch `from..=to`.
    fn parts_around(&self, from: Index, to: Index) -> impl Iterator<Item = (Index, Index, Term)> {
        let before = self.runs.range(..from).next_back();
        let runs = before.into_iter().chain(self.runs.range(from..=to.next()));
        runs.filter(move |(_, (last, _))| last.next() >= from)
            .map(|(first, (last, term))| (*first, *last, *term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(runs: &Runs) -> Vec<Option<u64>> {
        (1..=8).map(|index| runs.term_at(Index(index)).map(|term| term.0)).collect()
    }

    #[test]
    fn what_is_appended_is_known_as_far_as_it_can_be() {
        let mut runs = Runs::default();
        runs.append(Index(1), Index(2), Term(1));
        assert_eq!(known(&runs)[..3], [None, Some(1), None]);
        runs.append(Index(3), Index(4), Term(1));
        runs.append_all(Index(5), Index(6), Term(2));
        assert_eq!(known(&runs), [None, Some(1), Some(1), Some(1), Some(2), Some(2), None, None]);
        assert_eq!(runs.known_before(Index(6)), Some((Index(5), Term(2))));
        runs.truncate(Index(4));
        assert_eq!(known(&runs), [None, Some(1), Some(1), None, None, None, None, None]);
    }

    #[test]
    fn conflicts_are_found_where_both_know() {
        let (mut a, mut b) = (Runs::default(), Runs::default());
        a.append_all(Index(1), Index(4), Term(1));
        b.append_all(Index(1), Index(2), Term(1));
        b.append_all(Index(3), Index(6), Term(2));
        let conflict = Conflict { index: Index(3), own: Term(1), other: Term(2) };
        assert_eq!(a.conflict(&b, Index(1), Index(9)), Some(conflict));
        assert_eq!(a.conflict(&b, Index(1), Index(2)), None);
        assert_eq!(a.conflict(&b, Index(5), Index(9)), None);
    }

    #[test]
    fn learning_joins_runs() {
        let (mut a, mut b) = (Runs::default(), Runs::default());
        a.append_all(Index(1), Index(3), Term(1));
        b.append_all(Index(2), Index(5), Term(1));
        b.append_all(Index(6), Index(7), Term(2));
        a.learn(&b, Index(3), Index(4));
        a.learn(&b, Index(7), Index(7));
        assert_eq!(known(&a), [Some(1), Some(1), Some(1), Some(1), None, None, Some(2), None]);
        a.learn(&b, Index(1), Index(9));
        assert_eq!(known(&a), [Some(1), Some(1), Some(1), Some(1), Some(1), Some(2), Some(2), None]);
        assert_eq!(a.runs.len(), 2);
    }
}
