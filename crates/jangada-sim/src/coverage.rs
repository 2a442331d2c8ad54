//! What has happened in a run, counted: a batch of seeds in which something never happens has proved nothing
//! about it.

use std::ops::AddAssign;

use crate::named::named;
use crate::plan::Profile;

/// What cannot happen without CheckQuorum, or is not done without PreVote.
const NOT_CLASSIC: &[Counter] = &[
    Counter::QuorumLost,
    Counter::JointConfigurations,
    Counter::FinalConfigurations,
    Counter::DisksLost,
    Counter::DisksRotten,
    Counter::SectorsLost,
    Counter::SectorsStale,
    Counter::WritesMisdirected,
    Counter::TailsZeroed,
    Counter::FilesGone,
    Counter::DamagedInUse,
    Counter::ReadBack,
    Counter::StaleConnections,
    Counter::MajoritiesLost,
    Counter::DamageRefused,
    Counter::DisksReplaced,
    Counter::StrangersRefused,
];

named! {
    /// Something that must happen now and then.
    pub enum Counter;
    /// Somebody began to lead.
    Elections = "elections won",
    /// A campaign was lost or given up.
    FailedCampaigns = "campaigns lost",
    /// A leader stepped down without a majority.
    QuorumLost = "leaders that lost their quorum",
    /// Entries were removed for a leader's.
    Truncations = "truncations",
    /// A log did not fit.
    LogConflicts = "log conflicts",
    /// Entries were committed for the first time.
    Commits = "entries committed",
    /// A server's own snapshot became durable.
    SnapshotsTaken = "snapshots taken",
    /// A leader's snapshot was installed.
    SnapshotsInstalled = "snapshots installed",
    /// A snapshot was loaded at a start.
    SnapshotsLoaded = "snapshots loaded at a start",
    /// A joint configuration came into force.
    JointConfigurations = "joint configurations",
    /// A change of members was completed.
    FinalConfigurations = "final configurations",
    /// A leader handed over.
    Transfers = "leadership transfers begun",
    /// A read was confirmed by a round.
    ReadsConfirmed = "read rounds",
    /// Commands were forwarded to the leader.
    Forwards = "writes forwarded",
    /// A message was lost on the way.
    MessagesLost = "messages lost",
    /// A message waited in the line of a clogged link.
    MessagesClogged = "messages on clogged links",
    /// A message was lost as the line of a clogged link was full.
    LinesFull = "messages too many for a clogged link",
    /// Servers were clogged one after the other, and released in another order.
    Swizzles = "swizzles",
    /// A link came and went.
    Flaps = "links that came and went",
    /// Connections were reset.
    Resets = "connections reset",
    /// A message was lost with the connection that it was in flight on.
    LostInFlight = "messages lost in flight",
    /// A message of another cluster was refused.
    ForeignersRefused = "messages of another cluster refused",
    /// A message in another version of the protocol was refused.
    VersionsRefused = "messages of another version refused",
    /// A message came from a connection of a server's earlier disk when it had been added with another.
    StaleConnections = "messages of stale connections",
    /// A message came twice.
    MessagesRepeated = "messages repeated",
    /// A frame was refused for its bytes.
    FramesRefused = "frames refused",
    /// A server died.
    Crashes = "crashes",
    /// A server died right after a message had left.
    CrashesAfterSend = "crashes after a message",
    /// A server died in the middle of a disk operation.
    CrashesInDisk = "crashes in a disk operation",
    /// A torn tail was repaired at a start.
    TornTails = "torn tails repaired",
    /// A server stopped as its disk failed.
    DiskErrors = "stops by a disk error",
    /// A server lost its disk.
    DisksLost = "disks lost",
    /// A bit of a server's disk flipped.
    DisksRotten = "bits that flipped on disks",
    /// A sector of a server's disk could not be read.
    SectorsLost = "sectors that could not be read",
    /// A sector showed what it had held before it was last written.
    SectorsStale = "sectors that showed older bytes",
    /// A write had gone to another place.
    WritesMisdirected = "writes that went elsewhere",
    /// The end of a file was zeros.
    TailsZeroed = "files whose end was zeroed",
    /// A file was not there.
    FilesGone = "files that were gone",
    /// Something of this befell a disk whose server ran on.
    DamagedInUse = "disks damaged in use",
    /// Such a server was started anew, so that it would read what it had not read since.
    ReadBack = "disks read back on suspicion",
    /// A server found that its disk was damaged, and did not go on with it.
    DamageRefused = "damaged disks refused",
    /// Most of those who vote had lost their disks: from then on nobody must be told anything.
    MajoritiesLost = "majorities of disks lost",
    /// A server with a new disk was taken back into the cluster.
    DisksReplaced = "disks replaced",
    /// A message came from a disk that the cluster does not know, and was refused.
    StrangersRefused = "messages of strangers refused",
    /// The network came apart.
    Partitions = "partitions",
    /// A process stood still.
    Pauses = "pauses",
    /// The clock of a process that stood still had stopped as well.
    ClocksStopped = "pauses with a stopped clock",
    /// A server started with a clock that runs more than 1 % fast.
    FastClocks = "starts with a clock that is far off",
    /// A write was answered.
    WritesAnswered = "writes answered",
    /// A read was answered.
    ReadsAnswered = "reads answered",
    /// A read was answered by a server that did not lead.
    FollowerReads = "reads answered by followers",
    /// A client asked for several operations at once.
    Batches = "batches of operations",
    /// A client asked two servers for the same.
    Hedges = "operations asked of two servers",
    /// A client asked again for what was not answered.
    Repeats = "operations repeated",
    /// A client was gone before it was answered.
    ClientCrashes = "clients that crashed",
    /// A command had as many bytes as is allowed.
    AtTheLimit = "commands at the limit",
    /// A command was too large, and refused.
    TooLarge = "commands too large",
    /// A txn was answered that did what it does if its condition holds.
    TxnsSucceeded = "transactions succeeded",
    /// And one whose condition did not hold.
    TxnsFailed = "transactions failed",
    /// A range of several keys was answered.
    Ranges = "ranges answered",
    /// A key with a time to live was seen while it lived.
    KeysAlive = "keys seen before their time",
    /// A key with a time to live was gone.
    KeysExpired = "keys seen expired",
    /// A key could be said to be due: nothing had gone wrong for so long that it had to be gone.
    KeysDue = "keys that had to be gone",
    /// A lease was kept alive.
    LeasesKeptAlive = "leases kept alive",
    /// A lease was ended by its holder.
    LeasesRevoked = "leases revoked",
    /// A key under a lease was gone with it.
    LeasedKeysGone = "keys gone with their leases",
    /// A user was given a token.
    Logins = "logins",
    /// A user was permitted something.
    Permitted = "operations permitted to users",
    /// A client was refused what it may not do.
    NotPermitted = "operations not permitted",
    /// A write was refused as the store was full.
    NoSpace = "writes refused for space",
    /// A change was told to a watch.
    ChangesWatched = "changes told to watches",
    /// A watch was told that it had heard everything up to a revision.
    ProgressTold = "progress told to watches",
    /// A client that watched lost its connection.
    WatchesInterrupted = "watches interrupted",
    /// What a watch wanted was forgotten.
    WatchesTooLate = "watches that came too late",
    /// A window without faults was looked at.
    CalmWindows = "calm windows",
    /// An operation was refused.
    Refused = "operations refused",
    /// An operation had an unknown outcome.
    Unknown = "operations with unknown outcome",
    /// A server started.
    Starts = "starts",
}

/// Counts of everything that must happen now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    counts: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage { counts: vec![0; Counter::ALL.len()] }
    }
}

impl Coverage {
    /// It has happened.
    pub fn count(&mut self, counter: Counter) {
        self.counts[counter as usize] += 1;
    }

    /// It has happened so many times more.
    pub fn add(&mut self, counter: Counter, times: u64) {
        self.counts[counter as usize] += times;
    }

    /// How often it has happened.
    #[must_use]
    pub fn of(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// What has never happened, and could have.
    #[must_use]
    pub fn missing(&self, profile: Profile) -> Vec<Counter> {
        let can = |counter: &Counter| match profile {
            Profile::Default => *counter != Counter::MajoritiesLost,
            Profile::Classic => !NOT_CLASSIC.contains(counter),
            Profile::Beyond => true,
        };
        Counter::ALL.iter().copied().filter(|counter| self.of(*counter) == 0 && can(counter)).collect()
    }
}

impl AddAssign<&Coverage> for Coverage {
    fn add_assign(&mut self, other: &Coverage) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }
}
