//! Requests and answers in a few words, for people who read why a history was rejected.

use std::fmt::Write;

use bytes::Bytes;
use jangada_kv::request::{Compare, CompareOperator, CompareTarget};
use jangada_kv::{
    Alarm, AlarmKind, AlarmRequest, AuthChange, AuthQuestion, AuthRequest, AuthResponse, Caller, Command,
    KeyRange, KeyValue, LeaseId, LeaseRequest, LeaseResponse, Reply, Request, Response, SetCondition, Txn,
    TxnOp, TxnOpResponse,
};
use jangada_raft::types::Time;

use crate::history::{Operation, Outcome};

/// Longest text of one key or value; what is longer is cut.
const MAX_TEXT: usize = 40;
/// Most elements of a list that are told.
const MAX_LISTED: usize = 6;

/// "client 3: SET d 8 (1.2 ms to 1.9 ms) → OK".
pub(crate) fn operation(operation: &Operation) -> String {
    let mut out =
        format!("client {}: {} ({}", operation.client, request(&operation.request), time(operation.invoked));
    let told = match &operation.outcome {
        Outcome::Returned { at, response: answer, .. } => {
            write!(out, " to {}) → {}", time(*at), response(answer))
        }
        Outcome::Refused { at } => write!(out, " to {}) → refused, without effect", time(*at)),
        Outcome::Unknown => write!(out, ") → outcome unknown"),
    };
    told.expect("writing to a string cannot fail");
    out
}

/// A time as milliseconds, with as many digits as it has.
pub(crate) fn time(time: Time) -> String {
    let (whole, rest) = (time.0 / 1_000_000, time.0 % 1_000_000);
    if rest == 0 {
        return format!("{whole} ms");
    }
    let digits = format!("{rest:06}");
    format!("{whole}.{} ms", digits.trim_end_matches('0'))
}

/// Bytes as text, in quotes.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut end = bytes.len().min(MAX_TEXT);
    // No character is cut in two: a byte of this kind goes on with one that began before.
    while end > MAX_TEXT.saturating_sub(4) && bytes.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
        end -= 1;
    }
    let more = if end < bytes.len() { "…" } else { "" };
    format!("\"{}{more}\"", readable(&bytes[..end]))
}

/// Letters as they are, in whatever script; what is none, or would steer a terminal, by its number.
fn readable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            match u8::try_from(c) {
                Ok(ascii) if c.is_ascii() => shown.extend(ascii.escape_ascii().map(char::from)),
                // Behind a letter, what belongs to it is shown, too: an accent, say.
                Ok(_) | Err(_) => shown.extend(format!("a{c}").escape_debug().skip(1)),
            }
        }
        shown.extend(part.invalid().escape_ascii().map(char::from));
    }
    shown
}

fn list<T>(items: &[T], tell: impl Fn(&T) -> String) -> String {
    let mut told: Vec<String> = items.iter().take(MAX_LISTED).map(tell).collect();
    if items.len() > MAX_LISTED {
        told.push(format!("… {} more", items.len() - MAX_LISTED));
    }
    told.join(", ")
}

fn keys(keys: &[Bytes]) -> String {
    list(keys, |key| text(key))
}

pub(crate) fn range(range: &KeyRange) -> String {
    match range {
        KeyRange::One(key) => text(key),
        KeyRange::Span { from, to } => format!("{} to {}", text(from), text(to)),
        KeyRange::From(from) if from.is_empty() => "all keys".to_string(),
        KeyRange::From(from) => format!("{} to the end", text(from)),
    }
}

/// A request: "SET d 8".
#[must_use]
pub fn request(request: &Request) -> String {
    match request {
        Request::Command(one) => command(one),
        Request::Exec(exec) => format!("EXEC [{}]", list(&exec.commands, command)),
        Request::WatchRevision { key } => format!("WATCH {}", text(key)),
        Request::Range(read) => match read.revision {
            Some(revision) => format!("range {} at revision {revision}", range(&read.range)),
            None => format!("range {}", range(&read.range)),
        },
        Request::Put(put) => format!("put {} = {}", text(&put.key), text(&put.value)),
        Request::DeleteRange(delete) => format!("delete {}", range(&delete.range)),
        Request::Txn(txn) => self::txn(txn),
        Request::Compact { revision } => format!("compact to revision {revision}"),
        Request::ExpireKeys { keys: due } => format!("expire {}", keys(due)),
        Request::Tick => "tick".to_string(),
        Request::SetRetention(_) => "set the retention".to_string(),
        Request::SetQuota(quota) => format!("set the quota to {} bytes", quota.bytes),
        Request::Alarm(AlarmRequest::List) => "list alarms".to_string(),
        Request::Alarm(AlarmRequest::Raise(which)) => format!("raise {}", alarm(*which)),
        Request::Alarm(AlarmRequest::Clear(which)) => format!("clear {}", alarm(*which)),
        Request::Lease(request) => lease_request(request),
        Request::Auth(request) => auth_request(request),
        Request::OnBehalf(asked) => format!("{}: {}", caller(&asked.caller), self::request(&asked.request)),
    }
}

fn caller(caller: &Caller) -> String {
    match caller {
        Caller::Nobody => "nobody".to_string(),
        Caller::Server => "the server".to_string(),
        Caller::Token(_) => "by token".to_string(),
        Caller::User { name, .. } => text(name),
    }
}

fn auth_request(request: &AuthRequest) -> String {
    match request {
        AuthRequest::Change(change) => auth_change(change),
        AuthRequest::Ask(question) => auth_question(question),
    }
}

fn auth_change(change: &AuthChange) -> String {
    match change {
        AuthChange::Enable => "enable auth".to_string(),
        AuthChange::Disable => "disable auth".to_string(),
        AuthChange::UserAdd { name, .. } => format!("add user {}", text(name)),
        AuthChange::UserDelete { name } => format!("delete user {}", text(name)),
        AuthChange::UserChangePassword { name, .. } => format!("change the password of {}", text(name)),
        AuthChange::UserGrantRole { user, role } => format!("grant role {} to {}", text(role), text(user)),
        AuthChange::UserRevokeRole { user, role } => {
            format!("revoke role {} from {}", text(role), text(user))
        }
        AuthChange::RoleAdd { name } => format!("add role {}", text(name)),
        AuthChange::RoleDelete { name } => format!("delete role {}", text(name)),
        AuthChange::RoleGrantPermission { role, permission } => {
            let range = KeyRange::from_etcd(permission.key.clone(), permission.range_end.clone());
            format!("let role {} have {}", text(role), self::range(&range))
        }
        AuthChange::RoleRevokePermission { role, key, range_end } => {
            let range = KeyRange::from_etcd(key.clone(), range_end.clone());
            format!("let role {} not have {}", text(role), self::range(&range))
        }
        AuthChange::Login { name, .. } => format!("a token for {}", text(name)),
        AuthChange::Touch => "keep the token".to_string(),
    }
}

fn auth_question(question: &AuthQuestion) -> String {
    match question {
        AuthQuestion::Status => "is auth enabled".to_string(),
        AuthQuestion::UserGet { name } => format!("roles of {}", text(name)),
        AuthQuestion::UserList => "list users".to_string(),
        AuthQuestion::RoleGet { name } => format!("permissions of {}", text(name)),
        AuthQuestion::RoleList => "list roles".to_string(),
        AuthQuestion::Credentials { name } => format!("credentials of {}", text(name)),
        AuthQuestion::WhoAmI => "who am I".to_string(),
        AuthQuestion::MayRead { ranges } => format!("may I read {}", list(ranges, range)),
        AuthQuestion::MayManage => "may I manage".to_string(),
    }
}

fn lease_request(request: &LeaseRequest) -> String {
    match request {
        LeaseRequest::Grant { lease, ttl_seconds } => {
            format!("grant {} for {ttl_seconds} s", self::lease(*lease))
        }
        LeaseRequest::Revoke { lease } => format!("revoke {}", self::lease(*lease)),
        LeaseRequest::KeepAlive { lease } => format!("keep {} alive", self::lease(*lease)),
        LeaseRequest::Expire { leases } => format!("expire {}", list(leases, |id| lease(*id))),
        LeaseRequest::List => "list leases".to_string(),
        LeaseRequest::TimeToLive { lease, .. } => format!("how long has {}", self::lease(*lease)),
    }
}

fn alarm(alarm: Alarm) -> String {
    let kind = match alarm.kind {
        AlarmKind::NoSpace => "no space",
        AlarmKind::Corrupt => "corrupt",
    };
    format!("the alarm {kind} of {:x}", alarm.member)
}

fn lease(lease: LeaseId) -> String {
    format!("lease {:x}", lease.0)
}

fn txn(txn: &Txn) -> String {
    let op = |op: &TxnOp| match op {
        TxnOp::Range(read) => format!("range {}", range(&read.range)),
        TxnOp::Put(put) => format!("put {} = {}", text(&put.key), text(&put.value)),
        TxnOp::DeleteRange(delete) => format!("delete {}", range(&delete.range)),
        TxnOp::Txn(nested) => self::txn(nested),
    };
    format!(
        "txn if [{}] then [{}] else [{}]",
        list(&txn.compare, comparison),
        list(&txn.success, op),
        list(&txn.failure, op)
    )
}

/// `"k0": created in revision = 0`: a key that is not there was created in revision 0.
fn comparison(compare: &Compare) -> String {
    let operator = match compare.operator {
        CompareOperator::Equal => "=",
        CompareOperator::NotEqual => "≠",
        CompareOperator::Greater => ">",
        CompareOperator::Less => "<",
    };
    let (what, with) = match &compare.target {
        CompareTarget::Version(version) => ("version", version.to_string()),
        CompareTarget::Create(revision) => ("created in revision", revision.to_string()),
        CompareTarget::Mod(revision) => ("changed in revision", revision.to_string()),
        CompareTarget::Value(value) => ("value", text(value)),
        CompareTarget::Lease(lease) => ("lease", lease.to_string()),
    };
    format!("{}: {what} {operator} {with}", range(&compare.range))
}

// tidy: flat table
fn command(command: &Command) -> String {
    match command {
        Command::Get { key } => format!("GET {}", text(key)),
        Command::Set(set) => {
            let condition = match set.condition {
                SetCondition::Always => "",
                SetCondition::IfMissing => " NX",
                SetCondition::IfPresent => " XX",
            };
            let get = if set.get { " GET" } else { "" };
            format!("SET {} {}{condition}{get}", text(&set.key), text(&set.value))
        }
        Command::SetNx { key, value } => format!("SETNX {} {}", text(key), text(value)),
        Command::MSet { pairs } => {
            format!("MSET {}", list(pairs, |(key, value)| format!("{} {}", text(key), text(value))))
        }
        Command::MGet { keys: all } => format!("MGET {}", keys(all)),
        Command::Delete { keys: all } => format!("DEL {}", keys(all)),
        Command::Exists { keys: all } => format!("EXISTS {}", keys(all)),
        Command::Increment { key, by } => format!("INCRBY {} {by}", text(key)),
        Command::Append { key, value } => format!("APPEND {} {}", text(key), text(value)),
        Command::StrLen { key } => format!("STRLEN {}", text(key)),
        Command::GetDelete { key } => format!("GETDEL {}", text(key)),
        Command::GetEx { key, .. } => format!("GETEX {}", text(key)),
        Command::Expire { key, .. } => format!("EXPIRE {}", text(key)),
        Command::Persist { key } => format!("PERSIST {}", text(key)),
        Command::Ttl { key } => format!("TTL {}", text(key)),
        Command::Deadline { key } => format!("EXPIRETIME {}", text(key)),
        Command::Keys { pattern } => format!("KEYS {}", text(pattern)),
        Command::Scan { cursor, .. } => format!("SCAN {cursor}"),
        Command::DbSize => "DBSIZE".to_string(),
        Command::FlushAll => "FLUSHALL".to_string(),
        Command::Type { key } => format!("TYPE {}", text(key)),
    }
}

/// An answer: "OK".
#[must_use]
pub fn response(response: &Response) -> String {
    match response {
        Response::Reply(one) => reply(one),
        Response::Exec(None) => "not done: a watched key has changed".to_string(),
        Response::Exec(Some(replies)) => format!("[{}]", list(replies, reply)),
        Response::WatchRevision(None) => "no such key".to_string(),
        Response::WatchRevision(Some(revision)) => format!("changed in revision {revision}"),
        Response::Range(range) => {
            format!("{} of {} [{}]", range.kvs.len(), range.count, list(&range.kvs, key_value))
        }
        Response::Put(_) => "OK".to_string(),
        Response::DeleteRange(delete) => format!("{} deleted", delete.deleted),
        Response::Txn(txn) => self::txn_response(txn.succeeded, &txn.responses),
        Response::Compact { .. } | Response::Done => "OK".to_string(),
        Response::Expired { keys } => format!("{keys} expired"),
        Response::Error(error) => format!("error: {error}"),
        Response::Lease(response) => lease_response(response),
        Response::Alarm(response) => format!("[{}]", list(&response.alarms, |one| alarm(*one))),
        Response::Auth(response) => auth_response(response),
    }
}

fn auth_response(response: &AuthResponse) -> String {
    match response {
        AuthResponse::Done { .. } => "OK".to_string(),
        AuthResponse::Status { enabled, .. } => if *enabled { "enabled" } else { "disabled" }.to_string(),
        AuthResponse::Names { names, .. } => format!("[{}]", keys(names)),
        AuthResponse::Permissions { permissions, .. } => format!("{} permissions", permissions.len()),
        AuthResponse::Credentials(_) => "credentials".to_string(),
        AuthResponse::Caller(one) => caller(one),
    }
}

fn lease_response(response: &LeaseResponse) -> String {
    match response {
        LeaseResponse::Granted { lease, ttl_seconds, .. } => {
            format!("{} for {ttl_seconds} s", self::lease(*lease))
        }
        LeaseResponse::Revoked { .. } => "OK".to_string(),
        LeaseResponse::KeptAlive { ttl_seconds: Some(ttl_seconds), .. } => {
            format!("for {ttl_seconds} s more")
        }
        LeaseResponse::Expired { leases } => format!("{leases} expired"),
        LeaseResponse::List { leases, .. } => format!("[{}]", list(leases, |id| lease(*id))),
        LeaseResponse::TimeToLive { life: Some(life), .. } => {
            format!("{} ms of {} s left", life.remaining_ms, life.ttl_seconds)
        }
        LeaseResponse::KeptAlive { ttl_seconds: None, .. } | LeaseResponse::TimeToLive { life: None, .. } => {
            "no such lease".to_string()
        }
    }
}

fn txn_response(succeeded: bool, responses: &[TxnOpResponse]) -> String {
    let op = |response: &TxnOpResponse| match response {
        TxnOpResponse::Range(range) => format!("[{}]", list(&range.kvs, key_value)),
        TxnOpResponse::Put(_) => "OK".to_string(),
        TxnOpResponse::DeleteRange(delete) => format!("{} deleted", delete.deleted),
        TxnOpResponse::Txn(nested) => txn_response(nested.succeeded, &nested.responses),
    };
    format!("{} [{}]", if succeeded { "succeeded" } else { "failed" }, list(responses, op))
}

fn key_value(kv: &KeyValue) -> String {
    format!("{} = {}", text(&kv.key), text(&kv.value))
}

fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Ok => "OK".to_string(),
        Reply::Nil => "nil".to_string(),
        Reply::Integer(number) => number.to_string(),
        Reply::Value(value) => text(value),
        Reply::Values(values) => {
            format!(
                "[{}]",
                list(values, |value| value.as_ref().map_or_else(|| "nil".to_string(), |value| text(value)))
            )
        }
        Reply::Keys(all) | Reply::Scan { keys: all, .. } => format!("[{}]", keys(all)),
        Reply::Type(kind) => format!("{kind:?}"),
        Reply::Error(error) => format!("error: {error}"),
    }
}
