//! Linearizability by brute force: all orders of all operations, each tried on the real store.

use jangada_kv::{
    DeleteRangeResponse, KeyValue, Millis, PutResponse, RangeResponse, Response, Revision, Store,
    TxnOpResponse, TxnResponse,
};
use jangada_trace::history::{History, Operation, Outcome};

/// Whether some order explains all answers. Revisions are not looked at.
pub(crate) fn is_linearizable(history: &History) -> bool {
    let candidates: Vec<&Operation> = history
        .operations()
        .iter()
        .filter(|operation| !matches!(operation.outcome, Outcome::Refused { .. }))
        .collect();
    extend(&candidates, &mut Vec::new())
}

fn extend(candidates: &[&Operation], order: &mut Vec<usize>) -> bool {
    let is_answered = |id: &usize| candidates[*id].outcome != Outcome::Unknown;
    let rest: Vec<usize> = (0..candidates.len()).filter(|id| !order.contains(id)).collect();
    if !rest.iter().any(is_answered) {
        return true;
    }
    for next in &rest {
        let must_come_first = |other: &usize| {
            let ended = candidates[*other].outcome.at();
            other != next && ended.is_some_and(|ended| ended < candidates[*next].invoked)
        };
        if rest.iter().any(must_come_first) {
            continue;
        }
        order.push(*next);
        if explains(candidates, order) && extend(candidates, order) {
            return true;
        }
        order.pop();
    }
    false
}

/// Whether the last of these operations, done in this order, gives the answer that was given.
fn explains(candidates: &[&Operation], order: &[usize]) -> bool {
    let mut store = Store::new();
    let mut last = None;
    for id in order {
        last = Some(store.apply(Millis(1), &candidates[*id].request));
    }
    let id = *order.last().expect("an operation was added");
    let given = candidates[id].response();
    given.is_none_or(|given| Some(without_revisions(given)) == last.as_ref().map(without_revisions))
}

/// The same answer, with each revision zero.
pub(crate) fn without_revisions(response: &Response) -> Response {
    match response {
        Response::Range(range) => Response::Range(in_range(range)),
        Response::Put(put) => Response::Put(in_put(put)),
        Response::DeleteRange(delete) => Response::DeleteRange(in_delete(delete)),
        Response::Txn(txn) => Response::Txn(in_txn(txn)),
        other => other.clone(),
    }
}

fn in_range(range: &RangeResponse) -> RangeResponse {
    let kvs = range.kvs.iter().map(in_key_value).collect();
    RangeResponse { revision: Revision::ZERO, kvs, ..range.clone() }
}

fn in_put(put: &PutResponse) -> PutResponse {
    let prev_kv = put.prev_kv.as_ref().map(|kv| Box::new(in_key_value(kv)));
    PutResponse { revision: Revision::ZERO, prev_kv }
}

fn in_delete(delete: &DeleteRangeResponse) -> DeleteRangeResponse {
    let prev_kvs = delete.prev_kvs.iter().map(in_key_value).collect();
    DeleteRangeResponse { revision: Revision::ZERO, prev_kvs, ..delete.clone() }
}

fn in_txn(txn: &TxnResponse) -> TxnResponse {
    let responses = txn
        .responses
        .iter()
        .map(|response| match response {
            TxnOpResponse::Range(range) => TxnOpResponse::Range(in_range(range)),
            TxnOpResponse::Put(put) => TxnOpResponse::Put(in_put(put)),
            TxnOpResponse::DeleteRange(delete) => TxnOpResponse::DeleteRange(in_delete(delete)),
            TxnOpResponse::Txn(txn) => TxnOpResponse::Txn(in_txn(txn)),
        })
        .collect();
    TxnResponse { revision: Revision::ZERO, responses, ..txn.clone() }
}

fn in_key_value(kv: &KeyValue) -> KeyValue {
    KeyValue { create_revision: Revision::ZERO, mod_revision: Revision::ZERO, ..kv.clone() }
}
