//! One watch as a message asks for it: which keys, and how what happens to them is put into responses.

use bytes::Bytes;
use jangada_kv::watch::Interest;
use jangada_kv::{ChangeEvent, KeyRange};

use crate::etcdserverpb as pb;
use crate::etcdserverpb::watch_create_request::FilterType;
use crate::mvccpb;
use crate::mvccpb::event::EventType;
use crate::response;
use crate::watch::room::Place;

/// How a watch is told of changes, and what it takes up.
#[derive(Debug)]
pub(crate) struct Manner {
    prev_kv: bool,
    pub(crate) fragment: bool,
    pub(crate) progress_notify: bool,
    /// What it takes up, as long as it is there.
    _place: Place,
}

impl Manner {
    /// As a message wants it.
    pub(crate) fn new(message: &pb::WatchCreateRequest, place: Place) -> Manner {
        Manner {
            prev_kv: message.prev_kv,
            fragment: message.fragment,
            progress_notify: message.progress_notify,
            _place: place,
        }
    }

    /// A change as a message.
    pub(crate) fn told(&self, event: &ChangeEvent) -> mvccpb::Event {
        let kind = if event.is_delete { EventType::Delete } else { EventType::Put };
        let previous = event.previous.as_ref().filter(|_| self.prev_kv);
        mvccpb::Event {
            r#type: kind.into(),
            kv: Some(response::key_value(event.kv.clone())),
            prev_kv: previous.map(|previous| response::key_value(previous.clone())),
        }
    }
}

/// What a message asks for; nothing if there can be no key in its range.
pub(crate) fn interest(message: &pb::WatchCreateRequest) -> Option<Interest> {
    let has = |filter: FilterType| message.filters.contains(&i32::from(filter));
    let key: &[u8] = if message.key.is_empty() { &[0] } else { &message.key };
    let end = message.range_end.as_ref();
    if !end.is_empty() && end != [0] && key >= end {
        return None;
    }
    Some(Interest {
        // Copied: the message is let go, however long it was.
        range: KeyRange::from_etcd(Bytes::copy_from_slice(key), Bytes::copy_from_slice(end)),
        no_puts: has(FilterType::Noput),
        no_deletes: has(FilterType::Nodelete),
    })
}
