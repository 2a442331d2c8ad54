//! From when on a server that has started may answer by its own store.
//!
//! How far a log is committed is not on the disk (Paper, Figure 2: `commitIndex` is volatile). A server that starts has the
//! state of its last snapshot, or none, until a leader tells it how much of what follows is committed. What it has applied
//! and told of in its earlier life may not be there yet: keys would be missing that somebody was shown, and users who need
//! a password since then would need none. So nobody is answered by that store before it is what it was.

//!
//! It is when it has applied what a leader of the present term called committed, if that leader had committed an entry of its
//! own term by then: all that was committed before stands in front of that entry (Leader Completeness, Paper §5.4). The end
//! of the log on the disk would not do for a mark: a leader commits, and applies, without its own disk.

use jangada_raft::types::{Index, Term};

/// How a server stands after a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Its term.
    pub(crate) term: Term,
    /// It leads that term itself.
    pub(crate) leads: bool,
    /// The configuration in force names this server, with the disk that it has.
    pub(crate) is_member: bool,
    /// Its snapshot is being loaded.
    pub(crate) is_restoring: bool,
    /// How much of its log the store has seen.
    pub(crate) applied: Index,
}

/// Whether the store is as far again as it was when the server last ran.
#[derive(Debug, Default)]
pub(crate) struct CaughtUp {
    /// The latest that a leader called committed, and its term.
    told: Option<(Term, Index)>,
    reached: bool,
}

impl CaughtUp {
    /// A leader says how much is committed.
    pub(crate) fn hears(&mut self, term: Term, leader_commit: Index) {
        self.told = self.told.max(Some((term, leader_commit)));
    }

    /// Looks again; `term_at` knows the terms of the log's entries. Once true, it stays so.
    pub(crate) fn look(&mut self, standing: Standing, term_at: impl Fn(Index) -> Option<Term>) -> bool {
        let Standing { term, leads, is_member, is_restoring, applied } = standing;
        let committed = match self.told {
            _ if leads => Some(applied),
            Some((of, index)) if of == term => Some(index),
            Some(_) | None => None,
        };
        self.reached |= is_member
            && !is_restoring
            && committed.is_some_and(|index| applied >= index && term_at(index) == Some(term));
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Term = Term(3);

    /// A follower in term 3 of whose log the entries from 10 on are of that term.
    fn follower(applied: u64) -> Standing {
        Standing { term: TERM, leads: false, is_member: true, is_restoring: false, applied: Index(applied) }
    }

    fn term_at(index: Index) -> Option<Term> {
        Some(if index < Index(10) { Term(2) } else { TERM })
    }

    fn told(term: u64, leader_commit: u64) -> CaughtUp {
        let mut caught_up = CaughtUp::default();
        caught_up.hears(Term(term), Index(leader_commit));
        caught_up
    }

    #[test]
    fn a_follower_applies_first_what_its_leader_calls_committed() {
        assert!(!CaughtUp::default().look(follower(12), term_at), "no leader has said anything");
        let mut caught_up = told(3, 12);
        assert!(!caught_up.look(follower(11), term_at));
        assert!(caught_up.look(follower(12), term_at));
        assert!(caught_up.look(follower(5), term_at), "that is not forgotten");
    }

    #[test]
    fn what_a_leader_says_before_it_has_committed_anything_itself_proves_nothing() {
        let mut caught_up = told(3, 8);
        assert!(!caught_up.look(follower(9), term_at), "entry 8 is of term 2");
        caught_up.hears(TERM, Index(10));
        assert!(!caught_up.look(follower(9), term_at));
        assert!(caught_up.look(follower(10), term_at));
        assert!(!told(2, 8).look(follower(9), term_at), "a leader of an earlier term");
    }

    #[test]
    fn a_leader_applies_an_entry_of_its_own_first() {
        let leader = |applied| Standing { leads: true, ..follower(applied) };
        assert!(!CaughtUp::default().look(leader(9), term_at));
        assert!(CaughtUp::default().look(leader(10), term_at));
    }

    #[test]
    fn a_snapshot_that_is_loaded_and_an_unknown_disk_are_waited_for() {
        for not_yet in
            [Standing { is_restoring: true, ..follower(12) }, Standing { is_member: false, ..follower(12) }]
        {
            assert!(!told(3, 12).look(not_yet, term_at), "{not_yet:?}");
        }
    }
}
