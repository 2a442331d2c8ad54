//! Kills the leader of a local cluster again and again while clients ask, and starts it again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cluster::layout::Layout;
use crate::cluster::run::{self, Stage, Started};
use crate::failure::Failure;

/// How long a killed server stays down.
const DOWN: Duration = Duration::from_secs(1);
/// How long a leader, and a start, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A leader that was killed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kill {
    /// Since the run began.
    pub seconds: f64,
    /// Which one.
    pub server: String,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s: {} led, and was killed", self.seconds, self.server)
    }
}

/// A thread that kills.
#[derive(Debug)]
pub struct Killer {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Result<Vec<Kill>, Failure>>,
}

impl Killer {
    /// Kills the leader of the cluster in `dir` each time `every` has passed.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn start(dir: &Path, every: Duration) -> Result<Killer, Failure> {
        Layout::load(dir)?;
        let (stop, stopped) = mpsc::channel();
        let dir: PathBuf = dir.to_owned();
        let thread = thread::spawn(move || {
            let begun = Instant::now();
            let mut kills = Vec::new();
            let mut started: Vec<Started> = Vec::new();
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
                let layout = Layout::load(&dir)?;
                let leader = run::leader(&layout, Instant::now() + PATIENCE)?;
                run::kill(&layout, std::slice::from_ref(&leader))?;
                kills.push(Kill { seconds: begun.elapsed().as_secs_f64(), server: leader.name.clone() });
                reap(&mut started);
                let over = stopped.recv_timeout(DOWN) != Err(RecvTimeoutError::Timeout);
                let mut again = run::start(&layout, &[leader], &[])?;
                run::wait_for(&layout, &mut again, Stage::Answering, Instant::now() + PATIENCE)?;
                started.append(&mut again);
                if over {
                    break;
                }
            }
            Ok(kills)
        });
        Ok(Killer { stop, thread })
    }

    /// Ends it: all servers run again.
    ///
    /// # Errors
    /// Why it stopped before.
    pub fn stop(self) -> Result<Vec<Kill>, Failure> {
        // It may have ended by itself, with an error.
        let _ended = self.stop.send(());
        self.thread.join().expect("the killer does not panic")
    }
}

/// Forgets those that have ended: they are our children, and nobody else asks how they ended.
fn reap(started: &mut Vec<Started>) {
    started.retain_mut(|one| matches!(one.child.try_wait(), Ok(None)));
}
