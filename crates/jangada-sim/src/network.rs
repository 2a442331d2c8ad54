//! The network: who hears whom, and how long a message takes.
//!
//! A link goes one way, from one server to another, as a connection does: whoever connected sends. It can be cut (what
//! is sent is lost), clogged (what is sent waits in line, as long as the line has room), and reset (what is in flight
//! is lost).

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::BytesMut;
use jangada_raft::types::{NodeId, Time};

use crate::coverage::{Counter, Coverage};
use crate::plan::{Cut, Drip, NetworkPlan, Who};
use crate::queue::{Happening, Place, Queue};
use crate::rng::{Dice, Rng, stream};

/// Directed links that are cut together.
pub(crate) type Links = Vec<(Place, Place)>;

/// A frame that a server sent before it lost its disk: who sent it, with which card, to whom.
pub(crate) type Kept = (Place, u32, Place, BytesMut);

/// So many frames of an old connection are kept.
const MAX_KEPT: usize = 64;

/// Who hears whom, and how well.
pub(crate) struct Network {
    pub(crate) plan: NetworkPlan,
    places: usize,
    links: Vec<Link>,
    /// Partitions that last, by their number.
    partitions: Vec<Links>,
    /// Clogs that last, by their number.
    clogs: Vec<Links>,
    /// Whose frames are kept from now on, for a connection that outlives its server.
    overheard: Option<Place>,
    kept: Vec<Kept>,
    rng: Rng,
}

/// The link from one place to another.
#[derive(Clone, Default)]
struct Link {
    /// How many partitions cut it.
    cuts: u8,
    /// How many clogs slow it down.
    clogs: u8,
    /// What the latest of them lets through.
    drip: Drip,
    /// When what waits in line will have left.
    drained: Time,
    /// The number of the connection: what is in flight on an earlier one is lost.
    connection: u32,
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
        Network {
            plan,
            places,
            links: vec![Link::default(); places * places],
            partitions: Vec::new(),
            clogs: Vec::new(),
            overheard: None,
            kept: Vec::new(),
            rng,
        }
    }

    fn link(&mut self, from: Place, to: Place) -> &mut Link {
        &mut self.links[from * self.places + to]
    }

    pub(crate) fn is_cut(&self, from: Place, to: Place) -> bool {
        self.links[from * self.places + to].cuts > 0
    }

    /// All links that are cut.
    pub(crate) fn cut_links(&self) -> BTreeSet<(Place, Place)> {
        let all = (0..self.places).flat_map(|from| (0..self.places).map(move |to| (from, to)));
        all.filter(|(from, to)| self.is_cut(*from, *to)).collect()
    }

    /// What was sent on the connection of this number still arrives.
    pub(crate) fn is_open(&self, from: Place, to: Place, connection: u32) -> bool {
        self.links[from * self.places + to].connection == connection
    }

    /// No link is cut or clogged.
    pub(crate) fn is_whole(&self) -> bool {
        self.links.iter().all(|link| link.cuts == 0 && link.clogs == 0)
    }

    /// Cuts links until `rejoin` is called with the number that comes back.
    pub(crate) fn part(&mut self, links: Links) -> usize {
        for (from, to) in &links {
            self.link(*from, *to).cuts += 1;
        }
        self.partitions.push(links);
        self.partitions.len() - 1
    }

    /// A partition ends; nothing happens if it has already.
    pub(crate) fn rejoin(&mut self, partition: usize) {
        for (from, to) in std::mem::take(&mut self.partitions[partition]) {
            self.link(from, to).cuts -= 1;
        }
    }

    /// Clogs links until `release` is called with the number that comes back.
    pub(crate) fn clog(&mut self, links: Links, drip: Drip) -> usize {
        for (from, to) in &links {
            let link = self.link(*from, *to);
            link.clogs += 1;
            link.drip = drip;
        }
        self.clogs.push(links);
        self.clogs.len() - 1
    }

    /// A clog ends; what waits in line leaves at its time all the same. Nothing happens if it has ended already.
    pub(crate) fn release(&mut self, clog: usize) {
        for (from, to) in std::mem::take(&mut self.clogs[clog]) {
            self.link(from, to).clogs -= 1;
        }
    }

    /// The connections on these links break: what is in flight is lost, what is sent later is not.
    pub(crate) fn reset(&mut self, links: &[(Place, Place)]) {
        for (from, to) in links {
            self.link(*from, *to).connection += 1;
        }
    }

    /// When nothing will wait in line any more.
    pub(crate) fn drained(&self) -> Time {
        self.links.iter().map(|link| link.drained).max().unwrap_or_default()
    }

    /// Keeps what this server sends from now on, for a connection that outlives it.
    pub(crate) fn overhear(&mut self, place: Place) {
        self.kept.retain(|kept| kept.0 != place);
        self.overheard = Some(place);
    }

    /// The server is gone; what was kept of it stays.
    pub(crate) fn stop_overhearing(&mut self) {
        self.overheard = None;
    }

    /// What was kept of this server.
    pub(crate) fn take_kept(&mut self, place: Place) -> Vec<Kept> {
        let (of_it, others) = std::mem::take(&mut self.kept).into_iter().partition(|kept| kept.0 == place);
        self.kept = others;
        of_it
    }

    /// Sends a frame of an old connection on a new one.
    pub(crate) fn send_kept(&mut self, now: Time, kept: Kept, queue: &mut Queue) {
        let (from, card, to, bytes) = kept;
        let delay = self.rng.duration(self.plan.delay_min, self.plan.delay_max);
        let connection = self.link(from, to).connection;
        queue.push(now + delay, Happening::Deliver { from, card, to, connection, bytes });
    }

    /// A frame of another cluster comes along with this one.
    pub(crate) fn brings_a_foreigner(&mut self) -> bool {
        self.rng.chance(self.plan.foreign)
    }

    /// A frame of another version of the protocol comes along with this one.
    pub(crate) fn brings_another_version(&mut self) -> bool {
        self.rng.chance(self.plan.version)
    }

    /// All partitions and clogs end, and messages travel well from now on.
    pub(crate) fn heal(&mut self) {
        self.partitions.iter_mut().for_each(Vec::clear);
        self.clogs.iter_mut().for_each(Vec::clear);
        for link in &mut self.links {
            (link.cuts, link.clogs) = (0, 0);
        }
        let NetworkPlan { lose, repeat, straggle, flip, foreign, version, .. } = &mut self.plan;
        (*lose, *repeat, *straggle, *flip, *foreign, *version) = (0, 0, 0, 0, 0, 0);
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

    /// Sends a frame: it may be lost, wait in line, come late, come twice, or come with a bit flipped.
    pub(crate) fn send(&mut self, now: Time, letter: &Letter<'_>, queue: &mut Queue, seen: &mut Coverage) {
        let Letter { from, card, to, .. } = *letter;
        if self.overheard == Some(from) && letter.may_repeat && self.kept.len() < MAX_KEPT {
            self.kept.push((from, card, to, BytesMut::from(letter.bytes)));
        }
        if self.rng.chance(self.plan.lose) {
            return seen.count(Counter::MessagesLost);
        }
        let Some(leaves) = self.stand_in_line(now, from, to, seen) else { return };
        let connection = self.link(from, to).connection;
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
            queue.push(leaves + delay, Happening::Deliver { from, card, to, connection, bytes });
        }
    }

    /// When a frame leaves that is sent now; `None` if the line is full, and it is lost.
    fn stand_in_line(&mut self, now: Time, from: Place, to: Place, seen: &mut Coverage) -> Option<Time> {
        let link = self.link(from, to);
        if link.clogs == 0 {
            return Some(now);
        }
        let Drip { each, room } = link.drip;
        // The line is as long as it takes to empty it.
        if link.drained > now && link.drained.since(now) > each * room.saturating_sub(1) {
            seen.count(Counter::LinesFull);
            return None;
        }
        seen.count(Counter::MessagesClogged);
        link.drained = link.drained.max(now) + each;
        Some(link.drained)
    }
}

pub(crate) fn place_of(id: NodeId) -> Place {
    usize::try_from(id.0.saturating_sub(1)).unwrap_or(usize::MAX)
}

pub(crate) fn id_of(place: Place) -> NodeId {
    NodeId(place as u64 + 1)
}
