//! Requests of clients and administrators, and what came of them, in words.

use std::collections::BTreeSet;

use bytes::Bytes;
use jangada_kv::command::{Command as KvCommand, Reply, Set};
use jangada_kv::{KeyRange, RangeRequest, Request as KvRequest, Response};
use jangada_node::effect::{AdminDone, Failure, Token};
use jangada_raft::types::{NodeId, Time};
use jangada_trace::language::Language;
use jangada_trace::phrases::since_start;
use jangada_trace::{said, say};

use super::cluster::{Answer, Ask, Cluster, Deed};
use super::command::{Change, Request, Server};
use super::stage::Stage;
use super::who::{leader, running};

/// The last answer that somebody got.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Who was asked.
    pub(super) at: NodeId,
    /// What for.
    pub(super) asked: String,
    /// The answer in English, which conditions compare with.
    pub(super) text: String,
    /// The same in the language that is told in.
    pub(super) told: String,
    /// It had no effect.
    pub(super) refused: bool,
}

impl<C: Cluster> Stage<C> {
    pub(super) fn client(
        &mut self,
        request: &Request,
        at: Option<&Server>,
        begin: bool,
    ) -> Result<(), String> {
        let id = self.asked_server(at)?;
        self.ask(id, in_words(self.language, request), Ask::Client(query(request)), begin)
    }

    /// Asks, and, unless it was only to begin, waits for the answer.
    fn ask(&mut self, id: NodeId, what: String, ask: Ask, begin: bool) -> Result<(), String> {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.asked.insert(token, (id, what));
        let asked = self.cluster()?.ask(id, token, ask);
        if asked.is_err() {
            self.asked.remove(&token);
        }
        asked?;
        if begin { Ok(()) } else { self.until_answered(token) }
    }

    /// The server named, or the leader, or the first that runs.
    fn asked_server(&mut self, at: Option<&Server>) -> Result<NodeId, String> {
        if let Some(server) = at {
            return self.running(server);
        }
        let cluster = self.cluster()?;
        let first = running(cluster).map(|view| view.id).next();
        leader(cluster).or(first).ok_or_else(|| say!(self.language, "no server runs"))
    }

    pub(super) fn add(&mut self, change: &Change) -> Result<(), String> {
        let new = self.servers(&change.servers)?;
        self.start_new(&new)?;
        self.change("add", change, |voters| voters.extend(&new))
    }

    pub(super) fn remove(&mut self, change: &Change) -> Result<(), String> {
        let gone = self.servers(&change.servers)?;
        self.change("remove", change, |voters| voters.retain(|id| !gone.contains(id)))
    }

    pub(super) fn members(&mut self, change: &Change) -> Result<(), String> {
        let wanted: BTreeSet<NodeId> = self.servers(&change.servers)?.into_iter().collect();
        self.start_new(&wanted)?;
        self.change("members", change, |voters| voters.clone_from(&wanted))
    }

    /// Those that never ran start with empty disks.
    fn start_new<'a>(&mut self, ids: impl IntoIterator<Item = &'a NodeId>) -> Result<(), String> {
        let cluster = self.cluster()?;
        let known = cluster.servers();
        for id in ids {
            if !known.contains(id) {
                cluster.befall(*id, Deed::Start)?;
            }
        }
        Ok(())
    }

    fn change(
        &mut self,
        verb: &str,
        change: &Change,
        edit: impl FnOnce(&mut BTreeSet<NodeId>),
    ) -> Result<(), String> {
        let id = self.asked_server(change.at.as_ref())?;
        let named = self.servers(&change.servers)?;
        let language = self.language;
        let view = self.cluster()?.view(id).ok_or_else(|| say!(language, "{id} does not run", id))?;
        let (mut voters, learners) = (view.membership.voters.clone(), view.membership.learners.clone());
        edit(&mut voters);
        let learners = learners.difference(&voters).copied().collect();
        let names: Vec<String> = named.iter().map(|id| format!(" {id}")).collect();
        self.ask(id, format!("{verb}{}", names.concat()), Ask::Members { voters, learners }, change.begin)
    }

    pub(super) fn transfer(&mut self, to: &Server, at: Option<&Server>, begin: bool) -> Result<(), String> {
        let (to, id) = (self.server(to)?, self.asked_server(at)?);
        self.ask(id, format!("transfer {to}"), Ask::Transfer(to), begin)
    }

    /// An answer has come.
    pub(super) fn heard(&mut self, now: Time, token: Token, answer: &Answer) {
        let Some((id, what)) = self.asked.remove(&token) else { return };
        // Conditions compare with the English words, whatever somebody is told in.
        let (text, refused) = self.hear(Language::English, answer);
        let (told, _) = self.hear(self.language, answer);
        // A value may be long; what was refused or lost is told whole.
        let short = match answer {
            Answer::Response(_) => shortened(self.language, &told),
            Answer::Done(_) | Answer::Failed(_) | Answer::Refused(_) | Answer::Unknown(_) => told.clone(),
        };
        let remark =
            self.cluster.take_remark(token).map_or_else(String::new, |remark| format!("   ({remark})"));
        self.told.push(format!("{:<7} {:<6} {what}: {short}{remark}", since_start(now), id.to_string()));
        self.heard = Some(Heard { at: id, asked: what, text, told, refused });
    }

    /// The answer in words, and whether it says that nothing happened.
    fn hear(&self, language: Language, answer: &Answer) -> (String, bool) {
        match answer {
            Answer::Response(response) => (response_words(language, response), false),
            Answer::Done(AdminDone::MembershipChanged) => ("OK".to_owned(), false),
            Answer::Done(AdminDone::Transferred { term }) => (say!(language, "OK, term {term}", term), false),
            Answer::Failed(failure) => self.failure_words(language, *failure),
            Answer::Refused(why) => (say!(language, "refused: {why}", why), true),
            Answer::Unknown(why) => (say!(language, "outcome unknown: {why}", why), false),
        }
    }

    fn failure_words(&self, language: Language, failure: Failure) -> (String, bool) {
        let refused = |why: &str| (say!(language, "refused: {why}", why), true);
        match failure {
            Failure::NoLeader => refused(language.of(said!("no leader"))),
            Failure::Busy => refused(language.of(said!("too much waits already"))),
            Failure::TooLarge => refused(language.of(said!("too large"))),
            Failure::Refused(why) => refused(&self.words.clone().in_language(language).why_refused(why)),
            Failure::TransferFailed => refused(language.of(said!("the transfer came to nothing"))),
            Failure::OutcomeUnknown => {
                (say!(language, "outcome unknown: leadership changed on the way"), false)
            }
            Failure::AnswerTooLarge => (say!(language, "done; the answer is too long"), false),
            Failure::BadAnswer => (say!(language, "the answer cannot be read"), false),
        }
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn query(request: &Request) -> KvRequest {
    match request {
        Request::Set { key, value } => KvRequest::Command(KvCommand::Set(Set::new(bytes(key), bytes(value)))),
        Request::Get { key } => KvRequest::Command(KvCommand::Get { key: bytes(key) }),
        Request::Delete { key } => KvRequest::Command(KvCommand::Delete { keys: vec![bytes(key)] }),
        Request::Incr { key } => KvRequest::Command(KvCommand::Increment { key: bytes(key), by: 1 }),
        Request::ShowAll => KvRequest::Range(Box::new(RangeRequest::new(KeyRange::all()))),
    }
}

fn in_words(language: Language, request: &Request) -> String {
    match request {
        Request::Set { key, value } => {
            format!("set {} {}", shortened(language, key), shortened(language, value))
        }
        Request::Get { key } => format!("get {}", shortened(language, key)),
        Request::Delete { key } => format!("delete {}", shortened(language, key)),
        Request::Incr { key } => format!("incr {}", shortened(language, key)),
        Request::ShowAll => "show".into(),
    }
}

/// Longest text that is told whole.
const MAX_TOLD: usize = 60;

/// On one line, and not too long for it.
fn shortened(language: Language, text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    if escaped.chars().count() <= MAX_TOLD {
        return escaped;
    }
    let begin: String = escaped.chars().take(8).collect();
    say!(language, "{begin}… ({count} bytes)", begin, count = text.len())
}

fn response_words(language: Language, response: &Response) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    match response {
        Response::Reply(Reply::Ok) => "OK".into(),
        Response::Reply(Reply::Nil) => say!(language, "not found"),
        Response::Reply(Reply::Integer(number)) => number.to_string(),
        Response::Reply(Reply::Value(value)) => text(value),
        Response::Reply(Reply::Error(why)) => say!(language, "error: {why}", why),
        Response::Range(range) if range.kvs.is_empty() => say!(language, "no keys"),
        Response::Range(range) => {
            let pairs = range.kvs.iter().map(|kv| format!("{}={}", text(&kv.key), text(&kv.value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
        Response::Error(why) => say!(language, "error: {why}", why),
        // No request of a script is answered so.
        other => format!("{other:?}"),
    }
}
