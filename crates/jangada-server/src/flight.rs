//! When a server panics, or a leader was lost, what happened before is written to the data directory: the folder `flight`
//! holds the last few of these, and a line on stderr says how to look at them.
//!
//! After a panic the last records are those of the step in which it happened (`Drop` of `Core`): all that Raft and the
//! replica had said until then. What is missing is what the line that panics would have said, and, if it stands in
//! `Replica::take_output`, what Raft said in this one turn; and a panic in another thread than the replica's is told by
//! what follows from it here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jangada_node::event::{Event, Record};
use jangada_raft::event::{Event as RaftEvent, RoleChange, RoleName};

use crate::recorder::{Recorder, text};

/// So many files are kept; the oldest go first.
const MAX_FILES: usize = 8;
/// Not more often than this, whatever happens: whoever loses leaders all the time has seen why.
const NOT_BEFORE: Duration = Duration::from_secs(30);
/// How long a new leader is waited for, so that the election is on the picture.
const ELECTION: Duration = Duration::from_secs(3);

/// Watches for what is worth a file.
#[derive(Debug)]
pub(crate) struct Flight {
    recorder: Recorder,
    folder: PathBuf,
    name: String,
    has_leader: bool,
    /// A leader was lost then, and nothing is written yet.
    lost: Option<Instant>,
    written: Option<Instant>,
}

impl Flight {
    /// For a server of this name, with its data here.
    pub(crate) fn new(recorder: Recorder, data_dir: &Path, name: &str) -> Flight {
        let (folder, name) = (data_dir.join("flight"), name.to_owned());
        Flight { recorder, folder, name, has_leader: false, lost: None, written: None }
    }

    /// Sees what happened.
    pub(crate) fn see(&mut self, record: &Record) {
        let Event::Raft(RaftEvent::RoleChanged { .. } | RaftEvent::LeaderKnown { .. }) = record.event else {
            return;
        };
        let (found, lost) = match record.event {
            Event::Raft(RaftEvent::LeaderKnown { .. })
            | Event::Raft(RaftEvent::RoleChanged { role: RoleName::Leader, .. }) => (true, false),
            Event::Raft(RaftEvent::RoleChanged { why, .. }) => {
                (false, matches!(why, RoleChange::QuorumLost | RoleChange::ElectionTimeout))
            }
            _ => (false, false),
        };
        if lost && self.has_leader {
            self.lost = self.lost.or_else(|| Some(Instant::now()));
        }
        self.has_leader = found || self.has_leader && !lost;
    }

    /// Writes, on a thread of its own, if there is something to write by now.
    pub(crate) fn look(&mut self) {
        let Some(lost) = self.lost else { return };
        if !self.has_leader && lost.elapsed() < ELECTION {
            return;
        }
        self.lost = None;
        if self.written.is_some_and(|written| written.elapsed() < NOT_BEFORE) {
            return;
        }
        self.written = Some(Instant::now());
        let (recorder, folder, name) = (self.recorder.clone(), self.folder.clone(), self.name.clone());
        let write = move || tell(&recorder, &folder, &name, "lost-leader", "the leader was lost");
        // Without a thread there is no picture, and nothing else is wrong.
        let _no_thread = std::thread::Builder::new().name("flight".to_owned()).spawn(write);
    }

    /// Writes at once: this server is about to end, by this error.
    pub(crate) fn write_last(&self, why: &str) {
        tell(&self.recorder, &self.folder, &self.name, "end", why);
    }
}

/// A panic of the replica's thread: the last moment at which anything can be written.
impl Drop for Flight {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.write_last("this server panics");
        }
    }
}

fn tell(recorder: &Recorder, folder: &Path, name: &str, reason: &str, why: &str) {
    let lines = text(&recorder.all(), &recorder.names());
    match write(folder, reason, &lines) {
        Ok(file) => {
            let file = file.display();
            eprintln!(
                "{name}: {why}: what happened before is in {file}; to look at it: jangada timeline {file}"
            );
        }
        Err(error) => eprintln!("{name}: {why}, and what happened before could not be written: {error}"),
    }
}

fn write(folder: &Path, reason: &str, lines: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let mut old: Vec<PathBuf> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    old.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    // Their names begin with the time.
    old.sort();
    for file in old.iter().take((old.len() + 1).saturating_sub(MAX_FILES)) {
        fs::remove_file(file)?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let file = folder.join(format!("{now:015}-{reason}.jsonl"));
    fs::write(&file, lines)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_raft::types::{NodeId, Term, Time};

    fn event(event: RaftEvent) -> Record {
        Record { time: Time(1), node: NodeId(1), seq: 1, event: Event::Raft(event) }
    }

    fn role(role: RoleName, why: RoleChange) -> Record {
        event(RaftEvent::RoleChanged { role, term: Term(1), why })
    }

    #[test]
    fn only_a_leader_that_was_there_can_be_lost() {
        let mut flight = Flight::new(Recorder::default(), Path::new("."), "n1");
        flight.see(&role(RoleName::PreCandidate, RoleChange::ElectionTimeout));
        assert!(flight.lost.is_none(), "there was none");
        flight.see(&event(RaftEvent::LeaderKnown { leader: NodeId(2), term: Term(1) }));
        flight.see(&role(RoleName::Follower, RoleChange::HigherTerm));
        assert!(flight.lost.is_none(), "a new term is no loss");
        flight.see(&role(RoleName::PreCandidate, RoleChange::ElectionTimeout));
        assert!(flight.lost.is_some() && !flight.has_leader);
    }

    #[test]
    fn files_are_bounded_and_a_panic_leaves_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("flight");
        for _ in 0..MAX_FILES + 5 {
            write(&folder, "lost-leader", "").unwrap();
            // The clock of the names has milliseconds; equal names would be one file.
            let begun = SystemTime::now();
            while begun.elapsed().unwrap_or_default() < Duration::from_millis(2) {}
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), MAX_FILES);
        let recorder = Recorder::default();
        recorder.keep(&[role(RoleName::Leader, RoleChange::ElectionWon)]);
        let flight = Flight::new(recorder, dir.path(), "n1");
        let crash = std::thread::spawn(move || {
            let _flight = flight;
            panic!("a bug");
        });
        assert!(crash.join().is_err());
        let last = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
        assert!(last.to_string_lossy().ends_with("-end.jsonl"), "{last:?}");
        assert!(fs::read_to_string(last).unwrap().contains("election_won"));
    }
}
