//! Whether an answer is the expected one, as far as the expectation goes.
//!
//! The model does not know everything: [`ANY_REVISION`], [`ANY_VERSION`], [`SOME_TIME`] and its `ANY_DEADLINE` in an
//! expected answer stand for what it cannot know.

use jangada_kv::{
    Command, DeleteRangeResponse, KeyValue, PutResponse, RangeResponse, Reply, Request, Response, Revision,
    Txn, TxnOp, TxnOpResponse, TxnResponse,
};

use crate::keys::needs_revisions;
use crate::model::{ANY_REVISION, ANY_VERSION};
use crate::model_strings::SOME_TIME;

/// Whether `given` is a right answer to `request` where `expected` is what the model says.
pub(crate) fn fits(request: &Request, expected: &Response, given: &Response) -> bool {
    match (request, expected, given) {
        (Request::Command(command), Response::Reply(expected), Response::Reply(given)) => {
            reply_fits(command, expected, given)
        }
        (Request::Exec(exec), Response::Exec(Some(expected)), Response::Exec(Some(given))) => {
            expected.len() == given.len()
                && exec.commands.len() == given.len()
                && exec
                    .commands
                    .iter()
                    .zip(expected.iter().zip(given))
                    .all(|(command, (expected, given))| reply_fits(command, expected, given))
        }
        (_, Response::WatchRevision(Some(expected)), Response::WatchRevision(Some(given))) => {
            revision_fits(*expected, *given)
        }
        (_, Response::Range(expected), Response::Range(given)) => range_fits(expected, given),
        (_, Response::Put(expected), Response::Put(given)) => put_fits(expected, given),
        (_, Response::DeleteRange(expected), Response::DeleteRange(given)) => delete_fits(expected, given),
        (Request::Txn(txn), Response::Txn(expected), Response::Txn(given)) => txn_fits(txn, expected, given),
        (_, Response::Compact { .. }, Response::Compact { .. }) => true,
        (Request::Lease(_), _, Response::Lease(_) | Response::Error(_))
        | (Request::Alarm(_), _, Response::Alarm(_)) => true,
        (Request::Auth(_), _, Response::Auth(_) | Response::Error(_)) => true,
        (Request::OnBehalf(asked), expected, given) => fits(&asked.request, expected, given),
        _ => expected == given,
    }
}

fn reply_fits(command: &Command, expected: &Reply, given: &Reply) -> bool {
    match (command, expected, given) {
        (
            Command::Ttl { .. } | Command::Deadline { .. },
            Reply::Integer(SOME_TIME),
            Reply::Integer(given),
        ) => *given >= 0,
        // What a pattern or a page finds is not judged.
        (Command::Keys { .. }, _, Reply::Keys(_)) | (Command::Scan { .. }, _, Reply::Scan { .. }) => true,
        _ => expected == given,
    }
}

fn range_fits(expected: &RangeResponse, given: &RangeResponse) -> bool {
    revision_fits(expected.revision, given.revision)
        && expected.count == given.count
        && expected.more == given.more
        && all_fit(&expected.kvs, &given.kvs)
}

fn put_fits(expected: &PutResponse, given: &PutResponse) -> bool {
    revision_fits(expected.revision, given.revision)
        && match (&expected.prev_kv, &given.prev_kv) {
            (None, None) => true,
            (Some(expected), Some(given)) => key_value_fits(expected, given),
            (None, Some(_)) | (Some(_), None) => false,
        }
}

fn delete_fits(expected: &DeleteRangeResponse, given: &DeleteRangeResponse) -> bool {
    revision_fits(expected.revision, given.revision)
        && expected.deleted == given.deleted
        && all_fit(&expected.prev_kvs, &given.prev_kvs)
}

fn txn_fits(txn: &Txn, expected: &TxnResponse, given: &TxnResponse) -> bool {
    let branch = if expected.succeeded { &txn.success } else { &txn.failure };
    revision_fits(expected.revision, given.revision)
        && expected.succeeded == given.succeeded
        && branch.len() == given.responses.len()
        && branch.iter().zip(expected.responses.iter().zip(&given.responses)).all(
            |(op, (expected, given))| match (op, expected, given) {
                (TxnOp::Range(range), _, TxnOpResponse::Range(_)) if needs_revisions(range) => true,
                (_, TxnOpResponse::Range(expected), TxnOpResponse::Range(given)) => {
                    range_fits(expected, given)
                }
                (_, TxnOpResponse::Put(expected), TxnOpResponse::Put(given)) => put_fits(expected, given),
                (_, TxnOpResponse::DeleteRange(expected), TxnOpResponse::DeleteRange(given)) => {
                    delete_fits(expected, given)
                }
                (TxnOp::Txn(txn), TxnOpResponse::Txn(expected), TxnOpResponse::Txn(given)) => {
                    txn_fits(txn, expected, given)
                }
                _ => false,
            },
        )
}

fn all_fit(expected: &[KeyValue], given: &[KeyValue]) -> bool {
    expected.len() == given.len()
        && expected.iter().zip(given).all(|(expected, given)| key_value_fits(expected, given))
}

fn key_value_fits(expected: &KeyValue, given: &KeyValue) -> bool {
    expected.key == given.key
        && expected.value == given.value
        && (expected.version == ANY_VERSION || expected.version == given.version)
        && revision_fits(expected.create_revision, given.create_revision)
        && revision_fits(expected.mod_revision, given.mod_revision)
        && expected.deadline.is_some() == given.deadline.is_some()
}

fn revision_fits(expected: Revision, given: Revision) -> bool {
    expected == ANY_REVISION || expected == given
}
