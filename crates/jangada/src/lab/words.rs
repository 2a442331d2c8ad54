//! The words that only a laboratory knows. All others are the language of the scripts.

use std::time::Duration;

use jangada_sim::script::command::{Change, Command, Server};
use jangada_sim::script::{self, help};

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
    /// `timeline [last 1s] [to FILE]`: what has just happened, as a picture.
    Timeline(timeline::Ask),
    /// `menu`: the numbered menu, or back.
    Menu,
    /// `help [COMMAND]`.
    Help(Option<String>),
    /// Through the time of a made-up world.
    Travel(Travel),
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

/// The laboratory's own words: how each is written, what it does, and a line that can be read.
#[rustfmt::skip]
pub const WORDS: &[(&str, &str, &str)] = &[
    ("timeout S", "the server's election timeout is over now (`campaign`)", "timeout 3"),
    ("leader", "who leads", "leader"),
    ("status", "how each server is, and where clients reach it", "status"),
    ("log [S]", "the terms in all logs, or what is in one of them", "log 2"),
    ("scenario [NAME]", "plays one, or tells which there are", "scenario kill-the-leader"),
    ("save FILE", "what was typed until now, as a script", "save session.txt"),
    ("timeline [last 1s] [events LIST] [to FILE]", "what has just happened: lanes and arrows, here or in a .svg or .html", "timeline last 2s"),
    ("menu", "the Go prototype's numbered menu, and back", "menu"),
    ("step [N]", "the next thing happens, or N things (`--sim`)", "step 3"),
    ("back [N]", "as it was before the last command, or the last N (`--sim`)", "back"),
    ("goto TIME|NAME", "as it is at this time, or was at this fork (`--sim`)", "goto 1.204s"),
    ("fork [NAME]", "this moment can be returned to by `goto NAME` (`--sim`)", "fork before"),
    ("shutdown", "all servers end, and the laboratory with them (also `exit`, `quit`)", "shutdown"),
];

/// Reads one line. An empty line, or a comment, is no word.
///
/// # Errors
/// A sentence that says what is wrong, and what would be right.
pub fn parse(line: &str) -> Result<Option<Word>, String> {
    let bare = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = bare.split_whitespace().collect();
    let Some((first, rest)) = words.split_first() else { return Ok(None) };
    let usage = |why: String| format!("{why} (usage: `{}`)", usage_of(first));
    Ok(Some(match (*first, rest) {
        ("timeout", [server]) => return script(&format!("campaign {server}")),
        ("leader", []) => Word::Leader,
        ("status", []) => Word::Status,
        ("log", []) => return script("show log"),
        ("log", [server]) => Word::Log(self::server(server).map_err(usage)?),
        ("roles" | "members" | "network", []) => return script(&format!("show {first}")),
        ("scenario", []) => Word::Scenario(None),
        ("scenario", [name]) => Word::Scenario(Some((*name).to_owned())),
        ("save", [file]) => Word::Save((*file).to_owned()),
        ("timeline", more) => Word::Timeline(timeline::parse(more).map_err(usage)?),
        ("menu", []) => Word::Menu,
        ("step", []) => Word::Travel(Travel::Step(1)),
        ("step", [count]) => Word::Travel(Travel::Step(number(count).map_err(usage)?)),
        ("back", []) => Word::Travel(Travel::Back(1)),
        ("back", [count]) => Word::Travel(Travel::Back(number(count).map_err(usage)?)),
        ("goto", [point]) => Word::Travel(goto(point)),
        ("fork", []) => Word::Travel(Travel::Fork(None)),
        ("fork", [name]) => Word::Travel(Travel::Fork(Some((*name).to_owned()))),
        ("shutdown" | "exit" | "quit", []) => Word::Exit,
        ("help", []) => Word::Help(None),
        ("help", [of]) => Word::Help(Some((*of).to_owned())),
        (
            "timeout" | "leader" | "status" | "scenario" | "save" | "menu" | "step" | "back" | "goto"
            | "fork" | "shutdown",
            _,
        ) => {
            return Err(usage(format!("`{first}` is not written so")));
        }
        _ => return script(line),
    }))
}

fn script(line: &str) -> Result<Option<Word>, String> {
    let read = script::parse(line).map_err(|why| with_own_words(line, why))?;
    Ok(read.map(Word::Script))
}

/// A word that the scripts do not know may be almost one of ours.
fn with_own_words(line: &str, why: String) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    let known = help::of(first).is_some();
    let near = WORDS.iter().map(|(usage, ..)| verb(usage)).find(|verb| {
        let same = verb.chars().zip(first.chars()).filter(|(a, b)| a == b).count();
        first.len() > 2 && same + 1 >= verb.len().max(first.len())
    });
    match near {
        Some(near) if !known && !why.contains("did you mean") => format!("{why}; did you mean `{near}`?"),
        _ if why.ends_with("is no command") => format!("{why}: `help` lists them"),
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

fn number(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| format!("`{text}` is no number from 1 to 100000"))
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

fn server(text: &str) -> Result<Server, String> {
    match script::parse(&format!("why {text}"))? {
        Some(Command::Why(server)) => Ok(server),
        _ => Err(format!("`{text}` is no server")),
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
            assert!(matches!(parse(example), Ok(Some(_))), "{example}");
            assert_eq!(verb(usage), verb(example));
        }
        for help in help::COMMANDS {
            assert!(parse(help.example).is_ok(), "{}", help.example);
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
        ] {
            let why = parse(line).expect_err(line);
            assert!(why.contains(says), "{line}: {why}");
        }
        assert_eq!(parse("  # nothing"), Ok(None));
        assert_eq!(parse(""), Ok(None));
    }

    #[test]
    fn a_word_may_stand_for_a_command() {
        assert_eq!(parse("timeout n3"), Ok(Some(Word::Script(Command::Campaign(Server::Number(3))))));
        assert_eq!(parse("log n3"), Ok(Some(Word::Log(Server::Number(3)))));
        assert_eq!(parse("log"), parse("show log"));
        let time = Travel::Time(Duration::from_millis(1_204));
        assert_eq!(parse("goto 1.204s"), Ok(Some(Word::Travel(time.clone()))));
        assert_eq!(parse("goto +1.204"), Ok(Some(Word::Travel(time))));
        assert_eq!(parse("goto there"), Ok(Some(Word::Travel(Travel::Name("there".into())))));
        assert!(parse("back 0").is_err());
    }
}
