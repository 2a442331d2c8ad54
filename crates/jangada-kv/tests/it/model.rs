//! The store again, as naive as can be: the full state of each revision in a list, and everything done by walking
//! through maps. What the real store answers must be what this one answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::{
    Alarm, Compare, CompareOperator, CompareTarget, DeleteRange, DeleteRangeResponse, Error, KeyRange,
    KeyValue, LeaseId, MAX_TXN_OPS, Millis, Put, PutResponse, Quota, RangeRequest, RangeResponse, Request,
    Response, Retention, Revision, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse, TxnResponse,
};

/// What `Retention::bytes` counts for a replaced version beside its value.
const VERSION_OVERHEAD_BYTES: u64 = 112;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) create_revision: u64,
    pub(crate) mod_revision: u64,
    pub(crate) version: u64,
    pub(crate) bound: Bound,
    pub(crate) value: Bytes,
}

/// What ends a key, if nobody writes it again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    Endless,
    Until(Millis),
    Lease(LeaseId),
}

impl Value {
    /// A deadline of its own.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        match self.bound {
            Bound::Until(deadline) => Some(deadline),
            Bound::Endless | Bound::Lease(_) => None,
        }
    }

    pub(crate) fn lease(&self) -> Option<LeaseId> {
        match self.bound {
            Bound::Lease(lease) => Some(lease),
            Bound::Endless | Bound::Until(_) => None,
        }
    }
}

pub(crate) type State = BTreeMap<Bytes, Value>;

pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Bytes,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

pub(crate) struct Model {
    pub(crate) clock: Millis,
    /// The time to live of each lease, in seconds, and its deadline.
    pub(crate) leases: BTreeMap<LeaseId, (u64, Millis)>,
    pub(crate) quota: Quota,
    /// With whether the store has raised it by itself.
    pub(crate) alarms: BTreeMap<Alarm, bool>,
    pub(crate) floor: u64,
    pub(crate) retention: Retention,
    /// `states[r]` is the state at revision `r`.
    pub(crate) states: Vec<State>,
    pub(crate) changes: Vec<Change>,
    /// The state that the request being applied has reached, and the keys that it has changed, in order.
    pub(crate) next: State,
    pub(crate) touched: Vec<Bytes>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            clock: Millis(0),
            leases: BTreeMap::new(),
            quota: Quota::default(),
            alarms: BTreeMap::new(),
            floor: 0,
            retention: Retention::default(),
            states: vec![State::new(), State::new()],
            changes: vec![],
            next: State::new(),
            touched: vec![],
        }
    }

    pub(crate) fn apply(&mut self, now: Millis, request: &Request) -> Response {
        self.clock = self.clock.max(now);
        if let Some(error) = self.forbidden(request) {
            return Response::Error(error);
        }
        let (before, live_bytes) = (self.next.clone(), self.live_bytes());
        let response = self.carry_out(request);
        let response = self.keep_room(&before, live_bytes, request, response);
        self.commit();
        if self.live_bytes() < live_bytes {
            self.look_at_space();
        }
        response
    }

    fn carry_out(&mut self, request: &Request) -> Response {
        match request {
            Request::Command(command) => Response::Reply(self.run(command)),
            Request::Exec(exec) => {
                let is_as_watched = exec.watched.iter().all(|(key, revision)| self.watch(key) == *revision);
                Response::Exec(
                    is_as_watched.then(|| exec.commands.iter().map(|command| self.run(command)).collect()),
                )
            }
            Request::WatchRevision { key } => Response::WatchRevision(self.watch(key)),
            Request::Range(range) => check_key(&range.range)
                .and_then(|()| self.range(range, self.committed()))
                .map_or_else(Response::Error, Response::Range),
            Request::Put(put) => {
                check_put(put).and_then(|()| self.put(put)).map_or_else(Response::Error, Response::Put)
            }
            Request::DeleteRange(delete) => match check_key(&delete.range) {
                Ok(()) => Response::DeleteRange(self.delete_range(delete)),
                Err(error) => Response::Error(error),
            },
            Request::Txn(txn) => self.outer_txn(txn),
            Request::Compact { revision } => self.compact(*revision),
            Request::ExpireKeys { keys } => {
                let is_due = |value: &&Value| value.deadline().is_some_and(|deadline| deadline <= self.clock);
                let due: Vec<Bytes> =
                    keys.iter().filter(|key| self.next.get(*key).filter(is_due).is_some()).cloned().collect();
                let expired = due.iter().filter(|key| self.write(key, None)).count() as u64;
                Response::Expired { keys: expired }
            }
            Request::Tick => Response::Done,
            Request::SetRetention(retention) => {
                self.retention = *retention;
                Response::Done
            }
            Request::Lease(lease) => self.lease(lease).map_or_else(Response::Error, Response::Lease),
            Request::Auth(_) | Request::OnBehalf(_) => unreachable!("nobody is asked who they are here"),
            Request::SetQuota(quota) => {
                self.quota = *quota;
                self.look_at_space();
                Response::Done
            }
            Request::Alarm(alarm) => Response::Alarm(self.alarm(alarm)),
        }
    }

    /// The revision before the request that is being applied.
    fn committed(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    pub(crate) fn revision(&self) -> u64 {
        self.committed() + u64::from(!self.touched.is_empty())
    }

    /// Sets or deletes a key; `false` if it is to be deleted and is not there.
    pub(crate) fn write(&mut self, key: &Bytes, value: Option<Value>) -> bool {
        let is_delete = value.is_none();
        let before = match value {
            Some(value) => self.next.insert(key.clone(), value),
            None => self.next.remove(key),
        };
        if is_delete && before.is_none() {
            return false;
        }
        if !self.touched.contains(key) {
            self.touched.push(key.clone());
        }
        true
    }

    /// Sets a key as a change of `old`, or as a new key.
    pub(crate) fn set(&mut self, key: &Bytes, old: Option<Value>, bound: Bound, value: Bytes) {
        let mod_revision = self.committed() + 1;
        let (create_revision, version) = match old {
            Some(old) => (old.create_revision, old.version + u64::from(old.mod_revision != mod_revision)),
            None => (mod_revision, 1),
        };
        self.write(key, Some(Value { create_revision, mod_revision, version, bound, value }));
    }

    pub(crate) fn commit(&mut self) {
        if !self.touched.is_empty() {
            let revision = self.committed() + 1;
            let before = &self.states[self.states.len() - 1];
            for key in self.touched.drain(..) {
                let (before, after) = (before.get(&key).cloned(), self.next.get(&key).cloned());
                self.changes.push(Change { revision, key, before, after });
            }
            self.states.push(self.next.clone());
        }
        let kept = self.retention.revisions.max(1) - 1;
        self.floor = self.floor.max(self.committed().saturating_sub(kept));
        while self.history_bytes() > self.retention.bytes {
            let next = self.changes.iter().find(|change| change.revision > self.floor);
            self.floor = next.expect("bytes come from changes").revision;
        }
    }

    fn history_bytes(&self) -> u64 {
        let replaced = self.changes.iter().filter(|change| change.revision > self.floor);
        replaced
            .filter_map(|change| change.before.as_ref())
            .map(|before| VERSION_OVERHEAD_BYTES + before.value.len() as u64)
            .sum()
    }

    fn compact(&mut self, revision: Revision) -> Response {
        if revision.0 <= self.floor {
            return Response::Error(Error::Compacted { floor: Revision(self.floor) });
        }
        if revision.0 > self.committed() {
            return Response::Error(Error::FutureRevision { current: Revision(self.committed()) });
        }
        self.floor = revision.0;
        Response::Compact { revision: Revision(self.committed()) }
    }

    /// `newest` is the latest revision that may be asked for: in a txn, the one before it.
    fn range(&self, request: &RangeRequest, newest: u64) -> Result<RangeResponse, Error> {
        self.check_revision(request, newest)?;
        let state = request.revision.map_or(&self.next, |revision| &self.states[revision.0 as usize]);
        let inside: Vec<_> = state.iter().filter(|(key, _)| request.range.contains(key)).collect();
        let mut response = RangeResponse {
            revision: Revision(self.revision()),
            count: inside.len() as u64,
            ..RangeResponse::default()
        };
        if request.count_only {
            return Ok(response);
        }
        let not_below = |number: u64, min: Option<Revision>| min.is_none_or(|min| number >= min.0);
        let not_above = |number: u64, max: Option<Revision>| max.is_none_or(|max| number <= max.0);
        let mut kvs: Vec<KeyValue> = inside
            .into_iter()
            .filter(|(_, value)| not_below(value.mod_revision, request.min_mod_revision))
            .filter(|(_, value)| not_above(value.mod_revision, request.max_mod_revision))
            .filter(|(_, value)| not_below(value.create_revision, request.min_create_revision))
            .filter(|(_, value)| not_above(value.create_revision, request.max_create_revision))
            .map(|(key, value)| key_value(key, value))
            .collect();
        // The place in key order is the last criterion in both directions.
        if request.sort_order == SortOrder::Descend {
            kvs.reverse();
        }
        match request.sort_target {
            SortTarget::Key => {}
            SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
            SortTarget::Create => kvs.sort_by_key(|kv| kv.create_revision),
            SortTarget::Mod => kvs.sort_by_key(|kv| kv.mod_revision),
            SortTarget::Value => kvs.sort_by_key(|kv| kv.value.clone()),
        }
        if request.sort_order == SortOrder::Descend && request.sort_target != SortTarget::Key {
            kvs.reverse();
        }
        if request.limit > 0 && kvs.len() as u64 > request.limit {
            kvs.truncate(request.limit as usize);
            response.more = true;
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        response.kvs = kvs;
        Ok(response)
    }

    fn check_revision(&self, request: &RangeRequest, newest: u64) -> Result<(), Error> {
        match request.revision {
            Some(revision) if revision.0 > newest => Err(Error::FutureRevision { current: Revision(newest) }),
            Some(revision) if revision.0 < self.floor => {
                Err(Error::Compacted { floor: Revision(self.floor) })
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, put: &Put) -> Result<PutResponse, Error> {
        if put.lease.is_some_and(|lease| !self.leases.contains_key(&lease)) {
            return Err(Error::LeaseNotFound);
        }
        self.check_kept(put)?;
        let old = self.next.get(&put.key).cloned();
        let kept = old.clone().filter(|_| put.ignore_value).map(|old| old.value);
        let bound = match (put.lease, &old) {
            (Some(lease), _) => Bound::Lease(lease),
            (None, Some(old)) if put.ignore_lease => old.bound,
            (None, _) => Bound::Endless,
        };
        self.set(&put.key, old.clone(), bound, kept.unwrap_or_else(|| put.value.clone()));
        let prev_kv = old.filter(|_| put.prev_kv).map(|old| Box::new(key_value(&put.key, &old)));
        Ok(PutResponse { revision: Revision(self.revision()), prev_kv })
    }

    fn check_kept(&self, put: &Put) -> Result<(), Error> {
        let keeps = put.ignore_value || put.ignore_lease;
        if keeps && !self.next.contains_key(&put.key) { Err(Error::KeyNotFound) } else { Ok(()) }
    }

    fn delete_range(&mut self, delete: &DeleteRange) -> DeleteRangeResponse {
        let old: Vec<(Bytes, Value)> =
            self.next.clone().into_iter().filter(|(key, _)| delete.range.contains(key)).collect();
        for (key, _) in &old {
            self.write(key, None);
        }
        let prev_kvs =
            old.iter().filter(|_| delete.prev_kv).map(|(key, value)| key_value(key, value)).collect();
        DeleteRangeResponse { revision: Revision(self.revision()), deleted: old.len() as u64, prev_kvs }
    }

    /// Does one operation after the other, and goes back if one of them fails. Tried without its reads first: if a put
    /// fails too, that is the fault to be named.
    fn outer_txn(&mut self, txn: &Txn) -> Response {
        let checked = check_txn(txn, MAX_TXN_OPS)
            .and_then(|()| no_clash(&txn.success))
            .and_then(|()| no_clash(&txn.failure));
        if let Err(error) = checked {
            return Response::Error(error);
        }
        let tried = self.txn(txn, false).map(drop);
        self.go_back();
        match tried.and_then(|()| self.txn(txn, true)) {
            Ok(response) => Response::Txn(response),
            Err(error) => {
                self.go_back();
                Response::Error(error)
            }
        }
    }

    fn go_back(&mut self) {
        self.next = self.states[self.states.len() - 1].clone();
        self.touched.clear();
    }

    fn txn(&mut self, txn: &Txn, with_reads: bool) -> Result<TxnResponse, Error> {
        let before = &self.states[self.states.len() - 1];
        let succeeded = txn.compare.iter().all(|compare| holds(before, compare));
        let mut responses = vec![];
        for op in if succeeded { &txn.success } else { &txn.failure } {
            responses.push(match op {
                TxnOp::Range(_) if !with_reads => continue,
                TxnOp::Range(range) => TxnOpResponse::Range(self.range(range, self.committed())?),
                TxnOp::Put(put) => {
                    self.check_kept(put)?;
                    TxnOpResponse::Put(self.put(put)?)
                }
                TxnOp::DeleteRange(delete) => TxnOpResponse::DeleteRange(self.delete_range(delete)),
                TxnOp::Txn(nested) => TxnOpResponse::Txn(self.txn(nested, with_reads)?),
            });
        }
        Ok(TxnResponse { revision: Revision(self.revision()), succeeded, responses })
    }
}

pub(crate) fn key_value(key: &Bytes, value: &Value) -> KeyValue {
    KeyValue {
        key: key.clone(),
        value: value.value.clone(),
        create_revision: Revision(value.create_revision),
        mod_revision: Revision(value.mod_revision),
        version: value.version,
        lease: value.lease(),
        deadline: value.deadline(),
    }
}

pub(crate) fn holds(state: &State, compare: &Compare) -> bool {
    let number = |own: u64, other: i64| Some((own as i64).cmp(&other));
    let holds_for = |value: Option<&Value>| {
        let ordering = match &compare.target {
            CompareTarget::Version(other) => number(value.map_or(0, |value| value.version), *other),
            CompareTarget::Create(other) => number(value.map_or(0, |value| value.create_revision), *other),
            CompareTarget::Mod(other) => number(value.map_or(0, |value| value.mod_revision), *other),
            CompareTarget::Lease(other) => {
                Some(value.and_then(Value::lease).map_or(0, |lease| lease.0).cmp(other))
            }
            CompareTarget::Value(other) => value.map(|value| value.value.cmp(other)),
        };
        ordering.is_some_and(|ordering| match compare.operator {
            CompareOperator::Equal => ordering.is_eq(),
            CompareOperator::NotEqual => ordering.is_ne(),
            CompareOperator::Greater => ordering.is_gt(),
            CompareOperator::Less => ordering.is_lt(),
        })
    };
    let inside: Vec<&Value> =
        state.iter().filter(|(key, _)| compare.range.contains(key)).map(|(_, value)| value).collect();
    if inside.is_empty() { holds_for(None) } else { inside.into_iter().all(|value| holds_for(Some(value))) }
}

fn check_key(range: &KeyRange) -> Result<(), Error> {
    let is_empty = match range {
        KeyRange::One(key) => key.is_empty(),
        KeyRange::Span { from, .. } => from.is_empty(),
        KeyRange::From(_) => false,
    };
    if is_empty { Err(Error::EmptyKey) } else { Ok(()) }
}

fn check_put(put: &Put) -> Result<(), Error> {
    match put {
        put if put.key.is_empty() => Err(Error::EmptyKey),
        put if put.ignore_value && !put.value.is_empty() => Err(Error::ValueProvided),
        put if put.ignore_lease && put.lease.is_some() => Err(Error::LeaseProvided),
        _ => Ok(()),
    }
}

pub(crate) fn check_outer_txn(txn: &Txn) -> Result<(), Error> {
    check_txn(txn, MAX_TXN_OPS)?;
    no_clash(&txn.success)?;
    no_clash(&txn.failure)
}

fn check_txn(txn: &Txn, allowed: usize) -> Result<(), Error> {
    let longest = [txn.compare.len(), txn.success.len(), txn.failure.len()].into_iter().max().unwrap();
    if longest > allowed {
        return Err(Error::TooManyOps);
    }
    txn.compare.iter().try_for_each(|compare| check_key(&compare.range))?;
    txn.success.iter().chain(&txn.failure).try_for_each(|op| match op {
        TxnOp::Range(range) => check_key(&range.range),
        TxnOp::Put(put) => check_put(put),
        TxnOp::DeleteRange(delete) => check_key(&delete.range),
        TxnOp::Txn(nested) => check_txn(nested, allowed - longest),
    })
}

/// Compares each operation with each one after it.
fn no_clash(ops: &[TxnOp]) -> Result<(), Error> {
    for (at, op) in ops.iter().enumerate() {
        if let TxnOp::Txn(nested) = op {
            no_clash(&nested.success)?;
            no_clash(&nested.failure)?;
        }
        for other in &ops[at + 1..] {
            if leaves(op).iter().any(|a| leaves(other).iter().any(|b| clash(a, b))) {
                return Err(Error::DuplicateKey);
            }
        }
    }
    Ok(())
}

fn leaves(op: &TxnOp) -> Vec<&TxnOp> {
    match op {
        TxnOp::Txn(nested) => nested.success.iter().chain(&nested.failure).flat_map(leaves).collect(),
        leaf => vec![leaf],
    }
}

fn clash(a: &TxnOp, b: &TxnOp) -> bool {
    match (a, b) {
        (TxnOp::Put(a), TxnOp::Put(b)) => a.key == b.key,
        (TxnOp::Put(put), TxnOp::DeleteRange(delete)) | (TxnOp::DeleteRange(delete), TxnOp::Put(put)) => {
            delete.range.contains(&put.key)
        }
        _ => false,
    }
}
