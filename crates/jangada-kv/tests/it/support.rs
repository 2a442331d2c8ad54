//! Short ways to say things.

use bytes::Bytes;
use jangada_kv::{
    Command, KeyRange, KeyValue, Millis, Put, RangeRequest, RangeResponse, Reply, Request, Response, Restore,
    Revision, Set, Store,
};

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn one(key: &str) -> KeyRange {
    KeyRange::One(bytes(key))
}

/// A store under test, at a time.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) now: Millis,
}

impl World {
    pub(crate) fn new() -> World {
        World { store: Store::new(), now: Millis(1_000_000) }
    }

    pub(crate) fn apply(&mut self, request: Request) -> Response {
        self.store.apply(self.now, &request)
    }

    /// Runs a command through the log.
    pub(crate) fn run(&mut self, command: Command) -> Reply {
        match self.apply(Request::Command(command)) {
            Response::Reply(reply) => reply,
            other => panic!("a command got {other:?}"),
        }
    }

    /// Runs a command as a read.
    pub(crate) fn query(&self, command: Command) -> Reply {
        match self.store.read(self.now, &Request::Command(command)) {
            Response::Reply(reply) => reply,
            other => panic!("a command got {other:?}"),
        }
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> Revision {
        match self.apply(Request::Put(Put::new(bytes(key), bytes(value)))) {
            Response::Put(response) => response.revision,
            other => panic!("a put got {other:?}"),
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> Reply {
        self.run(Command::Set(Set::new(bytes(key), bytes(value))))
    }

    pub(crate) fn get(&self, key: &str) -> Reply {
        self.query(Command::Get { key: bytes(key) })
    }

    pub(crate) fn range(&self, request: RangeRequest) -> RangeResponse {
        match self.store.read(self.now, &Request::Range(Box::new(request))) {
            Response::Range(response) => response,
            other => panic!("a range got {other:?}"),
        }
    }

    /// The value of a key at a revision; `None` if it did not exist.
    pub(crate) fn at(&self, revision: u64, key: &str) -> Option<String> {
        let request = RangeRequest { revision: Some(Revision(revision)), ..RangeRequest::new(one(key)) };
        self.range(request).kvs.first().map(value)
    }
}

pub(crate) fn value(kv: &KeyValue) -> String {
    String::from_utf8(kv.value.to_vec()).unwrap()
}

/// Everything a snapshot says, in chunks of `chunk` bytes.
pub(crate) fn snapshot(store: &mut Store, chunk: usize) -> Vec<u8> {
    let mut cursor = store.begin_snapshot();
    let mut all = Vec::new();
    while let Some(bytes) = store.next_chunk(&mut cursor, chunk) {
        assert!((1..=chunk).contains(&bytes.len()));
        all.extend_from_slice(&bytes);
    }
    store.end_snapshot(cursor);
    all
}

pub(crate) fn restore(bytes: &[u8], chunk: usize) -> Store {
    let mut restore = Restore::new();
    for part in bytes.chunks(chunk) {
        restore.chunk(part).unwrap();
    }
    restore.finish().unwrap()
}
