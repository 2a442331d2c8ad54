//! What became of operations that nobody answered: the committed log knows.
//!
//! A search for an order of all operations has to try, for each unknown outcome, both, at any time. In a world that
//! can look into the log it need not: what is not in there had no effect, and what is in there was done when it was
//! committed, and was answered as a fresh store answers that is given the whole log. What clients *were* told must be
//! the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_kv::{Request, Response};
use jangada_node::kv_machine::KvMachine;
use jangada_node::state_machine::StateMachine;
use jangada_raft::types::Time;
use jangada_trace::history::{History, Operation, Outcome};

/// One place of a command in the log.
struct Done {
    at: Time,
    response: Option<Response>,
}

/// The history with every outcome known.
///
/// # Errors
/// If somebody was told something else than what the log says.
pub(crate) fn resolve(
    history: &History,
    committed: &[crate::workload::CommittedCommand],
) -> Result<History, String> {
    let mut done = replay(committed);
    let mut operations = history.operations().to_vec();
    // Who was answered has the first claim. Of equal commands each must be there in its own time: whoever had least
    // time left takes the earliest.
    let mut answered: Vec<&Operation> = operations.iter().collect();
    answered.sort_by_key(|operation| operation.outcome.at());
    for operation in answered {
        let Outcome::Returned { at, response, .. } = &operation.outcome else { continue };
        let Some(command) = command(&operation.request) else { continue };
        let places = done.get_mut(&command).map(Vec::as_mut_slice).unwrap_or_default();
        let in_time = |place: &&mut Done| place.at >= operation.invoked && place.at <= *at;
        // Of equal commands that were on their way together it was the one with this answer.
        let right = |place: &&mut Done| in_time(place) && place.response.as_ref() == Some(response);
        if let Some(place) = places.iter_mut().find(right) {
            place.response = None;
            continue;
        }
        let logged: Vec<_> = places.iter_mut().filter(in_time).map(|place| &place.response).collect();
        return Err(format!(
            "{:?} was answered with {response:?}; in the log it has the answers {logged:?} in that time",
            operation.request
        ));
    }
    for operation in &mut operations {
        if operation.outcome == Outcome::Unknown {
            operation.outcome = outcome(operation, &mut done);
        }
    }
    Ok(operations.into_iter().collect())
}

fn outcome(operation: &Operation, done: &mut BTreeMap<Bytes, Vec<Done>>) -> Outcome {
    let nothing = Outcome::Refused { at: operation.invoked };
    let Some(command) = command(&operation.request) else { return nothing };
    let places = done.get_mut(&command).map(Vec::as_mut_slice).unwrap_or_default();
    let free = places.iter_mut().find(|place| place.at >= operation.invoked && place.response.is_some());
    let Some(place) = free else { return nothing };
    match place.response.take() {
        Some(response) => Outcome::Returned { at: place.at, response, revision: None },
        None => nothing,
    }
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

/// What a fresh store answers to each command.
fn replay(committed: &[crate::workload::CommittedCommand]) -> BTreeMap<Bytes, Vec<Done>> {
    let mut machine = KvMachine::new();
    let mut done: BTreeMap<Bytes, Vec<Done>> = BTreeMap::new();
    for entry in committed {
        let response = Some(machine.apply(entry.stamp, &entry.command));
        done.entry(entry.command.clone()).or_default().push(Done { at: entry.at, response });
    }
    done
}
