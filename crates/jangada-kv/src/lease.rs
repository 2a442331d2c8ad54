//! Leases: deadlines that several keys share, and that their holder puts off by saying that it is still there.
//!
//! A lease is one more thing with a deadline (see [`crate::expiry`]): it stands in the same index, its time is the log's,
//! and only a request out of the log ends it. What is put under a lease says so in its version, and ends with it; all of
//! it in one revision, in key order. A key under a lease has no deadline of its own: to either family of requests it
//! exists until the revision that ends the lease, since a lease may be kept alive until then.
//!
//! To keep a lease alive goes through the log, too. So all replicas know how long it has left, whoever leads next.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::expiry::Due;
use crate::response::{Error, Response};
use crate::slab::Slot;
use crate::store::Store;
use crate::types::{LeaseId, Millis, Revision};

/// Shorter times to live are raised to this many seconds: a holder must be able to live through a change of leaders.
pub const MIN_LEASE_SECONDS: u64 = 2;
/// Longest time to live, in seconds.
pub const MAX_LEASE_SECONDS: u64 = 9_000_000_000;

/// Accounting: what a lease costs beside its keys. About right, and the same everywhere.
pub(crate) const LEASE_BYTES: u64 = 128;

/// What can be asked of leases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeaseRequest {
    /// Make a lease. Its name must not be taken, nor be 0.
    Grant {
        /// Its name: the client's choice.
        lease: LeaseId,
        /// How long it lives if nobody keeps it alive.
        ttl_seconds: u64,
    },
    /// End a lease, and delete what is under it.
    Revoke {
        /// Which.
        lease: LeaseId,
    },
    /// Give a lease its whole time to live again.
    KeepAlive {
        /// Which.
        lease: LeaseId,
    },
    /// End those of these leases whose deadline the stamp has reached, each in a revision of its own. The leader gets it
    /// from [`Store::due`]; a lease that was kept alive in the meantime stays.
    Expire {
        /// The candidates.
        leases: Vec<LeaseId>,
    },
    /// Read which leases there are.
    List,
    /// Read how long a lease has left.
    TimeToLive {
        /// Which.
        lease: LeaseId,
        /// Name the keys under it, too.
        keys: bool,
    },
}

/// The answer to a [`LeaseRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeaseResponse {
    /// To `Grant`.
    Granted {
        /// The current revision.
        revision: Revision,
        /// The new lease.
        lease: LeaseId,
        /// Its time to live.
        ttl_seconds: u64,
    },
    /// To `Revoke`.
    Revoked {
        /// The current revision; that of this request if there were keys under the lease.
        revision: Revision,
    },
    /// To `KeepAlive`.
    KeptAlive {
        /// The current revision.
        revision: Revision,
        /// The lease.
        lease: LeaseId,
        /// Its time to live; `None` if there is no such lease.
        ttl_seconds: Option<u64>,
    },
    /// To `Expire`.
    Expired {
        /// How many leases were ended.
        leases: u64,
    },
    /// To `List`.
    List {
        /// The current revision.
        revision: Revision,
        /// The leases, soonest deadline first.
        leases: Vec<LeaseId>,
    },
    /// To `TimeToLive`.
    TimeToLive {
        /// The current revision.
        revision: Revision,
        /// The lease.
        lease: LeaseId,
        /// What there is to know of it; `None` if there is no such lease.
        life: Option<LeaseLife>,
    },
}

/// How a lease stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseLife {
    /// The time to live that it was granted with.
    pub ttl_seconds: u64,
    /// How long it has left, in milliseconds.
    pub remaining_ms: u64,
    /// What is under it, in key order, if that was asked for.
    pub keys: Vec<Bytes>,
}

/// All leases.
#[derive(Default)]
pub(crate) struct Leases {
    by_id: BTreeMap<LeaseId, Lease>,
    /// Newest versions under a lease that is not there. While a snapshot is restored there may be some; then never.
    orphans: u64,
}

/// One of them.
struct Lease {
    ttl_seconds: u64,
    deadline: Millis,
    /// The keys whose newest versions are under it.
    keys: BTreeSet<Slot>,
}

/// A lease as a snapshot holds it. What is under it, the keys say.
#[derive(Clone, Copy)]
pub(crate) struct LeaseRecord {
    pub(crate) lease: LeaseId,
    pub(crate) ttl_seconds: u64,
    pub(crate) deadline: Millis,
}

impl LeaseRequest {
    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            LeaseRequest::List | LeaseRequest::TimeToLive { .. } => true,
            LeaseRequest::Grant { .. }
            | LeaseRequest::Revoke { .. }
            | LeaseRequest::KeepAlive { .. }
            | LeaseRequest::Expire { .. } => false,
        }
    }
}

impl LeaseResponse {
    pub(crate) fn revision(&self) -> Option<Revision> {
        match self {
            LeaseResponse::Granted { revision, .. }
            | LeaseResponse::Revoked { revision }
            | LeaseResponse::KeptAlive { revision, .. }
            | LeaseResponse::List { revision, .. }
            | LeaseResponse::TimeToLive { revision, .. } => Some(*revision),
            LeaseResponse::Expired { .. } => None,
        }
    }
}

impl Leases {
    pub(crate) fn exists(&self, lease: LeaseId) -> bool {
        self.by_id.contains_key(&lease)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn deadline(&self, lease: LeaseId) -> Option<Millis> {
        self.by_id.get(&lease).map(|lease| lease.deadline)
    }

    /// How many keys are under it.
    pub(crate) fn key_count(&self, lease: LeaseId) -> usize {
        self.by_id.get(&lease).map_or(0, |lease| lease.keys.len())
    }

    /// A newest version is under `lease` from now on.
    pub(crate) fn attach(&mut self, lease: LeaseId, slot: Slot) {
        match self.by_id.get_mut(&lease) {
            Some(lease) => assert!(lease.keys.insert(slot), "a key is put under its lease once"),
            None => self.orphans += 1,
        }
    }

    /// The newest version that was under `lease` is replaced.
    pub(crate) fn detach(&mut self, lease: LeaseId, slot: Slot) {
        match self.by_id.get_mut(&lease) {
            Some(lease) => assert!(lease.keys.remove(&slot), "a key under a lease is known to it"),
            None => self.orphans -= 1,
        }
    }

    /// Whether each key that is under a lease is under one that exists.
    pub(crate) fn are_whole(&self) -> bool {
        self.orphans == 0
    }

    /// For a snapshot, by name.
    pub(crate) fn records(&self) -> impl Iterator<Item = LeaseRecord> {
        self.by_id.iter().map(|(lease, state)| LeaseRecord {
            lease: *lease,
            ttl_seconds: state.ttl_seconds,
            deadline: state.deadline,
        })
    }
}

impl Store {
    /// How many leases there are.
    #[must_use]
    pub fn lease_count(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn lease(&mut self, request: &LeaseRequest) -> Result<LeaseResponse, Error> {
        match request {
            LeaseRequest::Grant { lease, ttl_seconds } => self.grant(*lease, *ttl_seconds),
            LeaseRequest::Revoke { lease } => {
                if !self.leases.exists(*lease) {
                    return Err(Error::LeaseNotFound);
                }
                self.end_lease(*lease);
                Ok(LeaseResponse::Revoked { revision: self.revision })
            }
            LeaseRequest::KeepAlive { lease } => Ok(self.keep_alive(*lease)),
            LeaseRequest::Expire { leases } => Ok(self.expire_leases(leases)),
            LeaseRequest::List | LeaseRequest::TimeToLive { .. } => self.lease_query(self.clock, request),
        }
    }

    /// The answer to what only reads; `now` serves to tell how long leases have left.
    pub(crate) fn lease_query(&self, now: Millis, request: &LeaseRequest) -> Result<LeaseResponse, Error> {
        let revision = self.revision;
        match request {
            LeaseRequest::List => {
                let mut by_deadline: Vec<(Millis, LeaseId)> =
                    self.leases.by_id.iter().map(|(id, lease)| (lease.deadline, *id)).collect();
                by_deadline.sort_unstable();
                let leases = by_deadline.into_iter().map(|(_, id)| id).collect();
                Ok(LeaseResponse::List { revision, leases })
            }
            LeaseRequest::TimeToLive { lease, keys } => {
                let life = self.leases.by_id.get(lease).map(|state| LeaseLife {
                    ttl_seconds: state.ttl_seconds,
                    remaining_ms: state.deadline.since(now.max(self.clock)),
                    keys: if *keys { self.keys_of(state) } else { Vec::new() },
                });
                Ok(LeaseResponse::TimeToLive { revision, lease: *lease, life })
            }
            LeaseRequest::Grant { .. }
            | LeaseRequest::Revoke { .. }
            | LeaseRequest::KeepAlive { .. }
            | LeaseRequest::Expire { .. } => Err(Error::NotReadOnly),
        }
    }

    fn grant(&mut self, lease: LeaseId, ttl_seconds: u64) -> Result<LeaseResponse, Error> {
        if lease.0 == 0 {
            return Err(Error::LeaseNotFound);
        }
        if ttl_seconds > MAX_LEASE_SECONDS {
            return Err(Error::TtlTooLong);
        }
        if self.leases.exists(lease) {
            return Err(Error::LeaseExists);
        }
        self.make_room(LEASE_BYTES, |_| LEASE_BYTES)?;
        let ttl_seconds = ttl_seconds.max(MIN_LEASE_SECONDS);
        self.add_lease(LeaseRecord { lease, ttl_seconds, deadline: self.clock + ttl_seconds * 1_000 });
        Ok(LeaseResponse::Granted { revision: self.revision, lease, ttl_seconds })
    }

    /// Also a lease that lies in a snapshot.
    pub(crate) fn add_lease(&mut self, record: LeaseRecord) {
        let LeaseRecord { lease, ttl_seconds, deadline } = record;
        let state = Lease { ttl_seconds, deadline, keys: BTreeSet::new() };
        let before = self.leases.by_id.insert(lease, state);
        assert!(before.is_none(), "a lease is granted once");
        self.deadlines.insert((deadline, Due::Lease(lease)));
        self.live_bytes += LEASE_BYTES;
    }

    fn keep_alive(&mut self, id: LeaseId) -> LeaseResponse {
        let ttl_seconds = self.leases.by_id.get_mut(&id).map(|lease| {
            self.deadlines.remove(&(lease.deadline, Due::Lease(id)));
            lease.deadline = self.clock + lease.ttl_seconds * 1_000;
            self.deadlines.insert((lease.deadline, Due::Lease(id)));
            lease.ttl_seconds
        });
        LeaseResponse::KeptAlive { revision: self.revision, lease: id, ttl_seconds }
    }

    fn expire_leases(&mut self, candidates: &[LeaseId]) -> LeaseResponse {
        let mut ended = 0;
        for lease in candidates {
            if self.leases.deadline(*lease).is_some_and(|deadline| deadline <= self.clock) {
                self.end_lease(*lease);
                // What the next one takes with it is a revision of its own.
                self.revision_is_open = false;
                ended += 1;
            }
        }
        LeaseResponse::Expired { leases: ended }
    }

    /// Deletes what is under a lease that exists, then the lease.
    fn end_lease(&mut self, id: LeaseId) {
        let keys = &self.leases.by_id[&id].keys;
        let mut slots: Vec<Slot> = keys.iter().copied().collect();
        // Slots differ between replicas; the order of events must not.
        slots.sort_unstable_by(|a, b| self.index.entry(*a).key.cmp(&self.index.entry(*b).key));
        for slot in slots {
            self.delete(slot);
        }
        let lease = self.leases.by_id.remove(&id).expect("it was just looked at");
        assert!(lease.keys.is_empty(), "deleted keys are under no lease");
        self.deadlines.remove(&(lease.deadline, Due::Lease(id)));
        self.live_bytes -= LEASE_BYTES;
    }

    /// What is under a lease; nothing, if it is not there. In an order that differs between replicas.
    pub(crate) fn keys_under(&self, lease: LeaseId) -> impl Iterator<Item = Bytes> {
        let slots = self.leases.by_id.get(&lease).into_iter().flat_map(|lease| &lease.keys);
        slots.map(|slot| self.index.entry(*slot).key.to_bytes())
    }

    fn keys_of(&self, lease: &Lease) -> Vec<Bytes> {
        let mut keys: Vec<Bytes> =
            lease.keys.iter().map(|slot| self.index.entry(*slot).key.to_bytes()).collect();
        keys.sort_unstable();
        keys
    }

    /// As an answer.
    pub(crate) fn lease_response(answer: Result<LeaseResponse, Error>) -> Response {
        answer.map_or_else(Response::Error, Response::Lease)
    }
}
