//! Which part of a scene is shown.

use jangada_node::event::{Event, Record};
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::Time;

use super::repeats::Repeats;
use super::scene::{Arrow, Scene};
use super::topic::{Topic, Topics};
use crate::language::Language;

/// A part of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// From here.
    pub from: Time,
    /// To here.
    pub to: Time,
    /// Events about these.
    pub topics: Topics,
    /// What pictures of it say things in.
    pub language: Language,
    /// Stretches in which nothing is to be seen are folded, where time has a scale.
    pub folds_time: bool,
}

impl View {
    /// All of it, with the usual topics.
    #[must_use]
    pub fn of(scene: &Scene) -> View {
        View {
            from: scene.begin,
            to: scene.end,
            topics: Topics::default(),
            language: Language::English,
            folds_time: true,
        }
    }

    /// How long it is, in nanoseconds.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }

    /// Whether a moment is in it.
    #[must_use]
    pub fn has(&self, time: Time) -> bool {
        self.from <= time && time <= self.to
    }

    /// Whether an arrow is to be seen.
    #[must_use]
    pub fn shows(&self, arrow: &Arrow) -> bool {
        let topic = if arrow.is_routine { Topic::Heartbeats } else { Topic::Messages };
        self.topics.has(topic) && arrow.first() <= self.to && arrow.last() >= self.from
    }

    /// Whether a record of the scene only says again what is folded away.
    #[must_use]
    pub fn folds(&self, scene: &Scene, record: usize) -> bool {
        !self.topics.has(Topic::Heartbeats) && scene.repeated.contains(&record)
    }

    /// Whether a campaign that goes on and on is to be told in a sentence: where it is not shown itself.
    #[must_use]
    pub fn tells(&self, repeats: &Repeats) -> bool {
        let about = self.topics.has(Topic::Messages) || self.topics.has(Topic::Elections);
        about && !self.topics.has(Topic::Heartbeats) && repeats.begin <= self.to && repeats.end >= self.from
    }

    /// Whether anything that is to be seen happens in it.
    #[must_use]
    pub fn has_something(&self, scene: &Scene) -> bool {
        let first = scene.records.partition_point(|record| record.time < self.from);
        let records = scene.records.iter().enumerate().skip(first);
        records
            .take_while(|(_, record)| record.time <= self.to)
            .any(|(at, record)| self.shows_record(record) && !self.folds(scene, at))
            || scene.arrows.iter().any(|arrow| self.shows(arrow))
            || scene.lanes.iter().flat_map(|lane| &lane.quiet).any(|quiet| self.has(quiet.begin))
            || scene.weather.iter().any(|weather| self.has(weather.begin))
            || scene.repeats.iter().any(|repeats| self.tells(repeats))
    }

    /// The last thing up to its end that is to be seen, in it or before it: a record or an arrow, whichever is later.
    #[must_use]
    pub fn latest<'a>(&self, scene: &'a Scene) -> (Option<&'a Record>, Option<&'a Arrow>) {
        let before = View { from: scene.begin, ..*self };
        let is_shown = |at: usize, record: &Record| before.shows_record(record) && !before.folds(scene, at);
        let records = scene.records.iter().enumerate().rev();
        let record = records.skip_while(|(_, record)| record.time > self.to).find(|(at, r)| is_shown(*at, r));
        let arrows = scene.arrows.iter().filter(|arrow| arrow.first() <= self.to && before.shows(arrow));
        let arrow = arrows.max_by_key(|arrow| arrow.first());
        match (record, arrow) {
            (Some((_, record)), Some(arrow)) if record.time < arrow.first() => (None, Some(arrow)),
            (Some((_, record)), _) => (Some(record), None),
            (None, arrow) => (None, arrow),
        }
    }

    /// Whether a record is to be seen as a thing of its own: messages are arrows.
    #[must_use]
    pub fn shows_record(&self, record: &Record) -> bool {
        let is_message = matches!(
            record.event,
            Event::Raft(RaftEvent::Sent { .. } | RaftEvent::Received { .. } | RaftEvent::Ignored { .. })
        );
        !is_message && self.has(record.time) && self.topics.has(Topic::of(&record.event))
    }
}
