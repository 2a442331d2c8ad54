//! Who reads lines, who carries them out, and what signals do.
//!
//! The session has a thread of its own, so that time goes on, and answers come, while somebody thinks at the prompt.

use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jangada_trace::language::Language;
use jangada_trace::{said, say};

use crate::failure::{Exit, Failure};
use crate::output;

use super::classroom::{Classroom, Progress};
use super::house::{Folder, Last, Ports};
use super::known::Known;
use super::live::Live;
use super::page::{self, Door, Eye, Feed};
use super::prompt;
use super::scenarios;
use super::session::{GLIMPSE, Outcome, Session};
use super::teller::Teller;
use super::voice::Voice;
use super::words;

/// Servers at the beginning, and the first port, unless somebody says otherwise.
const SERVERS: u64 = 5;
const PORTS: u16 = 3_000;
/// Longest line of a pipe; no server takes a value of that size.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// Characters of a line that a complaint about it repeats.
const MAX_SHOWN: usize = 80;

/// How a laboratory is to be.
pub struct Plan {
    /// The seed of a made-up world; `None` for real servers.
    pub seed: Option<u64>,
    /// Servers at the beginning, if somebody said how many.
    pub servers: Option<u64>,
    /// The first port, if somebody said which.
    pub ports: Option<u16>,
    /// Where the disks are.
    pub folder: PathBuf,
    /// They stay behind.
    pub keep: bool,
    /// Each server records everything in this folder.
    pub record: Option<PathBuf>,
    /// A page for the browser is served.
    pub page: bool,
    /// Where lines come from.
    pub source: Source,
    /// What people are spoken to in.
    pub language: Language,
}

/// Where lines come from.
pub enum Source {
    /// Somebody who types.
    Prompt,
    /// A pipe.
    Pipe,
    /// The lines of a script, all of them read already.
    Script {
        /// What it is called.
        name: String,
        /// Where it is, if it is a file.
        file: Option<PathBuf>,
        /// Its lines.
        text: String,
    },
}

/// What the session's thread is told.
enum Told {
    /// Carry this out, which stands there if nobody types it.
    Line(String, Option<String>, SyncSender<Outcome>),
    /// The same, from the page, which knows nothing of the menu.
    Words(String, SyncSender<Outcome>),
    /// Let so much time pass in a made-up world.
    Play(Duration, SyncSender<Outcome>),
    /// End.
    Over,
}

/// What opens a laboratory.
struct Opening {
    seed: Option<u64>,
    servers: Option<u64>,
    /// The servers and the seed that a script begins with.
    first: (Option<u64>, Option<u64>),
    ports: Option<u16>,
    folder: PathBuf,
    keep: bool,
    record: Option<PathBuf>,
    page: bool,
    /// Where lessons that are done are remembered.
    progress: Option<PathBuf>,
}

/// Opens a laboratory, and stays until it is over.
///
/// # Errors
/// 1 if something is not as a script expects, or a command was refused; 2 if a line cannot be read.
pub fn run(plan: Plan) -> Result<(), Failure> {
    let Plan { seed, servers, ports, folder, keep, record, page, source, language } = plan;
    let (mut first, mut script) = ((None, None), None);
    if let Source::Script { name, file, text } = &source {
        check(language, name, text)?;
        (first, script) = (scenarios::first_world(text), file.clone());
    }
    let voice = Voice::stdout(language);
    // Only what somebody does at the prompt is for the next time, too.
    let (greets, progress) = match source {
        Source::Prompt => (Greeting::Voice(voice.clone()), prompt::state_file("lab_lessons")),
        Source::Pipe | Source::Script { .. } => (Greeting::Note, None),
    };
    let opening = Opening { seed, servers, first, ports, folder, keep, record, page, progress };
    let (tell, inbox) = channel();
    let (ready, opened) = sync_channel(1);
    let speaks = voice.clone();
    let serve = move || match open(&opening, &speaks, &greets) {
        Ok((session, door)) => {
            script.iter().for_each(|script| session.known().plays(script));
            let _waiting = ready.send(Ok((session.known(), door)));
            serve(session, &inbox, &speaks);
        }
        Err(why) => {
            let _waiting = ready.send(Err(why));
        }
    };
    let thread = std::thread::Builder::new().name("session".to_owned()).spawn(serve);
    let thread =
        thread.map_err(|why| Failure::refused(say!(language, "no thread for the laboratory: {why}", why)))?;
    let known =
        opened.recv().unwrap_or_else(|_| Err(say!(language, "the laboratory died of a bug, see above")));
    let (known, door) = known.map_err(Failure::refused)?;
    let over = Arc::new(Over {
        tell: Mutex::new(tell.clone()),
        thread: Mutex::new(Some(thread)),
        interrupted: AtomicBool::new(false),
    });
    let talk = Talk { tell, known, busy: Arc::new(AtomicBool::new(false)) };
    if let Some(door) = door {
        let (words, play) = (talk.clone(), talk.clone());
        let words = move |line: &str| words.ask(|done| Told::Words(line.to_owned(), done));
        let play = move |time| play.ask(|done| Told::Play(time, done));
        let feed = Arc::clone(&door.feed);
        let hand = page::hand(move || feed.is_made_up(), voice.clone(), words, play);
        page::serve(door, hand).map_err(Failure::refused)?;
    }
    watch_signals(language, &talk, &over, matches!(source, Source::Prompt))?;
    let ended = match source {
        Source::Prompt => converse(&talk, &voice),
        Source::Pipe => Reading::new("stdin", &voice, &talk).pipe(&mut std::io::stdin().lock()),
        Source::Script { name, text, .. } => Reading::new(&name, &voice, &talk).script(&text),
    };
    over.end();
    if over.interrupted.load(SeqCst) { Err(Failure::silent(Exit::Interrupted)) } else { ended }
}

/// Where the first words go.
enum Greeting {
    Voice(Voice),
    Note,
}

impl Greeting {
    fn say(&self, text: &str) {
        match self {
            Greeting::Voice(voice) => voice.say(text),
            Greeting::Note => output::note(text),
        }
    }

    fn page(&self, language: Language, door: Option<&Door>) {
        door.into_iter().for_each(|door| self.say(&say!(language, "  browser {url}", url = door.url())));
    }
}

/// A laboratory, and where its page will be.
type Opened = (Classroom, Option<Door>);

fn open(opening: &Opening, voice: &Voice, greeting: &Greeting) -> Result<Opened, String> {
    let progress = Progress::of(opening.progress.clone());
    let language = voice.language();
    if let Some(seed) = opening.seed {
        return open_world(opening, seed, progress, voice, greeting);
    }
    let folder = Folder::take(language, &opening.folder, opening.keep)?;
    let wanted = opening.ports.or(folder.last().map(|last| last.base)).unwrap_or(PORTS);
    let ports = Ports::take(language, wanted)?;
    let servers = how_many(opening, &ports, &folder, language)?;
    let path = folder.path().display();
    let fate = if opening.keep { said!("kept") } else { said!("deleted on exit; --keep") };
    greeting.say(&say!(
        language,
        "jangada lab · {servers} in this process, each with its own disk under {path} ({fate})",
        servers = many_servers(language, servers),
        path,
        fate = language.of(fate)
    ));
    if folder.path() != opening.folder {
        greeting.say(&say!(
            language,
            "  {wanted} has disks that are kept, or belongs to somebody else: it is left alone",
            wanted = opening.folder.display()
        ));
    }
    if ports.base() != wanted {
        let base = ports.base();
        greeting.say(&say!(
            language,
            "  somebody uses ports from {wanted} on: this laboratory begins at {base}",
            wanted,
            base
        ));
    }
    if folder.last().is_some() {
        greeting.say(&say!(
            language,
            "  goes on with the disks of the last time; `servers {servers}` would put them aside and begin anew",
            servers
        ));
    }
    let teller = Teller::start(voice.clone())?;
    let epoch = teller.reporter().epoch();
    let door = if opening.page { Some(door(&ports, Some(epoch), voice)?) } else { None };
    greeting.page(language, door.as_ref());
    let mut live = Live::new(ports, folder, teller.reporter())?;
    live.record_in(opening.record.clone())?;
    let eye = door.as_ref().map(|door| Eye::new(Arc::clone(&door.feed), language));
    eye.iter().for_each(|eye| live.show_to(eye.clone()));
    let known = teller.known();
    let mut session = Session::new(live, Some(teller), known, voice.clone());
    eye.iter().for_each(|eye| session.show_to(eye.clone()));
    session.begin(servers, None)?;
    if let Greeting::Voice(_) = greeting {
        session.start()?;
    }
    Ok((Classroom::real(session, servers, voice.clone(), progress, eye), door))
}

/// A made-up world.
fn open_world(
    opening: &Opening,
    seed: u64,
    progress: Progress,
    voice: &Voice,
    greeting: &Greeting,
) -> Result<Opened, String> {
    let language = voice.language();
    let servers = opening.servers.unwrap_or(SERVERS);
    greeting.say(&say!(
        language,
        "jangada lab · {servers} in a made-up world, seed {seed}: time stands still until `run 1s`",
        servers = many_servers(language, opening.first.0.unwrap_or(servers)),
        seed = opening.first.1.unwrap_or(seed)
    ));
    let door = if opening.page {
        Some(door(&Ports::take(language, opening.ports.unwrap_or(PORTS))?, None, voice)?)
    } else {
        None
    };
    greeting.page(language, door.as_ref());
    let eye = door.as_ref().map(|door| Eye::new(Arc::clone(&door.feed), language));
    Ok((Classroom::made_up(servers, seed, voice.clone(), progress, eye)?, door))
}

/// How many servers begin: as many as wanted, or those whose disks were kept.
///
/// # Errors
/// What was kept is not what is wanted: a sentence that says what would go on with it, and what begins anew.
fn how_many(opening: &Opening, ports: &Ports, folder: &Folder, language: Language) -> Result<u64, String> {
    let Some(Last { servers, base }) = folder.last() else { return Ok(opening.servers.unwrap_or(SERVERS)) };
    let path = folder.path().display();
    if base != ports.base() {
        return Err(if opening.ports.is_none_or(|wanted| wanted == base) {
            say!(
                language,
                "the disks kept in {path} know one another by ports from {base} on, and somebody uses these now: wait \
                 until they are free, or give another --data-dir",
                path,
                base
            )
        } else {
            say!(
                language,
                "the disks kept in {path} know one another by ports from {base} on: `--ports {base}` goes on with them, \
                 another --data-dir begins anew",
                path,
                base
            )
        });
    }
    match opening.servers {
        Some(wanted) if wanted != servers => Err(say!(
            language,
            "the disks kept in {path} are those of a laboratory of {servers}: without --servers it goes on with them, \
             another --data-dir begins anew",
            path,
            servers = many_servers(language, servers)
        )),
        Some(_) | None => Ok(servers),
    }
}

/// The page is served at the first port of the block, which the laboratory holds anyway.
fn door(ports: &Ports, epoch: Option<Instant>, voice: &Voice) -> Result<Door, String> {
    let feed = Feed::new(epoch);
    voice.also_to(Arc::clone(&feed));
    Door::new(ports.listener(), feed, voice.language())
}

fn many_servers(language: Language, count: u64) -> String {
    if count == 1 { say!(language, "1 server") } else { say!(language, "{count} servers", count) }
}

/// The session's thread.
fn serve(mut session: Classroom, inbox: &Receiver<Told>, voice: &Voice) {
    let mut begun = false;
    loop {
        match inbox.recv_timeout(GLIMPSE) {
            Ok(Told::Line(line, place, done)) => {
                begun = true;
                voice.reads(place);
                let outcome = session.line(&line);
                voice.reads(None);
                let _gone = done.send(outcome);
            }
            Ok(Told::Words(line, done)) => {
                begun = true;
                let outcome = session.words(&line);
                let _gone = done.send(outcome);
            }
            Ok(Told::Play(time, done)) => {
                session.play(time);
                let _gone = done.send(Outcome::Done);
            }
            Ok(Told::Over) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                // A pipe that says nothing yet: others may want to connect.
                if !begun {
                    begun = true;
                    session.begin();
                }
                session.look_on();
            }
        }
    }
}

/// The way to the session.
#[derive(Clone)]
struct Talk {
    tell: Sender<Told>,
    known: Arc<Known>,
    /// A line is being carried out.
    busy: Arc<AtomicBool>,
}

impl Talk {
    fn line(&self, line: &str, place: Option<String>) -> Outcome {
        self.ask(|done| Told::Line(line.to_owned(), place, done))
    }

    fn ask(&self, what: impl FnOnce(SyncSender<Outcome>) -> Told) -> Outcome {
        let (done, outcome) = sync_channel(1);
        self.busy.store(true, SeqCst);
        let told = self.tell.send(what(done));
        let outcome = told.map_err(|_| ()).and_then(|()| outcome.recv().map_err(|_| ()));
        self.busy.store(false, SeqCst);
        // A session that is gone was ended by a signal.
        outcome.unwrap_or(Outcome::Over)
    }
}

/// The end of the session, which comes once.
struct Over {
    tell: Mutex<Sender<Told>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Ctrl+C ended it.
    interrupted: AtomicBool,
}

impl Over {
    fn end(&self) {
        // Whoever comes second waits for the first.
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _gone = self.tell.lock().unwrap_or_else(PoisonError::into_inner).send(Told::Over);
            let _panicked = thread.join();
        }
    }
}

/// Somebody types.
fn converse(talk: &Talk, voice: &Voice) -> Result<(), Failure> {
    let language = voice.language();
    let mut lines = prompt::open(Arc::clone(&talk.known), language)?;
    let printer = lines.create_external_printer();
    voice.above(Box::new(
        printer.map_err(|why| Failure::usage(say!(language, "cannot use the terminal: {why}", why)))?,
    ));
    voice.say(&say!(
        language,
        "`help` lists the commands, Tab completes them, `lesson` lists tasks, Ctrl+D leaves"
    ));
    let _ahead = prompt::TypedAhead::keep();
    let ended = loop {
        match prompt::read(&mut lines) {
            Ok(Some(line)) => {
                // Several lines that are pasted at once arrive as one.
                if line.split(['\n', '\r']).any(|line| talk.line(line, None) == Outcome::Over) {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(why) => break Err(why),
        }
    };
    prompt::close(&mut lines);
    ended
}

/// Line after line. What cannot be read or done is told, and the next line is read all the same; what is not as it was
/// expected to be is the end. Each complaint names the line that it is about.
struct Reading<'a> {
    name: &'a str,
    voice: &'a Voice,
    talk: &'a Talk,
    worst: Option<Exit>,
}

impl<'a> Reading<'a> {
    fn new(name: &'a str, voice: &'a Voice, talk: &'a Talk) -> Reading<'a> {
        Reading { name, voice, talk, worst: None }
    }

    fn script(mut self, text: &str) -> Result<(), Failure> {
        for (number, line) in scenarios::numbered(text) {
            if !self.line(number, line)? {
                break;
            }
        }
        self.end()
    }

    fn pipe(mut self, input: &mut impl BufRead) -> Result<(), Failure> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.len() as u64 == MAX_LINE_BYTES {
                return Err(Failure::usage(say!(
                    self.voice.language(),
                    "a line is longer than {max} bytes",
                    max = MAX_LINE_BYTES
                )));
            }
            if !self.line(number, &String::from_utf8_lossy(&line))? {
                break;
            }
        }
        self.end()
    }

    /// Whether it goes on.
    fn line(&mut self, number: usize, line: &str) -> Result<bool, Failure> {
        let outcome = self.talk.line(line, Some(place(self.name, number, line)));
        if self.talk.known.is_ending() {
            // Whatever was under way failed because of that.
            self.worst = None;
            return Ok(false);
        }
        if self.voice.is_unheard() {
            return Err(Failure::silent(Exit::No));
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Refused => self.worst = self.worst.or(Some(Exit::No)),
            Outcome::Unread => self.worst = Some(Exit::Usage),
            Outcome::Failed => return Err(Failure::silent(Exit::No)),
            Outcome::Over => return Ok(false),
        }
        Ok(true)
    }

    fn end(self) -> Result<(), Failure> {
        self.worst.map_or(Ok(()), |exit| Err(Failure::silent(exit)))
    }
}

/// `session.txt:3: get d`. Of a long line the beginning will do.
fn place(name: &str, number: usize, line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{name}:{number}: {}…", &line[..at]),
        None => format!("{name}:{number}: {line}"),
    }
}

/// A script is read whole before anything happens.
fn check(language: Language, name: &str, text: &str) -> Result<(), Failure> {
    let mut numbered = false;
    for (number, line) in scenarios::numbered(text) {
        if line.trim() == "menu" {
            numbered = !numbered;
        }
        if !numbered && let Err(why) = words::parse(language, line) {
            let place = place(name, number, line);
            return Err(Failure::usage(say!(language, "{place}: {why}; nothing was played", place, why)));
        }
    }
    Ok(())
}

/// SIGTERM ends the laboratory properly, SIGINT as well, and so does a terminal that is gone; but at the prompt SIGINT only
/// interrupts the command that is being carried out. The second signal ends it at once.
fn watch_signals(language: Language, talk: &Talk, over: &Arc<Over>, typed: bool) -> Result<(), Failure> {
    let (talk, over) = (talk.clone(), Arc::clone(over));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        use tokio::signal::unix::{SignalKind, signal};
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    // While somebody types the terminal is in a mode of its own, which must not outlive this process.
    let mode = rustix::termios::tcgetattr(std::io::stdin()).ok().filter(|_| typed);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {
                        talk.known.interrupt();
                        if !(typed && talk.busy.load(SeqCst)) {
                            over.interrupted.store(true, SeqCst);
                            return;
                        }
                    }
                    _ = terminate.recv() => return,
                    _ = hang_up.recv() => return,
                }
            }
        });
        talk.known.end();
        output::note(&say!(language, "SIGNAL RECEIVED: the laboratory ends"));
        let leave = move |code| -> ! {
            if let Some(mode) = &mode {
                let now = rustix::termios::OptionalActions::Now;
                let _ = rustix::termios::tcsetattr(std::io::stdin(), now, mode);
            }
            std::process::exit(code)
        };
        let (tidy, last) = (leave.clone(), over);
        let ending = std::thread::Builder::new().name("ending".to_owned()).spawn(move || {
            last.end();
            tidy(if last.interrupted.load(SeqCst) { Exit::Interrupted as i32 } else { 0 })
        });
        if ending.is_ok() {
            // Whoever says it twice does not wait for servers to stop, or for a bug.
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
        }
        leave(Exit::Interrupted as i32)
    })?;
    Ok(())
}
