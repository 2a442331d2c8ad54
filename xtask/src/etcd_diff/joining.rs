//! What makes a cluster larger: one more server, which becomes a member and may stop being one.
//!
//! By etcd's procedure: the cluster is told of the member, which is started afterwards.

use std::time::Duration;

use anyhow::{Context, Result};
use jangada_etcd::etcdserverpb as pb;
use tonic::Code;

use super::server::Server;
use super::step::range;
use super::upkeep::{add, comparable_member, listed, members};

/// What becomes of the newcomer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Joining {
    /// There is one, and it is added and started.
    Join { is_learner: bool },
    /// It is added, and does not run yet.
    Expect { is_learner: bool },
    /// And now it does.
    Start,
    /// It has joined: all know its name, and it has what was written before.
    Joined,
    /// It stands still.
    Pause,
    /// It goes on.
    Resume,
    /// Somebody leads, so that what is asked next is not lost with who led before.
    Led,
    /// It gets a vote, as soon as it is in step.
    PromoteOnceInStep,
}

impl Joining {
    /// Does it, and returns what was answered.
    pub(crate) async fn ask(self, server: &mut Server) -> Result<String> {
        let done = |()| "done".to_owned();
        match self {
            Joining::Join { is_learner } => {
                let answer = expect(server, is_learner).await?;
                server.start_newcomer().map(|()| answer)
            }
            Joining::Expect { is_learner } => expect(server, is_learner).await,
            Joining::Start => server.start_newcomer().map(done),
            Joining::Joined => joined(server).await.map(done),
            Joining::Pause => server.signal_newcomer("STOP").await.map(done),
            Joining::Resume => server.signal_newcomer("CONT").await.map(done),
            Joining::Led => led(server).await.map(done),
            Joining::PromoteOnceInStep => promote(server).await,
        }
    }
}

async fn expect(server: &mut Server, is_learner: bool) -> Result<String> {
    let url = server.prepare_newcomer()?;
    let request = pb::MemberAddRequest { peer_ur_ls: vec![url], is_learner };
    let mut answer = add(server, request).await;
    if let Ok(answer) = &mut answer {
        let answer = answer.get_mut();
        server.newcomer.as_mut().context("there is a newcomer")?.id =
            answer.member.as_ref().map(|member| member.id);
        answer.member.iter_mut().for_each(comparable_member);
    }
    members(answer, |answer| (&mut answer.members, &mut answer.header))
}

async fn joined(server: &mut Server) -> Result<()> {
    server.newcomer_is_up().await?;
    while listed(server).await?.iter().any(|member| member.name.is_empty()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn led(server: &mut Server) -> Result<()> {
    for _ in 0..40 {
        if server.kv.range(server.by(range("a", ""))).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("nobody leads")
}

async fn promote(server: &mut Server) -> Result<String> {
    let id = server.newcomer.as_ref().and_then(|newcomer| newcomer.id).context("there is no newcomer")?;
    loop {
        let answer = server.cluster.member_promote(server.by(pb::MemberPromoteRequest { id })).await;
        let is_behind = answer.as_ref().is_err_and(|status| {
            status.code() == Code::FailedPrecondition && status.message().contains("in sync")
        });
        if !is_behind {
            return members(answer, |answer| (&mut answer.members, &mut answer.header));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
