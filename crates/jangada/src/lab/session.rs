//! A laboratory at work: reads lines, has them carried out, and says what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jangada_raft::types::{NodeId, Time};
use jangada_sim::script::Stage;
use jangada_sim::script::command::{Command, Condition, Kind, Server};
use jangada_trace::language::Language;
use jangada_trace::names::Names;
use jangada_trace::say;
use jangada_trace::words::{Level, Words};

use super::backend::Backend;
use super::help::{self, there_are, would_add};
use super::known::Known;
use super::lessons::scene::{Asked, Scene};
use super::live::Live;
use super::menu;
use super::page::Eye;
use super::scenarios;
use super::teller::Teller;
use super::timeline;
use super::voice::Voice;
use super::words::{self, Word};

/// How long the laboratory looks on between two looks at what is typed.
pub const GLIMPSE: Duration = Duration::from_millis(25);

/// Pauses of the one who types that are worth keeping, and how long they are kept to be.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Sentences that `why` adds to what it says.
const MAX_EVIDENCE: usize = 3;
/// Longer than anything in a made-up world waits.
const FAR: Duration = Duration::from_secs(3_600);
/// Everything that can be told.
const ALL_KINDS: [Kind; 11] = [
    Kind::Leaders,
    Kind::Elections,
    Kind::Votes,
    Kind::Terms,
    Kind::Log,
    Kind::Commits,
    Kind::Members,
    Kind::Snapshots,
    Kind::Reads,
    Kind::Messages,
    Kind::Clients,
];
/// How long a leader is waited for.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It could not be: a sentence has been said.
    Refused,
    /// Nobody can read it: a sentence has been said.
    Unread,
    /// It expected something that is not so: a sentence has been said.
    Failed,
    /// The laboratory ends.
    Over,
}

/// The laboratory.
pub struct Session<B> {
    pub(super) stage: Stage<B>,
    pub(super) voice: Voice,
    /// Who tells of events while they happen; without one, the stage tells of them after each command.
    pub(super) teller: Option<Teller>,
    pub(super) known: Arc<Known>,
    /// Without a teller: remembers what sentences look back at.
    words: Words,
    /// What the stage tells of.
    watched: Vec<Kind>,
    /// What was typed and carried out, for `save`.
    pub(super) typed: Vec<String>,
    /// Something was typed before the servers that are there now.
    pub(super) began_anew: bool,
    /// The seed of a made-up world, as the laboratory was opened.
    seed: Option<u64>,
    /// Since when nothing is carried out.
    rested: Instant,
    /// Slow motion: thousandths of real time.
    pub(super) pace: Option<u64>,
    numbered: bool,
    /// The menu has shut the servers down.
    shut: bool,
    /// Looks for the page.
    eye: Option<Eye>,
}

impl<B: Backend> Session<B> {
    /// A laboratory whose servers have not started yet.
    pub fn new(backend: B, teller: Option<Teller>, known: Arc<Known>, voice: Voice) -> Session<B> {
        let mut stage = Stage::on(backend);
        stage.speak(voice.language());
        if teller.is_none() {
            stage.keep_records();
        }
        let watched = if teller.is_some() { Vec::new() } else { vec![Kind::Leaders, Kind::Elections] };
        let watches = stage.carry_out(&Command::Watch(watched.clone()));
        assert!(watches.is_ok(), "nothing is needed to watch");
        Session {
            stage,
            words: Words::new(Names::new()).in_language(voice.language()),
            voice,
            teller,
            known,
            watched,
            typed: Vec::new(),
            began_anew: false,
            seed: None,
            rested: Instant::now(),
            pace: None,
            numbered: false,
            shut: false,
            eye: None,
        }
    }

    /// Whatever is done is shown to this eye, too.
    pub fn show_to(&mut self, eye: Eye) {
        self.eye = Some(eye);
    }

    pub(super) fn show(&self) {
        self.eye.iter().for_each(|eye| eye.look(self.stage.as_cluster()));
    }

    /// What the events have told.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Sets up so many servers, which start with the first command that needs them.
    ///
    /// # Errors
    /// They do not start: a sentence.
    pub fn begin(&mut self, servers: u64, seed: Option<u64>) -> Result<(), String> {
        self.stage.carry_out(&Command::Servers(servers))?;
        self.typed = vec![format!("servers {servers}")];
        self.seed = seed;
        seed.into_iter().for_each(|seed| self.sow(seed));
        Ok(())
    }

    /// More has been typed than which servers there are, and of which seed.
    fn has_been_used(&self) -> bool {
        let sets_up = |line: &String| line.starts_with("servers ") || line.starts_with("seed ");
        !self.typed.iter().all(sets_up)
    }

    /// The world that begins is one of this seed, unless somebody chooses another for it.
    fn sow(&mut self, seed: u64) {
        let sown = self.stage.carry_out(&Command::Seed(seed));
        assert!(sown.is_ok(), "a world that has not begun takes any seed");
        self.typed.push(format!("seed {seed}"));
    }

    /// Starts the servers that are set up.
    ///
    /// # Errors
    /// They do not start: a sentence.
    pub fn start(&mut self) -> Result<(), String> {
        self.stage.start()?;
        self.show();
        Ok(())
    }

    /// While nobody types: says what came of requests that were begun.
    pub fn look_on(&mut self) {
        let now = self.stage.as_cluster().now();
        // An interrupt finds nothing to interrupt, and before the servers start nothing happens.
        let _nothing = self.stage.look_on(now);
        self.tell();
    }

    /// Carries one line out.
    pub fn line(&mut self, line: &str) -> Outcome {
        let pause = self.rested.elapsed();
        if self.teller.is_some() && pause >= PAUSE && self.typed.len() > 1 {
            // A saved session lets the same time pass.
            self.typed.push(format!("run {}ms", pause.min(LONGEST_PAUSE).as_millis()));
        }
        let outcome = if self.numbered {
            let outcome = self.numbered(line);
            if outcome == Outcome::Done {
                self.typed.push(line.trim().to_owned());
            }
            outcome
        } else {
            self.word(line)
        };
        self.flush();
        if self.teller.is_none() {
            self.stand();
        }
        self.rested = Instant::now();
        outcome
    }

    /// Lets time pass in a made-up world. For a saved session that is this line, `instead` of the last one.
    pub(super) fn let_pass(&mut self, time: Duration, line: String, instead: bool) {
        let _passed = self.stage.carry_out(&Command::Run(time));
        self.tell();
        self.stand();
        if instead {
            self.typed.pop();
        }
        self.typed.push(line);
        self.show();
    }

    /// The menu is put aside, or back; whether it was there.
    pub(super) fn set_menu(&mut self, numbered: bool) -> bool {
        std::mem::replace(&mut self.numbered, numbered)
    }

    /// Whatever has happened is told.
    pub(super) fn flush(&self) {
        if let Some(teller) = &self.teller {
            teller.flush();
        }
    }

    /// The next thing happens, and whatever it is, it is told.
    pub(super) fn step(&mut self) {
        let _all = self.stage.carry_out(&Command::Watch(ALL_KINDS.to_vec()));
        let until = self.stage.as_cluster().now() + FAR;
        let _something = self.stage.look_on(until);
        self.tell();
        let _some = self.stage.carry_out(&Command::Watch(self.watched.clone()));
        self.stand();
    }

    /// What checks look at.
    pub fn scene(&self) -> Scene<'_> {
        let asked = self.stage.last_asked().zip(self.stage.last_answer());
        Scene {
            cluster: self.stage.as_cluster(),
            journal: self.known.journal().clone(),
            asked: asked.map(|((at, what), (answer, refused))| Asked {
                at,
                what: what.to_owned(),
                answer: answer.to_owned(),
                told: self.stage.last_answer_told().unwrap_or(answer).to_owned(),
                refused,
            }),
            language: self.language(),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.stage.as_cluster().now()
    }

    /// What was typed, for `save`: time has passed without a word.
    pub(super) fn note_typed(&mut self, line: String) {
        self.typed.push(line);
    }

    fn word(&mut self, line: &str) -> Outcome {
        match words::parse(self.language(), line) {
            Ok(None) => Outcome::Done,
            Ok(Some(word)) => self.carry_out(line, word),
            Err(why) => {
                self.voice.refuse(&why);
                Outcome::Unread
            }
        }
    }

    fn carry_out(&mut self, line: &str, word: Word) -> Outcome {
        let done = match word {
            Word::Exit => return Outcome::Over,
            Word::Script(command) => return self.command(line, &command),
            Word::Leader => self.say(|session| Ok(vec![session.leader()])),
            Word::Status => self.say(|session| Ok(session.status())),
            Word::Log(server) => self.say(|session| session.log(&server)),
            Word::Scenario(None) => self.say(|session| Ok(scenarios::list(session.language()))),
            Word::Scenario(Some(name)) => return self.scenario(&name),
            // Who plays it again does not mean to write it again.
            Word::Save(file) => {
                return match self.save(&file) {
                    Ok(()) => Outcome::Done,
                    Err(why) => self.end_of(line, Err(why)),
                };
            }
            Word::Timeline(ask) => match ask.file.as_deref().map_or(Ok(()), |file| self.spared(file)) {
                Ok(()) => self
                    .say(|session| timeline::answer(session.language(), session.cluster().recorded(), &ask)),
                Err(why) => Err(why),
            },
            Word::Menu => {
                self.numbered = true;
                self.voice.say(menu::table(self.language()));
                Ok(())
            }
            Word::Speed(_) if self.teller.is_some() => Err(say!(
                self.language(),
                "real time cannot be slowed: `slow 200ms` holds messages up, `config election_timeout 3s..6s` behind \
                 `servers 5` gives time to look; `jangada lab --sim` has slow motion"
            )),
            Word::Speed(pace) => {
                self.pace = pace;
                return Outcome::Done;
            }
            Word::Lesson(_) => {
                Err(say!(self.language(), "a lesson does not begin in the middle of something else"))
            }
            Word::Travel(_) => Err(say!(
                self.language(),
                "real time goes one way: `jangada lab --sim` can step, go back and fork"
            )),
            Word::Help(of) => self.say(|session| help::lines(session.language(), of.as_deref())),
        };
        self.end_of(line, done)
    }

    /// What was carried out is remembered; what was not is told.
    fn end_of(&mut self, line: &str, done: Result<(), String>) -> Outcome {
        match done {
            Ok(()) => {
                self.typed.push(line.trim().to_owned());
                Outcome::Done
            }
            Err(why) => {
                self.voice.refuse(&why);
                Outcome::Refused
            }
        }
    }

    fn say(
        &mut self,
        lines: impl FnOnce(&mut Session<B>) -> Result<Vec<String>, String>,
    ) -> Result<(), String> {
        self.stage.start()?;
        let lines = lines(self)?;
        self.voice.say(&lines.join("\n"));
        Ok(())
    }

    /// Says what the stage has to tell.
    pub(super) fn tell(&mut self) {
        for record in self.stage.take_records() {
            self.known.happened(&self.words, &record);
            let _remembered = self.words.sentence(&record, Level::Warn);
        }
        let told = self.stage.take_told();
        if !told.is_empty() {
            // What happened meanwhile comes first.
            self.flush();
            self.voice.say(&told.join("\n"));
        }
    }

    fn command(&mut self, line: &str, command: &Command) -> Outcome {
        if let Err(why) = self.sensible(command) {
            return self.end_of(line, Err(why));
        }
        match command {
            Command::Watch(kinds) if self.teller.is_some() => {
                if let Some(teller) = &self.teller {
                    teller.watch(kinds);
                }
                return self.end_of(line, Ok(()));
            }
            Command::Watch(kinds) => self.watched.clone_from(kinds),
            Command::Servers(_) => {
                self.began_anew |= self.has_been_used();
                self.typed.clear();
                self.stage.as_cluster_mut().begin_anew();
                self.eye.iter().for_each(Eye::begin_anew);
                if self.teller.is_none() {
                    self.known.forget();
                    self.words = Words::new(Names::new()).in_language(self.language());
                }
            }
            _ => {}
        }
        self.await_a_leader(command);
        let done = match self.pace {
            Some(pace) => self.paced(command, pace),
            None => self.stage.carry_out(command),
        };
        self.show();
        self.tell();
        if let Err(why) = done {
            self.flush();
            self.voice.refuse(&why);
            let checks = matches!(
                command,
                Command::Expect(_) | Command::Wait(..) | Command::Always(..) | Command::Cannot { .. }
            );
            return if checks { Outcome::Failed } else { Outcome::Refused };
        }
        self.explain(command);
        let done = self.end_of(line, Ok(()));
        if let (Command::Servers(_), Some(seed)) = (command, self.seed) {
            self.sow(seed);
        }
        done
    }

    /// Whoever asks servers that have only just started would be refused, as nobody leads yet; and only a leader can
    /// change the members, so that a moment's patience is worth it.
    fn await_a_leader(&mut self, command: &Command) {
        let waits = match command {
            Command::Client { at: None, begin: false, .. } => self.known.standing().term.0 == 0,
            Command::Add(_) | Command::Remove(_) | Command::Members(_) | Command::Transfer { .. } => true,
            _ => false,
        };
        if waits {
            // If there is none, the answer says why. What happened meanwhile is told with it.
            let _nobody = self.stage.carry_out(&Command::Wait(Condition::SomeLeader, Some(LEADER_PATIENCE)));
        }
    }

    /// What cannot be meant is refused before anything happens, with what could be.
    fn sensible(&mut self, command: &Command) -> Result<(), String> {
        if words::named(command).is_empty() && !matches!(command, Command::Add(_)) {
            return Ok(());
        }
        self.stage.start()?;
        let live = self.stage.as_cluster();
        let known = live.servers();
        let numbers = |servers: &[Server]| -> Vec<NodeId> {
            let number = |server: &Server| match server {
                Server::Number(number) => Some(NodeId(*number)),
                Server::Leader | Server::Follower(_) | Server::Named(_) | Server::All => None,
            };
            servers.iter().filter_map(number).collect()
        };
        for id in numbers(words::named(command)) {
            if !known.contains(&id) && !matches!(command, Command::Transfer { .. }) {
                return Err(say!(
                    self.language(),
                    "there is no {id}: {known}{would}",
                    id,
                    known = there_are(self.language(), &known),
                    would = would_add(self.language(), id)
                ));
            }
            let up = live.view(id).is_some();
            match command {
                Command::Crash(_) if !up => {
                    return Err(say!(
                        self.language(),
                        "{id} is down already: `restart {number}`",
                        id,
                        number = id.0
                    ));
                }
                Command::Restart(_) if up => {
                    return Err(say!(
                        self.language(),
                        "{id} runs already: `crash {number}` it first",
                        id,
                        number = id.0
                    ));
                }
                Command::Resume(_) if up && !live.is_paused(id) => {
                    return Err(say!(self.language(), "{id} does not stand still: nothing to resume", id));
                }
                _ => {}
            }
        }
        if let Command::Add(change) = command {
            let members = members(live);
            if let Some(id) = numbers(&change.servers).into_iter().find(|id| members.contains(id)) {
                let now = if live.view(id).is_some() {
                    say!(self.language(), "`remove {number}` lets it go", number = id.0)
                } else {
                    say!(self.language(), "it is down, and `restart {number}` brings it back", number = id.0)
                };
                return Err(say!(self.language(), "{id} is a member already: {now}", id, now));
            }
        }
        Ok(())
    }

    /// What the stage does not tell: how a server came to be as it is.
    fn explain(&mut self, command: &Command) {
        let Command::Why(server) = command else { return };
        let id = self.stage.server(server).ok();
        let standing = self.known.standing();
        let id = id.filter(|id| self.stage.as_cluster().view(*id).is_some());
        let evidence = id.and_then(|id| standing.evidence.get(&id)).map(Vec::as_slice).unwrap_or_default();
        for line in &evidence[evidence.len().saturating_sub(MAX_EVIDENCE)..] {
            self.voice.say(&format!("  {line}"));
        }
    }

    // ---- More than a line ---------------------------------------------------------------------------------

    fn scenario(&mut self, name: &str) -> Outcome {
        let Some(text) = scenarios::text(name) else {
            let names: Vec<String> = scenarios::list(self.language());
            let no_such = say!(self.language(), "there is no scenario `{name}`; there are:", name);
            self.voice.refuse(&format!("{no_such}\n{}", names.join("\n")));
            return Outcome::Refused;
        };
        for line in scenarios::commands(text) {
            if let Some(comment) = line.strip_prefix('#') {
                self.voice.say(&format!("# {}", self.language().of(comment.trim())));
                continue;
            }
            self.voice.say(&format!("lab> {line}"));
            let outcome = self.word(line);
            if outcome != Outcome::Done {
                return outcome;
            }
        }
        Outcome::Done
    }

    // ---- For the numbered menu ----------------------------------------------------------------------------

    /// Carries one command out for the menu; what it tells is left to the menu.
    pub(super) fn do_it(&mut self, command: &Command) -> Result<(), String> {
        self.sensible(command)?;
        self.await_a_leader(command);
        let done = self.stage.carry_out(command);
        self.show();
        let _answers = self.stage.take_told();
        self.flush();
        done
    }

    pub(super) fn language(&self) -> Language {
        self.voice.language()
    }

    pub(super) fn say_line(&self, text: &str) {
        self.voice.say(text);
    }

    pub(super) fn cluster(&self) -> &B {
        self.stage.as_cluster()
    }

    pub(super) fn last_answer(&self) -> String {
        self.stage.last_answer().map_or_else(String::new, |(text, _)| text.to_owned())
    }

    /// The same in the language of the laboratory.
    pub(super) fn last_answer_told(&self) -> String {
        self.stage.last_answer_told().map_or_else(String::new, str::to_owned)
    }

    pub(super) fn was_refused(&self) -> bool {
        self.stage.last_answer().is_some_and(|(_, refused)| refused)
    }

    pub(super) fn leave_menu(&mut self) {
        self.numbered = false;
        self.voice.say(&say!(self.language(), "back to words: `help` lists them"));
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.shut
    }

    pub(super) fn shut(&mut self) {
        self.shut = true;
    }

    pub(super) fn created(&mut self) {
        self.shut = false;
    }
}

impl Session<Live> {
    /// The servers end; others begin with the next `servers N`.
    pub fn rest(&mut self) {
        self.stage.as_cluster_mut().end();
        self.flush();
        self.known.forget();
    }
}

/// Who votes, as far as the one in the highest term knows.
fn members<B: Backend>(live: &B) -> Vec<NodeId> {
    let views = live.servers().into_iter().filter_map(|id| live.view(id));
    let newest = views.max_by_key(|view| (view.is_leader(), view.term, view.commit_index));
    newest.map(|view| view.membership.all_voters().into_iter().collect()).unwrap_or_default()
}
