//! The laboratory on the simulator's world: time stands still until it is told to pass, and can be travelled through.
//!
//! The same seed and the same lines give the same world. So to go back is to begin anew and to do again what was done
//! until then; a command that was under way at that moment is begun, and not waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jangada_raft::types::Time;
use jangada_sim::script::Simulated;
use jangada_trace::phrases::since_start;
use jangada_trace::say;
use serde_json::json;

use super::known::Known;
use super::lessons::scene::Scene;
use super::page::Eye;
use super::session::{Outcome, Session};
use super::voice::Voice;
use super::words::{self, Travel, Word};

/// A laboratory that can go back.
pub struct Rewindable {
    session: Session<Simulated>,
    voice: Voice,
    servers: u64,
    seed: u64,
    /// What was done since the beginning.
    moves: Vec<Move>,
    /// What had been done when a fork was made.
    forks: BTreeMap<String, Vec<Move>>,
    eye: Option<Eye>,
}

/// One line, and from when to when it took.
#[derive(Clone, Debug)]
struct Move {
    line: String,
    begun: Time,
    ended: Time,
    /// Time passed on the page, step after step.
    played: bool,
}

impl Rewindable {
    /// So many servers in a world of this seed.
    ///
    /// # Errors
    /// They do not start: a sentence.
    pub fn new(
        servers: u64,
        seed: u64,
        known: Arc<Known>,
        voice: Voice,
        eye: Option<Eye>,
    ) -> Result<Rewindable, String> {
        known.forget();
        let session = fresh(servers, seed, known, &voice, eye.as_ref())?;
        let (moves, forks) = (Vec::new(), BTreeMap::new());
        let this = Rewindable { session, voice, servers, seed, moves, forks, eye };
        this.show();
        Ok(this)
    }

    /// Shows the page where in time one can go.
    fn show(&self) {
        let Some(eye) = &self.eye else { return };
        // Times before the last new world are not those of this one.
        let newest = self.moves.iter().rposition(|done| done.line.starts_with("servers "));
        let moves = &self.moves[newest.unwrap_or(0)..];
        let begins = [format!("servers {}", self.servers), format!("seed {}", self.seed)];
        let begins = if newest.is_some() { &[][..] } else { &begins[..] };
        let forks =
            self.forks.iter().map(|(name, moves)| json!([name, moves.last().map_or(0, |last| last.ended.0)]));
        eye.travels(json!({
            "seed": self.seed,
            "begins": begins,
            "moves": moves.iter().map(|done| json!([done.line, done.begun.0, done.ended.0])).collect::<Vec<_>>(),
            "forks": forks.collect::<Vec<_>>(),
        }));
        self.session.show();
    }

    /// Servers that were set up start, so that the page shows them and not those before them.
    pub fn begin_to_be_seen(&mut self) {
        // What keeps them from it is told by the first command that needs them.
        let _refused = self.session.start();
        self.show();
    }

    /// Time passes while somebody looks on; all of it counts as one command.
    pub fn let_pass(&mut self, time: Duration) {
        let now = self.session.now();
        let again = self.moves.pop_if(|last| last.played && last.ended == now);
        let begun = again.as_ref().map_or(now, |last| last.begun);
        let line = run((now + time).since(begun));
        self.session.let_pass(time, line.clone(), again.is_some());
        self.moves.push(Move { line, begun, ended: self.session.now(), played: true });
        self.show();
    }

    /// Carries out a line that is not meant for the menu, whether or not somebody is using that.
    pub fn words(&mut self, line: &str) -> Outcome {
        let numbered = self.session.set_menu(false);
        let outcome = self.line(line);
        self.session.set_menu(numbered);
        outcome
    }

    /// What is known for the prompt.
    pub fn known(&self) -> Arc<Known> {
        self.session.known()
    }

    /// What checks look at.
    ///
    /// # Errors
    /// The servers do not start: a sentence.
    pub fn scene(&mut self) -> Result<Scene<'_>, String> {
        self.session.start()?;
        Ok(self.session.scene())
    }

    /// Carries one line out.
    pub fn line(&mut self, line: &str) -> Outcome {
        let outcome = self.carry_out(line);
        self.show();
        outcome
    }

    fn carry_out(&mut self, line: &str) -> Outcome {
        // Who interrupted the last command did not mean this one.
        let _old_news = self.known().was_interrupted();
        match words::parse(self.voice.language(), line) {
            Ok(Some(Word::Travel(travel))) => self.travel(travel),
            word => {
                let begun = self.session.now();
                let outcome = self.session.line(line);
                let only_looks = matches!(
                    word,
                    Ok(None)
                        | Ok(Some(
                            Word::Leader
                                | Word::Speed(_)
                                | Word::Status
                                | Word::Log(_)
                                | Word::Save(_)
                                | Word::Timeline(_)
                                | Word::Help(_)
                                | Word::Exit
                        ))
                );
                if !only_looks && outcome != Outcome::Unread {
                    self.remember(line, begun);
                }
                outcome
            }
        }
    }

    /// Where time has begun anew, what was before cannot be told from the present.
    fn remember(&mut self, line: &str, begun: Time) {
        let ended = self.session.now();
        self.moves.push(Move { line: line.trim().to_owned(), begun: begun.min(ended), ended, played: false });
    }

    fn travel(&mut self, travel: Travel) -> Outcome {
        let done = match travel {
            Travel::Step(count) => {
                for _ in 0..count {
                    self.step();
                }
                Ok(())
            }
            Travel::Back(count) => {
                let left = self.moves.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
                let moves = self.moves[..left].to_vec();
                self.play(&moves, None)
            }
            Travel::Time(time) => self.go_to(Time(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))),
            Travel::Name(name) => match self.forks.get(&name).cloned() {
                Some(moves) => self.play(&moves, None),
                None => Err(self.no_fork(&name)),
            },
            Travel::Fork(name) => self.fork(name),
        };
        match done {
            Ok(()) => Outcome::Done,
            Err(why) => {
                self.voice.refuse(&why);
                Outcome::Refused
            }
        }
    }

    /// This moment gets a name, which it keeps.
    fn fork(&mut self, name: Option<String>) -> Result<(), String> {
        let language = self.voice.language();
        let name = match name {
            Some(name) if self.forks.contains_key(&name) => {
                return Err(say!(
                    language,
                    "there is a fork `{name}` already, which `goto {name}` comes back to: choose another name",
                    name
                ));
            }
            Some(name) => name,
            None => {
                let mut names = (self.forks.len() + 1..).map(|number| format!("fork{number}"));
                let free = names.find(|name| !self.forks.contains_key(name));
                free.expect("there are more numbers than forks")
            }
        };
        let now = since_start(self.session.now());
        self.voice.say(&say!(language, "`goto {name}` comes back to {now}", name, now));
        self.forks.insert(name, self.moves.clone());
        Ok(())
    }

    fn no_fork(&self, name: &str) -> String {
        let names: Vec<&str> = self.forks.keys().map(String::as_str).collect();
        let there = if names.is_empty() {
            say!(self.voice.language(), "none was made")
        } else {
            say!(self.voice.language(), "there are {names}", names = names.join(" "))
        };
        say!(
            self.voice.language(),
            "`{name}` is neither a time, such as `1.204s`, nor a fork: {there}",
            name,
            there
        )
    }

    /// The next thing happens. For a saved session the same time passes.
    fn step(&mut self) {
        let begun = self.session.now();
        self.session.step();
        let ended = self.session.now();
        self.session.note_typed(run(ended.since(begun)));
        self.moves.push(Move { line: "step".to_owned(), begun, ended, played: false });
    }

    fn go_to(&mut self, time: Time) -> Result<(), String> {
        let now = self.session.now();
        if time >= now {
            let line = run(time.since(now));
            let _told = self.carry_out(&line);
            return Ok(());
        }
        let moves = self.moves.clone();
        self.play(&moves, Some(time))
    }

    /// Begins anew, and does these again, up to this time.
    fn play(&mut self, moves: &[Move], until: Option<Time>) -> Result<(), String> {
        self.voice.mute(true);
        let played = self.play_silently(moves, until);
        self.voice.mute(false);
        played?;
        self.voice.say(&say!(self.voice.language(), "it is {now}", now = since_start(self.session.now())));
        Ok(())
    }

    fn play_silently(&mut self, moves: &[Move], until: Option<Time>) -> Result<(), String> {
        let known = self.known();
        known.forget();
        let pace = self.session.pace.take();
        self.session = fresh(self.servers, self.seed, known, &self.voice, self.eye.as_ref())?;
        let played = self.play_moves(moves, until);
        self.session.pace = pace;
        played
    }

    fn play_moves(&mut self, moves: &[Move], until: Option<Time>) -> Result<(), String> {
        self.moves.clear();
        // Times before the last new world are not those of this one.
        let newest = moves.iter().rposition(|done| done.line.starts_with("servers ")).unwrap_or(0);
        for (place, done) in moves.iter().enumerate() {
            match until {
                Some(until) if place >= newest && done.ended > until => {
                    if done.begun < until {
                        self.begin(done, until);
                    }
                    return Ok(());
                }
                Some(_) | None => {
                    self.again(&done.line);
                    self.moves.iter_mut().last().into_iter().for_each(|last| last.played = done.played);
                }
            }
        }
        if let Some(until) = until {
            self.again(&run(until.since(self.session.now())));
        }
        Ok(())
    }

    fn again(&mut self, line: &str) {
        if line == "step" {
            self.step();
        } else {
            let begun = self.session.now();
            let _as_before = self.session.line(line);
            self.remember(line, begun);
        }
    }

    /// What was under way at that time is begun; then time passes until it is that.
    fn begin(&mut self, done: &Move, until: Time) {
        let verb = done.line.split_whitespace().next().unwrap_or_default();
        if ["set", "get", "delete", "incr", "add", "remove", "members", "transfer"].contains(&verb) {
            self.again(&format!("begin {}", done.line));
        }
        self.again(&run(until.since(self.session.now())));
    }
}

/// A world of its own, without a word.
fn fresh(
    servers: u64,
    seed: u64,
    known: Arc<Known>,
    voice: &Voice,
    eye: Option<&Eye>,
) -> Result<Session<Simulated>, String> {
    let mut world = Simulated::new();
    let brake = Arc::clone(&known);
    world.set_brake(Box::new(move || brake.was_interrupted()));
    let mut session = Session::new(world, None, known, voice.clone());
    if let Some(eye) = eye {
        eye.begin_anew();
        session.show_to(eye.clone());
        let feed = Arc::clone(eye.feed());
        session.stage.set_tap(Box::new(move |record| feed.record(record)));
    }
    session.begin(servers, Some(seed))?;
    session.start()?;
    session.stand();
    Ok(session)
}

/// `run 1234.567us`.
fn run(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    format!("run {}.{:03}us", nanos / 1_000, nanos % 1_000)
}
