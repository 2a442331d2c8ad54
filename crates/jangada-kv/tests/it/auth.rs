//! Users, roles, permissions, and what becomes of them in snapshots.

use jangada_kv::auth::{AuthError, Credentials, PasswordHash, Permission, PermissionKind, TokenDigest};
use jangada_kv::{
    AuthChange, AuthQuestion, AuthRequest, AuthResponse, Caller, Error, LeaseId, LeaseRequest, Millis, Put,
    Request, Response, Store,
};

use crate::support::{World, bytes, restore, snapshot};

pub(crate) fn hash(text: &str) -> PasswordHash {
    PasswordHash(bytes(text))
}

pub(crate) fn permission(kind: PermissionKind, key: &str, range_end: &str) -> Permission {
    Permission { kind, key: bytes(key), range_end: bytes(range_end) }
}

pub(crate) fn user(name: &str, since: u64) -> Caller {
    Caller::User { name: bytes(name), since }
}

pub(crate) fn digest(number: u8) -> TokenDigest {
    TokenDigest([number; 32])
}

/// Has something done by nobody in particular: while nobody is asked, anybody can.
pub(crate) fn auth(world: &mut World, request: AuthRequest) -> Result<AuthResponse, AuthError> {
    by(world, &Caller::Nobody, request)
}

pub(crate) fn by(
    world: &mut World,
    caller: &Caller,
    request: AuthRequest,
) -> Result<AuthResponse, AuthError> {
    answer(world.apply(caller.asks(Request::Auth(request))))
}

fn answer(response: Response) -> Result<AuthResponse, AuthError> {
    match response {
        Response::Auth(response) => Ok(response),
        Response::Error(Error::Auth(error)) => Err(error),
        other => panic!("a request about users got {other:?}"),
    }
}

fn done(world: &mut World, request: AuthRequest) {
    let described = format!("{request:?}");
    assert!(matches!(auth(world, request), Ok(AuthResponse::Done { .. })), "{described}");
}

pub(crate) fn add_user(world: &mut World, name: &str, roles: &[&str]) {
    done(world, AuthRequest::Change(AuthChange::UserAdd { name: bytes(name), password: Some(hash(name)) }));
    for role in roles {
        done(world, AuthRequest::Change(AuthChange::UserGrantRole { user: bytes(name), role: bytes(role) }));
    }
}

pub(crate) fn add_role(world: &mut World, name: &str, permissions: &[Permission]) {
    done(world, AuthRequest::Change(AuthChange::RoleAdd { name: bytes(name) }));
    for permission in permissions {
        let permission = permission.clone();
        done(world, AuthRequest::Change(AuthChange::RoleGrantPermission { role: bytes(name), permission }));
    }
}

/// Which password a user has.
pub(crate) fn since(store: &Store, name: &str) -> u64 {
    credentials(store, name).since
}

fn credentials(store: &Store, name: &str) -> Credentials {
    let asked =
        Caller::Server.asks(Request::Auth(AuthRequest::Ask(AuthQuestion::Credentials { name: bytes(name) })));
    match store.read(Millis(0), &asked) {
        Response::Auth(AuthResponse::Credentials(credentials)) => credentials,
        other => panic!("credentials: {other:?}"),
    }
}

fn auth_revision(world: &mut World) -> u64 {
    match by(world, &Caller::Server, AuthRequest::Ask(AuthQuestion::Status)).unwrap() {
        AuthResponse::Status { auth_revision, .. } => auth_revision,
        other => panic!("the status: {other:?}"),
    }
}

fn names(response: AuthResponse) -> Vec<String> {
    match response {
        AuthResponse::Names { names, .. } => {
            names.iter().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect()
        }
        other => panic!("names: {other:?}"),
    }
}

/// Root, and one user who may read and write what begins with m.
pub(crate) fn some_users() -> World {
    let mut world = World::new();
    add_user(&mut world, "root", &["root"]);
    add_role(&mut world, "m", &[permission(PermissionKind::ReadWrite, "m", "n")]);
    add_user(&mut world, "ana", &["m"]);
    done(&mut world, AuthRequest::Change(AuthChange::Enable));
    world
}

fn login(world: &mut World, name: &str, number: u8, ttl_seconds: u64) -> Result<AuthResponse, AuthError> {
    let since = since(&world.store, name);
    let login = AuthRequest::Change(AuthChange::Login {
        name: bytes(name),
        since,
        token: digest(number),
        ttl_seconds,
    });
    by(world, &Caller::Server, login)
}

fn put(key: &str) -> Request {
    Request::Put(Put::new(bytes(key), bytes("v")))
}

fn is_denied(response: &Response, error: AuthError) -> bool {
    *response == Response::Error(Error::Auth(error))
}

#[test]
fn auth_needs_root_to_begin() {
    let mut world = World::new();
    assert_eq!(auth(&mut world, AuthRequest::Change(AuthChange::Enable)), Err(AuthError::NoRootUser));
    add_user(&mut world, "root", &[]);
    assert_eq!(auth(&mut world, AuthRequest::Change(AuthChange::Enable)), Err(AuthError::RootLacksRole));
    assert!(!world.store.auth_enabled());
    done(
        &mut world,
        AuthRequest::Change(AuthChange::UserGrantRole { user: bytes("root"), role: bytes("root") }),
    );
    let before = world.store.auth_stamp();
    done(&mut world, AuthRequest::Change(AuthChange::Enable));
    assert!(world.store.auth_enabled() && world.store.auth_stamp() != before);
    assert_eq!(
        auth(&mut world, AuthRequest::Change(AuthChange::Enable)),
        Err(AuthError::NoUser),
        "now it asks"
    );
}

#[test]
fn users_and_roles_are_refused_by_their_rules() {
    let mut world = some_users();
    let root = user("root", since(&world.store, "root"));
    let mut by_root = |request| by(&mut world, &root, request).map(|_| ());
    let (ana, m, none) = (|| bytes("ana"), || bytes("m"), || bytes("none"));
    for (request, expected) in [
        (
            AuthRequest::Change(AuthChange::UserAdd { name: bytes(""), password: None }),
            Err(AuthError::NoUser),
        ),
        (
            AuthRequest::Change(AuthChange::UserAdd { name: ana(), password: None }),
            Err(AuthError::UserExists),
        ),
        (
            AuthRequest::Change(AuthChange::UserDelete { name: bytes("root") }),
            Err(AuthError::InvalidManagement),
        ),
        (AuthRequest::Change(AuthChange::UserDelete { name: none() }), Err(AuthError::UserNotFound)),
        (
            AuthRequest::Change(AuthChange::UserChangePassword { name: none(), password: hash("x") }),
            Err(AuthError::UserNotFound),
        ),
        (
            AuthRequest::Change(AuthChange::UserGrantRole { user: none(), role: m() }),
            Err(AuthError::UserNotFound),
        ),
        (
            AuthRequest::Change(AuthChange::UserGrantRole { user: ana(), role: none() }),
            Err(AuthError::RoleNotFound),
        ),
        (AuthRequest::Change(AuthChange::UserGrantRole { user: ana(), role: m() }), Ok(())),
        (
            AuthRequest::Change(AuthChange::UserRevokeRole { user: none(), role: m() }),
            Err(AuthError::UserNotFound),
        ),
        (
            AuthRequest::Change(AuthChange::UserRevokeRole { user: ana(), role: none() }),
            Err(AuthError::RoleNotGranted),
        ),
        (
            AuthRequest::Change(AuthChange::UserRevokeRole { user: bytes("root"), role: bytes("root") }),
            Err(AuthError::InvalidManagement),
        ),
        (AuthRequest::Change(AuthChange::RoleAdd { name: bytes("") }), Err(AuthError::NoRoleName)),
        (AuthRequest::Change(AuthChange::RoleAdd { name: m() }), Err(AuthError::RoleExists)),
        (AuthRequest::Change(AuthChange::RoleDelete { name: none() }), Err(AuthError::RoleNotFound)),
        (
            AuthRequest::Change(AuthChange::RoleDelete { name: bytes("root") }),
            Err(AuthError::InvalidManagement),
        ),
        (
            AuthRequest::Change(AuthChange::RoleRevokePermission {
                role: m(),
                key: m(),
                range_end: bytes(""),
            }),
            Err(AuthError::PermissionNotGranted),
        ),
        (
            AuthRequest::Change(AuthChange::RoleRevokePermission {
                role: none(),
                key: m(),
                range_end: bytes(""),
            }),
            Err(AuthError::RoleNotFound),
        ),
        (AuthRequest::Ask(AuthQuestion::UserGet { name: none() }), Err(AuthError::UserNotFound)),
        (AuthRequest::Ask(AuthQuestion::RoleGet { name: none() }), Err(AuthError::RoleNotFound)),
    ] {
        let described = format!("{request:?}");
        assert_eq!(by_root(request), expected, "{described}");
    }
}

#[test]
fn each_change_of_users_is_counted_and_nothing_else() {
    let mut world = World::new();
    assert_eq!(auth_revision(&mut world), 1);
    add_user(&mut world, "root", &["root"]);
    assert_eq!(auth_revision(&mut world), 3);
    done(
        &mut world,
        AuthRequest::Change(AuthChange::UserGrantRole { user: bytes("root"), role: bytes("root") }),
    );
    assert_eq!(auth_revision(&mut world), 3, "it had the role");
    done(&mut world, AuthRequest::Change(AuthChange::Enable));
    assert_eq!(auth_revision(&mut world), 3);
    let root = user("root", since(&world.store, "root"));
    by(&mut world, &root, AuthRequest::Change(AuthChange::Disable)).unwrap();
    assert_eq!(auth_revision(&mut world), 4);
    done(&mut world, AuthRequest::Change(AuthChange::Disable));
    assert_eq!(auth_revision(&mut world), 4, "it was off");
    assert_eq!(world.store.revision().0, 1, "keys are another matter");
}

#[test]
fn a_role_has_one_permission_for_each_range() {
    let mut world = World::new();
    let (read, write) = (PermissionKind::Read, PermissionKind::Write);
    add_role(
        &mut world,
        "r",
        &[
            permission(read, "b", ""),
            permission(write, "a", "c"),
            permission(read, "b", "c"),
            permission(write, "b", ""),
        ],
    );
    let Ok(AuthResponse::Permissions { permissions, .. }) =
        auth(&mut world, AuthRequest::Ask(AuthQuestion::RoleGet { name: bytes("r") }))
    else {
        panic!("the role is there");
    };
    let expected = [permission(write, "a", "c"), permission(write, "b", ""), permission(read, "b", "c")];
    assert_eq!(permissions, expected);
    done(
        &mut world,
        AuthRequest::Change(AuthChange::RoleRevokePermission {
            role: bytes("r"),
            key: bytes("b"),
            range_end: bytes(""),
        }),
    );
    let Ok(AuthResponse::Permissions { permissions, .. }) =
        auth(&mut world, AuthRequest::Ask(AuthQuestion::RoleGet { name: bytes("r") }))
    else {
        panic!("the role is there");
    };
    assert_eq!(permissions.len(), 2);
}

#[test]
fn users_know_themselves_and_their_roles() {
    let mut world = some_users();
    let ana = user("ana", since(&world.store, "ana"));
    let get = |name: &str| AuthRequest::Ask(AuthQuestion::UserGet { name: bytes(name) });
    let role = |name: &str| AuthRequest::Ask(AuthQuestion::RoleGet { name: bytes(name) });
    assert_eq!(names(by(&mut world, &ana, get("ana")).unwrap()), ["m"]);
    assert_eq!(by(&mut world, &ana, get("root")), Err(AuthError::Denied));
    assert_eq!(by(&mut world, &ana, get("nobody")), Err(AuthError::Denied));
    assert!(by(&mut world, &ana, role("m")).is_ok());
    assert_eq!(by(&mut world, &ana, role("root")), Err(AuthError::Denied));
    assert_eq!(by(&mut world, &Caller::Nobody, get("ana")), Err(AuthError::NoUser));
    for request in [
        AuthRequest::Ask(AuthQuestion::UserList),
        AuthRequest::Ask(AuthQuestion::RoleList),
        AuthRequest::Ask(AuthQuestion::Status),
        AuthRequest::Change(AuthChange::Disable),
    ] {
        assert_eq!(by(&mut world, &ana, request), Err(AuthError::Denied));
    }
    let root = user("root", since(&world.store, "root"));
    assert_eq!(
        names(by(&mut world, &root, AuthRequest::Ask(AuthQuestion::UserList)).unwrap()),
        ["ana", "root"]
    );
    assert_eq!(names(by(&mut world, &root, AuthRequest::Ask(AuthQuestion::RoleList)).unwrap()), ["m"]);
}

#[test]
fn a_token_stands_for_its_user_until_it_ends() {
    let mut world = some_users();
    login(&mut world, "ana", 1, 300).unwrap();
    let token = Caller::Token(digest(1));
    assert!(matches!(world.apply(token.asks(put("m1"))), Response::Put(_)));
    assert!(is_denied(&world.apply(token.asks(put("x"))), AuthError::Denied));
    let unknown = Caller::Token(digest(2));
    assert!(is_denied(&world.apply(unknown.asks(put("m1"))), AuthError::InvalidToken));
    world.now = world.now + 299_000;
    assert!(matches!(world.apply(token.asks(put("m1"))), Response::Put(_)));
    world.now = world.now + 299_000;
    assert!(matches!(world.apply(token.asks(put("m1"))), Response::Put(_)), "who uses it keeps it");
    world.now = world.now + 300_000;
    assert!(is_denied(&world.apply(token.asks(put("m1"))), AuthError::InvalidToken));
}

#[test]
fn a_token_that_nobody_issued_is_refused_even_where_none_is_needed() {
    let mut world = World::new();
    assert!(is_denied(&world.apply(Caller::Token(digest(1)).asks(put("a"))), AuthError::InvalidToken));
    assert_eq!(world.store.revision().0, 1);
    let login = AuthRequest::Change(AuthChange::Login {
        name: bytes("a"),
        since: 0,
        token: digest(1),
        ttl_seconds: 1,
    });
    assert_eq!(by(&mut world, &Caller::Server, login), Err(AuthError::NotEnabled));
}

#[test]
fn another_password_ends_what_the_old_one_began() {
    let mut world = some_users();
    login(&mut world, "ana", 1, 300).unwrap();
    let (old, ana) = (since(&world.store, "ana"), user("ana", since(&world.store, "ana")));
    let root = user("root", since(&world.store, "root"));
    let grant = AuthRequest::Change(AuthChange::UserGrantRole { user: bytes("ana"), role: bytes("root") });
    by(&mut world, &root, grant).unwrap();
    assert!(matches!(world.apply(Caller::Token(digest(1)).asks(put("x"))), Response::Put(_)));
    let change =
        AuthRequest::Change(AuthChange::UserChangePassword { name: bytes("ana"), password: hash("new") });
    by(&mut world, &root, change).unwrap();
    assert!(is_denied(&world.apply(Caller::Token(digest(1)).asks(put("m"))), AuthError::InvalidToken));
    assert!(is_denied(&world.apply(ana.asks(put("m"))), AuthError::InvalidToken));
    let late = AuthRequest::Change(AuthChange::Login {
        name: bytes("ana"),
        since: old,
        token: digest(3),
        ttl_seconds: 9,
    });
    assert_eq!(by(&mut world, &Caller::Server, late), Err(AuthError::LoginFailed));
    login(&mut world, "ana", 4, 300).unwrap();
    by(&mut world, &root, AuthRequest::Change(AuthChange::UserDelete { name: bytes("ana") })).unwrap();
    assert!(is_denied(&world.apply(Caller::Token(digest(4)).asks(put("m"))), AuthError::InvalidToken));
}

#[test]
fn who_logged_in_before_users_were_last_asked_has_to_again() {
    let mut world = some_users();
    let (root, ana) = (user("root", since(&world.store, "root")), user("ana", since(&world.store, "ana")));
    assert!(matches!(world.apply(ana.asks(put("m"))), Response::Put(_)));
    by(&mut world, &root, AuthRequest::Change(AuthChange::Disable)).unwrap();
    assert!(matches!(world.apply(ana.asks(put("m"))), Response::Put(_)), "nobody is asked now");
    done(&mut world, AuthRequest::Change(AuthChange::Enable));
    for old in [root, ana] {
        assert!(is_denied(&world.apply(old.asks(put("m"))), AuthError::InvalidToken));
    }
    let ana = user("ana", since(&world.store, "ana"));
    assert!(matches!(world.apply(ana.asks(put("m"))), Response::Put(_)));
}

#[test]
fn no_client_can_ask_what_only_the_server_does() {
    let mut world = some_users();
    for name in ["root", "ana"] {
        let caller = user(name, since(&world.store, name));
        for request in [
            AuthRequest::Ask(AuthQuestion::Credentials { name: bytes("root") }),
            AuthRequest::Change(AuthChange::Login {
                name: bytes("root"),
                since: 2,
                token: digest(9),
                ttl_seconds: 9,
            }),
        ] {
            assert_eq!(by(&mut world, &caller, request), Err(AuthError::Denied));
        }
        let stolen = caller.asks(Caller::Server.asks(put("m")));
        let answer = world.apply(stolen);
        assert!(matches!(answer, Response::Error(_)), "{answer:?}");
    }
    let twice = Caller::Server.asks(Caller::Server.asks(put("m")));
    assert_eq!(world.apply(twice), Response::Error(Error::Malformed));
}

#[test]
fn upkeep_goes_on_without_a_user() {
    let mut world = some_users();
    let root = user("root", since(&world.store, "root"));
    let grant = LeaseRequest::Grant { lease: LeaseId(1), ttl_seconds: 5 };
    world.apply(root.asks(Request::Lease(grant)));
    let leased = Put { lease: Some(LeaseId(1)), ..Put::new(bytes("m"), bytes("v")) };
    world.apply(root.asks(Request::Put(leased)));
    assert!(is_denied(&world.apply(put("m")), AuthError::NoUser));
    world.now = world.now + 6_000;
    assert_eq!(world.apply(Request::Tick), Response::Done);
    let expire = Request::Lease(LeaseRequest::Expire { leases: vec![LeaseId(1)] });
    assert!(matches!(world.apply(expire), Response::Lease(_)));
    assert_eq!(world.store.key_count(), 0);
}

#[test]
fn a_snapshot_has_users_roles_and_tokens() {
    let mut world = some_users();
    login(&mut world, "ana", 1, 300).unwrap();
    login(&mut world, "root", 2, 300).unwrap();
    world.apply(Caller::Token(digest(1)).asks(put("m1")));
    let written = snapshot(&mut world.store, 7);
    let store = restore(&written, 5);
    assert_eq!(store.state_hash(), world.store.state_hash());
    let mut other = World { store, now: world.now };
    assert!(matches!(other.apply(Caller::Token(digest(1)).asks(put("m2"))), Response::Put(_)));
    assert!(is_denied(&other.apply(Caller::Token(digest(1)).asks(put("x"))), AuthError::Denied));
    assert!(is_denied(&other.apply(put("m2")), AuthError::NoUser));
    assert_ne!(other.store.state_hash(), world.store.state_hash());
    let mut again = other.store;
    assert_eq!(snapshot(&mut again, 64), snapshot(&mut restore(&snapshot(&mut again, 9), 3), 64));
}

#[test]
fn who_may_do_what_is_in_the_state_hash() {
    let hash_after = |request: AuthRequest| {
        let mut world = some_users();
        let root = user("root", since(&world.store, "root"));
        by(&mut world, &root, request).unwrap();
        world.store.state_hash()
    };
    let none = some_users().store.state_hash();
    let granted = permission(PermissionKind::Read, "z", "");
    let all = [
        none,
        hash_after(AuthRequest::Change(AuthChange::RoleAdd { name: bytes("z") })),
        hash_after(AuthRequest::Change(AuthChange::RoleGrantPermission {
            role: bytes("m"),
            permission: granted,
        })),
        hash_after(AuthRequest::Change(AuthChange::UserChangePassword {
            name: bytes("ana"),
            password: hash("z"),
        })),
        hash_after(AuthRequest::Change(AuthChange::UserRevokeRole { user: bytes("ana"), role: bytes("m") })),
        hash_after(AuthRequest::Change(AuthChange::Disable)),
    ];
    for (at, hash) in all.iter().enumerate() {
        assert!(!all[..at].contains(hash), "{at} is like one before");
    }
}
