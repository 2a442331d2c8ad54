//! Watch: what changes, told as it happens or from an earlier revision on.
//!
//! Nobody pushes. A stream waits until the `hub` has read what is new in the store, then asks it for what has happened
//! since it looked last; the streams of one thread share what the hub has read. A client that does not keep up makes its own
//! stream wait, and nobody else; what it has missed is read from the history, however late. So what waits for a client
//! is bounded by `stream::WAITING_RESPONSES`, and nothing is ever dropped. How many watches there may be, `room` says.

pub(crate) mod hub; // recent changes, read once for all streams
mod room; // how many there may be
mod stream; // one stream with its watches
mod watcher; // one watch

use std::sync::Arc;

use tonic::{Code, Request as Call, Response as Answer, Status, Streaming};

use crate::backend::Backend;
use crate::etcdserverpb as pb;
use crate::etcdserverpb::watch_server::Watch;
use crate::{auth, metadata};
use hub::Hub;
use room::Room;
pub use room::WatchLimits;

/// Watch over a backend.
#[derive(Clone, Debug)]
pub struct WatchService<B> {
    hub: Arc<Hub<B>>,
    room: Arc<Room>,
    /// Longer responses of watches that allow it are split.
    fragment_bytes: usize,
}

impl<B: Backend> WatchService<B> {
    /// A hub for the streams of one thread. Responses that may be split are split at `fragment_bytes`.
    #[must_use]
    pub fn new(backend: B, fragment_bytes: usize, limits: WatchLimits) -> WatchService<B> {
        WatchService { hub: Arc::new(Hub::new(backend)), room: Arc::new(Room::new(limits)), fragment_bytes }
    }
}

impl<B> WatchService<B> {
    /// The hub, for whoever else follows the store.
    pub(crate) fn hub(&self) -> &Arc<Hub<B>> {
        &self.hub
    }
}

#[tonic::async_trait]
impl<B: Backend> Watch for WatchService<B> {
    type WatchStream = stream::Responses;

    async fn watch(
        &self,
        call: Call<Streaming<pb::WatchRequest>>,
    ) -> Result<Answer<Self::WatchStream>, Status> {
        let (metadata, _, requests) = call.into_parts();
        metadata::check_leader(&metadata, self.hub.backend())?;
        let caller = auth::caller(&metadata);
        // What is wrong with a token each watch is told by itself.
        let caller = match auth::user(self.hub.backend(), caller.clone()).await {
            Err(status) if status.code() == Code::Unauthenticated => caller,
            user => user?,
        };
        let wants_leader = metadata::wants_leader(&metadata);
        let (hub, room) = (Arc::clone(&self.hub), Arc::clone(&self.room));
        let responses = stream::Stream::start(hub, room, caller, requests, self.fragment_bytes, wants_leader);
        Ok(Answer::new(responses))
    }
}
