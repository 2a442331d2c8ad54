//! Snapshot: all keys at one revision, as the file that etcd's own tools read, and its SHA-256.
//!
//! The file has etcd's buckets; what is in them is the newest version of each key, and that everything older was
//! compacted. bbolt wants keys by revision, and the store has them by name, so that all are collected first: their
//! values are shared with the store, not copied. The file is made while it is sent.
//!
//! Two things are in it that etcd has no word for, and passes over: that a key has a deadline of its own, and that users were
//! asked who they are. The users themselves are not in the file, so that etcd's own mark would lock everybody out of an
//! etcd that begins with it.

mod bolt; // the file format
mod read; // reading such a file

use std::time::Duration;

use bytes::Bytes;
use jangada_kv::auth::{AuthQuestion, AuthRequest};
use jangada_kv::{AuthResponse, Caller, KeyValue, Request, Response, Revision};
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

use crate::backend::{Backend, Freshness};
use crate::etcdserverpb as pb;
use crate::services::pages::Pages;
use crate::{auth, error, response};
use bolt::{Layout, SmallBucket};
pub use read::{SnapshotFile, checked, read};

/// How much of the file goes into one message.
const PART_BYTES: usize = 32 << 10;
/// Messages that the client has not taken yet; then the file waits.
const WAITING_PARTS: usize = 4;
/// A client that takes nothing for so long gets nothing more: others wait for their turn.
const PATIENCE: Duration = Duration::from_secs(60);
/// Attempts to collect the keys before the history is compacted away.
const ATTEMPTS: usize = 3;
/// The bucket of the keys.
const KEYS: &str = "key";
/// etcd's other buckets, but for `auth` and `meta`.
const EMPTY: [&str; 7] =
    ["alarm", "authRoles", "authUsers", "cluster", "lease", "members", "members_removed"];

/// Our item in the bucket `auth`: users were asked who they are, and are not in the file.
const USERS_LEFT_OUT: &[u8] = b"jangadaUsersLeftOut";

/// Behind a key's message: it has a deadline of its own. A field that etcd's message does not have is passed over.
#[derive(Clone, PartialEq, prost::Message)]
struct Mortal {
    #[prost(bool, tag = "1000")]
    has_deadline: bool,
}

/// A file to be sent: the keys by revision, each with its number within that.
struct File {
    items: Vec<(u64, KeyValue)>,
    revision: Revision,
    index: u64,
    term: u64,
    /// Whether users are asked who they are.
    is_guarded: bool,
}

/// Collects the keys, and starts to send them. `turn` is given back when all is sent.
///
/// # Errors
/// If the store does not answer, or forgets faster than it is read.
pub(crate) async fn start<B: Backend>(
    backend: &B,
    turn: OwnedSemaphorePermit,
) -> Result<mpsc::Receiver<Result<pb::SnapshotResponse, Status>>, Status> {
    let file = File::collect(backend).await?;
    let (parts, arriving) = mpsc::channel(WAITING_PARTS);
    tokio::spawn(async move {
        // A client that has gone wants no more.
        let _gone = file.send(&parts).await;
        drop(turn);
    });
    Ok(arriving)
}

impl File {
    async fn collect<B: Backend>(backend: &B) -> Result<File, Status> {
        let mut attempts = 1..=ATTEMPTS;
        loop {
            attempts.next();
            let mut pages = Pages::newest(backend).await?;
            let mut kvs = Vec::new();
            let collected = loop {
                match pages.next(backend).await {
                    Ok(Some(page)) => kvs.extend(page.kvs),
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status),
                }
            };
            match collected {
                Ok(()) => return Ok(File::of(kvs, pages.revision(), backend, is_guarded(backend).await?)),
                Err(status) if attempts.is_empty() => return Err(status),
                Err(_compacted) => {}
            }
        }
    }

    fn of<B: Backend>(mut kvs: Vec<KeyValue>, revision: Revision, backend: &B, is_guarded: bool) -> File {
        // Stable: within a revision they stay in the order of their names.
        kvs.sort_by_key(|kv| kv.mod_revision);
        let mut items: Vec<(u64, KeyValue)> = Vec::with_capacity(kvs.len());
        for kv in kvs {
            let sub = match items.last() {
                Some((sub, last)) if last.mod_revision == kv.mod_revision => sub + 1,
                Some(_) | None => 0,
            };
            items.push((sub, kv));
        }
        let index = backend.situation().applied_index;
        File { items, revision, index, term: backend.answerer().term, is_guarded }
    }

    async fn send(&self, parts: &mpsc::Sender<Result<pb::SnapshotResponse, Status>>) -> Result<(), ()> {
        let layout = Layout::of(self.items.len(), |item| (name(0, 0).len(), self.value_bytes(item)));
        let mut remaining = layout.file_bytes();
        let mut sha = Sha256::new();
        let mut ready = layout.head(KEYS, &self.small_buckets());
        for part in 0..=layout.parts() {
            let last = part == layout.parts();
            if !last {
                ready.extend(layout.part(part, |item| self.item(item)));
            }
            while ready.len() >= PART_BYTES || (last && !ready.is_empty()) {
                let rest = ready.split_off(ready.len().min(PART_BYTES));
                let blob = std::mem::replace(&mut ready, rest);
                sha.update(&blob);
                remaining -= blob.len() as u64;
                send(parts, remaining, blob).await?;
            }
        }
        send(parts, 0, sha.finalize().to_vec()).await
    }

    fn item(&self, item: usize) -> (Vec<u8>, Vec<u8>) {
        let (sub, kv) = &self.items[item];
        let mut value = response::key_value(kv.clone()).encode_to_vec();
        mark(kv).encode(&mut value).expect("a vector has room");
        (name(kv.mod_revision.0, *sub), value)
    }

    fn value_bytes(&self, item: usize) -> usize {
        let kv = &self.items[item].1;
        response::key_value(kv.clone()).encoded_len() + mark(kv).encoded_len()
    }

    fn small_buckets(&self) -> Vec<SmallBucket> {
        let mut small: Vec<SmallBucket> =
            EMPTY.iter().map(|name| SmallBucket { name, items: Vec::new() }).collect();
        let users = self.is_guarded.then(|| (USERS_LEFT_OUT.to_vec(), vec![1]));
        small.push(SmallBucket { name: "auth", items: users.into_iter().collect() });
        let compacted = name(self.revision.0, 0);
        small.push(SmallBucket {
            name: "meta",
            items: vec![
                (b"consistent_index".to_vec(), self.index.to_be_bytes().to_vec()),
                (b"finishedCompactRev".to_vec(), compacted.clone()),
                (b"scheduledCompactRev".to_vec(), compacted),
                (b"term".to_vec(), self.term.to_be_bytes().to_vec()),
            ],
        });
        small
    }
}

fn mark(kv: &KeyValue) -> Mortal {
    Mortal { has_deadline: kv.deadline.is_some() }
}

/// Whether users are asked who they are. Whoever may have a snapshot may know that, too.
async fn is_guarded<B: Backend>(backend: &B) -> Result<bool, Status> {
    let request = Request::Auth(AuthRequest::Ask(AuthQuestion::Status));
    match auth::read(backend, &Caller::Server, request, Freshness::Serializable).await? {
        Response::Auth(AuthResponse::Status { enabled, .. }) => Ok(enabled),
        other => Err(error::of_mismatch(other)),
    }
}

/// What etcd calls a version of a key: the revision, and the number within it.
fn name(revision: u64, sub: u64) -> Vec<u8> {
    [&revision.to_be_bytes()[..], b"_", &sub.to_be_bytes()].concat()
}

async fn send(
    parts: &mpsc::Sender<Result<pb::SnapshotResponse, Status>>,
    remaining_bytes: u64,
    blob: Vec<u8>,
) -> Result<(), ()> {
    let response = pb::SnapshotResponse { header: None, remaining_bytes, blob: Bytes::from(blob) };
    match tokio::time::timeout(PATIENCE, parts.send(Ok(response))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}
