//! Clients with leases: what each knows of those that it was granted, and whether what it sees of them can be.
//!
//! A lease has one holder, which never takes the same name again, and puts one key under it. So the holder knows from when
//! on the lease must have lived, by its own questions and answers: an answer that says that a lease is gone, or that it is
//! not, is right or wrong by the world's clock alone.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::types::KeyRange;
use jangada_kv::{Error, LeaseId, LeaseRequest, LeaseResponse, Put, RangeRequest, Request, Response};
use jangada_raft::types::Time;

use crate::coverage::{Counter, Coverage};
use crate::rng::{Dice, Rng};
use crate::workload::{Call, Outcome};

/// The times to live that are asked for, in seconds. Some are too short, and raised.
const TTLS: [u64; 3] = [0, 2, 3];
/// The shortest that there is.
const SHORTEST_MS: u64 = 2_000;
/// So much of it may be lost to whole milliseconds.
const ROUNDING_MS: u64 = 2;

/// The leases of all clients.
#[derive(Default)]
pub(crate) struct Leases {
    tenures: BTreeMap<LeaseId, Tenure>,
    holders: BTreeMap<usize, Holder>,
    seen: Coverage,
}

/// What is known of a lease.
#[derive(Default)]
struct Tenure {
    ttl_ms: u64,
    /// Grants and keep-alives that were answered: from the question to the answer.
    renewals: Vec<(Time, Time)>,
    /// Those that are on their way, or of which nobody knows.
    open: u32,
    /// Its holder has asked for its end.
    revoked: bool,
}

/// What a client holds.
#[derive(Default)]
struct Holder {
    /// The lease that it was granted last, until it hears that it is gone.
    lease: Option<LeaseId>,
    /// The lease that its key is under, and since when that is known; none if it is not certain.
    under: Option<(LeaseId, Time)>,
    /// Puts of its key that are on their way, or of which nobody knows.
    puts_open: u32,
}

/// What an answer says of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Alive,
    Gone,
}

/// What times mean in a world.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// How much too fast clocks may run, in thousandths.
    pub(crate) drift_per_mille: u64,
    /// How long a lease may be seen after its time when nothing goes wrong.
    pub(crate) grace: Duration,
}

/// The key that a client puts under its leases.
pub(crate) fn key_of(client: usize) -> Bytes {
    Bytes::from(format!("u{client}"))
}

impl Leases {
    /// What a client does next about its lease. Every other lease is left alone once it is granted, so that it ends.
    pub(crate) fn draw(&self, call: Call, value: Bytes, rng: &mut Rng) -> Request {
        let key = key_of(call.client);
        let Some(lease) = self.holders.get(&call.client).and_then(|holder| holder.lease) else {
            // Operations are counted, so this name is new.
            let lease = LeaseId(i64::try_from(call.id.0).unwrap_or(i64::MAX));
            return Request::Lease(LeaseRequest::Grant { lease, ttl_seconds: rng.pick(&TTLS) });
        };
        let is_left_alone = lease.0 % 2 == 0;
        match rng.below(10) {
            0..3 if is_left_alone => Request::Lease(LeaseRequest::TimeToLive { lease, keys: true }),
            0..3 => Request::Lease(LeaseRequest::KeepAlive { lease }),
            3..5 => Request::Put(Put { lease: Some(lease), ..Put::new(key, value) }),
            5 if rng.chance(200) => Request::Lease(LeaseRequest::Revoke { lease }),
            5..8 => Request::Range(Box::new(RangeRequest::new(KeyRange::One(key)))),
            _ => Request::Lease(LeaseRequest::TimeToLive { lease, keys: false }),
        }
    }

    /// Notes what a client asks for.
    pub(crate) fn asked(&mut self, client: usize, request: &Request) {
        match request {
            Request::Lease(LeaseRequest::Grant { lease, ttl_seconds }) => {
                let tenure = self.tenures.entry(*lease).or_default();
                tenure.ttl_ms = (ttl_seconds * 1_000).max(SHORTEST_MS);
                tenure.open += 1;
            }
            Request::Lease(LeaseRequest::KeepAlive { lease }) => self.tenure(*lease).open += 1,
            Request::Lease(LeaseRequest::Revoke { lease }) => self.tenure(*lease).revoked = true,
            Request::Put(Put { lease: Some(_), .. }) => self.holder(client).puts_open += 1,
            _ => {}
        }
    }

    /// Judges what became of it.
    ///
    /// # Errors
    /// A sentence, if it cannot be.
    pub(crate) fn ended(
        &mut self,
        call: Call,
        at: Time,
        request: &Request,
        outcome: &Outcome<Response>,
        bounds: Bounds,
    ) -> Result<(), String> {
        let response = match outcome {
            Outcome::Answered(response) => Some(response),
            Outcome::NoEffect(_) => None,
            // It stays open for ever.
            Outcome::Unknown => return Ok(()),
        };
        let sight = match request {
            Request::Lease(LeaseRequest::Grant { lease, .. }) => {
                self.granted(call, at, *lease, response);
                None
            }
            Request::Lease(LeaseRequest::KeepAlive { lease }) => self.kept_alive(call, at, *lease, response),
            Request::Lease(LeaseRequest::TimeToLive { lease, .. }) => time_to_live(*lease, response),
            Request::Lease(LeaseRequest::Revoke { lease }) => {
                let done = Response::Error(Error::LeaseNotFound);
                self.seen.add(Counter::LeasesRevoked, u64::from(response.is_some_and(|it| *it != done)));
                response.map(|_| (*lease, Sight::Gone))
            }
            Request::Put(Put { lease: Some(lease), .. }) => self.put(call.client, at, *lease, response),
            Request::Range(range) if range.range == KeyRange::One(key_of(call.client)) => {
                self.looked(call, response)
            }
            _ => None,
        };
        let Some((lease, sight)) = sight else { return Ok(()) };
        if sight == Sight::Gone {
            let holder = self.holder(call.client);
            holder.lease = holder.lease.filter(|own| *own != lease);
        }
        let tenure = self.tenures.get(&lease);
        let wrong = tenure.and_then(|tenure| tenure.contradicts(sight, call, at, bounds));
        match wrong {
            Some(why) => Err(format!("client {}'s lease {:x}: {why}", call.client, lease.0)),
            None => Ok(()),
        }
    }

    pub(crate) fn cover(&self, coverage: &mut Coverage) {
        *coverage += &self.seen;
    }

    fn granted(&mut self, call: Call, at: Time, lease: LeaseId, response: Option<&Response>) {
        let tenure = self.tenure(lease);
        tenure.open -= 1;
        if let Some(Response::Lease(LeaseResponse::Granted { .. })) = response {
            tenure.renewals.push((call.at, at));
            self.holder(call.client).lease = Some(lease);
        }
    }

    fn kept_alive(
        &mut self,
        call: Call,
        at: Time,
        lease: LeaseId,
        response: Option<&Response>,
    ) -> Option<(LeaseId, Sight)> {
        let tenure = self.tenure(lease);
        tenure.open -= 1;
        let Some(Response::Lease(LeaseResponse::KeptAlive { ttl_seconds, .. })) = response else {
            return None;
        };
        if ttl_seconds.is_none() {
            return Some((lease, Sight::Gone));
        }
        tenure.renewals.push((call.at, at));
        self.seen.count(Counter::LeasesKeptAlive);
        None
    }

    fn put(
        &mut self,
        client: usize,
        at: Time,
        lease: LeaseId,
        response: Option<&Response>,
    ) -> Option<(LeaseId, Sight)> {
        let holder = self.holder(client);
        holder.puts_open -= 1;
        match response? {
            Response::Put(_) => {
                // Of two that are on their way together, nobody knows which comes last.
                holder.under = (holder.puts_open == 0).then_some((lease, at));
                Some((lease, Sight::Alive))
            }
            Response::Error(Error::LeaseNotFound) => Some((lease, Sight::Gone)),
            _ => None,
        }
    }

    fn looked(&mut self, call: Call, response: Option<&Response>) -> Option<(LeaseId, Sight)> {
        let Some(Response::Range(range)) = response else { return None };
        let holder = self.holder(call.client);
        match range.kvs.first() {
            Some(kv) => kv.lease.map(|lease| (lease, Sight::Alive)),
            None => {
                // What was asked before it was put there may have been answered as of then.
                let certain = |(_, since): &(LeaseId, Time)| holder.puts_open == 0 && *since < call.at;
                let (under, _) = holder.under.filter(certain)?;
                self.seen.count(Counter::LeasedKeysGone);
                Some((under, Sight::Gone))
            }
        }
    }

    fn tenure(&mut self, lease: LeaseId) -> &mut Tenure {
        self.tenures.entry(lease).or_default()
    }

    fn holder(&mut self, client: usize) -> &mut Holder {
        self.holders.entry(client).or_default()
    }
}

fn time_to_live(lease: LeaseId, response: Option<&Response>) -> Option<(LeaseId, Sight)> {
    match response? {
        Response::Lease(LeaseResponse::TimeToLive { life, .. }) => {
            Some((lease, if life.is_some() { Sight::Alive } else { Sight::Gone }))
        }
        _ => None,
    }
}

impl Tenure {
    /// Why an answer that came `at` cannot be.
    fn contradicts(&self, sight: Sight, call: Call, at: Time, bounds: Bounds) -> Option<String> {
        match sight {
            Sight::Gone if self.revoked => None,
            Sight::Gone => {
                // Whatever was on its way together with the question may come behind it.
                let before = self.renewals.iter().filter(|(_, answered)| *answered < call.at);
                let (renewed, _) = before.max()?;
                let lived = at.since(*renewed);
                // All of it, by the fastest clock that there may be.
                let certain = (self.ttl_ms - ROUNDING_MS) * 1_000 / (1_000 + bounds.drift_per_mille);
                (lived.as_millis() < u128::from(certain))
                    .then(|| format!("it was gone {lived:?} after it had been given {} ms", self.ttl_ms))
            }
            Sight::Alive => {
                let (_, renewed) = self.renewals.iter().max_by_key(|(_, answered)| *answered)?;
                let from = (*renewed).max(call.calm_since.filter(|_| self.open == 0)?);
                let due = from + Duration::from_millis(self.ttl_ms) + bounds.grace;
                (due < call.at).then(|| {
                    let late = call.at.since(due);
                    format!("it was still seen {late:?} after it had to be gone, and nothing had gone wrong")
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jangada_kv::Revision;
    use jangada_kv::lease::LeaseLife;
    use jangada_raft::types::NodeId;

    use super::*;
    use crate::workload::OperationId;

    const BOUNDS: Bounds = Bounds { drift_per_mille: 10, grace: Duration::from_secs(2) };
    const LEASE: LeaseId = LeaseId(7);

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    fn call(asked: u64) -> Call {
        let calm_since = Some(at(500));
        Call { id: OperationId(1), client: 3, server: NodeId(1), at: at(asked), calm_since }
    }

    fn done(
        leases: &mut Leases,
        asked: u64,
        request: LeaseRequest,
        response: LeaseResponse,
    ) -> Result<(), String> {
        let request = Request::Lease(request);
        leases.asked(3, &request);
        let answered = Outcome::Answered(Response::Lease(response));
        leases.ended(call(asked), at(asked + 10), &request, &answered, BOUNDS)
    }

    /// A lease of two seconds, granted from 1,000 to 1,010 ms and kept alive from 2,000 to 2,010.
    fn held() -> Leases {
        let (mut leases, revision) = (Leases::default(), Revision(1));
        let granted = LeaseResponse::Granted { revision, lease: LEASE, ttl_seconds: 2 };
        done(&mut leases, 1_000, LeaseRequest::Grant { lease: LEASE, ttl_seconds: 0 }, granted).unwrap();
        let kept = LeaseResponse::KeptAlive { revision, lease: LEASE, ttl_seconds: Some(2) };
        done(&mut leases, 2_000, LeaseRequest::KeepAlive { lease: LEASE }, kept).unwrap();
        leases
    }

    fn seen(mut leases: Leases, asked: u64, alive: bool) -> Result<(), String> {
        let life = alive.then(|| LeaseLife { ttl_seconds: 2, remaining_ms: 9, keys: vec![] });
        let told = LeaseResponse::TimeToLive { revision: Revision(1), lease: LEASE, life };
        done(&mut leases, asked, LeaseRequest::TimeToLive { lease: LEASE, keys: false }, told)
    }

    #[test]
    fn a_lease_lives_as_long_as_it_was_told_to() {
        assert!(seen(held(), 3_900, false).unwrap_err().contains("it was gone 1.91s after"));
        // One clock in a hundred and one may be too fast by so much.
        assert_eq!(seen(held(), 3_970, false), Ok(()));
        assert_eq!(seen(held(), 3_900, true), Ok(()));
    }

    #[test]
    fn a_lease_does_not_outlive_its_time_if_nothing_goes_wrong() {
        assert_eq!(seen(held(), 6_010, true), Ok(()));
        assert!(seen(held(), 6_011, true).unwrap_err().contains("still seen"));
        let mut asked = held();
        asked.asked(3, &Request::Lease(LeaseRequest::KeepAlive { lease: LEASE }));
        assert_eq!(seen(asked, 6_011, true), Ok(()), "it may have been kept alive");
    }

    #[test]
    fn a_lease_that_was_given_back_may_be_gone_at_any_time() {
        let mut leases = held();
        leases.asked(3, &Request::Lease(LeaseRequest::Revoke { lease: LEASE }));
        assert_eq!(seen(leases, 2_500, false), Ok(()));
    }
}
