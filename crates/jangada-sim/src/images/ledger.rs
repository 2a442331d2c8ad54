//! What a server has promised so far, and what its log may say at most: told from its jobs and its messages.
//!
//! A log that is found after a crash must be one that the server was on its way through: not older than the last
//! jobs that its disk has reported as done, not newer than the last one that it was given, and nothing in
//! between but what stood there between two jobs. That leaves no room for a lost entry, for one that comes back,
//! nor for one that never was. What messages have promised is kept apart, so that a message that leaves too early
//! is found as well.

use std::collections::BTreeSet;

use jangada_node::log_writer::LogJob;
use jangada_raft::Raft;
use jangada_raft::face::Persist;
use jangada_raft::message::{AppendOutcome, Message, Rpc};
use jangada_raft::types::{Entry, HardState, Index, NodeId, SnapshotMeta, Term};

use crate::disk::tape::Note;

/// What a log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: SnapshotMeta,
    /// Behind the snapshot.
    pub(crate) entries: Vec<Entry>,
}

impl Memory {
    /// A server's, when it has just started.
    pub(crate) fn of(raft: &Raft) -> Memory {
        let snapshot = raft.snapshot_meta().clone();
        let first = raft.first_index().max(snapshot.last_included_index.next());
        Memory {
            hard_state: HardState { term: raft.term(), voted_for: raft.voted_for() },
            entries: raft.entries(first..=raft.last_index()).cloned().collect(),
            snapshot,
        }
    }

    /// Its last entry.
    pub(crate) fn last(&self) -> (Index, Term) {
        let snapshot = (self.snapshot.last_included_index, self.snapshot.last_included_term);
        self.entries.last().map_or(snapshot, |last| (last.index, last.term))
    }

    /// The entry is here, as such or inside the snapshot.
    pub(crate) fn holds(&self, index: Index, term: Term) -> bool {
        index <= self.snapshot.last_included_index
            || self.entries.iter().any(|entry| (entry.index, entry.term) == (index, term))
    }

    fn install(&mut self, meta: &SnapshotMeta) {
        let last = (meta.last_included_index, meta.last_included_term);
        let holds = self.last() == last || self.entries.iter().any(|entry| (entry.index, entry.term) == last);
        self.entries.retain(|entry| holds && entry.index > last.0);
        self.snapshot = meta.clone();
    }
}

impl Note {
    /// A message leaves.
    pub(crate) fn said(message: &Message, raft: &Raft) -> Note {
        let acknowledged = match &message.rpc {
            Rpc::AppendEntriesReply(reply) => match reply.outcome {
                AppendOutcome::Accepted { match_index } => Some(match_index),
                AppendOutcome::Conflict { .. } => None,
            },
            Rpc::InstallSnapshotReply(reply) if reply.installed => Some(reply.last_included_index),
            _ => None,
        };
        // In the message's own term the log is still the one that is spoken of.
        let index = acknowledged.filter(|_| raft.term() == message.term);
        Note::Said { message: Box::new(message.clone()), term: index.and_then(|index| raft.term_at(index)) }
    }
}

/// What a server has promised, and what is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// What its log may say: the first is promised, each further one has a job more. Empty before the first start.
    states: Vec<Memory>,
    /// Its latest vote for somebody else.
    vote: Option<(Term, NodeId)>,
    /// The last entry that it has told a leader it has.
    acknowledged: Option<(Index, Term)>,
    /// It had a log: a missing one is an error.
    pub(crate) begun: bool,
}

impl Ledger {
    /// Something happened.
    pub(crate) fn note(&mut self, note: &Note) -> Result<(), String> {
        match note {
            Note::Opened(found) => {
                self.admits(found)?;
                self.states = vec![Memory::clone(found)];
                self.begun = true;
            }
            Note::Jobs(jobs) => jobs.iter().for_each(|job| self.job(job)),
            Note::Done => {
                self.states.drain(..self.states.len().saturating_sub(1));
            }
            Note::Said { message, term } => self.said(message, *term),
        }
        Ok(())
    }

    fn job(&mut self, job: &LogJob) {
        match job {
            LogJob::Persist(persist) => self.persist(persist),
            LogJob::WriteSnapshot(part) if part.done => self.next(|memory| memory.install(&part.meta)),
            LogJob::WriteSnapshot(_) | LogJob::AbortSnapshot | LogJob::ReadSnapshot { .. } => {}
        }
    }

    /// One job is one step, unless a snapshot stands in it: that is durable before what follows it.
    fn persist(&mut self, persist: &Persist) {
        if let Some(chunk) = persist.snapshot_chunk.as_ref().filter(|chunk| chunk.done) {
            if let Some(hard_state) = persist.hard_state {
                self.next(|memory| memory.hard_state = hard_state);
            }
            self.next(|memory| memory.install(&chunk.meta));
        }
        self.next(|memory| {
            memory.hard_state = persist.hard_state.unwrap_or(memory.hard_state);
            if let Some(from) = persist.truncate_from {
                memory.entries.retain(|entry| entry.index < from);
            }
            memory.entries.extend_from_slice(&persist.entries);
        });
        // A later leader's word takes back what an earlier one was told.
        if let (Some(from), Some((index, _))) = (persist.truncate_from, self.acknowledged)
            && from <= index
        {
            self.acknowledged = None;
        }
    }

    fn next(&mut self, change: impl FnOnce(&mut Memory)) {
        let mut next = self.states.last().cloned().unwrap_or_default();
        change(&mut next);
        if self.states.last() != Some(&next) {
            self.states.push(next);
        }
    }

    fn said(&mut self, message: &Message, term: Option<Term>) {
        match &message.rpc {
            Rpc::RequestVoteReply(reply) if reply.vote_granted && !reply.pre_vote => {
                self.vote = Some((reply.campaign_term, message.to));
            }
            Rpc::AppendEntriesReply(reply) => {
                if let AppendOutcome::Accepted { match_index } = reply.outcome {
                    self.acknowledges(match_index, term);
                }
            }
            Rpc::InstallSnapshotReply(reply) if reply.installed => {
                self.acknowledges(reply.last_included_index, term);
            }
            _ => {}
        }
    }

    fn acknowledges(&mut self, index: Index, term: Option<Term>) {
        if let Some(term) = term
            && self.acknowledged.is_none_or(|(known, _)| known <= index)
        {
            self.acknowledged = Some((index, term));
        }
    }

    /// Whether a crash may leave this.
    ///
    /// # Errors
    /// A sentence that says what is lost, or what has appeared.
    pub(crate) fn admits(&self, found: &Memory) -> Result<(), String> {
        if let Some((term, candidate)) = self.vote {
            let HardState { term: durable, voted_for } = found.hard_state;
            if durable < term || (durable == term && voted_for != Some(candidate)) {
                return Err(format!(
                    "it voted for {candidate} in term {term}, and finds term {durable} and a vote for \
                     {voted_for:?}"
                ));
            }
        }
        if let Some((index, term)) = self.acknowledged
            && !found.holds(index, term)
        {
            return Err(format!(
                "it acknowledged entry {index} of term {term}, and finds its log to end with {:?}",
                found.last()
            ));
        }
        if self.states.contains(found) || (self.states.is_empty() && found.is_new()) {
            return Ok(());
        }
        let differences: Vec<String> = self.states.iter().map(|state| differs(found, state)).collect();
        Err(format!("what it finds was never there:\n  {}", differences.join("\n  ")))
    }

    /// Whether jobs are under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.states.len() > 1
    }

    /// Whether more is found than was promised.
    pub(crate) fn is_beyond(&self, found: &Memory) -> bool {
        self.states.first().is_some_and(|promised| promised != found)
    }

    /// Whether a truncation is under way.
    pub(crate) fn truncates(&self) -> bool {
        self.states.windows(2).any(|two| {
            let kept: BTreeSet<_> = two[1].entries.iter().map(|entry| (entry.index, entry.term)).collect();
            let covered = two[1].snapshot.last_included_index;
            two[0].entries.iter().any(|old| old.index > covered && !kept.contains(&(old.index, old.term)))
        })
    }
}

impl Memory {
    fn is_new(&self) -> bool {
        self.hard_state == HardState::default() && self.last() == (Index::ZERO, Term::ZERO)
    }
}

fn differs(found: &Memory, state: &Memory) -> String {
    let say = |memory: &Memory| {
        let HardState { term, voted_for } = memory.hard_state;
        let snapshot = memory.snapshot.last_included_index;
        let (last, last_term) = memory.last();
        format!("term {term}, vote {voted_for:?}, snapshot {snapshot}, last {last} of term {last_term}")
    };
    let first = found.entries.iter().zip(&state.entries).find(|(one, other)| one != other);
    let first = first.map_or_else(String::new, |(entry, _)| format!(" (other from {} on)", entry.index));
    format!("{} where {}{first} is possible", say(found), say(state))
}
