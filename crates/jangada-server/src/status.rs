//! What a server says about itself: the JSON of `GET /status`, and the source of `/readyz`, `/metrics`
//! and `INFO`.
//!
//! The replica thread publishes a fresh [`Status`] some twenty times a second; everybody else only reads
//! the latest one. It is a photograph: nothing here decides anything, and no request waits for it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

use jangada_kv::{Alarm, AlarmKind, Quota, Retention, Revision, Store};
use jangada_node::book::Promise;
use jangada_trace::metrics::Metrics as Counted;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::meters::Meters;
use crate::recorder::Recorder;
use crate::revisions::Revisions;

/// One server's view of itself and of its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This server's name, such as `n1`.
    pub name: String,
    /// This server's number in the protocol.
    pub id: u64,
    /// The cluster's identity, in hexadecimal; empty until it is known.
    pub cluster_id: String,
    /// The program's version.
    pub version: String,
    /// The process that answers.
    pub pid: u32,
    /// Milliseconds since the process started serving.
    pub uptime_ms: u64,
    /// What the server is at the moment.
    pub role: RoleName,
    /// Its current term.
    pub term: u64,
    /// The leader of the term, when it is known.
    pub leader: Option<String>,
    /// Where the leader's clients connect, when it is known.
    pub leader_client_addr: Option<String>,
    /// The highest index known to be committed.
    pub commit_index: u64,
    /// The highest index applied to the store.
    pub applied_index: u64,
    /// The index of the last entry of the log.
    pub last_index: u64,
    /// The index of the last entry that the newest snapshot covers.
    pub snapshot_index: u64,
    /// Bytes of the entries that the log holds since the last snapshot.
    pub log_bytes: u64,
    /// The store's revision.
    pub revision: u64,
    /// How many keys the store holds.
    pub keys: u64,
    /// How many leases there are.
    #[serde(default)]
    pub leases: u64,
    /// The end of the log.
    #[serde(default)]
    pub log: LogEnd,
    /// About how many bytes the store takes up: what is current, and the history.
    #[serde(default)]
    pub store_bytes: u64,
    /// About how many of them are current.
    #[serde(default)]
    pub live_bytes: u64,
    /// How many of them may be current.
    #[serde(default)]
    pub quota: QuotaStatus,
    /// How much of the past it keeps.
    #[serde(default)]
    pub history: HistoryStatus,
    /// What is wrong with the cluster, as its alarms say.
    #[serde(default)]
    pub alarms: Vec<AlarmStatus>,
    /// Who belongs to the cluster.
    pub membership: MembershipStatus,
    /// Why the server cannot serve at the moment, or not all that it should, as a sentence; `None` while it can.
    pub problem: Option<String>,
}

/// How much the store may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaStatus {
    /// Most bytes that may be current.
    pub bytes: u64,
    /// The number of the member that has said so; 0 if nobody has.
    pub member: u64,
}

/// How much of the past the store keeps, and how much it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// The oldest revision that can be read.
    pub oldest_revision: u64,
    /// Bytes of values that are no longer current and can be read.
    pub bytes: u64,
    /// How many of the latest revisions can be read at most; older ones are compacted by themselves.
    pub most_revisions: u64,
    /// Most bytes of values that are no longer current.
    pub most_bytes: u64,
}

impl From<&Store> for HistoryStatus {
    fn from(store: &Store) -> HistoryStatus {
        let Retention { revisions: most_revisions, bytes: most_bytes } = store.retention();
        HistoryStatus {
            // Before anything was compacted there is no floor.
            oldest_revision: store.floor().max(Revision::FIRST).0,
            bytes: store.history_bytes(),
            most_revisions,
            most_bytes,
        }
    }
}

impl From<Quota> for QuotaStatus {
    fn from(Quota { bytes, member }: Quota) -> QuotaStatus {
        QuotaStatus { bytes, member }
    }
}

/// An alarm that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmStatus {
    /// What is wrong.
    pub alarm: AlarmName,
    /// The number of the member that it is raised for.
    pub member: u64,
}

/// What can be wrong, in etcd's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AlarmName {
    /// The store is full.
    NoSpace,
    /// The members' stores differ.
    Corrupt,
}

impl AlarmName {
    /// All of them.
    pub const ALL: [AlarmName; 2] = [AlarmName::NoSpace, AlarmName::Corrupt];

    /// The word of the JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AlarmName::NoSpace => "NOSPACE",
            AlarmName::Corrupt => "CORRUPT",
        }
    }
}

impl From<Alarm> for AlarmStatus {
    fn from(Alarm { kind, member }: Alarm) -> AlarmStatus {
        let alarm = match kind {
            AlarmKind::NoSpace => AlarmName::NoSpace,
            AlarmKind::Corrupt => AlarmName::Corrupt,
        };
        AlarmStatus { alarm, member }
    }
}

/// The last entries of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// The index of the first entry of `terms`.
    pub first_index: u64,
    /// The terms of the last entries, 24 at most.
    pub terms: Vec<u64>,
    /// The index of the last entry that is on this server's disk.
    pub durable_index: u64,
}

/// The configuration in force, with what is known of each member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipStatus {
    /// How far a change of members has come.
    pub stage: MembershipStage,
    /// How many more voters may fail while the cluster still serves.
    pub tolerates: u64,
    /// All members, in the order of their ids.
    pub members: Vec<MemberStatus>,
    /// Those who were added and have not come yet: they count for nothing until they do.
    #[serde(default)]
    pub promised: Vec<PromisedMember>,
}

/// A member that was added before it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromisedMember {
    /// The number that it will have.
    pub id: u64,
    /// Where it is expected.
    pub peer_addr: String,
    /// Whether it will be a learner until it is promoted.
    pub is_learner: bool,
}

impl From<&Promise> for PromisedMember {
    fn from(promise: &Promise) -> PromisedMember {
        let Promise { id, peer_addr, is_learner } = promise.clone();
        PromisedMember { id: id.0, peer_addr, is_learner }
    }
}

/// One member, as the answering server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Its number in the protocol.
    pub id: u64,
    /// Whether it votes.
    pub role: MemberRole,
    /// Whether it is on its way to be a voter: it catches up, or both configurations decide.
    #[serde(default)]
    pub will_vote: bool,
    /// Where other members connect to it.
    pub peer_addr: String,
    /// Where clients connect to it; empty while that is unknown.
    pub client_addr: String,
    /// Whether it can be reached from the answering server.
    pub reachable: bool,
    /// Milliseconds since its last message; `None` when it was never heard, and for the server itself.
    pub heard_ms_ago: Option<u64>,
    /// The highest index known to be in its log; only the leader knows.
    pub match_index: Option<u64>,
    /// How many entries it is behind the leader's log; only the leader knows, once it has heard how long the other log is.
    pub lag: Option<u64>,
}

/// A server's role (Paper §5.1; Thesis §9.6 for the pre-candidate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks whether an election could be won.
    PreCandidate,
    /// It stands for election.
    Candidate,
    /// It leads.
    Leader,
}

impl RoleName {
    /// The role in the words of the JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RoleName::Follower => "follower",
            RoleName::PreCandidate => "pre_candidate",
            RoleName::Candidate => "candidate",
            RoleName::Leader => "leader",
        }
    }
}

/// A member's part in the configuration (Paper §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// It votes and counts for the quorum.
    Voter,
    /// It receives the log without a vote.
    Learner,
    /// It votes in the old half of a joint configuration and leaves with it.
    Outgoing,
}

/// The stages of a change of members (Paper §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipStage {
    /// No change is under way.
    Final,
    /// New servers receive the log before they vote.
    CatchUp,
    /// Both configurations decide.
    Joint,
}

impl Status {
    /// The status of a server that has only just started: a follower that knows nothing yet.
    #[must_use]
    pub fn starting(name: &str, id: u64) -> Status {
        Status {
            name: name.to_owned(),
            id,
            cluster_id: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: 0,
            role: RoleName::Follower,
            term: 0,
            leader: None,
            leader_client_addr: None,
            commit_index: 0,
            applied_index: 0,
            last_index: 0,
            snapshot_index: 0,
            log_bytes: 0,
            revision: 0,
            keys: 0,
            leases: 0,
            log: LogEnd::default(),
            store_bytes: 0,
            live_bytes: 0,
            quota: Quota::default().into(),
            history: (&Store::new()).into(),
            alarms: Vec::new(),
            membership: MembershipStatus {
                stage: MembershipStage::Final,
                tolerates: 0,
                members: Vec::new(),
                promised: Vec::new(),
            },
            problem: Some("starting: no leader is known yet".to_owned()),
        }
    }
}

/// Where the latest status hangs: one writer replaces it, any number of readers take a reference.
#[derive(Clone, Debug)]
pub struct StatusBoard {
    latest: Arc<RwLock<Arc<Status>>>,
    counted: Arc<RwLock<Option<Counted>>>,
    revisions: Revisions,
    recorder: Recorder,
    auth: Arc<AtomicBool>,
    meters: Arc<Meters>,
    caught_up: watch::Sender<bool>,
}

impl StatusBoard {
    /// A board that shows `status`.
    #[must_use]
    pub fn new(status: Status) -> StatusBoard {
        StatusBoard {
            latest: Arc::new(RwLock::new(Arc::new(status))),
            counted: Arc::default(),
            revisions: Revisions::default(),
            recorder: Recorder::default(),
            auth: Arc::default(),
            meters: Arc::default(),
            caught_up: watch::Sender::new(true),
        }
    }

    /// The board of a server that has started, whose store is not yet what it was. Others use its meters already.
    pub(crate) fn of_a_start(status: Status, meters: Arc<Meters>) -> StatusBoard {
        let board = StatusBoard::new(status);
        board.caught_up.send_replace(false);
        StatusBoard { meters, ..board }
    }

    /// What is measured on sockets and disk.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// What happened last on this server.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// How far the store is, for those who follow it.
    #[must_use]
    pub fn revisions(&self) -> &Revisions {
        &self.revisions
    }

    /// Whether everybody is asked who they are, as far as this server's store knows.
    #[must_use]
    pub fn auth_enabled(&self) -> bool {
        self.auth.load(Relaxed)
    }

    /// What the store says of that now.
    pub fn publish_auth(&self, enabled: bool) {
        self.auth.store(enabled, Relaxed);
    }

    /// Whether the server's own store may be asked (`caught_up.rs`).
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        *self.caught_up.borrow()
    }

    /// Waits until it may.
    pub async fn caught_up(&self) {
        let mut caught_up = self.caught_up.subscribe();
        // Its sender is this board, so that it cannot end.
        let _ended = caught_up.wait_for(|is_so| *is_so).await;
    }

    /// It may, from now on.
    pub(crate) fn publish_caught_up(&self) {
        self.caught_up.send_replace(true);
    }

    /// Replaces what is shown.
    pub fn publish(&self, status: Status) {
        let status = Arc::new(status);
        // A reader that panicked cannot have left the reference half written: go on with it.
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// What is shown now.
    #[must_use]
    pub fn latest(&self) -> Arc<Status> {
        Arc::clone(&self.latest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces what the events of this server were folded into, for `/metrics`.
    pub fn publish_counted(&self, counted: Counted) {
        *self.counted.write().unwrap_or_else(PoisonError::into_inner) = Some(counted);
    }

    /// What the events were folded into, if that was ever published.
    #[must_use]
    pub fn counted(&self) -> Option<Counted> {
        self.counted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_documented_words() {
        let mut status = Status::starting("n1", 1);
        status.role = RoleName::PreCandidate;
        status.membership.stage = MembershipStage::CatchUp;
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["role"], status.role.as_str());
        assert_eq!(json["membership"]["stage"], "catch_up");
        assert_eq!(json["leader"], serde_json::Value::Null);
        assert_eq!(json["history"]["oldest_revision"], 1, "nothing was compacted yet");
        for alarm in AlarmName::ALL {
            assert_eq!(serde_json::to_value(alarm).unwrap(), alarm.as_str());
        }
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
    }

    #[test]
    fn a_reader_sees_what_was_published_last() {
        let board = StatusBoard::new(Status::starting("n1", 1));
        let before = board.latest();
        board.publish(Status { term: 7, ..Status::starting("n1", 1) });
        assert_eq!(before.term, 0);
        assert_eq!(board.clone().latest().term, 7);
    }
}
