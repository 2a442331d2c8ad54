//! lease grant, revoke, timetolive, list, keep-alive.

use std::time::Duration;

use jangada_etcd::client::Channel;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::lease_client::LeaseClient;
use tonic::codegen::tokio_stream;

use super::Ctl;
use super::cluster::{Cluster, Effect};
use super::grammar::LeaseWord;
use super::print::{Answer, add_text};
use super::tree::{Tree, header, text, with_header};
use crate::failure::{Exit, Failure};
use crate::output;

/// A number that nobody else draws. For a lease: to grant it twice does no harm then.
pub fn drawn() -> i64 {
    use std::hash::{BuildHasher, Hasher};
    // Seeded by the system for each.
    let number = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (number >> 1).max(1).cast_signed()
}

/// Grants a lease, and knows it for its own if an earlier attempt has made it.
///
/// # Errors
/// As for [`Cluster::call`].
pub async fn grant(cluster: &mut Cluster, ttl: i64) -> Result<pb::LeaseGrantResponse, Failure> {
    let id = drawn();
    let granted =
        cluster.call(Effect::Idempotent, pb::LeaseGrantRequest { ttl, id }, |channel, request| async move {
            LeaseClient::new(channel).lease_grant(request).await
        });
    match granted.await {
        Err(failure) if failure.message.ends_with("etcdserver: lease already exists") => {
            Ok(pb::LeaseGrantResponse { header: None, id, ttl, error: String::new() })
        }
        other => other,
    }
}

/// Ends a lease; one that is gone has been ended.
///
/// # Errors
/// As for [`Cluster::call`].
pub async fn revoke(cluster: &mut Cluster, id: i64) -> Result<Option<pb::LeaseRevokeResponse>, Failure> {
    let revoked =
        cluster.call(Effect::Idempotent, pb::LeaseRevokeRequest { id }, |channel, request| async move {
            LeaseClient::new(channel).lease_revoke(request).await
        });
    match revoked.await {
        Ok(revoked) => Ok(Some(revoked)),
        Err(failure) if failure.exit == Exit::No as u8 => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Keeps a lease alive once: its time to live, 0 if there is no such lease.
///
/// # Errors
/// As for [`Cluster::call`].
pub async fn keep_alive(cluster: &mut Cluster, id: i64) -> Result<pb::LeaseKeepAliveResponse, Failure> {
    let kept = cluster.call(
        Effect::Idempotent,
        pb::LeaseKeepAliveRequest { id },
        |channel: Channel, request| async move {
            let (metadata, extensions, message) = request.into_parts();
            let stream = tonic::Request::from_parts(metadata, extensions, tokio_stream::iter([message]));
            let mut told = LeaseClient::new(channel).lease_keep_alive(stream).await?.into_inner();
            let told = told.message().await?;
            told.map(tonic::Response::new).ok_or_else(|| tonic::Status::unavailable("the stream has ended"))
        },
    );
    kept.await
}

impl Ctl {
    /// Everything about leases.
    pub async fn lease(&mut self, word: &LeaseWord) -> Result<(), Failure> {
        match word {
            LeaseWord::Grant { ttl } => {
                let granted = grant(&mut self.cluster, *ttl).await?;
                let parts = vec![
                    ("ID", granted.id.into()),
                    ("TTL", granted.ttl.into()),
                    ("Error", Tree::Shown(Box::new(text("")))),
                ];
                let tree = with_header(&granted.header, parts);
                let said = format!("lease {:016x} granted with TTL({}s)\n", granted.id, granted.ttl);
                self.format.print(&Answer::lines(tree, said))
            }
            LeaseWord::Revoke { lease } => match revoke(&mut self.cluster, *lease).await? {
                Some(revoked) => {
                    let tree = Tree::Object(vec![("header", header(&revoked.header))]);
                    self.format.print(&Answer::lines(tree, format!("lease {lease:016x} revoked\n")))
                }
                None => Err(Failure::new(Exit::No, format!("lease {lease:016x}: there is no such lease"))),
            },
            LeaseWord::Timetolive { lease, keys } => self.time_to_live(*lease, *keys).await,
            LeaseWord::List => {
                let listed = self.cluster.call(
                    Effect::Read,
                    pb::LeaseLeasesRequest {},
                    |channel, request| async move { LeaseClient::new(channel).lease_leases(request).await },
                );
                let listed = listed.await?;
                let mut simple = Vec::new();
                add_text(&format!("found {} leases", listed.leases.len()), &mut simple);
                let (mut parts, mut rows) = (Vec::new(), Vec::new());
                for lease in &listed.leases {
                    add_text(&format!("{:016x}", lease.id), &mut simple);
                    rows.push(vec![format!("{:016x}", lease.id)]);
                    parts.push(Tree::Object(vec![("id", lease.id.into())]));
                }
                let tree = with_header(&listed.header, vec![("leases", Tree::List(parts))]);
                let table = Some((vec!["LEASE"], rows));
                self.format.print(&Answer { table, ..Answer::lines(tree, simple) })
            }
            LeaseWord::KeepAlive { lease, once } => self.keep(*lease, *once).await,
        }
    }

    async fn time_to_live(&mut self, id: i64, keys: bool) -> Result<(), Failure> {
        let request = pb::LeaseTimeToLiveRequest { id, keys };
        let told = self.cluster.call(Effect::Read, request, |channel, request| async move {
            LeaseClient::new(channel).lease_time_to_live(request).await
        });
        let told = told.await?;
        let parts = vec![
            ("id", told.id.into()),
            ("ttl", told.ttl.into()),
            ("granted-ttl", told.granted_ttl.into()),
            ("keys", Tree::List(told.keys.iter().cloned().map(Tree::Bytes).collect())),
        ];
        let tree = with_header(&told.header, parts);
        let is_there = told.ttl > 0 || told.granted_ttl > 0;
        let mut said = match is_there {
            true => {
                format!("lease {id:016x} granted with TTL({}s), remaining({}s)", told.granted_ttl, told.ttl)
            }
            false => format!("lease {id:016x} already expired"),
        };
        if keys && is_there {
            let keys: Vec<String> = told.keys.iter().map(|key| output::printable(key)).collect();
            said.push_str(&format!(", attached keys([{}])", keys.join(" ")));
        }
        self.format.print(&Answer::lines(tree, said + "\n"))?;
        if is_there { Ok(()) } else { Err(Failure::silent(Exit::No)) }
    }

    async fn keep(&mut self, id: i64, once: bool) -> Result<(), Failure> {
        loop {
            let kept = keep_alive(&mut self.cluster, id).await?;
            if kept.ttl <= 0 {
                return Err(Failure::new(Exit::No, format!("lease {id:016x} expired or revoked.")));
            }
            let tree = with_header(&kept.header, vec![("ID", kept.id.into()), ("TTL", kept.ttl.into())]);
            let said = format!("lease {id:016x} keepalived with TTL({})\n", kept.ttl);
            self.format.print(&Answer::lines(tree, said))?;
            if once {
                return Ok(());
            }
            tokio::time::sleep(pause(kept.ttl)).await;
        }
    }
}

/// The clock of keep-alives: how long after a lease was kept alive it should be again.
pub fn pause(ttl: i64) -> Duration {
    Duration::from_secs(ttl.max(1).unsigned_abs()) / 3
}
