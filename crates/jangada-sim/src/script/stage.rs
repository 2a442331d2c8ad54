//! Carries commands out, one after the other, and tells what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jangada_node::effect::{Input, Token};
use jangada_raft::types::{NodeId, Term, Time};
use jangada_trace::names::Names;
use jangada_trace::words::Words;

use crate::check::Violation;

use super::answers::Heard;
use super::cluster::{Cluster, MAX_SERVERS, Settings};
use super::command::{Command, Condition, Kind, Link, Pick, Server, Which};
use super::file::{Block, Script};
use super::network::{Filter, Parcel};
use super::{help, settings, show, watch};

/// How long `wait` waits, and a client for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
const CLIENTS_PATIENCE: Duration = Duration::from_secs(20);

/// A cluster that commands are carried out on.
pub struct Stage {
    settings: Option<Settings>,
    cluster: Option<Cluster>,
    pub(super) names: BTreeMap<String, NodeId>,
    pub(super) mark: Mark,
    pub(super) words: Words,
    watched: Vec<Kind>,
    pub(super) leading: BTreeSet<NodeId>,
    /// What was asked and is not answered yet, in words.
    pub(super) asked: BTreeMap<Token, (NodeId, String)>,
    pub(super) heard: Option<Heard>,
    tokens: u64,
    pub(super) told: Vec<String>,
}

/// What `mark` remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) leader: Option<NodeId>,
    pub(super) term: Term,
    /// Operations of each disk until then.
    pub(super) operations: [u64; MAX_SERVERS as usize],
}

/// A script that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// The same commands, with what happened now.
    pub script: Script,
    /// Each command that was carried out, with what happened meanwhile.
    pub steps: Vec<Step>,
    /// The line that failed, and why: the rest was not carried out.
    pub failure: Option<String>,
    /// The simulator's invariants that did not hold.
    pub violations: Vec<Violation>,
}

/// One command that was carried out.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its line in the file, from 1 on.
    pub line: usize,
    /// As it was typed.
    pub command: String,
    /// What happened meanwhile.
    pub told: Vec<String>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Plays a script from its beginning, up to the first command that fails.
#[must_use]
pub fn play(script: &Script) -> Played {
    let mut stage = Stage::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut played = Script { blocks: Vec::new() };
    let failed = |steps: &[Step]| steps.last().is_some_and(|step| step.failure.is_some());
    for block in &script.blocks {
        let first = steps.len();
        for line in &block.lines {
            let Some(command) = &line.command else { continue };
            let failure = stage.carry_out(command).err();
            let command = line.text.trim().to_owned();
            steps.push(Step { line: line.number, command, told: stage.take_told(), failure });
            if failed(&steps) {
                break;
            }
        }
        let output = steps[first..].iter().flat_map(|step| step.told.clone()).collect();
        played.blocks.push(Block { lines: block.lines.clone(), output });
        if failed(&steps) {
            break;
        }
    }
    let failure = steps.last().and_then(|step| {
        step.failure.as_ref().map(|why| format!("line {}, `{}`: {why}", step.line, step.command))
    });
    let violations = stage.cluster.map(|cluster| cluster.findings.violations).unwrap_or_default();
    Played { script: played, steps, failure, violations }
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::new()
    }
}

impl Stage {
    /// An empty stage: the first command is `servers N`.
    #[must_use]
    pub fn new() -> Stage {
        Stage {
            settings: None,
            cluster: None,
            names: BTreeMap::new(),
            mark: Mark::default(),
            words: Words::new(Names::new()),
            watched: vec![Kind::Leaders],
            leading: BTreeSet::new(),
            asked: BTreeMap::new(),
            heard: None,
            tokens: 0,
            told: Vec::new(),
        }
    }

    /// What happened since this was last asked, as lines.
    pub fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// Carries one command out, and tells what happened meanwhile.
    ///
    /// # Errors
    /// The command does not fit, or a condition does not hold: a sentence. Whatever was told until then is told.
    pub fn carry_out(&mut self, command: &Command) -> Result<(), String> {
        let done = self.perform(command);
        self.tell();
        done?;
        match self.cluster.as_ref().and_then(|cluster| cluster.findings.violations.first()) {
            Some(violation) => Err(format!("an invariant does not hold: {violation}")),
            None => Ok(()),
        }
    }

    // tidy: flat table
    fn perform(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Servers(count) => self.begin_anew(*count),
            Command::Profile(profile) => settings::profile(self.settings()?, *profile),
            Command::Seed(seed) => self.settings()?.seed = *seed,
            Command::Config { knob, value } => settings::set(self.settings()?, knob, value)?,
            Command::Log { server, terms, term } => settings::log(self.settings()?, *server, terms, *term)?,
            Command::Client { request, at, begin } => self.client(request, at.as_ref(), *begin)?,
            Command::Crash(servers) => self.each(servers, true, |cluster, id| cluster.crash(id))?,
            Command::Restart(servers) => self.each(servers, false, |cluster, id| cluster.start(id))?,
            Command::Pause(servers) => self.each(servers, true, |cluster, id| cluster.pause(id))?,
            Command::Resume(servers) => self.each(servers, true, |cluster, id| cluster.resume(id))?,
            Command::Campaign(server) => {
                let id = self.running(server)?;
                self.cluster()?.input(id, Input::Campaign);
            }
            Command::Snapshot(servers) => {
                self.each(servers, true, |cluster, id| cluster.input(id, Input::TakeSnapshot))?;
                self.run_for(Duration::from_millis(20))?;
            }
            Command::Stall(servers) => self.each(servers, true, |cluster, id| cluster.stall(id, true))?,
            Command::Unstall(servers) => self.each(servers, true, |cluster, id| cluster.stall(id, false))?,
            Command::Isolate(servers) => self.isolate(servers)?,
            Command::Disconnect(servers) => self.disconnect(servers, true)?,
            Command::Reconnect(servers) => self.disconnect(servers, false)?,
            Command::Cut(link) => {
                for (from, to) in self.link(link)? {
                    self.cluster()?.network.cut(from, to);
                }
            }
            Command::Heal(None) => self.cluster()?.network.heal_all(),
            Command::Heal(Some(link)) => {
                for (from, to) in self.link(link)? {
                    self.cluster()?.network.heal(from, to);
                }
            }
            Command::Hold(pick) => {
                let filter = self.filter(pick)?;
                self.cluster()?.network.hold(filter);
            }
            Command::Deliver { pick, which } => self.deliver(pick, *which)?,
            Command::Drop { pick, which } => {
                self.take_held(pick, *which)?;
            }
            Command::Duplicate(pick) => self.duplicate(pick)?,
            Command::Release => {
                let cluster = self.cluster()?;
                for parcel in cluster.network.release() {
                    cluster.hand_over(&parcel);
                }
            }
            Command::Add(change) => self.add(change)?,
            Command::Remove(change) => self.remove(change)?,
            Command::Members(change) => self.members(change)?,
            Command::Transfer { to, at, begin } => self.transfer(to, at.as_ref(), *begin)?,
            Command::Run(duration) => self.run_for(*duration)?,
            Command::Wait(condition, patience) => self.wait(condition, patience.unwrap_or(PATIENCE))?,
            Command::Always(condition, duration) => self.always(condition, *duration)?,
            Command::Expect(condition) => self.expect(condition)?,
            Command::Mark => self.set_mark()?,
            Command::Let { name, server } => {
                let id = self.server(server)?;
                self.names.insert(name.clone(), id);
            }
            Command::Show(view) => {
                let lines = show::view(self.cluster()?, *view);
                self.told.extend(lines);
            }
            Command::Watch(kinds) => self.watched.clone_from(kinds),
            Command::Why(server) => {
                let id = self.server(server)?;
                let line = show::why(self.cluster()?, id);
                self.told.push(line);
            }
            Command::Help(of) => self.help(of.as_deref())?,
        }
        Ok(())
    }

    fn begin_anew(&mut self, servers: u64) {
        let watched = std::mem::take(&mut self.watched);
        let told = std::mem::take(&mut self.told);
        *self = Stage { settings: Some(Settings::new(servers)), watched, told, ..Stage::new() };
    }

    fn settings(&mut self) -> Result<&mut Settings, String> {
        if self.cluster.is_some() {
            return Err("the servers run already: this stands before them; `servers N` begins anew".into());
        }
        self.settings.as_mut().ok_or_else(|| "there is no cluster yet: begin with `servers N`".into())
    }

    /// The cluster; its servers start with the first command that needs them.
    pub(super) fn cluster(&mut self) -> Result<&mut Cluster, String> {
        if self.cluster.is_none() {
            let settings = self.settings()?.clone();
            settings.raft.validate().map_err(|why| format!("these servers cannot run: {why}"))?;
            self.cluster = Some(Cluster::new(settings));
        }
        Ok(self.cluster.as_mut().expect("it is there by now"))
    }

    fn help(&mut self, of: Option<&str>) -> Result<(), String> {
        match of {
            None => self.told.extend(help::COMMANDS.iter().map(help::line)),
            Some(name) => {
                let known = help::of(name).ok_or_else(|| format!("`{name}` is no command"))?;
                self.told.push(help::line(known));
            }
        }
        Ok(())
    }

    // ---- Whom it is about ---------------------------------------------------------------------------------

    /// One server.
    pub(super) fn server(&mut self, server: &Server) -> Result<NodeId, String> {
        match self.servers(std::slice::from_ref(server))?.as_slice() {
            [one] => Ok(*one),
            _ => Err("one server is meant here".into()),
        }
    }

    pub(super) fn running(&mut self, server: &Server) -> Result<NodeId, String> {
        let id = self.server(server)?;
        self.cluster()?.raft(id).map(|_| id).ok_or_else(|| format!("{id} does not run"))
    }

    /// Several.
    pub(super) fn servers(&mut self, servers: &[Server]) -> Result<Vec<NodeId>, String> {
        let mut ids = Vec::new();
        for server in servers {
            ids.extend(self.resolve(server)?);
        }
        Ok(ids)
    }

    fn resolve(&mut self, server: &Server) -> Result<Vec<NodeId>, String> {
        self.cluster()?;
        let cluster = self.cluster.as_ref().expect("it is there by now");
        if *server == Server::All {
            return Ok(cluster.servers.keys().copied().collect());
        }
        match one_server(cluster, &self.names, server)? {
            Some(id) => Ok(vec![id]),
            None if *server == Server::Leader => Err("nobody leads".into()),
            None => Err("there are not so many followers".into()),
        }
    }

    /// Does it to each of them, which all run, or all do not. `all` are those to whom it can be done.
    fn each(
        &mut self,
        servers: &[Server],
        run: bool,
        mut deed: impl FnMut(&mut Cluster, NodeId),
    ) -> Result<(), String> {
        let all = servers == [Server::All];
        let ids = self.servers(servers)?;
        let cluster = self.cluster()?;
        for id in ids {
            let runs = cluster.raft(id).is_some();
            match (runs == run, run) {
                (true, _) => deed(cluster, id),
                (false, _) if all => {}
                (false, true) => return Err(format!("{id} does not run")),
                (false, false) => return Err(format!("{id} runs already")),
            }
        }
        Ok(())
    }

    // ---- Links and messages -------------------------------------------------------------------------------

    fn everybody() -> impl Iterator<Item = NodeId> + Clone {
        (1..=MAX_SERVERS).map(NodeId)
    }

    fn isolate(&mut self, servers: &[Server]) -> Result<(), String> {
        let group = self.servers(servers)?;
        let cluster = self.cluster()?;
        for one in Stage::everybody() {
            for other in Stage::everybody() {
                if group.contains(&one) != group.contains(&other) {
                    cluster.network.cut(one, other);
                }
            }
        }
        Ok(())
    }

    fn disconnect(&mut self, servers: &[Server], cut: bool) -> Result<(), String> {
        let ids = self.servers(servers)?;
        let network = &mut self.cluster()?.network;
        for one in ids {
            for other in Stage::everybody() {
                for (from, to) in [(one, other), (other, one)] {
                    if cut { network.cut(from, to) } else { network.heal(from, to) }
                }
            }
        }
        Ok(())
    }

    fn link(&mut self, link: &Link) -> Result<BTreeSet<(NodeId, NodeId)>, String> {
        let from = self.servers(std::slice::from_ref(&link.from))?;
        let to = self.servers(std::slice::from_ref(&link.to))?;
        let mut links = BTreeSet::new();
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            if from != to {
                links.insert((from, to));
            }
            if link.both_ways {
                links.insert((to, from));
            }
        }
        Ok(links)
    }

    pub(super) fn filter(&mut self, pick: &Pick) -> Result<Filter, String> {
        let links = match &pick.link {
            Some(link) => Some(self.link(link)?),
            None => None,
        };
        Ok(Filter { links, message: pick.message })
    }

    fn deliver(&mut self, pick: &Pick, which: Which) -> Result<(), String> {
        for parcel in self.take_held(pick, which)? {
            self.cluster()?.hand_over(&parcel);
        }
        Ok(())
    }

    fn take_held(&mut self, pick: &Pick, which: Which) -> Result<Vec<Parcel>, String> {
        let filter = self.filter(pick)?;
        let taken = self.cluster()?.network.take_held(&filter, which);
        if taken.is_empty() { Err("no such message is held".into()) } else { Ok(taken) }
    }

    fn duplicate(&mut self, pick: &Pick) -> Result<(), String> {
        let filter = self.filter(pick)?;
        let cluster = self.cluster()?;
        let oldest = cluster.network.held(&filter).next().cloned();
        let parcel = oldest.ok_or("no such message is held")?;
        cluster.hand_over(&parcel);
        Ok(())
    }

    // ---- Time ---------------------------------------------------------------------------------------------

    fn run_for(&mut self, duration: Duration) -> Result<(), String> {
        let deadline = self.cluster()?.now + duration;
        while self.goes_on(deadline)? {}
        self.cluster()?.now = deadline;
        Ok(())
    }

    /// The next thing that happens until then; `false` if nothing does.
    fn goes_on(&mut self, deadline: Time) -> Result<bool, String> {
        let cluster = self.cluster()?;
        let there_is = cluster.next_time().is_some_and(|next| next <= deadline);
        if there_is {
            cluster.step();
            self.tell();
        }
        Ok(there_is)
    }

    pub(super) fn wait(&mut self, condition: &Condition, patience: Duration) -> Result<(), String> {
        let deadline = self.cluster()?.now + patience;
        while !self.holds(condition)? {
            if !self.goes_on(deadline)? {
                self.cluster()?.now = deadline;
                return Err(format!("not so after {patience:?}\n{}", self.state()?));
            }
        }
        Ok(())
    }

    fn always(&mut self, condition: &Condition, duration: Duration) -> Result<(), String> {
        let begun = self.cluster()?.now;
        let deadline = begun + duration;
        loop {
            if !self.holds(condition)? {
                let after = self.cluster()?.now.since(begun);
                return Err(format!("no more so after {after:?}\n{}", self.state()?));
            }
            if !self.goes_on(deadline)? {
                break;
            }
        }
        self.cluster()?.now = deadline;
        Ok(())
    }

    fn expect(&mut self, condition: &Condition) -> Result<(), String> {
        if self.holds(condition)? { Ok(()) } else { Err(format!("it is not so\n{}", self.state()?)) }
    }

    fn set_mark(&mut self) -> Result<(), String> {
        let cluster = self.cluster()?;
        cluster.network.sent.clear();
        let operations = std::array::from_fn(|place| cluster.disk(NodeId(place as u64 + 1)).operations());
        self.mark = Mark { leader: cluster.leader(), term: cluster.highest_term(), operations };
        Ok(())
    }

    /// How things stand, for whoever sees an expectation fail.
    fn state(&mut self) -> Result<String, String> {
        let heard = self.heard.as_ref().map(|heard| format!("\nlast answer: {}", heard.text));
        let lines = show::failure(self.cluster()?);
        Ok(format!("{}{}", lines.join("\n"), heard.unwrap_or_default()))
    }

    pub(super) fn new_token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// Waits until this request has its answer.
    pub(super) fn until_answered(&mut self, token: Token) -> Result<(), String> {
        let deadline = self.cluster()?.now + CLIENTS_PATIENCE;
        loop {
            self.tell();
            if !self.asked.contains_key(&token) {
                return Ok(());
            }
            if !self.goes_on(deadline)? {
                return Err(format!("no answer after {CLIENTS_PATIENCE:?}\n{}", self.state()?));
            }
        }
    }

    /// Puts what has happened into words.
    fn tell(&mut self) {
        let Some(cluster) = self.cluster.as_mut() else { return };
        let records = std::mem::take(&mut cluster.records);
        let answers = std::mem::take(&mut cluster.answers);
        let now = cluster.now;
        for record in records {
            if let Some(line) = watch::line(&mut self.words, &self.watched, &mut self.leading, &record) {
                self.told.push(line);
            }
        }
        for (token, answer) in answers {
            self.heard(now, token, &answer);
        }
    }
}

/// The server that a word means; `None` if there is none now.
pub(super) fn one_server(
    cluster: &Cluster,
    names: &BTreeMap<String, NodeId>,
    server: &Server,
) -> Result<Option<NodeId>, String> {
    match server {
        Server::Number(number) if *number <= MAX_SERVERS => Ok(Some(NodeId(*number))),
        Server::Number(number) => Err(format!("there are at most {MAX_SERVERS} servers, and no n{number}")),
        Server::Leader => Ok(cluster.leader()),
        Server::Follower(rank) => {
            let leader = cluster.leader();
            let mut followers = cluster.running().map(|(id, _)| id).filter(|id| Some(*id) != leader);
            Ok(followers.nth(rank - 1))
        }
        Server::Named(name) => match names.get(name) {
            Some(id) => Ok(Some(*id)),
            None => {
                let near = super::tokens::meant(name, names.keys().map(String::as_str));
                Err(format!("nobody is called `{name}`{near}"))
            }
        },
        Server::All => Err("`all` are too many here".into()),
    }
}
