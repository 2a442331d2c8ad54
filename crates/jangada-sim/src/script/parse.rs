//! Lines into commands. What cannot be read is told in a sentence, with the nearest known word and the usage.

use std::time::Duration;

use jangada_trace::language::Language;
use jangada_trace::{said, say};

use super::command::{Change, Command, Kind, Link, Message, Pick, Profile, Request, Server, View, Which};
use super::condition;
use super::help::{self, KINDS, KNOBS, MESSAGES};
use super::tokens::{self, Token, meant};

/// Reads one line. An empty line, or a comment, is no command.
///
/// # Errors
/// A sentence that says what is wrong, and what would be right.
pub fn parse(line: &str) -> Result<Option<Command>, String> {
    parse_in(Language::English, line)
}

/// The same, for somebody who is told in this language what is wrong.
///
/// # Errors
/// As [`parse`].
pub fn parse_in(language: Language, line: &str) -> Result<Option<Command>, String> {
    let tokens = tokens::split(language, line)?;
    if tokens.is_empty() { Ok(None) } else { read(language, &tokens).map(Some) }
}

/// Reads the words of one command.
fn read(language: Language, tokens: &[Token]) -> Result<Command, String> {
    let Some((first, rest)) = tokens.split_first() else {
        return Err(say!(language, "a command is missing"));
    };
    let name = first.text.clone();
    let Some(known) = help::of(&name) else {
        let near = meant(language, &name, help::COMMANDS.iter().map(|help| help.name));
        let name = tokens::shown(&name);
        return Err(say!(language, "`{name}` is no command{near}", name, near));
    };
    let mut words = Words { tokens: rest, language };
    command(&name, &mut words)
        .and_then(|command| words.end().map(|()| command))
        .map_err(|why| say!(language, "{why} (usage: `{usage}`)", why, usage = known.usage))
}

// tidy: flat table
fn command(name: &str, words: &mut Words<'_>) -> Result<Command, String> {
    Ok(match name {
        "servers" => Command::Servers(words.number(said!("a number of servers"), 1..=9)?),
        "profile" => Command::Profile(profile(words)?),
        "seed" => Command::Seed(words.number(said!("a number"), 0..=u64::MAX)?),
        "config" => config(words)?,
        "log" => log(words)?,
        "set" | "get" | "delete" | "incr" => client(name, words)?,
        "begin" => begin(words)?,
        "crash" => Command::Crash(words.servers()?),
        "restart" => Command::Restart(words.servers()?),
        "pause" => Command::Pause(words.servers()?),
        "resume" => Command::Resume(words.servers()?),
        "campaign" => Command::Campaign(words.server()?),
        "snapshot" => Command::Snapshot(words.servers()?),
        "stall" => Command::Stall(words.servers()?),
        "unstall" => Command::Unstall(words.servers()?),
        "isolate" => Command::Isolate(words.servers()?),
        "partition" => Command::Partition(groups(words)?),
        "disconnect" => Command::Disconnect(words.servers()?),
        "reconnect" => Command::Reconnect(words.servers()?),
        "cut" => Command::Cut(words.link()?),
        "heal" => Command::Heal(if words.is_empty() { None } else { Some(words.link()?) }),
        "lose" => Command::Lose(percent(words)?),
        "slow" => Command::Slow(words.duration()?),
        "hold" => Command::Hold(words.pick()?),
        "deliver" => Command::Deliver { which: which(words), pick: words.pick()? },
        "drop" => Command::Drop { which: which(words), pick: words.pick()? },
        "duplicate" => Command::Duplicate(words.pick()?),
        "release" => Command::Release,
        "add" | "remove" | "members" | "transfer" => admin(name, words, false)?,
        "run" => Command::Run(words.duration()?),
        "wait" => wait(words)?,
        "always" => always(words)?,
        "expect" => Command::Expect(condition::read(words)?),
        "cannot" if words.is_empty() => return Err(say!(words.language, "a command is missing")),
        "cannot" => Command::Cannot { command: read(words.language, words.rest()).map(Box::new) },
        "mark" => Command::Mark,
        "let" => name_server(words)?,
        "show" => show(words)?,
        "watch" => Command::Watch(watch(words)?),
        "why" => Command::Why(words.server()?),
        "help" => Command::Help(words.next().map(|token| token.text.clone())),
        _ => return Err(say!(words.language, "`{name}` has a line of help and no meaning", name)),
    })
}

fn profile(words: &mut Words<'_>) -> Result<Profile, String> {
    match words.choose(said!("a profile"), &["classic", "default"])? {
        "classic" => Ok(Profile::Classic),
        _ => Ok(Profile::Default),
    }
}

fn log(words: &mut Words<'_>) -> Result<Command, String> {
    let server = words.number(said!("a server's number"), 1..=9)?;
    let mut terms = Vec::new();
    while !words.is_empty() && !words.peek("at") {
        terms.push(words.number(said!("a term"), 1..=u64::MAX)?);
    }
    let term = if words.take("at") {
        words.expect("term")?;
        Some(words.number(said!("a term"), 1..=u64::MAX)?)
    } else {
        None
    };
    Ok(Command::Log { server, terms, term })
}

fn groups(words: &mut Words<'_>) -> Result<Vec<Vec<Server>>, String> {
    let mut groups = vec![words.servers()?];
    while groups.len() < 2 || !words.is_empty() {
        words.expect("|")?;
        groups.push(words.servers()?);
    }
    Ok(groups)
}

fn percent(words: &mut Words<'_>) -> Result<u8, String> {
    let text = words.text(said!("a share of messages, such as `30%`,"))?;
    let number = text.strip_suffix('%').unwrap_or(&text).parse().ok().filter(|number| *number <= 100);
    number.ok_or_else(|| {
        say!(words.language, "`{text}` is no share of messages: write `30%`, or `0%` for none", text)
    })
}

fn which(words: &mut Words<'_>) -> Which {
    if words.take("all") {
        Which::All
    } else if words.take("newest") {
        Which::Newest
    } else {
        Which::Oldest
    }
}

fn config(words: &mut Words<'_>) -> Result<Command, String> {
    let names: Vec<&str> = KNOBS.iter().map(|(name, _)| *name).collect();
    let knob = words.choose(said!("a knob"), &names)?.to_owned();
    let takes = KNOBS.iter().find(|(name, _)| *name == knob).map_or("", |(_, takes)| takes);
    let value = words.text(takes)?;
    Ok(Command::Config { knob, value })
}

fn client(name: &str, words: &mut Words<'_>) -> Result<Command, String> {
    let key = words.text(said!("a key"))?;
    let value = if name == "set" { Some(value_and_rest(words)?) } else { None };
    let at = words.at()?;
    let request = match (name, value) {
        (_, Some(value)) => Request::Set { key, value },
        ("get", None) => Request::Get { key },
        ("delete", None) => Request::Delete { key },
        _ => Request::Incr { key },
    };
    Ok(Command::Client { request, at, begin: false })
}

/// The value of `set`: what is left of the line, but for `at S` at its end.
fn value_and_rest(words: &mut Words<'_>) -> Result<String, String> {
    let mut value = words.text(said!("a value"))?;
    loop {
        let at_server = match words.tokens {
            [] => return Ok(value),
            [at, server] => at.is("at") && as_server(server).is_some(),
            _ => false,
        };
        if at_server {
            return Ok(value);
        }
        value.push(' ');
        value.push_str(&words.text(said!("a value"))?);
    }
}

fn begin(words: &mut Words<'_>) -> Result<Command, String> {
    let known = ["set", "get", "delete", "incr", "add", "remove", "members", "transfer"];
    let name = words.choose(said!("what to begin"), &known)?.to_owned();
    match name.as_str() {
        "add" | "remove" | "members" | "transfer" => admin(&name, words, true),
        _ => match client(&name, words)? {
            Command::Client { request, at, .. } => Ok(Command::Client { request, at, begin: true }),
            other => Ok(other),
        },
    }
}

fn admin(name: &str, words: &mut Words<'_>, begin: bool) -> Result<Command, String> {
    Ok(match name {
        "add" => Command::Add(change(words, begin)?),
        "remove" => Command::Remove(change(words, begin)?),
        "members" => Command::Members(change(words, begin)?),
        _ => Command::Transfer { to: words.server()?, at: words.at()?, begin },
    })
}

fn change(words: &mut Words<'_>, begin: bool) -> Result<Change, String> {
    Ok(Change { servers: words.servers()?, at: words.at()?, begin })
}

fn wait(words: &mut Words<'_>) -> Result<Command, String> {
    let patience = words.trailing_duration(&["at", "most"])?;
    Ok(Command::Wait(condition::read(words)?, patience))
}

fn always(words: &mut Words<'_>) -> Result<Command, String> {
    let Some(duration) = words.trailing_duration(&["for"])? else {
        return Err(say!(words.language, "`always` needs `for` and a duration at its end"));
    };
    Ok(Command::Always(condition::read(words)?, duration))
}

fn name_server(words: &mut Words<'_>) -> Result<Command, String> {
    let name = words.text(said!("a name"))?;
    let taken = as_server(&Token { text: name.clone(), quoted: false });
    if !matches!(taken, Some(Server::Named(_))) {
        return Err(say!(words.language, "`{name}` already means something: choose another name", name));
    }
    words.expect("=")?;
    Ok(Command::Let { name, server: words.server()? })
}

fn show(words: &mut Words<'_>) -> Result<Command, String> {
    let all_keys = |at| Command::Client { request: Request::ShowAll, at, begin: false };
    if words.is_empty() || words.peek("at") {
        return Ok(all_keys(words.at()?));
    }
    let views = ["roles", "log", "terms", "members", "network", "keys"];
    Ok(match words.choose(said!("what to show"), &views)? {
        "roles" => Command::Show(View::Roles),
        "log" => Command::Show(View::Log),
        "terms" => Command::Show(View::Terms),
        "members" => Command::Show(View::Members),
        "network" => Command::Show(View::Network),
        _ => all_keys(words.at()?),
    })
}

fn watch(words: &mut Words<'_>) -> Result<Vec<Kind>, String> {
    let mut kinds = Vec::new();
    if words.take("nothing") {
        return Ok(kinds);
    }
    while kinds.is_empty() || !words.is_empty() {
        kinds.push(match words.choose(said!("a kind of events"), KINDS)? {
            "leaders" => Kind::Leaders,
            "elections" => Kind::Elections,
            "votes" => Kind::Votes,
            "terms" => Kind::Terms,
            "log" => Kind::Log,
            "commits" => Kind::Commits,
            "members" => Kind::Members,
            "snapshots" => Kind::Snapshots,
            "reads" => Kind::Reads,
            "messages" => Kind::Messages,
            _ => Kind::Clients,
        });
    }
    Ok(kinds)
}

fn message(name: &str) -> Option<Message> {
    Some(match name {
        "prevote" => Message::PreVote,
        "prevote-reply" => Message::PreVoteReply,
        "vote" => Message::Vote,
        "vote-reply" => Message::VoteReply,
        "append" => Message::Append,
        "heartbeat" => Message::Heartbeat,
        "append-reply" => Message::AppendReply,
        "snapshot" => Message::Snapshot,
        "snapshot-reply" => Message::SnapshotReply,
        "timeout-now" => Message::TimeoutNow,
        "read-index" => Message::ReadIndex,
        "read-index-reply" => Message::ReadIndexReply,
        "forward" => Message::Forward,
        _ => return None,
    })
}

/// A word that may name a server, whether or not there is one.
fn as_server(token: &Token) -> Option<Server> {
    let text = token.text.as_str();
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    if token.quoted {
        return None;
    }
    if let Some(number) = number(text).or_else(|| text.strip_prefix('n').and_then(number)) {
        return Some(Server::Number(number));
    }
    match text {
        "leader" => return Some(Server::Leader),
        "all" => return Some(Server::All),
        "follower" => return Some(Server::Follower(1)),
        _ => {}
    }
    if let Some(rank) = text.strip_prefix("follower").and_then(number) {
        return Some(Server::Follower(usize::try_from(rank).ok()?));
    }
    // A name begins with a letter and has nothing but letters, digits, `-` and `_`.
    let begins = text.starts_with(|letter: char| letter.is_ascii_lowercase());
    let goes_on = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    const KEYWORDS: [&str; 8] = ["at", "for", "most", "everywhere", "none", "servers", "on", "not"];
    (begins && goes_on && !KEYWORDS.contains(&text)).then(|| Server::Named(text.to_owned()))
}

/// The rest of a line.
pub(crate) struct Words<'a> {
    tokens: &'a [Token],
    /// What it is told in that something is wrong.
    pub(crate) language: Language,
}

impl<'a> Words<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(crate) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// All that is left; then nothing is.
    fn rest(&mut self) -> &'a [Token] {
        std::mem::take(&mut self.tokens)
    }

    pub(crate) fn peek(&self, word: &str) -> bool {
        self.tokens.first().is_some_and(|token| token.is(word))
    }

    /// Takes this word if it comes next.
    pub(crate) fn take(&mut self, word: &str) -> bool {
        let there = self.peek(word);
        if there {
            self.next();
        }
        there
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) {
            return Ok(());
        }
        match self.tokens.first() {
            Some(token) => {
                Err(say!(self.language, "`{word}` is missing before `{text}`", word, text = token.text))
            }
            None => Err(say!(self.language, "`{word}` is missing at the end", word)),
        }
    }

    /// Nothing is left.
    fn end(&self) -> Result<(), String> {
        match self.tokens.first() {
            None => Ok(()),
            Some(token) => Err(say!(self.language, "`{text}` is too much", text = token.text)),
        }
    }

    pub(crate) fn text(&mut self, what: &str) -> Result<String, String> {
        let what = self.language.of(what);
        self.next()
            .map(|token| token.text.clone())
            .ok_or_else(|| say!(self.language, "{what} is missing", what))
    }

    /// One of these words.
    pub(crate) fn choose(&mut self, what: &str, known: &[&'static str]) -> Result<&'static str, String> {
        let what = self.language.of(what);
        let list = || known.join(", ");
        let Some(token) = self.next() else {
            return Err(say!(self.language, "{what} is missing: {list}", what, list = list()));
        };
        match known.iter().find(|word| token.is(word)) {
            Some(word) => Ok(word),
            None => {
                let near = meant(self.language, &token.text, known.iter().copied());
                let near = if near.is_empty() {
                    say!(self.language, "; there are {list}", list = list())
                } else {
                    near
                };
                Err(say!(self.language, "`{text}` is not {what}{near}", text = token.text, what, near))
            }
        }
    }

    pub(crate) fn number(&mut self, what: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
        let text = self.text(what)?;
        let what = self.language.of(what);
        let number: u64 =
            text.parse().map_err(|_| say!(self.language, "`{text}` is not {what}", text, what))?;
        if range.contains(&number) {
            return Ok(number);
        }
        Err(say!(
            self.language,
            "{number} is not {what} from {start} to {end}",
            number,
            what,
            start = range.start(),
            end = range.end()
        ))
    }

    /// All that is left, as numbers; none is fine.
    pub(crate) fn numbers(&mut self) -> Result<Vec<u64>, String> {
        let mut numbers = Vec::new();
        while !self.is_empty() {
            numbers.push(self.number(said!("a number"), 0..=u64::MAX)?);
        }
        Ok(numbers)
    }

    pub(crate) fn duration(&mut self) -> Result<Duration, String> {
        let text = self.text(said!("a duration, such as `300ms`,"))?;
        tokens::duration(&text).ok_or_else(|| {
            say!(self.language, "`{text}` is no duration: write `300ms`, `2s` or `1.5s`", text)
        })
    }

    /// Takes `marker.. DURATION` off the end of the line, if it is there.
    fn trailing_duration(&mut self, marker: &[&str]) -> Result<Option<Duration>, String> {
        let from_end = marker.len() + 1;
        let Some(at) = self.tokens.len().checked_sub(from_end) else { return Ok(None) };
        let (before, tail) = self.tokens.split_at(at);
        if !tail.iter().zip(marker).all(|(token, word)| token.is(word)) {
            return Ok(None);
        }
        self.tokens = &tail[marker.len()..];
        let duration = self.duration()?;
        self.tokens = before;
        Ok(Some(duration))
    }

    pub(crate) fn server(&mut self) -> Result<Server, String> {
        let Some(token) = self.next() else { return Err(say!(self.language, "a server is missing")) };
        as_server(token).ok_or_else(|| {
            say!(
                self.language,
                "`{text}` is no server: write its number, `leader`, `follower` or a name given by `let`",
                text = token.text
            )
        })
    }

    /// One server or more, as long as words that may be servers follow.
    pub(crate) fn servers(&mut self) -> Result<Vec<Server>, String> {
        let mut servers = vec![self.server()?];
        while !self.is_empty() && !self.peek("at") && !self.peek("|") {
            servers.push(self.server()?);
        }
        Ok(servers)
    }

    /// `at S`, if it comes next.
    pub(crate) fn at(&mut self) -> Result<Option<Server>, String> {
        if self.take("at") { self.server().map(Some) } else { Ok(None) }
    }

    fn link(&mut self) -> Result<Link, String> {
        let from = self.server()?;
        let both_ways = self.take("<->");
        if !both_ways {
            self.expect("->")?;
        }
        Ok(Link { from, to: self.server()?, both_ways })
    }

    /// `[A -> B] [MESSAGE]`.
    pub(crate) fn pick(&mut self) -> Result<Pick, String> {
        let has_link = self.tokens.get(1).is_some_and(|token| token.is("->") || token.is("<->"));
        let link = if has_link { Some(self.link()?) } else { None };
        let message = match self.tokens.first() {
            None => None,
            Some(_) => message(self.choose(said!("a kind of messages"), MESSAGES)?),
        };
        Ok(Pick { link, message })
    }
}

impl Token {
    /// It is this keyword.
    fn is(&self, word: &str) -> bool {
        !self.quoted && self.text == word
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Condition, Place, Role};
    use super::super::help::{COMMANDS, CONDITIONS};
    use super::*;

    fn one(line: &str) -> Command {
        parse(line).expect("a good line").expect("a command")
    }

    fn wrong(line: &str) -> String {
        parse(line).expect_err(line)
    }

    #[test]
    fn every_command_has_an_example_that_parses() {
        for help in COMMANDS {
            assert!(
                help.example.starts_with(help.name) && help.usage.starts_with(help.name),
                "{}",
                help.name
            );
            one(help.example);
        }
        for (_, _, example) in CONDITIONS {
            one(&format!("expect {example}"));
            one(&format!("wait not {example} at most 2s"));
            one(&format!("always {example} for 2s"));
        }
        for kind in MESSAGES {
            one(&format!("hold {kind}"));
        }
        for kind in KINDS {
            one(&format!("watch {kind}"));
        }
    }

    #[test]
    fn values_may_have_spaces_and_servers_are_numbers_or_names() {
        let set = |line| match one(line) {
            Command::Client { request: Request::Set { key, value }, at, .. } => (key, value, at),
            other => panic!("{other:?}"),
        };
        assert_eq!(set("set d 8"), ("d".into(), "8".into(), None));
        assert_eq!(set("set d eight and a half"), ("d".into(), "eight and a half".into(), None));
        assert_eq!(set("set d 8 at n3"), ("d".into(), "8".into(), Some(Server::Number(3))));
        assert_eq!(set("set d \"8 at 3\""), ("d".into(), "8 at 3".into(), None));
        assert_eq!(set("set at at at old"), ("at".into(), "at".into(), Some(Server::Named("old".into()))));
        assert_eq!(
            one("crash leader n2 follower2"),
            Command::Crash(vec![Server::Leader, Server::Number(2), Server::Follower(2)])
        );
    }

    #[test]
    fn conditions_say_where_and_how_long() {
        assert_eq!(
            one("wait role 2 follower at most 1.5s"),
            Command::Wait(
                Condition::Role(Server::Number(2), Role::Follower),
                Some(Duration::from_millis(1_500))
            )
        );
        assert_eq!(
            one("expect not committed 3 on 2 servers"),
            Command::Expect(Condition::Not(Box::new(Condition::Committed(3, Place::On(2)))))
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_would_be_right() {
        for (line, says) in [
            ("xyzzy", "`xyzzy` is no command"),
            ("crsh 2", "did you mean `crash`?"),
            ("crash", "a server is missing (usage: `crash S..`)"),
            ("crash -1", "`-1` is no server"),
            ("servers 0", "0 is not a number of servers from 1 to 9"),
            ("profile clasic", "did you mean `classic`?"),
            ("cut 1 2", "`->` is missing before `2`"),
            ("run 300", "`300` is no duration: write `300ms`"),
            ("wait ledaer", "did you mean `leader`?"),
            ("expect value d 8", "where? Say `at S`"),
            ("always leader", "needs `for` and a duration"),
            ("heal 1 -> 2 3", "`3` is too much"),
            ("cannot", "a command is missing"),
            ("let leader = 2", "`leader` already means something"),
            ("hold 1 -> 2 apend", "did you mean `append`?"),
            ("partition 1 2", "`|` is missing at the end"),
            ("partition 1 |", "a server is missing"),
            ("lose many", "`many` is no share of messages: write `30%`"),
            ("lose 130%", "`130%` is no share"),
            ("slow 200", "`200` is no duration"),
            ("config prevote on", "did you mean `pre_vote`?"),
        ] {
            assert!(wrong(line).contains(says), "{line}: {}", wrong(line));
        }
    }

    #[test]
    fn a_word_of_megabytes_is_refused_at_once_and_not_said_back_whole() {
        let why = wrong(&"a".repeat(10 << 20));
        assert_eq!(why, format!("`{}…` is no command", "a".repeat(40)));
    }

    #[test]
    fn what_is_to_be_refused_need_not_be_readable() {
        let cannot = |line| match one(line) {
            Command::Cannot { command } => command,
            other => panic!("{other:?}"),
        };
        assert_eq!(cannot("cannot crash 2"), Ok(Box::new(Command::Crash(vec![Server::Number(2)]))));
        let why = cannot("cannot crsh 2").expect_err("a typo");
        assert!(why.contains("did you mean `crash`?"), "{why}");
    }

    #[test]
    fn nothing_is_no_command() {
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("   # a comment"), Ok(None));
    }
}
