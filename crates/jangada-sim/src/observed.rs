//! A state machine with a witness: how many commands it has applied, and a chained hash of them all.
//!
//! Both travel inside its snapshots, so that a command applied twice, left out or changed is found however the
//! state came about: by the log, by a snapshot, by a restart.

use bytes::{Bytes, BytesMut};
use jangada_node::state_machine::{Stamp, StateMachine};

/// Bytes of the witness in front of each snapshot.
const WITNESS_BYTES: usize = 16;
/// After so many commands, a sample of the state's own hash is taken.
const SAMPLE_EVERY: u64 = 256;

/// What was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// How many commands.
    pub commands: u64,
    /// A hash of them, in their order.
    pub chain: u64,
}

impl Witness {
    /// One more command was applied.
    pub(crate) fn saw(&mut self, stamp: Stamp, command: &[u8]) {
        self.commands += 1;
        self.chain = hash(self.chain ^ stamp.0, command);
    }

    fn to_bytes(self) -> [u8; WITNESS_BYTES] {
        let mut bytes = [0; WITNESS_BYTES];
        bytes[..8].copy_from_slice(&self.commands.to_le_bytes());
        bytes[8..].copy_from_slice(&self.chain.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Witness> {
        let (commands, chain) = bytes.split_first_chunk::<8>()?;
        let chain = chain.first_chunk::<8>()?;
        Some(Witness { commands: u64::from_le_bytes(*commands), chain: u64::from_le_bytes(*chain) })
    }
}

/// Eight bytes at a time: this runs for each command on each server.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = (seed ^ bytes.len() as u64).wrapping_mul(PRIME);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
    }
    for byte in rest {
        hash = (hash.rotate_left(7) ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    hash ^ (hash >> 32)
}

/// A state machine and its witness.
pub struct Observed<S> {
    inner: S,
    witness: Witness,
    state_hash: fn(&S) -> u64,
    sample: Option<(u64, u64)>,
    fresh: fn() -> S,
}

impl<S: StateMachine> Observed<S> {
    /// An empty state machine, and how its state is hashed.
    #[must_use]
    pub(crate) fn new(fresh: fn() -> S, state_hash: fn(&S) -> u64) -> Observed<S> {
        Observed { inner: fresh(), witness: Witness::default(), state_hash, sample: None, fresh }
    }

    /// The state machine itself.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// What it has applied.
    #[must_use]
    pub fn witness(&self) -> Witness {
        self.witness
    }

    /// The state's own hash now.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        (self.state_hash)(&self.inner)
    }

    /// The latest sample of the state's hash, after how many commands.
    pub(crate) fn sample(&self) -> Option<(u64, u64)> {
        self.sample
    }
}

/// A state that is being rebuilt.
pub struct ObservedRestore<S: StateMachine> {
    head: BytesMut,
    inner: S::Restore,
}

/// A snapshot that is being streamed out.
pub struct ObservedSnapshot<S: StateMachine> {
    head: Option<Witness>,
    inner: S::Snapshot,
}

impl<S: StateMachine> StateMachine for Observed<S> {
    type Query = S::Query;
    type Response = S::Response;
    type Snapshot = ObservedSnapshot<S>;
    type Restore = ObservedRestore<S>;

    fn apply(&mut self, stamp: Stamp, command: &Bytes) -> S::Response {
        self.witness.saw(stamp, command);
        let response = self.inner.apply(stamp, command);
        if self.witness.commands.is_multiple_of(SAMPLE_EVERY) {
            self.sample = Some((self.witness.commands, self.state_hash()));
        }
        response
    }

    fn read(&self, now: Stamp, query: &S::Query) -> S::Response {
        self.inner.read(now, query)
    }

    fn visited(&self, query: &S::Query, response: &S::Response) -> u64 {
        self.inner.visited(query, response)
    }

    fn stamp(&self) -> Stamp {
        self.inner.stamp()
    }

    fn next_due(&self) -> Option<Stamp> {
        self.inner.next_due()
    }

    fn due(&self, now: Stamp) -> Option<Vec<u8>> {
        self.inner.due(now)
    }

    fn encode_response(response: &S::Response, into: &mut Vec<u8>) {
        S::encode_response(response, into);
    }

    fn decode_response(bytes: Bytes) -> Option<S::Response> {
        S::decode_response(bytes)
    }

    fn begin_snapshot(&mut self) -> ObservedSnapshot<S> {
        ObservedSnapshot { head: Some(self.witness), inner: self.inner.begin_snapshot() }
    }

    fn next_chunk(&mut self, snapshot: &mut ObservedSnapshot<S>, max_bytes: usize) -> Option<Bytes> {
        match snapshot.head.take() {
            Some(witness) => Some(Bytes::copy_from_slice(&witness.to_bytes())),
            None => self.inner.next_chunk(&mut snapshot.inner, max_bytes),
        }
    }

    fn end_snapshot(&mut self, snapshot: ObservedSnapshot<S>) {
        self.inner.end_snapshot(snapshot.inner);
    }

    fn begin_restore() -> ObservedRestore<S> {
        ObservedRestore { head: BytesMut::new(), inner: S::begin_restore() }
    }

    fn restore_chunk(restore: &mut ObservedRestore<S>, mut chunk: Bytes) -> Result<(), String> {
        if restore.head.len() < WITNESS_BYTES {
            let head = chunk.split_to(chunk.len().min(WITNESS_BYTES - restore.head.len()));
            restore.head.extend_from_slice(&head);
        }
        if chunk.is_empty() { Ok(()) } else { S::restore_chunk(&mut restore.inner, chunk) }
    }

    fn restored_stamp(restore: &ObservedRestore<S>) -> Option<Stamp> {
        S::restored_stamp(&restore.inner)
    }

    fn finish_restore(&mut self, restore: ObservedRestore<S>) -> Result<(), String> {
        let witness = Witness::from_bytes(&restore.head).ok_or("the snapshot has no witness")?;
        let mut inner = (self.fresh)();
        inner.finish_restore(restore.inner)?;
        (self.inner, self.witness) = (inner, witness);
        Ok(())
    }
}
