//! Clients of the key-value store: which requests they make, what they see, and whether that can be.
//!
//! Each value is written once: a read says which write it has seen, whatever became of that write's answer. Keys are
//! few, so that clients meet; those with a time to live belong to one client each, so that it knows what must be there.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::command::{Command, Expiry, Reply, Set};
use jangada_kv::request::Put;
use jangada_kv::types::KeyRange;
use jangada_kv::{Caller, Error, Request, Response};
use jangada_node::kv_machine::KvMachine;
use jangada_node::state_machine::STAMP_BYTES;
use jangada_raft::types::{NodeId, Time};
use jangada_trace::history::{History, Operation as Asked, OperationId as Noted};
use jangada_trace::linearizable::{Limits, Verdict, check};
use jangada_trace::tell::{request as request_in_words, response as response_in_words};
use jangada_trace::witness;

use crate::check::Invariant;
use crate::coverage::{Counter, Coverage};
use crate::leases::{Bounds, Leases};
use crate::permitted;
use crate::plan::Settings;
use crate::requests::{TTLS_MS, delete, draw, is_mortal, key, mortal, mortal_read, quota, retention, value};
use crate::resolve::resolve;
use crate::rng::{Dice, Rng};
use crate::users::Users;
use crate::watches::Watchers;
use crate::workload::{Call, CommittedCommand, Operation, OperationId, Outcome, Workload};

/// So much of it may be lost to whole milliseconds.
const ROUNDING_MS: u64 = 2;
/// Beyond that, and an election: how long a key may be seen after its time when nothing goes wrong.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// How large a command may be where large ones are tried, and how many of them there are at most: a store that is full of
/// them takes as long as all the rest.
const MAX_LARGE: u32 = 8;
/// More keys than this are not judged together only because somebody reads them together.
const MAX_JOINED_KEYS: usize = 2;

/// Clients of the key-value store.
#[derive(Default)]
pub struct Kv {
    history: History,
    /// Operations that have not ended.
    open: BTreeMap<OperationId, Noted>,
    /// All operations.
    noted: BTreeMap<OperationId, Noted>,
    /// What is known of the key of a client that expires.
    lives: BTreeMap<usize, Life>,
    /// What was seen of such keys, and of others.
    seen: Coverage,
    /// The longest election timeout.
    election: Duration,
    /// Bytes of the largest command that is allowed, if large ones are tried.
    limit: Option<usize>,
    large: u32,
    wrong_life: Option<String>,
    /// How much too fast clocks may run, in thousandths.
    drift_per_mille: u64,
    /// Some keys expire.
    mortals: bool,
    /// Clients have leases.
    leasing: bool,
    leases: Leases,
    watchers: Watchers,
    /// The store asks who its clients are, and they say it.
    users: Option<Users>,
    /// The store may hold less than there are keys.
    cramped: bool,
}

impl Kv {
    /// Clients that have not begun yet.
    #[must_use]
    pub fn new() -> Kv {
        Kv::default()
    }

    /// Everything that clients have asked for and were told.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Notes a request, and gives it back as what is submitted.
    pub fn invoke(&mut self, call: Call, request: Request) -> Operation<Request> {
        if let Request::Command(Command::Set(set)) = &request
            && set.expiry != Expiry::Clear
        {
            self.lives.entry(call.client).or_default().asked(&set.value);
        }
        self.leases.asked(call.client, &request);
        let noted = self.history.invoke(call.client as u64, call.at, request.clone());
        self.open.insert(call.id, noted);
        self.noted.insert(call.id, noted);
        as_operation(request)
    }

    /// A key that was written with a time to live is there until that is over, and not much longer.
    fn watch_life(&mut self, call: Call, at: Time, noted: Noted, outcome: &Outcome<Response>) {
        let request = &self.history.operations()[noted.0].request;
        if let Request::Command(Command::Set(set)) = request
            && let Expiry::After(ttl_ms) = set.expiry
        {
            let life = self.lives.entry(call.client).or_default();
            return life.ended(&set.value, (call.at, at), ttl_ms, outcome);
        }
        let (Some(key), Outcome::Answered(response)) = (mortal_read(request), outcome) else { return };
        let Some(life) = self.lives.get(&call.client).filter(|_| *key == mortal(call.client)) else { return };
        let wrong = match shown(response) {
            None => {
                self.seen.count(Counter::KeysExpired);
                life.gone_too_early((call.at, at), self.drift_per_mille)
            }
            Some(value) => {
                self.seen.count(Counter::KeysAlive);
                let due = life.due(&value, call.calm_since, self.election + GONE_WITHIN);
                due.filter(|due| *due < call.at).map(|due| {
                    let (value, late) = (String::from_utf8_lossy(&value), call.at.since(due));
                    format!(
                        "{value} was still seen {late:?} after it had to be gone, and nothing had gone wrong"
                    )
                })
            }
        };
        let had_to_be_gone = life.had_to_be_gone(call, self.election + GONE_WITHIN);
        self.seen.add(Counter::KeysDue, u64::from(had_to_be_gone));
        if let Some(wrong) = wrong {
            let client = call.client;
            self.wrong_life.get_or_insert_with(|| format!("client {client}'s key: {wrong}"));
        }
    }

    /// A lease lives as long as it was told to, and not much longer.
    fn watch_lease(&mut self, call: Call, at: Time, noted: Noted, outcome: &Outcome<Response>) {
        let request = &self.history.operations()[noted.0].request;
        let bounds = Bounds { drift_per_mille: self.drift_per_mille, grace: self.election + GONE_WITHIN };
        if let Err(wrong) = self.leases.ended(call, at, request, outcome, bounds) {
            self.wrong_life.get_or_insert(wrong);
        }
    }

    /// Counts what else is worth trying.
    fn watch_kinds(&mut self, noted: Noted, outcome: &Outcome<Response>) {
        let request = &self.history.operations()[noted.0].request;
        match (request, outcome) {
            (_, Outcome::Answered(Response::Error(Error::NoSpace))) => self.seen.count(Counter::NoSpace),
            (_, Outcome::Answered(Response::Txn(txn))) => {
                let counter = if txn.succeeded { Counter::TxnsSucceeded } else { Counter::TxnsFailed };
                self.seen.count(counter);
            }
            (Request::Range(range), Outcome::Answered(Response::Range(_)))
                if !matches!(range.range, KeyRange::One(_)) =>
            {
                self.seen.count(Counter::Ranges);
            }
            (Request::Put(put), Outcome::Answered(_)) if Some(size(request)) == self.limit => {
                debug_assert!(put.value.len() < size(request), "a command is more than its value");
                self.seen.count(Counter::AtTheLimit);
            }
            _ => {}
        }
    }

    /// What this world's clients do beside the plain things. What is judged by the clock alone is left out where the store
    /// refuses things that it would take elsewhere.
    fn draw_kind(&mut self, rng: &mut Rng) {
        // Worlds of the other kinds stay what they were before there were these.
        let mut aside = Rng::new(rng.clone().next_u64());
        self.mortals = rng.chance(500);
        self.leasing = rng.chance(300);
        match aside.below(100) {
            0..8 => self.users = Some(Users::default()),
            8..16 => self.cramped = true,
            _ => return,
        }
        (self.mortals, self.leasing) = (false, false);
    }

    fn draw(&mut self, call: Call, rng: &mut Rng) -> Request {
        match &mut self.users {
            Some(users) => users.draw(call, rng),
            None if self.cramped && rng.chance(10) => quota(rng),
            None if self.cramped && rng.chance(200) => delete(rng),
            None if self.leasing && rng.chance(300) => self.leases.draw(call, value(call), rng),
            None => draw(call, rng, self.mortals),
        }
    }

    /// A value that makes a command as large as is allowed, or one byte larger; seldom, and not often.
    fn draw_large(&mut self, call: Call, rng: &mut Rng) -> Option<Request> {
        let limit = self.limit.filter(|_| self.large < MAX_LARGE && rng.chance(20))?;
        self.large += 1;
        let wanted = limit + usize::from(rng.chance(300));
        let put = |filler: usize| {
            let value = [&value(call)[..], &vec![b'.'; filler]].concat();
            Request::Put(Put::new(key(&mut Rng::new(call.id.0)), Bytes::from(value)))
        };
        // How long its own length is written is found out by trying.
        let rough = wanted.saturating_sub(size(&put(0)));
        (rough.saturating_sub(8)..=rough).map(put).find(|request| size(request) == wanted)
    }
}

/// What a client knows of its key that expires. Nobody else writes it.
#[derive(Default)]
struct Life {
    /// When it was last written, from the question to the answer, and how long it lives at least.
    born: Option<(Time, Time, u64)>,
    /// When the latest write had its answer.
    last_answer: Time,
    written: BTreeMap<Bytes, Written>,
}

/// What became of the writes of one value: a client may ask more than once.
#[derive(Default)]
struct Written {
    /// So many are on their way.
    open: u32,
    /// Of one nobody knows, and never will.
    unknown: bool,
    /// When it was written at the latest, and for how long.
    latest: Option<(Time, u64)>,
}

impl Life {
    fn asked(&mut self, value: &Bytes) {
        self.written.entry(value.clone()).or_default().open += 1;
    }

    fn ended(&mut self, value: &Bytes, (from, to): (Time, Time), ttl_ms: u64, outcome: &Outcome<Response>) {
        let written = self.written.entry(value.clone()).or_default();
        written.open = written.open.saturating_sub(1);
        match outcome {
            Outcome::Answered(_) => {
                written.latest = written.latest.max(Some((to, ttl_ms)));
                // Another write that was on its way at the same time may come later, and bring its own time.
                let others = self.written.values().any(|other| other.unknown || other.open > 0);
                let overtaken = others || self.last_answer >= from;
                self.last_answer = to;
                let shortest = TTLS_MS.into_iter().min().unwrap_or_default();
                self.born = Some((from, to, if overtaken { shortest } else { ttl_ms }));
            }
            Outcome::Unknown => written.unknown = true,
            Outcome::NoEffect(_) => {}
        }
    }

    /// Whether a read from `asked` to `at` should have seen it.
    fn gone_too_early(&self, (asked, at): (Time, Time), drift_per_mille: u64) -> Option<String> {
        // A read that was on its way together with the write may come before it.
        let (born, _, ttl_ms) = self.born.filter(|(_, written, _)| *written < asked)?;
        // A later write may have brought a shorter time, and nobody was told yet.
        let others = self.written.values().any(|other| other.unknown || other.open > 0);
        let ttl_ms = if others { TTLS_MS.into_iter().min().unwrap_or(ttl_ms) } else { ttl_ms };
        let lived = at.since(born);
        // All of it, by the fastest clock that there may be.
        let certain = (ttl_ms - ROUNDING_MS) * 1_000 / (1_000 + drift_per_mille);
        (lived.as_millis() < u128::from(certain))
            .then(|| format!("it was gone {lived:?} after it was written for {ttl_ms} ms"))
    }

    /// When this value must be gone, if nothing goes wrong from `calm` on: a change of leaders may cost all the time that
    /// has passed since the last command, so that a life begins anew with each.
    fn due(&self, value: &Bytes, calm: Option<Time>, grace: Duration) -> Option<Time> {
        let writes = self.written.get(value).filter(|writes| writes.open == 0 && !writes.unknown)?;
        let (written, ttl_ms) = writes.latest?;
        Some(written.max(calm?) + Duration::from_millis(ttl_ms) + grace)
    }

    /// All that was ever written had to be gone when this was asked.
    fn had_to_be_gone(&self, call: Call, grace: Duration) -> bool {
        !self.written.is_empty()
            && self.written.keys().all(|value| {
                let due = self.due(value, call.calm_since, grace);
                due.is_some_and(|due| due < call.at)
            })
    }
}

/// The value that an answer shows.
fn shown(response: &Response) -> Option<Bytes> {
    match response {
        Response::Reply(Reply::Value(value)) => Some(value.clone()),
        Response::Range(range) => range.kvs.first().map(|kv| kv.value.clone()),
        _ => None,
    }
}

/// Bytes of a command in the log.
fn size(request: &Request) -> usize {
    let mut command = vec![0; STAMP_BYTES];
    request.encode(&mut command);
    command.len()
}

/// A request as what is submitted.
#[must_use]
pub fn as_operation(request: Request) -> Operation<Request> {
    if request.is_read_only() {
        return Operation::Read(request);
    }
    let mut command = vec![0; STAMP_BYTES];
    request.encode(&mut command);
    Operation::Write(command)
}

impl Workload for Kv {
    type Machine = KvMachine;

    fn machine() -> KvMachine {
        KvMachine::new()
    }

    fn state_hash(machine: &KvMachine) -> u64 {
        machine.store.state_hash()
    }

    fn set_out(&mut self, settings: &Settings) {
        self.drift_per_mille = u64::from(settings.drift_per_mille);
        self.election = settings.election_timeout_max;
        self.limit = settings.max_command_bytes;
    }

    fn next(&mut self, call: Call, rng: &mut Rng) -> Operation<Request> {
        if call.id.0 == 1 {
            self.draw_kind(rng);
        }
        let large = self.draw_large(call, rng);
        let request = large.unwrap_or_else(|| match call.id.0 {
            1 => retention(),
            2 if self.cramped => quota(rng),
            _ => self.draw(call, rng),
        });
        self.invoke(call, request)
    }

    fn again(&mut self, call: Call, of: OperationId) -> Option<Operation<Request>> {
        let noted = self.noted.get(&of)?;
        let request = self.history.operations()[noted.0].request.clone();
        Some(self.invoke(call, request))
    }

    fn at_rest(machine: &KvMachine) -> Result<(), (Invariant, String)> {
        match machine.store.next_deadline() {
            None => Ok(()),
            Some(deadline) => Err((
                Invariant::Ttl,
                format!(
                    "a key or a lease is still there that was to be gone at {} ms of replicated time",
                    deadline.0
                ),
            )),
        }
    }

    fn cover(&self, coverage: &mut Coverage) {
        *coverage += &self.seen;
        self.leases.cover(coverage);
        self.users.iter().for_each(|users| users.cover(coverage));
        self.watchers.cover(coverage);
    }

    fn look(&mut self, server: NodeId, machine: &KvMachine, at: Time, rng: &mut Rng) {
        self.watchers.look(server, &machine.store, at, rng);
    }

    fn cut(&mut self, server: NodeId, at: Time) {
        self.watchers.cut(server, at);
    }

    fn look_last(&mut self, server: NodeId, machine: &KvMachine) {
        self.watchers.hear_all(server, &machine.store);
    }

    fn words(&self, call: Call) -> String {
        let noted = self.open.get(&call.id).map(|noted| &self.history.operations()[noted.0]);
        noted.map_or_else(|| format!("operation {}", call.id.0), |noted| request_in_words(&noted.request))
    }

    fn answer_words(&self, response: &Response) -> String {
        response_in_words(response)
    }

    fn probe(&mut self, call: Call, read: bool) -> Operation<Request> {
        let key = Bytes::from_static(b"probe");
        let request = if read {
            Request::Command(Command::Get { key })
        } else {
            Request::Command(Command::Set(Set::new(key, value(call))))
        };
        // Whoever probes may do everything.
        let request = if self.users.is_some() { Caller::Server.asks(request) } else { request };
        self.invoke(call, request)
    }

    fn ended(&mut self, call: Call, at: Time, outcome: Outcome<Response>) {
        let Some(noted) = self.open.remove(&call.id) else { return };
        self.watch_life(call, at, noted, &outcome);
        self.watch_lease(call, at, noted, &outcome);
        self.watch_kinds(noted, &outcome);
        if let Some(users) = &mut self.users {
            users.ended(call, &self.history.operations()[noted.0].request, &outcome);
        }
        match outcome {
            Outcome::Answered(response) => self.history.returned(noted, at, response),
            Outcome::NoEffect(_) => self.history.refused(noted, at),
            // It may still happen, for ever: that is what a history says of what has no end.
            Outcome::Unknown => {}
        }
    }

    fn judge(&mut self, committed: &[CommittedCommand]) -> Result<(), (Invariant, String)> {
        if let Some(why) = self.wrong_life.take() {
            return Err((Invariant::Ttl, why));
        }
        self.watchers.judge(committed)?;
        if self.users.is_some() {
            permitted::judge(&self.history, committed).map_err(|why| (Invariant::Linearizable, why))?;
        }
        let history = resolve(&self.history, committed).map_err(|why| (Invariant::Linearizable, why))?;
        judge_revisions(&history)?;
        // A key that may vanish at any time fits nearly everything, and takes the search for ever.
        let lasting = |operation: &&Asked| !is_mortal(&operation.request);
        let history: History = history.operations().iter().filter(lasting).cloned().collect();
        let limits = Limits { max_joined_keys: MAX_JOINED_KEYS, ..Limits::default() };
        let name = |key: Bytes| String::from_utf8_lossy(&key).into_owned();
        match check(&history, &limits).verdict {
            Verdict::Linearizable => Ok(()),
            Verdict::NotLinearizable { key, explanation } => {
                let key = name(key);
                Err((
                    Invariant::Linearizable,
                    format!("no order explains what was seen of {key}: {explanation}"),
                ))
            }
            Verdict::Undecided { key, why } => {
                Err((Invariant::Linearizable, format!("undecided for {}: {why}", name(key))))
            }
        }
    }
}

/// The order that the revisions name must explain everything.
fn judge_revisions(history: &History) -> Result<(), (Invariant, String)> {
    let wrong = |why: String| Err((Invariant::Linearizable, why));
    // A key whose time is over begins anew when it is written, removed or not: a range shows that (its first revision, its
    // version), and the witness has no clock to know it by.
    let has_clock = |operation: &&Asked| {
        !(matches!(operation.request, Request::Range(_)) && is_mortal(&operation.request))
    };
    let history: History = history.operations().iter().filter(has_clock).cloned().collect();
    match witness::check(&history, None).verdict {
        witness::Verdict::Consistent => Ok(()),
        witness::Verdict::Violated { rule, explanation } => {
            wrong(format!("by the revisions ({rule:?}): {explanation}"))
        }
        witness::Verdict::Undecided { why } => wrong(format!("undecided by the revisions: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// What is said of the life of a key that one client writes for two seconds, from 1 s to 1.1 s, and reads then, with
    /// that answer, in a world that has been calm since then.
    fn judged(read_at: Time, calm_since: Option<Time>, sees: Option<&'static str>) -> Option<String> {
        let mut kv = Kv { election: Duration::from_millis(500), ..Kv::new() };
        let call =
            |id: u64, at: Time| Call { id: OperationId(id), client: 3, server: NodeId(1), at, calm_since };
        let written = call(2, Time(SECOND));
        let set = Set { expiry: Expiry::After(2_000), ..Set::new(mortal(3), value(written)) };
        kv.invoke(written, Request::Command(Command::Set(set)));
        kv.ended(written, Time(SECOND + SECOND / 10), Outcome::Answered(Response::Reply(Reply::Ok)));
        let read = call(3, read_at);
        kv.invoke(read, Request::Command(Command::Get { key: mortal(3) }));
        let reply = sees.map_or(Reply::Nil, |value| Reply::Value(Bytes::from_static(value.as_bytes())));
        kv.ended(read, Time(read_at.0 + 1), Outcome::Answered(Response::Reply(reply)));
        match kv.judge(&[]) {
            Err((Invariant::Ttl, why)) => Some(why),
            // The committed log is empty here, and so says nothing that fits.
            Err((Invariant::Linearizable, _)) | Ok(()) => None,
            Err((other, why)) => panic!("{other}: {why}"),
        }
    }

    #[test]
    fn a_key_lives_as_long_as_it_was_told_to() {
        let at = |millis: u64| Time(millis * SECOND / 1_000);
        assert!(judged(at(2_500), None, None).is_some_and(|why| why.contains("was gone 1.5")));
        assert_eq!(judged(at(2_999), None, None), None, "it may be rounded away");
        assert_eq!(judged(at(1_050), None, None), None, "it may not have been there yet");
        assert_eq!(judged(at(2_500), None, Some("c3.2")), None);
    }

    #[test]
    fn a_key_does_not_outlive_its_time_if_nothing_goes_wrong() {
        let at = |millis: u64| Time(millis * SECOND / 1_000);
        let (seen, calm) = (Some("c3.2"), Some(at(500)));
        // Written until 1.1 s for 2 s; an election takes 0.5 s, and 2 s come on top.
        assert_eq!(judged(at(5_590), calm, seen), None);
        assert!(judged(at(5_610), calm, seen).is_some_and(|why| why.contains("still seen")));
        assert_eq!(judged(at(5_610), None, seen), None, "something is wrong");
        assert_eq!(judged(at(5_610), Some(at(2_000)), seen), None, "its life began anew with the leader");
        assert!(judged(at(6_510), Some(at(2_000)), seen).is_some());
    }

    #[test]
    fn a_key_that_is_left_at_rest_is_told() {
        let mut machine = Kv::machine();
        assert_eq!(Kv::at_rest(&machine), Ok(()));
        let set = Set { expiry: Expiry::After(2_000), ..Set::new(mortal(1), Bytes::from_static(b"v")) };
        machine.store.apply(jangada_kv::Millis(1), &Request::Command(Command::Set(set)));
        assert!(matches!(Kv::at_rest(&machine), Err((Invariant::Ttl, _))));
    }

    #[test]
    fn large_commands_are_exactly_as_large_as_is_allowed_or_one_byte_larger() {
        let mut kv = Kv { limit: Some(4 << 10), ..Kv::new() };
        let mut rng = Rng::new(7);
        let call = |id: u64| Call {
            id: OperationId(id),
            client: 1,
            server: NodeId(1),
            at: Time::ZERO,
            calm_since: None,
        };
        let drawn: Vec<usize> = (2..2_000)
            .filter_map(|id| kv.draw_large(call(id), &mut rng))
            .map(|request| size(&request))
            .collect();
        assert_eq!(drawn.len() as u32, MAX_LARGE);
        assert!(
            drawn.contains(&(4 << 10)) && drawn.iter().all(|size| (4 << 10..=4097).contains(size)),
            "{drawn:?}"
        );
    }
}
