//! A stream of watches: what is asked and done, and what is told in between.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::watch_request::RequestUnion;
use jangada_etcd::mvccpb;
use tokio::sync::mpsc;

use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Response, Status, Streaming};

use super::server::Server;
use super::step::{Step, same_for_all};

/// Nothing more is told when so long nothing was.
const SILENCE: Duration = Duration::from_millis(200);

/// So long is waited for what must come, and where what comes may be large.
const PATIENCE: Duration = Duration::from_secs(2);

/// One thing that happens while a stream is open.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    Create(pb::WatchCreateRequest),
    Cancel(i64),
    Progress,
    /// A request without anything in it.
    Nothing,
    /// From now on all that a watch is told at a time counts as one response: where large ones end is nobody's business.
    Joined,
    Do(Step),
}

/// A stream of responses. etcd opens it with its first response, so that nobody may wait for that before asking.
enum Responses<O> {
    Opening(Pin<Box<O>>),
    Open(Box<Streaming<pb::WatchResponse>>),
    Ended,
}

/// Opens a stream, lets everything happen, and returns all that was told, in order of the watches where it does not
/// matter.
pub(crate) async fn watch(server: &mut Server, moments: &[Moment]) -> Result<String> {
    let (requests, sent) = mpsc::unbounded_channel();
    let mut client = server.watch.clone();
    let call = server.by(UnboundedReceiverStream::new(sent));
    let opening = Box::pin(async move { client.watch(call).await });
    let mut responses = Responses::Opening(opening);
    let mut text = String::new();
    let mut is_joined = false;
    for moment in moments {
        let request_union = match moment.clone() {
            Moment::Create(request) => Some(RequestUnion::CreateRequest(request)),
            Moment::Cancel(watch_id) => {
                Some(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id }))
            }
            Moment::Progress => Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})),
            Moment::Nothing | Moment::Do(_) | Moment::Joined => None,
        };
        match moment {
            Moment::Do(step) => text.push_str(&Box::pin(step.ask(server)).await?),
            Moment::Joined => is_joined = true,
            // If the stream has ended, it has said so.
            _ => drop(requests.send(pb::WatchRequest { request_union })),
        }
        text.push_str(&format!("\nafter {moment:?}\n"));
        // Whoever wants a watch is answered in any case.
        let first = if matches!(moment, Moment::Create(_)) { PATIENCE } else { SILENCE };
        text.push_str(&told(&mut responses, is_joined, first).await);
    }
    Ok(text)
}

/// What is told until there is silence.
async fn told<O>(responses: &mut Responses<O>, is_joined: bool, first: Duration) -> String
where
    O: Future<Output = Result<Response<Streaming<pb::WatchResponse>>, Status>>,
{
    let mut heard: Vec<pb::WatchResponse> = Vec::new();
    let mut end = String::new();
    // What is to be put together is large, and takes its time.
    let (first, next) = if is_joined { (PATIENCE, 3 * SILENCE) } else { (first, SILENCE) };
    let mut patience = if matches!(responses, Responses::Ended) { Duration::ZERO } else { first };
    while let Ok(response) = tokio::time::timeout(patience, responses.next()).await {
        patience = next;
        match response {
            Ok(Some(mut response)) => {
                same_for_all(&mut response.header);
                heard.push(response);
                continue;
            }
            Ok(None) => end = "the stream has ended\n".to_owned(),
            Err(status) => end = format!("{:?}: {}\n", status.code(), status.message()),
        }
        *responses = Responses::Ended;
    }
    // Which watch is told first does not matter.
    heard.sort_by_key(|response| response.watch_id);
    let text: String = together(heard, is_joined).iter().map(Told::text).collect();
    text + &end
}

/// One response, whatever it came in.
struct Told {
    response: pb::WatchResponse,
    in_fragments: bool,
}

/// Puts fragments together, and events of one watch, if they are to be one.
fn together(heard: Vec<pb::WatchResponse>, is_joined: bool) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    for mut response in heard {
        let in_fragments = response.fragment;
        match all.last_mut() {
            Some(last)
                if last.response.watch_id == response.watch_id
                    && (last.response.fragment
                        || (is_joined
                            && !last.response.events.is_empty()
                            && !response.events.is_empty())) =>
            {
                last.response.events.append(&mut response.events);
                last.response.fragment = in_fragments;
                last.response.header = response.header;
            }
            _ => all.push(Told { response, in_fragments }),
        }
    }
    all
}

impl Told {
    fn text(&self) -> String {
        let revision = |event: &mvccpb::Event| event.kv.as_ref().map(|kv| kv.mod_revision);
        let mut events = self.response.events.iter().map(revision);
        let first = events.next();
        // Several revisions can be told one by one as well; of one only fragments can be told.
        let is_one = first.is_some_and(|first| events.all(|other| other == first));
        let how = if self.in_fragments && is_one { "in fragments: " } else { "" };
        format!("{how}{:#?}\n", self.response)
    }
}

impl<O> Responses<O>
where
    O: Future<Output = Result<Response<Streaming<pb::WatchResponse>>, Status>>,
{
    /// The next response; none at the end, and nothing ever after it. May be given up at any time.
    async fn next(&mut self) -> Result<Option<pb::WatchResponse>, Status> {
        if let Responses::Opening(opening) = self {
            *self = Responses::Open(Box::new(opening.await?.into_inner()));
        }
        match self {
            Responses::Open(open) => open.message().await,
            Responses::Opening(_) | Responses::Ended => std::future::pending().await,
        }
    }
}
