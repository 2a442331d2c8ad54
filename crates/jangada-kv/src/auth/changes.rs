//! Users and roles as requests change them and read them. Whether the caller may is settled before.

use bytes::Bytes;

use super::request::{
    AuthChange, AuthError, AuthQuestion, AuthRequest, AuthResponse, Caller, Credentials, PasswordHash,
    Permission, PermissionKind,
};
use super::{Auth, May, ROOT, Role, User};
use crate::store::Store;
use crate::types::{Millis, Revision};

/// A name that outlives the buffer in which the request came.
fn own(name: &Bytes) -> Bytes {
    Bytes::copy_from_slice(name)
}

fn own_hash(hash: &PasswordHash) -> PasswordHash {
    PasswordHash(own(&hash.0))
}

impl Store {
    /// Carries out a change of users or roles, or answers a question about them, for a caller who may.
    pub(crate) fn auth(&mut self, caller: &Caller, request: &AuthRequest) -> Result<AuthResponse, AuthError> {
        match request {
            AuthRequest::Change(change) => {
                self.auth.change(self.clock, change)?;
                Ok(AuthResponse::Done { revision: self.revision })
            }
            AuthRequest::Ask(question) => self.auth_query(caller, question),
        }
    }

    /// Answers a question about users and roles, for a caller who may know.
    pub(crate) fn auth_query(
        &self,
        caller: &Caller,
        question: &AuthQuestion,
    ) -> Result<AuthResponse, AuthError> {
        self.auth.query(self.revision, self.clock, caller, question)
    }
}

impl Auth {
    fn change(&mut self, clock: Millis, change: &AuthChange) -> Result<(), AuthError> {
        match change {
            AuthChange::Enable => self.enable(),
            AuthChange::Disable => {
                self.disable();
                Ok(())
            }
            AuthChange::UserAdd { name, password } => self.add_user(name, password.as_ref()),
            AuthChange::UserDelete { name } => self.delete_user(name),
            AuthChange::UserChangePassword { name, password } => self.change_password(name, password),
            AuthChange::UserGrantRole { user, role } => self.grant_role(user, role),
            AuthChange::UserRevokeRole { user, role } => self.revoke_role(user, role),
            AuthChange::RoleAdd { name } => self.add_role(name),
            AuthChange::RoleDelete { name } => self.delete_role(name),
            AuthChange::RoleGrantPermission { role, permission } => self.grant_permission(role, permission),
            AuthChange::RoleRevokePermission { role, key, range_end } => {
                self.revoke_permission(role, key, range_end)
            }
            AuthChange::Login { name, since, token, ttl_seconds } => {
                let user = self.login(name, *since)?;
                self.tokens.issue(*token, &user, (*ttl_seconds).min(super::tokens::MAX_TOKEN_SECONDS), clock);
                Ok(())
            }
            AuthChange::Touch => Ok(()),
        }
    }

    fn query(
        &self,
        revision: Revision,
        clock: Millis,
        caller: &Caller,
        question: &AuthQuestion,
    ) -> Result<AuthResponse, AuthError> {
        Ok(match question {
            AuthQuestion::Status => {
                AuthResponse::Status { revision, enabled: self.enabled, auth_revision: self.revision }
            }
            AuthQuestion::UserGet { name } => {
                let user = self.users.get(name).ok_or(AuthError::UserNotFound)?;
                AuthResponse::Names { revision, names: user.roles.iter().cloned().collect() }
            }
            AuthQuestion::UserList => {
                AuthResponse::Names { revision, names: self.users.keys().cloned().collect() }
            }
            AuthQuestion::RoleGet { name } => {
                let role = self.roles.get(name).ok_or(AuthError::RoleNotFound)?;
                let permissions = match name.as_ref() {
                    // Whatever was granted to it, it may do everything.
                    ROOT => alloc::vec![everything()],
                    _ => role.permissions.clone(),
                };
                AuthResponse::Permissions { revision, permissions }
            }
            AuthQuestion::RoleList => {
                AuthResponse::Names { revision, names: self.roles.keys().cloned().collect() }
            }
            AuthQuestion::Credentials { name } => {
                let user = self.users.get(name);
                AuthResponse::Credentials(Credentials {
                    enabled: self.enabled,
                    exists: user.is_some(),
                    password: user.and_then(|user| user.password.clone()),
                    since: user.map_or(0, |user| user.since),
                })
            }
            AuthQuestion::WhoAmI => AuthResponse::Caller(self.by_name(caller, clock)),
            AuthQuestion::MayRead { .. } | AuthQuestion::MayManage => AuthResponse::Done { revision },
        })
    }

    /// Users and roles have changed.
    fn next_revision(&mut self) {
        self.revision += 1;
    }

    fn enable(&mut self) -> Result<(), AuthError> {
        if self.enabled {
            return Ok(());
        }
        let root = self.users.get(ROOT).ok_or(AuthError::NoRootUser)?;
        if !root.roles.contains(ROOT) {
            return Err(AuthError::RootLacksRole);
        }
        self.enabled = true;
        // Who proved who it was before users were last asked has to prove it again. Nobody could since, so that this number
        // is another one than any that was given out then.
        for user in self.users.values_mut() {
            user.since = self.revision;
        }
        Ok(())
    }

    fn disable(&mut self) {
        if self.enabled {
            self.enabled = false;
            self.tokens = super::Tokens::default();
            self.next_revision();
        }
    }

    fn add_user(&mut self, name: &Bytes, password: Option<&PasswordHash>) -> Result<(), AuthError> {
        if name.is_empty() {
            return Err(AuthError::NoUser);
        }
        if self.users.contains_key(name) {
            return Err(AuthError::UserExists);
        }
        self.next_revision();
        let password = password.map(own_hash);
        let user = User { password, since: self.revision, roles: Default::default(), may: May::default() };
        self.users.insert(own(name), user);
        Ok(())
    }

    fn delete_user(&mut self, name: &Bytes) -> Result<(), AuthError> {
        if self.enabled && name == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        self.users.remove(name).ok_or(AuthError::UserNotFound)?;
        self.tokens.end_of_user(name);
        self.next_revision();
        Ok(())
    }

    /// A user that was made without a password keeps having none, as in etcd.
    fn change_password(&mut self, name: &Bytes, password: &PasswordHash) -> Result<(), AuthError> {
        let next = self.revision + 1;
        let user = self.users.get_mut(name).ok_or(AuthError::UserNotFound)?;
        if user.password.is_some() {
            user.password = Some(own_hash(password));
        }
        user.since = next;
        self.tokens.end_of_user(name);
        self.next_revision();
        Ok(())
    }

    /// The role `root` can be given without being there.
    fn grant_role(&mut self, user: &Bytes, role: &Bytes) -> Result<(), AuthError> {
        let roles = &mut self.users.get_mut(user).ok_or(AuthError::UserNotFound)?.roles;
        if role != ROOT && !self.roles.contains_key(role) {
            return Err(AuthError::RoleNotFound);
        }
        if roles.insert(own(role)) {
            self.next_revision();
            self.work_out(user);
        }
        Ok(())
    }

    fn revoke_role(&mut self, user: &Bytes, role: &Bytes) -> Result<(), AuthError> {
        if self.enabled && user == ROOT && role == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        let roles = &mut self.users.get_mut(user).ok_or(AuthError::UserNotFound)?.roles;
        if !roles.remove(role) {
            return Err(AuthError::RoleNotGranted);
        }
        self.next_revision();
        self.work_out(user);
        Ok(())
    }

    fn add_role(&mut self, name: &Bytes) -> Result<(), AuthError> {
        if name.is_empty() {
            return Err(AuthError::NoRoleName);
        }
        if self.roles.contains_key(name) {
            return Err(AuthError::RoleExists);
        }
        self.roles.insert(own(name), Role::default());
        self.next_revision();
        Ok(())
    }

    fn delete_role(&mut self, name: &Bytes) -> Result<(), AuthError> {
        if self.enabled && name == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        self.roles.remove(name).ok_or(AuthError::RoleNotFound)?;
        for user in self.users.values_mut() {
            user.roles.remove(name);
        }
        self.next_revision();
        self.work_all_out();
        Ok(())
    }

    fn grant_permission(&mut self, role: &Bytes, permission: &Permission) -> Result<(), AuthError> {
        let permissions = &mut self.roles.get_mut(role).ok_or(AuthError::RoleNotFound)?.permissions;
        let Permission { kind, key, range_end } = permission;
        match permissions.iter_mut().find(|granted| granted.key == key && granted.range_end == range_end) {
            Some(granted) => granted.kind = *kind,
            None => {
                let at = permissions.partition_point(|granted| granted.key <= key);
                let granted = Permission { kind: *kind, key: own(key), range_end: own(range_end) };
                permissions.insert(at, granted);
            }
        }
        self.next_revision();
        self.work_all_out();
        Ok(())
    }

    fn revoke_permission(&mut self, role: &Bytes, key: &Bytes, range_end: &Bytes) -> Result<(), AuthError> {
        let permissions = &mut self.roles.get_mut(role).ok_or(AuthError::RoleNotFound)?.permissions;
        let before = permissions.len();
        permissions.retain(|granted| granted.key != key || granted.range_end != range_end);
        if permissions.len() == before {
            return Err(AuthError::PermissionNotGranted);
        }
        self.next_revision();
        self.work_all_out();
        Ok(())
    }

    /// The user's name, if its password still is the one that was found right.
    fn login(&self, name: &Bytes, since: u64) -> Result<Bytes, AuthError> {
        if !self.enabled {
            return Err(AuthError::NotEnabled);
        }
        let (name, user) = self.users.get_key_value(name).ok_or(AuthError::LoginFailed)?;
        let is_same = user.since == since && user.password.is_some();
        if is_same { Ok(name.clone()) } else { Err(AuthError::LoginFailed) }
    }

    /// Whoever has a token, by name.
    fn by_name(&self, caller: &Caller, clock: Millis) -> Caller {
        match caller {
            Caller::Token(digest) => match self.tokens.get(digest, clock) {
                Some(token) => {
                    let since = self.users.get(&token.user).map_or(0, |user| user.since);
                    Caller::User { name: token.user.clone(), since }
                }
                None => caller.clone(),
            },
            Caller::Nobody | Caller::Server | Caller::User { .. } => caller.clone(),
        }
    }
}

/// What the role `root` may do.
fn everything() -> Permission {
    Permission { kind: PermissionKind::ReadWrite, key: Bytes::new(), range_end: Bytes::from_static(&[0]) }
}
