//! endpoint health, status, hashkv: each endpoint by itself, all at once.

use std::future::Future;
use std::time::{Duration, Instant};

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tokio::task::JoinSet;
use tonic::Code;

use super::Ctl;
use super::cluster::{Effect, LOST, Link, greet, words};
use super::grammar::{Endpoint, EndpointWord};
use super::keys::kv;
use super::print::{Answer, add_text};
use super::status::{address, size, view};
use super::tree::{Tree, header, text};
use crate::failure::{Exit, Failure};

/// A status, in the names of etcdctl's JSON.
pub fn status_tree(status: &pb::StatusResponse) -> Tree {
    Tree::Object(vec![
        ("header", header(&status.header)),
        ("version", text(status.version.clone())),
        ("dbSize", status.db_size.into()),
        ("leader", status.leader.into()),
        ("raftIndex", status.raft_index.into()),
        ("raftTerm", status.raft_term.into()),
        ("raftAppliedIndex", status.raft_applied_index.into()),
        ("errors", Tree::List(status.errors.iter().map(text).collect())),
        ("dbSizeInUse", status.db_size_in_use.into()),
        ("isLearner", Tree::Flag(status.is_learner)),
    ])
}

/// What an endpoint answered, and how long that took.
struct Told<T> {
    endpoint: String,
    answer: Result<T, Failure>,
    took: Duration,
}

impl Ctl {
    /// Asks each endpoint. One that is not well is exit code 1.
    pub async fn endpoint(&mut self, asked: &Endpoint) -> Result<(), Failure> {
        let mut endpoints = self.cluster.endpoints().to_vec();
        if asked.cluster {
            endpoints = view(&endpoints).await.members.iter().filter_map(address).collect();
            if endpoints.is_empty() {
                return Err(Failure::unreachable("nobody tells who belongs to the cluster"));
            }
        }
        match asked.word {
            EndpointWord::Health => self.health(endpoints).await,
            EndpointWord::Status => self.statuses(endpoints).await,
            EndpointWord::Hashkv { rev } => self.hashes(endpoints, rev).await,
        }
    }

    /// Asks all of them the same at once.
    async fn each<T, F, Fut>(&self, endpoints: Vec<String>, ask: F) -> Vec<Told<T>>
    where
        T: Send + 'static,
        F: Fn(Link) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        let deadline = self.cluster.deadline();
        let mut asking = JoinSet::new();
        for (place, endpoint) in endpoints.into_iter().enumerate() {
            let ask = ask.clone();
            asking.spawn(async move {
                let begun = Instant::now();
                let asking = async {
                    let link = greet(&endpoint, deadline).await.map_err(Failure::unreachable)?;
                    ask(link).await
                };
                let answer = tokio::time::timeout(deadline, asking).await;
                let answer = answer.unwrap_or_else(|_late| Err(Failure::unreachable("no answer in time")));
                (place, Told { endpoint, answer, took: begun.elapsed() })
            });
        }
        let mut told = asking.join_all().await;
        told.sort_by_key(|(place, _)| *place);
        told.into_iter().map(|(_, told)| told).collect()
    }

    async fn health(&mut self, endpoints: Vec<String>) -> Result<(), Failure> {
        // Healthy is who can answer a linearizable read, and has no alarm to tell of; to be forbidden it is an answer, too.
        let request = pb::RangeRequest { key: "health".into(), ..pb::RangeRequest::default() };
        let told = self.each(endpoints, move |link: Link| {
            let request = request.clone();
            async move {
                if let Err(status) = kv(link.channel).range(request).await
                    && !matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated)
                    && status.message() != "etcdserver: user name is empty"
                {
                    let why = words(&status);
                    let exit = if why == LOST { Exit::Unreachable } else { Exit::No };
                    return Err(Failure::new(exit, why));
                }
                match link.status.map(|status| status.errors).unwrap_or_default() {
                    errors if errors.is_empty() => Ok(()),
                    errors => Err(Failure::new(Exit::No, of_errors(&errors))),
                }
            }
        });
        let told = told.await;
        let mut simple = Vec::new();
        let (mut parts, mut rows) = (Vec::new(), Vec::new());
        for Told { endpoint, answer, took } in &told {
            let (is_healthy, why) =
                (answer.is_ok(), answer.as_ref().err().map_or_else(String::new, Failure::to_string));
            match is_healthy {
                true => add_text(
                    &format!("{endpoint} is healthy: successfully committed proposal: took = {took:?}"),
                    &mut simple,
                ),
                false => add_text(&format!("{endpoint} is unhealthy: {why}"), &mut simple),
            }
            rows.push(vec![endpoint.clone(), is_healthy.to_string(), format!("{took:?}"), why.clone()]);
            parts.push(Tree::Object(vec![
                ("endpoint", text(endpoint)),
                ("health", Tree::Answer(is_healthy)),
                ("took", text(format!("{took:?}"))),
                ("error", text(why)),
            ]));
        }
        let table = Some((vec!["ENDPOINT", "HEALTH", "TOOK", "ERROR"], rows));
        self.format.print(&Answer { table, ..Answer::lines(Tree::List(parts), simple) })?;
        all_answered(&told)
    }

    async fn statuses(&mut self, endpoints: Vec<String>) -> Result<(), Failure> {
        let told = self.each(endpoints, |link: Link| async move {
            link.status.ok_or_else(|| Failure::refused("it wants to know who asks"))
        });
        let told = told.await;
        let mut simple = Vec::new();
        let (mut parts, mut rows) = (Vec::new(), Vec::new());
        for Told { endpoint, answer, .. } in &told {
            let Ok(status) = answer else { continue };
            let id = status.header.map_or(0, |header| header.member_id);
            let row = vec![
                endpoint.clone(),
                format!("{id:x}"),
                status.version.clone(),
                size(status.db_size),
                (status.leader == id).to_string(),
                status.is_learner.to_string(),
                status.raft_term.to_string(),
                status.raft_index.to_string(),
                status.raft_applied_index.to_string(),
                status.errors.join(", "),
            ];
            add_text(&row.join(", "), &mut simple);
            rows.push(row);
            parts.push(Tree::Object(vec![("Endpoint", text(endpoint)), ("Status", status_tree(status))]));
        }
        let columns = vec![
            "ENDPOINT",
            "ID",
            "VERSION",
            "DB SIZE",
            "IS LEADER",
            "IS LEARNER",
            "RAFT TERM",
            "RAFT INDEX",
            "RAFT APPLIED INDEX",
            "ERRORS",
        ];
        self.format
            .print(&Answer { table: Some((columns, rows)), ..Answer::lines(Tree::List(parts), simple) })?;
        all_answered(&told)
    }

    async fn hashes(&mut self, endpoints: Vec<String>, revision: i64) -> Result<(), Failure> {
        // Who asks matters here: the cluster that it is asked through knows.
        let cluster = self.cluster.clone();
        let told = self.each(endpoints, move |link: Link| {
            let mut one = cluster.through(link.address.clone());
            async move {
                let asked =
                    one.call(Effect::Read, pb::HashKvRequest { revision }, |channel, request| async move {
                        MaintenanceClient::new(channel).hash_kv(request).await
                    });
                let prefix = format!("{} ", link.address);
                asked.await.map_err(|Failure { exit, message }| Failure {
                    exit,
                    message: message.trim_start_matches(&prefix).to_owned(),
                })
            }
        });
        let told = told.await;
        let mut simple = Vec::new();
        let (mut parts, mut rows) = (Vec::new(), Vec::new());
        for Told { endpoint, answer, .. } in &told {
            let Ok(hash) = answer else { continue };
            add_text(&format!("{endpoint}, {}", hash.hash), &mut simple);
            rows.push(vec![endpoint.clone(), hash.hash.to_string()]);
            let hashed = Tree::Object(vec![
                ("header", header(&hash.header)),
                ("hash", hash.hash.into()),
                ("compact_revision", hash.compact_revision.into()),
            ]);
            parts.push(Tree::Object(vec![("Endpoint", text(endpoint)), ("HashKV", hashed)]));
        }
        let table = Some((vec!["ENDPOINT", "HASH"], rows));
        self.format.print(&Answer { table, ..Answer::lines(Tree::List(parts), simple) })?;
        all_answered(&told)?;
        let mut hashes = told.iter().filter_map(|told| told.answer.as_ref().ok().map(|hash| hash.hash));
        let first = hashes.next();
        match revision != 0 && hashes.any(|hash| Some(hash) != first) {
            true => Err(Failure::new(Exit::Corrupt, format!("the members differ at revision {revision}"))),
            false => Ok(()),
        }
    }
}

/// What a status complains of; alarms in the words of etcdctl.
fn of_errors(errors: &[String]) -> String {
    let (alarms, others): (Vec<&str>, Vec<&str>) =
        errors.iter().map(|error| error.trim()).partition(|error| error.contains("alarm:"));
    let names: Vec<&str> = alarms.iter().filter_map(|alarm| Some(alarm.split_once("alarm:")?.1)).collect();
    let alarms = (!names.is_empty()).then(|| format!("Active Alarm(s): {}", names.join(" ")));
    others.into_iter().map(str::to_owned).chain(alarms).collect::<Vec<_>>().join(", ")
}

/// 1 if not all are well; but 3 if nobody answers, 4 if whoever answers refuses, 5 if one says that data is corrupt.
fn all_answered<T>(told: &[Told<T>]) -> Result<(), Failure> {
    let failed: Vec<(&str, &Failure)> = told
        .iter()
        .filter_map(|told| told.answer.as_ref().err().map(|why| (told.endpoint.as_str(), why)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let is = |exit: Exit| move |(_, why): &(&str, &Failure)| why.exit == exit as u8;
    let is_silent = |why: &(&str, &Failure)| is(Exit::Unreachable)(why) || is(Exit::Deadline)(why);
    let exit = if failed.iter().any(is(Exit::Corrupt)) {
        Exit::Corrupt
    } else if failed.len() < told.len() {
        Exit::No
    } else if failed.iter().all(is_silent) {
        Exit::Unreachable
    } else if failed.iter().all(|why| is_silent(why) || is(Exit::Refused)(why)) {
        Exit::Refused
    } else {
        Exit::No
    };
    let each: Vec<String> = failed.iter().map(|(endpoint, why)| format!("{endpoint}: {why}")).collect();
    Err(Failure::new(exit, each.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_named_as_by_etcdctl() {
        let errors = ["memberID:7 alarm:NOSPACE ".to_owned(), "memberID:8 alarm:CORRUPT ".to_owned()];
        assert_eq!(of_errors(&errors), "Active Alarm(s): NOSPACE CORRUPT");
        assert_eq!(of_errors(&["etcdserver: no leader".to_owned()]), "etcdserver: no leader");
    }

    #[test]
    fn silence_is_told_apart_from_a_no() {
        let exit = |answers: &[Option<Exit>]| {
            let told: Vec<Told<()>> = answers
                .iter()
                .map(|answer| Told {
                    endpoint: "a:1".to_owned(),
                    answer: answer.map_or(Ok(()), |exit| Err(Failure::new(exit, "why"))),
                    took: Duration::ZERO,
                })
                .collect();
            all_answered(&told).err().map_or(0, |failure| failure.exit)
        };
        let (no, silent, refused) = (Some(Exit::No), Some(Exit::Unreachable), Some(Exit::Refused));
        for (answers, expected) in [
            ([None, None], 0),
            ([None, silent], 1),
            ([no, no], 1),
            ([no, silent], 1),
            ([silent, silent], 3),
            ([Some(Exit::Deadline), silent], 3),
            ([refused, refused], 4),
            ([refused, silent], 4),
            ([None, refused], 1),
            ([Some(Exit::Corrupt), None], 5),
        ] {
            assert_eq!(exit(&answers), expected, "{answers:?}");
        }
    }
}
