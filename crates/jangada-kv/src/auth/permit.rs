//! Whether a request may be carried out: one function looks at every leaf of it.
//!
//! Leaves are what reads or writes keys, wherever it stands: both branches of a txn and those nested in it, comparisons,
//! what was there before (`prev_kv`), what a lease holds, keys that EXEC watches. [`Store::leaves`] names what each of
//! them needs, and does nothing else; a new kind of request does not compile until it says what it needs.

use alloc::collections::BTreeSet;

use bytes::Bytes;

use super::request::{AuthChange, AuthError, AuthQuestion, AuthRequest, Caller};
use super::{Auth, User};
use crate::command::{Command, Exec, Expiry};
use crate::lease::LeaseRequest;
use crate::request::{DeleteRange, Put, Request, Txn, TxnOp};
use crate::space::AlarmRequest;
use crate::store::Store;
use crate::types::{KeyRange, LeaseId, Millis};

/// What a leaf needs.
enum Need {
    /// To read these keys, or to be told of them.
    Read(KeyRange),
    /// To write or delete these keys.
    Write(KeyRange),
    /// To be somebody.
    Somebody,
    /// To be this user, or to manage users.
    ToBe(Bytes),
    /// To have this role, or to manage users.
    ToHave(Bytes),
    /// To manage users, or the cluster.
    Manage,
    /// To be the server itself.
    Server,
}

type Permitted = Result<(), AuthError>;

/// Whom a request is of, as far as the store finds out.
enum Who<'a> {
    Nobody,
    Server,
    User(&'a Bytes, &'a User),
}

impl Store {
    /// Whether everybody is asked who they are.
    #[must_use]
    pub fn auth_enabled(&self) -> bool {
        self.auth.is_enabled()
    }

    /// A number that is another one whenever somebody may be permitted something else than before.
    #[must_use]
    pub fn auth_stamp(&self) -> u64 {
        self.auth.stamp()
    }

    /// Whether `caller` may have `request` carried out now. Changes nothing.
    ///
    /// `now` is the entry's stamp; for a read an estimate of the time, so that tokens end even where nobody writes.
    pub(crate) fn permit(&self, now: Millis, caller: &Caller, request: &Request) -> Permitted {
        // What is shown must be right, even where nothing need be shown.
        let who = self.auth.who(caller, now.max(self.clock))?;
        if !self.auth.enabled {
            return Ok(());
        }
        self.leaves(request, &mut |need| self.auth.satisfies(&who, need))
    }

    /// Names what each leaf of a request needs, until one of them is refused.
    fn leaves(&self, request: &Request, need: &mut dyn FnMut(Need) -> Permitted) -> Permitted {
        match request {
            Request::Command(command) => command_leaves(command, need),
            Request::Exec(Exec { watched, commands }) => {
                watched.iter().try_for_each(|(key, _)| need(Need::Read(one(key))))?;
                commands.iter().try_for_each(|command| command_leaves(command, need))
            }
            Request::WatchRevision { key } => need(Need::Read(one(key))),
            Request::Range(range) => need(Need::Read(range.range.clone())),
            Request::Put(put) => self.put_leaves(put, &mut BTreeSet::new(), need),
            Request::DeleteRange(delete) => delete_leaves(delete, need),
            Request::Txn(txn) => self.txn_leaves(txn, &mut BTreeSet::new(), need),
            Request::Compact { .. } => need(Need::Somebody),
            Request::Lease(lease) => self.lease_leaves(lease, need),
            Request::Auth(auth) => auth_leaves(auth, need),
            // What the servers do by themselves; no protocol has words for it.
            Request::ExpireKeys { .. } | Request::Tick | Request::SetRetention(_) | Request::SetQuota(_) => {
                Ok(())
            }
            // Whoever looks after the members may see what is wrong without a word.
            Request::Alarm(AlarmRequest::List) => Ok(()),
            Request::Alarm(AlarmRequest::Raise(_) | AlarmRequest::Clear(_)) => need(Need::Manage),
            // It is refused whoever asks.
            Request::OnBehalf(_) => need(Need::Server),
        }
    }

    /// `leases` are those whose keys were named already: there can be many, and they are the same for each put.
    fn put_leaves(
        &self,
        put: &Put,
        leases: &mut BTreeSet<LeaseId>,
        need: &mut dyn FnMut(Need) -> Permitted,
    ) -> Permitted {
        need(Need::Write(one(&put.key)))?;
        if put.prev_kv {
            need(Need::Read(one(&put.key)))?;
        }
        // Whoever puts something under a lease must be able to end the lease.
        match put.lease.filter(|lease| leases.insert(*lease)) {
            Some(lease) => self.under(lease, need, Need::Write),
            None => Ok(()),
        }
    }

    fn txn_leaves(
        &self,
        txn: &Txn,
        leases: &mut BTreeSet<LeaseId>,
        need: &mut dyn FnMut(Need) -> Permitted,
    ) -> Permitted {
        txn.compare.iter().try_for_each(|compare| need(Need::Read(compare.range.clone())))?;
        // Both branches: which one is taken would tell something, too.
        txn.success.iter().chain(&txn.failure).try_for_each(|op| match op {
            TxnOp::Range(range) => need(Need::Read(range.range.clone())),
            TxnOp::Put(put) => self.put_leaves(put, leases, need),
            TxnOp::DeleteRange(delete) => delete_leaves(delete, need),
            TxnOp::Txn(nested) => self.txn_leaves(nested, leases, need),
        })
    }

    fn lease_leaves(&self, lease: &LeaseRequest, need: &mut dyn FnMut(Need) -> Permitted) -> Permitted {
        match lease {
            LeaseRequest::Revoke { lease } => {
                need(Need::Somebody)?;
                self.under(*lease, need, Need::Write)
            }
            LeaseRequest::TimeToLive { lease, keys: true } => {
                need(Need::Somebody)?;
                self.under(*lease, need, Need::Read)
            }
            LeaseRequest::Grant { .. }
            | LeaseRequest::KeepAlive { .. }
            | LeaseRequest::List
            | LeaseRequest::TimeToLive { keys: false, .. } => need(Need::Somebody),
            // What the leader does by itself.
            LeaseRequest::Expire { .. } => Ok(()),
        }
    }

    /// Each key under a lease. A refusal is the same for each of them, so that their order does not matter.
    fn under(
        &self,
        lease: LeaseId,
        need: &mut dyn FnMut(Need) -> Permitted,
        what: fn(KeyRange) -> Need,
    ) -> Permitted {
        // Who may have all keys need not go through those of a lease, which can be many.
        if need(what(KeyRange::all())).is_ok() {
            return Ok(());
        }
        self.keys_under(lease).try_for_each(|key| need(what(KeyRange::One(key))))
    }
}

impl Auth {
    /// Finds out whom a caller stands for.
    fn who(&self, caller: &Caller, clock: Millis) -> Result<Who<'_>, AuthError> {
        match caller {
            Caller::Nobody => Ok(Who::Nobody),
            Caller::Server => Ok(Who::Server),
            Caller::Token(digest) => {
                let token = self.tokens.get(digest, clock).ok_or(AuthError::InvalidToken)?;
                let user = self.users.get_key_value(&token.user);
                user.map(|(name, user)| Who::User(name, user)).ok_or(AuthError::InvalidToken)
            }
            Caller::User { name, since } => {
                let user = self.users.get_key_value(name).filter(|(_, user)| user.since == *since);
                user.map(|(name, user)| Who::User(name, user)).ok_or(AuthError::InvalidToken)
            }
        }
    }

    fn satisfies(&self, who: &Who<'_>, need: Need) -> Permitted {
        let (name, user) = match who {
            Who::Server => return Ok(()),
            Who::Nobody => return Err(AuthError::NoUser),
            Who::User(name, user) => (*name, *user),
        };
        let is_permitted = match need {
            Need::Server => false,
            Need::Somebody => true,
            Need::Read(range) => user.may.everything || user.may.read.covers(&range),
            Need::Write(range) => user.may.everything || user.may.write.covers(&range),
            Need::ToBe(wanted) => user.may.everything || *name == wanted,
            Need::ToHave(role) => user.may.everything || user.roles.contains(&role),
            Need::Manage => user.may.everything,
        };
        if is_permitted { Ok(()) } else { Err(AuthError::Denied) }
    }
}

fn one(key: &Bytes) -> KeyRange {
    KeyRange::One(key.clone())
}

fn delete_leaves(delete: &DeleteRange, need: &mut dyn FnMut(Need) -> Permitted) -> Permitted {
    need(Need::Write(delete.range.clone()))?;
    if delete.prev_kv { need(Need::Read(delete.range.clone())) } else { Ok(()) }
}

/// What a command answers of its keys it needs to read; that something was there, as DEL tells, is no more than what a
/// delete of etcd's tells.
fn command_leaves(command: &Command, need: &mut dyn FnMut(Need) -> Permitted) -> Permitted {
    match command {
        Command::Get { key }
        | Command::StrLen { key }
        | Command::Ttl { key }
        | Command::Deadline { key }
        | Command::Type { key } => need(Need::Read(one(key))),
        Command::MGet { keys } | Command::Exists { keys } => {
            keys.iter().try_for_each(|key| need(Need::Read(one(key))))
        }
        Command::Set(set) => {
            need(Need::Write(one(&set.key)))?;
            if set.get { need(Need::Read(one(&set.key))) } else { Ok(()) }
        }
        Command::SetNx { key, .. } | Command::Expire { key, .. } | Command::Persist { key } => {
            need(Need::Write(one(key)))
        }
        Command::MSet { pairs } => pairs.iter().try_for_each(|(key, _)| need(Need::Write(one(key)))),
        Command::Delete { keys } => keys.iter().try_for_each(|key| need(Need::Write(one(key)))),
        Command::Increment { key, .. } | Command::Append { key, .. } | Command::GetDelete { key } => {
            need(Need::Write(one(key)))?;
            need(Need::Read(one(key)))
        }
        Command::GetEx { key, expiry } => {
            need(Need::Read(one(key)))?;
            if *expiry == Expiry::Keep { Ok(()) } else { need(Need::Write(one(key))) }
        }
        Command::Keys { pattern } => need(Need::Read(beginning_of(pattern))),
        // Its cursors tell of all keys, whatever the pattern.
        Command::Scan { .. } | Command::DbSize => need(Need::Read(KeyRange::all())),
        Command::FlushAll => need(Need::Write(KeyRange::all())),
    }
}

/// All keys that begin like what a pattern says without wildcards: no other key can match.
fn beginning_of(pattern: &Bytes) -> KeyRange {
    let length = pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len());
    let prefix = pattern.slice(..length);
    match prefix.iter().rposition(|byte| *byte != 0xff) {
        None => KeyRange::From(prefix),
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            KeyRange::Span { from: prefix, to: end.into() }
        }
    }
}

fn auth_leaves(request: &AuthRequest, need: &mut dyn FnMut(Need) -> Permitted) -> Permitted {
    match request {
        AuthRequest::Change(AuthChange::Touch) => need(Need::Somebody),
        AuthRequest::Change(AuthChange::Login { .. }) => need(Need::Server),
        AuthRequest::Change(
            AuthChange::Enable
            | AuthChange::Disable
            | AuthChange::UserAdd { .. }
            | AuthChange::UserDelete { .. }
            | AuthChange::UserChangePassword { .. }
            | AuthChange::UserGrantRole { .. }
            | AuthChange::UserRevokeRole { .. }
            | AuthChange::RoleAdd { .. }
            | AuthChange::RoleDelete { .. }
            | AuthChange::RoleGrantPermission { .. }
            | AuthChange::RoleRevokePermission { .. },
        ) => need(Need::Manage),
        AuthRequest::Ask(question) => question_leaves(question, need),
    }
}

fn question_leaves(question: &AuthQuestion, need: &mut dyn FnMut(Need) -> Permitted) -> Permitted {
    match question {
        AuthQuestion::Status | AuthQuestion::UserList | AuthQuestion::RoleList | AuthQuestion::MayManage => {
            need(Need::Manage)
        }
        AuthQuestion::UserGet { name } => need(Need::ToBe(name.clone())),
        AuthQuestion::RoleGet { name } => need(Need::ToHave(name.clone())),
        AuthQuestion::WhoAmI => need(Need::Somebody),
        AuthQuestion::MayRead { ranges } => {
            ranges.iter().try_for_each(|range| need(Need::Read(range.clone())))
        }
        AuthQuestion::Credentials { .. } => need(Need::Server),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_keys_of_a_lease_are_named_once_in_a_request() {
        let mut store = Store::new();
        let grant = LeaseRequest::Grant { lease: LeaseId(7), ttl_seconds: 60 };
        store.apply(Millis(0), &Request::Lease(grant));
        let put = |key: &'static str| Put {
            lease: Some(LeaseId(7)),
            ..Put::new(Bytes::from(key), Bytes::from("v"))
        };
        for key in ["a", "b", "c"] {
            store.apply(Millis(0), &Request::Put(put(key)));
        }
        let nested = Txn { failure: vec![TxnOp::Put(put("x"))], ..Txn::default() };
        let success = vec![TxnOp::Put(put("y")), TxnOp::Put(put("z")), TxnOp::Txn(nested)];
        let txn = Request::Txn(Txn { success, ..Txn::default() });
        let mut named = Vec::new();
        let permitted = store.leaves(&txn, &mut |need| match need {
            Need::Write(KeyRange::One(key)) => {
                named.push(key);
                Ok(())
            }
            _ => Err(AuthError::Denied),
        });
        assert_eq!(permitted, Ok(()));
        named.sort();
        assert_eq!(named, ["a", "b", "c", "x", "y", "z"]);
    }
}
