//! What the images had in them: a search that never tears a tail proves nothing about torn tails.

use std::ops::AddAssign;

use crate::named::named;

named! {
    /// Something that an image can be, or show.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum Kind;
    /// Of what was not synced, nothing.
    NothingSurvives = "nothing survives",
    /// All of it.
    EverythingSurvives = "everything survives",
    /// The changes up to one.
    LaterLost = "later changes lost",
    /// All changes but one.
    OneLost = "one change lost, later ones kept",
    /// One change only.
    OneAlone = "one change kept alone",
    /// The last write ends or begins at a small sector.
    TornAtSector512 = "torn at a sector of 512 bytes",
    /// The last write ends or begins at a large sector.
    TornAtSector4096 = "torn at a sector of 4096 bytes",
    /// The last write ends or begins anywhere.
    TornAtByte = "torn at a byte",
    /// Any changes.
    AnyChanges = "any subset of the changes",
    /// Any sectors of any changes.
    AnySectors = "any subset of the sectors",
    /// A part of each change.
    AnyBytes = "any part of each change",
    /// A new file is not there.
    CreateLost = "creation lost",
    /// A new file is there without having been synced.
    CreateKept = "unsynced creation kept",
    /// A file has its old name.
    RenameLost = "rename lost",
    /// A file has its new name without that having been synced.
    RenameKept = "unsynced rename kept",
    /// A file is there again.
    RemoveLost = "removal lost",
    /// A file has gone without that having been synced.
    RemoveKept = "unsynced removal kept",
    /// A write has left no trace.
    WriteLost = "write lost",
    /// The start cut a torn batch off.
    TornTailRepaired = "torn tail repaired",
    /// More is found than was promised.
    MoreThanPromised = "unpromised batch found whole",
    /// Just what was promised is found, and more was under way.
    OnlyPromised = "unpromised batch gone",
    /// A truncation was under way.
    TruncationUnderWay = "truncation under way",
    /// The start loaded a snapshot.
    SnapshotLoaded = "snapshot loaded",
    /// The leader's snapshot was half there.
    SnapshotHalfReceived = "half a received snapshot swept away",
    /// Its own snapshot was half there.
    SnapshotHalfTaken = "half an own snapshot swept away",
    /// The log has segments to be used again.
    SpareSegments = "spare segments",
    /// The configuration that is found is joint.
    JointConfiguration = "joint configuration found",
    /// The crash came in the very first start.
    FirstStart = "crash in the first start",
    /// The crash came in the middle of a start.
    CrashInStart = "crash in a start",
    /// The state was compared.
    StateCompared = "state compared with the run's own",
    /// The process was killed, started on its page cache, and then the power failed.
    KilledThenPowerLoss = "killed, started, then without power",
    /// The log was written on, lost its power and was read again.
    WentOn = "went on, lost power and was read again",
}

impl AddAssign<&Counts> for Counts {
    fn add_assign(&mut self, other: &Counts) {
        self.images += other.images;
        self.operations += other.operations;
        self.counts.resize(Kind::ALL.len(), 0);
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }
}

/// How many images there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different images, each with what was promised at the time.
    pub images: u64,
    /// Operations of disks at which they were cut.
    pub operations: u64,
    counts: Vec<u64>,
}

impl Counts {
    pub(crate) fn count(&mut self, kind: Kind) {
        self.counts.resize(Kind::ALL.len(), 0);
        self.counts[kind as usize] += 1;
    }

    /// How many images were, or showed, this.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.counts.get(kind as usize).copied().unwrap_or(0)
    }

    /// What none of them was.
    #[must_use]
    pub fn missing(&self) -> Vec<Kind> {
        Kind::ALL.iter().copied().filter(|kind| self.of(*kind) == 0).collect()
    }
}
