//! The network of a stage: delays from the seed, links that are cut, and messages that are held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jangada_node::frame::Frame;
use jangada_raft::event::MessageKind;
use jangada_raft::types::{NodeId, Time};

use crate::rng::{Dice, Rng, stream};

use super::cluster::{Filter, HeldNumber};
use super::command::Message;

/// A frame on its way.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: Message,
    pub(crate) frame: Frame,
}

impl Parcel {
    pub(crate) fn new(from: NodeId, to: NodeId, frame: Frame) -> Parcel {
        let message = match &frame {
            Frame::Raft(message) => kind(message.rpc.gist().0),
            Frame::Forward { .. } | Frame::ForwardReply { .. } => Message::Forward,
        };
        Parcel { from, to, message, frame }
    }

    fn is_meant(&self, filter: &Filter) -> bool {
        filter.fits(self.from, self.to, self.message)
    }
}

fn kind(kind: MessageKind) -> Message {
    match kind {
        MessageKind::PreVote => Message::PreVote,
        MessageKind::PreVoteReply => Message::PreVoteReply,
        MessageKind::Vote => Message::Vote,
        MessageKind::VoteReply => Message::VoteReply,
        MessageKind::Append => Message::Append,
        MessageKind::Heartbeat => Message::Heartbeat,
        MessageKind::AppendAccepted | MessageKind::AppendRefused => Message::AppendReply,
        MessageKind::Snapshot => Message::Snapshot,
        MessageKind::SnapshotReply => Message::SnapshotReply,
        MessageKind::TimeoutNow => Message::TimeoutNow,
        MessageKind::ReadIndex => Message::ReadIndex,
        MessageKind::ReadIndexReply => Message::ReadIndexReply,
    }
}

/// The network.
pub(crate) struct Network {
    delay: (Duration, Duration),
    rng: Rng,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// So many of a hundred messages are lost.
    pub(crate) loss: u8,
    /// So much longer does each message take.
    pub(crate) slow: Duration,
    holds: Vec<Filter>,
    /// By their numbers: oldest first.
    held: BTreeMap<HeldNumber, Parcel>,
    last_held: u64,
    /// When the last message of a link arrives: a link keeps the order of its messages, as TCP does.
    arrivals: BTreeMap<(NodeId, NodeId), Time>,
    /// How much was sent since the last mark.
    pub(crate) sent: BTreeMap<(NodeId, NodeId, Message), u64>,
}

impl Network {
    pub(crate) fn new(seed: u64, delay: (Duration, Duration)) -> Network {
        Network {
            delay,
            rng: stream(seed, "network of a stage"),
            cut: BTreeSet::new(),
            loss: 0,
            slow: Duration::ZERO,
            holds: Vec::new(),
            held: BTreeMap::new(),
            last_held: 0,
            arrivals: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// A message is sent. Returns it with the time at which it arrives; `None` if it is lost, or held.
    pub(crate) fn send(&mut self, now: Time, parcel: Parcel) -> Option<(Time, Parcel)> {
        let link = (parcel.from, parcel.to);
        *self.sent.entry((parcel.from, parcel.to, parcel.message)).or_default() += 1;
        if self.is_cut(link.0, link.1) {
            return None;
        }
        if self.holds.iter().any(|filter| parcel.is_meant(filter)) {
            self.last_held += 1;
            self.held.insert(HeldNumber(self.last_held), parcel);
            return None;
        }
        if self.loss > 0 && self.rng.below(100) < u64::from(self.loss) {
            return None;
        }
        let drawn = now + self.slow + self.rng.duration(self.delay.0, self.delay.1);
        let last = self.arrivals.entry(link).or_insert(Time::ZERO);
        *last = drawn.max(*last);
        Some((*last, parcel))
    }

    pub(crate) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        if from != to {
            self.cut.insert((from, to));
        }
    }

    pub(crate) fn heal(&mut self, from: NodeId, to: NodeId) {
        self.cut.remove(&(from, to));
    }

    pub(crate) fn hold(&mut self, filter: Filter) {
        self.holds.push(filter);
    }

    /// The held messages that fit, oldest first.
    pub(crate) fn held(&self, filter: &Filter) -> impl Iterator<Item = (HeldNumber, &Parcel)> {
        self.held
            .iter()
            .filter(|(_, parcel)| parcel.is_meant(filter))
            .map(|(number, parcel)| (*number, parcel))
    }

    pub(crate) fn held_parcel(&self, number: HeldNumber) -> Option<&Parcel> {
        self.held.get(&number)
    }

    pub(crate) fn take_held(&mut self, number: HeldNumber) -> Option<Parcel> {
        self.held.remove(&number)
    }

    /// Holds nothing any more, and gives back all that was held.
    pub(crate) fn release(&mut self) -> Vec<Parcel> {
        self.holds.clear();
        std::mem::take(&mut self.held).into_values().collect()
    }
}
