//! The store itself: its state, and the two doors to it, [`Store::apply`] for the log and [`Store::read`].

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use crate::auth::{Auth, AuthRequest, Caller};
use crate::entry::ChangeId;
use crate::expiry::Due;
use crate::history::History;
use crate::key_index::KeyIndex;
use crate::lease::Leases;
use crate::request::Request;
use crate::response::{Error, Response};
use crate::snapshot::Pin;
use crate::space::{AlarmRequest, Space};
use crate::types::{Millis, Retention, Revision};

/// A key-value store with history. Apply the same requests with the same stamps, in the same order, and you get the
/// same store.
pub struct Store {
    /// The largest stamp that was applied.
    pub(crate) clock: Millis,
    pub(crate) revision: Revision,
    /// Whether the request that is being applied has changed something yet, so that `revision` is its own.
    pub(crate) revision_is_open: bool,
    /// The oldest revision that can be read.
    pub(crate) floor: Revision,
    pub(crate) retention: Retention,
    pub(crate) index: KeyIndex,
    pub(crate) history: History,
    /// The first change with a revision larger than `floor`; everything before it may be forgotten, but for the
    /// changes of `floor` itself.
    pub(crate) first_above_floor: ChangeId,
    pub(crate) leases: Leases,
    pub(crate) auth: Auth,
    pub(crate) space: Space,
    /// The deadlines of the newest versions and of the leases, soonest first.
    pub(crate) deadlines: BTreeSet<(Millis, Due)>,
    /// Keys that are not deleted.
    pub(crate) key_count: u64,
    /// What the newest versions of those keys take up, and the leases.
    pub(crate) live_bytes: u64,
    /// The snapshots that are being read.
    pub(crate) pins: Vec<Pin>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("clock", &self.clock)
            .field("revision", &self.revision)
            .field("floor", &self.floor)
            .field("keys", &self.key_count)
            .finish_non_exhaustive()
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

impl Store {
    /// An empty store at revision 1, with the default [`Retention`].
    #[must_use]
    pub fn new() -> Store {
        Store {
            clock: Millis::ZERO,
            revision: Revision::FIRST,
            revision_is_open: false,
            floor: Revision::ZERO,
            retention: Retention::default(),
            index: KeyIndex::new(),
            history: History::new(),
            first_above_floor: ChangeId(1),
            leases: Leases::default(),
            auth: Auth::default(),
            space: Space::default(),
            deadlines: BTreeSet::new(),
            key_count: 0,
            live_bytes: 0,
            pins: Vec::new(),
        }
    }

    /// Applies a committed request. `now` is the stamp that the leader put on its log entry; the store's clock
    /// becomes the larger of itself and `now`, so that it never runs backwards.
    ///
    /// Read-only requests are answered too, as of this place in the log.
    pub fn apply(&mut self, now: Millis, request: &Request) -> Response {
        self.clock = self.clock.max(now);
        let live_bytes = self.live_bytes;
        let (caller, request) = whose(request);
        let permitted = self.permit(now, caller, request).map_err(Error::Auth);
        let response = match permitted.and_then(|()| self.heed_alarms(request)) {
            Ok(()) => {
                self.auth.touch(caller, self.clock);
                self.carry_out(now, caller, request)
            }
            Err(error) => Response::Error(error),
        };
        self.close_revision();
        if self.live_bytes < live_bytes {
            self.look_at_space();
        }
        response
    }

    /// Does what is asked, for a caller who may.
    fn carry_out(&mut self, now: Millis, caller: &Caller, request: &Request) -> Response {
        match request {
            Request::Command(command) => self.command(command).map_or_else(Response::Error, Response::Reply),
            Request::Exec(exec) => self.exec(exec).map_or_else(Response::Error, Response::Exec),
            Request::Put(put) => self.put(put).map_or_else(Response::Error, Response::Put),
            Request::DeleteRange(delete) => {
                self.delete_range(delete).map_or_else(Response::Error, Response::DeleteRange)
            }
            Request::Txn(txn) => self.txn(txn).map_or_else(Response::Error, Response::Txn),
            Request::Compact { revision } => self.compact(*revision),
            Request::ExpireKeys { keys } => self.expire_keys(keys),
            Request::Tick => Response::Done,
            Request::SetRetention(retention) => {
                self.retention = *retention;
                Response::Done
            }
            Request::Lease(lease) => Store::lease_response(self.lease(lease)),
            Request::SetQuota(quota) => {
                self.set_quota(*quota);
                Response::Done
            }
            Request::Alarm(alarm) => self.alarm(alarm),
            Request::WatchRevision { .. } | Request::Range(_) => self.tell(now, caller, request),
            Request::Auth(auth) => self
                .auth(caller, auth)
                .map_or_else(|error| Response::Error(Error::Auth(error)), Response::Auth),
            Request::OnBehalf(_) => Response::Error(Error::Malformed),
        }
    }

    /// Answers a request that [is read-only](Request::is_read_only); any other is refused with
    /// [`Error::NotReadOnly`].
    ///
    /// `now` is an estimate of the time, used only to tell how long keys have left. Whether a key exists never
    /// depends on it.
    #[must_use]
    pub fn read(&self, now: Millis, request: &Request) -> Response {
        let (caller, request) = whose(request);
        match self.permit(now, caller, request) {
            Ok(()) => self.tell(now, caller, request),
            Err(error) => Response::Error(Error::Auth(error)),
        }
    }

    /// Answers what is asked, for a caller who may know.
    fn tell(&self, now: Millis, caller: &Caller, request: &Request) -> Response {
        match request {
            Request::Command(command) => {
                self.query(now, command).map_or(Response::Error(Error::NotReadOnly), Response::Reply)
            }
            Request::Exec(exec) => self.exec_queries(now, exec).map_or_else(Response::Error, Response::Exec),
            Request::WatchRevision { key } => Response::WatchRevision(self.live_revision(key)),
            Request::Range(range) => self.range(range).map_or_else(Response::Error, Response::Range),
            Request::Txn(txn) => self.txn_queries(txn).map_or_else(Response::Error, Response::Txn),
            Request::Lease(lease) => Store::lease_response(self.lease_query(now, lease)),
            Request::Auth(AuthRequest::Change(_)) => Response::Error(Error::NotReadOnly),
            Request::Auth(AuthRequest::Ask(question)) => self
                .auth_query(caller, question)
                .map_or_else(|error| Response::Error(Error::Auth(error)), Response::Auth),
            Request::Alarm(AlarmRequest::List) => self.alarm_list(),
            Request::Put(_)
            | Request::DeleteRange(_)
            | Request::Compact { .. }
            | Request::ExpireKeys { .. }
            | Request::Tick
            | Request::SetRetention(_)
            | Request::SetQuota(_)
            | Request::Alarm(AlarmRequest::Raise(_) | AlarmRequest::Clear(_)) => {
                Response::Error(Error::NotReadOnly)
            }
            Request::OnBehalf(_) => Response::Error(Error::Malformed),
        }
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be read.
    #[must_use]
    pub fn floor(&self) -> Revision {
        self.floor
    }

    /// The store's clock: the largest stamp that was applied.
    #[must_use]
    pub fn clock(&self) -> Millis {
        self.clock
    }

    /// How much history is kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// How many keys there are, those included whose deadline has passed but which are not removed yet.
    #[must_use]
    pub fn key_count(&self) -> u64 {
        self.key_count
    }

    /// About how many bytes the keys, their values and the kept history take up.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.live_bytes + self.history_bytes()
    }

    /// The same without the history.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Ends the request that was applied: what it changed is a revision now.
    fn close_revision(&mut self) {
        self.revision_is_open = false;
        self.retain();
    }
}

/// Who asks, and what for. Whoever asks for another one's request is asked for in vain: that is refused.
fn whose(request: &Request) -> (&Caller, &Request) {
    match request {
        Request::OnBehalf(asked) => (&asked.caller, &asked.request),
        other => (&Caller::Nobody, other),
    }
}
