//! What became of operations that nobody answered: the committed log knows.
//!
//! A search for an order of all operations has to try, for each unknown outcome, both, at any time. In a world that
//! can look into the log it need not: what is not in there had no effect, and what is in there was done when it was
//! committed, and was answered as a fresh store answers that is given the whole log. What clients *were* told must be
//! the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::{
    DeleteRange, DeleteRangeResponse, Error, KeyRange, RangeRequest, Request, Response, Revision, Store,
};
use jangada_node::kv_machine::KvMachine;
use jangada_node::state_machine::StateMachine;
use jangada_raft::types::Time;
use jangada_trace::history::{History, Operation, Outcome};
use jangada_trace::tell;

use crate::workload::CommittedCommand;

/// One place of a command in the log.
struct Done {
    at: Time,
    /// Whose place it is, is found out; then this is taken.
    response: Option<Response>,
    /// The store's revision afterwards.
    revision: Revision,
    /// Which the command has made.
    made: bool,
    /// The keys that were gone then, of those that it was to remove because their time was over.
    expired: Vec<Bytes>,
}

/// A client that does not exist: whatever the servers did by themselves.
const SERVERS: u64 = u64::MAX;

/// The history with every outcome known, each write with its revision, and with what the servers did by themselves.
///
/// # Errors
/// If somebody was told something else than what the log says.
pub(crate) fn resolve(history: &History, committed: &[CommittedCommand]) -> Result<History, String> {
    let (mut done, gone) = replay(committed);
    let mut operations = history.operations().to_vec();
    // Who was answered has the first claim. Of equal commands each must be there in its own time: whoever had least
    // time left takes the earliest.
    let mut answered: Vec<&mut Operation> = operations.iter_mut().collect();
    answered.sort_by_key(|operation| operation.outcome.at());
    for operation in answered {
        claim(operation, &mut done)?;
    }
    for operation in &mut operations {
        if operation.outcome == Outcome::Unknown {
            operation.outcome = outcome(operation, &mut done);
        }
    }
    operations.extend(done.into_iter().flat_map(|(command, places)| unclaimed(&command, places)));
    operations.retain(is_about_keys);
    operations.extend(gone);
    Ok(operations.into_iter().collect())
}

/// Leases are judged elsewhere (`leases.rs`), and what they do to keys is in the history as deletes. Whoever asks for a
/// lease that is not there changes nothing, and the answer is that of the log; so it is with whoever may not do what it
/// asks for, and where there is no space. What users may do is judged by the log's answers alone.
fn is_about_keys(operation: &Operation) -> bool {
    let is_about_others = matches!(operation.request.asked(), Request::Lease(_) | Request::Auth(_));
    let is_refused = matches!(
        operation.response(),
        Some(Response::Error(Error::LeaseNotFound | Error::NoSpace | Error::Auth(_)))
    );
    !is_about_others && !is_refused
}

/// Finds the place of a write that was answered.
fn claim(operation: &mut Operation, done: &mut BTreeMap<Bytes, Vec<Done>>) -> Result<(), String> {
    let Outcome::Returned { at, response, revision } = &mut operation.outcome else { return Ok(()) };
    let Some(command) = command(&operation.request) else { return Ok(()) };
    let places = done.get_mut(&command).map(Vec::as_mut_slice).unwrap_or_default();
    let in_time = |place: &&mut Done| place.at >= operation.invoked && place.at <= *at;
    // Of equal commands that were on their way together it was the one with this answer.
    let right = |place: &&mut Done| in_time(place) && place.response.as_ref() == Some(response);
    if let Some(place) = places.iter_mut().find(right) {
        place.response = None;
        *revision = Some(place.revision);
        return Ok(());
    }
    let logged = places.iter_mut().filter(in_time).map(|place| match &place.response {
        Some(response) => tell::response(response),
        None => "one that another client got".to_owned(),
    });
    let logged: Vec<String> = logged.collect();
    let logged = if logged.is_empty() { "none".to_owned() } else { logged.join(", ") };
    Err(format!(
        "{} was answered with {}; in that time the log has for it: {logged}",
        tell::request(&operation.request),
        tell::response(response)
    ))
}

fn outcome(operation: &Operation, done: &mut BTreeMap<Bytes, Vec<Done>>) -> Outcome {
    let nothing = Outcome::Refused { at: operation.invoked };
    let Some(command) = command(&operation.request) else { return nothing };
    let places = done.get_mut(&command).map(Vec::as_mut_slice).unwrap_or_default();
    let free = places.iter_mut().find(|place| place.at >= operation.invoked && place.response.is_some());
    let Some(place) = free else { return nothing };
    match place.response.take() {
        Some(response) => Outcome::Returned { at: place.at, response, revision: Some(place.revision) },
        None => nothing,
    }
}

/// What nobody asked for, and has changed something: keys whose time was over.
///
/// A server that asks for them to be removed does not know which will have been renewed until then. The answer says how
/// many were not, and by the answer alone it could have been others: so it is only asked for those.
fn unclaimed(command: &Bytes, places: Vec<Done>) -> Vec<Operation> {
    let Ok(request) = Request::decode(command.clone()) else { return Vec::new() };
    let by_themselves = |place: Done| {
        let response = place.response.filter(|_| place.made)?;
        let outcome = Outcome::Returned { at: place.at, response, revision: Some(place.revision) };
        let request = match &request {
            Request::ExpireKeys { .. } => Request::ExpireKeys { keys: place.expired },
            other => other.clone(),
        };
        Some(Operation { client: SERVERS, invoked: Time::ZERO, request, outcome })
    };
    places.into_iter().filter_map(by_themselves).collect()
}

/// The bytes of a write, as they stand in the log.
fn command(request: &Request) -> Option<Bytes> {
    if request.is_read_only() {
        return None;
    }
    let mut command = Vec::new();
    request.encode(&mut command);
    Some(Bytes::from(command))
}

/// What a fresh store answers to each command, and what was deleted together with leases.
fn replay(committed: &[CommittedCommand]) -> (BTreeMap<Bytes, Vec<Done>>, Vec<Operation>) {
    let mut gone = Vec::new();
    let mut machine = KvMachine::new();
    let mut done: BTreeMap<Bytes, Vec<Done>> = BTreeMap::new();
    for entry in committed {
        let before = machine.store.revision();
        let mut expired = to_expire(&entry.command);
        expired.retain(|key| exists(&machine, key));
        let response = Some(machine.apply(entry.stamp, &entry.command));
        expired.retain(|key| !exists(&machine, key));
        let revision = machine.store.revision();
        let place = Done { at: entry.at, response, revision, made: revision != before, expired };
        done.entry(entry.command.clone()).or_default().push(place);
        if matches!(Request::decode(entry.command.clone()), Ok(Request::Lease(_))) {
            gone.extend(deleted(&machine.store, before, entry.at));
        }
    }
    (done, gone)
}

/// What was deleted after `before`, each as an operation of its own.
fn deleted(store: &Store, before: Revision, at: Time) -> Vec<Operation> {
    let Ok(changes) = store.changes(before.next()) else { return Vec::new() };
    let operation = |key: Bytes, revision: Revision| {
        let request = Request::DeleteRange(DeleteRange { range: KeyRange::One(key), prev_kv: false });
        let response = DeleteRangeResponse { revision, deleted: 1, prev_kvs: Vec::new() };
        let outcome =
            Outcome::Returned { at, response: Response::DeleteRange(response), revision: Some(revision) };
        Operation { client: SERVERS, invoked: Time::ZERO, request, outcome }
    };
    changes.map(|event| operation(event.kv.key.clone(), event.kv.mod_revision)).collect()
}

fn to_expire(command: &Bytes) -> Vec<Bytes> {
    match Request::decode(command.clone()) {
        Ok(Request::ExpireKeys { keys }) => keys,
        _ => Vec::new(),
    }
}

fn exists(machine: &KvMachine, key: &Bytes) -> bool {
    let range = Request::Range(Box::new(RangeRequest::new(KeyRange::One(key.clone()))));
    matches!(machine.read(machine.stamp(), &range), Response::Range(range) if range.count > 0)
}

#[cfg(test)]
mod tests {
    use jangada_kv::command::{Command, Expiry, Set};
    use jangada_node::state_machine::Stamp;
    use jangada_trace::witness;

    use super::*;

    #[test]
    fn a_key_that_was_renewed_is_not_taken_for_the_one_that_expired() {
        let key = |name: &str| Bytes::from(name.to_owned());
        let set = |name: &str| {
            let set = Set { expiry: Expiry::After(2_000), ..Set::new(key(name), key("v")) };
            Request::Command(Command::Set(set))
        };
        let expire =
            |names: &[&str]| Request::ExpireKeys { keys: names.iter().map(|name| key(name)).collect() };
        // Both are due when a leader asks for their removal; "b" is renewed before that stands in the log.
        let log = [
            (0, set("a")),
            (0, set("b")),
            (2_000, set("b")),
            (2_000, expire(&["a", "b"])),
            (4_000, expire(&["b"])),
        ];
        let mut history = History::new();
        let mut committed = Vec::new();
        for (ms, request) in log {
            let (stamp, at) = (Stamp(ms), Time(ms * 1_000_000));
            let mut command = Vec::new();
            request.encode(&mut command);
            committed.push(CommittedCommand { at, stamp, command: command.into() });
            if matches!(request, Request::Command(_)) {
                history.invoke(1, at, request);
            }
        }
        let resolved = resolve(&history, &committed).expect("the log explains all of it");
        assert_eq!(resolved.operations().len(), 5);
        let report = witness::check(&resolved, None);
        assert_eq!((report.verdict, report.judged), (witness::Verdict::Consistent, 5));
    }
}
