//! Reading a range of keys, now or at an old revision.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::entry::{Entry, Version};
use crate::request::{RangeRequest, SortOrder, SortTarget};
use crate::response::{Error, RangeResponse};
use crate::store::Store;
use crate::types::{KeyRange, Revision};

/// A key and the version that was found of it.
type Found<'a> = (&'a Entry, &'a Version);

impl Store {
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        check_range(&request.range)?;
        self.check_revision(request.revision)?;
        let mut response = RangeResponse { revision: self.revision, ..RangeResponse::default() };
        if request.count_only {
            response.count = self.versions(request).count() as u64;
            return Ok(response);
        }
        let limit = if request.limit == 0 {
            usize::MAX
        } else {
            usize::try_from(request.limit).unwrap_or(usize::MAX)
        };
        let found = if is_in_key_order(request) {
            self.first_in_key_order(request, limit, &mut response)
        } else {
            self.sorted(request, limit, &mut response)
        };
        response.kvs =
            found.iter().map(|(entry, version)| version.key_value(&entry.key, request.keys_only)).collect();
        Ok(response)
    }

    /// Whether the history still holds, and already has, the revision that is asked for.
    pub(crate) fn check_revision(&self, revision: Option<Revision>) -> Result<(), Error> {
        match revision {
            Some(revision) if revision > self.revision => {
                Err(Error::FutureRevision { current: self.revision })
            }
            Some(revision) if revision < self.floor => Err(Error::Compacted { floor: self.floor }),
            Some(_) | None => Ok(()),
        }
    }

    /// No need to hold more than the limit: the rest is only counted.
    fn first_in_key_order<'a>(
        &'a self,
        request: &'a RangeRequest,
        limit: usize,
        response: &mut RangeResponse,
    ) -> Vec<Found<'a>> {
        let mut found = Vec::new();
        for (entry, version) in self.versions(request) {
            response.count += 1;
            if passes_filters(version, request) {
                if found.len() < limit {
                    found.push((entry, version));
                } else {
                    response.more = true;
                }
            }
        }
        found
    }

    fn sorted<'a>(
        &'a self,
        request: &'a RangeRequest,
        limit: usize,
        response: &mut RangeResponse,
    ) -> Vec<Found<'a>> {
        let mut found: Vec<Found<'_>> = self.versions(request).collect();
        response.count = found.len() as u64;
        found.retain(|(_, version)| passes_filters(version, request));
        // A stable sort leaves equal ones in key order, whatever the direction.
        match request.sort_order {
            SortOrder::None | SortOrder::Ascend => found.sort_by(|a, b| compare(request.sort_target, a, b)),
            SortOrder::Descend => found.sort_by(|a, b| compare(request.sort_target, b, a)),
        }
        response.more = found.len() > limit;
        found.truncate(limit);
        found
    }

    /// The keys that existed at the revision, in key order.
    fn versions<'a>(&'a self, request: &'a RangeRequest) -> impl Iterator<Item = Found<'a>> {
        let revision = request.revision.unwrap_or(self.revision);
        let single = match &request.range {
            KeyRange::One(key) => self.index.find(key),
            KeyRange::Span { .. } | KeyRange::From(_) => None,
        };
        let several = match &request.range {
            KeyRange::One(_) => None,
            KeyRange::Span { .. } | KeyRange::From(_) => Some(self.index.range(&request.range)),
        };
        single.into_iter().chain(several.into_iter().flatten()).filter_map(move |slot| {
            let entry = self.index.entry(slot);
            let version = self.history.version_at(&entry.newest, entry.newest_change, revision)?;
            (!version.is_tombstone()).then_some((entry, version))
        })
    }
}

/// etcd's operations refuse the empty key, which the string commands allow.
pub(crate) fn check_range(range: &KeyRange) -> Result<(), Error> {
    match range {
        KeyRange::One(key) if key.is_empty() => Err(Error::EmptyKey),
        KeyRange::Span { from, .. } if from.is_empty() => Err(Error::EmptyKey),
        KeyRange::One(_) | KeyRange::Span { .. } | KeyRange::From(_) => Ok(()),
    }
}

fn is_in_key_order(request: &RangeRequest) -> bool {
    request.sort_target == SortTarget::Key && request.sort_order != SortOrder::Descend
}

fn passes_filters(version: &Version, request: &RangeRequest) -> bool {
    let within = |revision: Revision, min: Option<Revision>, max: Option<Revision>| {
        min.is_none_or(|min| revision >= min) && max.is_none_or(|max| revision <= max)
    };
    within(version.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(version.create_revision, request.min_create_revision, request.max_create_revision)
}

fn compare(target: SortTarget, (a_entry, a): &Found<'_>, (b_entry, b): &Found<'_>) -> Ordering {
    match target {
        SortTarget::Key => a_entry.key.cmp(&b_entry.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    }
}
