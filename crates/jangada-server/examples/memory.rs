//! The client port over a bare store: no Raft, no log, one process. What is measured against it is the cost of
//! the protocols alone.
//!
//! ```text
//! cargo run --release -p jangada-server --example memory -- 127.0.0.1:7000
//! redis-benchmark -p 7000 -t set,get -n 1000000 -P 16 -q
//! ```

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use jangada_kv::{Millis, Request, Response, Store};
use jangada_server::front::{Front, Serves, Shared};
use jangada_server::handle::{AdminError, BatchItem, Handle, RequestError, STAMP_BYTES, Submission};
use jangada_server::limits::Limits;
use jangada_server::status::{Status, StatusBoard};

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let board = StatusBoard::new(Status { problem: None, ..Status::starting("memory", 1) });
    let (handle, mut inbox) = Handle::new(1024, board);
    let shared = Arc::new(Shared::new(handle, Limits::default(), address.clone()));
    let front = Front::start(vec![(TcpListener::bind(&address)?, Serves::Everything)], 1, &shared)?;
    writeln!(std::io::stdout(), "ready on {address}; try: redis-cli -p PORT ping")?;

    let mut store = Store::new();
    while let Some(submission) = inbox.blocking_recv() {
        match submission {
            Submission::Batch(batch) => {
                let answers = batch.requests.into_iter().map(|item| answer(&mut store, item)).collect();
                // The client may have gone away.
                batch.reply.send(answers);
            }
            Submission::Changes(request, reply) => {
                let changes = store.some_changes(request.from, request.enough, request.enough_bytes);
                let _ = reply.send(changes);
            }
            Submission::Page(request, reply) => {
                let page = store.page(request.revision, &request.from, request.enough, request.enough_bytes);
                let _ = reply.send(page);
            }
            Submission::Admin(_, reply) => {
                let _ = reply.send(Err(AdminError::Refused("there is no cluster here".to_owned())));
            }
            Submission::Rig(_) => {}
        }
    }
    front.stop();
    Ok(())
}

fn answer(store: &mut Store, item: BatchItem) -> Result<Response, RequestError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = Millis(since.as_millis() as u64);
    match item {
        BatchItem::Read(request) => Ok(store.read(now, &request)),
        BatchItem::Write { encoded } => {
            let request = Request::decode(Bytes::from(encoded).slice(STAMP_BYTES..))
                .map_err(|error| RequestError::Bad(error.to_string()))?;
            Ok(store.apply(now, &request))
        }
    }
}
