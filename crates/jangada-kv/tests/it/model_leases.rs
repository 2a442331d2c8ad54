//! The naive store's leases.

use jangada_kv::{Error, LeaseId, LeaseLife, LeaseRequest, LeaseResponse, Millis, Revision};

use crate::model::{Bound, Model};

impl Model {
    pub(crate) fn lease(&mut self, request: &LeaseRequest) -> Result<LeaseResponse, Error> {
        let revision = Revision(self.revision());
        Ok(match request {
            LeaseRequest::Grant { lease, ttl_seconds } => {
                let ttl_seconds = (*ttl_seconds).max(2);
                match lease {
                    LeaseId(0) => return Err(Error::LeaseNotFound),
                    _ if ttl_seconds > 9_000_000_000 => return Err(Error::TtlTooLong),
                    lease if self.leases.contains_key(lease) => return Err(Error::LeaseExists),
                    lease => self.leases.insert(*lease, (ttl_seconds, self.later(ttl_seconds))),
                };
                LeaseResponse::Granted { revision, lease: *lease, ttl_seconds }
            }
            LeaseRequest::Revoke { lease } => {
                self.leases.remove(lease).ok_or(Error::LeaseNotFound)?;
                self.delete_under(*lease);
                LeaseResponse::Revoked { revision: Revision(self.revision()) }
            }
            LeaseRequest::KeepAlive { lease } => {
                let ttl_seconds = self.leases.get(lease).map(|(ttl_seconds, _)| *ttl_seconds);
                if let Some(ttl_seconds) = ttl_seconds {
                    self.leases.insert(*lease, (ttl_seconds, self.later(ttl_seconds)));
                }
                LeaseResponse::KeptAlive { revision, lease: *lease, ttl_seconds }
            }
            LeaseRequest::Expire { leases } => {
                let mut ended = 0;
                for lease in leases {
                    if self.leases.get(lease).is_some_and(|(_, deadline)| *deadline <= self.clock) {
                        self.leases.remove(lease);
                        self.delete_under(*lease);
                        self.commit();
                        ended += 1;
                    }
                }
                LeaseResponse::Expired { leases: ended }
            }
            LeaseRequest::List => {
                let mut leases: Vec<LeaseId> = self.leases.keys().copied().collect();
                leases.sort_by_key(|lease| self.leases[lease].1);
                LeaseResponse::List { revision, leases }
            }
            LeaseRequest::TimeToLive { lease, keys } => {
                let life = self.leases.get(lease).map(|(ttl_seconds, deadline)| LeaseLife {
                    ttl_seconds: *ttl_seconds,
                    remaining_ms: deadline.0.saturating_sub(self.clock.0),
                    keys: if *keys { self.under(*lease) } else { vec![] },
                });
                LeaseResponse::TimeToLive { revision, lease: *lease, life }
            }
        })
    }

    fn later(&self, seconds: u64) -> Millis {
        Millis(self.clock.0 + seconds * 1_000)
    }

    fn under(&self, lease: LeaseId) -> Vec<bytes::Bytes> {
        let is_under = |bound: Bound| bound == Bound::Lease(lease);
        self.next.iter().filter(|(_, value)| is_under(value.bound)).map(|(key, _)| key.clone()).collect()
    }

    fn delete_under(&mut self, lease: LeaseId) {
        for key in self.under(lease) {
            self.write(&key, None);
        }
    }
}
