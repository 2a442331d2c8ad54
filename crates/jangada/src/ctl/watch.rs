//! watch: changes as they happen. When the member that tells them is lost, another one goes on with the next revision, so
//! that nothing is missed and nothing told twice.

use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::Duration;

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::watch_client::WatchClient;
use jangada_etcd::etcdserverpb::watch_request::RequestUnion;
use jangada_etcd::mvccpb;
use jangada_etcd::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use super::Ctl;
use super::cluster::{Link, words};
use super::grammar;
use super::keys::span;
use super::print::{Answer, Format, add_line, add_text};
use super::tree::{Tree, header, key_value, with_header};
use crate::failure::{Exit, Failure};
use crate::output;

/// A stream that is silent this long is asked whether anybody is there, and after as long again given up.
const SILENCE: Duration = Duration::from_secs(3);
/// Back-off between two attempts to find somebody: nobody says when a leader is there again.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a stream ended.
enum End {
    /// Enough was heard.
    Done,
    /// The member is gone, or has lost the others.
    Lost(String),
    /// It will not be told.
    Refused(Failure),
}

/// What is heard, and how far it has come.
struct Watching<'a> {
    asked: &'a grammar::Watch,
    request: pb::WatchCreateRequest,
    format: Format,
    events: u64,
}

impl Ctl {
    /// Tells changes until it is stopped.
    pub async fn watch(&mut self, asked: &grammar::Watch) -> Result<(), Failure> {
        let (key, range_end) = span(&asked.key, asked.range_end.as_ref(), asked.prefix, asked.from_key)?;
        let request = pb::WatchCreateRequest {
            key,
            range_end,
            start_revision: asked.rev,
            prev_kv: asked.prev_kv,
            progress_notify: asked.progress_notify,
            ..pb::WatchCreateRequest::default()
        };
        let mut watching = Watching { asked, request, format: self.format, events: 0 };
        // Whoever cannot be found at the start is told at once; later a watch waits as long as it must.
        let mut link = self.cluster.link().await?;
        // What was told last, and of which revision: who knows no leader says so again and again.
        let mut told = None;
        loop {
            let ended = match self.open(&link, &watching.request).await {
                Ok((asking, told)) => watching.listen(asking, told).await,
                Err(status) => End::Lost(words(&status)),
            };
            let why = match ended {
                End::Done => return Ok(()),
                End::Refused(failure) => return Err(failure),
                End::Lost(why) => why,
            };
            let address = link.address;
            let from = match watching.request.start_revision {
                0 => "now on".to_owned(),
                revision => format!("revision {revision} on"),
            };
            self.cluster.leave();
            link = loop {
                tokio::time::sleep(PAUSE).await;
                match self.cluster.link().await {
                    Ok(link) => break link,
                    Err(failure) if failure.exit == Exit::Unreachable as u8 => output::note(&failure.message),
                    Err(failure) => return Err(failure),
                }
            };
            let loss = Some((why, from));
            if loss != told
                && let Some((why, from)) = &loss
            {
                output::note(&format!("{address}: {why}; {} tells from {from}", link.address));
            }
            told = loss;
        }
    }

    async fn open(
        &self,
        link: &Link,
        create: &pb::WatchCreateRequest,
    ) -> Result<(mpsc::Sender<pb::WatchRequest>, tonic::Streaming<pb::WatchResponse>), Status> {
        let (asking, asked) = mpsc::channel(1);
        let create = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create.clone())) };
        asking.try_send(create).expect("the first request finds room");
        let mut request = self.cluster.request(ReceiverStream::new(asked));
        // A member that has lost the others would tell nothing more, and not say so.
        request.metadata_mut().insert("hasleader", "true".parse().expect("it is text"));
        let mut client = WatchClient::new(link.channel.clone()).max_decoding_message_size(usize::MAX);
        Ok((asking, client.watch(request).await?.into_inner()))
    }
}

impl Watching<'_> {
    async fn listen(
        &mut self,
        asking: mpsc::Sender<pb::WatchRequest>,
        mut told: tonic::Streaming<pb::WatchResponse>,
    ) -> End {
        let mut is_asked = false;
        loop {
            let message = match tokio::time::timeout(SILENCE, told.message()).await {
                Ok(message) => message,
                Err(_silence) if is_asked => return End::Lost("silent".to_owned()),
                Err(_silence) => {
                    is_asked = true;
                    let progress = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
                    let progress = pb::WatchRequest { request_union: Some(progress) };
                    if asking.try_send(progress).is_err() {
                        return End::Lost("connection lost".to_owned());
                    }
                    continue;
                }
            };
            is_asked = false;
            let ended = match message {
                Ok(Some(response)) => self.hear(&response),
                Ok(None) => Some(End::Lost("the stream has ended".to_owned())),
                Err(status) => Some(End::Lost(words(&status))),
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    fn hear(&mut self, response: &pb::WatchResponse) -> Option<End> {
        if response.canceled {
            return Some(End::Refused(self.refusal(response)));
        }
        let revision = response.header.map_or(0, |header| header.revision);
        if let Err(failure) = self.tell(response) {
            return Some(End::Refused(failure));
        }
        let next = &mut self.request.start_revision;
        match response.events.last().and_then(|event| event.kv.as_ref()) {
            Some(last) => *next = last.mod_revision + 1,
            // A watch that begins now begins behind this revision, and progress is told of what was told.
            None if response.created && *next != 0 => {}
            None => *next = (*next).max(revision + 1),
        }
        let enough = self.asked.events.is_some_and(|enough| self.events >= enough);
        enough.then_some(End::Done)
    }

    fn refusal(&self, response: &pb::WatchResponse) -> Failure {
        match response.compact_revision {
            0 => Failure::refused(format!("the watch was refused: {}", response.cancel_reason)),
            compacted => Failure::refused(format!(
                "what happened from revision {} on cannot be told: the history before revision {compacted} has been \
                 compacted; read the keys, and watch from there",
                self.request.start_revision
            )),
        }
    }

    fn tell(&mut self, response: &pb::WatchResponse) -> Result<(), Failure> {
        let is_progress = response.events.is_empty() && !response.created && response.watch_id >= 0;
        if is_progress && self.asked.progress_notify {
            let revision = response.header.map_or(0, |header| header.revision);
            let told = whole(self.format, response, &[]);
            self.format.print(&Answer::lines(told, format!("progress notify: {revision}\n")))?;
        }
        let left = self.asked.events.map_or(usize::MAX, |enough| {
            usize::try_from(enough.saturating_sub(self.events)).unwrap_or(usize::MAX)
        });
        let events = &response.events[..response.events.len().min(left)];
        let is_whole = matches!(self.format, Format::Json | Format::Fields);
        if is_whole && !events.is_empty() {
            self.format.print(&Answer::lines(whole(self.format, response, events), ""))?;
        }
        for event in events {
            self.events += 1;
            if !is_whole {
                self.format.print(&event_answer(event))?;
            }
            if !self.asked.command.is_empty() {
                run(&self.asked.command, event)?;
            }
        }
        Ok(())
    }
}

/// What was told at once, as etcdctl prints it.
fn whole(format: Format, response: &pb::WatchResponse, events: &[mvccpb::Event]) -> Tree {
    let told = Tree::List(events.iter().map(event_tree).collect());
    if format == Format::Fields {
        return with_header(&response.header, vec![("events", told)]);
    }
    let shown = |part: Tree| Tree::Shown(Box::new(part));
    Tree::Object(vec![
        ("Header", header(&response.header)),
        ("Events", shown(told)),
        ("CompactRevision", shown(response.compact_revision.into())),
        ("Canceled", Tree::Answer(response.canceled)),
        ("Created", Tree::Answer(response.created)),
    ])
}

fn kind(event: &mvccpb::Event) -> &'static str {
    if event.r#type() == EventType::Delete { "DELETE" } else { "PUT" }
}

fn event_tree(event: &mvccpb::Event) -> Tree {
    let mut parts = vec![("type", Tree::Kind(event.r#type, kind(event)))];
    if let Some(previous) = &event.prev_kv {
        parts.push(("prev_kv", key_value(previous)));
    }
    parts.push(("kv", key_value(&event.kv.clone().unwrap_or_default())));
    Tree::Object(parts)
}

fn event_answer(event: &mvccpb::Event) -> Answer {
    let kv = event.kv.clone().unwrap_or_default();
    let mut simple = Vec::new();
    add_text(kind(event), &mut simple);
    if let Some(previous) = &event.prev_kv {
        add_line(&previous.key, &mut simple);
        add_line(&previous.value, &mut simple);
    }
    add_line(&kv.key, &mut simple);
    add_line(&kv.value, &mut simple);
    Answer { raw: Some(kv.value.to_vec()), ..Answer::lines(event_tree(event), simple) }
}

/// Runs the command of a watch for one event, and goes on whatever becomes of it.
fn run(command: &[std::ffi::OsString], event: &mvccpb::Event) -> Result<(), Failure> {
    let kv = event.kv.clone().unwrap_or_default();
    let (program, arguments) = command.split_first().expect("there is a command");
    let mut command = Command::new(program);
    command.args(arguments);
    command.env("ETCD_WATCH_REVISION", kv.mod_revision.to_string());
    command.env("ETCD_WATCH_EVENT_TYPE", kind(event));
    // What is no text in an environment is left out.
    for (name, value) in [("ETCD_WATCH_KEY", &kv.key), ("ETCD_WATCH_VALUE", &kv.value)] {
        if !value.contains(&0) {
            command.env(name, std::ffi::OsStr::from_bytes(value));
        }
    }
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            output::note(&format!("{}: {status}", program.display()));
            Ok(())
        }
        Err(error) => Err(Failure::usage(format!("{} cannot be run: {error}", program.display()))),
    }
}
