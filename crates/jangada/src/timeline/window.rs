//! Which part of a recording is shown.

use std::time::Duration;

use jangada_raft::types::Time;
use jangada_trace::language::Language;
use jangada_trace::timeline::{Scene, Topics, View};

/// Which part of a recording is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// From this time.
    pub from: Option<Duration>,
    /// To this time.
    pub to: Option<Duration>,
    /// So much before the end.
    pub last: Option<Duration>,
    /// Events about these.
    pub topics: Topics,
    /// What pictures say things in.
    pub language: Language,
}

impl Window {
    /// The part of this scene.
    pub fn of(&self, scene: &Scene) -> View {
        let time = |duration: Duration| Time(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        let to = self.to.map_or(scene.end, time).min(scene.end);
        let from = match (self.from, self.last) {
            (Some(from), _) => time(from),
            (None, Some(last)) => Time(to.0.saturating_sub(time(last).0)),
            (None, None) => scene.begin,
        };
        View { from: from.max(scene.begin), to, topics: self.topics, language: self.language }
    }
}
