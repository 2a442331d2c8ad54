//! A laboratory with lessons: leads through their tasks, and hands every other line on.
//!
//! A lesson that needs arranged logs, held messages or a time that stands still is played in a made-up world, also in a
//! laboratory of real servers: these rest meanwhile, and begin anew afterwards.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jangada_trace::language::Language;
use jangada_trace::say;

use super::carrier::Carrier;
use super::known::Known;
use super::lessons::course::{Text, course};
use super::lessons::scene::Notes;
use super::lessons::{LESSONS, PLAN};
use super::live::Live;
use super::page::Eye;
use super::rewind::Rewindable;
use super::session::{Outcome, Session};
use super::voice::Voice;
use super::words::{self, Lesson, Word};

/// The seed of all lessons in made-up worlds.
const LESSONS_SEED: u64 = 1;

/// A laboratory, and how far its lessons are.
pub struct Classroom {
    /// Real servers; `None` in a laboratory that is a made-up world.
    real: Option<Session<Live>>,
    /// The made-up world that is open.
    made_up: Option<Rewindable>,
    under_way: Option<UnderWay>,
    progress: Progress,
    known: Arc<Known>,
    voice: Voice,
    /// As the laboratory was opened.
    servers: u64,
    seed: u64,
    /// Looks for the page, in a laboratory of real servers.
    eye: Option<Eye>,
}

/// A lesson, and how far it is.
struct UnderWay {
    number: usize,
    task: usize,
    notes: Notes,
    /// All its tasks are done.
    over: bool,
}

impl Classroom {
    /// Real servers, not started yet.
    pub fn real(
        session: Session<Live>,
        servers: u64,
        voice: Voice,
        progress: Progress,
        eye: Option<Eye>,
    ) -> Classroom {
        let known = session.known();
        Classroom {
            real: Some(session),
            made_up: None,
            under_way: None,
            progress,
            known,
            voice,
            servers,
            seed: 1,
            eye,
        }
    }

    /// A made-up world of this seed.
    ///
    /// # Errors
    /// Its servers do not start: a sentence.
    pub fn made_up(
        servers: u64,
        seed: u64,
        voice: Voice,
        progress: Progress,
        eye: Option<Eye>,
    ) -> Result<Classroom, String> {
        let known = Arc::new(Known::default());
        let made_up = Some(Rewindable::new(servers, seed, Arc::clone(&known), voice.clone(), eye)?);
        Ok(Classroom {
            real: None,
            made_up,
            under_way: None,
            progress,
            known,
            voice,
            servers,
            seed,
            eye: None,
        })
    }

    /// What the events have told.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Carries one line out.
    pub fn line(&mut self, line: &str) -> Outcome {
        match words::parse(self.voice.language(), line) {
            Ok(Some(Word::Lesson(wanted))) => self.lesson(wanted),
            Ok(_) | Err(_) => self.carrier().line(line),
        }
    }

    /// The same, whether or not the menu is open.
    pub fn words(&mut self, line: &str) -> Outcome {
        match words::parse(self.voice.language(), line) {
            Ok(Some(Word::Lesson(wanted))) => self.lesson(wanted),
            Ok(_) | Err(_) => self.carrier().words(line),
        }
    }

    /// Lets time pass; real time does so by itself.
    pub fn play(&mut self, time: Duration) {
        self.carrier().play(time);
    }

    /// Nobody types.
    pub fn look_on(&mut self) {
        self.carrier().look_on();
    }

    /// What is to happen before the first line, if it does not come at once.
    pub fn begin(&mut self) {
        self.carrier().begin();
    }

    fn carrier(&mut self) -> &mut dyn Carrier {
        match (&mut self.made_up, &mut self.real) {
            (Some(made_up), _) => made_up,
            (None, Some(real)) => real,
            (None, None) => unreachable!("a laboratory stands on one of them"),
        }
    }

    fn language(&self) -> Language {
        self.voice.language()
    }

    fn lesson(&mut self, wanted: Lesson) -> Outcome {
        let under_way = self.under_way.as_ref().map(|lesson| (lesson.number, lesson.over));
        let done = match (wanted, under_way) {
            (Lesson::List, _) => {
                self.voice.say(&self.list().join("\n"));
                Ok(())
            }
            (Lesson::Begin(number), _) | (Lesson::Again, Some((number, _))) => self.open(number),
            (Lesson::Next, Some((number, _))) if number < LESSONS => self.open(number + 1),
            (Lesson::Next, Some(_)) => Err(say!(
                self.language(),
                "that was the last lesson: `lesson` lists them, `lesson stop` leaves"
            )),
            (Lesson::Next, None) => match (1..=LESSONS).find(|number| !self.progress.done.contains(number)) {
                Some(number) => self.open(number),
                None => Err(say!(self.language(), "all lessons are done: `lesson` lists them")),
            },
            (Lesson::Check, Some((_, false))) => self.check(),
            (Lesson::Hint, Some((_, false))) => {
                self.hint();
                Ok(())
            }
            (Lesson::Check | Lesson::Hint, Some((_, true))) => Err(say!(
                self.language(),
                "this lesson is done: `lesson next`, `lesson again` or `lesson stop`"
            )),
            (Lesson::Stop, Some(_)) => self.stop(),
            (Lesson::Check | Lesson::Hint | Lesson::Again | Lesson::Stop, None) => Err(say!(
                self.language(),
                "no lesson is under way: `lesson` lists them, `lesson 1` begins one"
            )),
        };
        match done {
            Ok(()) => Outcome::Done,
            Err(why) => {
                self.voice.refuse(&why);
                Outcome::Refused
            }
        }
    }

    fn list(&self) -> Vec<String> {
        let language = self.language();
        let mut lines: Vec<String> = (1..=LESSONS)
            .map(|number| {
                let text = text(language, number);
                let done =
                    if self.progress.done.contains(&number) { say!(language, "done") } else { String::new() };
                let where_ = if PLAN[number - 1].made_up {
                    say!(language, "in a made-up world")
                } else {
                    String::new()
                };
                let line = format!("  {number}  {:<34} {:<24} {where_:<20} {done}", text.title, text.source);
                line.trim_end().to_owned()
            })
            .collect();
        lines.push(say!(language, "`lesson N` begins one, `lesson check` asks whether its task is done."));
        lines
    }

    /// A lesson begins, in a world of its own.
    fn open(&mut self, number: usize) -> Result<(), String> {
        let (language, plan, text) = (self.language(), &PLAN[number - 1], text(self.language(), number));
        let what = say!(language, "lesson {number} · {title}", number, title = text.title);
        self.voice.say(&format!("{what}   [{}]", text.source));
        self.voice.paragraph(&text.story);
        self.move_to(plan.made_up)?;
        for line in plan.setup {
            self.voice.say(&format!("lab> {line}"));
            let outcome = self.carrier().line(line);
            assert_eq!(outcome, Outcome::Done, "a lesson's own lines can be carried out");
            if self.made_up.is_some() && line.starts_with("servers ") {
                // A lesson is the same for everybody.
                let outcome = self.carrier().line(&format!("seed {LESSONS_SEED}"));
                assert_eq!(outcome, Outcome::Done, "its world has not begun");
            }
        }
        if self.made_up.is_some() {
            self.voice.say(&say!(
                language,
                "Time stands still here until you let it pass: `run 300ms`, `wait leader`, `step`; `back` undoes."
            ));
        }
        self.carrier().begin();
        self.under_way = Some(UnderWay { number, task: 0, notes: Notes::default(), over: false });
        self.say_task();
        Ok(())
    }

    /// The next lines go to a made-up world, or to real servers if there are any.
    fn move_to(&mut self, made_up: bool) -> Result<(), String> {
        let Some(real) = &mut self.real else { return Ok(()) };
        if made_up && self.made_up.is_none() {
            self.voice.say(&say!(
                self.voice.language(),
                "This one needs a made-up world: the real servers rest meanwhile. `lesson stop` brings them back."
            ));
            real.rest();
            let (known, voice) = (Arc::clone(&self.known), self.voice.clone());
            self.eye.iter().for_each(|eye| eye.real_time_rests(true));
            self.made_up = Some(Rewindable::new(self.servers, self.seed, known, voice, self.eye.clone())?);
        } else if !made_up && self.made_up.take().is_some() {
            self.eye.iter().for_each(|eye| eye.real_time_rests(false));
            self.known.forget();
        }
        Ok(())
    }

    fn say_task(&self) {
        let Some(lesson) = &self.under_way else { return };
        let text = text(self.language(), lesson.number);
        let (task, of) = (lesson.task + 1, text.task.len());
        let task = say!(self.language(), "task {task} of {of}:", task, of);
        self.voice.paragraph(&format!("{task} {}", text.task[lesson.task].text));
    }

    fn hint(&self) {
        let Some(lesson) = &self.under_way else { return };
        let hint = &text(self.language(), lesson.number).task[lesson.task].hint;
        self.voice.say(&say!(self.language(), "try: {hint}", hint = hint.trim_end()));
    }

    /// Is the task done? Nobody is believed.
    fn check(&mut self) -> Result<(), String> {
        let Some(mut lesson) = self.under_way.take() else { return Ok(()) };
        let check = PLAN[lesson.number - 1].checks[lesson.task];
        let verdict = self.carrier().scene().and_then(|scene| check(&scene, &mut lesson.notes));
        let (language, number) = (self.language(), lesson.number);
        let said = match verdict {
            Ok(facts) => {
                let text = text(language, number);
                let done = text.task[lesson.task].done(&facts);
                self.voice.paragraph(&say!(language, "checked: {done}", done));
                lesson.task += 1;
                lesson.over = lesson.task == text.task.len();
                Ok(lesson.over)
            }
            Err(why) => Err(say!(language, "not yet, because {why}", why)),
        };
        self.under_way = Some(lesson);
        if said? {
            self.progress.add(number);
            self.voice.say(&say!(
                language,
                "lesson {number} is done. `lesson next` goes on, `lesson again` repeats it, `lesson stop` leaves it.",
                number
            ));
        } else {
            self.say_task();
        }
        Ok(())
    }

    /// A laboratory without tasks again.
    fn stop(&mut self) -> Result<(), String> {
        self.under_way = None;
        if self.real.is_some() && self.made_up.is_some() {
            self.move_to(false)?;
            let line = format!("servers {}", self.servers);
            let _told = self.carrier().line(&line);
            self.carrier().begin();
        }
        self.voice.say(&say!(self.language(), "no tasks any more: the servers are yours"));
        Ok(())
    }
}

fn text(language: Language, number: usize) -> &'static Text {
    &course(language).lesson[number - 1]
}

/// Which lessons are done.
#[derive(Default)]
pub struct Progress {
    done: BTreeSet<usize>,
    /// Where that is kept for the next time; `None`: nowhere.
    file: Option<PathBuf>,
}

impl Progress {
    /// What a file knows of earlier times.
    pub fn of(file: Option<PathBuf>) -> Progress {
        let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
        Progress { done: numbers.filter(|number| (1..=LESSONS).contains(number)).collect(), file }
    }

    fn add(&mut self, number: usize) {
        self.done.insert(number);
        let Some(file) = &self.file else { return };
        let numbers: Vec<String> = self.done.iter().map(ToString::to_string).collect();
        // What cannot be kept is known until the laboratory ends.
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(file, numbers.join(" ") + "\n");
    }
}
