//! Reading all keys at one revision, a page at a time: for hashes and copies of the whole store, which must not hold
//! everything in memory, nor keep the store from its work. Nothing is counted, so that a page costs what it has.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::response::Error;
use crate::store::Store;
use crate::types::{KeyRange, KeyValue, Revision};

/// Some keys, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys that existed at the revision, in key order.
    pub kvs: Vec<KeyValue>,
    /// From which key on there may be more; nothing at the end.
    pub next: Option<Bytes>,
    /// The oldest revision that can still be read.
    pub floor: Revision,
}

impl Store {
    /// The keys from `from` on as they were at `revision`, about `enough` of them or `enough_bytes` of keys and values:
    /// one at least, if there is one.
    ///
    /// # Errors
    /// If the store has not come so far, or has compacted it.
    pub fn page(
        &self,
        revision: Revision,
        from: &Bytes,
        enough: usize,
        enough_bytes: usize,
    ) -> Result<Page, Error> {
        self.check_revision(Some(revision))?;
        let mut page = Page { floor: self.floor, ..Page::default() };
        let (mut looked_at, mut bytes) = (0, 0);
        for slot in self.index.range(&KeyRange::From(from.clone())) {
            let entry = self.index.entry(slot);
            if looked_at >= enough || bytes >= enough_bytes {
                page.next = Some(Bytes::copy_from_slice(entry.key.as_slice()));
                break;
            }
            looked_at += 1;
            let found = self.history.version_at(&entry.newest, entry.newest_change, revision);
            if let Some(version) = found.filter(|version| !version.is_tombstone()) {
                let kv = version.key_value(&entry.key, false);
                bytes += kv.key.len() + kv.value.len();
                page.kvs.push(kv);
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{DeleteRange, Put, Request};
    use crate::types::Millis;
    use alloc::format;

    fn all(store: &Store, revision: u64, enough: usize, enough_bytes: usize) -> Vec<(Bytes, Bytes)> {
        let (mut all, mut from) = (Vec::new(), Some(Bytes::new()));
        while let Some(key) = from {
            let page = store.page(Revision(revision), &key, enough, enough_bytes).unwrap();
            assert!(page.kvs.len() <= enough);
            all.extend(page.kvs.into_iter().map(|kv| (kv.key, kv.value)));
            from = page.next;
        }
        all
    }

    #[test]
    fn pages_together_are_the_keys_of_that_revision() {
        let mut store = Store::new();
        for number in 0..20 {
            let (key, value) = (format!("k{number:02}").into(), format!("{number}").into());
            store.apply(Millis(1), &Request::Put(Put::new(key, value)));
        }
        let range = KeyRange::Span { from: Bytes::from("k05"), to: Bytes::from("k10") };
        store.apply(Millis(1), &Request::DeleteRange(DeleteRange { range, prev_kv: false }));
        let wanted = |count: usize, gone: bool| -> Vec<(Bytes, Bytes)> {
            let left = (0..count).filter(|number| !gone || !(5..10).contains(number));
            left.map(|number| (format!("k{number:02}").into(), format!("{number}").into())).collect()
        };
        for (enough, bytes) in [(1, usize::MAX), (3, usize::MAX), (100, 1), (100, 9), (100, usize::MAX)] {
            assert_eq!(all(&store, 22, enough, bytes), wanted(20, true));
            assert_eq!(all(&store, 21, enough, bytes), wanted(20, false));
            assert_eq!(all(&store, 8, enough, bytes), wanted(7, false));
        }
        assert!(matches!(store.page(Revision(23), &Bytes::new(), 1, 1), Err(Error::FutureRevision { .. })));
        store.apply(Millis(1), &Request::Compact { revision: Revision(9) });
        assert!(matches!(store.page(Revision(8), &Bytes::new(), 1, 1), Err(Error::Compacted { .. })));
    }
}
