//! KEYS and SCAN.
//!
//! SCAN goes through the keys in the order of their hashes, and a cursor is simply the hash of the next key. So it
//! lives in no connection and on no server: it stays good for ever, on every replica, across changes of leader.
//! Each key that exists from the beginning of a scan to its end is returned exactly once; one that comes or goes in
//! between may or may not be. (The order of the keys themselves would do too, but Redis's clients want cursors that
//! are numbers, and no number says where a key stands.) Cursors have 32 bits, so any client's kind of number will do.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::command::Reply;
use crate::glob::{literal_prefix, matches};
use crate::slab::Slot;
use crate::store::Store;

impl Store {
    pub(crate) fn keys(&self, pattern: &[u8]) -> Reply {
        let keys = self
            .named_like(pattern)
            .map(|slot| (slot, self.key(slot)))
            .filter(|(slot, key)| self.live(*slot).is_some() && matches(pattern, key))
            .map(|(_, key)| Bytes::copy_from_slice(key));
        Reply::Keys(keys.collect())
    }

    /// The entries that a pattern has to be compared with, in key order, tombstones included.
    pub(crate) fn named_like(&self, pattern: &[u8]) -> impl Iterator<Item = Slot> {
        let prefix = literal_prefix(pattern);
        self.index.from(prefix).take_while(move |slot| self.key(*slot).starts_with(prefix))
    }

    pub(crate) fn scan(&self, cursor: u64, pattern: Option<&Bytes>, count: u64) -> Reply {
        let mut keys = Vec::new();
        let Ok(cursor) = u32::try_from(cursor) else {
            return Reply::Scan { cursor: 0, keys }; // It is beyond the last hash.
        };
        let count = usize::try_from(count.max(1)).unwrap_or(usize::MAX);
        let mut last_hash = None;
        for (seen, (hash, slot)) in self.index.in_hash_order(cursor).enumerate() {
            // Keys with the same hash cannot be told apart by a cursor, so they come together.
            if seen >= count && last_hash != Some(hash) {
                return Reply::Scan { cursor: u64::from(hash), keys };
            }
            last_hash = Some(hash);
            let key = self.key(slot);
            if self.live(slot).is_some() && pattern.is_none_or(|pattern| matches(pattern, key)) {
                keys.push(Bytes::copy_from_slice(key));
            }
        }
        Reply::Scan { cursor: 0, keys }
    }

    fn key(&self, slot: Slot) -> &[u8] {
        self.index.entry(slot).key.as_slice()
    }
}
