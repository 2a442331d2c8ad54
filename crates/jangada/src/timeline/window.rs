//! Which part of a recording is shown.

use std::time::Duration;

use jangada_raft::types::Time;
use jangada_trace::language::Language;
use jangada_trace::say;
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
    /// One scale from end to end: nothing is folded.
    pub even: bool,
}

impl Window {
    /// What keeps this window from being one, whatever is looked at.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(&self) -> Result<(), String> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => Err(say!(
                self.language,
                "--from {from} is later than --to {to}: nothing lies between them",
                from = exact(from),
                to = exact(to)
            )),
            _ => Ok(()),
        }
    }

    /// The part of this scene that is to be shown.
    ///
    /// # Errors
    /// It lies outside of the recording: a sentence that says what that spans.
    pub fn within(&self, scene: &Scene) -> Result<View, String> {
        let view = self.of(scene);
        if view.from <= view.to {
            return Ok(view);
        }
        if self.to.is_none() {
            return Err(say!(
                self.language,
                "nothing lies there: the recording goes from {begin} to {end} s, and what is asked for begins at {from} s",
                begin = seconds(scene.begin),
                end = seconds(scene.end),
                from = seconds(view.from)
            ));
        }
        Err(say!(
            self.language,
            "nothing lies there: the recording goes from {begin} to {end} s, and what is asked for from {from} to {to} s",
            begin = seconds(scene.begin),
            end = seconds(scene.end),
            from = seconds(view.from),
            to = self.to.map_or_else(|| seconds(scene.end), |to| format!("{:.3}", to.as_secs_f64()))
        ))
    }

    /// The part of this scene.
    pub fn of(&self, scene: &Scene) -> View {
        let time = |duration: Duration| Time(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        let to = self.to.map_or(scene.end, time).min(scene.end);
        let from = match (self.from, self.last) {
            (Some(from), _) => time(from),
            (None, Some(last)) => Time(to.0.saturating_sub(time(last).0)),
            (None, None) => scene.begin,
        };
        let from = from.max(scene.begin);
        View { from, to, topics: self.topics, language: self.language, folds_time: !self.even }
    }
}

/// A time in a sentence.
pub(super) fn seconds(time: Time) -> String {
    format!("{:.3}", time.0 as f64 / 1e9)
}

/// A time as somebody may have typed it.
fn exact(time: Duration) -> String {
    format!("{time:?}")
}
