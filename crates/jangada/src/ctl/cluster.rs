//! The members of a cluster as one partner: whoever answers first is asked, and somebody else when it will not do.
//!
//! All endpoints are greeted at once, so that a dead one costs nothing. A write is sent to nobody who did not just answer a
//! greeting: a server that is stopped could carry it out much later. What is repeated by itself is only what reads, what
//! certainly was not done, and what does nothing when it is done twice. Whoever thinks for long about such a question is
//! greeted again: who answers may go on thinking, who does not is left for somebody else.

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use jangada_etcd::client::Channel;
use jangada_etcd::error;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::auth_client::AuthClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request, Response, Status};

use crate::client::login::Login;
use crate::client::wire::reason;
use crate::failure::{Exit, Failure};
use crate::output;

/// Back-off between two rounds over all endpoints: a server tells nobody when it will have a leader again.
pub const PAUSE: Duration = Duration::from_millis(50);
/// Whoever is alive answers a greeting within this time.
const GREETING: Duration = Duration::from_millis(500);
/// The clock of greetings: a server that takes longer for what may be repeated may be stopped, which only another greeting shows.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A place in a queue is worth more than one greeting that went unanswered.
const GREETINGS_IN_A_QUEUE: u32 = 5;
/// What may be said beside the text, in etcd's words.
const NO_LEADER: &str = "etcdserver: no leader";
const TOO_MANY: &str = "etcdserver: too many requests";
const BAD_TOKEN: &str = "etcdserver: invalid auth token";
/// What the server has not said, in our words.
pub const LOST: &str = "connection lost";
/// Nothing came by the deadline, in our words.
const NO_ANSWER: &str = "no answer";
/// What a generated client says by itself when the connection has ended before the question was sent.
const NOT_SENT: &str = "Service was not ready: ";

/// Whether asking again can do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It reads.
    Read,
    /// It writes, and doing it a second time does nothing more.
    Idempotent,
    /// It waits for its turn, and its place is gone with the call. Never repeated: what is left of a lost call could take
    /// away what another call with the same words was given.
    Wait,
    /// It writes: never repeated unless it certainly was not done.
    Write,
}

/// What an error means for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not done, for now.
    NotDone,
    /// It may have been done.
    Unknown,
    /// No, and it will be no again.
    No,
}

/// A connection that is up, and to whom.
#[derive(Clone, Debug)]
pub struct Link {
    /// `HOST:PORT`.
    pub address: String,
    /// The connection.
    pub channel: Channel,
    /// What it answered to the greeting, if it tells.
    pub status: Option<pb::StatusResponse>,
}

impl Link {
    /// Whether it knew a leader when it was greeted; who does not tell is believed to.
    fn knows_leader(&self) -> bool {
        self.status.as_ref().is_none_or(|status| status.leader != 0)
    }

    /// That it knows none, and why, as far as it says so.
    fn leaderless(&self) -> String {
        let errors = self.status.iter().flat_map(|status| &status.errors);
        let why = errors.skip_while(|error| *error != NO_LEADER).nth(1);
        why.filter(|why| !why.contains("alarm:"))
            .map_or_else(|| NO_LEADER.to_owned(), |why| because(NO_LEADER, why))
    }
}

/// The members, and the connection in use. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Cluster {
    endpoints: Vec<String>,
    deadline: Duration,
    login: Option<Login>,
    token: Option<MetadataValue<Ascii>>,
    link: Option<Link>,
    /// When this operation began.
    begun: Instant,
    /// Whose trouble was told of in this operation.
    told: Vec<String>,
}

impl Cluster {
    /// Any of these endpoints, `HOST:PORT` each; `deadline` for each operation.
    pub fn new(endpoints: Vec<String>, deadline: Duration, login: Option<Login>) -> Cluster {
        assert!(!endpoints.is_empty(), "there is somebody to ask");
        Cluster {
            endpoints,
            deadline,
            login,
            token: None,
            link: None,
            begun: Instant::now(),
            told: Vec::new(),
        }
    }

    /// The endpoints.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// How long an operation may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The same cluster through connections of its own.
    pub fn again(&self) -> Cluster {
        self.waiting(self.deadline)
    }

    /// The same with another deadline.
    pub fn waiting(&self, deadline: Duration) -> Cluster {
        Cluster::new(self.endpoints.clone(), deadline, self.login.clone())
    }

    /// The same through this endpoint alone.
    pub fn through(&self, endpoint: String) -> Cluster {
        Cluster::new(vec![endpoint], self.deadline, self.login.clone())
    }

    /// A connection to whoever answers, and who says so if it took more than one attempt.
    ///
    /// # Errors
    /// 3 if nobody answers in time.
    pub async fn link(&mut self) -> Result<Link, Failure> {
        self.told.clear();
        self.begun = Instant::now();
        self.connected(self.begun + self.deadline).await
    }

    /// Asks, and asks again as far as that does no harm.
    ///
    /// # Errors
    /// 1 for what is not there, 3 if nobody could do it, nobody knows whether it was done, or a place in a queue is gone,
    /// 4 for a refusal, 5 for a cluster that is said to be corrupt, 124 if a server thought too long about a question.
    pub async fn call<Q, A, F, Fut>(&mut self, effect: Effect, message: Q, carry: F) -> Result<A, Failure>
    where
        Q: Clone,
        F: Fn(Channel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        self.told.clear();
        self.begun = Instant::now();
        let until = self.begun + self.deadline;
        // How long the slowest of those refusals took after which a write was not done.
        let (mut refused, mut slowest) = (None, Duration::ZERO);
        loop {
            let link = self.connected(until).await?;
            let address = link.address.clone();
            let asked = Instant::now();
            let asking = async {
                // Who knows no leader would keep it until somebody leads, or too long.
                match effect == Effect::Write && !link.knows_leader() {
                    true => Err((link.leaderless(), Verdict::NotDone)),
                    false => self.once(link, effect, message.clone(), &carry, until).await,
                }
            };
            let (why, verdict) = match asking.await {
                Ok(answer) => {
                    self.told_at_last(&address);
                    return Ok(answer);
                }
                Err(why) => why,
            };
            if verdict == Verdict::No {
                return Err(Failure::new(exit(&why), format!("{address} refused: {why}")));
            }
            if verdict == Verdict::Unknown && effect == Effect::Write {
                // Whoever goes on with something else asks somebody who is there.
                self.leave();
                return Err(Failure::unreachable(format!(
                    "outcome unknown: {address}: {why}; it may have been done, or may still be: look before you repeat it"
                )));
            }
            self.leave();
            if effect == Effect::Wait {
                return Err(Failure::unreachable(format!(
                    "{address}: {why}; the place in the queue is gone"
                )));
            }
            // What was refused after a while would be again: whoever begins a write that the deadline cuts off does not know in
            // the end whether it was done.
            if effect == Effect::Write {
                slowest = slowest.max(asked.elapsed());
            }
            // Whoever was cut off by the deadline has said before why not.
            let (was_cut_off, last) = (why == NO_ANSWER, format!("{address}: {why}"));
            if Instant::now() + PAUSE + slowest >= until {
                let is_silent = was_cut_off && refused.is_none();
                let why = refused.filter(|_| was_cut_off).unwrap_or(last);
                return Err(self.gave_up(&why, is_silent));
            }
            refused = if was_cut_off { refused } else { Some(last) };
            self.tell(&address, &why);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks once, over this connection. The error is why not, and what that means.
    pub async fn once<Q, A, F, Fut>(
        &self,
        link: Link,
        effect: Effect,
        message: Q,
        carry: &F,
        until: Instant,
    ) -> Result<A, (String, Verdict)>
    where
        F: Fn(Channel, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let left = until.saturating_duration_since(Instant::now());
        let carried = carry(link.channel, self.request(message));
        match timeout(left, attended(effect, &link.address, carried)).await {
            Ok(Some(Ok(answer))) => Ok(answer.into_inner()),
            Ok(Some(Err(status))) => Err((words(&status), judge(&status, self.login.is_some()))),
            Ok(None) | Err(_) => Err((NO_ANSWER.to_owned(), Verdict::Unknown)),
        }
    }

    /// The next question goes to whoever answers then.
    pub fn leave(&mut self) {
        self.link = None;
        self.token = None;
    }

    /// Whether this is a no, and would be one again.
    pub fn is_refusal(&self, status: &Status) -> bool {
        judge(status, self.login.is_some()) == Verdict::No
    }

    /// A message with what says who asks.
    pub fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    async fn connected(&mut self, until: Instant) -> Result<Link, Failure> {
        if let Some(link) = &self.link {
            return Ok(link.clone());
        }
        loop {
            let round = until.min(Instant::now() + GREETING);
            match greet_all(&self.endpoints, round).await {
                Ok(link) => match self.log_in(&link, until).await? {
                    true => return Ok(self.link.insert(link).clone()),
                    false => self.tell(&link.address, "nobody could be logged in"),
                },
                Err(reasons) => {
                    if Instant::now() + PAUSE >= until {
                        return Err(self.gave_up(&reasons.join(", "), false));
                    }
                    for reason in &reasons {
                        let (address, why) = reason.split_once(": ").unwrap_or((reason, "no answer"));
                        self.tell(address, why);
                    }
                }
            }
            if Instant::now() + PAUSE >= until {
                return Err(self.gave_up("nobody could be logged in", false));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Says who asks, if somebody is to be told. False: not now.
    async fn log_in(&mut self, link: &Link, until: Instant) -> Result<bool, Failure> {
        let Some(Login { name, password }) = self.login.clone() else { return Ok(true) };
        let left = until.saturating_duration_since(Instant::now());
        let asked = pb::AuthenticateRequest { name, password };
        let mut auth = AuthClient::new(link.channel.clone());
        match timeout(left, auth.authenticate(asked)).await {
            Err(_late) => Ok(false),
            Ok(Ok(answer)) => {
                self.token = answer.into_inner().token.parse().ok();
                Ok(true)
            }
            // Nobody asks who somebody is while authentication is off.
            Ok(Err(status)) if status.message().contains("authentication is not enabled") => Ok(true),
            Ok(Err(status)) => match judge(&status, false) {
                Verdict::No => Err(Failure::refused(format!("{} refused: {}", link.address, words(&status)))),
                Verdict::NotDone | Verdict::Unknown => Ok(false),
            },
        }
    }

    fn gave_up(&self, why: &str, is_late: bool) -> Failure {
        let waited = self.begun.elapsed().as_secs_f64();
        let exit = if is_late { Exit::Deadline } else { Exit::Unreachable };
        let what = format!(
            "nothing was done in {waited:.1} s: {why}; look with `jangada ctl status`, or give it longer"
        );
        Failure::new(exit, format!("{what} with --deadline"))
    }

    /// Tells of each server's trouble once.
    fn tell(&mut self, address: &str, why: &str) {
        if !self.told.iter().any(|told| told == address) {
            output::note(&format!("{address}: {why}; trying again"));
            self.told.push(address.to_owned());
        }
    }

    fn told_at_last(&self, address: &str) {
        if !self.told.is_empty() {
            output::note(&format!("{address} answered after {:.1} s", self.begun.elapsed().as_secs_f64()));
        }
    }
}

/// Waits for an answer as long as the one who owes it answers greetings, and knows a leader. None: it does not any more.
/// A write is waited for whatever happens, since nobody else may be asked.
pub async fn attended<F: Future>(effect: Effect, address: &str, answer: F) -> Option<F::Output> {
    let allowed = match effect {
        Effect::Read | Effect::Idempotent => 1,
        Effect::Wait => GREETINGS_IN_A_QUEUE,
        Effect::Write => return Some(answer.await),
    };
    let absent = async {
        let mut missed = 0;
        while missed < allowed {
            tokio::time::sleep(PATIENCE).await;
            missed = match greet(address, GREETING).await {
                Ok(link) if link.knows_leader() => 0,
                Ok(_) | Err(_) => missed + 1,
            };
        }
    };
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = absent => None,
    }
}

/// Greets all at once; the first that knows a leader is taken, or who answers at all, if nobody knows one. The error is a
/// sentence of each.
async fn greet_all(endpoints: &[String], until: Instant) -> Result<Link, Vec<String>> {
    let mut greeting = JoinSet::new();
    for endpoint in endpoints {
        let endpoint = endpoint.clone();
        greeting.spawn(async move {
            let answer = greet(&endpoint, until.saturating_duration_since(Instant::now())).await;
            answer.map_err(|why| format!("{endpoint}: {why}"))
        });
    }
    let (mut reasons, mut leaderless) = (Vec::new(), None);
    while let Some(greeted) = greeting.join_next().await {
        match greeted.expect("a greeting does not panic") {
            Ok(link) if link.knows_leader() => return Ok(link),
            Ok(link) => leaderless = Some(link),
            Err(why) => reasons.push(why),
        }
    }
    leaderless.ok_or(reasons)
}

/// Connects, and hears whether somebody is there.
///
/// # Errors
/// A few words.
pub async fn greet(endpoint: &str, patience: Duration) -> Result<Link, String> {
    let greeting = async {
        let channel = Channel::connect(endpoint).await.map_err(|error| reason(&error))?;
        let answer = MaintenanceClient::new(channel.clone()).status(pb::StatusRequest {}).await;
        let status = match answer {
            Ok(answer) => Some(answer.into_inner()),
            // It is there, and wants to know who asks.
            Err(status) if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) => None,
            Err(status) => return Err(words(&status)),
        };
        Ok(Link { address: endpoint.to_owned(), channel, status })
    };
    timeout(patience, greeting).await.unwrap_or_else(|_late| Err("no answer".to_owned()))
}

/// What went wrong, in few words.
pub fn words(status: &Status) -> String {
    match status.source() {
        // The server has not said this.
        Some(_) => LOST.to_owned(),
        None if status.message().starts_with(NOT_SENT) => LOST.to_owned(),
        None if status.message().is_empty() => format!("{:?}", status.code()),
        None => error::why(status)
            .map_or_else(|| status.message().to_owned(), |why| because(status.message(), why)),
    }
}

/// etcd's words, and behind them what only a server of ours says.
fn because(text: &str, why: &str) -> String {
    format!("{text} ({why})")
}

fn judge(status: &Status, is_logged_in: bool) -> Verdict {
    if status.source().is_some() {
        return Verdict::Unknown;
    }
    // Who says why not has not done it.
    if error::why(status).is_some() {
        return Verdict::NotDone;
    }
    match (status.code(), status.message()) {
        (Code::Unavailable, NO_LEADER) | (Code::ResourceExhausted, TOO_MANY) => Verdict::NotDone,
        (Code::Unknown, text) if text.starts_with(NOT_SENT) => Verdict::NotDone,
        (Code::Unauthenticated, BAD_TOKEN) if is_logged_in => Verdict::NotDone,
        (Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled, _) => Verdict::Unknown,
        (Code::Unknown, text) if text.contains("context deadline exceeded") => Verdict::Unknown,
        _ => Verdict::No,
    }
}

/// The exit code of a refusal: the texts are etcd's.
fn exit(text: &str) -> Exit {
    match text {
        "etcdserver: corrupt cluster" => Exit::Corrupt,
        text if text.ends_with("not found") => Exit::No,
        _ => Exit::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_certainly_not_done_may_be_repeated() {
        for (status, verdict) in [
            (Status::unavailable(NO_LEADER), Verdict::NotDone),
            (Status::resource_exhausted(TOO_MANY), Verdict::NotDone),
            (Status::resource_exhausted("etcdserver: mvcc: database space exceeded"), Verdict::No),
            (Status::unknown("Service was not ready: channel closed"), Verdict::NotDone),
            (Status::unavailable("etcdserver: request timed out"), Verdict::Unknown),
            (Status::unavailable("etcdserver: server stopped"), Verdict::Unknown),
            (Status::unknown("context deadline exceeded"), Verdict::Unknown),
            (Status::invalid_argument("etcdserver: key is not provided"), Verdict::No),
            (Status::from_error("reset".into()), Verdict::Unknown),
        ] {
            assert_eq!(judge(&status, false), verdict, "{status:?}");
        }
        assert_eq!(judge(&Status::unauthenticated(BAD_TOKEN), true), Verdict::NotDone);
        assert_eq!(judge(&Status::unauthenticated(BAD_TOKEN), false), Verdict::No);
    }

    #[test]
    fn a_refusal_ends_with_its_exit_code() {
        assert_eq!(exit("etcdserver: requested lease not found"), Exit::No);
        assert_eq!(exit("etcdserver: corrupt cluster"), Exit::Corrupt);
        assert_eq!(exit("etcdserver: permission denied"), Exit::Refused);
    }
}
