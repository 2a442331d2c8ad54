//! Who asks: passwords, tokens, and what the store is told of them.
//!
//! Whether somebody may do something the store decides (`jangada_kv::auth`). Here is what the store has no business
//! with: the tokens and passwords themselves.

mod guesses; // wrong passwords, counted
mod password; // argon2id, off the threads that serve

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use jangada_kv::auth::TokenDigest;
use jangada_kv::{
    AuthChange, AuthError, AuthQuestion, AuthRequest, AuthResponse, Caller, Error, KeyRange, Request,
    Response,
};
use sha2::{Digest, Sha256};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use password::LONGEST;
pub use password::{Overrun, Passwords, Whose};

use crate::backend::{Backend, Freshness};
use crate::error;

/// How long a token lasts when nobody uses it, in seconds; as long as etcd's.
pub const TOKEN_SECONDS: u64 = 300;

/// How often a login begins again because the password was changed meanwhile.
const ATTEMPTS: usize = 3;

/// How often a member is asked whether somebody may still be told something, and how long it is left alone between.
const QUESTIONS: usize = 10;
const QUESTION_PAUSE: Duration = Duration::from_millis(100);

/// Letters of a token: two for each byte that nobody can guess.
const TOKEN_DIGITS: usize = 32;

/// What the store knows a token by.
#[must_use]
pub fn digest(token: &[u8]) -> TokenDigest {
    TokenDigest(Sha256::digest(token).into())
}

/// Who makes a call, by the token that it shows, if it shows one.
#[must_use]
pub fn caller(metadata: &MetadataMap) -> Caller {
    let shown = metadata.get("token").or_else(|| metadata.get("authorization"));
    shown.map_or(Caller::Nobody, |token| Caller::Token(digest(token.as_bytes())))
}

/// The token that a call shows, as it is: to show it to another member.
pub(crate) fn shown(metadata: &MetadataMap) -> Option<String> {
    let shown = metadata.get("token").or_else(|| metadata.get("authorization"))?;
    shown.to_str().ok().map(str::to_owned)
}

/// Where a call comes from: an extension of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComesFrom(pub IpAddr);

/// Looks at a password, and says who has shown it. `address` is where the login comes from, if that is known.
///
/// # Errors
/// etcd's refusals.
pub async fn log_in<B: Backend>(
    backend: &B,
    name: &[u8],
    password: Bytes,
    address: Option<IpAddr>,
) -> Result<Caller, Status> {
    let name = Bytes::copy_from_slice(name);
    let asked = Request::Auth(AuthRequest::Ask(AuthQuestion::Credentials { name: name.clone() }));
    let answer = backend.read(Caller::Server.asks(asked), Freshness::Linearizable).await;
    let credentials = match answer.map_err(error::of_refusal)? {
        Response::Auth(AuthResponse::Credentials(credentials)) => credentials,
        other => return Err(error::of_mismatch(other)),
    };
    if !credentials.enabled {
        return Err(error::AUTH_NOT_ENABLED.into());
    }
    let whose = Whose::new(&name, address);
    let is_right = backend.passwords().is_right(whose, password, credentials.password).await;
    match is_right.map_err(|Overrun| error::TOO_MANY_REQUESTS)? {
        true => Ok(Caller::User { name, since: credentials.since }),
        false => Err(error::AUTH_FAILED.into()),
    }
}

/// Looks at a password, and makes a token for whom it is of. The answer to the login comes with it.
pub(crate) async fn token<B: Backend>(
    backend: &B,
    name: &str,
    password: String,
    address: Option<IpAddr>,
) -> Result<(String, Response), Status> {
    let password = Bytes::from(password);
    for attempt in 1.. {
        let caller = log_in(backend, name.as_bytes(), password.clone(), address).await?;
        let Caller::User { name, since } = caller else { break };
        let secret = backend.secret().map_err(error::of_refusal)?;
        let token = format!("{:0digits$x}", u128::from_le_bytes(secret), digits = TOKEN_DIGITS);
        let digest = digest(token.as_bytes());
        let login =
            AuthRequest::Change(AuthChange::Login { name, since, token: digest, ttl_seconds: TOKEN_SECONDS });
        let answer = backend.write(Caller::Server.asks(Request::Auth(login))).await;
        match answer.map_err(error::of_refusal)? {
            Response::Error(Error::Auth(AuthError::LoginFailed)) if attempt < ATTEMPTS => {}
            done @ Response::Auth(AuthResponse::Done { .. }) => return Ok((token, done)),
            other => return Err(error::of_mismatch(other)),
        }
    }
    Err(error::AUTH_FAILED.into())
}

/// The hash of a new password, for a caller who may manage users.
pub(crate) async fn hash<B: Backend>(
    backend: &B,
    password: String,
) -> Result<jangada_kv::auth::PasswordHash, Status> {
    if password.len() > LONGEST {
        return Err(error::PASSWORD_TOO_LONG.into());
    }
    let salt = backend.secret().map_err(error::of_refusal)?;
    let hashed = backend.passwords().hash(Bytes::from(password), salt).await;
    hashed.map_err(|Overrun| error::TOO_MANY_REQUESTS.into())
}

/// Reads on behalf of somebody. A token may be newer than what this member knows: before it is called wrong, this member
/// catches up.
///
/// # Errors
/// If there is no answer.
pub async fn read<B: Backend>(
    backend: &B,
    caller: &Caller,
    request: Request,
    freshness: Freshness,
) -> Result<Response, Status> {
    let asked = caller.asks(request);
    let answer = backend.read(asked.clone(), freshness).await.map_err(error::of_refusal)?;
    let is_unknown = answer == Response::Error(Error::Auth(AuthError::InvalidToken));
    if !is_unknown || freshness == Freshness::Linearizable {
        return Ok(answer);
    }
    let who = caller.asks(Request::Auth(AuthRequest::Ask(AuthQuestion::WhoAmI)));
    match backend.read(who, Freshness::Linearizable).await {
        Ok(Response::Auth(_)) => backend.read(asked, freshness).await.map_err(error::of_refusal),
        Ok(_) | Err(_) => Ok(answer),
    }
}

/// The user whom a caller stands for: what goes on for long does so for a user, whose token may end meanwhile.
///
/// # Errors
/// If the token is none.
pub(crate) async fn user<B: Backend>(backend: &B, caller: Caller) -> Result<Caller, Status> {
    match caller {
        Caller::Token(_) => {
            let who = Request::Auth(AuthRequest::Ask(AuthQuestion::WhoAmI));
            match read(backend, &caller, who, Freshness::Serializable).await? {
                Response::Auth(AuthResponse::Caller(user)) => Ok(user),
                other => Err(error::of_mismatch(other)),
            }
        }
        Caller::Nobody | Caller::Server | Caller::User { .. } => Ok(caller),
    }
}

/// Whether somebody may manage the cluster, as far as this member knows.
///
/// # Errors
/// etcd's refusals.
pub async fn may_manage<B: Backend>(backend: &B, caller: &Caller) -> Result<(), Status> {
    may(backend, caller, AuthQuestion::MayManage, Freshness::Serializable).await
}

/// Whether somebody may manage the cluster now: what this member gives away by itself is not given to whom the others
/// have refused it meanwhile. While nobody has to log in, nobody else is asked; and without a leader nobody can be: then it
/// holds what this member knows, as with etcd, since that is when a copy is needed most.
///
/// # Errors
/// etcd's refusals.
pub(crate) async fn may_manage_now<B: Backend>(backend: &B, caller: &Caller) -> Result<(), Status> {
    may_manage(backend, caller).await?;
    match caller {
        Caller::Nobody => Ok(()),
        Caller::Server | Caller::Token(_) | Caller::User { .. } => {
            match may(backend, caller, AuthQuestion::MayManage, Freshness::Linearizable).await {
                Err(status) if nobody_leads(backend, &status) => Ok(()),
                asked => asked,
            }
        }
    }
}

/// Whether there is no answer because this member knows nobody who leads; and not because the answer took too long, or this
/// member stops.
pub(crate) fn nobody_leads<B: Backend>(backend: &B, status: &Status) -> bool {
    status.code() == Code::Unavailable && backend.situation().leader.is_none()
}

/// Whether somebody may read these ranges, as far as this member knows.
pub(crate) async fn may_read<B: Backend>(
    backend: &B,
    caller: &Caller,
    ranges: Vec<KeyRange>,
) -> Result<(), Status> {
    may(backend, caller, AuthQuestion::MayRead { ranges }, Freshness::Serializable).await
}

/// The same of somebody who follows these ranges. A member that is too busy to say is asked again for a while.
///
/// # Errors
/// The member cannot say, which is no answer: whoever follows may try again.
pub(crate) async fn may_be_told<B: Backend>(
    backend: &B,
    caller: &Caller,
    ranges: &[KeyRange],
) -> Result<Result<(), Status>, Status> {
    let mut left = QUESTIONS;
    loop {
        left -= 1;
        match may_read(backend, caller, ranges.to_vec()).await {
            Ok(()) => return Ok(Ok(())),
            Err(status) if is_verdict(status.code()) => return Ok(Err(status)),
            Err(status) if left == 0 || status.code() == Code::Unavailable => {
                return Err(Status::unavailable(status.message()));
            }
            Err(_) => tokio::time::sleep(QUESTION_PAUSE).await,
        }
    }
}

/// Whether a refusal says what somebody may, and not how the member is.
fn is_verdict(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument)
}

async fn may<B: Backend>(
    backend: &B,
    caller: &Caller,
    question: AuthQuestion,
    freshness: Freshness,
) -> Result<(), Status> {
    match read(backend, caller, Request::Auth(AuthRequest::Ask(question)), freshness).await? {
        Response::Auth(_) => Ok(()),
        other => Err(error::of_mismatch(other)),
    }
}
