//! What will be done to a world, as plain data: drawn from the seed before it begins, and then followed.
//!
//! A plan can be printed, cut down (fewer faults, fewer clients, fewer servers) and run again: that is how a
//! failure is made small. What cannot be known beforehand, which server leads when a fault strikes, say, is
//! found out when it strikes. `swarm.rs` draws plans.

use core::time::Duration;
use std::collections::BTreeSet;

use jangada_raft::types::NodeId;
use serde::{Deserialize, Serialize};

use crate::disk::{Damage, DiskFault, Loss};
use crate::written;

/// Which settings the servers run with, and what the disks may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Profile {
    /// The production settings; every fault that must be survived.
    #[default]
    Default,
    /// Raft as in the paper alone: no PreVote, no CheckQuorum.
    Classic,
    /// The production settings; disks are lost and damaged until nothing can be saved. Servers may stop, not lie.
    Beyond,
}

/// Which disks may be without a good copy at a time: the fault atlas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atlas {
    /// One, while the others are enough: everything that was acknowledged stays.
    Recoverable,
    /// Any, at once. What was acknowledged may be lost for good, and then nobody must say anything about it.
    Beyond,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 3] = [Profile::Default, Profile::Classic, Profile::Beyond];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Profile::Default => "default",
            Profile::Classic => "classic",
            Profile::Beyond => "beyond",
        }
    }

    /// What disks have to bear.
    #[must_use]
    pub fn atlas(self) -> Atlas {
        match self {
            Profile::Default | Profile::Classic => Atlas::Recoverable,
            Profile::Beyond => Atlas::Beyond,
        }
    }
}

/// A whole run, but for the random draws on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The root of all chance.
    pub seed: u64,
    /// Which settings.
    pub profile: Profile,
    /// Servers that found the cluster: n1, n2 and so on.
    pub servers: u64,
    /// Further servers that membership changes may bring in.
    pub spares: u64,
    /// How the servers are set up.
    pub settings: Settings,
    /// How messages travel.
    pub network: NetworkPlan,
    /// How fast disks are.
    pub disk: DiskPlan,
    /// What clients do.
    pub clients: ClientPlan,
    /// What strikes, and when, ascending.
    #[serde(with = "written::faults")]
    pub faults: Vec<(Duration, Fault)>,
    /// When faults end and everything heals. Zero: never, the world is driven by hand.
    #[serde(with = "written::duration")]
    pub trouble: Duration,
    /// The disks keep a tape of all that is done to them, for `images`.
    #[serde(skip)]
    pub record_disks: bool,
    /// Somebody writes down what happens, for people (`story.rs`).
    #[serde(skip)]
    pub tell_story: bool,
    /// What the servers say of themselves is kept (`records.rs`).
    pub keep_records: bool,
    /// What the servers say of themselves is judged, too.
    pub second_opinion: bool,
}

/// How servers are set up: small numbers, so that everything happens within a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// See `jangada_raft::config::Config`.
    #[serde(with = "written::duration")]
    pub heartbeat: Duration,
    /// See `jangada_raft::config::Config`.
    #[serde(with = "written::duration")]
    pub election_timeout_min: Duration,
    /// See `jangada_raft::config::Config`.
    #[serde(with = "written::duration")]
    pub election_timeout_max: Duration,
    /// A snapshot is begun after so many bytes of entries.
    pub snapshot_after_bytes: usize,
    /// Bytes of a snapshot in one part or chunk.
    pub snapshot_part_bytes: usize,
    /// Bytes of entries kept behind a snapshot.
    pub keep_bytes_behind_snapshot: usize,
    /// Entries in one AppendEntries.
    pub max_append_entries: usize,
    /// Unanswered AppendEntries for each follower.
    pub max_inflight_messages: usize,
    /// Bytes in one segment of the log.
    pub segment_bytes: u64,
    /// How long after an input a server's step begins: what arrives meanwhile is taken with it.
    #[serde(with = "written::duration")]
    pub step_delay: Duration,
    /// See `jangada_raft::config::Config`; zero for with the next heartbeat.
    #[serde(with = "written::duration", default, skip_serializing_if = "Duration::is_zero")]
    pub commit_notice_after: Duration,
    /// How much clocks run too fast or too slow, in thousandths.
    pub drift_per_mille: u32,
    /// Bytes of the largest command that is allowed; none for as many as in production, where clients do not try it.
    pub max_command_bytes: Option<usize>,
    /// Reads by leases, not by a round of messages.
    pub lease_reads: bool,
}

/// How messages travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkPlan {
    /// The fastest.
    #[serde(with = "written::duration")]
    pub delay_min: Duration,
    /// All but the stragglers.
    #[serde(with = "written::duration")]
    pub delay_max: Duration,
    /// How many of a thousand are lost.
    pub lose: u32,
    /// How many of a thousand come twice.
    pub repeat: u32,
    /// How many of a thousand come much later.
    pub straggle: u32,
    /// How much later at most.
    #[serde(with = "written::duration")]
    pub straggle_by: Duration,
    /// How many of a thousand have a bit flipped.
    pub flip: u32,
    /// With how many of a thousand one of another cluster comes along.
    pub foreign: u32,
    /// With how many of a thousand one of another version of the protocol comes along.
    pub version: u32,
}

/// How fast disks are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskPlan {
    /// The fastest sync.
    #[serde(with = "written::duration")]
    pub sync_min: Duration,
    /// The usual slowest.
    #[serde(with = "written::duration")]
    pub sync_max: Duration,
    /// How many of a thousand stall.
    pub stall: u32,
    /// For so long at most.
    #[serde(with = "written::duration")]
    pub stall_by: Duration,
}

/// What clients do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPlan {
    /// How many there are.
    pub clients: usize,
    /// How long they think between two operations at most.
    #[serde(with = "written::duration")]
    pub think: Duration,
    /// How long they wait for an answer.
    #[serde(with = "written::duration")]
    pub patience: Duration,
    /// How many operations there are in all, at most.
    #[serde(default = "written::unlimited", skip_serializing_if = "written::is_unlimited")]
    pub operations: u64,
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Who {
    /// Whoever leads then, in the highest term.
    Leader,
    /// This one.
    Server(NodeId),
}

/// At which point of its work a server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Moment {
    /// At once.
    Now,
    /// When it has sent so many more messages; those are on their way.
    AfterSends(u32),
    /// At the disk operation that comes after so many more.
    AtDiskOperation(u32),
}

/// How a server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Death {
    /// Its process is killed: what it has written stays.
    Killed,
    /// The power fails: what was not synced is lost, as drawn.
    Power(Loss),
}

/// A partition's shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Cut {
    /// One server hears nobody and nobody hears it.
    Isolate(Who),
    /// These servers against all others.
    Halves(#[serde(with = "written::ids")] BTreeSet<NodeId>),
    /// What this one sends arrives nowhere.
    Mute(Who),
    /// This one hears nothing.
    Deaf(Who),
    /// What the first sends to the second is lost.
    OneWay(#[serde(with = "written::id")] NodeId, #[serde(with = "written::id")] NodeId),
    /// Two groups that meet in one server only.
    Bridge(#[serde(with = "written::id")] NodeId),
    /// Each server hears its neighbours only.
    Ring,
}

/// What a clogged link lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drip {
    /// A frame leaves so long after the one before.
    #[serde(with = "written::duration")]
    pub each: Duration,
    /// So many wait; the others are lost.
    pub room: u32,
}

/// Something that goes wrong, or that somebody does at the worst moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A server dies, and starts again after a while.
    Crash {
        /// Which.
        who: Who,
        /// When exactly.
        at: Moment,
        /// How.
        death: Death,
        /// Until it starts again.
        #[serde(with = "written::duration")]
        down: Duration,
    },
    /// All servers die at once.
    CrashAll {
        /// How.
        death: Death,
        /// Until they start again, each after a drawn part of it.
        #[serde(with = "written::duration")]
        down: Duration,
    },
    /// The network comes apart for a while.
    Partition {
        /// How.
        cut: Cut,
        /// For how long.
        #[serde(with = "written::duration")]
        lasts: Duration,
    },
    /// Links become slow for a while: frames wait in line, and are lost when it is full.
    Clog {
        /// Which links.
        cut: Cut,
        /// How slow.
        drip: Drip,
        /// For how long.
        #[serde(with = "written::duration")]
        lasts: Duration,
    },
    /// Servers are clogged one after the other, and released in another order.
    Swizzle {
        /// Who, in the order in which they are clogged.
        #[serde(with = "written::ids")]
        clogged: Vec<NodeId>,
        /// The same, in the order in which they are released.
        #[serde(with = "written::ids")]
        released: Vec<NodeId>,
        /// How slow.
        drip: Drip,
        /// How long after each other.
        #[serde(with = "written::duration")]
        step: Duration,
    },
    /// The network comes apart and together, again and again.
    Flap {
        /// How.
        cut: Cut,
        /// For how long each time.
        #[serde(with = "written::duration")]
        down: Duration,
        /// How long it works in between.
        #[serde(with = "written::duration")]
        up: Duration,
        /// How often.
        times: u32,
    },
    /// Connections break, and what is in flight on them is lost.
    Reset {
        /// Which links.
        cut: Cut,
    },
    /// A server's process stands still for a while.
    Pause {
        /// Which.
        who: Who,
        /// For how long.
        #[serde(with = "written::duration")]
        lasts: Duration,
        /// Its clock stands still as well, as when the whole machine is suspended.
        clock: bool,
    },
    /// A server's disk fails; it stops, and starts again after a while.
    Disk {
        /// Which.
        who: Who,
        /// At the operation that comes after so many more.
        after: u32,
        /// How.
        fault: DiskFault,
        /// Until it starts again.
        #[serde(with = "written::duration")]
        down: Duration,
    },
    /// A server loses its disk, and comes back with an empty one. Somebody takes it out of the cluster and adds it
    /// again. Nothing happens while the cluster could not bear it.
    LoseDisk {
        /// Which.
        who: Who,
        /// Until it comes back.
        #[serde(with = "written::duration")]
        down: Duration,
        /// A connection outlives it: what it said in the last moments comes when it has been added again.
        stale: bool,
    },
    /// Something happens to what is durable on a server's disk: while the server is dead for a moment, or under its
    /// hands. If it finds out it gets a new disk.
    Damage {
        /// Which.
        who: Who,
        /// What.
        damage: Damage,
        /// Chooses where.
        dice: u64,
        /// The server runs on, and reads that place again when it starts next.
        #[serde(default)]
        in_use: bool,
    },
    /// Somebody asks the leader for other members.
    ChangeMembers {
        /// The voters that are wished for.
        #[serde(with = "written::ids")]
        voters: BTreeSet<NodeId>,
        /// The learners that are wished for.
        #[serde(with = "written::ids")]
        learners: BTreeSet<NodeId>,
    },
    /// Somebody asks the leader to hand over.
    Transfer {
        /// To this one.
        #[serde(with = "written::id")]
        to: NodeId,
    },
    /// Somebody asks for a snapshot.
    Snapshot {
        /// Of this one.
        who: Who,
    },
    /// Somebody makes a server campaign.
    Campaign {
        /// Which.
        #[serde(with = "written::id")]
        who: NodeId,
    },
}

impl Plan {
    /// A world without faults and without clients, to be driven by hand.
    #[must_use]
    pub fn quiet(seed: u64, servers: u64) -> Plan {
        let ms = Duration::from_millis;
        Plan {
            seed,
            profile: Profile::Default,
            servers,
            spares: 0,
            settings: Settings {
                heartbeat: ms(50),
                election_timeout_min: ms(250),
                election_timeout_max: ms(500),
                snapshot_after_bytes: 1 << 20,
                snapshot_part_bytes: 4 << 10,
                keep_bytes_behind_snapshot: 64 << 10,
                max_append_entries: 512,
                max_inflight_messages: 64,
                segment_bytes: 64 << 10,
                step_delay: Duration::ZERO,
                commit_notice_after: Duration::ZERO,
                drift_per_mille: 0,
                max_command_bytes: None,
                lease_reads: false,
            },
            network: NetworkPlan {
                delay_min: Duration::from_micros(200),
                delay_max: ms(1),
                lose: 0,
                repeat: 0,
                straggle: 0,
                straggle_by: Duration::ZERO,
                flip: 0,
                foreign: 0,
                version: 0,
            },
            disk: DiskPlan {
                sync_min: Duration::from_micros(100),
                sync_max: Duration::from_micros(500),
                stall: 0,
                stall_by: Duration::ZERO,
            },
            clients: ClientPlan { clients: 0, think: ms(100), patience: ms(2_000), operations: u64::MAX },
            faults: Vec::new(),
            trouble: Duration::ZERO,
            record_disks: false,
            tell_story: false,
            keep_records: false,
            second_opinion: false,
        }
    }

    /// All servers that there will ever be.
    #[must_use]
    pub fn places(&self) -> usize {
        usize::try_from(self.servers + self.spares).expect("few servers")
    }
}
