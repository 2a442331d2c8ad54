//! Messages that no correct server sends: a server ignores them, or believes them, but never falls over.

use bytes::Bytes;

use crate::cluster::{CLUSTER, World, n};
use jangada_raft::event::{Event, IgnoreReason};
use jangada_raft::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, InstallSnapshot, InstallSnapshotReply, Message,
    ReadIndex, ReadIndexReply, RequestVote, RequestVoteReply, Rpc,
};
use jangada_raft::rng::Rng;
use jangada_raft::types::{
    ClusterId, Entry, Index, Membership, NodeId, Payload, ReadId, SnapshotMeta, Target, Term, Time,
};
use jangada_raft::{Input, Output, Raft, check_invariants};

/// Draws numbers that hurt: near what is there, near zero, near the end.
struct Forger {
    rng: Rng,
    near: u64,
}

impl Forger {
    fn pick(&mut self, among: u64) -> u64 {
        self.rng.next_u64() % among
    }

    fn yes(&mut self) -> bool {
        self.pick(2) == 0
    }

    fn number(&mut self) -> u64 {
        match self.pick(12) {
            0 => u64::MAX - self.pick(3),
            1 => (1 << 62) - 2 + self.pick(4),
            2 => self.rng.next_u64(),
            3 => 0,
            4..8 => self.near.saturating_sub(self.pick(6)),
            _ => self.near + self.pick(6),
        }
    }

    fn small(&mut self) -> u64 {
        self.pick(6)
    }

    fn ids(&mut self) -> std::collections::BTreeSet<NodeId> {
        let drawn = (0..self.pick(4)).map(|_| n(self.pick(6))).collect();
        if self.yes() { crate::cluster::ids(1..=3) } else { drawn }
    }

    fn membership(&mut self) -> Membership {
        Membership {
            voters: self.ids(),
            outgoing: self.yes().then(|| self.ids()),
            learners: self.ids(),
            target: self.yes().then(|| Target { voters: self.ids(), learners: self.ids() }),
            context: Bytes::new(),
        }
    }

    fn entries(&mut self, prev: u64, term: u64) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for offset in 1..=self.pick(5) {
            let payload = match self.pick(4) {
                0 => Payload::Noop,
                1 => Payload::Membership(Box::new(self.membership())),
                _ => Payload::Command(Bytes::from_static(b"forged")),
            };
            let wild = self.pick(20) == 0;
            let index = if wild { self.number() } else { prev.wrapping_add(offset) };
            let term = if self.pick(20) == 0 { self.number() } else { term };
            entries.push(Entry { term: Term(term), index: Index(index), payload });
        }
        entries
    }

    fn rpc(&mut self, raft: &Raft) -> Rpc {
        let near_index = [raft.last_index().0, raft.commit_index().0, raft.first_index().0];
        self.near = near_index[self.pick(3) as usize];
        let index = Index(self.number());
        let known = raft.term_at(index).unwrap_or(raft.term());
        let term = if self.pick(4) == 0 { Term(self.number()) } else { known };
        let round = self.small();
        // Snapshots are rare here: a forged one ends most stories.
        let kind = self.pick(9);
        match if kind == 4 && self.pick(5) > 0 { 2 } else { kind } {
            0 => Rpc::RequestVote(RequestVote {
                pre_vote: self.yes(),
                leadership_transfer: self.yes(),
                last_log_index: index,
                last_log_term: term,
            }),
            1 => Rpc::RequestVoteReply(RequestVoteReply {
                pre_vote: self.yes(),
                campaign_term: Term(raft.term().0 + self.pick(2)),
                vote_granted: self.yes(),
            }),
            2 => {
                let entry_term = if self.yes() { raft.term().0 } else { term.0 };
                let entries = self.entries(index.0, entry_term);
                let leader_commit = Index(self.number());
                let (prev_log_index, prev_log_term) = (index, term);
                Rpc::AppendEntries(AppendEntries {
                    prev_log_index,
                    prev_log_term,
                    entries,
                    leader_commit,
                    round,
                })
            }
            3 => {
                let outcome = if self.yes() {
                    AppendOutcome::Accepted { match_index: index }
                } else {
                    AppendOutcome::Conflict {
                        prev_log_index: index,
                        conflict_term: self.yes().then_some(term),
                        first_index: Index(self.number()),
                    }
                };
                Rpc::AppendEntriesReply(AppendEntriesReply { round, outcome })
            }
            4 => Rpc::InstallSnapshot(InstallSnapshot {
                meta: SnapshotMeta {
                    last_included_index: index,
                    last_included_term: term,
                    membership: self.membership().into(),
                },
                offset: if self.pick(4) == 0 { self.number() } else { 0 },
                data: Bytes::from(vec![0; self.pick(3) as usize]),
                done: self.yes(),
                round,
            }),
            5 => Rpc::InstallSnapshotReply(InstallSnapshotReply {
                round,
                last_included_index: index,
                next_offset: self.number(),
                installed: self.yes(),
            }),
            6 => Rpc::TimeoutNow,
            7 => Rpc::ReadIndex(ReadIndex { context: ReadId(self.small()) }),
            _ => Rpc::ReadIndexReply(ReadIndexReply {
                context: ReadId(self.number()),
                read_index: self.yes().then_some(index),
            }),
        }
    }

    fn message(&mut self, raft: &Raft) -> Message {
        let rpc = self.rpc(raft);
        self.near = raft.term().0;
        let term = if self.pick(6) == 0 { Term(self.number()) } else { raft.term() };
        let cluster = if self.pick(30) == 0 { ClusterId(self.small()) } else { CLUSTER };
        let to = if self.pick(30) == 0 { n(self.small()) } else { raft.id() };
        let from = if self.pick(4) == 0 { n(self.small()) } else { n(1 + self.pick(3)) };
        Message { cluster, from, to, sequence: self.number(), term, rpc }
    }
}

/// Lets a server digest: its disk writes at once, half of the time.
fn digest(raft: &mut Raft, out: &mut Output, now: Time, forger: &mut Forger) {
    loop {
        raft.take_output(out);
        check_invariants(raft);
        if let Some(range) = &out.committed {
            raft.handle(now, Input::Applied(*range.end()));
        }
        let Some(persist) = &out.persist else { break };
        if forger.pick(3) > 0 {
            raft.handle(now, Input::Persisted(persist.id));
            check_invariants(raft);
        }
    }
}

#[test]
fn no_message_makes_a_server_fall_over() {
    for seed in 0..150 {
        let mut world = World::new(3, seed);
        let leader = world.elect();
        for _ in 0..seed % 5 {
            world.propose(leader, "honest");
        }
        world.run_for(crate::cluster::ms(seed % 7));
        for id in 1..=3 {
            let mut raft = world.raft(n(id)).clone();
            let mut forger = Forger { rng: Rng::new(seed * 10 + id), near: 0 };
            let mut out = Output::default();
            let mut now = world.now;
            for _ in 0..120 {
                let message = forger.message(&raft);
                raft.handle(now, Input::Receive(message));
                check_invariants(&raft);
                digest(&mut raft, &mut out, now, &mut forger);
                if forger.pick(10) == 0 {
                    now = now.max(raft.next_deadline().min(now + crate::cluster::ms(600)));
                    raft.handle(now, Input::TimePassed);
                    digest(&mut raft, &mut out, now, &mut forger);
                }
                if forger.pick(10) == 0 {
                    raft.handle(now, Input::Propose(Bytes::from_static(b"own")));
                    raft.handle(now, Input::Read(ReadId(forger.pick(1_000_000))));
                }
            }
        }
    }
}

#[test]
fn a_message_of_another_cluster_or_to_another_server_has_no_effect() {
    let mut world = World::new(3, 5);
    let leader = world.elect();
    let follower = world.nodes.keys().copied().find(|id| *id != leader).expect("a follower");
    let rpc = Rpc::RequestVote(RequestVote {
        pre_vote: false,
        leadership_transfer: true,
        last_log_index: Index(100),
        last_log_term: Term(100),
    });
    let honest = Message { cluster: CLUSTER, from: leader, to: follower, sequence: 1, term: Term(100), rpc };
    let cases = [
        (Message { cluster: ClusterId(8), ..honest.clone() }, IgnoreReason::WrongCluster),
        (Message { to: n(9), ..honest.clone() }, IgnoreReason::WrongRecipient),
        (Message { term: Term(u64::MAX), ..honest }, IgnoreReason::Malformed),
    ];
    for (message, why) in cases {
        let term = world.raft(follower).term();
        world.handle(follower, Input::Receive(message));
        assert_eq!(world.raft(follower).term(), term);
        let last = world.nodes[&follower].events.last();
        assert!(matches!(last, Some(Event::Ignored { why: it, .. }) if *it == why), "{last:?}");
    }
}
