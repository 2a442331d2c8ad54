//! A leader whose disk hangs hands leadership over.
//!
//! A leader needs its own disk for nothing (Thesis §10.2.1): the others commit without it, and it answers. But it can
//! never finish a snapshot, the log in memory grows to its bound, and then it refuses all writes, though the others are
//! well. So what was handed to the disk is timed. If it is not durable after
//! [`ReplicaConfig::slow_disk_after_elections`](crate::replica::ReplicaConfig::slow_disk_after_elections) election
//! timeouts, the leader looks for a successor.
//!
//! There must be one that does better, or nothing is done. Without a successor that can win, a leader with a slow disk is
//! worth more than none: it still answers reads.
//! - Entries that wait for this disk are committed, so the others have what it has not; and each lot of them was, as far
//!   as can be seen, within the shortest election timeout. Where all disks are slow, nobody's vote would be durable in
//!   time.
//! - Those who hold more than this disk, and were heard just now, are a majority by themselves: this server's vote
//!   would have to be written to the disk that hangs.
//!
//! A transfer that comes to nothing is tried again after as long, with another successor if there is one. So is the next
//! change of leaders, whatever the disks do: a server leads only after its vote for itself was durable, and then what it
//! hands to its disk has as long.

use std::collections::VecDeque;
use std::time::Duration;

use jangada_raft::face::Input as RaftInput;
use jangada_raft::quorum;
use jangada_raft::status::{PeerProgress, PeerState};
use jangada_raft::types::{Index, NodeId, PersistId, Time};

use crate::replica::Replica;
use crate::state_machine::StateMachine;

/// What the disk has under way, and how the others did with the same.
pub(crate) struct DiskWatch {
    /// What was handed out and is not durable yet.
    under_way: VecDeque<Handed>,
    /// So many of them, from the front, are committed, or have nothing to commit.
    committed: usize,
    /// The last lot of them that was committed was so within the shortest election timeout.
    others_are_quick: bool,
    /// No transfer is tried before this.
    not_before: Time,
    last_tried: Option<NodeId>,
}

struct Handed {
    id: PersistId,
    at: Time,
    /// The last entry among it.
    last: Option<Index>,
}

impl DiskWatch {
    pub(crate) fn new(now: Time) -> DiskWatch {
        DiskWatch {
            under_way: VecDeque::new(),
            committed: 0,
            others_are_quick: false,
            not_before: now,
            last_tried: None,
        }
    }

    pub(crate) fn handed(&mut self, id: PersistId, last: Option<Index>, at: Time) {
        self.under_way.push_back(Handed { id, at, last });
    }

    pub(crate) fn persisted(&mut self, id: PersistId) {
        while self.under_way.pop_front_if(|handed| handed.id <= id).is_some() {
            self.committed = self.committed.saturating_sub(1);
        }
        if self.under_way.is_empty() {
            self.others_are_quick = false;
        }
    }

    /// Takes note of what is committed by now. A leader's entries never change, and whoever becomes one has nothing under
    /// way from before: its own vote was durable after it.
    fn note_commit(&mut self, commit: Index, quick: Duration, now: Time) {
        for handed in self.under_way.range(self.committed..) {
            match handed.last {
                Some(last) if last > commit => break,
                Some(_) => self.others_are_quick = now.since(handed.at) < quick,
                None => {}
            }
            self.committed += 1;
        }
    }

    /// Since when the disk has had what it has not finished.
    fn waits_since(&self) -> Option<Time> {
        self.under_way.front().map(|handed| handed.at)
    }

    /// Whether the others do well what this disk does not.
    fn others_do_better(&self, quick: Duration, now: Time) -> bool {
        let uncommitted = self.under_way.get(self.committed);
        self.others_are_quick && uncommitted.is_none_or(|handed| now.since(handed.at) < quick)
    }
}

impl<S: StateMachine> Replica<S> {
    /// Since when the disk hangs: it has had something for so long that a leader would hand over.
    #[must_use]
    pub fn disk_hangs_since(&self) -> Option<Time> {
        self.disk.waits_since().filter(|since| self.now.since(*since) >= self.disk_patience())
    }

    fn disk_patience(&self) -> Duration {
        self.election_timeout() * self.config.slow_disk_after_elections
    }

    /// Leader: hands leadership over if the disk hangs and somebody does better.
    pub(crate) fn watch_disk(&mut self) {
        if !self.raft.is_leader() {
            return;
        }
        let (now, quick) = (self.now, self.raft.config().election_timeout_min);
        self.disk.note_commit(self.raft.commit_index(), quick, now);
        let hangs = self.disk_hangs_since().is_some();
        if !hangs || now < self.disk.not_before || self.raft.transferring_to().is_some() {
            return;
        }
        if !self.disk.others_do_better(quick, now) {
            return;
        }
        let Some(successor) = self.successor() else { return };
        self.disk.not_before = now + self.disk_patience();
        self.disk.last_tried = Some(successor);
        self.raft.handle(now, RaftInput::TransferTo(successor));
    }

    /// Whoever holds most of the log among the voters whose disks have more than ours, if they can elect it.
    fn successor(&self) -> Option<NodeId> {
        let (durable, commit) = (self.raft.durable_index(), self.raft.commit_index());
        let quick = self.raft.config().election_timeout_min;
        let is_well =
            |peer: &PeerProgress| peer.match_index > durable && self.now.since(peer.last_heard) < quick;
        let well: Vec<PeerProgress> = self.raft.progress().filter(is_well).collect();
        let membership = self.raft.membership();
        if !quorum::agrees(membership, |id| well.iter().any(|peer| peer.id == id)) {
            return None;
        }
        let may_follow = |peer: &&PeerProgress| {
            membership.voters.contains(&peer.id)
                && peer.state == PeerState::Replicate
                && peer.match_index >= commit
        };
        let preferred = |peer: &&PeerProgress| (Some(peer.id) != self.disk.last_tried, peer.match_index);
        well.iter().filter(may_follow).max_by_key(preferred).map(|peer| peer.id)
    }
}
