//! Campaigns in vain: a server that hears no majority asks for votes again and again, and the same comes of it each time.
//! The first time is worth a picture; of the others it is enough to know how many there were.

use std::collections::{BTreeMap, BTreeSet};

use jangada_node::event::{Deed, DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, MessageKind, RoleChange, RoleName};
use jangada_raft::types::{NodeId, Term, Time};

use super::scene::{Arrow, Fate};
use crate::language::Language;
use crate::phrases::span;
use crate::{said, say};

/// Fewer are shown as they are.
const WORTH_FOLDING: u64 = 2;

/// A server that asked again, and nothing else came of it than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Its lane.
    pub lane: usize,
    /// The first time that is folded away.
    pub begin: Time,
    /// The last time.
    pub end: Time,
    /// How many times in all.
    pub times: u64,
    /// It stands for election, and does not only ask who would vote for it.
    pub stands: bool,
    /// The last term that it asked for.
    pub term: Term,
    /// Somebody answered meanwhile, though too few did.
    pub is_answered: bool,
    /// The scene's record with which it begins.
    pub record: usize,
}

impl Repeats {
    /// What it did, and what came of it.
    #[must_use]
    pub fn sentence(&self, language: Language, name: &str) -> String {
        let (times, span) = (self.times, span(self.end.since(self.begin)));
        let came =
            language.of(if self.is_answered { said!("too few answer") } else { said!("nobody answers") });
        match self.stands {
            false => say!(
                language,
                "{name} asks {times} times more in {span} who would vote for it: {came}",
                name,
                times,
                span,
                came
            ),
            true => say!(
                language,
                "{name} asks {times} times more in {span} for votes, up to term {term}: {came}",
                name,
                times,
                span,
                term = self.term,
                came
            ),
        }
    }
}

/// What is folded away: the arrows are marked, the records named.
pub(super) struct Folded {
    pub(super) repeats: Vec<Repeats>,
    /// Records that say again what was said before.
    pub(super) records: BTreeSet<usize>,
}

/// A server that campaigns, from the moment when it begins to until it becomes something else.
struct Run {
    begin: Time,
    end: Time,
    role: RoleName,
    /// Records that say that it does so once more.
    records: Vec<usize>,
    arrows: Vec<usize>,
    /// How the last question on each way fared, and which answers have come.
    fared: BTreeMap<usize, Fate>,
    answered: BTreeSet<(usize, u32)>,
}

/// Finds them, and marks their arrows as routine.
pub(super) fn fold(records: &[Record], nodes: &[NodeId], arrows: &mut [Arrow]) -> Folded {
    let mut runs: Vec<Vec<Run>> = nodes.iter().map(|node| runs(records, *node)).collect();
    let mut answers: BTreeMap<usize, Vec<Time>> = BTreeMap::new();
    for (at, arrow) in arrows.iter().enumerate() {
        if let Some(asks) = role_that_asks(arrow.kind) {
            if let Some(run) = run_at(&mut runs[arrow.from], asks, arrow.first()) {
                let same = run.fared.insert(arrow.to, arrow.fate) == Some(arrow.fate);
                run.arrows.extend(same.then_some(at));
            }
        } else if let Some(asks) = role_that_is_answered(arrow.kind)
            && let Some(run) = run_at(&mut runs[arrow.to], asks, arrow.last())
        {
            answers.entry(arrow.to).or_default().extend(arrow.arrived);
            let again = !run.answered.insert((arrow.from, arrow.count));
            run.arrows.extend((again && arrow.fate != Fate::Lost).then_some(at));
        }
    }
    let mut folded = Folded { repeats: Vec::new(), records: BTreeSet::new() };
    for (lane, run) in
        runs.into_iter().enumerate().flat_map(|(lane, runs)| runs.into_iter().map(move |run| (lane, run)))
    {
        let asked = || run.arrows.iter().map(|at| &arrows[*at]).filter(|arrow| arrow.from == lane);
        let moments: BTreeSet<Time> = asked().map(Arrow::first).collect();
        let (Some(begin), Some(end), Some(first)) =
            (moments.first().copied(), moments.last().copied(), asked().map(|arrow| arrow.record).min())
        else {
            continue;
        };
        let times = moments.len() as u64;
        if times < WORTH_FOLDING {
            continue;
        }
        let mut answers = answers.get(&lane).into_iter().flatten();
        folded.repeats.push(Repeats {
            lane,
            begin,
            end,
            times,
            stands: run.role == RoleName::Candidate,
            term: asked().map(|arrow| arrow.term).max().unwrap_or_default(),
            is_answered: answers.any(|time| begin <= *time && *time <= end),
            record: first,
        });
        run.arrows.iter().for_each(|at| arrows[*at].is_routine = true);
        folded.records.extend(run.records);
    }
    folded.repeats.sort_by_key(|repeats| (repeats.begin, repeats.lane));
    folded
}

fn role_that_asks(kind: MessageKind) -> Option<RoleName> {
    match kind {
        MessageKind::PreVote => Some(RoleName::PreCandidate),
        MessageKind::Vote => Some(RoleName::Candidate),
        _ => None,
    }
}

fn role_that_is_answered(kind: MessageKind) -> Option<RoleName> {
    match kind {
        MessageKind::PreVoteReply => Some(RoleName::PreCandidate),
        MessageKind::VoteReply => Some(RoleName::Candidate),
        _ => None,
    }
}

/// The run of this role that a moment belongs to. One that ends at a moment ends with what happens then.
fn run_at(runs: &mut [Run], role: RoleName, time: Time) -> Option<&mut Run> {
    let after = runs.partition_point(|run| run.begin <= time);
    runs[..after].iter_mut().rev().find(|run| run.role == role).filter(|run| time <= run.end)
}

/// When a server campaigned.
fn runs(records: &[Record], node: NodeId) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut is_open = false;
    for (at, record) in records.iter().enumerate().filter(|(_, record)| record.node == node) {
        let Some(run) = runs.last_mut().filter(|_| is_open) else {
            if let Event::Raft(RaftEvent::RoleChanged { role, .. }) = record.event {
                is_open = campaigns(role);
                runs.extend(is_open.then(|| Run::new(record.time, role)));
            }
            continue;
        };
        match record.event {
            Event::Raft(RaftEvent::RoleChanged { role, why: RoleChange::ElectionTimeout, .. })
                if role == run.role =>
            {
                run.records.push(at);
            }
            Event::Raft(RaftEvent::RoleChanged { role, .. }) => {
                run.end = record.time;
                is_open = campaigns(role);
                runs.extend(is_open.then(|| Run::new(record.time, role)));
            }
            Event::Disk(DiskEvent::Opened { .. }) | Event::Deed(Deed::Crash) => {
                run.end = record.time;
                is_open = false;
            }
            // Its own voice, and the terms that it takes for that, once more.
            Event::Raft(RaftEvent::VoteReceived { from, .. }) if from == node && !run.records.is_empty() => {
                run.records.push(at);
            }
            Event::Raft(RaftEvent::TermChanged { from: None, .. }) if !run.records.is_empty() => {
                run.records.push(at);
            }
            _ => {}
        }
    }
    runs
}

fn campaigns(role: RoleName) -> bool {
    matches!(role, RoleName::PreCandidate | RoleName::Candidate)
}

impl Run {
    fn new(begin: Time, role: RoleName) -> Run {
        Run {
            begin,
            end: Time::NEVER,
            role,
            records: Vec::new(),
            arrows: Vec::new(),
            fared: BTreeMap::new(),
            answered: BTreeSet::new(),
        }
    }
}
