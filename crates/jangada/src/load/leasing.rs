//! Each client has a lease and keeps it alive: how long an answer takes on a stream that is open anyway.

use std::rc::Rc;
use std::time::Instant;

use jangada_etcd::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::grpc::{Grpc, Talk};
use super::plan::Plan;
use super::report::Report;
use super::run::{Glance, Run, watched};

/// How long a lease lives that nobody keeps alive: what a run leaves behind, if it is ended from outside.
const SECONDS: i64 = 60;

/// Runs a plan of leases. What is counted are those that were kept alive.
///
/// # Errors
/// When there is no runtime for it.
pub fn run(plan: &Plan, servers: &[String], glance: impl Fn(Glance)) -> std::io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    Ok(tasks.block_on(&runtime, async {
        let links: Vec<_> =
            (0..plan.connections.min(plan.clients)).map(|number| Grpc::kept(servers, plan, number)).collect();
        // All leases are there before the clock runs.
        let mut leases = Vec::with_capacity(plan.clients);
        for number in 0..plan.clients {
            leases.push(links[number % links.len()].lease(SECONDS).await);
        }
        let run = Rc::new(Run::new(plan));
        let all = leases.into_iter().enumerate().map(|(number, lease)| {
            let (run, link) = (Rc::clone(&run), Rc::clone(&links[number % links.len()]));
            tokio::task::spawn_local(async move { client(&run, &link, lease).await })
        });
        let all: Vec<_> = all.collect();
        let asked = async {
            let mut held = Vec::with_capacity(all.len());
            for client in all {
                held.push(client.await.expect("a client does not panic and is not cancelled"));
            }
            held
        };
        let held = watched(asked, || glance(run.look())).await;
        let report = run.report(servers);
        for (number, lease) in held.into_iter().enumerate() {
            if let Some(lease) = lease {
                // What cannot be given up now ends by itself.
                let _left = links[number % links.len()].revoke(lease).await;
            }
        }
        report
    }))
}

/// Keeps a lease alive, again and again; another one, if that cannot be. Returns the one that it has in the end.
async fn client(run: &Run, link: &Grpc, mut lease: Result<(i64, Talk), String>) -> Option<i64> {
    while let Some(since) = run.next_turn().await {
        let kept = match &mut lease {
            Ok((id, stream)) => keep(run, *id, stream, since).await,
            Err(why) => Err(why.clone()),
        };
        if let Err(why) = kept {
            run.rest_after(&why).await;
            lease = link.lease(SECONDS).await;
        }
    }
    lease.ok().map(|(id, _)| id)
}

async fn keep(run: &Run, id: i64, stream: &mut Talk, since: Instant) -> Result<(), String> {
    stream.say(&LeaseKeepAliveRequest { id })?;
    let answer = timeout(run.plan.patience, stream.hear::<LeaseKeepAliveResponse>()).await;
    let answer = answer.unwrap_or_else(|_late| Err("no answer in time".to_owned()))?;
    if answer.ttl <= 0 {
        return Err("the lease has ended".to_owned());
    }
    run.answered(since, true);
    Ok(())
}
