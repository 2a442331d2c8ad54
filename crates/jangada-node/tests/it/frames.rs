//! Frames: every message survives its bytes; damaged, cut or foreign bytes are refused and never panic.

use bytes::{Bytes, BytesMut};
use jangada_node::effect::Failure;
use jangada_node::event::FrameRefusal;
use jangada_node::frame::{self, Frame, HEADER_BYTES, Route};
use jangada_raft::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, InstallSnapshot, InstallSnapshotReply, Message,
    ReadIndex, ReadIndexReply, RequestVote, RequestVoteReply, Rpc,
};
use jangada_raft::types::{ClusterId, Entry, Index, Membership, NodeId, Payload, ReadId, SnapshotMeta, Term};
use proptest::prelude::*;

const ROUTE: Route = Route { cluster: ClusterId(7), from: NodeId(1), to: NodeId(2) };
const MAX: usize = 1 << 20;

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Noop),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Payload::Command(bytes.into())),
        membership().prop_map(|membership| Payload::Membership(membership.into())),
    ]
}

fn nodes() -> impl Strategy<Value = std::collections::BTreeSet<NodeId>> {
    prop::collection::btree_set(any::<u64>().prop_map(NodeId), 0..5)
}

fn membership() -> impl Strategy<Value = Membership> {
    (nodes(), prop::option::of(nodes()), nodes(), prop::collection::vec(any::<u8>(), 0..50)).prop_map(
        |(voters, outgoing, learners, context)| Membership {
            voters,
            outgoing,
            learners,
            target: None,
            context: context.into(),
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    (any::<u64>(), any::<u64>(), payload()).prop_map(|(term, index, payload)| Entry {
        term: Term(term),
        index: Index(index),
        payload,
    })
}

fn rpc() -> impl Strategy<Value = Rpc> {
    let number = any::<u64>;
    prop_oneof![
        (any::<bool>(), any::<bool>(), number(), number()).prop_map(
            |(pre_vote, leadership_transfer, index, term)| {
                Rpc::RequestVote(RequestVote {
                    pre_vote,
                    leadership_transfer,
                    last_log_index: Index(index),
                    last_log_term: Term(term),
                })
            }
        ),
        (any::<bool>(), any::<bool>(), number()).prop_map(|(pre_vote, vote_granted, term)| {
            Rpc::RequestVoteReply(RequestVoteReply { pre_vote, vote_granted, campaign_term: Term(term) })
        }),
        (number(), number(), prop::collection::vec(entry(), 0..8), number(), number()).prop_map(
            |(index, term, entries, commit, round)| {
                Rpc::AppendEntries(AppendEntries {
                    prev_log_index: Index(index),
                    prev_log_term: Term(term),
                    entries,
                    leader_commit: Index(commit),
                    round,
                })
            }
        ),
        (number(), number()).prop_map(|(round, index)| {
            let outcome = AppendOutcome::Accepted { match_index: Index(index) };
            Rpc::AppendEntriesReply(AppendEntriesReply { round, outcome })
        }),
        (number(), number(), prop::option::of(number()), number()).prop_map(|(round, index, term, first)| {
            let outcome = AppendOutcome::Conflict {
                prev_log_index: Index(index),
                conflict_term: term.map(Term),
                first_index: Index(first),
            };
            Rpc::AppendEntriesReply(AppendEntriesReply { round, outcome })
        }),
        (
            membership(),
            number(),
            number(),
            prop::collection::vec(any::<u8>(), 0..500),
            any::<bool>(),
            number()
        )
            .prop_map(|(membership, index, offset, data, done, round)| {
                let meta = SnapshotMeta {
                    last_included_index: Index(index),
                    last_included_term: Term(3),
                    membership: membership.into(),
                };
                Rpc::InstallSnapshot(InstallSnapshot { meta, offset, data: data.into(), done, round })
            }),
        (number(), number(), number(), any::<bool>()).prop_map(|(round, index, next_offset, installed)| {
            let last_included_index = Index(index);
            Rpc::InstallSnapshotReply(InstallSnapshotReply {
                round,
                last_included_index,
                next_offset,
                installed,
            })
        }),
        Just(Rpc::TimeoutNow),
        number().prop_map(|context| Rpc::ReadIndex(ReadIndex { context: ReadId(context) })),
        (number(), prop::option::of(number())).prop_map(|(context, index)| {
            Rpc::ReadIndexReply(ReadIndexReply { context: ReadId(context), read_index: index.map(Index) })
        }),
    ]
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from);
    let answer = prop_oneof![
        bytes().prop_map(Ok),
        Just(Err(Failure::NoLeader)),
        Just(Err(Failure::Busy)),
        Just(Err(Failure::TooLarge)),
        Just(Err(Failure::OutcomeUnknown)),
    ];
    prop_oneof![
        4 => (any::<u64>(), any::<u64>(), rpc()).prop_map(|(sequence, term, rpc)| Frame::Raft(Message {
            cluster: ROUTE.cluster,
            from: ROUTE.from,
            to: ROUTE.to,
            sequence,
            term: Term(term),
            rpc,
        })),
        1 => (any::<u64>(), prop::collection::vec(bytes(), 0..8))
            .prop_map(|(id, commands)| Frame::Forward { id, commands }),
        1 => (any::<u64>(), prop::collection::vec(answer, 0..8))
            .prop_map(|(id, answers)| Frame::ForwardReply { id, answers }),
    ]
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(frame, ROUTE, &mut out);
    out
}

fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameRefusal> {
    frame::decode(&mut BytesMut::from(bytes), ROUTE, MAX)
}

proptest! {
    #[test]
    fn frames_survive_their_bytes(frames in prop::collection::vec(any_frame(), 1..4)) {
        let mut stream = BytesMut::new();
        for frame in &frames {
            stream.extend_from_slice(&encoded(frame));
        }
        for frame in &frames {
            prop_assert_eq!(frame::decode(&mut stream, ROUTE, MAX), Ok(Some(frame.clone())));
        }
        prop_assert!(stream.is_empty());
    }

    #[test]
    fn a_frame_that_is_cut_waits_for_the_rest(frame in any_frame(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&frame);
        prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), Ok(None));
    }

    #[test]
    fn a_flipped_bit_is_refused(frame in any_frame(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = encoded(&frame);
        // A longer length only waits for more: the bytes behind the length are what must be caught.
        let at = 4 + at.index(bytes.len() - 4);
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn garbage_with_a_right_checksum_never_panics(kind in 0..5_u8, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = encoded(&Frame::Forward { id: 0, commands: vec![] });
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&body);
        bytes[0..4].copy_from_slice(&u32::try_from(body.len()).expect("short").to_le_bytes());
        bytes[9] = kind;
        let checksum = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        let _whatever = decode(&bytes);
    }
}

#[test]
fn foreign_frames_are_refused_by_name() {
    let bytes = encoded(&Frame::Forward { id: 1, commands: vec![Bytes::from_static(b"x")] });
    let refused = |route: Route| frame::decode(&mut BytesMut::from(&bytes[..]), route, MAX);
    assert_eq!(refused(Route { cluster: ClusterId(8), ..ROUTE }), Err(FrameRefusal::Cluster));
    assert_eq!(refused(Route { from: NodeId(3), ..ROUTE }), Err(FrameRefusal::Sender));
    assert_eq!(refused(Route { to: NodeId(3), ..ROUTE }), Err(FrameRefusal::Recipient));
    assert_eq!(frame::decode(&mut BytesMut::from(&bytes[..]), ROUTE, 4), Err(FrameRefusal::TooLong));
    let mut old = bytes.clone();
    old[8] = 0;
    assert_eq!(decode(&old), Err(FrameRefusal::Version));
}
