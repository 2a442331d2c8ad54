//! Clients that say who they are, in a store that asks: users come and go, log in, and do what they may and what they may
//! not. The world begins with who they are, one step after the other until the store asks everybody.
//!
//! A client asks as the servers' doors do: it has the store tell it of which moment a user's password is, and then asks by
//! that name, or for a token. What it keeps may be old by the time it is used. Whether a write was answered rightly is
//! known to the log: a fresh store that is told all of it is asked again (`resolve.rs`); of reads, `permitted.rs` knows.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::auth::{PasswordHash, Permission, PermissionKind, TokenDigest};
use jangada_kv::types::KeyRange;
use jangada_kv::{
    AuthChange, AuthError, AuthQuestion, AuthRequest, AuthResponse, Caller, Error, Put, RangeRequest,
    Request, Response, Txn, TxnOp,
};

use crate::coverage::{Counter, Coverage};
use crate::requests::{draw, value};
use crate::rng::{Dice, Rng};
use crate::workload::{Call, Outcome};

const NAMES: [&str; 3] = ["root", "ana", "bia"];
/// What they have is named like them, and like what it is for: the keys before `k3` and those from there on.
const ROLES: [&str; 2] = ["low", "high"];
/// How long tokens last, in seconds: some end between two operations.
const TOKEN_SECONDS: [u64; 3] = [1, 5, 60];

/// What each client knows of who it is.
#[derive(Default)]
pub(crate) struct Users {
    known: BTreeMap<usize, Caller>,
    /// Steps of [`beginning`] that are done.
    begun: usize,
    /// As far as clients were told, the store asks who they are.
    enabled: bool,
    seen: Coverage,
}

impl Users {
    /// What a client does next.
    pub(crate) fn draw(&mut self, call: Call, rng: &mut Rng) -> Request {
        if let Some(step) = beginning().into_iter().nth(self.begun) {
            return as_server(AuthRequest::Change(step));
        }
        let known = self.known.get(&call.client).cloned().unwrap_or_default();
        match (rng.below(20), &known) {
            (0, _) => as_server(AuthRequest::Change(change(rng))),
            // Also by whom it may not.
            (1, _) => known.asks(Request::Auth(AuthRequest::Change(change(rng)))),
            (2, Caller::User { name, since }) => {
                let (name, since) = (name.clone(), *since);
                let (token, ttl_seconds) = (token_of(call.id.0), rng.pick(&TOKEN_SECONDS));
                as_server(AuthRequest::Change(AuthChange::Login { name, since, token, ttl_seconds }))
            }
            (2 | 3, _) => {
                let name = Bytes::from_static(rng.pick(&NAMES).as_bytes());
                as_server(AuthRequest::Ask(AuthQuestion::Credentials { name }))
            }
            (4, _) => known.asks(Request::Auth(AuthRequest::Change(AuthChange::Touch))),
            (5, _) => known.asks(nested(call, rng)),
            _ => known.asks(draw(call, rng, false)),
        }
    }

    /// Learns from an answer, and counts it.
    pub(crate) fn ended(&mut self, call: Call, request: &Request, outcome: &Outcome<Response>) {
        let Outcome::Answered(response) = outcome else { return };
        match (request.asked(), response) {
            (Request::Auth(AuthRequest::Change(change)), response) => self.changed(call, change, response),
            (
                Request::Auth(AuthRequest::Ask(AuthQuestion::Credentials { name })),
                Response::Auth(AuthResponse::Credentials(told)),
            ) => {
                let caller = Caller::User { name: name.clone(), since: told.since };
                self.known.insert(call.client, if told.exists { caller } else { Caller::Nobody });
            }
            (_, Response::Error(Error::Auth(AuthError::Denied))) => self.seen.count(Counter::NotPermitted),
            (_, _) if self.enabled && is_by_user(request) => self.seen.count(Counter::Permitted),
            (_, _) => {}
        }
    }

    fn changed(&mut self, call: Call, change: &AuthChange, response: &Response) {
        let is_done = matches!(response, Response::Auth(AuthResponse::Done { .. }));
        // What several have asked for was done by one of them.
        let is_there =
            matches!(response, Response::Error(Error::Auth(AuthError::UserExists | AuthError::RoleExists)));
        if beginning().get(self.begun) == Some(change) && (is_done || is_there) {
            self.begun += 1;
        }
        match change {
            AuthChange::Login { token, .. } if is_done => {
                self.seen.count(Counter::Logins);
                self.known.insert(call.client, Caller::Token(*token));
            }
            AuthChange::Enable if is_done => self.enabled = true,
            AuthChange::Disable if is_done => self.enabled = false,
            _ => {}
        }
    }

    pub(crate) fn cover(&self, coverage: &mut Coverage) {
        *coverage += &self.seen;
    }
}

/// Whether somebody asks who has proved to be it, or seems to have.
fn is_by_user(request: &Request) -> bool {
    match request {
        Request::OnBehalf(asked) => matches!(asked.caller, Caller::User { .. } | Caller::Token(_)),
        _ => false,
    }
}

/// What the servers ask for themselves.
pub(crate) fn as_server(request: AuthRequest) -> Request {
    Caller::Server.asks(Request::Auth(request))
}

/// Operations are counted, so this one is new.
fn token_of(number: u64) -> TokenDigest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    TokenDigest(digest)
}

fn password() -> PasswordHash {
    PasswordHash(Bytes::from_static(b"a hash"))
}

fn permission(role: &'static str, kind: PermissionKind) -> Permission {
    let (key, range_end): (&[u8], &[u8]) = if role == "low" { (b"k0", b"k3") } else { (b"k3", b"o") };
    Permission { kind, key: Bytes::from_static(key), range_end: Bytes::from_static(range_end) }
}

/// Root, ana and bia, a role for half of the keys each, and that everybody is asked.
pub(crate) fn beginning() -> Vec<AuthChange> {
    let mut changes = Vec::new();
    for role in ROLES {
        changes.push(AuthChange::RoleAdd { name: role.into() });
        let permission = permission(role, PermissionKind::ReadWrite);
        changes.push(AuthChange::RoleGrantPermission { role: role.into(), permission });
    }
    for (name, role) in NAMES.into_iter().zip(["root", "low", "high"]) {
        changes.push(AuthChange::UserAdd { name: name.into(), password: Some(password()) });
        changes.push(AuthChange::UserGrantRole { user: name.into(), role: role.into() });
    }
    changes.push(AuthChange::Enable);
    changes
}

fn change(rng: &mut Rng) -> AuthChange {
    let (user, role) = (rng.pick(&NAMES[1..]), rng.pick(&ROLES));
    let kind = rng.pick(&[PermissionKind::Read, PermissionKind::Write, PermissionKind::ReadWrite]);
    match rng.below(20) {
        0..4 => AuthChange::UserGrantRole { user: user.into(), role: role.into() },
        4..7 => AuthChange::UserRevokeRole { user: user.into(), role: role.into() },
        7..10 => AuthChange::RoleGrantPermission { role: role.into(), permission: permission(role, kind) },
        10 => {
            let Permission { key, range_end, .. } = permission(role, kind);
            AuthChange::RoleRevokePermission { role: role.into(), key, range_end }
        }
        11 => AuthChange::RoleDelete { name: role.into() },
        12..14 => AuthChange::RoleAdd { name: role.into() },
        14 => AuthChange::UserDelete { name: user.into() },
        15..17 => AuthChange::UserAdd { name: user.into(), password: Some(password()) },
        17 => AuthChange::UserChangePassword { name: user.into(), password: password() },
        18 => AuthChange::Disable,
        _ => AuthChange::Enable,
    }
}

/// A read inside a transaction inside one, of keys of both halves: whoever looks at the outermost operations alone, or at
/// those alone that will be carried out, permits too much.
fn nested(call: Call, rng: &mut Rng) -> Request {
    let (mut low, mut high) = (Bytes::from_static(b"k2"), Bytes::from_static(b"k3"));
    if rng.chance(500) {
        core::mem::swap(&mut low, &mut high);
    }
    let read = RangeRequest::new(KeyRange::One(high));
    let inner = Txn { failure: vec![TxnOp::Range(read)], ..Txn::default() };
    let success = vec![TxnOp::Put(Put::new(low, value(call))), TxnOp::Txn(inner)];
    Request::Txn(Txn { success, ..Txn::default() })
}

#[cfg(test)]
mod tests {
    use jangada_kv::{Millis, Store};
    use jangada_raft::types::{NodeId, Time};

    use super::*;
    use crate::workload::OperationId;

    #[test]
    fn clients_log_in_and_are_permitted_some_things_and_refused_others() {
        let (mut users, mut store, mut rng) = (Users::default(), Store::new(), Rng::new(7));
        for number in 2..3_000 {
            let client = number as usize % 4;
            let (id, server) = (OperationId(number), NodeId(1));
            let call = Call { id, client, server, at: Time::ZERO, calm_since: None };
            let request = users.draw(call, &mut rng);
            let response = match request.is_read_only() {
                true => store.read(Millis(number), &request),
                false => store.apply(Millis(number), &request),
            };
            users.ended(call, &request, &Outcome::Answered(response));
        }
        for counter in [Counter::Logins, Counter::Permitted, Counter::NotPermitted] {
            assert!(users.seen.of(counter) > 20, "{counter:?}: {}", users.seen.of(counter));
        }
    }
}
