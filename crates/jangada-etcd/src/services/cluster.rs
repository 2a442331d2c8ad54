//! Cluster: who the members are, and changes of one of them.

use jangada_kv::Revision;
use tonic::{Request as Call, Response as Answer, Status};

use crate::backend::{Backend, Freshness, Member, MemberChange};
use crate::etcdserverpb as pb;
use crate::etcdserverpb::cluster_server::Cluster;
use crate::{auth, error, metadata, response};

/// Cluster over a backend.
#[derive(Clone, Debug)]
pub struct ClusterService<B>(pub B);

#[tonic::async_trait]
impl<B: Backend> Cluster for ClusterService<B> {
    async fn member_list(
        &self,
        call: Call<pb::MemberListRequest>,
    ) -> Result<Answer<pb::MemberListResponse>, Status> {
        metadata::check_leader(call.metadata(), &self.0)?;
        if call.get_ref().linearizable {
            // What this member knows afterwards is at least what was true when the call came.
            super::revision(&self.0, Freshness::Linearizable).await?;
        }
        let members = self.0.members().await.map_err(error::of_refusal)?;
        Ok(Answer::new(pb::MemberListResponse { header: self.header(), members: all(members) }))
    }

    async fn member_add(
        &self,
        call: Call<pb::MemberAddRequest>,
    ) -> Result<Answer<pb::MemberAddResponse>, Status> {
        let (token, message) = self.admitted(call).await?;
        let peer_addr = peer_addr(&message.peer_ur_ls)?;
        let change = MemberChange::Add { peer_addr, is_learner: message.is_learner };
        let (added, members) = self.change(change, token).await?;
        let member = members.iter().find(|member| member.id == added).cloned();
        Ok(Answer::new(pb::MemberAddResponse { header: self.header(), member, members }))
    }

    async fn member_remove(
        &self,
        call: Call<pb::MemberRemoveRequest>,
    ) -> Result<Answer<pb::MemberRemoveResponse>, Status> {
        let (token, message) = self.admitted(call).await?;
        let members = self.changed(MemberChange::Remove { id: message.id }, token).await?;
        Ok(Answer::new(pb::MemberRemoveResponse { header: self.header(), members }))
    }

    async fn member_update(
        &self,
        call: Call<pb::MemberUpdateRequest>,
    ) -> Result<Answer<pb::MemberUpdateResponse>, Status> {
        let (token, message) = self.admitted(call).await?;
        let change = MemberChange::Update { id: message.id, peer_addr: peer_addr(&message.peer_ur_ls)? };
        let members = self.changed(change, token).await?;
        Ok(Answer::new(pb::MemberUpdateResponse { header: self.header(), members }))
    }

    async fn member_promote(
        &self,
        call: Call<pb::MemberPromoteRequest>,
    ) -> Result<Answer<pb::MemberPromoteResponse>, Status> {
        let (token, message) = self.admitted(call).await?;
        let members = self.changed(MemberChange::Promote { id: message.id }, token).await?;
        Ok(Answer::new(pb::MemberPromoteResponse { header: self.header(), members }))
    }
}

impl<B: Backend> ClusterService<B> {
    /// The message of a call that may go on, and the token that it shows.
    async fn admitted<T>(&self, call: Call<T>) -> Result<(Option<String>, T), Status> {
        let token = auth::shown(call.metadata());
        let (caller, message) = metadata::admitted(call, &self.0)?;
        auth::may_manage(&self.0, &caller).await?;
        Ok((token, message))
    }

    async fn changed(&self, change: MemberChange, token: Option<String>) -> Result<Vec<pb::Member>, Status> {
        Ok(self.change(change, token).await?.1)
    }

    /// Changes a member; says which, and who there is now.
    async fn change(
        &self,
        change: MemberChange,
        token: Option<String>,
    ) -> Result<(u64, Vec<pb::Member>), Status> {
        let leaves = matches!(change, MemberChange::Remove { id } if id == self.0.answerer().member_id);
        let (id, members) = self.0.change_members(change, token).await.map_err(error::of_member_refusal)?;
        if !leaves {
            // Who asks this member for its list now, as etcdctl 3.4 does, wants to see the change. It has been made, whether
            // this member learns of it or not.
            let _learnt = super::revision(&self.0, Freshness::Linearizable).await;
        }
        Ok((id, all(members)))
    }

    /// Members are not of the store: what is said of them names no revision of it.
    fn header(&self) -> Option<pb::ResponseHeader> {
        response::header(&self.0, Revision::ZERO)
    }
}

/// The peer address that URLs name: one, as a server has one.
fn peer_addr(urls: &[String]) -> Result<String, Status> {
    let addr = match urls {
        [url] => url.strip_prefix("http://").map(|addr| addr.trim_end_matches('/')),
        _ => None,
    };
    let is_addr = |addr: &&str| {
        let parts = addr.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !addr.contains('/'));
        parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    };
    addr.filter(is_addr).map(str::to_owned).ok_or_else(|| error::BAD_MEMBER_URLS.into())
}

fn all(members: Vec<Member>) -> Vec<pb::Member> {
    members.into_iter().map(member).collect()
}

/// Addresses are host and port to us, and URLs to etcd's clients.
fn member(member: Member) -> pb::Member {
    let urls = |addr: String| match addr.is_empty() {
        true => Vec::new(),
        false => vec![format!("http://{addr}")],
    };
    pb::Member {
        id: member.id,
        name: member.name,
        peer_ur_ls: urls(member.peer_addr),
        client_ur_ls: urls(member.client_addr),
        is_learner: member.is_learner,
    }
}
