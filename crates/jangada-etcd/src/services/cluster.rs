//! Cluster: who the members are. They cannot be changed from here yet.

use jangada_kv::Revision;
use tonic::{Request as Call, Response as Answer, Status};

use crate::backend::{Backend, Freshness, Member};
use crate::etcdserverpb as pb;
use crate::etcdserverpb::cluster_server::Cluster;
use crate::services::not_yet;
use crate::{metadata, response};

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
        let members = self.0.members().into_iter().map(member).collect();
        // Members are not of the store: their list names no revision of it.
        let header = response::header(&self.0, Revision::ZERO);
        Ok(Answer::new(pb::MemberListResponse { header, members }))
    }

    async fn member_add(
        &self,
        _: Call<pb::MemberAddRequest>,
    ) -> Result<Answer<pb::MemberAddResponse>, Status> {
        Err(not_yet("etcdserverpb.Cluster/MemberAdd"))
    }

    async fn member_remove(
        &self,
        _: Call<pb::MemberRemoveRequest>,
    ) -> Result<Answer<pb::MemberRemoveResponse>, Status> {
        Err(not_yet("etcdserverpb.Cluster/MemberRemove"))
    }

    async fn member_update(
        &self,
        _: Call<pb::MemberUpdateRequest>,
    ) -> Result<Answer<pb::MemberUpdateResponse>, Status> {
        Err(not_yet("etcdserverpb.Cluster/MemberUpdate"))
    }

    async fn member_promote(
        &self,
        _: Call<pb::MemberPromoteRequest>,
    ) -> Result<Answer<pb::MemberPromoteResponse>, Status> {
        Err(not_yet("etcdserverpb.Cluster/MemberPromote"))
    }
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
