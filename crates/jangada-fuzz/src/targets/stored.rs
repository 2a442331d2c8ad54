//! What the store reads back: requests out of the log and from other servers, their answers, snapshots, and snapshots of
//! etcd's. The first byte says which.

use bytes::Bytes;
use jangada_etcd::snapshot;
use jangada_kv::{Request, Response, Restore};

/// Takes bytes of one kind.
pub(crate) fn run(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else { return };
    match kind {
        b'q' => {
            if let Ok(request) = Request::decode(Bytes::copy_from_slice(bytes)) {
                let mut again = Vec::new();
                request.encode(&mut again);
                assert_eq!(again, bytes, "a request has one encoding");
            }
        }
        b'a' => {
            if let Ok(response) = Response::decode(Bytes::copy_from_slice(bytes)) {
                let mut again = Vec::new();
                response.encode(&mut again);
                assert_eq!(again, bytes, "an answer has one encoding");
            }
        }
        b's' => {
            let whole = restored(bytes, bytes.len().max(1));
            assert_eq!(whole, restored(bytes, 1), "it does not matter where a snapshot is cut");
        }
        b'b' => {
            // With its SHA-256 at the end, and without.
            for content in [Some(bytes), snapshot::checked(bytes).ok()].into_iter().flatten() {
                if let Ok(file) = snapshot::read(content) {
                    assert!(file.kvs.is_sorted_by(|a, b| a.key < b.key), "each key is there once");
                }
            }
        }
        _ => {}
    }
}

/// The hash of the store that these bytes are the snapshot of.
fn restored(bytes: &[u8], chunk: usize) -> Option<u64> {
    let mut restore = Restore::new();
    for part in bytes.chunks(chunk) {
        restore.chunk(part).ok()?;
    }
    Some(restore.finish().ok()?.state_hash())
}
