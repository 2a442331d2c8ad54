//! Scenarios that the laboratory plays: texts in the language of the scripts.

use jangada_sim::script::command::Command;
use jangada_trace::language::Language;

use super::words::{self, Word};

/// Name, what it shows, and the text.
const SCENARIOS: &[(&str, &str, &str)] = &[
    (
        "kill-the-leader",
        "a killed leader is replaced, and returns as a follower (S36)",
        include_str!("../../../../sim/scripts/lab/kill-the-leader.txt"),
    ),
    (
        "kill-the-leader-for-good",
        "the other four go on without it (S37)",
        include_str!("../../../../sim/scripts/lab/kill-the-leader-for-good.txt"),
    ),
    (
        "two-leaders-killed",
        "three of five are left, and still elect (S38)",
        include_str!("../../../../sim/scripts/lab/two-leaders-killed.txt"),
    ),
    (
        "three-killed",
        "two of five are left, and never elect; in both profiles (S39)",
        include_str!("../../../../sim/scripts/lab/three-killed.txt"),
    ),
    (
        "returning-follower",
        "a follower was away for a while: what PreVote prevents; in both profiles (G74)",
        include_str!("scenarios/returning-follower.txt"),
    ),
];

/// A line for each.
pub fn list(language: Language) -> Vec<String> {
    SCENARIOS.iter().map(|(name, shows, _)| format!("  {name:<26} {}", language.of(shows))).collect()
}

/// What they show.
#[cfg(test)]
pub fn shown() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(_, shows, _)| *shows)
}

/// The names.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(name, ..)| *name)
}

/// The text of this name.
pub fn text(name: &str) -> Option<&'static str> {
    SCENARIOS.iter().find(|(known, ..)| *known == name).map(|(.., text)| *text)
}

/// The lines that are commands or comments: what happened once, behind `---`, is left out.
pub fn commands(text: &str) -> impl Iterator<Item = &str> {
    numbered(text).map(|(_, line)| line)
}

/// The same, each with the number of its line, from 1 on.
pub fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut happened = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let line = line.trim();
        if line == "---" {
            happened = true;
        } else if line.is_empty() {
            happened = false;
        }
        !happened && !line.is_empty()
    })
}

/// How many servers the first world of a script has, and which seed, as far as it says so before anything happens.
pub fn first_world(text: &str) -> (Option<u64>, Option<u64>) {
    let (mut servers, mut seed) = (None, None);
    for line in commands(text) {
        match words::parse(Language::English, line) {
            Ok(Some(Word::Script(Command::Servers(count)))) if servers.is_none() => servers = Some(count),
            Ok(Some(Word::Script(Command::Seed(number)))) => seed = Some(number),
            Ok(Some(Word::Script(Command::Profile(_) | Command::Config { .. } | Command::Log { .. })))
            | Ok(None) => {}
            Ok(Some(_)) | Err(_) => break,
        }
    }
    (servers, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_scenario_can_be_read() {
        for name in names() {
            for line in commands(text(name).unwrap()) {
                words::parse(Language::English, line).unwrap_or_else(|why| panic!("{name}: {line}: {why}"));
            }
        }
        assert!(text("nothing").is_none());
    }

    #[test]
    fn what_happened_once_is_no_command() {
        let lines: Vec<&str> = commands("# a\nset d 8\n---\n+0.1 n1\n\nget d\n").collect();
        assert_eq!(lines, ["# a", "set d 8", "get d"]);
    }
}
