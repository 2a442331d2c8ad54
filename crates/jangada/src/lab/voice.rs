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

    /// One line, or several. What keys and values bring along to steer a terminal is shown, not sent.
    pub fn say(&self, text: &str) {
        if self.mute.load(Relaxed) {
            return;
        }
        self.page.get().into_iter().for_each(|page| page.said(text));
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
