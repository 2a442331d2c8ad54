//! What somebody does on the page, done: the same lines as at the prompt, but for those that belong to the terminal.

use std::sync::Arc;
use std::time::Duration;

use jangada_sim::script::command::Command;
use jangada_trace::language::Language;
use jangada_trace::said;

use super::super::prompt;
use super::super::session::Outcome;
use super::super::voice::Voice;
use super::super::words::{self, Word};

/// What somebody does on the page.
pub enum Touch {
    /// Types a line.
    Line(String),
    /// Lets so much time pass.
    Play(Duration),
}

/// Does it, and says in a word what became of it. Takes its time.
pub type Hand = Arc<dyn Fn(Touch) -> &'static str + Send + Sync>;

/// A hand that has lines carried out by `line`, and time passed by `play`; what was typed is told to both, the terminal
/// and the page.
pub fn hand(
    simulated: impl Fn() -> bool + Send + Sync + 'static,
    voice: Voice,
    line: impl Fn(&str) -> Outcome + Send + Sync + 'static,
    play: impl Fn(Duration) -> Outcome + Send + Sync + 'static,
) -> Hand {
    Arc::new(move |touch| {
        let outcome = match touch {
            Touch::Line(typed) => {
                voice.say(&format!("lab> {}", typed.trim()));
                match meant(&typed, simulated()) {
                    Ok(meant) => line(&meant),
                    Err(why) => {
                        voice.say(voice.language().of(why));
                        Outcome::Refused
                    }
                }
            }
            Touch::Play(time) => play(time),
        };
        match outcome {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Unread => "unread",
            Outcome::Failed => "failed",
            Outcome::Over => "over",
        }
    })
}

/// The words that the last one of a line may become; what belongs to the terminal is not among them.
pub fn complete(line: &str) -> Vec<&'static str> {
    let mut words = prompt::complete(line);
    words.retain(|word| [word, &*format!("{word} x")].iter().all(|line| meant(line, false).is_ok()));
    words
}

/// The line to carry out. A request to real servers is only begun: its answer is told when it comes, and meanwhile the
/// page can heal what keeps the answer away.
fn meant(line: &str, simulated: bool) -> Result<String, &'static str> {
    match words::parse(Language::English, line) {
        Ok(Some(Word::Exit)) => {
            Err(said!("the laboratory is ended where it was started: Ctrl+D in the terminal"))
        }
        Ok(Some(Word::Timeline(ask))) if ask.file.is_some() => {
            Err(said!("files are written from the terminal alone: type it there"))
        }
        Ok(Some(Word::Save(_))) => Err(said!("files are written from the terminal alone: type `save` there")),
        Ok(Some(Word::Menu)) => Err(said!("the numbered menu is for the terminal: here are buttons")),
        Ok(Some(Word::Script(
            Command::Client { begin: false, .. } | Command::Transfer { begin: false, .. },
        ))) if !simulated => Ok(format!("begin {}", line.trim())),
        // Whatever cannot be read is told by whoever carries it out.
        Ok(_) | Err(_) => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_terminal_is_refused() {
        for line in ["exit", "quit", "shutdown", "save /tmp/x", "menu"] {
            assert!(meant(line, false).is_err() && meant(line, true).is_err(), "{line}");
        }
    }

    #[test]
    fn words_are_completed_but_for_those_of_the_terminal() {
        assert_eq!(complete("cra"), ["crash"]);
        assert_eq!(complete("crash le"), ["leader"]);
        assert!(complete("").contains(&"isolate"));
        for word in ["exit", "save", "menu"] {
            assert!(!complete("").contains(&word), "{word}");
        }
    }

    #[test]
    fn a_request_to_real_servers_is_begun_and_can_be_read() {
        for line in ["set d 8", "get d", "get d at 3", "transfer 2", "delete d"] {
            let begun = meant(line, false).unwrap();
            assert_eq!(begun, format!("begin {line}"));
            assert!(words::parse(Language::English, &begun).is_ok(), "{begun}");
            assert_eq!(meant(line, true).unwrap(), line);
        }
        for line in ["crash leader", "begin set d 8", "heal", "nonsense"] {
            assert_eq!(meant(line, false).unwrap(), line);
        }
    }
}
