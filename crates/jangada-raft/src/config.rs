//! The knobs of a server. Every bound in the core is a named field here.
//!
//! Three times matter, and in this order: how long a message takes there and back, how long a server waits
//! for its leader, and how long servers run between failures. Each must be much shorter than the next (Paper
//! §5.6: "broadcastTime ≪ electionTimeout ≪ MTBF"). The defaults suit a local network and a disk that syncs
//! within some milliseconds. Servers of one cluster need not be set up alike, apart from `check_quorum` and
//! `lease_reads`: one server's lease rests on the others' silence.

use alloc::string::String;
use core::time::Duration;

use crate::incarnation::Incarnation;
use crate::types::{ClusterId, NodeId};

/// How a server behaves. Checked once by [`Config::validate`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// This server.
    pub id: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its disk: a configuration that means another one under the same number gives this server no rights.
    pub incarnation: Incarnation,
    /// Seeds the random election timeouts.
    pub seed: u64,
    /// The `sequence` of the first message; a server that restarts should not use old numbers again.
    pub first_sequence: u64,
    /// How often a leader says that it lives. Whatever was lost on the way is found out at this pace, too.
    pub heartbeat_interval: Duration,
    /// How long after a commit a leader that has nothing else to send tells the followers of it; none for with
    /// the next heartbeat, as in the paper. It makes what followers show younger, for two small messages. Long
    /// enough, it costs a busy leader nothing: its next entries tell of the commit before. Where clients let more time
    /// than that pass after the commit before, they are told at once.
    pub commit_notice_after: Option<Duration>,
    /// Election timeouts are drawn uniformly from `election_timeout_min..=election_timeout_max` (Paper §5.2).
    /// The wider the range, the rarer do two servers campaign at once; the higher, the longer is a cluster
    /// without a leader after one has died.
    pub election_timeout_min: Duration,
    /// The upper end; also the patience of leaders and readers: who hears no majority, or no answer, for this
    /// long gives up.
    pub election_timeout_max: Duration,
    /// Ask before campaigning whether an election can be won (Thesis §9.6).
    pub pre_vote: bool,
    /// A leader that hears no majority for an election timeout steps down, and a server that hears its leader
    /// gives no votes (Thesis §4.2.3, §6.2).
    pub check_quorum: bool,
    /// Answer reads from a leader's lease instead of a round of messages (Thesis §6.4.1). Trusts the clocks'
    /// *rates*; off unless asked for.
    pub lease_reads: bool,
    /// How much faster than ours another server's clock may run, in thousandths; shortens the lease.
    pub max_clock_drift_per_mille: u32,
    /// A follower may come back without what it has acknowledged, as in a lab whose servers keep nothing on a
    /// disk: its refusals are believed, and it gets everything again. Safety is lost with such a follower all
    /// the same (Paper, Figure 2: persistent state); this is for lessons, and off unless asked for.
    pub followers_may_forget: bool,
    /// Most bytes of entries in one AppendEntries.
    pub max_append_bytes: usize,
    /// Most entries in one AppendEntries.
    pub max_append_entries: usize,
    /// Most unanswered AppendEntries bytes per follower. With the time that a message takes there and back,
    /// this bounds the throughput of a distant link.
    pub max_inflight_bytes: usize,
    /// Most unanswered AppendEntries messages per follower.
    pub max_inflight_messages: usize,
    /// Most bytes of entries that are not committed yet; beyond it proposals are refused as busy.
    pub max_uncommitted_bytes: usize,
    /// Largest command.
    pub max_command_bytes: usize,
    /// Most reads that wait for their round.
    pub max_pending_reads: usize,
    /// Bytes in one chunk of a snapshot.
    pub snapshot_chunk_bytes: usize,
    /// Chunks of a snapshot that may be unanswered.
    pub snapshot_window_chunks: usize,
    /// Bytes of entries kept behind a new snapshot, for followers that are only a little late: to send them
    /// the whole state for the sake of a few entries would be a waste.
    pub keep_bytes_behind_snapshot: usize,
    /// Bytes of entries kept behind the snapshot that a follower is receiving right now. Without them the
    /// next snapshot would cut off what it needs after this one, and a busy leader could send snapshots for
    /// ever.
    pub keep_bytes_during_transfer: usize,
    /// A learner counts as caught up when it misses no more entries than this, or when it gets what there is
    /// within an election timeout (Thesis §4.2.1).
    pub caught_up_entries: u64,
}

impl Config {
    /// The production profile.
    #[must_use]
    pub fn new(id: NodeId, cluster: ClusterId, seed: u64) -> Config {
        Config {
            id,
            cluster,
            incarnation: Incarnation::UNCHECKED,
            seed,
            first_sequence: 1,
            heartbeat_interval: Duration::from_millis(50),
            commit_notice_after: None,
            election_timeout_min: Duration::from_millis(250),
            election_timeout_max: Duration::from_millis(500),
            pre_vote: true,
            check_quorum: true,
            lease_reads: false,
            max_clock_drift_per_mille: 10,
            followers_may_forget: false,
            max_append_bytes: 1 << 20,
            max_append_entries: 8_192,
            max_inflight_bytes: 8 << 20,
            max_inflight_messages: 256,
            max_uncommitted_bytes: 64 << 20,
            max_command_bytes: 2 << 20,
            max_pending_reads: 65_536,
            snapshot_chunk_bytes: 256 << 10,
            snapshot_window_chunks: 8,
            keep_bytes_behind_snapshot: 8 << 20,
            keep_bytes_during_transfer: 64 << 20,
            caught_up_entries: 64,
        }
    }

    /// Raft as in the paper alone, for lessons: no PreVote, no CheckQuorum, and a leader that takes back
    /// `nextIndex` at every refusal.
    #[must_use]
    pub fn classic(id: NodeId, cluster: ClusterId, seed: u64) -> Config {
        Config {
            pre_vote: false,
            check_quorum: false,
            followers_may_forget: true,
            ..Config::new(id, cluster, seed)
        }
    }

    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// Says which value, why, and what would do.
    pub fn validate(&self) -> Result<(), String> {
        let refuse = |why: &str| Err(String::from(why));
        if self.heartbeat_interval.is_zero() {
            return refuse("heartbeat_interval is zero: a leader could never rest; use 50 ms or so");
        }
        if self.election_timeout_min > self.election_timeout_max {
            return refuse("election_timeout_min is above election_timeout_max: swap them");
        }
        if self.election_timeout_min < self.heartbeat_interval * 2 {
            return refuse(
                "election_timeout_min is less than two heartbeat intervals: one lost heartbeat would start \
                 an election; use five or more heartbeats",
            );
        }
        if self.lease_reads && !self.check_quorum {
            return refuse("lease_reads needs check_quorum: without it a follower may vote inside the lease");
        }
        if self.max_clock_drift_per_mille >= 500 {
            return refuse("max_clock_drift_per_mille is 500 or more: no lease would be left");
        }
        let bounds = [
            (self.max_append_bytes, "max_append_bytes"),
            (self.max_append_entries, "max_append_entries"),
            (self.max_inflight_bytes, "max_inflight_bytes"),
            (self.max_inflight_messages, "max_inflight_messages"),
            (self.max_uncommitted_bytes, "max_uncommitted_bytes"),
            (self.max_command_bytes, "max_command_bytes"),
            (self.max_pending_reads, "max_pending_reads"),
            (self.snapshot_chunk_bytes, "snapshot_chunk_bytes"),
            (self.snapshot_window_chunks, "snapshot_window_chunks"),
        ];
        for (value, name) in bounds {
            if value == 0 {
                return Err(alloc::format!("{name} is zero: nothing could ever pass; use its default"));
            }
        }
        Ok(())
    }
}
