//! Election: a queue of candidates, of which the first one leads and says something to all who listen.

use std::sync::Arc;

use jangada_kv::{Caller, KeyValue, Revision};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request as Call, Response as Answer, Status};

use crate::backend::Backend;
use crate::services::queue::{News, Place, Queue, as_of_a_client, lease_or_new, message};
use crate::v3electionpb as pb;
use crate::v3electionpb::election_server::Election;
use crate::watch::hub::Hub;
use crate::{auth, metadata, response};

/// Answers to an observer that it has not taken yet; then it waits.
const WAITING_RESPONSES: usize = 16;

/// Election over a backend.
#[derive(Clone, Debug)]
pub struct ElectionService<B> {
    hub: Arc<Hub<B>>,
}

impl<B> ElectionService<B> {
    pub(crate) fn new(hub: Arc<Hub<B>>) -> ElectionService<B> {
        ElectionService { hub }
    }
}

#[tonic::async_trait]
impl<B: Backend> Election for ElectionService<B> {
    type ObserveStream = ReceiverStream<Result<pb::LeaderResponse, Status>>;

    async fn campaign(
        &self,
        call: Call<pb::CampaignRequest>,
    ) -> Result<Answer<pb::CampaignResponse>, Status> {
        let (caller, wanted) = metadata::admitted(call, self.backend())?;
        self.elected(caller, wanted).await.map(Answer::new).map_err(as_of_a_client)
    }

    async fn proclaim(
        &self,
        call: Call<pb::ProclaimRequest>,
    ) -> Result<Answer<pb::ProclaimResponse>, Status> {
        let (caller, message) = metadata::admitted(call, self.backend())?;
        let pb::ProclaimRequest { leader, value } = message;
        let (queue, place, lease) = self.resumed(&caller, leader)?;
        match queue.put(&place, lease, value.into()).await.map_err(as_of_a_client)? {
            (true, revision) => {
                Ok(Answer::new(pb::ProclaimResponse { header: response::header(self.backend(), revision) }))
            }
            (false, _) => Err(not_leader()),
        }
    }

    async fn leader(&self, call: Call<pb::LeaderRequest>) -> Result<Answer<pb::LeaderResponse>, Status> {
        let (caller, message) = metadata::admitted(call, self.backend())?;
        let (revision, front) =
            Queue::of(&self.hub, &caller, &message.name).front().await.map_err(as_of_a_client)?;
        match front {
            Some(kv) => Ok(Answer::new(self.told(revision, kv))),
            None => Err(Status::unknown("election: no leader")),
        }
    }

    async fn observe(&self, call: Call<pb::LeaderRequest>) -> Result<Answer<Self::ObserveStream>, Status> {
        let wants_leader = metadata::wants_leader(call.metadata());
        let (caller, message) = metadata::admitted(call, self.backend())?;
        let caller = auth::user(self.backend(), caller).await?;
        let (responses, arriving) = mpsc::channel(WAITING_RESPONSES);
        let service = self.clone();
        tokio::spawn(async move {
            let observing = service.observed(Queue::of(&service.hub, &caller, &message.name), &responses);
            let ended = tokio::select! {
                ended = observing => ended,
                status = metadata::leader_lost(wants_leader, service.backend()) => Err(status),
                () = responses.closed() => return,
            };
            if let Err(status) = ended {
                let _gone = responses.send(Err(as_of_a_client(status))).await;
            }
        });
        Ok(Answer::new(ReceiverStream::new(arriving)))
    }

    async fn resign(&self, call: Call<pb::ResignRequest>) -> Result<Answer<pb::ResignResponse>, Status> {
        let (caller, message) = metadata::admitted(call, self.backend())?;
        let (queue, place, _) = self.resumed(&caller, message.leader)?;
        // Whoever does not lead any more has resigned already.
        let (_, revision) = queue.leave(&place).await.map_err(as_of_a_client)?;
        Ok(Answer::new(pb::ResignResponse { header: response::header(self.backend(), revision) }))
    }
}

type Observer = mpsc::Sender<Result<pb::LeaderResponse, Status>>;

impl<B: Backend> ElectionService<B> {
    fn backend(&self) -> &B {
        self.hub.backend()
    }

    async fn elected(
        &self,
        caller: Caller,
        wanted: pb::CampaignRequest,
    ) -> Result<pb::CampaignResponse, Status> {
        let pb::CampaignRequest { name, lease, value } = wanted;
        // It may wait for longer than a token lasts.
        let caller = auth::user(self.backend(), caller).await?;
        let lease = lease_or_new(self.backend(), &caller, lease).await?;
        let joined = Queue::of(&self.hub, &caller, &name).join(lease, value.clone().into()).await?;
        if joined.found.is_some_and(|found| found != value) {
            // Who campaigns again may say something else.
            if !joined.held.put(lease, value.into()).await? {
                return Err(not_leader());
            }
        }
        let place = joined.held.wait().await?.ok_or_else(not_leader)?;
        let (key, rev) = (place.key.into(), response::signed(place.created.0));
        Ok(pb::CampaignResponse {
            header: response::header(self.backend(), joined.revision),
            leader: Some(pb::LeaderKey { name, key, rev, lease }),
        })
    }

    /// The leadership that a caller says it has.
    fn resumed(
        &self,
        caller: &Caller,
        leader: Option<pb::LeaderKey>,
    ) -> Result<(Queue<B>, Place, i64), Status> {
        let leader = leader.ok_or_else(|| Status::unknown("\"leader\" field must be provided"))?;
        // No key was created in a revision that does not exist.
        let created = Revision(u64::try_from(leader.rev).unwrap_or(u64::MAX));
        let queue = Queue::of(&self.hub, caller, &leader.name);
        Ok((queue, Place { key: leader.key.into(), created }, leader.lease))
    }

    fn told(&self, revision: Revision, kv: KeyValue) -> pb::LeaderResponse {
        pb::LeaderResponse { header: response::header(self.backend(), revision), kv: message(kv) }
    }

    /// Tells each leader and what it says, for as long as somebody listens.
    async fn observed(&self, queue: Queue<B>, observer: &Observer) -> Result<(), Status> {
        let mut last = None;
        loop {
            let (revision, front) = queue.front().await?;
            let mut news = queue.follow(revision);
            let Some(leader) = front else {
                candidate(&queue, &mut news).await?;
                continue;
            };
            let key = leader.key.clone();
            // After a gap in the history the leader may be the one that was told already.
            if last != Some(leader.mod_revision) {
                last = Some(leader.mod_revision);
                self.tell(observer, revision, leader).await;
            }
            while let Some(slice) = news.next().await? {
                let its_own = slice.events.iter().filter(|event| event.kv.key == key);
                let said = its_own.take_while(|event| !event.is_delete);
                for event in said {
                    last = Some(event.kv.mod_revision);
                    self.tell(observer, slice.through, event.kv.clone()).await;
                }
                let is_over = slice.events.iter().any(|event| event.kv.key == key && event.is_delete);
                if is_over {
                    // Whoever comes after is found at the front.
                    break;
                }
            }
        }
    }

    async fn tell(&self, observer: &Observer, revision: Revision, kv: KeyValue) {
        // Its end is waited for elsewhere.
        let _gone = observer.send(Ok(self.told(revision, kv))).await;
    }
}

/// Waits until somebody joins a queue that was empty, or until it cannot be told any more whether somebody did.
async fn candidate<B: Backend>(queue: &Queue<B>, news: &mut News<B>) -> Result<(), Status> {
    while let Some(slice) = news.next().await? {
        if slice.events.iter().any(|event| !event.is_delete && queue.contains(&event.kv.key)) {
            return Ok(());
        }
    }
    Ok(())
}

fn not_leader() -> Status {
    Status::unknown("election: not leader")
}
