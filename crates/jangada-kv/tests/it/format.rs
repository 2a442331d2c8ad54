//! Bytes that are on disks already: none of these may ever change. docs/store-format.md explains them.

use bytes::Bytes;
use jangada_kv::{
    Command, CommandError, Compare, CompareOperator, CompareTarget, Error, Exec, Expiry, KeyRange, Millis,
    Put, Reply, Request, Response, Retention, Revision, Set, SetCondition, Txn, TxnOp,
};

use crate::support::{World, bytes, one, snapshot};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn requests() {
    let set = Set {
        condition: SetCondition::IfMissing,
        expiry: Expiry::After(300),
        ..Set::new(bytes("k"), bytes("v"))
    };
    let compare =
        Compare { range: one("k"), operator: CompareOperator::Less, target: CompareTarget::Version(-1) };
    let put = TxnOp::Put(Put::new(bytes("k"), bytes("v")));
    let txn = Txn { compare: vec![compare], success: vec![put], failure: vec![] };
    let exec = Exec { watched: vec![(bytes("k"), Some(Revision(2)))], commands: vec![Command::DbSize] };
    let span = KeyRange::Span { from: bytes("a"), to: bytes("b") };
    let delete = jangada_kv::DeleteRange { range: span, prev_kv: true };
    let retention = Retention { revisions: 10_000, bytes: u64::MAX };
    for (request, expected) in [
        (Request::Command(Command::Get { key: bytes("d") }), "01010164"),
        (Request::Command(Command::Set(set)), "0102016b0176010003ac02"),
        (Request::Command(Command::Increment { key: bytes("n"), by: -3 }), "0108016e05"),
        (Request::Exec(exec), "0201016b01020113"),
        (Request::Put(Put::new(bytes("k"), bytes("v"))), "05016b017600000000"),
        (Request::DeleteRange(delete), "06020161016201"),
        (Request::Txn(txn), "070101016b0301010102016b01760000000000"),
        (Request::Compact { revision: Revision(300) }, "08ac02"),
        (Request::ExpireKeys { keys: vec![bytes("k")] }, "0901016b"),
        (Request::Tick, "0a"),
        (Request::SetRetention(retention), "0b904effffffffffffffffff01"),
    ] {
        let mut encoded = Vec::new();
        request.encode(&mut encoded);
        assert_eq!(hex(&encoded), expected, "{request:?}");
    }
}

#[test]
fn responses() {
    let kvs = Reply::Values(vec![Some(bytes("v")), None]);
    for (response, expected) in [
        (Response::Reply(Reply::Ok), "0101"),
        (Response::Reply(kvs), "01050201017600"),
        (Response::Reply(Reply::Error(CommandError::Overflow)), "010902"),
        (Response::Exec(None), "0200"),
        (Response::Expired { keys: 1 }, "0901"),
        (Response::Error(Error::Compacted { floor: Revision(7) }), "0b0207"),
    ] {
        let mut encoded = Vec::new();
        response.encode(&mut encoded);
        assert_eq!(hex(&encoded), expected, "{response:?}");
    }
}

#[test]
fn snapshots() {
    let mut world = World::new();
    world.now = Millis(5);
    world.set("a", "1");
    world.put("b", "2");
    world.apply(Request::Compact { revision: Revision(3) });
    world.run(Command::Set(Set {
        expiry: Expiry::At(Millis(900)),
        ..Set::new(Bytes::from("a"), Bytes::from("3"))
    }));
    world.run(Command::Delete { keys: vec![bytes("b")] });
    let expected = [
        "0b0101050503904e80808010", // Header: format 1, clock 5, revision 5, floor 3, retention.
        "0a02016102020100010131",   // Key a as it was before revision 3.
        "0a03016203030100010132",   // Revision 3: b = 2.
        "0b0301610402028407010133", // Revision 4: a = 3, created in 2, version 2, deadline 900.
        "080301620500000000",       // Revision 5: b is deleted.
        "0c0401038daf9393a49dc89051", // The end: one key, three changes, and the hash.
    ];
    assert_eq!(hex(&snapshot(&mut world.store, 1 << 20)), expected.concat());
}
