//! The disk: a thread that does its work, and lends it to the replica thread when there is nothing to do.
//!
//! The thread takes all jobs that wait, has the log writer do them in one go, and says so. Without a timer: while
//! one sync is under way, the next batch collects (group commit).
//!
//! Two hops between threads cost more than a quick sync. So the replica thread may do small jobs itself
//! ([`LogThread::run_here`]) while the log thread has none. Jobs never overtake each other: who works holds the
//! desk, and the replica thread sits down only when all that it handed over has been reported.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jangada_node::log_writer::{LogDone, LogJob, LogWriter};
use jangada_raft::types::Entry;
use jangada_wal::{Error, FileDisk};
use tokio::sync::mpsc::UnboundedSender;

use crate::meters::Meters;

/// Jobs taken in one go: bounds the wait of the first one.
const MAX_JOBS: usize = 4_096;

/// After so long without a job the log has come to rest.
const REST_AFTER: Duration = Duration::from_millis(250);

/// Most bytes of entries in jobs that count as small.
const SMALL_BYTES: usize = 16 << 10;

/// The replica thread goes to the disk itself only while small jobs take no longer than this, on average: it must
/// not stand still behind a slow disk.
const QUICK: Duration = Duration::from_micros(500);

/// A new measurement moves the average by one part of so many.
const PACE_WEIGHT: u32 = 8;

/// The replica thread's end.
pub(crate) struct LogThread {
    jobs: Option<Sender<Vec<LogJob>>>,
    thread: Option<JoinHandle<()>>,
    desk: Arc<Mutex<Desk>>,
    /// Nothing more is to be written.
    abandoned: Arc<AtomicBool>,
    /// Messages handed over and not yet reported.
    under_way: usize,
}

/// What the log thread reports. After an error there is nothing more.
pub(crate) struct LogReport {
    /// How many messages of [`LogThread::send`] this answers.
    messages: usize,
    pub(crate) outcome: Result<Vec<LogDone>, Error>,
}

/// The writer, and what both threads know of its work. One of them holds it while it works.
struct Desk {
    writer: LogWriter<FileDisk>,
    /// When it was last used, unless the log has come to rest since.
    last_used: Option<Instant>,
    /// How long small jobs take.
    pace: Duration,
    meters: Arc<Meters>,
}

impl LogThread {
    /// Starts the thread. Reports arrive in `reports`, and belong into [`LogThread::reported`].
    pub(crate) fn start(
        writer: LogWriter<FileDisk>,
        reports: UnboundedSender<LogReport>,
        meters: Arc<Meters>,
    ) -> std::io::Result<LogThread> {
        let (jobs, inbox) = channel();
        // Nothing is known of this disk yet: the first jobs show how quick it is.
        let desk = Arc::new(Mutex::new(Desk { writer, last_used: None, pace: QUICK * 2, meters }));
        let abandoned = Arc::new(AtomicBool::new(false));
        let (theirs, gone) = (Arc::clone(&desk), Arc::clone(&abandoned));
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || serve(&theirs, &inbox, &reports, &gone))?;
        Ok(LogThread { jobs: Some(jobs), thread: Some(thread), desk, abandoned, under_way: 0 })
    }

    /// Hands jobs over. If the thread has died, its error is on its way in the reports.
    pub(crate) fn send(&mut self, jobs: Vec<LogJob>) {
        if let Some(sender) = &self.jobs {
            self.under_way += 1;
            let _dead = sender.send(jobs);
        }
    }

    /// Does jobs on this thread and returns what came of it, if they are small, the disk is quick and the log
    /// thread has nothing to do. Otherwise it hands them over.
    pub(crate) fn run_here(&mut self, jobs: Vec<LogJob>) -> Option<Result<Vec<LogDone>, Error>> {
        let desk = Arc::clone(&self.desk);
        let desk = if self.under_way == 0 && are_small(&jobs) { desk.try_lock().ok() } else { None };
        let Some(mut desk) = desk.filter(|desk| desk.pace <= QUICK) else {
            self.send(jobs);
            return None;
        };
        // The log thread sleeps until a job comes: it is to see to the log's rest, and to what is due.
        let asleep = desk.last_used.is_none();
        let outcome = desk.run(jobs);
        if asleep || desk.writer.has_chores() {
            self.send(Vec::new());
        }
        Some(outcome)
    }

    /// Notes that a report has come.
    pub(crate) fn reported(&mut self, report: &LogReport) {
        self.under_way -= report.messages;
    }

    /// Lets the thread finish what it is at, no more, and waits for it.
    pub(crate) fn abandon(&mut self) {
        self.abandoned.store(true, Relaxed);
        self.finish();
    }

    /// Lets the thread finish what it has, and waits for it.
    pub(crate) fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Desk {
    fn run(&mut self, jobs: Vec<LogJob>) -> Result<Vec<LogDone>, Error> {
        let begun = Instant::now();
        let small = are_small(&jobs);
        let is_record = jobs.iter().any(|job| matches!(job, LogJob::Persist(_)));
        let mut done = Vec::with_capacity(jobs.len());
        self.writer.run(jobs, &mut done)?;
        let ended = Instant::now();
        self.last_used = Some(ended);
        if is_record {
            self.meters.log_writes.observe(ended - begun);
        }
        if small {
            self.pace = (self.pace * (PACE_WEIGHT - 1) + (ended - begun)) / PACE_WEIGHT;
        }
        Ok(done)
    }

    /// Lets the log come to rest if it was not used for long enough.
    fn rest_if_due(&mut self) -> Result<(), Error> {
        if self.last_used.is_some_and(|used| used.elapsed() >= REST_AFTER) {
            self.writer.rest()?;
            self.last_used = None;
        }
        Ok(())
    }
}

/// Whether these are a few entries, or a vote, and nothing else.
fn are_small(jobs: &[LogJob]) -> bool {
    let mut bytes = 0;
    let are_records = jobs.iter().all(|job| match job {
        LogJob::Persist(persist) => {
            bytes += persist.entries.iter().map(Entry::size_bytes).sum::<usize>();
            persist.snapshot_chunk.is_none()
        }
        LogJob::WriteSnapshot(_) | LogJob::AbortSnapshot | LogJob::ReadSnapshot { .. } => false,
    });
    are_records && !jobs.is_empty() && bytes <= SMALL_BYTES
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().expect("a panic of the replica thread ends the process")
}

fn serve(
    desk: &Mutex<Desk>,
    inbox: &Receiver<Vec<LogJob>>,
    reports: &UnboundedSender<LogReport>,
    abandoned: &AtomicBool,
) {
    if let Err(error) = work(desk, inbox, reports, abandoned) {
        let _gone = reports.send(LogReport { messages: 0, outcome: Err(error) });
    }
}

/// Does what comes, until a clean stop, or until it is abandoned.
fn work(
    desk: &Mutex<Desk>,
    inbox: &Receiver<Vec<LogJob>>,
    reports: &UnboundedSender<LogReport>,
    abandoned: &AtomicBool,
) -> Result<(), Error> {
    while let Some(mut jobs) = next_jobs(desk, inbox, abandoned)? {
        let mut messages = 1;
        while jobs.len() < MAX_JOBS {
            let Ok(more) = inbox.try_recv() else { break };
            jobs.extend(more);
            messages += 1;
        }
        let mut desk = lock(desk);
        let done = desk.run(jobs)?;
        if reports.send(LogReport { messages, outcome: Ok(done) }).is_err() {
            return Ok(());
        }
        desk.writer.when_idle()?;
    }
    Ok(())
}

/// Waits for the next jobs; `None` at a clean stop. In between the log may come to rest.
fn next_jobs(
    desk: &Mutex<Desk>,
    inbox: &Receiver<Vec<LogJob>>,
    abandoned: &AtomicBool,
) -> Result<Option<Vec<LogJob>>, Error> {
    let left = |jobs| (!abandoned.load(Relaxed)).then_some(jobs);
    loop {
        let Some(last_used) = lock(desk).last_used else { return Ok(inbox.recv().ok().and_then(left)) };
        match inbox.recv_timeout((last_used + REST_AFTER).saturating_duration_since(Instant::now())) {
            Ok(jobs) => return Ok(left(jobs)),
            Err(RecvTimeoutError::Timeout) => lock(desk).rest_if_due()?,
            Err(RecvTimeoutError::Disconnected) if abandoned.load(Relaxed) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                lock(desk).writer.rest()?;
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_raft::face::Persist;
    use jangada_raft::types::{Index, Payload, PersistId, Term};
    use jangada_wal::{Wal, WalConfig};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    const TOKEN: [u8; 16] = [7; 16];

    struct Bench {
        thread: LogThread,
        reports: UnboundedReceiver<LogReport>,
        folder: tempfile::TempDir,
    }

    fn bench(pace: Duration) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(folder.path()).unwrap();
        let (wal, _) = Wal::open(disk.clone(), WalConfig::new(TOKEN)).unwrap();
        let (sender, reports) = unbounded_channel();
        let thread = LogThread::start(LogWriter::new(disk, TOKEN, wal), sender, Arc::default()).unwrap();
        lock(&thread.desk).pace = pace;
        Bench { thread, reports, folder }
    }

    fn job(number: u64, bytes: usize) -> Vec<LogJob> {
        let payload = Payload::Command(vec![0; bytes].into());
        let entries = vec![Entry { index: Index(number), term: Term(1), payload }];
        let id = PersistId(number);
        let persist = Persist { id, hard_state: None, snapshot_chunk: None, truncate_from: None, entries };
        vec![LogJob::Persist(persist)]
    }

    impl Bench {
        fn next_done(&mut self) -> Vec<LogDone> {
            let report = self.reports.blocking_recv().unwrap();
            self.thread.reported(&report);
            report.outcome.unwrap()
        }

        /// What a restart finds.
        fn last_index(mut self) -> Index {
            self.thread.finish();
            drop(self.thread);
            let disk = FileDisk::open(self.folder.path()).unwrap();
            let config = WalConfig { create: false, ..WalConfig::new(TOKEN) };
            Wal::open(disk, config).unwrap().0.last_index()
        }
    }

    #[test]
    fn on_a_quick_disk_small_jobs_are_done_at_once() {
        let mut bench = bench(Duration::ZERO);
        let done = bench.thread.run_here(job(1, 100)).unwrap().unwrap();
        assert_eq!(done, [LogDone::Persisted(PersistId(1))]);
        assert_eq!(bench.next_done(), [], "the log thread was woken, to see to the log's rest");
        assert_eq!(bench.last_index(), Index(1));
    }

    #[test]
    fn nothing_overtakes_what_was_handed_over() {
        let mut bench = bench(Duration::ZERO);
        bench.thread.send(job(1, 100));
        assert!(bench.thread.run_here(job(2, 100)).is_none(), "it waits behind the first");
        let mut done = bench.next_done();
        if done != [LogDone::Persisted(PersistId(2))] {
            assert_eq!(done, [LogDone::Persisted(PersistId(1))]);
            done = bench.next_done();
        }
        assert_eq!(done, [LogDone::Persisted(PersistId(2))]);
        lock(&bench.thread.desk).pace = Duration::ZERO;
        // The log thread may still be leaving its desk: then this one is handed over, too.
        match bench.thread.run_here(job(3, 100)) {
            Some(done) => assert_eq!(done.unwrap(), [LogDone::Persisted(PersistId(3))]),
            None => assert_eq!(bench.next_done(), [LogDone::Persisted(PersistId(3))]),
        }
        assert_eq!(bench.last_index(), Index(3));
    }

    #[test]
    fn large_jobs_and_slow_disks_are_left_to_the_log_thread() {
        let mut bench = bench(Duration::ZERO);
        assert!(bench.thread.run_here(job(1, SMALL_BYTES + 1)).is_none());
        assert_eq!(bench.next_done(), [LogDone::Persisted(PersistId(1))]);
        lock(&bench.thread.desk).pace = QUICK * 2;
        assert!(bench.thread.run_here(job(2, 100)).is_none());
        assert_eq!(bench.next_done(), [LogDone::Persisted(PersistId(2))]);
        assert_eq!(bench.last_index(), Index(2));
    }
}
