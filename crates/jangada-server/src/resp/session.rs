//! One connection's conversation: what it has agreed on, what `MULTI` has queued, what `WATCH` watches.
//!
//! A session takes one command and either answers it at once, or says what the store must be asked. It moves
//! no bytes and waits for nothing: `front::connection` does both.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use jangada_kv::{
    AuthError, Caller, Command as StoreCommand, Error as StoreError, Exec, Request, Response, Revision,
};

use super::answer::{
    Answer, ExecPart, NOAUTH, bounded, write_answer, write_error, write_exec, write_parts, write_refusal,
};
use super::commands::{Bracket, Command, Local, Spec};
use super::describe;
use super::login::{self, LogIn};
use super::parser::{Arguments, Span};
use super::reply::{Reply, Version};
use super::translate::{Refusal, Shape, translate, wrong_arity};
use crate::front::Shared;
use crate::handle::{Kind, RequestError};
use crate::words;

/// The state of a conversation.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    /// The connection's number.
    pub(crate) id: u64,
    /// The version of the protocol that both sides agreed on.
    pub(crate) version: Version,
    /// What the client calls itself.
    pub(crate) name: Vec<u8>,
    /// What `MULTI` has queued since, if it was said.
    transaction: Option<Transaction>,
    watch: Watch,
    /// Who has logged in.
    pub(crate) caller: Caller,
}

/// The commands between `MULTI` and `EXEC`.
#[derive(Debug, Default)]
struct Transaction {
    commands: Vec<Queued>,
    bytes: usize,
    /// A command could not be queued: `EXEC` will refuse.
    broken: bool,
}

/// A command that waits for `EXEC`. It is looked at more closely only then, as in Redis.
struct Queued {
    spec: &'static Spec,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// What it says is shown nowhere: it may be a password, or a value.
impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queued").field("command", &self.spec.name).finish_non_exhaustive()
    }
}

/// The keys that must not change before `EXEC`.
#[derive(Debug, Default)]
struct Watch {
    /// Each with the revision of its last change, when it was asked for.
    keys: Vec<(Bytes, Option<Revision>)>,
    /// How many `WATCH` commands have no answer yet.
    awaited: usize,
    /// One of them failed, so nothing is known: `EXEC` must not go ahead.
    failed: bool,
}

/// What becomes of a command.
#[derive(Debug)]
pub(crate) enum Action {
    /// It has been answered.
    Answered,
    /// It has been answered, and the connection ends.
    Close,
    /// The connection ends without an answer.
    Abort,
    /// The store must be asked.
    Ask(Question),
    /// It depends on answers that are under way: bring it again when all are there.
    Later,
    /// Somebody logs in: nothing else is done before that is settled. If answers are under way, as `Later`.
    LogIn(LogIn),
}

/// What the store must be asked, and what will be made of its answers.
#[derive(Debug)]
pub(crate) struct Question {
    /// Which way the requests go.
    pub(crate) kind: Kind,
    /// The requests: mostly one.
    pub(crate) requests: Requests,
    /// What will be made of the answers.
    pub(crate) expected: Expected,
}

/// One request, or several that count as one command.
#[derive(Debug)]
pub(crate) enum Requests {
    /// The usual case, without a list.
    One(Request),
    /// As many answers are expected.
    Many(Vec<Request>),
}

impl Requests {
    /// Whether one of them may visit all keys there are.
    pub(crate) fn may_visit_all(&self) -> bool {
        match self {
            Requests::One(request) => request.may_visit_all(),
            Requests::Many(requests) => requests.iter().any(Request::may_visit_all),
        }
    }
}

/// Why a key is not watched.
enum Failure {
    /// The request was not answered.
    Server(RequestError),
    /// It was refused.
    Store(jangada_kv::Error),
}

/// What becomes of the answers to one command.
#[derive(Debug)]
pub(crate) enum Expected {
    /// Nothing was asked: these bytes are the reply.
    Written(Vec<u8>),
    /// One answer, written in this shape.
    Reply(Version, Shape),
    /// The answer to a transaction.
    Exec(Version, Vec<ExecPart>),
    /// One answer for each watched key.
    Watched(Vec<Bytes>),
    /// The answer to a line of words.
    Words(words::Shape),
}

impl Session {
    /// A conversation that begins.
    pub(crate) fn new(shared: Arc<Shared>) -> Session {
        let id = shared.next_client();
        Session {
            shared,
            id,
            version: Version::Two,
            name: Vec::new(),
            transaction: None,
            watch: Watch::default(),
            caller: Caller::Nobody,
        }
    }

    /// Whether commands are being queued, so that a line cannot be plain words.
    pub(crate) fn is_queueing(&self) -> bool {
        self.transaction.is_some()
    }

    /// Takes a command. Whatever is answered at once is appended to `out`.
    pub(crate) fn command(&mut self, words: Arguments<'_>, out: &mut Vec<u8>) -> Action {
        let Some(name) = words.get(0) else { return Action::Answered };
        let Some(spec) = Spec::find(name) else { return self.unknown(name, words, out) };
        if let Err(refusal) = check_words(spec, words) {
            self.break_transaction();
            Reply::new(out, self.version).error(refusal.as_bytes());
            return Action::Answered;
        }
        if self.must_log_in() && !spec.flags.contains("no_auth") {
            self.break_transaction();
            let why = match spec.command {
                Command::Bracket(Bracket::Exec) => {
                    format!("EXECABORT Transaction discarded because of: {NOAUTH}")
                }
                Command::Bracket(_) | Command::Local(_) | Command::Store(_) => NOAUTH.to_owned(),
            };
            Reply::new(out, self.version).error(why);
            return Action::Answered;
        }
        if self.depends_on_watch(spec.command) {
            return Action::Later;
        }
        self.shared.counters.command(spec);
        match spec.command {
            Command::Bracket(bracket) => self.bracket(bracket, words, out),
            Command::Local(_) | Command::Store(_) if self.transaction.is_some() => {
                self.queue(spec, words, out);
                Action::Answered
            }
            Command::Local(local) => match login::asked_for(self, local, words) {
                Some(log_in) => Action::LogIn(log_in),
                None => {
                    describe::answer(self, local, words, out);
                    Action::Answered
                }
            },
            Command::Store(store) => match translate(spec, store, words) {
                Ok((command, shape)) => {
                    self.ask(Request::Command(command), Expected::Reply(self.version, shape))
                }
                Err(refusal) => {
                    Reply::new(out, self.version).error(refusal.as_bytes());
                    Action::Answered
                }
            },
        }
    }

    /// Takes a line of plain words. `None`: it is not one.
    pub(crate) fn words(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<Action> {
        let line = words::parse(line, self.shared.limits.shown_keys)?;
        self.shared.counters.words.fetch_add(1, Relaxed);
        Some(match line {
            words::Line::Store(..) if self.must_log_in() => {
                words::write_error(out, "nobody has said who asks: log in first (AUTH user password)");
                Action::Answered
            }
            words::Line::Store(kind, request, shape) => {
                let requests = Requests::One(self.caller.asks(request));
                Action::Ask(Question { kind, requests, expected: Expected::Words(shape) })
            }
            words::Line::Status => {
                out.extend_from_slice(words::status(&self.shared.handle.status()).as_bytes());
                Action::Answered
            }
            words::Line::Help => {
                out.extend_from_slice(words::HELP.as_bytes());
                Action::Answered
            }
            words::Line::Quit => Action::Close,
            words::Line::Wrong(sentence) => {
                words::write_error(out, sentence);
                Action::Answered
            }
        })
    }

    /// Writes the reply to one command, taking its answers from the front of `answers`.
    pub(crate) fn write(
        &mut self,
        expected: Expected,
        answers: &mut impl Iterator<Item = Answer>,
        out: &mut Vec<u8>,
    ) {
        const ONE_EACH: &str = "there is one answer for each request";
        let limit = self.shared.limits.reply_bytes;
        let mut is_none = false;
        let mut next = || {
            let answer = bounded(answers.next().expect(ONE_EACH), limit);
            is_none |= matches!(&answer, Ok(Response::Error(StoreError::Auth(AuthError::InvalidToken))));
            answer
        };
        match expected {
            Expected::Written(bytes) => out.extend_from_slice(&bytes),
            Expected::Reply(version, shape) => {
                write_answer(out, version, shape, &next());
            }
            Expected::Exec(version, parts) => {
                write_exec(out, version, &parts, &next());
            }
            Expected::Watched(keys) => {
                let mut failure = None;
                for key in keys {
                    match next() {
                        Ok(Response::WatchRevision(revision)) => self.watch.keys.push((key, revision)),
                        Ok(Response::Error(error)) => failure = Some(Failure::Store(error)),
                        Ok(_) => {
                            failure = Some(Failure::Server(RequestError::Bad("internal error".to_owned())));
                        }
                        Err(error) => failure = Some(Failure::Server(error)),
                    }
                }
                self.watch.awaited -= 1;
                match failure {
                    None => Reply::new(out, Version::Two).ok(),
                    Some(failure) => {
                        self.watch.failed = true;
                        match failure {
                            Failure::Server(error) => write_error(out, &error),
                            Failure::Store(error) => write_refusal(out, error),
                        }
                    }
                }
            }
            Expected::Words(shape) => words::write_answer(out, shape, &next()),
        }
        // Its user is gone, or has another password. All answers under way are of the same login: a new one waits for
        // them. What would only be refused again does not enter the log.
        if is_none {
            self.caller = Caller::Nobody;
        }
    }

    /// One request on behalf of whoever has logged in.
    fn ask(&self, request: Request, expected: Expected) -> Action {
        let kind = if request.is_read_only() { Kind::Read } else { Kind::Write };
        let requests = Requests::One(self.caller.asks(request));
        Action::Ask(Question { kind, requests, expected })
    }

    /// Whether nobody has logged in where somebody must. Whether who has logged in still may, the store says.
    pub(crate) fn must_log_in(&self) -> bool {
        self.caller == Caller::Nobody && self.shared.handle.board().auth_enabled()
    }

    /// Forgets what is watched.
    pub(crate) fn unwatch(&mut self) {
        debug_assert_eq!(self.watch.awaited, 0, "commands that end a watch wait for its answers");
        self.watch = Watch::default();
    }

    /// Whether a command looks at the watch while answers to `WATCH` are under way.
    fn depends_on_watch(&self, command: Command) -> bool {
        self.watch.awaited > 0
            && match command {
                Command::Bracket(
                    Bracket::Exec | Bracket::Discard | Bracket::Reset | Bracket::Watch | Bracket::Quit,
                ) => true,
                Command::Bracket(Bracket::Multi) | Command::Store(_) => false,
                Command::Local(local) => local == Local::Unwatch,
            }
    }

    fn bracket(&mut self, bracket: Bracket, words: Arguments<'_>, out: &mut Vec<u8>) -> Action {
        let mut reply = Reply::new(out, self.version);
        match bracket {
            Bracket::Multi if self.transaction.is_some() => {
                reply.error("ERR MULTI calls can not be nested");
            }
            Bracket::Multi => {
                self.transaction = Some(Transaction::default());
                reply.ok();
            }
            Bracket::Exec => match self.transaction.take() {
                Some(transaction) => return self.exec(transaction, out),
                None => reply.error("ERR EXEC without MULTI"),
            },
            Bracket::Discard if self.transaction.is_none() => reply.error("ERR DISCARD without MULTI"),
            Bracket::Discard => {
                self.transaction = None;
                self.unwatch();
                Reply::new(out, self.version).ok();
            }
            Bracket::Watch if self.transaction.is_some() => {
                reply.error("ERR WATCH inside MULTI is not allowed");
            }
            Bracket::Watch => return self.watch(words),
            Bracket::Reset => {
                self.transaction = None;
                self.unwatch();
                self.version = Version::Two;
                self.name.clear();
                self.caller = Caller::Nobody;
                Reply::new(out, Version::Two).simple("RESET");
            }
            Bracket::Quit => {
                reply.ok();
                return Action::Close;
            }
        }
        Action::Answered
    }

    fn watch(&mut self, words: Arguments<'_>) -> Action {
        let keys: Vec<Bytes> = words.from(1).map(Bytes::copy_from_slice).collect();
        let asks = |key: &Bytes| self.caller.asks(Request::WatchRevision { key: key.clone() });
        let requests = keys.iter().map(asks).collect();
        self.watch.awaited += 1;
        Action::Ask(Question {
            kind: Kind::Read,
            requests: Requests::Many(requests),
            expected: Expected::Watched(keys),
        })
    }

    /// Keeps a command for `EXEC`.
    fn queue(&mut self, spec: &'static Spec, words: Arguments<'_>, out: &mut Vec<u8>) {
        let limits = &self.shared.limits;
        let Some(transaction) = &mut self.transaction else { return };
        let mut reply = Reply::new(out, self.version);
        let queued = Queued::new(spec, words);
        transaction.bytes += queued.bytes.len();
        if transaction.commands.len() >= limits.queued_commands || transaction.bytes > limits.command_bytes {
            transaction.broken = true;
            reply.error("ERR the transaction is too large; nothing of it will be done");
            return;
        }
        // After a mistake nothing will be done: no need to keep the rest.
        if !transaction.broken {
            transaction.commands.push(queued);
        }
        reply.simple("QUEUED");
    }

    /// A command that cannot even be queued ends the transaction before it began.
    fn break_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.broken = true;
            transaction.commands.clear();
        }
    }

    /// Turns what was queued into one request of the store.
    fn exec(&mut self, transaction: Transaction, out: &mut Vec<u8>) -> Action {
        let watch = std::mem::take(&mut self.watch);
        assert_eq!(watch.awaited, 0, "EXEC waits for the answers to WATCH");
        if transaction.broken || watch.failed {
            let why = if transaction.broken { "previous errors" } else { "a WATCH that failed" };
            Reply::new(out, self.version).error(format!("EXECABORT Transaction discarded because of {why}."));
            return Action::Answered;
        }
        let (commands, parts) = self.resolve(&transaction.commands);
        if commands.is_empty() && watch.keys.is_empty() {
            write_parts(out, self.version, &parts, &[]);
            return Action::Answered;
        }
        let request = Request::Exec(Exec { watched: watch.keys, commands });
        self.ask(request, Expected::Exec(self.version, parts))
    }

    /// Looks at the queued commands: which go to the store, and what the others answer.
    fn resolve(&mut self, queued: &[Queued]) -> (Vec<StoreCommand>, Vec<ExecPart>) {
        let mut commands = Vec::with_capacity(queued.len());
        let mut parts = Vec::with_capacity(queued.len());
        for queued in queued {
            let mut written = Vec::new();
            match queued.spec.command {
                Command::Store(store) => match translate(queued.spec, store, queued.words()) {
                    Ok((command, shape)) => {
                        commands.push(command);
                        parts.push(ExecPart::Reply(shape));
                        continue;
                    }
                    Err(refusal) => Reply::new(&mut written, self.version).error(refusal.as_bytes()),
                },
                Command::Local(local) => describe::answer(self, local, queued.words(), &mut written),
                Command::Bracket(_) => unreachable!("brackets are never queued"),
            }
            parts.push(ExecPart::Written(written));
        }
        (commands, parts)
    }

    fn unknown(&mut self, name: &[u8], words: Arguments<'_>, out: &mut Vec<u8>) -> Action {
        // A web page that makes a browser talk to us: Redis hangs up without a word, and so do we.
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            return Action::Abort;
        }
        self.shared.counters.unknown_commands.fetch_add(1, Relaxed);
        self.break_transaction();
        Reply::new(out, self.version).error(describe::unknown_command(name, words));
        Action::Answered
    }
}

/// Refuses a command with too many or too few words, before anything else is looked at.
fn check_words(spec: &Spec, words: Arguments<'_>) -> Result<(), Refusal> {
    match spec.command {
        _ if !spec.takes(words.len()) => Err(wrong_arity(spec.name)),
        Command::Local(local) => describe::check_subcommand(local, words),
        Command::Bracket(_) | Command::Store(_) => Ok(()),
    }
}

impl Queued {
    fn new(spec: &'static Spec, words: Arguments<'_>) -> Queued {
        let mut bytes = Vec::with_capacity(words.from(0).map(<[u8]>::len).sum());
        let mut spans = Vec::with_capacity(words.len());
        for word in words.from(0) {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(word);
            spans.push(Span { start, end: bytes.len() as u32 });
        }
        Queued { spec, bytes, spans }
    }

    fn words(&self) -> Arguments<'_> {
        Arguments::new(&self.bytes, &self.spans)
    }
}
