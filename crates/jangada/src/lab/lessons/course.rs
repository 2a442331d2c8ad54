//! What lessons say, in each language.

use std::sync::OnceLock;

use jangada_trace::language::{Language, fill};
use serde::Deserialize;

use super::scene::Facts;

/// All lessons in one language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// In the order of [`super::PLAN`].
    pub lesson: Vec<Text>,
}

/// What a lesson says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Its name.
    pub title: String,
    /// Where the paper or the thesis has it.
    pub source: String,
    /// What it is about.
    pub story: String,
    /// What is to be done.
    pub task: Vec<Task>,
}

/// Something to be done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What.
    pub text: String,
    /// How, for whoever does not find it.
    pub hint: String,
    /// What was seen when it was done, with places for what the check found.
    pub done: String,
}

impl Task {
    /// What was seen.
    pub fn done(&self, facts: &Facts) -> String {
        let with: Vec<(&str, &dyn std::fmt::Display)> =
            facts.iter().map(|(name, value)| (*name, value as &dyn std::fmt::Display)).collect();
        fill(&self.done, &with)
    }
}

/// The lessons in this language.
pub fn course(language: Language) -> &'static Course {
    static COURSES: OnceLock<[Course; 2]> = OnceLock::new();
    let read = |text: &str| toml::from_str(text).expect("a test reads the course");
    let [english, portuguese] =
        COURSES.get_or_init(|| [read(include_str!("en.toml")), read(include_str!("pt.toml"))]);
    match language {
        Language::English => english,
        Language::Portuguese => portuguese,
    }
}

#[cfg(test)]
mod tests {
    use super::super::PLAN;
    use super::*;
    use std::collections::BTreeSet;

    /// What stands between these in a text.
    fn between(text: &str, begin: char, end: char) -> BTreeSet<String> {
        let parts = text.split(begin).skip(1);
        parts.filter_map(|part| Some(part.split_once(end)?.0.to_owned())).collect()
    }

    /// Every other part of a text between back-quotes: the commands in it.
    fn commands(text: &str) -> BTreeSet<&str> {
        text.split('`').skip(1).step_by(2).collect()
    }

    #[test]
    fn both_languages_have_the_same_lessons_tasks_places_and_commands() {
        let (english, portuguese) = (course(Language::English), course(Language::Portuguese));
        assert_eq!((english.lesson.len(), portuguese.lesson.len()), (PLAN.len(), PLAN.len()));
        for ((en, pt), plan) in english.lesson.iter().zip(&portuguese.lesson).zip(&PLAN) {
            assert_eq!(
                (en.task.len(), pt.task.len()),
                (plan.checks.len(), plan.checks.len()),
                "{}",
                en.title
            );
            assert_ne!(en.title, pt.title);
            assert_eq!(commands(&en.story), commands(&pt.story), "{}", en.title);
            for (en, pt) in en.task.iter().zip(&pt.task) {
                assert_eq!(between(&en.done, '{', '}'), between(&pt.done, '{', '}'), "{}", en.done);
                assert!(en.text != pt.text && en.done != pt.done, "{}", en.text);
                for (en, pt) in [(&en.text, &pt.text), (&en.hint, &pt.hint), (&en.done, &pt.done)] {
                    assert_eq!(commands(en), commands(pt), "{en}");
                }
            }
        }
    }
}
