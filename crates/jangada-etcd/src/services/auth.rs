//! Auth: users, roles, permissions, tokens.

use jangada_kv::auth::{Permission, PermissionKind};
use jangada_kv::{AuthChange, AuthQuestion, AuthRequest, AuthResponse, Caller, Request, Response, Revision};
use tonic::{Request as Call, Response as Answer, Status};

use crate::auth;
use crate::authpb;
use crate::authpb::permission::Type;
use crate::backend::{Backend, Freshness};
use crate::etcdserverpb as pb;
use crate::etcdserverpb::auth_server::Auth;
use crate::{error, metadata, response};

/// The user who may do everything.
const ROOT: &str = "root";

/// Auth over a backend.
#[derive(Clone, Debug)]
pub struct AuthService<B>(pub B);

/// A call whose answer says no more than that it is done.
macro_rules! done {
    ($self:ident, $call:ident, $message:ident => $request:expr, $answer:ident) => {{
        let (caller, $message) = metadata::admitted($call, &$self.0)?;
        let request = $request;
        let header = $self.header($self.change(&caller, request).await?);
        Ok(Answer::new(pb::$answer { header }))
    }};
}

#[tonic::async_trait]
impl<B: Backend> Auth for AuthService<B> {
    async fn auth_enable(
        &self,
        call: Call<pb::AuthEnableRequest>,
    ) -> Result<Answer<pb::AuthEnableResponse>, Status> {
        self.check_root().await?;
        done!(self, call, _message => AuthChange::Enable, AuthEnableResponse)
    }

    async fn auth_disable(
        &self,
        call: Call<pb::AuthDisableRequest>,
    ) -> Result<Answer<pb::AuthDisableResponse>, Status> {
        done!(self, call, _message => AuthChange::Disable, AuthDisableResponse)
    }

    async fn auth_status(
        &self,
        call: Call<pb::AuthStatusRequest>,
    ) -> Result<Answer<pb::AuthStatusResponse>, Status> {
        let (caller, _) = metadata::admitted(call, &self.0)?;
        match self.ask(&caller, AuthQuestion::Status).await? {
            AuthResponse::Status { revision, enabled, auth_revision } => {
                Ok(Answer::new(pb::AuthStatusResponse {
                    header: self.header(revision),
                    enabled,
                    auth_revision,
                }))
            }
            other => Err(error::of_mismatch(Response::Auth(other))),
        }
    }

    async fn authenticate(
        &self,
        call: Call<pb::AuthenticateRequest>,
    ) -> Result<Answer<pb::AuthenticateResponse>, Status> {
        // Whatever token it shows: who logs in again has an old one.
        metadata::check_leader(call.metadata(), &self.0)?;
        let address = call.extensions().get::<auth::ComesFrom>().map(|from| from.0);
        let pb::AuthenticateRequest { name, password } = call.into_inner();
        let (token, logged_in) = auth::token(&self.0, &name, password, address).await?;
        let header = self.header(logged_in.revision().unwrap_or(Revision::ZERO));
        Ok(Answer::new(pb::AuthenticateResponse { header, token }))
    }

    async fn user_add(
        &self,
        call: Call<pb::AuthUserAddRequest>,
    ) -> Result<Answer<pb::AuthUserAddResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let pb::AuthUserAddRequest { name, password, options, .. } = message;
        if name.is_empty() {
            return Err(error::USER_EMPTY.into());
        }
        // Who may not shall not make this member work.
        auth::may_manage(&self.0, &caller).await?;
        let password = match options.is_some_and(|options| options.no_password) {
            true => None,
            false => Some(auth::hash(&self.0, password).await?),
        };
        let done = self.change(&caller, AuthChange::UserAdd { name: name.into(), password }).await?;
        Ok(Answer::new(pb::AuthUserAddResponse { header: self.header(done) }))
    }

    async fn user_get(
        &self,
        call: Call<pb::AuthUserGetRequest>,
    ) -> Result<Answer<pb::AuthUserGetResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        let (header, roles) =
            self.names(&caller, AuthQuestion::UserGet { name: message.name.into() }).await?;
        Ok(Answer::new(pb::AuthUserGetResponse { header, roles }))
    }

    async fn user_list(
        &self,
        call: Call<pb::AuthUserListRequest>,
    ) -> Result<Answer<pb::AuthUserListResponse>, Status> {
        let (caller, _) = metadata::admitted(call, &self.0)?;
        let (header, users) = self.names(&caller, AuthQuestion::UserList).await?;
        Ok(Answer::new(pb::AuthUserListResponse { header, users }))
    }

    async fn user_delete(
        &self,
        call: Call<pb::AuthUserDeleteRequest>,
    ) -> Result<Answer<pb::AuthUserDeleteResponse>, Status> {
        done!(self, call, message => AuthChange::UserDelete { name: message.name.into() }, AuthUserDeleteResponse)
    }

    async fn user_change_password(
        &self,
        call: Call<pb::AuthUserChangePasswordRequest>,
    ) -> Result<Answer<pb::AuthUserChangePasswordResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        auth::may_manage(&self.0, &caller).await?;
        let password = auth::hash(&self.0, message.password).await?;
        let change = AuthChange::UserChangePassword { name: message.name.into(), password };
        let done = self.change(&caller, change).await?;
        Ok(Answer::new(pb::AuthUserChangePasswordResponse { header: self.header(done) }))
    }

    async fn user_grant_role(
        &self,
        call: Call<pb::AuthUserGrantRoleRequest>,
    ) -> Result<Answer<pb::AuthUserGrantRoleResponse>, Status> {
        done!(
            self,
            call,
            message => AuthChange::UserGrantRole { user: message.user.into(), role: message.role.into() },
            AuthUserGrantRoleResponse
        )
    }

    async fn user_revoke_role(
        &self,
        call: Call<pb::AuthUserRevokeRoleRequest>,
    ) -> Result<Answer<pb::AuthUserRevokeRoleResponse>, Status> {
        done!(
            self,
            call,
            message => AuthChange::UserRevokeRole { user: message.name.into(), role: message.role.into() },
            AuthUserRevokeRoleResponse
        )
    }

    async fn role_add(
        &self,
        call: Call<pb::AuthRoleAddRequest>,
    ) -> Result<Answer<pb::AuthRoleAddResponse>, Status> {
        done!(self, call, message => AuthChange::RoleAdd { name: message.name.into() }, AuthRoleAddResponse)
    }

    async fn role_get(
        &self,
        call: Call<pb::AuthRoleGetRequest>,
    ) -> Result<Answer<pb::AuthRoleGetResponse>, Status> {
        let (caller, message) = metadata::admitted(call, &self.0)?;
        match self.ask(&caller, AuthQuestion::RoleGet { name: message.role.into() }).await? {
            AuthResponse::Permissions { revision, permissions } => {
                let perm = permissions.into_iter().map(told).collect();
                Ok(Answer::new(pb::AuthRoleGetResponse { header: self.header(revision), perm }))
            }
            other => Err(error::of_mismatch(Response::Auth(other))),
        }
    }

    async fn role_list(
        &self,
        call: Call<pb::AuthRoleListRequest>,
    ) -> Result<Answer<pb::AuthRoleListResponse>, Status> {
        let (caller, _) = metadata::admitted(call, &self.0)?;
        let (header, roles) = self.names(&caller, AuthQuestion::RoleList).await?;
        Ok(Answer::new(pb::AuthRoleListResponse { header, roles }))
    }

    async fn role_delete(
        &self,
        call: Call<pb::AuthRoleDeleteRequest>,
    ) -> Result<Answer<pb::AuthRoleDeleteResponse>, Status> {
        done!(self, call, message => AuthChange::RoleDelete { name: message.role.into() }, AuthRoleDeleteResponse)
    }

    async fn role_grant_permission(
        &self,
        call: Call<pb::AuthRoleGrantPermissionRequest>,
    ) -> Result<Answer<pb::AuthRoleGrantPermissionResponse>, Status> {
        done!(
            self,
            call,
            message => {
                let permission = permission(message.perm)?;
                AuthChange::RoleGrantPermission { role: message.name.into(), permission }
            },
            AuthRoleGrantPermissionResponse
        )
    }

    async fn role_revoke_permission(
        &self,
        call: Call<pb::AuthRoleRevokePermissionRequest>,
    ) -> Result<Answer<pb::AuthRoleRevokePermissionResponse>, Status> {
        done!(
            self,
            call,
            message => AuthChange::RoleRevokePermission {
                role: message.role.into(),
                key: message.key,
                range_end: message.range_end,
            },
            AuthRoleRevokePermissionResponse
        )
    }
}

impl<B: Backend> AuthService<B> {
    fn header(&self, revision: Revision) -> Option<pb::ResponseHeader> {
        response::header(&self.0, revision)
    }

    /// Whoever begins to ask everybody for a password must leave somebody who has one, and may do everything.
    async fn check_root(&self) -> Result<(), Status> {
        let asked = AuthQuestion::Credentials { name: ROOT.into() };
        match self.asked(&Caller::Server, asked).await? {
            AuthResponse::Credentials(root) if root.exists && root.password.is_none() => {
                Err(error::ROOT_WITHOUT_PASSWORD.into())
            }
            AuthResponse::Credentials(_) => Ok(()),
            other => Err(error::of_mismatch(Response::Auth(other))),
        }
    }

    async fn change(&self, caller: &Caller, change: AuthChange) -> Result<Revision, Status> {
        let change = Request::Auth(AuthRequest::Change(change));
        let done = self.0.write(caller.asks(change)).await.map_err(error::of_refusal)?;
        match done {
            Response::Auth(AuthResponse::Done { revision }) => Ok(revision),
            other => Err(error::of_mismatch(other)),
        }
    }

    /// As etcd answers what only reads; it takes seven seconds to say that nobody leads.
    async fn ask(&self, caller: &Caller, question: AuthQuestion) -> Result<AuthResponse, Status> {
        self.asked(caller, question).await.map_err(|status| match auth::nobody_leads(&self.0, &status) {
            true => error::NO_ANSWER_ABOUT_USERS.into(),
            false => status,
        })
    }

    async fn asked(&self, caller: &Caller, question: AuthQuestion) -> Result<AuthResponse, Status> {
        let question = Request::Auth(AuthRequest::Ask(question));
        match auth::read(&self.0, caller, question, Freshness::Linearizable).await? {
            Response::Auth(answer) => Ok(answer),
            other => Err(error::of_mismatch(other)),
        }
    }

    async fn names(
        &self,
        caller: &Caller,
        question: AuthQuestion,
    ) -> Result<(Option<pb::ResponseHeader>, Vec<String>), Status> {
        match self.ask(caller, question).await? {
            AuthResponse::Names { revision, names } => {
                let names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
                Ok((self.header(revision), names.collect()))
            }
            other => Err(error::of_mismatch(Response::Auth(other))),
        }
    }
}

/// What shall be permitted, if it can be.
fn permission(message: Option<authpb::Permission>) -> Result<Permission, Status> {
    let message = message.ok_or(error::PERMISSION_NOT_GIVEN)?;
    let kind = match message.perm_type() {
        Type::Read => PermissionKind::Read,
        Type::Write => PermissionKind::Write,
        Type::Readwrite => PermissionKind::ReadWrite,
    };
    // What no version of etcd knows must not pass for the first of the known ones.
    if Type::try_from(message.perm_type).is_err() {
        return Err(error::INVALID_AUTH_MANAGEMENT.into());
    }
    Ok(Permission { kind, key: message.key.into(), range_end: message.range_end.into() })
}

fn told(permission: Permission) -> authpb::Permission {
    let perm_type = match permission.kind {
        PermissionKind::Read => Type::Read,
        PermissionKind::Write => Type::Write,
        PermissionKind::ReadWrite => Type::Readwrite,
    };
    authpb::Permission {
        perm_type: perm_type.into(),
        key: permission.key.into(),
        range_end: permission.range_end.into(),
    }
}
