//! One server, n1, whose peers are played by the test: message by message, with a disk on a leash.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use jangada_raft::config::Config;
use jangada_raft::event::{Event, RoleName};
use jangada_raft::face::{Answer, Input, Output, Persist, ReadReady, Recovered, SnapshotRequest};
use jangada_raft::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, InstallSnapshot, InstallSnapshotReply, Message,
    RequestVote, RequestVoteReply, Rpc,
};
use jangada_raft::types::{
    Entry, HardState, Index, Membership, NodeId, Payload, PersistId, SnapshotMeta, Term, Time,
};
use jangada_raft::{Raft, check_invariants};

use crate::world::{CLUSTER, entries, entry, ids};

/// The server under test.
pub(crate) const ME: NodeId = NodeId(1);

/// A server and everything that came out of it and was not looked at yet.
pub(crate) struct Solo {
    pub(crate) raft: Raft,
    pub(crate) now: Time,
    /// Writes become durable at once. Otherwise the test says when.
    pub(crate) has_quick_disk: bool,
    pub(crate) writing: VecDeque<Persist>,
    /// Everything that was handed out to be written.
    pub(crate) written: Vec<Persist>,
    pub(crate) sent: Vec<Message>,
    pub(crate) events: Vec<Event>,
    pub(crate) reads: Vec<ReadReady>,
    pub(crate) installs: Vec<SnapshotMeta>,
    pub(crate) requests: Vec<SnapshotRequest>,
    /// The indexes that were handed out to be applied.
    pub(crate) committed: Vec<u64>,
    sequence: u64,
}

impl Solo {
    /// n1 of a new cluster of so many servers.
    pub(crate) fn new(count: u64) -> Solo {
        Solo::with_log(count, 0, &[])
    }

    /// n1 of a cluster in this term, with a log of entries of these terms.
    pub(crate) fn with_log(count: u64, term: u64, terms: &[u64]) -> Solo {
        Solo::with(count, term, terms, |_| {})
    }

    /// The same, configured otherwise.
    pub(crate) fn with(count: u64, term: u64, terms: &[u64], tweak: impl Fn(&mut Config)) -> Solo {
        let membership = Membership::of(ids(1..=count));
        let recovered = Recovered {
            hard_state: HardState { term: Term(term), voted_for: None },
            snapshot: SnapshotMeta { membership: membership.into(), ..SnapshotMeta::default() },
            entries: entries(terms),
        };
        Solo::restore(recovered, tweak)
    }

    /// n1 as its disk remembers it.
    pub(crate) fn restore(recovered: Recovered, tweak: impl Fn(&mut Config)) -> Solo {
        let mut config = Config::new(ME, CLUSTER, 1);
        tweak(&mut config);
        config.validate().expect("a sound configuration");
        // Long after any lease that an earlier life may have promised.
        let now = Time::ZERO + Duration::from_secs(1);
        let raft = Raft::restore(now, config, recovered);
        let mut solo = Solo {
            raft,
            now,
            has_quick_disk: true,
            writing: VecDeque::new(),
            written: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
            reads: Vec::new(),
            installs: Vec::new(),
            requests: Vec::new(),
            committed: Vec::new(),
            sequence: 0,
        };
        solo.take();
        solo
    }

    /// n1 as the leader of a cluster, in the term after `term`, elected by the votes of n2 and those needed
    /// beyond. Its no-op stands behind the log and was sent; nothing is acknowledged.
    pub(crate) fn leader(count: u64, term: u64, terms: &[u64]) -> Solo {
        Solo::leader_with(count, term, terms, |_| {})
    }

    /// The same, configured otherwise.
    pub(crate) fn leader_with(count: u64, term: u64, terms: &[u64], tweak: impl Fn(&mut Config)) -> Solo {
        let mut solo = Solo::with(count, term, terms, tweak);
        solo.win();
        solo
    }

    /// Campaigns and is given the votes of all.
    pub(crate) fn win(&mut self) {
        self.input(Input::Campaign);
        let voters = self.raft.membership().all_voters();
        let next = self.raft.term().0 + u64::from(self.role() == RoleName::PreCandidate);
        for pre_vote in [true, false] {
            for voter in voters.iter().filter(|id| **id != ME) {
                let is_asking = match self.role() {
                    RoleName::PreCandidate => pre_vote,
                    RoleName::Candidate => !pre_vote,
                    RoleName::Follower | RoleName::Leader => false,
                };
                if is_asking {
                    self.receive(voter.0, self.term(), granted(next, pre_vote));
                }
            }
        }
        assert_eq!(self.role(), RoleName::Leader, "all have voted for it");
        self.sent.clear();
        self.events.clear();
    }

    // ---- In -----------------------------------------------------------------------------------------------

    /// Tells it something and keeps what comes out.
    pub(crate) fn input(&mut self, input: Input) -> Answer {
        let answer = self.raft.handle(self.now, input);
        check_invariants(&self.raft);
        self.take();
        answer
    }

    /// A message from n`from`; what n1 sends because of it.
    pub(crate) fn receive(&mut self, from: u64, term: u64, rpc: Rpc) -> Vec<Message> {
        self.sequence += 1;
        let message = Message {
            cluster: CLUSTER,
            from: NodeId(from),
            to: ME,
            sequence: self.sequence,
            term: Term(term),
            rpc,
        };
        self.receive_message(message)
    }

    pub(crate) fn receive_message(&mut self, message: Message) -> Vec<Message> {
        let before = self.sent.len();
        self.input(Input::Receive(message));
        self.sent[before..].to_vec()
    }

    /// Lets time pass, with all timers that ring meanwhile.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.raft.next_deadline() <= until {
            self.now = self.now.max(self.raft.next_deadline());
            self.input(Input::TimePassed);
        }
        self.now = until;
    }

    /// Lets time pass until the next timer rings; what n1 sends then.
    pub(crate) fn ring(&mut self) -> Vec<Message> {
        let before = self.sent.len();
        self.now = self.now.max(self.raft.next_deadline());
        self.input(Input::TimePassed);
        self.sent[before..].to_vec()
    }

    /// Lets time pass until nobody was heard of for a whole election timeout.
    pub(crate) fn time_out(&mut self) -> Vec<Message> {
        let (before, term, role) = (self.sent.len(), self.raft.term(), self.role());
        for _ in 0..100 {
            self.ring();
            if (self.raft.term(), self.role()) != (term, role) {
                return self.sent[before..].to_vec();
            }
        }
        panic!("its election timer rings in the end");
    }

    /// The oldest write becomes durable.
    pub(crate) fn persist_one(&mut self) -> PersistId {
        let persist = self.writing.pop_front().expect("something is being written");
        self.input(Input::Persisted(persist.id));
        persist.id
    }

    /// All writes become durable; what n1 sends because of it.
    pub(crate) fn persist_all(&mut self) -> Vec<Message> {
        let before = self.sent.len();
        while !self.writing.is_empty() {
            self.persist_one();
        }
        self.sent[before..].to_vec()
    }

    fn take(&mut self) {
        loop {
            let mut output = Output::default();
            self.raft.take_output(&mut output);
            check_invariants(&self.raft);
            if output == Output::default() {
                break;
            }
            self.sent.extend(output.send);
            self.events.extend(output.events);
            self.reads.extend(output.reads);
            self.installs.extend(output.install);
            self.requests.extend(output.snapshot_requests);
            if let Some(range) = output.committed {
                let end = *range.end();
                self.committed.extend(range.start().0..=end.0);
                self.raft.handle(self.now, Input::Applied(end));
            }
            if let Some(persist) = output.persist {
                self.written.push(persist.clone());
                if self.has_quick_disk {
                    self.raft.handle(self.now, Input::Persisted(persist.id));
                } else {
                    self.writing.push_back(persist);
                }
            }
        }
    }

    // ---- Out ----------------------------------------------------------------------------------------------

    pub(crate) fn role(&self) -> RoleName {
        self.raft.role_name()
    }

    /// What has happened since it was last asked.
    pub(crate) fn pass_events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    pub(crate) fn term(&self) -> u64 {
        self.raft.term().0
    }

    /// The terms of the entries of its log, from index 1 on.
    pub(crate) fn log(&self) -> Vec<u64> {
        self.raft.entries(Index(1)..=self.raft.last_index()).map(|entry| entry.term.0).collect()
    }

    pub(crate) fn commit(&self) -> u64 {
        self.raft.commit_index().0
    }

    pub(crate) fn next_index(&self, peer: u64) -> u64 {
        self.raft.progress().find(|progress| progress.id == NodeId(peer)).expect("a peer").next_index.0
    }

    pub(crate) fn match_index(&self, peer: u64) -> u64 {
        self.raft.progress().find(|progress| progress.id == NodeId(peer)).expect("a peer").match_index.0
    }

    /// The leader's present round, as its messages show it.
    pub(crate) fn round(&mut self) -> u64 {
        self.ring();
        let last = self.sent.iter().rev().find_map(|message| match &message.rpc {
            Rpc::AppendEntries(append) => Some(append.round),
            _ => None,
        });
        last.expect("a leader sends heartbeats")
    }

    /// Where the leader believes the last entry that it has sent to be: for building plausible answers.
    pub(crate) fn last_index(&self) -> u64 {
        self.raft.last_index().0
    }
}

// ---- Messages ---------------------------------------------------------------------------------------------

pub(crate) fn vote(last_index: u64, last_term: u64) -> Rpc {
    Rpc::RequestVote(RequestVote {
        pre_vote: false,
        leadership_transfer: false,
        last_log_index: Index(last_index),
        last_log_term: Term(last_term),
    })
}

pub(crate) fn pre_vote(last_index: u64, last_term: u64) -> Rpc {
    Rpc::RequestVote(RequestVote {
        pre_vote: true,
        leadership_transfer: false,
        last_log_index: Index(last_index),
        last_log_term: Term(last_term),
    })
}

pub(crate) fn granted(term: u64, pre_vote: bool) -> Rpc {
    Rpc::RequestVoteReply(RequestVoteReply { pre_vote, campaign_term: Term(term), vote_granted: true })
}

pub(crate) fn denied(term: u64, pre_vote: bool) -> Rpc {
    Rpc::RequestVoteReply(RequestVoteReply { pre_vote, campaign_term: Term(term), vote_granted: false })
}

/// AppendEntries with entries of these terms behind `prev` (index, term).
pub(crate) fn append(prev: (u64, u64), terms: &[u64], commit: u64) -> Rpc {
    append_in_round(prev, terms, commit, 0)
}

pub(crate) fn append_in_round(prev: (u64, u64), terms: &[u64], commit: u64, round: u64) -> Rpc {
    let entries = terms.iter().zip(prev.0 + 1..).map(|(term, index)| entry(index, *term)).collect();
    append_of(prev, entries, commit, round)
}

pub(crate) fn append_of(prev: (u64, u64), entries: Vec<Entry>, commit: u64, round: u64) -> Rpc {
    Rpc::AppendEntries(AppendEntries {
        prev_log_index: Index(prev.0),
        prev_log_term: Term(prev.1),
        entries,
        leader_commit: Index(commit),
        round,
    })
}

pub(crate) fn accepted(round: u64, match_index: u64) -> Rpc {
    let outcome = AppendOutcome::Accepted { match_index: Index(match_index) };
    Rpc::AppendEntriesReply(AppendEntriesReply { round, outcome })
}

pub(crate) fn conflict(round: u64, prev: u64, conflict_term: Option<u64>, first_index: u64) -> Rpc {
    let outcome = AppendOutcome::Conflict {
        prev_log_index: Index(prev),
        conflict_term: conflict_term.map(Term),
        first_index: Index(first_index),
    };
    Rpc::AppendEntriesReply(AppendEntriesReply { round, outcome })
}

/// What a snapshot up to `index` says of itself, in a cluster of the servers 1 to `count`.
pub(crate) fn snapshot_meta(index: u64, term: u64, count: u64) -> SnapshotMeta {
    SnapshotMeta {
        last_included_index: Index(index),
        last_included_term: Term(term),
        membership: Membership::of(ids(1..=count)).into(),
    }
}

pub(crate) fn install(meta: &SnapshotMeta, offset: u64, data: &'static [u8], done: bool) -> Rpc {
    let data = Bytes::from_static(data);
    Rpc::InstallSnapshot(InstallSnapshot { meta: meta.clone(), offset, data, done, round: 0 })
}

pub(crate) fn installed(round: u64, index: u64, next_offset: u64, is_installed: bool) -> Rpc {
    Rpc::InstallSnapshotReply(InstallSnapshotReply {
        round,
        last_included_index: Index(index),
        next_offset,
        installed: is_installed,
    })
}

/// An entry with a configuration.
pub(crate) fn membership_entry(index: u64, term: u64, membership: Membership) -> Entry {
    Entry { index: Index(index), term: Term(term), payload: Payload::Membership(Box::new(membership)) }
}

// ---- Looking at what was sent -----------------------------------------------------------------------------

/// The verdict of the one vote reply among these messages.
pub(crate) fn verdict(messages: &[Message]) -> bool {
    let replies: Vec<&RequestVoteReply> = messages
        .iter()
        .filter_map(|message| match &message.rpc {
            Rpc::RequestVoteReply(reply) => Some(reply),
            _ => None,
        })
        .collect();
    assert_eq!(replies.len(), 1, "one request, one answer: {messages:?}");
    replies[0].vote_granted
}

/// The vote requests among these messages.
pub(crate) fn vote_requests(messages: &[Message]) -> Vec<(NodeId, RequestVote)> {
    messages
        .iter()
        .filter_map(|message| match &message.rpc {
            Rpc::RequestVote(ask) => Some((message.to, ask.clone())),
            _ => None,
        })
        .collect()
}

/// The AppendEntries among these messages.
pub(crate) fn appends(messages: &[Message]) -> Vec<(NodeId, AppendEntries)> {
    messages
        .iter()
        .filter_map(|message| match &message.rpc {
            Rpc::AppendEntries(append) => Some((message.to, append.clone())),
            _ => None,
        })
        .collect()
}

/// What the AppendEntries replies among these messages say.
pub(crate) fn outcomes(messages: &[Message]) -> Vec<AppendOutcome> {
    messages
        .iter()
        .filter_map(|message| match &message.rpc {
            Rpc::AppendEntriesReply(reply) => Some(reply.outcome.clone()),
            _ => None,
        })
        .collect()
}

/// The index that the one acknowledgement among these messages names.
pub(crate) fn acknowledged(messages: &[Message]) -> Option<u64> {
    let outcomes = outcomes(messages);
    match outcomes.as_slice() {
        [AppendOutcome::Accepted { match_index }] => Some(match_index.0),
        [] => None,
        other => panic!("one acknowledgement or none: {other:?}"),
    }
}
