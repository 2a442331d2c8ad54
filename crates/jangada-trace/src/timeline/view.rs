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
}

impl View {
    /// All of it, with the usual topics.
    #[must_use]
    pub fn of(scene: &Scene) -> View {
        View { from: scene.begin, to: scene.end, topics: Topics::default(), language: Language::English }
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
