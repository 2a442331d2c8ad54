//! One watch: which keys, from when on, and what of it is told.

use bytes::Bytes;
use jangada_kv::{ChangeEvent, KeyRange, Revision};

use crate::etcdserverpb as pb;
use crate::etcdserverpb::watch_create_request::FilterType;
use crate::mvccpb;
use crate::mvccpb::event::EventType;
use crate::response;
use crate::watch::room::Place;

/// A watch of a stream.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) range: KeyRange,
    /// The first revision that it has not been told of.
    pub(crate) next: Revision,
    no_puts: bool,
    no_deletes: bool,
    prev_kv: bool,
    pub(crate) fragment: bool,
    pub(crate) progress_notify: bool,
    /// Whether it was told something since it was last told how far the store is.
    pub(crate) was_told: bool,
    /// What it takes up, once it is there.
    pub(crate) place: Option<Place>,
}

impl Watcher {
    /// What a message asks for, from revision `next` on; nothing if there can be no key in its range.
    pub(crate) fn new(message: pb::WatchCreateRequest, next: Revision) -> Option<Watcher> {
        let has = |filter: FilterType| message.filters.contains(&i32::from(filter));
        let (no_puts, no_deletes) = (has(FilterType::Noput), has(FilterType::Nodelete));
        let key = if message.key.is_empty() { vec![0].into() } else { message.key };
        let end = message.range_end;
        if !end.is_empty() && end.as_ref() != [0] && key >= end {
            return None;
        }
        Some(Watcher {
            // Copied: the message is let go, however long it was.
            range: KeyRange::from_etcd(Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&end)),
            next,
            no_puts,
            no_deletes,
            prev_kv: message.prev_kv,
            fragment: message.fragment,
            progress_notify: message.progress_notify,
            was_told: false,
            place: None,
        })
    }

    /// Those of some events that it has not been told of and wants to hear.
    pub(crate) fn wanted(&self, events: &[ChangeEvent]) -> Vec<mvccpb::Event> {
        let new = events.partition_point(|event| event.kv.mod_revision < self.next);
        let wanted = events[new..].iter().filter(|event| {
            let silenced = if event.is_delete { self.no_deletes } else { self.no_puts };
            !silenced && self.range.contains(&event.kv.key)
        });
        wanted.map(|event| self.told(event)).collect()
    }

    fn told(&self, event: &ChangeEvent) -> mvccpb::Event {
        let kind = if event.is_delete { EventType::Delete } else { EventType::Put };
        let previous = event.previous.as_ref().filter(|_| self.prev_kv);
        mvccpb::Event {
            r#type: kind.into(),
            kv: Some(response::key_value(event.kv.clone())),
            prev_kv: previous.map(|previous| response::key_value(previous.clone())),
        }
    }
}
