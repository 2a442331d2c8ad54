//! What happened on a server: Raft's own events, and those of the disk, the links and the clients around it.
//!
//! Every log line, metric, diagram and checker is a reader of this one stream of [`Record`]s.

use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::{Index, NodeId, Time};

/// One thing that happened, with where and when. Plain `Copy` data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// When, on the clock of this server.
    pub time: Time,
    /// On which server.
    pub node: NodeId,
    /// The how-manieth record of this start of the server; a gap means that a reader was too slow. 0 for a [`Deed`], which
    /// the server itself knows nothing of.
    pub seq: u64,
    /// What.
    pub event: Event,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// In the protocol.
    Raft(RaftEvent),
    /// On the disk.
    Disk(DiskEvent),
    /// On the links to the peers.
    Net(NetEvent),
    /// With clients.
    Client(ClientEvent),
    /// Nothing that the server noticed: something was done to it.
    Deed(Deed),
}

/// What a person, a script or a plan does to a server or to its links. It is recorded by whoever does it: only a
/// laboratory and a simulator know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Power off; or it has ended by itself. It is down from here on.
    Crash,
    /// It is started.
    Start,
    /// It stands still from here on, and its connections stay.
    Pause,
    /// It goes on.
    Resume,
    /// What it writes does not become durable any more.
    Stall,
    /// It does again.
    Unstall,
    /// From here on everything is lost that it sends to this one.
    Cut {
        /// To whom.
        to: NodeId,
    },
    /// That arrives again.
    Mend {
        /// To whom.
        to: NodeId,
    },
    /// From here on so many of a hundred messages that it sends are lost.
    Lose {
        /// Of a hundred.
        percent: u8,
    },
    /// From here on everything that it sends takes so much longer.
    Slow {
        /// Nanoseconds.
        by_nanos: u64,
    },
}

/// What happened on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskEvent {
    /// The log was opened.
    Opened {
        /// Entries behind the snapshot.
        entries: u64,
        /// The last entry.
        last: Index,
        /// The snapshot's last entry; 0 for none.
        snapshot: Index,
        /// Bytes of an unfinished write that were cut off.
        torn_bytes: u64,
    },
    /// A snapshot of the state machine was begun.
    SnapshotStarted {
        /// It stands for the log up to here.
        index: Index,
    },
    /// A snapshot of the state machine is durable.
    SnapshotWritten {
        /// It stands for the log up to here.
        index: Index,
        /// Its length.
        bytes: u64,
    },
    /// The state machine was replaced by a snapshot.
    SnapshotLoaded {
        /// It stands for the log up to here.
        index: Index,
        /// Its length.
        bytes: u64,
    },
}

/// What happened on the links to the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetEvent {
    /// Our link to a peer is up.
    Connected {
        /// The peer.
        peer: NodeId,
    },
    /// Our link to a peer is down.
    Lost {
        /// The peer.
        peer: NodeId,
        /// Because of this.
        why: LinkLoss,
    },
    /// A peer has opened its link to us.
    Accepted {
        /// The peer.
        peer: NodeId,
    },
    /// Bytes from a peer were refused, and the link was closed.
    FrameRefused {
        /// The peer, if it had said who it is.
        peer: Option<NodeId>,
        /// Because of this.
        why: FrameRefusal,
    },
    /// Messages to a peer were dropped, as its queue was full. Raft sends again.
    Dropped {
        /// The peer.
        peer: NodeId,
        /// How many.
        messages: u32,
    },
}

/// Why a link went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkLoss {
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The connection broke.
    Broken,
    /// The peer does not want us: it has told its reason in the log.
    Unwelcome,
}

/// Why bytes from a peer were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameRefusal {
    /// They do not begin like a frame of ours, or in a version that we do not speak.
    Version,
    /// The frame is longer than allowed.
    TooLong,
    /// The checksum does not fit.
    Checksum,
    /// The content cannot be decoded.
    Content,
    /// It belongs to another cluster.
    Cluster,
    /// It is meant for another server.
    Recipient,
    /// It comes from another server than the link was opened by.
    Sender,
    /// The server is known under another incarnation: its disk was lost, or it was replaced.
    Incarnation,
}

/// What happened with clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientEvent {
    /// Requests went on to the leader.
    Forwarded {
        /// The leader.
        to: NodeId,
        /// How many.
        requests: u32,
    },
    /// Requests were refused; they had no effect.
    Refused {
        /// How many.
        requests: u32,
    },
    /// Requests were answered with "the outcome is unknown".
    OutcomeUnknown {
        /// How many.
        requests: u32,
    },
    /// Keys that outlived their time are being removed.
    ExpiryProposed {
        /// With this entry.
        index: Index,
    },
}
