//! The laboratory's prompt: history, completion and hints, with events above the line that is being typed.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use jangada_sim::script::help;
use jangada_trace::language::Language;
use jangada_trace::phrases::since_start;
use jangada_trace::say;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Validator};

use super::known::{Known, Standing};
use super::scenarios;
use super::words::WORDS;
use crate::failure::Failure;

/// Where a server's name may follow.
const SERVERS: [&str; 12] =
    ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "leader", "follower", "all"];

/// The line editor.
pub type Lines = Editor<Assistant, DefaultHistory>;

/// Completes words, hints at what follows them, and shows who leads.
#[derive(Helper, Validator)]
pub struct Assistant {
    known: Arc<Known>,
    color: bool,
    language: Language,
}

/// Ctrl+C interrupts a command; a terminal throws away what was typed for the next one then, unless it is told not to, as
/// long as this lives.
pub struct TypedAhead(Option<Termios>);

impl TypedAhead {
    /// Tells it.
    pub fn keep() -> TypedAhead {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut mode = before.clone();
            mode.local_modes |= LocalModes::NOFLSH;
            // A terminal that cannot do that does as before.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &mode);
        }
        TypedAhead(before)
    }
}

impl Drop for TypedAhead {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// A line editor.
///
/// # Errors
/// The terminal cannot be used.
pub fn open(known: Arc<Known>, language: Language) -> Result<Lines, Failure> {
    // As far as it is certain, then what it may become: as shells do it, and the page.
    let config = Config::builder().history_ignore_space(true).auto_add_history(true);
    let config = config.completion_type(CompletionType::List).build();
    let mut lines: Lines = Editor::with_config(config).map_err(terminal)?;
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    lines.set_helper(Some(Assistant { known, color, language }));
    if let Some(path) = history_file() {
        // Absent at the first start.
        let _ = lines.load_history(&path);
    }
    Ok(lines)
}

/// Keeps the history for the next time.
pub fn close(lines: &mut Lines) {
    if let Some(path) = history_file() {
        // A history that cannot be kept is no reason to fail.
        let _ = path.parent().map(std::fs::create_dir_all);
        let _ = lines.save_history(&path);
    }
}

/// The next line; `None` at the end, or after Ctrl+C.
///
/// # Errors
/// The terminal cannot be read.
pub fn read(lines: &mut Lines) -> Result<Option<String>, Failure> {
    let prompt = match lines.helper() {
        Some(assistant) => prompt(assistant.language, &assistant.known.standing()),
        None => "lab> ".to_owned(),
    };
    match lines.readline(&prompt) {
        Ok(line) => Ok(Some(line)),
        Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
        Err(error) => Err(terminal(error)),
    }
}

fn terminal(error: ReadlineError) -> Failure {
    Failure::usage(format!("cannot use the terminal: {error}"))
}

fn history_file() -> Option<PathBuf> {
    state_file("lab_history")
}

/// A file that outlives a laboratory.
pub fn state_file(name: &str) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".local/state"));
    Some(state.filter(|path| path.is_absolute()).or_else(home)?.join("jangada").join(name))
}

/// `lab[n2★ t1]> `; in a made-up world with its time, `lab[n2★ t1 +1.204]> `.
fn prompt(language: Language, standing: &Standing) -> String {
    let who = match standing.leader {
        Some((leader, term)) => format!("{leader}★ t{term}"),
        None if standing.term.0 == 0 => say!(language, "no leader"),
        None => say!(language, "no leader, t{term}", term = standing.term),
    };
    match standing.now {
        Some(now) => format!("lab[{who} {}]> ", since_start(now)),
        None => format!("lab[{who}]> "),
    }
}

/// The same in as much room as an older one took: while a line is typed its beginning must not move, nor is it to begin
/// far behind the prompt's end.
fn in_the_room_of(language: Language, older: &str, standing: &Standing) -> String {
    let room = older.chars().count();
    let term = standing.leader.map_or(standing.term, |(_, term)| term);
    let short = match standing.leader {
        Some((leader, _)) => format!("lab[{leader}★ t{term}]> "),
        None => format!("lab[?? t{term}]> "),
    };
    let long = prompt(language, standing);
    let fits = |text: &String| text.chars().count() <= room;
    let Some(text) = [long, short].into_iter().find(fits) else { return older.to_owned() };
    let (state, end) = text.split_at(text.len() - "]> ".len());
    format!("{state}{:pad$}{end}", "", pad = room - text.chars().count())
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, default: bool) -> Cow<'b, str> {
        if !default {
            return Cow::Borrowed(prompt);
        }
        let text = in_the_room_of(self.language, prompt, &self.known.standing());
        Cow::Owned(if self.color { format!("\x1b[1m{text}\x1b[0m") } else { text })
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(completions(&line[..position]))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<String> {
        // Without colour a hint would look as if it had been typed.
        hint(line, position).filter(|_| self.color)
    }
}

/// How each command is written.
fn usages() -> impl Iterator<Item = &'static str> {
    help::COMMANDS.iter().map(|help| help.usage).chain(WORDS.iter().map(|(usage, ..)| *usage))
}

fn verb(usage: &str) -> &str {
    usage.split(' ').next().unwrap_or(usage)
}

/// What the last word may become, and where it begins.
fn completions(typed: &str) -> (usize, Vec<Pair>) {
    let begin = typed.rfind(' ').map_or(0, |space| space + 1);
    let pair = |text: &str| Pair { display: text.to_owned(), replacement: format!("{text} ") };
    (begin, complete(typed).into_iter().map(pair).collect())
}

/// The words that the last one of a line may become, in order.
pub fn complete(typed: &str) -> Vec<&'static str> {
    let (before, word) = typed.rsplit_once(' ').unwrap_or(("", typed));
    let before: Vec<&str> = before.split_whitespace().collect();
    let known: Vec<&'static str> = match before.as_slice() {
        [] => usages().map(verb).collect(),
        ["scenario"] => scenarios::names().collect(),
        ["lesson"] => vec!["check", "hint", "again", "next", "stop"],
        ["show"] => vec!["roles", "log", "terms", "members", "network", "keys"],
        ["watch", ..] => help::KINDS.iter().copied().chain(["nothing"]).collect(),
        ["help"] => usages().map(verb).collect(),
        ["profile"] => vec!["classic", "default"],
        ["set" | "get" | "delete" | "incr", ..] if before.last() != Some(&"at") => Vec::new(),
        ["wait" | "expect" | "always"] => help::CONDITIONS.iter().map(|(usage, ..)| verb(usage)).collect(),
        _ => SERVERS.to_vec(),
    };
    let mut fitting: Vec<&str> = known.into_iter().filter(|known| known.starts_with(word)).collect();
    fitting.sort_unstable();
    fitting.dedup();
    fitting
}

/// What may follow what is typed.
fn hint(line: &str, position: usize) -> Option<String> {
    if line.is_empty() || position < line.len() {
        return None;
    }
    let mut fitting = usages().filter(|usage| usage.starts_with(line.trim_end()));
    match (fitting.next(), fitting.next()) {
        (Some(usage), None) => Some(usage.get(line.len()..)?.to_owned()).filter(|rest| !rest.is_empty()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_raft::types::{NodeId, Term};

    fn standing(leader: Option<u64>, term: u64) -> Standing {
        let leader = leader.map(|id| (NodeId(id), Term(term)));
        Standing { leader, term: Term(term), ..Standing::default() }
    }

    #[test]
    fn the_prompt_shows_who_leads_and_keeps_its_width_while_a_line_is_typed() {
        let first = prompt(Language::English, &standing(Some(2), 1));
        assert_eq!(first, "lab[n2★ t1]> ");
        assert_eq!(prompt(Language::English, &standing(None, 1)), "lab[no leader, t1]> ");
        assert_eq!(in_the_room_of(Language::English, &first, &standing(None, 1)), "lab[?? t1 ]> ");
        assert_eq!(in_the_room_of(Language::English, &first, &standing(Some(4), 2)), "lab[n4★ t2]> ");
        assert_eq!(
            in_the_room_of(Language::English, &first, &standing(Some(4), 12)),
            first,
            "no room: it is shown with the next"
        );
        assert_eq!(
            in_the_room_of(Language::English, "lab[no leader, t1]> ", &standing(Some(4), 2)),
            "lab[n4★ t2       ]> "
        );
    }

    fn words(typed: &str) -> Vec<String> {
        completions(typed).1.into_iter().map(|pair| pair.display).collect()
    }

    #[test]
    fn words_are_completed_where_they_may_stand() {
        assert_eq!(words("cra"), ["crash"]);
        assert_eq!(words("crash le"), ["leader"]);
        assert_eq!(words("partition 1 2 | n3 n4 n"), SERVERS[..9]);
        assert_eq!(words("scenario ret"), ["returning-follower"]);
        assert!(words("set k").is_empty());
        assert_eq!(words("watch elections vo"), ["votes"]);
        assert_eq!(completions("crash le").0, 6);
    }

    #[test]
    fn a_command_hints_at_what_follows() {
        assert_eq!(hint("transfer", 8).as_deref(), Some(" S"));
        assert_eq!(hint("transfer ", 9).as_deref(), Some("S"));
        assert_eq!(hint("transfer 3", 10), None);
        assert_eq!(hint("", 0), None);
    }
}
