//! The seam between the services and the server that carries them.
//!
//! Two things implement it: the server, with Raft between, and a bare store in this crate's tests.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use jangada_kv::watch::Slice;
use jangada_kv::{Changes, Error, Page, Request, Response, Revision};
use tokio::sync::watch;

use crate::auth::Passwords;

/// What the services ask of a server. Cheap to clone.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Carries a request through the log; answered once it is applied.
    fn write(&self, request: Request) -> impl Future<Output = Result<Response, Refusal>> + Send;

    /// Answers a request for which `is_read_only()` holds.
    fn read(
        &self,
        request: Request,
        freshness: Freshness,
    ) -> impl Future<Output = Result<Response, Refusal>> + Send;

    /// Waits until this member's store is what it was when the member last ran: before, it may lack what clients were shown.
    fn caught_up(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// What has happened on this member from a revision on, whole revisions, about as much as fits into one message. The
    /// inner error is the oldest revision whose changes can still be told.
    fn changes(
        &self,
        from: Revision,
    ) -> impl Future<Output = Result<Result<Changes, Revision>, Refusal>> + Send;

    /// The keys of this member's store from `from` on as they were at a revision, about as many as fit into one message.
    /// The inner error says that the revision cannot be read.
    fn page(
        &self,
        revision: Revision,
        from: Bytes,
    ) -> impl Future<Output = Result<Result<Page, Error>, Refusal>> + Send;

    /// Makes another voter the leader, if this member leads.
    fn move_leader(&self, to: u64) -> impl Future<Output = Result<(), NoMove>> + Send;

    /// Where the store of this member is: changes whenever it moves on, and ends with the server. It wakes whoever follows
    /// also when `auth_stamp` has changed.
    fn revisions(&self) -> watch::Receiver<Revision>;

    /// What has happened on this member from a revision on, if that is at hand and need not be asked for with `changes`.
    /// The slice may begin earlier.
    fn recent(&self, from: Revision) -> Option<Arc<Slice>>;

    /// [`jangada_kv::Store::auth_stamp`] of this member's store: who was permitted to be told may not be any more when it
    /// grows.
    fn auth_stamp(&self) -> u64;

    /// The highest revision that a client was told of by this member. Its own store may not have come so far, if the
    /// leader answered first.
    fn acknowledged(&self) -> Revision;

    /// Who answers, and in which term: what each answer says of itself.
    fn answerer(&self) -> Answerer;

    /// How this member stood a moment ago: costs nothing.
    fn situation(&self) -> Situation;

    /// How this member stands now, unless it is too busy to say.
    fn situation_now(&self) -> impl Future<Output = Situation> + Send;

    /// A number that hardly anybody has had: for names that a client leaves to the server. Not a secret.
    fn random(&self) -> u64;

    /// What nobody can guess, whatever numbers he was told: for tokens and the salts of passwords.
    fn secret(&self) -> Result<[u8; 16], Refusal>;

    /// Where passwords are hashed and compared.
    fn passwords(&self) -> &Passwords;

    /// Who belongs to the cluster, as far as this member knows at this moment, by id.
    fn members(&self) -> impl Future<Output = Result<Vec<Member>, Refusal>> + Send;

    /// Changes who belongs to the cluster; answered once the change is in force, with whom it was about and all members.
    /// `token` is what the client has shown, which the leader wants to see, too.
    fn change_members(
        &self,
        change: MemberChange,
        token: Option<String>,
    ) -> impl Future<Output = Result<(u64, Vec<Member>), MemberRefusal>> + Send;
}

/// A change of one member. Addresses are host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// The server at this address joins, now or when it comes.
    Add {
        /// Where other members connect to it.
        peer_addr: String,
        /// Whether it has no vote at first.
        is_learner: bool,
    },
    /// It leaves.
    Remove {
        /// Its number.
        id: u64,
    },
    /// Others shall reach it elsewhere.
    Update {
        /// Its number.
        id: u64,
        /// Where.
        peer_addr: String,
    },
    /// A learner gets a vote.
    Promote {
        /// Its number.
        id: u64,
    },
}

/// Why a member was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberRefusal {
    /// A member has this peer address already.
    AddressTaken,
    /// There is no such member.
    NotFound,
    /// Who is to be promoted has a vote.
    NotLearner,
    /// The learner that is to be promoted is behind the leader.
    NotInStep,
    /// Too few of the voters after the change would be alive.
    Unhealthy,
    /// Too many voters are expected already for one more.
    TooFewStarted,
    /// It cannot be done: a sentence. Nothing changed.
    Impossible(String),
    /// There is no answer.
    NoAnswer(Refusal),
}

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It shows everything that was acknowledged before the request came.
    Linearizable,
    /// What this member knows, which may be old. Answered even without a leader.
    Serializable,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answerer {
    /// The cluster.
    pub cluster_id: u64,
    /// The member.
    pub member_id: u64,
    /// The term that it is in.
    pub term: u64,
}

/// How a member stands at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// The leader's id, if it knows one.
    pub leader: Option<u64>,
    /// Why it knows none, as far as it can tell: a sentence.
    pub problem: Option<String>,
    /// The highest index that it knows to be committed.
    pub commit_index: u64,
    /// The highest index that it has applied.
    pub applied_index: u64,
    /// Whether it receives the log without a vote.
    pub is_learner: bool,
    /// About how many bytes its store takes up, the kept history included.
    pub store_bytes: u64,
    /// The same without the history.
    pub live_bytes: u64,
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: u64,
    /// Its name; empty while it was never there.
    pub name: String,
    /// Where other members connect to it, as host and port.
    pub peer_addr: String,
    /// Where clients connect to it, as host and port; empty while that is unknown.
    pub client_addr: String,
    /// Whether it receives the log without a vote.
    pub is_learner: bool,
}

/// Why a request has no answer from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody leads. Nothing happened, and nothing will.
    NoLeader {
        /// Why, as far as this member can tell: a sentence.
        why: String,
    },
    /// This member was removed from its cluster. Nothing happened, and nothing will.
    Removed {
        /// Whom to ask instead: a sentence.
        why: String,
    },
    /// Too much is under way. Nothing happened.
    Busy,
    /// A change was carried out; its answer was dropped, as too many wait for clients to read them.
    NoRoom,
    /// It is larger than an entry of the log may be. Nothing happened.
    TooLarge,
    /// No answer in time: a write may or may not have taken effect.
    TimedOut,
    /// The server is stopping. Nothing happened.
    Stopping,
    /// Something else: a sentence.
    Other(String),
}

/// Why the leadership stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoMove {
    /// This member does not lead.
    NotLeader,
    /// Nobody does.
    NoLeader,
    /// The other one is no voter.
    BadTarget,
    /// The other one did not take over in time.
    TimedOut,
    /// Something else: a sentence.
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Busy => f.write_str("too many requests are under way"),
            Refusal::NoRoom => f.write_str("it was carried out, but there is no room for the answer"),
            Refusal::TooLarge => f.write_str("the request is too large"),
            Refusal::TimedOut => f.write_str("no answer in time"),
            Refusal::Stopping => f.write_str("the server is stopping"),
            Refusal::NoLeader { why } | Refusal::Removed { why } | Refusal::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refusal {}
