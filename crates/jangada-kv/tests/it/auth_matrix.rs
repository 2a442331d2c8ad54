//! Every kind of leaf, at every place in a request, asked for by every kind of user: permitted exactly if the user may,
//! and what is refused leaves no trace.

use jangada_kv::auth::PermissionKind;
use jangada_kv::{
    AuthChange, AuthError, AuthQuestion, AuthRequest, Caller, Command, Compare, CompareOperator,
    CompareTarget, DeleteRange, Error, Exec, ExpireCondition, Expiry, KeyRange, LeaseId, LeaseRequest, Put,
    RangeRequest, Request, Response, Set, Txn, TxnOp,
};

use crate::auth::{add_role, add_user, auth, permission, since, user};
use crate::support::{World, bytes, one};

/// What a user may do with the keys that begin with m; a leaf, what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    read: bool,
    write: bool,
}

const NOTHING: Rights = Rights { read: false, write: false };
const READ: Rights = Rights { read: true, write: false };
const WRITE: Rights = Rights { read: false, write: true };
const BOTH: Rights = Rights { read: true, write: true };

const USERS: [(&str, Rights); 7] = [
    ("root", BOTH),
    ("both", BOTH),
    ("reader", READ),
    ("writer", WRITE),
    ("halves", BOTH),
    ("other", NOTHING),
    ("none", NOTHING),
];

fn world() -> World {
    let mut world = World::new();
    world.put("m1", "one");
    world.put("x1", "one");
    let grant = LeaseRequest::Grant { lease: LeaseId(7), ttl_seconds: 1_000 };
    world.apply(Request::Lease(grant));
    world.apply(Request::Put(Put { lease: Some(LeaseId(7)), ..Put::new(bytes("m7"), bytes("leased")) }));
    world.apply(Request::Lease(LeaseRequest::Grant { lease: LeaseId(8), ttl_seconds: 1_000 }));
    let (read, write, both) = (PermissionKind::Read, PermissionKind::Write, PermissionKind::ReadWrite);
    add_role(&mut world, "reads", &[permission(read, "m", "n")]);
    add_role(&mut world, "writes", &[permission(write, "m", "n")]);
    add_role(&mut world, "both", &[permission(both, "m", "n")]);
    // Together they are as good as one.
    add_role(&mut world, "first half", &[permission(read, "m", "m5"), permission(write, "m", "m3")]);
    add_role(&mut world, "second half", &[permission(both, "m5", "n"), permission(write, "m3", "m5")]);
    add_role(&mut world, "other", &[permission(both, "x", "y"), permission(both, "l", "m")]);
    add_user(&mut world, "root", &["root"]);
    add_user(&mut world, "both", &["both"]);
    add_user(&mut world, "reader", &["reads"]);
    add_user(&mut world, "writer", &["writes"]);
    add_user(&mut world, "halves", &["first half", "second half"]);
    add_user(&mut world, "other", &["other"]);
    add_user(&mut world, "none", &[]);
    auth(&mut world, AuthRequest::Change(AuthChange::Enable)).unwrap();
    world
}

fn prefix() -> KeyRange {
    KeyRange::Span { from: bytes("m"), to: bytes("n") }
}

/// The operations of a txn, and what each needs.
fn operations() -> Vec<(TxnOp, Rights)> {
    let put = |key: &str| Put::new(bytes(key), bytes("new"));
    let range = |range| TxnOp::Range(RangeRequest::new(range));
    let delete = |range, prev_kv| TxnOp::DeleteRange(DeleteRange { range, prev_kv });
    vec![
        (range(one("m1")), READ),
        (range(prefix()), READ),
        (TxnOp::Range(RangeRequest { count_only: true, ..RangeRequest::new(prefix()) }), READ),
        (TxnOp::Put(put("m1")), WRITE),
        (TxnOp::Put(Put { prev_kv: true, ..put("m1") }), BOTH),
        // Lease 7 holds a key of m's, lease 8 none.
        (TxnOp::Put(Put { lease: Some(LeaseId(7)), ..put("m1") }), WRITE),
        (TxnOp::Put(Put { lease: Some(LeaseId(8)), ..put("m1") }), WRITE),
        (delete(one("m1"), false), WRITE),
        (delete(one("m1"), true), BOTH),
        (delete(prefix(), false), WRITE),
        (delete(prefix(), true), BOTH),
    ]
}

fn compare() -> Compare {
    Compare { range: one("m1"), operator: CompareOperator::Equal, target: CompareTarget::Version(1) }
}

fn own(op: TxnOp) -> Request {
    match op {
        TxnOp::Range(range) => Request::Range(Box::new(range)),
        TxnOp::Put(put) => Request::Put(put),
        TxnOp::DeleteRange(delete) => Request::DeleteRange(delete),
        TxnOp::Txn(txn) => Request::Txn(txn),
    }
}

/// An operation by itself, and at each place in a txn; also beside something that everybody in these tests may.
fn placed(op: &TxnOp) -> Vec<Request> {
    let txn = |success: &[TxnOp], failure: &[TxnOp]| {
        let (success, failure) = (success.to_vec(), failure.to_vec());
        Txn { compare: Vec::new(), success, failure }
    };
    let alone = txn(std::slice::from_ref(op), &[]);
    let never = txn(&[], std::slice::from_ref(op));
    let nest = |txn: Txn| TxnOp::Txn(txn);
    let mut requests = vec![own(op.clone()), Request::Txn(alone.clone()), Request::Txn(never.clone())];
    for inner in [alone, never] {
        for outer in [txn(&[nest(inner.clone())], &[]), txn(&[], &[nest(inner.clone())])] {
            requests.push(Request::Txn(txn(&[nest(outer.clone())], &[])));
            requests.push(Request::Txn(txn(&[], &[nest(outer.clone())])));
            requests.push(Request::Txn(outer));
        }
    }
    requests
}

/// Comparisons at each place.
fn compared() -> Vec<Request> {
    let inner = Txn { compare: vec![compare()], ..Txn::default() };
    let within = |txn: &Txn| TxnOp::Txn(txn.clone());
    let success = Txn { success: vec![within(&inner)], ..Txn::default() };
    let failure = Txn { failure: vec![within(&inner)], ..Txn::default() };
    let deeper = Txn { failure: vec![within(&failure)], ..Txn::default() };
    [inner, success, failure, deeper].into_iter().map(Request::Txn).collect()
}

fn leases() -> Vec<(Request, Rights)> {
    let of = Request::Lease;
    vec![
        (of(LeaseRequest::Revoke { lease: LeaseId(7) }), WRITE),
        (of(LeaseRequest::Revoke { lease: LeaseId(8) }), NOTHING),
        (of(LeaseRequest::TimeToLive { lease: LeaseId(7), keys: true }), READ),
        (of(LeaseRequest::TimeToLive { lease: LeaseId(7), keys: false }), NOTHING),
        (of(LeaseRequest::Grant { lease: LeaseId(9), ttl_seconds: 9 }), NOTHING),
        (of(LeaseRequest::KeepAlive { lease: LeaseId(7) }), NOTHING),
        (of(LeaseRequest::List), NOTHING),
        (Request::Compact { revision: jangada_kv::Revision(2) }, NOTHING),
        (Request::Auth(AuthRequest::Ask(AuthQuestion::WhoAmI)), NOTHING),
        (Request::Auth(AuthRequest::Ask(AuthQuestion::MayRead { ranges: vec![one("m1"), prefix()] })), READ),
        (Request::WatchRevision { key: bytes("m1") }, READ),
    ]
}

/// All commands; what is of all keys nobody of these users may but root.
fn commands() -> Vec<(Command, Option<Rights>)> {
    let key = || bytes("m1");
    let keys = || vec![bytes("m1"), bytes("m2")];
    let set = || Set::new(key(), bytes("v"));
    let expire = |expiry| Command::Expire { key: key(), expiry, condition: ExpireCondition::Always };
    vec![
        (Command::Get { key: key() }, Some(READ)),
        (Command::Set(set()), Some(WRITE)),
        (Command::Set(Set { get: true, ..set() }), Some(BOTH)),
        (Command::SetNx { key: key(), value: key() }, Some(WRITE)),
        (Command::MSet { pairs: vec![(key(), key())] }, Some(WRITE)),
        (Command::MGet { keys: keys() }, Some(READ)),
        (Command::Delete { keys: keys() }, Some(WRITE)),
        (Command::Exists { keys: keys() }, Some(READ)),
        (Command::Increment { key: bytes("m2"), by: 1 }, Some(BOTH)),
        (Command::Append { key: key(), value: key() }, Some(BOTH)),
        (Command::StrLen { key: key() }, Some(READ)),
        (Command::GetDelete { key: key() }, Some(BOTH)),
        (Command::GetEx { key: key(), expiry: Expiry::Keep }, Some(READ)),
        (Command::GetEx { key: key(), expiry: Expiry::Clear }, Some(BOTH)),
        (expire(Expiry::After(9_000)), Some(WRITE)),
        (Command::Persist { key: key() }, Some(WRITE)),
        (Command::Ttl { key: key() }, Some(READ)),
        (Command::Deadline { key: key() }, Some(READ)),
        (Command::Type { key: key() }, Some(READ)),
        (Command::Keys { pattern: bytes("m*") }, Some(READ)),
        (Command::Scan { cursor: 0, pattern: Some(bytes("m?")), count: 9 }, None),
        (Command::Keys { pattern: bytes("*") }, None),
        (Command::Scan { cursor: 0, pattern: None, count: 9 }, None),
        (Command::DbSize, None),
        (Command::FlushAll, None),
    ]
}

/// Asks in a fresh world; what is not permitted changes nothing, by the log or as a read.
fn check(request: &Request, name: &str, caller: &Caller, may: bool) {
    let mut world = world();
    let before = world.store.state_hash();
    let asked = caller.asks(request.clone());
    let mut answers = Vec::new();
    if request.is_read_only() {
        answers.push(world.store.read(world.now, &asked));
    }
    answers.push(world.apply(asked));
    for answer in answers {
        let refused = matches!(answer, Response::Error(Error::Auth(_)));
        assert_eq!(refused, !may, "{name}: {request:?} gives {answer:?}");
        let expected = if *caller == Caller::Nobody { AuthError::NoUser } else { AuthError::Denied };
        assert!(may || answer == Response::Error(Error::Auth(expected)), "{name}: {answer:?}");
    }
    if !may {
        assert_eq!(world.store.state_hash(), before, "{name}: {request:?} left a trace");
    }
}

fn check_all(request: &Request, needs: Option<Rights>) {
    let store = world().store;
    for (name, has) in USERS {
        let may = match needs {
            Some(needs) => (has.read || !needs.read) && (has.write || !needs.write),
            None => name == "root",
        };
        check(request, name, &user(name, since(&store, name)), may);
    }
    check(request, "nobody", &Caller::Nobody, false);
    check(request, "the server", &Caller::Server, true);
}

#[test]
fn each_operation_at_each_place() {
    for (op, needs) in operations() {
        for request in placed(&op) {
            check_all(&request, Some(needs));
        }
    }
}

#[test]
fn each_comparison_at_each_place() {
    compared().iter().for_each(|request| check_all(request, Some(READ)));
}

#[test]
fn a_txn_is_refused_whole_for_any_one_leaf() {
    let store = world().store;
    let other = user("other", since(&store, "other"));
    for (op, _) in operations() {
        for inner in placed(&op) {
            let Request::Txn(inner) = inner else { continue };
            let own = TxnOp::Put(Put::new(bytes("x1"), bytes("own")));
            let txn = Txn { success: vec![own, TxnOp::Txn(inner)], ..Txn::default() };
            check(&Request::Txn(txn), "other", &other, false);
        }
    }
}

#[test]
fn each_request_about_leases_and_the_rest() {
    leases().iter().for_each(|(request, needs)| check_all(request, Some(*needs)));
}

#[test]
fn each_command_by_itself_and_in_a_transaction() {
    for (command, needs) in commands() {
        check_all(&Request::Command(command.clone()), needs);
        let commands = vec![Command::Get { key: bytes("m1") }, command];
        let both = needs.map(|needs| Rights { read: true, ..needs });
        check_all(&Request::Exec(Exec { watched: Vec::new(), commands }), both);
    }
    let watched = vec![(bytes("m1"), None)];
    check_all(&Request::Exec(Exec { watched, commands: Vec::new() }), Some(READ));
}

#[test]
fn managing_is_for_root_alone() {
    let name = || bytes("new");
    for request in [
        AuthRequest::Change(AuthChange::Enable),
        AuthRequest::Change(AuthChange::Disable),
        AuthRequest::Change(AuthChange::UserAdd { name: name(), password: None }),
        AuthRequest::Change(AuthChange::UserDelete { name: bytes("none") }),
        AuthRequest::Change(AuthChange::UserChangePassword {
            name: bytes("none"),
            password: crate::auth::hash("x"),
        }),
        AuthRequest::Change(AuthChange::UserGrantRole { user: bytes("none"), role: bytes("root") }),
        AuthRequest::Change(AuthChange::UserRevokeRole { user: bytes("reader"), role: bytes("reads") }),
        AuthRequest::Change(AuthChange::RoleAdd { name: name() }),
        AuthRequest::Change(AuthChange::RoleDelete { name: bytes("reads") }),
        AuthRequest::Change(AuthChange::RoleGrantPermission {
            role: bytes("reads"),
            permission: permission(PermissionKind::Write, "", "\0"),
        }),
        AuthRequest::Change(AuthChange::RoleRevokePermission {
            role: bytes("reads"),
            key: bytes("m"),
            range_end: bytes("n"),
        }),
        AuthRequest::Ask(AuthQuestion::Status),
        AuthRequest::Ask(AuthQuestion::UserList),
        AuthRequest::Ask(AuthQuestion::RoleList),
        AuthRequest::Ask(AuthQuestion::MayManage),
    ] {
        check_all(&Request::Auth(request), None);
    }
}

#[test]
fn ranges_may_be_open_and_still_must_be_covered() {
    let mut world = world();
    let ask = |world: &mut World, range: KeyRange, may: bool| {
        let caller = user("other", since(&world.store, "other"));
        let answer = world.apply(caller.asks(Request::Range(Box::new(RangeRequest::new(range.clone())))));
        assert_eq!(matches!(answer, Response::Range(_)), may, "{range:?}");
    };
    ask(&mut world, KeyRange::From(bytes("x")), false);
    ask(&mut world, KeyRange::all(), false);
    let root = user("root", since(&world.store, "root"));
    let all = permission(PermissionKind::Read, "x5", "\0");
    let grant =
        AuthRequest::Change(AuthChange::RoleGrantPermission { role: bytes("other"), permission: all });
    crate::auth::by(&mut world, &root, grant).unwrap();
    ask(&mut world, KeyRange::From(bytes("x")), true);
    ask(&mut world, KeyRange::From(bytes("w")), false);
    let all = permission(PermissionKind::Read, "\0", "\0");
    let grant =
        AuthRequest::Change(AuthChange::RoleGrantPermission { role: bytes("other"), permission: all });
    crate::auth::by(&mut world, &root, grant).unwrap();
    ask(&mut world, KeyRange::all(), true);
}
