//! What stands behind the door in these tests: a real store, and a script for what goes wrong.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use jangada_kv::{Millis, Request, Store};
use jangada_server::front::Shared;
use jangada_server::handle::{
    AdminAnswer, AdminError, AdminRequest, Answers, Batch, BatchItem, ChangesRequest, Handle, Kind,
    RequestError, STAMP_BYTES, Submission,
};
use jangada_server::limits::Limits;
use jangada_server::status::{Status, StatusBoard};
use tokio::sync::mpsc;

/// The store behind the door, and what the test wants of it.
pub(crate) struct Core {
    pub(crate) store: Store,
    /// The replicated time.
    pub(crate) now: Millis,
    /// The batches that came, as kinds and sizes.
    pub(crate) seen: Vec<(Kind, usize)>,
    /// If set, every request fails like this.
    pub(crate) fail: Option<RequestError>,
    /// If set, batches are kept instead of answered.
    pub(crate) hold: bool,
    pub(crate) held: Vec<Batch>,
    /// What administration is answered.
    pub(crate) admin: Option<Result<AdminAnswer, AdminError>>,
    pub(crate) asked: Vec<AdminRequest>,
}

pub(crate) type SharedCore = Arc<Mutex<Core>>;

/// A server's client side over a fresh store. Needs a runtime.
pub(crate) fn start(limits: Limits) -> (Arc<Shared>, SharedCore) {
    let (handle, inbox) = Handle::new(64, StatusBoard::new(status()));
    let core = Arc::new(Mutex::new(Core::new()));
    tokio::spawn(serve(inbox, Arc::clone(&core)));
    (Arc::new(Shared::new(handle, limits, "127.0.0.1:2379".to_owned())), core)
}

pub(crate) fn status() -> Status {
    Status { problem: None, leader: Some("n1".to_owned()), ..Status::starting("n1", 1) }
}

/// Answers every submission, in order.
pub(crate) async fn serve(mut inbox: mpsc::Receiver<Submission>, core: SharedCore) {
    while let Some(submission) = inbox.recv().await {
        match submission {
            Submission::Batch(batch) => lock(&core).take(batch),
            Submission::Changes(ChangesRequest { from, enough, enough_bytes }, reply) => {
                let _ = reply.send(lock(&core).store.some_changes(from, enough, enough_bytes));
            }
            Submission::Page(request, reply) => {
                let page = lock(&core).store.page(
                    request.revision,
                    &request.from,
                    request.enough,
                    request.enough_bytes,
                );
                let _ = reply.send(page);
            }
            Submission::Admin(request, reply) => {
                let mut core = lock(&core);
                core.asked.push(request);
                if let Some(answer) = core.admin.clone() {
                    // The client may have gone away.
                    let _ = reply.send(answer);
                }
            }
            Submission::Rig(_) => {}
        }
    }
}

pub(crate) fn lock(core: &SharedCore) -> MutexGuard<'_, Core> {
    core.lock().unwrap()
}

impl Core {
    pub(crate) fn new() -> Core {
        Core {
            store: Store::new(),
            now: Millis(1_000_000),
            seen: Vec::new(),
            fail: None,
            hold: false,
            held: Vec::new(),
            admin: None,
            asked: Vec::new(),
        }
    }

    fn take(&mut self, batch: Batch) {
        self.seen.push((batch.kind, batch.requests.len()));
        if self.hold {
            self.held.push(batch);
        } else {
            self.answer(batch);
        }
    }

    /// Answers everything that was held, oldest first.
    pub(crate) fn release(&mut self) {
        self.hold = false;
        for batch in std::mem::take(&mut self.held) {
            self.answer(batch);
        }
    }

    fn answer(&mut self, batch: Batch) {
        let answers: Answers = batch.requests.into_iter().map(|item| self.one(item)).collect();
        // The client may have gone away.
        batch.reply.send(answers);
    }

    fn one(&mut self, item: BatchItem) -> Result<jangada_kv::Response, RequestError> {
        if let Some(error) = &self.fail {
            return Err(error.clone());
        }
        match item {
            BatchItem::Read(request) => Ok(self.store.read(self.now, &request)),
            BatchItem::Write { encoded } => {
                assert_eq!(encoded.len(), encoded.capacity(), "the log keeps these bytes as they are");
                assert_eq!(encoded[..STAMP_BYTES], [0; STAMP_BYTES], "the stamp is the leader's");
                let request = Request::decode(Bytes::from(encoded).slice(STAMP_BYTES..)).unwrap();
                assert!(!request.is_read_only(), "a read does not belong into the log: {request:?}");
                Ok(self.store.apply(self.now, &request))
            }
        }
    }
}
