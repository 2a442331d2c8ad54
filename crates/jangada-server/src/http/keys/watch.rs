//! What happens to keys, as server-sent events.
//!
//! ```text
//! event: put
//! id: 7
//! data: {"key":"colour","mod_revision":7,"value":"green"}
//! ```
//!
//! The number is the revision. A client that comes back with the last one in `Last-Event-ID` goes on behind it. Of
//! several changes in one revision only the last has the number: who breaks off among them is told all of them again.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use jangada_etcd::error;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::watch_client::WatchClient;
use jangada_etcd::etcdserverpb::watch_request::RequestUnion;
use jangada_etcd::mvccpb::Event as Change;
use jangada_etcd::mvccpb::event::EventType;
use serde_json::{Map, Value, json};
use tonic::Status;

use super::{Asked, Door, call, entry};

/// A line that says nothing comes so often, so that who is between does not think the connection idle.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Begins to tell.
pub(super) async fn start(door: &Door, asked: Asked, headers: &HeaderMap) -> Result<Response, Status> {
    let range = asked.range();
    let create = pb::WatchCreateRequest {
        key: range.key,
        range_end: range.range_end,
        start_revision: start_revision(&asked, headers)?,
        ..pb::WatchCreateRequest::default()
    };
    let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // One request, and no end of them: who ends the stream of requests only says no more.
    let requests = stream::iter([request]);
    let mut client = WatchClient::new(door.services.clone()).max_decoding_message_size(usize::MAX);
    let mut responses = client.watch(call(headers, requests)).await?.into_inner();
    // Whether it begins at all is told first: a refusal is a status of HTTP, as with all other requests.
    let first = responses.next().await;
    if let Some(Ok(refused)) = &first
        && refused.created
        && refused.canceled
        && let Some(status) = refusal(&refused.cancel_reason)
    {
        return Err(status);
    }
    let events = stream::iter(first).chain(responses).flat_map(|response| stream::iter(events(response)));
    Ok(Sse::new(ended_by_an_error(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Where to begin; 0 is now.
fn start_revision(asked: &Asked, headers: &HeaderMap) -> Result<i64, Status> {
    let Some(last) = headers.get("last-event-id") else { return Ok(asked.options.revision) };
    let last = last.to_str().ok().and_then(|last| last.parse::<i64>().ok()).filter(|last| *last >= 0);
    let last = last.ok_or_else(|| Status::invalid_argument("Last-Event-ID is no revision"))?;
    Ok(last.saturating_add(1))
}

/// Why its user may not watch, if that is the reason.
fn refusal(reason: &str) -> Option<Status> {
    let refusals = [error::PERMISSION_DENIED, error::USER_EMPTY, error::INVALID_AUTH_TOKEN];
    refusals.into_iter().find(|refusal| reason.contains(refusal.text)).map(Status::from)
}

/// What a response tells, or the sentence with which it ends.
fn events(response: Result<pb::WatchResponse, Status>) -> Vec<Result<Event, String>> {
    let response = match response {
        Ok(response) => response,
        Err(status) => return vec![Err(status.message().to_owned())],
    };
    if response.canceled {
        return vec![Err(why_canceled(&response))];
    }
    let revision = |event: &Change| event.kv.as_ref().map(|kv| kv.mod_revision);
    let changes = &response.events;
    let last_of_revision =
        |at: usize| changes.get(at + 1).is_none_or(|next| revision(next) != revision(&changes[at]));
    changes.iter().enumerate().map(|(at, change)| Ok(told(change, last_of_revision(at)))).collect()
}

fn why_canceled(response: &pb::WatchResponse) -> String {
    match (response.compact_revision, response.cancel_reason.as_str()) {
        (0, "") => "the watch was ended".to_owned(),
        (0, reason) => reason.to_owned(),
        (floor, _) => {
            format!("what happened before revision {floor} is compacted; read, and watch from there on")
        }
    }
}

fn told(change: &Change, numbered: bool) -> Event {
    let Some(kv) = &change.kv else { return Event::default().comment("an event without a key") };
    let mut data = Map::new();
    entry::bytes(&mut data, "key", &kv.key);
    let kind = match change.r#type() {
        EventType::Put => {
            entry::bytes(&mut data, "value", &kv.value);
            "put"
        }
        EventType::Delete => "delete",
    };
    data.insert("mod_revision".to_owned(), json!(kv.mod_revision));
    let event = Event::default().event(kind).data(Value::Object(data).to_string());
    if numbered { event.id(kv.mod_revision.to_string()) } else { event }
}

/// The events up to the first error, which is an event of its own and the last. Nothing is waited for behind it: a
/// stream of etcd's API outlives the watches on it.
fn ended_by_an_error(
    events: impl Stream<Item = Result<Event, String>> + Send,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    stream::unfold(Some(Box::pin(events)), async |events| {
        let mut events = events?;
        Some(match events.next().await? {
            Ok(event) => (Ok(event), Some(events)),
            Err(why) => {
                let last = Event::default().event("error").data(json!({ "error": why }).to_string());
                (Ok(last), None)
            }
        })
    })
}
