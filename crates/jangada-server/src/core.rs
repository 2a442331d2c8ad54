//! The replica with what surrounds it on its thread: links, log, clients' answers, the readers of events.
//!
//! Nothing is decided here. `replica_thread.rs` waits and calls; this file carries inputs in and effects out.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use jangada_kv::{Changes, Page};
use jangada_node::book::Book;
use jangada_node::effect::{Effect, Failure, Input, MAX_FORWARDED_ANSWERS_BYTES, Token};
use jangada_node::event::{Event, NetEvent, Record};
use jangada_node::frame::Frame;
use jangada_node::log_writer::{LogDone, LogJob};
use jangada_node::replica::Replica;
use jangada_raft::event::{Event as RaftEvent, RoleName};
use jangada_raft::message::Rpc;
use jangada_raft::types::{NodeId, Time};
use tokio::sync::oneshot;

use crate::admin::AdminDesk;
use crate::caught_up::{CaughtUp, Standing};
use crate::error::ServerError;
use crate::event_log::EventLog;
use crate::handle::{Answers, Batch, BatchItem, ChangesRequest, Kind, PageRequest, RequestError};
use crate::log_thread::{LogReport, LogThread};
use crate::peer::accept::PeerBatch;
use crate::peer::directory::Directory;
use crate::peer::handshake::Position;
use crate::peer::link::{LinkNews, LinkState, Links};
use crate::post::ReplyTo;
use crate::promises::Lookout;
use crate::rig::RigRequest;
use crate::round_trips::RoundTrips;
use crate::status::StatusBoard;
use jangada_node::kv_machine::KvMachine;

/// A fresh status is published this often while anything happens.
const STATUS_INTERVAL: Duration = Duration::from_millis(50);

/// Everything on the replica thread.
pub(crate) struct Core {
    pub(crate) replica: Replica<KvMachine>,
    pub(crate) links: Links,
    pub(crate) directory: Directory,
    pub(crate) desk: AdminDesk,
    pub(crate) lookout: Lookout,
    /// Where its time counts from.
    pub(crate) epoch: Instant,
    pub(crate) started: Instant,
    /// When each peer was last heard.
    pub(crate) heard: BTreeMap<NodeId, Instant>,
    /// Since when there is no leader, as far as we know.
    pub(crate) leaderless_since: Option<Instant>,
    pub(crate) max_request_bytes: usize,
    round_trips: RoundTrips,
    /// Peers that opened a link to us though our configuration does not name them (yet).
    callers: BTreeMap<NodeId, String>,
    /// This server has founded the cluster and has yet to campaign.
    founder: bool,
    caught_up: CaughtUp,
    log: LogThread,
    clients: HashMap<Token, Waiting>,
    next_token: u64,
    effects: Vec<Effect<KvMachine>>,
    events: Vec<Event>,
    jobs: Vec<LogJob>,
    event_log: EventLog,
    board: StatusBoard,
    next_status: Instant,
    seq: u64,
}

struct Waiting {
    kind: Kind,
    reply: ReplyTo,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) replica: Replica<KvMachine>,
    pub(crate) links: Links,
    pub(crate) directory: Directory,
    pub(crate) log: LogThread,
    pub(crate) event_log: EventLog,
    pub(crate) board: StatusBoard,
    pub(crate) epoch: Instant,
    pub(crate) started: Instant,
    pub(crate) max_request_bytes: usize,
    /// This server has founded the cluster just now, and need not wait for an election timeout.
    pub(crate) founder: bool,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Core {
        let round_trips = RoundTrips::new(parts.directory.meters());
        let mut core = Core {
            caught_up: CaughtUp::default(),
            replica: parts.replica,
            links: parts.links,
            directory: parts.directory,
            desk: AdminDesk::default(),
            lookout: Lookout::default(),
            epoch: parts.epoch,
            started: parts.started,
            heard: BTreeMap::new(),
            leaderless_since: None,
            max_request_bytes: parts.max_request_bytes,
            round_trips,
            callers: BTreeMap::new(),
            founder: parts.founder,
            log: parts.log,
            clients: HashMap::new(),
            next_token: 1,
            effects: Vec::new(),
            events: Vec::new(),
            jobs: Vec::new(),
            event_log: parts.event_log,
            board: parts.board,
            next_status: parts.started,
            seq: 0,
        };
        core.follow_membership();
        if core.founder {
            core.campaign_as_founder();
        }
        core
    }

    pub(crate) fn now(&self) -> Time {
        Time(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// When the clock will next be of interest.
    pub(crate) fn next_wake(&self) -> Instant {
        let deadline = self.epoch.checked_add(Duration::from_nanos(self.replica.next_deadline().0));
        let latest = self.next_status + STATUS_INTERVAL;
        deadline.map_or(latest, |deadline| deadline.min(latest))
    }

    pub(crate) fn on_batch(&mut self, batch: Batch) {
        let token = self.token();
        let Batch { kind, requests, reply, .. } = batch;
        if kind == Kind::Local {
            return reply.send(self.own_answers(&requests));
        }
        let (mut commands, mut queries) = (Vec::new(), Vec::new());
        match kind {
            Kind::Write => commands.reserve(requests.len()),
            Kind::Read | Kind::Local => queries.reserve(requests.len()),
        }
        for request in requests {
            match request {
                BatchItem::Write { encoded } => commands.push(encoded),
                BatchItem::Read(query) => queries.push(query),
            }
        }
        self.clients.insert(token, Waiting { kind, reply });
        let input = match kind {
            Kind::Write => Input::Writes { token, commands },
            Kind::Read | Kind::Local => Input::Reads { token, queries },
        };
        self.replica.handle(self.now(), input);
    }

    /// What this server's own store says, whoever leads.
    fn own_answers(&self, requests: &[BatchItem]) -> Answers {
        let store = &self.replica.state().store;
        let answers = requests.iter().map(|request| match request {
            BatchItem::Read(query) => Ok(store.read(store.clock(), query)),
            BatchItem::Write { .. } => Err(RequestError::Bad("a write goes through the log".to_owned())),
        });
        answers.collect()
    }

    /// A watch asks what has happened.
    pub(crate) fn on_changes(
        &self,
        request: ChangesRequest,
        reply: oneshot::Sender<Result<Changes, jangada_kv::Error>>,
    ) {
        let ChangesRequest { from, enough, enough_bytes } = request;
        // Whoever has gone meanwhile does not mind.
        let _gone = reply.send(self.replica.state().store.some_changes(from, enough, enough_bytes));
    }

    /// A copy or a hash of the whole store goes on.
    pub(crate) fn on_page(
        &self,
        request: &PageRequest,
        reply: oneshot::Sender<Result<Page, jangada_kv::Error>>,
    ) {
        let PageRequest { revision, from, enough, enough_bytes } = request;
        let _gone = reply.send(self.replica.state().store.page(*revision, from, *enough, *enough_bytes));
    }

    pub(crate) fn on_peer_batch(&mut self, batch: PeerBatch) {
        let PeerBatch { from, address, frames } = batch;
        let now = Instant::now();
        let before = self.heard.insert(from, now);
        if before.is_none_or(|before| now.duration_since(before) >= self.patience()) {
            // Who has come, or come back, is told of at once: a photograph shall not show fewer than there are.
            self.next_status = now;
        }
        if self.callers.get(&from) != Some(&address) {
            self.callers.insert(from, address);
            self.follow_membership();
        }
        let now = self.now();
        for frame in frames {
            self.round_trips.hears(now, from, &frame);
            if let Frame::Raft(message) = &frame
                && let Rpc::AppendEntries(append) = &message.rpc
            {
                self.caught_up.hears(message.term, append.leader_commit);
            }
            self.replica.handle(now, Input::Peer(from, frame));
        }
    }

    pub(crate) fn on_log_report(&mut self, report: LogReport) -> Result<(), ServerError> {
        self.log.reported(&report);
        self.on_log_outcome(report.outcome)
    }

    fn on_log_outcome(
        &mut self,
        outcome: Result<Vec<LogDone>, jangada_wal::Error>,
    ) -> Result<(), ServerError> {
        let done = outcome.map_err(|why| match ServerError::from(why) {
            ServerError::Disk(why) => ServerError::Disk(format!(
                "{why}. What is on the disk can only be known by reading it: this server stops, and looks \
                 when it is started again"
            )),
            other => other,
        })?;
        let now = self.now();
        for done in done {
            self.replica.handle(now, Input::Log(done));
        }
        Ok(())
    }

    pub(crate) fn on_link_news(&mut self, news: LinkNews) -> Result<(), ServerError> {
        match news {
            LinkNews::Event(event) => {
                self.events.push(event);
                if self.founder && matches!(event, Event::Net(NetEvent::Connected { .. })) {
                    self.campaign_as_founder();
                }
                Ok(())
            }
            LinkNews::CallerGone(peer) => {
                // If it has another link already, the next frame on that one brings it back.
                if self.callers.remove(&peer).is_some() {
                    self.follow_membership();
                }
                Ok(())
            }
            // Who says so may not have heard yet that this server was taken out and came back with a new disk.
            LinkNews::Expelled(_) if self.directory.knows_my_disk() => Ok(()),
            LinkNews::Expelled(why) => Err(ServerError::Refused(why)),
        }
    }

    pub(crate) fn handle(&mut self, input: Input<KvMachine>) {
        self.replica.handle(self.now(), input);
    }

    /// A laboratory asks.
    pub(crate) fn on_rig(&mut self, request: RigRequest) {
        match request {
            RigRequest::Look(look) => (look.0)(&self.replica),
            RigRequest::Campaign => self.handle(Input::Campaign),
            RigRequest::TakeSnapshot => self.handle(Input::TakeSnapshot),
        }
    }

    /// The founder need not wait for an election timeout: nobody else can lead a cluster that it has founded
    /// just now. It begins once a majority can hear it.
    fn campaign_as_founder(&mut self) {
        let voters = &self.replica.raft().membership().voters;
        let me = self.replica.id();
        let up = |id: &&NodeId| **id == me || matches!(self.links.state(**id), Some(LinkState::Up));
        if voters.iter().filter(up).count() > voters.len() / 2 {
            self.founder = false;
            self.handle(Input::Campaign);
        }
    }

    /// Carries out all that is to be done now.
    pub(crate) fn step(&mut self) -> Result<(), ServerError> {
        let mut now = self.now();
        self.carry_out(now)?;
        if !self.jobs.is_empty() {
            let jobs = core::mem::take(&mut self.jobs);
            if self.must_go_on_talking() {
                self.log.send(jobs);
            } else {
                // What was sent just now did not wait for the disk: it has left before, and may have arrived meanwhile.
                self.tell_events(now);
                if let Some(outcome) = self.log.run_here(jobs) {
                    self.on_log_outcome(outcome)?;
                    now = self.now();
                    self.carry_out(now)?;
                }
            }
        }
        if !self.jobs.is_empty() {
            self.log.send(core::mem::take(&mut self.jobs));
        }
        self.tell_events(now);
        self.leaderless_since = match self.replica.raft().leader() {
            Some(_) => None,
            None => self.leaderless_since.or_else(|| Some(Instant::now())),
        };
        self.expire_admins();
        self.look_out();
        self.look_back();
        if Instant::now() >= self.next_status {
            self.publish();
        }
        Ok(())
    }

    /// Whether this server must be heard whatever its disk does: a leader that falls silent loses its followers.
    /// Everybody else waits for the disk before it says anything that matters.
    fn must_go_on_talking(&self) -> bool {
        let raft = self.replica.raft();
        raft.is_leader() && raft.progress().next().is_some()
    }

    /// Lets those in who are answered by this server's own store, once it is what it was.
    fn look_back(&mut self) {
        if self.board.is_caught_up() {
            return;
        }
        let raft = self.replica.raft();
        let standing = Standing {
            term: raft.term(),
            leads: raft.is_leader(),
            is_member: self.directory.knows_my_disk(),
            is_restoring: self.replica.is_restoring(),
            applied: self.replica.last_applied(),
        };
        if self.caught_up.look(standing, |index| raft.term_at(index)) {
            self.board.publish_caught_up();
        }
    }

    /// Takes the effects and carries them out; what the disk has to do is left in `jobs`.
    fn carry_out(&mut self, now: Time) -> Result<(), ServerError> {
        let mut effects = core::mem::take(&mut self.effects);
        self.replica.take_effects(now, &mut effects, &mut self.events);
        // Before the answers: who has one, and watches from now on, must not be told of what it was the answer to.
        let store = &self.replica.state().store;
        self.board.publish_auth(store.auth_enabled());
        self.board.revisions().publish(store);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(to, frame) => {
                    if self.links.send(to, &frame) {
                        self.round_trips.sends(now, to, &frame);
                    } else if let Frame::Forward { id, commands } = frame {
                        // The commands never left: the leader has not seen them, and will not.
                        let answers = vec![Err(Failure::NoLeader); commands.len()];
                        self.replica.handle(now, Input::Peer(to, Frame::ForwardReply { id, answers }));
                    }
                }
                Effect::Log(job) => self.jobs.push(job),
                Effect::Reply(token, answers) => self.answer(token, answers),
                Effect::AdminReply(token, outcome) => self.answer_admin(token, outcome),
                Effect::Halt(why) => return Err(ServerError::Corrupt(why)),
            }
        }
        self.effects = effects;
        Ok(())
    }

    fn tell_events(&mut self, time: Time) {
        let (mut members_changed, mut leadership_changed) = (false, false);
        let node = self.replica.id();
        for event in self.events.drain(..) {
            members_changed |= matches!(event, Event::Raft(RaftEvent::MembershipChanged { .. }))
                || matches!(event, Event::Raft(RaftEvent::SnapshotInstalled { .. }))
                || matches!(event, Event::Raft(RaftEvent::Truncated { .. }));
            leadership_changed |=
                matches!(event, Event::Raft(RaftEvent::RoleChanged { .. } | RaftEvent::LeaderKnown { .. }));
            self.seq += 1;
            self.event_log.record(&Record { time, node, seq: self.seq, event });
        }
        self.event_log.step_ends();
        if members_changed {
            self.follow_membership();
        }
        // Who leads must not look older than the answers that the new leader makes possible.
        if members_changed || leadership_changed {
            self.publish();
        }
    }

    /// Links and names follow the configuration in force.
    pub(crate) fn follow_membership(&mut self) {
        let membership = self.replica.raft().membership();
        let book = Book::decode(&membership.context).unwrap_or_default();
        let me = self.replica.id();
        let members = membership.members();
        let mut peers = self.callers.clone();
        for id in members.iter().filter(|id| **id != me) {
            if let Some(entry) = book.get(*id) {
                peers.insert(*id, entry.peer_addr.clone());
            }
        }
        self.event_log.set_names(book.entries.iter().map(|entry| (entry.id, entry.name.clone())));
        self.links.reach(&peers);
        self.round_trips.keep(|id| members.contains(&id));
        let (term, index) = self.replica.raft().membership_position();
        self.directory.set_members(book, members, Position { term: term.0, index: index.0 });
    }

    fn answer(&mut self, token: Token, answers: Vec<Result<jangada_kv::Response, Failure>>) {
        let Some(Waiting { kind, reply }) = self.clients.remove(&token) else { return };
        let answers = answers.into_iter().map(|answer| answer.map_err(|why| self.request_error(kind, why)));
        reply.send(answers.collect());
    }

    fn request_error(&self, kind: Kind, failure: Failure) -> RequestError {
        match failure {
            Failure::NoLeader | Failure::Refused(_) | Failure::TransferFailed => {
                let why = self.no_leader_sentence();
                match self.was_removed() {
                    true => RequestError::Removed { why },
                    false => RequestError::NoLeader { why },
                }
            }
            Failure::Busy => RequestError::Busy,
            Failure::TooLarge => RequestError::TooLarge { limit: self.max_request_bytes },
            Failure::OutcomeUnknown if kind != Kind::Write => RequestError::Deadline,
            Failure::OutcomeUnknown => RequestError::OutcomeUnknown {
                why: "the leader was lost before it could say what became of this write: it may or may not \
                      take effect; read the key to see"
                    .to_owned(),
            },
            Failure::AnswerTooLarge => RequestError::Bad(format!(
                "the command took effect, but its answer is larger than the {} MiB that travel between servers: \
                 ask the leader itself, or ask for less",
                MAX_FORWARDED_ANSWERS_BYTES >> 20
            )),
            Failure::BadAnswer => RequestError::Bad(
                "the servers do not understand each other: do all run one version?".to_owned(),
            ),
        }
    }

    pub(crate) fn token(&mut self) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        token
    }

    pub(crate) fn publish(&mut self) {
        self.next_status = Instant::now() + STATUS_INTERVAL;
        let status = self.status();
        self.board.publish(status);
        // What a server begins with comes from its disk and makes no event.
        let raft = self.replica.raft();
        let mut counted = self.event_log.counted();
        counted.term = raft.term().0;
        counted.voters = raft.membership().voters.len() as u64;
        counted.learners = raft.membership().learners.len() as u64;
        self.board.publish_counted(counted);
    }

    /// The server is told to stop: a leader hands its leadership over first, so that nobody waits for an
    /// election timeout.
    pub(crate) fn begin_farewell(&mut self) {
        let raft = self.replica.raft();
        if raft.role_name() != RoleName::Leader {
            return;
        }
        let best = (raft.progress())
            .filter(|progress| raft.membership().voters.contains(&progress.id) && self.reachable(progress.id))
            .max_by_key(|progress| progress.match_index)
            .map(|progress| progress.id);
        if let Some(to) = best {
            let token = self.token();
            self.handle(Input::Transfer { token, to });
        }
    }

    /// Nothing holds a stopping server any longer: it does not lead others, and owes no answer.
    pub(crate) fn has_said_farewell(&self) -> bool {
        let raft = self.replica.raft();
        let leads_others = raft.role_name() == RoleName::Leader
            && raft.membership().voters.iter().any(|id| *id != raft.id() && self.reachable(*id));
        !leads_others && self.clients.is_empty()
    }

    /// What happened outside of the replica.
    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    /// The power fails: what is not written yet never will be.
    pub(crate) fn lose_power(&mut self) {
        self.board.revisions().end();
        self.log.abandon();
        self.clients.clear();
    }

    /// Writes what is left, waits for it, and lets go of those who still wait for an answer. `why` is the error
    /// that ends this server, if one does.
    pub(crate) fn finish(&mut self, why: Option<&ServerError>) {
        if let Some(why @ (ServerError::Disk(_) | ServerError::Corrupt(_))) = why {
            self.event_log.ends_by(&why.to_string());
        }
        self.event_log.lab_ended(&why.map_or_else(|| "stopped".to_owned(), ToString::to_string));
        self.log.finish();
        self.board.revisions().end();
        self.clients.clear();
    }
}

/// A panic of this thread: what has happened in the step that does not end is kept, before the flight recorder is written.
impl Drop for Core {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (time, node, seq) = (self.now(), self.replica.id(), self.seq);
            let untold = self.events.drain(..).chain(self.replica.untold());
            let record = |(count, event)| Record { time, node, seq: seq + count, event };
            self.event_log.keep_unfinished((1..).zip(untold).map(record));
        }
    }
}
