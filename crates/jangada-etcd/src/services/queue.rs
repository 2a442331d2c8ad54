//! Queues of clients: what locks and elections have in common.
//!
//! A queue is the keys under `name/`; each key is named after its holder's lease and is under that lease. Whoever's key
//! was created first is at the front. That is etcd's layout, so that clients that make locks of leases, transactions and
//! watches themselves, as etcdctl does, stand in the same queues.
//!
//! A key's creation revision is its place, and more: of two holders of the same lock the later one has the larger number.

use std::sync::Arc;

use bytes::Bytes;
use jangada_kv::watch::Slice;
use jangada_kv::{
    Caller, Compare, CompareOperator, CompareTarget, DeleteRange, KeyRange, KeyValue, LeaseId, Put,
    RangeRequest, RangeResponse, Request, Response, Revision, SortOrder, SortTarget, Txn, TxnOp,
    TxnOpResponse, TxnResponse,
};
use tonic::{Code, Status};

use crate::backend::{Backend, Freshness};
use crate::services::lease;
use crate::watch::hub::{Follower, Hub, NoSlice};
use crate::{auth, error, response};

/// How long a lease lives, in seconds, that a caller leaves to the server.
const LEASE_SECONDS: i64 = 60;

/// The queue of one name.
#[derive(Clone, Debug)]
pub(crate) struct Queue<B> {
    hub: Arc<Hub<B>>,
    /// On whose behalf everything here is done.
    caller: Caller,
    prefix: Vec<u8>,
}

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) key: Bytes,
    /// The revision that created the key.
    pub(crate) created: Revision,
}

/// What came of joining a queue.
pub(crate) struct Joined<B: Backend> {
    pub(crate) held: Held<B>,
    /// The store's revision then.
    pub(crate) revision: Revision,
    /// What the place holds, if the caller had it already.
    pub(crate) found: Option<Bytes>,
}

impl<B: Backend> Queue<B> {
    pub(crate) fn of(hub: &Arc<Hub<B>>, caller: &Caller, name: &[u8]) -> Queue<B> {
        Queue { hub: Arc::clone(hub), caller: caller.clone(), prefix: [name, b"/"].concat() }
    }

    fn backend(&self) -> &B {
        self.hub.backend()
    }

    /// The key of a lease in this queue: its name in hexadecimal digits, as etcd's clients write it.
    fn key(&self, lease: i64) -> Bytes {
        let sign = if lease < 0 { "-" } else { "" };
        let name = format!("{sign}{:x}", lease.unsigned_abs());
        Bytes::from([&self.prefix, name.as_bytes()].concat())
    }

    fn keys(&self) -> KeyRange {
        let mut end = self.prefix.clone();
        // The slash at its end has a next byte.
        *end.last_mut().expect("a prefix ends with a slash") += 1;
        KeyRange::Span { from: Bytes::from(self.prefix.clone()), to: Bytes::from(end) }
    }

    /// Takes a place, or finds the one that the lease has already. What is found there stays.
    ///
    /// It has a task of its own: who goes away while the place is written gives it up as soon as it is there.
    pub(crate) async fn join(self, lease: i64, value: Bytes) -> Result<Joined<B>, Status> {
        let joining = tokio::spawn(self.take_or_find(lease, value));
        joining.await.map_err(|ended| Status::internal(format!("joining a queue: {ended}")))?
    }

    async fn take_or_find(self, lease: i64, value: Bytes) -> Result<Joined<B>, Status> {
        let key = self.key(lease);
        let put = Put { lease: Some(LeaseId(lease)), ..Put::new(key.clone(), value) };
        let own = RangeRequest::new(KeyRange::One(key.clone()));
        let front = first_of(self.keys(), SortOrder::Ascend);
        let txn = Txn {
            compare: vec![created(&key, Revision::ZERO)],
            success: vec![TxnOp::Put(put)],
            failure: vec![TxnOp::Range(own), TxnOp::Range(front)],
        };
        let answer = self.write(txn).await?;
        let revision = answer.revision;
        if answer.succeeded {
            let place = Place { key, created: revision };
            return Ok(Joined {
                held: Held { queue: self, place, turn: Turn::OfNew },
                revision,
                found: None,
            });
        }
        let mut read = ranges(answer).map(|range| range.kvs.into_iter().next());
        let (own, front) = (read.next().flatten(), read.next().flatten());
        let own = own.ok_or_else(|| Status::internal("a key that was created is not there"))?;
        let turn = if front.is_some_and(|front| front.key == key) { Turn::Come } else { Turn::OfFound };
        let place = Place { key, created: own.create_revision };
        Ok(Joined { held: Held { queue: self, place, turn }, revision, found: Some(own.value) })
    }

    /// Waits until nobody stands before `place`. False: the place itself is lost, its lease has ended.
    pub(crate) async fn wait(&self, place: &Place) -> Result<bool, Status> {
        let before = RangeRequest {
            max_create_revision: Some(Revision(place.created.0 - 1)),
            ..first_of(self.keys(), SortOrder::Descend)
        };
        let own = RangeRequest::new(KeyRange::One(place.key.clone()));
        let txn = Txn { success: vec![TxnOp::Range(own), TxnOp::Range(before)], ..Txn::default() };
        loop {
            let answer = txn_response(self.read(Request::Txn(txn.clone())).await?)?;
            let revision = answer.revision;
            let mut found = ranges(answer).map(|range| range.kvs.into_iter().next());
            let (own, before) = (found.next().flatten(), found.next().flatten());
            if own.is_none_or(|own| own.create_revision != place.created) {
                return Ok(false);
            }
            let Some(before) = before else { return Ok(true) };
            // Either of the two may go first.
            let mut news = self.follow(revision);
            while let Some(slice) = news.next().await? {
                let gone = |key: &Bytes| slice.events.iter().any(|e| e.is_delete && e.kv.key == *key);
                if gone(&before.key) || gone(&place.key) {
                    break;
                }
            }
        }
    }

    /// Puts another value at a place. False: the place is lost.
    pub(crate) async fn put(
        &self,
        place: &Place,
        lease: i64,
        value: Bytes,
    ) -> Result<(bool, Revision), Status> {
        let lease = (lease != 0).then_some(LeaseId(lease));
        self.at(place, TxnOp::Put(Put { lease, ..Put::new(place.key.clone(), value) })).await
    }

    /// Gives a place up, if it is not lost.
    pub(crate) async fn leave(&self, place: &Place) -> Result<(bool, Revision), Status> {
        let range = KeyRange::One(place.key.clone());
        self.at(place, TxnOp::DeleteRange(DeleteRange { range, prev_kv: false })).await
    }

    async fn at(&self, place: &Place, op: TxnOp) -> Result<(bool, Revision), Status> {
        let compare = vec![created(&place.key, place.created)];
        let answer = self.write(Txn { compare, success: vec![op], failure: Vec::new() }).await?;
        Ok((answer.succeeded, answer.revision))
    }

    /// Who is at the front, and the revision at which that is so.
    pub(crate) async fn front(&self) -> Result<(Revision, Option<KeyValue>), Status> {
        let read = Request::Range(Box::new(first_of(self.keys(), SortOrder::Ascend)));
        match self.read(read).await? {
            Response::Range(range) => Ok((range.revision, range.kvs.into_iter().next())),
            other => Err(error::of_mismatch(other)),
        }
    }

    /// Whether a key stands in this queue.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix)
    }

    /// All that happens after `revision`.
    pub(crate) fn follow(&self, revision: Revision) -> News<B> {
        News { queue: self.clone(), follower: self.hub.follow(), next: revision.next(), auth: 0 }
    }

    async fn write(&self, txn: Txn) -> Result<TxnResponse, Status> {
        txn.check().map_err(error::of_store)?;
        let answer = self.backend().write(self.caller.asks(Request::Txn(txn))).await;
        txn_response(answer.map_err(error::of_refusal)?)
    }

    async fn read(&self, request: Request) -> Result<Response, Status> {
        let asked = self.caller.asks(request);
        self.backend().read(asked, Freshness::Linearizable).await.map_err(error::of_refusal)
    }
}

/// What happens in the store of this member, from some revision on.
pub(crate) struct News<B> {
    queue: Queue<B>,
    follower: Follower,
    next: Revision,
    /// What the store's users were like when it was last looked at whether the caller may be told.
    auth: u64,
}

impl<B: Backend> News<B> {
    /// The next revisions with all that happened in them, and no events of earlier ones; nothing if some of it is forgotten.
    pub(crate) async fn next(&mut self) -> Result<Option<Arc<Slice>>, Status> {
        loop {
            let now = *self.follower.revisions.borrow_and_update();
            // Also where nothing happens to any key: who may not know any more does not wait on.
            self.look_again(self.queue.backend().auth_stamp()).await?;
            if now >= self.next {
                break;
            }
            self.follower.revisions.changed().await.map_err(|_| Status::from(error::STOPPED))?;
        }
        match self.queue.hub.from(self.next).await {
            Ok(slice) => {
                self.look_again(slice.auth).await?;
                let slice = since(slice, self.next);
                self.next = slice.through.next();
                Ok(Some(slice))
            }
            Err(NoSlice::Compacted(_)) => Ok(None),
            Err(NoSlice::Refused(refusal)) => Err(error::of_refusal(refusal)),
        }
    }

    /// Ends if the caller may not be told any more, and users have changed since that was looked at.
    async fn look_again(&mut self, auth: u64) -> Result<(), Status> {
        if auth > self.auth {
            let Queue { hub, caller, .. } = &self.queue;
            auth::may_be_told(hub.backend(), caller, &[self.queue.keys()]).await??;
            self.auth = auth;
        }
        Ok(())
    }
}

/// A slice without what came before a revision. Nearly always it is the slice itself.
fn since(slice: Arc<Slice>, first: Revision) -> Arc<Slice> {
    if slice.first >= first {
        return slice;
    }
    let events = slice.events.iter().filter(|event| event.kv.mod_revision >= first).cloned().collect();
    Arc::new(Slice { first, through: slice.through, events, auth: slice.auth })
}

/// The lease that a caller has named, or one of its own that nobody keeps alive.
pub(crate) async fn lease_or_new<B: Backend>(
    backend: &B,
    caller: &Caller,
    lease: i64,
) -> Result<i64, Status> {
    if lease != 0 {
        return Ok(lease);
    }
    Ok(lease::grant(backend, caller, 0, LEASE_SECONDS).await?.id)
}

/// etcd's locks and elections are clients of its other services, and pass refusals on with their texts, but without
/// their codes. Whoever may try again is to know that, nevertheless.
pub(crate) fn as_of_a_client(status: Status) -> Status {
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted | Code::Unauthenticated | Code::Internal => status,
        _ => Status::unknown(status.message()),
    }
}

/// The key-value pair of an answer, as a message.
pub(crate) fn message(kv: KeyValue) -> Option<crate::mvccpb::KeyValue> {
    Some(response::key_value(kv))
}

fn created(key: &Bytes, revision: Revision) -> Compare {
    Compare {
        range: KeyRange::One(key.clone()),
        operator: CompareOperator::Equal,
        target: CompareTarget::Create(response::signed(revision.0)),
    }
}

fn first_of(range: KeyRange, sort_order: SortOrder) -> RangeRequest {
    RangeRequest { limit: 1, sort_target: SortTarget::Create, sort_order, ..RangeRequest::new(range) }
}

fn txn_response(response: Response) -> Result<TxnResponse, Status> {
    match response {
        Response::Txn(txn) => Ok(txn),
        other => Err(error::of_mismatch(other)),
    }
}

fn ranges(txn: TxnResponse) -> impl Iterator<Item = RangeResponse> {
    txn.responses.into_iter().filter_map(|response| match response {
        TxnOpResponse::Range(range) => Some(range),
        TxnOpResponse::Put(_) | TxnOpResponse::DeleteRange(_) | TxnOpResponse::Txn(_) => None,
    })
}

/// A place in a queue, on behalf of a call that has not been answered yet.
///
/// If it was made for this call, it is given up when this is dropped: its holder has gone away, or something went wrong,
/// before it was told of it. A place that was found there stays, whatever becomes of this call: an earlier one made it,
/// and may have been told that it holds the lock.
pub(crate) struct Held<B: Backend> {
    queue: Queue<B>,
    place: Place,
    turn: Turn,
}

/// How far a call has come with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It made the place, and waits.
    OfNew,
    /// It found the place, and waits.
    OfFound,
    /// Nobody stands before the place, or it is lost: it is not this call's to give up.
    Come,
}

impl<B: Backend> Held<B> {
    /// Puts another value at the place. False: the place is lost.
    pub(crate) async fn put(&self, lease: i64, value: Bytes) -> Result<bool, Status> {
        Ok(self.queue.put(&self.place, lease, value).await?.0)
    }

    /// Waits until nobody stands before the place. Then it is the caller's to give up. Nothing: the place is lost.
    pub(crate) async fn wait(mut self) -> Result<Option<Place>, Status> {
        // The log itself has said who stands at the front: that needs no further read, which may be refused.
        let is_there = self.turn == Turn::Come || self.queue.wait(&self.place).await?;
        self.turn = Turn::Come;
        Ok(is_there.then(|| self.place.clone()))
    }
}

impl<B: Backend> Drop for Held<B> {
    fn drop(&mut self) {
        match self.turn {
            Turn::OfNew => {
                // The call has made the place itself, and takes it back whatever its user may by now: who may not any more
                // should not keep everybody behind waiting.
                let (queue, place) =
                    (Queue { caller: Caller::Server, ..self.queue.clone() }, self.place.clone());
                tokio::spawn(async move {
                    // If it cannot be given up now, it ends with its lease.
                    let _left = queue.leave(&place).await;
                });
            }
            Turn::OfFound | Turn::Come => {}
        }
    }
}
