//! What is asked of a cluster itself: its members, its leader, hashes, downgrades.
//!
//! Numbers of members and hashes differ between any two clusters: members are called by their place in the order of
//! names, and of a hash only whether there is one is compared.

use std::time::Duration;

use anyhow::{Context, Result};
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::downgrade_request::DowngradeAction;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::{Code, Response, Status};

use super::server::Server;
use super::step::told;

/// Asks until the cluster is healthy enough: etcd counts those that it knows for 5 s; ours are there at once.
macro_rules! once_healthy {
    ($($call:tt)*) => {{
        let mut answer = $($call)*.await;
        for _ in 0..40 {
            if answer.as_ref().err().is_none_or(|status| status.code() != Code::Unavailable) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            answer = $($call)*.await;
        }
        answer
    }};
}

/// A call of Cluster or Maintenance.
#[derive(Clone, Debug)]
pub(crate) enum Upkeep {
    Add {
        url: Url,
        is_learner: bool,
    },
    Remove(Who),
    Update(Who, Url),
    Promote(Who),
    List {
        linearizable: bool,
    },
    Hash,
    HashKv(i64),
    MoveLeader(Who),
    /// Asked of a member that does not lead.
    MoveLeaderElsewhere(Who),
    Defragment,
    Status,
    Downgrade(DowngradeAction, &'static str),
}

/// A member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// By its place.
    Member(usize),
    /// Whoever leads.
    Leader,
    /// The first founding member that does not.
    Follower,
    /// Who came last, even if it has left.
    Newcomer,
    /// Nobody is called so.
    Number(u64),
}

/// A peer's URL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Url {
    Of(usize),
    OfNewcomer,
    Text(&'static str),
    None,
}

impl Upkeep {
    /// Asks, and returns the answer as text.
    pub(crate) async fn ask(&self, server: &mut Server) -> Result<String> {
        match *self {
            Upkeep::Add { url, is_learner } => {
                let request = pb::MemberAddRequest { peer_ur_ls: url.of(server).await?, is_learner };
                let answer = add(server, request).await;
                members(answer, |answer| (&mut answer.members, &mut answer.header))
            }
            Upkeep::Remove(who) => {
                let request = pb::MemberRemoveRequest { id: who.number(server).await? };
                let answer = once_healthy!(server.cluster.member_remove(server.by(request)));
                members(answer, |answer| (&mut answer.members, &mut answer.header))
            }
            Upkeep::Update(who, url) => {
                let (id, peer_ur_ls) = (who.number(server).await?, url.of(server).await?);
                let request = pb::MemberUpdateRequest { id, peer_ur_ls };
                let answer = server.cluster.member_update(server.by(request)).await;
                members(answer, |answer| (&mut answer.members, &mut answer.header))
            }
            Upkeep::Promote(who) => {
                let request = pb::MemberPromoteRequest { id: who.number(server).await? };
                let answer = server.cluster.member_promote(server.by(request)).await;
                members(answer, |answer| (&mut answer.members, &mut answer.header))
            }
            Upkeep::List { linearizable } => {
                let request = pb::MemberListRequest { linearizable };
                let answer = server.cluster.member_list(server.by(request)).await;
                members(answer, |answer| (&mut answer.members, &mut answer.header))
            }
            Upkeep::Hash
            | Upkeep::HashKv(_)
            | Upkeep::MoveLeader(_)
            | Upkeep::MoveLeaderElsewhere(_)
            | Upkeep::Defragment
            | Upkeep::Status
            | Upkeep::Downgrade(..) => self.maintain(server).await,
        }
    }

    async fn maintain(&self, server: &mut Server) -> Result<String> {
        let mut client = MaintenanceClient::new(server.channel());
        match *self {
            Upkeep::HashKv(revision) => {
                let mut answer = client.hash_kv(server.by(pb::HashKvRequest { revision })).await;
                if let Ok(answer) = &mut answer {
                    answer.get_mut().hash = u32::from(answer.get_ref().hash != 0);
                }
                told(answer, |answer| &mut answer.header)
            }
            Upkeep::MoveLeader(who) => {
                let target_id = who.number(server).await?;
                // Which member that is, is chance.
                let mut client = MaintenanceClient::new(server.channel_of(true).await?);
                let answer = client.move_leader(server.by(pb::MoveLeaderRequest { target_id })).await;
                if answer.is_ok() {
                    all_know_leader(server, target_id).await?;
                }
                told(answer, |answer| &mut answer.header)
            }
            Upkeep::MoveLeaderElsewhere(who) => {
                let target_id = who.number(server).await?;
                let mut client = MaintenanceClient::new(server.channel_of(false).await?);
                let answer = client.move_leader(server.by(pb::MoveLeaderRequest { target_id })).await;
                told(answer, |answer| &mut answer.header)
            }
            Upkeep::Defragment => {
                let answer = client.defragment(server.by(pb::DefragmentRequest {})).await;
                told(answer, |answer| &mut answer.header)
            }
            Upkeep::Status => {
                let is_there =
                    |status: &pb::StatusResponse| status.raft_applied_index > 0 && status.db_size_in_use > 0;
                let mut answer = status(server, is_there).await?;
                comparable(&mut answer);
                told(Ok(Response::new(answer)), |answer| &mut answer.header)
            }
            Upkeep::Downgrade(action, version) => {
                let request = pb::DowngradeRequest { action: action.into(), version: version.to_owned() };
                told(client.downgrade(server.by(request)).await, |answer| &mut answer.header)
            }
            _ => {
                let mut answer = client.hash(server.by(pb::HashRequest {})).await;
                if let Ok(answer) = &mut answer {
                    answer.get_mut().hash = u32::from(answer.get_ref().hash != 0);
                }
                told(answer, |answer| &mut answer.header)
            }
        }
    }
}

/// The status of a server, once there is what is looked for: ours is a fraction of a second old.
async fn status(
    server: &mut Server,
    is_there: impl Fn(&pb::StatusResponse) -> bool,
) -> Result<pb::StatusResponse> {
    let mut client = MaintenanceClient::new(server.channel());
    loop {
        let status = client.status(server.by(pb::StatusRequest {})).await?.into_inner();
        if is_there(&status) {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until every founding member knows that this one leads. A member that has just heard so passes requests on to it.
async fn all_know_leader(server: &Server, id: u64) -> Result<()> {
    for channel in server.channels() {
        let mut client = MaintenanceClient::new(channel.clone());
        while client.status(server.by(pb::StatusRequest {})).await?.into_inner().leader != id {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Of a status only what every server of one kind and age would say.
fn comparable(status: &mut pb::StatusResponse) {
    let flag = |number: i64| i64::from(number > 0);
    status.version.clear();
    (status.db_size, status.db_size_in_use) = (flag(status.db_size), flag(status.db_size_in_use));
    for number in
        [&mut status.leader, &mut status.raft_index, &mut status.raft_term, &mut status.raft_applied_index]
    {
        *number = u64::from(*number != 0);
    }
}

impl Who {
    async fn number(self, server: &mut Server) -> Result<u64> {
        let found = match self {
            Who::Number(number) => return Ok(number),
            Who::Member(place) => listed(server).await?.get(place).map(|member| member.id),
            Who::Leader => Some(status(server, |status| status.leader > 0).await?.leader),
            Who::Follower => {
                let leader = status(server, |status| status.leader > 0).await?.leader;
                listed(server).await?.iter().map(|member| member.id).find(|id| *id != leader)
            }
            Who::Newcomer => server.newcomer.as_ref().and_then(|newcomer| newcomer.id),
        };
        found.context("there is no such member")
    }
}

impl Url {
    async fn of(self, server: &mut Server) -> Result<Vec<String>> {
        Ok(match self {
            Url::Of(place) => {
                listed(server).await?.get(place).context("there is no such member")?.peer_ur_ls.clone()
            }
            Url::OfNewcomer => {
                vec![server.newcomer.as_ref().context("there is no newcomer")?.peer_url()]
            }
            Url::Text(url) => vec![url.to_owned()],
            Url::None => Vec::new(),
        })
    }
}

/// Adds a member.
pub(crate) async fn add(
    server: &mut Server,
    request: pb::MemberAddRequest,
) -> Result<Response<pb::MemberAddResponse>, Status> {
    once_healthy!(server.cluster.member_add(server.by(request.clone())))
}

/// The members in the order of their names.
pub(crate) async fn listed(server: &mut Server) -> Result<Vec<pb::Member>> {
    let request = pb::MemberListRequest { linearizable: true };
    let mut members = server.cluster.member_list(server.by(request)).await?.into_inner().members;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// An answer with members in it, as text.
pub(crate) fn members<T: std::fmt::Debug>(
    mut answer: Result<Response<T>, Status>,
    parts: impl Fn(&mut T) -> (&mut Vec<pb::Member>, &mut Option<pb::ResponseHeader>),
) -> Result<String> {
    if let Ok(answer) = &mut answer {
        let (members, _) = parts(answer.get_mut());
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.iter_mut().for_each(comparable_member);
    }
    // Which of ours it is, our words say.
    if let Err(status) = &answer
        && status.code() == Code::Unimplemented
    {
        return Ok("Unimplemented".to_owned());
    }
    told(answer, |answer| parts(answer).1)
}

/// Of a member everything but its number and ports.
pub(crate) fn comparable_member(member: &mut pb::Member) {
    member.id = u64::from(member.id != 0);
    for url in member.peer_ur_ls.iter_mut().chain(&mut member.client_ur_ls) {
        *url = url.split("127.0.0.1:").next().unwrap_or_default().to_owned();
    }
}
