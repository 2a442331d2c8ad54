//! The thread that owns the disk.
//!
//! It takes all jobs that wait, has the log writer do them in one go, and says so. Without a timer: while one
//! sync is under way, the next batch collects (group commit).

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jangada_node::log_writer::{LogDone, LogJob, LogWriter};
use jangada_wal::FileDisk;
use tokio::sync::mpsc::UnboundedSender;

/// Jobs taken in one go: bounds the wait of the first one.
const MAX_JOBS: usize = 4_096;

/// After so long without a job the log has come to rest.
const REST_AFTER: Duration = Duration::from_millis(250);

/// The replica thread's end.
pub(crate) struct LogThread {
    jobs: Option<Sender<Vec<LogJob>>>,
    thread: Option<JoinHandle<()>>,
}

/// What the log thread reports.
pub(crate) type LogReport = Result<Vec<LogDone>, jangada_wal::Error>;

impl LogThread {
    /// Starts the thread. Reports arrive in `reports`; after an error there are no more.
    pub(crate) fn start(
        writer: LogWriter<FileDisk>,
        reports: UnboundedSender<LogReport>,
    ) -> std::io::Result<LogThread> {
        let (jobs, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || serve(writer, &inbox, &reports))?;
        Ok(LogThread { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands jobs over. If the thread has died, its error is on its way in `reports`.
    pub(crate) fn send(&self, jobs: Vec<LogJob>) {
        if let Some(sender) = &self.jobs {
            let _dead = sender.send(jobs);
        }
    }

    /// Lets the thread finish what it has, and waits for it.
    pub(crate) fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn serve(
    mut writer: LogWriter<FileDisk>,
    inbox: &Receiver<Vec<LogJob>>,
    reports: &UnboundedSender<LogReport>,
) {
    loop {
        let mut jobs = match next_jobs(&mut writer, inbox) {
            Ok(Some(jobs)) => jobs,
            Ok(None) => return,
            Err(error) => {
                let _gone = reports.send(Err(error));
                return;
            }
        };
        while jobs.len() < MAX_JOBS {
            let Ok(more) = inbox.try_recv() else { break };
            jobs.extend(more);
        }
        let mut done = Vec::with_capacity(jobs.len());
        let outcome = writer.run(jobs, &mut done);
        let failed = outcome.is_err();
        let gone = reports.send(outcome.map(|()| done)).is_err();
        if failed || gone {
            return;
        }
        if let Err(error) = writer.when_idle() {
            let _gone = reports.send(Err(error));
            return;
        }
    }
}

/// Waits for the next jobs; `None` at a clean stop. In between the log may come to rest.
fn next_jobs(
    writer: &mut LogWriter<FileDisk>,
    inbox: &Receiver<Vec<LogJob>>,
) -> Result<Option<Vec<LogJob>>, jangada_wal::Error> {
    match inbox.recv_timeout(REST_AFTER) {
        Ok(jobs) => Ok(Some(jobs)),
        Err(RecvTimeoutError::Timeout) => {
            writer.rest()?;
            Ok(inbox.recv().ok())
        }
        Err(RecvTimeoutError::Disconnected) => {
            writer.rest()?;
            Ok(None)
        }
    }
}
