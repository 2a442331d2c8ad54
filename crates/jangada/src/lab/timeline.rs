//! `timeline`: what has just happened here, as a picture at the prompt or in a file.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jangada_node::event::Record;
use jangada_raft::types::Time;
use jangada_server::rig::Tap;
use jangada_sim::script::duration;
use jangada_trace::deeds::Standing;
use jangada_trace::language::Language;
use jangada_trace::merge::Source;
use jangada_trace::names::Names;
use jangada_trace::say;
use jangada_trace::timeline::{Topic, Topics};

use crate::timeline::{Kind, Look, Recording, Window, plain_kind, terminal_width};

/// What is shown if nobody says how much.
const USUAL: Duration = Duration::from_secs(1);
/// Rows at the prompt; a file has all of them.
const MOST_ROWS: usize = 200;
/// Records that are kept of all servers together: some 19 MB.
const KEPT: usize = 1 << 18;

/// What was asked for: `timeline [last 1s] [events LIST] [to FILE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// So much before now.
    pub last: Duration,
    /// Events about these.
    pub topics: Topics,
    /// Into this file.
    pub file: Option<PathBuf>,
}

/// Reads the words behind `timeline`.
///
/// # Errors
/// What is wrong, in a few words.
pub fn parse(language: Language, words: &[&str]) -> Result<Ask, String> {
    let mut ask = Ask { last: USUAL, topics: Topics::default(), file: None };
    let mut rest = words;
    loop {
        rest = match rest {
            [] => return Ok(ask),
            ["last", span, rest @ ..] => {
                ask.last = duration(span)
                    .ok_or_else(|| say!(language, "`{span}` is no time, such as 500ms or 2s", span))?;
                rest
            }
            ["events", topics, rest @ ..] => {
                ask.topics = Topics::parse(topics).map_err(|word| no_topic(language, &word))?;
                rest
            }
            ["events"] => {
                return Err(say!(
                    language,
                    "`events` wants to know which: {kinds}",
                    kinds = topics_there_are()
                ));
            }
            ["last"] => {
                return Err(say!(language, "`last` wants a time behind it, such as 500ms or 2s"));
            }
            ["to"] => return Err(say!(language, "`to` wants the name of a file behind it, such as run.svg")),
            ["to", file, rest @ ..] => {
                let path = PathBuf::from(file);
                if Kind::of_file(&path).is_none() {
                    return Err(say!(
                        language,
                        "`{file}`: a name ends in .svg, .html, .txt, .jsonl, or .json for Perfetto",
                        file
                    ));
                }
                ask.file = Some(path);
                rest
            }
            [span, rest @ ..] if duration(span).is_some() => {
                ask.last = duration(span).unwrap_or(USUAL);
                rest
            }
            [word, ..] => return Err(say!(language, "`{word}` is not understood here", word)),
        }
    }
}

fn no_topic(language: Language, word: &str) -> String {
    say!(
        language,
        "`{word}` is no kind of event; there are {kinds}, and `+` or `-` before them adds to the usual ones or takes away",
        word,
        kinds = topics_there_are()
    )
}

fn topics_there_are() -> String {
    let names: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
    format!("{}, all", names.join(", "))
}

/// Paints what was recorded; gives back what is to be said.
///
/// # Errors
/// Nothing happened, or the file cannot be written: a sentence.
pub fn answer(language: Language, records: Vec<Record>, ask: &Ask) -> Result<Vec<String>, String> {
    let source = Source { records, shift_ns: None };
    let recording = Recording::of("jangada lab".to_owned(), vec![source], Names::new());
    if recording.scene.records.is_empty() {
        return Err(say!(language, "nothing has happened yet"));
    }
    let window = Window { last: Some(ask.last), topics: ask.topics, language, ..Window::default() };
    let view = window.of(&recording.scene);
    let Some(file) = &ask.file else {
        let look = Look { kind: plain_kind(), width: Some(terminal_width()), max_rows: MOST_ROWS };
        let (picture, left_out) = recording.paint(&view, look);
        let mut lines: Vec<String> = picture.lines().map(str::to_owned).collect();
        if left_out > 0 {
            lines.push(say!(
                language,
                "  … {left_out} more rows: `timeline last 300ms`, or `timeline to run.html`",
                left_out
            ));
        }
        return Ok(lines);
    };
    let kind = Kind::of_file(file).unwrap_or(Kind::Text);
    let (picture, _) = recording.paint(&view, Look { kind, width: None, max_rows: usize::MAX });
    let shown = file.display();
    std::fs::write(file, picture)
        .map_err(|why| say!(language, "{shown}: {why}; nothing was saved", shown, why))?;
    Ok(vec![format!("{shown}: {}", recording.summary(language))])
}

/// What all servers of a laboratory did last.
#[derive(Clone, Debug, Default)]
pub struct Reel(Arc<Mutex<Frames>>);

#[derive(Debug, Default)]
struct Frames {
    records: VecDeque<Record>,
    /// What had been done when the first of them was written.
    before: Standing,
}

impl Reel {
    /// A tap that keeps what another one sees.
    pub fn tap(&self, other: Tap) -> Tap {
        let reel = self.clone();
        Arc::new(move |record| {
            reel.keep(record);
            other(record);
        })
    }

    /// Keeps one more.
    pub fn keep(&self, record: &Record) {
        let mut frames = self.frames();
        if frames.records.len() == KEPT
            && let Some(oldest) = frames.records.pop_front()
        {
            frames.before.see_record(&oldest);
        }
        frames.records.push_back(*record);
    }

    /// Those that are kept, and before them what had been done by then.
    pub fn records(&self) -> Vec<Record> {
        let frames = self.frames();
        let first = frames.records.front().map_or(Time::ZERO, |record| record.time);
        frames.before.records(first).into_iter().chain(frames.records.iter().copied()).collect()
    }

    /// Other servers take the place of these.
    pub fn clear(&self) {
        *self.frames() = Frames::default();
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_asked_for() {
        let usual = Ask { last: USUAL, topics: Topics::default(), file: None };
        let parse = |words: &[&str]| super::parse(Language::English, words);
        assert_eq!(parse(&[]), Ok(usual.clone()));
        assert_eq!(parse(&["last", "5s"]), parse(&["5s"]));
        let saved = Ask { last: Duration::from_secs(5), file: Some("run.svg".into()), ..usual };
        assert_eq!(parse(&["last", "5s", "to", "run.svg"]), Ok(saved));
        assert!(parse(&["events", "votes,log"]).is_ok());
        for wrong in [&["last"][..], &["to", "run.doc"], &["last", "soon"], &["events", "moods"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        for (wrong, says) in [
            (
                &["events", "moods"][..],
                "`moods` is no kind of event; there are elections, terms, votes, messages",
            ),
            (&["events", "votes,moods"], "`moods` is no kind"),
            (&["events"], "starts, timers, deeds, all"),
            (&["last"], "`last` wants a time behind it"),
            (&["last", "5"], "`5` is no time, such as 500ms or 2s"),
            (&["last", "to", "run.svg"], "`to` is no time"),
            (&["2s", "to"], "`to` wants the name of a file"),
        ] {
            let why = parse(wrong).unwrap_err();
            assert!(why.contains(says), "{wrong:?}: {why}");
        }
    }
}
