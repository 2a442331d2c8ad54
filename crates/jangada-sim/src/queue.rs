//! What will happen, in the order of (virtual time, tie-breaker).
//!
//! Things that happen at the same instant happen in an order that is drawn: no run of luck in how the code
//! happens to push them can hide an interleaving.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bytes::BytesMut;
use jangada_node::effect::Token;
use jangada_node::event::FrameRefusal;
use jangada_raft::types::Time;

use crate::plan::Fault;
use crate::rng::{Rng, stream};

/// A server's place in the world: its id less one.
pub(crate) type Place = usize;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Bytes arrive.
    Deliver {
        /// The sender.
        from: Place,
        /// What the sender says of itself: the number of its card (see `standing.rs`).
        card: u32,
        /// The recipient.
        to: Place,
        /// The number of the link's connection.
        connection: u32,
        /// A frame.
        bytes: BytesMut,
    },
    /// Bytes arrive that no server must take: why not.
    DeliverForeign {
        /// The recipient.
        to: Place,
        /// As whom the sender poses.
        from: Place,
        /// Why they are to be refused.
        why: FrameRefusal,
        /// A frame.
        bytes: BytesMut,
    },
    /// A server's alarm rings.
    Wake {
        /// Whose.
        server: Place,
        /// In which of its lives.
        start: u64,
    },
    /// A server's disk has done what it was given.
    DiskDone {
        /// Whose.
        server: Place,
        /// In which of its lives.
        start: u64,
    },
    /// A client has thought enough.
    Client {
        /// Which.
        client: usize,
    },
    /// Whoever follows the servers' state looks.
    Look,
    /// A client has waited enough.
    Patience {
        /// Which.
        client: usize,
    },
    /// A planned fault begins.
    Fault(usize),
    /// A part of a planned fault begins.
    PartOfFault(Box<Fault>),
    /// A server that is down starts.
    Start {
        /// Which.
        server: Place,
        /// Its number of starts when this was put down.
        start: u64,
    },
    /// Somebody looks after the server whose disk was lost or may be damaged.
    Repair,
    /// A partition ends.
    Rejoin(usize),
    /// Clogged links are free again.
    Release(usize),
    /// Whoever asked for a change of members waits no longer.
    GiveUp {
        /// Whom they asked.
        server: Place,
        /// In which of its lives.
        start: u64,
        /// What they asked for.
        token: Token,
    },
}

struct Slot {
    time: u64,
    tie: u64,
    what: Happening,
}

impl Ord for Slot {
    fn cmp(&self, other: &Slot) -> Ordering {
        // The heap has its largest on top; we want the earliest.
        (other.time, other.tie).cmp(&(self.time, self.tie))
    }
}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Slot) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Slot) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Slot {}

/// The queue.
pub(crate) struct Queue {
    heap: BinaryHeap<Slot>,
    ties: Rng,
    pushed: u64,
}

impl Queue {
    pub(crate) fn new(seed: u64) -> Queue {
        Queue { heap: BinaryHeap::new(), ties: stream(seed, "ties"), pushed: 0 }
    }

    pub(crate) fn push(&mut self, time: Time, what: Happening) {
        // The low half makes each tie unique.
        self.pushed += 1;
        let tie = (self.ties.next_u64() & !0xffff_ffff) | (self.pushed & 0xffff_ffff);
        self.heap.push(Slot { time: time.0, tie, what });
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, Happening)> {
        self.heap.pop().map(|slot| (Time(slot.time), slot.what))
    }

    /// All frames of servers that are on their way, with sender and recipient, in no order.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (Place, Place, &[u8])> {
        self.heap.iter().filter_map(|slot| match &slot.what {
            Happening::Deliver { from, to, bytes, .. } => Some((*from, *to, &bytes[..])),
            _ => None,
        })
    }

    /// When the next thing happens.
    pub(crate) fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|slot| Time(slot.time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_comes_first_and_ties_are_drawn() {
        let order = |seed| {
            let mut queue = Queue::new(seed);
            for fault in 0..6 {
                queue.push(Time(if fault < 3 { 2 } else { 1 }), Happening::Fault(fault));
            }
            let mut order = Vec::new();
            while let Some((_, Happening::Fault(fault))) = queue.pop() {
                order.push(fault);
            }
            order
        };
        assert!((0..20).all(|seed| order(seed)[..3].iter().all(|fault| *fault >= 3)));
        assert!((1..20).any(|seed| order(seed) != order(0)), "other seeds, other orders");
        assert_eq!(order(7), order(7));
    }
}
