//! `AUTH` and `HELLO … AUTH`: the users are those of etcd's API, and so are their permissions.
//!
//! A password takes its time, so that the connection waits for it as for an answer of the store. Afterwards all that
//! the connection asks is on behalf of that user, until its password is changed.

use std::net::IpAddr;

use bytes::Bytes;
use jangada_etcd::{auth, error};
use jangada_kv::Caller;
use tonic::{Code, Status};

use super::answer::code;
use super::commands::Local;
use super::describe::{self, HelloOptions};
use super::parser::Arguments;
use super::reply::{Reply, Version};
use super::session::Session;
use super::translate::is;
use crate::etcd::Seam;
use crate::handle::RequestError;

/// The user whom Redis means if a client names none.
const DEFAULT_USER: &[u8] = b"default";

const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// What Redis says where nobody has to log in.
const NO_NEED: &str = "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                       your configuration is correct?";

/// Somebody wants to log in.
pub(crate) struct LogIn {
    name: Bytes,
    password: Bytes,
    then: Then,
}

/// Passwords are shown nowhere.
impl std::fmt::Debug for LogIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogIn").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is done then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// `AUTH` has no more to say.
    Nothing,
    /// `HELLO` agrees on this.
    Hello(Version, Option<Vec<u8>>),
}

/// The login that a command asks for, if it does, and is a whole one.
pub(crate) fn asked_for(session: &Session, local: Local, words: Arguments<'_>) -> Option<LogIn> {
    match (local, words.len()) {
        (Local::Auth, 2) => Some(LogIn::of(DEFAULT_USER, words.get(1)?, Then::Nothing)),
        (Local::Auth, 3) => Some(LogIn::of(words.get(1)?, words.get(2)?, Then::Nothing)),
        (Local::Hello, _) => {
            let HelloOptions { version, name, login } =
                describe::hello_options(session.version, words).ok()?;
            let (user, password) = login?;
            Some(LogIn::of(user, password, Then::Hello(version, name.map(<[u8]>::to_vec))))
        }
        _ => None,
    }
}

impl LogIn {
    fn of(name: &[u8], password: &[u8], then: Then) -> LogIn {
        LogIn { name: Bytes::copy_from_slice(name), password: Bytes::copy_from_slice(password), then }
    }

    /// Looks at the password, which comes from this address.
    pub(crate) async fn settle(self, seam: Seam, address: Option<IpAddr>) -> LoggedIn {
        let is_default = is(&self.name, "default");
        let caller = auth::log_in(&seam, &self.name, self.password, address).await;
        LoggedIn { caller, is_default, then: self.then }
    }
}

/// What came of a login.
pub(crate) struct LoggedIn {
    caller: Result<Caller, Status>,
    is_default: bool,
    then: Then,
}

impl LoggedIn {
    /// Takes note of it, and writes the reply.
    pub(crate) fn tell(self, session: &mut Session, out: &mut Vec<u8>) {
        match self.caller {
            Ok(caller) => {
                session.caller = caller;
                match self.then {
                    Then::Nothing => Reply::new(out, session.version).ok(),
                    Then::Hello(version, name) => describe::agree(session, version, name.as_deref(), out),
                }
            }
            Err(status) => Reply::new(out, session.version).error(refusal(&status, self.is_default)),
        }
    }
}

fn refusal(status: &Status, is_default: bool) -> String {
    match status.code() {
        // Nobody has to log in here: as Redis without a password, which has one user.
        Code::FailedPrecondition if is_default => NO_NEED.to_owned(),
        Code::FailedPrecondition | Code::InvalidArgument | Code::Unknown => WRONGPASS.to_owned(),
        Code::ResourceExhausted => {
            "TRYAGAIN too many log in at once, or too many passwords were wrong; try again a little later"
                .to_owned()
        }
        Code::Unavailable => match (error::why(status), status.message()) {
            (Some(why), _) => format!("CLUSTERDOWN {why}"),
            // The words that other commands have.
            (None, text) if text == error::TIMED_OUT.text => of_request(&RequestError::Deadline),
            (None, text) if text == error::STOPPED.text => of_request(&RequestError::Stopping),
            (None, text) => format!("CLUSTERDOWN {text}"),
        },
        _ => format!("ERR {}", status.message()),
    }
}

fn of_request(error: &RequestError) -> String {
    format!("{} {error}", code(error))
}
