//! The recent changes, as the streams of one thread share them.
//!
//! While anybody follows, one task looks after the store for the whole thread: it reads what is new, and wakes the others
//! then. They find it read, and so all of them have it told in the same turn of the thread, before anything is sent: what
//! many streams of a connection say leaves it together. If each asked for itself, each would cost the store's thread a
//! system call to wake it, and send alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jangada_kv::Revision;
use jangada_kv::watch::{Recent, Slice};
use tokio::sync::{Mutex as Turn, watch};
use tokio::task::AbortHandle;

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
    /// Who looks after the store, if anybody follows.
    lookout: Mutex<Weak<Lookout>>,
}

/// Where the store is, as whoever follows it on this thread is told. It is woken also when users have changed, and ends
/// with the server. What was told of has been read, if it could be.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) revisions: watch::Receiver<Revision>,
    _lookout: Arc<Lookout>,
}

/// The task that looks after the store. It ends with the last follower.
#[derive(Debug)]
struct Lookout {
    revisions: watch::Receiver<Revision>,
    task: AbortHandle,
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<B: Backend> Hub<B> {
    pub(crate) fn new(backend: B) -> Hub<B> {
        Hub { backend, recent: Mutex::default(), turn: Turn::new(()), lookout: Mutex::default() }
    }

    /// Follows the store from where it is known to be.
    pub(crate) fn follow(self: &Arc<Hub<B>>) -> Follower {
        let mut known = self.lookout.lock().unwrap_or_else(PoisonError::into_inner);
        let lookout = known.upgrade().unwrap_or_else(|| {
            let store = self.backend.revisions();
            let (told, revisions) = watch::channel(*store.borrow());
            let users = self.backend.auth_stamp();
            let task = tokio::spawn(Arc::clone(self).look_out(store, users, told)).abort_handle();
            Arc::new(Lookout { revisions, task })
        });
        *known = Arc::downgrade(&lookout);
        Follower { revisions: lookout.revisions.clone(), _lookout: lookout }
    }

    /// Reads what is new, and tells those who follow how far that is, until the server ends.
    async fn look_out(
        self: Arc<Hub<B>>,
        mut store: watch::Receiver<Revision>,
        mut users: u64,
        told: watch::Sender<Revision>,
    ) {
        loop {
            let now = *store.borrow_and_update();
            let last = *told.borrow();
            let through = if now > last { self.read_on(last.next(), now).await } else { last };
            let users_before = std::mem::replace(&mut users, self.backend.auth_stamp());
            told.send_if_modified(|last| {
                std::mem::replace(last, through) != through || users != users_before
            });
            if through >= now && store.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reads from a revision on, and says up to where; up to `now`, if there is nothing to read any more: those who want
    /// it will find out why.
    async fn read_on(&self, from: Revision, now: Revision) -> Revision {
        self.from(from).await.map_or(now, |slice| slice.through)
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    /// Where the store is.
    pub(crate) fn revision(&self) -> Revision {
        *self.backend.revisions().borrow()
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
        let slice = match self.backend.recent(from) {
            Some(slice) => slice,
            None => self.history(from).await?,
        };
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
