//! What a server that panics leaves behind.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;
use jangada_kv::Request;
use jangada_kv::command::Command;
use jangada_node::state_machine::STAMP_BYTES;
use jangada_server::config::{LogLevel, LogStyle, ServerConfig};
use jangada_server::handle::{BatchItem, Kind};
use jangada_server::{Ready, StopHandle};

const PATIENCE: Duration = Duration::from_secs(30);

/// A write, as connections hand it over.
fn write(key: &str) -> BatchItem {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::from_static(b"8"));
    let request = Request::Command(Command::MSet { pairs: vec![(key, value)] });
    let mut encoded = vec![0; STAMP_BYTES];
    request.encode(&mut encoded);
    BatchItem::Write { encoded }
}

#[test]
fn a_panic_leaves_what_happened_in_the_step_that_it_broke_off() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let config = ServerConfig {
        log: LogStyle::Text,
        log_level: LogLevel::Warn,
        ..ServerConfig::single("n1", data.clone())
    };
    let (tell, told) = sync_channel::<Ready>(1);
    let server = std::thread::spawn(move || {
        jangada_server::run(config, &StopHandle::new(), |ready| tell.send(ready.clone()).unwrap())
    });
    let handle = told.recv_timeout(PATIENCE).unwrap().handle;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime.block_on(handle.submit(Kind::Write, vec![write("a")], PATIENCE));
    assert!(first[0].is_ok(), "{first:?}");
    let last = handle.look(|replica| replica.raft().last_index().0).unwrap();
    let last = runtime.block_on(last).unwrap();

    // While its thread waits here, a write and a panic come in: both belong to its next step.
    let (stand, stands) = sync_channel::<()>(0);
    let (go, goes) = sync_channel::<()>(0);
    let halt = move |_: &_| {
        stand.send(()).unwrap();
        goes.recv().unwrap();
    };
    let _halted = handle.look(halt).unwrap();
    stands.recv_timeout(PATIENCE).unwrap();
    let begun = runtime.block_on(handle.begin(Kind::Write, vec![write("b")], PATIENCE));
    let _dies = handle.look(|_| panic!("a bug")).unwrap();
    go.send(()).unwrap();
    assert!(server.join().is_err(), "it has panicked");
    drop(begun);
    let files = std::fs::read_dir(data.join("flight")).unwrap();
    let file = files.map(|entry| entry.unwrap().path()).max().unwrap();
    assert!(file.to_string_lossy().ends_with("-end.jsonl"), "{file:?}");
    let text = std::fs::read_to_string(file).unwrap();
    let appended = format!("\"event\":\"appended\",\"first\":{},", last + 1);
    assert!(text.lines().any(|line| line.contains(&appended)), "{text}");
    let numbers = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap());
    assert!(numbers.eq(1..=text.lines().count() as u64), "none is missing: {text}");
}
