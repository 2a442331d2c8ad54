//! Alarms: the store's, in etcd's messages. Reading them and changing them goes through the log, or to the store.

use jangada_kv::{Alarm, AlarmKind, AlarmRequest, AlarmResponse, Caller, Request, Response};
use tonic::Status;

use crate::backend::{Backend, Freshness};
use crate::error;
use crate::etcdserverpb as pb;
use crate::etcdserverpb::AlarmType;
use crate::etcdserverpb::alarm_request::AlarmAction;

/// What a request about alarms is answered.
///
/// # Errors
/// INVALID_ARGUMENT for an action or a kind that does not exist, or what the backend says.
pub(crate) async fn answer<B: Backend>(
    backend: &B,
    caller: &Caller,
    asked: &pb::AlarmRequest,
) -> Result<AlarmResponse, Status> {
    let unknown = |what| Status::invalid_argument(format!("etcdserver: unknown alarm {what}"));
    let kind = match AlarmType::try_from(asked.alarm).map_err(|_| unknown("type"))? {
        AlarmType::None => None,
        AlarmType::Nospace => Some(AlarmKind::NoSpace),
        AlarmType::Corrupt => Some(AlarmKind::Corrupt),
    };
    let alarm = kind.map(|kind| Alarm { kind, member: asked.member_id });
    let change = match (AlarmAction::try_from(asked.action).map_err(|_| unknown("action"))?, alarm) {
        (AlarmAction::Activate, Some(alarm)) => Some(AlarmRequest::Raise(alarm)),
        (AlarmAction::Deactivate, Some(alarm)) => Some(AlarmRequest::Clear(alarm)),
        (AlarmAction::Get, _) | (AlarmAction::Activate | AlarmAction::Deactivate, None) => None,
    };
    if let Some(change) = change {
        let change = caller.asks(Request::Alarm(change));
        return expect(backend.write(change).await.map_err(error::of_refusal)?);
    }
    let list = Request::Alarm(AlarmRequest::List);
    // Nobody need be anybody to read them, but a token must be one.
    let list = if matches!(caller, Caller::Token(_)) { caller.asks(list) } else { list };
    let mut listed = expect(backend.read(list, Freshness::Linearizable).await.map_err(error::of_refusal)?)?;
    // The alarm NONE stands for all when they are listed, and is none when it is raised or cleared.
    let is_list = asked.action == AlarmAction::Get as i32;
    listed.alarms.retain(|alarm| is_list && kind.is_none_or(|kind| alarm.kind == kind));
    Ok(listed)
}

/// All alarms.
pub(crate) async fn read<B: Backend>(backend: &B, freshness: Freshness) -> Result<AlarmResponse, Status> {
    let listed = backend.read(Request::Alarm(AlarmRequest::List), freshness).await;
    expect(listed.map_err(error::of_refusal)?)
}

fn expect(answer: Response) -> Result<AlarmResponse, Status> {
    match answer {
        Response::Alarm(alarms) => Ok(alarms),
        other => Err(error::of_mismatch(other)),
    }
}

/// As a message has it.
pub(crate) fn told(alarm: Alarm) -> pb::AlarmMember {
    let kind = match alarm.kind {
        AlarmKind::NoSpace => AlarmType::Nospace,
        AlarmKind::Corrupt => AlarmType::Corrupt,
    };
    pb::AlarmMember { member_id: alarm.member, alarm: kind.into() }
}

/// As etcd's status has it: what Go makes of the message, with the space behind it.
pub(crate) fn in_words(alarm: Alarm) -> String {
    let pb::AlarmMember { member_id, .. } = told(alarm);
    let kind = told(alarm).alarm().as_str_name();
    if member_id == 0 { format!("alarm:{kind} ") } else { format!("memberID:{member_id} alarm:{kind} ") }
}
