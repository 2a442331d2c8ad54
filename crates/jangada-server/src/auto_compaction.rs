//! Compaction by the clock: whoever leads forgets the history that is older than wanted.
//!
//! Every member notes how far the store was when, so that a new leader need not begin anew; only the leader proposes.
//! What is proposed is a compaction like a client's, through the log.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jangada_kv::{Caller, Error, Request, Response, Revision};
use tokio::time::MissedTickBehavior;

use crate::handle::{BatchItem, Handle, Kind, RequestError, STAMP_BYTES};
use crate::status::RoleName;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// What is younger than this.
    Age(Duration),
    /// So many revisions.
    Revisions(u64),
}

/// How often somebody looks whether there are too many revisions.
const LOOK: Duration = Duration::from_secs(10);
/// The age is looked at so many times while it passes.
const LOOKS_PER_AGE: u32 = 10;
/// A look at the age is never more frequent than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);
/// How long a compaction may take to be carried out.
const PATIENCE: Duration = Duration::from_secs(5);

/// Compacts as long as the server lives, if that is wanted. Needs a `LocalSet`.
pub(crate) fn start(handle: &Handle, kept: Option<AutoCompaction>) {
    if let Some(kept) = kept {
        tokio::task::spawn_local(run(handle.clone(), kept));
    }
}

async fn run(handle: Handle, kept: AutoCompaction) {
    let mut plan = Plan::new(kept);
    let mut ticks = tokio::time::interval(plan.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    loop {
        ticks.tick().await;
        let revision = *handle.board().revisions().follow().borrow();
        let target = plan.look(begun.elapsed(), revision);
        let Some(target) = target.filter(|_| handle.status().role == RoleName::Leader) else { continue };
        let mut encoded = vec![0; STAMP_BYTES];
        Caller::Server.asks(Request::Compact { revision: target }).encode(&mut encoded);
        let answers = handle.submit(Kind::Write, vec![BatchItem::Write { encoded }], PATIENCE).await;
        if answers.iter().all(is_done) {
            plan.is_compacted(target);
        }
    }
}

/// Whether nothing is left to do. If it could not be done now, the next look asks again; and what is compacted already
/// is as it should be.
fn is_done(answer: &Result<Response, RequestError>) -> bool {
    matches!(answer, Ok(Response::Compact { .. } | Response::Error(Error::Compacted { .. })))
}

/// When what is forgotten.
#[derive(Debug)]
struct Plan {
    kept: AutoCompaction,
    /// Where the store was, and when; the oldest first, and only one that is old enough.
    seen: VecDeque<(Duration, Revision)>,
    /// What this server knows to be compacted.
    done: Revision,
}

impl Plan {
    fn new(kept: AutoCompaction) -> Plan {
        Plan { kept, seen: VecDeque::new(), done: Revision::ZERO }
    }

    fn interval(&self) -> Duration {
        match self.kept {
            AutoCompaction::Age(age) => (age / LOOKS_PER_AGE).max(SHORTEST_LOOK),
            AutoCompaction::Revisions(_) => LOOK,
        }
    }

    /// The store is at `revision` now: to which one it should be compacted, if it is not known to be.
    fn look(&mut self, now: Duration, revision: Revision) -> Option<Revision> {
        let target = match self.kept {
            AutoCompaction::Revisions(count) => Revision(revision.0.saturating_sub(count)),
            AutoCompaction::Age(age) => {
                self.seen.push_back((now, revision));
                let is_old = |(then, _): &(Duration, Revision)| now.saturating_sub(*then) >= age;
                while self.seen.get(1).is_some_and(is_old) {
                    self.seen.pop_front();
                }
                self.seen.front().copied().filter(is_old)?.1
            }
        };
        let is_new = target > self.done && target > Revision::FIRST;
        is_new.then_some(target)
    }

    fn is_compacted(&mut self, target: Revision) {
        self.done = self.done.max(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_revisions_are_kept() {
        let mut plan = Plan::new(AutoCompaction::Revisions(10));
        let mut look = |revision| {
            let target = plan.look(Duration::ZERO, Revision(revision))?;
            plan.is_compacted(target);
            Some(target.0)
        };
        assert_eq!((look(5), look(11)), (None, None), "nothing is before the first revision");
        assert_eq!((look(12), look(12), look(30)), (Some(2), None, Some(20)));
    }

    #[test]
    fn what_was_not_compacted_is_asked_for_again() {
        let mut plan = Plan::new(AutoCompaction::Revisions(10));
        assert_eq!(plan.look(Duration::ZERO, Revision(30)), Some(Revision(20)));
        assert!(!is_done(&Err(RequestError::Stopping)) && !is_done(&Ok(Response::Error(Error::EmptyKey))));
        assert_eq!(plan.look(Duration::ZERO, Revision(30)), Some(Revision(20)), "nobody has done it");
        assert!(is_done(&Ok(Response::Compact { revision: Revision(30) })));
        assert!(
            is_done(&Ok(Response::Error(Error::Compacted { floor: Revision(25) }))),
            "another leader has"
        );
        plan.is_compacted(Revision(20));
        assert_eq!(plan.look(Duration::ZERO, Revision(30)), None);
    }

    #[test]
    fn what_is_younger_than_the_age_is_kept() {
        let mut plan = Plan::new(AutoCompaction::Age(Duration::from_secs(10)));
        assert_eq!(plan.interval(), Duration::from_secs(1));
        let mut targets = Vec::new();
        for second in 0..25 {
            // Ten revisions a second, and none after the twelfth.
            let revision = Revision(2 + 10 * second.min(12));
            let target = plan.look(Duration::from_secs(second), revision);
            targets.extend(target.map(|target| (second, target.0)));
            target.into_iter().for_each(|target| plan.is_compacted(target));
        }
        let expected: Vec<(u64, u64)> = (10..23).map(|second| (second, 2 + 10 * (second - 10))).collect();
        assert_eq!(targets, expected);
        assert!(plan.seen.len() <= 12, "{:?}", plan.seen);
    }
}
