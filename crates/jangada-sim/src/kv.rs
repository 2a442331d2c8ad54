//! Clients of the key-value store: which requests they make, what they see, and whether that can be.
//!
//! Each value is written once: a read says which write it has seen, whatever became of that write's answer. Keys are
//! few, so that clients meet; those with a time to live belong to one client each, so that it knows what must be there.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::command::{Command, Expiry, Reply, Set, SetCondition};
use jangada_kv::request::{
    Compare, CompareOperator, CompareTarget, DeleteRange, Put, RangeRequest, Txn, TxnOp,
};
use jangada_kv::types::{KeyRange, Retention};
use jangada_kv::{Request, Response};
use jangada_node::kv_machine::KvMachine;
use jangada_node::state_machine::STAMP_BYTES;
use jangada_raft::types::Time;
use jangada_trace::history::{History, Operation as Asked, OperationId as Noted};
use jangada_trace::linearizable::{Limits, Verdict, check};
use jangada_trace::tell::{request as request_in_words, response as response_in_words};
use jangada_trace::witness;

use crate::check::Invariant;
use crate::plan::Settings;
use crate::resolve::resolve;
use crate::rng::{Dice, Rng};
use crate::workload::{Call, CommittedCommand, Operation, OperationId, Outcome, Workload};

/// How many keys there are.
const KEYS: u64 = 6;
/// How many revisions the store keeps: few, so that compaction happens.
const REVISIONS: u64 = 100;
/// How long keys live that are to expire.
const TTL_MS: u64 = 2_000;
/// So much of it may be lost to whole milliseconds.
const ROUNDING_MS: u64 = 2;
/// More keys than this are not judged together only because somebody reads them together.
const MAX_JOINED_KEYS: usize = 2;

/// Clients of the key-value store.
#[derive(Default)]
pub struct Kv {
    history: History,
    /// Operations that have not ended.
    open: BTreeMap<OperationId, Noted>,
    /// When the key of a client was last written, at the earliest; none if it may not be there.
    alive: BTreeMap<usize, Time>,
    expired_early: Option<String>,
    /// How much too fast clocks may run, in thousandths.
    drift_per_mille: u64,
    /// Some keys expire.
    mortals: bool,
}

impl Kv {
    /// Clients that have not begun yet.
    #[must_use]
    pub fn new() -> Kv {
        Kv::default()
    }

    /// Everything that clients have asked for and were told.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Notes a request, and gives it back as what is submitted.
    pub fn invoke(&mut self, call: Call, request: Request) -> Operation<Request> {
        let noted = self.history.invoke(call.client as u64, call.at, request.clone());
        self.open.insert(call.id, noted);
        as_operation(request)
    }

    /// A key that was written with a time to live is there until that is over.
    fn watch_life(&mut self, call: Call, at: Time, noted: Noted, outcome: &Outcome<Response>) {
        let request = &self.history.operations()[noted.0].request;
        match (request, outcome) {
            (Request::Command(Command::Set(set)), Outcome::Answered(_)) if set.expiry != Expiry::Clear => {
                self.alive.insert(call.client, call.at);
            }
            (Request::Command(Command::Get { key }), Outcome::Answered(Response::Reply(Reply::Nil)))
                if *key == mortal(call.client) =>
            {
                let Some(born) = self.alive.get(&call.client) else { return };
                let lived = at.since(*born);
                // All of it, by the fastest clock that there may be.
                let certain = (TTL_MS - ROUNDING_MS) * 1_000 / (1_000 + self.drift_per_mille);
                if lived.as_millis() < u128::from(certain) {
                    let client = call.client;
                    self.expired_early.get_or_insert_with(|| {
                        format!(
                            "client {client}'s key was gone {lived:?} after it was written for {TTL_MS} ms"
                        )
                    });
                }
            }
            _ => {}
        }
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

    fn set_out(&mut self, settings: &Settings) {
        self.drift_per_mille = u64::from(settings.drift_per_mille);
    }

    fn next(&mut self, call: Call, rng: &mut Rng) -> Operation<Request> {
        if call.id.0 == 1 {
            self.mortals = rng.chance(500);
        }
        let request = draw(call, rng, self.mortals);
        self.invoke(call, request)
    }

    fn words(&self, call: Call) -> String {
        let noted = self.open.get(&call.id).map(|noted| &self.history.operations()[noted.0]);
        noted.map_or_else(|| format!("operation {}", call.id.0), |noted| request_in_words(&noted.request))
    }

    fn answer_words(&self, response: &Response) -> String {
        response_in_words(response)
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
        let Some(noted) = self.open.remove(&call.id) else { return };
        self.watch_life(call, at, noted, &outcome);
        match outcome {
            Outcome::Answered(response) => self.history.returned(noted, at, response),
            Outcome::NoEffect(_) => self.history.refused(noted, at),
            // It may still happen, for ever: that is what a history says of what has no end.
            Outcome::Unknown => {}
        }
    }

    fn judge(&mut self, committed: &[CommittedCommand]) -> Result<(), (Invariant, String)> {
        if let Some(why) = self.expired_early.take() {
            return Err((Invariant::Ttl, why));
        }
        let history = resolve(&self.history, committed).map_err(|why| (Invariant::Linearizable, why))?;
        judge_revisions(&history)?;
        // A key that may vanish at any time fits nearly everything, and takes the search for ever.
        let lasting = |operation: &&Asked| !is_mortal(&operation.request);
        let history: History = history.operations().iter().filter(lasting).cloned().collect();
        let limits = Limits { max_joined_keys: MAX_JOINED_KEYS, ..Limits::default() };
        let name = |key: Bytes| String::from_utf8_lossy(&key).into_owned();
        match check(&history, &limits).verdict {
            Verdict::Linearizable => Ok(()),
            Verdict::NotLinearizable { key, explanation } => {
                let key = name(key);
                Err((
                    Invariant::Linearizable,
                    format!("no order explains what was seen of {key}: {explanation}"),
                ))
            }
            Verdict::Undecided { key, why } => {
                Err((Invariant::Linearizable, format!("undecided for {}: {why}", name(key))))
            }
        }
    }
}

/// The order that the revisions name must explain everything.
fn judge_revisions(history: &History) -> Result<(), (Invariant, String)> {
    let wrong = |why: String| Err((Invariant::Linearizable, why));
    match witness::check(history, None).verdict {
        witness::Verdict::Consistent => Ok(()),
        witness::Verdict::Violated { rule, explanation } => {
            wrong(format!("by the revisions ({rule:?}): {explanation}"))
        }
        witness::Verdict::Undecided { why } => wrong(format!("undecided by the revisions: {why}")),
    }
}

fn value(call: Call) -> Bytes {
    Bytes::from(format!("c{}.{}", call.client, call.id.0))
}

/// It is about a key that expires.
fn is_mortal(request: &Request) -> bool {
    match request {
        Request::Command(Command::Set(set)) => set.key.starts_with(b"t"),
        Request::Command(Command::Get { key }) => key.starts_with(b"t"),
        Request::ExpireKeys { .. } => true,
        _ => false,
    }
}

/// The key of a client that expires.
fn mortal(client: usize) -> Bytes {
    Bytes::from(format!("t{client}"))
}

/// All keys without a time to live. Those with one vanish by themselves, which the checkers leave open.
fn immortals() -> KeyRange {
    KeyRange::Span { from: Bytes::from_static(b"k"), to: Bytes::from_static(b"o") }
}

fn key(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("k{}", rng.below(KEYS)))
}

fn counter(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("n{}", rng.below(2)))
}

fn draw(call: Call, rng: &mut Rng, mortals: bool) -> Request {
    if call.id.0 == 1 {
        return Request::SetRetention(Retention { revisions: REVISIONS, ..Retention::default() });
    }
    match rng.below(if mortals { 24 } else { 21 }) {
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
        16 => Request::Range(Box::new(RangeRequest::new(immortals()))),
        17 => Request::Command(Command::Get { key: counter(rng) }),
        18..21 => Request::Command(Command::Get { key: key(rng) }),
        21 => Request::Command(Command::Set(Set {
            expiry: Expiry::After(TTL_MS),
            ..Set::new(mortal(call.client), value(call))
        })),
        _ => Request::Command(Command::Get { key: mortal(call.client) }),
    }
}

/// If a key is missing: write it; else: read it and write another, or itself. The others are always the same pair,
/// so that few keys have to be judged together.
fn compare_and_swap(call: Call, rng: &mut Rng) -> Request {
    let pair = (Bytes::from_static(b"k0"), Bytes::from_static(b"k1"));
    let one = key(rng);
    let (first, second) = if rng.chance(300) { pair } else { (one.clone(), one) };
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
