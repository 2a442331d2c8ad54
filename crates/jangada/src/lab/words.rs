//! The words that only a laboratory knows. All others are the language of the scripts.

use std::time::Duration;

use jangada_sim::script::command::{Change, Command, Server};
use jangada_sim::script::{self, help};
use jangada_trace::language::Language;
use jangada_trace::say;

use super::lessons::LESSONS;

use super::timeline;

/// What is typed at the laboratory's prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The scripts' language.
    Script(Command),
    /// `leader`: who leads.
    Leader,
    /// `status`: how each server is.
    Status,
    /// `log N`: what a server has in its log.
    Log(Server),
    /// `scenario [NAME]`: plays one, or tells which there are.
    Scenario(Option<String>),
    /// `save FILE`: what was typed, as a script.
    Save(String),
    /// `timeline [last 1s|from T|until T] [to FILE]`: what has just happened, as a picture.
    Timeline(timeline::Ask),
    /// `menu`: the numbered menu, or back.
    Menu,
    /// `help [COMMAND]`.
    Help(Option<String>),
    /// Through the time of a made-up world.
    Travel(Travel),
    /// `speed N`: slow motion, in thousandths of real time; `speed off`.
    Speed(Option<u64>),
    /// `lesson …`: guided tasks.
    Lesson(Lesson),
    /// `shutdown`: all servers end, and so does the laboratory; `exit` and `quit` as well.
    Exit,
}

/// Through the time of a made-up world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Travel {
    /// `step [N]`: the next so many things happen.
    Step(u64),
    /// `back [N]`: as it was so many commands ago.
    Back(u64),
    /// `goto TIME`: as it is at this time, before or behind now.
    Time(Duration),
    /// `goto NAME`: as it was when this fork was made.
    Name(String),
    /// `fork [NAME]`: this moment can be returned to.
    Fork(Option<String>),
}

/// What is wanted of the lessons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// `lesson`: which there are, and which are done.
    List,
    /// `lesson N`: begins one.
    Begin(usize),
    /// `lesson check`: is the task done?
    Check,
    /// `lesson hint`: a line to type.
    Hint,
    /// `lesson again`: this lesson from its beginning.
    Again,
    /// `lesson next`: the one after it.
    Next,
    /// `lesson stop`: back to a laboratory without tasks.
    Stop,
}

/// The laboratory's own words: how each is written, what it does, and a line that can be read.
#[rustfmt::skip]
pub const WORDS: &[(&str, &str, &str)] = &[
    ("timeout S", "the server's election timeout is over now (`campaign`)", "timeout 3"),
    ("leader", "who leads", "leader"),
    ("status", "how each server is, and where clients reach it", "status"),
    ("log [S]", "the terms in all logs, or what is in one of them", "log 2"),
    ("scenario [NAME]", "plays one, or tells which there are", "scenario kill-the-leader"),
    ("lesson [N|check|hint|again|next|stop]", "tasks that end in something checked; alone: which there are", "lesson 3"),
    ("save FILE", "what was typed until now, as a script", "save session.txt"),
    ("timeline [last 1s|from T|until T] [events LIST] [to FILE]", "what has just happened: lanes and arrows, here; all of it in a .svg or .html", "timeline last 2s"),
    ("menu", "the Go prototype's numbered menu, and back", "menu"),
    ("step [N]", "the next thing happens, or N things (`--sim`)", "step 3"),
    ("back [N]", "as it was before the last command, or the last N (`--sim`)", "back"),
    ("goto TIME|NAME", "as it is at this time, or was at this fork (`--sim`)", "goto 1.204s"),
    ("fork [NAME]", "this moment can be returned to by `goto NAME` (`--sim`)", "fork before"),
    ("speed N|off", "slow motion: a made-up second takes 1/N real ones (`--sim`)", "speed 0.1"),
    ("shutdown", "all servers end, and the laboratory with them (also `exit`, `quit`)", "shutdown"),
];

/// Reads one line. An empty line, or a comment, is no word.
///
/// # Errors
/// A sentence that says what is wrong, and what would be right.
pub fn parse(language: Language, line: &str) -> Result<Option<Word>, String> {
    let bare = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = bare.split_whitespace().collect();
    let Some((first, rest)) = words.split_first() else { return Ok(None) };
    let usage = |why: String| say!(language, "{why} (usage: `{usage}`)", why, usage = usage_of(first));
    Ok(Some(match (*first, rest) {
        ("timeout", [server]) => return script(language, &format!("campaign {server}")),
        ("leader", []) => Word::Leader,
        ("status", []) => Word::Status,
        ("log", []) => return script(language, "show log"),
        ("log", [server]) => Word::Log(self::server(language, server).map_err(usage)?),
        ("roles" | "members" | "network", []) => return script(language, &format!("show {first}")),
        ("scenario", []) => Word::Scenario(None),
        ("scenario", [name]) => Word::Scenario(Some((*name).to_owned())),
        ("speed", ["off"]) => Word::Speed(None),
        ("speed", [factor]) => Word::Speed(Some(speed(language, factor).map_err(usage)?)),
        ("lesson", rest) => Word::Lesson(lesson(language, rest).map_err(usage)?),
        ("save", [file]) => Word::Save((*file).to_owned()),
        ("timeline", more) => Word::Timeline(timeline::parse(language, more).map_err(usage)?),
        ("menu", []) => Word::Menu,
        ("step", []) => Word::Travel(Travel::Step(1)),
        ("step", [count]) => Word::Travel(Travel::Step(number(language, count).map_err(usage)?)),
        ("back", []) => Word::Travel(Travel::Back(1)),
        ("back", [count]) => Word::Travel(Travel::Back(number(language, count).map_err(usage)?)),
        ("goto", [point]) => Word::Travel(goto(point)),
        ("fork", []) => Word::Travel(Travel::Fork(None)),
        ("fork", [name]) => Word::Travel(fork(language, name).map_err(usage)?),
        ("shutdown" | "exit" | "quit", []) => Word::Exit,
        ("help", []) => Word::Help(None),
        ("help", [of]) => Word::Help(Some((*of).to_owned())),
        (
            "timeout" | "leader" | "status" | "speed" | "scenario" | "save" | "menu" | "step" | "back"
            | "goto" | "fork" | "shutdown",
            _,
        ) => {
            return Err(usage(say!(language, "`{first}` is not written so", first)));
        }
        _ => return script(language, line),
    }))
}

fn script(language: Language, line: &str) -> Result<Option<Word>, String> {
    let read = script::parse_in(language, line).map_err(|why| with_own_words(language, line, why))?;
    Ok(read.map(Word::Script))
}

/// A word that the scripts do not know may be almost one of ours.
fn with_own_words(language: Language, line: &str, why: String) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    let known = help::of(first).is_some();
    let near = WORDS.iter().map(|(usage, ..)| verb(usage)).find(|verb| {
        let same = verb.chars().zip(first.chars()).filter(|(a, b)| a == b).count();
        first.len() > 2 && same + 1 >= verb.len().max(first.len())
    });
    match near {
        Some(near) if !known && !why.contains("; ") => {
            say!(language, "{why}; did you mean `{near}`?", why, near)
        }
        _ if why == say!(language, "`{name}` is no command{near}", name = first, near = "") => {
            say!(language, "{why}: `help` lists them", why)
        }
        _ => why,
    }
}

fn verb(usage: &str) -> &str {
    usage.split(' ').next().unwrap_or(usage)
}

fn usage_of(word: &str) -> &str {
    let own = WORDS.iter().map(|(usage, ..)| *usage).find(|usage| verb(usage) == word);
    own.or_else(|| help::of(word).map(|help| help.usage)).unwrap_or(word)
}

/// How a word is written, and what it does.
pub fn help_of(word: &str) -> Option<(&'static str, &'static str)> {
    let own = WORDS.iter().find(|(usage, ..)| verb(usage) == word).map(|(usage, does, _)| (*usage, *does));
    own.or_else(|| help::of(word).map(|help| (help.usage, help.does)))
}

/// `0.1`, in thousandths.
fn speed(language: Language, text: &str) -> Result<u64, String> {
    let thousandths = text.parse::<f64>().ok().filter(|factor| (0.001..=1_000.0).contains(factor));
    let thousandths = thousandths.map(|factor| (factor * 1_000.0).round());
    // Between 1 and 1,000,000: every one of them is a whole number.
    let read = thousandths.and_then(|number| format!("{number}").parse().ok());
    read.ok_or_else(|| {
        say!(language, "`{text}` is no speed: `1` is as in reality, `0.1` ten times slower", text)
    })
}

fn lesson(language: Language, rest: &[&str]) -> Result<Lesson, String> {
    Ok(match rest {
        [] => Lesson::List,
        ["check"] => Lesson::Check,
        ["hint"] => Lesson::Hint,
        ["again"] => Lesson::Again,
        ["next"] => Lesson::Next,
        ["stop"] => Lesson::Stop,
        [number] => match number.parse() {
            Ok(number) if (1..=LESSONS).contains(&number) => Lesson::Begin(number),
            Ok(_) | Err(_) => {
                return Err(say!(
                    language,
                    "there is no lesson `{number}`: there are 1 to {last}",
                    number,
                    last = LESSONS
                ));
            }
        },
        _ => return Err(say!(language, "`{first}` is not written so", first = "lesson")),
    })
}

fn number(language: Language, text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| say!(language, "`{text}` is no number from 1 to 100000", text))
}

/// A time, `1.204s` or `+1.204`, or the name of a fork.
fn goto(point: &str) -> Travel {
    let bare = point.strip_prefix('+').unwrap_or(point);
    let with_unit = if bare.ends_with('s') { bare.to_owned() } else { format!("{bare}s") };
    match script::parse(&format!("run {with_unit}")) {
        Ok(Some(Command::Run(time))) => Travel::Time(time),
        _ => Travel::Name(point.to_owned()),
    }
}

/// A name for this moment, which nothing else may be called: `goto` would not lead there, or nobody would know where.
fn fork(language: Language, name: &str) -> Result<Travel, String> {
    let is_a_server = !matches!(server(language, name), Ok(Server::Named(_)) | Err(_));
    let is_a_time = matches!(goto(name), Travel::Time(_));
    match is_a_server || is_a_time {
        true => Err(say!(language, "`{name}` already means something: choose another name", name)),
        false => Ok(Travel::Fork(Some(name.to_owned()))),
    }
}

fn server(language: Language, text: &str) -> Result<Server, String> {
    match script::parse_in(language, &format!("why {text}"))? {
        Some(Command::Why(server)) => Ok(server),
        _ => Err(say!(language, "`{text}` is no server", text)),
    }
}

/// The servers that a command names to do something to them.
pub fn named(command: &Command) -> &[Server] {
    match command {
        Command::Crash(servers)
        | Command::Restart(servers)
        | Command::Pause(servers)
        | Command::Resume(servers)
        | Command::Snapshot(servers)
        | Command::Stall(servers)
        | Command::Unstall(servers)
        | Command::Isolate(servers)
        | Command::Disconnect(servers)
        | Command::Reconnect(servers)
        | Command::Remove(Change { servers, .. }) => servers,
        Command::Campaign(server) | Command::Why(server) | Command::Transfer { to: server, .. } => {
            std::slice::from_ref(server)
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_an_example_that_can_be_read() {
        for (usage, _, example) in WORDS {
            assert!(matches!(parse(Language::English, example), Ok(Some(_))), "{example}");
            assert_eq!(verb(usage), verb(example));
        }
        for help in help::COMMANDS {
            assert!(parse(Language::English, help.example).is_ok(), "{}", help.example);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_would_be_right() {
        for (line, says) in [
            ("xyzzy", "`xyzzy` is no command: `help` lists them"),
            ("crsh 2", "did you mean `crash`?"),
            ("statis", "did you mean `status`?"),
            ("crash 0", "`0` is no server"),
            ("save", "`save` is not written so (usage: `save FILE`)"),
            ("fork leader", "`leader` already means something: choose another name"),
            ("fork all", "`all` already means something"),
            ("fork n3", "`n3` already means something"),
            ("fork 3", "`3` already means something"),
            ("fork 1.5s", "`1.5s` already means something"),
            ("timeline events moods", "`moods` is no kind of event; there are elections,"),
            ("timeline last", "`last` wants a time"),
        ] {
            let why = parse(Language::English, line).expect_err(line);
            assert!(why.contains(says), "{line}: {why}");
        }
        assert_eq!(parse(Language::English, "  # nothing"), Ok(None));
        assert_eq!(parse(Language::English, ""), Ok(None));
    }

    #[test]
    fn a_word_may_stand_for_a_command() {
        assert_eq!(
            parse(Language::English, "timeout n3"),
            Ok(Some(Word::Script(Command::Campaign(Server::Number(3)))))
        );
        assert_eq!(parse(Language::English, "log n3"), Ok(Some(Word::Log(Server::Number(3)))));
        assert_eq!(parse(Language::English, "log"), parse(Language::English, "show log"));
        let time = Travel::Time(Duration::from_millis(1_204));
        assert_eq!(parse(Language::English, "goto 1.204s"), Ok(Some(Word::Travel(time.clone()))));
        assert_eq!(parse(Language::English, "goto +1.204"), Ok(Some(Word::Travel(time))));
        assert_eq!(
            parse(Language::English, "goto there"),
            Ok(Some(Word::Travel(Travel::Name("there".into()))))
        );
        assert!(parse(Language::English, "back 0").is_err());
    }
}
