//! The log writer: everything that touches the disk, in one place and in one order.
//!
//! The server runs it on a thread of its own, the simulator inside its world. All jobs that wait are done in
//! one go: their records are one write and one sync (group commit, without a timer).

use jangada_raft::face::Persist;
use jangada_raft::types::{Index, NodeId, PersistId, SnapshotMeta};
use jangada_wal::snapshot::Origin;
use jangada_wal::{Disk, Error, SnapshotReader, SnapshotWriter, Wal};

use crate::effect::SnapshotPart;

/// Something to do with the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogJob {
    /// Write what Raft wants to be durable.
    Persist(Persist),
    /// Write a part of our own snapshot.
    WriteSnapshot(SnapshotPart),
    /// Our own snapshot is not wanted any more.
    AbortSnapshot,
    /// Read a part of a durable snapshot.
    ReadSnapshot {
        /// What for.
        purpose: ReadPurpose,
        /// Which snapshot.
        last_included_index: Index,
        /// From here on, in bytes.
        offset: u64,
        /// So much at most.
        max_bytes: usize,
    },
}

/// What a snapshot is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPurpose {
    /// To send it to a follower.
    Send(NodeId),
    /// To rebuild our own state machine.
    Restore,
}

/// What has been done with the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDone {
    /// This `Persist` and all before it are durable.
    Persisted(PersistId),
    /// A part of our own snapshot is written; durable only with the last.
    SnapshotPartWritten {
        /// Where the next part begins, in bytes.
        next_offset: u64,
    },
    /// Our own snapshot is durable under its name.
    SnapshotWritten(SnapshotMeta),
    /// A part of a snapshot was read.
    SnapshotRead {
        /// What for.
        purpose: ReadPurpose,
        /// The part.
        part: SnapshotPart,
    },
    /// The snapshot that was asked for is not here any more.
    SnapshotGone {
        /// What for.
        purpose: ReadPurpose,
        /// Which one it was.
        last_included_index: Index,
    },
}

/// Writes the log and the snapshots of one server.
pub struct LogWriter<D: Disk> {
    disk: D,
    identity: [u8; 16],
    wal: Wal<D>,
    /// The snapshot that is being read, by us or for a follower. It stays readable after a newer one has
    /// taken its place, so that a transfer need not begin anew.
    reading: Option<SnapshotReader<D>>,
    /// The snapshot of our own state that is being written.
    taking: Option<SnapshotWriter<D>>,
    /// The snapshot that a leader sends us.
    receiving: Option<SnapshotWriter<D>>,
}

impl<D: Disk> LogWriter<D> {
    /// A writer on a log that was opened on `disk` with this identity.
    #[must_use]
    pub fn new(disk: D, identity: [u8; 16], wal: Wal<D>) -> LogWriter<D> {
        LogWriter { disk, identity, wal, reading: None, taking: None, receiving: None }
    }

    /// Does all jobs, in order, and says in `done` what has been done. Records wait for one common sync, at
    /// the latest when a snapshot has to be durable before what follows.
    ///
    /// # Errors
    /// The disk failed. It is final: what is on the disk can only be known by reading it at the next start.
    pub fn run(&mut self, jobs: Vec<LogJob>, done: &mut Vec<LogDone>) -> Result<(), Error> {
        let mut persisted = None;
        for job in jobs {
            match job {
                LogJob::Persist(persist) => persisted = Some(self.persist(persist)?),
                LogJob::WriteSnapshot(part) => self.write_snapshot(part, done)?,
                LogJob::AbortSnapshot => {
                    if let Some(taking) = self.taking.take() {
                        taking.discard()?;
                    }
                }
                LogJob::ReadSnapshot { purpose, last_included_index, offset, max_bytes } => {
                    done.push(self.read_snapshot(purpose, last_included_index, offset, max_bytes)?);
                }
            }
        }
        if let Some(id) = persisted {
            self.wal.sync()?;
            done.push(LogDone::Persisted(id));
        }
        Ok(())
    }

    /// Whether [`LogWriter::when_idle`] has something to do.
    #[must_use]
    pub fn has_chores(&self) -> bool {
        self.wal.maintenance_due()
    }

    /// Prepares what the log will need next. To be called when there is nothing else to do.
    ///
    /// # Errors
    /// As [`LogWriter::run`].
    pub fn when_idle(&mut self) -> Result<(), Error> {
        if self.has_chores() {
            self.wal.maintain()?;
        }
        Ok(())
    }

    /// Notes in the log that all of it was synced: damage to its very last batch is then told from a write
    /// that a crash cut off. To be called when nothing was written for a while, and before a clean stop.
    ///
    /// # Errors
    /// As [`LogWriter::run`].
    pub fn rest(&mut self) -> Result<(), Error> {
        self.wal.seal()
    }

    fn persist(&mut self, persist: Persist) -> Result<PersistId, Error> {
        if let Some(hard_state) = persist.hard_state {
            self.wal.append_hard_state(hard_state)?;
        }
        if let Some(chunk) = persist.snapshot_chunk {
            let part =
                SnapshotPart { meta: chunk.meta, offset: chunk.offset, data: chunk.data, done: chunk.done };
            self.receive_snapshot(part)?;
        }
        if let Some(from) = persist.truncate_from {
            self.wal.append_truncation(from)?;
        }
        if !persist.entries.is_empty() {
            self.wal.append_entries(&persist.entries)?;
        }
        Ok(persist.id)
    }

    /// A part of our own snapshot. With the last one the file becomes durable, then the log is told, then it
    /// is cut.
    fn write_snapshot(&mut self, part: SnapshotPart, done: &mut Vec<LogDone>) -> Result<(), Error> {
        if part.offset == 0
            && let Some(unfinished) = self.taking.take()
        {
            unfinished.discard()?;
        }
        let mut taking = match self.taking.take() {
            Some(taking) => taking,
            None => SnapshotWriter::begin(&self.disk, &self.identity, &part.meta, Origin::Taken)?,
        };
        taking.write(part.offset, &part.data)?;
        done.push(LogDone::SnapshotPartWritten { next_offset: taking.next_offset() });
        if part.done {
            let meta = taking.finish()?;
            self.wal.snapshot_taken(&meta)?;
            done.push(LogDone::SnapshotWritten(meta));
        } else {
            self.taking = Some(taking);
        }
        Ok(())
    }

    /// A part of a leader's snapshot. A transfer begins at byte 0, also one that replaces another; after that
    /// the core hands out its parts in order, whatever the leader sends (`snapshot::on_install_snapshot`; the
    /// disks of its random worlds insist on it). So a gap is an error of this program and not of the network,
    /// and as final as any other: to begin again in silence would hide it.
    fn receive_snapshot(&mut self, part: SnapshotPart) -> Result<(), Error> {
        let other = self.receiving.as_ref().is_none_or(|receiving| *receiving.meta() != part.meta);
        if other || part.offset == 0 {
            if let Some(unfinished) = self.receiving.take() {
                unfinished.discard()?;
            }
            let begun = SnapshotWriter::begin(&self.disk, &self.identity, &part.meta, Origin::Received)?;
            self.receiving = Some(begun);
        }
        let mut receiving = self.receiving.take().expect("it was begun just now, or before");
        receiving.write(part.offset, &part.data)?;
        if part.done {
            let meta = receiving.finish()?;
            self.wal.snapshot_taken(&meta)?;
        } else {
            self.receiving = Some(receiving);
        }
        Ok(())
    }

    fn read_snapshot(
        &mut self,
        purpose: ReadPurpose,
        index: Index,
        offset: u64,
        max_bytes: usize,
    ) -> Result<LogDone, Error> {
        let open = self.reading.as_ref().is_some_and(|reading| reading.meta().last_included_index == index);
        if !open {
            match SnapshotReader::open(&self.disk, &self.identity, index) {
                Ok(reader) => self.reading = Some(reader),
                Err(Error::Missing { .. }) => {
                    return Ok(LogDone::SnapshotGone { purpose, last_included_index: index });
                }
                Err(error) => return Err(error),
            }
        }
        let reading = self.reading.as_ref().expect("it was opened just now, or before");
        let (data, done) = reading.read_at(offset, max_bytes)?;
        let part = SnapshotPart { meta: reading.meta().clone(), offset, data, done };
        if done && purpose == ReadPurpose::Restore {
            self.reading = None;
        }
        Ok(LogDone::SnapshotRead { purpose, part })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jangada_raft::face::SnapshotChunk;
    use jangada_raft::types::{Membership, Term};
    use jangada_wal::{MemDisk, WalConfig};

    use super::*;

    const IDENTITY: [u8; 16] = [1; 16];

    fn writer() -> LogWriter<MemDisk> {
        let disk = MemDisk::new();
        let (wal, _) = Wal::open(disk.clone(), WalConfig::new(IDENTITY)).expect("a new log");
        LogWriter::new(disk, IDENTITY, wal)
    }

    /// A part of the leader's snapshot up to `index`.
    fn part(id: u64, index: u64, offset: u64, data: &'static [u8], done: bool) -> LogJob {
        let meta = SnapshotMeta {
            last_included_index: Index(index),
            last_included_term: Term(1),
            membership: Membership::of([NodeId(1)]).into(),
        };
        let data = Bytes::from_static(data);
        LogJob::Persist(Persist {
            id: PersistId(id),
            hard_state: None,
            snapshot_chunk: Some(SnapshotChunk { meta, offset, data, done }),
            truncate_from: None,
            entries: Vec::new(),
        })
    }

    #[test]
    fn a_transfer_that_begins_anew_replaces_the_one_before() {
        let (mut writer, mut done) = (writer(), Vec::new());
        let jobs = vec![
            part(1, 5, 0, b"abc", false),
            part(2, 5, 3, b"de", false),
            part(3, 5, 0, b"uvw", false),
            part(4, 9, 0, b"x", false),
            part(5, 9, 1, b"yz", true),
        ];
        writer.run(jobs, &mut done).expect("a disk that works");
        assert_eq!(done, [LogDone::Persisted(PersistId(5))]);
        let read = writer.read_snapshot(ReadPurpose::Restore, Index(9), 0, 100).expect("it is there");
        let LogDone::SnapshotRead { part, .. } = read else { panic!("it can be read") };
        assert_eq!((&part.data[..], part.done), (&b"xyz"[..], true));
        let older = writer.read_snapshot(ReadPurpose::Restore, Index(5), 0, 100).expect("the disk answers");
        let gone = LogDone::SnapshotGone { purpose: ReadPurpose::Restore, last_included_index: Index(5) };
        assert_eq!(older, gone);
    }

    #[test]
    fn a_gap_is_an_error_and_not_a_snapshot() {
        let jobs = vec![part(1, 5, 0, b"abc", false), part(2, 5, 4, b"e", true)];
        let refused = writer().run(jobs, &mut Vec::new()).expect_err("a byte is missing");
        assert!(matches!(refused, Error::SnapshotGap { expected: 3, found: 4 }), "{refused}");
    }
}
