//! Sequences of requests to the store, and to the naive one of its tests: their answers must be equal, and so must the
//! states in the end. The requests are drawn as in those tests, each with a seed of its own: every input is a sequence that
//! makes sense, and a changed byte is another request among the same others.

use bytes::Bytes;
use jangada_kv::{KeyRange, Millis, RangeRequest, Request, Response, Restore, Revision, Store, Txn};
use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::generate;
use crate::model::{Model, check_outer_txn, key_value};

/// So many bytes are a step: the first says what, and how much time passes before it; the others are the seed of its
/// request.
const STEP_BYTES: usize = 4;

// To make them takes longer than to draw with them.
thread_local! {
    static REQUESTS: BoxedStrategy<Request> = generate::request().boxed();
    static TXNS: BoxedStrategy<Txn> = generate::writing_txn().boxed();
}

/// Plays a sequence.
pub(crate) fn run(input: &[u8]) {
    let (mut model, mut store, mut now) = (Model::new(), Store::new(), Millis(0));
    for step in input.chunks(STEP_BYTES) {
        let (kind, seed) = (step[0], &step[1..]);
        // A new leader's clock may lie behind.
        now = Millis((now.0 + u64::from(kind >> 3) * 100).saturating_sub(400));
        match kind & 7 {
            0 => store = restored(&mut store, 100),
            1 => {
                if let Some(due) = store.due(now, 3) {
                    apply(&mut store, &mut model, now, &due);
                }
            }
            2 => {
                let _left = store.collect_garbage(u64::from(kind));
            }
            3 => collisions(seed),
            _ => {
                if let Some(request) = REQUESTS.with(|requests| drawn(requests, seed)) {
                    apply(&mut store, &mut model, now, &request);
                }
            }
        }
    }
    compare(&store, &model, now);
}

/// What the strategy draws with these bytes as its seed.
fn drawn<T: std::fmt::Debug>(strategy: &BoxedStrategy<T>, seed: &[u8]) -> Option<T> {
    let mut whole = [0; 32];
    whole[..seed.len()].copy_from_slice(seed);
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &whole));
    strategy.new_tree(&mut runner).ok().map(|tree| tree.current())
}

/// Which operations of a transaction meet is found as the naive way finds it.
fn collisions(seed: &[u8]) {
    if let Some(txn) = TXNS.with(|txns| drawn(txns, seed)) {
        assert_eq!(txn.check(), check_outer_txn(&txn), "{txn:?}");
    }
}

fn apply(store: &mut Store, model: &mut Model, now: Millis, request: &Request) {
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    assert_eq!(Request::decode(Bytes::from(bytes)).as_ref(), Ok(request));
    let expected = model.apply(now, request);
    assert_eq!(store.apply(now, request), expected, "to {request:?}");
    if request.is_read_only() {
        assert_eq!(store.read(now, request), expected, "as a read: {request:?}");
    }
}

/// What is left of a store when its server starts again from a snapshot in slices of so many bytes: the same.
pub(super) fn restored(store: &mut Store, slice_bytes: usize) -> Store {
    let mut cursor = store.begin_snapshot();
    let mut restore = Restore::new();
    while let Some(chunk) = store.next_chunk(&mut cursor, slice_bytes) {
        restore.chunk(&chunk).expect("a store reads its own snapshot");
    }
    store.end_snapshot(cursor);
    let restored = restore.finish().expect("it is whole");
    assert_eq!(restored.state_hash(), store.state_hash());
    restored
}

/// Every revision that can be read is what it was.
fn compare(store: &Store, model: &Model, now: Millis) {
    assert_eq!((store.revision().0, store.floor().0), (model.revision(), model.floor));
    for revision in model.floor..=model.revision() {
        let request =
            RangeRequest { revision: Some(Revision(revision)), ..RangeRequest::new(KeyRange::all()) };
        let Response::Range(response) = store.read(now, &Request::Range(Box::new(request))) else {
            panic!("revision {revision} can be read")
        };
        let state = usize::try_from(revision).expect("there are few");
        let expected = model.states[state].iter().map(|(key, value)| key_value(key, value));
        assert!(response.kvs.into_iter().eq(expected), "revision {revision} has not changed");
    }
}
