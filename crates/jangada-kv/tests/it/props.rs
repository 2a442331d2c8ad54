//! Random sequences of requests on the real store and on the naive one, with snapshots taken while writes go on,
//! replicas restored from snapshots, and bytes that are garbage.
//!
//! A failure prints the smallest sequence that shows it, and proptest keeps its seed in `proptest-regressions`.

use bytes::Bytes;
use jangada_kv::{
    Error, KeyRange, Millis, RangeRequest, Request, Response, Restore, Revision, SnapshotCursor, Store,
};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use crate::generate::{request, request_by_somebody, writing_txn};
use crate::model::{Model, Value, key_value};
use crate::support::{restore, snapshot};

#[derive(Clone, Debug)]
enum Step {
    Apply(Request),
    /// Time goes on; sometimes a new leader's clock lies behind.
    SetTime(u64),
    Expire {
        max_keys: usize,
    },
    BeginSnapshot,
    ReadSnapshot {
        bytes: usize,
    },
    /// Reads it to the end and compares.
    EndSnapshot,
    /// One of the two stores is replaced by what its snapshot restores.
    Restart {
        chunk: usize,
    },
    Collect {
        at_most: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => request().prop_map(Step::Apply),
        6 => (0..60_u64).prop_map(|time| Step::SetTime(time * 10)),
        // Leases live for seconds.
        1 => (0..8_u64).prop_map(|time| Step::SetTime(time * 1_000)),
        3 => (0..3_usize).prop_map(|max_keys| Step::Expire { max_keys }),
        2 => Just(Step::BeginSnapshot),
        3 => (1..200_usize).prop_map(|bytes| Step::ReadSnapshot { bytes }),
        2 => Just(Step::EndSnapshot),
        1 => (1..500_usize).prop_map(|chunk| Step::Restart { chunk }),
        1 => (0..20_u64).prop_map(|at_most| Step::Collect { at_most }),
    ]
}

/// Two replicas: `first` lives through everything, `second` is restored now and then.
struct Test {
    now: Millis,
    model: Model,
    first: Store,
    second: Store,
    snapshot: Option<OpenSnapshot>,
}

struct OpenSnapshot {
    cursor: SnapshotCursor,
    read: Vec<u8>,
    expected: Vec<u8>,
}

impl Test {
    fn new() -> Test {
        Test {
            now: Millis(0),
            model: Model::new(),
            first: Store::new(),
            second: Store::new(),
            snapshot: None,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Apply(request) => self.apply(&request),
            Step::SetTime(now) => self.now = Millis(now),
            Step::Expire { max_keys } => {
                if let Some(request) = self.first.due(self.now, max_keys) {
                    self.apply(&request);
                }
            }
            Step::BeginSnapshot => {
                self.end_snapshot();
                let expected = snapshot(&mut self.first, 1 << 20);
                let cursor = self.first.begin_snapshot();
                self.snapshot = Some(OpenSnapshot { cursor, read: vec![], expected });
            }
            Step::ReadSnapshot { bytes } => {
                if let Some(open) = &mut self.snapshot {
                    let chunk = self.first.next_chunk(&mut open.cursor, bytes).unwrap_or_default();
                    open.read.extend_from_slice(&chunk);
                }
            }
            Step::EndSnapshot => self.end_snapshot(),
            Step::Restart { chunk } => {
                self.second = restore(&snapshot(&mut self.second, 100), chunk);
                self.compare_states();
            }
            Step::Collect { at_most } => {
                self.first.collect_garbage(at_most);
            }
        }
    }

    fn apply(&mut self, request: &Request) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        assert_eq!(Request::decode(Bytes::from(bytes)).as_ref(), Ok(request));

        let expected = self.model.apply(self.now, request);
        let response = self.first.apply(self.now, request);
        assert_eq!(response, expected, "to {request:?}");
        assert_eq!(self.second.apply(self.now, request), expected, "of the second to {request:?}");
        if request.is_read_only() {
            assert_eq!(self.first.read(self.now, request), expected, "as a read");
        } else {
            assert_eq!(self.first.read(self.now, request), Response::Error(Error::NotReadOnly));
        }

        let mut bytes = Vec::new();
        response.encode(&mut bytes);
        assert_eq!(Response::decode(Bytes::from(bytes)), Ok(response));
        for store in [&self.first, &self.second] {
            assert_eq!((store.revision().0, store.floor().0), (self.model.revision(), self.model.floor));
            assert_eq!(store.key_count(), self.model.next.len() as u64);
            assert_eq!(store.clock(), self.model.clock);
            let deadlines = self.model.next.values().filter_map(Value::deadline);
            let leases = self.model.leases.values().map(|(_, deadline)| *deadline);
            assert_eq!(store.next_deadline(), deadlines.chain(leases).min());
            assert_eq!(store.lease_count(), self.model.leases.len());
        }
    }

    /// What was read in pieces between the writes is what would have been read at once at the beginning.
    fn end_snapshot(&mut self) {
        let Some(mut open) = self.snapshot.take() else { return };
        while let Some(chunk) = self.first.next_chunk(&mut open.cursor, 64) {
            open.read.extend_from_slice(&chunk);
        }
        self.first.end_snapshot(open.cursor);
        assert!(open.read == open.expected, "a snapshot does not show what came after its beginning");
    }

    /// Everything that can be seen of the past and the present.
    fn compare_states(&mut self) {
        let (model, now) = (&self.model, self.now);
        for store in [&self.first, &self.second] {
            for revision in model.floor..=model.revision() {
                let request =
                    RangeRequest { revision: Some(Revision(revision)), ..RangeRequest::new(KeyRange::all()) };
                let Response::Range(response) = store.read(now, &Request::Range(Box::new(request))) else {
                    panic!("revision {revision} can be read")
                };
                let expected =
                    model.states[revision as usize].iter().map(|(key, value)| key_value(key, value));
                assert!(response.kvs.into_iter().eq(expected), "revision {revision} has not changed");
            }
            let changes = store.changes(Revision(model.floor)).unwrap();
            let changes: Vec<_> = changes
                .map(|event| {
                    (event.kv.mod_revision.0, event.sub, event.kv.key.clone(), event.kv, event.is_delete)
                })
                .collect();
            let mut expected =
                model.changes.iter().filter(|change| change.revision >= model.floor).peekable();
            let mut sub = 0;
            for change in changes {
                let expected_change = expected.next().unwrap();
                let kv = expected_change.after.as_ref().map(|after| key_value(&expected_change.key, after));
                assert_eq!(
                    (change.0, change.1, &change.2),
                    (expected_change.revision, sub, &expected_change.key)
                );
                assert_eq!(change.4, kv.is_none());
                assert!(kv.is_none_or(|kv| kv == change.3));
                let goes_on = expected.peek().is_some_and(|next| next.revision == expected_change.revision);
                sub = if goes_on { sub + 1 } else { 0 };
            }
            assert!(expected.next().is_none(), "no change is missing");
        }
        assert_eq!(self.first.bytes(), self.second.bytes());
        assert_eq!(self.first.state_hash(), self.second.state_hash());
        assert!(
            snapshot(&mut self.first, 77) == snapshot(&mut self.second, 100),
            "equal states, equal bytes"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_naive_store_does(steps in vec(step(), 1..80)) {
        let mut test = Test::new();
        for step in steps {
            test.step(step);
        }
        test.end_snapshot();
        test.compare_states();
    }

    #[test]
    fn collisions_in_a_txn_are_found(txn in writing_txn()) {
        assert_eq!(txn.check(), crate::model::check_outer_txn(&txn));
    }

    #[test]
    fn garbage_is_no_request_and_no_response(bytes in vec(any::<u8>(), 0..60)) {
        let bytes = Bytes::from(bytes);
        if let Ok(request) = Request::decode(bytes.clone()) {
            let mut again = Vec::new();
            request.encode(&mut again);
            assert_eq!(again, bytes, "a value has one encoding");
        }
        if let Ok(response) = Response::decode(bytes.clone()) {
            let mut again = Vec::new();
            response.encode(&mut again);
            assert_eq!(again, bytes);
        }
    }

    #[test]
    fn a_damaged_request_is_another_one_or_none(request in request_by_somebody(), at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let at = at % bytes.len();
        assert!(Request::decode(Bytes::copy_from_slice(&bytes[..at])).is_err(), "it is not whole");
        let damage = bytes[at] != byte;
        bytes[at] = byte;
        let decoded = Request::decode(Bytes::from(bytes));
        assert_eq!(decoded.as_ref() != Ok(&request), damage);
    }

    #[test]
    fn a_damaged_snapshot_is_refused(
        requests in vec(request_by_somebody(), 1..30),
        at in any::<usize>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut store = Store::new();
        for (time, request) in requests.iter().enumerate() {
            store.apply(Millis(time as u64), request);
        }
        let mut bytes = snapshot(&mut store, 1 << 20);
        let at = at % bytes.len();
        let damage = cut || bytes[at] != byte;
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let mut restore = Restore::new();
        let taken: Result<Vec<()>, _> = bytes.chunks(50).map(|chunk| restore.chunk(chunk)).collect();
        let finished = restore.finish();
        assert_eq!(taken.is_err() || finished.is_err(), damage);
    }
}
