//! user, role, auth: who may do what.

use jangada_etcd::authpb;
use jangada_etcd::authpb::permission::Type;
use jangada_etcd::client::Channel;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::auth_client::AuthClient;

use super::Ctl;
use super::cluster::Effect;
use super::grammar_users::{AuthWord, Grant, Kind, RoleWord, UserWord};
use super::keys::span;
use super::print::{Answer, add_text};
use super::tree::{Tree, header, text};
use crate::client::password;
use crate::failure::Failure;
use crate::output;

/// Why `auth enable` is refused when all that is missing is the role, in etcd's words.
const NOT_ROOT: &str = "root user does not have root role";

/// One call of the Auth service: the method's name, how it may be repeated, and what is asked.
macro_rules! ask {
    ($ctl:expr, $method:ident, $effect:ident, $request:expr) => {
        $ctl.cluster
            .call(Effect::$effect, $request, |channel: Channel, request| async move {
                AuthClient::new(channel).$method(request).await
            })
            .await
    };
}

impl Ctl {
    fn done(&self, from: Option<pb::ResponseHeader>, said: String) -> Result<(), Failure> {
        self.format.print(&Answer::lines(Tree::Object(vec![("header", header(&from))]), said + "\n"))
    }

    fn names(
        &self,
        from: Option<pb::ResponseHeader>,
        what: &'static str,
        names: &[String],
    ) -> Result<(), Failure> {
        let mut simple = Vec::new();
        names.iter().for_each(|name| add_text(name, &mut simple));
        let tree = Tree::Object(vec![
            ("header", header(&from)),
            (what, Tree::List(names.iter().map(text).collect())),
        ]);
        let rows = names.iter().map(|name| vec![name.clone()]).collect();
        self.format.print(&Answer { table: Some((vec!["NAME"], rows)), ..Answer::lines(tree, simple) })
    }

    /// Everything about users.
    pub async fn user(&mut self, word: &UserWord) -> Result<(), Failure> {
        match word {
            UserWord::Add { user, new_user_password, no_password, interactive } => {
                let name = user.split_once(':').map_or(user.as_str(), |(name, _)| name);
                if name.is_empty() {
                    return Err(Failure::usage("the new user has no name: write NAME, or NAME:PASSWORD"));
                }
                let (name, password) = match (user.split_once(':'), new_user_password) {
                    _ if *no_password => (user.clone(), String::new()),
                    (Some((name, password)), None) => (name.to_owned(), password.to_owned()),
                    (_, Some(password)) => (user.clone(), password.clone()),
                    (None, None) => (user.clone(), password::new(user, *interactive)?),
                };
                if !no_password {
                    password::warn_of_short(&password);
                }
                let options = no_password.then_some(authpb::UserAddOptions { no_password: true });
                let request =
                    pb::AuthUserAddRequest { name: name.clone(), password, options, ..Default::default() };
                let added = ask!(self, user_add, Write, request)?;
                self.done(added.header, format!("User {name} created"))
            }
            UserWord::Delete { user } => {
                let request = pb::AuthUserDeleteRequest { name: user.clone() };
                let deleted = ask!(self, user_delete, Write, request)?;
                self.done(deleted.header, format!("User {user} deleted"))
            }
            UserWord::Get { user } => {
                let told = ask!(self, user_get, Read, pb::AuthUserGetRequest { name: user.clone() })?;
                let tree = Tree::Object(vec![
                    ("header", header(&told.header)),
                    ("roles", Tree::List(told.roles.iter().map(text).collect())),
                ]);
                let roles: String = told.roles.iter().map(|role| format!(" {role}")).collect();
                self.format.print(&Answer::lines(tree, format!("User: {user}\nRoles:{roles}\n")))
            }
            UserWord::List => {
                let told = ask!(self, user_list, Read, pb::AuthUserListRequest {})?;
                self.names(told.header, "users", &told.users)
            }
            UserWord::Passwd { user, interactive } => {
                let (name, password) = match user.split_once(':') {
                    Some((name, password)) => (name.to_owned(), password.to_owned()),
                    None => (user.clone(), password::new(user, *interactive)?),
                };
                password::warn_of_short(&password);
                let request = pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
                let changed = ask!(self, user_change_password, Idempotent, request)?;
                self.done(changed.header, "Password updated".to_owned())
            }
            UserWord::GrantRole { user, role } => {
                let request = pb::AuthUserGrantRoleRequest { user: user.clone(), role: role.clone() };
                let granted = ask!(self, user_grant_role, Idempotent, request)?;
                self.done(granted.header, format!("Role {role} is granted to user {user}"))
            }
            UserWord::RevokeRole { user, role } => {
                let request = pb::AuthUserRevokeRoleRequest { name: user.clone(), role: role.clone() };
                let revoked = ask!(self, user_revoke_role, Write, request)?;
                self.done(revoked.header, format!("Role {role} is revoked from user {user}"))
            }
        }
    }

    /// Everything about roles.
    pub async fn role(&mut self, word: &RoleWord) -> Result<(), Failure> {
        match word {
            RoleWord::Add { role } => {
                let added = ask!(self, role_add, Write, pb::AuthRoleAddRequest { name: role.clone() })?;
                self.done(added.header, format!("Role {role} created"))
            }
            RoleWord::Delete { role } => {
                let deleted =
                    ask!(self, role_delete, Write, pb::AuthRoleDeleteRequest { role: role.clone() })?;
                self.done(deleted.header, format!("Role {role} deleted"))
            }
            RoleWord::Get { role } => {
                let told = ask!(self, role_get, Read, pb::AuthRoleGetRequest { role: role.clone() })?;
                self.format.print(&role_answer(role, &told))
            }
            RoleWord::List => {
                let told = ask!(self, role_list, Read, pb::AuthRoleListRequest {})?;
                self.names(told.header, "roles", &told.roles)
            }
            RoleWord::GrantPermission(grant) => self.grant_permission(grant).await,
            RoleWord::RevokePermission { role, key, range_end, prefix, from_key } => {
                let (key, range_end) = span(key, range_end.as_ref(), *prefix, *from_key)?;
                let told = shown(&key, &range_end);
                let request = pb::AuthRoleRevokePermissionRequest { role: role.clone(), key, range_end };
                let revoked = ask!(self, role_revoke_permission, Write, request)?;
                self.done(revoked.header, format!("Permission of {told} is revoked from role {role}"))
            }
        }
    }

    async fn grant_permission(&mut self, grant: &Grant) -> Result<(), Failure> {
        let Grant { role, kind, key, range_end, prefix, from_key } = grant;
        let (key, range_end) = span(key, range_end.as_ref(), *prefix, *from_key)?;
        let kind = match kind {
            Kind::Read => Type::Read,
            Kind::Write => Type::Write,
            Kind::Readwrite => Type::Readwrite,
        };
        let perm =
            authpb::Permission { perm_type: kind.into(), key: key.into(), range_end: range_end.into() };
        let request = pb::AuthRoleGrantPermissionRequest { name: role.clone(), perm: Some(perm) };
        let granted = ask!(self, role_grant_permission, Idempotent, request)?;
        self.done(granted.header, format!("Role {role} updated"))
    }

    /// Switches authentication on and off, and tells whether it is on.
    pub async fn auth(&mut self, word: AuthWord) -> Result<(), Failure> {
        match word {
            AuthWord::Enable => {
                let enabled = match ask!(self, auth_enable, Write, pb::AuthEnableRequest {}) {
                    // As etcdctl does it: without role root nobody could switch it off again. Only now, since what is
                    // refused for another reason shall change nothing.
                    Err(failure) if failure.message.contains(NOT_ROOT) => {
                        let role =
                            ask!(self, role_add, Write, pb::AuthRoleAddRequest { name: "root".to_owned() });
                        passed_over(role.map(drop), "already exists")?;
                        let granting =
                            pb::AuthUserGrantRoleRequest { user: "root".to_owned(), role: "root".to_owned() };
                        ask!(self, user_grant_role, Idempotent, granting)?;
                        ask!(self, auth_enable, Write, pb::AuthEnableRequest {})?
                    }
                    asked => asked?,
                };
                self.done(enabled.header, "Authentication Enabled".to_owned())
            }
            AuthWord::Disable => {
                let disabled = ask!(self, auth_disable, Write, pb::AuthDisableRequest {})?;
                self.done(disabled.header, "Authentication Disabled".to_owned())
            }
            AuthWord::Status => {
                let told = ask!(self, auth_status, Read, pb::AuthStatusRequest {})?;
                let tree = Tree::Object(vec![
                    ("header", header(&told.header)),
                    ("enabled", Tree::Flag(told.enabled)),
                    ("authRevision", told.auth_revision.into()),
                ]);
                let said = format!(
                    "Authentication Status: {}\nAuthRevision: {}\n",
                    told.enabled, told.auth_revision
                );
                self.format.print(&Answer::lines(tree, said))
            }
        }
    }
}

/// A refusal that does no harm here.
fn passed_over(answer: Result<(), Failure>, text: &str) -> Result<(), Failure> {
    match answer {
        Err(failure) if failure.message.contains(text) => Ok(()),
        other => other,
    }
}

/// A range as a person reads it.
fn shown(key: &[u8], range_end: &[u8]) -> String {
    let text = output::printable;
    match range_end {
        b"" => format!("key {}", text(key)),
        b"\0" if key == b"\0" => "all keys".to_owned(),
        b"\0" => format!("keys from {}", text(key)),
        _ => format!("range [{}, {})", text(key), text(range_end)),
    }
}

fn role_answer(role: &str, told: &pb::AuthRoleGetResponse) -> Answer {
    let (mut simple, mut parts, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    add_text(&format!("Role {role}"), &mut simple);
    for (title, kind) in [("KV Read:", Type::Read), ("KV Write:", Type::Write)] {
        add_text(title, &mut simple);
        let has = |perm: &&authpb::Permission| [kind, Type::Readwrite].contains(&perm.perm_type());
        for perm in told.perm.iter().filter(has) {
            add_text(&format!("\t{}", shown(&perm.key, &perm.range_end)), &mut simple);
        }
    }
    for perm in &told.perm {
        rows.push(vec![perm.perm_type().as_str_name().to_owned(), shown(&perm.key, &perm.range_end)]);
        parts.push(Tree::Object(vec![
            ("permType", Tree::Kind(perm.perm_type, perm.perm_type().as_str_name())),
            ("key", Tree::Bytes(perm.key.clone().into())),
            ("range_end", Tree::Bytes(perm.range_end.clone().into())),
        ]));
    }
    let tree = Tree::Object(vec![("header", header(&told.header)), ("perm", Tree::List(parts))]);
    Answer { table: Some((vec!["MAY", "KEYS"], rows)), ..Answer::lines(tree, simple) }
}
