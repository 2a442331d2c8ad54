//! What all roles share: the persistent state of Figure 2, the commit index, the configurations, and the way
//! out for messages and events.
//!
//! Nothing here decides what to do in an election or with an entry; that stands with the conversations. What
//! only one role has lives in `role.rs`. Read `raft.rs` next.

use alloc::vec::Vec;

use crate::config::Config;
use crate::disk::Disk;
use crate::event::{Event, IgnoreReason, MessageKind};
use crate::face::{Persist, ReadReady, Recovered, Refusal, SnapshotRequest};
use crate::log::Log;
use crate::membership::Configurations;
use crate::message::{Message, Rpc};
use crate::rng::Rng;
use crate::snapshot::{Installing, Receiving};
use crate::types::{Entry, HardState, Index, Membership, NodeId, Payload, ReadId, SnapshotMeta, Term, Time};

/// Terms and indexes from the network stay below this, so that counting on from them never overflows. No
/// honest cluster gets there: at a million entries a second it would take 146,000 years.
pub(crate) const NUMBER_LIMIT: u64 = 1 << 62;

/// What all roles share.
///
/// The term and the vote, the commit index and the log are private or changed through a few functions, each
/// of which asserts the rule that makes it safe: the term only rises, a vote is given once, what is committed
/// stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) config: Config,
    /// The time of the present input.
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    /// `currentTerm` and `votedFor`.
    hard_state: HardState,
    /// `log[]`.
    pub(crate) log: Log,
    /// The latest durable snapshot of our own. The log may begin a little before its end.
    pub(crate) snapshot: SnapshotMeta,
    /// Entries up to here are to be forgotten, a few at a time.
    pub(crate) cut_goal: Index,
    /// The configurations in the log, and the snapshot's.
    pub(crate) configurations: Configurations,
    /// The last leader of any term that was heard of, and when. Kept when the term changes: what we promised
    /// that leader, no votes for a while, does not end with its term (Thesis §4.2.3, §6.4.1).
    pub(crate) leader_heard: Option<(NodeId, Time)>,
    /// `commitIndex`.
    commit_index: Index,
    /// `lastApplied`, as the state machine reports it.
    last_applied: Index,
    pub(crate) disk: Disk,
    /// The snapshot that the leader of this term sends us. Not a part of the follower: who has campaigned for
    /// nothing, and finds the same leader again, goes on with it.
    pub(crate) receiving: Option<Receiving>,
    /// The whole snapshot of a leader has arrived and is being made durable. The log stands still until then.
    pub(crate) installing: Option<Installing>,
    pub(crate) outbox: Outbox,
    next_sequence: u64,
}

/// What waits to be taken out. Effects are collected here and not returned by the handlers: a handler that
/// calls another one need not put their effects together, and the host's vectors are used over and over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    pub(crate) send: Vec<Message>,
    /// Messages of the present term that promise something about the term or the vote: they leave when both
    /// are on the disk.
    waiting: Vec<(NodeId, Rpc)>,
    pub(crate) reads: Vec<ReadReady>,
    pub(crate) snapshot_requests: Vec<SnapshotRequest>,
    pub(crate) install: Option<SnapshotMeta>,
    /// The last entry that was given out to be applied.
    pub(crate) committed: Index,
    pub(crate) events: Vec<Event>,
}

/// Where a message comes from: what an event about it needs. A handler gets it beside the message's content,
/// so that it can say which message it was that had no effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) from: NodeId,
    pub(crate) sequence: u64,
    pub(crate) term: Term,
    pub(crate) kind: MessageKind,
}

impl Server {
    /// A server as its disk remembers it (Paper, Figure 2: persistent state; all else begins anew).
    ///
    /// # Panics
    /// If what was recovered contradicts itself: a log with a hole, or with terms that fall.
    pub(crate) fn restore(now: Time, config: Config, recovered: Recovered) -> Server {
        let Recovered { mut hard_state, snapshot, mut entries } = recovered;
        let (base, base_term) = (snapshot.last_included_index, snapshot.last_included_term);
        entries.retain(|entry| entry.index > base);
        // A crash between the marker of an installed snapshot and the truncation that follows it leaves
        // entries that the snapshot has refuted. Their terms give them away: behind a committed entry none of
        // an earlier term can stand.
        if let Some(stale) = entries.iter().position(|entry| entry.term < base_term) {
            entries.truncate(stale);
        }
        let log = Log::new(base, base_term, entries);
        // An entry proves that its term was reached, even if the record of the term is missing.
        hard_state.term = hard_state.term.max(log.last_term());
        assert!(hard_state.term.0 < NUMBER_LIMIT, "a term that counts elections");
        assert!(log.last_index().0 < NUMBER_LIMIT, "an index that counts entries");
        let mut configurations = Configurations::new(base, (*snapshot.membership).clone());
        for entry in log.tail(log.first_index()) {
            configurations.on_appended(entry);
        }
        // With leases, a server that starts again keeps the promise that it may have given just before: no
        // votes for the shortest election timeout. Whom it gave it to is forgotten; most likely to this one.
        let may_have_promised = config.lease_reads && hard_state.term > Term::ZERO;
        let leader_heard = may_have_promised.then(|| (hard_state.voted_for.unwrap_or(config.id), now));
        // The servers of one cluster may share a seed; their timeouts must differ all the same.
        let seed = config.seed ^ config.id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Server {
            now,
            rng: Rng::new(seed),
            hard_state,
            disk: Disk::new(log.last_index()),
            log,
            snapshot,
            configurations,
            leader_heard,
            commit_index: base,
            cut_goal: base,
            last_applied: base,
            receiving: None,
            installing: None,
            outbox: Outbox::new(base),
            next_sequence: config.first_sequence,
            config,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.id
    }

    pub(crate) fn term(&self) -> Term {
        self.hard_state.term
    }

    pub(crate) fn voted_for(&self) -> Option<NodeId> {
        self.hard_state.voted_for
    }

    pub(crate) fn commit_index(&self) -> Index {
        self.commit_index
    }

    pub(crate) fn last_applied(&self) -> Index {
        self.last_applied
    }

    /// The configuration in force: the last one in the log, committed or not (Paper §6).
    pub(crate) fn membership(&self) -> &Membership {
        self.configurations.in_force()
    }

    /// A leader was heard of within the shortest election timeout.
    pub(crate) fn living_leader(&self) -> Option<NodeId> {
        let (leader, heard_at) = self.leader_heard?;
        (self.now.since(heard_at) < self.config.election_timeout_min).then_some(leader)
    }

    /// Says that something happened. Always on: an event is a few words of plain data.
    pub(crate) fn event(&mut self, event: Event) {
        self.outbox.events.push(event);
    }

    /// A message has no effect. That is no error, neither ours nor the sender's: the network repeats, delays
    /// and reorders as it likes.
    pub(crate) fn ignore(&mut self, envelope: Envelope, why: IgnoreReason) {
        let Envelope { from, sequence, kind, .. } = envelope;
        self.event(Event::Ignored { from, sequence, kind, why });
    }

    /// A number that no message and no read of this server has had before.
    pub(crate) fn take_sequence(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        sequence
    }

    /// Numbers begin anew: only for [`Raft::canonicalise`](crate::Raft::canonicalise).
    pub(crate) fn restart_numbers(&mut self) {
        self.next_sequence = 0;
    }

    /// Sends in the present term, at once.
    pub(crate) fn send(&mut self, to: NodeId, rpc: Rpc) {
        self.send_in_term(to, self.term(), rpc);
    }

    /// Sends at once; a pre-vote names a term that is not ours yet.
    pub(crate) fn send_in_term(&mut self, to: NodeId, term: Term, rpc: Rpc) {
        let sequence = self.take_sequence();
        let (kind, index, count) = rpc.gist();
        self.event(Event::Sent { to, sequence, term, kind, index, count });
        let (cluster, from) = (self.config.cluster, self.id());
        self.outbox.send.push(Message { cluster, from, to, sequence, term, rpc });
    }

    /// Sends as soon as the present term and vote are on the disk; never, if the term passes before that.
    ///
    /// Everything that says "I am in this term" or "I voted" goes this way: otherwise a crash could make this
    /// server forget its word and give it again (Paper, Figure 2).
    pub(crate) fn send_when_term_is_durable(&mut self, to: NodeId, rpc: Rpc) {
        if self.disk.hard_state_is_durable() {
            self.send(to, rpc);
        } else {
            // A newer message of the same kind to the same server replaces the older one: while a disk hangs,
            // what waits for it stays bounded by the number of servers.
            let kind = rpc.gist().0;
            self.outbox.waiting.retain(|(other, earlier)| *other != to || earlier.gist().0 != kind);
            self.outbox.waiting.push((to, rpc));
        }
    }

    /// Lets go what waited for the term and the vote, if both are durable now.
    pub(crate) fn release_waiting(&mut self) {
        if self.disk.hard_state_is_durable() && !self.outbox.waiting.is_empty() {
            for (to, rpc) in core::mem::take(&mut self.outbox.waiting) {
                self.send(to, rpc);
            }
        }
    }

    /// Enters a later term, in which nobody has our vote yet (Paper §5.1). `from` is who told us.
    pub(crate) fn enter_term(&mut self, term: Term, from: Option<NodeId>) {
        let old = self.term();
        assert!(term > old, "terms only rise, and a vote is cleared only when they do");
        assert!(term.0 < NUMBER_LIMIT, "a term that counts elections");
        self.hard_state = HardState { term, voted_for: None };
        self.disk.on_hard_state_changed();
        // What was to be said in the old term is not true in the new one.
        self.outbox.waiting.clear();
        // Another leader's snapshot may differ in its bytes, though it stands for the same entries.
        self.receiving = None;
        self.event(Event::TermChanged { old, new: term, from });
    }

    /// Gives this term's vote (Paper §5.2: "at most one candidate in a given term").
    pub(crate) fn vote_for(&mut self, candidate: NodeId) {
        let given = self.hard_state.voted_for;
        assert!(given.is_none_or(|to| to == candidate), "one vote in a term");
        if given.is_none() {
            self.hard_state.voted_for = Some(candidate);
            self.disk.on_hard_state_changed();
        }
    }

    /// Appends entries; a configuration among them is in force from now on (Paper §6). They are not durable
    /// and not committed: the one is the disk's affair, the other the majority's.
    pub(crate) fn append(&mut self, entries: impl Iterator<Item = Entry>) {
        let before = self.log.last_index();
        for entry in entries {
            let is_membership = matches!(entry.payload, Payload::Membership(_));
            self.configurations.on_appended(&entry);
            self.log.append(entry);
            if is_membership {
                self.report_membership();
            }
        }
        let (first, last, term) = (before.next(), self.log.last_index(), self.log.last_term());
        if last == before {
            return;
        }
        // Appends in a row are one event: under load, one for each batch instead of one for each entry.
        match self.outbox.events.last_mut() {
            Some(Event::Appended { last: previous, term: same, .. })
                if *previous == before && *same == term =>
            {
                *previous = last;
            }
            _ => self.event(Event::Appended { first, last, term }),
        }
    }

    /// Removes entries that contradict the leader's (Paper §5.3). With them goes a configuration: the one
    /// before it is in force again.
    pub(crate) fn truncate_from(&mut self, from: Index) {
        assert!(from > self.commit_index, "a committed entry never changes");
        let last = self.log.last_index();
        self.log.truncate_from(from);
        self.disk.on_truncated(from);
        self.event(Event::Truncated { from, last });
        if self.configurations.on_truncated(from) {
            self.report_membership();
        }
    }

    /// Raises the commit index; never lowers it (Figure 2: "increases monotonically"). Who may raise it, and
    /// how far, is the affair of `replication.rs`.
    pub(crate) fn commit_to(&mut self, index: Index) {
        assert!(index <= self.log.last_index(), "only what is here can be committed");
        if index > self.commit_index {
            self.commit_index = index;
            self.event(Event::Committed { index, term: self.term() });
        }
    }

    /// Everything up to here is part of a durable snapshot, so it is committed and applied.
    pub(crate) fn jump_to(&mut self, index: Index) {
        assert!(index > self.commit_index, "a snapshot never takes the state back in time");
        self.commit_index = index;
        self.last_applied = index;
        self.outbox.committed = index;
    }

    /// The state machine has come this far (Figure 2: `lastApplied`).
    pub(crate) fn on_applied(&mut self, index: Index) {
        assert!(index <= self.commit_index, "only what is committed is applied");
        self.last_applied = self.last_applied.max(index);
    }

    /// Says which configuration is in force now.
    pub(crate) fn report_membership(&mut self) {
        let (index, membership) = (self.configurations.index(), self.configurations.in_force());
        let count = |ids: usize| u32::try_from(ids).unwrap_or(u32::MAX);
        let (voters, learners) = (count(membership.voters.len()), count(membership.learners.len()));
        let stage = membership.stage();
        self.event(Event::MembershipChanged { index, stage, voters, learners });
    }

    /// A read that cannot be answered. It has had no effect, so it can be asked again, here or elsewhere.
    pub(crate) fn refuse_read(&mut self, id: ReadId, why: Refusal) {
        self.event(Event::ReadRefused { id });
        self.outbox.reads.push(ReadReady { id, index: Err(why) });
    }

    /// What the disk is to write next.
    pub(crate) fn next_persist(&mut self) -> Option<Persist> {
        self.disk.next_persist(self.hard_state, &self.log)
    }
}

impl Outbox {
    fn new(applied: Index) -> Outbox {
        Outbox {
            send: Vec::new(),
            waiting: Vec::new(),
            reads: Vec::new(),
            snapshot_requests: Vec::new(),
            install: None,
            committed: applied,
            events: Vec::new(),
        }
    }
}

impl Envelope {
    pub(crate) fn of(message: &Message) -> Envelope {
        let Message { from, sequence, term, .. } = *message;
        Envelope { from, sequence, term, kind: message.rpc.gist().0 }
    }
}
