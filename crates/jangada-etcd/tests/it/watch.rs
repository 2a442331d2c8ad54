//! Watches: what they are told, in which order, and how they end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::request_op::Request;
use jangada_etcd::etcdserverpb::watch_client::WatchClient;
use jangada_etcd::etcdserverpb::watch_create_request::FilterType;
use jangada_etcd::etcdserverpb::watch_request::RequestUnion;
use jangada_etcd::{Services, WatchLimits};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};

use crate::bare::{Bare, REQUEST_BYTES, delete, op, put};

/// A stream of watches, from the client's side.
struct Stream {
    requests: mpsc::UnboundedSender<pb::WatchRequest>,
    responses: Streaming<pb::WatchResponse>,
}

fn create(key: &str, range_end: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: bytes::Bytes::copy_from_slice(key.as_bytes()),
        range_end: bytes::Bytes::copy_from_slice(range_end.as_bytes()),
        ..pb::WatchCreateRequest::default()
    }
}

impl Stream {
    async fn open(bare: &Bare) -> Stream {
        Stream::open_beside_others(bare.services()).await
    }

    /// On the thread of whoever else uses these services.
    async fn open_beside_others(services: Services<Bare>) -> Stream {
        let (requests, sent) = mpsc::unbounded_channel();
        let mut client = WatchClient::new(services).max_decoding_message_size(usize::MAX);
        let responses = client.watch(UnboundedReceiverStream::new(sent)).await.unwrap().into_inner();
        Stream { requests, responses }
    }

    fn ask(&self, request: RequestUnion) {
        self.requests.send(pb::WatchRequest { request_union: Some(request) }).unwrap();
    }

    /// Creates a watch and returns what is said to that.
    async fn create(&mut self, request: pb::WatchCreateRequest) -> pb::WatchResponse {
        self.ask(RequestUnion::CreateRequest(request));
        let created = self.next().await;
        assert!(created.created, "{created:?}");
        created
    }

    fn cancel(&self, watch_id: i64) {
        self.ask(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id }));
    }

    fn ask_progress(&self) {
        self.ask(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}));
    }

    async fn next(&mut self) -> pb::WatchResponse {
        self.responses.message().await.unwrap().expect("the stream goes on")
    }

    /// The next response, as text: watch, revision, events.
    async fn told(&mut self) -> String {
        let response = self.next().await;
        let events: Vec<String> = response.events.iter().map(shown).collect();
        let revision = response.header.unwrap().revision;
        format!("{} @{revision}: {}", response.watch_id, events.join(" "))
    }
}

fn shown(event: &jangada_etcd::mvccpb::Event) -> String {
    let kv = event.kv.as_ref().unwrap();
    let before = event.prev_kv.as_ref().map(|kv| format!("({})", kv.value.escape_ascii()));
    let before = before.unwrap_or_default();
    match event.r#type {
        0 => format!("{}={}{before}", kv.key.escape_ascii(), kv.value.escape_ascii()),
        _ => format!("-{}{before}", kv.key.escape_ascii()),
    }
}

async fn remove(bare: &Bare, key: &str, end: &str) {
    bare.kv().delete_range(delete(key, end)).await.unwrap();
}

#[tokio::test]
async fn what_happens_is_told_once_in_order_and_by_revision() {
    let bare = Bare::default();
    bare.put("a", "before").await;
    let mut stream = Stream::open(&bare).await;
    let created = stream.create(create("a", "c")).await;
    assert_eq!((created.watch_id, created.header.unwrap().revision), (0, 2));
    bare.put("a", "1").await;
    bare.put("c", "beyond the end").await;
    bare.put("b", "2").await;
    remove(&bare, "a", "z").await;
    let mut told = Vec::new();
    while told.len() < 4 {
        told.extend(stream.next().await.events.iter().map(shown));
    }
    assert_eq!(told, ["a=1", "b=2", "-a", "-b"]);
}

#[tokio::test]
async fn a_past_revision_is_told_first_and_one_revision_is_one_response() {
    let bare = Bare::default();
    bare.put("a", "1").await;
    let both = [put("a", "2"), put("b", "2")];
    let txn = pb::TxnRequest {
        success: both.map(|put| op(pb::request_op::Request::RequestPut(put))).into(),
        ..pb::TxnRequest::default()
    };
    bare.kv().txn(txn).await.unwrap();
    remove(&bare, "a", "").await;
    let mut stream = Stream::open(&bare).await;
    let all = pb::WatchCreateRequest { start_revision: 3, prev_kv: true, ..create("a", "z") };
    stream.create(all.clone()).await;
    assert_eq!(stream.told().await, "0 @4: a=2(1) b=2 -a(2)");
    let no_puts = vec![pb::watch_create_request::FilterType::Noput.into()];
    stream.create(pb::WatchCreateRequest { filters: no_puts, prev_kv: false, ..all.clone() }).await;
    assert_eq!(stream.told().await, "1 @4: -a");
    let no_deletes = vec![pb::watch_create_request::FilterType::Nodelete.into()];
    stream.create(pb::WatchCreateRequest { filters: no_deletes, ..all }).await;
    assert_eq!(stream.told().await, "2 @4: a=2(1) b=2");
}

#[tokio::test]
async fn streams_of_one_thread_read_once_and_each_is_told_what_it_wants() {
    for (at_hand, reads) in [(None, 1), (Some(Arc::default()), 0)] {
        let bare = Bare { recent: at_hand, ..Bare::default() };
        bare.put("a", "1").await;
        bare.put("b", "1").await;
        let services = bare.services();
        let filtered =
            |filter: FilterType| pb::WatchCreateRequest { filters: vec![filter.into()], ..create("a", "z") };
        let wanted = [
            create("a", "z"),
            pb::WatchCreateRequest { prev_kv: true, ..create("a", "z") },
            pb::WatchCreateRequest { prev_kv: true, ..create("b", "") },
            filtered(FilterType::Noput),
            filtered(FilterType::Nodelete),
            create("a", "z"),
        ];
        let mut streams = Vec::new();
        for wanted in wanted {
            let mut stream = Stream::open_beside_others(services.clone()).await;
            stream.create(wanted).await;
            streams.push(stream);
        }
        let (put, delete) = (op(Request::RequestPut(put("b", "2"))), delete("a", ""));
        let success = vec![put, op(Request::RequestDeleteRange(delete))];
        bare.kv().txn(pb::TxnRequest { success, ..pb::TxnRequest::default() }).await.unwrap();
        let mut told = Vec::new();
        for stream in &mut streams {
            told.push(stream.told().await);
        }
        let (all, with_previous) = ("0 @4: b=2 -a", "0 @4: b=2(1) -a(1)");
        assert_eq!(told, [all, with_previous, "0 @4: b=2(1)", "0 @4: -a", "0 @4: b=2", all]);
        assert_eq!(bare.changes_asked.load(Relaxed), reads);
    }
}

#[tokio::test]
async fn who_follows_after_all_others_have_gone_is_told_what_comes_then() {
    let bare = Bare { recent: Some(Arc::default()), ..Bare::default() };
    let services = bare.services();
    for value in ["1", "2", "3"] {
        let mut stream = Stream::open_beside_others(services.clone()).await;
        stream.create(create("a", "")).await;
        let revision = bare.put("a", value).await;
        assert_eq!(stream.told().await, format!("0 @{revision}: a={value}"));
        drop(stream);
        // Nobody is told of this one.
        while bare.followers() > 0 {
            tokio::task::yield_now().await;
        }
        bare.put("a", "unheard").await;
    }
}

#[tokio::test]
async fn a_future_revision_waits() {
    let bare = Bare::default();
    let mut stream = Stream::open(&bare).await;
    stream.create(pb::WatchCreateRequest { start_revision: 4, ..create("a", "") }).await;
    for value in ["1", "2", "3"] {
        bare.put("a", value).await;
    }
    assert_eq!(stream.told().await, "0 @4: a=3");
}

#[tokio::test]
async fn numbers_are_the_servers_or_the_clients_and_never_doubled() {
    let bare = Bare::default();
    let mut stream = Stream::open(&bare).await;
    let chosen = |watch_id| pb::WatchCreateRequest { watch_id, ..create("a", "") };
    let mut ids = Vec::new();
    for id in [0, 0, 7, 0] {
        ids.push(stream.create(chosen(id)).await.watch_id);
    }
    assert_eq!(ids, [0, 1, 7, 2]);
    let doubled = stream.create(chosen(7)).await;
    let reason = "mvcc: duplicate watch ID provided on the WatchStream";
    assert_eq!((doubled.watch_id, doubled.canceled, doubled.cancel_reason.as_str()), (-1, true, reason));
    for (key, end) in [("b", "a"), ("b", "b")] {
        let empty = stream.create(create(key, end)).await;
        let reason = "mvcc: watcher range is empty";
        assert_eq!((empty.watch_id, empty.canceled, empty.cancel_reason.as_str()), (-1, true, reason));
    }
    stream.cancel(99);
    stream.cancel(7);
    stream.cancel(7);
    let canceled = stream.next().await;
    assert_eq!((canceled.watch_id, canceled.canceled, canceled.created), (7, true, false));
    bare.put("a", "1").await;
    let mut told = [stream.told().await, stream.told().await, stream.told().await];
    told.sort();
    assert_eq!(
        told,
        ["0 @2: a=1", "1 @2: a=1", "2 @2: a=1"],
        "a number that is free again is not used again"
    );
}

#[tokio::test]
async fn the_empty_key_means_the_first_one() {
    let bare = Bare::default();
    let mut stream = Stream::open(&bare).await;
    stream.create(create("", "\0")).await;
    bare.put("\0", "1").await;
    assert_eq!(stream.told().await, "0 @2: \\x00=1");
    stream.create(create("", "")).await;
    bare.put("a", "1").await;
    assert_eq!(stream.told().await, "0 @3: a=1", "the second watch is of one key alone");
    stream.ask_progress();
    assert_eq!(stream.told().await, "-1 @3: ");
}

#[tokio::test]
async fn what_is_compacted_cannot_be_watched() {
    let bare = Bare::default();
    for value in ["1", "2", "3"] {
        bare.put("a", value).await;
    }
    let mut stream = Stream::open(&bare).await;
    let from = |start_revision| pb::WatchCreateRequest { start_revision, ..create("a", "") };
    stream.create(from(-5)).await;
    assert_eq!(stream.told().await, "0 @4: a=1 a=2 a=3", "before anything is compacted");
    bare.kv().compact(pb::CompactionRequest { revision: 3, physical: false }).await.unwrap();
    for start in [2, 1, -5] {
        let created = stream.create(from(start)).await;
        assert_eq!((created.canceled, created.header.unwrap().revision), (false, 4));
        let canceled = stream.next().await;
        assert_eq!(canceled.watch_id, created.watch_id);
        assert_eq!((canceled.canceled, canceled.compact_revision), (true, 3));
        assert_eq!((canceled.cancel_reason.as_str(), canceled.header.unwrap().revision), ("", 0));
    }
    stream.create(from(3)).await;
    assert_eq!(stream.told().await, "4 @4: a=2 a=3", "the compacted revision itself is there");
}

#[tokio::test]
async fn progress_is_told_when_it_is_true() {
    let bare = Bare::default();
    let mut stream = Stream::open(&bare).await;
    stream.ask_progress();
    assert_eq!(stream.told().await, "-1 @1: ", "even without a watch");
    for number in 0..3_000 {
        bare.put(&format!("k{number}"), "1").await;
    }
    stream.create(pb::WatchCreateRequest { start_revision: 1, ..create("k", "l") }).await;
    stream.ask_progress();
    let mut events = 0;
    loop {
        let response = stream.next().await;
        if response.watch_id == -1 {
            assert_eq!(response.header.unwrap().revision, 3_001);
            break;
        }
        events += response.events.len();
    }
    assert_eq!(events, 3_000, "all of it came first");
}

#[tokio::test]
async fn only_who_allows_it_gets_fragments() {
    let bare = Bare::default();
    let value = "x".repeat(20 << 10);
    let puts = (0..3).map(|key| op(pb::request_op::Request::RequestPut(put(&format!("k{key}"), &value))));
    let txn = pb::TxnRequest { success: puts.collect(), ..pb::TxnRequest::default() };
    bare.kv().txn(txn.clone()).await.unwrap();
    // 64 KiB are the limit here; two such txns make one response of six events.
    bare.kv().txn(txn).await.unwrap();
    let mut stream = Stream::open(&bare).await;
    let whole = pb::WatchCreateRequest { start_revision: 2, ..create("k", "l") };
    stream.create(whole.clone()).await;
    let response = stream.next().await;
    assert_eq!((response.events.len(), response.fragment), (6, false));
    stream.create(pb::WatchCreateRequest { fragment: true, ..whole }).await;
    let (first, second) = (stream.next().await, stream.next().await);
    assert_eq!((first.events.len(), first.fragment), (3, true));
    assert_eq!((second.events.len(), second.fragment), (3, false));
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_nothing_and_holds_up_nobody() {
    let bare = Bare::default();
    let mut slow = Stream::open(&bare).await;
    let mut quick = Stream::open(&bare).await;
    slow.create(create("k", "l")).await;
    quick.create(create("k", "l")).await;
    let (mut heard_quickly, mut heard_slowly) = (Vec::new(), Vec::new());
    for number in 0..2_000 {
        bare.put("k", &number.to_string()).await;
        heard_quickly.extend(quick.next().await.events.iter().map(shown));
    }
    while heard_slowly.len() < 2_000 {
        heard_slowly.extend(slow.next().await.events.iter().map(shown));
    }
    let all: Vec<String> = (0..2_000).map(|number| format!("k={number}")).collect();
    assert!(heard_quickly == all && heard_slowly == all);
}

#[tokio::test]
async fn many_watches_of_one_stream_are_all_told() {
    let bare = Bare::default();
    let mut stream = Stream::open(&bare).await;
    for _ in 0..1_000 {
        stream.create(create("k", "l")).await;
    }
    bare.put("k", "1").await;
    let mut ids = Vec::new();
    for _ in 0..1_000 {
        ids.push(stream.next().await.watch_id);
    }
    assert_eq!(ids, (0..1_000).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_server_that_stops_ends_the_stream_and_says_so() {
    let bare = Bare::default();
    let mut stream = Stream::open(&bare).await;
    stream.create(create("k", "l")).await;
    *bare.moved.lock().unwrap() = None;
    let status = stream.responses.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: server stopped"));
}

#[tokio::test]
async fn watches_are_bounded_by_stream_by_thread_and_by_their_keys() {
    let bare = Bare::default();
    // Streams of one client: those of one thread.
    let limits = WatchLimits { of_a_stream: 200, of_a_thread: 250, key_bytes: 1_000 };
    let mut client = WatchClient::new(Services::new(bare, REQUEST_BYTES, usize::MAX, limits));
    let mut open = async || {
        let (requests, sent) = mpsc::unbounded_channel();
        let responses = client.watch(UnboundedReceiverStream::new(sent)).await.unwrap().into_inner();
        Stream { requests, responses }
    };
    let refused = |created: &pb::WatchResponse| {
        assert_eq!(created.canceled, created.watch_id == -1);
        assert_eq!(created.cancel_reason == "etcdserver: too many requests", created.canceled, "{created:?}");
        created.canceled
    };
    let (mut one, mut other) = (open().await, open().await);
    for _ in 0..200 {
        assert!(!refused(&one.create(create("a", "")).await));
    }
    assert!(refused(&one.create(create("a", "")).await), "the stream is full");
    for _ in 0..50 {
        assert!(!refused(&other.create(create("a", "")).await));
    }
    assert!(refused(&other.create(create("a", "")).await), "the thread is full");
    one.cancel(7);
    assert!(one.next().await.canceled);
    assert!(!refused(&other.create(create("a", "")).await), "there is room again");

    one.cancel(8);
    assert!(one.next().await.canceled);
    let long = "k".repeat(700);
    assert!(!refused(&other.create(create(&long, "")).await));
    other.cancel(0);
    assert!(other.next().await.canceled);
    assert!(refused(&other.create(create(&long, "")).await), "too many bytes of keys");
}
