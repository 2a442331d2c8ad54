//! etcd's writes: put and delete range. Each has a check that changes nothing and a deed that cannot fail, so that a
//! txn can check all its operations before it does the first.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::entry::{Life, Version};
use crate::range::check_range;
use crate::request::{DeleteRange, Put};
use crate::response::{DeleteRangeResponse, Error, PutResponse};
use crate::slab::Slot;
use crate::space::put_bytes;
use crate::store::Store;

impl Store {
    pub(crate) fn put(&mut self, put: &Put) -> Result<PutResponse, Error> {
        check_put(put)?;
        self.can_put(put)?;
        self.make_room(put_bytes(put), |store| store.put_growth(put))?;
        Ok(self.do_put(put))
    }

    pub(crate) fn delete_range(&mut self, delete: &DeleteRange) -> Result<DeleteRangeResponse, Error> {
        check_range(&delete.range)?;
        Ok(self.do_delete_range(delete))
    }

    /// What depends on the state: the lease that it names, and what it says to keep.
    pub(crate) fn can_put(&self, put: &Put) -> Result<(), Error> {
        if put.lease.is_some_and(|lease| !self.leases.exists(lease)) {
            return Err(Error::LeaseNotFound);
        }
        self.can_keep(put)
    }

    /// The key that something is to be kept of must exist.
    pub(crate) fn can_keep(&self, put: &Put) -> Result<(), Error> {
        let keeps = put.ignore_value || put.ignore_lease;
        if keeps && self.index.find(&put.key).and_then(|slot| self.existing(slot)).is_none() {
            return Err(Error::KeyNotFound);
        }
        Ok(())
    }

    pub(crate) fn do_put(&mut self, put: &Put) -> PutResponse {
        let slot = self.index.find(&put.key);
        let old = slot.and_then(|slot| self.existing(slot));
        let continues = old.is_some();
        let kept_value = old.filter(|_| put.ignore_value).and_then(|old| old.value.clone());
        let life = match (put.lease, old.filter(|_| put.ignore_lease)) {
            (Some(lease), _) => Life::Lease(lease),
            (None, Some(old)) => old.life,
            (None, None) => Life::Endless,
        };
        let prev_kv = slot
            .filter(|_| put.prev_kv && continues)
            .map(|slot| Box::new(self.index.entry(slot).key_value()));
        let value = kept_value.unwrap_or_else(|| Bytes::copy_from_slice(&put.value));
        self.write(&put.key, slot, continues, life, value);
        PutResponse { revision: self.revision, prev_kv }
    }

    pub(crate) fn do_delete_range(&mut self, delete: &DeleteRange) -> DeleteRangeResponse {
        let slots: Vec<Slot> =
            self.index.range(&delete.range).filter(|slot| self.existing(*slot).is_some()).collect();
        let prev_kvs = if delete.prev_kv {
            slots.iter().map(|slot| self.index.entry(*slot).key_value()).collect()
        } else {
            Vec::new()
        };
        for slot in &slots {
            self.delete(*slot);
        }
        DeleteRangeResponse { revision: self.revision, deleted: slots.len() as u64, prev_kvs }
    }

    /// The newest version, if to etcd's operations the key exists.
    pub(crate) fn existing(&self, slot: Slot) -> Option<&Version> {
        Some(self.newest(slot)).filter(|newest| !newest.is_tombstone())
    }
}

/// What does not depend on the state.
pub(crate) fn check_put(put: &Put) -> Result<(), Error> {
    if put.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    if put.ignore_value && !put.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if put.ignore_lease && put.lease.is_some() {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}
