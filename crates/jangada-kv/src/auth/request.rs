//! What can be asked of users and roles, what comes of it, and on whose behalf anything is asked.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::request::Request;
use crate::types::{KeyRange, Revision};
use crate::wire::{DecodeError, Reader, Wire, wire_enum, wire_struct};

/// A request, and who asks. A request without this around it is asked by nobody in particular, and is refused where
/// somebody is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OnBehalf {
    /// Who asks.
    pub caller: Caller,
    /// What is asked; never such a thing again.
    pub request: Request,
}

/// Who asks for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A client that has not said who it is.
    #[default]
    Nobody,
    /// The server itself, as part of its upkeep. Nobody can claim that from outside.
    Server,
    /// Whoever a token was issued to.
    Token(TokenDigest),
    /// A user that has proved to be it while its password was the one of `since`.
    User {
        /// Its name.
        name: Bytes,
        /// [`Credentials::since`] of the password.
        since: u64,
    },
}

impl Caller {
    /// The request as this caller's. What nobody asks for stays as it is.
    #[must_use]
    pub fn asks(&self, request: Request) -> Request {
        match self {
            Caller::Nobody => request,
            Caller::Server | Caller::Token(_) | Caller::User { .. } => {
                Request::OnBehalf(alloc::boxed::Box::new(OnBehalf { caller: self.clone(), request }))
            }
        }
    }
}

/// What the store knows of a token: a digest from which nobody finds the token. Made by the server, with SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenDigest(pub [u8; 32]);

/// A digest is of no use to whoever reads it, but it need not fill logs either.
impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenDigest({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// A password's hash, with its salt and parameters. Shows nothing of itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PasswordHash(pub Bytes);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What can be asked of users and roles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthRequest {
    /// To change them, through the log.
    Change(AuthChange),
    /// To say how things are.
    Ask(AuthQuestion),
}

/// A change of users, roles or tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthChange {
    /// From now on, ask everybody who they are. There must be a user `root` with the role `root`.
    Enable,
    /// From now on, ask nobody. All tokens end.
    Disable,
    /// Make a user.
    UserAdd {
        /// Its name.
        name: Bytes,
        /// The hash of its password; `None`: it cannot log in.
        password: Option<PasswordHash>,
    },
    /// End a user.
    UserDelete {
        /// Its name.
        name: Bytes,
    },
    /// Give a user another password. Who has logged in with the old one has to do it again.
    UserChangePassword {
        /// Its name.
        name: Bytes,
        /// The hash of the new one.
        password: PasswordHash,
    },
    /// Give a role to a user.
    UserGrantRole {
        /// The user.
        user: Bytes,
        /// The role.
        role: Bytes,
    },
    /// Take a role from a user.
    UserRevokeRole {
        /// The user.
        user: Bytes,
        /// The role.
        role: Bytes,
    },
    /// Make a role.
    RoleAdd {
        /// Its name.
        name: Bytes,
    },
    /// End a role; nobody has it any more.
    RoleDelete {
        /// Its name.
        name: Bytes,
    },
    /// Let a role do something with some keys. There is one permission for each range: this replaces what was there.
    RoleGrantPermission {
        /// The role.
        role: Bytes,
        /// What it may do.
        permission: Permission,
    },
    /// Take a permission from a role.
    RoleRevokePermission {
        /// The role.
        role: Bytes,
        /// The first key of the permission, as it was granted.
        key: Bytes,
        /// Its end, as it was granted.
        range_end: Bytes,
    },
    /// Issue a token to a user whose password was found right.
    Login {
        /// The user.
        name: Bytes,
        /// [`Credentials::since`] of the password that was found right.
        since: u64,
        /// The token's digest.
        token: TokenDigest,
        /// How long the token lasts when nobody uses it.
        ttl_seconds: u64,
    },
    /// Nothing; but whose behalf it is on, that token is in use.
    Touch,
}

/// A question about users and roles: it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthQuestion {
    /// Read whether anybody is asked who they are.
    Status,
    /// Read which roles a user has.
    UserGet {
        /// Its name.
        name: Bytes,
    },
    /// Read which users there are.
    UserList,
    /// Read what a role may do.
    RoleGet {
        /// Its name.
        name: Bytes,
    },
    /// Read which roles there are.
    RoleList,
    /// Read what a password is compared with. For the server alone: no client may ask this.
    Credentials {
        /// The user.
        name: Bytes,
    },
    /// Read who the caller is.
    WhoAmI,
    /// Read whether the caller may read these ranges, all of them. To watch them is nothing else.
    MayRead {
        /// The ranges.
        ranges: Vec<KeyRange>,
    },
    /// Read whether the caller may manage the cluster.
    MayManage,
}

/// What a role may do with some keys, as etcd writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permission {
    /// What.
    pub kind: PermissionKind,
    /// The first key.
    pub key: Bytes,
    /// As in [`KeyRange::from_etcd`].
    pub range_end: Bytes,
}

/// What a permission is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PermissionKind {
    /// To read and to watch.
    Read,
    /// To write and to delete.
    Write,
    /// Both.
    ReadWrite,
}

/// The answer to an [`AuthRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuthResponse {
    /// It is done, or may be done.
    Done {
        /// The store's revision; users and roles do not change it.
        revision: Revision,
    },
    /// To `Status`.
    Status {
        /// The store's revision.
        revision: Revision,
        /// Whether everybody is asked who they are.
        enabled: bool,
        /// How often users and roles were changed; 1 to begin with.
        auth_revision: u64,
    },
    /// To `UserGet` the roles, to `UserList` the users, to `RoleList` the roles; in their order.
    Names {
        /// The store's revision.
        revision: Revision,
        /// The names.
        names: Vec<Bytes>,
    },
    /// To `RoleGet`, by first key.
    Permissions {
        /// The store's revision.
        revision: Revision,
        /// What the role may do.
        permissions: Vec<Permission>,
    },
    /// To `Credentials`.
    Credentials(Credentials),
    /// To `WhoAmI`: the caller, by name if it has one.
    Caller(Caller),
}

/// What a password is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Whether anybody is asked who they are.
    pub enabled: bool,
    /// Whether there is such a user.
    pub exists: bool,
    /// The hash, if the user has a password.
    pub password: Option<PasswordHash>,
    /// Which password it is: different for each that was ever set.
    pub since: u64,
}

/// Why something about users and roles was refused, or something else because of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthError {
    /// Nobody can begin to ask who everybody is without a user `root`.
    NoRootUser,
    /// The user `root` has not the role `root`.
    RootLacksRole,
    /// There is such a user already.
    UserExists,
    /// A user is needed: a name to make one of, or somebody who asks.
    NoUser,
    /// There is no such user.
    UserNotFound,
    /// There is such a role already.
    RoleExists,
    /// There is no such role.
    RoleNotFound,
    /// A role needs a name.
    NoRoleName,
    /// The password was changed, or the user is gone, while the password was being looked at.
    LoginFailed,
    /// The caller may not do this.
    Denied,
    /// The user has not that role.
    RoleNotGranted,
    /// The role has not that permission.
    PermissionNotGranted,
    /// Nobody is asked who they are.
    NotEnabled,
    /// The token is none of ours, or has ended.
    InvalidToken,
    /// It would leave nobody who could manage users, or a permission is for no keys.
    InvalidManagement,
    /// The user was made without a password.
    NoPassword,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthError::NoRootUser => "there is no user root",
            AuthError::RootLacksRole => "the user root has not the role root",
            AuthError::UserExists => "there is such a user already",
            AuthError::NoUser => "nobody has said who asks: log in first (AUTH user password)",
            AuthError::UserNotFound => "there is no such user",
            AuthError::RoleExists => "there is such a role already",
            AuthError::RoleNotFound => "there is no such role",
            AuthError::NoRoleName => "a role needs a name",
            AuthError::LoginFailed => "the user or the password is wrong",
            AuthError::Denied => "this user may not do that",
            AuthError::RoleNotGranted => "the user has not that role",
            AuthError::PermissionNotGranted => "the role has not that permission",
            AuthError::NotEnabled => "nobody has to log in here",
            AuthError::InvalidToken => "the token is not valid, or not any more: log in again",
            AuthError::InvalidManagement => {
                "nobody could manage users any more, or nothing can be permitted so"
            }
            AuthError::NoPassword => "this user has no password",
        })
    }
}

impl AuthRequest {
    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            AuthRequest::Change(_) => false,
            AuthRequest::Ask(_) => true,
        }
    }
}

impl AuthResponse {
    pub(crate) fn revision(&self) -> Option<Revision> {
        match self {
            AuthResponse::Done { revision }
            | AuthResponse::Status { revision, .. }
            | AuthResponse::Names { revision, .. }
            | AuthResponse::Permissions { revision, .. } => Some(*revision),
            AuthResponse::Credentials(_) | AuthResponse::Caller(_) => None,
        }
    }
}

/// A request on somebody's behalf could hold another one, which nobody accepts; the depth bounds the recursion.
impl Wire for OnBehalf {
    fn encode(&self, into: &mut Vec<u8>) {
        self.caller.encode(into);
        Wire::encode(&self.request, into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<OnBehalf, DecodeError> {
        reader.nested(|reader| {
            let caller = Wire::decode(reader)?;
            let request = Wire::decode(reader)?;
            Ok(OnBehalf { caller, request })
        })
    }
}

/// The bytes as they are.
impl Wire for TokenDigest {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<TokenDigest, DecodeError> {
        let mut digest = [0; 32];
        for byte in &mut digest {
            *byte = reader.byte()?;
        }
        Ok(TokenDigest(digest))
    }
}

/// As a byte string.
impl Wire for PasswordHash {
    fn encode(&self, into: &mut Vec<u8>) {
        self.0.encode(into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<PasswordHash, DecodeError> {
        Wire::decode(reader).map(PasswordHash)
    }
}

/// The smallest tag of an [`AuthQuestion`].
const FIRST_QUESTION: u8 = 14;

wire_enum!(Caller, "a caller" { 0 => Nobody, 1 => Server, 2 => Token(token), 3 => User { name, since } });
wire_enum!(PermissionKind, "a permission" { 0 => Read, 1 => Write, 2 => ReadWrite });
wire_enum!(AuthChange, "a request about users" {
    1 => Enable,
    2 => Disable,
    3 => UserAdd { name, password },
    4 => UserDelete { name },
    5 => UserChangePassword { name, password },
    6 => UserGrantRole { user, role },
    7 => UserRevokeRole { user, role },
    8 => RoleAdd { name },
    9 => RoleDelete { name },
    10 => RoleGrantPermission { role, permission },
    11 => RoleRevokePermission { role, key, range_end },
    12 => Login { name, since, token, ttl_seconds },
    13 => Touch,
});
wire_enum!(AuthQuestion, "a request about users" {
    14 => Status,
    15 => UserGet { name },
    16 => UserList,
    17 => RoleGet { name },
    18 => RoleList,
    19 => Credentials { name },
    20 => WhoAmI,
    21 => MayRead { ranges },
    22 => MayManage,
});

/// Changes and questions have their tags from one series, so which of them it is takes no byte of its own.
impl Wire for AuthRequest {
    fn encode(&self, into: &mut Vec<u8>) {
        match self {
            AuthRequest::Change(change) => change.encode(into),
            AuthRequest::Ask(question) => question.encode(into),
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<AuthRequest, DecodeError> {
        match reader.peek()? {
            FIRST_QUESTION.. => AuthQuestion::decode(reader).map(AuthRequest::Ask),
            _ => AuthChange::decode(reader).map(AuthRequest::Change),
        }
    }
}

wire_enum!(AuthResponse, "a response about users" {
    1 => Done { revision },
    2 => Status { revision, enabled, auth_revision },
    3 => Names { revision, names },
    4 => Permissions { revision, permissions },
    5 => Credentials(credentials),
    6 => Caller(caller),
});
wire_enum!(AuthError, "an error about users" {
    1 => NoRootUser,
    2 => RootLacksRole,
    3 => UserExists,
    4 => NoUser,
    5 => UserNotFound,
    6 => RoleExists,
    7 => RoleNotFound,
    8 => NoRoleName,
    9 => LoginFailed,
    10 => Denied,
    11 => RoleNotGranted,
    12 => PermissionNotGranted,
    13 => NotEnabled,
    14 => InvalidToken,
    15 => InvalidManagement,
    16 => NoPassword,
});
wire_struct! {
    Permission { kind, key, range_end }
    Credentials { enabled, exists, password, since }
}
