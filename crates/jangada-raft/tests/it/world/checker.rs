//! The god's-eye view: what must hold for all servers together, after each step.
//!
//! The five properties of the paper's Figure 3 by name, and what they rest on: promises are on the disk
//! before they leave, and what is committed is on the disks of a majority. Judged by the disks, never by what
//! a server believes.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use jangada_raft::event::Event;
use jangada_raft::message::{AppendOutcome, Message, Rpc};
use jangada_raft::quorum;
use jangada_raft::types::{Entry, Index, Membership, NodeId, Payload, Term};

use super::disk::Disk;
use super::machine::{Machine, fingerprint};
use super::node::Node;

/// Everything that was ever seen.
#[derive(Default)]
pub(crate) struct Checker {
    leaders: BTreeMap<Term, NodeId>,
    /// Each entry that was ever in a log: its fingerprint and the term of the entry before it.
    entries: BTreeMap<(Index, Term), (u64, Term)>,
    /// What is committed, from index 1 on.
    committed: Vec<Committed>,
    pub(crate) coverage: Coverage,
}

/// An entry that is committed.
#[derive(Clone, Copy, Debug)]
struct Committed {
    /// Its own term.
    term: Term,
    /// The term of the leader that committed it: no leader of a later one may lack it.
    in_term: Term,
    fingerprint: u64,
}

/// Who raises the commit index, and by which configuration.
pub(crate) struct Committer {
    pub(crate) id: NodeId,
    pub(crate) term: Term,
    /// The configuration that was in force there at that moment.
    pub(crate) membership: Membership,
}

/// What happened how often: a run in which something never happens proves nothing about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) elections: u64,
    pub(crate) commits: u64,
    pub(crate) truncations: u64,
    pub(crate) installs: u64,
    pub(crate) joint: u64,
    pub(crate) removed_leaders: u64,
    pub(crate) crashes: u64,
    pub(crate) torn_writes: u64,
    pub(crate) reads: u64,
    pub(crate) forwarded_reads: u64,
    pub(crate) lease_reads: u64,
    pub(crate) refused_reads: u64,
    pub(crate) transfers: u64,
    pub(crate) aborted_transfers: u64,
}

impl Coverage {
    pub(crate) fn add(&mut self, other: &Coverage) {
        let pairs = self.counters_mut().into_iter().zip(other.counters());
        for ((_, counter), (_, more)) in pairs {
            *counter += more;
        }
    }

    pub(crate) fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut copy = *self;
        copy.counters_mut().into_iter().map(|(name, counter)| (name, *counter)).collect()
    }

    fn counters_mut(&mut self) -> Vec<(&'static str, &mut u64)> {
        vec![
            ("elections", &mut self.elections),
            ("commits", &mut self.commits),
            ("truncations", &mut self.truncations),
            ("installs", &mut self.installs),
            ("joint configurations", &mut self.joint),
            ("removed leaders", &mut self.removed_leaders),
            ("crashes", &mut self.crashes),
            ("torn writes", &mut self.torn_writes),
            ("reads", &mut self.reads),
            ("reads on followers", &mut self.forwarded_reads),
            ("lease reads", &mut self.lease_reads),
            ("refused reads", &mut self.refused_reads),
            ("transfers", &mut self.transfers),
            ("aborted transfers", &mut self.aborted_transfers),
        ]
    }
}

impl Checker {
    /// The last index that is committed anywhere.
    pub(crate) fn committed(&self) -> Index {
        Index(self.committed.len() as u64)
    }

    pub(crate) fn leader_of(&self, term: Term) -> Option<NodeId> {
        self.leaders.get(&term).copied()
    }

    /// What is committed at `index`: its term and fingerprint.
    pub(crate) fn committed_at(&self, index: Index) -> Option<(Term, u64)> {
        let position = usize::try_from(index.0.checked_sub(1)?).expect("a small log");
        self.committed.get(position).map(|committed| (committed.term, committed.fingerprint))
    }

    /// Takes what a world begins with as committed: a scenario that begins with snapshots.
    pub(crate) fn begin_with(&mut self, committed: impl IntoIterator<Item = Entry>) {
        let committed = committed.into_iter().map(|entry| Committed {
            term: entry.term,
            in_term: entry.term,
            fingerprint: fingerprint(&entry),
        });
        self.committed = committed.collect();
    }

    /// Election safety: "at most one leader can be elected in a given term" (Figure 3). Leader completeness:
    /// "if a log entry is committed in a given term, then that entry will be present in the logs of the
    /// leaders for all higher-numbered terms" (Figure 3).
    pub(crate) fn on_leader(&mut self, id: NodeId, term: Term, disk: &Disk, ahead: &Disk) {
        let known = *self.leaders.entry(term).or_insert_with(|| {
            self.coverage.elections += 1;
            id
        });
        assert_eq!(known, id, "election safety: one leader in term {term}");
        assert_eq!(
            (disk.hard_state.term, disk.hard_state.voted_for),
            (term, Some(id)),
            "a leader's vote for itself counts only when it is on its disk"
        );
        for (committed, position) in self.committed.iter().zip(1..) {
            if committed.in_term < term {
                assert!(
                    ahead.holds(Index(position), committed.term),
                    "leader completeness: {id}, leader of term {term}, lacks {position}: {committed:?}"
                );
            }
        }
    }

    /// Log matching: "if two logs contain an entry with the same index and term, then the logs are identical
    /// in all entries up through the given index" (Figure 3). By induction: the entry is the same, and so is
    /// the term of the one before it.
    pub(crate) fn on_entry(&mut self, entry: &Entry, previous: Term) {
        let print = fingerprint(entry);
        let known = *self.entries.entry((entry.index, entry.term)).or_insert((print, previous));
        assert_eq!(
            known,
            (print, previous),
            "log matching: {}@{} is one entry with one predecessor",
            entry.index,
            entry.term
        );
        if matches!(&entry.payload, Payload::Membership(membership) if membership.is_joint()) {
            self.coverage.joint += 1;
        }
    }

    /// A whole log, as after a restart.
    pub(crate) fn on_log(&mut self, disk: &Disk) {
        let mut previous = disk.snapshot.meta.last_included_term;
        for entry in &disk.entries {
            self.on_entry(entry, previous);
            previous = entry.term;
        }
    }

    /// Looks at what was cut off from a log since it was last handed to the disk, each time in the term of that
    /// moment: a server that has slept hears of several at once.
    pub(crate) fn on_truncations(&mut self, node: &Node, events: &[Event]) {
        let (mut term, mut last) = (node.ahead.hard_state.term, node.ahead.last_index());
        for event in events {
            match *event {
                Event::TermChanged { new, .. } => term = new,
                // Only what the disk was told of can have been acknowledged.
                Event::Truncated { from, .. } if from <= last => {
                    self.coverage.truncations += 1;
                    self.on_truncation(node, term, from..=last);
                    last = from.previous();
                }
                _ => {}
            }
        }
    }

    /// What is committed is never cut off from a log that holds it; but a leader of an earlier term than that
    /// in which it was committed may do so, somewhere outside of the majority.
    pub(crate) fn on_truncation(&self, node: &Node, term: Term, range: RangeInclusive<Index>) {
        for entry in node.ahead.entries.iter().filter(|entry| range.contains(&entry.index)) {
            let position = usize::try_from(entry.index.0 - 1).expect("a small log");
            let committed = self.committed.get(position).filter(|committed| committed.in_term <= term);
            assert!(
                committed.is_none_or(|committed| committed.term != entry.term),
                "{} cuts off {}, which is committed",
                node.id(),
                entry.index
            );
        }
    }

    /// State machine safety: "if a server has applied a log entry at a given index to its state machine, no
    /// other server will ever apply a different log entry for the same index" (Figure 3).
    pub(crate) fn on_committed(&mut self, by: &Committer, entry: &Entry, nodes: &BTreeMap<NodeId, Node>) {
        let Committer { id, term, ref membership } = *by;
        let now = (entry.term, fingerprint(entry));
        if let Some(known) = self.committed_at(entry.index) {
            assert_eq!(known, now, "state machine safety: {id} commits another {}", entry.index);
            return;
        }
        assert_eq!(entry.index, self.committed().next(), "entries are committed in order");
        self.committed.push(Committed { term: entry.term, in_term: term, fingerprint: now.1 });
        self.coverage.commits += 1;
        assert_eq!(self.leader_of(term), Some(id), "only a leader commits what nobody has committed");
        let durable =
            |id: NodeId| nodes.get(&id).is_some_and(|node| node.disk.holds(entry.index, entry.term));
        assert!(
            quorum::agrees(membership, durable),
            "{id} commits {}@{} without a majority of disks: {:?} of {membership:?}",
            entry.index,
            entry.term,
            nodes.keys().filter(|id| durable(**id)).collect::<Vec<_>>(),
        );
        // Leaders of later terms that exist already must have it as well.
        for node in nodes.values().filter(|node| node.leads() && node.term() > term) {
            assert!(node.ahead.holds(entry.index, entry.term), "leader completeness: {} lacks it", node.id());
        }
    }

    /// Paper §5.4.2: a leader commits by counting only in its own term; what lies before comes along.
    pub(crate) fn on_commit_index(&self, by: &Committer, index: Index, term_there: Option<Term>) {
        if index > self.committed() {
            let (id, term) = (by.id, by.term);
            assert_eq!(term_there, Some(term), "{id} commits {index} by counting in term {term}");
        }
    }

    /// What a machine has applied behind `from` is what was committed there.
    pub(crate) fn on_applied(&self, id: NodeId, machine: &Machine, from: Index) {
        assert!(machine.last_applied() <= self.committed(), "{id} applies only what is committed");
        let skip = usize::try_from(from.0).expect("a small log");
        let committed = self.committed.iter().map(|committed| &committed.fingerprint);
        for (applied, expected) in machine.fingerprints().iter().zip(committed).skip(skip) {
            assert_eq!(applied, expected, "{id} applies what is committed");
        }
    }

    /// Persist before promise: what a message says is on the sender's disk already.
    pub(crate) fn on_send(&self, node: &Node, message: &Message) {
        let disk = &node.disk;
        let hard_state = disk.hard_state;
        match &message.rpc {
            Rpc::RequestVote(ask) if ask.pre_vote => {}
            Rpc::RequestVote(_) => {
                let own = (hard_state.term, hard_state.voted_for);
                assert_eq!(
                    own,
                    (message.term, Some(node.id())),
                    "a campaign is on the disk before it is heard of"
                );
            }
            Rpc::RequestVoteReply(reply) if reply.pre_vote => {}
            Rpc::RequestVoteReply(reply) => {
                assert_eq!(hard_state.term, message.term, "an answer names a term that is on the disk");
                if reply.vote_granted {
                    assert_eq!(
                        hard_state.voted_for,
                        Some(message.to),
                        "a vote is on the disk before it leaves"
                    );
                    assert_eq!(reply.campaign_term, message.term, "a vote is given in the present term");
                }
            }
            Rpc::AppendEntries(_) | Rpc::InstallSnapshot(_) => {
                assert_eq!(hard_state.term, message.term, "a leader's term is on its disk");
            }
            Rpc::AppendEntriesReply(reply) => {
                assert_eq!(hard_state.term, message.term, "an acknowledgement's term is on the disk");
                if let AppendOutcome::Accepted { match_index } = reply.outcome {
                    self.on_promise(node, message, match_index);
                }
            }
            Rpc::InstallSnapshotReply(reply) => {
                assert_eq!(hard_state.term, message.term, "an acknowledgement's term is on the disk");
                if reply.installed {
                    self.on_promise(node, message, reply.last_included_index);
                }
            }
            Rpc::TimeoutNow | Rpc::ReadIndex(_) | Rpc::ReadIndexReply(_) => {}
        }
    }

    /// An acknowledgement up to `index`: the disk holds that, and in all of it agrees with the leader. (The
    /// leader's log is not asked: it may have crashed. Log matching covers that.)
    fn on_promise(&self, node: &Node, message: &Message, index: Index) {
        assert!(
            node.disk.last_index() >= index,
            "{} acknowledges {index} before it is on the disk",
            node.id()
        );
        let leader = self.leader_of(message.term);
        assert_eq!(leader, Some(message.to), "only a leader is told what its follower holds");
    }
}
