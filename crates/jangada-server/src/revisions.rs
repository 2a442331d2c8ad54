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
    auth: Arc<AtomicU64>,
}

impl Default for Revisions {
    fn default() -> Revisions {
        let (sender, receiver) = watch::channel(Revision::FIRST);
        Revisions {
            sender: Arc::new(Mutex::new(Some(sender))),
            receiver,
            acknowledged: Arc::default(),
            auth: Arc::default(),
        }
    }
}

impl fmt::Debug for Revisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Revisions").field(&*self.receiver.borrow()).finish()
    }
}

impl Revisions {
    /// The store is at `revision` now, and its users are as `auth` says ([`jangada_kv::Store::auth_stamp`]). Wakes those who
    /// follow, if either is new.
    pub fn publish(&self, revision: Revision, auth: u64) {
        let users_changed = self.auth.swap(auth, Relaxed) != auth;
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            // A snapshot may bring any revision: it need not be a larger one.
            sender.send_if_modified(|last| std::mem::replace(last, revision) != revision || users_changed);
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

    /// What the users of the store are like.
    #[must_use]
    pub fn auth_stamp(&self) -> u64 {
        self.auth.load(Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_wakes_when_the_store_or_its_users_have_changed() {
        let revisions = Revisions::default();
        let mut follower = revisions.follow();
        let mut wakes = |revision, auth| {
            revisions.publish(Revision(revision), auth);
            let woken = follower.has_changed().unwrap();
            follower.mark_unchanged();
            woken
        };
        assert!(wakes(2, 3) && !wakes(2, 3) && wakes(2, 4) && wakes(3, 4) && !wakes(3, 4));
        assert_eq!(revisions.auth_stamp(), 4);
    }
}
