//! A store without Raft, as what stands behind the services.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::kv_client::KvClient;
use jangada_etcd::{
    Answerer, Backend, Freshness, Member, MemberChange, MemberRefusal, NoMove, Passwords, Refusal, Services,
    Situation, WatchLimits,
};
use jangada_kv::watch::{Recent, Slice};
use jangada_kv::{Changes, Error, Millis, Page, Request, Response, Revision, Store};
use tokio::sync::watch;
use tonic::{Code, Status};

/// Longest request that these tests may send.
pub(crate) const REQUEST_BYTES: usize = 64 << 10;

/// How many watches these tests may open, but for the one that opens too many.
const WATCHES: WatchLimits = WatchLimits { of_a_stream: 20_000, of_a_thread: 20_000, key_bytes: 1 << 20 };

/// The store, and what the test wants of it.
#[derive(Clone, Default)]
pub(crate) struct Bare {
    pub(crate) store: Arc<Mutex<Store>>,
    /// If set, every request is refused so.
    pub(crate) refusal: Option<Refusal>,
    /// While set, linearizable reads are refused: the member has lost the others.
    pub(crate) reads_refused: Arc<AtomicBool>,
    /// So many of the next serializable reads are refused: the member has too much to do.
    pub(crate) busy: Arc<AtomicU64>,
    /// While somebody holds it, writes take effect and are not answered.
    pub(crate) answers: Arc<tokio::sync::Mutex<()>>,
    /// The freshness of each read that came.
    pub(crate) reads: Arc<Mutex<Vec<Freshness>>>,
    pub(crate) leaderless: bool,
    /// While set, the leader that there was is lost.
    pub(crate) leader_lost: Arc<AtomicBool>,
    /// The changes of members that were wanted.
    pub(crate) changes: Arc<Mutex<Vec<MemberChange>>>,
    /// If set, each of them is refused so.
    pub(crate) member_refusal: Option<MemberRefusal>,
    /// Where the store is, once somebody follows it.
    pub(crate) moved: Arc<Mutex<Option<watch::Sender<Revision>>>>,
    /// What has changed last, if the server keeps that at hand.
    pub(crate) recent: Option<Arc<Mutex<Recent>>>,
    /// How often somebody asked for changes.
    pub(crate) changes_asked: Arc<AtomicU64>,
    /// The next number that is called random.
    pub(crate) numbers: Arc<AtomicU64>,
    /// What each entry of the log is stamped with.
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) passwords: Passwords,
}

impl Backend for Bare {
    async fn write(&self, request: Request) -> Result<Response, Refusal> {
        assert!(!request.is_read_only(), "a read does not belong into the log: {request:?}");
        let mut encoded = Vec::new();
        request.encode(&mut encoded);
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        if encoded.len() > REQUEST_BYTES {
            return Err(Refusal::TooLarge);
        }
        let request = Request::decode(Bytes::from(encoded)).unwrap();
        let answer = {
            let mut store = self.store.lock().unwrap();
            let from = store.revision().next();
            let answer = store.apply(Millis(self.clock.load(Relaxed)), &request);
            if let (Some(recent), Ok(changes)) = (&self.recent, store.some_changes(from, 100, 1 << 20)) {
                recent.lock().unwrap().keep(&Arc::new(Slice::new(from, changes)));
            }
            if let Some(moved) = &*self.moved.lock().unwrap() {
                moved.send_replace(store.revision());
            }
            answer
        };
        let _answered = self.answers.lock().await;
        Ok(answer)
    }

    async fn read(&self, request: Request, freshness: Freshness) -> Result<Response, Refusal> {
        self.reads.lock().unwrap().push(freshness);
        if freshness == Freshness::Linearizable && self.reads_refused.load(Relaxed) {
            return Err(Refusal::NoLeader { why: "nobody leads".to_owned() });
        }
        let is_busy = |left: u64| left.checked_sub(1);
        if freshness == Freshness::Serializable && self.busy.fetch_update(Relaxed, Relaxed, is_busy).is_ok() {
            return Err(Refusal::Busy);
        }
        match &self.refusal {
            Some(refusal) if freshness == Freshness::Linearizable => Err(refusal.clone()),
            _ => Ok(self.store.lock().unwrap().read(Millis(self.clock.load(Relaxed)), &request)),
        }
    }

    async fn changes(&self, from: Revision) -> Result<Result<Changes, Revision>, Refusal> {
        self.changes_asked.fetch_add(1, Relaxed);
        match self.store.lock().unwrap().some_changes(from, 100, 1 << 20) {
            Ok(changes) => Ok(Ok(changes)),
            Err(Error::Compacted { floor }) => Ok(Err(floor)),
            Err(other) => panic!("{other}"),
        }
    }

    async fn page(&self, revision: Revision, from: Bytes) -> Result<Result<Page, Error>, Refusal> {
        Ok(self.store.lock().unwrap().page(revision, &from, 7, 1 << 20))
    }

    async fn move_leader(&self, to: u64) -> Result<(), NoMove> {
        match to {
            1 => Ok(()),
            _ if self.leaderless => Err(NoMove::NoLeader),
            _ => Err(NoMove::BadTarget),
        }
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        let revision = self.store.lock().unwrap().revision();
        self.moved.lock().unwrap().get_or_insert_with(|| watch::channel(revision).0).subscribe()
    }

    fn recent(&self, from: Revision) -> Option<Arc<Slice>> {
        self.recent.as_ref()?.lock().unwrap().from(from)
    }

    fn auth_stamp(&self) -> u64 {
        self.store.lock().unwrap().auth_stamp()
    }

    fn acknowledged(&self) -> Revision {
        Revision::ZERO
    }

    fn answerer(&self) -> Answerer {
        Answerer { cluster_id: 7, member_id: 1, term: 3 }
    }

    fn situation(&self) -> Situation {
        let leader = (!self.leaderless && !self.leader_lost.load(Relaxed)).then_some(1);
        Situation { leader, commit_index: 9, applied_index: 8, ..Situation::default() }
    }

    async fn situation_now(&self) -> Situation {
        Situation { commit_index: 11, applied_index: 10, ..self.situation() }
    }

    fn random(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    fn secret(&self) -> Result<[u8; 16], Refusal> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.numbers.fetch_add(1, Relaxed).to_le_bytes());
        Ok(bytes)
    }

    fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    async fn change_members(
        &self,
        change: MemberChange,
        _token: Option<String>,
    ) -> Result<(u64, Vec<Member>), MemberRefusal> {
        self.changes.lock().unwrap().push(change);
        match &self.member_refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok((2, self.members().await.unwrap())),
        }
    }

    async fn members(&self) -> Result<Vec<Member>, Refusal> {
        let n1 = Member {
            id: 1,
            name: "n1".to_owned(),
            peer_addr: "127.0.0.1:2380".to_owned(),
            client_addr: "127.0.0.1:2379".to_owned(),
            is_learner: false,
        };
        let (name, client_addr) = ("n2".to_owned(), String::new());
        Ok(vec![n1.clone(), Member { id: 2, name, client_addr, is_learner: true, ..n1 }])
    }
}

impl Bare {
    pub(crate) fn services(&self) -> Services<Bare> {
        Services::new(self.clone(), REQUEST_BYTES, usize::MAX, WATCHES)
    }

    pub(crate) fn kv(&self) -> KvClient<Services<Bare>> {
        KvClient::new(self.services())
    }

    /// How many wait for the store to move on.
    pub(crate) fn followers(&self) -> usize {
        self.moved.lock().unwrap().as_ref().map_or(0, watch::Sender::receiver_count)
    }

    /// Puts a key and returns the revision.
    pub(crate) async fn put(&self, key: &str, value: &str) -> i64 {
        let answer = self.kv().put(put(key, value)).await.unwrap().into_inner();
        answer.header.unwrap().revision
    }

    /// The keys of a range, as `key=value`.
    pub(crate) async fn shown(&self, request: pb::RangeRequest) -> Vec<String> {
        let answer = self.kv().range(request).await.unwrap().into_inner();
        let show = |kv: &jangada_etcd::mvccpb::KeyValue| {
            format!("{}={}", kv.key.escape_ascii(), kv.value.escape_ascii())
        };
        answer.kvs.iter().map(show).collect()
    }
}

pub(crate) fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..pb::PutRequest::default()
    }
}

pub(crate) fn range(key: &str, range_end: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(range_end.as_bytes()),
        ..pb::RangeRequest::default()
    }
}

pub(crate) fn delete(key: &str, range_end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(range_end.as_bytes()),
        prev_kv: false,
    }
}

/// The operations of a txn.
pub(crate) fn op(request: impl Into<pb::request_op::Request>) -> pb::RequestOp {
    pb::RequestOp { request: Some(request.into()) }
}

/// What went wrong, as code and text.
pub(crate) fn told<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}
