//! Real servers as a cluster that commands are carried out on: threads, sockets and disks of this machine.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use jangada_kv::command::{Command as KvCommand, Reply};
use jangada_kv::{Request, Response};
use jangada_node::effect::Token;
use jangada_node::event::{self, Record};
use jangada_node::kv_machine::KvMachine;
use jangada_node::replica::Replica;
use jangada_raft::types::{NodeId, Term, Time};
use jangada_server::config::{LogStyle, ServerConfig};
use jangada_server::handle::Handle;
use jangada_server::rig::{RigRequest, Tap};
use jangada_server::{Rig, Weather};
use jangada_sim::script::cluster::{Answer, Ask, Cluster, Deed, MAX_SERVERS, Setup, View, inherited, slow};
use jangada_trace::language::Language;
use jangada_trace::say;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::asking;
use super::deeds::Account;
use super::house::{Folder, Last, Ports};
use super::log;
use super::page::Eye;
use super::server::{self, Server};
use super::teller::Reporter;
use super::timeline::Reel;

/// How long a server may take to show itself; one that takes longer shows what it was.
const GLANCE: Duration = Duration::from_millis(500);
/// Between two looks at the servers while a command waits for something.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// A view is good for so long: a condition that looks at all servers looks at one moment.
const FRESH: Duration = Duration::from_millis(2);

/// The servers, and what they need.
pub struct Live {
    ports: Ports,
    folder: Folder,
    teller: Reporter,
    /// What happened last.
    reel: Reel,
    /// What was done to the servers.
    account: Account,
    /// Where each server records everything, if that is wanted.
    record: Option<PathBuf>,
    epoch: Instant,
    weather: Weather,
    setup: Setup,
    servers: BTreeMap<NodeId, Option<Server>>,
    views: RefCell<Views>,
    runtime: Runtime,
    answers: (Sender<Heard>, Receiver<Heard>),
    remarks: BTreeMap<Token, String>,
    eye: Option<Eye>,
}

/// What came of a request, with what can be said about it.
pub struct Heard {
    /// Whose.
    pub token: Token,
    /// The answer.
    pub answer: Answer,
    /// Where it went, and how long that took.
    pub remark: Option<String>,
}

/// What the servers showed last.
#[derive(Default)]
struct Views {
    taken: Option<Instant>,
    last: BTreeMap<NodeId, View<'static>>,
}

impl Live {
    /// A laboratory without servers.
    ///
    /// # Errors
    /// The system gives no threads: a sentence.
    pub fn new(ports: Ports, folder: Folder, teller: Reporter) -> Result<Live, String> {
        let language = teller.language();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        Ok(Live {
            ports,
            folder,
            epoch: teller.epoch(),
            teller,
            reel: Reel::default(),
            account: Account::default(),
            record: None,
            weather: Weather::fair(),
            setup: Setup::new(0),
            servers: BTreeMap::new(),
            views: RefCell::default(),
            runtime: runtime.map_err(|why| say!(language, "no runtime: {why}", why))?,
            answers: channel(),
            remarks: BTreeMap::new(),
            eye: None,
        })
    }

    /// Everything is shown to this eye, too. Before the servers start.
    pub fn show_to(&mut self, eye: Eye) {
        self.eye = Some(eye);
    }

    /// Each server writes everything that happens into a file of its own in this folder, and what is done to them goes
    /// into another one.
    ///
    /// # Errors
    /// It cannot be written: a sentence.
    pub fn record_in(&mut self, folder: Option<PathBuf>) -> Result<(), String> {
        folder.iter().try_for_each(|folder| self.account.write_into(folder))?;
        // With this end it is a folder, though nothing is there yet.
        self.record = folder.map(|folder| folder.join(""));
        Ok(())
    }

    /// Somebody does this to a server or to its links.
    fn note(&mut self, id: NodeId, deed: event::Deed) {
        let feed = self.eye.as_ref().map(Eye::feed);
        self.account.note(self.now(), id, deed, Some((&self.reel, feed)));
    }

    /// What happened last.
    pub fn reel(&self) -> &Reel {
        &self.reel
    }

    /// Where the servers' clients connect.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Where each founding member's clients connect, in a line.
    fn addresses(&self) -> String {
        let ids = (1..=self.setup.servers).map(NodeId);
        let address = |id: NodeId| match id.0 {
            1 => format!("  {id} {}", self.ports.client(id)),
            _ => format!("  {id} :{}", self.ports.client(id).port()),
        };
        ids.map(address).collect::<Vec<_>>().join(" ")
    }

    /// The disks of the last time are not gone on with.
    pub fn forget_disks(&mut self) {
        self.folder.forget();
    }

    /// The network between them.
    pub fn network(&self) -> &Weather {
        &self.weather
    }

    /// What a server has in its log, a line for each of the last entries.
    pub fn log_lines(&self, id: NodeId) -> Vec<String> {
        let language = self.language();
        self.look(id, move |replica| log::lines(language, replica.raft()))
            .unwrap_or_else(|| vec![say!(self.language(), "{id} does not show its log now", id)])
    }

    /// All servers end at once.
    pub fn end(&mut self) {
        for server in std::mem::take(&mut self.servers).into_values().flatten() {
            server.crash();
        }
        self.forget_views();
    }

    fn config(&self, id: NodeId) -> ServerConfig {
        let founders = (1..=self.setup.servers).map(NodeId);
        let raft = &self.setup.raft;
        ServerConfig {
            listen_client: self.ports.client(id),
            listen_peer: self.ports.peer(id),
            peers: founders.map(|id| (id.to_string(), self.ports.peer(id).to_string())).collect(),
            heartbeat: raft.heartbeat_interval,
            election_timeout_min: raft.election_timeout_min,
            election_timeout_max: raft.election_timeout_max,
            // The first number that chance draws is different for each server, whatever the seed.
            seed: (self.setup.seed != 1).then(|| self.setup.seed.wrapping_mul(MAX_SERVERS) + id.0),
            snapshot_after_bytes: self.setup.replica.snapshot_after_bytes,
            log: LogStyle::Quiet,
            record: self.record.clone(),
            rig: Some(Rig {
                epoch: self.epoch,
                tap: self.tap(),
                weather: self.weather.clone(),
                raft: Some(raft.clone()),
            }),
            ..ServerConfig::single(&id.to_string(), self.folder.disk(id))
        }
    }

    fn tap(&self) -> Tap {
        let teller = self.reel.tap(self.teller.tap());
        self.eye.as_ref().map_or_else(|| Arc::clone(&teller), |eye| eye.feed().tap(Arc::clone(&teller)))
    }

    fn start(&mut self, id: NodeId) -> Result<(), String> {
        let server = server::start(self.config(id)).and_then(server::Starting::wait);
        let server = server.map_err(|why| {
            say!(self.language(), "{id} does not start: {why}", id, why = self.language().of(&why))
        })?;
        self.servers.insert(id, Some(server));
        Ok(())
    }

    fn running(&mut self, id: NodeId) -> Result<&mut Server, String> {
        let language = self.language();
        let server = self.servers.get_mut(&id).and_then(Option::as_mut);
        server.ok_or_else(|| say!(language, "{id} does not run", id))
    }

    fn handle(&self, id: NodeId) -> Option<&Handle> {
        self.servers.get(&id)?.as_ref().map(Server::handle)
    }

    fn handles(&self) -> BTreeMap<NodeId, Handle> {
        let running = self.servers.iter().filter_map(|(id, server)| Some((*id, server.as_ref()?)));
        running
            .filter(|(_, server)| !server.is_paused())
            .map(|(id, server)| (id, server.handle().clone()))
            .collect()
    }

    /// What `look` sees of a running server; `None` if it does not show itself.
    fn look<T: Send + 'static>(
        &self,
        id: NodeId,
        look: impl FnOnce(&Replica<KvMachine>) -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_paused(id) {
            return None;
        }
        let seen = self.handle(id)?.look(look).ok()?;
        self.runtime.block_on(async { timeout(GLANCE, seen).await }).ok()?.ok()
    }

    /// What `look` sees of all servers that run and answer in time, asked all at once.
    pub fn look_at_all<T: Send + 'static>(
        &self,
        look: impl Fn(&Replica<KvMachine>) -> T + Clone + Send + 'static,
    ) -> Vec<(NodeId, T)> {
        let asked = self.handles().into_iter();
        let asked: Vec<_> =
            asked.filter_map(|(id, handle)| Some((id, handle.look(look.clone()).ok()?))).collect();
        self.runtime.block_on(async {
            let mut seen = Vec::new();
            for (id, answer) in asked {
                if let Ok(Ok(answer)) = timeout(GLANCE, answer).await {
                    seen.push((id, answer));
                }
            }
            seen
        })
    }

    fn forget_views(&self) {
        self.views.borrow_mut().taken = None;
    }

    /// Looks at all servers at once, unless that was just done.
    fn refresh(&self) {
        let mut views = self.views.borrow_mut();
        if views.taken.is_some_and(|taken| taken.elapsed() < FRESH) {
            return;
        }
        let seen = self.look_at_all(photo);
        views.last.extend(seen);
        views.taken = Some(Instant::now());
    }

    /// Servers that ended by themselves are down.
    fn bury(&mut self) {
        let ended = |server: &Option<Server>| server.as_ref().is_some_and(Server::has_ended);
        let ids: Vec<NodeId> =
            self.servers.iter().filter(|(_, server)| ended(server)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(server) = self.servers.get_mut(&id).and_then(Option::take) {
                self.note(id, event::Deed::Crash);
                self.teller.deed(
                    id,
                    true,
                    &say!(self.language(), "stops: {why}", why = self.language().of(&server.join())),
                );
            }
        }
    }
}

/// What a replica shows of itself.
fn photo(replica: &Replica<KvMachine>) -> View<'static> {
    let raft = replica.raft();
    View {
        id: raft.id(),
        role: raft.role_name(),
        term: raft.term(),
        voted_for: raft.voted_for(),
        leader: raft.leader(),
        leader_last_heard: raft.leader_last_heard(),
        rules: raft.has_committed_own_term(),
        first_index: raft.first_index(),
        last_index: raft.last_index(),
        last_term: raft.last_term(),
        commit_index: raft.commit_index(),
        applied: (!replica.is_restoring()).then(|| replica.last_applied()),
        snapshot: raft.snapshot_meta().last_included_index,
        membership: Cow::Owned(raft.membership().clone()),
        membership_index: raft.membership_index(),
        membership_is_committed: raft.committed_membership() == raft.membership(),
    }
}

impl Cluster for Live {
    fn language(&self) -> Language {
        self.teller.language()
    }

    fn found(&mut self, setup: &Setup) -> Result<(), String> {
        if !setup.logs.is_empty() {
            return Err(say!(
                self.language(),
                "real servers begin with empty logs: only simulated ones can be given others"
            ));
        }
        let running: Vec<NodeId> = self.handles().into_keys().collect();
        self.end();
        self.account.end_all(self.now(), &running);
        let now = Last { servers: setup.servers, base: self.ports.base() };
        let goes_on = self.folder.last() == Some(now);
        if !goes_on && let Some(path) = self.folder.clear()? {
            let path = path.display();
            self.teller.remark(&say!(
                self.language(),
                "the disks of the last time are in {path} now: `--keep --data-dir {path}` goes on with them",
                path
            ));
        }
        self.folder.note(now)?;
        self.servers.clear();
        self.reel.clear();
        self.views.replace(Views::default());
        self.weather.heal_all();
        self.setup = setup.clone();
        self.teller.begin(setup.servers, self.addresses());
        let mut starting = Vec::new();
        let mut ids: Vec<NodeId> = (1..=setup.servers).map(NodeId).collect();
        if goes_on {
            // Others may have joined, and some may have been gone.
            ids = (1..=MAX_SERVERS).map(NodeId).filter(|id| self.folder.disk(*id).exists()).collect();
        }
        for id in ids {
            if self.account.standing().is_down(id) {
                self.account.note(self.now(), id, event::Deed::Start, None);
            }
            starting.push((id, server::start(self.config(id))?));
        }
        for (id, server) in starting {
            let server = server.wait().map_err(|why| {
                say!(self.language(), "{id} does not start: {why}", id, why = self.language().of(&why))
            })?;
            self.servers.insert(id, Some(server));
        }
        Ok(())
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn pass(&mut self, until: Time) -> Result<bool, String> {
        if self.teller.was_interrupted() {
            return Err(say!(self.language(), "interrupted"));
        }
        self.bury();
        self.eye.iter().for_each(|eye| eye.glance(self));
        let left = until.since(self.now());
        if left.is_zero() {
            return Ok(false);
        }
        let answer = self.answers.1.recv_timeout(left.min(LOOK_AGAIN));
        if let Ok(answer) = answer {
            // It is handed out by `take_answers`.
            let _ours = self.answers.0.send(answer);
        }
        self.forget_views();
        Ok(true)
    }

    /// The teller tells them as they happen.
    fn take_records(&mut self) -> Vec<Record> {
        Vec::new()
    }

    fn take_answers(&mut self) -> Vec<(Token, Answer)> {
        let heard: Vec<Heard> = self.answers.1.try_iter().collect();
        let mut answers = Vec::new();
        for Heard { token, answer, remark } in heard {
            if let Some(remark) = remark {
                self.remarks.insert(token, remark);
            }
            answers.push((token, answer));
        }
        answers
    }

    fn take_remark(&mut self, token: Token) -> Option<String> {
        self.remarks.remove(&token)
    }

    fn servers(&self) -> Vec<NodeId> {
        self.servers.keys().copied().collect()
    }

    fn is_paused(&self, id: NodeId) -> bool {
        self.servers.get(&id).and_then(Option::as_ref).is_some_and(Server::is_paused)
    }

    fn view(&self, id: NodeId) -> Option<View<'_>> {
        self.handle(id)?;
        self.refresh();
        self.views.borrow().last.get(&id).cloned()
    }

    fn log_terms(&self, id: NodeId) -> Vec<Term> {
        let terms = |replica: &Replica<KvMachine>| {
            let raft = replica.raft();
            raft.entries(raft.first_index()..=raft.last_index()).map(|entry| entry.term).collect()
        };
        self.look(id, terms).unwrap_or_default()
    }

    fn value(&self, id: NodeId, key: &str) -> Option<Vec<u8>> {
        let get = Request::Command(KvCommand::Get { key: key.as_bytes().to_vec().into() });
        let read = move |replica: &Replica<KvMachine>| {
            let store = &replica.state().store;
            match store.read(store.clock(), &get) {
                Response::Reply(Reply::Value(value)) => Some(value.to_vec()),
                _ => None,
            }
        };
        self.look(id, read).flatten()
    }

    fn befall(&mut self, id: NodeId, deed: Deed) -> Result<(), String> {
        self.forget_views();
        let unheard = |why: jangada_server::handle::RequestError| format!("{id}: {why}");
        match deed {
            Deed::Start => {
                let known = self.servers.contains_key(&id);
                // Before anything that it does itself.
                self.note(id, event::Deed::Start);
                if let Err(why) = self.start(id) {
                    self.note(id, event::Deed::Crash);
                    return Err(why);
                }
                if !known {
                    let inherited = inherited(self, id, self.weather.everywhere());
                    inherited.into_iter().for_each(|(node, deed)| self.note(node, deed));
                }
                if known {
                    self.teller.deed(id, false, &say!(self.language(), "starts on the disk that it left"));
                } else {
                    let address = self.ports.client(id);
                    self.teller.deed(
                        id,
                        false,
                        &say!(
                            self.language(),
                            "starts with an empty disk; its clients connect to {address}",
                            address
                        ),
                    );
                }
            }
            Deed::Crash => {
                if let Some(server) = self.servers.get_mut(&id).and_then(Option::take) {
                    server.crash();
                }
                self.note(id, event::Deed::Crash);
                self.teller.deed(id, true, &say!(self.language(), "power off"));
            }
            Deed::Pause => {
                // So that it can be shown as it was.
                self.refresh();
                self.running(id)?.pause().map_err(|why| format!("{id}: {why}"))?;
                self.note(id, event::Deed::Pause);
                self.teller.deed(id, false, &say!(self.language(), "stands still"));
            }
            Deed::Resume => {
                self.note(id, event::Deed::Resume);
                self.running(id)?.resume();
                self.teller.deed(id, false, &say!(self.language(), "goes on"));
            }
            Deed::Campaign => self.running(id)?.handle().rig(RigRequest::Campaign).map_err(unheard)?,
            Deed::Snapshot => self.running(id)?.handle().rig(RigRequest::TakeSnapshot).map_err(unheard)?,
            Deed::Stall | Deed::Unstall => {
                return Err(say!(
                    self.language(),
                    "a real disk cannot be stalled: `pause` lets the whole server stand still"
                ));
            }
        }
        Ok(())
    }

    fn ask(&mut self, at: NodeId, token: Token, ask: Ask) -> Result<(), String> {
        let handles = self.handles();
        let Some(asked) = handles.get(&at).cloned() else {
            return Err(say!(
                self.language(),
                "{at} stands still: `resume {number}`, or ask another one",
                at,
                number = at.0
            ));
        };
        let answers = self.answers.0.clone();
        let (ports, epoch) = (self.new_members(&ask), self.epoch);
        let question =
            asking::Question { at, asked, handles, ask, new: ports, epoch, language: self.language() };
        std::thread::Builder::new()
            .name("client".to_owned())
            .spawn(move || {
                let (answer, remark) = asking::carry_out(question);
                // Nobody waits any more when the laboratory ends.
                let _gone = answers.send(Heard { token, answer, remark });
            })
            .map(|_| ())
            .map_err(|why| say!(self.language(), "no thread for the request: {why}", why))
    }

    fn set_link(&mut self, from: NodeId, to: NodeId, works: bool) -> Result<(), String> {
        let there = |id| self.servers.contains_key(&id);
        if from != to && there(from) && there(to) && self.is_cut(from, to) == works {
            let deed = if works { event::Deed::Mend { to } } else { event::Deed::Cut { to } };
            self.note(from, deed);
        }
        if works {
            self.weather.heal(from, to)
        } else {
            self.weather.cut(from, to)
        }
        Ok(())
    }

    fn set_loss(&mut self, percent: u8) -> Result<(), String> {
        if self.weather.everywhere().0 != percent {
            self.servers().into_iter().for_each(|id| self.note(id, event::Deed::Lose { percent }));
        }
        self.weather.lose(None, percent);
        Ok(())
    }

    fn set_delay(&mut self, delay: Duration) -> Result<(), String> {
        if self.weather.everywhere().1 != delay {
            self.servers().into_iter().for_each(|id| self.note(id, slow(delay)));
        }
        self.weather.slow(None, delay);
        Ok(())
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.weather.is_cut(from, to)
    }
}

impl Live {
    /// Where those are found who would be members then.
    fn new_members(&self, ask: &Ask) -> BTreeMap<NodeId, asking::Addresses> {
        let wanted = match ask {
            Ask::Members { voters, learners } => voters.union(learners).copied().collect(),
            Ask::Client(_) | Ask::Transfer(_) => Vec::new(),
        };
        let known = wanted.into_iter().filter(|id| (1..=MAX_SERVERS).contains(&id.0));
        known
            .map(|id| {
                let peer = self.ports.peer(id).to_string();
                (id, asking::Addresses { peer, client: self.ports.client(id).to_string() })
            })
            .collect()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}
