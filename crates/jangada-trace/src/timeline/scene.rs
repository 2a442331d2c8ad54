//! What became of each message, and who was what when.

use std::collections::{BTreeMap, BTreeSet};

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, IgnoreReason, MessageKind};
use jangada_raft::types::{Index, NodeId, Term, Time};

use super::bands::{self, Quiet, RoleSpan};
use super::done::{self, Weather};
use super::repeats::{self, Folded, Repeats};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Received,
    /// It arrived, and had no effect.
    Ignored(IgnoreReason),
    /// It never arrived, though its receiver was watched for long enough.
    Lost,
    /// The recording ends while it may still be on its way.
    OnTheWay,
    /// Nobody knows: its receiver was not recorded then.
    Unrecorded,
}

impl Fate {
    /// Its name, which never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fate::Received => "received",
            Fate::Ignored(_) => "ignored",
            Fate::Lost => "lost",
            Fate::OnTheWay => "on_the_way",
            Fate::Unrecorded => "unrecorded",
        }
    }
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct Arrow {
    /// Where it was first seen, among the scene's records.
    pub record: usize,
    /// The sender's lane.
    pub from: usize,
    /// The receiver's lane.
    pub to: usize,
    /// When it left, if that was recorded.
    pub left: Option<Time>,
    /// When it arrived, if it did.
    pub arrived: Option<Time>,
    /// What became of it.
    pub fate: Fate,
    /// With the sender, its identity.
    pub sequence: u64,
    /// Its term.
    pub term: Term,
    /// What it was.
    pub kind: MessageKind,
    /// A number that explains it: see [`MessageKind`].
    pub index: Index,
    /// A second one.
    pub count: u32,
    /// A heartbeat, an answer that says nothing new, or a question that is asked again as much in vain as before.
    pub is_routine: bool,
    /// It arrived before, too: a duplicate.
    pub is_duplicate: bool,
}

impl Arrow {
    /// The first moment at which it was seen.
    #[must_use]
    pub fn first(&self) -> Time {
        self.left.or(self.arrived).unwrap_or(Time::ZERO)
    }

    /// The last moment at which it was seen.
    #[must_use]
    pub fn last(&self) -> Time {
        self.arrived.or(self.left).unwrap_or(Time::ZERO)
    }
}

/// A server.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Which.
    pub node: NodeId,
    /// Its first record, if it has any: lanes also stand for servers that were only sent to.
    pub first: Option<Time>,
    /// Its roles, one after the other.
    pub roles: Vec<RoleSpan>,
    /// When it was not there.
    pub quiet: Vec<Quiet>,
    /// Records of it that are missing.
    pub missing: u64,
}

/// How many messages had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sent, as far as that was recorded.
    pub sent: u64,
    /// Of these: arrived, with or without effect.
    pub received: u64,
    /// Lost.
    pub lost: u64,
    /// On their way at the end.
    pub on_the_way: u64,
    /// Nobody knows.
    pub unrecorded: u64,
    /// Arrived more than once.
    pub duplicates: u64,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Scene {
    /// All records, in their order.
    pub records: Vec<Record>,
    /// All servers, by number.
    pub lanes: Vec<Lane>,
    /// All messages, by the first moment at which they were seen.
    pub arrows: Vec<Arrow>,
    /// Campaigns that went on and on.
    pub repeats: Vec<Repeats>,
    /// What these say again: places among the records.
    pub(super) repeated: BTreeSet<usize>,
    /// When the network lost messages or held them up, as far as somebody recorded that.
    pub weather: Vec<Weather>,
    /// What was done to servers and links was recorded; otherwise it is concluded from what is missing.
    pub deeds_known: bool,
    /// The first record.
    pub begin: Time,
    /// The last one.
    pub end: Time,
}

/// Who sent it, and its number.
type Identity = (NodeId, u64);

/// What is known of a receiver.
struct Watched {
    first: Time,
    /// Nothing is recorded of it after this.
    last: Time,
    /// Its first record was its very first one: before that it did not run.
    from_birth: bool,
    /// When it was started again, and its last record before each of these.
    restarts: Vec<(Time, Time)>,
    /// Spans in which records of it are missing.
    gaps: Vec<(Time, Time)>,
}

impl Watched {
    /// Whether records are missing in this span.
    fn misses(&self, from: Time, to: Time) -> bool {
        let next = self.gaps.partition_point(|(_, end)| *end < from);
        self.gaps.get(next).is_some_and(|(begin, _)| *begin <= to)
    }

    /// How often it had been started again by then.
    fn life(&self, time: Time) -> usize {
        self.restarts.partition_point(|(start, _)| *start <= time)
    }

    /// Its last record before it was started again after this time; `None` if it was not.
    fn last_before_restart(&self, time: Time) -> Option<Time> {
        self.restarts.get(self.life(time)).map(|(_, last)| *last)
    }
}

impl Scene {
    /// Of records that are in one order and on one clock.
    #[must_use]
    pub fn of(records: Vec<Record>) -> Scene {
        let nodes = nodes(&records);
        let watched = watched(&records, &nodes);
        let begin = records.first().map_or(Time::ZERO, |record| record.time);
        let end = records.last().map_or(Time::ZERO, |record| record.time);
        let mut arrows = arrows(&records, &nodes);
        let deeds_known = done::is_known(&records);
        judge(&mut arrows, &watched, end, deeds_known);
        mark_routine(&mut arrows);
        let Folded { repeats, records: repeated } = repeats::fold(&records, &nodes, &mut arrows);
        let lanes = nodes.iter().zip(&watched).enumerate();
        let mut lanes: Vec<Lane> = lanes
            .map(|(place, (node, watched))| Lane {
                node: *node,
                first: watched.as_ref().map(|watched| watched.first),
                roles: bands::roles(&records, *node, end),
                quiet: match deeds_known {
                    true => Vec::new(),
                    false => bands::absences(&records, &arrows, (place, *node), end),
                },
                missing: watched.as_ref().map_or(0, |watched| watched.gaps.len() as u64),
            })
            .collect();
        let mut weather = Vec::new();
        if deeds_known {
            weather = done::bands(&records, &mut lanes, (begin, end));
        } else {
            for (place, lane) in lanes.iter_mut().enumerate() {
                bands::end_roles(lane, &records, (place, &arrows), end);
            }
            bands::cut_off(&mut lanes, &arrows, (begin, end));
        }
        Scene { records, lanes, arrows, repeats, repeated, weather, deeds_known, begin, end }
    }

    /// How many messages had which fate.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally_of(self.begin, self.end)
    }

    /// How many of the messages that were first seen between two moments, ends included, had which fate.
    #[must_use]
    pub fn tally_of(&self, from: Time, to: Time) -> Tally {
        let mut tally = Tally::default();
        let first = self.arrows.partition_point(|arrow| arrow.first() < from);
        for arrow in self.arrows[first..].iter().take_while(|arrow| arrow.first() <= to) {
            if arrow.is_duplicate {
                tally.duplicates += 1;
                continue;
            }
            if arrow.left.is_none() {
                continue;
            }
            tally.sent += 1;
            match arrow.fate {
                Fate::Received | Fate::Ignored(_) => tally.received += 1,
                Fate::Lost => tally.lost += 1,
                Fate::OnTheWay => tally.on_the_way += 1,
                Fate::Unrecorded => tally.unrecorded += 1,
            }
        }
        tally
    }

    /// The lane of a server.
    #[must_use]
    pub fn place(&self, node: NodeId) -> Option<usize> {
        self.lanes.binary_search_by_key(&node, |lane| lane.node).ok()
    }

    /// The records between two moments, ends included.
    #[must_use]
    pub fn between(&self, from: Time, to: Time) -> &[Record] {
        let first = self.records.partition_point(|record| record.time < from);
        let last = self.records.partition_point(|record| record.time <= to);
        &self.records[first..last.max(first)]
    }
}

/// Who recorded something, or was sent something.
fn nodes(records: &[Record]) -> Vec<NodeId> {
    let mut nodes = BTreeSet::new();
    for record in records.iter().filter(|record| !matches!(record.event, Event::Deed(_))) {
        nodes.insert(record.node);
        match record.event {
            Event::Raft(RaftEvent::Sent { to, .. }) => nodes.insert(to),
            Event::Raft(RaftEvent::Received { from, .. }) => nodes.insert(from),
            _ => false,
        };
    }
    nodes.into_iter().collect()
}

fn watched(records: &[Record], nodes: &[NodeId]) -> Vec<Option<Watched>> {
    let mut all: Vec<Option<Watched>> = nodes.iter().map(|_| None).collect();
    let mut last: BTreeMap<NodeId, Record> = BTreeMap::new();
    for record in records.iter().filter(|record| !matches!(record.event, Event::Deed(_))) {
        let Ok(place) = nodes.binary_search(&record.node) else { continue };
        let watched = all[place].get_or_insert_with(|| Watched {
            first: record.time,
            last: record.time,
            from_birth: record.seq == 1 && !starts_again(record),
            restarts: Vec::new(),
            gaps: Vec::new(),
        });
        if matches!(record.event, Event::Disk(DiskEvent::Opened { .. })) && record.time > watched.last {
            watched.restarts.push((record.time, watched.last));
        }
        watched.last = record.time;
        if let Some(before) = last.insert(record.node, *record)
            && record.seq > before.seq + 1
        {
            watched.gaps.push((before.time, record.time));
        }
    }
    all
}

/// A server that finds a log when it starts has run before, whatever is recorded of that.
fn starts_again(record: &Record) -> bool {
    matches!(record.event, Event::Disk(DiskEvent::Opened { last, .. }) if last > Index::ZERO)
}

fn arrows(records: &[Record], nodes: &[NodeId]) -> Vec<Arrow> {
    let mut arrows: Vec<Arrow> = Vec::new();
    let mut departures: Vec<(Identity, usize)> = Vec::new();
    let place = |node: NodeId| nodes.binary_search(&node).ok();
    for (at, record) in records.iter().enumerate() {
        let Event::Raft(RaftEvent::Sent { to, sequence, term, kind, index, count }) = record.event else {
            continue;
        };
        let (Some(from), Some(to)) = (place(record.node), place(to)) else { continue };
        departures.push(((record.node, sequence), arrows.len()));
        arrows.push(Arrow {
            record: at,
            from,
            to,
            left: Some(record.time),
            arrived: None,
            fate: Fate::Lost,
            sequence,
            term,
            kind,
            index,
            count,
            is_routine: false,
            is_duplicate: false,
        });
    }
    departures.sort_unstable();
    arrivals(records, nodes, &departures, &mut arrows);
    arrows.sort_by_key(|arrow| (arrow.first(), arrow.record));
    arrows
}

/// Where each message arrived.
fn arrivals(records: &[Record], nodes: &[NodeId], departures: &[(Identity, usize)], arrows: &mut Vec<Arrow>) {
    let place = |node: NodeId| nodes.binary_search(&node).ok();
    let departed = |message: Identity| {
        let at = departures.partition_point(|(known, _)| *known < message);
        departures.get(at).filter(|(known, _)| *known == message).map(|(_, arrow)| *arrow)
    };
    for (at, record) in records.iter().enumerate() {
        let Some(to) = place(record.node) else { continue };
        match record.event {
            Event::Raft(RaftEvent::Received { from, sequence, term, kind, index, count }) => {
                let Some(sender) = place(from) else { continue };
                let unseen = Arrow {
                    record: at,
                    from: sender,
                    to,
                    left: None,
                    arrived: Some(record.time),
                    fate: Fate::Received,
                    sequence,
                    term,
                    kind,
                    index,
                    count,
                    is_routine: false,
                    is_duplicate: false,
                };
                match departed((from, sequence)) {
                    Some(at) if arrows[at].arrived.is_none() => {
                        (arrows[at].arrived, arrows[at].fate) = (Some(record.time), Fate::Received);
                    }
                    Some(at) => arrows.push(Arrow { left: arrows[at].left, is_duplicate: true, ..unseen }),
                    None => arrows.push(unseen),
                }
            }
            Event::Raft(RaftEvent::Ignored { from, sequence, why, .. }) => {
                if let Some(at) = departed((from, sequence)) {
                    let arrow = &mut arrows[at];
                    arrow.arrived = arrow.arrived.or(Some(record.time));
                    arrow.fate = Fate::Ignored(why);
                }
            }
            _ => {}
        }
    }
}

/// What did not arrive is lost, unless its receiver was not watched, or not for long enough: nothing that left later has
/// arrived on the same way, and no message that arrived was under way for longer than that.
///
/// Where nobody recorded who was killed and when, a recording that ends before the others proves nothing: the last thing
/// that a killed server did may have been to take these messages. That it was started again later changes nothing.
fn judge(arrows: &mut [Arrow], watched: &[Option<Watched>], end: Time, deeds_known: bool) {
    let latency = |arrow: &Arrow| Some(arrow.arrived?.since(arrow.left?));
    let patience = arrows.iter().filter_map(latency).max().unwrap_or_default();
    let silence = bands::silence(arrows);
    let is_cut_short = |receiver: &Watched| !deeds_known && end.since(receiver.last) > silence;
    let life = |lane: usize, time: Time| match (deeds_known, &watched[lane]) {
        (false, Some(receiver)) => receiver.life(time),
        (true, _) | (_, None) => 0,
    };
    // What arrives after a restart says nothing of what was sent before it.
    let mut overtaken: BTreeMap<(usize, usize, usize), Time> = BTreeMap::new();
    for arrow in arrows.iter() {
        if let (Some(left), Some(arrived)) = (arrow.left, arrow.arrived) {
            let last = overtaken.entry((arrow.from, arrow.to, life(arrow.to, arrived))).or_default();
            *last = left.max(*last);
        }
    }
    let is_killed_later = |receiver: &Watched, left: Time| {
        !deeds_known && receiver.last_before_restart(left).is_some_and(|last| left + patience >= last)
    };
    let is_overtaken = |arrow: &Arrow, left: Time| {
        overtaken.get(&(arrow.from, arrow.to, life(arrow.to, left))).is_some_and(|last| left < *last)
    };
    for arrow in arrows {
        let (Fate::Lost, Some(left)) = (arrow.fate, arrow.left) else { continue };
        arrow.fate = match &watched[arrow.to] {
            None => Fate::Unrecorded,
            Some(receiver) if left < receiver.first && !receiver.from_birth => Fate::Unrecorded,
            Some(receiver) if receiver.misses(left, left + patience) => Fate::Unrecorded,
            Some(_) if is_overtaken(arrow, left) => Fate::Lost,
            Some(receiver) if is_killed_later(receiver, left) => Fate::Unrecorded,
            Some(_) if left + patience >= end => Fate::OnTheWay,
            Some(receiver) if is_cut_short(receiver) && left + patience >= receiver.last => Fate::Unrecorded,
            Some(_) => Fate::Lost,
        };
    }
}

/// Heartbeats say nothing new, and so do answers that acknowledge what was acknowledged before.
fn mark_routine(arrows: &mut [Arrow]) {
    let mut acknowledged: BTreeMap<(usize, usize), (Term, Index)> = BTreeMap::new();
    for arrow in arrows {
        arrow.is_routine = match arrow.kind {
            MessageKind::Heartbeat => true,
            MessageKind::AppendAccepted => {
                let now = (arrow.term, arrow.index);
                let best = acknowledged.insert((arrow.from, arrow.to), now);
                let is_old = best.is_some_and(|best| best.0 == now.0 && best.1 >= now.1);
                if let (true, Some(best)) = (is_old, best) {
                    acknowledged.insert((arrow.from, arrow.to), best);
                }
                is_old
            }
            MessageKind::PreVote
            | MessageKind::PreVoteReply
            | MessageKind::Vote
            | MessageKind::VoteReply
            | MessageKind::Append
            | MessageKind::AppendRefused
            | MessageKind::Snapshot
            | MessageKind::SnapshotReply
            | MessageKind::TimeoutNow
            | MessageKind::ReadIndex
            | MessageKind::ReadIndexReply => false,
        };
    }
}
