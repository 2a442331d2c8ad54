//! What a replica replicates: one of the workspace's two traits.
//!
//! A state machine is deterministic: the same commands with the same stamps in the same order give the same
//! state and the same answers on every server. It knows nothing of Raft, and asks nobody for the time.

use bytes::Bytes;

/// Replicated time in milliseconds. Each command carries the stamp that its leader gave it; stamps never go
/// back, and run no faster than real time (see [`crate::clock`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(pub u64);

/// Bytes in front of each command in the log: the stamp, little-endian.
pub const STAMP_BYTES: usize = 8;

/// A deterministic state machine.
pub trait StateMachine {
    /// A read, as a client's connection decoded it.
    type Query;
    /// The answer to a command or a query.
    type Response;
    /// A position in a snapshot that is being streamed out.
    type Snapshot;
    /// A state that is being built from a snapshot.
    type Restore;

    /// Applies one committed command. Bytes that are no command get an answer that says so.
    fn apply(&mut self, stamp: Stamp, command: &Bytes) -> Self::Response;
    /// Answers a read from the present state.
    fn read(&self, now: Stamp, query: &Self::Query) -> Self::Response;
    /// About how much had to be looked at for that answer, at least 1: when it is enough, other reads wait for the next step.
    fn visited(&self, query: &Self::Query, response: &Self::Response) -> u64 {
        let _they_are_all_alike = (query, response);
        1
    }

    /// The highest stamp that was applied.
    fn stamp(&self) -> Stamp;
    /// When [`StateMachine::due`] will next have something to say; `None` for not before the next command.
    fn next_due(&self) -> Option<Stamp>;
    /// A command that the leader should propose by itself by now (keys to expire, say), encoded behind
    /// [`STAMP_BYTES`] free bytes.
    fn due(&self, now: Stamp) -> Option<Vec<u8>>;

    /// Appends a response to `into`: it travels to the follower that forwarded the command.
    fn encode_response(response: &Self::Response, into: &mut Vec<u8>);
    /// The reverse; `None` if the bytes are no response.
    fn decode_response(bytes: Bytes) -> Option<Self::Response>;

    /// Begins a snapshot of the present state. Commands go on being applied meanwhile; the snapshot does not
    /// show them.
    fn begin_snapshot(&mut self) -> Self::Snapshot;
    /// The next bytes of the snapshot, about `max_bytes` of them; `None` after the last.
    fn next_chunk(&mut self, snapshot: &mut Self::Snapshot, max_bytes: usize) -> Option<Bytes>;
    /// Lets go of a snapshot, streamed out or not.
    fn end_snapshot(&mut self, snapshot: Self::Snapshot);

    /// Begins to build a state from a snapshot.
    fn begin_restore() -> Self::Restore;
    /// Takes the next bytes of it; they may be cut anywhere.
    ///
    /// # Errors
    /// A sentence, if the bytes are no snapshot.
    fn restore_chunk(restore: &mut Self::Restore, chunk: Bytes) -> Result<(), String>;
    /// The highest stamp that the state in it has applied, as soon as it has come that far. Until then a leader
    /// stamps nothing, so that it pays to have it at the beginning of a snapshot. By default it is known at the end.
    fn restored_stamp(_restore: &Self::Restore) -> Option<Stamp> {
        None
    }
    /// Replaces the present state by the one that was built.
    ///
    /// # Errors
    /// A sentence, if the snapshot is not whole.
    fn finish_restore(&mut self, restore: Self::Restore) -> Result<(), String>;
}
