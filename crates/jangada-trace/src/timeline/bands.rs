//! Who had which role when; and when a server was down, stood still or was cut off, as far as records show it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jangada_node::event::{Deed, DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, MessageKind, RoleName};
use jangada_raft::types::{NodeId, Term, Time};

use super::scene::{Arrow, Fate, Lane};

/// A heartbeat interval, if the recording does not show one.
const USUAL_HEARTBEAT: Duration = Duration::from_millis(50);
/// A server that says nothing for so many heartbeats may be down.
const SILENT_HEARTBEATS: u32 = 6;
/// A way on which so many messages in a row are lost is cut.
const CUT_AFTER: usize = 3;

/// A role, for as long as it lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleSpan {
    /// From here.
    pub begin: Time,
    /// To here.
    pub end: Time,
    /// The role.
    pub role: RoleName,
    /// Its term: another one is another span; 0 if the recording does not say, or if there was none yet.
    pub term: Term,
}

/// Why nothing is heard of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It did not run: it starts afterwards.
    Down,
    /// It says nothing, and what is sent to it waits or is lost: it stands still, or is down for good.
    Silent,
    /// It fell silent, and nobody listens at its address.
    Refused,
    /// Somebody has made it stand still.
    Paused,
    /// All messages to it and from it are lost.
    CutOff,
}

impl Absence {
    /// Its name in a picture.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Absence::Down => "down",
            Absence::Silent => "silent",
            Absence::Refused => "refuses connections",
            Absence::Paused => "stands still",
            Absence::CutOff => "cut off",
        }
    }
}

/// A time for which nothing is heard of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// From here.
    pub begin: Time,
    /// To here.
    pub end: Time,
    /// Why.
    pub why: Absence,
}

impl Quiet {
    fn has(&self, time: Time) -> bool {
        self.begin <= time && time <= self.end
    }
}

/// The roles of a server, a span for each term. Where the recording begins later than the server, its messages tell what it
/// is.
pub(super) fn roles(records: &[Record], node: NodeId, end: Time) -> Vec<RoleSpan> {
    let mut spans: Vec<RoleSpan> = Vec::new();
    let mut first = None;
    let mut last_seen = Time::ZERO;
    for record in records.iter().filter(|record| record.node == node) {
        if let Event::Deed(deed) = record.event {
            if let (Deed::Crash, Some(span)) = (deed, spans.last_mut()) {
                span.end = record.time;
                last_seen = record.time;
            }
            continue;
        }
        let first = first.get_or_insert(record.time);
        if let Some((begin, role, term)) = becomes(record, *first, spans.last_mut()) {
            let restarts = matches!(record.event, Event::Disk(DiskEvent::Opened { .. }));
            // What was so before it started again ended when it was last seen.
            let over = if restarts { last_seen } else { begin };
            turn(&mut spans, RoleSpan { begin, end, role, term }, over, restarts);
        } else if spans.is_empty() && matches!(record.event, Event::Raft(RaftEvent::TermChanged { .. })) {
            // Whatever it turns out to be, before this it was that in another term.
            *first = record.time;
        }
        last_seen = record.time;
    }
    if first.is_none() { by_others(records, node) } else { spans }
}

/// The roles of a server that has recorded nothing itself, as far as it was heard: its messages tell what it is.
fn by_others(records: &[Record], node: NodeId) -> Vec<RoleSpan> {
    let mut spans: Vec<RoleSpan> = Vec::new();
    for record in records {
        let Event::Raft(RaftEvent::Received { from, kind, term, .. }) = record.event else { continue };
        let role = match kind {
            MessageKind::Append | MessageKind::Heartbeat | MessageKind::Snapshot => RoleName::Leader,
            MessageKind::AppendAccepted | MessageKind::AppendRefused | MessageKind::SnapshotReply => {
                RoleName::Follower
            }
            MessageKind::Vote => RoleName::Candidate,
            // Whoever asks who would vote for it names a term that there may never be.
            MessageKind::PreVote
            | MessageKind::PreVoteReply
            | MessageKind::VoteReply
            | MessageKind::TimeoutNow
            | MessageKind::ReadIndex
            | MessageKind::ReadIndexReply => continue,
        };
        if from != node {
            continue;
        }
        match spans.last_mut() {
            Some(last) if (last.role, last.term) == (role, term) => last.end = record.time,
            // A message of before that comes late says nothing new.
            Some(last) if term < last.term => {}
            last => {
                last.into_iter().for_each(|last| last.end = record.time);
                spans.push(RoleSpan { begin: record.time, end: record.time, role, term });
            }
        }
    }
    spans
}

/// What a record says that a server is from when on, in which term; `last` is what it was until then.
fn becomes(record: &Record, first: Time, last: Option<&mut RoleSpan>) -> Option<(Time, RoleName, Term)> {
    match (record.event, last) {
        // What it finds on its disk is the term that it left there.
        (Event::Disk(DiskEvent::Opened { .. }), last) => {
            let term = last.map_or(Term(0), |span| span.term);
            Some((record.time, RoleName::Follower, term))
        }
        (Event::Raft(RaftEvent::RoleChanged { role, term, .. }), _) => Some((record.time, role, term)),
        (Event::Raft(RaftEvent::TermChanged { new, .. }), Some(span)) => Some((record.time, span.role, new)),
        (
            Event::Raft(RaftEvent::Sent { kind: MessageKind::Append | MessageKind::Heartbeat, term, .. }),
            None,
        ) => Some((first, RoleName::Leader, term)),
        (
            Event::Raft(RaftEvent::Received {
                kind: MessageKind::Append | MessageKind::Heartbeat, term, ..
            }),
            None,
        ) => Some((first, RoleName::Follower, term)),
        // Only whoever asks who would vote for it names another term than its own.
        (Event::Raft(RaftEvent::Sent { kind, term, .. }), Some(span))
            if span.term == Term(0) && kind != MessageKind::PreVote =>
        {
            span.term = term;
            None
        }
        _ => None,
    }
}

/// A server becomes something else; what it was ended when it was `over`.
fn turn(spans: &mut Vec<RoleSpan>, new: RoleSpan, over: Time, restarts: bool) {
    let is_same = |last: &&RoleSpan| (last.role, last.term) == (new.role, new.term) && last.end == new.end;
    // Whoever becomes what it is goes on being that.
    if !restarts && spans.last().is_some_and(|last| is_same(&last)) {
        return;
    }
    // Who begins a term by standing for election was nothing else in it.
    if let [.., before, last] = spans.as_mut_slice()
        && (last.begin, last.role, before.end) == (new.begin, before.role, new.begin)
    {
        *last = new;
        return;
    }
    if let Some(last) = spans.last_mut() {
        last.end = over;
    }
    spans.push(new);
}

/// The interval of heartbeats, as the recording shows it.
fn heartbeat(arrows: &[Arrow]) -> Duration {
    let mut last: BTreeMap<(usize, usize), Time> = BTreeMap::new();
    let mut apart: Vec<Duration> = Vec::new();
    for arrow in arrows.iter().filter(|arrow| arrow.kind == MessageKind::Heartbeat && !arrow.is_duplicate) {
        let Some(left) = arrow.left else { continue };
        if let Some(before) = last.insert((arrow.from, arrow.to), left) {
            apart.push(left.since(before));
        }
    }
    apart.sort_unstable();
    apart.get(apart.len() / 2).copied().unwrap_or(USUAL_HEARTBEAT).max(Duration::from_millis(1))
}

/// A server that has said nothing for longer may be down.
pub(super) fn silence(arrows: &[Arrow]) -> Duration {
    heartbeat(arrows) * SILENT_HEARTBEATS
}

/// When a server was seen to do something, by its own records or by messages of it that arrived though nobody recorded
/// that it sent them; and whether it started then.
fn signs_of_life(records: &[Record], arrows: &[Arrow], (place, node): (usize, NodeId)) -> Vec<(Time, bool)> {
    let own = records.iter().filter(|record| record.node == node);
    let starts = |record: &Record| matches!(record.event, Event::Disk(DiskEvent::Opened { .. }));
    let mut signs: Vec<(Time, bool)> = own.map(|record| (record.time, starts(record))).collect();
    signs.extend(unrecorded(arrows, place).map(|time| (time, false)));
    signs.sort_by_key(|(time, _)| *time);
    signs
}

/// When messages of a server arrived whose departure nobody recorded.
fn unrecorded(arrows: &[Arrow], place: usize) -> impl Iterator<Item = Time> {
    let of_it = arrows.iter().filter(move |arrow| arrow.from == place && arrow.left.is_none());
    of_it.filter_map(|arrow| arrow.arrived)
}

/// When a server was down or silent.
pub(super) fn absences(
    records: &[Record],
    arrows: &[Arrow],
    (place, node): (usize, NodeId),
    end: Time,
) -> Vec<Quiet> {
    let long = silence(arrows);
    let own: Vec<Time> =
        records.iter().filter(|record| record.node == node).map(|record| record.time).collect();
    let mut quiet = Vec::new();
    let mut last = records.first().map_or(Time::ZERO, |record| record.time);
    // Of a server that nobody recorded, the others' messages tell from the beginning on.
    let mut seen = own.is_empty();
    let mut gaps = Vec::new();
    for (time, starts) in signs_of_life(records, arrows, (place, node)) {
        if starts && time > last {
            quiet.push(Quiet { begin: last, end: time, why: Absence::Down });
        } else if seen && time.since(last) > long {
            gaps.push((last, time));
        }
        (last, seen) = (time, true);
    }
    if seen && end.since(last) > long {
        gaps.push((last, end));
    }
    for gap in gaps {
        // Where its own recording does not reach, what others sent in vain is all there is.
        let beyond =
            own.first().is_none_or(|first| gap.1 <= *first) || own.last().is_none_or(|last| *last <= gap.0);
        if is_silent(arrows, place, gap, (long, beyond || gap.1 == end)) {
            quiet.push(Quiet { begin: gap.0, end: gap.1, why: Absence::Silent });
        }
    }
    quiet.sort_by_key(|quiet| quiet.begin);
    quiet
}

/// Silence alone proves nothing: a follower without a leader has nothing to say. Messages that wait for it do; and, where
/// nobody knows what became of them, those that were lost.
fn is_silent(
    arrows: &[Arrow],
    place: usize,
    (begin, over): (Time, Time),
    (long, is_unknown): (Duration, bool),
) -> bool {
    let waits = |arrow: &&Arrow| {
        let is_kept_waiting = arrow.arrived.is_none_or(|arrived| arrived >= over);
        let is_known = is_unknown || arrow.fate != Fate::Unrecorded;
        let left = arrow.left.unwrap_or(over);
        arrow.to == place && begin <= left && left + long < over && is_kept_waiting && is_known
    };
    let from = arrows.partition_point(|arrow| arrow.first() < begin);
    let mut meanwhile = arrows[from..].iter().take_while(|arrow| arrow.first() < over).filter(waits);
    meanwhile.any(|arrow| arrow.arrived.is_some() || is_unknown)
}

/// A server of which nothing more is heard, or nothing more is recorded though others hear it, has no known role from then
/// on.
pub(super) fn end_roles(lane: &mut Lane, records: &[Record], (place, arrows): (usize, &[Arrow]), end: Time) {
    let silent = lane.quiet.last().filter(|quiet| quiet.why == Absence::Silent && quiet.end >= end);
    let own = records.iter().rev().find(|record| record.node == lane.node).map(|record| record.time);
    let cut = own.filter(|last| unrecorded(arrows, place).any(|arrived| arrived > *last + silence(arrows)));
    let Some(over) = silent.map(|quiet| quiet.begin).into_iter().chain(cut).min() else { return };
    lane.roles.retain(|role| role.begin <= over);
    if let Some(last) = lane.roles.last_mut() {
        last.end = last.end.min(over);
    }
}

/// A way from one lane to another, and when it was cut.
struct Cut {
    from: usize,
    to: usize,
    begin: Time,
    end: Time,
}

/// Adds when servers were cut off from the others.
pub(super) fn cut_off(lanes: &mut [Lane], arrows: &[Arrow], (begin, end): (Time, Time)) {
    let cuts = cuts(lanes, arrows, end);
    let mut moments: BTreeSet<Time> = cuts.iter().flat_map(|cut| [cut.begin, cut.end]).collect();
    moments.extend([begin, end]);
    let moments: Vec<Time> = moments.into_iter().collect();
    for pair in moments.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let now: Vec<(usize, usize)> = cuts
            .iter()
            .filter(|cut| cut.begin <= from && to <= cut.end)
            .map(|cut| (cut.from, cut.to))
            .collect();
        if now.is_empty() {
            continue;
        }
        let first = arrows.partition_point(|arrow| arrow.first() < from);
        let heard = arrows[first..].iter().take_while(|arrow| arrow.first() < to);
        let heard = heard.filter(|arrow| arrow.left.is_some() && arrow.arrived.is_some());
        let heard: BTreeSet<(usize, usize)> = heard.map(|arrow| (arrow.from, arrow.to)).collect();
        for lane in blamed(lanes.len(), &now, &heard) {
            let quiet = &mut lanes[lane].quiet;
            match quiet.iter_mut().rev().find(|quiet| quiet.why == Absence::CutOff && quiet.end == from) {
                Some(before) => before.end = to,
                None => quiet.push(Quiet { begin: from, end: to, why: Absence::CutOff }),
            }
        }
    }
}

/// The ways on which a row of messages is lost, though both ends are there.
fn cuts(lanes: &[Lane], arrows: &[Arrow], end: Time) -> Vec<Cut> {
    let long = heartbeat(arrows) * 3;
    let absent = |lane: usize, time: Time| lanes[lane].quiet.iter().any(|quiet| quiet.has(time));
    let mut open: BTreeMap<(usize, usize), (Time, Time, usize)> = BTreeMap::new();
    let mut cuts = Vec::new();
    let mut close = |(from, to): (usize, usize), (begin, last, lost): (Time, Time, usize), until: Time| {
        if lost >= CUT_AFTER && last.since(begin) >= long {
            cuts.push(Cut { from, to, begin, end: until });
        }
    };
    for arrow in arrows {
        let Some(left) = arrow.left else { continue };
        let way = (arrow.from, arrow.to);
        if arrow.fate == Fate::Lost && !absent(arrow.to, left) {
            let run = open.entry(way).or_insert((left, left, 0));
            *run = (run.0, left, run.2 + 1);
        } else if arrow.arrived.is_some()
            && let Some(run) = open.remove(&way)
        {
            close(way, run, left);
        }
    }
    for (way, run) in open {
        // What was not healed before the messages ended was cut up to the end, or as long as anybody tried.
        let until = if end.since(run.1) < long { end } else { run.1 };
        close(way, run, until);
    }
    cuts
}

/// Who is to be shown as cut off: all but the largest group of servers that hear each other; and where nobody hears anybody,
/// the one to whom most ways are cut.
fn blamed(lanes: usize, cut: &[(usize, usize)], heard: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let mut group: Vec<usize> = (0..lanes).collect();
    for (a, b) in heard.iter().filter(|(a, b)| !cut.contains(&(*a, *b)) && !cut.contains(&(*b, *a))) {
        let (old, new) = (group[*a].max(group[*b]), group[*a].min(group[*b]));
        group.iter_mut().filter(|group| **group == old).for_each(|group| *group = new);
    }
    let size = |lane: usize| group.iter().filter(|other| **other == group[lane]).count();
    let degree = |lane: usize| cut.iter().filter(|(a, b)| *a == lane || *b == lane).count();
    let largest = (0..lanes).max_by_key(|lane| (size(*lane), std::cmp::Reverse(*lane))).unwrap_or(0);
    if size(largest) > 1 {
        let outside = |lane: &usize| group[*lane] != group[largest] && degree(*lane) > 0;
        return (0..lanes).filter(outside).collect();
    }
    // The receiver rather than the sender, if both lose as much.
    let receives = |lane: usize| cut.iter().any(|(_, to)| *to == lane);
    (0..lanes)
        .filter(|lane| degree(*lane) > 0)
        .max_by_key(|lane| (degree(*lane), receives(*lane)))
        .into_iter()
        .collect()
}
