//! The log in memory: the entries since the last snapshot, and a few from before it.
//!
//! Paper §5.3, Figure 6; `log[]` of Figure 2. It is *not* the disk: what is durable stands in `disk.rs`, and
//! what is committed in `server.rs`. The log is bounded by bytes: its owner takes a snapshot when
//! [`Log::size_bytes`] grows too large, which cuts it (Paper §7).

use alloc::collections::{VecDeque, vec_deque};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::types::{Entry, Index, Term};

/// The entries behind `base`, without a hole, their terms never falling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    /// The entry just before the first one here. Its content is gone, but the consistency check of
    /// AppendEntries still asks for its term when it comes to the first entry behind it (Paper §7).
    base_index: Index,
    base_term: Term,
    entries: VecDeque<Entry>,
    size_bytes: usize,
}

/// How entries from a leader fit our log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// We hold all of them already.
    Held,
    /// Those from this position in the message on are new, behind our last entry.
    Extends(usize),
    /// The one at this position in the message contradicts ours (Paper §5.3).
    Contradicts(usize),
}

impl Log {
    /// The entries behind `base_index`.
    ///
    /// # Panics
    /// If they have a hole or their terms fall: whoever recovered them read nonsense.
    pub(crate) fn new(base_index: Index, base_term: Term, entries: Vec<Entry>) -> Log {
        let mut log = Log { base_index, base_term, entries: VecDeque::new(), size_bytes: 0 };
        for entry in entries {
            log.append(entry);
        }
        log
    }

    /// The index just before the first entry that is still here.
    pub(crate) fn base_index(&self) -> Index {
        self.base_index
    }

    /// The first entry that is here, if there is any.
    pub(crate) fn first_index(&self) -> Index {
        self.base_index.next()
    }

    /// The last entry; the snapshot's last one if there is none behind it.
    pub(crate) fn last_index(&self) -> Index {
        self.base_index + self.entries.len() as u64
    }

    /// The term of the last entry, or of the snapshot if there is none behind it: an empty log is not a log
    /// of term 0. A server would otherwise lose each comparison of logs right after it has taken a snapshot.
    pub(crate) fn last_term(&self) -> Term {
        self.entries.back().map_or(self.base_term, |entry| entry.term)
    }

    /// What the entries count for.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// The term of an entry; `None` if it is compacted away or not there yet.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        self.entry(index).map(|entry| entry.term)
    }

    pub(crate) fn entry(&self, index: Index) -> Option<&Entry> {
        self.position(index).and_then(|position| self.entries.get(position))
    }

    /// The entries of the range that are here; what is compacted away or not there yet is left out.
    pub(crate) fn range(&self, range: RangeInclusive<Index>) -> vec_deque::Iter<'_, Entry> {
        let from = (*range.start()).max(self.first_index());
        let to = (*range.end()).min(self.last_index());
        if to < from {
            return self.entries.range(0..0);
        }
        let offset =
            |index: Index| usize::try_from(index - self.first_index()).expect("it is a position here");
        self.entries.range(offset(from)..=offset(to))
    }

    /// All entries from `from` on.
    pub(crate) fn tail(&self, from: Index) -> vec_deque::Iter<'_, Entry> {
        self.range(from..=self.last_index())
    }

    /// Copies of the entries from `from` on, as many as the bounds allow, but at least one if there is one:
    /// an entry larger than the bound must be able to travel too. With them, the bytes that they count for.
    pub(crate) fn batch(&self, from: Index, max_entries: usize, max_bytes: usize) -> (Vec<Entry>, usize) {
        let mut bytes = 0;
        let mut count = 0;
        for entry in self.tail(from).take(max_entries) {
            let size = entry.size_bytes();
            if count > 0 && bytes + size > max_bytes {
                break;
            }
            bytes += size;
            count += 1;
        }
        let mut entries = Vec::with_capacity(count);
        entries.extend(self.tail(from).take(count).cloned());
        (entries, bytes)
    }

    /// Appends one entry.
    ///
    /// # Panics
    /// If it is not the next one, or its term is below the last one's.
    pub(crate) fn append(&mut self, entry: Entry) {
        assert!(entry.index == self.last_index().next(), "a log has no hole");
        assert!(entry.term >= self.last_term(), "terms never fall along the log");
        self.size_bytes += entry.size_bytes();
        self.entries.push_back(entry);
    }

    /// Removes the entries from `from` on, which no leader will ever commit.
    pub(crate) fn truncate_from(&mut self, from: Index) {
        let keep = self.position(from).expect("only entries that are here can be removed");
        for entry in self.entries.drain(keep..) {
            self.size_bytes -= entry.size_bytes();
        }
    }

    /// Forgets the entries up to and with `index`; a snapshot stands for them.
    pub(crate) fn cut_to(&mut self, index: Index) {
        let Some(term) = self.term_at(index) else {
            panic!("the log can be cut only at an entry that it holds");
        };
        for entry in self.entries.drain(..usize::try_from(index - self.base_index).expect("it is in memory"))
        {
            self.size_bytes -= entry.size_bytes();
        }
        self.base_index = index;
        self.base_term = term;
    }

    /// Forgets everything; a snapshot stands for the log up to here (Figure 13, rule 7).
    pub(crate) fn reset(&mut self, index: Index, term: Term) {
        *self = Log::new(index, term, Vec::new());
    }

    /// The last index whose bytes, with all behind it, do not fit into `bytes` any more: the place to cut if
    /// about so many bytes before `upto` are to stay.
    pub(crate) fn index_to_keep_bytes(&self, upto: Index, bytes: usize) -> Index {
        let mut kept = 0;
        for entry in self.range(self.first_index()..=upto).rev() {
            kept += entry.size_bytes();
            if kept > bytes {
                return entry.index;
            }
        }
        self.base_index
    }

    /// How entries that follow one that we share with the leader fit our log (Paper §5.3; AppendEntries
    /// receiver rules 3 and 4). They must begin behind `base`.
    ///
    /// Entries are compared with *entries*: the term of the message says nothing about them.
    pub(crate) fn fit(&self, entries: &[Entry]) -> Fit {
        for (position, entry) in entries.iter().enumerate() {
            match self.term_at(entry.index) {
                None => return Fit::Extends(position),
                Some(term) if term != entry.term => return Fit::Contradicts(position),
                Some(_) => {}
            }
        }
        Fit::Held
    }

    /// The first index here with the term of the entry at `index`: where the leader may look next, if that
    /// whole term is a stranger to it (Paper §5.3).
    pub(crate) fn first_index_of_term_at(&self, index: Index) -> Index {
        let term = self.term_at(index).expect("asked only about an entry that is here");
        if self.base_term == term {
            return self.base_index;
        }
        // Terms never fall, so the entries are sorted by them.
        self.first_index() + self.entries.partition_point(|entry| entry.term < term) as u64
    }

    /// The last index here with this term: what a leader shares with a follower that conflicts in this term
    /// ends here at the latest.
    pub(crate) fn last_index_of_term(&self, term: Term) -> Option<Index> {
        let behind = self.entries.partition_point(|entry| entry.term <= term) as u64;
        let last = self.base_index + behind;
        (self.term_at(last) == Some(term)).then_some(last)
    }

    fn position(&self, index: Index) -> Option<usize> {
        let position = index.0.checked_sub(self.base_index.0 + 1)?;
        usize::try_from(position).ok().filter(|position| *position < self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Payload;
    use bytes::Bytes;
    use std::vec;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            term: Term(term),
            index: Index(index),
            payload: Payload::Command(Bytes::from_static(b"12345678")),
        }
    }

    /// Entries 11.. with these terms, behind a snapshot at 10 of term 2.
    fn log(terms: &[u64]) -> Log {
        let entries = terms.iter().zip(11..).map(|(term, index)| entry(index, *term)).collect();
        Log::new(Index(10), Term(2), entries)
    }

    #[test]
    fn an_empty_log_ends_where_its_snapshot_does() {
        let log = log(&[]);
        assert_eq!((log.last_index(), log.last_term()), (Index(10), Term(2)));
        assert_eq!(log.term_at(Index(10)), Some(Term(2)));
        assert_eq!((log.term_at(Index(9)), log.term_at(Index(11))), (None, None));
        assert_eq!(log.range(Index(1)..=Index(99)).len(), 0);
    }

    #[test]
    fn a_batch_is_bounded_but_never_empty() {
        let log = log(&[2, 2, 3, 3]);
        let size = Entry::OVERHEAD_BYTES + 8;
        let batch = |from, max_entries, max_bytes| {
            let (entries, bytes) = log.batch(Index(from), max_entries, max_bytes);
            assert_eq!(bytes, entries.len() * size);
            entries.len()
        };
        assert_eq!(batch(11, 100, usize::MAX), 4);
        assert_eq!(batch(12, 2, usize::MAX), 2);
        assert_eq!(batch(11, 100, 2 * size), 2);
        assert_eq!(batch(11, 100, 2 * size - 1), 1);
        assert_eq!(batch(11, 100, 1), 1, "an entry larger than the bound travels alone");
        assert_eq!(batch(15, 100, usize::MAX), 0);
    }

    #[test]
    fn only_a_contradiction_is_one() {
        let log = log(&[2, 3, 3]);
        let cases = [
            (vec![entry(11, 2), entry(12, 3)], Fit::Held),
            (vec![], Fit::Held),
            (vec![entry(12, 3), entry(13, 3), entry(14, 4)], Fit::Extends(2)),
            (vec![entry(14, 4)], Fit::Extends(0)),
            (vec![entry(11, 2), entry(12, 4)], Fit::Contradicts(1)),
            (vec![entry(13, 2), entry(14, 2)], Fit::Contradicts(0)),
        ];
        for (entries, expected) in cases {
            assert_eq!(log.fit(&entries), expected, "{entries:?}");
        }
    }

    #[test]
    fn terms_are_found_by_their_first_and_last_entry() {
        let log = log(&[2, 3, 3, 6, 6, 6, 7]);
        assert_eq!(log.first_index_of_term_at(Index(16)), Index(14));
        assert_eq!(log.first_index_of_term_at(Index(17)), Index(17));
        assert_eq!(log.first_index_of_term_at(Index(11)), Index(10), "the snapshot ends with that term");
        assert_eq!(log.last_index_of_term(Term(3)), Some(Index(13)));
        assert_eq!(log.last_index_of_term(Term(2)), Some(Index(11)));
        assert_eq!(log.last_index_of_term(Term(7)), Some(Index(17)));
        assert_eq!((log.last_index_of_term(Term(5)), log.last_index_of_term(Term(8))), (None, None));
        assert_eq!(log.last_index_of_term(Term(1)), None);
    }

    #[test]
    fn what_is_cut_or_truncated_does_not_count() {
        let mut log = log(&[2, 3, 3, 6]);
        let size = Entry::OVERHEAD_BYTES + 8;
        assert_eq!(log.size_bytes(), 4 * size);
        log.truncate_from(Index(14));
        assert_eq!((log.last_index(), log.last_term(), log.size_bytes()), (Index(13), Term(3), 3 * size));
        log.cut_to(Index(12));
        assert_eq!((log.base_index(), log.first_index(), log.size_bytes()), (Index(12), Index(13), size));
        assert_eq!(log.term_at(Index(12)), Some(Term(3)));
        log.reset(Index(20), Term(8));
        assert_eq!((log.last_index(), log.last_term(), log.size_bytes()), (Index(20), Term(8), 0));
    }

    #[test]
    fn the_place_to_cut_keeps_at_least_so_many_bytes() {
        let log = log(&[2, 2, 2, 2]);
        let size = Entry::OVERHEAD_BYTES + 8;
        assert_eq!(log.index_to_keep_bytes(Index(14), 0), Index(14));
        assert_eq!(log.index_to_keep_bytes(Index(14), size), Index(13));
        assert_eq!(log.index_to_keep_bytes(Index(13), 2 * size), Index(11));
        assert_eq!(log.index_to_keep_bytes(Index(14), 100 * size), Index(10));
    }

    #[test]
    #[should_panic(expected = "no hole")]
    fn a_hole_is_a_bug() {
        log(&[2]).append(entry(13, 2));
    }
}
