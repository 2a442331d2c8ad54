//! How often each call was made, and how it went.

use std::sync::Arc;

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::kv_client::KvClient;
use jangada_etcd::etcdserverpb::watch_client::WatchClient;
use jangada_etcd::{CallCounts, etcdserverpb::watch_request::RequestUnion};
use tonic::codegen::tokio_stream;

use crate::bare::{Bare, put};

/// How often a call has begun, and ended with which codes.
fn told(counts: &CallCounts, method: &str) -> (u64, Vec<(&'static str, u64)>) {
    let told = counts.all().find(|told| told.method == method).unwrap();
    (told.started, told.handled().collect())
}

#[tokio::test]
async fn each_call_is_counted_with_its_code() {
    let bare = Bare::default();
    let counts: Arc<CallCounts> = Arc::default();
    let services = bare.services().counted(Arc::clone(&counts));
    let mut kv = KvClient::new(services.clone());
    kv.put(put("a", "1")).await.unwrap();
    kv.put(put("a", "2")).await.unwrap();
    kv.put(put("", "1")).await.unwrap_err();
    assert_eq!(told(&counts, "Put"), (3, vec![("OK", 2), ("InvalidArgument", 1)]));

    // A stream has ended when it has ended, not when it begins.
    let create = pb::WatchCreateRequest { key: b"a".to_vec().into(), ..pb::WatchCreateRequest::default() };
    let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = tokio_stream::StreamExt::chain(tokio_stream::iter([request]), tokio_stream::pending());
    let mut responses = WatchClient::new(services).watch(requests).await.unwrap().into_inner();
    assert!(responses.message().await.unwrap().unwrap().created);
    assert_eq!(told(&counts, "Watch"), (1, vec![("OK", 0)]));
    drop(responses);
    assert_eq!(told(&counts, "Watch"), (1, vec![("OK", 0), ("Canceled", 1)]), "its client has gone away");
}
