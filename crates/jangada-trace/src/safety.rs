//! The properties of the paper's Figure 3, by name, over the stream of events.
//!
//! [`Safety`] reads the records of all servers of a cluster, in the order in which they happened, and says which
//! property the first wrong one violates. It knows what events say and no more: the terms of entries where an event
//! names them, never their contents. A checker that sees the logs themselves, as the simulator's does, finds more;
//! this one needs nothing but the logs that servers write anyway. Where records are missing (a gap in `seq`) it sees
//! less, and forgets what it can no longer be sure of.
//!
//! A server that starts again has a stream that begins anew. What it may forget, its commit index, and a term or a vote
//! that was not on its disk yet, is forgotten here too. Records of servers whose beginning was not seen are read
//! with what they tell.

use std::collections::BTreeMap;
use std::fmt;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, RoleName};
use jangada_raft::types::{Index, NodeId, Term};

use crate::runs::{Conflict, Runs};

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// "at most one leader can be elected in a given term" (Figure 3).
    ElectionSafety,
    /// "a leader never overwrites or deletes entries in its log; it only appends new entries" (Figure 3).
    LeaderAppendOnly,
    /// "if two logs contain an entry with the same index and term, then the logs are identical in all entries up
    /// through the given index" (Figure 3).
    LogMatching,
    /// "if a log entry is committed in a given term, then that entry will be present in the logs of the leaders for
    /// all higher-numbered terms" (Figure 3).
    LeaderCompleteness,
    /// "if a server has applied a log entry at a given index to its state machine, no other server will ever apply a
    /// different log entry for the same index" (Figure 3).
    StateMachineSafety,
    /// A server votes for one candidate in a term (§5.2).
    OneVote,
    /// "increases monotonically": the term (Figure 2).
    MonotonicTerm,
    /// "increases monotonically": the commit index (Figure 2).
    MonotonicCommit,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Property::ElectionSafety => "election safety",
            Property::LeaderAppendOnly => "leader append-only",
            Property::LogMatching => "log matching",
            Property::LeaderCompleteness => "leader completeness",
            Property::StateMachineSafety => "state machine safety",
            Property::OneVote => "one vote a term",
            Property::MonotonicTerm => "monotonic term",
            Property::MonotonicCommit => "monotonic commit index",
        })
    }
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// The record that shows it.
    pub record: Record,
    /// In a sentence.
    pub explanation: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (record, since) = (&self.record, crate::phrases::since_start(self.record.time));
        write!(
            f,
            "{}: {} (at {since}, record {} of {})",
            self.property, self.explanation, record.seq, record.node
        )
    }
}

/// A reader of all servers' records.
#[derive(Clone, Debug, Default)]
pub struct Safety {
    servers: BTreeMap<NodeId, Server>,
    leaders: BTreeMap<Term, NodeId>,
    /// What is committed, as far as its terms are known.
    committed: Runs,
    /// For each term how far its leader has committed.
    committed_in: BTreeMap<Term, Index>,
}

#[derive(Clone, Debug)]
struct Server {
    last_seq: u64,
    term: Term,
    role: RoleName,
    log: Runs,
    /// The end of the log, if it is known.
    last: Option<Index>,
    commit: Index,
    vote: Option<(Term, NodeId)>,
}

type Wrong = (Property, String);

impl Safety {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Safety {
        Safety::default()
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// If it shows that a property does not hold. What comes after that is no longer to be trusted.
    pub fn read(&mut self, record: &Record) -> Result<(), Box<Violation>> {
        // Whoever did it says so, not the server.
        if matches!(record.event, Event::Deed(_)) {
            return Ok(());
        }
        let fresh = || Server {
            last_seq: record.seq,
            term: Term::ZERO,
            role: RoleName::Follower,
            log: Runs::default(),
            last: None,
            commit: Index::ZERO,
            vote: None,
        };
        // Taken out, so that it can be compared with the others.
        let known = self.servers.remove(&record.node);
        let is_new = known.is_none();
        let mut server = known.unwrap_or_else(fresh);
        if record.seq <= server.last_seq && !is_new {
            server.restart();
        } else if record.seq > server.last_seq + 1 {
            // Records were dropped, or left out: what they told is not known.
            server = Server { last_seq: record.seq, term: server.term, ..fresh() };
        }
        server.last_seq = record.seq;
        let read = match &record.event {
            Event::Raft(event) => self.raft(record.node, &mut server, event),
            Event::Disk(DiskEvent::Opened { last, snapshot, .. }) => {
                server.restart();
                if last == snapshot {
                    // The snapshot may have replaced another log, just before a crash that let nobody tell of it.
                    server.log = Runs::default();
                }
                server.log.truncate(last.next());
                server.last = Some(*last);
                Ok(())
            }
            Event::Disk(_) | Event::Net(_) | Event::Client(_) | Event::Deed(_) => Ok(()),
        };
        self.servers.insert(record.node, server);
        read.map_err(|(property, explanation)| Box::new(Violation { property, record: *record, explanation }))
    }

    fn raft(&mut self, node: NodeId, server: &mut Server, event: &RaftEvent) -> Result<(), Wrong> {
        match *event {
            RaftEvent::TermChanged { old, new, .. } => {
                // After a start the old one is the first that is told.
                server.enter(node, old)?;
                server.enter(node, new)
            }
            RaftEvent::RoleChanged { role, term, .. } => {
                server.enter(node, term)?;
                server.role = role;
                if role == RoleName::Leader { self.elected(node, server) } else { Ok(()) }
            }
            RaftEvent::VoteGranted { to, term, pre_vote: false } => server.vote_for(node, to, term),
            RaftEvent::Appended { first, last, term } => {
                if server.role == RoleName::Leader && term == server.term {
                    server.log.append_all(first, last, term);
                } else {
                    server.log.append(first, last, term);
                }
                server.last = Some(last);
                self.matching(node, server, first, last, term)
            }
            RaftEvent::Truncated { from, .. } => server.truncate(node, from),
            RaftEvent::Committed { index, .. } => self.commit(node, server, index),
            RaftEvent::SnapshotInstalled { index, term, .. } => {
                if server.last.is_none_or(|last| last <= index) || server.log.term_at(index) != Some(term) {
                    server.log = Runs::default();
                    server.last = Some(index);
                }
                server.log.append_all(index, index, term);
                server.commit = server.commit.max(index);
                self.note_committed(node, server, index, index)
            }
            RaftEvent::SnapshotTaken { index, .. } if index > server.commit => {
                let what = format!(
                    "{node} made a snapshot up to {index}, but has committed up to {}",
                    server.commit
                );
                Err((Property::StateMachineSafety, what))
            }
            RaftEvent::SnapshotTaken { .. }
            | RaftEvent::VoteGranted { .. }
            | RaftEvent::LeaderKnown { .. }
            | RaftEvent::ElectionTimerReset { .. }
            | RaftEvent::VoteRefused { .. }
            | RaftEvent::VoteReceived { .. }
            | RaftEvent::Sent { .. }
            | RaftEvent::Received { .. }
            | RaftEvent::Ignored { .. }
            | RaftEvent::Durable { .. }
            | RaftEvent::LogConflict { .. }
            | RaftEvent::MembershipChanged { .. }
            | RaftEvent::CaughtUp { .. }
            | RaftEvent::TransferStarted { .. }
            | RaftEvent::TransferAborted { .. }
            | RaftEvent::ReadConfirmed { .. }
            | RaftEvent::ReadRefused { .. }
            | RaftEvent::ProposalRefused { .. } => Ok(()),
        }
    }

    /// Election safety and leader completeness.
    fn elected(&mut self, node: NodeId, server: &Server) -> Result<(), Wrong> {
        let term = server.term;
        let other = *self.leaders.entry(term).or_insert(node);
        if other != node {
            return Err((Property::ElectionSafety, format!("{other} and {node} both lead in term {term}")));
        }
        // An entry that a later leader has committed already need not be here: this one has lost, and does not
        // know it yet.
        let Some(must_have) = self.committed_in.range(..term).map(|(_, index)| *index).max() else {
            return Ok(());
        };
        if let Some(last) = server.last.filter(|last| *last < must_have) {
            let what = format!(
                "{node} leads in term {term} with a log that ends at {last}, but {must_have} was committed before"
            );
            return Err((Property::LeaderCompleteness, what));
        }
        match server.log.conflict(&self.committed, Index(1), must_have) {
            Some(Conflict { index, own, other }) => {
                let what = format!(
                    "{node} leads in term {term} with an entry of term {own} at {index}, where one of term {other} is \
                     committed"
                );
                Err((Property::LeaderCompleteness, what))
            }
            None => Ok(()),
        }
    }

    /// Log matching, where the new entries meet the older ones: before that it was checked when those came.
    fn matching(
        &self,
        node: NodeId,
        server: &Server,
        first: Index,
        last: Index,
        term: Term,
    ) -> Result<(), Wrong> {
        let Some((before, own)) = server.log.known_before(first) else { return Ok(()) };
        if own > term {
            let what = format!("{node} appended an entry of term {term} behind one of term {own}");
            return Err((Property::LogMatching, what));
        }
        for (other_node, other) in &self.servers {
            let is_same_entry = other.log.term_at(last) == Some(term);
            if let Some(theirs) = other.log.term_at(before).filter(|theirs| is_same_entry && *theirs != own) {
                let what = format!(
                    "{node} and {other_node} agree on entry {last} of term {term}, but at {before} one has term {own} \
                     and the other term {theirs}"
                );
                return Err((Property::LogMatching, what));
            }
        }
        Ok(())
    }

    fn commit(&mut self, node: NodeId, server: &mut Server, index: Index) -> Result<(), Wrong> {
        let before = server.commit;
        if index <= before {
            let what = format!("{node} committed up to {index} after it had up to {before}");
            return Err((Property::MonotonicCommit, what));
        }
        server.commit = index;
        if server.role == RoleName::Leader {
            let so_far = self.committed_in.entry(server.term).or_insert(index);
            *so_far = index.max(*so_far);
        }
        self.note_committed(node, server, before.next(), index)
    }

    fn note_committed(
        &mut self,
        node: NodeId,
        server: &Server,
        first: Index,
        last: Index,
    ) -> Result<(), Wrong> {
        if let Some(Conflict { index, own, other }) = server.log.conflict(&self.committed, first, last) {
            let what = format!(
                "{node} committed an entry of term {own} at {index}, where one of term {other} was committed before"
            );
            return Err((Property::StateMachineSafety, what));
        }
        self.committed.learn(&server.log, first, last);
        Ok(())
    }
}

impl Server {
    /// What a server does not know any more when it starts again.
    fn restart(&mut self) {
        self.term = Term::ZERO;
        self.role = RoleName::Follower;
        self.commit = Index::ZERO;
        self.vote = None;
    }

    fn enter(&mut self, node: NodeId, term: Term) -> Result<(), Wrong> {
        if term < self.term {
            let what = format!("{node} went from term {} back to term {term}", self.term);
            return Err((Property::MonotonicTerm, what));
        }
        self.term = term;
        Ok(())
    }

    fn vote_for(&mut self, node: NodeId, to: NodeId, term: Term) -> Result<(), Wrong> {
        match self.vote {
            Some((voted_in, voted_for)) if voted_in == term && voted_for != to => {
                let what = format!("{node} voted for {voted_for} and for {to} in term {term}");
                Err((Property::OneVote, what))
            }
            _ => {
                self.vote = Some((term, to));
                Ok(())
            }
        }
    }

    fn truncate(&mut self, node: NodeId, from: Index) -> Result<(), Wrong> {
        if self.role == RoleName::Leader {
            let what = format!("{node} leads in term {} and removed its entries from {from} on", self.term);
            return Err((Property::LeaderAppendOnly, what));
        }
        if from <= self.commit {
            let what =
                format!("{node} removed entries from {from} on, but has committed up to {}", self.commit);
            return Err((Property::StateMachineSafety, what));
        }
        self.log.truncate(from);
        self.last = Some(from.previous());
        Ok(())
    }
}
