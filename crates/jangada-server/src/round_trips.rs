//! How long a heartbeat takes there and back, if linearizable reads have asked for it: each round of theirs begins with one
//! (`read.rs` of the core). A leader's alone: a follower speaks to nobody but its leader.
//!
//! A heartbeat is answered at once, without any disk, and the answer repeats its round. So the first message that names a
//! round to a peer is timed if it carries nothing else; an answer with that round can be to no earlier one. Heartbeats that
//! only say that the leader lives name no new round, and which message an answer is to nobody could tell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jangada_node::frame::Frame;
use jangada_raft::message::Rpc;
use jangada_raft::types::{NodeId, Term, Time};

use crate::meters::{Meters, PeerMeters};

/// One in so long is timed: more would tell nothing more.
const PAUSE: Duration = Duration::from_millis(100);

/// A message that is answered later was lost, and its link with it.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// A leadership, and one of its rounds.
type Round = (Term, u64);

/// The rounds that are timed.
#[derive(Debug)]
pub(crate) struct RoundTrips {
    meters: Arc<Meters>,
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Debug)]
struct Peer {
    meters: Arc<PeerMeters>,
    /// The last round that was named to it.
    named: Option<Round>,
    /// What is timed, and since when.
    timed: Option<(Round, Time)>,
    /// When the next one may be.
    next: Time,
}

impl RoundTrips {
    pub(crate) fn new(meters: Arc<Meters>) -> RoundTrips {
        RoundTrips { meters, peers: BTreeMap::new() }
    }

    /// A frame goes to a peer.
    pub(crate) fn sends(&mut self, now: Time, to: NodeId, frame: &Frame) {
        let Frame::Raft(message) = frame else { return };
        let Rpc::AppendEntries(append) = &message.rpc else { return };
        let round = (message.term, append.round);
        let peer = self.peers.entry(to).or_insert_with(|| Peer {
            meters: self.meters.of_peer(to.0),
            named: None,
            timed: None,
            next: Time::ZERO,
        });
        let is_first = peer.named.is_none_or(|named| named < round);
        peer.named = peer.named.max(Some(round));
        if is_first && append.entries.is_empty() && now >= peer.next {
            peer.timed = Some((round, now));
            peer.next = now + PAUSE;
        }
    }

    /// A frame has come from a peer.
    pub(crate) fn hears(&mut self, now: Time, from: NodeId, frame: &Frame) {
        let Frame::Raft(message) = frame else { return };
        let Rpc::AppendEntriesReply(reply) = &message.rpc else { return };
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if let Some((_, since)) = peer.timed.take_if(|(round, _)| *round == (message.term, reply.round)) {
            // A reply that comes later than that answers a repetition: what was timed was lost.
            if now.since(since) <= LOST_AFTER {
                peer.meters.round_trips.observe(now.since(since));
            }
        }
    }

    /// Whoever is no member any more is forgotten.
    pub(crate) fn keep(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.peers.retain(|id, _| is_member(*id));
    }
}

#[cfg(test)]
mod tests {
    use jangada_raft::message::{AppendEntries, AppendEntriesReply, AppendOutcome, Message};
    use jangada_raft::types::{ClusterId, Entry, Index, Payload};

    use super::*;

    const PEER: NodeId = NodeId(2);

    fn frame(term: u64, rpc: Rpc) -> Frame {
        let (cluster, from, to) = (ClusterId(7), NodeId(1), PEER);
        Frame::Raft(Message { cluster, from, to, sequence: 0, term: Term(term), rpc })
    }

    fn append(term: u64, round: u64, entries: usize) -> Frame {
        let entry = Entry { term: Term(term), index: Index(1), payload: Payload::Noop };
        frame(
            term,
            Rpc::AppendEntries(AppendEntries {
                prev_log_index: Index(0),
                prev_log_term: Term(0),
                entries: vec![entry; entries],
                leader_commit: Index(0),
                round,
            }),
        )
    }

    fn reply(term: u64, round: u64) -> Frame {
        let outcome = AppendOutcome::Accepted { match_index: Index(0) };
        frame(term, Rpc::AppendEntriesReply(AppendEntriesReply { round, outcome }))
    }

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    /// The page's lines about these trips: how many, and how long all took.
    fn told(meters: &Meters) -> (String, String) {
        let mut out = String::new();
        meters.of_peer(PEER.0).round_trips.write(&mut out, "trip", "");
        let of = |name: &str| out.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        (of("trip_count "), of("trip_sum "))
    }

    #[test]
    fn only_an_answer_that_can_be_to_nothing_else_is_timed() {
        let meters = Arc::new(Meters::default());
        let mut trips = RoundTrips::new(Arc::clone(&meters));
        trips.sends(ms(1_000), PEER, &append(3, 5, 0));
        // The same round again: the answer is to the first of the two.
        trips.sends(ms(1_010), PEER, &append(3, 5, 0));
        trips.hears(ms(1_020), PEER, &reply(3, 4));
        trips.hears(ms(1_030), PEER, &reply(3, 5));
        trips.hears(ms(1_040), PEER, &reply(3, 5));
        assert_eq!(told(&meters), ("1".to_owned(), "0.03".to_owned()));
        // What carries entries is answered after a disk, and so may be what follows in its round.
        trips.sends(ms(2_000), PEER, &append(3, 6, 1));
        trips.sends(ms(2_001), PEER, &append(3, 6, 0));
        trips.hears(ms(2_100), PEER, &reply(3, 6));
        assert_eq!(told(&meters).0, "1");
        // Too soon after the last one, and what was not answered is given up for the next.
        trips.sends(ms(3_000), PEER, &append(3, 7, 0));
        trips.sends(ms(3_050), PEER, &append(3, 8, 0));
        trips.hears(ms(3_060), PEER, &reply(3, 8));
        trips.sends(ms(3_100), PEER, &append(3, 9, 0));
        trips.hears(ms(3_110), PEER, &reply(3, 7));
        assert_eq!(told(&meters).0, "1");
        trips.hears(ms(3_120), PEER, &reply(3, 9));
        assert_eq!(told(&meters), ("2".to_owned(), "0.05".to_owned()));
        // Another leadership counts its rounds from the beginning.
        trips.sends(ms(4_000), PEER, &append(5, 1, 0));
        trips.hears(ms(4_010), PEER, &reply(5, 1));
        assert_eq!(told(&meters), ("3".to_owned(), "0.06".to_owned()));
    }
}
