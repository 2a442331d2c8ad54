//! Where the laboratory's lines go: to stdout, or above the prompt that somebody types at.

use std::borrow::Cow;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jangada_trace::language::Language;
use rustyline::ExternalPrinter;

use super::page::Feed;

/// A place for lines. Clones are the same place.
#[derive(Clone)]
pub struct Voice {
    place: Arc<Mutex<Place>>,
    mute: Arc<AtomicBool>,
    unheard: Arc<AtomicBool>,
    page: Arc<OnceLock<Arc<Feed>>>,
    /// Where the line stands that is being carried out, if it was not typed.
    line: Arc<Mutex<Option<String>>>,
    language: Language,
}

enum Place {
    Stdout,
    /// Above the line that is being typed.
    Prompt(Box<dyn ExternalPrinter + Send>),
}

impl Voice {
    /// Lines to stdout, in this language.
    pub fn stdout(language: Language) -> Voice {
        Voice {
            place: Arc::new(Mutex::new(Place::Stdout)),
            mute: Arc::default(),
            unheard: Arc::default(),
            page: Arc::default(),
            line: Arc::default(),
            language,
        }
    }

    /// The language that it speaks.
    pub fn language(&self) -> Language {
        self.language
    }

    /// From now on lines go above the prompt.
    pub fn above(&self, prompt: Box<dyn ExternalPrinter + Send>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Place::Prompt(prompt);
    }

    /// From now on lines go to the page, too.
    pub fn also_to(&self, page: Arc<Feed>) {
        // There is one page.
        let _second = self.page.set(page);
    }

    /// Says nothing, or speaks again: what is done a second time is not told a second time.
    pub fn mute(&self, mute: bool) {
        self.mute.store(mute, Relaxed);
    }

    /// Nobody reads any more what is said.
    pub fn is_unheard(&self) -> bool {
        self.unheard.load(Relaxed)
    }

    /// The line that is carried out next stands here: `session.txt:3: get d`.
    pub fn reads(&self, line: Option<String>) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    /// Why something was not done, behind the line that asked for it: who typed it knows which.
    pub fn refuse(&self, why: &str) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match line {
            Some(line) => self.say(&format!("{line}: {why}")),
            None => self.say(why),
        }
    }

    /// A text in sentences: a terminal has it in lines that can be read, the page in a line of its own width.
    pub fn paragraph(&self, text: &str) {
        if self.mute.load(Relaxed) {
            return;
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        self.page.get().into_iter().for_each(|page| page.said(&words.join(" ")));
        self.write(&folded(&words));
    }

    /// One line, or several. What keys and values bring along to steer a terminal is shown, not sent.
    pub fn say(&self, text: &str) {
        if self.mute.load(Relaxed) {
            return;
        }
        self.page.get().into_iter().for_each(|page| page.said(text));
        self.write(text);
    }

    fn write(&self, text: &str) {
        let text = &harmless(text);
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *place {
            Place::Stdout => {
                let mut out = std::io::stdout().lock();
                // A reader that went away is told nothing more.
                if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
                    self.unheard.store(true, Relaxed);
                }
            }
            Place::Prompt(prompt) => {
                let _ = prompt.print(format!("{text}\n"));
            }
        }
    }
}

/// Columns of a paragraph.
const WIDTH: usize = 100;

/// Words in lines that can be read.
fn folded(words: &[&str]) -> String {
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut().expect("it begins with one");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push((*word).to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// Control characters but for line ends and tabs, escaped.
fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown() {
        assert_eq!(harmless("a\tção\nb"), "a\tção\nb");
        assert_eq!(harmless("\x1b[31mred\x07\r\u{9b}2J"), "\\u{1b}[31mred\\u{7}\\r\\u{9b}2J");
    }
}
