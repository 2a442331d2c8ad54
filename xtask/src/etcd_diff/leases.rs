//! What is asked of leases. How much of its time a lease has left is compared by its sign alone: two clusters are not
//! asked at the same moment.

use std::time::Duration;

use anyhow::Result;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::lease_client::LeaseClient;
use tonic::codegen::tokio_stream;

use super::server::Server;
use super::step::{range, told};

/// How often it is looked whether a key is gone, and how long.
const GLANCE: Duration = Duration::from_millis(100);
const GLANCES: u32 = 80;

/// A call of Lease, or the wait for what a lease does.
#[derive(Clone, Debug)]
pub(crate) enum Leases {
    Grant {
        id: i64,
        ttl: i64,
    },
    Revoke(i64),
    TimeToLive {
        id: i64,
        keys: bool,
    },
    /// Several on one stream.
    KeepAlive(Vec<i64>),
    List,
    /// Waits until a lease has taken a key with it.
    UntilGone(&'static str),
}

impl Leases {
    /// Asks, and returns the answer as text.
    pub(crate) async fn ask(&self, server: &mut Server) -> Result<String> {
        let mut client = LeaseClient::new(server.channel());
        match self {
            Leases::Grant { id, ttl } => {
                let request = pb::LeaseGrantRequest { id: *id, ttl: *ttl };
                let mut answer = client.lease_grant(server.by(request)).await;
                if let (0, Ok(answer)) = (id, &mut answer) {
                    // Chosen by the server; nobody shall keep it.
                    let chosen = std::mem::replace(&mut answer.get_mut().id, 1);
                    anyhow::ensure!(chosen > 0, "a lease is called {chosen}");
                    client.lease_revoke(server.by(pb::LeaseRevokeRequest { id: chosen })).await?;
                }
                told(answer, |answer| &mut answer.header)
            }
            Leases::Revoke(id) => {
                let answer = client.lease_revoke(server.by(pb::LeaseRevokeRequest { id: *id })).await;
                told(answer, |answer| &mut answer.header)
            }
            Leases::TimeToLive { id, keys } => {
                let request = pb::LeaseTimeToLiveRequest { id: *id, keys: *keys };
                let mut answer = client.lease_time_to_live(server.by(request)).await;
                if let Ok(answer) = &mut answer {
                    let answer = answer.get_mut();
                    answer.ttl = answer.ttl.signum();
                    // etcd tells them in the order of chance.
                    answer.keys.sort();
                }
                told(answer, |answer| &mut answer.header)
            }
            Leases::List => {
                let mut answer = client.lease_leases(server.by(pb::LeaseLeasesRequest {})).await;
                if let Ok(answer) = &mut answer {
                    answer.get_mut().leases.sort_by_key(|lease| lease.id);
                }
                told(answer, |answer| &mut answer.header)
            }
            Leases::KeepAlive(ids) => keep_alive(server, client, ids).await,
            Leases::UntilGone(key) => until_gone(server, key).await,
        }
    }
}

async fn keep_alive(
    server: &Server,
    mut client: LeaseClient<jangada_etcd::client::Channel>,
    ids: &[i64],
) -> Result<String> {
    let requests: Vec<_> = ids.iter().map(|&id| pb::LeaseKeepAliveRequest { id }).collect();
    let mut answers = match client.lease_keep_alive(server.by(tokio_stream::iter(requests))).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return Ok(format!("{:?}: {}", status.code(), status.message())),
    };
    let mut text = String::new();
    loop {
        let answer = answers.message().await.transpose();
        let Some(answer) = answer else { break Ok(text + "the stream has ended\n") };
        let failed = answer.is_err();
        text.push_str(&told(answer.map(tonic::Response::new), |answer| &mut answer.header)?);
        if failed {
            break Ok(text);
        }
    }
}

async fn until_gone(server: &mut Server, key: &str) -> Result<String> {
    for _ in 0..GLANCES {
        let answer = server.kv.range(server.by(range(key, ""))).await?.into_inner();
        if answer.count == 0 {
            return Ok("gone".to_owned());
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(format!("{} has kept it", server.name))
}
