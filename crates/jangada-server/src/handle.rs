//! The door between the connections and the replica thread.
//!
//! Connections put [`Submission`]s into one bounded queue; the replica thread takes all that wait and
//! answers each through its own one-shot channel. One message crosses the threads per *batch*, never per
//! operation (a thread hop costs more than a write). Nothing here knows a wire protocol, and nothing here
//! knows Raft: it is the whole of what the two sides know of each other.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jangada_kv::{AlarmRequest, Changes, Page, Request, Response, Revision};
use jangada_node::kv_machine::KvMachine;
use jangada_node::replica::Replica;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::post::{Delivery, Post, Postman, ReplyTo};
use crate::rig::{Look, RigRequest};
use crate::room::AnswerRoom;
use crate::status::{MemberStatus, PromisedMember, Status, StatusBoard};

/// How many bytes a write's encoding leaves free at its front: the leader puts its stamp of the replicated
/// time there (milliseconds, little endian), so that the bytes need not be copied again.
pub const STAMP_BYTES: usize = 8;

/// A server that has just started is told within this time how much of its log is committed, if there is a leader.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// The side of the connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    queue: mpsc::Sender<Submission>,
    status: StatusBoard,
    /// The queue for answers of the thread that this handle is used on.
    post: Option<Post>,
    room: Arc<AnswerRoom>,
}

/// What the replica thread receives.
#[derive(Debug)]
pub enum Submission {
    /// Requests of one connection, all of the same kind, in its program order.
    Batch(Batch),
    /// What has happened from a revision on, as far as this server knows.
    Changes(ChangesRequest, oneshot::Sender<Result<Changes, jangada_kv::Error>>),
    /// Some of all keys, as this server knows them.
    Page(PageRequest, oneshot::Sender<Result<Page, jangada_kv::Error>>),
    /// A change of the cluster itself.
    Admin(AdminRequest, oneshot::Sender<Result<AdminAnswer, AdminError>>),
    /// Of a laboratory, in the same process.
    Rig(RigRequest),
}

/// What a watch wants to know: whole revisions, about so much of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangesRequest {
    /// The first revision.
    pub from: Revision,
    /// After so many events there shall be no further revision.
    pub enough: usize,
    /// After so many bytes of keys and values neither.
    pub enough_bytes: usize,
}

/// What a copy or a hash of the whole store wants to know next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The revision at which all keys are read.
    pub revision: Revision,
    /// The first key.
    pub from: Bytes,
    /// After so many keys there shall be no further one.
    pub enough: usize,
    /// After so many bytes of keys and values neither.
    pub enough_bytes: usize,
}

/// A run of requests that is answered as one.
#[derive(Debug)]
pub struct Batch {
    /// Whether these change the store.
    pub kind: Kind,
    /// The requests, in the order in which they take effect.
    pub requests: Vec<BatchItem>,
    /// When the client has waited long enough.
    pub deadline: Instant,
    /// Where the answers go: exactly one for each request, in the same order.
    pub reply: ReplyTo,
}

/// The answers to one batch, in the order of its requests.
pub type Answers = Vec<Result<Response, RequestError>>;

/// The two ways through the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Through the log.
    Write,
    /// A linearizable read, which leaves no trace in the log.
    Read,
    /// A read of what this server knows, which may be old. Answered at once, even without a leader.
    Local,
}

/// One request of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchItem {
    /// [`STAMP_BYTES`] free bytes, then the encoded request: the bytes that the log keeps.
    Write {
        /// The bytes.
        encoded: Vec<u8>,
    },
    /// A request for which `is_read_only()` holds.
    Read(Request),
}

impl BatchItem {
    /// Alarms are told as far as they are known: whoever asks how a server is does not wait for it to get well.
    fn is_of_keys(&self) -> bool {
        !matches!(self, BatchItem::Read(Request::Alarm(AlarmRequest::List)))
    }
}

/// Why a request has no answer from the store. Each sentence says what, why, and what now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Refused: nobody leads, or the leader lost its quorum. Nothing happened and nothing will.
    NoLeader {
        /// The sentence.
        why: String,
    },
    /// Refused: this server was removed from its cluster. Nothing happened and nothing will.
    Removed {
        /// The sentence.
        why: String,
    },
    /// Refused: too much is under way. Nothing happened; try again.
    Busy,
    /// Carried out, but the answer was dropped: too many others wait for their clients to read them.
    NoRoom,
    /// Refused: larger than an entry may be. Nothing happened.
    TooLarge {
        /// The largest encoded request, in bytes.
        limit: usize,
    },
    /// The write may or may not take effect; only reading tells.
    OutcomeUnknown {
        /// The sentence.
        why: String,
    },
    /// A read, or a write that never entered the log, waited until its deadline. Nothing happened.
    Deadline,
    /// The server is shutting down. Nothing happened.
    Stopping,
    /// The request cannot be carried out by anyone: a sentence.
    Bad(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::NoLeader { why }
            | RequestError::Removed { why }
            | RequestError::OutcomeUnknown { why }
            | RequestError::Bad(why) => f.write_str(why),
            RequestError::Busy => {
                f.write_str("too many requests are under way; nothing was done, try again a little later")
            }
            RequestError::NoRoom => f.write_str(
                "the answer was dropped: too many answers wait for clients to read them; what was to be changed is \
                 changed; ask again a little later, or for less at once",
            ),
            RequestError::TooLarge { limit } => {
                write!(f, "the request is too large (limit {limit} bytes); nothing was done")
            }
            RequestError::Deadline => {
                f.write_str("no answer within the deadline; nothing was done, try again")
            }
            RequestError::Stopping => {
                f.write_str("this server is stopping; nothing was done, try another server")
            }
        }
    }
}

impl std::error::Error for RequestError {}

/// What an operator may ask of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminRequest {
    /// `POST /members`: make exactly these servers the voters.
    ChangeMembers(ChangeMembers),
    /// `POST /transfer`: make another voter the leader.
    Transfer(Transfer),
    /// `POST /members/change`: change one member, as etcd's clients ask for it.
    ChangeMember(ChangeMember),
    /// Who the members are now. Any server answers.
    ListMembers,
}

/// The body of `POST /members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeMembers {
    /// The names of all voters after the change.
    pub voters: Vec<String>,
    /// The servers among them that are not members yet.
    #[serde(default)]
    pub new: Vec<NewMember>,
    /// How long the caller waits, in milliseconds.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
}

/// A server that joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// Its name.
    pub name: String,
    /// Where other members connect to it.
    pub peer_addr: String,
    /// Where clients connect to it.
    pub client_addr: String,
}

/// The body of `POST /members/change`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeMember {
    /// What shall become of whom.
    pub change: MemberChange,
    /// How long the caller waits, in milliseconds.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
}

/// What becomes of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MemberChange {
    /// The server at this address joins: at once if it runs and waits for that, else when it comes.
    Add {
        /// Where other members connect to it.
        peer_addr: String,
        /// It receives the log without a vote, until it is promoted.
        learner: bool,
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

/// Why one member was not changed, where etcd's clients expect a reason of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
}

impl fmt::Display for MemberRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MemberRefusal::AddressTaken => "a member has this peer address already",
            MemberRefusal::NotFound => "there is no such member",
            MemberRefusal::NotLearner => "it has a vote already: only a learner can be promoted",
            MemberRefusal::NotInStep => {
                "the learner is still behind the leader: promote it when it has caught up"
            }
            MemberRefusal::Unhealthy => {
                "too few of the voters after the change can be reached now: the cluster could not go on"
            }
            MemberRefusal::TooFewStarted => {
                "too many voters were added already that have not come yet: start them first"
            }
        })
    }
}

/// The body of `POST /transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The name of the voter that shall lead.
    pub to: String,
    /// How long the caller waits, in milliseconds.
    #[serde(default = "five_seconds")]
    pub timeout_ms: u64,
}

/// What came of an [`AdminRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AdminAnswer {
    /// The members changed.
    Members {
        /// The voters before the change.
        before: Tolerance,
        /// The voters now.
        after: Tolerance,
    },
    /// The leadership moved.
    Transferred {
        /// The new leader's name.
        leader: String,
        /// Its term.
        term: u64,
    },
    /// A member was changed.
    Member {
        /// Its number.
        changed: u64,
        /// All members now.
        members: Vec<MemberStatus>,
        /// Those who have not come yet.
        #[serde(default)]
        promised: Vec<PromisedMember>,
    },
    /// Who the members are.
    List {
        /// All of them.
        members: Vec<MemberStatus>,
        /// Those who have not come yet.
        #[serde(default)]
        promised: Vec<PromisedMember>,
    },
}

/// A set of voters and what it withstands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Their names.
    pub voters: Vec<String>,
    /// How many more of them may fail.
    pub tolerates: u64,
}

/// Why an [`AdminRequest`] did not come true. Each sentence says what, why, and what now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminError {
    /// Refused before anything changed.
    Refused(String),
    /// The same, for a reason that programs know by its name.
    Member(MemberRefusal),
    /// Another server leads: ask it.
    NotLeader {
        /// The sentence.
        why: String,
        /// Where the leader's clients connect, when it is known.
        leader_client_addr: Option<String>,
    },
    /// No majority of the voters can be reached.
    NoQuorum(String),
    /// It may still come true.
    OutcomeUnknown(String),
    /// The caller's time is over; the change goes on, or was rolled back, as the sentence says.
    Deadline(String),
}

fn ten_seconds() -> u64 {
    10_000
}

fn five_seconds() -> u64 {
    5_000
}

impl Handle {
    /// The two ends of the door: the connections' handle and the replica thread's queue, which holds at
    /// most `capacity` submissions.
    ///
    /// # Panics
    /// If `capacity` is 0.
    #[must_use]
    pub fn new(capacity: usize, status: StatusBoard) -> (Handle, mpsc::Receiver<Submission>) {
        let (queue, inbox) = mpsc::channel(capacity);
        (Handle { queue, status, post: None, room: Arc::new(AnswerRoom::new(usize::MAX)) }, inbox)
    }

    /// The same door with room for `bytes` of answers that clients have not read yet.
    #[must_use]
    pub fn with_room(self, bytes: usize) -> Handle {
        Handle { room: Arc::new(AnswerRoom::new(bytes)), ..self }
    }

    /// The room for answers.
    #[must_use]
    pub fn room(&self) -> &Arc<AnswerRoom> {
        &self.room
    }

    /// The same door for a thread with many connections: their answers come through the returned [`Postman`],
    /// who must be kept running on that thread.
    pub(crate) fn for_thread(&self) -> (Handle, Postman) {
        let (post, postman) = Post::open();
        (Handle { post: Some(post), ..self.clone() }, postman)
    }

    /// Waits until the server's own store is what it was when the server last ran.
    async fn caught_up(&self, time_limit: Duration) -> Result<(), RequestError> {
        if self.status.is_caught_up() {
            return Ok(());
        }
        let waited = tokio::time::timeout(time_limit.min(START_PATIENCE), self.status.caught_up()).await;
        waited.map_err(|_elapsed| RequestError::NoLeader {
            why: "this server has started, and no leader has told it yet how much of its log is committed: what it \
                  knew may not be there yet; ask another server, or wait until a majority runs"
                .to_owned(),
        })
    }

    /// Puts a batch into the queue and returns where its answers will arrive. Waits for room in the queue,
    /// at most until the deadline.
    ///
    /// # Errors
    /// [`RequestError::NoLeader`] if the server's own store is asked, and has not caught up since it started,
    /// [`RequestError::Busy`] if the queue stayed full, [`RequestError::Stopping`] if nobody serves it.
    pub async fn begin(
        &self,
        kind: Kind,
        requests: Vec<BatchItem>,
        time_limit: Duration,
    ) -> Result<oneshot::Receiver<Delivery>, RequestError> {
        debug_assert!(!requests.is_empty(), "an empty batch has no answer to wait for");
        let deadline = Instant::now() + time_limit;
        if kind == Kind::Local && requests.iter().any(BatchItem::is_of_keys) {
            self.caught_up(time_limit).await?;
        }
        let (reply, answers) = ReplyTo::new(self.post.as_ref(), &self.room);
        let submission = Submission::Batch(Batch { kind, requests, deadline, reply });
        let submission = match self.queue.try_send(submission) {
            Ok(()) => return Ok(answers),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(RequestError::Stopping),
            Err(mpsc::error::TrySendError::Full(submission)) => submission,
        };
        match tokio::time::timeout_at(deadline.into(), self.queue.send(submission)).await {
            Ok(Ok(())) => Ok(answers),
            Ok(Err(_closed)) => Err(RequestError::Stopping),
            Err(_elapsed) => Err(RequestError::Busy),
        }
    }

    /// Submits a batch and waits for its answers: one for each request, in the same order.
    pub async fn submit(&self, kind: Kind, requests: Vec<BatchItem>, time_limit: Duration) -> Answers {
        let count = requests.len();
        match self.begin(kind, requests, time_limit).await {
            Ok(answers) => answers.await.map_or_else(|_| abandoned(kind, count), |delivery| delivery.answers),
            Err(error) => vec![Err(error); count],
        }
    }

    /// Asks what has happened, and waits for the answer.
    ///
    /// # Errors
    /// [`RequestError::Stopping`] if nobody answers any more, [`RequestError::NoLeader`] if the server has not caught up since
    /// it started. The inner error says that the history is gone.
    pub async fn changes(
        &self,
        request: ChangesRequest,
    ) -> Result<Result<Changes, jangada_kv::Error>, RequestError> {
        self.caught_up(START_PATIENCE).await?;
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Submission::Changes(request, reply)).await;
        sent.map_err(|_| RequestError::Stopping)?;
        answer.await.map_err(|_| RequestError::Stopping)
    }

    /// Asks for some of all keys, and waits for the answer.
    ///
    /// # Errors
    /// [`RequestError::Stopping`] if nobody answers any more, [`RequestError::NoLeader`] if the server has not caught up since
    /// it started. The inner error says that the revision cannot be read.
    pub async fn page(&self, request: PageRequest) -> Result<Result<Page, jangada_kv::Error>, RequestError> {
        self.caught_up(START_PATIENCE).await?;
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Submission::Page(request, reply)).await;
        sent.map_err(|_| RequestError::Stopping)?;
        answer.await.map_err(|_| RequestError::Stopping)
    }

    /// Asks for a change of the cluster and waits for the result.
    ///
    /// # Errors
    /// Whatever the replica says; [`AdminError::OutcomeUnknown`] if it stopped without a word.
    pub async fn admin(&self, request: AdminRequest) -> Result<AdminAnswer, AdminError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Submission::Admin(request, reply)).await;
        if sent.is_err() {
            return Err(AdminError::Refused("this server is stopping; ask another server".to_owned()));
        }
        answer.await.unwrap_or_else(|_| {
            Err(AdminError::OutcomeUnknown(
                "this server stopped before it knew the outcome; ask another server for its status"
                    .to_owned(),
            ))
        })
    }

    /// Shows the replica to `look`, on the replica thread, and returns where its result will arrive: never, if the
    /// server ends first. Everything stands still meanwhile: for laboratories, and for a few numbers.
    ///
    /// # Errors
    /// [`RequestError::Busy`] if the queue is full, [`RequestError::Stopping`] if nobody serves it.
    pub fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Replica<KvMachine>) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, RequestError> {
        let (seen, result) = oneshot::channel();
        let look = Look(Box::new(move |replica| {
            // Whoever has stopped waiting does not mind.
            let _gone = seen.send(look(replica));
        }));
        self.rig(RigRequest::Look(look)).map(|()| result)
    }

    /// Asks what only a laboratory asks.
    ///
    /// # Errors
    /// As for [`Handle::look`].
    pub fn rig(&self, request: RigRequest) -> Result<(), RequestError> {
        self.queue.try_send(Submission::Rig(request)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Busy,
            mpsc::error::TrySendError::Closed(_) => RequestError::Stopping,
        })
    }

    /// Where the server's status hangs.
    #[must_use]
    pub fn board(&self) -> &StatusBoard {
        &self.status
    }

    /// The latest status of the server.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.latest()
    }
}

/// The answers to a batch whose one-shot channel was dropped: the replica thread is gone.
#[must_use]
pub fn abandoned(kind: Kind, count: usize) -> Answers {
    let error = match kind {
        Kind::Read | Kind::Local => RequestError::Stopping,
        Kind::Write => RequestError::OutcomeUnknown {
            why: "this server stopped before it knew the outcome; the write may or may not take effect"
                .to_owned(),
        },
    };
    vec![Err(error); count]
}
