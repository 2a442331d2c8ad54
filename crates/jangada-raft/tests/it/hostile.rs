//! Messages that no correct server sends: any numbers, any senders, in any role. Nothing may fall over, and what
//! is committed stays.
//!
//! What a liar *in the leader's chair* can do to safety is another matter: Raft does not defend against it. But
//! it must not crash a server, nor make it break its own word: change what it has committed, take a vote back,
//! fall behind its term.

use std::collections::BTreeMap;

use bytes::Bytes;
use jangada_raft::event::{Event, IgnoreReason, RoleName};
use jangada_raft::face::{Input, MembershipChange, Output, Recovered};
use jangada_raft::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, InstallSnapshot, InstallSnapshotReply, Message,
    ReadIndex, ReadIndexReply, RequestVote, RequestVoteReply, Rpc,
};
use jangada_raft::types::{
    ClusterId, Entry, HardState, Index, Membership, NodeId, Payload, ReadId, SnapshotMeta, Target, Term,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::solo::{ME, Solo, accepted, append, append_of, granted, membership_entry, snapshot_meta, vote};
use crate::world::{CLUSTER, entries, ids, ms};

/// Small numbers, that may fit, and extreme ones, that overflow whatever counts on from them.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => 0..12_u64,
        1 => prop::sample::select(vec![
            u64::MAX, u64::MAX - 1, 1 << 63, (1 << 62) + 1, 1 << 62, (1 << 62) - 1, u64::from(u32::MAX),
        ]),
    ]
}

fn index() -> impl Strategy<Value = Index> {
    number().prop_map(Index)
}

fn term() -> impl Strategy<Value = Term> {
    number().prop_map(Term)
}

fn node() -> impl Strategy<Value = NodeId> {
    (0..9_u64).prop_map(NodeId)
}

fn members() -> impl Strategy<Value = std::collections::BTreeSet<NodeId>> {
    btree_set(node(), 0..4)
}

fn membership() -> impl Strategy<Value = Membership> {
    let target = (members(), members()).prop_map(|(voters, learners)| Target { voters, learners });
    let halves = (members(), prop::option::of(members()), members(), prop::option::of(target));
    halves.prop_map(|(voters, outgoing, learners, target)| Membership {
        voters,
        outgoing,
        learners,
        target,
        context: Bytes::new(),
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        2 => Just(Payload::Noop),
        4 => vec(any::<u8>(), 0..20).prop_map(|bytes| Payload::Command(bytes.into())),
        1 => membership().prop_map(|membership| Payload::Membership(Box::new(membership))),
    ]
}

/// Entries that follow each other, mostly; and some that do not.
fn some_entries() -> impl Strategy<Value = (Index, Vec<Entry>)> {
    (index(), vec((term(), payload(), prop::option::weighted(0.05, index())), 0..5)).prop_map(
        |(prev, parts)| {
            let entry =
                |(position, (term, payload, elsewhere)): (usize, (Term, Payload, Option<Index>))| Entry {
                    index: elsewhere.unwrap_or(Index(prev.0.wrapping_add(position as u64 + 1))),
                    term,
                    payload,
                };
            (prev, parts.into_iter().enumerate().map(entry).collect())
        },
    )
}

fn rpc() -> impl Strategy<Value = Rpc> {
    let flags = (any::<bool>(), any::<bool>());
    let request_vote = (flags, index(), term()).prop_map(
        |((pre_vote, leadership_transfer), last_log_index, last_log_term)| {
            Rpc::RequestVote(RequestVote { pre_vote, leadership_transfer, last_log_index, last_log_term })
        },
    );
    let request_vote_reply =
        (any::<bool>(), term(), any::<bool>()).prop_map(|(pre_vote, campaign_term, vote_granted)| {
            Rpc::RequestVoteReply(RequestVoteReply { pre_vote, campaign_term, vote_granted })
        });
    let append_entries = (some_entries(), term(), index(), number(), any::<bool>()).prop_map(
        |((prev_log_index, mut entries), prev_log_term, leader_commit, round, in_order)| {
            if in_order {
                // Terms that never fall, so that more of them are taken.
                entries.sort_by_key(|entry| entry.term);
                let first = prev_log_index.0.wrapping_add(1);
                for (entry, position) in entries.iter_mut().zip(0..) {
                    entry.index = Index(first.wrapping_add(position));
                    entry.term = entry.term.max(prev_log_term);
                }
            }
            Rpc::AppendEntries(AppendEntries { prev_log_index, prev_log_term, entries, leader_commit, round })
        },
    );
    let outcome = prop_oneof![
        index().prop_map(|match_index| AppendOutcome::Accepted { match_index }),
        (index(), prop::option::of(term()), index()).prop_map(
            |(prev_log_index, conflict_term, first_index)| {
                AppendOutcome::Conflict { prev_log_index, conflict_term, first_index }
            }
        ),
    ];
    let append_entries_reply = (number(), outcome)
        .prop_map(|(round, outcome)| Rpc::AppendEntriesReply(AppendEntriesReply { round, outcome }));
    let install_snapshot =
        (index(), term(), membership(), number(), vec(any::<u8>(), 0..9), any::<bool>(), number()).prop_map(
            |(last_included_index, last_included_term, membership, offset, data, done, round)| {
                let meta =
                    SnapshotMeta { last_included_index, last_included_term, membership: membership.into() };
                Rpc::InstallSnapshot(InstallSnapshot { meta, offset, data: data.into(), done, round })
            },
        );
    let install_snapshot_reply = (number(), index(), number(), any::<bool>()).prop_map(
        |(round, last_included_index, next_offset, installed)| {
            Rpc::InstallSnapshotReply(InstallSnapshotReply {
                round,
                last_included_index,
                next_offset,
                installed,
            })
        },
    );
    prop_oneof![
        2 => request_vote,
        2 => request_vote_reply,
        4 => append_entries,
        3 => append_entries_reply,
        2 => install_snapshot,
        2 => install_snapshot_reply,
        1 => Just(Rpc::TimeoutNow),
        1 => number().prop_map(|context| Rpc::ReadIndex(ReadIndex { context: ReadId(context) })),
        1 => (number(), prop::option::of(index())).prop_map(|(context, read_index)| {
            Rpc::ReadIndexReply(ReadIndexReply { context: ReadId(context), read_index })
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (node(), any::<u64>(), term(), rpc()).prop_map(|(from, sequence, term, rpc)| Message {
        cluster: CLUSTER,
        from,
        to: ME,
        sequence,
        term,
        rpc,
    })
}

/// What happens to a server: mostly lies.
#[derive(Clone, Debug)]
enum Step {
    Receive(Message),
    Pass(u64),
    Persist,
    Propose,
    Read(u64),
    Transfer(NodeId),
    Change(MembershipChange),
    Campaign,
    /// The host reads the chunk that was asked for last.
    Chunk,
}

fn step() -> impl Strategy<Value = Step> {
    let change = (members(), members()).prop_map(|(voters, learners)| {
        Step::Change(MembershipChange { voters, learners, context: Bytes::new() })
    });
    prop_oneof![
        16 => message().prop_map(Step::Receive),
        2 => (0..700_u64).prop_map(Step::Pass),
        3 => Just(Step::Persist),
        1 => Just(Step::Propose),
        1 => any::<u64>().prop_map(Step::Read),
        1 => node().prop_map(Step::Transfer),
        1 => change,
        1 => Just(Step::Campaign),
        2 => Just(Step::Chunk),
    ]
}

/// The situations in which a server may be met.
const SITUATIONS: usize = 9;

fn situation(number: usize, quick_disk: bool) -> Solo {
    let mut solo = match number {
        0 => Solo::with_log(3, 3, &[1, 1, 2, 3, 3]),
        1 => {
            // A follower that knows its leader, and of whose log a part is committed.
            let mut solo = Solo::with_log(5, 3, &[1, 1, 2]);
            solo.receive(2, 3, append((3, 2), &[3, 3], 4));
            solo
        }
        2 => {
            let mut solo = Solo::with_log(3, 3, &[1, 2]);
            solo.time_out();
            assert_eq!(solo.role(), RoleName::PreCandidate);
            solo
        }
        3 => {
            let mut solo = Solo::with_log(3, 3, &[1, 2]);
            solo.time_out();
            solo.receive(2, 3, granted(4, true));
            assert_eq!(solo.role(), RoleName::Candidate);
            solo
        }
        4 => {
            let mut solo = Solo::leader(3, 3, &[1, 2, 3]);
            solo.receive(2, 4, accepted(0, 4));
            solo
        }
        5 => joint_leader(),
        6 => leader_with_a_snapshot_under_way(),
        7 => {
            // A follower behind a snapshot, while another one arrives.
            let recovered = Recovered {
                hard_state: HardState { term: Term(4), voted_for: Some(NodeId(2)) },
                snapshot: snapshot_meta(5, 2, 3),
                entries: entries(&[1, 1, 1, 2, 2, 3, 3]).split_off(5),
            };
            let mut solo = Solo::restore(recovered, |config| config.lease_reads = true);
            solo.receive(2, 4, crate::solo::install(&snapshot_meta(9, 4, 3), 0, b"abc", false));
            solo
        }
        _ => Solo::restore(Recovered::default(), |_| {}),
    };
    solo.has_quick_disk = quick_disk;
    solo
}

fn joint_leader() -> Solo {
    let mut solo = Solo::leader(3, 0, &[]);
    solo.receive(2, 1, accepted(0, 1));
    let learners = MembershipChange { voters: ids(1..=3), learners: ids(4..=5), context: Bytes::new() };
    solo.input(Input::ChangeMembership(learners));
    for peer in [2, 4, 5] {
        solo.receive(peer, 1, accepted(0, 2));
    }
    let change = MembershipChange { voters: ids([1, 4, 5]), learners: ids([]), context: Bytes::new() };
    solo.input(Input::ChangeMembership(change));
    assert!(solo.raft.membership().is_joint());
    solo
}

fn leader_with_a_snapshot_under_way() -> Solo {
    let mut solo = Solo::with(3, 1, &[1; 8], |config| {
        config.keep_bytes_behind_snapshot = 1;
        config.snapshot_chunk_bytes = 4;
        config.lease_reads = true;
    });
    // Until the leases are over that an earlier life may have promised.
    solo.pass(ms(500));
    solo.win();
    solo.receive(2, 2, accepted(0, 9));
    solo.input(Input::SnapshotTaken(snapshot_meta(6, 1, 3)));
    solo.receive(3, 2, crate::solo::conflict(0, 8, None, 3));
    let meta = snapshot_meta(6, 1, 3);
    let data = Bytes::from_static(b"abcd");
    solo.input(Input::SnapshotChunk { to: NodeId(3), meta, offset: 0, data, done: false });
    solo
}

/// A server's word: what it must never take back, whatever it hears.
#[derive(Default)]
struct Word {
    term: Term,
    commit: Index,
    committed: BTreeMap<Index, Entry>,
    written: usize,
    on_disk: HardState,
}

impl Word {
    fn check(&mut self, solo: &Solo) {
        let raft = &solo.raft;
        assert!(raft.term() >= self.term, "a term never falls");
        assert!(raft.commit_index() >= self.commit, "a commit index never falls");
        (self.term, self.commit) = (raft.term(), raft.commit_index());
        for (index, entry) in &self.committed {
            let now = raft.entries(*index..=*index).next();
            assert!(now.is_none_or(|now| now == entry), "a committed entry never changes");
        }
        for entry in raft.entries(Index(1)..=self.commit) {
            self.committed.entry(entry.index).or_insert_with(|| entry.clone());
        }
        for persist in &solo.written[self.written..] {
            if let Some(next) = persist.hard_state {
                assert!(next.term >= self.on_disk.term, "a term on the disk never falls");
                let same_term = next.term == self.on_disk.term;
                let kept = self.on_disk.voted_for.is_none() || next.voted_for == self.on_disk.voted_for;
                assert!(!same_term || kept, "a vote is never taken back");
                self.on_disk = next;
            }
        }
        self.written = solo.written.len();
    }
}

fn take(solo: &mut Solo, step: Step) {
    match step {
        Step::Receive(message) => {
            solo.receive_message(message);
        }
        Step::Pass(milliseconds) => solo.pass(ms(milliseconds)),
        Step::Persist => {
            if !solo.writing.is_empty() {
                solo.persist_one();
            }
        }
        Step::Propose => {
            solo.input(Input::Propose(Bytes::from_static(b"honest")));
        }
        Step::Read(id) => {
            solo.input(Input::Read(ReadId(id)));
        }
        Step::Transfer(to) => {
            solo.input(Input::TransferTo(to));
        }
        Step::Change(change) => {
            solo.input(Input::ChangeMembership(change));
        }
        Step::Campaign => {
            solo.input(Input::Campaign);
        }
        Step::Chunk => {
            let meta = solo.raft.snapshot_meta().clone();
            if let Some(request) = solo.requests.pop() {
                let (to, offset) = (request.to, request.offset);
                let data = Bytes::from_static(b"abcd");
                solo.input(Input::SnapshotChunk { to, meta, offset, data, done: offset >= 8 });
            }
        }
    }
}

fn config() -> ProptestConfig {
    let cases = if std::env::var("JANGADA_SLOW").is_ok() { 100_000 } else { 1_500 };
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_lie_makes_a_server_fall_over_or_break_its_word(
        number in 0..SITUATIONS,
        quick_disk in any::<bool>(),
        steps in vec(step(), 1..40),
    ) {
        let mut solo = situation(number, quick_disk);
        let mut word = Word::default();
        word.check(&solo);
        for step in steps {
            take(&mut solo, step);
            word.check(&solo);
        }
        solo.persist_all();
        word.check(&solo);
    }

    #[test]
    fn a_message_for_somebody_else_has_no_effect_at_all(
        number in 0..SITUATIONS,
        message in message(),
        how in 0..3_usize,
    ) {
        let mut solo = situation(number, true);
        let (message, expected) = match how {
            0 => (Message { cluster: ClusterId(8), ..message }, IgnoreReason::WrongCluster),
            1 => (Message { to: NodeId(2), ..message }, IgnoreReason::WrongRecipient),
            _ => (Message { from: ME, ..message }, IgnoreReason::WrongRecipient),
        };
        solo.events.clear();
        let before = solo.raft.clone();
        let sent = solo.receive_message(message);
        prop_assert!(sent.is_empty());
        prop_assert!(solo.raft == before, "not a bit of it has changed");
        let told = matches!(solo.events[..], [Event::Ignored { why, .. }] if why == expected);
        prop_assert!(told, "but it is told: {:?}", solo.events);
    }

    /// The same server, the same inputs: the same outputs. Nothing in it asks the world.
    #[test]
    fn the_same_inputs_give_the_same_outputs(
        number in 0..SITUATIONS,
        steps in vec(step(), 1..20),
    ) {
        let mut one = situation(number, true);
        let mut other = situation(number, true);
        for step in steps {
            take(&mut one, step.clone());
            take(&mut other, step);
            prop_assert_eq!(&one.raft, &other.raft);
        }
        prop_assert_eq!(&one.sent, &other.sent);
        prop_assert_eq!(&one.events, &other.events);
        prop_assert_eq!(&one.written, &other.written);
    }
}

// ---- What it found, and what it could not find by chance --------------------------------------------------

#[test]
fn a_stranger_has_no_say_in_anything() {
    let mut solo = Solo::leader(3, 0, &[]);
    solo.receive(2, 1, accepted(0, 1));
    for rpc in [accepted(0, 1), granted(1, false), crate::solo::denied(9, false)] {
        let before = solo.term();
        solo.receive(9, 9, rpc);
        assert_eq!((solo.role(), solo.term()), (RoleName::Leader, before), "its term has no effect");
    }
}

#[test]
fn a_candidate_that_we_do_not_know_may_ask() {
    let mut solo = Solo::with_log(3, 1, &[1]);
    let sent = solo.receive(9, 4, vote(5, 3));
    assert_eq!(sent.len(), 1, "our configuration may lag behind (Paper §6)");
}

#[test]
fn a_term_at_the_end_of_all_numbers_is_not_entered() {
    for term in [u64::MAX, u64::MAX - 1, 1 << 62] {
        let mut solo = Solo::with_log(3, 1, &[1]);
        solo.receive(2, term, append((0, 0), &[], 0));
        solo.receive(2, term, vote(5, 3));
        assert_eq!(solo.term(), 1);
        solo.pass(ms(2_000));
    }
}

#[test]
fn a_configuration_without_voters_is_not_taken() {
    let mut solo = Solo::with_log(3, 1, &[1]);
    solo.receive(2, 1, append_of((1, 1), vec![membership_entry(2, 1, Membership::default())], 2, 0));
    assert_eq!(*solo.raft.membership(), Membership::of(ids(1..=3)), "nobody could ever change it again");
}

#[test]
fn output_that_was_taken_is_gone() {
    let mut solo = Solo::leader(3, 0, &[]);
    let mut output = Output::default();
    solo.raft.take_output(&mut output);
    assert_eq!(output, Output::default());
}
