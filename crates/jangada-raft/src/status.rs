//! Questions that a host may ask a server at any time. None of them changes anything.
//!
//! Each answer is this server's own view of the present moment. "It leads" in particular means that nobody
//! has told it otherwise: whoever acts on that without a commit or a confirmed read acts on a guess.

use core::ops::RangeInclusive;

use crate::config::Config;
use crate::event::{Event, RoleName};
use crate::progress::Mode;
use crate::raft::Raft;
use crate::role::Role;
use crate::types::{Entry, Index, Membership, NodeId, SnapshotMeta, Term, Time};

/// What a leader knows about another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerProgress {
    /// The member.
    pub id: NodeId,
    /// It holds the leader's log up to here, on its disk.
    pub match_index: Index,
    /// The next entry that the leader will send to it.
    pub next_index: Index,
    /// When it was last heard of in this term; the beginning of the leadership, if never.
    pub last_heard: Time,
    /// How the leader talks to it.
    pub state: PeerState,
}

/// How a leader talks to another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// Finds out where the logs agree, one message at a time.
    Probe,
    /// Streams entries.
    Replicate,
    /// Sends a snapshot.
    Snapshot,
}

impl Raft {
    /// This server.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.server.id()
    }

    /// How it is set up.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.server.config
    }

    /// The latest term that it has seen (Figure 2: `currentTerm`).
    #[must_use]
    pub fn term(&self) -> Term {
        self.server.term()
    }

    /// Whom it voted for in that term (Figure 2: `votedFor`).
    #[must_use]
    pub fn voted_for(&self) -> Option<NodeId> {
        self.server.voted_for()
    }

    /// What it is at present.
    #[must_use]
    pub fn role_name(&self) -> RoleName {
        self.role.name()
    }

    /// It leads, as far as it knows.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The leader of the present term, as far as known; this server itself, if it leads.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.leadership().of_term
    }

    /// The last entry that is known to be committed (Figure 2: `commitIndex`).
    #[must_use]
    pub fn commit_index(&self) -> Index {
        self.server.commit_index()
    }

    /// The last entry that the state machine has reported as applied (Figure 2: `lastApplied`).
    #[must_use]
    pub fn last_applied(&self) -> Index {
        self.server.last_applied()
    }

    /// The first entry that is still in memory (or would be: the log may be empty).
    #[must_use]
    pub fn first_index(&self) -> Index {
        self.server.log.first_index()
    }

    /// The last entry of the log.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.server.log.last_index()
    }

    /// Its term.
    #[must_use]
    pub fn last_term(&self) -> Term {
        self.server.log.last_term()
    }

    /// What has happened since the output was last taken: all that is left to be told if a host panics.
    #[must_use]
    pub fn untold(&self) -> &[Event] {
        &self.server.outbox.events
    }

    /// The last entry of the log that is on this server's disk.
    #[must_use]
    pub fn durable_index(&self) -> Index {
        self.server.disk.durable()
    }

    /// The term of an entry; `None` if it is compacted away or not there yet.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.server.log.term_at(index)
    }

    /// The entries of a range, in order; those that are not in memory are left out. What
    /// [`Output::committed`](crate::face::Output::committed) names is there until the next input.
    pub fn entries(&self, range: RangeInclusive<Index>) -> impl ExactSizeIterator<Item = &Entry> {
        self.server.log.range(range)
    }

    /// What the entries in memory count for, in bytes: each its payload and [`Entry::OVERHEAD_BYTES`]. A
    /// snapshot makes it smaller (Paper §7), but little by little and not to nothing: whether the next one is
    /// due is better seen from the bytes that were applied since.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.server.log.size_bytes()
    }

    /// The latest durable snapshot.
    #[must_use]
    pub fn snapshot_meta(&self) -> &SnapshotMeta {
        &self.server.snapshot
    }

    /// Where the newest snapshot ends of which all is here: [`Raft::snapshot_meta`]'s, or a later one from a
    /// leader that is on its way to the disk and will be handed out once it is there.
    #[must_use]
    pub fn newest_snapshot_index(&self) -> Index {
        let installing = self.server.installing.as_ref();
        installing.map_or(self.server.snapshot.last_included_index, |installing| {
            installing.meta.last_included_index
        })
    }

    /// What a snapshot of the state as of `index` has to say about itself; `None` if the entry is compacted
    /// away or not committed. For [`Input::SnapshotTaken`](crate::face::Input::SnapshotTaken).
    #[must_use]
    pub fn snapshot_meta_at(&self, index: Index) -> Option<SnapshotMeta> {
        if index < self.server.snapshot.last_included_index || index > self.commit_index() {
            return None;
        }
        let last_included_term = self.server.log.term_at(index)?;
        let membership = self.server.configurations.as_of(index).clone();
        Some(SnapshotMeta { last_included_index: index, last_included_term, membership: membership.into() })
    }

    /// The configuration in force: the last one in the log, committed or not (Paper §6).
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.server.membership()
    }

    /// The entry that brought the configuration in force, or the snapshot's last one if that stands for it.
    #[must_use]
    pub fn membership_index(&self) -> Index {
        self.server.configurations.index()
    }

    /// Where in the log that configuration is known to be in force: at its entry, or at the snapshot's last one
    /// if that stands for it. Of two servers, the one with the higher term here, or with the same term and the
    /// higher index, has the newer configuration (Paper §5.4.1 compares logs so).
    ///
    /// # Panics
    /// Never: the log knows the term of every entry behind its base, and the base's.
    #[must_use]
    pub fn membership_position(&self) -> (Term, Index) {
        let log = &self.server.log;
        let index = self.membership_index().max(log.base_index());
        (log.term_at(index).expect("a configuration in force is in the log or in the snapshot"), index)
    }

    /// The last configuration that is known to be committed.
    #[must_use]
    pub fn committed_membership(&self) -> &Membership {
        self.server.configurations.as_of(self.commit_index())
    }

    /// A leader has committed an entry of its own term: from now on it may answer reads and change the
    /// membership. `false` for all others.
    #[must_use]
    pub fn has_committed_own_term(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => self.commit_index() >= leader.first_of_term,
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }

    /// To whom leadership is being handed over.
    #[must_use]
    pub fn transferring_to(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(leader) => leader.transfer.map(|transfer| transfer.target),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    /// When a follower last heard of its leader; `None` if it knows none, or leads itself.
    #[must_use]
    pub fn leader_last_heard(&self) -> Option<Time> {
        match &self.role {
            Role::Follower(follower) if follower.leader.is_some() => {
                self.server.leader_heard.map(|(_, heard_at)| heard_at)
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => None,
        }
    }

    /// What a leader knows about the other members, in the order of their ids; nothing for all others. A
    /// server that has just been removed may be among them until it has learnt of it.
    pub fn progress(&self) -> impl Iterator<Item = PeerProgress> {
        let progress = match &self.role {
            Role::Leader(leader) => Some(&leader.progress),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        };
        progress.into_iter().flatten().map(|(id, progress)| PeerProgress {
            id: *id,
            match_index: progress.match_index,
            next_index: progress.next_index,
            last_heard: progress.last_heard,
            state: match &progress.mode {
                Mode::Probe { .. } => PeerState::Probe,
                Mode::Replicate(_) => PeerState::Replicate,
                Mode::Snapshot(_) => PeerState::Snapshot,
            },
        })
    }
}
