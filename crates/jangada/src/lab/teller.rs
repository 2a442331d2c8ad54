//! Tells what happens while it happens: reads the events of all servers on a thread of its own, puts those that
//! somebody watches into words, and remembers what the prompt and `why` will want to know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, MembershipStage, RoleChange, RoleName};
use jangada_raft::types::{Index, NodeId, Time};
use jangada_server::rig::Tap;
use jangada_sim::script::command::Kind;
use jangada_sim::script::watch;
use jangada_trace::language::Language;
use jangada_trace::names::Names;
use jangada_trace::phrases::since_start;
use jangada_trace::say;
use jangada_trace::words::{Level, Words};

use super::known::Known;
use super::voice::Voice;

/// Events that may wait to be told. What does not fit is counted, and left out.
const MAX_WAITING: usize = 65_536;
/// How long somebody waits until all is told.
const PATIENCE: Duration = Duration::from_secs(2);

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
    language: Language,
}

enum News {
    Happened(Record),
    /// Somebody did this to a server.
    Deed {
        time: Time,
        id: NodeId,
        is_off: bool,
        what: String,
    },
    /// New servers start, and are found here.
    Begin(u64, String),
    /// Something about the laboratory itself.
    Remark(String),
    Watch(Vec<Kind>),
    Flush(SyncSender<()>),
    End,
}

impl Teller {
    /// A teller who speaks with this voice.
    ///
    /// # Errors
    /// The system gives no thread: a sentence.
    pub fn start(voice: Voice) -> Result<Teller, String> {
        let language = voice.language();
        let (news, inbox) = sync_channel(MAX_WAITING);
        let known = Arc::new(Known::default());
        let telling = Telling {
            voice,
            known: Arc::clone(&known),
            words: Words::new(Names::new()).in_language(language),
            watched: vec![Kind::Leaders, Kind::Elections, Kind::Members],
            leading: BTreeSet::new(),
            members: BTreeMap::new(),
            campaigns: Campaigns::default(),
        };
        let thread =
            std::thread::Builder::new().name("teller".to_owned()).spawn(move || telling.tell(&inbox));
        let thread = thread.map_err(|why| say!(language, "no thread to tell what happens: {why}", why))?;
        let reporter = Reporter { epoch: Instant::now(), news, known, language };
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

    /// What is told in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What each server shows its events to.
    pub fn tap(&self) -> Tap {
        let (news, known) = (self.news.clone(), Arc::clone(&self.known));
        Arc::new(move |record: &Record| {
            if news.try_send(News::Happened(*record)).is_err() {
                known.leave_out();
            }
        })
    }

    /// Somebody did this to a server, and it is off now, or not.
    pub fn deed(&self, id: NodeId, is_off: bool, what: &str) {
        let now = Time(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.send(News::Deed { time: now, id, is_off, what: what.to_owned() });
    }

    /// New servers start, and are found at these addresses; what was is over.
    pub fn begin(&self, servers: u64, addresses: String) {
        self.send(News::Begin(servers, addresses));
    }

    /// Something happened to the laboratory itself.
    pub fn remark(&self, what: &str) {
        self.send(News::Remark(what.to_owned()));
    }

    /// Somebody interrupted what is under way. Asking forgets it.
    pub fn was_interrupted(&self) -> bool {
        self.known.was_interrupted()
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
    campaigns: Campaigns,
}

/// Servers that campaign, and how many times in a row: one that is cut off would fill the screen with it.
#[derive(Default)]
struct Campaigns(BTreeMap<NodeId, (RoleName, u64)>);

impl Campaigns {
    /// Of the same over and over again every tenth time is told, with how many they were.
    const EACH: u64 = 10;

    /// How many times in a row a server has begun the campaign that this record tells of; 0 if it tells of none.
    fn times(&mut self, record: &Record) -> u64 {
        match record.event {
            Event::Raft(RaftEvent::RoleChanged { role, why, .. }) => {
                let (before, times) = self.0.entry(record.node).or_insert((role, 0));
                let again = *before == role && why == RoleChange::ElectionTimeout;
                (*before, *times) = (role, if again { *times + 1 } else { 1 });
                *times
            }
            Event::Disk(DiskEvent::Opened { .. }) => {
                self.0.remove(&record.node);
                0
            }
            Event::Raft(_) | Event::Disk(_) | Event::Net(_) | Event::Client(_) | Event::Deed(_) => 0,
        }
    }
}

impl Telling {
    fn tell(mut self, inbox: &Receiver<News>) {
        for news in inbox {
            match news {
                News::Happened(record) => self.happened(&record),
                News::Deed { time, id, is_off, what } => self.deed(time, id, is_off, &what),
                News::Begin(servers, addresses) => {
                    self.members = (1..=servers).map(|id| founded(NodeId(id), servers)).collect();
                    self.voice.say(&addresses);
                    self.words = Words::new(Names::new()).in_language(self.voice.language());
                    self.leading.clear();
                    self.campaigns = Campaigns::default();
                    self.known.forget();
                }
                News::Remark(what) => self.voice.say(&what),
                News::Watch(kinds) => self.watched = kinds,
                News::Flush(done) => {
                    let _impatient = done.send(());
                }
                News::End => return,
            }
            let left_out = self.known.take_left_out();
            if left_out > 0 {
                self.voice.say(&say!(
                    self.voice.language(),
                    "({left_out} events came too quickly to be told)",
                    left_out
                ));
            }
        }
    }

    fn happened(&mut self, record: &Record) {
        self.known.happened(&self.words, record);
        let line = watch::line(&mut self.words, &self.watched, &mut self.leading, record);
        let times = self.campaigns.times(record);
        if let Some(line) = line.filter(|_| self.is_news(record)) {
            match times {
                0 | 1 => self.voice.say(&line),
                _ if times.is_multiple_of(Campaigns::EACH) => {
                    let language = self.voice.language();
                    self.voice.say(&say!(language, "{line} ({times} times in a row)", line, times));
                }
                _ => {}
            }
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
            Event::Raft(_) | Event::Disk(_) | Event::Net(_) | Event::Client(_) | Event::Deed(_) => {}
        }
    }

    fn deed(&mut self, time: Time, id: NodeId, is_off: bool, what: &str) {
        self.voice.say(&format!("{:<7} {:<6} {what}", since_start(time), id.to_string()));
        self.known.befell(id, is_off);
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

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_raft::types::Term;

    #[test]
    fn campaigns_in_a_row_are_counted() {
        let mut campaigns = Campaigns::default();
        let mut times = |node, role, why| {
            let event = Event::Raft(RaftEvent::RoleChanged { role, term: Term(1), why });
            campaigns.times(&Record { time: Time::ZERO, node: NodeId(node), seq: 1, event })
        };
        use RoleChange::{ElectionTimeout, LeaderFound, PreVoteWon};
        use RoleName::{Candidate, Follower, PreCandidate};
        for expected in 1..=3 {
            assert_eq!(times(4, PreCandidate, ElectionTimeout), expected);
        }
        assert_eq!(times(2, PreCandidate, ElectionTimeout), 1, "another server");
        assert_eq!(times(4, Candidate, PreVoteWon), 1);
        assert_eq!(times(4, PreCandidate, ElectionTimeout), 1, "it had become something else");
        assert_eq!(times(4, Follower, LeaderFound), 1);
        assert_eq!(times(4, PreCandidate, ElectionTimeout), 1);
        assert_eq!(times(2, PreCandidate, ElectionTimeout), 2);
    }
}
