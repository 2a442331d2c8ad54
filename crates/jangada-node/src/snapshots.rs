//! Snapshots of the state machine: taken while writes go on, and loaded at a start or from a leader.
//!
//! Taking one never stops the replica: parts of about `snapshot_part_bytes` leave between batches, at most eight
//! of them on their way to the disk. The log is cut only once the whole file is durable under its name.

use jangada_raft::face::Input as RaftInput;
use jangada_raft::types::{Index, SnapshotMeta};

use crate::effect::{Effect, SnapshotPart};
use crate::event::{DiskEvent, Event};
use crate::log_writer::{LogDone, LogJob, ReadPurpose};
use crate::replica::Replica;
use crate::state_machine::StateMachine;

/// Parts that may be on their way to the disk.
const PARTS_ON_THEIR_WAY: u32 = 8;

/// A snapshot that is being taken.
pub(crate) struct Taking<S: StateMachine> {
    meta: SnapshotMeta,
    cursor: Option<S::Snapshot>,
    offset: u64,
    on_their_way: u32,
}

/// A snapshot that is being loaded into the state machine.
pub(crate) struct Restoring<S: StateMachine> {
    meta: SnapshotMeta,
    restore: S::Restore,
    offset: u64,
    /// Replicated time as of the snapshot is known, although not all of it is here.
    stamp_is_known: bool,
}

impl<S: StateMachine> Replica<S> {
    /// Begins a snapshot when the log has grown enough, and moves the one that is being taken on.
    pub(crate) fn take_snapshot(&mut self) {
        if self.taking.is_none() && self.restoring.is_none() {
            let grown = self.bytes_since_snapshot >= self.config.snapshot_after_bytes;
            if !(grown || self.snapshot_asked)
                || self.applied <= self.raft.snapshot_meta().last_included_index
            {
                return;
            }
            let Some(meta) = self.raft.snapshot_meta_at(self.applied) else { return };
            self.snapshot_asked = false;
            self.bytes_since_snapshot = 0;
            self.events.push(Event::Disk(DiskEvent::SnapshotStarted { index: self.applied }));
            let cursor = Some(self.state.begin_snapshot());
            self.taking = Some(Taking { meta, cursor, offset: 0, on_their_way: 0 });
        }
        let Some(taking) = &mut self.taking else { return };
        while taking.on_their_way < PARTS_ON_THEIR_WAY {
            let Some(mut cursor) = taking.cursor.take() else { return };
            let data = self.state.next_chunk(&mut cursor, self.config.snapshot_part_bytes);
            let done = data.is_none();
            let data = data.unwrap_or_default();
            let part = SnapshotPart { meta: taking.meta.clone(), offset: taking.offset, data, done };
            taking.offset += part.data.len() as u64;
            taking.on_their_way += 1;
            self.effects.push(Effect::Log(LogJob::WriteSnapshot(part)));
            if done {
                self.state.end_snapshot(cursor);
            } else {
                taking.cursor = Some(cursor);
            }
        }
    }

    /// The log writer has done something.
    pub(crate) fn on_log_done(&mut self, done: LogDone) {
        match done {
            LogDone::Persisted(id) => {
                self.disk.persisted(id);
                self.raft.handle(self.now, RaftInput::Persisted(id));
            }
            LogDone::SnapshotPartWritten { .. } => {
                if let Some(taking) = &mut self.taking {
                    taking.on_their_way = taking.on_their_way.saturating_sub(1);
                }
            }
            LogDone::SnapshotWritten(meta) => self.on_snapshot_written(meta),
            LogDone::SnapshotRead { purpose: ReadPurpose::Send(to), part } => {
                let SnapshotPart { meta, offset, data, done } = part;
                self.raft.handle(self.now, RaftInput::SnapshotChunk { to, meta, offset, data, done });
            }
            LogDone::SnapshotRead { purpose: ReadPurpose::Restore, part } => self.on_restore_part(part),
            // Raft asks again, for the snapshot that there is now.
            LogDone::SnapshotGone { purpose: ReadPurpose::Send(_), .. } => {}
            LogDone::SnapshotGone { purpose: ReadPurpose::Restore, last_included_index } => {
                self.on_restore_gone(last_included_index);
            }
        }
    }

    fn on_snapshot_written(&mut self, meta: SnapshotMeta) {
        let Some(taking) = self.taking.take_if(|taking| taking.meta == meta) else { return };
        let (index, bytes) = (meta.last_included_index, taking.offset);
        self.events.push(Event::Disk(DiskEvent::SnapshotWritten { index, bytes }));
        self.raft.handle(self.now, RaftInput::SnapshotTaken(meta));
    }

    /// Our state is to be replaced by a snapshot that is durable here.
    pub(crate) fn begin_restore(&mut self, meta: SnapshotMeta) {
        if let Some(taking) = self.taking.take() {
            if let Some(cursor) = taking.cursor {
                self.state.end_snapshot(cursor);
            }
            self.effects.push(Effect::Log(LogJob::AbortSnapshot));
        }
        self.pending.jumped_to(meta.last_included_index);
        self.bytes_since_snapshot = 0;
        let restore = S::begin_restore();
        self.restoring = Some(Restoring { meta, restore, offset: 0, stamp_is_known: false });
        self.read_on();
    }

    fn read_on(&mut self) {
        let Some(restoring) = &self.restoring else { return };
        self.effects.push(Effect::Log(LogJob::ReadSnapshot {
            purpose: ReadPurpose::Restore,
            last_included_index: restoring.meta.last_included_index,
            offset: restoring.offset,
            max_bytes: self.config.snapshot_part_bytes,
        }));
    }

    fn on_restore_part(&mut self, part: SnapshotPart) {
        let Some(restoring) = &mut self.restoring else { return };
        let index = restoring.meta.last_included_index;
        if part.meta.last_included_index != index || part.offset != restoring.offset {
            return;
        }
        restoring.offset += part.data.len() as u64;
        if let Err(why) = S::restore_chunk(&mut restoring.restore, part.data) {
            return self.halt(&format!("the snapshot of index {index} cannot be read: {why}"));
        }
        if !restoring.stamp_is_known
            && let Some(stamp) = S::restored_stamp(&restoring.restore)
        {
            restoring.stamp_is_known = true;
            self.clock.jumped_to(stamp, self.raft.term(), self.now);
        }
        if !part.done {
            return self.read_on();
        }
        let Some(Restoring { restore, offset, stamp_is_known, .. }) = self.restoring.take() else { return };
        if let Err(why) = self.state.finish_restore(restore) {
            return self.halt(&format!("the snapshot of index {index} is not whole: {why}"));
        }
        self.events.push(Event::Disk(DiskEvent::SnapshotLoaded { index, bytes: offset }));
        if !stamp_is_known {
            self.clock.jumped_to(self.state.stamp(), self.raft.term(), self.now);
        }
        self.set_applied(index);
    }

    /// What we load is not on the disk any more. That is a loss unless a newer snapshot has taken its place there:
    /// then we load that one, as soon as Raft hands it out.
    fn on_restore_gone(&mut self, gone: Index) {
        let awaited = self.restoring.as_ref().is_some_and(|loading| loading.meta.last_included_index == gone);
        if awaited && self.raft.newest_snapshot_index() <= gone {
            self.halt("the snapshot to start from is not on the disk any more; restore it from a backup");
        }
    }

    /// Whether our clock has seen the stamps behind our snapshot. Who stamps without them begins at the time of
    /// its start: replicated time would go back for whoever follows, and nothing would expire until it has come
    /// so far again.
    pub(crate) fn knows_replicated_time(&self) -> bool {
        self.restoring.as_ref().is_none_or(|restoring| restoring.stamp_is_known)
    }

    fn halt(&mut self, why: &str) {
        self.effects.push(Effect::Halt(why.to_owned()));
    }

    /// Is the whole state at hand?
    #[must_use]
    pub fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }

    /// The snapshot that is being taken, and how many bytes of it there are.
    #[must_use]
    pub fn snapshot_under_way(&self) -> Option<(Index, u64)> {
        self.taking.as_ref().map(|taking| (taking.meta.last_included_index, taking.offset))
    }
}
