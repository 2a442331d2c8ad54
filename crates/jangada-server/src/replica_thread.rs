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
use crate::run::Wish;

/// Submissions and peer batches taken in one go: bounds the time until the first one's effects leave.
const MAX_TAKEN: usize = 256;
/// After this time no further submission is taken, for the same reason.
const LONGEST_TAKING: Duration = Duration::from_millis(10);
/// How long a stopping leader tries to hand its leadership over.
const FAREWELL: Duration = Duration::from_millis(1_500);

/// The links run when this thread has nothing to do, and at the latest after so long: steps that follow each other at once
/// (much to apply, much to read, a process that was not allowed to run) would keep heartbeats and their answers waiting.
const LINKS_WAIT: Duration = Duration::from_millis(10);

/// Where the loop's inputs come from.
pub(crate) struct Inboxes {
    pub(crate) submissions: Receiver<Submission>,
    pub(crate) peers: Receiver<PeerBatch>,
    pub(crate) log: UnboundedReceiver<LogReport>,
    pub(crate) links: UnboundedReceiver<LinkNews>,
    pub(crate) probed: UnboundedReceiver<Probed>,
    /// For `Core::on_admin`, whose answers come back in `probed`.
    pub(crate) probes: UnboundedSender<Probed>,
    pub(crate) stop: watch::Receiver<Wish>,
}

/// How a server that could go on came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Stopped,
    PowerFailed,
}

/// Runs until the server is told to stop, or cannot go on.
pub(crate) async fn run(core: &mut Core, inboxes: &mut Inboxes) -> Result<Ended, ServerError> {
    let alarm = sleep_until(core.next_wake().into());
    tokio::pin!(alarm);
    let mut farewell: Option<Instant> = None;
    let mut links_ran = Instant::now();
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
            Some(probed) = inboxes.probed.recv() => core.on_probed(probed, &inboxes.probes),
            () = &mut alarm => {}
            Ok(()) = inboxes.stop.changed() => {}
        }
        match *inboxes.stop.borrow() {
            Wish::Run => {}
            Wish::Stop if farewell.is_none() => {
                farewell = Some(Instant::now() + FAREWELL);
                core.begin_farewell();
            }
            Wish::Stop => {}
            Wish::Crash => return Ok(Ended::PowerFailed),
        }
        take_what_waits(core, inboxes)?;
        if links_ran.elapsed() > LINKS_WAIT {
            // The clock did not stand still. What arrived meanwhile comes first: otherwise a leader would miss the answers
            // of its followers, and a follower its leader's heartbeats.
            let_links_run().await;
            links_ran = Instant::now();
            take_what_waits(core, inboxes)?;
        }
        // Inputs do not look at the clock: what is due is due with each step.
        core.handle(Input::TimePassed);
        core.step()?;
        let wake = core.next_wake();
        // Moving the alarm costs more than one needless wake-up: only an earlier deadline moves it at once.
        if alarm.is_elapsed() || wake < alarm.deadline().into_std() {
            alarm.as_mut().reset(wake.into());
        }
        if farewell.is_some_and(|until| Instant::now() >= until || core.has_said_farewell()) {
            return Ok(Ended::Stopped);
        }
    }
}

/// Lets the links write what is to leave and read what has arrived: in one turn the runtime sees that something has, in the
/// next they read it.
async fn let_links_run() {
    for _ in 0..2 {
        tokio::task::yield_now().await;
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
    let begun = Instant::now();
    for _ in 0..MAX_TAKEN {
        // What this server answers out of its own store is answered here.
        if begun.elapsed() > LONGEST_TAKING {
            break;
        }
        let Ok(submission) = inboxes.submissions.try_recv() else { break };
        on_submission(core, submission, &inboxes.probes);
    }
    Ok(())
}

fn on_submission(core: &mut Core, submission: Submission, probes: &UnboundedSender<Probed>) {
    match submission {
        Submission::Batch(batch) => core.on_batch(batch),
        Submission::Changes(request, reply) => core.on_changes(request, reply),
        Submission::Page(request, reply) => core.on_page(&request, reply),
        Submission::Admin(request, reply) => core.on_admin(request, reply, probes),
        Submission::Rig(request) => core.on_rig(request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write;
    use std::rc::Rc;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn what_arrived_while_this_thread_stood_still_is_read_in_time() {
        let talk = async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let heard = Rc::new(Cell::new(false));
            let ear = Rc::clone(&heard);
            tokio::task::spawn_local(async move {
                stream.read_u8().await.unwrap();
                ear.set(true);
            });
            let_links_run().await;
            peer.write_all(&[1]).unwrap();
            assert!(!heard.get());
            let_links_run().await;
            assert!(heard.get());
        };
        tokio::task::LocalSet::new().run_until(talk).await;
    }
}
