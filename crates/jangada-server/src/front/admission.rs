//! Who may connect: at most so many in all, and so many from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::Limits;

/// Counts the open connections.
#[derive(Clone, Debug)]
pub struct Admission {
    connections: usize,
    per_address: usize,
    present: Arc<Mutex<Present>>,
}

#[derive(Debug, Default)]
struct Present {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection; dropping it gives the place back.
#[derive(Debug)]
pub struct Guest {
    address: IpAddr,
    present: Arc<Mutex<Present>>,
}

impl Admission {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Admission {
        Admission {
            connections: limits.connections,
            per_address: limits.connections_per_address,
            present: Arc::default(),
        }
    }

    /// A place for a connection from `address`, if there is one.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Option<Guest> {
        let mut present = lock(&self.present);
        if present.all >= self.connections {
            return None;
        }
        let same = present.by_address.entry(address).or_default();
        if *same >= self.per_address {
            return None;
        }
        *same += 1;
        present.all += 1;
        Some(Guest { address, present: Arc::clone(&self.present) })
    }
}

impl Guest {
    /// Where it connects from.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut present = lock(&self.present);
        present.all -= 1;
        if let Some(same) = present.by_address.get_mut(&self.address) {
            *same -= 1;
            if *same == 0 {
                present.by_address.remove(&self.address);
            }
        }
    }
}

/// Counting cannot panic half-way, so a poisoned lock is as good as any.
fn lock(present: &Mutex<Present>) -> MutexGuard<'_, Present> {
    present.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let admission = Admission::new(&limits);
        let [one, two, three] = [1, 2, 3].map(|last| IpAddr::from([127, 0, 0, last]));
        let first = admission.admit(one);
        let second = admission.admit(one);
        assert!(first.is_some() && second.is_some());
        assert!(admission.admit(one).is_none());
        let other = admission.admit(two);
        assert!(other.is_some());
        assert!(admission.admit(three).is_none());
        drop(first);
        assert!(admission.admit(three).is_some());
        drop((second, other));
        assert!(lock(&admission.present).by_address.is_empty());
    }
}
