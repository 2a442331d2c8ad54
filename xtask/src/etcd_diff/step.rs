//! One request, and its answer as text to be compared: everything but what must differ between two clusters.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::lease_client::LeaseClient;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use jangada_etcd::etcdserverpb::request_op::Request as Op;
use tonic::{Code, Request, Response, Status};

use super::joining::Joining;
use super::leases::Leases;
use super::queues::Queues;
use super::server::Server;
use super::upkeep::{Upkeep, Who, comparable_member};
use super::users::Users;
use super::watching::{self, Moment};

/// Whoever takes longer for an answer has not answered. The longest wait of etcd's own is 7 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    /// A put with a token that nobody issued.
    PutWithToken(pb::PutRequest),
    Members,
    Alarm(pb::AlarmRequest),
    Grant(pb::LeaseGrantRequest),
    Revoke(pb::LeaseRevokeRequest),
    Watch(Vec<Moment>),
    Users(Users),
    Leases(Leases),
    Queues(Queues),
    Upkeep(Upkeep),
    Joining(Joining),
    /// The newcomer is asked.
    AtNewcomer(Box<Step>),
    /// Somebody who has logged in asks.
    By(&'static str, Box<Step>),
    /// Nobody has logged in any more.
    Forget,
}

impl Step {
    /// Asks, and returns the answer as text. Silence is an answer that is like no other, not even like another's silence.
    pub(crate) async fn ask(&self, server: &mut Server) -> Result<String> {
        let name = server.name;
        match tokio::time::timeout(PATIENCE, self.ask_patiently(server)).await {
            Ok(answer) => answer,
            Err(_) => Ok(format!("{name} did not answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// Whether members of etcd that do not serve the client may carry it out, though it is refused: a txn that writes, and
    /// has a read of a revision that may not be there (docs/etcd-differences.md).
    pub(crate) fn makes_etcds_members_part(&self) -> bool {
        match self {
            Step::Txn(txn) => {
                let mut leaves = Vec::new();
                collect(txn, &mut leaves);
                leaves.iter().any(|leaf| matches!(leaf, Op::RequestRange(range) if range.revision > 0))
                    && leaves.iter().any(|leaf| !matches!(leaf, Op::RequestRange(_)))
            }
            Step::By(_, step) => match &**step {
                // What of it is permitted lands on the others.
                Step::Txn(_) => true,
                step => step.makes_etcds_members_part(),
            },
            Step::Range(_)
            | Step::Put(_)
            | Step::Delete(_)
            | Step::Compact(_)
            | Step::PutWithToken(_)
            | Step::Members
            | Step::Alarm(_)
            | Step::Grant(_)
            | Step::Revoke(_)
            | Step::Watch(_)
            | Step::Users(_)
            | Step::Leases(_)
            | Step::Queues(_)
            | Step::Upkeep(_)
            | Step::Joining(_)
            | Step::AtNewcomer(_)
            | Step::Forget => false,
        }
    }

    /// Whether the clusters are not the ones that they were, afterwards.
    pub(crate) fn changes_cluster(&self) -> bool {
        matches!(self, Step::Joining(_) | Step::Upkeep(Upkeep::MoveLeader(Who::Follower)))
    }

    async fn ask_patiently(&self, server: &mut Server) -> Result<String> {
        match self.clone() {
            Step::Range(request) => {
                let target = request.sort_target();
                let mut answer = server.kv.range(server.by(request)).await;
                if let Ok(answer) = &mut answer {
                    forget_ties(answer.get_mut(), target);
                }
                told(answer, |answer| &mut answer.header)
            }
            Step::Put(request) => told(server.kv.put(server.by(request)).await, |answer| &mut answer.header),
            Step::Delete(request) => {
                told(server.kv.delete_range(server.by(request)).await, |answer| &mut answer.header)
            }
            Step::Txn(request) => told(server.kv.txn(server.by(request)).await, |answer| &mut answer.header),
            Step::Compact(request) => {
                told(server.kv.compact(server.by(request)).await, |answer| &mut answer.header)
            }
            Step::PutWithToken(request) => {
                let mut request = Request::new(request);
                request.metadata_mut().insert("token", "nonsense".parse()?);
                told(server.kv.put(request).await, |answer| &mut answer.header)
            }
            Step::Alarm(request) => alarm(server, request).await,
            Step::Grant(request) => {
                let answer = LeaseClient::new(server.channel()).lease_grant(server.by(request)).await;
                told(answer, |answer| &mut answer.header)
            }
            Step::Revoke(request) => {
                let answer = LeaseClient::new(server.channel()).lease_revoke(server.by(request)).await;
                told(answer, |answer| &mut answer.header)
            }
            Step::Watch(moments) => watching::watch(server, &moments).await,
            Step::Users(users) => users.ask(server).await,
            Step::Leases(leases) => leases.ask(server).await,
            Step::Queues(queues) => queues.ask(server).await,
            Step::Upkeep(upkeep) => upkeep.ask(server).await,
            Step::Joining(joining) => joining.ask(server).await,
            Step::AtNewcomer(step) => {
                let before = server.turn_to_newcomer()?;
                let answer = Box::pin(step.ask(server)).await;
                server.turn_back(before);
                answer
            }
            Step::By(name, step) => {
                let before = server.caller.replace(name);
                let answer = Box::pin(step.ask_patiently(server)).await;
                server.caller = before;
                answer
            }
            Step::Forget => {
                server.tokens.clear();
                Ok(String::new())
            }
            Step::Members => members(server).await,
        }
    }
}

/// The members, but for their numbers and ports.
async fn members(server: &mut Server) -> Result<String> {
    let request = pb::MemberListRequest { linearizable: false };
    let mut answer = server.cluster.member_list(server.by(request)).await;
    if let Ok(answer) = &mut answer {
        answer.get_mut().members.sort_by(|a, b| a.name.cmp(&b.name));
        answer.get_mut().members.iter_mut().for_each(comparable_member);
    }
    told(answer, |answer| &mut answer.header)
}

async fn alarm(server: &Server, request: pb::AlarmRequest) -> Result<String> {
    let mut answer = MaintenanceClient::new(server.channel()).alarm(server.by(request)).await;
    if let Ok(answer) = &mut answer {
        // 3.4 leaves the header out.
        answer.get_mut().header = None;
        // etcd tells them in the order of chance.
        answer.get_mut().alarms.sort_by_key(|alarm| (alarm.alarm, alarm.member_id));
    }
    told(answer, |answer| &mut answer.header)
}

fn collect<'a>(txn: &'a pb::TxnRequest, leaves: &mut Vec<&'a Op>) {
    for op in txn.success.iter().chain(&txn.failure).filter_map(|op| op.request.as_ref()) {
        match op {
            Op::RequestTxn(nested) => collect(nested, leaves),
            Op::RequestRange(_) | Op::RequestPut(_) | Op::RequestDeleteRange(_) => leaves.push(op),
        }
    }
}

/// How etcd orders what is equal by the sort's target is left to chance: only the target is compared then.
fn forget_ties(answer: &mut pb::RangeResponse, target: pb::range_request::SortTarget) {
    use pb::range_request::SortTarget;
    if target == SortTarget::Key {
        return;
    }
    for kv in &mut answer.kvs {
        let kept = std::mem::take(kv);
        match target {
            SortTarget::Key => {}
            SortTarget::Version => kv.version = kept.version,
            SortTarget::Create => kv.create_revision = kept.create_revision,
            SortTarget::Mod => kv.mod_revision = kept.mod_revision,
            SortTarget::Value => kv.value = kept.value,
        }
    }
}

/// The answer as text.
pub(crate) fn told<T: Debug>(
    answer: Result<Response<T>, Status>,
    header: impl Fn(&mut T) -> &mut Option<pb::ResponseHeader>,
) -> Result<String> {
    match answer {
        Ok(answer) => {
            let mut answer = answer.into_inner();
            same_for_all(header(&mut answer));
            Ok(format!("{answer:#?}"))
        }
        // A server that is gone must not look like two that agree.
        Err(status)
            if status.code() == Code::Unknown
                && status.metadata().is_empty()
                && status.message().contains("transport") =>
        {
            bail!("a server has gone: {status}")
        }
        Err(status) => Ok(format!("{:?}: {}", status.code(), status.message())),
    }
}

/// Of cluster, member and term only whether they are there.
pub(crate) fn same_for_all(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        header.cluster_id = u64::from(header.cluster_id != 0);
        header.member_id = u64::from(header.member_id != 0);
        header.raft_term = u64::from(header.raft_term != 0);
    }
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn range(key: &str, range_end: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: bytes(key), range_end: bytes(range_end), ..pb::RangeRequest::default() }
}

pub(crate) fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: bytes(key), value: bytes(value), ..pb::PutRequest::default() }
}

pub(crate) fn delete(key: &str, range_end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: bytes(key), range_end: bytes(range_end), prev_kv: false }
}
