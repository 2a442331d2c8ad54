//! A stream of watches: what is asked and done, and what is told in between.

use std::time::Duration;

use anyhow::{Context, Result};
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::watch_request::RequestUnion;
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;

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

/// Opens a stream, lets everything happen, and returns all that was told, in order of the watches where it does not
/// matter.
pub(crate) async fn watch(server: &mut Server, moments: &[Moment]) -> Result<String> {
    let (requests, sent) = mpsc::unbounded_channel();
    let opened = server.watch.watch(UnboundedReceiverStream::new(sent)).await;
    let mut responses = match opened {
        Ok(opened) => opened.into_inner(),
        Err(status) => return Ok(format!("{:?}: {}", status.code(), status.message())),
    };
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
            requests.send(pb::WatchRequest { request_union: Some(ask) }).context("the stream has ended")?;
        }
        text.push_str(&format!("\nafter {moment:?}\n"));
        text.push_str(&told(&mut responses).await);
    }
    Ok(text)
}

/// What is told until there is silence.
async fn told(responses: &mut Streaming<pb::WatchResponse>) -> String {
    let mut heard = Vec::new();
    while let Ok(response) = tokio::time::timeout(SILENCE, responses.message()).await {
        match response {
            Ok(Some(mut response)) => {
                same_for_all(&mut response.header);
                heard.push((response.watch_id, format!("{response:#?}\n")));
            }
            Ok(None) => {
                heard.push((i64::MAX, "the stream has ended\n".to_owned()));
                break;
            }
            Err(status) => {
                heard.push((i64::MAX, format!("{:?}: {}\n", status.code(), status.message())));
                break;
            }
        }
    }
    heard.sort_by_key(|(watch, _)| *watch);
    heard.into_iter().map(|(_, text)| text).collect()
}
