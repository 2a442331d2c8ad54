//! All keys of the store at one revision, page by page, and their hash.

use bytes::Bytes;
use jangada_kv::{Page, Revision};
use tonic::Status;

use crate::backend::{Backend, Freshness};
use crate::error;
use crate::response::signed;

/// The way through all keys.
#[derive(Debug)]
pub(crate) struct Pages {
    revision: Revision,
    next: Option<Bytes>,
}

impl Pages {
    /// From the first key on, at the revision that this member's store is at.
    pub(crate) async fn newest<B: Backend>(backend: &B) -> Result<Pages, Status> {
        Ok(Pages::at(super::revision(backend, Freshness::Serializable).await?))
    }

    fn at(revision: Revision) -> Pages {
        Pages { revision, next: Some(Bytes::new()) }
    }

    /// The revision.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// The next page; nothing behind the last one.
    pub(crate) async fn next<B: Backend>(&mut self, backend: &B) -> Result<Option<Page>, Status> {
        let Some(from) = self.next.take() else { return Ok(None) };
        let page = backend.page(self.revision, from).await.map_err(error::of_refusal)?;
        let page = page.map_err(error::of_store)?;
        self.next = page.next.clone();
        Ok(Some(page))
    }
}

/// What all keys of a revision hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hashed {
    /// The same on every member.
    pub(crate) hash: u32,
    /// Where this member's store is.
    pub(crate) now: Revision,
    /// The oldest revision that can be read.
    pub(crate) floor: Revision,
}

/// Hashes the keys as they were at `revision`, or as they are if it is 0: names, values, revisions, versions, leases. What
/// they were before does not count, since members may forget it at different times.
pub(crate) async fn hash<B: Backend>(backend: &B, revision: i64) -> Result<Hashed, Status> {
    let now = Pages::newest(backend).await?.revision();
    let at = u64::try_from(revision).ok().filter(|revision| *revision > 0);
    let mut pages = Pages::at(at.map_or(now, Revision));
    let (mut hash, mut floor) = (0, Revision::ZERO);
    while let Some(page) = pages.next(backend).await? {
        floor = page.floor;
        if at.is_some_and(|revision| revision <= floor.0) {
            // Of the compacted revision itself etcd gives no hash either.
            return Err(error::COMPACTED.into());
        }
        for kv in page.kvs {
            for text in [&kv.key, &kv.value] {
                hash = crc32c::crc32c_append(hash, &(text.len() as u64).to_le_bytes());
                hash = crc32c::crc32c_append(hash, text);
            }
            let lease = kv.lease.map_or(0, |lease| lease.0);
            let numbers = [kv.create_revision.0, kv.mod_revision.0, kv.version];
            for number in numbers.map(signed).into_iter().chain([lease]) {
                hash = crc32c::crc32c_append(hash, &number.to_le_bytes());
            }
        }
    }
    Ok(Hashed { hash, now, floor })
}
