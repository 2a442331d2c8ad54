//! Whether reads were permitted that ought to be, and refused that ought to be.
//!
//! What a write is answered stands in the log's order, so a fresh store knows it. A read has no place there: it may see
//! any state from the last one that was committed when it was asked, to the last one that was when it was answered. One of
//! them must give the verdict that the client got.

use jangada_kv::{AuthError, Caller, Error, Request, Response};
use jangada_node::kv_machine::KvMachine;
use jangada_node::state_machine::StateMachine;
use jangada_trace::history::{History, Operation};
use jangada_trace::tell;

use crate::workload::CommittedCommand;

/// A read by somebody, and which states it may have seen, by the number of commands before them.
struct Asked<'a> {
    operation: &'a Operation,
    caller: &'a Caller,
    refused: Option<AuthError>,
    first: usize,
    last: usize,
    is_explained: bool,
}

/// Holds all verdicts against the log.
///
/// # Errors
/// A sentence about a read that was permitted or refused, and no state explains it.
pub(crate) fn judge(history: &History, committed: &[CommittedCommand]) -> Result<(), String> {
    let mut reads: Vec<Asked<'_>> =
        history.operations().iter().filter_map(|operation| asked(operation, committed)).collect();
    let mut machine = KvMachine::new();
    look(&machine, 0, &mut reads);
    for (before, entry) in committed.iter().enumerate() {
        machine.apply(entry.stamp, &entry.command);
        look(&machine, before + 1, &mut reads);
    }
    match reads.iter().find(|read| !read.is_explained) {
        None => Ok(()),
        Some(read) => Err(format!(
            "{} was {}, and by the log it had to be the other way round",
            tell::request(&read.operation.request),
            if read.refused.is_some() { "refused" } else { "permitted" },
        )),
    }
}

/// A read that was answered, with the states that it may have seen.
fn asked<'a>(operation: &'a Operation, committed: &[CommittedCommand]) -> Option<Asked<'a>> {
    let caller = match &operation.request {
        Request::OnBehalf(asked) => &asked.caller,
        _ => &Caller::Nobody,
    };
    let response = operation.response().filter(|_| operation.request.is_read_only())?;
    let refused = refusal(response);
    let returned = operation.outcome.at()?;
    let first = committed.partition_point(|entry| entry.at < operation.invoked);
    let last = committed.partition_point(|entry| entry.at <= returned);
    Some(Asked { operation, caller, refused, first, last, is_explained: false })
}

/// Asks the store once more on behalf of all who may have seen this state.
fn look(machine: &KvMachine, state: usize, reads: &mut [Asked<'_>]) {
    for read in
        reads.iter_mut().filter(|read| !read.is_explained && (read.first..=read.last).contains(&state))
    {
        let now = refusal(&machine.read(machine.stamp(), &read.operation.request));
        // When a token ends is told by the clock of who was asked, which nobody knows here.
        let by_clock = matches!(read.caller, Caller::Token(_))
            && [read.refused, now].contains(&Some(AuthError::InvalidToken));
        read.is_explained = by_clock || read.refused.is_some() == now.is_some();
    }
}

fn refusal(response: &Response) -> Option<AuthError> {
    match response {
        Response::Error(Error::Auth(
            error @ (AuthError::Denied | AuthError::NoUser | AuthError::InvalidToken),
        )) => Some(*error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jangada_kv::auth::Credentials;
    use jangada_kv::{AuthChange, AuthQuestion, AuthRequest, AuthResponse, KeyRange, RangeRequest};
    use jangada_node::state_machine::Stamp;
    use jangada_raft::types::Time;

    use super::*;
    use crate::users::{as_server, beginning};

    /// What is said of a read of k1, from `asked` to `answered`, by ana, who may until the log takes her role away at 100.
    fn judged(asked: u64, answered: u64, is_refused: bool) -> Result<(), String> {
        let (user, role) = (Bytes::from("ana"), Bytes::from("low"));
        let mut changes: Vec<(u64, AuthChange)> =
            beginning().into_iter().map(|change| (10, change)).collect();
        changes.push((100, AuthChange::UserRevokeRole { user: user.clone(), role }));
        let committed: Vec<CommittedCommand> = changes
            .into_iter()
            .map(|(at, change)| {
                let mut command = Vec::new();
                as_server(AuthRequest::Change(change)).encode(&mut command);
                CommittedCommand { at: Time(at), stamp: Stamp(at), command: command.into() }
            })
            .collect();
        let mut machine = KvMachine::new();
        for entry in &committed {
            machine.apply(entry.stamp, &entry.command);
        }
        let question = AuthQuestion::Credentials { name: user.clone() };
        let Response::Auth(AuthResponse::Credentials(Credentials { since, .. })) =
            machine.read(machine.stamp(), &as_server(AuthRequest::Ask(question)))
        else {
            panic!("the store knows ana");
        };
        let read = RangeRequest::new(KeyRange::One(Bytes::from("k1")));
        let request = Caller::User { name: user, since }.asks(Request::Range(Box::new(read)));
        let response = match is_refused {
            true => Response::Error(Error::Auth(AuthError::Denied)),
            false => Response::Done,
        };
        let mut history = History::new();
        let noted = history.invoke(1, Time(asked), request);
        history.returned(noted, Time(answered), response);
        judge(&history, &committed)
    }

    #[test]
    fn a_read_is_permitted_and_refused_by_a_state_that_it_may_have_seen() {
        assert_eq!(judged(50, 60, false), Ok(()));
        assert!(judged(50, 60, true).unwrap_err().contains("was refused"));
        assert_eq!((judged(50, 150, true), judged(50, 150, false)), (Ok(()), Ok(())), "on its way meanwhile");
        assert_eq!(judged(120, 150, true), Ok(()));
        assert!(judged(120, 150, false).unwrap_err().contains("was permitted"));
    }
}
