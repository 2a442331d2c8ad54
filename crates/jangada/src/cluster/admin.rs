//! Changes that are asked of the leader over HTTP on its client port: other members (`POST /members`), another
//! leader (`POST /transfer`). What counts for the caller of a change that failed: may it have happened all the same?

use std::thread;
use std::time::{Duration, Instant};

use jangada_server::handle::{ChangeMembers, NewMember, Tolerance, Transfer};
use serde::{Deserialize, Serialize};

use crate::client::http::{self, Answer, HttpError};
use crate::client::login::Login;
use crate::client::wire::reason;
use crate::failure::{Exit, Failure};

/// Back-off between two rounds over all servers: nobody says when a leader is there again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a change waits for somebody to lead before it gives up.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);

/// What a change of the members did.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Changed {
    /// Before.
    pub before: Tolerance,
    /// After.
    pub after: Tolerance,
}

/// Who leads now.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Transferred {
    /// The new leader.
    pub leader: String,
    /// Its term.
    pub term: u64,
}

/// Whether a failed change certainly left no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Nothing was changed.
    None,
    /// It may have been, or may still be.
    Possible,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: String,
    kind: String,
    leader_client_addr: Option<String>,
}

/// Makes `voters` the voters, in one joint change.
///
/// # Errors
/// With whether the change may have happened all the same.
pub fn change_members(
    servers: &[String],
    voters: &[String],
    new: &[NewMember],
    timeout: Duration,
) -> Result<Changed, (Failure, Trace)> {
    let request =
        ChangeMembers { voters: voters.to_vec(), new: new.to_vec(), timeout_ms: milliseconds(timeout) };
    command(servers, "/members", &request, timeout)
}

/// Hands the lead to `to`.
///
/// # Errors
/// As [`change_members`].
pub fn transfer(servers: &[String], to: &str, timeout: Duration) -> Result<Transferred, (Failure, Trace)> {
    command(servers, "/transfer", &Transfer { to: to.to_owned(), timeout_ms: milliseconds(timeout) }, timeout)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Posts to the leader, following its address and waiting for one where there is none yet.
fn command<T: for<'a> Deserialize<'a>>(
    servers: &[String],
    path: &str,
    request: &impl Serialize,
    timeout: Duration,
) -> Result<T, (Failure, Trace)> {
    // The server keeps the deadline; this one is a little later, so that its words arrive.
    let deadline = Instant::now() + timeout + Duration::from_secs(1);
    let body = serde_json::to_string(request).expect("our own types have string keys");
    let mut queue: Vec<String> = servers.to_vec();
    let mut why = "no server to ask".to_owned();
    let give_up = deadline.min(Instant::now() + LEADER_PATIENCE);
    let login = Login::of_environment();
    let mut token: Option<String> = None;
    loop {
        let mut named = None;
        for address in &queue {
            match http::post_json(address, path, &body, token.as_deref(), deadline) {
                // It asks who we are: the same server gets an answer, and then decides.
                Ok(Answer { status: 401, .. }) if token.is_none() && login.is_some() => {
                    let made = login.as_ref().map(|login| login.token(address, deadline)).transpose();
                    token = made.map_err(|why| {
                        let what = format!("{address} refused the login of JANGADA_USER: {why}");
                        (Failure::refused(what), Trace::None)
                    })?;
                    named = Some(address.clone());
                    break;
                }
                Ok(Answer { status: 200, body, .. }) => {
                    return serde_json::from_slice(&body).map_err(|error| {
                        let what = format!("{address} agreed, but its answer cannot be read: {error}");
                        (Failure::refused(what), Trace::Possible)
                    });
                }
                Ok(answer) => match judge(address, &answer) {
                    Verdict::Elsewhere(leader, text) => {
                        why = text;
                        named = leader;
                    }
                    Verdict::End(failure, trace) => return Err((failure, trace)),
                },
                Err(HttpError::NotSent(error)) => why = format!("{address}: {}", reason(&error)),
                Err(HttpError::Lost(error)) => {
                    let what = format!(
                        "outcome unknown: {address}: {}; see `jangada cluster status` before you repeat it",
                        reason(&error)
                    );
                    return Err((Failure::unreachable(what), Trace::Possible));
                }
            }
            if named.is_some() {
                break;
            }
        }
        if Instant::now() + PAUSE >= give_up {
            return Err((Failure::unreachable(why), Trace::None));
        }
        thread::sleep(PAUSE);
        queue = named.into_iter().chain(servers.iter().cloned()).collect();
    }
}

enum Verdict {
    /// Not this one; perhaps the named one, or another later.
    Elsewhere(Option<String>, String),
    End(Failure, Trace),
}

fn judge(address: &str, answer: &Answer) -> Verdict {
    let body: ErrorBody = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = match body.error.is_empty() {
        true => format!("{address}: HTTP {}: {}", answer.status, answer.text()),
        false => body.error,
    };
    match (body.kind.as_str(), answer.status) {
        ("not_leader", _) | (_, 421) => Verdict::Elsewhere(body.leader_client_addr, text),
        ("no_quorum", _) | (_, 503) => Verdict::Elsewhere(None, text),
        ("unknown_outcome", _) => Verdict::End(Failure::unreachable(text), Trace::Possible),
        ("deadline", _) | (_, 504) => Verdict::End(Failure::new(Exit::Deadline, text), Trace::Possible),
        _ => Verdict::End(Failure::refused(text), Trace::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_and_a_wrong_server_leads_on() {
        let answer =
            |status, body: &str| Answer { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
        let refused = judge("a", &answer(409, r#"{"error":"n9 is not a member","kind":"refused"}"#));
        assert!(matches!(refused, Verdict::End(ref failure, Trace::None) if failure.exit == 4));
        let other = r#"{"error":"n2 leads","kind":"not_leader","leader_client_addr":"127.0.0.1:9"}"#;
        assert!(
            matches!(judge("a", &answer(421, other)), Verdict::Elsewhere(Some(ref to), _) if to == "127.0.0.1:9")
        );
        let late = judge("a", &answer(504, r#"{"error":"late","kind":"deadline"}"#));
        assert!(matches!(late, Verdict::End(ref failure, Trace::Possible) if failure.exit == 124));
    }
}
