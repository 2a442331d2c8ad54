//! Requests that wait for their answers.
//!
//! A *batch* is what one client, or one follower for its clients, sent in one go; its answers leave together.
//! A *proposal* is one command of a batch that became a log entry: it is answered when an entry with its index
//! is applied. If that entry's term is another, the command is gone for certain (Paper §5.3: index and term
//! name an entry), and the client may be told to try again.

use std::cmp::Reverse;
use std::collections::VecDeque;

use jangada_raft::types::{Index, NodeId, Term, Time};

use crate::effect::{Failure, Token};

/// Who waits for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client of this server.
    Local(Token),
    /// A follower that forwarded the batch, with its own number for it.
    Peer(NodeId, u64),
}

/// A batch, complete.
pub(crate) struct Finished<R> {
    pub(crate) origin: Origin,
    pub(crate) answers: Vec<Result<R, Failure>>,
}

struct Batch<R> {
    origin: Origin,
    answers: Vec<Option<Result<R, Failure>>>,
    missing: usize,
    deadline: Time,
}

struct Proposal {
    index: Index,
    term: Term,
    batch: usize,
    slot: u32,
}

/// The write batches that this server answers for.
pub(crate) struct Pending<R> {
    batches: Vec<Option<Batch<R>>>,
    free: Vec<usize>,
    /// Commands whose entries stand in this server's log, in the order of their indexes.
    proposals: VecDeque<Proposal>,
    /// Commands whose entries left this server's log. Another server may still hold and commit them: the entry
    /// that is committed in their place decides. The lowest index is the last: it is decided first.
    orphans: Vec<Proposal>,
    finished: Vec<Finished<R>>,
}

impl<R> Pending<R> {
    pub(crate) fn new() -> Pending<R> {
        Pending {
            batches: Vec::new(),
            free: Vec::new(),
            proposals: VecDeque::new(),
            orphans: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// Opens a batch of `count` commands and returns its number.
    pub(crate) fn open(&mut self, origin: Origin, count: usize, deadline: Time) -> usize {
        let mut answers = Vec::with_capacity(count);
        answers.resize_with(count, || None);
        let batch = Batch { origin, answers, missing: count, deadline };
        match self.free.pop() {
            Some(number) => {
                self.batches[number] = Some(batch);
                number
            }
            None => {
                self.batches.push(Some(batch));
                self.batches.len() - 1
            }
        }
    }

    /// The command in `slot` became the entry (index, term).
    pub(crate) fn proposed(&mut self, batch: usize, slot: u32, index: Index, term: Term) {
        if let Some(last) = self.proposals.back() {
            assert!(last.index < index, "a leader appends in rising order, and truncation clears the tail");
        }
        self.proposals.push_back(Proposal { index, term, batch, slot });
    }

    /// The entry (index, term) was applied; a command has a response, an entry of Raft's own has none.
    pub(crate) fn applied(&mut self, index: Index, term: Term, mut response: Option<R>) {
        while let Some(orphan) = self.orphans.pop_if(|orphan| orphan.index <= index) {
            self.settle(&orphan, index, term, &mut response);
        }
        while let Some(first) = self.proposals.front() {
            if first.index > index {
                return;
            }
            let Some(proposal) = self.proposals.pop_front() else { return };
            self.settle(&proposal, index, term, &mut response);
        }
    }

    /// The place of a proposal in the log is decided for good: by its own entry, or by another one, and then
    /// it can never be committed.
    fn settle(&mut self, proposal: &Proposal, index: Index, term: Term, response: &mut Option<R>) {
        let committed = proposal.index == index && proposal.term == term;
        let answer = if committed {
            Ok(response.take().expect("what was proposed as a command is applied as one, once"))
        } else {
            Err(Failure::NoLeader)
        };
        self.answer(proposal.batch, proposal.slot, answer);
    }

    /// The state machine jumped to `index` by a snapshot: what became of the commands before it is unknown.
    pub(crate) fn jumped_to(&mut self, index: Index) {
        while let Some(Proposal { batch, slot, .. }) = self.orphans.pop_if(|orphan| orphan.index <= index) {
            self.answer(batch, slot, Err(Failure::OutcomeUnknown));
        }
        while let Some(first) = self.proposals.pop_front_if(|first| first.index <= index) {
            self.answer(first.batch, first.slot, Err(Failure::OutcomeUnknown));
        }
    }

    /// Entries from `from` on left this server's log.
    pub(crate) fn truncated(&mut self, from: Index) {
        while let Some(last) = self.proposals.pop_back_if(|last| last.index >= from) {
            self.orphans.push(last);
        }
        // Those of an earlier leadership may lie before, between and behind these.
        self.orphans.sort_by_key(|orphan| Reverse(orphan.index));
    }

    /// Nothing more can be said of any proposal: answer them all with "unknown".
    pub(crate) fn abandon_all(&mut self) {
        let orphans = core::mem::take(&mut self.orphans);
        for Proposal { batch, slot, .. } in core::mem::take(&mut self.proposals).into_iter().chain(orphans) {
            self.answer(batch, slot, Err(Failure::OutcomeUnknown));
        }
    }

    /// Answers what waits for longer than it may.
    pub(crate) fn expire(&mut self, now: Time) {
        let free = self.free.len();
        for number in 0..self.batches.len() {
            let Some(batch) = &mut self.batches[number] else { continue };
            if batch.deadline > now {
                continue;
            }
            for answer in &mut batch.answers {
                if answer.is_none() {
                    *answer = Some(Err(Failure::OutcomeUnknown));
                }
            }
            batch.missing = 0;
            self.finish(number);
        }
        // All at once: many batches can be late together, and each can have many proposals.
        if self.free.len() > free {
            let batches = &self.batches;
            self.proposals.retain(|proposal| batches[proposal.batch].is_some());
            self.orphans.retain(|proposal| batches[proposal.batch].is_some());
        }
    }

    /// The command in `slot` has its answer.
    pub(crate) fn answer(&mut self, batch: usize, slot: u32, answer: Result<R, Failure>) {
        let Some(open) = self.batches[batch].as_mut() else { return };
        let place = &mut open.answers[slot as usize];
        assert!(place.is_none(), "a command is answered once");
        *place = Some(answer);
        open.missing -= 1;
        if open.missing == 0 {
            self.finish(batch);
        }
    }

    fn finish(&mut self, number: usize) {
        let batch = self.batches[number].take().expect("only an open batch is finished");
        self.free.push(number);
        let answers = batch.answers.into_iter().map(|answer| answer.unwrap_or(Err(Failure::OutcomeUnknown)));
        self.finished.push(Finished { origin: batch.origin, answers: answers.collect() });
    }

    /// Does the command in `slot` still wait for its answer?
    pub(crate) fn is_open(&self, batch: usize, slot: u32) -> bool {
        let open = self.batches.get(batch).and_then(Option::as_ref);
        open.is_some_and(|open| open.answers.get(slot as usize).is_some_and(Option::is_none))
    }

    /// Takes the batches that are complete.
    pub(crate) fn take_finished(&mut self) -> Vec<Finished<R>> {
        core::mem::take(&mut self.finished)
    }

    /// How many batches wait.
    pub(crate) fn open_batches(&self) -> usize {
        self.batches.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Time = Time(1_000);

    fn one_batch_of_two() -> (Pending<u32>, usize) {
        let mut pending = Pending::new();
        let batch = pending.open(Origin::Local(Token(7)), 2, LATER);
        pending.proposed(batch, 0, Index(5), Term(2));
        pending.proposed(batch, 1, Index(6), Term(2));
        (pending, batch)
    }

    #[test]
    fn a_batch_is_answered_once_and_in_order() {
        let (mut pending, _) = one_batch_of_two();
        pending.applied(Index(4), Term(1), Some(40));
        pending.applied(Index(5), Term(2), Some(50));
        assert!(pending.take_finished().is_empty());
        pending.applied(Index(6), Term(2), Some(60));
        let finished = pending.take_finished();
        assert_eq!(finished.len(), 1);
        assert_eq!(finished[0].answers, vec![Ok(50), Ok(60)]);
        assert_eq!(pending.open_batches(), 0);
    }

    #[test]
    fn another_term_at_the_index_means_certainly_lost() {
        let (mut pending, _) = one_batch_of_two();
        pending.applied(Index(5), Term(3), Some(50));
        pending.applied(Index(6), Term(3), Some(60));
        assert_eq!(pending.take_finished()[0].answers, vec![Err(Failure::NoLeader), Err(Failure::NoLeader)]);
    }

    #[test]
    fn what_is_committed_in_its_place_decides_on_a_truncated_entry() {
        let (mut pending, _) = one_batch_of_two();
        pending.truncated(Index(5));
        assert!(pending.take_finished().is_empty());
        // The first comes back by another server that holds it; the second is replaced.
        pending.applied(Index(5), Term(2), Some(50));
        pending.applied(Index(6), Term(4), None);
        assert_eq!(pending.take_finished()[0].answers, vec![Ok(50), Err(Failure::NoLeader)]);
    }

    #[test]
    fn behind_a_snapshot_nothing_is_known() {
        let (mut pending, _) = one_batch_of_two();
        pending.truncated(Index(6));
        pending.jumped_to(Index(9));
        assert_eq!(
            pending.take_finished()[0].answers,
            vec![Err(Failure::OutcomeUnknown), Err(Failure::OutcomeUnknown)]
        );
    }

    #[test]
    fn a_deadline_answers_what_is_open() {
        let (mut pending, _) = one_batch_of_two();
        pending.expire(Time(999));
        assert!(pending.take_finished().is_empty());
        pending.expire(LATER);
        assert_eq!(pending.take_finished()[0].answers.len(), 2);
        pending.applied(Index(5), Term(2), Some(50));
        assert!(pending.take_finished().is_empty());
    }
}
