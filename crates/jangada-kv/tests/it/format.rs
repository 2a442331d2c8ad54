//! Bytes that are on disks already: none of these may ever change. docs/store-format.md explains them.

use bytes::Bytes;
use jangada_kv::auth::{Credentials, PasswordHash, Permission, PermissionKind, TokenDigest};
use jangada_kv::{
    Alarm, AlarmKind, AlarmRequest, AlarmResponse, AuthChange, AuthError, AuthQuestion, AuthRequest,
    AuthResponse, Caller, Command, CommandError, Compare, CompareOperator, CompareTarget, Error, Exec,
    Expiry, KeyRange, LeaseId, LeaseLife, LeaseRequest, LeaseResponse, Millis, Put, Quota, Reply, Request,
    Response, Retention, Revision, Set, SetCondition, Txn, TxnOp,
};

use crate::support::{World, bytes, one, restore, snapshot};

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
    let (token, hash) = (TokenDigest([0xab; 32]), || PasswordHash(bytes("h")));
    let permission = Permission { kind: PermissionKind::Write, key: bytes("k"), range_end: bytes("l") };
    let digest = "ab".repeat(32);
    let (login, by_token) = (format!("0d0c0175ac02{digest}05"), format!("0e02{digest}0a"));
    let (lease, alarm) = (Request::Lease, Alarm { kind: AlarmKind::NoSpace, member: 7 });
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
        (lease(LeaseRequest::Grant { lease: LeaseId(-1), ttl_seconds: 60 }), "0c01013c"),
        (lease(LeaseRequest::Revoke { lease: LeaseId(1) }), "0c0202"),
        (lease(LeaseRequest::KeepAlive { lease: LeaseId(300) }), "0c03d804"),
        (lease(LeaseRequest::Expire { leases: vec![LeaseId(1), LeaseId(2)] }), "0c04020204"),
        (lease(LeaseRequest::List), "0c05"),
        (Request::SetQuota(Quota { bytes: 300, member: 7 }), "0fac0207"),
        (Request::Alarm(AlarmRequest::List), "1001"),
        (Request::Alarm(AlarmRequest::Raise(alarm)), "10020107"),
        (Request::Alarm(AlarmRequest::Clear(Alarm { kind: AlarmKind::Corrupt, member: 0 })), "10030200"),
        (lease(LeaseRequest::TimeToLive { lease: LeaseId(1), keys: true }), "0c060201"),
        (
            Request::Put(Put { lease: Some(LeaseId(1)), ..Put::new(bytes("k"), bytes("v")) }),
            "05016b01760102000000",
        ),
        (Request::Auth(AuthRequest::Change(AuthChange::Enable)), "0d01"),
        (
            Request::Auth(AuthRequest::Change(AuthChange::UserAdd {
                name: bytes("u"),
                password: Some(hash()),
            })),
            "0d030175010168",
        ),
        (
            Request::Auth(AuthRequest::Change(AuthChange::RoleGrantPermission {
                role: bytes("r"),
                permission,
            })),
            "0d0a017201016b016c",
        ),
        (
            Request::Auth(AuthRequest::Change(AuthChange::Login {
                name: bytes("u"),
                since: 300,
                token,
                ttl_seconds: 5,
            })),
            &login,
        ),
        (Request::Auth(AuthRequest::Ask(AuthQuestion::MayRead { ranges: vec![one("k")] })), "0d150101016b"),
        (Caller::Server.asks(Request::Tick), "0e010a"),
        (Caller::Token(token).asks(Request::Tick), &by_token),
        (Caller::User { name: bytes("u"), since: 300 }.asks(Request::Tick), "0e030175ac020a"),
    ] {
        let mut encoded = Vec::new();
        request.encode(&mut encoded);
        assert_eq!(hex(&encoded), expected, "{request:?}");
    }
}

#[test]
fn responses() {
    let kvs = Reply::Values(vec![Some(bytes("v")), None]);
    let (revision, lease) = (Revision(7), Response::Lease);
    let credentials = Credentials { enabled: true, exists: true, password: None, since: 9 };
    let alarms = vec![Alarm { kind: AlarmKind::NoSpace, member: 7 }];
    let life = LeaseLife { ttl_seconds: 5, remaining_ms: 9, keys: vec![bytes("k")] };
    for (response, expected) in [
        (Response::Reply(Reply::Ok), "0101"),
        (Response::Reply(kvs), "01050201017600"),
        (Response::Reply(Reply::Error(CommandError::Overflow)), "010902"),
        (Response::Exec(None), "0200"),
        (Response::Expired { keys: 1 }, "0901"),
        (Response::Error(Error::Compacted { floor: Revision(7) }), "0b0207"),
        (Response::Error(Error::LeaseExists), "0b0c"),
        (Response::Error(Error::TtlTooLong), "0b0d"),
        (Response::Error(Error::NoSpace), "0b0f"),
        (Response::Error(Error::Corrupt), "0b10"),
        (Response::Error(Error::TooManyKeys), "0b11"),
        (Response::Alarm(AlarmResponse { revision, alarms }), "0e07010107"),
        (lease(LeaseResponse::Granted { revision, lease: LeaseId(1), ttl_seconds: 60 }), "0c0107023c"),
        (lease(LeaseResponse::Revoked { revision }), "0c0207"),
        (
            lease(LeaseResponse::KeptAlive { revision, lease: LeaseId(1), ttl_seconds: Some(60) }),
            "0c030702013c",
        ),
        (lease(LeaseResponse::Expired { leases: 2 }), "0c0402"),
        (lease(LeaseResponse::List { revision, leases: vec![LeaseId(1)] }), "0c05070102"),
        (
            lease(LeaseResponse::TimeToLive { revision, lease: LeaseId(1), life: Some(life) }),
            "0c06070201050901016b",
        ),
        (Response::Error(Error::Auth(AuthError::Denied)), "0b0e0a"),
        (Response::Auth(AuthResponse::Status { revision, enabled: true, auth_revision: 9 }), "0d02070109"),
        (Response::Auth(AuthResponse::Names { revision, names: vec![bytes("u")] }), "0d0307010175"),
        (Response::Auth(AuthResponse::Credentials(credentials)), "0d0501010009"),
        (Response::Auth(AuthResponse::Caller(Caller::Nobody)), "0d0600"),
    ] {
        let mut encoded = Vec::new();
        response.encode(&mut encoded);
        assert_eq!(hex(&encoded), expected, "{response:?}");
    }
}

fn some_store() -> World {
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
    world
}

/// Key a before revision 3, and what came from then on.
const KEYS: [&str; 4] = [
    "0a02016102020100010131",   // Key a as it was before revision 3.
    "0a03016203030100010132",   // Revision 3: b = 2.
    "0b0301610402028407010133", // Revision 4: a = 3, created in 2, version 2, deadline 900.
    "080301620500000000",       // Revision 5: b is deleted.
];

#[test]
fn snapshots() {
    let header = "0b0103050503904e80808010"; // Format 3, clock 5, revision 5, floor 3, retention.
    let end = "0c04010382f1dbb78ba1fbb31a"; // One key, three changes, and the hash.
    let expected = [header, &KEYS.concat(), end].concat();
    assert_eq!(hex(&snapshot(&mut some_store().store, 1 << 20)), expected);
}

#[test]
fn snapshots_with_leases() {
    let mut world = some_store();
    let grant =
        |lease, ttl_seconds| Request::Lease(LeaseRequest::Grant { lease: LeaseId(lease), ttl_seconds });
    world.apply(grant(1, 60));
    world.apply(grant(-1, 2));
    world.apply(Request::Put(Put { lease: Some(LeaseId(1)), ..Put::new(bytes("c"), bytes("4")) }));
    world.put("d", "5");
    world.apply(Request::Compact { revision: Revision(7) });
    let expected = [
        "0b0103050707904e80808010", // Header: format 3, clock 5, revision 7, floor 7, retention.
        "05050102d50f",             // Lease -1: 2 seconds, until 2005.
        "0605023ce5d403",           // Lease 1: 60 seconds, until 60005.
        "0b0201610402028407010133", // Key a before revision 7, with a deadline;
        "0b0602016306060100010134", // key c under lease 1.
        "0a03016407070100010135",   // Revision 7: d = 5.
        "0c040201efd194ffd8b2dcf376", // The end: two keys, one change, and the hash.
    ];
    assert_eq!(hex(&snapshot(&mut world.store, 1 << 20)), expected.concat());
}

#[test]
fn snapshots_with_a_quota_and_alarms() {
    let mut world = some_store();
    world.apply(Request::SetQuota(Quota { bytes: 300, member: 7 }));
    assert_eq!(world.apply(Request::Put(Put::new(bytes("c"), bytes("4")))), Response::Error(Error::NoSpace));
    world.apply(Request::Alarm(AlarmRequest::Raise(Alarm { kind: AlarmKind::Corrupt, member: 0 })));
    let expected = [
        "0b0103050503904e80808010", // Header: format 3.
        "0409ac0207",               // The quota: 300 bytes, says member 7.
        "040a010701",               // It is full there, which the store itself has found.
        "040a020000",               // Corrupt at 0, says somebody.
        &KEYS.concat(),
        "0d040103d9d4c082a7befddf9901",
    ];
    assert_eq!(hex(&snapshot(&mut world.store, 1 << 20)), expected.concat());
}

#[test]
fn snapshots_with_users() {
    let mut world = some_store();
    let mut done = |request| {
        let answer = world.apply(Caller::Server.asks(Request::Auth(request)));
        assert!(matches!(answer, Response::Auth(_)), "{answer:?}");
    };
    done(AuthRequest::Change(AuthChange::RoleAdd { name: bytes("r") }));
    let permission = Permission { kind: PermissionKind::ReadWrite, key: bytes("a"), range_end: bytes("b") };
    done(AuthRequest::Change(AuthChange::RoleGrantPermission { role: bytes("r"), permission }));
    done(AuthRequest::Change(AuthChange::UserAdd {
        name: bytes("root"),
        password: Some(PasswordHash(bytes("h"))),
    }));
    done(AuthRequest::Change(AuthChange::UserGrantRole { user: bytes("root"), role: bytes("root") }));
    done(AuthRequest::Change(AuthChange::UserAdd { name: bytes("z"), password: None }));
    done(AuthRequest::Change(AuthChange::UserGrantRole { user: bytes("z"), role: bytes("r") }));
    done(AuthRequest::Change(AuthChange::Enable));
    let token = TokenDigest([0xab; 32]);
    done(AuthRequest::Change(AuthChange::Login { name: bytes("root"), since: 7, token, ttl_seconds: 300 }));
    let digest = "ab".repeat(32);
    let expected = [
        "0b0103050503904e80808010",             // Header: format 3, as above.
        "0408010107",                           // Auth is on, in revision 7.
        "0a08020172010201610162",               // Role r: read and write, from a to b.
        "11080304726f6f74010168070104726f6f74", // Root: a hash, good from revision 7 on, role root.
        "090803017a0007010172",                 // User z: no password, the same, role r.
        "2c0804",
        &digest,
        "04726f6f74ac02e5a712", // A token of root's: 300 seconds, until 300005.
        &KEYS.concat(),
        "0c040103c7d6c6abab98c08018",
    ];
    let written = snapshot(&mut world.store, 1 << 20);
    assert_eq!(hex(&written), expected.concat());
    assert_eq!(restore(&written, 7).state_hash(), world.store.state_hash());
}

#[test]
fn snapshots_of_before_there_were_leases_or_users_are_read() {
    let ends = [
        ("0b0101050503904e80808010", "0c0401038daf9393a49dc89051"), // Format 1.
        ("0b0102050503904e80808010", "0d040103bacbe4f5fbd4dcc6f901"), // Format 2.
    ];
    for (header, end) in ends {
        let old = [header, &KEYS.concat(), end].concat();
        let byte = |at| u8::from_str_radix(&old[at..at + 2], 16).unwrap();
        let old: Vec<u8> = (0..old.len()).step_by(2).map(byte).collect();
        assert_eq!(restore(&old, 7).state_hash(), some_store().store.state_hash());
    }
}
