//! Histories from a sequential run of the real store, with windows that overlap; and what breaks them.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::{
    Command, Compare, CompareOperator, CompareTarget, DeleteRange, Exec, KeyRange, Millis, Put, RangeRequest,
    Reply, Request, Response, Revision, Set, SetCondition, Store, Txn, TxnOp,
};
use jangada_raft::rng::Rng;
use jangada_raft::types::Time;
use jangada_trace::history::{History, Operation, Outcome};
use jangada_trace::witness::Changes;

use crate::brute::without_revisions;

/// Chance, from a seed.
pub(crate) struct Chance(Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(Rng::new(seed))
    }

    /// One of `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a history is made of.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) operations: u64,
    pub(crate) keys: u64,
    /// Half of the longest window, in steps of the sequential run.
    pub(crate) overlap: u64,
    /// How many of a hundred are not answered.
    pub(crate) unanswered: u64,
    /// How many of a hundred are refused.
    pub(crate) refused: u64,
    /// Every value is written once.
    pub(crate) unique_values: bool,
    /// Which kinds of requests.
    pub(crate) mix: Mix,
    /// Keep the revisions in the answers.
    pub(crate) revisions: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mix {
    Registers,
    Strings,
    Etcd,
    All,
}

/// A history of which one order is known. Time goes on by 100 with each operation of that order.
pub(crate) fn correct(chance: &mut Chance, shape: Shape) -> History {
    correct_with_changes(chance, shape).0
}

/// The same with the changes of each revision.
pub(crate) fn correct_with_changes(chance: &mut Chance, shape: Shape) -> (History, Changes) {
    let mut store = Store::new();
    let mut changes = Changes::new();
    let mut history = History::new();
    for number in 0..shape.operations {
        let request = request(chance, shape, number);
        let point = 100 * (number + shape.overlap);
        let mut early_or_late = || chance.below(100 * shape.overlap + 1);
        let (invoked, at) = (Time(point - early_or_late()), Time(point + early_or_late()));
        let client = chance.below(10);
        if chance.percent(shape.refused) {
            history.push(Operation { client, invoked, request, outcome: Outcome::Refused { at } });
            continue;
        }
        let is_unanswered = chance.percent(shape.unanswered);
        if is_unanswered && chance.percent(50) {
            history.push(Operation { client, invoked, request, outcome: Outcome::Unknown });
            continue;
        }
        let response = store.apply(Millis(1), &request);
        note_changes(&store, &mut changes);
        let outcome = if is_unanswered {
            Outcome::Unknown
        } else if shape.revisions {
            Outcome::Returned { at, response, revision: Some(store.revision()) }
        } else {
            Outcome::Returned { at, response: without_revisions(&response), revision: None }
        };
        history.push(Operation { client, invoked, request, outcome });
    }
    (history, changes)
}

fn note_changes(store: &Store, changes: &mut Changes) {
    let revision = store.revision();
    if revision == Revision::FIRST || changes.contains_key(&revision) {
        return;
    }
    let all = |revision: Revision| -> BTreeMap<Bytes, Bytes> {
        let range = RangeRequest { revision: Some(revision), ..RangeRequest::new(KeyRange::all()) };
        match store.read(Millis(1), &Request::Range(Box::new(range))) {
            Response::Range(range) => range.kvs.into_iter().map(|kv| (kv.key, kv.value)).collect(),
            other => panic!("{other:?}"),
        }
    };
    let range = RangeRequest { min_mod_revision: Some(revision), ..RangeRequest::new(KeyRange::all()) };
    let Response::Range(written) = store.read(Millis(1), &Request::Range(Box::new(range))) else {
        panic!("no range")
    };
    let now = all(revision);
    let mut change: BTreeMap<Bytes, Option<Bytes>> =
        written.kvs.into_iter().map(|kv| (kv.key, Some(kv.value))).collect();
    if revision.0 > 2 {
        let gone = all(Revision(revision.0 - 1)).into_keys().filter(|key| !now.contains_key(key));
        change.extend(gone.map(|key| (key, None)));
    }
    changes.insert(revision, change);
}

fn request(chance: &mut Chance, shape: Shape, number: u64) -> Request {
    let key = key(chance, shape);
    let value = match shape.unique_values {
        true => Bytes::from(format!("v{number}")),
        false => Bytes::from(format!("v{}", chance.below(3))),
    };
    match shape.mix {
        Mix::Registers => register(chance, key, value),
        Mix::Strings => strings(chance, shape, key, value),
        Mix::Etcd => etcd(chance, shape, key, value),
        Mix::All if chance.percent(50) => strings(chance, shape, key, value),
        Mix::All => etcd(chance, shape, key, value),
    }
}

fn key(chance: &mut Chance, shape: Shape) -> Bytes {
    Bytes::from(format!("k{}", chance.below(shape.keys)))
}

fn register(chance: &mut Chance, key: Bytes, value: Bytes) -> Request {
    Request::Command(match chance.below(10) {
        0..5 => Command::Get { key },
        5..9 => Command::Set(Set::new(key, value)),
        _ => Command::Delete { keys: vec![key] },
    })
}

fn strings(chance: &mut Chance, shape: Shape, key: Bytes, value: Bytes) -> Request {
    let other = self::key(chance, shape);
    Request::Command(match chance.below(16) {
        0..4 => Command::Get { key },
        4..6 => Command::Set(Set::new(key, value)),
        6 => Command::SetNx { key, value },
        7 => {
            let condition = [SetCondition::IfMissing, SetCondition::IfPresent][chance.below(2) as usize];
            Command::Set(Set { condition, get: chance.percent(30), ..Set::new(key, value) })
        }
        8 => Command::MSet { pairs: vec![(key, value.clone()), (other, value)] },
        9 => Command::MGet { keys: vec![key, other] },
        10 => Command::Delete { keys: vec![key] },
        11 => Command::Increment { key, by: 1 },
        12 => Command::Append { key, value: Bytes::from("x") },
        13 => Command::GetDelete { key },
        14 => Command::Exists { keys: vec![key, other] },
        _ => {
            let commands = vec![Command::Get { key: key.clone() }, Command::Set(Set::new(other, value))];
            return Request::Exec(Exec { watched: vec![], commands });
        }
    })
}

fn etcd(chance: &mut Chance, shape: Shape, key: Bytes, value: Bytes) -> Request {
    let other = self::key(chance, shape);
    match chance.below(9) {
        0..3 => Request::Range(Box::new(RangeRequest::new(KeyRange::One(key)))),
        3..5 => Request::Put(Put { prev_kv: chance.percent(30), ..Put::new(key, value) }),
        5 => Request::DeleteRange(DeleteRange { range: KeyRange::One(key), prev_kv: chance.percent(30) }),
        6 => Request::Range(Box::new(RangeRequest {
            count_only: chance.percent(30),
            limit: chance.below(2),
            ..RangeRequest::new(KeyRange::all())
        })),
        _ => {
            let target = match chance.percent(50) {
                true => CompareTarget::Version(chance.below(3) as i64),
                false => CompareTarget::Value(Bytes::from(format!("v{}", chance.below(3)))),
            };
            let operator = [CompareOperator::Equal, CompareOperator::Greater][chance.below(2) as usize];
            Request::Txn(Txn {
                compare: vec![Compare { range: KeyRange::One(key.clone()), operator, target }],
                success: vec![TxnOp::Put(Put::new(other, value))],
                failure: vec![TxnOp::Range(RangeRequest::new(KeyRange::One(key)))],
            })
        }
    }
}

/// Changes the answer or the window of one operation. The history may be right all the same.
pub(crate) fn broken(chance: &mut Chance, history: &History) -> History {
    let mut operations = history.operations().to_vec();
    let victim = chance.below(operations.len() as u64) as usize;
    let donor = chance.below(operations.len() as u64) as usize;
    let donated = operations[donor].response().cloned();
    let operation = &mut operations[victim];
    let Outcome::Returned { at, response, .. } = &mut operation.outcome else { return history.clone() };
    match chance.below(4) {
        // Not so long after the question as it was.
        0 => *at = Time(operation.invoked.0 + chance.below(at.0 - operation.invoked.0 + 1)),
        1 => operation.invoked = Time(operation.invoked.0 + chance.below(at.0 - operation.invoked.0 + 1)),
        _ => {
            if let Some(other) = wrong(chance, response, donated.as_ref()) {
                *response = other;
            }
        }
    }
    operations.into_iter().collect()
}

fn wrong(chance: &mut Chance, response: &Response, donated: Option<&Response>) -> Option<Response> {
    Some(match (response, donated?) {
        (Response::Reply(Reply::Integer(number)), _) => Response::Reply(Reply::Integer(match number {
            0 => 1,
            _ if chance.percent(50) => number - 1,
            _ => number + 1,
        })),
        (Response::Reply(Reply::Value(_) | Reply::Nil), Response::Reply(other @ Reply::Value(_))) => {
            Response::Reply(other.clone())
        }
        (Response::Reply(Reply::Value(_)), _) => Response::Reply(Reply::Nil),
        (Response::Reply(Reply::Ok), _) => Response::Reply(Reply::Nil),
        (Response::Range(_), Response::Range(other)) => Response::Range(other.clone()),
        (Response::DeleteRange(delete), _) => {
            let mut delete = delete.clone();
            delete.deleted = 1 - delete.deleted.min(1);
            Response::DeleteRange(delete)
        }
        _ => return None,
    })
}

/// Makes a read near the end answer what an early one did.
pub(crate) fn with_a_stale_read(history: &History) -> Option<History> {
    let mut operations = history.operations().to_vec();
    let shows = |outcome: &Outcome| {
        let Outcome::Returned { response, .. } = outcome else { return false };
        match response {
            Response::Reply(Reply::Value(value)) => value.starts_with(b"v"),
            Response::Range(range) => !range.kvs.is_empty(),
            _ => false,
        }
    };
    let reads: Vec<usize> = (0..operations.len())
        .filter(|id| operations[*id].request.is_read_only() && shows(&operations[*id].outcome))
        .collect();
    let (early, late) = (*reads.get(10)?, *reads.last()?);
    let old = operations[early].response()?.clone();
    if let Outcome::Returned { response, .. } = &mut operations[late].outcome {
        *response = old;
    }
    Some(operations.into_iter().collect())
}
