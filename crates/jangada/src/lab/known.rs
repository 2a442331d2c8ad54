//! What is known of the servers from their events: for the prompt, for `why`, and for the checks of lessons.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, RoleName};
use jangada_raft::types::{NodeId, Term, Time};
use jangada_trace::phrases::since_start;
use jangada_trace::words::{Level, Words};

/// Sentences that are remembered of each server.
const MAX_EVIDENCE: usize = 8;
/// Events that are remembered; of more, the oldest are forgotten.
const MAX_JOURNAL: usize = 4_096;

/// What others may look at.
#[derive(Default)]
pub struct Known {
    standing: Mutex<Standing>,
    journal: Mutex<Vec<Record>>,
    interrupted: AtomicBool,
    ending: AtomicBool,
    left_out: AtomicU64,
    playing: OnceLock<PathBuf>,
}

/// How things stand, as far as events tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who leads, in which term.
    pub leader: Option<(NodeId, Term)>,
    /// The highest term.
    pub term: Term,
    /// In a made-up world: what time it is there.
    pub now: Option<Time>,
    /// What happened to each server lately that explains how it is, oldest first.
    pub evidence: BTreeMap<NodeId, Vec<String>>,
}

impl Known {
    /// How things stand.
    pub fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Elections, votes, repairs of logs, snapshots and configurations since the servers began, oldest first.
    pub fn journal(&self) -> MutexGuard<'_, Vec<Record>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever waits for something is to stop waiting.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
    }

    /// The laboratory is to end: whatever is waited for, now or later, is interrupted.
    pub fn end(&self) {
        self.ending.store(true, Relaxed);
    }

    /// Whether it is to end.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Somebody interrupted what is under way. Asking forgets it, unless it is the end.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.swap(false, Relaxed) || self.is_ending()
    }

    /// The lines come out of this file.
    pub fn plays(&self, script: &Path) {
        // A script that has no file of its own is spared anyway.
        let _once = std::fs::canonicalize(script).map(|script| self.playing.set(script));
    }

    /// Whether the lines come out of this file.
    pub fn is_playing(&self, file: &Path) -> bool {
        let playing = self.playing.get();
        playing.is_some_and(|script| std::fs::canonicalize(file).is_ok_and(|file| file == *script))
    }

    /// An event came too quickly to be looked at.
    pub fn leave_out(&self) {
        self.left_out.fetch_add(1, Relaxed);
    }

    /// How many did. Asking forgets it.
    pub fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Relaxed)
    }

    /// New servers begin: what was is over.
    pub fn forget(&self) {
        *self.standing() = Standing::default();
        self.journal().clear();
    }

    /// This happened; `words` have seen everything before it.
    pub fn happened(&self, words: &Words, record: &Record) {
        if let Event::Disk(DiskEvent::Opened { .. }) = record.event {
            self.standing().evidence.remove(&record.node);
        }
        let Event::Raft(event) = &record.event else { return };
        if let Some(of) = explains(record.node, event) {
            let sentence = words.clone().sentence(record, Level::Trace).unwrap_or_default();
            self.remember(of, format!("{} {} {sentence}", since_start(record.time), record.node));
        }
        if is_for_the_journal(event) {
            let mut journal = self.journal();
            if journal.len() >= MAX_JOURNAL {
                journal.drain(..MAX_JOURNAL / 2);
            }
            journal.push(*record);
        }
        self.stand(record, event);
    }

    /// Somebody did something to a server: what explained it before does not any more.
    pub fn befell(&self, id: NodeId, is_off: bool) {
        let mut standing = self.standing();
        standing.evidence.remove(&id);
        if is_off && standing.leader.is_some_and(|(leader, _)| leader == id) {
            standing.leader = None;
        }
    }

    fn remember(&self, of: NodeId, sentence: String) {
        let mut standing = self.standing();
        let evidence = standing.evidence.entry(of).or_default();
        evidence.push(sentence);
        if evidence.len() > MAX_EVIDENCE {
            evidence.remove(0);
        }
    }

    fn stand(&self, record: &Record, event: &RaftEvent) {
        let RaftEvent::RoleChanged { role, term, .. } = *event else { return };
        let mut standing = self.standing();
        standing.term = standing.term.max(term);
        let leads = standing.leader.is_some_and(|(leader, _)| leader == record.node);
        if role == RoleName::Leader && standing.leader.is_none_or(|(_, known)| known < term) {
            standing.leader = Some((record.node, term));
        } else if leads && role != RoleName::Leader {
            standing.leader = None;
        }
    }
}

/// Whose state this event helps to explain. Not a dispatch: the few events that give a reason.
fn explains(node: NodeId, event: &RaftEvent) -> Option<NodeId> {
    match event {
        RaftEvent::VoteRefused { to, .. } => Some(*to),
        RaftEvent::RoleChanged { .. }
        | RaftEvent::Truncated { .. }
        | RaftEvent::LogConflict { .. }
        | RaftEvent::ReadRefused { .. }
        | RaftEvent::ProposalRefused { .. } => Some(node),
        _ => None,
    }
}

/// What the checks of lessons look at. Not a dispatch: few events in a minute are among them.
fn is_for_the_journal(event: &RaftEvent) -> bool {
    matches!(
        event,
        RaftEvent::RoleChanged { .. }
            | RaftEvent::VoteGranted { .. }
            | RaftEvent::VoteRefused { .. }
            | RaftEvent::VoteReceived { .. }
            | RaftEvent::Truncated { .. }
            | RaftEvent::SnapshotInstalled { .. }
            | RaftEvent::MembershipChanged { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_raft::event::RoleChange;
    use jangada_trace::names::Names;

    #[test]
    fn what_is_remembered_stays_bounded_however_long_it_goes_on() {
        let known = Known::default();
        let words = Words::new(Names::new());
        let last = 3 * MAX_JOURNAL as u64;
        for number in 1..=last {
            let (role, why) = (RoleName::PreCandidate, RoleChange::ElectionTimeout);
            let event = Event::Raft(RaftEvent::RoleChanged { role, term: Term(number), why });
            known.happened(&words, &Record { time: Time(number), node: NodeId(3), seq: number, event });
            assert!(known.journal().len() <= MAX_JOURNAL);
        }
        assert!(known.journal().len() >= MAX_JOURNAL / 2);
        assert_eq!(known.journal().last().unwrap().seq, last, "the newest stays");
        assert_eq!(known.standing().evidence[&NodeId(3)].len(), MAX_EVIDENCE);
    }
}
