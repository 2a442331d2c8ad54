//! Clients of the key-value store: which requests they make, and what they see.
//!
//! Each value is written once: a read says which write it has seen, whatever became of that write's answer.

use bytes::Bytes;
use jangada_kv::command::{Command, Set, SetCondition};
use jangada_kv::request::{
    Compare, CompareOperator, CompareTarget, DeleteRange, Put, RangeRequest, Txn, TxnOp,
};
use jangada_kv::types::{KeyRange, Retention};
use jangada_kv::{Request, Response};
use jangada_node::kv_machine::KvMachine;
use jangada_node::state_machine::STAMP_BYTES;
use jangada_raft::types::Time;

use crate::rng::{Dice, Rng};
use crate::workload::{Call, Operation, Outcome, Workload};

/// How many keys there are: few, so that clients meet.
const KEYS: u64 = 6;
/// How many revisions the store keeps: few, so that compaction happens.
const REVISIONS: u64 = 100;

/// One operation as a client saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Who asked whom, and when.
    pub call: Call,
    /// For what.
    pub request: Request,
    /// When it ended, and how; `None` while it is under way.
    pub end: Option<(Time, Outcome<Response>)>,
}

/// Clients of the key-value store.
#[derive(Default)]
pub struct Kv {
    history: Vec<Seen>,
}

impl Kv {
    /// Clients that have not begun yet.
    #[must_use]
    pub fn new() -> Kv {
        Kv::default()
    }

    /// Everything that clients have asked for, in the order of their asking.
    #[must_use]
    pub fn history(&self) -> &[Seen] {
        &self.history
    }

    /// Puts a request down and gives it back as what is submitted.
    pub fn invoke(&mut self, call: Call, request: Request) -> Operation<Request> {
        self.history.push(Seen { call, request: request.clone(), end: None });
        as_operation(request)
    }
}

/// A request as what is submitted.
#[must_use]
pub fn as_operation(request: Request) -> Operation<Request> {
    if request.is_read_only() {
        return Operation::Read(request);
    }
    let mut command = vec![0; STAMP_BYTES];
    request.encode(&mut command);
    Operation::Write(command)
}

impl Workload for Kv {
    type Machine = KvMachine;

    fn machine() -> KvMachine {
        KvMachine::new()
    }

    fn state_hash(machine: &KvMachine) -> u64 {
        machine.store.state_hash()
    }

    fn next(&mut self, call: Call, rng: &mut Rng) -> Operation<Request> {
        let request = draw(call, rng);
        self.invoke(call, request)
    }

    fn probe(&mut self, call: Call, read: bool) -> Operation<Request> {
        let key = Bytes::from_static(b"probe");
        let request = if read {
            Request::Command(Command::Get { key })
        } else {
            Request::Command(Command::Set(Set::new(key, value(call))))
        };
        self.invoke(call, request)
    }

    fn ended(&mut self, call: Call, at: Time, outcome: Outcome<Response>) {
        let number = self.history.partition_point(|seen| seen.call.id < call.id);
        if let Some(seen) = self.history.get_mut(number).filter(|seen| seen.call.id == call.id) {
            seen.end = Some((at, outcome));
        }
    }
}

fn value(call: Call) -> Bytes {
    Bytes::from(format!("c{}.{}", call.client, call.id.0))
}

fn key(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("k{}", rng.below(KEYS)))
}

fn counter(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("n{}", rng.below(2)))
}

fn draw(call: Call, rng: &mut Rng) -> Request {
    if call.id.0 == 1 {
        return Request::SetRetention(Retention { revisions: REVISIONS, ..Retention::default() });
    }
    match rng.below(20) {
        0..5 => Request::Put(Put::new(key(rng), value(call))),
        5 => Request::Put(Put { prev_kv: true, ..Put::new(key(rng), value(call)) }),
        6..8 => Request::Command(Command::Set(Set {
            condition: rng.pick(&[SetCondition::IfMissing, SetCondition::IfPresent]),
            get: rng.chance(500),
            ..Set::new(key(rng), value(call))
        })),
        8 => Request::DeleteRange(DeleteRange { range: KeyRange::One(key(rng)), prev_kv: true }),
        9..11 => Request::Command(Command::Increment { key: counter(rng), by: 1 }),
        11 => compare_and_swap(call, rng),
        12..16 => Request::Range(Box::new(RangeRequest::new(KeyRange::One(key(rng))))),
        16 => Request::Range(Box::new(RangeRequest::new(KeyRange::all()))),
        17 => Request::Command(Command::Get { key: counter(rng) }),
        _ => Request::Command(Command::Get { key: key(rng) }),
    }
}

/// If a key is missing: write it; else: read it and write another.
fn compare_and_swap(call: Call, rng: &mut Rng) -> Request {
    let (first, second) = (key(rng), key(rng));
    let range = KeyRange::One(first.clone());
    let put = |key: Bytes| TxnOp::Put(Put::new(key, value(call)));
    Request::Txn(Txn {
        compare: vec![Compare {
            range: range.clone(),
            operator: CompareOperator::Equal,
            target: CompareTarget::Create(0),
        }],
        success: vec![put(first)],
        failure: vec![TxnOp::Range(RangeRequest::new(range)), put(second)],
    })
}
