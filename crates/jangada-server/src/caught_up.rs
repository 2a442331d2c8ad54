//! From when on a server that has started may answer by its own store.
//!
//! How far a log is committed is not on the disk (Paper, Figure 2: `commitIndex` is volatile). A server that starts has the
//! state of its last snapshot, or none, until a leader tells it how much of what follows is committed. What it has applied
//! and told of in its earlier life may not be there yet: keys would be missing that somebody was shown, and users who need
//! a password since then would need none. So nobody is answered by that store before it is what it was.

use jangada_raft::types::Index;

/// How a server stands after a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Somebody leads, and has been heard of in this life.
    pub(crate) leader_known: bool,
    /// The configuration in force names this server, with the disk that it has.
    pub(crate) is_member: bool,
    /// Its snapshot is being loaded.
    pub(crate) is_restoring: bool,
    /// The end of its log.
    pub(crate) last: Index,
    /// How much of it the store has seen.
    pub(crate) applied: Index,
}

/// Whether the store is as far again as it was when the server last ran.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    /// Nothing behind this was ever applied by this disk.
    through: Index,
    reached: bool,
}

impl CaughtUp {
    /// A server starts whose log ends with `last`.
    pub(crate) fn new(last: Index) -> CaughtUp {
        CaughtUp { through: last, reached: false }
    }

    /// Looks again. Once true, it stays so.
    pub(crate) fn look(&mut self, standing: Standing) -> bool {
        // What a leader removes was not committed, so that nobody was told of it.
        self.through = self.through.min(standing.last);
        // A log begins with an entry of its first leader: a store that has seen nothing is that of a newcomer.
        self.reached |= standing.leader_known
            && standing.is_member
            && !standing.is_restoring
            && standing.applied >= self.through
            && standing.applied > Index::ZERO;
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(applied: u64, last: u64) -> Standing {
        Standing {
            leader_known: true,
            is_member: true,
            is_restoring: false,
            last: Index(last),
            applied: Index(applied),
        }
    }

    #[test]
    fn all_that_was_on_the_disk_is_applied_first_and_that_is_not_forgotten() {
        let mut caught_up = CaughtUp::new(Index(9));
        assert!(!caught_up.look(standing(0, 9)));
        assert!(!caught_up.look(standing(8, 10)));
        assert!(caught_up.look(standing(9, 10)));
        assert!(caught_up.look(Standing { leader_known: false, ..standing(9, 20) }));
    }

    #[test]
    fn nobody_waits_for_what_a_leader_has_removed() {
        let mut caught_up = CaughtUp::new(Index(9));
        assert!(!caught_up.look(standing(4, 5)));
        assert!(caught_up.look(standing(5, 9)), "entries 6 to 9 are new ones");
    }

    #[test]
    fn a_snapshot_that_is_loaded_a_missing_leader_and_an_unknown_disk_are_waited_for() {
        for not_yet in [
            Standing { is_restoring: true, ..standing(9, 9) },
            Standing { leader_known: false, ..standing(9, 9) },
            Standing { is_member: false, ..standing(9, 9) },
        ] {
            assert!(!CaughtUp::new(Index(9)).look(not_yet), "{not_yet:?}");
        }
        assert!(!CaughtUp::new(Index(0)).look(standing(0, 0)), "a newcomer");
    }
}
