//! Changes of a member, for etcd's clients: done here if this server leads, else by the leader, whom it asks over HTTP.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use jangada_etcd::{Member, MemberChange, MemberRefusal, Refusal};
use serde::Deserialize;
use tokio::time::timeout;

use super::seam::told;
use crate::front::Shared;
use crate::handle::{self, AdminAnswer, AdminError, AdminRequest, ChangeMember};
use crate::http::admin::in_time;
use crate::http::asking;

/// What the leader may say at most: so many members that nobody has them.
const MOST_BYTES: usize = 1 << 20;

/// How long a change may take: a new voter has to catch up first.
const TIMEOUT_MS: u64 = 30_000;

type Changed = Result<(u64, Vec<Member>), MemberRefusal>;

/// Makes a change; says whom it was about, and who the members are now. The leader wants to see the client's token, too.
pub(super) async fn change(shared: &Shared, change: MemberChange, token: Option<String>) -> Changed {
    let wish = ChangeMember { change: of_service(change), timeout_ms: TIMEOUT_MS };
    match in_time(shared, AdminRequest::ChangeMember(wish.clone())).await {
        Ok(answer) => changed(answer),
        Err(AdminError::NotLeader { leader_client_addr: Some(leader), .. }) => {
            ask_leader(shared, &leader, &wish, token).await
        }
        Err(error) => Err(refusal(error)),
    }
}

fn of_service(change: MemberChange) -> handle::MemberChange {
    match change {
        MemberChange::Add { peer_addr, is_learner } => {
            handle::MemberChange::Add { peer_addr, learner: is_learner }
        }
        MemberChange::Remove { id } => handle::MemberChange::Remove { id },
        MemberChange::Update { id, peer_addr } => handle::MemberChange::Update { id, peer_addr },
        MemberChange::Promote { id } => handle::MemberChange::Promote { id },
    }
}

fn changed(answer: AdminAnswer) -> Changed {
    match answer {
        AdminAnswer::Member { changed, members, promised } => Ok((changed, told(members, promised))),
        AdminAnswer::Members { .. } | AdminAnswer::Transferred { .. } | AdminAnswer::List { .. } => {
            Err(MemberRefusal::Impossible("the leader gave an answer to something else".to_owned()))
        }
    }
}

/// How the leader tells of an error.
#[derive(Deserialize)]
struct Told {
    error: String,
    kind: String,
    reason: Option<handle::MemberRefusal>,
}

async fn ask_leader(shared: &Shared, leader: &str, wish: &ChangeMember, token: Option<String>) -> Changed {
    let lost = |_| MemberRefusal::NoAnswer(Refusal::TimedOut);
    let body =
        serde_json::to_string(wish).expect("our own types have string keys and no failing serializers");
    let request = Request::post("/members/change")
        .header(header::HOST, leader)
        .header(header::CONTENT_TYPE, "application/json");
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, token),
        None => request,
    };
    let request = request
        .body(Body::from(body))
        .map_err(|why| MemberRefusal::Impossible(format!("{leader} is no address: {why}")))?;
    let patience = std::time::Duration::from_millis(TIMEOUT_MS) + shared.limits.request_time;
    let answer = timeout(patience, asking::send(leader, request, MOST_BYTES)).await;
    // Whether the leader has heard it nobody knows.
    let (status, text) = answer.map_err(|_| lost(String::new()))?.map_err(lost)?;
    if status == StatusCode::OK {
        return changed(serde_json::from_str(&text).map_err(|why| lost(why.to_string()))?);
    }
    let told: Told = serde_json::from_str(&text).map_err(|why| lost(why.to_string()))?;
    Err(match (told.reason, told.kind.as_str()) {
        (Some(reason), _) => of_leader(reason),
        (None, "refused") => MemberRefusal::Impossible(told.error),
        (None, "not_leader" | "no_quorum") => MemberRefusal::NoAnswer(Refusal::NoLeader { why: told.error }),
        (None, _) => MemberRefusal::NoAnswer(Refusal::TimedOut),
    })
}

fn of_leader(reason: handle::MemberRefusal) -> MemberRefusal {
    match reason {
        handle::MemberRefusal::AddressTaken => MemberRefusal::AddressTaken,
        handle::MemberRefusal::NotFound => MemberRefusal::NotFound,
        handle::MemberRefusal::NotLearner => MemberRefusal::NotLearner,
        handle::MemberRefusal::NotInStep => MemberRefusal::NotInStep,
        handle::MemberRefusal::Unhealthy => MemberRefusal::Unhealthy,
        handle::MemberRefusal::TooFewStarted => MemberRefusal::TooFewStarted,
    }
}

fn refusal(error: AdminError) -> MemberRefusal {
    match error {
        AdminError::Member(reason) => of_leader(reason),
        AdminError::Refused(why) => MemberRefusal::Impossible(why),
        AdminError::NotLeader { why, .. } | AdminError::NoQuorum(why) => {
            MemberRefusal::NoAnswer(Refusal::NoLeader { why })
        }
        AdminError::OutcomeUnknown(_) | AdminError::Deadline(_) => MemberRefusal::NoAnswer(Refusal::TimedOut),
    }
}
