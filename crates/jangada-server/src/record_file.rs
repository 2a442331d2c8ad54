//! `--record FILE`: everything that happens on this server, as JSON lines, for as long as it runs.
//!
//! A thread of its own makes the lines and writes them. Its queue is bounded: what a slow disk does not take is dropped,
//! counted and told; Raft never waits for it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jangada_node::event::Record;
use jangada_trace::names::Names;

use crate::recorder::text;

/// Steps that may wait to be written.
const MAX_WAITING: usize = 8_192;
/// While more comes all the time, what was written reaches the file after so long at most; otherwise at once, so that a
/// server that is killed has told all that it did.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

enum Piece {
    Records(Vec<Record>),
    Names(Names),
}

/// The file, and who writes to it.
pub(crate) struct RecordFile {
    pieces: Option<SyncSender<Piece>>,
    /// Not told to the thread yet.
    names: Option<Names>,
    dropped: u64,
    thread: Option<JoinHandle<()>>,
    name: String,
}

/// Where a server of this name records: in this file, or, if it is a folder, in a file of its own there.
pub(crate) fn file_of(path: &Path, name: &str) -> PathBuf {
    let is_folder = path.is_dir() || path.to_string_lossy().ends_with('/');
    if is_folder { path.join(format!("{name}.jsonl")) } else { path.to_path_buf() }
}

impl RecordFile {
    /// Goes on at the end of this file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn open(path: &Path, name: &str) -> io::Result<RecordFile> {
        let path = file_of(path, name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
        finish_last_line(&mut file)?;
        let (pieces, inbox) = sync_channel(MAX_WAITING);
        let told = format!("{name}: {}", path.display());
        let work = move || {
            if let Err(error) = write(file, &inbox) {
                eprintln!("{told}: {error}: nothing more is recorded");
            }
        };
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn(work)?;
        Ok(RecordFile {
            pieces: Some(pieces),
            names: None,
            dropped: 0,
            thread: Some(thread),
            name: name.to_owned(),
        })
    }

    /// Writes what happened in one step, if there is room.
    pub(crate) fn take(&mut self, records: &[Record]) {
        let Some(pieces) = self.pieces.as_ref().filter(|_| !records.is_empty()) else { return };
        // Whatever does not fit is tried again with the next step.
        if let Some(names) = self.names.take()
            && let Err(TrySendError::Full(Piece::Names(names))) = pieces.try_send(Piece::Names(names))
        {
            self.names = Some(names);
        }
        match pieces.try_send(Piece::Records(records.to_vec())) {
            Ok(()) if self.dropped > 0 => self.tell_dropped(),
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.dropped += records.len() as u64,
            // Why is told already.
            Err(TrySendError::Disconnected(_)) => self.pieces = None,
        }
    }

    /// Servers are called like this from now on.
    pub(crate) fn set_names(&mut self, names: &Names) {
        self.names = Some(names.clone());
    }

    fn tell_dropped(&mut self) {
        eprintln!(
            "{}: {} records were not written to the recording: the disk was too slow (their numbers are missing in \
             it)",
            self.name, self.dropped
        );
        self.dropped = 0;
    }
}

impl Drop for RecordFile {
    fn drop(&mut self) {
        self.pieces = None;
        if self.dropped > 0 {
            self.tell_dropped();
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// A server that was killed leaves half a line behind, which ends here.
fn finish_last_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn write(file: File, inbox: &Receiver<Piece>) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 18, file);
    let mut names = Names::new();
    let mut flushed = Instant::now();
    loop {
        if flushed.elapsed() >= FLUSH_AFTER {
            file.flush()?;
            flushed = Instant::now();
        }
        let piece = match inbox.try_recv() {
            Ok(piece) => piece,
            Err(TryRecvError::Disconnected) => return file.flush(),
            Err(TryRecvError::Empty) => {
                file.flush()?;
                flushed = Instant::now();
                let Ok(piece) = inbox.recv() else { return Ok(()) };
                piece
            }
        };
        match piece {
            Piece::Records(records) => file.write_all(text(&records, &names).as_bytes())?,
            Piece::Names(new) => names = new,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_node::event::Event;
    use jangada_raft::event::Event as RaftEvent;
    use jangada_raft::types::{Index, NodeId, Time};

    fn record(seq: u64) -> Record {
        let event = Event::Raft(RaftEvent::Durable { last: Index(seq) });
        Record { time: Time(seq), node: NodeId(7), seq, event }
    }

    #[test]
    fn what_was_taken_is_in_the_file_though_nobody_ends_it_properly() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let mut file = RecordFile::open(&path, "db-7").unwrap();
        for seq in 1..=3 {
            file.take(&[record(seq)]);
            let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
            while lines() < usize::try_from(seq).unwrap() {
                std::thread::yield_now();
            }
        }
        // As when the process is killed.
        std::mem::forget(file);
    }

    #[test]
    fn a_recording_goes_on_behind_half_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RecordFile::open(&dir.path().join("new/"), "db-7").unwrap();
        file.set_names(&[(NodeId(7), "db-7")].into_iter().collect());
        file.take(&[record(1), record(2)]);
        drop(file);
        let path = dir.path().join("new/db-7.jsonl");
        let mut text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("db-7"), "{text}");
        text.truncate(text.len() - 9);
        std::fs::write(&path, &text).unwrap();
        let mut file = RecordFile::open(&path, "db-7").unwrap();
        file.take(&[record(1)]);
        drop(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().nth(2).unwrap().ends_with('}'), "{text}");
    }
}
