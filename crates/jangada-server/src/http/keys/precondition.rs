//! Writes that depend on what a key was: `If-Match` and `If-None-Match`, with the revision that wrote it last.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};

use super::etag;

/// What must be so of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// `If-Match: "7"`: revision 7 wrote it last.
    Is(i64),
    /// `If-Match: *`: it is there.
    Present,
    /// `If-None-Match: *`: it is not there.
    Absent,
    /// `If-None-Match: "7"`: it is not what revision 7 wrote.
    Not(i64),
}

impl Precondition {
    /// # Errors
    /// A sentence, if a header cannot be understood.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Precondition>, &'static str> {
        let value = |name| {
            headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or_default().trim())
        };
        match (value(header::IF_MATCH), value(header::IF_NONE_MATCH)) {
            (None, None) => Ok(None),
            (Some("*"), None) => Ok(Some(Precondition::Present)),
            (None, Some("*")) => Ok(Some(Precondition::Absent)),
            (Some(tag), None) => revision(tag).map(|revision| Some(Precondition::Is(revision))),
            (None, Some(tag)) => revision(tag).map(|revision| Some(Precondition::Not(revision))),
            (Some(_), Some(_)) => Err("either If-Match or If-None-Match, not both"),
        }
    }

    /// Whether a key that this revision wrote last, 0 for none, is as it must be.
    pub(super) fn is_met_by(self, mod_revision: i64) -> bool {
        match self {
            Precondition::Is(revision) => mod_revision == revision,
            Precondition::Present => mod_revision != 0,
            Precondition::Absent => mod_revision == 0,
            Precondition::Not(revision) => mod_revision != revision,
        }
    }

    /// An operation that happens only if this holds of the key; if not, the txn tells how the key is.
    pub(super) fn before(self, key: Bytes, operation: pb::request_op::Request) -> pb::TxnRequest {
        let (result, revision) = match self {
            Precondition::Is(revision) => (CompareResult::Equal, revision),
            Precondition::Present => (CompareResult::NotEqual, 0),
            Precondition::Absent => (CompareResult::Equal, 0),
            Precondition::Not(revision) => (CompareResult::NotEqual, revision),
        };
        let compare = pb::Compare {
            result: result.into(),
            target: CompareTarget::Mod.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::ModRevision(revision)),
            ..pb::Compare::default()
        };
        let look = pb::RangeRequest { key, keys_only: true, ..pb::RangeRequest::default() };
        let op = |request| vec![pb::RequestOp { request: Some(request) }];
        pb::TxnRequest {
            compare: vec![compare],
            success: op(operation),
            failure: op(pb::request_op::Request::RequestRange(look)),
        }
    }
}

fn revision(tag: &str) -> Result<i64, &'static str> {
    let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
    let number = bare.parse().ok().filter(|number| *number > 0);
    number.ok_or("If-Match and If-None-Match take * or a revision in quotes, as ETag tells it")
}

/// The answer to a write whose precondition did not hold: how the key is.
pub(super) fn failed(answer: pb::TxnResponse) -> Response {
    let found = answer.responses.into_iter().next().and_then(|op| op.response);
    let kv = match found {
        Some(pb::response_op::Response::ResponseRange(range)) => range.kvs.into_iter().next(),
        _ => None,
    };
    match kv {
        Some(kv) => {
            let why = format!("revision {} wrote this key last\n", kv.mod_revision);
            (StatusCode::PRECONDITION_FAILED, [(header::ETAG, etag(kv.mod_revision))], why).into_response()
        }
        None => (StatusCode::PRECONDITION_FAILED, "this key is not there\n").into_response(),
    }
}

/// How many keys a txn has deleted that did what it should.
pub(super) fn deleted(answer: &pb::TxnResponse) -> i64 {
    match answer.responses.first().and_then(|op| op.response.as_ref()) {
        Some(pb::response_op::Response::ResponseDeleteRange(delete)) => delete.deleted,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<Option<Precondition>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Precondition::of(&headers)
    }

    #[test]
    fn headers_say_what_must_be_so() {
        assert_eq!(read("if-match", "\"7\""), Ok(Some(Precondition::Is(7))));
        assert_eq!(read("if-match", "7"), Ok(Some(Precondition::Is(7))));
        assert_eq!(read("if-match", "*"), Ok(Some(Precondition::Present)));
        assert_eq!(read("if-none-match", "*"), Ok(Some(Precondition::Absent)));
        assert_eq!(read("if-none-match", "\"7\""), Ok(Some(Precondition::Not(7))));
        assert_eq!(read("accept", "*"), Ok(None));
        for wrong in ["", "\"\"", "0", "-1", "\"7", "W/\"7\"", "\"7\", \"8\""] {
            assert!(read("if-match", wrong).is_err(), "{wrong}");
        }
    }
}
