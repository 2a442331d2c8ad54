//! What clients do, and on what: the one place where a world knows its state machine.

use bytes::Bytes;
use jangada_node::effect::Failure;
use jangada_node::state_machine::{Stamp, StateMachine};
use jangada_raft::types::{NodeId, Time};

use crate::check::Invariant;
use crate::coverage::Coverage;
use crate::plan::Settings;
use crate::rng::Rng;

/// One operation of one client, from its invocation to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

/// What a client asks for.
pub enum Operation<Q> {
    /// A command, behind [`jangada_node::state_machine::STAMP_BYTES`] free bytes.
    Write(Vec<u8>),
    /// A linearizable read.
    Read(Q),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It was answered.
    Answered(R),
    /// It was refused, and had no effect.
    NoEffect(Failure),
    /// It may have had an effect, now or later.
    Unknown,
}

/// Who asks whom, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The operation.
    pub id: OperationId,
    /// The client.
    pub client: usize,
    /// The server that is asked.
    pub server: NodeId,
    /// When, in virtual time.
    pub at: Time,
    /// Since when nothing has gone wrong and one leader has led; none while something does, or nobody leads.
    pub calm_since: Option<Time>,
}

/// A command in the log.
#[derive(Clone, Debug)]
pub struct CommittedCommand {
    /// When somebody first knew that it is committed.
    pub at: Time,
    /// The leader's stamp.
    pub stamp: Stamp,
    /// The command, without the stamp.
    pub command: Bytes,
}

/// Clients, and the state machine that they use.
///
/// A workload is a value without a clock: the same calls give the same operations.
pub trait Workload {
    /// What is replicated.
    type Machine: StateMachine;

    /// An empty state machine: called at each start of a server.
    fn machine() -> Self::Machine;

    /// A hash of the whole state: equal states give equal hashes, on all servers.
    fn state_hash(machine: &Self::Machine) -> u64;

    /// How the servers are set up. Called once, before anything else.
    fn set_out(&mut self, settings: &Settings) {
        let _all_settings_are_alike = settings;
    }

    /// What this client does next. The call is the operation's invocation.
    fn next(&mut self, call: Call, rng: &mut Rng) -> Operation<<Self::Machine as StateMachine>::Query>;

    /// The client asks for the same once more, as an operation of its own: it was not answered, or asks two servers at
    /// once. `None`: it does not.
    fn again(
        &mut self,
        call: Call,
        of: OperationId,
    ) -> Option<Operation<<Self::Machine as StateMachine>::Query>> {
        let _one_try_is_enough = (call, of);
        None
    }

    /// A write, then (`read`) a read that must see it: asked at the end, of each server that lives.
    fn probe(&mut self, call: Call, read: bool) -> Operation<<Self::Machine as StateMachine>::Query>;

    /// An operation has ended.
    fn ended(&mut self, call: Call, at: Time, outcome: Outcome<<Self::Machine as StateMachine>::Response>);

    /// What is asked for, in a few words: for timelines. Only asked right after the invocation.
    fn words(&self, call: Call) -> String {
        format!("operation {}", call.id.0)
    }

    /// An answer in a few words: for timelines.
    fn answer_words(&self, _: &<Self::Machine as StateMachine>::Response) -> String {
        "an answer".to_owned()
    }

    /// Judges the state of a server, some seconds after the last operation, when nothing has gone wrong for a while.
    ///
    /// # Errors
    /// What did not hold, and a sentence that says how it showed.
    fn at_rest(machine: &Self::Machine) -> Result<(), (Invariant, String)> {
        let _anything_goes = machine;
        Ok(())
    }

    /// Clients that follow a server's state look at it, now and then.
    fn look(&mut self, server: NodeId, machine: &Self::Machine, at: Time, rng: &mut Rng) {
        let _nobody_follows = (server, machine, at, rng);
    }

    /// They cannot any more: the server is down.
    fn cut(&mut self, server: NodeId, at: Time) {
        let _nobody_follows = (server, at);
    }

    /// They look once more, at the end, when nothing happens any more.
    fn look_last(&mut self, server: NodeId, machine: &Self::Machine) {
        let _nobody_follows = (server, machine);
    }

    /// Adds what has happened among the operations.
    fn cover(&self, coverage: &mut Coverage) {
        let _nothing_to_add = coverage;
    }

    /// Judges the whole history. Called once, at the end, with all that was committed: whatever is not in there had
    /// no effect.
    ///
    /// # Errors
    /// What did not hold, and a sentence that says how it showed.
    fn judge(&mut self, committed: &[CommittedCommand]) -> Result<(), (Invariant, String)> {
        let _nothing_to_compare_with = committed;
        Ok(())
    }
}
