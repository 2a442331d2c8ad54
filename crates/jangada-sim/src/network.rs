//! The network: who hears whom, and how long a message takes.

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::BytesMut;
use jangada_raft::types::{NodeId, Time};

use crate::coverage::{Counter, Coverage};
use crate::plan::{Cut, NetworkPlan, Who};
use crate::queue::{Happening, Place, Queue};
use crate::rng::{Dice, Rng, stream};

/// Directed links that are cut together.
pub(crate) type Links = Vec<(Place, Place)>;

/// Who hears whom, and how well.
pub(crate) struct Network {
    pub(crate) plan: NetworkPlan,
    places: usize,
    /// How many partitions cut the link from one place to another.
    cuts: Vec<u8>,
    /// Partitions that last, by their number.
    partitions: Vec<Links>,
    rng: Rng,
}

/// A frame that is about to leave.
pub(crate) struct Letter<'a> {
    pub(crate) from: Place,
    pub(crate) card: u32,
    pub(crate) to: Place,
    pub(crate) bytes: &'a [u8],
    /// It may come twice. A link is a TCP connection, which repeats nothing; messages of Raft may be repeated all
    /// the same, as they must not mind it. Forwarded commands would be done twice.
    pub(crate) may_repeat: bool,
}

impl Network {
    pub(crate) fn new(seed: u64, places: usize, plan: NetworkPlan) -> Network {
        let rng = stream(seed, "network");
        Network { plan, places, cuts: vec![0; places * places], partitions: Vec::new(), rng }
    }

    pub(crate) fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cuts[from * self.places + to] > 0
    }

    /// Cuts links until `rejoin` is called with the number that comes back.
    pub(crate) fn part(&mut self, links: Links) -> usize {
        for (from, to) in &links {
            self.cuts[from * self.places + to] += 1;
        }
        self.partitions.push(links);
        self.partitions.len() - 1
    }

    /// A partition ends; nothing happens if it has already.
    pub(crate) fn rejoin(&mut self, partition: usize) {
        for (from, to) in std::mem::take(&mut self.partitions[partition]) {
            self.cuts[from * self.places + to] -= 1;
        }
    }

    /// All partitions end, and messages travel well from now on.
    pub(crate) fn heal(&mut self) {
        self.partitions.iter_mut().for_each(Vec::clear);
        self.cuts.fill(0);
        let NetworkPlan { lose, repeat, straggle, flip, .. } = &mut self.plan;
        (*lose, *repeat, *straggle, *flip) = (0, 0, 0, 0);
    }

    /// The links that a partition of this shape cuts.
    pub(crate) fn shape(&self, cut: &Cut, leader: Option<Place>) -> Links {
        let place = |who: Who| match who {
            Who::Leader => leader.unwrap_or(0),
            Who::Server(id) => place_of(id).min(self.places - 1),
        };
        let wanted: Box<dyn Fn(Place, Place) -> bool> = match cut {
            Cut::Isolate(who) => {
                let who = place(*who);
                Box::new(move |from, to| from == who || to == who)
            }
            Cut::Mute(who) => {
                let who = place(*who);
                Box::new(move |from, _| from == who)
            }
            Cut::Deaf(who) => {
                let who = place(*who);
                Box::new(move |_, to| to == who)
            }
            Cut::OneWay(a, b) => {
                let (a, b) = (place_of(*a), place_of(*b));
                Box::new(move |from, to| (from, to) == (a, b))
            }
            Cut::Halves(side) => {
                let side: BTreeSet<Place> = side.iter().map(|id| place_of(*id)).collect();
                Box::new(move |from, to| side.contains(&from) != side.contains(&to))
            }
            Cut::Bridge(id) => {
                let (bridge, half) = (place_of(*id), self.places / 2);
                Box::new(move |from, to| from != bridge && to != bridge && (from < half) != (to < half))
            }
            Cut::Ring => {
                let places = self.places;
                Box::new(move |from, to| {
                    let distance = from.abs_diff(to);
                    distance > 1 && distance < places - 1
                })
            }
        };
        let all = (0..self.places).flat_map(|from| (0..self.places).map(move |to| (from, to)));
        all.filter(|(from, to)| from != to && wanted(*from, *to)).collect()
    }

    /// Sends a frame: it may be lost, come late, come twice, or come with a bit flipped.
    pub(crate) fn send(&mut self, now: Time, letter: &Letter<'_>, queue: &mut Queue, seen: &mut Coverage) {
        if self.rng.chance(self.plan.lose) {
            return seen.count(Counter::MessagesLost);
        }
        let mut bytes = BytesMut::from(letter.bytes);
        if self.rng.chance(self.plan.flip) {
            let bit = usize::try_from(self.rng.below(bytes.len() as u64 * 8)).unwrap_or(0);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let again = (self.rng.chance(self.plan.repeat) && letter.may_repeat).then(|| bytes.clone());
        for (bytes, more) in [(Some(bytes), Duration::ZERO), (again, self.plan.straggle_by)] {
            let Some(bytes) = bytes else { continue };
            let mut delay = self.rng.duration(self.plan.delay_min, self.plan.delay_max);
            if self.rng.chance(self.plan.straggle) {
                delay += self.rng.duration(Duration::ZERO, self.plan.straggle_by);
            }
            if !more.is_zero() {
                delay += self.rng.duration(Duration::ZERO, more);
                seen.count(Counter::MessagesRepeated);
            }
            let Letter { from, card, to, .. } = *letter;
            queue.push(now + delay, Happening::Deliver { from, card, to, bytes });
        }
    }
}

pub(crate) fn place_of(id: NodeId) -> Place {
    usize::try_from(id.0.saturating_sub(1)).unwrap_or(usize::MAX)
}

pub(crate) fn id_of(place: Place) -> NodeId {
    NodeId(place as u64 + 1)
}
