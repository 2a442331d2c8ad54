//! What a request does to the values of keys, as naively as can be said.
//!
//! This is the checkers' own idea of a store, written from the meaning of the operations and not from the code of
//! `jangada-kv`: a checker that replayed the store's own code would repeat its bugs. It is slow where the store is
//! fast (it copies cells, it walks through ranges), and it knows less: there is no clock, so a key with a deadline
//! may be gone at any time.
//!
//! What cannot be known is *chosen*: the model asks [`Choices`] and is run again for each other choice.

use bytes::Bytes;
use jangada_kv::{
    Compare, CompareOperator, CompareTarget, DeleteRange, DeleteRangeResponse, Error, KeyRange, KeyValue,
    Millis, Put, PutResponse, RangeRequest, RangeResponse, Request, Response, Revision, SortOrder,
    SortTarget, Txn, TxnOp, TxnOpResponse, TxnResponse,
};

use crate::keys::needs_revisions;

/// A revision in an expected answer that nobody can know. No state has this one.
pub(crate) const ANY_REVISION: Revision = Revision::ZERO;
/// A version in an expected answer that nobody can know. No key that exists has this one.
pub(crate) const ANY_VERSION: u64 = 0;
/// Some deadline, in an expected answer. No key has this one.
pub(crate) const ANY_DEADLINE: Millis = Millis::ZERO;

/// What is known of a key that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) value: Bytes,
    /// How many changes since it was created, if that is kept.
    pub(crate) version: Option<u64>,
    /// The revision of its creation, if an answer told it.
    pub(crate) created: Option<Revision>,
    /// The revision of its latest change, if an answer told it.
    pub(crate) modified: Option<Revision>,
    pub(crate) life: Life,
}

/// Whether a key has a deadline. Which one does not matter: nobody knows when the store's clock gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// It has none.
    Endless,
    /// It has one.
    Mortal,
    /// It has passed: string commands no longer see the key, etcd's still do until it is removed.
    Passed,
}

/// The keys that exist before a request.
pub(crate) trait Cells {
    fn cell(&self, key: &[u8]) -> Option<&Cell>;
    /// Those in a range, in key order.
    fn keys_in(&self, range: &KeyRange) -> Vec<Bytes>;
    /// Whether keys with a deadline may be removed without anybody in the history asking for it.
    fn keys_vanish(&self) -> bool;
}

/// A path through what cannot be known.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    taken: Vec<(u8, u8)>,
    at: usize,
}

impl Choices {
    /// One of `0..of`.
    pub(crate) fn choose(&mut self, of: u8) -> u8 {
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        self.at += 1;
        self.taken[self.at - 1].0
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.choose(2) == 1
    }

    /// Goes to the next path; `false` if all were taken.
    pub(crate) fn next_path(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, of)) = self.taken.pop() {
            if choice + 1 < of {
                self.taken.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// What a request has made of a key so far.
pub(crate) struct Touched {
    pub(crate) key: Bytes,
    pub(crate) cell: Option<Cell>,
    /// Written by the request itself, not only found to have expired.
    is_written: bool,
}

impl Touched {
    /// A key that is gone.
    pub(crate) fn removed(key: Bytes) -> Touched {
        Touched { key, cell: None, is_written: true }
    }
}

/// A request that is being done.
pub(crate) struct Step<'a, C> {
    cells: &'a C,
    /// The revision of the state before it, if it is known.
    before: Option<Revision>,
    /// The revision that it makes, if it is known.
    revision: Option<Revision>,
    pub(crate) touched: Vec<Touched>,
    pub(crate) choices: &'a mut Choices,
    /// Whether it has changed anything: then it has a revision of its own.
    pub(crate) has_written: bool,
}

impl<'a, C: Cells> Step<'a, C> {
    pub(crate) fn new(
        cells: &'a C,
        before: Option<Revision>,
        revision: Option<Revision>,
        choices: &'a mut Choices,
    ) -> Step<'a, C> {
        Step { cells, before, revision, touched: Vec::new(), choices, has_written: false }
    }

    /// Does a request and tells what its answer must look like, as far as can be known: see [`crate::answers`].
    pub(crate) fn run(&mut self, request: &Request) -> Response {
        match request {
            Request::Command(command) => Response::Reply(self.command(command)),
            Request::Exec(exec) => {
                let is_as_watched = exec.watched.iter().all(|(key, revision)| self.is_at(key, *revision));
                Response::Exec(
                    is_as_watched
                        .then(|| exec.commands.iter().map(|command| self.command(command)).collect()),
                )
            }
            Request::WatchRevision { key } => {
                Response::WatchRevision(self.live(key).map(|cell| cell.modified.unwrap_or(ANY_REVISION)))
            }
            Request::Range(range) => Response::Range(self.range(range)),
            Request::Put(put) => self.all_or_nothing(|step| step.put(put).map(Response::Put)),
            Request::DeleteRange(delete) => Response::DeleteRange(self.delete_range(delete)),
            Request::Txn(txn) => self.all_or_nothing(|step| {
                let path = step.path(txn);
                step.txn(txn, &path).map(Response::Txn)
            }),
            Request::ExpireKeys { keys } => {
                let due: Vec<&Bytes> = keys.iter().filter(|key| self.has_passed(key)).collect();
                due.iter().for_each(|key| self.delete(key));
                Response::Expired { keys: due.len() as u64 }
            }
            Request::Compact { .. } => Response::Compact { revision: ANY_REVISION },
            // Leases are judged by whoever knows the time, users by nobody.
            Request::Tick
            | Request::SetRetention(_)
            | Request::Lease(_)
            | Request::SetQuota(_)
            | Request::Alarm(_)
            | Request::Auth(_) => Response::Done,
            Request::OnBehalf(asked) => self.run(&asked.request),
        }
    }

    /// What the request has written.
    pub(crate) fn written(self) -> Vec<Touched> {
        self.touched.into_iter().filter(|touched| touched.is_written).collect()
    }

    fn all_or_nothing(&mut self, attempt: impl FnOnce(&mut Self) -> Result<Response, Error>) -> Response {
        attempt(self).unwrap_or_else(|error| {
            self.touched.clear();
            self.has_written = false;
            Response::Error(error)
        })
    }

    /// The key as etcd's operations see it.
    pub(crate) fn existing(&mut self, key: &[u8]) -> Option<Cell> {
        if let Some(touched) = self.touched.iter().find(|touched| touched.key == key) {
            return touched.cell.clone();
        }
        let mut cell = self.cells.cell(key)?.clone();
        // Fate: a deadline comes when it likes.
        let vanishes = self.cells.keys_vanish();
        let fate = match cell.life {
            Life::Endless => return Some(cell),
            Life::Mortal => [Some(Life::Mortal), Some(Life::Passed), None]
                [usize::from(self.choices.choose(2 + u8::from(vanishes)))],
            Life::Passed => {
                [Some(Life::Passed), None][usize::from(self.choices.choose(1 + u8::from(vanishes)))]
            }
        };
        let cell = fate.map(|life| {
            cell.life = life;
            cell
        });
        self.touched.push(Touched {
            key: Bytes::copy_from_slice(key),
            cell: cell.clone(),
            is_written: false,
        });
        cell
    }

    /// The key as string commands see it.
    pub(crate) fn live(&mut self, key: &[u8]) -> Option<Cell> {
        self.existing(key).filter(|cell| cell.life != Life::Passed)
    }

    fn has_passed(&mut self, key: &[u8]) -> bool {
        self.existing(key).is_some_and(|cell| cell.life == Life::Passed)
    }

    /// Whether a watched key is where it was.
    fn is_at(&mut self, key: &[u8], revision: Option<Revision>) -> bool {
        match (self.live(key).map(|cell| cell.modified), revision) {
            (None, None) => true,
            (Some(Some(own)), Some(revision)) => own == revision,
            (Some(None), Some(_)) => self.choices.flip(),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// Writes a key, as a change of `old` or as a new key.
    pub(crate) fn write(&mut self, key: &Bytes, old: Option<&Cell>, life: Life, value: Bytes) {
        let is_again = self.touched.iter().any(|touched| touched.key == *key && touched.is_written);
        let (version, created) = match old {
            // However often a request writes a key, that is one change.
            Some(old) => (old.version.map(|version| version + u64::from(!is_again)), old.created),
            None => (Some(1), self.revision),
        };
        let modified = self.revision;
        self.touch(key, Some(Cell { value, version, created, modified, life }));
    }

    /// Deletes a key that exists.
    pub(crate) fn delete(&mut self, key: &Bytes) {
        self.touch(key, None);
    }

    fn touch(&mut self, key: &Bytes, cell: Option<Cell>) {
        self.has_written = true;
        match self.touched.iter_mut().find(|touched| touched.key == *key) {
            Some(touched) => {
                touched.cell = cell;
                touched.is_written = true;
            }
            None => self.touched.push(Touched { key: key.clone(), cell, is_written: true }),
        }
    }

    /// The keys of a range that exist, in key order.
    pub(crate) fn existing_in(&mut self, range: &KeyRange) -> Vec<(Bytes, Cell)> {
        let mut keys = match range {
            KeyRange::One(key) => vec![key.clone()],
            KeyRange::Span { .. } | KeyRange::From(_) => {
                let mut keys = self.cells.keys_in(range);
                keys.extend(self.touched.iter().map(|touched| touched.key.clone()));
                keys.retain(|key| range.contains(key));
                keys.sort();
                keys.dedup();
                keys
            }
        };
        keys.drain(..).filter_map(|key| Some((key.clone(), self.existing(&key)?))).collect()
    }

    pub(crate) fn range(&mut self, request: &RangeRequest) -> RangeResponse {
        let mut found = self.existing_in(&request.range);
        let count = found.len() as u64;
        let mut response = RangeResponse { revision: self.header(), count, ..RangeResponse::default() };
        if request.count_only {
            return response;
        }
        let is_within = |own: Option<Revision>, min: Option<Revision>, max: Option<Revision>| {
            own.is_none_or(|own| min.is_none_or(|min| own >= min) && max.is_none_or(|max| own <= max))
        };
        found.retain(|(_, cell)| {
            is_within(cell.modified, request.min_mod_revision, request.max_mod_revision)
                && is_within(cell.created, request.min_create_revision, request.max_create_revision)
        });
        // Equal ones stay in key order, in both directions.
        found.sort_by(|(a_key, a), (b_key, b)| {
            let order = match request.sort_target {
                SortTarget::Key => a_key.cmp(b_key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.created.cmp(&b.created),
                SortTarget::Mod => a.modified.cmp(&b.modified),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            match request.sort_order {
                SortOrder::None | SortOrder::Ascend => order,
                SortOrder::Descend => order.reverse(),
            }
        });
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        if limit > 0 && found.len() > limit {
            found.truncate(limit);
            response.more = true;
        }
        response.kvs = found.iter().map(|(key, cell)| key_value(key, cell, request.keys_only)).collect();
        response
    }

    fn put(&mut self, put: &Put) -> Result<PutResponse, Error> {
        let old = self.existing(&put.key);
        if old.is_none() && (put.ignore_value || put.ignore_lease) {
            return Err(Error::KeyNotFound);
        }
        let value = old.as_ref().filter(|_| put.ignore_value).map_or(&put.value, |old| &old.value).clone();
        let life = old.as_ref().filter(|_| put.ignore_lease).map_or(Life::Endless, |old| old.life);
        let prev_kv =
            old.as_ref().filter(|_| put.prev_kv).map(|old| Box::new(key_value(&put.key, old, false)));
        self.write(&put.key, old.as_ref(), life, value);
        Ok(PutResponse { revision: self.header(), prev_kv })
    }

    fn delete_range(&mut self, delete: &DeleteRange) -> DeleteRangeResponse {
        let old = self.existing_in(&delete.range);
        old.iter().for_each(|(key, _)| self.delete(key));
        let told = old.iter().filter(|_| delete.prev_kv);
        let prev_kvs = told.map(|(key, cell)| key_value(key, cell, false)).collect();
        DeleteRangeResponse { revision: self.header(), deleted: old.len() as u64, prev_kvs }
    }

    /// Which way a txn goes, and those inside it: decided by the state before it.
    fn path(&mut self, txn: &Txn) -> Path {
        let mut succeeded = true;
        for compare in &txn.compare {
            succeeded = self.holds(compare) && succeeded;
        }
        let mut nested = Vec::new();
        for op in if succeeded { &txn.success } else { &txn.failure } {
            if let TxnOp::Txn(txn) = op {
                nested.push(self.path(txn));
            }
        }
        Path { succeeded, nested }
    }

    fn txn(&mut self, txn: &Txn, path: &Path) -> Result<TxnResponse, Error> {
        let mut nested = path.nested.iter();
        let mut responses = Vec::new();
        for op in if path.succeeded { &txn.success } else { &txn.failure } {
            responses.push(match op {
                // Nobody can say here what is right: `answers` lets any answer pass.
                TxnOp::Range(range) if needs_revisions(range) => {
                    TxnOpResponse::Range(RangeResponse::default())
                }
                TxnOp::Range(range) => TxnOpResponse::Range(self.range(range)),
                TxnOp::Put(put) => TxnOpResponse::Put(self.put(put)?),
                TxnOp::DeleteRange(delete) => TxnOpResponse::DeleteRange(self.delete_range(delete)),
                TxnOp::Txn(txn) => {
                    let path = nested.next().expect("each nested txn has a path");
                    TxnOpResponse::Txn(self.txn(txn, path)?)
                }
            });
        }
        Ok(TxnResponse { revision: self.header(), succeeded: path.succeeded, responses })
    }

    /// Whether a comparison holds for each key of its range; a range without keys counts as one that has nothing.
    fn holds(&mut self, compare: &Compare) -> bool {
        let found = self.existing_in(&compare.range);
        if found.is_empty() {
            return relation(compare, None).expect("all is known of a key that does not exist");
        }
        let results: Vec<Option<bool>> =
            found.iter().map(|(_, cell)| relation(compare, Some(cell))).collect();
        if results.contains(&Some(false)) {
            return false;
        }
        !results.contains(&None) || self.choices.flip()
    }

    fn header(&self) -> Revision {
        let known = if self.has_written { self.revision } else { self.before };
        known.unwrap_or(ANY_REVISION)
    }
}

/// Which branch a txn takes, and which ones those nested in that branch take.
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

/// Whether a comparison holds for a key; `None` if that cannot be known.
fn relation(compare: &Compare, cell: Option<&Cell>) -> Option<bool> {
    let revision = |own: fn(&Cell) -> Option<Revision>| match cell {
        Some(cell) => own(cell).map(|own| own.0),
        None => Some(0),
    };
    let number = |own: Option<u64>, other: i64| own.map(|own| i128::from(own).cmp(&i128::from(other)));
    let ordering = match &compare.target {
        CompareTarget::Version(other) => match cell {
            Some(Cell { version: None, .. }) if *other > 0 => return None,
            // Whatever it is, it is at least one.
            Some(Cell { version: None, .. }) => number(Some(1), *other)?,
            Some(cell) => number(cell.version, *other)?,
            None => 0.cmp(other),
        },
        CompareTarget::Create(other) => number(revision(|cell| cell.created), *other)?,
        CompareTarget::Mod(other) => number(revision(|cell| cell.modified), *other)?,
        CompareTarget::Lease(other) => 0.cmp(other),
        CompareTarget::Value(other) => match cell {
            Some(cell) => cell.value.cmp(other),
            None => return Some(false),
        },
    };
    Some(match compare.operator {
        CompareOperator::Equal => ordering.is_eq(),
        CompareOperator::NotEqual => ordering.is_ne(),
        CompareOperator::Greater => ordering.is_gt(),
        CompareOperator::Less => ordering.is_lt(),
    })
}

fn key_value(key: &Bytes, cell: &Cell, keys_only: bool) -> KeyValue {
    KeyValue {
        key: key.clone(),
        value: if keys_only { Bytes::new() } else { cell.value.clone() },
        create_revision: cell.created.unwrap_or(ANY_REVISION),
        mod_revision: cell.modified.unwrap_or(ANY_REVISION),
        version: cell.version.unwrap_or(ANY_VERSION),
        lease: None,
        deadline: (cell.life != Life::Endless).then_some(ANY_DEADLINE),
    }
}
