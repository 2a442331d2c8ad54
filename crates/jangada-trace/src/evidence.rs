//! Who may have made a revision that no answer claims.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::{KeyValue, Response, Revision, TxnOpResponse};

use crate::history::{History, Operation, Outcome};
use crate::model::Touched;
use crate::resolve::{What, changes_nothing, visit};

/// The operations that may fill gaps, and what is known of the gaps.
pub(crate) struct Gaps<'h> {
    /// Writes whose revision is not known, by invocation. Used ones stay.
    operations: Vec<(&'h Operation, bool)>,
    /// Those that write a value.
    by_value: BTreeMap<&'h Bytes, Vec<usize>>,
    /// What answers show of each revision: keys, and their values where they were shown.
    shown: BTreeMap<Revision, BTreeMap<&'h Bytes, Option<&'h Bytes>>>,
}

impl<'h> Gaps<'h> {
    pub(crate) fn new(history: &'h History) -> Gaps<'h> {
        let mut operations: Vec<(&Operation, bool)> = history
            .operations()
            .iter()
            .filter(|operation| !operation.request.is_read_only() && may_have_written(operation))
            .map(|operation| (operation, false))
            .collect();
        operations.sort_by_key(|(operation, _)| operation.invoked);
        let mut by_value: BTreeMap<&Bytes, Vec<usize>> = BTreeMap::new();
        for (place, (operation, _)) in operations.iter().enumerate() {
            visit(&operation.request, &mut |what| {
                if let What::Written(value) = what {
                    by_value.entry(value).or_default().push(place);
                }
            });
        }
        let mut shown: BTreeMap<Revision, BTreeMap<&Bytes, Option<&Bytes>>> = BTreeMap::new();
        for response in history.operations().iter().filter_map(Operation::response) {
            key_values(response, &mut |kv| {
                let value = Some(&kv.value).filter(|value| !value.is_empty());
                let known = shown.entry(kv.mod_revision).or_default().entry(&kv.key).or_default();
                *known = known.or(value);
            });
        }
        Gaps { operations, by_value, shown }
    }

    pub(crate) fn operation(&self, place: usize) -> &'h Operation {
        self.operations[place].0
    }

    /// Who may have made a revision, by invocation. A value that is known narrows it down at once.
    pub(crate) fn candidates(
        &self,
        revision: Revision,
        known: Option<&BTreeMap<Bytes, Option<Bytes>>>,
    ) -> Vec<usize> {
        let value = match known {
            Some(known) => known.values().flatten().next(),
            None => self.shown.get(&revision).and_then(|shown| shown.values().flatten().next().copied()),
        };
        let all = match value.and_then(|value| self.by_value.get(value)) {
            Some(places) => places.clone(),
            // Made by INCR or APPEND, or not known at all.
            None => (0..self.operations.len()).collect(),
        };
        all.into_iter().filter(|place| !self.operations[*place].1).collect()
    }

    /// Whether what an operation writes is what is known of the revision.
    pub(crate) fn explains(
        &self,
        revision: Revision,
        known: Option<&BTreeMap<Bytes, Option<Bytes>>>,
        touched: &[Touched],
    ) -> bool {
        let written = |key: &Bytes| touched.iter().find(|touched| touched.key == *key);
        if let Some(known) = known {
            return known.len() == touched.len()
                && known.iter().all(|(key, value)| {
                    written(key).is_some_and(|touched| {
                        touched.cell.as_ref().map(|cell| &cell.value) == value.as_ref()
                    })
                });
        }
        let shown = self.shown.get(&revision);
        shown.into_iter().flatten().all(|(key, value)| {
            let cell = written(key).and_then(|touched| touched.cell.as_ref());
            cell.is_some_and(|cell| value.is_none_or(|value| cell.value == *value))
        })
    }

    /// Notes that an operation is used.
    pub(crate) fn fill(&mut self, place: usize) {
        self.operations[place].1 = true;
    }
}

fn may_have_written(operation: &Operation) -> bool {
    match &operation.outcome {
        Outcome::Unknown => true,
        Outcome::Refused { .. } => false,
        Outcome::Returned { response, .. } => {
            operation.revision().is_none() && !changes_nothing(&operation.request, response)
        }
    }
}

/// Tells each key-value pair in an answer.
fn key_values<'h>(response: &'h Response, tell: &mut dyn FnMut(&'h KeyValue)) {
    match response {
        Response::Range(range) => range.kvs.iter().for_each(tell),
        Response::Put(put) => put.prev_kv.iter().for_each(|kv| tell(kv)),
        Response::DeleteRange(delete) => delete.prev_kvs.iter().for_each(tell),
        Response::Txn(txn) => txn.responses.iter().for_each(|response| op_key_values(response, tell)),
        Response::Reply(_)
        | Response::Exec(_)
        | Response::WatchRevision(_)
        | Response::Compact { .. }
        | Response::Expired { .. }
        | Response::Lease(_)
        | Response::Auth(_)
        | Response::Alarm(_)
        | Response::Done
        | Response::Error(_) => {}
    }
}

fn op_key_values<'h>(response: &'h TxnOpResponse, tell: &mut dyn FnMut(&'h KeyValue)) {
    match response {
        TxnOpResponse::Range(range) => range.kvs.iter().for_each(tell),
        TxnOpResponse::Put(put) => put.prev_kv.iter().for_each(|kv| tell(kv)),
        TxnOpResponse::DeleteRange(delete) => delete.prev_kvs.iter().for_each(tell),
        TxnOpResponse::Txn(txn) => txn.responses.iter().for_each(|response| op_key_values(response, tell)),
    }
}
