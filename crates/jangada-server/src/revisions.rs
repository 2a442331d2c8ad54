//! How far the store of a server is, for watches, and what has changed last: told after each step in which it moved on.
//!
//! While anybody follows, the changes of a step are kept beside its revision, as long as they are few: who is woken finds
//! them there, and need not ask the replica thread, which would cost both threads a wake-up more.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use jangada_kv::watch::{Recent, Slice};
use jangada_kv::{Revision, Store};
use tokio::sync::watch;

/// Most events of a step that are kept; who wants the others asks for them.
const KEPT_EVENTS: usize = 1_000;
/// Most bytes of their keys and values.
const KEPT_BYTES: usize = 1 << 20;

/// One writer, any number of readers. Cheap to clone.
#[derive(Clone)]
pub struct Revisions {
    sender: Arc<Mutex<Option<watch::Sender<Revision>>>>,
    /// Of all clones: further receivers are those who follow.
    receiver: Arc<watch::Receiver<Revision>>,
    recent: Arc<Mutex<Recent>>,
    acknowledged: Arc<AtomicU64>,
    auth: Arc<AtomicU64>,
}

impl Default for Revisions {
    fn default() -> Revisions {
        let (sender, receiver) = watch::channel(Revision::FIRST);
        Revisions {
            sender: Arc::new(Mutex::new(Some(sender))),
            receiver: Arc::new(receiver),
            recent: Arc::default(),
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
    /// The store is as it is now. Wakes those who follow, if its revision is new, or its users are.
    pub fn publish(&self, store: &Store) {
        let (revision, auth) = (store.revision(), store.auth_stamp());
        let users_changed = self.auth.swap(auth, Relaxed) != auth;
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            // A snapshot may bring any revision: it need not be a larger one.
            let before = *sender.borrow();
            if before != revision {
                self.keep(store, before.next(), sender.receiver_count() > 1);
            }
            sender.send_if_modified(|last| std::mem::replace(last, revision) != revision || users_changed);
        }
    }

    /// Keeps what has changed from a revision on, if somebody follows.
    fn keep(&self, store: &Store, from: Revision, followed: bool) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if !followed {
            if recent.end().is_some() {
                *recent = Recent::default();
            }
        } else if store.changes(from).is_ok_and(|mut changes| changes.nth(KEPT_EVENTS).is_some()) {
            // One request can change any number of keys: those who want to know ask for it.
            *recent = Recent::default();
        } else if let Ok(changes) = store.some_changes(from, KEPT_EVENTS, KEPT_BYTES) {
            recent.keep(&Arc::new(Slice::new(from, changes)));
        }
    }

    /// Changes from `from` on, if they are kept. The slice may begin earlier.
    #[must_use]
    pub fn recent(&self, from: Revision) -> Option<Arc<Slice>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).from(from)
    }

    /// There will be no more: those who follow see the end.
    pub fn end(&self) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Follows the store.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Revision> {
        watch::Receiver::clone(&self.receiver)
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
    use bytes::Bytes;
    use jangada_kv::auth::{AuthChange, AuthRequest};
    use jangada_kv::{Millis, Put, Request};

    use super::*;

    fn put(store: &mut Store) {
        let put = Put::new(Bytes::from_static(b"key"), Bytes::from_static(b"value"));
        store.apply(Millis(1), &Request::Put(put));
    }

    #[test]
    fn who_follows_wakes_when_the_store_or_its_users_have_changed() {
        let (mut store, revisions) = (Store::new(), Revisions::default());
        let mut follower = revisions.follow();
        let mut wakes = |store: &Store| {
            revisions.publish(store);
            let woken = follower.has_changed().unwrap();
            follower.mark_unchanged();
            woken
        };
        put(&mut store);
        assert!(wakes(&store) && !wakes(&store));
        let (stamp, name) = (store.auth_stamp(), Bytes::from_static(b"role"));
        let change = AuthRequest::Change(AuthChange::RoleAdd { name });
        store.apply(Millis(1), &Request::Auth(change));
        assert!(store.auth_stamp() != stamp && wakes(&store) && !wakes(&store));
        assert_eq!(revisions.auth_stamp(), store.auth_stamp());
    }

    #[test]
    fn changes_are_kept_from_when_somebody_follows_until_nobody_does() {
        let (mut store, revisions) = (Store::new(), Revisions::default());
        let mut publish = || {
            put(&mut store);
            put(&mut store);
            revisions.publish(&store);
            store.revision()
        };
        let unheard = publish();
        assert!(revisions.recent(unheard).is_none());
        let follower = revisions.clone().follow();
        let heard = publish();
        let slice = revisions.recent(heard).unwrap();
        assert_eq!((slice.first, slice.through, slice.events.len()), (unheard.next(), heard, 2));
        assert!(revisions.recent(unheard).is_none() && revisions.recent(heard.next()).is_none());
        drop(follower);
        publish();
        assert!(revisions.recent(heard).is_none(), "what nobody wants takes up no memory");
    }
}
