//! Carries commands out on a cluster, one after the other, and tells what happened.
//!
//! What each command means stands here and in `answers.rs`, `holds.rs` and `show.rs`; what can be asked of the servers
//! stands in [`Cluster`], and this file knows no more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jangada_node::effect::Token;
use jangada_node::event::Record;
use jangada_raft::types::{NodeId, Term, Time};
use jangada_trace::language::Language;
use jangada_trace::names::Names;
use jangada_trace::say;
use jangada_trace::words::Words;

use super::answers::Heard;
use super::cluster::{Cluster, Deed, Filter, HeldNumber, MAX_SERVERS, Setup};
use super::command::{Command, Condition, Kind, Link, Pick, Server, Which};
use super::who::{highest_term, leader, one_server};
use super::{help, settings, show, watch};

/// How long `wait` waits, and a client for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
const CLIENTS_PATIENCE: Duration = Duration::from_secs(20);

/// A cluster, and what the words of the language mean on it at the moment.
pub struct Stage<C> {
    pub(super) cluster: C,
    /// What it tells in.
    pub(super) language: Language,
    /// How the servers will be set up, or are.
    setup: Option<Setup>,
    /// They have started.
    founded: bool,
    pub(super) names: BTreeMap<String, NodeId>,
    pub(super) mark: Mark,
    pub(super) words: Words,
    watched: Vec<Kind>,
    pub(super) leading: BTreeSet<NodeId>,
    /// What was asked and is not answered yet, in words.
    pub(super) asked: BTreeMap<Token, (NodeId, String)>,
    pub(super) heard: Option<Heard>,
    pub(super) tokens: u64,
    pub(super) told: Vec<String>,
    pub(super) tap: Option<watch::Tap>,
    /// What happened, for whoever asked to have it kept.
    kept: Option<Vec<Record>>,
}

/// What `mark` remembers; without one, how it was before something was last done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// Somebody said `mark`.
    pub(super) said: bool,
    pub(super) leader: Option<NodeId>,
    pub(super) term: Term,
}

impl<C: Cluster> Stage<C> {
    /// An empty stage on this cluster: the first command is `servers N`.
    #[must_use]
    pub fn on(cluster: C) -> Stage<C> {
        Stage {
            cluster,
            language: Language::English,
            setup: None,
            founded: false,
            names: BTreeMap::new(),
            mark: Mark::default(),
            words: Words::new(Names::new()),
            watched: vec![Kind::Leaders],
            leading: BTreeSet::new(),
            asked: BTreeMap::new(),
            heard: None,
            tokens: 0,
            told: Vec::new(),
            tap: None,
            kept: None,
        }
    }

    /// From now on it tells in this language.
    pub fn speak(&mut self, language: Language) {
        self.language = language;
        self.words = Words::new(Names::new()).in_language(language);
    }

    /// From now on what happens is kept until it is taken.
    pub fn keep_records(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What has happened since this was last asked, if it is kept.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What the commands are carried out on.
    #[must_use]
    pub fn as_cluster(&self) -> &C {
        &self.cluster
    }

    /// The same, for what no command does.
    pub fn as_cluster_mut(&mut self) -> &mut C {
        &mut self.cluster
    }

    /// Starts the servers if they have not started yet: otherwise the first command that needs them does.
    ///
    /// # Errors
    /// No `servers N` was said, or they cannot run as they are set up.
    pub fn start(&mut self) -> Result<(), String> {
        self.cluster().map(|_| ())
    }

    /// Lets time pass until something happens, or it is `until`; then there may be something to tell. For whoever has
    /// no command to carry out, and looks on.
    ///
    /// # Errors
    /// As [`Cluster::pass`].
    pub fn look_on(&mut self, until: Time) -> Result<bool, String> {
        let something = self.goes_on(until);
        self.tell();
        something
    }

    /// The last answer that somebody got, in words; and whether the request was refused, without effect.
    #[must_use]
    pub fn last_answer(&self) -> Option<(&str, bool)> {
        self.heard.as_ref().map(|heard| (heard.text.as_str(), heard.refused))
    }

    /// The same answer in the language that is told in.
    #[must_use]
    pub fn last_answer_told(&self) -> Option<&str> {
        self.heard.as_ref().map(|heard| heard.told.as_str())
    }

    /// What that answer was for, and who was asked.
    #[must_use]
    pub fn last_asked(&self) -> Option<(NodeId, &str)> {
        self.heard.as_ref().map(|heard| (heard.at, heard.asked.as_str()))
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
        match self.cluster.violations().first() {
            Some(violation) => Err(say!(self.language, "an invariant does not hold: {violation}", violation)),
            None => Ok(()),
        }
    }

    // tidy: flat table
    fn perform(&mut self, command: &Command) -> Result<(), String> {
        self.remember_before(command);
        let language = self.language;
        match command {
            Command::Servers(count) => self.begin_anew(*count),
            Command::Profile(profile) => settings::profile(self.setup()?, *profile),
            Command::Seed(seed) => self.setup()?.seed = *seed,
            Command::Config { knob, value } => settings::set(language, self.setup()?, knob, value)?,
            Command::Log { server, terms, term } => {
                settings::log(language, self.setup()?, *server, terms, *term)?
            }
            Command::Client { request, at, begin } => self.client(request, at.as_ref(), *begin)?,
            Command::Crash(servers) => self.each(servers, Deed::Crash)?,
            Command::Restart(servers) => self.each(servers, Deed::Start)?,
            Command::Pause(servers) => self.each(servers, Deed::Pause)?,
            Command::Resume(servers) => self.each(servers, Deed::Resume)?,
            Command::Campaign(server) => {
                let id = self.running(server)?;
                self.cluster()?.befall(id, Deed::Campaign)?;
            }
            Command::Snapshot(servers) => {
                self.each(servers, Deed::Snapshot)?;
                self.run_for(Duration::from_millis(20))?;
            }
            Command::Stall(servers) => self.each(servers, Deed::Stall)?,
            Command::Unstall(servers) => self.each(servers, Deed::Unstall)?,
            Command::Isolate(servers) => self.isolate(servers)?,
            Command::Partition(groups) => {
                for group in groups {
                    self.isolate(group)?;
                }
            }
            Command::Disconnect(servers) => self.disconnect(servers, false)?,
            Command::Reconnect(servers) => self.disconnect(servers, true)?,
            Command::Cut(link) => self.set_links(link, false)?,
            Command::Heal(None) => self.heal_all()?,
            Command::Heal(Some(link)) => self.set_links(link, true)?,
            Command::Lose(percent) => self.cluster()?.set_loss(*percent)?,
            Command::Slow(delay) => self.cluster()?.set_delay(*delay)?,
            Command::Hold(pick) => {
                let filter = self.filter(pick)?;
                self.cluster()?.hold(filter)?;
            }
            Command::Deliver { pick, which } => self.deliver(pick, *which)?,
            Command::Drop { pick, which } => self.lose(pick, *which)?,
            Command::Duplicate(pick) => self.duplicate(pick)?,
            Command::Release => self.cluster()?.release(),
            Command::Add(change) => self.add(change)?,
            Command::Remove(change) => self.remove(change)?,
            Command::Members(change) => self.members(change)?,
            Command::Transfer { to, at, begin } => self.transfer(to, at.as_ref(), *begin)?,
            Command::Run(duration) => self.run_for(*duration)?,
            Command::Wait(condition, patience) => self.wait(condition, patience.unwrap_or(PATIENCE))?,
            Command::Always(condition, duration) => self.always(condition, *duration)?,
            Command::Expect(condition) => self.expect(condition)?,
            Command::Cannot { command } => self.cannot(command)?,
            Command::Mark => self.set_mark()?,
            Command::Let { name, server } => {
                let id = self.server(server)?;
                self.names.insert(name.clone(), id);
            }
            Command::Show(view) => {
                let lines = show::view(language, self.cluster()?, *view);
                self.told.extend(lines);
            }
            Command::Watch(kinds) => self.watched.clone_from(kinds),
            Command::Why(server) => {
                let id = self.server(server)?;
                let line = show::why(language, self.cluster()?, id);
                self.told.push(line);
            }
            Command::Help(of) => self.help(of.as_deref())?,
        }
        Ok(())
    }

    fn begin_anew(&mut self, servers: u64) {
        self.setup = Some(Setup::new(servers));
        self.founded = false;
        self.names.clear();
        self.mark = Mark::default();
        self.words = Words::new(Names::new()).in_language(self.language);
        self.leading.clear();
        self.asked.clear();
        self.heard = None;
        self.tokens = 0;
    }

    fn setup(&mut self) -> Result<&mut Setup, String> {
        let language = self.language;
        if self.founded {
            return Err(say!(
                self.language,
                "the servers run already: this stands before them; `servers N` begins anew"
            ));
        }
        self.setup.as_mut().ok_or_else(|| say!(language, "there is no cluster yet: begin with `servers N`"))
    }

    /// Whether the servers that are set up have started; until then those that can be seen are older ones.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.founded
    }

    /// The cluster; its servers start with the first command that needs them.
    pub(super) fn cluster(&mut self) -> Result<&mut C, String> {
        if !self.founded {
            let setup = self.setup()?.clone();
            setup
                .raft
                .validate()
                .map_err(|why| say!(self.language, "these servers cannot run: {why}", why))?;
            self.cluster.found(&setup)?;
            self.founded = true;
        }
        Ok(&mut self.cluster)
    }

    fn help(&mut self, of: Option<&str>) -> Result<(), String> {
        match of {
            None => self.told.extend(help::COMMANDS.iter().map(|help| help::line(self.language, help))),
            Some(name) => {
                let known =
                    help::of(name).ok_or_else(|| say!(self.language, "`{name}` is no command", name))?;
                self.told.push(help::line(self.language, known));
                self.told.extend(help::more(self.language, name));
            }
        }
        Ok(())
    }

    // ---- Whom it is about ---------------------------------------------------------------------------------

    /// The one server that a word means now.
    ///
    /// # Errors
    /// It means none, or several: a sentence.
    pub fn server(&mut self, server: &Server) -> Result<NodeId, String> {
        match self.servers(std::slice::from_ref(server))?.as_slice() {
            [one] => Ok(*one),
            _ => Err(say!(self.language, "one server is meant here")),
        }
    }

    pub(super) fn running(&mut self, server: &Server) -> Result<NodeId, String> {
        let id = self.server(server)?;
        self.cluster()?.view(id).map(|_| id).ok_or_else(|| say!(self.language, "{id} does not run", id))
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
        let all = self.cluster()?.servers();
        if *server == Server::All {
            return Ok(all);
        }
        match one_server(self.language, &self.cluster, &self.names, server)? {
            Some(id) => Ok(vec![id]),
            None if *server == Server::Leader => Err(say!(self.language, "nobody leads")),
            None => Err(say!(self.language, "there are not so many followers")),
        }
    }

    /// It befalls each of them. They all run, or, to start, all do not; `all` are those to whom it can be done.
    fn each(&mut self, servers: &[Server], deed: Deed) -> Result<(), String> {
        let all = servers == [Server::All];
        let ids = self.servers(servers)?;
        let cluster = self.cluster()?;
        let must_run = deed != Deed::Start;
        for id in ids {
            let runs = cluster.view(id).is_some();
            match (runs == must_run, must_run) {
                (true, _) => cluster.befall(id, deed)?,
                (false, _) if all => {}
                (false, true) => return Err(say!(self.language, "{id} does not run", id)),
                (false, false) => return Err(say!(self.language, "{id} runs already", id)),
            }
        }
        Ok(())
    }

    // ---- Links and messages -------------------------------------------------------------------------------

    fn isolate(&mut self, servers: &[Server]) -> Result<(), String> {
        let group = self.servers(servers)?;
        let cluster = self.cluster()?;
        for one in everybody() {
            for other in everybody() {
                if group.contains(&one) != group.contains(&other) {
                    cluster.set_link(one, other, false)?;
                }
            }
        }
        Ok(())
    }

    fn disconnect(&mut self, servers: &[Server], works: bool) -> Result<(), String> {
        let ids = self.servers(servers)?;
        let cluster = self.cluster()?;
        for one in ids {
            for other in everybody().filter(|other| *other != one) {
                cluster.set_link(one, other, works)?;
                cluster.set_link(other, one, works)?;
            }
        }
        Ok(())
    }

    fn heal_all(&mut self) -> Result<(), String> {
        let cluster = self.cluster()?;
        for one in everybody() {
            for other in everybody().filter(|other| *other != one) {
                cluster.set_link(one, other, true)?;
            }
        }
        // Whoever heals the network wants nothing left that is wrong with it.
        cluster.set_loss(0)?;
        cluster.set_delay(Duration::ZERO)
    }

    fn set_links(&mut self, link: &Link, works: bool) -> Result<(), String> {
        for (from, to) in self.link(link)? {
            self.cluster()?.set_link(from, to, works)?;
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
        for number in self.held(pick, which)? {
            self.cluster.deliver(number, false);
        }
        Ok(())
    }

    fn lose(&mut self, pick: &Pick, which: Which) -> Result<(), String> {
        for number in self.held(pick, which)? {
            self.cluster.lose(number);
        }
        Ok(())
    }

    fn duplicate(&mut self, pick: &Pick) -> Result<(), String> {
        for number in self.held(pick, Which::Oldest)? {
            self.cluster.deliver(number, true);
        }
        Ok(())
    }

    /// One or all of the held messages that fit; there is one.
    fn held(&mut self, pick: &Pick, which: Which) -> Result<Vec<HeldNumber>, String> {
        let filter = self.filter(pick)?;
        let held: Vec<HeldNumber> = self.cluster()?.held(&filter).iter().map(|held| held.number).collect();
        let chosen = match which {
            Which::Oldest => held.first().copied().into_iter().collect(),
            Which::Newest => held.last().copied().into_iter().collect(),
            Which::All => held,
        };
        if chosen.is_empty() { Err(say!(self.language, "no such message is held")) } else { Ok(chosen) }
    }

    // ---- Time ---------------------------------------------------------------------------------------------

    fn run_for(&mut self, duration: Duration) -> Result<(), String> {
        let deadline = self.cluster()?.now() + duration;
        while self.goes_on(deadline)? {}
        Ok(())
    }

    /// The next thing that happens until then; `false` if nothing does, and it is then.
    fn goes_on(&mut self, deadline: Time) -> Result<bool, String> {
        let something = self.cluster()?.pass(deadline)?;
        if something {
            self.tell();
        }
        Ok(something)
    }

    pub(super) fn wait(&mut self, condition: &Condition, patience: Duration) -> Result<(), String> {
        let deadline = self.cluster()?.now() + patience;
        while !self.holds(condition)? {
            if !self.goes_on(deadline)? {
                return Err(format!(
                    "{}\n{}",
                    say!(self.language, "not so after {patience}", patience = plain(patience)),
                    self.state()?
                ));
            }
        }
        Ok(())
    }

    fn always(&mut self, condition: &Condition, duration: Duration) -> Result<(), String> {
        let begun = self.cluster()?.now();
        let deadline = begun + duration;
        loop {
            if !self.holds(condition)? {
                let after = self.cluster()?.now().since(begun);
                return Err(format!(
                    "{}\n{}",
                    say!(self.language, "no more so after {after}", after = plain(after)),
                    self.state()?
                ));
            }
            if !self.goes_on(deadline)? {
                return Ok(());
            }
        }
    }

    fn expect(&mut self, condition: &Condition) -> Result<(), String> {
        if self.holds(condition)? {
            Ok(())
        } else {
            Err(format!("{}\n{}", say!(self.language, "it is not so"), self.state()?))
        }
    }

    /// The command is refused; whatever else it would have told is not told.
    fn cannot(&mut self, command: &Result<Box<Command>, String>) -> Result<(), String> {
        let refused = match command {
            Ok(command) => self.perform(command).err(),
            Err(unreadable) => Some(unreadable.clone()),
        };
        let why = refused.ok_or_else(|| say!(self.language, "it is not refused"))?;
        self.told.push(say!(self.language, "no: {why}", why = why.lines().next().unwrap_or_default()));
        Ok(())
    }

    fn set_mark(&mut self) -> Result<(), String> {
        let cluster = self.cluster()?;
        cluster.mark();
        self.mark = Mark { said: true, leader: leader(cluster), term: highest_term(cluster) };
        Ok(())
    }

    /// As long as nobody said `mark`, whatever is done to the servers is compared with how it was just before: otherwise
    /// `leader changed` would be so at once.
    fn remember_before(&mut self, command: &Command) {
        if self.founded && !self.mark.said && command.is_a_deed() {
            let cluster = &self.cluster;
            self.mark = Mark { said: false, leader: leader(cluster), term: highest_term(cluster) };
        }
    }

    /// How things stand, for whoever sees an expectation fail.
    fn state(&mut self) -> Result<String, String> {
        let language = self.language;
        let heard = self
            .heard
            .as_ref()
            .map(|heard| format!("\n{}", say!(self.language, "last answer: {text}", text = heard.told)));
        let lines = show::failure(language, self.cluster()?);
        Ok(format!("{}{}", lines.join("\n"), heard.unwrap_or_default()))
    }

    /// Waits until this request has its answer.
    pub(super) fn until_answered(&mut self, token: Token) -> Result<(), String> {
        let deadline = self.cluster()?.now() + CLIENTS_PATIENCE;
        loop {
            self.tell();
            if !self.asked.contains_key(&token) {
                return Ok(());
            }
            if !self.goes_on(deadline)? {
                return Err(format!(
                    "{}\n{}",
                    say!(self.language, "no answer after {patience}", patience = plain(CLIENTS_PATIENCE)),
                    self.state()?
                ));
            }
        }
    }

    /// Puts what has happened into words.
    fn tell(&mut self) {
        if !self.founded {
            return;
        }
        for record in self.cluster.take_records() {
            self.tap.iter_mut().for_each(|tap| tap(&record));
            if let Some(line) = watch::line(&mut self.words, &self.watched, &mut self.leading, &record) {
                self.told.push(line);
            }
            if let Some(kept) = &mut self.kept {
                kept.push(record);
            }
        }
        let now = self.cluster.now();
        for (token, answer) in self.cluster.take_answers() {
            self.heard(now, token, &answer);
        }
    }
}

/// A duration as it is written in a line: `1.5s`.
fn plain(duration: Duration) -> String {
    format!("{duration:?}")
}

fn everybody() -> impl Iterator<Item = NodeId> {
    (1..=MAX_SERVERS).map(NodeId)
}
