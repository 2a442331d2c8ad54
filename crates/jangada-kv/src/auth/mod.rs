//! Users, roles and permissions, with etcd's meaning, as a part of the store.
//!
//! They change by requests out of the log and lie in snapshots, so all replicas have the same. Whether a request is
//! permitted is decided when it is carried out, by the users of that moment: nothing lies between the look and the deed,
//! and what is refused leaves no trace on any replica. `permit.rs` has the one function that looks at all leaves of a
//! request.
//!
//! A request comes [on somebody's behalf](OnBehalf), named by a token or by name; the store finds out itself whether that
//! still holds. Passwords never come here, only their hashes; who looked at one says so with [`AuthChange::Login`].

mod changes; // users and roles as requests change them
mod permit; // whether a request may be carried out
mod ranges; // sets of keys
mod record; // how it lies in snapshots
mod request; // what goes in and out
mod tokens; // what users show instead of passwords

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

pub use request::{
    AuthChange, AuthError, AuthQuestion, AuthRequest, AuthResponse, Caller, Credentials, OnBehalf,
    PasswordHash, Permission, PermissionKind, TokenDigest,
};
pub use tokens::{MAX_TOKENS, MAX_TOKENS_OF_USER};

use ranges::KeySet;
pub(crate) use record::AuthRecord;
use tokens::Tokens;

use crate::types::{KeyRange, Millis};

/// The user that must be there before anybody is asked who they are.
pub(crate) const ROOT: &[u8] = b"root";

/// All of it.
#[derive(Clone)]
pub(crate) struct Auth {
    enabled: bool,
    /// How often users and roles were changed; 1 to begin with.
    revision: u64,
    users: BTreeMap<Bytes, User>,
    roles: BTreeMap<Bytes, Role>,
    tokens: Tokens,
}

/// One user.
#[derive(Clone, Debug)]
struct User {
    /// `None`: it was made without one, and cannot log in.
    password: Option<PasswordHash>,
    /// The revision that set the password.
    since: u64,
    roles: BTreeSet<Bytes>,
    /// What the roles come to, kept up to date.
    may: May,
}

/// What a user may do.
#[derive(Clone, Debug, Default)]
struct May {
    everything: bool,
    read: KeySet,
    write: KeySet,
}

/// One role. Its permissions are in the order of their first keys, and then of their making.
#[derive(Clone, Debug, Default)]
struct Role {
    permissions: Vec<Permission>,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            enabled: false,
            revision: 1,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            tokens: Tokens::default(),
        }
    }
}

impl Auth {
    /// A number that is another one whenever somebody may be permitted something else than before.
    pub(crate) fn stamp(&self) -> u64 {
        self.revision * 2 + u64::from(self.enabled)
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whose token is being used.
    pub(crate) fn touch(&mut self, caller: &Caller, clock: Millis) {
        match caller {
            Caller::Token(digest) => self.tokens.touch(digest, clock),
            Caller::Nobody | Caller::Server | Caller::User { .. } => {}
        }
    }

    /// Works out again what a user may do.
    fn work_out(&mut self, name: &Bytes) {
        let Some(user) = self.users.get_mut(name) else { return };
        let permissions = || {
            let roles = user.roles.iter().filter_map(|role| self.roles.get(role));
            roles.flat_map(|role| &role.permissions)
        };
        let keys = |wanted: PermissionKind| {
            let ranges = permissions().filter(|permission| permission.kind.includes(wanted));
            KeySet::of(ranges.map(Permission::range))
        };
        user.may = May {
            everything: user.roles.contains(ROOT),
            read: keys(PermissionKind::Read),
            write: keys(PermissionKind::Write),
        };
    }

    fn work_all_out(&mut self) {
        let names: Vec<Bytes> = self.users.keys().cloned().collect();
        for name in names {
            self.work_out(&name);
        }
    }
}

impl PermissionKind {
    fn includes(self, wanted: PermissionKind) -> bool {
        self == wanted || self == PermissionKind::ReadWrite
    }
}

impl Permission {
    /// Which keys it is for. An empty first key counts as the first of all.
    fn range(&self) -> KeyRange {
        match (self.key.as_ref(), self.range_end.as_ref()) {
            ([], [0]) => KeyRange::all(),
            _ => KeyRange::from_etcd(self.key.clone(), self.range_end.clone()),
        }
    }
}
