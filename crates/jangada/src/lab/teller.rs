//! Tells what happens while it happens: reads the events of all servers on a thread of its own, puts those that
//! somebody watches into words, and remembers what the prompt and `why` will want to know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, MembershipStage, RoleName};
use jangada_raft::types::{Index, NodeId, Term, Time};
use jangada_server::rig::Tap;
use jangada_sim::script::command::Kind;
use jangada_sim::script::watch;
use jangada_trace::names::Names;
use jangada_trace::phrases::since_start;
use jangada_trace::words::{Level, Words};

use super::voice::Voice;

/// Events that may wait to be told. What does not fit is counted, and left out.
const MAX_WAITING: usize = 65_536;
/// How long somebody waits until all is told.
const PATIENCE: Duration = Duration::from_secs(2);
/// Sentences that are remembered of each server.
const MAX_EVIDENCE: usize = 8;

/// The thread that tells.
pub struct Teller {
    reporter: Reporter,
    thread: Option<JoinHandle<()>>,
}

/// The way to the teller.
#[derive(Clone)]
pub struct Reporter {
    epoch: Instant,
    news: SyncSender<News>,
    known: Arc<Known>,
}

enum News {
    Happened(Record),
    Deed(Time, NodeId, String),
    /// New servers start, and are found here.
    Begin(u64, String),
    Watch(Vec<Kind>),
    Flush(SyncSender<()>),
    End,
}

/// What others may look at.
#[derive(Default)]
pub struct Known {
    standing: Mutex<Standing>,
    interrupted: AtomicBool,
    left_out: AtomicU64,
}

/// How things stand, as far as events tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who leads, in which term.
    pub leader: Option<(NodeId, Term)>,
    /// The highest term.
    pub term: Term,
    /// In a made-up world: what time it is there.
    pub now: Option<Time>,
    /// What happened to each server lately that explains how it is, oldest first.
    pub evidence: BTreeMap<NodeId, Vec<String>>,
}

impl Known {
    /// How things stand.
    pub fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever waits for something is to stop waiting.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Relaxed);
    }
}

impl Teller {
    /// A teller who speaks with this voice.
    ///
    /// # Errors
    /// The system gives no thread: a sentence.
    pub fn start(voice: Voice) -> Result<Teller, String> {
        let (news, inbox) = sync_channel(MAX_WAITING);
        let known = Arc::new(Known::default());
        let telling = Telling {
            voice,
            known: Arc::clone(&known),
            words: Words::new(Names::new()),
            watched: vec![Kind::Leaders, Kind::Elections, Kind::Members],
            leading: BTreeSet::new(),
            members: BTreeMap::new(),
        };
        let thread =
            std::thread::Builder::new().name("teller".to_owned()).spawn(move || telling.tell(&inbox));
        let thread = thread.map_err(|why| format!("no thread to tell what happens: {why}"))?;
        let reporter = Reporter { epoch: Instant::now(), news, known };
        Ok(Teller { reporter, thread: Some(thread) })
    }

    /// The way to it.
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// What others may look at.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.reporter.known)
    }

    /// Tells of these events from now on.
    pub fn watch(&self, kinds: &[Kind]) {
        self.reporter.send(News::Watch(kinds.to_vec()));
    }

    /// Waits until all is told that has happened.
    pub fn flush(&self) {
        let (done, told) = sync_channel(1);
        self.reporter.send(News::Flush(done));
        // A terminal that stands still must not hold up the laboratory.
        let _ = told.recv_timeout(PATIENCE);
    }
}

impl Reporter {
    /// Where time counts from.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// What each server shows its events to.
    pub fn tap(&self) -> Tap {
        let (news, known) = (self.news.clone(), Arc::clone(&self.known));
        Arc::new(move |record: &Record| {
            if news.try_send(News::Happened(*record)).is_err() {
                known.left_out.fetch_add(1, Relaxed);
            }
        })
    }

    /// Somebody did this to a server.
    pub fn deed(&self, id: NodeId, what: &str) {
        let now = Time(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.send(News::Deed(now, id, what.to_owned()));
    }

    /// New servers start, and are found at these addresses; what was is over.
    pub fn begin(&self, servers: u64, addresses: String) {
        self.send(News::Begin(servers, addresses));
    }

    /// Somebody interrupted what is under way. Asking forgets it.
    pub fn was_interrupted(&self) -> bool {
        self.known.interrupted.swap(false, Relaxed)
    }

    fn send(&self, news: News) {
        // The thread lives as long as this does.
        let _ = self.news.send(news);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.reporter.send(News::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Telling {
    voice: Voice,
    known: Arc<Known>,
    words: Words,
    watched: Vec<Kind>,
    leading: BTreeSet<NodeId>,
    /// The last configuration that each server told of.
    members: BTreeMap<NodeId, Record>,
}

impl Telling {
    fn tell(mut self, inbox: &Receiver<News>) {
        for news in inbox {
            match news {
                News::Happened(record) => self.happened(&record),
                News::Deed(time, id, what) => self.deed(time, id, &what),
                News::Begin(servers, addresses) => {
                    self.members = (1..=servers).map(|id| founded(NodeId(id), servers)).collect();
                    self.voice.say(&addresses);
                    self.words = Words::new(Names::new());
                    self.leading.clear();
                    *self.known.standing() = Standing::default();
                }
                News::Watch(kinds) => self.watched = kinds,
                News::Flush(done) => {
                    let _impatient = done.send(());
                }
                News::End => return,
            }
            let left_out = self.known.left_out.swap(0, Relaxed);
            if left_out > 0 {
                self.voice.say(&format!("({left_out} events came too quickly to be told)"));
            }
        }
    }

    fn happened(&mut self, record: &Record) {
        if let Some(evidence) = evidence(record) {
            let sentence = self.words.clone().sentence(record, Level::Trace).unwrap_or_default();
            self.remember(evidence, format!("{} {} {sentence}", since_start(record.time), record.node));
        }
        self.stand(record);
        let line = watch::line(&mut self.words, &self.watched, &mut self.leading, record);
        if let Some(line) = line.filter(|_| self.is_news(record)) {
            self.voice.say(&line);
        }
        self.remember_members(record);
    }

    /// All members report the same configuration: one of them will do.
    fn is_news(&self, record: &Record) -> bool {
        !matches!(record.event, Event::Raft(RaftEvent::MembershipChanged { .. }))
            || self.leading.contains(&record.node)
    }

    /// A server that restarts knows from its disk how many vote, though no event says so again.
    fn remember_members(&mut self, record: &Record) {
        match record.event {
            Event::Raft(RaftEvent::MembershipChanged { .. }) => {
                self.members.insert(record.node, *record);
            }
            Event::Disk(DiskEvent::Opened { .. }) => {
                if let Some(known) = self.members.get(&record.node).or(self.members.values().next()) {
                    let known = Record { node: record.node, ..*known };
                    let _remembered = self.words.sentence(&known, Level::Warn);
                }
            }
            Event::Raft(_) | Event::Disk(_) | Event::Net(_) | Event::Client(_) => {}
        }
    }

    fn deed(&mut self, time: Time, id: NodeId, what: &str) {
        self.voice.say(&format!("{:<7} {:<6} {what}", since_start(time), id.to_string()));
        let mut standing = self.known.standing();
        standing.evidence.remove(&id);
        if what == "power off" && standing.leader.is_some_and(|(leader, _)| leader == id) {
            standing.leader = None;
        }
    }

    fn remember(&self, of: NodeId, sentence: String) {
        let mut standing = self.known.standing();
        let evidence = standing.evidence.entry(of).or_default();
        evidence.push(sentence);
        if evidence.len() > MAX_EVIDENCE {
            evidence.remove(0);
        }
    }

    fn stand(&self, record: &Record) {
        let Event::Raft(RaftEvent::RoleChanged { role, term, .. }) = record.event else { return };
        let mut standing = self.known.standing();
        standing.term = standing.term.max(term);
        let leads = standing.leader.is_some_and(|(leader, _)| leader == record.node);
        if role == RoleName::Leader && standing.leader.is_none_or(|(_, known)| known < term) {
            standing.leader = Some((record.node, term));
        } else if leads && role != RoleName::Leader {
            standing.leader = None;
        }
    }
}

/// What a founding member knows of its configuration before there is an entry for it.
fn founded(node: NodeId, servers: u64) -> (NodeId, Record) {
    let event = RaftEvent::MembershipChanged {
        index: Index::ZERO,
        stage: MembershipStage::Final,
        voters: u32::try_from(servers).unwrap_or(u32::MAX),
        learners: 0,
    };
    (node, Record { time: Time::ZERO, node, seq: 0, event: Event::Raft(event) })
}

/// Whose state this event helps to explain.
fn evidence(record: &Record) -> Option<NodeId> {
    let Event::Raft(event) = &record.event else { return None };
    // Not a dispatch: the few events that give a reason.
    match event {
        RaftEvent::VoteRefused { to, .. } => Some(*to),
        RaftEvent::RoleChanged { .. }
        | RaftEvent::Truncated { .. }
        | RaftEvent::LogConflict { .. }
        | RaftEvent::ReadRefused { .. }
        | RaftEvent::ProposalRefused { .. } => Some(record.node),
        _ => None,
    }
}
