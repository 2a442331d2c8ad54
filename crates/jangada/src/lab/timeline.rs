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

/// What is shown at the prompt if nobody says how much; a file holds all that is kept.
const USUAL: Duration = Duration::from_secs(1);
/// Rows at the prompt; a file has all of them.
const MOST_ROWS: usize = 200;
/// Records that are kept of all servers together: some 19 MB.
const KEPT: usize = 1 << 18;

/// What was asked for: `timeline [last 1s] [from 1.2s] [until 1.5s] [events LIST] [even] [to FILE]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// So much before the end.
    pub last: Option<Duration>,
    /// From this time on.
    pub from: Option<Duration>,
    /// The end; otherwise that is now.
    pub until: Option<Duration>,
    /// One scale from end to end, however little happens.
    pub even: bool,
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
    let mut ask = Ask::default();
    let mut rest = words;
    loop {
        rest = match rest {
            [] => return ask.checked(language),
            [word @ ("last" | "from" | "until"), span, rest @ ..] => {
                let time = duration(span.trim_start_matches('+'))
                    .ok_or_else(|| say!(language, "`{span}` is no time, such as 500ms or 2s", span))?;
                match *word {
                    "last" => ask.last = Some(time),
                    "from" => ask.from = Some(time),
                    _ => ask.until = Some(time),
                }
                rest
            }
            ["events", topics, rest @ ..] => {
                ask.topics = Topics::parse(topics).map_err(|word| no_topic(language, &word))?;
                rest
            }
            ["even", rest @ ..] => {
                ask.even = true;
                rest
            }
            ["events"] => {
                return Err(say!(
                    language,
                    "`events` wants to know which: {kinds}",
                    kinds = topics_there_are()
                ));
            }
            [word @ ("last" | "from" | "until")] => {
                return Err(say!(language, "`{word}` wants a time behind it, such as 500ms or 2s", word));
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
                ask.last = duration(span);
                rest
            }
            [word, ..] => return Err(say!(language, "`{word}` is not understood here", word)),
        }
    }
}

impl Ask {
    /// What keeps it from being carried out, whatever happened.
    fn checked(self, language: Language) -> Result<Ask, String> {
        if self.last.is_some() && self.from.is_some() {
            return Err(say!(
                language,
                "`last` and `from` both say where it begins: one of them is enough; `until` says where it ends"
            ));
        }
        if self.from.is_some_and(|from| self.until.is_some_and(|until| from >= until)) {
            return Err(say!(language, "`from` is not before `until`: nothing lies between them"));
        }
        Ok(self)
    }

    fn window(&self, language: Language) -> Window {
        // A file is for looking at later, and may be all that is left.
        let usual = (self.from.is_none() && self.file.is_none()).then_some(USUAL);
        let last = self.last.or(usual);
        Window { from: self.from, to: self.until, last, topics: self.topics, language, even: self.even }
    }

    /// Nobody said which part.
    fn is_of_any_part(&self) -> bool {
        self.last.is_none() && self.from.is_none() && self.until.is_none()
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
    let recording = recording(records);
    if recording.scene.records.is_empty() {
        return Err(say!(language, "nothing has happened yet"));
    }
    let view = ask.window(language).within(&recording.scene)?;
    let nothing = recording.about_nothing(&view).map(|(sentence, last)| {
        let from = format!("{}.{}", last.0 / 1_000_000_000, last.0 / 100_000_000 % 10);
        say!(
            language,
            "{sentence}; more: `timeline from {from}s`, `timeline events +heartbeats`, or all: `timeline to run.html`",
            sentence,
            from
        )
    });
    let Some(file) = &ask.file else {
        if let Some(nothing) = nothing {
            return Ok(vec![nothing]);
        }
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
    let mut lines = vec![format!("{shown}: {}", recording.summary(language, &view))];
    lines.extend(nothing);
    if ask.is_of_any_part() {
        lines.push(say!(
            language,
            "  that is all there is; a part: `timeline last 2s to {shown}`, `timeline from {from}s until {until}s to {shown}`",
            shown,
            from = tenths(view.from.0.midpoint(view.to.0)),
            until = tenths(view.to.0)
        ));
    }
    Ok(lines)
}

fn recording(records: Vec<Record>) -> Recording {
    Recording::of("jangada lab".to_owned(), vec![Source { records, shift_ns: None }], Names::new())
}

/// All that was recorded as a picture for reports.
pub fn picture(language: Language, records: Vec<Record>) -> String {
    let recording = recording(records);
    let view = Window { language, ..Window::default() }.of(&recording.scene);
    recording.paint(&view, Look { kind: Kind::Svg, width: None, max_rows: usize::MAX }).0
}

/// Nanoseconds in seconds, rounded up to a tenth.
fn tenths(nanos: u64) -> String {
    let tenths = nanos.div_ceil(100_000_000);
    format!("{}.{}", tenths / 10, tenths % 10)
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
        let parse = |words: &[&str]| super::parse(Language::English, words);
        assert_eq!(parse(&[]), Ok(Ask::default()));
        assert_eq!(parse(&["last", "5s"]), parse(&["5s"]));
        let saved =
            Ask { last: Some(Duration::from_secs(5)), file: Some("run.svg".into()), ..Ask::default() };
        assert_eq!(parse(&["last", "5s", "to", "run.svg"]), Ok(saved));
        let part = parse(&["from", "+0.5s", "until", "2s"]).unwrap();
        assert_eq!((part.from, part.until), (duration("500ms"), duration("2s")));
        assert!(parse(&["events", "votes,log"]).is_ok());
        for wrong in [
            &["last"][..],
            &["to", "run.doc"],
            &["last", "soon"],
            &["events", "moods"],
            &["from", "2s", "until", "1s"],
        ] {
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
            (&["2s", "from", "1s"], "one of them is enough"),
        ] {
            let why = parse(wrong).unwrap_err();
            assert!(why.contains(says), "{wrong:?}: {why}");
        }
    }
}
