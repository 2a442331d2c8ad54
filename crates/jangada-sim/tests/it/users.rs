//! Users come and go, and do what they may and what they may not, while servers die and are cut off. All members must hold
//! the same, and every answer must be the one that the log gives: a fresh store that is told the log is asked again.

use std::time::Duration;

use bytes::Bytes;
use jangada_kv::auth::{PasswordHash, Permission, PermissionKind, TokenDigest};
use jangada_kv::{
    AuthChange, AuthQuestion, AuthRequest, AuthResponse, Caller, KeyRange, Millis, Put, RangeRequest,
    Request, Response, Store, Txn, TxnOp,
};
use jangada_raft::types::NodeId;
use jangada_sim::World;
use jangada_sim::disk::Loss;
use jangada_sim::kv::{Kv, as_operation};
use jangada_sim::plan::{Cut, Death, Who};

const PATIENCE: Duration = Duration::from_secs(10);
const STEPS: u64 = 60;

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn permission(kind: PermissionKind, key: &'static str) -> Permission {
    Permission { kind, key: key.into(), range_end: Bytes::new() }
}

/// Root, ana and bia, a role for each of two keys, and a token of ana's.
fn beginning() -> Vec<AuthRequest> {
    let password = || Some(PasswordHash("none".into()));
    let mut requests = Vec::new();
    for role in ["a", "b"] {
        requests.push(AuthRequest::Change(AuthChange::RoleAdd { name: role.into() }));
        let permission = permission(PermissionKind::ReadWrite, role);
        requests.push(AuthRequest::Change(AuthChange::RoleGrantPermission { role: role.into(), permission }));
    }
    for (name, role) in [("root", "root"), ("ana", "a"), ("bia", "b")] {
        requests.push(AuthRequest::Change(AuthChange::UserAdd { name: name.into(), password: password() }));
        requests
            .push(AuthRequest::Change(AuthChange::UserGrantRole { user: name.into(), role: role.into() }));
    }
    requests.push(AuthRequest::Change(AuthChange::Enable));
    requests
}

/// Who can be by then: users as they were added, whoever has a token, nobody.
fn callers() -> Vec<Caller> {
    let mut store = Store::new();
    for request in beginning() {
        store.apply(Millis(0), &Caller::Server.asks(Request::Auth(request)));
    }
    let mut callers = vec![Caller::Nobody, Caller::Token(TokenDigest([7; 32]))];
    for name in ["root", "ana", "bia"] {
        let asked = Caller::Server
            .asks(Request::Auth(AuthRequest::Ask(AuthQuestion::Credentials { name: name.into() })));
        let Response::Auth(AuthResponse::Credentials(known)) = store.read(Millis(0), &asked) else {
            panic!("the store knows {name}");
        };
        callers.push(Caller::User { name: name.into(), since: known.since });
    }
    callers
}

fn change(draw: &mut Draw, since: u64) -> AuthRequest {
    let (user, role) = (draw.of(&["ana", "bia"]), draw.of(&["a", "b"]));
    let kind = draw.of(&[PermissionKind::Read, PermissionKind::Write, PermissionKind::ReadWrite]);
    let key = draw.of(&["a", "b", "c"]);
    match draw.below(9) {
        0..2 => AuthRequest::Change(AuthChange::UserGrantRole { user: user.into(), role: role.into() }),
        2..4 => AuthRequest::Change(AuthChange::UserRevokeRole { user: user.into(), role: role.into() }),
        4 => AuthRequest::Change(AuthChange::RoleGrantPermission {
            role: role.into(),
            permission: permission(kind, key),
        }),
        5 => AuthRequest::Change(AuthChange::RoleRevokePermission {
            role: role.into(),
            key: key.into(),
            range_end: Bytes::new(),
        }),
        6 => {
            let token = TokenDigest([7; 32]);
            AuthRequest::Change(AuthChange::Login {
                name: "ana".into(),
                since,
                token,
                ttl_seconds: 1 + draw.below(5),
            })
        }
        7 => AuthRequest::Change(AuthChange::Enable),
        _ if draw.below(3) == 0 => AuthRequest::Change(AuthChange::Disable),
        _ => AuthRequest::Change(AuthChange::Touch),
    }
}

/// Each value is written once, so that the history can be judged.
fn ask(draw: &mut Draw, number: u64) -> Request {
    let key = || -> Bytes { ["a", "b", "c"][(number % 3) as usize].into() };
    let put = |part: &str| Put::new(key(), Bytes::from(format!("{number}{part}")));
    let read = RangeRequest::new(KeyRange::One(draw.of(&["a", "b", "c"]).into()));
    match draw.below(4) {
        0 => Request::Range(Box::new(read)),
        1 => Request::Put(put("")),
        _ => {
            let inner = Txn { failure: vec![TxnOp::Range(read)], ..Txn::default() };
            let success = vec![TxnOp::Put(put("t")), TxnOp::Txn(inner)];
            Request::Txn(Txn { success, ..Txn::default() })
        }
    }
}

fn submit(world: &mut World<Kv>, at: NodeId, request: Request) {
    world.submit(at, |_| as_operation(request));
}

/// Plays one seed; returns how many keys there are in the end, and how often users were changed.
fn play(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed).servers(3).quiet().build();
    let mut draw = Draw(seed);
    assert!(world.run_until(PATIENCE, |world| world.leader().is_some()));
    let leader = world.leader().expect("it was there just now");
    for request in beginning() {
        let asked = Caller::Server.asks(Request::Auth(request));
        let id = world.submit(leader, |_| as_operation(asked));
        assert!(world.run_until(PATIENCE, |world| world.has_ended(id)), "seed {seed}");
    }
    let callers = callers();
    let anas_since = match &callers[3] {
        Caller::User { since, .. } => *since,
        other => panic!("{other:?} is not ana"),
    };
    for number in 0..STEPS {
        let at = NodeId(1 + draw.below(3));
        match draw.below(12) {
            0..4 => {
                let change = Request::Auth(change(&mut draw, anas_since));
                submit(&mut world, at, Caller::Server.asks(change));
            }
            4..10 => {
                let caller = callers[draw.below(callers.len() as u64) as usize].clone();
                let request = caller.asks(ask(&mut draw, number));
                submit(&mut world, at, request);
            }
            10 => {
                world.crash(at, Death::Power(Loss::Everything));
                world.run_for(Duration::from_millis(draw.below(400)));
                world.restart(at);
            }
            _ => {
                let partition = world.part(&Cut::Isolate(Who::Leader));
                world.run_for(Duration::from_millis(draw.below(800)));
                world.rejoin(partition);
            }
        }
        world.run_for(Duration::from_millis(draw.below(60)));
    }
    world.run_for(PATIENCE);
    // What judges in the end is nobody.
    let leader = world.leader().expect("all is well again");
    let off = world.submit(leader, |_| {
        as_operation(Caller::Server.asks(Request::Auth(AuthRequest::Change(AuthChange::Disable))))
    });
    assert!(world.run_until(PATIENCE, |world| world.has_ended(off)), "seed {seed}");
    let store = &world.replica(leader).expect("it runs").state().inner().store;
    let seen = (store.key_count(), store.auth_stamp());
    world.finale();
    assert_eq!(world.violations(), [], "seed {seed}");
    seen
}

#[test]
fn what_users_may_is_the_same_on_all_members_whatever_happens() {
    let (mut keys, mut changes) = (0, 0);
    for seed in 0..24 {
        let (kept, stamp) = play(seed);
        keys += kept;
        changes += stamp;
    }
    assert!(keys > 24 && changes > 24 * 30, "{keys} keys, {changes}: something was permitted, and changed");
}
