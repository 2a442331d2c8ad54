//! The replica thread's loop: wait, take all that waits, carry out what follows.
//!
//! A current-thread runtime: links, Raft, the state machine and reads share it. Between this thread and the
//! others goes one message per batch, never one per operation.

use std::time::{Duration, Instant};

use jangada_node::effect::Input;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::admin::Probed;
use crate::core::Core;
use crate::error::ServerError;
use crate::handle::Submission;
use crate::log_thread::LogReport;
use crate::peer::accept::PeerBatch;
use crate::peer::link::LinkNews;

/// Submissions and peer batches taken in one go: bounds the time until the first one's effects leave.
const MAX_TAKEN: usize = 256;
/// How long a stopping leader tries to hand its leadership over.
const FAREWELL: Duration = Duration::from_millis(1_500);

/// Longer than this between two steps means that the process was not allowed to run.
const PAUSE: Duration = Duration::from_millis(150);

/// Where the loop's inputs come from.
pub(crate) struct Inboxes {
    pub(crate) submissions: Receiver<Submission>,
    pub(crate) peers: Receiver<PeerBatch>,
    pub(crate) log: UnboundedReceiver<LogReport>,
    pub(crate) links: UnboundedReceiver<LinkNews>,
    pub(crate) probed: UnboundedReceiver<Probed>,
    /// For `Core::on_admin`, whose answers come back in `probed`.
    pub(crate) probes: UnboundedSender<Probed>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Runs until the server is told to stop, or cannot go on.
pub(crate) async fn run(core: &mut Core, inboxes: &mut Inboxes) -> Result<(), ServerError> {
    let alarm = sleep_until(core.next_wake().into());
    tokio::pin!(alarm);
    let mut farewell: Option<Instant> = None;
    let mut last_step = Instant::now();
    loop {
        tokio::select! {
            biased;
            report = inboxes.log.recv() => match report {
                Some(report) => core.on_log_report(report)?,
                None => return Err(ServerError::Disk(
                    "the log thread has ended by a fault of this program (see above): nothing can be made \
                     durable any more, so this server stops".to_owned(),
                )),
            },
            Some(batch) = inboxes.peers.recv() => core.on_peer_batch(batch),
            Some(submission) = inboxes.submissions.recv() => on_submission(core, submission, &inboxes.probes),
            Some(news) = inboxes.links.recv() => core.on_link_news(news)?,
            Some(probed) = inboxes.probed.recv() => core.on_probed(probed),
            () = &mut alarm => {}
            changed = inboxes.stop.changed(), if farewell.is_none() => {
                let _dropped = changed;
                farewell = Some(Instant::now() + FAREWELL);
                core.begin_farewell();
            }
        }
        take_what_waits(core, inboxes)?;
        if last_step.elapsed() > PAUSE {
            // The process stood still, and its clock did not. What arrived meanwhile comes first: otherwise a
            // leader would miss the answers of its followers, and a follower its leader's heartbeats.
            tokio::task::yield_now().await;
            take_what_waits(core, inboxes)?;
        }
        // Inputs do not look at the clock: what is due is due with each step.
        core.handle(Input::TimePassed);
        core.step()?;
        last_step = Instant::now();
        let wake = core.next_wake();
        // Moving the alarm costs more than one needless wake-up: only an earlier deadline moves it at once.
        if alarm.is_elapsed() || wake < alarm.deadline().into_std() {
            alarm.as_mut().reset(wake.into());
        }
        if farewell.is_some_and(|until| Instant::now() >= until || core.has_said_farewell()) {
            return Ok(());
        }
    }
}

fn take_what_waits(core: &mut Core, inboxes: &mut Inboxes) -> Result<(), ServerError> {
    while let Ok(report) = inboxes.log.try_recv() {
        core.on_log_report(report)?;
    }
    for _ in 0..MAX_TAKEN {
        let Ok(batch) = inboxes.peers.try_recv() else { break };
        core.on_peer_batch(batch);
    }
    for _ in 0..MAX_TAKEN {
        let Ok(submission) = inboxes.submissions.try_recv() else { break };
        on_submission(core, submission, &inboxes.probes);
    }
    Ok(())
}

fn on_submission(core: &mut Core, submission: Submission, probes: &UnboundedSender<Probed>) {
    match submission {
        Submission::Batch(batch) => core.on_batch(batch),
        Submission::Admin(request, reply) => core.on_admin(request, reply, probes),
    }
}
