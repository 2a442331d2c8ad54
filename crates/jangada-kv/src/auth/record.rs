//! How users, roles and tokens lie in a snapshot. They have no history: their state is noted when a snapshot begins.
//!
//! Nothing of it is written while nobody has made a user or a role.

use alloc::vec::Vec;

use bytes::Bytes;

use super::request::{PasswordHash, Permission, TokenDigest};
use super::tokens::Token;
use super::{Auth, May, ROOT, Role, User};
use crate::store::Store;
use crate::types::Millis;
use crate::wire::{wire_enum, wire_struct};

/// One part of it.
#[derive(Clone)]
pub(crate) enum AuthRecord {
    State(StateRecord),
    Role(RoleRecord),
    User(UserRecord),
    Token(TokenRecord),
}
wire_enum!(AuthRecord, "a record of users" {
    1 => State(state), 2 => Role(role), 3 => User(user), 4 => Token(token),
});

#[derive(Clone)]
pub(crate) struct StateRecord {
    enabled: bool,
    revision: u64,
}

#[derive(Clone)]
pub(crate) struct RoleRecord {
    name: Bytes,
    permissions: Vec<Permission>,
}

#[derive(Clone)]
pub(crate) struct UserRecord {
    name: Bytes,
    password: Option<PasswordHash>,
    since: u64,
    roles: Vec<Bytes>,
}

#[derive(Clone)]
pub(crate) struct TokenRecord {
    digest: TokenDigest,
    user: Bytes,
    ttl_seconds: u64,
    deadline: Millis,
}

wire_struct! {
    StateRecord { enabled, revision }
    RoleRecord { name, permissions }
    UserRecord { name, password, since, roles }
    TokenRecord { digest, user, ttl_seconds, deadline }
}

impl Auth {
    /// All of it, in the order in which it is read back: the state, roles, users, tokens, each in the order of names.
    pub(crate) fn records(&self) -> Vec<AuthRecord> {
        if self.revision == 1 {
            return Vec::new();
        }
        let state = StateRecord { enabled: self.enabled, revision: self.revision };
        let roles = self.roles.iter().map(|(name, role)| {
            AuthRecord::Role(RoleRecord { name: name.clone(), permissions: role.permissions.clone() })
        });
        let users = self.users.iter().map(|(name, user)| {
            AuthRecord::User(UserRecord {
                name: name.clone(),
                password: user.password.clone(),
                since: user.since,
                roles: user.roles.iter().cloned().collect(),
            })
        });
        let tokens = self.tokens.all().map(|(digest, token)| {
            let Token { user, ttl_seconds, deadline } = token.clone();
            AuthRecord::Token(TokenRecord { digest: *digest, user, ttl_seconds, deadline })
        });
        core::iter::once(AuthRecord::State(state)).chain(roles).chain(users).chain(tokens).collect()
    }

    /// Takes a record of a snapshot.
    ///
    /// # Errors
    /// The rule that it breaks.
    fn take(&mut self, record: AuthRecord) -> Result<(), &'static str> {
        match record {
            AuthRecord::State(StateRecord { enabled, revision }) => {
                require(
                    self.revision == 1 && revision > 1,
                    "the state of users is told once, if it has changed",
                )?;
                (self.enabled, self.revision) = (enabled, revision);
                Ok(())
            }
            AuthRecord::Role(RoleRecord { name, permissions }) => {
                require(self.revision > 1 && self.users.is_empty(), "roles stand behind the state of users")?;
                let is_next = self.roles.last_key_value().is_none_or(|(last, _)| *last < name);
                require(is_next && !name.is_empty(), "roles come in the order of their names, each once")?;
                let in_order = permissions.is_sorted_by(|a, b| a.key <= b.key);
                require(in_order, "permissions come in the order of their keys")?;
                self.roles.insert(name, Role { permissions });
                Ok(())
            }
            AuthRecord::User(UserRecord { name, password, since, roles }) => {
                require(self.revision > 1 && self.tokens.len() == 0, "users stand behind the roles")?;
                let is_next = self.users.last_key_value().is_none_or(|(last, _)| *last < name);
                require(is_next && !name.is_empty(), "users come in the order of their names, each once")?;
                require(since <= self.revision, "no password is newer than the users")?;
                require(roles.is_sorted_by(|a, b| a < b), "a user has its roles in order, each once")?;
                let is_known = |role: &Bytes| role == ROOT || self.roles.contains_key(role);
                require(roles.iter().all(is_known), "a user's roles exist")?;
                let roles = roles.into_iter().collect();
                self.users.insert(name.clone(), User { password, since, roles, may: May::default() });
                self.work_out(&name);
                Ok(())
            }
            AuthRecord::Token(TokenRecord { digest, user, ttl_seconds, deadline }) => {
                require(self.users.contains_key(&user), "a token is of a user that exists")?;
                let last = self.tokens.all().next_back();
                require(last.is_none_or(|(last, _)| *last < digest), "tokens come in order, each once")?;
                let added = self.tokens.add(digest, Token { user, ttl_seconds, deadline });
                require(added, "a token is there once")
            }
        }
    }
}

impl Store {
    /// Takes a record of a snapshot about users.
    pub(crate) fn take_auth(&mut self, record: AuthRecord) -> Result<(), &'static str> {
        self.auth.take(record)
    }
}

fn require(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}
