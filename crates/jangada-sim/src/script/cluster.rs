//! What commands are carried out on: the seam between the language and the servers.
//!
//! `stage.rs` knows what a command means: whom `leader` names, how long `wait` waits, what an answer is in words. All
//! that it asks of the servers stands in [`Cluster`]. [`super::simulated::Simulated`] is the simulator's world; a
//! laboratory with real servers is another cluster. What only a made-up world can do has an answer here that says so.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jangada_kv::{Request, Response};
use jangada_node::effect::{AdminDone, Failure, Token};
use jangada_node::event::{self, Record};
use jangada_node::replica::ReplicaConfig;
use jangada_raft::config::Config;
use jangada_raft::event::RoleName;
use jangada_raft::types::{ClusterId, Index, Membership, NodeId, Term, Time};
use jangada_trace::language::Language;
use jangada_trace::{said, say};

use crate::check::Violation;

use super::command::Message;

/// Most servers that a cluster ever has.
pub const MAX_SERVERS: u64 = 9;

/// Servers that can be looked at, asked, and harmed.
///
/// Servers are `n1` to `n9`. A method that cannot do what it is told returns a sentence for whoever typed the
/// command: what, why, and what to do instead.
pub trait Cluster {
    /// What its own sentences are said in.
    fn language(&self) -> Language {
        Language::English
    }

    // ---- Beginning ----------------------------------------------------------------------------------------

    /// Everything that was is gone, and `setup.servers` new servers start.
    ///
    /// # Errors
    /// They cannot run like this.
    fn found(&mut self, setup: &Setup) -> Result<(), String>;

    // ---- Time ---------------------------------------------------------------------------------------------

    /// The time since the beginning.
    fn now(&self) -> Time;

    /// Lets time pass until something happens, `true`, or it is `until`, `false`. Whatever can make a condition true
    /// counts: the stage looks again after each of them.
    ///
    /// # Errors
    /// Time cannot pass any more (somebody interrupts, say): the command ends with this sentence.
    fn pass(&mut self, until: Time) -> Result<bool, String>;

    /// What has happened since this was last asked, in the order of its happening.
    fn take_records(&mut self) -> Vec<Record>;

    /// What came of requests since this was last asked.
    fn take_answers(&mut self) -> Vec<(Token, Answer)>;

    /// What there is to say about the answer to a request that was taken just now: where it went, how long it took.
    fn take_remark(&mut self, _: Token) -> Option<String> {
        None
    }

    /// Invariants that did not hold, if somebody watches over them.
    fn violations(&self) -> &[Violation] {
        &[]
    }

    // ---- Looking ------------------------------------------------------------------------------------------

    /// All servers that were ever started, running or not, by number.
    fn servers(&self) -> Vec<NodeId>;

    /// It runs, and stands still.
    fn is_paused(&self, id: NodeId) -> bool;

    /// What a server shows; `None` if it is down. One that stands still shows what it was.
    fn view(&self, id: NodeId) -> Option<View<'_>>;

    /// The terms of the entries that a server has in memory, from [`View::first_index`] on; empty if it is down.
    fn log_terms(&self, id: NodeId) -> Vec<Term>;

    /// The value of a key in what a server has applied, whether or not that is the latest.
    fn value(&self, id: NodeId, key: &str) -> Option<Vec<u8>>;

    // ---- Doing --------------------------------------------------------------------------------------------

    /// Something befalls a server. The stage has seen to it that it runs, or, for [`Deed::Start`], that it does not.
    ///
    /// # Errors
    /// It cannot be done.
    fn befall(&mut self, id: NodeId, deed: Deed) -> Result<(), String>;

    /// Asks a running server; the answer comes by [`Cluster::take_answers`] under the token, now or later.
    ///
    /// # Errors
    /// It cannot be asked.
    fn ask(&mut self, at: NodeId, token: Token, ask: Ask) -> Result<(), String>;

    /// What `from` sends to `to` arrives from now on, or is lost. There need be no such servers yet.
    ///
    /// # Errors
    /// It cannot be done.
    fn set_link(&mut self, from: NodeId, to: NodeId, works: bool) -> Result<(), String>;

    /// From now on so many of a hundred messages are lost, on all links.
    ///
    /// # Errors
    /// It cannot be done.
    fn set_loss(&mut self, percent: u8) -> Result<(), String>;

    /// From now on every message takes so much longer.
    ///
    /// # Errors
    /// It cannot be done.
    fn set_delay(&mut self, delay: Duration) -> Result<(), String>;

    /// What `from` sends to `to` is lost.
    fn is_cut(&self, from: NodeId, to: NodeId) -> bool;

    // ---- What only a made-up world can do -----------------------------------------------------------------

    /// Messages and operations of disks are counted from here on.
    fn mark(&mut self) {}

    /// How many of these messages were sent since the mark.
    ///
    /// # Errors
    /// Nobody counts here.
    fn sent(&self, _: &Filter) -> Result<u64, String> {
        Err(only_simulated(self.language(), said!("messages are counted")))
    }

    /// How many changes and syncs a server's disk has done since the mark.
    ///
    /// # Errors
    /// Nobody counts here.
    fn wrote(&self, _: NodeId) -> Result<u64, String> {
        Err(only_simulated(self.language(), said!("operations of a disk are counted")))
    }

    /// From now on these messages wait until somebody delivers them.
    ///
    /// # Errors
    /// It cannot be done.
    fn hold(&mut self, _: Filter) -> Result<(), String> {
        Err(only_simulated(self.language(), said!("messages are held")))
    }

    /// The messages that wait and fit, oldest first.
    fn held(&self, _: &Filter) -> Vec<Held> {
        Vec::new()
    }

    /// This message arrives; it is held no longer, or, if `again`, still.
    fn deliver(&mut self, _: HeldNumber, _again: bool) {}

    /// This message is lost.
    fn lose(&mut self, _: HeldNumber) {}

    /// All held messages arrive, and none is held any more.
    fn release(&mut self) {}
}

fn only_simulated(language: Language, what: &str) -> String {
    say!(language, "only in a simulated cluster {what}", what = language.of(what))
}

/// How a cluster is set up, before it starts.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Servers that found it, from n1 on.
    pub servers: u64,
    /// Decides all that chance decides.
    pub seed: u64,
    /// Each server's, but for its id, its seed and its first sequence number.
    pub raft: Config,
    /// Each server's.
    pub replica: ReplicaConfig,
    /// How long a message takes, from and to.
    pub delay: (Duration, Duration),
    /// Logs that servers start with.
    pub logs: BTreeMap<NodeId, Prepared>,
}

impl Setup {
    /// So many servers with the settings of the default profile.
    #[must_use]
    pub fn new(servers: u64) -> Setup {
        Setup {
            servers,
            seed: 1,
            raft: Config::new(NodeId(0), ClusterId(0), 0),
            replica: ReplicaConfig { snapshot_part_bytes: 1 << 10, ..ReplicaConfig::default() },
            delay: (Duration::from_micros(300), Duration::from_micros(700)),
            logs: BTreeMap::new(),
        }
    }
}

/// A log that a server starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The terms of its entries, from index 1 on.
    pub terms: Vec<u64>,
    /// The server's own term.
    pub term: u64,
}

/// What a running server shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// Who it is.
    pub id: NodeId,
    /// Its role.
    pub role: RoleName,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in its term.
    pub voted_for: Option<NodeId>,
    /// Whom it takes for the leader of its term.
    pub leader: Option<NodeId>,
    /// When it last heard from that leader.
    pub leader_last_heard: Option<Time>,
    /// It leads, and has committed an entry of its own term.
    pub rules: bool,
    /// The first entry in memory: what stands before it is in a snapshot.
    pub first_index: Index,
    /// The last entry.
    pub last_index: Index,
    /// Its term.
    pub last_term: Term,
    /// What it knows to be committed.
    pub commit_index: Index,
    /// What its state shows; `None` while a snapshot is being loaded into it.
    pub applied: Option<Index>,
    /// What its newest durable snapshot stands for; zero without one.
    pub snapshot: Index,
    /// The configuration in force.
    pub membership: Cow<'a, Membership>,
    /// The entry that brought it.
    pub membership_index: Index,
    /// It is committed, as far as this server knows.
    pub membership_is_committed: bool,
}

impl View<'_> {
    /// It believes that it leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.role == RoleName::Leader
    }
}

/// What can befall a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It starts on the disk that it left, or, for the first time, on an empty one.
    Start,
    /// Power off: what was not synced is lost, and with it the answers that clients wait for.
    Crash,
    /// It stands still.
    Pause,
    /// It goes on, and hears first what came meanwhile.
    Resume,
    /// It campaigns now.
    Campaign,
    /// It takes a snapshot now.
    Snapshot,
    /// What it writes does not become durable any more.
    Stall,
    /// It does again.
    Unstall,
}

impl Deed {
    /// How it is recorded; `None` for what the server itself tells of.
    #[must_use]
    pub fn recorded(self) -> Option<event::Deed> {
        match self {
            Deed::Start => Some(event::Deed::Start),
            Deed::Crash => Some(event::Deed::Crash),
            Deed::Pause => Some(event::Deed::Pause),
            Deed::Resume => Some(event::Deed::Resume),
            Deed::Stall => Some(event::Deed::Stall),
            Deed::Unstall => Some(event::Deed::Unstall),
            Deed::Campaign | Deed::Snapshot => None,
        }
    }
}

/// Deeds that are to be recorded when a server starts for the first time: what was done to its links before there were
/// any, and how the network is.
pub fn inherited<C: Cluster + ?Sized>(
    cluster: &C,
    new: NodeId,
    (loss, delay): (u8, Duration),
) -> Vec<(NodeId, event::Deed)> {
    let others = cluster.servers().into_iter().filter(|id| *id != new);
    let ways = others.flat_map(|other| [(new, other), (other, new)]);
    let cut = ways.filter(|(from, to)| cluster.is_cut(*from, *to));
    let mut deeds: Vec<(NodeId, event::Deed)> =
        cut.map(|(from, to)| (from, event::Deed::Cut { to })).collect();
    if loss > 0 {
        deeds.push((new, event::Deed::Lose { percent: loss }));
    }
    if !delay.is_zero() {
        deeds.push((new, slow(delay)));
    }
    deeds
}

/// Messages take so much longer.
#[must_use]
pub fn slow(delay: Duration) -> event::Deed {
    event::Deed::Slow { by_nanos: u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX) }
}

/// What a server is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A client's request.
    Client(Request),
    /// These members, in one change.
    Members {
        /// Who votes.
        voters: BTreeSet<NodeId>,
        /// Who is sent everything and does not vote.
        learners: BTreeSet<NodeId>,
    },
    /// To hand leadership over to this one.
    Transfer(NodeId),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The store's answer.
    Response(Response),
    /// An administrator's wish is fulfilled.
    Done(AdminDone),
    /// The replica's refusal, or its ignorance.
    Failed(Failure),
    /// It had no effect, for this reason.
    Refused(String),
    /// It may have had an effect, for this reason.
    Unknown(String),
}

/// Which messages are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From whom to whom; `None`: on all links.
    pub links: Option<BTreeSet<(NodeId, NodeId)>>,
    /// `None`: of all kinds.
    pub message: Option<Message>,
}

impl Filter {
    /// This message is meant.
    #[must_use]
    pub fn fits(&self, from: NodeId, to: NodeId, message: Message) -> bool {
        self.links.as_ref().is_none_or(|links| links.contains(&(from, to)))
            && self.message.is_none_or(|wanted| wanted == message)
    }
}

/// Names a held message; no two ever had the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldNumber(pub u64);

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub number: HeldNumber,
    /// Who sent it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// Its kind.
    pub message: Message,
    /// What is in it, in words: `term 2, 1 after 3`.
    pub gist: String,
}
