//! The key-value store as a state machine.

use bytes::Bytes;
use jangada_kv::{Millis, Request, Response, Restore, SnapshotCursor, Store};

use crate::state_machine::{STAMP_BYTES, Stamp, StateMachine};

/// Most keys that one entry expires: the rest follows in the next, so that no entry takes long to apply.
const MAX_EXPIRED: usize = 1_000;
/// While keys have a time to live, replicated time is written down this often (milliseconds), so that an idle
/// cluster does not forget it when its leader changes.
const TICK_MS: u64 = 5_000;

/// The key-value store, replicated.
#[derive(Default)]
pub struct KvMachine {
    /// The store, to be looked at.
    pub store: Store,
}

impl KvMachine {
    /// An empty store.
    #[must_use]
    pub fn new() -> KvMachine {
        KvMachine { store: Store::new() }
    }

    fn next_tick(&self) -> Option<Stamp> {
        self.store.next_deadline().map(|_| Stamp(self.store.clock().0 + TICK_MS))
    }
}

impl StateMachine for KvMachine {
    type Query = Request;
    type Response = Response;
    type Snapshot = SnapshotCursor;
    type Restore = Restore;

    fn apply(&mut self, stamp: Stamp, command: &Bytes) -> Response {
        match Request::decode(command.clone()) {
            Ok(request) => self.store.apply(Millis(stamp.0), &request),
            // All servers run the same code over the same bytes: all of them refuse, and nothing changes.
            Err(_) => Response::Error(jangada_kv::Error::Malformed),
        }
    }

    fn read(&self, now: Stamp, query: &Request) -> Response {
        self.store.read(Millis(now.0), query)
    }

    fn visited(&self, query: &Request, response: &Response) -> u64 {
        self.store.visited(query, response)
    }

    fn stamp(&self) -> Stamp {
        Stamp(self.store.clock().0)
    }

    fn next_due(&self) -> Option<Stamp> {
        let expiry = self.store.next_deadline().map(|deadline| Stamp(deadline.0));
        expiry.into_iter().chain(self.next_tick()).min()
    }

    fn due(&self, now: Stamp) -> Option<Vec<u8>> {
        let tick = || self.next_tick().filter(|tick| *tick <= now).map(|_| Request::Tick);
        let request = self.store.due(Millis(now.0), MAX_EXPIRED).or_else(tick)?;
        let mut command = vec![0; STAMP_BYTES];
        request.encode(&mut command);
        Some(command)
    }

    fn encode_response(response: &Response, into: &mut Vec<u8>) {
        response.encode(into);
    }

    fn decode_response(bytes: Bytes) -> Option<Response> {
        Response::decode(bytes).ok()
    }

    fn begin_snapshot(&mut self) -> SnapshotCursor {
        self.store.begin_snapshot()
    }

    fn next_chunk(&mut self, snapshot: &mut SnapshotCursor, max_bytes: usize) -> Option<Bytes> {
        self.store.next_chunk(snapshot, max_bytes)
    }

    fn end_snapshot(&mut self, snapshot: SnapshotCursor) {
        self.store.end_snapshot(snapshot);
    }

    fn begin_restore() -> Restore {
        Restore::new()
    }

    fn restore_chunk(restore: &mut Restore, chunk: Bytes) -> Result<(), String> {
        restore.chunk(&chunk).map_err(|why| why.to_string())
    }

    fn restored_stamp(restore: &Restore) -> Option<Stamp> {
        restore.clock().map(|clock| Stamp(clock.0))
    }

    fn finish_restore(&mut self, restore: Restore) -> Result<(), String> {
        self.store = restore.finish().map_err(|why| why.to_string())?;
        Ok(())
    }
}
