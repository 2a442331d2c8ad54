//! One stream of watches, which takes requests, follows the store, and says responses in order. Which watch is to be told
//! what, [`jangada_kv::watch`] knows.
//!
//! It has no task of its own: whoever carries its responses away drives it, and one wake-up does for both.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use jangada_kv::watch::{Slice, Told, Watches};
use jangada_kv::{Caller, KeyRange, Revision};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::codegen::tokio_stream;
use tonic::{Status, Streaming};

use crate::backend::Backend;
use crate::etcdserverpb as pb;
use crate::etcdserverpb::watch_request::RequestUnion;
use crate::response;
use crate::watch::hub::{Follower, Hub, NoSlice};
use crate::watch::room::Room;
use crate::watch::watcher::{self, Manner};
use crate::{auth, error, metadata};

/// Responses of a stream that its client has not taken yet; then the stream waits.
pub(crate) const WAITING_RESPONSES: usize = 128;

/// How often watches that want it are told how far the store is, if nothing else is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(600);
/// The watch that a response is not about.
const NO_WATCH: i64 = -1;

type Response = Result<pb::WatchResponse, Status>;

/// What a stream says. The stream goes on while somebody waits for it, and ends when this is dropped.
pub struct Responses {
    /// The stream. None: it has ended.
    stream: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    said: mpsc::Receiver<Response>,
}

impl tokio_stream::Stream for Responses {
    type Item = Response;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Response>> {
        let Responses { stream, said } = self.get_mut();
        if let said @ Poll::Ready(_) = said.poll_recv(context) {
            return said;
        }
        if stream.as_mut().is_some_and(|stream| stream.as_mut().poll(context).is_ready()) {
            *stream = None;
        }
        said.poll_recv(context)
    }
}

/// A stream and its watches.
pub(crate) struct Stream<B> {
    hub: Arc<Hub<B>>,
    room: Arc<Room>,
    /// Who watches.
    caller: Caller,
    /// What the store's users were like when this stream's watches were last looked at.
    auth: u64,
    responses: mpsc::Sender<Response>,
    news: Follower,
    watches: Watches<Manner>,
    next_id: i64,
    /// Progress was asked for, and is told once nobody is behind.
    progress_wanted: u32,
    fragment_bytes: usize,
    wants_leader: bool,
}

/// Why a stream ends.
enum End {
    /// Its client has gone.
    Gone,
    /// The server says so.
    Told(Status),
}

/// What a stream woke up for.
enum Event {
    Request(Option<pb::WatchRequest>),
    Moved,
    Progress,
}

impl<B: Backend> Stream<B> {
    /// A stream, as what it will say.
    pub(crate) fn start(
        hub: Arc<Hub<B>>,
        room: Arc<Room>,
        caller: Caller,
        requests: Streaming<pb::WatchRequest>,
        fragment_bytes: usize,
        wants_leader: bool,
    ) -> Responses {
        let (responses, said) = mpsc::channel(WAITING_RESPONSES);
        let news = hub.follow();
        let now = *news.revisions.borrow();
        let stream = Stream {
            watches: Watches::new(now),
            hub,
            room,
            caller,
            auth: 0,
            responses,
            news,
            next_id: 0,
            progress_wanted: 0,
            fragment_bytes,
            wants_leader,
        };
        Responses { stream: Some(Box::pin(stream.run(requests))), said }
    }

    async fn run(mut self, requests: Streaming<pb::WatchRequest>) {
        if let Err(End::Told(status)) = self.serve(requests).await {
            let _gone = self.responses.send(Err(status)).await;
        }
    }

    async fn serve(&mut self, requests: Streaming<pb::WatchRequest>) -> Result<(), End> {
        let mut requests = Some(requests);
        let mut progress = every(PROGRESS_INTERVAL);
        let backend = self.hub.backend().clone();
        let mut leaderless = std::pin::pin!(metadata::leader_lost(self.wants_leader, &backend));
        tokio::select! {
            () = backend.caught_up() => self.watches = Watches::new(self.revision()),
            status = leaderless.as_mut() => return Err(End::Told(status)),
        }
        loop {
            let busy = self.advance().await?;
            let event = tokio::select! {
                biased;
                request = next_request(&mut requests) => Event::Request(request?),
                () = std::future::ready(()), if busy => continue,
                moved = self.news.revisions.changed() => {
                    moved.map_err(|_| End::Told(error::STOPPED.into()))?;
                    Event::Moved
                }
                _ = progress.tick() => Event::Progress,
                status = leaderless.as_mut() => return Err(End::Told(status)),
            };
            match event {
                Event::Request(Some(request)) => self.on_request(request).await?,
                // The client says no more, but listens on.
                Event::Request(None) => requests = None,
                Event::Moved => {}
                Event::Progress => self.tell_idle_watches().await?,
            }
        }
    }

    async fn on_request(&mut self, request: pb::WatchRequest) -> Result<(), End> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request).await,
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id).await,
            Some(RequestUnion::ProgressRequest(_)) => {
                self.progress_wanted += 1;
                self.tell_wanted_progress().await
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, request: pb::WatchCreateRequest) -> Result<(), End> {
        let start = request.start_revision;
        let chosen = request.watch_id;
        // What this member has acknowledged has happened, even if its own store is yet to see it.
        let now = self.revision().max(self.hub.backend().acknowledged());
        let next = if start == 0 { now.next() } else { Revision(u64::try_from(start).unwrap_or(0)) };
        let created = pb::WatchResponse {
            created: true,
            header: response::header(self.hub.backend(), now),
            ..pb::WatchResponse::default()
        };
        let refused = |reason: &str| pb::WatchResponse {
            watch_id: NO_WATCH,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..created.clone()
        };
        let Some(interest) = watcher::interest(&request) else {
            return self.send(refused("mvcc: watcher range is empty")).await;
        };
        if let Err(status) = self.may_be_told(std::slice::from_ref(&interest.range)).await? {
            return self.send(refused(&as_written(&status))).await;
        }
        if chosen != 0 && self.watches.get(chosen).is_some() {
            return self.send(refused("mvcc: duplicate watch ID provided on the WatchStream")).await;
        }
        let key_bytes = request.key.len() + request.range_end.len();
        let Some(place) = Room::take(&self.room, self.watches.len(), key_bytes) else {
            return self.send(refused(error::TOO_MANY_REQUESTS.text)).await;
        };
        let id = if chosen == 0 { self.free_id() } else { chosen };
        let now = self.revision();
        self.watches.begin(id, interest, next, now, Manner::new(&request, place));
        self.send(pb::WatchResponse { watch_id: id, ..created }).await
    }

    /// The next number that the client has not taken itself.
    fn free_id(&mut self) -> i64 {
        while self.watches.get(self.next_id).is_some() {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    async fn cancel(&mut self, id: i64) -> Result<(), End> {
        if self.watches.end(id).is_none() {
            return Ok(());
        }
        let header = response::header(self.hub.backend(), self.revision());
        self.send(pb::WatchResponse { header, watch_id: id, canceled: true, ..pb::WatchResponse::default() })
            .await
    }

    /// Tells what is to be told next, a slice at the head and a slice behind. True: there is more.
    async fn advance(&mut self) -> Result<bool, End> {
        let now = *self.news.revisions.borrow_and_update();
        // Also where nothing happens to any key: a right that was taken away ends a watch by itself.
        self.look_again(self.hub.backend().auth_stamp()).await?;
        if let Some(from) = self.watches.head_due(now) {
            match self.hub.from(from).await {
                Ok(slice) => {
                    self.look_again(slice.auth).await?;
                    let told = self.watches.tell_head(&slice);
                    self.tell(&slice, told).await?;
                }
                Err(NoSlice::Compacted(_)) => self.watches.fall_behind(now),
                Err(NoSlice::Refused(refusal)) => return Err(End::Told(error::of_refusal(refusal))),
            }
        }
        if let Some(from) = self.watches.behind_due() {
            match self.hub.history(from).await {
                Ok(slice) => {
                    self.look_again(slice.auth).await?;
                    let told = self.watches.tell_behind(&slice);
                    self.tell(&slice, told).await?;
                }
                Err(NoSlice::Compacted(floor)) => self.cancel_compacted(floor).await?,
                Err(NoSlice::Refused(refusal)) => return Err(End::Told(error::of_refusal(refusal))),
            }
        }
        self.tell_wanted_progress().await?;
        Ok(self.watches.behind_due().is_some() || *self.news.revisions.borrow() > self.watches.head())
    }

    /// Sends what watches are told of a slice.
    async fn tell(&self, slice: &Slice, told: Vec<Told<'_>>) -> Result<(), End> {
        for Told { id: watch_id, events } in told {
            let Some(watch) = self.watches.get(watch_id) else { continue };
            let manner = &watch.beside;
            let events = events.into_iter().map(|event| manner.told(event)).collect();
            let header = response::header(self.hub.backend(), slice.through);
            let whole = pb::WatchResponse { header, watch_id, events, ..pb::WatchResponse::default() };
            if manner.fragment {
                for part in fragments(whole, self.fragment_bytes) {
                    self.send(part).await?;
                }
            } else {
                self.send(whole).await?;
            }
        }
        Ok(())
    }

    /// Ends the watches whose client may not be told any more, if users have changed since they were looked at.
    async fn look_again(&mut self, auth: u64) -> Result<(), End> {
        if auth <= self.auth {
            return Ok(());
        }
        self.auth = auth;
        let (ids, ranges): (Vec<_>, Vec<_>) =
            self.watches.iter().map(|(id, watch)| (id, watch.interest.range.clone())).unzip();
        if self.may_be_told(&ranges).await?.is_ok() {
            return Ok(());
        }
        for (id, range) in ids.into_iter().zip(&ranges) {
            if let Err(status) = self.may_be_told(std::slice::from_ref(range)).await? {
                self.watches.end(id);
                self.send(pb::WatchResponse {
                    header: response::header(self.hub.backend(), self.watches.head()),
                    watch_id: id,
                    canceled: true,
                    cancel_reason: as_written(&status),
                    ..pb::WatchResponse::default()
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Whether the client may read these ranges. A member that cannot say ends the stream.
    async fn may_be_told(&self, ranges: &[KeyRange]) -> Result<Result<(), Status>, End> {
        auth::may_be_told(self.hub.backend(), &self.caller, ranges).await.map_err(End::Told)
    }

    /// Ends the watches that want what is forgotten.
    async fn cancel_compacted(&mut self, floor: Revision) -> Result<(), End> {
        for watch_id in self.watches.forgotten(floor) {
            self.watches.end(watch_id);
            self.send(pb::WatchResponse {
                header: response::header(self.hub.backend(), Revision::ZERO),
                watch_id,
                canceled: true,
                compact_revision: response::signed(floor.0),
                ..pb::WatchResponse::default()
            })
            .await?;
        }
        Ok(())
    }

    /// Progress is told once for the whole stream, when it is true of each watch.
    async fn tell_wanted_progress(&mut self) -> Result<(), End> {
        while self.progress_wanted > 0
            && let Some(through) = self.watches.progress()
        {
            self.progress_wanted -= 1;
            self.tell_progress(NO_WATCH, through).await?;
        }
        Ok(())
    }

    async fn tell_idle_watches(&mut self) -> Result<(), End> {
        let head = self.watches.head();
        for id in self.watches.idle(|manner| manner.progress_notify) {
            self.tell_progress(id, head).await?;
        }
        Ok(())
    }

    async fn tell_progress(&self, watch_id: i64, through: Revision) -> Result<(), End> {
        let header = response::header(self.hub.backend(), through);
        self.send(pb::WatchResponse { header, watch_id, ..pb::WatchResponse::default() }).await
    }

    /// Where the store of this member is.
    fn revision(&self) -> Revision {
        self.hub.revision()
    }

    /// Waits while the client has not taken what was sent before.
    async fn send(&self, response: pb::WatchResponse) -> Result<(), End> {
        self.responses.send(Ok(response)).await.map_err(|_| End::Gone)
    }
}

/// The next request of a client; never, if it says no more.
async fn next_request(
    requests: &mut Option<Streaming<pb::WatchRequest>>,
) -> Result<Option<pb::WatchRequest>, End> {
    match requests {
        // A client that breaks off is gone.
        Some(requests) => requests.message().await.map_err(|_| End::Gone),
        None => std::future::pending().await,
    }
}

/// A refusal as Go's gRPC writes it, which is how clients know it inside of a response.
fn as_written(status: &Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}

/// The first time after a whole period.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval.reset();
    interval
}

/// Cuts a response into parts of at most so many bytes, but of one event at least. All but the last say that more
/// of the same follows.
fn fragments(whole: pb::WatchResponse, bytes: usize) -> Vec<pb::WatchResponse> {
    if whole.encoded_len() < bytes || whole.events.len() < 2 {
        return vec![whole];
    }
    let pb::WatchResponse { events, .. } = whole;
    let empty = pb::WatchResponse { events: Vec::new(), fragment: true, ..whole };
    let mut parts = Vec::new();
    let (mut part, mut length) = (empty.clone(), empty.encoded_len());
    for event in events {
        // The event, its tag, and its length.
        let more = event.encoded_len() + 6;
        if !part.events.is_empty() && length + more >= bytes {
            parts.push(std::mem::replace(&mut part, empty.clone()));
            length = empty.encoded_len();
        }
        length += more;
        part.events.push(event);
    }
    parts.push(pb::WatchResponse { fragment: false, ..part });
    parts
}
