//! What is asked of users and roles, and who asks.

use anyhow::{Result, bail};
use jangada_etcd::authpb;
use jangada_etcd::authpb::permission::Type;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::auth_client::AuthClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::{Code, Request};

use super::server::Server;
use super::step::told;

/// A call of Auth, or one that only some may make.
#[derive(Clone, Debug)]
pub(crate) enum Users {
    Enable,
    Disable,
    /// Whether auth is on, and how often something about it has changed: how far that is, is not compared.
    IsOn,
    /// With a password; the token is kept for `Step::By`.
    LogIn(&'static str, &'static str),
    Add(&'static str, &'static str),
    AddWithoutPassword(&'static str),
    Delete(&'static str),
    ChangePassword(&'static str, &'static str),
    Grant(&'static str, &'static str),
    Revoke(&'static str, &'static str),
    Get(&'static str),
    List,
    AddRole(&'static str),
    DeleteRole(&'static str),
    /// A role may do something with the keys from the one to the other.
    Permit(&'static str, Type, &'static str, &'static str),
    Forbid(&'static str, &'static str, &'static str),
    GetRole(&'static str),
    Roles,
    Defragment,
    Hash,
    Status,
}

impl Users {
    /// Asks, and returns the answer as text.
    pub(crate) async fn ask(&self, server: &mut Server) -> Result<String> {
        let mut client = AuthClient::new(server.channel());
        let owned = |text: &str| text.to_owned();
        /// Calls the method, and tells what it answers.
        macro_rules! call {
            ($method:ident($message:expr)) => {{
                let answer = client.$method(server.by($message)).await;
                told(answer, |answer| &mut answer.header)
            }};
        }
        match *self {
            Users::LogIn(name, password) => log_in(server, name, password).await,
            Users::IsOn => is_on(server).await,
            Users::Enable => call!(auth_enable(pb::AuthEnableRequest {})),
            Users::Disable => call!(auth_disable(pb::AuthDisableRequest {})),
            Users::Add(name, password) => call!(user_add(pb::AuthUserAddRequest {
                name: owned(name),
                password: owned(password),
                ..pb::AuthUserAddRequest::default()
            })),
            Users::AddWithoutPassword(name) => call!(user_add(pb::AuthUserAddRequest {
                name: owned(name),
                options: Some(authpb::UserAddOptions { no_password: true }),
                ..pb::AuthUserAddRequest::default()
            })),
            Users::Delete(name) => call!(user_delete(pb::AuthUserDeleteRequest { name: owned(name) })),
            Users::ChangePassword(name, password) => {
                call!(user_change_password(pb::AuthUserChangePasswordRequest {
                    name: owned(name),
                    password: owned(password),
                    ..pb::AuthUserChangePasswordRequest::default()
                }))
            }
            Users::Grant(user, role) => {
                call!(user_grant_role(pb::AuthUserGrantRoleRequest { user: owned(user), role: owned(role) }))
            }
            Users::Revoke(name, role) => call!(user_revoke_role(pb::AuthUserRevokeRoleRequest {
                name: owned(name),
                role: owned(role),
            })),
            Users::Get(name) => call!(user_get(pb::AuthUserGetRequest { name: owned(name) })),
            Users::List => call!(user_list(pb::AuthUserListRequest {})),
            Users::AddRole(name) => call!(role_add(pb::AuthRoleAddRequest { name: owned(name) })),
            Users::DeleteRole(role) => call!(role_delete(pb::AuthRoleDeleteRequest { role: owned(role) })),
            Users::Permit(name, kind, key, range_end) => {
                let perm = authpb::Permission {
                    perm_type: kind.into(),
                    key: key.into(),
                    range_end: range_end.into(),
                };
                let name = owned(name);
                call!(role_grant_permission(pb::AuthRoleGrantPermissionRequest { name, perm: Some(perm) }))
            }
            Users::Forbid(role, key, range_end) => {
                call!(role_revoke_permission(pb::AuthRoleRevokePermissionRequest {
                    role: owned(role),
                    key: key.into(),
                    range_end: range_end.into(),
                }))
            }
            Users::GetRole(role) => call!(role_get(pb::AuthRoleGetRequest { role: owned(role) })),
            Users::Roles => call!(role_list(pb::AuthRoleListRequest {})),
            Users::Defragment | Users::Hash | Users::Status => self.maintain(server).await,
        }
    }

    /// Of these only whether they were refused, and how.
    async fn maintain(&self, server: &mut Server) -> Result<String> {
        let mut client = MaintenanceClient::new(server.channel());
        let refused = match self {
            Users::Defragment => client.defragment(server.by(pb::DefragmentRequest {})).await.err(),
            Users::Hash => client.hash(server.by(pb::HashRequest {})).await.err(),
            Users::Status => client.status(server.by(pb::StatusRequest {})).await.err(),
            other => bail!("{other:?} is no call of maintenance"),
        };
        Ok(match refused {
            None => "done".to_owned(),
            Some(status) => format!("{:?}: {}", status.code(), status.message()),
        })
    }
}

async fn is_on(server: &Server) -> Result<String> {
    let mut client = AuthClient::new(server.channel());
    let mut answer = client.auth_status(server.by(pb::AuthStatusRequest {})).await;
    if let Ok(answer) = &mut answer {
        let answer = answer.get_mut();
        answer.auth_revision = u64::from(answer.auth_revision != 0);
    }
    told(answer, |answer| &mut answer.header)
}

async fn log_in(server: &mut Server, name: &'static str, password: &str) -> Result<String> {
    let (user, password) = (name.to_owned(), password.to_owned());
    let wanted = pb::AuthenticateRequest { name: user, password };
    let request = Request::new(wanted.clone());
    let mut auth = AuthClient::new(server.channel());
    let mut answer = auth.authenticate(request).await;
    // Of one user many passwords in a row are wrong: ours does not look at the next one at once.
    while answer.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer = auth.authenticate(Request::new(wanted.clone())).await;
    }
    if let Ok(answer) = &mut answer {
        let token = std::mem::replace(&mut answer.get_mut().token, "a token".to_owned());
        server.tokens.insert(name, token);
    }
    told(answer, |answer| &mut answer.header)
}
