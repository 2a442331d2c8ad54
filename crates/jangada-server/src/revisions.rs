//! How far the store of a server is, for watches: told after each step in which it moved on.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use jangada_kv::Revision;
use tokio::sync::watch;

/// One writer, any number of readers. Cheap to clone.
#[derive(Clone)]
pub struct Revisions {
    sender: Arc<Mutex<Option<watch::Sender<Revision>>>>,
    receiver: watch::Receiver<Revision>,
    acknowledged: Arc<AtomicU64>,
}

impl Default for Revisions {
    fn default() -> Revisions {
        let (sender, receiver) = watch::channel(Revision::FIRST);
        Revisions { sender: Arc::new(Mutex::new(Some(sender))), receiver, acknowledged: Arc::default() }
    }
}

impl fmt::Debug for Revisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Revisions").field(&*self.receiver.borrow()).finish()
    }
}

impl Revisions {
    /// The store is at `revision` now. Wakes those who follow, if that is new.
    pub fn publish(&self, revision: Revision) {
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            // A snapshot may bring any revision: it need not be a larger one.
            sender.send_if_modified(|last| std::mem::replace(last, revision) != revision);
        }
    }

    /// There will be no more: those who follow see the end.
    pub fn end(&self) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Follows the store.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Revision> {
        self.receiver.clone()
    }

    /// A client was told of this revision.
    pub fn acknowledge(&self, revision: Revision) {
        self.acknowledged.fetch_max(revision.0, Relaxed);
    }

    /// The highest revision that a client was told of.
    #[must_use]
    pub fn acknowledged(&self) -> Revision {
        Revision(self.acknowledged.load(Relaxed))
    }
}
