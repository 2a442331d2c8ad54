//! What there is: the commands with a line each, and the servers.

use jangada_raft::types::NodeId;
use jangada_sim::script::cluster::MAX_SERVERS;
use jangada_sim::script::help::{self, COMMANDS, Group};
use jangada_trace::language::Language;
use jangada_trace::say;

use super::words::{self, WORDS};

/// A line for each command, or for this one.
///
/// # Errors
/// There is no such command: a sentence.
pub fn lines(language: Language, of: Option<&str>) -> Result<Vec<String>, String> {
    if let Some(word) = of {
        let known = words::help_of(word);
        let (usage, does) =
            known.ok_or_else(|| say!(language, "`{word}` is no command: `help` lists them", word))?;
        let mut lines = vec![line(language, usage, does)];
        lines.extend(help::more(language, word));
        return Ok(lines);
    }
    let all = COMMANDS.iter().filter(|help| help.group != Group::Stage && help.name != "help");
    let own = WORDS.iter().map(|(usage, does, _)| line(language, usage, does));
    let mut lines: Vec<String> = all.map(|known| help::line(language, known)).chain(own).collect();
    lines.push(say!(
        language,
        "servers N, profile classic|default, config KNOB VALUE: begin anew with other servers"
    ));
    lines.push(say!(language, "Servers are 3, n3, leader, follower, all. docs/lab.md has more."));
    Ok(lines)
}

fn line(language: Language, usage: &str, does: &str) -> String {
    format!("{usage:<44} {}", language.of(does))
}

/// `there are n1 n2 n3`.
pub fn there_are(language: Language, known: &[NodeId]) -> String {
    let names: Vec<String> = known.iter().map(ToString::to_string).collect();
    say!(language, "there are {names}", names = names.join(" "))
}

/// What would make there be one.
pub fn would_add(language: Language, id: NodeId) -> String {
    if id.0 > MAX_SERVERS {
        return String::new();
    }
    say!(language, "; `add {number}` would make one", number = id.0)
}
