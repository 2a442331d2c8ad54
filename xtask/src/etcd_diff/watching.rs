//! A stream of watches: what is asked and done, and what is told in between.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::watch_request::RequestUnion;
use tokio::sync::mpsc;

use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Response, Status, Streaming};

use super::server::Server;
use super::step::{Step, same_for_all};

/// Nothing more is told when so long nothing was.
const SILENCE: Duration = Duration::from_millis(150);

/// One thing that happens while a stream is open.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    Create(pb::WatchCreateRequest),
    Cancel(i64),
    Progress,
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
    for moment in moments {
        let ask = match moment.clone() {
            Moment::Create(request) => Some(RequestUnion::CreateRequest(request)),
            Moment::Cancel(watch_id) => {
                Some(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id }))
            }
            Moment::Progress => Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})),
            Moment::Do(step) => {
                text.push_str(&Box::pin(step.ask(server)).await?);
                None
            }
        };
        if let Some(ask) = ask {
            // If the stream has ended, it has said so.
            let _ended = requests.send(pb::WatchRequest { request_union: Some(ask) });
        }
        text.push_str(&format!("\nafter {moment:?}\n"));
        text.push_str(&told(&mut responses).await);
    }
    Ok(text)
}

/// What is told until there is silence.
async fn told<O>(responses: &mut Responses<O>) -> String
where
    O: Future<Output = Result<Response<Streaming<pb::WatchResponse>>, Status>>,
{
    let mut heard = Vec::new();
    while let Ok(response) = tokio::time::timeout(SILENCE, responses.next()).await {
        match response {
            Ok(Some(mut response)) => {
                same_for_all(&mut response.header);
                heard.push((response.watch_id, format!("{response:#?}\n")));
                continue;
            }
            Ok(None) => heard.push((i64::MAX, "the stream has ended\n".to_owned())),
            Err(status) => heard.push((i64::MAX, format!("{:?}: {}\n", status.code(), status.message()))),
        }
        *responses = Responses::Ended;
    }
    heard.sort_by_key(|(watch, _)| *watch);
    heard.into_iter().map(|(_, text)| text).collect()
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
