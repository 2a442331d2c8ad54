//! The recent changes, as the streams of one thread share them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jangada_kv::Revision;
use jangada_kv::watch::{Recent, Slice};
use tokio::sync::Mutex as Turn;

use crate::backend::{Backend, Refusal};

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
    recent: Mutex<Recent>,
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
        if let Some(slice) = self.recent().from(from) {
            return Ok(slice);
        }
        if self.recent().end().is_some_and(|end| from <= end) {
            // Older than what is kept: the few who want it read it for themselves.
            return self.history(from).await;
        }
        let _turn = self.turn.lock().await;
        if let Some(slice) = self.recent().from(from) {
            return Ok(slice);
        }
        let slice = self.history(from).await?;
        self.recent().keep(&slice);
        Ok(slice)
    }

    /// Changes from `from` on, as the store has them: what is compacted is gone, even if somebody was just told of it.
    pub(crate) async fn history(&self, from: Revision) -> Result<Arc<Slice>, NoSlice> {
        let changes = self.backend.changes(from).await.map_err(NoSlice::Refused)?;
        match changes {
            Ok(changes) => Ok(Arc::new(Slice::new(from, changes))),
            Err(floor) => Err(NoSlice::Compacted(floor)),
        }
    }

    /// Nobody panics with it in hand.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
