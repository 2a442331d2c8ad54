//! What is asked of locks and elections.

use anyhow::Result;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::v3electionpb::election_client::ElectionClient;
use jangada_etcd::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use jangada_etcd::v3lockpb::lock_client::LockClient;
use jangada_etcd::v3lockpb::{LockRequest, UnlockRequest};
use tonic::Response;

use super::server::Server;
use super::step::told;

/// A call of Lock or Election.
#[derive(Clone, Debug)]
pub(crate) enum Queues {
    Lock(&'static str, i64),
    Unlock(&'static str),
    Campaign(&'static str, i64, &'static str),
    Leader(&'static str),
    /// The first answer of it.
    Observe(&'static str),
    Proclaim(Leader, &'static str),
    Resign(Option<Leader>),
}

/// What a leader shows: name, key, lease, and the revision since when it leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leader {
    pub(crate) name: &'static str,
    pub(crate) key: &'static str,
    pub(crate) rev: i64,
    pub(crate) lease: i64,
}

impl Queues {
    /// Asks, and returns the answer as text.
    pub(crate) async fn ask(&self, server: &mut Server) -> Result<String> {
        let mut locks = LockClient::new(server.channel());
        let mut elections = ElectionClient::new(server.channel());
        match *self {
            Queues::Lock(name, lease) => {
                let mut answer = locks.lock(server.by(LockRequest { name: name.into(), lease })).await;
                if let Ok(answer) = &mut answer {
                    // Ours names the hold, on purpose.
                    forget_revision(&mut answer.get_mut().header);
                }
                told(answer, |answer| &mut answer.header)
            }
            Queues::Unlock(key) => {
                let answer = locks.unlock(server.by(UnlockRequest { key: key.into() })).await;
                told(answer, |answer| &mut answer.header)
            }
            Queues::Campaign(name, lease, value) => {
                let request = CampaignRequest { name: name.into(), lease, value: value.into() };
                let mut answer = elections.campaign(server.by(request)).await;
                if let Ok(answer) = &mut answer {
                    forget_revision(&mut answer.get_mut().header);
                }
                told(answer, |answer| &mut answer.header)
            }
            Queues::Leader(name) => {
                let answer = elections.leader(server.by(LeaderRequest { name: name.into() })).await;
                told(answer, |answer| &mut answer.header)
            }
            Queues::Observe(name) => {
                let observed = elections.observe(server.by(LeaderRequest { name: name.into() })).await;
                let first = match observed {
                    Ok(mut answers) => answers.get_mut().message().await,
                    Err(status) => Err(status),
                };
                match first {
                    Ok(None) => Ok("the stream has ended".to_owned()),
                    Ok(Some(answer)) => told(Ok(Response::new(answer)), |answer| &mut answer.header),
                    Err(status) => Ok(format!("{:?}: {}", status.code(), status.message())),
                }
            }
            Queues::Proclaim(leader, value) => {
                let request = ProclaimRequest { leader: Some(leader.message()), value: value.into() };
                told(elections.proclaim(server.by(request)).await, |answer| &mut answer.header)
            }
            Queues::Resign(leader) => {
                let request = ResignRequest { leader: leader.map(|leader| leader.message()) };
                told(elections.resign(server.by(request)).await, |answer| &mut answer.header)
            }
        }
    }
}

impl Leader {
    fn message(self) -> LeaderKey {
        LeaderKey { name: self.name.into(), key: self.key.into(), rev: self.rev, lease: self.lease }
    }
}

fn forget_revision(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        header.revision = i64::from(header.revision != 0);
    }
}
