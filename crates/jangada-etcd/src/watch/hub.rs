//! The recent changes, as the streams of one thread share them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jangada_kv::{ChangeEvent, Changes, Revision};
use tokio::sync::Mutex as Turn;

use crate::backend::{Backend, Refusal};

/// Most slices that are kept for streams that are a little behind.
const KEPT_SLICES: usize = 64;
/// Most events in all of them together, but for those of the newest.
const KEPT_EVENTS: usize = 10_000;

/// Some revisions, with all that happened in them.
#[derive(Debug)]
pub(crate) struct Slice {
    /// The first revision that it covers.
    pub(crate) first: Revision,
    /// The last one.
    pub(crate) through: Revision,
    /// In the order in which they happened.
    pub(crate) events: Vec<ChangeEvent>,
    /// Grows when somebody may be permitted less than before.
    pub(crate) auth: u64,
}

/// Why there is no slice.
#[derive(Debug)]
pub(crate) enum NoSlice {
    /// The history before this revision is gone.
    Compacted(Revision),
    /// The server does not answer.
    Refused(Refusal),
}

/// What was read last, and the way to read more.
#[derive(Debug)]
pub(crate) struct Hub<B> {
    backend: B,
    recent: Mutex<VecDeque<Arc<Slice>>>,
    /// Who holds it reads what is new; the others wait and find it read.
    turn: Turn<()>,
}

impl<B: Backend> Hub<B> {
    pub(crate) fn new(backend: B) -> Hub<B> {
        Hub { backend, recent: Mutex::default(), turn: Turn::new(()) }
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    /// Changes from `from` on, which the store must have reached. The slice may begin earlier.
    pub(crate) async fn from(&self, from: Revision) -> Result<Arc<Slice>, NoSlice> {
        if let Some(slice) = self.kept(from) {
            return Ok(slice);
        }
        if self.end().is_some_and(|end| from <= end) {
            // Older than what is kept: the few who want it read it for themselves.
            return self.history(from).await;
        }
        let _turn = self.turn.lock().await;
        if let Some(slice) = self.kept(from) {
            return Ok(slice);
        }
        let slice = self.history(from).await?;
        self.keep(&slice);
        Ok(slice)
    }

    /// Changes from `from` on, as the store has them: what is compacted is gone, even if somebody was just told of it.
    pub(crate) async fn history(&self, from: Revision) -> Result<Arc<Slice>, NoSlice> {
        let changes = self.backend.changes(from).await.map_err(NoSlice::Refused)?;
        match changes {
            Ok(changes) => {
                let Changes { events, through, auth, .. } = changes;
                Ok(Arc::new(Slice { first: from, through, events, auth }))
            }
            Err(floor) => Err(NoSlice::Compacted(floor)),
        }
    }

    fn kept(&self, from: Revision) -> Option<Arc<Slice>> {
        let recent = self.recent();
        let found = recent.iter().rev().find(|slice| slice.first <= from)?;
        (from <= found.through).then(|| Arc::clone(found))
    }

    fn end(&self) -> Option<Revision> {
        self.recent().back().map(|slice| slice.through)
    }

    fn keep(&self, slice: &Arc<Slice>) {
        let mut recent = self.recent();
        if recent.back().is_some_and(|last| slice.first != last.through.next()) {
            recent.clear();
        }
        recent.push_back(Arc::clone(slice));
        let mut events: usize = recent.iter().map(|slice| slice.events.len()).sum();
        while recent.len() > 1 && (recent.len() > KEPT_SLICES || events > KEPT_EVENTS) {
            events -= recent.pop_front().map_or(0, |oldest| oldest.events.len());
        }
    }

    /// Nobody panics with it in hand.
    fn recent(&self) -> MutexGuard<'_, VecDeque<Arc<Slice>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
